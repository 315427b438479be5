/* SPDX-License-Identifier: MIT */
/*
 * replay: the main of every fuzz target as a plain regression test. Runs each
 * file of tests/fuzz/corpus/NAME (NAME from the program's own, replay_NAME; run
 * it from the top of the tree) or the files given, and each file's prefixes up
 * to 4,096 bytes, all from allocations of exactly their size so that
 * AddressSanitizer sees one byte too far. A failure names the input.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PREFIX_BYTES_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak)); /* with -fsanitize only */

static unsigned files_run;
static unsigned long inputs_run;
static char current[1200]; /* the input that is running */

static void name_current(void)
{
	if (write(STDERR_FILENO, current, strlen(current)) < 0)
		return; /* nowhere left to say so */
}

static void on_signal(int number)
{
	name_current();
	raise(number); /* SA_RESETHAND: now it ends the process */
}

static void name_input_on_failure(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };

	sigaction(SIGABRT, &action, NULL);
	if (__sanitizer_set_death_callback) {
		__sanitizer_set_death_callback(name_current);
		return; /* its own handlers of the others print more than ours */
	}
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGFPE, &action, NULL);
	sigaction(SIGILL, &action, NULL);
}

static void run_one(const char *path, const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len); /* glibc gives an address for 0 bytes too */

	if (!copy) {
		perror("replay");
		exit(1);
	}
	memcpy(copy, data, len);
	snprintf(current, sizeof(current), "replay: failed on %s, its first %zu bytes\n", path, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
	inputs_run++;
}

static uint8_t *read_file(const char *path, size_t *len)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	struct stat status;

	if (!file)
		return NULL;
	if (!fstat(fileno(file), &status) && S_ISREG(status.st_mode)) {
		*len = (size_t)status.st_size;
		data = malloc(*len + 1);
		if (data && fread(data, 1, *len, file) != *len) {
			free(data);
			data = NULL;
		}
	} else {
		errno = EINVAL;
	}
	fclose(file);
	return data;
}

static bool run_file(const char *path)
{
	size_t len = 0;
	uint8_t *data = read_file(path, &len);

	if (!data) {
		fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
		return false;
	}
	for (size_t n = 0; n < len && n <= PREFIX_BYTES_MAX; n++)
		run_one(path, data, n);
	run_one(path, data, len);
	free(data);
	files_run++;
	return true;
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static bool run_corpus(const char *program)
{
	const char *slash = strrchr(program, '/'), *name = slash ? slash + 1 : program;
	char dir[512], path[1024];
	struct dirent **entries;
	bool good = true;
	int count;

	if (!strncmp(name, "replay_", 7))
		name += 7;
	snprintf(dir, sizeof(dir), "tests/fuzz/corpus/%s", name);
	count = scandir(dir, &entries, is_visible, alphasort);
	if (count < 0) {
		fprintf(stderr, "replay: %s: %s\n", dir, strerror(errno));
		return false;
	}
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name);
		good = run_file(path) && good;
		free(entries[i]);
	}
	free(entries);
	return good;
}

int main(int argc, char **argv)
{
	bool good = true;

	name_input_on_failure();
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++)
		good = run_file(argv[i]) && good;
	if (argc == 1)
		good = run_corpus(argv[0]);
	printf("%s: %u files, %lu inputs\n", argv[0], files_run, inputs_run);
	if (files_run == 0) {
		fprintf(stderr, "replay: nothing to run\n");
		return 1;
	}
	return good ? 0 : 1;
}
