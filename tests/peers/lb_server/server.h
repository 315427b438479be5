/* SPDX-License-Identifier: MIT */
/* server: what connections and the loop in main.c share. One thread. */
#ifndef LB_SERVER_SERVER_H
#define LB_SERVER_SERVER_H

#include <gnutls/gnutls.h>
#include <ngtcp2/ngtcp2.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "cid.h"

struct connection;

struct server {
	int fd;        /* UDP, bound; sends block, receives do not */
	int documents; /* directory */
	bool verbose;  /* ngtcp2's own log too */
	struct cid_maker cids;
	gnutls_certificate_credentials_t credentials;
	uint8_t reset_secret[32]; /* from the private key: a restarted server resets its predecessor's connections */
	struct sockaddr_storage local;
	socklen_t local_len;
	void *by_cid; /* tsearch(3) */
	struct connection *connections;
};

/* Whose packets carry this CID; NULL: nobody's. */
struct connection *server_find(struct server *server, const ngtcp2_cid *cid);
void server_add_cid(struct server *server, const ngtcp2_cid *cid, struct connection *connection);
void server_remove_cid(struct server *server, const ngtcp2_cid *cid);

void server_send(struct server *server, const ngtcp2_addr *to, const uint8_t *datagram, size_t len);

/* The stateless reset token of a CID; 0, or an error. */
int server_reset_token(const struct server *server, uint8_t *token, const ngtcp2_cid *cid);

/* One line to standard output, at once. */
void server_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Texts for log lines, in static storage: one of each a line. */
const char *text_of_cid(const ngtcp2_cid *cid);
const char *text_of_address(const struct sockaddr *address);

ngtcp2_tstamp now_ns(void);

#endif
