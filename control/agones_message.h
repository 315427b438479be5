/* SPDX-License-Identifier: MIT */
/*
 * agones_message: what is said to Agones' allocator and what it answers, as
 * proto-JSON (https://agones.dev/site/docs/advanced/allocator-service/; proto:
 * github.com/googleforgames/agones, proto/allocation/allocation.proto). Pure.
 * The allocator is trusted with which server, not with how its answer looks.
 */
#ifndef SLUICE_AGONES_MESSAGE_H
#define SLUICE_AGONES_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "control/config.h"

enum {
	AGONES_ERROR_BYTES = 256,
	AGONES_REPLY_BYTES_MAX = 256 << 10, /* real ones have 1 KB, and more with many labels */
};

struct agones_reply {
	char name[CONFIG_FQDN_MAX + 1];  /* of the game server; lower case, labels of a DNS name */
	char host[CONFIG_FQDN_MAX + 1];  /* where it is: an IP address, or a name to resolve */
	bool host_is_ip;                 /* then address.addr is set */
	struct config_address address;   /* port: always */
};

/*
 * The request: a server that players are on already and that has room for one
 * more, before one that nobody is on. Owned by the caller; NULL: no memory.
 */
char *agones_message_request(const char *namespace, const char *fleet);

/* port_name "": the first port. 0, or -EBADMSG and error says what is wrong. */
int agones_message_reply(const char *text, size_t len, const char *port_name, struct agones_reply *reply,
			 char error[static AGONES_ERROR_BYTES]);

/* What an answer that is an error says ({"message": ...}), printable, after "HTTP <status>". */
void agones_message_error(const char *text, size_t len, long status, char error[static AGONES_ERROR_BYTES]);

#endif
