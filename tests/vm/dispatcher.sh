#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# dispatcher: the relay beside other XDP programs, in libxdp's dispatcher. In
# the machine that run.sh boots: not every kernel allows a dispatcher.
#
#   client: gtlsclient -- relay0 relay relay1 -- a: gtlsserver   a.test
#                                      relay2 -- b: gtlsserver   b.test
#
#   relay0  count_before (10), sluice_xdp (60), count_after (90); native mode
#   relay1  xdp_pass (50), sluice_xdp (60); generic mode
#   relay2  sluice_xdp alone, by a link of its own
. "$(dirname "$0")/../e2e/lib.sh"

need gtlsclient xdp-loader bpftool
testbed_up
start_gtlsserver a
start_gtlsserver b

loader() {
	in_ns relay xdp-loader "$@"
}

# programs INTERFACE: the names of those in its dispatcher, in their order.
programs() {
	loader status "$1" | awk '/^ =>/ { printf "%s%s", separator, $3; separator = " " }'
}

# carries INTERFACE PROGRAM...
carries() {
	local interface=$1

	shift
	echo "expected '$*', there are '$(programs "$interface")'"
	[ "$(programs "$interface")" = "$*" ]
}

count_load() {
	loader load -m native -P "$2" -n "count_$1" relay0 "$BUILD/xdp_count.bpf.o"
}

counters_load() {
	count_load before 10 && count_load after 90
}

others_load() {
	counters_load && loader load -m skb -P 50 relay1 "$BUILD/xdp_pass.bpf.o" && others_alone
}

others_alone() {
	carries relay0 count_before count_after && carries relay1 xdp_pass
}

all_there() {
	carries relay0 count_before sluice_xdp count_after && carries relay1 xdp_pass sluice_xdp && xdp_attached relay2
}

# seen before|after: frames that this program counted.
seen() {
	bpftool -j map lookup name "seen_$1" key 0 0 0 0 | grep -oE '"value":[0-9]+}*$' | tr -cd '0-9'
}

both_answer() {
	answers a6.test a.test && answers b.test b.test
}

# Datagrams to a port that is not the relay's, until $WORK/enough is there; how many is then in $WORK/sent.
send_others() {
	rm -f "$WORK/enough" "$WORK/sent"
	[ -p "$WORK/never" ] || mkfifo "$WORK/never"
	after_begin=$(seen after)
	spawn others client bash -c 'n=0
		exec 3<>"$1/never"
		while [ ! -e "$1/enough" ]; do
			echo >/dev/udp/10.83.1.1/9
			n=$((n + 1))
			read -rt 0.02 -u 3
		done
		echo $n >"$1/sent"' send "$WORK"
	others_pid=$spawned_pid
	wait_for "others are on their way" 10 others_come
}

others_come() {
	[ "$(seen after)" -ge $((after_begin + 20)) ]
}

reached_all() {
	[ "$(seen after)" -ge $((after_begin + $(cat "$WORK/sent"))) ]
}

# No frame met a moment without the other programs.
all_seen() {
	touch "$WORK/enough"
	wait_for "the sender ends" 10 gone "$others_pid"
	echo "sent $(cat "$WORK/sent"), seen $(($(seen after) - after_begin))"
	wait_for "all frames are counted" 5 reached_all
}

check "xdp-loader puts other programs on two interfaces" others_load

relay_config kernel | relay_start
check "it joins a dispatcher in native mode" \
	logged 'relay0: XDP attached, beside others in the dispatcher of program [0-9]+, native mode'
check "and one in generic mode" logged 'relay1: XDP attached, beside others .*, generic mode'
check "an interface without a program gets a link" logged 'relay2: XDP attached, native mode'
check "everyone is there, by priority" all_there
check "connections through dispatchers and link" both_answer
send_others
check "what is not ours reaches the program behind" all_seen

# Ours: the program in front sees it, the one behind does not.
ours_ends_here() {
	local before after

	head -c 200000 /dev/urandom >"$WORK/a.htdocs/some"
	before=$(seen before) after=$(seen after)
	gtls a.test /some && same_file "$WORK/download/some" "$WORK/a.htdocs/some" || return
	echo "before: $(($(seen before) - before)), after: $(($(seen after) - after))"
	[ $(($(seen before) - before)) -gt $((5 + $(seen after) - after)) ]
}

check "what is ours does not" ours_ends_here
check "the kernel forwards it" test "$(forwarded kernel)" -gt 50

# --- what is refused --------------------------------------------------------------------------------

check "a second relay in the dispatcher is refused" \
	refused "relay0: carries XDP program [0-9]+ already, another relay's" -i relay0 -n "$INSTANCE-2"
check "that one left nothing" test ! -e "$PINS-2"

# --- a successor ------------------------------------------------------------------------------------

transfer_goes_on() {
	wait_for "packets through XDP" 10 kernel_forwards_more $(($(relay_counter kernel_to_client_packets) + 30)) &&
		alive "$transfer_pid"
}

ends_by_usr2() {
	kill -USR2 "$relay_pid" && wait "$relay_pid"
}

# A transfer that does not end.
in_ns a tc qdisc add dev a0 root tbf rate 1mbit burst 16kb latency 50ms
truncate -s 1G "$WORK/a.htdocs/endless"
spawn endless client gtlsclient -q --exit-on-all-streams-close a.test "$PORT" https://a.test/endless
transfer_pid=$spawned_pid
check "a transfer" transfer_goes_on
send_others
check "SIGUSR2 ends the relay" ends_by_usr2
relay_pid=""
check "its programs stay" all_there
check "the transfer goes on without a process" transfer_goes_on
: >"$WORK/log/relay"
relay_config kernel | relay_start
check "a successor takes its place in the dispatchers" \
	logged "relay0: XDP attached, in its predecessor's place in the dispatcher"
check "and that of the link" logged "relay2: XDP attached, in its predecessor's place"
check "each program is there once" all_there
check "the session was adopted" logged 'adopted [1-9][0-9]* session'
check "no frame missed the other programs" all_seen
check "the transfer goes on" transfer_goes_on

# --- a crash ----------------------------------------------------------------------------------------

send_others
relay_kill
check "after kill -9 all programs stay" all_there
check "after kill -9 the transfer goes on" transfer_goes_on
: >"$WORK/log/relay"
relay_config kernel | relay_start
check "the next start finds its program in the dispatcher" \
	logged "relay0: XDP attached, in its predecessor's place in the dispatcher"
check "each program is there once again" all_there
check "no frame missed the other programs" all_seen
check "the transfer goes on through it all" transfer_goes_on
stop_pid "$transfer_pid"
in_ns a tc qdisc del dev a0 root

# --- the others come and go -------------------------------------------------------------------------

# count_unload before|after
count_unload() {
	loader unload relay0 -i "$(loader status relay0 | awk -v name="count_$1" '$3 == name { print $4 }')"
}

unload_before() {
	count_unload before && carries relay0 sluice_xdp count_after
}

check "another program leaves" unload_before
check "and comes back" count_load before 10
check "the relay forwards still" answers a.test a.test

# --- the end ----------------------------------------------------------------------------------------

nothing_of_ours() {
	others_alone && ! xdp_attached relay2 && [ ! -e "$PINS" ]
}

detaches() {
	in_ns relay "$RELAY" --detach -n "$INSTANCE" && nothing_of_ours
}

stops() {
	relay_stop && nothing_of_ours
}

relay_kill
: >"$WORK/log/relay"
{ relay_config kernel; echo 'limits: {sessions: 128}'; } | relay_start
check "a start with other limits replaces the program" logged 'with other limits, replaced'
check "each program is there once in the end" all_there
check "SIGTERM takes it out, and leaves the others" stops
relay_config kernel | relay_start
relay_kill
check "--detach takes out what a killed relay left, and leaves the others" detaches
relay_config kernel | relay_start
check "a relay starts after that" answers a.test a.test
relay_kill
RELAY_INTERFACES=relay0,relay2
relay_config kernel | relay_start
check "a start without an interface takes the program out there" carries relay1 xdp_pass

all_leave() {
	count_unload before && count_unload after && carries relay0 sluice_xdp
}

stops_alone() {
	relay_stop && ! xdp_attached relay0 && ! xdp_attached relay2 && [ ! -e "$PINS" ]
}

check "all others leave" all_leave
relay_kill
relay_config kernel | relay_start
check "a successor in a dispatcher of its own" carries relay0 sluice_xdp
check "and it forwards" answers b.test b.test
check "SIGTERM leaves nothing there" stops_alone
check "the others are loaded again" counters_load

# --- what the configuration says --------------------------------------------------------------------

# with_xdp KEY: VALUE
with_xdp() {
	relay_config kernel
	echo "xdp: {$1}"
}

RELAY_INTERFACES=relay2
: >"$WORK/log/relay"
with_xdp 'dispatcher: always' | relay_start
check "xdp.dispatcher: always puts one where none is" logged 'relay2: XDP attached, in a new dispatcher, native mode'
check "others can join it" loader load -m native -P 50 relay2 "$BUILD/xdp_pass.bpf.o"
check "both are there" carries relay2 xdp_pass sluice_xdp
check "a relay that ends leaves the other" relay_stop
check "which is alone" carries relay2 xdp_pass
loader unload relay2 --all
with_xdp 'dispatcher: never' >"$WORK/config.yaml"
check "xdp.dispatcher: never refuses one" refused 'relay0: .* a dispatcher, which xdp.dispatcher forbids' -i relay0
with_xdp 'mode: generic' >"$WORK/config.yaml"
check "xdp.mode forbids one of another mode" refused 'relay0: .* in native mode, which xdp.mode forbids' -i relay0

# --- what cannot be ---------------------------------------------------------------------------------

relay_config kernel >"$WORK/config.yaml"
export LIBXDP_OBJECT_PATH=$WORK
check "where joining fails, libxdp's words say why" \
	refused 'a dispatcher that cannot be joined: .*xdp-dispatcher.o; detach it first' -i relay2,relay0 -n "$INSTANCE"
unset LIBXDP_OBJECT_PATH
check "and the others stay" nothing_of_ours
loader unload relay0 --all
in_ns relay ip link set dev relay0 xdp obj "$BUILD/xdp_pass.bpf.o" sec xdp
check "a program without a dispatcher is refused by name" refused 'relay0: carries XDP program [0-9]+ already' \
	-i relay0,relay2 -n "$INSTANCE"
check "and nothing of ours is left" test ! -e "$PINS"
finish
