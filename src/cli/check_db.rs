//! `afterbackup check-db`

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::table::{Align, render};
use super::{Program, threads};
use crate::archive::databases::{DatabaseCheck, pair_all};
use crate::monitor::{Monitor, Task};
use crate::sqlserver::{Checker, Kind, Report, Severity};

const BLOCK: usize = 1 << 20;

const EXAMPLES: &str = r"Examples:
  afterbackup check-db D:\Restore\CM_XYZ.mdf D:\Restore\CM_XYZ_log.ldf
  afterbackup check-db --json D:\Backup\CM_XYZ.bak

See docs/database-checks.md.";

/// Check SQL Server files.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Database, log and backup files; those of one folder are also compared with each other
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Document {
    files: Vec<One>,
}

#[derive(Serialize)]
struct One {
    path: String,
    #[serde(flatten)]
    check: Option<DatabaseCheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) fn check_db(program: &Program<'_>, args: &Args) -> Result<Exit, Failure> {
    let bytes = args.files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|metadata| metadata.len()).sum();
    let task = program.console.task("Checking", Some(bytes));
    let results = read_all(program, &args.files, &*task);
    drop(task);
    if program.cancel.is_cancelled() {
        return Err(Failure::words(Exit::Cancelled, "cancelled"));
    }
    let mut folders: BTreeMap<&Path, Vec<DatabaseCheck>> = BTreeMap::new();
    let mut files = Vec::new();
    for (file, result) in args.files.iter().zip(results) {
        let path = file.display().to_string();
        match result {
            Ok(report) => {
                let folder = file.parent().unwrap_or(Path::new(""));
                folders.entry(folder).or_default().push(DatabaseCheck { path, report, pairing: vec![] });
            }
            Err(error) => files.push(One { path, check: None, error: Some(error.to_string()) }),
        }
    }
    for checks in folders.values_mut() {
        pair_all(checks);
    }
    let checked = folders.into_values().flatten();
    files.extend(checked.map(|check| One { path: check.path.clone(), check: Some(check), error: None }));
    // As they were given.
    let place = |one: &One| args.files.iter().position(|file| file.display().to_string() == one.path);
    files.sort_by_key(place);
    let exit = exit(&files);
    if program.console.is_json() {
        program.console.document(&Document { files });
    } else {
        print(program, &files);
    }
    Ok(exit)
}

fn exit(files: &[One]) -> Exit {
    if files.iter().any(|one| one.check.as_ref().is_some_and(DatabaseCheck::is_damaged)) {
        Exit::Damage
    } else if files.iter().any(|one| one.error.is_some()) {
        Exit::Failed
    } else {
        Exit::Done
    }
}

/// Reads the files on several threads; results in their order.
fn read_all(program: &Program<'_>, files: &[PathBuf], task: &dyn Task) -> Vec<std::io::Result<Report>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads().min(files.len()) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(file) = files.get(number) else { return };
                    let result = read(program, file, task);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|&(number, _)| number);
    results.into_iter().map(|(_, result)| result).collect()
}

fn read(program: &Program<'_>, path: &Path, task: &dyn Task) -> std::io::Result<Report> {
    let mut file = File::open(path)?;
    let mut checker = Checker::new();
    let mut block = vec![0; BLOCK];
    loop {
        if program.cancel.is_cancelled() {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let read = match file.read(&mut block) {
            Ok(0) => return Ok(checker.finish()),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        checker.update(&block[..read]);
        task.advance(read as u64);
    }
}

fn print(program: &Program<'_>, files: &[One]) {
    let columns = [
        ("File", Align::Left),
        ("Kind", Align::Left),
        ("Database", Align::Left),
        ("SQL Server", Align::Left),
        ("Result", Align::Left),
    ];
    let rows: Vec<Vec<String>> = files.iter().map(row).collect();
    program.console.result(&render(&columns, &rows));
    for one in files {
        let Some(check) = &one.check else { continue };
        for damage in check.damage() {
            program.console.result(&format!("{}: {damage}\n", one.path));
        }
        let listed = check.report.findings.len() as u64;
        if check.report.findings_total > listed {
            program.console.result(&format!("{}: {} more\n", one.path, check.report.findings_total - listed));
        }
        let pairing = check.pairing.iter().filter(|finding| finding.severity != Severity::Damage);
        let notes = check.report.warnings.iter().map(|w| &w.text).chain(pairing.map(|finding| &finding.text));
        for note in notes {
            program.console.note(&format!("{}: note: {note}", one.path));
        }
    }
}

fn row(one: &One) -> Vec<String> {
    let Some(check) = &one.check else {
        let error = one.error.clone().unwrap_or_default();
        return vec![one.path.clone(), String::new(), String::new(), String::new(), format!("cannot read: {error}")];
    };
    let facts = check.report.facts.as_ref();
    let kind = match check.report.kind {
        Kind::Data => "data",
        Kind::Log => "log",
        Kind::Backup => "backup",
        Kind::CompressedBackup => "compressed backup",
        _ => "other",
    };
    let result = if check.is_damaged() && !check.report.is_damaged() {
        "DAMAGED: does not fit its database".to_owned()
    } else {
        check.report.to_string()
    };
    vec![
        one.path.clone(),
        kind.to_owned(),
        facts.and_then(|facts| facts.database.clone()).unwrap_or_default(),
        facts.and_then(|facts| facts.version.clone()).unwrap_or_default(),
        result,
    ]
}
