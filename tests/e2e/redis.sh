#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# redis: routes shared through Redis: what a Porter says there serves, what the
# API says here is there for Porters and for another sluice, and Redis may go and
# come back. The other sluice-control speaks TLS as an ACL user.
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
make_big a

redis_start() {
	mkdir -p "$WORK/redis"
	spawn redis relay redis-server --port 6379 --bind 127.0.0.1 --save '' --appendonly no --dir "$WORK/redis" \
		--requirepass "s3cret word" --tls-port 6380 --tls-auth-clients no --tls-ca-cert-file "$WORK/ca.pem" \
		--tls-cert-file "$WORK/redis.pem" --tls-key-file "$WORK/redis.key"
	redis_pid=$spawned_pid
	wait_for "redis-server answers" 10 redis PING
}

make_redis_certificate() {
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=redis -keyout "$WORK/redis.key" \
		-out "$WORK/redis.csr" && openssl x509 -req -in "$WORK/redis.csr" -CA "$WORK/ca.pem" -CAkey "$WORK/ca.key" \
		-CAcreateserial -days 2 -extfile <(echo subjectAltName=IP:127.0.0.1) -out "$WORK/redis.pem"
}
make_redis_certificate >"$WORK/log/openssl-redis" 2>&1 || bail "Redis' certificate"

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

# --- another sluice ------------------------------------------------------------------------------------

redis ACL SETUSER edge on '>two words' '~porter:routes:*' '&porter_routes*' +@connection +@transaction \
	+hset +hdel +hscan +publish +subscribe
cat >"$WORK/other.yaml" <<YAML
relay: {run_dir: $WORK/other}
api: {port: 8081}
redis: {enabled: true, address: "127.0.0.1:6380", username: edge, password: "two words", tls: true, ca_cert: $WORK/ca.pem}
YAML
spawn control-other relay "$CONTROL" -f "$WORK/other.yaml" -n other
other_pid=$spawned_pid
at_the_other() {
	API=127.0.0.1:8081 "$@"
}
several='{"fqdn":"two.test","type":"simple","targets":[{"address":"'"$TARGET_A"'","weight":3},{"address":"'"$TARGET_B"'"}]}'
check "another sluice, by TLS and as an ACL user, has what Redis holds" \
	wait_for "its route" 10 at_the_other says 200 '.origin == "redis"' GET /routes/b.test
check "a route of several targets, posted here" expect 200 POST /routes -d "$several"
check "is there too" wait_for "its route" 5 at_the_other says 200 '.targets[0].weight == 3 and .origin == "redis"' GET /routes/two.test
check "but not where Porter looks" holds_not two.test
check "Porter says otherwise" porter_sets two.test "$TARGET_B"
check "and is believed there too" wait_for "its route" 5 at_the_other says 200 '.target == "'"$TARGET_B"'"' GET /routes/two.test
check "a route for two seconds, posted there" at_the_other expect 200 POST /routes \
	-d '{"fqdn":"short.test","type":"simple","target":"'"$TARGET_A"'","ttl":2}'
check "is here" wait_for "its route" 2 says 200 '.expires > 0' GET /routes/short.test
check "and ends here" wait_for "404" 10 expect 404 GET /routes/short.test
in_no_hash() {
	! redis HGET porter:routes:sluice "$1"
}
check "and in Redis" wait_for "HGET" 5 in_no_hash short.test
check "DELETE here" expect 200 DELETE /routes/two.test
check "is followed there" wait_for "404" 5 at_the_other expect 404 GET /routes/two.test

# --- what others did while nobody told ---------------------------------------------------------------------

# Not published; at the next connection all is loaded anew.
deleted_unheard() {
	expect 200 POST /routes -d "$(route gone.test simple "$TARGET_A")" && wait_for "HGET" 5 holds gone.test "$TARGET_A" || return
	redis HDEL porter:routes:simple gone.test && redis CLIENT KILL TYPE pubsub && redis CLIENT KILL TYPE normal
	wait_for "404" 20 expect 404 GET /routes/gone.test && expect 200 GET /routes/b.test
}
check "a route set here and deleted by another, unheard, is gone after the next load" deleted_unheard
emptied() {
	redis FLUSHALL && redis CLIENT KILL TYPE pubsub && redis CLIENT KILL TYPE normal
	wait_for "HGET" 20 holds b.test "$TARGET_B" && expect 200 GET /routes/b.test
}
check "a Redis that lost all gets what was set here again" emptied

# --- very many routes ----------------------------------------------------------------------------------

# 100,000 of Porter's, loaded by a control process that starts during a transfer.
very_many() {
	local transfer begin drops

	in_ns relay redis-cli --no-auth-warning -a "s3cret word" EVAL \
		"for i = 1, 100000 do redis.call('HSET', 'porter:routes:simple', 'n' .. i .. '.test', '$TARGET_B') end" 0 || return
	redis HSET porter:routes:simple a.test "$TARGET_A" && redis PUBLISH porter_routes "$(route a.test simple "$TARGET_A")" &&
		wait_for "a.test serves" 5 answers a.test a.test || return
	stop_pid "$control_pid"
	stop_pid "$other_pid"
	throttle a 20mbit
	gtls a.test /big & transfer=$!
	wait_for "some of it has come" 10 has_come big 1000000 || return
	drops=$(relay_drops)
	begin=${EPOCHREALTIME/[.,]/}
	control_start
	wait_for "all are here" 10 says 200 '.count > 100000' GET '/routes?limit=1' || return
	wait_for "and in the relay" 10 grep -q 'routes of the control process: 1000' "$WORK/log/relay" || return
	begin=$(((${EPOCHREALTIME/[.,]/} - begin) / 1000))
	echo "100,000 routes in control process and relay after $begin ms"
	[ $begin -lt 5000 ] && kill -0 "$transfer" && [ "$(relay_drops)" = "$drops" ] || { relay_drops; return 1; }
	wait "$transfer" || return
	unthrottle a
	same_file "$WORK/download/big" "$WORK/a.htdocs/big"
}
check "100,000 routes from Redis in less than 5 s, during a transfer that loses nothing" very_many
finish
