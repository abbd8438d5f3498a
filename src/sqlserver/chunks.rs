//! The frame of a compressed backup: its beginning, its chunks, and what ends a run of them.

/// What such a file begins with.
pub(super) const MAGIC: &[u8; 8] = b"MSSQLBAK";
/// Where the first run begins.
pub(super) const FIRST_RUN: usize = 0x1e0;
/// Bytes of a chunk's header.
pub(super) const CHUNK: usize = 28;
/// First byte of a chunk.
pub(super) const CHUNK_MARK: u8 = 0x21;
/// First bytes of what ends a run.
pub(super) const RUN_ENDS: [u8; 2] = [0x2c, 0x24];
