/* SPDX-License-Identifier: MIT */
/*
 * initial_writer: makes ClientHellos and protected Initial packets of QUIC v1
 * and v2, for tests and benchmarks. Single thread; it trusts its caller and
 * aborts on misuse.
 *
 * It shares no code with userspace/initial.c: keys come from OpenSSL's HKDF, so
 * that one checks the other. Whatever stands in tests/lib is linked to every
 * test by the Makefile; include "tests/lib/initial_writer.h". For instance:
 *
 *     uint8_t hello[2000], frames[2100], datagram[1200];
 *     size_t hello_len = client_hello_write(hello, "a.example", 0);
 *     size_t len = crypto_frame_write(frames, 0, hello, hello_len);
 *     struct initial_spec spec = initial_spec_default();
 *     len = initial_write(datagram, &spec, frames, len);    (1,200 bytes)
 */
#ifndef SLUICE_TESTS_INITIAL_WRITER_H
#define SLUICE_TESTS_INITIAL_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/quic.h"

struct initial_spec {
	uint32_t version;
	struct quic_cid dcid, scid;
	struct quic_cid key_dcid;       /* of the flight's first Initial, or the Retry's SCID: makes the keys */
	const uint8_t *token;           /* NULL without */
	size_t token_len;
	uint32_t pn;
	unsigned pn_len;                /* 1..4; the low bytes of pn are written */
	size_t size;                    /* of the packet: filled up with PADDING frames; less than needed: as needed */
	bool from_server;               /* the server's keys instead of the client's */
};

/* v1, DCID and key_dcid 8394c8f03e515708, no SCID, no token, packet number 0 in 1 byte, 1,200 bytes. */
struct initial_spec initial_spec_default(void);

/* One packet around these frames. Its length; 0: the frames are longer than a datagram can hold. */
size_t initial_write(uint8_t *out, const struct initial_spec *spec, const uint8_t *frames, size_t frames_len);

/* The datagram most tests want: one Initial with hello[offset..offset+len) in one CRYPTO frame. */
size_t initial_write_crypto(uint8_t *out, const struct initial_spec *spec, const uint8_t *hello, size_t offset,
			    size_t len);

/*
 * A 0-RTT or Handshake packet of `size` bytes in all (or an Initial that does
 * not decrypt). Nobody on the path can read it, so any payload will do: 0xaa.
 */
size_t opaque_packet_write(uint8_t *out, enum quic_type type, uint32_t version, const struct quic_cid *dcid,
			   const struct quic_cid *scid, size_t size);

/* CRYPTO frame (RFC 9000 s19.6) with data[offset..offset+len) of the stream; data points at its first byte. */
size_t crypto_frame_write(uint8_t *out, uint64_t offset, const uint8_t *data, size_t len);

/* RFC 9000 s16, in 1, 2, 4 or 8 bytes; width 0: the fewest. */
size_t varint_write(uint8_t *out, uint64_t value, size_t width);

/* A ClientHello with its handshake header; sni NULL: without one; filler: bytes of a padding extension before it. */
size_t client_hello_write(uint8_t *out, const char *sni, size_t filler);

/* CID from hexadecimal digits. */
struct quic_cid cid_from_hex(const char *hex);

#endif
