#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# routes: what a route may say beside one address: several servers by weight,
# names, a time to live; and the end of its running sessions.
#
#   client -- relay0 sluice-relay, sluice-control
#                                        +--> relay1 -- a: gtlsserver   a.test, two.test
#                                        +--> relay2 -- b: gtlsserver   b.test, two.test
. "$(dirname "$0")/lib.sh"

need gtlsclient curl jq
[ -z "$DIRECT" ] || skip "there is nothing to control without a relay"
TARGET_A=${V4[a]}:$BACKEND_PORT TARGET_B=${V4[b]}:$BACKEND_PORT

testbed_up
echo "10.83.1.1 two.test named.test short.test six.test" >>"/etc/netns/$TESTBED-client/hosts"
start_gtlsserver a
start_gtlsserver b
make_big a

# A hosts file of its own for sluice-control: ours to change. Its name server hears, and says nothing.
echo "127.0.0.1 localhost" >"$WORK/hosts"
echo "nameserver 10.83.1.2" >"$WORK/resolv.conf"
spawn nameserver client python3 -c '
import signal, socket
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(("10.83.1.2", 53))
signal.pause()'
CONTROL_REAL=$CONTROL
CONTROL=$WORK/control.sh
cat >"$CONTROL" <<SH
#!/bin/sh
mount --bind "$WORK/hosts" /etc/hosts && mount --bind "$WORK/resolv.conf" /etc/resolv.conf && exec "$CONTROL_REAL" "\$@"
SH
chmod +x "$CONTROL"
relay_config kernel | relay_start
in_private_mounts() {
	spawn control relay unshare -m --propagation private "$CONTROL" -f "$WORK/config.yaml" -n "$INSTANCE"
	control_pid=$spawned_pid
	wait_for "sluice-control is connected" 10 is_ready || bail "sluice-control starts"
}
in_private_mounts

# --- several servers ---------------------------------------------------------------------------------

post() {
	expect 200 POST /routes -d "$1"
}

both_serve() {
	local n

	post '{"fqdn":"two.test","type":"simple","targets":[{"address":"'"$TARGET_A"'"},{"address":"'"$TARGET_B"'"}]}' || return
	n=$(served_by a.test two.test)
	echo "$n of $CLIENTS by a, the rest by b"
	[ "$n" -gt 0 ] && [ "$n" -lt $CLIENTS ]
}
check "two servers of a name: each gets some of its clients" both_serve
check "GET shows both, with their weights" says 200 '.targets == [{"address":"'"$TARGET_A"'","weight":1},{"address":"'"$TARGET_B"'","weight":1}] and (has("target") | not)' \
	GET /routes/two.test
check "a misspelt weight is no weight of 1" expect 400 POST /routes \
	-d '{"fqdn":"two.test","type":"simple","targets":[{"address":"10.0.0.1:5","wieght":3}]}'
other_family_is_passed_over() {
	post '{"fqdn":"six.test","type":"simple","targets":[{"address":"['"${V6[a]}"']:4433","weight":65535},{"address":"'"$TARGET_B"'"}]}' &&
		[ "$(served_by b.test six.test)" = $CLIENTS ]
}
check "an IPv4 client is not led to an IPv6 server while there is another" other_family_is_passed_over

# --- names -------------------------------------------------------------------------------------------

post_named() {
	post "$(route named.test simple "server.internal:$BACKEND_PORT")"
}
nothing_behind() {
	relay_counter worker_drop_no_backend >"$WORK/before"
	! in_ns client timeout 2 gtlsclient -q --exit-on-all-streams-close named.test "$PORT" https://named.test/ &&
		[ "$(relay_counter worker_drop_no_backend)" -gt "$(cat "$WORK/before")" ]
}
check "a name as target" post_named
check "that is not known yet: its clients are dropped and counted" nothing_behind
echo "${V4[a]} server.internal" >>"$WORK/hosts"
check "once it is, it serves, without a word" wait_for "it serves" 15 answers named.test a.test
echo "127.0.0.1 localhost
${V4[b]} server.internal" >"$WORK/hosts" # the same file: it is what is mounted
kill -HUP "$control_pid"
check "its server moved: SIGHUP makes the next connection follow" wait_for "b serves" 15 answers named.test b.test
echo "127.0.0.1 localhost" >"$WORK/hosts"
kill -HUP "$control_pid"
check "the name is gone: its last address stays" wait_for "the log" 25 grep -q 'server.internal: .*old addresses stay' "$WORK/log/control"
check "and serves" answers named.test b.test

# Each of these waits ten seconds for the name server.
post_silent() {
	local i

	for i in {1..60}; do
		post "$(route "silent$i.test" simple "silent$i.internal:$BACKEND_PORT")" || return
	done
	wait_for "the first are given up" 30 grep -q 'silent.*name resolution' "$WORK/log/control"
}
check "60 names that nobody answers for" post_silent
echo "${V4[a]} other.internal" >>"$WORK/hosts"
check "hold up no other: a new one" post "$(route named.test simple "other.internal:$BACKEND_PORT")"
check "serves as soon as one of them is given up" wait_for "it serves" 15 answers named.test a.test

# 36 servers, and a route has room for 32.
for ((i = 0; i < 36; i++)); do
	echo "10.99.$((i % 3)).$((i + 1)) crowd$((i % 3)).internal"
done >>"$WORK/hosts"
servers_left_out() {
	api GET /metrics >/dev/null && [ "$(metric sluice_target_servers_left_out_total)" = "$1" ]
}
check "no server is left out so far" servers_left_out 0
check "a route with more servers than there is room for" post '{"fqdn":"crowd.test","type":"simple","targets":[
	{"address":"crowd0.internal:5"},{"address":"crowd1.internal:5"},{"address":"crowd2.internal:5"}]}'
check "four of them are left out, and counted" wait_for "the count" 15 servers_left_out 4

# --- a time to live ----------------------------------------------------------------------------------

check "a route for two seconds" post '{"fqdn":"short.test","type":"simple","target":"'"$TARGET_A"'","ttl":2}'
check "serves" answers short.test a.test
check "and is gone" wait_for "404" 10 expect 404 GET /routes/short.test

# --- running sessions --------------------------------------------------------------------------------

throttle a 20mbit
# begin_transfer: a download from two.test's only server, a, that has begun.
begin_transfer() {
	post "$(route two.test simple "$TARGET_A")" && transfer_begin two.test
}
change_leaves_it_alone() {
	begin_transfer && post "$(route two.test simple "$TARGET_B")" && answers_beside two.test b.test
}
check "a changed route leaves a running transfer alone" change_leaves_it_alone
check "which completes" transfer_completes a
ends_sessions() {
	begin_transfer || return
	says 200 '.ended >= 1 and .left == 0' DELETE '/routes/two.test?drain=false' || return
	wait "$transfer" # the client gives up when it has heard nothing for three seconds
	! same_file "$WORK/download/big" "$WORK/a.htdocs/big"
}
check "drain=false ends it" ends_sessions
check "drain must be true or false" expect 400 DELETE '/routes/a.test?drain=maybe'
keeps_what_still_leads_there() {
	begin_transfer || return
	says 200 '.ended == 0 and .left == 0' POST '/routes?drain=false' \
		-d '{"fqdn":"two.test","type":"simple","targets":[{"address":"'"$TARGET_A"'"},{"address":"'"$TARGET_B"'"}]}' || return
	transfer_completes a
}
check "but not where the changed route still leads" keeps_what_still_leads_there
finish
