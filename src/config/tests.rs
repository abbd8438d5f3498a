//! Whole configurations and whole error reports.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use proptest::prelude::*;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::load::{ROOT, validate};
use super::locate::locate_with;
use super::text::{Key, Kind};
use super::*;
use crate::retention::policy::Policy;
use crate::retention::tiers::{NightlyOn, Tiers};

const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
const MINIMAL: &str =
    "[snapshot]\npath = 'E:\\ConfigMgr_Backup'\n[[destination]]\nname = 'vault'\npath = '\\\\backup01\\configmgr$'\n";

fn nothing(_: &str) -> Option<String> {
    None
}

fn file() -> &'static Path {
    Path::new("/nowhere/afterbackup.toml")
}

fn read(text: &str) -> Config {
    Config::from_text(text, file(), &nothing).unwrap()
}

/// A configuration as it is read on Windows.
fn for_windows(text: &str, env: Env<'_>) -> Result<Config, ConfigError> {
    validate(text, file(), env, true)
}

/// The report for a faulty configuration, as it is printed.
fn report(text: &str) -> String {
    let error = Config::from_text(text, file(), &nothing).unwrap_err();
    error.to_string().replace("/nowhere/", "")
}

fn parsed(text: &str) -> Result<Config, ConfigError> {
    Config::from_text(text, file(), &nothing)
}

/// The report for additions to a configuration that has no other faults.
fn report_of(addition: &str) -> String {
    report(&format!("{addition}\n{MINIMAL}"))
}

/// The report for additions to a bucket.
fn report_of_bucket(addition: &str) -> String {
    report(&format!("{MINIMAL}[[destination]]\nname = 'b'\nurl = 's3://b/p'\n{addition}\n"))
}

#[test]
fn differential_archives_are_asked_for_by_their_section() {
    let tiers = |addition: &str| read(&format!("{addition}\n{MINIMAL}")).differential;
    let days = |days: u64| Duration::from_hours(24 * days);
    assert_eq!(tiers(""), None);
    assert_eq!(tiers("[differential]"), Some(Tiers::default()));
    let all = "[differential]\nfull-every = \"14 days\"\nweekly-every = \"never\"\nnightly-on = \"previous\"\nmax-share = \"50 %\"";
    let nightly_on = NightlyOn::Previous;
    let expected = Tiers { full_every: days(14), weekly_every: None, nightly_on, max_share: 50 };
    assert_eq!(tiers(all), Some(expected));
    let weekly = tiers("[differential]\nfull-every = \"7 days\"").unwrap();
    assert_eq!((weekly.full_every, weekly.weekly_every), (days(7), None));
    for (wrong, words) in [
        ("full-every = \"5min\"", "is too short"),
        ("full-every = \"7 days\"\nweekly-every = \"8 days\"", "leaves no time for weekly archives"),
        ("weekly-every = \"0s\"", "leaves no time for weekly archives"),
        ("nightly-on = \"weekli\"", "did you mean \"weekly\"?"),
        ("max-share = \"0%\"", "'0%' is no share of a full archive"),
        ("max-share = \"33\"", "'33' is no share of a full archive"),
        ("nightly = \"weekly\"", "nightly-on"),
    ] {
        let report = report_of(&format!("[differential]\n{wrong}"));
        assert!(report.contains(words), "{wrong}: {report}");
    }
}

#[test]
fn differential_section_without_effect_is_warned_of() {
    let warned = |text: &str| {
        let warnings = read(text).warnings;
        warnings.iter().any(|words| words.contains("[differential] has no effect"))
    };
    assert!(!warned(&format!("[differential]\n{MINIMAL}")));
    assert!(warned(&format!("[differential]\n[archive]\nrecipients = ['{RECIPIENT}']\n{MINIMAL}")));
    let snapshot = "[snapshot]\npath = 'E:\\ConfigMgr_Backup'\n";
    assert!(warned(&format!("[differential]\n{snapshot}[[destination]]\nname = 'b'\nurl = 's3://b/p'\n")));
}

#[test]
fn minimal_configuration_has_the_defaults() {
    let config = read(MINIMAL);
    assert_eq!(config.snapshot.path, Path::new(r"E:\ConfigMgr_Backup"));
    assert_eq!(config.snapshot.quiet, Duration::from_mins(2));
    assert_eq!(config.archive.level, 3);
    assert!(config.archive.threads >= 1);
    let [destination] = config.destinations.as_slice() else { panic!("one destination") };
    assert!(matches!(&destination.location, Location::Folder(path) if path == Path::new(r"\\backup01\configmgr$")));
    assert_eq!(destination.verify, Verify::Full);
    assert_eq!(destination.retry_for, Duration::from_mins(5));
    assert_eq!(destination.stall_timeout, Duration::from_mins(15));
    assert_eq!(destination.sweep_after, Duration::from_hours(48));
    let policy = &destination.retention;
    assert_eq!((policy.last, policy.daily, policy.weekly, policy.monthly, policy.yearly), (7, 14, 8, 12, 0));
    assert_eq!(policy.within, Some(Duration::from_hours(120)));
    assert_eq!((policy.min_archives, policy.max_remove), (1, None));
}

#[test]
fn written_retention_replaces_the_default_and_destinations_inherit_key_by_key() {
    let config = read(
        "[snapshot]\npath = '/b'\n[retention]\ndaily = 3\nwithin = '1 day'\ntime-zone = 'Europe/Berlin'\nday-starts = 02:00:00\n\
         [[destination]]\nname = 'a'\npath = '/v'\n\
         [[destination]]\nname = 'b'\npath = '/w'\nretention = { monthly = 24, within = '0s', day-starts = '03:30' }\n",
    );
    let [first, second] = config.destinations.as_slice() else { panic!("two destinations") };
    let (first, second) = (&first.retention, &second.retention);
    assert_eq!((first.last, first.daily, first.monthly, first.min_archives), (0, 3, 0, 1));
    assert_eq!(first.within, Some(Duration::from_hours(24)));
    assert_eq!(first.time_zone.iana_name(), Some("Europe/Berlin"));
    assert_eq!(first.day_starts, jiff::civil::time(2, 0, 0, 0));
    assert_eq!((second.daily, second.monthly, second.within), (3, 24, None));
    assert_eq!(second.time_zone.iana_name(), Some("Europe/Berlin"));
    assert_eq!(second.day_starts, jiff::civil::time(3, 30, 0, 0));
}

#[cfg(unix)]
#[test]
fn relative_paths_start_at_the_configuration() {
    let config = read(
        "lock-file = 'x.lock'\n[snapshot]\npath = '../E/ConfigMgr_Backup'\nlog = 'smsbkup.log'\n\
         [[supplemental]]\nname = 'S'\npath = 'extra/*.sdf'\n[[destination]]\nname = 'a'\npath = './v'\n",
    );
    assert_eq!(config.snapshot.path, Path::new("/E/ConfigMgr_Backup"));
    assert_eq!(config.snapshot.log.as_deref(), Some(Path::new("/nowhere/smsbkup.log")));
    assert_eq!(config.supplemental[0].path, "/nowhere/extra/*.sdf");
    assert_eq!(config.lock_file, Path::new("/nowhere/x.lock"));
    assert!(matches!(&config.destinations[0].location, Location::Folder(path) if path == Path::new("/nowhere/v")));
}

#[test]
fn buckets_take_options_and_secrets_from_the_environment() {
    use secrecy::ExposeSecret as _;
    let env = |name: &str| match name {
        "VAULT_ACCESS_KEY" => Some("AKIAEXAMPLE".to_owned()),
        "VAULT_SECRET_KEY" => Some("hunter2\n".to_owned()),
        _ => None,
    };
    let text = format!(
        "{MINIMAL}[[destination]]\nname = 'b'\nurl = 's3://b/p'\nendpoint = 'http://s3.example.net'\nregion = 'eu-central-1'\n\
         bandwidth = '8 Mbit/s'\noptions = {{ aws_virtual_hosted_style_request = true, timeout = '60s' }}\n\
         access-key-env = 'VAULT_ACCESS_KEY'\nsecret-key-env = 'VAULT_SECRET_KEY'\n"
    );
    let config = Config::from_text(&text, file(), &env).unwrap();
    let Location::Bucket(bucket) = &config.destinations[1].location else { panic!("a bucket") };
    let options: Vec<_> = bucket.options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(
        options,
        [("aws_virtual_hosted_style_request", "true"), ("timeout", "60s"), ("aws_region", "eu-central-1"),]
    );
    let secret =
        |(option, secret): &(String, Secret)| (option.clone(), secret.read(&env).unwrap().expose_secret().to_owned());
    let secrets: Vec<_> = bucket.secrets.iter().map(secret).collect();
    let expected = [("aws_access_key_id", "AKIAEXAMPLE"), ("aws_secret_access_key", "hunter2")];
    assert_eq!(secrets, expected.map(|(option, secret)| (option.to_owned(), secret.to_owned())));
    assert_eq!(config.destinations[1].verify, Verify::Size);
    assert_eq!(config.destinations[1].bandwidth, Some(1_000_000));
    assert!(config.warnings.iter().any(|warning| warning.contains("unencrypted")), "{:?}", config.warnings);
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn several_faults_are_reported_at_once_in_the_order_of_the_file() {
    insta::assert_snapshot!(report("[snapshot]
path = 5
quiet = \"5m\"
site = 'WXYZ'
[retention]
dayly = 14
last = -1
weekly = 'two'
[archive]
level = 22
spool = 'D:\\spool'
recipients = 'age1'
[[destination]]
name = 'vault'
path = 'v'
url = 's3://b'
verify = 'ful'
[[destination]]
name = 'Vault'
sweep_after = '2 days'
[destinations]
x = 1
"), @r#"
    afterbackup.toml:2:8: [snapshot] path: must be text in quotes, not a number
      hint: write path = 'E:\ConfigMgr_Backup'
    afterbackup.toml:3:9: [snapshot] quiet: '5m' is ambiguous: write '5min' or '5months'
      hint: write a number and s, min, h, days, weeks, months or years, like "2min"
    afterbackup.toml:4:8: [snapshot] site: 'WXYZ' is not a site code (three letters or digits)
      hint: write site = "XYZ"
    afterbackup.toml:6:1: [retention] dayly: unknown key
      hint: did you mean 'daily'?
    afterbackup.toml:7:8: [retention] last: -1 is out of range: it must be 0 to 1000000
    afterbackup.toml:8:10: [retention] weekly: must be a whole number, not text
      hint: write weekly = 8
    afterbackup.toml:10:9: [archive] level: 22 is out of range: it must be 1 to 19
    afterbackup.toml:11:1: [archive] spool: not supported by this version of afterbackup yet
      hint: remove it: it would have no effect
    afterbackup.toml:12:14: [archive] recipients: must be a list of texts, not text
      hint: write recipients = ["age1…"]
    afterbackup.toml:16:7: [[destination]] url: path is given too
      hint: a destination is one or the other: make two
    afterbackup.toml:17:10: [[destination]] verify: 'ful' is not a verify mode
      hint: did you mean "full"?
    afterbackup.toml:18:1: [[destination]]: has neither path nor url
      hint: write path = 'folder or share' or url = "s3://bucket/prefix"
    afterbackup.toml:19:8: [[destination]] name: is used twice
      hint: every destination needs its own
    afterbackup.toml:20:1: [[destination]] sweep_after: unknown key
      hint: did you mean 'sweep-after'?
    afterbackup.toml:21:2: [destinations]: unknown key
      hint: did you mean 'destination'?
    "#);
}

#[test]
fn missing_parts_are_named() {
    insta::assert_snapshot!(report(""), @r#"
    afterbackup.toml: [snapshot] path: missing: where does the backup task write?
      hint: write the folder the backup task writes to: path = 'E:\ConfigMgr_Backup'
    afterbackup.toml: [[destination]]: missing: there is nowhere to put archives
      hint: add [[destination]] with name, and path = 'folder' or url = "s3://bucket/prefix"
    "#);
    assert_eq!(
        report("destination = []\n[snapshot]\npath = '/b'\n"),
        report("[snapshot]\npath = '/b'\n"),
        "an empty list is like none"
    );
    insta::assert_snapshot!(report("[snapshot]\n[[supplemental]]\n[[destination]]\n"), @r#"
    afterbackup.toml:1:1: [snapshot] path: missing: where does the backup task write?
      hint: write the folder the backup task writes to: path = 'E:\ConfigMgr_Backup'
    afterbackup.toml:2:1: [[supplemental]] name: missing
      hint: every entry has name and path
    afterbackup.toml:2:1: [[supplemental]] path: missing
      hint: every entry has name and path
    afterbackup.toml:3:1: [[destination]] name: missing
      hint: write name = "vault"
    afterbackup.toml:3:1: [[destination]]: has neither path nor url
      hint: write path = 'folder or share' or url = "s3://bucket/prefix"
    "#);
}

#[test]
fn wrong_shapes_say_which_brackets_to_use() {
    insta::assert_snapshot!(report("snapshot = 'E:\\B'\n[[retention]]\nlast = 1\n[destination]\nname = 'v'\n"), @r#"
    afterbackup.toml:1:1: snapshot: must be a single table, not text
      hint: write [snapshot] in single brackets, with its keys on the lines below
    afterbackup.toml:2:3: retention: must be a single table, not a list of tables
      hint: write [retention] in single brackets, with its keys on the lines below
    afterbackup.toml:4:2: destination: must be a list of tables, not a table
      hint: write [[destination]] in double brackets, once for each
    "#);
}

#[test]
fn broken_toml_is_explained() {
    insta::assert_snapshot!(report("[snapshot]\npath = \"E:\\ConfigMgr_Backup\"\n"), @r#"
    afterbackup.toml:2:12: not valid TOML: missing escaped value, expected `b`, `e`, `f`, `n`, `r`, `\`, `"`, `x`, `u`, `U`
      hint: in "…" a backslash begins an escape: put Windows paths into 'single quotes'
    "#);
    insta::assert_snapshot!(report("[snapshot]\npath = 'E:\\B'\npath = 'E:\\C'\n"), @r#"
    afterbackup.toml:3:1: not valid TOML: duplicate key
    "#);
    insta::assert_snapshot!(report("[snapshot\n"), @r#"
    afterbackup.toml:1:10: not valid TOML: unclosed table, expected `]`
    "#);
    insta::assert_snapshot!(report("[snapshot]\npath = \"E:\\backup\"\n[[destination]]\nname='v'\npath='/v'"), @r#"
    afterbackup.toml:2:8: [snapshot] path: contains a control character
      hint: in "…" a backslash begins an escape (\b, \t, \n …): put Windows paths into 'single quotes'
    "#);
}

#[test]
fn bad_values_are_explained() {
    insta::assert_snapshot!(report_of("[retention]\nlast = 7\ntime-zone = 'Europe/Berln'\nday-starts = '2 am'\nwithin = '5M'"), @r#"
    afterbackup.toml:3:13: [retention] time-zone: 'Europe/Berln' is not a known time zone
      hint: did you mean "Europe/Berlin"?
    afterbackup.toml:4:14: [retention] day-starts: '2 am' is no time of the day
      hint: write it like "02:00"
    afterbackup.toml:5:10: [retention] within: '5M' is ambiguous: write '5min' or '5months'
      hint: write a number and s, min, h, days, weeks, months or years, like "2min"
    "#);
    insta::assert_snapshot!(report_of("[retention]\ntime-zone = 'UTC'"), @r#"
    afterbackup.toml:1:1: [retention]: keeps nothing
      hint: say what to keep, like daily = 14; without any [retention] a default applies
    "#);
    insta::assert_snapshot!(report_of("[[supplemental]]\nname = 'a/b'\npath = 'C:x'\n[[supplemental]]\nname = 'A'\npath = 'C:\\*\\x'\nas = '{2}\\x'\n[[supplemental]]\nname = 'a'\npath = ' '\nas = '..\\x'"), @r#"
    afterbackup.toml:2:8: [[supplemental]] name: holds a character that names of folders cannot have
      hint: it becomes a folder in the archive: write name = "SCUP2011"
    afterbackup.toml:3:8: [[supplemental]] path: depends on a drive's current folder
      hint: write a backslash behind the colon: 'E:\folder'
    afterbackup.toml:7:6: [[supplemental]] as: uses {2}, but the number of '*' in path is 1
      hint: write a relative path; {1} is what the first * of path matched
    afterbackup.toml:9:8: [[supplemental]] name: is used twice
      hint: every entry needs its own, it becomes a folder in the archive
    afterbackup.toml:10:8: [[supplemental]] path: is empty
      hint: write path = 'C:\Users\*\Scupdb.sdf'
    afterbackup.toml:11:6: [[supplemental]] as: must not have '.' or '..' in it
      hint: write a relative path; {1} is what the first * of path matched
    "#);
    insta::assert_snapshot!(report_of("[archive]\nrecipients = ['age1abc', 'ssh-ed25519 AAAA', 7, '']"), @r#"
    afterbackup.toml:2:15: [archive] recipients: is no age public key
      hint: age-keygen prints it as 'Public key: age1…'; 62 characters
    afterbackup.toml:2:26: [archive] recipients: SSH keys are not supported
      hint: make a pair with age-keygen and write its public half, age1…
    afterbackup.toml:2:46: [archive] recipients: must hold texts in quotes, not a number
      hint: write recipients = ["age1…"]
    afterbackup.toml:2:49: [archive] recipients: holds an empty text
      hint: write recipients = ["age1…"]
    "#);
    insta::assert_snapshot!(report(&format!("{MINIMAL}bandwidth = 'fast'\nretry-for = '20min'\nregion = 'x'\nretention = {{ monthly = 1, dayly = 2 }}\n")), @r#"
    afterbackup.toml:6:13: [[destination]] bandwidth: 'fast' is no rate: write for example '200 Mbit/s'
      hint: write it like "200 Mbit/s" or "25 MB/s"
    afterbackup.toml:7:13: [[destination]] retry-for: stall-timeout (15 min) must be longer than retry-for (20 min)
      hint: else a destination is given up while it is still being tried
    afterbackup.toml:8:10: [[destination]] region: is only for buckets
      hint: remove it, or write url instead of path
    afterbackup.toml:9:28: [[destination]] retention.dayly: unknown key
      hint: did you mean 'daily'?
    "#);
}

#[test]
fn bad_buckets_are_explained() {
    insta::assert_snapshot!(report_of_bucket("region = ''\nendpoint = 's3.example.net'\noptions = { endpoint = 'x', no_such_option = 'x', timeout = [] }\naccess-key-env = 'VAULT_ACCESS_KEY'"), @r#"
    afterbackup.toml:9:10: [[destination]] region: is empty
      hint: write region = "eu-central-1"
    afterbackup.toml:10:12: [[destination]] endpoint: is not a URL
      hint: write it like "https://s3.example.net"
    afterbackup.toml:11:13: [[destination]] options.endpoint: has a key of its own
      hint: write it as endpoint
    afterbackup.toml:11:29: [[destination]] options.no_such_option: unknown option
      hint: options are named as in object_store, like aws_virtual_hosted_style_request or allow_http
    afterbackup.toml:11:61: [[destination]] options.timeout: must be text, not a list
    afterbackup.toml:12:18: [[destination]] access-key-env: secret-key-env or secret-key-file is missing
      hint: both halves are needed; without either, the cloud's own chain of credentials is asked
    "#);
    let mut urls = String::new();
    for (index, url) in [
        "nfs://srv/share",
        "file:///srv",
        "https://s3.example.net/b",
        "ftp://x/y",
        "s3://",
        "b/p",
        "C:\\x",
        "s3://id:key@b/p",
    ]
    .iter()
    .enumerate()
    {
        write!(urls, "[[destination]]\nname = 'd{index}'\nurl = '{url}'\n").unwrap();
    }
    insta::assert_snapshot!(report(&format!("[snapshot]\npath = '/b'\n{urls}")), @r#"
    afterbackup.toml:5:7: [[destination]] url: shares are not written to by address
      hint: mount the share and write path = 'folder'
    afterbackup.toml:8:7: [[destination]] url: is a folder
      hint: write path instead of url
    afterbackup.toml:11:7: [[destination]] url: is the address of a server, not of a bucket
      hint: write url = "s3://bucket/prefix" and the server as endpoint = "https://…"
    afterbackup.toml:14:7: [[destination]] url: 'ftp' is not a supported scheme
      hint: write it like "s3://bucket/prefix", "az://container/prefix" or "gs://bucket/prefix"
    afterbackup.toml:17:7: [[destination]] url: names no bucket
      hint: write it like "s3://bucket/prefix", "az://container/prefix" or "gs://bucket/prefix"
    afterbackup.toml:20:7: [[destination]] url: is not a URL
      hint: write it like "s3://bucket/prefix", "az://container/prefix" or "gs://bucket/prefix"
    afterbackup.toml:23:7: [[destination]] url: is a folder
      hint: write path instead of url
    afterbackup.toml:26:7: [[destination]] url: must hold neither name, password nor parameters
      hint: secrets come from secret-key-env or secret-key-file
    "#);
    insta::assert_snapshot!(report("[snapshot]\npath = '/b'\n[[destination]]\nname = 'a'\nurl = 'az://c'\nregion = 'x'\naccess-key-env = 'A_B'\n[[destination]]\nname = 'g'\nurl = 'gs://c'\nsecret-key-env = 'X_Y'\nsecret-key-file = '/no/such/file'\n"), @r#"
    afterbackup.toml:6:10: [[destination]] region: is only for s3
      hint: remove it
    afterbackup.toml:7:18: [[destination]] access-key-env: is only for s3
      hint: remove it; the account is options = { azure_storage_account_name = "…" }
    afterbackup.toml:12:19: [[destination]] secret-key-file: secret-key-env is given too
      hint: remove one of the two
    "#);
}

#[test]
fn places_that_would_destroy_archives_are_refused() {
    insta::assert_snapshot!(report("lock-file = 'E:\\configmgr_backup\\x.lock'
[snapshot]
path = 'E:\\ConfigMgr_Backup'
sql-path = '\\\\SQL01\\Backup'
[[supplemental]]
name = 'Content'
path = 'F:\\Data'
[[destination]]
name = 'inside'
path = 'e:/configmgr_backup/vault'
[[destination]]
name = 'outside'
path = 'E:\\'
[[destination]]
name = 'sql'
path = '\\\\sql01\\backup\\vault'
[[destination]]
name = 'extra'
path = 'F:\\Data\\vault'
[[destination]]
name = 'twice'
path = 'F:\\Data\\.\\VAULT\\'
[[destination]]
name = 'b1'
url = 's3://b/p'
[[destination]]
name = 'b2'
url = 's3://b/p/'
"), @r#"
    afterbackup.toml:1:13: lock-file: lies inside the snapshot's path
      hint: the backup task cannot delete its folder while the lock is held
    afterbackup.toml:10:8: [[destination]] path: lies inside the snapshot's path
      hint: the backup task DELETES its folder before every run: put archives elsewhere
    afterbackup.toml:13:8: [[destination]] path: the snapshot's path lies inside it
      hint: use a folder beside it, best on another machine
    afterbackup.toml:16:8: [[destination]] path: lies inside the snapshot's sql-path
      hint: the backup task DELETES its folder before every run: put archives elsewhere
    afterbackup.toml:19:8: [[destination]] path: lies inside what supplemental 'Content' archives
      hint: every archive would hold all those before it: put archives elsewhere
    afterbackup.toml:22:8: [[destination]] path: is the same place as that of destination 'extra'
      hint: two copies in one place are one
    afterbackup.toml:22:8: [[destination]] path: lies inside what supplemental 'Content' archives
      hint: every archive would hold all those before it: put archives elsewhere
    afterbackup.toml:28:7: [[destination]] url: is the same place as that of destination 'b1'
      hint: two copies in one place are one
    "#);
}

#[test]
fn variables_with_secrets_are_known() {
    let buckets = "[[destination]]\nname = 'b'\nurl = 's3://b/p'\nendpoint = 'https://s3.example.net'\naccess-key-env = 'B_KEY'\nsecret-key-env = 'B_SECRET'\n";
    let shares = "[[destination]]\nname = 's'\npath = '\\\\nas\\s$'\ncredentials = { user = 'CONTOSO\\svc', password-env = 'S_PASSWORD' }\n";
    let config = for_windows(&format!("{MINIMAL}{buckets}{shares}"), &nothing).unwrap();
    assert_eq!(config.secret_variables(), ["B_KEY", "B_SECRET", "S_PASSWORD"]);
    assert_eq!(read(MINIMAL).secret_variables(), [""; 0]);
}

#[test]
fn presets_stand_for_what_is_documented_and_ask_for_what_only_the_site_knows() {
    for preset in Preset::ALL {
        // As it is shown, it is a valid entry; also where the installation is known.
        for install in [None, Some(r"D:\ConfigMgr")] {
            let text = preset.text(install);
            let config = parsed(&format!("{MINIMAL}{text}")).unwrap_or_else(|error| panic!("{text}\n{error:?}"));
            assert_eq!(config.supplemental[0].name, preset.folder());
        }
        // Without a path, only the one that lies in the same place everywhere.
        let alone = parsed(&format!("{MINIMAL}[[supplemental]]\npreset = '{}'\n", preset.name()));
        assert_eq!(alone.is_ok(), preset.path().is_some(), "{preset:?}");
    }
    let config = parsed(&format!("{MINIMAL}[[supplemental]]\npreset = 'updates-publisher'\n")).unwrap();
    let entry = &config.supplemental[0];
    assert_eq!((entry.name.as_str(), entry.rename.as_deref()), ("SCUP2011", Some(r"{1}\Scupdb.sdf")));
    // What is written counts more; the new name belongs to the preset's own path.
    let other = "[[supplemental]]\npreset = 'updates-publisher'\nname = 'U'\npath = 'D:\\Profiles\\anna'\n";
    let config = parsed(&format!("{MINIMAL}{other}")).unwrap();
    let entry = &config.supplemental[0];
    assert_eq!((entry.name.as_str(), entry.path.as_str(), &entry.rename), ("U", r"D:\Profiles\anna", &None));

    let entries = "[[supplemental]]\npreset = 'content-libary'\n[[supplemental]]\npreset = 'wsus'\ntimeout = '0s'\n";
    insta::assert_snapshot!(report(&format!("{MINIMAL}{entries}")), @r#"
    afterbackup.toml:7:10: [[supplemental]] preset: 'content-libary' is not a preset
      hint: did you mean "content-library"?
    afterbackup.toml:8:1: [[supplemental]] path: missing
      hint: write path = 'D:\Export\SUSDB' with the folder of this site; 'afterbackup init --show-preset wsus' says which one it is
    afterbackup.toml:10:11: [[supplemental]] timeout: must be longer than zero
      hint: write the longest time that a command may take, like "10min"
    "#);
}

#[test]
fn keys_of_later_versions_are_refused() {
    insta::assert_snapshot!(report(&format!("{MINIMAL}[archive]\nspool = 'D:\\s'\n[[supplemental]]\nname = 'K'\npath = 'C:\\k'\nseparate = true\n")), @r#"
    afterbackup.toml:7:1: [archive] spool: not supported by this version of afterbackup yet
      hint: remove it: it would have no effect
    afterbackup.toml:11:1: [[supplemental]] separate: not supported by this version of afterbackup yet
      hint: remove it: it would have no effect
    "#);
}

#[test]
fn credentials_are_read_from_where_they_may_live() {
    use secrecy::ExposeSecret as _;
    let text = format!("{MINIMAL}[destination.credentials]\nuser = 'CONTOSO\\svc'\npassword-env = 'VAULT_PASSWORD'\n");
    let env = |name: &str| (name == "VAULT_PASSWORD").then(|| "hunter2 \r\n".to_owned());
    let config = for_windows(&text, &env).unwrap();
    let account = config.destinations[0].credentials.clone().unwrap();
    assert_eq!(account.user, r"CONTOSO\svc");
    assert_eq!(account.password.read(&env).unwrap().expose_secret(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn bad_credentials_are_explained() {
    let report = |text: &str| for_windows(text, &nothing).unwrap_err().to_string().replace("/nowhere/", "");
    let destination = |name: &str, lines: &str| format!("[[destination]]\nname = '{name}'\n{lines}\n");
    let text = [
        MINIMAL,
        "[destination.credentials]\n",
        &destination(
            "a",
            "path = '\\\\srv\\a'\ncredentials = { user = 'CONTOSO\\svc', password-env = 'A_B', password-file = '/x' }",
        ),
        &destination("b", "path = 'F:\\b'\ncredentials = { user = 'u', password-env = 'A_B' }"),
        &destination("c", "url = 's3://c/p'\ncredentials = { user = 'u', password = 'hunter2' }"),
        &destination("d", "path = '\\\\srv2\\d'\ncredentials = { user = 'u', password-file = '/nowhere/d.secret' }"),
        &destination("e", "path = '\\\\srv2\\e'\ncredentials = { user = 'u', password-env = 'hunter2' }"),
        &destination("f", "path = '\\\\srv2'\ncredentials = 'u'"),
    ];
    let report = report(&text.concat());
    assert!(!report.contains("hunter2"), "{report}");
    insta::assert_snapshot!(report, @r#"
    afterbackup.toml:6:1: [[destination]] credentials.user: missing
      hint: write user = 'CONTOSO\svc-archive'
    afterbackup.toml:6:1: [[destination]] credentials.password-file: missing
      hint: name the file or the environment variable that has it: password-file = 'path' or password-env = "VARIABLE"
    afterbackup.toml:10:77: [[destination]] credentials.password-file: password-env is given too
      hint: remove one of the two
    afterbackup.toml:14:15: [[destination]] credentials: path is not on a share
      hint: remove it: only a share, path = '\\server\share', is reached with another account
    afterbackup.toml:18:15: [[destination]] credentials: is only for shares
      hint: remove it; the secrets of buckets are access-key-env and secret-key-env or secret-key-file
    afterbackup.toml:18:29: [[destination]] credentials.password: a secret must not stand in this file
      hint: name where it is: password-file = 'path' or password-env = "VARIABLE"; and change it, it was written down
    afterbackup.toml:30:1: [[destination]] credentials: must be a single table, not text
      hint: write credentials = { … }
    "#);
}

#[test]
fn one_server_has_one_account() {
    let destination = |name: &str, server: &str, user: &str| {
        let credentials = if user.is_empty() {
            String::new()
        } else {
            format!("credentials = {{ user = '{user}', password-env = 'A_B' }}\n")
        };
        format!("[[destination]]\nname = '{name}'\npath = '\\\\{server}\\{name}'\n{credentials}")
    };
    let env = |_: &str| Some("x".to_owned());
    let read = |first: &str, second: &str| for_windows(&format!("{MINIMAL}{first}{second}"), &env);
    read(&destination("a", "srv", "svc"), &destination("b", "SRV", "SVC")).unwrap();
    read(&destination("a", "srv", "svc"), &destination("b", "10.0.0.7", "other")).unwrap();
    read(&destination("a", "srv", ""), &destination("b", "srv", "")).unwrap();
    for (first, second) in [("svc", "other"), ("svc", ""), ("", "svc")] {
        let error = read(&destination("a", "srv", first), &destination("b", "Srv", second)).unwrap_err();
        assert_eq!(error.faults.len(), 1, "{error}");
        assert!(error.faults[0].message.contains("destination 'a'"), "{error}");
    }
}

#[cfg(not(windows))]
#[test]
fn elsewhere_shares_are_mounted_with_their_credentials() {
    let text = "[destination.credentials]\nuser = 'x'\npassword-env = 'A_B'\n[[destination]]\nname = 'n'\nurl = 'smb://svc:hunter2@nas/cm$/p01'\n[[destination]]\nname = 'o'\npath = 'cifs://nas/cm$'\n";
    insta::assert_snapshot!(report(&format!("{MINIMAL}{text}")), @r#"
    afterbackup.toml:6:1: [[destination]] credentials: works on Windows only
      hint: mount \\backup01\configmgr$ with this account, like 'mount -t cifs //backup01/configmgr$ /mnt/configmgr$ -o credentials=FILE', write the folder it is mounted at as path, and remove the credentials
    afterbackup.toml:11:7: [[destination]] url: shares are not written to by address
      hint: mount the share, like 'mount -t cifs //nas/cm$ /mnt/cm$ -o credentials=FILE' (FILE has the lines username=, password= and domain=), and write path = '/mnt/cm$/p01'
    afterbackup.toml:14:8: [[destination]] path: shares are not written to by address
      hint: mount the share, like 'mount -t cifs //nas/cm$ /mnt/cm$ -o credentials=FILE' (FILE has the lines username=, password= and domain=), and write path = '/mnt/cm$'
    "#);
}

#[test]
fn hooks_are_text_or_say_how_to_run_them() {
    let config = read(&format!(
        "{MINIMAL}[hooks]\nrun-before = ['first', {{ command = 'second', on-failure = 'warn', timeout = '5s' }}]\n\
         run-failed = [{{ command = 'mail', on-failure = 'ignore' }}]\ntimeout = '1min'\n"
    ));
    let hook = |command: &str, on_failure, seconds| Hook {
        command: command.to_owned(),
        on_failure,
        timeout: Duration::from_secs(seconds),
    };
    let hooks = &config.hooks;
    assert_eq!(hooks.run_before, [hook("first", OnFailure::Error, 60), hook("second", OnFailure::Warn, 5)]);
    assert_eq!(hooks.run_failed, [hook("mail", OnFailure::Ignore, 60)]);
    assert!(hooks.run_after.is_empty() && hooks.run_finally.is_empty());
}

#[test]
fn faults_of_hooks_and_report_are_told_without_address_and_command() {
    let text = "[hooks]\nrun-before = 'x'\nrun-after = [5, '', {}, { comand = 'x' }, { command = 'x', on-failure = 'warning' }]\n\
                run-failed = [{ command = \"a\\tb\" }]\nrun-finaly = []\ntimeout = '0s'\n\
                [report]\noverdue = '0 days'\nheartbeat-url = 'https://name:hunter2@h/hunter2'\nmetrics-file = '/b/x.prom'\n\
                [snapshot]\npath = '/b'\n[[destination]]\nname = 'v'\npath = '/v'\n";
    let printed = report(text);
    assert!(!printed.contains("hunter2"), "{printed}");
    insta::assert_snapshot!(printed, @r#"
    afterbackup.toml:2:14: [hooks] run-before: must be a list of commands, not text
      hint: write run-before = ['C:\Scripts\mail.cmd']
    afterbackup.toml:3:14: [hooks] run-after: must hold commands in quotes or { command = … }, not a number
      hint: write run-after = ['C:\Scripts\mail.cmd']
    afterbackup.toml:3:17: [hooks] run-after: is empty
      hint: write run-after = ['C:\Scripts\mail.cmd']
    afterbackup.toml:3:21: [hooks] run-after.command: missing
      hint: write { command = '…' }
    afterbackup.toml:3:25: [hooks] run-after.command: missing
      hint: write { command = '…' }
    afterbackup.toml:3:27: [hooks] run-after.comand: unknown key
      hint: did you mean 'command'?
    afterbackup.toml:3:73: [hooks] run-after.on-failure: 'warning' is not an on-failure action
      hint: write "error", "warn" or "ignore"
    afterbackup.toml:4:27: [hooks] run-failed.command: contains a control character
      hint: in "…" a backslash begins an escape (\b, \t, \n …): put Windows paths into 'single quotes'
    afterbackup.toml:5:1: [hooks] run-finaly: unknown key
      hint: did you mean 'run-finally'?
    afterbackup.toml:6:11: [hooks] timeout: must be longer than zero
      hint: write the longest time that a command may take, like "10min"
    afterbackup.toml:8:11: [report] overdue: must be longer than zero
      hint: write how old the newest archive may be, like "5 days"
    afterbackup.toml:9:17: [report] heartbeat-url: must hold neither name nor password
      hint: write the address that the service shows, like "https://hc-ping.com/…"
    afterbackup.toml:10:16: [report] metrics-file: lies inside the snapshot's folder
      hint: the backup task DELETES its folder before every run: put it elsewhere
    "#);
    let printed = report_of("[report]\nheartbeat-url = 'hc.example.net/hunter2'");
    assert!(printed.contains("is not a URL") && !printed.contains("hunter2"), "{printed}");
}

#[test]
fn secrets_in_the_file_are_refused_without_being_printed() {
    let text = format!(
        "password = 'hunter2'\n[archive]\nrecipients = ['AGE-SECRET-KEY-1HUNTER2']\n{MINIMAL}\
         [[destination]]\nname = 'b'\nurl = 's3://b/p'\nsecret-access-key = 'hunter2'\naccess-key = 'hunter2'\n\
         secret-key-env = 'hunter2'\naccess-key-env = 'VAULT_ACCESS_KEY'\n\
         options = {{ aws_secret_access_key = 'hunter2', proxy_url = 'http://u:hunter2@p/' }}\n\
         [[destination]]\nname = 'c'\nurl = 's3://b/q'\nsecret-key-fil = 'x'\nsecret-key-file = 'hunter2/x'\naccess-key-env = 'VAULT_ACCESS_KEY'\n"
    );
    let printed = report(&text);
    assert!(!printed.to_lowercase().contains("hunter2"), "{printed}");
    insta::assert_snapshot!(printed, @r#"
    afterbackup.toml:1:1: password: a secret must not stand in this file
      hint: name where it is: secret-key-env = "VARIABLE" or secret-key-file = 'path'; and change it, it was written down
    afterbackup.toml:3:15: [archive] recipients: this is the SECRET half of a key
      hint: THE SECRET KEY MUST NEVER BE ON THIS SERVER: write the public half, age1…, and make a new pair
    afterbackup.toml:12:1: [[destination]] secret-access-key: a secret must not stand in this file
      hint: name where it is: secret-key-env = "VARIABLE" or secret-key-file = 'path'; and change it, it was written down
    afterbackup.toml:13:1: [[destination]] access-key: a secret must not stand in this file
      hint: name where it is: secret-key-env = "VARIABLE" or secret-key-file = 'path'; and change it, it was written down
    afterbackup.toml:16:13: [[destination]] options.aws_secret_access_key: a secret must not stand in this file
      hint: name where it is: secret-key-env = "VARIABLE" or secret-key-file = 'path'; and change it, it was written down
    afterbackup.toml:16:60: [[destination]] options.proxy_url: must hold neither name, password nor parameters
      hint: a secret must not stand in this file
    afterbackup.toml:20:1: [[destination]] secret-key-fil: unknown key
      hint: did you mean 'secret-key-file'?
    "#);
}

#[cfg(unix)]
#[test]
fn secret_files_that_everyone_can_read_are_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("vault.secret");
    std::fs::write(&secret, "hunter2\n").unwrap();
    let path = folder.path().join("afterbackup.toml");
    let text = "[snapshot]\npath = 'b'\n[[destination]]\nname = 'a'\nurl = 'az://c'\nsecret-key-file = 'vault.secret'\noptions = { account_name = 'x' }\n";
    std::fs::write(&path, text).unwrap();
    for (mode, warned) in [(0o644, true), (0o640, false)] {
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(mode)).unwrap();
        let config = Config::load(&path, &nothing).unwrap();
        assert_eq!(config.warnings.iter().any(|warning| warning.contains("readable by everyone")), warned);
        let Location::Bucket(bucket) = &config.destinations[0].location else { panic!("a bucket") };
        let (option, secret) = &bucket.secrets[0];
        assert_eq!(option, "azure_storage_account_key");
        assert_eq!(secrecy::ExposeSecret::expose_secret(&secret.read(&nothing).unwrap()), "hunter2");
    }
}

#[test]
fn doubtful_paths_are_warned_about() {
    let config = read(
        "[snapshot]\npath = '/b'\nlog = '/x/%ProgramData%/smsbkup.log'\n[[supplemental]]\nname = 'S'\npath = '/home/*/x.sdf'\n[[destination]]\nname = 'v'\npath = '/v'\n",
    );
    insta::assert_snapshot!(config.warnings.join("\n"), @r#"
    [snapshot] log: environment variables in it are not expanded
    [[supplemental]] 'S': if path matches in several folders, the names in the archive collide; add as = '{1}\…'
    "#);
}

#[test]
fn byte_order_marks_and_windows_line_ends_do_no_harm() {
    read(&format!("\u{feff}{}", MINIMAL.replace('\n', "\r\n")));
    let printed =
        report("\u{feff}[snapshot]\r\npath = 'x'\r\nsit = 'XYZ'\r\n[[destination]]\r\nname='v'\r\npath='y'\r\n");
    insta::assert_snapshot!(printed, @r#"
    afterbackup.toml:3:1: [snapshot] sit: unknown key
      hint: did you mean 'site'?
    "#);
}

#[test]
fn files_that_cannot_be_read_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("afterbackup.toml");
    let message = |path: &Path| Config::load(path, &nothing).unwrap_err().faults.remove(0).to_string();
    insta::assert_snapshot!(message(&path), @r#"
    there is no such file
      hint: run 'afterbackup init' to write one
    "#);
    std::fs::write(&path, b"[snapshot]\npath = 'E:\\\xe4'\n").unwrap();
    insta::assert_snapshot!(message(&path), @r#"
    line 2 is not UTF-8 text
      hint: save it as UTF-8
    "#);
    std::fs::write(&path, b"\xff\xfe[\0").unwrap();
    insta::assert_snapshot!(message(&path), @r#"
    is UTF-16 text
      hint: save it as UTF-8
    "#);
    assert!(Config::load(folder.path(), &nothing).is_err());
}

#[test]
fn the_configuration_is_looked_for_in_order() {
    let env = |name: &str| match name {
        "AFTERBACKUP_CONFIG" => Some("/by/env.toml".to_owned()),
        "ProgramData" => Some("/data".to_owned()),
        _ => None,
    };
    let data_only = |name: &str| (name == "ProgramData").then(|| "/data".to_owned());
    let all = |_: &Path| true;
    let none = |_: &Path| false;
    let option = Path::new("by/option.toml");
    assert_eq!(locate_with(Some(option), &env, &none).unwrap(), option);
    assert_eq!(locate_with(None, &env, &none).unwrap(), Path::new("/by/env.toml"));
    assert_eq!(locate_with(None, &data_only, &all).unwrap(), Path::new("/data/afterbackup/afterbackup.toml"));
    let error = locate_with(None, &data_only, &none).unwrap_err().to_string();
    assert!(error.contains("hint: run 'afterbackup init' to write one"), "{error}");
    if cfg!(unix) {
        assert_eq!(locate_with(None, &nothing, &all).unwrap(), Path::new("/etc/afterbackup/afterbackup.toml"));
        insta::assert_snapshot!(error, @r#"
    no configuration found; looked at
      --config
      AFTERBACKUP_CONFIG in the environment
      /data/afterbackup/afterbackup.toml
      /etc/afterbackup/afterbackup.toml
      hint: run 'afterbackup init' to write one; archives can be read without, by --destination FOLDER or URL
    "#);
    }
}

/// README.md, CONTRIBUTING.md and the pages below docs/, with their names.
fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    paths.extend(std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort_unstable();
    let name = |path: &Path| path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// The blocks of TOML on a page, each with its line.
fn toml_blocks(page: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in page.lines().enumerate() {
        let line = line.trim_start();
        match &mut open {
            None if line.starts_with("```toml") => open = Some((number + 1, String::new())),
            None => {}
            Some(_) if line.starts_with("```") => blocks.extend(open.take()),
            Some((_, text)) => writeln!(text, "{line}").unwrap(),
        }
    }
    assert!(open.is_none(), "a block has no end");
    blocks
}

/// A block of the documentation as a whole configuration: a part of a section goes into that section, and what is
/// required is added. CONTRIBUTING.md states this rule.
fn completed(block: &str) -> String {
    let (snapshot, destination) = MINIMAL.split_at(MINIMAL.find("[[destination]]").unwrap());
    match block.strip_prefix("# in ").and_then(|rest| rest.split_once('\n')) {
        Some(("[[destination]]", rest)) => format!("{MINIMAL}{rest}"),
        Some(("[snapshot]", rest)) => format!("{snapshot}{rest}{destination}"),
        Some((section, rest)) => format!("{MINIMAL}{section}\n{rest}"),
        None => {
            let table: toml::Table = block.parse().unwrap();
            let absent = |key: &str, text: &str| if table.contains_key(key) { "" } else { text }.to_owned();
            format!("{block}{}{}", absent("snapshot", snapshot), absent("destination", destination))
        }
    }
}

/// What people copy from the documentation works.
#[test]
fn every_block_of_toml_in_the_documentation_is_a_valid_configuration() {
    let mut read = 0;
    for (page, text) in pages() {
        for (line, block) in toml_blocks(&text) {
            // Files of secrets are not there.
            let block =
                block.replace("password-file = 'C:\\ProgramData\\afterbackup\\vault.secret'", "password-env = 'X'");
            let config = for_windows(&completed(&block), &|_| Some("secret".to_owned()));
            config.unwrap_or_else(|error| panic!("{page}:{line}: {error}"));
            read += 1;
        }
    }
    assert!(read >= 8, "{read}");
}

#[test]
fn documented_default_of_retention_is_the_default() {
    let (_, page) = pages().into_iter().find(|(page, _)| page == "docs/retention.md").unwrap();
    let (_, block) = toml_blocks(&page).into_iter().next().unwrap();
    assert_eq!(read(&completed(&block)).destinations[0].retention, read(MINIMAL).destinations[0].retention);
}

/// The files in config/.
fn samples() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut samples = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            samples.push((path.clone(), std::fs::read_to_string(path).unwrap()));
        }
    }
    samples
}

/// full.toml with every `#key = value` switched on.
fn full() -> String {
    let (_, text) = samples().into_iter().find(|(path, _)| path.ends_with("full.toml")).unwrap();
    text.lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn every_sample_is_valid() {
    let samples = samples();
    assert!(samples.len() >= 3);
    for (path, _) in samples {
        Config::load(&path, &nothing).unwrap();
    }
}

#[test]
fn full_sample_has_every_key_with_its_default() {
    fn collect(prefix: &str, keys: &'static [Key], known: &mut BTreeSet<String>) {
        for key in keys {
            // The rules of a destination are those of [retention].
            if !key.children().is_empty() && prefix.is_empty() {
                collect(&format!("{}.", key.name), key.children(), known);
            } else if !matches!(key.kind, Kind::Later) {
                known.insert(format!("{prefix}{}", key.name));
            }
        }
    }
    let text = full();
    let mut known = BTreeSet::new();
    collect("", ROOT, &mut known);
    let mut written = BTreeSet::new();
    for (section, value) in &text.parse::<toml::Table>().unwrap() {
        match value {
            toml::Value::Table(table) => written.extend(table.keys().map(|key| format!("{section}.{key}"))),
            toml::Value::Array(list) => written.extend(
                list.iter().flat_map(|item| item.as_table().unwrap().keys()).map(|key| format!("{section}.{key}")),
            ),
            _ => drop(written.insert(section.clone())),
        }
    }
    assert_eq!(written, known);

    let env = |_: &str| Some("x".to_owned());
    // One secret in two places is a fault, and so are files that are not there.
    let text = text
        .replace("secret-key-file = 'C:\\ProgramData\\afterbackup\\azure.secret'\n", "")
        .replace("password-file = 'C:\\ProgramData\\afterbackup\\vault.secret'\n", "");
    // Some keys are for one kind of snapshot only.
    let without = |keys: &[&str]| {
        let others = text.lines().filter(|line| !keys.iter().any(|key| line.starts_with(&format!("{key} ="))));
        others.fold(String::new(), |text, line| text + line + "\n")
    };
    let sql = without(&["sql-path", "log", "database"]).replace("kind = \"site\"", "kind = \"sql-backups\"");
    let sql = for_windows(&sql, &env).unwrap().snapshot;
    assert_eq!((sql.kind, sql.log_backups), (SnapshotKind::SqlBackups, LogBackups::Include));
    assert!(sql.cd_latest.is_some());
    let full = for_windows(&without(&["cd-latest", "log-backups"]), &env).unwrap();
    assert_eq!(full.snapshot.kind, SnapshotKind::Site);
    let account = full.destinations[0].credentials.as_ref().unwrap();
    assert_eq!(
        (account.user.as_str(), account.share.to_string().as_str()),
        (r"CONTOSO\svc-archive", r"\\backup01\configmgr$")
    );
    let minimal = read(MINIMAL);
    assert_eq!(full.snapshot.quiet, minimal.snapshot.quiet);
    assert_eq!((full.archive.level, full.archive.threads), (minimal.archive.level, minimal.archive.threads));
    assert_eq!(full.archive.recipients, [RECIPIENT]);
    let place = Path::new(r"C:\ProgramData\afterbackup\logs\afterbackup.log");
    assert_eq!(full.log, Log { file: Some(place.to_owned()), ..minimal.log });
    assert_eq!(full.report.overdue, minimal.report.overdue);
    assert!(full.hooks.run_before.is_empty() && full.report.metrics_file.is_some());
    // The time-out of all hooks is that of one that says nothing.
    let hook = |timeout: &str| read(&format!("{MINIMAL}[hooks]\n{timeout}\nrun-after = ['x']\n")).hooks.run_after;
    let written = text.lines().find(|line| line.starts_with("timeout = ")).unwrap();
    assert_eq!(hook(written), hook(""));
    let (full, minimal) = (&full.destinations, &minimal.destinations[0]);
    assert_eq!(full[0].verify, minimal.verify);
    assert_eq!(
        (full[0].retry_for, full[0].stall_timeout, full[0].sweep_after),
        (minimal.retry_for, minimal.stall_timeout, minimal.sweep_after)
    );
    assert_eq!(full[0].retention.monthly, 24);
    assert_eq!(Policy { max_remove: None, ..full[1].retention.clone() }, minimal.retention);
}

#[test]
fn log_is_checked_like_everything_else() {
    let log = |keys: &str| read(&format!("{MINIMAL}[log]\n{keys}")).log;
    let set = log("file = '/var/log/a.log'\nlevel = 'Debug'\nmax-size = '1 MiB'\nformat = 'json'");
    assert!(set.file.is_some_and(|path| path.ends_with("var/log/a.log")));
    assert_eq!((set.level, set.max_bytes), (tracing::Level::DEBUG, 1 << 20));
    assert_eq!(set.format, LogFormat::Json);
    assert_eq!(log("file = '/a.log'\nlevel = 'off'").file, None);
    insta::assert_snapshot!(report_of("[log]\nfile = 'E:\\ConfigMgr_Backup\\a.log'\nlevel = 'loud'\nmax-size = '1 KiB'\nformat = 'xml'\nfiel = ''"), @r#"
    afterbackup.toml:2:8: [log] file: lies inside the snapshot's folder
      hint: the backup task deletes its folder before every run, and a log that is written there changes it
    afterbackup.toml:3:9: [log] level: 'loud' is not known
      hint: write "off", "error", "warn", "info", "debug" or "trace"
    afterbackup.toml:4:12: [log] max-size: '1 KiB' is too small for a log
      hint: write at least "64 KiB"
    afterbackup.toml:5:10: [log] format: 'xml' is not known
      hint: write "cmtrace" or "json"
    afterbackup.toml:6:1: [log] fiel: unknown key
      hint: did you mean 'file'?
    "#);
    let told = report_of("[log]\nfile = 'a.lo_'\nmax-size = '10M'");
    assert!(told.contains("[log] file: is no name for a log") && told.contains("write '10 MB' or '10 MiB'"), "{told}");
}

#[test]
fn default_lock_file_is_absolute() {
    let lock = read(MINIMAL).lock_file;
    assert!(lock.is_absolute() && lock.file_name().is_some(), "{}", lock.display());
}

proptest! {
    #[test]
    fn any_text_is_judged_without_panic(text in any::<String>()) {
        let _judged = Config::from_text(&text, file(), &nothing);
    }

    #[test]
    fn any_mixture_of_lines_is_judged_without_panic(
        picked in prop::collection::vec((0_usize..40, "[a-z0-9é '\"\\\\{}%$:/.\\[\\]-]{0,12}"), 0..12)
    ) {
        let full = full();
        let lines: Vec<&str> = full.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        let mut text = String::new();
        for (index, noise) in picked {
            let line = lines[index % lines.len()];
            // Keep the key, replace the value, now and then.
            match line.split_once('=') {
                Some((key, _)) if !noise.is_empty() => writeln!(text, "{key} = \"{noise}\"").unwrap(),
                _ => writeln!(text, "{line}").unwrap(),
            }
        }
        if let Err(error) = Config::from_text(&text, file(), &nothing) {
            prop_assert!(!error.faults.is_empty());
        }
    }

    #[test]
    fn secrets_never_appear(secret in "[A-Za-z0-9/+=_]{16,40}", place in 0_usize..18, broken in any::<bool>()) {
        // Marked, so that it cannot be part of an ordinary message by accident.
        let secret = format!("Qz7{secret}");
        let line = match place {
            0 => format!("password = '{secret}'"),
            1 => format!("secret-access-key = '{secret}'"),
            2 => format!("access-key = \"{secret}\""),
            3 => format!("secret-key-env = '{secret}'\naccess-key-env = '{secret}'"),
            4 => format!("secret-key-file = '{}'", secret.trim_start_matches('/')),
            5 => format!("options = {{ aws_secret_access_key = '{secret}', token = '{secret}' }}"),
            6 => format!("options = {{ sas_token = ['{secret}'], proxy_url = 'http://u:{}@h' }}", secret.replace('/', "x")),
            7 => format!("[archive]\nrecipients = ['AGE-SECRET-KEY-1{secret}', '{secret}']"),
            8 => format!("[[destination]]\nname = 'c'\nurl = 's3://id:{}@c/p'", secret.replace('/', "x")),
            9 => format!("[[destination]]\nname = 'c'\nurl = 'az://c/p?sig={secret}'"),
            10 => format!("endpoint = 'https://id:{}@h/'", secret.replace('/', "x")),
            11 => format!("[destination.credentials]\npassword = '{secret}'"),
            12 => format!("secret-key-env = 'VAULT_SECRET_KEY'\naccess-key-env = 'VAULT_SECRET_KEY'\nregion = 'QQ'\n#{secret}"),
            13 => format!("[[destination]]\nname = 'c'\nurl = 'smb://svc:{}@nas/share'", secret.replace('/', "x")),
            14 => format!("[[destination]]\nname = 'c'\npath = 'smb://{}@nas/share'", secret.replace('/', "x")),
            15 => format!("[[destination]]\nname = 'c'\npath = '\\\\nas\\x'\n[destination.credentials]\npassword-env = '{secret}'"),
            16 => "[[destination]]\nname = 'c'\npath = '\\\\nas\\x'\n[destination.credentials]\nuser = 'u'\npassword-env = 'VAULT_SECRET_KEY'".to_owned(),
            _ => format!("token = {secret}"),
        };
        let line = if broken { line.replacen('\'', "", 1) } else { line };
        let env_secret = secret.clone();
        let env = |name: &str| (name == "VAULT_SECRET_KEY").then(|| env_secret.clone());
        let text = format!("{MINIMAL}[[destination]]\nname = 'b'\nurl = 's3://b/p'\n{line}\n");
        let printed = match for_windows(&text, &env) {
            Ok(config) => format!("{config:?}"),
            Err(error) => format!("{error}\n{error:?}"),
        };
        prop_assert!(!printed.contains(&secret), "{}", printed);
        prop_assert!(!printed.contains("Qz7"), "{}", printed);
    }
}

#[test]
fn log_and_account_that_get_in_the_way_of_the_backup_task_are_refused() {
    let text = "[snapshot]\npath = '\\\\srv\\cm'\nlog = '\\\\SRV\\cm\\XYZBackup\\smsbkup.log'\n\
                [[destination]]\nname = 'a'\npath = '\\\\srv\\archives'\n\
                credentials = { user = 'u', password-env = 'A_B' }\n[watch]\nstop-timeout = '0s'\n";
    let report = for_windows(text, &|_| Some("secret".to_owned())).unwrap_err().to_string();
    for words in [
        "is on the server of the snapshot, which has another account",
        "[snapshot] log: lies inside",
        "[watch] stop-timeout: is out of range",
    ] {
        assert!(report.contains(words), "{words}: {report}");
    }
}
