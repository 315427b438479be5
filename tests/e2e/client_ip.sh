#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# client_ip: backends see their clients' own addresses and ports (`client_ip:
# preserve`) and answer to those, by the relay as their gateway; on either fast
# path, and where the client's port changes, and over a restart. What a backend
# sends to anybody else goes the way of the host.
#
#                                    +--> relay1 -- a: gtlsserver   a.test, a6.test preserve; so does b6.test, to IPv4
#   client: gtlsclient -- relay0 relay
#                                    +--> relay2 -- b: lb_server    b.test relay; QUIC-LB preserve
. "$(dirname "$0")/lib.sh"

[ -z "$DIRECT" ] || skip "without a relay backends see their clients anyway"
need gtlsclient tc tcpdump python3 curl jq
need_peer lb_server
testbed_up
for ns in a:2 b:3; do
	in_ns "${ns%:*}" ip route add default via "10.83.${ns#*:}.1" || bail "default route"
	in_ns "${ns%:*}" ip route add default via "fd00:83:${ns#*:}::1" || bail "IPv6 default route"
done
GTLSSERVER_LOG=1 start_gtlsserver a
server=$spawned_pid
make_big a
start_lb_server b -c "lb:0:0b1e55:4:$QUIC_LB_KEY"
head -c 2000000 /dev/urandom >"$WORK/slow"

config() {
	{
		relay_config "$1"
		quic_lb_config
	} | sed -E "s/fqdn: (a|a6|b6).test,/& client_ip: preserve,/; /b6.test/ s/\[.*\]/${V4[a]}/
		s/- \{config_rotation/- {client_ip: preserve, config_rotation/"
}

# --- what the backend sees

# The addresses and ports that the client had in its last exchange, one a line.
clients_own() {
	grep -oE 'Sent packet: local=[^ ]+' "$WORK/log/gtlsclient" | cut -d= -f2 | sort -u
}

# Those that the server got packets from.
servers_peers() {
	grep -oE 'Received packet: local=[^ ]+ remote=[^ ]+' "$WORK/log/gtlsserver-a" | sed 's/.*remote=//' | sort -u
}

# seen COMMAND...: by what it does the server hears from the client's own addresses and ports, COUNT of them, and no other.
seen() {
	local count=$1

	shift
	: >"$WORK/log/gtlsserver-a"
	"$@" || return
	echo "the client had $(clients_own | xargs), the server saw $(servers_peers | xargs)"
	[ "$(clients_own | wc -l)" = "$count" ] && [ "$(clients_own)" = "$(servers_peers)" ]
}

# In the middle of an upload of a second.
rebound() {
	gtls "$1" /index.html -m POST -d "$WORK/slow" --change-local-addr=300ms --nat-rebinding || return
	grep '^Path validation against path .* succeeded' "$WORK/log/gtlsserver-a"
}

# seen_from_the_relay HOST
seen_from_the_relay() {
	: >"$WORK/log/gtlsserver-a"
	answers "$1" a.test || return
	echo "the server saw $(servers_peers | xargs)"
	[ "$(servers_peers | grep -c '^\[10.83.2.1\]:')" = 1 ] && [ "$(servers_peers | wc -l)" = 1 ]
}

# captured_from ADDRESS: all that came to b was from there.
captured_from() {
	stop_capture b
	echo "$(captured b "src $1") packets from $1, $(captured b "not src $1") from others"
	[ "$(captured b "src $1")" -gt 0 ] && [ "$(captured b "not src $1")" = 0 ]
}

start_capture_b() {
	start_capture b b b0 "dst port $BACKEND_PORT and not src host ${V4[b]}"
}

# --- transfers that something happens to

# An upload in whose middle the client goes to a new address with a new connection ID, which names its server.
migrates() {
	local expected before

	expected=$(length_and_sum "$WORK/slow")
	before=$(relay_counter worker_quic_lb_sessions_opened)
	gtls b.test /index.html -m POST -d "$WORK/slow" --change-local-addr=300ms || { relay_drops; return 1; }
	echo "expected '$expected', got '$(cat "$WORK/download/index.html")'"
	[ "$(cat "$WORK/download/index.html")" = "$expected" ] || return
	in_client_log 'Local address is now' || return
	[ "$(relay_counter worker_quic_lb_sessions_opened)" -gt "$before" ]
}

# Its second address is not a relay's any more.
seen_after_migration() {
	stop_capture b
	echo "$(captured b 'src 10.83.3.1') packets from the relay, $(captured b 'src 10.83.1.2') from the client itself"
	[ "$(captured b 'src 10.83.3.1')" -gt 0 ] && [ "$(captured b 'src 10.83.1.2')" -gt 0 ]
}

# Killed in the middle of a download, which goes on in the kernel, and by its successor.
restart_in_the_middle() {
	throttle a 40mbit
	transfer_begin a6.test || return
	relay_kill
	wait_for "packets for the client without a relay process" 5 \
		kernel_forwards_more $(($(relay_counter kernel_to_client_packets) + 100)) || return
	config kernel | relay_start
	transfer_completes a || { relay_drops; return 1; }
	unthrottle a
	logged 'adopted [1-9]'
}

# --- the host's own way

# A datagram of a's to the client's port 9999, and back by the relay's host.
echoes_by_the_host() {
	spawn echo client python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.83.1.2", 9999))
data, peer = s.recvfrom(100)
s.sendto(data, peer)'
	wait_udp client 9999 "the echo"
	in_ns a python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.sendto(b"by the host", ("10.83.1.2", 9999))
print(s.recvfrom(100))'
}

# --- what the API says

api_shows_the_client() {
	says 200 '[.sessions[].paths[] | select(.relay == .client)] | length > 0' GET '/sessions?fqdn=a.test' || return
	says 200 '.client == .paths[0].relay' \
		GET "/sessions/by-path/${V4[a]}:$BACKEND_PORT/$(clients_own | sed -E 's/[][]//g')"
}

# api_route CLIENT_IP [MEMBER]: says so of a.test.
api_route() {
	api PUT /routes/a.test -H 'Content-Type: application/json' \
		-d "{\"type\":\"simple\",\"target\":\"${V4[a]}:$BACKEND_PORT\",\"client_ip\":\"$1\"${2:-}}"
}

pinned_is_refused() {
	api_route preserve ',"migration":"pinned"' | tee "$WORK/refusal"
	[ "$(cat "$WORK/status")" = 400 ] && grep -q '"client_ip: must be relay' "$WORK/refusal"
}

# The relay knew of no such route: it begins to look for these answers now.
route_is_changed() {
	api_route preserve && says 200 '.client_ip == "preserve"' GET /routes/a.test && seen 1 answers a.test a.test
}

route_is_changed_back() {
	api_route relay && says 200 'has("client_ip") | not' GET /routes/a.test && seen_from_the_relay a.test
}

for path in kernel userspace; do
	[ -z "$relay_pid" ] || check "$path: the relay before stops clean" relay_stop_clean
	config $path | relay_start
	check "$path: the backend sees the client's own address and port" seen 1 answers a.test a.test
	check "$path: the same by IPv6" seen 1 answers a6.test a.test
	limit_clients
	check "$path: the client's port changes, and the backend sees and validates it" seen 2 rebound a.test
	check "$path: the same by IPv6" seen 2 rebound a6.test
	unlimit_clients
	check "$path: a backend of the other family sees the relay" seen_from_the_relay b6.test
	start_capture_b
	check "$path: a route that does not preserve" answers b.test b.test
	check "$path: its backend sees the relay" captured_from 10.83.3.1
	limit_clients
	start_capture_b
	check "$path: QUIC-LB: active migration in mid-transfer" migrates
	check "$path: QUIC-LB: the backend sees where the client is" seen_after_migration
	unlimit_clients
	stop_pid "$server" # it tells of each packet, which takes its time
	start_gtlsserver a
	quiet_server=$spawned_pid
	transfers $path a.test "IPv4"
	transfers $path a6.test "IPv6"
	[ $path != kernel ] || check "a download goes on while the relay is killed and started again" restart_in_the_middle
	stop_pid "$quiet_server"
	GTLSSERVER_LOG=1 start_gtlsserver a
	server=$spawned_pid
done

check "the relay before stops clean" relay_stop_clean
relay_config kernel | relay_start
control_start
check "the control process is connected" wait_for "readiness" 10 is_ready
check "without it in the file the backend sees the relay" seen_from_the_relay a.test
check "the API refuses a route that preserves and is pinned" pinned_is_refused
check "a route that the API changes so: the backend sees the client" route_is_changed
check "the API shows the client where the backend sees it, and finds it there" api_shows_the_client
in_ns relay sysctl -qw net.ipv4.ip_forward=1
in_ns client ip route add 10.83.2.0/24 via 10.83.1.1 || bail "the client's route"
check "what the backend sends to others the host forwards, and what comes back" echoes_by_the_host
check "and back: the backend sees the relay" route_is_changed_back
finish
