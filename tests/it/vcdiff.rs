//! Round trips with the `xdelta3` program, in both directions. They fail where it is not installed: that the files can
//! be rebuilt with it is a promise.

#![allow(clippy::cast_possible_truncation, reason = "the numbers are small")]

use std::path::Path;
use std::process::{Command, Output};

use afterbackup::archive::delta::vcdiff::{Encoder, Fault, HEADER, WINDOW, Window, check_header};
use proptest::prelude::*;

#[path = "../support/deltas.rs"]
pub(crate) mod deltas;

use deltas::{decode, encode, noise};

fn xdelta3(arguments: &[&str], base: &[u8], input: &[u8]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let (base, input): (&Path, &Path) = (&file("base", base), &file("input", input));
    let program = Command::new("xdelta3").args(arguments).arg("-D").arg("-c").arg("-s").arg(base).arg(input).output();
    program.expect("xdelta3 must be installed for this test (apt-get install xdelta3)")
}

fn xdelta3_decodes(delta: &[u8], base: &[u8]) -> Vec<u8> {
    let output = xdelta3(&["-d"], base, delta);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn xdelta3_encodes(arguments: &[&str], base: &[u8], target: &[u8]) -> Vec<u8> {
    let output = xdelta3(&[&["-e", "-S", "none", "-A"], arguments].concat(), base, target);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn xdelta3_rebuilds_what_is_written(
        (base, target) in pair(),
        window in prop_oneof![Just(WINDOW), 500..20_000usize],
    ) {
        prop_assert!(xdelta3_decodes(&encode(&target, &base, window), &base) == target);
    }

    #[test]
    fn what_xdelta3_writes_is_rebuilt((base, target) in pair(), level in 0..10u8) {
        let delta = xdelta3_encodes(&[&format!("-{level}")], &base, &target);
        prop_assert!(decode(&delta, &base).unwrap() == target);
    }
}

#[test]
fn several_windows_of_the_writers_size_go_both_ways() {
    let base = noise(5 << 20, 1);
    let mut target = base.clone();
    for (n, page) in target.chunks_mut(8192).enumerate().step_by(7) {
        page[96..8000].rotate_left(100 + n % 300);
        page[50..58].copy_from_slice(&n.to_le_bytes());
    }
    target[3 << 20..(3 << 20) + 300_000].fill(0);
    target.extend(noise(1_500_000, 2));
    assert!(xdelta3_decodes(&encode(&target, &base, WINDOW), &base) == target);
    assert!(decode(&xdelta3_encodes(&["-9", "-W", "1048576"], &base, &target), &base).unwrap() == target);
    target.truncate(1_700_001);
    assert!(xdelta3_decodes(&encode(&target, &base, WINDOW), &base) == target);
    assert!(decode(&xdelta3_encodes(&["-1", "-W", "16384"], &base, &target), &base).unwrap() == target);
}

#[test]
fn xdelta3_notices_the_wrong_base() {
    let base = noise(100_000, 1);
    let mut target = base.clone();
    target[500..600].fill(1);
    let delta = encode(&target, &base, WINDOW);
    let mut other = base;
    other[70_000] ^= 1;
    let output = xdelta3(&["-d"], &other, &delta);
    assert!(!output.status.success());
}

#[test]
fn what_xdelta3_writes_with_extras_is_refused() {
    let base = noise(100_000, 1);
    let target = base.repeat(2);
    let output = xdelta3(&["-e", "-S", "none"], &base, &target);
    assert!(output.status.success());
    // Without -A the header has the file names in it.
    assert_eq!(decode(&output.stdout, &base), Err(Fault::ApplicationHeader(4)));
    let delta = xdelta3_encodes(&["-n"], &base, &target);
    assert_eq!(decode(&delta, &base), Err(Fault::NoChecksum(1)));
    let output = xdelta3(&["-e", "-S", "djw", "-A"], &base, &target);
    assert!(output.status.success());
    assert_eq!(decode(&output.stdout, &base), Err(Fault::SecondaryCompressor(1)));
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        (1..40_000usize, any::<u64>()).prop_map(|(len, seed)| noise(len, seed)),
        (1..20_000usize).prop_map(|len| vec![0; len]),
        (1..200usize, 1..20_000usize).prop_map(|(period, len)| (0..len).map(|at| (at % period) as u8).collect()),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

/// (base, target): shorter, longer, empty base, equal, shifted, zeros, moved pages and rows, small changes, unrelated.
/// The target is never empty.
fn pair() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let edits =
        prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..400usize, 0..7u8), 0..20);
    let edited = (content(), edits).prop_map(|(base, edits)| {
        let mut target = base.clone();
        for (a, b, len, kind) in edits {
            if target.len() < 1000 {
                break;
            }
            let (a, b) = (a.index(target.len() - 500), b.index(target.len() - 500));
            match kind {
                0 | 1 => target[a..a + len % 40].fill(len as u8),
                2 => target.copy_within(a..a + len, b),
                3 => drop(target.splice(a..a, noise(len, b as u64))),
                4 => drop(target.drain(a..a + len)),
                5 => target[a..a + len].fill(0),
                _ => {
                    let page = |at: usize| at / 8192 * 8192;
                    let end = target.len().min(page(a) + 8192);
                    let to = page(b).min(target.len() - (end - page(a)));
                    target.copy_within(page(a)..end, to);
                }
            }
        }
        (base, target)
    });
    let shifted = (content(), any::<prop::sample::Index>()).prop_map(|(base, by)| {
        let mut target = base.clone();
        if !base.is_empty() {
            target.rotate_left(by.index(base.len()));
        }
        (base, target)
    });
    let cut = (content(), any::<prop::sample::Index>()).prop_map(|(base, at)| {
        let target = base[..at.index(base.len() + 1)].to_vec();
        (base, target)
    });
    let grown = (content(), content()).prop_map(|(base, more)| (base.clone(), [base, more].concat()));
    prop_oneof![
        6 => edited,
        1 => shifted,
        1 => cut,
        1 => grown,
        1 => (content(), content()),
        1 => content().prop_map(|target| (Vec::new(), target)),
    ]
    .prop_map(|(base, mut target)| {
        if target.is_empty() {
            target.push(1);
        }
        (base, target)
    })
}
