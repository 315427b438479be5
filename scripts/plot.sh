#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# plot: draws the curves of docs/bench.md from the table of a `make bench`
# (not bench-quick, which measures no curves), with gnuplot.
#
#   scripts/plot.sh [TSV [DIRECTORY]]     build/bench.tsv, docs
set -euo pipefail

cd "$(dirname "$0")/.."
tsv=${1:-build/bench.tsv}
out=${2:-docs}

die() {
	echo "plot: $*" >&2
	exit 1
}

command -v gnuplot >/dev/null || die "needs gnuplot: scripts/deps.sh bench"
[ -r "$tsv" ] || die "$tsv: not there: make bench"
data=$(mktemp -d /tmp/sluice-plot.XXXXXX)
trap 'rm -rf "$data"' EXIT

# curve NAME PREFIX [PER]: "x min median max" of the figures PREFIX<x>, by x; PER / value if given. 1m is 1,048,576.
curve() {
	awk -F '\t' -v prefix="$2" -v per="${3:-}" '
		index($1, prefix) == 1 {
			x = substr($1, length(prefix) + 1)
			if (x == "1m")
				x = 1048576
			if (x !~ /^[0-9]+$/)
				next
			if (per)
				print x, per / $5, per / $4, per / $3
			else
				print x, $3, $4, $5
		}' "$tsv" | sort -n >"$data/$1"
	[ "$(wc -l <"$data/$1")" -gt 1 ] || die "$tsv has no curve $2*: it is not of a whole make bench"
}

# value FIGURE: its median.
value() {
	awk -F '\t' -v figure="$1" '$1 == figure { print $4; found = 1 } END { exit !found }' "$tsv" ||
		die "$tsv has no $1: it is not of a whole make bench"
}

curve program xdp.ns.n
awk -F '\t' '$1 == "xdp.ns.1m" { print 1048576, $3, $4, $5 }' "$tsv" >>"$data/program"
curve system xdp.mpps.64.n 1000
awk -F '\t' '$1 == "xdp.mpps.64.1m" { print 1048576, 1000 / $5, 1000 / $4, 1000 / $3 }' "$tsv" >>"$data/system"
curve bare_system bare.mpps.64.n 1000
awk -F '\t' '$1 == "bare.mpps.64.1m" { print 1048576, 1000 / $5, 1000 / $4, 1000 / $3 }' "$tsv" >>"$data/bare_system"
for side in xdp bare worker xsk socket; do
	curve "size_$side" "$side.mpps."
done
for side in xdp bare; do
	echo "1 $(value "$side.mpps.64")"
	echo "2 $(value "$side.mpps.64.2q")"
	printf '\n\n'
done >"$data/queues"

gnuplot <<GNUPLOT
set terminal svg size 720,420 dynamic background "white" font "sans,13"
set grid
set key outside below
set rmargin 6
set yrange [0:*]

set output "$out/bench-sessions.svg"
set title "Kernel path: cost of a packet by sessions that send (64 bytes of payload)"
set logscale x 2
set xlabel "sessions, of 1,048,576 in the tables"
set ylabel "ns"
set format x "%.0f"
plot "$data/system" using 1:3:2:4 with yerrorlines title "through the system, one core", \
	"$data/bare_system" using 1:3:2:4 with yerrorlines title "bare program through the system", \
	"$data/program" using 1:3:2:4 with yerrorlines title "XDP program alone", \
	$(value xdp.ns.bare) title "bare program alone"

unset logscale x
set output "$out/bench-size.svg"
set title "Throughput by payload (1,024 sessions)"
set xlabel "bytes of UDP payload"
set ylabel "Mpps"
set xrange [0:1250]
plot "$data/size_bare" using 1:3:2:4 with yerrorlines title "bare XDP", \
	"$data/size_xdp" using 1:3:2:4 with yerrorlines title "sluice, kernel path", \
	"$data/size_xsk" using 1:3:2:4 with yerrorlines title "bare AF\\\\_XDP", \
	"$data/size_worker" using 1:3:2:4 with yerrorlines title "sluice, worker", \
	"$data/size_socket" using 1:3:2:4 with yerrorlines title "UDP sockets"

set output "$out/bench-queues.svg"
set title "Kernel path by queues, one core each (64 bytes of payload)"
set xlabel "queues"
set ylabel "Mpps"
set xrange [0.5:2.5]
set xtics 1
set style fill solid 0.6
set boxwidth 0.3
plot "$data/queues" index 1 using (\$1 - 0.16):2 with boxes title "bare XDP", \
	"$data/queues" index 0 using (\$1 + 0.16):2 with boxes title "sluice"
GNUPLOT
