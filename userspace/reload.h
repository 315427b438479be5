/* SPDX-License-Identifier: MIT */
/*
 * reload: the configuration once more, in the running relay. Limits that cost
 * no memory change at once; routes too, unless a control process is connected:
 * then they are its own to change. What needs a restart is named in the log.
 * Steward thread.
 */
#ifndef SLUICE_RELOAD_H
#define SLUICE_RELOAD_H

#include "steward.h"

/* A file with errors changes nothing. */
void reload_run(struct relay *relay);

#endif
