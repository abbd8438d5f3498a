//! Whatever tree is archived comes back as it was, by our reader and by others.

use std::collections::BTreeMap;
use std::io::Read;

use afterbackup::archive::extract::{self, extract};
use afterbackup::archive::index::{Entry, INDEX_PATH};
use afterbackup::archive::reader::Reader;
use afterbackup::archive::seek_table::SeekTable;
use afterbackup::archive::verify::{Depth, verify};
use afterbackup::archive::writer::Written;
use afterbackup::cancel::Cancel;
use afterbackup::destination::in_memory;
use afterbackup::monitor::Collector;
use proptest::prelude::*;

use crate::support::archives::{self, Key};

const SMALL_FRAME: u64 = 512 << 10;
const LARGE_FRAME: u64 = 4 << 20;

/// Sizes next to everything that has a limit.
fn size() -> impl Strategy<Value = usize> {
    let (small, large) = (512_usize << 10, 4_usize << 20);
    prop_oneof![
        8 => prop::sample::select(vec![0, 1, 511, 512, 513, 1024]),
        4 => 0_usize..100_000,
        4 => prop::sample::select(vec![small - 1025, small - 1024, small - 513, small - 512, small - 511, small - 1, small, small + 1]),
        2 => prop::sample::select(vec![large - 513, large - 512, large - 1, large, large + 1, 2 * large, 2 * large + 513]),
    ]
}

/// Names that are hard: long, not ASCII, with blanks and dots at the end, of several levels.
fn path() -> impl Strategy<Value = String> {
    let name =
        prop_oneof![4 => "[a-c]{1,2}", 2 => "[A-Za-zäöü€𝄞 .]{0,20}[a-z]", 1 => "[a-z]{100,200}", 1 => "[a-z]{1,3}[. ]"];
    prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"))
}

fn tree() -> impl Strategy<Value = BTreeMap<String, Option<(usize, u64)>>> {
    let content = prop_oneof![9 => (size(), any::<u64>()).prop_map(Some), 1 => Just(None)];
    prop::collection::btree_map(path(), content, 0..14)
}

/// Puts a tree on the disk as far as it can be there: what would lie below a file does not.
fn lay_out(root: &std::path::Path, tree: &BTreeMap<String, Option<(usize, u64)>>) {
    for (path, content) in tree {
        let place = root.join(path);
        let made = std::fs::create_dir_all(place.parent().unwrap()).and_then(|()| match content {
            None => std::fs::create_dir_all(&place),
            Some(_) if place.exists() => Ok(()),
            Some((bytes, seed)) => std::fs::write(&place, archives::data(*bytes, *seed)),
        });
        drop(made);
    }
}

/// The rules of FORMAT.md, section 3.2.
fn assert_frames_keep_the_rules(archive: &[u8], written: &Written) {
    let table = SeekTable::parse(archive, archive.len() as u64).unwrap();
    let frames = 0..table.len();
    let index_frame = usize::try_from(written.location.frame).unwrap();
    assert_eq!(written.location.frames, (table.len() - index_frame) as u64);
    assert_eq!(written.location.frame_offset, table.compressed(index_frame).start);
    for frame in frames.clone() {
        let place = table.compressed(frame);
        let stored = &archive[usize::try_from(place.start).unwrap()..usize::try_from(place.end).unwrap()];
        let plain = table.plain(frame);
        let size = zstd::zstd_safe::get_frame_content_size(stored).unwrap();
        assert_eq!(size, Some(plain.end - plain.start), "frame {frame} states its size");
        let descriptor = stored[4];
        assert_ne!(descriptor & 0b100, 0, "frame {frame} has a checksum");
        assert_eq!(descriptor & 0b11, 0, "frame {frame} needs no dictionary");
        let single_segment = descriptor & 0b10_0000 != 0;
        let window = if single_segment { plain.end - plain.start } else { 1 << (10 + (stored[5] >> 3)) };
        assert!(window <= 1 << 27, "frame {frame} has a window of {window}");
    }
    let mut belongs_to_large = vec![false; table.len()];
    for entry in written.index.entries.iter().filter(|entry| !entry.folder && entry.size > 0) {
        let overlapping = table.overlapping(entry.offset..entry.offset + entry.size);
        if entry.size > SMALL_FRAME {
            let padded = entry.offset + entry.size.next_multiple_of(512);
            for (number, frame) in overlapping.clone().enumerate() {
                let start = entry.offset + LARGE_FRAME * number as u64;
                assert_eq!(table.plain(frame), start..padded.min(start + LARGE_FRAME), "{}", entry.path);
                belongs_to_large[frame] = true;
            }
        } else if entry.size <= SMALL_FRAME - 2048 {
            assert_eq!(overlapping.len(), 1, "{} lies in one frame", entry.path);
        }
    }
    for frame in frames.filter(|&frame| !belongs_to_large[frame]) {
        let plain = table.plain(frame);
        let most = if frame >= index_frame { LARGE_FRAME } else { SMALL_FRAME };
        assert!(plain.end - plain.start <= most, "frame {frame} has {plain:?}");
    }
    let index_start = table.plain(index_frame).start;
    assert!(written.index.entries.iter().all(|entry| entry.offset + entry.size <= index_start));
    assert_eq!(written.location.offset, index_start + 512);
}

/// Reads the archive with zstd and tar as a stranger would.
fn assert_others_read_the_same(archive: &[u8], entries: &[Entry]) {
    let mut tar = tar::Archive::new(zstd::Decoder::new(archive).unwrap());
    let mut found = tar.entries().unwrap();
    for entry in entries {
        let mut member = found.next().unwrap().unwrap();
        let path = String::from_utf8(member.path_bytes().into_owned()).unwrap();
        assert_eq!(path.trim_end_matches('/'), entry.path);
        assert_eq!(member.header().entry_type().is_dir(), entry.folder);
        assert_eq!(member.size(), entry.size);
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        if !entry.folder {
            assert_eq!(Some(archives::sum(&bytes)), entry.sha256, "{path}");
            assert_eq!(member.raw_file_position(), entry.offset, "{path}");
        }
    }
    let index = found.next().unwrap().unwrap();
    assert_eq!(index.path_bytes().as_ref(), INDEX_PATH.as_bytes());
    assert!(found.next().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_tree_comes_back(tree in tree(), threads in 1_usize..5, encrypted in any::<bool>()) {
        let source = tempfile::tempdir().unwrap();
        lay_out(source.path(), &tree);
        let members = archives::members(source.path());
        let (plain, written) = archives::write(members.clone(), &archives::options(threads, None));
        let (again, _) = archives::write(members.clone(), &archives::options(threads % 4 + 1, None));
        prop_assert!(plain == again, "{} threads give other bytes than {threads}", threads % 4 + 1);
        assert_frames_keep_the_rules(&plain, &written);
        assert_others_read_the_same(&plain, &written.index.entries);

        let key = encrypted.then(Key::new);
        let (archive, written) =
            if encrypted { archives::write(members.clone(), &archives::options(threads, key.as_ref())) } else { (plain, written) };
        let manifest = archives::manifest(&written, key.as_ref());
        let destination = in_memory("memory");
        archives::store(&*destination, &manifest, &archive);
        let identities = archives::identities(key.as_ref());

        let reader = Reader::open(&*destination, manifest.clone(), &identities).unwrap();
        prop_assert_eq!(reader.index(), &written.index);
        prop_assert_eq!(reader.index().entries.len(), members.len());
        let target = tempfile::tempdir().unwrap();
        let options = extract::Options { target: target.path().join("out"), force: false, threads };
        let entries: Vec<&Entry> = reader.index().entries.iter().collect();
        let fetched = extract(&reader, &entries, &options, &Collector::default(), &Cancel::new()).unwrap();
        prop_assert_eq!(fetched.files, written.index.files());
        prop_assert!(fetched.damaged.is_empty());
        let there = archives::members(&options.target.join("XYZBackup"));
        prop_assert_eq!(there.len(), members.len());
        for (there, member) in there.iter().zip(&members).skip(1) {
            prop_assert_eq!((&there.path, there.folder, there.modified), (&member.path, member.folder, member.modified));
            if !member.folder {
                prop_assert!(std::fs::read(there.source()).unwrap() == std::fs::read(member.source()).unwrap(), "{}", member.path);
            }
        }
        // Fetched again, everything is there already.
        let again = extract(&reader, &entries, &options, &Collector::default(), &Cancel::new()).unwrap();
        prop_assert_eq!((again.files, again.already_there), (0, fetched.files));

        let verified = verify(&*destination, &manifest, &identities, Depth::Deep, threads, &Collector::default(), &Cancel::new()).unwrap();
        prop_assert_eq!(verified.damage, Vec::<String>::new());
        prop_assert_eq!(verified.files, written.index.files());
    }
}
