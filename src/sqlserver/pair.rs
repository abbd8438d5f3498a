//! Whether the files of a snapshot belong together: a restored data file with another day's log does not open.
//!
//! The set is judged, not the pair: a database may have several data and log files, and a leftover log beside the right
//! one is no damage. What the reports do not hold (they were stored and read back, or too much was seen to keep it) is
//! noted as not checked and is never an error.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::report::{Facts, Kind, Report};
use super::trail::Known;

/// One thing found in comparing the files of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairFinding {
    /// How much it matters.
    pub severity: Severity,
    /// The rule that found it.
    pub rule: Rule,
    /// The file it is about.
    pub path: PathBuf,
    /// The file it was compared with, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<PathBuf>,
    /// The same for people.
    pub text: String,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// A rule could not be checked.
    NotChecked,
    /// Worth knowing.
    Warning,
    /// The files do not belong together.
    Damage,
}

/// The rules files of one database keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Rule {
    /// All files name the same database.
    Binding,
    /// The checkpoint is a block of the log.
    Checkpoint,
    /// No page is newer than the log.
    WriteAhead,
    /// The data file names the log file.
    FileList,
    /// After a clean shutdown, the log ends with the checkpoint.
    CleanShutdown,
    /// Pages in use are there.
    LostPages,
    /// Every file that the database names is there.
    Missing,
    /// Any rule of a later version of this program.
    #[serde(other)]
    Other,
}

type File<'a> = (&'a Path, &'a Report);

/// Which files of a database must be among those that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Present {
    /// Whichever the caller happened to have: one that is not here is worth a note.
    Some,
    /// All of them: a log or data file that is not here is damage, and so is a log that cannot be compared.
    All,
}

/// Compares all files of a snapshot; nothing found means that they belong together.
#[must_use]
pub fn pair<'a>(files: impl IntoIterator<Item = (&'a Path, &'a Report)>, present: Present) -> Vec<PairFinding> {
    let files: Vec<File<'a>> = files.into_iter().collect();
    let of = |wanted: fn(&Report) -> bool| files.iter().copied().filter(|file| wanted(file.1)).collect::<Vec<_>>();
    let primaries = of(|report| report.kind == Kind::Data && facts(report).file_id == Some(1));
    let others = of(|report| report.kind == Kind::Data && facts(report).file_id != Some(1));
    let logs = of(|report| report.kind == Kind::Log);
    let mut pairing = Pairing { present, findings: Vec::new() };
    for &primary in &primaries {
        pairing.database(primary, &primaries, &others, &logs);
    }
    pairing.strays(&primaries, &others, "data file");
    pairing.strays(&primaries, &logs, "log file");
    pairing.findings
}

fn facts(report: &Report) -> &Facts {
    const NONE: &Facts = &Facts {
        database: None,
        version: None,
        internal_version: None,
        created_version: None,
        compatibility_level: None,
        page_verify: None,
        clean_shutdown: None,
        binding_id: None,
        file_guid: None,
        family_guid: None,
        logical_name: None,
        file_id: None,
        size_pages: None,
        checkpoint_lsn: None,
        max_page_lsn: None,
        end_of_log: None,
    };
    report.facts.as_ref().unwrap_or(NONE)
}

#[derive(Debug)]
struct Pairing {
    present: Present,
    findings: Vec<PairFinding>,
}

impl Pairing {
    fn add(&mut self, severity: Severity, rule: Rule, path: &Path, with: Option<&Path>, text: String) {
        self.findings.push(PairFinding { severity, rule, path: path.into(), with: with.map(Into::into), text });
    }

    fn database(&mut self, primary: File<'_>, primaries: &[File<'_>], others: &[File<'_>], logs: &[File<'_>]) {
        let about = facts(primary.1);
        let name = about.database.as_deref().or(about.logical_name.as_deref()).unwrap_or("without a name");
        let Some(binding) = about.binding_id else {
            let text =
                format!("database {name}: its file header could not be read, so its other files were not compared");
            return self.add(self.unless_all(Severity::NotChecked), Rule::Binding, primary.0, None, text);
        };
        let own = |files: &[File<'_>]| -> Vec<usize> {
            let is_own = |at: &usize| files.get(*at).is_some_and(|file| facts(file.1).binding_id == Some(binding));
            (0..files.len()).filter(is_own).collect()
        };
        let data: Vec<File<'_>> = own(others).into_iter().filter_map(|at| others.get(at).copied()).collect();
        let own_logs: Vec<File<'_>> = own(logs).into_iter().filter_map(|at| logs.get(at).copied()).collect();
        for &file in &data {
            self.further_data_file(primary, file);
        }
        self.further_files(primary, name, &data);
        if own_logs.is_empty() {
            // The logs of other databases here say nothing of this one.
            let binding_of = |file: &File<'_>| facts(file.1).binding_id;
            let is_free = |log: &&File<'_>| primaries.iter().all(|one| binding_of(one) != binding_of(log));
            let free: Vec<&File<'_>> = logs.iter().filter(|log| binding_of(log).is_none() || is_free(log)).collect();
            let unreadable = free.iter().any(|log| binding_of(log).is_none());
            let (severity, text) = match (free.is_empty(), about.clean_shutdown) {
                (false, _) if unreadable => (
                    self.unless_all(Severity::NotChecked),
                    format!("database {name}: the file header of a log could not be read, so it was not compared"),
                ),
                (false, _) => (Severity::Damage, format!("database {name}: none of the log files here belongs to it")),
                (true, Some(false)) => (
                    self.unless_all(Severity::Warning),
                    format!("database {name} was not shut down cleanly and its log file is not here"),
                ),
                (true, _) if self.present == Present::Some => return,
                (true, _) => (Severity::Damage, format!("database {name}: its log file is not here")),
            };
            return self.add(severity, Rule::Binding, primary.0, None, text);
        }
        self.checkpoint(primary, name, &own_logs);
        self.write_ahead(primary, name, &data, &own_logs);
        for &log in &own_logs {
            self.file_list(primary, name, log);
        }
    }

    fn unless_all(&self, otherwise: Severity) -> Severity {
        match self.present {
            Present::All => Severity::Damage,
            Present::Some => otherwise,
        }
    }

    /// The data files that the first one names must be here.
    fn further_files(&mut self, primary: File<'_>, name: &str, data: &[File<'_>]) {
        for listed in &primary.1.evidence.further_files {
            if data.iter().all(|file| facts(file.1).file_id != Some(listed.id)) {
                let text = format!("database {name}: its data file {} (number {}) is not here", listed.name, listed.id);
                self.add(self.unless_all(Severity::Warning), Rule::Missing, primary.0, None, text);
            }
        }
    }

    fn further_data_file(&mut self, primary: File<'_>, file: File<'_>) {
        if facts(file.1).file_id.is_some_and(|id| id < 3) {
            let text = "this data file has the number of another file of its database".to_owned();
            self.add(Severity::Damage, Rule::Binding, file.0, Some(primary.0), text);
        }
        // Only the first file says whether the database was shut down cleanly.
        if file.1.pages.lost > 0 && facts(primary.1).clean_shutdown == Some(true) && !file.1.is_damaged() {
            let text = format!(
                "{} pages are in use but not there, though the database was shut down cleanly",
                file.1.pages.lost
            );
            self.add(Severity::Damage, Rule::LostPages, file.0, Some(primary.0), text);
        }
    }

    fn checkpoint(&mut self, primary: File<'_>, name: &str, logs: &[File<'_>]) {
        let about = facts(primary.1);
        let Some(checkpoint) = about.checkpoint_lsn else { return };
        let known = |log: &File<'_>| match &log.1.evidence.trails {
            _ if log.1.is_damaged() => Known::Dropped,
            Some(trails) => trails.has(checkpoint),
            None => Known::Dropped,
        };
        let with = if let [log] = logs { Some(log.0) } else { None };
        let known: Vec<Known> = logs.iter().map(known).collect();
        if known.contains(&Known::Yes) {
        } else if known.contains(&Known::Dropped) {
            let text = format!("database {name}: whether its checkpoint {checkpoint} is in the log was not checked");
            self.add(Severity::NotChecked, Rule::Checkpoint, primary.0, with, text);
        } else {
            let text =
                format!("database {name}: its checkpoint {checkpoint} is not in the log; the log is of another time");
            self.add(Severity::Damage, Rule::Checkpoint, primary.0, with, text);
        }
        let newest = logs.iter().filter_map(|log| log.1.evidence.trails.as_ref()?.newest()).max();
        if about.clean_shutdown == Some(true) && newest.is_some_and(|newest| newest > checkpoint.sequence) {
            let text = format!("database {name} was shut down cleanly, and yet its log goes on after that");
            self.add(Severity::Warning, Rule::CleanShutdown, primary.0, with, text);
        }
    }

    fn write_ahead(&mut self, primary: File<'_>, name: &str, data: &[File<'_>], logs: &[File<'_>]) {
        let newest =
            std::iter::once(&primary).chain(data).filter_map(|file| Some((facts(file.1).max_page_lsn?, file.0)));
        let end = logs.iter().filter_map(|log| Some((facts(log.1).end_of_log?, log.0))).max();
        let (Some((page, path)), Some((end, log))) = (newest.max(), end) else { return };
        if page < end {
            return;
        }
        if logs.iter().any(|log| log.1.is_damaged()) {
            let text =
                format!("database {name}: whether its pages are older than the end of the damaged log was not checked");
            return self.add(Severity::NotChecked, Rule::WriteAhead, path, Some(log), text);
        }
        let text =
            format!("database {name}: a page was changed at {page}, after the log ends at {end}; the log is older");
        self.add(Severity::Damage, Rule::WriteAhead, path, Some(log), text);
    }

    fn file_list(&mut self, primary: File<'_>, name: &str, log: File<'_>) {
        let Some(guid) = facts(log.1).file_guid else { return };
        let evidence = &primary.1.evidence;
        if evidence.file_list.iter().any(|page| page.windows(16).any(|bytes| bytes == guid.0)) {
            return;
        }
        let (severity, text) = if evidence.file_list.is_empty() || evidence.file_list_cut || primary.1.is_damaged() {
            (Severity::NotChecked, format!("database {name}: whether it lists this log file was not checked"))
        } else {
            (Severity::Damage, format!("database {name} does not list this log file"))
        };
        self.add(severity, Rule::FileList, primary.0, Some(log.0), text);
    }

    /// Files of no database here. Beside the right files they are left over from something else.
    fn strays(&mut self, primaries: &[File<'_>], files: &[File<'_>], what: &str) {
        if primaries.is_empty() {
            return;
        }
        for file in files {
            let binding = facts(file.1).binding_id;
            if binding.is_some()
                && primaries.iter().all(|primary| facts(primary.1).binding_id.is_some_and(|id| Some(id) != binding))
            {
                let text = format!("this {what} belongs to no database in this snapshot");
                self.add(Severity::Warning, Rule::Binding, file.0, None, text);
            }
        }
    }
}
