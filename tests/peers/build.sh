#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Builds the Go test peer into BUILD/peers/quicgo, if it is older than its
# sources. Debian's Go and Debian's Go libraries only, GOPATH mode: no module
# is ever fetched. Exit status 77: one of these is not installed.
set -euo pipefail

cd "$(dirname "$0")"
build=${BUILD:-../../build}
case $build in
/*) ;;
*) build=$(cd ../.. && pwd)/${build#../../} ;;
esac
out=$build/peers/quicgo

gopath=/usr/share/gocode
if [ ! -d "$gopath/src/github.com/lucas-clemente/quic-go" ]; then
	echo "golang-github-lucas-clemente-quic-go-dev is not installed" >&2
	exit 77
fi

# quic-go 0.29 brings a copy of crypto/tls per Go release, and refuses to build with any other.
go=""
for candidate in /usr/lib/go-1.19/bin/go /usr/bin/go; do
	[ -x "$candidate" ] && go=$candidate && break
done
if [ -z "$go" ]; then
	echo "golang-go is not installed" >&2
	exit 77
fi

if [ -x "$out" ] && [ -z "$(find . -name '*.go' -newer "$out")" ]; then
	exit 0
fi
mkdir -p "$build/peers"
env -u GOROOT GO111MODULE=off GOPATH="$gopath" GOFLAGS= GOTOOLCHAIN=local GOCACHE="$build/peers/cache" CGO_ENABLED=0 \
	"$go" build -o "$out.$$" .
mv "$out.$$" "$out" # whole or not at all, also beside another test run
