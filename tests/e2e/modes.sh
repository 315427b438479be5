#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# modes: the ways to run the relay that the other scenarios do not use: generic
# XDP, several queues and workers, each busy_poll, a successor by SIGUSR2, new
# sessions in the log; and what it refuses: another relay's name or interface,
# another program's interface.
#
#   client: gtlsclient -- relay0 relay relay1 -- a: gtlsserver   a.test
#                                      relay2 -- b: gtlsserver   b.test
export QUEUES=2
. "$(dirname "$0")/lib.sh"

[ -z "$DIRECT" ] || skip "nothing to try without a relay"
need gtlsclient
testbed_up
start_gtlsserver a
start_gtlsserver b

# with YAML-LINE...: the usual configuration and these lines.
with() {
	relay_config kernel
	printf '%s\n' "$@"
}

both_answer() {
	answers a.test a.test && answers b.test b.test && answers a6.test a.test
}

again() {
	relay_stop_clean || return
	: >"$WORK/log/relay"
}

with 'xdp: {mode: generic}' | relay_start
check "generic mode, two queues" both_answer
check "generic mode is said" logged 'relay0: XDP attached, generic mode'
check "and stops clean" again

with 'xdp: {busy_poll: always}' 'udp: {log_requests: true}' | sed '1d' | relay_start
check "two workers that spin" both_answer
check "there are two" logged 'ready: 2 workers'
check "each session is in the log with its name" logged 'session 10\.83\.1\.[0-9]+:[0-9]+ a\.test -> 10\.83\.2\.2:'
check "and stops clean" again

with 'xdp: {busy_poll: never, workers: 1}' | relay_start
check "one worker that sleeps, with two queues" both_answer
check "there is one" logged 'ready: 1 worker,'

# The same, and the relay that runs is not disturbed.
refused_beside() {
	refused "$@" && both_answer
}

check "the same name is refused" refused_beside "instance $INSTANCE: a relay of this name runs already" \
	-i relay1 -n "$INSTANCE"
check "the same interface is refused" refused_beside 'relay2: carries XDP program [0-9]+ already' \
	-i relay2 -n "$INSTANCE-2"
check "that one left nothing" test ! -e "$PINS-2"
check "--detach of a running relay is refused" refused_beside 'is running' --detach -n "$INSTANCE"
check "and stops clean" again

# A successor: the transfer is slow enough to last (the sender's side is limited), and never stops for long.
limit_rate() {
	throttle a 16mbit
}

transfer_goes_on() {
	wait_for "packets through XDP" 5 kernel_forwards_more $(($(relay_counter kernel_to_client_packets) + 200)) &&
		alive "$transfer_pid"
}

ends_by_usr2() {
	kill -USR2 "$relay_pid" && wait "$relay_pid" && [ -e "$PINS" ] && xdp_attached relay0
}

transfer_completes() {
	wait_for "the transfer ends" 60 gone "$transfer_pid"
	wait "$transfer_pid" && same_file "$WORK/slow/big" "$WORK/a.htdocs/big"
}

head -c 8000000 /dev/urandom >"$WORK/a.htdocs/big"
check "the sender is limited to 16 Mbit/s" limit_rate
relay_config kernel | relay_start
mkdir "$WORK/slow"
spawn slow client gtlsclient -q --exit-on-all-streams-close --download="$WORK/slow" a.test "$PORT" https://a.test/big
transfer_pid=$spawned_pid
check "a transfer through the first relay" transfer_goes_on
check "SIGUSR2 ends it and leaves the program" ends_by_usr2
relay_pid=""
check "the transfer goes on without a process" transfer_goes_on
relay_config kernel 'fqdn: loop.test, type: simple, target: "10.83.1.1:443"' |
	sed 's/  - fqdn: loop.test\(.*\)$/  - {fqdn: loop.test\1}/' >"$WORK/config.yaml"
check "a successor that cannot start says why" \
	refused 'loop.test: .*a loop' -i "$RELAY_INTERFACES" -n "$INSTANCE"
check "and leaves the transfer alone" transfer_goes_on
relay_config userspace | relay_start
check "the successor adopts the session" logged 'adopted [1-9][0-9]* session'
check "and replaces the program" logged "relay0: XDP attached, in its predecessor's place"
check "the transfer completes, in user space now" transfer_completes
check "workers forwarded it" test "$(relay_counter worker_to_client_packets)" -gt 1000
check "and stops clean" again

with 'limits: {sessions: 128}' | relay_start
relay_kill
: >"$WORK/log/relay"
with 'limits: {sessions: 256}' | relay_start
check "maps of another size are replaced, and that is said" logged 'with other limits, replaced'
check "which works" both_answer
check "and stops clean" again

# A default route to an IPv4 backend, and a name whose backend's address nobody has.
nobody_there() {
	in_ns client timeout 3 gtlsclient -q b6.test "$PORT" https://b6.test/ >/dev/null 2>&1
	wait_for "the log says why" 5 logged '[0-9]+ packets dropped: no route, or no answer from the next hop'
}

relay_config kernel | sed '/fqdn: [ab]/d' | cat - <(
	echo "  - {fqdn: '*', type: simple, target: '${V4[a]}:$BACKEND_PORT'}"
	echo "  - {fqdn: b6.test, type: simple, target: '10.83.3.99:$BACKEND_PORT'}"
) | relay_start
check "a name without a route goes to the default route" answers b.test a.test
check "so does an IPv6 client's" answers a6.test a.test
check "packets that cannot get anywhere are told of" nobody_there
check "and stops clean" again

relay_config kernel | sed '/fqdn:/d' | relay_start
check "a relay without routes says so" logged 'there are no routes'
check "and stops clean" again

foreign_program_stays() {
	in_ns relay ip link show dev relay1 | grep -q "xdp"
}

relay_config kernel >"$WORK/config.yaml"
in_ns relay ip link set dev relay1 xdp obj "$BUILD/xdp_pass.bpf.o" sec xdp
check "an interface with another program is refused by name" \
	refused 'relay1: carries XDP program [0-9]+ already' -i relay0,relay1 -n "$INSTANCE"
check "the other program stays" foreign_program_stays
check "and nothing of ours does" test ! -e "$PINS"
finish
