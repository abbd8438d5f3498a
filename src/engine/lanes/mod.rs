//! One stream of blocks to several destinations at once.
//!
//! Every destination has a thread and a bounded queue. A slow one may lag by the length of its queue; then everybody
//! waits for it, but no longer than its `stall-timeout`. One that fails drops out and the others go on. Nothing gets
//! its final name before [`Fanout::commit`]; a dropped fan-out aborts every upload.

mod error;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded};
use sha2::{Digest, Sha256};

pub use self::error::PushError;
use super::claim::{Stored, lost_base, stored};
use crate::archive::OutputClosed;
use crate::archive::manifest::{MAX_BYTES, Manifest, Sha256Hex};
use crate::cancel::Cancel;
use crate::config::Verify;
use crate::destination::{self, Claim, Destination, ErrorKind};
use crate::name::ArchiveId;

/// Blocks that may wait for one destination; a block has at most 4 MiB.
const QUEUE_BLOCKS: usize = 8;
/// How long a destination may take to let go once somebody has asked to stop.
const CANCEL_PATIENCE: Duration = Duration::from_secs(30);
/// How often a manifest that cannot be used is replaced before an attempt gives up.
const MEETINGS: usize = 4;
/// How often somebody who waits looks up.
const LOOK: Duration = Duration::from_millis(200);

/// A destination of a run.
#[derive(Debug, Clone)]
pub struct Lane {
    /// Where to.
    pub destination: Arc<dyn Destination>,
    /// The file name of the archive there, if it may not have the plain one.
    pub archive: Option<String>,
    /// Held until the archive is visible, or will not be.
    pub claim: Option<Arc<Claim>>,
    /// How to check what was pushed.
    pub verify: Verify,
    /// How long it may make no progress.
    pub stall_timeout: Duration,
}

/// What became of one destination.
#[derive(Debug)]
pub struct Pushed {
    /// Which.
    pub name: String,
    /// The archive is visible there, or why not.
    pub result: Result<Arrival, PushError>,
}

/// Whose archive is visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// This attempt's.
    New,
    /// That of another attempt, which came first.
    Before,
}

enum Message {
    Block(Bytes),
    Commit(Arc<Manifest>),
}

struct Running {
    name: String,
    stall_timeout: Duration,
    queue: Option<Sender<Message>>,
    outcome: Receiver<Result<Arrival, PushError>>,
    progress: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
    stalled: bool,
}

/// Sends blocks to all destinations.
pub struct Fanout {
    running: Vec<Running>,
    /// The request to stop the whole run.
    cancel: Cancel,
    /// Nobody wants this archive any more: what waits in queues need not be written.
    dropped: Cancel,
}

impl Fanout {
    /// Begins an upload of `key` on every lane.
    #[must_use]
    pub fn begin(lanes: &[Lane], key: &str, expected_bytes: u64, cancel: &Cancel) -> Self {
        let dropped = Cancel::new();
        let stop = Stop { cancel: cancel.clone(), dropped: dropped.clone() };
        let running = lanes.iter().map(|lane| start(lane, key.to_owned(), expected_bytes, stop.clone())).collect();
        Self { running, cancel: cancel.clone(), dropped }
    }

    /// Gives a block to every destination that is still there.
    ///
    /// # Errors
    /// When none is, or on cancellation.
    pub fn send(&mut self, block: &Bytes) -> Result<(), OutputClosed> {
        for lane in &mut self.running {
            lane.send(Message::Block(block.clone()), &self.cancel);
        }
        let alive = self.running.iter().any(|lane| lane.queue.is_some());
        if alive && !self.cancel.is_cancelled() { Ok(()) } else { Err(OutputClosed) }
    }

    /// Makes the archive visible wherever all of it arrived: durable, read back, manifest last.
    #[must_use]
    pub fn commit(mut self, manifest: &Arc<Manifest>) -> Vec<Pushed> {
        for lane in &mut self.running {
            lane.send(Message::Commit(Arc::clone(manifest)), &self.cancel);
        }
        self.finish()
    }

    /// Removes what was written everywhere and says what each destination said.
    #[must_use]
    pub fn abort(mut self) -> Vec<Pushed> {
        self.dropped.cancel();
        self.finish()
    }

    fn finish(&mut self) -> Vec<Pushed> {
        // All queues end first, so that destinations finish side by side.
        for lane in &mut self.running {
            lane.queue = None;
        }
        let cancel = &self.cancel;
        self.running.drain(..).map(|lane| Pushed { name: lane.name.clone(), result: lane.wait(cancel) }).collect()
    }
}

/// Waits, so that whoever ends the process because of an error does not leave half an upload behind.
impl Drop for Fanout {
    fn drop(&mut self) {
        self.dropped.cancel();
        drop(self.finish());
    }
}

impl Running {
    fn send(&mut self, message: Message, cancel: &Cancel) {
        let Some(queue) = &self.queue else { return };
        let mut message = message;
        let mut watch = Watch::new(&self.progress, self.stall_timeout);
        loop {
            match queue.send_timeout(message, LOOK) {
                Ok(()) => return,
                Err(SendTimeoutError::Disconnected(_)) => break,
                Err(SendTimeoutError::Timeout(back)) => {
                    if cancel.is_cancelled() {
                        break;
                    }
                    if watch.is_stalled() {
                        tracing::debug!(destination = %self.name, "Takes blocks no more: it drops out");
                        self.stalled = true;
                        break;
                    }
                    message = back;
                }
            }
        }
        self.queue = None;
    }

    fn wait(mut self, cancel: &Cancel) -> Result<Arrival, PushError> {
        if self.stalled {
            // The thread hangs in the operating system and cannot be ended; it holds nothing that others need.
            return Err(PushError::Stalled(self.stall_timeout));
        }
        let mut watch = Watch::new(&self.progress, self.stall_timeout);
        let mut is_stalled =
            || watch.is_stalled() || (cancel.is_cancelled() && watch.since.elapsed() > CANCEL_PATIENCE);
        let result = loop {
            match self.outcome.recv_timeout(LOOK) {
                Ok(result) => break result,
                Err(RecvTimeoutError::Disconnected) => break Err(PushError::Panicked),
                Err(RecvTimeoutError::Timeout) if is_stalled() => {
                    return Err(PushError::Stalled(self.stall_timeout));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => Err(PushError::Panicked),
            _ => result,
        }
    }
}

/// Tells slow from stuck.
struct Watch<'a> {
    progress: &'a AtomicU64,
    last: u64,
    since: Instant,
    limit: Duration,
}

impl<'a> Watch<'a> {
    fn new(progress: &'a AtomicU64, limit: Duration) -> Self {
        Self { progress, last: progress.load(Ordering::Relaxed), since: Instant::now(), limit }
    }

    fn is_stalled(&mut self) -> bool {
        let now = self.progress.load(Ordering::Relaxed);
        if now != self.last {
            self.last = now;
            self.since = Instant::now();
        }
        self.since.elapsed() > self.limit
    }
}

/// Why a destination may stop in the middle.
#[derive(Debug, Clone)]
struct Stop {
    cancel: Cancel,
    dropped: Cancel,
}

impl Stop {
    fn is_asked_for(&self) -> bool {
        self.cancel.is_cancelled() || self.dropped.is_cancelled()
    }
}

fn start(lane: &Lane, key: String, expected_bytes: u64, stop: Stop) -> Running {
    let (queue, blocks) = bounded(QUEUE_BLOCKS);
    let (result, outcome) = bounded(1);
    let progress = Arc::new(AtomicU64::new(0));
    let (destination, verify, claim) = (Arc::clone(&lane.destination), lane.verify, lane.claim.clone());
    let key = match (&lane.archive, key.rsplit_once('/')) {
        (Some(archive), Some((folder, _))) => format!("{folder}/{archive}"),
        (Some(archive), None) => archive.clone(),
        (None, _) => key,
    };
    let counted = Arc::clone(&progress);
    let thread = std::thread::spawn(move || {
        let push = Push { destination: &*destination, key: &key, verify, progress: &counted, stop };
        // Nobody waits for a destination that was given up.
        let pushed = push.run(&blocks, expected_bytes);
        drop(claim);
        drop(result.send(pushed));
    });
    Running {
        name: lane.destination.name().to_owned(),
        stall_timeout: lane.stall_timeout,
        queue: Some(queue),
        outcome,
        progress,
        thread: Some(thread),
        stalled: false,
    }
}

/// One destination in this thread, for tests that decide about every step.
#[cfg(test)]
pub(super) fn push_alone(
    destination: &dyn Destination,
    key: &str,
    bytes: Bytes,
    manifest: Arc<Manifest>,
) -> Result<Arrival, PushError> {
    let (queue, blocks) = bounded(2);
    queue.send(Message::Block(bytes)).ok();
    queue.send(Message::Commit(manifest)).ok();
    let stop = Stop { cancel: Cancel::new(), dropped: Cancel::new() };
    let push = Push { destination, key, verify: Verify::Full, progress: &AtomicU64::new(0), stop };
    push.run(&blocks, 0)
}

/// The thread of one destination.
struct Push<'a> {
    destination: &'a dyn Destination,
    key: &'a str,
    verify: Verify,
    progress: &'a AtomicU64,
    stop: Stop,
}

impl Push<'_> {
    fn run(&self, blocks: &Receiver<Message>, expected_bytes: u64) -> Result<Arrival, PushError> {
        let mut upload = self.destination.upload(self.key, expected_bytes)?;
        for message in blocks {
            if self.stop.is_asked_for() {
                break;
            }
            match message {
                Message::Block(block) => {
                    if let Err(error) = upload.write(block) {
                        tracing::debug!(destination = self.destination.name(), %error, "Drops out");
                        // The first error is the one to tell; what cannot be removed now is swept later.
                        drop(upload.abort());
                        return Err(error.into());
                    }
                    self.progress.fetch_add(1, Ordering::Relaxed);
                }
                Message::Commit(manifest) => {
                    let name = self.key.rsplit_once('/').map_or(self.key, |(_, name)| name);
                    let manifest = Manifest { archive: name.to_owned(), ..(*manifest).clone() };
                    match upload.finish() {
                        // A listing that was behind, or an attempt whose claim was taken for dead. Nothing was written.
                        Err(error) if error.kind == ErrorKind::AlreadyExists => {
                            return match self.judge(&manifest.id) {
                                Ok(Some(Stored::Whole(_) | Stored::Newer)) => Ok(Arrival::Before),
                                _ => Err(error.into()),
                            };
                        }
                        finished => finished?,
                    }
                    crate::stop_point::reached("archive-stored");
                    return self.publish(&manifest);
                }
            }
        }
        upload.abort()?;
        Err(PushError::Dropped)
    }

    fn publish(&self, manifest: &Manifest) -> Result<Arrival, PushError> {
        self.progress.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = self.read_back(manifest) {
            // Without a manifest it is no archive: leave nothing that looks like one.
            drop(self.destination.delete(self.key));
            return Err(error);
        }
        crate::stop_point::reached("archive-read-back");
        if let Some(base) = lost_base(self.destination, manifest)? {
            drop(self.destination.delete(self.key));
            return Err(PushError::Base(base));
        }
        let key = manifest.id.key(&manifest.id.manifest_name());
        let json = manifest.to_json();
        // A manifest that is there and cannot be used is replaced; others may do the same meanwhile.
        for _ in 0..MEETINGS {
            let error = match self.destination.put_new(&key, &json) {
                Ok(()) => return self.confirm(manifest, &key, &json),
                Err(error) => error,
            };
            match self.judge(&manifest.id) {
                // A lost answer and a second try look like this.
                Ok(Some(Stored::Whole(there))) if *there == *manifest && error.kind == ErrorKind::AlreadyExists => {
                    return Ok(Arrival::New);
                }
                // It may have arrived all the same: the manifest has to go before the archive may.
                Ok(Some(Stored::Whole(there))) if *there == *manifest => {
                    if self.destination.delete(&key).is_ok() {
                        drop(self.destination.delete(self.key));
                    }
                    return Err(error.into());
                }
                // Another attempt came first. Its archive is another file.
                Ok(Some(Stored::Whole(there))) => {
                    if there.archive != manifest.archive {
                        drop(self.destination.delete(self.key));
                    }
                    return Ok(Arrival::Before);
                }
                Ok(Some(Stored::Newer)) => {
                    drop(self.destination.delete(self.key));
                    return Ok(Arrival::Before);
                }
                Ok(Some(Stored::Broken(_))) if error.kind == ErrorKind::AlreadyExists => {
                    self.destination.delete(&key)?;
                }
                // Removed between the two.
                Ok(None) if error.kind == ErrorKind::AlreadyExists => {}
                Ok(_) => {
                    drop(self.destination.delete(self.key));
                    return Err(error.into());
                }
                // Whether a manifest is there is not known: what it would need stays.
                Err(_) => return Err(error.into()),
            }
        }
        drop(self.destination.delete(self.key));
        Err(PushError::Contended)
    }

    /// What the manifest of this archive says, if there is one.
    fn judge(&self, id: &ArchiveId) -> Result<Option<Stored>, destination::Error> {
        let size_of = |name: &str| match self.destination.stat(&id.key(name)) {
            Ok(stat) => Ok(Some(stat.bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        };
        match stored(self.destination, id, size_of) {
            Ok(stored) => Ok(Some(stored)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Someone may have removed the archive before there was a manifest. A manifest must not stand alone then.
    fn confirm(&self, manifest: &Manifest, manifest_key: &str, json: &[u8]) -> Result<Arrival, PushError> {
        let error = match self.destination.stat(self.key) {
            Ok(stat) if stat.bytes == manifest.bytes || self.verify == Verify::None => return Ok(Arrival::New),
            Ok(stat) => PushError::Verify {
                key: self.key.to_owned(),
                what: format!("{} bytes instead of {}", stat.bytes, manifest.bytes),
            },
            Err(error) => error.into(),
        };
        // Only one's own: another attempt may have put its manifest in the place of this one.
        let is_own = self.destination.read(manifest_key, MAX_BYTES).map_or(true, |bytes| bytes == json);
        if is_own && self.destination.delete(manifest_key).is_ok() {
            drop(self.destination.delete(self.key));
        }
        Err(error)
    }

    fn read_back(&self, manifest: &Manifest) -> Result<(), PushError> {
        let differs = |what: String| PushError::Verify { key: self.key.to_owned(), what };
        if self.verify == Verify::None {
            return Ok(());
        }
        let stat = self.destination.stat(self.key)?;
        if stat.bytes != manifest.bytes {
            return Err(differs(format!("{} bytes instead of {}", stat.bytes, manifest.bytes)));
        }
        if self.verify == Verify::Full {
            let sum = self.sum()?;
            if sum != manifest.sha256 {
                return Err(differs(format!("SHA-256 {sum} instead of {}", manifest.sha256)));
            }
        }
        Ok(())
    }

    fn sum(&self) -> Result<Sha256Hex, PushError> {
        let mut file = self.destination.open(self.key)?;
        let mut sha256 = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            if self.stop.is_asked_for() {
                return Err(PushError::Dropped);
            }
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => sha256.update(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let error = error.downcast::<destination::Error>().unwrap_or_else(|error| {
                        destination::Error::new(ErrorKind::Other, "read back", self.key, error)
                    });
                    return Err(error.into());
                }
            }
            self.progress.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Sha256Hex(sha256.finalize().into()))
    }
}
