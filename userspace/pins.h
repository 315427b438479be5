/* SPDX-License-Identifier: MIT */
/*
 * pins: where an instance's BPF objects are pinned, and who may use them.
 * Steward thread, start and stop.
 */
#ifndef SLUICE_PINS_H
#define SLUICE_PINS_H

#include <stdbool.h>
#include <stddef.h>

#define PINS_BPFFS "/sys/fs/bpf"

enum { PIN_PATH_MAX = 256 };

bool pins_instance_is_valid(const char *instance);

/* BPFFS/sluice/<instance>, or with a name the pin of that name in it. */
void pins_path(char path[static PIN_PATH_MAX], const char *instance, const char *name);

/* Mounts bpffs where it is not mounted and makes the instance's directory. 0 or -errno. */
int pins_prepare(const char *instance);

/* Unpins the links of interfaces that are not among these: their XDP programs go. */
void pins_prune_links(const char *instance, const unsigned *ifindexes, unsigned count);

/* The pin of an interface's link: "link-<ifindex>". */
void pins_link_path(char path[static PIN_PATH_MAX], const char *instance, unsigned ifindex);

/* Unpins everything of the instance; links without another holder detach. 0, -ENOENT or -errno. */
int pins_remove(const char *instance);

/* The lock <run_dir>/<name>.lock; fd < 0: not held. */
struct pins_lock {
	int fd;
	char path[PIN_PATH_MAX];
};

/* 0, -EBUSY if a living process has it, or -errno. The kernel gives it back when the process dies. */
int pins_lock(struct pins_lock *lock, const char *run_dir, const char *name);

/* Gives it back and leaves no file; nothing happens if it is not held. */
void pins_unlock(struct pins_lock *lock);

#endif
