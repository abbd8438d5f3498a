//! What every kind of destination can do; the promises are in the module above.

use std::fmt::{self, Debug};
use std::io::Read;
use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;

use super::error::Error;

/// Where archives are kept.
///
/// Calls block. They must not be made from within an async runtime, since a bucket enters one of its own.
///
/// Keys are relative, with `/` between folder and file name, at most one folder deep: `XYZ/XYZ-20261122T235900Z.json`.
pub trait Destination: Debug + Send + Sync {
    /// The name in the configuration.
    fn name(&self) -> &str;

    /// Path or URL for people, without secrets.
    fn location(&self) -> String;

    /// The names of the folders at the top, sorted.
    fn folders(&self) -> Result<Vec<String>, Error>;

    /// Files directly in `folder`, sorted by name. A folder that does not exist is empty. Leftovers are not listed.
    fn list(&self, folder: &str) -> Result<Vec<Entry>, Error>;

    /// Size and time of one file.
    fn stat(&self, key: &str) -> Result<Entry, Error>;

    /// A whole small file. More than `limit` bytes is an error of kind [`super::ErrorKind::TooLarge`].
    fn read(&self, key: &str, limit: u64) -> Result<Bytes, Error>;

    /// Exactly these bytes. A range past the end is an error of kind [`super::ErrorKind::OutOfRange`].
    fn read_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error>;

    /// The file from its first byte on, read sequentially, past any cache where that is possible.
    fn open(&self, key: &str) -> Result<Box<dyn Read + Send>, Error>;

    /// Shows others that this file is being made, until the claim is dropped: as a [`Leftover`] of that name.
    fn claim(&self, key: &str) -> Result<Claim, Error>;

    /// Begins a large file of about `expected_bytes`.
    fn upload(&self, key: &str, expected_bytes: u64) -> Result<Box<dyn Upload>, Error>;

    /// Writes a small file that must not exist yet, whole and durable or not at all.
    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<(), Error>;

    /// Deletes a file. No error when it is not there.
    fn delete(&self, key: &str) -> Result<(), Error>;

    /// What uploads that never finished left in `folder`. Only things with our own naming.
    ///
    /// An upload that is still going on looks the same: judge by the age. A partial file ages from its last write, the
    /// journal of an upload to a bucket from its beginning.
    fn leftovers(&self, folder: &str) -> Result<Vec<Leftover>, Error>;

    /// Removes such a thing.
    fn remove_leftover(&self, leftover: &Leftover) -> Result<(), Error>;
}

/// A large file on its way. Dropped without [`Upload::finish`], it is aborted as well as that can be done.
pub trait Upload: Send {
    /// Appends a block. May wait until the destination can take it.
    fn write(&mut self, block: Bytes) -> Result<(), Error>;

    /// Makes the file durable and gives it its final name. Fails with [`super::ErrorKind::AlreadyExists`] rather than
    /// replace.
    fn finish(self: Box<Self>) -> Result<(), Error>;

    /// Removes what was written.
    fn abort(self: Box<Self>) -> Result<(), Error>;
}

/// What is removed when it is dropped.
pub(super) trait Sign: Send + Sync {}
impl<T: Send + Sync> Sign for T {}

/// The sign that a file is being made. Dropped, it goes; a process that dies leaves it, as it leaves a partial file.
pub struct Claim {
    /// The key of the leftover that it is for others.
    pub key: String,
    /// Removes it when dropped.
    pub(super) sign: Box<dyn Sign>,
}

impl Claim {
    pub(super) fn new(key: String, sign: Box<dyn Sign>) -> Self {
        Self { key, sign }
    }
}

impl Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A file on a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// File name without its folder.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// When it was last written, by the destination's clock.
    pub modified: Timestamp,
}

/// What an upload that never finished left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Key of the partial file, or of the journal entry of a multipart upload.
    pub key: String,
    /// File name that the upload would have got: `XYZ-20261122T235900Z.tar.zst`.
    pub of: String,
    /// When it was last written, by the destination's clock.
    pub modified: Timestamp,
    /// Size in bytes, where known.
    pub bytes: u64,
    /// It is known that whoever made it is no more. Else only its age can tell.
    pub abandoned: bool,
}
