#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# colliding_cids: two backends choose the same connection IDs of 4 bytes, 1, 2,
# 3, and so on. Nothing but a client's 4-tuple tells then which backend it
# means; no client may meet the other one's.
#
#                                              +--> relay1 -- a   a.test    quicgo -cid-sequence,
#   client: quicgo, gtlsclient -- relay0 relay                              then lb_server -c sequence:4
#            \- 16 Mbit/s for uploads          +--> relay2 -- b   b.test    both
. "$(dirname "$0")/lib.sh"

need gtlsclient tc
need_quicgo
need_peer lb_server
testbed_up
head -c 2000000 /dev/urandom >"$WORK/slow"

declare -A servers=() clients=()

# backends FUNCTION OPTION...: both servers anew, started alike.
backends() {
	local ns start=$1

	shift
	for ns in a b; do
		[ -z "${servers[$ns]:-}" ] || stop_pid "${servers[$ns]}"
		"$start" "$ns" "$@"
		servers[$ns]=$spawned_pid
	done
}

# 50 clients of each backend at once; each gets back, from its own, what only it sent.
many_of_each() {
	local host failed=0

	for host in a.test b.test; do
		spawn "many-$host" client "$QUICGO" many -n 50 -rounds 20 -ca "$WORK/ca.pem" "$(target $host)"
		clients[$host]=$spawned_pid
	done
	for host in a.test b.test; do
		wait "${clients[$host]}" || { failed=1; tail -n 20 "$WORK/log/many-$host"; }
	done
	return $failed
}

# post_begin NAME HOST [OPTION...]: an upload of some seconds, as log/client-NAME.
post_begin() {
	local name=$1 host=$2

	shift 2
	mkdir -p "$WORK/answer-$name"
	rm -f "$WORK/answer-$name"/*
	spawn "client-$name" client timeout 30 gtlsclient -q --no-quic-dump --no-http-dump --exit-on-all-streams-close \
		--timeout=3s --download="$WORK/answer-$name" -m POST -d "$WORK/slow" "$@" \
		"$host" "$PORT" "https://$host/index.html"
	clients[$name]=$spawned_pid
}

# post_end NAME: the server says what reached it.
post_end() {
	local expected answer

	wait "${clients[$1]}" || { echo "$1: status $?"; return 1; }
	answer=$(cat "$WORK/answer-$1/index.html")
	expected=$(length_and_sum "$WORK/slow")
	echo "$1: expected '$expected', got '$answer'"
	[ "$answer" = "$expected" ]
}

# opened NS: the first connection IDs of the server's connections.
opened() {
	sed -n 's/^opened connection=\([^ ]*\).*/\1/p' "$WORK/log/lb_server-$1" | tr '\n' ' '
}

has_opened() {
	[ "$(opened "$1")" = "$2" ]
}

# Neither server has got a packet of the other's client: for a connection that it does not have, or under other keys.
nobody_misrouted() {
	local ns

	for ns in a b; do
		! grep -E '^unknown|could not decrypt' "$WORK/log/lb_server-$ns" || { echo "^ at $ns"; return 1; }
	done
}

# three_clients OPTION...: 00000001 of each backend, and beside them 00000008 of b with these options (lb_server gives
# each connection seven).
three_clients() {
	post_begin a1 a.test
	post_begin b1 b.test
	wait_for "both have opened connection 1" 10 both_have_one || return
	post_begin b8 b.test "$@"
	wait_for "b has opened connection 8" 10 has_opened b '00000001 00000008 '
}

both_have_one() {
	has_opened a '00000001 ' && has_opened b '00000001 '
}

all_arrive() {
	post_end a1 && post_end b1 && post_end b8 && nobody_misrouted
}

one_rebinds() {
	three_clients --change-local-addr=300ms --nat-rebinding && all_arrive && grep ^validated "$WORK/log/lb_server-b"
}

# With two ports, a client that changes its own takes up one on which the relay knows a session of the other backend.
rebinds_onto_known() {
	gtls b.test / --change-local-addr=20ms --nat-rebinding --delay-stream=60ms || return
	post_begin a a.test --change-local-addr=300ms --nat-rebinding
	post_end a && nobody_misrouted && grep '^validated' "$WORK/log/lb_server-a"
}

# Below 8 bytes a known 4-tuple decides and not the connection ID, which a client of the other backend may have taken up
# as well (docs/lookup.md): what comes from there goes where that 4-tuple's connection went, and is nobody's. This
# transfer ends; the next connections, to either backend, do not notice.
short_id_stays_with_4tuple() {
	gtls b.test / --change-local-addr=20ms --nat-rebinding --delay-stream=60ms || return
	post_begin a a.test --change-local-addr=300ms --nat-rebinding
	! post_end a || { echo "the client moved"; return 1; }
	grep '^unknown' "$WORK/log/lb_server-b" && ! grep '^unknown' "$WORK/log/lb_server-a" &&
		answers a.test a.test && answers b.test b.test
}

# Whose 00000001 it is nothing can tell at an address that the relay does not know: it belongs to nobody.
ambiguous_is_dropped() {
	local before

	before=$(ambiguous_drops)
	post_begin a1 a.test
	wait_for "a has opened connection 1" 10 has_opened a '00000001 ' || return
	post_begin b1 b.test --change-local-addr=300ms --nat-rebinding
	post_end a1 || return
	wait "${clients[b1]}"
	has_opened b '00000001 ' && nobody_misrouted && [ "$(ambiguous_drops)" -gt "$before" ]
}

ambiguous_drops() {
	echo $(($(relay_counter kernel_drop_ambiguous_4tuple) + $(relay_counter worker_drop_ambiguous_4tuple)))
}

# A second connection on a 4-tuple, to another backend that happens to choose the same connection ID.
same_id_on_one_4tuple() {
	answers a.test a.test && has_opened a '00000001 ' || return
	answers b.test b.test --handshake-timeout=2s && has_opened b '00000001 ' && nobody_misrouted
}

set_ports() {
	in_ns client sysctl -qw net.ipv4.ip_local_port_range="$1 $2"
}

# relay_anew PATH: one that knows no session, for each part: connection IDs begin at 1 again.
relay_anew() {
	{
		relay_config "$1"
		echo "limits: {new_sessions_per_s_per_source: 10000}"
	} | relay_restart
}

# collisions PATH: what nothing but the 4-tuple can tell apart.
collisions() {
	relay_anew "$1"
	backends start_lb_server -v -c sequence:4
	check "$1: a CID of two sessions, from an unknown 4-tuple, is nobody's" ambiguous_is_dropped

	relay_anew "$1"
	backends start_lb_server -v -c sequence:4
	set_ports 50000 50000
	check "$1: the same CID of two sessions of one 4-tuple is the newest one's" same_id_on_one_4tuple

	relay_anew "$1"
	backends start_lb_server -v -c random:4
	set_ports 50000 50001
	check "$1: a CID of 4 bytes of another session, from a known 4-tuple: the 4-tuple decides" \
		short_id_stays_with_4tuple
	set_ports 32768 60999
}

for path in kernel userspace; do
	relay_anew $path
	backends start_quicgo -cid-sequence
	check "$path: 50 clients of each backend get what they sent" many_of_each

	limit_clients
	relay_anew $path
	backends start_lb_server -v -c sequence:4
	check "$path: one of three clients rebinds, its CID its own: every upload arrives" one_rebinds

	set_ports 50000 50001
	backends start_lb_server -v -c random:18
	check "$path: a client rebinds onto a 4-tuple of the other backend, its CID of 18 bytes" rebinds_onto_known
	set_ports 32768 60999
	[ -n "$DIRECT" ] || collisions $path
	unlimit_clients
	[ -z "$DIRECT" ] || break
done
finish
