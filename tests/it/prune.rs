//! `prune`, `pin` and `unpin` on folders.

use std::fs;
use std::path::Path;

use jiff::SignedDuration;

use crate::harness::{COMPLETED, Scene, at, copy_tree, touch};

/// A scene with archives of so many days in a row, the first completed at [`COMPLETED`], and `last = 2`.
fn archives(days: i64) -> Scene {
    let mut scene = Scene::bare();
    scene.database();
    scene.file("SiteServer/x", b"x");
    scene.section("[retention]\nlast = 100");
    for day in 0..days {
        next(&scene, day);
    }
    policy(&mut scene, "last = 2");
    scene
}

fn next(scene: &Scene, day: i64) {
    scene.complete(&(at(COMPLETED) + SignedDuration::from_hours(24 * day)).to_string());
    scene.run(&["run"]).exits(0);
}

fn policy(scene: &mut Scene, keys: &str) {
    scene.sections = format!("[retention]\ntime-zone = 'UTC'\n{keys}\n");
    scene.configure();
}

/// The days of November that are left.
fn left(scene: &Scene, destination: &str) -> Vec<u32> {
    let held = scene.held(destination);
    let days: Vec<u32> = held
        .iter()
        .filter_map(|name| name.strip_prefix("XYZ-202111")?.strip_suffix("T235900Z.json")?.parse().ok())
        .collect();
    for day in &days {
        assert!(held.contains(&format!("XYZ-202111{day}T235900Z.tar.zst")), "{held:?}");
    }
    assert_eq!(held.iter().filter(|name| name.ends_with(".tar.zst")).count(), days.len(), "{held:?}");
    days
}

#[test]
fn dry_run_says_what_prune_would_do_and_does_nothing() {
    let scene = archives(4);
    let planned = scene.run(&["prune", "--dry-run"]).exits(0);
    insta::assert_snapshot!(scene.normalised(&planned.stdout), @"
    vault:
    ID Time Size Action Reasons
    ---
    XYZ-20211122T235900Z 2021-11-22 23:59:00 SIZE remove no rule keeps it: not among the last 2
    XYZ-20211123T235900Z 2021-11-23 23:59:00 SIZE remove no rule keeps it: not among the last 2
    XYZ-20211124T235900Z 2021-11-24 23:59:00 SIZE keep last archive (2 of 2)
    XYZ-20211125T235900Z 2021-11-25 23:59:00 SIZE keep newest good
    last archive (1 of 2)
    ---
    time zone: UTC
    keeps 2 archives, SIZE; removes 2 archives, SIZE
    Dry run: nothing was removed.
    ");
    assert_eq!(left(&scene, "vault"), [22, 23, 24, 25]);
    let json = scene.run(&["prune", "--dry-run", "--json"]).exits(0).json();
    assert_eq!(json["dry_run"], true);
    let decisions = json["destinations"][0]["plan"]["archives"].as_array().unwrap();
    assert_eq!(decisions.len(), 4);
}

#[test]
fn prune_removes_what_the_policy_does_not_keep() {
    let scene = archives(5);
    scene.run(&["prune"]).exits(0);
    assert_eq!(left(&scene, "vault"), [25, 26]);
    let json = scene.run(&["prune", "--json"]).exits(0).json();
    assert_eq!(json["destinations"][0]["removed"], serde_json::json!([]));
    scene.run(&["verify"]).exits(0);
}

#[test]
fn run_prunes_when_it_has_archived() {
    let scene = archives(3);
    scene.complete(&(at(COMPLETED) + SignedDuration::from_hours(72)).to_string());
    scene.run(&["run"]).exits(0).says("Removed 2 archives from vault");
    assert_eq!(left(&scene, "vault"), [24, 25]);
}

#[test]
fn pinned_archive_stays_until_it_is_unpinned() {
    let scene = archives(4);
    scene.run(&["pin", "XYZ@2021-11-22", "--reason", "before the upgrade to 2503"]).exits(0).says("Pinned");
    // The reason stays until there is another.
    scene.run(&["pin", "XYZ@2021-11-22"]).exits(0).says("was already pinned on vault: before the upgrade to 2503");
    scene
        .run(&["pin", "XYZ@2021-11-22", "--reason", "for the auditors"])
        .exits(0)
        .says("Pinned")
        .says("for the auditors");
    scene.run(&["show", "XYZ@2021-11-22"]).exits(0).says("for the auditors").says_not("2503");
    scene.run(&["list"]).exits(0).says("pinned");
    scene.run(&["list", "--wide"]).exits(0).says("for the auditors");
    scene.run(&["prune", "--dry-run"]).exits(0).says("for the auditors");
    scene.run(&["prune"]).exits(0);
    assert_eq!(left(&scene, "vault"), [22, 24, 25]);
    scene.run(&["unpin", "XYZ@2021-11-22"]).exits(0).says("Unpinned");
    scene.run(&["prune"]).exits(0);
    assert_eq!(left(&scene, "vault"), [24, 25]);
    assert_eq!(scene.held("vault").len(), 4, "the pin went with its archive's");
    scene.run(&["pin", "XYZ@2021-11-22"]).exits(1).says("there is no archive");
}

#[test]
fn pin_that_cannot_be_read_counts() {
    let scene = archives(4);
    fs::write(scene.path("vault/XYZ/XYZ-20211122T235900Z.pin"), "not JSON").unwrap();
    scene.run(&["prune"]).exits(0);
    assert_eq!(left(&scene, "vault"), [22, 24, 25]);
}

#[test]
fn archive_that_another_destination_has_missed_is_kept_for_it() {
    let mut scene = archives(4);
    scene.destination("second");
    copy_tree(&scene.path("vault"), &scene.path("second"));
    // It missed the newest two.
    for day in [24, 25] {
        fs::remove_file(scene.path(&format!("second/XYZ/XYZ-202111{day}T235900Z.json"))).unwrap();
        fs::remove_file(scene.path(&format!("second/XYZ/XYZ-202111{day}T235900Z.tar.zst"))).unwrap();
    }
    policy(&mut scene, "last = 1");
    scene.destinations = vec!["vault".to_owned(), "second\nretention = { last = 2 }".to_owned()];
    scene.configure();
    scene.run(&["prune"]).exits(0);
    assert_eq!(left(&scene, "vault"), [24, 25], "24 is wanted by the second");
    assert_eq!(left(&scene, "second"), [22, 23]);
}

#[test]
fn nothing_is_removed_for_a_destination_that_is_away() {
    let mut scene = archives(4);
    scene.destination("away\nretention = { last = 3 }");
    fs::remove_dir(scene.path("away")).unwrap();
    scene.run(&["prune"]).exits(3).says("away");
    assert_eq!(left(&scene, "vault"), [23, 24, 25], "what the other would keep is kept for it");
}

#[test]
fn destination_that_missed_the_push_is_not_pruned() {
    let mut scene = archives(3);
    scene.destination("second");
    copy_tree(&scene.path("vault"), &scene.path("second"));
    // The name of the next archive is taken by a folder there.
    fs::create_dir(scene.path("second/XYZ/XYZ-20211125T235900Z.tar.zst")).unwrap();
    policy(&mut scene, "last = 1");
    scene.complete(&(at(COMPLETED) + SignedDuration::from_hours(72)).to_string());
    scene.run(&["run"]).exits(3).says("is not on second");
    assert_eq!(scene.manifests("second"), 3);
}

#[test]
fn leftovers_are_swept_when_they_are_old() {
    let scene = archives(1);
    let folder = scene.path("vault/XYZ");
    let old = at("2021-01-01T00:00:00Z");
    let ours = [".XYZ-20210101T000000Z.tar.zst.partial-12", ".XYZ-20210101T000000Z.json.partial-12-1"];
    let orphan = "XYZ-20210102T000000Z.tar.zst";
    let foreign = [".XYZ-20210101T000000Z.tar.zst.partial-12.bak", "XYZ-20210102T000000Z.tar.zst.bak", ".partial-12"];
    for name in ours.iter().chain([&orphan]).chain(&foreign) {
        fs::write(folder.join(name), "left").unwrap();
        touch(&folder.join(name), old);
    }
    // Somebody may be at work on these.
    let young = [".XYZ-20210103T000000Z.tar.zst.partial-13", "XYZ-20210104T000000Z.tar.zst"];
    for name in young {
        fs::write(folder.join(name), "left").unwrap();
    }
    let there = |name: &str| Path::new(&folder).join(name).exists();
    let dry = scene.run(&["prune", "--dry-run"]).exits(0).says("Would also remove 2 leftovers");
    assert!(ours.iter().all(|name| dry.stdout.contains(name)), "{dry}");
    assert!(there(ours[0]) && there(orphan));
    let json = scene.run(&["prune", "--json"]).exits(0).json();
    assert_eq!(json["destinations"][0]["swept"].as_array().unwrap().len(), 2, "{json}");
    assert!(!there(ours[0]) && !there(ours[1]));
    assert!(there(orphan), "it may be whole, and have lost its manifest");
    scene.run(&["list"]).exits(3).says(orphan).says("archive without manifest");
    for name in foreign.iter().chain(&young) {
        assert!(there(name), "{name}");
    }
}

#[test]
fn plan_that_would_remove_too_much_is_refused() {
    let mut scene = archives(5);
    policy(&mut scene, "last = 1\nmax-remove = 3");
    scene.run(&["prune"]).exits(3).says("max-remove");
    assert_eq!(left(&scene, "vault").len(), 5);
    policy(&mut scene, "last = 2\nmax-remove = 3");
    scene.run(&["prune"]).exits(0);
    assert_eq!(left(&scene, "vault").len(), 2);
}

#[test]
fn policy_that_keeps_nothing_is_a_fault_of_the_configuration() {
    let mut scene = archives(1);
    policy(&mut scene, "min-archives = 5");
    scene.run(&["prune"]).exits(2);
    scene.run(&["run"]).exits(2);
    assert_eq!(left(&scene, "vault").len(), 1);
}

#[test]
fn archive_whose_file_is_missing_does_not_push_out_a_good_one() {
    let mut scene = archives(3);
    policy(&mut scene, "last = 1");
    fs::remove_file(scene.path("vault/XYZ/XYZ-20211124T235900Z.tar.zst")).unwrap();
    scene.run(&["prune"]).exits(0);
    assert!(scene.path("vault/XYZ/XYZ-20211123T235900Z.json").exists(), "{:?}", scene.held("vault"));
    assert!(scene.path("vault/XYZ/XYZ-20211123T235900Z.tar.zst").exists());
}

#[test]
fn only_the_named_destination_and_site_are_pruned() {
    let mut scene = archives(3);
    scene.destination("second");
    copy_tree(&scene.path("vault"), &scene.path("second"));
    policy(&mut scene, "last = 1");
    scene.run(&["prune", "--site", "ABC"]).exits(0);
    scene.run(&["prune", "--destination", "second"]).exits(0);
    assert_eq!(left(&scene, "vault").len(), 3);
    assert_eq!(left(&scene, "second").len(), 1);
    scene.run(&["prune", "--destination", "third"]).exits(2).says("there is no destination 'third'");
}

#[test]
fn prune_looks_after_the_sites_of_its_configuration() {
    let mut scene = archives(2);
    policy(&mut scene, "last = 1");
    let of = |site: &str| {
        let names = fs::read_dir(scene.path("vault").join(site)).unwrap();
        names.filter(|name| name.as_ref().unwrap().file_name().to_string_lossy().ends_with(".json")).count()
    };
    // Another server's site on the same destination.
    fs::create_dir(scene.path("vault/ABC")).unwrap();
    for name in scene.held("vault") {
        let there = scene.path("vault/ABC").join(name.replace("XYZ", "ABC"));
        fs::copy(scene.path("vault/XYZ").join(&name), &there).unwrap();
        if name.rsplit('.').next() == Some("json") {
            fs::write(&there, fs::read_to_string(&there).unwrap().replace("XYZ", "ABC")).unwrap();
        }
    }
    scene.run(&["prune"]).exits(0).says("Removed 1 archive").says_not("ABC");
    assert_eq!((of("XYZ"), of("ABC")), (1, 2));
    scene.run(&["prune", "--site", "ABC", "--dry-run"]).exits(0).says("ABC").says("nothing was removed");
    scene.run(&["prune", "--all-sites"]).exits(0);
    assert_eq!((of("XYZ"), of("ABC")), (1, 1));
}

#[test]
fn destination_to_prune_may_be_named_by_its_folder() {
    let mut scene = archives(2);
    policy(&mut scene, "last = 1");
    let folder = scene.path("vault").display().to_string();
    scene.run(&["prune", "--destination", &folder]).exits(0).says("Removed 1 archive");
    scene.run(&["prune", "--destination", "elsewhere"]).exits(2).says("there is no destination");
}
