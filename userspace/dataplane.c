/* SPDX-License-Identifier: MIT */
/* dataplane: see dataplane.h. */
#include "dataplane.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "pins.h"
#include "sluice_xdp.skel.h"

enum { MAPPINGS_MAX = 16 };

struct dataplane {
	struct sluice_xdp *program;
	struct ring_buffer *reports;
	void (*report)(void *context, const struct cid_report *report);
	void *report_context;
	char instance[65];
	struct attachment attachments[INTERFACES_MAX];
	unsigned interface_count;
	int lock_fd;                     /* the instance's directory, locked */
	struct {
		void *memory;
		size_t size;
	} mappings[MAPPINGS_MAX];
	unsigned mapping_count;
	struct globals *globals;
	uint32_t predecessor_features;   /* of adopted maps */
};

static int log_libbpf(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[512];
	size_t len;

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), format, args);
	len = strcspn(line, "\n");
	line[len] = '\0';
	if (level == LIBBPF_WARN)
		log_debugx("%s", line); /* the caller says in its own words what failed */
	return 0;
}

/* --- what another may hold ------------------------------------------------------------------------- */

static int instance_lock(struct dataplane *dp)
{
	dp->lock_fd = pins_lock(dp->instance);
	if (dp->lock_fd >= 0)
		return 0;
	errno = -dp->lock_fd;
	if (dp->lock_fd == -EBUSY)
		log_errorx("instance %s: a relay of this name runs already (give this one another: -n)", dp->instance);
	else
		log_error(PINS_BPFFS "/sluice/%s", dp->instance);
	return -1;
}

/* Told before anything is attached. */
static int interfaces_are_free(const struct dataplane *dp)
{
	for (unsigned i = 0; i < dp->interface_count; i++)
		if (attach_check(&dp->attachments[i]) < 0)
			return -1;
	return 0;
}

/* --- maps ----------------------------------------------------------------------------------------- */

static void *map_memory(struct dataplane *dp, struct bpf_map *map)
{
	size_t size = (size_t)bpf_map__max_entries(map) * ((bpf_map__value_size(map) + 7u) & ~7u);
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	if (memory == MAP_FAILED)
		return NULL;
	dp->mappings[dp->mapping_count].memory = memory;
	dp->mappings[dp->mapping_count++].size = size;
	return memory;
}

static struct table table_of(struct dataplane *dp, struct bpf_map *map)
{
	return (struct table){ map_memory(dp, map), bpf_map__value_size(map), bpf_map__max_entries(map) };
}

static int state_map(struct dataplane *dp, struct state *state, const struct siphash_key *key)
{
	*state = (struct state){
		.globals = map_memory(dp, dp->program->maps.globals),
		.paths = table_of(dp, dp->program->maps.paths),
		.replies = table_of(dp, dp->program->maps.replies),
		.cids = table_of(dp, dp->program->maps.cids),
		.endpoints = table_of(dp, dp->program->maps.endpoints),
		.sessions = map_memory(dp, dp->program->maps.sessions),
		.backends = map_memory(dp, dp->program->maps.backends),
		.relay_addresses = map_memory(dp, dp->program->maps.relay_addresses),
		.nexthops = map_memory(dp, dp->program->maps.nexthops),
		.worker_counters = map_memory(dp, dp->program->maps.worker_counters),
		.host_ports = map_memory(dp, dp->program->maps.host_ports),
		.session_slots = bpf_map__max_entries(dp->program->maps.sessions),
		.backend_slots = bpf_map__max_entries(dp->program->maps.backends),
		.hash_key = *key,
	};
	for (unsigned i = 0; i < dp->mapping_count; i++)
		if (!dp->mappings[i].memory)
			return -1;
	if (dp->mapping_count != 11)
		return -1;
	/* That alone stays: without it replies to clients would pass to the host, which answers or forwards them. */
	state->globals->features &= FEATURE_CLIENT_IP;
	dp->globals = state->globals;
	state->globals->abi_version = SLUICE_ABI_VERSION;
	state->globals->path_slots = state->paths.slots;
	state->globals->reply_slots = state->replies.slots;
	state->globals->cid_slots = state->cids.slots;
	state->globals->session_slots = state->session_slots;
	state->globals->backend_slots = state->backend_slots;
	state->globals->hash_key = *key;
	return 0;
}

static int maps_size(struct dataplane *dp, const struct dataplane_options *options, const struct siphash_key *key)
{
	uint32_t path_slots = state_path_slots(options->sessions), cid_slots = state_cid_slots(options->sessions);
	int error = 0;

	error |= bpf_map__set_max_entries(dp->program->maps.paths, path_slots);
	error |= bpf_map__set_max_entries(dp->program->maps.replies, path_slots);
	error |= bpf_map__set_max_entries(dp->program->maps.cids, cid_slots);
	error |= bpf_map__set_max_entries(dp->program->maps.sessions, options->sessions);
	error |= bpf_map__set_max_entries(dp->program->maps.backends, options->backends);
	dp->program->rodata->path_slots = path_slots;
	dp->program->rodata->reply_slots = path_slots;
	dp->program->rodata->cid_slots = cid_slots;
	dp->program->rodata->frame_len_max = options->frame_len_max;
	memcpy((void *)&dp->program->rodata->hash_key, key, sizeof(*key));
	return error;
}

/*
 * Where libbpf, as it loads, takes over what is pinned and pins what is not.
 * Not the devmap: the kernel sets BPF_F_RDONLY_PROG on it, and libbpf 1.1 takes
 * that for another map's; a new one is filled, and the old program keeps its own.
 */
static int maps_pin(struct dataplane *dp)
{
	struct bpf_map *map;
	char devices[PIN_PATH_MAX];

	pins_path(devices, dp->instance, "devices");
	unlink(devices);
	bpf_object__for_each_map(map, dp->program->obj) {
		char path[PIN_PATH_MAX];

		pins_path(path, dp->instance, bpf_map__name(map));
		if (!bpf_map__is_internal(map) && bpf_map__set_pin_path(map, path) < 0)
			return -1;
	}
	return 0;
}

/* What the pinned maps of a predecessor say of themselves. False: there are none that can be read. */
static bool globals_read(const struct dataplane *dp, struct globals *globals)
{
	struct bpf_map_info info = { 0 };
	uint32_t info_len = sizeof(info), key = 0;
	char path[PIN_PATH_MAX];
	bool read;
	int fd;

	pins_path(path, dp->instance, "globals");
	fd = bpf_obj_get(path);
	if (fd < 0)
		return false;
	read = bpf_obj_get_info_by_fd(fd, &info, &info_len) == 0 && info.value_size == sizeof(*globals) &&
	       bpf_map_lookup_elem(fd, &key, globals) == 0;
	close(fd);
	return read;
}

static bool globals_fit(const struct globals *globals, const struct dataplane_options *options)
{
	uint32_t path_slots = state_path_slots(options->sessions);

	return globals->abi_version == SLUICE_ABI_VERSION && globals->path_slots == path_slots &&
	       globals->reply_slots == path_slots && globals->cid_slots == state_cid_slots(options->sessions) &&
	       globals->session_slots == options->sessions && globals->backend_slots == options->backends;
}

/* Adopts the hash key of a predecessor's maps, or makes a new one and has nothing left of them. */
static int predecessor_meet(struct dataplane *dp, const struct dataplane_options *options, struct siphash_key *key,
			    bool *adopted)
{
	struct globals globals;
	bool pinned = globals_read(dp, &globals);

	*adopted = pinned && globals_fit(&globals, options);
	if (*adopted) {
		*key = globals.hash_key;
		dp->predecessor_features = globals.features;
		return 0;
	}
	if (pinned)
		log_infox("instance %s: left behind by another version or with other limits, replaced", dp->instance);
	attach_prune(dp->instance, NULL, 0);
	pins_clear(dp->instance);
	return getrandom(key, sizeof(*key), 0) == sizeof(*key) ? 0 : -1;
}

static int interfaces_fill(struct dataplane *dp)
{
	uint32_t key;

	/* A predecessor's, at other slots or not among ours any more. */
	for (uint32_t i = 0; i < INTERFACES_MAX; i++)
		bpf_map_delete_elem(bpf_map__fd(dp->program->maps.devices), &i);
	while (bpf_map_get_next_key(bpf_map__fd(dp->program->maps.interfaces), NULL, &key) == 0)
		bpf_map_delete_elem(bpf_map__fd(dp->program->maps.interfaces), &key);
	attach_prune(dp->instance, dp->attachments, dp->interface_count);
	for (uint32_t i = 0; i < dp->interface_count; i++) {
		uint32_t ifindex = dp->attachments[i].interface.ifindex;

		if (bpf_map_update_elem(bpf_map__fd(dp->program->maps.interfaces), &ifindex, &i, BPF_ANY) < 0 ||
		    bpf_map_update_elem(bpf_map__fd(dp->program->maps.devices), &i, &ifindex, BPF_ANY) < 0)
			return -1;
	}
	return 0;
}

static int on_report(void *context, void *data, size_t size)
{
	struct dataplane *dp = context;

	if (size >= sizeof(struct cid_report))
		dp->report(dp->report_context, data);
	return 0;
}

static int program_load(struct dataplane *dp, const struct dataplane_options *options,
			const struct siphash_key *key, struct state *state)
{
	dp->program = sluice_xdp__open();
	if (!dp->program || maps_size(dp, options, key) != 0 || maps_pin(dp) < 0) {
		log_error("XDP program: open");
		return -1;
	}
	if (sluice_xdp__load(dp->program) < 0) {
		log_error("XDP program: load (log.level debug shows the verifier's words)");
		return -1;
	}
	if (state_map(dp, state, key) < 0 || interfaces_fill(dp) < 0) {
		log_error("BPF maps");
		return -1;
	}
	dp->reports = ring_buffer__new(bpf_map__fd(dp->program->maps.cid_reports), on_report, dp, NULL);
	if (!dp->reports) {
		log_error("BPF ring buffer");
		return -1;
	}
	return 0;
}

struct dataplane *dataplane_open(const struct dataplane_options *options, struct state *state, bool *adopted)
{
	struct dataplane *dp = calloc(1, sizeof(*dp));
	struct siphash_key key;

	if (!dp)
		return NULL;
	libbpf_set_print(log_libbpf);
	snprintf(dp->instance, sizeof(dp->instance), "%s", options->instance);
	for (; dp->interface_count < options->interface_count; dp->interface_count++)
		dp->attachments[dp->interface_count] = (struct attachment){
			.instance = dp->instance,
			.interface = options->interfaces[dp->interface_count],
			.mode = options->mode,
			.dispatcher = options->dispatcher,
		};
	if (instance_lock(dp) < 0)
		goto err_unlocked;
	if (interfaces_are_free(dp) < 0)
		goto err_locked;
	if (predecessor_meet(dp, options, &key, adopted) < 0) {
		log_error("random numbers");
		goto err_locked;
	}
	if (program_load(dp, options, &key, state) < 0)
		goto err_dataplane;
	return dp;

err_dataplane:
	if (!*adopted)
		pins_clear(dp->instance);
err_locked:
	pins_release(dp->instance);
err_unlocked:
	dataplane_leave(dp);
	return NULL;
}

int dataplane_attach(struct dataplane *dp, unsigned interface)
{
	struct dispatcher_program joining = { .loaded = dp->program->obj };

	joining.elf = sluice_xdp__elf_bytes(&joining.elf_len);
	return attach_make(&dp->attachments[interface], dp->program->progs.sluice_xdp, &joining);
}

bool dataplane_is_native(const struct dataplane *dp, unsigned interface)
{
	DECLARE_LIBBPF_OPTS(bpf_xdp_query_opts, opts);

	return bpf_xdp_query((int)dp->attachments[interface].interface.ifindex, 0, &opts) == 0 && opts.drv_prog_id != 0;
}

int dataplane_set_socket(struct dataplane *dp, unsigned interface, uint32_t queue, int socket_fd)
{
	uint32_t key = interface * QUEUES_MAX + queue;

	return bpf_map_update_elem(bpf_map__fd(dp->program->maps.xsks), &key, &socket_fd, BPF_ANY) < 0 ? -errno : 0;
}

int dataplane_reports_fd(const struct dataplane *dp)
{
	return ring_buffer__epoll_fd(dp->reports);
}

void dataplane_poll_reports(struct dataplane *dp, void (*report)(void *context, const struct cid_report *report),
			    void *context)
{
	dp->report = report;
	dp->report_context = context;
	ring_buffer__consume(dp->reports);
}

int dataplane_map_reader(const struct dataplane *dp, const char *map, bool mapped)
{
	DECLARE_LIBBPF_OPTS(bpf_obj_get_opts, opts, .file_flags = mapped ? 0 : BPF_F_RDONLY);
	char path[PIN_PATH_MAX];
	int fd;

	pins_path(path, dp->instance, map);
	fd = bpf_obj_get_opts(path, &opts);
	return fd < 0 ? -errno : fd;
}

void dataplane_detach_all(struct dataplane *dp)
{
	for (unsigned i = 0; i < dp->interface_count; i++)
		attach_take_off(&dp->attachments[i]);
}

void dataplane_leave(struct dataplane *dp)
{
	if (!dp)
		return;
	for (unsigned i = 0; i < dp->interface_count; i++)
		attach_leave(&dp->attachments[i]);
	if (dp->globals && !(dp->globals->features & ~(uint32_t)FEATURE_CLIENT_IP))
		__atomic_fetch_or(&dp->globals->features, dp->predecessor_features, __ATOMIC_RELAXED);
	ring_buffer__free(dp->reports);
	for (unsigned i = 0; i < dp->mapping_count; i++)
		munmap(dp->mappings[i].memory, dp->mappings[i].size);
	sluice_xdp__destroy(dp->program);
	if (dp->lock_fd >= 0)
		close(dp->lock_fd);
	free(dp);
}

void dataplane_close(struct dataplane *dp)
{
	if (!dp)
		return;
	dataplane_detach_all(dp);
	pins_remove(dp->instance);
	dataplane_leave(dp);
}

int dataplane_detach(const char *instance)
{
	int lock_fd = pins_lock_existing(instance);

	if (lock_fd < 0)
		return lock_fd;
	libbpf_set_print(log_libbpf);
	attach_prune(instance, NULL, 0);
	pins_remove(instance);
	close(lock_fd);
	return 0;
}
