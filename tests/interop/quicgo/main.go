// SPDX-License-Identifier: MIT

// interop peer on quic-go, HTTP/3. The command line is that of every peer in
// tests/interop (docs/interop.md):
//
//	quicgo client HOST ADDRESS PORT CA TEST PATH OUTPUT
//	quicgo server ADDRESS PORT CERT KEY DOCUMENTS [retry]
package main

import (
	"fmt"
	"os"
)

func run(args []string) error {
	switch {
	case len(args) == 8 && args[0] == "client":
		return get(args[1:])
	case (len(args) == 6 || len(args) == 7 && args[6] == "retry") && args[0] == "server":
		return serve(args[1:6], len(args) == 7)
	}
	return fmt.Errorf("usage: client HOST ADDRESS PORT CA TEST PATH OUTPUT | server ADDRESS PORT CERT KEY DOCUMENTS [retry]")
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "quicgo:", err)
		os.Exit(1)
	}
}
