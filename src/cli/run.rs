//! `afterbackup run`

use super::Program;
use super::exit::Exit;
use super::failure::Failure;
use crate::engine::run::{self, RunError};
use crate::lock::RunLock;
use crate::monitor::{Event, Level, Monitor};

/// Archive the completed snapshot.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(program: &Program<'_>, _args: &Args) -> Result<Exit, Failure> {
    let loaded = program.load()?;
    let _lock = RunLock::take(&loaded.config.lock_file)?;
    let outcome = run::run(&program.context(&loaded)).map_err(|error| match &error {
        RunError::Cancelled => Failure::words(Exit::Cancelled, "cancelled; nothing was archived"),
        RunError::Recipient(_) => Failure::new(Exit::Usage, &error),
        _ => Failure::new(Exit::Failed, &error),
    })?;
    for site in outcome.sites.iter().filter(|site| site.archive.is_none()) {
        for event in site.events() {
            program.console.event(&event);
        }
    }
    let exit = Exit::from(outcome.severity());
    if program.console.is_json() {
        let event = Event::new("finished", Level::Info, "Finished").with("exit-code", exit as u8);
        program.console.event(&event);
    }
    Ok(exit)
}
