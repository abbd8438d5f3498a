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

/// What a terminal obeys: an escape sequence, one of a single byte, a line feed that forges a line, and a mark that
/// turns text round.
const NASTY: &str = "x\u{1b}[2J\u{9b}1m\nfake: all is well\u{202e}";

/// No byte below 0x20 but line feeds of our own reaches a terminal, whatever snapshot, pins and manifests say.
#[test]
fn nothing_that_a_terminal_obeys_is_printed() {
    let mut scene = Scene::bare();
    night(&scene, false, FIRST);
    scene.file(&format!("SiteServer/{NASTY}/file"), b"x");
    std::os::unix::fs::symlink("/", scene.snapshot().join(format!("SiteServer/link {NASTY}"))).unwrap();
    scene.complete(FIRST);
    let folder = scene.path(&format!("keys {NASTY}"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join(NASTY), "key").unwrap();
    scene.section("[[supplemental]]\nname = 'Keys'\npath = 'keys*/*'\nbefore = 'printf \"\\033[2J\\n\"; exit 1'");
    let mut printed = Vec::new();
    let mut say = |scene: &Scene, args: &[&str]| {
        let output = scene.run(args);
        printed.push((args.join(" "), output.stdout, output.stderr));
    };
    let everything: [&[&str]; 14] = [
        &["run"],
        &["-v", "run"],
        &["list", "--wide"],
        &["show", "latest"],
        &["show", "latest", "--files"],
        &["status"],
        &["status", "--nagios"],
        &["verify"],
        &["prune", "--dry-run"],
        &["check-db", "E/XYZBackup"],
        &["pin", "latest", "--reason", NASTY],
        &["recover", "plan", "latest", "--site-type", "primary"],
        &["recover", "checklist", "latest", "--site-type", "primary"],
        &["fetch", "latest", "--to", "back"],
    ];
    for args in everything {
        say(&scene, args);
        say(&scene, &[&["--json"], args].concat());
    }
    // Somebody else writes into the manifest, and cuts the archive.
    let manifest = scene.path("vault/XYZ/XYZ-20211122T235900Z.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    for key in ["host", "program", "completion_evidence"] {
        json[key] = NASTY.into();
    }
    json["databases"][0]["name"] = NASTY.into();
    json["parts"][0]["path"] = NASTY.into();
    json["parts"][0]["kind"] = NASTY.into();
    fs::write(&manifest, json.to_string()).unwrap();
    for args in everything {
        say(&scene, args);
        say(&scene, &[&["--json"], args].concat());
    }
    let mut seen = 0;
    for (args, stdout, stderr) in printed {
        for text in [&stdout, &stderr] {
            let hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!text.contains(hidden), "{args:?}: {text:?}");
            assert!(!text.lines().any(|line| line.starts_with("fake:")), "{args:?}: {text}");
            seen += usize::from(text.contains("fake: all is well"));
        }
    }
    assert!(seen > 15, "only {seen} texts had anything to show");
}
