//! What destinations hold, as far as monitoring needs to know: the newest archive of each site, and how much there is.
//!
//! [`crate::catalog`] reads every manifest. That is too much for something that is asked every few minutes, and on a
//! bucket costs money: names and sizes come with the listing, and names carry the time. So of each site only
//! the newest manifest is read, and older ones only as long as what is newer is not whole.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use crate::archive::manifest::{Database, MAX_BYTES, Manifest};
use crate::destination::{self, Destination, Entry, Target};
use crate::name::{ArchiveId, SiteCode, StoredFile};
use crate::retention::plan::is_future;

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
    /// Archives newer than the newest that are not whole, and what is wrong with them.
    pub broken: Vec<Broken>,
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
        self.content.as_ref().is_some_and(|content| !content.good)
    }
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
    let mut files: BTreeMap<ArchiveId, Entry> = BTreeMap::new();
    let mut manifests = BTreeSet::new();
    for entry in destination.list(site.as_str())? {
        match StoredFile::parse(&entry.name) {
            Some(StoredFile::Manifest(id)) => drop(manifests.insert(id)),
            Some(StoredFile::Archive { id, .. }) => drop(files.insert(id, entry)),
            Some(StoredFile::Pin(_)) | None => {}
        }
    }
    // What another kind of source makes is no backup of this one.
    manifests.retain(|id: &ArchiveId| id.site() == site && id.series() == series);
    let mut holding = Holding::default();
    for id in manifests.iter().rev() {
        let Some(file) = files.get(id) else {
            if holding.newest.is_none() {
                holding.broken.push(Broken { id: id.clone(), problem: "its archive is missing".to_owned() });
            }
            continue;
        };
        holding.archives += 1;
        holding.bytes += file.bytes;
        if is_future(id.stamp(), now) {
            holding.future.push(id.clone());
        } else if holding.newest.is_none() {
            match judge(destination, id, file)? {
                Ok(newest) => holding.newest = Some(newest),
                Err(problem) => holding.broken.push(Broken { id: id.clone(), problem }),
            }
        }
    }
    Ok(holding)
}

/// The archive, or what is wrong with it.
fn judge(
    destination: &dyn Destination,
    id: &ArchiveId,
    file: &Entry,
) -> Result<Result<Newest, String>, destination::Error> {
    let name = id.manifest_name();
    let bytes = match destination.read(&id.key(&name), MAX_BYTES) {
        Ok(bytes) => bytes,
        // Pruned between listing and reading.
        Err(error) if error.is_not_found() => return Ok(Err("its manifest has gone".to_owned())),
        Err(error) if error.kind == destination::ErrorKind::TooLarge => {
            return Ok(Err("its manifest is too large".to_owned()));
        }
        Err(error) => return Err(error),
    };
    let newest = |content| Newest { id: id.clone(), bytes: file.bytes, content };
    Ok(match Manifest::parse(&name, &bytes) {
        Ok(manifest) if manifest.bytes != file.bytes || manifest.archive != file.name => {
            Err(format!("its archive has {} bytes instead of {}", file.bytes, manifest.bytes))
        }
        Ok(manifest) => Ok(newest(Some(Content {
            uncompressed_bytes: manifest.uncompressed_bytes,
            good: manifest.is_good(),
            databases: manifest.databases,
        }))),
        // A newer version of this program knows what it did.
        Err(error) if error.is_newer() => Ok(newest(None)),
        Err(error) => Err(crate::error::chain(&error)),
    })
}
