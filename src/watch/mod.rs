//! The resident watcher: archives each completed snapshot once, for years.
//!
//! [`Watcher::step`] looks at the log and at the [marks](crate::source::Marks) of every snapshot, which touches
//! nothing, and makes an [attempt](crate::engine::run) when they say that a run was completed. Nothing is decided by
//! what caused the look: a file event, the poll, a one-shot that hands over. So an event that never comes costs a poll,
//! not an archive.
//!
//! On start nothing is known, and the first step tries: a completed snapshot without archive gets one, and one that has
//! it is found to be archived. A step never fails. What cannot be looked at is told and looked at again; what could not
//! be written everywhere is tried again; a snapshot that the next run destroyed first is told as missed.
//!
//! Time passes by what the caller says has elapsed, not by the wall clock, which may be set, and stands still in tests.

pub mod alarm;
mod drills;
mod missed;
mod repeat;
mod site_memory;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use self::alarm::Alarm;
use self::missed::{Missed, has_other_name};
use self::repeat::Calm;
use self::site_memory::{Attempted, Memory, Next, Sight};
use crate::cancel::Cancel;
use crate::config::{self, Config};
use crate::engine::context::Context;
use crate::engine::error::RunError;
use crate::engine::handover::{self, Working};
use crate::engine::outcome::SiteResult;
use crate::engine::state::By;
use crate::error::chain;
use crate::monitor::{Event, EventKind, Level, Monitor};
use crate::name::{ArchiveId, SiteCode, StoredFile};
use crate::notify::Reporter;
use crate::platform::lock::{Holder, LockError, RunLock};
use crate::source::task_log::{self, Follower, Run, Runs};
use crate::source::{self, Marks};
use crate::units;

/// Watches the snapshots of a configuration.
#[derive(Debug)]
pub struct Watcher<'a> {
    context: Context<'a>,
    log: Option<Follower>,
    sites: BTreeMap<SiteCode, Site>,
    calm: Calm<'a>,
    /// What cannot be looked at, as it was told.
    blind: BTreeMap<&'static str, String>,
}

/// A site and what is known of it.
#[derive(Debug)]
struct Site {
    /// The configuration with this site alone.
    config: Config,
    memory: Memory,
    /// `None` until there is a log, and a destination has said what is archived.
    missed: Option<Missed>,
    /// Have the destinations been asked? Asking may take minutes.
    asked: bool,
    /// The run whose beginning or failure was told.
    told: Option<Run>,
}

impl<'a> Watcher<'a> {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(context: Context<'a>) -> Self {
        Self {
            context,
            log: context.config.snapshot.log.as_ref().map(Follower::new),
            sites: BTreeMap::new(),
            calm: Calm::new(context.monitor),
            blind: BTreeMap::new(),
        }
    }

    /// Looks, and does what is to be done, `elapsed` after the step before. Tells how long the next step may wait when
    /// no event comes first.
    pub fn step(&mut self, elapsed: Duration) -> Duration {
        let poll = self.context.config.watch.poll;
        let runs = self.read_log();
        let Some(marks) = self.read_marks() else { return poll };
        for site in marks.keys() {
            if !self.sites.contains_key(site) {
                self.sites.insert(*site, self.get_to_know(*site));
            }
        }
        let mut wait = poll;
        let mut sites = std::mem::take(&mut self.sites);
        for (code, site) in &mut sites {
            // A folder that is gone has no marks, and stays known.
            let marks = marks.get(code).cloned().unwrap_or_default();
            let run = runs.as_ref().and_then(|runs| runs.last(*code)).cloned();
            self.tell_run(*code, site, run.as_ref());
            let sight = Sight { run, marks };
            let next = site.memory.see(&sight, elapsed, self.context.config.snapshot.quiet);
            if next == Next::Attempt {
                let attempted = self.attempt(*code, site, sight.run.as_ref());
                site.memory.attempted(attempted);
            }
            self.tell_missed(*code, site, runs.as_ref(), &sight.marks);
            match next {
                Next::Wait => {}
                Next::WaitFor(time) => wait = wait.min(time),
                // That may have taken hours: what was seen of the other sites is old.
                Next::Attempt => {
                    wait = Duration::ZERO;
                    break;
                }
            }
        }
        self.sites = sites;
        wait
    }

    /// The runs of the configured log, where it can be read.
    fn read_log(&mut self) -> Option<Runs> {
        let log = self.log.as_mut()?;
        let polled = log.poll();
        let runs = log.runs();
        match polled {
            Ok(_) => self.sees("log"),
            Err(error) => {
                // Before the task's first run there is none, so that need not be a fault.
                let new = error.is_not_found() && runs.iter().next().is_none();
                self.is_blind("log", if new { Level::Warn } else { Level::Error }, &error, log_hint(&error));
                if new {
                    return None;
                }
            }
        }
        // What it told stays true while it is away, as for a moment when it is rolled over.
        Some(runs)
    }

    fn read_marks(&mut self) -> Option<BTreeMap<SiteCode, Marks>> {
        match source::marks(&self.context.config.snapshot, self.context.clock.now()) {
            Ok(marks) => {
                self.sees("snapshot");
                Some(marks)
            }
            Err(error) => {
                let hint = "it is tried again and again: check that the disk or share is online and that this account may read it";
                self.is_blind("snapshot", Level::Error, &error, hint);
                None
            }
        }
    }

    /// Told once, not at every look.
    fn is_blind(&mut self, what: &'static str, level: Level, error: &dyn std::error::Error, hint: &str) {
        let message = chain(error);
        if self.blind.get(what) != Some(&message) {
            let event = Event::new(EventKind::SourceUnreadable, format!("cannot watch: {message}"));
            let event = event.at(level).with("hint", hint);
            self.context.monitor.event(&event);
            self.blind.insert(what, message);
        }
    }

    fn sees(&mut self, what: &'static str) {
        if self.blind.remove(what).is_some() {
            self.context.monitor.event(&Event::new(EventKind::SourceReadable, format!("The {what} is back")));
        }
    }

    fn get_to_know(&self, code: SiteCode) -> Site {
        let snapshot = config::Snapshot { site: Some(code), ..self.context.config.snapshot.clone() };
        Site {
            config: Config { snapshot, ..self.context.config.clone() },
            memory: Memory::default(),
            missed: None,
            asked: false,
            told: None,
        }
    }

    /// Of all destinations that answer, by the names that lie there; `None` if none does.
    fn archives(&self, site: SiteCode) -> Option<BTreeSet<ArchiveId>> {
        let series = self.context.config.snapshot.kind.series();
        let manifest = |name: &str| match StoredFile::parse(name) {
            Some(StoredFile::Manifest(id)) if id.site() == site && id.series() == series => Some(id),
            _ => None,
        };
        let lists = self.context.targets.iter().filter_map(|one| one.open().ok()?.list(site.as_str()).ok());
        let lists: Vec<_> = lists.collect();
        let archives = lists.iter().flatten().filter_map(|entry| manifest(&entry.name)).collect();
        (!lists.is_empty()).then_some(archives)
    }

    /// The beginning and the failure of a run of the task.
    fn tell_run(&self, code: SiteCode, site: &mut Site, run: Option<&Run>) {
        let Some(run) = run else { return };
        let same = |told: &Run| (told.started_at(), told.outcome) == (run.started_at(), run.outcome);
        if site.told.as_ref().is_some_and(same) {
            return;
        }
        site.told = Some(run.clone());
        self.calm.forget();
        let at = |at: Option<jiff::Timestamp>| at.map_or_else(String::new, |at| format!(" at {at}"));
        let event = match run.outcome {
            task_log::Outcome::Running | task_log::Outcome::Interrupted => {
                let message = format!(
                    "The backup of site {code} began{}: not touching its snapshot until it is complete",
                    at(run.started_at())
                );
                Event::new(EventKind::BackupRunning, message)
            }
            task_log::Outcome::Failed { id, at: when } => {
                let with = id.map_or_else(String::new, |id| format!(" with status message {id}"));
                let message =
                    format!("the backup of site {code} failed{}{with}: there is nothing to archive", at(when));
                Event::new(EventKind::BackupFailed, message)
                    .with("id", id)
                    .with("hint", "smsbkup.log on the site server says why")
            }
            task_log::Outcome::Completed { .. } => return,
        };
        self.context.monitor.event(&event.with("site", code.as_str()));
    }

    fn tell_missed(&self, code: SiteCode, site: &mut Site, runs: Option<&Runs>, marks: &Marks) {
        if let Some(runs) = runs
            && site.missed.is_none()
            && !std::mem::replace(&mut site.asked, true)
        {
            site.missed = self.archives(code).map(|archives| Missed::new(code, runs, archives));
        }
        let lost = site.memory.lost(marks);
        let mut missed = match (&mut site.missed, runs) {
            (Some(missed), Some(runs)) => missed.find(runs),
            _ => vec![],
        };
        // The log may have told of it, or there is no log.
        missed.extend(lost.filter(|id| site.missed.as_mut().is_none_or(|missed| missed.settle(id))));
        if !missed.is_empty()
            && let Some(archives) = self.archives(code)
        {
            // A one-shot may have archived it meanwhile.
            missed.retain(|id| !archives.contains(id) && !runs.is_some_and(|runs| has_other_name(id, runs, &archives)));
        }
        for id in missed {
            let message = format!("{id} will never be: the next backup began before its snapshot was archived");
            let hint = "leave more time between backups than archiving takes";
            let event = Event::new(EventKind::Missed, message).with("archive", id.to_string());
            self.context.monitor.event(&event.with("hint", hint));
        }
    }

    /// Archives the snapshot of a site, if it is complete.
    fn attempt(&self, code: SiteCode, site: &mut Site, run: Option<&Run>) -> Attempted {
        let holder = Holder::this_process("watch", self.context.clock.now());
        let lock = match RunLock::take_as(&self.context.config.lock_file, &holder) {
            Ok(lock) => lock,
            Err(LockError::Busy { .. }) => return Attempted::Busy,
            Err(error) => {
                self.calm.event(&Event::new(EventKind::Failed, chain(&error)));
                return Attempted::Unfinished;
            }
        };
        let context = Context { config: &site.config, monitor: &self.calm, ..self.context };
        let working = Working::begin(&self.context, By::Watch, &lock);
        // Metrics are of all sites.
        let reporter = Reporter::new(Context { monitor: &self.calm, ..self.context }, By::Watch);
        if let Err(error) = reporter.begins() {
            let message = format!("the run does not begin: {}", chain(&error));
            self.calm.event(&Event::new(EventKind::Failed, message));
            return Attempted::Unfinished;
        }
        let result = handover::run_noted(&context, &working);
        reporter.attempted(result.as_ref());
        let outcome = match result {
            Ok(mut outcome) => outcome.sites.pop(),
            // Whoever stops us wants no more of it.
            Err(RunError::Cancelled) => return Attempted::Busy,
            Err(error) => {
                self.calm.event(&Event::new(EventKind::Failed, chain(&error)));
                return Attempted::Unfinished;
            }
        };
        let Some(outcome) = outcome else { return Attempted::Unfinished };
        match (&outcome.result, &outcome.archive) {
            (SiteResult::Archived | SiteResult::AlreadyArchived, Some(id)) => {
                if let Some(missed) = &mut site.missed {
                    missed.settle(id);
                    // A clock that was set during the run can give the archive another time than the log has.
                    if let Some(task_log::Outcome::Completed { at: Some(at) }) = run.map(|run| run.outcome) {
                        missed.settle(&ArchiveId::new(code, at));
                    }
                }
                // A destination answers.
                site.asked = false;
                let everywhere = outcome.destinations.iter().all(|one| one.result.has_archive());
                if everywhere { Attempted::Done } else { Attempted::Unfinished }
            }
            (SiteResult::Changed { .. }, Some(id)) => Attempted::Dropped(id.clone()),
            _ => Attempted::Unfinished,
        }
    }
}

/// Watches until somebody asks to stop. `ready` is called when watching has begun.
pub fn watch(context: &Context<'_>, ready: impl FnOnce()) {
    handover::forget_request(context);
    let (mut alarm, error) = Alarm::new(context.config);
    if let Some(error) = error {
        let message = format!("no file events, polling alone: {}", chain(&error));
        context.monitor.event(&Event::new(EventKind::NoEvents, message));
    }
    let how = if alarm.has_events() { "file events and polling" } else { "polling" };
    let snapshot = &context.config.snapshot;
    let message = format!(
        "Watching {} by {how} every {}",
        snapshot.path.display(),
        units::format_duration(context.config.watch.poll)
    );
    let event = Event::new(EventKind::Watching, message).with("path", snapshot.path.display().to_string());
    context.monitor.event(&event.with("events", alarm.has_events()));
    if snapshot.log.is_none() && snapshot.kind == config::SnapshotKind::Site {
        let message = "[snapshot] log is not set: a completed snapshot is noticed later, and a new run of the task too";
        let hint = "set it to smsbkup.log in the Logs folder of the site server";
        context.monitor.event(&Event::new(EventKind::Warning, message).with("hint", hint));
    }
    let mut watcher = Watcher::new(*context);
    ready();
    std::thread::scope(|scope| {
        // Beside the watching: a destination that is away may take minutes to say so.
        scope.spawn(|| {
            let _guard = StopOnPanic(context.cancel);
            Reporter::new(*context, By::Watch).keep_checking();
        });
        scope.spawn(|| {
            let _guard = StopOnPanic(context.cancel);
            drills::keep_drilling(context);
        });
        let _guard = StopOnPanic(context.cancel);
        let mut before = Instant::now();
        let mut elapsed = Duration::ZERO;
        while !context.cancel.is_cancelled() {
            let wait = watcher.step(elapsed);
            alarm.wait(wait, context.cancel);
            // A step that archives for an hour counts, too.
            elapsed = before.elapsed();
            before = Instant::now();
        }
    });
    context.monitor.event(&Event::new(EventKind::Stopped, "Stopped watching"));
}

/// A fault of this program must end it, so that the service manager starts it again: half a watcher looks like a whole
/// one.
struct StopOnPanic<'a>(&'a Cancel);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}

fn log_hint(error: &task_log::Error) -> &'static str {
    if error.is_not_found() {
        "the task makes it in its first run; is [snapshot] log the right path?"
    } else {
        "until it can be read, a snapshot counts as complete when its metadata is there and nothing changes for quiet"
    }
}
