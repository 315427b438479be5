#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# chromium: a browser's first flight (two datagrams, shuffled CRYPTO pieces
# with PINGs between, zero-length connection ID) is assembled and routed, and
# with QUIC v2 (RFC 9369) too: the servers do not know v2, so that the right
# one's Version Negotiation must reach the browser.
#
#                                              +--> relay1 -- a: gtlsserver   a.test, a6.test
#   client: chromium --headless -- relay0 relay
#                                              +--> relay2 -- b: gtlsserver   b.test, b6.test
. "$(dirname "$0")/lib.sh"

need chromium
testbed_up
start_gtlsserver a
start_gtlsserver b

shows() {
	local url=$1 body=$2 dom

	shift 2
	dom=$(browse "$@" "$url")
	echo "expected '$body' in the DOM, got '$dom'"
	grep -qF "$body" <<<"$dom"
}

# One browser, both names: the page of a.test waits for a script of b.test.
shows_both() {
	cat >"$WORK/a.htdocs/both.html" <<-'HTML'
		<!doctype html><body><p id="here">a.test</p><p id="there"></p>
		<script src="https://b.test/name.js"></script>
	HTML
	echo 'document.getElementById("there").textContent = "script of b.test"' >"$WORK/b.htdocs/name.js"
	shows https://a.test/both.html '<p id="there">script of b.test'
}

# udp[8]: first byte of the datagram; udp[9:4]: the version of a long header (RFC 8999 s5.1).
v2_initials='udp[8] & 0x80 != 0 and udp[9:4] = 0x6b3343cf'
negotiations='udp[8] & 0x80 != 0 and udp[9:4] = 0'

negotiates_v2() {
	local where

	start_capture client client cl0 udp and ip
	start_capture a a a0 udp and ip
	start_capture b b b0 udp and ip
	browse --quic-version=RFCv2 https://a.test/ >/dev/null
	for where in client a b; do
		stop_capture $where
	done
	echo "v2 Initials: client sent $(captured client "$v2_initials")," \
		"a got $(captured a "$v2_initials"), b got $(captured b "$v2_initials")"
	echo "Version Negotiation: client got $(captured client "$negotiations")"
	[ "$(captured client "$v2_initials")" -gt 0 ] &&
		[ "$(captured a "$v2_initials")" -gt 0 ] &&
		[ "$(captured b "$v2_initials")" -eq 0 ] &&
		[ "$(captured client "$negotiations")" -gt 0 ]
}

relay_config kernel | relay_start
check "a.test" shows https://a.test/ a.test
check "b.test" shows https://b.test/ b.test
check "a6.test, IPv6" shows https://a6.test/ a.test
check "b6.test, IPv6" shows https://b6.test/ b.test
check "both names in one page" shows_both
check "a v2 Initial goes to its backend alone, whose Version Negotiation comes back" negotiates_v2
check "a.test after that, with v1" shows https://a.test/ a.test
finish
