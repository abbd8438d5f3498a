//! The watcher as a Windows service. These tests install a service on the computer they run on, one after the other
//! (see .config/nextest.toml), and refuse to where there is one already.

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use afterbackup::event_log;

use crate::harness::{PATIENCE, Scene};

/// Where the tests share a process, they take turns too.
static TURN: Mutex<()> = Mutex::new(());

/// A site with a log, and no service before or after.
struct Server(Scene, #[allow(dead_code, reason = "held until the end")] MutexGuard<'static, ()>);

impl Server {
    fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scene = Scene::new();
        // Without the site server's own log, the watcher waits for the quiet period.
        scene.snapshot_key("quiet = '1s'");
        scene.section("[log]\nfile = 'logs/afterbackup.log'");
        scene.run(&["service", "status"]).exits(1).says("hint: 'afterbackup service install' installs it");
        Self(scene, turn)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.0.path("logs/afterbackup.log")).unwrap_or_default()
    }

    #[track_caller]
    fn wait(&self, what: &str, is_there: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_there() {
            assert!(begin.elapsed() < PATIENCE, "no {what}\n{}", self.log());
            std::thread::yield_now();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.run(&["service", "uninstall"]));
    }
}

#[test]
fn service_is_installed_started_archives_and_is_stopped_and_removed() {
    let server = Server::new();
    let scene = &server.0;
    assert!(!event_log::is_registered());
    scene.run(&["service", "install"]).exits(0).says("Installed the service");
    assert!(event_log::is_registered());
    scene.run(&["service", "status"]).exits(1).says("stopped");
    scene.run(&["service", "start"]).exits(0).says("it watches");
    let status = scene.run(&["--json", "service", "status"]).exits(0).json();
    assert_eq!((&status["state"], &status["start"]), (&"running".into(), &"automatic".into()), "{status}");
    assert!(status["process"].is_number() && status["command"].as_str().unwrap().contains("service run"), "{status}");
    scene.run(&["service", "start"]).exits(0).says("It runs already");
    server.wait("archive", || scene.manifests("vault") == 1);
    scene.run(&["service", "stop"]).exits(0).says("Stopped");
    let status = scene.run(&["--json", "service", "status"]).exits(1).json();
    assert_eq!((&status["state"], &status["last_exit_code"]), (&"stopped".into(), &0.into()), "{status}");
    scene.run(&["service", "stop"]).exits(0).says("It does not run");
    server.wait("last record", || server.log().contains("ends: service, exit code 0"));
    assert!(server.log().contains("Archived XYZ-"), "{}", server.log());
    scene.run(&["service", "uninstall"]).exits(0).says("Removed");
    scene.run(&["service", "status"]).exits(1).says("install");
    assert!(!event_log::is_registered());
    assert_eq!(scene.manifests("vault"), 1);
    assert!(scene.config().exists() && scene.path("logs/afterbackup.log").exists());
}

#[test]
fn service_with_a_configuration_that_breaks_says_why_and_starts_when_it_is_mended() {
    let server = Server::new();
    let scene = &server.0;
    let good = fs::read_to_string(scene.config()).unwrap();
    let broken = good.replace("path = 'E'", "path = 'E'\nquite = '1min'");
    fs::write(scene.config(), &broken).unwrap();
    scene.run(&["service", "install"]).exits(2).says("did you mean 'quiet'?");
    scene.run(&["service", "status"]).exits(1).says("installs it");
    fs::write(scene.config(), &good).unwrap();
    scene.run(&["service", "install"]).exits(0);
    fs::write(scene.config(), &broken).unwrap();
    scene.run(&["service", "start"]).exits(1).says("ended with code 2").says("the log file say why");
    let log = server.log();
    let why = log.lines().find(|line| line.contains("unknown key")).unwrap_or_else(|| panic!("{log}"));
    assert!(why.contains("type=\"3\"") && why.contains("did you mean 'quiet'?"), "{why}");
    fs::write(scene.config(), &good).unwrap();
    scene.run(&["service", "start"]).exits(0);
}

#[test]
fn service_that_runs_is_changed_and_removed() {
    let server = Server::new();
    let scene = &server.0;
    scene.run(&["service", "install"]).exits(0);
    scene.run(&["service", "start"]).exits(0);
    scene.run(&["service", "install"]).exits(0).says("Changed the service");
    scene.run(&["service", "uninstall"]).exits(0).says("Removed");
    scene.run(&["service", "status"]).exits(1);
    server.wait("end", || server.log().contains("ends: service, exit code 0"));
}

#[test]
fn account_needs_a_place_of_its_password_unless_windows_manages_it() {
    let server = Server::new();
    let scene = &server.0;
    scene.run(&["service", "install", "--account", r"CONTOSO\me"]).exits(2).says("--password-env");
    let install = ["service", "install", "--account", r"CONTOSO\me", "--password-env", "NO_SUCH_PASSWORD"];
    scene.run(&install).exits(2).says("NO_SUCH_PASSWORD has no password");
    let install = ["service", "install", "--account", r"CONTOSO\me", "--password-file", "gone"];
    scene.run(&install).exits(2).says("there is no such file");
    scene.run(&["service", "install", "--account", r"NT AUTHORITY\NetworkService"]).exits(0);
    let status = scene.run(&["--json", "service", "status"]).json();
    assert_eq!(status["account"], r"NT AUTHORITY\NetworkService");
}

#[test]
fn service_is_run_by_the_service_control_manager_alone() {
    let server = Server::new();
    server.0.run(&["service", "run"]).exits(1).says("hint: only the service control manager runs this");
}
