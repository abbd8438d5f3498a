//! What everything in here works with.

use crate::cancel::Cancel;
use crate::clock::Clock;
use crate::config::Config;
use crate::destination::Target;
use crate::monitor::{Event, Monitor};

/// What a run works with.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Its destinations.
    pub targets: &'a [Target],
    /// The time.
    pub clock: &'a dyn Clock,
    /// Who is told.
    pub monitor: &'a dyn Monitor,
    /// The request to stop.
    pub cancel: &'a Cancel,
}

impl Context<'_> {
    pub(super) fn tell(&self, event: &Event) {
        self.monitor.event(event);
    }
}
