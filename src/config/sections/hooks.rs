//! `[hooks]`: commands before and after a run. Command lines may hold passwords, so they are never printed.

use std::fmt;
use std::time::Duration;

use crate::config::text::{At, Item, Key, Kind, Reader, Section, closest, key};

/// The keys of this section.
pub(in crate::config) const KEYS: &[Key] = &[
    key("run-before", Kind::Commands(COMMAND), COMMAND_EXAMPLE),
    key("run-after", Kind::Commands(COMMAND), COMMAND_EXAMPLE),
    key("run-failed", Kind::Commands(COMMAND), COMMAND_EXAMPLE),
    key("run-finally", Kind::Commands(COMMAND), COMMAND_EXAMPLE),
    key("timeout", Kind::Text, "\"10min\""),
];
const COMMAND: &[Key] = &[
    key("command", Kind::Text, r"'C:\Scripts\mail.cmd'"),
    key("on-failure", Kind::Text, "\"warn\""),
    key("timeout", Kind::Text, "\"10min\""),
];
const COMMAND_EXAMPLE: &str = r"['C:\Scripts\mail.cmd']";

const HOOK_TIMEOUT: Duration = Duration::from_mins(10);

/// Commands before and after a run, in the order in which they are run.
#[derive(Debug, Clone, Default)]
pub struct Hooks {
    /// Before anything is touched.
    pub run_before: Vec<Hook>,
    /// After a run that ended with 0.
    pub run_after: Vec<Hook>,
    /// After a run that ended otherwise, and when backups are overdue.
    pub run_failed: Vec<Hook>,
    /// After every run, whatever became of it.
    pub run_finally: Vec<Hook>,
}

/// A command.
#[derive(Clone, PartialEq, Eq)]
pub struct Hook {
    /// For the system's shell.
    pub command: String,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// It is killed when it takes longer.
    pub timeout: Duration,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command: _, on_failure, timeout } = self;
        f.debug_struct("Hook").field("on_failure", on_failure).field("timeout", timeout).finish_non_exhaustive()
    }
}

/// What the failure of a hook means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The run fails: it does not begin, or does not end with 0.
    Error,
    /// It is told.
    Warn,
    /// Nothing.
    Ignore,
}

impl Reader<'_, '_> {
    pub(in crate::config) fn hooks(&mut self, root: &Section<'_>) -> Hooks {
        let Some(section) = root.section("hooks") else { return Hooks::default() };
        let timeout = self.timeout(&section, HOOK_TIMEOUT);
        let mut hooks = |key: &str| {
            let items = section.commands(key);
            items.into_iter().filter_map(|item| self.hook(item, timeout)).collect()
        };
        Hooks {
            run_before: hooks("run-before"),
            run_after: hooks("run-after"),
            run_failed: hooks("run-failed"),
            run_finally: hooks("run-finally"),
        }
    }

    fn hook(&mut self, item: Item<'_>, timeout: Duration) -> Option<Hook> {
        let section = match item {
            Item::Text(At { value: command, .. }) => {
                return Some(Hook { command, on_failure: OnFailure::Error, timeout });
            }
            Item::Table(section) => section,
        };
        if !section.has("command") {
            self.faults.add(Some(section.at), section.label("command"), "missing", "write { command = '…' }");
        }
        let on_failure = section.text("on-failure").map_or(Some(OnFailure::Error), |text| {
            const KNOWN: [&str; 3] = ["error", "warn", "ignore"];
            let known = match text.value.as_str() {
                "error" => Some(OnFailure::Error),
                "warn" => Some(OnFailure::Warn),
                "ignore" => Some(OnFailure::Ignore),
                _ => None,
            };
            if known.is_none() {
                let hint = closest(&text.value, &KNOWN).map_or_else(
                    || "write \"error\", \"warn\" or \"ignore\"".to_owned(),
                    |near| format!("did you mean \"{near}\"?"),
                );
                let message = format!("'{}' is not an on-failure action", text.value);
                self.faults.add(Some(text.at), section.label("on-failure"), message, hint);
            }
            known
        });
        let timeout = self.timeout(&section, timeout);
        Some(Hook { command: section.text("command")?.value, on_failure: on_failure?, timeout })
    }

    /// A command that is killed before it begins is never meant.
    pub(super) fn timeout(&mut self, section: &Section<'_>, default: Duration) -> Duration {
        let timeout = self.duration(section, "timeout", default);
        if timeout.is_zero() {
            let hint = "write the longest time that a command may take, like \"10min\"";
            self.faults.add(Some(section.at("timeout")), section.label("timeout"), "must be longer than zero", hint);
            return default;
        }
        timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_is_not_printed() {
        let hook =
            Hook { command: "send --password secret".to_owned(), on_failure: OnFailure::Warn, timeout: HOOK_TIMEOUT };
        assert!(!format!("{hook:?}").contains("secret"));
    }
}
