/* SPDX-License-Identifier: MIT */
/*
 * redis_state: what redis.c (connections, time), redis_load.c (reading routes),
 * redis_write.c (writing them) and redis_sessions.c share. The caller's thread of redis.h.
 */
#ifndef SLUICE_REDIS_STATE_H
#define SLUICE_REDIS_STATE_H

#include "control/redis.h"
#include "control/redis_connection.h"
#include "control/redis_message.h"
#include "control/redis_table.h"

#define REDIS_KEY_SIMPLE "porter:routes:simple"
#define REDIS_KEY_AGONES "porter:routes:agones"
#define REDIS_KEY_OURS "porter:routes:sluice"

/* In the order of loading: what comes later wins. */
enum redis_hash { REDIS_HASH_OURS, REDIS_HASH_SIMPLE, REDIS_HASH_AGONES, REDIS_HASHES };
extern const char *const redis_keys[REDIS_HASHES];

enum {
	REDIS_EXPECTED_MAX = 256,      /* commands on their way, a transaction being one: a power of two */
	REDIS_UNSENT_BYTES_MAX = 256 << 10,
	REDIS_SCAN_COUNT = 1000,       /* less: more round trips; more: Redis serves nobody else for longer */
};

enum redis_phase { REDIS_WAITING, REDIS_CONNECTING, REDIS_LOADING, REDIS_READY };

enum redis_command {
	REDIS_LOGIN, REDIS_PING, REDIS_SCAN, REDIS_WRITE, REDIS_SESSIONS_PUT, REDIS_SESSION_FIND, REDIS_COMMANDS
};

/* A command whose answer is due. */
struct redis_expected {
	enum redis_command command;
	unsigned replies_left;
	union {
		struct redis_entry *entry; /* REDIS_WRITE: of `writes` */
		struct {                   /* REDIS_SESSION_FIND: redis_session_find's */
			uint64_t id;
			uint8_t min_len, max_len;
		} find;
	};
	uint64_t sent_ns;
};

struct redis {
	struct redis_options options;  /* its strings are not used after redis_new */
	struct redis_callbacks callbacks;
	char *host, *user, *password, *channel, *own_channel;
	char db[12];
	uint16_t port;
	struct tls_context *tls_context;
	char origin[REDIS_ORIGIN_BYTES];

	int epoll_fd, timer_fd;
	enum redis_phase phase;
	uint64_t deadline_ns;          /* of the phase: connect again, or give up; READY: none */
	uint64_t ready_ns;             /* since when */
	uint64_t ping_ns, commands_heard_ns, subscriber_heard_ns;
	unsigned attempt;              /* failures in a row */
	bool more;                     /* redis_handle stopped early */
	struct redis_connection commands, subscriber;
	bool subscriber_logged_in;
	unsigned subscriptions;

	struct redis_expected expected[REDIS_EXPECTED_MAX];
	unsigned expected_first, expected_count;
	unsigned expected_of[REDIS_COMMANDS]; /* of those, by command */
	bool no_memory;                /* to send something that was not redis_handle's: the connection is of no more use */

	struct redis_table held;       /* what Redis holds once our writes are there */
	struct redis_table loading, news; /* LOADING: read so far; published meanwhile */
	enum redis_hash loading_hash;
	struct redis_table writes;     /* of ours, until confirmed */
	char write_error[TLS_ERROR_BYTES]; /* the first of the transaction whose replies are being read */

	struct redis_stats stats;
};

/* redis_fd is readable at once. */
void redis_wake(struct redis *redis);

/* Sends a command, and notes what answers are due. 0, or it failed and the connection's error says why. */
int redis_send(struct redis *redis, const struct redis_expected *expected, int argc, const char *const argv[]);

/* The same for a command whose answers are those of one that was noted. */
int redis_send_more(struct redis *redis, int argc, const char *const argv[]);

/* Makes the table say so; spelling as redis_entry_spell. 0 or -ENOMEM; -ENOSPC: it holds `max` others. */
int redis_know(struct redis_table *table, size_t max, const char *fqdn, const char *spelling, struct route_spec *spec);

/* redis_load.c. Errors: the connection is of no more use, *why says why. */
/* redis_load_reply: 1: the snapshot has been told; 0: there is more to load. */
int redis_load_begin(struct redis *redis, const char **why);
int redis_load_reply(struct redis *redis, const struct redis_reply *reply, const char **why);
int redis_published(struct redis *redis, bool own_channel, const struct redis_reply *text, const char **why);

/* redis_write.c. */
void redis_writes_restart(struct redis *redis);      /* the connection is gone: all must be sent (again) */
int redis_writes_send(struct redis *redis);          /* as much as goes; errors as redis_send */
void redis_write_echo(struct redis *redis, const char *fqdn);
/* Whether what others say about the name was said before a write of ours. */
bool redis_write_covers(const struct redis *redis, const char *fqdn);
int redis_write_reply(struct redis *redis, struct redis_expected *expected, const struct redis_reply *reply,
		      const char **why);
/* Whether an echo is overdue. */
bool redis_writes_late(const struct redis *redis, uint64_t now_ns);

/* redis_sessions.c: one reply; expected->replies_left: how many of that command are still to come. Errors as above. */
int redis_session_reply(struct redis *redis, const struct redis_expected *expected, const struct redis_reply *reply,
			const char **why);

#endif
