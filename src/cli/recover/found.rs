//! The archive of a recovery, and the kind of its site.

use std::sync::Arc;

use crate::archive::manifest::Manifest;
use crate::archive::reader::Reader;
use crate::catalog::{Catalog, Selector};
use crate::cli::Program;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::fetch::{Key, read_failure};
use crate::cli::place::{Place, choose};
use crate::destination::Destination;
use crate::recovery::facts::ArchiveFacts;
use crate::recovery::keys::SiteType;

/// The archive that is meant, and the others.
pub(super) struct Found {
    pub(super) destination: Arc<dyn Destination>,
    pub(super) manifest: Manifest,
    /// Every destination that can be read, with what it holds.
    pub(super) held: Vec<(Arc<dyn Destination>, Catalog)>,
}

impl Found {
    pub(super) fn facts(&self, key: &Key) -> Result<ArchiveFacts, Failure> {
        let identities = key.identities()?;
        let reader = Reader::open(&*self.destination, self.manifest.clone(), &identities)
            .map_err(|error| read_failure(&error))?;
        Ok(ArchiveFacts::new(&self.manifest, &reader.index().entries))
    }
}

/// Finds an archive, and reads what all destinations hold.
pub(super) fn find(program: &Program<'_>, place: &Place, selector: &Selector) -> Result<Found, Failure> {
    let targets = place.targets(program)?;
    let inventories = place.read(program, &targets)?;
    let id = choose(program, &inventories, selector)?;
    let mut held = Vec::new();
    for one in inventories {
        if let (Ok(catalog), Ok(destination)) = (one.catalog, one.target.open()) {
            held.push((Arc::clone(destination), catalog));
        }
    }
    let stored = |(destination, catalog): &(Arc<dyn Destination>, Catalog)| {
        let stored = catalog.archives.get(&id)?;
        Some((Arc::clone(destination), stored.manifest.clone(), stored.whole))
    };
    let mut having = held.iter().filter_map(stored);
    let best = having.clone().find(|(_, _, whole)| *whole).or_else(|| having.next());
    let (destination, manifest, _) = best.expect("the selector chose among what these destinations hold");
    Ok(Found { destination, manifest, held })
}

/// Which kind of site it is cannot be seen in an archive.
pub(super) fn site_type(given: Option<SiteType>) -> Result<SiteType, Failure> {
    given.ok_or_else(|| {
        Failure::words(Exit::Usage, "--site-type is missing: no archive says which kind of site it is of").hint(Some(
            "--site-type cas (central administration site), primary (stand-alone) or child-primary (below a central administration site)",
        ))
    })
}
