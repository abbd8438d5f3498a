#!/bin/bash
# Strips a released program and puts its symbols into a file beside it. Debuggers find that of a Linux program by
# themselves; for a Windows program, gdb is told: `symbol-file PROGRAM.debug`.
#
#   deploy/symbols.sh PROGRAM [OUTPUT]
#
# PROGRAM stays as it is when there is an OUTPUT; its symbols are OUTPUT.debug. For Windows programs the tools of mingw
# are used. A backtrace of the stripped program names functions only with that file beside it: keep it with the release.
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: symbols.sh PROGRAM [OUTPUT]" >&2; exit 2; }
program=$1
output=${2:-$1}
tools=''
[ "$(head -c 2 "$program")" != MZ ] || tools=x86_64-w64-mingw32-
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${tools}objcopy" --only-keep-debug "$program" "$output.debug"
chmod 644 "$output.debug"
"${tools}strip" -o "$work/stripped" "$program"
# The link holds the name of the symbols' file, without its folder, and its checksum. A Windows program gets none: the
# name of that section has more than eight letters and needs a table of strings behind all sections, for which programs
# that look into it refuse the whole file, 7-Zip for one.
if [ -z "$tools" ]; then
    (cd "$(dirname "$output")" && objcopy --add-gnu-debuglink="$(basename "$output").debug" "$work/stripped")
fi
chmod 755 "$work/stripped"
mv "$work/stripped" "$output"
printf '%s: %d bytes, symbols in %s.debug\n' "$output" "$(wc -c <"$output")" "$output"
