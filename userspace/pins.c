/* SPDX-License-Identifier: MIT */
/* pins: see pins.h. */
#include "pins.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

bool pins_instance_is_valid(const char *instance)
{
	size_t len = strlen(instance);

	if (len == 0 || len > 64 || instance[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)instance[i]) && !strchr("_.-", instance[i]))
			return false;
	return true;
}

void pins_path(char path[static PIN_PATH_MAX], const char *instance, const char *name)
{
	snprintf(path, PIN_PATH_MAX, PINS_BPFFS "/sluice/%s%s%s", instance, name ? "/" : "", name ? name : "");
}

void pins_link_path(char path[static PIN_PATH_MAX], const char *instance, unsigned ifindex)
{
	char name[32];

	snprintf(name, sizeof(name), "link-%u", ifindex);
	pins_path(path, instance, name);
}

static int directory_make(const char *path, mode_t mode)
{
	return mkdir(path, mode) < 0 && errno != EEXIST ? -errno : 0;
}

int pins_prepare(const char *instance)
{
	char path[PIN_PATH_MAX];
	struct statfs fs;
	int error;

	if (statfs(PINS_BPFFS, &fs) < 0 || fs.f_type != BPF_FS_MAGIC)
		if (mount("bpffs", PINS_BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
			return -errno;
	error = directory_make(PINS_BPFFS "/sluice", 0700);
	if (error)
		return error;
	pins_path(path, instance, NULL);
	return directory_make(path, 0700);
}

int pins_remove(const char *instance)
{
	char path[PIN_PATH_MAX];
	struct dirent *entry;
	DIR *directory;

	pins_path(path, instance, NULL);
	directory = opendir(path);
	if (!directory)
		return -errno;
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
	if (rmdir(path) < 0)
		return -errno;
	rmdir(PINS_BPFFS "/sluice"); /* goes with the last instance */
	return 0;
}

void pins_prune_links(const char *instance, const unsigned *ifindexes, unsigned count)
{
	char path[PIN_PATH_MAX];
	struct dirent *entry;
	DIR *directory;

	pins_path(path, instance, NULL);
	directory = opendir(path);
	if (!directory)
		return;
	while ((entry = readdir(directory))) {
		unsigned ifindex, i = 0;

		if (sscanf(entry->d_name, "link-%u", &ifindex) != 1)
			continue;
		while (i < count && ifindexes[i] != ifindex)
			i++;
		if (i == count)
			unlinkat(dirfd(directory), entry->d_name, 0);
	}
	closedir(directory);
}

/* True if the file that was locked is still the one of that name: its holder may have removed it in between. */
static bool lock_is_current(const struct pins_lock *lock)
{
	struct stat held, named;

	return fstat(lock->fd, &held) == 0 && stat(lock->path, &named) == 0 && held.st_ino == named.st_ino &&
	       held.st_dev == named.st_dev;
}

int pins_lock(struct pins_lock *lock, const char *run_dir, const char *name)
{
	int error = directory_make(run_dir, 0755);

	lock->fd = -1;
	if (error)
		return error;
	snprintf(lock->path, sizeof(lock->path), "%s/%s.lock", run_dir, name);
	for (;;) {
		lock->fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (lock->fd < 0)
			return -errno;
		error = flock(lock->fd, LOCK_EX | LOCK_NB) < 0 ? errno : 0;
		if (!error && lock_is_current(lock))
			return 0;
		close(lock->fd);
		lock->fd = -1;
		if (error)
			return error == EWOULDBLOCK ? -EBUSY : -error;
	}
}

void pins_unlock(struct pins_lock *lock)
{
	if (lock->fd < 0)
		return;
	unlink(lock->path);
	close(lock->fd);
	lock->fd = -1;
}
