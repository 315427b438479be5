#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# redis: routes shared through Redis: what a Porter says there serves, what the
# API says here is there for Porters, and Redis may go and come back.
#
#   client -- relay0 sluice-relay, sluice-control, redis-server
#                                        +--> relay1 -- a: gtlsserver   a.test
#                                        +--> relay2 -- b: gtlsserver   b.test
. "$(dirname "$0")/lib.sh"

need gtlsclient curl jq promtool redis-server redis-cli
[ -z "$DIRECT" ] || skip "there is nothing to share without a relay"
TARGET_A=${V4[a]}:$BACKEND_PORT TARGET_B=${V4[b]}:$BACKEND_PORT

testbed_up
start_gtlsserver a
start_gtlsserver b
head -c 20000000 /dev/urandom >"$WORK/a.htdocs/big"

redis_start() {
	mkdir -p "$WORK/redis"
	spawn redis relay redis-server --port 6379 --bind 127.0.0.1 --save '' --appendonly no --dir "$WORK/redis" \
		--requirepass "s3cret word"
	redis_pid=$spawned_pid
	wait_for "redis-server answers" 10 redis PING
}

redis() {
	in_ns relay redis-cli --no-auth-warning -a "s3cret word" "$@" 2>/dev/null | grep .
}

# porter_sets FQDN TARGET: as Porter does it; the API shows it within 200 ms of the PUBLISH.
porter_sets() {
	local begin took

	redis HSET porter:routes:simple "$1" "$2" || return
	redis PUBLISH porter_routes "$(route "$1" simple "$2")" || return
	begin=${EPOCHREALTIME/[.,]/}
	until says 200 '.target == "'"$2"'" and .origin == "redis"' GET "/routes/$1"; do
		took=$((${EPOCHREALTIME/[.,]/} - begin))
		[ $took -lt 2000000 ] || return
	done
	took=$((${EPOCHREALTIME/[.,]/} - begin))
	echo "seen after $((took / 1000)) ms (each look takes one curl)"
	[ $took -lt 200000 ]
}

holds() {
	[ "$(redis HGET porter:routes:simple "$1")" = "$2" ]
}

holds_not() {
	! redis HGET porter:routes:simple "$1"
}

redis_is_away() {
	expect 503 GET /readyz && grep -q redis "$WORK/answer" &&
		api GET /metrics | grep -qx 'sluice_redis_connected 0'
}

relay_config kernel |
	sed '/fqdn:/d; $a redis: {enabled: true, address: "127.0.0.1:6379", password: "s3cret word"}' | relay_start
control_start
check "Redis down at the start: it serves, and says so" wait_for "away" 5 redis_is_away
redis_start
check "it finds Redis" wait_for "ready" 10 is_ready
check "a route of Porter's is here within 200 ms" porter_sets a.test "$TARGET_A"
check "and serves" answers a.test a.test
check "Porter's change is followed" porter_sets a.test "$TARGET_B"
check "and serves" answers a.test b.test
check "Porter's change back" porter_sets a.test "$TARGET_A"
check "POST /routes" expect 200 POST /routes -d "$(route b.test simple "$TARGET_B")"
check "is in Porter's hash" wait_for "HGET" 5 holds b.test "$TARGET_B"
check "DELETE /routes" expect 200 DELETE /routes/b.test
check "is gone from Porter's hash" wait_for "HGET" 5 holds_not b.test

redis_is_here() {
	expect 200 GET /metrics >/dev/null && [ "$(metric sluice_redis_connected)" = 1 ] && metrics_are_good
}

check "the metrics tell of Redis" redis_is_here

transfer_survives() {
	gtls a.test /big -q & local transfer=$!
	kill -KILL "$redis_pid"
	wait "$redis_pid" 2>/dev/null
	wait $transfer && same_file "$WORK/download/big" "$WORK/a.htdocs/big"
}

check "Redis killed during a transfer: it completes" transfer_survives
check "which is said" wait_for "away" 10 redis_is_away
check "routes stay" answers a.test a.test
check "POST /routes while Redis is away" expect 200 POST /routes -d "$(route b.test simple "$TARGET_B")"
check "serves at once" answers b.test b.test
redis_start
check "Redis comes back" wait_for "ready" 30 is_ready
check "it gets what was posted meanwhile" wait_for "HGET" 5 holds b.test "$TARGET_B"
check "what it does not hold any more is gone" wait_for "404" 5 expect 404 GET /routes/a.test
finish
