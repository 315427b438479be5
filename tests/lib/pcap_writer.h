/* SPDX-License-Identifier: MIT */
/*
 * pcap_writer: captures of UDP datagrams between one client host and one
 * server, in memory, with any link type that sluice-inspect reads. Tests only,
 * single thread; it trusts its caller and aborts on misuse.
 *
 * Client 192.0.2.1 or 2001:db8::1, port client_port; server 192.0.2.2 or
 * 2001:db8::2, port 443. Checksums are 0.
 */
#ifndef SLUICE_TESTS_PCAP_WRITER_H
#define SLUICE_TESTS_PCAP_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pcap_side { PCAP_CLIENT, PCAP_SERVER };

struct pcap_writer {
	uint8_t *file;             /* owned; file_len bytes are the capture so far */
	size_t file_len, file_size;
	int link_type;             /* DLT_* */
	unsigned vlan_tags;        /* Ethernet: how many */
	bool ipv6;
	size_t snaplen;            /* bytes kept of a frame */
	uint16_t client_port;      /* 1000 */
};

/* Begins a capture, in memory that an earlier one may have used (else all zero). */
void pcap_writer_begin(struct pcap_writer *w, int link_type);
void pcap_writer_free(struct pcap_writer *w);

/* Appends a frame as it is. */
void pcap_write_frame(struct pcap_writer *w, const uint8_t *frame, size_t len);

/* Appends a datagram with its headers. */
void pcap_write_datagram(struct pcap_writer *w, enum pcap_side from, const uint8_t *payload, size_t len);

/* The frame of a datagram, for changes before it is appended. Its length. */
size_t pcap_frame_make(const struct pcap_writer *w, uint8_t *frame, enum pcap_side from, const uint8_t *payload,
		       size_t len);

#endif
