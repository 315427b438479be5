/* SPDX-License-Identifier: MIT */
/*
 * sluice-inspect: prints what the relay would see in a capture: a line of
 * tab-separated fields for each client flight. Unprivileged, one thread; the
 * file is not trusted.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "flight_list.h"
#include "version.h"

#ifndef SLUICE_VERSION
#endif

enum { EXIT_USAGE = 2 };

static const char usage[] =
	"usage: sluice-inspect FILE.pcap\n"
	"       sluice-inspect -h | --version\n"
	"\n"
	"Prints what sluice sees in a capture (pcap or pcapng; - is standard input): one\n"
	"line of tab-separated fields for each client flight, in order of first datagram.\n"
	"\n"
	"  src, dst   client and server, address:port\n"
	"  version    of QUIC, in hexadecimal; - where there is none\n"
	"  odcid      first destination connection ID, in hexadecimal; - where there is none\n"
	"  datagrams  how many of the flight's datagrams were needed for the verdict\n"
	"  verdict    SNI                  the ClientHello names a server\n"
	"             NO_SNI               the ClientHello is complete and names none\n"
	"             INCOMPLETE           the ClientHello's end is not in the capture\n"
	"             NOT_INITIAL          does not begin with an Initial packet, or is not QUIC\n"
	"             UNSUPPORTED_VERSION  neither QUIC version 1 nor 2\n"
	"             INVALID              the relay would drop it: does not decrypt, malformed,\n"
	"                                  less than 1,200 bytes, connection ID below 8 bytes\n"
	"  sni        the name, in lower case; - where there is none\n"
	"\n"
	"Exit status: 0 done, 1 the file cannot be read (to its end), 2 wrong usage.\n";

/* 0, or -1 after a message; what was read before an error is printed. */
static int inspect(const char *path)
{
	const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
	enum capture_verdict verdict;
	struct flight_list *list;
	struct capture *capture;
	struct packet packet;
	char error[512];
	int result = -1;

	capture = capture_open(path, error, sizeof(error));
	if (!capture) {
		fprintf(stderr, "sluice-inspect: %s: %s\n", name, error);
		return -1;
	}
	list = flight_list_new(stdout);
	if (!list)
		goto err_memory;
	while ((verdict = capture_next(capture, &packet)) == CAPTURE_UDP && !ferror(stdout)) {
		if (flight_list_add(list, &packet) < 0)
			goto err_memory;
	}
	flight_list_end(list);
	if (verdict == CAPTURE_ERROR)
		fprintf(stderr, "sluice-inspect: %s: %s\n", name, capture_error(capture));
	else
		result = 0;
	goto out;

err_memory:
	fprintf(stderr, "sluice-inspect: %s: out of memory, or OpenSSL without AES-128-GCM\n", name);
out:
	flight_list_free(list);
	capture_close(capture);
	return result;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	int result, option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("sluice-inspect " SLUICE_VERSION);
			return EXIT_SUCCESS;
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (argc - optind != 1) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	result = inspect(argv[optind]);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "sluice-inspect: standard output: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	return result < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
