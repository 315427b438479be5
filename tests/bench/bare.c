/* SPDX-License-Identifier: MIT */
/* bare: see bare.h. */
#include "bare.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "bench.h"
#include "constant_way.h"
#include "tests/bench/bare.skel.h"

struct bare *bare_start(const struct lane *lane)
{
	struct constant_way way = constant_way_of(lane);
	struct bare *bare = bare__open();
	uint32_t key = 0;
	int error;

	if (!bare)
		return NULL;
	bare->rodata->listener_port_be = htons(LISTENER_PORT);
	memcpy((void *)&bare->rodata->way, &way, sizeof(way));
	/* A devmap takes the number for one of the caller's namespace. */
	ns_enter(lane->relay_ns);
	error = bare__load(bare) || bpf_map_update_elem(bpf_map__fd(bare->maps.device), &key, &lane->out.ifindex, BPF_ANY);
	ns_leave();
	if (!error && lane_attach(&lane->in, bare_program(bare)))
		return bare;
	bench_failed("bare: %s", strerror(errno));
	bare__destroy(bare);
	return NULL;
}

void bare_stop(struct bare *bare, const struct lane *lane)
{
	if (!bare)
		return;
	lane_attach(&lane->in, -1);
	bare__destroy(bare);
}

int bare_program(const struct bare *bare)
{
	return bpf_program__fd(bare->progs.bare);
}
