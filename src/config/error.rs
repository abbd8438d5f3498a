//! What is wrong with a configuration as a whole.

use std::fmt;
use std::path::{Path, PathBuf};

use super::Log;
use super::text::Fault;

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
