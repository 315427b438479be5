/* SPDX-License-Identifier: MIT */
/* reload: see reload.h. */
#include "reload.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "relay_routes.h"

/* Every key that is memory, sockets or threads by now. */
static void name_what_stays(const struct config *running, const struct config *file)
{
#define STAYS(field, key)                                                                \
	do {                                                                             \
		if (memcmp(&running->field, &file->field, sizeof(running->field)) != 0)  \
			log_warnx("reload: " key " changed: needs a restart");           \
	} while (0)
	STAYS(listeners, "listeners or udp.port");
	STAYS(log_requests, "udp.log_requests");
	STAYS(fast_path, "fast_path");
	STAYS(xdp, "xdp");
	STAYS(relay.addresses, "relay.addresses");
	STAYS(relay.port_ranges, "relay.ports");
	STAYS(limits.sessions, "limits.sessions");
	STAYS(limits.pending_handshakes, "limits.pending_handshakes");
	STAYS(limits.pending_bytes_per_handshake, "limits.pending_bytes_per_handshake");
	STAYS(redis.sessions, "redis.sessions");
#undef STAYS
	if (!config_quic_lb_equal(running, file))
		log_warnx("reload: quic_lb changed: needs a restart");
	if (strcmp(running->relay.run_dir, file->relay.run_dir) != 0)
		log_warnx("reload: relay.run_dir changed: needs a restart");
}

static void limits_change(struct relay *relay, const struct config *file)
{
	struct globals *globals = relay->state.globals;

	__atomic_store_n(&globals->restart_grace_s, file->relay.restart_grace_s, __ATOMIC_RELAXED);
	__atomic_store_n(&globals->pinned_silence_s, file->relay.pinned_silence_s, __ATOMIC_RELAXED);
	__atomic_store_n(&globals->idle_timeout_s, file->limits.idle_timeout_s, __ATOMIC_RELAXED);
	__atomic_store_n(&globals->idle_timeout_unconfirmed_s, file->limits.idle_timeout_unconfirmed_s,
			 __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < relay->worker_count; i++) {
		const struct worker_command command = {
			.type = WORKER_LIMITS,
			.limits = relay_worker_options(relay, &file->limits, i),
		};

		if (!worker_command(&relay->workers[i], &command))
			log_warnx("reload: worker %u is busy: its limits stay; try again", i);
	}
}

/* --- routes ---------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct config_route *const *)a)->fqdn, (*(const struct config_route *const *)b)->fqdn);
}

/* Routes in order of name; NULL: no memory. The caller frees it. */
static const struct config_route **routes_sorted(const struct config *config)
{
	const struct config_route **sorted = calloc(config->route_count + 1, sizeof(struct config_route *));

	for (size_t i = 0; sorted && i < config->route_count; i++)
		sorted[i] = &config->routes[i];
	if (sorted)
		qsort(sorted, config->route_count, sizeof(*sorted), by_name);
	return sorted;
}

static void route_apply(struct relay *relay, const struct config_route *route)
{
	int error = relay_route_set_file(relay, route);

	if (error)
		log_warnx("reload: route %s: %s", route->fqdn, relay_route_error(error));
}

/* Only what the file says otherwise than before: routes that a control process had set stay. */
static void routes_change(struct relay *relay, const struct config *before, const struct config *file)
{
	size_t old_count = before->route_count, new_count = file->route_count, o = 0, n = 0, set = 0, removed = 0;
	const struct config_route **olds = routes_sorted(before), **news = routes_sorted(file);

	if (!olds || !news) {
		log_errorx("reload: no memory: routes stay");
		goto out;
	}
	while (o < old_count || n < new_count) {
		int order = o == old_count ? 1 : n == new_count ? -1 : strcmp(olds[o]->fqdn, news[n]->fqdn);

		if (order < 0) {
			removed += route_remove(&relay->routes, olds[o++]->fqdn) == 0;
		} else if (order > 0) {
			route_apply(relay, news[n++]);
			set++;
		} else if (!route_spec_equal(olds[o++]->spec, news[n++]->spec)) {
			route_apply(relay, news[n - 1]);
			set++;
		}
	}
	log_infox("reload: %zu routes set, %zu removed", set, removed);
out:
	free(olds);
	free(news);
}

void reload_run(struct relay *relay)
{
	struct config file;

	if (!relay->reload || relay->reload(relay->reload_context, &file) < 0)
		return;
	name_what_stays(relay->config, &file);
	limits_change(relay, &file);
	if (control_socket_connected(&relay->control))
		log_infox("reload: limits and log; routes are the control process's");
	else
		routes_change(relay, relay->reloaded ? &relay->file : relay->config, &file);
	config_free(&relay->file);
	relay->file = file;
	relay->reloaded = true;
}
