//! Hooks, heartbeat and metrics.

#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "metrics are whole numbers here")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use afterbackup::cancel::Cancel;
use afterbackup::clock::FixedClock;
use afterbackup::destination::Target;
use afterbackup::engine::context::Context;
use afterbackup::engine::state::By;
use afterbackup::health::Reminder;
use afterbackup::health::overdue::Verdict;
use afterbackup::monitor::{Collector, EventKind, Level};
use afterbackup::notify::Reporter;
use afterbackup::watch::Watcher;

use crate::harness::{COMPLETED, ID, Output, Scene, at, log_of_completed_run, names, remove_tree};
use crate::support::canned::{Answer, Canned};

/// A command that adds a line to a file beside the configuration.
fn note(text: &str) -> String {
    if cfg!(windows) { format!("echo {text}>>told") } else { format!("echo \"{text}\" >> told") }
}

/// The value of a variable in such a line.
fn variable(name: &str) -> String {
    if cfg!(windows) { format!("%{name}%") } else { format!("${name}") }
}

fn told(scene: &Scene) -> Vec<String> {
    let text = fs::read_to_string(scene.path("told")).unwrap_or_default();
    text.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// A scene whose hooks all note that they were run, and with what exit code.
fn noted() -> Scene {
    let mut scene = Scene::new();
    let lists = ["run-before", "run-after", "run-failed", "run-finally"].map(|list| {
        let (event, code) = (variable("AFTERBACKUP_EVENT"), variable("AFTERBACKUP_EXIT_CODE"));
        format!("{list} = ['{}']", note(&format!("{event} {code}.")))
    });
    scene.section(&format!("[hooks]\n{}", lists.join("\n")));
    scene
}

#[test]
fn hooks_are_run_around_a_good_run() {
    let scene = noted();
    scene.run(&["run"]).exits(0);
    assert_eq!(told(&scene), ["run-before .", "run-after 0.", "run-finally 0."]);
}

#[test]
fn hooks_are_run_around_a_failed_run() {
    let scene = noted();
    fs::remove_dir_all(scene.path("vault")).unwrap();
    scene.run(&["run"]).exits(1);
    assert_eq!(told(&scene), ["run-before .", "run-failed 1.", "run-finally 1."]);
}

#[test]
fn a_run_that_finds_no_snapshot_is_a_failed_one() {
    let scene = noted();
    remove_tree(&scene.snapshot());
    scene.run(&["run"]).exits(4);
    assert_eq!(told(&scene), ["run-before .", "run-failed 4.", "run-finally 4."]);
}

#[test]
fn hooks_learn_what_was_archived() {
    let mut scene = Scene::new();
    let line = ["SITE", "ARCHIVE", "MESSAGE"].map(|name| variable(&format!("AFTERBACKUP_{name}"))).join(" / ");
    scene.section(&format!("[hooks]\nrun-after = ['{}']", note(&line)));
    scene.run(&["run"]).exits(0);
    let told = told(&scene);
    assert!(told[0].starts_with(&format!("XYZ / {ID} / Archived {ID}: 39 files, ")), "{told:?}");
}

#[test]
fn a_run_does_not_begin_when_a_hook_before_it_fails() {
    let mut scene = noted();
    scene.sections = scene.sections.replace("run-before = [", "run-before = ['echo secret-word& exit 7', ");
    if cfg!(unix) {
        scene.sections = scene.sections.replace("secret-word& exit", "secret-word; exit");
    }
    scene.configure();
    let output = scene.run(&["run"]).exits(1).says("hook run-before number 1: ended with").says("nothing was touched");
    assert!(output.stderr.contains("run-before: secret-word"), "output is logged: {output}");
    assert!(!output.stderr.contains("exit 7"), "the command is not: {output}");
    assert_eq!(scene.manifests("vault"), 0);
    assert_eq!(told(&scene), ["run-failed 1.", "run-finally 1."]);
}

#[test]
fn failure_of_a_hook_means_what_the_configuration_says() {
    for (on_failure, before, after) in [("error", 1, 3), ("warn", 0, 0), ("ignore", 0, 0)] {
        for (list, code) in [("run-before", before), ("run-after", after), ("run-finally", after)] {
            let mut scene = Scene::new();
            scene.section(&format!("[hooks]\n{list} = [{{ command = 'exit 3', on-failure = '{on_failure}' }}]"));
            let output = scene.run(&["run"]).exits(code);
            let said = output.stderr.contains(&format!("hook {list} number 1: ended with"));
            assert_eq!(said, on_failure != "ignore", "{output}");
            assert_eq!(scene.manifests("vault"), usize::from(code != 1));
        }
    }
}

#[test]
fn exit_code_of_a_failed_run_is_not_that_of_its_hooks() {
    let mut scene = Scene::new();
    scene.section("[hooks]\nrun-failed = ['exit 3']\nrun-finally = ['exit 3']");
    remove_tree(&scene.snapshot());
    scene.run(&["run"]).exits(4);
}

#[cfg(unix)] // Wine's taskkill does not know /t, so that what the command has started goes on.
#[test]
fn a_hook_that_hangs_is_killed() {
    let mut scene = Scene::new();
    scene.section("[hooks]\nrun-after = ['sleep 600']\ntimeout = '500ms'");
    let begun = std::time::Instant::now();
    scene.run(&["run"]).exits(3).says("hook run-after number 1: was killed because it took longer than 500 ms");
    assert!(begun.elapsed() < crate::harness::PATIENCE);
}

#[test]
fn hooks_start_beside_the_configuration_and_never_in_the_snapshot() {
    let scene = Scene::new();
    let where_am_i = if cfg!(windows) { "cd" } else { "pwd -P" };
    let hooks = format!("[hooks]\nrun-before = ['{where_am_i}']\n");
    let beside = fs::read_to_string(scene.config()).unwrap() + &hooks;
    fs::write(scene.config(), &beside).unwrap();
    let real = fs::canonicalize(scene.root()).unwrap().to_string_lossy().replace(r"\\?\", "");
    scene.run(&["run"]).exits(0).says(&format!("run-before: {real}"));
    // A configuration in there is a mistake, but no reason to make the backup fail.
    let inside = beside.replace("path = 'E'", "path = '.'").replace("path = 'vault'", "path = '../vault'");
    fs::write(scene.path("E/inside.toml"), inside.replace("'lock'", "'../lock'")).unwrap();
    let mut command = crate::harness::program();
    command.arg("--config").arg(scene.path("E/inside.toml")).arg("run").current_dir(scene.root());
    let output = Output::of(command).says("run-before: ");
    assert!(!output.stderr.contains(&format!("run-before: {real}")), "{output}");
}

#[test]
fn hooks_are_run_around_attempts_of_the_watcher() {
    let mut scene = noted();
    scene.section("[report]\nmetrics-file = 'afterbackup.prom'");
    scene.snapshot_key("log = 'smsbkup.log'");
    fs::write(scene.path("smsbkup.log"), log_of_completed_run(at(COMPLETED))).unwrap();
    let (config, cancel, monitor) = (scene.loaded(), Cancel::new(), Collector::default());
    let targets = Target::all(&config, &cancel);
    let clock = FixedClock(at("2021-11-23T01:00:00Z"));
    let context = Context { config: &config, targets: &targets, clock: &clock, monitor: &monitor, cancel: &cancel };
    let mut watcher = Watcher::new(context);
    watcher.step(Duration::ZERO);
    assert_eq!(told(&scene), ["run-before .", "run-after 0.", "run-finally 0."]);
    assert_eq!(read_metrics(&scene)["afterbackup_overdue{site=\"XYZ\"}"] as u64, 0);
    // What is done is left alone.
    watcher.step(Duration::from_hours(1));
    assert_eq!(told(&scene).len(), 3);
}

/// A heartbeat service: what it was asked for, and what it answers to request number n.
fn service(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> (Canned, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let server = Canned::start(move |number, line| {
        log.lock().unwrap().push(line.to_owned());
        answer(number)
    });
    (server, asked)
}

fn ok(_: usize) -> Answer {
    Answer::Http("200 OK", "OK".to_owned())
}

fn with_heartbeat(server: &Canned) -> Scene {
    let mut scene = Scene::new();
    let url = server.endpoint();
    scene.section(&format!("[report]\noverdue = '100 years'\nheartbeat-url = '{url}/ping/secret-id?x=1'"));
    scene
}

#[test]
fn heartbeat_beats_after_success_and_tells_of_failure() {
    let (server, asked) = service(ok);
    let scene = with_heartbeat(&server);
    scene.run(&["run"]).exits(0);
    remove_tree(&scene.snapshot());
    scene.run(&["run"]).exits(4);
    let asked = asked.lock().unwrap();
    assert_eq!(*asked, ["post /ping/secret-id?x=1 http/1.1", "post /ping/secret-id/fail?x=1 http/1.1"]);
}

#[test]
fn heartbeat_and_metrics_tell_of_an_older_archive_that_is_not_whole() {
    let (server, asked) = service(ok);
    let mut scene = with_heartbeat(&server);
    scene.sections = scene.sections.replace("[report]", "[report]\nmetrics-file = 'afterbackup.prom'");
    scene.configure();
    scene.run(&["run"]).exits(0);
    assert_eq!(read_metrics(&scene)["afterbackup_healthy"] as u64, 1);
    let manifest = fs::read_to_string(scene.manifest("vault")).unwrap();
    let id = "XYZ-20211120T235900Z";
    fs::write(scene.path(&format!("vault/XYZ/{id}.json")), manifest.replace(ID, id)).unwrap();
    scene.run(&["run"]).exits(0);
    assert_eq!(*asked.lock().unwrap(), ["post /ping/secret-id?x=1 http/1.1", "post /ping/secret-id/fail?x=1 http/1.1"]);
    let metrics = read_metrics(&scene);
    assert_eq!(
        (metrics["afterbackup_healthy"] as u64, metrics["afterbackup_problems{health=\"partial\"}"] as u64),
        (0, 1)
    );
}

#[test]
fn heartbeat_tells_of_hooks_that_fail() {
    for (list, code) in [("run-before", 1), ("run-after", 3), ("run-finally", 3)] {
        let (server, asked) = service(ok);
        let mut scene = with_heartbeat(&server);
        scene.section(&format!("[hooks]\n{list} = ['exit 1']"));
        scene.run(&["run"]).exits(code);
        assert_eq!(*asked.lock().unwrap(), ["post /ping/secret-id/fail?x=1 http/1.1"], "{list}");
    }
}

#[test]
fn heartbeat_is_tried_again_and_never_changes_the_exit_code() {
    let busy = |number| if number == 0 { Answer::Http("503 Busy", String::new()) } else { ok(number) };
    let (server, _) = service(busy);
    let scene = with_heartbeat(&server);
    scene.run(&["run"]).exits(0).says_not("heartbeat");
    assert_eq!(server.requests(), 2);

    let (server, _) = service(|_| Answer::Http("404 Not Found", String::new()));
    let scene = with_heartbeat(&server);
    let output = scene.run(&["run"]).exits(0);
    assert!(output.stderr.contains("cannot reach heartbeat 127.0.0.1: the server answered 404"), "{output}");
    assert!(!output.stderr.contains("secret-id"), "{output}");
    assert_eq!(server.requests(), 1);
}

/// A file of metrics: name with labels, and value.
fn metrics(text: &str) -> BTreeMap<String, f64> {
    let mut metrics = BTreeMap::new();
    let (mut help, mut kind) = (BTreeSet::new(), "");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(help.insert(rest.split_once(' ').unwrap().0), "told twice: {line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            kind = rest.strip_suffix(" gauge").unwrap();
            assert!(help.contains(kind), "{line}");
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let bare = name.split('{').next().unwrap();
            assert_eq!(bare, kind, "samples of a metric stand together");
            assert!(bare.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
            let labels = name.strip_prefix(bare).unwrap();
            assert!(labels.is_empty() || labels.starts_with('{') && labels.ends_with("\"}"), "{line}");
            assert!(metrics.insert(name.to_owned(), value.parse().unwrap()).is_none(), "told twice: {line}");
        }
    }
    assert!(text.ends_with('\n'));
    metrics
}

fn with_metrics() -> Scene {
    let mut scene = Scene::new();
    scene.section("[report]\nmetrics-file = 'afterbackup.prom'");
    scene
}

fn read_metrics(scene: &Scene) -> BTreeMap<String, f64> {
    metrics(&fs::read_to_string(scene.path("afterbackup.prom")).unwrap())
}

#[test]
fn metrics_tell_of_the_run_and_of_every_destination() {
    let mut scene = with_metrics();
    scene.destination("offsite");
    scene.run(&["run"]).exits(0);
    let metrics = read_metrics(&scene);
    let completed = at(COMPLETED).as_second();
    let bytes = fs::metadata(scene.archive("vault")).unwrap().len();
    for destination in ["vault", "offsite"] {
        let labels = format!("{{site=\"XYZ\",destination=\"{destination}\"}}");
        let value = |name: &str| metrics[&format!("afterbackup_{name}{labels}")];
        assert_eq!(value("newest_archive_timestamp_seconds") as i64, completed);
        assert_eq!(value("newest_archive_bytes") as u64, bytes);
        assert_eq!(value("archives_bytes") as u64, bytes);
        assert_eq!((value("archives") as u64, value("newest_archive_good") as u64), (1, 1));
        assert_eq!(metrics[&format!("afterbackup_destination_up{{destination=\"{destination}\"}}")] as u64, 1);
    }
    assert_eq!(metrics["afterbackup_run_exit_code"] as u64, 0);
    assert!(metrics["afterbackup_run_timestamp_seconds"] as i64 > completed);
    // The snapshot is of 2021.
    assert_eq!(
        (metrics["afterbackup_healthy"] as u64, metrics["afterbackup_problems{health=\"overdue\"}"] as u64),
        (0, 1)
    );
    assert_eq!(metrics["afterbackup_overdue{site=\"XYZ\"}"] as u64, 1);
    assert_eq!(metrics["afterbackup_overdue_limit_seconds"] as u64, 5 * 86_400);
    let left: Vec<String> = names(scene.root()).into_iter().filter(|name| name.contains(".prom")).collect();
    assert_eq!(left, ["afterbackup.prom"], "nothing is left beside it");
}

#[test]
fn metrics_tell_of_failure_and_replace_those_before() {
    let mut scene = with_metrics();
    scene.destination("away");
    scene.run(&["run"]).exits(0);
    fs::remove_dir_all(scene.path("away")).unwrap();
    scene.run(&["run"]).exits(3);
    let metrics = read_metrics(&scene);
    assert_eq!(metrics["afterbackup_run_exit_code"] as u64, 3);
    assert_eq!(metrics["afterbackup_destination_up{destination=\"away\"}"] as u64, 0);
    assert!(metrics.keys().all(|name| !name.contains("site=\"XYZ\",destination=\"away\"")), "{metrics:?}");
}

#[test]
fn metrics_that_cannot_be_written_are_a_warning() {
    let mut scene = Scene::new();
    scene.section("[report]\nmetrics-file = 'none/afterbackup.prom'");
    scene.run(&["run"]).exits(0).says("cannot write metrics to").says("none");
}

#[test]
fn watcher_tells_of_overdue_backups_once_and_keeps_the_last_run_in_the_metrics() {
    let (server, asked) = service(ok);
    let mut scene = with_metrics();
    scene.sections =
        scene.sections.replace("[report]", &format!("[report]\nheartbeat-url = '{}/ping'", server.endpoint()));
    let line = ["EVENT", "SITE", "EXIT_CODE"].map(|name| variable(&format!("AFTERBACKUP_{name}"))).join(" / ");
    scene.section(&format!("[hooks]\nrun-failed = ['{}']", note(&format!("{line}."))));
    scene.run(&["run"]).exits(0);
    let before = read_metrics(&scene);

    let config = scene.loaded();
    let cancel = Cancel::new();
    let targets = Target::all(&config, &cancel);
    let monitor = Collector::default();
    let mut reminder = Reminder::default();
    let mut check = |time: &str| {
        let clock = FixedClock(at(time));
        let context = Context { config: &config, targets: &targets, clock: &clock, monitor: &monitor, cancel: &cancel };
        Reporter::new(context, By::Watch).check(&mut reminder)
    };
    assert!(check("2021-11-27T12:00:00Z").verdicts().all(|verdict| !verdict.is_overdue()));
    assert!(told(&scene).is_empty() && monitor.events().is_empty());
    for _ in 0..3 {
        assert!(check("2021-11-28T12:00:00Z").verdicts().all(Verdict::is_overdue));
    }
    let [event] = &monitor.events()[..] else { panic!("{:?}", monitor.events()) };
    assert_eq!((event.event, event.level), (EventKind::Overdue, Level::Error));
    assert!(event.message.contains("site XYZ: the newest archive is of 2021-11-22 23:59:00"), "{event:?}");
    assert_eq!(told(&scene), ["overdue / XYZ / ."]);
    // Success is no success while status reports a problem: the snapshot is of 2021.
    assert_eq!(*asked.lock().unwrap(), ["post /ping/fail http/1.1", "post /ping/fail http/1.1"]);
    let after = read_metrics(&scene);
    for name in ["afterbackup_run_timestamp_seconds", "afterbackup_run_exit_code"] {
        assert_eq!(before[name].to_bits(), after[name].to_bits(), "{name}");
    }
    assert_eq!(after["afterbackup_checked_timestamp_seconds"] as i64, at("2021-11-28T12:00:00Z").as_second());
}
