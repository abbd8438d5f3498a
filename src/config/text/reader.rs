//! Goes through the document and takes notes: what all sections need to read their keys.
//!
//! What the table of keys already told (unknown keys, wrong types, …) reads as missing here and is not told twice:
//! a key counts as missing only if it is not written at all.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::faults::Faults;
use super::keys::closest;
use super::section::{At, Section};
use super::{Env, paths, smb};
use crate::platform::WINDOWS;
use crate::units;

/// Goes through the document and takes notes.
pub(in crate::config) struct Reader<'t, 'e> {
    pub(in crate::config) faults: Faults<'t>,
    pub(in crate::config) warnings: Vec<String>,
    pub(in crate::config) base: PathBuf,
    pub(in crate::config) env: Env<'e>,
    /// Is it for Windows? A parameter, so that both answers are tested everywhere.
    pub(in crate::config) windows: bool,
}

impl<'t, 'e> Reader<'t, 'e> {
    /// For the text of a configuration that would lie at `file`.
    pub(in crate::config) fn new(text: &'t str, file: &Path, env: Env<'e>, windows: bool) -> Self {
        Self { faults: Faults::new(text), warnings: Vec::new(), base: paths::base(file), env, windows }
    }
}

impl Reader<'_, '_> {
    pub(in crate::config) fn duration(&mut self, section: &Section<'_>, key: &str, default: Duration) -> Duration {
        let Some(text) = section.text(key) else { return default };
        units::parse_duration(&text.value).unwrap_or_else(|error| {
            let hint = "write a number and s, min, h, days, weeks, months or years, like \"2min\"";
            self.faults.add(Some(text.at), section.label(key), error.to_string(), hint);
            default
        })
    }

    pub(in crate::config) fn optional_path(&mut self, section: &Section<'_>, key: &str) -> Option<PathBuf> {
        section.text(key).and_then(|text| self.path(section, key, &text))
    }

    pub(in crate::config) fn path(&mut self, section: &Section<'_>, key: &str, text: &At<String>) -> Option<PathBuf> {
        // Reported already, where the control character stands.
        if text.value.contains(char::is_control) {
            return None;
        }
        if text.value.contains("://") {
            if let Some((message, hint)) = smb::smb_fault(&text.value, self.windows) {
                self.faults.add(Some(text.at), section.label(key), message, hint);
                return None;
            }
            // Not printed: addresses may hold passwords.
            let hint = "buckets are written as url = \"s3://bucket/prefix\", shares as path = '\\\\server\\share'";
            self.faults.add(Some(text.at), section.label(key), "is an address, not a path", hint);
            return None;
        }
        if paths::is_drive_relative(&text.value) {
            let hint = "write a backslash behind the colon: 'E:\\folder'";
            self.faults.add(Some(text.at), section.label(key), "depends on a drive's current folder", hint);
            return None;
        }
        if paths::has_placeholder(&text.value) {
            self.warnings.push(format!("{}: environment variables in it are not expanded", section.label(key)));
        }
        if !WINDOWS && paths::is_windows(&text.value) {
            self.warnings.push(format!("{}: a Windows path, but this is not Windows", section.label(key)));
        }
        Some(paths::resolve(&self.base, &text.value))
    }

    /// One of several words; the first is the default. `None` after a fault.
    pub(in crate::config) fn choice<T: Copy>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        choices: &[(&str, T)],
        fault: &str,
    ) -> Option<T> {
        if !section.has(key) {
            return choices.first().map(|(_, choice)| *choice);
        }
        let At { value, at } = section.text(key)?;
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == value) {
            return Some(*choice);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let hint = closest(&value, &names).map_or_else(
            || {
                let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
                format!("write {}", quoted.join(" or "))
            },
            |near| format!("did you mean \"{near}\"?"),
        );
        self.faults.add(Some(at), section.label(key), format!("'{value}' {fault}"), hint);
        None
    }
}
