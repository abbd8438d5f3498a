//! The commands of supplemental entries: `before` writes what is to be archived, such as a key or a backup of a
//! database, and `after` tidies up.
//!
//! A command that fails is that entry's failure: what there is of it is archived all the same, the run says so and ends
//! with 3. The archive of the site never waits for more than the time-outs.

use std::time::Duration;

use crate::config::{CommandLine, Supplemental};
use crate::engine::context::Context;
use crate::engine::error::RunError;
use crate::error::chain;
use crate::monitor::{Event, EventKind};
use crate::platform::command::{CommandError, Shell};

/// Of a command that prints more lines, the rest is not logged.
const MAX_LINES: usize = 1000;
/// After a request to stop, a command that tidies up gets this long.
const AFTER_CANCEL: Duration = Duration::from_secs(10);

/// Runs the commands `before`. What failed, in words.
pub(in crate::engine) fn before(context: &Context<'_>) -> Result<Vec<String>, RunError> {
    let mut faults = Vec::new();
    for (entry, line) in with(context, |entry| entry.before.as_ref()) {
        match run(context, entry, "before", line) {
            Err(CommandError::Cancelled) => return Err(RunError::Cancelled),
            result => faults.extend(fault(entry, "before", result)),
        }
    }
    Ok(faults)
}

/// Runs the commands `after`, also when the run is asked to stop. What failed, in words.
pub(in crate::engine) fn after(context: &Context<'_>) -> Vec<String> {
    let after = with(context, |entry| entry.after.as_ref());
    after.filter_map(|(entry, line)| fault(entry, "after", run(context, entry, "after", line))).collect()
}

fn with<'a>(
    context: &Context<'a>,
    command: impl Fn(&'a Supplemental) -> Option<&'a CommandLine>,
) -> impl Iterator<Item = (&'a Supplemental, &'a CommandLine)> {
    context.config.supplemental.iter().filter_map(move |entry| Some((entry, command(entry)?)))
}

fn fault(entry: &Supplemental, key: &str, result: Result<(), CommandError>) -> Option<String> {
    let error = result.err()?;
    Some(format!("supplemental '{}': its command {key} {}", entry.name, chain(&error)))
}

fn run(context: &Context<'_>, entry: &Supplemental, key: &str, line: &CommandLine) -> Result<(), CommandError> {
    let tidies = key == "after";
    let timeout = if tidies && context.cancel.is_cancelled() { entry.timeout.min(AFTER_CANCEL) } else { entry.timeout };
    let variables =
        [("AFTERBACKUP_EVENT", format!("supplemental-{key}")), ("AFTERBACKUP_SUPPLEMENTAL", entry.name.clone())];
    let folder = context.config.folder_of_commands();
    let without = context.config.secret_variables();
    let shell = Shell { line: &line.0, folder: &folder, variables: &variables, without: &without, timeout };
    let mut lines = 0;
    shell.run((!tidies).then_some(context.cancel), &mut |line| {
        lines += 1;
        let text = match lines {
            1..=MAX_LINES => line,
            _ if lines == MAX_LINES + 1 => "(more is not logged)",
            _ => return,
        };
        let event = Event::new(EventKind::HookOutput, format!("supplemental '{}', {key}: {text}", entry.name));
        context.tell(&event.with("supplemental", entry.name.clone()));
    })
}
