//! `[log]`: where the log file lies and what is written to it.

use std::path::PathBuf;

use tracing::Level;

use crate::config::text::{At, Env, Key, Kind, Reader, Section, key, paths};
use crate::units;

/// The keys of this section.
pub(in crate::config) const KEYS: &[Key] = &[
    key("file", Kind::Text, r"'C:\ProgramData\afterbackup\logs\afterbackup.log'"),
    key("level", Kind::Text, "\"info\""),
    key("max-size", Kind::Text, "\"10 MiB\""),
    key("format", Kind::Text, "\"cmtrace\""),
];

/// Ten times what Configuration Manager's own logs have at first: a run writes some dozens of lines.
const MAX_BYTES: u64 = 10 << 20;
/// Below this, a log would not hold a run.
const LEAST_BYTES: u64 = 64 << 10;

/// What a record of the log looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// As Configuration Manager's logs; `CMTrace` colours warnings and errors.
    CmTrace,
    /// One JSON object a line.
    Json,
}

/// The log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Where it lies; `None`: there is none. On Windows `%ProgramData%\afterbackup\logs\afterbackup.log` by default.
    pub file: Option<PathBuf>,
    /// What matters less than this is left out.
    pub level: tracing::Level,
    /// The file goes on as `.lo_` before it gets larger than this.
    pub max_bytes: u64,
    /// What a record looks like.
    pub format: LogFormat,
}

impl Log {
    /// What holds without a `[log]`.
    #[must_use]
    pub fn without_section(env: Env<'_>) -> Self {
        Self {
            file: paths::default_log_file(env),
            level: Level::INFO,
            max_bytes: MAX_BYTES,
            format: LogFormat::CmTrace,
        }
    }
}

impl Default for Log {
    /// No file.
    fn default() -> Self {
        Self { file: None, level: Level::INFO, max_bytes: MAX_BYTES, format: LogFormat::CmTrace }
    }
}

impl Reader<'_, '_> {
    pub(in crate::config) fn log(&mut self, root: &Section<'_>) -> Log {
        let mut log = Log::without_section(self.env);
        let Some(section) = root.section("log") else { return log };
        if let Some(path) = self.optional_path(&section, "file") {
            self.check_log_name(&section, &path);
            log.file = Some(path);
        }
        if let Some(text) = section.text("level") {
            match text.value.to_ascii_lowercase().as_str() {
                "off" => log.file = None,
                "error" => log.level = Level::ERROR,
                "warn" => log.level = Level::WARN,
                "info" => log.level = Level::INFO,
                "debug" => log.level = Level::DEBUG,
                "trace" => log.level = Level::TRACE,
                _ => self.choose(
                    &section,
                    "level",
                    &text,
                    "\"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
                ),
            }
        }
        if let Some(text) = section.text("format") {
            match text.value.to_ascii_lowercase().as_str() {
                "cmtrace" => log.format = LogFormat::CmTrace,
                "json" => log.format = LogFormat::Json,
                _ => self.choose(&section, "format", &text, "\"cmtrace\" or \"json\""),
            }
        }
        if let Some(text) = section.text("max-size") {
            match units::parse_size(&text.value) {
                Ok(bytes) if bytes >= LEAST_BYTES => log.max_bytes = bytes,
                Ok(_) => {
                    let message = format!("'{}' is too small for a log", text.value);
                    self.faults.add(Some(text.at), section.label("max-size"), message, "write at least \"64 KiB\"");
                }
                Err(error) => {
                    let hint = "write a number and a unit, like max-size = \"10 MiB\"";
                    self.faults.add(Some(text.at), section.label("max-size"), error.to_string(), hint);
                }
            }
        }
        log
    }

    fn choose(&mut self, section: &Section<'_>, key: &str, text: &At<String>, known: &str) {
        let message = format!("'{}' is not known", text.value);
        self.faults.add(Some(text.at), section.label(key), message, format!("write {known}"));
    }

    /// A full log goes on under the same name with another ending, which must not be the log itself.
    fn check_log_name(&mut self, section: &Section<'_>, path: &PathBuf) {
        if path.file_name().is_none() || path.with_extension("lo_") == *path {
            let hint = "write file = 'C:\\ProgramData\\afterbackup\\logs\\afterbackup.log'; what is full moves to .lo_";
            self.faults.add(Some(section.at("file")), section.label("file"), "is no name for a log", hint);
        }
    }
}
