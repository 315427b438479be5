#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# demo: two real QUIC servers behind one address, a relay, and a real client
# that reaches each by its name; then who forwarded how many packets. All of it
# in network namespaces of its own (scripts/testbed.sh draws them), which are
# gone afterwards. Exit status 0 if everything worked.

# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../tests/e2e/lib.sh"

wrong=0

# fetch HOST FAMILY: one page over HTTP/3, and who answered.
fetch() {
	local answer expected

	expected=$(body_of "$1")
	gtls "$1" / >/dev/null
	answer=$(cat "$WORK/download/index.html" 2>/dev/null)
	printf '    https://%-8s %s  answered by %-12s' "$1/" "$2" "${answer:-nobody}"
	if [ "$answer" = "$expected" ]; then
		echo ok
	else
		echo "WRONG, expected $expected"
		wrong=$((wrong + 1))
	fi
}

download() {
	local began=${EPOCHREALTIME/[.,]/} ms

	head -c 20000000 /dev/urandom >"$WORK/a.htdocs/big"
	printf '    https://a.test/big     20 MB  '
	if gtls a.test /big -q >/dev/null && same_file "$WORK/download/big" "$WORK/a.htdocs/big" >/dev/null; then
		ms=$(((${EPOCHREALTIME/[.,]/} - began) / 1000))
		echo "same SHA-256, in $ms ms  ok"
	else
		echo "WRONG, did not arrive whole"
		wrong=$((wrong + 1))
	fi
}

# account: the relay's counters as a table.
account() {
	"$RELAY" --counters -n "$INSTANCE" >"$WORK/log/counters"
	awk '
		{ n[$1] += $2 }
		/_drop_/ && $2 > 0 { drops = drops sprintf("      %-34s %8d\n", $1, $2) }
		function row(who, by) {
			printf "    %-34s %8d  %8d\n", who, n[by "_to_backend_packets"], n[by "_to_client_packets"]
		}
		END {
			printf "    %-34s %8s  %8s\n", "packets", "to backend", "to client"
			row("forwarded in the kernel by XDP", "kernel")
			row("forwarded by the workers (AF_XDP)", "worker")
			kernel = n["kernel_to_backend_packets"] + n["kernel_to_client_packets"]
			all = kernel + n["worker_to_backend_packets"] + n["worker_to_client_packets"]
			printf "    %.1f %% never left the kernel\n", all ? 100 * kernel / all : 0
			if (drops) printf "    dropped:\n%s", drops
		}' "$WORK/log/counters"
}

need gtlsclient gtlsserver openssl
echo "sluice demo: two QUIC servers share one address; the name in the client's first flight chooses"
echo
testbed_up
start_gtlsserver a
start_gtlsserver b
relay_config kernel | relay_start
cat <<-MAP
	  client 10.83.1.2 ------- 10.83.1.1:443 relay 10.83.2.1 ------- a.test  10.83.2.2:$BACKEND_PORT
	         fd00:83:1::2      [fd00:83:1::1]:443  10.83.3.1 ------- b.test  10.83.3.2:$BACKEND_PORT

	  ngtcp2's client asks the relay's address for each name:
MAP
fetch a.test IPv4
fetch b.test IPv4
fetch a6.test IPv6
fetch b6.test IPv6
download
echo
echo "  who forwarded that:"
account
echo
if [ $wrong = 0 ] && ! relay_stop_clean >"$WORK/log/stop"; then
	echo "  the relay did not stop clean: $(cat "$WORK/log/stop")"
	wrong=1
fi
finished=yes
if [ $wrong = 0 ]; then
	echo "  it works; everything is taken down again"
else
	echo "  it does not work"
fi
exit $((wrong > 0))
