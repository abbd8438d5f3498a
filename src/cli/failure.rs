//! A command that could not be done: what, why, what to do, and the exit code.

use super::exit::Exit;
use crate::config::ConfigError;
use crate::engine::handover::TurnError;
use crate::error::chain;
use crate::monitor::{Event, EventKind};
use crate::platform::lock::LockError;

/// Why a command could not be done.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Failure {
    /// An error with all its causes.
    pub(super) fn new(exit: Exit, error: &dyn std::error::Error) -> Self {
        Self { exit, message: chain(error), hint: None }
    }

    /// A failure in words.
    pub(super) fn words(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    pub(super) fn hint(mut self, hint: Option<&str>) -> Self {
        self.hint = hint.map(str::to_owned);
        self
    }

    /// The failure for programs, and for what is written down.
    pub(super) fn event(&self) -> Event {
        Event::new(EventKind::CommandFailed, self.message.clone())
            .with("hint", self.hint.clone())
            .with("exit_code", self.exit as u8)
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        match &error {
            LockError::Busy { .. } => {
                Self::new(Exit::Busy, &error).hint(Some("wait until it has ended; its lock ends with its process"))
            }
            LockError::Open { .. } => Self::new(Exit::Failed, &error)
                .hint(Some("set lock-file in the configuration to a path that this account can write")),
        }
    }
}

impl From<TurnError> for Failure {
    fn from(error: TurnError) -> Self {
        match error {
            TurnError::Lock(error) => error.into(),
            TurnError::HandOver(_) => Self::new(Exit::Failed, &error)
                .hint(Some("this account must be able to write beside the lock-file; without --no-wait it need not")),
            TurnError::Cancelled => Self::words(Exit::Cancelled, "cancelled while the watcher was at work"),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::words(Exit::Usage, error.to_string())
    }
}
