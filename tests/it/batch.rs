//! AfterBackup.bat: started as the backup task may start it, with nothing to rely on but its own place.

use std::fs;
use std::os::windows::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{ID, Output, Scene, names};

/// The folder of Local System's programs, and of whoever else may start a batch file.
const ELSEWHERE: &str = r"C:\windows\system32";

/// A site server: the program, its configuration and the batch file in folders of their own.
struct Server {
    scene: Scene,
    exe: PathBuf,
    config: PathBuf,
    bat: PathBuf,
}

impl Server {
    /// `programs` is the name of the folder that holds the program.
    fn new(programs: &str) -> Self {
        let scene = Scene::new();
        let folder = |name: &str| {
            let folder = scene.path(name);
            fs::create_dir_all(&folder).unwrap();
            folder
        };
        let exe = folder(programs).join("afterbackup.exe");
        fs::copy(crate::harness::program_file(), &exe).unwrap();
        let config = folder(&format!("{programs} settings")).join("afterbackup.toml");
        let bat = folder("Microsoft Configuration Manager/Inboxes/smsbkup.box").join("AfterBackup.bat");
        Self { scene, exe, config, bat }
    }

    /// `afterbackup init --bat`, as the administrator runs it.
    fn init(&self) {
        let mut init = Command::new(&self.exe);
        init.arg("init").arg(&self.config).arg("--snapshot").arg(self.scene.path("E"));
        init.arg("--to").arg(self.scene.path("vault")).arg("--bat").arg(&self.bat);
        Output::of(self.as_system(init)).exits(0);
    }

    /// Without the settings of this machine.
    fn as_system(&self, mut command: Command) -> Command {
        command.env("ProgramData", self.scene.path("ProgramData")).env_remove("AFTERBACKUP_CONFIG");
        command.current_dir(ELSEWHERE).stdin(Stdio::null());
        command
    }

    /// `cmd /c "…\AfterBackup.bat"`, from another folder.
    fn call(&self) -> Output {
        let mut cmd = Command::new("cmd");
        let bat = self.bat.display().to_string().replace('/', "\\");
        // cmd takes off the outer quotes.
        cmd.raw_arg(format!("/d /c \"\"{bat}\"\""));
        Output::of(self.as_system(cmd))
    }
}

fn assert_archived(vault: &Path) {
    assert_eq!(names(&vault.join("XYZ")), [format!("{ID}.json"), format!("{ID}.tar.zst")]);
}

#[test]
fn generated_batch_file_archives_from_wherever_it_is_started() {
    let server = Server::new("Program Files");
    server.init();
    server.call().exits(0);
    assert_archived(&server.scene.path("vault"));
    // Archived already: done.
    server.call().exits(0);
}

#[test]
fn generated_batch_file_passes_the_exit_code_on() {
    let server = Server::new("Program Files");
    server.init();
    fs::remove_file(server.scene.snapshot().join("smsbkup.log")).unwrap();
    fs::remove_file(server.scene.snapshot().join("BackupDocument.xml")).unwrap();
    server.call().exits(4);
    fs::remove_dir_all(server.scene.path("vault")).unwrap();
    fs::write(&server.config, "nonsense").unwrap();
    server.call().exits(2);
}

/// A percent sign begins a variable in a batch file.
#[test]
fn generated_batch_file_copes_with_percent_signs() {
    let server = Server::new("100% ConfigMgr %PATH% (x86) & more");
    server.init();
    server.call().exits(0);
    assert_archived(&server.scene.path("vault"));
}

#[test]
fn generated_batch_file_copes_with_names_that_are_not_ascii() {
    let server = Server::new("Sicherung für Zürich");
    server.init();
    server.call().exits(0);
    assert_archived(&server.scene.path("vault"));
}

/// People write their own, which find the program by the place of the batch file.
#[test]
fn batch_file_finds_the_program_beside_it() {
    let server = Server::new("Microsoft Configuration Manager/Inboxes/smsbkup.box");
    server.init();
    fs::rename(&server.config, server.bat.with_file_name("site XYZ.toml")).unwrap();
    let text = "@echo off\r\n\"%~dp0afterbackup.exe\" --config \"%~dp0site XYZ.toml\" run\r\nexit /b %ERRORLEVEL%\r\n";
    fs::write(&server.bat, text).unwrap();
    server.call().exits(0);
    assert_archived(&server.scene.path("vault"));
    fs::remove_dir_all(server.scene.path("vault")).unwrap();
    server.call().exits(1);
}
