#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# agones: clients of a fleet, whose game servers Agones' allocator gives (a
# stand-in that speaks its REST contract over mutual TLS); and POST /allocate.
#
#   client -- relay0 sluice-relay, sluice-control, allocator.py
#                                        +--> relay1 -- a: gtlsserver   game server gs-a
#                                        +--> relay2 -- b: gtlsserver   game server gs-b
. "$(dirname "$0")/lib.sh"

need gtlsclient curl jq python3
[ -z "$DIRECT" ] || skip "there is nothing to allocate without a relay"
[ -x "$BUILD/tests/initials" ] || skip "build/tests/initials is not built"
TARGET_A=${V4[a]}:$BACKEND_PORT TARGET_B=${V4[b]}:$BACKEND_PORT

testbed_up
echo "10.83.1.1 one.fleet.test gs-a.games.test g.slow.test" >>"/etc/netns/$TESTBED-client/hosts"
start_gtlsserver a
start_gtlsserver b
make_big a

certify_allocator() {
	(
		set -e
		cd "$WORK"
		for ca in allocator-ca other-ca; do
			openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$ca" \
				-keyout $ca.key -out $ca.pem
		done
		while read -r name ca alt; do
			openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" \
				-keyout "$name.key" -out "$name.csr"
			openssl x509 -req -in "$name.csr" -CA "$ca.pem" -CAkey "$ca.key" -CAcreateserial -days 2 \
				-extfile <(echo "subjectAltName=$alt") -out "$name.pem"
		done <<-LEAVES
			allocator allocator-ca IP:127.0.0.1
			impostor other-ca IP:127.0.0.1
			edge allocator-ca DNS:edge.test
		LEAVES
	) >"$WORK/log/openssl-allocator" 2>&1
}
certify_allocator || bail "certificates"

# Room for many players at a, one at b.
spawn allocator relay python3 "$TOP/tests/peers/allocator.py" --ready "$WORK/allocator.ready" --cert "$WORK/allocator.pem" \
	--key "$WORK/allocator.key" --client-ca "$WORK/allocator-ca.pem" "fleet=gs-a@$TARGET_A/100" "one=gs-b@$TARGET_B"
allocator_pid=$spawned_pid
wait_for "the allocator is ready" 10 test -s "$WORK/allocator.ready" || bail "the allocator starts"
read -r allocator_port steering_port <"$WORK/allocator.ready"

tell() {
	in_ns relay curl -sS --fail -o /dev/null -X POST "http://127.0.0.1:$steering_port/$1"
}
count() {
	in_ns relay curl -sS --fail "http://127.0.0.1:$steering_port/_count" | jq ".$1"
}

relay_config kernel "{fqdn: '*.fleet.test', type: agones, target: fleet}" >"$WORK/config"
cat >>"$WORK/config" <<YAML
limits: {new_sessions_per_s_per_source: 5000}
agones: {enabled: true, allocator_host: "127.0.0.1:$allocator_port", allocator_ca_cert: $WORK/allocator-ca.pem,
         allocator_client_cert: $WORK/edge.pem, allocator_client_key: $WORK/edge.key}
YAML
relay_start <"$WORK/config"
control_start
check "it is connected" wait_for "connected" 5 is_ready

# --- POST /allocate ----------------------------------------------------------------------------------

check "Porter's POST /allocate, as curl -d sends it" says 200 '. == {fqdn: "gs-a.games.test", name: "gs-a"}' \
	POST /allocate -d '{"fleet":"fleet","domain":"games.test"}'
check "its route is there" says 200 '.target == "'"$TARGET_A"'" and .origin == "allocated"' GET /routes/gs-a.games.test
check "and serves" answers gs-a.games.test a.test
check "a fleet's only place" says 200 '.name == "gs-b"' POST /allocate -d '{"fleet":"one","domain":"games.test"}'
tell "_behave?mode=status&value=429"
check "no server is free" expect 429 POST /allocate -d '{"fleet":"one","domain":"games.test"}'
tell _reset
for body in '{"fleet":"fleet"}' '{"domain":"games.test"}' '{"fleet":"a b","domain":"games.test"}' \
	'{"fleet":"fleet","domain":"*.test"}' '{"fleet":"fleet","domain":""}' '[]' '{"fleet":1,"domain":"games.test"}'; do
	check "refused: $body" expect 400 POST /allocate -d "$body"
done
nothing_asked() {
	[ "$(count requests)" = 0 ]
}
check "nothing of that was asked of Agones" nothing_asked

# --- clients of a fleet ------------------------------------------------------------------------------

client_gets_one_server() {
	local before

	before=$(count allocations)
	answers one.fleet.test a.test || return
	echo "$(count allocations) allocations, $before before"
	[ "$(count allocations)" = $((before + 1)) ]
}
check "a client of an agones route gets a server: one allocation" client_gets_one_server
tell "_behave?mode=delay&value=1.5&times=1"
check "its first flight waits for a slow allocator" client_gets_one_server

thousand_initials() {
	local before opened

	before=$(count allocations)
	opened=$(relay_counter worker_sessions_opened)
	in_ns client "$BUILD/tests/initials" 10.83.1.1 "$PORT" many.fleet.test 1000 || return
	wait_for "900 of them have sessions" 10 sessions_opened_since "$opened" 900 || return
	echo "$(count allocations) allocations, $before before; $(relay_counter worker_sessions_opened) sessions, $opened before"
	[ "$(count allocations)" = $((before + 1)) ]
}
sessions_opened_since() {
	[ "$(relay_counter worker_sessions_opened)" -ge $(($1 + $2)) ]
}
tell "_behave?mode=delay&value=0.3&times=1"
check "1,000 Initials of one client, each of a connection of its own, make one allocation" thousand_initials

# A client for every try: each may only fail. Its drops are told apart from those before.
not_allocated() {
	local before

	before=$(relay_counter worker_drop_not_allocated)
	! in_ns client timeout 2 gtlsclient -q --exit-on-all-streams-close one.fleet.test "$PORT" https://one.fleet.test/ &&
		wait_for "it is counted" 10 counted_more "$before"
}
counted_more() {
	[ "$(relay_counter worker_drop_not_allocated)" -gt "$1" ]
}
tell "_behave?mode=status&value=429"
check "no server is free: the client is dropped, and counted" not_allocated
tell "_behave?mode=status&value=500&times=1"
check "a 500 is tried again" answers one.fleet.test a.test
tell "_behave?mode=half&times=1"
check "so is half a reply" answers one.fleet.test a.test
tell "_certificate?cert=$WORK/impostor.pem&key=$WORK/impostor.key"
tell "_behave?mode=cut&times=1" # its open connections end: the next has the other certificate
api POST /allocate -d '{"fleet":"fleet","domain":"games.test"}' >/dev/null
check "a certificate of another authority" expect 503 POST /allocate -d '{"fleet":"fleet","domain":"games.test"}'
tell "_certificate?cert=$WORK/allocator.pem&key=$WORK/allocator.key"
check "the right one again" expect 200 POST /allocate -d '{"fleet":"fleet","domain":"games.test"}'

metrics_tell() {
	api GET /metrics >"$WORK/metrics" && promtool check metrics <"$WORK/metrics" &&
		grep -qE '^sluice_agones_allocations_total\{result="allocated"\} [1-9]' "$WORK/metrics" &&
		grep -qE '^sluice_agones_request_duration_seconds_count [1-9]' "$WORK/metrics"
}
check "the metrics tell of it" metrics_tell

# --- the allocator's death ---------------------------------------------------------------------------

allocator_dies_in_a_transfer() {
	local transfer

	throttle a 100mbit || return
	gtls one.fleet.test /big &
	transfer=$!
	wait_for "some of it has come" 10 has_come big 1000000 || return
	kill -KILL "$allocator_pid"
	not_allocated_beside || return
	wait "$transfer" || return
	unthrottle a
	same_file "$WORK/a.htdocs/big" "$WORK/download/big"
}
not_allocated_beside() {
	not_allocated
}
check "the allocator is killed in a 20 MB transfer, which completes; new clients of the fleet are counted" \
	allocator_dies_in_a_transfer
check "static routes still work" answers b.test b.test
finish
