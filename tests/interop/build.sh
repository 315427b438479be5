#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Builds one peer of tests/interop into BUILD/interop, from what its registry
# has at the versions that its lock file pins:
#
#   tests/interop/build.sh quicgo | quinn | aioquic
#
# Exit status 77: its toolchain is not installed; the last line says which.
set -euo pipefail

cd "$(dirname "$0")"
build=${BUILD:-../../build}
case $build in
/*) ;;
*) build=$(cd ../.. && pwd)/${build#../../} ;;
esac
build=$build/interop

missing() {
	echo "needs $1" >&2
	exit 77
}

# at_least VERSION WANTED
at_least() {
	[ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}

# Debian 12's Go and Rust are too old for these stacks; Debian 12's Python is new enough.
build_quicgo() {
	local wanted

	wanted=$(awk '$1 == "go" { print $2 }' quicgo/go.mod)
	command -v go >/dev/null && at_least "$(go env GOVERSION | sed 's/^go//')" "$wanted" ||
		missing "Go $wanted or later, from the Go project's own packages"
	cd quicgo
	CGO_ENABLED=0 GOTOOLCHAIN=local GOCACHE="$build/go-cache" go build -mod=readonly -o "$build/quicgo" .
}

build_quinn() {
	local wanted

	wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' quinn/Cargo.toml)
	command -v cargo >/dev/null && at_least "$(cargo --version | cut -d' ' -f2)" "$wanted" ||
		missing "cargo and rustc $wanted or later, from rustup"
	command -v cc >/dev/null || missing "a C compiler: scripts/deps.sh build"
	cd quinn
	CARGO_TARGET_DIR="$build/cargo" cargo build --locked --release --quiet
}

build_aioquic() {
	local venv=$build/aioquic

	python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
		missing "Python 3.10 or later with venv: scripts/deps.sh interop"
	[ ! "$venv/complete" -nt aioquic/requirements.txt ] || return 0
	rm -rf "$venv"
	python3 -m venv "$venv"
	"$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
		-r aioquic/requirements.txt
	touch "$venv/complete"
}

mkdir -p "$build"
case ${1:-} in
quicgo | quinn | aioquic) "build_$1" ;;
*)
	echo "build: unknown peer '${1:-}': must be quicgo, quinn or aioquic" >&2
	exit 2
	;;
esac
