/* SPDX-License-Identifier: MIT */
/*
 * figures_initial: from a datagram to the server name, on one core: packets of
 * 1,200 bytes with a whole ClientHello and different DCIDs, one after the
 * other. What the relay does besides (tables, routes, rings) is in
 * handshake.per_s.
 */
#include "figures.h"

#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "initial_crypto.h"
#include "sessions.h"
#include "userspace/hello.h"

enum { DATAGRAMS = 256, DATAGRAM_LEN = 1200 };

struct initials {
	uint8_t datagrams[DATAGRAMS][DATAGRAM_LEN];
	struct hello_crypto *hello_crypto;
	struct hello *hello;
	struct initial_crypto *bare;
};

static bool read_names(struct initials *initials)
{
	for (unsigned i = 0; i < DATAGRAMS; i++) {
		struct quic_cid dcid = quic_cid_make(initials->datagrams[i] + 6, 8);

		hello_begin(initials->hello, &dcid);
		if (hello_feed(initials->hello, initials->hello_crypto, initials->datagrams[i], DATAGRAM_LEN) != HELLO_SNI)
			return false;
	}
	return true;
}

static bool decrypt(struct initials *initials)
{
	for (unsigned i = 0; i < DATAGRAMS; i++)
		if (!initial_crypto_open(initials->bare, initials->datagrams[i], DATAGRAM_LEN))
			return false;
	return true;
}

static bool per_second(struct initials *initials, bool (*all)(struct initials *initials), double *value)
{
	double start_s = bench_cpu_s(), now_s;
	unsigned passes = 0;

	do {
		if (!all(initials))
			return false;
		passes++;
		now_s = bench_cpu_s();
	} while (now_s - start_s < bench_options.round_s);
	*value = passes * DATAGRAMS / (now_s - start_s);
	return true;
}

static bool measure_names(void *context, double values[static FIGURES_PER_SIDE])
{
	return per_second(context, read_names, values);
}

static bool measure_bare(void *context, double values[static FIGURES_PER_SIDE])
{
	return per_second(context, decrypt, values);
}

void figures_initial(void)
{
	struct initials *initials = calloc(1, sizeof(*initials));
	struct side names = { { "initial.per_s" }, measure_names, initials };
	struct side bare = { { "initial.crypto.per_s" }, measure_bare, initials };

	initials->hello_crypto = hello_crypto_new();
	initials->hello = calloc(1, sizeof(*initials->hello));
	initials->bare = initial_crypto_new();
	if (!initials->hello_crypto || !initials->hello || !initials->bare) {
		bench_failed("initial.per_s: OpenSSL or memory");
		return;
	}
	for (unsigned i = 0; i < DATAGRAMS; i++)
		sessions_initial(initials->datagrams[i], i % BACKENDS, (i + 1) * 0x9e3779b97f4a7c15ull);
	bench_compare("1/s", &names, &bare);
	hello_crypto_free(initials->hello_crypto);
	initial_crypto_free(initials->bare);
	free(initials->hello);
	free(initials);
}
