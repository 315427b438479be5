#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# host_undisturbed: the relay's machine goes on as any host while XDP is
# attached: ping, fragments, ARP and neighbour discovery, TCP on the relay's
# own port number, UDP on other ports, and what the machine itself asks of
# others (from ephemeral ports, which must not be taken for relay ports).
#
#   client: asks -- relay0 relay: echo on TCP 443, TCP 80, UDP 53
#                          relay1 -- a: gtlsserver, echo on UDP 53
. "$(dirname "$0")/lib.sh"

need gtlsclient ping python3
echo_peer="$TOP/tests/peers/echo.py"
testbed_up
start_gtlsserver a
spawn echo-relay relay python3 "$echo_peer" serve tcp:443 tcp:80 udp:53
wait_udp relay 53 "echo in relay"
spawn echo-a a python3 "$echo_peer" serve udp:53 tcp:80
wait_udp a 53 "echo in a"

pings() {
	in_ns "$@" -n -c 3 -i 0.05 -W 2
}

neighbours_afresh() {
	ip -n "$TESTBED-client" neigh flush dev cl0
	ip -n "$TESTBED-relay" neigh flush dev relay0
	pings client ping 10.83.1.1 && pings client ping fd00:83:1::1
}

asks() {
	local ns=$1

	shift
	in_ns "$ns" python3 "$echo_peer" ask "$@"
}

host_works() {
	check "$1: ping, IPv4" pings client ping 10.83.1.1
	check "$1: ping, IPv6" pings client ping fd00:83:1::1
	check "$1: ping in fragments, IPv4" pings client ping -s 4000 10.83.1.1
	check "$1: ping in fragments, IPv6" pings client ping -s 4000 fd00:83:1::1
	check "$1: ARP and neighbour discovery" neighbours_afresh
	check "$1: TCP to port 443" asks client tcp 10.83.1.1 443
	check "$1: TCP to port 80, IPv6" asks client tcp fd00:83:1::1 80
	check "$1: UDP to port 53" asks client udp 10.83.1.1 53
	check "$1: UDP to port 53, IPv6" asks client udp fd00:83:1::1 53
	check "$1: the machine's own ping to a backend" pings relay ping 10.83.2.2
	check "$1: the machine's own UDP to a backend, 64 ports" asks relay udp 10.83.2.2 53 64
	check "$1: the machine's own TCP to a backend" asks relay tcp fd00:83:2::2 80
}

for path in kernel userspace; do
	[ -z "$relay_pid" ] || check "$path: the relay before stops clean" relay_stop_clean
	relay_config $path | relay_start
	check "$path: QUIC is relayed" answers a.test a.test
	host_works $path
	check "$path: QUIC is still relayed" answers a.test a.test
	[ -z "$DIRECT" ] || break
done
if [ -z "$DIRECT" ]; then
	check "stops clean" relay_stop_clean
	check "after the relay: ping" pings client ping 10.83.1.1
	check "after the relay: TCP to port 443" asks client tcp 10.83.1.1 443
fi
finish
