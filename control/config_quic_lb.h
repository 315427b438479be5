/* SPDX-License-Identifier: MIT */
/*
 * config_quic_lb: the list quic_lb of config.yaml: its items, their values, and
 * what must hold between them. Start-up and reload only; called through the
 * tables of config_keys. The text is hostile, and holds keys: no message shows one.
 */
#ifndef SLUICE_CONFIG_QUIC_LB_H
#define SLUICE_CONFIG_QUIC_LB_H

#include "control/config_walk.h"

/* One more item, and one more pair in an item's servers; NULL: out of memory. */
void *config_quic_lb_add(struct config_draft *draft);
void *config_quic_lb_add_server(void *quic_lb, int line);

/* NULL, or what the value must be; see config_value.h. */
const char *config_quic_lb_key(const char *text, void *field);        /* struct config_quic_lb */
const char *config_quic_lb_server_id(const char *text, void *field);  /* struct config_quic_lb_server */
const char *config_quic_lb_address(const char *text, void *field);    /* struct config_address */

/* At the end of an item: its lengths fit each other and its IDs; rotation and IDs are there once. Sorts the servers. */
void config_quic_lb_check(struct config_walk *walk, void *base, const struct config_lines *lines);

#endif
