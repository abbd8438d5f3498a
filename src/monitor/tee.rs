//! Tells several listeners the same: console, log file, event log.

use std::sync::Arc;

use parking_lot::RwLock;

use super::{Event, Monitor, Task};

/// Listeners that all hear everything, in the order in which they were added.
///
/// ```
/// use afterbackup::monitor::{Collector, Event, EventKind, Monitor, Tee};
/// use std::sync::Arc;
///
/// let (first, second) = (Collector::default(), Collector::default());
/// let tee = Tee::default();
/// tee.add(Arc::new(first.clone()));
/// tee.add(Arc::new(second.clone()));
/// tee.event(&Event::new(EventKind::Archived, "Archived"));
/// assert_eq!(first.events(), second.events());
/// assert_eq!(first.events().len(), 1);
/// ```
#[derive(Debug, Default)]
pub struct Tee(RwLock<Vec<Arc<dyn Monitor>>>);

impl Tee {
    /// Adds a listener.
    pub fn add(&self, listener: Arc<dyn Monitor>) {
        self.0.write().push(listener);
    }

    /// A copy of the list: no listener is called while it is locked.
    fn listeners(&self) -> Vec<Arc<dyn Monitor>> {
        self.0.read().clone()
    }
}

impl Monitor for Tee {
    fn task(&self, name: &str, bytes: Option<u64>) -> Box<dyn Task> {
        Box::new(Tasks(self.listeners().iter().map(|listener| listener.task(name, bytes)).collect()))
    }

    fn event(&self, event: &Event) {
        for listener in self.listeners() {
            listener.event(event);
        }
    }
}

struct Tasks(Vec<Box<dyn Task>>);

impl Task for Tasks {
    fn advance(&self, bytes: u64) {
        for task in &self.0 {
            task.advance(bytes);
        }
    }
}
