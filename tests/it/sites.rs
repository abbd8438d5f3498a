//! Several sites, snapshots in two halves, and what an account may not read.

use std::fs;
use std::path::Path;

use jiff::SignedDuration;

use crate::harness::{COMPLETED, ID, Scene, at, copy_tree, names, touch};
use crate::synthetic::Data;

/// The snapshots of ABC and XYZ side by side.
fn two_sites() -> Scene {
    let scene = Scene::new();
    let (xyz, abc) = (scene.snapshot(), scene.path("E/ABCBackup"));
    copy_tree(&xyz, &abc);
    let log = fs::read_to_string(xyz.join("smsbkup.log")).unwrap().replace("SITE=XYZ", "SITE=ABC");
    fs::write(abc.join("smsbkup.log"), log).unwrap();
    let databases = abc.join("SiteDBServer");
    fs::remove_file(databases.join("CM_XYZ.mdf")).unwrap();
    fs::write(databases.join("CM_ABC.mdf"), Data { name: "CM_ABC", ..Data::default() }.build()).unwrap();
    fs::rename(databases.join("CM_XYZ_log.ldf"), databases.join("CM_ABC_log.ldf")).unwrap();
    settle(&abc);
    scene
}

/// Everything a day before the snapshot was completed, but for what is written last.
fn settle(folder: &Path) {
    let completed = at(COMPLETED);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            touch(&entry.path(), completed - SignedDuration::from_mins(20));
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    for name in ["BackupDocument.xml", "SQLBackupDocument.xml", "smsbkup.log"] {
        if folder.join(name).exists() {
            touch(&folder.join(name), completed - SignedDuration::from_secs(1));
        }
    }
    touch(folder, completed - SignedDuration::from_secs(1));
}

#[test]
fn every_site_gets_an_archive_of_its_own() {
    let scene = two_sites();
    scene.run(&["run"]).exits(0);
    assert_eq!(names(&scene.path("vault")), ["ABC", "XYZ"]);
    scene.run(&["list"]).exits(0).says(ID).says("ABC-20211122T235900Z");
    scene.run(&["show", "latest"]).exits(1).says("several sites");
    scene.run(&["show", "latest", "--site", "ABC"]).exits(0).says("ABC-20211122T235900Z");
    scene.run(&["verify"]).exits(0);
}

#[test]
fn site_whose_task_is_at_work_does_not_hold_up_the_others() {
    let scene = two_sites();
    fs::remove_file(scene.path("E/ABCBackup/BackupDocument.xml")).unwrap();
    scene.run(&["run"]).exits(4).says("BackupDocument.xml is not in").says(&format!("Archived {ID}"));
    assert_eq!(scene.held("vault").len(), 2);
}

#[test]
fn one_of_several_sites_can_be_chosen() {
    let mut scene = two_sites();
    scene.snapshot_key("site = 'ABC'");
    scene.run(&["run"]).exits(0);
    assert_eq!(names(&scene.path("vault")), ["ABC"]);
}

#[test]
fn database_half_from_another_server_is_in_the_archive() {
    let mut scene = Scene::new();
    fs::create_dir_all(scene.path("SQL/XYZBackup")).unwrap();
    fs::rename(scene.snapshot().join("SiteDBServer"), scene.path("SQL/XYZBackup/SiteDBServer")).unwrap();
    fs::write(scene.path("SQL/XYZBackup/SQLBackupDocument.xml"), "<?xml version=\"1.0\"?>").unwrap();
    settle(&scene.path("SQL/XYZBackup"));
    settle(&scene.snapshot());
    scene.run(&["run"]).exits(4).says("snapshot.sql-path");
    scene.snapshot_key("sql-path = 'SQL'");
    scene.run(&["run"]).exits(0);
    scene.run(&["fetch", "latest", "--to", "back"]).exits(0);
    assert_eq!(names(&scene.path("back")), ["SQL", "XYZBackup"]);
    crate::harness::assert_same_tree(&scene.path("back/SQL/XYZBackup"), &scene.path("SQL/XYZBackup"));
    crate::harness::assert_same_tree(&scene.path("back/XYZBackup"), &scene.snapshot());
    // Half of a snapshot is none.
    fs::remove_file(scene.path("SQL/XYZBackup/SQLBackupDocument.xml")).unwrap();
    scene.run(&["run"]).exits(4).says("SQLBackupDocument.xml");
}

#[cfg(target_os = "linux")]
const NOBODY: u32 = 65534;

/// Runs the program as somebody who is not root.
#[cfg(target_os = "linux")]
fn as_nobody(scene: &Scene, args: &[&str]) -> crate::harness::Output {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() {
        return scene.run(args);
    }
    fs::set_permissions(scene.root(), fs::Permissions::from_mode(0o755)).unwrap();
    for path in ["vault", "lock"] {
        if !scene.path(path).exists() {
            fs::write(scene.path(path), "").unwrap();
        }
        chown(scene.path(path), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    // The build folder may be closed to others.
    let program = scene.path("program");
    if !program.exists() {
        fs::copy(crate::harness::program_file(), &program).unwrap();
    }
    let mut command = std::process::Command::new(program);
    command.arg("--config").arg(scene.config()).args(args).current_dir(scene.root()).uid(NOBODY).gid(NOBODY);
    crate::harness::Output::of(command)
}

#[cfg(target_os = "linux")]
fn forbid(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn snapshot_whose_database_may_not_be_read_is_not_archived_and_any_other_file_is_left_out() {
    let scene = Scene::new();
    forbid(&scene.snapshot().join("SiteDBServer/CM_XYZ.mdf"));
    as_nobody(&scene, &["run"]).exits(1).says("CM_XYZ.mdf").says("ermission denied").says("runs afterbackup (nobody)");
    assert!(scene.held("vault").is_empty());
    // Any other file is worth less than the backup.
    let scene = Scene::new();
    forbid(&scene.snapshot().join("SiteServer/SMSServer/data/hman.ini"));
    as_nobody(&scene, &["run"]).exits(3).says("hman.ini is not in the archive").says("(running as nobody)");
    assert_eq!(scene.manifests("vault"), 1);
}

/// A run with several sites ended at the first one that failed.
#[cfg(target_os = "linux")]
#[test]
fn site_that_cannot_be_read_does_not_keep_the_others_from_being_archived() {
    let scene = two_sites();
    forbid(&scene.path("E/ABCBackup/SiteDBServer/CM_ABC.mdf"));
    as_nobody(&scene, &["run"]).exits(1).says("ABC is not archived").says(&format!("Archived {ID}"));
    assert_eq!(scene.held("vault").len(), 2);
    assert!(names(&scene.path("vault/ABC")).is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn destination_that_may_not_be_written_is_said_with_a_hint() {
    use std::os::unix::fs::PermissionsExt;
    let mut scene = Scene::new();
    scene.destination("sealed");
    fs::set_permissions(scene.path("sealed"), fs::Permissions::from_mode(0o555)).unwrap();
    as_nobody(&scene, &["run"]).exits(3).says("is not on sealed").says("give the account that runs afterbackup");
    assert_eq!(scene.held("vault").len(), 2);
}
