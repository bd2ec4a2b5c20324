#!/usr/bin/env bash
# A flame graph of one server process, as one SVG without scripts.
#
#   perf/flame.sh PID SECONDS OUT.svg           of a running process
#   perf/flame.sh -- OUT.svg COMMAND...         of a command and its children, from start to end
#
# Needs Linux perf. With the release profile's line tables the frames have names; inlined ones are shown with their callers.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
data=$(mktemp)
trap 'rm -f "$data"' EXIT

if [ "${1:-}" = -- ]; then
    out=$2
    perf record --quiet -F 499 -g --call-graph dwarf,16384 -o "$data" -- "${@:3}" >&2
else
    out=$3
    perf record --quiet -F 499 -g --call-graph dwarf,16384 -o "$data" -p "$1" -- sleep "$2" >&2
fi
perf script --no-inline -i "$data" 2>/dev/null | "$here/flame.py" >"$out"
echo "$out"
