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

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::overdue::{self, Evidence, Verdict, overdue};
use super::survey::{Broken, Holding, Newest, Stray, Surveyed, survey};
use crate::config::Config;
use crate::engine::context::Context;
use crate::engine::inspect::{self, Look};
use crate::engine::state::{LastRun, State, StateFile};
use crate::error::chain;
use crate::name::{ArchiveId, SiteCode};
use crate::platform::lock;
use crate::retention::plan::is_future;
use crate::severity::Severity;
use crate::source::task_log::Outcome;
use crate::source::{self, LogEvidence};
use crate::units;

/// How bad something is. The worst decides: without a fresh archive it does not matter that an old one is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// All is well.
    Fine,
    /// Archived, but not everywhere, or the last run had a problem.
    Partial,
    /// An archive is damaged.
    Damage,
    /// No destination can be read.
    Unknown,
    /// The last run of the backup task failed.
    Failed,
    /// There is no fresh archive, or there will be none.
    Overdue,
}

impl Health {
    /// All but the first.
    pub const BAD: [Self; 5] = [Self::Partial, Self::Damage, Self::Unknown, Self::Failed, Self::Overdue];

    /// As it is written in JSON and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Partial => "partial",
            Self::Damage => "damage",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
            Self::Overdue => "overdue",
        }
    }
}

/// Something that is not right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub health: Health,
    /// What it is.
    pub problem: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A snapshot that the task has completed.
#[derive(Debug, Clone, Copy)]
struct Completed {
    site: SiteCode,
    /// When.
    at: Timestamp,
    /// Its archive bears this time or a later one: where the log could not be read, it is named after the metadata,
    /// which is written a little earlier.
    from: Timestamp,
}

/// From when on it is bad that a completed snapshot has no archive.
const GRACE: SignedDuration = SignedDuration::from_hours(1);
/// What is younger may be written at this moment, by another host.
const STRAY_AFTER: SignedDuration = SignedDuration::from_hours(1);
/// A run that holds the lock for longer is no excuse.
const LONGEST_RUN: SignedDuration = SignedDuration::from_hours(12);

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
    /// Looks at everything that tells. Into the snapshot only where no log says whether it is complete, and then as
    /// gently as a run.
    #[must_use]
    pub fn look(context: &Context<'_>) -> Self {
        let config = context.config;
        let log = source::read_log(&config.snapshot);
        let decisive = matches!(log, LogEvidence::Read { copy: false, .. });
        let snapshots = if decisive { vec![] } else { inspect::look(context) };
        Self::look_with(context, &snapshots)
    }

    /// The same, with what was seen of the snapshots.
    #[must_use]
    pub fn look_with(context: &Context<'_>, snapshots: &[Look]) -> Self {
        let config = context.config;
        let log = source::read_log(&config.snapshot);
        let (state, state_fault) = match StateFile::of(config).read() {
            Ok(state) => (state, None),
            Err(error) => (State::default(), Some(error)),
        };
        let at = context.clock.now();
        let own_sites = own_sites(config, &state, at);
        let expected = expected(config, &log, own_sites.clone());
        let wanted = Some(&expected).filter(|sites| !sites.is_empty());
        let series = config.snapshot.kind.series();
        let destinations = survey(context.targets, wanted, series, at);
        let mut sites = expected;
        if sites.is_empty() {
            let seen = destinations.iter().filter_map(|one| one.holdings.as_ref().ok());
            sites = seen.flat_map(|holdings| holdings.keys().copied()).collect();
        }
        let completed = completed(&log, snapshots, &sites);
        let at_work = lock::holder(&config.lock_file).is_some_and(|by| at.duration_since(by.since) < LONGEST_RUN);
        let limit = config.report.overdue;
        let mut named: Vec<Option<SiteCode>> = sites.into_iter().map(Some).collect();
        if named.is_empty() {
            named.push(None);
        }
        let view = View {
            destinations: &destinations,
            log: &log,
            state: &state,
            completed: &completed,
            own_sites: &own_sites,
            series,
            at_work,
            at,
        };
        let sites: Vec<SiteStanding> = named.into_iter().map(|site| SiteStanding::judge(site, &view, limit)).collect();
        let mut general = view.general();
        general.extend(view.last_run(&sites));
        if let Some(error) = source::unreachable(&config.snapshot) {
            let problem = format!("the next snapshot cannot be archived: {}", chain(&error));
            let hint = "[snapshot] path is the folder that the backup task writes to: is it right, and its disk there?";
            general.push(Problem { health: Health::Partial, problem, hint: Some(hint.to_owned()) });
        }
        if lock::is_impossible(&config.lock_file) {
            let problem = format!("no run can begin: the lock file {} is no file", config.lock_file.display());
            let hint = "remove what is there, or set lock-file to another path".to_owned();
            general.push(Problem { health: Health::Partial, problem, hint: Some(hint) });
        }
        if let Some(error) = state_fault {
            let path = StateFile::of(config).path().display().to_string();
            let problem = format!("what the last runs did is not known: cannot read {path}: {error}");
            let hint = "remove the file; the next run writes it anew".to_owned();
            general.push(Problem { health: Health::Partial, problem, hint: Some(hint) });
        }
        Self { at, limit, sites, destinations, log, state, general }
    }

    /// The worst.
    #[must_use]
    pub fn health(&self) -> Health {
        self.problems().map(|problem| problem.health).max().unwrap_or(Health::Fine)
    }

    /// Adds what somebody else has found.
    pub fn add(&mut self, problem: Problem) {
        self.general.push(problem);
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

    fn judge(site: Option<SiteCode>, view: &View<'_>, limit: Duration) -> Self {
        let holdings: Vec<(&str, &Holding)> =
            view.destinations.iter().filter_map(|one| Some((one.name.as_str(), one.of(site?)?))).collect();
        let newest =
            holdings.iter().filter_map(|(_, holding)| holding.newest.as_ref()).max_by_key(|one| one.id.stamp());
        let future = holdings.iter().flat_map(|(_, holding)| &holding.future).map(ArchiveId::stamp);
        let mut archives: Vec<Timestamp> = newest.map(|newest| newest.id.stamp()).into_iter().chain(future).collect();
        archives.sort_unstable();
        archives.dedup();
        let known = view.destinations.iter().any(|one| one.holdings.is_ok());
        let verdict = overdue(&Evidence { site, archives: &archives, known, log: view.log }, limit, view.at);
        let last_run = site.and_then(|site| view.state.sites.get(&site)).cloned();
        let mut standing = Self { verdict, newest: newest.cloned(), last_run, problems: vec![] };
        standing.problems = standing.find_problems(&holdings, view);
        standing
    }

    fn find_problems(&self, holdings: &[(&str, &Holding)], view: &View<'_>) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut add = |health, problem: String, hint: String| {
            found.push(Problem { health, problem, hint: Some(hint).filter(|hint| !hint.is_empty()) });
        };
        if self.verdict.is_overdue() {
            let words = self.verdict.words_of(|reason| !reason.is_failure());
            let hint = "is the backup task enabled and its log [snapshot] log? 'afterbackup run' archives a completed snapshot";
            add(Health::Overdue, words, hint.to_owned());
        }
        if self.verdict.has_failed() {
            let words = self.verdict.words_of(overdue::Reason::is_failure);
            add(Health::Failed, words, "smsbkup.log on the site server says why".to_owned());
        }
        if let Some((health, problem)) = self.verdict.site.and_then(|site| view.unarchived(site)) {
            let hint = "archive it with 'afterbackup run' before the next backup deletes it";
            add(health, problem, hint.to_owned());
        }
        if let Some(newest) = &self.newest {
            if newest.is_damaged() {
                let hint = format!(
                    "'afterbackup show {}' says more; keep the last sound archive (afterbackup pin)",
                    newest.id
                );
                add(Health::Damage, format!("{}{}", newest.id, newest.damage()), hint);
            }
            // One that has nothing of the site lacks it, too.
            let site = self.verdict.site;
            for one in view.destinations.iter().filter(|one| one.holdings.is_ok()) {
                let own = site.and_then(|site| one.of(site)).and_then(|holding| holding.newest.as_ref());
                if own.is_none_or(|own| own.id != newest.id) {
                    let hint = "'afterbackup run' puts it there while the snapshot exists";
                    add(Health::Partial, format!("{} is not on {}", newest.id, one.name), hint.to_owned());
                }
            }
        }
        for (name, holding) in holdings {
            for broken in &holding.broken {
                let Broken { id, problem } = broken;
                let copy = view.copy_elsewhere(id, name);
                let hint = copy.map_or_else(
                    || format!("'afterbackup verify {id} -d {name}' says what is left of it"),
                    |other| format!("{other} has a whole copy: 'afterbackup fetch {id} -d {other} --to DIR'"),
                );
                add(Health::Partial, format!("{id} on {name} is not whole: {problem}"), hint);
            }
            if let Some(id) = holding.future.first() {
                let hint = "check the clocks of this server and of the site server";
                let problem = format!("{id} on {name} is dated in the future: a clock is or was wrong");
                add(Health::Partial, problem, hint.to_owned());
            }
            for stray in view.strays(holding) {
                let (what, hint) = if stray.archive {
                    (
                        "is an archive without a manifest",
                        "it can be unpacked with zstd and tar; see FORMAT.md".to_owned(),
                    )
                } else {
                    (
                        "is left from an unfinished run",
                        format!("'afterbackup prune -d {name}' removes it when it is old enough"),
                    )
                };
                add(Health::Partial, format!("{} on {name} {what}", stray.key), hint);
            }
            if let Some(error) = &holding.strays_unknown {
                let problem = format!("what unfinished runs have left on {name} is not known: {error}");
                add(Health::Partial, problem, String::new());
            }
        }
        if let Some(last) = self.last_run.as_ref().filter(|last| is_failure(last.exit_code)) {
            let problem = last_run_words(last.finished, last.exit_code, &last.problems);
            add(run_health(last.exit_code), problem, LAST_RUN_HINT.to_owned());
        }
        found
    }
}

/// What problems are found in.
struct View<'a> {
    destinations: &'a [Surveyed],
    log: &'a LogEvidence,
    state: &'a State,
    completed: &'a [Completed],
    /// The sites of the configuration, its snapshots and its former runs.
    own_sites: &'a BTreeSet<SiteCode>,
    /// Of which series the backups are.
    series: Option<&'a str>,
    /// Is a run at work that may be about to put things right?
    at_work: bool,
    at: Timestamp,
}

impl View<'_> {
    /// Has the completed snapshot of a site no archive at all? That a destination lacks one is a problem of its own.
    fn unarchived(&self, site: SiteCode) -> Option<(Health, String)> {
        let completed = self.completed.iter().find(|one| one.site == site)?;
        let readable: Vec<&Surveyed> = self.destinations.iter().filter(|one| one.holdings.is_ok()).collect();
        // One that is newer says that the log is behind: that of a copied, stopped or damaged log is no news.
        let is_it = |id: &ArchiveId| {
            id.series() == self.series && completed.from <= id.stamp() && !is_future(id.stamp(), self.at)
        };
        let archived = readable.iter().filter_map(|one| one.of(site)).any(|holding| holding.ids.iter().any(is_it));
        if archived || readable.is_empty() || self.at_work {
            return None;
        }
        let late = self.at.duration_since(completed.at) > GRACE;
        let problem = format!("site {site}: the snapshot of {} is not archived", units::format_time(completed.at));
        Some((if late { Health::Overdue } else { Health::Partial }, problem))
    }

    /// Another destination that has the archive whole, and where no damage was found in it.
    fn copy_elsewhere(&self, id: &ArchiveId, than: &str) -> Option<&str> {
        let damaged = |name: &str| {
            self.state.findings.iter().any(|finding| finding.archive == *id && finding.destination == name)
        };
        let whole = |one: &&Surveyed| one.of(id.site()).is_some_and(|holding| holding.ids.contains(id));
        let others = self.destinations.iter().filter(|one| one.name != than && !damaged(&one.name));
        others.filter(whole).map(|one| one.name.as_str()).next()
    }

    fn strays<'h>(&self, holding: &'h Holding) -> impl Iterator<Item = &'h Stray> {
        let (at, at_work) = (self.at, self.at_work);
        holding.stray.iter().filter(move |stray| !at_work && at.duration_since(stray.modified) > STRAY_AFTER)
    }

    /// The last run, where it went wrong in a way that no site tells.
    fn last_run(&self, sites: &[SiteStanding]) -> Option<Problem> {
        let last = self.state.last_run.as_ref().filter(|last| is_failure(last.exit_code))?;
        let known = |problem: &String| {
            let runs = sites.iter().filter_map(|site| site.last_run.as_ref());
            runs.filter(|run| is_failure(run.exit_code)).any(|run| run.problems.contains(problem))
        };
        let told = sites.iter().filter_map(|site| site.last_run.as_ref()).any(|run| run.exit_code == last.exit_code);
        if last.problems.iter().all(known) && (told || !last.problems.is_empty()) {
            return None;
        }
        let problem = last_run_words(last.finished, last.exit_code, &last.problems);
        Some(Problem { health: run_health(last.exit_code), problem, hint: Some(LAST_RUN_HINT.to_owned()) })
    }

    fn general(&self) -> Vec<Problem> {
        // Of nothing that could be read, nothing can be said.
        let none = self.destinations.iter().all(|one| one.holdings.is_err());
        let health = if none { Health::Unknown } else { Health::Partial };
        let unread = self.destinations.iter().filter_map(|one| Some((one, one.holdings.as_ref().err()?)));
        let mut found: Vec<Problem> = unread
            .map(|(one, error)| Problem {
                health,
                problem: format!("{} cannot be read: {}", one.name, chain(error)),
                hint: error.hint().map(str::to_owned),
            })
            .collect();
        if let Some(problem) = self.log.fault(self.own_sites) {
            let hint = Some("correct [snapshot] log, or give this account the right to read it".to_owned());
            found.push(Problem { health: Health::Partial, problem, hint });
        }
        for finding in &self.state.findings {
            let Some(one) = self.destinations.iter().find(|one| one.name == finding.destination) else { continue };
            let id = &finding.archive;
            // What was pruned since is damaged no more.
            let gone = one.holdings.is_ok() && !one.of(id.site()).is_some_and(|holding| holding.ids.contains(id));
            if gone {
                continue;
            }
            let problem = format!(
                "verify found damage in {id} on {}, at {}: {}",
                one.name,
                units::format_time(finding.found),
                finding.problem
            );
            let hint = self.copy_elsewhere(id, &one.name).map_or_else(
                || {
                    format!(
                        "no other copy is known to be sound; 'afterbackup verify {id} -d {}' checks again",
                        one.name
                    )
                },
                |other| format!("{other} has a copy: 'afterbackup fetch {id} -d {other} --to DIR'"),
            );
            found.push(Problem { health: Health::Damage, problem, hint: Some(hint) });
        }
        found
    }
}

const LAST_RUN_HINT: &str = "when the cause is removed, 'afterbackup run' tries again";

/// What the last run did wrong.
fn last_run_words(finished: Timestamp, exit_code: u8, problems: &[String]) -> String {
    let shown: Vec<&str> = problems.iter().take(3).map(String::as_str).collect();
    let more = problems.len().saturating_sub(shown.len());
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let words = if shown.is_empty() { String::new() } else { format!(": {}{more}", shown.join("; ")) };
    format!("the last run, at {}, ended with {exit_code}{words}", units::format_time(finished))
}

fn is_failure(exit_code: u8) -> bool {
    exit_code != 0
}

fn run_health(exit_code: u8) -> Health {
    if exit_code == Severity::Damage.exit_code() { Health::Damage } else { Health::Partial }
}

/// The snapshots that the log, or a look, says are complete.
fn completed(log: &LogEvidence, snapshots: &[Look], sites: &BTreeSet<SiteCode>) -> Vec<Completed> {
    let mut found = Vec::new();
    if let LogEvidence::Read { runs, .. } = log {
        for &site in sites {
            let run = runs.last(site);
            if let Some((run, Outcome::Completed { at: Some(at) })) = run.map(|run| (run, run.outcome)) {
                let from = run.started_at().filter(|from| *from < at).unwrap_or(at - GRACE);
                found.push(Completed { site, at, from });
            }
        }
    }
    for look in snapshots {
        if let Look::Decided { site, completion } = look
            && let Some(at) = completion.completed()
            && !found.iter().any(|one| one.site == *site)
        {
            found.push(Completed { site: *site, at, from: at - GRACE });
        }
    }
    found
}

/// The sites that the configuration is for: named in it, seen in its snapshot or its log, or archived from here before.
#[must_use]
pub fn expected_sites(context: &Context<'_>) -> BTreeSet<SiteCode> {
    let config = context.config;
    // One that cannot be read names no sites; the others do.
    let state = StateFile::of(config).read().unwrap_or_default();
    expected(config, &source::read_log(&config.snapshot), own_sites(config, &state, context.clock.now()))
}

/// The sites whose archives must be there.
fn expected(config: &Config, log: &LogEvidence, mut sites: BTreeSet<SiteCode>) -> BTreeSet<SiteCode> {
    if let (None, LogEvidence::Read { runs, .. }) = (config.snapshot.site, log) {
        sites.extend(runs.iter().filter_map(|run| run.site));
    }
    sites
}

/// Those of which the log need not tell.
fn own_sites(config: &Config, state: &State, now: Timestamp) -> BTreeSet<SiteCode> {
    if let Some(site) = config.snapshot.site {
        return BTreeSet::from([site]);
    }
    let mut sites = source::named_sites(&config.snapshot, now);
    sites.extend(state.sites.keys());
    sites
}
