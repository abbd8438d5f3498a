//! `afterbackup watch`

use std::path::Path;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::exit::Exit;
use super::failure::Failure;
use super::{Loaded, Program};
use crate::platform::lock::{Holder, LockError, RunLock, watcher_lock};
use crate::watch;

const EXAMPLES: &str = r"It needs no AfterBackup.bat. Ctrl-C and SIGTERM end it; an unfinished archive is discarded and made again at the next start.

Examples:
  afterbackup watch
  afterbackup --json watch >> watch.log

See docs/service.md.";

/// Archive every completed snapshot, unattended.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {}

pub(super) fn watch(program: &Program<'_>, _args: &Args) -> Result<Exit, Failure> {
    let loaded = program.load()?;
    program.trust(&loaded.config)?;
    #[cfg(unix)]
    let ready = super::systemd::ready;
    #[cfg(not(unix))]
    let ready = || {};
    resident(program, &loaded, ready)
}

/// Watches until somebody asks to stop. `ready` is called when watching has begun.
pub(super) fn resident(program: &Program<'_>, loaded: &Loaded, ready: impl FnOnce()) -> Result<Exit, Failure> {
    let lock_file = &loaded.config.lock_file;
    let watcher = Holder::this_process("watch", program.clock.now());
    let _resident = RunLock::take_as(&watcher_lock(lock_file), &watcher).map_err(|error| match &error {
        LockError::Busy { path, holder } => {
            let who = holder.as_ref().map_or_else(|| "it".to_owned(), ToString::to_string);
            let message = format!("a watcher is already at work ({who} holds the lock {})", path.display());
            Failure::words(Exit::Busy, message).hint(Some("one watcher serves all sites of a configuration"))
        }
        LockError::Open { .. } => error.into(),
    })?;
    leave_working_directory(lock_file);
    let (done, ended) = bounded::<()>(0);
    let (cancel, stop_timeout) = (program.cancel.clone(), loaded.config.watch.stop_timeout);
    let last_resort = thread::spawn(move || {
        // Watching ends in no other way.
        if cancel.wait(Duration::MAX) && ended.recv_timeout(stop_timeout) == Err(RecvTimeoutError::Timeout) {
            // It hangs in a call to the system, as to a share that is gone. Nothing half is visible.
            #[allow(clippy::exit, reason = "no other way out, and every moment is safe to be killed in")]
            std::process::exit(i32::from(Exit::Failed as u8));
        }
    });
    watch::watch(&program.context(loaded), ready);
    drop(done);
    // It waits for nothing any more.
    last_resort.join().ok();
    Ok(Exit::Done)
}

/// A working directory in the snapshot would make the backup task fail.
fn leave_working_directory(lock_file: &Path) {
    let elsewhere = lock_file.parent().filter(|folder| folder.is_dir()).unwrap_or(lock_file);
    if let Err(error) = std::env::set_current_dir(elsewhere) {
        tracing::debug!(%error, folder = %elsewhere.display(), "The working directory stays as it is");
    }
}
