//! Not more than so many bytes a second: a wrapper round the uploads of any destination.
//!
//! A bucket of tokens that may go into debt: a block larger than a second's worth passes at once and the next one waits
//! until the debt is paid. All uploads of one destination share the tokens. Reading is not limited, since what we read
//! back is somebody's restore or a verification that ends sooner at full speed.

use std::fmt::Debug;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Claim, Destination, Entry, Error, ErrorKind, Leftover, Upload};
use crate::cancel::Cancel;

/// Monotonic time and waiting, so that tests need neither.
pub(super) trait Pace: Debug + Send + Sync {
    /// Time since some fixed moment.
    fn now(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);
}

/// The real ones.
#[derive(Debug)]
struct SystemPace(Instant);

impl Pace for SystemPace {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// A cancelled upload notices within this.
const SLICE: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Tokens {
    /// May be negative: a debt.
    bytes: f64,
    counted_at: Duration,
}

#[derive(Debug)]
struct Limiter {
    bytes_per_second: f64,
    tokens: Mutex<Tokens>,
    pace: Box<dyn Pace>,
    cancel: Cancel,
}

impl Limiter {
    fn take(&self, bytes: usize) -> Result<(), Error> {
        #[allow(clippy::cast_precision_loss, reason = "blocks have fewer than 2^52 bytes")]
        let bytes = bytes as f64;
        let wait = {
            let mut tokens = self.tokens.lock();
            let now = self.pace.now();
            let earned = now.saturating_sub(tokens.counted_at).as_secs_f64() * self.bytes_per_second;
            // What was not used is kept for one second only.
            tokens.bytes = (tokens.bytes + earned).min(self.bytes_per_second);
            tokens.counted_at = now;
            let wait = Duration::from_secs_f64((-tokens.bytes / self.bytes_per_second).max(0.0));
            tokens.bytes -= bytes;
            wait
        };
        let until = self.pace.now() + wait;
        loop {
            if self.cancel.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "write", "upload", "cancelled"));
            }
            let left = until.saturating_sub(self.pace.now());
            if left.is_zero() {
                return Ok(());
            }
            self.pace.sleep(left.min(SLICE));
        }
    }
}

/// A destination whose uploads are limited.
#[derive(Debug)]
pub(super) struct Throttled {
    inner: Box<dyn Destination>,
    limiter: Arc<Limiter>,
}

impl Throttled {
    pub(super) fn new(inner: Box<dyn Destination>, bytes_per_second: u64, cancel: &Cancel) -> Self {
        Self::with_pace(inner, bytes_per_second, cancel, Box::new(SystemPace(Instant::now())))
    }

    fn with_pace(inner: Box<dyn Destination>, bytes_per_second: u64, cancel: &Cancel, pace: Box<dyn Pace>) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
        let rate = bytes_per_second.max(1) as f64;
        let tokens = Mutex::new(Tokens { bytes: rate, counted_at: pace.now() });
        let limiter = Limiter { bytes_per_second: rate, tokens, pace, cancel: cancel.clone() };
        Self { inner, limiter: Arc::new(limiter) }
    }
}

impl Destination for Throttled {
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
        let inner = self.inner.upload(key, expected_bytes)?;
        Ok(Box::new(ThrottledUpload { inner, limiter: Arc::clone(&self.limiter) }))
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

struct ThrottledUpload {
    inner: Box<dyn Upload>,
    limiter: Arc<Limiter>,
}

impl Upload for ThrottledUpload {
    fn write(&mut self, block: Bytes) -> Result<(), Error> {
        self.limiter.take(block.len())?;
        self.inner.write(block)
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        self.inner.finish()
    }

    fn abort(self: Box<Self>) -> Result<(), Error> {
        self.inner.abort()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Time that passes only by sleeping.
    #[derive(Debug, Clone, Default)]
    struct FakePace(Arc<AtomicU64>, Option<Cancel>);

    impl Pace for FakePace {
        fn now(&self) -> Duration {
            Duration::from_nanos(self.0.load(Ordering::Relaxed))
        }

        fn sleep(&self, time: Duration) {
            self.0.fetch_add(u64::try_from(time.as_nanos()).unwrap(), Ordering::Relaxed);
            if let Some(cancel) = &self.1 {
                cancel.cancel();
            }
        }
    }

    fn throttled(pace: &FakePace, cancel: &Cancel) -> Throttled {
        Throttled::with_pace(super::super::in_memory("m"), 1000, cancel, Box::new(pace.clone()))
    }

    #[test]
    fn uploads_keep_to_the_rate_together() {
        let pace = FakePace::default();
        let destination = throttled(&pace, &Cancel::new());
        let mut uploads: Vec<_> = ["a", "b"].iter().map(|key| destination.upload(key, 0).unwrap()).collect();
        for _ in 0..50 {
            for upload in &mut uploads {
                upload.write(Bytes::from(vec![0; 100])).unwrap();
            }
        }
        // 10,000 bytes at 1,000 a second, of which the first second's worth passes at once; the last block's debt is
        // left to whoever comes next.
        let seconds = pace.now().as_secs_f64();
        assert!((8.8..9.0).contains(&seconds), "{seconds}");
    }

    #[test]
    fn block_larger_than_a_second_passes_and_the_next_one_pays() {
        let pace = FakePace::default();
        let destination = throttled(&pace, &Cancel::new());
        let mut upload = destination.upload("a", 0).unwrap();
        upload.write(Bytes::from(vec![0; 5000])).unwrap();
        assert_eq!(pace.now(), Duration::ZERO);
        upload.write(Bytes::from(vec![0; 1])).unwrap();
        assert_eq!(pace.now(), Duration::from_secs(4));
    }

    #[test]
    fn waiting_ends_when_somebody_asks_to_stop() {
        let cancel = Cancel::new();
        let pace = FakePace(Arc::default(), Some(cancel.clone()));
        let destination = throttled(&pace, &cancel);
        let mut upload = destination.upload("a", 0).unwrap();
        upload.write(Bytes::from(vec![0; 1_000_000])).unwrap();
        assert_eq!(upload.write(Bytes::from(vec![0; 1])).unwrap_err().kind, ErrorKind::Cancelled);
        assert!(pace.now() <= SLICE);
    }
}
