//! Buckets: S3 and whatever speaks its language, Azure, Google, through `object_store`.
//!
//! `object_store` is asynchronous, everything around us is not. All buckets share one runtime of two threads, which
//! this module enters and leaves; a call made from within another runtime would panic there, so that it is refused.
//!
//! A request that fails for a passing reason is tried again, for as long as the configuration says, by a loop of our
//! own around every single request: a server that is away for a minute in the middle of an upload costs that minute
//! and no byte already sent. Waiting ends when somebody asks to stop. A request may take a minute, or as long as its
//! bytes need at 128 KiB a second.
//!
//! The order of every large write: begin the multipart upload; put a journal object that holds its id; the parts, a
//! few at a time; look whether the key is free; complete; compare the size; delete the journal. A killed process thus
//! leaves a journal object, whose removal aborts the upload: parts that nobody completes cost money and show in no
//! listing. (A process killed between the first two requests leaves an upload without parts. A lifecycle rule of
//! the bucket should abort what is older than a week in any case.)
//!
//! Small files are put whole, with the condition that the key is free. Some stores ignore that condition, so the key
//! is looked up first and read back afterwards. Two writers within the same moment can still both believe they won
//! on such a store; what is read back decides, except between writers of the same bytes.
//!
//! A store with versions keeps what is deleted as a version; Object Lock keeps it in any case, and only the deletion of
//! a version, which we never ask for, would be refused.

mod fault;
mod settings;
mod upload;

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, Read};
use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::{Either, select};
use jiff::Timestamp;
use object_store::memory::InMemory;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use self::fault::Reason;
pub(super) use self::settings::{CertificateError, location};
use self::upload::{BucketUpload, Journal};
use super::retry::Schedule;
use super::{Destination, Entry, Error, ErrorKind, Leftover, Upload, key};
use crate::cancel::Cancel;
use crate::config;

/// How often a wait looks whether somebody asked to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A request without much data.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// A listing is one request for every thousand keys, and counted as one.
const LIST_TIMEOUT: Duration = Duration::from_mins(5);

/// A line slower than this is no line for backups.
const SLOWEST_BYTES_PER_SECOND: u64 = 128 << 10;

/// What cannot be cancelled is tried again for this long only: an upload that failed is removed, but whoever failed
/// wants to go on, and the journal remains.
const SETTLE_WINDOW: Duration = Duration::from_secs(10);

/// Sequential reading: so much at a time, and so many requests ahead.
const READ_BYTES: u64 = 4 << 20;
const READ_AHEAD: usize = 4;

/// What a store can do for us.
pub(super) trait Store: ObjectStore + MultipartStore {}
impl<S: ObjectStore + MultipartStore> Store for S {}

/// A bucket in memory, for tests.
#[doc(hidden)]
#[must_use]
pub fn in_memory(name: &str) -> Box<dyn Destination> {
    Box::new(Bucket(Arc::new(Core {
        name: name.to_owned(),
        location: format!("memory://{name}"),
        prefix: Path::default(),
        store: Arc::new(InMemory::new()),
        schedule: Schedule::within(Duration::ZERO),
        cancel: Cancel::new(),
        runtime: runtime().expect("two threads can be started"),
    })))
}

/// A bucket that holds archives.
#[derive(Debug)]
pub(super) struct Bucket(Arc<Core>);

/// What a bucket shares with its uploads and readers.
#[derive(Debug, Clone)]
struct Core {
    name: String,
    location: String,
    prefix: Path,
    store: Arc<dyn Store>,
    schedule: Schedule,
    cancel: Cancel,
    runtime: &'static Runtime,
}

impl Bucket {
    pub(super) fn open(
        name: &str,
        settings: &config::Bucket,
        retry_for: Duration,
        cancel: &Cancel,
    ) -> Result<Self, Error> {
        let (store, prefix) = settings::client(settings)?;
        let location = settings::location(settings);
        let runtime = runtime().map_err(|error| Error::new(ErrorKind::Other, "set up", &location, error))?;
        Ok(Self(Arc::new(Core {
            name: name.to_owned(),
            location,
            prefix,
            store,
            schedule: Schedule::within(retry_for),
            cancel: cancel.clone(),
            runtime,
        })))
    }
}

/// The runtime of all buckets, started with the first one.
fn runtime() -> io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("bucket").enable_all().build()?;
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// How an attempt and its repetitions went.
struct Outcome<T> {
    result: Result<T, Error>,
    /// An earlier attempt failed without an answer, so it may have been carried out.
    in_doubt: bool,
}

impl Core {
    /// The same for what has to be done even when somebody asked to stop, though not for as long.
    fn regardless(&self) -> Self {
        let schedule = Schedule { window: self.schedule.window.min(SETTLE_WINDOW), ..self.schedule };
        Self { cancel: Cancel::new(), schedule, ..self.clone() }
    }

    /// Enters the runtime.
    fn block_on<T>(&self, operation: &'static str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        if Handle::try_current().is_ok() {
            let reason = "a bucket must not be used from within an async runtime";
            return Err(Error::new(ErrorKind::Other, operation, &self.location, reason));
        }
        self.runtime.block_on(work)
    }

    fn path(&self, operation: &'static str, key: &str) -> Result<Path, Error> {
        let (folder, name) = key::split(operation, key)?;
        self.path_in(operation, folder, name)
    }

    fn path_in(&self, operation: &'static str, folder: &str, name: &str) -> Result<Path, Error> {
        let parts = [self.prefix.as_ref(), folder, name];
        let whole = parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/");
        Path::parse(&whole).map_err(|error| Error::new(ErrorKind::Other, operation, whole, error))
    }

    /// What messages call it.
    fn subject(&self, path: &Path) -> String {
        let below = path.as_ref().strip_prefix(self.prefix.as_ref()).unwrap_or(path.as_ref());
        format!("{}/{}", self.location, below.trim_start_matches('/'))
    }

    /// Makes a request, again and again while there is hope.
    async fn attempt<T, F>(
        &self,
        operation: &'static str,
        path: &Path,
        timeout: Duration,
        mut request: impl FnMut() -> F,
    ) -> Outcome<T>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        self.attempt_judged(operation, path, timeout, move || {
            let request = request();
            async move { request.await.map_err(|error| fault::judge(&error)) }
        })
        .await
    }

    /// The same for requests that judge their own failures.
    async fn attempt_judged<T, F>(
        &self,
        operation: &'static str,
        path: &Path,
        timeout: Duration,
        mut request: impl FnMut() -> F,
    ) -> Outcome<T>
    where
        F: Future<Output = Result<T, (ErrorKind, Reason)>>,
    {
        let mut first_failure = None;
        let mut failures = 0;
        loop {
            let result = if self.cancel.is_cancelled() {
                Err((ErrorKind::Cancelled, Reason("somebody asked to stop".to_owned())))
            } else {
                let timed = pin!(tokio::time::timeout(timeout, request()));
                match select(timed, pin!(cancelled(&self.cancel))).await {
                    Either::Left((Ok(result), _)) => result,
                    Either::Left((Err(_), _)) => {
                        Err((ErrorKind::TimedOut, Reason(format!("no answer within {} s", timeout.as_secs()))))
                    }
                    Either::Right(((), _)) => Err((ErrorKind::Cancelled, Reason("somebody asked to stop".to_owned()))),
                }
            };
            let error = match result {
                Ok(value) => return Outcome { result: Ok(value), in_doubt: failures > 0 },
                Err((kind, reason)) => Error::new(kind, operation, self.subject(path), reason),
            };
            let done = |error| Outcome { result: Err(error), in_doubt: failures > 0 };
            if !error.is_transient() {
                return done(error);
            }
            failures += 1;
            let elapsed = first_failure.get_or_insert_with(Instant::now).elapsed();
            let Some(wait) = self.schedule.wait(failures, elapsed, rand::random()) else {
                return Outcome { result: Err(error), in_doubt: true };
            };
            tracing::info!(
                destination = %self.name, operation, failures, wait_seconds = wait.as_secs_f64(), reason = %error.source,
                "Trying again"
            );
            // Whether it was cancelled shows at the top of the loop.
            select(pin!(tokio::time::sleep(wait)), pin!(cancelled(&self.cancel))).await;
        }
    }

    async fn head(&self, operation: &'static str, path: &Path) -> Result<ObjectMeta, Error> {
        let outcome = self.attempt(operation, path, REQUEST_TIMEOUT, || self.store.head(path)).await;
        match outcome.result {
            // An answer to HEAD has no body, so that it cannot tell a wrong secret from a missing right.
            Err(error) if error.kind == ErrorKind::PermissionDenied => {
                let get = self.attempt(operation, path, REQUEST_TIMEOUT, || self.store.get_range(path, 0..1)).await;
                Err(get.result.err().filter(|other| other.kind == ErrorKind::Unauthenticated).unwrap_or(error))
            }
            other => other,
        }
    }

    /// Is there an object of that name?
    async fn size_of(&self, operation: &'static str, path: &Path) -> Result<Option<u64>, Error> {
        match self.head(operation, path).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn get_range(&self, path: &Path, range: Range<u64>) -> Result<Bytes, Error> {
        let timeout = timeout_for(range.end - range.start);
        let bytes = self.attempt("read", path, timeout, || self.store.get_range(path, range.clone())).await.result?;
        // A range that ends behind the object is cut short by the server, not refused.
        if bytes.len() as u64 == range.end - range.start {
            Ok(bytes)
        } else {
            let reason = format!("bytes {}..{} end behind it", range.start, range.end);
            Err(Error::new(ErrorKind::OutOfRange, "read", self.subject(path), reason))
        }
    }

    async fn get_all(&self, path: &Path, limit: u64) -> Result<Bytes, Error> {
        let get = || async {
            let got = self.store.get(path).await.map_err(|error| fault::judge(&error))?;
            if got.meta.size > limit {
                let reason = format!("it has {} bytes, more than {limit}", got.meta.size);
                return Err((ErrorKind::TooLarge, Reason(reason)));
            }
            got.bytes().await.map_err(|error| fault::judge(&error))
        };
        self.attempt_judged("read", path, timeout_for(limit.min(64 << 20)), get).await.result
    }

    /// Puts a whole object, and makes sure that it is ours.
    async fn put_new(&self, path: &Path, bytes: Bytes) -> Result<(), Error> {
        let exists = || Error::new(ErrorKind::AlreadyExists, "write", self.subject(path), "it is there already");
        if self.size_of("write", path).await?.is_some() {
            return Err(exists());
        }
        let timeout = timeout_for(bytes.len() as u64);
        let put = || async {
            let payload = PutPayload::from(bytes.clone());
            let options = PutOptions::from(PutMode::Create);
            match self.store.put_opts(path, payload.clone(), options).await {
                Err(error) if fault::is_unsupported(&error) => self.store.put(path, payload).await,
                other => other,
            }
        };
        let outcome = self.attempt("write", path, timeout, put).await;
        match outcome.result {
            Ok(_) => {}
            // It may be our own earlier attempt, whose answer was lost.
            Err(error) if error.kind == ErrorKind::AlreadyExists && outcome.in_doubt => {}
            Err(error) => return Err(error),
        }
        crate::stop_point::reached("object-stored");
        match self.get_all(path, bytes.len() as u64).await {
            Ok(stored) if stored == bytes => Ok(()),
            Ok(_) => Err(exists()),
            Err(error) if error.kind == ErrorKind::TooLarge => Err(exists()),
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, path: &Path) -> Result<(), Error> {
        match self.attempt("delete", path, REQUEST_TIMEOUT, || self.store.delete(path)).await.result {
            // A missing bucket is a fault, a missing object is not.
            Err(error) if error.is_not_found() && !error.source.to_string().contains("NoSuchBucket") => Ok(()),
            other => other,
        }
    }

    /// All objects directly in a folder, and the names of its folders, both sorted.
    async fn list(&self, folder: &str) -> Result<(Vec<Entry>, Vec<String>), Error> {
        key::check_folder("list", folder)?;
        let path = if folder.is_empty() { self.prefix.clone() } else { self.path_in("list", "", folder)? };
        let prefix = (!path.is_root()).then_some(&path);
        let list = || self.store.list_with_delimiter(prefix);
        let listed = self.attempt("list", &path, LIST_TIMEOUT, list).await.result?;
        let below = |location: &Path| {
            let tail = location.as_ref().strip_prefix(path.as_ref())?;
            let tail = if path.is_root() { tail } else { tail.strip_prefix('/')? };
            // The object that some tools put for a folder has no name.
            (!tail.is_empty() && !tail.contains('/')).then(|| tail.to_owned())
        };
        let mut entries: Vec<_> =
            listed.objects.iter().filter_map(|meta| below(&meta.location).map(|name| entry(name, meta))).collect();
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut folders: Vec<_> = listed.common_prefixes.iter().filter_map(below).collect();
        folders.sort_unstable();
        Ok((entries, folders))
    }
}

/// Ends when somebody asks to stop.
async fn cancelled(cancel: &Cancel) {
    while !cancel.is_cancelled() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn timeout_for(bytes: u64) -> Duration {
    REQUEST_TIMEOUT.max(Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND))
}

fn entry(name: String, meta: &ObjectMeta) -> Entry {
    let seconds = meta.last_modified.timestamp();
    let nanoseconds = i32::try_from(meta.last_modified.timestamp_subsec_nanos()).unwrap_or_default();
    let modified = Timestamp::new(seconds, nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH);
    Entry { name, bytes: meta.size, modified }
}

impl Destination for Bucket {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn location(&self) -> String {
        self.0.location.clone()
    }

    fn folders(&self) -> Result<Vec<String>, Error> {
        self.0.block_on("list", self.0.list("")).map(|(_, folders)| folders)
    }

    fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        let (mut entries, _) = self.0.block_on("list", self.0.list(folder))?;
        entries.retain(|entry| key::journal_of(&entry.name).is_none());
        Ok(entries)
    }

    fn stat(&self, key: &str) -> Result<Entry, Error> {
        let (_, name) = key::split("look at", key)?;
        let path = self.0.path("look at", key)?;
        let meta = self.0.block_on("look at", self.0.head("look at", &path))?;
        Ok(entry(name.to_owned(), &meta))
    }

    fn read(&self, key: &str, limit: u64) -> Result<Bytes, Error> {
        let path = self.0.path("read", key)?;
        self.0.block_on("read", self.0.get_all(&path, limit))
    }

    fn read_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        let path = self.0.path("read", key)?;
        self.0.block_on("read", async {
            if range.start < range.end {
                return self.0.get_range(&path, range).await;
            }
            // No server can be asked for nothing.
            let size = self.0.head("read", &path).await?.size;
            if range.start == range.end && range.end <= size {
                return Ok(Bytes::new());
            }
            let reason = format!("bytes {}..{} of {size}", range.start, range.end);
            Err(Error::new(ErrorKind::OutOfRange, "read", self.0.subject(&path), reason))
        })
    }

    fn open(&self, key: &str) -> Result<Box<dyn Read + Send>, Error> {
        let path = self.0.path("read", key)?;
        let size = self.0.block_on("read", self.0.head("read", &path))?.size;
        Ok(Box::new(Reader {
            core: Arc::clone(&self.0),
            path,
            size,
            next: 0,
            ahead: VecDeque::new(),
            rest: Bytes::new(),
        }))
    }

    fn upload(&self, key: &str, expected_bytes: u64) -> Result<Box<dyn Upload>, Error> {
        let (folder, name) = key::split("write", key)?;
        let path = self.0.path("write", key)?;
        Ok(Box::new(BucketUpload::new(&self.0, folder, name, path, expected_bytes)))
    }

    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.0.path("write", key)?;
        self.0.block_on("write", self.0.put_new(&path, Bytes::copy_from_slice(bytes)))
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        let path = self.0.path("delete", key)?;
        self.0.block_on("delete", self.0.delete(&path))
    }

    fn leftovers(&self, folder: &str) -> Result<Vec<Leftover>, Error> {
        let (entries, _) = self.0.block_on("list", self.0.list(folder))?;
        let leftover = |entry: Entry| {
            let of = key::journal_of(&entry.name).filter(|of| key::is_ours(of))?.to_owned();
            let key = if folder.is_empty() { entry.name } else { format!("{folder}/{}", entry.name) };
            // The size of the journal is not that of the parts, which no listing tells.
            Some(Leftover { key, of, modified: entry.modified, bytes: 0 })
        };
        Ok(entries.into_iter().filter_map(leftover).collect())
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<(), Error> {
        let (folder, name) = key::split_unfinished("delete", &leftover.key)?;
        let Some(of) = key::journal_of(name).filter(|of| key::is_ours(of)) else {
            return Err(Error::new(ErrorKind::Other, "delete", &leftover.key, "it is no journal of ours"));
        };
        let journal = self.0.path_in("delete", folder, name)?;
        let target = self.0.path_in("delete", folder, of)?;
        self.0.block_on("delete", async {
            let text = match self.0.get_all(&journal, 64 << 10).await {
                Ok(text) => text,
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) => return Err(error),
            };
            // One that cannot be read names no upload to abort.
            if let Some(id) = Journal::parse(&text) {
                upload::abort(&self.0, &target, &id).await?;
            }
            self.0.delete(&journal).await
        })
    }
}

/// Reads an object in order by ranges, a few requests ahead.
///
/// Ranges rather than one long answer: an answer of an hour cannot be timed, and when it breaks off it has to be taken
/// up in the middle anyway.
struct Reader {
    core: Arc<Core>,
    path: Path,
    size: u64,
    /// Where the next request begins.
    next: u64,
    ahead: VecDeque<JoinHandle<Result<Bytes, Error>>>,
    rest: Bytes,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            while self.ahead.len() < READ_AHEAD && self.next < self.size {
                let range = self.next..self.size.min(self.next + READ_BYTES);
                self.next = range.end;
                let (core, path) = (Arc::clone(&self.core), self.path.clone());
                self.ahead.push_back(self.core.runtime.spawn(async move { core.get_range(&path, range).await }));
            }
            let Some(request) = self.ahead.pop_front() else { return Ok(0) };
            let got = self.core.block_on("read", async {
                request
                    .await
                    .map_err(|error| Error::new(ErrorKind::Other, "read", self.core.subject(&self.path), error))?
            });
            self.rest = got.map_err(io::Error::other)?;
        }
        let length = buffer.len().min(self.rest.len());
        buffer[..length].copy_from_slice(&self.rest.split_to(length));
        Ok(length)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        for request in &self.ahead {
            request.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::suite;
    use super::*;

    #[test]
    fn bucket_in_memory_keeps_the_contract() {
        suite::run(|| in_memory("memory"));
    }

    #[test]
    fn requests_may_take_as_long_as_their_bytes_need() {
        assert_eq!(timeout_for(0), Duration::from_mins(1));
        assert_eq!(timeout_for(64 << 20), Duration::from_secs(512));
    }

    #[test]
    fn call_from_within_a_runtime_is_refused_and_does_not_panic() {
        let bucket = in_memory("memory");
        let error = runtime().unwrap().block_on(async { bucket.list("XYZ").unwrap_err() });
        assert!(error.source.to_string().contains("async runtime"));
    }

    #[test]
    fn object_that_stands_for_a_folder_is_not_listed() {
        let store = InMemory::new();
        let bucket = Bucket(Arc::new(Core {
            name: "m".to_owned(),
            location: "memory://m".to_owned(),
            prefix: Path::from("deep/prefix"),
            store: Arc::new(store),
            schedule: Schedule::within(Duration::ZERO),
            cancel: Cancel::new(),
            runtime: runtime().unwrap(),
        }));
        let put = |path: &str| {
            runtime().unwrap().block_on(bucket.0.store.put(&Path::from(path), PutPayload::new())).unwrap();
        };
        put("deep/prefix/XYZ");
        put("deep/prefix/XYZ/a");
        put("deep/prefix/XYZ/sub/b");
        put("deep/prefixed/XYZ/c");
        assert_eq!(bucket.list("XYZ").unwrap().len(), 1);
        assert_eq!(bucket.folders().unwrap(), ["XYZ"]);
        assert_eq!(bucket.stat("XYZ/a").unwrap().name, "a");
        let error = bucket.stat("XYZ/c").unwrap_err();
        assert_eq!(error.subject, "memory://m/XYZ/c");
    }
}
