//! The only reader of the wall clock.
//!
//! Archive names and retention depend on time, and site servers have wrong clocks. Everything that needs the time
//! takes a [`Clock`] or a timestamp, so tests can run in 1990 and in 2090.

use std::fmt::Debug;
use std::time::Duration;

use jiff::Timestamp;

use crate::cancel::Cancel;

/// Tells the time.
pub trait Clock: Debug + Send + Sync {
    /// The current time.
    fn now(&self) -> Timestamp;

    /// Lets time pass, but not after somebody has asked to stop; tells whether somebody has.
    fn wait(&self, time: Duration, cancel: &Cancel) -> bool {
        cancel.wait(time)
    }
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that stands still, for tests.
#[derive(Debug, Clone, Copy)]
pub struct FixedClock(pub Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}
