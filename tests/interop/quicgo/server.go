// SPDX-License-Identifier: MIT

// server: the files of a directory over HTTP/3, until it is killed.
package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

func serve(args []string, retry bool) error {
	address, port, cert, key, documents := args[0], args[1], args[2], args[3], args[4]

	certificate, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return err
	}
	local, err := net.ResolveUDPAddr("udp", net.JoinHostPort(address, port))
	if err != nil {
		return err
	}
	socket, err := net.ListenUDP("udp", local)
	if err != nil {
		return err
	}
	transport := &quic.Transport{Conn: socket, VerifySourceAddress: func(net.Addr) bool { return retry }}
	listener, err := transport.ListenEarly(
		http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{certificate}}),
		&quic.Config{Allow0RTT: true})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	server := http3.Server{Handler: http.FileServer(http.Dir(documents))}
	return server.ServeListener(listener)
}
