//! `list` and `show`.

use std::fs;

use crate::harness::{ID, Output, Scene, program};

#[test]
fn archives_are_listed_for_people() {
    let mut scene = Scene::new();
    scene.destination("offsite");
    scene.run(&["run"]).exits(0);
    fs::remove_file(scene.archive("offsite")).unwrap();
    scene.run(&["pin", "latest", "--reason", "before the upgrade"]).exits(0);
    let listed = scene.run(&["list"]).exits(3);
    insta::assert_snapshot!(scene.normalised(&listed.stdout), @"
    Archive Completed Age Size Databases On
    XYZ-20211122T235900Z 22 Nov 2021 AGE y SIZE ok vault, offsite (INCOMPLETE) pinned
    1 archive, SIZE on vault, SIZE on offsite
    ");
    let wide = scene.run(&["ls", "--wide"]).exits(3);
    insta::assert_snapshot!(scene.normalised(&wide.stdout), @"
    Archive Kind Completed Age Size Unpacked Encrypted Databases Change tracking On Pin
    XYZ-20211122T235900Z full 2021-11-22 23:59:00+00:00 AGE years ago SIZE SIZE no ok 106 pages outside vault, offsite (INCOMPLETE) pinned: before the upgrade
    1 archive, SIZE on vault, SIZE on offsite
    ");
    insta::assert_snapshot!(scene.normalised(&listed.stderr), @"warning: offsite: XYZ/XYZ-20211122T235900Z.json: its archive is missing");
}

#[test]
fn archives_are_listed_for_programs() {
    let mut scene = Scene::new();
    scene.destination("offsite");
    scene.run(&["run"]).exits(0);
    let listed = scene.run(&["list", "--json"]).exits(0).json();
    let archive = &listed["archives"][0];
    assert_eq!(archive["id"], ID);
    assert_eq!(archive["destinations"], serde_json::json!(["vault", "offsite"]));
    assert_eq!(archive["within_change_tracking"], false);
    assert_eq!(archive["good"], true);
    assert_eq!(archive["bytes"], fs::metadata(scene.archive("vault")).unwrap().len());
}

#[test]
fn archive_that_a_destination_missed_is_missing_there() {
    let mut scene = Scene::new();
    scene.run(&["run"]).exits(0);
    scene.destination("offsite");
    scene.run(&["list"]).exits(0).says("vault (missing: offsite)");
    let listed = scene.run(&["list", "--json"]).exits(0).json();
    assert_eq!(listed["archives"][0]["missing_on"], serde_json::json!(["offsite"]));
    scene.run(&["list", "--since", "2021-11-23"]).exits(0).says("No archives since 2021-11-23 in ");
    scene.run(&["list", "--since", "yesterday"]).exits(2);
    scene.run(&["snapshots", "--last", "1"]).exits(0).says(ID);
}

#[test]
fn nothing_is_listed_as_nothing() {
    let scene = Scene::bare();
    scene.run(&["list"]).exits(0).says("No archives in ");
    let listed = scene.run(&["list", "--json"]).exits(0).json();
    assert_eq!(listed["archives"], serde_json::json!([]));
}

#[test]
fn destination_that_cannot_be_read_is_told_and_the_others_are_listed() {
    let mut scene = Scene::new();
    scene.run(&["run"]).exits(0);
    scene.destination("away");
    fs::remove_dir(scene.path("away")).unwrap();
    scene.run(&["list"]).exits(3).says("away is left out").says(ID);
    let listed = scene.run(&["list", "--json"]).exits(3).json();
    assert!(listed["destinations"][1]["error"].as_str().unwrap().contains("does not exist"), "{listed}");
    fs::remove_dir_all(scene.path("vault")).unwrap();
    scene.run(&["list"]).exits(1);
}

#[test]
fn folder_is_listed_without_any_configuration() {
    let scene = Scene::new();
    scene.run(&["run"]).exits(0);
    fs::remove_file(scene.config()).unwrap();
    let mut command = program();
    command.args(["list", "--destination"]).arg(scene.path("vault"));
    Output::of(command).exits(0).says(ID);
    let mut command = program();
    command.args(["fetch", "latest", "--destination", "./vault", "--to", "back"]).current_dir(scene.root());
    Output::of(command).exits(0);
    assert!(scene.path("back/XYZBackup/BackupDocument.xml").exists());
}

#[test]
fn site_that_is_asked_for_is_listed_alone() {
    let scene = Scene::new();
    scene.run(&["run"]).exits(0);
    scene.run(&["list", "--site", "ABC"]).exits(0).says("No archives of site ABC in ");
    scene.run(&["list", "--site", "xyz"]).exits(0).says(ID);
    scene.run(&["list", "--site", "four"]).exits(2);
}

#[test]
fn archive_is_shown() {
    let scene = Scene::new();
    scene.run(&["run"]).exits(0);
    insta::assert_snapshot!(scene.normalised(&scene.run(&["show", "latest"]).exits(0).stdout), @"
    Archive XYZ-20211122T235900Z
    Completed 2021-11-22 23:59:00+00:00 (by status message 5035 in smsbkup.log)
    Archived NOW on HOST by afterbackup VERSION
    Kind full
    Read from vault
    File XYZ-20211122T235900Z.tar.zst
    Size SIZE (SIZE bytes)
    Unpacked SIZE, 39 files
    SHA-256 SHA-256
    Databases ok 106 pages
    Snapshot TMP/E/XYZBackup (site)
    ");
    let shown = scene.run(&["show", ID, "--json"]).exits(0).json();
    assert_eq!(shown["manifest"]["id"], ID);
    assert_eq!(shown["manifest"]["files"], 39);
    assert!(shown.get("files").is_none());
}

#[test]
fn files_of_an_archive_are_shown() {
    let scene = Scene::new();
    scene.run(&["run"]).exits(0);
    let shown = scene.run(&["show", "latest", "--files", "**/*.ini"]).exits(0);
    insta::assert_snapshot!(scene.normalised(&shown.stdout), @"
    Size Modified (UTC) Path
    27 2021-11-22 23:39:00 XYZBackup/SiteServer/SMSServer/data/hman.ini
    ");
    let shown = scene.run(&["show", "latest", "--files", "--json"]).exits(0).json();
    let files = shown["files"].as_array().unwrap();
    assert_eq!(files.iter().filter(|file| file["folder"] != true).count(), 39);
    scene.run(&["show", "latest", "--files", "[z-a]"]).exits(2).says("is no pattern");
}

#[test]
fn archive_that_is_not_there_is_said() {
    let scene = Scene::new();
    scene.run(&["run"]).exits(0);
    for selector in ["latest~1", "XYZ-20200101T000000Z", "XYZ@2020-01-01", "ABC@2030-01-01"] {
        scene.run(&["show", selector]).exits(1).says("there is no archive").says("hint:");
    }
    scene.run(&["show", "XYZ@2021-11-22"]).exits(0).says(ID);
    scene.run(&["show", "newest"]).exits(2).says("names no archive");
}
