//! Absent is not failed: each call of a destination fails in turn, with five kinds of errors, under every command.
//!
//! The table is a snapshot, one line for each command, call and outcome: the exit code and the beginning of what is
//! said. Whoever changes it looks at each line: a command that could not see everything does not end with 0 unless the
//! failure changed nothing, and never says that there is nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};

use afterbackup::destination::faulty::{Call, KINDS};
use jiff::SignedDuration;

use crate::harness::{COMPLETED, ID, Output, Scene, at, copy_tree, remove_tree};

const COMMANDS: [&[&str]; 12] = [
    &["run"],
    &["list"],
    &["show", ID],
    &["show", ID, "--files"],
    &["fetch", ID, "--to", "back"],
    &["fetch", ID, "--to", "back", "--raw"],
    &["verify"],
    &["prune"],
    &["pin", ID],
    &["unpin", ID],
    &["status"],
    &["recover", "checklist", "--site-type", "primary"],
];

/// Three archives on two destinations, a pin on the oldest, one that retention does not keep, and a snapshot
/// that is not archived yet.
fn scene() -> Scene {
    let mut scene = Scene::new();
    scene.destination("offsite\nverify = 'full'");
    scene.run(&["run"]).exits(0);
    scene.run(&["pin", ID]).exits(0);
    for days in 1..4 {
        scene.complete(&(at(COMPLETED) + SignedDuration::from_hours(24 * days)).to_string());
        if days < 3 {
            scene.run(&["run"]).exits(0);
        }
    }
    scene.section("[report]\noverdue = '20000 days'\n[retention]\nlast = 1\nmin-archives = 1");
    scene
}

#[test]
fn failing_call_of_a_destination_is_reported_by_every_command() {
    let scene = scene();
    copy_tree(&scene.path("vault"), &scene.path("before/vault"));
    copy_tree(&scene.path("offsite"), &scene.path("before/offsite"));
    let mut table = String::new();
    for command in COMMANDS {
        for call in Call::ALL {
            let mut outcomes: BTreeMap<(i32, String), Vec<String>> = BTreeMap::new();
            for kind in KINDS {
                for name in ["vault", "offsite", "back"] {
                    remove_tree(&scene.path(name));
                }
                drop(fs::remove_file(scene.path("lock.state")));
                copy_tree(&scene.path("before/vault"), &scene.path("vault"));
                copy_tree(&scene.path("before/offsite"), &scene.path("offsite"));
                let output = with_fault(&scene, command, &format!("vault:{call:?}#1:{kind:?}"));
                let said = scene.normalised(&format!("{}\n{}", output.stderr, output.stdout));
                // What is said of the fault, else what is said first.
                let mut lines = said.lines().filter(|line| !line.is_empty());
                let said = lines.clone().find(|line| line.contains("was to fail")).or_else(|| lines.next());
                // Which of several threads came first is no matter.
                let said = said.unwrap_or("").split("cannot do as told").next().unwrap_or("");
                let said: String = said.replace(char::is_numeric, "#").trim().chars().take(100).collect();
                outcomes.entry((output.code.unwrap(), said)).or_default().push(format!("{kind:?}"));
            }
            for ((code, said), kinds) in outcomes {
                let kinds = if kinds.len() == KINDS.len() { "any".to_owned() } else { kinds.join(" ") };
                writeln!(table, "{} | {call:?} | {kinds} | {code} | {said}", command.join(" ")).unwrap();
            }
        }
    }
    insta::assert_snapshot!(table);
}

/// The program that was built with the tests: a released one has no such faults.
fn with_fault(scene: &Scene, args: &[&str], fault: &str) -> Output {
    let command = scene.command(args);
    let mut other = Command::new(env!("CARGO_BIN_EXE_afterbackup"));
    other.args(command.get_args()).stdin(Stdio::null()).current_dir(scene.root());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other.env("AFTERBACKUP_TEST_FAIL", fault);
    Output::of(other)
}
