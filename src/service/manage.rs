//! Installs the service, starts and stops it, and tells how it is.
//!
//! Installing again changes what is there, so that an account or configuration can be changed and the installer's
//! registration completed. What some versions of Windows do not know (and Wine does not) is a warning, not a failure:
//! the service works without.

use std::ffi::OsString;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use windows_service::service::{
    Service, ServiceAccess, ServiceAction, ServiceActionType, ServiceErrorControl, ServiceExitCode,
    ServiceFailureActions, ServiceFailureResetPeriod, ServiceInfo, ServiceStartType, ServiceState, ServiceStatus,
    ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

use super::{DESCRIPTION, DISPLAY_NAME, NAME, NOT_INSTALLED, ServiceError};
use crate::event_log;

/// Without any progress for so long, a service is not waited for any longer.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(100);
/// What Windows gives as the last exit code of a service that was not started yet.
pub const NEVER_STARTED: u32 = 1077;

/// How the service is to be.
#[derive(Debug)]
pub struct Install {
    /// The program.
    pub program: PathBuf,
    /// The configuration.
    pub config: PathBuf,
    /// The account, when it is not Local System, or not to be changed.
    pub account: Option<String>,
    /// Its password, when it has one.
    pub password: Option<OsString>,
    /// How long it may take to stop.
    pub stop_timeout: Duration,
}

/// What became of an installation.
#[derive(Debug)]
pub struct Installed {
    /// It was there before.
    pub changed: bool,
    /// What did not work, and is no reason not to use it.
    pub warnings: Vec<String>,
}

/// How the service is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// In one word.
    pub state: &'static str,
    /// The process, if there is one.
    pub process: Option<u32>,
    /// The code that it ended with the last time: ours, or one of Win32.
    pub last_exit_code: u32,
    /// The account it runs as.
    pub account: Option<String>,
    /// How it is started.
    pub start: &'static str,
    /// What is started.
    pub command: String,
}

impl Status {
    /// Does it run?
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state == word(ServiceState::Running)
    }
}

/// Installs the service, or changes it.
///
/// # Errors
/// When the service control manager refuses.
pub fn install(install: &Install) -> Result<Installed, ServiceError> {
    let failed = |error| ServiceError::call("install", error);
    let manager = manager(ServiceManagerAccess::CREATE_SERVICE).map_err(failed)?;
    let access = ServiceAccess::QUERY_CONFIG | ServiceAccess::CHANGE_CONFIG | ServiceAccess::START;
    let info = info(install);
    let (service, changed) = match manager.open_service(NAME, access) {
        Ok(service) => {
            service.change_config(&info).map_err(failed)?;
            (service, true)
        }
        Err(windows_service::Error::Winapi(error)) if error.raw_os_error() == Some(NOT_INSTALLED) => {
            (manager.create_service(&info, access).map_err(failed)?, false)
        }
        Err(error) => return Err(failed(error)),
    };
    let mut warnings = Vec::new();
    for (what, result) in extras(&service, install) {
        if let Err(error) = result {
            let error = ServiceError::call(what, error);
            warnings.push(crate::error::chain(&error));
        }
    }
    if let Err(error) = event_log::register(&install.program) {
        warnings.push(format!("cannot register the source of the event log: {error}"));
    }
    Ok(Installed { changed, warnings })
}

fn info(install: &Install) -> ServiceInfo {
    let config = install.config.clone().into_os_string();
    let launch_arguments = vec!["--config".into(), config, "service".into(), "run".into()];
    ServiceInfo {
        name: NAME.into(),
        display_name: DISPLAY_NAME.into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: install.program.clone(),
        launch_arguments,
        dependencies: vec![],
        account_name: install.account.as_ref().map(OsString::from),
        account_password: install.password.clone(),
    }
}

/// What makes it a good service, but is not needed for one.
fn extras(service: &Service, install: &Install) -> Vec<(&'static str, windows_service::Result<()>)> {
    let restart =
        |minutes| ServiceAction { action_type: ServiceActionType::Restart, delay: Duration::from_mins(minutes) };
    let actions = ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(Duration::from_hours(24)),
        reboot_msg: None,
        command: None,
        // The last one is for all that follow.
        actions: Some(vec![restart(1), restart(5), restart(15)]),
    };
    vec![
        ("describe", service.set_description(DESCRIPTION)),
        ("set the recovery of", service.update_failure_actions(actions)),
        // An end with an error code counts as a failure, not only a crash.
        ("set the recovery of", service.set_failure_actions_on_non_crash_failures(true)),
        ("delay the start of", service.set_delayed_auto_start(true)),
        (
            "set the time for shutdown of",
            service.set_preshutdown_timeout(install.stop_timeout + Duration::from_secs(10)),
        ),
    ]
}

/// Stops and removes the service, and the source of the event log.
///
/// # Errors
/// When the service control manager refuses.
pub fn uninstall() -> Result<Vec<String>, ServiceError> {
    match stop() {
        Err(error) if !error.is_already() => return Err(error),
        _ => {}
    }
    let service = open(ServiceAccess::DELETE).map_err(|error| ServiceError::call("remove", error))?;
    service.delete().map_err(|error| ServiceError::call("remove", error))?;
    drop(service);
    let unregistered = event_log::unregister();
    Ok(unregistered.err().map(|error| format!("the source of the event log stays: {error}")).into_iter().collect())
}

/// Starts the service, and waits until it watches.
///
/// # Errors
/// When it does not start.
pub fn start() -> Result<(), ServiceError> {
    let failed = |error| ServiceError::call("start", error);
    let service = open(ServiceAccess::START | ServiceAccess::QUERY_STATUS).map_err(failed)?;
    service.start::<OsString>(&[]).map_err(failed)?;
    wait(&service, ServiceState::Running).map_err(failed)?
}

/// Stops the service, and waits until it has ended.
///
/// # Errors
/// When it does not stop.
pub fn stop() -> Result<(), ServiceError> {
    let failed = |error| ServiceError::call("stop", error);
    let service = open(ServiceAccess::STOP | ServiceAccess::QUERY_STATUS).map_err(failed)?;
    service.stop().map_err(failed)?;
    wait(&service, ServiceState::Stopped).map_err(failed)?
}

/// Tells how the service is.
///
/// # Errors
/// When there is none, or nobody may know.
pub fn status() -> Result<Status, ServiceError> {
    let failed = |error| ServiceError::call("look at", error);
    let service = open(ServiceAccess::QUERY_STATUS | ServiceAccess::QUERY_CONFIG).map_err(failed)?;
    let status = service.query_status().map_err(failed)?;
    let config = service.query_config().map_err(failed)?;
    Ok(Status {
        state: word(status.current_state),
        process: status.process_id.filter(|process| *process != 0),
        last_exit_code: code(&status),
        account: config.account_name.map(|name| name.to_string_lossy().into_owned()),
        start: match config.start_type {
            ServiceStartType::AutoStart => "automatic",
            ServiceStartType::OnDemand => "manual",
            ServiceStartType::Disabled => "disabled",
            _ => "other",
        },
        command: config.executable_path.to_string_lossy().into_owned(),
    })
}

/// Waits while there is progress: a service counts while it starts or stops.
fn wait(service: &Service, wanted: ServiceState) -> windows_service::Result<Result<(), ServiceError>> {
    let (mut seen, mut since) = (None, Instant::now());
    loop {
        let status = service.query_status()?;
        if status.current_state == wanted {
            return Ok(Ok(()));
        }
        if status.current_state == ServiceState::Stopped {
            return Ok(Err(ServiceError::Ended { code: code(&status) }));
        }
        let now = Some((status.current_state, status.checkpoint));
        if now != seen {
            (seen, since) = (now, Instant::now());
        } else if since.elapsed() > PATIENCE {
            return Ok(Err(ServiceError::Stuck { state: word(status.current_state), waited: PATIENCE }));
        }
        thread::sleep(LOOK);
    }
}

fn manager(access: ServiceManagerAccess) -> windows_service::Result<ServiceManager> {
    ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT | access)
}

fn open(access: ServiceAccess) -> windows_service::Result<Service> {
    manager(ServiceManagerAccess::empty())?.open_service(NAME, access)
}

fn code(status: &ServiceStatus) -> u32 {
    match status.exit_code {
        ServiceExitCode::Win32(code) | ServiceExitCode::ServiceSpecific(code) => code,
    }
}

fn word(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Stopped => "stopped",
        ServiceState::StartPending => "starting",
        ServiceState::StopPending => "stopping",
        ServiceState::Running => "running",
        ServiceState::ContinuePending => "continuing",
        ServiceState::PausePending => "pausing",
        ServiceState::Paused => "paused",
    }
}

/// Does an account of this kind have no password of its own? Built-in, virtual and group managed ones have none.
#[must_use]
pub fn has_no_password(account: &str) -> bool {
    let lower = account.to_ascii_lowercase();
    lower.ends_with('$')
        || lower == "localsystem"
        || lower.starts_with("nt authority\\")
        || lower.starts_with("nt service\\")
        || lower == ".\\localsystem"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_without_password_are_known() {
        for account in ["CONTOSO\\gmsa$", "LocalSystem", "NT AUTHORITY\\NetworkService", "NT SERVICE\\afterbackup"] {
            assert!(has_no_password(account), "{account}");
        }
        for account in ["CONTOSO\\svc-archive", ".\\me"] {
            assert!(!has_no_password(account), "{account}");
        }
    }
}
