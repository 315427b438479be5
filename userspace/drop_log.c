/* SPDX-License-Identifier: MIT */
/* drop_log: see drop_log.h. */
#include "drop_log.h"

#include "log.h"

enum { EVERY_S = 10 };

static const struct {
	enum drop_reason reason;
	const char *what;
} told[] = {
	{ DROP_SESSIONS_FULL, "limits.sessions is reached: new sessions are refused" },
	{ DROP_TABLE_FULL, "no slot in a table: limits.sessions is too small for this load" },
	{ DROP_PORTS_EXHAUSTED, "no port free towards a backend: more relay.ports; or, with client_ip: preserve, a client "
				"came from one port by two listeners" },
	{ DROP_PENDING_FULL, "limits.pending_handshakes is reached: the oldest first flights go" },
	{ DROP_SOURCE_RATE, "limits.new_sessions_per_s_per_source is reached" },
	{ DROP_NO_NEXTHOP, "no route, or no answer from the next hop, out of the relay's interfaces" },
	{ DROP_EGRESS_MTU, "larger than the MTU of the way out" },
	{ DROP_NO_TX_FRAME, "TX ring full: the way out is slower than the way in" },
	{ DROP_HANDOVER_FULL, "a worker does not keep up with what others hand it" },
};

static uint64_t dropped(const struct state *state, uint32_t workers, enum drop_reason reason)
{
	uint64_t sum = 0;

	for (uint32_t worker = 0; worker < workers; worker++)
		sum += __atomic_load_n(&state->worker_counters[worker].counters.drops[reason], __ATOMIC_RELAXED);
	return sum;
}

void drop_log_check(struct drop_log *log, const struct state *state, uint32_t workers, uint32_t now_s)
{
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		enum drop_reason reason = told[i].reason;
		uint64_t sum = dropped(state, workers, reason);

		if (log->begun && (sum == log->told[reason] || (int32_t)(now_s - log->next_s[reason]) < 0))
			continue;
		if (log->begun)
			log_warnx("%llu packets dropped: %s", (unsigned long long)(sum - log->told[reason]), told[i].what);
		log->told[reason] = sum;
		log->next_s[reason] = log->begun ? now_s + EVERY_S : now_s;
	}
	log->begun = true;
}
