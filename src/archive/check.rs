//! One pass over an archive in which every file is compared with its SHA-256.
//!
//! `fetch` and `verify` are this pass with different sinks. Small files are dealt with on the thread that has
//! decompressed their frame; files that span frames are written by those threads too, at their place, and hashed in the
//! stage that sees the frames in order.

use std::ops::Range;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::index::Entry;
use super::layer::Layer;
use super::manifest::Sha256Hex;
use super::reader::{ReadError, Reader};
use super::rebuild::rebuild;
use super::sink::Sink;
use crate::cancel::Cancel;
use crate::monitor::Task;

/// Which part of the archive to read.
pub(super) enum Extent {
    /// The stored file from its first to its last byte; gives its SHA-256.
    Everything,
    /// The frames of the files, by ranges.
    Selection,
}

/// What the pass found.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Paths of files that are not what was archived.
    pub(super) damaged: Vec<String>,
    /// SHA-256 and size of the stored file, when everything was read.
    pub(super) stored: Option<(Sha256Hex, u64)>,
}

/// Sends all bytes of `files` (in the order of the index, none empty) to `sink`, out of whichever archive of the chain
/// has them.
pub(super) fn check(
    reader: &Reader<'_>,
    files: &[&Entry],
    extent: &Extent,
    threads: usize,
    sink: &impl Sink,
    task: &dyn Task,
    cancel: &Cancel,
) -> Result<Checked, ReadError> {
    let numbered = files.iter().copied().enumerate();
    let is_whole = |file: &Entry| reader.layer_of(file).is_some() && file.delta.is_none();
    let (whole, others): (Vec<_>, Vec<_>) = numbered.partition(|(_, file)| is_whole(file));
    let mut checked = Checked::default();
    for layer in reader.layers() {
        let of_layer: Vec<(usize, &Entry)> =
            whole.iter().copied().filter(|(_, file)| file.link == layer.link()).collect();
        let everything = std::ptr::eq(layer, reader.own()) && matches!(extent, Extent::Everything);
        if !of_layer.is_empty() || everything {
            let of_layer = check_layer(layer, &of_layer, everything, threads, sink, task, cancel)?;
            checked.damaged.extend(of_layer.damaged);
            checked.stored = checked.stored.or(of_layer.stored);
        }
    }
    let damaged = rebuild(reader, &others, sink, task, cancel)?;
    checked.damaged.extend(damaged.iter().map(|&number| files[number].path.clone()));
    checked.damaged.sort_unstable();
    Ok(checked)
}

/// The same of the files that one archive has as a whole.
fn check_layer(
    layer: &Layer<'_>,
    files: &[(usize, &Entry)],
    everything: bool,
    threads: usize,
    sink: &impl Sink,
    task: &dyn Task,
    cancel: &Cancel,
) -> Result<Checked, ReadError> {
    let pass = Pass { files, sink, damaged: Mutex::new(Vec::new()), failed: Mutex::new(None) };
    let mut current = None;
    let in_order = |frame: usize, bytes: Option<&[u8]>| {
        let range = layer.plain_range(frame);
        task.advance(range.end - range.start);
        // A thread of the stage before may have failed: that ends the pass.
        if let Some(error) = pass.failed.lock().take() {
            return Err(error);
        }
        pass.hash_in_order(&range, bytes, &mut current)
    };
    let inspect = |frame: usize, bytes: Option<&[u8]>| {
        if let Err(error) = pass.inspect(&layer.plain_range(frame), bytes) {
            pass.failed.lock().get_or_insert(error);
        }
    };
    let stored = if everything {
        Some(layer.decode_all(threads, cancel, inspect, in_order)?)
    } else {
        let frames = layer.frames_of(files.iter().map(|&(_, file)| file));
        layer.decode_frames(&frames, threads, cancel, inspect, in_order)?;
        None
    };
    Ok(Checked { damaged: pass.damaged.into_inner(), stored })
}

struct Pass<'a, S> {
    /// With their numbers for the sink.
    files: &'a [(usize, &'a Entry)],
    sink: &'a S,
    damaged: Mutex<Vec<String>>,
    failed: Mutex<Option<ReadError>>,
}

/// The large file that the ordered stage is in.
struct Current {
    file: usize,
    sha256: Sha256,
    whole: bool,
}

impl<S: Sink> Pass<'_, S> {
    /// The wanted files of which a range of the tar holds something.
    fn overlapping(&self, plain: &Range<u64>) -> Range<usize> {
        let first = self.files.partition_point(|(_, file)| file.offset + file.size <= plain.start);
        let last = self.files.partition_point(|(_, file)| file.offset < plain.end);
        first..last.max(first)
    }

    fn inspect(&self, plain: &Range<u64>, bytes: Option<&[u8]>) -> Result<(), ReadError> {
        for &(number, file) in &self.files[self.overlapping(plain)] {
            let (part, offset) = part_of(file, plain);
            let part = bytes.map(|bytes| &bytes[part]);
            if is_within(file, plain) {
                let sound = part.filter(|part| Some(sum(part)) == file.sha256);
                self.note(file, sound.is_some());
                self.sink.whole(number, sound)?;
            } else if let Some(part) = part {
                self.sink.piece(number, offset, part)?;
            }
        }
        Ok(())
    }

    fn hash_in_order(
        &self,
        plain: &Range<u64>,
        bytes: Option<&[u8]>,
        current: &mut Option<Current>,
    ) -> Result<(), ReadError> {
        for &(number, file) in &self.files[self.overlapping(plain)] {
            if is_within(file, plain) {
                continue;
            }
            let fresh = || Current { file: number, sha256: Sha256::new(), whole: true };
            let mut state = current.take().filter(|state| state.file == number).unwrap_or_else(fresh);
            match bytes {
                Some(bytes) if state.whole => state.sha256.update(&bytes[part_of(file, plain).0]),
                _ => state.whole = false,
            }
            if file.offset + file.size <= plain.end {
                let sum = Sha256Hex(state.sha256.finalize().into());
                let sound = state.whole && Some(sum) == file.sha256;
                self.note(file, sound);
                self.sink.finished(number, sound)?;
            } else {
                *current = Some(state);
            }
        }
        Ok(())
    }

    fn note(&self, file: &Entry, sound: bool) {
        if !sound {
            self.damaged.lock().push(file.path.clone());
        }
    }
}

fn is_within(file: &Entry, plain: &Range<u64>) -> bool {
    plain.start <= file.offset && file.offset + file.size <= plain.end
}

/// Which bytes of a frame belong to a file, and where in the file they go.
fn part_of(file: &Entry, plain: &Range<u64>) -> (Range<usize>, u64) {
    let start = file.offset.max(plain.start);
    let end = (file.offset + file.size).min(plain.end);
    let within = |at: u64| usize::try_from(at - plain.start).expect("frames are small");
    (within(start)..within(end), start - file.offset)
}

fn sum(bytes: &[u8]) -> Sha256Hex {
    Sha256Hex(Sha256::digest(bytes).into())
}
