// SPDX-License-Identifier: MIT

// rebind: a UDP socket whose port changes once so many bytes have come. What
// is sent to the port before reaches nobody any more.
package main

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

type rebindingSocket struct {
	current  atomic.Value // *net.UDPConn
	received int          // of the reader alone
	rebindAt int          // 0: never, or done
}

func newRebindingSocket(rebindAt int) (*rebindingSocket, error) {
	socket, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, err
	}
	s := &rebindingSocket{rebindAt: rebindAt}
	s.current.Store(socket)
	return s, nil
}

func (s *rebindingSocket) socket() *net.UDPConn { return s.current.Load().(*net.UDPConn) }

func (s *rebindingSocket) ReadFrom(buffer []byte) (int, net.Addr, error) {
	n, from, err := s.socket().ReadFrom(buffer)
	s.received += n
	if err != nil || s.rebindAt == 0 || s.received < s.rebindAt {
		return n, from, err
	}
	next, err := net.ListenUDP("udp", nil)
	if err != nil {
		return 0, nil, err
	}
	s.rebindAt = 0
	before := s.socket()
	s.current.Store(next)
	before.Close()
	fmt.Fprintf(os.Stderr, "rebound after %d bytes: %v, now %v\n", s.received, before.LocalAddr(), next.LocalAddr())
	return n, from, nil
}

// A write that meets the change is a packet lost.
func (s *rebindingSocket) WriteTo(packet []byte, to net.Addr) (int, error) {
	if _, err := s.socket().WriteTo(packet, to); err != nil && s.rebindAt != 0 {
		return 0, err
	}
	return len(packet), nil
}

func (s *rebindingSocket) Close() error                       { return s.socket().Close() }
func (s *rebindingSocket) LocalAddr() net.Addr                { return s.socket().LocalAddr() }
func (s *rebindingSocket) SetDeadline(t time.Time) error      { return s.socket().SetDeadline(t) }
func (s *rebindingSocket) SetReadDeadline(t time.Time) error  { return s.socket().SetReadDeadline(t) }
func (s *rebindingSocket) SetWriteDeadline(t time.Time) error { return s.socket().SetWriteDeadline(t) }
