//! The watcher as a Windows service.
//!
//! [`manage`] installs, starts, stops and removes it; [`host`] is what runs when the service control manager starts the
//! program, and keeps it told of the state. What the service does is the watcher's business: it is the same loop that
//! `afterbackup watch` runs.

use std::io;
use std::time::Duration;

pub mod host;
pub mod manage;
mod phase;

/// The name of the service, as `sc.exe` and `net start` take it.
pub const NAME: &str = "afterbackup";
/// The name that people read.
pub const DISPLAY_NAME: &str = "afterbackup";
/// What people read below it.
pub const DESCRIPTION: &str = "Archives every completed backup of the Configuration Manager site to the configured destinations, and watches that none is missed.";

/// What the service control manager, or the service, has refused.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A call failed.
    #[error("cannot {action} the service")]
    Call {
        /// What was to be done, like `start`.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Neither done nor failed.
    #[error("the service is still {state} after {waited:?} without progress")]
    Stuck {
        /// Its state.
        state: &'static str,
        /// How long it was waited for.
        waited: Duration,
    },
    /// It has ended instead of starting.
    #[error("the service has ended with code {code} instead of starting")]
    Ended {
        /// Our exit code, or a Win32 code.
        code: u32,
    },
}

const ACCESS_DENIED: i32 = 5;
const ACCOUNT_UNKNOWN: i32 = 1057;
const NOT_INSTALLED: i32 = 1060;
const NOT_STARTED: i32 = 1062;
const NOT_BY_MANAGER: i32 = 1063;
const LOGON_FAILED: i32 = 1069;
const DELETED: i32 = 1072;
const ALREADY_RUNNING: i32 = 1056;

impl ServiceError {
    pub(crate) fn call(action: &'static str, error: windows_service::Error) -> Self {
        let source = match error {
            windows_service::Error::Winapi(source) => source,
            other => io::Error::other(other),
        };
        Self::Call { action, source }
    }

    fn code(&self) -> Option<i32> {
        match self {
            Self::Call { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    /// Is there no such service?
    #[must_use]
    pub fn is_not_installed(&self) -> bool {
        self.code() == Some(NOT_INSTALLED)
    }

    /// Is it in the wanted state already?
    #[must_use]
    pub fn is_already(&self) -> bool {
        matches!(self.code(), Some(ALREADY_RUNNING | NOT_STARTED))
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match (self, self.code()) {
            (Self::Ended { .. }, _) => "the event log (Application, source afterbackup) and the log file say why",
            (_, Some(ACCESS_DENIED)) => "run this as administrator",
            (_, Some(ACCOUNT_UNKNOWN)) => {
                "write the account as DOMAIN\\name (a group managed one as DOMAIN\\name$), and check its password"
            }
            (_, Some(NOT_INSTALLED)) => "'afterbackup service install' installs it",
            (_, Some(NOT_BY_MANAGER)) => {
                "only the service control manager runs this: use 'afterbackup service start' or 'afterbackup watch'"
            }
            (_, Some(LOGON_FAILED)) => {
                "check the password; the account needs the right \"Log on as a service\" on this server"
            }
            (_, Some(DELETED)) => "it is removed once everything that looks at it, like services.msc, is closed",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The installer registers the service without asking us.
    #[test]
    fn package_registers_the_same_service() {
        let package = include_str!("../../deploy/windows/afterbackup.wxs");
        for attribute in [
            format!("<ServiceInstall Id=\"Service\" Name=\"{NAME}\" DisplayName=\"{DISPLAY_NAME}\""),
            "Arguments=\"service run\"".to_owned(),
            format!("Description=\"{DESCRIPTION}\""),
        ] {
            assert!(package.contains(&attribute), "{attribute}");
        }
    }
}
