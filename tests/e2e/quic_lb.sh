#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# quic_lb: transfers that go on where no relay knows them: one starts anew
# without its tables, and packets move to another that has never seen the
# connection. Nothing is shared but the configuration of the connection IDs.
#
# Topology: edge.bash, with lb_server as a.test. 16 Mbit/s: transfers last two seconds.
. "$(dirname "$0")/edge.bash"

[ -z "$DIRECT" ] || skip "needs relays"
need gtlsclient tc
need_peer lb_server
testbed_up
make_documents a
head -c 4000000 /dev/urandom >"$WORK/a.htdocs/big"
cp "$WORK/a.htdocs/big" "$WORK/slow"

upload_arrives() {
	local expected

	expected=$(length_and_sum "$WORK/slow")
	edge_ends || return
	echo "expected '$expected', got '$(cat "$WORK/answer/index.html")'"
	[ "$(cat "$WORK/answer/index.html")" = "$expected" ]
}

kill_relay() {
	kill -KILL "$relay_pid"
	wait "$relay_pid" 2>/dev/null
	relay_pid=""
	"$RELAY" --detach -n "$INSTANCE"
}

start() {
	{ relay_config "$path"; quic_lb_config; } | relay_start
}

# In the middle of an upload the relay dies, and its tables are taken down: the next one knows nothing.
restart_without_tables() {
	local before=$(($(forwarded kernel) + $(forwarded worker)))

	edge_begin upload /index.html -m POST -d "$WORK/slow"
	under_way $before || return
	kill_relay
	start
	alive "$transfer_pid" || { echo "it was over before"; return 1; }
	upload_arrives || return
	relay_drops
	[ "$(relay_counter worker_sessions_opened)" = 1 ] && [ "$(relay_counter worker_quic_lb_sessions_opened)" = 1 ]
}

# --- the second relay

upload_moves() {
	local before=$(($(forwarded kernel) + $(forwarded worker)))

	edge_begin upload /index.html -m POST -d "$WORK/slow"
	under_way $before || return
	to_second
	upload_arrives || { second_says; return 1; }
	[ "$(second_counter worker_quic_lb_sessions_opened)" = 1 ]
}

# What the server sends goes through the first relay until it has heard the client from the second. That the second's
# kernel forwards most shows that the session was confirmed there.
download_moves() {
	local before=$(($(forwarded kernel) + $(forwarded worker)))

	edge_begin download /big
	under_way $before || return
	to_second
	download_arrives || { second_says; return 1; }
	echo "the second relay's kernel sent $(second_counter kernel_to_client_packets) packets to the client," \
		"its workers $(second_counter worker_to_client_packets)"
	[ "$(second_counter worker_quic_lb_sessions_opened)" = 2 ] || return
	[ "$path" = userspace ] || [ "$(second_counter kernel_to_client_packets)" -gt 500 ]
}

limit_clients
throttle a 16mbit
for path in kernel userspace; do
	[ -z "$relay_pid" ] || check "$path: the relay before stops clean" relay_stop_clean
	start_lb_server a -c "lb:2:ed793a51d49b8f5f:8:$QUIC_LB_KEY"
	server=$spawned_pid
	start
	check "$path: an upload goes on after kill -9, --detach and a new start" restart_without_tables
	second_start
	check "$path: an upload goes on through a relay that has never seen it" upload_moves
	back_to_first
	check "$path: so does a download, and that relay takes it for confirmed" download_moves
	back_to_first
	stop_pid "$second_pid"
	stop_pid "$server"
done
finish
