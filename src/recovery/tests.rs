//! The rules as a whole: scripts as people have them, and every combination of options against a plain restatement of
//! Microsoft's tables.

use super::check::{Checked, Severity, check};
use super::facts::{ArchiveFacts, CdLatest, DatabaseFile, DatabaseSource, Soundness};
use super::ini;
use super::keys::{SiteType, Vintage};
use super::script::{Given, Origin, Script, defaults, from_archive, refused_by_archive, write};

const SECRET: &str = "ABCDE-12345-FGHIJ-67890-KLMNO";

fn judged(text: &str, rules: Vintage) -> Checked {
    check(&ini::read(text.as_bytes()), rules)
}

/// Codes of findings of this weight, with their lines.
fn found(checked: &Checked, severity: Severity) -> Vec<(Option<usize>, &'static str)> {
    checked.findings.iter().filter(|one| one.severity == severity).map(|one| (one.line, one.code)).collect()
}

/// The recovery script of a lab, as it is published (names are those of a training course).
const LAB: &str = r"[Identification]
Action=RecoverPrimarySite

CDLatest=1

[Options]
ProductID=EVAL
SiteCode=001
SiteName=Training Lab
SMSInstallDir=c:\ConfigMgr
SDKServer=SRV0002.classroom.intranet
PrerequisiteComp=1
PrerequisitePath=\\srv0001\TrainingFiles\Source\SCCMCB\Redist
AdminConsole=0
JoinCEIP=0

[SQLConfigOptions]
SQLServerName=SRV0002.classroom.intranet
DatabaseName=CM_001
SQLSSBPort=4022
SQLDataFilePath=C:\SQLServer\MSSQL13.MSSQLSERVER\MSSQL\DATA\
SQLLogFilePath=C:\SQLServer\MSSQL13.MSSQLSERVER\MSSQL\DATA\

[CloudConnectorOptions]
CloudConnector=0
CloudConnectorServer=
UseProxy=0
ProxyName=
ProxyPort=

[SystemCenterOptions]
SysCenterId=noBrzNn4z23AIHXl/w4kkO1Cp5bc/pxa6q23N56BIUM=

[HierarchyExpansionOption]

[RecoveryOptions]
ServerRecoveryOptions=4
DatabaseRecoveryOptions=10
BackupLocation=\\srv0001\SCCMBackup\001Backup
";

#[test]
fn a_script_in_use_passes_with_the_warnings_it_deserves() {
    for rules in Vintage::ALL {
        let checked = judged(LAB, rules);
        assert_eq!(found(&checked, Severity::Error), []);
        // The console is not for SQL Server alone; UseProxy not without the connector; the last two are in no table.
        let expected = [
            (Some(14), "not-used"),
            (Some(27), "not-used"),
            (Some(31), "undocumented-section"),
            (Some(32), "undocumented-key"),
        ];
        assert_eq!(found(&checked, Severity::Warning), expected, "{rules}");
        assert!(checked.findings.iter().all(|one| !one.message.is_empty() && !one.source.to_string().is_empty()));
    }
    let notes = found(&judged(LAB, Vintage::Y2022), Severity::Note);
    assert_eq!(notes, [(Some(26), "empty"), (Some(28), "empty"), (Some(29), "empty")]);
}

#[test]
fn an_installation_script_is_told_from_a_recovery_in_one_error() {
    let text = "[Identification]\nAction=InstallPrimarySite\nCDLatest=1\n[Options]\nSiteCode=XYZ\nManagementPoint=a.b.c\n[SABranchOptions]\nSAActive=1\n";
    for rules in Vintage::ALL {
        let errors = found(&judged(text, rules), Severity::Error);
        assert_eq!(errors, [(Some(2), "not-a-recovery")]);
    }
}

#[test]
fn faults_are_told_all_at_once_with_lines_and_suggestions() {
    let text = LAB
        .replace("SiteName=", "SitName=")
        .replace("[SQLConfigOptions]", "[SQLConfigOption]")
        .replace("AdminConsole=0", "AdminConsole=0\nJoinCEIP=1\n[Options]\nSiteCode=002")
        .replace("ServerRecoveryOptions=4", "ServerRecoveryOptions=3")
        .replace(r"SMSInstallDir=c:\ConfigMgr", "SDKSERVER=x");
    let text = format!("SiteCode=001\n{text}");
    let checked = judged(&text, Vintage::Y2022);
    let errors = found(&checked, Severity::Error);
    for expected in [
        (Some(1), "outside-sections"),
        (Some(10), "misspelt-key"),
        (Some(9), "duplicate-key"),
        (Some(11), "bad-value"),
        (Some(12), "duplicate-key"),
        (Some(16), "bad-value"),
        (Some(17), "duplicate-section"),
        (Some(18), "duplicate-key"),
        (Some(19), "duplicate-key"),
        (Some(21), "misspelt-section"),
        (Some(41), "bad-value"),
        (None, "missing"),
    ] {
        assert!(errors.contains(&expected), "{expected:?} is not in {errors:?}");
    }
    let hints: Vec<&str> = checked.findings.iter().filter_map(|one| one.hint.as_deref()).collect();
    assert!(
        hints.contains(&"did you mean SiteName?") && hints.contains(&"did you mean [SQLConfigOptions]?"),
        "{hints:?}"
    );
}

#[test]
fn what_is_missing_is_told_with_its_reason() {
    let missing = |text: &str, rules| -> Vec<String> {
        let checked = judged(text, rules);
        checked.findings.into_iter().filter(|one| one.code == "missing").map(|one| one.message).collect()
    };
    let without = |line: &str| LAB.replace(&format!("{line}\n"), "");
    for (text, rules, expected) in [
        (without("SiteName=Training Lab"), Vintage::Y2016, &["SiteName is missing"][..]),
        (without("SiteName=Training Lab"), Vintage::Y2022, &[]),
        (without("SQLSSBPort=4022"), Vintage::Y2016, &[]),
        (without("SQLSSBPort=4022"), Vintage::Y2022, &["SQLSSBPort is missing"]),
        (without("CloudConnector=0"), Vintage::Y2016, &[]),
        (without("CloudConnector=0"), Vintage::Y2022, &["CloudConnector is missing"]),
        (
            without("DatabaseRecoveryOptions=10"),
            Vintage::Y2022,
            &["DatabaseRecoveryOptions is missing; it is required with ServerRecoveryOptions=4"],
        ),
        (
            without(r"BackupLocation=\\srv0001\SCCMBackup\001Backup"),
            Vintage::Y2016,
            &["BackupLocation is missing; it is required with ServerRecoveryOptions=4 and DatabaseRecoveryOptions=10"],
        ),
        (
            LAB.replace("ServerRecoveryOptions=4", "ServerRecoveryOptions=1").replace("AdminConsole=0\n", ""),
            Vintage::Y2022,
            &["AdminConsole is missing; it is required with ServerRecoveryOptions=1"],
        ),
        (
            LAB.replace("CloudConnector=0", "CloudConnector=1"),
            Vintage::Y2022,
            &["CloudConnectorServer has no value; it is required with CloudConnector=1"],
        ),
        (LAB.replace("SiteCode=001", "SiteCode="), Vintage::Y2022, &["SiteCode has no value"]),
    ] {
        assert_eq!(missing(&text, rules), expected, "{rules}");
    }
}

#[test]
fn contradictions_are_errors() {
    let with = |from: &str, to: &str| {
        let checked = judged(&LAB.replace(from, to), Vintage::Y2022);
        found(&checked, Severity::Error)
    };
    for (from, to, expected) in [
        ("DatabaseRecoveryOptions=10", "DatabaseRecoveryOptions=40", &[(Some(38), "new-database-stand-alone")][..]),
        ("DatabaseRecoveryOptions=10", "DatabaseRecoveryOptions=80", &[(Some(38), "nothing-recovered")]),
        ("SCCMBackup\\001Backup", "SCCMBackup\\002Backup", &[(Some(39), "other-site")]),
        (
            "[HierarchyExpansionOption]",
            "[HierarchyExpansionOption]\nReferenceSite=p01.contoso.com",
            &[(Some(35), "wrong-section"), (Some(35), "other-action")],
        ),
        ("[HierarchyExpansionOption]", "[HierarchyExpansionOptions]\nCCARSiteServer=001", &[(Some(35), "own-parent")]),
        ("Action=RecoverPrimarySite", "Action=RecoverCCAR", &[]),
        (
            "[HierarchyExpansionOption]",
            "[Hierarchy ExpansionOption]\nCCARSiteServer=cas.contoso.com\nWaitForCASTimeout=100",
            &[],
        ),
    ] {
        assert_eq!(with(from, to), expected, "{to}");
    }
    let child = LAB
        .replace("[HierarchyExpansionOption]", "[HierarchyExpansionOption]\nCCARSiteServer=cas.contoso.com")
        .replace("CloudConnector=0\nCloudConnectorServer=", "CloudConnector=1\nCloudConnectorServer=a");
    assert_eq!(found(&judged(&child, Vintage::Y2022), Severity::Error), [(Some(25), "cloud-connector-child")]);
}

#[test]
fn a_product_key_is_in_no_finding() {
    for text in [
        LAB.replace("ProductID=EVAL", &format!("ProductID={SECRET}X")),
        LAB.replace("ProductID=EVAL", &format!("ProduktID={SECRET}")),
        LAB.replace("ProductID=EVAL", &format!("{SECRET}=ProductID")),
        LAB.replace("ProductID=EVAL", &format!("ProductID {SECRET}")),
        LAB.replace("ProductID=EVAL", &format!("[{SECRET}]")),
        LAB.replace("SiteCode=001", &format!("SiteCode={SECRET}")),
    ] {
        let json = serde_json::to_string(&judged(&text, Vintage::Y2022)).unwrap();
        assert!(!json.contains("12345"), "{json}");
    }
}

/// A choice of options; `None` is a key that is not given.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_excessive_bools, reason = "each is a key that is given or not")]
struct Choice {
    site: SiteType,
    server: &'static str,
    database: Option<&'static str>,
    backup: bool,
    site_backup: bool,
    console: Option<&'static str>,
    reference: bool,
    cas: Option<&'static str>,
    ceip: &'static str,
    connector: &'static str,
    connector_server: bool,
    proxy: Option<&'static str>,
    proxy_name: bool,
    proxy_port: bool,
}

const FLAGS: [bool; 2] = [false, true];
const OPTIONAL: [Option<&str>; 3] = [None, Some("0"), Some("1")];

/// Every combination of the keys that depend on each other.
fn choices() -> impl Iterator<Item = Choice> {
    let recovery = SiteType::ALL.into_iter().flat_map(|site| {
        ["1", "2", "4"].into_iter().flat_map(move |server| {
            [None, Some("10"), Some("20"), Some("40"), Some("80")].into_iter().flat_map(move |database| {
                FLAGS.into_iter().flat_map(move |backup| {
                    FLAGS.into_iter().map(move |site_backup| (site, server, database, backup, site_backup))
                })
            })
        })
    });
    let rest = |(site, server, database, backup, site_backup)| {
        OPTIONAL.into_iter().flat_map(move |console| {
            FLAGS.into_iter().flat_map(move |reference| {
                [None, Some("CAS"), Some("cas01.contoso.com")].into_iter().map(move |cas| Choice {
                    site,
                    server,
                    database,
                    backup,
                    site_backup,
                    console,
                    reference,
                    cas,
                    ceip: "0",
                    connector: "0",
                    connector_server: false,
                    proxy: None,
                    proxy_name: false,
                    proxy_port: false,
                })
            })
        })
    };
    let cloud = |choice: Choice| {
        ["0", "1"].into_iter().flat_map(move |connector| {
            FLAGS.into_iter().flat_map(move |connector_server| {
                OPTIONAL.into_iter().flat_map(move |proxy| {
                    FLAGS.into_iter().flat_map(move |proxy_name| {
                        FLAGS.into_iter().flat_map(move |proxy_port| {
                            ["0", "1"].into_iter().map(move |ceip| Choice {
                                ceip,
                                connector,
                                connector_server,
                                proxy,
                                proxy_name,
                                proxy_port,
                                ..choice
                            })
                        })
                    })
                })
            })
        })
    };
    recovery.flat_map(rest).flat_map(cloud)
}

impl Choice {
    fn values(&self) -> Vec<(&'static str, &'static str)> {
        let mut values = vec![
            ("CDLatest", "1"),
            ("ServerRecoveryOptions", self.server),
            ("ProductID", "Eval"),
            ("SiteCode", "XYZ"),
            ("SiteName", "Contoso"),
            ("SMSInstallDir", r"D:\ConfigMgr"),
            ("SDKServer", "cm01.contoso.com"),
            ("PrerequisiteComp", "1"),
            ("PrerequisitePath", r"E:\XYZBackup\CD.Latest\redist"),
            ("JoinCEIP", self.ceip),
            ("SQLServerName", "cm01.contoso.com"),
            ("DatabaseName", "CM_XYZ"),
            ("SQLSSBPort", "4022"),
            ("CloudConnector", self.connector),
        ];
        let mut add = |is_given: bool, key, value| {
            if is_given {
                values.push((key, value));
            }
        };
        add(self.database.is_some(), "DatabaseRecoveryOptions", self.database.unwrap_or_default());
        add(self.backup, "BackupLocation", r"E:\XYZBackup");
        add(self.site_backup, "SiteServerBackupLocation", r"E:\XYZBackup");
        add(self.console.is_some(), "AdminConsole", self.console.unwrap_or_default());
        add(self.reference, "ReferenceSite", "p01.contoso.com");
        add(self.cas.is_some(), "CCARSiteServer", self.cas.unwrap_or_default());
        add(self.connector_server, "CloudConnectorServer", "cm01.contoso.com");
        add(self.proxy.is_some(), "UseProxy", self.proxy.unwrap_or_default());
        add(self.proxy_name, "ProxyName", "proxy.contoso.com");
        add(self.proxy_port, "ProxyPort", "8080");
        values
    }

    /// Exactly what was chosen, as somebody would write it by hand.
    fn by_hand(&self) -> String {
        let values = self.values();
        let mut text = format!("[Identification]\nAction={}\n", self.site.action());
        for section in super::keys::sections() {
            if section != "Identification" {
                text = text + "[" + section + "]\n";
            }
            for (key, value) in values.iter().filter(|(key, _)| super::keys::key(key).section == section) {
                text = text + key + "=" + value + "\n";
            }
        }
        text
    }

    fn script(&self) -> Option<Script> {
        let mut given: Vec<Given> =
            self.values().into_iter().map(|(key, value)| Given::new(key, value, Origin::Flag, "test")).collect();
        given.extend(defaults());
        write(self.site, &given, &[]).ok()
    }

    /// Microsoft's rules once more, in plain conditions, apart from the table. What a script by hand has to bring
    /// itself, the writer adds or leaves out.
    fn is_allowed(&self, by_hand: bool) -> bool {
        // A script by hand is of a child site because it names the central administration site.
        let is_primary = self.site != SiteType::Cas;
        let is_child = if by_hand { is_primary && self.cas.is_some() } else { self.site == SiteType::ChildPrimary };
        let recovers_sql = self.server == "1" || self.server == "4";
        let database = self.database.filter(|_| recovers_sql);
        let database_ok = match (recovers_sql, database) {
            (true, None) => false,
            (true, Some("10")) => self.backup,
            (true, Some("40")) if self.site == SiteType::Cas => self.reference,
            (true, Some("40")) => is_child,
            (true, Some("80")) => self.server != "4",
            (false, _) | (true, Some(_)) => true,
        };
        let uses_reference = matches!(database, Some("10" | "20" | "40"));
        let reference_ok = !is_primary || !self.reference || (!by_hand && !uses_reference);
        let cas_ok = match self.site {
            SiteType::Cas => self.cas.is_none(),
            SiteType::Primary => by_hand || self.cas.is_none(),
            SiteType::ChildPrimary => by_hand || self.cas.is_some(),
        };
        let console_ok = !by_hand || self.console.is_some() || self.server == "4";
        let proxy_ok = match self.proxy {
            None => !by_hand,
            Some("0") => true,
            Some(_) => self.proxy_name && self.proxy_port,
        };
        let connector_ok = self.connector == "0" || (self.connector_server && proxy_ok && !is_child);
        database_ok && reference_ok && cas_ok && console_ok && connector_ok && self.ceip == "0"
    }
}

/// Judges choices; how many scripts were written.
fn agree(choices: impl Iterator<Item = Choice>) -> (usize, usize) {
    let (mut all, mut written) = (0, 0);
    for choice in choices {
        all += 1;
        let script = choice.script();
        assert_eq!(script.is_some(), choice.is_allowed(false), "{choice:?}");
        if let Some(script) = script {
            written += 1;
            for rules in Vintage::ALL {
                let checked = judged(&script.text, rules);
                // Nothing that is not used, either; the one key whose tables exclude each other may warn.
                let others = checked.findings.iter().filter(|one| {
                    one.severity != Severity::Note
                        && !(one.severity == Severity::Warning && one.key.as_deref() == Some("CCARSiteServer"))
                });
                assert_eq!(others.count(), 0, "{choice:?} {checked:?}");
            }
        }
        let text = choice.by_hand();
        let passes = Vintage::ALL.iter().all(|&rules| judged(&text, rules).passes());
        assert_eq!(passes, choice.is_allowed(true), "{choice:?} {:?}", judged(&text, Vintage::Y2022).findings);
    }
    (all, written)
}

/// The options of recovery and those of the connector meet in the kind of site alone: every combination of each, with a
/// few of the other.
#[test]
fn writer_and_checker_agree_with_the_rules_on_every_combination_of_options() {
    let few = |choice: &Choice| {
        let plain_cloud = choice.ceip == "0"
            && matches!(
                (choice.connector, choice.connector_server, choice.proxy, choice.proxy_name, choice.proxy_port),
                ("0", false, None, false, false) | ("1", true, Some("0"), false, false)
            );
        let plain_recovery = choice.server == "1"
            && choice.database == Some("10")
            && choice.backup
            && choice.site_backup
            && choice.console == Some("1")
            && !choice.reference;
        plain_cloud || plain_recovery
    };
    let (all, written) = agree(choices().filter(few));
    println!("{all} combinations of options, {written} scripts written, {} refused", all - written);
    assert!(written > 500 && all > 6000, "{all} {written}");
}

#[test]
#[ignore = "minutes: the full product"]
fn writer_and_checker_agree_with_the_rules_on_the_full_product_of_options() {
    let threads = 4;
    let (all, written) = std::thread::scope(|scope| {
        let parts: Vec<_> =
            (0..threads).map(|part| scope.spawn(move || agree(choices().skip(part).step_by(threads)))).collect();
        parts.into_iter().map(|part| part.join().unwrap()).fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
    });
    println!("{all} combinations of options, {written} scripts written, {} refused", all - written);
}

fn facts() -> ArchiveFacts {
    let id: crate::name::ArchiveId = "XYZ-20261122T235900Z".parse().unwrap();
    ArchiveFacts {
        completed: id.stamp(),
        id,
        bytes: 1,
        unpacked_bytes: 2,
        encrypted: false,
        backup_folder: Some("XYZBackup".into()),
        database_folder: Some("XYZBackup".into()),
        has_site: true,
        database: DatabaseSource::Files,
        cd_latest: Some(CdLatest { folder: "XYZBackup/CD.Latest".into(), setup: true, redist: true }),
        files: vec![DatabaseFile {
            path: "XYZBackup/SiteDBServer/CM_XYZ.mdf".into(),
            database: Some("CM_XYZ".into()),
            sql_server: Some("2019".into()),
            bytes: 8192,
        }],
        soundness: Soundness::Sound,
        supplemental: vec![],
    }
}

fn named() -> Vec<Given> {
    [
        ("ProductID", SECRET),
        ("SiteName", "Z\u{fc}rich"),
        ("SMSInstallDir", r"D:\ConfigMgr"),
        ("SDKServer", "cm01.contoso.com"),
        ("SQLServerName", "cm01.contoso.com"),
    ]
    .map(|(key, value)| Given::new(key, value, Origin::Answers, super::keys::key(key).about))
    .into_iter()
    .chain(defaults())
    .collect()
}

#[test]
fn the_archive_fills_in_what_it_knows() {
    let given: Vec<Given> = named().into_iter().chain(from_archive(&facts(), Some(r"E:\Restore\"))).collect();
    let script = write(SiteType::Primary, &given, &["heading\nof two lines".to_owned()]).unwrap();
    let text = &script.text;
    for line in [
        "[Identification]",
        "Action=RecoverPrimarySite",
        "CDLatest=1",
        "ServerRecoveryOptions=1",
        "DatabaseRecoveryOptions=10",
        r"BackupLocation=E:\Restore\XYZBackup",
        r"SiteServerBackupLocation=E:\Restore\XYZBackup",
        r"PrerequisitePath=E:\Restore\XYZBackup\CD.Latest\redist",
        "PrerequisiteComp=1",
        "SiteCode=XYZ",
        "DatabaseName=CM_XYZ",
        "; heading of two lines",
    ] {
        assert!(text.contains(&format!("{line}\r\n")), "{line} is not in\n{text}");
    }
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
    // Every value has its comment.
    let lines: Vec<&str> = text.lines().collect();
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| line.contains('=') && !line.starts_with(';')) {
        assert!(lines[at - 1].starts_with("; "), "{}", lines[at]);
    }
    assert_eq!((&script.left_out[..], &script.warnings[..]), (&[][..], &[][..]));
    // With letters beyond ASCII it is UTF-16 unless asked otherwise, and reads back.
    for store in [None, Some(ini::Store::Utf8), Some(ini::Store::Utf16Le)] {
        let bytes = script.bytes(store);
        assert_eq!(bytes.starts_with(&[0xff, 0xfe]), store != Some(ini::Store::Utf8));
        let read = ini::read(&bytes);
        assert!(check(&read, Vintage::Y2022).passes());
        assert!(read.entries.iter().any(|entry| entry.value == "Z\u{fc}rich"));
    }
    assert!(!format!("{script:?}{given:?}").contains("12345"));
}

#[test]
fn an_archive_is_refused_for_what_it_is_not_good_for() {
    let codes = |facts: &ArchiveFacts, more: &[(&str, &str)], accept| -> Vec<&'static str> {
        let mut given: Vec<Given> = named().into_iter().chain(from_archive(facts, Some(r"E:\Restore"))).collect();
        given.extend(more.iter().map(|(key, value)| Given::new(key, *value, Origin::Flag, "test")));
        refused_by_archive(facts, &given, accept).iter().map(|one| one.code).collect()
    };
    let damaged = ArchiveFacts { soundness: Soundness::Damaged("1 page is damaged".into()), ..facts() };
    let sql = ArchiveFacts { database: DatabaseSource::Backups, has_site: false, ..facts() };
    let none = ArchiveFacts { database: DatabaseSource::None, database_folder: None, ..facts() };
    assert_eq!(codes(&facts(), &[], false), [""; 0]);
    assert_eq!(codes(&damaged, &[], false), ["damaged-database"]);
    assert_eq!(codes(&damaged, &[], true), [""; 0]);
    assert_eq!(codes(&damaged, &[("DatabaseRecoveryOptions", "20")], false), [""; 0]);
    assert_eq!(codes(&damaged, &[("ServerRecoveryOptions", "2")], false), [""; 0]);
    assert_eq!(codes(&sql, &[], false), [""; 0]);
    assert_eq!(codes(&sql, &[("DatabaseRecoveryOptions", "10")], false), ["sql-backups"]);
    assert_eq!(
        codes(&none, &[("ServerRecoveryOptions", "1"), ("DatabaseRecoveryOptions", "10")], false),
        ["no-database"]
    );
    // What the archive lacks has to be given.
    let bare = ArchiveFacts { cd_latest: None, ..facts() };
    let given: Vec<Given> = named().into_iter().chain(from_archive(&bare, Some(r"E:\Restore"))).collect();
    let refused = write(SiteType::Primary, &given, &[]).unwrap_err();
    assert!(refused.iter().any(|one| one.message.starts_with("PrerequisitePath is missing")), "{refused:?}");
}

#[test]
fn a_value_cannot_bring_lines_of_its_own() {
    for value in ["Contoso\r\nSiteCode=ABC", "a\0b", &"x".repeat(5000)] {
        let mut given: Vec<Given> = named().into_iter().chain(from_archive(&facts(), Some(r"E:\Restore"))).collect();
        given.push(Given::new("SiteName", value, Origin::Flag, "test"));
        let refused = write(SiteType::Primary, &given, &[]).unwrap_err();
        assert_eq!(refused[0].code, "not-one-line");
    }
}

#[test]
fn what_is_not_used_is_left_out_and_told_only_if_it_was_asked_for() {
    let mut given: Vec<Given> = named().into_iter().chain(from_archive(&facts(), Some(r"E:\Restore"))).collect();
    given.push(Given::new("ServerRecoveryOptions", "4", Origin::Flag, "test"));
    given.push(Given::new("ProxyName", "proxy", Origin::Flag, "test"));
    let script = write(SiteType::Primary, &given, &[]).unwrap();
    assert!(!script.text.contains("AdminConsole=") && !script.text.contains("SiteServerBackupLocation="));
    assert_eq!(script.left_out.len(), 1, "{:?}", script.left_out);
    assert!(script.left_out[0].starts_with("ProxyName is not used"));
}
