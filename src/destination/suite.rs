//! The contract of a destination as tests: every kind of destination has to pass all of them.

#![allow(clippy::unwrap_used, reason = "a failed check is a panic")]

use std::collections::BTreeSet;
use std::io::Read;

use bytes::Bytes;

use super::{Destination, ErrorKind};

const NAME: &str = "XYZ-20261122T235900Z.tar.zst";
const KEY: &str = "XYZ/XYZ-20261122T235900Z.tar.zst";

/// Checks every sentence of the contract. `make` gives an empty destination each time.
///
/// # Panics
/// When the contract is broken.
pub fn run(make: impl Fn() -> Box<dyn Destination>) {
    empty_destination_holds_nothing(&*make());
    upload_becomes_visible_only_when_finished(&*make());
    nothing_is_ever_replaced(&*make());
    what_is_not_there(&*make());
    ranges(&*make());
    empty_files(&*make());
    large_upload_in_odd_blocks(&*make());
    aborted_upload_leaves_nothing(&*make());
    dropped_upload_leaves_nothing_visible(&*make());
    odd_but_legal_names(&*make());
    illegal_names_are_refused(&*make());
    two_uploads_of_one_key(&*make());
    sizes_and_times(&*make());
    long_listing_is_sorted(&*make());
}

/// Bytes that do not repeat at the length of a part.
#[must_use]
pub fn sample(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) + 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 11).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn names(destination: &dyn Destination, folder: &str) -> Vec<String> {
    destination.list(folder).unwrap().into_iter().map(|entry| entry.name).collect()
}

fn whole(destination: &dyn Destination, key: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    destination.open(key).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn push(destination: &dyn Destination, key: &str, bytes: &[u8], block: usize) -> Result<(), super::Error> {
    let mut upload = destination.upload(key, bytes.len() as u64)?;
    for block in bytes.chunks(block) {
        upload.write(Bytes::copy_from_slice(block))?;
    }
    upload.finish()
}

fn empty_destination_holds_nothing(destination: &dyn Destination) {
    assert!(!destination.name().is_empty());
    assert!(!destination.location().is_empty());
    assert_eq!(destination.folders().unwrap(), Vec::<String>::new());
    assert!(destination.list("XYZ").unwrap().is_empty());
    assert!(destination.list("").unwrap().is_empty());
    assert!(destination.leftovers("XYZ").unwrap().is_empty());
}

fn upload_becomes_visible_only_when_finished(destination: &dyn Destination) {
    // More than one part of a bucket, so that something has been sent.
    let bytes = sample(9 << 20, 1);
    let mut upload = destination.upload(KEY, bytes.len() as u64).unwrap();
    upload.write(Bytes::from(bytes.clone())).unwrap();
    assert!(destination.list("XYZ").unwrap().is_empty());
    assert!(destination.stat(KEY).unwrap_err().is_not_found());
    let leftovers = destination.leftovers("XYZ").unwrap();
    assert_eq!(leftovers.len(), 1, "a killed process would leave something to sweep");
    assert_eq!(leftovers[0].of, NAME);
    upload.finish().unwrap();
    assert_eq!(names(destination, "XYZ"), [NAME]);
    assert_eq!(destination.folders().unwrap(), ["XYZ"]);
    assert!(destination.leftovers("XYZ").unwrap().is_empty());
    assert!(whole(destination, KEY) == bytes);
}

fn nothing_is_ever_replaced(destination: &dyn Destination) {
    destination.put_new("XYZ/small", b"first").unwrap();
    assert_eq!(destination.put_new("XYZ/small", b"second").unwrap_err().kind, ErrorKind::AlreadyExists);
    // The same bytes are no excuse: somebody else put them.
    assert_eq!(destination.put_new("XYZ/small", b"first").unwrap_err().kind, ErrorKind::AlreadyExists);
    assert_eq!(destination.read("XYZ/small", 100).unwrap().as_ref(), b"first");
    for length in [10, 9 << 20] {
        let error = push(destination, "XYZ/small", &sample(length, 2), 1 << 20).unwrap_err();
        assert_eq!(error.kind, ErrorKind::AlreadyExists);
        assert_eq!(destination.read("XYZ/small", 100).unwrap().as_ref(), b"first");
    }
    assert_eq!(names(destination, "XYZ"), ["small"]);
    assert!(destination.leftovers("XYZ").unwrap().is_empty());
    // What was deleted may be put again.
    destination.delete("XYZ/small").unwrap();
    destination.put_new("XYZ/small", b"second").unwrap();
    assert_eq!(destination.read("XYZ/small", 100).unwrap().as_ref(), b"second");
}

fn what_is_not_there(destination: &dyn Destination) {
    destination.delete("XYZ/nothing").unwrap();
    destination.put_new("XYZ/something", b"").unwrap();
    destination.delete("XYZ/nothing").unwrap();
    destination.delete("XYZ/something").unwrap();
    assert!(destination.list("XYZ").unwrap().is_empty());
    assert!(destination.stat("XYZ/nothing").unwrap_err().is_not_found());
    assert!(destination.read("XYZ/nothing", 1).unwrap_err().is_not_found());
    assert!(destination.read_range("XYZ/nothing", 0..1).unwrap_err().is_not_found());
    assert!(destination.open("XYZ/nothing").map(|_| ()).unwrap_err().is_not_found());
}

fn ranges(destination: &dyn Destination) {
    let bytes = sample(100_000, 3);
    destination.put_new("XYZ/file", &bytes).unwrap();
    for range in [0..1, 0..100_000, 99_999..100_000, 12_345..67_890, 0..0, 100_000..100_000] {
        let index = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        assert!(destination.read_range("XYZ/file", range.clone()).unwrap() == bytes[index], "{range:?}");
    }
    for range in [0..100_001, 99_999..200_000, 100_000..100_001, 1_000_000..1_000_010, 100_001..100_001] {
        assert_eq!(
            destination.read_range("XYZ/file", range.clone()).unwrap_err().kind,
            ErrorKind::OutOfRange,
            "{range:?}"
        );
    }
    assert!(destination.read("XYZ/file", 100_000).unwrap() == bytes);
    assert_eq!(destination.read("XYZ/file", 99_999).unwrap_err().kind, ErrorKind::TooLarge);
}

fn empty_files(destination: &dyn Destination) {
    destination.put_new("XYZ/put", b"").unwrap();
    destination.upload("XYZ/uploaded", 1 << 30).unwrap().finish().unwrap();
    for key in ["XYZ/put", "XYZ/uploaded"] {
        assert_eq!(destination.stat(key).unwrap().bytes, 0);
        assert!(destination.read(key, 0).unwrap().is_empty());
        assert!(destination.read_range(key, 0..0).unwrap().is_empty());
        assert_eq!(destination.read_range(key, 0..1).unwrap_err().kind, ErrorKind::OutOfRange);
        assert!(whole(destination, key).is_empty());
    }
}

fn large_upload_in_odd_blocks(destination: &dyn Destination) {
    let bytes = sample(20 << 20, 4);
    // The estimate is too small by far: it must not matter.
    for (key, block, expected) in
        [("XYZ/odd", 1_234_567, 20 << 20), ("XYZ/whole", usize::MAX, 1), ("XYZ/tiny", 4099, 0)]
    {
        let mut upload = destination.upload(key, expected).unwrap();
        for block in bytes.chunks(block) {
            upload.write(Bytes::copy_from_slice(block)).unwrap();
        }
        upload.write(Bytes::new()).unwrap();
        upload.finish().unwrap();
        assert!(whole(destination, key) == bytes, "{key}");
        let range = (8 << 20) - 10..(8 << 20) + 10;
        let index = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        assert!(destination.read_range(key, range).unwrap() == bytes[index]);
    }
    // Exactly one part, and one byte more.
    for length in [8 << 20, (8 << 20) + 1] {
        let key = format!("XYZ/{length}");
        push(destination, &key, &bytes[..length], 1 << 20).unwrap();
        assert!(whole(destination, &key) == bytes[..length]);
    }
}

fn aborted_upload_leaves_nothing(destination: &dyn Destination) {
    for length in [0, 1000, 18 << 20] {
        let mut upload = destination.upload(KEY, length as u64).unwrap();
        upload.write(Bytes::from(sample(length, 5))).unwrap();
        upload.abort().unwrap();
        assert!(destination.list("XYZ").unwrap().is_empty());
        assert!(destination.leftovers("XYZ").unwrap().is_empty());
    }
}

fn dropped_upload_leaves_nothing_visible(destination: &dyn Destination) {
    let mut upload = destination.upload(KEY, 18 << 20).unwrap();
    upload.write(Bytes::from(sample(18 << 20, 6))).unwrap();
    let leftovers = destination.leftovers("XYZ").unwrap();
    assert_eq!(leftovers.len(), 1);
    drop(upload);
    assert!(destination.list("XYZ").unwrap().is_empty());
    for leftover in destination.leftovers("XYZ").unwrap() {
        destination.remove_leftover(&leftover).unwrap();
    }
    assert!(destination.leftovers("XYZ").unwrap().is_empty());
    // It is gone already.
    destination.remove_leftover(&leftovers[0]).unwrap();
    // And nothing is in the way of the next one.
    push(destination, KEY, b"next", 1).unwrap();

    // What somebody else removes from under an upload makes it fail, or does not matter; it never shows half a file.
    let other = "XYZ/XYZ-20261123T235900Z.tar.zst";
    let bytes = sample(18 << 20, 7);
    let mut upload = destination.upload(other, 18 << 20).unwrap();
    upload.write(Bytes::from(bytes.clone())).unwrap();
    for leftover in destination.leftovers("XYZ").unwrap() {
        destination.remove_leftover(&leftover).unwrap();
    }
    match upload.finish() {
        Ok(()) => assert!(whole(destination, other) == bytes),
        Err(_) => assert!(destination.stat(other).unwrap_err().is_not_found()),
    }
}

fn odd_but_legal_names(destination: &dyn Destination) {
    let mut expected = BTreeSet::new();
    // Some servers make longer names of it on their own disk.
    let long = "l".repeat(120);
    for name in [
        "XYZ.Content_Library-2-20261122T235900Z.tar.zst.age",
        "with blank",
        "ünïcödé 漢字",
        "a+b%20c#d&e=f;g,h@i!j$k'l(m)n~o[p]q{r}s",
        "%2F",
        "%",
        ".hidden",
        "..two dots",
        "UPPER",
        "dash-",
        &long,
    ] {
        for folder in ["XYZ", "Å %41"] {
            let key = format!("{folder}/{name}");
            destination.put_new(&key, name.as_bytes()).unwrap();
            assert_eq!(destination.stat(&key).unwrap().name, name);
            assert_eq!(destination.read(&key, 1000).unwrap().as_ref(), name.as_bytes());
        }
        expected.insert(name.to_owned());
    }
    destination.put_new("at the top", b"").unwrap();
    let expected: Vec<_> = expected.into_iter().collect();
    assert_eq!(names(destination, "XYZ"), expected);
    assert_eq!(names(destination, "Å %41"), expected);
    assert_eq!(names(destination, ""), ["at the top"]);
    assert_eq!(destination.folders().unwrap(), ["XYZ", "Å %41"]);
    for name in &expected {
        destination.delete(&format!("XYZ/{name}")).unwrap();
    }
    assert!(destination.list("XYZ").unwrap().is_empty());
}

fn illegal_names_are_refused(destination: &dyn Destination) {
    for key in ["", "/", "..", "../a", "a/b/c", "/etc/passwd", "a\\b", "a:b", "XYZ/", "XYZ/..", "XYZ/a\n"] {
        assert!(destination.put_new(key, b"").is_err(), "{key:?}");
        assert!(destination.upload(key, 0).is_err(), "{key:?}");
        assert!(destination.read(key, 0).is_err(), "{key:?}");
        assert!(destination.delete(key).is_err(), "{key:?}");
    }
    assert!(destination.list("../..").is_err());
}

fn two_uploads_of_one_key(destination: &dyn Destination) {
    for length in [1000, 9 << 20] {
        let (first, second) = (sample(length, 8), sample(length, 9));
        let key = format!("XYZ/{length}");
        let mut uploads = [&first, &second].map(|bytes| {
            let mut upload = destination.upload(&key, length as u64).unwrap();
            upload.write(Bytes::from(bytes.clone())).unwrap();
            upload
        });
        uploads.reverse();
        let [late, early] = uploads;
        early.finish().unwrap();
        assert_eq!(late.finish().unwrap_err().kind, ErrorKind::AlreadyExists);
        assert!(whole(destination, &key) == first);
        assert!(destination.leftovers("XYZ").unwrap().is_empty());
    }
}

fn sizes_and_times(destination: &dyn Destination) {
    destination.put_new("XYZ/b", b"12345").unwrap();
    push(destination, "XYZ/a", &sample(9 << 20, 10), 1 << 20).unwrap();
    let listed = destination.list("XYZ").unwrap();
    assert_eq!(
        listed.iter().map(|entry| (entry.name.as_str(), entry.bytes)).collect::<Vec<_>>(),
        [("a", 9 << 20), ("b", 5)]
    );
    for entry in &listed {
        let stat = destination.stat(&format!("XYZ/{}", entry.name)).unwrap();
        assert_eq!((&stat.name, stat.bytes), (&entry.name, entry.bytes));
        // Headers carry whole seconds only.
        assert!((stat.modified.as_second() - entry.modified.as_second()).abs() <= 1);
    }
    // They were written one after the other, by one clock.
    assert!((listed[0].modified.as_second() - listed[1].modified.as_second()).abs() < 600);
}

fn long_listing_is_sorted(destination: &dyn Destination) {
    // More than two pages of a bucket.
    const COUNT: usize = 2100;
    const THREADS: usize = 16;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for n in (thread..COUNT).step_by(THREADS) {
                    destination.put_new(&format!("XYZ/{n:05}"), b"").unwrap();
                }
            });
        }
    });
    let expected: Vec<_> = (0..COUNT).map(|n| format!("{n:05}")).collect();
    assert_eq!(names(destination, "XYZ"), expected);
    assert_eq!(destination.folders().unwrap(), ["XYZ"]);
}
