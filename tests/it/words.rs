//! What people read of each command, whole: a site with two nights, of which the second has a damaged database.

use std::fmt::Write as _;
use std::fs;

use crate::harness::{Scene, at, noise, touch};
use crate::synthetic::{Data, log};

const FIRST: &str = "2021-11-22T23:59:00Z";
const SECOND: &str = "2021-11-23T23:59:00Z";

fn night(scene: &Scene, damaged: bool, completed: &str) {
    let mut database = Data::default().build();
    if damaged {
        database[20 * 8192 + 3000] ^= 4;
    }
    scene.file("SiteServer/SMSServer/data/hman.ini", b"[hman]\r\n");
    scene.file("SiteDBServer/CM_XYZ.mdf", &database);
    scene.file("SiteDBServer/CM_XYZ_log.ldf", &log(0, 26));
    scene.file("CD.Latest/SMSSETUP/BIN/X64/setup.exe", &noise(2, 2000));
    scene.complete(completed);
}

#[test]
fn what_people_read_of_each_command() {
    let mut scene = Scene::bare();
    scene.destination("offsite");
    scene.section("[[supplemental]]\nname = 'Keys'\npath = 'keys/*'\noptional = true");
    scene.section("[report]\noverdue = '100 years'");
    let mut text = String::new();
    let mut say = |scene: &Scene, args: &[&str]| {
        let output = scene.run(args);
        let code = output.code.unwrap();
        let printed = scene.normalised(&output.stdout);
        let noted = scene.normalised(&output.stderr);
        writeln!(text, "> afterbackup {}", args.join(" ")).unwrap();
        text += &printed;
        if !noted.trim().is_empty() {
            writeln!(text, "[standard error]\n{}", noted.trim_end()).unwrap();
        }
        writeln!(text, "[exit code {code}]\n").unwrap();
    };
    say(&scene, &["status"]);
    night(&scene, false, FIRST);
    fs::create_dir(scene.path("keys")).unwrap();
    fs::write(scene.path("keys/rs.snk"), "key").unwrap();
    touch(&scene.path("keys/rs.snk"), at(FIRST));
    for args in [&["run"][..], &["run"], &["list"], &["show", "latest"], &["show", "latest", "--files"], &["status"]] {
        say(&scene, args);
    }
    night(&scene, true, SECOND);
    for args in [
        &["run"][..],
        &["list"],
        &["list", "--wide"],
        &["show", "latest"],
        &["status"],
        &["verify"],
        &["check-db", "E/XYZBackup/SiteDBServer/CM_XYZ.mdf"],
        &["pin", "latest", "--reason", "before the upgrade"],
        &["prune", "--dry-run"],
        &["unpin", "latest"],
        &["fetch", "latest-good", "--to", "back", "Supplemental"],
        &["fetch", "latest-good", "--to", "back", "Supplemental"],
        &["fetch", "latest", "--to", "damaged", "**/hman.ini"],
        &["recover", "plan", "latest", "--site-type", "primary"],
    ] {
        say(&scene, args);
    }
    insta::assert_snapshot!(text);
}
