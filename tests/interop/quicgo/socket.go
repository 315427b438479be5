// SPDX-License-Identifier: MIT

// socket: UDP sockets of the client, and one that can be swapped for another
// while it is in use.
package main

import (
	"net"
	"sync"
	"time"
)

func newSocket() (*net.UDPConn, error) {
	return net.ListenUDP("udp", &net.UDPAddr{})
}

// swapped is a net.PacketConn whose socket, and thus port, may change.
type swapped struct {
	mutex   sync.Mutex
	current *net.UDPConn
}

func newSwapped() (*swapped, error) {
	socket, err := newSocket()
	return &swapped{current: socket}, err
}

func (s *swapped) socket() *net.UDPConn {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.current
}

func (s *swapped) swap() error {
	fresh, err := newSocket()
	if err != nil {
		return err
	}
	s.mutex.Lock()
	old := s.current
	s.current = fresh
	s.mutex.Unlock()
	return old.Close()
}

// ReadFrom goes on with the new socket when the one it waits on is closed by swap.
func (s *swapped) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		socket := s.socket()
		n, from, err := socket.ReadFrom(p)
		if err == nil || socket == s.socket() {
			return n, from, err
		}
	}
}

func (s *swapped) WriteTo(p []byte, to net.Addr) (int, error) { return s.socket().WriteTo(p, to) }
func (s *swapped) Close() error                               { return s.socket().Close() }
func (s *swapped) LocalAddr() net.Addr                        { return s.socket().LocalAddr() }
func (s *swapped) SetDeadline(t time.Time) error              { return s.socket().SetDeadline(t) }
func (s *swapped) SetReadDeadline(t time.Time) error          { return s.socket().SetReadDeadline(t) }
func (s *swapped) SetWriteDeadline(t time.Time) error         { return s.socket().SetWriteDeadline(t) }
