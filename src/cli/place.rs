//! Where a command reads archives: the configured destinations, one of them, or any folder or bucket without
//! configuration.
//!
//! After a disaster there is no configuration. `--destination` therefore takes a folder or URL too, and everything that
//! is needed lies there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Program;
use super::exit::Exit;
use super::failure::Failure;
use crate::archive::manifest::Manifest;
use crate::catalog::{self, Chosen, Inventory, Problem, Selector};
use crate::config::{self, Bucket, Verify};
use crate::destination::{self, Destination, Target};
use crate::error::chain;
use crate::name::{ArchiveId, SiteCode, StoredFile};
use crate::retention::policy::Policy;

const DESTINATION_HELP: &str = "Only this destination: a name in the configuration; or, without any configuration, a folder or bucket (s3://bucket/prefix) that contains archives";

/// Which destinations, and which site.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Place {
    #[arg(long, short, value_name = "NAME|PATH|URL", help = DESTINATION_HELP)]
    pub(super) destination: Option<String>,
    /// Only this site
    #[arg(long, short, value_name = "XYZ")]
    pub(super) site: Option<SiteCode>,
}

/// A copy of an archive: where it is, and what its manifest says.
pub(super) type Copy = (Arc<dyn Destination>, Manifest);

impl Place {
    /// The destinations.
    pub(super) fn targets(&self, program: &Program<'_>) -> Result<Vec<Target>, Failure> {
        let place = self.destination.as_deref().filter(|name| is_place(name) || program.has_no_config(name));
        if let Some(place) = place {
            if let Some((fault, hint)) = config::place_fault(place) {
                let message = format!("cannot use this --destination: {fault}");
                return Err(Failure::words(Exit::Usage, message).hint(Some(&hint)));
            }
            let usage = |error: &dyn std::error::Error| Failure::new(Exit::Usage, error);
            let config = unconfigured(place).map_err(|error| usage(&error))?;
            return Ok(vec![Target::new(config, program.cancel)]);
        }
        let loaded = program.load()?;
        let Some(name) = &self.destination else { return Ok(loaded.targets) };
        let number = named(&loaded.targets, name)?;
        Ok(loaded.targets.into_iter().skip(number).take(1).collect())
    }

    /// Reads what the destinations hold. At least one can be read.
    pub(super) fn read<'t>(&self, program: &Program<'_>, targets: &'t [Target]) -> Result<Vec<Inventory<'t>>, Failure> {
        let held = catalog::read_all(targets, self.site);
        if held.iter().all(|one| one.catalog.is_err()) {
            let errors = held.iter().filter_map(|one| one.catalog.as_ref().err());
            let hint = errors.clone().find_map(destination::Error::hint);
            let words: Vec<String> = errors.map(|error| chain(error)).collect();
            return Err(Failure::words(Exit::Failed, words.join("; ")).hint(hint));
        }
        for one in &held {
            if let Err(error) = &one.catalog {
                program.console.warn(&format!("{} is left out: {}", one.target.name(), chain(error)));
                program.console.hint(error.hint());
            }
        }
        Ok(held)
    }

    /// Finds all copies of an archive, the whole ones first. There is at least one.
    pub(super) fn find_all(&self, program: &Program<'_>, selector: &Selector) -> Result<Vec<Copy>, Failure> {
        let targets = self.targets(program)?;
        let held = self.read(program, &targets)?;
        let id = choose(program, &held, selector)?;
        let of = |one: &Inventory<'_>| one.catalog.as_ref().ok().and_then(|catalog| catalog.archives.get(&id).cloned());
        let mut having: Vec<_> = held.iter().filter_map(|one| of(one).map(|stored| (one.target, stored))).collect();
        having.sort_by_key(|(_, stored)| !stored.whole);
        let open = |(target, stored): (&Target, catalog::Stored)| {
            let destination = target.open().map_err(|error| Failure::new(Exit::Failed, &error).hint(error.hint()))?;
            Ok((Arc::clone(destination), stored.manifest))
        };
        let copies: Vec<_> = having.into_iter().map(open).collect::<Result<_, Failure>>()?;
        assert!(!copies.is_empty(), "the selector chose among what these destinations hold");
        Ok(copies)
    }
}

/// The archive that a selector stands for, among all that these destinations hold.
pub(super) fn choose(program: &Program<'_>, held: &[Inventory<'_>], selector: &Selector) -> Result<ArchiveId, Failure> {
    let mut known = catalog::known(held);
    // 'latest' is of the kind of source that is configured; only an id names an archive of another one.
    if let Some(kind) = program.configured_kind().filter(|_| !selector.is_by_id()) {
        known.retain(|id, _| kind.owns(id.series()));
    }
    let chosen = selector.choose(&known, program.clock.now());
    // What keeps an archive from being chosen is mentioned; what is wrong with others is not.
    warn_of_problems(program, held, |problem| match (selector, &chosen) {
        (Selector::Id(id), _) => problem.archive == *id,
        (_, Err(_)) => true,
        (_, Ok(Chosen { id, .. })) => {
            let same = (problem.archive.site(), problem.archive.series()) == (id.site(), id.series());
            same && problem.archive.stamp() >= id.stamp()
        }
    });
    let chosen = chosen.map_err(|error| {
        let hint = misplaced(held);
        let hint = hint.as_deref().unwrap_or("'afterbackup list' shows which archives there are");
        Failure::new(Exit::Failed, &error).hint(Some(hint))
    })?;
    if !chosen.passed_over.is_empty() {
        let archives = crate::units::count(chosen.passed_over.len(), "archive");
        program.console.warn(&format!(
            "{archives} dated in the future (a clock is or was wrong), not considered for '{selector}': see 'afterbackup list'"
        ));
    }
    match &chosen.unproven {
        Some(other) if *other == chosen.id => program.console.warn(&format!(
            "no archive has databases that are proven to be sound; {other} is the newest of those without damage"
        )),
        Some(other) => program.console.warn(&format!(
            "{} is the newest archive with proven databases; {other} is newer, and nothing is known to be wrong with it, but its databases are not proven",
            chosen.id
        )),
        None => {}
    }
    Ok(chosen.id)
}

/// Warns of archives that cannot be used.
pub(super) fn warn_of_problems(program: &Program<'_>, held: &[Inventory<'_>], concerns: impl Fn(&Problem) -> bool) {
    for (one, catalog) in held.iter().filter_map(|one| Some((one, one.catalog.as_ref().ok()?))) {
        for problem in catalog.problems.iter().filter(|problem| concerns(problem)) {
            program.console.warn(&format!("{}: {}: {}", one.target.name(), problem.key, problem.problem));
        }
    }
}

/// The number of the destination of this name.
pub(super) fn named(targets: &[Target], name: &str) -> Result<usize, Failure> {
    targets.iter().position(|one| one.name() == name).ok_or_else(|| {
        let names: Vec<&str> = targets.iter().map(Target::name).collect();
        let hint =
            format!("the configuration has {}; a folder is written with a / or \\, like ./vault", names.join(", "));
        Failure::words(Exit::Usage, format!("there is no destination '{name}' in the configuration")).hint(Some(&hint))
    })
}

/// Where nothing was found: is it the folder of a site instead of the one above it?
pub(super) fn misplaced(held: &[Inventory<'_>]) -> Option<String> {
    // Only a hint hangs on it: what cannot be listed gives none.
    let has_archives = |one: &Inventory<'_>| {
        let files = one.target.open().and_then(|destination| destination.list(""));
        files.is_ok_and(|files| files.iter().any(|file| StoredFile::parse(&file.name).is_some()))
    };
    let nothing = |one: &Inventory<'_>| one.catalog.as_ref().is_ok_and(|catalog| catalog.archives.is_empty());
    let one = held.iter().find(|one| nothing(one) && has_archives(one))?;
    let place = one.target.location();
    Some(format!(
        "archives lie in a folder named after their site: name the folder above {place}, or put them into one"
    ))
}

fn is_place(text: &str) -> bool {
    text.contains(['/', '\\']) || text == "." || text == ".."
}

/// A destination that no configuration describes.
fn unconfigured(place: &str) -> Result<config::Destination, url::ParseError> {
    let location = if place.contains("://") {
        // Keys come from where the provider's own tools look for them; so do server and certificate authority of S3.
        let url: url::Url = place.parse()?;
        let variable = |name| std::env::var(name).ok().filter(|value| url.scheme() == "s3" && !value.is_empty());
        let endpoint = variable("AWS_ENDPOINT_URL_S3").or_else(|| variable("AWS_ENDPOINT_URL"));
        let endpoint = endpoint.map(|endpoint| endpoint.parse()).transpose()?;
        let ca_file = variable("AWS_CA_BUNDLE").map(PathBuf::from);
        config::Location::Bucket(Box::new(Bucket { url, endpoint, options: vec![], secrets: vec![], ca_file }))
    } else {
        config::Location::Folder(std::path::absolute(Path::new(place)).unwrap_or_else(|_| PathBuf::from(place)))
    };
    Ok(config::Destination {
        name: place.to_owned(),
        location,
        credentials: None,
        retention: Policy::default(),
        verify: Verify::Size,
        bandwidth: None,
        retry_for: Duration::from_mins(1),
        stall_timeout: Duration::from_mins(10),
        sweep_after: Duration::MAX,
    })
}
