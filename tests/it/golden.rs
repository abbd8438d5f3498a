//! Archives of every stored format that was ever released can be read for good.
//!
//! `tests/data/format-N/` holds archives as a release of that format wrote them, plain and encrypted, and beside them
//! what is in them (`files`) and the key (`key.txt`, made for this test, secret to nobody). They are never written
//! again:
//!
//! `AFTERBACKUP_TEST_FORMAT=tests/data/format-1 cargo test --test it archives_of_today`
//!
//! writes those of a format that is new. Until the format is declared final there is none.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use afterbackup::archive::manifest::Sha256Hex;
use age::secrecy::ExposeSecret;

use crate::harness::{COMPLETED, Output, Scene, copy_tree, names, program, text, tree};
use crate::synthetic::{Data, log};

const KINDS: [&str; 2] = ["plain", "encrypted"];

/// A little of everything that an archive may hold.
fn scene() -> Scene {
    let scene = Scene::bare();
    scene.file("SiteDBServer/CM_XYZ.mdf", &Data::default().build());
    scene.file("SiteDBServer/CM_XYZ_log.ldf", &log(0, 26));
    scene.file("SiteServer/SMSServer/data/hman.ini", b"[hman]\r\nversion=5.00.9128\r\n");
    scene.file("SiteServer/SMSServer/inboxes/empty.box", b"");
    scene.file("SiteServer/SMSServer/srvacct/\u{fc}berraschung \u{2014} \u{65e5}\u{672c}.txt", b"names are not ASCII");
    scene.file("SiteServer/SMSServer/Logs/hman.log", &text(3000));
    fs::create_dir_all(scene.snapshot().join("SiteServer/SMSServer/inboxes/empty folder")).unwrap();
    scene.file("CD.Latest/SMSSETUP/BIN/X64/setup.exe", b"MZ");
    scene.complete(COMPLETED);
    scene
}

/// What `files` says: a line for each file and folder, with its time and the SHA-256 of files.
fn listing(folder: &Path) -> String {
    let mut lines = String::new();
    for (path, node) in tree(folder) {
        let time = node.modified;
        let sum = node.sha256.map_or_else(|| "-".to_owned(), |sum| Sha256Hex(sum).to_string());
        writeln!(lines, "{sum} {}.{:09} {path}", time.unix_seconds(), time.nanoseconds()).unwrap();
    }
    lines
}

fn write(folder: &Path) {
    let key = age::x25519::Identity::generate();
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("key.txt"), format!("{}\n", key.to_string().expose_secret())).unwrap();
    for kind in KINDS {
        let mut scene = scene();
        if kind == "encrypted" {
            scene.section(&format!("[archive]\nrecipients = ['{}']", key.to_public()));
        }
        scene.run(&["run"]).exits(0);
        copy_tree(&scene.path("vault"), &folder.join(kind));
        fs::write(folder.join("files"), listing(&scene.snapshot())).unwrap();
    }
}

/// Lists, verifies and fetches what is in the folder of a format.
fn check(folder: &Path) {
    for kind in KINDS {
        let scratch = tempfile::tempdir().unwrap();
        let place = folder.join(kind);
        let run = |args: &[&str]| {
            let mut command = program();
            command.args(args).arg("--destination").arg(&place).current_dir(scratch.path());
            Output::of(command).exits(0)
        };
        let key = folder.join("key.txt");
        let identity = ["--identity", key.to_str().unwrap()];
        let identity: &[&str] = if kind == "encrypted" { &identity } else { &[] };
        let listed = run(&["list", "--json"]).json();
        assert_eq!(listed["archives"].as_array().unwrap().len(), 1, "{listed}");
        run(&[&["verify"], identity].concat());
        run(&[&["fetch", "latest", "--to", "back"], identity].concat());
        let fetched = listing(&scratch.path().join("back/XYZBackup"));
        assert_eq!(fetched, fs::read_to_string(folder.join("files")).unwrap(), "{}", place.display());
    }
}

fn formats() -> BTreeMap<String, PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let folders = names(&data).into_iter().filter(|name| name.starts_with("format-"));
    folders.map(|name| (name.clone(), data.join(name))).collect()
}

#[test]
fn archives_of_today_can_be_read() {
    let scratch = tempfile::tempdir().unwrap();
    let folder =
        std::env::var_os("AFTERBACKUP_TEST_FORMAT").map_or_else(|| scratch.path().join("format"), PathBuf::from);
    assert!(!folder.exists(), "{} was written by an earlier release", folder.display());
    write(&folder);
    check(&folder);
}

#[test]
#[ignore = "no format is final: tests/data has no archives yet"]
fn archives_of_every_format_can_be_read() {
    let formats = formats();
    assert!(!formats.is_empty(), "tests/data has no archives");
    for folder in formats.values() {
        check(folder);
    }
}
