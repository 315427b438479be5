/* SPDX-License-Identifier: MIT */
/*
 * families_bench: forwarder_bench with a way by IPv6 beside the other. Tests.
 *
 *     client 192.0.2.1     --> 203.0.113.5:443     [relay] 10.0.0.1        --> a 10.0.0.5:7001
 *     client 2001:db8:c::7 --> [2001:db8::5]:443   [relay] 2001:db8:1::1   --> six [2001:db8:2::5]:7003
 *                              interface 0                 interface 1
 */
#ifndef SLUICE_FAMILIES_BENCH_H
#define SLUICE_FAMILIES_BENCH_H

#include "forwarder_bench.h"

enum { SIX = 3 }; /* backend */

#define CLIENT4 "192.0.2.1"
#define CLIENT6 "2001:db8:c::7"
#define LISTENER6 "2001:db8::5"
#define RELAY6 "2001:db8:1::1"
#define BACKEND6 "2001:db8:2::5"

/* bench_open for 64 sessions, with an IPv6 listener and relay address, and six.test at an IPv6 backend. */
struct bench *families_open(void);

bool is_v6(const char *address);

/* From CLIENT_PORT of a client of either family, to the listener of its own. */
void from_any(struct bench *bench, const char *client, const void *payload, size_t len);

/* The only output, whole: addresses, ports (0: any) and payload. */
void assert_sent(const struct bench *bench, const char *src, uint16_t src_port, const char *dst, uint16_t dst_port,
		 const void *payload, size_t len);

/* The only output: an ICMP error to `to` from `from`, out of that interface, that tells this MTU. */
void assert_too_big(const struct bench *bench, const char *from, const char *to, unsigned interface, unsigned mtu);

#endif
