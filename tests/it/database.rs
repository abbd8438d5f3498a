//! Databases of a snapshot: what `run` finds, what the archive says of it, what prune and fetch make of it, and
//! `check-db`.

use std::fs;

use afterbackup::clock::FixedClock;
use afterbackup::monitor::{Collector, Level};
use afterbackup::severity::Severity;
use jiff::SignedDuration;
use serde_json::Value;

use crate::harness::{COMPLETED, ID, Scene, assert_same_tree, at, text};
use crate::synthetic::{Backup, CLEAN, Data, UNCLEAN, log, stamp_torn_bits};

const PAGE: usize = 8192;
const MDF: &str = "SiteDBServer/CM_XYZ.mdf";
const LDF: &str = "SiteDBServer/CM_XYZ_log.ldf";

/// The sequence number of the log that belongs to [`data`].
const TODAY: u32 = 26;

fn data() -> Vec<u8> {
    Data::default().build()
}

/// With a bit flipped in each of these pages.
fn damaged(pages: &[usize]) -> Vec<u8> {
    let mut bytes = data();
    for page in pages {
        bytes[page * PAGE + 3000] ^= 4;
    }
    bytes
}

/// A snapshot with these two files as its database.
fn scene(mdf: &[u8], ldf: &[u8]) -> Scene {
    let scene = Scene::bare();
    scene.file("SiteServer/SMSServer/data/hman.ini", b"[hman]\r\n");
    scene.file("SiteServer/site.mdf.txt", &text(3000));
    scene.file(MDF, mdf);
    scene.file(LDF, ldf);
    scene.complete(COMPLETED);
    scene
}

/// The databases in the manifest: data file first.
fn databases(scene: &Scene) -> Vec<Value> {
    let manifest: Value = serde_json::from_slice(&fs::read(scene.manifest("vault")).unwrap()).unwrap();
    manifest["databases"].as_array().cloned().unwrap_or_default()
}

/// What the index says of a file.
fn entry(scene: &Scene, file: &str) -> Value {
    let shown = scene.run(&["show", "latest", "--files", &format!("**/{file}"), "--json"]).exits(0).json();
    shown["files"][0]["database"].clone()
}

// What run finds.

#[test]
fn sound_database_is_said_everywhere() {
    let scene = scene(&data(), &log(0, TODAY));
    scene.run(&["run"]).exits(0).says_not("DAMAGED").says_not("database-worsened");
    let databases = databases(&scene);
    assert_eq!(databases.len(), 2, "{databases:?}");
    assert_eq!(
        databases[0],
        serde_json::json!({"name": "CM_XYZ", "file": "CM_XYZ.mdf", "verdict": "sound", "pages": 64, "damaged_pages": 0})
    );
    assert_eq!((&databases[1]["name"], &databases[1]["file"]), (&"CM_XYZ".into(), &"CM_XYZ_log.ldf".into()));
    assert_eq!(databases[1]["verdict"], "sound");
    let pages: u64 = databases.iter().map(|database| database["pages"].as_u64().unwrap()).sum();
    let words = format!("ok {pages} pages");
    scene.run(&["list", "--wide"]).exits(0).says(&words);
    scene.run(&["show", "latest"]).exits(0).says(&words);
    let listed = scene.run(&["list", "--json"]).exits(0).json();
    assert_eq!((&listed["archives"][0]["good"], &listed["archives"][0]["databases"][1]), (&true.into(), &databases[1]));
    let shown = scene.run(&["show", "latest", "--json"]).exits(0).json();
    assert_eq!(shown["manifest"]["databases"][0], databases[0]);
    scene.run(&["verify"]).exits(0);
}

#[test]
fn index_has_the_facts() {
    let scene = scene(&data(), &log(0, TODAY));
    scene.run(&["run"]).exits(0);
    let found = entry(&scene, "CM_XYZ.mdf");
    assert_eq!((&found["kind"], &found["verdict"]["result"]), (&"data".into(), &"sound".into()), "{found}");
    let facts = &found["facts"];
    assert_eq!(facts["database"], "CM_XYZ");
    assert_eq!(facts["version"], "2019");
    assert_eq!(facts["page_verify"], "checksum");
    assert_eq!(facts["clean_shutdown"], true);
    assert_eq!((&found["pages"]["total"], &found["pages"]["checksummed"]), (&64.into(), &54.into()));
    assert!(found.get("findings").is_none() && found.get("pairing").is_none(), "{found}");
    let found = entry(&scene, "CM_XYZ_log.ldf");
    assert_eq!((&found["kind"], &found["blocks"]["virtual_logs"]), (&"log".into(), &4.into()));
    assert!(entry(&scene, "hman.ini").is_null());
}

#[test]
fn damaged_page_is_archived_all_the_same_and_named() {
    let scene = scene(&damaged(&[20]), &log(0, TODAY));
    let output = scene.run(&["run"]).exits(6);
    assert!(output.stderr.contains("XYZBackup/SiteDBServer/CM_XYZ.mdf: DAMAGED 1 of 64 pages (first: 20)"), "{output}");
    let databases = databases(&scene);
    assert_eq!((&databases[0]["verdict"], &databases[0]["damaged_pages"]), (&"damaged".into(), &1.into()));
    assert_eq!(databases[1]["verdict"], "sound");
    // That it lies there already does not make it sound.
    scene.run(&["run"]).exits(6).says("is already archived").says("DAMAGED database");
    scene.run(&["list", "--wide"]).exits(0).says("DAMAGED 1 page ");
    scene.run(&["show", "latest"]).exits(0).says("DAMAGED 1 page\n");
    let listed = scene.run(&["list", "--json"]).exits(0).json();
    assert_eq!(listed["archives"][0]["good"], false);
    let found = entry(&scene, "CM_XYZ.mdf");
    assert_eq!((&found["findings"][0]["page"], &found["findings_total"]), (&20.into(), &1.into()), "{found}");
    // What is stored is what was there, and whole.
    scene.run(&["verify"]).exits(0);
    scene.run(&["fetch", "latest", "--to", "back"]).exits(0);
    assert_same_tree(&scene.path("back/XYZBackup"), &scene.snapshot());
    scene.run(&["fetch", "latest-good", "--to", "good"]).exits(1).says("there is no archive");
}

#[test]
fn damage_is_an_event_for_programs() {
    let scene = scene(&damaged(&[20, 30]), &log(0, TODAY));
    let events = scene.run(&["run", "--json"]).exits(6).events();
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).collect::<Vec<_>>();
    let [event] = of("damaged")[..] else { panic!("{events:?}") };
    assert_eq!((&event["level"], &event["archive"]), (&"error".into(), &ID.into()));
    let damage = event["damage"].as_str().unwrap();
    assert!(damage.contains("CM_XYZ.mdf") && damage.contains("20, 30"), "{damage}");
    assert_eq!((of("archived").len(), of("finished")[0]["exit_code"].as_u64()), (1, Some(6)));
}

#[test]
fn every_damaged_page_counts_and_few_are_told() {
    let pages: Vec<usize> = (11..41).collect();
    let scene = scene(&damaged(&pages), &log(0, TODAY));
    let output = scene.run(&["run"]).exits(6).says("DAMAGED 30 of 64 pages (first: 11, 12, 13)");
    assert!(output.stderr.lines().count() < 12, "{output}");
    assert_eq!(databases(&scene)[0]["damaged_pages"], 30);
    scene.run(&["list", "--wide"]).exits(0).says("DAMAGED 30 pages");
}

#[test]
fn log_of_another_day_or_database_is_damage() {
    for (other, words) in [(log(0, 22), "the log is of another time"), (log(1, TODAY), "none of the log files")] {
        let scene = scene(&data(), &other);
        scene.run(&["run"]).exits(6).says(words).says("CM_XYZ.mdf");
        let databases = databases(&scene);
        let about = (&databases[0]["verdict"], &databases[0]["damaged_pages"], &databases[0]["unpaired"]);
        assert_eq!(about, (&"damaged".into(), &0.into(), &true.into()), "{databases:?}");
        scene.run(&["list", "--wide"]).exits(0).says("DAMAGED: files do not fit together");
        let found = entry(&scene, "CM_XYZ.mdf");
        assert_eq!(
            (&found["verdict"]["result"], &found["pairing"][0]["severity"]),
            (&"sound".into(), &"damage".into())
        );
    }
}

#[test]
fn truncated_database_is_damage() {
    let scene = scene(&data()[..40 * PAGE], &log(0, TODAY));
    scene.run(&["run"]).exits(6).says("CM_XYZ.mdf");
    scene.run(&["list", "--wide"]).exits(0).says("DAMAGED");
}

#[test]
fn database_without_checksums_is_not_verifiable_and_no_failure() {
    let torn = {
        let mut bytes = Data { status: 0x4000_0018, ..Data::default() }.build();
        for page in (11..56).map(|page| page * PAGE) {
            stamp_torn_bits(&mut bytes[page..page + PAGE], 1);
        }
        bytes
    };
    let none = Data { status: 0x4000_0008, ..Data::default() }.build();
    for (bytes, why) in [(none, "page-verify-none"), (torn, "page-verify-torn")] {
        let scene = scene(&bytes, &log(0, TODAY));
        scene.run(&["run"]).exits(0).says_not("DAMAGED");
        assert_eq!((&databases(&scene)[0]["verdict"], &databases(&scene)[0]["why"]), (&"unproven".into(), &why.into()));
        scene.run(&["list", "--wide"]).exits(0).says("unproven: CM_XYZ.mdf PAGE_VERIFY");
        assert_eq!(entry(&scene, "CM_XYZ.mdf")["verdict"]["why"], why);
        // Nothing is known against it.
        scene.run(&["fetch", "latest-good", "--to", "back"]).exits(0);
    }
}

#[test]
fn nothing_is_checked_when_checks_are_off() {
    let mut scene = scene(&damaged(&[20]), &log(0, 22));
    scene.section("[archive]\ncheck-databases = false");
    scene.run(&["run"]).exits(0).says_not("DAMAGED");
    assert!(databases(&scene).is_empty());
    assert!(entry(&scene, "CM_XYZ.mdf").is_null());
    scene.run(&["list", "--wide"]).exits(0).says("not checked");
}

#[test]
fn checks_make_no_difference_to_the_files_in_the_archive() {
    let archived = |check: bool| {
        let mut scene = scene(&data(), &log(0, TODAY));
        scene.section(&format!("[archive]\ncheck-databases = {check}"));
        scene.run(&["run"]).exits(0);
        let manifest: Value = serde_json::from_slice(&fs::read(scene.manifest("vault")).unwrap()).unwrap();
        manifest["fingerprint"].clone()
    };
    assert_eq!(archived(true), archived(false));
}

/// Fillings of a file that is none of SQL Server.
fn destroyed(whole: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("random", crate::harness::noise(9, whole.len())),
        ("zeros", vec![0; whole.len()]),
        ("text", text(whole.len())),
        ("a short text", b"no database".to_vec()),
        ("cut to a sector", whole[..512].to_vec()),
        ("cut in the middle", whole[..whole.len() / 2].to_vec()),
        ("a file of another kind", Backup::of(&data(), true).bytes),
    ]
}

#[test]
fn file_that_is_not_what_its_name_says_is_damage() {
    let (mdf, ldf) = (data(), log(0, TODAY));
    for (what, bytes) in destroyed(&mdf) {
        let scene = scene(&bytes, &ldf);
        scene.run(&["run"]).exits(6).says("SiteDBServer/CM_XYZ.mdf");
        scene.run(&["list", "--wide"]).exits(0).says("DAMAGED");
        scene.run(&["fetch", "latest-good", "--to", "x"]).exits(1);
        assert_eq!(databases(&scene)[0]["verdict"], "damaged", "{what}");
    }
    let mut zeroed = ldf.clone();
    zeroed[..ldf.len() / 2].fill(0);
    for (what, bytes) in destroyed(&ldf).into_iter().chain([("its beginning zeroed", zeroed)]) {
        let scene = scene(&mdf, &bytes);
        scene.run(&["run"]).exits(6).says("CM_XYZ_log.ldf");
        assert_eq!(databases(&scene)[1]["verdict"], "damaged", "{what}");
        scene.run(&["fetch", "latest-good", "--to", "x"]).exits(1);
    }
}

#[test]
fn missing_log_and_missing_data_file_are_damage() {
    let whole = scene(&data(), &log(0, TODAY));
    fs::remove_file(whole.snapshot().join(LDF)).unwrap();
    whole.file("SiteDBServer/other.ndf", &Data { file: 3, database: 5, ..Data::default() }.build());
    whole.complete(COMPLETED);
    let output = whole.run(&["run"]);
    assert!(matches!(output.code, Some(4 | 6)), "{output}");

    let first = Data { has_further: true, ..Data::default() }.build();
    let scene = scene(&first, &log(0, TODAY));
    scene.run(&["run"]).exits(6).says("its data file CM_XYZ_3 (number 3) is not here");
    scene.file("SiteDBServer/CM_XYZ_3.ndf", &Data { file: 3, ..Data::default() }.build());
    scene.complete(&(at(COMPLETED) + SignedDuration::from_hours(24)).to_string());
    scene.run(&["run"]).exits(0);
}

#[test]
fn database_of_another_site_is_damage() {
    let scene = scene(&Data { name: "CM_ABC", ..Data::default() }.build(), &log(0, TODAY));
    scene
        .run(&["run"])
        .exits(6)
        .says("CM_ABC is the database of another site than XYZ")
        .says("CM_XYZ of the site is not there");
    scene.run(&["list", "--wide"]).exits(0).says("the database of another site");
    scene.run(&["fetch", "latest-good", "--to", "x"]).exits(1);
}

#[test]
fn database_with_a_name_of_its_own_is_the_sites_when_the_configuration_says_so() {
    let mut scene = scene(&Data { name: "ConfigMgr", ..Data::default() }.build(), &log(0, TODAY));
    let hint = "write site = \"XYZ\" and database = \"NAME\" into [snapshot]";
    scene.run(&["run"]).exits(6).says("CM_XYZ of the site is not there").says(hint);
    scene.snapshot_key("site = 'XYZ'\ndatabase = 'ConfigMgr'");
    scene.complete(&(at(COMPLETED) + SignedDuration::from_hours(24)).to_string());
    scene.run(&["run"]).exits(0).says_not("not there").says_not("database = ");
    scene.run(&["fetch", "latest-good", "--to", "x"]).exits(0);
    // Another one in its place is not.
    scene.file("SiteDBServer/CM_XYZ.mdf", &Data::default().build());
    scene.complete(&(at(COMPLETED) + SignedDuration::from_hours(48)).to_string());
    scene.run(&["run"]).exits(6).says("the database ConfigMgr of the site is not there").says_not("another site");
}

#[test]
fn few_lost_pages_are_a_note_and_many_are_damage_told_as_ranges() {
    let zeroed = |pages: std::ops::Range<usize>| {
        let mut bytes = Data { status: crate::synthetic::UNCLEAN, pages: 2048, ..Data::default() }.build();
        bytes[pages.start * PAGE..pages.end * PAGE].fill(0);
        bytes
    };
    let noted = scene(&zeroed(100..103), &log(0, TODAY));
    noted.run(&["run"]).exits(0).says_not("DAMAGED");
    noted.run(&["list", "--wide"]).exits(0).says("with notes");
    noted.run(&["show", "latest"]).exits(0).says("pages 100-102 are in use but hold only zeros");
    assert_eq!(databases(&noted)[0]["verdict"], "sound-with-notes");
    let damaged = scene(&zeroed(100..700), &log(0, TODAY));
    damaged.run(&["run"]).exits(6).says("DAMAGED 600 of 2048 pages (pages 100-699 are in use but hold only zeros)");
    damaged.run(&["list", "--wide"]).exits(0).says("DAMAGED 600 pages");
}

#[test]
fn stand_ins_of_a_trial_are_archived_and_never_good() {
    let scene = scene(&vec![b'x'; 20_000], b"log");
    scene.run(&["run"]).exits(0).says("are stand-ins and not databases");
    scene.run(&["list", "--wide"]).exits(0).says("unproven: CM_XYZ.mdf a stand-in, not a database");
    scene.run(&["fetch", "latest-good", "--to", "x"]).exits(1);
    // Where there was a database they are no trial.
    scene.database();
    scene.complete(&(at(COMPLETED) + SignedDuration::from_hours(24)).to_string());
    scene.run(&["run"]).exits(0);
    scene.file(MDF, &vec![b'x'; 20_000]);
    scene.complete(&(at(COMPLETED) + SignedDuration::from_hours(48)).to_string());
    scene.run(&["run"]).exits(6).says("CM_XYZ");
}

#[test]
fn archive_that_is_named_as_sound_is_kept_until_a_newer_one_is_proven() {
    let mut scene = scene(&data(), &log(0, TODAY));
    scene.section("[retention]\nlast = 1");
    // A second database, sound once.
    let other = Data { name: "SUSDB", database: 1, ..Data::default() }.build();
    scene.file("SiteDBServer/SUSDB.mdf", &other);
    scene.file("SiteDBServer/SUSDB_log.ldf", &log(1, TODAY));
    next(&scene, 0, &data(), 0);
    fs::remove_file(scene.snapshot().join("SiteDBServer/SUSDB.mdf")).unwrap();
    fs::remove_file(scene.snapshot().join("SiteDBServer/SUSDB_log.ldf")).unwrap();
    let told = worsened(&next(&scene, 1, &data(), 6));
    assert_eq!((told.len(), told[0]["database"].as_str()), (1, Some("SUSDB")), "{told:?}");
    assert!(scene.manifest("vault").exists());
    next(&scene, 2, &data(), 0);
    assert!(!scene.manifest("vault").exists());
}

// From archive to archive.

/// The next day's snapshot with this data file.
fn next(scene: &Scene, day: i64, mdf: &[u8], code: i32) -> crate::harness::Output {
    scene.file(MDF, mdf);
    scene.complete(&(at(COMPLETED) + SignedDuration::from_hours(24 * day)).to_string());
    scene.run(&["run", "--json"]).exits(code)
}

fn worsened(output: &crate::harness::Output) -> Vec<Value> {
    output.events().into_iter().filter(|event| event["event"] == "database-worsened").collect()
}

#[test]
fn database_that_was_sound_in_the_archive_before_is_told_loudly() {
    let mut scene = scene(&data(), &log(0, TODAY));
    scene.destination("second");
    assert!(worsened(&next(&scene, 0, &data(), 0)).is_empty());
    // Wherever that archive lies.
    fs::remove_dir_all(scene.path("vault/XYZ")).unwrap();
    let told = worsened(&next(&scene, 1, &damaged(&[20]), 6));
    let [event] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(event["level"], "error");
    assert_eq!(
        event["message"],
        format!("CM_XYZ was sound in {ID} and is damaged now: {ID} is kept until a newer archive is proven sound")
    );
    assert_eq!((&event["database"], &event["sound_in"]), (&"CM_XYZ".into(), &ID.into()));
    // It is no news any more.
    assert!(worsened(&next(&scene, 2, &damaged(&[20]), 6)).is_empty());
    assert!(worsened(&next(&scene, 3, &data(), 0)).is_empty());
    // Its name lies in page 9.
    let told = worsened(&next(&scene, 4, &damaged(&[9]), 6));
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["database"], "CM_XYZ");
}

#[test]
fn database_that_is_not_what_it_was_is_told() {
    let scene = scene(&data(), &log(0, TODAY));
    assert!(worsened(&next(&scene, 0, &data(), 0)).is_empty());
    let told = worsened(&next(&scene, 1, &Data { status: 0x4000_0008, ..Data::default() }.build(), 6));
    let [event] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((&event["level"], &event["database"]), (&"error".into(), &"CM_XYZ".into()));
    assert!(event["message"].as_str().unwrap().contains("cannot be proven to be sound now"), "{event}");
    assert!(worsened(&next(&scene, 2, &data(), 0)).is_empty());
    // Overwritten from end to end it is no file of SQL Server any more.
    let told = worsened(&next(&scene, 3, &text(64 * PAGE), 6));
    let [event] = told.as_slice() else { panic!("{told:?}") };
    assert!(event["message"].as_str().unwrap().contains("is damaged now"), "{event}");
}

#[test]
fn damaged_archives_do_not_push_out_the_last_good_one() {
    let mut scene = scene(&data(), &log(0, TODAY));
    scene.section("[retention]\nlast = 1");
    next(&scene, 0, &data(), 0);
    for day in 1..5 {
        next(&scene, day, &damaged(&[20 + usize::try_from(day).unwrap()]), 6);
        assert!(scene.manifest("vault").exists(), "day {day}");
    }
    assert_eq!(scene.manifests("vault"), 2, "{:?}", scene.held("vault"));
    scene.run(&["prune"]).exits(0);
    scene.run(&["prune", "--dry-run"]).exits(0).says("newest good");
    let report = scene.run(&["fetch", "latest-good", "--to", "back", "--json"]).exits(0).json();
    assert_eq!(report["archive"], ID);
    assert_eq!(fs::read(scene.path("back/XYZBackup").join(MDF)).unwrap(), data());
    let report = scene.run(&["fetch", "latest", "--to", "newest", "--json"]).exits(0).json();
    assert_eq!(report["archive"], "XYZ-20211126T235900Z");
    // A good one that is newer takes its place.
    next(&scene, 5, &data(), 0);
    assert!(!scene.manifest("vault").exists());
    assert_eq!(scene.manifests("vault"), 1);
}

#[test]
fn archive_of_which_a_database_cannot_be_verified_does_not_replace_a_proven_one() {
    let mut scene = scene(&data(), &log(0, TODAY));
    scene.section("[retention]\nlast = 1");
    next(&scene, 0, &data(), 0);
    for day in 1..4 {
        // That it cannot be proven any more is said once.
        let code = if day == 1 { 6 } else { 0 };
        next(&scene, day, &Data { status: 0x4000_0008, ..Data::default() }.build(), code);
    }
    assert!(scene.manifest("vault").exists());
    assert_eq!(scene.manifests("vault"), 2, "{:?}", scene.held("vault"));
}

// check-db

/// A folder with these files, and no configuration.
fn files(files: &[(&str, &[u8])]) -> Scene {
    let scene = Scene::bare();
    for (name, bytes) in files {
        fs::write(scene.path(name), bytes).unwrap();
    }
    fs::remove_file(scene.config()).unwrap();
    scene
}

fn check_db(scene: &Scene, args: &[&str]) -> crate::harness::Output {
    let mut command = crate::harness::program();
    command.arg("check-db").args(args).current_dir(scene.root());
    crate::harness::Output::of(command)
}

#[test]
fn check_db_on_sound_files() {
    let backup = Backup::of(&data(), true).bytes;
    let scene = files(&[("a.mdf", &data()), ("a.ldf", &log(0, TODAY)), ("a.bak", &backup)]);
    let output = check_db(&scene, &["a.mdf", "a.ldf", "a.bak"]).exits(0);
    for words in ["CM_XYZ", "2019", "ok 64 pages", "log blocks", "backup"] {
        assert!(output.stdout.contains(words), "{words}\n{output}");
    }
    let names: Vec<&str> = output.stdout.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["a.mdf", "a.ldf", "a.bak"], "{output}");
}

#[test]
fn check_db_names_damaged_pages() {
    let scene = files(&[("a.mdf", &damaged(&[20, 30])), ("good.mdf", &data())]);
    let output = check_db(&scene, &["a.mdf"]).exits(6);
    output.says("DAMAGED 2 of 64 pages (first: 20, 30)").says("a.mdf: page 20").says("a.mdf: page 30");
    // One bad file is enough, whatever else is wrong.
    check_db(&scene, &["good.mdf", "a.mdf", "none.mdf"]).exits(6).says("ok 64 pages").says("cannot read");
    check_db(&scene, &["good.mdf"]).exits(0);
}

#[test]
fn check_db_compares_the_files_of_a_folder() {
    let scene = files(&[("a.mdf", &data()), ("old.ldf", &log(0, 22))]);
    check_db(&scene, &["a.mdf"]).exits(0);
    check_db(&scene, &["old.ldf"]).exits(0);
    let output = check_db(&scene, &["a.mdf", "old.ldf"]).exits(6);
    output.says("DAMAGED: does not fit its database").says("the log is of another time");
    fs::create_dir(scene.path("elsewhere")).unwrap();
    fs::rename(scene.path("old.ldf"), scene.path("elsewhere/old.ldf")).unwrap();
    let json = check_db(&scene, &["--json", "elsewhere/old.ldf", "a.mdf", "none", "vault"]).exits(1).json();
    let order: Vec<&str> = json["files"].as_array().unwrap().iter().filter_map(|file| file["path"].as_str()).collect();
    assert_eq!(order, ["elsewhere/old.ldf", "a.mdf", "none", "vault"]);
}

#[test]
fn check_db_on_what_cannot_be_read_or_is_something_else() {
    let scene = files(&[("notes.txt", b"no database"), ("empty.mdf", b"")]);
    check_db(&scene, &["none.mdf"]).exits(1).says("none.mdf").says("cannot read");
    check_db(&scene, &["notes.txt"]).exits(1).says("not a SQL Server file");
    check_db(&scene, &["empty.mdf"]).exits(6).says("it is empty");
    check_db(&scene, &["vault"]).exits(1).says("in this folder");
    check_db(&scene, &["*.bak"]).exits(1).says("no file matches");
    check_db(&scene, &[]).exits(2);
}

#[test]
fn check_db_for_programs() {
    let scene = files(&[("a.mdf", &damaged(&[20])), ("b.bak", &Backup::of(&data(), true).bytes), ("c.txt", b"c")]);
    let json = check_db(&scene, &["a.mdf", "b.bak", "c.txt", "none.mdf", "--json"]).exits(6).json();
    let files = json["files"].as_array().unwrap();
    let of = |path: &str| files.iter().find(|file| file["path"] == path).unwrap();
    assert_eq!(files.len(), 4);
    let (damaged, backup) = (of("a.mdf"), of("b.bak"));
    assert_eq!((&damaged["kind"], &damaged["verdict"]["result"]), (&"data".into(), &"damaged".into()));
    assert_eq!(damaged["findings"][0]["page"], 20);
    assert_eq!(damaged["facts"]["database"], "CM_XYZ");
    assert_eq!((&backup["kind"], &backup["verdict"]["result"]), (&"backup".into(), &"sound".into()));
    assert_eq!(of("c.txt")["verdict"]["result"], "not-sql-server");
    assert!(of("none.mdf")["error"].is_string());
}

#[test]
fn wholesale_damage_is_told_once() {
    let mut bytes = Data { pages: 512, ..Data::default() }.build();
    for page in 11..448 {
        bytes[page * PAGE + 96..page * PAGE + 600].fill(b'x');
    }
    let files = files(&[("a.mdf", &bytes)]);
    let output = check_db(&files, &["a.mdf"]).exits(6).says("437 of ").says("encrypted (TDE) or wholesale damage");
    assert!(output.stdout.lines().count() + output.stderr.lines().count() < 8, "{output}");
    let scene = scene(&bytes, &log(0, TODAY));
    let output = scene.run(&["run"]).exits(6);
    assert_eq!(output.stderr.matches("wholesale damage").count(), 1, "{output}");
    scene.run(&["list", "--wide"]).exits(0).says("DAMAGED 437 pages");
}

// No false alarm.

/// Runs the library at this time: everything ends well and says nothing that somebody should look at.
#[track_caller]
pub(crate) fn quiet_night(bench: &crate::torn::Bench, now: jiff::Timestamp, night: i64) {
    let monitor = Collector::default();
    let outcome = bench.run(&monitor, &FixedClock(now)).unwrap();
    let events = monitor.events();
    let loud: Vec<_> = events.iter().filter(|event| event.level >= Level::Warn).collect();
    assert!(loud.is_empty(), "night {night}: {loud:?}");
    assert_eq!(outcome.severity(), Severity::Done, "night {night}: {events:?}");
}

#[test]
fn two_hundred_nights_of_growing_restarted_and_shifted_snapshots_say_nothing() {
    let mut scene = Scene::bare();
    scene.section("[retention]\nlast = 3\ndaily = 7\n[archive]\nlevel = 1\nthreads = 1");
    scene.file("CD.Latest/SMSSETUP/BIN/X64/setup.exe", b"setup");
    let bench = crate::torn::Bench::new(&mut scene);
    for night in 0..200 {
        // The log goes on, and the database grows; now and then it is copied while it runs, or is shut down cleanly.
        let sequence = 26 + u32::try_from(night / 7).unwrap();
        let status = if night % 3 == 0 { UNCLEAN } else { CLEAN };
        let pages = 64 + 8 * u32::try_from(night / 10).unwrap();
        scene.file(MDF, &Data { pages, status, sequence, ..Data::default() }.build());
        scene.file(LDF, &log(0, sequence));
        scene.file(&format!("SiteServer/SMSServer/inboxes/{night}.box"), &text(usize::try_from(night).unwrap()));
        // Summer time comes and goes, and some nights the task is late.
        let shift = if (60..120).contains(&night) { 60 } else { 0 } + if night % 11 == 5 { 180 } else { 0 };
        let completed = at(COMPLETED) + SignedDuration::from_hours(24 * night) + SignedDuration::from_mins(shift);
        scene.complete(&completed.to_string());
        // The clock of this server is a little behind or ahead of that of the share.
        let now = completed + SignedDuration::from_mins(night % 40 + 1);
        quiet_night(&bench, now, night);
        if night % 13 == 0 {
            // Started once more, by somebody or after a restart.
            quiet_night(&bench, now + SignedDuration::from_mins(30), night);
        }
    }
}

#[test]
fn more_database_files_than_a_manifest_can_hold_are_no_archive() {
    let mut scene = scene(&Data::default().build(), &log(0, TODAY));
    let place = scene.path("many");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("0.ldf"), log(0, TODAY)).unwrap();
    for number in 1..4000 {
        fs::hard_link(place.join("0.ldf"), place.join(format!("{number:0230}.ldf"))).unwrap();
    }
    scene.section("[[supplemental]]\nname = 'Many'\npath = 'many'");
    scene.run(&["run"]).exits(1).says("too many for one archive").says("log-backups");
    assert!(scene.held("vault").is_empty(), "{:?}", scene.held("vault"));
}
