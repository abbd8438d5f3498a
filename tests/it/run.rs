//! `run`: what becomes visible, where, and with which exit code.

use std::fs;
use std::path::Path;

use jiff::SignedDuration;

use crate::harness::{COMPLETED, ID, Scene, at, log_of_completed_run, names, started, status_message, touch, tree};
#[cfg(unix)]
use crate::harness::{assert_same_tree, noise, program_file, text};

#[test]
fn archive_of_a_completed_snapshot_lies_on_the_destination() {
    let scene = Scene::new();
    let output = scene.run(&["run"]).exits(0);
    assert_eq!(output.stdout, "");
    insta::assert_snapshot!(scene.normalised(&output.stderr), @"
    Archiving XYZ-20211122T235900Z to 1 destination
    XYZ-20211122T235900Z is on vault (SIZE)
    Archived XYZ-20211122T235900Z: 39 files, SIZE in SIZE
    ");
    assert_eq!(scene.held("vault"), [format!("{ID}.json"), format!("{ID}.tar.zst")]);
}

#[test]
fn the_same_snapshot_is_archived_once() {
    let scene = Scene::new();
    scene.run(&["run"]).exits(0);
    let before = tree(&scene.path("vault"));
    scene.run(&["run"]).exits(0).says("already archived");
    assert_eq!(tree(&scene.path("vault")), before);
}

#[test]
fn running_leaves_the_snapshot_as_it_was() {
    let scene = Scene::new();
    let before = tree(&scene.snapshot());
    scene.run(&["run"]).exits(0);
    assert_eq!(tree(&scene.snapshot()), before);
}

#[test]
fn archive_bytes_depend_on_nothing_but_the_snapshot() {
    let mut scene = Scene::new();
    scene.destination("second");
    scene.run(&["run"]).exits(0);
    let bytes = fs::read(scene.archive("vault")).unwrap();
    assert!(fs::read(scene.archive("second")).unwrap() == bytes);
    for threads in [1, 3, 16] {
        scene.sections.clear();
        scene.section(&format!("[archive]\nthreads = {threads}"));
        fs::remove_dir_all(scene.path("vault/XYZ")).unwrap();
        fs::remove_dir_all(scene.path("second/XYZ")).unwrap();
        scene.run(&["run"]).exits(0);
        assert!(fs::read(scene.archive("vault")).unwrap() == bytes, "{threads} threads");
    }
}

#[test]
fn missing_destination_does_not_keep_the_archive_from_the_other() {
    let mut scene = Scene::new();
    scene.destination("away");
    fs::remove_dir(scene.path("away")).unwrap();
    let output = scene.run(&["run"]).exits(3).says("away").says("hint:");
    assert!(output.stderr.contains("does not exist"), "{output}");
    assert!(!scene.path("away").exists(), "the root of a destination is never made");
    scene.run(&["verify", "--destination", "vault"]).exits(0);
    // The other one catches up when it is back.
    fs::create_dir(scene.path("away")).unwrap();
    scene.run(&["run"]).exits(0);
    assert!(fs::read(scene.archive("away")).unwrap() == fs::read(scene.archive("vault")).unwrap());
}

#[test]
fn file_in_place_of_a_destination_is_a_failure_of_that_one() {
    let mut scene = Scene::new();
    scene.destination("file");
    fs::remove_dir(scene.path("file")).unwrap();
    fs::write(scene.path("file"), "I am no folder").unwrap();
    scene.run(&["run"]).exits(3);
    assert_eq!(scene.held("vault").len(), 2);
    assert_eq!(fs::read(scene.path("file")).unwrap(), b"I am no folder");
}

#[test]
fn file_in_place_of_the_site_folder_is_a_failure_of_that_destination() {
    let mut scene = Scene::new();
    scene.destination("odd");
    fs::write(scene.path("odd/XYZ"), "foreign").unwrap();
    scene.run(&["run"]).exits(3);
    assert_eq!(fs::read(scene.path("odd/XYZ")).unwrap(), b"foreign");
    assert_eq!(scene.held("vault").len(), 2);
}

#[test]
fn nothing_is_archived_when_no_destination_can_be_used() {
    let mut scene = Scene::new();
    scene.destination("second");
    fs::remove_dir(scene.path("vault")).unwrap();
    fs::remove_dir(scene.path("second")).unwrap();
    scene.run(&["run"]).exits(1).says("vault").says("second");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs root, to mount a file system: deploy/test.sh tests"]
fn mounted_read_only_destination_does_not_keep_the_archive_from_the_other() {
    use crate::harness::Mount;
    let mut scene = Scene::new();
    scene.destination("sealed");
    let _mount = Mount::tmpfs(&scene.path("sealed"), "ro,size=1m");
    scene.run(&["run"]).exits(3).says("sealed").says("hint:");
    assert_eq!(scene.held("vault").len(), 2);
    assert!(names(&scene.path("sealed")).is_empty());
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs root, to mount a file system: deploy/test.sh tests"]
fn mounted_full_destination_is_left_without_anything_half() {
    use crate::harness::Mount;
    let mut scene = Scene::new();
    scene.file("SiteServer/big.bin", &noise(7, 9 << 20));
    scene.complete(COMPLETED);
    let _mount = Mount::tmpfs(&scene.path("vault"), "size=2m");
    scene.run(&["run"]).exits(1).says("free space there");
    assert!(scene.held("vault").is_empty(), "{:?}", scene.held("vault"));
    scene.destination("roomy");
    scene.run(&["run"]).exits(3).says("free space there");
    assert!(scene.held("vault").is_empty(), "{:?}", scene.held("vault"));
    assert_eq!(scene.held("roomy"), [format!("{ID}.json"), format!("{ID}.tar.zst")]);
    scene.run(&["verify", "--destination", "roomy"]).exits(0);
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs root, to mount a file system: deploy/test.sh tests"]
fn mounted_full_destination_is_pruned_by_policy_and_tried_again() {
    use crate::harness::Mount;
    let mut scene = Scene::new();
    scene.destination("roomy");
    let night = |scene: &Scene, number: i64, code: i32| {
        scene.file("SiteServer/noise.bin", &noise(7 + u64::try_from(number).unwrap(), 300_000));
        scene.complete(&(at(COMPLETED) + SignedDuration::from_hours(24 * number)).to_string());
        scene.run(&["run"]).exits(code)
    };
    // Three archives of 336 KiB and more fit.
    let _mount = Mount::tmpfs(&scene.path("vault"), "size=1200k");
    scene.section("[retention]\nlast = 9");
    for number in 0..3 {
        night(&scene, number, 0);
    }
    // Nothing is to go.
    night(&scene, 3, 3).says("free space there").says("vault has no space left");
    assert_eq!((scene.manifests("vault"), scene.manifests("roomy")), (3, 4));
    scene.sections = scene.sections.replace("last = 9", "last = 1");
    scene.configure();
    let output = night(&scene, 4, 0);
    output.says("vault has no space left: it is pruned first").says("XYZ-20211126T235900Z is on vault");
    assert_eq!((scene.manifests("vault"), scene.manifests("roomy")), (1, 1));
    scene.run(&["verify"]).exits(0);
    scene.run(&["status"]).exits(7).says_not("is not on vault");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs root, to mount a file system: deploy/test.sh tests"]
fn mounted_destination_without_room_for_the_manifest_is_left_without_archive() {
    use crate::harness::Mount;
    let scene = Scene::new();
    scene.run(&["run"]).exits(0);
    let bytes = fs::metadata(scene.archive("vault")).unwrap().len();
    fs::remove_dir_all(scene.path("vault/XYZ")).unwrap();
    // Pages of 4 KiB: exactly the archive fits.
    let size = bytes.div_ceil(4096) * 4096;
    let _mount = Mount::tmpfs(&scene.path("vault"), &format!("size={size}"));
    scene.run(&["run"]).exits(1).says("free space there");
    assert!(scene.held("vault").is_empty(), "{:?}", scene.held("vault"));
}

#[test]
fn foreign_files_among_archives_are_left_alone() {
    let scene = Scene::new();
    let folder = scene.path("vault/XYZ");
    fs::create_dir_all(folder.join("XYZ-20200101T000000Z.tar.zst.old")).unwrap();
    let foreign = [
        "readme.txt",
        "XYZ-2020.json",
        "xyz-20200101T000000Z.json",
        ".XYZ-20200101T000000Z.tar.zst.partial",
        "XYZ-20200101T000000Z.tar.zst.bak",
        "ABC-20200101T000000Z.tar.zst",
        "ABC-20200101T000000Z.json",
        "Thumbs.db",
    ];
    for name in foreign {
        fs::write(folder.join(name), "not ours").unwrap();
        touch(&folder.join(name), at("2015-01-01T00:00:00Z"));
    }
    fs::create_dir(scene.path("vault/not a site")).unwrap();
    scene.run(&["run"]).exits(0);
    scene.run(&["prune"]).exits(0);
    for name in foreign {
        assert_eq!(fs::read(folder.join(name)).unwrap(), b"not ours", "{name}");
    }
    assert_eq!(scene.run(&["list", "--json"]).exits(0).json()["archives"].as_array().unwrap().len(), 1);
}

#[test]
fn two_runs_at_once_are_refused() {
    let scene = Scene::new();
    let lock = fs::File::create(scene.path("lock")).unwrap();
    lock.lock().unwrap();
    scene.run(&["run", "--no-wait"]).exits(5).says("another run").says("hint:");
    scene.run(&["prune"]).exits(5).says("another run");
    assert!(scene.held("vault").is_empty());
    // Looking needs no lock.
    scene.run(&["list"]).exits(0);
    scene.run(&["prune", "--dry-run"]).exits(0);
    drop(lock);
    scene.run(&["run"]).exits(0);
}

#[test]
fn lock_file_that_cannot_be_made_is_a_failure_and_not_another_run() {
    let scene = Scene::new();
    fs::create_dir(scene.path("lock")).unwrap();
    scene.run(&["run"]).exits(1).says("cannot lock");
    scene.run(&["prune"]).exits(1).says("cannot lock");
}

#[test]
fn events_of_a_run_are_lines_of_json() {
    let mut scene = Scene::new();
    scene.destination("away");
    fs::remove_dir(scene.path("away")).unwrap();
    let events = scene.run(&["run", "--json"]).exits(3).events();
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["started", "pushed", "push-failed", "archived", "finished"]);
    assert_eq!(events[1]["destination"], "vault");
    assert_eq!(events[2]["destination"], "away");
    assert_eq!(events[3]["archive"], ID);
    assert_eq!(events[4]["exit_code"], 3);
}

// No completed snapshot: exit code 4.

#[test]
fn folder_without_snapshot_is_no_completed_snapshot() {
    let scene = Scene::bare();
    scene.run(&["run"]).exits(4).says("no snapshot in");
    fs::create_dir(scene.snapshot()).unwrap();
    scene.run(&["run"]).exits(4).says("the folder is empty");
    assert!(names(&scene.path("vault")).is_empty());
}

#[test]
fn snapshot_path_that_does_not_exist_is_a_failure() {
    let scene = Scene::bare();
    fs::remove_dir(scene.path("E")).unwrap();
    scene.run(&["run"]).exits(1).says("does not exist");
    fs::write(scene.path("E"), "").unwrap();
    scene.run(&["run"]).exits(1).says("is not a folder");
}

#[test]
fn snapshot_without_metadata_is_not_complete() {
    let scene = Scene::new();
    fs::remove_file(scene.snapshot().join("BackupDocument.xml")).unwrap();
    scene.settle(at(COMPLETED));
    scene.run(&["run"]).exits(4).says("BackupDocument.xml is not in");
    assert!(names(&scene.path("vault")).is_empty());
}

#[test]
fn snapshot_without_database_is_not_complete() {
    let scene = Scene::new();
    fs::remove_dir_all(scene.snapshot().join("SiteDBServer")).unwrap();
    scene.settle(at(COMPLETED));
    scene.run(&["run"]).exits(4).says("no database file");
}

#[test]
fn empty_database_file_is_not_complete() {
    let scene = Scene::new();
    scene.file("SiteDBServer/CM_XYZ.mdf", b"");
    scene.settle(at(COMPLETED));
    scene.run(&["run"]).exits(4).says("is empty");
}

/// The log outside the snapshot goes on when the next run begins.
fn scene_with_log(log: &str) -> Scene {
    let mut scene = Scene::new();
    fs::write(scene.path("smsbkup.log"), log).unwrap();
    scene.snapshot_key("log = 'smsbkup.log'");
    scene
}

#[test]
fn running_backup_task_is_no_completed_snapshot() {
    let log = log_of_completed_run(at(COMPLETED));
    let next = at(COMPLETED) + SignedDuration::from_hours(24);
    let scene = scene_with_log(&log);
    let running = format!("{log}{}", status_message(5055, next));
    fs::write(scene.path("smsbkup.log"), running).unwrap();
    scene.run(&["run"]).exits(4).says("running");
    assert!(names(&scene.path("vault")).is_empty());
    fs::write(scene.path("smsbkup.log"), log).unwrap();
    scene.run(&["run"]).exits(0);
}

#[test]
fn failed_backup_task_is_no_completed_snapshot() {
    let log = log_of_completed_run(at(COMPLETED));
    let next = at(COMPLETED) + SignedDuration::from_hours(24);
    let failed = format!("{log}{}{}", status_message(5055, next), status_message(5043, next));
    let output = scene_with_log(&failed).run(&["run", "--json"]).exits(4);
    let events = output.events();
    assert_eq!(events[0]["event"], "not-complete");
    assert_eq!(events[1]["exit_code"], 4);
}

#[test]
fn snapshot_without_any_log_needs_quiet() {
    let mut scene = Scene::new();
    fs::remove_file(scene.snapshot().join("smsbkup.log")).unwrap();
    scene.settle(at(COMPLETED) - SignedDuration::from_secs(1));
    scene.snapshot_key("quiet = '2min'");
    // Named after the metadata; years ago is quiet enough.
    scene.run(&["run"]).exits(0).says("XYZ-20211122T235859Z");
}

// What names and sizes may be.

#[cfg(unix)]
#[test]
fn odd_names_and_sizes_come_back_as_they_were() {
    let scene = Scene::new();
    let long = "n".repeat(255);
    let long_not_ascii = "\u{fc}".repeat(127);
    let deep = (1..=20).map(|level| format!("level {level}")).collect::<Vec<_>>().join("/");
    let deep_long = vec!["d".repeat(200); 12].join("/");
    for name in [
        long.as_str(),
        &long_not_ascii,
        &format!("{deep}/file"),
        &format!("{deep_long}/file"),
        "trailing dot.",
        "trailing dots...",
        "trailing space ",
        " leading space",
        "two  spaces",
        "new\nline",
        "tab\t",
        "quote'\"",
        "back\\slash",
        "colon:stream",
        "CON",
        "nul.txt",
        "-rf",
        "star*?[x]",
        "emoji \u{1f4be}",
        "e\u{301} decomposed",
        "\u{e9} composed",
    ] {
        scene.file(&format!("SiteServer/{name}"), name.as_bytes());
        scene.file(&format!("SiteServer/empty/{name}"), b"");
    }
    // Around a block of tar, around a small frame, around a large one.
    for size in [1, 511, 512, 513, 512 << 10, (512 << 10) + 1, (4 << 20) - 1, 4 << 20, (4 << 20) + 1] {
        scene.file(&format!("SiteServer/sizes/{size}"), &noise(size as u64, size));
    }
    scene.complete(COMPLETED);
    scene.run(&["run"]).exits(0);
    scene.run(&["fetch", "latest", "--to", "back"]).exits(0);
    assert_same_tree(&scene.path("back/XYZBackup"), &scene.snapshot());
    scene.run(&["verify"]).exits(0);
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    let scene = Scene::new();
    let outside = scene.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "not in the snapshot").unwrap();
    std::os::unix::fs::symlink(&outside, scene.snapshot().join("SiteServer/link")).unwrap();
    std::os::unix::fs::symlink(outside.join("secret"), scene.snapshot().join("SiteServer/file-link")).unwrap();
    scene.settle(at(COMPLETED));
    scene.run(&["run"]).exits(3).says("SiteServer/link is not in the archive: a link is not followed");
    let shown = scene.run(&["show", "latest", "--files", "--json"]).exits(0).json();
    let skipped: Vec<&str> = shown["skipped"].as_array().unwrap().iter().map(|s| s["path"].as_str().unwrap()).collect();
    assert_eq!(skipped, ["XYZBackup/SiteServer/file-link", "XYZBackup/SiteServer/link"]);
    scene.run(&["fetch", "latest", "--to", "back"]).exits(0);
    assert!(!scene.path("back/XYZBackup/SiteServer/link").exists());
}

#[cfg(unix)]
#[test]
fn file_whose_name_cannot_be_stored_is_an_error_and_the_rest_is_archived() {
    use std::os::unix::ffi::OsStrExt;
    let scene = Scene::new();
    let name = std::ffi::OsStr::from_bytes(b"SiteServer/not unicode \xff");
    fs::write(scene.snapshot().join(name), "x").unwrap();
    touch(&scene.snapshot().join(name), at(COMPLETED));
    scene.settle(at(COMPLETED));
    scene.run(&["run"]).exits(3).says("is not in the archive");
    scene.run(&["verify"]).exits(0);
}

#[test]
fn supplemental_files_are_in_the_archive() {
    let mut scene = Scene::new();
    for user in ["anna", "bert"] {
        let folder = scene.path(&format!("users/{user}/AppData"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("Scupdb.sdf"), user).unwrap();
    }
    scene.section("[[supplemental]]\nname = 'SCUP'\npath = 'users/*/AppData/Scupdb.sdf'\nas = '{1}/Scupdb.sdf'");
    scene.section("[[supplemental]]\nname = 'Nothing'\npath = 'users/*/none'");
    scene.run(&["run"]).exits(3).says("supplemental 'Nothing': nothing matches");
    scene.run(&["fetch", "latest", "--to", "back", "Supplemental"]).exits(0);
    assert_eq!(fs::read(scene.path("back/Supplemental/SCUP/anna/Scupdb.sdf")).unwrap(), b"anna");
    assert_eq!(fs::read(scene.path("back/Supplemental/SCUP/bert/Scupdb.sdf")).unwrap(), b"bert");
}

/// A command of an entry writes what is archived; one that fails, or hangs, costs its entry and not the site.
#[cfg(unix)]
#[test]
fn commands_of_supplemental_entries_run_around_the_reading_and_never_cost_the_site_its_archive() {
    let mut scene = Scene::new();
    fs::create_dir(scene.path("export")).unwrap();
    let key = scene.path("export/rs.snk").display().to_string();
    scene.section(&format!(
        "[[supplemental]]\nname = 'RS'\npath = '{key}'\nbefore = 'echo exporting $AFTERBACKUP_SUPPLEMENTAL; printf key > {key}'\n\
         after = 'rm {key}; ls {} > {}'",
        scene.path("vault/XYZ").display(),
        scene.path("seen").display()
    ));
    let output = scene.run(&["--verbose", "run"]).exits(0);
    assert!(output.stderr.contains("supplemental 'RS', before: exporting RS"), "{output}");
    assert!(!output.stderr.contains("printf"), "a command may hold a password: {output}");
    assert!(!Path::new(&key).exists(), "it was tidied up");
    let seen = fs::read_to_string(scene.path("seen")).unwrap();
    assert!(seen.contains(&format!("{ID}.json")), "the archive was visible before: {seen}");
    scene.run(&["fetch", "latest", "--to", "back", "Supplemental"]).exits(0);
    assert_eq!(fs::read_to_string(scene.path("back/Supplemental/RS/rs.snk")).unwrap(), "key");
    // Nothing is exported where nothing is archived.
    scene.run(&["run"]).exits(0).says_not("exporting");

    for (commands, code, says) in [
        ("before = 'exit 7'\noptional = true", 3, "its command before ended with exit status: 7"),
        ("before = 'sleep 600'\ntimeout = '1s'\noptional = true", 3, "its command before was killed because"),
        ("after = 'exit 7'\noptional = true", 3, "its command after ended with exit status: 7"),
        ("before = 'true'\nafter = 'true'\noptional = true", 0, "rchived"),
    ] {
        let mut scene = Scene::new();
        scene.section(&format!("[[supplemental]]\nname = 'RS'\npath = '{key}'\n{commands}"));
        scene.run(&["run"]).exits(code).says(says);
        scene.run(&["verify", "latest"]).exits(0);
    }
}

/// Whoever may write it would be root; other accounts are warned.
#[cfg(unix)]
#[test]
fn configuration_that_others_can_write_is_not_obeyed_by_root() {
    use std::os::unix::fs::PermissionsExt;
    let mut scene = Scene::new();
    let script = scene.path("mail.sh");
    fs::write(&script, "#!/bin/sh\ntrue\n").unwrap();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&script, 0o755);
    scene.section(&format!("[hooks]\nrun-after = ['{}']", script.display()));
    let code = if rustix::process::geteuid().is_root() { 2 } else { 0 };
    for open in [scene.config(), script.clone()] {
        mode(&open, 0o777);
        scene.run(&["run"]).exits(code).says("can be changed by everyone").says("chmod o-w");
        // Who only reads is not kept from it.
        scene.run(&["list"]).says_not("can be changed");
        mode(&open, 0o755);
    }
    scene.run(&["run"]).exits(0).says_not("can be changed");
    let without_commands = Scene::new();
    mode(&without_commands.config(), 0o777);
    without_commands.run(&["run"]).exits(0).says("can be changed by everyone, who decides what is archived");
}

#[test]
fn presets_are_shown_and_nothing_is_written() {
    let scene = Scene::new();
    let before = tree(scene.root());
    let output = scene.run(&["init", "--show-preset", "reporting-services"]).exits(0);
    for part in ["[[supplemental]]", "preset = \"reporting-services\"", "rskeymgmt -e -f", "before = "] {
        assert!(output.stdout.contains(part), "{output}");
    }
    scene.run(&["init", "--show-preset", "wsuss"]).exits(2).says("wsus");
    assert_eq!(tree(scene.root()), before);
}

/// Two users' files, a folder with all it holds, and one file: everything is put where it was.
#[cfg(unix)]
#[test]
fn checklist_puts_supplemental_files_back_where_they_were() {
    let mut scene = Scene::new();
    let files = [
        ("users/anna/AppData/Scupdb.sdf", "of anna"),
        ("users/bert o'hara/AppData/Scupdb.sdf", "of bert"),
        ("SCCMContentLib/FileLib/0A1B/0A1B2C", "content"),
        ("SCCMContentLib/DataLib/XYZ00001.1.INI", "[File]"),
        ("keys/rs.snk", "key"),
    ];
    for (file, text) in files {
        fs::create_dir_all(scene.path(file).parent().unwrap()).unwrap();
        fs::write(scene.path(file), text).unwrap();
    }
    scene.section("[[supplemental]]\nname = 'SCUP'\npath = 'users/*/AppData/Scupdb.sdf'\nas = '{1}/Scupdb.sdf'");
    scene.section("[[supplemental]]\nname = 'Library'\npath = 'SCCMContentLib'");
    scene.section("[[supplemental]]\nname = 'Keys'\npath = 'keys/*'");
    scene.run(&["run"]).exits(0);
    let to = scene.path("recovered").display().to_string();
    let list = scene.run(&["--json", "recover", "checklist", "latest", "--site-type", "primary", "--to", &to]).json();
    let mut commands = Vec::new();
    collect(&list, "commands", &mut commands);
    let lines: Vec<&String> = commands.iter().filter(|line| line.contains("Supplemental")).collect();
    // A fetch for each source; a copy for each user, the folder and the file.
    assert_eq!(lines.len(), 3 + 4, "{lines:?}");
    for folder in ["users", "SCCMContentLib", "keys"] {
        fs::remove_dir_all(scene.path(folder)).unwrap();
    }
    for line in lines {
        let program = format!("'{}' --config '{}' ", program_file().display(), scene.config().display());
        let line = line.replacen("afterbackup ", &program, 1);
        let output = std::process::Command::new("sh").args(["-c", &line]).current_dir(scene.root()).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for (file, text) in files {
        assert_eq!(fs::read_to_string(scene.path(file)).unwrap(), text, "{file}");
    }
}

/// The strings of all lists under a name.
#[cfg(unix)]
fn collect(value: &serde_json::Value, name: &str, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                match value.as_array().filter(|_| key == name) {
                    Some(list) => found.extend(list.iter().filter_map(|one| one.as_str().map(str::to_owned))),
                    None => collect(value, name, found),
                }
            }
        }
        serde_json::Value::Array(list) => list.iter().for_each(|one| collect(one, name, found)),
        _ => {}
    }
}

#[test]
fn run_that_meets_another_command_waits_and_then_archives() {
    use std::io::{BufRead, BufReader};
    let scene = Scene::new();
    let holder = afterbackup::platform::lock::Holder::this_process("prune", at(COMPLETED));
    let lock = afterbackup::platform::lock::RunLock::take_as(&scene.path("lock"), &holder).unwrap();
    let mut child = started(|| scene.command(&["--json", "run"]).stdout(std::process::Stdio::piped()).spawn());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["event"], "waiting");
    let message = first["message"].as_str().unwrap();
    assert!(message.contains(&format!("prune (PID {}, since 2021", std::process::id())), "{message}");
    assert_eq!(scene.held("vault"), [] as [&str; 0]);
    drop(lock);
    assert!(lines.count() > 1);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(scene.manifests("vault"), 1);
    // But not for ever.
    let _lock = afterbackup::platform::lock::RunLock::take_as(&scene.path("lock"), &holder).unwrap();
    scene.run(&["run", "--no-wait"]).exits(5).says("prune (PID");
}

#[test]
fn leftovers_of_a_killed_run_of_the_same_snapshot_are_removed() {
    let scene = Scene::new();
    let folder = scene.path("vault/XYZ");
    fs::create_dir(&folder).unwrap();
    for name in [format!(".{ID}.tar.zst.partial-4711"), format!("{ID}.tar.zst")] {
        fs::write(folder.join(&name), "half, or whole without manifest").unwrap();
        touch(&folder.join(&name), at("2021-01-01T00:00:00Z"));
    }
    scene.run(&["run"]).exits(0);
    assert_eq!(scene.held("vault"), [format!("{ID}.json"), format!("{ID}.tar.zst")]);
    scene.run(&["verify"]).exits(0);
}

#[test]
fn files_of_another_host_that_archives_the_same_snapshot_are_left_alone() {
    let scene = Scene::new();
    let folder = scene.path("vault/XYZ");
    fs::create_dir(&folder).unwrap();
    let theirs = [format!(".{ID}.json.partial-4711-1"), format!("{ID}.tar.zst")];
    for name in &theirs {
        fs::write(folder.join(name), "of another host").unwrap();
    }
    scene.run(&["run"]).exits(0).says(&format!("Archived {ID}"));
    for name in &theirs {
        assert_eq!(fs::read(folder.join(name)).unwrap(), b"of another host", "{name}");
    }
    scene.run(&["verify"]).exits(0);
    scene.run(&["list"]).exits(0).says(ID);
    scene.run(&["fetch", "latest", "--to", "back"]).exits(0);
    scene.run(&["run"]).exits(0).says("already");
}

#[test]
fn manifest_whose_archive_is_gone_is_repaired_while_the_snapshot_is_there() {
    let scene = Scene::new();
    scene.run(&["run"]).exits(0);
    for spoil in ["gone", "cut", "manifest"] {
        match spoil {
            "gone" => fs::remove_file(scene.archive("vault")).unwrap(),
            "cut" => fs::write(scene.archive("vault"), "cut").unwrap(),
            _ => fs::write(scene.manifest("vault"), "{").unwrap(),
        }
        scene.run(&["run"]).exits(0).says("archived again");
        scene.run(&["verify"]).exits(0);
        for name in scene.held("vault") {
            fs::remove_file(scene.path("vault/XYZ").join(name)).unwrap();
        }
        scene.run(&["run"]).exits(0);
    }
}

#[cfg(target_os = "linux")]
fn peak_memory(scene: &Scene, args: &[&str]) -> String {
    use std::process::Command;
    let output = Command::new("/usr/bin/time")
        .args(["-f", "%M KiB at most, %e s"])
        .arg(crate::harness::program_file())
        .arg("--config")
        .arg(scene.config())
        .args(args)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    stderr.lines().last().unwrap().to_owned()
}

#[cfg(target_os = "linux")]
#[allow(clippy::print_stderr, reason = "the figures are what these tests are run for")]
#[track_caller]
fn assert_bounded(what: &str, memory: &str, mebibytes: u64) {
    eprintln!("{what}: {memory}");
    let kibibytes: u64 = memory.split(' ').next().unwrap().parse().unwrap();
    assert!(kibibytes <= mebibytes << 10, "{what} took {memory}");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "slow: 12 GiB sparse file"]
fn twelve_gibibytes_need_no_more_memory_than_one() {
    let mut scene = Scene::new();
    scene.section("[archive]\nthreads = 2");
    let mdf = scene.snapshot().join("SiteDBServer/CM_XYZ.mdf");
    fs::File::options().write(true).open(&mdf).unwrap().set_len(12 << 30).unwrap();
    scene.complete(COMPLETED);
    touch(&mdf, at(COMPLETED) - SignedDuration::from_mins(5));
    assert_bounded("12 GiB: run", &peak_memory(&scene, &["run"]), 128);
    assert_bounded("12 GiB: verify", &peak_memory(&scene, &["verify"]), 96);
    let back = scene.path("back");
    assert_bounded("12 GiB: fetch", &peak_memory(&scene, &["fetch", "latest", "--to", back.to_str().unwrap()]), 96);
    assert_eq!(fs::metadata(back.join("XYZBackup/SiteDBServer/CM_XYZ.mdf")).unwrap().len(), 12 << 30);
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "slow: 100,000 small files"]
fn hundred_thousand_small_files_need_bounded_memory() {
    let mut scene = Scene::new();
    scene.section("[archive]\nthreads = 2");
    for number in 0..100_000_usize {
        let name = format!("SiteServer/SMSServer/inboxes/box{}/message{number}.SVF", number % 250);
        scene.file(&name, &text(number % 700));
    }
    scene.complete(COMPLETED);
    assert_bounded("100,000 files: run", &peak_memory(&scene, &["run"]), 192);
    assert_bounded("100,000 files: verify", &peak_memory(&scene, &["verify"]), 192);
    let back = scene.path("back");
    assert_bounded(
        "100,000 files: fetch",
        &peak_memory(&scene, &["fetch", "latest", "--to", back.to_str().unwrap()]),
        192,
    );
    assert_same_tree(&back.join("XYZBackup"), &scene.snapshot());
}

#[test]
fn configuration_may_name_the_snapshot_folder_itself() {
    let scene = Scene::new();
    let toml = fs::read_to_string(scene.config()).unwrap().replace("path = 'E'", "path = 'E/XYZBackup'");
    fs::write(scene.config(), toml).unwrap();
    scene.run(&["run"]).exits(0);
    assert_eq!(scene.held("vault").len(), 2);
}

#[test]
fn program_does_not_care_where_it_is_started() {
    let scene = Scene::new();
    let mut command = scene.command(&["run"]);
    command.current_dir(Path::new("/"));
    crate::harness::Output::of(command).exits(0);
    assert_eq!(scene.held("vault").len(), 2);
}
