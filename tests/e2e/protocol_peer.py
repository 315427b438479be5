#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""protocol_peer: one side of control/protocol.h, of a version of its own.

    protocol_peer.py greet SOCKET VERSION    says HELLO to a relay; prints what comes back and how it ends
    protocol_peer.py relay SOCKET            a relay of version 99, until it is ended
"""
import pathlib
import re
import socket
import struct
import sys

HELLO, MAPS = 1, 2
ABI_H = pathlib.Path(__file__).parents[2] / "bpf/abi.h"
ABI = int(re.search(r"define SLUICE_ABI_VERSION (\d+)", ABI_H.read_text())[1])


def hello(version, text):
    return struct.pack("=HHII", HELLO, len(text), version, ABI) + text


def greet(peer, version):
    said = []
    try:
        peer.send(hello(version, b"test"))
        while packet := peer.recv(4096):
            said.append({HELLO: "HELLO", MAPS: "MAPS"}.get(packet[0], str(packet[0])))
    except (BrokenPipeError, ConnectionResetError):
        pass  # closed before it was asked
    print(*said, "END")


def main():
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if sys.argv[1] == "greet":
        peer.settimeout(5)
        peer.connect(sys.argv[2])
        greet(peer, int(sys.argv[3]))
        return
    peer.bind(sys.argv[2])
    peer.listen()
    while True:
        control, _ = peer.accept()
        control.recv(4096)
        control.send(hello(99, b"9.9"))
        control.recv(4096)


main()
