//! The reading thread: files to tar.

use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::databases::{DatabaseCheck, Role, pair_all};
use super::differences::{Differences, LEAST_DELTA, New};
use super::frames::{Cutter, SMALL_FRAME};
use super::index::{
    ALL_FINDINGS_BYTES, Attributes, Delta, Entry, Findings, INDEX_PATH, Index, MAX_INDEX_BYTES, MAX_LINE_BYTES,
    Skipped, archive_order, is_too_deep, shallow,
};
use super::index_lines::{Chunks, directory, each};
use super::manifest::Sha256Hex;
use super::member::{Member, Need, fingerprint_line};
use super::member_file::{READ_BYTES, Streamed, open_unchanged, read_part, read_small};
use super::reader::Reader;
use super::tar_header::{self, header, padding};
use super::write_error::WriteError;
use crate::cancel::Cancel;
use crate::monitor::Task;
use crate::name::{ArchiveId, Level};
use crate::sqlserver::{Checker, Report};

/// What the reading thread made.
pub(super) struct Tarred {
    pub(super) index: Index,
    pub(super) place: IndexPlace,
    pub(super) fingerprint: String,
    pub(super) databases: Vec<DatabaseCheck>,
    pub(super) unread: Vec<Skipped>,
}

/// Where the index came to lie.
pub(super) struct IndexPlace {
    pub(super) frame: usize,
    /// Frame and SHA-256 of its directory.
    pub(super) directory: Option<(usize, Sha256Hex)>,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) sha256: Sha256Hex,
}

/// The reading thread: files to tar.
pub(super) struct Tarring<'a> {
    cutter: Cutter,
    task: &'a dyn Task,
    cancel: &'a Cancel,
    fingerprint: Sha256,
    check_databases: bool,
    databases: Vec<DatabaseCheck>,
    unread: Vec<Skipped>,
    /// How many archives lie below this one.
    link: u8,
}

/// What a member is, before its bytes are known.
fn entry_of(member: &Member) -> Entry {
    Entry {
        path: member.path.clone(),
        folder: member.folder,
        size: member.size,
        modified: member.modified,
        attributes: member.attributes,
        origin: member.origin.clone(),
        ..Entry::default()
    }
}

/// Is all but time and bytes the same?
fn looks_like(entry: &Entry, before: &Entry) -> bool {
    entry.attributes == before.attributes && entry.origin == before.origin
}

/// A file with the bytes that it has in the base.
fn as_before(entry: Entry, before: &Entry) -> Entry {
    let same = entry.modified != before.modified || !looks_like(&entry, before);
    let (sha256, offset, delta, link) = (before.sha256, before.offset, before.delta.clone(), before.link);
    let database = before.database.clone();
    Entry { sha256, offset, database, same, delta, link, ..entry }
}

impl<'a> Tarring<'a> {
    pub(super) fn new(cutter: Cutter, check_databases: bool, task: &'a dyn Task, cancel: &'a Cancel) -> Self {
        let fingerprint = Sha256::new();
        Self { cutter, task, cancel, fingerprint, check_databases, databases: vec![], unread: vec![], link: 0 }
    }

    /// Makes the tar, all of it.
    pub(super) fn run(
        mut self,
        id: &ArchiveId,
        mut members: Vec<Member>,
        mut skipped: Vec<Skipped>,
        base: Option<(&Reader<'_>, Level)>,
    ) -> Result<Tarred, WriteError> {
        members.sort_by(|a, b| archive_order(&a.path, &b.path));
        // Parts of a snapshot may lie in one folder of the archive.
        members.dedup_by(|later, first| later.path == first.path && later.folder && first.folder);
        if let Some(pair) = members.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(WriteError::Twice(pair[0].path.clone()));
        }
        let mut entries = Vec::with_capacity(members.len());
        let mut removed = Vec::new();
        let mut differences = base.map(|(reader, _)| Differences::new(reader));
        self.link = differences.as_ref().map_or(0, Differences::link);
        for member in members {
            if self.cancel.is_cancelled() {
                return Err(WriteError::Cancelled);
            }
            let before = differences.as_mut().and_then(|base| base.meet(&member.path, &mut removed));
            let entry = match (before, &mut differences) {
                (Some(before), Some(base)) => {
                    let entry = self.changed(&member, before, base)?;
                    removed.extend(entry.is_none().then_some(member.path));
                    entry
                }
                _ => self.member(&member)?,
            };
            entries.extend(entry);
        }
        removed.extend(differences.into_iter().flat_map(Differences::rest));
        self.judge(&mut entries);
        skipped.extend(self.unread.iter().cloned());
        for one in skipped.iter_mut().filter(|one| is_too_deep(&one.path)) {
            one.path.truncate(shallow(&one.path).len());
        }
        skipped.sort_by(|a, b| archive_order(&a.path, &b.path));
        // Of all that is too deep, its folder is named once.
        skipped.dedup();
        let base = base.map(|(reader, level)| reader.manifest().as_base(level));
        let index = Index { base, entries, removed, skipped, ..Index::empty(id.clone()) };
        self.index(index)
    }

    /// Stores it as a whole. `None` when it was left out.
    fn member(&mut self, member: &Member) -> Result<Option<Entry>, WriteError> {
        let need = member.need;
        if is_too_deep(&member.path) {
            return self.too_deep(member);
        }
        let head = header(&member.path, member.folder, member.size, member.modified, member.attributes);
        let source = member.source();
        let mut entry = Entry { link: self.link, ..entry_of(member) };
        if member.folder {
            self.cutter.reserve(head.len())?;
            self.cutter.append(&head)?;
            return Ok(Some(entry));
        }
        let padding = padding(member.size);
        let whole = usize::try_from(member.size).ok().and_then(|size| size.checked_add(head.len() + padding));
        let large = whole.is_none_or(|whole| whole > SMALL_FRAME);
        // What can be left out is opened, and if it is small also read, before the archive says that it is there.
        let opened = open_unchanged(&source, member.size, member.modified, self.cancel);
        let opened = match (opened, need) {
            (Ok(file), Need::Optional | Need::Extra) if !large => {
                read_small(file, &source, member.size).map(|bytes| Box::new(io::Cursor::new(bytes)) as Box<dyn Read>)
            }
            (Ok(file), _) => Ok(Box::new(Streamed::new(file, member.size)) as Box<dyn Read>),
            (Err(error), _) => Err(error),
        };
        let mut data = match opened {
            Ok(data) => data,
            Err(error) => return self.leave_out(entry.path, need, error).map(|()| None),
        };
        // A large file begins a frame with its data, and its end ends one.
        self.cutter.reserve(if large { head.len() } else { whole.unwrap_or(0) })?;
        self.cutter.append(&head)?;
        if large {
            self.cutter.cut()?;
        }
        entry.offset = self.cutter.position();
        let (sha256, report) = self.data(&mut data, &source, member.size).map_err(|error| {
            // Its beginning is in the archive: the next attempt is without it.
            if error.leaves_out(need) { error.leave_out(&entry.path) } else { error }
        })?;
        entry.sha256 = Some(sha256);
        self.note(&entry, report);
        self.cutter.append(&[0; tar_header::BLOCK][..padding])?;
        if large {
            self.cutter.cut()?;
        }
        Ok(Some(entry))
    }

    /// Stores what differs from `before`, what the base has under the same path. `None` when it was left out.
    fn changed(
        &mut self,
        member: &Member,
        before: &Entry,
        base: &mut Differences<'_, '_>,
    ) -> Result<Option<Entry>, WriteError> {
        let entry = entry_of(member);
        if member.folder != before.folder {
            return self.member(member);
        }
        if member.folder {
            let changed = entry.modified != before.modified || !looks_like(&entry, before);
            return if changed { self.member(member) } else { Ok(Some(before.clone())) };
        }
        let (source, need) = (member.source(), member.need);
        let opened = || open_unchanged(&source, member.size, member.modified, self.cancel);
        let is_small = member.size < LEAST_DELTA;
        // Most likely the same: where it is, nothing of the base need be read.
        if member.size == before.size && (member.modified == before.modified || is_small) {
            let mut data = match opened() {
                Ok(file) => Streamed::new(file, member.size),
                Err(error) => return self.leave_out(entry.path, need, error).map(|()| None),
            };
            match self.hash(&mut data, &source, member.size) {
                Ok((sha256, report)) if Some(sha256) == before.sha256 => {
                    self.note(&entry, report);
                    self.task.advance(member.size);
                    return Ok(Some(as_before(entry, before)));
                }
                Ok(_) => {}
                Err(error) => return self.leave_out(entry.path, need, error).map(|()| None),
            }
        }
        if is_small || before.size == 0 {
            return self.member(member);
        }
        let data = match opened() {
            Ok(file) => Streamed::new(file, member.size),
            Err(error) => return self.leave_out(entry.path, need, error).map(|()| None),
        };
        let checker = self.checker();
        let new = New { entry: &entry, source: &source, data, checker };
        let encoded = base.encode(new, before, &mut self.cutter, self.task, self.cancel).map_err(|error| {
            // Its beginning may be in the archive: the next attempt is without it.
            if error.leaves_out(need) { error.leave_out(&entry.path) } else { error }
        })?;
        self.note(&entry, encoded.report);
        if encoded.pieces.is_empty() {
            return Ok(Some(as_before(entry, before)));
        }
        let delta = Delta { pieces: encoded.pieces, from: Some(Box::new(before.clone())) };
        let link = base.link();
        Ok(Some(Entry { sha256: Some(encoded.sha256), delta: Some(Box::new(delta)), link, ..entry }))
    }

    /// Reads a file of which nothing may have to be stored.
    fn hash(&self, data: &mut dyn Read, path: &Path, size: u64) -> Result<(Sha256Hex, Option<Report>), WriteError> {
        let mut sha256 = Sha256::new();
        let mut checker = self.checker();
        let mut block = vec![0; READ_BYTES.min(usize::try_from(size).unwrap_or(READ_BYTES))];
        let mut left = size;
        while left > 0 {
            if self.cancel.is_cancelled() {
                return Err(WriteError::Cancelled);
            }
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
            let part = &mut block[..most];
            read_part(data, part, path)?;
            sha256.update(&*part);
            if let Some(checker) = &mut checker {
                checker.update(part);
            }
            left -= most as u64;
        }
        Ok((Sha256Hex(sha256.finalize().into()), checker.map(Checker::finish)))
    }

    fn too_deep(&mut self, member: &Member) -> Result<Option<Entry>, WriteError> {
        let folder = shallow(&member.path).to_owned();
        if member.need == Need::Required && !member.folder {
            return Err(WriteError::Index(folder));
        }
        let reason = "folders in it are nested deeper than an archive can hold".to_owned();
        self.unread.push(Skipped { path: folder, reason });
        self.unread.dedup();
        Ok(None)
    }

    /// What becomes of a file that cannot be opened, or be read before anything of it is stored.
    fn leave_out(&mut self, path: String, need: Need, error: WriteError) -> Result<(), WriteError> {
        if !error.leaves_out(need) {
            return Err(error);
        }
        self.unread.push(Skipped { path, reason: error.reason() });
        Ok(())
    }

    /// Notes a file that is stored, whichever way.
    fn note(&mut self, entry: &Entry, report: Option<Report>) {
        self.fingerprint.update(fingerprint_line(&entry.path, entry.size, entry.modified).as_bytes());
        let role = Role::of_member(&entry.path);
        self.databases.extend(report.and_then(|report| DatabaseCheck::new(&entry.path, report, role)));
    }

    /// A checker, where databases are checked.
    fn checker(&self) -> Option<Checker> {
        self.check_databases.then(Checker::new)
    }

    /// Compares the databases with each other and puts everything found into the index.
    fn judge(&mut self, entries: &mut [Entry]) {
        pair_all(&mut self.databases);
        let mut left = ALL_FINDINGS_BYTES;
        for check in &self.databases {
            if let Some(entry) = entries.iter_mut().find(|entry| entry.path == check.path) {
                let found = Findings::within(check, &mut left);
                entry.database = found.or_else(|| Findings::within(&check.shortened(), &mut left));
            }
        }
    }

    fn data(&mut self, file: &mut dyn Read, path: &Path, size: u64) -> Result<(Sha256Hex, Option<Report>), WriteError> {
        let mut sha256 = Sha256::new();
        let mut checker = self.checker();
        let mut left = size;
        while left > 0 {
            if self.cancel.is_cancelled() {
                return Err(WriteError::Cancelled);
            }
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(READ_BYTES);
            let mut outcome = Ok(());
            let read = self.cutter.with_room(most, |room| {
                outcome = read_part(file, room, path);
                if outcome.is_err() {
                    return 0;
                }
                sha256.update(&room[..]);
                if let Some(checker) = &mut checker {
                    checker.update(room);
                }
                room.len()
            })?;
            outcome?;
            left -= read as u64;
            self.task.advance(read as u64);
        }
        Ok((Sha256Hex(sha256.finalize().into()), checker.map(Checker::finish)))
    }

    fn index(mut self, index: Index) -> Result<Tarred, WriteError> {
        let mut chunks = Chunks::default();
        each(&index, |path, line| {
            chunks.add(path, line);
            // What no reader takes must not be there.
            if line.len() > MAX_LINE_BYTES { Err(WriteError::Index(path.to_owned())) } else { Ok(()) }
        })?;
        let chunks_bytes = chunks.bytes();
        let chunks = chunks.finish();
        let directory = directory(&chunks);
        let size = chunks_bytes + directory.len() as u64;
        // No time of its own: the same snapshot gives the same bytes.
        let head = header(INDEX_PATH, false, size, index.id.stamp(), Attributes::default());
        if size + head.len() as u64 > MAX_INDEX_BYTES {
            return Err(WriteError::TooMany(index.entries.len()));
        }
        self.cutter.cut()?;
        let frame = self.cutter.frame();
        self.cutter.append(&head)?;
        let offset = self.cutter.position();
        // The first begins with the header.
        let mut begins = chunks.iter().map(|chunk| chunk.offset).skip(1).peekable();
        let (mut at, mut sha256) = (0, Sha256::new());
        each(&index, |_, line| {
            if begins.next_if_eq(&at).is_some() {
                self.cutter.cut()?;
            }
            at += line.len() as u64;
            sha256.update(line);
            self.cutter.append(line)
        })?;
        let mut directory_place = None;
        if !directory.is_empty() {
            self.cutter.cut()?;
            directory_place = Some((self.cutter.frame(), Sha256Hex(Sha256::digest(&directory).into())));
            sha256.update(&directory);
            self.cutter.append(&directory)?;
        }
        self.cutter.append(&[0; tar_header::BLOCK][..padding(size)])?;
        self.cutter.append(&tar_header::END)?;
        self.cutter.cut()?;
        let digest: [u8; 32] = self.fingerprint.finalize().into();
        let fingerprint = Sha256Hex(digest).to_string();
        let sha256 = Sha256Hex(sha256.finalize().into());
        let place = IndexPlace { frame, directory: directory_place, offset, size, sha256 };
        Ok(Tarred { index, place, fingerprint, databases: self.databases, unread: self.unread })
    }
}
