//! What the two sides promise each other: the vectors of the design, round trips, bounds, and what happens to windows
//! that are damaged at random. Lies made on purpose are in `lies`.
#![allow(clippy::string_slice, reason = "hexadecimal digits")]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[path = "../../../../tests/support/deltas.rs"]
mod deltas;

use deltas::{decode, encode, noise};

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn bytes(range: std::ops::RangeInclusive<u8>) -> Vec<u8> {
    range.collect()
}

const FOX: &[u8] = b"The quick brown fox jumps over the lazy dog.";
const CAT: &[u8] = b"The quick brown cat jumps over the lazy dog!!";
const ALPHABET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

#[test]
fn vector_1_changed_and_grown() {
    let delta = hex("d6c3c40000 05 2c 00 15 2d 00 05 05 02 79a81007 6361742121 3004231803 2c2c");
    assert_eq!(decode(&delta, FOX).unwrap(), CAT);
    assert_eq!(encode(CAT, FOX, WINDOW), delta);
}

#[test]
fn vector_2_three_windows_the_last_past_the_end_of_the_base() {
    let base = bytes(0x40..=0x5F);
    let target = [&bytes(0x40..=0x53), &b"zz"[..], &bytes(0x56..=0x5F), b"new tail"].concat();
    let windows = [
        hex("05 10 00 0b 10 00 00 01 01 24b80479 30 10"),
        hex("05 10 10 10 10 00 02 03 02 309705c4 7a7a 24032a 1010"),
        hex("04 12 08 00 08 01 00 0dd60315 6e6577207461696c 09"),
    ];
    assert_eq!(decode(&[&HEADER[..], &windows.concat()].concat(), &base).unwrap(), target);
    let written = encode(&target, &base, 16);
    assert_eq!(decode(&written, &base).unwrap(), target);
    // The writer takes no copies below 16 bytes, so the window in the middle comes out as one ADD.
    assert!(written.starts_with(&[&HEADER[..], &windows[0]].concat()));
    assert!(written.ends_with(&windows[2]));
}

#[test]
fn vector_3_moved_bytes() {
    let target = [b"xx", &ALPHABET[..34]].concat();
    let delta = hex("d6c3c40000 05 24 00 0f 24 00 02 03 01 b2c10a2a 7878 032322 26");
    assert_eq!(decode(&delta, ALPHABET).unwrap(), target);
    assert_eq!(encode(&target, ALPHABET, WINDOW), delta);
}

#[test]
fn vector_4_header_of_a_window_of_4_mib_at_5_gib() {
    let start = hex("05 82808000 9480808000");
    let skim = Window::skim(&[&start[..], &hex("10 82808000")].concat()).unwrap().unwrap();
    assert_eq!(skim, Skim { source: Some(5 << 30..(5 << 30) + (4 << 20)), target_len: 4 << 20, window_len: 27 });
    let target = vec![7; 4 << 20];
    let mut delta = Vec::new();
    Encoder::new().window(&target, &target, 5 << 30, &mut delta);
    assert!(delta.starts_with(&start));
    let (window, len) = Window::parse(&delta).unwrap().unwrap();
    let mut out = Vec::new();
    window.decode(&target, &mut out).unwrap();
    assert_eq!((out, len), (target, delta.len()));
}

#[test]
fn unchanged_window_takes_28_bytes() {
    let target = vec![1; WINDOW];
    for (position, bytes) in [(0, 24), (31 << 30, 28), (299 << 30, 29)] {
        let mut delta = Vec::new();
        Encoder::new().window(&target, &target, position, &mut delta);
        assert_eq!(delta.len(), bytes, "at {position}");
    }
}

#[test]
fn the_worst_targets_take_at_most_64_bytes_more() {
    // Copies as short as they get, between changes as short as they get, at places as far as they get.
    for (size, copied) in [(WINDOW, 16), (WINDOW, 17), (WINDOW, 24), (16 << 20, 16), (16 << 20, 19)] {
        let base = noise(size, 1);
        for changed in 1..3 {
            let mut target = base.clone();
            for gap in target.chunks_mut(copied + changed) {
                gap.iter_mut().take(changed).for_each(|byte| *byte ^= 1);
            }
            for target in [target, noise(size, 2), base.iter().map(|byte| !byte).collect()] {
                let mut delta = Vec::new();
                Encoder::new().window(&target, &base, u64::MAX - LARGEST, &mut delta);
                assert!(delta.len() <= size + 64, "{copied} of {}: {}", copied + changed, delta.len());
            }
        }
    }
}

#[test]
fn nothing_is_written_for_nothing() {
    let mut delta = Vec::new();
    Encoder::new().window(&[], &[], 0, &mut delta);
    assert!(delta.is_empty());
    assert_eq!(Window::parse(&delta), Ok(None));
    assert_eq!(Window::skim(&delta), Ok(None));
}

#[test]
fn integers_are_those_of_the_rfc() {
    for (value, expected) in [
        (0, "00"),
        (127, "7f"),
        (128, "8100"),
        (123_456_789, "ba ef 9a 15"),
        (1 << 63, "81 80808080 80808080 00"),
        (u64::MAX, "81 ffffffff ffffffff 7f"),
    ] {
        let mut out = Vec::new();
        put_integer(value, &mut out);
        assert_eq!(out, hex(expected), "{value}");
        assert_eq!(integer_bytes(value), out.len() as u64, "{value}");
    }
}

/// Numbers without visible order.
#[test]
fn moved_bytes_are_found_wherever_they_lie() {
    // 24 bytes hold one of the table's strings, whatever the place.
    for place in 0..8 {
        let base = noise(4096, 1);
        let mut target = noise(4096, 2);
        target[1001..1025].copy_from_slice(&base[300 + place..324 + place]);
        let delta = encode(&target, &base, WINDOW);
        let (window, _) = Window::parse(&delta[HEADER.len()..]).unwrap().unwrap();
        assert!(decode::opcodes(&window).contains(&(35, 24)), "place {place}");
        assert_eq!(decode(&delta, &base).unwrap(), target);
    }
}

/// The COPY instructions of the only window: their lengths.
fn copies(target: &[u8], base: &[u8], encoder: &mut Encoder) -> Vec<u64> {
    let mut delta = Vec::new();
    encoder.window(target, base, 0, &mut delta);
    let (window, _) = Window::parse(&delta).unwrap().unwrap();
    decode::opcodes(&window).into_iter().filter(|&(opcode, _)| opcode >= 19).map(|(_, size)| size).collect()
}

#[test]
fn each_run_of_16_at_the_same_place_is_found() {
    let base = noise(17 * 1000, 1);
    for first in 0..17 {
        let mut target = base.clone();
        target[first..].iter_mut().step_by(17).for_each(|byte| *byte ^= 0x55);
        let whole = copies(&target, &base, &mut Encoder::new()).into_iter().filter(|&len| len == 16).count();
        assert_eq!(whole, if first == 0 || first == 16 { 1000 } else { 999 }, "first change at {first}");
    }
}

#[test]
fn moved_bytes_come_from_anywhere_in_changed_pages_and_only_from_there() {
    let base = noise(5 * 8192, 1);
    let mut used = Encoder::new();
    for turn in 0..50 {
        // Page 2 changes, and gets bytes of itself from before the change, after it, and of another page.
        for (page, found) in [(2, true), (turn % 2, false), (3 + turn % 2, false)] {
            for place in [100, 7000] {
                let mut target = base.clone();
                target.copy_within(page * 8192 + place..page * 8192 + place + 64, 2 * 8192 + 4000);
                let copies = copies(&target, &base, &mut used);
                assert_eq!(copies.contains(&64), found, "turn {turn}, byte {place} of page {page}: {copies:?}");
                // Every page comes into the table, for the next turn to forget.
                let target: Vec<u8> = base.iter().map(|byte| !byte).collect();
                used.window(&target, &base, 0, &mut Vec::new());
            }
        }
    }
}

#[test]
fn strings_of_a_window_long_ago_are_not_taken_for_those_of_this_one() {
    let base = noise(5 * 8192, 1);
    let mut used = Encoder::new();
    let all: Vec<u8> = base.iter().map(|byte| !byte).collect();
    used.window(&all, &base, 0, &mut Vec::new());
    for turn in 0..100 {
        let mut target = base.clone();
        let place = 400 * (turn % 20);
        target.copy_within(place..place + 200, 2 * 8192 + 4000);
        let copies = copies(&target, &base, &mut used);
        assert!(!copies.contains(&200), "turn {turn}: {copies:?}");
    }
}

#[test]
fn earlier_windows_leave_no_trace() {
    let pages: Vec<Vec<u8>> = (0..40).map(|n| noise(20_000 + 8 * n, n as u64 % 5)).collect();
    let mut used = Encoder::new();
    for (n, pair) in pages.windows(2).enumerate() {
        let mut target = pair[1].clone();
        target.rotate_left(n * 97);
        for base in pair {
            let [mut old, mut new] = [Vec::new(), Vec::new()];
            used.window(&target, base, n as u64, &mut old);
            Encoder::new().window(&target, base, n as u64, &mut new);
            assert_eq!(old, new, "window {n}");
        }
    }
}

#[test]
fn largest_window_is_written_and_read() {
    let largest = usize::try_from(LARGEST).unwrap();
    let base = noise(largest, 3);
    let mut target = base.clone();
    // The last strings of the base, moved to the front, are at places that fill the slot's bits.
    target.copy_within(largest - 4096.., 0);
    target[largest - 5000..].fill(9);
    let delta = encode(&target, &base, largest);
    assert!(delta.len() < 5100, "{}", delta.len());
    assert_eq!(decode(&delta, &base).unwrap(), target);
}

// ---------------------------------------------------------------------------------------------------- properties

/// Any bytes, with some structure: noise, zeros, and text of few letters.
fn content(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        (0..3000usize, any::<u64>()).prop_map(|(len, seed)| noise(len, seed)),
        (0..3000usize).prop_map(|len| vec![0; len]),
        (1..40usize, 1..3000usize).prop_map(|(period, len)| (0..40).take(period).cycle().take(len).collect()),
        vec(0..3u8, 0..300),
    ];
    vec(part, 0..10).prop_map(move |parts| {
        let mut all = parts.concat();
        all.truncate(most);
        all
    })
}

#[derive(Debug, Clone)]
enum Edit {
    Write(usize, Vec<u8>),
    Zero(usize, usize),
    Move(usize, usize, usize),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    SwapPages(usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = 0..40_000usize;
    let len = 0..300usize;
    prop_oneof![
        (at.clone(), vec(any::<u8>(), 0..60)).prop_map(|(at, bytes)| Edit::Write(at, bytes)),
        (at.clone(), len.clone()).prop_map(|(at, len)| Edit::Zero(at, len)),
        (at.clone(), at.clone(), len.clone()).prop_map(|(from, to, len)| Edit::Move(from, to, len)),
        (at.clone(), vec(any::<u8>(), 0..30)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (at, len).prop_map(|(at, len)| Edit::Remove(at, len)),
        (0..5usize, 0..5usize).prop_map(|(a, b)| Edit::SwapPages(a, b)),
    ]
}

fn apply(edits: &[Edit], target: &mut Vec<u8>) {
    let size = target.len();
    let range = |at: usize, len: usize| at.min(size)..(at + len).min(size);
    for edit in edits {
        match edit {
            _ if target.len() != size => return apply(&edits[1..], target),
            Edit::Write(at, bytes) => {
                let range = range(*at, bytes.len());
                target[range.clone()].copy_from_slice(&bytes[..range.len()]);
            }
            Edit::Zero(at, len) => target[range(*at, *len)].fill(0),
            Edit::Move(from, to, len) => {
                let moved = target[range(*from, *len)].to_vec();
                let to = range(*to, moved.len());
                target[to.clone()].copy_from_slice(&moved[..to.len()]);
            }
            Edit::Insert(at, bytes) => drop(target.splice(range(*at, 0), bytes.iter().copied())),
            Edit::Remove(at, len) => drop(target.drain(range(*at, *len))),
            Edit::SwapPages(a, b) => {
                let (a, b) = (range(a * 8192, 8192), range(b * 8192, 8192));
                if a.len() == 8192 && b.len() == 8192 {
                    let page = target[a.clone()].to_vec();
                    target.copy_within(b.clone(), a.start);
                    target[b].copy_from_slice(&page);
                }
            }
        }
    }
}

/// A base and a target that have something, nothing or everything to do with each other.
fn pair() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let edited = (content(40_000), vec(edit(), 0..12)).prop_map(|(base, edits)| {
        let mut target = base.clone();
        apply(&edits, &mut target);
        (base, target)
    });
    let shifted = (content(40_000), 0..100usize).prop_map(|(base, by)| {
        let mut target = base.clone();
        let len = target.len();
        target.rotate_left(by.min(len));
        (base, target)
    });
    let small = (vec(0..2u8, 0..200), vec(0..2u8, 0..200));
    prop_oneof![6 => edited, 1 => shifted, 1 => (content(40_000), content(40_000)), 2 => small]
}

/// The window's size; the writer's is larger than what is tested here.
fn window_size() -> impl Strategy<Value = usize> {
    prop_oneof![Just(WINDOW), 1..100usize, 1000..20_000usize, Just(8192), Just(16_384)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back((base, target) in pair(), window in window_size()) {
        let delta = encode(&target, &base, window);
        prop_assert_eq!(decode(&delta, &base), Ok(target));
    }

    #[test]
    fn a_window_takes_at_most_64_bytes_more_than_its_target((base, target) in pair(), position: u64) {
        let mut delta = Vec::new();
        Encoder::new().window(&target, &base, position, &mut delta);
        prop_assert!(delta.len() <= target.len() + 64, "{} for {}", delta.len(), target.len());
    }

    #[test]
    fn the_writer_uses_its_part_of_the_format_alone((base, target) in pair(), window in window_size()) {
        let delta = encode(&target, &base, window);
        let mut rest = &delta[HEADER.len()..];
        let mut written = 0;
        while let Some((window, len)) = Window::parse(rest).unwrap() {
            let sizes = decode::opcodes(&window);
            for (opcode, size) in sizes {
                prop_assert!((1..=18).contains(&opcode) || (35..=50).contains(&opcode), "opcode {opcode}");
                prop_assert!(opcode < 19 || size >= 16);
            }
            if let Some(source) = window.source() {
                prop_assert_eq!(source.start, written);
                prop_assert_eq!(source.end, (written + window.target_len()).min(base.len() as u64));
            }
            written += window.target_len();
            rest = &rest[len..];
        }
        prop_assert_eq!(written, target.len() as u64);
    }

    #[test]
    fn a_changed_base_is_told((base, target) in pair(), at: prop::sample::Index, bit in 0..8u8) {
        prop_assume!(!base.is_empty());
        let delta = encode(&target, &base, WINDOW);
        let mut other = base;
        let at = at.index(other.len());
        other[at] ^= 1 << bit;
        match decode(&delta, &other) {
            Ok(same) => prop_assert_eq!(same, target),
            Err(fault) => prop_assert!(matches!(fault, Fault::Checksum { .. }), "{}", fault),
        }
    }

    #[test]
    fn any_bytes_are_refused_or_give_what_they_promise(
        input in vec(any::<u8>(), 0..200),
        base in vec(any::<u8>(), 0..50),
    ) {
        drop(decode(&input, &base));
        drop(decode(&[&HEADER[..], &input].concat(), &base));
    }

    #[test]
    fn mutated_windows_are_refused_or_give_what_they_promise(
        (base, target) in pair(),
        mutations in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..6),
    ) {
        let mut delta = encode(&target, &base, 5000);
        for (at, value, kind) in mutations {
            let at = at.index(delta.len());
            match kind {
                0 => delta[at] = value,
                1 => delta[at] ^= 1 << (value % 8),
                2 => delta.insert(at, value),
                _ => delta.truncate(at.max(1)),
            }
        }
        // Fields may be changed to others that mean the same; what comes out has right checksums anyway.
        if let Ok(out) = decode(&delta, &base) {
            prop_assert!(out.len() as u64 <= LARGEST * delta.len() as u64);
        }
    }
}
