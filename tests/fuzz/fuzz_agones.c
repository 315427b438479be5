/* SPDX-License-Identifier: MIT */
/*
 * fuzz_agones: any bytes as the allocator's reply. What is taken is a server
 * that can be connected to, whose name can be a route's; what is refused says
 * why, in printable characters.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "control/agones_message.h"
#include "control/config_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void require_name(const char *text)
{
	char *fqdn = NULL;

	require(!config_value_fqdn(text, &fqdn) && strcmp(fqdn, text) == 0 && !strchr(text, '*'));
	free(fqdn);
}

static void require_printable(const char *error)
{
	require(error[0] && strlen(error) < AGONES_ERROR_BYTES);
	for (; *error; error++)
		require(isprint((unsigned char)*error));
}

static void read_reply(const char *text, size_t len, const char *port_name)
{
	struct agones_reply reply;
	char error[AGONES_ERROR_BYTES];

	if (agones_message_reply(text, len, port_name, &reply, error)) {
		require_printable(error);
		return;
	}
	require_name(reply.name);
	require(reply.address.port != 0);
	if (reply.host_is_ip)
		require(config_address_is_unicast(&reply.address.addr));
	else
		require_name(reply.host);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[AGONES_ERROR_BYTES];

	read_reply((const char *)data, size, "");
	read_reply((const char *)data, size, "game");
	agones_message_error((const char *)data, size, 500, error);
	require_printable(error);
	return 0;
}
