//! A request to stop that long operations look at.
//!
//! Ctrl-C and a service stop set the flag; every loop that moves data checks it, lets go of its files, aborts its
//! uploads and returns a "cancelled" error. Nothing is ever interrupted in the middle of a step.
//!
//! A [`Cancel::child`] can be set alone: it stops one attempt, while the program goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// A shared flag, set once.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Flag>);

#[derive(Debug, Default)]
struct Flag {
    set: AtomicBool,
    parent: Option<Cancel>,
    /// Wakes those who wait, of a flag and of all its children.
    bell: Arc<(Mutex<()>, Condvar)>,
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
        let bell = Arc::clone(&self.0.bell);
        Self(Arc::new(Flag { set: AtomicBool::new(false), parent: Some(self.clone()), bell }))
    }

    /// Asks everything that holds a copy or a child to stop.
    pub fn cancel(&self) {
        self.0.set.store(true, Ordering::Release);
        let (lock, bell) = &*self.0.bell;
        // Whoever has just looked is waiting when this lock is free.
        drop(lock.lock());
        bell.notify_all();
    }

    /// Waits, but not after somebody has asked to stop; tells whether somebody has. Sleeps all the while.
    #[must_use]
    pub fn wait(&self, time: Duration) -> bool {
        let begun = Instant::now();
        let (lock, bell) = &*self.0.bell;
        let mut guard = lock.lock();
        while !self.is_cancelled() {
            let left = time.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break;
            }
            bell.wait_for(&mut guard, left);
        }
        drop(guard);
        self.is_cancelled()
    }

    /// Was it asked to stop?
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

    #[test]
    fn whoever_waits_is_woken_by_the_parent_and_ends_by_itself_otherwise() {
        let parent = Cancel::new();
        assert!(!parent.child().wait(Duration::from_millis(1)));
        let waiting = parent.child();
        let waiter = std::thread::spawn(move || waiting.wait(Duration::MAX));
        parent.cancel();
        assert!(waiter.join().unwrap());
    }
}
