//! The command line: arguments in, one exit code out.
//!
//! Results go to standard output, everything else to standard error, so that output can be piped. Each command has a
//! file; nothing but these files prints.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use self::console::Console;
pub use self::exit::Exit;
use self::failure::Failure;
use crate::cancel::Cancel;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config};
use crate::destination::{self, Destination};
use crate::engine::run::Context;

mod console;
mod exit;
mod failure;
mod fetch;
mod generate;
mod init;
mod list;
mod pin;
mod place;
mod prune;
mod run;
mod show;
mod table;
mod verify;

/// Keep the history of Configuration Manager site backups
#[derive(Debug, Parser)]
#[command(name = "afterbackup", version, after_help = exit::HELP, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Args)]
struct Global {
    /// Read this configuration [default: `AFTERBACKUP_CONFIG`, then afterbackup.toml in %ProgramData%\afterbackup or /etc/afterbackup]
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write results as JSON: one document, or for `run` one event a line
    #[arg(long, global = true)]
    json: bool,
    /// Say more (twice: for developers)
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Say nothing but warnings, errors and results
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented configuration to begin with
    Init(init::Args),
    /// Archive the completed snapshot to all destinations, verify, prune: what AfterBackup.bat calls
    Run(run::Args),
    /// List archives: age, size, which destinations have them, their databases, pins
    List(list::Args),
    /// Show what is known of an archive, or the files in it
    Show(show::Args),
    /// Get files back: download, check against their SHA-256, unpack
    Fetch(fetch::Args),
    /// Read archives back and compare everything with what was archived
    Verify(verify::Args),
    /// Remove what the retention policy does not keep
    Prune(prune::Args),
    /// Exempt an archive from pruning
    Pin(pin::PinArgs),
    /// Make an archive subject to pruning again
    Unpin(pin::UnpinArgs),
    /// Print a completion script for a shell
    Completions(generate::Completions),
    /// Print the manual page
    Man(generate::Man),
}

/// Runs the program and says how it ended.
#[must_use]
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; a closed pipe is nobody's fault.
            drop(error.print());
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    let console = Console::new(cli.global.json, cli.global.quiet);
    let cancel = Cancel::new();
    let on_signal = cancel.clone();
    // Without a handler Ctrl-C just ends the process, which is safe too.
    drop(ctrlc::set_handler(move || on_signal.cancel()));
    let program = Program { global: &cli.global, console: &console, cancel: &cancel, clock: &SystemClock };
    let result = match &cli.command {
        Command::Init(args) => init::init(&program, args),
        Command::Run(args) => run::run(&program, args),
        Command::List(args) => list::list(&program, args),
        Command::Show(args) => show::show(&program, args),
        Command::Fetch(args) => fetch::fetch(&program, args),
        Command::Verify(args) => verify::verify(&program, args),
        Command::Prune(args) => prune::prune(&program, args),
        Command::Pin(args) => pin::pin(&program, args),
        Command::Unpin(args) => pin::unpin(&program, args),
        Command::Completions(args) => generate::completions(&program, args),
        Command::Man(args) => generate::man(&program, args),
    };
    match result {
        Ok(exit) => exit,
        Err(failure) => {
            console.failure(&failure);
            if cancel.is_cancelled() { Exit::Cancelled } else { failure.exit }
        }
    }
}

/// What every command has.
struct Program<'a> {
    global: &'a Global,
    console: &'a Console,
    cancel: &'a Cancel,
    clock: &'a dyn Clock,
}

/// The configuration and its destinations, ready for use.
struct Loaded {
    config: Config,
    destinations: Vec<Arc<dyn Destination>>,
}

impl Program<'_> {
    /// Reads the configuration.
    fn config(&self) -> Result<Config, Failure> {
        let env = |name: &str| std::env::var(name).ok();
        let file = config::locate(self.global.config.as_deref(), &env)?;
        let config = Config::load(&file, &env)?;
        for warning in &config.warnings {
            self.console.warn(warning);
        }
        Ok(config)
    }

    /// Reads the configuration and opens its destinations.
    fn load(&self) -> Result<Loaded, Failure> {
        let config = self.config()?;
        let opened: Result<Vec<_>, destination::Error> =
            config.destinations.iter().map(|one| destination::open(one, self.cancel).map(Arc::from)).collect();
        let destinations = opened.map_err(|error| Failure::new(Exit::Usage, &error).hint(error.hint()))?;
        Ok(Loaded { config, destinations })
    }

    fn context<'c>(&'c self, loaded: &'c Loaded) -> Context<'c> {
        Context {
            config: &loaded.config,
            destinations: &loaded.destinations,
            clock: self.clock,
            monitor: self.console,
            cancel: self.cancel,
        }
    }
}

/// All cores, for commands that read archives.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The whole command line, for completions, the manual page and the test of its consistency.
fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
