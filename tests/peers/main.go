// SPDX-License-Identifier: MIT

// quicgo: QUIC peers for the end-to-end tests, on Debian 12's quic-go 0.29
// (GOPATH mode; see build.sh). Not part of sluice.
//
//	quicgo server   echo server (or HTTP/3 with -h3) that says its name
//	quicgo client   connections to several names from ONE UDP socket
//	quicgo many     many clients, each with its own socket and zero-length connection IDs
//	quicgo get      one HTTP/3 request
//
// A target is SNI@ADDRESS:PORT[=NAME]: the name that goes into the TLS SNI,
// where the packets go, and what the server that should answer calls itself
// (the SNI, if not given). Certificates are verified against -ca: that the right name
// answers is part of each test.
package main

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/lucas-clemente/quic-go"
)

const alpn = "sluice-test"

// cidLength gives connection IDs of one length, zero included (quic-go's own
// ConnectionIDLength takes 0 for "default").
type cidLength int

func (n cidLength) GenerateConnectionID() ([]byte, error) {
	id := make([]byte, int(n))
	_, err := rand.Read(id)
	return id, err
}

func (n cidLength) ConnectionIDLen() int { return int(n) }

type target struct {
	sni  string
	addr *net.UDPAddr
	name string
}

func parseTarget(text string) (target, error) {
	sni, rest, found := strings.Cut(text, "@")
	if !found || sni == "" {
		return target{}, fmt.Errorf("target %q: must be SNI@ADDRESS:PORT[=NAME]", text)
	}
	address, name, named := strings.Cut(rest, "=")
	if !named {
		name = sni
	}
	addr, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return target{}, fmt.Errorf("target %q: %w", text, err)
	}
	return target{sni, addr, name}, nil
}

func clientTLS(caFile, sni string, protocols ...string) (*tls.Config, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate in it", caFile)
	}
	return &tls.Config{RootCAs: roots, ServerName: sni, NextProtos: protocols}, nil
}

func clientQUIC(cidLen int) *quic.Config {
	return &quic.Config{
		ConnectionIDGenerator: cidLength(cidLen),
		HandshakeIdleTimeout:  10 * time.Second,
		MaxIdleTimeout:        10 * time.Second,
	}
}

// report prints one JSON object; the exit status says the same for the shell.
func report(result interface{}, failed bool) {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(result); err != nil || failed {
		os.Exit(1)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "quicgo:", err)
	os.Exit(1)
}

func main() {
	commands := map[string]func([]string) error{
		"server": serve,
		"client": client,
		"many":   many,
		"get":    get,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fatal(errors.New("usage: quicgo server|client|many|get [OPTIONS] [TARGET...]"))
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fatal(err)
	}
}
