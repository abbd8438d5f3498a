//! Archives that build on others: what comes out is the snapshot, whatever changed, and whoever puts it together.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use afterbackup::archive::Identities;
use afterbackup::archive::extract::{self, Fetched, extract};
use afterbackup::archive::index::{Delta, Entry, Piece};
use afterbackup::archive::manifest::Manifest;
use afterbackup::archive::reader::{ReadError, Reader};
use afterbackup::archive::verify::{Depth, Verified, verify};
use afterbackup::archive::writer::Written;
use afterbackup::cancel::Cancel;
use afterbackup::destination::faulty::{Call, Faulty, Script};
use afterbackup::destination::{Destination, in_memory};
use afterbackup::monitor::Collector;
use afterbackup::name::{ArchiveId, Level};
use proptest::prelude::*;

use crate::support::archives::{self, Forged, lay_out, noise};
#[cfg(unix)]
use crate::vcdiff::deltas;

/// A snapshot that changes from night to night, and the archives of it.
struct Nights {
    source: tempfile::TempDir,
    script: Script,
    destination: Faulty,
    keys: Identities,
    manifests: Vec<Manifest>,
    /// What the snapshot was in each night.
    trees: Vec<BTreeMap<PathBuf, Option<Vec<u8>>>>,
}

impl Nights {
    fn new() -> Self {
        let script = Script::default();
        let destination = Faulty::new(in_memory("memory"), &script);
        let source = tempfile::tempdir().unwrap();
        Self { source, script, destination, keys: Identities::default(), manifests: vec![], trees: vec![] }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.source.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        lay_out(self.source.path(), [(name, bytes)]);
    }

    /// Archives the snapshot as what differs from the archive of an earlier night.
    fn night(&mut self, base: Option<(usize, Level)>) -> Written {
        let number = self.manifests.len();
        let id: ArchiveId = format!("XYZ-202611{:02}T235900Z", number + 1).parse().unwrap();
        let reader = base.map(|(night, level)| (self.open(night).unwrap(), level));
        let base = reader.as_ref().map(|(reader, level)| (reader, *level));
        let members = archives::members(self.source.path());
        let (archive, written) = archives::write_on(&id, members, &archives::options(2, None), base).unwrap();
        let manifest = archives::manifest(&written, None);
        drop(reader);
        archives::store(&self.destination, &manifest, &archive);
        self.trees.push(tree(self.source.path()));
        self.manifests.push(manifest);
        written
    }

    fn open(&self, night: usize) -> Result<Reader<'_>, ReadError> {
        Reader::open(&self.destination, self.manifests[night].clone(), &self.keys)
    }

    fn fetch(&self, night: usize, wanted: impl Fn(&Entry) -> bool) -> (tempfile::TempDir, Fetched) {
        let target = tempfile::tempdir().unwrap();
        let reader = self.open(night).unwrap();
        let fetched = fetch(&reader, wanted, target.path());
        (target, fetched)
    }

    /// Every night comes out as it was.
    #[track_caller]
    fn check(&self) {
        for night in 0..self.manifests.len() {
            let (target, fetched) = self.fetch(night, |_| true);
            assert!(fetched.damaged.is_empty(), "night {night}: {:?}", fetched.damaged);
            let found = tree(&target.path().join("XYZBackup"));
            assert!(
                found == self.trees[night],
                "night {night}: {:?} and {:?}",
                names(&found),
                names(&self.trees[night])
            );
            let verified = self.verify(night);
            assert_eq!((verified.damage, verified.files), (vec![], files(&self.trees[night])), "night {night}");
        }
    }

    fn verify(&self, night: usize) -> Verified {
        let (keys, monitor) = (Identities::default(), Collector::default());
        verify(&self.destination, &self.manifests[night], &keys, Depth::Deep, 2, &monitor, &Cancel::new()).unwrap()
    }

    fn archive_of(&self, night: usize) -> Vec<u8> {
        let manifest = &self.manifests[night];
        self.destination.read(&manifest.id.key(&manifest.archive), 1 << 30).unwrap().to_vec()
    }

    /// Puts other bytes in the place of an archive.
    fn replace(&self, night: usize, bytes: &[u8]) {
        let key = self.manifests[night].id.key(&self.manifests[night].archive);
        self.destination.delete(&key).unwrap();
        self.destination.put_new(&key, bytes).unwrap();
    }
}

fn fetch(reader: &Reader<'_>, wanted: impl Fn(&Entry) -> bool, target: &Path) -> Fetched {
    let entries: Vec<&Entry> = reader.index().entries.iter().filter(|entry| wanted(entry)).collect();
    let options = extract::Options { target: target.to_owned(), force: false, threads: 2 };
    extract(reader, &entries, &options, &Collector::default(), &Cancel::new()).unwrap()
}

/// Everything below a folder; folders have no bytes.
fn tree(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let bytes = path.is_file().then(|| fs::read(&path).unwrap());
            folders.extend(bytes.is_none().then(|| path.clone()));
            all.insert(path.strip_prefix(root).unwrap().to_owned(), bytes);
        }
    }
    all
}

fn names(tree: &BTreeMap<PathBuf, Option<Vec<u8>>>) -> Vec<(String, Option<usize>)> {
    tree.iter().map(|(path, bytes)| (path.display().to_string(), bytes.as_ref().map(Vec::len))).collect()
}

fn files(tree: &BTreeMap<PathBuf, Option<Vec<u8>>>) -> u64 {
    tree.values().flatten().count() as u64
}

/// A database of so many pages.
fn database(pages: usize, seed: u64) -> Vec<u8> {
    noise(pages * 8192, seed)
}

/// Changes some bytes in every `step`-th page.
fn change(bytes: &mut [u8], step: usize, seed: u64) {
    for (number, page) in bytes.chunks_mut(8192).enumerate().filter(|(number, _)| number % step == 0) {
        let end = page.len().min(400);
        page[100.min(end)..end].copy_from_slice(&noise(end - 100.min(end), seed + number as u64));
    }
}

const DATABASE: &str = "SiteDBServer/CM_XYZ.mdf";

/// Three nights in which everything happens that can happen to a file.
fn three_nights() -> Nights {
    let mut nights = Nights::new();
    let mut pages = database(700, 1);
    nights.put(DATABASE, &pages);
    nights.put("SiteDBServer/CM_XYZ.ldf", &noise(300_000, 2));
    nights.put("SiteServer/grows", &noise(100_000, 3));
    nights.put("SiteServer/shrinks", &noise(3_000_000, 4));
    nights.put("SiteServer/shrinks to little", &noise(300_000, 5));
    nights.put("SiteServer/becomes empty", &noise(300_000, 6));
    nights.put("SiteServer/becomes large", b"");
    nights.put("SiteServer/goes", &noise(100_000, 7));
    nights.put("SiteServer/small", b"first");
    nights.put("SiteServer/stays", &noise(200_000, 8));
    nights.put("SiteServer/is touched", &noise(200_000, 9));
    nights.put("SiteServer/becomes a folder", b"a file");
    nights.put("SiteServer/becomes a file/inside", b"in a folder");
    nights.put("CD.Latest/a b/\u{e4}\u{65e5}.txt", &noise(70_000, 10));
    nights.put("CD.Latest/empty/", b"");
    nights.night(None);

    change(&mut pages, 20, 100);
    pages.extend_from_slice(&database(300, 11));
    nights.put(DATABASE, &pages);
    nights.put("SiteDBServer/CM_XYZ.ldf", &noise(300_000, 12));
    nights.put("SiteServer/grows", &[noise(100_000, 3), noise(2_000_000, 13)].concat());
    nights.put("SiteServer/shrinks", &noise(1_500_000, 4));
    nights.put("SiteServer/shrinks to little", &noise(60_000, 5));
    nights.put("SiteServer/becomes empty", b"");
    nights.put("SiteServer/becomes large", &noise(2_500_000, 14));
    fs::remove_file(nights.path("SiteServer/goes")).unwrap();
    nights.put("SiteServer/small", b"second");
    touch(&nights.path("SiteServer/is touched"));
    fs::remove_file(nights.path("SiteServer/becomes a folder")).unwrap();
    nights.put("SiteServer/becomes a folder/inside", b"new");
    fs::remove_dir_all(nights.path("SiteServer/becomes a file")).unwrap();
    nights.put("SiteServer/becomes a file", b"new");
    nights.put("SiteServer/comes", &noise(90_000, 15));
    nights.night(Some((0, Level::Weekly)));

    change(&mut pages, 50, 200);
    pages.truncate(900 * 8192);
    nights.put(DATABASE, &pages);
    nights.put("SiteServer/goes", &noise(100_000, 16));
    nights.put("SiteServer/becomes large", &noise(2_600_000, 14));
    touch(&nights.path("SiteServer/is touched"));
    fs::remove_dir_all(nights.path("CD.Latest")).unwrap();
    nights.night(Some((1, Level::Nightly)));
    nights
}

fn touch(path: &Path) {
    let file = fs::File::options().append(true).open(path).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    file.set_modified(before + std::time::Duration::from_secs(1000)).unwrap();
}

#[test]
fn every_night_of_a_chain_comes_out_as_it_was() {
    let nights = three_nights();
    nights.check();
    let index = nights.open(2).unwrap();
    let touched = index.index().entries.iter().find(|entry| entry.path.ends_with("is touched")).unwrap();
    assert!(touched.same && touched.offset > 0 && touched.link == 0, "{touched:?}");
}

#[test]
fn snapshot_that_did_not_change_takes_next_to_nothing() {
    let mut nights = Nights::new();
    nights.put(DATABASE, &database(2000, 1));
    for number in 0..500 {
        nights.put(&format!("SiteServer/inboxes/{number:03}.bin"), &noise(3000, number));
    }
    nights.night(None);
    // The backup task copies the database: its time is another, its bytes are not.
    touch(&nights.path(DATABASE));
    let written = nights.night(Some((0, Level::Nightly)));
    assert!(written.bytes < 2000, "{}", written.bytes);
    nights.check();
}

#[test]
fn changed_pages_take_little_more_than_what_changed_in_them() {
    let mut nights = Nights::new();
    let mut pages = database(4000, 1);
    nights.put(DATABASE, &pages);
    nights.night(None);
    change(&mut pages, 20, 7);
    nights.put(DATABASE, &pages);
    let written = nights.night(Some((0, Level::Nightly)));
    let changed = 4000 / 20 * 300;
    assert!(written.bytes < changed + changed / 10 + 3000, "{} for {changed}", written.bytes);
    nights.check();
}

#[test]
fn same_snapshot_gives_the_same_bytes_on_any_number_of_threads() {
    let mut nights = three_nights();
    let reader = nights.open(1).unwrap();
    let id: ArchiveId = "XYZ-20261103T235900Z".parse().unwrap();
    let write = |threads| {
        let members = archives::members(nights.source.path());
        let options = archives::options(threads, None);
        archives::write_on(&id, members, &options, Some((&reader, Level::Nightly))).unwrap().0
    };
    let (one, four) = (write(1), write(4));
    assert!(one == four);
    drop(reader);
    assert_eq!(nights.archive_of(2), one);
    nights.manifests.truncate(0);
}

#[test]
fn one_file_of_a_chain_of_three_costs_seven_requests() {
    let nights = three_nights();
    for (name, calls) in [("SiteServer/stays", 7), ("SiteServer/goes", 7)] {
        nights.script.forget();
        let (target, _) = nights.fetch(2, |entry| entry.path == format!("XYZBackup/{name}"));
        assert!(target.path().join("XYZBackup").join(name).is_file());
        let made = nights.script.calls();
        let reads = made.iter().filter(|(call, _)| matches!(call, Call::Read | Call::ReadRange)).count();
        // The manifest of the archive itself was read before.
        assert_eq!(reads + 1, calls, "{name}: {made:?}");
    }
}

#[test]
fn archive_whose_base_is_gone_or_another_is_damaged_and_says_so() {
    let nights = three_nights();
    let base = &nights.manifests[0];
    let (archive, manifest) = (base.id.key(&base.archive), base.id.key(&base.id.manifest_name()));
    let whole = nights.archive_of(0);
    let told = |expected: &str| {
        let error = nights.open(2).unwrap_err();
        let words = afterbackup::error::chain(&error);
        assert!(error.is_damage() && words.contains(&base.id.to_string()) && words.contains(expected), "{words}");
        let verified = nights.verify(2);
        assert!(verified.damage.iter().any(|words| words.contains(&base.id.to_string())), "{:?}", verified.damage);
    };
    // Cut; gone; flipped in its index.
    nights.replace(0, &whole[..whole.len() - 1]);
    told("");
    nights.destination.delete(&archive).unwrap();
    told("");
    let mut flipped = whole.clone();
    let place = usize::try_from(base.index.frame_offset).unwrap() + 30;
    flipped[place] ^= 1;
    nights.destination.put_new(&archive, &flipped).unwrap();
    told("");
    // Another archive of the same name.
    let other = Nights::new();
    other.put("SiteServer/other", b"other");
    let members = archives::members(other.source.path());
    let (bytes, written) = archives::write_on(&base.id, members, &archives::options(1, None), None).unwrap();
    nights.destination.delete(&archive).unwrap();
    nights.destination.delete(&manifest).unwrap();
    archives::store(&nights.destination, &archives::manifest(&written, None), &bytes);
    told("its index is another");
    nights.destination.delete(&manifest).unwrap();
    told("");
    nights.destination.put_new(&manifest, b"{").unwrap();
    told("truncated");
    // Put back, all is well.
    nights.destination.delete(&manifest).unwrap();
    nights.destination.delete(&archive).unwrap();
    archives::store(&nights.destination, base, &whole);
    nights.check();
}

#[test]
fn damage_in_a_base_costs_the_files_that_need_it_and_no_others() {
    let nights = three_nights();
    let reader = nights.open(0).unwrap();
    let database = format!("XYZBackup/{DATABASE}");
    let entry = reader.index().entries.iter().find(|entry| entry.path == database).unwrap();
    let mut bytes = nights.archive_of(0);
    // A frame in the middle of the database: by its share of the archive, which does not compress.
    let at = usize::try_from(entry.offset + entry.size / 2).unwrap();
    bytes[at] ^= 0x40;
    drop(reader);
    nights.replace(0, &bytes);
    for night in 0..3 {
        let (target, fetched) = nights.fetch(night, |_| true);
        assert_eq!(fetched.damaged, std::slice::from_ref(&database), "night {night}");
        let mut expected = nights.trees[night].clone();
        expected.remove(Path::new(DATABASE));
        assert!(tree(&target.path().join("XYZBackup")) == expected, "night {night}");
        assert_eq!(nights.verify(night).damage.len(), 1 + usize::from(night == 0), "{:?}", nights.verify(night).damage);
    }
}

#[test]
fn without_its_base_an_archive_gives_what_it_has_itself() {
    let nights = three_nights();
    let base = &nights.manifests[0];
    nights.destination.delete(&base.id.key(&base.archive)).unwrap();
    let keys = Identities::default();
    let manifest = nights.manifests[1].clone();
    let opened = Reader::open_in_order(&nights.destination, manifest, &keys, &Cancel::new());
    let (reader, proof) = opened.unwrap();
    assert_eq!(serde_json::to_value(proof).unwrap(), "part");
    let target = tempfile::tempdir().unwrap();
    let fetched = fetch(&reader, |_| true, target.path());
    let found = tree(&target.path().join("XYZBackup"));
    let expected = &nights.trees[1];
    assert!(found.iter().all(|(path, bytes)| expected.get(path) == Some(bytes)));
    for whole in ["SiteServer/small", "SiteServer/comes", "SiteServer/shrinks to little"] {
        assert!(found.contains_key(Path::new(whole)), "{whole}");
    }
    for lost in [DATABASE, "SiteServer/is touched"] {
        assert!(fetched.damaged.contains(&format!("XYZBackup/{lost}")), "{:?}", fetched.damaged);
    }
}

/// What docs/differential.md tells administrators to do by hand.
#[test]
#[cfg_attr(windows, ignore = "the lines are those of a shell")]
fn by_hand_with_tar_zstd_and_xdelta3() {
    let nights = three_nights();
    let (archives, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut script = "set -eu\n".to_owned();
    for (number, manifest) in nights.manifests.iter().enumerate() {
        fs::write(archives.path().join(&manifest.archive), nights.archive_of(number)).unwrap();
        script.push_str(&BY_HAND.replace("FILE", &format!("\"$ARCHIVES/{}\"", manifest.archive)));
    }
    let shell = Command::new("sh")
        .args(["-c", &script])
        .current_dir(target.path())
        .env("ARCHIVES", archives.path())
        .output()
        .unwrap();
    assert!(shell.status.success(), "{}", String::from_utf8_lossy(&shell.stderr));
    let found = tree(&target.path().join("XYZBackup"));
    assert!(found == nights.trees[2], "{:?}", names(&found));
}

/// What an archive says is gone goes first: a file may stand where a folder was. Then come its files, and its deltas.
const BY_HAND: &str = r#"
zstd -dc FILE | tar -xO .afterbackup/index.jsonl | sed -n 's/^{"path":"\(.*\)","removed":true}$/\1/p' | sort -r |
    while read -r path; do if [ -d "$path" ]; then rmdir "$path"; else rm "$path"; fi; done
zstd -dc FILE | tar -x
if [ -d .afterbackup/delta ]; then
    (cd .afterbackup/delta && find . -name 000000) | while read -r piece; do
        file=${piece%/000000}
        cat ".afterbackup/delta/$file"/* | xdelta3 -d -D -c -s "$file" > "$file.new" && mv "$file.new" "$file"
    done
    rm -r .afterbackup/delta
fi
"#;

/// A full archive with one file, and what a forged archive on it does with that.
fn on_a_full_archive(forge: impl FnOnce(&mut Forged, &[u8]) -> Vec<Entry>) -> (Nights, Result<Vec<String>, String>) {
    let mut nights = Nights::new();
    let before = noise(300_000, 5);
    nights.put("file", &before);
    nights.night(None);
    let mut forged = Forged { base: Some(nights.manifests[0].as_base(Level::Nightly)), ..Forged::default() };
    let mut entries = forge(&mut forged, &before);
    // A file that is whole comes back whatever is wrong with others.
    let sound = forged.tar_bytes;
    forged.frame(b"sound");
    entries.push(archives::file("XYZBackup/sound", sound, b"sound"));
    let (archive, manifest) = forged.finish(entries);
    archives::store(&nights.destination, &manifest, &archive);
    let target = tempfile::tempdir().unwrap();
    let result = Reader::open(&nights.destination, manifest, &nights.keys)
        .map_err(|error| {
            assert!(error.is_damage(), "{error}");
            afterbackup::error::chain(&error)
        })
        .map(|reader| {
            let fetched = fetch(&reader, |_| true, target.path());
            assert_eq!(fs::read(target.path().join("XYZBackup/sound")).unwrap(), b"sound");
            fetched.damaged
        });
    (nights, result)
}

/// The file, as a VCDIFF that is stored in these pieces.
fn with_pieces(pieces: Vec<Piece>, of: &[u8]) -> Entry {
    let delta = Some(Box::new(Delta { pieces, from: None }));
    Entry { delta, ..archives::file("XYZBackup/file", 0, of) }
}

#[test]
fn index_that_lies_about_differences_is_refused() {
    let piece = |at, offset, size| Piece { at, offset, size };
    let refused = |words: &str, entry: &dyn Fn(&[u8]) -> Entry| {
        let (_, result) = on_a_full_archive(|forged, before| {
            forged.frame(&[0; 1000]);
            vec![entry(before)]
        });
        let error = result.unwrap_err();
        assert!(error.contains(words), "{error}");
    };
    for pieces in [
        vec![],
        vec![piece(1, 0, 10)],
        vec![piece(0, 0, 0)],
        vec![piece(0, 0, 5 << 20)],
        vec![piece(0, u64::MAX, 10)],
        vec![piece(0, 0, 10), piece(0, 10, 10)],
        vec![piece(0, 0, 10), piece(300_000, 10, 10)],
        vec![piece(0, 10, 10), piece(100, 15, 10)],
        vec![piece(0, 1 << 40, 10)],
    ] {
        refused("impossible place", &|before| with_pieces(pieces.clone(), before));
    }
    refused("impossible place", &|before| Entry { offset: 1, ..with_pieces(vec![piece(0, 0, 10)], before) });
    refused("a file that is not there", &|before| Entry {
        path: "XYZBackup/other".into(),
        ..with_pieces(vec![piece(0, 0, 10)], before)
    });
    refused("a file that is not there", &|before| Entry {
        same: true,
        ..archives::file("XYZBackup/file", 0, &before[1..])
    });
    refused("a file that is not there", &|before| Entry { same: true, ..archives::file("XYZBackup/g", 0, before) });
    refused("a file that is not there", &|before| Entry {
        path: "XYZBackup".into(),
        ..with_pieces(vec![piece(0, 0, 10)], before)
    });
}

#[test]
fn full_archive_may_not_speak_of_differences() {
    for line in [r#""removed":true"#, r#""same":true"#, r#""delta":{"pieces":[[0,0,10]]}"#] {
        let sum = "0".repeat(64);
        let line = format!(r#"{{"path":"a","size":5,"modified":"2026-11-22T00:00:00Z","sha256":"{sum}",{line}}}"#);
        let lines = format!("{{\"format\":1,\"id\":\"{}\"}}\n{line}\n", archives::ID);
        let mut forged = Forged::default();
        forged.frame(&[0; 1000]);
        let (archive, manifest) = forged.finish_with(lines.as_bytes());
        let destination = in_memory("memory");
        archives::store(&*destination, &manifest, &archive);
        let error = Reader::open(&*destination, manifest, &Identities::default()).unwrap_err();
        assert!(afterbackup::error::chain(&error).contains("a file that is not there"), "{error}");
    }
}

#[test]
fn index_that_removes_what_is_not_there_or_builds_on_another_archive_is_refused() {
    let mut nights = Nights::new();
    nights.put("file", b"a");
    nights.night(None);
    let base = nights.manifests[0].as_base(Level::Nightly);
    let json = serde_json::to_string(&base).unwrap();
    let other = json.replace("\"level\":\"nightly\"", "\"level\":\"weekly\"");
    for (base_json, line, words) in [
        (&json, r#"{"path":"XYZBackup/gone","removed":true}"#, "a file that is not there"),
        (&json, r#"{"path":"ZZZ","removed":true}"#, "a file that is not there"),
        (&other, r#"{"path":"XYZBackup/file","removed":true}"#, "different archives as the base"),
    ] {
        let mut forged = Forged { base: Some(base.clone()), ..Forged::default() };
        forged.frame(&[0; 512]);
        let lines = format!("{{\"format\":1,\"id\":\"{}\",\"base\":{base_json}}}\n{line}\n", archives::ID);
        let (archive, manifest) = forged.finish_with(lines.as_bytes());
        let destination = in_memory("memory");
        archives::store(&*destination, &nights.manifests[0], &nights.archive_of(0));
        archives::store(&*destination, &manifest, &archive);
        let error = Reader::open(&*destination, manifest, &Identities::default()).unwrap_err();
        let error = afterbackup::error::chain(&error);
        assert!(error.contains(words), "{error}");
    }
}

#[cfg(unix)]
type Lie = Box<dyn Fn(&mut Vec<u8>)>;

#[test]
#[cfg(unix)]
fn vcdiff_that_lies_costs_its_file_alone() {
    let after = |before: &[u8]| {
        let mut after = before.to_vec();
        change(&mut after, 5, 9);
        after
    };
    let delta = |before: &[u8]| deltas::encode(&after(before), before, 100_000);
    let lies: Vec<(&str, Lie)> = vec![
        ("cut", Box::new(|delta| delta.truncate(delta.len() - 1))),
        ("header", Box::new(|delta| delta[0] ^= 1)),
        ("a window of the target", Box::new(|delta| delta[5] = 0x06)),
        (
            "the first byte of the checksum",
            Box::new(|delta| {
                let end = delta.len();
                delta[end - 40] ^= 1;
            }),
        ),
        ("nothing", Box::new(Vec::clear)),
        ("zeros", Box::new(|delta| delta.fill(0))),
        ("lengths", Box::new(|delta| delta[6..16].fill(0xFF))),
    ];
    for (name, lie) in &lies {
        let (_, result) = on_a_full_archive(|forged, before| {
            let mut delta = delta(before);
            lie(&mut delta);
            let size = delta.len().max(1) as u64;
            delta.resize(delta.len().max(1), 0);
            let offset = forged.tar_bytes;
            forged.frame(&delta);
            vec![with_pieces(vec![Piece { at: 0, offset, size }], &after(before))]
        });
        assert_eq!(result.unwrap(), ["XYZBackup/file"], "{name}");
    }
    // Honest, but for another size of the file, or with pieces that meet at another place.
    for (resize, second) in [(299_999, 100_000), (300_001, 100_000), (300_000, 100_001), (300_000, 99_999)] {
        let (_, result) = on_a_full_archive(|forged, before| {
            let delta = delta(before);
            let mut wanted = after(before);
            let first = deltas::encode(&wanted[..100_000], &before[..100_000], 100_000).len();
            wanted.resize(resize, 0);
            let offset = forged.tar_bytes;
            forged.frame(&delta[..first]);
            forged.frame(&delta[first..]);
            let (first, rest) = (first as u64, (delta.len() - first) as u64);
            let pieces =
                vec![Piece { at: 0, offset, size: first }, Piece { at: second, offset: offset + first, size: rest }];
            vec![with_pieces(pieces, &wanted)]
        });
        assert_eq!(result.unwrap(), ["XYZBackup/file"], "{resize} {second}");
    }
    let (_, honest) = on_a_full_archive(|forged, before| {
        let (offset, delta) = (forged.tar_bytes, delta(before));
        forged.frame(&delta);
        vec![with_pieces(vec![Piece { at: 0, offset, size: delta.len() as u64 }], &after(before))]
    });
    assert_eq!(honest.unwrap(), [""; 0]);
}

/// What happens to a file from one night to the next.
#[derive(Debug, Clone)]
enum Fate {
    Stays,
    Touched,
    Changed(u64),
    Resized(usize),
    Gone,
}

fn fates() -> impl Strategy<Value = Vec<Vec<Fate>>> {
    let fate = prop_oneof![
        Just(Fate::Stays),
        Just(Fate::Touched),
        any::<u64>().prop_map(Fate::Changed),
        (0_usize..400_000).prop_map(Fate::Resized),
        Just(Fate::Gone),
    ];
    proptest::collection::vec(proptest::collection::vec(fate, 6), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_nights_come_out_as_they_were(fates in fates(), bases in proptest::collection::vec(any::<prop::sample::Index>(), 5)) {
        let mut nights = Nights::new();
        for file in 0..6_usize {
            nights.put(&format!("f/{file}"), &noise(file * file * 40_000, file as u64));
        }
        nights.night(None);
        for (number, night) in fates.iter().enumerate() {
            for (file, fate) in night.iter().enumerate() {
                let name = format!("f/{file}");
                let path = nights.path(&name);
                let mut bytes = fs::read(&path).unwrap_or_default();
                match fate {
                    Fate::Touched if path.is_file() => touch(&path),
                    Fate::Gone if path.is_file() => fs::remove_file(&path).unwrap(),
                    Fate::Stays | Fate::Touched | Fate::Gone => {}
                    Fate::Changed(seed) => {
                        change(&mut bytes, 3, *seed >> 8);
                        nights.put(&name, &bytes);
                        touch(&path);
                    }
                    Fate::Resized(size) => {
                        bytes.resize(*size, 7);
                        nights.put(&name, &bytes);
                    }
                }
            }
            let base = bases[number].index(nights.manifests.len());
            nights.night(Some((base, Level::Nightly)));
        }
        nights.check();
    }
}
