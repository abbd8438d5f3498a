//! A made-up site, its snapshot on disk, and the program run on it.
//!
//! Everything lies in one scratch folder, configuration and lock file included, so that tests run side by side. The
//! snapshot is of 2021: it must not lie in the future of whatever clock the test machine has.

#![allow(unreachable_pub, dead_code, reason = "not every system uses all of it")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use afterbackup::config::Config;
use filetime::FileTime;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// When the snapshot of [`Scene::new`] was completed.
pub const COMPLETED: &str = "2021-11-22T23:59:00Z";
/// Its archive.
pub const ID: &str = "XYZ-20211122T235900Z";

/// How long something that needs a moment may take before the test fails.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// A scratch folder with a snapshot, destinations and a configuration.
pub struct Scene {
    folder: TempDir,
    /// Lines of the configuration below `[snapshot]` and its path.
    pub snapshot_keys: String,
    /// What follows the snapshot's section and the destinations.
    pub sections: String,
    /// Names of destinations; each is a folder of that name. Keys may follow after a line feed.
    pub destinations: Vec<String>,
}

impl Scene {
    /// A small completed snapshot of site XYZ and one destination, `vault`.
    pub fn new() -> Self {
        let scene = Self::bare();
        scene.file("SiteDBServer/CM_XYZ.mdf", &noise(1, 700_000));
        scene.file("SiteDBServer/CM_XYZ_log.ldf", &text(900_000));
        scene.file("SiteServer/SMSServer/data/hman.ini", b"[hman]\r\nversion=5.00.9128\r\n");
        scene.file("SiteServer/SMSServer/inboxes/auth/empty.box", b"");
        scene.file(
            "SiteServer/SMSServer/srvacct/\u{fc}berraschung \u{2014} \u{65e5}\u{672c}.txt",
            b"names are not ASCII",
        );
        for number in 0..30 {
            scene.file(&format!("SiteServer/SMSServer/Logs/log{number}.log"), &text(1000 * number));
        }
        fs::create_dir_all(scene.snapshot().join("SiteServer/SMSServer/inboxes/empty folder/deeper")).unwrap();
        scene.file("CD.Latest/SMSSETUP/BIN/X64/setup.exe", &noise(2, 20_000));
        scene.file("CD.Latest/skpswi.dat", b"read-only on real servers");
        read_only(&scene.snapshot().join("CD.Latest/skpswi.dat"), true);
        scene.complete(COMPLETED);
        scene
    }

    /// The folders and the configuration, but no snapshot.
    pub fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("E")).unwrap();
        let mut scene =
            Self { folder, snapshot_keys: String::new(), sections: String::new(), destinations: Vec::new() };
        scene.destination("vault");
        scene
    }

    /// Adds a destination, a folder of this name; further keys may follow the name after a line feed.
    pub fn destination(&mut self, name: &str) {
        fs::create_dir_all(self.path(name.lines().next().unwrap())).unwrap();
        self.destinations.push(name.to_owned());
        self.configure();
    }

    /// Adds keys to `[snapshot]`.
    pub fn snapshot_key(&mut self, line: &str) {
        writeln!(self.snapshot_keys, "{line}").unwrap();
        self.configure();
    }

    /// Adds a section of the configuration.
    pub fn section(&mut self, text: &str) {
        writeln!(self.sections, "{text}").unwrap();
        self.configure();
    }

    /// Writes the configuration.
    pub fn configure(&self) {
        let mut toml = format!("lock-file = 'lock'\n[snapshot]\npath = 'E'\n{}", self.snapshot_keys);
        toml += &self.sections;
        for destination in &self.destinations {
            let (name, keys) = destination.split_once('\n').unwrap_or((destination, ""));
            writeln!(toml, "[[destination]]\nname = '{name}'\npath = '{name}'\n{keys}").unwrap();
        }
        fs::write(self.config(), toml).unwrap();
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("afterbackup.toml")
    }

    /// The configuration as the library sees it.
    pub fn loaded(&self) -> Config {
        Config::load(&self.config(), &|_| None).unwrap()
    }

    pub fn snapshot(&self) -> PathBuf {
        self.path("E/XYZBackup")
    }

    /// The files of site XYZ on a destination, partial and foreign ones included.
    pub fn held(&self, destination: &str) -> Vec<String> {
        names(&self.path(destination).join("XYZ"))
    }

    /// How many archives are visible on a destination.
    pub fn manifests(&self, destination: &str) -> usize {
        self.held(destination).iter().filter(|name| Path::new(name).extension().is_some_and(|e| e == "json")).count()
    }

    pub fn archive(&self, destination: &str) -> PathBuf {
        self.path(destination).join("XYZ").join(format!("{ID}.tar.zst"))
    }

    pub fn manifest(&self, destination: &str) -> PathBuf {
        self.path(destination).join("XYZ").join(format!("{ID}.json"))
    }

    /// Writes a file of the snapshot, with a time of its own that has a fraction of a second.
    pub fn file(&self, name: &str, bytes: &[u8]) {
        let path = self.snapshot().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        let nanoseconds = u32::try_from(name.len() % 80).unwrap() * 12_345_600;
        let time = at(COMPLETED) - SignedDuration::from_mins(20);
        filetime::set_file_mtime(&path, FileTime::from_unix_time(time.as_second(), nanoseconds)).unwrap();
    }

    /// Completes the snapshot as the backup task does: metadata, then the log, whose copy lies in the snapshot.
    pub fn complete(&self, completed: &str) {
        let completed = at(completed);
        let folder = self.snapshot();
        fs::create_dir_all(&folder).unwrap();
        let document = folder.join("BackupDocument.xml");
        fs::write(&document, "<?xml version=\"1.0\"?><BACKUP_COMPONENTS/>").unwrap();
        fs::write(folder.join("smsbkup.log"), log_of_completed_run(completed)).unwrap();
        let before = completed - SignedDuration::from_secs(1);
        touch(&document, before);
        touch(&folder.join("smsbkup.log"), completed);
        self.settle(before);
    }

    /// Gives all folders of the snapshot this time.
    pub fn settle(&self, time: Timestamp) {
        settle(&self.snapshot(), time);
    }

    /// The program with this scene's configuration.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = program();
        command.arg("--config").arg(self.config()).args(args).current_dir(self.root());
        // On Windows the log is there, unless the configuration says otherwise.
        command.env("ProgramData", self.path("ProgramData"));
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        Output::of(self.command(args))
    }

    /// Starts the program, for those who do not wait for its end.
    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// What was printed, without what differs from machine to machine.
    pub fn normalised(&self, printed: &str) -> String {
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let real = self.root().canonicalize().unwrap();
        let printed = printed.replace(&*real.to_string_lossy(), "TMP").replace(&*self.root().to_string_lossy(), "TMP");
        let printed = printed.replace('\\', "/").replace(&host, "HOST").replace(env!("CARGO_PKG_VERSION"), "VERSION");
        printed.lines().map(normalised_line).fold(String::new(), |all, line| all + line.trim_end() + "\n")
    }
}

/// Sizes depend on the version of zstd, ages on the day; columns are as wide as they are.
fn normalised_line(line: &str) -> String {
    if line.starts_with("---") {
        return "---".to_owned();
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut out: Vec<String> = Vec::new();
    for (number, word) in words.iter().enumerate() {
        let bare = word.trim_matches(['(', ')', ',', ';']);
        let unit = words.get(number + 1).map_or("", |next| next.trim_matches(['(', ')', ',', ';']));
        let is_number = bare.parse::<f64>().is_ok();
        out.push(match bare {
            "B" | "KiB" | "MiB" | "GiB" if out.last().is_some_and(|last| last.ends_with("SIZE")) => {
                out.last_mut().unwrap().push_str(word.trim_start_matches(bare));
                continue;
            }
            _ if is_number && ["B", "KiB", "MiB", "GiB", "bytes"].contains(&unit) => word.replace(bare, "SIZE"),
            _ if bare.len() == 64 && bare.bytes().all(|b| b.is_ascii_hexdigit()) => word.replace(bare, "SHA-256"),
            _ if is_number && ["days", "months", "years", "year", "day"].contains(&unit) => word.replace(bare, "AGE"),
            // A time of today, not of the snapshot.
            _ if bare.ends_with('Z') && bare.parse::<Timestamp>().is_ok() && !bare.starts_with("2021") => {
                word.replace(bare, "NOW")
            }
            _ => (*word).to_owned(),
        });
    }
    out.join(" ")
}

/// The program, without the settings of whoever runs the tests.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterbackup"));
    command.env_remove("AFTERBACKUP_CONFIG").env_remove("RUST_LOG").env("TZ", "UTC").stdin(Stdio::null());
    command
}

/// What a run of the program said.
#[derive(Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Runs a command to its end. Whatever it does, it does not panic.
    pub fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        let output = Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!output.stderr.contains("panicked"), "{command:?}\n{output}");
        output
    }

    /// Checks the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Checks that both streams together say this.
    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(self.stdout.contains(words) || self.stderr.contains(words), "'{words}' is not in\n{self}");
        self
    }

    /// Checks that neither stream says this.
    #[track_caller]
    pub fn says_not(self, words: &str) -> Self {
        assert!(!self.stdout.contains(words) && !self.stderr.contains(words), "'{words}' is in\n{self}");
        self
    }

    /// The one document of `--json`.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let json: serde_json::Value = serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}:\n{self}"));
        assert_eq!(json["schema"], 1, "{self}");
        json
    }

    /// The events of `run --json`.
    #[track_caller]
    pub fn events(&self) -> Vec<serde_json::Value> {
        let lines = self.stdout.lines();
        let events: Vec<serde_json::Value> =
            lines.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}:\n{self}"))).collect();
        for event in &events {
            assert_eq!(event["schema"], 1, "{event}");
            assert!(event["event"].is_string() && event["message"].is_string(), "{event}");
        }
        events
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {:?}\nstdout:\n{}\nstderr:\n{}", self.code, self.stdout, self.stderr)
    }
}

pub fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// Gives a folder and all folders below it this time.
pub fn settle(folder: &Path, time: Timestamp) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            settle(&entry.path(), time);
        }
    }
    touch(folder, time);
}

/// Sets the time of a file or folder.
pub fn touch(path: &Path, time: Timestamp) {
    let nanoseconds = u32::try_from(time.subsec_nanosecond()).unwrap();
    filetime::set_file_mtime(path, FileTime::from_unix_time(time.as_second(), nanoseconds)).unwrap();
}

#[allow(clippy::permissions_set_readonly_false, reason = "of a scratch file")]
pub fn read_only(path: &Path, read_only: bool) {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    permissions.set_readonly(read_only);
    fs::set_permissions(path, permissions).unwrap();
}

/// Names in a folder, sorted; none if there is no such folder.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return vec![] };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

/// Synthetic, in the native format of the task's log: no complete real one is publicly available.
pub fn log_of_completed_run(completed: Timestamp) -> String {
    let started = completed - SignedDuration::from_mins(30);
    let copying = completed - SignedDuration::from_mins(25);
    log_line("SMS_SITE_BACKUP is starting.~", started)
        + &status_message(5055, started)
        + &status_message(5056, copying)
        + &log_line("Backup task completed successfully with zero errors", completed)
        + &status_message(5035, completed)
}

/// Synthetic, too.
pub fn status_message(id: u32, time: Timestamp) -> String {
    let gmt = time.strftime("%a %b %d %H:%M:%S.%3f %Y");
    log_line(
        &format!(
            "STATMSG: ID={id} SEV=I LEV=M SOURCE=\"SMS Server\" COMP=\"SMS_SITE_BACKUP\" SYS=CM01.example.net SITE=XYZ \
             PID=4712 TID=6140 GMTDATE={gmt} ISTR0=\"\" ISTR1=\"\" NUMATTRS=0"
        ),
        time,
    )
}

/// A line of the task's log, synthetic like all of them.
pub fn log_line(text: &str, time: Timestamp) -> String {
    let stamp = time.strftime("%m-%d-%Y %H:%M:%S.%3f");
    format!("{text}  $$<SMS_SITE_BACKUP><{stamp}+000><thread=6140 (0x17FC)>\r\n")
}

/// Bytes that do not compress; the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Bytes that do.
pub fn text(length: usize) -> Vec<u8> {
    b"Inbox source is local; scanning inbox. ".iter().copied().cycle().take(length).collect()
}

/// What is in a folder: paths with `/`, for files their SHA-256, for both their time.
pub fn tree(folder: &Path) -> BTreeMap<String, Node> {
    let mut found = BTreeMap::new();
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            let metadata = entry.metadata().unwrap();
            let modified = FileTime::from_last_modification_time(&metadata);
            let sha256 = metadata.is_file().then(|| Sha256::digest(fs::read(entry.path()).unwrap()).into());
            let read_only = metadata.is_file() && metadata.permissions().readonly();
            if metadata.is_dir() {
                folders.push((entry.path(), format!("{name}/")));
            }
            found.insert(name, Node { sha256, modified, read_only });
        }
    }
    found
}

/// A file, or without SHA-256 a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub sha256: Option<[u8; 32]>,
    pub modified: FileTime,
    pub read_only: bool,
}

/// Checks that a fetched folder is the one that was archived.
#[track_caller]
pub fn assert_same_tree(fetched: &Path, archived: &Path) {
    let (fetched, archived) = (tree(fetched), tree(archived));
    assert_eq!(fetched.keys().collect::<Vec<_>>(), archived.keys().collect::<Vec<_>>());
    for (name, node) in &archived {
        assert!(fetched[name] == *node, "{name}: {:?} instead of {node:?}", fetched[name]);
    }
}

/// Every file of `fetched` is one of `archived`, whole. How many there are.
#[track_caller]
pub fn assert_part_of_tree(fetched: &Path, archived: &Path) -> usize {
    assert_part_of(fetched, &tree(archived))
}

/// The same for many looks at what was archived. Partial files of a fetch that died say so by their names.
#[track_caller]
pub fn assert_part_of(fetched: &Path, archived: &BTreeMap<String, Node>) -> usize {
    let fetched = tree(fetched);
    let is_partial = |name: &str| name.rsplit('/').next().is_some_and(|name| name.starts_with(".afterbackup-partial-"));
    let files = fetched.iter().filter(|(name, node)| node.sha256.is_some() && !is_partial(name));
    files.inspect(|(name, node)| assert!(archived.get(*name) == Some(*node), "{name} is not what was archived")).count()
}

/// Waits until something is so.
#[track_caller]
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Removes a folder with everything in it, if it is there. Windows keeps read-only files.
pub fn remove_tree(folder: &Path) {
    if cfg!(windows) {
        for (name, node) in if folder.exists() { tree(folder) } else { BTreeMap::new() } {
            if node.read_only {
                read_only(&folder.join(name), false);
            }
        }
    }
    until("the folder is gone", || fs::remove_dir_all(folder).is_ok() || !folder.exists());
}

/// Copies a folder with everything in it.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &place);
        } else {
            fs::copy(entry.path(), &place).unwrap();
        }
    }
}

/// On the build server everything that a test needs has to be there; elsewhere it is left out, and says so.
#[allow(clippy::print_stderr, reason = "the test harness shows it")]
pub fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "cannot be tested here: {why}");
    eprintln!("skipped: {why}");
}

/// A small file system of its own, for as long as this lives.
#[cfg(target_os = "linux")]
pub struct Mount(PathBuf);

#[cfg(target_os = "linux")]
impl Mount {
    /// `None` where mounting is not allowed.
    pub fn tmpfs(place: &Path, options: &str) -> Option<Self> {
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(place).output().unwrap();
        if output.status.success() {
            return Some(Self(place.to_owned()));
        }
        skip(&format!("mount says {}", String::from_utf8_lossy(&output.stderr).trim()));
        None
    }
}

#[cfg(target_os = "linux")]
impl Drop for Mount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}
