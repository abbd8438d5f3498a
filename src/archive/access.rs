//! Ranged access to a stored archive, decrypted where it is encrypted.
//!
//! Everything that reads an archive speaks of places *before* encryption; this module turns them into ranges of the
//! stored file and counts what is really read. age's chunks of 64 KiB keep that cheap.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use age::stream::StreamReader;
use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::manifest::{Manifest, Sha256Hex};
use crate::destination::{self, Destination, ErrorKind};

/// Secret keys that can open encrypted archives.
#[derive(Default)]
pub struct Identities(Vec<Box<dyn age::Identity + Send + Sync>>);

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identities({})", self.0.len())
    }
}

impl Identities {
    /// Reads a file as `age-keygen` writes it.
    ///
    /// # Errors
    /// When it cannot be read or holds no secret key.
    pub fn from_file(path: &Path) -> io::Result<Self> {
        let file = io::BufReader::new(std::fs::File::open(path)?);
        let identities = age::IdentityFile::from_buffer(file)?.into_identities().map_err(io::Error::other)?;
        if identities.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it holds no AGE-SECRET-KEY"));
        }
        Ok(Self(identities))
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn iter(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|identity| &**identity as &dyn age::Identity)
    }
}

const AGE_CHUNK: u64 = 64 << 10;
const AGE_STORED_CHUNK: u64 = AGE_CHUNK + 16;
/// The age header of a few recipients fits in the first request.
const HEADER_REQUEST: u64 = 4 << 10;

/// A stored archive.
pub(super) struct Access<'a> {
    destination: &'a dyn Destination,
    key: String,
    stored_bytes: u64,
    encrypted: bool,
    identities: &'a Identities,
    cipher: Mutex<Option<Cipher<'a>>>,
    read_bytes: Arc<AtomicU64>,
}

struct Cipher<'a> {
    reader: StreamReader<Window<'a>>,
    wanted_end: Arc<AtomicU64>,
    payload_start: u64,
}

impl<'a> Access<'a> {
    pub(super) fn new(destination: &'a dyn Destination, manifest: &Manifest, identities: &'a Identities) -> Self {
        Self {
            destination,
            key: manifest.id.key(&manifest.archive),
            stored_bytes: manifest.bytes,
            encrypted: manifest.encryption.is_some(),
            identities,
            cipher: Mutex::new(None),
            read_bytes: Arc::default(),
        }
    }

    /// How many bytes of the archive were read so far.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    /// These bytes of the archive as it was before encryption.
    pub(super) fn range(&self, range: Range<u64>) -> Result<Bytes, AccessError> {
        if !self.encrypted {
            let bytes = self.destination.read_range(&self.key, range)?;
            self.read_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            return Ok(bytes);
        }
        let mut guard = self.cipher.lock();
        let mut cipher = match guard.take() {
            Some(cipher) => cipher,
            None => self.open_cipher()?,
        };
        let last_chunk = range.end.div_ceil(AGE_CHUNK);
        cipher.wanted_end.store(cipher.payload_start + last_chunk * AGE_STORED_CHUNK, Ordering::Relaxed);
        let length = usize::try_from(range.end - range.start).map_err(|_| AccessError::Damaged("range".into()))?;
        let mut bytes = vec![0; length];
        let result =
            cipher.reader.seek(SeekFrom::Start(range.start)).and_then(|_| cipher.reader.read_exact(&mut bytes));
        match result {
            Ok(()) => {
                *guard = Some(cipher);
                Ok(Bytes::from(bytes))
            }
            // The state of a reader that failed is not to be relied on: the next call opens a new one.
            Err(error) => Err(AccessError::from_io(error)),
        }
    }

    fn open_cipher(&self) -> Result<Cipher<'a>, AccessError> {
        let wanted_end = Arc::new(AtomicU64::new(HEADER_REQUEST));
        let position = Arc::new(AtomicU64::new(0));
        let window = Window {
            destination: self.destination,
            key: self.key.clone(),
            stored_bytes: self.stored_bytes,
            position: Arc::clone(&position),
            held: Bytes::new(),
            held_from: 0,
            wanted_end: Arc::clone(&wanted_end),
            read_bytes: Arc::clone(&self.read_bytes),
        };
        let reader = decrypt(window, self.identities)?;
        // The window stands behind header and nonce now: here the first chunk begins.
        let payload_start = position.load(Ordering::Relaxed);
        Ok(Cipher { reader, wanted_end, payload_start })
    }

    /// The whole archive as it was before encryption, from its first byte on.
    pub(super) fn stream(&self) -> Result<Stream<'a>, AccessError> {
        let file = self.destination.open(&self.key)?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let tee = Tee { file, seen: Arc::clone(&seen), read_bytes: Arc::clone(&self.read_bytes) };
        let reader: Box<dyn Read + Send + 'a> =
            if self.encrypted { Box::new(decrypt(tee, self.identities)?) } else { Box::new(tee) };
        Ok(Stream { reader, seen })
    }
}

/// A whole archive, read once. Remembers what the stored file was.
pub(super) struct Stream<'a> {
    pub(super) reader: Box<dyn Read + Send + 'a>,
    seen: Arc<Mutex<Seen>>,
}

impl Stream<'_> {
    /// SHA-256 and size of the stored bytes read so far.
    pub(super) fn seen(&self) -> (Sha256Hex, u64) {
        let seen = self.seen.lock();
        (Sha256Hex(seen.sha256.clone().finalize().into()), seen.bytes)
    }
}

#[derive(Default)]
struct Seen {
    sha256: Sha256,
    bytes: u64,
}

fn decrypt<R: Read>(file: R, identities: &Identities) -> Result<StreamReader<R>, AccessError> {
    if identities.0.is_empty() {
        return Err(AccessError::NoIdentity);
    }
    let decryptor = age::Decryptor::new(file).map_err(AccessError::from_age)?;
    decryptor.decrypt(identities.iter()).map_err(AccessError::from_age)
}

/// Hashes everything that is read through it.
struct Tee {
    file: Box<dyn Read + Send>,
    seen: Arc<Mutex<Seen>>,
    read_bytes: Arc<AtomicU64>,
}

impl Read for Tee {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        let mut seen = self.seen.lock();
        seen.sha256.update(&buffer[..read]);
        seen.bytes += read as u64;
        self.read_bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// A stored file as something to seek in: each miss is one request up to the place that is wanted.
struct Window<'a> {
    destination: &'a dyn Destination,
    key: String,
    stored_bytes: u64,
    position: Arc<AtomicU64>,
    held: Bytes,
    held_from: u64,
    wanted_end: Arc<AtomicU64>,
    read_bytes: Arc<AtomicU64>,
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let position = self.position.load(Ordering::Relaxed);
        if position >= self.stored_bytes || buffer.is_empty() {
            return Ok(0);
        }
        let window = self.held_from..self.held_from + self.held.len() as u64;
        if !window.contains(&position) {
            let least = position + buffer.len() as u64;
            let end = self.wanted_end.load(Ordering::Relaxed).max(least).min(self.stored_bytes);
            self.held = self.destination.read_range(&self.key, position..end).map_err(io::Error::other)?;
            self.held_from = position;
            self.read_bytes.fetch_add(self.held.len() as u64, Ordering::Relaxed);
        }
        let offset = usize::try_from(position - self.held_from).expect("inside the window");
        let available = self.held.get(offset..).unwrap_or_default();
        let taken = available.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&available[..taken]);
        self.position.store(position + taken as u64, Ordering::Relaxed);
        Ok(taken)
    }
}

impl Seek for Window<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.load(Ordering::Relaxed).checked_add_signed(by),
            SeekFrom::End(by) => self.stored_bytes.checked_add_signed(by),
        };
        let target = target.ok_or(io::ErrorKind::InvalidInput)?;
        self.position.store(target, Ordering::Relaxed);
        Ok(target)
    }
}

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The destination failed.
    #[error(transparent)]
    Destination(#[from] destination::Error),
    /// It is encrypted and no key was given.
    #[error("the archive is encrypted: give the file with the secret key with --identity FILE")]
    NoIdentity,
    /// None of the keys fits.
    #[error("none of the given keys opens the archive: it was encrypted to other recipients")]
    WrongIdentity,
    /// The bytes are not what was written.
    #[error("the archive is damaged: {0}")]
    Damaged(String),
}

impl AccessError {
    pub(super) fn from_io(error: io::Error) -> Self {
        // What the destination said is inside, when it was the destination.
        match error.downcast::<destination::Error>() {
            Ok(error) => Self::Destination(error),
            // The operating system could not read; what it could have read may be fine.
            Err(error) if error.raw_os_error().is_some() => {
                Self::Destination(destination::Error::new(ErrorKind::Other, "read", "the archive", error))
            }
            Err(error) => Self::Damaged(error.to_string()),
        }
    }

    fn from_age(error: age::DecryptError) -> Self {
        match error {
            age::DecryptError::NoMatchingKeys => Self::WrongIdentity,
            age::DecryptError::Io(error) => Self::from_io(error),
            error => Self::Damaged(error.to_string()),
        }
    }
}
