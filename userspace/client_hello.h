/* SPDX-License-Identifier: MIT */
/*
 * client_hello: the server name in a TLS ClientHello (RFC 8446 s4.1.2, RFC
 * 6066 s3). Worker thread and sluice-inspect; pure. The input is hostile.
 */
#ifndef SLUICE_CLIENT_HELLO_H
#define SLUICE_CLIENT_HELLO_H

#include <stddef.h>
#include <stdint.h>

#include "hello.h"

/*
 * Reads a ClientHello, with its handshake header, of which the first len bytes
 * are there. HELLO_SNI: `name` is set, lower case, NUL-terminated; the rest of
 * the message may still be missing. HELLO_NO_SNI: the message is complete.
 * HELLO_INCOMPLETE: more bytes are needed. HELLO_BAD_CLIENT_HELLO: whatever
 * follows, it cannot become one that we route by. With Encrypted Client Hello
 * the name is that of the outer ClientHello, the only one there is to see.
 */
enum hello_verdict client_hello_name(const uint8_t *bytes, size_t len, char name[static HELLO_NAME_MAX + 1]);

#endif
