/* SPDX-License-Identifier: MIT */
/* relay: see relay.h. Set-up and take-down, in the order of a packet's way; the event loop is steward.c. */
#include "relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "address.h"
#include "adopt.h"
#include "log.h"
#include "relay_ports.h"
#include "relay_quic_lb.h"
#include "relay_routes.h"
#include "steward.h"

/* --- interfaces and their queues ------------------------------------------------------------------ */

static int interfaces_open(struct relay *relay, const struct relay_options *options)
{
	uint32_t queues_min = QUEUES_MAX;
	uint32_t wanted = options->config->xdp.workers;

	if (options->interface_count == 0) {
		log_errorx("no interfaces: give xdp.interfaces in the configuration or -i NAME[,NAME...]");
		return -1;
	}
	if (options->interface_count > INTERFACES_MAX) {
		log_errorx("%u interfaces: at most %d are served", options->interface_count, INTERFACES_MAX);
		return -1;
	}
	for (unsigned i = 0; i < options->interface_count; i++) {
		struct interface *interface = &relay->interfaces[i];
		int error = interface_query(options->interfaces[i], interface);

		if (error) {
			errno = -error;
			log_error("interface %s", options->interfaces[i]);
			return -1;
		}
		for (unsigned j = 0; j < i; j++)
			if (relay->interfaces[j].ifindex == interface->ifindex) {
				log_errorx("interface %s is given twice", options->interfaces[i]);
				return -1;
			}
		if (interface->queues > QUEUES_MAX) {
			log_errorx("%s: %u queues, at most %d are served (ethtool -L)", interface->name,
				   interface->queues, QUEUES_MAX);
			return -1;
		}
		if (interface->queues < queues_min)
			queues_min = interface->queues;
	}
	relay->interface_count = options->interface_count;
	/* Each worker needs a queue on every interface to send on; queues beyond are shared out. */
	relay->worker_count = wanted && wanted < queues_min ? wanted : queues_min;
	if (wanted > relay->worker_count)
		log_warnx("xdp.workers: %u, but an interface has only %u queue%s", wanted, queues_min,
			  queues_min == 1 ? "" : "s");
	if (options->config->xdp.zero_copy == ZERO_COPY_ALWAYS && options->config->xdp.mode == XDP_MODE_GENERIC) {
		log_errorx("xdp.zero_copy: always: there is none in xdp.mode: generic");
		return -1;
	}
	return 0;
}

static uint32_t chunk_bytes(const struct relay *relay)
{
	enum { LINK_HEADER_MAX = 14 + 4 };
	uint32_t mtu = 0;

	for (unsigned i = 0; i < relay->interface_count; i++)
		if (relay->interfaces[i].mtu_bytes > mtu)
			mtu = relay->interfaces[i].mtu_bytes;
	return mtu + LINK_HEADER_MAX + FRAME_HEADROOM <= 2048 ? 2048 : 4096;
}

static int dataplane_start(struct relay *relay, const struct relay_options *options)
{
	struct attach_interface interfaces[INTERFACES_MAX];
	static const enum attach_mode modes[] = {
		[XDP_MODE_AUTO] = ATTACH_AUTO,
		[XDP_MODE_NATIVE] = ATTACH_NATIVE,
		[XDP_MODE_GENERIC] = ATTACH_GENERIC,
	};
	static const enum attach_dispatcher dispatchers[] = {
		[DISPATCHER_AUTO] = ATTACH_JOIN,
		[DISPATCHER_NEVER] = ATTACH_ALONE,
		[DISPATCHER_ALWAYS] = ATTACH_DISPATCHED,
	};
	struct dataplane_options dataplane = {
		.instance = options->instance,
		.interfaces = interfaces,
		.interface_count = relay->interface_count,
		.mode = modes[options->config->xdp.mode],
		.dispatcher = dispatchers[options->config->xdp.dispatcher],
		.sessions = options->config->limits.sessions,
		.backends = BACKEND_SLOTS,
		.frame_len_max = chunk_bytes(relay) - FRAME_HEADROOM,
	};

	for (unsigned i = 0; i < relay->interface_count; i++) {
		interfaces[i].ifindex = relay->interfaces[i].ifindex;
		memcpy(interfaces[i].name, relay->interfaces[i].name, IF_NAMESIZE);
	}
	relay->dataplane = dataplane_open(&dataplane, &relay->state, &relay->adopted);
	if (!relay->dataplane)
		return -1;
	if (relay->adopted) {
		int sessions = adopt_repair(&relay->state, relay->worker_count);

		if (sessions < 0) {
			log_errorx("sessions of the relay before: no memory");
			return -1;
		}
		log_infox("adopted %d session%s of the relay before", sessions, sessions == 1 ? "" : "s");
	}
	return 0;
}

static int globals_fill(struct relay *relay, const struct config *config)
{
	struct globals *globals = relay->state.globals;
	int error = relay_ports_init(globals, &config->relay);

	if (error) {
		errno = -error;
		log_error("relay ports: give relay.ports in the configuration");
		return -1;
	}
	globals->restart_grace_s = config->relay.restart_grace_s;
	globals->pinned_silence_s = config->relay.pinned_silence_s;
	globals->idle_timeout_s = config->limits.idle_timeout_s;
	globals->idle_timeout_unconfirmed_s = config->limits.idle_timeout_unconfirmed_s;
	relay_ports_refresh(&relay->state);
	steward_heartbeat(relay);
	return 0;
}

/* --- listeners ------------------------------------------------------------------------------------- */

static void listener_add(struct relay *relay, unsigned listener, const struct addr *address)
{
	__be16 port_be = htons(relay->config->listeners[listener].address.port);

	if (endpoint_add(&relay->state, ENDPOINT_QUIC, address, port_be, (uint16_t)listener, 0) < 0)
		log_errorx("listener %s: more than %d addresses times listeners", relay->config->listeners[listener].name,
			   ENDPOINT_SLOTS / 2);
}

/*
 * Listeners of the relay before: those that are still ours are added again,
 * at the slots that sessions know them by.
 */
static void listeners_clear(struct relay *relay)
{
	for (uint32_t slot = 0; slot < ENDPOINT_SLOTS; slot++) {
		struct endpoint endpoint;

		if (endpoint_read(&relay->state, slot, &endpoint) && endpoint.kind != ENDPOINT_RELAY)
			endpoint_disable(&relay->state, slot);
	}
}

/* From nexthop: an address of one of our interfaces came or went. */
static void on_address(void *context, uint32_t ifindex, const struct addr *address, bool present)
{
	struct relay *relay = context;

	(void)ifindex;
	for (unsigned i = 0; i < relay->config->listener_count; i++) {
		if (!relay->config->listeners[i].any_address)
			continue;
		if (present)
			listener_add(relay, i, address);
		else if (!relay->nexthops || !nexthop_has_address(relay->nexthops, address))
			endpoint_remove(&relay->state, address, htons(relay->config->listeners[i].address.port));
	}
}

static void on_routes_changed(void *context)
{
	/* At once, and once more: a worker may just be writing an old slot back. */
	((struct relay *)context)->renewals = 2;
}

static int nexthops_start(struct relay *relay)
{
	struct nexthop_interface interfaces[INTERFACES_MAX];
	const struct nexthop_events events = {
		.context = relay,
		.address = on_address,
		.routes_changed = on_routes_changed,
	};

	for (unsigned i = 0; i < relay->interface_count; i++) {
		interfaces[i].ifindex = relay->interfaces[i].ifindex;
		memcpy(interfaces[i].name, relay->interfaces[i].name, IF_NAMESIZE);
	}
	if (relay->adopted)
		listeners_clear(relay);
	relay->nexthops = nexthops_new(relay->state.nexthops, interfaces, relay->interface_count, &events);
	if (!relay->nexthops) {
		log_error("the kernel's routes and neighbours (rtnetlink)");
		return -1;
	}
	for (unsigned i = 0; i < relay->config->listener_count; i++)
		if (!relay->config->listeners[i].any_address)
			listener_add(relay, i, &relay->config->listeners[i].address.addr);
	for (unsigned i = 0; i < relay->config->relay.address_count; i++)
		if (!nexthop_has_address(relay->nexthops, &relay->config->relay.addresses[i])) {
			char text[ADDRESS_TEXT_MAX];

			address_text(text, &relay->config->relay.addresses[i], 0);
			log_warnx("relay.addresses: %.*s is on none of the interfaces: will backends' replies come here?",
				  (int)(strrchr(text, ':') - text), text);
		}
	return 0;
}

/* --- routes ---------------------------------------------------------------------------------------- */

static int routes_fill(struct relay *relay)
{
	size_t agones = 0, names = 0;

	if (route_table_init(&relay->routes) < 0) {
		log_errorx("route table: no memory");
		return -1;
	}
	relay->backends = (struct backend_table){
		.state = &relay->state,
		.nexthops = relay->nexthops,
		.configured = relay->config->relay.addresses,
		.configured_count = relay->config->relay.address_count,
	};
	if (relay->adopted)
		steward_renew_nexthops(relay); /* they have other slots now */
	for (size_t i = 0; i < relay->config->route_count; i++) {
		const struct config_route *route = &relay->config->routes[i];
		int error = relay_route_set_file(relay, route);

		if (error) {
			log_errorx("route %s: %s", route->fqdn, relay_route_error(error));
			return -1;
		}
		agones += route->spec->type == ROUTE_AGONES;
		names += route_spec_has_names(route->spec);
	}
	if (agones || names)
		log_infox("routes of type agones: %zu, with names as targets: %zu: sluice-control finds their servers", agones,
			  names);
	return 0;
}

/* --- workers --------------------------------------------------------------------------------------- */

/* What the steward says of a socket; whether the program is native is known later. */
static void socket_tell(struct relay *relay, const struct rings_socket *socket, uint32_t worker)
{
	struct socket_stats *stats = &relay->state.worker_counters[socket->queue].sockets[socket->interface];
	const char *name = relay->interfaces[socket->interface].name;

	_Static_assert(sizeof(stats->interface) == IF_NAMESIZE, "a name fits");
	memcpy(stats->interface, name, IF_NAMESIZE);
	stats->worker = worker;
	stats->flags = SOCKET_OPEN | (socket->zero_copy ? SOCKET_ZERO_COPY : 0) |
		       (socket->zero_copy_refused ? SOCKET_ZERO_COPY_REFUSED : 0);
	log_infox("%s queue %u: worker %u, %s", name, socket->queue, worker,
		  socket->zero_copy ? "zero copy" :
		  socket->zero_copy_refused ? "copy mode (zero copy was refused)" : "copy mode");
}

/* Attached, one way or the other: on every queue of the interface. */
static void interface_tell(struct relay *relay, unsigned interface)
{
	if (!dataplane_is_native(relay->dataplane, interface))
		return;
	for (uint32_t queue = 0; queue < relay->interfaces[interface].queues; queue++)
		relay->state.worker_counters[queue].sockets[interface].flags |= SOCKET_XDP_NATIVE;
}

static int worker_rings_open(struct relay *relay, struct worker *worker, uint32_t index)
{
	struct rings_queue queues[INTERFACES_MAX * QUEUES_MAX];
	struct rings_options options = {
		.queues = queues,
		.chunk_bytes = chunk_bytes(relay),
		.zero_copy_try = relay->config->xdp.zero_copy != ZERO_COPY_NEVER &&
				 relay->config->xdp.mode != XDP_MODE_GENERIC,
		.zero_copy_must = relay->config->xdp.zero_copy == ZERO_COPY_ALWAYS,
	};

	for (uint16_t i = 0; i < relay->interface_count; i++)
		for (uint32_t queue = index; queue < relay->interfaces[i].queues; queue += relay->worker_count)
			queues[options.queue_count++] = (struct rings_queue){ i, relay->interfaces[i].name, queue };
	if (rings_open(&worker->rings, &options) < 0)
		return -1;
	for (unsigned i = 0; i < worker->rings.socket_count; i++) {
		const struct rings_socket *socket = &worker->rings.sockets[i];

		if (dataplane_set_socket(relay->dataplane, socket->interface, socket->queue,
					 xsk_socket__fd(socket->xsk)) < 0) {
			log_error("%s queue %u: XSK map", relay->interfaces[socket->interface].name, socket->queue);
			return -1;
		}
		socket_tell(relay, socket, index);
	}
	relay->state.worker_counters[index].gauges.frames = worker->rings.frame_count;
	return 0;
}

static uint32_t share_of(uint32_t limit, uint32_t workers)
{
	return (limit + workers - 1) / workers;
}

static enum nexthop_verdict find_nexthop(const void *context, const struct addr *dst, uint16_t *slot)
{
	return nexthop_find(context, dst, slot);
}

struct forwarder_options relay_worker_options(const struct relay *relay, const struct config_limits *limits,
					      uint32_t index)
{
	return (struct forwarder_options){
		.worker = index,
		.workers = relay->worker_count,
		.aliases_per_session = limits->aliases_per_session,
		.pending_handshakes = share_of(limits->pending_handshakes, relay->worker_count),
		.pending_bytes_per_handshake = limits->pending_bytes_per_handshake,
		.pending_seconds = limits->pending_seconds,
		/* A source's connections are spread over the workers by their ports. */
		.new_sessions_per_s_per_source = share_of(limits->new_sessions_per_s_per_source, relay->worker_count),
		.quic_lb = relay->quic_lb,
		.quic_lb_preserve = relay_quic_lb_preserve(relay),
		.ask_cids = relay->config->redis.sessions,
	};
}

static int worker_open(struct relay *relay, uint32_t index)
{
	static const enum worker_polling pollings[] = {
		[BUSY_POLL_ADAPTIVE] = WORKER_ADAPTIVE,
		[BUSY_POLL_ALWAYS] = WORKER_SPINS,
		[BUSY_POLL_NEVER] = WORKER_SLEEPS,
	};
	struct worker *worker = &relay->workers[index];
	struct forwarder_options options = relay_worker_options(relay, &relay->config->limits, index);

	if (worker_rings_open(relay, worker, index) < 0)
		return -1;
	if (forwarder_init(&worker->forwarder, &relay->state, &options) < 0 ||
	    worker_init(worker, relay->workers, index, relay->worker_count, pollings[relay->config->xdp.busy_poll],
			relay->event_fd) < 0) {
		log_errorx("worker %u: no memory", index);
		return -1;
	}
	worker->forwarder.routes = &relay->routes;
	worker->forwarder.notes = relay->config->log_requests ? &worker->notes : NULL;
	worker->forwarder.nexthop_find = find_nexthop;
	worker->forwarder.nexthop_context = relay->nexthops;
	return 0;
}

static uint32_t features(const struct relay *relay)
{
	return (relay->config->fast_path == FAST_PATH_KERNEL ? FEATURE_KERNEL_PATH : 0) |
	       (relay->quic_lb || relay->config->redis.sessions ? FEATURE_FOREIGN_CIDS : 0);
}

static int workers_start(struct relay *relay)
{
	relay->workers = calloc(relay->worker_count, sizeof(*relay->workers));
	if (!relay->workers) {
		log_errorx("workers: no memory");
		return -1;
	}
	for (uint32_t i = 0; i < relay->worker_count; i++)
		if (worker_open(relay, i) < 0)
			return -1;
	for (uint32_t i = 0; i < relay->worker_count; i++)
		if (worker_start(&relay->workers[i]) < 0) {
			log_errorx("worker %u: thread", i);
			return -1;
		}
	/* Beside FEATURE_CLIENT_IP, if it is there already: of routes, or of sessions of the relay before. */
	relay->state.globals->features |= features(relay);
	for (unsigned i = 0; i < relay->interface_count; i++) {
		if (dataplane_attach(relay->dataplane, i) < 0)
			return -1;
		interface_tell(relay, i);
	}
	return 0;
}

/*
 * Detached first, so that nothing is redirected to sockets that are about to
 * close. leave: for a successor, which takes program and sessions over.
 */
static void relay_close(struct relay *relay, bool leave)
{
	if (relay->dataplane && !leave)
		dataplane_detach_all(relay->dataplane);
	control_socket_close(&relay->control);
	for (uint32_t i = 0; relay->workers && i < relay->worker_count; i++)
		worker_stop(&relay->workers[i]);
	for (uint32_t i = 0; relay->workers && i < relay->worker_count; i++)
		worker_end(&relay->workers[i]);
	free(relay->workers);
	quic_lb_free(relay->quic_lb);
	route_table_end(&relay->routes);
	if (relay->nexthops)
		nexthops_free(relay->nexthops);
	if (leave)
		dataplane_leave(relay->dataplane);
	else
		dataplane_close(relay->dataplane);
	if (relay->event_fd >= 0)
		close(relay->event_fd);
}

int relay_run(const struct relay_options *options)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	int result = 1;

	if (!relay)
		return 1;
	relay->config = options->config;
	relay->reload = options->reload;
	relay->reload_context = options->reload_context;
	relay->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	control_socket_init(&relay->control);
	urcu_qsbr_register_thread();
	if (relay->event_fd >= 0 && interfaces_open(relay, options) == 0 && dataplane_start(relay, options) == 0 &&
	    globals_fill(relay, options->config) == 0 && nexthops_start(relay) == 0 && routes_fill(relay) == 0 &&
	    relay_quic_lb_open(relay) == 0 && workers_start(relay) == 0 &&
	    control_socket_open(&relay->control, options->config->relay.run_dir, options->instance) == 0)
		result = steward_run(relay);
	else if (relay->adopted)
		relay->leave = true; /* what is wrong with this start must not end the sessions of the one before */
	relay_close(relay, relay->leave);
	urcu_qsbr_unregister_thread();
	config_free(&relay->file);
	free(relay);
	return result;
}
