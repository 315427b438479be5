/* SPDX-License-Identifier: MIT */
/*
 * api: the REST API and /metrics, by civetweb on threads of its own. Who may
 * ask is decided here, before a body is read: the token; where it listens;
 * whether a browser was sent by another site. Requests are hostile.
 */
#ifndef SLUICE_API_H
#define SLUICE_API_H

#include "control/allocation.h"
#include "control/config.h"
#include "control/link.h"
#include "control/routes.h"
#include "control/share.h"
#include "control/view.h"

struct api;

struct api_options {
	const struct config_api *config;   /* read by api_start only, but log_requests */
	struct routes *routes;             /* borrowed, like view and link */
	struct view *view;
	struct link *link;
	struct share *share;               /* NULL: no Redis */
	struct allocation *allocation;     /* NULL: no Agones */
};

/*
 * Listens and serves. Without api.token_file: on api.address if that is a
 * loopback address, on 127.0.0.1 and ::1 if it is empty; any other address is
 * refused. With it: on api.address, or on every address. NULL after a line in
 * the log.
 */
struct api *api_start(const struct api_options *options);

/* Waits for requests in progress. NULL is allowed. */
void api_stop(struct api *api);

#endif
