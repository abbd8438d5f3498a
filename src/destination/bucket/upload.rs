//! A large object on its way, part by part.
//!
//! Memory: the parts in flight and the one being filled, whatever the size of the file. The size of a part follows from
//! the expected size of the whole, with a quarter to spare, so that the ten thousand parts that stores allow suffice.
//! All parts have the same size, as some stores want it, until an estimate that was too small by far would run out of
//! parts: then they grow.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use object_store::PutPayload;
use object_store::multipart::PartId;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::super::{Error, ErrorKind, Upload, key};
use super::core::{Core, LIST_TIMEOUT, REQUEST_TIMEOUT, cancelled, timeout_for};

/// Stores take at least 5 MiB for every part but the last.
const SMALLEST_PART: u64 = 8 << 20;
/// And at most 5 GiB.
const LARGEST_PART: u64 = 5 << 30;
/// And not more parts than these.
const MOST_PARTS: usize = 10_000;
/// From here on parts grow.
const GROW_FROM: usize = 9_000;
const GROW_EVERY: usize = 100;

const PARTS_IN_FLIGHT: usize = 4;

/// How long parts on their way are waited for before an upload is aborted.
const ABORT_PATIENCE: Duration = Duration::from_secs(5);

/// The size of every part of an object of about `expected` bytes.
fn part_bytes(expected: u64) -> u64 {
    let with_room = expected.saturating_add(expected / 4);
    with_room.div_ceil(MOST_PARTS as u64).next_multiple_of(1 << 20).clamp(SMALLEST_PART, LARGEST_PART)
}

/// The size of the part with this index.
fn part_bytes_at(first: u64, index: usize) -> u64 {
    if index < GROW_FROM {
        return first;
    }
    let doublings = u32::try_from((index - GROW_FROM) / GROW_EVERY + 1).unwrap_or(u32::MAX).min(16);
    first.saturating_mul(1 << doublings).min(LARGEST_PART)
}

/// What the journal object holds. When the upload began is the time of the object itself, by the store's clock.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Journal {
    of: String,
    upload_id: String,
    #[serde(default)]
    host: String,
}

impl Journal {
    /// The upload that a journal names.
    pub(super) fn parse(text: &[u8]) -> Option<String> {
        serde_json::from_slice::<Self>(text).ok().map(|journal| journal.upload_id)
    }
}

/// Random, since two uploads of a process, and the processes of two containers, have the same id.
fn journal_name(of: &str) -> String {
    format!("{}.json", key::partial(of))
}

async fn put_journal(core: &Core, journal: &Path, of: &str, upload_id: String) -> Result<(), Error> {
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    let text =
        serde_json::to_vec(&Journal { of: of.to_owned(), upload_id, host }).expect("strings can be written as JSON");
    let put = || core.store().put_opts(journal, PutPayload::from(text.clone()), object_store::PutOptions::default());
    core.attempt("write", journal, REQUEST_TIMEOUT, put).await.result.map(|_| ())
}

/// A journal of no upload: the sign that something is being made.
pub(super) struct Sign {
    core: Arc<Core>,
    journal: Path,
}

impl Sign {
    /// Shows the sign. Also says under which name.
    pub(super) async fn show(core: &Arc<Core>, folder: &str, of: &str) -> Result<(String, Self), Error> {
        let name = journal_name(of);
        let sign = Self { core: Arc::clone(core), journal: core.path_in("write", folder, &name)? };
        put_journal(core, &sign.journal, of, String::new()).await?;
        Ok((name, sign))
    }
}

impl Drop for Sign {
    fn drop(&mut self) {
        // Within a runtime no one can wait; the sign remains, and its process will be known to be gone.
        if Handle::try_current().is_err() {
            let core = self.core.regardless();
            if let Err(error) = core.runtime.block_on(core.delete(&self.journal)) {
                tracing::warn!(journal = %self.journal, reason = %error.source, "Could not delete the sign of an attempt");
            }
        }
        key::release(self.journal.filename().unwrap_or_default());
    }
}

/// Aborts an upload that may be gone already.
pub(super) async fn abort(core: &Core, path: &Path, id: &String) -> Result<(), Error> {
    let abort = || core.store().abort_multipart(path, id);
    let aborted = core.attempt("abort", path, REQUEST_TIMEOUT, abort).await;
    match aborted.result {
        Ok(()) => Ok(()),
        Err(error) if error.is_not_found() || error.source.to_string().contains("MultipartUpload not found") => Ok(()),
        // Some servers say "access denied" of uploads they do not know. If the object is there, it was completed.
        Err(error) if error.kind == ErrorKind::PermissionDenied => match core.size_of("abort", path).await {
            Ok(Some(_)) => Ok(()),
            _ if aborted.in_doubt => Ok(()),
            _ => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// Where it was begun.
struct Multipart {
    id: String,
    journal: Path,
}

/// A multipart upload, or a small object that is put whole in the end.
pub(super) struct BucketUpload {
    core: Arc<Core>,
    folder: String,
    name: String,
    path: Path,
    /// Size of the first part.
    part_bytes: u64,
    /// The part being filled.
    blocks: Vec<Bytes>,
    filled: u64,
    total: u64,
    multipart: Option<Multipart>,
    /// The name of its journal, also after it has been deleted.
    announced: Option<String>,
    in_flight: JoinSet<(usize, Result<PartId, Error>)>,
    parts: Vec<Option<PartId>>,
    /// Something failed: only its removal makes sense.
    failed: Option<(ErrorKind, String)>,
    /// Nothing is left to remove.
    over: bool,
}

impl BucketUpload {
    pub(super) fn new(core: &Arc<Core>, folder: &str, name: &str, path: Path, expected_bytes: u64) -> Self {
        Self {
            core: Arc::clone(core),
            folder: folder.to_owned(),
            name: name.to_owned(),
            path,
            part_bytes: part_bytes(expected_bytes),
            blocks: Vec::new(),
            filled: 0,
            total: 0,
            multipart: None,
            announced: None,
            in_flight: JoinSet::new(),
            parts: Vec::new(),
            failed: None,
            over: false,
        }
    }

    fn fault(&self, kind: ErrorKind, reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::new(kind, "write", self.core.subject(&self.path), reason)
    }

    async fn append(&mut self, mut block: Bytes) -> Result<(), Error> {
        if let Some((kind, reason)) = &self.failed {
            return Err(self.fault(*kind, reason.clone()));
        }
        self.total += block.len() as u64;
        while !block.is_empty() {
            // A full part is sent only when there is more, so that the last one is never empty and a file of one part
            // is put whole.
            let room = part_bytes_at(self.part_bytes, self.parts.len()) - self.filled;
            if room == 0 {
                self.send_part().await?;
                continue;
            }
            let length = usize::try_from(room).unwrap_or(usize::MAX).min(block.len());
            let piece = block.split_to(length);
            self.filled += piece.len() as u64;
            self.blocks.push(piece);
        }
        Ok(())
    }

    /// Sends the part that was filled, once there is room in flight.
    async fn send_part(&mut self) -> Result<(), Error> {
        if self.multipart.is_none() {
            self.begin().await?;
        }
        if self.parts.len() >= MOST_PARTS {
            return Err(self.fault(ErrorKind::TooLarge, "it would need more than 10,000 parts"));
        }
        while self.in_flight.len() >= PARTS_IN_FLIGHT {
            self.await_part().await?;
        }
        let multipart = self.multipart.as_ref().expect("begun above");
        let index = self.parts.len();
        self.parts.push(None);
        let payload: PutPayload = std::mem::take(&mut self.blocks).into_iter().collect();
        // All parts in flight share the line.
        let timeout = timeout_for(self.filled.saturating_mul(PARTS_IN_FLIGHT as u64));
        self.filled = 0;
        // A request that is given up when somebody asks to stop may still be carried out: see `discard`.
        let (core, path, id) = (self.core.unasked(), self.path.clone(), multipart.id.clone());
        let put = async move {
            let put = || core.store().put_part(&path, &id, index, payload.clone());
            (index, core.attempt("write", &path, timeout, put).await.result)
        };
        self.in_flight.spawn_on(put, self.core.runtime.handle());
        crate::stop_point::reached("part-sent");
        Ok(())
    }

    async fn await_part(&mut self) -> Result<(), Error> {
        let core = Arc::clone(&self.core);
        let joined = match select(pin!(self.in_flight.join_next()), pin!(cancelled(&core.cancel))).await {
            Either::Left((joined, _)) => Some(joined),
            Either::Right(((), _)) => None,
        };
        let Some(joined) = joined else { return Err(self.fault(ErrorKind::Cancelled, "cancelled")) };
        match joined {
            None => Ok(()),
            Some(Ok((index, Ok(part)))) => {
                self.parts[index] = Some(part);
                Ok(())
            }
            Some(Ok((_, Err(error)))) => Err(error),
            Some(Err(error)) => Err(self.fault(ErrorKind::Other, error)),
        }
    }

    async fn begin(&mut self) -> Result<(), Error> {
        let core = Arc::clone(&self.core);
        let create = || core.store().create_multipart(&self.path);
        let id = core.attempt("write", &self.path, REQUEST_TIMEOUT, create).await.result?;
        crate::stop_point::reached("upload-begun");
        let name = journal_name(&self.name);
        let journal = core.path_in("write", &self.folder, &name)?;
        self.announced = Some(name);
        self.multipart = Some(Multipart { id: id.clone(), journal: journal.clone() });
        put_journal(&core, &journal, &self.name, id).await?;
        crate::stop_point::reached("journal-stored");
        Ok(())
    }

    async fn complete(&mut self) -> Result<(), Error> {
        if let Some((kind, reason)) = &self.failed {
            return Err(self.fault(*kind, reason.clone()));
        }
        if self.multipart.is_none() {
            return self.put_whole().await;
        }
        if self.filled > 0 {
            self.send_part().await?;
        }
        while !self.in_flight.is_empty() {
            self.await_part().await?;
        }
        crate::stop_point::reached("parts-stored");
        let core = Arc::clone(&self.core);
        if core.size_of("write", &self.path).await?.is_some() {
            return Err(self.fault(ErrorKind::AlreadyExists, "it is there already"));
        }
        let parts: Vec<PartId> = self.parts.iter().flatten().cloned().collect();
        assert_eq!(parts.len(), self.parts.len(), "every part that was sent was awaited");
        let id = self.multipart.as_ref().expect("checked above").id.clone();
        let complete = || core.store().complete_multipart(&self.path, &id, parts.clone());
        // Putting thousands of parts together takes some stores minutes.
        let timeout = LIST_TIMEOUT;
        let outcome = core.attempt("write", &self.path, timeout, complete).await;
        // Whatever happens now, the file may be visible: we want to know, even when cancelled.
        let core = core.regardless();
        let stored = match outcome.result {
            Ok(_) => core.size_of("write", &self.path).await?,
            // An attempt whose answer was lost may have completed it: then the upload is not known any more.
            Err(error) if outcome.in_doubt => match core.size_of("write", &self.path).await {
                Ok(Some(bytes)) if bytes == self.total => Some(bytes),
                _ => return Err(error),
            },
            Err(error) => return Err(error),
        };
        self.check_size(stored)?;
        self.over = true;
        crate::stop_point::reached("upload-completed");
        let multipart = self.multipart.take().expect("checked above");
        if let Err(error) = core.delete(&multipart.journal).await {
            tracing::warn!(journal = %multipart.journal, reason = %error.source, "Could not delete the journal of an upload");
        }
        Ok(())
    }

    async fn put_whole(&mut self) -> Result<(), Error> {
        let bytes = match self.blocks.as_slice() {
            [one] => one.clone(),
            many => many.concat().into(),
        };
        self.core.put_new(&self.path, bytes).await?;
        self.over = true;
        Ok(())
    }

    fn check_size(&self, stored: Option<u64>) -> Result<(), Error> {
        match stored {
            Some(bytes) if bytes == self.total => Ok(()),
            Some(bytes) => {
                Err(self.fault(ErrorKind::Other, format!("{} bytes were sent, and the store has {bytes}", self.total)))
            }
            None => Err(self.fault(ErrorKind::Other, "the store took it and does not have it")),
        }
    }

    /// Removes what there is, even when cancelled.
    async fn discard(&mut self) -> Result<(), Error> {
        self.over = true;
        self.blocks.clear();
        // A part that the server is still taking in when it is told to abort may stay behind for good. So what is on
        // its way may arrive, unless there is little hope.
        if self.failed.as_ref().is_none_or(|(kind, _)| *kind == ErrorKind::Cancelled) {
            let arrive = async { while self.in_flight.join_next().await.is_some() {} };
            tokio::time::timeout(ABORT_PATIENCE, arrive).await.ok();
        }
        self.in_flight.shutdown().await;
        let Some(multipart) = self.multipart.take() else { return Ok(()) };
        let core = self.core.regardless();
        abort(&core, &self.path, &multipart.id).await?;
        core.delete(&multipart.journal).await
    }

    /// The removal after a failure: that failure is what counts.
    async fn discard_quietly(&mut self) {
        if let Err(error) = self.discard().await {
            tracing::warn!(%error, reason = %error.source, "Could not remove an unfinished upload");
        }
    }
}

impl Upload for BucketUpload {
    fn write(&mut self, block: Bytes) -> Result<(), Error> {
        let core = Arc::clone(&self.core);
        core.block_on("write", async {
            let result = self.append(block).await;
            if let Err(error) = &result {
                self.failed = Some((error.kind, error.source.to_string()));
            }
            result
        })
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        let core = Arc::clone(&self.core);
        core.block_on("write", async {
            let result = self.complete().await;
            if let Err(error) = &result {
                self.failed = Some((error.kind, error.source.to_string()));
                self.discard_quietly().await;
            }
            result
        })
    }

    fn abort(mut self: Box<Self>) -> Result<(), Error> {
        let core = Arc::clone(&self.core);
        core.block_on("abort", self.discard())
    }
}

impl Drop for BucketUpload {
    fn drop(&mut self) {
        // Within a runtime nobody can wait; the journal remains.
        if !self.over && self.multipart.is_some() && Handle::try_current().is_err() {
            let runtime = self.core.runtime;
            runtime.block_on(self.discard_quietly());
        }
        if let Some(journal) = &self.announced {
            key::release(journal);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_are_small_for_small_files_and_grow_with_large_ones() {
        const GIB: u64 = 1 << 30;
        assert_eq!(part_bytes(0), 8 << 20);
        assert_eq!(part_bytes(12 * GIB), 8 << 20);
        assert_eq!(part_bytes(100 * GIB), 13 << 20);
        assert_eq!(part_bytes(1024 * GIB), 132 << 20);
        assert_eq!(part_bytes(u64::MAX), LARGEST_PART);
    }

    #[test]
    fn estimate_of_nothing_still_has_room_for_a_terabyte() {
        let total: u64 = (0..MOST_PARTS).map(|index| part_bytes_at(SMALLEST_PART, index)).sum();
        assert!(total > 1 << 40, "{total}");
        assert_eq!(part_bytes_at(SMALLEST_PART, 8_999), SMALLEST_PART);
        assert_eq!(part_bytes_at(SMALLEST_PART, 9_000), 2 * SMALLEST_PART);
    }

    proptest! {
        #[test]
        fn equal_parts_hold_what_was_expected_and_a_quarter_more(expected in 0_u64..35 << 40) {
            let parts = (expected + expected / 4).div_ceil(part_bytes(expected));
            prop_assert!(parts <= MOST_PARTS as u64);
        }
    }

    #[test]
    fn journal_names_the_upload() {
        let text = br#"{"of":"a.tar.zst","upload_id":"2~x/y","host":"h","later":1}"#;
        assert_eq!(Journal::parse(text).as_deref(), Some("2~x/y"));
        assert_eq!(Journal::parse(b"{\"of\":"), None);
    }
}
