/* SPDX-License-Identifier: MIT */
/*
 * redis_world: a redis-server of a test's own, in a directory of its own under
 * /tmp, and clients of it that write down what they are told. One thread.
 */
#ifndef SLUICE_REDIS_WORLD_H
#define SLUICE_REDIS_WORLD_H

#include <stdbool.h>
#include <sys/types.h>

#include "control/redis.h"
#include "control/redis_table.h"

struct redis_world {
	char dir[64];                  /* holds the socket "s" */
	char socket[80];
	pid_t server;                  /* 0: not running */
	char cli[256];                 /* redis-cli with the options it needs */
};

struct redis_client {
	struct redis *redis;
	struct redis_table routes;     /* as told */
	unsigned snapshots, changes, deletions, refusals, failures;
	unsigned outside;              /* routes of a snapshot that were told outside of one */
	unsigned answers;              /* of redis_session_find; the last: */
	uint64_t answered_id;
	uint8_t found_len;             /* 0: nobody's */
	struct session_record found;
	bool in_snapshot, connected;
	char reason[TLS_ERROR_BYTES];
};

/* False: there is no redis-server on this machine. */
bool redis_world_possible(void);
void redis_world_begin(struct redis_world *world);
/* Both ends may be called again, and then do nothing. */
void redis_world_end(struct redis_world *world);

/* options: further words for redis-server, NULL-terminated, or NULL. Returns when it answers. */
void redis_world_start(struct redis_world *world, const char *const options[]);
void redis_world_stop(struct redis_world *world);    /* SIGKILL: nothing is saved, nobody is told */

/* Runs redis-cli with these words (a shell's); its output, in a static buffer, without the last newline. */
const char *redis_world_cli(struct redis_world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* options NULL: the world's socket, back-off of 20 to 200 ms. */
void redis_client_begin(struct redis_client *client, struct redis_world *world, const struct redis_options *options);
void redis_client_end(struct redis_client *client);
struct redis_stats redis_client_stats(const struct redis_client *client);

/* Serves the clients until the condition holds; false after 10 s. */
typedef bool redis_condition(void *context);
bool redis_clients_run(struct redis_client *const clients[], unsigned count, redis_condition *holds, void *context);

/* For one client: until it holds that route (target NULL: until it does not), or until it is (not) connected. */
bool redis_client_sees(struct redis_client *client, const char *fqdn, enum route_type type, const char *target);
bool redis_client_connected(struct redis_client *client, bool connected);

#endif
