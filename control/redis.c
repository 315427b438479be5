/* SPDX-License-Identifier: MIT */
/* redis: see redis.h. Here: options, connections, time, and which answer belongs to which command. */
#include "control/redis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "control/clock.h"
#include "control/printable.h"
#include "control/redis_state.h"

enum {
	TICK_MS = 1000,                /* how often a working connection is looked after */
	PING_MS = 5000,
	LOAD_MS = 60000,               /* a full load may take so long */
	SETTLED_MS = 5000,             /* ready for so long: the next failure begins a new back-off */
	REPLIES_AT_ONCE = 2000,        /* of one connection, before the caller's other work has its turn */
};

/* --- options ------------------------------------------------------------------------------------- */

/* HOST:PORT, [IPv6]:PORT or /PATH; false: none of them. */
static bool address_split(const char *address, char **host, uint16_t *port)
{
	const char *colon = strrchr(address, ':');
	size_t len = colon ? (size_t)(colon - address) : 0;
	bool bracketed = len > 2 && address[0] == '[' && address[len - 1] == ']';
	char *end;
	unsigned long number;

	*port = 0;
	if (address[0] == '/') {
		*host = strdup(address);
		return *host;
	}
	if (len == 0 || colon[1] < '0' || colon[1] > '9' || (!bracketed && memchr(address, ':', len)))
		return false;
	number = strtoul(colon + 1, &end, 10);
	if (*end || number < 1 || number > UINT16_MAX)
		return false;
	*port = (uint16_t)number;
	*host = bracketed ? strndup(address + 1, len - 2) : strndup(address, len);
	return *host;
}

static void origin_init(struct redis *redis)
{
	unsigned char bytes[(REDIS_ORIGIN_BYTES - 1) / 2] = { 0 };

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		snprintf((char *)bytes, sizeof(bytes), "%x", (unsigned)getpid());
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(redis->origin + 2 * i, 3, "%02x", bytes[i]);
}

static int options_copy(struct redis *redis, const struct redis_options *options, char error[static TLS_ERROR_BYTES])
{
	const char *channel = options->channel && options->channel[0] ? options->channel : "porter_routes";
	struct redis_options *ours = &redis->options;

	*ours = *options;
	ours->routes_max = ours->routes_max ? ours->routes_max : ROUTES_MAX;
	ours->writes_max = ours->writes_max ? ours->writes_max : 65536;
	ours->timeout_ms = ours->timeout_ms ? ours->timeout_ms : 5000;
	ours->backoff_min_ms = ours->backoff_min_ms ? ours->backoff_min_ms : 100;
	ours->backoff_max_ms = ours->backoff_max_ms ? ours->backoff_max_ms : 15000;
	snprintf(redis->db, sizeof(redis->db), "%u", options->db);
	if (!options->address || !address_split(options->address, &redis->host, &redis->port)) {
		snprintf(error, TLS_ERROR_BYTES, "address must be HOST:PORT, IP:PORT, [IPv6]:PORT or /PATH");
		return -EINVAL;
	}
	redis->user = strdup(options->user ? options->user : "");
	redis->password = strdup(options->password ? options->password : "");
	redis->channel = strdup(channel);
	if (!redis->user || !redis->password || !redis->channel ||
	    asprintf(&redis->own_channel, "%s:sluice", channel) < 0) {
		snprintf(error, TLS_ERROR_BYTES, "no memory");
		return -ENOMEM;
	}
	if (options->tls) {
		redis->tls_context = tls_context_new(&options->tls_options, error);
		if (!redis->tls_context)
			return -EINVAL;
	}
	return 0;
}

struct redis *redis_new(const struct redis_options *options, const struct redis_callbacks *callbacks,
			char error[static TLS_ERROR_BYTES])
{
	struct redis *redis = calloc(1, sizeof(*redis));
	struct epoll_event event = { .events = EPOLLIN };

	error[0] = '\0';
	if (!redis) {
		snprintf(error, TLS_ERROR_BYTES, "no memory");
		return NULL;
	}
	redis->epoll_fd = -1;
	redis->timer_fd = -1;
	redis->callbacks = *callbacks;
	redis->stats.since = time(NULL);
	origin_init(redis);
	if (options_copy(redis, options, error))
		goto err;
	redis->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	redis->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	event.data.fd = redis->timer_fd;
	if (redis->epoll_fd < 0 || redis->timer_fd < 0 ||
	    epoll_ctl(redis->epoll_fd, EPOLL_CTL_ADD, redis->timer_fd, &event) || redis_table_init(&redis->held) ||
	    redis_table_init(&redis->writes)) {
		snprintf(error, TLS_ERROR_BYTES, "%s", strerror(errno));
		goto err;
	}
	redis_wake(redis);
	return redis;
err:
	redis_free(redis);
	return NULL;
}

void redis_free(struct redis *redis)
{
	if (!redis)
		return;
	redis_connection_close(&redis->commands);
	redis_connection_close(&redis->subscriber);
	redis_table_end(&redis->held);
	redis_table_end(&redis->loading);
	redis_table_end(&redis->news);
	redis_table_end(&redis->writes);
	if (redis->timer_fd >= 0)
		close(redis->timer_fd);
	if (redis->epoll_fd >= 0)
		close(redis->epoll_fd);
	tls_context_free(redis->tls_context);
	free(redis->host);
	free(redis->user);
	if (redis->password)
		explicit_bzero(redis->password, strlen(redis->password));
	free(redis->password);
	free(redis->channel);
	free(redis->own_channel);
	free(redis);
}

/* --- time ---------------------------------------------------------------------------------------- */

static void arm(struct redis *redis, uint64_t at_ns)
{
	struct itimerspec when = { .it_value = clock_timespec(at_ns) };

	timerfd_settime(redis->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void redis_wake(struct redis *redis)
{
	arm(redis, 1); /* long ago; 0 would disarm it */
}

static void arm_next(struct redis *redis, uint64_t now_ns)
{
	int commands_ms = redis_connection_timeout_ms(&redis->commands);
	int subscriber_ms = redis_connection_timeout_ms(&redis->subscriber);
	uint64_t at_ns = now_ns + TICK_MS * MS_NS;

	if (redis->more) {
		redis_wake(redis);
		return;
	}
	if (redis->phase != REDIS_READY && redis->deadline_ns < at_ns)
		at_ns = redis->deadline_ns;
	if (commands_ms >= 0 && now_ns + (uint64_t)commands_ms * MS_NS < at_ns)
		at_ns = now_ns + (uint64_t)commands_ms * MS_NS;
	if (subscriber_ms >= 0 && now_ns + (uint64_t)subscriber_ms * MS_NS < at_ns)
		at_ns = now_ns + (uint64_t)subscriber_ms * MS_NS;
	arm(redis, at_ns ? at_ns : 1);
}

/* Exponential, with jitter: many relays must not come back to a restarted Redis in step. */
static uint64_t backoff_ns(struct redis *redis)
{
	uint64_t ms = redis->options.backoff_min_ms;
	uint16_t random = 0;

	for (unsigned i = 0; i < redis->attempt && ms < redis->options.backoff_max_ms; i++)
		ms *= 2;
	if (ms > redis->options.backoff_max_ms)
		ms = redis->options.backoff_max_ms;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = 0;
	return ms * MS_NS + ms * MS_NS / 2 * random / UINT16_MAX;
}

/* --- connecting, and failing --------------------------------------------------------------------- */

static void state_changed(struct redis *redis, bool connected)
{
	if (redis->stats.connected != connected) {
		redis->stats.connected = connected;
		redis->stats.since = time(NULL);
	}
	if (redis->callbacks.state)
		redis->callbacks.state(redis->callbacks.context, connected, redis->stats.error);
}

static void failed(struct redis *redis, const char *why)
{
	uint64_t now_ns = clock_now_ns();

	/* Before the connections go: why may lie in one of them. */
	printable_copy(redis->stats.error, sizeof(redis->stats.error), why);
	if (redis->phase == REDIS_READY && now_ns - redis->ready_ns > SETTLED_MS * MS_NS)
		redis->attempt = 0;
	redis_connection_close(&redis->commands);
	redis_connection_close(&redis->subscriber);
	redis_table_end(&redis->loading);
	redis_table_end(&redis->news);
	redis->expected_count = 0;
	memset(redis->expected_of, 0, sizeof(redis->expected_of));
	redis->write_error[0] = '\0';
	redis->no_memory = false;
	redis_writes_restart(redis);
	redis->phase = REDIS_WAITING;
	redis->deadline_ns = now_ns + backoff_ns(redis);
	redis->attempt += redis->attempt < 32;
	redis->stats.failures++;
	redis->more = false;
	state_changed(redis, false);
}

int redis_send(struct redis *redis, const struct redis_expected *expected, int argc, const char *const argv[])
{
	unsigned at = (redis->expected_first + redis->expected_count) % REDIS_EXPECTED_MAX;
	int error = redis_connection_command(&redis->commands, argc, argv);

	if (error)
		return error;
	redis->expected[at] = *expected;
	redis->expected[at].sent_ns = clock_now_ns();
	redis->expected_count++;
	redis->expected_of[expected->command]++;
	return 0;
}

int redis_send_more(struct redis *redis, int argc, const char *const argv[])
{
	return redis_connection_command(&redis->commands, argc, argv);
}

/* Both connections, and what each says first; none of it waits for an answer. 0 or -ENOMEM. */
static int connect_begin(struct redis *redis, uint64_t now_ns)
{
	bool has_user = redis->user[0];
	const char *auth[] = { "AUTH", has_user ? redis->user : redis->password, redis->password };
	const char *select[] = { "SELECT", redis->db };
	const char *subscribe[] = { "SUBSCRIBE", redis->channel, redis->own_channel };
	static const struct redis_expected login = { .command = REDIS_LOGIN, .replies_left = 1 };
	int error;

	redis->phase = REDIS_CONNECTING;
	redis->deadline_ns = now_ns + redis->options.timeout_ms * MS_NS;
	redis->subscriptions = 0;
	redis->subscriber_logged_in = !has_user && !redis->password[0];
	error = redis_connection_open(&redis->commands, redis->tls_context, redis->host, redis->port,
				      redis->epoll_fd);
	if (!error)
		error = redis_connection_open(&redis->subscriber, redis->tls_context, redis->host, redis->port,
					      redis->epoll_fd);
	if (!error && !redis->subscriber_logged_in) {
		error = redis_send(redis, &login, has_user ? 3 : 2, auth);
		if (!error)
			error = redis_connection_command(&redis->subscriber, has_user ? 3 : 2, auth);
	}
	if (!error)
		error = redis_send(redis, &login, 2, select);
	if (!error)
		error = redis_connection_command(&redis->subscriber, 3, subscribe);
	return error;
}

/* Subscribed, and nothing is due from the other connection: what is published from now on will be heard. */
static int load_if_ready(struct redis *redis, const char **why)
{
	if (redis->phase != REDIS_CONNECTING || redis->subscriptions < 2 || redis->expected_count > 0)
		return 0;
	redis->phase = REDIS_LOADING;
	redis->deadline_ns = clock_now_ns() + LOAD_MS * MS_NS;
	return redis_load_begin(redis, why);
}

static void ready(struct redis *redis)
{
	redis->phase = REDIS_READY;
	redis->ready_ns = clock_now_ns();
	redis->ping_ns = redis->subscriber_heard_ns = redis->commands_heard_ns = redis->ready_ns;
	redis->stats.connects++;
	redis->stats.error[0] = '\0';
	state_changed(redis, true);
}

/* --- answers ------------------------------------------------------------------------------------- */

static int command_reply(struct redis *redis, const struct redis_reply *reply, const char **why)
{
	struct redis_expected *expected = &redis->expected[redis->expected_first];
	struct redis_expected done;
	int result = 0;

	*why = "an answer to nothing";
	if (redis->expected_count == 0)
		return -EPROTO;
	expected->replies_left--;
	if (expected->command == REDIS_WRITE && expected->replies_left > 0)
		return redis_write_reply(redis, expected, reply, why);
	if (expected->command == REDIS_SESSIONS_PUT && expected->replies_left > 0)
		return redis_session_reply(redis, expected, reply, why);
	done = *expected;
	redis->expected_first = (redis->expected_first + 1) % REDIS_EXPECTED_MAX;
	redis->expected_count--;
	redis->expected_of[done.command]--;
	redis->stats.commands++;
	histogram_add(&redis->stats.latency, clock_now_ns() - done.sent_ns);
	if (done.command == REDIS_WRITE)
		return redis_write_reply(redis, &done, reply, why);
	if (done.command == REDIS_SESSIONS_PUT || done.command == REDIS_SESSION_FIND)
		return redis_session_reply(redis, &done, reply, why);
	if (reply->type == REDIS_ERROR)
		redis->stats.command_errors++;
	if (done.command == REDIS_SCAN) {
		result = redis_load_reply(redis, reply, why);
		if (result > 0)
			ready(redis);
		return result < 0 ? result : 0;
	}
	*why = reply->type == REDIS_ERROR ? reply->text : "not an answer to AUTH, SELECT or PING";
	return reply->type == REDIS_STATUS ? 0 : -EPROTO;
}

static int subscriber_reply(struct redis *redis, const struct redis_reply *reply, const char **why)
{
	struct redis_reply *const *words = reply->elements;

	if (!redis->subscriber_logged_in && redis_reply_is(reply, REDIS_STATUS, "OK")) {
		redis->subscriber_logged_in = true;
		return 0;
	}
	*why = reply->type == REDIS_ERROR ? reply->text : "not what a subscriber is told";
	if (reply->type != REDIS_ARRAY || reply->count < 2 || words[0]->type != REDIS_STRING)
		return -EPROTO;
	if (redis_reply_is(words[0], REDIS_STRING, "pong"))
		return 0;
	if (reply->count != 3)
		return -EPROTO;
	if (redis_reply_is(words[0], REDIS_STRING, "subscribe")) {
		redis->subscriptions++;
		return 0;
	}
	if (!redis_reply_is(words[0], REDIS_STRING, "message"))
		return -EPROTO;
	if (redis_reply_is(words[1], REDIS_STRING, redis->own_channel))
		return redis_published(redis, true, words[2], why);
	if (redis_reply_is(words[1], REDIS_STRING, redis->channel))
		return redis_published(redis, false, words[2], why);
	return -EPROTO;
}

typedef int reply_handler(struct redis *redis, const struct redis_reply *reply, const char **why);

/* All that has arrived, within limits. False: failed, and that was dealt with. */
static bool serve(struct redis *redis, struct redis_connection *connection, uint64_t *heard_ns,
		  reply_handler *handle)
{
	struct redis_reply *reply = NULL;
	const char *why = connection->error;
	int error = redis_connection_step(connection);

	for (unsigned i = 0; !error; i++) {
		if (i == REPLIES_AT_ONCE) {
			redis->more = true;
			break;
		}
		error = redis_connection_reply(connection, &reply);
		if (error || !reply)
			break;
		*heard_ns = clock_now_ns();
		error = handle(redis, reply, &why);
		if (!error)
			redis_reply_free(reply);
	}
	if (!error)
		return true;
	failed(redis, why);
	redis_reply_free(reply); /* only now: why may be its text */
	return false;
}

/* --- the caller's turn --------------------------------------------------------------------------- */

static const char *overdue(const struct redis *redis, uint64_t now_ns)
{
	uint64_t silence_ns = (PING_MS + redis->options.timeout_ms) * MS_NS;

	if (redis->phase != REDIS_READY && now_ns >= redis->deadline_ns)
		return redis->phase == REDIS_LOADING ? "loading took too long" : "no connection in time";
	if (redis->phase == REDIS_CONNECTING)
		return NULL;
	/* In order: nothing behind the first can be later than it. */
	if (redis->expected_count > 0 &&
	    now_ns > redis->expected[redis->expected_first].sent_ns + redis->options.timeout_ms * MS_NS)
		return "no answer in time";
	if (redis->phase == REDIS_LOADING)
		return NULL;
	if (now_ns > redis->subscriber_heard_ns + silence_ns || now_ns > redis->commands_heard_ns + silence_ns)
		return "silent for too long";
	return redis_writes_late(redis, now_ns) ? "our own messages do not come back" : NULL;
}

/* Pings when it is time, sends what is queued. False: failed. */
static bool send_all(struct redis *redis, uint64_t now_ns)
{
	static const struct redis_expected pong = { .command = REDIS_PING, .replies_left = 1 };
	const char *ping[] = { "PING" };
	int error = redis->no_memory ? -ENOMEM : redis_writes_send(redis);

	if (!error && redis->phase == REDIS_READY && now_ns - redis->ping_ns >= PING_MS * MS_NS) {
		redis->ping_ns = now_ns;
		if (redis->expected_count < REDIS_EXPECTED_MAX)
			error = redis_send(redis, &pong, 1, ping);
		if (!error && redis_connection_command(&redis->subscriber, 1, ping)) {
			failed(redis, redis->subscriber.error);
			return false;
		}
	}
	if (!error)
		error = redis_connection_step(&redis->commands);
	if (!error && redis_connection_step(&redis->subscriber)) {
		failed(redis, redis->subscriber.error);
		return false;
	}
	if (error)
		failed(redis, redis->commands.error);
	return !error;
}

static void handle_open(struct redis *redis, uint64_t now_ns)
{
	const char *why = "";

	/* The subscriber first: what it says is then kept or applied in the order it was published. */
	if (!serve(redis, &redis->subscriber, &redis->subscriber_heard_ns, subscriber_reply) ||
	    !serve(redis, &redis->commands, &redis->commands_heard_ns, command_reply))
		return;
	if (load_if_ready(redis, &why)) {
		failed(redis, why);
		return;
	}
	/* Late only if what has arrived by now is not it. */
	if (!redis->more && overdue(redis, now_ns)) {
		failed(redis, overdue(redis, now_ns));
		return;
	}
	if (!send_all(redis, now_ns))
		return;
	redis_connection_watch(&redis->commands);
	redis_connection_watch(&redis->subscriber);
}

void redis_handle(struct redis *redis)
{
	uint64_t now_ns = clock_now_ns(), expirations;

	if (read(redis->timer_fd, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
		redis_wake(redis);
	redis->more = false;
	if (redis->phase == REDIS_WAITING && now_ns >= redis->deadline_ns && connect_begin(redis, now_ns))
		failed(redis, "no memory");
	if (redis->phase != REDIS_WAITING)
		handle_open(redis, now_ns);
	arm_next(redis, clock_now_ns());
}

int redis_fd(const struct redis *redis)
{
	return redis->epoll_fd;
}

void redis_stats(const struct redis *redis, struct redis_stats *stats)
{
	*stats = redis->stats;
	stats->routes = redis->held.count;
	stats->writes_pending = redis->writes.count;
}
