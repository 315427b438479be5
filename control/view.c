/* SPDX-License-Identifier: MIT */
/* view: see view.h. */
#include "control/view.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct view {
	pthread_rwlock_t lock;
	bool attached;
	unsigned generation;
	struct state state;
	int kernel_counters_fd;
	struct {
		void *memory;
		size_t size;
		uint32_t entries;
	} maps[PROTOCOL_MAP_COUNT];
};

static const uint32_t value_sizes[PROTOCOL_MAP_COUNT] = {
	[PROTOCOL_MAP_GLOBALS] = sizeof(struct globals),
	[PROTOCOL_MAP_PATHS] = sizeof(struct path_entry),
	[PROTOCOL_MAP_REPLIES] = sizeof(struct reply_entry),
	[PROTOCOL_MAP_CIDS] = sizeof(struct cid_entry),
	[PROTOCOL_MAP_SESSIONS] = sizeof(struct session),
	[PROTOCOL_MAP_BACKENDS] = sizeof(struct backend),
	[PROTOCOL_MAP_ENDPOINTS] = sizeof(struct endpoint),
	[PROTOCOL_MAP_RELAY_ADDRESSES] = sizeof(struct relay_address),
	[PROTOCOL_MAP_WORKER_COUNTERS] = sizeof(struct worker_record),
	[PROTOCOL_MAP_KERNEL_COUNTERS] = sizeof(struct counters),
};

struct view *view_new(void)
{
	struct view *view = calloc(1, sizeof(*view));
	pthread_rwlockattr_t attributes;

	if (!view)
		return NULL;
	view->kernel_counters_fd = -1;
	pthread_rwlockattr_init(&attributes);
	/* Else readers that never pause keep a new relay's tables out. */
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&view->lock, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	return view;
}

void view_free(struct view *view)
{
	if (!view)
		return;
	view_detach(view);
	pthread_rwlock_destroy(&view->lock);
	free(view);
}

static void unmap(struct view *view)
{
	for (unsigned i = 0; i < PROTOCOL_MAP_COUNT; i++)
		if (view->maps[i].memory)
			munmap(view->maps[i].memory, view->maps[i].size);
	memset(view->maps, 0, sizeof(view->maps));
	if (view->kernel_counters_fd >= 0)
		close(view->kernel_counters_fd);
	view->kernel_counters_fd = -1;
	view->attached = false;
}

void view_detach(struct view *view)
{
	pthread_rwlock_wrlock(&view->lock);
	unmap(view);
	pthread_rwlock_unlock(&view->lock);
}

static int map_one(struct view *view, unsigned i, int fd)
{
	struct bpf_map_info info = { 0 };
	uint32_t info_len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &info_len) < 0)
		return -errno;
	if (info.value_size != value_sizes[i] || info.max_entries == 0)
		return -EPROTO;
	view->maps[i].entries = info.max_entries;
	if (i == PROTOCOL_MAP_KERNEL_COUNTERS)
		return 0;
	view->maps[i].size = (size_t)info.max_entries * ((info.value_size + 7u) & ~7u);
	view->maps[i].memory = mmap(NULL, view->maps[i].size, PROT_READ, MAP_SHARED, fd, 0);
	if (view->maps[i].memory != MAP_FAILED)
		return 0;
	view->maps[i].memory = NULL;
	return -errno;
}

static struct table table_of(const struct view *view, enum protocol_map map)
{
	return (struct table){ view->maps[map].memory, value_sizes[map], view->maps[map].entries };
}

static int state_fill(struct view *view)
{
	static const enum protocol_map tables[] = { PROTOCOL_MAP_PATHS, PROTOCOL_MAP_REPLIES, PROTOCOL_MAP_CIDS,
						    PROTOCOL_MAP_ENDPOINTS };

	for (unsigned i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		if (view->maps[tables[i]].entries % TABLE_SLOTS_STEP)
			return -EPROTO;
	if (view->maps[PROTOCOL_MAP_ENDPOINTS].entries != ENDPOINT_SLOTS ||
	    view->maps[PROTOCOL_MAP_RELAY_ADDRESSES].entries != RELAY_ADDRESSES_MAX ||
	    view->maps[PROTOCOL_MAP_WORKER_COUNTERS].entries != WORKERS_MAX)
		return -EPROTO;
	view->state = (struct state){
		.globals = view->maps[PROTOCOL_MAP_GLOBALS].memory,
		.paths = table_of(view, PROTOCOL_MAP_PATHS),
		.replies = table_of(view, PROTOCOL_MAP_REPLIES),
		.cids = table_of(view, PROTOCOL_MAP_CIDS),
		.endpoints = table_of(view, PROTOCOL_MAP_ENDPOINTS),
		.sessions = view->maps[PROTOCOL_MAP_SESSIONS].memory,
		.backends = view->maps[PROTOCOL_MAP_BACKENDS].memory,
		.relay_addresses = view->maps[PROTOCOL_MAP_RELAY_ADDRESSES].memory,
		.worker_counters = view->maps[PROTOCOL_MAP_WORKER_COUNTERS].memory,
		.session_slots = view->maps[PROTOCOL_MAP_SESSIONS].entries,
		.backend_slots = view->maps[PROTOCOL_MAP_BACKENDS].entries,
		.hash_key = ((const struct globals *)view->maps[PROTOCOL_MAP_GLOBALS].memory)->hash_key,
	};
	return 0;
}

int view_attach(struct view *view, const int fds[static PROTOCOL_MAP_COUNT])
{
	int error = 0;

	pthread_rwlock_wrlock(&view->lock);
	unmap(view);
	for (unsigned i = 0; !error && i < PROTOCOL_MAP_COUNT; i++)
		error = map_one(view, i, fds[i]);
	if (!error)
		error = state_fill(view);
	for (unsigned i = 0; i < PROTOCOL_MAP_COUNT; i++)
		if (i != PROTOCOL_MAP_KERNEL_COUNTERS)
			close(fds[i]);
	view->kernel_counters_fd = fds[PROTOCOL_MAP_KERNEL_COUNTERS];
	view->attached = !error;
	view->generation++;
	if (error)
		unmap(view);
	pthread_rwlock_unlock(&view->lock);
	return error;
}

unsigned view_generation(struct view *view)
{
	unsigned generation;

	pthread_rwlock_rdlock(&view->lock);
	generation = view->generation;
	pthread_rwlock_unlock(&view->lock);
	return generation;
}

const struct state *view_enter(struct view *view)
{
	pthread_rwlock_rdlock(&view->lock);
	if (view->attached)
		return &view->state;
	pthread_rwlock_unlock(&view->lock);
	return NULL;
}

void view_leave(struct view *view)
{
	pthread_rwlock_unlock(&view->lock);
}

int view_kernel_counters(struct view *view, struct counters *sum)
{
	int cpus = libbpf_num_possible_cpus(), error = 0;
	struct counters *values = cpus > 0 ? calloc((size_t)cpus, sizeof(*values)) : NULL;
	uint32_t key = 0;

	memset(sum, 0, sizeof(*sum));
	if (!values)
		return -ENOMEM;
	if (bpf_map_lookup_elem(view->kernel_counters_fd, &key, values) < 0)
		error = -errno;
	for (int cpu = 0; !error && cpu < cpus; cpu++)
		for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++)
			((uint64_t *)sum)[i] += ((const uint64_t *)&values[cpu])[i];
	free(values);
	return error;
}

struct view_sessions view_sessions(const struct state *state)
{
	struct view_sessions sum = { 0 };

	for (uint32_t slot = 0; slot < state->session_slots; slot++) {
		const struct session *session = &state->sessions[slot];

		/* Not a whole copy of each: one that is changing meanwhile counts as either. */
		if (!entry_is_live(session))
			continue;
		if (__atomic_load_n(&session->flags, __ATOMIC_RELAXED) & SESSION_CONFIRMED)
			sum.confirmed++;
		else
			sum.unconfirmed++;
	}
	return sum;
}
