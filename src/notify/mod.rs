//! Tells others how runs went, and that none did: hooks, a heartbeat, metrics; see `[hooks]` and `[report]`.
//!
//! A [`Reporter`] is made from the context of a run and does nothing where nothing is configured. Around every run:
//!
//! 1. [`Reporter::begins`], before anything is touched. An error is a failed run: nothing else is called for it.
//! 2. [`Reporter::ended`], with what became of it. It may turn a good end into a partial one.
//!
//! The watcher calls [`Reporter::attempted`] instead of the second. And while nothing happens, now and then
//! ([`Reporter::keep_checking`]): [`Reporter::check`]. It looks how backups stand, refreshes the metrics, and
//! tells when they are overdue: at once, and again once a day, since who is told of the same failure every minute soon
//! ignores it.

mod heartbeat;
mod hooks;
mod metrics;
mod resident;

use self::hooks::{Moment, News};
use crate::engine::context::Context;
use crate::engine::error::RunError;
use crate::engine::handover::note_end;
use crate::engine::outcome::{Outcome, SiteOutcome, SiteResult};
use crate::engine::state::By;
use crate::error::chain;
use crate::health::Reminder;
use crate::health::overdue::Verdict;
use crate::health::standing::{Health, Problem, Standing};
use crate::monitor::{Event, EventKind, Level};
use crate::recovery::drill_report::{self, Passed};
use crate::severity::Severity;
use crate::units;

pub use self::hooks::HookError;

/// How backups stand, with what the last recovery drill found: backups of which no site can be recovered are not well.
#[must_use]
pub fn with_drill(context: &Context<'_>, mut standing: Standing) -> Standing {
    let drill = drill_report::last(&context.config.drill.reports);
    if let Some(drill) = drill.filter(|drill| drill.passed > Passed::Partly) {
        let first = drill.findings.first().map_or_else(String::new, |first| format!(": {first}"));
        let at = units::format_time(drill.finished);
        let problem = format!("the last recovery drill, of {} at {at}: {}{first}", drill.archive, drill.verdict());
        let hint = Some("'afterbackup recover drill' tries again".to_owned());
        standing.add(Problem { health: Health::Partial, problem, hint });
    }
    standing
}

/// Tells others. Cheap to make.
#[derive(Debug, Clone, Copy)]
pub struct Reporter<'a> {
    context: Context<'a>,
    by: By,
}

/// Exit codes that decide who is told; `cli::exit` has them all.
const DONE: u8 = 0;
const FAILED: u8 = 1;
const PARTIAL: u8 = 3;
const CANCELLED: u8 = 130;

impl<'a> Reporter<'a> {
    /// Tells what the configuration in this context asks for, with its monitor and its request to stop.
    #[must_use]
    pub fn new(context: Context<'a>, by: By) -> Self {
        Self { context, by }
    }

    /// A run begins: nothing has been touched.
    ///
    /// # Errors
    /// When the run must not take place: the caller tells it. To others it has been told as a failed run.
    pub fn begins(&self) -> Result<(), HookError> {
        let news = News { message: "a run begins".to_owned(), ..News::default() };
        self.hooks(Moment::Before, &news).inspect_err(|error| {
            let message = format!("a run did not begin: {}", chain(error));
            if self.context.cancel.is_cancelled() {
                let news = News { exit_code: Some(CANCELLED), message: chain(error), ..News::default() };
                self.note(CANCELLED, vec![message]);
                return self.tell(&self.hooks(Moment::Finally, &news));
            }
            let news = News { exit_code: Some(FAILED), message: message.clone(), ..News::default() };
            self.tell(&self.failed(&news));
            self.note(FAILED, vec![message]);
            self.conclude(FAILED, &summary(&news, "a command before the run failed"));
        })
    }

    /// A run ended, with the exit code that belongs to it. How it really ended, hooks included, is noted before others
    /// learn of it.
    ///
    /// # Errors
    /// When a command failed whose failure is one. It has been told; what was archived stays.
    pub fn ended(&self, result: Result<&Outcome, &RunError>, exit_code: u8) -> Result<(), HookError> {
        let news = news(result, exit_code);
        let hooks = match exit_code {
            DONE => {
                let after = self.hooks(Moment::After, &news);
                let finally = self.hooks(Moment::Finally, &news);
                after.and(finally)
            }
            // Nobody has to be alarmed about what somebody asked for.
            CANCELLED => self.hooks(Moment::Finally, &news),
            _ => self.failed(&news),
        };
        self.tell(&hooks);
        let mut problems = problems(result);
        problems.extend(hooks.as_ref().err().map(|error| chain(error)));
        let exit_code = if exit_code == DONE && hooks.is_err() { PARTIAL } else { exit_code };
        self.note(exit_code, problems);
        // Destinations may take long to answer, and who asked to stop does not want to wait.
        if exit_code != CANCELLED {
            let words = if hooks.is_err() && news.exit_code == Some(DONE) {
                "archived, but a command after the run failed"
            } else {
                words(result)
            };
            self.conclude(exit_code, &summary(&News { exit_code: Some(exit_code), ..news }, words));
        }
        hooks
    }

    /// Tells the monitoring services, once it is noted how the run ended. Success is what `status` calls well: a run
    /// may have done its part while an older archive is damaged or another destination lacks one.
    fn conclude(&self, exit_code: u8, message: &str) {
        let report = &self.context.config.report;
        if report.metrics_file.is_none() && report.heartbeat.is_none() {
            return;
        }
        let standing = with_drill(&self.context, Standing::look(&self.context));
        self.write_metrics(&standing);
        let done = exit_code == DONE;
        if done && standing.health() != Health::Fine {
            self.heartbeat(false, &format!("{message}, but 'afterbackup status' reports a problem"));
        } else {
            self.heartbeat(done, message);
        }
    }

    /// Notes how a run ended, for `status` and whoever asks later.
    fn note(&self, exit_code: u8, problems: Vec<String>) {
        note_end(&self.context, self.by, exit_code, problems);
    }

    /// Looks how backups stand, refreshes the metrics, and tells when backups are overdue, unless that has been told
    /// lately. May take as long as a destination that is away is waited for.
    pub fn check(&self, reminder: &mut Reminder) -> Standing {
        let standing = with_drill(&self.context, Standing::look(&self.context));
        self.write_metrics(&standing);
        let overdue: Vec<&Verdict> = standing.verdicts().filter(|verdict| verdict.is_overdue()).collect();
        if reminder.is_news(overdue.iter().copied(), standing.at) {
            self.overdue(&overdue);
        }
        standing
    }

    fn overdue(&self, overdue: &[&Verdict]) {
        for verdict in overdue {
            let reasons: Vec<String> = verdict.reasons.iter().map(ToString::to_string).collect();
            let event = Event::new(EventKind::Overdue, verdict.headline());
            self.context
                .monitor
                .event(&event.with("site", verdict.site.map(|site| site.to_string())).with("reasons", reasons));
        }
        let sentences: Vec<String> = overdue.iter().map(|verdict| verdict.headline()).collect();
        let message = sentences.join("; ");
        self.heartbeat(false, &message);
        let sites = overdue.iter().filter_map(|verdict| verdict.site).map(|site| site.to_string()).collect();
        let news = News { sites, message, ..News::default() };
        self.tell(&self.hooks(Moment::Overdue, &news));
    }

    fn tell(&self, hooks: &Result<(), HookError>) {
        if let Err(error) = hooks {
            self.context.monitor.event(&error.event(Level::Error));
        }
    }

    fn failed(&self, news: &News) -> Result<(), HookError> {
        let failed = self.hooks(Moment::Failed, news);
        let finally = self.hooks(Moment::Finally, news);
        failed.and(finally)
    }

    fn hooks(&self, moment: Moment, news: &News) -> Result<(), HookError> {
        hooks::run(moment, news, self.context.config, self.context.cancel, self.context.monitor)
    }

    fn write_metrics(&self, standing: &Standing) {
        let Some(file) = &self.context.config.report.metrics_file else { return };
        if let Err(error) = metrics::write(file, standing) {
            let message = format!("cannot write metrics to {}: {error}", file.display());
            self.context.monitor.event(&Event::new(EventKind::MetricsFailed, message));
        }
    }

    fn heartbeat(&self, success: bool, message: &str) {
        let Some(heartbeat) = &self.context.config.report.heartbeat else { return };
        let url = if success { heartbeat.success() } else { heartbeat.fail() };
        if let Err(error) = heartbeat::send(&url, message, self.context.cancel) {
            let message = format!("cannot reach heartbeat {heartbeat}: {error}");
            self.context.monitor.event(&Event::new(EventKind::HeartbeatFailed, message));
        }
    }
}

/// What hooks learn of a run.
fn news(result: Result<&Outcome, &RunError>, exit_code: u8) -> News {
    let mut news = News { exit_code: Some(exit_code), ..News::default() };
    match result {
        Ok(outcome) => {
            news.sites.extend(outcome.sites.iter().filter_map(|site| site.site).map(|site| site.to_string()));
            let kept = |site: &&SiteOutcome| matches!(site.result, SiteResult::Archived | SiteResult::AlreadyArchived);
            let archives = outcome.sites.iter().filter(kept).filter_map(|site| site.archive.as_ref());
            news.archives.extend(archives.map(ToString::to_string));
            let told = outcome.sites.iter().flat_map(SiteOutcome::events);
            // What went well needs no more words than the last sentence about each site.
            let worth = |event: &Event| {
                event.level > Level::Info || matches!(event.event, EventKind::Archived | EventKind::AlreadyArchived)
            };
            let sentences: Vec<String> = told.filter(worth).map(|event| event.message).collect();
            news.message = sentences.join("; ");
        }
        Err(error) => news.message = chain(error),
    }
    news
}

/// What went wrong in a run, a sentence each.
fn problems(result: Result<&Outcome, &RunError>) -> Vec<String> {
    match result {
        Ok(outcome) => outcome.sites.iter().flat_map(SiteOutcome::problems).collect(),
        Err(error) => vec![chain(error)],
    }
}

/// How a run went, in words that anybody may read.
fn words(result: Result<&Outcome, &RunError>) -> &'static str {
    match result.map(Outcome::severity) {
        Ok(Severity::Done) => "done",
        Ok(Severity::NoSnapshot) => "there was no completed snapshot, or it changed while it was read",
        Ok(Severity::Partial) => "archived, but a destination or the pruning failed, or a file is missing",
        Ok(Severity::Damage) => "archived, but a database is damaged",
        Ok(Severity::Failed) | Err(_) => "failed, nothing new is safe",
    }
}

/// A sentence that names sites and archives, and neither hosts nor paths.
fn summary(news: &News, words: &str) -> String {
    let subject = if news.archives.is_empty() { &news.sites } else { &news.archives };
    let subject = if subject.is_empty() { String::new() } else { format!("{}: ", subject.join(" ")) };
    let code = news.exit_code.map_or_else(String::new, |code| format!(" (exit code {code})"));
    format!("{subject}{words}{code}")
}
