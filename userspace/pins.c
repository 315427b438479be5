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

	/* bpffs keeps names with a dot to itself. */
	if (len == 0 || len > 64)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)instance[i]) && !strchr("_-", instance[i]))
			return false;
	return true;
}

void pins_path(char path[static PIN_PATH_MAX], const char *instance, const char *name)
{
	snprintf(path, PIN_PATH_MAX, PINS_BPFFS "/sluice/%s%s%s", instance, name ? "/" : "", name ? name : "");
}

void pins_interface_path(char path[static PIN_PATH_MAX], const char *instance, const char *kind, unsigned ifindex)
{
	char name[32];

	snprintf(name, sizeof(name), "%s-%u", kind, ifindex);
	pins_path(path, instance, name);
}

static int directory_make(const char *path, mode_t mode)
{
	return mkdir(path, mode) < 0 && errno != EEXIST ? -errno : 0;
}

static int bpffs_prepare(void)
{
	struct statfs fs;

	if (statfs(PINS_BPFFS, &fs) < 0 || fs.f_type != BPF_FS_MAGIC)
		if (mount("bpffs", PINS_BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
			return -errno;
	return directory_make(PINS_BPFFS "/sluice", 0700);
}

/* True if the directory that was locked is still the one of that name: its holder may have removed it in between. */
static bool lock_is_current(int fd, const char *path)
{
	struct stat held, named;

	return fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_ino == named.st_ino;
}

static int lock_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error;

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return lock_is_current(fd, path) ? fd : (close(fd), -EAGAIN);
	error = errno == EWOULDBLOCK ? -EBUSY : -errno;
	close(fd);
	return error;
}

int pins_lock_existing(const char *instance)
{
	char path[PIN_PATH_MAX];

	pins_path(path, instance, NULL);
	return lock_directory(path);
}

int pins_lock(const char *instance)
{
	char path[PIN_PATH_MAX];
	int fd, error = bpffs_prepare();

	if (error)
		return error;
	pins_path(path, instance, NULL);
	do {
		error = directory_make(path, 0700);
		fd = error ? error : lock_directory(path);
	} while (fd == -EAGAIN || fd == -ENOENT);
	return fd;
}

void pins_clear(const char *instance)
{
	char path[PIN_PATH_MAX];
	struct dirent *entry;
	DIR *directory;

	pins_path(path, instance, NULL);
	directory = opendir(path);
	if (!directory)
		return;
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
}

void pins_release(const char *instance)
{
	char path[PIN_PATH_MAX];

	pins_path(path, instance, NULL);
	rmdir(path);
	rmdir(PINS_BPFFS "/sluice"); /* goes with the last instance */
}

void pins_remove(const char *instance)
{
	pins_clear(instance);
	pins_release(instance);
}

void pins_each_interface(const char *instance, const char *kind, void (*each)(const void *context, unsigned ifindex),
			 const void *context)
{
	size_t len = strlen(kind);
	char path[PIN_PATH_MAX];
	struct dirent *entry;
	DIR *directory;

	pins_path(path, instance, NULL);
	directory = opendir(path);
	if (!directory)
		return;
	while ((entry = readdir(directory))) {
		unsigned ifindex;

		if (strncmp(entry->d_name, kind, len) == 0 && sscanf(entry->d_name + len, "-%u", &ifindex) == 1)
			each(context, ifindex);
	}
	closedir(directory);
}
