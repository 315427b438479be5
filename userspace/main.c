/* SPDX-License-Identifier: MIT */
/*
 * main of sluice-relay: options and configuration, then relay_run. The only
 * file here that knows where the configuration comes from.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "control/config.h"
#include "counters.h"
#include "dataplane.h"
#include "log.h"
#include "pins.h"
#include "relay.h"
#include "version.h"


static const char usage_text[] =
	"usage: sluice-relay -f FILE [-i IFACE[,IFACE...]] [-n INSTANCE]   run in the foreground\n"
	"       sluice-relay -f FILE -t                                    check the configuration\n"
	"       sluice-relay --detach [-n INSTANCE]                        take down what a dead relay left\n"
	"       sluice-relay --counters [-n INSTANCE]                      print packet counters\n"
	"\n"
	"  -f, --file FILE         configuration (see config.yaml)\n"
	"  -i, --interface LIST    interfaces; in place of xdp.interfaces\n"
	"  -n, --name INSTANCE     name of this instance (default: default)\n"
	"  -t, --test              check the configuration and exit\n"
	"      --detach            detach and unpin everything of the instance\n"
	"      --counters          print the instance's counters\n"
	"  -h, --help\n"
	"  -V, --version\n"
	"\n"
	"SIGTERM and SIGINT detach everything and end. SIGUSR2 ends too, but leaves program and\n"
	"sessions for the next start of the same instance, for relay.restart_grace seconds. SIGHUP\n"
	"reads the configuration again.\n";

enum action { ACTION_RUN, ACTION_TEST, ACTION_DETACH, ACTION_COUNTERS };

struct arguments {
	enum action action;
	const char *file, *instance;
	char *interfaces;
};

static int usage_error(void)
{
	fputs(usage_text, stderr);
	return 2;
}

/* -1: go on; else the exit status. */
static int arguments_parse(int argc, char **argv, struct arguments *arguments)
{
	enum { OPTION_DETACH = 256, OPTION_COUNTERS };
	static const struct option options[] = {
		{ "file", required_argument, NULL, 'f' },  { "interface", required_argument, NULL, 'i' },
		{ "name", required_argument, NULL, 'n' },  { "test", no_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },        { "version", no_argument, NULL, 'V' },
		{ "detach", no_argument, NULL, OPTION_DETACH },
		{ "counters", no_argument, NULL, OPTION_COUNTERS },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "f:i:n:thV", options, NULL)) != -1)
		switch (option) {
		case 'f':
			arguments->file = optarg;
			break;
		case 'i':
			arguments->interfaces = optarg;
			break;
		case 'n':
			arguments->instance = optarg;
			break;
		case 't':
			arguments->action = ACTION_TEST;
			break;
		case OPTION_DETACH:
			arguments->action = ACTION_DETACH;
			break;
		case OPTION_COUNTERS:
			arguments->action = ACTION_COUNTERS;
			break;
		case 'h':
			fputs(usage_text, stdout);
			return 0;
		case 'V':
			puts("sluice-relay " SLUICE_VERSION);
			return 0;
		default:
			return usage_error();
		}
	if (optind != argc)
		return usage_error();
	if (!pins_instance_is_valid(arguments->instance)) {
		fprintf(stderr, "sluice-relay: -n %s: must be letters, digits, '_' and '-', at most 64\n",
			arguments->instance);
		return 2;
	}
	return -1;
}

static int run_detach(const struct arguments *arguments)
{
	int error = dataplane_detach(arguments->instance);

	switch (-error) {
	case 0:
		printf("instance %s: detached\n", arguments->instance);
		return 0;
	case ENOENT:
		printf("instance %s: nothing there\n", arguments->instance);
		return 0;
	case EBUSY:
		fprintf(stderr, "sluice-relay: instance %s is running; stop it with SIGTERM\n", arguments->instance);
		return 1;
	default:
		fprintf(stderr, "sluice-relay: detach: %s\n", strerror(-error));
		return 1;
	}
}

static int run_counters(const struct arguments *arguments)
{
	int error = counters_print(arguments->instance, stdout);

	if (error)
		fprintf(stderr, "sluice-relay: instance %s: %s\n", arguments->instance,
			error == -ENOENT ? "not running, nothing pinned" :
			error == -EPROTO ? "its relay is of another version" : strerror(-error));
	return error ? 1 : 0;
}

/* Interfaces from -i (cut at its commas, in place) or else from the configuration; how many, also those that names has no room for. */
static unsigned interfaces_choose(const struct arguments *arguments, const struct config *config,
				  const char *names[static INTERFACES_MAX])
{
	unsigned count = 0;

	if (arguments->interfaces) {
		for (char *at = strtok(arguments->interfaces, ", "); at; at = strtok(NULL, ", "))
			if (count++ < INTERFACES_MAX)
				names[count - 1] = at;
	} else {
		for (; count < config->xdp.interface_count; count++)
			names[count] = config->xdp.interfaces[count];
	}
	return count;
}

/* SIGHUP. context: the arguments. */
static int reload(void *context, struct config *config)
{
	const struct arguments *arguments = context;

	if (config_load(arguments->file, config, stderr) < 0) {
		log_errorx("reload: %s has errors: nothing changed", arguments->file);
		return -1;
	}
	config_log_apply(&config->log);
	return 0;
}

static int run_relay(struct arguments *arguments, const struct config *config)
{
	const char *interfaces[INTERFACES_MAX];
	struct relay_options options = {
		.config = config,
		.instance = arguments->instance,
		.interfaces = interfaces,
		.interface_count = interfaces_choose(arguments, config, interfaces),
		.reload = reload,
		.reload_context = arguments,
	};
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	sigset_t set;

	config_log_apply(&config->log);
	setrlimit(RLIMIT_MEMLOCK, &unlimited); /* UMEM and, before Linux 5.11, BPF maps count against it */
	/* Before any thread is started: the steward alone takes them, from a signalfd. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return relay_run(&options);
}

int main(int argc, char **argv)
{
	struct arguments arguments = { .instance = "default" };
	struct config config;
	int status = arguments_parse(argc, argv, &arguments);

	if (status >= 0)
		return status;
	if (arguments.action == ACTION_DETACH)
		return run_detach(&arguments);
	if (arguments.action == ACTION_COUNTERS)
		return run_counters(&arguments);
	if (!arguments.file)
		return usage_error();
	if (config_load(arguments.file, &config, stderr) < 0)
		return 1;
	status = 0;
	if (arguments.action == ACTION_TEST)
		printf("%s: good, %zu route%s\n", arguments.file, config.route_count, config.route_count == 1 ? "" : "s");
	else
		status = run_relay(&arguments, &config);
	config_free(&config);
	return status;
}
