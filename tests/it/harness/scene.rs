//! A made-up site, its snapshot on disk, and the program run on it.
//!
//! Everything lies in one scratch folder, configuration and lock file included, so that tests run side by side. The
//! snapshot is of 2021: it must not lie in the future of whatever clock the test machine has.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use afterbackup::config::Config;
use filetime::FileTime;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::output::{Output, normalised_line, program, started};
use super::tree::{names, read_only, settle, touch};
use crate::synthetic::{Data, log};

/// When the snapshot of [`Scene::new`] was completed.
pub const COMPLETED: &str = "2021-11-22T23:59:00Z";
/// Its archive.
pub const ID: &str = "XYZ-20211122T235900Z";

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
        scene.database();
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

    /// A sound database of the site, with its log.
    pub fn database(&self) {
        self.file("SiteDBServer/CM_XYZ.mdf", &Data::default().build());
        self.file("SiteDBServer/CM_XYZ_log.ldf", &log(0, 26));
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
    #[must_use = "check how the run ended"]
    pub fn run(&self, args: &[&str]) -> Output {
        Output::of(self.command(args))
    }

    /// Starts the program, for those who do not wait for its end.
    #[must_use = "wait for its end"]
    pub fn spawn(&self, args: &[&str]) -> Child {
        started(|| self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn())
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

pub fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
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
