#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# one_socket: one UDP socket of the client carries connections to both
# backends, as quinn and quic-go applications do: they share a 4-tuple, and
# only connection IDs tell their packets apart (length 4 to 20). Uploads too:
# the server says the SHA-256 of what reached it.
#
#                                               +--> relay1 -- a: quicgo   a.test, a6.test
#   client: quicgo, ONE socket -- relay0 relay
#                                               +--> relay2 -- b: quicgo   b.test, b6.test
. "$(dirname "$0")/lib.sh"

need gtlsclient
need_quicgo
testbed_up

two_connections() {
	in_ns client "$QUICGO" client -timeout 10s -ca "$WORK/ca.pem" "$@"
}

server_a=""
server_b=""

# servers OPTIONS_A OPTIONS_B: both servers anew.
servers() {
	[ -z "$server_a" ] || { stop_pid "$server_a"; stop_pid "$server_b"; }
	# shellcheck disable=SC2086 # lists of options
	start_quicgo a $1
	server_a=$spawned_pid
	# shellcheck disable=SC2086
	start_quicgo b $2
	server_b=$spawned_pid
}

uploads() {
	local file="$WORK/upload" body expected

	head -c 20000000 /dev/urandom >"$file"
	gtls a.test / -q -m POST -d "$file" || return
	body=$(cat "$WORK/download/index.html")
	expected="a.test
$(length_and_sum "$file")"
	echo "expected '$expected', got '$body'"
	[ "$body" = "$expected" ]
}

for path in kernel userspace; do
	[ -z "$relay_pid" ] || check "$path: the relay before stops clean" relay_stop_clean
	relay_config $path | relay_start
	for length in 4 8 20; do
		servers "-cid-len $length" "-cid-len $length"
		check "$path: two backends, their CIDs of $length bytes" \
			two_connections "$(target a.test)" "$(target b.test)"
		check "$path: two connections to each, IPv6, CIDs of $length bytes" \
			two_connections "$(target a6.test)" "$(target b6.test)" "$(target a6.test)" "$(target b6.test)"
	done
	# The client takes up CIDs unseen before while neither connection has used one: the length tells.
	servers "-cid-len 8" "-cid-len 20"
	check "$path: two backends at once, their CIDs of 8 and 20 bytes" \
		two_connections -together "$(target a.test)" "$(target b.test)"
	check "$path: two connections to one backend at once, IPv6" \
		two_connections -together "$(target b6.test)" "$(target b6.test)"
	servers -h3 -h3
	check "$path: 20 MB upload arrives whole" uploads
	[ -z "$DIRECT" ] || break
done
finish
