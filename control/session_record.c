/* SPDX-License-Identifier: MIT */
/* session_record: see session_record.h. */
#include "control/session_record.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/config_value.h"
#include "userspace/address.h"

#define ROUTE_WORD "route="
#define ENDED "ended"

_Static_assert(SESSION_TEXT_BYTES >= ADDRESS_TEXT_MAX + sizeof(" " ROUTE_WORD "01234567 pinned"), "the longest fits");

void session_record_key(char key[static SESSION_KEY_BYTES], const uint8_t *cid, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char *at = stpcpy(key, SESSION_RECORD_PREFIX);

	for (size_t i = 0; i < len; i++) {
		*at++ = digits[cid[i] >> 4];
		*at++ = digits[cid[i] & 15];
	}
	*at = '\0';
}

void session_record_write(char text[static SESSION_TEXT_BYTES], const struct session_record *record)
{
	char server[ADDRESS_TEXT_MAX];

	if (record->ended) {
		strcpy(text, ENDED);
		return;
	}
	address_text(server, &record->server.addr, htons(record->server.port));
	snprintf(text, SESSION_TEXT_BYTES, "%s " ROUTE_WORD "%08x%s", server, record->route,
		 record->pinned ? " pinned" : "");
}

/* 1 to 8 hexadecimal digits. */
static bool read_route(const char *digits, uint32_t *route)
{
	size_t len = strlen(digits);

	if (len < 1 || len > 8 || strspn(digits, "0123456789abcdefABCDEF") != len)
		return false;
	*route = (uint32_t)strtoul(digits, NULL, 16);
	return true;
}

int session_record_read(const char *text, size_t len, struct session_record *record)
{
	char copy[SESSION_TEXT_BYTES], *rest, *word;

	*record = (struct session_record){ 0 };
	if (len >= sizeof(copy) || memchr(text, '\0', len))
		return -EBADMSG;
	memcpy(copy, text, len);
	copy[len] = '\0';
	record->ended = strcmp(copy, ENDED) == 0;
	if (record->ended)
		return 0;
	word = strtok_r(copy, " ", &rest);
	if (!word || config_address_parse(word, &record->server) || !config_address_is_unicast(&record->server.addr))
		return -EBADMSG;
	while ((word = strtok_r(NULL, " ", &rest))) {
		if (strcmp(word, "pinned") == 0)
			record->pinned = true;
		else if (strncmp(word, ROUTE_WORD, strlen(ROUTE_WORD)) == 0 &&
			 !read_route(word + strlen(ROUTE_WORD), &record->route))
			return -EBADMSG;
	}
	return 0;
}
