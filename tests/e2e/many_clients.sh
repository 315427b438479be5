#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# many_clients: 200 clients with zero-length connection IDs at once, each with
# a socket of its own and data of its own. What a backend sends them carries
# nothing to tell them apart by but the relay's port: each must have its own.
#
#   client: 200 sockets -- relay0 relay relay1 -- a: quicgo   a.test, a6.test
. "$(dirname "$0")/lib.sh"

need_quicgo
testbed_up
start_quicgo a

clients() {
	in_ns client "$QUICGO" many -n 200 -ca "$WORK/ca.pem" "$(target "$1")"
}

# The backend saw as many addresses as there were connections.
own_ports() {
	local all distinct

	all=$(grep -c accepted "$WORK/log/quicgo-a")
	distinct=$(sort -u "$WORK/log/quicgo-a" | grep -c accepted)
	echo "$all connections from $distinct addresses"
	[ "$all" -ge 200 ] && [ "$all" = "$distinct" ]
}

for path in kernel userspace; do
	[ -z "$relay_pid" ] || check "$path: the relay before stops clean" relay_stop_clean
	{
		relay_config $path
		echo "limits: {new_sessions_per_s_per_source: 10000}"
	} | relay_start
	: >"$WORK/log/quicgo-a"
	check "$path: each of 200 clients gets what it sent, IPv4" clients a.test
	check "$path: and has a relay port of its own" own_ports
	check "$path: each of 200 clients gets what it sent, IPv6" clients a6.test
	[ -z "$DIRECT" ] || break
done
finish
