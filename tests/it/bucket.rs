//! The program on a bucket of an S3 server.

use std::fs;
use std::process::Command;

use jiff::SignedDuration;

use crate::harness::{COMPLETED, ID, Output, Scene, assert_part_of_tree, assert_same_tree, at, noise};
use crate::support::s3_server::{ACCESS_KEY, S3Server, SECRET_KEY};

pub(crate) struct Cloud {
    pub(crate) server: S3Server,
    scene: Scene,
}

impl Cloud {
    /// A scene whose one destination is a bucket.
    pub(crate) fn new() -> Self {
        let server = S3Server::start();
        server.create_bucket("archives");
        let mut scene = Scene::new();
        scene.file("SiteServer/big.bin", &noise(3, 12 << 20));
        scene.complete(COMPLETED);
        scene.destinations.clear();
        scene.sections = format!(
            "[[destination]]\nname = 'offsite'\nurl = 's3://archives/site'\nendpoint = '{}'\nretry-for = '5s'\n\
             access-key-env = 'OFFSITE_KEY'\nsecret-key-env = 'OFFSITE_SECRET'\n",
            server.endpoint()
        );
        scene.configure();
        Self { server, scene }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.scene.command(args);
        command.env("OFFSITE_KEY", ACCESS_KEY).env("OFFSITE_SECRET", SECRET_KEY);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        Output::of(self.command(args))
    }

    pub(crate) fn archives(&self) -> usize {
        self.run(&["list", "--json"]).exits(0).json()["archives"].as_array().unwrap().len()
    }
}

#[test]
fn everything_works_on_a_bucket() {
    let cloud = Cloud::new();
    let scene = &cloud.scene;
    cloud.run(&["run"]).exits(0).says("is on offsite");
    cloud.run(&["run"]).exits(0).says("already archived");
    cloud.run(&["list"]).exits(0).says(ID).says("offsite");
    cloud.run(&["show", "latest", "--files", "**/hman.ini"]).exits(0).says("hman.ini");
    cloud.run(&["verify"]).exits(0).says("ok (40 files");
    cloud.run(&["fetch", "latest", "--to", "back"]).exits(0);
    assert_same_tree(&scene.path("back/XYZBackup"), &scene.snapshot());
    let one = cloud.run(&["fetch", "latest", "--to", "one", "**/hman.ini", "--json"]).exits(0).json();
    assert!(one["read_bytes"].as_u64().unwrap() < 1_100_000, "{one}");
    assert_eq!(assert_part_of_tree(&scene.path("one/XYZBackup"), &scene.snapshot()), 1);
    cloud.run(&["pin", "latest", "--reason", "the first"]).exits(0);
    for day in 1..4 {
        scene.complete(&(at(COMPLETED) + SignedDuration::from_hours(24 * day)).to_string());
        cloud.run(&["run"]).exits(0);
    }
    assert_eq!(cloud.archives(), 4);
    fs::write(scene.config(), format!("{}[retention]\nlast = 1\n", fs::read_to_string(scene.config()).unwrap()))
        .unwrap();
    cloud.run(&["prune", "--dry-run"]).exits(0).says("remove").says("the first");
    assert_eq!(cloud.archives(), 4);
    cloud.run(&["prune"]).exits(0);
    assert_eq!(cloud.archives(), 2);
    cloud.run(&["unpin", ID]).exits(0);
    cloud.run(&["prune"]).exits(0);
    assert_eq!(cloud.archives(), 1);
    cloud.run(&["verify"]).exits(0);
}

#[test]
fn refused_credentials_are_said_with_a_hint_and_without_the_secret() {
    let cloud = Cloud::new();
    let mut command = cloud.command(&["run", "-vv"]);
    command.env("OFFSITE_SECRET", "a wrong secret");
    Output::of(command).exits(1).says("hint: check the access key and secret").says_not("a wrong secret");
    let mut command = cloud.command(&["run"]);
    command.env_remove("OFFSITE_SECRET");
    Output::of(command).exits(1).says("OFFSITE_SECRET");
}

#[test]
fn bucket_that_is_not_there_is_said() {
    let cloud = Cloud::new();
    let text = fs::read_to_string(cloud.scene.config()).unwrap().replace("s3://archives", "s3://nowhere");
    fs::write(cloud.scene.config(), text).unwrap();
    cloud.run(&["run"]).exits(1).says("nowhere").says("hint:");
    cloud.run(&["list"]).exits(1).says("nowhere");
}

#[test]
fn server_that_is_not_there_does_not_keep_the_archive_from_a_folder() {
    let mut cloud = Cloud::new();
    let text = cloud.scene.sections.replace(&cloud.server.endpoint(), "http://127.0.0.1:9");
    cloud.scene.sections = text.replace("'5s'", "'1s'");
    cloud.scene.destination("vault");
    cloud.run(&["run"]).exits(3).says("is not on offsite");
    assert_eq!(cloud.scene.held("vault").len(), 2);
}
