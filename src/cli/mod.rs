//! The command line: arguments in, one exit code out.
//!
//! Results go to standard output, everything else to standard error, so that output can be piped. Each command has a
//! file; nothing but these files prints.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use self::console::Console;
pub use self::dispatch::{Cli, main};
pub use self::exit::Exit;
use self::failure::Failure;
use self::records::Records;
use crate::cancel::Cancel;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::destination::Target;
use crate::engine::context::Context;
use crate::engine::state::StateFile;
use crate::monitor::{Event, EventKind, Tee};
use crate::platform::trust;

mod check_db;
mod console;
mod dispatch;
mod exit;
mod failure;
mod fetch;
mod fetch_raw;
mod file_args;
mod generate;
mod init;
mod list;
mod pin;
mod place;
pub mod plan_table;
mod prune;
mod records;
mod recover;
mod run;
mod service;
mod show;
mod status;
#[cfg(unix)]
mod systemd;
mod table;
mod verify;
mod watch;

const CONFIG_HELP: &str = r"Use this configuration [default: the file named in the environment variable AFTERBACKUP_CONFIG, else afterbackup.toml in %ProgramData%\afterbackup or /etc/afterbackup]";

#[derive(Debug, clap::Args)]
struct Global {
    #[arg(long, short, global = true, value_name = "FILE", help_heading = "Global options", help = CONFIG_HELP)]
    config: Option<PathBuf>,
    /// Print JSON: one document; for run and watch, one event per line
    #[arg(long, global = true, help_heading = "Global options")]
    json: bool,
    /// Print more: evidence, lists, times and rates (twice: traces for developers)
    #[arg(long, short, global = true, hide_short_help = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    verbose: u8,
    /// Print nothing but warnings, errors and results
    #[arg(
        long,
        short,
        global = true,
        hide_short_help = true,
        conflicts_with = "verbose",
        help_heading = "Global options"
    )]
    quiet: bool,
}

/// What every command has.
struct Program<'a> {
    global: &'a Global,
    console: &'a Arc<Console>,
    /// Everybody who hears of events: the console, and what is written down.
    monitor: &'a Tee,
    records: &'a Records,
    cancel: &'a Cancel,
    clock: &'a dyn Clock,
    /// What commands that read archives take from the configuration, if one was read.
    settings: OnceLock<Settings>,
}

struct Settings {
    state: StateFile,
}

/// The configuration and its destinations, ready for use.
struct Loaded {
    config: Config,
    targets: Vec<Target>,
}

impl Program<'_> {
    /// Reads the configuration.
    fn config(&self) -> Result<Config, Failure> {
        let env = |name: &str| std::env::var(name).ok();
        let file = config::locate(self.global.config.as_deref(), &env)?;
        let config = Config::load(&file, &env).inspect_err(|error| {
            if let Some(log) = &error.log {
                self.records.open(log, self.console);
            }
        })?;
        self.records.open(&config.log, self.console);
        self.settings.get_or_init(|| Settings { state: StateFile::of(&config) });
        for warning in &config.warnings {
            self.console.warn(warning);
            self.records.event(&Event::new(EventKind::Warning, warning.clone()));
        }
        Ok(config)
    }

    /// Runs no commands of a configuration, and no programs that it names, that others can change: as root they would
    /// have the highest rights. A configuration without commands, and other accounts, are warned.
    fn trust(&self, config: &Config) -> Result<(), Failure> {
        let runs_as_root = trust::is_privileged() && config.commands().next().is_some();
        let programs = config.commands().filter_map(trust::program_of);
        for found in std::iter::once(config.file.as_path()).chain(programs).filter_map(trust::untrusted) {
            let hint = format!("take that right away: {}", found.repair);
            if runs_as_root {
                let message = format!("{}, and its commands would be run as root", found.what);
                return Err(Failure::words(Exit::Usage, message).hint(Some(&hint)));
            }
            self.console.warn(&format!("{}, who decides what is archived, and where", found.what));
            self.console.hint(Some(&hint));
        }
        Ok(())
    }

    /// What the configuration says that is archived, if there is one that can be read.
    fn configured_kind(&self) -> Option<config::SnapshotKind> {
        let env = |name: &str| std::env::var(name).ok();
        let file = config::locate(self.global.config.as_deref(), &env).ok()?;
        Config::load(&file, &env).ok().map(|config| config.snapshot.kind)
    }

    /// Is there no configuration that could know this name? Then it can only be a folder.
    fn has_no_config(&self, name: &str) -> bool {
        let env = |name: &str| std::env::var(name).ok();
        config::locate(self.global.config.as_deref(), &env).is_err() && std::path::Path::new(name).is_dir()
    }

    /// Reads the configuration.
    fn load(&self) -> Result<Loaded, Failure> {
        Ok(self.loaded(self.config()?))
    }

    /// A configuration with its destinations.
    fn loaded(&self, config: Config) -> Loaded {
        let targets = Target::all(&config, self.cancel);
        Loaded { config, targets }
    }

    fn context<'c>(&'c self, loaded: &'c Loaded) -> Context<'c> {
        Context {
            config: &loaded.config,
            targets: &loaded.targets,
            clock: self.clock,
            monitor: self.monitor,
            cancel: self.cancel,
        }
    }
}

/// All cores, for commands that read archives.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
