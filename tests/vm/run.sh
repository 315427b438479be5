#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run: boots Debian's own kernel in QEMU and runs there what depends on the
# kernel: tests/xdp, some of tests/netns, and dispatcher.sh. No root, and no
# KVM: it emulates, which works everywhere.
#
# The machine's only disk is an initramfs of this build, the host's own tools
# and their libraries; init runs the tests and reports by a serial port. The
# kernel is a package that is downloaded and unpacked, not installed; all of it
# is kept in BUILD/vm.
#
# The output is the tests' own. Exit status: 0, 1 after a failure (also when
# there is no kernel to be had), 77 where there is no QEMU.
#
#   BUILD=dir       the build to test (build)
#   VM_SECONDS=n    how long the machine may take (560)
set -uo pipefail

cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
work=$build/vm
root=$work/root
arch=$(dpkg --print-architecture 2>/dev/null)
qemu=qemu-system-x86_64
qemu_pid=""

cleanup() {
	[ -z "$qemu_pid" ] || { kill "$qemu_pid" 2>/dev/null && wait "$qemu_pid"; }
	rm -rf "$root" "$work/initramfs"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() {
	echo "not ok 1 - vm: $*"
	exit 1
}

skip() {
	echo "1..0 # SKIP vm: $*"
	exit 77
}

# --- the kernel ------------------------------------------------------------------------------------

# kernel_name: the package that Debian's cloud kernel is at present.
kernel_name() {
	apt-cache depends "linux-image-cloud-$arch" 2>/dev/null | awk '/Depends: linux-image-/ { print $2; exit }'
}

download() {
	rm -rf "$work/download"
	mkdir -p "$work/download"
	(cd "$work/download" && apt-get download -q -o APT::Sandbox::User=root "$1")
}

# Sets kernel to the directory that holds vmlinuz and modules.
kernel_get() {
	local name

	name=$(kernel_name)
	kernel=$work/$name
	[ -z "$name" ] || [ ! -e "$kernel/complete" ] || return 0
	echo "# downloading ${name:-the kernel}"
	# A list of packages that is out of date, or not there, leads nowhere.
	if [ -z "$name" ] || ! download "$name"; then
		apt-get update -q
		name=$(kernel_name)
		kernel=$work/$name
		[ -n "$name" ] && download "$name" || die "${name:-linux-image-cloud-$arch} cannot be downloaded"
	fi
	rm -rf "$work"/linux-image-*
	dpkg -x "$work/download/"*.deb "$kernel" || die "$name cannot be unpacked"
	rm -rf "$work/download"
	touch "$kernel/complete"
}

# --- the initramfs ---------------------------------------------------------------------------------

# Programs of the host that the tests call.
tools="bash env sh awk basename cat chmod comm cp cut date dd dirname expr find grep head id kill ln ls mkdir mkfifo mktemp
	mount mv nsenter ps readlink rm rmdir sed seq sha256sum sleep sort ss stat sysctl tail tc timeout touch tr true truncate
	umount uname unshare wc ip ethtool openssl bpftool xdp-loader gtlsclient gtlsserver"

# put FILE [TARGET]: a file of the host, where its directory's links lead.
put() {
	local target=${2:-$(readlink -f "$(dirname "$1")")/$(basename "$1")}

	[ -e "$root$target" ] || { mkdir -p "$root$(dirname "$target")" && cp -L "$1" "$root$target"; }
}

# put_program FILE [TARGET]: with its libraries.
put_program() {
	local library

	put "$@" || return
	ldd "$1" 2>/dev/null | awk '/=> \// { print $3 } /^\t\// { print $1 }' | while read -r library; do
		put "$library" || exit
	done
}

# The modules of this list and what they depend on, in the order to load them in.
put_modules() {
	local module file

	for module in veth sch_tbf; do
		file=$(find "$kernel/lib/modules" -name "$module.ko")
		[ -n "$file" ] && put "$file" "/sluice/$module.ko" || return
		echo "/sluice/$module.ko" >>"$root/sluice/vm.modules"
	done
}

# What runs in the machine, and for how many seconds at most. All of it would take minutes: the race in test_xdp_cids
# is the compiler's and the processor's, not the kernel's; of netns, what newer kernels have otherwise.
tests="60 build/tests/test_xdp
	60 build/tests/test_xdp_parse
	60 build/tests/test_xdp_client_ip
	60 env NOT_TESTS=no_half_entry* build/tests/test_xdp_cids
	60 env ONLY_TESTS=managed_flag* build/tests/test_nexthop
	60 env ONLY_TESTS=nexthop_objects* build/tests/test_nexthop_routes
	450 env PATIENCE=10 tests/vm/dispatcher.sh"

put_tests() {
	local name

	for name in $(grep -o 'build/tests/.*' <<<"$tests"); do
		put_program "$build/tests/${name##*/}" "/sluice/$name" || return
	done
	echo "$tests" >"$root/sluice/vm.tests"
}

initramfs_make() {
	local tool path

	rm -rf "$root"
	mkdir -p "$root"/{dev,proc,sys,run,tmp,root,etc,usr/{bin,sbin,lib,lib64},sluice/build} || return
	for path in bin sbin lib lib64; do
		ln -s "usr/$path" "$root/$path" || return
	done
	put "$(command -v busybox)" /usr/bin/busybox || return
	put tests/vm/init /init || return
	for tool in $tools; do
		path=$(command -v "$tool") || die "$tool is not installed (scripts/deps.sh)"
		[[ $path == /* ]] || path=$(type -P "$tool") # not the shell's own
		put_program "$path" "/usr/bin/$tool" || return
	done
	put "/usr/lib/$(uname -m)-linux-gnu/bpf/xdp-dispatcher.o" || return
	put /etc/ssl/openssl.cnf && put /etc/ssl/openssl.cnf /usr/lib/ssl/openssl.cnf || return
	: >"$root/etc/hosts"
	: >"$root/etc/resolv.conf"
	echo "root:x:0:0:root:/root:/bin/sh" >"$root/etc/passwd"
	cp -r --parents scripts tests/vm tests/e2e "$root/sluice" || return
	put_program "$build/sluice-relay" /sluice/build/sluice-relay || return
	put "$build/xdp_pass.bpf.o" /sluice/build/xdp_pass.bpf.o || return
	put "$build/xdp_count.bpf.o" /sluice/build/xdp_count.bpf.o || return
	put_modules && put_tests || return
	(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/initramfs"
}

# --- the machine -----------------------------------------------------------------------------------

# One processor of an old kind costs least to emulate. Expedited: nobody waits for RCU's leisure.
machine_run() {
	timeout -k 5 "${VM_SECONDS:-560}" "$qemu" -machine pc,accel=tcg -cpu Nehalem,+aes,+pclmulqdq,+rdrand -m 1536 \
		-nodefaults -display none -no-reboot -kernel "$kernel"/boot/vmlinuz-* -initrd "$work/initramfs" \
		-append "console=ttyS0 quiet panic=-1 mitigations=off rcupdate.rcu_expedited=1" \
		-serial "file:$work/console" -serial "file:$work/output" </dev/null >"$work/qemu" 2>&1 &
	qemu_pid=$!
	wait "$qemu_pid"
	qemu_pid=""
}

[ "$arch" = amd64 ] || skip "a virtual machine of amd64 is all there is"
command -v "$qemu" >/dev/null || skip "$qemu is not installed"
mkdir -p "$work"
kernel_get
initramfs_make || die "the initramfs cannot be made"
: >"$work/output"
machine_run
cat "$work/output"
grep -qx 'vm: status 0' "$work/output" && exit 0
if ! grep -q '^vm: status' "$work/output"; then
	echo "not ok 1 - vm: the machine ended early"
	tail -n 30 "$work/qemu" "$work/console" | tr -cd '[:print:]\t\n' | sed 's/^/#   /'
fi
exit 1
