#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# deps: installs the Debian 12 packages that are missing; all present, it asks dpkg once and is done.
#
#   scripts/deps.sh            everything: build, run, demo, test
#   scripts/deps.sh build      what `make` needs
#   scripts/deps.sh run        what running a relay and its testbed needs
#   scripts/deps.sh demo       build, run, and the demo's QUIC client and server
#   scripts/deps.sh bench      what `make bench` needs, and gnuplot for its plots
#   scripts/deps.sh test       all of it: `make check` also needs a browser, caddy, quic-go and QEMU
#   scripts/deps.sh interop    what `make interop` can have of Debian: its Go and Rust are too old for that
#
# Starts no service: the packages of caddy, prometheus and redis would start their servers, so everything is
# installed under a policy-rc.d that forbids it (an existing one is kept).
set -euo pipefail

BUILD_SET="gcc make clang llvm bpftool pkg-config libc6-dev linux-libc-dev libxdp-dev libbpf-dev libssl-dev
	libyaml-dev libpcap-dev libcmocka-dev libhiredis-dev libcivetweb-dev libjansson-dev liburcu-dev libmnl-dev
	libcurl4-openssl-dev"
RUN_SET="iproute2 ethtool tcpdump procps util-linux"
DEMO_SET="ngtcp2-client ngtcp2-server openssl"
BENCH_SET="gnuplot-nox"
TEST_SET="caddy chromium golang-go golang-github-lucas-clemente-quic-go-dev curl jq python3 libclang-rt-14-dev
	prometheus redis-server redis-tools
	iputils-ping libngtcp2-dev libngtcp2-crypto-gnutls-dev libnghttp3-dev libgnutls28-dev nettle-dev
	qemu-system-x86 xdp-tools busybox-static cpio"
INTEROP_SET="caddy chromium python3-venv"

wanted=""
for set in "${@:-test}"; do
	case $set in
	build) wanted+=" $BUILD_SET" ;;
	run) wanted+=" $RUN_SET" ;;
	demo) wanted+=" $BUILD_SET $RUN_SET $DEMO_SET" ;;
	bench) wanted+=" $BUILD_SET $RUN_SET $BENCH_SET" ;;
	test) wanted+=" $BUILD_SET $RUN_SET $DEMO_SET $TEST_SET" ;;
	interop) wanted+=" $BUILD_SET $RUN_SET $DEMO_SET $INTEROP_SET" ;;
	*)
		echo "deps: unknown set '$set': must be build, run, demo, bench, test or interop" >&2
		exit 2
		;;
	esac
done

command -v dpkg-query >/dev/null || {
	echo "deps: not a Debian system; install by hand what these packages hold:" $wanted >&2
	exit 1
}

missing() {
	local have package

	# shellcheck disable=SC2086 # a list of words
	have=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $wanted 2>/dev/null || true)
	for package in $wanted; do
		grep -qx "$package installed" <<<"$have" || echo "$package"
	done | sort -u
}

mapfile -t packages < <(missing)
[ ${#packages[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "deps: missing: ${packages[*]}" >&2
	echo "deps: run as root to install them, or: apt-get install --no-install-recommends ${packages[*]}" >&2
	exit 1
fi

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi

echo "deps: installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq </dev/null
apt-get install -y -qq --no-install-recommends "${packages[@]}" </dev/null

mapfile -t packages < <(missing)
if [ ${#packages[@]} -gt 0 ]; then
	echo "deps: still missing: ${packages[*]}" >&2
	exit 1
fi
