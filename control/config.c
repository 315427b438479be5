/* SPDX-License-Identifier: MIT */
/*
 * config: see config.h. The way of a file: config_yaml makes nodes of its
 * text, config_walk puts them where the tables of config_keys say, by
 * config_value, and config_check looks at what belongs together.
 */
#include "control/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/config_check.h"

enum { READ_FIRST_BYTES = 64 << 10 };

void config_free(struct config *config)
{
	for (size_t i = 0; i < config->route_count; i++) {
		struct config_route *route = &config->routes[i];

		for (unsigned j = 0; j < route->target_count; j++)
			free(route->targets[j].address);
		free(route->targets);
		free(route->target);
		free(route->fqdn);
		route_spec_release(route->spec);
	}
	free(config->routes);
	for (unsigned i = 0; i < config->quic_lb_count; i++)
		free(config->quic_lb[i].servers);
	config_keys_free(&config_keys, config);
	memset(config, 0, sizeof(*config));
}

_Static_assert(offsetof(struct config_draft, config) == 0, "the tables' offsets hold for a struct config too");

bool config_section_equal(const struct config *a, const struct config *b, const char *section)
{
	for (unsigned i = 0; i < config_keys.key_count; i++)
		if (strcmp(config_keys.keys[i].name, section) == 0)
			return config_keys_equal(config_keys.keys[i].mapping, a, b);
	return false;
}

int config_parse(const char *name, const char *text, size_t len, struct config *config, FILE *errors_to)
{
	struct config_draft *draft = calloc(1, sizeof(*draft));
	struct config_errors *errors = calloc(1, sizeof(*errors));
	int result = -1;

	memset(config, 0, sizeof(*config));
	if (!draft || !errors) {
		fprintf(errors_to, "%s: out of memory\n", name);
		goto out;
	}
	if (len > CONFIG_YAML_BYTES_MAX)
		config_errors_add(errors, 0, NULL, NULL, "%zu bytes: must be at most %d", len, CONFIG_YAML_BYTES_MAX);
	else if (config_keys_defaults(&config_keys, draft) < 0)
		config_errors_add(errors, 0, NULL, NULL, "out of memory");
	else if (config_walk_text(text, len, draft, errors))
		config_check_all(draft, errors);

	if (errors->count == 0) {
		*config = draft->config;
		result = 0;
	} else {
		config_errors_print(errors, name, errors_to);
		config_free(&draft->config);
	}
out:
	free(errors);
	free(draft);
	return result;
}

/* The whole of fd, or one byte more than a configuration may have; *text is the caller's to free. 0 or -errno. */
static int read_all(int fd, char **text, size_t *len)
{
	size_t size = 0, used = 0;
	char *bytes = NULL;
	ssize_t n;

	do {
		if (used == size) {
			char *grown = realloc(bytes, size ? size * 2 : READ_FIRST_BYTES);

			if (!grown)
				goto err;
			bytes = grown;
			size = size ? size * 2 : READ_FIRST_BYTES;
		}
		n = read(fd, bytes + used, size - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			goto err;
		used += (size_t)n;
	} while (n != 0 && used <= CONFIG_YAML_BYTES_MAX);
	*text = bytes;
	*len = used;
	return 0;
err:
	n = -errno;
	free(bytes);
	return (int)n;
}

int config_load(const char *path, struct config *config, FILE *errors)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	char *text = NULL;
	size_t len = 0;

	memset(config, 0, sizeof(*config));
	err = fd < 0 ? -errno : read_all(fd, &text, &len);
	if (fd >= 0)
		close(fd);
	if (err < 0) {
		fprintf(errors, "%s: cannot be read: %s\n", path, strerror(-err));
		return -1;
	}
	err = config_parse(path, text, len, config, errors);
	free(text);
	return err;
}
