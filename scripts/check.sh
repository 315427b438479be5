#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check: runs the tests and says what came of them.
#
#   scripts/check.sh [GROUP...]     all groups if none is given
#
#   unit        tests/unit, and every fuzz corpus replayed
#   sanitize    the same, built with AddressSanitizer and UBSan into BUILD/sanitize; and some of e2e with that relay
#   xdp         tests/xdp: the XDP program through BPF_PROG_TEST_RUN (root)
#   netns       tests/netns: programs that need network namespaces of their own (root)
#   e2e         tests/e2e: real peers through the relay (root); e2e/NAME runs one
#   vm          tests/vm: xdp, some of netns, and the relay beside other XDP programs on Debian 12's kernel, in QEMU
#
# Builds what it runs. The output of each test is in BUILD/check/GROUP.NAME.log,
# and is shown where one fails. After the groups, that nothing was left behind
# (namespaces, links, pinned maps, processes) is a test of its own. The last
# line is "N passed, N failed, N skipped"; the exit status is 1 after a failure,
# or, with CI=true or STRICT=1, after a skip that tests/allowed-skips does not list.
set -uo pipefail

cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
case $build in
/*) ;;
*) build=$PWD/$build ;;
esac
export BUILD=$build
logs=$build/check
strict=""
[ "${CI:-}" = true ] || [ -n "${STRICT:-}" ] && strict=yes

passed=0
failed=0
skipped=0
unlisted_skips=0
failures=()
child=""

interrupted() {
	# The child cleans up after itself; nothing of it may outlive us.
	[ -z "$child" ] || { kill -TERM "$child" 2>/dev/null; wait "$child"; }
	exit "$1"
}
trap 'interrupted 130' INT
trap 'interrupted 143' TERM

now_ms() {
	local us=${EPOCHREALTIME/[.,]/}
	echo $((us / 1000))
}

# tally LOG STATUS: how many tests a log tells of, as "passed failed skipped": TAP, or cmocka's summary.
tally() {
	awk -v status="$2" '
		/^ok [0-9]/ { passed++ }
		/^not ok [0-9]/ { failed++ }
		/^\[  PASSED  \] [0-9]+ test/ { passed += $4 }
		/^\[  FAILED  \] [0-9]+ test/ { failed += $4 }
		/^\[  SKIPPED \] [0-9]+ test/ { skipped += $4 }
		END {
			if (status == 77) { passed = failed = 0; skipped = 1 }
			else if (status != 0 && !failed) failed = 1 # it crashed, or ran out of time
			else if (status == 0 && !passed && !skipped) passed = 1
			print passed + 0, failed + 0, skipped + 0
		}' "$1"
}

skip_allowed() {
	[ -e tests/allowed-skips ] && grep -v '^#' tests/allowed-skips | awk -v test="$1" '$1 == test { found = 1 } END { exit !found }'
}

# run GROUP NAME SECONDS COMMAND...: one test program.
run() {
	local group=$1 name=$2 limit=$3 log="$logs/$1.$2.log" begin status=0 p f s word

	shift 3
	begin=$(now_ms)
	timeout -k 20 "$limit" "$@" >"$log" 2>&1 </dev/null &
	child=$!
	wait "$child" || status=$?
	child=""
	[ $status != 124 ] || echo "ran out of time: $limit s" >>"$log"
	read -r p f s < <(tally "$log" "$status")
	passed=$((passed + p))
	failed=$((failed + f))
	skipped=$((skipped + s))
	word=ok
	[ "$s" = 0 ] || word=skip
	[ "$f" = 0 ] || word=FAIL
	printf '  %-4s  %-28s %5d  %7.2f s' $word "$name" $((p + f + s)) "$(($(now_ms) - begin))e-3"
	[ $status != 77 ] || printf '  %s' "$(grep -m1 -oE 'SKIP.*' "$log")"
	echo
	if [ "$f" != 0 ]; then
		failures+=("$group/$name: $log")
		tail -n 60 "$log" | cut -c1-300 | sed 's/^/      | /'
	fi
	if [ "$s" != 0 ] && ! skip_allowed "$group/$name"; then
		unlisted_skips=$((unlisted_skips + 1))
	fi
}

# build GROUP MAKE-ARGUMENT...: a build that fails is a failed test.
build() {
	local group=$1 begin

	shift
	begin=$(now_ms)
	if env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make -s -j"$(nproc)" BUILD="$build" ${WERROR:+WERROR="$WERROR"} "$@" \
		>"$logs/$group.build.log" 2>&1 </dev/null; then
		return 0
	fi
	printf '  %-4s  %-28s %5d  %7.2f s\n' FAIL "build" 1 "$(($(now_ms) - begin))e-3"
	tail -n 60 "$logs/$group.build.log" | sed 's/^/      | /'
	failed=$((failed + 1))
	failures+=("$group/build: $logs/$group.build.log")
	return 1
}

need_root() {
	[ "$(id -u)" = 0 ] && return
	run "$1" root 5 sh -c 'echo "1..0 # SKIP needs root"; exit 77'
	return 1
}

# Built here, not within the time limit of the first scenario; that scenario says what went wrong.
build_peers() {
	tests/peers/build.sh >"$logs/build-peers.log" 2>&1 </dev/null
}

# names DIRECTORY PATTERN: the test programs whose sources are there.
names() {
	find "$1" -maxdepth 1 -name "$2" -printf '%f\n' 2>/dev/null | sed 's/\.[a-z]*$//' | sort
}

# run_units GROUP DIRECTORY SECONDS
run_units() {
	local name

	for name in $(names tests/unit 'test_*.c'); do
		run "$1" "$name" "$3" "$2/tests/$name"
	done
	for name in $(names tests/fuzz 'fuzz_*.c'); do
		run "$1" "replay_$name" "$3" "$2/tests/replay_$name"
	done
}

group_unit() {
	build unit tests && run_units unit "$build" 60
}

group_sanitize() {
	local name

	build sanitize BUILD="$build/sanitize" SANITIZE=1 tests all && run_units sanitize "$build/sanitize" 240 || return
	need_root sanitize && build sanitize "$build/xdp_pass.bpf.o" || return
	build_peers
	for name in ngtcp2 garbage many_clients control api_tls; do
		run sanitize "e2e_$name" 180 env RELAY="$build/sanitize/sluice-relay" \
			CONTROL="$build/sanitize/sluice-control" "tests/e2e/$name.sh"
	done
}

group_xdp() {
	local name

	need_root xdp && build xdp xdp-tests || return
	for name in $(names tests/xdp 'test_*.c'); do
		run xdp "$name" 120 "$build/tests/$name"
	done
}

group_netns() {
	local name

	[ -n "$(names tests/netns 'test_*.c')" ] || return 0
	need_root netns && build netns netns-tests || return
	for name in $(names tests/netns 'test_*.c'); do
		run netns "$name" 120 "$build/tests/$name"
	done
}

# group_e2e [NAME]
group_e2e() {
	local name

	need_root e2e && build e2e all c-peers "$build/xdp_pass.bpf.o" || return
	build_peers
	for name in ${1:-$(names tests/e2e '*.sh')}; do
		[ "$name" = lib ] || run e2e "$name" 180 "tests/e2e/$name.sh"
	done
}

group_vm() {
	build vm all xdp-tests netns-tests "$build/xdp_pass.bpf.o" "$build/xdp_count.bpf.o" || return
	run vm debian_kernel 600 tests/vm/run.sh
}

# What the tests could leave behind, one a line.
standing() {
	find /run/netns /etc/netns /sys/fs/bpf/sluice /sys/class/net -mindepth 1 -maxdepth 1 2>/dev/null
	find /tmp -maxdepth 1 -name 'sluice-*' 2>/dev/null
	find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' -lname "$build/*" -printf 'process %p: %l\n' 2>/dev/null
	return 0
}

# Scenarios name what they make t<pid> (tests/e2e/lib.sh): what belongs to a run that is not over, e.g. in another
# terminal, is not left behind.
left_behind() {
	comm -13 <(sort <<<"$before") <(standing | sort) | while read -r thing; do
		[[ $thing =~ [/-]t([0-9]+)([-.]|$) ]] && kill -0 "${BASH_REMATCH[1]}" 2>/dev/null || echo "$thing"
	done
}

# Namespaces and AF_XDP sockets are released in the background: a moment for that, then it counts.
nothing_left() {
	local i left=""

	for ((i = 0; i < 100; i++)); do
		left=$(left_behind)
		[ -n "$left" ] || return 0
		sleep 0.05
	done
	echo "left behind:"
	echo "$left"
	return 1
}

check_leftovers() {
	echo "after"
	if nothing_left >"$logs/after.nothing_left.log"; then
		printf '  %-4s  %-28s %5d\n' ok "nothing left behind" 1
		passed=$((passed + 1))
	else
		printf '  %-4s  %-28s %5d\n' FAIL "nothing left behind" 1
		sed 's/^/      | /' "$logs/after.nothing_left.log"
		failed=$((failed + 1))
		failures+=("after/nothing_left: $logs/after.nothing_left.log")
	fi
}

summary() {
	local failure

	echo
	for failure in "${failures[@]}"; do
		echo "failed: $failure"
	done
	[ -z "$strict" ] || [ $unlisted_skips = 0 ] || echo "skipped, and not in tests/allowed-skips: $unlisted_skips"
	echo "took $((($(now_ms) - started) / 1000)) s"
	echo "$passed passed, $failed failed, $skipped skipped"
	[ $failed = 0 ] && { [ -z "$strict" ] || [ $unlisted_skips = 0 ]; }
}

groups=("$@")
[ $# -gt 0 ] || groups=(unit sanitize xdp netns e2e vm)
for group in "${groups[@]}"; do
	case $group in
	unit | sanitize | xdp | netns | e2e | e2e/* | vm) ;;
	*)
		echo "check: unknown group '$group': must be unit, sanitize, xdp, netns, e2e, e2e/NAME or vm" >&2
		exit 2
		;;
	esac
done

mkdir -p "$logs"
started=$(now_ms)
before=$(standing)
for group in "${groups[@]}"; do
	echo "$group"
	case $group in
	e2e/*) group_e2e "${group#e2e/}" ;;
	*) "group_$group" ;;
	esac
done
check_leftovers
summary
