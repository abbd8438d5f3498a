//! Waits for a reason to look again: a file event, a one-shot that hands over, or nothing for as long as the poll.
//!
//! Events only say "look", never what has happened; shares often send none, and a queue may overflow. So everything
//! works by polling alone, only later. Events are asked for above the snapshot, never in it: on Windows that takes an
//! open folder, and one inside would make the task's next cleaning fail. The task's log, which tells of everything
//! that matters, is watched in its own folder.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::cancel::Cancel;
use crate::config;
use crate::platform::lock;
use crate::source::is_itself_a_snapshot;

/// How long a request to stop may go unnoticed.
const TICK: Duration = Duration::from_millis(500);
/// Between two looks for a one-shot that hands over.
const HANDOVER_LOOK: Duration = Duration::from_secs(1);
/// Events come in bursts: one look is enough when they have ended,
const CALM: Duration = Duration::from_millis(300);
/// or have gone on for so long.
const BURST: Duration = Duration::from_secs(2);

/// Rings when it is time to look again.
#[derive(Debug)]
pub struct Alarm {
    places: Vec<Place>,
    wake_file: PathBuf,
    bell: Sender<()>,
    rung: Receiver<()>,
    /// Listens while it lives.
    listener: Option<RecommendedWatcher>,
    /// A folder that was watched has gone, or events were lost.
    stale: Arc<AtomicBool>,
}

/// A folder whose events matter.
#[derive(Debug, Clone)]
struct Place {
    folder: PathBuf,
    /// Only events of files of this name, whatever the extension. In the log's folder hundreds of others are written.
    stem: Option<String>,
}

impl Alarm {
    /// Listens to events where that is wanted and possible, and polls in any case.
    ///
    /// The second value says why there are no events, if there should be.
    #[must_use]
    pub fn new(config: &config::Config) -> (Self, Option<notify::Error>) {
        let (bell, rung) = bounded(1);
        let wake_file = lock::wake_file(&config.lock_file);
        let places = if config.watch.events { places(&config.snapshot) } else { vec![] };
        let mut alarm = Self { places, wake_file, bell, rung, listener: None, stale: Arc::default() };
        let error = alarm.listen().err();
        (alarm, error)
    }

    /// Does it get file events?
    #[must_use]
    pub fn has_events(&self) -> bool {
        self.listener.is_some()
    }

    fn listen(&mut self) -> Result<(), notify::Error> {
        self.listener = None;
        if self.places.is_empty() {
            return Ok(());
        }
        self.stale.store(false, Ordering::Relaxed);
        let (bell, stale, places) = (self.bell.clone(), Arc::clone(&self.stale), self.places.clone());
        let mut listener = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else {
                stale.store(true, Ordering::Relaxed);
                ring(&bell);
                return;
            };
            if places.iter().any(|place| event.paths.contains(&place.folder)) && is_removal(event.kind) {
                stale.store(true, Ordering::Relaxed);
            }
            if concerns(&places, &event) {
                ring(&bell);
            }
        })?;
        for place in &self.places {
            listener.watch(&place.folder, RecursiveMode::NonRecursive)?;
        }
        self.listener = Some(listener);
        Ok(())
    }

    /// Waits for something to look at, but no longer than this, and not after somebody has asked to stop.
    pub fn wait(&mut self, at_most: Duration, cancel: &Cancel) {
        // A folder that was deleted and made again is another one.
        if (self.listener.is_none() || self.stale.load(Ordering::Relaxed))
            && let Err(error) = self.listen()
        {
            tracing::debug!(%error, "No file events");
        }
        let begun = Instant::now();
        let mut next_handover_look = begun;
        while !cancel.is_cancelled() {
            if Instant::now() >= next_handover_look {
                next_handover_look = Instant::now() + HANDOVER_LOOK;
                if self.is_handed_over() {
                    return;
                }
            }
            let left = at_most.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return;
            }
            if self.rung.recv_timeout(left.min(TICK)).is_ok() {
                let burst = Instant::now();
                while burst.elapsed() < BURST && self.rung.recv_timeout(CALM).is_ok() {}
                return;
            }
        }
    }

    fn is_handed_over(&self) -> bool {
        match fs::remove_file(&self.wake_file) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => {
                tracing::debug!(path = %self.wake_file.display(), %error, "Cannot remove the request of a one-shot");
                false
            }
        }
    }
}

/// One that waits already is enough.
fn ring(bell: &Sender<()>) {
    bell.try_send(()).ok();
}

fn places(snapshot: &config::Snapshot) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for path in [Some(&snapshot.path), snapshot.sql_path.as_ref()].into_iter().flatten() {
        let folder = if is_itself_a_snapshot(path) { path.parent().unwrap_or(path) } else { path };
        places.push(Place { folder: folder.to_owned(), stem: None });
    }
    if let Some((folder, stem)) = snapshot.log.as_deref().and_then(|log| Some((log.parent()?, log.file_stem()?))) {
        places.push(Place { folder: folder.to_owned(), stem: Some(stem.to_string_lossy().to_lowercase()) });
    }
    places
}

fn is_removal(kind: EventKind) -> bool {
    matches!(kind, EventKind::Remove(_) | EventKind::Modify(notify::event::ModifyKind::Name(_)))
}

/// Is it about a folder that we watch, or something in one that matters?
fn concerns(places: &[Place], event: &notify::Event) -> bool {
    if matches!(event.kind, EventKind::Access(_)) {
        return false;
    }
    let matters = |path: &Path| {
        places.iter().any(|place| {
            let inside = path.parent() == Some(&place.folder);
            let stem = || path.file_stem().map(|stem| stem.to_string_lossy().to_lowercase());
            path == place.folder || (inside && (place.stem.is_none() || place.stem == stem()))
        })
    };
    // A queue that has overflowed names no path.
    event.paths.is_empty() || event.paths.iter().any(|path| matters(path))
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, ModifyKind};

    use super::*;

    fn of(kind: EventKind, path: &str) -> notify::Event {
        notify::Event::new(kind).add_path(path.into())
    }

    #[test]
    fn only_events_of_snapshots_and_of_the_log_ring() {
        let config = config::Snapshot {
            sql_path: Some("/sql/P01Backup".into()),
            log: Some("/logs/smsbkup.log".into()),
            ..config::Snapshot::of_site("/E".into())
        };
        let places = places(&config);
        let folders: Vec<&Path> = places.iter().map(|place| place.folder.as_path()).collect();
        assert_eq!(folders, [Path::new("/E"), Path::new("/sql"), Path::new("/logs")], "never inside a snapshot");
        let created = EventKind::Create(CreateKind::Any);
        for path in ["/E", "/E/P01Backup", "/sql/P01Backup", "/logs/smsbkup.log", "/logs/SMSBKUP.LO_"] {
            assert!(concerns(&places, &of(created, path)), "{path}");
        }
        for path in ["/logs/smsexec.log", "/logs/deeper/smsbkup.log", "/E/P01Backup/SiteServer", "/other"] {
            assert!(!concerns(&places, &of(created, path)), "{path}");
        }
        let access = EventKind::Access(notify::event::AccessKind::Any);
        assert!(!concerns(&places, &of(access, "/logs/smsbkup.log")));
        assert!(concerns(&places, &notify::Event::new(EventKind::Modify(ModifyKind::Any))), "events were lost");
    }
}
