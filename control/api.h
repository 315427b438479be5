/* SPDX-License-Identifier: MIT */
/*
 * api: the REST API and /metrics, by civetweb on threads of its own; with
 * api.tls behind a front that speaks TLS (api_tls). Who may ask is decided
 * here, before a body is read: the token; where it listens; whether a browser
 * was sent by another site. Requests are hostile.
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
struct api_tls;

struct api_options {
	const struct config_api *config;   /* read by api_start only, but tls: borrowed */
	struct routes *routes;             /* borrowed, like view and link */
	struct targets *targets;
	struct servers *servers;
	struct view *view;
	struct link *link;
	struct share *share;               /* NULL: no Redis */
	struct api_tls *tls;               /* of api_start's making; NULL: no api.tls */
	struct allocation *allocation;     /* NULL: no Agones */
};

/*
 * Listens and serves. Without api.token_file and api.tls.client_ca: on
 * api.address if that is a loopback address, on 127.0.0.1 and ::1 if it is
 * empty; any other address is refused. With either: on api.address, or on
 * every address. NULL after a line in the log.
 */
struct api *api_start(const struct api_options *options);

/* Reads the certificates of api.tls again. NULL is allowed. */
void api_reload(struct api *api);

/* Waits for requests in progress. NULL is allowed. */
void api_stop(struct api *api);

#endif
