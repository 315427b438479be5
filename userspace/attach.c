/* SPDX-License-Identifier: MIT */
/* attach: see attach.h. */
#include "attach.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <time.h>
#include <unistd.h>

#include "bpf/abi.h"
#include "log.h"
#include "pins.h"

enum { BUSY_RETRIES = 100, BUSY_RETRY_MS = 20 };

/* Another's XDP program would be in the way: told before anything is attached. */
int attach_check(const struct attachment *attachment)
{
	char path[PIN_PATH_MAX];
	uint32_t other = 0;

	pins_link_path(path, attachment->instance, attachment->interface.ifindex);
	if (access(path, F_OK) == 0 || bpf_xdp_query_id((int)attachment->interface.ifindex, 0, &other) < 0 || !other)
		return 0;
	log_errorx("%s: carries XDP program %u already: another relay's, or detach it first (bpftool net)",
		   attachment->interface.name, other);
	return -1;
}

/* A predecessor's link that was just unpinned is taken off its interface behind our back: waited for. */
static int link_create_patiently(uint32_t ifindex, int program_fd, unsigned flags)
{
	DECLARE_LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);
	int fd = -1;

	for (int i = 0; i < BUSY_RETRIES && fd < 0; i++) {
		if (i)
			nanosleep(&(struct timespec){ .tv_nsec = BUSY_RETRY_MS * 1000000L }, NULL);
		fd = bpf_link_create(program_fd, (int)ifindex, BPF_XDP, &opts);
		if (fd < 0 && errno != EBUSY)
			break;
	}
	return fd;
}

/* A link of our own, pinned. NULL with errno set. */
static struct bpf_link *link_make(const struct attachment *attachment, const struct bpf_program *program,
				  unsigned flags)
{
	uint32_t ifindex = attachment->interface.ifindex;
	int fd = link_create_patiently(ifindex, bpf_program__fd(program), flags);
	char path[PIN_PATH_MAX];
	int error;

	if (fd < 0)
		return NULL;
	pins_link_path(path, attachment->instance, ifindex);
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

	pins_link_path(path, attachment->instance, attachment->interface.ifindex);
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
	struct bpf_link *link = link_adopt(attachment, program);

	*how = "in its predecessor's place";
	if (link)
		return link;
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

int attach_make(struct attachment *attachment, struct bpf_program *program)
{
	const char *name = attachment->interface.name, *how;

	attachment->link = link_attach(attachment, program, &how);
	if (!attachment->link) {
		log_error("%s: XDP, %s", name, how);
		return -1;
	}
	log_infox("%s: XDP attached, %s", name, how);
	return 0;
}

void attach_take_off(struct attachment *attachment)
{
	if (attachment->link)
		bpf_link__detach(attachment->link);
	attach_leave(attachment);
}

void attach_leave(struct attachment *attachment)
{
	if (attachment->link)
		bpf_link__destroy(attachment->link); /* pinned: it only forgets */
	attachment->link = NULL;
}

void attach_prune(const char *instance, const struct attachment *kept, unsigned count)
{
	unsigned ifindexes[INTERFACES_MAX];

	for (unsigned i = 0; i < count; i++)
		ifindexes[i] = kept[i].interface.ifindex;
	pins_prune_links(instance, ifindexes, count);
}
