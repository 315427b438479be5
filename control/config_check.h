/* SPDX-License-Identifier: MIT */
/*
 * config_check: what must hold between keys, and the items of config.yaml's
 * lists. Start-up and reload only.
 */
#ifndef SLUICE_CONFIG_CHECK_H
#define SLUICE_CONFIG_CHECK_H

#include "control/config_walk.h"

/* At the end of each mapping; called through the tables. */
void config_check_udp(struct config_walk *walk, void *base, const struct config_lines *lines);
void config_check_limits(struct config_walk *walk, void *base, const struct config_lines *lines);
void config_check_api_tls(struct config_walk *walk, void *base, const struct config_lines *lines);
void config_check_listener(struct config_walk *walk, void *base, const struct config_lines *lines);
void config_check_redis(struct config_walk *walk, void *base, const struct config_lines *lines);
void config_check_agones(struct config_walk *walk, void *base, const struct config_lines *lines);
void config_check_route(struct config_walk *walk, void *base, const struct config_lines *lines);
void config_check_health(struct config_walk *walk, void *base, const struct config_lines *lines); /* of a route */

/* One more item; called through the tables. */
void *config_check_add_listener(struct config_draft *draft);
void *config_check_add_interface(struct config_draft *draft);
void *config_check_add_relay_address(struct config_draft *draft);
void *config_check_add_route(struct config_draft *draft);
void *config_check_add_target(struct config_draft *draft);  /* of the last route */

/* The last item differs from those before it. NULL or what it must be. */
const char *config_check_interface(const struct config_draft *draft);
const char *config_check_relay_address(const struct config_draft *draft);

/* Once the whole file is read: adds udp's listener, and looks for what is given twice. */
void config_check_all(struct config_draft *draft, struct config_errors *errors);

#endif
