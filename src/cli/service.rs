//! `afterbackup service`: the watcher as a Windows service.
//!
//! Other systems have service managers of their own, for which `deploy/` has a unit; there these commands say so.

use std::path::PathBuf;

#[cfg(not(windows))]
use super::{Program, exit::Exit, failure::Failure};

const EXAMPLES: &str = r"Examples:
  afterbackup service install
  afterbackup service install --account CONTOSO\gmsa-backup$
  afterbackup --config D:\afterbackup\site.toml service install
  afterbackup service start

See docs/service.md.";

/// The watcher as a service.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Install the service or change an existing one, and register the event log source
    Install(Install),
    /// Stop and remove the service; configuration, logs and archives stay
    Uninstall,
    /// Start the service and wait until the watcher is ready
    Start,
    /// Stop the service and wait for its end
    Stop,
    /// Show whether it runs, and as which account; exits with 1 if it does not run
    Status,
    /// What the service control manager starts
    #[command(hide = true)]
    Run,
}

#[derive(Debug, clap::Args)]
struct Install {
    /// Run as this account [default: Local System]: DOMAIN\name, or DOMAIN\name$ for a group managed service account
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Environment variable that contains the account's password
    #[arg(long, value_name = "VARIABLE", requires = "account", conflicts_with = "password_file")]
    password_env: Option<String>,
    /// File that contains only the account's password
    #[arg(long, value_name = "FILE", requires = "account")]
    password_file: Option<PathBuf>,
}

impl Args {
    /// Was the program started by the service control manager?
    pub(super) fn is_service(&self) -> bool {
        matches!(self.action, Action::Run)
    }
}

#[cfg(not(windows))]
pub(super) fn service(_program: &Program<'_>, args: &Args) -> Result<Exit, Failure> {
    // Named, so that nothing in them is unused here.
    if let Action::Install(Install { account: _, password_env: _, password_file: _ }) = &args.action {}
    Err(Failure::words(Exit::Usage, "'service' works on Windows only").hint(Some(
        "here systemd keeps the watcher running: see deploy/afterbackup.service, which runs 'afterbackup watch'",
    )))
}

#[cfg(windows)]
pub(super) use self::on_windows::service;

#[cfg(windows)]
mod on_windows {
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};

    use super::{Action, Args, Install};
    use crate::cli::exit::Exit;
    use crate::cli::failure::Failure;
    use crate::cli::{Program, watch};
    use crate::config;
    use crate::service::manage::{self, Status};
    use crate::service::{ServiceError, host};

    pub(in crate::cli) fn service(program: &Program<'_>, args: &Args) -> Result<Exit, Failure> {
        match &args.action {
            Action::Install(args) => install(program, args),
            Action::Uninstall => {
                for warning in manage::uninstall()? {
                    program.console.warn(&warning);
                }
                program.console.result("Removed the service\n");
                Ok(Exit::Done)
            }
            Action::Start => already(program, manage::start(), "Started the service: it watches", "It runs already"),
            Action::Stop => already(program, manage::stop(), "Stopped the service", "It does not run"),
            Action::Status => status(program),
            Action::Run => run(program),
        }
    }

    fn already(
        program: &Program<'_>,
        result: Result<(), ServiceError>,
        done: &str,
        already: &str,
    ) -> Result<Exit, Failure> {
        let said = match result {
            Ok(()) => done,
            Err(error) if error.is_already() => already,
            Err(error) => return Err(error.into()),
        };
        program.console.result(&format!("{said}\n"));
        Ok(Exit::Done)
    }

    fn install(program: &Program<'_>, args: &Install) -> Result<Exit, Failure> {
        // A service that cannot start is found out at three in the morning: better now.
        let config = program.config()?;
        let settings = manage::Install {
            program: std::env::current_exe().map_err(|error| Failure::new(Exit::Failed, &error))?,
            // The service has not the environment of whoever installs it, and might find another one.
            config: absolute(&config.file)?,
            account: args.account.clone(),
            password: password(args)?,
            stop_timeout: config.watch.stop_timeout,
        };
        let installed = manage::install(&settings)?;
        for warning in &installed.warnings {
            program.console.warn(warning);
        }
        let done = if installed.changed { "Changed" } else { "Installed" };
        program.console.result(&format!("{done} the service\n"));
        program.console.note("'afterbackup service start' starts it; from now on it starts with Windows.");
        if args.account.as_deref().is_some_and(|account| !account.to_ascii_lowercase().starts_with("nt ")) {
            program.console.note("The account needs the right \"Log on as a service\" on this server.");
        }
        Ok(Exit::Done)
    }

    fn absolute(path: &Path) -> Result<PathBuf, Failure> {
        std::path::absolute(path).map_err(|error| Failure::new(Exit::Failed, &error))
    }

    /// The account's password. It is never an argument: those can be seen by everybody on the computer.
    fn password(args: &Install) -> Result<Option<OsString>, Failure> {
        let Some(account) = &args.account else { return Ok(None) };
        let password = match (&args.password_env, &args.password_file) {
            (Some(name), _) => Some(std::env::var(name).map_err(|_| {
                Failure::words(Exit::Usage, format!("the environment variable {name} has no password in it"))
            })?),
            (None, Some(path)) => Some(config::read_secret(path).map_err(|why| {
                Failure::words(Exit::Usage, format!("cannot take the password from {}: {why}", path.display()))
            })?),
            (None, None) => None,
        };
        if password.is_none() && !manage::has_no_password(account) {
            let hint = "name its place: --password-env VARIABLE or --password-file FILE; an account that Windows manages (DOMAIN\\name$) has none";
            return Err(Failure::words(Exit::Usage, format!("{account} has a password")).hint(Some(hint)));
        }
        Ok(password.map(OsString::from))
    }

    fn status(program: &Program<'_>) -> Result<Exit, Failure> {
        let status = manage::status()?;
        if program.console.is_json() {
            program.console.document(&status);
        } else {
            program.console.result(&describe(&status));
        }
        Ok(if status.is_running() { Exit::Done } else { Exit::Failed })
    }

    fn describe(status: &Status) -> String {
        let process = status.process.map(|process| format!(" (process {process})")).unwrap_or_default();
        let ended = match status.last_exit_code {
            0 => String::new(),
            manage::NEVER_STARTED => "it was not started yet\n".to_owned(),
            code => format!("ended with:  code {code}\n"),
        };
        let account = status.account.as_deref().unwrap_or("LocalSystem");
        format!(
            "service:     {}{process}\n{ended}account:     {account}\nstart:       {}\nprogram:     {}\n",
            status.state, status.start, status.command
        )
    }

    /// The watcher, for the service control manager.
    fn run(program: &Program<'_>) -> Result<Exit, Failure> {
        let mut result = Ok(Exit::Done);
        host::host(program.cancel, |ready| {
            result = program.load().and_then(|loaded| {
                let stop_timeout = loaded.config.watch.stop_timeout;
                watch::resident(program, &loaded, || ready.watching(stop_timeout))
            });
            // Before the manager hears of it, so that whoever looks finds the reason.
            if let Err(failure) = &result {
                program.records.failure(failure, program.console);
            }
            match &result {
                Ok(exit) => *exit as u8,
                Err(failure) => failure.exit as u8,
            }
        })?;
        result
    }

    impl From<ServiceError> for Failure {
        fn from(error: ServiceError) -> Self {
            Self::new(Exit::Failed, &error).hint(error.hint())
        }
    }
}
