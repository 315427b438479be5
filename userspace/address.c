/* SPDX-License-Identifier: MIT */
/* address: see address.h. */
#include "address.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "bpf/table.h"

void address_text(char text[ADDRESS_TEXT_MAX], const struct addr *address, __be16 port_be)
{
	char host[INET6_ADDRSTRLEN];

	if (addr_is_v4(address)) {
		inet_ntop(AF_INET, &address->words_be[3], host, sizeof(host));
		snprintf(text, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(port_be));
	} else {
		inet_ntop(AF_INET6, address, host, sizeof(host));
		snprintf(text, ADDRESS_TEXT_MAX, "[%s]:%u", host, ntohs(port_be));
	}
}
