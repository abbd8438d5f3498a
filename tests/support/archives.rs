//! Archives made for tests: honest ones by the writer, dishonest ones by hand.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use afterbackup::archive::index::{Entry, INDEX_PATH, Index};
use afterbackup::archive::manifest::{Base, Encryption, FORMAT, IndexLocation, Manifest, Sha256Hex};
use afterbackup::archive::provenance::EvidenceKind;
use afterbackup::archive::reader::Reader;
use afterbackup::archive::seek_table::SeekTable;
use afterbackup::archive::writer::{self, Contents, Member, Need, Options, WriteError, Written};
use afterbackup::archive::{Identities, OutputClosed};
use afterbackup::cancel::Cancel;
use afterbackup::destination::Destination;
use afterbackup::monitor::{Collector, Monitor, Task};
use afterbackup::name::{ArchiveId, Form, Level};
use afterbackup::source::walk::{self, Kind};
use bytes::Bytes;
use sha2::{Digest, Sha256};

pub const ID: &str = "XYZ-20261122T235900Z";

pub fn id() -> ArchiveId {
    ID.parse().unwrap()
}

/// Bytes that do not compress, always the same for a seed.
pub fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}

/// One third noise, the rest zeros: data that compress three to one.
pub fn data(bytes: usize, seed: u64) -> Vec<u8> {
    let mut data = noise(bytes, seed);
    for chunk in data.chunks_mut(1024) {
        let third = chunk.len() / 3;
        chunk[third..].fill(0);
    }
    data
}

pub fn sum(bytes: &[u8]) -> Sha256Hex {
    Sha256Hex(Sha256::digest(bytes).into())
}

/// Writes files; paths that end with `/` are folders.
pub fn lay_out<'a>(root: &Path, tree: impl IntoIterator<Item = (&'a str, &'a [u8])>) {
    for (path, bytes) in tree {
        let place = root.join(path);
        if path.ends_with('/') {
            fs::create_dir_all(place).unwrap();
        } else {
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, bytes).unwrap();
        }
    }
}

/// Everything below a folder, as members below `XYZBackup`.
pub fn members(root: &Path) -> Vec<Member> {
    let walk = walk::walk(root, &Cancel::new()).unwrap();
    assert!(walk.skipped.is_empty());
    let root: Arc<Path> = Arc::from(root);
    let top = Member {
        root: Arc::clone(&root),
        path: "XYZBackup".to_owned(),
        below: 0,
        folder: true,
        size: 0,
        modified: id().stamp(),
        attributes: afterbackup::archive::index::Attributes::default(),
        need: Need::Required,
        origin: None,
    };
    let below = walk.items.iter().map(|item| Member {
        root: Arc::clone(&root),
        path: format!("XYZBackup/{}", item.name),
        below: item.name.len(),
        folder: item.kind == Kind::Folder,
        size: item.bytes,
        modified: item.modified,
        attributes: item.attributes,
        need: Need::Required,
        origin: None,
    });
    std::iter::once(top).chain(below).collect()
}

pub fn task() -> Box<dyn Task> {
    Collector::default().task("test", None)
}

pub fn options(threads: usize, key: Option<&Key>) -> Options {
    Options { level: 3, threads, check_databases: true, recipients: key.iter().map(|key| key.public()).collect() }
}

/// The archive of some members, in memory.
pub fn write(members: Vec<Member>, options: &Options) -> (Vec<u8>, Written) {
    try_write(members, options).unwrap()
}

pub fn try_write(members: Vec<Member>, options: &Options) -> Result<(Vec<u8>, Written), WriteError> {
    write_on(&id(), members, options, None)
}

/// The same of another night, which may build on an archive.
pub fn write_on(
    id: &ArchiveId,
    members: Vec<Member>,
    options: &Options,
    base: Option<(&Reader<'_>, Level)>,
) -> Result<(Vec<u8>, Written), WriteError> {
    let mut archive = Vec::new();
    let mut output = |block: Bytes| {
        archive.extend_from_slice(&block);
        Ok::<(), OutputClosed>(())
    };
    let contents = Contents { members, skipped: vec![], base };
    let written = writer::write(id, contents, options, &mut output, &*task(), &Cancel::new())?;
    assert_eq!((written.bytes, written.sha256), (archive.len() as u64, sum(&archive)));
    Ok((archive, written))
}

pub fn manifest(written: &Written, key: Option<&Key>) -> Manifest {
    let id = written.index.id.clone();
    let form = Form { encrypted: key.is_some(), differential: written.index.base.is_some() };
    Manifest {
        format: FORMAT,
        site: id.site().to_string(),
        series: None,
        completed: id.stamp(),
        completion_evidence: EvidenceKind::Metadata,
        archived: id.stamp(),
        program: "test".to_owned(),
        host: "CM01".to_owned(),
        archive: id.archive_name(form),
        bytes: written.bytes,
        sha256: written.sha256,
        compressed_bytes: written.compressed_bytes,
        uncompressed_bytes: written.uncompressed_bytes,
        files: written.index.files(),
        snapshot_bytes: written.index.bytes(),
        base: written.index.base.clone(),
        full_because: None,
        encryption: key.map(|key| Encryption { recipients: vec![key.public().to_string()] }),
        index: written.location,
        parts: vec![],
        fingerprint: written.fingerprint.clone(),
        folders: vec![],
        missing: vec![],
        skipped: 0,
        site_database: None,
        databases: vec![],
        id,
    }
}

/// Puts an archive on a destination, whatever it is.
pub fn store(destination: &dyn Destination, manifest: &Manifest, archive: &[u8]) {
    destination.put_new(&manifest.id.key(&manifest.archive), archive).unwrap();
    destination.put_new(&manifest.id.key(&manifest.id.manifest_name()), &manifest.to_json()).unwrap();
}

/// A key pair.
pub struct Key(age::x25519::Identity);

impl Key {
    pub fn new() -> Self {
        Self(age::x25519::Identity::generate())
    }

    pub fn public(&self) -> age::x25519::Recipient {
        self.0.to_public()
    }

    pub fn identities(&self) -> Identities {
        use age::secrecy::ExposeSecret;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.txt");
        fs::write(&file, self.0.to_string().expose_secret()).unwrap();
        Identities::from_file(&file).unwrap()
    }
}

pub fn identities(key: Option<&Key>) -> Identities {
    key.map_or_else(Identities::default, Key::identities)
}

/// An archive made by hand, in which everything may be a lie.
#[derive(Default)]
pub struct Forged {
    pub frames: Vec<u8>,
    pub table: SeekTable,
    /// Size of the tar so far.
    pub tar_bytes: u64,
    /// What it builds on.
    pub base: Option<Base>,
}

impl Forged {
    /// A frame that is what it says.
    pub fn frame(&mut self, plain: &[u8]) -> &mut Self {
        self.lying_frame(plain, u32::try_from(plain.len()).unwrap())
    }

    /// A frame of which the table says something else.
    pub fn lying_frame(&mut self, plain: &[u8], claimed: u32) -> &mut Self {
        let compressed = zstd::bulk::compress(plain, 1).unwrap();
        self.table.push(u32::try_from(compressed.len()).unwrap(), claimed);
        self.frames.extend(compressed);
        self.tar_bytes += u64::from(claimed);
        self
    }

    /// A frame in the table alone.
    pub fn claimed_frame(&mut self, compressed: u32, plain: u32) -> &mut Self {
        self.table.push(compressed, plain);
        self.tar_bytes += u64::from(plain);
        self
    }

    /// Ends the archive with an index of these entries.
    pub fn finish(self, entries: Vec<Entry>) -> (Vec<u8>, Manifest) {
        let (base, link) = (self.base.clone(), self.base.as_ref().map_or(0, |base| base.chain.len()));
        let entries = entries.into_iter().map(|entry| Entry { link: link.try_into().unwrap(), ..entry }).collect();
        self.finish_with(&Index { base, entries, ..Index::empty(id()) }.to_lines())
    }

    /// Ends the archive with this as its index.
    pub fn finish_with(mut self, json: &[u8]) -> (Vec<u8>, Manifest) {
        let mut head = [0; 512];
        head[..INDEX_PATH.len()].copy_from_slice(INDEX_PATH.as_bytes());
        let (frame, frame_offset, offset) = (self.table.len(), self.table.total().0, self.tar_bytes + 512);
        let mut tail = [&head[..], json].concat();
        tail.resize(tail.len().next_multiple_of(512) + 1024, 0);
        for part in tail.chunks(4 << 20) {
            self.frame(part);
        }
        let mut archive = self.frames;
        archive.extend(self.table.to_bytes());
        let bytes = self.table.total().0 + self.table.stored_bytes();
        let written = Written {
            bytes,
            sha256: sum(&archive),
            compressed_bytes: bytes,
            uncompressed_bytes: self.tar_bytes,
            location: IndexLocation {
                frame: frame as u64,
                frames: (self.table.len() - frame) as u64,
                frame_offset,
                directory: None,
                offset,
                size: json.len() as u64,
                sha256: sum(json),
            },
            index: Index { base: self.base, ..Index::empty(id()) },
            databases: vec![],
            fingerprint: String::new(),
            unread: vec![],
        };
        (archive, manifest(&written, None))
    }
}

/// A file entry with these bytes at this place.
pub fn file(path: &str, offset: u64, bytes: &[u8]) -> Entry {
    Entry {
        path: path.to_owned(),
        size: bytes.len() as u64,
        modified: id().stamp(),
        sha256: Some(sum(bytes)),
        offset,
        ..Entry::default()
    }
}

pub fn folder(path: &str) -> Entry {
    Entry { folder: true, sha256: None, ..file(path, 0, b"") }
}
