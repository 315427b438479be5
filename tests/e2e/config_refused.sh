#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# config_refused: a file with a mistake is refused with file and line, before
# anything is attached; -t says the same without interfaces.
#
#   relay: sluice-relay, alone
. "$(dirname "$0")/lib.sh"

[ -z "$DIRECT" ] || skip "nothing to configure without a relay"
[ -x "$RELAY" ] || bail "$RELAY is built"
testbed_up
mkdir "$WORK/run"

nothing_attached() {
	[ ! -e "$PINS" ] || { echo "$PINS exists"; return 1; }
	for interface in relay0 relay1 relay2; do
		! xdp_attached "$interface" || { echo "XDP is attached to $interface"; return 1; }
	done
}

# refused PATTERN OPTION...: ends by itself with an error that says so, and attaches nothing.
refused() {
	local pattern=$1 status=0

	shift
	in_ns relay timeout 10 "$RELAY" -n "$INSTANCE" "$@" >"$WORK/log/refused" 2>&1 || status=$?
	cat "$WORK/log/refused"
	[ $status != 0 ] && [ $status -lt 124 ] || { echo "exit status $status"; return 1; }
	grep -qE -- "$pattern" "$WORK/log/refused" || { echo "nothing of '$pattern' in it"; return 1; }
	nothing_attached
}

# row NAME LINE YAML: refused in that line, when starting and by -t.
row() {
	printf '%s\n' "$3" >"$WORK/bad.yaml"
	check "$1" refused "bad\.yaml:$2:" -f "$WORK/bad.yaml" -i $RELAY_INTERFACES
	check "$1, by -t" refused "bad\.yaml:$2:" -f "$WORK/bad.yaml" -t
}

row "unknown key" 2 'udp: {port: 443}
udp_port: 443'
row "unknown key below" 1 'udp: {port: 443, colour: red}'
row "port out of range" 1 'udp: {port: 70000}'
row "number that is none" 2 'udp: {port: 443}
limits: {sessions: many}'
row "bad value" 1 'fast_path: magic'
row "bad target" 2 'routes:
  - {fqdn: a.test, type: simple, target: "10.0.0.1"}'
row "no YAML" 1 '{udp: ['

relay_config kernel >"$WORK/good.yaml"
check "a good file passes -t" "$RELAY" -f "$WORK/good.yaml" -t
check "no such file" refused 'missing\.yaml' -f "$WORK/missing.yaml" -i $RELAY_INTERFACES
check "no interface named" refused 'interface' -f "$WORK/good.yaml"
check "no such interface" refused 'relay9' -f "$WORK/good.yaml" -i relay0,relay9
finish
