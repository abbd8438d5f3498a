//! Writes a small synthetic snapshot to try the program on. deploy/quick-start.sh compiles this file by itself: it
//! needs nothing but the standard library, and no package that only tests use.
//!
//! `FOLDER/XYZBackup` then looks like what Configuration Manager's backup task has left last night, complete with the
//! log of a finished run. A snapshot of last night that is there already stays; an older one is replaced, as the task
//! does.

#[allow(dead_code, reason = "the comparison needs more")]
mod data;
mod database;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use data::Day;

const DAY_MILLISECONDS: u128 = 86_400_000;

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("usage: sample FOLDER")?.into();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
    let day = Day(u64::try_from((now - u128::from(data::END)) / DAY_MILLISECONDS)?);
    let snapshot = folder.join("XYZBackup");
    let is_of_last_night = fs::metadata(snapshot.join("smsbkup.log"))
        .and_then(|log| log.modified())
        .is_ok_and(|time| time >= day.midnight());
    if !is_of_last_night {
        if snapshot.exists() {
            fs::remove_dir_all(&snapshot)?;
        }
        data::Spec { bytes: 24 << 20, small_files: 300, sparse_bytes: None, seed: 1, day }.write(&snapshot)?;
    }
    Ok(())
}
