//! What the last runs did, in a file beside the lock.
//!
//! Three things ask for it: `status`, a one-shot that finds the watcher at work on its snapshot and reports what came of
//! it, and a watcher that is started again. Nothing in it is needed to list or restore archives, and nothing is decided
//! by it that could lose one: missing or damaged, it is as if nothing were known.
//!
//! Only whoever holds the run lock writes it ([`crate::platform::lock`]), as a new file that replaces the old one, so readers need
//! no lock and never see half of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::outcome::{DestinationResult, SiteOutcome};
use crate::name::{ArchiveId, SiteCode};
use crate::platform::files::persistently;
use crate::platform::lock;

/// Larger files are none of ours.
const MAX_BYTES: u64 = 1 << 20;

/// What is known of the last runs on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Who holds the run lock; what a process that died has left counts only while the lock is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
    /// The last run of each site.
    pub sites: BTreeMap<SiteCode, LastRun>,
}

/// A run under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Who began it.
    pub by: By,
    /// Its process.
    pub pid: u32,
    /// When it began.
    pub since: Timestamp,
}

/// Who begins runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    /// What became of each destination.
    #[serde(default)]
    pub destinations: Vec<LastPush>,
}

/// What became of a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
            destinations: destinations.collect(),
        }
    }
}

/// The file of a [`State`].
#[derive(Debug, Clone)]
pub struct StateFile(PathBuf);

impl StateFile {
    /// The one that belongs to a lock file.
    #[must_use]
    pub fn beside(lock_file: &Path) -> Self {
        Self(lock::beside(lock_file, ".state"))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What is known. What cannot be read, or was written by another account, is not.
    #[must_use]
    pub fn read(&self) -> State {
        let read = || -> io::Result<State> {
            let file = File::open(&self.0)?;
            // The default place on Unix is one where anybody may put a file.
            if !is_ours(&file)? {
                return Ok(State::default());
            }
            let mut bytes = Vec::new();
            file.take(MAX_BYTES).read_to_end(&mut bytes)?;
            Ok(serde_json::from_slice(&bytes)?)
        };
        read().unwrap_or_default()
    }

    /// Changes what is known. Only for whoever holds the run lock.
    ///
    /// # Errors
    /// When the folder cannot be written. What was known stays.
    pub fn update(&self, change: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.read();
        change(&mut state);
        let mut json = serde_json::to_vec_pretty(&state).expect("a state has only string keys");
        json.push(b'\n');
        let new = lock::beside(&self.0, ".new");
        // Whoever holds the lock is alone: what lies there was left by a process that died.
        if let Err(error) = fs::remove_file(&new)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = File::options().write(true).create_new(true).open(&new)?;
        file.write_all(&json)?;
        drop(file);
        crate::stop_point::reached("state-written");
        persistently(|| fs::rename(&new, &self.0))
    }
}

#[cfg(unix)]
fn is_ours(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let owner = file.metadata()?.uid();
    Ok(owner == 0 || owner == rustix::process::geteuid().as_raw())
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "it fails on other systems")]
fn is_ours(_file: &File) -> io::Result<bool> {
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last() -> LastRun {
        LastRun {
            archive: Some("XYZ-20261122T235900Z".parse().unwrap()),
            by: By::Watch,
            finished: "2026-11-23T00:10:00Z".parse().unwrap(),
            exit_code: 3,
            message: "Archived".to_owned(),
            destinations: vec![LastPush { name: "vault".to_owned(), has_archive: false, reason: Some("full".into()) }],
        }
    }

    #[test]
    fn state_is_read_as_it_was_written_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::beside(&folder.path().join("lock"));
        assert_eq!(file.read(), State::default());
        fs::write(folder.path().join("lock.state.new"), "left by a process that died").unwrap();
        file.update(|state| drop(state.sites.insert("XYZ".parse().unwrap(), last()))).unwrap();
        let work = Work { by: By::Run, pid: 4711, since: last().finished };
        file.update(|state| state.work = Some(work.clone())).unwrap();
        let state = file.read();
        assert_eq!((state.work, &state.sites[&"XYZ".parse().unwrap()]), (Some(work), &last()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn damaged_state_is_as_good_as_none_and_that_of_a_later_version_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::beside(&folder.path().join("lock"));
        for text in ["", "{", "[]", "{\"sites\": 1}", "\u{0}"] {
            fs::write(file.path(), text).unwrap();
            assert_eq!(file.read(), State::default(), "{text}");
        }
        let later = r#"{"work": {"by": "magic", "pid": 1, "since": "2026-11-23T00:10:00Z", "x": 1}, "more": []}"#;
        fs::write(file.path(), later).unwrap();
        assert_eq!(file.read().work.unwrap().by, By::Other);
    }
}
