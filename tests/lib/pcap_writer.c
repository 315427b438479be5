/* SPDX-License-Identifier: MIT */
/*
 * pcap_writer: see the header. Tests only; aborts on misuse.
 */
#include <arpa/inet.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#include "pcap_writer.h"

enum { FRAME_MAX = 70000 };

static void put(struct pcap_writer *w, const void *bytes, size_t len)
{
	if (w->file_len + len > w->file_size) {
		w->file_size = 2 * (w->file_len + len);
		w->file = realloc(w->file, w->file_size);
		if (!w->file)
			abort();
	}
	memcpy(w->file + w->file_len, bytes, len);
	w->file_len += len;
}

void pcap_writer_begin(struct pcap_writer *w, int link_type)
{
	const struct pcap_file_header header = { .magic = 0xa1b2c3d4, .version_major = 2, .version_minor = 4,
						 .snaplen = 262144, .linktype = (uint32_t)link_type };

	*w = (struct pcap_writer){ .file = w->file, .file_size = w->file_size, .link_type = link_type,
				   .snaplen = header.snaplen, .client_port = 1000 };
	put(w, &header, sizeof(header));
}

void pcap_writer_free(struct pcap_writer *w)
{
	free(w->file);
	*w = (struct pcap_writer){ 0 };
}

static size_t put_u16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
	return 2;
}

static size_t link_header(const struct pcap_writer *w, uint8_t *out)
{
	unsigned ethertype = w->ipv6 ? 0x86dd : 0x0800;
	uint32_t family = w->ipv6 ? 24 : 2;
	size_t at = 0;

	switch (w->link_type) {
	case DLT_EN10MB:
		memset(out, 2, 12);
		at = 12;
		for (unsigned i = 0; i < w->vlan_tags; i++) {
			at += put_u16(out + at, i + 1 < w->vlan_tags ? 0x88a8 : 0x8100);
			at += put_u16(out + at, 100 + i);
		}
		return at + put_u16(out + at, ethertype);
	case DLT_LINUX_SLL:
		memset(out, 0, 14);
		return 14 + put_u16(out + 14, ethertype);
	case DLT_LINUX_SLL2:
		memset(out, 0, 20);
		put_u16(out, ethertype);
		return 20;
	case DLT_NULL:
		memcpy(out, &family, 4);
		return 4;
	case DLT_LOOP:
		family = htonl(family);
		memcpy(out, &family, 4);
		return 4;
	default:
		return 0;
	}
}

static size_t ip_header(const struct pcap_writer *w, uint8_t *out, enum pcap_side from, size_t udp_len)
{
	static const uint8_t v4[20] = { 0x45, [6] = 0x40, [8] = 64, [9] = 17, [12] = 192, 0, 2, 0, 192, 0, 2, 0 };
	static const uint8_t v6[40] = { 0x60, [6] = 17, [7] = 64, [8] = 0x20, 0x01, 0x0d, 0xb8,
					[24] = 0x20, 0x01, 0x0d, 0xb8 };
	size_t len = w->ipv6 ? sizeof(v6) : sizeof(v4);

	memcpy(out, w->ipv6 ? v6 : v4, len);
	put_u16(out + (w->ipv6 ? 4 : 2), (unsigned)(udp_len + (w->ipv6 ? 0 : len)));
	out[w->ipv6 ? 23 : 15] = from == PCAP_CLIENT ? 1 : 2;
	out[len - 1] = from == PCAP_CLIENT ? 2 : 1;
	return len;
}

void pcap_write_frame(struct pcap_writer *w, const uint8_t *frame, size_t len)
{
	uint32_t kept = (uint32_t)(len < w->snaplen ? len : w->snaplen), record[4] = { 0, 0, kept, (uint32_t)len };

	put(w, record, sizeof(record));
	put(w, frame, kept);
}

size_t pcap_frame_make(const struct pcap_writer *w, uint8_t *frame, enum pcap_side from, const uint8_t *payload,
		       size_t len)
{
	size_t at = link_header(w, frame);

	at += ip_header(w, frame + at, from, len + 8);
	at += put_u16(frame + at, from == PCAP_CLIENT ? w->client_port : 443);
	at += put_u16(frame + at, from == PCAP_CLIENT ? 443 : w->client_port);
	at += put_u16(frame + at, (unsigned)(len + 8));
	at += put_u16(frame + at, 0);
	memcpy(frame + at, payload, len);
	return at + len;
}

void pcap_write_datagram(struct pcap_writer *w, enum pcap_side from, const uint8_t *payload, size_t len)
{
	uint8_t frame[FRAME_MAX];

	pcap_write_frame(w, frame, pcap_frame_make(w, frame, from, payload, len));
}
