// SPDX-License-Identifier: MIT

// server: answers each stream with "NAME\n" and then what it gets. With -h3 an
// HTTP/3 server: "NAME\n", and for a POST the length and SHA-256 of the body.
package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/lucas-clemente/quic-go"
	"github.com/lucas-clemente/quic-go/http3"
)

// cidSequence gives the numbers 1, 2, 3, ..., big-endian.
type cidSequence struct {
	length   int
	previous uint32 // connections generate theirs at once
}

func (s *cidSequence) GenerateConnectionID() ([]byte, error) {
	id := make([]byte, s.length)
	binary.BigEndian.PutUint32(id[s.length-4:], atomic.AddUint32(&s.previous, 1))
	return id, nil
}

func (s *cidSequence) ConnectionIDLen() int { return s.length }

func serve(args []string) error {
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	name := flags.String("name", "a.test", "what each answer begins with")
	listen := flags.String("listen", ":443", "address and port")
	cert := flags.String("cert", "", "certificate chain, PEM")
	key := flags.String("key", "", "private key, PEM")
	cidLen := flags.Int("cid-len", 4, "length of the connection IDs this server chooses: 0, 4..20")
	sequence := flags.Bool("cid-sequence", false, "these are 1, 2, 3, ...: two servers that started alike choose the same")
	retry := flags.Bool("retry", false, "validate every address with a Retry packet")
	h3 := flags.Bool("h3", false, "speak HTTP/3")
	flags.Parse(args)

	certificate, err := tls.LoadX509KeyPair(*cert, *key)
	if err != nil {
		return err
	}
	tlsConfig := &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{alpn}}
	var generator quic.ConnectionIDGenerator = cidLength(*cidLen)
	if *sequence {
		generator = &cidSequence{length: *cidLen}
	}
	quicConfig := &quic.Config{
		ConnectionIDGenerator:    generator,
		RequireAddressValidation: func(net.Addr) bool { return *retry },
		MaxIncomingStreams:       1 << 20,
		MaxIdleTimeout:           30 * time.Second,
	}
	if *h3 {
		tlsConfig = http3.ConfigureTLSConfig(tlsConfig)
	}
	addr, err := net.ResolveUDPAddr("udp", *listen)
	if err != nil {
		return err
	}
	socket, err := net.ListenUDP("udp", addr)
	if err != nil {
		return err
	}
	if *h3 {
		return serveH3(*name, socket, tlsConfig, quicConfig)
	}
	listener, err := quic.Listen(socket, tlsConfig, quicConfig)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		connection, err := listener.Accept(context.Background())
		if err != nil {
			return err
		}
		fmt.Println("accepted", connection.RemoteAddr())
		go echoStreams(*name, connection)
	}
}

func echoStreams(name string, connection quic.Connection) {
	for {
		stream, err := connection.AcceptStream(context.Background())
		if err != nil {
			return // the client's end of the connection, or its timeout
		}
		go func() {
			defer stream.Close()
			if _, err := fmt.Fprintln(stream, name); err == nil {
				io.Copy(stream, stream)
			}
		}()
	}
}

func serveH3(name string, socket net.PacketConn, tlsConfig *tls.Config, quicConfig *quic.Config) error {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			fmt.Fprintln(w, name)
			return
		}
		sum := sha256.New()
		length, err := io.Copy(sum, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%s\n%d %x\n", name, length, sum.Sum(nil))
	}
	listener, err := quic.ListenEarly(socket, tlsConfig, quicConfig)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	server := http3.Server{Handler: http.HandlerFunc(handler)}
	return server.ServeListener(listener)
}
