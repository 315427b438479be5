/* SPDX-License-Identifier: MIT */
/*
 * relay_quic_lb: the configuration's quic_lb as the workers decode with it: its
 * servers are slots of the shared `backends`. Steward's thread; before the
 * workers start, and after they have ended.
 */
#ifndef SLUICE_RELAY_QUIC_LB_H
#define SLUICE_RELAY_QUIC_LB_H

#include "steward.h"

/* Sets relay->quic_lb; it stays NULL where nothing is configured. 0, or -1 after a line in the log. */
int relay_quic_lb_open(struct relay *relay);

/* Bit n: the configuration of rotation n says client_ip: preserve. */
uint8_t relay_quic_lb_preserve(const struct relay *relay);

/* For backend_sweep: its servers are needed as long as the relay runs. */
void relay_quic_lb_mark_backends(const struct relay *relay, uint64_t *needed);

#endif
