//! Writes a small synthetic snapshot to try the program on: `cargo run --release --example sample -- FOLDER`
//!
//! `FOLDER/XYZBackup` then looks like what Configuration Manager's backup task leaves, complete with the log of a
//! finished run. A snapshot that is there already stays.

mod data;
mod database;

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("usage: sample FOLDER")?.into();
    let spec = data::Spec { bytes: 24 << 20, small_files: 300, sparse_bytes: None, seed: 1 };
    let snapshot = folder.join("XYZBackup");
    if !snapshot.join("smsbkup.log").exists() {
        spec.write(&snapshot)?;
    }
    Ok(())
}
