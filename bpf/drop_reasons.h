/* SPDX-License-Identifier: MIT */
/*
 * drop_reasons: why a packet of ours was not forwarded.
 *
 * One list for the XDP program, the workers, the metrics and the documents:
 * X(enum suffix, metric label, help). One reason, one counter, one test.
 * New reasons go at the end: the numbers are in the counters of a running
 * data plane that a restarted relay adopts.
 */
#ifndef SLUICE_DROP_REASONS_H
#define SLUICE_DROP_REASONS_H

#define DROP_REASONS(X)                                                                            \
	X(TRUNCATED, "truncated", "the frame ends inside its IP or UDP header")                    \
	X(BAD_IP_HEADER, "bad_ip_header", "IP header length or total length is impossible")        \
	X(BAD_UDP_LENGTH, "bad_udp_length", "UDP length is below 8 or beyond the IP payload")      \
	X(FRAGMENT, "fragment", "first IP fragment for a listener or relay port")                  \
	X(OVERSIZE, "oversize", "frame larger than a UMEM chunk (GSO super-packet)")               \
	X(EMPTY_DATAGRAM, "empty_datagram", "UDP datagram without payload")                        \
	X(TTL_EXPIRED, "ttl_expired", "TTL or hop limit ran out here")                             \
	X(EGRESS_MTU, "egress_mtu", "larger than the MTU of the way out")                          \
	X(NO_NEXTHOP, "no_nexthop", "no route, or the neighbour is not resolved")                  \
	X(MALFORMED_LONG, "malformed_long_header", "QUIC long header cut short or out of bounds")  \
	X(MALFORMED_SHORT, "malformed_short_header", "too short for a QUIC short header")          \
	X(NOT_INITIAL, "not_initial", "0-RTT or Handshake packet of no known connection")          \
	X(UNSUPPORTED_VERSION, "unsupported_version", "unknown QUIC version and no default route") \
	X(INITIAL_TOO_SMALL, "initial_too_small", "first Initial in a datagram below 1,200 bytes") \
	X(DCID_TOO_SHORT, "dcid_too_short", "first Initial with a DCID below 8 bytes")             \
	X(DECRYPT_FAILED, "decrypt_failed", "Initial does not authenticate")                       \
	X(BAD_CRYPTO, "bad_crypto", "forbidden frame or CRYPTO bytes out of bounds in an Initial") \
	X(BAD_CLIENT_HELLO, "bad_client_hello", "ClientHello malformed")                           \
	X(NO_ROUTE, "no_route", "no route for this SNI and no default route")                      \
	X(PENDING_FULL, "pending_full", "too many first flights in progress")                      \
	X(PENDING_BYTES, "pending_bytes", "first flight holds too many bytes")                     \
	X(PENDING_TIMEOUT, "pending_timeout", "first flight not complete in time")                 \
	X(SESSIONS_FULL, "sessions_full", "session table is at its limit")                         \
	X(TABLE_FULL, "table_full", "no free slot within the probes of an index")                  \
	X(PORTS_EXHAUSTED, "ports_exhausted", "no port free towards the backend")                  \
	X(SOURCE_RATE, "source_rate", "too many new sessions from one source")                     \
	X(UNKNOWN_CID, "unknown_cid", "connection ID of no session, from an unknown 4-tuple")      \
	X(AMBIGUOUS_4TUPLE, "ambiguous_4tuple", "unknown CID on a 4-tuple with several sessions")  \
	X(UNKNOWN_RELAY_PORT, "unknown_relay_port", "from a backend, to a port of no session")     \
	X(AMPLIFICATION, "amplification_limit", "over 3 times what an unconfirmed client sent")    \
	X(UNANSWERED_PATHS, "unanswered_paths", "session has too many unanswered paths")           \
	X(LOOP, "loop", "the packet comes from one of our own addresses")                          \
	X(HANDOVER_FULL, "handover_full", "the owning worker's ring is full")                      \
	X(NO_TX_FRAME, "tx_ring_full", "TX ring or UMEM frames ran out")                           \
	X(ENTRY_BUSY, "entry_busy", "table entry was being written each time it was read")         \
	X(FAMILY_MISMATCH, "family_mismatch", "the way out begins in one IP family and ends in another")   \
	X(NO_BACKEND, "no_backend", "the route has no backend that may take a new session now")    \
	X(NOT_ALLOCATED, "not_allocated", "no game server was allocated in time, or at all")    \
	X(FOREIGN_RATE, "foreign_rate", "too many connections from elsewhere at a time")

enum drop_reason {
#define X(id, label, help) DROP_##id,
	DROP_REASONS(X)
#undef X
	DROP_REASON_COUNT
};

#endif
