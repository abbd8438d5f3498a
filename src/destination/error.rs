//! What can go wrong on a destination, and what to do about it.

use std::fmt;

use super::reason::Reason;
use super::share_error::ShareError;
use crate::config;

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
pub(super) struct CertificateError(pub(super) Box<dyn std::error::Error + Send + Sync>);

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
        if let Some(reason) = self.source.downcast_ref::<Reason>().filter(|reason| reason.has_code())
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
