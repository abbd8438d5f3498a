//! Archives outlive this program: other tools list, test, unpack and decrypt them.
//!
//! The tools have to be there: `deploy/test.sh` sees to it.

use std::fs;
use std::path::Path;
use std::process::Command;

use age::secrecy::ExposeSecret;

use crate::harness::{ID, Scene, assert_same_tree, tree};

/// Runs a line of the shell in a folder, and gives what it printed.
#[track_caller]
fn shell(folder: &Path, line: &str) -> String {
    let output = Command::new("bash").args(["-o", "pipefail", "-c", line]).current_dir(folder).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{line}\n{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// All members of the archive, as tar names them.
fn members(scene: &Scene) -> Vec<String> {
    let mut members: Vec<String> = tree(&scene.snapshot())
        .into_iter()
        .map(|(name, node)| format!("XYZBackup/{name}{}", if node.sha256.is_none() { "/" } else { "" }))
        .chain(["XYZBackup/".to_owned(), ".afterbackup/index.jsonl".to_owned()])
        .collect();
    members.sort_unstable();
    members
}

fn sorted(listing: &str) -> Vec<String> {
    let mut lines: Vec<String> = listing.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

fn archived() -> Scene {
    let scene = Scene::new();
    scene.run(&["run"]).exits(0);
    scene
}

#[test]
#[ignore = "needs zstd: deploy/test.sh tests"]
fn zstd_finds_every_frame_sound() {
    let scene = archived();
    shell(scene.root(), &format!("zstd -q -t vault/XYZ/{ID}.tar.zst"));
    // More than one frame, each with its checksum, and the seek table as a skippable one.
    let info = shell(scene.root(), &format!("zstd -l vault/XYZ/{ID}.tar.zst"));
    assert!(info.contains("XXH64"), "{info}");
}

#[test]
#[ignore = "needs zstd and tar: deploy/test.sh tests"]
fn tar_lists_and_unpacks_everything() {
    let scene = archived();
    let listing =
        shell(scene.root(), &format!("zstd -dcq vault/XYZ/{ID}.tar.zst | tar --quoting-style=literal -t 2>/dev/null"));
    assert_eq!(sorted(&listing), members(&scene));
    fs::create_dir(scene.path("back")).unwrap();
    shell(scene.root(), &format!("zstd -dcq vault/XYZ/{ID}.tar.zst | tar -x -C back --warning=no-unknown-keyword"));
    assert_same_tree(&scene.path("back/XYZBackup"), &scene.snapshot());
    fs::remove_dir_all(scene.path("back/XYZBackup")).unwrap();
    let one = "XYZBackup/SiteDBServer";
    shell(scene.root(), &format!("zstd -dcq vault/XYZ/{ID}.tar.zst | tar -x -C back {one} 2>/dev/null"));
    assert_same_tree(&scene.path("back").join(one), &scene.snapshot().join("SiteDBServer"));
}

#[test]
#[ignore = "needs bsdtar: deploy/test.sh tests"]
fn libarchive_lists_and_unpacks_everything() {
    let scene = archived();
    let listing = shell(scene.root(), &format!("LC_ALL=C.UTF-8 bsdtar -tf vault/XYZ/{ID}.tar.zst"));
    assert_eq!(sorted(&listing), members(&scene));
    fs::create_dir(scene.path("back")).unwrap();
    shell(scene.root(), &format!("LC_ALL=C.UTF-8 bsdtar -xf vault/XYZ/{ID}.tar.zst -C back"));
    assert_same_tree(&scene.path("back/XYZBackup"), &scene.snapshot());
}

/// 7-Zip reads zstd from version 24.05 on; the one of Debian 12 does not. Both read the tar inside.
#[test]
#[ignore = "needs 7z and zstd: deploy/test.sh tests"]
fn seven_zip_lists_everything() {
    let scene = archived();
    shell(scene.root(), &format!("zstd -dq vault/XYZ/{ID}.tar.zst -o {ID}.tar"));
    let listing = shell(scene.root(), &format!("LC_ALL=C.UTF-8 7z l -ba -slt {ID}.tar"));
    let files = listing.lines().filter(|line| line.starts_with("Path = ")).count();
    assert_eq!(files, members(&scene).len(), "{listing}");
    if shell(scene.root(), "7z i").lines().any(|line| line.split_whitespace().any(|word| word == "zstd")) {
        let tested = shell(scene.root(), &format!("7z t vault/XYZ/{ID}.tar.zst"));
        assert!(tested.contains("Everything is Ok"), "{tested}");
    } else {
        eprintln!("this 7-Zip does not read zstd");
    }
}

#[test]
#[ignore = "needs age and zstd: deploy/test.sh tests"]
fn age_decrypts_what_was_encrypted() {
    let key = age::x25519::Identity::generate();
    let mut scene = Scene::new();
    scene.section(&format!("[archive]\nrecipients = ['{}']", key.to_public()));
    fs::write(scene.path("key.txt"), key.to_string().expose_secret()).unwrap();
    scene.run(&["run"]).exits(0);
    shell(scene.root(), &format!("age -d -i key.txt -o plain.tar.zst vault/XYZ/{ID}.tar.zst.age"));
    shell(scene.root(), "zstd -q -t plain.tar.zst");
    fs::create_dir(scene.path("back")).unwrap();
    shell(scene.root(), "zstd -dcq plain.tar.zst | tar -x -C back --warning=no-unknown-keyword");
    assert_same_tree(&scene.path("back/XYZBackup"), &scene.snapshot());
    // Inside it is the archive that would have been written without encryption.
    scene.sections.clear();
    scene.configure();
    fs::remove_dir_all(scene.path("vault/XYZ")).unwrap();
    scene.run(&["run"]).exits(0);
    assert!(fs::read(scene.path("plain.tar.zst")).unwrap() == fs::read(scene.archive("vault")).unwrap());
}

#[test]
#[ignore = "needs sha256sum: deploy/test.sh tests"]
fn sha256sum_agrees_with_the_manifest() {
    let scene = archived();
    let sum = shell(scene.root(), &format!("sha256sum vault/XYZ/{ID}.tar.zst"));
    let shown = scene.run(&["show", "latest", "--json"]).exits(0).json();
    assert_eq!(sum.split(' ').next().unwrap(), shown["manifest"]["sha256"]);
}
