//! Nights as an administrator sees them: what a run writes, what the commands say of it, and what a broken chain costs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use afterbackup::archive::manifest::Manifest;
use jiff::SignedDuration;

use crate::harness::{COMPLETED, Node, Scene, assert_part_of, at, noise, tree};

/// A site whose nights are archived as what differs.
pub(crate) fn scene() -> Scene {
    let mut scene = Scene::new();
    scene.section("[differential]\nfull-every = '20 days'\nweekly-every = '3 days'");
    scene.section("[retention]\nlast = 3");
    scene
}

/// The id of a night's archive.
pub(crate) fn id(night: i64) -> String {
    format!("XYZ-202111{:02}T235900Z", 22 + night)
}

/// What the backup task leaves in a night: a large file of which little changes, and a small one.
pub(crate) fn snapshot(scene: &Scene, night: i64) {
    let mut bytes = noise(7, 300_000);
    for at in (0..bytes.len()).step_by(30_000) {
        bytes[at] ^= u8::try_from(night).unwrap() + 1;
    }
    scene.file("SiteServer/large.bin", &bytes);
    scene.file("SiteServer/night.txt", format!("night {night}").as_bytes());
    scene.complete(&(at(COMPLETED) + SignedDuration::from_hours(24 * night)).to_string());
}

/// Runs so many nights, and keeps what each snapshot was.
fn nights(scene: &Scene, nights: std::ops::Range<i64>) -> Vec<BTreeMap<String, Node>> {
    nights
        .map(|night| {
            snapshot(scene, night);
            scene.run(&["run"]).exits(0);
            tree(&scene.snapshot())
        })
        .collect()
}

fn manifest(scene: &Scene, destination: &str, night: i64) -> Manifest {
    let name = format!("{}.json", id(night));
    Manifest::parse(&name, &fs::read(scene.path(destination).join("XYZ").join(&name)).unwrap()).unwrap()
}

/// The archive files of a destination, without what all names have.
fn files(scene: &Scene, destination: &str) -> Vec<String> {
    let held = scene.held(destination);
    let name = |name: &String| name.strip_prefix("XYZ-202111").map(|name| name.replace("T235900Z", ""));
    held.iter()
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "zst"))
        .filter_map(name)
        .collect()
}

#[test]
fn nights_are_full_weekly_and_nightly_and_all_come_back() {
    let scene = scene();
    let copies = nights(&scene, 0..5);
    let kinds: Vec<String> = (0..5)
        .filter(|&night| scene.held("vault").contains(&format!("{}.json", id(night))))
        .map(|night| format!("{night} {}", manifest(&scene, "vault", night).level().word()))
        .collect();
    // The night on the full archive alone went; those that the last three build on stay.
    assert_eq!(kinds, ["0 full", "2 nightly", "3 weekly", "4 nightly"]);
    assert_eq!(files(&scene, "vault"), ["22.tar.zst", "24.diff.tar.zst", "25.diff.tar.zst", "26.diff.tar.zst"]);
    let full = manifest(&scene, "vault", 0);
    assert_eq!(full.full_because.as_deref(), Some("there is no full archive to build on"));
    for night in [0, 2, 3, 4] {
        let to = scene.path(&format!("back {night}"));
        scene.run(&["fetch", &id(night), "--to", &to.to_string_lossy()]).exits(0);
        let copy = &copies[usize::try_from(night).unwrap()];
        assert_part_of(&to.join("XYZBackup"), copy);
        assert_eq!(tree(&to.join("XYZBackup")).len(), copy.len());
        let manifest = manifest(&scene, "vault", night);
        assert_eq!(manifest.fingerprint.len(), 64);
        assert_eq!(manifest.files, full.files, "{night}");
        assert!(night == 0 || manifest.bytes * 10 < full.bytes, "{} of {}", manifest.bytes, full.bytes);
    }
    scene.run(&["verify"]).exits(0).says("files build on other archives, which --deep compares, too");
    scene.run(&["verify", "--deep"]).exits(0).says_not("build on other");
    scene.run(&["list"]).exits(0).says("weekly");
    scene.run(&["list", "--wide"]).exits(0).says(&format!("{}, {}", id(0), id(3)));
    scene.run(&["show", "latest"]).exits(0).says(&format!(
        "nightly: what differs from {}; to restore it, {} and {} are needed, too",
        id(3),
        id(0),
        id(3)
    ));
    let shown = scene.run(&["show", &id(0)]).exits(0);
    shown.says("full, because there is no full archive to build on");
    scene.run(&["show", "latest", "--files", "**/large.bin"]).exits(0).says("300000");
    let planned = scene.run(&["prune", "--dry-run"]).exits(0);
    planned.says(&format!("base of 3 archives, the newest {}", id(4)));
    let raw = scene.path("raw");
    scene.run(&["fetch", "latest", "--raw", "--to", &raw.to_string_lossy()]).exits(0).says(&format!(
        "{} cannot be read without {}",
        id(4),
        id(0)
    ));
    scene.run(&["status"]).exits(7).says_not("DAMAGED");
    // Asked for, the next one is a full archive.
    snapshot(&scene, 5);
    scene.run(&["run", "--full"]).exits(0);
    assert_eq!(manifest(&scene, "vault", 5).chain(), []);
}

#[test]
fn previous_night_makes_chains_and_max_share_ends_them() {
    let mut scene = Scene::new();
    scene.section("[differential]\nnightly-on = 'previous'\nmax-share = '50%'\n[retention]\nlast = 2");
    nights(&scene, 0..4);
    assert_eq!(manifest(&scene, "vault", 3).chain().len(), 3);
    assert_eq!(scene.manifests("vault"), 4, "{:?}", scene.held("vault"));
    // Everything is new: that night is large, and the next a full one.
    scene.file("SiteServer/other.bin", &noise(99, 3_000_000));
    nights(&scene, 4..6);
    assert_eq!(manifest(&scene, "vault", 4).chain().len(), 4);
    let because = manifest(&scene, "vault", 5).full_because.unwrap();
    assert!(because.contains("max-share is 50 %"), "{because}");
}

#[test]
fn destination_without_the_base_gets_a_full_archive_and_so_does_the_other() {
    let mut scene = scene();
    nights(&scene, 0..2);
    scene.destination("offsite");
    nights(&scene, 2..4);
    let because = manifest(&scene, "vault", 2).full_because.unwrap();
    assert_eq!(because, format!("offsite does not have {} with all that it needs", id(0)));
    assert_eq!(files(&scene, "offsite"), ["24.tar.zst", "25.diff.tar.zst"]);
    assert_eq!(manifest(&scene, "offsite", 3).chain(), manifest(&scene, "vault", 3).chain());
}

#[test]
fn base_that_cannot_be_read_makes_the_night_a_full_archive() {
    let scene = scene();
    nights(&scene, 0..1);
    let base = scene.path("vault/XYZ").join(format!("{}.tar.zst", id(0)));
    let mut bytes = fs::read(&base).unwrap();
    // In the large file; its place and its time are the same as before.
    let middle = bytes.len() / 2;
    bytes[middle..middle + 2000].fill(0);
    fs::write(&base, &bytes).unwrap();
    snapshot(&scene, 1);
    let said = scene.run(&["run"]).exits(3);
    said.says("is made a full archive: the archive to build on cannot be read").says("is damaged");
    assert_eq!(files(&scene, "vault"), ["22.tar.zst", "23.tar.zst"]);
    scene.run(&["verify", "latest"]).exits(0);
    scene.run(&["verify", &id(0)]).exits(6);
}

#[test]
fn nothing_builds_on_what_verify_found_damaged() {
    let scene = scene();
    nights(&scene, 0..2);
    let base = scene.path("vault/XYZ").join(format!("{}.tar.zst", id(0)));
    let sound = fs::read(&base).unwrap();
    let mut bytes = sound.clone();
    // In the first file: nothing of it would be read by the next night.
    bytes[20] ^= 1;
    fs::write(&base, &bytes).unwrap();
    scene.run(&["verify"]).exits(6);
    nights(&scene, 2..3);
    let because = manifest(&scene, "vault", 2).full_because.unwrap();
    assert_eq!(because, format!("verify found {} damaged on vault", id(0)));
    nights(&scene, 3..4);
    assert_eq!(manifest(&scene, "vault", 3).chain()[0].to_string(), id(2));
}

#[test]
fn archive_whose_base_was_deleted_is_told_by_everything_and_made_again() {
    let scene = scene();
    nights(&scene, 0..2);
    for name in [format!("{}.tar.zst", id(0)), format!("{}.json", id(0))] {
        fs::remove_file(scene.path("vault/XYZ").join(name)).unwrap();
    }
    let listed = scene.run(&["list"]).exits(3);
    listed.says(&format!("it builds on {}, which is not there as a whole", id(0))).says("INCOMPLETE");
    scene.run(&["verify", "latest"]).exits(6).says(&id(0));
    scene.run(&["status"]).exits(7).says(&id(0));
    let to = scene.path("back");
    let fetched = scene.run(&["fetch", &id(1), "--to", &to.to_string_lossy()]).exits(6);
    fetched.says("builds on an archive that is lost");
    assert_eq!(fs::read_to_string(to.join("XYZBackup/SiteServer/night.txt")).unwrap(), "night 1");
    assert!(!to.join("XYZBackup/SiteServer/large.bin").exists());
    // The snapshot is still there: the next run makes it anew.
    scene.run(&["run"]).exits(0).says("it is archived again");
    scene.run(&["verify", "latest", "--deep"]).exits(0);
    let again = scene.path("again");
    scene.run(&["fetch", &id(1), "--to", &again.to_string_lossy()]).exits(0);
    assert_eq!(tree(&again.join("XYZBackup")).len(), tree(&scene.snapshot()).len());
}

#[test]
fn encrypted_archives_are_full_and_the_configuration_is_warned_of() {
    let mut scene = scene();
    let key = age::x25519::Identity::generate();
    scene.section(&format!("[archive]\nrecipients = ['{}']", key.to_public()));
    snapshot(&scene, 0);
    scene.run(&["run"]).exits(0).says("[differential] has no effect");
    snapshot(&scene, 1);
    scene.run(&["run"]).exits(0);
    let because = manifest(&scene, "vault", 1).full_because.unwrap();
    assert!(because.contains("is encrypted"), "{because}");
}
