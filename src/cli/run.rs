//! `afterbackup run`

use super::Program;
use super::exit::Exit;
use super::failure::Failure;
use crate::engine::error::RunError;
use crate::engine::handover::{self, Turn, TurnError, Working};
use crate::engine::state::{By, LastRun};
use crate::error::chain;
use crate::monitor::{Event, EventKind, Monitor};
use crate::notify::Reporter;
use crate::platform::lock::LockError;
use crate::severity::Severity;
use crate::source;

const EXAMPLES: &str = r"Examples:
  afterbackup run
  afterbackup --config /etc/afterbackup/site.toml run
  afterbackup run --no-wait      (in AfterBackup.bat, where a watcher is resident)
  afterbackup --json run >> run.log

See docs/service.md and docs/monitoring.md.";

/// Archive the completed snapshot.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Hand over to a running watcher, if any, and return immediately
    #[arg(long)]
    no_wait: bool,
    /// Write a full archive, also where a differential one would do
    #[arg(long, conflicts_with = "no_wait")]
    full: bool,
}

pub(super) fn run(program: &Program<'_>, args: &Args) -> Result<Exit, Failure> {
    let mut loaded = program.load()?;
    if args.full {
        loaded.config.differential = None;
    }
    program.trust(&loaded.config)?;
    let context = program.context(&loaded);
    if args.no_wait && handover::hand_over(&context)? {
        let event = Event::new(EventKind::HandedOver, "Handed over to the watcher; see its log for the result");
        program.monitor.event(&event);
        return Ok(finished(program, Exit::Done));
    }
    let turn = if args.no_wait { handover::take_now(&context) } else { handover::take(&context) };
    let turn = turn.inspect_err(|error| {
        // Nothing archives tonight's snapshot if this run does not: status says so until a run ends well.
        let exit = match error {
            TurnError::Lock(LockError::Busy { .. }) => Exit::Busy,
            TurnError::Lock(LockError::Open { .. }) | TurnError::HandOver(_) => Exit::Failed,
            TurnError::Cancelled => return,
        };
        handover::note_end(&context, By::Run, exit as u8, vec![chain(error)]);
    });
    let lock = match turn? {
        Turn::Ours(lock) => lock,
        Turn::Told(runs) => return Ok(finished(program, report(program, &runs))),
    };
    let working = Working::begin(&context, By::Run, &lock);
    let reporter = Reporter::new(context, By::Run);
    reporter.begins().map_err(|error| {
        let hint = "nothing was touched; try the command by hand, or give it on-failure = \"warn\"";
        Failure::new(Exit::Failed, &error).hint(Some(hint))
    })?;
    let result = handover::run_noted(&context, &working);
    let ended = match &result {
        Ok(outcome) => Ok(Exit::from(outcome.severity())),
        Err(error) => Err(failure(error)),
    };
    let exit = ended.as_ref().map_or_else(|failure| failure.exit, |exit| *exit);
    match (ended, reporter.ended(result.as_ref(), exit as u8)) {
        (Ok(Exit::Done), Err(_)) => Ok(finished(program, Exit::Partial)),
        (ended, _) => ended.map(|exit| finished(program, exit)),
    }
}

/// What the watcher did with the same snapshot, as if we had done it.
fn report(program: &Program<'_>, runs: &[LastRun]) -> Exit {
    for run in runs {
        for push in &run.destinations {
            if let Some(reason) = &push.reason {
                let archive = run.archive.as_ref().map_or_else(String::new, ToString::to_string);
                let message = format!("{archive} is not on {}: {reason}", push.name);
                let event = Event::new(EventKind::PushFailed, message).with("archive", archive);
                program.console.event(&event.with("destination", push.name.clone()).with("reason", reason.clone()));
            }
        }
        let message = format!("The watcher did it. {}", run.message);
        let archive = run.archive.as_ref().map(ToString::to_string);
        program.monitor.event(&Event::new(EventKind::DoneByWatcher, message).with("archive", archive));
    }
    let worst = runs.iter().map(|run| Severity::of_exit_code(run.exit_code)).max();
    Exit::from(worst.unwrap_or(Severity::NoSnapshot))
}

fn finished(program: &Program<'_>, exit: Exit) -> Exit {
    if program.console.is_json() {
        let event = Event::new(EventKind::Finished, "Finished").with("exit_code", exit as u8);
        program.console.event(&event);
    }
    exit
}

/// Why there is no outcome, and what to do.
fn failure(error: &RunError) -> Failure {
    match error {
        RunError::Cancelled => Failure::words(Exit::Cancelled, "cancelled; nothing was archived"),
        RunError::Recipient(_) => Failure::new(Exit::Usage, error),
        RunError::Source(source::Error::Missing { .. } | source::Error::NotAFolder { .. }) => {
            Failure::new(Exit::Failed, error).hint(Some(
                "[snapshot] path is the folder that the backup task writes to: is it right, and its disk there?",
            ))
        }
        _ if error.is_denied() => Failure::new(Exit::Failed, error).hint(Some(&RunError::denied_hint())),
        _ => Failure::new(Exit::Failed, error),
    }
}
