//! The programs under test, as command lines.
//!
//! Every program gets the same warm source and writes to the same disk. A shell pipeline alone leaves its output in
//! the page cache, while restic and afterbackup sync theirs before they report success; so the pipeline is measured
//! with and without a `sync` of its output.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::measure::Program;

/// Name of the site folder in every snapshot.
pub(crate) const SNAPSHOT: &str = "XYZBackup";

/// The afterbackup under test.
pub(crate) struct AfterBackup {
    pub(crate) binary: PathBuf,
}

/// A destination in a configuration for a run.
pub(crate) struct Vault<'a> {
    pub(crate) path: &'a Path,
    pub(crate) verify: &'static str,
}

/// Writes a configuration that archives the snapshot below `source` to `vaults`.
pub(crate) fn configure(file: &Path, source: &Path, vaults: &[Vault<'_>]) -> Result<()> {
    configure_checks(file, source, vaults, true)
}

fn configure_checks(file: &Path, source: &Path, vaults: &[Vault<'_>], check_databases: bool) -> Result<()> {
    let mut text = format!(
        "lock-file = '{}'\n\n[snapshot]\npath = '{}'\nquiet = \"0s\"\n\n\
         [archive]\nlevel = 3\nthreads = 2\ncheck-databases = {check_databases}\n\n[retention]\nlast = 10000\n",
        file.with_extension("lock").display(),
        source.display()
    );
    for (number, vault) in vaults.iter().enumerate() {
        fs::create_dir_all(vault.path)?;
        let path = vault.path.display();
        let verify = vault.verify;
        let section = format!("\n[[destination]]\nname = \"vault{number}\"\npath = '{path}'\nverify = \"{verify}\"\n");
        text.push_str(&section);
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

impl AfterBackup {
    /// The command line for `arguments` with the configuration `file`.
    pub(crate) fn command(&self, file: &Path, arguments: &[&str]) -> Vec<String> {
        let mut command = vec![text(&self.binary), "--config".to_owned(), text(file), "--json".to_owned()];
        command.extend(arguments.iter().map(|&argument| argument.to_owned()));
        command
    }

    /// `run` into `count` fresh folders on one disk.
    pub(crate) fn archive<'a>(&'a self, source: &'a Path, verify: &'static str, count: usize) -> Program<'a> {
        let folders = if count == 1 { String::new() } else { format!(", {count} folders") };
        self.run(format!("afterbackup run (verify = {verify}{folders})"), source, verify, count, true)
    }

    /// `run` into one folder without checking databases.
    pub(crate) fn archive_unchecked<'a>(&'a self, source: &'a Path, verify: &'static str) -> Program<'a> {
        self.run(format!("afterbackup run (verify = {verify}, no checks)"), source, verify, 1, false)
    }

    fn run<'a>(
        &'a self,
        name: String,
        source: &'a Path,
        verify: &'static str,
        count: usize,
        check_databases: bool,
    ) -> Program<'a> {
        Program {
            name,
            prepare: Box::new(move |folder| {
                let paths: Vec<PathBuf> = (0..count).map(|number| folder.join(format!("vault{number}"))).collect();
                let vaults: Vec<Vault<'_>> = paths.iter().map(|path| Vault { path, verify }).collect();
                configure_checks(&folder.join("config.toml"), source, &vaults, check_databases)
            }),
            command: Box::new(|folder| self.command(&folder.join("config.toml"), &["run"])),
            output: Box::new(|folder| tree_bytes(&folder.join("vault0"))),
        }
    }

    /// A command that only reads archives, `TO` standing for the run's folder.
    pub(crate) fn reading<'a>(&'a self, name: &str, config: &'a Path, arguments: &[&str]) -> Program<'a> {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Program {
            name: name.to_owned(),
            prepare: Box::new(|_| Ok(())),
            command: Box::new(move |folder| {
                let to = text(&folder.join("to"));
                let arguments: Vec<&str> =
                    arguments.iter().map(|argument| if argument == "TO" { &to } else { argument.as_str() }).collect();
                self.command(config, &arguments)
            }),
            output: Box::new(|folder| tree_bytes(&folder.join("to"))),
        }
    }
}

/// A pipeline for bash, in which `OUT` stands for the run's folder.
pub(crate) fn shell<'a>(name: &str, pipeline: String) -> Program<'a> {
    Program {
        name: name.to_owned(),
        prepare: Box::new(|folder| Ok(fs::create_dir(folder.join("to"))?)),
        command: Box::new(move |folder| {
            let pipeline = pipeline.replace("OUT", &quoted(&folder.join("to")));
            vec!["bash".to_owned(), "-o".to_owned(), "pipefail".to_owned(), "-c".to_owned(), pipeline]
        }),
        output: Box::new(|folder| tree_bytes(&folder.join("to"))),
    }
}

/// `restic backup` into a fresh repository.
pub(crate) fn restic(source: &Path) -> Program<'_> {
    let restic = |folder: &Path, rest: &str| {
        let repository = quoted(&folder.join("to"));
        let command = format!("RESTIC_PASSWORD=benchmark restic --quiet --no-cache --repo {repository} {rest}");
        vec!["bash".to_owned(), "-c".to_owned(), command]
    };
    Program {
        name: "restic backup".to_owned(),
        prepare: Box::new(move |folder| {
            let command = restic(folder, "init");
            let status = Command::new(&command[0]).args(&command[1..]).status()?;
            ensure!(status.success(), "restic init failed");
            Ok(())
        }),
        command: Box::new(move |folder| restic(folder, &format!("backup {}", quoted(&source.join(SNAPSHOT))))),
        output: Box::new(|folder| tree_bytes(&folder.join("to"))),
    }
}

/// Whether a program can be started at all.
pub(crate) fn is_installed(program: &str) -> bool {
    Command::new("bash").args(["-c", &format!("command -v {program}")]).output().is_ok_and(|out| out.status.success())
}

/// A path as text; scratch paths are ours.
pub(crate) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A path for a shell.
pub(crate) fn quoted(path: &Path) -> String {
    format!("'{}'", text(path).replace('\'', r"'\''"))
}

/// Bytes of all files below `folder`; 0 when it does not exist.
pub(crate) fn tree_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                bytes += metadata.len();
            }
        }
    }
    Ok(bytes)
}

/// The first number called `name`, at any depth of a JSON document or of JSON lines.
pub(crate) fn number_in(json: &str, name: &str) -> Option<u64> {
    fn find(value: &Value, name: &str) -> Option<u64> {
        match value {
            Value::Object(map) => {
                map.get(name).and_then(Value::as_u64).or_else(|| map.values().find_map(|value| find(value, name)))
            }
            Value::Array(items) => items.iter().find_map(|value| find(value, name)),
            _ => None,
        }
    }
    serde_json::Deserializer::from_str(json)
        .into_iter::<Value>()
        .map_while(Result::ok)
        .find_map(|value| find(&value, name))
}
