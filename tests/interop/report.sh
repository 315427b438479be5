# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# report: the outcome of a run as a table, on the terminal and in
# docs/interop.md. Sourced by run.sh.

declare -A COLUMN=([transfer]="20 MB" [retry]=Retry [upgrade]="v1 to v2" [0rtt]=0-RTT)
declare -A STACK_NAME=([quicgo]=quic-go [chromium]=Chromium)

# cell_text CELL NOTES-FILE: the reason of a "-" is a numbered note, once for all cells that share it.
cell_text() {
	local text=${outcome[$1]:-} why number

	case $text in
	-*)
		why=${text#- }
		number=$(grep -nFx "$why" "$2" | cut -d: -f1)
		if [ -z "$number" ]; then
			echo "$why" >>"$2"
			number=$(wc -l <"$2")
		fi
		echo "- ($number)"
		;;
	*) echo "$text" ;;
	esac
}

# table_row FIRST CELL...
table_row() {
	printf '| %-18s |' "$1"
	shift
	printf ' %-9s |' "$@"
	echo
}

# print_table: Markdown, aligned so that it is read as it is; the notes below it.
print_table() {
	local client server test notes="$WORK/notes" cells=()

	: >"$notes"
	for test in "${TESTS[@]}"; do
		cells+=("${COLUMN[$test]:-$test}")
	done
	table_row "client, server" "${cells[@]}"
	table_row --- "${TESTS[@]/*/---}"
	for client in "${CLIENTS[@]}"; do
		for server in "${SERVERS[@]}"; do
			cells=()
			for test in "${TESTS[@]}"; do
				cells+=("$(cell_text "$client/$server/$test" "$notes")")
			done
			table_row "${STACK_NAME[$client]:-$client}, ${STACK_NAME[$server]:-$server}" "${cells[@]}"
		done
	done
	echo
	awk '{ print NR ". " $0 "." }' "$notes"
}

# print_run: when, where and with what.
print_run() {
	local stack

	echo "Run on $(date -u +%F), Linux $(uname -r), fast path ${FAST_PATH:-kernel}, with:"
	echo
	for stack in quicgo quinn aioquic ngtcp2 caddy chromium; do
		echo "- ${absent[$stack]:-$(version_of $stack)}"
	done
	echo
}

# write_report FILE: puts the run between the two markers in it.
write_report() {
	{ print_run; print_table; } >"$WORK/report"
	awk -v report="$WORK/report" '
		/^<!-- end of the results -->/ { print ""; while ((getline line < report) > 0) print line; print ""; inside = 0 }
		!inside { print }
		/^<!-- results, written by make interop -->/ { inside = 1 }' "$1" >"$WORK/document"
	cat "$WORK/document" >"$1"
}
