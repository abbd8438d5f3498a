//! What a drill found: for people, for programs, and for whoever asks later.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::monitor::{Event, EventKind};
use crate::name::ArchiveId;
use crate::units;

/// How a drill ended, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Passed {
    /// A site can be recovered from it.
    Yes,
    /// Something is missing or without proof.
    Partly,
    /// It could not be carried out, or its command failed.
    Failed,
    /// Something is damaged, or the database is missing.
    Damaged,
}

/// What a drill found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillReport {
    /// The archive.
    pub archive: ArchiveId,
    /// Where it was fetched from.
    pub destination: String,
    /// The computer of the drill.
    pub host: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// How it ended.
    pub passed: Passed,
    /// Everything that is not as it should be.
    pub findings: Vec<String>,
    /// Files fetched and compared with their SHA-256.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    /// Bytes read from the destination.
    pub read_bytes: u64,
    /// How long the fetch took.
    pub fetch_milliseconds: u64,
    /// How long checking the databases took.
    pub check_milliseconds: u64,
    /// Files of databases, with what was found.
    pub databases: Vec<CheckedFile>,
    /// What the command printed last.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub output: Vec<String>,
    /// Was the copy removed?
    pub removed: bool,
}

/// A file of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedFile {
    /// Its path.
    pub path: String,
    /// What was found.
    pub result: String,
}

impl DrillReport {
    pub(super) fn find(&mut self, passed: Passed, finding: String) {
        self.passed = self.passed.max(passed);
        self.findings.push(finding);
    }

    /// How long the fetch of a recovery takes, and how fast that is.
    #[must_use]
    pub fn fetch_in_words(&self) -> String {
        let seconds = self.fetch_milliseconds.div_ceil(1000).max(1);
        let rate = u128::from(self.bytes) * 1000 / u128::from(self.fetch_milliseconds.max(1));
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        format!(
            "{} in {} ({} of it read from {}), {} a second",
            units::format_bytes(self.bytes),
            units::format_duration(Duration::from_secs(seconds)),
            units::format_bytes(self.read_bytes),
            self.destination,
            units::format_bytes(rate)
        )
    }

    /// The result in a few words.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        match self.passed {
            Passed::Yes => "passed",
            Passed::Partly => "passed in part",
            Passed::Failed => "FAILED",
            Passed::Damaged => "DAMAGED",
        }
    }

    /// What is written down and told.
    #[must_use]
    pub fn event(&self) -> Event {
        let first = self.findings.first().map_or_else(String::new, |first| match self.findings.len() {
            1 => format!(": {first}"),
            count => format!(", {count} findings, first: {first}"),
        });
        let message =
            format!("Recovery drill of {} from {}: {}{first}", self.archive, self.destination, self.verdict());
        let event = match self.passed {
            Passed::Yes => Event::new(EventKind::Drilled, message),
            Passed::Partly => Event::new(EventKind::DrillPartial, message),
            Passed::Failed | Passed::Damaged => Event::new(EventKind::DrillFailed, message),
        };
        event.with("archive", self.archive.to_string()).with("destination", self.destination.clone())
    }

    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut lines = vec![
            format!("Recovery drill of {}: {}", self.archive, self.verdict()),
            String::new(),
            format!("Begun        {}", self.started),
            format!("Ended        {}", self.finished),
            format!("On           {}", self.host),
            format!("Read from    {}", self.destination),
        ];
        if self.files > 0 {
            let files = if self.files == 1 { "file" } else { "files" };
            lines.push(format!("Fetched      {} {files}, each compared with its SHA-256", self.files));
            lines.push(format!("Fetch        {}", self.fetch_in_words()));
            lines.push("             A recovery fetches the same from here to here in the same time.".into());
        }
        for file in &self.databases {
            lines.push(format!("Database     {}: {}", file.path, file.result));
        }
        for finding in &self.findings {
            lines.push(format!("Found        {finding}"));
        }
        for line in &self.output {
            lines.push(format!("Command      {line}"));
        }
        lines.push(format!("The copy     {}", if self.removed { "was removed" } else { "WAS NOT REMOVED" }));
        lines.join("\n") + "\n"
    }

    /// Writes JSON and text into a folder, never over files that are there; gives the path without extension. Names
    /// sort by time, also of drills that begin within one second.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn save(&self, folder: &Path) -> std::io::Result<PathBuf> {
        use std::io::Write as _;
        fs::create_dir_all(folder)?;
        let json = serde_json::to_vec_pretty(self).expect("a report has only string keys");
        let stem = format!("drill-{}-{}", self.started.strftime("%Y%m%dT%H%M%S.%9fZ"), self.archive);
        for (extension, bytes) in [("txt", self.to_text().into_bytes()), ("json", json)] {
            let path = folder.join(format!("{stem}.{extension}"));
            let mut file = File::options().write(true).create_new(true).open(path)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
        }
        Ok(folder.join(stem))
    }
}

/// A report is not larger.
const MAX_REPORT: u64 = 8 << 20;

/// The newest report of a folder. What is no report is passed over.
#[must_use]
pub fn last(folder: &Path) -> Option<DrillReport> {
    let mut names: Vec<String> =
        fs::read_dir(folder).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let is_report = |name: &String| {
        name.starts_with("drill-") && Path::new(name).extension().is_some_and(|extension| extension == "json")
    };
    names.retain(is_report);
    names.sort_unstable();
    names.iter().rev().find_map(|name| {
        let mut bytes = Vec::new();
        File::open(folder.join(name)).ok()?.take(MAX_REPORT).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    })
}
