//! The process dies at every named point of the protocol in turn: nothing half is visible, and the next one completes.
//!
//! The points are those of `src/stop_point.rs`. Which ones a command passes is written down here, so that a point that
//! is no longer passed is a failed test, not one that tests less.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::SignedDuration;

use crate::bucket::Cloud;
use crate::differential_run;
use crate::harness::{
    COMPLETED, ID, Output, Scene, assert_part_of, assert_same_tree, at, copy_tree, names, noise, remove_tree, tree,
};

/// The exit code of a process that a point has ended.
const STOPPED: i32 = 99;

/// What a destination holds when all is well.
fn whole(encrypted: bool) -> [String; 2] {
    [format!("{ID}.json"), format!("{ID}.tar.zst{}", if encrypted { ".age" } else { "" })]
}

/// The same command of the program that was built with the tests: a released one has no points.
fn with_points(command: &Command, variable: &str, value: impl AsRef<OsStr>) -> Command {
    let mut other = Command::new(env!("CARGO_BIN_EXE_afterbackup"));
    other.args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other.current_dir(command.get_current_dir().unwrap()).env(format!("AFTERBACKUP_TEST_{variable}"), value);
    other
}

/// The points that a command passes, each with how often.
fn points_of(command: &Command, trace: &Path) -> BTreeMap<String, u32> {
    drop(fs::remove_file(trace));
    Output::of(with_points(command, "TRACE", trace)).exits(0);
    let mut points = BTreeMap::new();
    for line in fs::read_to_string(trace).unwrap().lines() {
        *points.entry(line.to_owned()).or_default() += 1;
    }
    points
}

/// Runs a command that ends at a point.
fn stop_at(command: &Command, point: &str) {
    Output::of(with_points(command, "STOP", point)).exits(STOPPED);
}

/// Lets a command die at every point: at each the first two times, in the middle and at the end of its passing. Before
/// each death `prepare` is called, after it `check`.
fn at_every_point(
    trace: &Path,
    expected: &[&str],
    command: impl Fn() -> Command,
    mut prepare: impl FnMut(),
    mut check: impl FnMut(&str),
) {
    prepare();
    let points = points_of(&command(), trace);
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    expected.dedup();
    assert_eq!(points.keys().collect::<Vec<_>>(), expected, "the points that are passed");
    for (name, &count) in &points {
        let mut times = vec![1, 2.min(count), count.div_ceil(2), count];
        times.sort_unstable();
        times.dedup();
        for number in times {
            let point = format!("{name}#{number}");
            prepare();
            stop_at(&command(), &point);
            check(&point);
        }
    }
}

/// Every manifest has its archive, whole.
#[track_caller]
fn assert_nothing_half(scene: &Scene, destinations: &[&str], point: &str) {
    let listed = scene.run(&["list"]);
    // An archive whose manifest is gone, or not there yet, may be mentioned.
    assert!(matches!(listed.code, Some(0 | 3)), "{point}: {listed}");
    for destination in destinations {
        let held = scene.held(destination);
        for id in held.iter().filter_map(|name| name.strip_suffix(".json")) {
            let is_archive = |name: &String| {
                name.strip_prefix(id)
                    .is_some_and(|rest| rest.starts_with(".tar.zst") || rest.starts_with(".diff.tar.zst"))
            };
            assert!(held.iter().any(is_archive), "{point}: {id} has no archive: {held:?}");
            scene.run(&["verify", id, "--destination", destination]).exits(0);
        }
    }
}

const IN_A_FOLDER: &[&str] = &["folder-made", "partial-created", "partial-grown", "partial-synced", "file-named"];
const OF_A_RUN: &[&str] =
    &["prepared", "snapshot-read", "looked-again", "archive-stored", "archive-read-back", "committed", "state-written"];

fn run_that_dies(scene: &Scene, destinations: &[&str], encrypted: bool, more: &[&str]) {
    let expected = [IN_A_FOLDER, OF_A_RUN, more].concat();
    at_every_point(
        &scene.path("trace"),
        &expected,
        || scene.command(&["run"]),
        || destinations.iter().for_each(|name| remove_tree(&scene.path(name).join("XYZ"))),
        |point| {
            if !encrypted {
                assert_nothing_half(scene, destinations, point);
            }
            scene.run(&["run"]).exits(0);
            for destination in destinations {
                assert_eq!(scene.held(destination), whole(encrypted), "{point}");
            }
        },
    );
    if !encrypted {
        scene.run(&["verify"]).exits(0);
    }
}

#[test]
fn run_that_dies_at_any_point_leaves_nothing_half_and_the_next_one_completes() {
    run_that_dies(&Scene::new(), &["vault"], false, &[]);
}

#[test]
fn run_to_two_destinations_that_dies_at_any_point_is_completed_on_both() {
    let mut scene = Scene::new();
    scene.destination("offsite");
    run_that_dies(&scene, &["vault", "offsite"], false, &[]);
}

#[test]
fn encrypted_run_that_dies_at_any_point_is_completed() {
    let mut scene = Scene::new();
    let identity = age::x25519::Identity::generate();
    scene.section(&format!("[archive]\nrecipients = ['{}']", identity.to_public()));
    run_that_dies(&scene, &["vault"], true, &[]);
}

#[test]
fn run_that_prunes_and_dies_at_any_point_is_completed() {
    let (scene, _) = scene_to_prune();
    let full = scene.path("full");
    scene.complete(&(at(COMPLETED) + SignedDuration::from_hours(24 * 9)).to_string());
    // The site's folder is there.
    let expected = [&IN_A_FOLDER[1..], OF_A_RUN, PRUNING].concat();
    at_every_point(
        &scene.path("trace"),
        &expected,
        || scene.command(&["run"]),
        || again(&scene, &full),
        |point| {
            assert_nothing_half(&scene, &["vault"], point);
            scene.run(&["run"]).exits(0);
            // Whatever an earlier run has made, nothing that is newer than what is kept went.
            assert_eq!(scene.manifests("vault"), 1, "{point}");
            assert!(scene.held("vault").contains(&"XYZ-20211201T235900Z.json".to_owned()), "{point}");
        },
    );
}

/// The first four are those of the note that a removal begins.
const PRUNING: &[&str] = &[
    "partial-created",
    "partial-grown",
    "partial-synced",
    "file-named",
    "manifest-goes",
    "archive-goes",
    "pin-goes",
    "archive-gone",
];

/// Five archives, of which one is to be kept, and a copy of them.
fn scene_to_prune() -> (Scene, PathBuf) {
    let mut scene = Scene::bare();
    scene.database();
    scene.file("SiteServer/x", b"x");
    scene.section("[retention]\nlast = 1000");
    for day in 0..5 {
        scene.complete(&(at(COMPLETED) + SignedDuration::from_hours(24 * day)).to_string());
        scene.run(&["run"]).exits(0);
    }
    scene.sections.clear();
    scene.section("[retention]\nlast = 1");
    let full = scene.path("full");
    copy_tree(&scene.path("vault"), &full);
    (scene, full)
}

fn again(scene: &Scene, full: &Path) {
    remove_tree(&scene.path("vault"));
    copy_tree(full, &scene.path("vault"));
}

#[test]
fn prune_that_dies_at_any_point_leaves_nothing_half_and_the_next_one_completes() {
    let (scene, full) = scene_to_prune();
    at_every_point(
        &scene.path("trace"),
        PRUNING,
        || scene.command(&["prune"]),
        || again(&scene, &full),
        |point| {
            assert_nothing_half(&scene, &["vault"], point);
            let before = scene.manifests("vault");
            assert!(before >= 1, "{point}");
            scene.run(&["prune"]).exits(0);
            assert_eq!(scene.manifests("vault"), 1, "{point}");
            assert_nothing_half(&scene, &["vault"], point);
        },
    );
}

#[test]
fn differential_run_that_dies_at_any_point_is_completed() {
    let scene = differential_run::scene();
    differential_run::snapshot(&scene, 0);
    scene.run(&["run"]).exits(0);
    differential_run::snapshot(&scene, 1);
    let full = scene.path("full");
    copy_tree(&scene.path("vault"), &full);
    let expected = [&IN_A_FOLDER[1..], OF_A_RUN].concat();
    at_every_point(
        &scene.path("trace"),
        &expected,
        || scene.command(&["run"]),
        || again(&scene, &full),
        |point| {
            assert_nothing_half(&scene, &["vault"], point);
            scene.run(&["run"]).exits(0);
            let id = differential_run::id(1);
            assert!(scene.held("vault").contains(&format!("{id}.diff.tar.zst")), "{point}: {:?}", scene.held("vault"));
            assert_eq!(scene.manifests("vault"), 2, "{point}");
            scene.run(&["verify", "--deep", &id]).exits(0);
        },
    );
}

#[test]
fn prune_of_a_chain_that_dies_at_any_point_never_leaves_an_archive_without_its_base() {
    let mut scene = differential_run::scene();
    scene.sections = scene.sections.replace("last = 3", "last = 9");
    scene.configure();
    for night in 0..5 {
        differential_run::snapshot(&scene, night);
        scene.run(&["run"]).exits(0);
    }
    differential_run::snapshot(&scene, 5);
    // All those before this one may go.
    scene.run(&["run", "--full"]).exits(0);
    scene.sections = "[retention]\nlast = 1\n".to_owned();
    scene.configure();
    let full = scene.path("full");
    copy_tree(&scene.path("vault"), &full);
    at_every_point(
        &scene.path("trace"),
        PRUNING,
        || scene.command(&["prune"]),
        || again(&scene, &full),
        |point| {
            assert_nothing_half(&scene, &["vault"], point);
            let listed = scene.run(&["list"]);
            assert!(!listed.stdout.contains("INCOMPLETE"), "{point}: {listed}");
            scene.run(&["prune"]).exits(0);
            assert_eq!(scene.manifests("vault"), 1, "{point}");
        },
    );
}

#[test]
fn pin_that_dies_at_any_point_can_be_repeated() {
    let scene = Scene::new();
    scene.run(&["run"]).exits(0);
    let full = scene.path("full");
    copy_tree(&scene.path("vault"), &full);
    at_every_point(
        &scene.path("trace"),
        &IN_A_FOLDER[1..],
        || scene.command(&["pin", "latest", "--reason", "before the upgrade"]),
        || again(&scene, &full),
        |point| {
            assert_nothing_half(&scene, &["vault"], point);
            scene.run(&["pin", "latest", "--reason", "before the upgrade"]).exits(0);
            assert!(scene.held("vault").contains(&format!("{ID}.pin")), "{point}");
            scene.run(&["verify"]).exits(0);
        },
    );
}

const OF_A_FETCH: &[&str] = &[
    "fetch-marked",
    "folders-made",
    "small-file-written",
    "large-file-created",
    "piece-written",
    "file-in-place",
    "folders-dated",
];

#[test]
fn fetch_that_dies_at_any_point_leaves_no_half_file_and_the_next_one_completes() {
    let scene = Scene::new();
    // Larger than what is written in one piece.
    scene.file("SiteServer/big.bin", &noise(3, 12 << 20));
    scene.complete(COMPLETED);
    scene.run(&["run"]).exits(0);
    let archived = tree(&scene.snapshot());
    let back = scene.path("back");
    let fetch = ["fetch", "latest", "--to", "back"];
    at_every_point(
        &scene.path("trace"),
        OF_A_FETCH,
        || scene.command(&fetch),
        || remove_tree(&back),
        |point| {
            let fetched = back.join("XYZBackup");
            if fetched.exists() {
                assert_part_of(&fetched, &archived);
            }
            scene.run(&fetch).exits(0);
            assert_eq!(names(&back), ["XYZBackup"], "{point}");
            assert_same_tree(&fetched, &scene.snapshot());
        },
    );
}

#[test]
fn raw_fetch_that_dies_at_any_point_leaves_no_half_archive() {
    let scene = Scene::new();
    scene.run(&["run"]).exits(0);
    let archive = fs::read(scene.archive("vault")).unwrap();
    let back = scene.path("back");
    let place = back.join(format!("{ID}.tar.zst"));
    at_every_point(
        &scene.path("trace"),
        &["raw-copied", "raw-archive-in-place"],
        || scene.command(&["fetch", "latest", "--raw", "--to", "back"]),
        || remove_tree(&back),
        |point| assert!(!place.exists() || fs::read(&place).unwrap() == archive, "{point}"),
    );
}

const IN_A_BUCKET: &[&str] =
    &["upload-begun", "journal-stored", "part-sent", "parts-stored", "upload-completed", "object-stored"];

#[test]
fn upload_to_a_bucket_that_dies_at_any_point_is_completed_by_the_next_run() {
    let trace = tempfile::tempdir().unwrap();
    // A server of its own for each point: this one keeps parts of uploads that it has forgotten.
    let points = points_of(&Cloud::new().command(&["run"]), &trace.path().join("trace"));
    let mut expected = [IN_A_BUCKET, OF_A_RUN].concat();
    expected.sort_unstable();
    assert_eq!(points.keys().collect::<Vec<_>>(), expected);
    for (name, count) in points {
        for number in if count == 1 { vec![1] } else { vec![1, count] } {
            let point = format!("{name}#{number}");
            let cloud = Cloud::new();
            stop_at(&cloud.command(&["run"]), &point);
            cloud.run(&["list"]);
            cloud.run(&["run"]).exits(0);
            assert_eq!(cloud.archives(), 1, "{point}");
            cloud.run(&["verify"]).exits(0);
            // Of an upload whose journal was not written yet nobody knows: the store's own rule removes it.
            if name != "upload-begun" {
                assert_eq!(cloud.server.orphaned_parts(), 0, "{point}");
            }
        }
    }
}

#[cfg(unix)]
mod signals {
    use rustix::process::{Pid, Signal, kill_process};

    use super::*;
    use crate::harness::until;

    /// Runs a command that is sent a signal while it waits at a point. Its exit code.
    fn interrupted_at(scene: &Scene, args: &[&str], point: &str, signal: Signal) -> i32 {
        let file = scene.path("held-here");
        drop(fs::remove_file(&file));
        let mut command = with_points(&scene.command(args), "HOLD", format!("{point}={}", file.display()));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until(point, || {
            assert!(child.try_wait().unwrap().is_none(), "{point} is not passed");
            file.exists()
        });
        kill_process(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap().code().unwrap()
    }

    #[test]
    fn run_that_is_interrupted_says_so_and_leaves_nothing() {
        let scene = Scene::new();
        let points = points_of(&scene.command(&["run"]), &scene.path("trace"));
        for (number, name) in points.keys().enumerate() {
            let signal = if number % 2 == 0 { Signal::TERM } else { Signal::INT };
            remove_tree(&scene.path("vault/XYZ"));
            let code = interrupted_at(&scene, &["run"], &format!("{name}#1"), signal);
            // What was read back is made visible: all the work is done.
            let too_late = ["archive-read-back", "committed", "state-written"].contains(&name.as_str());
            if too_late {
                assert_eq!(scene.held("vault"), whole(false), "{name}");
                assert!([0, 130].contains(&code), "{name}: {code}");
            } else {
                assert_eq!((code, scene.held("vault")), (130, vec![]), "{name}");
            }
            scene.run(&["run"]).exits(0);
            assert_eq!(scene.held("vault"), whole(false), "{name}");
        }
    }

    #[test]
    fn prune_that_is_interrupted_says_so_and_leaves_nothing_half() {
        let (scene, full) = scene_to_prune();
        for (number, name) in PRUNING.iter().enumerate() {
            again(&scene, &full);
            let signal = if number % 2 == 0 { Signal::TERM } else { Signal::INT };
            let code = interrupted_at(&scene, &["prune"], &format!("{name}#2"), signal);
            // The archive that it was at goes as a whole, and no other one.
            assert_eq!((code, scene.manifests("vault")), (130, 3), "{name}");
            assert_nothing_half(&scene, &["vault"], name);
        }
    }
}
