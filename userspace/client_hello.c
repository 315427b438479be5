/* SPDX-License-Identifier: MIT */
/*
 * client_hello: walks a ClientHello, of which the end may not have arrived
 * yet, to its server_name. Worker thread and sluice-inspect; pure. The input is
 * hostile: fields are only ever taken through take().
 */
#include <string.h>

#include "client_hello.h"

enum {
	HANDSHAKE_HEADER_LEN = 4,
	TYPE_CLIENT_HELLO = 1,
	VERSION_AND_RANDOM_LEN = 2 + 32,
	SESSION_ID_MAX = 32,
	EXTENSION_SERVER_NAME = 0,
	NAME_TYPE_HOST_NAME = 0,
};

struct message {
	const uint8_t *bytes;
	size_t at;
	size_t have;               /* bytes that are there, at most end */
	size_t end;                /* of the message or vector, there or not */
	enum hello_verdict failed; /* why take() returned false */
};

/* The next n bytes; they must be inside the message, and there. */
static bool take(struct message *m, size_t n, const uint8_t **field)
{
	if (n > m->end - m->at) {
		m->failed = HELLO_BAD_CLIENT_HELLO;
		return false;
	}
	if (n > m->have - m->at) {
		m->failed = HELLO_INCOMPLETE;
		return false;
	}
	*field = m->bytes + m->at;
	m->at += n;
	return true;
}

static bool bad(struct message *m)
{
	m->failed = HELLO_BAD_CLIENT_HELLO;
	return false;
}

static bool take_number(struct message *m, size_t width, size_t *value)
{
	const uint8_t *field;

	if (!take(m, width, &field))
		return false;
	*value = 0;
	for (size_t i = 0; i < width; i++)
		*value = *value << 8 | field[i];
	return true;
}

/* RFC 8446 s3.4: a vector is its length, in len_width bytes, and as many bytes. */
static bool take_vector(struct message *m, size_t len_width, const uint8_t **data, size_t *len)
{
	return take_number(m, len_width, len) && take(m, *len, data);
}

/* What DNS names in use are made of (RFC 6066 s3: ASCII, no trailing dot; one is forgiven). */
static bool name_copy(char *name, const uint8_t *bytes, size_t len)
{
	if (len > 0 && bytes[len - 1] == '.')
		len--;
	if (len == 0 || len > HELLO_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		uint8_t c = bytes[i];

		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		else if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '.' && c != '-' && c != '_')
			return false;
		name[i] = (char)c;
	}
	name[len] = '\0';
	return true;
}

/*
 * RFC 6066 s3
 *
 *     ServerNameList: length (16), at least one of: name_type (8), length (16), name
 *
 * At most one name of a type. Other types than host_name were never given
 * out; they are passed over.
 */
static bool read_server_names(const uint8_t *data, size_t len, char *name, bool *found)
{
	struct message list = { .bytes = data, .have = len, .end = len };
	size_t list_len, type, name_len;
	const uint8_t *bytes;

	if (!take_number(&list, 2, &list_len) || list_len == 0 || list_len != len - 2)
		return false;
	while (list.at < list.end) {
		if (!take_number(&list, 1, &type) || !take_vector(&list, 2, &bytes, &name_len))
			return false;
		if (type != NAME_TYPE_HOST_NAME)
			continue;
		if (*found || !name_copy(name, bytes, name_len))
			return false;
		*found = true;
	}
	return true;
}

/*
 * Up to the extensions (RFC 8446 s4.1.2): legacy_version (16), random (32 bytes), legacy_session_id<0..32>,
 * cipher_suites<2..2^16-2>, legacy_compression_methods<1..2^8-1>
 */
static bool skip_to_extensions(struct message *m)
{
	const uint8_t *field;
	size_t len;

	if (!take(m, VERSION_AND_RANDOM_LEN, &field))
		return false;
	if (!take_number(m, 1, &len))
		return false;
	if (len > SESSION_ID_MAX)
		return bad(m);
	if (!take(m, len, &field) || !take_number(m, 2, &len))
		return false;
	if (len < 2 || len % 2)
		return bad(m);
	if (!take(m, len, &field) || !take_number(m, 1, &len))
		return false;
	if (len < 1)
		return bad(m);
	return take(m, len, &field);
}

/* extension_type (16), extension_data<0..2^16-1>. RFC 8446 s4.2: at most one of a type. */
static bool read_extensions(struct message *m, char *name, bool *found)
{
	bool seen = false;
	const uint8_t *data;
	size_t type, len;

	while (m->at < m->end) {
		if (!take_number(m, 2, &type) || !take_vector(m, 2, &data, &len))
			return false;
		if (type != EXTENSION_SERVER_NAME)
			continue;
		if (seen || !read_server_names(data, len, name, found))
			return bad(m);
		seen = true;
	}
	return true;
}

/* The body of the message. False: *m says why; *found all the same if the name was read before that. */
static bool read_body(struct message *m, char *name, bool *found)
{
	size_t len;

	if (!skip_to_extensions(m))
		return false;
	if (m->at == m->end)
		return true;
	if (!take_number(m, 2, &len))
		return false;
	if (len != m->end - m->at)
		return bad(m);
	return read_extensions(m, name, found);
}

enum hello_verdict client_hello_name(const uint8_t *bytes, size_t len, char name[static HELLO_NAME_MAX + 1])
{
	struct message m = { .bytes = bytes, .have = len, .end = HELLO_BYTES_MAX };
	size_t type, body_len;
	bool found = false;

	if (m.have > m.end)
		m.have = m.end;
	if (!take_number(&m, 1, &type))
		return HELLO_INCOMPLETE;
	if (type != TYPE_CLIENT_HELLO)
		return HELLO_BAD_CLIENT_HELLO;
	if (!take_number(&m, 3, &body_len))
		return HELLO_INCOMPLETE;
	if (body_len > HELLO_BYTES_MAX - HANDSHAKE_HEADER_LEN)
		return HELLO_BAD_CLIENT_HELLO;
	m.end = HANDSHAKE_HEADER_LEN + body_len;
	if (m.have > m.end)
		m.have = m.end;
	if (read_body(&m, name, &found))
		return found ? HELLO_SNI : HELLO_NO_SNI;
	/* Early: the name is there, only what does not matter to us is not. */
	return found && m.failed == HELLO_INCOMPLETE ? HELLO_SNI : m.failed;
}
