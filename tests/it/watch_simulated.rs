//! The watcher against the simulated backup task, in virtual time: over a thousand random schedules, no torn archive,
//! no completed snapshot missed without being told, none archived twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use afterbackup::cancel::Cancel;
use afterbackup::config::Config;
use afterbackup::destination::{self, Destination, Target};
use afterbackup::engine::context::Context;
use afterbackup::engine::handover::{self, Turn, Working};
use afterbackup::engine::state::By;
use afterbackup::monitor::{Event, EventKind, Monitor, Task};
use afterbackup::name::{ArchiveId, Form};
use afterbackup::watch::Watcher;
use tempfile::TempDir;

use crate::harness::at;
use crate::simulator::{Completed, Layout, Random, Simulator, runs_in, whole};

/// A snapshot that lay there for so long must be archived, whatever else happened: the quiet period, the longest poll,
/// a dropped attempt and its repetition have room in it.
const LONG: Duration = Duration::from_mins(20);

/// From this seed on, logs are damaged and files dated in the future.
const TROUBLE: u64 = 10_000;

/// Reading takes virtual time, in which the task goes on; and everything that is told is kept.
#[derive(Clone)]
struct Reading {
    simulator: Simulator,
    random: Arc<Mutex<Random>>,
    events: Arc<Mutex<Vec<Event>>>,
    /// Stops the program at a moment of some attempt.
    stop: Arc<Mutex<Option<(u64, Cancel)>>>,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reading")
    }
}

impl Monitor for Reading {
    fn task(&self, name: &str, _bytes: Option<u64>) -> Box<dyn Task> {
        if name.starts_with("Archiving") { Box::new(self.clone()) } else { Box::new(Quick) }
    }

    fn event(&self, event: &Event) {
        self.events.lock().unwrap().push(event.clone());
    }
}

impl Task for Reading {
    fn advance(&self, _bytes: u64) {
        let seconds = self.random.lock().unwrap().below(15);
        self.simulator.pass(Duration::from_secs(seconds));
        let mut stop = self.stop.lock().unwrap();
        if let Some((left, cancel)) = &mut *stop {
            *left = left.saturating_sub(1);
            if *left == 0 {
                cancel.cancel();
            }
        }
    }
}

struct Quick;

impl Task for Quick {
    fn advance(&self, _bytes: u64) {}
}

struct Schedule {
    seed: u64,
    layout: Layout,
    folder: TempDir,
    config: Config,
    vault: Arc<dyn Destination>,
    simulator: Simulator,
    reading: Reading,
    random: Random,
    /// What was completed before there was any archive need not be told.
    first_archive: Option<Duration>,
    /// When the watcher was stopped.
    stops: Vec<Duration>,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let layout = Layout { two_parts: random.one_in(3), log: !random.one_in(4), trouble: seed >= TROUBLE };
        // In memory: nothing here is about disks.
        let shm = Path::new("/dev/shm");
        let folder = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap();
        let simulator = Simulator::new(folder.path(), layout, seed, at("2021-11-01T20:00:00Z"));
        let mut toml = String::from("lock-file = 'lock'\n[snapshot]\npath = 'E'\n");
        if layout.log {
            toml += "log = 'Logs/smsbkup.log'\n";
        }
        if layout.two_parts {
            toml += "sql-path = 'sql'\n";
        }
        let poll = [15, 30, 60, 120][usize::try_from(random.below(4)).unwrap()];
        write!(toml, "[watch]\npoll = '{poll}s'\n[archive]\nthreads = 1\ncheck-databases = false\n").unwrap();
        toml += "[retention]\nlast = 1000\n[[destination]]\nname = 'vault'\npath = 'unused'\n";
        let config = Config::from_text(&toml, &folder.path().join("afterbackup.toml"), &|_| None).unwrap();
        let reading = Reading {
            simulator: simulator.clone(),
            random: Arc::new(Mutex::new(Random::new(seed + 1))),
            events: Arc::default(),
            stop: Arc::default(),
        };
        let vault = Arc::from(destination::in_memory("vault"));
        Self { seed, layout, folder, config, vault, simulator, reading, random, first_archive: None, stops: vec![] }
    }

    /// Several runs of the task, some close together; the watcher comes and goes.
    fn play(&mut self) {
        let runs = 4 + self.random.below(4);
        for _ in 0..runs {
            let pause = match self.random.below(5) {
                // Without its log, a run that dies right after another one was completed is not noticed; that is
                // documented.
                0 if !self.layout.log => Duration::from_secs(61),
                0 => Duration::from_secs(self.random.below(60)),
                1 => Duration::from_secs(60 + self.random.below(400)),
                _ => Duration::from_mins(20 + self.random.below(60)),
            };
            self.simulator.plan(pause);
        }
        let events = self.layout.log && self.random.one_in(2);
        while !self.simulator.is_idle() {
            let cancel = Cancel::new();
            if self.random.one_in(3) {
                *self.reading.stop.lock().unwrap() = Some((1 + self.random.below(12), cancel.clone()));
            }
            let until = if self.random.one_in(3) { self.random.below(2 * 3600) } else { u64::MAX };
            self.watch(&cancel, events, Duration::from_secs(until));
            *self.reading.stop.lock().unwrap() = None;
            self.stops.push(self.simulator.elapsed());
            // Nobody watches for a while.
            let gone = Duration::from_secs(self.random.below(900));
            self.simulator.pass(gone);
        }
        // Time enough for the last one, also after failures.
        self.watch(&Cancel::new(), events, Duration::from_mins(90));
    }

    fn watch(&mut self, cancel: &Cancel, events: bool, at_most: Duration) {
        let config = self.config.clone();
        let targets = [Target::opened(config.destinations[0].clone(), Arc::clone(&self.vault))];
        let (reading, simulator) = (self.reading.clone(), self.simulator.clone());
        let context = Context { config: &config, targets: &targets, clock: &simulator, monitor: &reading, cancel };
        let mut watcher = Watcher::new(context);
        let began = simulator.elapsed();
        let end = began.saturating_add(at_most);
        let mut before = began;
        while !cancel.is_cancelled() && simulator.elapsed() < end {
            let wait = watcher.step(simulator.elapsed().saturating_sub(before));
            before = simulator.elapsed();
            if self.first_archive.is_none() && !self.archives().is_empty() {
                self.first_archive = Some(before);
            }
            if events {
                simulator.pass_until_rung(wait);
                simulator.pass(Duration::from_millis(self.random.below(2500)));
            } else {
                simulator.pass(wait);
            }
            if simulator.after_backup() && self.random.one_in(3) {
                Self::one_shot(&context);
            }
            if simulator.is_idle() && at_most > Duration::from_mins(90) {
                break;
            }
        }
    }

    /// What AfterBackup.bat starts.
    fn one_shot(context: &Context<'_>) {
        match handover::take(context).unwrap() {
            Turn::Ours(lock) => drop(handover::run_noted(context, &Working::begin(context, By::Run, &lock))),
            Turn::Told(_) => panic!("nobody has the lock"),
        }
    }

    fn archives(&self) -> Vec<ArchiveId> {
        let entries = self.vault.list("XYZ").unwrap();
        entries.iter().filter_map(|entry| entry.name.strip_suffix(".json")?.parse().ok()).collect()
    }

    /// Of which run each archive is. None is torn, none is there twice.
    fn check_archives(&self) -> BTreeMap<u32, ArchiveId> {
        let whole: BTreeSet<String> = whole(self.layout).into_iter().collect();
        let mut found = BTreeMap::new();
        for id in self.archives() {
            let key = id.key(&id.archive_name(Form::PLAIN));
            let mut bytes = Vec::new();
            self.vault.open(&key).unwrap().read_to_end(&mut bytes).unwrap();
            let files = runs_in(&zstd::decode_all(bytes.as_slice()).unwrap());
            let runs: BTreeSet<u32> = files.values().copied().collect();
            assert_eq!(runs.len(), 1, "seed {}: {id} is torn: {files:?}", self.seed);
            let names: BTreeSet<String> = files.into_keys().collect();
            assert_eq!(names, whole, "seed {}: {id} is not whole", self.seed);
            let run = *runs.first().unwrap();
            let twice = found.insert(run, id.clone());
            assert!(twice.is_none(), "seed {}: run {run} is archived as {twice:?} and {id}", self.seed);
        }
        assert!(self.vault.leftovers("XYZ").unwrap().is_empty(), "seed {}", self.seed);
        found
    }

    /// A watcher that is started again tells it again, as long as there is no newer archive.
    fn missed(&self) -> BTreeSet<String> {
        let events = self.reading.events.lock().unwrap();
        let missed = events.iter().filter(|event| event.event == EventKind::Missed);
        missed.map(|event| event.fields["archive"].as_str().unwrap().to_owned()).collect()
    }

    fn check(&self) -> Tally {
        let archived = self.check_archives();
        let missed = self.missed();
        let completed = self.simulator.completed();
        let mut tally = Tally { completed: completed.len(), archived: archived.len(), missed: missed.len() };
        // Without a log, a run that died after its very last file cannot be told from one that was completed.
        for run in archived.keys().filter(|_| self.layout.log) {
            assert!(completed.iter().any(|one| one.run == *run), "seed {}: run {run} was not completed", self.seed);
        }
        for one in &completed {
            let id = ArchiveId::new("XYZ".parse().unwrap(), one.at).to_string();
            let (is_archived, is_missed) = (archived.contains_key(&one.run), missed.contains(&id));
            let why = || format!("seed {} {:?}: {one:?} {id}\n{}", self.seed, self.layout, self.story());
            assert!(!(is_archived && is_missed), "archived and told as missed: {}", why());
            let superseded = one.lasted.is_some();
            if self.layout.log
                && !is_archived
                && superseded
                && self.first_archive.is_some_and(|first| first < one.began())
            {
                assert!(is_missed, "neither archived nor told as missed: {}", why());
            }
            if !is_archived && !self.was_left_alone(one) {
                tally.missed += usize::from(!is_missed);
                continue;
            }
            assert!(is_archived, "not archived although there was time: {}", why());
        }
        tally
    }

    /// Was there time enough to archive it while somebody watched?
    fn was_left_alone(&self, one: &Completed) -> bool {
        let Some(lasted) = one.lasted else { return !one.clock_set };
        // In the pause after a stop nobody watches.
        let end = one.began() + lasted;
        let stops = self.stops.iter().filter(|stop| **stop < end).map(|stop| *stop + Duration::from_mins(15));
        let watched = stops.chain([one.began()]).max().expect("one at least");
        !one.clock_set && end.saturating_sub(watched) > LONG
    }

    fn story(&self) -> String {
        let events = self.reading.events.lock().unwrap();
        let lines = events.iter().map(|event| format!("{}: {}\n", event.event, event.message));
        let log = fs::read_to_string(self.folder.path().join("Logs/smsbkup.log")).unwrap_or_default();
        lines.collect::<String>() + &log
    }
}

/// How many of what.
struct Tally {
    completed: usize,
    archived: usize,
    missed: usize,
}

/// So many schedules, in parts that can run side by side.
fn play(seeds: std::ops::Range<u64>) {
    let (mut completed, mut archived, mut missed) = (0, 0, 0);
    for seed in seeds {
        let mut schedule = Schedule::new(seed);
        schedule.play();
        let tally = schedule.check();
        completed += tally.completed;
        archived += tally.archived;
        missed += tally.missed;
    }
    // A watcher that does nothing would pass all the rest, and so would a task that leaves it no trouble.
    assert!(archived * 10 > completed * 7, "{archived} of {completed} archived");
    assert!(missed > 0, "the schedules are too easy");
}

#[test]
fn random_schedules_first_part() {
    play(0..130);
}

#[test]
fn random_schedules_second_part() {
    play(130..260);
}

#[test]
fn random_schedules_third_part() {
    play(260..390);
}

#[test]
fn random_schedules_fourth_part() {
    play(390..520);
}

#[test]
fn random_schedules_fifth_part() {
    play(520..650);
}

#[test]
fn random_schedules_sixth_part() {
    play(650..780);
}

#[test]
fn random_schedules_seventh_part() {
    play(780..910);
}

#[test]
fn random_schedules_eighth_part() {
    play(910..1040);
}

#[test]
fn random_schedules_with_damaged_logs_and_wrong_dates_first_part() {
    play(TROUBLE..TROUBLE + 100);
}

#[test]
fn random_schedules_with_damaged_logs_and_wrong_dates_second_part() {
    play(TROUBLE + 100..TROUBLE + 200);
}
