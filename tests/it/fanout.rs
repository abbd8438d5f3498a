//! One archive to several destinations, some of which misbehave.

use std::fmt::{self, Debug};
use std::io::Read;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use afterbackup::archive::manifest::Manifest;
use afterbackup::archive::verify::{Depth, verify};
use afterbackup::archive::{Identities, OutputClosed};
use afterbackup::cancel::Cancel;
use afterbackup::config::Verify;
use afterbackup::destination::faulty::{Call, Faulty, Script};
use afterbackup::destination::{Claim, Destination, Entry, Error, ErrorKind, Leftover, Upload, in_memory};
use afterbackup::engine::lanes::{Fanout, Lane, PushError, Pushed};
use afterbackup::monitor::Collector;
use bytes::Bytes;
use crossbeam_channel::bounded;

use crate::support::archives;

const BLOCKS: usize = 20;
const LONG: Duration = Duration::from_mins(5);
/// What must happen, happens within this time, however busy the machine is.
const SOON: Duration = Duration::from_mins(4);

/// An archive that lies in as many blocks, and its manifest.
fn archive() -> &'static (Vec<u8>, Arc<Manifest>) {
    static ARCHIVE: OnceLock<(Vec<u8>, Arc<Manifest>)> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let source = tempfile::tempdir().unwrap();
        archives::lay_out(source.path(), [("a.bin", &archives::noise(30_000, 1)[..]), ("b.txt", b"b")]);
        let (archive, written) = archives::write(archives::members(source.path()), &archives::options(1, None));
        (archive, Arc::new(archives::manifest(&written, None)))
    })
}

fn key() -> String {
    let manifest = &archive().1;
    manifest.id.key(&manifest.archive)
}

fn blocks() -> impl Iterator<Item = Bytes> {
    let bytes = &archive().0;
    bytes.chunks(bytes.len().div_ceil(BLOCKS)).map(Bytes::from_static)
}

fn lane(destination: Arc<dyn Destination>, stall_timeout: Duration) -> Lane {
    Lane { destination, archive: None, claim: None, verify: Verify::Full, stall_timeout }
}

fn send_all(fanout: &mut Fanout) -> Result<(), OutputClosed> {
    blocks().try_for_each(|block| fanout.send(&block))
}

fn push(lanes: &[Lane], cancel: &Cancel) -> Vec<Pushed> {
    let mut fanout = Fanout::begin(lanes, &key(), archive().0.len() as u64, cancel);
    match send_all(&mut fanout) {
        Ok(()) => fanout.commit(&archive().1),
        Err(OutputClosed) => fanout.abort(),
    }
}

fn names(destination: &dyn Destination) -> Vec<String> {
    destination.list("XYZ").unwrap().into_iter().map(|entry| entry.name).collect()
}

fn assert_nothing_there(destination: &dyn Destination, what: &str) {
    assert_eq!(names(destination), Vec::<String>::new(), "{what}");
    assert!(destination.leftovers("XYZ").unwrap().is_empty(), "{what}");
}

fn assert_whole(destination: &dyn Destination, what: &str) {
    let manifest = &archive().1;
    assert_eq!(names(destination), [manifest.id.manifest_name(), manifest.archive.clone()], "{what}");
    let verified =
        verify(destination, manifest, &Identities::default(), Depth::Deep, 1, &Collector::default(), &Cancel::new())
            .unwrap();
    assert!(verified.damage.is_empty(), "{what}");
}

/// Promise: no manifest without its archive.
fn assert_visible_means_whole(destination: &dyn Destination, what: &str) {
    if names(destination).contains(&archive().1.id.manifest_name()) {
        assert_whole(destination, what);
    }
}

#[test]
fn failure_of_one_destination_at_any_call_leaves_nothing_there_and_the_others_alone() {
    for call in [Call::Upload, Call::Write, Call::Finish, Call::Stat, Call::Open, Call::PutNew] {
        for nth in 1.. {
            let script = Script::default();
            script.fail(call, nth, ErrorKind::Full);
            let bad: Arc<dyn Destination> = Arc::new(Faulty::new(in_memory("bad"), &script));
            let good: Arc<dyn Destination> = Arc::from(in_memory("good"));
            let lanes = [lane(Arc::clone(&bad), LONG), lane(Arc::clone(&good), LONG)];
            let pushed = push(&lanes, &Cancel::new());
            let what = format!("{call:?} {nth}");
            let calls = script.count(call);
            script.forget();
            assert_whole(&*good, &what);
            assert!(pushed[1].result.is_ok(), "{what}");
            if calls < nth {
                // There is no such call any more.
                assert!(pushed[0].result.is_ok(), "{what}");
                assert_whole(&*bad, &what);
                assert!(call != Call::Write || nth > BLOCKS as u64);
                break;
            }
            let Err(PushError::Destination(error)) = &pushed[0].result else { panic!("{what}: {pushed:?}") };
            assert_eq!(error.kind, ErrorKind::Full, "{what}");
            assert_nothing_there(&*bad, &what);
        }
    }
}

#[test]
fn destination_that_cannot_even_be_tidied_up_shows_no_archive() {
    for call in [Call::Stat, Call::Open, Call::PutNew] {
        let script = Script::default();
        script.fail_always(call, ErrorKind::Unavailable);
        script.fail_always(Call::Delete, ErrorKind::Unavailable);
        let bad: Arc<dyn Destination> = Arc::new(Faulty::new(in_memory("bad"), &script));
        assert!(push(&[lane(Arc::clone(&bad), LONG)], &Cancel::new())[0].result.is_err());
        script.forget();
        assert_eq!(names(&*bad), [archive().1.archive.clone()], "an orphan, to be swept later");
    }
}

#[test]
fn when_all_have_failed_the_writer_is_told() {
    let script = Script::default();
    script.fail(Call::Write, 1, ErrorKind::Full);
    let lanes: Vec<Lane> =
        ["a", "b"].into_iter().map(|name| lane(Arc::new(Faulty::new(in_memory(name), &script)), LONG)).collect();
    script.fail(Call::Write, 2, ErrorKind::Full);
    let mut fanout = Fanout::begin(&lanes, &key(), 0, &Cancel::new());
    let block = blocks().next().unwrap();
    let began = Instant::now();
    while fanout.send(&block).is_ok() {
        assert!(began.elapsed() < SOON);
    }
    assert!(fanout.abort().iter().all(|pushed| matches!(pushed.result, Err(PushError::Destination(_)))));
}

/// What a [`Hooked`] destination is about to do, or has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Write,
    Finish,
    ReadBack,
    AfterPut,
    DeleteManifest,
    DeleteArchive,
}

type Hook = dyn Fn(At) -> Result<(), ErrorKind> + Send + Sync;

/// A destination in memory that does more than it should.
#[derive(Clone)]
struct Hooked {
    inner: Arc<dyn Destination>,
    hook: Arc<Hook>,
}

impl Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Hooked {
    fn new(hook: impl Fn(At) -> Result<(), ErrorKind> + Send + Sync + 'static) -> (Arc<dyn Destination>, Arc<Self>) {
        let hooked = Arc::new(Self { inner: Arc::from(in_memory("hooked")), hook: Arc::new(hook) });
        (Arc::clone(&hooked) as Arc<dyn Destination>, hooked)
    }

    fn at(&self, at: At) -> Result<(), Error> {
        (self.hook)(at).map_err(|kind| Error::new(kind, "do as told", "", "it was to fail"))
    }
}

impl Destination for Hooked {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn location(&self) -> String {
        self.inner.location()
    }
    fn folders(&self) -> Result<Vec<String>, Error> {
        self.inner.folders()
    }
    fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        self.inner.list(folder)
    }
    fn stat(&self, key: &str) -> Result<Entry, Error> {
        self.inner.stat(key)
    }
    fn read(&self, key: &str, limit: u64) -> Result<Bytes, Error> {
        self.inner.read(key, limit)
    }
    fn read_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        self.inner.read_range(key, range)
    }
    fn open(&self, key: &str) -> Result<Box<dyn Read + Send>, Error> {
        Ok(Box::new(HookedReader { inner: self.inner.open(key)?, hooked: self.clone() }))
    }
    fn claim(&self, key: &str) -> Result<Claim, Error> {
        self.inner.claim(key)
    }

    fn upload(&self, key: &str, expected_bytes: u64) -> Result<Box<dyn Upload>, Error> {
        Ok(Box::new(HookedUpload { inner: self.inner.upload(key, expected_bytes)?, hooked: self.clone() }))
    }
    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<(), Error> {
        self.inner.put_new(key, bytes)?;
        self.at(At::AfterPut)
    }
    fn delete(&self, key: &str) -> Result<(), Error> {
        self.at(if key.strip_suffix(".json").is_some() { At::DeleteManifest } else { At::DeleteArchive })?;
        self.inner.delete(key)
    }
    fn leftovers(&self, folder: &str) -> Result<Vec<Leftover>, Error> {
        self.inner.leftovers(folder)
    }
    fn remove_leftover(&self, leftover: &Leftover) -> Result<(), Error> {
        self.inner.remove_leftover(leftover)
    }
}

struct HookedReader {
    inner: Box<dyn Read + Send>,
    hooked: Hooked,
}

impl Read for HookedReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.hooked.at(At::ReadBack).map_err(std::io::Error::other)?;
        let few = buffer.len().min(100);
        self.inner.read(&mut buffer[..few])
    }
}

struct HookedUpload {
    inner: Box<dyn Upload>,
    hooked: Hooked,
}

impl Upload for HookedUpload {
    fn write(&mut self, block: Bytes) -> Result<(), Error> {
        self.hooked.at(At::Write)?;
        self.inner.write(block)
    }
    fn finish(self: Box<Self>) -> Result<(), Error> {
        self.hooked.at(At::Finish)?;
        self.inner.finish()
    }
    fn abort(self: Box<Self>) -> Result<(), Error> {
        self.inner.abort()
    }
}

#[test]
fn manifest_that_was_stored_although_the_answer_was_an_error_never_stands_alone() {
    type Fails = fn(At) -> bool;
    let cases: [(Fails, usize); 4] = [
        (|at| at == At::AfterPut, 0),
        // The archive cannot be deleted: an orphan.
        (|at| matches!(at, At::AfterPut | At::DeleteArchive), 1),
        // The manifest cannot be deleted: then the archive has to stay too.
        (|at| matches!(at, At::AfterPut | At::DeleteManifest), 2),
        (|at| matches!(at, At::AfterPut | At::DeleteManifest | At::DeleteArchive), 2),
    ];
    for (number, (fails, files)) in cases.into_iter().enumerate() {
        let (destination, _) = Hooked::new(move |at| if fails(at) { Err(ErrorKind::TimedOut) } else { Ok(()) });
        let pushed = push(&[lane(Arc::clone(&destination), LONG)], &Cancel::new());
        assert!(pushed[0].result.is_err());
        assert_visible_means_whole(&*destination, &format!("case {number}"));
        assert_eq!(names(&*destination).len(), files, "case {number}");
    }
}

#[test]
fn archive_that_another_host_took_for_a_leftover_leaves_no_manifest_alone() {
    static OTHER_HOST: OnceLock<Arc<Hooked>> = OnceLock::new();
    let (destination, hooked) = Hooked::new(|at| {
        if at == At::AfterPut {
            OTHER_HOST.get().unwrap().inner.delete(&key()).unwrap();
        }
        Ok(())
    });
    OTHER_HOST.set(hooked).unwrap();
    let pushed = push(&[lane(Arc::clone(&destination), LONG)], &Cancel::new());
    assert!(pushed[0].result.is_err(), "{pushed:?}");
    assert_nothing_there(&*destination, "after");
}

#[test]
fn manifest_that_is_there_already_after_a_lost_answer_is_recognised() {
    let (destination, _) = Hooked::new(|at| if at == At::AfterPut { Err(ErrorKind::AlreadyExists) } else { Ok(()) });
    assert!(push(&[lane(Arc::clone(&destination), LONG)], &Cancel::new())[0].result.is_ok());
    assert_whole(&*destination, "stored");
}

#[test]
fn bytes_that_change_on_the_way_are_found_by_reading_back() {
    // Only a full comparison finds a flipped bit; the size shows a lost block.
    for (verify, loses, is_found) in [
        (Verify::Full, false, true),
        (Verify::Full, true, true),
        (Verify::Size, false, false),
        (Verify::Size, true, true),
        (Verify::None, true, false),
    ] {
        let inner: Arc<dyn Destination> = Arc::from(in_memory("disk"));
        let disk = Arc::new(BadDisk { inner: Arc::clone(&inner), loses });
        let pushed = push(
            &[Lane { destination: disk, archive: None, claim: None, verify, stall_timeout: LONG }],
            &Cancel::new(),
        );
        assert_eq!(matches!(pushed[0].result, Err(PushError::Verify { .. })), is_found, "{verify:?}: {pushed:?}");
        assert_eq!(names(&*inner).is_empty(), is_found);
    }
}

/// Says it is done, and has stored something else.
#[derive(Debug)]
struct BadDisk {
    inner: Arc<dyn Destination>,
    loses: bool,
}

struct BadUpload {
    inner: Box<dyn Upload>,
    loses: bool,
}

impl Upload for BadUpload {
    fn write(&mut self, block: Bytes) -> Result<(), Error> {
        let mut block = block.to_vec();
        if self.loses {
            block.pop();
        } else {
            block[0] ^= 1;
        }
        self.inner.write(block.into())
    }
    fn finish(self: Box<Self>) -> Result<(), Error> {
        self.inner.finish()
    }
    fn abort(self: Box<Self>) -> Result<(), Error> {
        self.inner.abort()
    }
}

impl Destination for BadDisk {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn location(&self) -> String {
        self.inner.location()
    }
    fn folders(&self) -> Result<Vec<String>, Error> {
        self.inner.folders()
    }
    fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        self.inner.list(folder)
    }
    fn stat(&self, key: &str) -> Result<Entry, Error> {
        self.inner.stat(key)
    }
    fn read(&self, key: &str, limit: u64) -> Result<Bytes, Error> {
        self.inner.read(key, limit)
    }
    fn read_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        self.inner.read_range(key, range)
    }
    fn open(&self, key: &str) -> Result<Box<dyn Read + Send>, Error> {
        self.inner.open(key)
    }
    fn claim(&self, key: &str) -> Result<Claim, Error> {
        self.inner.claim(key)
    }

    fn upload(&self, key: &str, expected_bytes: u64) -> Result<Box<dyn Upload>, Error> {
        Ok(Box::new(BadUpload { inner: self.inner.upload(key, expected_bytes)?, loses: self.loses }))
    }
    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<(), Error> {
        self.inner.put_new(key, bytes)
    }
    fn delete(&self, key: &str) -> Result<(), Error> {
        self.inner.delete(key)
    }
    fn leftovers(&self, folder: &str) -> Result<Vec<Leftover>, Error> {
        self.inner.leftovers(folder)
    }
    fn remove_leftover(&self, leftover: &Leftover) -> Result<(), Error> {
        self.inner.remove_leftover(leftover)
    }
}

/// Blocks at some point until the other end is dropped.
fn stuck_at(place: At) -> (Arc<dyn Destination>, crossbeam_channel::Sender<()>) {
    let (release, held) = bounded::<()>(0);
    let (destination, _) = Hooked::new(move |at| {
        if at == place {
            // An error is the release.
            held.recv().ok();
        }
        Ok(())
    });
    (destination, release)
}

#[test]
fn stalled_destination_is_dropped_and_the_others_complete() {
    for place in [At::Write, At::Finish, At::ReadBack, At::AfterPut] {
        let (stuck, release) = stuck_at(place);
        let good: Arc<dyn Destination> = Arc::from(in_memory("good"));
        // One that is merely slow to say so would be given up too: there is none here.
        let lanes = [lane(Arc::clone(&stuck), Duration::from_millis(300)), lane(Arc::clone(&good), LONG)];
        let began = Instant::now();
        let pushed = push(&lanes, &Cancel::new());
        assert!(began.elapsed() < SOON);
        assert!(matches!(pushed[0].result, Err(PushError::Stalled(_))), "{place:?}: {pushed:?}");
        assert!(pushed[1].result.is_ok(), "{place:?}");
        assert_whole(&*good, "good");
        if place != At::AfterPut {
            assert!(!names(&*stuck).contains(&archive().1.id.manifest_name()), "{place:?}");
        }
        drop(release);
        // Whatever it does when it comes back to life: what is visible is whole.
        assert_visible_means_whole(&*stuck, "stuck");
    }
}

#[test]
fn cancellation_at_any_block_leaves_nothing_anywhere() {
    for cancelled_after in 0..=BLOCKS {
        let cancel = Cancel::new();
        let destinations: Vec<Arc<dyn Destination>> = vec![Arc::from(in_memory("a")), Arc::from(in_memory("b"))];
        let lanes: Vec<Lane> = destinations.iter().map(|one| lane(Arc::clone(one), LONG)).collect();
        let mut fanout = Fanout::begin(&lanes, &key(), 0, &cancel);
        for block in blocks().take(cancelled_after) {
            fanout.send(&block).unwrap();
        }
        cancel.cancel();
        assert_eq!(fanout.send(&blocks().next().unwrap()), Err(OutputClosed));
        let pushed = fanout.abort();
        assert!(pushed.iter().all(|pushed| matches!(pushed.result, Err(PushError::Dropped))), "{pushed:?}");
        for one in &destinations {
            assert_nothing_there(&**one, "cancelled");
        }
    }
}

#[test]
fn cancellation_while_it_is_read_back_ends_that_and_leaves_nothing() {
    let cancel = Cancel::new();
    let (asked, reads) = (cancel.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&reads);
    let (destination, _) = Hooked::new(move |at| {
        if at == At::ReadBack && counted.fetch_add(1, Ordering::SeqCst) == 3 {
            asked.cancel();
        }
        Ok(())
    });
    let pushed = push(&[lane(Arc::clone(&destination), LONG)], &cancel);
    assert!(matches!(pushed[0].result, Err(PushError::Dropped)), "{pushed:?}");
    assert_eq!(reads.load(Ordering::SeqCst), 4);
    assert_nothing_there(&*destination, "cancelled");
}

#[test]
fn cancelled_attempt_does_not_write_what_waits_in_queues() {
    let cancel = Cancel::new();
    let (release, held) = bounded::<()>(0);
    let writes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&writes);
    let (destination, _) = Hooked::new(move |at| {
        if at == At::Write {
            counted.fetch_add(1, Ordering::SeqCst);
            held.recv().ok();
        }
        Ok(())
    });
    let mut fanout = Fanout::begin(&[lane(Arc::clone(&destination), LONG)], &key(), 0, &cancel);
    for block in blocks().take(5) {
        fanout.send(&block).unwrap();
    }
    let began = Instant::now();
    while writes.load(Ordering::SeqCst) == 0 {
        assert!(began.elapsed() < SOON);
        std::thread::yield_now();
    }
    cancel.cancel();
    drop(release);
    let pushed = fanout.abort();
    assert!(matches!(pushed[0].result, Err(PushError::Dropped)), "{pushed:?}");
    assert_eq!(writes.load(Ordering::SeqCst), 1);
    assert_nothing_there(&*destination, "cancelled");
}

#[test]
fn fan_out_that_is_forgotten_leaves_nothing_and_is_waited_for() {
    let script = Script::default();
    let destination: Arc<dyn Destination> = Arc::new(Faulty::new(in_memory("memory"), &script));
    let mut fanout = Fanout::begin(&[lane(Arc::clone(&destination), LONG)], &key(), 0, &Cancel::new());
    send_all(&mut fanout).unwrap();
    drop(fanout);
    assert_eq!(script.count(Call::Abort), 1);
    assert_nothing_there(&*destination, "forgotten");
}
