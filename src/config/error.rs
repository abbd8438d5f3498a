//! What is wrong with a configuration: everything at once, each with its place and what to do.
//!
//! A fault never quotes a value that may be a secret; see `secrets` for how those are recognised.

use std::fmt;
use std::path::{Path, PathBuf};

use super::Log;

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, unless none was found.
    pub file: Option<PathBuf>,
    /// The faults, in the order of the file. Never empty.
    pub faults: Vec<Fault>,
    /// Where the file wants its log, as far as that could be read: the faults are to be found there.
    pub log: Option<Box<Log>>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Line, from 1; 0 when the fault has no place (something is missing altogether).
    pub line: usize,
    /// Column in characters, from 1; 0 like the line.
    pub column: usize,
    /// Which key, as `[section] key`; empty when the file as a whole is meant.
    pub key: String,
    /// What is wrong with it.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl ConfigError {
    /// A single fault about the file as a whole.
    pub(super) fn whole(file: Option<&Path>, message: String, hint: Option<String>) -> Self {
        let fault = Fault { line: 0, column: 0, key: String::new(), message, hint };
        Self { file: file.map(Path::to_owned), faults: vec![fault], log: None }
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            if let Some(file) = &self.file {
                write!(f, "{}:", file.display())?;
                if fault.line > 0 {
                    write!(f, "{}:{}:", fault.line, fault.column)?;
                }
                write!(f, " ")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

/// Key, message and hint, without the place.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Collects faults while the text is at hand to tell lines from offsets.
pub(super) struct Faults<'t> {
    text: &'t str,
    list: Vec<Fault>,
}

impl<'t> Faults<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, list: Vec::new() }
    }

    /// Something wrong at byte `at`; with `None` the fault has no place.
    pub(super) fn add(
        &mut self,
        at: Option<usize>,
        key: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let (line, column) = at.map_or((0, 0), |at| position(self.text, at));
        let hint = Some(hint.into()).filter(|hint: &String| !hint.is_empty());
        self.list.push(Fault { line, column, key: key.into(), message: message.into(), hint });
    }

    /// Has a key that begins like this a fault already? Consequences of a fault are not worth a second one.
    pub(super) fn mention(&self, prefix: &str) -> bool {
        self.list.iter().any(|fault| fault.key.starts_with(prefix))
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn into_error(mut self, file: &Path) -> Option<ConfigError> {
        // What is missing altogether comes last; a stable sort keeps the order of finding on one place.
        self.list.sort_by_key(|fault| (fault.line == 0, fault.line, fault.column));
        (!self.list.is_empty()).then(|| ConfigError { file: Some(file.to_owned()), faults: self.list, log: None })
    }
}

/// Line and column, from 1, of a byte offset.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let mut line = 1;
    let mut column = 1;
    for (offset, c) in text.char_indices() {
        if offset >= at {
            break;
        }
        if c == '\n' {
            line += 1;
            column = 1;
        } else {
            column += 1;
        }
    }
    (line, column)
}
