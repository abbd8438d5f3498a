#!/bin/bash
# Runs a Windows program with AFTERBACKUP_WINE_RUN, and once more where Wine's own server has died or was just ending, as
# it does now and then on a busy machine: that is no failure of the program, most of which have not even begun.
set -euo pipefail

errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
for try in 1 2 3; do
    status=0
    "$AFTERBACKUP_WINE_RUN" "$@" 2>"$errors" || status=$?
    if [ "$status" -eq 0 ] || [ "$try" -eq 3 ] ||
        ! grep -qE '^wine( client error:|: a wine server seems to be running)' "$errors"; then
        break
    fi
    echo "Wine's server has ended: once more" >&2
    # A server that ends needs a moment.
    sleep 5
done
cat "$errors" >&2
exit "$status"
