/* SPDX-License-Identifier: MIT */
/* families_bench: see families_bench.h. */
#include "families_bench.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

struct bench *families_open(void)
{
	struct bench *bench = bench_open(64);
	struct addr listener = plain_addr(LISTENER6), relay = plain_addr(RELAY6);

	plain_backend(&bench->state, SIX, BACKEND6, 7003, TO_BACKENDS, 1);
	bench->state.relay_addresses[1].address = relay;
	assert_int_equal(endpoint_add(&bench->state, ENDPOINT_QUIC, &listener, htons(443), 0, 0), 0);
	assert_int_equal(endpoint_add(&bench->state, ENDPOINT_RELAY, &relay, 0, 0, 1), 0);
	bench_route(bench, "six.test", 1, (const uint32_t[]){ SIX });
	return bench;
}

bool is_v6(const char *address)
{
	return strchr(address, ':');
}

void from_any(struct bench *bench, const char *client, const void *payload, size_t len)
{
	send_flow(bench, &(struct udp_flow){ .src = client, .src_port = CLIENT_PORT, .dst_port = 443,
					     .dst = is_v6(client) ? LISTENER6 : LISTENER }, payload, len);
}

void assert_sent(const struct bench *bench, const char *src, uint16_t src_port, const char *dst, uint16_t dst_port,
		 const void *payload, size_t len)
{
	const struct packet *packet = &bench->out[0].packet;
	struct addr from = plain_addr(src), to = plain_addr(dst);

	assert_int_equal(bench->outputs, 1);
	assert_int_equal(packet->v4, !is_v6(dst));
	assert_true(addr_equal(&packet->src, &from));
	assert_true(addr_equal(&packet->dst, &to));
	if (src_port)
		assert_int_equal(packet->src_port_be, htons(src_port));
	if (dst_port)
		assert_int_equal(packet->dst_port_be, htons(dst_port));
	assert_int_equal(packet->payload_len_bytes, len);
	assert_memory_equal(packet_payload(packet), payload, len);
}

void assert_too_big(const struct bench *bench, const char *from, const char *to, unsigned interface, unsigned mtu)
{
	const struct output *out = &bench->out[0];
	const uint8_t *ip = out->bytes + 14;
	struct addr src = plain_addr(from), dst = plain_addr(to);

	assert_int_equal(bench->outputs, 1);
	assert_true(out->icmp);
	assert_int_equal(out->interface, interface);
	if (is_v6(from)) {
		assert_memory_equal(ip + 8, src.bytes, 16);
		assert_memory_equal(ip + 24, dst.bytes, 16);
		assert_int_equal(ip[40], 2);
		assert_int_equal(ip[46] << 8 | ip[47], mtu);
	} else {
		assert_memory_equal(ip + 12, src.bytes + 12, 4);
		assert_memory_equal(ip + 16, dst.bytes + 12, 4);
		assert_int_equal(ip[20] << 8 | ip[21], 3 << 8 | 4);
		assert_int_equal(ip[26] << 8 | ip[27], mtu);
	}
}
