//! Raw → [`Config`]. Goes on after every fault, so that one run shows all of them.
//!
//! What the table of keys already told (unknown keys, wrong types, …) reads as missing here and is not told twice:
//! a key counts as missing only if it is not written at all.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use url::Url;

use super::error::{ConfigError, Faults};
use super::raw::{self, At, Section};
use super::snapshot::snapshot_places;
use super::{
    Archive, Config, Destination, Env, Log, Snapshot, SnapshotKind, Supplemental, Target, Verify, Watch, paths, share,
};
use crate::retention::policy::Policy;
use crate::units;

const LEVEL: u32 = 3;
const RETRY_FOR: Duration = Duration::from_mins(5);
const STALL_TIMEOUT: Duration = Duration::from_mins(15);
const SWEEP_AFTER: Duration = Duration::from_hours(48);

/// Keys of a destination that only a bucket has; `bucket` reads them.
const BUCKET_KEYS: [&str; 7] =
    ["endpoint", "region", "ca-file", "options", "access-key-env", "secret-key-env", "secret-key-file"];

/// Goes through the document and takes notes.
pub(super) struct Reader<'t, 'e> {
    pub(super) faults: Faults<'t>,
    pub(super) warnings: Vec<String>,
    base: PathBuf,
    pub(super) env: Env<'e>,
    /// Is it for Windows? A parameter, so that both answers are tested everywhere.
    pub(super) windows: bool,
    /// The log, once it has been read.
    log: Option<Log>,
}

pub(super) fn validate(text: &str, file: &Path, env: Env<'_>, windows: bool) -> Result<Config, ConfigError> {
    // Notepad's byte order mark does not move lines.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader =
        Reader { faults: Faults::new(text), warnings: Vec::new(), base: paths::base(file), env, windows, log: None };
    let config = raw::parse(text, &mut reader.faults).and_then(|document| {
        let root = Section::root(document.get_ref());
        root.check(&mut reader.faults);
        reader.config(&root, file)
    });
    let Reader { faults, warnings, log, .. } = reader;
    match (config, faults.into_error(file)) {
        (_, Some(error)) => Err(ConfigError { log: log.map(Box::new), ..error }),
        (Some(config), None) => Ok(Config { warnings, ..config }),
        (None, None) => Err(ConfigError::whole(Some(file), "cannot be understood".to_owned(), None)),
    }
}

impl Reader<'_, '_> {
    fn config(&mut self, root: &Section<'_>, file: &Path) -> Option<Config> {
        let snapshot = self.snapshot(root);
        let supplemental = self.supplemental(root);
        let archive = self.archive(root);
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
            None => Some(paths::default_lock_file(self.env)),
        };
        let log = self.log(root);
        self.log = Some(log.clone());
        if let (Some(snapshot), Some(lock)) = (&snapshot, &lock_file) {
            self.check_places(root, snapshot, lock, &supplemental, &sections, &destinations);
            self.check_log_place(root, snapshot, &log);
            self.check_metrics_file(root, snapshot, &report);
        }
        Some(Config {
            file: file.to_owned(),
            snapshot: snapshot?,
            supplemental,
            archive,
            watch,
            destinations: destinations.into_iter().collect::<Option<_>>()?,
            hooks,
            report,
            lock_file: lock_file?,
            log,
            warnings: Vec::new(),
        })
    }

    fn supplemental(&mut self, root: &Section<'_>) -> Vec<Supplemental> {
        let mut list: Vec<Supplemental> = Vec::new();
        for section in root.sections("supplemental") {
            for key in ["name", "path"] {
                if !section.has(key) {
                    self.faults.add(Some(section.at), section.label(key), "missing", "every entry has name and path");
                }
            }
            let name = section.text("name");
            if let Some(name) = &name {
                if let Some(message) = component_fault(&name.value) {
                    let hint = "it becomes a folder in the archive: write name = \"SCUP2011\"";
                    self.faults.add(Some(name.at), section.label("name"), message, hint);
                } else if list.iter().any(|other| other.name.to_lowercase() == name.value.to_lowercase()) {
                    let hint = "every entry needs its own, it becomes a folder in the archive";
                    self.faults.add(Some(name.at), section.label("name"), "is used twice", hint);
                }
            }
            let path = section.text("path").and_then(|text| self.path(&section, "path", &text));
            let path = path.map(|path| path.to_string_lossy().into_owned());
            let wildcards = path.as_deref().map_or(0, wildcards);
            let rename = section.text("as");
            if let Some(rename) = &rename
                && let Some(message) = rename_fault(&rename.value, wildcards)
            {
                let hint = "write a relative path; {1} is what the first * of path matched";
                self.faults.add(Some(rename.at), section.label("as"), message, hint);
            }
            let (Some(name), Some(path)) = (name, path) else { continue };
            let in_folders = path.rfind(['/', '\\']).and_then(|end| path.get(..end)).is_some_and(wildcards_in);
            if rename.is_none() && in_folders {
                self.warnings.push(format!(
                    "[[supplemental]] '{}': if path matches in several folders, the names in the archive collide; add as = '{{1}}\\…'",
                    name.value
                ));
            }
            list.push(Supplemental { name: name.value, path, rename: rename.map(|rename| rename.value) });
        }
        list
    }

    fn archive(&mut self, root: &Section<'_>) -> Archive {
        let section = root.section("archive");
        let section = section.as_ref();
        let level = section.and_then(|s| s.number("level")).unwrap_or(LEVEL);
        let threads = match section.and_then(|s| s.number("threads")).unwrap_or(0) {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads as usize,
        };
        let mut recipients = Vec::new();
        for recipient in section.map(|s| s.texts("recipients")).unwrap_or_default() {
            let text = recipient.value.trim();
            let (message, hint) = if text.to_ascii_uppercase().contains("AGE-SECRET-KEY") {
                (
                    "this is the SECRET half of a key",
                    "THE SECRET KEY MUST NEVER BE ON THIS SERVER: write the public half, age1…, and make a new pair",
                )
            } else if text.is_empty() || age::x25519::Recipient::from_str(text).is_ok() {
                if !text.is_empty() {
                    recipients.push(text.to_owned());
                }
                continue;
            } else if text.starts_with("ssh-") {
                ("SSH keys are not supported", "make a pair with age-keygen and write its public half, age1…")
            } else {
                ("is no age public key", "age-keygen prints it as 'Public key: age1…'; 62 characters")
            };
            self.faults.add(Some(recipient.at), "[archive] recipients", message, hint);
        }
        let check_databases = section.and_then(|s| s.flag("check-databases")).unwrap_or(true);
        Archive { level: i32::try_from(level).unwrap_or(3), threads, recipients, check_databases }
    }

    fn watch(&mut self, root: &Section<'_>) -> Watch {
        let default = Watch::default();
        let Some(section) = root.section("watch") else { return default };
        let poll = self.duration(&section, "poll", default.poll);
        if poll < Duration::from_secs(1) || poll > Duration::from_hours(1) {
            let hint = "write a time from \"1s\" to \"1h\"";
            self.faults.add(Some(section.at("poll")), section.label("poll"), "is out of range", hint);
        }
        let stop_timeout = self.duration(&section, "stop-timeout", default.stop_timeout);
        if stop_timeout < Duration::from_secs(5) || stop_timeout > Duration::from_mins(10) {
            let hint = "write a time from \"5s\" to \"10min\"";
            self.faults.add(Some(section.at("stop-timeout")), section.label("stop-timeout"), "is out of range", hint);
        }
        Watch { events: section.flag("events").unwrap_or(default.events), poll, stop_timeout }
    }

    /// Keys that are written replace those of `inherited`.
    fn policy(&mut self, section: &Section<'_>, inherited: &Policy) -> Policy {
        let mut policy = inherited.clone();
        for (key, count) in [
            ("last", &mut policy.last),
            ("hourly", &mut policy.hourly),
            ("daily", &mut policy.daily),
            ("weekly", &mut policy.weekly),
            ("monthly", &mut policy.monthly),
            ("yearly", &mut policy.yearly),
            ("min-archives", &mut policy.min_archives),
        ] {
            *count = section.number(key).unwrap_or(*count);
        }
        policy.max_remove = section.number("max-remove").or(policy.max_remove);
        if section.has("within") {
            // "0s" switches an inherited one off.
            policy.within = Some(self.duration(section, "within", Duration::ZERO)).filter(|within| !within.is_zero());
        }
        if let Some(text) = section.text("time-zone") {
            match time_zone(&text.value) {
                Ok(zone) => policy.time_zone = zone,
                Err(hint) => {
                    let message = format!("'{}' is no time zone", text.value);
                    self.faults.add(Some(text.at), section.label("time-zone"), message, hint);
                }
            }
        }
        if let Some(text) = section.text("day-starts") {
            if let Some(time) = time_of_day(&text.value) {
                policy.day_starts = time;
            } else {
                let message = format!("'{}' is no time of the day", text.value);
                self.faults.add(Some(text.at), section.label("day-starts"), message, "write it like \"02:00\"");
            }
        }
        policy
    }

    /// A policy that keeps nothing is never meant.
    fn check_policy(&mut self, section: &Section<'_>, policy: &Policy) {
        let counts = [policy.last, policy.hourly, policy.daily, policy.weekly, policy.monthly, policy.yearly];
        if counts.iter().all(|count| *count == 0) && policy.within.is_none() && !self.faults.mention(&section.prefix) {
            let hint = "say what to keep, like daily = 14; without any [retention] a default applies";
            self.faults.add(Some(section.at), section.title(), "keeps nothing", hint);
        }
    }

    fn destination(&mut self, section: &Section<'_>, inherited: &Policy) -> Option<Destination> {
        let before = self.faults.len();
        let name = section.text("name");
        match &name {
            Some(name) if !is_name(&name.value) => {
                let hint = "use up to 64 letters, digits, '.', '_' and '-': it is typed on command lines";
                self.faults.add(Some(name.at), section.label("name"), "is not a usable name", hint);
            }
            None if !section.has("name") => {
                self.faults.add(Some(section.at), section.label("name"), "missing", "write name = \"vault\"");
            }
            _ => {}
        }
        let target = self.target(section);
        let credentials = match &target {
            Some(Target::Folder(path)) => self.credentials(section, path),
            _ => None,
        };
        let verify = section.text("verify").and_then(|text| match text.value.as_str() {
            "full" => Some(Verify::Full),
            "size" => Some(Verify::Size),
            "none" => Some(Verify::None),
            other => {
                let hint = raw::closest(other, &["full", "size", "none"]).map_or_else(
                    || "write \"full\", \"size\" or \"none\"".to_owned(),
                    |n| format!("did you mean \"{n}\"?"),
                );
                self.faults.add(Some(text.at), section.label("verify"), format!("'{other}' is no way to verify"), hint);
                None
            }
        });
        let bandwidth = section.text("bandwidth").and_then(|text| match units::parse_bandwidth(&text.value) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let hint = "write it like \"200 Mbit/s\" or \"25 MB/s\"";
                self.faults.add(Some(text.at), section.label("bandwidth"), error.to_string(), hint);
                None
            }
        });
        let retry_for = self.duration(section, "retry-for", RETRY_FOR);
        let stall_timeout = self.duration(section, "stall-timeout", STALL_TIMEOUT);
        if stall_timeout <= retry_for {
            let key = if section.has("stall-timeout") { "stall-timeout" } else { "retry-for" };
            let message = format!(
                "stall-timeout ({}) must be longer than retry-for ({})",
                units::format_duration(stall_timeout),
                units::format_duration(retry_for)
            );
            let hint = "else a destination is given up while it is still being tried";
            self.faults.add(Some(section.at(key)), section.label(key), message, hint);
        }
        let sweep_after = self.duration(section, "sweep-after", SWEEP_AFTER);
        let retention = section.section("retention").map_or_else(
            || inherited.clone(),
            |own| {
                let policy = self.policy(&own, inherited);
                self.check_policy(&own, &policy);
                policy
            },
        );
        if self.faults.len() > before {
            // Faults of the target count in `check_duplicates` all the same; the rest is of no use any more.
            return Some(Destination { name: name?.value, target: target?, credentials, ..placeholder(inherited) });
        }
        let target = target?;
        let verify = verify.unwrap_or(match target {
            Target::Folder(_) => Verify::Full,
            Target::Bucket(_) => Verify::Size,
        });
        let name = name?.value;
        Some(Destination {
            name,
            target,
            credentials,
            retention,
            verify,
            bandwidth,
            retry_for,
            stall_timeout,
            sweep_after,
        })
    }

    fn target(&mut self, section: &Section<'_>) -> Option<Target> {
        match (section.has("path"), section.has("url")) {
            (true, true) => {
                let hint = "a destination is one or the other: make two";
                self.faults.add(Some(section.at("url")), section.label("url"), "path is given too", hint);
                None
            }
            (false, false) => {
                let hint = "write path = 'folder or share' or url = \"s3://bucket/prefix\"";
                self.faults.add(Some(section.at), section.title(), "has neither path nor url", hint);
                None
            }
            (true, false) => {
                for key in BUCKET_KEYS.iter().filter(|key| section.has(key)) {
                    let hint = "remove it, or write url instead of path";
                    self.faults.add(Some(section.at(key)), section.label(key), "is only for buckets", hint);
                }
                self.optional_path(section, "path").map(Target::Folder)
            }
            (false, true) => {
                if section.has("credentials") {
                    let hint =
                        "remove it; the secrets of buckets are access-key-env and secret-key-env or secret-key-file";
                    let at = Some(section.at("credentials"));
                    self.faults.add(at, section.label("credentials"), "is only for shares", hint);
                }
                self.bucket(section).map(Target::Bucket)
            }
        }
    }

    fn check_duplicates(&mut self, sections: &[Section<'_>], destinations: &[Option<Destination>]) {
        let mut names: Vec<String> = Vec::new();
        let mut targets: Vec<(Vec<String>, &str)> = Vec::new();
        for (section, destination) in sections.iter().zip(destinations) {
            if let Some(name) = section.text("name") {
                let lower = name.value.to_lowercase();
                if names.contains(&lower) {
                    let hint = "every destination needs its own";
                    self.faults.add(Some(name.at), section.label("name"), "is used twice", hint);
                }
                names.push(lower);
            }
            let Some(destination) = destination else { continue };
            let (key, place) = match &destination.target {
                Target::Folder(path) => ("path", paths::comparable(path)),
                Target::Bucket(bucket) => {
                    let endpoint = bucket.endpoint.as_ref().map(Url::as_str).unwrap_or_default();
                    let prefix = bucket.url.path().split('/').filter(|part| !part.is_empty());
                    let head = format!("{endpoint} {}", &bucket.url[..url::Position::BeforePath]);
                    ("url", std::iter::once(head).chain(prefix.map(str::to_owned)).collect())
                }
            };
            if let Some((_, other)) = targets.iter().find(|(other, _)| *other == place) {
                let message = format!("is the same place as that of destination '{other}'");
                self.faults.add(Some(section.at(key)), section.label(key), message, "two copies in one place are one");
            }
            targets.push((place, &destination.name));
        }
    }

    /// The backup task deletes its folder before every run, and fails when a file in it is held open.
    fn check_places(
        &mut self,
        root: &Section<'_>,
        snapshot: &Snapshot,
        lock: &Path,
        supplemental: &[Supplemental],
        sections: &[Section<'_>],
        destinations: &[Option<Destination>],
    ) {
        let sources = snapshot_places(snapshot);
        for (section, destination) in sections.iter().zip(destinations) {
            let Some(Destination { target: Target::Folder(folder), .. }) = destination else { continue };
            let mut add = |message: String, hint: &str| {
                self.faults.add(Some(section.at("path")), section.label("path"), message, hint);
            };
            for (what, source, danger) in &sources {
                if paths::is_inside(folder, source) {
                    add(format!("lies inside {what}"), danger);
                } else if paths::is_inside(source, folder) {
                    add(format!("{what} lies inside it"), "use a folder beside it, best on another machine");
                }
            }
            for extra in supplemental.iter().filter(|extra| !wildcards_in(&extra.path)) {
                if paths::is_inside(folder, Path::new(&extra.path)) {
                    add(
                        format!("lies inside what supplemental '{}' archives", extra.name),
                        "every archive would hold all those before it: put archives elsewhere",
                    );
                }
            }
        }
        if let (Some(section), Some(log)) = (root.section("snapshot"), &snapshot.log) {
            for (what, _, _) in sources.iter().filter(|(_, source, _)| paths::is_inside(log, source)) {
                let message = format!("lies inside {what}");
                let hint = "leave it out, the copy in the snapshot is read anyway; or name the one in the Logs folder of the site server, which goes on";
                self.faults.add(Some(section.at("log")), section.label("log"), message, hint);
            }
        }
        for (what, source, _) in &sources {
            if root.has("lock-file") && paths::is_inside(lock, source) {
                let message = format!("lies inside {what}");
                let hint = match snapshot.kind {
                    SnapshotKind::Site => "the backup task cannot delete its folder while the lock is held",
                    SnapshotKind::SqlBackups => "what is archived must not be written to by the run itself",
                };
                self.faults.add(Some(root.at("lock-file")), "lock-file", message, hint);
            }
        }
    }

    fn check_log_place(&mut self, root: &Section<'_>, snapshot: &Snapshot, log: &Log) {
        let (Some(section), Some(file)) = (root.section("log"), &log.file) else { return };
        let mut sources = std::iter::once(&snapshot.path).chain(&snapshot.sql_path).chain(&snapshot.cd_latest);
        if section.has("file") && sources.any(|source| paths::is_inside(file, source)) {
            let hint =
                "the backup task deletes its folder before every run, and a log that is written there changes it";
            self.faults.add(Some(section.at("file")), section.label("file"), "lies inside the snapshot's folder", hint);
        }
    }

    pub(super) fn duration(&mut self, section: &Section<'_>, key: &str, default: Duration) -> Duration {
        let Some(text) = section.text(key) else { return default };
        units::parse_duration(&text.value).unwrap_or_else(|error| {
            let hint = "write a number and s, min, h, days, weeks, months or years, like \"2min\"";
            self.faults.add(Some(text.at), section.label(key), error.to_string(), hint);
            default
        })
    }

    pub(super) fn optional_path(&mut self, section: &Section<'_>, key: &str) -> Option<PathBuf> {
        section.text(key).and_then(|text| self.path(section, key, &text))
    }

    pub(super) fn path(&mut self, section: &Section<'_>, key: &str, text: &At<String>) -> Option<PathBuf> {
        // Reported already, where the control character stands.
        if text.value.contains(char::is_control) {
            return None;
        }
        if text.value.contains("://") {
            if let Some((message, hint)) = share::smb_fault(&text.value, self.windows) {
                self.faults.add(Some(text.at), section.label(key), message, hint);
                return None;
            }
            // Not printed: addresses may hold passwords.
            let hint = "buckets are written as url = \"s3://bucket/prefix\", shares as path = '\\\\server\\share'";
            self.faults.add(Some(text.at), section.label(key), "is an address, not a path", hint);
            return None;
        }
        if paths::is_drive_relative(&text.value) {
            let hint = "write a backslash behind the colon: 'E:\\folder'";
            self.faults.add(Some(text.at), section.label(key), "depends on a drive's current folder", hint);
            return None;
        }
        if paths::has_placeholder(&text.value) {
            self.warnings.push(format!("{}: environment variables in it are not expanded", section.label(key)));
        }
        if cfg!(not(windows)) && paths::is_windows(&text.value) {
            self.warnings.push(format!("{}: a Windows path, but this is not Windows", section.label(key)));
        }
        Some(paths::resolve(&self.base, &text.value))
    }
}

/// Stands in where a fault has been reported, for the checks that follow.
fn placeholder(policy: &Policy) -> Destination {
    Destination {
        name: String::new(),
        target: Target::Folder(PathBuf::new()),
        credentials: None,
        retention: policy.clone(),
        verify: Verify::Full,
        bandwidth: None,
        retry_for: RETRY_FOR,
        stall_timeout: STALL_TIMEOUT,
        sweep_after: SWEEP_AFTER,
    }
}

/// The zone, or what to do.
fn time_zone(name: &str) -> Result<TimeZone, String> {
    match name.to_ascii_lowercase().as_str() {
        "system" => return Ok(TimeZone::system()),
        "utc" => return Ok(TimeZone::UTC),
        _ => {}
    }
    TimeZone::get(name).map_err(|_| {
        let mut hint = "write an IANA name like \"Europe/Berlin\", \"system\" or \"UTC\"".to_owned();
        let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if let Some(near) = raw::closest(name, &names) {
            hint.clear();
            write!(hint, "did you mean \"{near}\"?").expect("writing to a String cannot fail");
        }
        hint
    })
}

fn time_of_day(text: &str) -> Option<Time> {
    Time::strptime("%H:%M", text).or_else(|_| Time::strptime("%H:%M:%S", text)).ok()
}

fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn wildcards_in(path: &str) -> bool {
    path.contains(['*', '?'])
}

/// How many `{n}` a pattern defines: `**` counts once.
fn wildcards(path: &str) -> usize {
    path.replace("**", "*").matches(['*', '?']).count()
}

/// What keeps a text from being the name of a folder, on Windows too.
fn component_fault(name: &str) -> Option<&'static str> {
    const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_lowercase();
    let port = |kind: &str| {
        stem.strip_prefix(kind)
            .is_some_and(|rest| rest.chars().count() == 1 && rest != "0" && !rest.starts_with(char::is_alphabetic))
    };
    if name.contains(['/', '\\', ':', '*', '?', '"', '<', '>', '|']) || name.contains(char::is_control) {
        Some("holds a character that names of folders cannot have")
    } else if name.ends_with(['.', ' ']) || name.starts_with(' ') {
        Some("begins or ends with a space or ends with a dot")
    } else if DEVICES.contains(&stem.as_str()) || port("com") || port("lpt") {
        Some("is the name of a device on Windows")
    } else if name.len() > 128 {
        Some("is longer than 128 bytes")
    } else {
        None
    }
}

/// What is wrong with the name in the archive.
fn rename_fault(rename: &str, wildcards: usize) -> Option<String> {
    let mut plain = String::new();
    let mut rest = rename;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((number, behind)) = after.split_once('}') else { return Some("has a '{' without '}'".to_owned()) };
        match number.parse::<usize>() {
            Ok(n) if (1..=wildcards).contains(&n) => {}
            Ok(n) => return Some(format!("uses {{{n}}}, but the number of wildcards in path is {wildcards}")),
            Err(_) => return Some("has something else than a number in '{}'".to_owned()),
        }
        plain.push_str(before);
        plain.push('x');
        rest = behind;
    }
    plain.push_str(rest);
    if plain.starts_with(['/', '\\']) {
        return Some("must be a relative path".to_owned());
    }
    plain.split(['/', '\\']).find_map(component_fault_or_empty).map(str::to_owned)
}

fn component_fault_or_empty(part: &str) -> Option<&'static str> {
    match part {
        "" => Some("has an empty part"),
        "." | ".." => Some("must not have '.' or '..' in it"),
        part => component_fault(part),
    }
}
