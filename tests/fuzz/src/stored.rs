//! What lies on destinations: names, manifests, indexes, seek tables, differences.
#![no_main]

use afterbackup::archive::delta::vcdiff::Window;
use afterbackup::archive::index::Index;
use afterbackup::archive::manifest::Manifest;
use afterbackup::name::StoredFile;
use afterbackup::archive::paths::{Rules, safe_path};
use afterbackup::archive::seek_table::SeekTable;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let id = "XYZ-20261122T235900Z".parse().expect("this is an id");
    drop(Manifest::parse("XYZ-20261122T235900Z.json", bytes));
    drop(Index::parse(bytes, &id, 1 << 40));
    drop(SeekTable::parse(bytes, bytes.len() as u64));
    if let Ok(Some((window, _))) = Window::parse(bytes) {
        let source = window.source().map_or(0, |range| (range.end - range.start).min(1 << 16));
        drop(window.decode(&vec![7; usize::try_from(source).unwrap_or_default()], &mut Vec::new()));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(StoredFile::parse(text));
        drop(safe_path(text, Rules::Windows));
    }
});
