//! An object, read in order.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use tokio::task::JoinHandle;

use super::core::Core;
use crate::destination::{Error, ErrorKind};

/// Sequential reading: so much at a time, and so many requests ahead.
const READ_BYTES: u64 = 4 << 20;
const READ_AHEAD: usize = 4;

/// Reads an object in order by ranges, a few requests ahead.
///
/// Ranges rather than one long answer: an answer of an hour cannot be timed, and when it breaks off it has to be taken
/// up in the middle anyway.
pub(super) struct Reader {
    pub(super) core: Arc<Core>,
    pub(super) path: Path,
    pub(super) size: u64,
    /// Where the next request begins.
    pub(super) next: u64,
    pub(super) ahead: VecDeque<JoinHandle<Result<Bytes, Error>>>,
    pub(super) rest: Bytes,
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
