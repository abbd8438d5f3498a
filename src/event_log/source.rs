//! The source in the registry, and the listener that writes under it.

use std::io;
use std::path::Path;

use windows_registry::LOCAL_MACHINE;

use super::{Kind, SOURCE, entry};
use crate::monitor::{Event, Monitor, Task};
use crate::windows::event_log::{self, EventSource};

const APPLICATION: &str = r"SYSTEM\CurrentControlSet\Services\EventLog\Application";

fn key(source: &str) -> String {
    format!(r"{APPLICATION}\{source}")
}

/// Registers the source: `program` has the table of messages.
///
/// # Errors
/// When the registry does not let us, as for want of administrator's rights.
pub fn register(program: &Path) -> io::Result<()> {
    register_as(SOURCE, program)
}

fn register_as(source: &str, program: &Path) -> io::Result<()> {
    let write = || {
        let key = LOCAL_MACHINE.create(key(source))?;
        key.set_expand_string("EventMessageFile", program.to_string_lossy())?;
        // Information, warnings and errors.
        key.set_u32("TypesSupported", 7)
    };
    write().map_err(io_error)
}

/// Removes the source. It is no error if there is none.
///
/// # Errors
/// When the registry does not let us.
pub fn unregister() -> io::Result<()> {
    unregister_as(SOURCE)
}

fn unregister_as(source: &str) -> io::Result<()> {
    if !is_registered_as(source) {
        return Ok(());
    }
    LOCAL_MACHINE.remove_tree(key(source)).map_err(io_error)
}

/// Is the source there?
#[must_use]
pub fn is_registered() -> bool {
    is_registered_as(SOURCE)
}

fn is_registered_as(source: &str) -> bool {
    LOCAL_MACHINE.open(key(source)).is_ok()
}

fn io_error(error: impl std::fmt::Display + Into<io::Error>) -> io::Error {
    error.into()
}

/// Writes events to the event log.
#[derive(Debug)]
pub struct EventLog(EventSource);

impl EventLog {
    /// Opens the event log.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn open() -> io::Result<Self> {
        EventSource::open(SOURCE).map(Self)
    }

    /// Writes an event, if it is one for the event log.
    ///
    /// # Errors
    /// When the system does not take it.
    pub fn write(&self, event: &Event) -> io::Result<()> {
        let Some(entry) = entry(event) else { return Ok(()) };
        let kind = match entry.kind {
            Kind::Information => event_log::INFORMATION,
            Kind::Warning => event_log::WARNING,
            Kind::Error => event_log::ERROR,
        };
        self.0.report(kind, u32::from(entry.id), &entry.text)
    }
}

impl Monitor for EventLog {
    fn task(&self, _name: &str, _bytes: Option<u64>) -> Box<dyn Task> {
        Box::new(Nothing)
    }

    fn event(&self, event: &Event) {
        if let Err(error) = self.write(event) {
            tracing::debug!(%error, event = event.event.name(), "The event log does not take it");
        }
    }
}

struct Nothing;

impl Task for Nothing {
    fn advance(&self, _bytes: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::EventKind;

    #[test]
    fn source_is_registered_and_removed_and_takes_events() {
        // Not the real one: this may be somebody's computer.
        const NAME: &str = "afterbackup-test";
        register_as(NAME, Path::new(r"C:\Program Files\afterbackup\afterbackup.exe")).unwrap();
        assert!(is_registered_as(NAME));
        let log = EventLog(EventSource::open(NAME).unwrap());
        log.write(&Event::new(EventKind::Archived, "Archived 100%1 \u{dc}")).unwrap();
        log.write(&Event::new(EventKind::Damaged, "DAMAGED").with("hint", "look")).unwrap();
        log.write(&Event::new(EventKind::Waiting, "is not for the event log")).unwrap();
        unregister_as(NAME).unwrap();
        assert!(!is_registered_as(NAME));
        unregister_as(NAME).unwrap();
    }
}
