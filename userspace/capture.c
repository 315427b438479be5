/* SPDX-License-Identifier: MIT */
/*
 * capture: from libpcap's frames, of whatever link type, to UDP datagrams.
 * sluice-inspect only; one thread. The file is hostile.
 */
#include <errno.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"

enum {
	ETHERTYPE_VLAN = 0x8100,
	ETHERTYPE_QINQ = 0x88a8,
	VLAN_TAG_LEN = 4,
	VLAN_TAGS_MAX = 4,
	/* An IP packet of 65,535 bytes behind the longest link header, and room for what is behind it. */
	FRAME_MAX = 128 * 1024,
};

/* How a link type's header is to be passed over. */
struct link_type {
	int dlt;
	uint8_t header_len;
	int8_t ethertype_at;       /* -1: none, IP follows at once; its version says which */
};

static const struct link_type link_types[] = {
	{ DLT_EN10MB, 14, 12 },
	{ DLT_LINUX_SLL, 16, 14 },
	{ DLT_LINUX_SLL2, 20, 0 },
	{ DLT_NULL, 4, -1 },       /* an address family in the byte order of the machine that wrote it */
	{ DLT_LOOP, 4, -1 },
	{ DLT_RAW, 0, -1 },
	{ DLT_IPV4, 0, -1 },
	{ DLT_IPV6, 0, -1 },
};

struct capture {
	pcap_t *pcap;
	const struct link_type *link;
	uint8_t frame[FRAME_MAX];
};

static const struct link_type *link_type_find(int dlt)
{
	for (size_t i = 0; i < sizeof(link_types) / sizeof(link_types[0]); i++) {
		if (link_types[i].dlt == dlt)
			return &link_types[i];
	}
	return NULL;
}

static const char *link_type_name(int dlt)
{
	const char *name = pcap_datalink_val_to_name(dlt);

	return name ? name : "unknown";
}

/* Takes the pcap and its stream over, also on failure. */
static struct capture *capture_new(pcap_t *pcap, char *error, size_t error_size)
{
	const struct link_type *link = link_type_find(pcap_datalink(pcap));
	struct capture *capture;

	if (!link) {
		snprintf(error, error_size, "link type %s (%d) is none of Ethernet, Linux cooked, loopback, raw IP",
			 link_type_name(pcap_datalink(pcap)), pcap_datalink(pcap));
		goto err_pcap;
	}
	capture = calloc(1, sizeof(*capture));
	if (!capture) {
		snprintf(error, error_size, "%s", strerror(ENOMEM));
		goto err_pcap;
	}
	capture->pcap = pcap;
	capture->link = link;
	return capture;

err_pcap:
	pcap_close(pcap);
	return NULL;
}

/* A name is opened here and not by libpcap, whose messages repeat it in some cases only. */
struct capture *capture_open(const char *path, char *error, size_t error_size)
{
	FILE *stream = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");

	if (!stream) {
		snprintf(error, error_size, "%s", strerror(errno));
		return NULL;
	}
	return capture_open_stream(stream, error, error_size);
}

struct capture *capture_open_stream(FILE *stream, char *error, size_t error_size)
{
	char pcap_error[PCAP_ERRBUF_SIZE] = "";
	pcap_t *pcap = pcap_fopen_offline(stream, pcap_error);

	if (!pcap) {
		snprintf(error, error_size, "%s", pcap_error);
		if (stream != stdin)
			fclose(stream);
		return NULL;
	}
	return capture_new(pcap, error, error_size);
}

void capture_close(struct capture *capture)
{
	if (!capture)
		return;
	pcap_close(capture->pcap);
	free(capture);
}

/* Offset of the IP header, or -1 when there is none. */
static int ip_offset(const struct capture *capture, uint32_t len)
{
	const struct link_type *link = capture->link;
	uint32_t at = link->header_len;
	const uint8_t *ethertype;

	if (len < at)
		return -1;
	if (link->ethertype_at < 0)
		return (int)at;
	ethertype = capture->frame + link->ethertype_at;
	for (int tags = 0; tags <= VLAN_TAGS_MAX; tags++) {
		switch (ethertype[0] << 8 | ethertype[1]) {
		case 0x0800:
		case 0x86dd:
			return (int)at;
		case ETHERTYPE_VLAN:
		case ETHERTYPE_QINQ:
			/* IEEE 802.1Q: tag control (16), and the type of what follows */
			if (len - at < VLAN_TAG_LEN)
				return -1;
			ethertype = capture->frame + at + 2;
			at += VLAN_TAG_LEN;
			break;
		default:
			return -1;
		}
	}
	return -1;
}

static uint32_t copy_frame(struct capture *capture, const struct pcap_pkthdr *header, const uint8_t *bytes)
{
	uint32_t kept = header->caplen < FRAME_MAX ? header->caplen : FRAME_MAX;
	uint32_t sent = header->len < FRAME_MAX ? header->len : FRAME_MAX;

	memcpy(capture->frame, bytes, kept);
	if (sent <= kept)
		return kept;
	memset(capture->frame + kept, 0, sent - kept);
	return sent;
}

static bool parse(struct capture *capture, const struct pcap_pkthdr *header, const uint8_t *bytes,
		  struct packet *packet)
{
	uint32_t len = copy_frame(capture, header, bytes);
	int at = ip_offset(capture, len);

	return at >= 0 && packet_parse_ip(packet, capture->frame, len, (uint16_t)at) == PACKET_UDP &&
	       /* of the zeros behind what was captured none may be an address */
	       header->caplen >= packet->l4_offset + 8u;
}

enum capture_verdict capture_next(struct capture *capture, struct packet *packet)
{
	struct pcap_pkthdr *header;
	const uint8_t *bytes;

	for (;;) {
		switch (pcap_next_ex(capture->pcap, &header, &bytes)) {
		case 1:
			if (parse(capture, header, bytes, packet))
				return CAPTURE_UDP;
			break;
		case PCAP_ERROR_BREAK:
			return CAPTURE_END;
		default:
			return CAPTURE_ERROR;
		}
	}
}

const char *capture_error(const struct capture *capture)
{
	return pcap_geterr(capture->pcap);
}
