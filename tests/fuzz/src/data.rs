//! Database files: .mdf, .ndf.
#![no_main]

mod edited;

use std::sync::LazyLock;

use edited::synthetic;
use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| synthetic::Data::default().build());

fuzz_target!(|edits: &[u8]| edited::check(FILE.clone(), edits));
