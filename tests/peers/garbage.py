#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""garbage: hostile datagrams for the end-to-end tests, the same for the same seed.

    garbage.py KIND HOST PORT COUNT [SEED]

KIND is a row of KINDS below: what a datagram of it looks like, and so the
reason for which a relay should drop it (RFC 9000 s17, s14.1).
"""
import random
import socket
import sys
import time

V1 = b"\x00\x00\x00\x01"


def long_header(rng, first, version, dcid_len):
    return bytes([first]) + version + bytes([dcid_len]) + rng.randbytes(dcid_len) + b"\x08" + rng.randbytes(8)


def initial(rng, size, dcid_len=8):
    """Well formed up to its protected payload, which authenticates under no key."""
    head = long_header(rng, 0xC3, V1, dcid_len) + b"\x00"
    rest = size - len(head) - 2
    return head + (0x4000 | rest).to_bytes(2, "big") + rng.randbytes(rest)


KINDS = {
    "random": lambda rng, i: rng.randbytes(rng.randrange(1, 1400)),
    "empty": lambda rng, i: b"",
    # Every length of a valid Initial in turn.
    "truncated": lambda rng, i: initial(rng, 1200)[: 1 + i % 1199],
    "small-initial": lambda rng, i: initial(rng, 600),
    "short-dcid": lambda rng, i: initial(rng, 1200, dcid_len=7),
    "undecryptable": lambda rng, i: initial(rng, 1200, dcid_len=8 + i % 13),
    "handshake": lambda rng, i: (long_header(rng, 0xE3, V1, 8) + b"\x44\x00" + rng.randbytes(1024)),
    "version": lambda rng, i: (long_header(rng, 0xC3, b"\xfa\xce\xb0\x0c", 8) + rng.randbytes(1200)),
    "short-header": lambda rng, i: b"\x43" + rng.randbytes(60),
}


def main(arguments):
    if len(arguments) not in (4, 5) or arguments[0] not in KINDS:
        sys.exit(f"{__doc__}\nKIND: {' '.join(KINDS)}")
    make, host, port, count = KINDS[arguments[0]], arguments[1], int(arguments[2]), int(arguments[3])
    rng = random.Random(int(arguments[4]) if len(arguments) == 5 else 1)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for i in range(count):
            sender.sendto(make(rng, i), (host, port))
            if i % 64 == 63:
                time.sleep(0.001)  # a pace, so that the receiver's queue and not the sender's is tried


if __name__ == "__main__":
    main(sys.argv[1:])
