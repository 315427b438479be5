#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""echo: plain TCP and UDP for the end-to-end tests.

    echo.py serve tcp:PORT udp:PORT ...     echoes on every address, until it is ended
    echo.py ask tcp|udp HOST PORT [TIMES]   each time from a new socket; fails unless all comes back
"""
import os
import selectors
import socket
import sys


def bind(kind, port):
    listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("::", port))
    if kind == "tcp":
        listener.listen(64)
    return listener


def serve(specs):
    selector = selectors.DefaultSelector()
    # TCP first: the tests wait for the UDP ports to be bound.
    for kind, port in sorted(spec.split(":") for spec in specs):
        selector.register(bind(kind, int(port)), selectors.EVENT_READ, kind)
    while True:
        for key, _ in selector.select():
            if key.data == "udp":
                data, peer = key.fileobj.recvfrom(65536)
                key.fileobj.sendto(data, peer)
            else:
                connection, _ = key.fileobj.accept()
                with connection:
                    connection.settimeout(5)
                    connection.sendall(connection.recv(65536))


def ask(kind, host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    payload = os.urandom(512)
    with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as peer:
        peer.settimeout(3)
        peer.connect((host, port))
        peer.sendall(payload)
        answer = b""
        while len(answer) < len(payload):
            piece = peer.recv(65536)
            if not piece:
                break
            answer += piece
    if answer != payload:
        sys.exit(f"{kind} {host} {port}: {len(answer)} bytes came back that are not what was sent")


def main(arguments):
    if len(arguments) >= 2 and arguments[0] == "serve":
        serve(arguments[1:])
    elif len(arguments) in (4, 5) and arguments[0] == "ask":
        for _ in range(int(arguments[4]) if len(arguments) == 5 else 1):
            ask(arguments[1], arguments[2], int(arguments[3]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
