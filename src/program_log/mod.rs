//! The log file: what happened, for whoever asks next week.
//!
//! Configuration Manager's administrators read logs with `CMTrace`, so that is the default format, and a full log goes
//! on as `.lo_` as the server's own do. [`Log`] hears events as a [`Monitor`] and, through [`Slot`], what the library
//! traces. `file` appends to one file from several processes, `cmtrace` and `json` are what a record looks like.
//!
//! A log is never a reason to lose an archive: when a record cannot be written, that is told once and the work goes on.
//!
//! Secrets: neither events nor what this crate traces holds any. Other crates are heard from `warn` on only, whatever
//! the level: what an HTTP client traces are headers.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use serde_json::Map;
use tracing::Level;

use self::file::LogFile;
use self::record::Record;
use crate::clock::Clock;
use crate::config::{self, LogFormat};
use crate::monitor::{self, Event, Monitor, Task};
use crate::units;

mod cmtrace;
mod file;
mod json;
mod record;
mod trace;

pub use self::trace::Slot;

/// How often a long step tells how far it is.
const PROGRESS: Duration = Duration::from_mins(5);

/// Told when the log cannot be written, once.
pub type Complain = Box<dyn Fn(&LogError) + Send + Sync>;

/// An open log. Clones write to the same file.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    file: LogFile,
    format: LogFormat,
    level: Level,
    zone: TimeZone,
    clock: Arc<dyn Clock>,
    complain: Complain,
    complained: AtomicBool,
}

impl Log {
    /// A log in `path`. Nothing is opened yet: each record opens the file anew, so that it may be moved away or deleted
    /// at any time.
    #[must_use]
    pub fn new(path: &Path, settings: &config::Log, zone: TimeZone, clock: Arc<dyn Clock>, complain: Complain) -> Self {
        let file = LogFile::new(path, settings.max_bytes);
        let (format, level) = (settings.format, settings.level);
        Self(Arc::new(Inner { file, format, level, zone, clock, complain, complained: AtomicBool::new(false) }))
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.file.path()
    }

    fn wants(&self, level: Level) -> bool {
        level <= self.0.level
    }

    fn write(&self, record: &Record<'_>) {
        let inner = &*self.0;
        if !self.wants(record.level) {
            return;
        }
        let time = inner.clock.now().to_zoned_datetime(inner.zone.clone());
        let (line, head) = match inner.format {
            LogFormat::CmTrace => (cmtrace::line(record, &time, std::process::id()), cmtrace::HEAD),
            LogFormat::Json => (json::line(record, &time, std::process::id()), ""),
        };
        if let Err(source) = inner.file.append(&line, head)
            && !inner.complained.swap(true, Ordering::AcqRel)
        {
            (inner.complain)(&LogError { path: inner.file.path().to_owned(), source });
        }
    }

    /// Writes a sentence that is no event.
    pub fn note(&self, level: monitor::Level, text: &str) {
        self.write(&Record { level: level.into(), event: None, origin: "", text, fields: &Map::new() });
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("file", &self.0.file).field("format", &self.0.format).finish_non_exhaustive()
    }
}

impl Monitor for Log {
    fn task(&self, name: &str, bytes: Option<u64>) -> Box<dyn Task> {
        Box::new(Progress {
            log: self.clone(),
            name: name.to_owned(),
            bytes,
            done: AtomicU64::new(0),
            next: Mutex::new(Instant::now() + PROGRESS),
        })
    }

    fn event(&self, event: &Event) {
        let (origin, text) = ("", event.message.as_str());
        self.write(&Record {
            level: event.level.into(),
            event: Some(event.event.name()),
            origin,
            text,
            fields: &event.fields,
        });
    }
}

impl From<monitor::Level> for Level {
    fn from(level: monitor::Level) -> Self {
        match level {
            monitor::Level::Info => Self::INFO,
            monitor::Level::Warn => Self::WARN,
            monitor::Level::Error => Self::ERROR,
        }
    }
}

/// Tells now and then how far a long step is.
struct Progress {
    log: Log,
    name: String,
    bytes: Option<u64>,
    done: AtomicU64,
    next: Mutex<Instant>,
}

impl Task for Progress {
    fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // Whoever does not get the lock leaves the line to the thread that has it.
        let Ok(mut next) = self.next.try_lock() else { return };
        let now = Instant::now();
        if now < *next {
            return;
        }
        *next = now + PROGRESS;
        drop(next);
        let of = self.bytes.map(|bytes| format!(" of {}", units::format_bytes(bytes))).unwrap_or_default();
        self.log.note(monitor::Level::Info, &format!("{}: {}{of}", self.name, units::format_bytes(done)));
    }
}

/// The log cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the log {path}", path = path.display())]
pub struct LogError {
    /// The log.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}
