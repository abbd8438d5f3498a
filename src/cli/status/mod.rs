//! `afterbackup status`

mod nagios;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::list::databases;
use super::table::{Align, render};
use super::{Loaded, Program};
use crate::engine::context::Context;
use crate::engine::inspect::{Look, look};
use crate::engine::state::{Ended, LastRun};
use crate::error::chain;
use crate::health::overdue::Verdict;
use crate::health::standing::{Health, Problem, SiteStanding, Standing};
use crate::health::survey::{Holding, Newest};
use crate::notify::with_drill;
use crate::platform::lock::{self, Holder};
use crate::recovery::drill::{DrillReport, last};
use crate::source::LogEvidence;
use crate::source::complete::State;
use crate::source::task_log::Outcome;
use crate::units;

/// Who asks how things stand wants to know now that a destination does not answer.
const PATIENCE: Duration = Duration::from_secs(15);

const EXAMPLES: &str = r"Exit codes, of which the first that applies is taken:
  7  backups are overdue: the newest archive is too old, the completed snapshot is not archived,
     the task failed, or its log has no new entries
  1  no destination can be read
  6  the newest archive is damaged, or verify found damage
  3  a destination lacks it or cannot be read, an archive is not whole, an unfinished run left
     something, the last run did not end with 0, the snapshot's folder or the lock file is no such
     thing, the log is not that of the task, or the last recovery drill failed
  0  all is well
With --nagios: 0 OK, 1 WARNING (for 3), 2 CRITICAL (for 6 and 7), 3 UNKNOWN (for 1 and every error)

Examples:
  afterbackup status
  afterbackup status --json
  afterbackup status --nagios

See docs/monitoring.md.";

/// Show how backups stand.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Print one line for Nagios or Icinga with Nagios exit codes
    #[arg(long, conflicts_with = "json")]
    nagios: bool,
}

pub(super) fn status(program: &Program<'_>, args: &Args) -> Result<Exit, Failure> {
    if args.nagios {
        let look = |context: Context<'_>| with_drill(&context, Standing::look(&context));
        let standing = load(program).map(|loaded| look(program.context(&loaded)));
        let line = nagios::line(&standing);
        program.console.result(&line.text);
        return Ok(line.status.into());
    }
    let loaded = load(program)?;
    let context = program.context(&loaded);
    let snapshots = look(&context);
    let standing = with_drill(&context, Standing::look_with(&context, &snapshots));
    let lock_file = &loaded.config.lock_file;
    let work = lock::holder(lock_file);
    let watched = lock::is_held(&lock::watcher_lock(lock_file));
    let drill = last(&loaded.config.drill.reports);
    if program.console.is_json() {
        let document = Document::new(&standing, &snapshots, work.as_ref(), watched);
        program.console.document(&Document { last_drill: drill.as_ref(), ..document });
    } else {
        program.console.result(&text(&standing, &snapshots, work.as_ref(), watched, drill.as_ref()));
    }
    Ok(exit(standing.health()))
}

/// Waits less for destinations than a run does.
fn load(program: &Program<'_>) -> Result<Loaded, Failure> {
    let mut config = program.config()?;
    for destination in &mut config.destinations {
        destination.retry_for = destination.retry_for.min(PATIENCE);
    }
    Ok(program.loaded(config))
}

fn exit(health: Health) -> Exit {
    match health {
        Health::Fine => Exit::Done,
        Health::Partial => Exit::Partial,
        Health::Damage => Exit::Damage,
        Health::Unknown => Exit::Failed,
        // A task that fails leaves the next archive out, too.
        Health::Failed | Health::Overdue => Exit::Overdue,
    }
}

#[derive(Serialize)]
struct Document<'a> {
    health: Health,
    exit_code: u8,
    checked: Timestamp,
    overdue_limit_seconds: u64,
    problems: Vec<&'a Problem>,
    sites: Vec<SiteDocument<'a>>,
    destinations: Vec<DestinationDocument<'a>>,
    snapshots: Vec<SnapshotDocument>,
    task: Option<String>,
    watcher: bool,
    work: Option<&'a Holder>,
    last_run: Option<&'a Ended>,
    verified: Option<Timestamp>,
    last_drill: Option<&'a DrillReport>,
}

#[derive(Serialize)]
struct SiteDocument<'a> {
    #[serde(flatten)]
    verdict: &'a Verdict,
    overdue: bool,
    failed: bool,
    newest_archive: Option<&'a Newest>,
    newest_age_seconds: Option<i64>,
    last_run: Option<&'a LastRun>,
    destinations: Vec<HoldingDocument<'a>>,
}

#[derive(Serialize)]
struct HoldingDocument<'a> {
    name: &'a str,
    #[serde(flatten)]
    holding: &'a Holding,
}

#[derive(Serialize)]
struct DestinationDocument<'a> {
    name: &'a str,
    location: &'a str,
    error: Option<String>,
}

#[derive(Serialize)]
struct SnapshotDocument {
    site: Option<String>,
    state: &'static str,
    reasons: Vec<String>,
}

impl<'a> Document<'a> {
    fn new(standing: &'a Standing, snapshots: &[Look], work: Option<&'a Holder>, watcher: bool) -> Self {
        let health = standing.health();
        let sites = standing.sites.iter().map(|one| SiteDocument {
            verdict: &one.verdict,
            overdue: one.verdict.is_overdue(),
            failed: one.verdict.has_failed(),
            newest_archive: one.newest.as_ref(),
            newest_age_seconds: one.age(standing.at),
            last_run: one.last_run.as_ref(),
            destinations: held(standing, one).map(|(name, holding)| HoldingDocument { name, holding }).collect(),
        });
        let destinations = standing.destinations.iter().map(|one| DestinationDocument {
            name: &one.name,
            location: &one.location,
            error: one.holdings.as_ref().err().map(|error| chain(error)),
        });
        let snapshots = snapshots.iter().map(|one| match one {
            Look::Decided { site, completion } => SnapshotDocument {
                site: Some(site.to_string()),
                state: state_name(completion.state),
                reasons: completion.reasons.clone(),
            },
            Look::Nothing { reason } => {
                SnapshotDocument { site: None, state: "not-looked-at", reasons: vec![reason.clone()] }
            }
        });
        Self {
            health,
            exit_code: exit(health) as u8,
            checked: standing.at,
            overdue_limit_seconds: standing.limit.as_secs(),
            problems: standing.problems().collect(),
            sites: sites.collect(),
            destinations: destinations.collect(),
            snapshots: snapshots.collect(),
            task: task(standing),
            watcher,
            work,
            last_run: standing.state.last_run.as_ref(),
            verified: standing.state.verified,
            last_drill: None,
        }
    }
}

/// The destinations that hold something of a site.
fn held<'a>(standing: &'a Standing, site: &SiteStanding) -> impl Iterator<Item = (&'a str, &'a Holding)> {
    let site = site.verdict.site;
    standing.destinations.iter().filter_map(move |one| Some((one.name.as_str(), one.of(site?)?)))
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Complete { .. } => "complete",
        State::Running => "running",
        State::Failed { .. } => "failed",
        State::Incomplete => "incomplete",
        State::Unknown => "unknown",
    }
}

/// What the task's log tells of its last run, where a log is configured.
fn task(standing: &Standing) -> Option<String> {
    let runs = match &standing.log {
        LogEvidence::Absent => return None,
        LogEvidence::Unreadable { reason, .. } => return Some(format!("its log cannot be read: {reason}")),
        LogEvidence::Read { runs, .. } => runs,
    };
    let Some(run) = runs.iter().next_back() else { return Some("its log tells of no run".to_owned()) };
    let at = |at: Option<Timestamp>| {
        at.map_or_else(String::new, |at| format!(" {}, at {}", ago(at, standing.at), units::format_time(at)))
    };
    Some(match run.outcome {
        Outcome::Running => format!("began{} and has not ended", at(run.started_at())),
        Outcome::Completed { at: end } => format!("completed{}", at(end)),
        Outcome::Failed { id, at: end } => {
            let id = id.map_or_else(String::new, |id| format!(" with status message {id}"));
            format!("FAILED{}{id}", at(end))
        }
        Outcome::Interrupted => format!("began{} and never ended", at(run.started_at())),
    })
}

fn ago(then: Timestamp, now: Timestamp) -> String {
    units::format_age(then, now)
}

fn text(
    standing: &Standing,
    snapshots: &[Look],
    work: Option<&Holder>,
    watched: bool,
    drill: Option<&DrillReport>,
) -> String {
    let mut text = String::new();
    let mut facts = facts(standing, snapshots, work, watched);
    if let Some(drill) = drill {
        let first = drill.findings.first().map_or_else(String::new, |first| format!(": {first}"));
        let age = ago(drill.finished, standing.at);
        facts.push(("Last drill", format!("{}, {age}, {}{first}", drill.archive, drill.verdict())));
        facts.push(("A fetch takes", drill.fetch_in_words()));
    }
    for (name, value) in facts {
        text.extend([&format!("{name:<16}{}", units::visible_line(&value)), "\n"]);
    }
    text.push('\n');
    text.push_str(&table(standing));
    text.push('\n');
    let mut problems: Vec<&Problem> = standing.problems().collect();
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.health));
    for Problem { health, problem, hint } in problems {
        let severity = match health {
            Health::Overdue => "OVERDUE",
            Health::Failed => "FAILED",
            Health::Damage => "DAMAGED",
            Health::Unknown => "UNKNOWN",
            Health::Partial | Health::Fine => "warning",
        };
        text.extend([severity, ": ", &units::visible_line(problem), "\n"]);
        if let Some(hint) = hint {
            text.extend(["  hint: ", &units::visible_line(hint), "\n"]);
        }
    }
    if standing.health() == Health::Fine {
        let stand_in =
            standing.sites.iter().filter_map(|site| site.newest.as_ref()).find(|newest| newest.is_stand_in());
        match stand_in {
            Some(newest) => {
                text.extend(["Nothing failed, but ", newest.id.to_string().as_str(), " cannot recover a site: "]);
                text.push_str("its database files are stand-ins and not databases.\n");
            }
            None => text.push_str("All is well.\n"),
        }
    }
    text
}

fn facts(standing: &Standing, snapshots: &[Look], work: Option<&Holder>, watched: bool) -> Vec<(&'static str, String)> {
    let now = standing.at;
    let mut facts = Vec::new();
    for site in &standing.sites {
        facts.push(("Site", site.verdict.site.map_or_else(|| "unknown".to_owned(), |site| site.to_string())));
        let newest = site.newest.as_ref().map_or_else(|| "none".to_owned(), |newest| words(newest, now));
        facts.push(("Newest archive", newest));
        if let Some(due) = site.verdict.due {
            facts.push(("Next due", format!("before {}", units::format_time(due))));
        }
        if let Some(last) = &site.last_run {
            facts.push(("Last run", last_run(last)));
        }
    }
    // Where it did not come to a site, nothing above tells of it.
    let shown = |last: &&Ended| {
        let same = |run: &LastRun| run.exit_code == last.exit_code && run.problems == last.problems;
        standing.sites.iter().filter_map(|site| site.last_run.as_ref()).any(same)
    };
    let last = standing.state.last_run.as_ref().filter(|last| last.exit_code != 0);
    if let Some(last) = last.filter(|last| !shown(last)) {
        let words = if last.problems.is_empty() { String::new() } else { format!(": {}", last.problems.join("; ")) };
        facts.push(("Last exit code", format!("{}, {}{words}", last.exit_code, units::format_time(last.finished))));
    }
    if let Some(verified) = standing.state.verified {
        facts.push(("Last verify", units::format_time(verified)));
    }
    facts.extend(task(standing).map(|task| ("Backup task", task)));
    for one in snapshots {
        let told = match one {
            Look::Decided { site, completion } => {
                let site = if standing.sites.len() > 1 { format!("{site} ") } else { String::new() };
                format!("{site}{}: {}", state_name(completion.state), completion.reasons.join("; "))
            }
            Look::Nothing { reason } => reason.clone(),
        };
        facts.push(("Snapshot", told));
    }
    facts.push((
        "Watcher",
        match (work, watched) {
            (Some(work), true) => format!("running; {work} is at work"),
            (Some(work), false) => format!("not running; {work} is at work"),
            (None, true) => "running, waiting for the next snapshot".to_owned(),
            (None, false) => "not running".to_owned(),
        },
    ));
    facts
}

/// What became of a site; what went wrong counts more than what went well.
fn last_run(last: &LastRun) -> String {
    let words =
        if last.exit_code == 0 || last.problems.is_empty() { last.message.clone() } else { last.problems.join("; ") };
    format!("{}, exit code {}: {words}", units::format_time(last.finished), last.exit_code)
}

fn words(newest: &Newest, now: Timestamp) -> String {
    let databases = newest
        .content
        .as_ref()
        .map_or_else(String::new, |content| format!(", databases: {}", databases(&content.databases)));
    format!("{}, {}, {}{databases}", newest.id, ago(newest.id.stamp(), now), units::format_bytes(newest.bytes))
}

fn table(standing: &Standing) -> String {
    let columns = [
        ("Destination", Align::Left),
        ("Site", Align::Left),
        ("Newest archive", Align::Left),
        ("Age", Align::Right),
        ("Archives", Align::Right),
        ("Size", Align::Right),
    ];
    let mut rows = Vec::new();
    for one in &standing.destinations {
        if one.holdings.is_err() {
            rows.push(vec![one.name.clone(), String::new(), "cannot be read".to_owned()]);
        }
        for site in standing.sites.iter().filter_map(|site| site.verdict.site) {
            let Some(holding) = one.of(site) else { continue };
            let (newest, age) = holding.newest.as_ref().map_or_else(
                || ("none".to_owned(), String::new()),
                |newest| (newest.id.to_string(), ago(newest.id.stamp(), standing.at)),
            );
            let size = units::format_bytes(holding.bytes);
            rows.push(vec![one.name.clone(), site.to_string(), newest, age, holding.archives.to_string(), size]);
        }
    }
    render(&columns, &rows)
}
