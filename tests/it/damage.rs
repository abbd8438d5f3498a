//! Damage to every kind of file on a destination: it is found and said, what is sound comes out, what is not never
//! does.

use std::fs;
use std::path::{Path, PathBuf};

use afterbackup::archive::manifest::Manifest;

use crate::harness::{COMPLETED, ID, Output, Scene, assert_part_of_tree, copy_tree, noise, remove_tree, tree};

/// A scene with an archive of several frames, and copies of it to be damaged.
struct Damaged {
    scene: Scene,
    archive: Vec<u8>,
    json: Vec<u8>,
    manifest: Manifest,
}

/// What three commands said of a damaged copy.
struct Said {
    list: Output,
    verify: Output,
    fetch: Output,
    fetched: usize,
}

impl Damaged {
    fn new() -> Self {
        let scene = Scene::new();
        scene.file("SiteServer/big.bin", &noise(3, 5 << 20));
        scene.complete(COMPLETED);
        scene.run(&["run"]).exits(0);
        let archive = fs::read(scene.archive("vault")).unwrap();
        let json = fs::read(scene.manifest("vault")).unwrap();
        let manifest = Manifest::parse(&format!("{ID}.json"), &json).unwrap();
        Self { scene, archive, json, manifest }
    }

    /// Damages a copy, and asks about it. Whatever was fetched is what was archived.
    #[track_caller]
    fn after(&self, damage: impl FnOnce(&Path, &Path)) -> Said {
        let copy = self.scene.path("copy");
        let back = self.scene.path("back");
        remove_tree(&copy);
        remove_tree(&back);
        copy_tree(&self.scene.path("vault"), &copy);
        damage(&copy.join(format!("XYZ/{ID}.tar.zst")), &copy.join(format!("XYZ/{ID}.json")));
        let run = |args: &[&str]| self.scene.run(&[args, &["--destination", "./copy"]].concat());
        let list = run(&["list"]);
        let verify = run(&["verify"]);
        let fetch = run(&["fetch", "latest", "--to", "back"]);
        let fetched = back.join("XYZBackup");
        let fetched = if fetched.exists() { assert_part_of_tree(&fetched, &self.scene.snapshot()) } else { 0 };
        assert!(!back.exists() || tree(&back).keys().all(|name| name.starts_with("XYZBackup")), "{:?}", tree(&back));
        Said { list, verify, fetch, fetched }
    }

    fn files(&self) -> usize {
        usize::try_from(self.manifest.files).unwrap()
    }
}

fn flip(path: &Path, offset: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(offset).unwrap()] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[test]
fn missing_archive_is_found_by_every_command() {
    let damaged = Damaged::new();
    let said = damaged.after(|archive, _| fs::remove_file(archive).unwrap());
    said.list.exits(3).says("INCOMPLETE").says("its archive is missing");
    said.verify.exits(6).says("the archive file is missing");
    said.fetch.exits(6).says("hint: try another destination");
    assert_eq!(said.fetched, 0);
}

#[test]
fn truncated_archive_is_found_by_every_command() {
    let damaged = Damaged::new();
    let whole = damaged.archive.len() as u64;
    let (index, all) = (damaged.manifest.index.frame_offset, damaged.files());
    for (length, code, files) in [
        (0, 6, 0..1),
        (1, 6, 0..1),
        (8, 6, 0..1),
        (100, 6, 0..1),
        (whole / 2, 6, 5..all),
        (index, 6, all..all + 1),
        (whole - 9, 0, all..all + 1),
        (whole - 1, 0, all..all + 1),
    ] {
        let said = damaged.after(|archive, _| {
            fs::File::options().write(true).open(archive).unwrap().set_len(length).unwrap();
        });
        said.list.exits(3).says("INCOMPLETE").says(&format!("its archive has {length} bytes instead of {whole}"));
        said.verify.exits(6).says("DAMAGED");
        said.fetch.exits(code);
        assert!(files.contains(&said.fetched), "{length} bytes: {} files", said.fetched);
    }
}

#[test]
fn archive_with_more_behind_it_is_found() {
    let damaged = Damaged::new();
    let said = damaged.after(|archive, _| {
        let longer = [&damaged.archive[..], b"more"].concat();
        fs::write(archive, longer).unwrap();
    });
    said.list.exits(3).says("INCOMPLETE");
    said.verify.exits(6).says("DAMAGED");
    assert!(said.fetch.code == Some(6) || said.fetched == damaged.files(), "{}", said.fetch);
}

#[test]
fn flipped_byte_in_a_frame_costs_the_files_of_that_frame_alone() {
    let damaged = Damaged::new();
    let index = damaged.manifest.index.frame_offset;
    for offset in [0, 5, 100, 3000, index / 3, index / 2, index - 1000, index - 1] {
        let said = damaged.after(|archive, _| flip(archive, offset));
        said.list.exits(0).says_not("INCOMPLETE");
        let findings = said.verify.exits(6).says("DAMAGED").says("the SHA-256 of the archive file is not");
        let fetch = said.fetch.exits(6).says("not written, because it is damaged in the archive");
        let lost: Vec<&str> =
            fetch.stderr.lines().filter_map(|line| line.split_once("in the archive: ")).map(|(_, path)| path).collect();
        assert_eq!(said.fetched + lost.len(), damaged.files(), "offset {offset}: {fetch}");
        for path in lost {
            assert!(!damaged.scene.path("back").join(path).exists(), "{path}");
            assert!(findings.stdout.contains(&format!("{path} is damaged")), "{path}: {findings}");
        }
    }
}

#[test]
fn archive_whose_index_or_seek_table_is_damaged_is_read_in_order() {
    let damaged = Damaged::new();
    let whole = damaged.archive.len() as u64;
    let index = damaged.manifest.index.frame_offset;
    let table = whole - 17 - 8 * (damaged.manifest.index.frame + damaged.manifest.index.frames);
    for offset in [index, index + 5, index + 200, table - 1] {
        let said = damaged.after(|archive, _| flip(archive, offset));
        said.list.exits(0);
        said.verify.exits(6).says("index");
        said.fetch.exits(6).says("the index of").says("whether files are missing is not known");
        assert_eq!(said.fetched, damaged.files(), "offset {offset}");
    }
    for offset in table..whole {
        // All of the footer, some of the entries.
        if offset > table + 12 && offset < whole - 9 && offset % 7 != 0 {
            continue;
        }
        let said = damaged.after(|archive, _| flip(archive, offset));
        said.verify.exits(6).says("DAMAGED");
        let fetch = said.fetch.exits(0).says("the seek table of").says("compared with the SHA-256 in its index");
        assert_eq!(said.fetched, damaged.files(), "offset {offset}: {fetch}");
    }
}

/// Without index, what lies behind a lost frame is found all the same.
#[test]
fn archive_without_index_and_with_a_damaged_frame_gives_the_rest() {
    let damaged = Damaged::new();
    let index = damaged.manifest.index.frame_offset;
    // In the large file.
    let said = damaged.after(|archive, _| {
        flip(archive, index + 5);
        flip(archive, index / 2);
    });
    said.verify.exits(6);
    let fetch =
        said.fetch.exits(6).says("not written, because it is damaged in the archive: XYZBackup/SiteServer/big.bin");
    assert_eq!(said.fetched, damaged.files() - 1, "{fetch}");
}

#[test]
fn foreign_file_under_the_name_of_an_archive_is_found() {
    let damaged = Damaged::new();
    let whole = damaged.archive.len();
    for foreign in [noise(77, whole), vec![0; whole], b"PK\x03\x04".to_vec()] {
        let said = damaged.after(|archive, _| fs::write(archive, &foreign).unwrap());
        said.verify.exits(6).says("DAMAGED");
        said.fetch.exits(6);
        assert_eq!(said.fetched, 0);
    }
}

#[test]
fn archive_of_another_snapshot_under_this_name_is_found() {
    let damaged = Damaged::new();
    let other = Scene::new();
    other.file("SiteServer/other", b"other");
    other.complete(COMPLETED);
    other.run(&["run"]).exits(0);
    let said = damaged.after(|archive, _| fs::write(archive, fs::read(other.archive("vault")).unwrap()).unwrap());
    said.verify.exits(6).says("DAMAGED");
    said.fetch.exits(6);
    assert_eq!(said.fetched, 0);
}

#[test]
fn archive_without_manifest_does_not_exist() {
    let damaged = Damaged::new();
    let said = damaged.after(|_, manifest| fs::remove_file(manifest).unwrap());
    said.list.exits(3).says("archive without manifest").says("No archives in ");
    said.verify.exits(3).says("archive without manifest").says("No archives");
    said.fetch.exits(1).says("there is no archive");
}

#[test]
fn manifest_that_cannot_be_read_is_told_by_every_command() {
    let damaged = Damaged::new();
    let json = String::from_utf8(damaged.json.clone()).unwrap();
    let truncated = [0, 1, json.len() / 2, json.len() - 2].map(|length| json.as_bytes()[..length].to_vec());
    let foreign = [b"{}".to_vec(), b"null".to_vec(), b"\x89PNG\r\n\x1a\n".to_vec(), noise(5, 3 << 20)];
    for bytes in truncated.into_iter().chain(foreign) {
        let said = damaged.after(|_, manifest| fs::write(manifest, &bytes).unwrap());
        said.list.exits(3).says(&format!("{ID}.json"));
        said.verify.exits(6).says(&format!("{ID}.json"));
        said.fetch.exits(1).says(&format!("{ID}.json")).says("there is no archive");
    }
}

#[test]
fn manifest_of_a_newer_format_is_refused() {
    let damaged = Damaged::new();
    let json = String::from_utf8(damaged.json.clone()).unwrap();
    let newer = json.replace("\"format\": 1", "\"format\": 2");
    assert_ne!(newer, json);
    let said = damaged.after(|_, manifest| fs::write(manifest, &newer).unwrap());
    said.list.exits(3).says("newer version of afterbackup");
    said.verify.exits(1);
    said.fetch.exits(1);
    assert_eq!(said.fetched, 0);
}

#[test]
fn manifest_that_contradicts_its_archive_is_found() {
    let damaged = Damaged::new();
    let json = String::from_utf8(damaged.json.clone()).unwrap();
    let sum = damaged.manifest.sha256.to_string();
    let said = damaged.after(|_, path| fs::write(path, json.replace(&sum, &sum.replace(['0', '1'], "2"))).unwrap());
    said.verify.exits(6).says("SHA-256");
    let said = damaged.after(|_, path| {
        let bytes = damaged.manifest.bytes;
        fs::write(path, json.replace(&format!("\"bytes\": {bytes}"), &format!("\"bytes\": {}", bytes + 1))).unwrap();
    });
    said.list.exits(3).says("INCOMPLETE");
    said.verify.exits(6);
}

#[test]
fn flipped_byte_in_a_manifest_never_lets_anything_wrong_out() {
    let damaged = Damaged::new();
    for offset in (0..damaged.json.len() as u64).step_by(41) {
        let said = damaged.after(|_, manifest| flip(manifest, offset));
        assert!(matches!(said.list.code, Some(0 | 3)), "offset {offset}: {}", said.list);
        assert!(matches!(said.verify.code, Some(0 | 1 | 3 | 6)), "offset {offset}: {}", said.verify);
        match said.fetch.code {
            Some(0) => assert_eq!(said.fetched, damaged.files(), "offset {offset}"),
            Some(1 | 6) => {}
            _ => panic!("offset {offset}: {}", said.fetch),
        }
    }
}

#[test]
fn flipped_byte_in_an_encrypted_archive_is_found() {
    use age::secrecy::ExposeSecret;
    let key = age::x25519::Identity::generate();
    let mut scene = Scene::new();
    scene.section(&format!("[archive]\nrecipients = ['{}']", key.to_public()));
    fs::write(scene.path("key"), key.to_string().expose_secret()).unwrap();
    scene.run(&["run"]).exits(0);
    let stored: PathBuf = scene.path(&format!("vault/XYZ/{ID}.tar.zst.age"));
    let whole = fs::read(&stored).unwrap();
    let length = whole.len() as u64;
    // A damaged stanza of the header cannot be told from another recipient's.
    let stanza = 22..170;
    for offset in [3, 60, 150, 300, length / 2, length - length / 3, length - 5] {
        flip(&stored, offset);
        let verify = scene.run(&["verify", "--identity", "key"]);
        let fetch = scene.run(&["fetch", "latest", "--to", "back", "--identity", "key"]);
        for output in [verify, fetch] {
            if output.code == Some(1) && stanza.contains(&offset) {
                output.says("none of the given keys opens the archive");
            } else {
                output.exits(6).says("damaged");
            }
        }
        if scene.path("back/XYZBackup").exists() {
            assert_part_of_tree(&scene.path("back/XYZBackup"), &scene.snapshot());
            remove_tree(&scene.path("back"));
        }
        fs::write(&stored, &whole).unwrap();
    }
}
