/* SPDX-License-Identifier: MIT */
/*
 * initials: first Initials of many connections, each with a DCID of its own,
 * from one socket:
 *
 *     initials ADDRESS PORT SNI COUNT
 *
 * Ends when all are sent, at some 20,000 a second.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#include "tests/lib/initial_writer.h"

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct initial_spec spec = initial_spec_default();
	uint8_t hello[2000], datagram[1500];
	size_t hello_len;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (argc != 5 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
		fputs("usage: initials ADDRESS PORT SNI COUNT\n", stderr);
		return 2;
	}
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror("connect");
		return 1;
	}
	hello_len = client_hello_write(hello, argv[3], 0);
	for (int left = atoi(argv[4]); left > 0; left--) {
		uint8_t dcid[8];
		size_t len;

		if (getrandom(dcid, sizeof(dcid), 0) != sizeof(dcid))
			return 1;
		spec.dcid = spec.key_dcid = quic_cid_make(dcid, sizeof(dcid));
		len = initial_write_crypto(datagram, &spec, hello, 0, hello_len);
		if (send(fd, datagram, len, 0) < 0)
			perror("send");
		nanosleep(&(struct timespec){ .tv_nsec = 10000 }, NULL);
	}
	return 0;
}
