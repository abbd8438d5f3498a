//! `recover`: plan, script, check, checklist and drill, by what they print, write and end with.

use std::fs;

use serde_json::Value;

use crate::harness::{COMPLETED, ID, Scene, noise};
use crate::synthetic::{Data, log};

const KEY: &str = "ABCDE-12345-FGHIJ-67890-KLMNO";

/// A site with a sound database and CD.Latest with Setup and prerequisites.
fn site() -> Scene {
    let scene = Scene::bare();
    scene.file("SiteServer/SMSServer/data/hman.ini", b"[hman]\r\n");
    scene.file("SiteDBServer/CM_XYZ.mdf", &Data::default().build());
    scene.file("SiteDBServer/CM_XYZ_log.ldf", &log(0, 26));
    scene.file("CD.Latest/SMSSETUP/BIN/X64/setup.exe", &noise(2, 2000));
    scene.file("CD.Latest/redist/msodbcsql.msi", &noise(3, 2000));
    scene.complete(COMPLETED);
    scene
}

/// With a bit flipped in page 20.
fn damaged() -> Scene {
    let scene = site();
    let mut bytes = Data::default().build();
    bytes[20 * 8192 + 3000] ^= 4;
    scene.file("SiteDBServer/CM_XYZ.mdf", &bytes);
    scene.complete(COMPLETED);
    scene
}

fn archived(scene: Scene, code: i32) -> Scene {
    scene.run(&["run"]).exits(code);
    scene
}

const ANSWERS: &str = "site-type = 'primary'\nproduct-id = 'ABCDE-12345-FGHIJ-67890-KLMNO'\nsite-name = 'Contoso'\n\
                       sms-install-dir = 'D:\\ConfigMgr'\nsdk-server = 'cm01.contoso.com'\nsql-server-name = 'cm01.contoso.com'\n";

fn answers(scene: &Scene, text: &str) {
    fs::write(scene.path("answers.toml"), text).unwrap();
}

#[test]
fn plan_needs_to_be_told_the_kind_of_site_and_asks_once() {
    let scene = archived(site(), 0);
    let output = scene.run(&["recover", "plan", "latest"]).exits(2);
    assert_eq!(output.stderr.matches("--site-type").count(), 2, "{output}");
    scene.run(&["recover", "plan", "--site-type", "secondary"]).exits(2).says("child-primary");
    scene
        .run(&["recover", "plan", "--site-type", "primary", "--reference-site", "p.x.y"])
        .exits(2)
        .says("central administration");
    scene.run(&["recover", "plan", "--site-type", "cas", "--reference-site", "p"]).exits(2).says("full domain name");
}

#[test]
fn plan_of_a_sound_old_archive() {
    let scene = archived(site(), 0);
    for (site, words) in [
        ("primary", "An old backup is still worth having"),
        ("child-primary", "Global data is reinitialised from the central administration site"),
        ("cas", "all primary sites reinitialise global data"),
    ] {
        let output = scene.run(&["recover", "plan", "--site-type", site]).exits(0).says(words).says("SQL Server 2019");
        assert!(output.stdout.contains("OLDER than the 5 days"), "{output}");
    }
    let recent = scene.run(&["recover", "plan", "--site-type", "cas", "--retention-days", "99999"]).exits(0);
    recent.says("come from all primary sites").says("inside the 99999 days");
    let json = scene.run(&["recover", "plan", ID, "--site-type", "primary", "--json"]).exits(0).json();
    assert_eq!((&json["window"], &json["site_type"]), (&"outside".into(), &"primary".into()));
    assert_eq!(json["archive"]["soundness"]["verdict"], "sound");
    let option = |value: &str| {
        let options = json["options"].as_array().unwrap();
        options.iter().find(|one| one["key"] == "DatabaseRecoveryOptions" && one["value"] == value).unwrap()["applies"]
            .clone()
    };
    assert_eq!((option("10"), option("40")), (Value::Bool(true), Value::Bool(false)));
}

#[test]
fn plan_of_a_damaged_database_ends_with_6_and_names_a_better_archive() {
    let scene = archived(site(), 0);
    let mut bytes = Data::default().build();
    bytes[20 * 8192 + 3000] ^= 4;
    scene.file("SiteDBServer/CM_XYZ.mdf", &bytes);
    scene.complete("2021-11-23T23:59:00Z");
    scene.run(&["run"]).exits(6).says("DAMAGED");
    let output = scene.run(&["recover", "plan", "latest", "--site-type", "primary"]).exits(6);
    output
        .says("DAMAGED: CM_XYZ: 1 page is damaged")
        .says(&format!("{ID}: it is the newest whose database is proven sound"));
    // Without a wish, the newest good one.
    let json = scene.run(&["recover", "plan", "--site-type", "primary", "--json"]).exits(0).json();
    assert_eq!(json["archive"]["id"], ID);
    assert_eq!(json["better"].as_array().unwrap().len(), 0);
}

#[test]
fn plan_of_an_archive_without_cd_latest_or_site_half_says_so() {
    let scene = Scene::bare();
    scene.file("SiteDBServer/CM_XYZ.mdf", &Data::default().build());
    scene.file("SiteDBServer/CM_XYZ_log.ldf", &log(0, 26));
    scene.file("SiteServer/a.ini", b"a");
    scene.complete(COMPLETED);
    scene.run(&["run"]).exits(0);
    let output = scene.run(&["recover", "plan", "latest", "--site-type", "primary"]).exits(0);
    output.says("The archive holds no CD.Latest");
}

#[test]
fn script_of_an_archive_passes_the_check_of_both_vintages() {
    let scene = archived(site(), 0);
    answers(&scene, ANSWERS);
    let script = [
        "recover",
        "script",
        "latest",
        "--answers",
        "answers.toml",
        "--fetched-to",
        r"E:\Restore",
        "--output",
        "XYZ.ini",
    ];
    let output = scene.run(&script).exits(0).says("passes the rules of 2016 and 2022").says_not("12345");
    assert_eq!(output.stderr.matches("warning: ").count(), 0, "{output}");
    let text = fs::read_to_string(scene.path("XYZ.ini")).unwrap();
    for line in [
        &format!("ProductID={KEY}"),
        "Action=RecoverPrimarySite",
        "SiteCode=XYZ",
        "DatabaseName=CM_XYZ",
        r"BackupLocation=E:\Restore\XYZBackup",
        r"SiteServerBackupLocation=E:\Restore\XYZBackup",
        r"PrerequisitePath=E:\Restore\XYZBackup\CD.Latest\redist",
    ] {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} is not in\n{text}");
    }
    for rules in ["2016", "2022"] {
        let json = scene.run(&["recover", "check", "XYZ.ini", "--rules", rules, "--json"]).exits(0).json();
        assert_eq!((&json["errors"], &json["warnings"]), (&0.into(), &0.into()), "{json}");
    }
    // Never over a file that is there.
    scene.run(&script).exits(1).says("already there");
}

#[test]
fn script_in_utf_16_and_to_standard_output() {
    let scene = archived(site(), 0);
    answers(&scene, ANSWERS);
    let script = ["recover", "script", "latest", "--answers", "answers.toml", "--fetched-to", r"E:\Restore"];
    let wide = [&script[..], &["--encoding", "utf-16le", "--output", "wide.ini", "--json"]].concat();
    let json = scene.run(&wide).exits(0).says_not("12345").json();
    assert!(json["keys"].as_array().unwrap().iter().any(|one| one["key"] == "ProductID" && one["origin"] == "answers"));
    assert!(fs::read(scene.path("wide.ini")).unwrap().starts_with(&[0xff, 0xfe, b';', 0]));
    scene.run(&["recover", "check", "wide.ini"]).exits(0).says("UTF-16LE");
    let output = scene.run(&script).exits(0);
    assert!(output.stdout.contains("[RecoveryOptions]\r\n"), "{output}");
    scene.run(&[&script[..], &["--json"]].concat()).exits(2).says("--json needs --output");
}

#[test]
fn script_refuses_what_the_rules_exclude() {
    let scene = archived(site(), 0);
    answers(&scene, ANSWERS);
    let script = |more: &[&str]| {
        let base = [
            "recover",
            "script",
            "latest",
            "--answers",
            "answers.toml",
            "--fetched-to",
            r"E:\Restore",
            "--output",
            "no.ini",
        ];
        scene.run(&[&base[..], more].concat())
    };
    for (more, words) in [
        (&["--database-recovery-options", "40"][..], "not for a stand-alone primary site"),
        (&["--join-ceip", "1"], "not allowed by the table of 2022"),
        (&["--site-type", "child-primary"], "CCARSiteServer is missing"),
        (&["--site-type", "cas", "--database-recovery-options", "40"], "ReferenceSite is missing"),
        (&["--ccar-site-server", "cas01.contoso.com"], "only for a primary site below"),
        (&["--site-code", "ABC"], "is the backup of site XYZ"),
        (&["--sdk-server", "cm01"], "not a full domain name"),
        (&["--product-id", KEY], "takes Eval only"),
    ] {
        script(more).exits(2).says(words).says_not("12345");
        assert!(!scene.path("no.ini").exists());
    }
    answers(&scene, &format!("{ANSWERS}sitename2 = 'x'\nproduct-idd = '{KEY}'\n"));
    script(&[]).exits(2).says("unknown key sitename2").says("did you mean product-id?").says_not("12345");
    script(&["--site-type", "x"]).exits(2).says("child-primary");
}

#[test]
fn script_of_a_damaged_database_is_refused_until_it_is_accepted() {
    let scene = archived(damaged(), 6);
    answers(&scene, ANSWERS);
    let script = [
        "recover",
        "script",
        "latest",
        "--answers",
        "answers.toml",
        "--fetched-to",
        r"E:\Restore",
        "--output",
        "x.ini",
    ];
    scene.run(&script).exits(2).says("Setup does not check it").says("--accept-damage");
    scene.run(&[&script[..], &["--accept-damage"]].concat()).exits(0).says("passes the rules");
}

#[test]
fn script_without_an_archive_takes_everything_from_flags() {
    let scene = Scene::bare();
    let flags = "recover script --site-type primary --backup-location E:\\Restore\\XYZBackup --server-recovery-options 1 \
                 --database-recovery-options 10 --product-id Eval --site-name Contoso --sms-install-dir D:\\CM --sdk-server a.b.c \
                 --sql-server-name a.b.c --database-name CM_XYZ --prerequisite-path E:\\redist";
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let output = scene.run(&flags).exits(0);
    assert!(output.stdout.contains("SiteCode=XYZ\r\n"), "{output}");
    scene.run(&flags[..flags.len() - 2]).exits(2).says("PrerequisitePath is missing");
}

#[test]
fn check_tells_all_faults_at_once_and_ends_with_2() {
    let scene = Scene::bare();
    let text =
        "Action=RecoverPrimarySite\r\n[Identification]\r\nAction=RecoverPrimrySite\r\n[Optons]\r\nSiteCode=XYZ1\r\n";
    fs::write(scene.path("bad.ini"), text).unwrap();
    let output = scene.run(&["recover", "check", "bad.ini"]).exits(2);
    for words in
        ["line 1: error", "line 4: error", "did you mean [Options]?", "SDKServer is missing", "rule: Microsoft's"]
    {
        assert!(output.stdout.contains(words), "{words}\n{output}");
    }
    fs::write(scene.path("bad.txt"), text).unwrap();
    scene.run(&["recover", "check", "bad.txt"]).exits(2).says("does not end with .ini");
    scene.run(&["recover", "check", "none.ini"]).exits(1).says("none.ini");
    scene.run(&["recover", "check", "bad.ini", "--rules", "2019"]).exits(2).says("2016 or 2022");
    fs::write(scene.path("empty.ini"), "").unwrap();
    scene.run(&["recover", "check", "empty.ini"]).exits(2).says("Action is missing");
}

#[test]
fn check_looks_at_paths_when_asked() {
    let scene = archived(site(), 0);
    answers(&scene, ANSWERS);
    scene
        .run(&[
            "recover",
            "script",
            "latest",
            "--answers",
            "answers.toml",
            "--fetched-to",
            r"Q:\Nowhere",
            "-o",
            "x.ini",
        ])
        .exits(0)
        .says("Wrote");
    scene.run(&["recover", "check", "x.ini"]).exits(0).says("passes");
    let json = scene.run(&["recover", "check", "x.ini", "--paths", "--json"]).exits(2).json();
    let paths = json["findings"].as_array().unwrap().iter().filter(|one| one["code"] == "path").count();
    assert_eq!(paths, 3, "{json}");
}

/// Texts of the nested commands follow the rules of the others.
#[test]
fn help_of_the_nested_commands_begins_with_a_capital_and_has_no_full_stop() {
    use clap::CommandFactory;
    let mut command = afterbackup::cli::Cli::command();
    command.build();
    let recover = command.find_subcommand("recover").unwrap();
    for sub in recover.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let texts =
            sub.get_arguments().map(|argument| argument.get_help().map(ToString::to_string).unwrap_or_default());
        for text in texts.chain(sub.get_about().map(ToString::to_string)) {
            assert!(text.starts_with(char::is_uppercase) || text.starts_with("SQL"), "{}: {text}", sub.get_name());
            assert!(!text.ends_with('.'), "{}: {text}", sub.get_name());
        }
    }
}
