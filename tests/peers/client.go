// SPDX-License-Identifier: MIT

// client: opens a connection to every target from one UDP socket, as quinn and
// quic-go applications do, and keeps all of them open while it exchanges
// unique data on each in turn. A relay that goes by the 4-tuple alone sends
// one connection's packets to the other's backend.
//
// quic-go takes up a connection ID that the server issued under encryption as
// soon as it has one, so nothing but the order of events tells a relay which
// connection a new ID belongs to. By default each connection is in use before
// the next one opens; -together opens all of them first.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/lucas-clemente/quic-go"
)

type clientResult struct {
	Target    string `json:"target"`
	Name      string `json:"name"` // what the server calls itself
	Exchanges int    `json:"exchanges"`
	Bytes     int    `json:"bytes"`
	Error     string `json:"error,omitempty"`
}

// exchange sends payload on a new stream and returns the server's name, after
// checking that the same bytes came back.
func exchange(ctx context.Context, connection quic.Connection, payload []byte) (string, error) {
	stream, err := connection.OpenStreamSync(ctx)
	if err != nil {
		return "", err
	}
	if deadline, set := ctx.Deadline(); set {
		stream.SetDeadline(deadline)
	}
	written := make(chan error, 1)
	go func() {
		_, err := stream.Write(payload)
		if err == nil {
			err = stream.Close()
		}
		written <- err
	}()
	answer, err := io.ReadAll(stream)
	if err != nil {
		return "", err
	}
	if err := <-written; err != nil {
		return "", err
	}
	name, echo, found := bytes.Cut(answer, []byte("\n"))
	if !found {
		return "", fmt.Errorf("answer of %d bytes has no first line", len(answer))
	}
	if !bytes.Equal(echo, payload) {
		return string(name), fmt.Errorf("echo of %d bytes is not what was sent (%d bytes)", len(echo), len(payload))
	}
	return string(name), nil
}

func client(args []string) error {
	flags := flag.NewFlagSet("client", flag.ExitOnError)
	ca := flags.String("ca", "", "certificate that signed the servers', PEM")
	cidLen := flags.Int("cid-len", 4, "length of the connection IDs this client chooses; over 0 with several targets")
	rounds := flags.Int("rounds", 20, "exchanges on each connection, in turn")
	size := flags.Int("bytes", 3000, "bytes of each exchange")
	until := flags.String("until", "", "a file: when it is there, no further round begins")
	interval := flags.Duration("interval", 0, "pause between rounds")
	timeout := flags.Duration("timeout", 20*time.Second, "for everything")
	together := flags.Bool("together", false, "open every connection before any is used")
	settle := flags.Int("settle", 5, "exchanges on each connection before the next one opens")
	flags.Parse(args)
	if *cidLen == 0 && flags.NArg() > 1 {
		return errors.New("-cid-len 0: several connections of one socket need connection IDs")
	}

	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	socket, err := net.ListenUDP("udp", nil)
	if err != nil {
		return err
	}
	results := make([]clientResult, flags.NArg())
	connections := make([]quic.Connection, flags.NArg())
	expected := make([]string, flags.NArg())
	turn := func(i int) error {
		payload := make([]byte, *size)
		rand.Read(payload)
		name, err := exchange(ctx, connections[i], payload)
		if err == nil && name != expected[i] {
			err = fmt.Errorf("answered by %q", name)
		}
		if err == nil {
			results[i].Name = name
			results[i].Exchanges++
			results[i].Bytes += len(payload)
		}
		return err
	}
	failed := flags.NArg() == 0
	for i, text := range flags.Args() {
		target, err := parseTarget(text)
		if err != nil {
			return err
		}
		results[i] = clientResult{Target: text}
		expected[i] = target.name
		var tlsConfig *tls.Config
		if tlsConfig, err = clientTLS(*ca, target.sni, alpn); err != nil {
			return err
		}
		connections[i], err = quic.DialContext(ctx, socket, target.addr, target.sni, tlsConfig, clientQUIC(*cidLen))
		for n := 0; err == nil && !*together && n < *settle; n++ {
			err = turn(i)
		}
		if err != nil {
			results[i].Error, failed = err.Error(), true
		}
	}
	for round := 0; round < *rounds; round++ {
		if _, err := os.Stat(*until); err == nil {
			break
		}
		for i := range connections {
			if results[i].Error != "" {
				continue
			}
			if err := turn(i); err != nil {
				results[i].Error, failed = fmt.Sprintf("round %d: %v", round, err), true
			}
		}
		time.Sleep(*interval)
	}
	for _, connection := range connections {
		if connection != nil {
			connection.CloseWithError(0, "done")
		}
	}
	report(struct {
		Socket      string         `json:"socket"`
		Connections []clientResult `json:"connections"`
	}{socket.LocalAddr().String(), results}, failed)
	return nil
}
