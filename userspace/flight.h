/* SPDX-License-Identifier: MIT */
/*
 * flight: first flights in progress. A client's datagrams are held, whole and
 * in order, until its ClientHello is complete and its way is known. One
 * table per worker, bounded in number, bytes and time; when it is full the
 * oldest flight goes.
 */
#ifndef SLUICE_FLIGHT_H
#define SLUICE_FLIGHT_H

#include "hello.h"
#include "session.h"

enum flight_wait {
	FLIGHT_HELLO,                /* for more of the ClientHello */
	FLIGHT_ANSWER,               /* name known; for the control process to say which backend */
	FLIGHT_NEXTHOP,              /* backend known; for the way to the client */
};

struct flight {
	struct tuple tuple;
	uint64_t opened_ns;
	uint32_t bucket_next;        /* index, or SLOT_NONE */
	uint32_t older, newer;       /* by age */
	uint32_t held_bytes;
	uint32_t client_scid;        /* see struct session */
	struct destination to;       /* what is decided: with FLIGHT_ANSWER all but the backend */
	uint32_t serial;             /* with the index: an id that is not used twice within hours */
	uint64_t asked_ns;           /* FLIGHT_ANSWER: the last time */
	enum flight_wait wait;
	uint8_t *held;               /* records: u16 frame length, u16 interface, frame */
	struct hello hello;          /* original_dcid is part of the key */
};

struct flight_table {
	struct flight *flights;
	uint32_t *buckets;
	uint8_t *held;
	struct siphash_key hash_key;
	uint32_t count, used, bucket_mask;
	uint32_t waiting;            /* flights in FLIGHT_ANSWER or FLIGHT_NEXTHOP */
	uint32_t serial;             /* of the flight opened last */
	uint32_t free;               /* list through bucket_next */
	uint32_t oldest, newest;
	uint32_t held_bytes_max;     /* per flight */
};

/* Memory for `count` (below 2^24) flights of held_bytes_max each, taken as it is first touched. 0 or -ENOMEM. */
int flight_table_init(struct flight_table *table, uint32_t count, uint32_t held_bytes_max,
		      const struct siphash_key *hash_key);
void flight_table_end(struct flight_table *table);

/* NULL: none in progress. */
struct flight *flight_find(struct flight_table *table, const struct tuple *tuple, const struct quic_cid *dcid);

/*
 * A new flight; hello is copied, original_dcid in it is the key. *evicted: the
 * oldest one had to go for it.
 */
struct flight *flight_open(struct flight_table *table, const struct tuple *tuple, const struct hello *hello,
			   uint64_t now_ns, bool *evicted);

void flight_close(struct flight_table *table, struct flight *flight);

/* The ClientHello is complete; what else the flight waits for, FLIGHT_ANSWER or FLIGHT_NEXTHOP. */
void flight_wait(struct flight_table *table, struct flight *flight, enum flight_wait wait);

/* A flight by a number of 56 bits that others may keep; NULL: it is gone. */
uint64_t flight_id(const struct flight_table *table, const struct flight *flight);
struct flight *flight_of_id(struct flight_table *table, uint64_t id);

/* Copies a frame behind those held. False: it would be more than held_bytes_max. */
bool flight_hold(struct flight_table *table, struct flight *flight, const uint8_t *frame, uint16_t len_bytes,
		 uint16_t interface);

/* Walks the held frames: *at starts at 0. False at the end. */
bool flight_next(const struct flight *flight, uint32_t *at, const uint8_t **frame, uint16_t *len_bytes,
		 uint16_t *interface);

/* The oldest flight, NULL if there is none; and the next newer one. */
struct flight *flight_oldest(struct flight_table *table);
struct flight *flight_newer(struct flight_table *table, const struct flight *flight);

#endif
