//! Finds the folders of site databases and reads the names in them. All input and output of the choice is here.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::super::discover::{list, shown};
use super::super::walk::{self, Kind};
use super::super::{Error, Found, Part, PartKind, Snapshot, Unfinished};
use super::name::{BackupKind, BackupName, site_of_database};
use super::unit::{BackupFile, Listed, Rule, Unit, choose};
use crate::config;
use crate::name::SiteCode;

/// How many foreign files are named.
const NAMED: usize = 5;

/// Finds the units below the configured path: the folder of a database, of a server, or one that holds those of
/// servers.
///
/// # Errors
/// When a path cannot be read, or there is no full backup of a site's database.
pub(in super::super) fn discover(config: &config::Snapshot, now: Timestamp) -> Result<Found, Error> {
    let names = list(&config.path)?;
    let databases = databases(&config.path, &names)?;
    let rule = Rule { logs: config.log_backups, quiet: config.quiet, now };
    let mut found = Found::default();
    let mut chosen: Vec<(SiteCode, PathBuf, Unit)> = Vec::new();
    for (site, path) in databases.into_iter().filter(|(site, _)| config.site.is_none_or(|wanted| wanted == *site)) {
        let (files, foreign) = read(&path, site)?;
        let listed = files.iter().filter_map(|file| {
            let name = file.name.rsplit('/').next().and_then(BackupName::parse)?;
            Some(Listed { file: file.clone(), name })
        });
        match choose(listed.collect(), rule) {
            Ok(mut unit) => {
                unit.notes.extend(foreign);
                chosen.push((site, path, unit));
            }
            Err(why) => found.unfinished.push(Unfinished { path, why }),
        }
    }
    // Of a database that is backed up in two places, as after a move to another server, the newer backup counts.
    chosen.sort_by(|(site, _, unit), (other, _, than)| {
        site.cmp(other).then_with(|| than.newest().finished().cmp(&unit.newest().finished()))
    });
    for (site, path, unit) in chosen {
        match found.snapshots.last_mut() {
            Some(Snapshot { site: same, parts }) if *same == site => {
                let note = format!("there are older backups in {}: they are left alone", path.display());
                parts.iter_mut().filter_map(|part| part.unit.as_mut()).for_each(|unit| unit.notes.push(note.clone()));
            }
            _ => {
                let mut parts = vec![Part { kind: PartKind::SqlBackups, path, unit: Some(unit) }];
                parts.extend(config.cd_latest.clone().map(|path| Part { kind: PartKind::CdLatest, path, unit: None }));
                found.snapshots.push(Snapshot { site, parts });
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
    let expected = format!("a folder {database} with FULL, DIFF and LOG, at most two levels down");
    Err(Error::NoSnapshot { path: config.path.clone(), expected, found: shown(&names) })
}

/// The folders of databases: the path itself, or below it, or below the folders in it.
fn databases(path: &Path, names: &[String]) -> Result<Vec<(SiteCode, PathBuf)>, Error> {
    let itself = path.file_name().and_then(|name| name.to_str()).and_then(site_of_database);
    if let Some(site) = itself {
        return Ok(vec![(site, path.to_path_buf())]);
    }
    let mut found = Vec::new();
    for name in names {
        let below = path.join(name);
        if let Some(site) = site_of_database(name) {
            found.push((site, below));
            continue;
        }
        let names = match list(&below) {
            Ok(names) => names,
            // A file, or gone meanwhile, or a folder that is none of our business.
            Err(Error::NotAFolder { .. } | Error::Missing { .. }) => continue,
            Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => continue,
            Err(error) => return Err(error),
        };
        found.extend(names.iter().filter_map(|name| Some((site_of_database(name)?, below.join(name)))));
    }
    Ok(found)
}

/// The backups in the folder of a database, and what else lies there, in words.
fn read(folder: &Path, site: SiteCode) -> Result<(Vec<BackupFile>, Option<String>), Error> {
    let (mut files, mut foreign) = (Vec::new(), Vec::new());
    for kind_folder in list(folder)? {
        if !BackupKind::ALL.iter().any(|kind| kind_folder.eq_ignore_ascii_case(kind.name())) {
            foreign.push(kind_folder);
            continue;
        }
        let path = folder.join(&kind_folder);
        let names = match list(&path) {
            Ok(names) => names,
            Err(Error::NotAFolder { .. } | Error::Missing { .. }) => continue,
            Err(error) => return Err(error),
        };
        for file in names {
            let below = format!("{kind_folder}/{file}");
            match BackupName::parse(&file) {
                Some(name) if name.site == site => {
                    let stripe = name.stripe;
                    match look(&path.join(&file))? {
                        Some((bytes, modified)) => files.push(BackupFile { name: below, stripe, bytes, modified }),
                        None => foreign.push(below),
                    }
                }
                _ => foreign.push(below),
            }
        }
    }
    Ok((files, left_alone(&foreign)))
}

/// Size and time of a file; `None` if it is none, or gone.
fn look(path: &Path) -> Result<Option<(u64, Timestamp)>, Error> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => {
            let file = walk::classify(metadata.file_type()) == Ok(Kind::File);
            Ok(file.then(|| (metadata.len(), walk::modified(&metadata))))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { path: path.to_path_buf(), source }),
    }
}

fn left_alone(foreign: &[String]) -> Option<String> {
    let more = foreign.len().saturating_sub(NAMED);
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    let named = foreign.get(..NAMED.min(foreign.len())).unwrap_or_default().join(", ");
    (!foreign.is_empty()).then(|| format!("no backups of this database, left alone: {named}{rest}"))
}
