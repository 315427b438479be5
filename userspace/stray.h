/* SPDX-License-Identifier: MIT */
/*
 * stray: client packets whose connection ID nobody here knows, held while the
 * control process looks whether another relay has written whose it is
 * (docs/sharing.md). One table per worker, that worker's. Datagrams are hostile
 * and connection IDs are made up at will: all is bounded, in number and rate,
 * and a client that just got no for an answer is not asked for again.
 */
#ifndef SLUICE_STRAY_H
#define SLUICE_STRAY_H

#include "control/protocol.h"
#include "source_limit.h"

enum {
	/*
	 * Bytes of the shortest ID that is asked for. A client is remembered by as many,
	 * for these stay the same from packet to packet however long its ID is.
	 */
	STRAY_CID_MIN = PROTOCOL_CID_MIN,
	STRAYS_MAX = 64,                 /* questions at a time; most answers take less than a millisecond */
	STRAY_MARKS = 4096,              /* clients asked for lately; more forget each other sooner */
	STRAY_FRAME_BYTES = 4096,        /* a UMEM chunk at the most */
	/*
	 * Questions a second, of all workers: each is one MGET of up to 17 keys, which took
	 * the control process 20 us and Redis 2. More lets a flood of made-up IDs load
	 * them; less makes the clients of a relay that died wait, 10,000 of them for 2 s.
	 */
	STRAY_QUESTIONS_PER_S = 5000,
};

#define STRAY_ANSWER_NS (500 * 1000000ull)    /* then the question or its answer is lost, and it may be asked again */
#define STRAY_NOBODYS_NS (2000 * 1000000ull)  /* a no holds for so long; meanwhile another relay may write it */

struct stray {
	uint64_t mark;                   /* the client's and its ID's */
	uint64_t asked_ns;
	uint32_t serial;                 /* with the index: an id that is not used twice within hours */
	uint16_t len_bytes;
	uint16_t interface;
	bool held;
	uint8_t frame[STRAY_FRAME_BYTES];
};

struct stray_table {
	struct source_limit limit;       /* that one source cannot ask for all */
	uint64_t interval_ns, next_ns;   /* see gcra_take */
	uint32_t serial;
	uint32_t free_count;
	uint8_t free[STRAYS_MAX];
	struct stray strays[STRAYS_MAX];
	struct {
		uint64_t mark, until_ns;
	} marks[STRAY_MARKS];
};

/* per_s_per_source as limits.new_sessions_per_s_per_source, of this worker; serial at random. NULL: no memory. */
struct stray_table *stray_table_new(const struct siphash_key *hash_key, uint32_t workers, uint32_t per_s_per_source,
				    uint32_t serial);
void stray_table_free(struct stray_table *table);

enum stray_verdict {
	STRAY_HELD,                      /* ask, by *id */
	STRAY_ASKED,                     /* that is on its way, or the answer just was no */
	STRAY_LIMITED,                   /* too many questions */
};

/*
 * May this client's packet be asked for? mark: a hash of its 4-tuple and of the
 * first STRAY_CID_MIN bytes of the ID. STRAY_HELD: the frame has been copied.
 * len_bytes: STRAY_FRAME_BYTES at most. *id: 56 bits.
 */
enum stray_verdict stray_hold(struct stray_table *table, uint64_t mark, const struct addr *source,
			      const uint8_t *frame, uint16_t len_bytes, uint16_t interface, uint64_t now_ns,
			      uint64_t *id);

/* What is held by that id; NULL: nothing any more. */
struct stray *stray_of_id(struct stray_table *table, uint64_t id);

/* The answer has come. nobodys: the next question for this client can wait; else it may be asked for at once. */
void stray_close(struct stray_table *table, struct stray *stray, bool nobodys, uint64_t now_ns);

/* Lets go what was not answered in time. How many there were. */
unsigned stray_expire(struct stray_table *table, uint64_t now_ns);

#endif
