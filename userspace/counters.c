/* SPDX-License-Identifier: MIT */
/* counters: see counters.h. */
#include "counters.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "bpf/abi.h"
#include "pins.h"

static const char *const drop_labels[] = {
#define X(id, label, help) [DROP_##id] = label,
	DROP_REASONS(X)
#undef X
};

static const char *const event_labels[] = {
#define X(id, label, help) [EVENT_##id] = label,
	EVENTS(X)
#undef X
};

static const char *const direction_labels[] = { [TO_BACKEND] = "to_backend", [TO_CLIENT] = "to_client" };

/* struct counters is nothing but 64-bit words. */
static void counters_add(struct counters *sum, const struct counters *more)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)more;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
		to[i] += from[i];
}

/* -EPROTO: a relay of another version has pinned it, whose values are not what we have room for. */
static int map_open(const char *instance, const char *name, size_t value_size)
{
	struct bpf_map_info info = { 0 };
	uint32_t info_len = sizeof(info);
	char path[PIN_PATH_MAX];
	int fd;

	pins_path(path, instance, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	if (bpf_obj_get_info_by_fd(fd, &info, &info_len) == 0 && info.value_size == value_size)
		return fd;
	close(fd);
	return -EPROTO;
}

static int kernel_read(const char *instance, struct counters *sum)
{
	int cpus = libbpf_num_possible_cpus(), fd = map_open(instance, "kernel_counters", sizeof(struct counters)), error = 0;
	struct counters *values;
	uint32_t key = 0;

	if (fd < 0)
		return fd;
	values = cpus > 0 ? calloc((size_t)cpus, sizeof(*values)) : NULL;
	if (!values)
		error = -ENOMEM;
	else if (bpf_map_lookup_elem(fd, &key, values) < 0)
		error = -errno;
	for (int i = 0; !error && i < cpus; i++)
		counters_add(sum, &values[i]);
	free(values);
	close(fd);
	return error;
}

static int workers_read(const char *instance, struct counters *sum)
{
	int fd = map_open(instance, "worker_counters", sizeof(struct worker_record)), error = 0;

	if (fd < 0)
		return fd;
	for (uint32_t key = 0; !error && key < WORKERS_MAX; key++) {
		struct worker_record value;

		if (bpf_map_lookup_elem(fd, &key, &value) < 0)
			error = -errno;
		else
			counters_add(sum, &value.counters);
	}
	close(fd);
	return error;
}

static void print_one(FILE *out, const char *who, const struct counters *counters)
{
	for (int d = 0; d < DIRECTIONS; d++) {
		fprintf(out, "%s_%s_packets %llu\n", who, direction_labels[d], counters->forwarded[d].packets);
		fprintf(out, "%s_%s_bytes %llu\n", who, direction_labels[d], counters->forwarded[d].bytes);
	}
	for (int i = 0; i < DROP_REASON_COUNT; i++)
		fprintf(out, "%s_drop_%s %llu\n", who, drop_labels[i], counters->drops[i]);
}

int counters_print(const char *instance, FILE *out)
{
	struct counters kernel = { 0 }, workers = { 0 };
	int error = kernel_read(instance, &kernel);

	if (!error)
		error = workers_read(instance, &workers);
	if (error)
		return error;
	print_one(out, "kernel", &kernel);
	for (int d = 0; d < DIRECTIONS; d++)
		fprintf(out, "kernel_punted_%s_packets %llu\n", direction_labels[d], kernel.punted[d].packets);
	fprintf(out, "kernel_cid_reports %llu\n", kernel.cid_reports);
	fprintf(out, "kernel_cid_reports_limited %llu\n", kernel.cid_reports_limited);
	print_one(out, "worker", &workers);
	for (int i = 0; i < EVENT_COUNT; i++)
		fprintf(out, "worker_%s %llu\n", event_labels[i], workers.events[i]);
	return 0;
}
