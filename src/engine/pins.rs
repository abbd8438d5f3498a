//! Pins, and what keeps a pin and a removal of the same archive from missing each other.
//!
//! Neither locks anything. A removal notes that it begins and looks for a pin afterwards; a pin is put first and looks
//! for the note afterwards. So at least one of them sees the other: the removal then leaves the archive, or the pin is
//! reported as failed.

use serde::{Deserialize, Serialize};

use crate::catalog::Pin;
use crate::destination::{self, Destination, ErrorKind};
use crate::name::ArchiveId;

/// What became of a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pinned {
    /// It was not pinned.
    New,
    /// It was, for another reason.
    Replaced,
    /// It was, for this reason.
    Same,
}

/// Why an archive is not pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The destination failed.
    #[error(transparent)]
    Destination(#[from] destination::Error),
    /// It was removed at the same time.
    #[error("{0} was removed from {1} before the pin took effect")]
    Removed(ArchiveId, String),
    /// A removal has begun, and may go on.
    #[error("a prune has begun to remove {0} from {1}")]
    BeingRemoved(ArchiveId, String),
}

impl PinError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Destination(error) => error.hint(),
            Self::Removed(..) => None,
            Self::BeingRemoved(..) => {
                Some("once that prune has ended, 'afterbackup list' shows whether the archive is there and pinned")
            }
        }
    }
}

/// Pins an archive on one destination. A pin with another reason is replaced.
///
/// # Errors
/// When it is not certain that the archive stays.
pub fn pin(destination: &dyn Destination, id: &ArchiveId, pin: &Pin) -> Result<Pinned, PinError> {
    const LIMIT: u64 = 1 << 20;
    let key = id.key(&id.pin_name());
    let json = serde_json::to_vec(pin).expect("a pin has only string keys");
    let pinned = match destination.put_new(&key, &json) {
        Ok(()) => Pinned::New,
        Err(error) if error.kind == ErrorKind::AlreadyExists => {
            // One that cannot be read is replaced.
            let there = destination.read(&key, LIMIT).ok().and_then(|there| serde_json::from_slice::<Pin>(&there).ok());
            if there.is_some_and(|there| there.reason == pin.reason) {
                Pinned::Same
            } else {
                destination.delete(&key)?;
                destination.put_new(&key, &json)?;
                Pinned::Replaced
            }
        }
        Err(error) => return Err(error.into()),
    };
    let is_there = |name: String| match destination.stat(&id.key(&name)) {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    };
    let begun = is_there(id.removing_name())?;
    if !is_there(id.manifest_name())? {
        destination.delete(&key)?;
        return Err(PinError::Removed(id.clone(), destination.name().to_owned()));
    }
    if begun {
        // The pin stays: if that removal is of a dead process, it protects from the next.
        return Err(PinError::BeingRemoved(id.clone(), destination.name().to_owned()));
    }
    Ok(pinned)
}

/// Takes the pin away.
///
/// # Errors
/// When the destination fails.
pub fn unpin(destination: &dyn Destination, id: &ArchiveId) -> Result<(), destination::Error> {
    destination.delete(&id.key(&id.pin_name()))
}
