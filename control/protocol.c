/* SPDX-License-Identifier: MIT */
/* protocol: see protocol.h. */
#include "control/protocol.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

enum { BODY_AT = offsetof(struct protocol_message, hello) };

enum text_rule { TEXT_NONE, TEXT_OPTIONAL, TEXT_NEEDED };

static const struct {
	uint16_t body_len;
	uint8_t text;                  /* enum text_rule */
} layouts[PROTOCOL_TYPES] = {
	[PROTOCOL_HELLO] = { sizeof(struct protocol_hello), TEXT_OPTIONAL },
	[PROTOCOL_MAPS] = { sizeof(struct protocol_maps), TEXT_NONE },
	[PROTOCOL_ROUTES_BEGIN] = { 0, TEXT_NONE },
	[PROTOCOL_ROUTE] = { sizeof(struct protocol_route), TEXT_NEEDED },
	[PROTOCOL_ROUTES_END] = { 0, TEXT_NONE },
	[PROTOCOL_ROUTE_GONE] = { 0, TEXT_NEEDED },
	[PROTOCOL_ROUTE_REFUSED] = { sizeof(struct protocol_refused), TEXT_NEEDED },
	[PROTOCOL_SESSION_END] = { sizeof(struct protocol_session), TEXT_NONE },
	[PROTOCOL_RELOAD] = { 0, TEXT_NONE },
	[PROTOCOL_ASK] = { sizeof(struct protocol_ask), TEXT_NEEDED },
	[PROTOCOL_ANSWER] = { sizeof(struct protocol_answer), TEXT_NONE },
	[PROTOCOL_ASK_CID] = { sizeof(struct protocol_ask_cid), TEXT_NONE },
	[PROTOCOL_CID_ANSWER] = { sizeof(struct protocol_cid_answer), TEXT_NONE },
};

_Static_assert(sizeof(struct protocol_header) + sizeof(struct protocol_route) + PROTOCOL_TEXT_MAX <=
	       PROTOCOL_MESSAGE_MAX, "the longest message fits");

/* Of a route only the targets that count. */
static size_t body_len_of(uint16_t type, uint8_t target_count)
{
	if (type != PROTOCOL_ROUTE)
		return layouts[type].body_len;
	return offsetof(struct protocol_route, targets) + target_count * sizeof(struct protocol_target);
}

static bool route_is_sound(const struct protocol_route *route)
{
	if (route->flags & ~PROTOCOL_ROUTE_FLAGS || (route->flags & PROTOCOL_ROUTE_ASK && route->count > 0) ||
	    (route->flags & PROTOCOL_ROUTE_PINNED && route->flags & PROTOCOL_ROUTE_PRESERVE))
		return false;
	for (unsigned i = 0; i < route->count; i++)
		if (route->targets[i].weight == 0)
			return false;
	return true;
}

static bool ask_cid_is_sound(const struct protocol_ask_cid *ask)
{
	return ask->min_len >= PROTOCOL_CID_MIN && ask->min_len <= ask->max_len && ask->max_len <= CID_LEN_MAX;
}

static bool cid_answer_is_sound(const struct protocol_cid_answer *answer)
{
	return answer->cid_len <= CID_LEN_MAX && !(answer->flags & ~PROTOCOL_ROUTE_PINNED);
}

static bool body_is_sound(const struct protocol_message *message)
{
	switch ((enum protocol_type)message->type) {
	case PROTOCOL_ROUTE:
		return route_is_sound(&message->route);
	case PROTOCOL_ASK_CID:
		return ask_cid_is_sound(&message->ask_cid);
	case PROTOCOL_CID_ANSWER:
		return cid_answer_is_sound(&message->cid_answer);
	default:
		return true;
	}
}

static bool text_fits(uint16_t type, size_t len)
{
	if (layouts[type].text == TEXT_NONE)
		return len == 0;
	return len <= PROTOCOL_TEXT_MAX && (len > 0 || layouts[type].text == TEXT_OPTIONAL);
}

int protocol_encode(const struct protocol_message *message, uint8_t bytes[static PROTOCOL_MESSAGE_MAX])
{
	struct protocol_header header = { .type = message->type };
	size_t body_len, text_len;

	if (message->type == 0 || message->type >= PROTOCOL_TYPES)
		return -EINVAL;
	if (message->type == PROTOCOL_ROUTE && message->route.count > PROTOCOL_TARGETS_MAX)
		return -EINVAL;
	body_len = body_len_of(message->type, message->route.count);
	text_len = layouts[message->type].text == TEXT_NONE ? 0 : strnlen(message->text, sizeof(message->text));
	if (!text_fits(message->type, text_len))
		return -EINVAL;
	header.text_len = (uint16_t)text_len;
	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), (const uint8_t *)message + BODY_AT, body_len);
	memcpy(bytes + sizeof(header) + body_len, message->text, text_len);
	return (int)(sizeof(header) + body_len + text_len);
}

int protocol_decode(const uint8_t *bytes, size_t len, struct protocol_message *message)
{
	struct protocol_header header;
	uint8_t target_count = 0;
	size_t body_len;

	if (len < sizeof(header))
		return -EBADMSG;
	memcpy(&header, bytes, sizeof(header));
	if (header.type == 0 || header.type >= PROTOCOL_TYPES || !text_fits(header.type, header.text_len))
		return -EBADMSG;
	if (header.type == PROTOCOL_ROUTE && len > sizeof(header) + offsetof(struct protocol_route, count))
		target_count = bytes[sizeof(header) + offsetof(struct protocol_route, count)];
	body_len = body_len_of(header.type, target_count);
	if (target_count > PROTOCOL_TARGETS_MAX || len != sizeof(header) + body_len + header.text_len)
		return -EBADMSG;
	memset(message, 0, sizeof(*message));
	message->type = header.type;
	memcpy((uint8_t *)message + BODY_AT, bytes + sizeof(header), body_len);
	memcpy(message->text, bytes + sizeof(header) + body_len, header.text_len);
	if (!body_is_sound(message))
		return -EBADMSG;
	return strlen(message->text) == header.text_len ? 0 : -EBADMSG;
}

bool protocol_socket_path(char *path, size_t size, const char *run_dir, const char *instance)
{
	int len = snprintf(path, size, "%s/%s.sock", run_dir, instance);

	return len > 0 && (size_t)len < size && (size_t)len < sizeof(((struct sockaddr_un *)0)->sun_path);
}

void protocol_text_clean(char *text)
{
	for (; *text; text++)
		if (*text < 0x20 || *text > 0x7e)
			*text = '?';
}

/* FNV-1a, 32 bits. Two names of the same id share a line of a listing, nothing else. */
uint32_t protocol_route_id(const char *fqdn)
{
	uint32_t hash = 0x811c9dc5;

	for (; *fqdn; fqdn++)
		hash = (hash ^ (unsigned char)*fqdn) * 0x01000193;
	return hash ? hash : 1;
}
