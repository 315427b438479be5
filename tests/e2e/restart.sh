#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# restart: kill -9 of the relay does not interrupt established sessions in
# fast_path: kernel; the next relay adopts them; --detach takes down what a
# killed one left.
#
#   client: quicgo, one long transfer -- relay0 relay relay1 -- a: quicgo   a.test
. "$(dirname "$0")/lib.sh"

[ -z "$DIRECT" ] || skip "nothing to restart without a relay"
need_quicgo
testbed_up
start_quicgo a -cid-len 8

echoes() {
	in_ns client "$QUICGO" client -ca "$WORK/ca.pem" -rounds 3 "$@" "$(target a.test)"
}

# The counters are read from the pinned maps: no process is needed. Each exchange brings the client several packets;
# one that only repeats itself would bring none.
goes_on() {
	wait_for "packets for the client without a relay process" 5 \
		kernel_forwards_more $(($(relay_counter kernel_to_client_packets) + 100)) && alive "$transfer_pid"
}

transfer_completes() {
	wait_for "the transfer ends" 60 gone "$transfer_pid"
	cat "$WORK/log/transfer"
	wait "$transfer_pid"
}

detaches() {
	"$RELAY" --detach -n "$INSTANCE" || return
	[ ! -e "$PINS" ] && ! xdp_attached relay0 && ! xdp_attached relay1
}

relay_config kernel | relay_start
spawn transfer client "$QUICGO" client -ca "$WORK/ca.pem" -rounds 150 -interval 30ms -timeout 60s "$(target a.test)"
transfer_pid=$spawned_pid
check "the kernel forwards a transfer" wait_for "packets through XDP" 10 kernel_forwards_more 20
relay_kill
check "the transfer goes on without a relay process" goes_on
check "XDP is still attached" xdp_attached relay0
relay_config kernel | relay_start
check "a new connection through the new relay" echoes
check "the transfer is still in progress" alive "$transfer_pid"
check "the transfer completes" transfer_completes
relay_kill
check "--detach takes down what a killed relay left" detaches
check "--detach again has nothing to do, and says so with status 0" "$RELAY" --detach -n "$INSTANCE"

other_version_is_named() {
	mkdir -p "$PINS" && bpftool map create "$PINS/kernel_counters" type percpu_array key 4 value 8 entries 1 \
		name kernel_counters || return
	! "$RELAY" --counters -n "$INSTANCE" 2>"$WORK/refused" && cat "$WORK/refused" &&
		grep -q 'another version' "$WORK/refused" && "$RELAY" --detach -n "$INSTANCE" && [ ! -e "$PINS" ]
}
check "--counters of another version's relay are refused" other_version_is_named
relay_config kernel | relay_start
check "a relay starts after that" echoes
finish
