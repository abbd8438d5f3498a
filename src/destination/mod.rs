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
mod contract;
mod error;
mod folder;
mod key;
mod open;
mod reason;
mod retry;
mod secret;
mod share;
mod share_error;
mod target;
mod throttle;
mod win32;

#[doc(hidden)]
pub mod faulty;
#[doc(hidden)]
pub mod suite;
use self::error::CertificateError;
use self::secret::secret;

pub use bucket::in_memory;
pub use contract::{Claim, Destination, Entry, Leftover, Upload};
pub use error::{Error, ErrorKind, RootMissing};
pub use open::open;
pub use target::Target;

/// A folder, for tests.
#[cfg(test)]
pub(crate) fn folder_at(name: &str, path: &std::path::Path) -> Box<dyn Destination> {
    Box::new(folder::Folder::new(name, path))
}
