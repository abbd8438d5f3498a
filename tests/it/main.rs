//! Behaviour of the whole program.

#![allow(clippy::unwrap_used, reason = "a failed check is a panic")]
#![allow(clippy::disallowed_methods, reason = "tests may lay out files and look at the clock")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/sqlserver.rs"]
#[allow(dead_code, clippy::cast_possible_truncation, reason = "built files are small; every test binary uses its part")]
mod synthetic;

mod architecture;
mod archive;
#[cfg(windows)]
mod batch;
mod bucket;
mod bucket_run;
mod config_cli;
mod damage;
mod database;
mod destination;
mod differential;
mod differential_run;
mod docs;
mod drill;
mod evidence;
#[cfg(all(unix, debug_assertions))]
mod failing_calls;
mod fanout;
mod fetch;
mod golden;
mod harness;
mod help;
mod hostile;
#[cfg(unix)]
mod interop;
mod json;
mod kill;
mod list;
mod log;
mod properties;
mod prune;
mod recover;
mod report;
mod retention_chains;
mod retention_history;
mod run;
mod server;
#[cfg(windows)]
mod service;
mod simulator;
mod sites;
mod sql_backups;
mod status;
#[cfg(debug_assertions)]
mod stop;
#[cfg(unix)]
mod systemd;
mod targets;
mod torn;
#[cfg(unix)]
mod vcdiff;
mod verify;
mod watch;
mod watch_simulated;
#[cfg(windows)]
mod windows;
#[cfg(unix)]
mod words;
#[cfg(unix)]
mod wrong_success;
