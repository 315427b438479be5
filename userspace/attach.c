/* SPDX-License-Identifier: MIT */
/* attach: see attach.h. */
#include "attach.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "pins.h"

enum { BUSY_RETRIES = 100, BUSY_RETRY_MS = 20 };

#define RECORD_MAP "globals" /* pinned once more, under the name of the interface */

/* --- what another may hold ------------------------------------------------------------------------- */

/* The ID of the map by which our programs in an interface's dispatcher are known; 0: none was ever put there. */
static uint32_t record_read(const char *instance, uint32_t ifindex)
{
	struct bpf_map_info info = { 0 };
	uint32_t info_len = sizeof(info);
	char path[PIN_PATH_MAX];
	int fd, error;

	pins_interface_path(path, instance, PIN_DISPATCHER, ifindex);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return 0;
	error = bpf_obj_get_info_by_fd(fd, &info, &info_len);
	close(fd);
	return error ? 0 : info.id;
}

static void carried_look(const struct attachment *attachment, struct dispatcher_view *view)
{
	uint32_t ifindex = attachment->interface.ifindex;

	dispatcher_look(ifindex, record_read(attachment->instance, ifindex), view);
}

/* The same, once a predecessor's link that was just unpinned is off the interface, which happens behind our back. */
static void carried_await(const struct attachment *attachment, struct dispatcher_view *view)
{
	carried_look(attachment, view);
	for (int i = 0; view->carried == CARRIED_PROGRAM && i < BUSY_RETRIES; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = BUSY_RETRY_MS * 1000000L }, NULL);
		carried_look(attachment, view);
	}
}

static const char *mode_name(bool generic)
{
	return generic ? "generic" : "native";
}

static int dispatcher_check(const struct attachment *attachment, const struct dispatcher_view *view)
{
	const char *name = attachment->interface.name;

	if (view->other_relay) {
		log_errorx("%s: carries XDP program %u already, another relay's: sluice-relay --detach -n ITS-NAME",
			   name, view->other_relay);
		return -1;
	}
	if (attachment->dispatcher == ATTACH_ALONE) {
		log_errorx("%s: carries XDP program %u already, a dispatcher, which xdp.dispatcher forbids to join",
			   name, view->program);
		return -1;
	}
	if (attachment->mode != ATTACH_AUTO && (attachment->mode == ATTACH_GENERIC) != view->generic) {
		log_errorx("%s: carries XDP program %u already, a dispatcher in %s mode, which xdp.mode forbids",
			   name, view->program, mode_name(view->generic));
		return -1;
	}
	return 0;
}

int attach_check(const struct attachment *attachment)
{
	struct dispatcher_view view;
	char path[PIN_PATH_MAX];

	pins_interface_path(path, attachment->instance, PIN_LINK, attachment->interface.ifindex);
	if (access(path, F_OK) == 0)
		return 0;
	carried_look(attachment, &view);
	if (view.carried == CARRIED_NOTHING)
		return 0;
	if (view.carried == CARRIED_DISPATCHER)
		return dispatcher_check(attachment, &view);
	log_errorx("%s: carries XDP program %u already: another relay's, or detach it first (bpftool net)",
		   attachment->interface.name, view.program);
	return -1;
}

/* --- by a link of our own --------------------------------------------------------------------------- */

/* A link of our own, pinned. NULL with errno set. */
static struct bpf_link *link_make(const struct attachment *attachment, const struct bpf_program *program,
				  unsigned flags)
{
	DECLARE_LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);
	uint32_t ifindex = attachment->interface.ifindex;
	int fd = bpf_link_create(bpf_program__fd(program), (int)ifindex, BPF_XDP, &opts);
	char path[PIN_PATH_MAX];
	int error;

	if (fd < 0)
		return NULL;
	pins_interface_path(path, attachment->instance, PIN_LINK, ifindex);
	error = bpf_obj_pin(fd, path) < 0 ? errno : 0;
	close(fd);
	errno = error;
	return error ? NULL : bpf_link__open(path);
}

/* The link that a predecessor left, now with our program; no packet meets neither. NULL: there is none that works. */
static struct bpf_link *link_adopt(const struct attachment *attachment, struct bpf_program *program)
{
	char path[PIN_PATH_MAX];
	struct bpf_link *link;

	pins_interface_path(path, attachment->instance, PIN_LINK, attachment->interface.ifindex);
	link = bpf_link__open(path);
	if (!link)
		return NULL;
	if (bpf_link__update_program(link, program) == 0)
		return link;
	/* Its interface went and came back under the same number. */
	bpf_link__destroy(link);
	unlink(path);
	return NULL;
}

static struct bpf_link *link_attach(const struct attachment *attachment, struct bpf_program *program, const char **how)
{
	struct bpf_link *link;

	*how = "native mode";
	if (attachment->mode != ATTACH_GENERIC) {
		link = link_make(attachment, program, XDP_FLAGS_DRV_MODE);
		if (link || attachment->mode == ATTACH_NATIVE)
			return link;
		log_warn("%s: XDP in native mode; falling back to generic mode, which is slower",
			 attachment->interface.name);
	}
	*how = "generic mode";
	return link_make(attachment, program, XDP_FLAGS_SKB_MODE);
}

/* --- in a dispatcher -------------------------------------------------------------------------------- */

/* Before the program is put there: after a crash at any time it is found by the record. */
static uint32_t record_write(const struct attachment *attachment, const struct dispatcher_program *joining)
{
	struct bpf_map *map = bpf_object__find_map_by_name(joining->loaded, RECORD_MAP);
	uint32_t ifindex = attachment->interface.ifindex;
	char path[PIN_PATH_MAX];

	pins_interface_path(path, attachment->instance, PIN_DISPATCHER, ifindex);
	if (!map || (bpf_obj_pin(bpf_map__fd(map), path) < 0 && errno != EEXIST))
		return 0;
	return record_read(attachment->instance, ifindex);
}

/* As dispatcher_join, after a record. */
static int join(struct attachment *attachment, bool generic, const struct dispatcher_program *joining, const char **why)
{
	uint32_t map_id = record_write(attachment, joining);
	int replaced = -EIO;

	*why = "what is needed to find the program again cannot be pinned";
	if (map_id)
		replaced = dispatcher_join(attachment->interface.ifindex, generic, joining, map_id, why);
	attachment->joined = replaced >= 0;
	return replaced;
}

/* The dispatcher that is there. */
static int join_others(struct attachment *attachment, const struct dispatcher_program *joining,
		       const struct dispatcher_view *view)
{
	const char *name = attachment->interface.name, *why;
	int replaced = join(attachment, view->generic, joining, &why);

	if (replaced < 0) {
		log_errorx("%s: carries XDP program %u already, a dispatcher that cannot be joined: %s; "
			   "detach it first (xdp-loader unload %s --all)", name, view->program, why, name);
		return -1;
	}
	log_infox("%s: XDP attached, %s in the dispatcher of program %u, %s mode", name,
		  replaced ? "in its predecessor's place" : "beside others", view->program, mode_name(view->generic));
	return 0;
}

/* A dispatcher of our own, where nothing is. */
static int join_first(struct attachment *attachment, const struct dispatcher_program *joining)
{
	const char *name = attachment->interface.name, *why;
	bool generic = attachment->mode == ATTACH_GENERIC;
	int replaced = join(attachment, generic, joining, &why);

	if (replaced < 0 && replaced != -EOPNOTSUPP && attachment->mode == ATTACH_AUTO) {
		log_warnx("%s: XDP in native mode: %s; falling back to generic mode, which is slower", name, why);
		generic = true;
		replaced = join(attachment, generic, joining, &why);
	}
	if (replaced < 0) {
		log_errorx("%s: no dispatcher can be put there, and xdp.dispatcher says always: %s", name, why);
		return -1;
	}
	log_infox("%s: XDP attached, in a new dispatcher, %s mode", name, mode_name(generic));
	return 0;
}

static void record_remove(const char *instance, uint32_t ifindex)
{
	char path[PIN_PATH_MAX];

	pins_interface_path(path, instance, PIN_DISPATCHER, ifindex);
	unlink(path);
}

/* Takes the instance's programs out of this interface's dispatcher, and forgets that they were there. */
static void leave_dispatcher(const char *instance, uint32_t ifindex)
{
	const char *why = "not there; gone with it, or in another network namespace (xdp-loader status)";

	if (dispatcher_leave(ifindex, record_read(instance, ifindex), &why) <= 0)
		log_warnx("interface %u: XDP program in libxdp's dispatcher: %s", ifindex, why);
	record_remove(instance, ifindex);
}

/* --- either ----------------------------------------------------------------------------------------- */

int attach_make(struct attachment *attachment, struct bpf_program *program, const struct dispatcher_program *joining)
{
	const char *name = attachment->interface.name, *how = "in its predecessor's place";
	struct dispatcher_view view;

	attachment->link = link_adopt(attachment, program);
	if (attachment->link && attachment->dispatcher == ATTACH_DISPATCHED)
		log_warnx("%s: XDP stays without a dispatcher until the relay was ended by SIGTERM", name);
	if (!attachment->link) {
		carried_await(attachment, &view);
		if (view.carried == CARRIED_DISPATCHER)
			return join_others(attachment, joining, &view);
		if (attachment->dispatcher == ATTACH_DISPATCHED)
			return join_first(attachment, joining);
		attachment->link = link_attach(attachment, program, &how);
	}
	if (!attachment->link) {
		log_error("%s: XDP, %s", name, how);
		return -1;
	}
	record_remove(attachment->instance, attachment->interface.ifindex); /* of a dispatcher that is gone */
	log_infox("%s: XDP attached, %s", name, how);
	return 0;
}

void attach_take_off(struct attachment *attachment)
{
	if (attachment->link)
		bpf_link__detach(attachment->link);
	if (attachment->joined)
		leave_dispatcher(attachment->instance, attachment->interface.ifindex);
	attach_leave(attachment);
}

void attach_leave(struct attachment *attachment)
{
	if (attachment->link)
		bpf_link__destroy(attachment->link); /* pinned: it only forgets */
	attachment->link = NULL;
	attachment->joined = false;
}

struct kept {
	const char *instance;
	const struct attachment *attachments;
	unsigned count;
};

static bool is_kept(const struct kept *kept, unsigned ifindex)
{
	for (unsigned i = 0; i < kept->count; i++)
		if (kept->attachments[i].interface.ifindex == ifindex)
			return true;
	return false;
}

/* Detached first: who unlinks a pin is not told when the kernel, later, takes the program off. */
static void prune_link(const void *context, unsigned ifindex)
{
	const struct kept *kept = context;
	char path[PIN_PATH_MAX];
	struct bpf_link *link;

	if (is_kept(kept, ifindex))
		return;
	pins_interface_path(path, kept->instance, PIN_LINK, ifindex);
	link = bpf_link__open(path);
	if (link)
		bpf_link__detach(link);
	bpf_link__destroy(link);
	unlink(path);
}

static void prune_joined(const void *context, unsigned ifindex)
{
	const struct kept *kept = context;

	if (!is_kept(kept, ifindex))
		leave_dispatcher(kept->instance, ifindex);
}

void attach_prune(const char *instance, const struct attachment *kept, unsigned count)
{
	const struct kept context = { instance, kept, count };

	pins_each_interface(instance, PIN_LINK, prune_link, &context);
	pins_each_interface(instance, PIN_DISPATCHER, prune_joined, &context);
}
