//! How the library tells a person, a program or a test what it is doing.
//!
//! The library prints nothing. Long steps open a [`Task`] and advance it by bytes; results are [`Event`]s. The console
//! draws bars and lines from them, `--json` writes each event as a line, tests collect them.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

pub use self::tee::Tee;

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

/// What happened, for people (through `Display` text made by the console) and for programs (`--json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// What kind of event: `started`, `archived`, `pushed`, `push-failed`, `verified`, `removed`, `warning`, …
    pub event: &'static str,
    /// One sentence for people.
    pub message: String,
    /// How much it matters.
    pub level: Level,
    /// The data, for programs.
    #[serde(flatten)]
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// What an administrator wants to read next morning.
    Info,
    /// Someone should act soon.
    Warn,
    /// This run lost something.
    Error,
}

impl Event {
    /// An event of this kind with a sentence for people.
    #[must_use]
    pub fn new(event: &'static str, level: Level, message: impl Into<String>) -> Self {
        Self { event, message: message.into(), level, fields: serde_json::Map::new() }
    }

    /// Adds a field for programs.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<serde_json::Value>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }
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
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Monitor for Collector {
    fn task(&self, _name: &str, _bytes: Option<u64>) -> Box<dyn Task> {
        Box::new(Silent)
    }

    fn event(&self, event: &Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
    }
}

#[derive(Debug)]
struct Silent;

impl Task for Silent {
    fn advance(&self, _bytes: u64) {}
}
