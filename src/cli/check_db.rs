//! `afterbackup check-db`

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::file_args::expand;
use super::table::{Align, render};
use super::{Program, threads};
use crate::archive::databases::{DatabaseCheck, Role, pair};
use crate::monitor::{Monitor, Task};
use crate::sqlserver::{Checker, Guid, Kind, PairFinding, Present, Report, Rule, Severity};
use crate::units;

const BLOCK: usize = 1 << 20;

const EXAMPLES: &str = r"Examples:
  afterbackup check-db D:\Restore\CM_XYZ.mdf D:\Restore\CM_XYZ_log.ldf
  afterbackup check-db D:\Restore
  afterbackup check-db --json D:\Backup\*.bak

See docs/database-checks.md.";

/// Check SQL Server files.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Database, log and backup files, folders of them, or patterns; those of one folder are also compared with each
    /// other
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
    let mut given: Vec<PathBuf> = Vec::new();
    let mut whole: BTreeSet<PathBuf> = BTreeSet::new();
    let mut order: Vec<String> = Vec::new();
    let mut files = Vec::new();
    for argument in &args.files {
        match expand(argument, |file| Role::of_name(&file.to_string_lossy()).is_some()) {
            Ok(expanded) => {
                if expanded.whole_folder {
                    whole.extend(expanded.files.iter().filter_map(|file| Some(file.parent()?.to_owned())));
                }
                for file in expanded.files {
                    if !given.contains(&file) {
                        order.push(file.display().to_string());
                        given.push(file);
                    }
                }
            }
            Err(words) => {
                let path = argument.display().to_string();
                order.push(path.clone());
                files.push(One { path, check: None, error: Some(words) });
            }
        }
    }
    let bytes = given.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|metadata| metadata.len()).sum();
    let task = program.console.task("Checking", Some(bytes));
    let results = read_all(program, &given, &*task);
    drop(task);
    if program.cancel.is_cancelled() {
        return Err(Failure::words(Exit::Cancelled, "cancelled"));
    }
    let mut folders: BTreeMap<&Path, Vec<DatabaseCheck>> = BTreeMap::new();
    for (file, result) in given.iter().zip(results) {
        let path = file.display().to_string();
        match result {
            Ok(report) => {
                let folder = file.parent().unwrap_or(Path::new(""));
                let check = DatabaseCheck::of(&path, report, Role::of_name(&path));
                folders.entry(folder).or_default().push(check);
            }
            Err(error) => files.push(One { path, check: None, error: Some(format!("cannot read: {error}")) }),
        }
    }
    for (folder, checks) in &mut folders {
        let present = if whole.contains(*folder) { Present::All } else { Present::Some };
        pair(checks, |_| true, present);
    }
    let mut checked: Vec<DatabaseCheck> = folders.into_values().flatten().collect();
    find_missing_stripes(&mut checked);
    files.extend(checked.into_iter().map(|check| One { path: check.path.clone(), check: Some(check), error: None }));
    // As they were given.
    let place = |one: &One| order.iter().position(|path| *path == one.path);
    files.sort_by_key(place);
    let exit = exit(&files);
    if program.console.is_json() {
        program.console.document(&Document { files });
    } else {
        print(program, &files);
    }
    Ok(exit)
}

/// Of a backup in several files, all must be given: the rest alone cannot be restored.
fn find_missing_stripes(checks: &mut [DatabaseCheck]) {
    let family = |check: &DatabaseCheck| -> Option<(Guid, u16, u16)> {
        let backup = check.report.backup.as_ref().filter(|backup| backup.families > 1)?;
        Some((backup.media_set?, backup.families, backup.family))
    };
    let known: BTreeSet<(Guid, u16, u16)> = checks.iter().filter_map(family).collect();
    for check in checks {
        let Some((set, families, number)) = family(check) else { continue };
        let missing = (1..=families).filter(|other| !known.contains(&(set, families, *other)));
        let missing: Vec<String> = missing.map(|number| number.to_string()).collect();
        if !missing.is_empty() {
            let files = if missing.len() == 1 { "file" } else { "files" };
            let text = format!(
                "this is file {number} of {families} of its backup, and {files} {} of it is not here",
                missing.join(", ")
            );
            let path = PathBuf::from(&check.path);
            check.pairing.push(PairFinding { severity: Severity::Damage, rule: Rule::Missing, path, with: None, text });
        }
    }
}

fn exit(files: &[One]) -> Exit {
    if files.iter().any(|one| one.check.as_ref().is_some_and(DatabaseCheck::is_damaged)) {
        Exit::Damage
    } else if files.iter().any(|one| one.check.as_ref().is_none_or(|check| check.report.kind == Kind::Other)) {
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
                    results.lock().push((number, result));
                }
            });
        }
    });
    let mut results = results.into_inner();
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
            let line = format!("{}: {damage}", one.path);
            program.console.result(&format!("{}\n", units::visible_line(&line)));
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
        return vec![one.path.clone(), String::new(), String::new(), String::new(), error];
    };
    let facts = check.report.facts.as_ref();
    let kind = match check.report.kind {
        Kind::Data => "data",
        Kind::Log => "log",
        Kind::Backup => "backup",
        Kind::CompressedBackup => "compressed backup",
        _ => "other",
    };
    let result = if let Some(fault) = &check.fault {
        format!("DAMAGED: {fault}")
    } else if check.is_damaged() && !check.report.is_damaged() {
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
