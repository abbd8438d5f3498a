//! A request to stop that long operations look at.
//!
//! Ctrl-C and a service stop set the flag; every loop that moves data checks it, lets go of its files, aborts its
//! uploads and returns a "cancelled" error. Nothing is ever interrupted in the middle of a step.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A shared flag, set once.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A flag nobody has set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everything that holds a copy to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Waits, but not after somebody has asked to stop; tells whether somebody has.
    #[must_use]
    pub fn wait(&self, time: Duration) -> bool {
        const LOOK: Duration = Duration::from_millis(100);
        let end = Instant::now() + time;
        while !self.is_cancelled() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(LOOK));
        }
        self.is_cancelled()
    }

    /// Has somebody asked to stop?
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
