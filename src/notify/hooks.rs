//! The commands of `[hooks]`: when each is run, what it learns, and what its failure means.
//!
//! The order is that of rustic, which administrators may know: `run-before`; the run; `run-after` when it ended with 0,
//! else `run-failed`; `run-finally` in any case. A list stops at the first command whose failure is an error. A
//! `run-before` that fails is a failed run that touched nothing: `run-failed` and `run-finally` follow.
//!
//! Hooks are told what happened by environment variables. Texts in them name files, and anybody who can write into an
//! inbox of the site can name a file: characters that make cmd.exe run something else are replaced.

use std::time::Duration;

use crate::cancel::Cancel;
use crate::config::{Config, Hook, OnFailure};
use crate::error::chain;
use crate::monitor::{Event, EventKind, Level, Monitor};
use crate::platform::command::{CommandError, Shell};

/// After a request to stop, a command that tidies up gets this long.
const AFTER_CANCEL: Duration = Duration::from_secs(10);
/// Of a command that prints more lines, the rest is not logged.
const MAX_LINES: usize = 1000;

/// When a command is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before anything is touched.
    Before,
    /// After a run that ended with 0.
    After,
    /// After a run that ended otherwise.
    Failed,
    /// After every run.
    Finally,
    /// When backups are overdue: the commands of `run-failed`.
    Overdue,
}

impl Moment {
    /// The key of its commands.
    fn key(self) -> &'static str {
        match self {
            Self::Before => "run-before",
            Self::After => "run-after",
            Self::Failed | Self::Overdue => "run-failed",
            Self::Finally => "run-finally",
        }
    }

    /// What `AFTERBACKUP_EVENT` says.
    fn event(self) -> &'static str {
        match self {
            Self::Overdue => "overdue",
            other => other.key(),
        }
    }
}

/// What a command learns.
#[derive(Debug, Clone, Default)]
pub(super) struct News {
    pub(super) sites: Vec<String>,
    pub(super) archives: Vec<String>,
    pub(super) exit_code: Option<u8>,
    pub(super) message: String,
}

/// A command failed whose failure is an error.
#[derive(Debug, thiserror::Error)]
#[error("hook {key} number {number}")]
pub struct HookError {
    /// In which list.
    pub key: &'static str,
    /// Which of the list, from 1. Its line is not printed: it may hold a password.
    pub number: usize,
    #[source]
    source: CommandError,
}

/// Runs the commands of a moment.
pub(super) fn run(
    moment: Moment,
    news: &News,
    config: &Config,
    cancel: &Cancel,
    monitor: &dyn Monitor,
) -> Result<(), HookError> {
    let hooks = match moment {
        Moment::Before => &config.hooks.run_before,
        Moment::After => &config.hooks.run_after,
        Moment::Failed | Moment::Overdue => &config.hooks.run_failed,
        Moment::Finally => &config.hooks.run_finally,
    };
    if hooks.is_empty() {
        return Ok(());
    }
    let folder = config.folder_of_commands();
    let variables = variables(moment, news, config);
    let without = config.secret_variables();
    for (index, hook) in hooks.iter().enumerate() {
        let (key, number) = (moment.key(), index + 1);
        // Who was asked to stop before has had his time; what tidies up gets some all the same.
        let stopping = cancel.is_cancelled();
        let timeout = if stopping { hook.timeout.min(AFTER_CANCEL) } else { hook.timeout };
        let shell = Shell { line: &hook.command, folder: &folder, variables: &variables, without: &without, timeout };
        let mut lines = 0;
        let result = shell.run((!stopping).then_some(cancel), &mut |line| {
            lines += 1;
            let text = match lines {
                1..=MAX_LINES => line,
                _ if lines == MAX_LINES + 1 => "(more is not logged)",
                _ => return,
            };
            let event = Event::new(EventKind::HookOutput, format!("{key}: {text}"));
            monitor.event(&event.with("hook", key).with("number", number));
        });
        if let Err(source) = result {
            judge(hook, HookError { key, number, source }, monitor)?;
        }
    }
    Ok(())
}

/// What the failure of a command means. Whoever gets it as an error tells it.
fn judge(hook: &Hook, error: HookError, monitor: &dyn Monitor) -> Result<(), HookError> {
    match hook.on_failure {
        OnFailure::Error => return Err(error),
        OnFailure::Warn => monitor.event(&error.event(Level::Warn)),
        OnFailure::Ignore => tracing::debug!(error = %chain(&error), "Hook failed"),
    }
    Ok(())
}

impl HookError {
    pub(super) fn event(&self, level: Level) -> Event {
        Event::new(EventKind::HookFailed, chain(self)).at(level).with("hook", self.key).with("number", self.number)
    }
}

fn variables(moment: Moment, news: &News, config: &Config) -> Vec<(&'static str, String)> {
    let exit_code = news.exit_code.map_or_else(String::new, |code| code.to_string());
    vec![
        // So that `afterbackup list` in a hook speaks of the same destinations.
        ("AFTERBACKUP_CONFIG", config.file.display().to_string()),
        ("AFTERBACKUP_EVENT", moment.event().to_owned()),
        ("AFTERBACKUP_SITE", news.sites.join(" ")),
        ("AFTERBACKUP_ARCHIVE", news.archives.join(" ")),
        ("AFTERBACKUP_EXIT_CODE", exit_code),
        ("AFTERBACKUP_MESSAGE", harmless(&news.message)),
    ]
}

/// One line of letters, digits and signs that mean nothing to any shell, PowerShell included, wherever they are put.
fn harmless(text: &str) -> String {
    let replaced = text.chars().map(|c| match c {
        _ if c.is_alphanumeric() || " ._-:/\\@+,=#[]".contains(c) => c,
        '(' => '[',
        ')' => ']',
        ';' => ',',
        _ if c.is_whitespace() || c.is_control() => ' ',
        _ => '_',
    });
    replaced.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_harmless_to_a_shell() {
        let nasty = "a.box\" & calc.exe | x > y %PATH% !x! ^ (z)\r\nline 2";
        assert_eq!(harmless(nasty), "a.box_ _ calc.exe _ x _ y _PATH_ _x_ _ [z]  line 2");
        let names = "`touch owned` $(id) 'a' \u{2019}b\u{2019} ~ * ? {x} ; rm\u{1b}[2J\u{202e}";
        assert_eq!(harmless(names), "_touch owned_ _[id] _a_ _b_ _ _ _ _x_ , rm [2J_");
        assert_eq!(harmless("XYZ-20261122T235900Z is on vault: 2.1 MiB"), "XYZ-20261122T235900Z is on vault: 2.1 MiB");
    }
}
