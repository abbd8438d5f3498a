//! What a destination holds, from its own files alone.
//!
//! Nothing is remembered between runs. A listing says which files there are; the manifests among them are read, several
//! at a time; everything that does not fit together is a [`Problem`] that is told and otherwise left alone.

mod inventory;
mod selector;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::archive::manifest::{MAX_BYTES, Manifest};
use crate::destination::{self, Destination, Entry};
use crate::error::chain;
use crate::name::{ArchiveId, SiteCode, StoredFile};
use crate::retention::plan::Condition;

pub use self::inventory::{Inventory, Known, known, read_again, read_all, read_sites as read_all_of};
pub use self::selector::{Chosen, Selector, SelectorError};

/// So many manifests may fail to be read as if the destination were away, and only they are given up.
const OUTAGES: usize = 3;

/// Manifests are read by so many threads.
const READERS: usize = 16;

/// An archive on a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What is known of it.
    pub manifest: Manifest,
    /// Why it is never pruned, if it is pinned.
    pub pin: Option<Pin>,
    /// Does the archive file lie there with the right size, and all that it builds on?
    pub whole: bool,
    /// The manifest as it was listed: as long as that is the same, it need not be read again.
    listed: Entry,
}

impl Stored {
    /// x
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.whole
    }

    /// Whole, and its databases passed as far as they could be checked.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.whole && self.manifest.is_good()
    }

    /// What is known of its databases. One that is not whole counts as damaged.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match (self.is_good(), self.manifest.is_proven()) {
            (false, _) => Condition::Damaged,
            (true, true) => Condition::Good,
            (true, false) => Condition::Unknown,
        }
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
    /// The archive it concerns.
    pub archive: ArchiveId,
    /// The file.
    pub key: String,
    /// What is wrong with it, in words.
    pub problem: String,
}

impl Problem {
    /// Is there an archive of which nothing is known?
    #[must_use]
    pub fn hides_archive(&self) -> bool {
        matches!(self.kind, ProblemKind::Manifest | ProblemKind::Unreadable | ProblemKind::Newer)
    }
}

/// What a [`Problem`] means for the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// The manifest is damaged or none of ours: the archive cannot be seen.
    Manifest,
    /// The manifest cannot be read, for a reason of its own: a bad sector, a missing right, cold storage.
    Unreadable,
    /// The archive was written by a newer version, and cannot be read by this one.
    Newer,
    /// The archive file is missing or has the wrong size.
    Archive,
    /// An archive that it builds on is missing or is another one.
    Base,
    /// There is an archive file and no manifest.
    Orphan,
}

/// A file that is not part of an archive that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Its key.
    pub key: String,
    /// The archive it belongs to.
    pub id: ArchiveId,
    /// Size and time.
    pub entry: Entry,
}

/// What a destination holds.
///
/// Archives whose manifest cannot be used are among the problems alone: nothing chooses them, prunes them, or prunes
/// another one because of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// The sites whose folders were read.
    pub sites: BTreeSet<SiteCode>,
    /// Archives by id, oldest of each site first.
    pub archives: BTreeMap<ArchiveId, Stored>,
    /// What is not right.
    pub problems: Vec<Problem>,
    /// Archives with a file that is a differential one by its name.
    pub differential_files: BTreeSet<ArchiveId>,
    /// Archive files without manifest. They may be whole, so they are kept.
    pub orphans: Vec<Orphan>,
    /// What a removal that was interrupted has left: its note tells it from an archive that lost its manifest.
    pub half_removed: Vec<Orphan>,
    /// Archive files beside the one that the manifest of a whole archive names: of attempts that came second.
    pub duplicates: Vec<Orphan>,
    /// Notes of removals, and pins, that belong to no archive any more or to no removal.
    pub stray: Vec<Orphan>,
}

impl Catalog {
    /// Is there any file of this archive, as far as could be seen?
    #[must_use]
    pub fn mentions(&self, id: &ArchiveId) -> bool {
        let others = [&self.orphans, &self.half_removed, &self.duplicates, &self.stray];
        self.archives.contains_key(id)
            || self.problems.iter().any(|problem| problem.archive == *id)
            || others.into_iter().flatten().any(|orphan| orphan.id == *id)
    }
}

/// Reads the catalog of a destination, of one site or of all.
///
/// # Errors
/// When the destination cannot be listed, or a manifest cannot be read for reasons that lie with the destination.
pub fn read(destination: &dyn Destination, site: Option<SiteCode>) -> Result<Catalog, destination::Error> {
    read_sites(destination, site.map(|site| BTreeSet::from([site])).as_ref())
}

/// The same of several sites.
fn read_sites(
    destination: &dyn Destination,
    sites: Option<&BTreeSet<SiteCode>>,
) -> Result<Catalog, destination::Error> {
    let sites: BTreeSet<SiteCode> = match sites {
        Some(sites) => sites.clone(),
        None => destination.folders()?.iter().filter_map(|name| site_folder(name)).collect(),
    };
    read_after(destination, sites, &Catalog::default())
}

/// Lists the sites, and reads the manifests that were not there, or were others, when `before` was read.
fn read_after(
    destination: &dyn Destination,
    sites: BTreeSet<SiteCode>,
    before: &Catalog,
) -> Result<Catalog, destination::Error> {
    let mut catalog = Catalog { sites, ..Catalog::default() };
    for site in catalog.sites.clone() {
        read_site(destination, site, before, &mut catalog)?;
    }
    Ok(catalog)
}

/// Only the one spelling is a site's folder.
fn site_folder(name: &str) -> Option<SiteCode> {
    name.parse().ok().filter(|site: &SiteCode| site.as_str() == name)
}

/// What is under the name of a manifest.
enum Found {
    Manifest(Box<Manifest>),
    Nothing,
    Problem(ProblemKind, String),
}

/// The files of a site, by what they are.
#[derive(Default)]
struct Files {
    manifests: Vec<(ArchiveId, Entry)>,
    archives: BTreeMap<String, (ArchiveId, Entry)>,
    pins: BTreeMap<ArchiveId, Entry>,
    removing: BTreeMap<ArchiveId, Entry>,
}

impl Files {
    fn sort(site: SiteCode, entries: Vec<Entry>) -> Self {
        let mut files = Self::default();
        for entry in entries {
            match StoredFile::parse(&entry.name) {
                Some(StoredFile::Manifest(id)) if id.site() == site => files.manifests.push((id, entry)),
                Some(StoredFile::Archive { id, .. }) if id.site() == site => {
                    files.archives.insert(entry.name.clone(), (id, entry));
                }
                Some(StoredFile::Pin(id)) if id.site() == site => drop(files.pins.insert(id, entry)),
                Some(StoredFile::Removing(id)) if id.site() == site => drop(files.removing.insert(id, entry)),
                // Foreign files are neither read nor touched.
                _ => {}
            }
        }
        files
    }
}

fn read_site(
    destination: &dyn Destination,
    site: SiteCode,
    before: &Catalog,
    catalog: &mut Catalog,
) -> Result<(), destination::Error> {
    let files = Files::sort(site, destination.list(site.as_str())?);
    let outages = AtomicUsize::new(0);
    let read = in_parallel(&files.manifests, |(id, listed)| {
        let found = match before.archives.get(id).filter(|stored| stored.listed == *listed) {
            Some(stored) => Found::Manifest(Box::new(stored.manifest.clone())),
            None => read_manifest(destination, id, &outages)?,
        };
        Ok((found, files.pins.contains_key(id).then(|| read_pin(destination, id))))
    })?;
    let is_differential =
        |name: &str| matches!(StoredFile::parse(name), Some(StoredFile::Archive { form, .. }) if form.differential);
    let differential = files.archives.iter().filter(|(name, _)| is_differential(name)).map(|(_, (id, _))| id.clone());
    catalog.differential_files.extend(differential);
    let orphan =
        |id: &ArchiveId, entry: &Entry| Orphan { key: id.key(&entry.name), id: id.clone(), entry: entry.clone() };
    let described: BTreeSet<&ArchiveId> = files.manifests.iter().map(|(id, _)| id).collect();
    for ((id, listed), (found, pin)) in files.manifests.iter().zip(read) {
        let key = id.key(&id.manifest_name());
        let mut problem = |kind, problem| {
            catalog.problems.push(Problem { kind, archive: id.clone(), key: key.clone(), problem });
        };
        match found {
            // Pruned between listing and reading.
            Found::Nothing => {}
            Found::Problem(kind, words) => problem(kind, words),
            Found::Manifest(manifest) => {
                let file = files.archives.get(&manifest.archive);
                let whole = file.is_some_and(|(_, entry)| entry.bytes == manifest.bytes);
                match file {
                    _ if whole => {}
                    None => problem(ProblemKind::Archive, "its archive is missing".to_owned()),
                    Some((_, entry)) => {
                        let words = format!("its archive has {} bytes instead of {}", entry.bytes, manifest.bytes);
                        problem(ProblemKind::Archive, words);
                    }
                }
                if whole {
                    let others = files.archives.iter().filter(|(name, (of, _))| of == id && **name != manifest.archive);
                    catalog.duplicates.extend(others.map(|(_, (id, entry))| orphan(id, entry)));
                }
                let stored = Stored { manifest: *manifest, pin, whole, listed: listed.clone() };
                catalog.archives.insert(id.clone(), stored);
            }
        }
    }
    judge_chains(catalog, site);
    for (id, entry) in files.archives.values().filter(|(id, _)| !described.contains(id)) {
        if files.removing.contains_key(id) {
            catalog.half_removed.push(orphan(id, entry));
            continue;
        }
        catalog.problems.push(Problem {
            kind: ProblemKind::Orphan,
            archive: id.clone(),
            key: id.key(&entry.name),
            problem: ORPHAN.to_owned(),
        });
        catalog.orphans.push(orphan(id, entry));
    }
    let has_archive = |id: &ArchiveId| files.archives.values().any(|(of, _)| of == id);
    let pins = files.pins.iter().filter(|(id, _)| !described.contains(id) && !has_archive(id));
    let notes = files.removing.iter().filter(|(id, _)| described.contains(id) || !has_archive(id));
    catalog.stray.extend(pins.chain(notes).map(|(id, entry)| orphan(id, entry)));
    Ok(())
}

/// A differential archive is worth what those are that it builds on.
fn judge_chains(catalog: &mut Catalog, site: SiteCode) {
    let of_site = |(id, _): &(&ArchiveId, &Stored)| id.site() == site;
    let faults: Vec<(ArchiveId, String)> = catalog
        .archives
        .iter()
        .filter(of_site)
        .filter_map(|(id, stored)| Some((id.clone(), chain_fault(&catalog.archives, &stored.manifest)?)))
        .collect();
    for (id, problem) in faults {
        if let Some(stored) = catalog.archives.get_mut(&id) {
            stored.whole = false;
        }
        let key = id.key(&id.manifest_name());
        catalog.problems.push(Problem { kind: ProblemKind::Base, archive: id, key, problem });
    }
}

/// Why an archive cannot be put together from what is there.
fn chain_fault(archives: &BTreeMap<ArchiveId, Stored>, manifest: &Manifest) -> Option<String> {
    let base = manifest.base.as_ref()?;
    for (at, id) in base.chain.iter().enumerate() {
        let Some(stored) = archives.get(id).filter(|stored| stored.whole) else {
            return Some(format!("it builds on {id}, which is not there as a whole: it cannot be restored without"));
        };
        if !base.is_link(at, &stored.manifest) {
            return Some(format!("it builds on {id}, and what is there under that name is another archive"));
        }
    }
    None
}

const ORPHAN: &str = "archive without manifest: unless another run is about to write it, its manifest was lost. It is kept; 'zstd -dc FILE | tar -x' reads it, and without it the file can be deleted by hand";

/// One manifest that cannot be read is a problem of its archive. A destination that is away is one of the destination:
/// where a read fails as if it were, a listing tells, and several such failures are believed without one.
fn read_manifest(
    destination: &dyn Destination,
    id: &ArchiveId,
    outages: &AtomicUsize,
) -> Result<Found, destination::Error> {
    use destination::ErrorKind;
    let name = id.manifest_name();
    let bytes = match destination.read(&id.key(&name), MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(Found::Nothing),
        Err(error) if error.kind == ErrorKind::TooLarge => {
            return Ok(Found::Problem(ProblemKind::Manifest, "it is too large for a manifest".to_owned()));
        }
        Err(error) if error.kind == ErrorKind::Cancelled => return Err(error),
        Err(error) => {
            if error.is_transient() {
                if outages.fetch_add(1, Ordering::Relaxed) >= OUTAGES {
                    return Err(error);
                }
                destination.list(id.site().as_str())?;
            }
            let hint = error.hint().map_or_else(String::new, |hint| format!(" (hint: {hint})"));
            return Ok(Found::Problem(ProblemKind::Unreadable, format!("{}{hint}", chain(&error))));
        }
    };
    Ok(match Manifest::parse(&name, &bytes) {
        Ok(manifest) => Found::Manifest(Box::new(manifest)),
        Err(error) if error.is_newer() => Found::Problem(ProblemKind::Newer, chain(&error)),
        Err(error) => Found::Problem(ProblemKind::Manifest, chain(&error)),
    })
}

/// A pin counts even if it cannot be read.
fn read_pin(destination: &dyn Destination, id: &ArchiveId) -> Pin {
    let bytes = destination.read(&id.key(&id.pin_name()), MAX_BYTES);
    // Its presence is what protects; only the reason is lost.
    bytes.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Applies `read` to all items on several threads; results in the order of the items. After the first error nothing
/// more is read: with a destination that is away, every single one would be waited for.
fn in_parallel<T: Sync, R: Send, E: Send>(items: &[T], read: impl Fn(&T) -> Result<R, E> + Sync) -> Result<Vec<R>, E> {
    if let [one] = items {
        return Ok(vec![read(one)?]);
    }
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Ok(Vec::with_capacity(items.len())));
    let results_of = || results.lock();
    std::thread::scope(|scope| {
        for _ in 0..READERS.min(items.len()) {
            scope.spawn(|| {
                while let Some((number, item)) = {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    items.get(number).map(|item| (number, item))
                } {
                    let result = read(item);
                    let mut results = results_of();
                    match (results.as_mut(), result) {
                        (Ok(results), Ok(result)) => results.push((number, result)),
                        (Ok(_), Err(error)) => *results = Err(error),
                        (Err(_), _) => {}
                    }
                    if results.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let mut results = results.into_inner()?;
    results.sort_unstable_by_key(|&(number, _)| number);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::faulty::{Call, Faulty, Script};
    use crate::destination::{ErrorKind, in_memory};
    use crate::name::Form;

    /// A manifest as JSON. Nothing lies beside it yet.
    fn manifest(id: &ArchiveId) -> Vec<u8> {
        let digits = "0".repeat(64);
        let (name, stamp) = (id.archive_name(Form::PLAIN), id.stamp());
        format!(
            r#"{{"format":1,"id":"{id}","site":"{}","completed":"{stamp}","completion_evidence":"metadata",
            "archived":"{stamp}","program":"test","host":"CM01","archive":"{name}","bytes":100,"sha256":"{digits}",
            "compressed_bytes":100,"uncompressed_bytes":1536,"snapshot_bytes":0,"files":0,
            "index":{{"frame":0,"frames":1,"frame_offset":0,"offset":512,"size":9,"sha256":"{digits}"}}}}"#,
            id.site()
        )
        .into_bytes()
    }

    fn store(destination: &dyn Destination, id: &ArchiveId) {
        destination.put_new(&id.key(&id.archive_name(Form::PLAIN)), &[0; 100]).unwrap();
        destination.put_new(&id.key(&id.manifest_name()), &manifest(id)).unwrap();
    }

    /// So many archives of a site, a minute apart.
    fn many(site: &str, count: i64) -> Vec<ArchiveId> {
        let first: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let site: SiteCode = site.parse().unwrap();
        (0..count).map(|n| ArchiveId::new(site, first + jiff::SignedDuration::from_mins(n))).collect()
    }

    fn faulty() -> (Faulty, Script) {
        let script = Script::default();
        (Faulty::new(in_memory("memory"), &script), script)
    }

    #[test]
    fn thousand_archives_cost_a_listing_and_a_read_each() {
        let (destination, script) = faulty();
        let (here, there) = (many("ABC", 900), many("XYZ", 100));
        for id in here.iter().chain(&there) {
            store(&destination, id);
        }
        let pinned = &there[17];
        destination.put_new(&pinned.key(&pinned.pin_name()), br#"{"reason":"upgrade"}"#).unwrap();
        script.forget();

        let catalog = read(&destination, None).unwrap();
        assert!(catalog.archives.keys().eq(here.iter().chain(&there)));
        assert!(catalog.archives.values().all(Stored::is_good));
        assert!(catalog.problems.is_empty() && catalog.orphans.is_empty());
        assert_eq!(catalog.archives[pinned].pin.as_ref().unwrap().reason, "upgrade");
        assert_eq!(script.count(Call::Folders), 1);
        assert_eq!(script.count(Call::List), 2);
        assert_eq!(script.count(Call::Read), 1001);
        assert_eq!(script.calls().len(), 1004);

        script.forget();
        assert_eq!(read(&destination, Some("XYZ".parse().unwrap())).unwrap().archives.len(), 100);
        assert_eq!((script.count(Call::Folders), script.count(Call::List), script.count(Call::Read)), (0, 1, 101));
    }

    #[test]
    fn foreign_files_are_neither_read_nor_counted() {
        let (destination, script) = faulty();
        let id = &many("XYZ", 1)[0];
        store(&destination, id);
        for key in [
            "XYZ/readme.txt",
            "XYZ/XYZ-20260101T000000Z.json.bak",
            "XYZ/xyz-20260101T000000Z.json",
            "XYZ/XYZ-20261301T000000Z.json",
            // Of another site.
            "XYZ/ABC-20260101T000000Z.json",
            "XYZ/ABC-20260101T000000Z.tar.zst",
            "xyz/XYZ-20260102T000000Z.json",
            "other/XYZ-20260101T000000Z.json",
            "XYZ-20260101T000000Z.json",
        ] {
            destination.put_new(key, b"not ours").unwrap();
        }
        script.forget();
        let catalog = read(&destination, None).unwrap();
        assert!(catalog.archives.keys().eq([id]));
        assert!(catalog.problems.is_empty() && catalog.orphans.is_empty(), "{catalog:?}");
        assert_eq!(script.count(Call::Read), 1);
    }

    #[test]
    fn what_does_not_fit_together_is_a_problem_and_nothing_else_suffers() {
        let destination = in_memory("memory");
        let ids = many("XYZ", 7);
        for id in [&ids[0], &ids[1]] {
            store(&*destination, id);
        }
        let put = |id: &ArchiveId, name: String, bytes: &[u8]| destination.put_new(&id.key(&name), bytes).unwrap();
        // No archive; one that is too short; one under the other name.
        put(&ids[2], ids[2].manifest_name(), &manifest(&ids[2]));
        put(&ids[3], ids[3].manifest_name(), &manifest(&ids[3]));
        put(&ids[3], ids[3].archive_name(Form::PLAIN), &[0; 99]);
        // Newer, truncated, of another archive.
        let newer = String::from_utf8(manifest(&ids[4])).unwrap().replace(r#""format":1"#, r#""format":2"#);
        put(&ids[4], ids[4].manifest_name(), newer.as_bytes());
        put(&ids[5], ids[5].manifest_name(), &manifest(&ids[5])[..200]);
        put(&ids[5], ids[5].archive_name(Form::PLAIN), &[0; 100]);
        put(&ids[6], ids[6].manifest_name(), &vec![b' '; usize::try_from(MAX_BYTES).unwrap() + 1]);
        let orphan = &many("XYZ", 8)[7];
        put(orphan, orphan.archive_name(Form::ENCRYPTED), &[0; 5]);

        let catalog = read(&*destination, None).unwrap();
        assert!(catalog.archives.keys().eq(&ids[..4]));
        let whole: Vec<bool> = catalog.archives.values().map(|stored| stored.whole).collect();
        assert_eq!(whole, [true, true, false, false]);
        assert_eq!(catalog.problems.len(), 6, "{:?}", catalog.problems);
        assert!(catalog.orphans.iter().map(|orphan| &orphan.id).eq([orphan]));
    }

    #[test]
    fn archive_that_is_pruned_between_listing_and_reading_is_no_error() {
        let (destination, script) = faulty();
        for id in many("XYZ", 40) {
            store(&destination, &id);
        }
        script.forget();
        script.fail_times(Call::Read, 5, 3, ErrorKind::NotFound);
        let catalog = read(&destination, None).unwrap();
        assert_eq!(catalog.archives.len(), 37);
        assert!(catalog.problems.is_empty() && catalog.orphans.is_empty());
    }

    #[test]
    fn destination_that_goes_away_is_not_asked_for_every_manifest() {
        let (destination, script) = faulty();
        for id in many("XYZ", 500) {
            store(&destination, &id);
        }
        for (call, nth) in [(Call::List, 1), (Call::Read, 1), (Call::Read, 300)] {
            script.forget();
            script.fail_times(call, nth, u64::MAX, ErrorKind::Unavailable);
            assert_eq!(read(&destination, None).unwrap_err().kind, ErrorKind::Unavailable);
            let most = nth + (OUTAGES + READERS) as u64;
            assert!(script.count(Call::Read) < most, "{}", script.count(Call::Read));
        }
    }

    #[test]
    fn manifest_that_cannot_be_read_is_a_problem_of_its_archive_alone() {
        use ErrorKind::{Cold, Other, PermissionDenied, TimedOut, Unauthenticated, Unavailable};
        for kind in [Other, PermissionDenied, Cold, Unauthenticated, Unavailable, TimedOut] {
            let (destination, script) = faulty();
            for id in many("XYZ", 5) {
                store(&destination, &id);
            }
            script.forget();
            script.fail(Call::Read, 3, kind);
            let catalog = read(&destination, None).unwrap();
            assert_eq!(catalog.archives.len(), 4, "{kind:?}");
            let [problem] = catalog.problems.as_slice() else { panic!("{kind:?}: {:?}", catalog.problems) };
            assert_eq!(problem.kind, ProblemKind::Unreadable);
            assert!(!catalog.archives.contains_key(&problem.archive));
            assert!(catalog.orphans.is_empty() && catalog.duplicates.is_empty(), "its archive file stays: {catalog:?}");
        }
        let (destination, script) = faulty();
        store(&destination, &many("XYZ", 1)[0]);
        script.fail(Call::Read, 1, ErrorKind::Cancelled);
        assert_eq!(read(&destination, None).unwrap_err().kind, ErrorKind::Cancelled);
    }

    #[test]
    fn what_removals_and_second_attempts_leave_is_told_from_what_lost_its_manifest() {
        let destination = in_memory("memory");
        let ids = many("XYZ", 6);
        let put = |id: &ArchiveId, name: String| destination.put_new(&id.key(&name), &[0; 100]).unwrap();
        store(&*destination, &ids[0]);
        put(&ids[0], ids[0].attempt_name(Form::PLAIN, 7));
        put(&ids[1], ids[1].archive_name(Form::PLAIN));
        put(&ids[2], ids[2].archive_name(Form::ENCRYPTED));
        put(&ids[2], ids[2].removing_name());
        put(&ids[2], ids[2].pin_name());
        put(&ids[3], ids[3].pin_name());
        put(&ids[4], ids[4].removing_name());
        store(&*destination, &ids[5]);
        put(&ids[5], ids[5].removing_name());
        let catalog = read(&*destination, None).unwrap();
        let names = |orphans: &[Orphan]| orphans.iter().map(|one| one.entry.name.clone()).collect::<Vec<_>>();
        assert!(catalog.archives.keys().eq([&ids[0], &ids[5]]));
        assert_eq!(names(&catalog.duplicates), [ids[0].attempt_name(Form::PLAIN, 7)]);
        assert_eq!(names(&catalog.orphans), [ids[1].archive_name(Form::PLAIN)]);
        assert_eq!(names(&catalog.half_removed), [ids[2].archive_name(Form::ENCRYPTED)]);
        assert_eq!(names(&catalog.stray), [ids[3].pin_name(), ids[4].removing_name(), ids[5].removing_name()]);
        let [problem] = catalog.problems.as_slice() else { panic!("{:?}", catalog.problems) };
        assert_eq!((problem.kind, &problem.archive), (ProblemKind::Orphan, &ids[1]));
    }
}
