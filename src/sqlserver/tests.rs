//! Whole files: built ones in every state, damaged ones, and, where they are at hand, files of real servers.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::synthetic::{Backup, CLEAN, Data, NEWEST_BLOCKS, UNCLEAN, VIRTUAL_LOG, compressed, lcg, log, seal};
use super::*;

fn check(bytes: &[u8]) -> Report {
    check_in_pieces(bytes, &[])
}

/// Places and bits spread over `ranges`, the same in every run.
fn flips(ranges: &[std::ops::Range<usize>], count: usize) -> Vec<(usize, u8)> {
    let total: usize = ranges.iter().map(ExactSizeIterator::len).sum();
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let place = |mut at: usize| {
        let range = ranges.iter().find(|range| {
            let inside = at < range.len();
            at -= if inside { 0 } else { range.len() };
            inside
        });
        range.expect("less than the total").start + at
    };
    (0..count).map(|_| (place(next() as usize % total), 1 << (next() % 8))).collect()
}

fn every_flip_is_damage(bytes: &[u8], ranges: &[std::ops::Range<usize>]) {
    assert_eq!(check(bytes).verdict, Verdict::Sound);
    let mut bytes = bytes.to_vec();
    for (at, bit) in flips(ranges, 1000) {
        bytes[at] ^= bit;
        let report = check(&bytes);
        assert!(report.is_damaged() && report.findings_total > 0, "byte {at} bit {bit}: {report}");
        bytes[at] ^= bit;
    }
}

fn every_cut_is_damage(bytes: &[u8], from: usize) {
    // Every length near borders, and a spread of others.
    let lengths =
        (from..bytes.len()).filter(|length| length % 512 < 2 || length % 1009 == 0 || bytes.len() - length < 40);
    for length in lengths {
        let report = check(&bytes[..length]);
        assert!(report.is_damaged(), "{length} of {}: {report}", bytes.len());
    }
}

fn small() -> Data {
    Data { pages: 16, ..Data::default() }
}

#[test]
fn a_data_file_is_sound_and_says_what_it_is() {
    let report = check(&Data::default().build());
    assert_eq!(report.to_string(), "ok 64 pages", "{report:?}");
    assert_eq!((report.kind, report.pages.checksummed, report.pages.zero), (Kind::Data, 54, 10));
    let facts = report.facts.expect("facts");
    assert_eq!(facts.database.as_deref(), Some("CM_XYZ"));
    assert_eq!(facts.version.as_deref(), Some("2019"));
    assert_eq!(facts.compatibility_level, Some(150));
    assert_eq!(facts.page_verify, Some(PageVerify::Checksum));
    assert_eq!(facts.clean_shutdown, Some(true));
    assert_eq!(facts.size_pages, Some(64));
    assert_eq!(facts.checkpoint_lsn, Some(Lsn { sequence: 26, block: 40, slot: 1 }));
    assert_eq!(facts.max_page_lsn, Some(Lsn { sequence: 26, block: 35, slot: 3 }));
}

#[test]
fn a_data_file_of_several_map_intervals_is_sound() {
    let report = check(&Data { pages: 8192, ..Data::default() }.build());
    assert_eq!(report.to_string(), "ok 8192 pages", "{report:?}");
}

#[test]
fn logs_and_backups_are_sound() {
    let report = check(&log(0, 26));
    assert_eq!(report.verdict, Verdict::Sound, "{report:?}");
    assert_eq!((report.warnings_total, report.blocks.virtual_logs, report.blocks.virtual_logs_used), (0, 4, 3));
    assert_eq!(report.facts.expect("facts").end_of_log, Some(Lsn { sequence: 26, block: 72, slot: 0 }));
    let data = small().build();
    let report = check(&Backup::of(&data, true).bytes);
    assert_eq!(report.verdict, Verdict::Sound, "{report:?}");
    assert_eq!((report.blocks.streams_checksummed, report.pages.total), (2, 16));
    assert_eq!(report.facts.expect("facts").database.as_deref(), Some("CM_XYZ"));
    assert_eq!(check(&Backup::of(&data, false).bytes).verdict, Verdict::Sound);
    let report = check(&compressed());
    assert_eq!(report.to_string(), "ok 11 chunks", "{report:?}");
}

#[test]
fn flipped_bits_in_data_files_are_found() {
    let data = small();
    let used = (0..16_usize).filter(|&page| data.uses(page as u32));
    let pages: Vec<_> = used.map(|page| page * PAGE..(page + 1) * PAGE).collect();
    every_flip_is_damage(&data.build(), &pages);
}

#[test]
fn flipped_bits_in_logs_are_found() {
    // Of the last block of a chain, the fields that make it part of the chain are left out: without them the log ends
    // one block earlier.
    let first = 2 * PAGE;
    let last = NEWEST_BLOCKS.end - 16 * 512;
    every_flip_is_damage(&log(0, 26), &[0..PAGE, first..first + 16 * 512, NEWEST_BLOCKS.start..last]);
}

#[test]
fn flipped_bits_in_backups_with_checksum_are_found() {
    let backup = Backup::of(&small().build(), true);
    every_flip_is_damage(&backup.bytes, &backup.covered);
}

#[test]
fn a_flipped_bit_in_a_compressed_backup_is_never_sound() {
    let mut bytes = compressed();
    let chunks = 0x600..0x600 + 20_000;
    for (at, bit) in flips(&[chunks], 300) {
        bytes[at] ^= bit;
        let meaningless = bytes[at] ^ bit == 0xff || bytes[at] ^ bit == 0x80;
        assert!(check(&bytes).verdict != Verdict::Sound || meaningless, "byte {at} bit {bit}");
        bytes[at] ^= bit;
    }
}

#[test]
fn a_file_cut_anywhere_is_damaged() {
    every_cut_is_damage(&small().build(), 38);
    every_cut_is_damage(&log(0, 26), 38);
    every_cut_is_damage(&Backup::of(&small().build(), true).bytes, 52);
    every_cut_is_damage(&compressed(), 8);
}

#[test]
fn a_cut_shows_even_when_the_file_header_is_damaged() {
    let mut bytes = Data::default().build();
    bytes[700] ^= 1;
    bytes.truncate(40 * PAGE);
    let report = check(&bytes);
    assert!(report.findings.iter().any(|finding| finding.problem == Problem::Truncated), "{report:?}");
}

#[test]
fn garbage_in_space_never_used_is_no_damage() {
    let mut bytes = Data::default().build();
    let garbage = lcg(3 * PAGE);
    bytes[57 * PAGE..60 * PAGE].copy_from_slice(&garbage);
    // A page of another file, with a wrong checksum at that.
    bytes[61 * PAGE..62 * PAGE].copy_from_slice(&synthetic::data_page(12, 1));
    bytes[61 * PAGE + 100] ^= 1;
    let report = check(&bytes);
    assert_eq!((report.verdict, report.pages.garbage), (Verdict::Sound, 4));
}

#[test]
fn a_wrong_checksum_is_damage_in_freed_pages_too() {
    let mut bytes = Data::default().build();
    bytes[61 * PAGE..62 * PAGE].copy_from_slice(&synthetic::data_page(61, 1));
    assert_eq!(check(&bytes).verdict, Verdict::Sound);
    bytes[61 * PAGE + 100] ^= 1;
    assert_eq!(check(&bytes).to_string(), "DAMAGED 1 of 64 pages (first: 61)");
}

#[test]
fn a_page_that_is_not_there_is_damage_only_after_a_clean_shutdown() {
    for (status, damaged) in [(CLEAN, true), (UNCLEAN, false)] {
        let mut bytes = Data { status, ..Data::default() }.build();
        bytes[20 * PAGE..21 * PAGE].fill(0);
        bytes.copy_within(30 * PAGE..31 * PAGE, 40 * PAGE);
        bytes[3 * PAGE..4 * PAGE].fill(0);
        let report = check(&bytes);
        assert_eq!(report.is_damaged(), damaged, "{report:?}");
        assert_eq!(report.pages.lost, 3);
        let found = if damaged { &report.findings } else { &report.warnings };
        assert_eq!(found.iter().filter_map(|finding| finding.page).collect::<Vec<_>>(), [3, 20, 40]);
    }
}

#[test]
fn the_first_system_pages_must_be_there_even_after_an_unclean_shutdown() {
    for page in [0, 1, 2, 9] {
        let mut bytes = Data { status: UNCLEAN, ..Data::default() }.build();
        bytes[page * PAGE..(page + 1) * PAGE].fill(0);
        let report = check(&bytes);
        assert_eq!(report.kind, if page == 1 { Kind::Data } else { report.kind });
        assert!(report.is_damaged(), "page {page}: {report:?}");
    }
}

#[test]
fn a_damaged_page_later_in_the_maps_is_only_a_warning() {
    let mut bytes = Data { pages: 8192, ..Data::default() }.build();
    bytes[8088 * PAGE..8089 * PAGE].fill(0);
    let report = check(&bytes);
    assert_eq!((report.verdict, report.warnings_total), (Verdict::Sound, 1), "{report:?}");
}

#[test]
fn databases_without_checksums_are_not_called_sound() {
    for (status, why) in [(0x4000_0008, Obstacle::PageVerifyNone), (0x4000_0018, Obstacle::PageVerifyTorn)] {
        let report = check(&Data { status, ..Data::default() }.build());
        assert_eq!(report.verdict, Verdict::NotVerifiable { why });
    }
    let report = check(&Data { status: 8, ..Data::default() }.build());
    assert_eq!(report.to_string(), "not verifiable: PAGE_VERIFY NONE");
}

#[test]
fn an_unknown_version_is_no_damage() {
    let report = check(&Data { version: 998, ..Data::default() }.build());
    assert_eq!((report.verdict, report.warnings_total), (Verdict::Sound, 1));
    let report = check(&Data { version: 998, status: 0, ..Data::default() }.build());
    assert_eq!(report.verdict, Verdict::NotVerifiable { why: Obstacle::UnknownVersion });
}

#[test]
fn an_unknown_page_type_is_no_damage() {
    let mut bytes = Data::default().build();
    bytes[20 * PAGE + 1] = 40;
    seal(&mut bytes[20 * PAGE..21 * PAGE]);
    assert_eq!(check(&bytes).verdict, Verdict::Sound);
}

#[test]
fn encryption_is_reported_once() {
    let data = Data { pages: 512, ..Data::default() };
    let mut encrypted = data.build();
    let mut overwritten = encrypted.clone();
    let noise = lcg(PAGE - 96);
    for page in 11..448 {
        encrypted[page * PAGE + 96..(page + 1) * PAGE].copy_from_slice(&noise);
        overwritten[page * PAGE + 96..page * PAGE + 600].fill(b'x');
    }
    let report = check(&encrypted);
    assert_eq!(report.to_string(), "not verifiable: encrypted (TDE) or wholesale damage");
    assert_eq!(report.warnings_total, 1);
    for (with_checksum, verdict) in
        [(true, Verdict::Sound), (false, Verdict::NotVerifiable { why: Obstacle::EncryptedOrWholesaleDamage })]
    {
        let report = check(&Backup::of(&encrypted, with_checksum).bytes);
        assert_eq!((report.verdict, report.warnings_total), (verdict, 1), "{report:?}");
    }
    let report = check(&overwritten);
    assert_eq!((report.is_damaged(), report.findings_total, report.pages.mismatched), (true, 1, 437));
}

#[test]
fn many_damaged_pages_are_counted_and_the_first_listed() {
    let mut bytes = Data { pages: 512, ..Data::default() }.build();
    for page in 100..250 {
        bytes[page * PAGE + 200] ^= 4;
    }
    let report = check(&bytes);
    assert_eq!(report.to_string(), "DAMAGED 150 of 512 pages (first: 100, 101, 102)");
    assert_eq!((report.findings.len(), report.findings_total), (LISTED, 150));
}

#[test]
fn a_hole_in_the_log_is_damage_and_its_end_is_not() {
    let mut bytes = log(0, 26);
    let middle = NEWEST_BLOCKS.start + 512;
    bytes[middle..middle + 3 * 512].fill(0);
    let report = check(&bytes);
    assert_eq!(report.findings.first().map(|finding| finding.problem), Some(Problem::Hole), "{report:?}");
    let mut bytes = log(0, 26);
    bytes[NEWEST_BLOCKS.end..PAGE + 3 * VIRTUAL_LOG].copy_from_slice(&lcg(PAGE + 3 * VIRTUAL_LOG - NEWEST_BLOCKS.end));
    assert_eq!(check(&bytes).verdict, Verdict::Sound);
    // An older virtual log that is not full is only a warning.
    let mut bytes = log(0, 26);
    let last = PAGE + VIRTUAL_LOG - 16 * 512;
    bytes[last..PAGE + VIRTUAL_LOG].fill(0xc0);
    let report = check(&bytes);
    assert_eq!((report.verdict, report.warnings_total), (Verdict::Sound, 1));
}

#[test]
fn a_virtual_log_whose_header_contradicts_itself_is_only_a_warning() {
    let mut bytes = log(0, 26);
    bytes[PAGE + 1] = 0;
    let report = check(&bytes);
    assert_eq!((report.verdict, report.warnings_total), (Verdict::Sound, 1), "{report:?}");
}

#[test]
fn other_files_are_left_alone() {
    for bytes in [&b""[..], b"[Boot]", b"TAPE of the week: all of it", &[0; 20_000], &[1; 20_000], &lcg(20_000)] {
        assert_eq!(check(bytes).verdict, Verdict::NotSqlServer);
    }
}

#[test]
fn reports_read_back_as_written() {
    let mut bytes = Data::default().build();
    bytes[20 * PAGE + 700] ^= 1;
    let mut report = check(&bytes);
    report.evidence = report::Evidence::default();
    let text = serde_json::to_string(&report).expect("plain values");
    assert_eq!(serde_json::from_str::<Report>(&text).expect("the same fields"), report, "{text}");
    let later = r#"{"kind":"memory","verdict":{"result":"not-verifiable","why":"a-later-reason"},"news":1}"#;
    let report: Report = serde_json::from_str(later).expect("unknown fields are ignored");
    assert_eq!((report.kind, report.verdict), (Kind::Other, Verdict::NotVerifiable { why: Obstacle::UnknownLayout }));
}

fn pair_of(files: &[(&str, &Report)]) -> Vec<(Severity, Rule)> {
    let found = pair(files.iter().map(|&(path, report)| (Path::new(path), report)), Present::Some);
    found.into_iter().map(|finding| (finding.severity, finding.rule)).collect()
}

#[test]
fn files_of_one_database_belong_together() {
    let first = check(&Data::default().build());
    let further = check(&Data { file: 3, ..Data::default() }.build());
    assert_eq!(further.verdict, Verdict::Sound, "{further:?}");
    let log = check(&log(0, 26));
    assert_eq!(pair_of(&[("l.ldf", &log), ("a.mdf", &first), ("b.ndf", &further)]), []);
    assert_eq!(pair_of(&[("a.mdf", &first)]), []);
}

#[test]
fn a_log_of_another_database_does_not_belong() {
    let data = check(&Data::default().build());
    let (right, wrong) = (check(&log(0, 26)), check(&log(1, 26)));
    let found = pair_of(&[("a.mdf", &data), ("l.ldf", &wrong)]);
    assert_eq!(found, [(Severity::Damage, Rule::Binding), (Severity::Warning, Rule::Binding)]);
    // Beside the right log it is only left over.
    let found = pair_of(&[("a.mdf", &data), ("l.ldf", &wrong), ("r.ldf", &right)]);
    assert_eq!(found, [(Severity::Warning, Rule::Binding)]);
}

#[test]
fn logs_of_other_databases_here_are_not_missed_by_one_without() {
    let (one, its_log) = (check(&Data::default().build()), check(&log(0, 26)));
    let clean = check(&Data { database: 1, ..Data::default() }.build());
    assert_eq!(pair_of(&[("a.mdf", &one), ("a.ldf", &its_log), ("b.mdf", &clean)]), []);
    let unclean = check(&Data { database: 1, status: UNCLEAN, ..Data::default() }.build());
    let found = pair_of(&[("a.mdf", &one), ("a.ldf", &its_log), ("b.mdf", &unclean)]);
    assert_eq!(found, [(Severity::Warning, Rule::Binding)]);
    let foreign = check(&log(2, 26));
    let found = pair_of(&[("a.mdf", &one), ("a.ldf", &its_log), ("b.mdf", &clean), ("c.ldf", &foreign)]);
    assert_eq!(found, [(Severity::Damage, Rule::Binding), (Severity::Warning, Rule::Binding)]);
}

#[test]
fn a_log_of_another_day_does_not_belong() {
    let data = check(&Data::default().build());
    let older = check(&log(0, 22));
    let found = pair_of(&[("a.mdf", &data), ("l.ldf", &older)]);
    assert!(found.contains(&(Severity::Damage, Rule::Checkpoint)), "{found:?}");
    assert!(found.contains(&(Severity::Damage, Rule::WriteAhead)), "{found:?}");
    let newer = check(&log(0, 27));
    assert_eq!(pair_of(&[("a.mdf", &data), ("l.ldf", &newer)]), [(Severity::Warning, Rule::CleanShutdown)]);
    // A recycled log that no longer reaches back to the checkpoint.
    let later = check(&log(0, 40));
    assert!(pair_of(&[("a.mdf", &data), ("l.ldf", &later)]).contains(&(Severity::Damage, Rule::Checkpoint)));
}

#[test]
fn reports_that_were_stored_are_compared_as_far_as_they_go() {
    let stored = |report: &Report| Report { evidence: report::Evidence::default(), ..report.clone() };
    let (data, log) = (stored(&check(&Data::default().build())), stored(&check(&log(0, 26))));
    let found = pair_of(&[("a.mdf", &data), ("l.ldf", &log)]);
    assert_eq!(found, [(Severity::NotChecked, Rule::Checkpoint), (Severity::NotChecked, Rule::FileList)]);
}

#[test]
fn pages_missing_in_a_further_file_are_judged_by_the_first() {
    let mut bytes = Data { file: 3, ..Data::default() }.build();
    bytes[20 * PAGE..21 * PAGE].fill(0);
    let further = check(&bytes);
    assert_eq!((further.verdict, further.pages.lost), (Verdict::Sound, 1));
    let log = check(&log(0, 26));
    for (status, expected) in [(CLEAN, vec![(Severity::Damage, Rule::LostPages)]), (UNCLEAN, vec![])] {
        let first = check(&Data { status, ..Data::default() }.build());
        assert_eq!(pair_of(&[("a.mdf", &first), ("b.ndf", &further), ("l.ldf", &log)]), expected);
    }
}

fn built() -> Vec<Vec<u8>> {
    let data = small().build();
    vec![data.clone(), log(0, 26), Backup::of(&data, true).bytes, compressed()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_sizes_of_chunks_make_no_difference(
        kind in 0_usize..4,
        cuts in prop::collection::vec(prop_oneof![0_usize..40, 500_usize..9000, Just(PAGE)], 0..200),
        damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut bytes = built().swap_remove(kind);
        if let Some((at, value)) = damage {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        prop_assert_eq!(check_in_pieces(&bytes, &cuts), check(&bytes));
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..40_000),
        head in prop::sample::select(vec![&b""[..], b"\x01\x0f", b"TAPE\0\0\0\0\x8c\0\x0e", b"MSSQLBAK"]),
        cuts in prop::collection::vec(0_usize..5000, 0..20),
    ) {
        let bytes = [head, &bytes].concat();
        let report = check_in_pieces(&bytes, &cuts);
        let _text = report.to_string();
    }

    #[test]
    fn no_damage_makes_it_panic(
        kind in 0_usize..4,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 1..60),
        headers in prop::collection::vec((0_usize..16, 0_usize..128, any::<u8>()), 0..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = built().swap_remove(kind);
        for (at, value) in damage {
            let at = at.index(bytes.len() - 8);
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        for (page, at, value) in headers {
            bytes[page * 512 + at] = value;
        }
        bytes.truncate(cut.index(bytes.len()));
        let report = check(&bytes);
        prop_assert!(report.findings.len() <= LISTED && report.warnings.len() <= LISTED);
        let data = check(&small().build());
        let _found = pair([(Path::new("a"), &report), (Path::new("b"), &data)], Present::Some);
    }
}

#[test]
fn one_byte_at_a_time_makes_no_difference() {
    for bytes in built() {
        assert_eq!(check_in_pieces(&bytes, &vec![1; bytes.len()]), check(&bytes));
    }
}

/// Where files of real servers are, which are not ours to publish.
fn shared() -> PathBuf {
    std::env::var_os("AFTERBACKUP_SHARED").expect("AFTERBACKUP_SHARED names the folder of real files").into()
}

/// The file, its pages (total, checksummed, torn bits, unprotected, zero, garbage), clean shutdown, verdict.
type Expected = (&'static str, u16, [u64; 6], bool, Verdict);

const REAL: [Expected; 9] = [
    ("agecalc-2016/Database1.mdf", 852, [392, 311, 0, 2, 79, 0], true, Verdict::Sound),
    ("dnn-2008r2/Database.mdf", 661, [280, 164, 0, 3, 113, 0], true, Verdict::Sound),
    ("durable-2005/SamplDB.mdf", 611, [280, 149, 0, 3, 2, 126], true, Verdict::Sound),
    (
        "kendo-northwind-2012-none/Northwind.mdf",
        706,
        [328, 0, 12, 280, 36, 0],
        true,
        Verdict::NotVerifiable { why: Obstacle::PageVerifyNone },
    ),
    ("kendo-products-2019/ProductsDatabase.mdf", 904, [392, 300, 0, 3, 89, 0], true, Verdict::Sound),
    ("movieset-2014/Database1.mdf", 782, [400, 268, 0, 2, 130, 0], true, Verdict::Sound),
    (
        "northwind-2008-torn/NORTHWND.MDF",
        655,
        [464, 0, 402, 7, 27, 28],
        true,
        Verdict::NotVerifiable { why: Obstacle::PageVerifyTorn },
    ),
    ("sampledb-2005/SampleDb.mdf", 611, [280, 149, 0, 3, 2, 126], true, Verdict::Sound),
    ("sencha-2012/Database.mdf", 706, [392, 264, 0, 3, 125, 0], false, Verdict::Sound),
];

#[test]
#[ignore = "needs files of real servers in AFTERBACKUP_SHARED"]
fn files_of_real_servers_get_the_known_verdicts() {
    let real = shared().join("mdf/real");
    for (name, version, pages, clean, verdict) in REAL {
        let report = check(&std::fs::read(real.join(name)).expect("a readable file"));
        let counts = report.pages;
        let found =
            [counts.total, counts.checksummed, counts.torn_bits, counts.unprotected, counts.zero, counts.garbage];
        assert_eq!((found, report.verdict), (pages, verdict), "{name}: {report:?}");
        let facts = report.facts.expect("facts");
        assert_eq!((facts.internal_version, facts.clean_shutdown), (Some(version), Some(clean)), "{name}");
    }
    for folder in std::fs::read_dir(&real).expect("a folder").flatten().filter(|entry| entry.path().is_dir()) {
        let mut reports = Vec::new();
        for file in std::fs::read_dir(folder.path()).expect("a folder").flatten() {
            let bytes = std::fs::read(file.path()).expect("a readable file");
            let report = check(&bytes);
            println!("{}: {report}; {:?}", file.path().display(), report.warnings);
            assert_eq!(report.findings, [], "{}", file.path().display());
            assert_ne!(report.verdict, Verdict::NotSqlServer);
            assert_eq!(check_in_pieces(&bytes, &vec![997; bytes.len() / 997]), report);
            for percent in [99, 75, 30] {
                let cut = check(&bytes[..bytes.len() * percent / 100]);
                assert!(cut.is_damaged(), "{} cut to {percent} %: {cut}", file.path().display());
            }
            reports.push((file.path(), report));
        }
        let found = pair(reports.iter().map(|(path, report)| (path.as_path(), report)), Present::Some);
        let stray = folder.path().ends_with("northwind-2008-torn");
        println!("{found:#?}");
        assert_eq!(found.iter().map(|f| f.severity).collect::<Vec<_>>(), vec![Severity::Warning; usize::from(stray)]);
    }
}

#[test]
#[ignore = "needs pages of real servers in AFTERBACKUP_SHARED"]
fn stored_pages_of_real_servers_have_the_known_checksums() {
    let shared = shared();
    let read = |name: &str| -> Vec<u8> {
        let text = std::fs::read_to_string(shared.join("mdf/vectors").join(name)).expect("a vector");
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    };
    for (page, sum) in [(0, 0x8d34_86cd), (9, 0x96bc_9d0e), (20, 0xd030_08e4), (85, 0x6ac7_7aff_u32)] {
        assert_eq!(page_checksum(&read(&format!("page_sampledb2005_{page}.hex"))), sum);
    }
    for (sectors, sum) in [(1, 0x029b_0fb2), (3, 0x1021_f6c7), (17, 0xe694_a9ec_u32)] {
        let block = read(&format!("logblock_{sectors}sect.hex"));
        assert_eq!(block.len(), sectors * 512);
        assert_eq!(checksum::block_checksum(&block, sum), sum);
        assert_eq!(blocks::BlockHeader::parse(&block).check(&block), blocks::BlockState::Checksummed);
    }
    let torn = read("page_torn_synthetic.hex");
    assert_eq!(page::check(&torn, &PageHeader::parse(&torn)), page::PageState::TornBits);
}
