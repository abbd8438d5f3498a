//! Lets go of the snapshot the moment the backup task begins again.
//!
//! The task cleans its folder before it writes, and an open handle in there makes it fail (Win32 error 5, 32 or 145).
//! So for as long as we are inside, a thread looks at what a new run touches first: the task's log, the folder of every
//! part and its metadata. When one of them tells of a new run, the attempt is cancelled: the reader closes its file,
//! the destinations remove what they were given, and nothing becomes visible.
//!
//! These are a handful of questions about times and sizes, asked every 20 ms; where the answers come slowly, as on a
//! share, less often. The log is only read when it has grown. What a new run does deeper in the tree is noticed by the
//! reader itself, and by the second look before the archive may become visible.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::context::Context;
use crate::cancel::Cancel;
use crate::name::SiteCode;
use crate::source::task_log::{Outcome, Run};
use crate::source::{ConfiguredLog, Marks, Snapshot};

/// Between two looks at a local disk.
const LOOK: Duration = Duration::from_millis(20);
/// Between two looks however slow the disk: what is noticed later may be too late.
const SLOWEST_LOOK: Duration = Duration::from_millis(100);

/// What the thread that watches and the attempt tell each other.
pub(super) struct Guard {
    let_go: Cancel,
    state: Mutex<State>,
}

enum State {
    Watching,
    /// The snapshot must be left alone, for this reason.
    Fired(String),
    /// The snapshot is not needed any more; what happens to it does not matter.
    Released,
}

impl Guard {
    /// Set when the attempt has to end.
    pub(super) fn let_go(&self) -> &Cancel {
        &self.let_go
    }

    /// Ends the watch, as everything has been read. `false` if it is too late for that.
    pub(super) fn release(&self) -> bool {
        let mut state = self.state.lock();
        if matches!(*state, State::Watching) {
            *state = State::Released;
        }
        matches!(*state, State::Released)
    }

    /// Why the snapshot had to be left alone, if it had to.
    pub(super) fn reason(&self) -> Option<String> {
        match &*self.state.lock() {
            State::Fired(reason) => Some(reason.clone()),
            State::Watching | State::Released => None,
        }
    }

    /// Has the watch ended?
    fn fire(&self, reason: Option<String>) -> bool {
        let mut state = self.state.lock();
        if let (State::Watching, Some(reason)) = (&*state, reason) {
            *state = State::Fired(reason);
            self.let_go.cancel();
        }
        !matches!(*state, State::Watching)
    }
}

/// Does something with the snapshot, under guard. `log` has been read; the guard follows it from there.
pub(super) fn guarded<T>(
    context: &Context<'_>,
    snapshot: &Snapshot,
    log: ConfiguredLog,
    body: impl FnOnce(&Guard) -> T,
) -> T {
    let guard = Guard { let_go: context.cancel.child(), state: Mutex::new(State::Watching) };
    let mut sentry = Sentry::new(log, snapshot);
    std::thread::scope(|scope| {
        let (done, ended) = bounded::<()>(0);
        let guard = &guard;
        scope.spawn(move || {
            let mut pause = LOOK;
            while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let begun = Instant::now();
                if guard.fire(sentry.look()) {
                    break;
                }
                pause = (10 * begun.elapsed()).clamp(LOOK, SLOWEST_LOOK);
            }
        });
        let result = body(guard);
        drop(done);
        result
    })
}

/// Knows what the snapshot looked like, and whether a new run has begun since.
struct Sentry {
    site: SiteCode,
    log: ConfiguredLog,
    /// The run that it told of last.
    first: Option<Run>,
    /// Has the log been looked at? What it told at the beginning counts, too.
    looked: bool,
    marks: Marks,
}

impl Sentry {
    fn new(mut log: ConfiguredLog, snapshot: &Snapshot) -> Self {
        let site = snapshot.site;
        log.poll();
        let first = log.runs().and_then(|runs| runs.last(site).cloned());
        Self { site, log, first, looked: false, marks: Marks::of(&snapshot.parts) }
    }

    /// The reason to let go, if there is one.
    fn look(&mut self) -> Option<String> {
        self.look_at_log().or_else(|| self.marks.change())
    }

    fn look_at_log(&mut self) -> Option<String> {
        let known = std::mem::replace(&mut self.looked, true);
        if !self.log.poll() && known {
            return None;
        }
        let runs = self.log.runs()?;
        let last = runs.last(self.site)?;
        let same = self
            .first
            .as_ref()
            .is_some_and(|first| (first.started_at(), first.outcome) == (last.started_at(), last.outcome));
        // One whose end we missed has the outcome of a run, and one that was only told more of has not changed.
        let begun = matches!(last.outcome, Outcome::Running | Outcome::Interrupted);
        (begun || (self.first.is_some() && !same)).then(|| match last.started_at() {
            Some(at) => format!("the backup task began again at {at}"),
            None => "the backup task began again".to_owned(),
        })
    }
}
