/* SPDX-License-Identifier: MIT */
/*
 * relay_ports: which ports we may take towards backends: outside the kernel's
 * ephemeral range, and none that a socket of the host has. Steward only.
 */
#ifndef SLUICE_RELAY_PORTS_H
#define SLUICE_RELAY_PORTS_H

#include "control/config.h"
#include "state.h"

/* Ranges from relay.ports, or all from 1024 up but ip_local_port_range. 0 or -errno. */
int relay_ports_init(struct globals *globals, const struct config_relay *config);

/* Reads /proc/net/udp and udp6 into state->host_ports; what is bound later is seen within a second or two. */
void relay_ports_refresh(struct state *state);

#endif
