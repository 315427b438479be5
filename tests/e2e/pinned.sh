#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# pinned: a client's port changes in the middle of a download from a backend
# that does not follow (caddy 2.6, quic-go 0.29): with `migration: pinned` it
# completes, with `path` it does not. And somebody else who has seen a
# connection ID of either kind of session gets nothing by it.
#
#                                                          +--> relay1 -- a: gtlsserver  a.test path, a6.test pinned
#   client .1.2: quicgo get, gtlsclient --+-- relay0 relay
#          .1.3: hijack.py ---------------+                +--> relay2 -- b: caddy       b.test path, b6.test pinned
#
# Backends send 24 Mbit/s, so that a download lasts some 3 seconds.
. "$(dirname "$0")/lib.sh"

[ -z "$DIRECT" ] || skip "who is sent the answers is the relay's to decide"
need gtlsclient tc python3
need_quicgo
testbed_up
start_gtlsserver a
make_documents b
for ns in a b; do
	head -c 10000000 /dev/urandom >"$WORK/$ns.htdocs/big"
done
start_caddy b
throttle a 24mbit
throttle b 24mbit

config() {
	relay_config "$1" | sed -E 's/relay: \{/&pinned_silence: 1, /; s/fqdn: (a6|b6).test,/& migration: pinned,/'
}

# download HOST [OPTION...]: /big, by quic-go, which sends PINGs when nothing comes.
download() {
	local host=$1

	shift
	in_ns client "$QUICGO" get -ca "$WORK/ca.pem" -path /big -keep-alive 500ms -timeout 30s "$@" "$(target "$host")" \
		>"$WORK/big" || return
	same_file "$WORK/big" "$WORK/${host:0:1}.htdocs/big"
}

# counted NAME BEFORE: how much more than before.
counted() {
	echo $(($(relay_counter "worker_$1") - $2))
}

pinned_follows() {
	local migrated moved

	migrated=$(relay_counter worker_paths_migrated)
	moved=$(relay_counter worker_pinned_moves)
	download b6.test -rebind 1000000 || return
	echo "moves: $(counted pinned_moves "$moved"), migrations: $(counted paths_migrated "$migrated")"
	[ "$(counted pinned_moves "$moved")" = 1 ] && [ "$(counted paths_migrated "$migrated")" = 0 ]
}

# The new port's packets reach the backend, which goes on sending to the port before. Their path ends as unanswered, and
# the client's next packet opens another.
path_is_not_followed() {
	local migrated

	migrated=$(relay_counter worker_paths_migrated)
	! download b.test -rebind 1000000 -timeout 6s || { echo "the backend followed"; return 1; }
	echo "migrations: $(counted paths_migrated "$migrated"), of $(stat -c %s "$WORK/big") bytes"
	[ "$(counted paths_migrated "$migrated")" -ge 1 ] && [ "$(stat -c %s "$WORK/big")" -ge 500000 ]
}

pinned_packets_reach() {
	[ "$(relay_counter worker_pinned_packets)" -ge "$1" ]
}

# The relay is killed between the new port's first packet and the move; its successor goes on.
restart_in_the_middle() {
	local download moved waiting

	moved=$(relay_counter worker_pinned_moves)
	waiting=$(($(relay_counter worker_pinned_packets) + 1))
	download b6.test -rebind 1000000 >"$WORK/log/download" 2>&1 &
	download=$!
	wait_for "a packet from the new port" 10 pinned_packets_reach $waiting || return
	kill -KILL "$relay_pid"
	wait "$relay_pid" 2>/dev/null
	echo "moves before: $(counted pinned_moves "$moved")"
	[ "$(counted pinned_moves "$moved")" = 0 ] || return
	config kernel | relay_start
	wait $download || { cat "$WORK/log/download"; return 1; }
	[ "$(counted pinned_moves "$moved")" = 1 ]
}

# hijack HOST: from another address, while a download of the host is in progress.
hijack() {
	local relay=10.83.1.1 from=10.83.1.3 download bytes

	[[ $1 != *6.test ]] || { relay=fd00:83:1::1 from=fd00:83:1::3; }
	download "$1" >"$WORK/log/download" 2>&1 &
	download=$!
	bytes=$(in_ns client python3 "$TOP/tests/peers/hijack.py" cl0 $relay $PORT $from 100) || return
	echo "the other address received $bytes bytes"
	alive $download || { echo "the download was over before"; return 1; }
	wait $download || { cat "$WORK/log/download"; return 1; }
	[ "$bytes" = 0 ]
}

for path in kernel userspace; do
	[ -z "$relay_pid" ] || check "$path: the relay before stops clean" relay_stop_clean
	config $path | relay_start
	check "$path: caddy, pinned: the download survives a new port" pinned_follows
	check "$path: caddy, path: it does not" path_is_not_followed
	for host in a.test a6.test b.test b6.test; do
		check "$path: $host: garbage with a seen connection ID changes nothing" hijack $host
	done
	check "$path: it did get to pinned backends" test "$(relay_counter worker_pinned_packets)" -ge 100
	[ $path != kernel ] || check "a relay that is killed while a client waits" restart_in_the_middle
done
finish
