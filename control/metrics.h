/* SPDX-License-Identifier: MIT */
/* metrics: everything that is counted, as Prometheus text 0.0.4. API threads. */
#ifndef SLUICE_METRICS_H
#define SLUICE_METRICS_H

#include <stdio.h>

#include "control/api_tls.h"
#include "control/allocation.h"
#include "control/link.h"
#include "control/routes.h"
#include "control/servers.h"
#include "control/share.h"
#include "control/view.h"

/* Without a relay: what this process knows, and sluice_relay_connected 0. share NULL: no Redis; allocation NULL: no Agones. */
void metrics_print(FILE *out, struct view *view, struct routes *routes, struct link *link, struct share *share,
		   struct allocation *allocation);

/* Of that, what the relay's tables tell. kernel NULL: the kernel's counters cannot be read. */
void metrics_print_state(FILE *out, const struct state *state, const struct counters *kernel);

/* Of targets that are names. */
void metrics_print_targets(FILE *out, const struct targets_stats *stats);

/* Of servers and their health; may be printed behind the former, as may what follows. */
void metrics_print_servers(FILE *out, struct servers *servers);

/* Of the API's TLS front; may be printed behind the former. */
void metrics_print_tls(FILE *out, const struct api_tls_stats *stats);

#endif
