//! What the program says of itself and of mistakes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use clap::CommandFactory;

use crate::synthetic::{Data, log};

/// The help of all commands, one after the other.
#[test]
fn command_reference_is_the_reviewed_one() {
    let mut command = afterbackup::cli::Cli::command().term_width(100);
    command.build();
    let mut text = command.render_long_help().to_string();
    for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
        let help = sub.render_long_help();
        text = format!("{text}\n==== {} ====\n\n{help}", sub.get_name());
    }
    insta::assert_snapshot!(text);
}

#[test]
fn every_help_text_begins_with_a_capital_and_has_no_full_stop() {
    let mut command = afterbackup::cli::Cli::command();
    command.build();
    let mut texts = Vec::new();
    for sub in command.get_subcommands() {
        texts.extend(sub.get_about().map(|text| (sub.get_name().to_owned(), text.to_string())));
        for argument in sub.get_arguments() {
            let help = argument.get_help().unwrap_or_else(|| panic!("{}: {}", sub.get_name(), argument.get_id()));
            texts.push((format!("{} {}", sub.get_name(), argument.get_id()), help.to_string()));
        }
    }
    for (name, text) in texts {
        assert!(text.starts_with(|first: char| first.is_uppercase()), "{name}: {text}");
        assert!(!text.ends_with('.'), "{name}: {text}");
    }
}

/// Runs the program in a folder, without any configuration of this machine.
fn afterbackup(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(crate::harness::program_file());
    command.args(arguments).current_dir(folder).env_remove("AFTERBACKUP_CONFIG");
    command.env("ProgramData", folder.join("ProgramData"));
    crate::harness::ended(&mut command)
}

/// A folder with a snapshot, a configuration with two destinations, and only the first of their folders.
fn site() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = folder.path().join("E/XYZBackup");
    fs::create_dir_all(snapshot.join("SiteServer")).unwrap();
    fs::write(snapshot.join("SiteServer/a.ini"), "a").unwrap();
    fs::create_dir(snapshot.join("SiteDBServer")).unwrap();
    fs::write(snapshot.join("SiteDBServer/CM_XYZ.mdf"), Data::default().build()).unwrap();
    fs::write(snapshot.join("SiteDBServer/CM_XYZ_log.ldf"), log(0, 26)).unwrap();
    fs::write(snapshot.join("BackupDocument.xml"), "<x/>").unwrap();
    fs::create_dir(folder.path().join("vault")).unwrap();
    let config = "lock-file = 'lock'\n[snapshot]\npath = 'E'\nquiet = '0s'\n\
                  [[destination]]\nname = 'near'\npath = 'vault'\n[[destination]]\nname = 'far'\npath = 'gone'\n";
    fs::write(folder.path().join("a.toml"), config).unwrap();
    folder
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_destination_that_cannot_be_pruned_is_told_with_what_to_do() {
    let site = site();
    let output = afterbackup(site.path(), &["-c", "a.toml", "run"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    for arguments in [&["-c", "a.toml", "prune", "--dry-run"][..], &["-c", "a.toml", "prune"]] {
        let output = afterbackup(site.path(), arguments);
        assert_eq!(output.status.code(), Some(3));
        let told = stderr(&output);
        assert!(told.contains("pruning far failed") && told.contains("create the folder"), "{told}");
        assert!(stdout(&output).starts_with("near:\n"), "{}", stdout(&output));
        assert!(!stdout(&output).contains("far:"), "{}", stdout(&output));
    }
}

#[test]
fn archives_are_read_without_configuration_from_a_folder_by_its_name() {
    let site = site();
    afterbackup(site.path(), &["-c", "a.toml", "run"]);
    for place in ["vault", "./vault", "vault/"] {
        let output = afterbackup(site.path(), &["list", "-d", place]);
        assert!(stdout(&output).contains("XYZ-"), "{place}: {}", stderr(&output));
    }
    let output =
        afterbackup(site.path(), &["fetch", "latest", "XYZBackup/SiteServer", "typo", "--to", "x", "-d", "vault"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("nothing in the archive matches 'typo'"), "{}", stderr(&output));
    assert_eq!(fs::read(site.path().join("x/XYZBackup/SiteServer/a.ini")).unwrap(), b"a");
    let output = afterbackup(site.path(), &["show", "latest", "-d", "vault/XYZ"]);
    assert!(stderr(&output).contains("name the folder above"), "{}", stderr(&output));
}

#[test]
fn verify_does_not_pass_over_a_manifest_that_cannot_be_used() {
    let site = site();
    afterbackup(site.path(), &["-c", "a.toml", "run"]);
    let manifest = fs::read_dir(site.path().join("vault/XYZ"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "json"))
        .unwrap();
    fs::write(manifest, "{").unwrap();
    assert_eq!(afterbackup(site.path(), &["verify", "-d", "./vault"]).status.code(), Some(6));
}

#[test]
fn init_writes_all_or_nothing_and_absolute_paths() {
    let site = site();
    fs::write(site.path().join("old.bat"), "").unwrap();
    let init = |rest: &[&str]| {
        let arguments = [&["init", "sub/b.toml", "--snapshot", "E", "--to", "vault"], rest].concat();
        afterbackup(site.path(), &arguments)
    };
    let output = init(&["--bat", "old.bat"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!site.path().join("sub/b.toml").exists());
    assert_eq!(init(&["--bat", "new.bat"]).status.code(), Some(0));
    assert!(site.path().join("new.bat").exists());
    let config = fs::read_to_string(site.path().join("sub/b.toml")).unwrap();
    assert!(config.contains(&*site.path().join("vault").to_string_lossy()), "{config}");
}

#[test]
fn a_lock_that_cannot_be_made_is_a_failure_and_not_another_run() {
    let site = site();
    let config = fs::read_to_string(site.path().join("a.toml")).unwrap();
    fs::write(site.path().join("file"), "").unwrap();
    fs::write(site.path().join("a.toml"), config.replace("'lock'", "'file/lock'")).unwrap();
    for command in ["run", "prune"] {
        let output = afterbackup(site.path(), &["-c", "a.toml", command]);
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(stderr(&output).contains("set lock-file"), "{}", stderr(&output));
    }
}
