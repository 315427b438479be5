/* SPDX-License-Identifier: MIT */
/* tls_resolve: see tls_resolve.h. */
#include "control/tls_resolve.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tls_resolve {
	struct gaicb request;
	struct addrinfo hints;
	char host[256];
	char service[6];
	int error;                     /* of starting it */
	struct tls_resolve *next;      /* in `leaving` */
};

/* Freed by their owners while glibc's thread still wrote to them. */
static pthread_mutex_t leaving_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tls_resolve *leaving;

static void destroy(struct tls_resolve *resolve)
{
	if (resolve->request.ar_result)
		freeaddrinfo(resolve->request.ar_result);
	free(resolve);
}

static void sweep(void)
{
	pthread_mutex_lock(&leaving_lock);
	for (struct tls_resolve **at = &leaving; *at;) {
		struct tls_resolve *resolve = *at;

		if (gai_error(&resolve->request) == EAI_INPROGRESS) {
			at = &resolve->next;
			continue;
		}
		*at = resolve->next;
		destroy(resolve);
	}
	pthread_mutex_unlock(&leaving_lock);
}

struct tls_resolve *tls_resolve_new(const char *host, uint16_t port)
{
	struct tls_resolve *resolve = calloc(1, sizeof(*resolve));
	struct gaicb *list[1];

	sweep();
	if (!resolve)
		return NULL;
	snprintf(resolve->host, sizeof(resolve->host), "%s", host);
	snprintf(resolve->service, sizeof(resolve->service), "%u", port);
	resolve->hints = (struct addrinfo){ .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	resolve->request = (struct gaicb){ .ar_name = resolve->host, .ar_service = resolve->service,
					   .ar_request = &resolve->hints };
	/* An IP address needs no resolver, nor a wait for one. */
	if (!getaddrinfo(resolve->host, resolve->service, &resolve->hints, &resolve->request.ar_result))
		return resolve;
	resolve->request.ar_result = NULL;
	resolve->hints.ai_flags = AI_NUMERICSERV;
	list[0] = &resolve->request;
	resolve->error = getaddrinfo_a(GAI_NOWAIT, list, 1, NULL);
	return resolve;
}

int tls_resolve_step(struct tls_resolve *resolve, const struct addrinfo **addresses)
{
	/* gai_error of what was never asked is 0. */
	int error = resolve->error ? resolve->error : gai_error(&resolve->request);

	if (!error)
		*addresses = resolve->request.ar_result;
	return error;
}

void tls_resolve_free(struct tls_resolve *resolve)
{
	if (!resolve)
		return;
	if (!resolve->error && gai_error(&resolve->request) == EAI_INPROGRESS &&
	    gai_cancel(&resolve->request) == EAI_NOTCANCELED) {
		pthread_mutex_lock(&leaving_lock);
		resolve->next = leaving;
		leaving = resolve;
		pthread_mutex_unlock(&leaving_lock);
		return;
	}
	destroy(resolve);
}
