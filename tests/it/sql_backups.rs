//! SQL Server's own backups as the snapshot: from the folder of Ola Hallengren's scripts to files that can be restored.

use std::fs;
use std::path::{Path, PathBuf};

use afterbackup::cancel::Cancel;
use afterbackup::clock::{Clock, SystemClock};
use afterbackup::engine::outcome::SiteResult;
use afterbackup::watch;
use jiff::SignedDuration;

use crate::harness::{Scene, assert_same_tree, at, names, noise, touch, until};
use crate::synthetic::{Backup as SqlBackup, Data, Headers};
use crate::torn::{Bench, Meddler};

const SERVER: &str = "SQL_01$CM_INST";

/// When a backup with this name was finished: a minute later, and an hour ahead of UTC.
fn finished(clock: &str) -> jiff::Timestamp {
    let (date, time) = clock.split_once('_').unwrap();
    let time = time.split('_').next().unwrap();
    let local: jiff::civil::DateTime = format!("{date}T{time}").parse().unwrap();
    jiff::tz::offset(1).to_timestamp(local).unwrap() + SignedDuration::from_mins(1)
}

/// The file of a backup, written as `KIND yyyymmdd_hhmmss[_n]`, below the folder of the database.
fn file_in(folder: &Path, name: &str) -> PathBuf {
    let (kind, clock) = name.split_once(' ').unwrap();
    let extension = if kind == "LOG" { "trn" } else { "bak" };
    folder.join(kind).join(format!("{SERVER}_CM_XYZ_{kind}_{clock}.{extension}"))
}

/// `20211122_220000` of a file's name.
fn clock_of(name: &str) -> Option<String> {
    let at = name.find("_2021")? + 1;
    name.get(at..at + 15).map(str::to_owned)
}

/// Where the log of the database is at this time.
fn lsn(clock: &str) -> (u32, u32) {
    let number = |range: std::ops::Range<usize>| clock.get(range).unwrap().parse::<u32>().unwrap();
    (number(4..6) * 31 + number(6..8), 16 + number(9..11) * 600 + number(11..13) * 10)
}

/// Tells backups apart.
fn tag(kind: &str, clock: &str) -> u8 {
    let (day, block) = lsn(clock);
    u8::try_from((day * 17 + block / 50 + u32::try_from(kind.len()).unwrap() * 5) % 251).unwrap()
}

/// A sound backup of a small database.
fn content(name: &str, headers: Headers) -> Vec<u8> {
    if name.starts_with("LOG") {
        return SqlBackup::log(headers).bytes;
    }
    SqlBackup::with(&Data { pages: 16, ..Data::default() }.build(), true, headers).bytes
}

/// Backups of site XYZ on disk.
pub(crate) struct Backups {
    pub(crate) scene: Scene,
}

impl Backups {
    /// Nothing yet.
    pub(crate) fn none() -> Self {
        let mut scene = Scene::bare();
        scene.snapshot_key("kind = 'sql-backups'\ncd-latest = 'CM01/cd.latest'");
        let setup = scene.path("CM01/cd.latest/SMSSETUP/BIN/X64/setup.exe");
        fs::create_dir_all(setup.parent().unwrap()).unwrap();
        fs::write(&setup, noise(3, 30_000)).unwrap();
        let mut folder = setup.as_path();
        while folder != scene.root() {
            touch(folder, at("2021-01-01T00:00:00Z"));
            folder = folder.parent().unwrap();
        }
        Self { scene }
    }

    /// A striped full, its differential backups, and log backups.
    fn new() -> Self {
        let backups = Self::none();
        for name in [
            "FULL 20211115_220000",
            "LOG 20211115_230000",
            "FULL 20211121_220000_1",
            "FULL 20211121_220000_2",
            "FULL 20211121_220000_3",
            "LOG 20211121_230000",
            "DIFF 20211122_220000",
            "LOG 20211122_230000",
        ] {
            backups.add(name);
        }
        backups
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        file_in(&self.scene.path(&format!("E/{SERVER}/CM_XYZ")), name)
    }

    pub(crate) fn add(&self, name: &str) {
        self.add_as(name, self.headers(name));
    }

    /// A backup with these headers.
    pub(crate) fn add_as(&self, name: &str, headers: Headers) {
        self.write(name, &content(name, headers));
    }

    /// What the headers of a backup say that was made at this time, after those that are there.
    pub(crate) fn headers(&self, name: &str) -> Headers {
        let (kind, clock) = name.split_once(' ').unwrap();
        let folder = self.file(name).parent().unwrap().parent().unwrap().to_owned();
        let before = |kind: &str| {
            let mut clocks: Vec<String> = names(&folder.join(kind)).iter().filter_map(|name| clock_of(name)).collect();
            clocks.retain(|other| Some(other.as_str()) < clock.get(..15));
            clocks.into_iter().next_back()
        };
        let stripe = clock.get(16..).map_or(1, |stripe| stripe.parse().unwrap());
        let base = before("FULL").filter(|_| kind == "DIFF");
        let first = before("LOG").filter(|_| kind == "LOG").map(|clock| lsn(&clock));
        Headers {
            media_set: tag(kind, clock),
            set: tag(kind, clock),
            families: if clock.len() > 15 { 3 } else { 1 },
            family: stripe,
            first: if kind == "LOG" { first.unwrap_or((1, 16)) } else { lsn(clock) },
            last: (lsn(clock).0, lsn(clock).1 + 1 - u32::from(kind == "LOG")),
            checkpoint: lsn(clock),
            base: (kind == "DIFF").then(|| base.as_deref().map_or((1, 1), lsn)),
            base_set: base.map_or(0, |clock| tag("FULL", &clock)),
            ..Headers::default()
        }
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.file(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        touch(&path, finished(name.split_once(' ').unwrap().1));
    }

    fn archives(&self) -> Vec<String> {
        let mut held = self.scene.held("vault");
        held.retain(|name| Path::new(name).extension().is_some_and(|extension| extension == "json"));
        held
    }
}

/// The archive of [`Backups::new`], named after its differential backup.
const DIFF_ID: &str = "XYZ.SQL-20211122T210100Z";

#[test]
fn backups_are_archived_shown_verified_and_fetched() {
    let backups = Backups::new();
    let scene = &backups.scene;
    for foreign in ["CM_XYZ/FULL/readme.txt", "CM_XYZ/LOG/SQL_CM_ABC_LOG_20211122_230000.trn", "SUSDB/FULL/x.bak"] {
        let path = scene.path(&format!("E/{SERVER}/{foreign}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "foreign").unwrap();
    }
    let events = scene.run(&["--json", "run"]).exits(0).events();
    let started = events.iter().find(|event| event["event"] == "started").unwrap();
    let evidence = started["evidence"].to_string();
    for words in [
        "FULL of 2021-11-21 22:00:00 in 3 files, DIFF of 2021-11-22 22:00:00, and 2 log backups since",
        "left alone: FULL/readme.txt, LOG/SQL_CM_ABC_LOG_20211122_230000.trn",
    ] {
        assert!(evidence.contains(words), "{evidence}");
    }
    assert!(events.iter().any(|event| event["event"] == "note" && event["message"].to_string().contains("readme.txt")));
    scene.run(&["run"]).exits(0).says("lready");
    scene.run(&["list", "--wide"]).exits(0).says(DIFF_ID);
    scene.run(&["show", "latest"]).exits(0).says("(sql-backups)").says("(cd-latest)").says("SQL Server's backup files");
    scene.run(&["verify"]).exits(0);

    scene.run(&["fetch", "latest", "--to", "out"]).exits(0);
    assert_eq!(names(&scene.path("out")), ["CD.Latest", "SQL"]);
    assert_same_tree(&scene.path("out/CD.Latest"), &scene.path("CM01/cd.latest"));
    let fetched = |kind: &str| names(&scene.path(&format!("out/SQL/CM_XYZ/{kind}")));
    assert_eq!((fetched("FULL").len(), fetched("DIFF").len(), fetched("LOG").len()), (3, 1, 2));
    for name in ["FULL 20211121_220000_2", "DIFF 20211122_220000", "LOG 20211121_230000"] {
        let original = backups.file(name);
        let copy = scene.path("out/SQL").join(original.strip_prefix(scene.path(&format!("E/{SERVER}"))).unwrap());
        assert_eq!(fs::read(&copy).unwrap(), fs::read(&original).unwrap());
        let time = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        assert_eq!(time(&copy), time(&original));
    }
    scene.run(&["fetch", "latest", "**/FULL/*", "--to", "full"]).exits(0);
    assert_eq!(names(&scene.path("full/SQL/CM_XYZ")), ["FULL"]);
    let untouched = scene.path(&format!("E/{SERVER}/CM_XYZ/FULL/readme.txt"));
    assert_eq!(fs::read_to_string(untouched).unwrap(), "foreign");
}

#[test]
fn new_full_or_diff_makes_an_archive_and_a_log_backup_alone_does_not() {
    let backups = Backups::new();
    let run = || backups.scene.run(&["run"]).exits(0);
    run();
    backups.add("LOG 20211122_231500");
    run();
    assert_eq!(backups.archives(), ["XYZ.SQL-20211122T210100Z.json"]);
    backups.add("DIFF 20211123_220000");
    run();
    backups.scene.run(&["show", "latest", "--files", "**/LOG/*"]).exits(0).says("LOG_20211122_231500");
    backups.add("FULL 20211124_220000");
    run();
    let archives = ["XYZ.SQL-20211122T210100Z.json", "XYZ.SQL-20211123T210100Z.json", "XYZ.SQL-20211124T210100Z.json"];
    assert_eq!(backups.archives(), archives);
    backups.scene.run(&["show", "latest", "--files", "**/LOG/*"]).exits(1).says("nothing in the archive matches");
}

#[test]
fn log_backup_makes_an_archive_when_it_is_told_to() {
    let mut backups = Backups::new();
    backups.scene.snapshot_key("log-backups = 'trigger'");
    backups.scene.run(&["run"]).exits(0);
    backups.add("LOG 20211122_231500");
    backups.scene.run(&["run"]).exits(0);
    assert_eq!(backups.archives(), ["XYZ.SQL-20211122T220100Z.json", "XYZ.SQL-20211122T221600Z.json"]);

    let mut backups = Backups::new();
    backups.scene.snapshot_key("log-backups = 'ignore'");
    backups.scene.run(&["run"]).exits(0);
    backups.scene.run(&["show", DIFF_ID, "--files", "**/LOG/*"]).exits(1).says("nothing in the archive matches");
}

#[test]
fn backup_that_is_not_whole_is_not_archived_and_the_reason_is_said() {
    let backups = Backups::new();
    let stripe = backups.file("FULL 20211121_220000_2");
    let bytes = fs::read(&stripe).unwrap();
    let nothing_new = |words: &str| {
        backups.scene.run(&["run"]).exits(4).says(words);
        assert_eq!(backups.archives(), Vec::<String>::new());
    };
    fs::remove_file(&stripe).unwrap();
    nothing_new("stripe 2 of 3 of the FULL of 2021-11-21 22:00:00 is missing");
    fs::write(&stripe, "").unwrap();
    nothing_new("_2.bak is empty");
    fs::write(&stripe, &bytes).unwrap();
    touch(&stripe, finished("20211121_220000"));
    backups.write("DIFF 20211123_220000", b"");
    nothing_new("DIFF_20211123_220000.bak is empty");
    backups.add("DIFF 20211123_220000");
    backups.scene.run(&["run"]).exits(0).says("XYZ.SQL-20211123T210100Z");
}

#[test]
fn log_backup_that_cannot_be_restored_is_left_out_with_a_warning() {
    let backups = Backups::new();
    backups.write("LOG 20211121_230000", b"");
    backups.scene.run(&["run"]).exits(0).says("the LOG of 2021-11-21 23:00:00 is left out").says("is empty");
    backups
        .scene
        .run(&["show", "latest", "--files", "**/LOG/*"])
        .exits(0)
        .says("LOG_20211122_230000")
        .says_not("20211121");
}

#[test]
fn backup_that_was_just_written_is_taken_after_the_quiet_period() {
    let mut backups = Backups::none();
    backups.scene.snapshot_key("quiet = '2s'");
    backups.add("FULL 20211121_220000");
    touch(&backups.file("FULL 20211121_220000"), SystemClock.now());
    backups.scene.run(&["run"]).exits(0).says("Checking for 2 s that nothing changes").says("Archived XYZ.SQL-");
}

#[test]
fn without_a_full_there_is_no_completed_snapshot() {
    let backups = Backups::none();
    let run = |words: &str| backups.scene.run(&["run"]).exits(4).says(words);
    run("expected a folder CM_XYZ (XYZ is the site code) with FULL, DIFF and LOG");
    fs::create_dir_all(backups.scene.path(&format!("E/{SERVER}/CM_XYZ/FULL"))).unwrap();
    run("there is no backup yet");
    backups.add("DIFF 20211122_220000");
    backups.add("LOG 20211122_230000");
    run("there is no full backup, only 1 DIFF and 1 LOG");
    backups.add("FULL 20211121_220000");
    // One that counts from it.
    backups.add("DIFF 20211122_220000");
    backups.scene.run(&["run"]).exits(0).says(DIFF_ID);
}

#[test]
fn copy_only_full_is_enough() {
    let backups = Backups::none();
    backups.add("FULL_COPY_ONLY 20211122_220000");
    backups.scene.run(&["run"]).exits(0).says(DIFF_ID);
    backups.scene.run(&["show", "latest", "--files"]).exits(0).says("SQL/CM_XYZ/FULL_COPY_ONLY/SQL_01");
}

#[test]
fn path_may_be_the_folder_of_the_server_or_of_the_database() {
    for below in [SERVER.to_owned(), format!("{SERVER}/CM_XYZ")] {
        let backups = Backups::new();
        let text = fs::read_to_string(backups.scene.config()).unwrap();
        fs::write(backups.scene.config(), text.replace("path = 'E'", &format!("path = 'E/{below}'"))).unwrap();
        backups.scene.run(&["run"]).exits(0).says(DIFF_ID);
    }
}

#[test]
fn every_site_gets_an_archive_and_the_newer_of_two_servers_counts() {
    let mut backups = Backups::new();
    // A site without instance, and the server that XYZ was on before.
    for (server, site, clock) in [("SQL02", "ABC", "20211120_220000"), ("OLD", "XYZ", "20211101_220000")] {
        let folder = backups.scene.path(&format!("E/{server}/CM_{site}/FULL"));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{server}_CM_{site}_FULL_{clock}.bak"));
        let database = if site == "ABC" { "CM_ABC" } else { "CM_XYZ" };
        let headers = Headers { database, ..backups.headers(&format!("FULL {clock}")) };
        let data = Data { pages: 16, name: database, ..Data::default() }.build();
        fs::write(&file, SqlBackup::with(&data, true, headers).bytes).unwrap();
        touch(&file, finished(clock));
    }
    let output = backups.scene.run(&["--json", "run"]).exits(0);
    assert!(output.stdout.contains("there are older backups in"), "{output}");
    assert_eq!(names(&backups.scene.path("vault")), ["ABC", "XYZ"]);
    backups.scene.run(&["show", "latest", "--site", "XYZ", "--files"]).exits(0).says_not("OLD_CM").says("DIFF_2021");
    backups.scene.snapshot_key("site = 'ABC'");
    fs::remove_dir_all(backups.scene.path("vault/ABC")).unwrap();
    backups.scene.run(&["run"]).exits(0).says("ABC.SQL-20211120T210100Z").says_not("XYZ.SQL-");
}

#[test]
fn damaged_backup_is_archived_and_told() {
    let backups = Backups::none();
    let mut bytes = SqlBackup::of(&Data::default().build(), true).bytes;
    backups.write("FULL 20211120_220000", &bytes);
    backups.scene.run(&["run"]).exits(0);
    backups.scene.run(&["list", "--wide"]).exits(0).says("ok ");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    backups.write("FULL 20211121_220000", &bytes);
    backups.scene.run(&["run"]).exits(6).says("SQL/CM_XYZ/FULL/");
    backups.scene.run(&["show", "latest-good"]).exits(0).says("XYZ.SQL-20211120T210100Z");
}

#[test]
fn missing_cd_latest_makes_the_archive_partial_and_is_loud() {
    let backups = Backups::new();
    fs::remove_dir_all(backups.scene.path("CM01")).unwrap();
    backups.scene.run(&["run"]).exits(3).says("CD.Latest");
    assert_eq!(backups.archives().len(), 1);

    let mut backups = Backups::new();
    backups.scene.snapshot_keys = "kind = 'sql-backups'\n".to_owned();
    backups.scene.configure();
    backups.scene.run(&["run"]).exits(0).says("cd-latest is missing").says("NOT enough");
}

struct Stop<'a>(&'a Cancel);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[test]
fn watcher_archives_each_new_full_or_diff_and_no_log_backup() {
    let mut backups = Backups::new();
    backups.scene.snapshot_key("quiet = '1s'");
    backups.scene.section("[watch]\nevents = false\npoll = '1s'");
    let bench = Bench::new(&mut backups.scene);
    let silent = Meddler::after(u64::MAX, || {});
    let context = bench.context(&silent, &SystemClock);
    std::thread::scope(|scope| {
        // Also when a check fails: the scope waits for its threads.
        let stop = Stop(&bench.cancel);
        scope.spawn(|| watch::watch(&context, || {}));
        until("the first is archived", || backups.archives().len() == 1);
        for name in ["LOG 20211122_233000", "DIFF 20211123_220000"] {
            backups.add(name);
        }
        until("the new one is archived", || backups.archives().len() == 2);
        drop(stop);
    });
    assert_eq!(backups.archives(), ["XYZ.SQL-20211122T210100Z.json", "XYZ.SQL-20211123T210100Z.json"]);
}

/// What comes of a run while something happens in the folder of the database: at the first block, in the middle, at the
/// end.
fn meanwhile(deed: impl Fn(&Path) + Clone + Send + 'static) -> Vec<(SiteResult, Bench, Backups)> {
    let moments = [Some(1), Some(6 << 20), None];
    let run = |after: Option<u64>| {
        let mut backups = Backups::new();
        backups.write("DIFF 20211122_220000", &noise(7, 12 << 20));
        let bench = Bench::new(&mut backups.scene);
        let (folder, deed) = (backups.scene.path(&format!("E/{SERVER}/CM_XYZ")), deed.clone());
        let deed = move || deed(&folder);
        let meddler = after.map_or_else(|| Meddler::at_end(deed.clone()), |after| Meddler::after(after, deed.clone()));
        let outcome = bench.run(&meddler, &SystemClock).unwrap();
        (outcome.sites[0].result.clone(), bench, backups)
    };
    moments.into_iter().map(run).collect()
}

fn is_dropped_when(deed: impl Fn(&Path) + Clone + Send + 'static) {
    for (result, bench, backups) in meanwhile(deed) {
        assert!(matches!(&result, SiteResult::Changed { changes } if !changes.is_empty()), "{result:?}");
        bench.assert_nothing_is_left(&backups.scene);
    }
}

#[test]
fn backup_that_vanishes_meanwhile_drops_the_attempt() {
    is_dropped_when(|folder| fs::remove_file(file_in(folder, "LOG 20211122_230000")).unwrap());
    is_dropped_when(|folder| fs::remove_file(file_in(folder, "FULL 20211121_220000_3")).unwrap());
}

#[test]
fn backup_that_changes_meanwhile_drops_the_attempt() {
    is_dropped_when(|folder| {
        use std::io::Write;
        let file = file_in(folder, "DIFF 20211122_220000");
        fs::File::options().append(true).open(file).unwrap().write_all(b"more").unwrap();
    });
}

#[test]
fn backups_that_appear_meanwhile_are_of_another_archive_and_change_nothing() {
    let outcomes = meanwhile(|folder| {
        for name in ["LOG 20211122_233000", "DIFF 20211123_220000", "FULL 20211124_220000_1"] {
            fs::write(file_in(folder, name), noise(5, 9000)).unwrap();
        }
        fs::write(folder.join("FULL/foreign.tmp"), "x").unwrap();
        // An older one that the cleanup takes belongs to no archive any more.
        fs::remove_file(file_in(folder, "FULL 20211115_220000")).unwrap();
    });
    for (result, _, backups) in outcomes {
        assert_eq!(result, SiteResult::Archived);
        assert_eq!(backups.archives(), [format!("{DIFF_ID}.json")]);
        backups.scene.run(&["verify", "latest"]).exits(0);
    }
}

#[cfg(windows)]
#[test]
fn backup_that_somebody_has_open_for_writing_is_not_taken() {
    let backups = Backups::new();
    let writer = fs::File::options().append(true).open(backups.file("DIFF 20211122_220000")).unwrap();
    backups.scene.run(&["run"]).exits(4).says("is still open for writing");
    drop(writer);
    backups.scene.run(&["run"]).exits(0).says(DIFF_ID);
}

// Judged by headers.

/// The program's run on these backups.
fn run(backups: &Backups, code: i32) -> crate::harness::Output {
    backups.scene.run(&["run"]).exits(code)
}

#[test]
fn stripe_that_is_missing_by_the_headers_is_refused() {
    let backups = Backups::none();
    let name = "FULL 20211121_220000";
    backups.add_as(name, Headers { families: 2, family: 1, ..backups.headers(name) });
    run(&backups, 4).says("stripe 2 of 2").says("FULL_20211121_220000.bak");
    assert!(backups.archives().is_empty());
    // The other one is there, in another directory and under another name.
    let other = backups.scene.path("E/Disk2/half.bak");
    fs::create_dir_all(other.parent().unwrap()).unwrap();
    fs::write(&other, content(name, Headers { families: 2, family: 2, ..backups.headers(name) })).unwrap();
    touch(&other, finished("20211121_220000"));
    run(&backups, 0);
    backups.scene.run(&["show", "latest", "--files"]).exits(0).says("Disk2/half.bak");
}

#[test]
fn stripes_of_different_backups_are_refused() {
    let backups = Backups::none();
    for (stripe, media_set) in [(1, 7), (2, 8)] {
        let name = format!("FULL 20211121_220000_{stripe}");
        backups.add_as(&name, Headers { families: 2, family: stripe, media_set, ..backups.headers(&name) });
    }
    run(&backups, 4).says("are files of different backups");
}

#[test]
fn differential_backup_of_another_base_is_left_out_and_named() {
    let backups = Backups::none();
    backups.add("FULL 20211121_220000");
    let diff = "DIFF 20211122_220000";
    backups.add_as(diff, Headers { base: Some((9, 9)), base_set: 99, ..backups.headers(diff) });
    run(&backups, 6).says("DIFF_20211122_220000.bak").says("based on another full backup");
    backups.scene.run(&["show", "latest", "--files"]).exits(0).says("FULL_20211121").says_not("DIFF_2021");
    // It is said as long as it is so.
    run(&backups, 6).says("based on another full backup");
    // A full that somebody made in between does no harm: the differential backup goes with its own.
    let backups = Backups::none();
    backups.add("FULL 20211120_220000");
    let headers = backups.headers(diff);
    backups.add("FULL 20211121_120000");
    backups.add_as(diff, headers);
    run(&backups, 0);
    backups.scene.run(&["show", "latest", "--files"]).exits(0).says("FULL_20211120").says("DIFF_20211122");
}

#[test]
fn gap_in_the_chain_of_log_backups_is_named() {
    let backups = Backups::none();
    for name in ["FULL 20211121_220000", "LOG 20211121_230000", "LOG 20211122_000000", "LOG 20211122_010000"] {
        backups.add(name);
    }
    fs::remove_file(backups.file("LOG 20211122_000000")).unwrap();
    run(&backups, 6).says("LOG_20211122_010000.trn").says("a log backup is missing");
    backups.scene.run(&["show", "latest", "--files"]).exits(0).says("LOG_20211121_230000").says_not("LOG_20211122_01");
}

#[test]
fn replicas_of_an_availability_group_are_one_history() {
    let backups = Backups::none();
    backups.add("FULL 20211121_220000");
    let log = "LOG 20211121_230000";
    let place = backups.scene.path("E/CLU$AG1/CM_XYZ/LOG/CLU$AG1_CM_XYZ_LOG_20211121_230000.trn");
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(&place, content(log, backups.headers(log))).unwrap();
    touch(&place, finished("20211121_230000"));
    run(&backups, 0);
    backups.scene.run(&["show", "latest", "--files"]).exits(0).says("CLU$AG1_CM_XYZ_LOG").says("_FULL_20211121");
}

#[test]
fn names_and_folders_of_any_kind_are_understood_by_the_headers() {
    for place in [
        "CM_XYZ_FULL_20211121_220000.bak",
        "SQL01/CM_XYZ/2021/11/SQL01_CM_XYZ_FULL_20211121_220000_1_of_1.bak",
        "SQL01/CM_XYZ/FULL/nightly.bkp",
        "backups/manually made.bak",
        "AG1/CM_XYZ/FULL/CLU$AG1_CM_XYZ_FULL_20211121_220000.full",
    ] {
        let backups = Backups::none();
        let path = backups.scene.path(&format!("E/{place}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content("FULL", backups.headers("FULL 20211121_220000"))).unwrap();
        touch(&path, finished("20211121_220000"));
        run(&backups, 0).says("Archived XYZ.SQL-20211121T210100Z");
    }
}

#[test]
fn newer_file_that_is_not_understood_is_named_and_costs_the_exit_code() {
    let backups = Backups::none();
    backups.add("FULL 20211121_220000");
    let unknown = backups.scene.path(&format!("E/{SERVER}/CM_XYZ/FULL/new naming.bak"));
    fs::write(&unknown, noise(1, 9000)).unwrap();
    touch(&unknown, finished("20211120_220000"));
    run(&backups, 0);
    touch(&unknown, finished("20211122_220000"));
    run(&backups, 6).says("new naming.bak");
    // Alone it is named, too.
    fs::remove_file(backups.file("FULL 20211121_220000")).unwrap();
    run(&backups, 4).says("new naming.bak");
}

#[test]
fn random_bytes_under_the_name_of_a_backup_are_damage() {
    let backups = Backups::none();
    backups.write("FULL 20211121_220000", &noise(1, 70_000));
    run(&backups, 6).says("headers of backups cannot be read").says("FULL_20211121_220000.bak");
    backups.scene.run(&["fetch", "latest-good", "--to", "x"]).exits(1);
}

#[test]
fn snapshots_and_sql_backups_of_one_site_are_two_histories_in_one_place() {
    let mut backups = Backups::none();
    backups.scene.section("[retention]\nlast = 1");
    backups.add("FULL 20211121_220000");
    run(&backups, 0);
    let site = Scene::new();
    fs::write(
        site.config(),
        format!(
            "lock-file = 'lock'\n[snapshot]\npath = 'E'\n[retention]\nlast = 1\n[[destination]]\nname = 'vault'\npath = '{}'",
            backups.scene.path("vault").display()
        ),
    )
    .unwrap();
    site.run(&["run"]).exits(0).says_not("database-worsened");
    backups.add("DIFF 20211122_220000");
    run(&backups, 0).says_not("is not found now");
    assert_eq!(backups.archives(), ["XYZ-20211122T235900Z.json", "XYZ.SQL-20211122T210100Z.json"]);
    site.run(&["show", "latest"]).exits(0).says("XYZ-20211122T235900Z");
    backups.scene.run(&["show", "latest"]).exits(0).says("XYZ.SQL-20211122T210100Z");
    site.run(&["prune"]).exits(0);
    assert_eq!(backups.archives().len(), 2);
}

#[test]
fn two_hundred_nights_of_dated_backups_say_nothing() {
    let mut backups = Backups::none();
    backups.scene.section("[retention]\nlast = 3\n[archive]\nlevel = 1\nthreads = 1");
    let bench = Bench::new(&mut backups.scene);
    let first: jiff::civil::Date = "2021-01-03".parse().unwrap();
    for night in 0..200_i64 {
        let day = first.checked_add(jiff::Span::new().days(night)).unwrap().strftime("%Y%m%d").to_string();
        for (hour, log) in [("04", true), ("12", true), ("22", false)] {
            let kind = match (log, night % 7) {
                (true, _) => "LOG",
                (false, 0) => "FULL",
                (false, _) => "DIFF",
            };
            // In summer the clock of the server is an hour ahead.
            let minute = if (80..140).contains(&night) { "30" } else { "00" };
            backups.add(&format!("{kind} {day}_{hour}{minute}00"));
        }
        // The maintenance scripts delete what is older than two weeks.
        for kind in ["FULL", "DIFF", "LOG"] {
            let folder = backups.scene.path(&format!("E/{SERVER}/CM_XYZ/{kind}"));
            let names = names(&folder);
            for old in names.iter().take(names.len().saturating_sub(28)) {
                fs::remove_file(folder.join(old)).unwrap();
            }
        }
        let now = finished(&format!("{day}_223000")) + SignedDuration::from_mins(10);
        crate::database::quiet_night(&bench, now, night);
        if night % 13 == 0 {
            crate::database::quiet_night(&bench, now + SignedDuration::from_mins(30), night);
        }
    }
}
