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

/// A scene whose archives are encrypted, with the secret key in the file `key`.
fn encrypted() -> Scene {
    use age::secrecy::ExposeSecret as _;
    let mut scene = Scene::new();
    let key = age::x25519::Identity::generate();
    fs::write(scene.path("key"), key.to_string().expose_secret()).unwrap();
    scene.section(&format!("[archive]\nrecipients = ['{}']\n[report]\noverdue = '100 years'", key.to_public()));
    scene
}

#[test]
fn without_the_key_the_stored_bytes_are_compared() {
    let mut scene = encrypted();
    scene.destination("second");
    scene.run(&["run"]).exits(0);
    let stored = scene.path(&format!("vault/XYZ/{ID}.tar.zst.age"));
    scene.run(&["verify"]).exits(0).says("on vault: ok as stored").says("contents not checked");
    assert_eq!(scene.run(&["verify", "--json"]).exits(0).json()["archives"][0]["as_stored"], true);
    scene.run(&["verify", "--identity", "key"]).exits(0).says("on vault: ok (39 files");
    let mut bytes = fs::read(&stored).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&stored, &bytes).unwrap();
    let output = scene.run(&["verify"]).exits(6).says("on vault: DAMAGED").says("second has a sound copy");
    assert!(output.stderr.contains(&format!("afterbackup fetch {ID} -d second")), "{output}");
    fs::write(&stored, "short").unwrap();
    scene.run(&["verify"]).exits(6).says("on vault: DAMAGED");
    fs::remove_file(&stored).unwrap();
    scene.run(&["verify"]).exits(6).says("the archive file is missing");
}

#[test]
fn status_remembers_damage_until_the_archive_is_found_sound() {
    let mut scene = Scene::new();
    scene.section("[report]\noverdue = '100 years'");
    scene.run(&["run"]).exits(0);
    scene.run(&["verify"]).exits(0);
    scene.run(&["status"]).exits(0).says("Last verify");
    let sound = fs::read(scene.archive("vault")).unwrap();
    let mut bytes = sound.clone();
    bytes[2000] ^= 1;
    fs::write(scene.archive("vault"), &bytes).unwrap();
    scene.run(&["status"]).exits(0);
    scene.run(&["verify"]).exits(6);
    scene.run(&["status"]).exits(6).says(&format!("DAMAGED: verify found damage in {ID} on vault"));
    scene.run(&["status", "--nagios"]).exits(2).says("verify found damage");
    fs::write(scene.archive("vault"), &sound).unwrap();
    scene.run(&["verify"]).exits(0);
    scene.run(&["status"]).exits(0);
}
