#!/bin/bash
# Builds the program, archives a small made-up snapshot of last night into a folder below target/ and lists what is
# there. Run again on the same day, it finds the snapshot archived already.
#
# Needs Rust (Debian's own is too old: https://rustup.rs), a C compiler and some 2 GB of disk. The first build takes a few
# minutes; it leaves out what makes the released program a little faster.
#
# PROFILE   another build profile than quick
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=${PROFILE:-quick}
target=${CARGO_TARGET_DIR:-target}
sample=target/sample

needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
command -v cargo >/dev/null || die "cargo is not installed: get Rust $needed or newer from https://rustup.rs"
version=$(rustc --version | cut -d ' ' -f 2)
[ "$(printf '%s\n' "$needed" "$version" | sort -V | head -n 1)" = "$needed" ] ||
    die "Rust $version is too old, $needed is needed: rustup update stable"
command -v "${CC:-cc}" >/dev/null || die "there is no C compiler: apt-get install gcc libc6-dev"

echo "=== building, a few minutes the first time"
cargo build --locked --profile "$profile"
program=$target/$([ "$profile" = dev ] && echo debug || echo "$profile")/afterbackup
mkdir -p "$sample"
rustc --edition 2024 -O -o "$sample/make" benches/compare/sample.rs
"$sample/make" "$sample/E/ConfigMgr_Backup"
mkdir -p "$sample/vault" # afterbackup never makes this folder: it may be a disk that is not mounted

try() {
    printf '\n=== %s %s\n' "$program" "$*"
    "$program" "$@"
}
try run --config config/sample.toml
try list --config config/sample.toml
