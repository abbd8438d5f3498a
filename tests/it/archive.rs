//! Reading archives: how much it costs, and what damage does.

use std::fs;
use std::path::Path;

use afterbackup::archive::extract::{self, Fetched, extract};
use afterbackup::archive::index::Entry;
use afterbackup::archive::manifest::{DirectoryLocation, Manifest};
use afterbackup::archive::reader::{ReadError, Reader};
use afterbackup::archive::verify::{Depth, verify};
use afterbackup::archive::writer::{Member, Need};
use afterbackup::archive::{AccessError, Identities};
use afterbackup::cancel::Cancel;
use afterbackup::destination::faulty::{Call, Faulty, Script};
use afterbackup::destination::{Destination, in_memory};
use afterbackup::monitor::Collector;

use crate::support::archives::{self, Key, data, lay_out, noise};

fn fetch(
    reader: &Reader<'_>,
    wanted: impl Fn(&Entry) -> bool,
    target: &Path,
) -> Result<Fetched, extract::ExtractError> {
    let entries: Vec<&Entry> = reader.index().entries.iter().filter(|entry| wanted(entry)).collect();
    let options = extract::Options { target: target.to_owned(), force: false, threads: 2 };
    extract(reader, &entries, &options, &Collector::default(), &Cancel::new())
}

/// An archive with 8,000 files of 10 KiB.
struct Large {
    archive: Vec<u8>,
    manifest: Manifest,
    identities: Identities,
}

impl Large {
    fn new(key: Option<&Key>) -> Self {
        let source = tempfile::tempdir().unwrap();
        for number in 0..8000 {
            let folder = source.path().join(format!("inboxes/{:02}", number % 80));
            if number < 80 {
                fs::create_dir_all(&folder).unwrap();
            }
            fs::write(folder.join(format!("{number:05}.bin")), data(10 << 10, number)).unwrap();
        }
        let (archive, written) = archives::write(archives::members(source.path()), &archives::options(2, key));
        Self { archive, manifest: archives::manifest(&written, key), identities: archives::identities(key) }
    }

    fn destination(&self, script: &Script) -> Faulty {
        let destination = Faulty::new(in_memory("memory"), script);
        archives::store(&destination, &self.manifest, &self.archive);
        script.forget();
        destination
    }

    /// One small file: bytes read, and ranged requests.
    fn cost_of_one_small_file(&self, whole_index: bool) -> (u64, u64) {
        const PATH: &str = "XYZBackup/inboxes/71/04711.bin";
        let script = Script::default();
        let destination = self.destination(&script);
        let reader = if whole_index {
            Reader::open(&destination, self.manifest.clone(), &self.identities).unwrap()
        } else {
            let paths = [PATH.to_owned()];
            Reader::open_for(&destination, &self.manifest, &self.identities, &paths).unwrap().expect("it is large")
        };
        let target = tempfile::tempdir().unwrap();
        let fetched = fetch(&reader, |entry| entry.path == PATH, target.path()).unwrap();
        assert_eq!((fetched.files, fetched.bytes), (1, 10 << 10));
        assert_eq!(fetched.read_bytes, script.bytes_read());
        assert!(fs::read(target.path().join(PATH)).unwrap() == data(10 << 10, 4711));
        assert_eq!(script.count(Call::Open) + script.count(Call::Read), 0);
        (script.bytes_read(), script.count(Call::ReadRange))
    }
}

#[test]
fn one_small_file_of_8000_costs_few_small_requests_and_encryption_one_more() {
    let plain = Large::new(None);
    let key = Key::new();
    let encrypted = Large::new(Some(&key));
    for (whole_index, most_bytes, most_requests) in [(true, 600_000, 2), (false, 350_000, 3)] {
        let (bytes, requests) = plain.cost_of_one_small_file(whole_index);
        eprintln!("{bytes} bytes in {requests} requests");
        assert!(bytes <= most_bytes, "{bytes}");
        assert!(requests <= most_requests, "{requests}");
        // Chunks of 64 KiB at either end of each range, and the header.
        let (encrypted_bytes, encrypted_requests) = encrypted.cost_of_one_small_file(whole_index);
        eprintln!("{encrypted_bytes} bytes in {encrypted_requests} requests, encrypted");
        assert!(encrypted_bytes <= bytes + 2 * requests * (64 << 10) + (8 << 10), "{encrypted_bytes}");
        assert!(encrypted_requests <= most_requests + 1, "{encrypted_requests}");
    }
}

#[test]
fn paths_of_a_large_index_are_found_as_in_the_whole_of_it() {
    let large = Large::new(None);
    let destination = large.destination(&Script::default());
    let whole = Reader::open(&destination, large.manifest.clone(), &large.identities).unwrap();
    let below = |path: &str| -> Vec<Entry> {
        let is_below =
            |entry: &&Entry| entry.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        whole.index().entries.iter().filter(is_below).cloned().collect()
    };
    let open = |paths: &[&str]| {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        Reader::open_for(&destination, &large.manifest, &large.identities, &paths).unwrap()
    };
    let all: Vec<&str> = whole.index().entries.iter().map(|entry| entry.path.as_str()).collect();
    // The first, the last, those around each border of two chunks wherever it lies, and whole folders.
    for path in all.iter().step_by(97).chain([&all[0], &all[1], all.last().unwrap(), &"XYZBackup/inboxes/40"]) {
        let reader = open(&[path]).expect("it is there");
        let found: Vec<&Entry> = reader.index().entries.iter().collect();
        for entry in below(path) {
            assert!(found.contains(&&entry), "{} is not among what was read for {path}", entry.path);
        }
    }
    assert!(open(&[all[5], all[7000]]).is_some());
    for path in ["XYZBackup/inboxes/40/none", "xyzbackup/inboxes/40", "A", "ZZZ", "XYZBackup/inboxes/40/"] {
        assert!(open(&[path]).is_none(), "{path}");
        assert!(open(&[all[5], path]).is_none(), "{path}");
    }
    assert!(open(&[]).is_none());
}

#[test]
fn part_of_a_large_index_that_is_damaged_is_told() {
    let large = Large::new(None);
    let location = large.manifest.index;
    let of_directory = location.directory.unwrap();
    let directory = usize::try_from(of_directory.frame_offset).unwrap();
    let first = usize::try_from(location.frame_offset).unwrap();
    let path = ["XYZBackup/inboxes/00/00000.bin".to_owned()];
    for at in [directory, directory + 10, directory + 40, first, first + 50, first + 1000, large.archive.len() - 1] {
        let mut archive = large.archive.clone();
        archive[at] ^= 1;
        let damaged = Large { archive, manifest: large.manifest.clone(), identities: Identities::default() };
        let destination = damaged.destination(&Script::default());
        let error = Reader::open_for(&destination, &damaged.manifest, &damaged.identities, &path).unwrap_err();
        assert!(error.is_damage(), "{at}: {error:?}");
    }
    for lie in [
        DirectoryLocation { frame_offset: location.frame_offset + 1, ..of_directory },
        DirectoryLocation { frame_offset: of_directory.frame_offset + 1, ..of_directory },
        DirectoryLocation { sha256: location.sha256, ..of_directory },
    ] {
        let mut manifest = large.manifest.clone();
        manifest.index.directory = Some(lie);
        let destination = large.destination(&Script::default());
        let error = Reader::open_for(&destination, &manifest, &large.identities, &path).unwrap_err();
        assert!(error.is_damage(), "{lie:?}: {error:?}");
    }
}

#[test]
fn what_lies_deeper_than_an_index_can_say_is_left_out_and_named() {
    let source = tempfile::tempdir().unwrap();
    lay_out(source.path(), [("deep.txt", &b"deep"[..]), ("also.txt", b"also"), ("shallow.txt", b"shallow")]);
    let deep = vec!["a"; 3000].join("/");
    let members = |need: Need| -> Vec<Member> {
        let mut members = archives::members(source.path());
        for member in members.iter_mut().filter(|member| member.path.contains("deep") || member.path.contains("also")) {
            member.path = member.path.replace("XYZBackup/", &format!("XYZBackup/{deep}/"));
            member.need = need;
        }
        members
    };
    let (archive, written) = archives::write(members(Need::Optional), &archives::options(1, None));
    let manifest = archives::manifest(&written, None);
    let destination = in_memory("memory");
    archives::store(&*destination, &manifest, &archive);
    let identities = Identities::default();
    let reader = Reader::open(&*destination, manifest, &identities).unwrap();
    let paths: Vec<&str> = reader.index().entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["XYZBackup", "XYZBackup/shallow.txt"]);
    let [skipped] = reader.index().skipped.as_slice() else { panic!("{:?}", reader.index().skipped) };
    assert!(deep.starts_with(skipped.path.strip_prefix("XYZBackup/").unwrap()), "{}", skipped.path);
    assert_eq!(written.unread.len(), 1);
    // What has to be there is not left out.
    let error = archives::try_write(members(Need::Required), &archives::options(1, None)).unwrap_err();
    assert!(error.to_string().contains("XYZBackup/a/a/"), "{error}");
}

/// A small archive with a bit of everything, and where it lies.
struct Small {
    archive: Vec<u8>,
    manifest: Manifest,
    identities: Identities,
    source: tempfile::TempDir,
}

impl Small {
    fn new(key: Option<&Key>) -> Self {
        Self::with_large_file_of(700, key)
    }

    /// Over 4 MiB it lies across a frame border.
    fn with_large_file_of(bytes: usize, key: Option<&Key>) -> Self {
        let source = tempfile::tempdir().unwrap();
        // Noise, so that there is no slack in the compressed bytes.
        let large = [noise(400, 1), vec![0; bytes]].concat();
        lay_out(
            source.path(),
            [
                ("large.mdf", &large[..]),
                ("a/one.txt", b"one"),
                ("a/two.bin", &noise(200, 2)),
                ("empty", b""),
                ("b/", b""),
                ("\u{e4}/three.log", &data(900, 3)),
            ],
        );
        let (archive, written) = archives::write(archives::members(source.path()), &archives::options(1, key));
        let manifest = archives::manifest(&written, key);
        Self { archive, manifest, identities: archives::identities(key), source }
    }

    fn on_a_destination(&self, archive: &[u8]) -> Box<dyn Destination> {
        let destination = in_memory("memory");
        archives::store(&*destination, &self.manifest, archive);
        destination
    }

    fn verify(&self, destination: &dyn Destination) -> Result<Vec<String>, ReadError> {
        let collector = Collector::default();
        verify(destination, &self.manifest, &self.identities, Depth::Deep, 1, &collector, &Cancel::new())
            .map(|verified| verified.damage)
    }

    /// Damage is told, whatever it is; and nothing that is fetched is wrong.
    fn assert_damage_is_found(&self, archive: &[u8], fetch_too: bool, what: &str) {
        let destination = self.on_a_destination(archive);
        match self.verify(&*destination) {
            Ok(damage) => assert!(!damage.is_empty(), "{what}: passes for sound"),
            // A damaged age header is like one for somebody else.
            Err(ReadError::Access(AccessError::WrongIdentity)) if self.manifest.encryption.is_some() => {}
            Err(error) => assert!(error.is_damage(), "{what}: {error:?}"),
        }
        if !fetch_too {
            return;
        }
        let target = tempfile::tempdir().unwrap();
        let Ok(reader) = Reader::open(&*destination, self.manifest.clone(), &self.identities) else { return };
        match fetch(&reader, |_| true, target.path()) {
            Ok(_) | Err(extract::ExtractError::Read(ReadError::Access(AccessError::WrongIdentity))) => {}
            Err(extract::ExtractError::Read(error)) => assert!(error.is_damage(), "{what}: {error:?}"),
            // A damaged index has no other way to be dangerous.
            Err(error) => panic!("{what}: {error:?}"),
        }
        for there in archives::members(target.path()).iter().filter(|there| !there.folder) {
            let path =
                there.path.strip_prefix("XYZBackup/XYZBackup/").unwrap_or_else(|| panic!("{what}: {}", there.path));
            let (fetched, archived) =
                (fs::read(there.source()).unwrap(), fs::read(self.source.path().join(path)).unwrap());
            assert!(fetched == archived, "{what}: {path} was fetched with other content");
        }
    }
}

#[test]
fn sound_archives_pass() {
    for key in [None, Some(Key::new())] {
        let small = Small::new(key.as_ref());
        let destination = small.on_a_destination(&small.archive);
        assert_eq!(small.verify(&*destination).unwrap(), Vec::<String>::new());
    }
}

#[test]
fn every_flipped_byte_of_an_archive_is_found() {
    // The second time, a file of two frames.
    for (large, step) in [(700, 1), ((4 << 20) + 500, 13)] {
        let small = Small::with_large_file_of(large, None);
        for at in (0..small.archive.len()).step_by(step) {
            let mut damaged = small.archive.clone();
            damaged[at] ^= 1 << (at % 8);
            small.assert_damage_is_found(&damaged, at % 7 == 0, &format!("byte {at} of {}", damaged.len()));
        }
    }
}

#[test]
fn flipped_bytes_of_an_encrypted_archive_are_found() {
    let small = Small::new(Some(&Key::new()));
    for at in (0..small.archive.len()).filter(|at| at % 5 == 0 || *at < 250) {
        let mut damaged = small.archive.clone();
        damaged[at] ^= 1 << (at % 8);
        small.assert_damage_is_found(&damaged, at % 7 == 0, &format!("byte {at} of {}", damaged.len()));
    }
}

#[test]
fn every_truncation_is_found() {
    for key in [None, Some(Key::new())] {
        let small = Small::new(key.as_ref());
        for end in (0..small.archive.len()).filter(|end| end % 11 == 0 || end + 60 > small.archive.len()) {
            small.assert_damage_is_found(&small.archive[..end], end % 3 == 0, &format!("cut to {end}"));
        }
    }
}

#[test]
fn bytes_behind_the_end_are_found() {
    for key in [None, Some(Key::new())] {
        let small = Small::new(key.as_ref());
        for more in [&b"\0"[..], &noise(70_000, 4), &small.archive] {
            small.assert_damage_is_found(&[&small.archive, more].concat(), false, "bytes behind the end");
        }
    }
}

#[test]
fn archive_of_another_snapshot_under_the_same_name_is_found() {
    let (small, other) = (Small::new(None), Small::new(None));
    // Times differ, so the archives do.
    assert!(small.archive != other.archive);
    small.assert_damage_is_found(&other.archive, true, "another archive");
}

#[test]
fn reading_stops_when_asked_to() {
    let small = Small::new(None);
    let destination = small.on_a_destination(&small.archive);
    let cancel = Cancel::new();
    cancel.cancel();
    let collector = Collector::default();
    let verified = verify(&*destination, &small.manifest, &small.identities, Depth::Deep, 2, &collector, &cancel);
    assert!(matches!(verified, Err(ReadError::Cancelled)), "{verified:?}");
    let reader = Reader::open(&*destination, small.manifest.clone(), &small.identities).unwrap();
    let target = tempfile::tempdir().unwrap();
    let entries: Vec<&Entry> = reader.index().entries.iter().collect();
    let options = extract::Options { target: target.path().to_owned(), force: false, threads: 2 };
    let fetched = extract(&reader, &entries, &options, &collector, &cancel);
    assert!(matches!(fetched, Err(extract::ExtractError::Read(ReadError::Cancelled))), "{fetched:?}");
    assert!(archives::members(target.path()).iter().all(|member| member.folder || member.size == 0));
}
