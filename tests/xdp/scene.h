/* SPDX-License-Identifier: MIT */
/*
 * scene: the tables that every row of the XDP tests starts from, and the run
 * of one row.
 *
 *     client4 198.51.100.7:40000 --> 203.0.113.5:443   | 192.0.2.1:20001       --> backend 0, 10.0.0.5:7777
 *     client6 2001:db8:c::7:40000 -> 2001:db8::5:443   | 2001:db8:1::1:20001   --> backend 2, 2001:db8:2::5:7777
 *                                                      further backends: 1, 10.0.0.6; 3, 10.0.0.7; 4, 10.0.0.8
 *
 * Each path is confirmed and holds its session's CID: CID_A (8 bytes) for
 * client4, CID_C (20 bytes) for client6; both are in the index. Session i is
 * one with backend i.
 */
#ifndef SLUICE_TEST_SCENE_H
#define SLUICE_TEST_SCENE_H

#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "world.h"

#define CID_A "a1a2a3a4a5a6a7a8"                                   /* session 0 */
#define CID_B "b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4"           /* session 1, where a row adds it */
#define CID_C "c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4"           /* session 2 */
#define CID_D "d1d2d3d4"                                           /* session 3, where a row adds it */
#define CID_X "0102030405060708090a0b0c0d0e0f1011121314"           /* nobody's */

#define CLIENT4 "198.51.100.7"
#define LISTENER4 "203.0.113.5"
#define RELAY4 "192.0.2.1"
#define CLIENT6 "2001:db8:c::7"
#define LISTENER6 "2001:db8::5"
#define RELAY6 "2001:db8:1::1"
#define BACKEND0 "10.0.0.5"
#define BACKEND1 "10.0.0.6"
#define BACKEND2 "2001:db8:2::5"
#define BACKEND3 "10.0.0.7"

#define FROM_CLIENT4 { CLIENT4, 40000, LISTENER4, 443 }
#define AS_RELAY4 { RELAY4, 20001, BACKEND0, 7777 }
#define FROM_BACKEND0 { BACKEND0, 7777, RELAY4, 20001 }
#define AS_LISTENER4 { LISTENER4, 443, CLIENT4, 40000 }
#define FROM_CLIENT6 { CLIENT6, 40000, LISTENER6, 443 }
#define AS_RELAY6 { RELAY6, 20001, BACKEND2, 7777 }
#define FROM_BACKEND2 { BACKEND2, 7777, RELAY6, 20001 }
#define AS_LISTENER6 { LISTENER6, 443, CLIENT6, 40000 }

struct scene {
	struct world world;
	uint16_t listener4, listener6;
	struct path_entry *path4, *path6;     /* in the map */
	struct reply_entry *reply4, *reply6;
	struct path_entry *sibling;           /* of path4, once added */
	uint32_t now_s;
};

struct expectation {
	uint32_t action;
	bool dropped;
	enum drop_reason reason;
	bool punted, sent;
	enum direction direction;
	unsigned reports, reports_limited;
	struct flow flow;                     /* sent */
	const struct macs *macs;
};

struct row {
	const char *name;
	void (*setup)(struct scene *scene);   /* changes to the scene; may be NULL */
	struct frame in;
	bool on_veth;                         /* came in there, not on lo */
	uint32_t queue;
	struct expectation expect;
};

#define PASSES { .action = XDP_PASS }
#define DROPS(id) { .action = XDP_DROP, .dropped = true, .reason = DROP_##id }
/* No socket is in the XSKMAP but one: elsewhere a punt shows in the counter alone. */
#define PUNTS(to) { .action = XDP_DROP, .punted = true, .direction = to }
#define SENDS(to, how, ...) { .action = how, .sent = true, .direction = to, \
		.macs = to == TO_BACKEND ? &MACS_BACKENDS : &MACS_CLIENTS, .flow = __VA_ARGS__ }
#define REPORTS(to, how, ...) { .action = how, .sent = true, .direction = to, .reports = 1, \
		.macs = to == TO_BACKEND ? &MACS_BACKENDS : &MACS_CLIENTS, .flow = __VA_ARGS__ }

void scene_open(struct scene *scene);
void scene_close(struct scene *scene);
void scene_reset(struct scene *scene);

/* path4's 4-tuple gets a further path, with this ordinal; both ends of it are filled in but the reply. */
struct path_entry *scene_add_sibling(struct scene *scene, unsigned ordinal, uint32_t backend, uint32_t session,
				     uint16_t relay_port, const char *cid);

/* path4 or reply4 anew, behind `crowd` entries of nobody in its probe sequence. */
void scene_crowd_path4(struct scene *scene, unsigned crowd);
void scene_crowd_reply4(struct scene *scene, unsigned crowd);

/* path4 anew, with `first` before it in its probe sequence. */
void scene_put_before_path4(struct scene *scene, const struct path_entry *first);

/* path4 anew, of a listener in another slot. */
void scene_move_path4(struct scene *scene, uint16_t endpoint);

/* The clients change places: IPv4 to the IPv6 backend, and the reverse; replies too. */
void scene_client4_at_backend2(struct scene *scene);
void scene_client6_at_backend0(struct scene *scene);

/* Both paths keep their clients' sources: client_ip: preserve. */
void scene_preserve(struct scene *scene);

/* Clears all overflow counts of paths: no entry seems to have passed over any slot. */
void scene_forget_overflow(struct scene *scene);

void path_cid_set(struct path_entry *path, const char *cid);

/*
 * Writes the hex of a CID of 20 bytes, CID_A first, that makes this frame's UDP
 * checksum come to 0; false: none does.
 */
bool cid_for_checksum_0(const struct frame *frame, char hex[static 2 * CID_LEN_MAX + 1]);

/* Runs a frame on lo and checks what came of it. */
void scene_expect(struct scene *scene, const char *name, const struct frame *in, const struct expectation *expect);

/* Runs a frame from path's client, and one to it by reply: each stamps its own entry alone. */
void scene_expect_stamps(struct scene *scene, const struct path_entry *path, const struct reply_entry *reply,
			 const struct frame *out, const struct expectation *to_backend, const struct frame *back,
			 const struct expectation *to_client);

void row_run(struct scene *scene, const struct row *row);

/* Runs each row as a test of its own, and then the tests. The group's state is a struct scene. */
int rows_main(const char *group, const struct row *rows, size_t row_count, const struct CMUnitTest *tests,
	      size_t test_count);

#endif
