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

/*
 * Takes the instance: mounts bpffs where it is not mounted, makes the
 * instance's directory and locks it (flock), so whoever can see the pins sees
 * the lock. A descriptor that holds it until it is closed or the process dies;
 * -EBUSY if a living process has it.
 */
int pins_lock(const char *instance);

/* The same for an instance that is there already; else -ENOENT. */
int pins_lock_existing(const char *instance);

/* What is pinned for an interface, as "<kind>-<ifindex>". */
#define PIN_LINK       "link"       /* of the XDP program */
#define PIN_DISPATCHER "dispatcher" /* a map: an XDP program that uses it may be in the interface's dispatcher */

void pins_interface_path(char path[static PIN_PATH_MAX], const char *instance, const char *kind, unsigned ifindex);

/* Calls `each` for every interface that has a pin of this kind; it may unpin it. */
void pins_each_interface(const char *instance, const char *kind, void (*each)(const void *context, unsigned ifindex),
			 const void *context);

/* Unpins everything of the instance, whose lock the caller holds; links without another holder detach. */
void pins_clear(const char *instance);

/* Takes the directory away if nothing is pinned in it. */
void pins_release(const char *instance);

/* pins_clear, and takes the directory away. */
void pins_remove(const char *instance);

#endif
