//! Everything that is printed: results, events, progress bars.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::failure::Failure;
use crate::monitor::{Event, Level, Monitor, Task};

/// The version of everything that `--json` prints. Fields are only ever added to it.
const SCHEMA: u32 = 1;

/// Standard output and standard error.
#[derive(Debug)]
pub(super) struct Console {
    json: bool,
    level: Level,
    bars: MultiProgress,
    /// Events and results of several threads do not mix within a line.
    output: Mutex<()>,
}

#[derive(Serialize)]
struct Document<'a, T: Serialize> {
    schema: u32,
    #[serde(flatten)]
    content: &'a T,
}

impl Console {
    pub(super) fn new(json: bool, quiet: bool, bars: bool) -> Self {
        // Bars are for eyes only: not in files, not in pipes, not for a service.
        let visible = bars && !quiet && io::stderr().is_terminal();
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let level = if quiet { Level::Warn } else { Level::Info };
        let bars = MultiProgress::with_draw_target(target);
        Self { json, level, bars, output: Mutex::new(()) }
    }

    /// Are results to be printed as JSON?
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints the one document of a command.
    pub(super) fn document<T: Serialize>(&self, content: &T) {
        let document = Document { schema: SCHEMA, content };
        let mut text = serde_json::to_string_pretty(&document).expect("results have only string keys");
        text.push('\n');
        self.result(&text);
    }

    /// Prints a result for people.
    pub(super) fn result(&self, text: &str) {
        let _guard = self.output.lock();
        // Whoever closed the pipe has read enough.
        self.bars.suspend(|| drop(io::stdout().lock().write_all(text.as_bytes())));
    }

    /// Prints a warning.
    pub(super) fn warn(&self, message: &str) {
        self.line(&format!("warning: {message}"));
    }

    /// Prints what a person wants to know beside the result.
    pub(super) fn note(&self, message: &str) {
        if self.level == Level::Info {
            self.line(message);
        }
    }

    /// Prints why a command could not be done.
    pub(super) fn failure(&self, failure: &Failure) {
        if self.json {
            self.event_line(&failure.event());
        }
        self.line(&format!("error: {}", failure.message));
        self.hint(failure.hint.as_deref());
    }

    /// Prints what to do about the line before.
    pub(super) fn hint(&self, hint: Option<&str>) {
        if let Some(hint) = hint {
            self.line(&format!("  hint: {hint}"));
        }
    }

    fn event_line(&self, event: &Event) {
        let mut line =
            serde_json::to_string(&Document { schema: SCHEMA, content: event }).expect("events have only string keys");
        line.push('\n');
        self.result(&line);
    }

    fn line(&self, text: &str) {
        let _guard = self.output.lock();
        self.bars.suspend(|| drop(writeln!(io::stderr().lock(), "{text}")));
    }
}

impl Monitor for Console {
    fn task(&self, name: &str, bytes: Option<u64>) -> Box<dyn Task> {
        let bar = match bytes {
            Some(bytes) => ProgressBar::new(bytes).with_style(style(
                "{msg} [{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}, {eta} left",
            )),
            None => ProgressBar::new_spinner().with_style(style("{msg} {spinner} {elapsed}")),
        };
        let bar = self.bars.add(bar.with_message(name.to_owned()));
        if !self.bars.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Box::new(Bar(bar))
    }

    fn event(&self, event: &Event) {
        if self.json {
            self.event_line(event);
            return;
        }
        if event.level < self.level {
            return;
        }
        match event.level {
            Level::Info => self.line(&event.message),
            Level::Warn => self.warn(&event.message),
            Level::Error => self.line(&format!("error: {}", event.message)),
        }
        self.hint(event.fields.get("hint").and_then(serde_json::Value::as_str));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant").progress_chars("=> ")
}

struct Bar(ProgressBar);

impl Task for Bar {
    fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
