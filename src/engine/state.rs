//! What the last runs did, and what verification found, in a file beside the lock: one for each configuration.
//!
//! Three things ask for it: `status`, a one-shot that finds the watcher at work on its snapshot and reports what came
//! of it, and a watcher that is started again. Nothing in it is needed to list or restore archives, and nothing is
//! decided by it that could lose one.
//!
//! It is written as a new file that replaces the old one, so readers need no lock and never see half of it. Writers
//! keep each other out by a lock of their own, which nobody holds for longer than a moment: `verify` writes while a run
//! holds the run lock.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::engine::outcome::{DestinationResult, SiteOutcome};
use crate::name::{ArchiveId, SiteCode};
use crate::platform::lock::{self, LockError, RunLock};
use crate::platform::private;

/// Larger files are none of ours.
const MAX_BYTES: u64 = 1 << 22;
/// More findings than this say no more than these.
const MAX_FINDINGS: usize = 1000;
/// Tries to get the writers' lock, which takes about 50 ms each.
const TRIES: u32 = 100;

/// What is known of the last runs of a configuration on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "snake_case")]
pub struct State {
    /// The last run, whatever it came to, also where it did not begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<Ended>,
    /// The last run that came to each site.
    pub sites: BTreeMap<SiteCode, LastRun>,
    /// When archives were last verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Timestamp>,
    /// The damage that verification found and that nothing has disproved since.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Ended {
    /// Who began it.
    pub by: By,
    /// When it ended.
    pub finished: Timestamp,
    /// The exit code, hooks included.
    pub exit_code: u8,
    /// What went wrong, a sentence each.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// Damage that `verify` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Finding {
    /// In which archive.
    pub archive: ArchiveId,
    /// On which destination.
    pub destination: String,
    /// When.
    pub found: Timestamp,
    /// The first damage, in words.
    pub problem: String,
    /// How it was found.
    pub extent: Extent,
}

/// How much of an archive was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// Every file.
    Full,
    /// The stored bytes, without a look inside.
    Stored,
    /// A part.
    #[serde(other)]
    Sample,
}

impl Extent {
    /// Does a good result of this extent disprove damage that was found with the other?
    fn disproves(self, found: Self) -> bool {
        self == Self::Full || self == Self::Stored && found == Self::Stored
    }
}

impl State {
    /// Remembers that an archive was verified, and what was wrong with it.
    pub fn verified(
        &mut self,
        archive: &ArchiveId,
        destination: &str,
        extent: Extent,
        problem: Option<&str>,
        at: Timestamp,
    ) {
        self.verified = Some(at);
        let same = |one: &Finding| one.archive == *archive && one.destination == destination;
        match problem {
            None => self.findings.retain(|one| !(same(one) && extent.disproves(one.extent))),
            Some(problem) => {
                self.findings.retain(|one| !same(one));
                self.findings.push(Finding {
                    archive: archive.clone(),
                    destination: destination.to_owned(),
                    found: at,
                    problem: problem.to_owned(),
                    extent,
                });
                let excess = self.findings.len().saturating_sub(MAX_FINDINGS);
                self.findings.drain(..excess);
            }
        }
    }
}

/// Who begins runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// `run`
    Run,
    /// `watch`, or the service
    Watch,
    /// A later version's way.
    #[serde(other)]
    Other,
}

/// How the last run of a site ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct LastRun {
    /// The archive, if it came to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<ArchiveId>,
    /// Who began it.
    pub by: By,
    /// When it ended.
    pub finished: Timestamp,
    /// The exit code that tells of this site.
    pub exit_code: u8,
    /// How it ended, in a sentence.
    pub message: String,
    /// What went wrong, a sentence each.
    #[serde(default)]
    pub problems: Vec<String>,
    /// What became of each destination.
    #[serde(default)]
    pub destinations: Vec<LastPush>,
}

/// What became of a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct LastPush {
    /// Its name.
    pub name: String,
    /// Does it have the archive?
    pub has_archive: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl LastRun {
    /// Sums up what became of a site.
    #[must_use]
    pub fn new(outcome: &SiteOutcome, by: By, finished: Timestamp, exit_code: u8) -> Self {
        let destinations = outcome.destinations.iter().map(|one| LastPush {
            name: one.name.clone(),
            has_archive: one.result.has_archive(),
            reason: match &one.result {
                DestinationResult::Failed { reason, .. } => Some(reason.clone()),
                _ => None,
            },
        });
        Self {
            archive: outcome.archive.clone(),
            by,
            finished,
            exit_code,
            message: outcome.events().pop().map(|event| event.message).unwrap_or_default(),
            problems: outcome.problems(),
            destinations: destinations.collect(),
        }
    }
}

/// The file of a [`State`].
#[derive(Debug, Clone)]
pub struct StateFile(PathBuf);

impl StateFile {
    /// The one of a configuration. Where several configurations name the same lock file, each has its own.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self(lock::beside(&config.lock_file, &format!(".{}.state", config.key())))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What is known.
    ///
    /// # Errors
    /// When there is a file that cannot be read, or is none of ours. Nothing is known before the first run.
    pub fn read(&self) -> io::Result<State> {
        let file = match private::open(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
            other => other?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Changes what is known. What could not be read is replaced.
    ///
    /// # Errors
    /// When the folder cannot be written. What was known stays.
    pub fn update(&self, change: impl FnOnce(&mut State)) -> io::Result<()> {
        let _alone = self.alone()?;
        let mut state = self.read().unwrap_or_default();
        change(&mut state);
        let mut json = serde_json::to_vec_pretty(&state).expect("a state has only string keys");
        json.push(b'\n');
        private::replace_when(&self.0, &json, || crate::stop_point::reached("state-written"))
    }

    fn alone(&self) -> io::Result<RunLock> {
        let path = lock::beside(&self.0, ".lock");
        for _ in 0..TRIES {
            match RunLock::take(&path) {
                Err(LockError::Busy { .. }) => std::thread::sleep(Duration::from_millis(1)),
                Err(LockError::Open { source, .. }) => return Err(source),
                Ok(lock) => return Ok(lock),
            }
        }
        Err(io::Error::new(io::ErrorKind::WouldBlock, format!("{} is locked", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(folder: &Path) -> StateFile {
        StateFile(folder.join("lock.state"))
    }

    fn last() -> LastRun {
        LastRun {
            archive: Some("XYZ-20261122T235900Z".parse().unwrap()),
            by: By::Watch,
            finished: "2026-11-23T00:10:00Z".parse().unwrap(),
            exit_code: 3,
            message: "Archived".to_owned(),
            problems: vec!["not on vault: full".to_owned()],
            destinations: vec![LastPush { name: "vault".to_owned(), has_archive: false, reason: Some("full".into()) }],
        }
    }

    #[test]
    fn state_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        assert_eq!(file.read().unwrap(), State::default());
        file.update(|state| drop(state.sites.insert("XYZ".parse().unwrap(), last()))).unwrap();
        let ended = Ended { by: By::Run, finished: last().finished, exit_code: 1, problems: vec!["x".to_owned()] };
        file.update(|state| state.last_run = Some(ended.clone())).unwrap();
        let state = file.read().unwrap();
        assert_eq!((state.last_run, &state.sites[&"XYZ".parse().unwrap()]), (Some(ended), &last()));
    }

    #[test]
    fn many_writers_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let file = &file;
                scope.spawn(move || {
                    for number in 0..8 {
                        let site = format!("{thread}{number}X").parse().unwrap();
                        file.update(|state| drop(state.sites.insert(site, last()))).unwrap();
                    }
                });
            }
        });
        assert_eq!(file.read().unwrap().sites.len(), 32);
    }

    #[test]
    fn damaged_state_is_an_error_to_readers_and_replaced_by_writers() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        for text in ["", "{", "[]", "{\"sites\": 1}", "\u{0}"] {
            fs::write(file.path(), text).unwrap();
            assert!(file.read().is_err() || text == "[]", "{text}");
            file.update(|state| drop(state.sites.insert("XYZ".parse().unwrap(), last()))).unwrap();
            assert_eq!(file.read().unwrap().sites.len(), 1, "{text}");
        }
        let later =
            r#"{"last_run": {"by": "magic", "exit_code": 1, "finished": "2026-11-23T00:10:00Z", "x": 1}, "more": []}"#;
        fs::write(file.path(), later).unwrap();
        assert_eq!(file.read().unwrap().last_run.unwrap().by, By::Other);
    }

    #[test]
    fn only_what_looks_as_closely_disproves_damage() {
        let id: ArchiveId = "XYZ-20261122T235900Z".parse().unwrap();
        let at = last().finished;
        for (found, good, gone) in [
            (Extent::Full, Extent::Full, true),
            (Extent::Full, Extent::Stored, false),
            (Extent::Full, Extent::Sample, false),
            (Extent::Stored, Extent::Full, true),
            (Extent::Stored, Extent::Stored, true),
            (Extent::Sample, Extent::Sample, false),
            (Extent::Sample, Extent::Full, true),
        ] {
            let mut state = State::default();
            state.verified(&id, "vault", found, Some("frame 3 is damaged"), at);
            state.verified(&id, "other", Extent::Full, None, at);
            assert_eq!(state.findings.len(), 1);
            state.verified(&id, "vault", good, None, at);
            assert_eq!(state.findings.is_empty(), gone, "{found:?} {good:?}");
        }
    }
}
