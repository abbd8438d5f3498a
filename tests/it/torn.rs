//! A snapshot that changes while it is read, and clocks that are wrong: through the library, where both can be
//! arranged.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use afterbackup::cancel::Cancel;
use afterbackup::clock::{Clock, FixedClock, SystemClock};
use afterbackup::config::Config;
use afterbackup::destination::{self, Target};
use afterbackup::engine::context::Context;
use afterbackup::engine::error::RunError;
use afterbackup::engine::outcome::{Outcome, SiteResult};
use afterbackup::engine::prune;
use afterbackup::engine::run;
use afterbackup::monitor::{Event, Monitor, Task};
use afterbackup::severity::Severity;
use jiff::SignedDuration;

use crate::harness::{COMPLETED, ID, Scene, at, noise, read_only, status_message, touch};

type Deed = Box<dyn FnOnce() + Send>;

/// Does something once, when so many bytes of the snapshot were read.
#[derive(Clone)]
pub(crate) struct Meddler {
    after: u64,
    read: Arc<AtomicU64>,
    deed: Arc<Mutex<Option<Deed>>>,
    /// Instead, when the step of reading ends.
    at_end: bool,
}

impl Meddler {
    pub(crate) fn after(bytes: u64, deed: impl FnOnce() + Send + 'static) -> Self {
        Self { after: bytes, read: Arc::default(), deed: Arc::new(Mutex::new(Some(Box::new(deed)))), at_end: false }
    }

    pub(crate) fn at_end(deed: impl FnOnce() + Send + 'static) -> Self {
        Self { at_end: true, ..Self::after(u64::MAX, deed) }
    }

    fn act(&self) {
        let deed = self.deed.lock().unwrap().take();
        if let Some(deed) = deed {
            deed();
        }
    }
}

impl fmt::Debug for Meddler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meddler")
    }
}

impl Monitor for Meddler {
    fn task(&self, name: &str, _bytes: Option<u64>) -> Box<dyn Task> {
        if name.starts_with("Archiving") { Box::new(Step(self.clone())) } else { Box::new(Idle) }
    }

    fn event(&self, _event: &Event) {}
}

struct Idle;

impl Task for Idle {
    fn advance(&self, _bytes: u64) {}
}

struct Step(Meddler);

impl Task for Step {
    fn advance(&self, bytes: u64) {
        if self.0.read.fetch_add(bytes, Ordering::Relaxed) + bytes >= self.0.after {
            self.0.act();
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if self.0.at_end {
            self.0.act();
        }
    }
}

/// The engine with a folder and an in-memory bucket.
pub(crate) struct Bench {
    config: Config,
    targets: Vec<Target>,
    pub(crate) cancel: Cancel,
}

impl Bench {
    pub(crate) fn new(scene: &mut Scene) -> Self {
        // The second one only lends its settings to the bucket.
        scene.destination("bucket");
        let config = scene.loaded();
        let cancel = Cancel::new();
        let mut targets = Target::all(&config, &cancel);
        let bucket = destination::in_memory("bucket");
        targets[1] = Target::opened(config.destinations[1].clone(), Arc::from(bucket));
        Self { config, targets, cancel }
    }

    pub(crate) fn context<'a>(&'a self, monitor: &'a dyn Monitor, clock: &'a dyn Clock) -> Context<'a> {
        Context { config: &self.config, targets: &self.targets, clock, monitor, cancel: &self.cancel }
    }

    pub(crate) fn run(&self, monitor: &dyn Monitor, clock: &dyn Clock) -> Result<Outcome, RunError> {
        run::run(&self.context(monitor, clock))
    }

    #[track_caller]
    pub(crate) fn assert_nothing_is_left(&self, scene: &Scene) {
        assert_eq!(scene.held("vault"), Vec::<String>::new());
        for destination in self.targets.iter().map(|target| target.open().unwrap()) {
            assert!(destination.list("XYZ").unwrap().is_empty(), "{}", destination.name());
            assert!(destination.leftovers("XYZ").unwrap().is_empty(), "{}", destination.name());
        }
    }
}

const BIG: &str = "SiteServer/big.bin";

fn scene() -> Scene {
    let scene = Scene::new();
    scene.file(BIG, &noise(9, 12 << 20));
    scene.complete(COMPLETED);
    scene
}

/// Runs while something happens to the snapshot at several moments: always the attempt is dropped.
fn is_dropped_when(what: &str, deed: impl Fn(&Path) + Clone + Send + 'static) {
    for after in [Some(1), Some(3 << 20), Some(9 << 20), None] {
        let mut scene = scene();
        let bench = Bench::new(&mut scene);
        let (folder, deed) = (scene.snapshot(), deed.clone());
        let deed = move || deed(&folder);
        let meddler = after.map_or_else(|| Meddler::at_end(deed.clone()), |after| Meddler::after(after, deed.clone()));
        let outcome = bench.run(&meddler, &SystemClock).unwrap();
        assert!(meddler.deed.lock().unwrap().is_none(), "{what} did not happen");
        let [site] = &outcome.sites[..] else { panic!("{outcome:?}") };
        assert!(matches!(&site.result, SiteResult::Changed { changes } if !changes.is_empty()), "{what}: {site:?}");
        assert!(site.destinations.is_empty() && site.pruned.is_empty(), "{what}: {site:?}");
        assert_eq!(outcome.severity(), Severity::NoSnapshot);
        assert_eq!(i32::from(afterbackup::cli::Exit::from(outcome.severity()) as u8), 4);
        bench.assert_nothing_is_left(&scene);
    }
}

#[test]
fn snapshot_with_a_file_that_grows_is_dropped() {
    is_dropped_when("a file grows", |folder| {
        use std::io::Write;
        fs::File::options().append(true).open(folder.join(BIG)).unwrap().write_all(b"more").unwrap();
    });
}

#[test]
fn snapshot_with_a_file_that_is_cut_is_dropped() {
    is_dropped_when("a file is cut", |folder| {
        fs::File::options().write(true).open(folder.join(BIG)).unwrap().set_len(5000).unwrap();
    });
}

#[test]
fn snapshot_with_a_file_that_is_rewritten_in_place_is_dropped() {
    is_dropped_when("a file is rewritten", |folder| {
        use std::io::Write;
        fs::File::options().write(true).open(folder.join(BIG)).unwrap().write_all(b"other bytes").unwrap();
    });
}

#[test]
fn snapshot_with_a_file_that_goes_is_dropped() {
    is_dropped_when("a file goes", |folder| fs::remove_file(folder.join(BIG)).unwrap());
}

#[test]
fn snapshot_with_a_file_that_comes_is_dropped() {
    is_dropped_when("a file comes", |folder| fs::write(folder.join("CD.Latest/another"), "new").unwrap());
}

#[test]
fn snapshot_with_a_file_that_comes_with_an_old_time_is_dropped() {
    is_dropped_when("an old file comes", |folder| {
        fs::write(folder.join("CD.Latest/another"), "new").unwrap();
        touch(&folder.join("CD.Latest/another"), at("2001-01-01T00:00:00Z"));
        touch(&folder.join("CD.Latest"), at(COMPLETED) - SignedDuration::from_secs(1));
    });
}

#[test]
fn snapshot_that_is_cleaned_away_is_dropped() {
    is_dropped_when("the task cleans", |folder| {
        read_only(&folder.join("CD.Latest/skpswi.dat"), false);
        // Windows keeps the name of the file that is being read until it is closed.
        assert!(fs::remove_dir_all(folder).is_ok() || cfg!(windows));
    });
}

#[test]
fn snapshot_is_dropped_when_the_task_begins_again() {
    let mut scene = scene();
    let log = scene.path("smsbkup.log");
    fs::copy(scene.snapshot().join("smsbkup.log"), &log).unwrap();
    scene.snapshot_key("log = 'smsbkup.log'");
    let bench = Bench::new(&mut scene);
    let meddler = Meddler::after(1 << 20, move || {
        use std::io::Write;
        let began = status_message(5055, at(COMPLETED) + SignedDuration::from_hours(24));
        fs::File::options().append(true).open(&log).unwrap().write_all(began.as_bytes()).unwrap();
    });
    let outcome = bench.run(&meddler, &SystemClock).unwrap();
    assert!(matches!(outcome.sites[0].result, SiteResult::Changed { .. }), "{outcome:?}");
    bench.assert_nothing_is_left(&scene);
}

/// The uploads' threads were left to themselves then, and the process ended before they had removed their files.
#[test]
fn run_that_is_cancelled_before_the_second_look_has_removed_its_uploads() {
    for _ in 0..5 {
        let mut scene = scene();
        let bench = Bench::new(&mut scene);
        let cancel = bench.cancel.clone();
        let result = bench.run(&Meddler::at_end(move || cancel.cancel()), &SystemClock);
        assert!(matches!(result, Err(RunError::Cancelled)), "{result:?}");
        bench.assert_nothing_is_left(&scene);
    }
}

#[test]
fn run_that_is_cancelled_while_it_reads_has_removed_its_uploads() {
    for after in [1, 3 << 20, 9 << 20] {
        let mut scene = scene();
        let bench = Bench::new(&mut scene);
        let cancel = bench.cancel.clone();
        let result = bench.run(&Meddler::after(after, move || cancel.cancel()), &SystemClock);
        assert!(matches!(result, Err(RunError::Cancelled)), "{result:?}");
        bench.assert_nothing_is_left(&scene);
    }
}

// Clocks.

fn silent() -> Meddler {
    Meddler::after(u64::MAX, || {})
}

#[test]
fn archive_is_named_after_the_snapshot_whatever_the_clock_says() {
    for year in ["1990-01-01T00:00:00Z", "2090-01-01T00:00:00Z"] {
        let mut scene = Scene::new();
        let bench = Bench::new(&mut scene);
        let clock = FixedClock(at(year));
        let outcome = bench.run(&silent(), &clock).unwrap();
        assert_eq!(outcome.severity(), Severity::Done, "{outcome:?}");
        assert_eq!(outcome.sites[0].archive.as_ref().unwrap().to_string(), ID);
        assert_eq!(scene.held("vault"), [format!("{ID}.json"), format!("{ID}.tar.zst")]);
        let again = bench.run(&silent(), &clock).unwrap();
        assert_eq!(again.sites[0].result, SiteResult::AlreadyArchived);
    }
}

#[test]
fn prune_under_a_wrong_clock_keeps_what_seems_to_be_of_the_future() {
    let mut scene = Scene::new();
    scene.section("[retention]\nlast = 100");
    for day in 0..4 {
        scene.complete(&(at(COMPLETED) + SignedDuration::from_hours(24 * day)).to_string());
        scene.run(&["run"]).exits(0);
    }
    scene.sections = "[retention]\nlast = 1\n".to_owned();
    scene.configure();
    let bench = Bench::new(&mut scene);
    let clock = FixedClock(at("1990-01-01T00:00:00Z"));
    let pruned = prune::prune(&bench.context(&silent(), &clock), None, Some("vault"), false);
    assert!(pruned[0].removed.is_empty(), "{pruned:?}");
    assert_eq!(pruned[0].plan.as_ref().unwrap().future().count(), 4);
    assert_eq!(scene.held("vault").len(), 8);
    // A clock that is ahead makes nothing look older than counts allow.
    let clock = FixedClock(at("2090-01-01T00:00:00Z"));
    let monitor = silent();
    let context = bench.context(&monitor, &clock);
    let one = Context { targets: &bench.targets[..1], ..context };
    let pruned = prune::prune(&one, None, None, false);
    assert_eq!(pruned[0].removed.len(), 3, "{pruned:?}");
    assert_eq!(scene.held("vault").len(), 2);
}

#[test]
fn prune_under_a_clock_of_1990_sweeps_nothing() {
    let mut scene = Scene::new();
    let bench = Bench::new(&mut scene);
    fs::create_dir(scene.path("vault/XYZ")).unwrap();
    fs::write(scene.path("vault/XYZ/.XYZ-20200101T000000Z.tar.zst.partial-1"), "of a run that may be at work").unwrap();
    let clock = FixedClock(at("1990-01-01T00:00:00Z"));
    let pruned = prune::prune(&bench.context(&silent(), &clock), None, None, false);
    assert!(pruned.iter().all(|one| one.swept.is_empty() && !one.is_failure()), "{pruned:?}");
    assert_eq!(scene.held("vault").len(), 1);
}
