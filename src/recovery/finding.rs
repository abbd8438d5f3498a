//! What is found in a script, and how it is worded.

use serde::Serialize;

use super::ini::Encoding;
use super::keys::{Source, Vintage, When};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Excluded, or contradicts itself.
    Error,
    /// Not used, not documented, or right by one table only.
    Warning,
    /// Nothing to do.
    Note,
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// A name for programs that does not change.
    pub code: &'static str,
    /// Counted from 1; missing keys have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The key, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// In words.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Who says so.
    pub source: Source,
}

/// What was found in a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Which table was applied.
    pub rules: Vintage,
    /// How the file is stored.
    pub encoding: Encoding,
    /// Everything, by line.
    pub findings: Vec<Finding>,
    /// Values that are paths, for those who want to look at them.
    #[serde(skip)]
    pub paths: Vec<PathValue>,
}

impl Checked {
    /// How many there are of this weight.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Would Setup get a script that the tables allow?
    #[must_use]
    pub fn passes(&self) -> bool {
        self.count(Severity::Error) == 0
    }

    /// Adds a finding, in its place.
    pub fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
        self.findings.sort_by_key(|finding| (finding.line.unwrap_or(usize::MAX), finding.severity));
    }
}

/// A path in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathValue {
    /// Its key.
    pub key: &'static str,
    /// The path.
    pub path: String,
    /// Where it stands.
    pub line: usize,
}

pub(super) fn dedup(mut words: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    words.retain(|word| seen.insert(word.clone()));
    words
}

pub(super) fn in_words(When(name, values): When) -> String {
    match values {
        [] => format!("scripts with {name}"),
        values => format!("{name}={}", values.join(" or ")),
    }
}

/// What was most likely meant.
pub(super) fn nearest<'n>(written: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let squash = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).take(64).collect()
    };
    let written = squash(written);
    names
        .map(|name| (strsim::damerau_levenshtein(&written, &squash(name)), name))
        .filter(|(distance, name)| *distance <= (name.len() / 4).clamp(1, 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
