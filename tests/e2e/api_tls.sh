#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# api_tls: the REST API over TLS, asked from another machine by curl: with and
# without client certificates, with a token, with files that change.
#
#   client -- relay0 sluice-control, relay relay1 -- a: gtlsserver
#   curl             a.pem, later b.pem
. "$(dirname "$0")/lib.sh"

need gtlsclient curl jq promtool
[ -z "$DIRECT" ] || skip "there is nothing to control without a relay"
TARGET_A=${V4[a]}:$BACKEND_PORT
TOKEN='Authorization: Bearer correct-horse-battery'
CERT=(--cert "$WORK/b.pem" --key "$WORK/b.key") # any that the authority has signed

testbed_up
echo "10.83.1.1 new.test" >>"/etc/netns/$TESTBED-client/hosts"
start_gtlsserver a
relay_config kernel | relay_start
echo correct-horse-battery >"$WORK/token"
cp "$WORK/a.pem" "$WORK/api.pem"
cp "$WORK/a.key" "$WORK/api.key"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=stranger -days 30 \
	-keyout "$WORK/stranger.key" -out "$WORK/stranger.pem" 2>/dev/null || bail "a stranger's certificate"

API=a.test:8080
API_SCHEME=https
API_NS=client
API_CURL=(--cacert "$WORK/ca.pem")

# api_config KEYS: of `api`, beside the certificate.
api_config() {
	relay_config kernel
	echo "api: {log_requests: true, tls: {cert: $WORK/api.pem, key: $WORK/api.key${2:-}}, $1}"
}
CLIENT_CA=", client_ca: $WORK/ca.pem"

# control_refuses PATTERN: it does not start with the configuration, and says why.
control_refuses() {
	in_ns relay timeout 5 "$CONTROL" -f "$WORK/config.yaml" -n "$INSTANCE" >"$WORK/refused" 2>&1
	echo "status $?, $(cat "$WORK/refused")"
	grep -q ready "$WORK/refused" && return 1
	grep -q "$1" "$WORK/refused"
}

# fails CURL-STATUS COMMAND...: no answer, and curl says so.
fails() {
	local wanted=$1 status=0

	shift
	"$@" || status=$?
	echo "curl's status $status, expected $wanted"
	[ $status = "$wanted" ]
}

# --- client certificates -------------------------------------------------------------------------------

api_config 'address: 0.0.0.0' "$CLIENT_CA" >"$WORK/config.yaml"
control_start
check "every address without a token, as client certificates are asked for" expect 200 GET /healthz "${CERT[@]}"
check "it finds the relay" wait_for "connected" 5 expect 200 GET /readyz "${CERT[@]}"
posted_and_served() {
	expect 200 POST /routes "${CERT[@]}" -d "$(route new.test simple "$TARGET_A")" && answers new.test a.test
}
check "POST /routes; the next connection is served" posted_and_served
check "without a certificate there is no answer, not even /healthz" fails 56 api GET /healthz
check "nor with one of a stranger's" fails 56 api GET /routes --cert "$WORK/stranger.pem" --key "$WORK/stranger.key"
check "nor with TLS 1.1" fails 35 api GET /healthz "${CERT[@]}" --tls-max 1.1
check "TLS 1.2" expect 200 GET /healthz "${CERT[@]}" --tls-max 1.2
plain_http() {
	in_ns client curl -sS -m 10 "http://$API/healthz"
}
check "nor to plain HTTP" fails 52 plain_http
check "it goes on" expect 200 GET /routes "${CERT[@]}"
check "GET and HEAD in one connection" expect 200 GET /healthz -I "${CERT[@]}"
head -c 10000000 /dev/zero | tr '\0' ' ' >"$WORK/10mb"
check "the answer to a 10 MB body arrives" expect 413 POST /routes "${CERT[@]}" -H 'Content-Type: application/json' \
	--data-binary "@$WORK/10mb"
check "a page of another site" expect 403 POST /routes "${CERT[@]}" -H 'Origin: https://evil.test' \
	-d "$(route x.test simple 10.0.0.1:1)"
check "its own page" expect 200 POST /routes "${CERT[@]}" -H "Origin: https://$API" \
	-d "$(route own.test simple "$TARGET_A")"

NO_SECRET=$(printf '0%.0s' {1..64})
client_is_named() {
	expect 200 GET /version "${CERT[@]}" -H 'Sluice-Peer: 192.0.2.1' -H "Sluice-Secret: $NO_SECRET" &&
		wait_for "the log" 5 grep -q 'api 10.83.1.2 GET /version 200' "$WORK/log/control" &&
		! grep -q '192.0.2.1' "$WORK/log/control"
}
check "the log has the client's address, whatever it says of itself" client_is_named

# Behind the front: a port of 127.0.0.1 that is not in the configuration.
nobody_passes_by() {
	local port

	port=$(in_ns relay ss -Hltn 'src 127.0.0.1' | awk '{ sub(/.*:/, "", $4); print $4 }')
	[[ $port =~ ^[0-9]+$ ]] || { echo "ports: $port"; return 1; }
	in_ns relay curl -sS -m 10 "http://127.0.0.1:$port/routes" -H 'Sluice-Peer: 127.0.0.1' \
		-H "Sluice-Secret: $NO_SECRET" -o "$WORK/answer" -w '%{http_code}' >"$WORK/status"
	cat "$WORK/answer"
	[ "$(cat "$WORK/status")" = 403 ]
}
check "a local user does not come past it" nobody_passes_by

# Processes of their own: one curl would take up connections again that are just being closed.
many_at_once() {
	in_ns client xargs -P 100 -I{} curl -sS -m 60 "${API_CURL[@]}" "${CERT[@]}" -o /dev/null -w '%{http_code}\n' \
		"https://$API/routes?limit={}" < <(seq 150) >"$WORK/codes" 2>"$WORK/log/curl.many"
	sort "$WORK/codes" | uniq -c
	[ "$(sort "$WORK/codes" | uniq -c | tr -s ' ')" = " 150 200" ]
}
check "150 connections, 100 at a time" many_at_once

metrics_are_right() {
	expect 200 GET /metrics "${CERT[@]}" >/dev/null && promtool check metrics <"$WORK/answer" || return
	grep sluice_api_tls "$WORK/answer"
	grep -q '^sluice_api_tls_handshake_failed_total 4$' "$WORK/answer" &&
		grep -q '^sluice_api_tls_full_total 0$' "$WORK/answer" &&
		grep -q '^sluice_api_tls_connections [1-9]' "$WORK/answer"
}
check "the metrics tell of the four that were refused" metrics_are_right

# --- files that change -----------------------------------------------------------------------------------

kill -HUP "$control_pid"
check "SIGHUP reads them" wait_for "its log" 5 grep -q 'certificate and key read again' "$WORK/log/control"
echo rubbish >"$WORK/api.pem"
check "a bad file is told of" wait_for "its log" 5 grep -q 'api.pem.*going on with the files as they were' \
	"$WORK/log/control"
check "and what was there serves on" expect 200 GET /healthz "${CERT[@]}"
cp "$WORK/b.key" "$WORK/api.key"
cp "$WORK/b.pem" "$WORK/api.pem"
API=b.test:8080
check "a new certificate serves without being asked for" wait_for "b.test" 5 expect 200 GET /healthz "${CERT[@]}"
stop_pid "$control_pid"
API=a.test:8080
cp "$WORK/a.key" "$WORK/api.key"
check "a key that is another certificate's is refused at start" control_refuses 'api.tls: key .*mismatch'
cp "$WORK/a.pem" "$WORK/api.pem"

# --- with a token ------------------------------------------------------------------------------------------

api_config "token_file: $WORK/token" "$CLIENT_CA" >"$WORK/config.yaml"
control_start
check "token and certificate" expect 200 GET /routes "${CERT[@]}" -H "$TOKEN"
check "a certificate alone" expect 401 GET /routes "${CERT[@]}"
check "a token alone" fails 56 api GET /routes -H "$TOKEN"
stop_pid "$control_pid"
api_config "token_file: $WORK/token" >"$WORK/config.yaml"
control_start
check "where no certificate is asked for, a token" expect 200 GET /routes -H "$TOKEN"
check "no token" expect 401 GET /routes
check "health needs none" expect 200 GET /healthz
check "IPv6" expect 200 GET /healthz --connect-to "$API:[fd00:83:1::1]:8080"
stop_pid "$control_pid"

# --- with neither ------------------------------------------------------------------------------------------

api_config 'address: 0.0.0.0' >"$WORK/config.yaml"
check "without token and client certificates no address but loopback" \
	control_refuses 'api.token_file or api.tls.client_ca'
api_config 'port: 8080' >"$WORK/config.yaml"
control_start
check "by default it is not for others" fails 7 api GET /healthz
API_NS=relay
check "but for this machine" expect 200 GET /routes --connect-to "$API:127.0.0.1:8080"
check "by IPv6 too" expect 200 GET /routes --connect-to "$API:[::1]:8080"
stop_pid "$control_pid"
finish
