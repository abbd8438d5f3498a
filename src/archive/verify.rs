//! Reads an archive back and compares everything with what was archived.

use std::io::Read as _;

use rand::seq::IteratorRandom;
use sha2::{Digest as _, Sha256};

use super::access::{AccessError, Identities};
use super::check::{Extent, check};
use super::index::Entry;
use super::manifest::{Manifest, Sha256Hex};
use super::reader::{ReadError, Reader};
use super::sink::Sink;
use crate::cancel::Cancel;
use crate::destination::Destination;
use crate::error::chain;
use crate::monitor::Monitor;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    /// Bytes of the tar that were decompressed and compared.
    pub plain_bytes: u64,
    /// Bytes read from the destination.
    pub read_bytes: u64,
    /// Files compared with their SHA-256. With a sample, only frames are checked.
    pub files: u64,
    /// What is wrong, in words. Empty: nothing.
    pub damage: Vec<String>,
    /// How many damages there are in all, of which `damage` names the first hundred.
    pub damages: u64,
    /// Files that only an archive that is built upon has the rest of, and that were not put together.
    pub not_rebuilt: u64,
    /// Was the archive compared only as it is stored, because its contents need a secret key?
    pub as_stored: bool,
}

const NAMED_DAMAGES: usize = 100;

/// How much of an archive to check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Depth {
    /// This share of its frames (0 to 1), drawn at random.
    Sample(f64),
    /// All of its stored file, and that what it builds on is there and the same.
    Own,
    /// Also every file that it builds up with others.
    Deep,
}

/// Checks an archive: the SHA-256 of the stored file, every frame, the SHA-256 of every file. Without a key, an
/// encrypted archive is compared as it is stored: that finds every change since it was written, and says nothing of
/// what was written.
///
/// # Errors
/// When the archive cannot be read; damage is a result, not an error.
pub fn verify(
    destination: &dyn Destination,
    manifest: &Manifest,
    identities: &Identities,
    depth: Depth,
    threads: usize,
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<Verified, ReadError> {
    let mut damage = Vec::new();
    let stat = destination.stat(&manifest.id.key(&manifest.archive));
    match stat {
        Ok(stat) if stat.bytes != manifest.bytes => {
            damage.push(format!("the archive file has {} bytes, its manifest says {}", stat.bytes, manifest.bytes));
        }
        Err(error) if error.is_not_found() => damage.push("the archive file is missing".to_owned()),
        Err(error) => return Err(ReadError::Access(error.into())),
        Ok(_) => {}
    }
    if manifest.encryption.is_some() && identities.is_empty() {
        return if damage.is_empty() {
            stored(destination, manifest, monitor, cancel)
        } else {
            Ok(as_stored(0, damage))
        };
    }
    let reader = match Reader::open(destination, manifest.clone(), identities) {
        Ok(reader) => reader,
        Err(error) if error.is_damage() => {
            damage.push(chain(&error));
            return Ok(outcome(0, 0, damage));
        }
        Err(error) => return Err(error),
    };
    let task = monitor.task(&format!("Verifying {}", manifest.id), Some(manifest.uncompressed_bytes));
    if let Depth::Sample(share) = depth {
        let frames = draw(reader.own().frame_count(), share);
        let (_, plain_bytes) = reader.own().bytes_of(&frames);
        let mut lost = Vec::new();
        reader.own().decode_frames(
            &frames,
            threads,
            cancel,
            |_, _| {},
            |frame, bytes| {
                let range = reader.own().plain_range(frame);
                task.advance(range.end - range.start);
                if bytes.is_none() {
                    lost.push(format!("frame {frame} is damaged"));
                }
                Ok::<(), ReadError>(())
            },
        )?;
        damage.extend(lost);
        return Ok(outcome(plain_bytes, reader.read_bytes(), damage));
    }
    let is_own = |entry: &Entry| entry.link == reader.index().link() && entry.delta.is_none();
    let all = reader.index().entries.iter().filter(|entry| !entry.folder);
    let (wanted, others): (Vec<&Entry>, Vec<&Entry>) = all.partition(|entry| depth == Depth::Deep || is_own(entry));
    let files: Vec<&Entry> = wanted.iter().copied().filter(|entry| entry.size > 0).collect();
    let checked = check(&reader, &files, &Extent::Everything, threads, &Discard, &*task, cancel)?;
    if let Some((sha256, bytes)) = checked.stored
        && (sha256 != manifest.sha256 || bytes != manifest.bytes)
    {
        damage.push(WRONG_SUM.to_owned());
    }
    damage.extend(checked.damaged.iter().map(|path| format!("{path} is damaged")));
    let plain_bytes = if depth == Depth::Deep { reader.index().bytes() } else { manifest.uncompressed_bytes };
    let verified = outcome(plain_bytes, reader.read_bytes(), damage);
    Ok(Verified { files: wanted.len() as u64, not_rebuilt: others.len() as u64, ..verified })
}

/// Compares the stored file with the SHA-256 of the manifest.
fn stored(
    destination: &dyn Destination,
    manifest: &Manifest,
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<Verified, ReadError> {
    let mut file = destination.open(&manifest.id.key(&manifest.archive)).map_err(AccessError::from)?;
    let task = monitor.task(&format!("Verifying {} as stored", manifest.id), Some(manifest.bytes));
    let (mut sha256, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        if cancel.is_cancelled() {
            return Err(ReadError::Cancelled);
        }
        let read = match file.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            other => other.map_err(AccessError::from_io)?,
        };
        if read == 0 {
            break;
        }
        sha256.update(&buffer[..read]);
        bytes += read as u64;
        task.advance(read as u64);
    }
    let same = Sha256Hex(sha256.finalize().into()) == manifest.sha256 && bytes == manifest.bytes;
    let damage = if same { vec![] } else { vec![WRONG_SUM.to_owned()] };
    Ok(as_stored(bytes, damage))
}

const WRONG_SUM: &str = "the SHA-256 of the archive file is not the one of its manifest";

fn as_stored(read_bytes: u64, damage: Vec<String>) -> Verified {
    Verified { as_stored: true, ..outcome(0, read_bytes, damage) }
}

fn outcome(plain_bytes: u64, read_bytes: u64, mut damage: Vec<String>) -> Verified {
    let damages = damage.len() as u64;
    damage.truncate(NAMED_DAMAGES);
    Verified { plain_bytes, read_bytes, files: 0, damage, damages, not_rebuilt: 0, as_stored: false }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a number of frames, rounded up"
)]
fn draw(frames: usize, share: f64) -> Vec<usize> {
    let wanted = (frames as f64 * share.clamp(0.0, 1.0)).ceil() as usize;
    let mut drawn = (0..frames).sample(&mut rand::rng(), wanted);
    drawn.sort_unstable();
    drawn
}

struct Discard;

impl Sink for Discard {
    fn whole(&self, _file: usize, _bytes: Option<&[u8]>) -> Result<(), ReadError> {
        Ok(())
    }

    fn piece(&self, _file: usize, _offset: u64, _bytes: &[u8]) -> Result<(), ReadError> {
        Ok(())
    }

    fn finished(&self, _file: usize, _sound: bool) -> Result<(), ReadError> {
        Ok(())
    }
}
