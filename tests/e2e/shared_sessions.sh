#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# shared_sessions: transfers that go on through a relay that has never seen them,
# with nothing shared but Redis; and what a flood of made-up connection IDs costs it.
#
# Topology: edge.bash, with gtlsserver as a.test; and between the relays a network of
# their own for Redis:
#
#   relay: redis-server, sluice-control   10.83.9.1 -- 10.83.9.2   relay2: sluice-control
#
# 16 Mbit/s: transfers last two seconds.
. "$(dirname "$0")/edge.bash"

[ -z "$DIRECT" ] || skip "needs relays"
need gtlsclient tc redis-server redis-cli curl jq
testbed_up
start_gtlsserver a
head -c 4000000 /dev/urandom >"$WORK/a.htdocs/big"
SECOND_RUN=$WORK/run2
mkdir -p "$SECOND_RUN" "$WORK/redis"

redis_network() {
	local relay=$TESTBED-relay

	ip -n "$relay" link add redis0 type veth peer name redis1 netns "$relay"2 &&
		ip -n "$relay" address add 10.83.9.1/24 dev redis0 && ip -n "$relay" link set redis0 up &&
		ip -n "$relay"2 address add 10.83.9.2/24 dev redis1 && ip -n "$relay"2 link set redis1 up
}
redis_network || bail "a network for Redis"

redis_start() {
	spawn redis relay redis-server --port 6379 --bind 10.83.9.1 --protected-mode no --save '' --appendonly no \
		--dir "$WORK/redis"
	redis_pid=$spawned_pid
	wait_for "redis-server answers" 10 redis PING
}

redis() {
	in_ns relay redis-cli -h 10.83.9.1 "$@" | grep .
}

start() {
	relay_config "$path" | sed '$a redis: {enabled: true, address: "10.83.9.1:6379", sessions: true}' | relay_start
	control_start
	sed "s|run_dir: $WORK/run|run_dir: $SECOND_RUN|" "$WORK/config.yaml" >"$WORK/second.yaml"
	second_start "$WORK/second.yaml"
	spawn control2 relay2 "$CONTROL" -f "$WORK/second.yaml" -n "$SECOND_INSTANCE"
	control2_pid=$spawned_pid
	wait_for "both know Redis" 10 both_know_redis || bail "both know Redis"
}

both_know_redis() {
	grep -q "redis: connected" "$WORK/log/control" && grep -q "redis: connected" "$WORK/log/control2" &&
		grep -q "connected to relay" "$WORK/log/control" && grep -q "connected to relay" "$WORK/log/control2"
}

stop() {
	stop_pid "$control_pid"
	stop_pid "$control2_pid"
	stop_pid "$second_pid"
}

# second_metric NAME
second_metric() {
	in_ns relay2 curl -sS -m 5 http://127.0.0.1:8080/metrics | awk -v name="$1" '$1 == name { print $2 }'
}

keys() {
	redis --raw KEYS 'sluice:cid:*' | sort
}

has_more_keys() {
	[ "$(keys | wc -l)" -gt "$1" ]
}

# moves FIRST-OPTIONS...: a transfer that is moved to the second relay; before the move its connection IDs are in Redis.
moves() {
	local before=$(($(forwarded kernel) + $(forwarded worker))) keys opened

	keys=$(keys | wc -l)
	opened=$(second_counter worker_shared_sessions_opened)
	edge_begin "$@"
	under_way $before || return
	wait_for "its connection ID is in Redis" 5 has_more_keys "$keys" || return
	"$move"
	"$arrives" || { second_says; return 1; }
	echo "the second relay's kernel sent $(second_counter kernel_to_client_packets) packets to clients," \
		"its workers $(second_counter worker_to_client_packets)"
	[ "$(second_counter worker_shared_sessions_opened)" = $((opened + 1)) ]
}

upload_arrives() {
	edge_ends && grep -q ':status: 200' "$WORK/log/upload"
}

# The relay is gone, with all it knew; the route leads to the other.
dies() {
	kill -KILL "$relay_pid"
	wait "$relay_pid" 2>/dev/null
	relay_pid=""
	"$RELAY" --detach -n "$INSTANCE"
	to_second
}

kernel_took_over() {
	[ "$path" = userspace ] || [ "$(second_counter kernel_to_client_packets)" -gt 500 ]
}

# An entry leads to the server, and does not stay for longer than the session would.
entry_is_right() {
	local key ttl

	key=$(keys | head -1)
	ttl=$(redis TTL "$key")
	echo "$key $(redis GET "$key") $ttl s"
	[[ $(redis GET "$key") =~ ^"${V4[a]}:$BACKEND_PORT route="[0-9a-f]{8}$ ]] && [ "$ttl" -gt 0 ] && [ "$ttl" -le 180 ]
}

# Made-up IDs, 30,000 datagrams from 100 sockets in about a second: few are asked for, no session is opened.
flood() {
	local seconds asked opened

	opened=$(second_counter worker_sessions_opened)
	SECONDS=0
	in_ns client python3 - "$(address_of a.test)" "$PORT" <<-'PYTHON'
		import os, socket, sys
		sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(100)]
		for i in range(30000):
		    sockets[i % 100].sendto(b"\x43" + os.urandom(59), (sys.argv[1], int(sys.argv[2])))
	PYTHON
	seconds=$((SECONDS + 1))
	asked=$(second_counter worker_cid_questions)
	echo "asked $asked times in $seconds s, not asked $(second_counter worker_cid_questions_limited) times, dropped" \
		"$(second_counter worker_drop_unknown_cid); Redis: $(redis INFO commandstats | grep mget)"
	[ "$asked" -gt 0 ] && [ "$asked" -le $((200 * (seconds + 1))) ] &&
		[ "$(second_counter worker_sessions_opened)" = "$opened" ] &&
		[ "$(second_counter worker_drop_unknown_cid)" -ge 29000 ]
}

# Redis dies in the middle: nobody notices, and when it is back, empty, it hears of the session again.
redis_comes_back_empty() {
	local before=$(($(forwarded kernel) + $(forwarded worker)))

	edge_begin download /big
	under_way $before || return
	stop_pid "$redis_pid"
	redis_start || return
	wait_for "the session is in Redis again" 5 has_more_keys 0 || return
	alive "$transfer_pid" || { echo "it was over before"; return 1; }
	download_arrives
}

first_api() {
	in_ns relay curl -sS -m 5 "$@"
}

drops_more() {
	[ "$(relay_counter worker_drop_unknown_cid)" -gt "$1" ]
}

# The operator ends it: what Redis still holds of it does not open it again.
ended_stays_ended() {
	local before=$(($(forwarded kernel) + $(forwarded worker))) api=http://127.0.0.1:8080/sessions dropped keys id

	keys=$(keys | wc -l)
	edge_begin upload /index.html -m POST -d "$WORK/a.htdocs/big"
	under_way $before || return
	wait_for "its connection ID is in Redis" 5 has_more_keys "$keys" || return
	dropped=$(relay_counter worker_drop_unknown_cid)
	for id in $(first_api "$api" | jq -r '.sessions[].id'); do
		first_api -X DELETE "$api/$id"
	done
	wait_for "its packets are dropped" 5 drops_more $((dropped + 3)) || return
	kill "$transfer_pid"
	[ "$(relay_counter worker_shared_sessions_opened)" = 0 ]
}

limit_clients
throttle a 16mbit
redis_start || bail "redis-server starts"
for path in kernel userspace; do
	[ -z "$relay_pid" ] || check "$path: the relay before stops clean" relay_stop_clean
	start
	move=to_second arrives=download_arrives
	check "$path: a download goes on through a relay that has never seen it" moves download /big
	check "$path: that relay takes it for confirmed" kernel_took_over
	check "$path: what Redis holds of it" entry_is_right
	back_to_first
	arrives=upload_arrives
	check "$path: so does an upload" moves upload /index.html -m POST -d "$WORK/a.htdocs/big"
	check "$path: a flood of made-up IDs asks Redis for few of them" flood
	back_to_first
	check "$path: a session that the operator ends does not come back" ended_stays_ended
	check "$path: Redis is killed and comes back empty in the middle of a download" redis_comes_back_empty
	move=dies
	check "$path: an upload goes on when its relay dies" moves upload /index.html -m POST -d "$WORK/a.htdocs/big"
	back_to_first
	stop
done
finish
