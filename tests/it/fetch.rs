//! `fetch`: what comes back is what was archived, or nothing.

use std::fs;

use afterbackup::archive::manifest::Manifest;
use age::secrecy::ExposeSecret;

use crate::harness::{COMPLETED, ID, Scene, assert_part_of_tree, assert_same_tree, names, read_only, tree};

fn archived() -> Scene {
    let scene = Scene::new();
    scene.run(&["run"]).exits(0);
    scene
}

#[test]
fn whole_archive_comes_back_byte_for_byte_with_times() {
    let scene = archived();
    let output = scene.run(&["fetch", "latest", "--to", "back"]).exits(0);
    assert!(output.stdout.starts_with("Fetched 39 files, "), "{output}");
    assert_same_tree(&scene.path("back/XYZBackup"), &scene.snapshot());
    assert_eq!(names(&scene.path("back")), ["XYZBackup"]);
}

#[test]
fn report_for_programs_counts_what_was_fetched() {
    let scene = archived();
    let report = scene.run(&["fetch", ID, "--to", "back", "--json"]).exits(0).json();
    assert_eq!(report["archive"], ID);
    assert_eq!(report["files"], 39);
    assert_eq!(report["damaged"], serde_json::json!([]));
    let report = scene.run(&["fetch", ID, "--to", "back", "--json"]).exits(0).json();
    assert_eq!((&report["files"], &report["already_there"]), (&0.into(), &39.into()));
}

#[test]
fn files_come_back_by_pattern() {
    let scene = archived();
    for (pattern, expected) in [
        ("**/*.mdf", 1),
        ("XYZBackup/SiteDBServer", 2),
        ("xyzbackup\\sitedbserver\\", 2),
        ("XYZBackup/SiteServer/SMSServer/Logs/log?.log", 10),
        ("**/hman.ini", 1),
        ("**/\u{fc}berraschung*", 1),
    ] {
        let back = scene.path("back");
        scene.run(&["fetch", "latest", "--to", "back", pattern]).exits(0);
        assert_eq!(assert_part_of_tree(&back.join("XYZBackup"), &scene.snapshot()), expected, "{pattern}");
        fs::remove_dir_all(back).unwrap();
    }
    scene.run(&["fetch", "latest", "--to", "back", "**/*.mdf", "**/*.ini"]).exits(0);
    assert_eq!(assert_part_of_tree(&scene.path("back/XYZBackup"), &scene.snapshot()), 2);
}

#[test]
fn empty_folder_comes_back_by_name() {
    let scene = archived();
    scene.run(&["fetch", "latest", "--to", "back", "**/empty folder"]).exits(0);
    assert!(scene.path("back/XYZBackup/SiteServer/SMSServer/inboxes/empty folder/deeper").is_dir());
    assert_eq!(assert_part_of_tree(&scene.path("back/XYZBackup"), &scene.snapshot()), 0);
}

#[test]
fn pattern_that_matches_nothing_is_a_failure() {
    let scene = archived();
    scene.run(&["fetch", "latest", "--to", "back", "*.none"]).exits(1).says("no file of the archive matches");
    assert!(!scene.path("back").exists());
}

#[test]
fn raw_archive_is_the_stored_one() {
    let scene = archived();
    scene.run(&["fetch", "latest", "--to", "back", "--raw"]).exits(0);
    let stored = fs::read(scene.archive("vault")).unwrap();
    assert!(fs::read(scene.path(&format!("back/{ID}.tar.zst"))).unwrap() == stored);
    let manifest = Manifest::parse(&format!("{ID}.json"), &fs::read(scene.path(&format!("back/{ID}.json"))).unwrap());
    assert_eq!(manifest.unwrap().id.to_string(), ID);
    scene.run(&["fetch", "latest", "--to", "back", "--raw"]).exits(0).says("is the same");
    let manifest = scene.path("back").join(format!("{ID}.json"));
    assert_eq!(fs::read(&manifest).unwrap(), fs::read(scene.manifest("vault")).unwrap());
    // Interrupted before the manifest, or in the middle of the archive.
    fs::remove_file(&manifest).unwrap();
    fs::write(scene.path("back").join(format!(".{ID}.tar.zst.partial-4711")), "half").unwrap();
    scene.run(&["fetch", "latest", "--to", "back", "--raw"]).exits(0);
    assert_eq!(fs::read(&manifest).unwrap(), fs::read(scene.manifest("vault")).unwrap());
    assert_eq!(crate::harness::names(&scene.path("back")).len(), 2);
    fs::write(&manifest, "another").unwrap();
    scene.run(&["fetch", "latest", "--to", "back", "--raw"]).exits(1).says("is already there, and another file");
    fs::remove_file(&manifest).unwrap();
    scene.run(&["fetch", "latest", "--to", "back", "--raw", "**"]).exits(2);
}

#[test]
fn raw_archive_and_its_manifest_can_be_used_as_a_destination() {
    let scene = archived();
    scene.run(&["fetch", "latest", "--to", "copy/XYZ", "--raw"]).exits(0);
    scene.run(&["verify", "--destination", "./copy"]).exits(0).says("39 files");
}

#[test]
fn files_that_differ_are_not_replaced_unless_forced() {
    let scene = archived();
    let fetch = ["fetch", "latest", "--to", "back"];
    scene.run(&fetch).exits(0);
    let changed = scene.path("back/XYZBackup/SiteServer/SMSServer/data/hman.ini");
    fs::write(&changed, "mine").unwrap();
    let gone = scene.path("back/XYZBackup/BackupDocument.xml");
    fs::remove_file(&gone).unwrap();
    scene.run(&fetch).exits(1).says("hman.ini").says("--force");
    assert_eq!(fs::read(&changed).unwrap(), b"mine");
    assert!(!gone.exists(), "before anything is written");
    scene.run(&["fetch", "latest", "--to", "back", "--force"]).exits(0);
    assert_same_tree(&scene.path("back/XYZBackup"), &scene.snapshot());
}

#[test]
fn read_only_file_is_replaced_when_forced() {
    let scene = archived();
    let place = scene.path("back/XYZBackup/CD.Latest/skpswi.dat");
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(&place, "other").unwrap();
    read_only(&place, true);
    scene.run(&["fetch", "latest", "--to", "back", "--force"]).exits(0);
    assert_same_tree(&scene.path("back/XYZBackup"), &scene.snapshot());
}

#[test]
fn folder_in_place_of_a_file_is_never_replaced() {
    let scene = archived();
    fs::create_dir_all(scene.path("back/XYZBackup/BackupDocument.xml")).unwrap();
    scene.run(&["fetch", "latest", "--to", "back", "--force"]).exits(1).says("BackupDocument.xml");
    assert!(scene.path("back/XYZBackup/BackupDocument.xml").is_dir());
}

#[cfg(unix)]
#[test]
fn links_in_the_target_do_not_lead_out_of_it() {
    let scene = archived();
    fs::create_dir_all(scene.path("elsewhere")).unwrap();
    fs::create_dir_all(scene.path("back/XYZBackup")).unwrap();
    std::os::unix::fs::symlink(scene.path("elsewhere"), scene.path("back/XYZBackup/SiteServer")).unwrap();
    scene.run(&["fetch", "latest", "--to", "back", "--force"]).exits(1).says("SiteServer");
    assert!(names(&scene.path("elsewhere")).is_empty());
}

#[cfg(unix)]
#[test]
fn pipes_and_links_under_names_that_a_fetch_uses_hold_up_nothing_and_lead_nowhere() {
    use std::os::unix::fs::symlink;

    let scene = archived();
    let back = scene.path("back");
    fs::create_dir_all(&back).unwrap();
    fs::write(scene.path("precious"), "precious").unwrap();
    let pipe = |name: &str| {
        let made = std::process::Command::new("mkfifo").arg(back.join(name)).status().unwrap();
        assert!(made.success());
    };
    pipe(".afterbackup-fetch-1");
    pipe(&format!(".{ID}.tar.zst.partial-1"));
    symlink(scene.path("precious"), back.join(".afterbackup-fetch-2")).unwrap();
    scene.run(&["fetch", "latest", "--to", "back"]).exits(0);
    scene.run(&["fetch", "latest", "--to", "back", "--raw"]).exits(0);
    for name in [format!("{ID}.json"), format!("{ID}.tar.zst")] {
        fs::remove_file(back.join(&name)).unwrap();
        pipe(&name);
        scene.run(&["fetch", "latest", "--to", "back", "--raw"]).exits(1).says(&name);
        fs::remove_file(back.join(&name)).unwrap();
    }
    assert_eq!(fs::read(scene.path("precious")).unwrap(), b"precious");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs root, to mount a file system: deploy/test.sh tests"]
fn mounted_disk_that_is_too_small_is_said_before_anything_is_written() {
    use crate::harness::Mount;
    let scene = archived();
    fs::create_dir(scene.path("small")).unwrap();
    let _mount = Mount::tmpfs(&scene.path("small"), "size=1m");
    scene.run(&["fetch", "latest", "--to", "small"]).exits(1).says("small");
    assert!(names(&scene.path("small")).is_empty());
}

#[test]
fn fetch_takes_the_destination_that_has_the_whole_archive() {
    let mut scene = Scene::new();
    scene.destination("second");
    scene.run(&["run"]).exits(0);
    fs::remove_file(scene.archive("vault")).unwrap();
    let report = scene.run(&["fetch", "latest", "--to", "back", "--json"]).exits(0).json();
    assert_eq!(report["destination"], "second");
    assert_same_tree(&scene.path("back/XYZBackup"), &scene.snapshot());
}

// Encrypted.

struct Secrets {
    scene: Scene,
    keys: Vec<age::x25519::Identity>,
}

fn encrypted() -> Secrets {
    let keys: Vec<_> = (0..3).map(|_| age::x25519::Identity::generate()).collect();
    let mut scene = Scene::new();
    // The third is somebody else's.
    scene.section(&format!("[archive]\nrecipients = ['{}', '{}']", keys[0].to_public(), keys[1].to_public()));
    for (number, key) in keys.iter().enumerate() {
        let text =
            format!("# created: today\n# public key: {}\n{}\n", key.to_public(), key.to_string().expose_secret());
        fs::write(scene.path(&format!("key{number}")), text).unwrap();
    }
    scene.run(&["run"]).exits(0);
    Secrets { scene, keys }
}

#[test]
fn encrypted_archive_comes_back_with_any_of_its_keys() {
    let Secrets { scene, keys } = encrypted();
    let stored = scene.path(&format!("vault/XYZ/{ID}.tar.zst.age"));
    assert!(fs::read(&stored).unwrap().starts_with(b"age-encryption.org/v1\n"));
    let shown = scene.run(&["show", "latest", "--json"]).exits(0).json();
    assert_eq!(shown["manifest"]["encryption"]["recipients"][0], keys[0].to_public().to_string());
    for key in ["key0", "key1"] {
        let to = format!("back-{key}");
        scene.run(&["fetch", "latest", "--to", &to, "--identity", key]).exits(0);
        assert_same_tree(&scene.path(&to).join("XYZBackup"), &scene.snapshot());
        scene.run(&["verify", "--identity", key]).exits(0).says("ok");
    }
    scene.run(&["fetch", "latest", "--to", "one", "--identity", "key0", "**/hman.ini"]).exits(0);
    assert_eq!(tree(&scene.path("one")).len(), 5);
    assert_part_of_tree(&scene.path("one/XYZBackup"), &scene.snapshot());
    scene.run(&["show", "latest", "--files", "**/hman.ini", "--identity", "key1"]).exits(0).says("hman.ini");
}

#[test]
fn wrong_or_missing_key_is_said() {
    let Secrets { scene, .. } = encrypted();
    let missing = "give the file with the secret key with --identity";
    scene.run(&["fetch", "latest", "--to", "back"]).exits(1).says(missing);
    scene.run(&["show", "latest", "--files"]).exits(1).says(missing);
    scene.run(&["verify"]).exits(0).says("ok as stored").says("which needs --identity");
    let wrong = "encrypted to other recipients";
    scene.run(&["fetch", "latest", "--to", "back", "--identity", "key2"]).exits(1).says(wrong);
    scene.run(&["verify", "--identity", "key2"]).exits(1).says(wrong);
    scene.run(&["fetch", "latest", "--to", "back", "--identity", "none"]).exits(2).says("cannot use none as a key");
    fs::write(scene.path("bad"), "no key at all").unwrap();
    scene.run(&["fetch", "latest", "--to", "back", "--identity", "bad"]).exits(2).says("age-keygen");
    assert!(!scene.path("back").exists());
    // The archive itself can be had without any key.
    scene.run(&["fetch", "latest", "--to", "raw", "--raw"]).exits(0);
}

#[test]
fn manifest_of_an_encrypted_archive_names_no_file_of_the_snapshot() {
    let Secrets { scene, .. } = encrypted();
    let manifest = fs::read_to_string(scene.manifest("vault")).unwrap();
    for name in ["hman.ini", "SiteServer", "log1.log"] {
        assert!(!manifest.contains(name), "{name} in {manifest}");
    }
}

/// Changes bytes in the middle of an archive, where files are.
fn damage(path: &std::path::Path) {
    let mut bytes = fs::read(path).unwrap();
    for byte in &mut bytes[2000..2010] {
        *byte ^= 0x55;
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn another_copy_gives_what_is_damaged_in_the_first() {
    let mut scene = Scene::new();
    scene.destination("second");
    scene.run(&["run"]).exits(0);
    damage(&scene.archive("vault"));
    let output = scene.run(&["fetch", "latest", "--to", "back"]).exits(0).says("trying second");
    assert!(output.stdout.contains("Fetched 39 files"), "{output}");
    let mdf = "SiteDBServer/CM_XYZ.mdf";
    assert_eq!(
        fs::read(scene.path("back/XYZBackup").join(mdf)).unwrap(),
        fs::read(scene.snapshot().join(mdf)).unwrap()
    );
    // Where even the index is damaged, all of it comes from there.
    let bytes = fs::read(scene.archive("vault")).unwrap();
    fs::write(scene.archive("vault"), [&bytes[..bytes.len() - 300], &[0; 300]].concat()).unwrap();
    scene.run(&["fetch", "latest", "--to", "again"]).exits(0).says("trying second");
    scene.run(&["fetch", "latest", "--to", "alone", "-d", "vault"]).exits(6);
    scene.run(&["fetch", "latest", "--to", "raw", "--raw"]).exits(0).says("trying another copy");
    // Both: the exit code says so.
    damage(&scene.archive("second"));
    scene.run(&["fetch", "latest", "--to", "neither"]).exits(6);
}

#[test]
fn pattern_without_a_match_is_named_and_costs_the_exit_code() {
    let scene = Scene::new();
    scene.run(&["run"]).exits(0);
    let fetch = ["fetch", "latest", "--to", "back", "**/hman.ini", "**/nothing.x"];
    scene.run(&fetch).exits(1).says("matches '**/nothing.x'").says("Fetched 1 file");
    assert!(scene.path("back/XYZBackup/SiteServer/SMSServer/data/hman.ini").exists());
    scene.run(&["show", "latest", "--files", "**/nothing.x"]).exits(1).says("matches '**/nothing.x'");
}

#[cfg(unix)]
#[test]
fn path_as_it_is_spelled_means_that_file_alone() {
    let scene = Scene::new();
    for name in ["Notes.txt", "notes.txt", "notes.txt.bak"] {
        scene.file(&format!("SiteServer/SMSServer/data/{name}"), name.as_bytes());
    }
    scene.complete(COMPLETED);
    scene.run(&["run"]).exits(0);
    let below = "XYZBackup/SiteServer/SMSServer/data";
    for (to, pattern, files) in [
        ("exact", format!("{below}/notes.txt"), 1),
        ("windows", format!("{below}/Notes.txt").replace('/', "\\"), 1),
        ("other", format!("{below}/NOTES.TXT"), 2),
        ("glob", format!("{below}/notes.*"), 3),
    ] {
        let output = scene.run(&["fetch", "latest", "--to", to, &pattern]).exits(0);
        assert!(output.stdout.contains(&format!("Fetched {files} file")), "{pattern}: {output}");
    }
}

#[test]
fn index_that_the_manifest_does_not_know_proves_nothing() {
    let scene = archived();
    let path = scene.manifest("vault");
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["index"]["sha256"] = "0".repeat(64).into();
    fs::write(&path, manifest.to_string()).unwrap();
    scene.run(&["verify"]).exits(6);
    scene.run(&["fetch", "latest", "--to", "back"]).exits(6).says("the index of").says("checksums of its frames alone");
}
