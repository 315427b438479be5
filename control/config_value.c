/* SPDX-License-Identifier: MIT */
/* config_value: see config_value.h. */
#include "control/config_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/config.h"

enum {
	LABEL_MAX = 63,     /* RFC 1035 s2.3.4 */
	RUN_DIR_MAX = 80,   /* a socket's path must fit sockaddr_un's 108 bytes with some 25 for its name */
	RELAY_PORT_MIN = 1024,
};

bool config_value_number(const char *text, size_t len, uint32_t max, uint32_t *number)
{
	uint64_t value = 0;

	if (len == 0 || len > 10 || (text[0] == '0' && len > 1)) /* 010 is 8 in YAML 1.1 and 10 in 1.2 */
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	if (value > max)
		return false;
	*number = (uint32_t)value;
	return true;
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Letters, digits and the characters of `more` only. */
static bool is_made_of(const char *text, const char *more)
{
	for (; *text; text++) {
		if (!is_alnum(*text) && !strchr(more, *text))
			return false;
	}
	return true;
}

/* RFC 5890 s2.3.1 LDH labels, and the underscores that are in use beside them (RFC 8552). */
static const char *labels_check(const char *name)
{
	for (;;) {
		size_t len = strcspn(name, ".");

		if (len == 0)
			return "must not have an empty label";
		if (len > LABEL_MAX)
			return "must have labels of at most 63 characters";
		if (name[0] == '-' || name[len - 1] == '-')
			return "must not have a label that begins or ends with -";
		if (!name[len])
			return NULL;
		name += len + 1;
	}
}

const char *config_value_fqdn(const char *text, void *field)
{
	char name[CONFIG_FQDN_MAX + 1], **fqdn = field, *copy;
	size_t len = strlen(text);
	const char *must = NULL, *labels = name;

	if (len > 1 && text[len - 1] == '.')
		len--;
	if (len > CONFIG_FQDN_MAX)
		return "must be at most 253 characters";
	for (size_t i = 0; i < len; i++)
		name[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] | 0x20) : text[i];
	name[len] = '\0';
	if (strcmp(name, "*") != 0 || text[len]) { /* "*." names nothing */
		if (!strncmp(name, "*.", 2))
			labels += 2;
		if (strchr(labels, '*'))
			must = "must have * only as the whole first label";
		else if (!is_made_of(labels, "-_."))
			must = "must be a DNS name of letters, digits, - and _ (others as xn--), *.NAME or *";
		else
			must = labels_check(labels);
	}
	if (must)
		return must;
	copy = strdup(name);
	if (!copy)
		return "out of memory";
	free(*fqdn);
	*fqdn = copy;
	return NULL;
}

const char *config_value_interface(const char *text, void *field)
{
	/* What the kernel's dev_valid_name refuses. */
	if (!*text || strlen(text) >= IF_NAMESIZE || strpbrk(text, "/: \t") || !strcmp(text, ".") ||
	    !strcmp(text, ".."))
		return "must be an interface name: 1 to 15 characters without /, : and blanks";
	strcpy(field, text);
	return NULL;
}

const char *config_value_listener_name(const char *text, void *field)
{
	if (!*text || strlen(text) >= sizeof(((struct config_listener *)0)->name) || !is_made_of(text, "-_"))
		return "must be 1 to 31 letters, digits, - and _";
	strcpy(field, text);
	return NULL;
}

const char *config_value_listener_address(const char *text, void *field)
{
	static const char must[] = "must be IP:PORT, [IPv6]:PORT, or *:PORT for every address";
	struct config_listener *listener = field;
	struct config_address address = { 0 };
	const char *port = text + (text[0] == '*');
	uint32_t number;

	if (port[0] == ':' && config_value_number(port + 1, strlen(port + 1), UINT16_MAX, &number) && number > 0) {
		address.port = (uint16_t)number;
		listener->any_address = true;
		listener->address = address;
		return NULL;
	}
	if (config_address_parse(text, &address) < 0 || !config_address_is_unicast(&address.addr))
		return must;
	listener->any_address = false;
	listener->address = address;
	return NULL;
}

const char *config_value_relay_address(const char *text, void *field)
{
	struct addr addr;

	if (config_address_parse_ip(text, &addr) < 0 || !config_address_is_unicast(&addr))
		return "must be an IP address without port";
	memcpy(field, &addr, sizeof(addr));
	return NULL;
}

/* "lo-hi" up to a comma or the end. Returns what follows it, NULL if it is none. */
static const char *port_range(const char *text, uint16_t range[static 2])
{
	size_t low_len = strcspn(text, "-,"), high_len;
	const char *high = text + low_len + 1;
	uint32_t low_port, high_port;

	if (text[low_len] != '-')
		return NULL;
	high_len = strcspn(high, ",");
	if (!config_value_number(text, low_len, UINT16_MAX, &low_port) ||
	    !config_value_number(high, high_len, UINT16_MAX, &high_port) || low_port < RELAY_PORT_MIN ||
	    high_port < low_port)
		return NULL;
	range[0] = (uint16_t)low_port;
	range[1] = (uint16_t)high_port;
	return high + high_len;
}

const char *config_value_port_ranges(const char *text, void *field)
{
	static const char must[] = "must be LOW-HIGH or LOW-HIGH,LOW-HIGH, from 1024 to 65535";
	uint16_t ranges[2][2] = { 0 };

	if (*text) {
		text = port_range(text, ranges[0]);
		if (text && *text == ',')
			text = port_range(text + 1, ranges[1]);
		if (!text || *text)
			return must;
		if (ranges[1][0] && ranges[0][0] <= ranges[1][1] && ranges[1][0] <= ranges[0][1])
			return "must be two ranges without a port in common";
	}
	memcpy(field, ranges, sizeof(ranges));
	return NULL;
}

const char *config_value_run_dir(const char *text, void *field)
{
	if (text[0] != '/' || strlen(text) > RUN_DIR_MAX)
		return "must be an absolute path of at most 80 bytes";
	strcpy(field, text);
	return NULL;
}

const char *config_value_ip_check(const char *text)
{
	struct addr addr;

	return config_address_parse_ip(text, &addr) < 0 ? "must be an IP address without port" : NULL;
}

const char *config_value_host_port_check(const char *text)
{
	static const char must[] = "must be HOST:PORT, IP:PORT or [IPv6]:PORT";
	const char *colon = strrchr(text, ':');
	struct config_address address;
	uint32_t port;

	if (text[0] == '[')
		return config_address_parse(text, &address) < 0 ? must : NULL;
	if (!colon || colon == text || strchr(text, ':') != colon || strpbrk(text, " /@"))
		return must;
	if (!config_value_number(colon + 1, strlen(colon + 1), UINT16_MAX, &port) || port == 0)
		return must;
	return NULL;
}

bool config_value_is_host_name(const char *name)
{
	return is_made_of(name, "-_.") && !labels_check(name);
}

const char *config_value_host_check(const char *text)
{
	static const char must[] = "must be HOST, HOST:PORT, IP, IP:PORT, [IPv6] or [IPv6]:PORT";
	const char *port = text + (text[0] == '[' ? strcspn(text, "]") : 0);
	char with_port[CONFIG_FQDN_MAX + sizeof(":65535")];
	int len;

	port += strcspn(port, ":");
	len = snprintf(with_port, sizeof(with_port), "%s%s", text, *port ? "" : ":1");
	if (len >= (int)sizeof(with_port) || config_value_host_port_check(with_port))
		return must;
	return text[0] == '[' || is_made_of(text, "-_.:") ? NULL : must; /* it becomes part of a URL */
}

const char *config_value_fleet_check(const char *text)
{
	/* It is matched as the value of a label: 63 characters at most, whatever the fleet's own name may have. */
	if (!*text || strlen(text) > LABEL_MAX || !is_made_of(text, "-_."))
		return "must be a fleet's name: 1 to 63 letters, digits, - _ and .";
	return NULL;
}
