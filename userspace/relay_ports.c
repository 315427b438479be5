/* SPDX-License-Identifier: MIT */
/* relay_ports: see relay_ports.h. */
#include "relay_ports.h"

#include <errno.h>
#include <string.h>

int relay_ports_init(struct globals *globals, const struct config_relay *config)
{
	unsigned low, high;
	FILE *file;
	int n;

	if (config->port_ranges[0][0]) {
		memcpy(globals->relay_ports, config->port_ranges, sizeof(globals->relay_ports));
		return 0;
	}
	file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	if (!file)
		return -errno;
	n = fscanf(file, "%u %u", &low, &high);
	fclose(file);
	if (n != 2 || low > high || high > UINT16_MAX)
		return -EINVAL;
	memset(globals->relay_ports, 0, sizeof(globals->relay_ports));
	if (low > 1024) {
		globals->relay_ports[0] = 1024;
		globals->relay_ports[1] = (uint16_t)(low - 1);
	}
	if (high < UINT16_MAX) {
		globals->relay_ports[2] = (uint16_t)(high + 1);
		globals->relay_ports[3] = UINT16_MAX;
	}
	return low > 1024 || high < UINT16_MAX ? 0 : -ERANGE;
}

/* Lines: "  sl  local_address rem_address ...", the local port as the hex after the first address's colon. */
static void bound_ports_read(const char *path, uint64_t ports[static 1024])
{
	char line[512];
	FILE *file = fopen(path, "re");

	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		unsigned port;

		if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x", &port) == 1 && port <= UINT16_MAX)
			ports[port / 64] |= 1ull << port % 64;
	}
	fclose(file);
}

void relay_ports_refresh(struct state *state)
{
	uint64_t ports[1024] = { 0 };

	bound_ports_read("/proc/net/udp", ports);
	bound_ports_read("/proc/net/udp6", ports);
	for (unsigned i = 0; i < 1024; i++)
		__atomic_store_n(&state->host_ports[i], ports[i], __ATOMIC_RELAXED);
}
