//! Puts files together that are stored as what differs from those of a base, and compares each with its SHA-256.

use crossbeam_channel::{Receiver, Sender, bounded};
use sha2::{Digest, Sha256};

use super::delta::vcdiff::WINDOW;
use super::index::Entry;
use super::manifest::Sha256Hex;
use super::reader::{ReadError, Reader};
use super::sink::Sink;
use super::view::{Lost, View};
use crate::cancel::Cancel;
use crate::monitor::Task;

/// So many parts may wait for the side that hashes and writes.
const WAITING: usize = 4;

/// A part of a file, or that the rest of it is lost.
enum Part {
    Bytes(usize, u64, Vec<u8>),
    Lost(usize),
}

/// Sends all bytes of `files` (with their numbers, none empty) to `sink`. Gives the numbers of those that are damaged.
pub(super) fn rebuild(
    reader: &Reader<'_>,
    files: &[(usize, &Entry)],
    sink: &impl Sink,
    task: &dyn Task,
    cancel: &Cancel,
) -> Result<Vec<usize>, ReadError> {
    let (parts, received) = bounded(WAITING);
    let (free, pool) = bounded(WAITING + 2);
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || read(reader, files, &parts, &pool, cancel));
        let result = take(files, sink, task, &received, &free);
        // Ends the other side, if it has not ended by itself.
        drop((received, free));
        match reading.join() {
            Ok(read) => result.and_then(|damaged| read.map(|()| damaged)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn read(
    reader: &Reader<'_>,
    files: &[(usize, &Entry)],
    parts: &Sender<Part>,
    pool: &Receiver<Vec<u8>>,
    cancel: &Cancel,
) -> Result<(), ReadError> {
    let mut view = View::new(reader);
    for (at, (_, file)) in files.iter().enumerate() {
        let mut start = 0;
        while start < file.size {
            if cancel.is_cancelled() {
                return Err(ReadError::Cancelled);
            }
            let end = file.size.min(start + WINDOW as u64);
            let mut buffer = pool.try_recv().unwrap_or_default();
            buffer.clear();
            let part = match view.read(file, start..end, &mut buffer) {
                Ok(()) => Part::Bytes(at, start, buffer),
                Err(Lost::Damaged(what)) => {
                    tracing::debug!(path = file.path, what, "cannot be rebuilt");
                    Part::Lost(at)
                }
                Err(Lost::Read(error)) => return Err(error),
            };
            let lost = matches!(part, Part::Lost(_));
            if parts.send(part).is_err() {
                // The other side knows why.
                return Ok(());
            }
            if lost {
                break;
            }
            start = end;
        }
    }
    Ok(())
}

fn take(
    files: &[(usize, &Entry)],
    sink: &impl Sink,
    task: &dyn Task,
    parts: &Receiver<Part>,
    free: &Sender<Vec<u8>>,
) -> Result<Vec<usize>, ReadError> {
    let mut damaged = Vec::new();
    let mut sha256 = Sha256::new();
    for part in parts {
        let (at, end, sound) = match part {
            Part::Bytes(at, start, bytes) => {
                let (number, file) = files[at];
                sha256.update(&bytes);
                sink.piece(number, start, &bytes)?;
                let end = start + bytes.len() as u64;
                task.advance(bytes.len() as u64);
                // Nobody takes it any more once the other side has ended.
                drop(free.try_send(bytes));
                if end < file.size {
                    continue;
                }
                (at, end, Some(Sha256Hex(sha256.finalize_reset().into())) == file.sha256)
            }
            Part::Lost(at) => {
                sha256.reset();
                (at, 0, false)
            }
        };
        let (number, file) = files[at];
        let sound = sound && end == file.size;
        if !sound {
            damaged.push(number);
        }
        sink.finished(number, sound)?;
    }
    Ok(damaged)
}
