//! The process ends at any moment: nothing half is visible, and the next one completes and cleans up.
//!
//! The moments are spread over the time that a command takes, so that how many of them hit it depends on the machine:
//! these tests are a campaign to be run now and then, by `deploy/test.sh campaign`. That nothing half is left at the
//! points that matter is what stop.rs tests, every time.

use std::fs;
use std::process::Child;
#[cfg(unix)]
use std::process::Stdio;
use std::time::{Duration, Instant};

use jiff::SignedDuration;

use crate::harness::{
    COMPLETED, ID, Scene, assert_part_of, assert_same_tree, at, names, noise, remove_tree, text, touch, tree,
};

/// So many moments, spread over the duration of a full run. Processes start slowly under Wine, and the moments are the
/// same.
const MOMENTS: u32 = if cfg!(windows) { 10 } else { 40 };

/// Larger, so that there is time to be killed in: some 40 MB that do not compress, and small files.
fn large_scene() -> Scene {
    let scene = Scene::new();
    for number in 0..4 {
        scene.file(&format!("SiteServer/big{number}.bin"), &noise(number, 10 << 20));
    }
    for number in 0..1500_usize {
        scene.file(&format!("SiteServer/small/{}/file{number}", number % 20), &text(number * 7 % 5000));
    }
    scene.complete(COMPLETED);
    scene
}

/// How long the program takes, at least.
fn duration(scene: &Scene, args: &[&str]) -> Duration {
    let begun = Instant::now();
    scene.run(args).exits(0);
    begun.elapsed()
}

/// The moments, in no particular order, the same in every run of the test but for the duration.
fn moments(whole: Duration) -> impl Iterator<Item = Duration> {
    (0..MOMENTS).map(move |number| {
        // 13 and the number of moments have no common factor: every one comes once.
        let at = f64::from(number * 13 % MOMENTS) + f64::from(number * 7 % 10) / 10.0;
        whole.mul_f64(at / f64::from(MOMENTS))
    })
}

/// Kills the process at a moment. `false` if it had ended before.
fn kill_after(mut child: Child, moment: Duration) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < moment {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    child.kill().unwrap();
    #[cfg(unix)]
    let killed = std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()).is_some();
    #[cfg(not(unix))]
    let killed = !child.wait().unwrap().success();
    killed
}

/// Every manifest has its archive, whole.
#[track_caller]
fn assert_nothing_half(scene: &Scene, destination: &str) {
    let listed = scene.run(&["list", "--json"]).exits(0).json();
    for archive in listed["archives"].as_array().unwrap() {
        assert_eq!(archive["incomplete_on"].as_array().unwrap().len(), 0, "{archive}");
    }
    assert_eq!(listed["destinations"][0]["problems"].as_array().unwrap().len(), 0, "{listed}");
    for name in scene.held(destination) {
        if let Some(id) = name.strip_suffix(".json") {
            assert!(scene.held(destination).contains(&format!("{id}.tar.zst")), "{name} has no archive");
        }
    }
}

#[test]
#[ignore = "takes minutes: deploy/test.sh campaign"]
fn run_that_is_killed_leaves_nothing_half_and_the_next_one_completes() {
    let scene = large_scene();
    let whole = duration(&scene, &["run"]);
    let site = scene.path("vault/XYZ");
    fs::remove_dir_all(&site).unwrap();
    let (mut killed, mut with_leftovers) = (0, 0);
    for moment in moments(whole.mul_f64(1.05)) {
        killed += u32::from(kill_after(scene.spawn(&["run"]), moment));
        assert_nothing_half(&scene, "vault");
        if scene.manifest("vault").exists() {
            scene.run(&["verify"]).exits(0);
            fs::remove_dir_all(&site).unwrap();
        } else {
            // They stay there: the next run has to cope with them.
            with_leftovers += u32::from(!scene.held("vault").is_empty());
        }
    }
    eprintln!("{killed} of {MOMENTS} killed, {with_leftovers} with leftovers");
    scene.run(&["run"]).exits(0);
    assert_eq!(scene.held("vault"), [format!("{ID}.json"), format!("{ID}.tar.zst")]);
    scene.run(&["verify"]).exits(0);
}

/// Only the partial archive was removed, until a run was killed at just that moment.
#[test]
fn partial_manifest_of_a_killed_run_is_removed_by_the_next_one() {
    let scene = Scene::new();
    scene.complete(COMPLETED);
    let site = scene.path("vault/XYZ");
    fs::create_dir_all(&site).unwrap();
    let partial = site.join(format!(".{ID}.json.partial-4711"));
    fs::write(&partial, "{").unwrap();
    // What is young may be another host's.
    touch(&partial, at(COMPLETED));
    scene.run(&["run"]).exits(0);
    assert_eq!(scene.held("vault"), [format!("{ID}.json"), format!("{ID}.tar.zst")]);
}

#[test]
#[ignore = "takes minutes: deploy/test.sh campaign"]
fn fetch_that_is_killed_leaves_no_half_file_and_the_next_one_completes() {
    let scene = large_scene();
    scene.run(&["run"]).exits(0);
    let fetch = ["fetch", "latest", "--to", "back"];
    let back = scene.path("back");
    let whole = duration(&scene, &fetch);
    remove_tree(&back);
    let archived = tree(&scene.snapshot());
    let (mut killed, mut some) = (0, 0);
    for (number, moment) in moments(whole.mul_f64(1.05)).enumerate() {
        killed += u32::from(kill_after(scene.spawn(&fetch), moment));
        let fetched = back.join("XYZBackup");
        if fetched.exists() {
            some += u32::from(assert_part_of(&fetched, &archived) > 0);
        }
        if number % 8 == 7 {
            scene.run(&fetch).exits(0);
            assert_eq!(names(&back), ["XYZBackup"]);
            assert_same_tree(&fetched, &scene.snapshot());
        }
        // Some begin anew, some go on where the one before was killed.
        if number % 2 == 1 {
            remove_tree(&back);
        }
    }
    eprintln!("{killed} of {MOMENTS} killed, {some} with files");
}

#[test]
#[ignore = "takes minutes: deploy/test.sh campaign"]
fn raw_fetch_that_is_killed_leaves_no_half_archive() {
    let scene = large_scene();
    scene.run(&["run"]).exits(0);
    let fetch = ["fetch", "latest", "--raw", "--to", "back"];
    let whole = duration(&scene, &fetch);
    let back = scene.path("back");
    let archive = fs::read(scene.archive("vault")).unwrap();
    for moment in moments(whole).step_by(4) {
        remove_tree(&back);
        fs::create_dir(&back).unwrap();
        kill_after(scene.spawn(&fetch), moment);
        let place = back.join(format!("{ID}.tar.zst"));
        assert!(!place.exists() || fs::read(&place).unwrap() == archive);
    }
}

#[test]
#[ignore = "takes minutes: deploy/test.sh campaign"]
fn prune_that_is_killed_leaves_nothing_half_and_the_next_one_completes() {
    const ARCHIVES: i64 = if cfg!(windows) { 20 } else { 60 };
    let mut scene = Scene::bare();
    scene.database();
    scene.file("SiteServer/x", b"x");
    scene.section("[retention]\nlast = 1000");
    for day in 0..ARCHIVES {
        let completed = at(COMPLETED) + SignedDuration::from_hours(24 * day);
        scene.complete(&completed.to_string());
        scene.run(&["run"]).exits(0);
    }
    scene.sections = "[retention]\nlast = 1\n".to_owned();
    scene.configure();
    let full = scene.path("full");
    crate::harness::copy_tree(&scene.path("vault"), &full);
    let again = || {
        fs::remove_dir_all(scene.path("vault")).unwrap();
        crate::harness::copy_tree(&full, &scene.path("vault"));
    };
    let (mut killed, mut partly) = (0, 0);
    for moment in 0..MOMENTS {
        again();
        // Everything but one archive goes: killed when so many files are left.
        let left = usize::try_from(moment * 3).unwrap() + 3;
        let mut child = scene.spawn(&["prune"]);
        crate::harness::until("prune gets there", || {
            scene.held("vault").len() <= left || child.try_wait().unwrap().is_some()
        });
        #[cfg(unix)]
        if moment % 2 == 1 {
            // It may have ended already.
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
            let code = child.wait().unwrap().code();
            // Before it listens to signals, it just dies.
            assert!(matches!(code, Some(0 | 130) | None), "{code:?}");
            let left = scene.manifests("vault");
            assert!(left == 1 || code != Some(0), "{left} archives are left");
        }
        killed += u32::from(kill_after(child, Duration::ZERO));
        assert_nothing_half(&scene, "vault");
        let left = scene.held("vault").len();
        partly += u32::from(left > 2 && left < usize::try_from(ARCHIVES).unwrap() * 2);
        scene.run(&["prune"]).exits(0);
        assert_eq!(scene.manifests("vault"), 1);
    }
    eprintln!("{killed} of {MOMENTS} killed, {partly} in the middle");
}

#[cfg(unix)]
#[test]
fn run_that_is_interrupted_while_it_waits_for_quiet_says_so() {
    use std::io::{BufRead, BufReader};
    let mut scene = Scene::new();
    fs::remove_file(scene.snapshot().join("smsbkup.log")).unwrap();
    touch(&scene.snapshot(), at(COMPLETED));
    // Quiet cannot be told from the times: it takes a hundred years.
    scene.snapshot_key("quiet = '100 years'");
    let mut child = scene.command(&["run"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    let waits = lines.any(|line| {
        said = line.unwrap();
        said.starts_with("Checking for")
    });
    assert!(waits, "the last line is: {said}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    crate::harness::until("it ends", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(names(&scene.path("vault")).is_empty());
}
