//! Archives made by somebody who means harm. Whatever they say, nothing is written outside the target.

use std::fs;
use std::path::Path;

use afterbackup::archive::Identities;
use afterbackup::archive::extract::{self, ExtractError, Fetched, extract};
use afterbackup::archive::index::{Entry, IndexError, archive_order};
use afterbackup::archive::manifest::Manifest;
use afterbackup::archive::paths::{Rules, safe_paths};
use afterbackup::archive::reader::{ReadError, Reader};
use afterbackup::archive::verify::{Depth, verify};
use afterbackup::cancel::Cancel;
use afterbackup::destination::{Destination, in_memory};
use afterbackup::monitor::{Collector, Event, Monitor, Task};
use afterbackup::name::Form;
use tempfile::TempDir;

use crate::support::archives::{self, Forged, file, folder, store};

const CONTENT: &[u8] = b"what is in the files";

/// A scratch folder with a target in it, and something beside the target that must stay as it is.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.target()).unwrap();
        fs::create_dir(place.outside()).unwrap();
        fs::write(place.outside().join("precious"), "precious").unwrap();
        place
    }

    fn target(&self) -> std::path::PathBuf {
        self.0.path().join("target")
    }

    fn outside(&self) -> std::path::PathBuf {
        self.0.path().join("outside")
    }

    /// Only `target` and `outside` are there, and `outside` holds what it held.
    fn assert_untouched(&self, what: &str) {
        let names = |folder: &Path| -> Vec<_> {
            let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|item| item.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(self.0.path()), ["outside", "target"], "{what}");
        assert_eq!(names(&self.outside()), ["precious"], "{what}");
        assert_eq!(fs::read(self.outside().join("precious")).unwrap(), b"precious", "{what}");
    }

    fn is_target_empty(&self) -> bool {
        fs::read_dir(self.target()).unwrap().next().is_none()
    }
}

fn on_a_destination((archive, manifest): (Vec<u8>, Manifest)) -> (Box<dyn Destination>, Manifest) {
    let destination = in_memory("memory");
    store(&*destination, &manifest, &archive);
    (destination, manifest)
}

fn fetch_into(target: &Path, forged: (Vec<u8>, Manifest), force: bool) -> Result<Fetched, ExtractError> {
    fetch_watched(target, forged, force, &Collector::default())
}

fn fetch_watched(
    target: &Path,
    forged: (Vec<u8>, Manifest),
    force: bool,
    monitor: &dyn Monitor,
) -> Result<Fetched, ExtractError> {
    let (destination, manifest) = on_a_destination(forged);
    let identities = Identities::default();
    let reader = Reader::open(&*destination, manifest, &identities)?;
    let entries: Vec<&Entry> = reader.index().entries.iter().collect();
    let options = extract::Options { target: target.to_owned(), force, threads: 2 };
    extract(&reader, &entries, &options, monitor, &Cancel::new())
}

/// In the order of an archive, each file in its own place, all with the same content.
fn in_order(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by(|a, b| archive_order(&a.path, &b.path));
    let files = entries.iter_mut().filter(|entry| !entry.folder);
    for (file, offset) in files.zip((0..).step_by(CONTENT.len())) {
        file.offset = offset;
    }
    entries
}

/// Refused for what it would do, or because no index has such lines.
fn is_refused(error: &ExtractError) -> bool {
    matches!(error, ExtractError::Path(_) | ExtractError::Read(ReadError::Index(IndexError::Order(_))))
}

/// An archive of these entries.
fn forged(paths: &[&str]) -> (Vec<u8>, Manifest) {
    let mut forged = Forged::default();
    let mut entries = Vec::new();
    for path in paths {
        if let Some(path) = path.strip_suffix("//") {
            entries.push(folder(path));
        } else {
            entries.push(file(path, forged.tar_bytes, CONTENT));
            forged.frame(CONTENT);
        }
    }
    forged.finish(in_order(entries))
}

fn open(forged: (Vec<u8>, Manifest)) -> Result<(), ReadError> {
    let (destination, manifest) = on_a_destination(forged);
    let identities = Identities::default();
    Reader::open(&*destination, manifest, &identities).map(|_| ())
}

#[test]
fn archive_made_by_hand_is_read_when_it_is_honest() {
    let place = Place::new();
    let fetched = fetch_into(&place.target(), forged(&["a//", "a/b", "c"]), false).unwrap();
    assert_eq!((fetched.files, fetched.damaged.len()), (2, 0));
    assert_eq!(fs::read(place.target().join("a/b")).unwrap(), CONTENT);
}

#[test]
fn paths_that_lead_outside_are_refused_before_anything_is_written() {
    let place = Place::new();
    let absolute = place.outside().join("x").to_str().unwrap().to_owned();
    let hostile = [
        "..",
        "../x",
        "../outside/precious",
        "a/../../x",
        "a/../b",
        "/x",
        "//x",
        &absolute,
        "",
        ".",
        "./x",
        "a//b/",
        "a/",
        "nul\0byte",
    ];
    for path in hostile {
        // Honest files before and behind it.
        for force in [false, true] {
            let entries = [folder("good"), file("good/a", 0, CONTENT), file(path, 20, CONTENT), file("z", 40, CONTENT)];
            let mut forged = Forged::default();
            forged.frame(&[CONTENT, CONTENT, CONTENT].concat());
            let error = fetch_into(&place.target(), forged.finish(in_order(entries.to_vec())), force).unwrap_err();
            assert!(is_refused(&error), "{path:?}: {error:?}");
            place.assert_untouched(path);
            assert!(place.is_target_empty(), "{path:?}");
        }
        let mut folders = Forged::default();
        folders.frame(CONTENT);
        let error = fetch_into(&place.target(), folders.finish(vec![folder(path)]), true).unwrap_err();
        assert!(is_refused(&error), "{path:?}: {error:?}");
        place.assert_untouched(path);
    }
}

#[test]
fn what_windows_would_take_for_something_else_is_refused_there() {
    let names = [
        "C:x",
        r"C:\x",
        r"..\x",
        r"\\srv\share\x",
        "a:stream",
        "NUL",
        "com1.txt",
        "a/aux",
        "x.",
        "x ",
        "a*b",
        "CONOUT$",
    ];
    for name in names {
        let entry = file(name, 0, CONTENT);
        assert!(safe_paths(&[&entry], Rules::Windows).is_err(), "{name}");
    }
    let (upper, lower) = (file("A/B", 0, CONTENT), file("a/b", 20, CONTENT));
    assert!(safe_paths(&[&upper, &lower], Rules::Windows).is_err());
    assert!(safe_paths(&[&upper, &lower], Rules::Unix).is_ok());
}

#[test]
fn two_entries_for_one_place_are_refused_before_anything_is_written() {
    let place = Place::new();
    for paths in [&["a", "a"][..], &["a", "a//"], &["a//", "a"], &["a", "a/b"], &["a/b/c", "x", "a/b"], &["a/b//", "a"]]
    {
        for force in [false, true] {
            let error = fetch_into(&place.target(), forged(paths), force).unwrap_err();
            assert!(is_refused(&error), "{paths:?}: {error:?}");
            assert!(place.is_target_empty(), "{paths:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn link_in_the_target_is_not_followed() {
    use std::os::unix::fs::symlink;

    for force in [false, true] {
        // A folder that is a link, at the top and deeper; a file that is a link; a link to nowhere.
        for (link, to, path) in [
            ("a", "../outside", "a/b"),
            ("a", "../outside", "a/b/c/d"),
            ("x/a", "../../outside", "x/a/b"),
            ("a", "../outside/precious", "a"),
            ("a", "../outside/new", "a"),
            ("a", "../new", "a/b"),
            ("a", "..", "a/outside/precious"),
        ] {
            let place = Place::new();
            let link = place.target().join(link);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(to, &link).unwrap();
            let error = fetch_into(&place.target(), forged(&["A first", path]), force).unwrap_err();
            assert!(
                matches!(error, ExtractError::NotAFolder(_) | ExtractError::Exists { .. }),
                "{path} through a link to {to}: {error:?}"
            );
            place.assert_untouched(path);
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert!(!place.target().join("A first").exists());
        }
        let place = Place::new();
        symlink("../outside", place.target().join("a")).unwrap();
        fetch_into(&place.target(), forged(&["a//"]), force).unwrap_err();
        place.assert_untouched("folder in place of a link");
    }
}

#[test]
fn file_where_a_folder_is_needed_is_left_alone() {
    let place = Place::new();
    fs::write(place.target().join("a"), "mine").unwrap();
    for (paths, force) in [(["b", "a/x"], false), (["b", "a/x"], true), (["b", "a//"], true)] {
        let error = fetch_into(&place.target(), forged(&paths), force).unwrap_err();
        assert!(matches!(error, ExtractError::NotAFolder(_) | ExtractError::Exists { .. }), "{error:?}");
        assert_eq!(fs::read(place.target().join("a")).unwrap(), b"mine");
        assert!(!place.target().join("b").exists());
    }
}

#[test]
fn folder_where_a_file_is_needed_is_left_alone() {
    let place = Place::new();
    fs::create_dir_all(place.target().join("a/b")).unwrap();
    for force in [false, true] {
        let error = fetch_into(&place.target(), forged(&["a", "c"]), force).unwrap_err();
        assert!(matches!(error, ExtractError::Exists { .. }), "{error:?}");
        assert!(place.target().join("a/b").is_dir());
        assert!(!place.target().join("c").exists());
    }
}

/// Somebody who writes a file when the fetch has looked at the target and begins to read.
#[derive(Debug)]
struct Other<'a>(&'a Path, &'a [u8]);

impl Monitor for Other<'_> {
    fn task(&self, name: &str, bytes: Option<u64>) -> Box<dyn Task> {
        fs::write(self.0, self.1).unwrap();
        Collector::default().task(name, bytes)
    }

    fn event(&self, _: &Event) {}
}

/// A file whose bytes lie in two frames, so that it is written piece by piece.
fn large() -> (Vec<u8>, Manifest) {
    let mut forged = Forged::default();
    let entry = file("a", forged.tar_bytes, &CONTENT.repeat(2));
    forged.frame(CONTENT).frame(CONTENT);
    forged.finish(vec![entry])
}

#[test]
fn file_that_another_fetch_writes_meanwhile_is_taken_as_it_is_or_left_alone() {
    for (forged, content) in [(forged(&["a"]), CONTENT.to_vec()), (large(), CONTENT.repeat(2))] {
        let place = Place::new();
        let other = place.target().join("a");
        let fetched = fetch_watched(&place.target(), forged.clone(), false, &Other(&other, &content)).unwrap();
        assert_eq!((fetched.files, fetched.already_there), (0, 1));
        fs::remove_file(&other).unwrap();
        fetch_watched(&place.target(), forged, false, &Other(&other, b"another")).unwrap_err();
        assert_eq!(fs::read(&other).unwrap(), b"another");
        assert_eq!(fs::read_dir(place.target()).unwrap().count(), 1, "nothing is left behind");
    }
}

#[test]
fn files_are_replaced_only_when_forced() {
    let place = Place::new();
    fs::write(place.target().join("a"), "mine").unwrap();
    fetch_into(&place.target(), forged(&["a", "b"]), false).unwrap_err();
    assert_eq!(fs::read(place.target().join("a")).unwrap(), b"mine");
    assert_eq!(fetch_into(&place.target(), forged(&["a", "b"]), true).unwrap().files, 2);
    assert_eq!(fs::read(place.target().join("a")).unwrap(), CONTENT);
}

#[test]
fn impossible_places_are_damage() {
    let at = |offset, size| Entry { size, ..file("a", offset, CONTENT) };
    let claims = [
        vec![at(0, 1 << 40)],
        vec![at(1 << 40, 1)],
        vec![at(u64::MAX, 1)],
        vec![at(1, u64::MAX)],
        vec![at(u64::MAX, u64::MAX)],
        vec![at(0, 20), Entry { path: "b".into(), ..at(19, 20) }],
        vec![at(20, 20), Entry { path: "b".into(), ..at(0, 20) }],
        vec![Entry { size: u64::MAX, ..folder("f") }, at(0, 20)],
        vec![Entry { offset: u64::MAX, ..folder("f") }],
        vec![Entry { sha256: None, ..at(0, 20) }],
    ];
    for entries in claims {
        let mut forged = Forged::default();
        forged.frame(&[CONTENT, CONTENT].concat());
        let error = open(forged.finish(entries.clone())).unwrap_err();
        assert!(error.is_damage(), "{entries:?}: {error:?}");
    }
}

#[test]
fn many_files_from_few_bytes_take_no_more_than_they_are() {
    // So many times the same bytes: refused, because places must not overlap.
    let lines = (0..300_000).map(|n| serde_json::to_string(&file(&format!("{n:06}"), 0, CONTENT)).unwrap() + "\n");
    let json = format!("{{\"format\":1,\"id\":\"{}\"}}\n{}", archives::ID, lines.collect::<String>());
    let mut forged = Forged::default();
    forged.frame(CONTENT);
    let (archive, manifest) = forged.finish_with(json.as_bytes());
    assert!(archive.len() < 3 << 20, "{}", archive.len());
    assert!(open((archive, manifest)).unwrap_err().is_damage());
}

#[test]
fn frames_that_claim_gigabytes_are_refused() {
    for (compressed, plain) in [(30, u32::MAX), (u32::MAX, 30), (u32::MAX, u32::MAX), (30, (16 << 20) + 1)] {
        let mut forged = Forged::default();
        forged.frame(CONTENT).claimed_frame(compressed, plain);
        let error = open(forged.finish(vec![])).unwrap_err();
        assert!(error.is_damage(), "{error:?}");
    }
}

#[test]
fn bomb_unpacks_no_further_than_it_said() {
    let bomb = vec![0; 64 << 20];
    for claimed in [20, 1 << 20, 16 << 20] {
        let mut forged = Forged::default();
        forged.lying_frame(&bomb, claimed);
        let place = Place::new();
        let made = forged.finish(vec![file("a", 0, &bomb[..20])]);
        let (destination, manifest) = on_a_destination(made.clone());
        let collector = Collector::default();
        let verified =
            verify(&*destination, &manifest, &Identities::default(), Depth::Deep, 2, &collector, &Cancel::new())
                .unwrap();
        assert_eq!(verified.damage, ["a is damaged"]);
        let fetched = fetch_into(&place.target(), made, false).unwrap();
        assert_eq!(fetched.damaged, ["a"]);
        assert!(place.is_target_empty());
    }
}

#[test]
fn bomb_in_the_index_is_refused() {
    let bomb = vec![b' '; 64 << 20];
    for claimed in [600, 4 << 20, 16 << 20] {
        let (mut archive, mut manifest) = Forged::default().finish(vec![]);
        archive.clear();
        let mut forged = Forged::default();
        forged.lying_frame(&bomb, claimed);
        archive.extend(&forged.frames);
        archive.extend(forged.table.to_bytes());
        manifest.bytes = archive.len() as u64;
        manifest.compressed_bytes = manifest.bytes;
        manifest.uncompressed_bytes = u64::from(claimed);
        manifest.index.frames = 1;
        manifest.index.size = u64::from(claimed) - 512;
        let error = open((archive, manifest)).unwrap_err();
        assert!(matches!(error, ReadError::FrameOfIndex(0)), "{error:?}");
    }
}

#[test]
fn manifest_that_lies_about_sizes_is_refused_without_taking_the_memory() {
    for encrypted in [false, true] {
        for (offset, compressed) in [(0, 1 << 59), (0, 1 << 40), ((1 << 59) - 1, 1 << 59), (7, (1 << 30) + 8)] {
            let (archive, mut manifest) = forged(&["a"]);
            let key = archives::Key::new();
            if encrypted {
                manifest.archive = manifest.id.archive_name(Form::ENCRYPTED);
                let recipients = vec![key.public().to_string()];
                manifest.encryption = Some(afterbackup::archive::manifest::Encryption { recipients });
            }
            manifest.bytes = compressed;
            manifest.compressed_bytes = compressed;
            manifest.index.frame_offset = offset;
            // It is a manifest that can be written, so it is one that can be found.
            let json = manifest.to_json();
            let manifest = Manifest::parse(&manifest.id.manifest_name(), &json).unwrap();
            let (destination, manifest) = on_a_destination((archive, manifest));
            let error = Reader::open(&*destination, manifest, &key.identities()).map(|_| ()).unwrap_err();
            assert!(error.is_damage(), "{encrypted} {offset} {compressed}: {error:?}");
        }
    }
}

#[test]
fn manifest_that_contradicts_the_archive_is_damage() {
    type Lie = fn(&mut Manifest);
    let lies: [Lie; 8] = [
        |manifest| manifest.index.frame += 1,
        |manifest| manifest.index.frame = u64::MAX,
        |manifest| manifest.index.frame = 0,
        |manifest| manifest.index.offset = 0,
        |manifest| manifest.index.offset += 1,
        |manifest| manifest.index.size -= 1,
        |manifest| manifest.index.size += 9,
        |manifest| manifest.uncompressed_bytes += 512,
    ];
    for (number, lie) in lies.iter().enumerate() {
        let (archive, mut manifest) = forged(&["a"]);
        lie(&mut manifest);
        let error = open((archive, manifest)).unwrap_err();
        assert!(error.is_damage(), "{number}: {error:?}");
    }
}

#[test]
fn index_that_is_no_index_is_damage() {
    let other = "{\"format\":1,\"id\":\"ABC-20261122T235900Z\"}\n";
    let newer = format!("{{\"format\":2,\"id\":\"{}\"}}\n", archives::ID);
    let deep = "[".repeat(100_000);
    for json in ["", "{", "null", "[]", "\0", &deep, other, &newer] {
        let error = open(Forged::default().finish_with(json.as_bytes())).unwrap_err();
        assert!(error.is_damage(), "{json:.20}: {error:?}");
    }
}
