// SPDX-License-Identifier: MIT

// client: one GET over HTTP/3, in the way its test asks for.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

const (
	timeLimit   = 25 * time.Second
	idleLimit   = 8 * time.Second
	probeLimit  = 3 * time.Second
	changeAfter = 500_000 // bytes of the answer, before the address changes
)

type client struct {
	url, output string
	remote      *net.UDPAddr
	tls         *tls.Config
	quic        *quic.Config
}

func newClient(host, address, port, ca, path, output string) (*client, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", ca)
	}
	remote, err := net.ResolveUDPAddr("udp", net.JoinHostPort(address, port))
	if err != nil {
		return nil, err
	}
	return &client{
		url:    "https://" + host + path,
		output: output,
		remote: remote,
		tls: &tls.Config{
			ServerName:         host,
			RootCAs:            roots,
			NextProtos:         []string{http3.NextProtoH3},
			ClientSessionCache: tls.NewLRUClientSessionCache(0),
		},
		quic: &quic.Config{Versions: []quic.Version{quic.Version1}, MaxIdleTimeout: idleLimit},
	}, nil
}

// fetch asks with this method for the document, and calls half way in the middle of the answer.
func (c *client) fetch(ctx context.Context, connection *quic.Conn, method string, halfWay func() error) error {
	transport := &http3.Transport{}
	defer transport.Close()
	request, err := http.NewRequestWithContext(ctx, method, c.url, nil)
	if err != nil {
		return err
	}
	response, err := transport.NewClientConn(connection).RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", response.Status)
	}
	file, err := os.Create(c.output)
	if err != nil {
		return err
	}
	defer file.Close()
	if halfWay != nil {
		if _, err := io.CopyN(file, response.Body, changeAfter); err != nil {
			return err
		}
		if err := halfWay(); err != nil {
			return err
		}
	}
	_, err = io.Copy(file, response.Body)
	return err
}

// once is one connection with one request; halfWay may be nil.
func (c *client) once(ctx context.Context, socket net.PacketConn, halfWay func(context.Context, *quic.Conn) error) error {
	transport := &quic.Transport{Conn: socket}
	defer transport.Close()
	connection, err := transport.Dial(ctx, c.remote, c.tls, c.quic)
	if err != nil {
		return err
	}
	defer connection.CloseWithError(0, "")
	if halfWay == nil {
		return c.fetch(ctx, connection, http.MethodGet, nil)
	}
	return c.fetch(ctx, connection, http.MethodGet, func() error { return halfWay(ctx, connection) })
}

func (c *client) plain(ctx context.Context) error {
	socket, err := newSocket()
	if err != nil {
		return err
	}
	return c.once(ctx, socket, nil)
}

// resumed gets the document twice: for a session ticket, then in 0-RTT.
func (c *client) resumed(ctx context.Context) error {
	if err := c.plain(ctx); err != nil {
		return err
	}
	socket, err := newSocket()
	if err != nil {
		return err
	}
	transport := &quic.Transport{Conn: socket}
	defer transport.Close()
	connection, err := transport.DialEarly(ctx, c.remote, c.tls, c.quic)
	if err != nil {
		return err
	}
	defer connection.CloseWithError(0, "")
	if err := c.fetch(ctx, connection, http3.MethodGet0RTT, nil); err != nil {
		return err
	}
	if !connection.ConnectionState().Used0RTT {
		return errors.New("0-RTT was not accepted")
	}
	return nil
}

// rebound changes the socket under quic-go, which knows nothing of it: as a NAT that forgot.
func (c *client) rebound(ctx context.Context) error {
	socket, err := newSwapped()
	if err != nil {
		return err
	}
	return c.once(ctx, socket, func(context.Context, *quic.Conn) error { return socket.swap() })
}

// migrated has quic-go probe a new path and switch to it.
func (c *client) migrated(ctx context.Context) error {
	socket, err := newSocket()
	if err != nil {
		return err
	}
	return c.once(ctx, socket, func(ctx context.Context, connection *quic.Conn) error {
		socket, err := newSocket()
		if err != nil {
			return err
		}
		path, err := connection.AddPath(&quic.Transport{Conn: socket})
		if err != nil {
			return err
		}
		probe, cancel := context.WithTimeout(ctx, probeLimit)
		defer cancel()
		if err := path.Probe(probe); err != nil {
			return err
		}
		return path.Switch()
	})
}

func get(args []string) error {
	c, err := newClient(args[0], args[1], args[2], args[3], args[5], args[6])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeLimit)
	defer cancel()
	switch args[4] {
	case "plain":
		return c.plain(ctx)
	case "v2":
		c.quic.Versions = []quic.Version{quic.Version2}
		return c.plain(ctx)
	case "0rtt":
		return c.resumed(ctx)
	case "rebind":
		return c.rebound(ctx)
	case "migrate":
		return c.migrated(ctx)
	}
	return fmt.Errorf("unknown test '%s'", args[4])
}
