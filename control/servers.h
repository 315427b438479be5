/* SPDX-License-Identifier: MIT */
/*
 * servers: which of the servers that routes lead to may get new sessions:
 * those that are alive, as far as anyone asks, and that the operator does not
 * drain. Kept by address and port, so that all routes to a server share what
 * is known of it. No socket, no clock: the prober brings both. Any thread.
 */
#ifndef SLUICE_SERVERS_H
#define SLUICE_SERVERS_H

#include "control/probe.h"
#include "control/protocol.h"
#include "control/route_spec.h"

enum {
	SERVERS_WATCHED_MAX = 4096,    /* probed; further ones count as alive */
	SERVERS_DRAINING_MAX = 4096,
	SERVERS_PROBES_AT_ONCE = 64,   /* of one step: 6,400/s, above SERVERS_WATCHED_MAX a second */
};

struct servers;

/* NULL: no memory. */
struct servers *servers_new(void);
void servers_free(struct servers *servers);

/* Called where a server's state changes, on the thread that did it; it must not wait. Before other threads know it. */
void servers_listen(struct servers *servers, void (*news)(void *context), void *context);

/*
 * From now on no new sessions, by any route, or again. Servers that nobody knows yet too. 0, -ENOENT: it was not
 * draining; -ENOSPC, -ENOMEM.
 */
int servers_drain(struct servers *servers, const struct config_address *address, bool drain);

struct servers_status {
	struct addr address;
	__be16 port_be;
	bool watched, up;              /* up: alive; true where it is not watched */
	bool draining;
};

/* False: nothing is known of it: it is not watched, and not draining. */
bool servers_status(struct servers *servers, const struct addr *address, __be16 port_be, struct servers_status *status);

/* All that are watched or draining; *list is the caller's to free, NULL without memory. How many. */
size_t servers_list(struct servers *servers, struct servers_status **list);

/*
 * Takes from a route's targets those that get no new sessions: draining ones, and, with health, dead ones; but all
 * of a family if all of it are dead: then rather the probes are wrong (a firewall, a network that lost them), and
 * sessions that fail are no worse than none.
 */
void servers_choose(struct servers *servers, const char *fqdn, bool health, struct protocol_route *route);

struct servers_stats {
	size_t watched, unwatched;     /* unwatched: beyond SERVERS_WATCHED_MAX */
	size_t draining;
	uint64_t probes, failures;
	uint64_t fail_open;            /* times that servers_choose left dead ones */
};
void servers_stats(struct servers *servers, struct servers_stats *stats);

/* --- the prober's thread alone ----------------------------------------------------------------------- */

/*
 * One pass over all routes says who is watched, and how: begin, the targets of each route with health, end. Where
 * routes differ, the strictest of each number holds: the shortest interval and timeout, the lowest fall, the highest
 * rise. A new server counts as alive: routes serve at once, and a restart of this process takes nobody away.
 */
void servers_watch_begin(struct servers *servers);
void servers_watch(struct servers *servers, const struct route_health *health, const struct protocol_route *route,
		   uint64_t now_ns);
void servers_watch_end(struct servers *servers, uint64_t now_ns);

/* Sends to a server. 0 or -errno; under the lock: must not wait, nor call servers_. */
typedef int servers_send(void *context, const struct addr *address, __be16 port_be,
			 const uint8_t probe[static PROBE_BYTES]);

/*
 * Ends probes whose time is over, and begins those that are due. When to come again. A probe that could not be sent for
 * want of memory says nothing of the server; any other error is a failure.
 */
uint64_t servers_step(struct servers *servers, uint64_t now_ns, servers_send *send, void *context);

/* A datagram, or the datagram that an ICMP error quotes, from or for this server; whatever it is. */
void servers_answer(struct servers *servers, const struct addr *address, __be16 port_be, const uint8_t *bytes,
		    size_t len);
void servers_refused(struct servers *servers, const struct addr *address, __be16 port_be, const uint8_t *bytes,
		     size_t len);

/* Begins to tell of the changes since the last time. False: there are none, and nothing to end. */
bool servers_tell_begin(struct servers *servers);
/* Meanwhile: a route to these servers is another now. */
bool servers_concern(struct servers *servers, bool health, const struct protocol_route *route);
void servers_tell_end(struct servers *servers);

#endif
