//! `afterbackup recover check`

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::Program;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::recovery::check::{Checked, Finding, PathValue, Severity, check as judge};
use crate::recovery::ini;
use crate::recovery::keys::{Source, Vintage};
use crate::recovery::values::shown;

const EXAMPLES: &str = r"Exit code 2 means that the script has errors.

Examples:
  afterbackup recover check C:\Recovery\XYZ.ini
  afterbackup recover check --rules 2016 XYZ.ini
  afterbackup recover check --paths XYZ.ini      (on the server that is recovered)";

/// Larger files are no scripts.
const MAX_BYTES: u64 = 16 << 20;

/// Check an unattended script.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The script
    file: PathBuf,
    /// Judge by Microsoft's table of this year: 2016 or 2022
    #[arg(long, value_name = "YEAR", default_value = "2022")]
    rules: Vintage,
    /// Look at the folders that it names, too
    #[arg(long)]
    paths: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    file: String,
    errors: usize,
    warnings: usize,
    notes: usize,
    #[serde(flatten)]
    checked: &'a Checked,
}

pub(super) fn check(program: &Program<'_>, args: &Args) -> Result<Exit, Failure> {
    let name = args.file.display();
    let failed = |error: &dyn std::fmt::Display| Failure::words(Exit::Failed, format!("cannot read {name}: {error}"));
    let bytes = fs::metadata(&args.file).map_err(|error| failed(&error))?.len();
    if bytes > MAX_BYTES {
        let message = format!("{name} has more than 16 MiB: this is not a recovery script");
        return Err(Failure::words(Exit::Usage, message));
    }
    let bytes = fs::read(&args.file).map_err(|error| failed(&error))?;
    let mut checked = judge(&ini::read(&bytes), args.rules);
    if !args.file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ini")) {
        checked.add(finding(
            Severity::Error,
            "extension",
            None,
            None,
            "the name of the file does not end with .ini",
            "rename it",
        ));
    }
    if args.paths {
        for path in checked.paths.clone() {
            if let Some(found) = look(&path) {
                checked.add(found);
            }
        }
    }
    if program.console.is_json() {
        let count = |severity| checked.count(severity);
        program.console.document(&Document {
            file: name.to_string(),
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            notes: count(Severity::Note),
            checked: &checked,
        });
    } else {
        program.console.result(&in_words(&checked, &name.to_string()));
    }
    Ok(if checked.passes() { Exit::Done } else { Exit::Usage })
}

fn finding(
    severity: Severity,
    code: &'static str,
    line: Option<usize>,
    key: Option<&str>,
    message: &str,
    hint: &str,
) -> Finding {
    let hint = Some(hint.to_owned()).filter(|hint| !hint.is_empty());
    Finding {
        severity,
        code,
        line,
        key: key.map(str::to_owned),
        message: message.to_owned(),
        hint,
        source: Source::Form,
    }
}

/// Looks at a folder of the script on this computer.
fn look(value: &PathValue) -> Option<Finding> {
    let path = Path::new(&value.path);
    let told = shown(&value.path);
    let found = |message: String, hint: &str| {
        Some(finding(Severity::Error, "path", Some(value.line), Some(value.key), &message, hint))
    };
    let holds = |below: &str| path.join(below).is_dir();
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => found(
            format!("{}: {told} is not there", value.key),
            "look from the server that is recovered, as the account that runs Setup",
        ),
        Err(error) => found(format!("{}: {told} cannot be looked at: {error}", value.key), ""),
        Ok(metadata) if !metadata.is_dir() => found(format!("{}: {told} is not a folder", value.key), ""),
        Ok(_) if value.key == "BackupLocation" && !holds("SiteDBServer") => found(
            format!("{}: {told} holds no folder SiteDBServer", value.key),
            "name the XXXBackup folder with the database",
        ),
        Ok(_) if value.key == "SiteServerBackupLocation" && !holds("SiteServer") => {
            found(format!("{}: {told} holds no folder SiteServer", value.key), "name the XXXBackup folder")
        }
        Ok(_) => None,
    }
}

pub(super) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// One finding, as lines.
pub(super) fn lines(finding: &Finding) -> String {
    let mut text = String::new();
    if let Some(line) = finding.line {
        // Writing to a string cannot fail.
        write!(text, "line {line}: ").ok();
    }
    writeln!(text, "{}: {}", severity(finding.severity), finding.message).ok();
    if let Some(hint) = &finding.hint {
        writeln!(text, "  hint: {hint}").ok();
    }
    writeln!(text, "  rule: {}", finding.source).ok();
    text
}

fn in_words(checked: &Checked, name: &str) -> String {
    let mut text: String = checked.findings.iter().map(lines).collect();
    let count = |severity, one: &str, many: &str| match checked.count(severity) {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let verdict = if checked.passes() { "passes" } else { "does not pass" };
    writeln!(
        text,
        "{name} ({}) {verdict} by the rules of {}: {}, {}, {}",
        checked.encoding,
        checked.rules,
        count(Severity::Error, "error", "errors"),
        count(Severity::Warning, "warning", "warnings"),
        count(Severity::Note, "note", "notes"),
    )
    .ok();
    text
}
