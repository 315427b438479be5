#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# interop: every QUIC client with every server through the relay, and a table
# of what came of it.
#
#   tests/interop/run.sh [CLIENT/SERVER/TEST...]
#
# Patterns choose cells ('quinn/*/*'); without any, all are run, and the table
# is written into docs/interop.md, which says what clients, servers and tests
# there are. A cell that fails is run again without the relay: what fails there
# too is the peers' own affair. The exit status is 1 if the relay spoilt a cell.
#
#   FAST_PATH=userspace   workers forward instead of the XDP program
#   E2E_DIRECT=1          all cells without the relay
#
#                                                  +--> relay1 -- a: server   a.test, a6.test
#   client: every client in its turn -- relay0 relay
#                                                  +--> relay2 -- b: server   b.test, b6.test
. "$(dirname "$0")/../e2e/lib.sh"
SCENARIO=interop
. "$(dirname "$0")/peers.sh"
. "$(dirname "$0")/report.sh"

CLIENTS=(quicgo quinn aioquic ngtcp2 chromium)
SERVERS=(quicgo quinn aioquic ngtcp2 caddy)
TESTS=(handshake transfer retry v2 upgrade 0rtt rebind migrate)
declare -A outcome=() # of "client/server/test": ok, FAIL, peer, cid, or "- why" where it cannot be
declare -A unseen=()  # failed cells in which the client came from elsewhere with a CID that nobody had seen
declare -A absent=()  # stacks that cannot be had here, and why
server_pids=()

# --- the tests -----------------------------------------------------------------------------------

# captured_fetch FETCH-ARGUMENT...: the client's packets are in "cell" after it.
captured_fetch() {
	local status=0

	start_capture cell client cl0 udp port "$PORT"
	fetch "$@" || status=$?
	stop_capture cell
	return $status
}

# from_server FILTER...: how many of its datagrams are like this.
from_server() {
	captured cell "udp src port $PORT and ($1)"
}

# udp[8]: first byte of the datagram; udp[9:4]: the version of a long header (RFC 8999 s5.1). The type bits of a Retry are
# those of v1 (RFC 9000 s17.2.5).
long='udp[8] & 0x80 != 0'
in_v1="$long and udp[9:4] = 1"
in_v2="$long and udp[9:4] = 0x6b3343cf"

test_handshake() {
	local host

	for host in a.test b.test a6.test b6.test; do
		fetch "$1" plain $host name.html || { echo "$host"; return 1; }
	done
}

test_transfer() {
	fetch "$1" plain a.test big
}

test_retry() {
	captured_fetch "$1" plain a.test name.html || return
	echo "no Retry was seen"
	[ "$(from_server "udp[8] & 0xf0 = 0xf0 and udp[9:4] = 1")" -gt 0 ]
}

test_v2() {
	captured_fetch "$1" v2 a.test name.html || return
	echo "from the server: $(from_server "$in_v2") in v2, $(from_server "$in_v1") in v1"
	[ "$(from_server "$in_v2")" -gt 0 ] && [ "$(from_server "$in_v1")" -eq 0 ]
}

test_upgrade() {
	captured_fetch "$1" upgrade a.test name.html || return
	echo "from the client in v1: $(captured cell "udp dst port $PORT and $in_v1"); from the server: $(from_server "$in_v2") in v2"
	[ "$(captured cell "udp dst port $PORT and $in_v1")" -gt 0 ] && [ "$(from_server "$in_v2")" -gt 0 ]
}

test_0rtt() {
	fetch "$1" 0rtt a.test name.html
}

# An address counts if a good part of the answer went there: about 400 packets come before the change, 2,500 after it.
addresses_served() {
	tcpdump -nr "$WORK/cell.pcap" "udp src port $PORT" 2>/dev/null | grep -oE '> [0-9.]+:' | sort | uniq -c |
		awk '$1 >= 100' | wc -l
}

# In the middle of an answer that takes two seconds.
changes_address() {
	local status=0

	throttle a 16mbit
	captured_fetch "$1" "$2" a.test medium || status=$?
	unthrottle a
	echo "the server's data went to $(addresses_served) addresses"
	[ $status = 0 ] && [ "$(addresses_served)" = 2 ]
}

test_rebind() {
	changes_address "$1" rebind
}

test_migrate() {
	changes_address "$1" migrate
}

# --- the matrix ----------------------------------------------------------------------------------

patterns=("$@")

chosen() {
	local pattern

	[ ${#patterns[@]} -gt 0 ] || return 0
	for pattern in "${patterns[@]}"; do
		# shellcheck disable=SC2053 # a pattern
		[[ $1 == $pattern ]] && return 0
	done
	return 1
}

# lost_cids: packets so far that came from an unknown address with an unknown CID.
lost_cids() {
	[ -n "$DIRECT" ] && echo 0 || echo $(($(relay_counter kernel_drop_unknown_cid) + $(relay_counter worker_drop_unknown_cid)))
}

# cell CLIENT SERVER TEST
cell() {
	local name="$1/$2/$3" why before=$failures lost

	chosen "$name" || return 0
	why=$(lacks "$@")
	if [ -n "$why" ]; then
		outcome[$name]="- $why"
		return
	fi
	lost=$(lost_cids)
	check "$name" "test_$3" "$1"
	if [ $failures = "$before" ]; then
		outcome[$name]=ok
	else
		outcome[$name]=FAIL
		[ "$3" != migrate ] || [ "$(lost_cids)" -le "$lost" ] || unseen[$name]=yes
		relay_drops | sed 's/^/#   since the start: /'
	fi
}

# servers STACK [retry]: instead of those that run.
servers() {
	local ns

	for ns in "${server_pids[@]}"; do
		stop_pid "$ns" || bail "a server ends"
	done
	server_pids=()
	for ns in a b; do
		start_server "$1" $ns ${2:-}
		server_pids+=("$spawned_pid")
	done
}

# chosen_cells SERVER TEST...: "CLIENT SERVER TEST" of every client there is, one a line.
chosen_cells() {
	local server=$1 client test

	shift
	for client in "${CLIENTS[@]}"; do
		for test in "$@"; do
			[ -z "${absent[$client]:-}" ] && chosen "$client/$server/$test" && echo "$client $server $test"
		done
	done
}

# run_cells SERVER RETRY TEST...: with servers that send Retry, or (empty) do not.
run_cells() {
	local server=$1 retry=$2 row todo

	shift 2
	mapfile -t todo < <(chosen_cells "$server" "$@")
	[ ${#todo[@]} -gt 0 ] || return 0
	[ -n "${LACKS[server $server ${retry:-plain}]:-}" ] || servers "$server" $retry
	for row in "${todo[@]}"; do
		# shellcheck disable=SC2086 # three words
		cell $row
	done
}

run_matrix() {
	local server test without_retry=()

	for test in "${TESTS[@]}"; do
		[ "$test" = retry ] || without_retry+=("$test")
	done
	for server in "${SERVERS[@]}"; do
		[ -z "${absent[$server]:-}" ] || continue
		run_cells "$server" "" "${without_retry[@]}"
		run_cells "$server" retry retry
	done
}

# settle CELL OUTCOME: its failure is not the relay's fault.
settle() {
	[ "${outcome[$1]:-}" = FAIL ] || return 0
	outcome[$1]=$2
	failures=$((failures - 1))
}

# still_failed: the cells that nothing explains yet, one a line.
still_failed() {
	local name

	for name in "${!outcome[@]}"; do
		[ "${outcome[$name]}" != FAIL ] || echo "$name"
	done
}

# direct_once CELL...: without the relay. What fails there too is the peers' affair.
direct_once() {
	local name

	say "without the relay: $*"
	E2E_DIRECT=1 timeout -k 20 300 "$0" "$@" >"$WORK/log/direct" 2>&1 &
	pids+=($!)
	wait $!
	while read -r name; do
		settle "$name" peer
	done < <(sed -n 's/^not ok .* - interop: //p' "$WORK/log/direct")
}

DIRECT_ROUNDS=5      # what fails every other time without the relay too is taken for the relay's fault once in 32 times

# Which of the failed cells fail without the relay too, and which cannot do otherwise; the rest are faults of the relay.
blame() {
	local name round failed

	[ -z "$DIRECT" ] || return 0
	for ((round = 0; round < DIRECT_ROUNDS; round++)); do
		mapfile -t failed < <(still_failed)
		[ ${#failed[@]} -gt 0 ] || break
		direct_once "${failed[@]}"
		for name in "${!unseen[@]}"; do
			settle "$name" cid
		done
	done
}

need tcpdump openssl
for stack in quicgo quinn aioquic ngtcp2 caddy chromium; do
	absent[$stack]=$(ready_stack $stack)
	[ -z "${absent[$stack]}" ] || say "left out: ${absent[$stack]}"
done
testbed_up
for ns in a b; do
	make_site $ns
done
relay_config "${FAST_PATH:-kernel}" | relay_start
run_matrix
blame
[ -n "$DIRECT" ] || print_table
[ -n "$DIRECT" ] || [ ${#patterns[@]} -gt 0 ] || write_report "$TOP/docs/interop.md"
finish
