#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Builds the test peers that are older than their sources into BUILD/peers:
#
#   tests/peers/build.sh [quicgo] [lb_server]     both if none is given
#
# quicgo is Go: Debian's Go and Debian's Go libraries only, GOPATH mode; no
# module is ever fetched. lb_server is C on Debian's ngtcp2, in a directory of
# its own because Go takes a C file beside its own for a part of the program.
# Exit status 77: something that one of them needs is not installed.
set -euo pipefail

cd "$(dirname "$0")"
build=${BUILD:-../../build}
case $build in
/*) ;;
*) build=$(cd ../.. && pwd)/${build#../../} ;;
esac
gopath=/usr/share/gocode
lb_packages="libngtcp2 libngtcp2_crypto_gnutls libnghttp3 gnutls nettle"

missing() {
	echo "$1 is not installed" >&2
	exit 77
}

# fresh FILE DIRECTORY PATTERN: built already, and no source is newer.
fresh() {
	[ -x "$1" ] && [ -z "$(find "$2" -maxdepth 1 -name "$3" -newer "$1")" ]
}

build_quicgo() {
	local out=$build/peers/quicgo go="" candidate

	[ -d "$gopath/src/github.com/lucas-clemente/quic-go" ] || missing golang-github-lucas-clemente-quic-go-dev
	# quic-go 0.29 brings a copy of crypto/tls per Go release, and refuses to build with any other.
	for candidate in /usr/lib/go-1.19/bin/go /usr/bin/go; do
		[ -x "$candidate" ] && go=$candidate && break
	done
	[ -n "$go" ] || missing golang-go
	! fresh "$out" . '*.go' || return 0
	env -u GOROOT GO111MODULE=off GOPATH="$gopath" GOFLAGS= GOTOOLCHAIN=local GOCACHE="$build/peers/cache" \
		CGO_ENABLED=0 "$go" build -o "$out.$$" .
	mv "$out.$$" "$out" # whole or not at all, also beside another test run
}

build_lb_server() {
	local out=$build/peers/lb_server package

	command -v gcc >/dev/null || missing gcc
	for package in $lb_packages; do
		pkg-config --exists "$package" || missing "pkg-config's $package"
	done
	! fresh "$out" lb_server '*.[ch]' || return 0
	# shellcheck disable=SC2046,SC2086 # lists of words
	gcc -O2 -g -std=gnu11 -D_GNU_SOURCE -fno-strict-aliasing \
		-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror \
		$(pkg-config --cflags $lb_packages) -o "$out.$$" lb_server/*.c $(pkg-config --libs $lb_packages)
	mv "$out.$$" "$out"
}

[ $# -gt 0 ] || set -- quicgo lb_server
mkdir -p "$build/peers"
for peer in "$@"; do
	case $peer in
	quicgo | lb_server) "build_$peer" ;;
	*)
		echo "build: unknown peer '$peer': must be quicgo or lb_server" >&2
		exit 2
		;;
	esac
done
