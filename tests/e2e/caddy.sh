#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# caddy: Debian's caddy 2.6 (quic-go inside: connection IDs of 4 bytes, which
# can collide between backends) behind both names, and two kinds of client.
#
#                                         +--> relay1 -- a: caddy   a.test, a6.test
#   client: quicgo, gtlsclient -- relay0 relay
#                                         +--> relay2 -- b: caddy   b.test, b6.test
. "$(dirname "$0")/lib.sh"

need gtlsclient
need_quicgo
testbed_up
start_caddy a
start_caddy b

quicgo_answers() {
	local body

	body=$(in_ns client "$QUICGO" get -ca "$WORK/ca.pem" "$(target "$1")") || return
	echo "expected '$2', got '$body'"
	[ "$body" = "$2" ]
}

# Several requests at once, on connections of their own.
all_answer() {
	local jobs=() host pid

	for host in a.test b.test a6.test b6.test a.test b.test a6.test b6.test; do
		quicgo_answers $host "$(body_of $host)" &
		jobs+=($!)
	done
	for pid in "${jobs[@]}"; do
		wait "$pid" || return
	done
}

for path in kernel userspace; do
	[ -z "$relay_pid" ] || check "$path: the relay before stops clean" relay_stop_clean
	relay_config $path | relay_start
	for host in a.test b.test a6.test b6.test; do
		check "$path: quic-go gets $host" quicgo_answers $host "$(body_of $host)"
		check "$path: ngtcp2 gets $host" answers $host "$(body_of $host)"
	done
	check "$path: eight clients at once" all_answer
	[ -z "$DIRECT" ] || break
done
finish
