//! What is written down beside what is printed: the log file, and on Windows the event log.
//!
//! Commands that do something are recorded; those that only show something are not, as whoever looks may have no right
//! to write there. Where the log lies is in the configuration, so it is opened once that has been read. A configuration
//! that cannot be read is worth a record more than anything else, because nobody sees what AfterBackup.bat prints: it
//! goes to the default place.

use std::sync::{Arc, OnceLock};

use jiff::tz::TimeZone;

use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use crate::clock::SystemClock;
use crate::config;
use crate::error::chain;
use crate::monitor::{Event, EventKind, Level, Monitor, Tee};
use crate::program_log::{Complain, Log, Slot};

/// Everybody who hears of events but the console.
#[derive(Debug)]
pub(super) struct Records {
    /// The command, if it is recorded.
    command: Option<&'static str>,
    slot: Slot,
    listeners: Arc<Tee>,
    opened: OnceLock<()>,
    failed: OnceLock<()>,
}

impl Records {
    pub(super) fn new(command: Option<&'static str>, slot: Slot) -> Self {
        Self { command, slot, listeners: Arc::default(), opened: OnceLock::new(), failed: OnceLock::new() }
    }

    /// Those who listen. None, before the configuration was read.
    pub(super) fn listeners(&self) -> Arc<Tee> {
        Arc::clone(&self.listeners)
    }

    /// Begins to write down, where the configuration says.
    pub(super) fn open(&self, settings: &config::Log, console: &Arc<Console>) {
        let Some(command) = self.command else { return };
        if self.opened.set(()).is_err() {
            return;
        }
        // The first listener, for the log file's complaints.
        #[cfg(windows)]
        if crate::event_log::is_registered()
            && let Ok(event_log) = crate::event_log::EventLog::open()
        {
            self.listeners.add(Arc::new(event_log));
        }
        if let Some(file) = &settings.file {
            let log = Log::new(file, settings, TimeZone::system(), Arc::new(SystemClock), self.complain(console));
            self.slot.fill(log.clone());
            log.note(Level::Info, &format!("afterbackup {} begins: {command}", env!("CARGO_PKG_VERSION")));
            self.listeners.add(Arc::new(log));
        }
        // What goes wrong in the program itself is printed, and a service has nobody who reads that.
        let (print, listeners) = (std::panic::take_hook(), self.listeners());
        std::panic::set_hook(Box::new(move |panic| {
            listeners.event(&Event::new(EventKind::Crashed, panic.to_string()));
            print(panic);
        }));
    }

    /// Tells that the log cannot be written: on the console, and to everybody else who listens.
    fn complain(&self, console: &Arc<Console>) -> Complain {
        const HINT: &str = "file in [log] says where it lies; level = \"off\" switches it off";
        let (console, listeners) = (Arc::clone(console), self.listeners());
        Box::new(move |error| {
            console.warn(&chain(error));
            console.hint(Some(HINT));
            listeners.event(&Event::new(EventKind::LogFailed, chain(error)).with("hint", HINT));
        })
    }

    /// Writes down what the console has said in its own way.
    pub(super) fn event(&self, event: &Event) {
        self.listeners.event(event);
    }

    /// Writes down why the command could not be done, once.
    pub(super) fn failure(&self, failure: &Failure, console: &Arc<Console>) {
        // There may have been no configuration to say where.
        self.open(&config::Log::without_section(&|name| std::env::var(name).ok()), console);
        if self.failed.set(()).is_ok() {
            self.listeners.event(&failure.event());
        }
    }

    /// Writes down how the command ended.
    pub(super) fn end(&self, result: &Result<Exit, Failure>, exit: Exit, console: &Arc<Console>) {
        if let Err(failure) = result {
            self.failure(failure, console);
        }
        if let (Some(log), Some(command)) = (self.slot.log(), self.command) {
            log.note(Level::Info, &format!("afterbackup ends: {command}, exit code {}", exit as u8));
        }
    }
}
