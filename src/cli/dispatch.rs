//! From the arguments to a command, and from what became of it to an exit code.

use std::sync::{Arc, OnceLock};

use clap::{Parser, Subcommand};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::console::{Console, Style};
use super::exit::{self, Exit};
use super::records::Records;
use super::{
    Global, Program, check_db, fetch, generate, init, list, pin, prune, recover, run, service, show, status, verify,
    watch,
};
use crate::cancel::Cancel;
use crate::clock::SystemClock;
use crate::monitor::Tee;
use crate::program_log::Slot;

/// Keep the history of Configuration Manager site backups
#[derive(Debug, Parser)]
#[command(name = "afterbackup", version, after_help = exit::help(), propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented configuration, and the AfterBackup.bat that uses it
    Init(init::Args),
    /// Archive the completed snapshot to all destinations and prune: what AfterBackup.bat calls
    #[command(visible_alias = "backup")]
    Run(run::Args),
    /// Stay resident and archive every snapshot when it is complete
    Watch(watch::Args),
    /// List archives: age, size, databases, destinations, pins
    #[command(visible_aliases = ["ls", "snapshots"])]
    List(list::Args),
    /// Show the details of an archive, or list its files
    Show(show::Args),
    /// Get files back: unpack all or some into a folder, each checked against its SHA-256
    #[command(visible_alias = "restore")]
    Fetch(fetch::Args),
    /// Read archives back and compare every file with its SHA-256
    Verify(verify::Args),
    /// Remove what the retention policy does not keep
    Prune(prune::Args),
    /// Show the health of the backups: newest archives, overdue sites, problems
    Status(status::Args),
    /// Check the page checksums of SQL Server files: .mdf, .ndf, .ldf, .bak, .trn
    CheckDb(check_db::Args),
    /// Recover a site: plan, script for Setup, check of a script, checklist, drill
    Recover(recover::Args),
    /// Exempt an archive from pruning
    Pin(pin::PinArgs),
    /// Make an archive subject to pruning again
    Unpin(pin::UnpinArgs),
    /// Run the watcher as a Windows service
    Service(service::Args),
    /// Print a completion script for a shell
    Completions(generate::Completions),
    /// Print the manual page of the program or of a command
    Man(generate::Man),
}

impl Command {
    /// The name of a command that is recorded.
    pub(super) fn recorded(&self) -> Option<&'static str> {
        match self {
            Self::Run(_) => Some("run"),
            Self::Watch(_) => Some("watch"),
            Self::Prune(args) if !args.is_dry_run() => Some("prune"),
            Self::Verify(_) => Some("verify"),
            Self::Fetch(_) => Some("fetch"),
            Self::Recover(args) => args.recorded(),
            Self::Pin(_) => Some("pin"),
            Self::Unpin(_) => Some("unpin"),
            Self::Service(args) if args.is_service() => Some("service"),
            _ => None,
        }
    }

    /// Was the program started by the service control manager?
    pub(super) fn is_service(&self) -> bool {
        matches!(self, Self::Service(args) if args.is_service())
    }
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
    let Global { json, quiet, verbose, .. } = cli.global;
    let times = matches!(cli.command, Command::Watch(_));
    let console = Arc::new(Console::new(Style { json, quiet, verbose: verbose > 0, times }));
    let slot = Slot::default();
    log(cli.global.verbose, cli.global.quiet, &slot);
    let records = Records::new(cli.command.recorded(), slot);
    let monitor = Tee::default();
    monitor.add(Arc::<Console>::clone(&console));
    monitor.add(records.listeners());
    let cancel = Cancel::new();
    // A service hears of everybody who logs off, which must not end it; the service control manager asks in its own
    // way.
    if !cli.command.is_service() {
        let on_signal = cancel.clone();
        // Without a handler Ctrl-C just ends the process, which is safe too.
        drop(ctrlc::set_handler(move || {
            on_signal.cancel();
            crate::stop_point::interrupted();
        }));
    }
    let program = Program {
        global: &cli.global,
        console: &console,
        monitor: &monitor,
        records: &records,
        cancel: &cancel,
        clock: &SystemClock,
        settings: OnceLock::new(),
    };
    let result = match &cli.command {
        Command::Init(args) => init::init(&program, args),
        Command::Run(args) => run::run(&program, args),
        Command::Watch(args) => watch::watch(&program, args),
        Command::List(args) => list::list(&program, args),
        Command::Show(args) => show::show(&program, args),
        Command::Fetch(args) => fetch::fetch(&program, args),
        Command::Verify(args) => verify::verify(&program, args),
        Command::Prune(args) => prune::prune(&program, args),
        Command::Status(args) => status::status(&program, args),
        Command::CheckDb(args) => check_db::check_db(&program, args),
        Command::Recover(args) => recover::recover(&program, args),
        Command::Pin(args) => pin::pin(&program, args),
        Command::Unpin(args) => pin::unpin(&program, args),
        Command::Service(args) => service::service(&program, args),
        Command::Completions(args) => generate::completions(&program, args, command()),
        Command::Man(args) => generate::man(&program, args, command()),
    };
    let exit = match &result {
        Ok(exit) => *exit,
        Err(failure) => {
            console.failure(failure);
            if cancel.is_cancelled() { Exit::Cancelled } else { failure.exit }
        }
    };
    // What was to be printed is the result of most commands: a script must not take half of it for all.
    let exit = match console.output_error() {
        Some(error) if exit != Exit::Cancelled => {
            console.warn(&format!("cannot write to standard output: {error}"));
            if exit == Exit::Done { Exit::Failed } else { exit }
        }
        _ => exit,
    };
    records.end(&result, exit, &console);
    exit
}

/// Sends what the library traces to standard error, and to the log file once it is open.
fn log(verbose: u8, quiet: bool, slot: &Slot) {
    let filter = match verbose {
        _ if quiet => "error",
        0 | 1 => "warn",
        _ => "warn,afterbackup=trace",
    };
    let console = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(verbose > 1)
        .without_time()
        .with_filter(tracing_subscriber::EnvFilter::new(filter));
    // Only a second call in one process fails, and then the first one's log is there.
    tracing_subscriber::registry().with(console).with(slot.layer()).try_init().ok();
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
