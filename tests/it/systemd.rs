//! The watcher under a service manager that waits for word from it, and ends it with SIGTERM.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::harness::{PATIENCE, Scene};

#[test]
fn service_manager_hears_when_the_watcher_watches_and_ends_it() {
    let mut scene = Scene::new();
    scene.section("[log]\nfile = 'a.log'");
    let socket = UnixDatagram::bind(scene.path("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut child = scene.command(&["watch"]).env("NOTIFY_SOCKET", scene.path("notify")).spawn().unwrap();
    let mut buffer = [0; 100];
    let bytes = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..bytes], b"READY=1");
    let stopped = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let log = fs::read_to_string(scene.path("a.log")).unwrap();
    assert!(log.contains("begins: watch") && log.contains("ends: watch, exit code 0"), "{log}");
}

#[test]
fn windows_service_is_refused_with_a_word_about_systemd() {
    for action in ["install", "uninstall", "start", "stop", "status"] {
        Scene::bare().run(&["service", action]).exits(2).says("hint: here systemd").says("deploy/afterbackup.service");
    }
}
