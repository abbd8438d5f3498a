//! The last stage of the archive: optional encryption, SHA-256, and blocks for the destinations.

use std::io::Write;

use age::stream::StreamWriter;
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use super::manifest::Sha256Hex;

/// What takes the finished archive, block by block. An error means that nobody wants more.
pub type Output<'a> = dyn FnMut(Bytes) -> Result<(), OutputClosed> + 'a;

/// Nobody takes the archive any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no destination takes the archive any more")]
pub struct OutputClosed;

/// Encrypted bytes come in chunks of 64 KiB; destinations get blocks of this size.
const BLOCK_BYTES: usize = 1 << 20;

/// Hashes and hands on.
struct Hashing<'a, 'b> {
    output: &'a mut Output<'b>,
    sha256: Sha256,
    bytes: u64,
    pending: BytesMut,
}

impl Hashing<'_, '_> {
    fn send(&mut self, block: Bytes) -> Result<(), OutputClosed> {
        self.sha256.update(&block);
        self.bytes += block.len() as u64;
        (self.output)(block)
    }
}

impl Write for Hashing<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= BLOCK_BYTES {
            let block = self.pending.split().freeze();
            self.send(block).map_err(std::io::Error::other)?;
            self.pending.reserve(BLOCK_BYTES + (64 << 10));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The way out of the writer.
pub(super) struct Outlet<'a, 'b> {
    stage: Stage<'a, 'b>,
}

enum Stage<'a, 'b> {
    Plain(Hashing<'a, 'b>),
    Encrypted(Box<StreamWriter<Hashing<'a, 'b>>>),
}

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Out {
    pub(super) bytes: u64,
    pub(super) sha256: Sha256Hex,
}

impl<'a, 'b> Outlet<'a, 'b> {
    /// Begins an archive, encrypted if there are recipients.
    pub(super) fn new(recipients: &[age::x25519::Recipient], output: &'a mut Output<'b>) -> std::io::Result<Self> {
        let hashing = Hashing { output, sha256: Sha256::new(), bytes: 0, pending: BytesMut::new() };
        let recipients = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
        let stage = match age::Encryptor::with_recipients(recipients) {
            Ok(encryptor) => Stage::Encrypted(Box::new(encryptor.wrap_output(hashing)?)),
            Err(age::EncryptError::MissingRecipients) => Stage::Plain(hashing),
            Err(error) => return Err(std::io::Error::other(error)),
        };
        Ok(Self { stage })
    }

    /// Hands on a block of the archive.
    pub(super) fn send(&mut self, block: Bytes) -> std::io::Result<()> {
        match &mut self.stage {
            Stage::Plain(hashing) => hashing.send(block).map_err(std::io::Error::other),
            Stage::Encrypted(writer) => writer.write_all(&block),
        }
    }

    /// Hands on what is left.
    pub(super) fn finish(self) -> std::io::Result<Out> {
        let mut hashing = match self.stage {
            Stage::Plain(hashing) => hashing,
            Stage::Encrypted(writer) => writer.finish()?,
        };
        let rest = hashing.pending.split().freeze();
        if !rest.is_empty() {
            hashing.send(rest).map_err(std::io::Error::other)?;
        }
        Ok(Out { bytes: hashing.bytes, sha256: Sha256Hex(hashing.sha256.finalize().into()) })
    }
}
