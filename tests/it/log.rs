//! The log file: what stands in it, who writes to it, and what happens when nobody can.

use std::fs;
use std::path::{Path, PathBuf};

use afterbackup::source::task_log::{Line, Lines};

use crate::harness::{ID, Scene, ended, started};
use crate::support::s3_server::{ACCESS_KEY, S3Server, SECRET_KEY};

/// A scene that writes a log. Further keys of `[log]` may follow.
fn logged(keys: &str) -> Scene {
    let mut scene = Scene::new();
    scene.section(&format!("[log]\nfile = 'logs/afterbackup.log'\n{keys}"));
    scene
}

fn log(scene: &Scene) -> PathBuf {
    scene.path("logs/afterbackup.log")
}

/// What stands in a log, by the reader that reads the server's logs. Every line is a whole record.
fn texts(path: &Path) -> Vec<String> {
    let mut lines = Lines::new();
    let mut texts = Vec::new();
    lines.push(&fs::read(path).unwrap_or_default(), |line| {
        let parsed = Line::parse(line);
        let stamp = parsed.stamp.unwrap_or_else(|| panic!("{line}"));
        assert!(stamp.utc().is_some() && stamp.component == "afterbackup", "{line}");
        assert!(!parsed.damaged && line.starts_with("<![LOG[") && line.matches("]LOG]!>").count() == 1, "{line}");
        texts.push(parsed.text.to_owned());
    });
    assert_eq!(lines.unfinished(), None);
    texts
}

#[track_caller]
fn has(texts: &[String], words: &str) {
    assert!(texts.iter().any(|text| text.contains(words)), "'{words}' is not in {texts:#?}");
}

#[test]
fn run_writes_what_it_prints_and_how_it_ended() {
    let scene = logged("");
    let printed = scene.run(&["run"]).exits(0).stderr;
    let texts = texts(&log(&scene));
    has(&texts, "begins: run");
    for line in printed.lines() {
        has(&texts, line);
    }
    has(&texts, &format!("Archived {ID}"));
    assert_eq!(texts.last().unwrap(), "afterbackup ends: run, exit code 0");
    let raw = fs::read_to_string(log(&scene)).unwrap();
    assert!(raw.starts_with("\u{feff}<![LOG["), "{raw}");
    assert!(!raw.contains("type=\"2\"") && !raw.contains("type=\"3\""), "{raw}");
}

#[test]
fn failure_is_an_error_in_the_log_with_what_to_do() {
    let scene = logged("");
    fs::remove_dir(scene.path("vault")).unwrap();
    scene.run(&["run"]).exits(1);
    let raw = fs::read_to_string(log(&scene)).unwrap();
    let failed = raw.lines().find(|line| line.contains("is not on vault")).unwrap();
    assert!(failed.contains("type=\"3\"") && failed.contains("(hint: create the folder"), "{failed}");
    assert!(raw.contains("exit code 1"), "{raw}");
}

#[test]
fn commands_that_change_or_check_something_are_recorded_and_others_are_not() {
    let scene = logged("");
    scene.run(&["list"]).exits(0);
    scene.run(&["prune", "--dry-run"]).exits(0);
    assert!(!log(&scene).exists());
    scene.run(&["run"]).exits(0);
    scene.run(&["--json", "verify"]).exits(0);
    scene.run(&["pin", "latest"]).exits(0);
    scene.run(&["unpin", "latest"]).exits(0);
    scene.run(&["fetch", "latest", "--to", "out"]).exits(0);
    scene.run(&["--json", "prune"]).exits(0);
    let texts = texts(&log(&scene));
    for words in ["ok, read back", &format!("Pinned {ID}"), &format!("Unpinned {ID}"), "Fetched ", "begins: prune"] {
        has(&texts, words);
    }
}

#[test]
fn damage_that_verify_finds_is_in_the_log() {
    let scene = logged("");
    scene.run(&["run"]).exits(0);
    let mut bytes = fs::read(scene.archive("vault")).unwrap();
    bytes[5000] ^= 1;
    fs::write(scene.archive("vault"), bytes).unwrap();
    scene.run(&["verify"]).exits(6);
    has(&texts(&log(&scene)), &format!("{ID} on vault: DAMAGED"));
}

#[test]
fn json_log_has_one_object_a_line() {
    let scene = logged("format = 'json'");
    scene.run(&["run"]).exits(0);
    let raw = fs::read_to_string(log(&scene)).unwrap();
    let records: Vec<serde_json::Value> = raw.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let archived = records.iter().find(|record| record["event"] == "archived").unwrap();
    assert_eq!(
        (&archived["schema"], &archived["level"], &archived["archive"]),
        (&1.into(), &"info".into(), &ID.into())
    );
    assert!(archived["files"].as_u64().unwrap() > 30, "{archived}");
}

#[test]
fn level_leaves_out_what_matters_less_and_adds_what_is_traced() {
    let scene = logged("level = 'warn'");
    scene.run(&["run"]).exits(0);
    assert!(!log(&scene).exists(), "nothing was wrong");
    let scene = logged("level = 'trace'");
    scene.run(&["run"]).exits(0);
    assert!(log(&scene).exists());
    let scene = logged("level = 'off'");
    scene.run(&["run"]).exits(0);
    assert!(!log(&scene).exists());
}

#[test]
fn log_that_cannot_be_written_is_told_once_and_stops_nothing() {
    let scene = logged("");
    fs::write(scene.path("logs"), "a file where the folder should be").unwrap();
    let output = scene.run(&["run"]).exits(0).says("cannot write the log");
    assert_eq!(output.stderr.matches("cannot write the log").count(), 1, "{output}");
    assert_eq!(scene.manifests("vault"), 1);
}

#[test]
fn several_processes_lose_and_tear_no_record_when_the_log_rolls_over() {
    const PROCESSES: usize = 12;
    let scene = logged("max-size = '64 KiB'");
    // Almost full, so that it is moved while they write.
    let filler = "<![LOG[x]LOG]!><time=\"00:00:00.000+000\" date=\"11-22-2021\" component=\"afterbackup\" context=\"\" type=\"1\" thread=\"1\" file=\"\">\r\n";
    let number = (65_536 - 3000) / filler.len();
    fs::create_dir(scene.path("logs")).unwrap();
    fs::write(log(&scene), filler.repeat(number)).unwrap();
    started(|| scene.command(&["run"]).env("TZ", "UTC").output());
    let children: Vec<_> = (0..PROCESSES).map(|_| scene.spawn(&["verify"])).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let old = scene.path("logs/afterbackup.lo_");
    assert!(old.exists());
    let mut all = texts(&old);
    all.extend(texts(&log(&scene)));
    let count = |words: &str| all.iter().filter(|text| text.contains(words)).count();
    assert_eq!(count("begins: verify"), PROCESSES);
    assert_eq!(count("ok, read back"), PROCESSES);
    assert_eq!(count("ends: verify, exit code 0"), PROCESSES);
    assert_eq!(all.iter().filter(|text| *text == "x").count(), number);
}

#[test]
fn secrets_of_buckets_never_reach_the_log() {
    let server = S3Server::start();
    drop(server.create_bucket("archives"));
    let mut scene = logged("level = 'trace'");
    scene.section(&format!(
        "[[destination]]\nname = 'offsite'\nurl = 's3://archives/configmgr'\nendpoint = '{}'\nretry-for = '1s'\n\
         access-key-env = 'LOG_ACCESS_KEY'\nsecret-key-env = 'LOG_SECRET_KEY'",
        server.endpoint()
    ));
    for secret in [SECRET_KEY, "the-wrong-secret"] {
        let mut command = scene.command(&["run"]);
        command.env("LOG_ACCESS_KEY", ACCESS_KEY).env("LOG_SECRET_KEY", secret);
        let output = ended(&mut command);
        assert!(matches!(output.status.code(), Some(0 | 3)), "{output:?}");
    }
    let raw = fs::read_to_string(log(&scene)).unwrap();
    assert!(raw.contains("is on offsite") && raw.contains("not on offsite"), "{raw}");
    for secret in [SECRET_KEY, "the-wrong-secret", "Signature="] {
        assert!(!raw.contains(secret), "{raw}");
    }
}
