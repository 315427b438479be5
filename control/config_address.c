/* SPDX-License-Identifier: MIT */
/* config_address: IP addresses and ports as text. Any thread; pure. The text is hostile. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "bpf/table.h"
#include "control/config.h"
#include "control/config_value.h"

int config_address_parse_ip(const char *text, struct addr *addr)
{
	struct addr parsed = { 0 };

	if (inet_pton(AF_INET, text, &parsed.words_be[3]) == 1)
		parsed.words_be[2] = htonl(0xffff); /* RFC 4291 s2.5.5.2 */
	else if (inet_pton(AF_INET6, text, parsed.bytes) != 1)
		return -EINVAL;
	*addr = parsed;
	return 0;
}

int config_address_parse(const char *text, struct config_address *address)
{
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN];
	struct addr addr;
	uint32_t port;
	size_t len;
	bool v6;

	if (!colon || !config_value_number(colon + 1, strlen(colon + 1), UINT16_MAX, &port) || port == 0)
		return -EINVAL;
	/* RFC 3986 s3.2.2: brackets, or the port could not be told from the address's last group. */
	len = (size_t)(colon - text);
	v6 = len >= 2 && text[0] == '[' && text[len - 1] == ']';
	if (v6) {
		text++;
		len -= 2;
	}
	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	if (v6 != (strchr(host, ':') != NULL) || config_address_parse_ip(host, &addr) < 0)
		return -EINVAL;
	address->addr = addr;
	address->port = (uint16_t)port;
	return 0;
}

bool config_address_is_unicast(const struct addr *addr)
{
	static const struct addr unspecified;

	if (addr_is_v4(addr)) /* RFC 1122 s3.2.1.3: 0/8; RFC 5771: 224/4; the rest above is reserved or broadcast */
		return addr->bytes[12] != 0 && addr->bytes[12] < 224;
	return addr->bytes[0] != 0xff && !addr_equal(addr, &unspecified); /* RFC 4291 s2.7, s2.5.2 */
}
