/* SPDX-License-Identifier: MIT */
/* metrics: everything that is counted, as Prometheus text 0.0.4. API threads. */
#ifndef SLUICE_METRICS_H
#define SLUICE_METRICS_H

#include <stdio.h>

#include "control/allocation.h"
#include "control/link.h"
#include "control/routes.h"
#include "control/share.h"
#include "control/view.h"

/* Without a relay: what this process knows, and sluice_relay_connected 0. share NULL: no Redis; allocation NULL: no Agones. */
void metrics_print(FILE *out, struct view *view, struct routes *routes, struct link *link, struct share *share,
		   struct allocation *allocation);

#endif
