//! Reads an archive back and compares everything with what was archived.

use rand::seq::IteratorRandom;

use super::access::Identities;
use super::check::{Extent, Sink, check};
use super::index::Entry;
use super::manifest::Manifest;
use super::reader::{ReadError, Reader};
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
}

const NAMED_DAMAGES: usize = 100;

/// Checks an archive: the SHA-256 of the stored file, every frame, the SHA-256 of every file. With `sample`, this share
/// (0 to 1) of its frames, drawn at random.
///
/// # Errors
/// When the archive cannot be read; damage is a result, not an error.
pub fn verify(
    destination: &dyn Destination,
    manifest: &Manifest,
    identities: &Identities,
    sample: Option<f64>,
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
    let reader = match Reader::open(destination, manifest.clone(), identities) {
        Ok(reader) => reader,
        Err(error) if error.is_damage() => {
            damage.push(chain(&error));
            return Ok(outcome(0, 0, 0, damage));
        }
        Err(error) => return Err(error),
    };
    let task = monitor.task(&format!("Verifying {}", manifest.id), Some(manifest.uncompressed_bytes));
    if let Some(share) = sample {
        let frames = draw(reader.frame_count(), share);
        let (_, plain_bytes) = reader.bytes_of(&frames);
        let mut lost = Vec::new();
        reader.decode_frames(
            &frames,
            threads,
            cancel,
            |_, _| {},
            |frame, bytes| {
                let range = reader.plain_range(frame);
                task.advance(range.end - range.start);
                if bytes.is_none() {
                    lost.push(format!("frame {frame} is damaged"));
                }
                Ok::<(), ReadError>(())
            },
        )?;
        damage.extend(lost);
        return Ok(outcome(plain_bytes, reader.read_bytes(), 0, damage));
    }
    let files: Vec<&Entry> = reader.index().entries.iter().filter(|entry| !entry.folder && entry.size > 0).collect();
    let checked = check(&reader, &files, &Extent::Everything, threads, &Discard, &*task, cancel)?;
    if let Some((sha256, bytes)) = checked.stored
        && (sha256 != manifest.sha256 || bytes != manifest.bytes)
    {
        damage.push("the SHA-256 of the archive file is not the one of its manifest".to_owned());
    }
    damage.extend(checked.damaged.iter().map(|path| format!("{path} is damaged")));
    Ok(outcome(manifest.uncompressed_bytes, reader.read_bytes(), reader.index().files(), damage))
}

fn outcome(plain_bytes: u64, read_bytes: u64, files: u64, mut damage: Vec<String>) -> Verified {
    let damages = damage.len() as u64;
    damage.truncate(NAMED_DAMAGES);
    Verified { plain_bytes, read_bytes, files, damage, damages }
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
