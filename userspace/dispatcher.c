/* SPDX-License-Identifier: MIT */
/* dispatcher: see dispatcher.h. */
#include "dispatcher.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xdp/libxdp.h>

#include "log.h"

enum { PROGRAMS_MAX = 10 /* of libxdp's dispatcher */, MAPS_MAX = 64 };

#define PROGRAM_NAME "sluice_xdp" /* of every instance */

static char said[256]; /* libxdp's first words since words_begin: the cause comes first */

static int words_keep(enum libxdp_print_level level, const char *format, va_list args)
{
	char line[sizeof(said)];
	const char *word = line;

	if (level == LIBXDP_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	word += strspn(line, " ");
	if (!said[0])
		memmove(said, word, strlen(word) + 1);
	log_debugx("%s", word);
	return 0;
}

static void words_begin(void)
{
	said[0] = '\0';
	libxdp_set_print(words_keep);
}

static const char *words_of(int error)
{
	if (!said[0])
		libxdp_strerror(error, said, sizeof(said));
	return said;
}

static bool uses_map(const struct xdp_program *program, uint32_t map_id)
{
	uint32_t ids[MAPS_MAX];
	struct bpf_prog_info info = { .nr_map_ids = MAPS_MAX, .map_ids = (uintptr_t)ids };
	uint32_t info_len = sizeof(info);

	if (!map_id || bpf_obj_get_info_by_fd(xdp_program__fd(program), &info, &info_len) < 0)
		return false;
	for (uint32_t i = 0; i < info.nr_map_ids && i < MAPS_MAX; i++)
		if (ids[i] == map_id)
			return true;
	return false;
}

/* NULL: nothing there, or nothing that libxdp understands. */
static struct xdp_multiprog *multiprog_get(uint32_t ifindex)
{
	struct xdp_multiprog *multiprog = xdp_multiprog__get_from_ifindex((int)ifindex);

	return libxdp_get_error(multiprog) ? NULL : multiprog;
}

void dispatcher_look(uint32_t ifindex, uint32_t map_id, struct dispatcher_view *view)
{
	struct xdp_program *program = NULL;
	struct xdp_multiprog *multiprog;

	words_begin();
	*view = (struct dispatcher_view){ .carried = CARRIED_NOTHING };
	if (bpf_xdp_query_id((int)ifindex, 0, &view->program) < 0 || !view->program)
		return;
	view->carried = CARRIED_PROGRAM;
	multiprog = multiprog_get(ifindex);
	if (!multiprog)
		return;
	if (!xdp_multiprog__is_legacy(multiprog)) {
		view->carried = CARRIED_DISPATCHER;
		view->generic = xdp_multiprog__attach_mode(multiprog) == XDP_MODE_SKB;
		while ((program = xdp_multiprog__next_prog(program, multiprog)))
			if (strcmp(xdp_program__name(program), PROGRAM_NAME) == 0 && !uses_map(program, map_id))
				view->other_relay = xdp_program__id(program);
	}
	xdp_multiprog__close(multiprog);
}

/* Takes all programs of this instance out but one (0: none is kept). */
static int take_out(uint32_t ifindex, uint32_t map_id, uint32_t kept, const char **why)
{
	struct xdp_program *programs[PROGRAMS_MAX], *program = NULL;
	struct xdp_multiprog *multiprog = multiprog_get(ifindex);
	int count = 0, error = 0;

	if (!multiprog)
		return 0;
	while (count < PROGRAMS_MAX && (program = xdp_multiprog__next_prog(program, multiprog)))
		if (xdp_program__id(program) != kept && uses_map(program, map_id))
			programs[count++] = program;
	if (count)
		error = xdp_program__detach_multi(programs, (size_t)count, (int)ifindex,
						  xdp_multiprog__attach_mode(multiprog), 0);
	xdp_multiprog__close(multiprog);
	if (error) {
		*why = words_of(error);
		return error;
	}
	return count;
}

/* Not loaded yet: it is libxdp that loads it, as a function of the dispatcher. */
static struct bpf_object *object_open(const struct dispatcher_program *program)
{
	DECLARE_LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = PROGRAM_NAME);
	struct bpf_object *object = bpf_object__open_mem(program->elf, program->elf_len, &opts);
	struct bpf_map *map;

	if (!object)
		return NULL;
	bpf_object__for_each_map(map, object) {
		struct bpf_map *shared = bpf_object__find_map_by_name(program->loaded, bpf_map__name(map));

		if (!shared || bpf_map__reuse_fd(map, bpf_map__fd(shared)) < 0) {
			bpf_object__close(object);
			return NULL;
		}
	}
	return object;
}

/* Where the kernel allows no dispatcher, libxdp puts a program on a free interface without one. */
static bool is_dispatched(uint32_t ifindex)
{
	struct xdp_multiprog *multiprog = multiprog_get(ifindex);
	bool dispatched = multiprog && !xdp_multiprog__is_legacy(multiprog);

	xdp_multiprog__close(multiprog);
	return dispatched;
}

/* *id: of the program that was added. 0 or -errno and *why. */
static int add(uint32_t ifindex, enum xdp_attach_mode mode, struct bpf_object *object, uint32_t *id, const char **why)
{
	DECLARE_LIBXDP_OPTS(xdp_program_opts, opts, .obj = object, .prog_name = PROGRAM_NAME);
	struct xdp_program *program = xdp_program__create(&opts);
	int error = (int)libxdp_get_error(program);

	if (error) {
		*why = words_of(error);
		return error;
	}
	xdp_program__set_run_prio(program, RUN_PRIORITY);
	xdp_program__set_chain_call_enabled(program, XDP_PASS, true); /* what is not ours is others' */
	error = xdp_program__attach(program, (int)ifindex, mode, 0);
	if (!error && !is_dispatched(ifindex)) {
		xdp_program__detach(program, (int)ifindex, mode, 0);
		error = -EOPNOTSUPP;
	}
	if (error)
		*why = words_of(error);
	*id = xdp_program__id(program);
	xdp_program__close(program);
	return error;
}

int dispatcher_join(uint32_t ifindex, bool generic, const struct dispatcher_program *program, uint32_t map_id,
		    const char **why)
{
	struct bpf_object *object = object_open(program);
	int error, replaced;
	uint32_t id;

	if (!object) {
		*why = "no second program can be made";
		return -ENOMEM;
	}
	words_begin();
	error = add(ifindex, generic ? XDP_MODE_SKB : XDP_MODE_NATIVE, object, &id, why);
	bpf_object__close(object);
	if (error)
		return error;
	replaced = take_out(ifindex, map_id, id, why);
	if (replaced < 0)
		log_warnx("libxdp's dispatcher: a predecessor's program stays beside ours: %s", *why);
	return replaced < 0 ? 0 : replaced;
}

int dispatcher_leave(uint32_t ifindex, uint32_t map_id, const char **why)
{
	words_begin();
	return take_out(ifindex, map_id, 0, why);
}
