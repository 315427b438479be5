/* SPDX-License-Identifier: MIT */
/*
 * Tests of sluice-inspect's parts, capture and flight_list: the captures in
 * tests/data, made of real clients, against the .tsv beside each; and captures
 * written here, for link types and for what opens a flight and what does not.
 * Run from the project's directory.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/initial_writer.h"
#include "tests/lib/pcap_writer.h"
#include "userspace/capture.h"
#include "userspace/flight_list.h"

#define HEADER "src\tdst\tversion\todcid\tdatagrams\tverdict\tsni\n"

/* --- running --- */

/* What sluice-inspect prints for a capture; to be freed. */
static char *lines_of(struct capture *capture, enum capture_verdict expected_end)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	struct flight_list *list = flight_list_new(out);
	enum capture_verdict verdict;
	struct packet packet;

	assert_non_null(list);
	while ((verdict = capture_next(capture, &packet)) == CAPTURE_UDP)
		assert_int_equal(flight_list_add(list, &packet), 0);
	assert_int_equal(verdict, expected_end);
	flight_list_end(list);
	flight_list_free(list);
	capture_close(capture);
	fclose(out);
	return text;
}

static char *file_text(const char *path)
{
	char *text = NULL;
	size_t size = 0;
	FILE *in = fopen(path, "r"), *out = open_memstream(&text, &size);

	if (!in)
		fail_msg("%s: cannot be opened", path);
	for (int c; (c = fgetc(in)) != EOF;)
		fputc(c, out);
	fclose(in);
	fclose(out);
	return text;
}

static void test_files(void **state)
{
	DIR *directory = opendir("tests/data");
	struct dirent *entry;
	unsigned files = 0;

	(void)state;
	assert_non_null(directory);
	while ((entry = readdir(directory))) {
		char path[512], expected_path[520], error[512];
		const char *dot = strrchr(entry->d_name, '.');
		struct capture *capture;
		char *text, *expected;

		if (!dot || (strcmp(dot, ".pcap") != 0 && strcmp(dot, ".pcapng") != 0))
			continue;
		snprintf(path, sizeof(path), "tests/data/%s", entry->d_name);
		snprintf(expected_path, sizeof(expected_path), "%s.tsv", path);
		capture = capture_open(path, error, sizeof(error));
		if (!capture)
			fail_msg("%s: %s", path, error);
		text = lines_of(capture, CAPTURE_END);
		expected = file_text(expected_path);
		if (strcmp(text, expected) != 0)
			fail_msg("%s:\n%sexpected:\n%s", path, text, expected);
		free(text);
		free(expected);
		files++;
	}
	closedir(directory);
	assert_true(files >= 8);
}

/* --- captures written here --- */

static struct pcap_writer w;

static struct capture *capture_of_file(void)
{
	char error[512];
	struct capture *capture = capture_open_stream(fmemopen(w.file, w.file_len, "rb"), error, sizeof(error));

	if (!capture)
		fail_msg("%s", error);
	return capture;
}

static void assert_lines(const char *expected)
{
	char *text = lines_of(capture_of_file(), CAPTURE_END);

	if (strncmp(text, HEADER, strlen(HEADER)) != 0 || strcmp(text + strlen(HEADER), expected) != 0)
		fail_msg("printed:\n%sexpected:\n%s", text, expected);
	free(text);
}

/* --- what clients and servers send --- */

static struct initial_spec spec;
static uint8_t message[4000];
static size_t message_len;
static struct quic_cid server_cid;

static int teardown_group(void **state)
{
	(void)state;
	pcap_writer_free(&w);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	pcap_writer_begin(&w, DLT_EN10MB);
	spec = initial_spec_default();
	spec.scid = cid_from_hex("c1c1");
	server_cid = cid_from_hex("5e5e5e5e");
	message_len = client_hello_write(message, "game.example.com", 600);
	return 0;
}

/* One Initial with message[from..to). */
static void initial(size_t from, size_t to)
{
	uint8_t payload[3000];

	pcap_write_datagram(&w, PCAP_CLIENT, payload, initial_write_crypto(payload, &spec, message, from, to - from));
	spec.pn++;
}

static void connection(const char *dcid)
{
	spec.dcid = spec.key_dcid = cid_from_hex(dcid);
	spec.pn = 0;
	initial(0, message_len);
}

static void opaque(enum pcap_side from, enum quic_type type, const struct quic_cid *dcid, const struct quic_cid *scid)
{
	uint8_t payload[1200];

	pcap_write_datagram(&w, from, payload,
			    opaque_packet_write(payload, type, spec.version, dcid, scid, sizeof(payload)));
}

/* The server's Initial or Handshake: teaches its CID. */
static void reply(void)
{
	opaque(PCAP_SERVER, QUIC_HANDSHAKE, &spec.scid, &server_cid);
}

static void bytes(enum pcap_side from, const char *data, size_t len)
{
	pcap_write_datagram(&w, from, (const uint8_t *)data, len);
}

#define TUPLE "192.0.2.1:1000\t192.0.2.2:443\t"
#define D1 "8394c8f03e515708"
#define D2 "1122334455667788"
#define SNI "\tSNI\tgame.example.com\n"

/* --- link types --- */

static void test_link_types(void **state)
{
	static const struct { const char *name; int dlt; unsigned vlan_tags; } rows[] = {
		{ "Ethernet", DLT_EN10MB, 0 },
		{ "Ethernet with a VLAN tag", DLT_EN10MB, 1 },
		{ "Ethernet with two tags", DLT_EN10MB, 2 },
		{ "Linux cooked", DLT_LINUX_SLL, 0 },
		{ "Linux cooked v2", DLT_LINUX_SLL2, 0 },
		{ "BSD loopback", DLT_NULL, 0 },
		{ "OpenBSD loopback", DLT_LOOP, 0 },
		{ "raw IP", 101, 0 },
		{ "raw IPv4", DLT_IPV4, 0 },
		{ "raw IPv6", DLT_IPV6, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int v6 = rows[i].dlt == DLT_IPV6; v6 <= (rows[i].dlt != DLT_IPV4); v6++) {
			pcap_writer_begin(&w, rows[i].dlt);
			w.vlan_tags = rows[i].vlan_tags;
			w.ipv6 = v6;
			spec.pn = 0;
			initial(0, message_len);
			print_message("%s, IPv%d\n", rows[i].name, v6 ? 6 : 4);
			assert_lines(v6 ? "[2001:db8::1]:1000\t[2001:db8::2]:443\t00000001\t" D1 "\t1" SNI :
					  TUPLE "00000001\t" D1 "\t1" SNI);
		}
	}
}

/* --- flights --- */

static void test_one_flight_and_its_connection(void **state)
{
	(void)state;
	initial(0, message_len);
	reply();
	opaque(PCAP_CLIENT, QUIC_HANDSHAKE, &server_cid, &spec.scid);
	bytes(PCAP_CLIENT, "\x40short", 6);
	bytes(PCAP_SERVER, "\x40short", 6);
	initial(0, message_len);          /* the first again */
	spec.dcid = server_cid;
	initial(0, 10);                   /* with the server's CID */
	assert_lines(TUPLE "00000001\t" D1 "\t1" SNI);
}

static void test_later_initial_completes_with_server_cid(void **state)
{
	(void)state;
	initial(0, 300);
	reply();
	spec.dcid = server_cid;
	initial(300, message_len);
	assert_lines(TUPLE "00000001\t" D1 "\t2" SNI);
}

/* The capture has one direction only: the keys tell whose Initial it is. */
static void test_one_direction(void **state)
{
	(void)state;
	initial(0, 300);
	spec.dcid = server_cid;
	initial(300, message_len);
	initial(0, 10);
	assert_lines(TUPLE "00000001\t" D1 "\t2" SNI);
}

static void test_undecryptable_with_server_cid(void **state)
{
	(void)state;
	initial(0, message_len);
	reply();
	spec.dcid = server_cid;
	spec.key_dcid = cid_from_hex("0000000000000000");
	initial(0, 10);
	assert_lines(TUPLE "00000001\t" D1 "\t1" SNI);
}

static void test_two_connections_of_one_socket(void **state)
{
	(void)state;
	connection(D1);
	reply();
	connection(D2);
	connection(D1);
	assert_lines(TUPLE "00000001\t" D1 "\t1" SNI TUPLE "00000001\t" D2 "\t1" SNI);
}

/* Both incomplete, interleaved; their later Initials carry the servers' CIDs. */
static void test_two_interleaved(void **state)
{
	struct initial_spec first = spec, second = spec;

	(void)state;
	second.dcid = second.key_dcid = cid_from_hex(D2);
	spec = first;
	initial(0, 300);
	spec = second;
	initial(0, 200);
	reply();
	spec.dcid = server_cid;
	spec.pn = 1;
	initial(200, message_len);
	spec = first;
	spec.pn = 1;
	spec.dcid = cid_from_hex("0a0b0c0d");
	initial(300, message_len);
	assert_lines(TUPLE "00000001\t" D1 "\t2" SNI TUPLE "00000001\t" D2 "\t2" SNI);
}

static void test_retry_begins_a_flight(void **state)
{
	uint8_t retry[100] = { 0xf0, 0, 0, 0, 1, 2, 0xc1, 0xc1, 4, 0xaa, 0xbb, 0xcc, 0xdd };

	(void)state;
	initial(0, message_len);
	pcap_write_datagram(&w, PCAP_SERVER, retry, sizeof(retry));
	spec.dcid = spec.key_dcid = cid_from_hex("aabbccdd");
	spec.token = message;
	spec.token_len = 60;
	initial(0, message_len);
	reply();
	opaque(PCAP_CLIENT, QUIC_HANDSHAKE, &server_cid, &spec.scid);
	assert_lines(TUPLE "00000001\t" D1 "\t1" SNI TUPLE "00000001\taabbccdd\t1" SNI);
}

static void test_version_negotiation(void **state)
{
	uint8_t unknown[1200] = { 0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 2, 0xc1, 0xc1 };
	uint8_t answer[] = { 0x80, 0, 0, 0, 0, 2, 0xc1, 0xc1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1 };

	(void)state;
	pcap_write_datagram(&w, PCAP_CLIENT, unknown, sizeof(unknown));
	pcap_write_datagram(&w, PCAP_SERVER, answer, sizeof(answer));
	connection(D2);
	assert_lines(TUPLE "1a2a3a4a\t0102030405060708\t1\tUNSUPPORTED_VERSION\t-\n" TUPLE "00000001\t" D2 "\t1" SNI);
}

static void test_other_version_with_the_same_dcid(void **state)
{
	uint8_t unknown[1200] = { 0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8, 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08, 0 };

	(void)state;
	pcap_write_datagram(&w, PCAP_CLIENT, unknown, sizeof(unknown));
	initial(0, 300);
	initial(300, message_len);
	assert_lines(TUPLE "00000001\t" D1 "\t2" SNI);
}

/* Not QUIC, though each looks like an unknown version with a DCID of its own: one line. */
static void test_rtp(void **state)
{
	uint8_t rtp[172] = { 0x80, 0, 0x12, 0x34, 5, 3, 9, 9, 9, 0, 0 };

	(void)state;
	for (uint8_t i = 0; i < 20; i++) {
		rtp[3] = i;
		rtp[7] = i;
		pcap_write_datagram(&w, PCAP_CLIENT, rtp, sizeof(rtp));
	}
	assert_lines(TUPLE "00120005\t090009\t1\tUNSUPPORTED_VERSION\t-\n");
}

static void test_version_2_and_change_of_version(void **state)
{
	(void)state;
	spec.version = QUIC_VERSION_2;
	initial(0, message_len);
	w.client_port = 1001;
	spec = initial_spec_default();
	initial(0, 300);
	spec.version = QUIC_VERSION_2;
	initial(300, message_len);
	assert_lines(TUPLE "6b3343cf\t" D1 "\t1" SNI
		     "192.0.2.1:1001\t192.0.2.2:443\t00000001\t" D1 "\t2" SNI);
}

/* Retransmissions and 0-RTT belong to the flight but were not needed. */
static void test_needed_datagrams(void **state)
{
	(void)state;
	opaque(PCAP_CLIENT, QUIC_0RTT, &spec.dcid, &spec.scid);
	initial(0, 300);
	initial(0, 300);
	opaque(PCAP_CLIENT, QUIC_0RTT, &spec.dcid, &spec.scid);
	initial(300, message_len);
	initial(300, message_len);
	assert_lines(TUPLE "00000001\t" D1 "\t2" SNI);
}

static void test_0rtt_without_initial(void **state)
{
	const struct quic_cid other = cid_from_hex(D2);

	(void)state;
	opaque(PCAP_CLIENT, QUIC_0RTT, &spec.dcid, &spec.scid);
	w.client_port = 1001;
	initial(0, message_len);
	opaque(PCAP_CLIENT, QUIC_0RTT, &other, &spec.scid);
	assert_lines(TUPLE "00000001\t" D1 "\t1\tNOT_INITIAL\t-\n"
		     "192.0.2.1:1001\t192.0.2.2:443\t00000001\t" D1 "\t1" SNI);
}

/* Lines stand in the order of first datagrams, whatever is decided first. */
static void test_order(void **state)
{
	struct initial_spec first = spec;

	(void)state;
	initial(0, 300);
	w.client_port = 1001;
	connection(D2);
	w.client_port = 1000;
	spec = first;
	spec.pn = 1;
	initial(300, message_len);
	assert_lines(TUPLE "00000001\t" D1 "\t2" SNI "192.0.2.1:1001\t192.0.2.2:443\t00000001\t" D2 "\t1" SNI);
}

static void test_not_initial(void **state)
{
	(void)state;
	bytes(PCAP_CLIENT, "\x40 a short header", 16);
	bytes(PCAP_CLIENT, "\x40 another", 9);
	bytes(PCAP_SERVER, "\x40 answer", 8);
	w.client_port = 1001;
	bytes(PCAP_CLIENT, "", 0);
	w.client_port = 1002;
	opaque(PCAP_CLIENT, QUIC_HANDSHAKE, &spec.dcid, &spec.scid);
	w.client_port = 1003;
	bytes(PCAP_CLIENT, "\xc0", 1);
	w.client_port = 1000;
	initial(0, message_len);          /* a connection all the same */
	assert_lines(TUPLE "-\t-\t1\tNOT_INITIAL\t-\n"
		     "192.0.2.1:1001\t192.0.2.2:443\t-\t-\t1\tNOT_INITIAL\t-\n"
		     "192.0.2.1:1002\t192.0.2.2:443\t00000001\t" D1 "\t1\tNOT_INITIAL\t-\n"
		     "192.0.2.1:1003\t192.0.2.2:443\t-\t-\t1\tNOT_INITIAL\t-\n"
		     TUPLE "00000001\t" D1 "\t1" SNI);
}

static void test_verdicts(void **state)
{
	static const uint8_t forbidden[] = { 0x08, 0, 1 };
	uint8_t payload[1500];

	(void)state;
	message_len = client_hello_write(message, NULL, 600);
	initial(0, message_len);
	w.client_port++;
	message_len = client_hello_write(message, "tab\there", 600);
	spec.pn = 0;
	initial(0, message_len);
	w.client_port++;
	spec.pn = 0;
	initial(0, 100);
	w.client_port++;
	pcap_write_datagram(&w, PCAP_CLIENT, payload, initial_write(payload, &spec, forbidden, sizeof(forbidden)));
	w.client_port++;
	spec.key_dcid = cid_from_hex(D2);
	initial(0, 100);
	w.client_port++;
	initial(0, message_len);          /* does not decrypt ... */
	spec.key_dcid = spec.dcid;
	message_len = client_hello_write(message, "game.example.com", 600);
	initial(0, message_len);          /* ... but garbage does not spoil the flight */
#define LINE(port, rest) "192.0.2.1:" port "\t192.0.2.2:443\t00000001\t" D1 "\t1\t" rest "\n"
	assert_lines(LINE("1000", "NO_SNI\t-") LINE("1001", "INVALID\t-") LINE("1002", "INCOMPLETE\t-")
		     LINE("1003", "INVALID\t-") LINE("1004", "INVALID\t-") LINE("1005", "SNI\tgame.example.com"));
}

/* What the relay does not open state for. */
static void test_too_small(void **state)
{
	(void)state;
	spec.size = 1199;
	initial(0, message_len);
	w.client_port++;
	spec = initial_spec_default();
	connection("11223344556677");
	w.client_port++;
	connection("");
	assert_lines(LINE("1000", "INVALID\t-")
		     "192.0.2.1:1001\t192.0.2.2:443\t00000001\t11223344556677\t1\tINVALID\t-\n"
		     "192.0.2.1:1002\t192.0.2.2:443\t00000001\t-\t1\tINVALID\t-\n");
}

static void test_snaplen(void **state)
{
	(void)state;
	initial(0, 300);
	w.snaplen = 100;
	initial(300, message_len);        /* the rest is not in the capture */
	w.client_port++;
	spec.pn = 0;
	w.snaplen = 2000;
	initial(0, message_len);
	w.client_port++;
	spec.pn = 0;
	w.snaplen = 100;
	initial(0, message_len);          /* the same bytes: those of the frame before must not stand in */
	w.client_port++;
	w.snaplen = 14 + 20 + 7;            /* not even the ports' length */
	initial(0, message_len);
	assert_lines(LINE("1000", "INCOMPLETE\t-") LINE("1001", "SNI\tgame.example.com") LINE("1002", "INVALID\t-"));
}

/* A datagram cut off in its sender: Length goes beyond it. */
static void test_malformed(void **state)
{
	uint8_t payload[1200];

	(void)state;
	initial_write_crypto(payload, &spec, message, 0, message_len);
	pcap_write_datagram(&w, PCAP_CLIENT, payload, 800);
	pcap_write_datagram(&w, PCAP_CLIENT, payload, 800);
	assert_lines(LINE("1000", "INVALID\t-"));
}

/* GRO made one frame of two datagrams; and what is no datagram at all. */
static void test_merged_and_ignored(void **state)
{
	uint8_t payload[3000] = { 0 }, frame[3100];
	size_t len;

	(void)state;
	pcap_frame_make(&w, frame, PCAP_CLIENT, payload, 100);
	frame[14 + 9] = 6;                /* TCP */
	pcap_write_frame(&w, frame, 142);
	pcap_frame_make(&w, frame, PCAP_CLIENT, payload, 100);
	frame[14 + 6] = 0x20;             /* first fragment */
	pcap_write_frame(&w, frame, 142);
	pcap_frame_make(&w, frame, PCAP_CLIENT, payload, 100);
	frame[12] = 0x88;                 /* no EtherType of ours */
	pcap_write_frame(&w, frame, 142);
	pcap_write_frame(&w, frame, 5);
	pcap_write_frame(&w, frame, 0);
	len = initial_write_crypto(payload, &spec, message, 0, 300);
	spec.pn = 1;
	len += initial_write_crypto(payload + len, &spec, message, 300, message_len - 300);
	assert_int_equal(len, 2400);
	pcap_write_datagram(&w, PCAP_CLIENT, payload, len);
	assert_lines(LINE("1000", "SNI\tgame.example.com"));
}

/* Over the bound, the oldest unfinished flight is given up, and the newest is not. */
static void test_open_flights_are_bounded(void **state)
{
	struct initial_spec first = spec;
	char *text, *newline;
	unsigned lines = 0;

	(void)state;
	for (unsigned i = 0; i <= FLIGHT_LIST_OPEN_MAX; i++) {
		w.client_port = (uint16_t)(1000 + i);
		spec = first;
		initial(0, 100);
	}
	spec = first;
	spec.pn = 1;
	initial(100, message_len);
	spec = first;
	spec.pn = 1;
	w.client_port = 1000;
	initial(100, message_len);
	text = lines_of(capture_of_file(), CAPTURE_END);
	for (newline = text; (newline = strchr(newline, '\n')); newline++)
		lines++;
	assert_int_equal(lines, 1 + FLIGHT_LIST_OPEN_MAX + 1);
	assert_non_null(strstr(text, "192.0.2.1:1000\t192.0.2.2:443\t00000001\t" D1 "\t1\tINCOMPLETE\t-\n"));
	assert_non_null(strstr(text, "192.0.2.1:9192\t192.0.2.2:443\t00000001\t" D1 "\t2\tSNI\tgame.example.com\n"));
	free(text);
}

/* --- files that are none --- */

static void test_bad_files(void **state)
{
	char error[512] = "";
	char *text;

	(void)state;
	assert_null(capture_open("tests/data/no such file", error, sizeof(error)));
	assert_string_equal(error, "No such file or directory");
	assert_null(capture_open("tests/unit/test_inspect.c", error, sizeof(error)));
	assert_non_null(strstr(error, "unknown file format"));
	pcap_writer_begin(&w, DLT_IEEE802_11);
	assert_null(capture_open_stream(fmemopen(w.file, w.file_len, "rb"), error, sizeof(error)));
	assert_non_null(strstr(error, "IEEE802_11"));
	/* the last record is cut: what stands before it is printed */
	setup(NULL);
	initial(0, message_len);
	w.client_port++;
	initial(0, message_len);
	w.file_len -= 10;
	text = lines_of(capture_of_file(), CAPTURE_ERROR);
	assert_string_equal(text, HEADER TUPLE "00000001\t" D1 "\t1" SNI);
	free(text);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		TEST(test_link_types),
		TEST(test_one_flight_and_its_connection),
		TEST(test_later_initial_completes_with_server_cid),
		TEST(test_one_direction),
		TEST(test_undecryptable_with_server_cid),
		TEST(test_two_connections_of_one_socket),
		TEST(test_two_interleaved),
		TEST(test_retry_begins_a_flight),
		TEST(test_version_negotiation),
		TEST(test_other_version_with_the_same_dcid),
		TEST(test_rtp),
		TEST(test_version_2_and_change_of_version),
		TEST(test_needed_datagrams),
		TEST(test_0rtt_without_initial),
		TEST(test_order),
		TEST(test_not_initial),
		TEST(test_verdicts),
		TEST(test_too_small),
		TEST(test_snaplen),
		TEST(test_malformed),
		TEST(test_merged_and_ignored),
		TEST(test_open_flights_are_bounded),
		TEST(test_bad_files),
	};

	return cmocka_run_group_tests(tests, NULL, teardown_group);
}
