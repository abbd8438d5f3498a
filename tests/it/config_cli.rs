//! Wrong configurations and arguments (exit code 2), and the commands that write text.

use std::fs;

use crate::harness::{ID, Output, Scene, program};

fn with(text: &str) -> Output {
    let scene = Scene::new();
    fs::write(scene.config(), text).unwrap();
    let output = scene.run(&["run"]);
    assert!(scene.held("vault").is_empty());
    output
}

#[test]
fn all_faults_of_a_configuration_are_told_at_once_with_their_lines() {
    let output = with(
        "[snapshot]\npath = 'E'\nquite = '2min'\n[retention]\nlst = 7\nwithin = '5m'\n[[destination]]\nname = 'a'\n\
         [[destination]]\nname = 'a'\npath = 'vault'\n",
    )
    .exits(2);
    insta::assert_snapshot!(Scene::bare().normalised(&faults(&output)), @r#"
    :3:1: [snapshot] quite: unknown key
    hint: did you mean 'quiet'?
    :5:1: [retention] lst: unknown key
    hint: did you mean 'last'?
    :6:10: [retention] within: '5m' is ambiguous: write '5min' or '5months'
    hint: write a number and s, min, h, days, weeks, months or years, like "2min"
    :7:1: [[destination]]: has neither path nor url
    hint: write path = 'folder or share' or url = "s3://bucket/prefix"
    :10:8: [[destination]] name: is used twice
    hint: every destination needs its own
    "#);
}

/// Without the path, which differs.
fn faults(output: &Output) -> String {
    output
        .stderr
        .lines()
        .map(|line| line.split("afterbackup.toml").last().unwrap_or(line))
        .fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn configuration_that_is_no_toml_is_refused() {
    with("[snapshot\n").exits(2).says("afterbackup.toml");
    with("").exits(2);
    let scene = Scene::new();
    fs::write(scene.config(), [0xff, 0xfe, b'[', 0]).unwrap();
    scene.run(&["run"]).exits(2).says("UTF-16").says("UTF-8");
}

#[test]
fn missing_configuration_is_said_with_the_places_looked_at() {
    let scene = Scene::bare();
    fs::remove_file(scene.config()).unwrap();
    scene.run(&["run"]).exits(2).says("there is no such file").says("afterbackup init");
    let mut command = program();
    command.arg("list").env("AFTERBACKUP_CONFIG", scene.path("elsewhere.toml"));
    Output::of(command).exits(2).says("elsewhere.toml");
}

#[test]
fn configuration_is_found_by_the_environment() {
    let scene = Scene::new();
    let mut command = program();
    command.arg("run").env("AFTERBACKUP_CONFIG", scene.config());
    Output::of(command).exits(0);
    assert_eq!(scene.held("vault").len(), 2);
}

#[test]
fn wrong_arguments_are_refused() {
    let scene = Scene::new();
    for args in [
        &[][..],
        &["rum"],
        &["run", "--fast"],
        &["fetch", "latest"],
        &["show"],
        &["run", "--quiet", "--verbose"],
        &["list", "--destination", "nowhere"],
    ] {
        let output = scene.run(args).exits(2);
        assert_eq!(output.stdout, "", "{args:?}");
    }
}

#[test]
fn wrong_recipient_is_a_fault_of_the_configuration() {
    let mut scene = Scene::new();
    scene.section("[archive]\nrecipients = ['age1notakey']");
    scene.run(&["run"]).exits(2).says("is no age public key").says("hint:");
    assert!(scene.held("vault").is_empty());
}

#[test]
fn errors_are_json_too_when_asked_for() {
    let scene = Scene::new();
    let lock = fs::File::create(scene.path("lock")).unwrap();
    lock.lock().unwrap();
    let output = scene.run(&["run", "--no-wait", "--json"]).exits(5);
    let events = output.events();
    assert_eq!((&events[0]["event"], &events[0]["exit_code"]), (&"error".into(), &5.into()));
}

#[test]
fn first_configuration_works_as_written() {
    let scene = Scene::new();
    let file = scene.path("made/first.toml");
    let (snapshot, vault) = (scene.path("E"), scene.path("vault"));
    let mut init = program();
    init.arg("init").arg(&file).arg("--snapshot").arg(&snapshot).arg("--to").arg(&vault);
    init.arg("--bat").arg(scene.path("AfterBackup.bat"));
    Output::of(init).exits(0).says("first.toml");
    assert!(fs::read_to_string(scene.path("AfterBackup.bat")).unwrap().contains("first.toml"));
    let mut run = program();
    run.arg("run").arg("--config").arg(&file);
    // The lock is the host's, since none is named: another test run may hold it.
    let output = Output::of(run);
    if output.code != Some(5) {
        output.exits(0);
        assert_eq!(scene.held("vault").len(), 2);
    }
    let mut again = program();
    again.arg("init").arg(&file);
    Output::of(again).exits(2).says("init never replaces one");
    let mut elsewhere = program();
    elsewhere.arg("init").arg(scene.path("second.toml")).arg("--bat");
    Output::of(elsewhere).exits(2).says("Configuration Manager is not installed here").says("smsbkup.box");
    assert!(!scene.path("second.toml").exists());
    let mut share = program();
    share.arg("init").arg(scene.path("second.toml")).args(["--to", "smb://svc:hunter2@nas/cm$/p01"]);
    Output::of(share).exits(2).says("shares are not written to by address").says_not("hunter2");
    assert!(!scene.path("second.toml").exists());
}

#[test]
fn first_configuration_is_taken_from_a_batch_file() {
    let scene = Scene::bare();
    let bat = scene.path("old.bat");
    fs::write(&bat, "@echo off\r\nRobocopy E:\\ConfigMgr_Backup \\\\backup01\\configmgr$ /MIR\r\n").unwrap();
    let mut init = program();
    init.arg("init").arg(scene.path("new.toml")).arg("--from-bat").arg(&bat);
    Output::of(init).exits(0);
    let text = fs::read_to_string(scene.path("new.toml")).unwrap();
    assert!(text.contains(r"E:\ConfigMgr_Backup") && text.contains(r"\\backup01\configmgr$"), "{text}");
}

#[test]
fn quiet_says_nothing_when_all_is_well() {
    let scene = Scene::new();
    let output = scene.run(&["run", "--quiet"]).exits(0);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
    scene.run(&["list", "--quiet"]).exits(0).says(ID);
}

#[test]
fn help_names_the_exit_codes() {
    let mut help = program();
    help.arg("--help");
    let output = Output::of(help).exits(0).says("Exit codes:");
    for line in [
        "0  done",
        "1  failed",
        "2  wrong",
        "3  partial",
        "4  no completed",
        "5  another run",
        "6  damage",
        "130  interrupted",
    ] {
        assert!(output.stdout.contains(line), "{line}");
    }
}

#[test]
fn completions_and_manual_page_are_written() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let mut command = program();
        command.args(["completions", shell]);
        assert!(Output::of(command).exits(0).stdout.contains("afterbackup"), "{shell}");
    }
    let mut man = program();
    man.arg("man");
    assert!(Output::of(man).exits(0).stdout.contains(".TH afterbackup"));
}

#[test]
fn verbose_run_shows_evidence_steps_and_rates() {
    let scene = Scene::new();
    let plain = scene.run(&["run"]).exits(0).says_not("evidence: ");
    assert!(!plain.stderr.contains("Archiving XYZ-20211122T235900Z: "), "{plain}");
    let mut scene = scene;
    scene.destination("offsite");
    fs::remove_dir_all(scene.path("vault/XYZ")).unwrap();
    let verbose = scene.run(&["backup", "-v"]).exits(0);
    let said = |words: &str| assert!(verbose.stderr.contains(words), "'{words}' is not in\n{verbose}");
    said("    evidence: ");
    said("Archiving XYZ-20211122T235900Z: ");
    said("/s\n");
}

#[test]
fn events_have_the_time_at_which_they_were_printed() {
    let scene = Scene::new();
    for event in scene.run(&["run", "--json"]).exits(0).events() {
        let time: jiff::Timestamp = event["time"].as_str().unwrap().parse().unwrap();
        assert!(time > crate::harness::at("2024-01-01T00:00:00Z"), "{event}");
    }
    let document = scene.run(&["list", "--json"]).exits(0).json();
    assert!(document.get("time").is_none());
}

#[test]
fn familiar_names_of_commands_work() {
    let scene = Scene::new();
    scene.run(&["backup"]).exits(0);
    for name in ["ls", "snapshots"] {
        scene.run(&[name]).exits(0).says("XYZ-20211122T235900Z");
    }
    scene.run(&["restore", "latest", "--to", "back"]).exits(0);
    assert!(scene.path("back/XYZBackup/BackupDocument.xml").exists());
}
