/* SPDX-License-Identifier: MIT */
/*
 * events: what a worker counts beside packets and drops.
 * X(enum suffix, metric label, help), as in drop_reasons.h; new ones at the end.
 */
#ifndef SLUICE_EVENTS_H
#define SLUICE_EVENTS_H

#define EVENTS(X)                                                                                     \
	X(SESSION_OPENED, "sessions_opened", "sessions opened")                                       \
	X(SESSION_CONFIRMED, "sessions_confirmed", "sessions whose client used the backend's CID")    \
	X(SESSION_EXPIRED, "sessions_expired", "sessions ended by their idle timeout")                \
	X(SESSION_EVICTED, "sessions_evicted", "unconfirmed sessions ended to make room")             \
	X(SESSION_REPLACED, "sessions_replaced", "older sessions of one path ended for a newer one")  \
	X(PATH_OPENED, "paths_opened", "paths opened, the first of each session included")            \
	X(PATH_MIGRATED, "paths_migrated", "paths opened by a client whose address changed")          \
	X(CID_LEARNED, "cids_learned", "connection IDs learned from the backends' long headers")      \
	X(ALIAS_LEARNED, "aliases_learned", "connection IDs learned from the clients' short headers") \
	X(CID_CONFLICT, "cid_conflicts", "connection IDs not learned: another session holds them")    \
	X(CID_NOT_KEPT, "cids_not_kept", "connection IDs not learned: no room in the index")          \
	X(RETRY, "retries", "Retry packets seen from backends")                                       \
	X(VERSION_NEGOTIATION, "version_negotiations", "Version Negotiation packets from backends")   \
	X(FLIGHT_OPENED, "flights_opened", "first flights held for more of their ClientHello")        \
	X(FLIGHT_RELEASED, "flights_released", "held first flights that found their backend")         \
	X(HANDED_OVER, "frames_handed_over", "frames copied to the worker that owns the session")     \
	X(NEXTHOP_WANTED, "nexthops_wanted", "times a client waited for its next hop")                \
	X(SESSION_ENDED, "sessions_ended", "sessions ended by the operator")                          \
	X(QUESTION, "questions", "times the control process was asked for a client's backend")        \
	X(PINNED_PACKET, "pinned_packets", "packets of pinned sessions from another address")         \
	X(PINNED_MOVED, "pinned_moves", "pinned sessions whose return address moved")                 \
	X(PINNED_RETURNED, "pinned_returns", "of those, moved back at once")                                 \
	X(QUIC_LB_OPENED, "quic_lb_sessions_opened",                                                  \
	  "sessions opened to the server that an unknown connection ID names")                        \
	X(QUIC_LB_UNROUTABLE, "quic_lb_unroutable",                                                   \
	  "unknown connection IDs of servers without a QUIC-LB configuration")                        \
	X(QUIC_LB_UNKNOWN_CONFIG, "quic_lb_unknown_config",                                           \
	  "unknown connection IDs of no QUIC-LB configuration here")                                  \
	X(QUIC_LB_UNKNOWN_SERVER, "quic_lb_unknown_server",                                           \
	  "unknown connection IDs with a server ID that is nobody's")                         \
	X(TOO_BIG_SENT, "too_big_sent", "ICMP answers to datagrams above the egress MTU")            \
	X(TOO_BIG_LIMITED, "too_big_limited", "such answers not sent, over their rate")              \
	X(CID_QUESTION, "cid_questions", "times the control process was asked for an unknown connection ID") \
	X(CID_QUESTION_LIMITED, "cid_questions_limited",                                              \
	  "unknown connection IDs not asked for, over the rate")                                      \
	X(SHARED_OPENED, "shared_sessions_opened", "sessions opened to the server that another relay names")

enum event {
#define X(id, label, help) EVENT_##id,
	EVENTS(X)
#undef X
	EVENT_COUNT
};

#endif
