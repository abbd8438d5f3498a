//! `afterbackup run`

use super::Program;
use super::exit::Exit;
use super::failure::Failure;
use crate::engine::run::{self, RunError};
use crate::lock::RunLock;
use crate::monitor::{Event, Level, Monitor};
use crate::source;

const EXAMPLES: &str = r"Examples:
  afterbackup run
  afterbackup --config /etc/afterbackup/site.toml run
  afterbackup --json run >> run.log";

/// Archive the completed snapshot.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {}

pub(super) fn run(program: &Program<'_>, _args: &Args) -> Result<Exit, Failure> {
    let loaded = program.load()?;
    let _lock = RunLock::take(&loaded.config.lock_file)?;
    let outcome = run::run(&program.context(&loaded)).map_err(|error| match &error {
        RunError::Cancelled => Failure::words(Exit::Cancelled, "cancelled; nothing was archived"),
        RunError::Recipient(_) => Failure::new(Exit::Usage, &error),
        RunError::Source(source::Error::Missing { .. } | source::Error::NotAFolder { .. }) => {
            Failure::new(Exit::Failed, &error).hint(Some(
                "[snapshot] path is the folder that the backup task writes to: is it right, and its disk there?",
            ))
        }
        _ if is_denied(&error) => Failure::new(Exit::Failed, &error).hint(Some(
            "the account that runs afterbackup must be able to read all of it; AfterBackup.bat runs as Local System",
        )),
        _ => Failure::new(Exit::Failed, &error),
    })?;
    let exit = Exit::from(outcome.severity());
    if program.console.is_json() {
        let event = Event::new("finished", Level::Info, "Finished").with("exit-code", exit as u8);
        program.console.event(&event);
    }
    Ok(exit)
}

/// Is a missing right among the causes?
fn is_denied(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .filter_map(|error| error.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}
