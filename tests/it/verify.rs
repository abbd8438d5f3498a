//! `verify`.

use std::fs;

use crate::harness::{COMPLETED, ID, Scene, at};

#[test]
fn sound_archives_are_said_to_be_so_on_every_destination() {
    let mut scene = Scene::new();
    scene.destination("second");
    scene.run(&["run"]).exits(0);
    let output = scene.run(&["verify"]).exits(0);
    insta::assert_snapshot!(scene.normalised(&output.stdout), @"
    XYZ-20211122T235900Z on vault: ok (39 files, SIZE)
    XYZ-20211122T235900Z on second: ok (39 files, SIZE)
    ");
    scene.run(&["verify", "--destination", "second"]).exits(0).says("on second").says_not("on vault");
}

#[test]
fn report_is_for_programs_too() {
    let scene = Scene::new();
    scene.run(&["run"]).exits(0);
    let report = scene.run(&["verify", "latest", "--json"]).exits(0).json();
    let one = &report["archives"][0];
    assert_eq!((&one["archive"], &one["damages"], &one["files"]), (&ID.into(), &0.into(), &39.into()));
    assert!(one["read_bytes"].as_u64().unwrap() >= fs::metadata(scene.archive("vault")).unwrap().len());
}

#[test]
fn sample_is_a_part() {
    let scene = Scene::new();
    scene.run(&["run"]).exits(0);
    let report = scene.run(&["verify", "--sample", "1%", "--json"]).exits(0).json();
    let read = report["archives"][0]["read_bytes"].as_u64().unwrap();
    assert!(read < fs::metadata(scene.archive("vault")).unwrap().len(), "{read}");
    scene.run(&["verify", "--sample", "100%"]).exits(0).says("ok (a sample");
    for share in ["0%", "101%", "-1%", "half"] {
        scene.run(&["verify", &format!("--sample={share}")]).exits(2);
    }
}

#[test]
fn nothing_to_verify_is_said() {
    let scene = Scene::bare();
    scene.run(&["verify"]).exits(0).says("No archives.");
    scene.run(&["verify", "latest"]).exits(1).says("there is no archive");
}

#[test]
fn destination_that_is_away_is_told() {
    let mut scene = Scene::new();
    scene.run(&["run"]).exits(0);
    scene.destination("away");
    fs::remove_dir(scene.path("away")).unwrap();
    scene.run(&["verify"]).exits(3).says("away is left out").says("on vault: ok");
}

#[test]
fn one_damaged_archive_does_not_keep_the_others_from_being_verified() {
    let scene = Scene::new();
    scene.run(&["run"]).exits(0);
    scene.complete(&(at(COMPLETED) + jiff::SignedDuration::from_hours(24)).to_string());
    scene.run(&["run"]).exits(0);
    fs::write(scene.archive("vault"), "not an archive any more").unwrap();
    let output = scene.run(&["verify"]).exits(6).says("DAMAGED");
    assert!(output.stdout.contains("XYZ-20211123T235900Z on vault: ok"), "{output}");
}
