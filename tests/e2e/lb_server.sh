#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# lb_server: a backend whose connection IDs have each form that a QUIC-LB
# configuration can ask for, or none; transfers through the relay, and clients
# that change their address in the middle of one.
#
#   client: gtlsclient -- relay0 relay relay1 -- a: lb_server   a.test
#            \- 16 Mbit/s for clients that move, else all is over before they do
#
# Two kinds of change: a NAT rebinding, behind which the client goes on with a
# connection ID that the relay has seen, and an active migration, for which it
# takes up a new one: the relay can only tell whose it is by QUIC-LB.
. "$(dirname "$0")/lib.sh"

need gtlsclient tc
need_peer lb_server
testbed_up
make_documents a
make_big a
head -c 2000000 /dev/urandom >"$WORK/slow"

KEY=$QUIC_LB_KEY
forms=(
	"random, 18 bytes|-c random:18"
	"random, 4 bytes|-c random:4"
	"QUIC-LB, plain text|-c lb:1:ed793a:4"
	"QUIC-LB, one pass|-c lb:2:ed793a51d49b8f5f:8:$KEY"
	"QUIC-LB, four passes, 7 bytes|-c lb:0:ed793a:4:$KEY"
	"QUIC-LB, four passes, 18 bytes, length in the first octet|-l -c lb:3:ed793a51d49b8f5fab:9:$KEY"
)
server=""

# backend OPTION...: the server anew.
backend() {
	[ -z "$server" ] || stop_pid "$server"
	start_lb_server a "$@"
	server=$spawned_pid
}

server_logged() {
	grep -E -- "$1" "$WORK/log/lb_server-a"
}

download() {
	gtls a.test /big -q && same_file "$WORK/download/big" "$WORK/a.htdocs/big"
}

# upload [OPTION...]: of some 1 s on the slow link. The server says what reached it.
upload() {
	local body expected

	expected=$(length_and_sum "$WORK/slow")
	gtls a.test /index.html -m POST -d "$WORK/slow" "$@" || return
	body=$(cat "$WORK/download/index.html")
	echo "expected '$expected', got '$body'"
	[ "$body" = "$expected" ]
}

# moves [OPTION...]: an upload in whose middle the client's port changes.
moves() {
	upload --change-local-addr=300ms "$@" && in_client_log 'Local address is now'
}

# How many addresses the server has seen validated, the first one apart.
validated() {
	server_logged '^validated' | sort -u | wc -l
}

# The server sees the change, at a relay port that it did not know, and validates it.
rebinds() {
	moves --nat-rebinding || return
	echo "the server validated $(validated) new addresses"
	[ "$(validated)" = 1 ] && ! server_logged '^unvalidated'
}

drops() {
	echo $(($(relay_counter kernel_drop_unknown_cid) + $(relay_counter worker_drop_unknown_cid)))
}

# Of an ID that is made by no configuration the relay cannot tell whose it is: what carries it is dropped and counted,
# and no backend gets to see it. The client gives up once it has heard nothing for a while.
migration_is_dropped() {
	local before

	before=$(drops)
	! moves --timeout=2s || { echo "the client migrated"; return 1; }
	in_client_log 'Local address is now' || return
	relay_drops
	[ "$(drops)" -gt "$before" ] && [ "$(validated)" = 0 ]
}

# The relay has never seen the client's new ID at its new address, but reads the server out of it.
migrates() {
	local before=0

	[ -n "$DIRECT" ] || before=$(relay_counter worker_quic_lb_sessions_opened)
	moves || { relay_drops; return 1; }
	echo "the server validated $(validated) new addresses"
	[ "$(validated)" = 1 ] || return
	[ -n "$DIRECT" ] || [ "$(relay_counter worker_quic_lb_sessions_opened)" -gt "$before" ]
}

check "the server's encoder makes the connection IDs of the draft's test vectors" "$LB_SERVER" --vectors
for path in kernel userspace; do
	[ -z "$relay_pid" ] || check "$path: the relay before stops clean" relay_stop_clean
	{ relay_config $path; quic_lb_config; } | relay_start
	for form in "${forms[@]}"; do
		# shellcheck disable=SC2086 # a list of options
		backend ${form#*|}
		check "$path: ${form%|*}: 20 MB download arrives whole" download
	done
	limit_clients
	for form in "${forms[@]}"; do
		# shellcheck disable=SC2086
		backend ${form#*|}
		check "$path: ${form%|*}: NAT rebinding in mid-transfer" rebinds
	done
	for form in "${forms[@]}"; do
		[[ $form == QUIC-LB* ]] || continue
		# shellcheck disable=SC2086
		backend ${form#*|}
		check "$path: ${form%|*}: active migration in mid-transfer" migrates
	done
	[ -z "$DIRECT" ] || break
	backend -c random:18
	check "$path: random, 18 bytes: an active migration, of which the relay knows nothing, is dropped" \
		migration_is_dropped
	unlimit_clients
done
finish
