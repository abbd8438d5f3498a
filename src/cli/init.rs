//! `afterbackup init`

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;

use super::Program;
use super::exit::Exit;
use super::failure::Failure;
use crate::config::{self, Preset};
use crate::name::SiteCode;
use crate::platform::files::create_folders;
use crate::platform::installed::in_oem;
use crate::setup::batch_read::{Copies, from_bat};
use crate::setup::installation::Installation;
use crate::setup::wizard::{Answer, Answers, absolute, bat, config_text, fault_of_place, is_of_this_system};

const EXAMPLES: &str = r"Existing files are never replaced. Without --to, add a [[destination]] to the file before the first run.
On a site server, log and site are taken from the installation of Configuration Manager.

Examples:
  afterbackup init --snapshot E:\ConfigMgr_Backup --to \\backup01\configmgr$ --bat
  afterbackup init --from-bat old.bat --bat AfterBackup.bat
  afterbackup init ./afterbackup.toml --snapshot /srv/snapshot --to /srv/vault

See docs/configuration.md.";

/// Write a commented configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Configuration to write [default: afterbackup.toml in %ProgramData%\afterbackup or /etc/afterbackup]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Where the backup task writes
    #[arg(long, value_name = "DIR")]
    snapshot: Option<String>,
    /// Where archives go: a folder, a share or a bucket (s3://…); may be given several times
    #[arg(long, value_name = "PATH|URL")]
    to: Vec<String>,
    /// Only this site
    #[arg(long, value_name = "XYZ")]
    site: Option<SiteCode>,
    /// Encrypt archives to this public key (age1…); may be given several times
    #[arg(long, value_name = "KEY")]
    recipient: Vec<String>,
    /// Take source and targets from the Robocopy and xcopy lines of an existing AfterBackup.bat
    #[arg(long, value_name = "FILE")]
    from_bat: Option<PathBuf>,
    /// Write the AfterBackup.bat that calls this program with this configuration, too [default: on a site server, where
    /// the backup task looks for it]
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    #[allow(clippy::option_option, reason = "how clap tells an option without its value from none")]
    bat: Option<Option<PathBuf>>,
    /// Print the supplemental entry for something that the snapshot leaves out, and write nothing
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Preset::ALL.map(Preset::name)))]
    show_preset: Option<String>,
}

pub(super) fn init(program: &Program<'_>, args: &Args) -> Result<Exit, Failure> {
    if let Some(preset) = args.show_preset.as_deref().and_then(Preset::named) {
        let installation = Installation::find();
        program.console.result(&preset.text(installation.as_ref().map(Installation::folder)));
        return Ok(Exit::Done);
    }
    let fault = |place: &String| config::place_fault(place).or_else(|| fault_of_place(place));
    if let Some((fault, hint)) = args.to.iter().find_map(fault) {
        return Err(Failure::words(Exit::Usage, format!("cannot use this --to: {fault}")).hint(Some(&hint)));
    }
    if let Some(key) = args.recipient.iter().find(|key| key.parse::<age::x25519::Recipient>().is_err()) {
        let secret = key.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-");
        // A secret key must not be printed.
        let what = if secret {
            "a secret key is not a recipient".to_owned()
        } else {
            format!("'{key}' is not a public key of age")
        };
        let hint = "give the line that age-keygen prints as 'Public key', which begins with age1";
        return Err(Failure::words(Exit::Usage, format!("--recipient: {what}")).hint(Some(hint)));
    }
    let file = args.file.clone().or_else(|| program.global.config.clone()).unwrap_or_else(default_file);
    let file = std::path::absolute(&file).unwrap_or(file);
    // Before anything is read or asked: no warning about a file that will not be written.
    if fs::symlink_metadata(&file).is_ok() {
        return Err(exists(Failure::words(Exit::Usage, format!("{} is already there", file.display()))));
    }
    // A path that is typed means the working directory; in the file it would mean the folder of the file.
    let places: Vec<String> = args.to.iter().map(|place| absolute(place)).collect();
    let installation = Installation::find();
    let bat_file = bat_file(args, installation.as_ref())?;
    let mut answers = Answers {
        snapshot: args.snapshot.as_deref().map(absolute).unwrap_or_default(),
        site: args.site.or_else(|| installation.as_ref()?.site),
        log: installation.as_ref().map(Installation::log),
        recipients: args.recipient.clone(),
        others: vec![],
        destinations: answers_from(&places),
    };
    if let Some(path) = &args.from_bat {
        read_bat(program, path, &mut answers)?;
    }
    if answers.snapshot.is_empty() {
        r"E:\ConfigMgr_Backup".clone_into(&mut answers.snapshot);
        let note = r"no --snapshot given: the file contains the placeholder E:\ConfigMgr_Backup; change it to the folder that the backup task writes to";
        program.console.note(note);
    } else {
        look_at(program, "--snapshot", &answers.snapshot);
    }
    for destination in &answers.destinations {
        look_at(program, "the destination", &destination.place);
    }
    if let Some(bat) = bat_file.as_deref().filter(|bat| bat.exists()) {
        // Before anything is written: half an answer is none.
        let failure = Failure::words(Exit::Usage, format!("{} is already there", bat.display()));
        return Err(if args.from_bat.is_some() {
            failure.hint(Some("move it away first: init never replaces a file"))
        } else {
            failure.hint(Some("move it away first, and give it as --from-bat to take over its source and targets"))
        });
    }
    if let Some(installation) = &installation {
        let site = answers.site.map_or_else(String::new, |site| format!(", site {site}"));
        program.console.note(&format!("found Configuration Manager in {}{site}", installation.folder()));
    }
    write_new(&file, config_text(&answers).as_bytes())?;
    program.console.result(&format!("Wrote {}\n", file.display()));
    if let Some(path) = &bat_file {
        let exe = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("afterbackup"));
        write_new(path, &bat(&exe, &file, in_oem))?;
        program.console.result(&format!("Wrote {}\n", path.display()));
    }
    let complete = if answers.destinations.is_empty() { "add a [[destination]]" } else { "check the file" };
    program.console.note(&format!("next: {complete}, then run 'afterbackup --config \"{}\" run'", file.display()));
    Ok(Exit::Done)
}

/// Where the batch file is to be written, if it is.
fn bat_file(args: &Args, installation: Option<&Installation>) -> Result<Option<PathBuf>, Failure> {
    match (&args.bat, installation) {
        (None, _) => Ok(None),
        (Some(Some(file)), _) => Ok(Some(file.clone())),
        (Some(None), Some(installation)) => Ok(Some(installation.bat().into())),
        (Some(None), None) => {
            let message = "--bat needs a FILE: Configuration Manager is not installed here";
            let hint = r"on the site server it belongs to Inboxes\smsbkup.box\AfterBackup.bat in the folder of the installation";
            Err(Failure::words(Exit::Usage, message).hint(Some(hint)))
        }
    }
}

fn answers_from(places: &[String]) -> Vec<Answer> {
    let name = |number: usize| if number == 0 { "vault".to_owned() } else { format!("vault-{}", number + 1) };
    places.iter().enumerate().map(|(number, place)| Answer { name: name(number), place: place.clone() }).collect()
}

/// Warns of a folder that is not there, where this system can look at it.
fn look_at(program: &Program<'_>, what: &str, place: &str) {
    if is_of_this_system(place) && !Path::new(place).is_dir() {
        program.console.warn(&format!("{what} {place} is not a folder that can be seen from here"));
        program.console.hint(Some("create it, or correct it in the file, before the first run"));
    }
}

fn read_bat(program: &Program<'_>, path: &Path, answers: &mut Answers) -> Result<(), Failure> {
    let bytes = fs::read(path)
        .map_err(|error| Failure::words(Exit::Failed, format!("cannot read {}: {error}", path.display())))?;
    // cmd.exe reads batch files in the OEM code page; only other letters than English ones can come out wrong.
    let findings = from_bat(&String::from_utf8_lossy(&bytes));
    let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    for note in &findings.notes {
        program.console.warn(&format!("{name}: {note}"));
    }
    let given = Some(answers.snapshot.as_str()).filter(|snapshot| !snapshot.is_empty());
    let Copies { snapshot, targets, others, candidates } = findings.sorted(given);
    let Some(snapshot) = snapshot else {
        let message = if !candidates.is_empty() {
            format!("{name}: it cannot be told which of these is the snapshot: {}", candidates.join(", "))
        } else if findings.unread > 0 {
            format!("{name}: it cannot be told what the script copies; {}", findings.notes.join("; "))
        } else {
            format!("{name} has no Robocopy or xcopy line")
        };
        let hint = "say where the backup task writes with --snapshot, and where archives go with --to";
        return Err(Failure::words(Exit::Failed, message).hint(Some(hint)));
    };
    let taken = targets.iter().chain([&snapshot]).chain(others.iter().map(|other| &other.source));
    for path in taken.filter(|path| path.contains('\u{fffd}')) {
        program.console.warn(&format!(
            "{path}: the letters shown as '\u{fffd}' could not be read, correct them in the configuration"
        ));
    }
    answers.snapshot = snapshot;
    for other in others {
        let (line, source) = (other.line, other.source);
        program.console.warn(&format!(
            "{name}: line {line}: {source} is copied, too: it is proposed as [[supplemental]] in the file"
        ));
        if !answers.others.contains(&source) {
            answers.others.push(source);
        }
    }
    if answers.destinations.is_empty() {
        answers.destinations = answers_from(&targets);
    }
    Ok(())
}

fn default_file() -> PathBuf {
    let folder = std::env::var_os("ProgramData").map_or_else(|| PathBuf::from("/etc"), PathBuf::from);
    folder.join("afterbackup").join("afterbackup.toml")
}

fn exists(failure: Failure) -> Failure {
    failure.hint(Some("name another file, or remove it first: init never replaces one"))
}

/// A first configuration never replaces one.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let write = || {
        if let Some(folder) = path.parent() {
            create_folders(folder)?;
        }
        File::options().write(true).create_new(true).open(path)?.write_all(bytes)
    };
    write().map_err(|error| {
        let failure = Failure::words(Exit::Failed, format!("cannot write {}: {error}", path.display()));
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => exists(Failure { exit: Exit::Usage, ..failure }),
            std::io::ErrorKind::PermissionDenied => {
                failure.hint(Some("run it as administrator, or name a file that may be written"))
            }
            _ => failure,
        }
    })
}
