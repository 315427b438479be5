# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# peers: every stack's servers and clients behind one way to call them, and
# what each of them does not offer. Sourced by run.sh, after tests/e2e/lib.sh.

INTEROP=$TOP/tests/interop
BUILT=$BUILD/interop
CELL_SECONDS=30      # the peers themselves give up after 25, and after 8 of silence

# A stack's program, as words.
declare -A PROGRAM=(
	[quicgo]="$BUILT/quicgo"
	[quinn]="$BUILT/cargo/release/quinn-peer"
	[aioquic]="$BUILT/aioquic/bin/python $INTEROP/aioquic/peer.py"
)

# What a peer does not offer: "ROLE STACK TEST" and why.
declare -A LACKS=(
	[client quicgo upgrade]="quic-go has no compatible version negotiation"
	[client quinn v2]="quinn has no QUIC v2"
	[client quinn upgrade]="quinn has no QUIC v2"
	[client quinn rebind]="quinn changes the connection ID with the socket: that is migrate"
	[client ngtcp2 v2]="Debian's ngtcp2 knows v2 as a draft only, by another version number"
	[client ngtcp2 upgrade]="Debian's ngtcp2 knows v2 as a draft only, by another version number"
	[client ngtcp2 rebind]="gtlsclient sends nothing from its new port in a download, so no server can learn of it; tests/e2e/ngtcp2.sh has its rebinding"
	[client chromium upgrade]="Chromium has no compatible version negotiation"
	[client chromium 0rtt]="Chromium cannot be told to resume, nor asked whether it did"
	[client chromium rebind]="Chromium cannot be told to change its socket"
	[client chromium migrate]="Chromium cannot be told to change its socket"
	[server quicgo upgrade]="quic-go has no compatible version negotiation"
	[server quinn v2]="quinn has no QUIC v2"
	[server quinn upgrade]="quinn has no QUIC v2"
	[server ngtcp2 v2]="Debian's ngtcp2 knows v2 as a draft only, by another version number"
	[server ngtcp2 upgrade]="Debian's ngtcp2 knows v2 as a draft only, by another version number"
	[server caddy v2]="Debian's caddy (quic-go 0.29) knows v2 as a draft only, by another version number"
	[server caddy upgrade]="quic-go has no compatible version negotiation"
	[server caddy retry]="Debian's caddy cannot be told to send Retry"
)

# lacks CLIENT SERVER TEST: why this cell cannot be; nothing where it can.
lacks() {
	echo "${LACKS[client $1 $3]:-${LACKS[server $2 $3]:-}}"
}

# version_of STACK: what is pinned, or installed.
version_of() {
	case $1 in
	quicgo) awk '$2 ~ /quic-go$/ { print "quic-go", $3 }' "$INTEROP/quicgo/go.mod" ;;
	quinn) sed -n 's/^\(quinn\|h3\) = .*"=\([0-9.]*\)".*/\1 \2/p' "$INTEROP/quinn/Cargo.toml" | sort -r | paste -sd, | sed 's/,/, /' ;;
	aioquic) sed -n 's/==/ /p' "$INTEROP/aioquic/requirements.in" ;;
	ngtcp2) dpkg-query -W -f 'ngtcp2 ${Version} (gtlsclient, gtlsserver)\n' ngtcp2-server ;;
	caddy) dpkg-query -W -f 'caddy ${Version}\n' caddy ;;
	chromium) dpkg-query -W -f 'chromium ${Version}\n' chromium ;;
	esac
}

# ready_stack STACK: can it be had here? If not, why.
ready_stack() {
	local command status=0

	case $1 in
	ngtcp2) set -- ngtcp2 gtlsclient gtlsserver ;;
	caddy | chromium) set -- "$1" "$1" ;;
	*)
		"$INTEROP/build.sh" "$1" >"$WORK/log/build-$1" 2>&1 || status=$?
		[ $status = 0 ] || echo "$1: $(tail -n 1 "$WORK/log/build-$1")"
		return $status
		;;
	esac
	for command in "${@:2}"; do
		command -v "$command" >/dev/null || { echo "$1: $command is not installed: scripts/deps.sh interop"; return 77; }
	done
}

# make_site NS: what its server serves.
make_site() {
	make_documents "$1"
	cp "$WORK/$1.htdocs/index.html" "$WORK/$1.htdocs/name.html"
	head -c 20000000 /dev/urandom >"$WORK/$1.htdocs/big"
	head -c 4000000 /dev/urandom >"$WORK/$1.htdocs/medium"
	cat >"$WORK/$1.htdocs/sum.html" <<-'HTML'
		<!doctype html><body><script>
		fetch("/big").then(answer => answer.arrayBuffer()).then(body => crypto.subtle.digest("SHA-256", body)).then(sum => {
			const hex = Array.from(new Uint8Array(sum), byte => byte.toString(16).padStart(2, "0")).join("")
			document.body.append("sum:" + hex)
		})
		</script>
	HTML
}

# start_server STACK NS [retry]: spawned_pid is its pid.
start_server() {
	local stack=$1 ns=$2 retry=${3:-}

	case $stack in
	ngtcp2) start_gtlsserver "$ns" ${retry:+-V} ;;
	caddy)
		start_caddy "$ns" "root * $WORK/$ns.htdocs
			file_server"
		;;
	*)
		# shellcheck disable=SC2086 # words
		spawn "$stack-$ns" "$ns" ${PROGRAM[$stack]} server :: "$BACKEND_PORT" "$WORK/$ns.pem" "$WORK/$ns.key" \
			"$WORK/$ns.htdocs" $retry
		wait_for "$stack in $ns" 10 grep -q ready "$WORK/log/$stack-$ns" || bail "$stack in $ns starts"
		;;
	esac
}

# fetch CLIENT WAY HOST DOCUMENT: gets it in that way (plain, v2, upgrade, 0rtt, rebind, migrate), and it is whole.
fetch() {
	local client=$1 way=$2 host=$3 document=$4
	local original="$WORK/${host:0:1}.htdocs/$document" got="$WORK/download/$document"

	rm -rf "$WORK/download"
	mkdir "$WORK/download"
	case $client in
	ngtcp2) fetch_by_ngtcp2 "$way" "$host" "/$document" ;;
	chromium) fetch_by_chromium "$way" "$host" "$document" && return ;;
	*)
		# shellcheck disable=SC2086 # words
		in_ns client timeout $CELL_SECONDS ${PROGRAM[$client]} client "$host" "$(address_of "$host")" "$PORT" \
			"$WORK/ca.pem" "$way" "/$document" "$got"
		;;
	esac || return
	same_file "$got" "$original"
}

# fetch_by_ngtcp2 WAY HOST PATH: the address changes while a throttled server is still sending.
fetch_by_ngtcp2() {
	case $1 in
	plain) gtls "$2" "$3" -q --timeout=8s ;;
	0rtt) gtls_resumed gtls "$2" "$3" --timeout=8s ;;
	migrate) gtls "$2" "$3" -q --timeout=8s --change-local-addr=500ms ;;
	esac
}

# fetch_by_chromium WAY HOST DOCUMENT: a large one by a page that shows its sum.
fetch_by_chromium() {
	local way=() page=$3 expected dom

	[ "$1" = plain ] || way=(--quic-version=RFCv2)
	if [ "$3" = big ]; then
		page=sum.html expected="sum:$(sha256sum <"$WORK/${2:0:1}.htdocs/big" | cut -d' ' -f1)"
	else
		expected=$(body_of "$2")
	fi
	dom=$(browse "${way[@]}" "https://$2/$page")
	echo "expected '$expected' in the DOM, got '$dom'"
	[[ $dom == *"$expected"* ]]
}
