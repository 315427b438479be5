#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# families: an IPv4 client reaches a server by IPv6, and an IPv6 client one by
# IPv4, on either fast path; and a datagram that the way out does not take is
# answered by ICMP.
#
#                            IPv4                  IPv6
#   client: gtlsclient -- relay0 relay --> relay1 -- a: gtlsserver   a.test
#                            IPv6                  IPv4
#                         relay0 relay --> relay1 -- a               a6.test
#   (b likewise, with a Retry for each)
. "$(dirname "$0")/lib.sh"

need gtlsclient tcpdump
[ -z "$DIRECT" ] || skip "nothing translates between the families without a relay"
testbed_up
start_gtlsserver a
start_gtlsserver b -V
make_big a

# crossed_config FAST_PATH: each name's backend is of the other family than the name.
crossed_config() {
	cat <<-YAML
		udp: {port: $PORT}
		fast_path: $1
		relay: {run_dir: $WORK/run}
		routes:
		  - {fqdn: a.test, type: simple, target: "[${V6[a]}]:$BACKEND_PORT"}
		  - {fqdn: b.test, type: simple, target: "[${V6[b]}]:$BACKEND_PORT"}
		  - {fqdn: a6.test, type: simple, target: "${V4[a]}:$BACKEND_PORT"}
		  - {fqdn: b6.test, type: simple, target: "${V4[b]}:$BACKEND_PORT"}
	YAML
}

retried() {
	answers "$1" b.test && in_client_log 'pkt rx .* type=Retry'
}

rebound() {
	answers "$1" a.test --change-local-addr=20ms --nat-rebinding --delay-stream=60ms
}

# No packet went out in the family that it came in, so whatever arrived was translated.
nothing_untranslated() {
	local n

	stop_capture "$1"
	n=$(captured "$1" "$2")
	echo "$n packets of the client's family at the backend, $(captured "$1" "$3") of the other"
	[ "$n" = 0 ] && [ "$(captured "$1" "$3")" -gt 0 ]
}

too_big() {
	relay_counter worker_too_big_sent
}

# told FILTER MTU: the client got this ICMP error, with this MTU in it.
told() {
	tcpdump -nvr "$WORK/too_big.pcap" "$1" 2>/dev/null | tee "$WORK/log/told"
	grep -q "mtu $2" "$WORK/log/told"
}

for path in kernel userspace; do
	[ -z "$relay_pid" ] || check "$path: the relay before stops clean" relay_stop_clean
	crossed_config $path | relay_start
	start_capture "a-$path" a a0 -c 2000 "udp port $BACKEND_PORT"
	check "$path: IPv4 client, IPv6 backend" answers a.test a.test
	check "$path: all of it is IPv6 at the backend" nothing_untranslated "a-$path" ip ip6
	start_capture "a6-$path" a a0 -c 2000 "udp port $BACKEND_PORT"
	check "$path: IPv6 client, IPv4 backend" answers a6.test a.test
	check "$path: all of it is IPv4 at the backend" nothing_untranslated "a6-$path" ip6 ip
	check "$path: IPv4 client, IPv6 backend, through its Retry" retried b.test
	check "$path: IPv6 client, IPv4 backend, through its Retry" retried b6.test
	check "$path: IPv4 client's port changes" rebound a.test
	check "$path: IPv6 client's port changes" rebound a6.test
	transfers $path a.test "4 to 6"
	transfers $path a6.test "6 to 4"
done

# Clients probe for more than 1,300 bytes; the way to the backends takes no more.
check "the relay before stops clean" relay_stop_clean
in_ns relay ip route add "${V4[a]}/32" dev relay1 mtu 1300 || bail "IPv4 route"
in_ns relay ip route add "${V6[a]}/128" dev relay1 mtu 1300 || bail "IPv6 route"
crossed_config kernel | relay_start
start_capture too_big client cl0 'icmp or icmp6'
check "egress MTU 1300: IPv4 client, IPv6 backend: 20 MB upload is accepted" big_upload a.test
check "egress MTU 1300: IPv6 client, IPv4 backend: 20 MB upload is accepted" big_upload a6.test
check "egress MTU 1300: datagrams were dropped for it" test "$(relay_counter worker_drop_egress_mtu)" -gt 0
check "egress MTU 1300: each client was answered" test "$(too_big)" -ge 2
stop_capture too_big
check "egress MTU 1300: the IPv4 client is told of 20 bytes less" told 'icmp[0] == 3 and icmp[1] == 4' 1280
check "egress MTU 1300: the IPv6 client is told of 20 bytes more" told 'icmp6 and ip6[40] == 2' 1320
finish
