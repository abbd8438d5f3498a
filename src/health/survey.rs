//! What destinations hold, as far as monitoring needs to know: the newest archive of each site, how much there is, and
//! what is not as it should be.
//!
//! Every manifest is read: only it tells whether the file beside it is whole, and an older archive that is not is one
//! that is missing on the day of a recovery.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use crate::archive::manifest::Database;
use crate::archive::verdict::Why;
use crate::catalog::{self, ProblemKind};
use crate::destination::{self, Destination, Target};
use crate::name::{ArchiveId, Form, SiteCode, StoredFile};
use crate::retention::plan::is_future;
use crate::source::KnownFolder;

/// A destination and what it holds of each site, or why that is not known.
#[derive(Debug)]
pub struct Surveyed {
    /// Its name.
    pub name: String,
    /// Path or URL, without secrets.
    pub location: String,
    /// By site. A site without archives may be missing.
    pub holdings: Result<BTreeMap<SiteCode, Holding>, destination::Error>,
}

impl Surveyed {
    /// What it holds of a site.
    #[must_use]
    pub fn of(&self, site: SiteCode) -> Option<&Holding> {
        self.holdings.as_ref().ok().and_then(|holdings| holdings.get(&site))
    }
}

/// What a destination holds of a site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Holding {
    /// The newest whole archive that is not of the future.
    pub newest: Option<Newest>,
    /// How many archives there are.
    pub archives: u64,
    /// Their size.
    pub bytes: u64,
    /// Archives of the future: a clock is or was wrong.
    pub future: Vec<ArchiveId>,
    /// Archives that are not whole, and what is wrong with them.
    pub broken: Vec<Broken>,
    /// What unfinished runs have left, and archives without a manifest.
    pub stray: Vec<Stray>,
    /// Why it is not known what unfinished runs have left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strays_unknown: Option<String>,
    /// Those that are whole, of all series and times.
    #[serde(skip)]
    pub ids: BTreeSet<ArchiveId>,
}

/// Something that belongs to no archive that can be listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stray {
    /// Its key.
    pub key: String,
    /// When it was last written, by the destination's clock.
    pub modified: Timestamp,
    /// Is it a whole archive file, without a manifest?
    pub archive: bool,
}

/// The newest archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Newest {
    /// Its id.
    pub id: ArchiveId,
    /// Size of the archive file.
    pub bytes: u64,
    /// Size of what is in it, and the verdicts on its databases, unless a newer version wrote it.
    #[serde(flatten)]
    pub content: Option<Content>,
}

/// What the manifest tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Content {
    /// Size of what is in it.
    pub uncompressed_bytes: u64,
    /// Did its databases pass, as far as they could be checked?
    pub good: bool,
    /// The verdicts.
    pub databases: Vec<Database>,
    /// Folders of the task that are not in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// An archive that is visible and not whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Its id.
    pub id: ArchiveId,
    /// What is wrong with it.
    pub problem: String,
}

impl Newest {
    /// Is it known to be damaged?
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        !self.is_stand_in() && self.content.as_ref().is_some_and(|content| !content.good)
    }

    /// What is wrong with it, as the end of a sentence.
    #[must_use]
    pub fn damage(&self) -> String {
        let missing: Vec<&str> =
            self.content.iter().flat_map(|content| &content.missing).map(|code| folder_name(code)).collect();
        let databases = self.content.iter().flat_map(|content| &content.databases);
        let mut damaged: Vec<&str> =
            databases.filter(|one| one.verdict.is_damaged()).map(|one| one.name.as_str()).collect();
        damaged.dedup();
        match (damaged.is_empty(), missing.is_empty()) {
            (false, _) => format!(": the database {} is damaged or missing", damaged.join(", ")),
            (true, false) => format!(" lacks {}", missing.join(", ")),
            (true, true) => " is not good".to_owned(),
        }
    }

    /// Does it have stand-ins in the place of databases, as trials have, and nothing that is damaged?
    #[must_use]
    pub fn is_stand_in(&self) -> bool {
        self.content.as_ref().is_some_and(|content| {
            let stand_in = |one: &Database| one.why == Some(Why::StandIn);
            content.databases.iter().any(stand_in) && !content.databases.iter().any(|one| one.verdict.is_damaged())
        })
    }
}

fn folder_name(code: &str) -> &str {
    KnownFolder::of_code(code).map_or(code, |folder| folder.name())
}

/// Looks at all destinations: at the archives of this series of these sites, or of all that are there.
#[must_use]
pub fn survey(
    targets: &[Target],
    sites: Option<&BTreeSet<SiteCode>>,
    series: Option<&str>,
    now: Timestamp,
) -> Vec<Surveyed> {
    let one = |target: &Target| Surveyed {
        name: target.name().to_owned(),
        location: target.location(),
        holdings: target.open().and_then(|destination| look(&**destination, sites, series, now)),
    };
    // One that is away takes minutes to say so: they are asked at the same time.
    std::thread::scope(|scope| {
        let asked: Vec<_> = targets.iter().map(|target| scope.spawn(move || one(target))).collect();
        asked.into_iter().map(|thread| thread.join().expect("looking at a destination does not panic")).collect()
    })
}

fn look(
    destination: &dyn Destination,
    sites: Option<&BTreeSet<SiteCode>>,
    series: Option<&str>,
    now: Timestamp,
) -> Result<BTreeMap<SiteCode, Holding>, destination::Error> {
    let sites = if let Some(sites) = sites {
        sites.clone()
    } else {
        let own = |name: &String| name.parse().ok().filter(|site: &SiteCode| site.as_str() == name);
        destination.folders()?.iter().filter_map(own).collect()
    };
    sites.into_iter().map(|site| Ok((site, look_at_site(destination, site, series, now)?))).collect()
}

fn look_at_site(
    destination: &dyn Destination,
    site: SiteCode,
    series: Option<&str>,
    now: Timestamp,
) -> Result<Holding, destination::Error> {
    let catalog = catalog::read(destination, Some(site))?;
    let mut holding = Holding::default();
    // Written by a newer version of this program, which knows what it did.
    let mut newer = BTreeSet::new();
    for problem in catalog.problems {
        let name = problem.key.rsplit('/').next().unwrap_or_default();
        let Some(StoredFile::Manifest(id)) = StoredFile::parse(name) else { continue };
        match problem.kind {
            ProblemKind::Newer => drop(newer.insert(id)),
            // What another kind of source makes is no backup of this one.
            _ if id.series() != series => {}
            _ => holding.broken.push(Broken { id, problem: problem.problem }),
        }
    }
    for (id, stored) in catalog.archives.iter().filter(|(_, stored)| stored.whole) {
        if id.series() == series {
            holding.archives += 1;
            holding.bytes += stored.manifest.bytes;
        }
        holding.ids.insert(id.clone());
    }
    holding.archives += newer.iter().filter(|id| id.series() == series).count() as u64;
    holding.ids.extend(newer.iter().cloned());
    let (future, past): (Vec<&ArchiveId>, Vec<&ArchiveId>) =
        holding.ids.iter().filter(|id| id.series() == series).partition(|id| is_future(id.stamp(), now));
    holding.future = future.into_iter().rev().cloned().collect();
    holding.newest = past.last().map(|id| {
        let id = (*id).clone();
        let Some(stored) = catalog.archives.get(&id) else {
            let names = Form::ALL.map(|form| id.archive_name(form));
            let found = names.iter().find_map(|name| destination.stat(&id.key(name)).ok());
            return Newest { id, bytes: found.map_or(0, |entry| entry.bytes), content: None };
        };
        let content = Content {
            uncompressed_bytes: stored.manifest.snapshot_bytes,
            good: stored.manifest.is_good(),
            databases: stored.manifest.databases.clone(),
            missing: stored.manifest.missing.clone(),
        };
        Newest { id, bytes: stored.manifest.bytes, content: Some(content) }
    });
    let orphans = catalog.orphans.into_iter().filter(|one| one.id.series() == series);
    holding.stray.extend(orphans.map(|one| Stray { key: one.key, modified: one.entry.modified, archive: true }));
    match destination.leftovers(site.as_str()) {
        Ok(leftovers) => holding.stray.extend(leftovers.into_iter().map(|one| Stray {
            key: one.key,
            modified: one.modified,
            archive: false,
        })),
        Err(error) => holding.strays_unknown = Some(crate::error::chain(&error)),
    }
    Ok(holding)
}
