#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# health: servers that die, by kill and by silence, and that are drained: who
# gets new sessions, and that running ones are left alone.
#
#   client -- relay0 sluice-relay, sluice-control
#                                        +--> relay1 -- a: gtlsserver          two.test, six.test
#                                        +--> relay2 -- b: gtlsserver, caddy   two.test
. "$(dirname "$0")/lib.sh"

need gtlsclient caddy curl jq promtool
[ -z "$DIRECT" ] || skip "there is nothing to control without a relay"
TARGET_A=${V4[a]}:$BACKEND_PORT TARGET_B=${V4[b]}:$BACKEND_PORT TARGET_A6="[${V6[a]}]:$BACKEND_PORT"
HEALTH='health: {interval: 1, timeout: 1, rise: 1, fall: 3}'
DEATH_S=5            # fall x interval, the last one's timeout, and a second for a busy machine

testbed_up
echo "10.83.1.1 two.test" >>"/etc/netns/$TESTBED-client/hosts"
start_gtlsserver a
a_pid=$spawned_pid
start_gtlsserver b
b_pid=$spawned_pid
make_big a
make_big b
{
	relay_config kernel "{fqdn: two.test, type: simple, targets: [{address: '$TARGET_A'}, {address: '$TARGET_B'}], $HEALTH}"
	echo "  - {fqdn: six.test, type: simple, target: '$TARGET_A6', $HEALTH}"
} | relay_start
control_start
wait_for "sluice-control is connected" 10 is_ready || bail "sluice-control is connected"

# backend_is BACKEND JQ-TEST: of what GET /backends says of it.
backend_is() {
	says 200 '.backends[] | select(.backend == "'"$1"'") | '"$2" GET /backends
}
both_serve() {
	local n

	n=$(served_by a.test two.test)
	echo "$n of $CLIENTS by a, the rest by b"
	[ "$n" -gt 0 ] && [ "$n" -lt $CLIENTS ]
}
# all_by BODY [HOST]: this server serves all, of two.test if no other is named.
all_by() {
	[ "$(served_by "$1" "${2:-two.test}")" = $CLIENTS ]
}
# drain_only BACKEND OTHER: it drains, and the other does not.
drain_only() {
	expect 200 PUT "/backends/$1/drain" && { ! backend_is "$2" .draining || expect 200 DELETE "/backends/$2/drain"; }
}
probed() {
	expect 200 GET /metrics && [ "$(metric sluice_backend_probes_total)" -ge 9 ] &&
		[ "$(metric sluice_backends_watched)" = 3 ] && [ "$(metric sluice_backend_probe_failures_total)" = 0 ]
}
check "all three addresses are probed, and answer: gtlsserver does" wait_for "nine probes" 15 probed
check "metrics: both are up" test "$(metric "sluice_backend_up{backend=\"$TARGET_A\"}")$(metric "sluice_backend_up{backend=\"$TARGET_A6\"}")" = 11
check "metrics are well formed and documented" metrics_are_good
check "GET /backends: healthy" backend_is "$TARGET_B" '.healthy and (.draining | not)'
check "GET /routes: as the file has it" says 200 '.health == {"interval": 1, "timeout": 1, "rise": 1, "fall": 3}' \
	GET /routes/two.test
check "both serve" both_serve

# --- draining ----------------------------------------------------------------------------------------

throttle a 20mbit
throttle b 20mbit
check "b drains" drain_only "$TARGET_B" "$TARGET_A"
check "new connections all go to a" wait_for "all by a" 60 all_by a.test
check "GET /backends: draining" backend_is "$TARGET_B" '.draining and .healthy'
check "a transfer from a begins" transfer_begin two.test
check "a drains instead of b" drain_only "$TARGET_A" "$TARGET_B"
check "new connections go to b" wait_for "b serves" 10 answers_beside two.test b.test
check "metrics: one drains" expect 200 GET /metrics
check "namely one" test "$(metric sluice_backends_draining)" = 1
check "the transfer from a completes" transfer_completes a
nothing_behind() {
	local before

	before=$(relay_counter worker_drop_no_backend)
	! in_ns client timeout 2 gtlsclient -q --exit-on-all-streams-close a.test "$PORT" https://a.test/ &&
		[ "$(relay_counter worker_drop_no_backend)" -gt "$before" ]
}
check "a route whose only server drains opens nothing" nothing_behind

# --- dying -------------------------------------------------------------------------------------------

check "while a drains, a transfer from b begins" transfer_begin two.test
check "a drains no more" expect 200 DELETE "/backends/$TARGET_A/drain"
check "which can be said once" expect 404 DELETE "/backends/$TARGET_A/drain"
check "a server that no route leads to may drain" expect 200 PUT /backends/192.0.2.9:1/drain
check "and is listed" backend_is 192.0.2.9:1 '.draining and .healthy == null and .sessions == 0 and .reachable == null'
one_by_one() {
	local next="" n=0

	while says 200 '.backends | length <= 1' GET "/backends?limit=1$next" && n=$((n + $(jq '.backends | length' "$WORK/answer"))) &&
		jq -e .next "$WORK/answer"; do
		next="&after=$(jq -r .next "$WORK/answer")"
	done
	says 200 '(.backends | length) == '"$n" GET /backends
}
check "and so it is in pages of one" one_by_one
check "an address is a must" expect 400 PUT /backends/b.test/drain
kill -9 "$a_pid"
check "a is killed: found dead within $DEATH_S s" wait_for "dead" $DEATH_S grep -q "backend $TARGET_A: dead" "$WORK/log/control"
check "the transfer from b goes on, and completes" transfer_completes b
check "new connections all go to b" all_by b.test
check "GET /backends: not healthy" backend_is "$TARGET_A" '.healthy == false'
check "metrics: a is down" expect 200 GET /metrics
check "and b is not" test "$(metric "sluice_backend_up{backend=\"$TARGET_A\"}")$(metric "sluice_backend_up{backend=\"$TARGET_B\"}")" = 01
start_gtlsserver a
a_pid=$spawned_pid
check "a is started: found alive" wait_for "alive" $DEATH_S grep -q "backend $TARGET_A: alive" "$WORK/log/control"
check "both serve" wait_for "both serve" 30 both_serve
kill -STOP "$b_pid"
check "b says nothing: found dead" wait_for "dead" $DEATH_S grep -q "backend $TARGET_B: dead" "$WORK/log/control"
check "new connections all go to a" all_by a.test
kill -CONT "$b_pid"
check "b speaks again: found alive" wait_for "alive" $DEATH_S grep -q "backend $TARGET_B: alive" "$WORK/log/control"

# --- all dead ----------------------------------------------------------------------------------------

unwatched() {
	expect 200 GET /metrics && [ "$(metric sluice_backends_watched)" = 2 ]
}
check "a route is deleted" expect 200 DELETE /routes/six.test
check "and its server probed no more" wait_for "two are watched" 10 unwatched
: >"$WORK/log/control"
kill -9 "$a_pid" "$b_pid"
check "all are killed: all are used" wait_for "the log" $DEATH_S grep -q 'route two.test: all its servers are dead' "$WORK/log/control"
check "metrics: that is counted" expect 200 GET /metrics
check "at least once" test "$(metric sluice_backend_fail_open_total)" -ge 1
start_caddy b
check "caddy in b's place answers probes too" wait_for "alive" $DEATH_S grep -q "backend $TARGET_B: alive" "$WORK/log/control"
api_route() {
	expect 200 POST /routes -d '{"fqdn":"b.test","type":"simple","targets":[{"address":"'"$TARGET_A"'"},{"address":"'"$TARGET_B"'"}],"health":{}}'
}
check "a route set by the API, to a dead server and to it" api_route
check "is served by it alone" all_by b.test b.test
finish
