//! What the tests of the whole program share: a scene to play on, the program's output, folders to compare.

#![allow(unreachable_pub, dead_code, unused_imports, reason = "not every system uses all of it")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

mod output;
mod scene;
mod tree;

pub use output::{Output, ended, program, program_file, started};
pub use scene::{COMPLETED, ID, Scene, at, log_line, log_of_completed_run, noise, status_message, text};
pub use tree::{
    Node, assert_part_of, assert_part_of_tree, assert_same_tree, copy_tree, names, read_only, remove_tree, settle,
    touch, tree,
};

/// How long something that needs a moment may take before the test fails.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Waits until something is so.
#[track_caller]
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A share cannot be made everywhere. On the build server it has to be there; elsewhere its tests are left out, and say
/// so.
#[allow(clippy::print_stderr, reason = "the test harness shows it")]
pub fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "cannot be tested here: {why}");
    eprintln!("skipped: {why}");
}

/// A small file system of its own, for as long as this lives.
#[cfg(target_os = "linux")]
pub struct Mount(PathBuf);

#[cfg(target_os = "linux")]
impl Mount {
    /// Mounts one, for which it takes root.
    pub fn tmpfs(place: &Path, options: &str) -> Self {
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(place).output().unwrap();
        assert!(output.status.success(), "mount says {}", String::from_utf8_lossy(&output.stderr).trim());
        Self(place.to_owned())
    }
}

#[cfg(target_os = "linux")]
impl Drop for Mount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}
