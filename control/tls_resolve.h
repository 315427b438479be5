/* SPDX-License-Identifier: MIT */
/*
 * tls_resolve: a host's addresses without waiting for them (getaddrinfo_a,
 * which has a thread of glibc's own). Any thread. The resolver's answer is
 * trusted to be addresses, no more.
 */
#ifndef SLUICE_TLS_RESOLVE_H
#define SLUICE_TLS_RESOLVE_H

#include <netdb.h>
#include <stdint.h>

/* getaddrinfo_a has no fd to wait on: more often costs wake-ups, more seldom delays a connection by so much. */
enum { TLS_RESOLVE_POLL_MS = 5 };

struct tls_resolve;

/* Begins. NULL: no memory. */
struct tls_resolve *tls_resolve_new(const char *host, uint16_t port);

/* 0: *addresses is the list, until tls_resolve_free; EAI_INPROGRESS: not yet; else another EAI_ error. */
int tls_resolve_step(struct tls_resolve *resolve, const struct addrinfo **addresses);

/* At any time. A query that cannot be cancelled is freed by a later call, when it is over. */
void tls_resolve_free(struct tls_resolve *resolve);

#endif
