//! Everything that is printed: results, events, progress bars.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;

use super::failure::Failure;
use crate::clock::{Clock, SystemClock};
use crate::monitor::{Event, Level, Monitor, Task};
use crate::units;

/// The version of everything that `--json` prints. Fields are only ever added to it.
const SCHEMA: u32 = 1;

/// How much is printed, and in what form.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools, reason = "four options of the command line")]
pub(super) struct Style {
    /// Results as JSON.
    pub(super) json: bool,
    /// Only warnings, errors and results.
    pub(super) quiet: bool,
    /// Evidence, lists and rates, too.
    pub(super) verbose: bool,
    /// The time before every line: of a process that runs for weeks.
    pub(super) times: bool,
}

/// Standard output and standard error.
#[derive(Debug, Clone)]
pub(super) struct Console {
    style: Style,
    level: Level,
    bars: MultiProgress,
    /// Events and results of several threads do not mix within a line. Holds why the last one could not be written.
    output: Arc<Mutex<()>>,
    output_error: OnceLock<String>,
}

#[derive(Serialize)]
struct Document<'a, T: Serialize> {
    schema: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    #[serde(flatten)]
    content: &'a T,
}

impl Console {
    pub(super) fn new(style: Style) -> Self {
        // Bars are for eyes only: not in files, not in pipes, not for a service. Lines of the log would draw over them.
        let visible = !style.verbose && !style.quiet && io::stderr().is_terminal();
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let level = if style.quiet { Level::Warn } else { Level::Info };
        let bars = MultiProgress::with_draw_target(target);
        Self { style, level, bars, output: Arc::default(), output_error: OnceLock::new() }
    }

    /// Are results to be printed as JSON?
    pub(super) fn is_json(&self) -> bool {
        self.style.json
    }

    /// Prints the one document of a command.
    pub(super) fn document<T: Serialize>(&self, content: &T) {
        let document = Document { schema: SCHEMA, time: None, content };
        let mut text = serde_json::to_string_pretty(&document).expect("results have only string keys");
        text.push('\n');
        self.verbatim(&units::visible_json(&text));
    }

    /// Why something could not be written to standard output.
    pub(super) fn output_error(&self) -> Option<&str> {
        self.output_error.get().map(String::as_str)
    }

    /// Prints what is not for eyes: scripts, and JSON.
    pub(super) fn verbatim(&self, text: &str) {
        let _guard = self.output.lock();
        let result = self.bars.suspend(|| {
            let mut stdout = io::stdout().lock();
            stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        });
        match result {
            // Whoever closed the pipe has read enough.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.output_error.get_or_init(|| error.to_string());
            }
            _ => {}
        }
    }

    /// Prints a result for people, of whole lines. What is one line, and comes from elsewhere, is made visible before.
    pub(super) fn result(&self, text: &str) {
        self.verbatim(&units::visible_lines(text));
    }

    /// Prints a warning.
    pub(super) fn warn(&self, message: &str) {
        self.line(&format!("warning: {}", units::visible_line(message)));
    }

    /// Prints what a person wants to know beside the result.
    pub(super) fn note(&self, message: &str) {
        if self.level == Level::Info {
            self.line(&units::visible_line(message));
        }
    }

    /// Prints why a command could not be done.
    pub(super) fn failure(&self, failure: &Failure) {
        if self.style.json {
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
        let document = Document { schema: SCHEMA, time: Some(now()), content: event };
        let mut line = serde_json::to_string(&document).expect("events have only string keys");
        line.push('\n');
        self.verbatim(&units::visible_json(&line));
    }

    fn line(&self, text: &str) {
        let time = if self.style.times { format!("{} ", local(now())) } else { String::new() };
        let _guard = self.output.lock();
        self.bars.suspend(|| drop(writeln!(io::stderr().lock(), "{time}{}", units::visible_lines(text))));
    }
}

impl Monitor for Console {
    fn task(&self, name: &str, bytes: Option<u64>) -> Box<dyn Task> {
        let bar = match bytes {
            Some(bytes) => ProgressBar::new(bytes).with_style(style(
                "{msg} [{wide_bar}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}, {eta} left",
            )),
            None => ProgressBar::new_spinner().with_style(style("{msg} {spinner} {elapsed}")),
        };
        let bar = self.bars.add(bar.with_message(name.to_owned()));
        if !self.bars.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Box::new(Bar { shown: bar, name: name.to_owned(), console: self.style.verbose.then(|| self.clone()) })
    }

    fn event(&self, event: &Event) {
        if self.style.json {
            self.event_line(event);
            return;
        }
        if event.level < self.level {
            return;
        }
        match event.level {
            Level::Info => self.line(&units::visible_line(&event.message)),
            Level::Warn => self.warn(&event.message),
            Level::Error => self.line(&format!("error: {}", units::visible_line(&event.message))),
        }
        self.hint(event.fields.get("hint").and_then(serde_json::Value::as_str));
        if self.style.verbose {
            for line in details(event) {
                self.line(&units::visible_line(&line));
            }
        }
    }
}

/// Fields whose lists a person can use, and what stands before each of their lines.
const DETAILS: [(&str, &str); 5] = [
    ("evidence", "evidence: "),
    ("reasons", "reason: "),
    ("changes", "changed: "),
    ("archives", ""),
    ("sha256", "SHA-256 "),
];

/// What an event knows besides its sentence, for `--verbose`.
fn details(event: &Event) -> Vec<String> {
    let mut lines = Vec::new();
    for (field, label) in DETAILS {
        match event.fields.get(field) {
            Some(Value::Array(list)) => {
                lines.extend(list.iter().filter_map(Value::as_str).map(|item| format!("    {label}{item}")));
            }
            Some(Value::String(text)) => lines.push(format!("    {label}{text}")),
            _ => {}
        }
    }
    lines
}

fn now() -> Timestamp {
    SystemClock.now()
}

/// The time of a line, to the second, with the offset from UTC.
fn local(time: Timestamp) -> String {
    time.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%:z").to_string()
}

/// How long a step took, for `--verbose`: `Archiving XYZ-…: 24.4 MiB in 2 s, 12.2 MiB/s`.
fn taken(name: &str, bytes: u64, elapsed: Duration) -> String {
    let time = units::format_duration(Duration::from_millis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)));
    if bytes == 0 {
        return format!("{name} took {time}");
    }
    let rate = u128::from(bytes) * 1000 / elapsed.as_millis().max(1);
    let rate = units::format_bandwidth(u64::try_from(rate).unwrap_or(u64::MAX));
    format!("{name}: {} in {time}, {rate}", units::format_bytes(bytes))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant").progress_chars("=> ")
}

#[allow(clippy::struct_field_names, reason = "it is the bar")]
struct Bar {
    shown: ProgressBar,
    name: String,
    /// Where its end is reported, if anybody asked for that.
    console: Option<Console>,
}

impl Task for Bar {
    fn advance(&self, bytes: u64) {
        self.shown.inc(bytes);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(console) = &self.console {
            console.line(&taken(&self.name, self.shown.position(), self.shown.elapsed()));
        }
        self.shown.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::EventKind;

    #[test]
    fn steps_say_how_long_they_took() {
        let second = Duration::from_secs(1);
        assert_eq!(taken("Archiving X", 50 << 20, 2 * second), "Archiving X: 50.0 MiB in 2 s, 25.0 MiB/s");
        assert_eq!(taken("Archiving X", 1, Duration::ZERO), "Archiving X: 1 B in 0 s, 1000 B/s");
        assert_eq!(taken("Verifying X", 0, second), "Verifying X took 1 s");
    }

    #[test]
    fn lists_of_an_event_are_lines() {
        let event = Event::new(EventKind::Started, "Archiving").with("evidence", vec!["status message 5035"]);
        assert_eq!(details(&event.with("bytes", 1)), ["    evidence: status message 5035"]);
    }
}
