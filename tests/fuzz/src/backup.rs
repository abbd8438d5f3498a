//! Backups in tape format: .bak, .trn.
#![no_main]

mod edited;

use std::sync::LazyLock;

use edited::synthetic;
use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| synthetic::Backup::of(&synthetic::Data::default().build(), true).bytes);

fuzz_target!(|edits: &[u8]| edited::check(FILE.clone(), edits));
