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

mod answers;
mod core;
mod fault;
mod reader;
mod settings;
mod upload;

use std::collections::VecDeque;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;

use self::core::{Core, Stores, entry, runtime};
use self::reader::Reader;
pub(super) use self::settings::location;
use self::upload::{BucketUpload, Journal};
use super::retry::Schedule;
use super::{Claim, Destination, Entry, Error, ErrorKind, Leftover, Upload, key};
use crate::cancel::Cancel;
use crate::config;

/// A bucket in memory, for tests.
#[doc(hidden)]
#[must_use]
pub fn in_memory(name: &str) -> Box<dyn Destination> {
    Box::new(Bucket(Arc::new(Core {
        name: name.to_owned(),
        location: format!("memory://{name}"),
        prefix: Path::default(),
        stores: Stores::one(Arc::new(InMemory::new())),
        schedule: Schedule::within(Duration::ZERO),
        cancel: Cancel::new(),
        runtime: runtime().expect("two threads can be started"),
    })))
}

/// A bucket that holds archives.
#[derive(Debug)]
pub(super) struct Bucket(Arc<Core>);

impl Bucket {
    pub(super) fn open(
        name: &str,
        settings: &config::Bucket,
        retry_for: Duration,
        cancel: &Cancel,
    ) -> Result<Self, Error> {
        let (stores, prefix) = settings::client(settings)?;
        let location = settings::location(settings);
        let runtime = runtime().map_err(|error| Error::new(ErrorKind::Other, "set up", &location, error))?;
        Ok(Self(Arc::new(Core {
            name: name.to_owned(),
            location,
            prefix,
            stores,
            schedule: Schedule::within(retry_for),
            cancel: cancel.clone(),
            runtime,
        })))
    }
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

    fn claim(&self, key: &str) -> Result<Claim, Error> {
        let (folder, name) = key::split("write", key)?;
        let (name, sign) = self.0.block_on("write", upload::Sign::show(&self.0, folder, name))?;
        let key = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        Ok(Claim::new(key, Box::new(sign)))
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
            let abandoned = key::is_abandoned(&entry.name);
            let key = if folder.is_empty() { entry.name } else { format!("{folder}/{}", entry.name) };
            // The size of the journal is not that of the parts, which no listing tells.
            Some(Leftover { key, of, modified: entry.modified, bytes: 0, abandoned })
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
            if let Some(id) = Journal::parse(&text).filter(|id| !id.is_empty()) {
                upload::abort(&self.0, &target, &id).await?;
            }
            self.0.delete(&journal).await
        })
    }
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt as _, PutPayload};

    use super::super::suite;
    use super::core::timeout_for;
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
            stores: Stores::one(Arc::new(store)),
            schedule: Schedule::within(Duration::ZERO),
            cancel: Cancel::new(),
            runtime: runtime().unwrap(),
        }));
        let put = |path: &str| {
            runtime().unwrap().block_on(bucket.0.store().put(&Path::from(path), PutPayload::new())).unwrap();
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
