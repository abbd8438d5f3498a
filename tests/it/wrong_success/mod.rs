//! The table of wrong success, docs/wrong-success.md: faults of every kind, and what each command says of them.
//!
//! Every cell is a run of the program. The exit codes stand in the document and are compared with it; what must be
//! named, and why a 0 is right, stand beside each fault in `faults.rs`. After a change that is meant, the environment
//! variable `AFTERBACKUP_TEST_WRITE_TABLES=1` writes the document anew; one who does that looks at each cell that
//! changed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Output, Scene, remove_tree};

mod faults;

/// What is asked about each fault, in this order: `verify` notes damage for `status`, and `prune` removes.
pub(crate) const COMMANDS: [(&str, &[&str]); 10] = [
    ("run", &["run"]),
    ("status", &["status"]),
    ("--nagios", &["status", "--nagios"]),
    ("list", &["list"]),
    ("show latest", &["show", "latest"]),
    ("fetch latest", &["fetch", "latest", "--to", "back-latest"]),
    ("fetch latest-good", &["fetch", "latest-good", "--to", "back-good"]),
    ("verify", &["verify"]),
    ("prune", &["prune"]),
    ("check-db", &["check-db", "E"]),
];

/// One fault.
pub(crate) struct Fault {
    /// What has happened, as the document says it.
    pub(crate) what: String,
    /// The scene with the fault in it.
    pub(crate) scene: Scene,
    /// One of these is in what every command says that does not end with 0. (The line for Nagios is one line.)
    pub(crate) named: &'static [&'static str],
    /// A sign for each of [`COMMANDS`]: a letter of [`REASONS`] says why it may end with 0, `!` that it must not, and
    /// a dash that it is not asked.
    pub(crate) cells: &'static str,
    /// Is `run` asked last? It puts right what is damaged on destinations, as long as the snapshot is there.
    pub(crate) run_last: bool,
    /// What is still there to be fetched: the archive of the second night, or of the first.
    pub(crate) good: &'static str,
}

/// Why 0 is right where something is wrong.
pub(crate) const REASONS: [(char, &str); 17] = [
    ('a', "Nothing was archived of this snapshot. The archives are whole, and the command is about these alone."),
    ('b', "The archive holds what the snapshot was, and the command says what is wrong with that."),
    ('c', "It took the newest archive whose databases are proven."),
    ('d', "The database files that it was given are sound by themselves."),
    ('e', "It keeps to the policy, and neither counted nor removed what is damaged or cannot be judged."),
    ('f', "It does not read what is inside archives. `verify` does, and `status` remembers what that found."),
    ('g', "Another destination has a sound copy, which it took."),
    ('h', "The fault is in a run or beside the archives; these are whole, and the command is about these alone."),
    ('i', "The run says it. The archive is whole, and lacks nothing that was there."),
    ('j', "The run put the archive there again, from the snapshot."),
    ('k', "The file can be done without. The run named it, and the archive names it as left out."),
    ('n', "The run did its work. `status` tells that it could not be noted, or what was noted before."),
    (
        'o',
        "The run gives a warning. Whoever waits for the message, or looks at the age of the file, is alarmed by its absence.",
    ),
    ('q', "Each file that came out has the SHA-256 that the index of the archive has for it."),
    ('r', "The archive holds all that can be restored. What cannot is not in it, and the run named it."),
    ('p', "A newer version of the program wrote it, and knows what it did."),
    ('w', "It names what cannot be used, and took the newest archive that can."),
];

/// Runs all commands on all faults of a section, and compares with the document.
fn section(name: &str, faults: Vec<Fault>) {
    let mut rows = String::new();
    let mut wrong = String::new();
    for fault in faults {
        let what = &fault.what;
        write!(rows, "| {what} |").unwrap();
        assert_eq!(fault.cells.chars().count(), COMMANDS.len(), "{what}");
        let mut asked: Vec<_> = COMMANDS.into_iter().zip(fault.cells.chars()).enumerate().collect();
        if fault.run_last {
            asked.rotate_left(1);
        }
        let mut cells = vec![String::new(); COMMANDS.len()];
        for (number, ((command, arguments), cell)) in asked {
            if cell == '-' {
                "–".clone_into(&mut cells[number]);
                continue;
            }
            let output = fault.scene.run(arguments);
            keep(name, what, command, &output);
            let code = output.code.unwrap();
            let names = fault.named.iter().any(|named| said(&output, named));
            let names = || names.then_some(()).ok_or_else(|| format!("says none of {:?}\n{output}", fault.named));
            let judged = match (code, cell) {
                (0, '!') => Err(format!("ends with 0 and there is no reason\n{output}")),
                (0, 'b') if ["DAMAGED", "unproven", "without "].iter().any(|words| said(&output, words)) => Ok(()),
                (0, 'b' | 'w') => names(),
                (0, _) => Ok(()),
                _ if command == "--nagios" => Ok(()),
                _ => names(),
            };
            if let Err(judged) = judged {
                writeln!(wrong, "{what}: {command} {judged}").unwrap();
            }
            if command == "status" && code != 0 && output.stdout.contains("All is well") {
                writeln!(wrong, "{what}: {command} says that all is well and ends with {code}").unwrap();
            }
            cells[number] = if code == 0 { format!("0 {cell}") } else { code.to_string() };
        }
        write!(rows, " {} |", cells.join(" | ")).unwrap();
        let good = latest_good(&fault.scene);
        if good.as_deref() != Some(fault.good) {
            writeln!(wrong, "{what}: the newest good archive is {good:?}, not {}", fault.good).unwrap();
        }
        writeln!(rows, " {} |", night(fault.good)).unwrap();
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    compare(name, &rows);
}

fn said(output: &Output, words: &str) -> bool {
    output.stdout.contains(words) || output.stderr.contains(words)
}

/// After all commands, prune among them. What comes back is what was archived, down to each page: the program compares
/// with the SHA-256 of the first reading, and the database is looked at once more.
fn latest_good(scene: &Scene) -> Option<String> {
    let to = scene.path("last");
    remove_tree(&to);
    let output = scene.run(&["fetch", "latest-good", "--to", "last", "--json"]);
    if output.code != Some(0) {
        // Named by its id, the archive before is there all the same.
        let output = scene.run(&["fetch", faults::FIRST, "--to", "last", "--force"]);
        return (output.code == Some(0)).then(|| faults::FIRST.to_owned());
    }
    scene.run(&["check-db", "last"]).exits(0);
    Some(output.json()["archive"].as_str().unwrap().to_owned())
}

fn night(good: &str) -> &str {
    if [faults::FIRST, faults::SQL_FIRST].contains(&good) { "night 1" } else { "night 2" }
}

/// For one who looks into a cell.
fn keep(section: &str, what: &str, command: &str, output: &Output) {
    if let Some(folder) = std::env::var_os("AFTERBACKUP_TEST_OUTPUTS") {
        let name = format!("{section} - {what} - {command}").replace(['/', '`'], "_");
        fs::write(Path::new(&folder).join(name), output.to_string()).unwrap();
    }
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/wrong-success.md")
}

/// The rows below a heading of the document.
fn compare(name: &str, rows: &str) {
    let text = fs::read_to_string(document()).unwrap();
    let heading = format!("## {name}\n");
    let (before, after) = text.split_once(&heading).unwrap_or_else(|| panic!("no section '{name}'"));
    let (table, rest) =
        after.split_once("\n## ").map_or((after, String::new()), |(table, rest)| (table, format!("\n## {rest}")));
    let head: Vec<&str> = COMMANDS.iter().map(|(command, _)| *command).collect();
    let written = format!("\n| fault | {} | good then |\n|{}\n{rows}", head.join(" | "), "---|".repeat(head.len() + 2));
    if table == written {
        return;
    }
    if std::env::var_os("AFTERBACKUP_TEST_WRITE_TABLES").is_some() {
        fs::write(document(), format!("{before}{heading}{written}{rest}")).unwrap();
        return;
    }
    panic!("docs/wrong-success.md says\n{table}\nand it is\n{written}");
}

#[test]
fn reasons_are_those_of_the_document() {
    let text = fs::read_to_string(document()).unwrap();
    for (letter, reason) in REASONS {
        assert!(text.contains(&format!("* **{letter}** {reason}\n")), "* **{letter}** {reason}");
    }
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| fault")).count();
    assert!(rows >= 60, "{rows} faults");
}

#[test]
fn database_files() {
    section("Database files", faults::database_files());
}

#[test]
fn parts_of_the_snapshot() {
    section("Parts of the snapshot", faults::parts());
}

#[test]
fn log_of_the_backup_task() {
    section("Log of the backup task", faults::logs());
}

#[test]
fn archives() {
    section("Archives", faults::archives());
}

#[test]
fn manifests_and_leftovers() {
    section("Manifests and leftovers", faults::manifests());
}

#[test]
fn destinations_hooks_and_state() {
    section("Destinations, hooks and state", faults::surroundings());
}

#[test]
fn backups_of_sql_server() {
    section("Backups of SQL Server", faults::sql());
}
