/* SPDX-License-Identifier: MIT */
/*
 * link: the control process's end of the control protocol. Connects to the
 * relay, again and again with a pause that grows to a second; sends all routes
 * when it is connected and every change from then on. link_serve is the main
 * thread's; link_end_session, link_status and the route listener are any's.
 */
#ifndef SLUICE_LINK_H
#define SLUICE_LINK_H

#include "control/servers.h"
#include "control/targets.h"
#include "control/view.h"

struct link;

struct link_options {
	const char *run_dir, *instance;
	struct routes *routes;         /* borrowed, like targets, servers and view */
	struct targets *targets;
	struct servers *servers;
	struct view *view;
	/* A client waits for a server of a route; answered by link_answer. Main thread; must not wait. */
	void (*ask)(void *context, const struct protocol_ask *ask, const char *fqdn);
	/* Whose is this connection ID? Answered by link_cid_answer, or never. Main thread; must not wait. */
	void (*ask_cid)(void *context, const struct protocol_ask_cid *ask);
	/* The relay is told next to end this session. Main thread; must not wait. May be NULL. */
	void (*session_ends)(void *context, uint32_t slot, uint32_t generation);
	void (*reload)(void *context); /* the relay was told to read its configuration again */
	void *context;
};

/* Registers with the routes. NULL after a line in the log. */
struct link *link_new(const struct link_options *options);

/* Before the routes: until then they may call its listener. */
void link_free(struct link *link);

/* Readable when link_serve has work. */
int link_fd(const struct link *link);
void link_serve(struct link *link);

/* Tells the relay to read its configuration again too. */
void link_reload(struct link *link);

/* Answers a question: error 0, or an errno. False: no relay is connected, or the queue is full. Any thread. */
bool link_answer(struct link *link, const struct protocol_answer *answer);

bool link_cid_answer(struct link *link, const struct protocol_cid_answer *answer);

/* The servers of a route are others now. Any thread. */
void link_route_changed(struct link *link, const char *fqdn);

/* The session in this slot, if it is still of this generation. False: no relay is connected, or the queue is full. */
bool link_end_session(struct link *link, uint32_t slot, uint32_t generation);

enum { LINK_TEXT_MAX = 256 };

/* True: connected, text is the relay's version. False: text says why not. */
bool link_status(struct link *link, char text[static LINK_TEXT_MAX]);

#endif
