//! What the backup task's log tells: the one that the configuration names, and copies in snapshots.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::task_log::{self, Error, Follower, Runs};
use crate::config;
use crate::name::SiteCode;

/// What a log tells.
#[derive(Debug, Clone)]
pub enum LogEvidence {
    /// There is none, or none is configured.
    Absent,
    /// It could not be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It was read.
    Read {
        /// Which.
        path: PathBuf,
        /// Is it the copy in the snapshot? Then it ends where the run stood when it was copied.
        copy: bool,
        /// Its runs.
        runs: Runs,
    },
}

impl LogEvidence {
    /// Why the snapshot of a site, or of any, is to be left alone: the log tells of a run without an end. A copy in the
    /// snapshot ends where the run stood when it was copied, and cannot tell.
    #[must_use]
    pub fn at_work(&self, site: Option<SiteCode>) -> Option<String> {
        let Self::Read { copy: false, runs, .. } = self else { return None };
        let run = match site {
            Some(site) => runs.last(site),
            None => runs.iter().next_back(),
        };
        run.filter(|run| matches!(run.outcome, task_log::Outcome::Running | task_log::Outcome::Interrupted))
            .map(at_work)
    }

    /// What is wrong with the configured log: it cannot be read, is not that of the backup task, or tells of no backup
    /// of any of these sites.
    #[must_use]
    pub fn fault(&self, sites: &BTreeSet<SiteCode>) -> Option<String> {
        match self {
            Self::Unreadable { path, reason } => {
                Some(format!("the backup task's log {} cannot be read: {reason}", path.display()))
            }
            Self::Read { path, copy: false, runs } if runs.is_foreign() => Some(format!(
                "{} is not the log of the backup task: there is no message of SMS_SITE_BACKUP in it",
                path.display()
            )),
            Self::Read { path, copy: false, runs }
                if !sites.is_empty() && sites.iter().all(|site| runs.last(*site).is_none()) =>
            {
                let sites: Vec<&str> = sites.iter().map(SiteCode::as_str).collect();
                Some(format!(
                    "{} tells of no backup of site {}: is it the log of the server whose backup task writes the snapshot?",
                    path.display(),
                    sites.join(", ")
                ))
            }
            Self::Absent | Self::Read { .. } => None,
        }
    }

    pub(super) fn tells_of(&self, site: SiteCode) -> bool {
        matches!(self, Self::Read { runs, .. } if runs.last(site).is_some())
    }
}

/// A run without an end, in words.
pub(super) fn at_work(run: &task_log::Run) -> String {
    let since = run.started_at().map_or(String::new(), |at| format!(" at {at}"));
    format!("the log shows a backup that began{since} and has not finished: it is running, or was aborted")
}

/// The configured log, if there is one: read once, and then followed.
#[derive(Debug, Clone)]
pub struct ConfiguredLog(Option<Follower>);

impl ConfiguredLog {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(config: &config::Snapshot) -> Self {
        Self(config.log.as_ref().map(Follower::new))
    }

    /// What it tells now.
    #[must_use]
    pub fn read(&mut self) -> LogEvidence {
        self.0.as_mut().map_or(LogEvidence::Absent, |follower| read(follower, false))
    }

    /// Did it tell anything new since it was read? One that cannot be read now says nothing, and may later.
    pub fn poll(&mut self) -> bool {
        self.0.as_mut().is_some_and(|follower| follower.poll().unwrap_or(false))
    }

    /// The runs that were read so far. `None` if no log is configured.
    #[must_use]
    pub fn runs(&self) -> Option<Runs> {
        self.0.as_ref().map(Follower::runs)
    }
}

/// Reads the configured log. Without one, [`gather`](super::gather) takes the copy in the snapshot.
#[must_use]
pub fn read_log(config: &config::Snapshot) -> LogEvidence {
    ConfiguredLog::new(config).read()
}

pub(super) fn read_copy(path: &Path) -> LogEvidence {
    read(&mut Follower::new(path), true)
}

fn read(follower: &mut Follower, copy: bool) -> LogEvidence {
    match follower.poll() {
        Ok(_) => LogEvidence::Read { path: follower.path().to_path_buf(), copy, runs: follower.runs() },
        Err(error) if error.is_not_found() && copy => LogEvidence::Absent,
        Err(Error::Read { path, source }) => LogEvidence::Unreadable { path, reason: source.to_string() },
    }
}
