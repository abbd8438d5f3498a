//! What the service control manager is told: a pure function of what has happened.
//!
//! Starting and stopping take time, and a service that says nothing for long is given up. So both are reported with a
//! counter that goes up. *Running* is reported when the watcher watches, not before. The end is always reported, also
//! when the watcher hangs in a call of the system while it should stop: a service that just vanishes is taken for a
//! crash, and restarted against the administrator's will.

use std::time::Duration;

use windows_service::service::{ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType};

/// How often a counter goes up.
pub(super) const BEAT: Duration = Duration::from_secs(1);
/// Without a report for so long, the manager may give up.
const WAIT_HINT: Duration = Duration::from_secs(10);

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing, for a [`BEAT`].
    Nothing,
    /// The watcher watches. It takes so long, at most, to stop.
    Watching(Duration),
    /// Somebody has asked it to stop.
    Stop,
    /// It has ended, with an exit code of ours.
    Ended(u8),
}

/// Where the service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Starting { beats: u32 },
    Running { stop_timeout: Duration },
    Stopping { beats: u32, stop_timeout: Duration },
    Stopped { code: u8 },
}

impl Phase {
    pub(super) const BEGIN: Self = Self::Starting { beats: 1 };

    /// What follows.
    pub(super) fn after(self, news: News) -> Self {
        match (self, news) {
            (Self::Stopped { .. }, _) => self,
            (_, News::Ended(code)) => Self::Stopped { code },
            (Self::Starting { beats }, News::Nothing) => Self::Starting { beats: beats + 1 },
            (Self::Starting { .. }, News::Watching(stop_timeout)) => Self::Running { stop_timeout },
            (Self::Running { stop_timeout }, News::Stop) => Self::Stopping { beats: 1, stop_timeout },
            (Self::Stopping { beats, stop_timeout }, News::Nothing) => {
                // The watcher ends the process once its time is over: the last word must come before.
                if (beats + 2) * BEAT > stop_timeout {
                    Self::Stopped { code: 0 }
                } else {
                    Self::Stopping { beats: beats + 1, stop_timeout }
                }
            }
            // Stops are accepted while it runs only; whatever else comes twice changes nothing.
            _ => self,
        }
    }

    /// How it is reported.
    pub(super) fn status(self) -> ServiceStatus {
        let (current_state, checkpoint) = match self {
            Self::Starting { beats } => (ServiceState::StartPending, beats),
            Self::Running { .. } => (ServiceState::Running, 0),
            Self::Stopping { beats, .. } => (ServiceState::StopPending, beats),
            Self::Stopped { .. } => (ServiceState::Stopped, 0),
        };
        let controls_accepted = match self {
            Self::Running { .. } => {
                ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN | ServiceControlAccept::PRESHUTDOWN
            }
            _ => ServiceControlAccept::empty(),
        };
        let exit_code = match self {
            Self::Stopped { code } if code != 0 => ServiceExitCode::ServiceSpecific(code.into()),
            _ => ServiceExitCode::Win32(0),
        };
        let wait_hint = if checkpoint > 0 { WAIT_HINT } else { Duration::ZERO };
        ServiceStatus {
            service_type: ServiceType::OWN_PROCESS,
            current_state,
            controls_accepted,
            exit_code,
            checkpoint,
            wait_hint,
            process_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    fn phases(news: &[News]) -> Phase {
        news.iter().fold(Phase::BEGIN, |phase, news| phase.after(*news))
    }

    #[test]
    fn running_is_reported_when_it_watches_and_not_before() {
        let starting = phases(&[News::Nothing, News::Nothing]).status();
        assert_eq!((starting.current_state, starting.checkpoint), (ServiceState::StartPending, 3));
        assert!(starting.controls_accepted.is_empty());
        let running = phases(&[News::Nothing, News::Watching(TIMEOUT), News::Nothing]).status();
        assert_eq!((running.current_state, running.checkpoint), (ServiceState::Running, 0));
        assert!(running.controls_accepted.contains(ServiceControlAccept::PRESHUTDOWN));
    }

    #[test]
    fn stop_is_reported_until_the_watcher_has_ended() {
        let stopping = phases(&[News::Watching(TIMEOUT), News::Stop, News::Nothing, News::Stop]).status();
        assert_eq!((stopping.current_state, stopping.checkpoint), (ServiceState::StopPending, 2));
        let stopped = phases(&[News::Watching(TIMEOUT), News::Stop, News::Ended(0)]).status();
        assert_eq!((stopped.current_state, stopped.exit_code), (ServiceState::Stopped, ServiceExitCode::NO_ERROR));
    }

    #[test]
    fn failure_is_told_by_its_code() {
        let stopped = phases(&[News::Nothing, News::Ended(2), News::Watching(TIMEOUT)]).status();
        assert_eq!(stopped.exit_code, ServiceExitCode::ServiceSpecific(2));
        assert_eq!(stopped.current_state, ServiceState::Stopped);
    }

    #[test]
    fn watcher_that_hangs_is_reported_as_stopped_before_its_process_ends() {
        let mut phase = phases(&[News::Watching(TIMEOUT), News::Stop]);
        let mut seconds = 0;
        while !matches!(phase, Phase::Stopped { .. }) {
            phase = phase.after(News::Nothing);
            seconds += 1;
        }
        assert!((20..30).contains(&seconds), "{seconds}");
        assert_eq!(phase, Phase::Stopped { code: 0 });
    }
}
