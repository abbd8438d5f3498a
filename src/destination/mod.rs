//! Where archives are kept: folders (local disks and shares) and buckets (S3, Azure, Google).
//!
//! One small blocking trait serves both. It is blocking because everything around it is: the archive is made by
//! threads joined by bounded channels, each destination is served by a thread of its own, and a slow destination is
//! held back by its queue. Only the bucket knows that there is a runtime underneath.
//!
//! What the rest relies on, and what the conformance suite (`suite`) tests on every kind:
//!
//! * a key is visible only when its bytes are whole and durable; a killed process leaves at most a [`Leftover`],
//! * nothing that exists is ever replaced: [`Destination::put_new`] and [`Upload::finish`] give
//!   [`ErrorKind::AlreadyExists`],
//! * deleting what is not there is no error,
//! * errors say what a caller can decide: [`Error::kind`], [`Error::is_transient`].
//!
//! On a bucket the second promise has a limit: stores know no "complete this upload unless the key exists", and some
//! ignore the condition even on a small object. Two hosts that complete the same key within the same moment both
//! succeed. Names are unique by construction, and the manifest is read back after it was put, so that the loser
//! notices; see `bucket`.
//!
//! [`open()`] builds what the configuration names. `share` reaches a folder with another account, `throttle` limits the
//! rate of uploads, `faulty` fails on order and counts calls for tests; all of them wrap the same trait.

mod bucket;
mod folder;
mod key;
mod open;
mod retry;
mod share;
mod share_error;
mod target;
mod throttle;
mod win32;

#[doc(hidden)]
pub mod faulty;
#[doc(hidden)]
pub mod suite;

use std::fmt::{self, Debug};
use std::io::Read;
use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;
use secrecy::SecretString;

use self::share_error::ShareError;
use crate::config;

pub use bucket::in_memory;
pub use open::open;
pub use target::Target;

/// A folder, for tests.
#[cfg(test)]
pub(crate) fn folder_at(name: &str, path: &std::path::Path) -> Box<dyn Destination> {
    Box::new(folder::Folder::new(name, path))
}

/// Reads a secret where the configuration says that it is.
fn secret(secret: &config::Secret, subject: String) -> Result<SecretString, Error> {
    let env = |name: &str| std::env::var(name).ok();
    secret.read(&env).map_err(|error| Error::new(ErrorKind::Unauthenticated, "use", subject, error))
}

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

    /// A whole small file. More than `limit` bytes is an error of kind [`ErrorKind::TooLarge`].
    fn read(&self, key: &str, limit: u64) -> Result<Bytes, Error>;

    /// Exactly these bytes. A range past the end is an error of kind [`ErrorKind::OutOfRange`].
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

    /// Makes the file durable and gives it its final name. Fails with [`ErrorKind::AlreadyExists`] rather than replace.
    fn finish(self: Box<Self>) -> Result<(), Error>;

    /// Removes what was written.
    fn abort(self: Box<Self>) -> Result<(), Error>;
}

/// What is removed when it is dropped.
trait Sign: Send + Sync {}
impl<T: Send + Sync> Sign for T {}

/// The sign that a file is being made. Dropped, it goes; a process that dies leaves it, as it leaves a partial file.
pub struct Claim {
    /// The key of the leftover that it is for others.
    pub key: String,
    /// Removes it when dropped.
    sign: Box<dyn Sign>,
}

impl Claim {
    fn new(key: String, sign: Box<dyn Sign>) -> Self {
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

/// What a caller can decide from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such file, folder, share or bucket.
    NotFound,
    /// A file of that name is there already.
    AlreadyExists,
    /// We may not do that.
    PermissionDenied,
    /// The credentials were refused, or there are none.
    Unauthenticated,
    /// The disk or quota is full.
    Full,
    /// Retention of the storage itself (Object Lock, a legal hold) forbids it.
    Locked,
    /// The object lies in cold storage and cannot be read until it has been restored from there.
    Cold,
    /// The file is larger than asked for.
    TooLarge,
    /// The range ends after the file.
    OutOfRange,
    /// The destination cannot be reached or is overloaded: trying again may help.
    Unavailable,
    /// The destination did not answer in time: trying again may help.
    TimedOut,
    /// Somebody asked to stop while we waited.
    Cancelled,
    /// Anything else.
    Other,
}

/// The folder of a destination is not there: another fault than a file that is missing in it, with another way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the destination's folder does not exist")]
pub struct RootMissing;

/// The certificate authorities of a destination cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct CertificateError(Box<dyn std::error::Error + Send + Sync>);

/// A failure on a destination: what, where, why, and for a caller, of which kind.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {subject}")]
pub struct Error {
    /// What a caller can decide from it.
    pub kind: ErrorKind,
    /// What was tried: `write`, `list`, `delete`.
    pub operation: &'static str,
    /// On what: path or URL.
    pub subject: String,
    /// Why, in the words of the system or server.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl Error {
    /// A failure of `operation` on `subject`.
    pub fn new(
        kind: ErrorKind,
        operation: &'static str,
        subject: impl fmt::Display,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, operation, subject: subject.to_string(), source: source.into() }
    }

    /// Could the same call succeed later without anybody doing anything?
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable | ErrorKind::TimedOut)
    }

    /// Is the thing not there?
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind == ErrorKind::NotFound
    }

    /// What an administrator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        if let Some(error) = self.source.downcast_ref::<ShareError>() {
            return Some(error.hint());
        }
        if let Some(error) = self.source.downcast_ref::<config::SecretError>() {
            return Some(error.hint());
        }
        if self.source.is::<CertificateError>() {
            return Some("ca-file is a PEM file with the certificates of the authority that vouches for this server");
        }
        if let Some(reason) = self.source.downcast_ref::<bucket::Reason>().filter(|reason| reason.has_code())
            && self.kind != ErrorKind::Locked
        {
            return reason.hint();
        }
        let bucket = self.subject.contains("://");
        match self.kind {
            _ if self.source.is::<RootMissing>() => Some(
                "create the folder, or bring back the disk or share it lies on (afterbackup does not create it: an empty mount point would fill the system disk)",
            ),
            ErrorKind::PermissionDenied if bucket => {
                Some("give this access key the right to list, get, put and delete objects there")
            }
            ErrorKind::PermissionDenied => Some(
                "give the account that runs afterbackup the right to read, write and delete there (on a share: the computer account DOMAIN\\SERVER$ when it runs as SYSTEM)",
            ),
            ErrorKind::Unauthenticated if bucket => Some("check the access key and secret of this destination"),
            ErrorKind::Unauthenticated => Some("check the account and its password"),
            ErrorKind::Full => Some(
                "free space there; or keep fewer archives with [retention], then run 'afterbackup prune --destination' with its name",
            ),
            ErrorKind::NotFound if bucket => Some("check the name of the bucket, and create it if it is missing"),
            ErrorKind::NotFound => Some("check the path of this destination"),
            ErrorKind::Unavailable | ErrorKind::TimedOut => {
                Some("check that the server is up and can be reached from here")
            }
            ErrorKind::Locked => Some("the storage's own retention protects it; it can be removed when that ends"),
            _ => None,
        }
    }
}
