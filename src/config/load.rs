//! The file as a whole: read, checked against all keys, put together. Goes on after every fault, so that one run shows
//! all of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::ConfigError;
use super::sections::archive::{self, Archive};
use super::sections::destination::{self, Destination, Location};
use super::sections::differential;
use super::sections::drill::{self, Drill};
use super::sections::hooks::{self, Hooks};
use super::sections::log::{self, Log};
use super::sections::report::{self, Report};
use super::sections::retention;
use super::sections::snapshot::{self, Snapshot};
use super::sections::supplemental::{self, Supplemental};
use super::sections::watch::{self, Watch};
use super::text::{Env, Key, Kind, Reader, Secret, Section, key, parse, paths};
use crate::platform::WINDOWS;
use crate::retention::policy::Policy;
use crate::retention::tiers::Tiers;

/// Every key there is.
pub(super) const ROOT: &[Key] = &[
    key("snapshot", Kind::Table(snapshot::KEYS), ""),
    key("supplemental", Kind::Tables(supplemental::KEYS), ""),
    key("archive", Kind::Table(archive::KEYS), ""),
    key("differential", Kind::Table(differential::KEYS), ""),
    key("watch", Kind::Table(watch::KEYS), ""),
    key("retention", Kind::Table(retention::KEYS), ""),
    key("destination", Kind::Tables(destination::KEYS), ""),
    key("lock-file", Kind::Text, r"'C:\ProgramData\afterbackup\afterbackup.lock'"),
    key("wait", Kind::Text, "\"2h\""),
    key("log", Kind::Table(log::KEYS), ""),
    key("hooks", Kind::Table(hooks::KEYS), ""),
    key("report", Kind::Table(report::KEYS), ""),
    key("drill", Kind::Table(drill::KEYS), ""),
];

/// How long `run` waits for another command, unless configured.
const WAIT: Duration = Duration::from_hours(2);

/// Everything a command needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it was read from.
    pub file: PathBuf,
    /// Where the backup task writes.
    pub snapshot: Snapshot,
    /// What else goes into the archive.
    pub supplemental: Vec<Supplemental>,
    /// How archives are written.
    pub archive: Archive,
    /// Which archives differ from others; `None`: every archive is a full one.
    pub differential: Option<Tiers>,
    /// How the resident watcher looks.
    pub watch: Watch,
    /// Where archives go. At least one.
    pub destinations: Vec<Destination>,
    /// Commands before and after a run.
    pub hooks: Hooks,
    /// How others learn how runs went, and that none did.
    pub report: Report,
    /// When recovery is exercised, and where.
    pub drill: Drill,
    /// The file whose OS lock keeps two runs of this configuration on this host apart; what is known of its runs lies
    /// beside it.
    ///
    /// By default its name comes from the configuration's own path, so that two configurations on one host keep out of
    /// each other's way. Its folder is one that only we can write, and neither emptied by a restart nor dependent on
    /// how a run was started (`$XDG_RUNTIME_DIR` is: cron jobs have none): `%ProgramData%\afterbackup`, on Unix
    /// `/var/lib/afterbackup` for root and `~/.local/state/afterbackup` for others.
    pub lock_file: PathBuf,
    /// How long `run` waits for another command that holds the lock.
    pub wait: Duration,
    /// The log file.
    pub log: Log,
    /// What works but should be looked at. For the log, once a run.
    pub warnings: Vec<String>,
}

/// Larger files are no configuration.
const MAX_BYTES: usize = 1 << 20;

impl Config {
    /// Where commands start: beside the configuration, but never where the backup task wants to delete.
    #[must_use]
    pub fn folder_of_commands(&self) -> PathBuf {
        let absolute = std::path::absolute(&self.file).unwrap_or_else(|_| self.file.clone());
        let folder = absolute.parent().map(Path::to_owned).filter(|folder| folder.is_dir());
        folder.filter(|folder| !self.snapshot.holds(folder)).unwrap_or_else(std::env::temp_dir)
    }

    /// The command lines that it gives.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &str> {
        let Hooks { run_before, run_after, run_failed, run_finally } = &self.hooks;
        let hooks = [run_before, run_after, run_failed, run_finally].into_iter().flatten().map(|hook| &*hook.command);
        let supplemental = self.supplemental.iter().flat_map(|entry| entry.before.iter().chain(&entry.after));
        hooks.chain(supplemental.map(|line| &*line.0)).chain(self.drill.then.as_deref())
    }

    /// The environment variables that hold secrets of destinations: commands that are run do not get them.
    #[must_use]
    pub fn secret_variables(&self) -> Vec<&str> {
        let of_buckets = self.destinations.iter().filter_map(|destination| match &destination.location {
            Location::Bucket(bucket) => Some(bucket.secrets.iter().map(|(_, secret)| secret)),
            Location::Folder(_) => None,
        });
        let of_shares = self.destinations.iter().filter_map(|destination| destination.credentials.as_ref());
        of_buckets.flatten().chain(of_shares.map(|share| &share.password)).filter_map(Secret::variable).collect()
    }

    /// What tells this configuration from others on this host, in a form that file names can hold.
    #[must_use]
    pub fn key(&self) -> String {
        paths::key(&self.file)
    }

    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn load(path: &Path, env: Env<'_>) -> Result<Self, ConfigError> {
        let whole =
            |message: String, hint: Option<&str>| ConfigError::whole(Some(path), message, hint.map(str::to_owned));
        let bytes = std::fs::read(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                whole("there is no such file".to_owned(), Some("run 'afterbackup init' to write one"))
            }
            _ => whole(format!("cannot read: {error}"), None),
        })?;
        if bytes.len() > MAX_BYTES {
            return Err(whole("larger than 1 MiB, this is no configuration".to_owned(), None));
        }
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return Err(whole("is UTF-16 text".to_owned(), Some("save it as UTF-8")));
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let line = bytes.iter().take(error.valid_up_to()).filter(|b| **b == b'\n').count() + 1;
            whole(format!("line {line} is not UTF-8 text"), Some("save it as UTF-8"))
        })?;
        Self::from_text(text, path, env)
    }

    /// Checks a configuration that would lie at `path`.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn from_text(text: &str, path: &Path, env: Env<'_>) -> Result<Self, ConfigError> {
        validate(text, path, env, WINDOWS)
    }
}

pub(super) fn validate(text: &str, file: &Path, env: Env<'_>, windows: bool) -> Result<Config, ConfigError> {
    // Notepad's byte order mark does not move lines.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::new(text, file, env, windows);
    let mut log = None;
    let config = parse(text, &mut reader.faults).and_then(|document| {
        let root = Section::root(document.get_ref(), ROOT);
        root.check(&mut reader.faults);
        reader.config(&root, file, &mut log)
    });
    let Reader { faults, warnings, .. } = reader;
    let faults = faults.into_list();
    match config {
        _ if !faults.is_empty() => Err(ConfigError { file: Some(file.to_owned()), faults, log: log.map(Box::new) }),
        Some(config) => Ok(Config { warnings, ..config }),
        None => Err(ConfigError::whole(Some(file), "cannot be understood".to_owned(), None)),
    }
}

impl Reader<'_, '_> {
    fn config(&mut self, root: &Section<'_>, file: &Path, read_log: &mut Option<Log>) -> Option<Config> {
        let snapshot = self.snapshot(root);
        let supplemental = self.supplemental(root);
        let archive = self.archive(root);
        let differential = self.differential(root);
        let watch = self.watch(root);
        let policy = match root.section("retention") {
            Some(section) => {
                let policy = self.policy(&section, &Policy::without_rules());
                self.check_policy(&section, &policy);
                policy
            }
            None => Policy::default(),
        };
        let sections = root.sections("destination");
        if sections.is_empty() && !self.faults.mention("destination") {
            let hint = "add [[destination]] with name, and path = 'folder' or url = \"s3://bucket/prefix\"";
            self.faults.add(None, "[[destination]]", "missing: there is nowhere to put archives", hint);
        }
        let destinations: Vec<Option<Destination>> =
            sections.iter().map(|section| self.destination(section, &policy)).collect();
        self.check_duplicates(&sections, &destinations);
        self.check_accounts(snapshot.as_ref(), &sections, &destinations);

        let hooks = self.hooks(root);
        let report = self.report(root);
        let lock_file = match root.text("lock-file") {
            Some(text) => self.path(root, "lock-file", &text),
            None => Some(paths::default_lock_file(file, self.env)),
        };
        let wait = self.duration(root, "wait", WAIT);
        let drill = self.drill(root, lock_file.as_deref().unwrap_or(file));
        let log = self.log(root);
        *read_log = Some(log.clone());
        if let (Some(snapshot), Some(lock)) = (&snapshot, &lock_file) {
            self.check_places(root, snapshot, lock, &supplemental, &sections, &destinations);
            self.check_differential(differential.as_ref(), &archive, &destinations);
            self.check_log_place(root, snapshot, &log);
            self.check_metrics_file(root, snapshot, &report);
            self.check_drill(root, snapshot, &drill);
        }
        Some(Config {
            file: file.to_owned(),
            snapshot: snapshot?,
            supplemental,
            archive,
            differential,
            watch,
            destinations: destinations.into_iter().collect::<Option<_>>()?,
            hooks,
            report,
            drill,
            lock_file: lock_file?,
            wait,
            log,
            warnings: Vec::new(),
        })
    }
}
