#!/bin/bash
# Changes the code in many small ways and says which changes no test notices. Needs cargo-mutants and cargo-nextest
# (cargo install --locked cargo-mutants). A survivor is a test that is missing, or code that does nothing.
#
#   deploy/mutants.sh                  what differs from main
#   deploy/mutants.sh COMMIT           what differs from a commit
#   deploy/mutants.sh FILE.rs...       whole files
#
# Further options for cargo-mutants may follow --, such as: -- --shard 0/8
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

files=()
base=main
while [ $# -gt 0 ]; do
    case $1 in
        --) shift; break ;;
        *.rs) files+=(--file "$1") ;;
        *) base=$1 ;;
    esac
    shift
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ ${#files[@]} -eq 0 ]; then
    git diff "$base" -- src >"$work/diff"
    [ -s "$work/diff" ] || { echo "nothing in src differs from $base"; exit 0; }
    files=(--in-diff "$work/diff")
fi
# The unit tests and the tests of the whole program; not those that compute for long.
cargo mutants --test-tool nextest --output target --no-shuffle --timeout 300 "${files[@]}" "$@" \
    -- --locked --lib --test it -E 'not (test(properties::) + test(watch_simulated::) + test(every_flipped_byte))'
