//! Where a command reads archives: the configured destinations, one of them, or any folder or bucket without configuration.
//!
//! After a disaster there is no configuration. `--destination` therefore takes a folder or URL too, and everything that
//! is needed lies there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Program;
use super::exit::Exit;
use super::failure::Failure;
use crate::archive::manifest::Manifest;
use crate::catalog::{self, Catalog, Selector};
use crate::config::{self, Bucket, Target, Verify};
use crate::destination::{self, Destination};
use crate::error::chain;
use crate::name::{ArchiveId, SiteCode, StoredFile};
use crate::retention::policy::Policy;

const DESTINATION_HELP: &str = "Only this destination: a name in the configuration; or, without any configuration, a folder or bucket (s3://bucket/prefix) that holds archives";

/// Which destinations, and which site.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Place {
    #[arg(long, short, value_name = "NAME|PATH|URL", help = DESTINATION_HELP)]
    pub(super) destination: Option<String>,
    /// Only this site
    #[arg(long, short, value_name = "XYZ")]
    pub(super) site: Option<SiteCode>,
}

/// A destination with what it holds.
pub(super) struct Held {
    pub(super) destination: Arc<dyn Destination>,
    pub(super) catalog: Result<Catalog, destination::Error>,
}

impl Place {
    /// Opens the destinations.
    pub(super) fn open(&self, program: &Program<'_>) -> Result<Vec<Arc<dyn Destination>>, Failure> {
        let place = self.destination.as_deref().filter(|name| is_place(name) || program.has_no_config(name));
        if let Some(place) = place {
            if let Some((fault, hint)) = config::place_fault(place) {
                let message = format!("cannot use this --destination: {fault}");
                return Err(Failure::words(Exit::Usage, message).hint(Some(&hint)));
            }
            let usage = |error: &dyn std::error::Error| Failure::new(Exit::Usage, error);
            let config = unconfigured(place).map_err(|error| usage(&error))?;
            let opened = destination::open(&config, program.cancel).map_err(|error| usage(&error))?;
            return Ok(vec![Arc::from(opened)]);
        }
        let loaded = program.load()?;
        let Some(name) = &self.destination else { return Ok(loaded.destinations) };
        Ok(vec![Arc::clone(named(&loaded.destinations, name)?)])
    }

    /// Opens the destinations and reads what they hold. At least one can be read.
    pub(super) fn read(&self, program: &Program<'_>) -> Result<Vec<Held>, Failure> {
        let held: Vec<Held> = self
            .open(program)?
            .into_iter()
            .map(|destination| Held { catalog: catalog::read(&*destination, self.site), destination })
            .collect();
        if held.iter().all(|one| one.catalog.is_err()) {
            let errors = held.iter().filter_map(|one| one.catalog.as_ref().err());
            let hint = errors.clone().find_map(destination::Error::hint);
            let words: Vec<String> = errors.map(|error| chain(error)).collect();
            return Err(Failure::words(Exit::Failed, words.join("; ")).hint(hint));
        }
        for one in &held {
            match &one.catalog {
                Err(error) => {
                    program.console.warn(&format!("{} is left out: {}", one.destination.name(), chain(error)));
                    program.console.hint(error.hint());
                }
                Ok(catalog) => {
                    for problem in &catalog.problems {
                        let name = one.destination.name();
                        program.console.warn(&format!("{name}: {}: {}", problem.key, problem.problem));
                    }
                }
            }
        }
        Ok(held)
    }

    /// Finds an archive: the first destination that has it whole, in the order of the configuration.
    pub(super) fn find(
        &self,
        program: &Program<'_>,
        selector: &Selector,
    ) -> Result<(Arc<dyn Destination>, Manifest), Failure> {
        let held = self.read(program)?;
        let mut known: BTreeMap<&ArchiveId, bool> = BTreeMap::new();
        for (id, stored) in held.iter().filter_map(|one| one.catalog.as_ref().ok()).flat_map(|c| &c.archives) {
            *known.entry(id).or_default() |= stored.is_good();
        }
        let id = selector.choose(known).map_err(|error| {
            let hint = misplaced(&held);
            let hint = hint.as_deref().unwrap_or("'afterbackup list' shows which archives there are");
            Failure::new(Exit::Failed, &error).hint(Some(hint))
        })?;
        let of = |one: &Held| one.catalog.as_ref().ok().and_then(|catalog| catalog.archives.get(&id).cloned());
        let mut having = held.iter().filter_map(|one| of(one).map(|stored| (&one.destination, stored)));
        let best = having.clone().find(|(_, stored)| stored.whole).or_else(|| having.next());
        let (destination, stored) = best.expect("the selector chose among what these destinations hold");
        Ok((Arc::clone(destination), stored.manifest))
    }
}

/// The destination of this name.
pub(super) fn named<'a>(
    destinations: &'a [Arc<dyn Destination>],
    name: &str,
) -> Result<&'a Arc<dyn Destination>, Failure> {
    destinations.iter().find(|one| one.name() == name).ok_or_else(|| {
        let names: Vec<&str> = destinations.iter().map(|one| one.name()).collect();
        let hint =
            format!("the configuration has {}; a folder is written with a / or \\, like ./vault", names.join(", "));
        Failure::words(Exit::Usage, format!("there is no destination '{name}' in the configuration")).hint(Some(&hint))
    })
}

/// Where nothing was found: is it the folder of a site instead of the one above it?
pub(super) fn misplaced(held: &[Held]) -> Option<String> {
    let has_archives = |one: &Held| {
        let files = one.destination.list("").unwrap_or_default();
        files.iter().any(|file| StoredFile::parse(&file.name).is_some())
    };
    let nothing = |one: &Held| one.catalog.as_ref().is_ok_and(|catalog| catalog.archives.is_empty());
    let one = held.iter().find(|one| nothing(one) && has_archives(one))?;
    let place = one.destination.location();
    Some(format!(
        "archives lie in a folder named after their site: name the folder above {place}, or put them into one"
    ))
}

fn is_place(text: &str) -> bool {
    text.contains(['/', '\\']) || text == "." || text == ".."
}

/// A destination that no configuration describes.
fn unconfigured(place: &str) -> Result<config::Destination, url::ParseError> {
    let target = if place.contains("://") {
        // Keys come from where the provider's own tools look for them; so do server and certificate authority of S3.
        let url: url::Url = place.parse()?;
        let variable = |name| std::env::var(name).ok().filter(|value| url.scheme() == "s3" && !value.is_empty());
        let endpoint = variable("AWS_ENDPOINT_URL_S3").or_else(|| variable("AWS_ENDPOINT_URL"));
        let endpoint = endpoint.map(|endpoint| endpoint.parse()).transpose()?;
        let ca_file = variable("AWS_CA_BUNDLE").map(PathBuf::from);
        Target::Bucket(Bucket { url, endpoint, options: vec![], ca_file })
    } else {
        Target::Folder(std::path::absolute(Path::new(place)).unwrap_or_else(|_| PathBuf::from(place)))
    };
    Ok(config::Destination {
        name: place.to_owned(),
        target,
        credentials: None,
        retention: Policy::default(),
        verify: Verify::Size,
        bandwidth: None,
        retry_for: Duration::from_mins(1),
        stall_timeout: Duration::from_mins(10),
        sweep_after: Duration::MAX,
    })
}
