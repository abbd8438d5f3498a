//! Drills on schedule: the newest good archive of each site, fetched and checked as for a recovery.
//!
//! They run beside the watching, which goes on meanwhile, and begin only while no run is at work. Whether one is due
//! follows from the reports that earlier ones have left, so a restart changes nothing; a drill that left no report is
//! tried again a day later.

use std::time::Duration;

use jiff::Timestamp;

use crate::archive::Identities;
use crate::archive::manifest::Manifest;
use crate::catalog::{self, Selector};
use crate::destination::Destination;
use crate::engine::context::Context;
use crate::error::chain;
use crate::monitor::{Event, EventKind};
use crate::name::SiteCode;
use crate::platform::lock;
use crate::recovery::drill::{Drill, DrillError, Then, last};

/// Between two looks whether one is due.
const LOOK_EVERY: Duration = Duration::from_mins(15);
/// Before one that left no report is tried again.
const TRY_AGAIN: Duration = Duration::from_hours(24);

/// Carries out drills until somebody asks to stop.
pub(super) fn keep_drilling(context: &Context<'_>) {
    let Some(every) = context.config.drill.every else { return };
    let mut tried = None;
    while !context.clock.wait(LOOK_EVERY, context.cancel) {
        let now = context.clock.now();
        let reported = last(&context.config.drill.reports).map(|report| report.finished);
        if is_due(reported, tried, every, now) && !lock::is_held(&context.config.lock_file) {
            tried = Some(now);
            drill_all(context);
        }
    }
}

/// Is a drill due? A report or a try from the future says that a clock was wrong, and nothing else.
fn is_due(reported: Option<Timestamp>, tried: Option<Timestamp>, every: Duration, now: Timestamp) -> bool {
    let is_over = |at: Timestamp, time: Duration| {
        let age = now.duration_since(at);
        age.is_negative() || age.unsigned_abs() >= time
    };
    reported.is_none_or(|at| is_over(at, every)) && tried.is_none_or(|at| is_over(at, TRY_AGAIN.min(every)))
}

fn drill_all(context: &Context<'_>) {
    let settings = &context.config.drill;
    let failed = |message: String| {
        let hint = "'afterbackup recover drill' tries it by hand";
        context.monitor.event(&Event::new(EventKind::DrillFailed, message).with("hint", hint));
    };
    let identities = match settings.identity.as_deref().map(Identities::from_file).transpose() {
        Ok(identities) => identities.unwrap_or_default(),
        Err(error) => return failed(format!("no drill: the identity of [drill] cannot be used: {error}")),
    };
    let newest = newest(context);
    if newest.is_empty() {
        return failed("no drill: no destination has a good archive".to_owned());
    }
    let without = context.config.secret_variables();
    let scratch = settings.scratch.clone().unwrap_or_else(std::env::temp_dir);
    for (destination, manifest) in newest {
        let drill = Drill {
            destination,
            manifest: &manifest,
            identities: &identities,
            scratch: &scratch,
            then: settings.then.as_deref().map(|line| Then { line, timeout: settings.timeout, without: &without }),
            // Polite: runs come first.
            threads: 1,
            clock: context.clock,
            monitor: context.monitor,
            cancel: context.cancel,
        };
        match drill.run() {
            Ok(report) => {
                context.monitor.event(&report.event());
                if let Err(error) = report.save(&settings.reports) {
                    failed(format!(
                        "the report of a drill cannot be written into {}: {error}",
                        settings.reports.display()
                    ));
                }
            }
            Err(DrillError::Cancelled) => return,
            Err(error) => failed(format!("no drill of {}: {}", manifest.id, chain(&error))),
        }
    }
}

/// The newest good archive of each site, on the first destination that has it.
fn newest<'c>(context: &Context<'c>) -> Vec<(&'c dyn Destination, Manifest)> {
    let now = context.clock.now();
    let held = catalog::read_all(context.targets, None);
    let known = catalog::known(&held);
    let sites: std::collections::BTreeSet<SiteCode> = known.keys().map(|id| id.site()).collect();
    let of_site = |site: &SiteCode| {
        let own = known.iter().filter(|(id, _)| id.site() == *site).map(|(id, good)| (*id, *good)).collect();
        let id = Selector::LatestGood.choose(&own, now).ok()?.id;
        held.iter().find_map(|one| {
            let stored = one.catalog.as_ref().ok()?.archives.get(&id).filter(|stored| stored.is_good())?;
            let destination: &'c dyn Destination = &**one.target.open().ok()?;
            Some((destination, stored.manifest.clone()))
        })
    };
    sites.iter().filter_map(of_site).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use super::*;
    use crate::cancel::Cancel;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::destination::{Target, in_memory};
    use crate::monitor::Collector;

    /// Time passes by waiting, and ends with the last of these waits.
    #[derive(Debug)]
    struct Waits {
        now: Mutex<Timestamp>,
        left: Mutex<u32>,
    }

    impl Clock for Waits {
        fn now(&self) -> Timestamp {
            *self.now.lock().unwrap()
        }

        fn wait(&self, time: Duration, _cancel: &Cancel) -> bool {
            let mut now = self.now.lock().unwrap();
            *now += jiff::SignedDuration::try_from(time).unwrap();
            let mut left = self.left.lock().unwrap();
            *left = left.saturating_sub(1);
            *left == 0
        }
    }

    /// How many drills are tried in so many quarters of an hour.
    fn tries(every: &str, quarters: u32) -> usize {
        let text = format!(
            "lock-file = '/nowhere/lock'\n[snapshot]\npath = '/nowhere/E'\n[drill]\nscratch = '/nowhere/s'\n{every}\n\
             [[destination]]\nname = 'vault'\npath = '/nowhere/vault'\n"
        );
        let text = if cfg!(windows) { text.replace("'/", "'C:/") } else { text };
        let config = Config::from_text(&text, Path::new("/nowhere/a.toml"), &|_| None).unwrap();
        let (cancel, monitor) = (Cancel::new(), Collector::default());
        let targets = [Target::opened(config.destinations[0].clone(), in_memory("vault").into())];
        let clock = Waits { now: Mutex::new("2026-11-25T12:00:00Z".parse().unwrap()), left: Mutex::new(quarters + 1) };
        let context = Context { config: &config, targets: &targets, clock: &clock, monitor: &monitor, cancel: &cancel };
        keep_drilling(&context);
        let events = monitor.events();
        assert!(events.iter().all(|event| event.event == EventKind::DrillFailed), "{events:?}");
        events.len()
    }

    #[test]
    fn the_watcher_drills_when_it_is_due_and_tries_again_a_day_later() {
        assert_eq!(tries("", 4 * 24 * 10), 0);
        assert_eq!(tries("every = '30 days'", 1), 1);
        assert_eq!(tries("every = '30 days'", 4 * 24), 1);
        assert_eq!(tries("every = '30 days'", 4 * 24 + 1), 2);
        assert_eq!(tries("every = '2h'", 8 + 1), 2);
    }

    #[test]
    fn a_drill_is_due_by_its_reports_and_not_tried_twice_a_day() {
        let at = |time: &str| time.parse::<Timestamp>().unwrap();
        let month = Duration::from_hours(30 * 24);
        let now = at("2026-11-25T12:00:00Z");
        for (reported, tried, expected) in [
            (None, None, true),
            (Some("2026-11-24T12:00:00Z"), None, false),
            (Some("2026-10-26T12:00:00Z"), None, true),
            (Some("2026-10-26T12:00:01Z"), None, false),
            (Some("2027-01-01T00:00:00Z"), None, true),
            (None, Some("2026-11-25T11:00:00Z"), false),
            (None, Some("2026-11-24T12:00:00Z"), true),
            (Some("2026-10-26T12:00:00Z"), Some("2026-11-25T11:00:00Z"), false),
        ] {
            assert_eq!(is_due(reported.map(at), tried.map(at), month, now), expected, "{reported:?} {tried:?}");
        }
    }
}
