#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# garbage: hostile datagrams at the listener, while a client's transfer is in
# progress: the relay lives, each kind is counted under its own reason, and
# the transfer does not notice.
#
#   client: garbage.py, quicgo -- relay0 relay relay1 -- a: quicgo   a.test
. "$(dirname "$0")/lib.sh"

need python3
need_quicgo
testbed_up
start_quicgo a -cid-len 8
relay_address=10.83.1.1
[ -z "$DIRECT" ] || relay_address=${V4[a]}

throw() {
	in_ns client python3 "$TOP/tests/peers/garbage.py" "$1" "$relay_address" $PORT "$2"
}

# drops REASON: what kernel and workers have dropped for it.
drops() {
	echo $(($(relay_counter "kernel_drop_$1") + $(relay_counter "worker_drop_$1")))
}

drops_reach() {
	[ "$(drops "$1")" -ge "$2" ]
}

# is_counted KIND COUNT REASON: at least nine of ten (a full ring may take some first).
is_counted() {
	local before

	[ -n "$DIRECT" ] || before=$(drops "$3")
	throw "$1" "$2" || return
	[ -z "$DIRECT" ] || return 0
	wait_for "$3 counts $(($2 * 9 / 10)) more than $before" 5 drops_reach "$3" $((before + $2 * 9 / 10)) && return
	relay_drops
	return 1
}

random_is_survived() {
	throw random 3000 && throw truncated 2398 && relay_alive
}

echoes() {
	in_ns client "$QUICGO" client -ca "$WORK/ca.pem" -rounds 3 "$(target a.test)"
}

transfer_completes() {
	touch "$WORK/transfer.end"
	wait_for "the transfer ends" 60 gone "$transfer_pid"
	cat "$WORK/log/transfer"
	wait "$transfer_pid"
}

for path in kernel userspace; do
	[ -z "$relay_pid" ] || check "$path: the relay before stops clean" relay_stop_clean
	relay_config $path | relay_start
	check "$path: a connection before" echoes
	rm -f "$WORK/transfer.end"
	spawn transfer client "$QUICGO" client -ca "$WORK/ca.pem" -rounds 100000 -until "$WORK/transfer.end" \
		-interval 30ms -bytes 30000 -timeout 120s "$(target a.test)"
	transfer_pid=$spawned_pid
	check "$path: Initials in small datagrams" is_counted small-initial 200 initial_too_small
	check "$path: Initials with a DCID of 7 bytes" is_counted short-dcid 200 dcid_too_short
	check "$path: Initials that do not decrypt" is_counted undecryptable 200 decrypt_failed
	check "$path: Handshake packets of no connection" is_counted handshake 200 not_initial
	check "$path: unknown versions" is_counted version 200 unsupported_version
	check "$path: short headers of no connection" is_counted short-header 200 unknown_cid
	check "$path: empty datagrams" is_counted empty 200 empty_datagram
	check "$path: random and truncated datagrams" random_is_survived
	check "$path: the transfer was in progress all the while" alive "$transfer_pid"
	check "$path: the transfer completes" transfer_completes
	check "$path: a connection after" echoes
	check "$path: the relay lives" relay_alive
	[ -z "$DIRECT" ] || break
done
finish
