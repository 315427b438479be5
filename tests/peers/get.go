// SPDX-License-Identifier: MIT

// get: one HTTP/3 request to a target, GET or (with -upload) POST; the body of
// the answer goes to standard output. With -rebind, the client's port is
// another once so much has come, as behind a NAT that forgot it.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/lucas-clemente/quic-go"
	"github.com/lucas-clemente/quic-go/http3"
)

func get(args []string) error {
	flags := flag.NewFlagSet("get", flag.ExitOnError)
	ca := flags.String("ca", "", "certificate that signed the server's, PEM")
	path := flags.String("path", "/", "of the URL")
	upload := flags.String("upload", "", "file to POST")
	rebind := flags.Int("rebind", 0, "bytes received until the port changes; 0: it does not")
	keepAlive := flags.Duration("keep-alive", 0, "PING when nothing came for so long; 0: never")
	timeout := flags.Duration("timeout", 20*time.Second, "for everything")
	flags.Parse(args)
	if flags.NArg() != 1 {
		return fmt.Errorf("one target expected, not %d", flags.NArg())
	}
	target, err := parseTarget(flags.Arg(0))
	if err != nil {
		return err
	}
	tlsConfig, err := clientTLS(*ca, target.sni)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	socket, err := newRebindingSocket(*rebind)
	if err != nil {
		return err
	}
	defer socket.Close()
	transport := &http3.RoundTripper{
		TLSClientConfig: tlsConfig,
		QuicConfig:      &quic.Config{KeepAlivePeriod: *keepAlive},
		Dial: func(ctx context.Context, _ string, t *tls.Config, c *quic.Config) (quic.EarlyConnection, error) {
			return quic.DialEarlyContext(ctx, socket, target.addr, target.sni, t, c)
		},
	}
	defer transport.Close()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+target.sni+*path, nil)
	if err != nil {
		return err
	}
	if *upload != "" {
		file, err := os.Open(*upload)
		if err != nil {
			return err
		}
		request.Method, request.Body = http.MethodPost, file
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(os.Stdout, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", response.Status)
	}
	return nil
}
