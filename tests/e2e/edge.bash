# SPDX-License-Identifier: MIT
#
# edge: two relays of one edge. Sourced by scenarios, in the place of lib.sh.
#
#                      /-- relay0 relay  relay1 ---\
#   client: gtlsclient                              a
#                      \-- relay20 relay2 relay21 -/
#
# Both relays have the address that the client talks to; its route decides, as
# routers do by ECMP.
export SECOND=1
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
SECOND_INSTANCE=$TESTBED-second

# edge_begin NAME PATH [OPTION...]: a transfer with a.test of some seconds; ends by itself once it hears nothing.
edge_begin() {
	local path=$2

	rm -rf "$WORK/answer"
	mkdir "$WORK/answer"
	spawn "$1" client timeout 30 gtlsclient --no-quic-dump --no-http-dump --exit-on-all-streams-close --timeout=5s \
		--download="$WORK/answer" "${@:3}" a.test "$PORT" "https://a.test$path"
	transfer_pid=$spawned_pid
}

edge_ends() {
	local status=0

	wait "$transfer_pid" || status=$?
	echo "the client ends with status $status"
	return $status
}

download_arrives() {
	edge_ends && same_file "$WORK/answer/big" "$WORK/a.htdocs/big"
}

forwarded_more() {
	[ $(($(forwarded kernel) + $(forwarded worker))) -gt "$1" ]
}

# under_way PACKETS: since these the first relay has forwarded 1,000 more: of 4 MB some 4,500 pass, of both directions.
under_way() {
	wait_for "the transfer is under way" 10 forwarded_more $(($1 + 1000))
}

second_counter() {
	"$RELAY" --counters -n "$SECOND_INSTANCE" | awk -v name="$1" '$1 == name { print $2 }'
}

second_says() {
	"$RELAY" --counters -n "$SECOND_INSTANCE" | awk '$2 > 0'
}

# second_start [CONFIG]
second_start() {
	spawn second relay2 "$RELAY" -f "${1:-$WORK/config.yaml}" -i relay20,relay21 -n "$SECOND_INSTANCE"
	second_pid=$spawned_pid
	wait_for "the second relay is ready" 15 grep -q ready "$WORK/log/second" || bail "the second relay starts"
}

to_second() {
	in_ns client ip route add 10.83.1.1/32 via 10.83.4.1 dev cl1 src 10.83.1.2
}

back_to_first() {
	in_ns client ip route del 10.83.1.1/32
}
