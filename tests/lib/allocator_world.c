/* SPDX-License-Identifier: MIT */
/* allocator_world: see allocator_world.h. */
#include "tests/lib/allocator_world.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "tests/lib/certificates.h"

enum { PATIENCE_MS = 20000, WORDS_MAX = 32 };

static void require(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "allocator_world: %s\n", what);
	abort();
}

static void run_server(struct allocator_world *world, const char *const servers[])
{
	char ready[80], cert[80], key[80];
	const char *words[WORDS_MAX] = { "tests/peers/allocator.py", "--ready", ready, "--cert", cert, "--key", key,
					 "--client-ca", world->ca };
	unsigned count = 9;

	snprintf(ready, sizeof(ready), "%s/ready", world->dir);
	snprintf(cert, sizeof(cert), "%s/server.pem", world->dir);
	snprintf(key, sizeof(key), "%s/server.key", world->dir);
	for (unsigned i = 0; servers[i]; i++)
		words[count++] = servers[i];
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execv(words[0], (char *const *)(uintptr_t)words);
	_exit(127);
}

static bool is_ready(struct allocator_world *world)
{
	char path[80];
	FILE *file;
	int found;

	snprintf(path, sizeof(path), "%s/ready", world->dir);
	file = fopen(path, "r");
	if (!file)
		return false;
	found = fscanf(file, "%hu %hu", &world->port, &world->steering_port);
	fclose(file);
	return found == 2;
}

void allocator_world_begin(struct allocator_world *world, const char *const servers[])
{
	memset(world, 0, sizeof(*world));
	/* The process's number tells whose it is, should it be left behind. */
	snprintf(world->dir, sizeof(world->dir), "/tmp/sluice-agones-t%d-XXXXXX", (int)getpid());
	require(mkdtemp(world->dir), "no directory");
	signal(SIGPIPE, SIG_IGN);
	certificates_make(world->dir);
	snprintf(world->ca, sizeof(world->ca), "%s/ca.pem", world->dir);
	snprintf(world->cert, sizeof(world->cert), "%s/client.pem", world->dir);
	snprintf(world->key, sizeof(world->key), "%s/client.key", world->dir);
	world->server = fork();
	if (world->server == 0)
		run_server(world, servers);
	for (int waited_ms = 0; !is_ready(world); waited_ms += 5) {
		require(waited_ms < PATIENCE_MS, "the stand-in does not start");
		poll(NULL, 0, 5);
	}
	snprintf(world->host, sizeof(world->host), "localhost:%u", world->port);
	world->config = (struct config_agones){
		.enabled = true, .namespace = "default", .allocator_host = world->host,
		.allocator_client_cert = world->cert, .allocator_client_key = world->key,
		.allocator_ca_cert = world->ca, .timeout_ms = 1500, .port_name = "",
		.max_allocations_per_s = 100, .max_allocations_per_s_per_client = 5 };
}

void allocator_world_end(struct allocator_world *world)
{
	if (!world->dir[0])
		return;
	kill(world->server, SIGKILL);
	waitpid(world->server, NULL, 0);
	shell("rm -rf '%s'", world->dir);
	memset(world, 0, sizeof(*world));
}

void allocator_world_tell(struct allocator_world *world, const char *what)
{
	shell("curl -gsf -m 10 -o /dev/null -X POST '127.0.0.1:%u/%s'", world->steering_port, what);
}

long allocator_world_count(struct allocator_world *world, const char *what)
{
	char command[80];
	json_t *counts;
	long count;
	FILE *pipe;

	snprintf(command, sizeof(command), "curl -sf -m 10 127.0.0.1:%u/_count", world->steering_port);
	pipe = popen(command, "r");
	require(pipe, "no curl");
	counts = json_loadf(pipe, 0, NULL);
	pclose(pipe);
	require(json_object_get(counts, what), what);
	count = (long)json_integer_value(json_object_get(counts, what));
	json_decref(counts);
	return count;
}
