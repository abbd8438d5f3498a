//! A destination that fails on order and counts what it is asked, for tests.
//!
//! Faults are scripted: the n-th call of a kind fails, once or several times, and then everything works again. The
//! counts let a test say "reading one file costs three ranged requests" instead of measuring a time.

use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Claim, Destination, Entry, Error, ErrorKind, Leftover, Upload};

/// What a destination is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "they are the names of the methods")]
pub enum Call {
    Folders,
    List,
    Stat,
    Read,
    ReadRange,
    Open,
    Claim,
    Upload,
    Write,
    Finish,
    Abort,
    PutNew,
    Delete,
    Leftovers,
    RemoveLeftover,
}

impl Call {
    /// Every call there is.
    pub const ALL: [Self; 15] = [
        Self::Folders,
        Self::List,
        Self::Stat,
        Self::Read,
        Self::ReadRange,
        Self::Open,
        Self::Claim,
        Self::Upload,
        Self::Write,
        Self::Finish,
        Self::Abort,
        Self::PutNew,
        Self::Delete,
        Self::Leftovers,
        Self::RemoveLeftover,
    ];
}

#[derive(Debug)]
struct Fault {
    call: Call,
    /// The first call that fails, counted from 1, and the first that works again.
    calls: Range<u64>,
    kind: ErrorKind,
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<Fault>,
    counts: HashMap<Call, u64>,
    log: Vec<(Call, String)>,
    bytes_read: u64,
    bytes_written: u64,
}

/// The script of a [`Faulty`] destination and what it recorded. Copies share both.
#[derive(Debug, Clone, Default)]
pub struct Script(Arc<Mutex<State>>);

impl Script {
    fn state(&self) -> parking_lot::MutexGuard<'_, State> {
        self.0.lock()
    }

    /// The `nth` call (from 1, counted since the last [`Script::forget`]) fails.
    pub fn fail(&self, call: Call, nth: u64, kind: ErrorKind) {
        self.fail_times(call, nth, 1, kind);
    }

    /// The `nth` call and those after it fail, `times` in all.
    pub fn fail_times(&self, call: Call, nth: u64, times: u64, kind: ErrorKind) {
        self.state().faults.push(Fault { call, calls: nth..nth.saturating_add(times), kind });
    }

    /// Every call from now on fails.
    pub fn fail_always(&self, call: Call, kind: ErrorKind) {
        self.fail_times(call, 0, u64::MAX, kind);
    }

    /// How often this was called.
    #[must_use]
    pub fn count(&self, call: Call) -> u64 {
        self.state().counts.get(&call).copied().unwrap_or_default()
    }

    /// All calls in their order, with key or folder.
    #[must_use]
    pub fn calls(&self) -> Vec<(Call, String)> {
        self.state().log.clone()
    }

    /// Bytes given out by `read`, `read_range` and the readers of `open`.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.state().bytes_read
    }

    /// Bytes taken by `write` and `put_new`.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.state().bytes_written
    }

    /// Forgets faults and records.
    pub fn forget(&self) {
        *self.state() = State::default();
    }

    fn enter(&self, call: Call, on: &str) -> Result<(), Error> {
        let mut state = self.state();
        let count = state.counts.entry(call).or_default();
        *count += 1;
        let count = *count;
        // A block of a large file is one of thousands.
        if call != Call::Write {
            state.log.push((call, on.to_owned()));
        }
        match state.faults.iter().find(|fault| fault.call == call && fault.calls.contains(&count)) {
            Some(fault) => {
                Err(Error::new(fault.kind, "do as told", on, format!("call {count} of {call:?} was to fail")))
            }
            None => Ok(()),
        }
    }

    fn gave(&self, bytes: usize) {
        self.state().bytes_read += bytes as u64;
    }

    fn took(&self, bytes: usize) {
        self.state().bytes_written += bytes as u64;
    }
}

/// Wraps a destination.
#[derive(Debug)]
pub struct Faulty {
    inner: Box<dyn Destination>,
    script: Script,
}

impl Faulty {
    /// Behaves like `inner` except where `script` says otherwise.
    #[must_use]
    pub fn new(inner: Box<dyn Destination>, script: &Script) -> Self {
        Self { inner, script: script.clone() }
    }
}

/// Lets calls fail as `AFTERBACKUP_TEST_FAIL` says, so that tests see what the whole program makes of it. Nothing does
/// in the released program.
pub(super) fn as_told(opened: Box<dyn Destination>) -> Box<dyn Destination> {
    let Some(told) = crate::stop_point::failing_call() else { return opened };
    let wanted = told.split_once(':').filter(|(name, _)| *name == opened.name());
    let Some((call, kind)) = wanted.and_then(|(_, fault)| fault.split_once(':')) else { return opened };
    let (call, nth) = call.split_once('#').expect("AFTERBACKUP_TEST_FAIL is NAME:CALL#N:KIND");
    let script = Script::default();
    let call = Call::ALL.into_iter().find(|one| format!("{one:?}") == call).expect("a call of a destination");
    let kind = KINDS.into_iter().find(|one| format!("{one:?}") == kind).expect("a kind of error");
    script.fail_times(call, nth.parse().expect("the N of CALL#N is a number"), u64::MAX, kind);
    Box::new(Faulty::new(opened, &script))
}

/// What tests let calls fail with: each asks for another decision.
pub const KINDS: [ErrorKind; 5] =
    [ErrorKind::NotFound, ErrorKind::PermissionDenied, ErrorKind::Full, ErrorKind::Unavailable, ErrorKind::Other];

impl Destination for Faulty {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn location(&self) -> String {
        self.inner.location()
    }

    fn folders(&self) -> Result<Vec<String>, Error> {
        self.script.enter(Call::Folders, "")?;
        self.inner.folders()
    }

    fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        self.script.enter(Call::List, folder)?;
        self.inner.list(folder)
    }

    fn stat(&self, key: &str) -> Result<Entry, Error> {
        self.script.enter(Call::Stat, key)?;
        self.inner.stat(key)
    }

    fn read(&self, key: &str, limit: u64) -> Result<Bytes, Error> {
        self.script.enter(Call::Read, key)?;
        self.inner.read(key, limit).inspect(|bytes| self.script.gave(bytes.len()))
    }

    fn read_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        self.script.enter(Call::ReadRange, key)?;
        self.inner.read_range(key, range).inspect(|bytes| self.script.gave(bytes.len()))
    }

    fn open(&self, key: &str) -> Result<Box<dyn Read + Send>, Error> {
        self.script.enter(Call::Open, key)?;
        Ok(Box::new(FaultyReader { inner: self.inner.open(key)?, script: self.script.clone() }))
    }

    fn claim(&self, key: &str) -> Result<Claim, Error> {
        self.script.enter(Call::Claim, key)?;
        self.inner.claim(key)
    }

    fn upload(&self, key: &str, expected_bytes: u64) -> Result<Box<dyn Upload>, Error> {
        self.script.enter(Call::Upload, key)?;
        let inner = self.inner.upload(key, expected_bytes)?;
        Ok(Box::new(FaultyUpload { inner, script: self.script.clone(), key: key.to_owned() }))
    }

    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<(), Error> {
        self.script.enter(Call::PutNew, key)?;
        self.script.took(bytes.len());
        self.inner.put_new(key, bytes)
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        self.script.enter(Call::Delete, key)?;
        self.inner.delete(key)
    }

    fn leftovers(&self, folder: &str) -> Result<Vec<Leftover>, Error> {
        self.script.enter(Call::Leftovers, folder)?;
        self.inner.leftovers(folder)
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<(), Error> {
        self.script.enter(Call::RemoveLeftover, &leftover.key)?;
        self.inner.remove_leftover(leftover)
    }
}

struct FaultyReader {
    inner: Box<dyn Read + Send>,
    script: Script,
}

impl Read for FaultyReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.inner.read(buffer).inspect(|&length| self.script.gave(length))
    }
}

struct FaultyUpload {
    inner: Box<dyn Upload>,
    script: Script,
    key: String,
}

impl Upload for FaultyUpload {
    fn write(&mut self, block: Bytes) -> Result<(), Error> {
        self.script.enter(Call::Write, &self.key)?;
        self.script.took(block.len());
        self.inner.write(block)
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        self.script.enter(Call::Finish, &self.key)?;
        self.inner.finish()
    }

    fn abort(self: Box<Self>) -> Result<(), Error> {
        self.script.enter(Call::Abort, &self.key)?;
        self.inner.abort()
    }
}

#[cfg(test)]
mod tests {
    use super::super::suite;
    use super::*;

    #[test]
    fn without_a_script_it_keeps_the_contract() {
        suite::run(|| Box::new(Faulty::new(super::super::in_memory("m"), &Script::default())));
    }

    #[test]
    fn faults_come_when_they_are_to_and_then_it_works_again() {
        let script = Script::default();
        let destination = Faulty::new(super::super::in_memory("m"), &script);
        script.fail_times(Call::PutNew, 2, 2, ErrorKind::Full);
        destination.put_new("X/a", b"12345").unwrap();
        assert_eq!(destination.put_new("X/b", b"").unwrap_err().kind, ErrorKind::Full);
        assert_eq!(destination.put_new("X/b", b"").unwrap_err().kind, ErrorKind::Full);
        destination.put_new("X/b", b"").unwrap();
        assert_eq!(script.count(Call::PutNew), 4);
        assert_eq!(destination.read_range("X/a", 1..3).unwrap().as_ref(), b"23");
        std::io::copy(&mut destination.open("X/a").unwrap(), &mut std::io::sink()).unwrap();
        assert_eq!(script.bytes_read(), 7);
        assert_eq!(script.calls().last(), Some(&(Call::Open, "X/a".to_owned())));
        script.fail_always(Call::Delete, ErrorKind::Locked);
        assert_eq!(destination.delete("X/a").unwrap_err().kind, ErrorKind::Locked);
    }
}
