#!/bin/bash
# Fuzzes one target, or all, with coverage guidance on stable Rust.
#
#   tests/fuzz/run.sh                   every target for 60 seconds
#   tests/fuzz/run.sh sqlserver-log 600
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

targets=(sqlserver-data sqlserver-log sqlserver-backup sqlserver-compressed stored task-log)
if [ $# -gt 0 ]; then targets=("$1"); fi
seconds=${2:-60}
export RUSTFLAGS="--cfg fuzzing -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
-C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
-C llvm-args=-sanitizer-coverage-trace-compares -C debug-assertions -C codegen-units=1"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-../../target/fuzz}
host=$(rustc -vV | sed -n 's/^host: //p')
# A target is named so that build scripts and macros are not instrumented.
cargo build --quiet --release --target "$host" --bins
for target in "${targets[@]}"; do
    mkdir -p "$CARGO_TARGET_DIR/corpus/$target"
    "$CARGO_TARGET_DIR/$host/release/$target" -max_total_time="$seconds" -artifact_prefix="$CARGO_TARGET_DIR/$target-" \
        "$CARGO_TARGET_DIR/corpus/$target"
done
