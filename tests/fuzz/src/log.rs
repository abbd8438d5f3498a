//! Log files: .ldf.
#![no_main]

mod edited;

use std::sync::LazyLock;

use edited::synthetic;
use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| synthetic::log(7, 26));

fuzz_target!(|edits: &[u8]| edited::check(FILE.clone(), edits));
