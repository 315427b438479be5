/* SPDX-License-Identifier: MIT */
/*
 * flight_list: what clients ask for, from datagrams in the order of a
 * capture: one line per client flight. sluice-inspect only; one thread. The
 * input is hostile.
 *
 * A flight is what one client sends to open one connection: a 4-tuple and its
 * first DCID. The client is the sender of the 4-tuple's first datagram; what
 * the other side sends only teaches which DCIDs are the server's choice, and so
 * open no flight. Each flight goes through the relay's own parser (hello.h).
 *
 * Memory: some 400 bytes for a flight and its 4-tuple, 19 KB for each of
 * at most FLIGHT_LIST_OPEN_MAX flights whose ClientHello is not complete.
 */
#ifndef SLUICE_FLIGHT_LIST_H
#define SLUICE_FLIGHT_LIST_H

#include <stdio.h>

#include "packet.h"

enum {
	FLIGHT_LIST_OPEN_MAX = 8192,     /* over it, the oldest stays INCOMPLETE, whatever follows: 150 MB */
};

struct flight_list;

/*
 * Writes the header line to `out`. A flight's line follows as soon as it and
 * all before it are decided. NULL: no memory.
 */
struct flight_list *flight_list_new(FILE *out);

/* Takes in one datagram of the capture. 0 or -ENOMEM. */
int flight_list_add(struct flight_list *list, const struct packet *packet);

/* Writes what is still undecided. Whether `out` took it all is for the caller to ask (ferror). */
void flight_list_end(struct flight_list *list);

void flight_list_free(struct flight_list *list);

#endif
