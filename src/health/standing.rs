//! How backups stand: what `status` shows, metrics tell and the watcher asks now and then.
//!
//! [`Standing::look`] does all input: destinations, the task's log, what the last runs did. It never looks into a
//! snapshot. The rest is judged from that: each [`Problem`] says how bad it is, and the worst decides.
//!
//! **Which sites?** Somebody has to know that a site is missing. A site counts that the configuration names, whose
//! snapshot is there, of which the task's log tells, or that was archived from here before. Only where all that tells
//! of none, the sites on the destinations count: others may put their archives there, too.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::overdue::{Evidence, Verdict, overdue};
use super::survey::{Holding, Newest, Surveyed, survey};
use crate::config::Config;
use crate::engine::context::Context;
use crate::engine::state::{LastRun, State, StateFile};
use crate::error::chain;
use crate::name::{ArchiveId, SiteCode};
use crate::source::{self, LogEvidence};

/// How bad something is. The worst decides: without a fresh archive it does not matter that an old one is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// All is well.
    Fine,
    /// Archived, but not everywhere, or the last run had a problem.
    Partial,
    /// The newest archive is damaged.
    Damage,
    /// No destination can be read.
    Unknown,
    /// There is no fresh archive, or there will be none.
    Overdue,
}

/// Something that is not right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub health: Health,
    /// What it is.
    pub problem: String,
}

/// How the backups of all sites stand.
#[derive(Debug)]
pub struct Standing {
    /// When this was looked at.
    pub at: Timestamp,
    /// How old the newest archive may be.
    pub limit: Duration,
    /// The sites; one without a name when none is known.
    pub sites: Vec<SiteStanding>,
    /// The destinations, in the order of the configuration.
    pub destinations: Vec<Surveyed>,
    /// The task's log, as configured.
    pub log: LogEvidence,
    /// What the last runs on this host did.
    pub state: State,
    /// What is not right and concerns all sites.
    general: Vec<Problem>,
}

/// How the backups of a site stand.
#[derive(Debug)]
pub struct SiteStanding {
    /// Is there a fresh archive?
    pub verdict: Verdict,
    /// The newest of all destinations.
    pub newest: Option<Newest>,
    /// The last run that came to this site, on this host.
    pub last_run: Option<LastRun>,
    /// What is not right.
    pub problems: Vec<Problem>,
}

impl Standing {
    /// Looks at everything that tells, but not into the snapshot.
    #[must_use]
    pub fn look(context: &Context<'_>) -> Self {
        let config = context.config;
        let log = source::read_log(&config.snapshot);
        let state = StateFile::of(config).read().unwrap_or_default();
        let at = context.clock.now();
        let expected = expected(config, &log, &state, at);
        let wanted = Some(&expected).filter(|sites| !sites.is_empty());
        let destinations = survey(context.targets, wanted, config.snapshot.kind.series(), at);
        Self::judge(config, expected, destinations, log, state, at)
    }

    fn judge(
        config: &Config,
        expected: BTreeSet<SiteCode>,
        destinations: Vec<Surveyed>,
        log: LogEvidence,
        state: State,
        at: Timestamp,
    ) -> Self {
        let mut sites = expected;
        if sites.is_empty() {
            let seen = destinations.iter().filter_map(|one| one.holdings.as_ref().ok());
            sites = seen.flat_map(|holdings| holdings.keys().copied()).collect();
        }
        let limit = config.report.overdue;
        let mut named: Vec<Option<SiteCode>> = sites.into_iter().map(Some).collect();
        if named.is_empty() {
            named.push(None);
        }
        let judge = |site| SiteStanding::judge(site, &destinations, &log, &state, limit, at);
        let sites = named.into_iter().map(judge).collect();
        let general = general(&destinations, &log);
        Self { at, limit, sites, destinations, log, state, general }
    }

    /// The worst.
    #[must_use]
    pub fn health(&self) -> Health {
        self.problems().map(|problem| problem.health).max().unwrap_or(Health::Fine)
    }

    /// Everything that is not right.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.sites.iter().flat_map(|site| &site.problems).chain(&self.general)
    }

    /// The verdicts on all sites.
    pub fn verdicts(&self) -> impl Iterator<Item = &Verdict> {
        self.sites.iter().map(|site| &site.verdict)
    }
}

impl SiteStanding {
    /// How old the newest archive is, in seconds.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Option<i64> {
        self.verdict.newest.map(|newest| now.duration_since(newest).as_secs().max(0))
    }

    fn judge(
        site: Option<SiteCode>,
        destinations: &[Surveyed],
        log: &LogEvidence,
        state: &State,
        limit: Duration,
        at: Timestamp,
    ) -> Self {
        let holdings: Vec<(&str, &Holding)> =
            destinations.iter().filter_map(|one| Some((one.name.as_str(), one.of(site?)?))).collect();
        let newest =
            holdings.iter().filter_map(|(_, holding)| holding.newest.as_ref()).max_by_key(|one| one.id.stamp());
        let future = holdings.iter().flat_map(|(_, holding)| &holding.future).map(ArchiveId::stamp);
        let mut archives: Vec<Timestamp> = newest.map(|newest| newest.id.stamp()).into_iter().chain(future).collect();
        archives.sort_unstable();
        archives.dedup();
        let known = destinations.iter().any(|one| one.holdings.is_ok());
        let verdict = overdue(&Evidence { site, archives: &archives, known, log }, limit, at);
        let last_run = site.and_then(|site| state.sites.get(&site)).cloned();
        let mut standing = Self { verdict, newest: newest.cloned(), last_run, problems: vec![] };
        standing.problems = standing.find_problems(&holdings);
        standing
    }

    fn find_problems(&self, holdings: &[(&str, &Holding)]) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut add = |health, problem: String| found.push(Problem { health, problem });
        if self.verdict.is_overdue() {
            add(Health::Overdue, self.verdict.words());
        }
        if let Some(newest) = &self.newest {
            if newest.is_damaged() {
                add(Health::Damage, format!("a database in {} is damaged", newest.id));
            }
            let lacks = |holding: &Holding| holding.newest.as_ref().is_none_or(|own| own.id != newest.id);
            for (name, _) in holdings.iter().filter(|(_, holding)| lacks(holding)) {
                add(Health::Partial, format!("{} is not on {name}", newest.id));
            }
        }
        for (name, holding) in holdings {
            for broken in &holding.broken {
                add(Health::Partial, format!("{} on {name} is not whole: {}", broken.id, broken.problem));
            }
            if let Some(id) = holding.future.first() {
                add(Health::Partial, format!("{id} on {name} is dated in the future: a clock is or was wrong"));
            }
        }
        if let Some(last) = self.last_run.as_ref().filter(|last| is_failure(last)) {
            let LastRun { finished, exit_code, message, .. } = last;
            add(Health::Partial, format!("the last run, at {finished}, ended with {exit_code}: {message}"));
        }
        found
    }
}

fn general(destinations: &[Surveyed], log: &LogEvidence) -> Vec<Problem> {
    // Of nothing that could be read, nothing can be said.
    let none = destinations.iter().all(|one| one.holdings.is_err());
    let health = if none { Health::Unknown } else { Health::Partial };
    let unread = destinations.iter().filter_map(|one| Some((one, one.holdings.as_ref().err()?)));
    let mut found: Vec<Problem> = unread
        .map(|(one, error)| Problem { health, problem: format!("{} cannot be read: {}", one.name, chain(error)) })
        .collect();
    if let LogEvidence::Unreadable { path, reason } = log {
        let problem = format!("the backup task's log {} cannot be read: {reason}", path.display());
        found.push(Problem { health: Health::Partial, problem });
    }
    found
}

/// Whether there was a snapshot says nothing of the run, and damage shows in the archive itself.
fn is_failure(last: &LastRun) -> bool {
    matches!(last.exit_code, 1 | 3)
}

/// The sites whose archives must be there.
fn expected(config: &Config, log: &LogEvidence, state: &State, now: Timestamp) -> BTreeSet<SiteCode> {
    if let Some(site) = config.snapshot.site {
        return BTreeSet::from([site]);
    }
    let mut sites = source::named_sites(&config.snapshot, now);
    if let LogEvidence::Read { runs, .. } = log {
        sites.extend(runs.iter().filter_map(|run| run.site));
    }
    sites.extend(state.sites.keys());
    sites
}
