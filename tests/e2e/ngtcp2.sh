#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# ngtcp2: its client reaches two of its servers by name through the relay, on
# either fast path. The servers choose connection IDs of 18 bytes.
#
#                                    +--> relay1 -- a: gtlsserver        a.test, a6.test
#   client: gtlsclient -- relay0 relay
#                                    +--> relay2 -- b: gtlsserver -V     b.test, b6.test
#                                                      (a Retry for each)
. "$(dirname "$0")/lib.sh"

need gtlsclient tc
testbed_up
start_gtlsserver a
quiet_server=$spawned_pid
start_gtlsserver b -V
make_big a

retried() {
	answers b.test b.test && in_client_log 'pkt rx .* type=Retry'
}

retried_v6() {
	answers b6.test b.test && in_client_log 'pkt rx .* type=Retry'
}

key_updated() {
	answers a.test a.test --key-update=10ms --delay-stream=30ms && in_client_log 'cry key update confirmed'
}

download() {
	gtls a.test /big -q && same_file "$WORK/download/big" "$WORK/a.htdocs/big"
}

upload() {
	gtls a.test /index.html -q -m POST -d "$WORK/a.htdocs/big" "$@"
}

rebound() {
	answers a.test a.test --change-local-addr=20ms --nat-rebinding --delay-stream=60ms || return
	local ports
	ports=$(grep -oE 'Sent packet: local=[^ ]+' "$WORK/log/gtlsclient" | sort -u | wc -l)
	echo "the client used $ports addresses"
	[ "$ports" = 2 ]
}

# rebound_at WHEN: in the middle of a 20 MB upload of some 1.6 s. The server validates the one address that is new to it.
rebound_at() {
	local validated

	: >"$WORK/log/gtlsserver-a"
	upload --change-local-addr="$1" --nat-rebinding || return
	validated=$(grep -c '^Path validation against path .* succeeded' "$WORK/log/gtlsserver-a")
	echo "the server validated $validated addresses"
	[ "$validated" = 1 ]
}

# rebinds PATH: the server tells of each packet meanwhile, which takes its time.
rebinds() {
	local when loud_server

	stop_pid "$quiet_server"
	GTLSSERVER_LOG=1 start_gtlsserver a
	loud_server=$spawned_pid
	limit_clients 100mbit
	for when in 100ms 600ms 1100ms; do
		check "$1: the client's port changes ${when} into a 20 MB upload, and is validated once" rebound_at $when
	done
	unlimit_clients
	stop_pid "$loud_server"
	start_gtlsserver a
	quiet_server=$spawned_pid
}

# transfers_by PATH: a 20 MB transfer each way, and who forwarded it.
transfers_by() {
	local kernel worker share

	[ -n "$DIRECT" ] || { kernel=$(forwarded kernel) worker=$(forwarded worker); }
	check "$1: 20 MB download arrives whole" download
	check "$1: 20 MB upload is accepted" upload
	[ -z "$DIRECT" ] || return 0
	share=$(share_since "$kernel" "$worker")
	case $1 in
	kernel) check "kernel: XDP forwarded at least 95 % of the packets ($share %)" test "$share" -ge 95 ;;
	userspace) check "userspace: XDP forwarded none ($share %)" test "$share" -eq 0 ;;
	esac
}

for path in kernel userspace; do
	[ -z "$relay_pid" ] || check "$path: the relay before stops clean" relay_stop_clean
	relay_config $path | relay_start
	check "$path: a.test is backend a, IPv4" answers a.test a.test
	check "$path: a6.test is backend a, IPv6" answers a6.test a.test
	check "$path: names are matched without regard to case" answers A.TeSt a.test
	check "$path: b.test is backend b, through its Retry, IPv4" retried
	check "$path: b6.test is backend b, through its Retry, IPv6" retried_v6
	check "$path: key update" key_updated
	check "$path: 0-RTT of a resumed session" gtls_resumed answers a.test a.test
	check "$path: the client's port changes" rebound
	transfers_by $path
	rebinds $path
	[ -z "$DIRECT" ] || break
done
finish
