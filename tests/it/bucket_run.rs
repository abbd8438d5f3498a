//! Whole runs to buckets, with servers that work and servers that do not.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use afterbackup::archive::Identities;
use afterbackup::archive::extract::{self, extract};
use afterbackup::archive::index::Entry;
use afterbackup::archive::manifest::Manifest;
use afterbackup::archive::reader::Reader;
use afterbackup::archive::verify::{Depth, verify};
use afterbackup::cancel::Cancel;
use afterbackup::catalog::{self, Catalog};
use afterbackup::clock::SystemClock;
use afterbackup::config::{self, Config, Verify};
use afterbackup::destination::faulty::{Call, Faulty, Script};
use afterbackup::destination::{self, Destination, Target};
use afterbackup::engine::context::Context;
use afterbackup::engine::error::RunError;
use afterbackup::engine::outcome::{DestinationResult, Outcome, SiteResult};
use afterbackup::engine::run::run;
use afterbackup::monitor::{Collector, Event, Monitor, Task};
use afterbackup::name::ArchiveId;
use afterbackup::retention::policy::Policy;
use afterbackup::severity::Severity;
use filetime::FileTime;
use jiff::Timestamp;
use tempfile::TempDir;

use super::destination::{Settings, ceph, ceph_bucket, request};
use crate::support::archives::{Key, lay_out, noise};
use crate::support::canned::{Answer, Canned};
use crate::support::proxy::Proxy;
use crate::support::s3_server::S3Server;

const MIB: u64 = 1 << 20;

/// Calls a function when so many bytes of snapshots were read.
#[derive(Clone)]
struct At {
    left: Arc<AtomicU64>,
    act: Arc<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("At")
    }
}

impl At {
    fn bytes(bytes: u64, act: impl Fn() + Send + Sync + 'static) -> Self {
        Self { left: Arc::new(AtomicU64::new(bytes)), act: Arc::new(act) }
    }
}

impl Task for At {
    fn advance(&self, bytes: u64) {
        let before =
            self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.saturating_sub(bytes)));
        if (1..=bytes).contains(&before.unwrap()) {
            (self.act)();
        }
    }
}

impl Monitor for At {
    fn task(&self, name: &str, bytes: Option<u64>) -> Box<dyn Task> {
        if name.starts_with("Archiving") { Box::new(self.clone()) } else { Collector::default().task(name, bytes) }
    }

    fn event(&self, _event: &Event) {}
}

/// A folder that the backup task writes to, and a vault for archives.
struct Host(TempDir);

impl Host {
    fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        fs::create_dir(host.vault()).unwrap();
        host
    }

    fn vault(&self) -> PathBuf {
        self.0.path().join("vault")
    }

    fn snapshots(&self) -> PathBuf {
        self.0.path().join("ConfigMgr_Backup")
    }

    /// The task has written a snapshot with a database of some MiB, completed on this day of November.
    fn back_up(&self, site: &str, day: i8, mib: u64) {
        let folder = self.snapshots().join(format!("{site}Backup"));
        let database = noise(usize::try_from(mib * MIB).unwrap(), u64::try_from(day).unwrap());
        let status = |id: u32, clock: &str| {
            let time: Timestamp = format!("2026-11-{day:02}T{clock}Z").parse().unwrap();
            let time = time.strftime("%a %b %d %H:%M:%S.000 %Y");
            format!("STATMSG: ID={id} COMP=\"SMS_SITE_BACKUP\" SITE={site} GMTDATE={time} NUMATTRS=0\r\n")
        };
        let log = status(5055, "00:30:00") + &status(5035, "01:10:00");
        let files: [(&str, &[u8]); 5] = [
            ("SiteDBServer/CM.mdf", &database),
            ("SiteDBServer/CM_log.ldf", b"log"),
            ("SiteServer/inboxes/one.txt", b"one"),
            ("BackupDocument.xml", b"<xml/>"),
            ("smsbkup.log", log.as_bytes()),
        ];
        lay_out(&folder, files);
        let time: Timestamp = format!("2026-11-{day:02}T01:00:00Z").parse().unwrap();
        for (file, _) in files {
            filetime::set_file_mtime(folder.join(file), FileTime::from_unix_time(time.as_second(), 0)).unwrap();
        }
        // Not every system keeps when a file came, so that this could not be told from a copy.
        for name in ["SiteDBServer", "SiteServer/inboxes", "SiteServer", ""] {
            filetime::set_file_mtime(folder.join(name), FileTime::from_unix_time(time.as_second(), 0)).unwrap();
        }
    }

    fn folder(&self) -> config::Destination {
        config::Destination {
            name: "vault".to_owned(),
            location: config::Location::Folder(self.vault()),
            credentials: None,
            verify: Verify::Full,
            ..Settings::new("http://127.0.0.1:1", "s3://none").config()
        }
    }

    fn config(&self, destinations: Vec<config::Destination>) -> Config {
        Config {
            file: PathBuf::new(),
            snapshot: config::Snapshot { quiet: Duration::ZERO, ..config::Snapshot::of_site(self.snapshots()) },
            supplemental: vec![],
            archive: config::Archive { level: 1, threads: 2, recipients: vec![], check_databases: false },
            differential: None,
            watch: config::Watch::default(),
            destinations,
            hooks: config::Hooks::default(),
            report: config::Report::default(),
            drill: config::Drill::default(),
            lock_file: PathBuf::new(),
            wait: std::time::Duration::ZERO,
            log: afterbackup::config::Log::default(),
            warnings: vec![],
        }
    }

    fn run(&self, destinations: Vec<config::Destination>) -> Outcome {
        run_with(&self.config(destinations), &Collector::default(), &Cancel::new()).unwrap()
    }
}

fn run_with(config: &Config, monitor: &dyn Monitor, cancel: &Cancel) -> Result<Outcome, RunError> {
    let targets = Target::all(config, cancel);
    run(&Context { config, targets: &targets, clock: &SystemClock, monitor, cancel })
}

fn id(site: &str, day: i8) -> ArchiveId {
    format!("{site}-202611{day:02}T011000Z").parse().unwrap()
}

fn archives(destination: &dyn Destination) -> Vec<ArchiveId> {
    let catalog = catalog::read(destination, None).unwrap();
    assert!(catalog.problems.is_empty() && catalog.orphans.is_empty(), "{catalog:?}");
    catalog.archives.into_keys().collect()
}

/// Everything that the archive holds equals the snapshot that is still there.
fn assert_holds_the_snapshot(host: &Host, destination: &dyn Destination, id: &ArchiveId, key: Option<&Key>) {
    let catalog: Catalog = catalog::read(destination, None).unwrap();
    let manifest = &catalog.archives[id].manifest;
    let identities = key.map_or_else(Identities::default, Key::identities);
    let (collector, cancel) = (Collector::default(), Cancel::new());
    let verified = verify(destination, manifest, &identities, Depth::Deep, 2, &collector, &cancel).unwrap();
    assert!(verified.damage.is_empty(), "{verified:?}");
    let reader = Reader::open(destination, manifest.clone(), &identities).unwrap();
    let entries: Vec<&Entry> = reader.index().entries.iter().collect();
    let target = tempfile::tempdir().unwrap();
    let options = extract::Options { target: target.path().to_owned(), force: false, threads: 2 };
    let fetched = extract(&reader, &entries, &options, &collector, &cancel).unwrap();
    assert_eq!(fetched.files, 5);
    for entry in entries.iter().filter(|entry| !entry.folder) {
        let read = |root: PathBuf| fs::read(root.join(&entry.path)).unwrap();
        assert!(read(target.path().to_owned()) == read(host.snapshots()), "{}", entry.path);
    }
}

/// What became of a destination in the only site of a run.
fn result<'a>(outcome: &'a Outcome, name: &str) -> &'a DestinationResult {
    &outcome.sites[0].destinations.iter().find(|one| one.name == name).unwrap().result
}

fn server() -> S3Server {
    let server = S3Server::start();
    server.create_bucket("bucket");
    server
}

/// Archive, list, fetch one file with few requests, again, prune: on a bucket that works.
fn assert_whole_life(settings: &Settings) {
    let host = Host::new();
    let key = Key::new();
    let retention = Policy { last: 2, ..Policy::without_rules() };
    let bucket = config::Destination { retention: retention.clone(), ..settings.config() };
    let folder = config::Destination { retention, ..host.folder() };
    let opened = settings.open();
    for day in 1..=4 {
        host.back_up("XYZ", day, 5);
        let mut config = host.config(vec![bucket.clone(), folder.clone()]);
        let key = (day % 2 == 0).then_some(&key);
        config.archive.recipients = key.iter().map(|key| key.public().to_string()).collect();
        let outcome = run_with(&config, &Collector::default(), &Cancel::new()).unwrap();
        assert_eq!(outcome.severity(), Severity::Done, "{outcome:?}");
        assert_eq!(outcome.sites[0].result, SiteResult::Archived);
        assert!(matches!(result(&outcome, "bucket"), DestinationResult::Pushed { .. }));
        assert_holds_the_snapshot(&host, &*opened, &id("XYZ", day), key);
        let again = run_with(&config, &Collector::default(), &Cancel::new()).unwrap();
        assert_eq!(again.sites[0].result, SiteResult::AlreadyArchived);
        assert_eq!(again.severity(), Severity::Done);
    }
    let kept = [id("XYZ", 3), id("XYZ", 4)];
    assert_eq!(archives(&*opened), kept);
    assert_eq!(archives(&*destination::open(&folder, &Cancel::new()).unwrap()), kept);
    assert!(opened.leftovers("XYZ").unwrap().is_empty());

    let script = Script::default();
    let counted = Faulty::new(settings.open(), &script);
    let manifest = catalog::read(&counted, None).unwrap().archives[&kept[0]].manifest.clone();
    script.forget();
    let identities = Identities::default();
    let reader = Reader::open(&counted, manifest, &identities).unwrap();
    let wanted: Vec<&Entry> = reader.index().entries.iter().filter(|entry| entry.path.ends_with("one.txt")).collect();
    let target = tempfile::tempdir().unwrap();
    let options = extract::Options { target: target.path().to_owned(), force: false, threads: 2 };
    extract(&reader, &wanted, &options, &Collector::default(), &Cancel::new()).unwrap();
    assert_eq!(fs::read(target.path().join("XYZBackup/SiteServer/inboxes/one.txt")).unwrap(), b"one");
    assert_eq!((script.count(Call::ReadRange), script.count(Call::Open)), (2, 0));
    assert!(script.bytes_read() < 20_000, "{}", script.bytes_read());
}

#[test]
fn archives_live_and_die_on_a_bucket() {
    let server = server();
    assert_whole_life(&Settings::new(&server.endpoint(), "s3://bucket/some/prefix"));
    assert_eq!(server.orphaned_parts(), 0);
}

/// Over a share or S3 these are the slow calls.
#[test]
fn run_lists_each_destination_once_before_and_once_after_and_reads_each_manifest_once() {
    let (host, server) = (Host::new(), server());
    let config = host.config(vec![host.folder(), Settings::new(&server.endpoint(), "s3://bucket/history").config()]);
    let scripts = [Script::default(), Script::default()];
    let targets: Vec<Target> = Target::all(&config, &Cancel::new())
        .into_iter()
        .zip(&scripts)
        .map(|(target, script)| {
            let faulty = Faulty::new(destination::open(target.settings(), &Cancel::new()).unwrap(), script);
            Target::opened(target.settings().clone(), Arc::new(faulty))
        })
        .collect();
    let run_once = || {
        scripts.iter().for_each(Script::forget);
        let (monitor, cancel) = (Collector::default(), Cancel::new());
        let context =
            Context { config: &config, targets: &targets, clock: &SystemClock, monitor: &monitor, cancel: &cancel };
        assert_eq!(run(&context).unwrap().severity(), Severity::Done);
        let count =
            |script: &Script| [Call::List, Call::Read, Call::Leftovers, Call::Claim].map(|call| script.count(call));
        scripts.each_ref().map(count)
    };
    for day in 10..14 {
        host.back_up("P01", day, 1);
        let known = u64::try_from(day - 10).unwrap();
        // Those that were there, and the new one.
        assert_eq!(run_once(), [[2, known + 1, 2, 1]; 2], "day {day}");
    }
    assert_eq!(run_once(), [[1, 4, 1, 0]; 2], "nothing to do");
}

#[test]
fn bucket_that_cannot_be_used_fails_alone() {
    let server = server();
    let good = || Settings::new(&server.endpoint(), "s3://bucket");
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let hanging = Canned::start(|_, _| Answer::Hang);
    let cases = [
        ("403", Settings { secret_key: "wrong".into(), ..good() }),
        ("refused", Settings::new(&format!("http://{closed}"), "s3://bucket")),
        ("time", Settings { options: vec![("timeout", "300ms")], ..Settings::new(&hanging.endpoint(), "s3://bucket") }),
    ];
    for (word, settings) in cases {
        let host = Host::new();
        host.back_up("XYZ", 22, 1);
        let began = Instant::now();
        let alone = host.run(vec![settings.config()]);
        assert_eq!(alone.severity(), Severity::Failed);
        let outcome = host.run(vec![settings.config(), host.folder()]);
        assert!(began.elapsed() < Duration::from_mins(4));
        assert_eq!(outcome.severity(), Severity::Partial, "{outcome:?}");
        let DestinationResult::Failed { reason, .. } = result(&outcome, "bucket") else { panic!("{outcome:?}") };
        assert!(reason.contains(word), "{reason}");
        let vault = destination::open(&host.folder(), &Cancel::new()).unwrap();
        assert_holds_the_snapshot(&host, &*vault, &id("XYZ", 22), None);
    }
    assert!(archives(&*good().open()).is_empty());
}

#[test]
fn run_survives_a_server_that_goes_away_and_comes_back() {
    let server = server();
    let proxy = Arc::new(Proxy::start(server.address()));
    let host = Host::new();
    host.back_up("XYZ", 22, 70);
    let settings = Settings { retry_for: Duration::from_mins(1), ..Settings::new(&proxy.endpoint(), "s3://bucket") };
    let cut = Arc::clone(&proxy);
    let monitor = At::bytes(60 * MIB, move || cut.away_for_connections(5));
    let config = host.config(vec![settings.config(), host.folder()]);
    let outcome = run_with(&config, &monitor, &Cancel::new()).unwrap();
    assert_eq!(outcome.severity(), Severity::Done, "{outcome:?}");
    assert!(proxy.connections().1 >= 5);
    assert_holds_the_snapshot(&host, &*settings.open(), &id("XYZ", 22), None);
    assert_eq!(server.orphaned_parts(), 0);
}

#[test]
fn server_that_is_gone_for_good_costs_its_copy_and_the_next_run_makes_it() {
    let server = server();
    let proxy = Arc::new(Proxy::start(server.address()));
    let host = Host::new();
    host.back_up("XYZ", 22, 120);
    let settings =
        Settings { retry_for: Duration::from_millis(300), ..Settings::new(&proxy.endpoint(), "s3://bucket") };
    let cut = Arc::clone(&proxy);
    let monitor = At::bytes(110 * MIB, move || cut.away());
    let config = host.config(vec![settings.config(), host.folder()]);
    let outcome = run_with(&config, &monitor, &Cancel::new()).unwrap();
    assert_eq!(outcome.severity(), Severity::Partial, "{outcome:?}");
    assert!(matches!(result(&outcome, "bucket"), DestinationResult::Failed { .. }));
    assert!(matches!(result(&outcome, "vault"), DestinationResult::Pushed { .. }));
    let direct = Settings::new(&server.endpoint(), "s3://bucket");
    assert!(archives(&*direct.open()).is_empty());

    let next = host.run(vec![direct.config(), host.folder()]);
    assert_eq!(next.severity(), Severity::Done, "{next:?}");
    assert_holds_the_snapshot(&host, &*direct.open(), &id("XYZ", 22), None);
    assert_eq!(server.orphaned_parts(), 0);
    assert!(direct.open().leftovers("XYZ").unwrap().is_empty());
}

#[test]
fn cancelled_run_ends_soon_and_leaves_nothing() {
    let server = server();
    let host = Host::new();
    host.back_up("XYZ", 22, 70);
    let settings = Settings::new(&server.endpoint(), "s3://bucket");
    let cancel = Cancel::new();
    let (asked, began) = (cancel.clone(), Instant::now());
    let monitor = At::bytes(60 * MIB, move || asked.cancel());
    let outcome = run_with(&host.config(vec![settings.config(), host.folder()]), &monitor, &cancel);
    assert!(matches!(outcome, Err(RunError::Cancelled)), "{outcome:?}");
    assert!(began.elapsed() < Duration::from_mins(4));
    let vault = destination::open(&host.folder(), &Cancel::new()).unwrap();
    for destination in [settings.open(), vault] {
        assert!(archives(&*destination).is_empty());
        assert!(destination.list("XYZ").unwrap().is_empty());
        assert!(destination.leftovers("XYZ").unwrap().is_empty());
    }
    assert_eq!(server.orphaned_parts(), 0);
}

#[test]
fn snapshot_that_changes_while_it_is_read_becomes_no_archive() {
    let host = Host::new();
    host.back_up("XYZ", 22, 9);
    let added = host.snapshots().join("XYZBackup/SiteServer/added");
    let monitor = At::bytes(MIB, move || fs::write(&added, "new").unwrap());
    let outcome = run_with(&host.config(vec![host.folder()]), &monitor, &Cancel::new()).unwrap();
    assert!(matches!(outcome.sites[0].result, SiteResult::Changed { .. }), "{outcome:?}");
    let vault = destination::open(&host.folder(), &Cancel::new()).unwrap();
    assert!(vault.list("XYZ").unwrap().is_empty() && vault.leftovers("XYZ").unwrap().is_empty());
}

#[test]
fn manifest_whose_archive_is_gone_does_not_pass_for_archived_and_is_replaced() {
    let host = Host::new();
    host.back_up("XYZ", 22, 1);
    host.run(vec![host.folder()]);
    let id = id("XYZ", 22);
    let manifest = host.vault().join(id.key(&id.manifest_name()));
    for spoil in ["gone", "cut", "manifest"] {
        let before = fs::read(&manifest).unwrap();
        let archive = host.vault().join(id.key(&Manifest::parse(&id.manifest_name(), &before).unwrap().archive));
        match spoil {
            "gone" => fs::remove_file(&archive).unwrap(),
            "cut" => fs::write(&archive, &fs::read(&archive).unwrap()[1..]).unwrap(),
            _ => fs::write(&manifest, "{").unwrap(),
        }
        let outcome = host.run(vec![host.folder()]);
        assert_eq!(outcome.severity(), Severity::Done, "{spoil}: {outcome:?}");
        assert!(matches!(result(&outcome, "vault"), DestinationResult::Pushed { .. }), "{spoil}: {outcome:?}");
        assert_ne!(fs::read(&manifest).unwrap(), before, "{spoil}");
        let vault = destination::open(&host.folder(), &Cancel::new()).unwrap();
        assert_holds_the_snapshot(&host, &*vault, &id, None);
    }
}

#[cfg(unix)] // Windows says of a file below a file that it is gone, which is no fault.
#[test]
fn what_is_wrong_with_one_site_does_not_cost_the_others_their_archive() {
    let host = Host::new();
    host.back_up("ABC", 22, 1);
    host.back_up("XYZ", 22, 1);
    // Something that cannot be read and is not just gone, deeper than a new run shows first.
    let folder = host.snapshots().join("ABCBackup/SiteServer/inboxes");
    let monitor = At::bytes(1, move || {
        fs::remove_dir_all(&folder).unwrap();
        fs::write(&folder, "now a file").unwrap();
    });
    let outcome = run_with(&host.config(vec![host.folder()]), &monitor, &Cancel::new()).unwrap();
    assert_eq!(outcome.severity(), Severity::Failed);
    assert!(matches!(outcome.sites[0].result, SiteResult::Failed { .. }), "{outcome:?}");
    assert_eq!(outcome.sites[1].result, SiteResult::Archived);
    let vault = destination::open(&host.folder(), &Cancel::new()).unwrap();
    assert_eq!(archives(&*vault), [id("XYZ", 22)]);
    assert!(vault.leftovers("ABC").unwrap().is_empty());
}

#[test]
fn copy_on_one_destination_is_worth_more_than_a_failure_of_the_other() {
    let server = server();
    let proxy = Arc::new(Proxy::start(server.address()));
    let host = Host::new();
    host.back_up("XYZ", 22, 40);
    host.run(vec![host.folder()]);
    let settings = Settings::new(&proxy.endpoint(), "s3://bucket");
    let cut = Arc::clone(&proxy);
    let monitor = At::bytes(MIB, move || cut.away());
    let config = host.config(vec![host.folder(), settings.config()]);
    let outcome = run_with(&config, &monitor, &Cancel::new()).unwrap();
    assert_eq!(outcome.severity(), Severity::Partial, "{outcome:?}");
}

#[test]
#[ignore = "needs the Ceph server of tests/ceph.sh"]
fn ceph_archives_live_and_die() {
    let settings = ceph_bucket("life", false);
    assert_whole_life(&settings);
    assert!(!request(&settings, "GET", "?uploads", &[], "").1.contains("<UploadId>"));
}

#[test]
#[ignore = "needs the Ceph server of tests/ceph.sh"]
fn ceph_archives_live_and_die_in_a_bucket_with_object_lock() {
    assert_whole_life(&ceph_bucket("lockedlife", true));
}

#[test]
#[ignore = "needs the Ceph server of tests/ceph.sh, and takes a minute"]
fn ceph_away_for_a_minute_in_the_middle_of_a_run_costs_a_minute_and_nothing_else() {
    let settings = ceph_bucket("awayrun", false);
    let proxy = Arc::new(Proxy::start(settings.endpoint.strip_prefix("http://").unwrap().parse().unwrap()));
    let through = Settings { endpoint: proxy.endpoint(), retry_for: Duration::from_mins(5), ..ceph(settings.bucket()) };
    let host = Host::new();
    host.back_up("XYZ", 22, 120);
    let cut = Arc::clone(&proxy);
    let monitor = At::bytes(90 * MIB, move || cut.away_for(Duration::from_mins(1)));
    let began = Instant::now();
    let config = host.config(vec![through.config(), host.folder()]);
    let outcome = run_with(&config, &monitor, &Cancel::new()).unwrap();
    assert_eq!(outcome.severity(), Severity::Done, "{outcome:?}");
    assert!(began.elapsed() >= Duration::from_mins(1));
    assert_holds_the_snapshot(&host, &*settings.open(), &id("XYZ", 22), None);
    assert!(!request(&settings, "GET", "?uploads", &[], "").1.contains("<UploadId>"));
}

#[test]
#[ignore = "needs the Ceph server of tests/ceph.sh"]
fn ceph_away_for_good_costs_its_copy_and_the_next_run_makes_it() {
    let settings = ceph_bucket("gonerun", false);
    let proxy = Arc::new(Proxy::start(settings.endpoint.strip_prefix("http://").unwrap().parse().unwrap()));
    let through = Settings { endpoint: proxy.endpoint(), retry_for: Duration::from_secs(2), ..ceph(settings.bucket()) };
    let host = Host::new();
    host.back_up("XYZ", 22, 120);
    let cut = Arc::clone(&proxy);
    let monitor = At::bytes(110 * MIB, move || cut.away());
    let config = host.config(vec![through.config(), host.folder()]);
    let outcome = run_with(&config, &monitor, &Cancel::new()).unwrap();
    assert_eq!(outcome.severity(), Severity::Partial, "{outcome:?}");
    assert!(archives(&*settings.open()).is_empty());
    let next = host.run(vec![settings.config(), host.folder()]);
    assert_eq!(next.severity(), Severity::Done, "{next:?}");
    assert_holds_the_snapshot(&host, &*settings.open(), &id("XYZ", 22), None);
    assert!(!request(&settings, "GET", "?uploads", &[], "").1.contains("<UploadId>"));
    assert!(settings.open().leftovers("XYZ").unwrap().is_empty());
}
