//! `recover drill` and `recover checklist`: what they find, write, leave behind and end with.

use std::fs;
use std::path::Path;

use crate::harness::{COMPLETED, ID, Output, Scene, names, noise};
use crate::synthetic::{Data, log};

/// A site with a sound database and CD.Latest with Setup and prerequisites.
fn site() -> Scene {
    let scene = Scene::bare();
    scene.file("SiteServer/SMSServer/data/hman.ini", b"[hman]\r\n");
    scene.file("SiteDBServer/CM_XYZ.mdf", &Data::default().build());
    scene.file("SiteDBServer/CM_XYZ_log.ldf", &log(0, 26));
    scene.file("CD.Latest/SMSSETUP/BIN/X64/setup.exe", &noise(2, 2000));
    scene.file("CD.Latest/redist/msodbcsql.msi", &noise(3, 2000));
    scene.complete(COMPLETED);
    scene
}

fn archived(scene: Scene, code: i32) -> Scene {
    scene.run(&["run"]).exits(code).says(ID);
    scene
}

fn drill(scene: &Scene, more: &[&str]) -> Output {
    scene.run(&[&["recover", "drill", "latest", "--scratch", "scratch"], more].concat())
}

/// Nothing of a drill is left.
#[track_caller]
fn assert_clean(scene: &Scene) {
    assert_eq!(names(&scene.path("scratch")), [""; 0]);
}

#[test]
fn drill_of_a_sound_archive_passes_reports_and_leaves_nothing() {
    let scene = archived(site(), 0);
    let output = drill(&scene, &[]).exits(0).says("passed").says("each compared with its SHA-256");
    assert!(output.stdout.contains("A recovery fetches the same"), "{output}");
    assert_clean(&scene);
    let reports = names(&scene.path("lock.drills"));
    assert_eq!(reports.len(), 2, "{reports:?}");
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(scene.path("lock.drills").join(&reports[0])).unwrap()).unwrap();
    assert_eq!((&report["passed"], &report["archive"]), (&"yes".into(), &ID.into()));
    assert_eq!(report["databases"].as_array().unwrap().len(), 2);
    assert!(report["bytes"].as_u64().unwrap() > 500_000 && report["files"].as_u64().unwrap() >= 7, "{report}");
    // It is shown from then on.
    let status = scene.run(&["status"]);
    let status = Output { code: None, ..status }.says("Last drill").says("A fetch takes");
    assert!(status.stdout.contains(&format!("{ID}, just now, passed")), "{status}");
    let json = scene.run(&["status", "--json"]).exits(7).json();
    assert_eq!(json["last_drill"]["passed"], "yes");
}

#[test]
fn drill_finds_a_damaged_database_and_a_database_of_another_day() {
    let mut bytes = Data::default().build();
    bytes[20 * 8192 + 3000] ^= 4;
    for (mdf, ldf, words) in
        [(bytes, log(0, 26), "CM_XYZ.mdf: DAMAGED 1 of 64 pages"), (Data::default().build(), log(0, 40), "DAMAGED")]
    {
        let scene = site();
        scene.file("SiteDBServer/CM_XYZ.mdf", &mdf);
        scene.file("SiteDBServer/CM_XYZ_log.ldf", &ldf);
        scene.complete(COMPLETED);
        let scene = archived(scene, 6);
        drill(&scene, &["--then", "exit 0"]).exits(6).says(words);
        assert_clean(&scene);
    }
}

#[test]
fn a_sound_database_of_another_site_does_not_pass() {
    let scene = site();
    scene.file("SiteDBServer/CM_XYZ.mdf", &Data { name: "CM_ABC", ..Data::default() }.build());
    scene.complete(COMPLETED);
    let scene = archived(scene, 6);
    let output = drill(&scene, &["--json"]).exits(6);
    assert_eq!(output.json()["passed"], "damaged", "{output}");
    assert_clean(&scene);
}

#[test]
fn drill_of_a_damaged_archive_ends_with_6() {
    let scene = archived(site(), 0);
    let archive = scene.archive("vault");
    let sound = fs::read(&archive).unwrap();
    // In a file, in the index, cut, gone.
    for damage in 0..4 {
        let mut bytes = sound.clone();
        match damage {
            0 => bytes[600] ^= 1,
            1 => {
                let at = bytes.len() - 300;
                bytes[at] ^= 1;
            }
            2 => bytes.truncate(sound.len() / 2),
            _ => {}
        }
        fs::write(&archive, bytes).unwrap();
        if damage == 3 {
            fs::remove_file(&archive).unwrap();
        }
        let output = drill(&scene, &["--json"]).exits(6);
        assert_eq!(output.json()["passed"], "damaged", "{damage}: {output}");
        assert_clean(&scene);
    }
}

#[test]
fn drill_tells_what_is_missing() {
    let scene = Scene::bare();
    scene.file("SiteServer/a.ini", b"a");
    scene.file("SiteDBServer/CM_XYZ.mdf", &Data::default().build());
    scene.file("SiteDBServer/CM_XYZ_log.ldf", &log(0, 26));
    scene.complete(COMPLETED);
    let scene = archived(scene, 0);
    drill(&scene, &[]).exits(3).says("passed in part").says("CD.Latest is not in the archive");
    assert_clean(&scene);
}

#[test]
fn the_command_finds_the_copy_in_its_environment_and_its_failure_counts() {
    let scene = archived(site(), 0);
    let show = if cfg!(windows) {
        "echo %AFTERBACKUP_DATABASE% && dir %AFTERBACKUP_MDF% %AFTERBACKUP_LDF% %AFTERBACKUP_CD_LATEST% %AFTERBACKUP_BACKUP%"
    } else {
        "echo $AFTERBACKUP_DATABASE && ls $AFTERBACKUP_MDF $AFTERBACKUP_LDF $AFTERBACKUP_CD_LATEST $AFTERBACKUP_BACKUP"
    };
    drill(&scene, &["--then", show]).exits(0).says("CM_XYZ").says("SMSSETUP");
    drill(&scene, &["--then", "exit 9"]).exits(1).says("FAILED").says("the command ended with");
    assert_clean(&scene);
    let status = scene.run(&["status"]);
    Output { code: None, ..status }.says("FAILED: the command ended with").says_not("passed");
    let mut scene = scene;
    scene.section("[report]\noverdue = '100 years'\nmetrics-file = 'x.prom'");
    scene.run(&["status"]).exits(3).says("warning: the last recovery drill, of").says_not("All is well");
    scene.run(&["status", "--nagios"]).exits(1).says("the last recovery drill, of").says("FAILED: the command ended");
    scene.run(&["run"]).exits(0);
    assert!(fs::read_to_string(scene.path("x.prom")).unwrap().contains("afterbackup_problems{health=\"partial\"} 1"));
}

#[cfg(unix)]
#[test]
fn an_interrupted_drill_removes_its_copy() {
    use crate::harness::until;
    let scene = archived(site(), 0);
    // The command waits for a file that never comes: the drill is in its midst.
    let wait = "touch ../../begun; while [ ! -e ../../never ]; do sleep 0.05; done";
    let mut child = scene.spawn(&["recover", "drill", "latest", "--scratch", "scratch", "--then", wait]);
    until("the command runs", || scene.path("begun").exists());
    assert!(!names(&scene.path("scratch")).is_empty());
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_clean(&scene);
    assert_eq!(names(&scene.path("lock.drills")), [""; 0]);
}

#[cfg(unix)]
#[test]
fn what_a_killed_drill_has_left_the_next_one_removes() {
    use crate::harness::until;
    let scene = archived(site(), 0);
    let wait = "touch ../../begun; while [ ! -e ../../never ]; do sleep 0.05; done";
    let mut child = scene.spawn(&["recover", "drill", "latest", "--scratch", "scratch", "--then", wait]);
    until("the command runs", || scene.path("begun").exists());
    // A drill at work is left alone by another one.
    drill(&scene, &[]).exits(0).says("passed");
    assert_eq!(names(&scene.path("scratch")).len(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(scene.path("never"), "").unwrap();
    assert_eq!(names(&scene.path("scratch")).len(), 2);
    drill(&scene, &[]).exits(0).says("passed");
    assert_clean(&scene);
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs root, to mount a file system: deploy/test.sh tests"]
fn mounted_scratch_without_room_is_said_before_anything_is_fetched() {
    use crate::harness::Mount;
    let scene = archived(site(), 0);
    fs::create_dir(scene.path("scratch")).unwrap();
    let mount = Mount::tmpfs(&scene.path("scratch"), "size=256k");
    drill(&scene, &[]).exits(1).says("there is no room in").says("nothing was fetched").says("FAILED");
    assert_clean(&scene);
    drop(mount);
}

#[test]
fn a_drill_needs_a_folder_and_no_configuration() {
    let scene = archived(site(), 0);
    fs::write(scene.path("file"), "").unwrap();
    scene.run(&["recover", "drill", "latest", "--scratch", "file/x"]).exits(1).says("--scratch");
    let mut bare = crate::harness::program();
    bare.args(["recover", "drill", "latest", "--scratch", "scratch", "--destination", "./vault"])
        .current_dir(scene.root());
    bare.env("ProgramData", scene.path("none"));
    Output::of(bare).exits(0).says("--reports names a folder for it");
}

#[test]
fn drills_on_schedule_need_a_scratch_folder() {
    let mut scene = site();
    scene.section("[drill]\nevery = '30 days'");
    scene.run(&["list"]).exits(2).says("[drill] scratch: missing");
    scene.sections.clear();
    scene.section("[drill]\nevery = '1 min'\nscratch = 's'");
    scene.run(&["list"]).exits(2).says("too short");
    scene.sections.clear();
    scene.section("[drill]\nscratch = 'E/scratch'");
    scene.run(&["list"]).exits(2).says("inside the snapshot's folder");
    scene.sections.clear();
    scene.section("[drill]\nscratch = 'elsewhere'\nreports = 'papers'\nthen = 'exit 3'");
    let scene = archived(scene, 0);
    scene.run(&["recover", "drill"]).exits(1).says("the command ended with");
    assert_eq!(names(&scene.path("papers")).len(), 2);
    assert!(Path::new(&scene.path("elsewhere")).exists());
}

#[test]
fn checklist_is_markdown_or_a_page_and_never_replaces_one() {
    let scene = archived(site(), 0);
    scene.run(&["recover", "checklist"]).exits(2).says("--site-type");
    let output = scene.run(&["recover", "checklist", "--site-type", "cas", "--to", r"E:\Restore"]).exits(0);
    for words in [
        "# Recovery of site XYZ",
        "- [ ] ",
        &format!(r#"afterbackup fetch {ID} --to "E:\Restore""#),
        r#"afterbackup check-db "E:\Restore\XYZBackup\SiteDBServer\CM_XYZ.mdf""#,
        r#""E:\Restore\XYZBackup\CD.Latest\SMSSETUP\BIN\X64\setup.exe" /script "E:\Restore\XYZ.ini""#,
        "ConfigMgrDRSSiteQueue",
    ] {
        assert!(output.stdout.contains(words), "{words}\n{output}");
    }
    let page = ["recover", "checklist", "--site-type", "primary", "--html", "list.html"];
    scene.run(&page).exits(0).says("Wrote list.html");
    let html = fs::read_to_string(scene.path("list.html")).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("type=\"checkbox\""));
    scene.run(&page).exits(1).says("remove it first");
    let json = scene.run(&["recover", "checklist", "--site-type", "primary", "--json"]).exits(0).json();
    assert_eq!(json["archive"], ID);
}
