/* SPDX-License-Identifier: MIT */
/*
 * decide: where a client's short header goes when its 4-tuple alone does not
 * say it: the CID index, and reports of CIDs that are not in it. Kernel side.
 *
 * What is not inlined is global: the verifier checks it once, for all callers,
 * instead of along each path through the program. So it takes scalars and plain
 * memory only.
 */
#ifndef SLUICE_DECIDE_H
#define SLUICE_DECIDE_H

#include "lookup.h"

enum {
	/*
	 * RFC 9001 s5.4.2: a receiver takes the header protection sample 4 bytes past
	 * the packet number's first byte, 16 bytes long, and drops a packet that ends
	 * before it: first byte + DCID + 20. This is also the least a stateless reset
	 * may have, where the DCID is of no length (RFC 9000 s10.3), so one bound fits
	 * both directions: no shorter packet can be of use to an endpoint, whatever
	 * its CID length. Beyond it only the look-up of a CID asks for more.
	 */
	SHORT_BEYOND_DCID = 1 + 4 + 16,
	/*
	 * Shorter CIDs of two backends collide, by chance or by guessing: on a known
	 * 4-tuple, others' do not count (docs/lookup.md).
	 */
	CID_GLOBAL_MIN = 8,
	/* A flood over many paths costs the workers' side at most this many records a second and CPU. */
	REPORTS_PER_CPU_AND_S = 1024,
	REPORTS_PER_PATH_AND_S = 7, /* what 3 bits count */
};

_Static_assert(SHORT_BEYOND_DCID >= 1 + CID_LEN_MAX, "the DCID of any short header can be read whole");

/* What is known of a client's short header. */
struct client_query {
	struct path_key key;       /* of the default path entry */
	__u32 payload_len;
	struct dcid dcid;          /* CID_LEN_MAX bytes, whatever its length */
	__u32 cid_lengths;         /* globals': those in use */
	__u32 now_s;
	/* the default path entry */
	__u32 path;                /* slot; may be changed to a sibling's */
	__u32 session, backend;
	__u8 flags, siblings, sessions, unused;
	/* found by cid_find */
	__u32 cid_session;
	__u32 cid_len;
};

enum decision { DECIDE_FORWARD, DECIDE_PUNT, DECIDE_UNKNOWN };

/*
 * One length, at most CID_LEN_MAX. Sets cid_session. A short CID that two
 * sessions hold is LOOKUP_BUSY: a worker knows which one is meant.
 */
__attribute__((noinline)) int cid_find_len(struct client_query *q, __u32 len)
{
	struct siphash_key key = table_key();
	int one = LOOKUP_ABSENT;
	__u8 bytes[24] __attribute__((aligned(8)));
	struct dcid cut;
	__u64 hash;

	if (!q || len > CID_LEN_MAX)
		return LOOKUP_ABSENT;
	cut = dcid_cut(&q->dcid, len);
	*(__u64 *)bytes = cut.a;
	*(__u64 *)(bytes + 8) = cut.b;
	*(__u32 *)(bytes + 16) = cut.c;
	hash = cid_hash(&key, bytes, len, 0);
	for (__u32 i = 0; i < PROBES_MAX; i++) {
		struct cid_entry *e = array_at(&cids, table_slot(hash, i, cid_slots));
		__u16 seq;

		if (!e)
			return LOOKUP_ABSENT;
		seq = entry_begin(&e->head);
		if (READ_ONCE(e->len) == len && READ_ONCE(e->kind) != CID_ORIGINAL && dcid_is(e->cid, &cut)) {
			__u32 session = READ_ONCE(e->session);
			enum lookup found = entry_end(&e->head, seq);

			if (found == LOOKUP_BUSY || (found == LOOKUP_FOUND && one == LOOKUP_FOUND &&
						     session != q->cid_session))
				return LOOKUP_BUSY;
			if (found == LOOKUP_FOUND) {
				q->cid_session = session;
				one = LOOKUP_FOUND;
				if (len >= CID_GLOBAL_MIN)
					break;
			}
		}
		if (!READ_ONCE(e->head.overflow))
			break;
	}
	return one;
}

/* Longest first: a short CID equal to the beginning of a longer one does not hide it. */
ALWAYS_INLINE enum lookup cid_find(struct client_query *q, __u32 len_min)
{
	for (__u32 n = 0; n < CID_LEN_MAX; n++) {
		__u32 len = CID_LEN_MAX - n;
		int found;

		if (len < len_min)
			break;
		if (!(q->cid_lengths >> len & 1) || q->payload_len < SHORT_BEYOND_DCID + len)
			continue;
		found = cid_find_len(q, len);
		if (found != LOOKUP_ABSENT) {
			q->cid_len = len;
			return found == LOOKUP_FOUND ? LOOKUP_FOUND : LOOKUP_BUSY;
		}
	}
	return LOOKUP_ABSENT;
}

ALWAYS_INLINE enum lookup session_backend(__u32 slot, __u32 *backend)
{
	struct session *e = array_at(&sessions, slot);
	__u16 seq;

	if (!e)
		return LOOKUP_ABSENT;
	seq = entry_begin(&e->head);
	*backend = READ_ONCE(e->backend);
	return entry_end(&e->head, seq);
}

/* Sets q->path and q->session to the sibling that leads to this backend. */
ALWAYS_INLINE enum lookup path_find_backend(struct client_query *q, __u32 backend)
{
	for (__u32 ordinal = 1; ordinal <= PATH_SIBLINGS_MAX; ordinal++) {
		struct path_key key = q->key;
		struct path_entry *e;
		enum lookup found;
		__u16 seq;

		key.ordinal = ordinal;
		if (!(q->siblings >> (ordinal - 1) & 1))
			continue;
		q->path = path_probe(&key, path_key_hash(&key), 0);
		e = array_at(&paths, q->path);
		if (!e)
			continue;
		seq = entry_begin(&e->head);
		q->session = READ_ONCE(e->session);
		if (!path_is(e, &key) || READ_ONCE(e->backend) != backend)
			continue;
		found = entry_end(&e->head, seq);
		if (found != LOOKUP_ABSENT)
			return found;
	}
	return LOOKUP_ABSENT;
}

/* --- reports ---------------------------------------------------------------------------------- */

/* Not atomic: CPUs that meet here may let a few more through. */
ALWAYS_INLINE int report_allowed(struct path_entry *path, __u32 now_s)
{
	struct report_budget *budget = array_at(&report_budgets, 0);
	__u8 second = now_s << 3, last = READ_ONCE(path->head.report);

	if (!budget)
		return 0;
	if ((last & ~REPORTS_PER_PATH_AND_S & 0xff) != second)
		last = second;
	if ((last & REPORTS_PER_PATH_AND_S) == REPORTS_PER_PATH_AND_S)
		return 0;
	if (budget->second != now_s) {
		budget->second = now_s;
		budget->sent = 0;
	}
	if (budget->sent >= REPORTS_PER_CPU_AND_S)
		return 0;
	budget->sent++;
	WRITE_ONCE(path->head.report, last + 1);
	return 1;
}

/* DESIGN: a CID issued under encryption shows here first; a worker may make it an alias. */
__attribute__((noinline)) int report(struct client_query *q)
{
	struct cid_report record = {};
	struct path_entry *path;
	struct backend *backend;
	struct counters *c = counters();
	struct dcid cut;
	__u32 len;

	if (!q || !c)
		return 0;
	path = array_at(&paths, q->path);
	backend = array_at(&backends, q->backend);
	if (!path || !backend)
		return 0;
	len = READ_ONCE(backend->cid_len);
	/* A shorter packet is a stateless reset (RFC 9000 s10.3): those bytes are no CID. */
	if (len == 0 || len > CID_LEN_MAX || q->payload_len < SHORT_BEYOND_DCID + len)
		return 0;
	cut = dcid_cut(&q->dcid, len);
	record.path = q->path;
	record.session = q->session;
	record.len = len;
	for (int i = 0; i < 8; i++) {
		record.cid[i] = cut.a >> (8 * i);
		record.cid[8 + i] = cut.b >> (8 * i);
	}
	for (int i = 0; i < 4; i++)
		record.cid[16 + i] = cut.c >> (8 * i);
	if (report_allowed(path, q->now_s) && bpf_ringbuf_output(&cid_reports, &record, sizeof(record), 0) == 0)
		c->cid_reports++;
	else
		c->cid_reports_limited++;
	return 0;
}

/* --- decisions -------------------------------------------------------------------------------- */

/* A 4-tuple with one path, and another CID than the path's. */
ALWAYS_INLINE enum decision decide_single(struct client_query *q)
{
	enum lookup found = cid_find(q, CID_GLOBAL_MIN);
	__u32 backend;

	if (found == LOOKUP_BUSY)
		return DECIDE_PUNT;
	if (found == LOOKUP_ABSENT) {
		report(q);
		return DECIDE_FORWARD;
	}
	if (q->cid_session == q->session)
		return DECIDE_FORWARD;
	/*
	 * Another session. One that shares this path goes along; any other belongs to
	 * a client whose address has changed to this one: a new path, a worker's job.
	 */
	if (q->sessions > 1 && session_backend(q->cid_session, &backend) == LOOKUP_FOUND && backend == q->backend)
		return DECIDE_FORWARD;
	return DECIDE_PUNT;
}

/* A 4-tuple with several paths: only the CID decides. */
ALWAYS_INLINE enum decision decide_among_paths(struct client_query *q)
{
	__u32 backend;

	if (cid_find(q, 1) != LOOKUP_FOUND || session_backend(q->cid_session, &backend) != LOOKUP_FOUND)
		return DECIDE_PUNT;
	if ((backend != q->backend || (q->flags & PATH_ABSENT)) && path_find_backend(q, backend) != LOOKUP_FOUND)
		return DECIDE_PUNT;
	/* Another client's session may hold an equal short CID, and its backend may be the wrong one here. */
	if (q->cid_len < CID_GLOBAL_MIN && q->cid_session != q->session)
		return DECIDE_PUNT;
	return DECIDE_FORWARD;
}

__attribute__((noinline)) int decide_known(struct client_query *q)
{
	if (!q)
		return DECIDE_PUNT;
	return q->siblings ? decide_among_paths(q) : decide_single(q);
}

/* No path: a client whose address has changed, or nobody's. */
__attribute__((noinline)) int decide_unknown(struct client_query *q)
{
	if (!q)
		return DECIDE_PUNT;
	return cid_find(q, 1) == LOOKUP_ABSENT ? DECIDE_UNKNOWN : DECIDE_PUNT;
}

#endif
