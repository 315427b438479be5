/* SPDX-License-Identifier: MIT */
/*
 * lane: one testbed of scripts/testbed.sh as the bench sees it. There are two
 * alike: the relay stands in one, its baseline in the other, so that rounds
 * can alternate without anything being attached or started in between.
 *
 *     client ns          relay ns                    a ns
 *     cl0 ------------- relay0   relay1 ------------- a0
 *     10.83.1.2      10.83.1.1   10.83.2.1     10.83.2.2
 *
 * Clients are the addresses from CLIENT_FIRST on, behind 10.83.1.2; the first
 * is the client's own.
 */
#ifndef SLUICE_BENCH_LANE_H
#define SLUICE_BENCH_LANE_H

#include <stdbool.h>
#include <stdint.h>

#define LANE_LISTENER "10.83.1.1"
#define LANE_RELAY "10.83.2.1"       /* the relay's address towards the backend */
#define LANE_BACKEND "10.83.2.2"

enum {
	CLIENT_FIRST = 0x0a800001,   /* 10.128.0.1 */
	CLIENT_PORT = 40000,
	LISTENER_PORT = 443,
	BACKEND_PORT = 5000,         /* of the first of BACKENDS, all on one address */
	BACKENDS = 64,               /* each has some 36,000 relay ports: enough for 1M sessions */
	LANE_UDP_HEADERS = 14 + 20 + 8,
};

struct lane_end {
	int ns;                      /* borrowed from the lane */
	uint32_t ifindex;
	uint8_t mac[6];
	char name[16];
};

struct lane {
	const char *name;            /* of its testbed */
	int client_ns, relay_ns, backend_ns;
	struct lane_end client, in, out, backend;
};

/* Opens namespaces and looks interfaces up. */
bool lane_open(struct lane *lane, const char *testbed);
void lane_close(struct lane *lane);

/* The calling thread's network namespace. */
void ns_enter(int ns);
void ns_leave(void);                 /* back to that of the process's start */

/* Puts an XDP program on an interface in native mode in place of what is there; -1: takes it off. */
bool lane_attach(const struct lane_end *end, int program);

/* A UDP socket in one of the lane's namespaces, bound and not blocking; or -1. */
int lane_socket(int ns, uint32_t address, uint16_t port);

#endif
