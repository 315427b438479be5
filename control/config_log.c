/* SPDX-License-Identifier: MIT */
/* config_log: the log as the configuration wants it. Main thread of each program. */
#include "control/config.h"
#include "userspace/log.h"

void config_log_apply(const struct config_log *config)
{
	static const enum log_level levels[] = {
		[CONFIG_LOG_ERROR] = LOG_ERROR,
		[CONFIG_LOG_WARN] = LOG_WARN,
		[CONFIG_LOG_INFO] = LOG_INFO,
		[CONFIG_LOG_DEBUG] = LOG_DEBUG,
	};

	log_setup(levels[config->level], config->format == CONFIG_LOG_JSON);
}
