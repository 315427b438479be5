#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# bench: measures the relay against baselines that are built and run beside it
# (docs/bench.md), in testbeds of its own (scripts/testbed.sh). Root; two CPUs,
# which it keeps busy.
#
#   scripts/bench.sh [-q] [GROUP...]
#
#   -q        quick: shorter rounds, no curves; under a minute instead of under six
#   GROUP     initial, kernel, worker, handshake, rtt, footprint; all of them without
#
# Prints a table and which bars are met, and writes BUILD/bench.tsv:
# figure, unit, min, median, max. Exit status 0 if everything was measured.
#
#   BUILD=dir  the build to measure (build)
set -Eeuo pipefail

cd "$(dirname "$0")/.."
build=${BUILD:-build}
prefix=t$$
relay=$build/sluice-relay
bench_pid=""
# Twice the same: the relay in the one, its baselines in the other; and both again with two queues.
testbeds=("$prefix" "$prefix-base" "$prefix-2q" "$prefix-2q-base")

die() {
	echo "bench: $*" >&2
	exit 1
}

cleanup() {
	local status=$? bed

	trap '' INT TERM
	[ -z "$bench_pid" ] || ! kill "$bench_pid" 2>/dev/null || wait "$bench_pid" || true
	for bed in "${testbeds[@]}"; do
		TESTBED=$bed scripts/testbed.sh down || true
		[ ! -e "/sys/fs/bpf/sluice/$bed" ] || "$relay" --detach -n "$bed" || true
		rm -f "/run/sluice/instance-$bed.lock"
	done
	rm -rf "$work"
	exit $status
}

# Clients are a /9 behind the client's own address; the first is its own.
add_clients() {
	local bed=$1

	ip -n "$bed-client" address add 10.128.0.1/32 dev cl0
	ip -n "$bed-relay" route add 10.128.0.0/9 via 10.83.1.2
	nsenter --net="/run/netns/$bed-relay" sysctl -qw net.ipv4.conf.all.rp_filter=0
}

# What the kernel forwards or a socket sends must not wait for, or lose, a neighbour in the middle of a round.
add_neighbours() {
	local bed=$1 end mac

	for end in "relay relay0 client cl0 10.83.1.2" "relay relay1 a a0 10.83.2.2" \
		"client cl0 relay relay0 10.83.1.1" "a a0 relay relay1 10.83.2.1"; do
		# shellcheck disable=SC2086 # a row of words
		set -- $end
		mac=$(ip -n "$bed-$3" -o link show "$4" | sed 's/.*ether \([0-9a-f:]*\).*/\1/')
		ip -n "$bed-$1" neighbour replace "$5" lladdr "$mac" dev "$2" nud permanent
	done
}

quick=()
if [ "${1:-}" = -q ]; then
	quick=(-q)
	shift
fi
[ "$(id -u)" = 0 ] || die "needs root"
[ -x "$relay" ] && [ -x "$build/sluice-bench" ] || die "not built: make bench"

work=$(mktemp -d "/tmp/sluice-bench-$prefix.XXXXXX")
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for bed in "${testbeds[@]}"; do
	forward="" queues=1
	[[ $bed != *-base ]] || forward=1
	[[ $bed != *-2q* ]] || queues=2
	TESTBED=$bed QUEUES=$queues FORWARD=$forward scripts/testbed.sh up
	add_clients "$bed"
	[ -z "$forward" ] || add_neighbours "$bed"
done
# In the background, so that a signal to the script is dealt with at once: the bench is a session of its own.
"$build/sluice-bench" "${quick[@]}" "$relay" "$work" "$build/bench.tsv" "${testbeds[@]}" "$@" &
bench_pid=$!
wait $bench_pid
