//! What the archive of a run may build on, decided from what the destinations hold, before anything is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::job::Job;
use super::state::{Finding, StateFile};
use crate::archive::Identities;
use crate::archive::manifest::Manifest;
use crate::archive::reader::Reader;
use crate::catalog::{Inventory, Stored};
use crate::config::Location;
use crate::destination::Destination;
use crate::error::chain;
use crate::name::{ArchiveId, Form, Level};
use crate::retention::tiers::{Earlier, Next, next};

/// What kind of archive a run writes.
pub(super) enum Tier {
    /// Everything, and why, where a differential one might have been written.
    Full(Option<String>),
    /// What differs from another one.
    On(Arc<dyn Destination>, Box<Manifest>, Level),
}

impl Tier {
    /// What kind of file that gives.
    pub(super) fn form(&self, encrypted: bool) -> Form {
        Form { encrypted, differential: matches!(self, Self::On(..)) }
    }

    /// Why it is a full archive.
    pub(super) fn full_because(&self) -> Option<&str> {
        match self {
            Self::Full(because) => because.as_deref(),
            Self::On(..) => None,
        }
    }

    /// Opens what is to be built upon. Says why in words, if that cannot be done.
    pub(super) fn open<'t>(&'t self, none: &'t Identities) -> Result<Option<(Reader<'t>, Level)>, String> {
        match self {
            Self::Full(_) => Ok(None),
            Self::On(destination, manifest, level) => {
                let reader = Reader::open(&**destination, (**manifest).clone(), none).map_err(|error| chain(&error))?;
                Ok(Some((reader, *level)))
            }
        }
    }
}

/// Chooses the tier of the archive `id` by the configuration.
pub(super) fn choose(job: Job<'_>, id: &ArchiveId, held: &[Inventory<'_>]) -> Tier {
    let Some(tiers) = &job.context.config.differential else { return Tier::Full(None) };
    // Where it is already, nothing is written.
    let has = |one: &Inventory<'_>| one.catalog.as_ref().is_ok_and(|c| c.archives.get(id).is_some_and(|s| s.whole));
    let takes_part: Vec<&Inventory<'_>> = held.iter().filter(|one| one.catalog.is_ok() && !has(one)).collect();
    let mut known: BTreeMap<&ArchiveId, &Manifest> = BTreeMap::new();
    for (other, stored) in held.iter().filter_map(|one| one.catalog.as_ref().ok()).flat_map(|one| &one.archives) {
        if other.site() == id.site() && other.series() == id.series() {
            known.entry(other).or_insert(&stored.manifest);
        }
    }
    // What cannot be read is known to nobody: then what is built upon is read all the same, and compared.
    let state = StateFile::of(job.context.config).read().ok();
    let findings = state.map(|state| state.findings).unwrap_or_default();
    let place = Place { takes_part, held, findings };
    let earlier: Vec<Earlier> = known.values().map(|manifest| place.earlier(manifest)).collect();
    match next(&earlier, id, tiers) {
        Next::Full(because) => Tier::Full(Some(because.to_string())),
        Next::On { base, level } => match known.get(&base).and_then(|manifest| source(manifest, held)) {
            Some((destination, manifest)) => Tier::On(destination, Box::new(manifest.clone()), level),
            None => Tier::Full(Some(format!("{base} cannot be read"))),
        },
    }
}

/// What is known where the archive goes.
struct Place<'h, 't> {
    /// The destinations that it goes to.
    takes_part: Vec<&'h Inventory<'t>>,
    held: &'h [Inventory<'t>],
    /// What verifications have found.
    findings: Vec<Finding>,
}

impl Place<'_, '_> {
    fn earlier(&self, manifest: &Manifest) -> Earlier {
        Earlier {
            id: manifest.id.clone(),
            level: manifest.level(),
            chain: manifest.chain().to_vec(),
            bytes: manifest.bytes,
            full_bytes: manifest.base.as_ref().map_or(manifest.bytes, |base| base.full_bytes),
            unusable: self.unusable(manifest),
        }
    }

    /// Why no archive may build on this one.
    fn unusable(&self, manifest: &Manifest) -> Option<String> {
        let id = &manifest.id;
        if manifest.encryption.is_some() {
            return Some(format!("{id} is encrypted, and only its secret key could read it"));
        }
        let lacks = |one: &&&Inventory<'_>| !stored(one, id).is_some_and(|stored| is_same(stored, manifest));
        if let Some(one) = self.takes_part.iter().find(lacks) {
            return Some(format!("{} does not have {id} with all that it needs", one.target.name()));
        }
        let needed = |finding: &&Finding| finding.archive == *id || manifest.chain().contains(&finding.archive);
        if let Some(Finding { archive, destination, .. }) = self.findings.iter().find(needed) {
            return Some(format!("verify found {archive} damaged on {destination}"));
        }
        source(manifest, self.held).is_none().then(|| format!("{id} is in no folder that it could be read from"))
    }
}

fn stored<'h>(one: &'h Inventory<'_>, id: &ArchiveId) -> Option<&'h Stored> {
    one.catalog.as_ref().ok()?.archives.get(id)
}

/// Is it that very archive, and can it be read?
fn is_same(stored: &Stored, manifest: &Manifest) -> bool {
    stored.whole && stored.manifest.index.sha256 == manifest.index.sha256 && stored.manifest.chain() == manifest.chain()
}

/// A folder to read it from. A bucket would have to be paid for, and waited for, every night.
fn source<'h>(manifest: &Manifest, held: &'h [Inventory<'_>]) -> Option<(Arc<dyn Destination>, &'h Manifest)> {
    let folders = held.iter().filter(|one| matches!(one.target.settings().location, Location::Folder(_)));
    folders.into_iter().find_map(|one| {
        let stored = stored(one, &manifest.id).filter(|stored| is_same(stored, manifest))?;
        Some((Arc::clone(one.target.open().ok()?), &stored.manifest))
    })
}
