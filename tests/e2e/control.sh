#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# control: sluice-control beside the relay: routes by REST, sessions, metrics,
# reload; and the relay without it.
#
#                  curl                  +--> relay1 -- a: gtlsserver   a.test, new.test
#                    |                   |
#   client -- relay0 sluice-control, relay
#                                        +--> relay2 -- b: gtlsserver   b.test
export QUEUES=2
. "$(dirname "$0")/lib.sh"

need gtlsclient curl jq promtool python3
[ -z "$DIRECT" ] || skip "there is nothing to control without a relay"
TARGET_A=${V4[a]}:$BACKEND_PORT TARGET_B=${V4[b]}:$BACKEND_PORT

testbed_up
echo "10.83.1.1 new.test put.test reload.test m9999.test x.wild.test" >>"/etc/netns/$TESTBED-client/hosts"
start_gtlsserver a
start_gtlsserver b
make_big a

is_not_ready() {
	expect 503 GET /readyz
}

# --- either may come first ---------------------------------------------------------------------------

relay_config kernel >"$WORK/config.yaml"
mkdir -p "$WORK/run"
control_start
check "without a relay it serves, and says that it is not ready" is_not_ready
check "sessions need a relay" expect 503 GET /sessions
relay_config kernel | relay_start
check "it finds the relay that started after it" wait_for "connected" 5 is_ready
check "the file's routes serve" answers a.test a.test

# --- routes --------------------------------------------------------------------------------------------

# posted_and_served FQDN TARGET BODY: a client started at once after the answer finds the route there with its first
# Initial; one without a route is dropped and counted, and the next comes a second later.
posted_and_served() {
	local name=${1%.} refused

	refused=$(relay_counter worker_drop_no_route)
	expect 200 POST /routes -d "$(route "$1" simple "$2")" && [ "$(cat "$WORK/answer")" = '{"status":"ok"}' ] &&
		answers "${name,,}" "$3" && [ "$(relay_counter worker_drop_no_route)" = "$refused" ]
}

check "Porter's POST /routes as curl -d sends it; the next connection is served" \
	posted_and_served new.test "$TARGET_A" a.test
check "the route is replaced, and new connections go there" posted_and_served New.Test. "$TARGET_B" b.test
wildcard_serves() {
	expect 200 POST /routes -d "$(route '*.wild.test' simple "$TARGET_A")" && answers x.wild.test a.test
}
check "a wildcard" wildcard_serves
check "GET one" says 200 '. == {fqdn: "new.test", type: "simple", target: "'"$TARGET_B"'", origin: "api"}' \
	GET /routes/new.test
check "PUT one" expect 200 PUT /routes/put.test -H 'Content-Type: application/json' \
	-d '{"type":"simple","target":"'"$TARGET_A"'"}'
check "it serves" answers put.test a.test
check "an agones route is stored and shown" expect 200 POST /routes -d "$(route '*.fleet.test' agones my-fleet)"
check "GET by a percent-encoded name" says 200 '.type == "agones" and .target == "my-fleet"' GET '/routes/%2a.fleet.test'
deep_json() {
	head -c 65000 /dev/zero | tr '\0' '[' >"$WORK/deep"
	expect 400 POST /routes --data-binary "@$WORK/deep" && expect 200 GET /healthz
}
check "JSON nested 65,000 deep is refused by the thread that reads it" deep_json
check "a page without entries is refused" expect 400 GET '/routes?limit=0'
check "HEAD is GET without the content" expect 200 GET /healthz -I
check "who asks for another host than this is refused" expect 403 GET /routes -H 'Host: evil.test:8080'

# A body that ends too early: its length is not what was said.
cut_body() {
	in_ns relay python3 - <<-'PY'
		import socket
		body = b'{"fqdn":"cut.test","type":"simple","target":"10.0.0.1:1"}'
		with socket.create_connection(("127.0.0.1", 8080), 10) as s:
		    s.sendall(b"POST /routes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n" + body)
		    s.shutdown(socket.SHUT_WR)
		    answer = s.recv(4096)
		print(answer)
		raise SystemExit(b" 400 " not in answer)
	PY
}
check "a body cut short is not obeyed" cut_body
check "nothing of it was set" expect 404 GET /routes/cut.test
check "DELETE one" expect 200 DELETE /routes/put.test
check "it is gone" expect 404 GET /routes/put.test
check "DELETE of none" expect 404 DELETE /routes/put.test

no_longer_served() {
	! in_ns client timeout 3 gtlsclient -q --exit-on-all-streams-close put.test "$PORT" https://put.test/ &&
		[ "$(relay_counter worker_drop_no_route)" -gt 0 ]
}
check "the relay drops its name" no_longer_served

# --- what is refused ------------------------------------------------------------------------------------

json='Content-Type: application/json'
api GET /routes >"$WORK/routes.before"
head -c 10000000 /dev/zero | tr '\0' ' ' >"$WORK/10mb"
check "a 10 MB body" expect 413 POST /routes -H "$json" --data-binary "@$WORK/10mb"
check "a 10 MB body of unknown length" expect 413 POST /routes -H "$json" -H 'Transfer-Encoding: chunked' -H 'Expect:' \
	--data-binary "@$WORK/10mb"
check "no JSON" expect 400 POST /routes -d '{"fqdn":'
check "not an object" expect 400 POST /routes -d '[]'
check "an empty body" expect 400 POST /routes -d ''
check "no target" expect 400 POST /routes -d '{"fqdn":"x.test","type":"simple"}'
check "a target without port" expect 400 POST /routes -d "$(route x.test simple 10.0.0.1)"
check "a target that is neither address nor name" expect 400 POST /routes -d "$(route x.test simple 10.0.0.256:1)"
check "an unknown type" expect 400 POST /routes -d "$(route x.test other 10.0.0.1:1)"
check "a bad name" expect 400 POST /routes -d "$(route 'a..b' simple 10.0.0.1:1)"
check "a name with a NUL" expect 400 POST /routes -d '{"fqdn":"x\u0000.test","type":"simple","target":"10.0.0.1:1"}'
check "an unknown key" expect 400 POST /routes -d '{"fqdn":"x.test","type":"simple","target":"10.0.0.1:1","ttls":5}'
check "another content type" expect 415 POST /routes -H 'Content-Type: text/plain' -d "$(route x.test simple 10.0.0.1:1)"
check "a form in PUT" expect 415 PUT /routes/x.test -d '{"type":"simple","target":"10.0.0.1:1"}'
check "another name than the path's" expect 409 PUT /routes/x.test -H "$json" -d "$(route y.test simple 10.0.0.1:1)"
check "a target that is the relay itself" expect 409 POST /routes -d "$(route x.test simple 10.83.1.1:"$PORT")"
check "a page of another site" expect 403 POST /routes -H 'Origin: http://evil.test' -d "$(route x.test simple 10.0.0.1:1)"
check "an unknown path" expect 404 GET /nothing
check "an unknown method" expect 405 PATCH /routes
check "bad percent-encoding" expect 400 GET /routes/%zz
check "a limit that is no number" expect 400 GET '/routes?limit=-1'

nothing_changed() {
	api GET /routes >"$WORK/routes.after" && diff "$WORK/routes.before" "$WORK/routes.after"
}
check "nothing changed" nothing_changed

# --- sessions -------------------------------------------------------------------------------------------

list_of() {
	says 200 ".sessions | length == $1" GET "/sessions?$2"
}

sessions_filtered() {
	answers a.test a.test && answers b.test b.test || return
	says 200 '.sessions | any(.route == "a.test" and .backend == "'"$TARGET_A"'" and .confirmed)' GET /sessions &&
		says 200 '(.sessions | length > 0) and (.sessions | all(.route == "b.test"))' GET '/sessions?fqdn=b.test' &&
		says 200 '(.sessions | length > 0) and (.sessions | all(.backend == "'"$TARGET_B"'"))' \
			GET "/sessions?backend=$TARGET_B" &&
		says 200 '(.sessions | length > 0) and (.sessions | all(.paths[0].client | startswith("10.83.1.2:")))' \
			GET '/sessions?client=10.83.1.2' &&
		list_of 0 client=10.83.1.99 && list_of 0 fqdn=nothing.test && list_of 1 limit=1
}
check "GET /sessions, by route, backend and client" sessions_filtered

pages_add_up() {
	local after="" n=0 all

	all=$(api GET '/sessions?limit=1000' | jq '.sessions | length')
	for ((;;)); do
		api GET "/sessions?limit=2&after=${after:-0}" >/dev/null
		n=$((n + $(jq '.sessions | length' "$WORK/answer")))
		after=$(jq -r '.next // ""' "$WORK/answer")
		[ -n "$after" ] || break
	done
	echo "$n on pages, $all in all"
	[ "$n" = "$all" ] && [ "$n" -gt 2 ]
}
check "pages of sessions add up" pages_add_up

client_behind_port() {
	local path

	api GET '/sessions?fqdn=a.test&limit=1' >"$WORK/one" || return
	path=$(jq -r '.sessions[0] | "\(.backend)/\(.paths[0].relay)"' "$WORK/one")
	says 200 ".client == $(jq '.sessions[0].paths[0].client' "$WORK/one")" GET "/sessions/by-path/$path"
}
check "which client is behind a relay port" client_behind_port
check "no client is behind another" expect 404 GET "/sessions/by-path/$TARGET_A/10.83.2.1:1"

session_ended() {
	local id

	id=$(api GET '/sessions?fqdn=a.test&limit=1' | jq -r '.sessions[0].id')
	expect 200 DELETE "/sessions/$id" && wait_for "it is gone" 5 expect 404 DELETE "/sessions/$id" &&
		expect 404 DELETE "/sessions/${id%-*}-4000000000" && expect 400 DELETE /sessions/x
}
check "DELETE /sessions/{id} ends it" session_ended
check "GET /backends" says 200 '[.backends[] | select(.sessions > 0) | .backend] | index("'"$TARGET_A"'") != null' \
	GET /backends

# --- the rest ---------------------------------------------------------------------------------------------

metrics_are_right() {
	expect 200 GET /metrics >/dev/null && metrics_are_good || return
	grep -q '^sluice_forwarded_packets_total{direction="to_client",by="kernel"} [1-9]' "$WORK/answer" &&
		grep -q '^sluice_dropped_packets_total{reason="no_route",by="worker"}' "$WORK/answer" &&
		grep -q '^sluice_sessions_ended_total 1$' "$WORK/answer" &&
		grep -q '^sluice_table_entries{table="paths"} [1-9]' "$WORK/answer" &&
		[ "$(metric 'sluice_table_entries{table="nexthops"}')" -ge 3 ] &&
		grep -q '^sluice_relay_connected 1$' "$WORK/answer"
}
check "promtool has nothing to say against /metrics, and each metric is documented" metrics_are_right

# of_sockets NAME: the sum over all AF_XDP sockets.
of_sockets() {
	awk -v name="$1" 'index($1, name "{") == 1 { sum += $2 } END { printf "%d\n", sum }' "$WORK/answer"
}

# Two workers, each with one queue of each of three interfaces.
sockets_are_told() {
	local interface queue socket

	expect 200 GET /metrics >/dev/null && [ "$(metric sluice_workers)" = 2 ] || return
	for interface in ${RELAY_INTERFACES//,/ }; do
		[ "$(metric "sluice_xdp_info{interface=\"$interface\",mode=\"native\"}")" = 1 ] || return
		for queue in 0 1; do
			socket="{interface=\"$interface\",queue=\"$queue\",worker=\"$queue\"}"
			echo "$socket"
			[ "$(metric "sluice_xsk_fill_ring_frames$socket")" -gt 0 ] &&
				[ "$(metric "sluice_xsk_zero_copy$socket")" = 0 ] &&
				[ "$(metric "sluice_xsk_zero_copy_refused$socket")" = 1 ] &&
				[ "$(metric "sluice_xsk_rx_ring_full_total$socket")" = 0 ] || return
		done
	done
	[ "$(metric 'sluice_umem_free_frames{worker="1"}')" -gt 0 ]
}
check "each AF_XDP socket is in the metrics" sockets_are_told

# more_than RECEIVED OPENED: a scrape of now has more packets received by the workers, and more sessions opened.
more_than() {
	expect 200 GET /metrics && [ "$(of_sockets sluice_xsk_rx_packets_total)" -gt "$1" ] &&
		[ "$(metric sluice_sessions_opened_total)" -gt "$2" ] &&
		[ "$(metric 'sluice_sessions{state="confirmed"}')" -gt 0 ]
}

handshake_is_counted() {
	local received opened

	expect 200 GET /metrics >/dev/null || return
	received=$(of_sockets sluice_xsk_rx_packets_total)
	opened=$(metric sluice_sessions_opened_total)
	answers a.test a.test && wait_for "more than $received packets, $opened sessions" 5 more_than "$received" "$opened"
}
check "a handshake shows in them" handshake_is_counted

overflows() {
	expect 200 GET /metrics && [ "$(of_sockets sluice_xsk_rx_ring_full_total)" -gt 0 ]
}

# A relay that is not scheduled: more packets for one queue than its RX ring holds (2,048).
overflow_is_counted() {
	kill -STOP "$relay_pid"
	in_ns client python3 "$TOP/tests/peers/garbage.py" version 10.83.1.1 "$PORT" 4000
	kill -CONT "$relay_pid"
	wait_for "the relay tells" 5 overflows
}
check "a full RX ring shows in them" overflow_is_counted

handshakes_waiting() {
	expect 200 GET /metrics && [ "$(metric sluice_handshakes_waiting)" = "$1" ]
}

# The first of the two datagrams that Chromium's ClientHello came in; the second never comes.
half_a_hello_waits() {
	in_ns client python3 - "$TOP/tests/data/chromium.pcap" "$PORT" <<-'PY' || return
		import socket, struct, sys
		pcap = open(sys.argv[1], "rb").read()
		length = struct.unpack_from("<I", pcap, 24 + 8)[0]
		with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
		    s.sendto(pcap[24 + 16 + 14 + 20 + 8 : 24 + 16 + length], ("10.83.1.1", int(sys.argv[2])))
	PY
	wait_for "it waits" 4 handshakes_waiting 1 && wait_for "it has waited long enough" 10 handshakes_waiting 0
}
check "a first flight that lacks its end waits, but not for ever" half_a_hello_waits
check "GET /healthz" expect 200 GET /healthz
check "GET /version names the relay's" says 200 '.relay == .version' GET /version
check "the API does what its OpenAPI document says" in_ns relay python3 "$TOP/tests/e2e/openapi.py" \
	"$TOP/control/openapi.json" "http://$API"

many_routes() {
	local i

	for ((i = 0; i < 10000; i++)); do
		printf 'next\nurl = "http://%s/routes"\nsilent\noutput = "/dev/null"\nwrite-out = "%%{http_code}\\n"\ndata = "{\\"fqdn\\":\\"m%d.test\\",\\"type\\":\\"simple\\",\\"target\\":\\"10.83.2.2:4433\\"}"\n' \
			"$API" "$i"
	done | sed 1d >"$WORK/curl.post"
	sed 's/^data.*//; s/^silent/silent\nrequest = DELETE/' "$WORK/curl.post" |
		awk '/^url/ { sub(/routes/, "routes/m" n++ ".test") } { print }' >"$WORK/curl.delete"
	i=${EPOCHREALTIME/[.,]/}
	in_ns relay curl -K "$WORK/curl.post" >"$WORK/codes" || return
	echo "10,000 routes posted in $(((${EPOCHREALTIME/[.,]/} - i) / 1000)) ms" | tee "$WORK/log/figures"
	[ "$(sort "$WORK/codes" | uniq -c | tr -s ' ')" = " 10000 200" ] || { sort "$WORK/codes" | uniq -c; return 1; }
	says 200 '.count >= 10000 and (.routes | length == 10000)' GET '/routes?limit=10000' >/dev/null || return
	answers m9999.test a.test || return
	in_ns relay curl -K "$WORK/curl.delete" >"$WORK/codes" || return
	[ "$(sort "$WORK/codes" | uniq -c | tr -s ' ')" = " 10000 200" ] || { sort "$WORK/codes" | uniq -c; return 1; }
	nothing_changed
}
check "10,000 routes posted, listed, served and deleted" many_routes

# --- its death -------------------------------------------------------------------------------------------

killed_in_a_transfer() {
	local transfer

	throttle a 100mbit || return
	gtls a.test /big &
	transfer=$!
	wait_for "a tenth has come" 10 has_come big 2000000 || return
	kill -KILL "$control_pid"
	[ "$(stat -c %s "$WORK/download/big")" -lt 19000000 ] || { echo "too late"; return 1; }
	wait "$transfer" || return
	unthrottle a
	same_file "$WORK/a.htdocs/big" "$WORK/download/big"
}
check "sluice-control is killed in a 20 MB transfer, which completes" killed_in_a_transfer
check "static routes still work" answers b.test b.test
check "and those it had set" answers new.test b.test
control_start
check "it comes back" wait_for "connected" 5 is_ready
relay_config kernel | relay_restart
check "and finds a restarted relay" wait_for "connected" 5 is_ready

# --- versions --------------------------------------------------------------------------------------------

SOCKET=$WORK/run/$INSTANCE.sock

# greet VERSION: says HELLO to the relay; what comes back, one word a packet, then END.
greet() {
	python3 "$TOP/tests/e2e/protocol_peer.py" greet "$SOCKET" "$1"
}

second_is_refused() {
	[ "$(greet 2)" = END ] && wait_for "the relay's log" 5 grep -q 'another one is connected' "$WORK/log/relay" && is_ready
}
check "a second control process is refused" second_is_refused

other_version_is_refused() {
	[ "$(greet 99)" = "HELLO END" ] && wait_for "the relay's log" 5 grep -q 'speaks protocol 99' "$WORK/log/relay"
}
stop_pid "$control_pid"
check "the relay says so when the control process speaks another version" other_version_is_refused

# A relay of another version, at the place where the control process looks for its own.
control_names_version() {
	local pid

	mkdir -p "$WORK/other"
	python3 "$TOP/tests/e2e/protocol_peer.py" relay "$WORK/other/$INSTANCE.sock" &
	pid=$!
	pids+=("$pid")
	wait_for "it listens" 5 test -S "$WORK/other/$INSTANCE.sock" || return
	relay_config kernel | sed "s|run_dir: .*}|run_dir: $WORK/other}|" >"$WORK/other/config.yaml"
	spawn control relay "$CONTROL" -f "$WORK/other/config.yaml" -n "$INSTANCE"
	wait_for "it says so" 5 api_says_version
	api GET /readyz
	stop_pid "$spawned_pid"
	stop_pid "$pid"
	grep -q 'relay 9.9 speaks protocol 99' "$WORK/log/control" && grep -q 'speaks protocol 99' "$WORK/answer"
}
api_says_version() {
	expect 503 GET /readyz && grep -q 'speaks protocol 99' "$WORK/answer"
}
check "the control process says so when the relay does" control_names_version
control_start
check "with its own it connects" wait_for "connected" 5 is_ready

# --- reload ----------------------------------------------------------------------------------------------

relay_config kernel "{fqdn: reload.test, type: simple, target: \"$TARGET_B\"}" >"$WORK/config.yaml"
cat >>"$WORK/config.yaml" <<-YAML
	limits: {idle_timeout: 77, sessions: 1024}
	quic_lb: [{config_rotation: 0, server_id_length: 3, nonce_length: 4, servers: {ed793a: "$TARGET_B"}}]
YAML
: >"$WORK/log/relay"
: >"$WORK/log/control"
kill -HUP "$control_pid"
check "SIGHUP to it: the file's new route serves" wait_for "reload.test serves" 10 answers reload.test b.test
check "the relay has read the file too, and names what needs a restart" \
	wait_for "the relay's log" 5 grep -q 'limits.sessions changed: needs a restart' "$WORK/log/relay"
for process in relay control; do
	check "$process names quic_lb too" \
		wait_for "its log" 5 grep -q 'quic_lb changed: .*needs a restart$' "$WORK/log/$process"
done
relay_config kernel >"$WORK/config.yaml"
kill -HUP "$relay_pid"
check "SIGHUP to the relay: the route is gone from both" wait_for "reload.test is gone" 5 expect 404 GET /routes/reload.test
echo "nonsense: 1" >>"$WORK/config.yaml"
api GET /routes >"$WORK/routes.before"
: >"$WORK/log/control"
kill -HUP "$control_pid"
check "a bad file" wait_for "its log" 5 grep -q 'nothing changed' "$WORK/log/control"
check "changes nothing" nothing_changed

# --- with a token ------------------------------------------------------------------------------------------

stop_pid "$control_pid"
echo correct-horse-battery >"$WORK/token"
relay_config kernel >"$WORK/config.yaml"
echo "api: {address: 0.0.0.0}" >>"$WORK/config.yaml"
refuses_address() {
	! in_ns relay timeout 5 "$CONTROL" -f "$WORK/config.yaml" -n "$INSTANCE" 2>"$WORK/refused" && cat "$WORK/refused" &&
		grep -q 'api.token_file' "$WORK/refused"
}
check "without a token no address but loopback" refuses_address
sed -i "s|^api:.*|api: {address: 0.0.0.0, token_file: $WORK/token}|" "$WORK/config.yaml"
control_start
api GET /routes -H 'Authorization: Bearer correct-horse-battery' >"$WORK/routes.before"
check "no token" expect 401 POST /routes -d "$(route x.test simple 10.0.0.1:1)"
check "a wrong one" expect 401 DELETE /routes/a.test -H 'Authorization: Bearer correct-horse-batterx'
check "a longer one" expect 401 GET /routes -H 'Authorization: Bearer correct-horse-battery1'
check "health needs none" expect 200 GET /healthz
nothing_changed_with_token() {
	api GET /routes -H 'Authorization: Bearer correct-horse-battery' >"$WORK/routes.after" &&
		diff "$WORK/routes.before" "$WORK/routes.after" && jq -e '.count == 4' "$WORK/routes.after"
}
check "nothing changed, as the right one shows" nothing_changed_with_token
stop_pid "$control_pid"

# --- the relay alone ----------------------------------------------------------------------------------------

relay_reloads_alone() {
	relay_config kernel "{fqdn: reload.test, type: simple, target: \"$TARGET_A\"}" | grep -v 'b6.test' >"$WORK/config.yaml"
	: >"$WORK/log/relay"
	kill -HUP "$relay_pid"
	wait_for "the relay's log" 5 grep -q 'reload: 1 routes set, 1 removed' "$WORK/log/relay" || return
	answers reload.test a.test
}
check "without a control process SIGHUP changes the relay's routes" relay_reloads_alone
finish
