//! Keeps the log of a resident program readable: what has not changed is not said again.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::monitor::{Event, EventKind, Monitor, Task};

/// Passes everything on, except a state that was told already.
#[derive(Debug)]
pub(super) struct Calm<'a> {
    monitor: &'a dyn Monitor,
    /// By kind and subject.
    said: Mutex<BTreeMap<(EventKind, String), String>>,
}

impl<'a> Calm<'a> {
    pub(super) fn new(monitor: &'a dyn Monitor) -> Self {
        Self { monitor, said: Mutex::default() }
    }

    /// Forgets what was said, since something has changed.
    pub(super) fn forget(&self) {
        self.said.lock().clear();
    }
}

impl Monitor for Calm<'_> {
    fn task(&self, name: &str, bytes: Option<u64>) -> Box<dyn Task> {
        self.monitor.task(name, bytes)
    }

    fn event(&self, event: &Event) {
        // These tell how things are; all others tell what has happened.
        if !event.event.is_state() {
            return self.monitor.event(event);
        }
        let subject = event.fields.get("destination").and_then(serde_json::Value::as_str).unwrap_or_default();
        let key = (event.event, subject.to_owned());
        let before = self.said.lock().insert(key, event.message.clone());
        if before.as_ref() != Some(&event.message) {
            self.monitor.event(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Collector;

    #[test]
    fn state_is_said_once_until_it_changes() {
        let collector = Collector::default();
        let calm = Calm::new(&collector);
        for message in ["a", "a", "b", "b", "a"] {
            calm.event(&Event::new(EventKind::NotComplete, message));
            calm.event(&Event::new(EventKind::Pushed, "x"));
        }
        calm.forget();
        calm.event(&Event::new(EventKind::NotComplete, "a"));
        let said: Vec<String> = collector.events().into_iter().map(|event| event.message).collect();
        assert_eq!(said.iter().filter(|message| *message == "x").count(), 5);
        assert_eq!(said.into_iter().filter(|message| message != "x").collect::<Vec<_>>(), ["a", "b", "a", "a"]);
    }
}
