//! `afterbackup recover drill`

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::found::find;
use crate::catalog::Selector;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::fetch::Key;
use crate::cli::place::Place;
use crate::cli::{Program, threads};
use crate::config::Drill as Settings;
use crate::recovery::drill::{Drill, DrillError, DrillReport, Passed, Then};
use crate::units;

const EXAMPLES: &str = r"The archive is fetched whole into a folder of its own below the scratch folder; every file and database is checked, and
the copy is removed. A report is written as JSON and text. The command of --then finds the copy in AFTERBACKUP_FOLDER,
AFTERBACKUP_BACKUP (XXXBackup), AFTERBACKUP_MDF, AFTERBACKUP_LDF, AFTERBACKUP_DATABASE, AFTERBACKUP_CD_LATEST and
AFTERBACKUP_ARCHIVE.

Exit codes: 0 passed, 1 it could not be carried out or the command failed, 3 something is missing or not proven, 6 damage.

Examples:
  afterbackup recover drill --scratch D:\Drill
  afterbackup recover drill latest --scratch D:\Drill --then D:\Drill\attach.cmd --destination offsite";

/// Exercise a recovery.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Which: an id, latest, latest~2, latest-good, XYZ@2026-11-20
    #[arg(default_value = "latest-good")]
    archive: Selector,
    /// The folder for the copy, with room for the whole archive [default: scratch in [drill], else the system's]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Run this command on the copy before it is removed [default: then in [drill]]
    #[arg(long, value_name = "COMMAND")]
    then: Option<String>,
    /// Kill that command after this time [default: timeout in [drill], else 2h]
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    timeout: Option<Duration>,
    /// The folder of the reports [default: reports in [drill], else a folder beside the lock file]
    #[arg(long, value_name = "DIR")]
    reports: Option<PathBuf>,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    report: &'a DrillReport,
    saved: Option<String>,
}

pub(super) fn drill(program: &Program<'_>, args: &Args) -> Result<Exit, Failure> {
    let config = program.config().ok();
    if let Some(config) = &config {
        program.trust(config)?;
    }
    let settings = config.as_ref().map(|config| &config.drill);
    let found = find(program, &args.place, &args.archive)?;
    let identities = args.key.identities_or(settings.and_then(|settings| settings.identity.as_deref()))?;
    let of_settings = |value: fn(&Settings) -> Option<&Path>| settings.and_then(value);
    let system = std::env::temp_dir();
    let scratch = args.scratch.as_deref().or(of_settings(|settings| settings.scratch.as_deref())).unwrap_or(&system);
    if config.as_ref().is_some_and(|config| config.snapshot.holds(scratch)) {
        let message = format!("the scratch folder {} lies inside the snapshot's folder", scratch.display());
        let hint = "the backup task DELETES its folder before every run: name another one with --scratch";
        return Err(Failure::words(Exit::Usage, message).hint(Some(hint)));
    }
    let line = args.then.as_deref().or(settings.and_then(|settings| settings.then.as_deref()));
    let timeout = args.timeout.or(settings.map(|settings| settings.timeout)).unwrap_or(crate::config::DRILL_TIMEOUT);
    let without = config.as_ref().map(|config| config.secret_variables()).unwrap_or_default();
    let drill = Drill {
        destination: &*found.destination,
        manifest: &found.manifest,
        identities: &identities,
        scratch,
        then: line.map(|line| Then { line, timeout, without: &without }),
        threads: threads(),
        clock: program.clock,
        monitor: program.monitor,
        cancel: program.cancel,
    };
    let report = drill.run().map_err(|error| match &error {
        DrillError::Cancelled => Failure::new(Exit::Cancelled, &error),
        DrillError::Scratch { .. } => {
            Failure::new(Exit::Failed, &error).hint(Some("name a folder with room for a whole archive with --scratch"))
        }
    })?;
    let event = report.event();
    program.records.event(&event);
    let reports = args.reports.as_deref().or(of_settings(|settings| Some(&settings.reports)));
    let saved = reports.map(|folder| (folder, report.save(folder)));
    let mut exit = exit(report.passed);
    let path = match &saved {
        Some((_, Ok(path))) => Some(path.display().to_string()),
        Some((folder, Err(error))) => {
            program.console.warn(&format!("cannot write the report into {}: {error}", folder.display()));
            exit = if exit == Exit::Done { Exit::Partial } else { exit };
            None
        }
        None => None,
    };
    if program.console.is_json() {
        program.console.document(&Document { report: &report, saved: path });
    } else {
        program.console.result(&report.to_text());
        match path {
            Some(path) => program.console.note(&format!("The report is {path}.txt and .json")),
            None if saved.is_none() => program.console.note("No report was written: --reports names a folder for it"),
            None => {}
        }
    }
    Ok(exit)
}

fn exit(passed: Passed) -> Exit {
    match passed {
        Passed::Yes => Exit::Done,
        Passed::Partly => Exit::Partial,
        Passed::Failed => Exit::Failed,
        Passed::Damaged => Exit::Damage,
    }
}
