/* SPDX-License-Identifier: MIT */
/* redis_world: see redis_world.h. */
#include "tests/lib/redis_world.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/plain_spec.h"

enum { PATIENCE_MS = 10000, WORDS_MAX = 40 };

static void require(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "redis_world: %s\n", what);
	abort();
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool redis_world_possible(void)
{
	return system("command -v redis-server redis-cli >/dev/null") == 0;
}

void redis_world_begin(struct redis_world *world)
{
	memset(world, 0, sizeof(*world));
	/* The process's number tells whose it is, should it be left behind. */
	snprintf(world->dir, sizeof(world->dir), "/tmp/sluice-redis-t%d-XXXXXX", (int)getpid());
	require(mkdtemp(world->dir), "no directory");
	snprintf(world->socket, sizeof(world->socket), "%s/s", world->dir);
	snprintf(world->cli, sizeof(world->cli), "redis-cli -s %s", world->socket);
	signal(SIGPIPE, SIG_IGN);
}

static bool answers(const struct redis_world *world)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool connected;

	strcpy(address.sun_path, world->socket);
	connected = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(fd);
	return connected;
}

void redis_world_start(struct redis_world *world, const char *const options[])
{
	const char *words[WORDS_MAX] = { "redis-server", "--unixsocket", world->socket, "--dir", world->dir, "--save", "",
					 "--appendonly", "no", "--port", "0", "--logfile", "log" };
	long until = now_ms() + PATIENCE_MS;
	unsigned count = 13;

	for (unsigned i = 0; options && options[i]; i++)
		words[count++] = options[i];
	world->server = fork();
	if (world->server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execvp(words[0], (char *const *)(uintptr_t)words);
		_exit(127);
	}
	while (!answers(world)) {
		require(now_ms() < until, "redis-server does not start");
		poll(NULL, 0, 2);
	}
}

void redis_world_stop(struct redis_world *world)
{
	if (!world->server)
		return;
	kill(world->server, SIGKILL);
	waitpid(world->server, NULL, 0);
	world->server = 0;
}

void redis_world_end(struct redis_world *world)
{
	char command[128];

	if (!world->dir[0])
		return;
	redis_world_stop(world);
	snprintf(command, sizeof(command), "rm -rf '%s'", world->dir);
	require(system(command) == 0, "directory stays");
	memset(world, 0, sizeof(*world));
}

const char *redis_world_cli(struct redis_world *world, const char *format, ...)
{
	static char output[4096];
	char command[2048];
	size_t used = (size_t)snprintf(command, sizeof(command), "%s ", world->cli), len;
	va_list args;
	FILE *pipe;

	va_start(args, format);
	vsnprintf(command + used, sizeof(command) - used, format, args);
	va_end(args);
	pipe = popen(command, "r");
	require(pipe, "no redis-cli");
	len = fread(output, 1, sizeof(output) - 1, pipe);
	pclose(pipe);
	while (len > 0 && output[len - 1] == '\n')
		len--;
	output[len] = '\0';
	return output;
}

/* --- clients ------------------------------------------------------------------------------------- */

static void begin(void *context)
{
	struct redis_client *client = context;

	redis_table_end(&client->routes);
	require(redis_table_init(&client->routes) == 0, "no memory");
	client->in_snapshot = true;
}

static void put(struct redis_client *client, const char *fqdn, struct route_spec *spec)
{
	redis_table_put(&client->routes, fqdn, spec);
}

static void told(void *context, const char *fqdn, struct route_spec *spec)
{
	struct redis_client *client = context;

	client->outside += !client->in_snapshot;
	put(client, fqdn, spec);
}

static void end(void *context)
{
	struct redis_client *client = context;

	client->in_snapshot = false;
	client->snapshots++;
}

static void changed(void *context, const char *fqdn, struct route_spec *spec)
{
	struct redis_client *client = context;

	client->changes++;
	put(client, fqdn, spec);
}

static void deleted(void *context, const char *fqdn)
{
	struct redis_client *client = context;
	struct redis_entry *entry = redis_table_find(&client->routes, fqdn);

	client->deletions++;
	if (entry)
		redis_table_remove(&client->routes, entry);
}

static void refused(void *context, const char *fqdn, const char *reason)
{
	struct redis_client *client = context;

	client->refusals++;
	snprintf(client->reason, sizeof(client->reason), "%.100s: %.100s", fqdn, reason);
}

static void state(void *context, bool connected, const char *reason)
{
	struct redis_client *client = context;

	client->connected = connected;
	client->failures += !connected;
	snprintf(client->reason, sizeof(client->reason), "%s", reason);
}

static void session_found(void *context, uint64_t id, uint8_t cid_len, const struct session_record *record)
{
	struct redis_client *client = context;

	client->answers++;
	client->answered_id = id;
	client->found_len = record ? cid_len : 0;
	client->found = record ? *record : (struct session_record){ 0 };
}

void redis_client_begin(struct redis_client *client, struct redis_world *world, const struct redis_options *options)
{
	struct redis_options own = options ? *options : (struct redis_options){ 0 };
	struct redis_callbacks callbacks = { .snapshot_begin = begin, .snapshot_route = told, .snapshot_end = end,
					     .changed = changed, .deleted = deleted, .refused = refused,
					     .state = state, .session_found = session_found, .context = client };
	char error[TLS_ERROR_BYTES];

	memset(client, 0, sizeof(*client));
	require(redis_table_init(&client->routes) == 0, "no memory");
	own.address = own.address ? own.address : world->socket;
	own.backoff_min_ms = own.backoff_min_ms ? own.backoff_min_ms : 20;
	own.backoff_max_ms = own.backoff_max_ms ? own.backoff_max_ms : 200;
	client->redis = redis_new(&own, &callbacks, error);
	require(client->redis, error);
}

void redis_client_end(struct redis_client *client)
{
	redis_free(client->redis);
	redis_table_end(&client->routes);
	memset(client, 0, sizeof(*client));
}

struct redis_stats redis_client_stats(const struct redis_client *client)
{
	struct redis_stats stats;

	redis_stats(client->redis, &stats);
	return stats;
}

bool redis_clients_run(struct redis_client *const clients[], unsigned count, redis_condition *holds, void *context)
{
	long until = now_ms() + PATIENCE_MS;
	struct pollfd ready[4];

	while (!holds(context)) {
		if (now_ms() > until)
			return false;
		for (unsigned i = 0; i < count; i++)
			ready[i] = (struct pollfd){ .fd = redis_fd(clients[i]->redis), .events = POLLIN };
		poll(ready, count, 5);
		for (unsigned i = 0; i < count; i++) {
			if (ready[i].revents)
				redis_handle(clients[i]->redis);
		}
	}
	return true;
}

struct sought {
	struct redis_client *client;
	const char *fqdn, *target;
	enum route_type type;
	bool connected;
};

static bool is_seen(void *context)
{
	struct sought *sought = context;

	return redis_entry_says_plain(redis_table_find(&sought->client->routes, sought->fqdn), sought->type, sought->target);
}

bool redis_client_sees(struct redis_client *client, const char *fqdn, enum route_type type, const char *target)
{
	struct sought sought = { .client = client, .fqdn = fqdn, .type = type, .target = target };
	struct redis_client *one[] = { client };

	return redis_clients_run(one, 1, is_seen, &sought);
}

static bool is_connected(void *context)
{
	struct sought *sought = context;

	return sought->client->connected == sought->connected &&
	       (sought->connected || sought->client->failures > 0);
}

bool redis_client_connected(struct redis_client *client, bool connected)
{
	struct sought sought = { .client = client, .connected = connected };
	struct redis_client *one[] = { client };

	return redis_clients_run(one, 1, is_connected, &sought);
}
