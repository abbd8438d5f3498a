//! What a bucket shares with its uploads and readers: the store, the runtime, and requests that are made again.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::{Either, select};
use jiff::Timestamp;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio::runtime::{Builder, Handle, Runtime};

use super::fault;
use crate::cancel::Cancel;
use crate::destination::reason::Reason;
use crate::destination::retry::Schedule;
use crate::destination::{Entry, Error, ErrorKind, key};

/// How often a wait looks whether the run is cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A request without much data.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// A listing is one request for every thousand keys, and counted as one.
pub(super) const LIST_TIMEOUT: Duration = Duration::from_mins(5);

/// A line slower than this is no line for backups.
const SLOWEST_BYTES_PER_SECOND: u64 = 128 << 10;

/// What cannot be cancelled is tried again for this long only: an upload that failed is removed, but whoever failed
/// wants to go on, and the journal remains.
const SETTLE_WINDOW: Duration = Duration::from_secs(10);

/// What a store can do for us.
pub(super) trait Store: ObjectStore + MultipartStore {}
impl<S: ObjectStore + MultipartStore> Store for S {}

/// What a bucket shares with its uploads and readers.
#[derive(Debug, Clone)]
pub(super) struct Core {
    pub(super) name: String,
    pub(super) location: String,
    pub(super) prefix: Path,
    pub(super) stores: Stores,
    pub(super) schedule: Schedule,
    pub(super) cancel: Cancel,
    pub(super) runtime: &'static Runtime,
}

/// A store, and the same one without checksums in headers, for servers that refuse these.
#[derive(Debug, Clone)]
pub(super) struct Stores {
    pub(super) checked: Arc<dyn Store>,
    pub(super) plain: Option<Arc<dyn Store>>,
    /// Checksums have been refused.
    pub(super) refused: Arc<AtomicBool>,
}

impl Stores {
    pub(super) fn one(store: Arc<dyn Store>) -> Self {
        Self { checked: store, plain: None, refused: Arc::default() }
    }
}

/// The runtime of all buckets, started with the first one.
pub(super) fn runtime() -> io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("bucket").enable_all().build()?;
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// How an attempt and its repetitions went.
pub(super) struct Outcome<T> {
    pub(super) result: Result<T, Error>,
    /// An earlier attempt failed without an answer, so it may have been carried out.
    pub(super) in_doubt: bool,
}

impl Core {
    /// The same for what has to be done even when cancelled, though not for as long.
    pub(super) fn regardless(&self) -> Self {
        let schedule = Schedule { window: self.schedule.window.min(SETTLE_WINDOW), ..self.schedule };
        Self { cancel: Cancel::new(), schedule, ..self.clone() }
    }

    /// The same for what its caller lets go of by itself, with the schedule as it is.
    pub(super) fn unasked(&self) -> Self {
        Self { cancel: Cancel::new(), ..self.clone() }
    }

    /// The store as it is to be asked.
    pub(super) fn store(&self) -> &dyn Store {
        match &self.stores.plain {
            Some(plain) if self.stores.refused.load(Ordering::Relaxed) => &**plain,
            _ => &*self.stores.checked,
        }
    }

    /// Goes on without checksums in headers when the server refuses them. Whether the request is worth another try.
    fn does_without_checksums(&self, error: &Error) -> bool {
        let refused = self.stores.plain.is_some()
            && error.source.downcast_ref::<Reason>().is_some_and(Reason::refuses_checksums)
            && !self.stores.refused.swap(true, Ordering::Relaxed);
        if refused {
            tracing::warn!(
                destination = %self.name,
                "The server refuses checksums in headers, so uploads go without; what is stored is compared as 'verify' says. \
                 Write options = {{ aws_checksum_algorithm = \"none\" }} to not try them"
            );
        }
        refused
    }

    /// Enters the runtime.
    pub(super) fn block_on<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if Handle::try_current().is_ok() {
            let reason = "a bucket must not be used from within an async runtime";
            return Err(Error::new(ErrorKind::Other, operation, &self.location, reason));
        }
        self.runtime.block_on(work)
    }

    pub(super) fn path(&self, operation: &'static str, key: &str) -> Result<Path, Error> {
        let (folder, name) = key::split(operation, key)?;
        self.path_in(operation, folder, name)
    }

    pub(super) fn path_in(&self, operation: &'static str, folder: &str, name: &str) -> Result<Path, Error> {
        let parts = [self.prefix.as_ref(), folder, name];
        let whole = parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/");
        Path::parse(&whole).map_err(|error| Error::new(ErrorKind::Other, operation, whole, error))
    }

    /// What messages call it.
    pub(super) fn subject(&self, path: &Path) -> String {
        let below = path.as_ref().strip_prefix(self.prefix.as_ref()).unwrap_or(path.as_ref());
        format!("{}/{}", self.location, below.trim_start_matches('/'))
    }

    /// Makes a request, again and again while there is hope.
    pub(super) async fn attempt<T, F>(
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
    pub(super) async fn attempt_judged<T, F>(
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
                Err((ErrorKind::Cancelled, Reason::new("cancelled")))
            } else {
                let timed = pin!(tokio::time::timeout(timeout, request()));
                match select(timed, pin!(cancelled(&self.cancel))).await {
                    Either::Left((Ok(result), _)) => result,
                    Either::Left((Err(_), _)) => {
                        Err((ErrorKind::TimedOut, Reason::new(format!("no answer within {} s", timeout.as_secs()))))
                    }
                    Either::Right(((), _)) => Err((ErrorKind::Cancelled, Reason::new("cancelled"))),
                }
            };
            let error = match result {
                Ok(value) => return Outcome { result: Ok(value), in_doubt: failures > 0 },
                Err((kind, reason)) => Error::new(kind, operation, self.subject(path), reason),
            };
            if self.does_without_checksums(&error) {
                continue;
            }
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

    pub(super) async fn head(&self, operation: &'static str, path: &Path) -> Result<ObjectMeta, Error> {
        let outcome = self.attempt(operation, path, REQUEST_TIMEOUT, || self.store().head(path)).await;
        match outcome.result {
            // An answer to HEAD has no body, so that it cannot tell a wrong secret from a missing right.
            Err(error) if error.kind == ErrorKind::PermissionDenied => {
                let get = self.attempt(operation, path, REQUEST_TIMEOUT, || self.store().get_range(path, 0..1)).await;
                let says_why = |other: &Error| other.source.downcast_ref::<Reason>().is_some_and(Reason::has_code);
                Err(get.result.err().filter(says_why).unwrap_or(error))
            }
            other => other,
        }
    }

    /// Is there an object of that name?
    pub(super) async fn size_of(&self, operation: &'static str, path: &Path) -> Result<Option<u64>, Error> {
        match self.head(operation, path).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn get_range(&self, path: &Path, range: Range<u64>) -> Result<Bytes, Error> {
        let timeout = timeout_for(range.end - range.start);
        let bytes = self.attempt("read", path, timeout, || self.store().get_range(path, range.clone())).await.result?;
        // A range that ends behind the object is cut short by the server, not refused.
        if bytes.len() as u64 == range.end - range.start {
            Ok(bytes)
        } else {
            let reason = format!("bytes {}..{} end behind it", range.start, range.end);
            Err(Error::new(ErrorKind::OutOfRange, "read", self.subject(path), reason))
        }
    }

    pub(super) async fn get_all(&self, path: &Path, limit: u64) -> Result<Bytes, Error> {
        let get = || async {
            let got = self.store().get(path).await.map_err(|error| fault::judge(&error))?;
            if got.meta.size > limit {
                let reason = format!("it has {} bytes, more than {limit}", got.meta.size);
                return Err((ErrorKind::TooLarge, Reason::new(reason)));
            }
            got.bytes().await.map_err(|error| fault::judge(&error))
        };
        self.attempt_judged("read", path, timeout_for(limit.min(64 << 20)), get).await.result
    }

    /// Puts a whole object, and makes sure that it is ours.
    pub(super) async fn put_new(&self, path: &Path, bytes: Bytes) -> Result<(), Error> {
        let exists = || Error::new(ErrorKind::AlreadyExists, "write", self.subject(path), "it is there already");
        if self.size_of("write", path).await?.is_some() {
            return Err(exists());
        }
        let timeout = timeout_for(bytes.len() as u64);
        let put = || async {
            let payload = PutPayload::from(bytes.clone());
            let options = PutOptions::from(PutMode::Create);
            match self.store().put_opts(path, payload.clone(), options).await {
                Err(error) if fault::is_unsupported(&error) => self.store().put(path, payload).await,
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

    pub(super) async fn delete(&self, path: &Path) -> Result<(), Error> {
        match self.attempt("delete", path, REQUEST_TIMEOUT, || self.store().delete(path)).await.result {
            // A missing bucket is a fault, a missing object is not.
            Err(error) if error.is_not_found() && !fault::is_about_bucket(&error.source.to_string()) => Ok(()),
            other => other,
        }
    }

    /// All objects directly in a folder, and the names of its folders, both sorted.
    pub(super) async fn list(&self, folder: &str) -> Result<(Vec<Entry>, Vec<String>), Error> {
        key::check_folder("list", folder)?;
        let path = if folder.is_empty() { self.prefix.clone() } else { self.path_in("list", "", folder)? };
        let prefix = (!path.is_root()).then_some(&path);
        let list = || self.store().list_with_delimiter(prefix);
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
pub(super) async fn cancelled(cancel: &Cancel) {
    while !cancel.is_cancelled() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub(super) fn timeout_for(bytes: u64) -> Duration {
    REQUEST_TIMEOUT.max(Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND))
}

pub(super) fn entry(name: String, meta: &ObjectMeta) -> Entry {
    let seconds = meta.last_modified.timestamp();
    let nanoseconds = i32::try_from(meta.last_modified.timestamp_subsec_nanos()).unwrap_or_default();
    let modified = Timestamp::new(seconds, nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH);
    Entry { name, bytes: meta.size, modified }
}
