//! What the steps of one site's way through a run share, and how it may end before its last step.

use std::collections::BTreeMap;

use super::context::Context;
use super::error::RunError;
use super::outcome::SiteResult;
use super::sentinel::Guard;
use crate::source::{self, Snapshot};

/// A snapshot that is being dealt with.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    /// Its request to stop is also set when the backup task begins again.
    pub(super) context: &'a Context<'a>,
    pub(super) snapshot: &'a Snapshot,
    pub(super) guard: &'a Guard,
}

/// Why a step does not give what the next one takes.
#[derive(Debug)]
pub(super) enum Halt {
    /// There is nothing more to do.
    As(SiteResult),
    /// The run fails.
    Error(RunError),
}

/// Why an archive that was begun may not become visible.
#[derive(Debug)]
pub(super) enum Dropped {
    /// Once more, without these files: places in the archive, and why each is left out.
    Without(BTreeMap<String, String>),
    /// Once more, as a full archive: why what it builds on cannot be read.
    Full(String),
    /// The way ends.
    Halt(Halt),
}

impl<E: Into<Halt>> From<E> for Dropped {
    fn from(error: E) -> Self {
        Self::Halt(error.into())
    }
}

impl From<RunError> for Halt {
    fn from(error: RunError) -> Self {
        Self::Error(error)
    }
}

impl From<source::Error> for Halt {
    /// What was looked for and is not there is no failure.
    fn from(error: source::Error) -> Self {
        match error {
            source::Error::Walk(error) if error.is_cancelled() => RunError::Cancelled.into(),
            error if error.is_no_snapshot() => Self::As(SiteResult::NotComplete { reasons: vec![error.reason()] }),
            error => Self::Error(error.into()),
        }
    }
}
