#!/bin/sh
# The main job, on a capture with what goes wrong on real links: find the wrong checksums, put them right, look again.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp web.pcap mixed.pcapng "$work"
cd "$work"

# Runs a command as a user would type it; exit status 1 is a finding, not a failure.
show() {
    printf '\n$ %s\n' "$*"
    status=0
    "$@" || status=$?
    [ "$status" -le 1 ] || exit "$status"
    echo "(exit status $status)"
}

show ipkit csum web.pcap
show ipkit csum -q web.pcap -w fixed.pcap
show ipkit csum -q fixed.pcap
show ipkit csum -a -f simple mixed.pcapng
