/* SPDX-License-Identifier: MIT */
/*
 * tls_world: an api_tls front of a test's own between a plain server, which
 * does as it is told, and clients of OpenSSL's. Certificates and the server's
 * files are in a directory of its own under /tmp. One at a time; the program
 * ignores SIGPIPE. Every wait is for an event, 10 s at the most.
 */
#ifndef SLUICE_TLS_WORLD_H
#define SLUICE_TLS_WORLD_H

#include <pthread.h>
#include <openssl/ssl.h>

#include "control/api_tls.h"

enum { TLS_WORLD_PATIENCE_MS = 10000 };

/* What the server behind does with a connection, after the front's greeting. */
enum tls_world_behaviour {
	ECHO,                          /* until its client ends */
	COUNT_THEN_ANSWER,             /* reads to the end, and only then says how much it was */
	ANSWER_THEN_COUNT,             /* says "hello" and ends; then reads to the end */
	TELL_PEER,                     /* the address that the greeting names */
	READ_NOTHING,                  /* until the test says so */
	NO_WELCOME,                    /* something else than the front expects */
};

struct tls_world {
	char dir[64];
	char cert[192], key[192], ca[192];
	struct config_api_tls files;
	struct api_tls *front;
	int listener;
	pthread_t server;
	enum tls_world_behaviour behaviour;
	_Atomic uint64_t counted;      /* by the server, of the last connection that ended */
	_Atomic unsigned ended;
	atomic_bool may_read;
	char greeting[512];            /* of the last connection; to be read when it has ended */
};
extern struct tls_world tls_world;

void tls_world_begin(void);
void tls_world_end(void);

/* Between them a front and its server. more: options beside files and address, or NULL. stop: after a failure too. */
void tls_world_start(enum tls_world_behaviour behaviour, bool mutual, const struct api_tls_options *more);
void tls_world_stop(void);

typedef bool tls_world_condition(void);
void tls_world_wait(tls_world_condition *holds);

/* The path of a file in the directory; four at a time are good. */
const char *tls_world_file(const char *name);
/* In one step, as files should be replaced. */
void tls_world_copy(const char *from, const char *to);

struct tls_client {
	int fd;
	SSL *ssl;
};

/* Connected, and that is all. */
int tls_client_plain(void);

/* name NULL: without a certificate. The handshake is done on the client's side; TLS 1.3's server may still refuse. */
struct tls_client tls_client_open(const char *name, int max_version);
void tls_client_close(struct tls_client *client);

/* Closed by the front: an end, or a reset, in time. */
bool tls_client_is_closed(int fd);


#endif
