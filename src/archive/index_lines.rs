//! The index as it is stored: JSON Lines in the order of the archive, cut into chunks.
//!
//! Each chunk begins a frame of its own, and where there are several, a directory behind them names the first path of
//! each: one file out of millions costs the directory and one chunk.

use std::cmp::Ordering;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::frames::LARGE_FRAME;
use super::index::{
    ALL_FINDINGS_BYTES, Attributes, Delta, Entry, Findings, Index, IndexError, MAX_INDEX_BYTES, MAX_LINE_BYTES,
    Skipped, archive_order, attribute_names, is_too_deep,
};
use super::manifest::{Base, FORMAT, Sha256Hex};
use crate::name::ArchiveId;

/// A chunk ends before it would become larger.
const CHUNK_BYTES: u64 = 512 << 10;
/// All that was found in databases together.
const MAX_FINDINGS_BYTES: usize = 2 * ALL_FINDINGS_BYTES;

impl Index {
    /// Reads an index and checks it against its archive: same id, in order, every file inside the tar, none overlapping
    /// another.
    ///
    /// # Errors
    /// When it is damaged, of another version, or contradicts the archive.
    pub fn parse(lines: &[u8], id: &ArchiveId, tar_bytes: u64) -> Result<Self, IndexError> {
        let mut parser = Parser::new(id.clone(), tar_bytes);
        parser.feed(lines)?;
        parser.finish()
    }

    /// The index as it is stored, without a directory of chunks.
    #[must_use]
    pub fn to_lines(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let Ok(()) = each(self, |_, line| {
            all.extend_from_slice(line);
            Ok::<(), std::convert::Infallible>(())
        });
        all
    }
}

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    id: ArchiveId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<Base>,
}

/// What was not archived, as a line.
#[derive(Serialize)]
struct SkippedLine<'a> {
    path: &'a str,
    skipped: &'a str,
}

/// What the base has and the snapshot does not, as a line.
#[derive(Serialize)]
struct RemovedLine<'a> {
    path: &'a str,
    removed: bool,
}

/// A line of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chunk {
    /// The first path in it; empty in the first chunk.
    #[serde(rename = "chunk")]
    pub(super) first: String,
    /// Where it begins in the index.
    pub(super) offset: u64,
    /// Its size in bytes.
    pub(super) size: u64,
    /// Of its lines.
    pub(super) sha256: Sha256Hex,
}

/// Gives every line, with its path and its line feed, in order.
pub(super) fn each<E>(index: &Index, mut take: impl FnMut(&str, &[u8]) -> Result<(), E>) -> Result<(), E> {
    let mut line = Vec::new();
    let mut give = |path: &str, value: &dyn erased::Line| {
        line.clear();
        value.write(&mut line);
        line.push(b'\n');
        take(path, &line)
    };
    give("", &Head { format: index.format, id: index.id.clone(), base: index.base.clone() })?;
    let mut skipped = index.skipped.iter().peekable();
    let mut removed = index.removed.iter().peekable();
    let is_before = |a: &str, b: Option<&str>| b.is_none_or(|b| archive_order(a, b).is_lt());
    let mut entries = index.entries.iter().filter(|entry| entry.link == index.link() || entry.same).peekable();
    loop {
        let next = entries.peek().map(|entry| entry.path.as_str());
        if let Some(path) = removed.next_if(|path| is_before(path, next)) {
            // What was there and could not be read now is removed first.
            while let Some(one) = skipped.next_if(|one| is_before(&one.path, Some(path))) {
                give(&one.path, &SkippedLine { path: &one.path, skipped: &one.reason })?;
            }
            give(path, &RemovedLine { path, removed: true })?;
        } else if let Some(one) = skipped.next_if(|one| is_before(&one.path, next)) {
            give(&one.path, &SkippedLine { path: &one.path, skipped: &one.reason })?;
        } else if let Some(entry) = entries.next() {
            if entry.same {
                // Where its bytes are, the index of the base says.
                give(&entry.path, &Entry { offset: 0, delta: None, ..entry.clone() })?;
            } else {
                give(&entry.path, entry)?;
            }
        } else {
            return Ok(());
        }
    }
}

mod erased {
    use serde::Serialize;

    /// What can be a line, whatever its type.
    pub(super) trait Line {
        fn write(&self, line: &mut Vec<u8>);
    }

    impl<T: Serialize> Line for T {
        fn write(&self, line: &mut Vec<u8>) {
            serde_json::to_writer(line, self).expect("a line has only string keys, and memory takes it");
        }
    }
}

/// Chunks as they come about, line by line.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    chunks: Vec<Chunk>,
    sha256: Sha256,
}

impl Chunks {
    /// Adds a line, to a new chunk where the last would become too large.
    pub(super) fn add(&mut self, path: &str, line: &[u8]) {
        let has_room = |chunk: &Chunk| chunk.size + line.len() as u64 <= CHUNK_BYTES;
        if !self.chunks.last().is_some_and(has_room) {
            self.begin(path);
        }
        self.grow(line);
    }

    fn begin(&mut self, path: &str) {
        let offset = self.bytes();
        self.close();
        self.chunks.push(Chunk { first: path.to_owned(), offset, size: 0, sha256: Sha256Hex([0; 32]) });
    }

    /// Adds a line to the last chunk; to none where none has begun.
    fn grow(&mut self, line: &[u8]) {
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.size += line.len() as u64;
            self.sha256.update(line);
        }
    }

    fn close(&mut self) {
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.sha256 = Sha256Hex(std::mem::take(&mut self.sha256).finalize().into());
        }
    }

    /// The size of all chunks.
    pub(super) fn bytes(&self) -> u64 {
        self.chunks.last().map_or(0, |chunk| chunk.offset + chunk.size)
    }

    /// All of them.
    pub(super) fn finish(mut self) -> Vec<Chunk> {
        self.close();
        self.chunks
    }
}

/// The lines of the directory; none for a single chunk.
pub(super) fn directory(chunks: &[Chunk]) -> Vec<u8> {
    let mut lines = Vec::new();
    for chunk in chunks.iter().filter(|_| chunks.len() > 1) {
        serde_json::to_writer(&mut lines, chunk).expect("a chunk has only string keys");
        lines.push(b'\n');
    }
    lines
}

/// The directory, from its lines.
pub(super) fn parse_directory(lines: &[u8]) -> Result<Vec<Chunk>, IndexError> {
    let lines = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).map_err(IndexError::Json)).collect()
}

/// Any line but the first. Unknown fields are ignored.
#[derive(Deserialize)]
struct AnyLine {
    path: Option<String>,
    id: Option<ArchiveId>,
    chunk: Option<String>,
    skipped: Option<String>,
    #[serde(default)]
    removed: bool,
    #[serde(default)]
    folder: bool,
    #[serde(default)]
    size: u64,
    modified: Option<Timestamp>,
    sha256: Option<Sha256Hex>,
    #[serde(default)]
    offset: u64,
    #[serde(default, with = "attribute_names")]
    attributes: Attributes,
    origin: Option<String>,
    database: Option<Findings>,
    #[serde(default)]
    same: bool,
    delta: Option<Box<Delta>>,
}

/// Takes an index apart as it comes, and believes nothing of it.
#[derive(Debug)]
pub(super) struct Parser {
    id: ArchiveId,
    tar_bytes: u64,
    index: Option<Index>,
    /// Where the file before ends in the tar.
    end: u64,
    /// The path of the line before.
    path: String,
    /// A line of which the end has not come yet.
    rest: Vec<u8>,
    /// Bytes of the lines before it.
    bytes: u64,
    findings: usize,
    /// The chunks as they came; none when all came at once.
    chunks: Chunks,
    directory: Vec<Chunk>,
    begins: bool,
    /// Not all of the index comes, and the first line only with the first chunk.
    part: bool,
}

impl Parser {
    pub(super) fn new(id: ArchiveId, tar_bytes: u64) -> Self {
        Self {
            id,
            tar_bytes,
            index: None,
            end: 0,
            path: String::new(),
            rest: Vec::new(),
            bytes: 0,
            findings: 0,
            chunks: Chunks::default(),
            directory: Vec::new(),
            begins: false,
            part: false,
        }
    }

    /// For some chunks, without the first line.
    pub(super) fn within(id: ArchiveId, tar_bytes: u64) -> Self {
        Self { index: Some(Index::empty(id.clone())), part: true, ..Self::new(id, tar_bytes) }
    }

    /// Takes the next frame: where it begins a line, that line begins a chunk, or the directory.
    pub(super) fn frame(&mut self, bytes: &[u8]) -> Result<(), IndexError> {
        self.begins = self.rest.is_empty();
        self.feed(bytes)
    }

    /// Takes the next bytes, wherever they end.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), IndexError> {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.rest.len() + part.len() > MAX_LINE_BYTES {
                return Err(IndexError::Line);
            }
            if part.last() != Some(&b'\n') {
                self.rest.extend_from_slice(part);
            } else if self.rest.is_empty() {
                self.line(part)?;
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(part);
                self.line(&whole)?;
            }
        }
        Ok(())
    }

    /// The index, when all of it has come.
    pub(super) fn finish(self) -> Result<Index, IndexError> {
        let chunks = self.chunks.finish();
        // Without a directory there is one chunk; without frames nobody knows where chunks begin.
        let fits = match chunks.len() {
            0 => true,
            1 => self.directory.is_empty(),
            _ => self.directory == chunks,
        };
        if !fits {
            return Err(IndexError::Directory);
        }
        self.index.filter(|_| self.rest.is_empty()).ok_or(IndexError::Cut)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), IndexError> {
        let begins = std::mem::take(&mut self.begins);
        self.bytes += line.len() as u64;
        if self.bytes > MAX_INDEX_BYTES {
            return Err(IndexError::Cut);
        }
        let Some(index) = &mut self.index else {
            let head: Head = serde_json::from_slice(line).map_err(IndexError::Json)?;
            if head.format != FORMAT {
                return Err(IndexError::Version(head.format));
            }
            if head.id != self.id {
                return Err(IndexError::OtherArchive(head.id));
            }
            if begins {
                self.chunks.begin("");
            }
            self.chunks.grow(line);
            self.index = Some(Index { base: head.base, ..Index::empty(head.id) });
            return Ok(());
        };
        let bytes = line;
        let line: AnyLine = serde_json::from_slice(bytes).map_err(IndexError::Json)?;
        if self.part && line.path.is_none() && line.id.is_some_and(|id| id == self.id) && index.entries.is_empty() {
            return Ok(());
        }
        if let Some(first) = line.chunk {
            let sha256 = line.sha256.ok_or(IndexError::Directory)?;
            self.directory.push(Chunk { first, offset: line.offset, size: line.size, sha256 });
            return Ok(());
        }
        let path = line.path.ok_or(IndexError::Cut)?;
        if !self.directory.is_empty() {
            return Err(IndexError::Order(path));
        }
        if path.is_empty() {
            return Err(IndexError::Order(path));
        }
        if is_too_deep(&path) {
            return Err(IndexError::Levels);
        }
        if begins {
            self.chunks.begin(&path);
        }
        self.chunks.grow(bytes);
        // A folder that could not be read to its end is there and among what is missing.
        let order = archive_order(&self.path, &path);
        let again = index.entries.last().is_some_and(|last| last.path == path) || index.removed.last() == Some(&path);
        if let Some(reason) = line.skipped {
            if order == Ordering::Greater {
                return Err(IndexError::Order(path));
            }
            self.path.clone_from(&path);
            index.skipped.push(Skipped { path, reason });
            return Ok(());
        }
        if order == Ordering::Greater || again {
            return Err(IndexError::Order(path));
        }
        if index.base.is_none() && (line.removed || line.same || line.delta.is_some()) {
            return Err(IndexError::NoBase(path));
        }
        if line.removed {
            self.path.clone_from(&path);
            index.removed.push(path);
            return Ok(());
        }
        self.path.clone_from(&path);
        self.findings += line.database.as_ref().map_or(0, |found| found.json().len());
        if self.findings > MAX_FINDINGS_BYTES {
            return Err(IndexError::Line);
        }
        let entry = Entry {
            path,
            folder: line.folder,
            size: line.size,
            modified: line.modified.ok_or(IndexError::Cut)?,
            sha256: line.sha256,
            offset: line.offset,
            attributes: line.attributes,
            origin: line.origin,
            database: line.database,
            same: line.same,
            delta: line.delta,
            link: index.link(),
        };
        self.end = check_place(&entry, self.end, self.tar_bytes)?;
        index.entries.push(entry);
        Ok(())
    }
}

/// Checks where an entry says it is; gives where it ends.
fn check_place(entry: &Entry, end: u64, tar_bytes: u64) -> Result<u64, IndexError> {
    if entry.folder {
        // Sizes are added up: a folder must not bring one that no file could have.
        if entry.size != 0 || entry.offset != 0 {
            return Err(IndexError::Place(entry.path.clone()));
        }
        return Ok(end);
    }
    if entry.sha256.is_none() {
        return Err(IndexError::NoSum(entry.path.clone()));
    }
    if let Some(delta) = &entry.delta {
        return check_pieces(entry, delta, end, tar_bytes).ok_or_else(|| IndexError::Place(entry.path.clone()));
    }
    if entry.same {
        return if entry.offset == 0 { Ok(end) } else { Err(IndexError::Place(entry.path.clone())) };
    }
    // In order and apart: a small archive cannot claim the same bytes for a million files.
    let entry_end = entry.offset.checked_add(entry.size).filter(|&end| end <= tar_bytes);
    entry_end.filter(|_| entry.offset >= end).ok_or_else(|| IndexError::Place(entry.path.clone()))
}

/// Pieces are in order and apart, in the file and in the tar, and each is small. `None` where they are not; otherwise
/// where the last one ends.
fn check_pieces(entry: &Entry, delta: &Delta, end: u64, tar_bytes: u64) -> Option<u64> {
    let covers = delta.pieces.first().is_some_and(|first| first.at == 0)
        && delta.pieces.is_sorted_by(|a, b| a.at < b.at)
        && delta.pieces.last().is_some_and(|last| last.at < entry.size);
    if !covers || entry.same || entry.offset != 0 {
        return None;
    }
    delta.pieces.iter().try_fold(end, |end, piece| {
        let fits = piece.offset >= end && (1..=LARGE_FRAME as u64).contains(&piece.size);
        piece.offset.checked_add(piece.size).filter(|&end| fits && end <= tar_bytes)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id() -> ArchiveId {
        "XYZ-20261122T235900Z".parse().unwrap()
    }

    fn file(path: &str, offset: u64) -> Entry {
        Entry { path: path.into(), offset, size: 1, sha256: Some(Sha256Hex([0xAB; 32])), ..Entry::default() }
    }

    fn index(entries: Vec<Entry>, skipped: &[&str]) -> Index {
        let skipped = skipped.iter().map(|path| Skipped { path: (*path).into(), reason: "a link".into() }).collect();
        Index { entries, skipped, ..Index::empty(id()) }
    }

    /// The frames of an index as the writer cuts them, the directory last.
    fn frames(index: &Index) -> Vec<Vec<u8>> {
        let mut chunks = Chunks::default();
        let Ok(()) = each(index, |path, line| {
            chunks.add(path, line);
            Ok::<(), std::convert::Infallible>(())
        });
        let (chunks, all) = (chunks.finish(), index.to_lines());
        let of = |chunk: &Chunk| {
            all[usize::try_from(chunk.offset).unwrap()..][..usize::try_from(chunk.size).unwrap()].to_vec()
        };
        let directory = Some(directory(&chunks)).filter(|directory| !directory.is_empty());
        chunks.iter().map(of).chain(directory).collect()
    }

    fn parse(frames: &[Vec<u8>]) -> Result<Index, IndexError> {
        let mut parser = Parser::new(id(), u64::MAX);
        frames.iter().try_for_each(|frame| parser.frame(frame))?;
        parser.finish()
    }

    fn large() -> Index {
        index((0..20_000).map(|number| file(&format!("XYZBackup/{number:08}"), number)).collect(), &["XYZBackup/link"])
    }

    #[test]
    fn large_index_has_chunks_and_a_directory_that_leads_to_them() {
        let index = large();
        let frames = frames(&index);
        assert!(frames.len() > 4 && frames.iter().all(|frame| frame.len() as u64 <= CHUNK_BYTES));
        assert_eq!(parse(&frames).unwrap(), index);
        let directory = parse_directory(frames.last().unwrap()).unwrap();
        let all = frames.concat();
        assert_eq!(directory[0].first, "");
        for chunk in &directory[1..] {
            let line = &all[usize::try_from(chunk.offset).unwrap()..];
            assert!(line.starts_with(format!("{{\"path\":\"{}\"", chunk.first).as_bytes()), "{chunk:?}");
        }
    }

    #[test]
    fn directory_that_lies_is_refused() {
        let frames = frames(&large());
        let (directory, chunks) = frames.split_last().unwrap();
        let text = String::from_utf8(directory.clone()).unwrap();
        let second = text.lines().nth(1).unwrap();
        let mut other_sum = text.clone();
        let digit = text.find("sha256").unwrap() + 9;
        other_sum.replace_range(digit..=digit, if text.as_bytes()[digit] == b'0' { "1" } else { "0" });
        for lie in [
            String::new(),
            text.replacen(second, "", 1).replace("\n\n", "\n"),
            text.replacen("0000", "0001", 1),
            text.replacen("\"size\":5", "\"size\":4", 1),
            text.replacen("\"offset\":0", "\"offset\":1", 1),
            text.replacen("\"size\":", "\"size\":18446744073709551615,\"was\":", 1),
            other_sum,
            text.replacen(",\"sha256\":\"", ",\"was\":\"", 1),
            format!("{text}{second}\n"),
        ] {
            assert_ne!(lie, text);
            let frames = [chunks, &[lie.clone().into_bytes()]].concat();
            assert!(matches!(parse(&frames), Err(IndexError::Directory)), "{lie:.200}");
        }
        let behind = format!("{text}{}", "{\"path\":\"z\",\"skipped\":\"\"}\n");
        assert!(matches!(parse(&[chunks, &[behind.into_bytes()]].concat()), Err(IndexError::Order(_))));
    }

    #[test]
    fn what_is_cut_or_out_of_order_is_refused() {
        let whole = index(vec![file("a", 0), file("a/b", 1), file("a.txt", 2)], &["a", "b"]);
        let lines = whole.to_lines();
        assert_eq!(parse(std::slice::from_ref(&lines)).unwrap(), whole);
        for end in 0..lines.len() {
            let parsed = parse(&[lines[..end].to_vec()]);
            // Where a line ends, only the manifest knows that more should follow.
            assert_eq!(parsed.is_ok(), end > 0 && lines[end - 1] == b'\n', "{end}");
        }
        for entries in [
            vec![file("b", 0), file("a", 1)],
            vec![file("a", 0), file("a", 1)],
            vec![file("a.txt", 0), file("a/b", 1)],
            vec![file("", 0)],
        ] {
            assert!(
                matches!(parse(&[index(entries.clone(), &[]).to_lines()]), Err(IndexError::Order(_))),
                "{entries:?}"
            );
        }
        let found = serde_json::from_str(&format!("[{}]", "[],".repeat(300_000).trim_end_matches(','))).unwrap();
        let many = (0..).zip(std::iter::repeat_n(found, MAX_FINDINGS_BYTES / 900_000 + 1));
        let many = many.map(|(at, found)| Entry { database: Some(found), ..file(&format!("{at:04}"), at) }).collect();
        assert!(matches!(parse(&[index(many, &[]).to_lines()]), Err(IndexError::Line)), "findings without end");
        let long = index(vec![file(&"a".repeat(MAX_LINE_BYTES), 0)], &[]);
        assert!(matches!(parse(&[long.to_lines()]), Err(IndexError::Line)));
    }

    proptest! {
        #[test]
        fn order_is_that_of_folders_and_names(a in "[a./]{0,6}", b in "[a./]{0,6}") {
            let names = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(archive_order(&a, &b), names(&a).cmp(&names(&b)));
        }

        #[test]
        fn any_bytes_are_judged_without_panic(bytes in any::<Vec<u8>>()) {
            prop_assert!(parse(&[bytes]).is_err());
        }
    }
}
