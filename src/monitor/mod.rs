//! How the library tells a person, a program or a test what it is doing.
//!
//! The library prints nothing. Long steps open a [`Task`] and advance it by bytes; results are [`Event`]s. The console
//! draws bars and lines from them, `--json` writes each event as a line, tests collect them.

use std::fmt::Debug;
use std::sync::Arc;

use parking_lot::Mutex;

pub use self::tee::Tee;
pub use crate::event::{Event, EventKind, Level};

mod tee;

/// Receives progress and results.
pub trait Monitor: Debug + Send + Sync {
    /// A long step begins. `bytes` is its size when known. The step ends when the task is dropped.
    fn task(&self, name: &str, bytes: Option<u64>) -> Box<dyn Task>;
    /// Something happened that an administrator wants to know next morning.
    fn event(&self, event: &Event);
}

/// One long step.
pub trait Task: Send + Sync {
    /// `bytes` more are done.
    fn advance(&self, bytes: u64);
}

/// Collects events, for tests and for callers that want silence.
#[derive(Debug, Default, Clone)]
pub struct Collector {
    events: Arc<Mutex<Vec<Event>>>,
}

impl Collector {
    /// Everything told so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().clone()
    }
}

impl Monitor for Collector {
    fn task(&self, _name: &str, _bytes: Option<u64>) -> Box<dyn Task> {
        Box::new(Silent)
    }

    fn event(&self, event: &Event) {
        self.events.lock().push(event.clone());
    }
}

#[derive(Debug)]
struct Silent;

impl Task for Silent {
    fn advance(&self, _bytes: u64) {}
}
