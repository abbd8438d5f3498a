//! `status`: how backups stand.

use std::fs;

use afterbackup::clock::{Clock, SystemClock};
use afterbackup::platform::lock::RunLock;
use jiff::SignedDuration;

use crate::harness::{ID, Scene, at, log_of_completed_run, status_message};

/// Backups of 2021 are not overdue.
fn patient() -> Scene {
    let mut scene = Scene::new();
    scene.section("[report]\noverdue = '100 years'");
    scene
}

#[test]
fn all_is_well_where_every_destination_has_the_newest() {
    let mut scene = patient();
    scene.destination("offsite");
    scene.run(&["run"]).exits(0);
    let output = scene.run(&["status"]).exits(0);
    insta::assert_snapshot!(scene.normalised(&output.stdout), @"
    Site XYZ
    Newest archive XYZ-20211122T235900Z, AGE years ago, SIZE, databases: ok 106 pages
    Next due before NOW
    Last run NOW, exit code 0: Archived XYZ-20211122T235900Z: 39 files, SIZE in SIZE
    Snapshot complete: the log in the snapshot says that the backup was completed at 2021-11-22T23:59:00Z (status message 5035)
    Watcher not running

    Destination Site Newest archive Age Archives Size
    vault XYZ XYZ-20211122T235900Z AGE years ago 1 SIZE
    offsite XYZ XYZ-20211122T235900Z AGE years ago 1 SIZE

    All is well.
    ");
}

#[test]
fn old_archive_is_overdue() {
    let scene = Scene::new();
    scene.run(&["run"]).exits(0);
    scene.run(&["status"]).exits(7).says("OVERDUE: site XYZ: the newest archive is of 2021-11-22 23:59:00+00:00");
    let json = scene.run(&["status", "--json"]).exits(7).json();
    assert_eq!((&json["health"], &json["exit_code"]), (&"overdue".into(), &7.into()));
    let site = &json["sites"][0];
    assert_eq!(
        (&site["site"], &site["overdue"], &site["newest"]),
        (&"XYZ".into(), &true.into(), &"2021-11-22T23:59:00Z".into())
    );
    assert_eq!(site["newest_archive"]["id"], ID);
    assert_eq!(site["destinations"][0]["newest"]["id"], ID);
    assert_eq!(json["snapshots"][0]["state"], "complete");
    assert_eq!(json["overdue_limit_seconds"], 432_000);
}

#[test]
fn nothing_archived_is_overdue() {
    let scene = Scene::new();
    scene.run(&["status"]).exits(7).says("OVERDUE: site XYZ: there is no archive");
    scene.run(&["status", "--nagios"]).exits(2).says("AFTERBACKUP CRITICAL - site XYZ: there is no archive");
    // Not even a snapshot that would tell of a site.
    let bare = Scene::bare();
    bare.run(&["status"]).exits(7).says("OVERDUE: there is no archive").says("no snapshot in");
}

#[test]
fn destination_that_lacks_the_newest_or_cannot_be_read_is_told() {
    let mut scene = patient();
    scene.run(&["run"]).exits(0);
    scene.destination("offsite");
    scene.run(&["status"]).exits(3).says(&format!("warning: {ID} is not on offsite"));
    scene.run(&["status", "--nagios"]).exits(1).says(&format!("AFTERBACKUP WARNING - {ID} is not on offsite | "));
    fs::remove_dir(scene.path("offsite")).unwrap();
    scene.run(&["status"]).exits(3).says("warning: offsite cannot be read: ").says("offsite      ");
    fs::remove_dir_all(scene.path("vault")).unwrap();
    scene.run(&["status"]).exits(1).says("UNKNOWN: vault cannot be read");
    scene.run(&["status", "--nagios"]).exits(3).says("AFTERBACKUP UNKNOWN - vault cannot be read");
}

#[test]
fn archive_that_is_not_whole_does_not_count() {
    let scene = patient();
    scene.run(&["run"]).exits(0);
    fs::write(scene.archive("vault"), "cut").unwrap();
    scene
        .run(&["status"])
        .exits(7)
        .says("there is no archive")
        .says("is not whole: its archive has 3 bytes instead of");
    fs::remove_file(scene.archive("vault")).unwrap();
    scene.run(&["status"]).exits(7).says("is not whole: its archive is missing");
}

#[test]
fn damaged_newest_archive_is_told_but_overdue_counts_more() {
    let mut scene = patient();
    let mut data = crate::synthetic::Data::default().build();
    data[20 * 8192 + 3000] ^= 4;
    scene.file("SiteDBServer/CM_XYZ.mdf", &data);
    scene.complete(crate::harness::COMPLETED);
    scene.run(&["run"]).exits(6);
    scene.run(&["status"]).exits(6).says(&format!("DAMAGED: {ID}: the database CM_XYZ is damaged or missing"));
    scene.run(&["status", "--nagios"]).exits(2).says(&format!("AFTERBACKUP CRITICAL - {ID}: the database CM_XYZ"));
    scene.sections.clear();
    scene.configure();
    scene.run(&["status"]).exits(7).says("OVERDUE: site XYZ").says("DAMAGED: XYZ-");
}

#[test]
fn archive_of_the_future_is_no_fresh_one() {
    let scene = Scene::new();
    scene.run(&["run"]).exits(0);
    let far = "XYZ-29991231T000000Z";
    let manifest = fs::read_to_string(scene.manifest("vault")).unwrap();
    let folder = scene.path("vault/XYZ");
    fs::write(folder.join(format!("{far}.json")), manifest.replace(ID, far)).unwrap();
    fs::copy(scene.archive("vault"), folder.join(format!("{far}.tar.zst"))).unwrap();
    let output = scene.run(&["status"]).exits(7).says("the newest archive is of 2021-11-22 23:59:00+00:00");
    assert!(output.stdout.contains(&format!("{far} on vault is dated in the future")), "{output}");
}

/// A configured log outside the snapshot.
fn with_log(scene: &mut Scene, text: &str) {
    fs::write(scene.path("smsbkup.log"), text).unwrap();
    scene.snapshot_key("log = 'smsbkup.log'");
}

#[test]
fn task_that_failed_is_told_with_its_status_message() {
    let mut scene = patient();
    scene.run(&["run"]).exits(0);
    let next = at(crate::harness::COMPLETED) + SignedDuration::from_hours(24);
    let log =
        log_of_completed_run(at(crate::harness::COMPLETED)) + &status_message(5055, next) + &status_message(5043, next);
    with_log(&mut scene, &log);
    let output = scene.run(&["status"]).exits(7);
    let words = "FAILED: site XYZ: the last backup failed at 2021-11-23 23:59:00+00:00 with status message 5043";
    assert!(output.stdout.contains(words), "{output}");
    assert!(output.stdout.contains("failed: the log says that the backup failed"), "{output}");
}

#[test]
fn snapshot_is_left_alone_while_the_task_runs() {
    let mut scene = patient();
    scene.run(&["run"]).exits(0);
    let next = at(crate::harness::COMPLETED) + SignedDuration::from_hours(24);
    let log = log_of_completed_run(at(crate::harness::COMPLETED)) + &status_message(5055, next);
    with_log(&mut scene, &log);
    let output = scene.run(&["status"]).exits(0);
    assert!(
        output
            .stdout
            .contains("not read: the log shows a backup that began at 2021-11-23T23:59:00Z and has not finished"),
        "{output}"
    );
    let json = scene.run(&["status", "--json"]).exits(0).json();
    assert_eq!(json["snapshots"][0]["state"], "not-looked-at");
}

#[test]
fn one_line_for_nagios_has_the_figures() {
    let scene = patient();
    scene.run(&["run"]).exits(0);
    let output = scene.run(&["status", "--nagios"]).exits(0);
    let (words, figures) = output.stdout.trim_end().split_once(" | ").unwrap();
    assert!(words.starts_with(&format!("AFTERBACKUP OK - {ID} is ")), "{output}");
    assert_eq!(output.stdout.lines().count(), 1);
    let limit = 100 * 31_557_600_u64;
    for figure in figures.split(' ') {
        let (label, value) = figure.split_once('=').unwrap();
        let parts: Vec<&str> = value.split(';').collect();
        let seconds = SystemClock.now().as_second() - at(crate::harness::COMPLETED).as_second();
        match label {
            "newest_age" | "XYZ_newest_age" => {
                let age: i64 = parts[0].strip_suffix('s').unwrap().parse().unwrap();
                assert!((seconds - 600..=seconds).contains(&age), "{figure}");
                assert_eq!(parts[1..], ["", &limit.to_string(), "0"], "{figure}");
            }
            "XYZ_newest_size" => assert!(parts[0].ends_with('B'), "{figure}"),
            "destinations" => assert_eq!(parts, ["1", "1:", "", "0", "1"]),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn every_error_is_unknown_to_nagios() {
    let scene = Scene::new();
    fs::write(scene.config(), "nonsense = 1\n[snapshot]\n").unwrap();
    let output = scene.run(&["status", "--nagios"]).exits(3);
    assert!(output.stdout.starts_with("AFTERBACKUP UNKNOWN - "), "{output}");
    assert_eq!(output.stdout.lines().count(), 1, "{output}");
    scene.run(&["status"]).exits(2);
}

#[test]
fn asking_does_not_make_a_lock_file_and_works_while_a_run_holds_it() {
    let scene = patient();
    scene.run(&["status"]).exits(7);
    assert!(!scene.path("lock").exists());
    scene.run(&["run"]).exits(0);
    let lock = RunLock::take(&scene.path("lock")).unwrap();
    scene.run(&["status"]).exits(0);
    drop(lock);
}

#[test]
fn completed_snapshot_without_an_archive_is_not_well() {
    let mut scene = patient();
    scene.run(&["run"]).exits(0);
    let next = at(crate::harness::COMPLETED) + SignedDuration::from_hours(24);
    let log = log_of_completed_run(at(crate::harness::COMPLETED)) + &log_of_completed_run(next);
    with_log(&mut scene, &log);
    let words = "site XYZ: the snapshot of 2021-11-23 23:59:00+00:00 is not archived";
    scene.run(&["status"]).exits(7).says(&format!("OVERDUE: {words}")).says("afterbackup run");
    scene.run(&["status", "--nagios"]).exits(2).says(&format!("CRITICAL - {words}"));
    // While a run is at work, it is about to be.
    let by = afterbackup::platform::lock::Holder::this_process("run", SystemClock.now());
    let lock = RunLock::take_as(&scene.path("lock"), &by).unwrap();
    scene.run(&["status"]).exits(0).says_not("not archived").says("afterbackup run (PID ");
    drop(lock);
    // Without a log outside the snapshot, a look at it tells the same.
    let bare = patient();
    bare.run(&["status"]).exits(7).says("the snapshot of 2021-11-22 23:59:00+00:00 is not archived");
    bare.run(&["status", "--nagios"]).exits(2).says("the snapshot of 2021-11-22 23:59:00+00:00 is not archived");
}

/// Makes an archive of another time from the one that is there.
fn older(scene: &Scene, id: &str) {
    let manifest = fs::read_to_string(scene.manifest("vault")).unwrap();
    let folder = scene.path("vault/XYZ");
    fs::write(folder.join(format!("{id}.json")), manifest.replace(ID, id)).unwrap();
    fs::copy(scene.archive("vault"), folder.join(format!("{id}.tar.zst"))).unwrap();
}

#[test]
fn older_archive_that_is_not_whole_is_told() {
    let scene = patient();
    scene.run(&["run"]).exits(0);
    let id = "XYZ-20211120T235900Z";
    older(&scene, id);
    scene.run(&["status"]).exits(0);
    let archive = scene.path(&format!("vault/XYZ/{id}.tar.zst"));
    fs::write(&archive, "cut").unwrap();
    scene.run(&["status"]).exits(3).says(&format!("{id} on vault is not whole: its archive has 3 bytes instead of"));
    fs::remove_file(&archive).unwrap();
    scene.run(&["status", "--nagios"]).exits(1).says(&format!("{id} on vault is not whole: its archive is missing"));
    fs::write(scene.path(&format!("vault/XYZ/{id}.json")), "{").unwrap();
    scene.run(&["status"]).exits(3).says(&format!("{id} on vault is not whole: "));
}

#[test]
fn what_unfinished_runs_have_left_is_told_when_it_is_old() {
    let scene = patient();
    scene.run(&["run"]).exits(0);
    let partial = scene.path("vault/XYZ/.XYZ-20211120T235900Z.tar.zst.partial-4711");
    fs::write(&partial, "half").unwrap();
    scene.run(&["status"]).exits(0);
    crate::harness::touch(&partial, SystemClock.now() - SignedDuration::from_hours(2));
    scene.run(&["status"]).exits(3).says("is left from an unfinished run").says("afterbackup prune -d vault");
}

#[test]
fn a_run_that_did_not_end_well_is_told_with_what_went_wrong() {
    for (hook, code) in [("run-before", 1), ("run-finally", 3)] {
        let mut scene = patient();
        scene.run(&["run"]).exits(0);
        scene.section(&format!("[hooks]\n{hook} = ['exit 9']"));
        scene.run(&["run"]).exits(code);
        let words = format!("ended with {code}: ");
        let output = scene.run(&["status"]).exits(3).says(&words).says(&format!("hook {hook} number 1"));
        assert!(!output.stdout.contains("All is well"), "{output}");
        scene.run(&["status", "--nagios"]).exits(1).says(&words);
        scene.sections.clear();
        scene.section("[report]\noverdue = '100 years'");
        scene.run(&["run"]).exits(0);
        scene.run(&["status"]).exits(0);
    }
}

#[test]
fn two_configurations_do_not_disturb_each_other() {
    let scene = patient();
    scene.run(&["run"]).exits(0);
    // Another site's, with the same lock file, which fails.
    let other = fs::read_to_string(scene.config()).unwrap().replace("path = 'E'", "path = 'none'");
    fs::write(scene.path("other.toml"), other).unwrap();
    let other = scene.path("other.toml");
    let run = |args: &[&str]| {
        let mut command = crate::harness::program();
        command.arg("--config").arg(&other).args(args).env("ProgramData", scene.path("ProgramData"));
        crate::harness::Output::of(command)
    };
    run(&["run"]).exits(1);
    scene.run(&["status"]).exits(0);
    run(&["status"]).exits(3).says("ended with 1");
}

#[test]
fn state_that_cannot_be_read_is_told() {
    let scene = patient();
    scene.run(&["run"]).exits(0);
    let state = crate::harness::names(scene.root()).into_iter().find(|name| name.contains(".state")).unwrap();
    fs::write(scene.path(&state), "{").unwrap();
    scene.run(&["status"]).exits(3).says("what the last runs did is not known");
    scene.run(&["run"]).exits(0);
    scene.run(&["status"]).exits(0);
}
