//! A request to stop that long operations look at.
//!
//! Ctrl-C and a service stop set the flag; every loop that moves data checks it, lets go of its files, aborts its
//! uploads and returns a "cancelled" error. Nothing is ever interrupted in the middle of a step.
//!
//! A [`Cancel::child`] can be set alone: it stops one attempt, while the program goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A shared flag, set once.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Flag>);

#[derive(Debug, Default)]
struct Flag {
    set: AtomicBool,
    parent: Option<Cancel>,
}

impl Cancel {
    /// A flag nobody has set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag of its own that also counts as set when this one is.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(Arc::new(Flag { set: AtomicBool::new(false), parent: Some(self.clone()) }))
    }

    /// Asks everything that holds a copy or a child to stop.
    pub fn cancel(&self) {
        self.0.set.store(true, Ordering::Release);
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
        self.0.set.load(Ordering::Acquire) || self.0.parent.as_ref().is_some_and(Self::is_cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_is_stopped_alone_or_with_its_parent() {
        let parent = Cancel::new();
        let (one, other) = (parent.child(), parent.child());
        one.cancel();
        assert!(one.is_cancelled() && !other.is_cancelled() && !parent.is_cancelled());
        parent.cancel();
        assert!(other.is_cancelled());
    }
}
