#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# testbed: a client, a relay and two backends, each a network namespace of its
# own, joined by veth pairs. Root. Nothing outside these namespaces is touched.
#
#   NAME-client             NAME-relay                               NAME-a
#  +----------------+      +-------------------------------+       +---------------+
#  | cl0         ----------- relay0                 relay1 --------- a0            |
#  | 10.83.1.2      |      | 10.83.1.1           10.83.2.1 |       | 10.83.2.2     |
#  | fd00:83:1::2   |      | fd00:83:1::1     fd00:83:2::1 |       | fd00:83:2::2  |
#  | (and .3, ::3)  |      |                               |       +---------------+
#  +----------------+      |                               |        NAME-b
#                          |                               |       +---------------+
#                          |                        relay2 --------- b0            |
#                          |                     10.83.3.1 |       | 10.83.3.2     |
#                          |                  fd00:83:3::1 |       | fd00:83:3::2  |
#                          +-------------------------------+       +---------------+
#
# Every backend has a link and a subnet of its own: no bridge, and the relay
# must find its way out by route and neighbour. IP forwarding is off in the
# relay's namespace (forwarding is the relay's work), and no namespace has a
# default route: what arrives at a backend was sent by the relay itself.
#
# With SECOND=1 there is a second relay that has the first one's address too, so
# that the client's route to it decides between them, as ECMP or anycast does.
# Both reach a at one address; IPv4 only:
#
#   client cl1 10.83.4.2 -- 10.83.4.1 relay20 NAME-relay2 relay21 10.83.5.1 -- 10.83.5.2 a1 a
#
#   scripts/testbed.sh up | down | status | exec NS COMMAND... | help
#
# NS is client, relay, relay2, a or b. `exec relay` keeps the machine's /sys (the relay
# pins its maps in /sys/fs/bpf, and `ip netns exec` would mount a new /sys over
# it), and so does `exec relay2`; the others get the /etc/hosts of the testbed: a.test and b.test are the
# relay's IPv4 address, a6.test and b6.test its IPv6 one. (Each
# name's backend is of its own family, unless a scenario says otherwise.)
#
#   TESTBED=name   prefix of the namespaces (sluice)
#   QUEUES=n       RX and TX queues of every interface (1)
#   FORWARD=1      the kernel forwards instead of a relay, and the names are the
#                  backends' own addresses: for trying the peers alone
#   SECOND=1       the second relay; give it to down too
#   BUILD=dir      where xdp_pass.bpf.o is (build)
#
# Why the interfaces are set up as they are, all seen on this testbed:
# - tx off: over veth a local sender leaves the UDP checksum to hardware that
#   does not exist, and a relay that updates it incrementally updates rubbish.
# - gso, gro, tso off: else several datagrams cross the link as one frame.
# - an XDP program on the far ends (bpf/xdp_pass.bpf.c). Of 5 frames that a
#   program on the relay's end sent, the far end received:
#
#       far end              XDP_TX   redirect
#       neither                   0          0
#       GRO on                    1          5
#       XDP program               5          5
#
#   and no counter showed the loss (drivers/net/veth.c: veth_xdp_flush,
#   veth_xdp_xmit). AF_XDP transmission in copy mode needs neither.
set -Eeuo pipefail

cd "$(dirname "$0")/.."
name=${TESTBED:-sluice}
queues=${QUEUES:-1}
build=${BUILD:-build}
namespaces=("$name-client" "$name-relay" "$name-a" "$name-b")

# far namespace, far interface, relay's namespace, its interface, subnet number
links=("client cl0 relay relay0 1" "a a0 relay relay1 2" "b b0 relay relay2 3")
if [ -n "${SECOND:-}" ]; then
	namespaces+=("$name-relay2")
	links+=("client cl1 relay2 relay20 4" "a a1 relay2 relay21 5")
fi

die() {
	echo "testbed: $*" >&2
	exit 1
}

usage() {
	sed -n '4,/^set -E/p' "$0" | sed '$d; s/^# \{0,1\}//'
}

exists() {
	[ -e "/run/netns/$1" ]
}

# sysctl without `ip netns exec`, which costs three mounts.
set_sysctl() {
	nsenter --net="/run/netns/$1" sysctl -qw "${@:2}"
}

# The program must be there before anything is set up.
make_xdp_pass() {
	xdp_pass="$build/xdp_pass.bpf.o"
	[ -e "$xdp_pass" ] && return
	env -u MAKEFLAGS -u MAKELEVEL make -s BUILD="$build" "$xdp_pass" >&2 || die "cannot build $xdp_pass"
}

add_namespace() {
	ip netns add "$1"
	set_sysctl "$1" net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.accept_dad=0 \
		net.ipv6.conf.default.router_solicitations=0 net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
	ip -n "$1" link set lo up
}

add_link() {
	local far_ns="$name-$1" far=$2 near_ns="$name-$3" near=$4 net=$5 ns dev i

	# Far ends count from 10: the kernel takes a link whose two ends have equal indexes in their namespaces for no
	# pair at all, and tells the stack of its carrier up to a second late (net/core/link_watch.c).
	ip -n "$far_ns" link add "$far" index "1$net" numrxqueues "$queues" numtxqueues "$queues" type veth \
		peer name "$near" netns "$near_ns" numrxqueues "$queues" numtxqueues "$queues"
	for i in "$far_ns $far 2" "$near_ns $near 1"; do
		read -r ns dev host <<<"$i"
		nsenter --net="/run/netns/$ns" ethtool -K "$dev" tx off gso off gro off tso off >/dev/null
		ip -n "$ns" address add "10.83.$net.$host/24" dev "$dev"
		ip -n "$ns" address add "fd00:83:$net::$host/64" dev "$dev" nodad
	done
	# The XDP program before the link is up: a change on a running veth drops its carrier for a moment.
	ip -n "$far_ns" link set dev "$far" xdpdrv obj "$xdp_pass" sec xdp
	ip -n "$far_ns" link set "$far" up
	ip -n "$near_ns" link set "$near" up
}

# Carrier events come from a kernel thread; until then IPv6 addresses do not answer.
wait_for_carriers() {
	local ns i

	for ((i = 0; i < 200; i++)); do
		for ns in "${namespaces[@]}"; do
			! ip -n "$ns" -brief link show type veth | grep -qv ' UP ' || { sleep 0.01; continue 2; }
		done
		return 0
	done
	die "links do not come up"
}

add_hosts() {
	local a4=10.83.1.1 a6=fd00:83:1::1 b4=10.83.1.1 b6=fd00:83:1::1 ns

	if [ -n "${FORWARD:-}" ]; then
		a4=10.83.2.2 a6=fd00:83:2::2 b4=10.83.3.2 b6=fd00:83:3::2
	fi
	for ns in "$name-client" "$name-a" "$name-b"; do
		mkdir -p "/etc/netns/$ns"
		cat >"/etc/netns/$ns/hosts" <<-HOSTS
			127.0.0.1 localhost
			::1 localhost
			$a4 a.test
			$b4 b.test
			$a6 a6.test
			$b6 b6.test
		HOSTS
		: >"/etc/netns/$ns/resolv.conf" # no name goes out to the machine's own resolver
	done
}

add_forwarding() {
	set_sysctl "$name-relay" net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	ip -n "$name-client" route add default via 10.83.1.1
	ip -n "$name-client" route add default via fd00:83:1::1
	ip -n "$name-a" route add default via 10.83.2.1
	ip -n "$name-a" route add default via fd00:83:2::1
	ip -n "$name-b" route add default via 10.83.3.1
	ip -n "$name-b" route add default via fd00:83:3::1
}

add_second_relay() {
	ip -n "$name-relay2" address add 10.83.1.1/32 dev relay20
	ip -n "$name-relay2" route add 10.83.1.2/32 via 10.83.4.2
	ip -n "$name-relay2" route add 10.83.2.2/32 via 10.83.5.2
	# A server on a wildcard socket answers from here by default, and must from the address that it was asked at.
	ip -n "$name-a" route add 10.83.5.1/32 dev a1 src 10.83.2.2
}

complete() {
	local ns

	for ns in "${namespaces[@]}"; do
		exists "$ns" || return 1
	done
	# Set last: without it an earlier `up` was cut off.
	ip -n "$name-client" link show cl0 2>/dev/null | grep -q 'alias complete'
}

up() {
	local ns link

	[ "$(id -u)" = 0 ] || die "needs root"
	complete && return 0
	down
	make_xdp_pass
	trap 'down' ERR
	for ns in "${namespaces[@]}"; do
		add_namespace "$ns"
	done
	for link in "${links[@]}"; do
		# shellcheck disable=SC2086 # a row of words
		add_link $link
	done
	# A second address of the client, for changes of address; deprecated, so that nothing takes it unasked.
	ip -n "$name-client" address add 10.83.1.3/24 dev cl0
	ip -n "$name-client" address add fd00:83:1::3/64 dev cl0 nodad preferred_lft 0
	add_hosts
	[ -z "${SECOND:-}" ] || add_second_relay
	[ -z "${FORWARD:-}" ] || add_forwarding
	wait_for_carriers
	ip -n "$name-client" link set cl0 alias complete
	trap - ERR
}

# Ends what runs in a namespace: politely, then not. Only pids of this namespace.
stop_processes() {
	local signal pids i

	for signal in TERM KILL; do
		pids=$(ip netns pids "$1" 2>/dev/null) || return 0
		[ -n "$pids" ] || return 0
		# shellcheck disable=SC2086 # a list of pids
		kill -"$signal" $pids 2>/dev/null || true
		for ((i = 0; i < 100; i++)); do
			[ -n "$(ip netns pids "$1" 2>/dev/null)" ] || return 0
			sleep 0.02
		done
	done
}

down() {
	local ns link

	for ns in "${namespaces[@]}"; do
		! exists "$ns" || stop_processes "$ns"
	done
	# A veth outlives its namespace until the kernel gets round to it; here it goes at once.
	for link in "${links[@]}"; do
		read -r ns dev _ <<<"$link"
		ip -n "$name-$ns" link del "$dev" 2>/dev/null || true
	done
	for ns in "${namespaces[@]}"; do
		! exists "$ns" || ip netns del "$ns"
		rm -rf "/etc/netns/$ns"
	done
	rmdir /etc/netns 2>/dev/null || true
}

status() {
	local ns

	for ns in "${namespaces[@]}"; do
		if ! exists "$ns"; then
			echo "$ns: absent"
			continue
		fi
		echo "$ns:"
		ip -n "$ns" -brief address | sed 's/^/  /'
		ip netns pids "$ns" | while read -r pid; do
			echo "  pid $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null || true)"
		done
	done
	complete || return 3
}

run_in() {
	local ns="$name-$1"
	shift

	exists "$ns" || die "no namespace $ns: is the testbed up?"
	case $ns in
	*-relay | *-relay2) exec nsenter --net="/run/netns/$ns" "$@" ;;
	*) exec ip netns exec "$ns" "$@" ;;
	esac
}

case ${1:-help} in
up) up ;;
down) down ;;
status) status ;;
exec)
	[ $# -ge 3 ] || die "usage: $0 exec NS COMMAND..."
	run_in "${@:2}"
	;;
help | -h | --help) usage ;;
*) die "unknown command '$1': must be up, down, status, exec or help" ;;
esac
