//! What a destination holds, from its own files alone.
//!
//! Nothing is remembered between runs. A listing says which files there are; the manifests among them are read, several
//! at a time; everything that does not fit together is a [`Problem`] that is told and otherwise left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::archive::manifest::{MAX_BYTES, Manifest};
use crate::archive::name::{ArchiveId, SiteCode, StoredFile};
use crate::destination::{self, Destination, Entry};

/// Manifests are read by so many threads.
const READERS: usize = 16;

/// An archive on a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What is known of it.
    pub manifest: Manifest,
    /// Why it is never pruned, if it is pinned.
    pub pin: Option<Pin>,
    /// Does the archive file lie there with the right size?
    pub whole: bool,
}

impl Stored {
    /// Whole, and its databases passed as far as they could be checked.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.whole && self.manifest.is_good()
    }
}

/// Why an archive is never pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pin {
    /// In the words of whoever pinned it.
    pub reason: String,
    /// Account and host.
    pub by: String,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<Timestamp>,
}

/// Something on a destination that is not right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Of which kind.
    pub kind: ProblemKind,
    /// The file.
    pub key: String,
    /// What is wrong with it, in words.
    pub problem: String,
}

/// What a [`Problem`] means for the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// The manifest is damaged or none of ours: the archive cannot be seen.
    Manifest,
    /// The archive was written by a newer version, and cannot be read by this one.
    Newer,
    /// The archive file is missing or has the wrong size.
    Archive,
}

/// An archive file without manifest: what a run that was killed has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Its key.
    pub key: String,
    /// The archive it would have been.
    pub id: ArchiveId,
    /// Size and time.
    pub entry: Entry,
}

/// What a destination holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// The sites whose folders were read.
    pub sites: BTreeSet<SiteCode>,
    /// Archives by id, oldest of each site first.
    pub archives: BTreeMap<ArchiveId, Stored>,
    /// What is not right.
    pub problems: Vec<Problem>,
    /// Archive files without manifest.
    pub orphans: Vec<Orphan>,
}

/// Reads the catalog of a destination, of one site or of all.
///
/// # Errors
/// When the destination cannot be listed, or a manifest cannot be read for reasons that lie with the destination.
pub fn read(destination: &dyn Destination, site: Option<SiteCode>) -> Result<Catalog, destination::Error> {
    let sites: BTreeSet<SiteCode> = match site {
        Some(site) => BTreeSet::from([site]),
        None => destination.folders()?.iter().filter_map(|name| site_folder(name)).collect(),
    };
    let mut catalog = Catalog { sites, ..Catalog::default() };
    for site in catalog.sites.clone() {
        read_site(destination, site, &mut catalog)?;
    }
    Ok(catalog)
}

/// Only the one spelling is a site's folder.
fn site_folder(name: &str) -> Option<SiteCode> {
    name.parse().ok().filter(|site: &SiteCode| site.as_str() == name)
}

fn read_site(destination: &dyn Destination, site: SiteCode, catalog: &mut Catalog) -> Result<(), destination::Error> {
    let mut manifests = Vec::new();
    let mut archives = BTreeMap::new();
    let mut pins = BTreeSet::new();
    for entry in destination.list(site.as_str())? {
        match StoredFile::parse(&entry.name) {
            Some(StoredFile::Manifest(id)) if id.site() == site => manifests.push(id),
            Some(StoredFile::Archive { id, .. }) if id.site() == site => {
                archives.insert(entry.name.clone(), (id, entry));
            }
            Some(StoredFile::Pin(id)) if id.site() == site => {
                pins.insert(id);
            }
            // Foreign files are neither read nor touched.
            _ => {}
        }
    }
    let read = in_parallel(&manifests, |id| {
        let bytes = destination.read(&id.key(&id.manifest_name()), MAX_BYTES);
        let pin = pins.contains(id).then(|| read_pin(destination, id));
        (bytes, pin)
    });
    let described: BTreeSet<&ArchiveId> = manifests.iter().collect();
    for (id, (bytes, pin)) in manifests.iter().zip(read) {
        let key = id.key(&id.manifest_name());
        let bytes = match bytes {
            Ok(bytes) => bytes,
            // Pruned by somebody between listing and reading.
            Err(error) if error.is_not_found() => continue,
            Err(error) if error.kind == destination::ErrorKind::TooLarge => {
                let problem = "it is too large for a manifest".to_owned();
                catalog.problems.push(Problem { kind: ProblemKind::Manifest, key, problem });
                continue;
            }
            Err(error) => return Err(error),
        };
        match Manifest::parse(&id.manifest_name(), &bytes) {
            Err(error) => {
                let kind = if error.is_newer() { ProblemKind::Newer } else { ProblemKind::Manifest };
                catalog.problems.push(Problem { kind, key, problem: words(&error) });
            }
            Ok(manifest) => {
                let file = archives.get(&manifest.archive);
                let whole = file.is_some_and(|(_, entry)| entry.bytes == manifest.bytes);
                if !whole {
                    let problem = match file {
                        None => "its archive is missing".to_owned(),
                        Some((_, entry)) => {
                            format!("its archive has {} bytes instead of {}", entry.bytes, manifest.bytes)
                        }
                    };
                    catalog.problems.push(Problem { kind: ProblemKind::Archive, key, problem });
                }
                catalog.archives.insert(id.clone(), Stored { manifest, pin, whole });
            }
        }
    }
    let orphans = archives.into_values().filter(|(id, _)| !described.contains(id));
    catalog.orphans.extend(orphans.map(|(id, entry)| Orphan { key: id.key(&entry.name), id, entry }));
    Ok(())
}

/// A pin counts even if it cannot be read.
fn read_pin(destination: &dyn Destination, id: &ArchiveId) -> Pin {
    let bytes = destination.read(&id.key(&id.pin_name()), MAX_BYTES);
    bytes.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn words(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// Applies `read` to all items on several threads; results in the order of the items.
fn in_parallel<T: Sync, R: Send>(items: &[T], read: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..READERS.min(items.len()) {
            scope.spawn(|| {
                while let Some((number, item)) = {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    items.get(number).map(|item| (number, item))
                } {
                    let result = read(item);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|&(number, _)| number);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Which archive somebody means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// `XYZ-20261122T235900Z`
    Id(ArchiveId),
    /// `latest`, `latest~2`: so many before the newest.
    Latest(usize),
    /// `latest-good`: the newest whose databases passed their checks.
    LatestGood,
    /// `XYZ@2026-11-20`: the newest of the site that is not after the day (UTC).
    NotAfter(SiteCode, Date),
}

impl std::str::FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let fault = || SelectorError::Form(text.to_owned());
        match text {
            "latest" => return Ok(Self::Latest(0)),
            "latest-good" => return Ok(Self::LatestGood),
            _ => {}
        }
        if let Some(back) = text.strip_prefix("latest~") {
            return back.parse().map(Self::Latest).map_err(|_| fault());
        }
        if let Some((site, day)) = text.split_once('@') {
            let site = site.parse().map_err(|_| fault())?;
            return day.parse().map(|day| Self::NotAfter(site, day)).map_err(|_| fault());
        }
        text.parse().map(Self::Id).map_err(|_| fault())
    }
}

impl Selector {
    /// The archive that is meant, among these (id, is it good).
    ///
    /// # Errors
    /// When there is none, or several sites are there and the selector does not say which.
    pub fn choose<'a>(
        &self,
        archives: impl IntoIterator<Item = (&'a ArchiveId, bool)>,
    ) -> Result<ArchiveId, SelectorError> {
        let archives: BTreeMap<&ArchiveId, bool> = archives.into_iter().collect();
        if let Self::Id(id) = self {
            return archives.contains_key(id).then(|| id.clone()).ok_or_else(|| SelectorError::Missing(id.to_string()));
        }
        // Relative selectors speak of the site's own archives, not of separate series.
        let own: Vec<(&ArchiveId, bool)> = archives.into_iter().filter(|(id, _)| id.series().is_none()).collect();
        let site = match self {
            Self::NotAfter(site, _) => Some(*site),
            _ => own.first().map(|(id, _)| id.site()),
        };
        let is_named = matches!(self, Self::NotAfter(..));
        if !is_named && own.iter().any(|(id, _)| Some(id.site()) != site) {
            return Err(SelectorError::SeveralSites);
        }
        let newest_first = own.iter().rev().filter(|(id, _)| Some(id.site()) == site);
        let chosen = match self {
            Self::Latest(back) => newest_first.map(|(id, _)| id).nth(*back),
            Self::LatestGood => newest_first.filter(|(_, good)| *good).map(|(id, _)| id).next(),
            Self::NotAfter(_, day) => {
                newest_first.map(|(id, _)| id).find(|id| jiff::tz::TimeZone::UTC.to_datetime(id.stamp()).date() <= *day)
            }
            Self::Id(_) => None,
        };
        chosen.map(|&id| id.clone()).ok_or_else(|| SelectorError::Missing(self.to_string()))
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Latest(0) => f.write_str("latest"),
            Self::Latest(back) => write!(f, "latest~{back}"),
            Self::LatestGood => f.write_str("latest-good"),
            Self::NotAfter(site, day) => write!(f, "{site}@{day}"),
        }
    }
}

/// Why no archive could be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Not a selector.
    #[error(
        "'{0}' names no archive: give an id like XYZ-20261122T235900Z, or latest, latest~2, latest-good, XYZ@2026-11-20"
    )]
    Form(String),
    /// There is none.
    #[error("there is no archive '{0}' on these destinations")]
    Missing(String),
    /// Which site?
    #[error("there are archives of several sites: say which with --site, or give an id")]
    SeveralSites,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(texts: &[&str]) -> Vec<ArchiveId> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn choose(selector: &str, archives: &[ArchiveId], damaged: &[usize]) -> Result<String, SelectorError> {
        let selector: Selector = selector.parse().unwrap();
        let archives = archives.iter().enumerate().map(|(number, id)| (id, !damaged.contains(&number)));
        selector.choose(archives).map(|id| id.to_string())
    }

    #[test]
    fn selectors_name_archives() {
        let archives =
            ids(&["XYZ-20261120T235900Z", "XYZ-20261121T000100Z", "XYZ-20261122T235900Z", "XYZ.Lib-20261123T000000Z"]);
        assert_eq!(choose("latest", &archives, &[]).unwrap(), "XYZ-20261122T235900Z");
        assert_eq!(choose("latest~2", &archives, &[]).unwrap(), "XYZ-20261120T235900Z");
        assert_eq!(choose("latest-good", &archives, &[2]).unwrap(), "XYZ-20261121T000100Z");
        assert_eq!(choose("XYZ@2026-11-20", &archives, &[]).unwrap(), "XYZ-20261120T235900Z");
        assert_eq!(choose("xyz@2026-11-21", &archives, &[]).unwrap(), "XYZ-20261121T000100Z");
        assert_eq!(choose("XYZ.Lib-20261123T000000Z", &archives, &[]).unwrap(), "XYZ.Lib-20261123T000000Z");
    }

    #[test]
    fn what_is_not_there_is_said() {
        let archives = ids(&["XYZ-20261120T235900Z"]);
        assert!(matches!(choose("latest~1", &archives, &[]), Err(SelectorError::Missing(_))));
        assert!(matches!(choose("latest-good", &archives, &[0]), Err(SelectorError::Missing(_))));
        assert!(matches!(choose("XYZ@2026-11-19", &archives, &[]), Err(SelectorError::Missing(_))));
        let two = ids(&["ABC-20261120T235900Z", "XYZ-20261120T235900Z"]);
        assert_eq!(choose("latest", &two, &[]), Err(SelectorError::SeveralSites));
        assert_eq!(choose("ABC@2026-11-20", &two, &[]).unwrap(), "ABC-20261120T235900Z");
        for text in ["", "newest", "latest~", "latest~x", "XYZ@", "XYZ@yesterday", "@2026-11-20"] {
            assert!(text.parse::<Selector>().is_err(), "{text:?}");
        }
    }
}
