//! `afterbackup` keeps the history of Configuration Manager site backups.
//!
//! The site's backup task keeps one snapshot and deletes it before it writes the next. This crate turns every
//! completed snapshot into an archive, puts a verified copy on every destination, keeps the history that the
//! retention policy asks for, and gets it back. The life of an archive:
//!
//! 1. [`source`] finds the snapshot and decides from evidence whether it is complete,
//! 2. [`archive`] reads it once and writes a tar of independent zstd frames with an index,
//! 3. [`engine`] sends those bytes to every [`destination`] at the same time,
//! 4. the snapshot is compared with what it was when reading began: any change drops the attempt,
//! 5. every destination re-reads what it stored; then the manifest is put, and the archive exists,
//! 6. [`catalog`] lists what destinations hold, from their own content alone,
//! 7. [`retention`] decides, as a pure function with reasons, what each destination may forget,
//! 8. [`archive`] reads single files or everything back and checks each against its SHA-256.
//!
//! All decisions are functions of their arguments; time comes from a [`clock::Clock`]; what happens is told to a
//! [`monitor::Monitor`].

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests may lay out files and look at the clock"))]

pub mod archive;
pub mod cancel;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod destination;
pub mod engine;
pub mod error;
pub mod event;
pub mod event_log;
pub mod health;
pub mod monitor;
pub mod name;
pub mod notify;
pub mod platform;
pub mod program_log;
pub mod recovery;
pub mod retention;
#[cfg(windows)]
pub mod service;
pub mod setup;
pub mod severity;
pub mod source;
pub mod sqlserver;
mod stop_point;
pub mod units;
pub mod watch;
#[cfg(windows)]
mod windows;
mod windows_names;
