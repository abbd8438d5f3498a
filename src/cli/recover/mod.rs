//! `afterbackup recover`: from an archive to a recovered site

use clap::Subcommand;

use super::Program;
use super::exit::Exit;
use super::failure::Failure;

mod answers;
mod check;
mod checklist;
mod drill;
mod found;
mod plan;
mod script;

/// Recover a site.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what recovery from an archive means: data, options of Setup, warnings, a better archive
    Plan(plan::Args),
    /// Write the unattended script for Setup
    Script(Box<script::Args>),
    /// Check an unattended script for Setup
    Check(check::Args),
    /// List what to do before and after Setup, as Markdown or as a page with boxes to tick
    Checklist(checklist::Args),
    /// Fetch an archive to scratch space, check all of it as for a recovery, report, and remove the copy
    Drill(drill::Args),
}

pub(super) fn recover(program: &Program<'_>, args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Plan(args) => plan::plan(program, args),
        Command::Script(args) => script::script(program, args),
        Command::Check(args) => check::check(program, args),
        Command::Checklist(args) => checklist::checklist(program, args),
        Command::Drill(args) => drill::drill(program, args),
    }
}

impl Args {
    /// The name of a command that is recorded.
    pub(super) fn recorded(&self) -> Option<&'static str> {
        match self.command {
            Command::Drill(_) => Some("recover drill"),
            Command::Plan(_) | Command::Script(_) | Command::Check(_) | Command::Checklist(_) => None,
        }
    }
}
