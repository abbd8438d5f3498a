//! The resident watcher as a process, in real time: with file events and without, beside one-shots, and stopped.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use afterbackup::cancel::Cancel;
use afterbackup::clock::Clock;
use afterbackup::engine::context::Context;
use afterbackup::engine::state::StateFile;
use afterbackup::monitor::Collector;
use afterbackup::watch;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::harness::{
    COMPLETED, ID, Scene, at, log_of_completed_run, noise, remove_tree, started, status_message, touch, until,
};

/// The day after.
const NEXT: &str = "2021-11-23T23:59:00Z";
const NEXT_ID: &str = "XYZ-20211123T235900Z";

/// A running watcher and what it has told.
struct Resident {
    child: Child,
    events: Arc<Mutex<Vec<Value>>>,
}

impl Resident {
    fn start(scene: &Scene) -> Self {
        let mut child =
            started(|| scene.command(&["--json", "watch"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn());
        let events = Arc::new(Mutex::new(Vec::new()));
        let (lines, told) = (BufReader::new(child.stdout.take().unwrap()).lines(), Arc::clone(&events));
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                told.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        let resident = Self { child, events };
        resident.tells("watching");
        resident
    }

    fn told(&self, kind: &str) -> Vec<Value> {
        self.events.lock().unwrap().iter().filter(|event| event["event"] == kind).cloned().collect()
    }

    /// Waits for an event of this kind.
    #[track_caller]
    fn tells(&self, kind: &str) -> Value {
        until(kind, || !self.told(kind).is_empty());
        self.told(kind).remove(0)
    }

    /// Asks it to stop as systemd does, and waits.
    #[cfg(unix)]
    fn stop(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A completed snapshot, and the log outside it that says so.
fn scene(watch_keys: &str) -> Scene {
    let mut scene = Scene::new();
    fs::create_dir(scene.path("Logs")).unwrap();
    fs::write(scene.path("Logs/smsbkup.log"), log_of_completed_run(at(COMPLETED))).unwrap();
    scene.snapshot_key("log = 'Logs/smsbkup.log'");
    scene.section(&format!("[watch]\n{watch_keys}"));
    scene.section("[report]\noverdue = '100 years'");
    scene
}

fn say(scene: &Scene, id: u32, time: &str) {
    let mut log = File::options().append(true).open(scene.path("Logs/smsbkup.log")).unwrap();
    log.write_all(status_message(id, at(time)).as_bytes()).unwrap();
}

/// The next run of the task, from its start to its end.
fn back_up_again(scene: &Scene) {
    say(scene, 5055, "2021-11-23T23:30:00Z");
    fs::remove_file(scene.snapshot().join("BackupDocument.xml")).unwrap();
    scene.file("SiteServer/SMSServer/data/hman.ini", b"[hman]\r\nof the next day");
    scene.complete(NEXT);
    say(scene, 5035, NEXT);
}

fn archives(scene: &Scene) -> Vec<String> {
    scene.held("vault").iter().filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).collect()
}

fn each_snapshot_is_archived_once(watch_keys: &str, events: bool) {
    let scene = scene(watch_keys);
    let watcher = Resident::start(&scene);
    assert_eq!(watcher.tells("watching")["events"], events);
    // The one that was there before it came.
    until("the first archive", || archives(&scene) == [ID]);
    back_up_again(&scene);
    until("the second archive", || archives(&scene) == [ID, NEXT_ID]);
    until("two archives told", || watcher.told("archived").len() == 2);
    scene.run(&["verify"]).exits(0);
    assert!(watcher.told("missed").is_empty());
    drop(watcher);
    // It knows what is archived when it is started again.
    let watcher = Resident::start(&scene);
    watcher.tells("already-archived");
    assert!(watcher.told("started").is_empty());
}

#[test]
fn with_file_events_each_snapshot_is_archived_once() {
    each_snapshot_is_archived_once("poll = '1h'", true);
}

#[test]
fn by_polling_alone_each_snapshot_is_archived_once() {
    each_snapshot_is_archived_once("events = false\npoll = '1s'", false);
}

#[test]
fn watcher_that_cannot_see_the_snapshot_says_so_once_and_goes_on() {
    let scene = scene("events = false\npoll = '1s'");
    let away = scene.path("away");
    fs::rename(scene.path("E"), &away).unwrap();
    let watcher = Resident::start(&scene);
    let blind = watcher.tells("source-unreadable");
    assert!(blind["message"].as_str().unwrap().contains("does not exist"), "{blind}");
    fs::rename(&away, scene.path("E")).unwrap();
    until("the archive", || archives(&scene) == [ID]);
    assert_eq!((watcher.told("source-unreadable").len(), watcher.told("source-readable").len()), (1, 1));
}

#[test]
fn folder_that_is_deleted_and_made_again_is_watched_on() {
    let scene = scene("poll = '1s'");
    let watcher = Resident::start(&scene);
    until("the first archive", || archives(&scene) == [ID]);
    say(&scene, 5055, "2021-11-23T23:30:00Z");
    watcher.tells("backup-running");
    let copy = scene.path("copy");
    fs::rename(scene.path("E"), &copy).unwrap();
    watcher.tells("source-unreadable");
    fs::rename(&copy, scene.path("E")).unwrap();
    scene.complete(NEXT);
    say(&scene, 5035, NEXT);
    until("the second archive", || archives(&scene) == [ID, NEXT_ID]);
}

#[test]
fn failed_backup_and_overdue_archives_are_told() {
    let mut scene = scene("");
    scene.sections = scene.sections.replace("100 years", "5 days");
    scene.configure();
    say(&scene, 5055, "2021-11-23T23:30:00Z");
    say(&scene, 5049, "2021-11-23T23:40:00Z");
    let watcher = Resident::start(&scene);
    let failed = watcher.tells("backup-failed");
    assert_eq!(failed["id"], 5049);
    watcher.tells("overdue");
    assert!(archives(&scene).is_empty());
}

#[test]
fn second_watcher_of_a_configuration_is_refused() {
    let scene = scene("");
    let _watcher = Resident::start(&scene);
    scene.run(&["watch"]).exits(5).says("a watcher is already at work").says("hint:");
}

/// A destination that takes its time, so that there is some in which to do things.
fn slow_scene() -> Scene {
    let mut scene = scene("poll = '1s'");
    scene.file("SiteServer/big.bin", &noise(3, 12 << 20));
    scene.complete(COMPLETED);
    scene.destinations.clear();
    scene.destination("vault\nbandwidth = '16 Mbit/s'");
    scene
}

#[test]
fn one_shot_waits_for_the_watcher_and_reports_what_came_of_it() {
    let scene = slow_scene();
    let watcher = Resident::start(&scene);
    watcher.tells("started");
    let output = scene.run(&["--json", "run"]).exits(0);
    let events = output.events();
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["waiting", "done-by-watcher", "finished"], "{output}");
    assert_eq!((&events[1]["archive"], &events[2]["exit_code"]), (&ID.into(), &0.into()));
    assert_eq!(watcher.told("archived").len(), 1);
    assert_eq!(archives(&scene), [ID]);
}

#[test]
fn one_shot_that_may_not_wait_hands_over_and_archives_itself_where_nobody_watches() {
    let scene = slow_scene();
    let watcher = Resident::start(&scene);
    watcher.tells("started");
    scene.run(&["run", "--no-wait"]).exits(0).says("Handed over");
    assert!(archives(&scene).is_empty());
    until("the archive", || archives(&scene) == [ID]);
    drop(watcher);
    scene.run(&["run", "--no-wait"]).exits(0).says("already archived");
}

#[test]
fn request_of_a_one_shot_wakes_the_watcher() {
    let scene = scene("events = false\npoll = '1h'");
    let watcher = Resident::start(&scene);
    until("the first archive", || archives(&scene) == [ID]);
    watcher.tells("archived");
    back_up_again(&scene);
    scene.run(&["run", "--no-wait"]).exits(0).says("Handed over");
    until("the second archive", || archives(&scene) == [ID, NEXT_ID]);
}

#[test]
fn watcher_lets_go_of_the_snapshot_when_the_task_begins_again() {
    let mut scene = slow_scene();
    // Read to its end, it would be told of in ten minutes: longer than anything is waited for here.
    scene.destinations.clear();
    scene.destination("vault\nbandwidth = '160 kbit/s'");
    let watcher = Resident::start(&scene);
    watcher.tells("started");
    #[cfg(target_os = "linux")]
    until("a file is read", || !handles(&watcher, &scene).is_empty());
    say(&scene, 5055, "2021-11-23T23:30:00Z");
    let changed = watcher.tells("changed");
    assert!(changed["message"].as_str().unwrap().contains("began again"), "{changed}");
    #[cfg(target_os = "linux")]
    assert_eq!(handles(&watcher, &scene), Vec::<std::path::PathBuf>::new());
    // On Windows the task could not remove what is open.
    remove_tree(&scene.snapshot());
    let missed = watcher.tells("missed");
    assert_eq!(missed["archive"], ID);
    until("nothing is left of the attempt", || scene.held("vault").is_empty());
}

/// What of the snapshot the process has open, or works in.
#[cfg(target_os = "linux")]
fn handles(watcher: &Resident, scene: &Scene) -> Vec<std::path::PathBuf> {
    let process = std::path::PathBuf::from(format!("/proc/{}", watcher.child.id()));
    let entries = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let links = entries.map(|entry| entry.path()).chain([process.join("cwd")]);
    let snapshot = scene.snapshot().canonicalize().unwrap_or_else(|_| scene.snapshot());
    links.filter_map(|link| fs::read_link(link).ok()).filter(|place| place.starts_with(&snapshot)).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn idle_watcher_holds_nothing_of_the_snapshot_not_even_its_working_directory() {
    let scene = scene("");
    let mut command = scene.command(&["--json", "watch"]);
    command.current_dir(scene.snapshot()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = started(|| command.spawn());
    let watcher = Resident { child, events: Arc::default() };
    until("the archive", || archives(&scene) == [ID]);
    until("nothing is open", || handles(&watcher, &scene).is_empty());
}

#[cfg(unix)]
#[test]
fn watcher_stops_when_asked_and_drops_what_is_not_whole() {
    let scene = slow_scene();
    let mut watcher = Resident::start(&scene);
    watcher.tells("started");
    let begun = std::time::Instant::now();
    assert_eq!(watcher.stop(), Some(0));
    assert!(begun.elapsed() < crate::harness::PATIENCE);
    until("the last word", || !watcher.told("stopped").is_empty());
    assert!(scene.held("vault").is_empty(), "{:?}", scene.held("vault"));
    // The next one makes it.
    let mut watcher = Resident::start(&scene);
    until("the archive", || archives(&scene) == [ID]);
    watcher.tells("archived");
    assert_eq!(watcher.stop(), Some(0));
}

#[test]
fn what_a_destination_missed_is_brought_there_while_the_snapshot_is_still_there() {
    let mut scene = scene("poll = '1s'");
    scene.destination("second");
    fs::rename(scene.path("second"), scene.path("unplugged")).unwrap();
    let watcher = Resident::start(&scene);
    watcher.tells("push-failed");
    fs::rename(scene.path("unplugged"), scene.path("second")).unwrap();
    // Not before the first repetition, a minute later.
    until("the second copy", || scene.manifests("second") == 1);
    assert_eq!(archives(&scene), [ID]);
}

#[test]
fn state_tells_who_did_what() {
    let scene = scene("");
    let watcher = Resident::start(&scene);
    watcher.tells("archived");
    let file = StateFile::of(&scene.loaded());
    until("it is noted", || {
        let text = fs::read(file.path()).unwrap_or_default();
        serde_json::from_slice::<Value>(&text).is_ok_and(|state| state["sites"]["XYZ"]["archive"] == ID)
    });
    let state: Value = serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap();
    assert_eq!((&state["sites"]["XYZ"]["by"], &state["sites"]["XYZ"]["exit_code"]), (&"watch".into(), &0.into()));
    let finished = state["sites"]["XYZ"]["finished"].as_str().unwrap();
    assert!(at(finished) > at(COMPLETED) + SignedDuration::from_hours(1));
}

/// A fault of the program, at the first look.
#[derive(Debug)]
struct Broken;

impl Clock for Broken {
    fn now(&self) -> Timestamp {
        panic!("a fault of this program, made for a test")
    }
}

#[test]
fn fault_of_the_program_ends_the_watcher_so_that_it_is_started_again() {
    let scene = scene("");
    let (config, cancel) = (scene.loaded(), Cancel::new());
    let monitor = Collector::default();
    let context = Context { config: &config, targets: &[], clock: &Broken, monitor: &monitor, cancel: &cancel };
    let watched = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| watch::watch(&context, || {})));
    assert!(watched.is_err() && cancel.is_cancelled());
}

#[test]
fn snapshot_that_was_archived_while_the_log_was_away_is_not_archived_again_under_another_name() {
    let scene = scene("");
    // The copy was made before the end, so the metadata gives the name.
    let began = at(COMPLETED) - SignedDuration::from_mins(30);
    let copy = scene.snapshot().join("smsbkup.log");
    fs::write(&copy, status_message(5055, began)).unwrap();
    touch(&copy, began);
    fs::rename(scene.path("Logs"), scene.path("away")).unwrap();
    scene.run(&["run"]).exits(3).says("XYZ-20211122T235859Z").says("cannot be read");
    fs::rename(scene.path("away"), scene.path("Logs")).unwrap();
    scene.run(&["run"]).exits(0).says("XYZ-20211122T235859Z is already archived");
    let watcher = Resident::start(&scene);
    watcher.tells("already-archived");
    assert_eq!(archives(&scene), ["XYZ-20211122T235859Z"]);
}

#[test]
fn snapshot_is_not_even_listed_while_the_log_says_that_the_task_is_at_work() {
    let scene = scene("");
    say(&scene, 5055, "2021-11-23T23:30:00Z");
    // Whoever looks into it stumbles over this.
    fs::remove_dir_all(scene.snapshot().join("SiteServer")).unwrap();
    fs::write(scene.snapshot().join("SiteServer"), "no folder any more").unwrap();
    scene.run(&["run"]).exits(4).says("it is running, or was aborted").says_not("SiteServer");
    scene.run(&["status"]).says("not read: ").says_not("SiteServer");
}

#[cfg(unix)] // A command that waits, which cmd.exe cannot.
#[test]
fn one_shot_waits_for_the_watcher_also_while_commands_run_before_and_after() {
    let mut scene = scene("poll = '1s'");
    let go = scene.path("go");
    let wait = format!("while [ ! -e '{}' ]; do sleep 0.05; done", go.display());
    scene.section(&format!("[hooks]\nrun-before = [\"{wait}\"]"));
    let _watcher = Resident::start(&scene);
    until("it is known who is at work", || {
        afterbackup::platform::lock::holder(&scene.path("lock")).is_some_and(|holder| holder.command == "watch")
    });
    let mut one_shot = started(|| scene.command(&["--json", "run"]).stdout(Stdio::piped()).spawn());
    let mut lines = BufReader::new(one_shot.stdout.take().unwrap()).lines();
    let waiting: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(waiting["event"], "waiting");
    fs::write(go, "").unwrap();
    let rest: Vec<Value> = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert_eq!((&rest[0]["event"], &rest[1]["exit_code"]), (&"done-by-watcher".into(), &0.into()), "{rest:?}");
    assert_eq!(one_shot.wait().unwrap().code(), Some(0));
}

#[test]
fn what_was_missed_is_told_also_when_log_and_destination_come_late() {
    let scene = scene("events = false\npoll = '1s'");
    scene.run(&["run"]).exits(0);
    // Completed and gone while nobody watched; the next one is there.
    say(&scene, 5055, "2021-11-23T22:00:00Z");
    say(&scene, 5035, "2021-11-23T22:30:00Z");
    back_up_again(&scene);
    fs::rename(scene.path("Logs"), scene.path("no logs")).unwrap();
    fs::rename(scene.path("vault"), scene.path("no vault")).unwrap();
    let watcher = Resident::start(&scene);
    watcher.tells("source-unreadable");
    fs::rename(scene.path("no logs"), scene.path("Logs")).unwrap();
    watcher.tells("push-failed");
    assert!(watcher.told("missed").is_empty());
    fs::rename(scene.path("no vault"), scene.path("vault")).unwrap();
    let missed = watcher.tells("missed");
    assert_eq!(missed["archive"], "XYZ-20211123T223000Z");
    assert_eq!(watcher.told("missed").len(), 1);
}
