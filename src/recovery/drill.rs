//! Proof on an ordinary day: an archive is fetched whole, everything in it is checked anew, and the copy is removed.
//!
//! What is proven: the archive can be read and decrypted here, every file is what was archived, the database is sound
//! and its files belong together, and Setup can be started from CD.Latest. What the time says: how long the fetch of a
//! real recovery takes from this destination to this computer.
//!
//! The copy lies in a folder of its own in the scratch folder, beside a file that is locked as long as the drill lives.
//! It is removed however the drill ends; what a drill that was killed has left, the next one removes.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub use super::drill_report::{CheckedFile, DrillReport, Passed, last};
use super::facts::{ArchiveFacts, DatabaseSource, Soundness};
use crate::archive::Identities;
use crate::archive::databases::{DatabaseCheck, Role, pair_all};
use crate::archive::extract::{ExtractError, Options, extract};
use crate::archive::index::Entry;
use crate::archive::manifest::Manifest;
use crate::archive::reader::{ReadError, Reader};
use crate::cancel::Cancel;
use crate::clock::Clock;
use crate::destination::Destination;
use crate::error::chain;
use crate::monitor::Monitor;
use crate::name::ArchiveId;
use crate::platform::command::{CommandError, Shell};
use crate::platform::files::remove_tree;
use crate::platform::private;
use crate::platform::verbatim::{plain, verbatim};
use crate::sqlserver::{Checker, Verdict};
use crate::units;

/// What a drill needs.
#[derive(Debug, Clone, Copy)]
pub struct Drill<'a> {
    /// Where the archive is.
    pub destination: &'a dyn Destination,
    /// The archive.
    pub manifest: &'a Manifest,
    /// Keys for encrypted ones.
    pub identities: &'a Identities,
    /// The folder for the copy. Created if it is not there.
    pub scratch: &'a Path,
    /// A command to run when all is fetched and checked.
    pub then: Option<Then<'a>>,
    /// Decompressing and checking threads.
    pub threads: usize,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Progress.
    pub monitor: &'a dyn Monitor,
    /// A request to stop.
    pub cancel: &'a Cancel,
}

/// A command to run on the copy.
#[derive(Debug, Clone, Copy)]
pub struct Then<'a> {
    /// For the system's shell.
    pub line: &'a str,
    /// It is killed after this time.
    pub timeout: Duration,
    /// Environment variables that it does not get: they hold secrets.
    pub without: &'a [&'a str],
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The scratch folder.
    #[error("cannot use the scratch folder {path}", path = path.display())]
    Scratch {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Asked to stop.
    #[error("cancelled; the copy was removed")]
    Cancelled,
}

/// Lines of the command that a report keeps.
const KEPT_LINES: usize = 50;
/// What a file costs beyond its bytes.
const FILE_OVERHEAD: u64 = 4096;

impl Drill<'_> {
    /// Carries it out.
    ///
    /// # Errors
    /// When it was asked to stop, or has no place to work in. Everything else is in the report.
    pub fn run(&self) -> Result<DrillReport, DrillError> {
        let started = self.clock.now();
        let mut report = DrillReport {
            archive: self.manifest.id.clone(),
            destination: self.destination.name().to_owned(),
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            started,
            finished: started,
            passed: Passed::Yes,
            findings: vec![],
            files: 0,
            bytes: 0,
            read_bytes: 0,
            fetch_milliseconds: 0,
            check_milliseconds: 0,
            databases: vec![],
            output: vec![],
            removed: false,
        };
        let copy = Copy::make(self.scratch, &self.manifest.id)?;
        let carried_out = self.carry_out(&copy.folder, &mut report);
        report.removed = copy.remove();
        if !report.removed {
            report.find(Passed::Partly, format!("the copy {} could not be removed", plain(&copy.folder).display()));
        }
        drop(copy);
        carried_out?;
        report.finished = self.clock.now();
        Ok(report)
    }

    fn carry_out(&self, folder: &Path, report: &mut DrillReport) -> Result<(), DrillError> {
        let reader = match Reader::open(self.destination, self.manifest.clone(), self.identities) {
            Ok(reader) => reader,
            Err(error) => return self.cannot_read(&error, report),
        };
        let entries = &reader.index().entries;
        if !self.has_room(folder, entries, report) {
            return Ok(());
        }
        let begun = Instant::now();
        let all: Vec<&Entry> = entries.iter().collect();
        let options = Options { target: folder.to_owned(), force: false, threads: self.threads };
        match extract(&reader, &all, &options, self.monitor, self.cancel) {
            Ok(fetched) => {
                report.fetch_milliseconds = milliseconds(begun.elapsed());
                (report.files, report.bytes, report.read_bytes) = (fetched.files, fetched.bytes, fetched.read_bytes);
                for path in fetched.damaged {
                    report.find(Passed::Damaged, format!("{path} is damaged in the archive"));
                }
            }
            Err(ExtractError::Read(error)) => return self.cannot_read(&error, report),
            Err(error) => {
                self.is_cancelled()?;
                report.find(Passed::Failed, chain(&error));
                return Ok(());
            }
        }
        let facts = ArchiveFacts::new(self.manifest, entries);
        let begun = Instant::now();
        self.check_databases(folder, entries, report)?;
        report.check_milliseconds = milliseconds(begun.elapsed());
        expect(&facts, report);
        match self.then {
            // On a copy with damage it would only find what is known.
            Some(then) if report.passed != Passed::Damaged => self.run_command(then, folder, &facts, report),
            _ => Ok(()),
        }
    }

    fn is_cancelled(&self) -> Result<(), DrillError> {
        if self.cancel.is_cancelled() { Err(DrillError::Cancelled) } else { Ok(()) }
    }

    fn cannot_read(&self, error: &ReadError, report: &mut DrillReport) -> Result<(), DrillError> {
        self.is_cancelled()?;
        let passed = if error.is_damage() { Passed::Damaged } else { Passed::Failed };
        report.find(passed, chain(error));
        Ok(())
    }

    fn has_room(&self, folder: &Path, entries: &[Entry], report: &mut DrillReport) -> bool {
        let needed: u64 =
            entries.iter().map(|entry| entry.size.saturating_add(FILE_OVERHEAD)).fold(0, u64::saturating_add);
        match fs4::available_space(folder) {
            Ok(free) if free < needed => {
                let scratch = plain(self.scratch);
                report.find(
                    Passed::Failed,
                    format!(
                        "there is no room in {}: the archive needs {}, {} are free; nothing was fetched",
                        scratch.display(),
                        units::format_bytes(needed),
                        units::format_bytes(free)
                    ),
                );
                false
            }
            // Where it cannot be told, the disk itself will say.
            _ => true,
        }
    }

    /// Checks every file of SQL Server in the copy, and whether files of one folder belong together.
    fn check_databases(&self, folder: &Path, entries: &[Entry], report: &mut DrillReport) -> Result<(), DrillError> {
        let is_database = |entry: &&Entry| {
            let extension = entry.path.rsplit_once('.').map(|(_, extension)| extension.to_lowercase());
            let by_name = matches!(extension.as_deref(), Some("mdf" | "ndf" | "ldf" | "bak" | "trn" | "dif"));
            !entry.folder && (entry.database.is_some() || by_name)
        };
        let files: Vec<&Entry> = entries.iter().filter(is_database).collect();
        let bytes = files.iter().map(|entry| entry.size).sum();
        let task = self.monitor.task(&format!("Checking databases of {}", self.manifest.id), Some(bytes));
        let next = Mutex::new(files.iter());
        let results = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..self.threads.clamp(1, files.len().max(1)) {
                scope.spawn(|| {
                    loop {
                        let Some(entry) = next.lock().ok().and_then(|mut files| files.next()) else { return };
                        let checked = check_file(&folder.join(&entry.path), self.cancel, |read| task.advance(read));
                        if let Ok(mut results) = results.lock() {
                            results.push((entry.path.clone(), checked));
                        }
                    }
                });
            }
        });
        self.is_cancelled()?;
        let mut results = results.into_inner().unwrap_or_default();
        results.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut folders: std::collections::BTreeMap<String, Vec<DatabaseCheck>> = std::collections::BTreeMap::new();
        for (path, checked) in results {
            let above = path.rsplit_once('/').map_or(String::new(), |(above, _)| above.to_owned());
            match checked {
                Ok(checker) => {
                    folders.entry(above).or_default().extend(DatabaseCheck::new(
                        &path,
                        checker,
                        Role::of_member(&path),
                    ));
                }
                // A damaged file was not written, and was told.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => report.find(Passed::Failed, format!("{path} cannot be read back: {error}")),
            }
        }
        for checks in folders.values_mut() {
            pair_all(checks);
        }
        for check in folders.into_values().flatten() {
            // Files of other programs that only look like databases prove nothing and miss nothing.
            let is_proven = check.report.verdict == Verdict::Sound;
            let result = if check.is_damaged() && !check.report.is_damaged() {
                format!("DAMAGED: {}", check.damage().first().map_or("does not fit its database", String::as_str))
            } else {
                check.report.to_string()
            };
            if check.is_damaged() {
                report.find(Passed::Damaged, format!("{}: {result}", check.path));
            } else if !is_proven {
                report.find(Passed::Partly, format!("{}: not proven sound: {result}", check.path));
            }
            report.databases.push(CheckedFile { path: check.path, result });
        }
        Ok(())
    }

    fn run_command(
        &self,
        then: Then<'_>,
        folder: &Path,
        facts: &ArchiveFacts,
        report: &mut DrillReport,
    ) -> Result<(), DrillError> {
        let folder = plain(folder);
        let below = |path: &str| {
            path.split('/').fold(folder.to_path_buf(), |place, part| place.join(part)).display().to_string()
        };
        let file = |extension: &str| {
            let ends =
                |path: &str| path.rsplit_once('.').is_some_and(|(_, found)| found.eq_ignore_ascii_case(extension));
            facts.files.iter().find(|file| ends(&file.path)).map_or_else(String::new, |file| below(&file.path))
        };
        let variables = [
            ("AFTERBACKUP_ARCHIVE", facts.id.to_string()),
            ("AFTERBACKUP_FOLDER", folder.display().to_string()),
            ("AFTERBACKUP_BACKUP", facts.database_folder.as_deref().map_or_else(String::new, below)),
            ("AFTERBACKUP_MDF", file("mdf")),
            ("AFTERBACKUP_LDF", file("ldf")),
            ("AFTERBACKUP_DATABASE", facts.database_name().unwrap_or_default()),
            ("AFTERBACKUP_CD_LATEST", facts.cd_latest.as_ref().map_or_else(String::new, |cd| below(&cd.folder))),
        ];
        let shell = Shell {
            line: then.line,
            folder: &folder,
            variables: &variables,
            without: then.without,
            timeout: then.timeout,
        };
        let mut lines = std::collections::VecDeque::new();
        let result = shell.run(Some(self.cancel), &mut |line| {
            if lines.len() == KEPT_LINES {
                lines.pop_front();
            }
            lines.push_back(line.to_owned());
        });
        report.output = lines.into();
        match result {
            Ok(()) => Ok(()),
            Err(CommandError::Cancelled) => Err(DrillError::Cancelled),
            Err(error) => {
                report.find(Passed::Failed, format!("the command {}", chain(&error)));
                Ok(())
            }
        }
    }
}

/// What a site is recovered from, and what of it is not there.
fn expect(facts: &ArchiveFacts, report: &mut DrillReport) {
    // Sound files may be those of another site: what was judged when the archive was made counts, too.
    match &facts.soundness {
        Soundness::Damaged(why) => report.find(Passed::Damaged, format!("judged when it was archived: {why}")),
        Soundness::Unproven(why) => report.find(Passed::Partly, format!("judged when it was archived: {why}")),
        Soundness::Sound => {}
    }
    match facts.database {
        DatabaseSource::None => report.find(Passed::Damaged, "the site database is not in the archive".into()),
        DatabaseSource::Files if !facts.has_site => {
            report.find(
                Passed::Partly,
                "the site server's half is not in the archive: the site server can only be reinstalled".into(),
            );
        }
        DatabaseSource::Files | DatabaseSource::Backups => {}
    }
    match &facts.cd_latest {
        None => report.find(Passed::Partly, "CD.Latest is not in the archive: Setup has to come from elsewhere".into()),
        Some(cd) => {
            if !cd.setup {
                report.find(
                    Passed::Partly,
                    r"CD.Latest holds no SMSSETUP\BIN\X64\setup.exe: Setup cannot be started".into(),
                );
            }
            if !cd.redist {
                report.find(
                    Passed::Partly,
                    "CD.Latest holds no redist folder: the prerequisites have to come from elsewhere".into(),
                );
            }
        }
    }
}

fn check_file(path: &Path, cancel: &Cancel, mut advance: impl FnMut(u64)) -> std::io::Result<crate::sqlserver::Report> {
    let mut file = File::open(path)?;
    let mut checker = Checker::new();
    let mut block = vec![0; 1 << 20];
    loop {
        if cancel.is_cancelled() {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        match file.read(&mut block) {
            Ok(0) => return Ok(checker.finish()),
            Ok(read) => {
                checker.update(block.get(..read).unwrap_or_default());
                advance(read as u64);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

const PREFIX: &str = "afterbackup-drill-";

/// The folder of a drill at work.
struct Copy {
    folder: PathBuf,
    lock_path: PathBuf,
    lock: Option<File>,
}

impl Copy {
    fn make(scratch: &Path, id: &ArchiveId) -> Result<Self, DrillError> {
        let error = |path: &Path| {
            let path = plain(path).into_owned();
            move |source| DrillError::Scratch { path, source }
        };
        // The command on the copy starts in another folder than we did.
        let scratch = std::path::absolute(scratch).map_err(error(scratch))?;
        let scratch = &*verbatim(&scratch);
        fs::create_dir_all(scratch).map_err(error(scratch))?;
        sweep(scratch);
        let name = format!("{PREFIX}{id}-{}", std::process::id());
        let lock_path = scratch.join(format!("{name}.lock"));
        let lock = private::open_or_create(&lock_path)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(error(&lock_path))?;
        let folder = scratch.join(name);
        let copy = Self { folder, lock_path, lock: Some(lock) };
        // The copy holds secrets of the site in clear.
        private::folder(&copy.folder).map_err(error(&copy.folder))?;
        Ok(copy)
    }

    fn remove(&self) -> bool {
        remove_tree(&self.folder).is_ok()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // After a panic or an early return, too. A lock file without folder is found by the next drill.
        if remove_tree(&self.folder).is_ok() {
            drop(self.lock.take());
            drop(fs::remove_file(&self.lock_path));
        }
    }
}

/// Removes what drills that were killed have left. What cannot be removed is tried again by the next one.
fn sweep(scratch: &Path) {
    let Ok(entries) = fs::read_dir(scratch) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(stem) =
            name.to_str().and_then(|name| name.strip_suffix(".lock")).filter(|stem| stem.starts_with(PREFIX))
        else {
            continue;
        };
        let is_dead = File::options().write(true).open(entry.path()).is_ok_and(|lock| lock.try_lock().is_ok());
        if is_dead && remove_tree(&scratch.join(stem)).is_ok() {
            drop(fs::remove_file(entry.path()));
        }
    }
}
