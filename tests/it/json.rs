//! What programs read: keys are in `snake_case`, so that PowerShell and jq need no quotes.

use std::fs;

use serde_json::Value;

use crate::harness::{ID, Scene};

/// All keys of a document, however deep.
fn keys(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                found.push(key.clone());
                keys(value, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

#[track_caller]
fn assert_snake_case(what: &str, value: &Value) {
    let mut found = Vec::new();
    keys(value, &mut found);
    assert!(!found.is_empty(), "{what}: {value}");
    for key in found {
        let plain = key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        assert!(plain, "{what}: '{key}' is not in snake_case");
    }
}

#[test]
fn keys_of_every_document_and_event_are_in_snake_case() {
    let mut scene = Scene::new();
    scene.destination("offsite");
    for event in scene.run(&["run", "--json"]).events() {
        assert_snake_case("run", &event);
    }
    let database = scene.path("E/XYZBackup/SiteDBServer/CM_XYZ.mdf");
    let database = database.to_str().unwrap();
    for command in [
        &["list"][..],
        &["show", "latest"],
        &["show", "latest", "--files"],
        &["status"],
        &["prune", "--dry-run"],
        &["pin", "latest"],
        &["unpin", "latest"],
        &["verify"],
        &["fetch", "latest", "--to", "fetched"],
        &["check-db", database],
    ] {
        let output = scene.run(&[&["--json"], command].concat());
        assert_snake_case(&command.join(" "), &output.json());
    }
    for event in scene.run(&["fetch", "XYZ-20200101T000000Z", "--to", "x", "--json"]).exits(1).events() {
        assert_snake_case("error", &event);
    }
    let manifest = fs::read_to_string(scene.manifest("vault")).unwrap();
    assert!(manifest.contains(ID));
    assert_snake_case("manifest", &serde_json::from_str(&manifest).unwrap());
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_printed_is_a_failure() {
    let scene = Scene::new();
    scene.run(&["run"]).exits(0);
    for args in [&["list"][..], &["--json", "list"], &["show", "latest"], &["status", "--nagios"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let status = scene.command(args).stdout(full).stderr(std::process::Stdio::null()).status().unwrap();
        assert_ne!(status.code(), Some(0), "{args:?}");
    }
}
