/* SPDX-License-Identifier: MIT */
/*
 * capture: the UDP datagrams of a capture file (pcap or pcapng, read by
 * libpcap), one after the other. sluice-inspect only; one thread. The file is
 * hostile; nothing grows with it.
 */
#ifndef SLUICE_CAPTURE_H
#define SLUICE_CAPTURE_H

#include <stddef.h>
#include <stdio.h>

#include "packet.h"

struct capture;

/* path "-" is standard input. NULL: error[] says why, without the path. */
struct capture *capture_open(const char *path, char *error, size_t error_size);

/* The same from a stream, which is taken over: closed with the capture, or at once on failure. */
struct capture *capture_open_stream(FILE *stream, char *error, size_t error_size);

void capture_close(struct capture *capture);

enum capture_verdict {
	CAPTURE_UDP,      /* *packet is the next UDP datagram, valid until the next call */
	CAPTURE_END,
	CAPTURE_ERROR,    /* capture_error says what is wrong with the file from here on */
};

/*
 * Passes over all frames that are not whole UDP datagrams: other protocols,
 * fragments, impossible lengths. Where the capture kept less of a datagram
 * than was sent (snaplen), zeros stand for the rest.
 */
enum capture_verdict capture_next(struct capture *capture, struct packet *packet);

const char *capture_error(const struct capture *capture);

#endif
