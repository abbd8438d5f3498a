//! `[drill]`: when an archive is fetched and checked as for a recovery, and where.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::text::{Key, Kind, Reader, Section, key};

/// The keys of this section.
pub(in crate::config) const KEYS: &[Key] = &[
    key("every", Kind::Text, "\"30 days\""),
    key("scratch", Kind::Text, r"'D:\Drill'"),
    key("reports", Kind::Text, r"'C:\ProgramData\afterbackup\drills'"),
    key("identity", Kind::Text, r"'D:\Keys\key.txt'"),
    key("then", Kind::Text, r"'powershell -File D:\Drill\attach.ps1'"),
    key("timeout", Kind::Text, "\"2h\""),
];

/// When an archive is fetched and checked as for a recovery, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drill {
    /// The watcher carries one out so often; `None`: never by itself.
    pub every: Option<Duration>,
    /// The folder for the copy; without one, the system's for temporary files.
    pub scratch: Option<PathBuf>,
    /// The folder of the reports.
    pub reports: PathBuf,
    /// The file with the secret key for encrypted archives.
    pub identity: Option<PathBuf>,
    /// A command to run on the copy.
    pub then: Option<String>,
    /// It is killed after this time.
    pub timeout: Duration,
}

/// How long a command on the copy may take.
pub const TIMEOUT: Duration = Duration::from_hours(2);

impl Default for Drill {
    fn default() -> Self {
        Self {
            every: None,
            scratch: None,
            reports: PathBuf::from("drills"),
            identity: None,
            then: None,
            timeout: TIMEOUT,
        }
    }
}

impl Reader<'_, '_> {
    pub(in crate::config) fn drill(&mut self, root: &Section<'_>, lock_file: &Path) -> Drill {
        // Beside what else is known of this configuration's runs.
        let default = Drill { reports: lock_file.with_extension("drills"), ..Drill::default() };
        let Some(section) = root.section("drill") else { return default };
        let every = section.has("every").then(|| self.duration(&section, "every", Duration::from_hours(30 * 24)));
        if every.is_some_and(|every| every < Duration::from_hours(1)) {
            let hint = "write a time of at least \"1h\"";
            self.faults.add(Some(section.at("every")), section.label("every"), "is too short", hint);
        }
        if every.is_some() && !section.has("scratch") {
            let hint = "name a folder with room for a whole archive, unpacked";
            self.faults.add(Some(section.at), section.label("scratch"), "missing", hint);
        }
        let timeout = self.duration(&section, "timeout", TIMEOUT);
        Drill {
            every,
            scratch: self.optional_path(&section, "scratch"),
            reports: self.optional_path(&section, "reports").unwrap_or(default.reports),
            identity: self.optional_path(&section, "identity"),
            then: section.text("then").map(|text| text.value),
            timeout,
        }
    }
}
