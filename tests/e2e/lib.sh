# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# lib: what every end-to-end scenario needs. A scenario sources it, sets the
# testbed up (scripts/testbed.sh draws it), and runs checks:
#
#   . "$(dirname "$0")/lib.sh"
#   testbed_up
#   start_gtlsserver a a.test
#   relay_config kernel | relay_start
#   check "a.test answers" answers a.test a.test
#   finish
#
# Output is TAP; the exit status is 0, 1 after a failed check, or 77 when the
# scenario cannot run here (the reason is printed). Everything started is ended
# on every way out; after a failure the logs of all processes are shown, and
# kept in BUILD/check/logs-SCENARIO.
#
#   BUILD=dir       the build to test (build)
#   RELAY=file      another relay than BUILD's, e.g. one built with sanitizers
#   PATIENCE=n      waits n times as long, for a slow machine (1)
#   E2E_DIRECT=1    without a relay: the kernel forwards, names are the backends'
#                   own addresses. Tells a broken peer from a broken relay.

set -uo pipefail
shopt -s lastpipe # "relay_config ... | relay_start" sets variables here, not in a subshell

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
SCENARIO=$(basename "$0" .sh)
BUILD=${BUILD:-build}
case $BUILD in
/*) ;;
*) BUILD=$TOP/$BUILD ;;
esac
export BUILD
export TESTBED="t$$"
INSTANCE=$TESTBED
RELAY=${RELAY:-$BUILD/sluice-relay}
QUICGO=$BUILD/peers/quicgo
LB_SERVER=$BUILD/peers/lb_server
PINS=/sys/fs/bpf/sluice/$INSTANCE
RELAY_INTERFACES=relay0,relay1,relay2
PATIENCE=${PATIENCE:-1}

PORT=443             # where clients connect
BACKEND_PORT=4433    # where backends listen: not the same, so that a relay which forgets a port shows
DIRECT=${E2E_DIRECT:-}
if [ -n "$DIRECT" ]; then
	BACKEND_PORT=$PORT
	export FORWARD=1
fi

# backend addresses of the testbed, by namespace
declare -A V4=([a]=10.83.2.2 [b]=10.83.3.2) V6=([a]=fd00:83:2::2 [b]=fd00:83:3::2)

WORK=$(mktemp -d "/tmp/sluice-e2e-$TESTBED.XXXXXX") || exit 1
mkdir "$WORK/log"
pids=()
declare -A captures=()
relay_pid=""
testbed=""
checks=0
failures=0
finished=""

say() {
	echo "# $*"
}

# --- outcome -------------------------------------------------------------------------------------

ok() {
	checks=$((checks + 1))
	echo "ok $checks - $SCENARIO: $1"
}

not_ok() {
	checks=$((checks + 1))
	failures=$((failures + 1))
	echo "not ok $checks - $SCENARIO: $1"
}

# check NAME COMMAND...: one test; the command's output is shown only if it fails.
check() {
	local name=$1 log="$WORK/log/check.$((checks + 1))"

	shift
	if "$@" >"$log" 2>&1; then
		ok "$name"
		rm -f "$log"
	else
		not_ok "$name"
		tail -n 20 "$log" | sed 's/^/#   /'
	fi
}

skip() {
	echo "1..0 # SKIP $SCENARIO: $*"
	finished=yes
	exit 77
}

# A step without which the rest makes no sense.
bail() {
	not_ok "$*"
	exit 1
}

finish() {
	[ -z "$relay_pid" ] || check "the relay stops with status 0, and nothing of it is left" relay_stop_clean
	echo "1..$checks"
	finished=yes
	exit $((failures > 0))
}

show_logs() {
	local file keep="$BUILD/check/logs-$SCENARIO"

	rm -rf "$keep"
	mkdir -p "$BUILD/check"
	cp -r "$WORK/log" "$keep"
	for file in "$keep"/*; do
		[ -s "$file" ] || continue
		[[ $file != */check.* ]] || continue # shown where it failed
		echo "# --- last lines of $file"
		tail -n 15 "$file" | cut -c1-200 | tr -cd '[:print:]\t\n' | sed 's/^/#   /'
	done
}

cleanup() {
	local status=$? pid

	trap '' INT TERM
	if [ $status != 0 ] && [ $status != 77 ]; then
		[ -n "$finished" ] || echo "# $SCENARIO ended early, status $status"
		show_logs
	fi
	[ -z "$relay_pid" ] || relay_stop >/dev/null 2>&1
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null
	done
	[ -z "$testbed" ] || "$TOP/scripts/testbed.sh" down
	[ ! -e "$PINS" ] || "$RELAY" --detach -n "$INSTANCE"
	rm -f "/run/sluice/instance-$INSTANCE.lock" # of --detach, which knows no run_dir
	rm -rf "$WORK"
	exit $status
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- waiting -------------------------------------------------------------------------------------

# wait_for DESCRIPTION SECONDS COMMAND...: polls until the command succeeds; fails, and says so, after SECONDS.
wait_for() {
	local what=$1 deadline=$((${EPOCHREALTIME/[.,]/} + $2 * 1000000 * PATIENCE))

	shift 2
	until "$@" >/dev/null 2>&1; do
		if [ "${EPOCHREALTIME/[.,]/}" -ge $deadline ]; then
			echo "timed out: $what"
			return 1
		fi
		sleep 0.02
	done
}

alive() {
	kill -0 "$1" 2>/dev/null
}

gone() {
	! alive "$1"
}

# --- the testbed and processes in it -------------------------------------------------------------

# need COMMAND...: skips the scenario where a program is not installed.
need() {
	local command

	for command in "$@"; do
		command -v "$command" >/dev/null || skip "$command is not installed"
	done
}

# need_peer NAME: one that tests/peers/build.sh builds.
need_peer() {
	local status=0

	"$TOP/tests/peers/build.sh" "$1" >"$WORK/log/build-$1" 2>&1 || status=$?
	case $status in
	0) ;;
	77) skip "$(tail -n 1 "$WORK/log/build-$1")" ;;
	*) bail "$1 builds" ;;
	esac
}

need_quicgo() {
	need_peer quicgo
}

testbed_up() {
	[ "$(id -u)" = 0 ] || skip "needs root"
	testbed=yes
	"$TOP/scripts/testbed.sh" up >"$WORK/log/testbed" 2>&1 || bail "testbed up"
	make_certificates || bail "certificates"
}

# in_ns NS COMMAND...: in the foreground.
in_ns() {
	"$TOP/scripts/testbed.sh" exec "$@"
}

# spawn NAME NS COMMAND...: in the background, output to log/NAME; spawned_pid is the command's own pid.
spawn() {
	local name=$1 ns="$TESTBED-$2" enter

	shift 2
	case $ns in
	*-relay | *-relay2) enter="nsenter --net=/run/netns/$ns" ;;
	*) enter="ip netns exec $ns" ;;
	esac
	# shellcheck disable=SC2086 # two words or more; both programs exec the command, so $! is it
	: >"$WORK/log/$name"
	$enter "$@" >>"$WORK/log/$name" 2>&1 </dev/null & # appending: a scenario may empty the log
	spawned_pid=$!
	pids+=("$spawned_pid")
}

udp_bound() {
	nsenter --net="/run/netns/$TESTBED-$1" ss -Hlun "sport = :$2" | grep -q .
}

# wait_udp NS PORT WHAT
wait_udp() {
	wait_for "$3 is bound to port $2" 10 udp_bound "$1" "$2" || bail "$3 starts"
}

# start_capture NAME NS INTERFACE FILTER...: packets to $WORK/NAME.pcap; stop_capture NAME before reading.
start_capture() {
	local name=$1 ns=$2 interface=$3

	shift 3
	spawn "tcpdump-$name" "$ns" tcpdump -lni "$interface" -U --immediate-mode -w "$WORK/$name.pcap" "$@"
	captures[$name]=$spawned_pid
	wait_for "tcpdump listens" 10 grep -q 'listening on' "$WORK/log/tcpdump-$name" || bail "tcpdump starts"
}

# captured NAME FILTER...: how many packets.
captured() {
	local name=$1

	shift
	tcpdump -nr "$WORK/$name.pcap" "$@" 2>/dev/null | grep -c ' IP'
}

stop_capture() {
	kill -INT "${captures[$1]}" 2>/dev/null
	wait_for "tcpdump ends" 10 gone "${captures[$1]}"
}

# --- certificates ---------------------------------------------------------------------------------

# One authority; one certificate for each of a and b: names a.test, a6.test; b.test, b6.test.
make_certificates() {
	local name

	(
		set -e
		cd "$WORK"
		new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$1"; }
		new_key ca.key
		openssl req -x509 -new -key ca.key -subj '/CN=sluice tests' -days 30 -out ca.pem
		for name in a b; do
			new_key $name.key
			openssl req -new -key $name.key -subj "/CN=$name.test" -out $name.csr
			openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out $name.pem \
				-extfile <(echo "subjectAltName=DNS:$name.test,DNS:${name}6.test")
		done
	) >"$WORK/log/openssl" 2>&1
}

# The hash by which chromium accepts a certificate that no authority it knows has signed.
spki_hash() {
	openssl x509 -in "$WORK/$1.pem" -pubkey -noout | openssl pkey -pubin -outform der |
		openssl dgst -sha256 -binary | base64
}

# --- backends -------------------------------------------------------------------------------------

# make_documents NS: a directory whose / says "NS.test".
make_documents() {
	mkdir -p "$WORK/$1.htdocs"
	echo "$1.test" >"$WORK/$1.htdocs/index.html"
}

# start_gtlsserver NS [OPTION...]: ngtcp2's server, whose / says "NS.test"; documents in $WORK/NS.htdocs.
# GTLSSERVER_LOG=1: it says what it does with each packet.
start_gtlsserver() {
	local ns=$1

	shift
	[ -n "${GTLSSERVER_LOG:-}" ] || set -- -q "$@"
	need gtlsserver
	make_documents "$ns"
	# One datagram a call: kernels before 6.11 refuse UDP GSO on interfaces without checksum offload.
	spawn "gtlsserver-$ns" "$ns" gtlsserver --no-quic-dump --no-http-dump --max-gso-dgrams=1 \
		-d "$WORK/$ns.htdocs" "$@" '*' "$BACKEND_PORT" "$WORK/$ns.key" "$WORK/$ns.pem"
	wait_udp "$ns" "$BACKEND_PORT" "gtlsserver in $ns"
}

# start_lb_server NS [OPTION...]: lb_server, whose connection IDs are made as its options say; documents as above.
start_lb_server() {
	local ns=$1

	shift
	need_peer lb_server
	make_documents "$ns"
	spawn "lb_server-$ns" "$ns" "$LB_SERVER" -d "$WORK/$ns.htdocs" "$@" \
		:: "$BACKEND_PORT" "$WORK/$ns.key" "$WORK/$ns.pem"
	wait_for "lb_server in $ns" 10 grep -q ready "$WORK/log/lb_server-$ns" || bail "lb_server in $ns starts"
}

QUIC_LB_KEY=8f95f09245765f80256934e50c66207f

# quic_lb_config: the configurations of the IDs that lb_server makes with "-c FORM", for relay_config:
#   lb:0:ed793a:4:KEY    lb:1:ed793a:4    lb:2:ed793a51d49b8f5f:8:KEY    lb:3:ed793a51d49b8f5fab:9:KEY
quic_lb_config() {
	cat <<-YAML
		quic_lb:
		  - {config_rotation: 0, server_id_length: 3, nonce_length: 4, key: $QUIC_LB_KEY,
		     servers: {ed793a: "${V4[a]}:$BACKEND_PORT", 0b1e55: "${V4[b]}:$BACKEND_PORT"}}
		  - {config_rotation: 1, server_id_length: 3, nonce_length: 4,
		     servers: {ed793a: "${V4[a]}:$BACKEND_PORT", 0b1e55: "${V4[b]}:$BACKEND_PORT"}}
		  - {config_rotation: 2, server_id_length: 8, nonce_length: 8, key: $QUIC_LB_KEY,
		     servers: {ed793a51d49b8f5f: "${V4[a]}:$BACKEND_PORT"}}
		  - {config_rotation: 3, server_id_length: 9, nonce_length: 9, key: $QUIC_LB_KEY,
		     servers: {ed793a51d49b8f5fab: "${V4[a]}:$BACKEND_PORT"}}
	YAML
}

# start_caddy NS [DIRECTIVES]: Debian's caddy with HTTP/3, answering "NS.test"; /big is $WORK/NS.htdocs/big; or as the
# directives say. quic-go inside: 4-byte connection IDs.
start_caddy() {
	local ns=$1
	local directives=${2:-"root * $WORK/$ns.htdocs"$'\n'"file_server /big"$'\n'"respond / \"$ns.test"$'\n"'}

	need caddy
	cat >"$WORK/Caddyfile.$ns" <<-CADDY
		{
			admin off
			auto_https off
			storage file_system $WORK/caddy.$ns
			servers :$BACKEND_PORT {
				protocols h1 h2 h3
			}
		}
		https://$ns.test:$BACKEND_PORT, https://${ns}6.test:$BACKEND_PORT {
			tls $WORK/$ns.pem $WORK/$ns.key
			$directives
		}
	CADDY
	spawn "caddy-$ns" "$ns" env HOME="$WORK" XDG_DATA_HOME="$WORK/caddy.$ns" XDG_CONFIG_HOME="$WORK/caddy.$ns" \
		caddy run --config "$WORK/Caddyfile.$ns" --adapter caddyfile
	wait_udp "$ns" "$BACKEND_PORT" "caddy in $ns"
}

# start_quicgo NS [OPTION...]: quic-go 0.29 echo server that says "NS.test", or with -h3 an HTTP/3 server.
start_quicgo() {
	local ns=$1

	shift
	need_quicgo
	spawn "quicgo-$ns" "$ns" "$QUICGO" server -name "$ns.test" -listen ":$BACKEND_PORT" \
		-cert "$WORK/$ns.pem" -key "$WORK/$ns.key" "$@"
	wait_udp "$ns" "$BACKEND_PORT" "quicgo in $ns"
}

# stop_pid PID: ends a process started here, and waits for its end.
stop_pid() {
	kill "$1" 2>/dev/null
	wait_for "process $1 ends" 10 gone "$1"
}

# --- clients --------------------------------------------------------------------------------------

# gtls HOST PATH [OPTION...]: one request by ngtcp2's client; its log in log/gtlsclient, the body in $WORK/download/.
gtls() {
	local host=$1 path=$2

	shift 2
	rm -rf "$WORK/download"
	mkdir "$WORK/download"
	in_ns client timeout 60 gtlsclient --no-quic-dump --no-http-dump --exit-on-all-streams-close \
		--download="$WORK/download" "$@" "$host" "$PORT" "https://$host$path" >"$WORK/log/gtlsclient" 2>&1 ||
		{ tail -n 5 "$WORK/log/gtlsclient"; return 1; }
}

# has_come FILE BYTES: so much of a download is there already.
has_come() {
	[ "$(stat -c %s "$WORK/download/$1" 2>/dev/null || echo 0)" -ge "$2" ]
}

# gtls_resumed COMMAND...: twice what calls gtls; the second time in a resumed session, and the server accepts its 0-RTT.
gtls_resumed() {
	local files=(--session-file="$WORK/session" --tp-file="$WORK/transport-parameters")

	rm -f "$WORK/session" "$WORK/transport-parameters"
	"$@" "${files[@]}" || return
	"$@" "${files[@]}" || return
	in_client_log 'pkt tx .* type=0RTT' || return
	if grep -q 'Early data was rejected' "$WORK/log/gtlsclient"; then
		echo "the server rejected 0-RTT"
		return 1
	fi
}

# browse OPTION... URL: the page's DOM, by chromium. QUIC is forced for all names: no TCP listens anywhere, so a page that
# loads came over QUIC.
browse() {
	mkdir -p "$WORK/chromium"
	in_ns client timeout -k 5 60 env HOME="$WORK/chromium" DBUS_SESSION_BUS_ADDRESS=/dev/null chromium --headless \
		--no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-sync --disable-extensions \
		--disable-background-networking --disable-component-update --disable-default-apps \
		--user-data-dir="$(mktemp -d "$WORK/chromium/profile.XXXXXX")" \
		--ignore-certificate-errors-spki-list="$(spki_hash a),$(spki_hash b)" --enable-quic \
		--origin-to-force-quic-on=a.test:443,b.test:443,a6.test:443,b6.test:443 \
		--virtual-time-budget=5000 --dump-dom "$@" 2>"$WORK/log/chromium"
}

# throttle NS RATE: what it sends lasts long enough to have something happen in the middle; unthrottle NS.
throttle() {
	in_ns "$1" tc qdisc replace dev "${1}0" root tbf rate "$2" burst 64kb latency 200ms
}
unthrottle() {
	in_ns "$1" tc qdisc del dev "${1}0" root
}

# answers HOST BODY [OPTION...]: the page of this host is this text.
answers() {
	local host=$1 body=$2

	shift 2
	gtls "$host" / "$@" || return
	echo "expected '$body', got '$(cat "$WORK/download/index.html")'"
	[ "$(cat "$WORK/download/index.html")" = "$body" ]
}

# answers_beside HOST BODY: the same while another transfer goes on, whose files it leaves alone.
answers_beside() {
	mkdir -p "$WORK/beside"
	in_ns client timeout 20 gtlsclient -q --no-quic-dump --no-http-dump --exit-on-all-streams-close \
		--download="$WORK/beside" "$1" "$PORT" "https://$1/" && [ "$(cat "$WORK/beside/index.html")" = "$2" ]
}

CLIENTS=24           # of served_by: that all of them should choose one of two servers by chance has odds of 2^-23

# served_by BODY HOST: how many of CLIENTS connections got this text.
served_by() {
	local n=0 i

	for ((i = 0; i < CLIENTS; i++)); do
		answers_beside "$2" "$1" >/dev/null && n=$((n + 1))
	done
	echo $n
}

# make_big NS: its server has 20 MB under /big.
make_big() {
	head -c 20000000 /dev/urandom >"$WORK/$1.htdocs/big"
}

# big_download HOST, big_upload HOST: 20 MB of a's, from it or to it.
big_download() {
	gtls "$1" /big -q && same_file "$WORK/download/big" "$WORK/a.htdocs/big"
}
big_upload() {
	gtls "$1" /index.html -q -m POST -d "$WORK/a.htdocs/big"
}

# transfers FAST_PATH HOST WHAT: checks of 20 MB each way, and of who forwarded them.
transfers() {
	local kernel worker share

	kernel=$(forwarded kernel) worker=$(forwarded worker)
	check "$1: $3: 20 MB download arrives whole" big_download "$2"
	check "$1: $3: 20 MB upload is accepted" big_upload "$2"
	share=$(share_since "$kernel" "$worker")
	case $1 in
	kernel) check "kernel: $3: XDP forwarded at least 95 % of the packets ($share %)" test "$share" -ge 95 ;;
	userspace) check "userspace: $3: XDP forwarded none ($share %)" test "$share" -eq 0 ;;
	esac
}

# transfer_begin HOST: a download of /big that has begun, and gives up when it hears nothing for three seconds.
transfer_begin() {
	rm -rf "$WORK/download" # what an earlier one left has not begun now
	gtls "$1" /big --timeout=3s &
	transfer=$!
	wait_for "some of it has come" 20 has_come big 200000
}

# transfer_completes NS: and is what this server has.
transfer_completes() {
	wait "$transfer" && same_file "$WORK/download/big" "$WORK/$1.htdocs/big"
}

# in_client_log PATTERN: what the last gtlsclient said.
in_client_log() {
	grep -qE -- "$1" "$WORK/log/gtlsclient" || { echo "no '$1' in the client's log"; return 1; }
}

same_file() {
	[ "$(sha256sum <"$1")" = "$(sha256sum <"$2")" ] || { ls -l "$1" "$2"; return 1; }
}

# length_and_sum FILE: what a server that is sent this file says of it.
length_and_sum() {
	echo "$(stat -c %s "$1") $(sha256sum <"$1" | cut -d' ' -f1)"
}

# limit_clients [RATE]: what they send takes time from now on: at 16 Mbit/s an upload of 2 MB lasts a second.
limit_clients() {
	in_ns client tc qdisc add dev cl0 root tbf rate "${1:-16mbit}" burst 32kb latency 100ms || bail "tbf"
}

unlimit_clients() {
	in_ns client tc qdisc del dev cl0 root
}

# body_of HOST: what the pages and echoes of a.test, a6.test, b.test or b6.test begin with.
body_of() {
	echo "${1:0:1}.test"
}

# address_of HOST: where it is served: at the relay's address, without one at its backend's.
address_of() {
	local ns=${1:0:1}

	case ${DIRECT:+direct}$1 in
	direct?6.*) echo "${V6[$ns]}" ;;
	direct*) echo "${V4[$ns]}" ;;
	?6.*) echo fd00:83:1::1 ;;
	*) echo 10.83.1.1 ;;
	esac
}

# target HOST: for quicgo, the name at its address, and who should answer.
target() {
	local address

	address=$(address_of "$1")
	[[ $address != *:* ]] || address="[$address]"
	echo "$1@$address:$PORT=$(body_of "$1")"
}

# --- the relay ------------------------------------------------------------------------------------

# relay_config FAST_PATH [MORE_ROUTES]: a configuration with the four names of the testbed. More top-level keys can
# follow it: { relay_config kernel; echo ...; } | relay_start
relay_config() {
	cat <<-YAML
		udp: {port: $PORT}
		fast_path: $1
		relay: {run_dir: $WORK/run}
		routes:
		  - {fqdn: a.test, type: simple, target: "${V4[a]}:$BACKEND_PORT"}
		  - {fqdn: b.test, type: simple, target: "${V4[b]}:$BACKEND_PORT"}
		  - {fqdn: a6.test, type: simple, target: "[${V6[a]}]:$BACKEND_PORT"}
		  - {fqdn: b6.test, type: simple, target: "[${V6[b]}]:$BACKEND_PORT"}
		${2:+  - $2}
	YAML
}

# relay_start [OPTION...] <CONFIG: starts it and waits until it forwards.
relay_start() {
	cat >"$WORK/config.yaml"
	[ -z "$DIRECT" ] || return 0
	[ -x "$RELAY" ] || bail "$RELAY is built"
	mkdir -p "$WORK/run"
	spawn relay relay "$RELAY" -f "$WORK/config.yaml" -i "$RELAY_INTERFACES" -n "$INSTANCE" "$@"
	relay_pid=$spawned_pid
	wait_for "the relay is ready" 15 relay_ready_or_gone
	relay_ready || bail "the relay starts"
}

relay_ready() {
	grep -q ready "$WORK/log/relay"
}

relay_ready_or_gone() {
	relay_ready || gone "$relay_pid"
}

# Ends the relay; its exit status.
relay_stop() {
	local pid=$relay_pid status=0

	[ -n "$pid" ] || return 0
	relay_pid=""
	kill "$pid" 2>/dev/null
	if ! wait_for "the relay ends" 10 gone "$pid"; then
		kill -KILL "$pid"
		return 1
	fi
	wait "$pid" || status=$?
	return $status
}

# kill -9.
relay_kill() {
	kill -KILL "$relay_pid"
	wait "$relay_pid" 2>/dev/null
	relay_pid=""
}

# relay_restart <CONFIG
relay_restart() {
	relay_stop || bail "the relay stops"
	relay_start "$@"
}

xdp_attached() {
	nsenter --net="/run/netns/$TESTBED-relay" ip link show "$1" | grep -q 'xdp'
}

relay_stop_clean() {
	local interface

	relay_stop || { echo "exit status $?"; return 1; }
	[ ! -e "$PINS" ] || { echo "$PINS is still there"; return 1; }
	for interface in ${RELAY_INTERFACES//,/ }; do
		! xdp_attached "$interface" || { echo "XDP is still attached to $interface"; return 1; }
	done
}

relay_alive() {
	[ -n "$DIRECT" ] || alive "$relay_pid"
}

# logged PATTERN: the relay said so.
logged() {
	grep -qE -- "$1" "$WORK/log/relay"
}

# refused PATTERN OPTION...: another relay, with this one's configuration, ends by itself and says so.
refused() {
	local pattern=$1 status=0

	shift
	in_ns relay timeout $((10 * PATIENCE)) "$RELAY" -f "$WORK/config.yaml" "$@" >"$WORK/log/refused" 2>&1 || status=$?
	cat "$WORK/log/refused"
	[ $status != 0 ] && [ $status -lt 124 ] && grep -qE -- "$pattern" "$WORK/log/refused"
}

# relay_counter NAME: its value now.
relay_counter() {
	"$RELAY" --counters -n "$INSTANCE" | awk -v name="$1" '$1 == name { n += $2 } END { printf "%d\n", n }'
}

# relay_drops: what the relay dropped, one "name value" a line, for the log of a failed check.
relay_drops() {
	[ -n "$DIRECT" ] || "$RELAY" --counters -n "$INSTANCE" | awk '/_drop_/ && $2 > 0'
}

# forwarded BY: packets that kernel or worker forwarded, both directions.
forwarded() {
	"$RELAY" --counters -n "$INSTANCE" |
		awk -v by="$1" '$1 == by "_to_backend_packets" || $1 == by "_to_client_packets" { n += $2 } END { printf "%d\n", n }'
}

# kernel_forwards_more PACKETS: it forwarded more than these to clients.
kernel_forwards_more() {
	[ "$(relay_counter kernel_to_client_packets)" -gt "$1" ]
}

# share_since KERNEL WORKER: percent of the packets since those counts that the kernel forwarded.
share_since() {
	local kernel=$(($(forwarded kernel) - $1)) worker=$(($(forwarded worker) - $2))

	[ $((kernel + worker)) -gt 0 ] || { echo 0; return; }
	echo $((100 * kernel / (kernel + worker)))
}

# --- the control process and its API

CONTROL=${CONTROL:-$BUILD/sluice-control}
API=127.0.0.1:8080
API_SCHEME=http
API_NS=relay         # from where it is asked
API_CURL=()          # options of every request

# control_start [OPTION...]: with the relay's configuration.
control_start() {
	spawn control relay "$CONTROL" -f "$WORK/config.yaml" -n "$INSTANCE" "$@"
	control_pid=$spawned_pid
	wait_for "sluice-control is ready" 10 grep -q ready "$WORK/log/control" || bail "sluice-control starts"
}

# api METHOD PATH [CURL-OPTION...]: the status in $WORK/status, the body on standard output.
api() {
	local method=$1 path=$2

	shift 2
	in_ns "$API_NS" curl -sS --globoff -m 20 "${API_CURL[@]}" -X "$method" -o "$WORK/answer" -w '%{http_code}' \
		"$@" "$API_SCHEME://$API$path" >"$WORK/status" || return
	cat "$WORK/answer"
}

# expect STATUS METHOD PATH [CURL-OPTION...]; an error must be an {"error": text}.
expect() {
	local wanted=$1

	shift
	api "$@" || return
	echo " <- $(cat "$WORK/status"), expected $wanted"
	[ "$(cat "$WORK/status")" = "$wanted" ] || return
	[ "$wanted" -lt 400 ] || jq -e '.error | type == "string" and length > 0' "$WORK/answer" >/dev/null
}

# says STATUS JQ-TEST METHOD PATH [CURL-OPTION...]
says() {
	local wanted=$1 test=$2

	shift 2
	expect "$wanted" "$@" && jq -e "$test" "$WORK/answer"
}

is_ready() {
	expect 200 GET /readyz
}

# metric NAME-AND-LABELS: its value in the last answer, which was to GET /metrics; fails if it is not there.
metric() {
	awk -v name="$1" '$1 == name { print $2; found = 1 } END { exit !found }' "$WORK/answer"
}

# metrics_are_good: promtool has nothing to say against the last answer, and docs/control.md names each metric in it.
metrics_are_good() {
	promtool check metrics <"$WORK/answer" || return
	awk '$2 == "TYPE" { print $3 }' "$WORK/answer" | sort >"$WORK/metrics.printed"
	grep -o '`sluice_[a-z_]*' "$TOP/docs/control.md" | tr -d '`' | sort -u >"$WORK/metrics.documented"
	echo "not in docs/control.md: $(comm -23 "$WORK/metrics.printed" "$WORK/metrics.documented" | xargs)"
	[ -s "$WORK/metrics.printed" ] && [ -z "$(comm -23 "$WORK/metrics.printed" "$WORK/metrics.documented")" ]
}

route() {
	jq -cn --arg fqdn "$1" --arg type "$2" --arg target "$3" '{fqdn: $fqdn, type: $type, target: $target}'
}
