// SPDX-License-Identifier: MIT

// many: clients with a socket each and zero-length connection IDs, like
// browsers: what they receive carries nothing to tell them apart by, so only
// the relay's ports keep them apart. All are connected before any sends data;
// each sends bytes that no other sends, and expects exactly these back.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/lucas-clemente/quic-go"
)

func many(args []string) error {
	flags := flag.NewFlagSet("many", flag.ExitOnError)
	ca := flags.String("ca", "", "certificate that signed the server's, PEM")
	clients := flags.Int("n", 200, "clients")
	rounds := flags.Int("rounds", 10, "exchanges of each client")
	size := flags.Int("bytes", 2000, "bytes of each exchange")
	parallel := flags.Int("parallel-handshakes", 32, "handshakes at a time")
	timeout := flags.Duration("timeout", 60*time.Second, "for everything")
	flags.Parse(args)
	if flags.NArg() != 1 {
		return fmt.Errorf("one target expected, not %d", flags.NArg())
	}
	target, err := parseTarget(flags.Arg(0))
	if err != nil {
		return err
	}
	tlsConfig, err := clientTLS(*ca, target.sni, alpn)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	var (
		connected, finished sync.WaitGroup
		handshakes          = make(chan struct{}, *parallel)
		errors              = make(chan error, *clients)
		begin               = time.Now()
	)
	connected.Add(*clients)
	finished.Add(*clients)
	one := func(id int) error {
		socket, err := net.ListenUDP("udp", nil)
		if err == nil {
			defer socket.Close()
		}
		var connection quic.Connection
		if err == nil {
			handshakes <- struct{}{}
			connection, err = quic.DialContext(ctx, socket, target.addr, target.sni, tlsConfig, clientQUIC(0))
			<-handshakes
		}
		connected.Done()
		if err != nil {
			return fmt.Errorf("client %d: connect: %w", id, err)
		}
		defer connection.CloseWithError(0, "done")
		connected.Wait()
		for round := 0; round < *rounds; round++ {
			payload := make([]byte, *size)
			rand.Read(payload)
			name, err := exchange(ctx, connection, payload)
			if err == nil && name != target.name {
				err = fmt.Errorf("answered by %q", name)
			}
			if err != nil {
				return fmt.Errorf("client %d, round %d: %w", id, round, err)
			}
		}
		return nil
	}
	for id := 0; id < *clients; id++ {
		go func(id int) {
			defer finished.Done()
			if err := one(id); err != nil {
				errors <- err
			}
		}(id)
	}
	finished.Wait()
	close(errors)

	result := struct {
		Clients int      `json:"clients"`
		Failed  int      `json:"failed"`
		Rounds  int      `json:"rounds"`
		Seconds float64  `json:"seconds"`
		Errors  []string `json:"errors,omitempty"` // the first few
	}{Clients: *clients, Rounds: *rounds, Seconds: time.Since(begin).Seconds()}
	for err := range errors {
		if result.Failed++; result.Failed <= 10 {
			result.Errors = append(result.Errors, err.Error())
		}
	}
	report(result, result.Failed > 0)
	return nil
}
