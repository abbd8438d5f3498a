#!/bin/bash
# Archives a small synthetic snapshot into a folder below target/ and lists what is there. Needs Rust and a C compiler.
# Run again, it finds the snapshot archived already.
#
# PROFILE   another build profile than release
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=${PROFILE:-release}
afterbackup() {
    cargo run --quiet --locked --profile "$profile" -- --config config/sample.toml "$@"
}

echo "making a sample snapshot"
cargo run --quiet --locked --profile "$profile" --example sample -- target/sample/E/ConfigMgr_Backup
mkdir -p target/sample/vault # afterbackup never makes this folder: it may be a disk that is not mounted
echo "afterbackup run"
afterbackup run
echo "afterbackup list"
afterbackup list
