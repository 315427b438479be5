/* SPDX-License-Identifier: MIT */
/* address: addresses and ports as people write them: 192.0.2.1:5, [2001:db8::1]:5 (RFC 5952). Pure; any thread. */
#ifndef SLUICE_ADDRESS_H
#define SLUICE_ADDRESS_H

#include "bpf/abi.h"

enum { ADDRESS_TEXT_MAX = 56 };

void address_text(char text[ADDRESS_TEXT_MAX], const struct addr *address, __be16 port_be);

#endif
