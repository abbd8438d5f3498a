//! The program and a bucket on a server: over plain HTTP, and over TLS with an authority of one's own.

use std::fs;

use crate::harness::{ID, Output, Scene, assert_same_tree};
use crate::support::s3_server::{ACCESS_KEY, S3Server, SECRET_KEY};

/// A scene whose only destination is a bucket on this server.
fn scene(server: &S3Server, keys: &str) -> Scene {
    server.create_bucket("archives");
    let mut scene = Scene::new();
    scene.destinations.clear();
    scene.section(&format!(
        "[retention]\nlast = 1\n[[destination]]\nname = 'offsite'\nurl = 's3://archives/cm'\nendpoint = '{}'\n\
         access-key-env = 'TEST_ACCESS'\nsecret-key-env = 'TEST_SECRET'\nretry-for = '5s'\n{keys}",
        server.endpoint()
    ));
    scene
}

/// The program, with the keys to the bucket.
fn run(scene: &Scene, arguments: &[&str]) -> Output {
    let mut command = scene.command(arguments);
    command.env("TEST_ACCESS", ACCESS_KEY).env("TEST_SECRET", SECRET_KEY);
    Output::of(command)
}

fn assert_whole_life(scene: &Scene) {
    run(scene, &["run"]).exits(0);
    run(scene, &["list"]).exits(0).says(ID);
    run(scene, &["verify"]).exits(0);
    run(scene, &["fetch", "latest", "--to", "back"]).exits(0);
    assert_same_tree(&scene.path("back/XYZBackup"), &scene.snapshot());
    scene.complete("2021-11-23T23:59:00Z");
    run(scene, &["run"]).exits(0);
    run(scene, &["list"]).exits(0).says("XYZ-20211123T235900Z").says_not(ID);
}

#[test]
fn bucket_over_plain_http_is_a_destination() {
    let server = S3Server::start();
    assert_whole_life(&scene(&server, ""));
}

#[test]
fn bucket_over_tls_is_a_destination_when_its_authority_is_trusted() {
    let (server, authority) = S3Server::start_with_tls();
    let scene = scene(&server, "ca-file = 'ca.pem'");
    fs::write(scene.path("ca.pem"), authority).unwrap();
    assert_whole_life(&scene);
}

#[test]
fn server_whose_authority_nobody_knows_is_not_trusted() {
    let (server, _) = S3Server::start_with_tls();
    let scene = scene(&server, "");
    run(&scene, &["run"]).exits(1).says("certificate");
    // Another authority does not help.
    let (_other, authority) = S3Server::start_with_tls();
    fs::write(scene.path("ca.pem"), authority).unwrap();
    let text = fs::read_to_string(scene.config()).unwrap();
    fs::write(scene.config(), format!("{text}\nca-file = 'ca.pem'\n")).unwrap();
    run(&scene, &["run"]).exits(1).says("certificate");
    assert_eq!(server.objects("archives"), 0);
}
