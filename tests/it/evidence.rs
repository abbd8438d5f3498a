//! Whether a snapshot is complete, and what is done about a part of it that cannot be read: as a user sees it.

use std::fs;

use jiff::{SignedDuration, Timestamp};

use crate::harness::{COMPLETED, Scene, at, log_of_completed_run, status_message, touch};

/// A completed snapshot, with the task's log outside it.
fn scene(log: &[u8]) -> Scene {
    let mut scene = Scene::new();
    fs::remove_file(scene.snapshot().join("smsbkup.log")).unwrap();
    scene.settle(at(COMPLETED) - SignedDuration::from_secs(1));
    fs::write(scene.path("smsbkup.log"), log).unwrap();
    scene.snapshot_key("log = 'smsbkup.log'\nquiet = '0s'");
    scene
}

fn good() -> Vec<u8> {
    log_of_completed_run(at(COMPLETED)).into_bytes()
}

/// Whatever the evidence of completion is, what is removed or changed afterwards makes the snapshot incomplete.
#[test]
fn snapshot_that_lost_something_is_not_archived() {
    for copy in [false, true] {
        for gone in [
            "SiteServer",
            "CD.Latest",
            "SiteDBServer/CM_XYZ_log.ldf",
            "SiteServer/SMSServer/Logs/log7.log",
            "SiteDBServer",
        ] {
            let mut scene = scene(&good());
            if copy {
                fs::rename(scene.path("smsbkup.log"), scene.snapshot().join("smsbkup.log")).unwrap();
                scene.snapshot_keys = "quiet = '0s'\n".to_owned();
                scene.configure();
                touch(&scene.snapshot().join("smsbkup.log"), at(COMPLETED));
                scene.settle(at(COMPLETED));
            }
            let path = scene.snapshot().join(gone);
            if path.is_dir() {
                crate::harness::remove_tree(&path);
            } else {
                fs::remove_file(&path).unwrap();
            }
            scene.run(&["run"]).exits(4);
            assert!(scene.held("vault").is_empty(), "{gone}");
        }
    }
}

#[test]
fn file_that_was_changed_after_the_completion_is_named() {
    let scene = scene(&good());
    let path = scene.snapshot().join("SiteServer/SMSServer/Logs/log7.log");
    touch(&path, at(COMPLETED) + SignedDuration::from_hours(1));
    scene.run(&["run"]).exits(4).says("SiteServer/SMSServer/Logs/log7.log");
    assert!(scene.held("vault").is_empty());
}

#[test]
fn start_behind_damage_is_seen() {
    let start = status_message(5055, at(COMPLETED) + SignedDuration::from_mins(5));
    for damage in [vec![0; 2000], vec![0; 200_000], "\u{feff}".as_bytes().to_vec(), b"cut STATMSG: ID=50".to_vec()] {
        let scene = scene(&[good(), damage, start.clone().into_bytes()].concat());
        scene.run(&["run"]).exits(4).says("began");
        assert!(scene.held("vault").is_empty());
    }
}

#[test]
fn damage_behind_the_completion_asks_the_folder_and_says_so() {
    let damaged = [good(), vec![0; 500]].concat();
    let whole = scene(&damaged);
    let events = whole.run(&["--json", "run"]).exits(0).events();
    let started = events.iter().find(|event| event["event"] == "started").unwrap();
    assert!(started["evidence"].to_string().contains("damaged behind its last message"), "{started}");
    // With a quiet period it is watched for as long.
    let mut watched = scene(&damaged);
    watched.snapshot_keys = watched.snapshot_keys.replace("0s", "1s");
    watched.configure();
    watched.run(&["run"]).exits(0).says("Checking for 1 s that nothing changes");
    let half = scene(&damaged);
    fs::remove_file(half.snapshot().join("SiteServer/SMSServer/Logs/log7.log")).unwrap();
    half.run(&["run"]).exits(4);
}

#[test]
fn file_of_the_future_is_a_warning() {
    for log in [true, false] {
        let mut scene = scene(&good());
        if !log {
            scene.snapshot_keys = "quiet = '0s'\n".to_owned();
            scene.configure();
        }
        let future: Timestamp = "2100-01-01T00:00:00Z".parse().unwrap();
        touch(&scene.snapshot().join("SiteServer/SMSServer/Logs/log7.log"), future);
        scene.run(&["run"]).exits(0).says("log7.log is dated 2100-01-01T00:00:00Z, in the future");
        scene.run(&["run"]).exits(0).says("already archived");
    }
}

#[test]
fn configured_log_that_is_none_is_reported_and_costs_the_exit_code() {
    let other = "x  $$<SMS_EXECUTIVE><11-22-2021 01:00:00.000+000><thread=1 (0x1)>\r\n";
    for (bytes, words) in [
        (Some(other.as_bytes()), "is not the log of the backup task"),
        (Some(b"MZ\0\x01\0\0".as_slice()), "is not the log of the backup task"),
        (None, "cannot be read"),
    ] {
        let scene = scene(bytes.unwrap_or_default());
        if bytes.is_none() {
            fs::remove_file(scene.path("smsbkup.log")).unwrap();
        }
        scene.run(&["run"]).exits(3).says("smsbkup.log").says(words);
        assert_eq!(scene.manifests("vault"), 1);
    }
    // A folder, too.
    let scene = scene(b"");
    fs::remove_file(scene.path("smsbkup.log")).unwrap();
    fs::create_dir(scene.path("smsbkup.log")).unwrap();
    scene.run(&["run"]).exits(3).says("cannot be read");
}

#[test]
fn supplemental_files_never_cost_the_site_its_archive() {
    let entry = |keys: &str| format!("[[supplemental]]\nname = 'S'\n{keys}\n");
    for (keys, code, words) in [
        ("path = 'users/*/none'", 3, "nothing matches"),
        ("path = 'users/*/none'\noptional = true", 0, "Archived"),
        ("path = 'users/*/x'", 3, "would both be Supplemental/S/x"),
        ("path = 'users/*/x'\nas = '{1}/x'", 0, "Archived"),
    ] {
        let mut scene = scene(&good());
        for user in ["a", "b"] {
            fs::create_dir_all(scene.path(&format!("users/{user}"))).unwrap();
            fs::write(scene.path(&format!("users/{user}/x")), user).unwrap();
        }
        scene.section(&entry(keys));
        scene.run(&["run"]).exits(code).says(words);
        assert_eq!(scene.manifests("vault"), 1, "{keys}");
        // The archive lacks something tomorrow, too.
        let again = if words.contains("both") { 3 } else { 0 };
        scene.run(&["run"]).exits(again);
    }
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_and_what_cannot_be_represented_are_named_and_cost_the_exit_code() {
        let scene = scene(&good());
        let folder = scene.snapshot().join("SiteServer");
        symlink("/etc/passwd", folder.join("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
        scene.settle(at(COMPLETED) - SignedDuration::from_secs(1));
        let output = scene.run(&["run"]).exits(3);
        let output = output.says("XYZBackup/SiteServer/link is not in the archive: a link is not followed");
        output.says("XYZBackup/SiteServer/socket is not in the archive: neither file nor folder").exits(3);
        scene.run(&["show", crate::harness::ID]).exits(0).says("Skipped");
        scene.run(&["show", crate::harness::ID, "--files"]).exits(0).says("SiteServer/link is not in the archive");
        scene.run(&["run"]).exits(3).says("already archived");
    }

    #[test]
    fn folder_of_the_task_that_is_a_link_makes_an_archive_that_is_not_good() {
        for (name, code) in [("CD.Latest", 3), ("SiteServer", 6), ("SiteDBServer", 6)] {
            let scene = scene(&good());
            let elsewhere = scene.path("elsewhere");
            fs::rename(scene.snapshot().join(name), &elsewhere).unwrap();
            symlink(&elsewhere, scene.snapshot().join(name)).unwrap();
            scene.settle(at(COMPLETED) - SignedDuration::from_secs(1));
            let output = scene.run(&["run"]).exits(code).says(&format!("{name} is a link or junction"));
            output.says("write a real folder").exits(code);
            scene.run(&["show", crate::harness::ID]).exits(0).says(&format!("{name}: it was a link"));
            let list = scene.run(&["--json", "list"]);
            assert_eq!(list.json()["archives"][0]["good"], false, "{name}");
        }
    }
}
