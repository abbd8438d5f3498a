//! What is wrong with the text: everything at once, each with its place and what to do.
//!
//! A fault never quotes a value that may be a secret; see `secret_names` for how those are recognised.

use std::fmt;

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
pub(in crate::config) struct Faults<'t> {
    text: &'t str,
    list: Vec<Fault>,
}

impl<'t> Faults<'t> {
    pub(in crate::config) fn new(text: &'t str) -> Self {
        Self { text, list: Vec::new() }
    }

    /// Something wrong at byte `at`; with `None` the fault has no place.
    pub(in crate::config) fn add(
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
    pub(in crate::config) fn mention(&self, prefix: &str) -> bool {
        self.list.iter().any(|fault| fault.key.starts_with(prefix))
    }

    pub(in crate::config) fn len(&self) -> usize {
        self.list.len()
    }

    pub(in crate::config) fn into_list(mut self) -> Vec<Fault> {
        // What is missing altogether comes last; a stable sort keeps the order of finding on one place.
        self.list.sort_by_key(|fault| (fault.line == 0, fault.line, fault.column));
        self.list
    }
}

/// Line and column, from 1, of a byte offset.
pub(in crate::config) fn position(text: &str, at: usize) -> (usize, usize) {
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
