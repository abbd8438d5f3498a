//! From tar bytes to compressed frames, on several threads and in order.
//!
//! The reading thread fills buffers through a [`Cutter`]; each full buffer is one frame. Compressing threads take them
//! in any order; [`compress`] puts the results back in order and hands them on. A buffer goes back to the pool only
//! when its frame has been handed on, so the pool bounds everything in flight, also behind a slow destination. Whoever
//! waits for one holds a file of the snapshot open meanwhile, and therefore looks up often whether it has to let go.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded};
use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, compress_bound};

use crate::cancel::Cancel;

/// How often somebody who waits looks up.
pub(super) const LOOK: Duration = Duration::from_millis(20);
/// Large files are cut into frames of this size.
pub(super) const LARGE_FRAME: usize = 4 << 20;
/// Small files are packed into frames of at most this size.
pub(super) const SMALL_FRAME: usize = 512 << 10;

/// The other side of the pipeline has stopped; it knows why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stopped;

/// A buffer that becomes a frame.
struct Job {
    number: usize,
    buffer: Vec<u8>,
    filled: usize,
}

/// A frame, compressed.
struct Done {
    job: Job,
    compressed: Result<Bytes, std::io::Error>,
}

/// Collects the bytes of the tar and decides where frames end.
pub(super) struct Cutter {
    pool: Receiver<Vec<u8>>,
    jobs: Sender<Job>,
    buffer: Vec<u8>,
    filled: usize,
    frame: usize,
    position: u64,
    cancel: Cancel,
}

impl Cutter {
    /// Where the next byte goes in the tar.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Number of the frame that the next byte goes to.
    pub(super) fn frame(&self) -> usize {
        self.frame
    }

    /// Makes sure that the next `bytes` come to lie in one small frame.
    pub(super) fn reserve(&mut self, bytes: usize) -> Result<(), Stopped> {
        if self.filled > 0 && self.filled + bytes > SMALL_FRAME { self.cut() } else { Ok(()) }
    }

    /// Appends bytes, over frame borders if they do not fit.
    pub(super) fn append(&mut self, mut bytes: &[u8]) -> Result<(), Stopped> {
        while !bytes.is_empty() {
            let taken = self.with_room(usize::MAX, |room| {
                let taken = room.len().min(bytes.len());
                room[..taken].copy_from_slice(&bytes[..taken]);
                taken
            })?;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Lets `fill` write up to `most` bytes directly into the frame and return how many it wrote.
    pub(super) fn with_room(&mut self, most: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> Result<usize, Stopped> {
        if self.filled == LARGE_FRAME {
            self.cut()?;
        }
        if self.buffer.is_empty() {
            self.buffer = self.free_buffer()?;
        }
        let end = LARGE_FRAME.min(self.filled.saturating_add(most));
        let written = fill(&mut self.buffer[self.filled..end]);
        self.filled += written;
        self.position += written as u64;
        Ok(written)
    }

    /// Ends the frame, if it has begun.
    pub(super) fn cut(&mut self) -> Result<(), Stopped> {
        if self.filled == 0 {
            return Ok(());
        }
        let job = Job {
            number: self.frame,
            buffer: std::mem::take(&mut self.buffer),
            filled: std::mem::take(&mut self.filled),
        };
        self.frame += 1;
        self.hand_on(job)
    }

    fn free_buffer(&self) -> Result<Vec<u8>, Stopped> {
        loop {
            match self.pool.recv_timeout(LOOK) {
                Ok(buffer) => return Ok(buffer),
                Err(RecvTimeoutError::Timeout) if !self.cancel.is_cancelled() => {}
                Err(_) => return Err(Stopped),
            }
        }
    }

    fn hand_on(&self, mut job: Job) -> Result<(), Stopped> {
        loop {
            match self.jobs.send_timeout(job, LOOK) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Timeout(back)) if !self.cancel.is_cancelled() => job = back,
                Err(_) => return Err(Stopped),
            }
        }
    }
}

/// Makes bytes that are written to it part of the tar.
impl std::io::Write for Cutter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.append(bytes).map_err(|Stopped| std::io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs `produce` on a thread of its own, compresses the frames it cuts on `threads` threads, and gives each to `emit`
/// in order, with its decompressed size. `produce` is stopped when `emit` fails, or by `cancel`.
pub(super) fn compress<P: Send, E>(
    level: i32,
    threads: usize,
    cancel: &Cancel,
    produce: impl FnOnce(Cutter) -> P + Send,
    mut emit: impl FnMut(Bytes, u32) -> Result<(), E>,
) -> (P, Result<(), CompressError<E>>) {
    // One being filled, one compressed per thread, and as many waiting on either side.
    let buffers = 2 * threads + 2;
    let (free, pool) = bounded(buffers);
    for _ in 0..buffers {
        free.send(vec![0; LARGE_FRAME]).expect("the pool holds its buffers");
    }
    let (jobs, jobs_received) = bounded::<Job>(buffers);
    let (done, done_received) = bounded::<Done>(buffers);
    let cutter = Cutter { pool, jobs, buffer: Vec::new(), filled: 0, frame: 0, position: 0, cancel: cancel.clone() };
    std::thread::scope(|scope| {
        let producer = scope.spawn(move || produce(cutter));
        for _ in 0..threads {
            let (jobs, done) = (jobs_received.clone(), done.clone());
            scope.spawn(move || compress_jobs(level, &jobs, &done));
        }
        drop((jobs_received, done));
        let mut emit_done = |job: Job, compressed: Result<Bytes, std::io::Error>| {
            let compressed = compressed.map_err(CompressError::Compress)?;
            emit(compressed, u32::try_from(job.filled).expect("a frame has at most 4 MiB")).map_err(CompressError::Emit)
        };
        let result = put_in_order(&done_received, &free, &mut emit_done);
        // Ends the other threads, if they have not ended by themselves.
        drop((done_received, free));
        match producer.join() {
            Ok(outcome) => (outcome, result),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn put_in_order<E>(
    done: &Receiver<Done>,
    free: &Sender<Vec<u8>>,
    emit: &mut impl FnMut(Job, Result<Bytes, std::io::Error>) -> Result<(), E>,
) -> Result<(), E> {
    let mut early = BTreeMap::new();
    let mut next = 0;
    for frame in done {
        early.insert(frame.job.number, frame);
        while let Some(Done { mut job, compressed }) = early.remove(&next) {
            next += 1;
            let buffer = std::mem::take(&mut job.buffer);
            emit(job, compressed)?;
            // Nobody takes it any more once the producer has ended.
            drop(free.try_send(buffer));
        }
    }
    Ok(())
}

fn compress_jobs(level: i32, jobs: &Receiver<Job>, done: &Sender<Done>) {
    let mut compressor = compressor(level);
    let mut scratch = Vec::with_capacity(compress_bound(LARGE_FRAME));
    for job in jobs {
        let compressed = match &mut compressor {
            // Copied, so that no more memory than the frame needs waits in queues.
            Ok(compressor) => compressor
                .compress_to_buffer(&job.buffer[..job.filled], &mut scratch)
                .map(|size| Bytes::copy_from_slice(&scratch[..size])),
            Err(error) => Err(std::io::Error::new(error.kind(), error.to_string())),
        };
        if done.send(Done { job, compressed }).is_err() {
            return;
        }
        scratch.clear();
    }
}

fn compressor(level: i32) -> std::io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(level)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    compressor.set_parameter(CParameter::ContentSizeFlag(true))?;
    Ok(compressor)
}

/// Why frames stopped.
#[derive(Debug)]
pub(super) enum CompressError<E> {
    /// zstd failed.
    Compress(std::io::Error),
    /// The next stage failed.
    Emit(E),
}
