/* SPDX-License-Identifier: MIT */
/*
 * main of sluice-control: options and configuration, then the parts: routes,
 * link to the relay, REST API. The main thread is the link's, and takes the
 * signals; API threads are civetweb's. It may block, die or be upgraded: no
 * packet notices.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "control/allocation.h"
#include "control/api.h"
#include "control/config.h"
#include "control/link.h"
#include "control/prober.h"
#include "control/routes.h"
#include "control/share.h"
#include "control/targets.h"
#include "control/view.h"
#include "userspace/log.h"
#include "userspace/pins.h"
#include "userspace/version.h"

static const char usage_text[] =
	"usage: sluice-control -f FILE [-n INSTANCE]   run in the foreground\n"
	"       sluice-control -f FILE -t              check the configuration\n"
	"\n"
	"  -f, --file FILE       configuration, the relay's (see config.yaml)\n"
	"  -n, --name INSTANCE   name of the relay's instance (default: default)\n"
	"  -t, --test            check the configuration and exit\n"
	"  -h, --help\n"
	"  -V, --version\n"
	"\n"
	"SIGTERM and SIGINT end it; the relay goes on with its last routes. SIGHUP reads the\n"
	"configuration again, here and in the relay.\n";

struct control {
	const char *file, *instance;
	bool test_only;
	struct config config;          /* what it was started with */
	struct routes *routes;
	struct targets *targets;
	struct servers *servers;
	struct prober *prober;
	struct view *view;
	struct link *link;
	struct share *share;           /* NULL: redis.enabled is false */
	struct agones *agones;         /* NULL, like allocation: agones.enabled is false */
	struct allocation *allocation;
	struct api *api;
	uint64_t expired_s;            /* when routes were last looked at for their end */
};

static int usage_error(void)
{
	fputs(usage_text, stderr);
	return 2;
}

/* -1: go on; else the exit status. */
static int arguments_parse(int argc, char **argv, struct control *control)
{
	static const struct option options[] = {
		{ "file", required_argument, NULL, 'f' }, { "name", required_argument, NULL, 'n' },
		{ "test", no_argument, NULL, 't' },       { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },    { 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "f:n:thV", options, NULL)) != -1)
		switch (option) {
		case 'f':
			control->file = optarg;
			break;
		case 'n':
			control->instance = optarg;
			break;
		case 't':
			control->test_only = true;
			break;
		case 'h':
			fputs(usage_text, stdout);
			return 0;
		case 'V':
			puts("sluice-control " SLUICE_VERSION);
			return 0;
		default:
			return usage_error();
		}
	if (optind != argc || !control->file)
		return usage_error();
	if (!pins_instance_is_valid(control->instance)) {
		fprintf(stderr, "sluice-control: -n %s: must be letters, digits, '_', '.' and '-', at most 64\n",
			control->instance);
		return 2;
	}
	return -1;
}

/* --- reload ------------------------------------------------------------------------------------------- */

/* The relay names what is its own. */
static void name_what_stays(const struct config *running, const struct config *file)
{
	static const char *const sections[] = { "api", "agones", "redis" };

	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
		if (!config_section_equal(running, file, sections[i]))
			log_warnx("reload: %s changed: needs a restart", sections[i]);
	if (!config_quic_lb_equal(running, file))
		log_warnx("reload: quic_lb changed: the relay needs a restart");
	if (strcmp(running->relay.run_dir, file->relay.run_dir) != 0)
		log_warnx("reload: relay.run_dir changed: needs a restart");
}

/* A file with errors changes nothing. */
static void reload(void *context)
{
	struct control *control = context;
	struct routes_tally tally;
	struct config file;
	int error;

	if (config_load(control->file, &file, stderr) < 0) {
		log_errorx("reload: %s has errors: nothing changed", control->file);
		return;
	}
	error = routes_reload(control->routes, &file, &tally);
	if (error) {
		log_errorx("reload: routes: %s: nothing changed", error == -ENOSPC ? "too many" : "no memory");
	} else {
		targets_refresh(control->targets);
		name_what_stays(&control->config, &file);
		config_log_apply(&file.log);
		log_infox("reload: %zu routes set, %zu removed, %zu as before", tally.set, tally.removed,
			  tally.unchanged);
	}
	config_free(&file);
}

/* --- what clients wait for ---------------------------------------------------------------------------- */

/* From a worker of the allocation's, or from within on_ask. Without a relay nobody waits any more. */
static void on_allocated(void *context, uint64_t id, enum agones_verdict verdict, const struct config_address *address)
{
	struct protocol_answer answer = { .id = id, .error = EAGAIN };
	struct control *control = context;

	if (verdict == AGONES_ALLOCATED) {
		answer.error = 0;
		answer.address = address->addr;
		answer.port_be = htons(address->port);
	}
	link_answer(control->link, &answer);
}

static void on_ask(void *context, const struct protocol_ask *ask, const char *fqdn)
{
	const struct config_address client = { ask->client, ntohs(ask->client_port_be) };
	struct control *control = context;
	struct routes_route route;

	if (!control->allocation || !routes_get(control->routes, fqdn, &route)) {
		link_answer(control->link, &(struct protocol_answer){ .id = ask->id, .error = ENOENT });
		return;
	}
	if (route.spec->type == ROUTE_AGONES)
		allocation_ask(control->allocation, ask->id, &client, fqdn, route.spec->targets[0].text);
	/* Else the route has changed since: the relay hears of it behind this, and does not ask again. */
	routes_end(&route, 1);
}

/* Connection IDs of other relays' sessions: error is ENOENT where none has written it. */
static void on_session_found(void *context, uint64_t id, uint8_t cid_len, const struct session_record *record)
{
	struct protocol_cid_answer answer = { .id = id, .error = ENOENT };
	struct control *control = context;

	if (record) {
		answer.error = 0;
		answer.address = record->server.addr;
		answer.port_be = htons(record->server.port);
		answer.cid_len = cid_len;
		answer.flags = record->pinned ? PROTOCOL_ROUTE_PINNED : 0;
		answer.route = record->route;
	}
	link_cid_answer(control->link, &answer);
}

/* While Redis is away nobody answers: the client's next packets are asked for again. */
static void on_ask_cid(void *context, const struct protocol_ask_cid *ask)
{
	struct control *control = context;

	if (control->share)
		share_session_find(control->share, ask->id, ask->cid, ask->min_len, ask->max_len);
}

static void on_session_ends(void *context, uint32_t slot, uint32_t generation)
{
	struct control *control = context;

	if (control->share)
		share_session_end(control->share, slot, generation);
}

static void on_servers_changed(void *context, const char *fqdn)
{
	link_route_changed(((struct control *)context)->link, fqdn);
}

/* Names led elsewhere: other servers are to be watched, too. */
static void on_targets_changed(void *context, const char *fqdn)
{
	on_servers_changed(context, fqdn);
	prober_refresh(((struct control *)context)->prober);
}

/* --- running ------------------------------------------------------------------------------------------ */

static sigset_t signals_block(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return set;
}

/* True: it is time to end. */
static bool serve_signal(struct control *control, int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return false;
	if (info.ssi_signo != SIGHUP)
		return true;
	link_reload(control->link);
	api_reload(control->api);
	reload(control);
	return false;
}

/* Once a second at most: routes whose time is over. */
static void expire_routes(struct control *control)
{
	uint64_t now_s = (uint64_t)time(NULL);
	size_t expired;

	if (now_s == control->expired_s)
		return;
	control->expired_s = now_s;
	expired = routes_expire(control->routes, now_s);
	if (expired)
		log_infox("routes: %zu expired", expired);
}

static int watch(int epoll_fd, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int loop(struct control *control, const sigset_t *set)
{
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC), signal_fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
	struct epoll_event events[3];
	bool ending = false;

	if (watch(epoll_fd, signal_fd) < 0 || watch(epoll_fd, link_fd(control->link)) < 0 ||
	    (control->share && watch(epoll_fd, share_fd(control->share)) < 0)) {
		log_error("event loop");
		return 1;
	}
	log_infox("ready: %zu routes", routes_count(control->routes));
	while (!ending) {
		int n = epoll_wait(epoll_fd, events, 3, 1000);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == signal_fd)
				ending |= serve_signal(control, signal_fd);
			else if (events[i].data.fd == link_fd(control->link))
				link_serve(control->link);
			else
				share_serve(control->share);
		}
		expire_routes(control);
	}
	close(signal_fd);
	close(epoll_fd);
	return 0;
}

static int routes_fill(struct control *control)
{
	struct routes_tally tally;

	control->routes = routes_new(ROUTES_MAX);
	control->view = view_new();
	control->servers = servers_new();
	control->targets = control->routes ? targets_new(control->routes) : NULL;
	if (control->targets && control->servers && control->view && routes_reload(control->routes, &control->config, &tally) == 0)
		return 0;
	log_errorx("routes: no memory");
	return -1;
}

/* 0; without agones.enabled too. */
static int agones_begin(struct control *control)
{
	struct allocation_options options = {
		.config = &control->config.agones,
		.answer = on_allocated,
		.context = control,
	};

	if (!control->config.agones.enabled)
		return 0;
	control->agones = options.agones = agones_new(&control->config.agones);
	if (control->agones)
		control->allocation = allocation_new(&options);
	return control->allocation ? 0 : -1;
}

static void agones_end(struct control *control)
{
	if (control->agones)
		agones_stop(control->agones);
	allocation_free(control->allocation);
	agones_free(control->agones);
}

/* The threads that find out which servers a route leads to. */
static int servers_start(struct control *control)
{
	const struct prober_options options = {
		.routes = control->routes,
		.targets = control->targets,
		.servers = control->servers,
		.changed = on_servers_changed,
		.context = control,
	};

	control->prober = prober_new(&options);
	if (!control->prober)
		return -1;
	targets_listen(control->targets, on_targets_changed, control);
	return targets_start(control->targets) < 0 || prober_start(control->prober) < 0 ? -1 : 0;
}

static int run(struct control *control)
{
	const sigset_t set = signals_block(); /* before any thread is started */
	struct link_options link = {
		.run_dir = control->config.relay.run_dir,
		.instance = control->instance,
		.ask = on_ask,
		.ask_cid = on_ask_cid,
		.session_ends = on_session_ends,
		.reload = reload,
		.context = control,
	};
	struct api_options api = { .config = &control->config.api };
	int status = 1;

	config_log_apply(&control->config.log);
	if (routes_fill(control) < 0)
		goto out;
	if (control->config.redis.enabled) {
		const struct share_options share = {
			.config = &control->config.redis,
			.routes = control->routes,
			.view = control->view,
			.session_found = on_session_found,
			.context = control,
		};

		control->share = api.share = share_new(&share);
		if (!control->share)
			goto out;
		share_settle(control->share);
	}
	link.routes = api.routes = control->routes;
	link.targets = api.targets = control->targets;
	link.servers = api.servers = control->servers;
	link.view = api.view = control->view;
	control->link = api.link = link_new(&link);
	if (!control->link || agones_begin(control) < 0)
		goto out;
	api.allocation = control->allocation;
	if (servers_start(control) < 0)
		goto out;
	control->api = api_start(&api);
	if (control->api)
		status = loop(control, &set);
out:
	api_stop(control->api);
	agones_end(control);
	prober_stop(control->prober); /* it asks targets, which call it */
	targets_free(control->targets);
	prober_free(control->prober);
	servers_free(control->servers);
	link_free(control->link);
	share_free(control->share);
	view_free(control->view);
	routes_free(control->routes);
	return status;
}

int main(int argc, char **argv)
{
	struct control control = { .instance = "default" };
	int status = arguments_parse(argc, argv, &control);

	if (status >= 0)
		return status;
	if (config_load(control.file, &control.config, stderr) < 0)
		return 1;
	status = control.test_only ? 0 : run(&control);
	config_free(&control.config);
	return status;
}
