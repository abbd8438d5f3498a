//! Every interleaving of two processes on one destination.
//!
//! Each call of [`Destination`] is one step. A scheduler lets one process make one step at a time and tries every
//! order: it replays a prefix of choices and goes on from there, until every choice in every state has been tried. A
//! state is what the destination holds and what each process has seen; where two orders lead to the same state, what
//! follows is the same and is tried once. After every step, what is visible must be whole, and at the end each process
//! must have been told the truth.
//!
//! Lies of the destination stand for faults of the protocol: one that hides the claims of others is a protocol that
//! does not look at them. Each of them must be found.

#![allow(
    clippy::case_sensitive_file_extension_comparisons,
    clippy::format_push_string,
    clippy::format_collect,
    clippy::needless_for_each,
    clippy::unnecessary_literal_bound,
    clippy::match_bool,
    clippy::string_slice,
    clippy::let_underscore_must_use,
    clippy::print_stdout,
    clippy::too_many_lines,
    reason = "names are made here, and texts are compared, not shown"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::io::Read;
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::claim::{Prepared, prepare};
use super::lanes::{Arrival, push_alone};
use super::outcome::Pruned;
use super::pins::{self, PinError};
use super::prune::remove;
use crate::archive::manifest::{Manifest, Sha256Hex};
use crate::catalog::{self, Pin};
use crate::destination::{self, Claim, Destination, Entry, Error, ErrorKind, Leftover, Upload, in_memory};
use crate::name::{ArchiveId, Form, StoredFile};

/// What a destination may pretend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// Nothing.
    None,
    /// Names of archives that are taken are replaced: a store without conditions. Claims have to be enough then.
    ReplacesArchives,
    /// The same, for manifests.
    ReplacesManifests,
    /// Names that are taken are replaced, and there are no claims of others.
    HidesClaims,
    /// There is never a pin.
    HidesPins,
    /// There is never a note of a removal, and the manifest is always there.
    HidesRemovals,
    /// A manifest is deleted only after its archive was.
    DeletesManifestsLate,
    /// Manifests are not deleted.
    KeepsManifests,
    /// The manifest is there whenever it is looked for.
    ManifestsNeverGo,
    /// There is nothing but manifests.
    HidesFiles,
    /// Half of an archive is stored.
    LosesBytes,
    /// Manifests are not stored.
    LosesManifests,
    /// Whoever comes second takes the file of the first one for its own.
    DeletesTheOther,
}

/// Who may make a step, and what names that hold random numbers are called.
struct Turnstile {
    ready: Sender<Message>,
}

enum Message {
    Ready(usize),
    Done(usize, String),
}

thread_local! {
    static PROCESS: std::cell::Cell<usize> = const { std::cell::Cell::new(usize::MAX) };
    static GO: std::cell::RefCell<Option<Receiver<()>>> = const { std::cell::RefCell::new(None) };
}

/// What all processes share.
struct Shared {
    inner: Box<dyn Destination>,
    lie: Lie,
    starts_broken: bool,
    turnstile: Turnstile,
    /// What each process has seen.
    seen: Mutex<Vec<String>>,
    names: Mutex<BTreeMap<String, String>>,
    late: Mutex<Option<String>>,
}

#[derive(Clone)]
struct Stepped(Arc<Shared>);

impl Debug for Stepped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stepped")
    }
}

impl Shared {
    /// Waits for its turn, makes the step, and remembers what it showed.
    fn step<T: Debug>(&self, what: &str, call: impl FnOnce() -> T) -> T {
        let process = PROCESS.get();
        if process == usize::MAX {
            return call();
        }
        self.turnstile.ready.send(Message::Ready(process)).unwrap();
        GO.with_borrow(|go| go.as_ref().unwrap().recv().unwrap());
        let result = call();
        self.name_new_files(process);
        let shown = self.plain(&format!("{what} {result:?};"));
        self.seen.lock().unwrap()[process].push_str(&shown);
        result
    }

    fn raw(&self) -> (Vec<Entry>, Vec<Leftover>) {
        (self.inner.list("XYZ").unwrap_or_default(), self.inner.leftovers("XYZ").unwrap_or_default())
    }

    /// Random parts of names are replaced by who made them and how many there were before.
    fn name_new_files(&self, process: usize) {
        let (entries, leftovers) = self.raw();
        let mut names = self.names.lock().unwrap();
        let all = entries.into_iter().map(|entry| entry.name).chain(leftovers.into_iter().map(|one| one.key));
        for name in all {
            let attempt = name.split('.').find(|part| part.len() == 8 && part.bytes().all(|b| b.is_ascii_hexdigit()));
            let random = match name.split_once(".partial-") {
                Some((_, tail)) => Some(tail.to_owned()),
                None => attempt.map(str::to_owned),
            };
            if let Some(random) = random
                && !names.contains_key(&random)
            {
                let count = names.len();
                names.insert(random, format!("<{process}#{count}>"));
            }
        }
    }

    fn plain(&self, text: &str) -> String {
        self.names.lock().unwrap().iter().fold(text.to_owned(), |text, (random, name)| text.replace(random, name))
    }

    /// What it holds.
    fn content(&self) -> String {
        let (entries, leftovers) = self.raw();
        let mut content = String::new();
        for entry in &entries {
            let bytes = self.inner.read(&format!("XYZ/{}", entry.name), 1 << 20).unwrap_or_default();
            content += &format!("{}={};", entry.name, String::from_utf8_lossy(&bytes));
        }
        leftovers.iter().for_each(|one| content += &format!("{};", one.key));
        self.plain(&content)
    }

    /// Promise: what is visible is whole.
    fn visible(&self) -> Result<BTreeSet<ArchiveId>, String> {
        let (entries, _) = self.raw();
        let mut visible = BTreeSet::new();
        for entry in &entries {
            let Some(StoredFile::Manifest(id)) = StoredFile::parse(&entry.name) else { continue };
            let bytes = self.inner.read(&id.key(&entry.name), 1 << 20).map_err(|error| error.to_string())?;
            let manifest = Manifest::parse(&entry.name, &bytes).map_err(|error| error.to_string())?;
            let archive = self.inner.read(&id.key(&manifest.archive), 1 << 20);
            // Broken from the start: that is what the processes find.
            if archive.is_err() && manifest.host == "host 9" && self.starts_broken {
                continue;
            }
            let archive = archive.map_err(|_| format!("{id} is visible without its archive"))?;
            if Sha256Hex(Sha256::digest(&archive).into()) != manifest.sha256 {
                return Err(format!("{id} is visible with the archive of another attempt"));
            }
            visible.insert(id);
        }
        Ok(visible)
    }
}

/// Errors and times differ from call to call.
fn brief<T: Debug>(result: &Result<T, Error>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{:?}", error.kind),
    }
}

fn no_such(key: &str) -> Error {
    Error::new(ErrorKind::NotFound, "look at", key, "hidden")
}

impl Stepped {
    fn call<T>(
        &self,
        what: &str,
        call: impl FnOnce() -> Result<T, Error>,
        show: impl Fn(&T) -> String,
    ) -> Result<T, Error> {
        let mut out = None;
        self.0.step(what, || {
            let result = call();
            let shown = brief(&result.as_ref().map(&show).map_err(|error| no_such(&format!("{:?}", error.kind))));
            let kind = result.as_ref().err().map(|error| error.kind);
            out = Some(result);
            (shown, kind)
        });
        out.unwrap()
    }

    fn replaces(&self, key: &str) -> bool {
        let is_manifest = key.ends_with(".json");
        matches!(
            (self.0.lie, is_manifest),
            (Lie::ReplacesManifests, true) | (Lie::ReplacesArchives | Lie::HidesClaims, false)
        ) && !key.ends_with(".removing")
            && !key.ends_with(".pin")
    }
}

impl Destination for Stepped {
    fn name(&self) -> &str {
        "shared"
    }

    fn location(&self) -> String {
        "shared".to_owned()
    }

    fn folders(&self) -> Result<Vec<String>, Error> {
        self.call("folders", || self.0.inner.folders(), |names| format!("{names:?}"))
    }

    fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        let show = |entries: &Vec<Entry>| entries.iter().map(|one| format!("{} {},", one.name, one.bytes)).collect();
        let hides = self.0.lie == Lie::HidesFiles && PROCESS.get() == 0;
        let is_shown = |entry: &Entry| !hides || entry.name.ends_with(".json");
        let call = || Ok(self.0.inner.list(folder)?.into_iter().filter(is_shown).collect());
        self.call("list", call, show)
    }

    fn stat(&self, key: &str) -> Result<Entry, Error> {
        let hidden = match self.0.lie {
            Lie::HidesPins => key.ends_with(".pin"),
            Lie::HidesRemovals => key.ends_with(".removing"),
            _ => false,
        };
        let is_manifest = key.ends_with(".json");
        let pretended =
            is_manifest && matches!((self.0.lie, PROCESS.get()), (Lie::HidesRemovals, 1) | (Lie::ManifestsNeverGo, 0));
        let call = || match self.0.inner.stat(key) {
            _ if hidden => Err(no_such(key)),
            Err(_) if pretended => Ok(Entry { name: "there".to_owned(), bytes: 0, modified: Timestamp::UNIX_EPOCH }),
            other => other,
        };
        self.call(&format!("stat {key}"), call, |entry| entry.bytes.to_string())
    }

    fn read(&self, key: &str, limit: u64) -> Result<Bytes, Error> {
        let show = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        self.call(&format!("read {key}"), || self.0.inner.read(key, limit), show)
    }

    fn read_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        self.call("read_range", || self.0.inner.read_range(key, range), |bytes| bytes.len().to_string())
    }

    fn open(&self, key: &str) -> Result<Box<dyn Read + Send>, Error> {
        // What is read back later is what was there when it was opened.
        let bytes = self.call(
            &format!("open {key}"),
            || self.0.inner.read(key, 1 << 20),
            |bytes| String::from_utf8_lossy(bytes).into_owned(),
        )?;
        Ok(Box::new(std::io::Cursor::new(bytes)))
    }

    fn claim(&self, key: &str) -> Result<Claim, Error> {
        self.call("claim", || self.0.inner.claim(key), |_| String::new())
    }

    fn upload(&self, key: &str, expected_bytes: u64) -> Result<Box<dyn Upload>, Error> {
        let inner = self.0.inner.upload(key, expected_bytes)?;
        Ok(Box::new(SteppedUpload { inner, key: key.to_owned(), of: self.clone() }))
    }

    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<(), Error> {
        let call = || {
            if self.replaces(key) {
                self.0.inner.delete(key)?;
            }
            if self.0.lie == Lie::LosesManifests && key.ends_with(".json") {
                return Ok(());
            }
            self.0.inner.put_new(key, bytes)
        };
        self.call(&format!("put {key}"), call, |()| String::new())
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        let late = self.0.lie == Lie::DeletesManifestsLate;
        let call = || {
            if self.0.lie == Lie::KeepsManifests && key.ends_with(".json") {
                return Ok(());
            }
            if late && key.ends_with(".json") {
                *self.0.late.lock().unwrap() = Some(key.to_owned());
                return Ok(());
            }
            let other = match (self.0.lie, StoredFile::parse(key.rsplit_once('/').map_or(key, |(_, name)| name))) {
                (Lie::DeletesTheOther, Some(StoredFile::Archive { id, form })) => id.key(&id.archive_name(form)),
                _ => key.to_owned(),
            };
            self.0.inner.delete(&other)
        };
        self.call(&format!("delete {key}"), call, |()| String::new())?;
        let manifest = self.0.late.lock().unwrap().take_if(|manifest| *manifest != key);
        manifest.map_or(Ok(()), |manifest| self.call("late", || self.0.inner.delete(&manifest), |()| String::new()))
    }

    fn leftovers(&self, folder: &str) -> Result<Vec<Leftover>, Error> {
        let process = PROCESS.get();
        let call = || {
            let all = self.0.inner.leftovers(folder)?;
            let names = self.0.names.lock().unwrap();
            let own = |key: &str| {
                names
                    .iter()
                    .any(|(random, name)| key.contains(random.as_str()) && name.starts_with(&format!("<{process}#")))
            };
            let hides = self.0.lie == Lie::HidesClaims;
            Ok(all.into_iter().filter(|one| !hides || own(&one.key)).collect::<Vec<_>>())
        };
        self.call("leftovers", call, |all| all.iter().map(|one| format!("{},", one.key)).collect())
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<(), Error> {
        self.call(&format!("remove {}", leftover.key), || self.0.inner.remove_leftover(leftover), |()| String::new())
    }
}

struct SteppedUpload {
    inner: Box<dyn Upload>,
    key: String,
    of: Stepped,
}

impl Upload for SteppedUpload {
    fn write(&mut self, block: Bytes) -> Result<(), Error> {
        let kept = if self.of.0.lie == Lie::LosesBytes { block.len() / 2 } else { block.len() };
        self.inner.write(block.slice(..kept))
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        let Self { inner, key, of } = *self;
        let call = || {
            if of.replaces(&key) {
                of.0.inner.delete(&key)?;
            }
            inner.finish()
        };
        of.call(&format!("finish {key}"), call, |()| String::new())
    }

    fn abort(self: Box<Self>) -> Result<(), Error> {
        self.inner.abort()
    }
}

fn id() -> ArchiveId {
    "XYZ-20261122T235900Z".parse().unwrap()
}

/// An archive of this process: others have other bytes, as encrypted ones have.
fn archive(process: usize) -> (Bytes, Manifest) {
    let bytes = Bytes::from(format!("archive of process {process}"));
    let (id, length) = (id(), bytes.len());
    let (name, stamp) = (id.archive_name(Form::PLAIN), id.stamp());
    let sum = Sha256Hex(Sha256::digest(&bytes).into());
    let json = format!(
        r#"{{"format":1,"id":"{id}","site":"XYZ","completed":"{stamp}","archived":"{stamp}","host":"host {process}",
        "archive":"{name}","bytes":{length},"sha256":"{sum}","compressed_bytes":{length},"uncompressed_bytes":1536,"snapshot_bytes":0,
        "files":0,"index":{{"frame":0,"frames":1,"frame_offset":0,"offset":512,"size":9,"sha256":"{sum}"}}}}"#
    );
    let manifest = Manifest::parse(&id.manifest_name(), json.as_bytes()).unwrap();
    (bytes, manifest)
}

fn store(destination: &dyn Destination) {
    let (bytes, manifest) = archive(9);
    destination.put_new(&id().key(&manifest.archive), &bytes).unwrap();
    destination.put_new(&id().key(&id().manifest_name()), &manifest.to_json()).unwrap();
}

/// Nothing is old.
const NOW: (Timestamp, Duration) = (Timestamp::UNIX_EPOCH, Duration::from_hours(48));

fn push(destination: &dyn Destination) -> String {
    let (bytes, manifest) = archive(PROCESS.get());
    let prepared = catalog::read(destination, Some(id().site()))
        .and_then(|before| prepare(destination, &id(), Form::PLAIN, &before, NOW, &mut |_| {}));
    match prepared {
        Ok(Prepared::There(_)) => "already".to_owned(),
        Ok(Prepared::Open { archive, claim }) => {
            let pushed = push_alone(destination, &id().key(&archive), bytes, Arc::new(manifest));
            drop(claim);
            match pushed {
                Ok(Arrival::New) => "archived".to_owned(),
                Ok(Arrival::Before) => "already".to_owned(),
                Err(error) => format!("failed: {error}"),
            }
        }
        Err(error) => format!("failed: {error}"),
    }
}

fn pin(destination: &dyn Destination) -> String {
    let pin = Pin { reason: "upgrade".to_owned(), ..Pin::default() };
    match pins::pin(destination, &id(), &pin) {
        Ok(_) => "pinned".to_owned(),
        Err(PinError::Removed(..) | PinError::BeingRemoved(..)) => "refused".to_owned(),
        Err(error) => format!("failed: {error}"),
    }
}

fn prune(destination: &dyn Destination) -> String {
    let catalog = match catalog::read(destination, Some("XYZ".parse().unwrap())) {
        Ok(catalog) => catalog,
        Err(error) => return format!("failed: {error}"),
    };
    let mut pruned = Pruned::new("shared");
    match catalog.archives.get(&id()) {
        Some(stored) if stored.pin.is_none() => drop(remove(destination, stored, &catalog, &mut pruned)),
        _ => return "nothing".to_owned(),
    }
    match (pruned.failures.is_empty(), pruned.removed.is_empty()) {
        (false, _) => format!("failed: {:?}", pruned.failures),
        (true, true) => "kept".to_owned(),
        (true, false) => "removed".to_owned(),
    }
}

/// Reads the archive as `verify` does: an alarm only if it is still there.
fn verify(destination: &dyn Destination) -> String {
    let Ok(catalog) = catalog::read(destination, Some("XYZ".parse().unwrap())) else {
        return "failed: list".to_owned();
    };
    let Some(stored) = catalog.archives.get(&id()) else { return "nothing".to_owned() };
    let bytes = destination.read(&id().key(&stored.manifest.archive), 1 << 20);
    let is_sound =
        stored.whole && bytes.is_ok_and(|bytes| Sha256Hex(Sha256::digest(&bytes).into()) == stored.manifest.sha256);
    match is_sound {
        true => "sound".to_owned(),
        false if destination.stat(&id().key(&id().manifest_name())).is_err() => "removed meanwhile".to_owned(),
        false => "DAMAGED".to_owned(),
    }
}

type Process = fn(&dyn Destination) -> String;

/// Two processes on a destination.
struct Scenario {
    name: &'static str,
    before: fn(&dyn Destination),
    processes: [Process; 2],
    /// What must hold at the end, of the outcomes and what is visible.
    end: fn(&[String], bool) -> bool,
}

const SCENARIOS: [Scenario; 6] = [
    Scenario {
        name: "push x push",
        before: |_| {},
        processes: [push, push],
        end: |told, visible| {
            visible
                && told.iter().any(|one| one == "archived")
                && told.iter().all(|one| one == "archived" || one == "already")
        },
    },
    Scenario {
        name: "push x push over an archive that is missing",
        before: |destination| {
            store(destination);
            destination.delete(&id().key(&id().archive_name(Form::PLAIN))).unwrap();
        },
        processes: [push, push],
        end: |told, visible| visible && told.iter().all(|one| one == "archived" || one == "already"),
    },
    Scenario {
        name: "push x prune",
        before: store,
        processes: [push, prune],
        end: |told, visible| match (told[0].as_str(), told[1].as_str()) {
            // Removed after it was found, or before it was made again.
            ("already", "removed") => !visible,
            ("archived" | "already", _) => visible,
            _ => false,
        },
    },
    Scenario {
        name: "pin x prune",
        before: store,
        processes: [prune, pin],
        end: |told, visible| match told[1].as_str() {
            "pinned" => visible && told[0] != "removed",
            "refused" => true,
            _ => false,
        },
    },
    Scenario {
        name: "verify x prune",
        before: store,
        processes: [verify, prune],
        end: |told, visible| told[0] != "DAMAGED" && !told[0].starts_with("failed") && told[1] == "removed" && !visible,
    },
    Scenario {
        name: "prune x prune",
        before: store,
        processes: [prune, prune],
        end: |told, visible| {
            !visible && told.iter().any(|one| one == "removed") && told.iter().all(|one| !one.starts_with("failed"))
        },
    },
];

/// How much was tried, and what was wrong first.
struct Tried {
    interleavings: u128,
    states: usize,
    violation: Option<String>,
}

struct Explorer<'s> {
    scenario: &'s Scenario,
    lie: Lie,
    make: &'s dyn Fn() -> (Box<dyn Destination>, Option<tempfile::TempDir>),
    /// Choices that were made or will be, by state.
    taken: HashSet<(u64, usize)>,
    /// Where a choice leads.
    edges: HashMap<u64, BTreeMap<usize, u64>>,
    ends: HashSet<u64>,
    waiting: Vec<Vec<usize>>,
    start: Option<u64>,
}

impl Explorer<'_> {
    fn explore(mut self) -> Tried {
        self.waiting.push(vec![]);
        while let Some(prefix) = self.waiting.pop() {
            if let Err(violation) = self.play(&prefix) {
                return Tried { interleavings: 0, states: self.edges.len(), violation: Some(violation) };
            }
        }
        let mut known = HashMap::new();
        let interleavings = self.start.map_or(0, |start| self.count(start, &mut known));
        Tried { interleavings, states: self.edges.len(), violation: None }
    }

    fn count(&self, state: u64, known: &mut HashMap<u64, u128>) -> u128 {
        if let Some(&count) = known.get(&state) {
            return count;
        }
        let after = self.edges.get(&state).map_or(0, |next| next.values().map(|&next| self.count(next, known)).sum());
        let count = after + u128::from(self.ends.contains(&state));
        known.insert(state, count);
        count
    }

    /// One execution: these choices first, then whatever has not been tried.
    fn play(&mut self, prefix: &[usize]) -> Result<(), String> {
        let (inner, _folder) = (self.make)();
        (self.scenario.before)(&*inner);
        let (ready, messages) = channel();
        let count = self.scenario.processes.len();
        let turnstile = Turnstile { ready: ready.clone() };
        let shared = Arc::new(Shared {
            inner,
            lie: self.lie,
            starts_broken: self.scenario.name.ends_with("missing"),
            turnstile,
            seen: Mutex::new(vec![String::new(); count]),
            names: Mutex::default(),
            late: Mutex::default(),
        });
        let mut go = Vec::new();
        std::thread::scope(|scope| {
            for (number, process) in self.scenario.processes.iter().enumerate() {
                let (sender, receiver) = channel();
                go.push(sender);
                let (destination, ready) = (Stepped(Arc::clone(&shared)), ready.clone());
                scope.spawn(move || {
                    PROCESS.set(number);
                    GO.set(Some(receiver));
                    let told = process(&destination);
                    ready.send(Message::Done(number, told)).unwrap();
                });
            }
            self.schedule(prefix, &shared, &messages, &go)
        })
    }

    fn schedule(
        &mut self,
        prefix: &[usize],
        shared: &Shared,
        messages: &Receiver<Message>,
        go: &[Sender<()>],
    ) -> Result<(), String> {
        let mut ready = BTreeSet::new();
        let mut told = vec![String::new(); go.len()];
        let mut running = go.len();
        let mut steps = Vec::new();
        let mut before: Option<(u64, usize)> = None;
        let mut done = 0;
        let mut verdict = Ok(());
        let mut is_new = true;
        loop {
            while running > 0 {
                match messages.recv().unwrap() {
                    Message::Ready(process) => drop(ready.insert(process)),
                    Message::Done(process, words) => {
                        shared.seen.lock().unwrap()[process] += &format!("END {words}");
                        told[process] = words;
                        done += 1;
                    }
                }
                running -= 1;
            }
            // What comes before the end of the prefix was looked at when it was played first.
            if steps.len() + 1 < prefix.len() {
                let choice = prefix[steps.len()];
                ready.remove(&choice);
                steps.push(choice);
                running = 1;
                go[choice].send(()).unwrap();
                continue;
            }
            let visible = shared.visible();
            if let Err(why) = &visible
                && verdict.is_ok()
            {
                verdict = Err(format!("{why}, after the steps {steps:?}"));
            }
            let state = hash(&format!("{}|{:?}|{ready:?}", shared.content(), shared.seen.lock().unwrap()));
            self.start.get_or_insert(state);
            if let Some((from, choice)) = before.take() {
                self.edges.entry(from).or_default().insert(choice, state);
            }
            if done == go.len() {
                self.ends.insert(state);
                let stays = visible.is_ok_and(|visible| visible.contains(&id()));
                if verdict.is_ok() && !(self.scenario.end)(&told, stays) {
                    verdict = Err(format!("{told:?}, visible: {stays}, after the steps {steps:?}"));
                }
                return verdict;
            }
            let choice = if let Some(&choice) = prefix.get(steps.len()) {
                choice
            } else {
                let open: Vec<usize> =
                    ready.iter().copied().filter(|one| is_new && !self.taken.contains(&(state, *one))).collect();
                // All that follows has been tried: the processes only have to end.
                is_new &= !open.is_empty();
                for &other in open.iter().skip(1) {
                    self.taken.insert((state, other));
                    self.waiting.push(steps.iter().copied().chain([other]).collect());
                }
                let choice = open.first().copied().unwrap_or_else(|| *ready.first().unwrap());
                self.taken.insert((state, choice));
                choice
            };
            ready.remove(&choice);
            steps.push(choice);
            before = Some((state, choice));
            running = 1;
            go[choice].send(()).unwrap();
        }
    }
}

fn hash(text: &str) -> u64 {
    let sum = Sha256::digest(text.as_bytes());
    u64::from_be_bytes(sum[..8].try_into().unwrap())
}

fn explore(
    scenario: &Scenario,
    lie: Lie,
    make: &dyn Fn() -> (Box<dyn Destination>, Option<tempfile::TempDir>),
) -> Tried {
    let explorer = Explorer {
        scenario,
        lie,
        make,
        taken: HashSet::new(),
        edges: HashMap::new(),
        ends: HashSet::new(),
        waiting: vec![],
        start: None,
    };
    explorer.explore()
}

fn memory() -> (Box<dyn Destination>, Option<tempfile::TempDir>) {
    (in_memory("shared"), None)
}

fn folder() -> (Box<dyn Destination>, Option<tempfile::TempDir>) {
    let shm = std::path::Path::new("/dev/shm");
    let folder = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap();
    (destination::folder_at("shared", folder.path()), Some(folder))
}

/// Tries every order and prints how many there are.
fn check(kind: &str, make: fn() -> (Box<dyn Destination>, Option<tempfile::TempDir>), scenarios: &[Scenario]) {
    for scenario in scenarios {
        let tried = explore(scenario, Lie::None, &make);
        println!("{kind}: {}: {} interleavings, {} states", scenario.name, tried.interleavings, tried.states);
        assert_eq!(tried.violation, None, "{kind}: {}", scenario.name);
        assert!(tried.interleavings > 10, "{kind}: {}", scenario.name);
    }
}

#[test]
#[ignore = "takes minutes: every order of two pushes; run it with --run-ignored all"]
fn no_interleaving_of_two_pushes_breaks_what_is_visible() {
    check("memory", memory, &SCENARIOS[..2]);
}

#[test]
#[ignore = "takes minutes: every order of two pushes; run it with --run-ignored all"]
fn no_interleaving_of_two_pushes_in_a_folder_breaks_what_is_visible() {
    check("folder", folder, &SCENARIOS[..2]);
}

#[test]
fn no_interleaving_of_a_push_and_a_prune_breaks_what_is_visible() {
    check("memory", memory, &SCENARIOS[2..3]);
    check("folder", folder, &SCENARIOS[2..3]);
}

#[test]
fn no_interleaving_with_a_prune_in_a_folder_breaks_what_is_visible() {
    check("folder", folder, &SCENARIOS[3..]);
}

#[test]
#[ignore = "takes minutes: every order of two pushes; run it with --run-ignored all"]
fn claims_are_enough_for_a_store_that_replaces_what_is_there() {
    for lie in [Lie::ReplacesArchives, Lie::ReplacesManifests] {
        for scenario in &SCENARIOS[..2] {
            assert_eq!(explore(scenario, lie, &memory).violation, None, "{lie:?}: {}", scenario.name);
        }
    }
}

#[test]
fn no_interleaving_with_a_prune_breaks_what_is_visible() {
    for scenario in &SCENARIOS[3..] {
        let tried = explore(scenario, Lie::None, &memory);
        println!("{}: {} interleavings, {} states", scenario.name, tried.interleavings, tried.states);
        assert_eq!(tried.violation, None, "{}", scenario.name);
    }
}

#[test]
fn planted_faults_are_found() {
    for (lie, name) in [
        (Lie::HidesClaims, "push x push"),
        (Lie::DeletesTheOther, "push x push"),
        (Lie::LosesBytes, "push x push"),
        (Lie::LosesManifests, "push x push"),
        (Lie::HidesFiles, "push x prune"),
        (Lie::HidesPins, "pin x prune"),
        (Lie::HidesRemovals, "pin x prune"),
        (Lie::DeletesManifestsLate, "prune x prune"),
        (Lie::KeepsManifests, "prune x prune"),
        (Lie::ManifestsNeverGo, "verify x prune"),
    ] {
        let scenario = SCENARIOS.iter().find(|one| one.name == name).unwrap();
        let tried = explore(scenario, lie, &memory);
        println!("{lie:?}: {}", tried.violation.as_deref().unwrap_or("not found"));
        assert!(tried.violation.is_some(), "{lie:?} was not found");
    }
}
