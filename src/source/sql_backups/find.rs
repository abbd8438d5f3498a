//! Finds the backups of site databases below a folder, however they are named and wherever they lie. All input and
//! output
//! of the choice is here.
//!
//! What a file is follows from its headers; from its name only where they cannot be read, and from its folder where the
//! name does not say it. So it does not matter how people let the maintenance scripts name files and folders, over
//! how many
//! directories a backup is spread, or which replica of an availability group made it. What is not understood is named.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;

use super::super::discover::{list, shown};
use super::super::walk::{self, Kind};
use super::super::{Error, Found, Part, PartKind, Snapshot, Unfinished};
use super::headers::{self, Headers};
use super::name::{BackupKind, BackupName, date_in, site_of_database};
use super::unit::{BackupFile, Listed, Rule, Unit, choose};
use crate::config;
use crate::name::SiteCode;
use crate::sqlserver::BackupType;

/// How many files are named.
const NAMED: usize = 5;
/// How deep backups are looked for: server, database, type, year, month and one more.
const DEPTH: usize = 7;
/// Extensions that backups have; others are looked into only near those of a site's database.
const EXTENSIONS: [&str; 8] = ["bak", "trn", "dif", "diff", "full", "log", "bck", "bkp"];

/// Finds the newest unit of each site's database.
///
/// # Errors
/// When a path cannot be read, or there is no full backup of a site's database.
pub(in super::super) fn discover(config: &config::Snapshot, now: Timestamp) -> Result<Found, Error> {
    let names = list(&config.path)?;
    let rule = Rule { logs: config.log_backups, quiet: config.quiet, now };
    let mut seen = Seen::default();
    seen.folder(&config.path, "", DEPTH, &names)?;
    let mut sites = seen.sort(config, rule);
    sites.retain(|site, _| config.site.is_none_or(|wanted| wanted == *site));
    let mut found = Found::default();
    for (site, files) in sites {
        match choose(files.listed.clone(), rule) {
            Ok(unit) => found.snapshots.push(files.snapshot(site, config, unit)),
            Err(why) => {
                let path = files.folder(config).1;
                let why = files.unknown_words().map_or(why.clone(), |unknown| format!("{why}; {unknown}"));
                found.unfinished.push(Unfinished { path, why });
            }
        }
    }
    if !found.snapshots.is_empty() {
        return Ok(found);
    }
    if let Some(Unfinished { path, why }) = found.unfinished.pop() {
        return Err(Error::Unfinished { path, found: why });
    }
    let database = config.site.map_or("CM_XYZ (XYZ is the site code)".to_owned(), |site| format!("CM_{site}"));
    let expected = format!("a folder {database} with FULL, DIFF and LOG, or backups of this database");
    Err(Error::NoSnapshot { path: config.path.clone(), expected, found: shown(&names) })
}

/// A file below the configured path.
#[derive(Debug)]
struct SeenFile {
    /// Path below it, with `/`.
    name: String,
    bytes: u64,
    modified: Timestamp,
}

/// Everything below the configured path.
#[derive(Debug, Default)]
struct Seen {
    files: Vec<SeenFile>,
    /// The folders of databases, by their names.
    databases: BTreeMap<String, SiteCode>,
    unreadable: Vec<String>,
}

/// What was found of one site.
#[derive(Debug, Default)]
struct OfSite {
    listed: Vec<Listed>,
    /// Files whose headers cannot be read, and why.
    by_name: Vec<String>,
    /// Not understood: path and time.
    unknown: Vec<(String, Timestamp)>,
    /// Other files in the folders of the database.
    foreign: Vec<String>,
    /// Folders of the database.
    folders: BTreeSet<String>,
    notes: Vec<String>,
}

impl Seen {
    fn folder(&mut self, path: &Path, below: &str, depth: usize, names: &[String]) -> Result<(), Error> {
        let own = below.rsplit('/').next().filter(|name| !name.is_empty());
        let own = own.or_else(|| path.file_name().and_then(|name| name.to_str()));
        if let Some(site) = own.and_then(site_of_database) {
            self.databases.insert(below.to_owned(), site);
        }
        for name in names {
            let place = path.join(name);
            let below = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
            let metadata = match std::fs::symlink_metadata(&place) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    self.unreadable.push(below);
                    continue;
                }
                Err(source) => return Err(Error::Read { path: place, source }),
            };
            match walk::classify(metadata.file_type()) {
                Ok(Kind::File) => {
                    let modified = walk::modified(&metadata);
                    self.files.push(SeenFile { name: below, bytes: metadata.len(), modified });
                }
                Ok(Kind::Folder) if depth > 1 => match list(&place) {
                    Ok(names) => self.folder(&place, &below, depth - 1, &names)?,
                    Err(Error::NotAFolder { .. } | Error::Missing { .. }) => {}
                    Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
                        self.unreadable.push(below);
                    }
                    Err(error) => return Err(error),
                },
                _ => {}
            }
        }
        Ok(())
    }

    /// The site in whose folder of a database a file lies.
    fn database_of(&self, name: &str) -> Option<(&str, SiteCode)> {
        let above = name.rmatch_indices('/').filter_map(|(slash, _)| name.get(..slash)).chain(std::iter::once(""));
        above
            .filter_map(|folder| self.databases.get_key_value(folder))
            .map(|(name, site)| (name.as_str(), *site))
            .next()
    }

    /// Says of every file whose backup it is.
    fn sort(self, config: &config::Snapshot, rule: Rule) -> BTreeMap<SiteCode, OfSite> {
        let mut sites: BTreeMap<SiteCode, OfSite> = BTreeMap::new();
        for (folder, site) in &self.databases {
            sites.entry(*site).or_default().folders.insert(folder.clone());
        }
        for seen in &self.files {
            self.sort_file(seen, config, rule, &mut sites);
        }
        for folder in &self.unreadable {
            for site in sites.values_mut().filter(|_| !folder.contains('$')) {
                site.notes.push(format!("{folder} cannot be read: what is in it was not looked at"));
            }
        }
        sites
    }

    fn sort_file(
        &self,
        seen: &SeenFile,
        config: &config::Snapshot,
        rule: Rule,
        sites: &mut BTreeMap<SiteCode, OfSite>,
    ) {
        let file = seen.name.rsplit('/').next().unwrap_or(&seen.name);
        let named = BackupName::parse(file);
        let place = self.database_of(&seen.name);
        let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
        let usual = EXTENSIONS.contains(&extension.as_str());
        if !usual && named.is_none() && place.is_none() {
            return;
        }
        let age = rule.now.duration_since(seen.modified);
        let young = age < jiff::SignedDuration::try_from(rule.quiet).unwrap_or(jiff::SignedDuration::MAX);
        let headers = match seen.bytes {
            0 => Headers::Unknown("it is empty".into()),
            _ if young => Headers::Young,
            _ => headers::of(&config.path.join(&seen.name), seen.bytes, seen.modified),
        };
        let (site, kind, header) = match &headers {
            Headers::Known(facts) => {
                let Some(set) = facts.sets.first() else { return };
                let Some(site) = site_of_database(&set.database) else {
                    // Of another database, whatever its name says.
                    if let Some((_, site)) = place {
                        sites.entry(site).or_default().foreign.push(seen.name.clone());
                    }
                    return;
                };
                let kind = set.kind.map(|kind| of_type(kind, named.as_ref().map(|name| name.kind), file));
                (site, kind.or(named.as_ref().map(|name| name.kind)), Some(facts.clone()))
            }
            Headers::Unknown(why) => {
                let Some(site) = named.as_ref().map(|name| name.site).or(place.map(|(_, site)| site)) else { return };
                let of_site = sites.entry(site).or_default();
                match &named {
                    // In the folder of another site's database.
                    Some(_) if place.is_some_and(|(_, other)| other != site) => {
                        let (_, other) = place.expect("just looked at");
                        sites.entry(other).or_default().foreign.push(seen.name.clone());
                        return;
                    }
                    Some(name) => {
                        of_site.by_name.push(format!("{}: {why}", seen.name));
                        (site, Some(name.kind), None)
                    }
                    None if usual => {
                        of_site.unknown.push((seen.name.clone(), seen.modified));
                        return;
                    }
                    None => {
                        of_site.foreign.push(seen.name.clone());
                        return;
                    }
                }
            }
            Headers::Young => {
                let Some(site) = named.as_ref().map(|name| name.site).or(place.map(|(_, site)| site)) else { return };
                if let Some((_, other)) = place.filter(|(_, other)| *other != site || (named.is_none() && !usual)) {
                    sites.entry(other).or_default().foreign.push(seen.name.clone());
                    return;
                }
                if named.is_none() {
                    let note = format!("{} is left for the next archive: it may still be written", seen.name);
                    sites.entry(site).or_default().notes.push(note);
                    return;
                }
                (site, named.as_ref().map(|name| name.kind), None)
            }
        };
        let of_site = sites.entry(site).or_default();
        let Some(kind) = kind else {
            of_site.unknown.push((seen.name.clone(), seen.modified));
            return;
        };
        let started =
            named.as_ref().map(|name| name.started).or_else(|| date_in(file)).unwrap_or_else(|| local(seen.modified));
        let stripe = named.as_ref().and_then(|name| name.stripe);
        let stripe =
            stripe.or(header.as_ref().filter(|header| header.families > 1).map(|header| u32::from(header.family)));
        let set = header.as_ref().and_then(|header| header.media_set);
        let group = named.as_ref().map(|name| name.server.to_lowercase());
        let group = group.or(set.map(|set| set.to_string())).unwrap_or_else(|| seen.name.clone());
        // Stripes are finished at different seconds: what has no date in its name has that of its backup.
        let started = match set.filter(|_| named.is_none() && date_in(file).is_none()) {
            Some(_) => of_site.listed.iter().find(|one| one.group == group).map_or(started, |one| one.started),
            None => started,
        };
        let file = BackupFile { name: seen.name.clone(), stripe, bytes: seen.bytes, modified: seen.modified, header };
        of_site.listed.push(Listed { file, kind, started, group });
    }
}

/// The kind that headers say; that it is beside the sequence of the others only the name tells.
fn of_type(kind: BackupType, named: Option<BackupKind>, file: &str) -> BackupKind {
    let copy_only = named.map_or(file.to_ascii_uppercase().contains("COPY_ONLY"), |kind| {
        matches!(kind, BackupKind::FullCopyOnly | BackupKind::LogCopyOnly)
    });
    match kind {
        BackupType::Differential => BackupKind::Diff,
        BackupType::Log if copy_only => BackupKind::LogCopyOnly,
        BackupType::Log => BackupKind::Log,
        _ if copy_only => BackupKind::FullCopyOnly,
        _ => BackupKind::Full,
    }
}

/// The server's clock is not known here; that of this machine is as good a guess as any.
fn local(time: Timestamp) -> DateTime {
    let time = TimeZone::system().to_datetime(time);
    time.date().to_datetime(Time::new(time.hour(), time.minute(), time.second(), 0).unwrap_or(Time::midnight()))
}

impl OfSite {
    /// The folder that holds all backups that matter: that of the database, or the configured path where there are
    /// several. With its path below the configured one.
    fn folder(&self, config: &config::Snapshot) -> (String, PathBuf) {
        let holds = |folder: &String| self.listed.iter().all(|one| is_below(&one.file.name, folder));
        let mut holding = self.folders.iter().filter(|folder| holds(folder));
        let folder = holding.next_back().cloned().unwrap_or_default();
        let path = if folder.is_empty() { config.path.clone() } else { config.path.join(&folder) };
        (folder, path)
    }

    fn snapshot(mut self, site: SiteCode, config: &config::Snapshot, mut unit: Unit) -> Snapshot {
        let taken: BTreeSet<String> = unit.files().map(|file| file.name.clone()).collect();
        self.listed.retain(|one| taken.contains(&one.file.name));
        let elsewhere: Vec<&String> =
            self.folders.iter().filter(|folder| !taken.iter().any(|name| is_below(name, folder))).collect();
        for folder in elsewhere {
            let path = config.path.join(folder);
            unit.notes.push(format!("there are older backups in {}: they are left alone", path.display()));
        }
        let newest = unit.newest().finished();
        let (newer, older): (Vec<_>, Vec<_>) = self.unknown.iter().partition(|(_, modified)| *modified > newest);
        let names =
            |files: Vec<&(String, Timestamp)>| files.into_iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        if let Some(named) = named(&names(newer)) {
            unit.faults.push(format!(
                "newer than the {}, and not understood: {named}; neither names nor headers tell what they are",
                unit.newest()
            ));
        }
        let (folder, path) = self.folder(config);
        let below = |name: &String| {
            name.strip_prefix(&folder).map_or(name.as_str(), |rest| rest.trim_start_matches('/')).to_owned()
        };
        self.foreign.extend(names(older));
        let foreign: Vec<String> = self.foreign.iter().map(below).collect();
        if let Some(named) = named(&foreign) {
            unit.notes.push(format!("no backups of this database, left alone: {named}"));
        }
        self.by_name.retain(|text| {
            taken.iter().any(|name| text.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(": ")))
        });
        if let Some(named) = named(&self.by_name) {
            unit.warnings.push(format!("the headers of backups cannot be read, so their names have to do: {named}"));
        }
        unit.notes.append(&mut self.notes);
        unit.place_below(&folder);
        let mut parts = vec![Part { kind: PartKind::SqlBackups, path, unit: Some(unit) }];
        parts.extend(config.cd_latest.clone().map(|path| Part { kind: PartKind::CdLatest, path, unit: None }));
        Snapshot { site, parts }
    }

    /// What was not understood, in words.
    fn unknown_words(&self) -> Option<String> {
        let names: Vec<String> =
            self.unknown.iter().map(|(name, _)| name.clone()).chain(self.by_name.iter().cloned()).collect();
        named(&names).map(|named| format!("not understood: {named}"))
    }
}

fn is_below(name: &str, folder: &str) -> bool {
    folder.is_empty() || name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// A few of them, and how many more there are.
fn named(names: &[String]) -> Option<String> {
    let more = names.len().saturating_sub(NAMED);
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    (!names.is_empty()).then(|| format!("{}{rest}", names[..NAMED.min(names.len())].join(", ")))
}
