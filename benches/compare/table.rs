//! The closing table: every figure beside its target.

use std::fmt::Write as _;

/// One line of the table.
pub(crate) struct Line {
    what: String,
    ours: String,
    theirs: String,
    figure: String,
    /// The target as text, and whether it is met. Without it, the line is for information.
    target: Option<(String, bool)>,
}

/// Lines in the order in which they were added.
#[derive(Default)]
pub(crate) struct Table {
    lines: Vec<Line>,
}

impl Table {
    /// A ratio that must not be above `at_most`.
    pub(crate) fn ratio(&mut self, what: &str, ours: f64, theirs: f64, at_most: Option<f64>, unit: fn(f64) -> String) {
        let ratio = ours / theirs;
        self.lines.push(Line {
            what: what.to_owned(),
            ours: unit(ours),
            theirs: unit(theirs),
            figure: format!("{ratio:.3} x"),
            target: at_most.map(|at_most| (format!("<= {at_most} x"), ratio <= at_most)),
        });
    }

    /// A figure of ours alone that must not be above `at_most`.
    pub(crate) fn at_most(&mut self, what: &str, ours: f64, at_most: Option<f64>, unit: fn(f64) -> String) {
        self.lines.push(Line {
            what: what.to_owned(),
            ours: unit(ours),
            theirs: String::new(),
            figure: String::new(),
            target: at_most.map(|at_most| (format!("<= {}", unit(at_most)), ours <= at_most)),
        });
    }

    /// A figure of ours alone that must not be below `at_least`.
    pub(crate) fn at_least(&mut self, what: &str, ours: f64, at_least: f64, unit: fn(f64) -> String) {
        self.lines.push(Line {
            what: what.to_owned(),
            ours: unit(ours),
            theirs: String::new(),
            figure: String::new(),
            target: Some((format!(">= {}", unit(at_least)), ours >= at_least)),
        });
    }

    /// The table as plain text.
    pub(crate) fn render(&self) -> String {
        let mut text =
            format!("{:<58} {:>12} {:>12} {:>9} {:>12}\n", "what", "afterbackup", "other", "ratio", "target");
        for line in &self.lines {
            let (target, verdict) = match &line.target {
                Some((target, true)) => (target.as_str(), "PASS"),
                Some((target, false)) => (target.as_str(), "MISS"),
                None => ("", ""),
            };
            let row = format!(
                "{:<58} {:>12} {:>12} {:>9} {target:>12} {verdict}",
                line.what, line.ours, line.theirs, line.figure
            );
            writeln!(text, "{}", row.trim_end()).expect("a String takes everything");
        }
        text
    }
}

/// Seconds.
pub(crate) fn seconds(value: f64) -> String {
    format!("{value:.3} s")
}

/// Bytes.
pub(crate) fn megabytes(value: f64) -> String {
    format!("{:.2} MB", value / 1e6)
}

/// Bytes a second.
pub(crate) fn rate(value: f64) -> String {
    format!("{:.2} GB/s", value / 1e9)
}

/// A plain number.
pub(crate) fn count(value: f64) -> String {
    format!("{value:.0}")
}
