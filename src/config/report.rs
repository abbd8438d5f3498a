//! `[hooks]` and `[report]`: who is told how a run went, and when silence is too long.
//!
//! Command lines may hold passwords, and whoever knows a heartbeat's address can keep it beating: neither is printed.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::Snapshot;
use super::raw::{self, At, Item, Section};
use super::validate::Reader;

const HOOK_TIMEOUT: Duration = Duration::from_mins(10);
/// SQL Server keeps changes for so long by default; an older backup cannot catch up with its hierarchy.
const OVERDUE: Duration = Duration::from_hours(5 * 24);

/// Commands before and after a run, in the order in which they are run.
#[derive(Debug, Clone, Default)]
pub struct Hooks {
    /// Before anything is touched.
    pub run_before: Vec<Hook>,
    /// After a run that ended with 0.
    pub run_after: Vec<Hook>,
    /// After a run that ended otherwise, and when backups are overdue.
    pub run_failed: Vec<Hook>,
    /// After every run, whatever became of it.
    pub run_finally: Vec<Hook>,
}

/// A command.
#[derive(Clone, PartialEq, Eq)]
pub struct Hook {
    /// For the system's shell.
    pub command: String,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// It is killed when it takes longer.
    pub timeout: Duration,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command: _, on_failure, timeout } = self;
        f.debug_struct("Hook").field("on_failure", on_failure).field("timeout", timeout).finish_non_exhaustive()
    }
}

/// What the failure of a hook means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The run fails: it does not begin, or does not end with 0.
    Error,
    /// It is told.
    Warn,
    /// Nothing.
    Ignore,
}

/// How others learn how runs went, and that none did.
#[derive(Debug, Clone)]
pub struct Report {
    /// Without a newer archive than this, backups are overdue.
    pub overdue: Duration,
    /// Who waits for a sign of life.
    pub heartbeat: Option<Heartbeat>,
    /// Metrics for Prometheus' textfile collectors.
    pub metrics_file: Option<PathBuf>,
}

impl Default for Report {
    fn default() -> Self {
        Self { overdue: OVERDUE, heartbeat: None, metrics_file: None }
    }
}

/// The address of a service that waits for a sign of life. Never printed whole: whoever knows it can send one.
#[derive(Clone, PartialEq, Eq)]
pub struct Heartbeat(Url);

impl Heartbeat {
    /// Where success is told.
    #[must_use]
    pub fn success(&self) -> Url {
        self.0.clone()
    }

    /// Where failure is told: `/fail` behind the path, as healthchecks.io has it.
    #[must_use]
    pub fn fail(&self) -> Url {
        let mut url = self.0.clone();
        // Refused only for addresses without a path, which http has none of.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("fail");
        }
        url
    }
}

/// The server alone.
impl fmt::Display for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.host_str().unwrap_or_default())
    }
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Heartbeat({self})")
    }
}

impl Reader<'_, '_> {
    pub(super) fn hooks(&mut self, root: &Section<'_>) -> Hooks {
        let Some(section) = root.section("hooks") else { return Hooks::default() };
        let timeout = self.timeout(&section, HOOK_TIMEOUT);
        let mut hooks = |key: &str| {
            let items = section.commands(key);
            items.into_iter().filter_map(|item| self.hook(item, timeout)).collect()
        };
        Hooks {
            run_before: hooks("run-before"),
            run_after: hooks("run-after"),
            run_failed: hooks("run-failed"),
            run_finally: hooks("run-finally"),
        }
    }

    fn hook(&mut self, item: Item<'_>, timeout: Duration) -> Option<Hook> {
        let section = match item {
            Item::Text(At { value: command, .. }) => {
                return Some(Hook { command, on_failure: OnFailure::Error, timeout });
            }
            Item::Table(section) => section,
        };
        if !section.has("command") {
            self.faults.add(Some(section.at), section.label("command"), "missing", "write { command = '…' }");
        }
        let on_failure = section.text("on-failure").map_or(Some(OnFailure::Error), |text| {
            const KNOWN: [&str; 3] = ["error", "warn", "ignore"];
            let known = match text.value.as_str() {
                "error" => Some(OnFailure::Error),
                "warn" => Some(OnFailure::Warn),
                "ignore" => Some(OnFailure::Ignore),
                _ => None,
            };
            if known.is_none() {
                let hint = raw::closest(&text.value, &KNOWN).map_or_else(
                    || "write \"error\", \"warn\" or \"ignore\"".to_owned(),
                    |near| format!("did you mean \"{near}\"?"),
                );
                let message = format!("'{}' is nothing to do on failure", text.value);
                self.faults.add(Some(text.at), section.label("on-failure"), message, hint);
            }
            known
        });
        let timeout = self.timeout(&section, timeout);
        Some(Hook { command: section.text("command")?.value, on_failure: on_failure?, timeout })
    }

    /// A command that is killed before it begins is never meant.
    fn timeout(&mut self, section: &Section<'_>, default: Duration) -> Duration {
        let timeout = self.duration(section, "timeout", default);
        if timeout.is_zero() {
            let hint = "write the longest time that a command may take, like \"10min\"";
            self.faults.add(Some(section.at("timeout")), section.label("timeout"), "is no time at all", hint);
            return default;
        }
        timeout
    }

    pub(super) fn report(&mut self, root: &Section<'_>) -> Report {
        let Some(section) = root.section("report") else { return Report::default() };
        let overdue = self.duration(&section, "overdue", OVERDUE);
        if overdue.is_zero() {
            let hint = "write how old the newest archive may be, like \"5 days\"";
            self.faults.add(Some(section.at("overdue")), section.label("overdue"), "is no time at all", hint);
        }
        let heartbeat = section.text("heartbeat-url").and_then(|text| self.heartbeat(&section, &text));
        let metrics_file = self.optional_path(&section, "metrics-file");
        if metrics_file.as_ref().is_some_and(|file| file.extension().is_none_or(|extension| extension != "prom")) {
            let label = section.label("metrics-file");
            self.warnings.push(format!("{label}: the textfile collectors only read files whose names end in .prom"));
        }
        Report { overdue, heartbeat, metrics_file }
    }

    fn heartbeat(&mut self, section: &Section<'_>, text: &At<String>) -> Option<Heartbeat> {
        let label = section.label("heartbeat-url");
        let fault = match Url::parse(&text.value) {
            Err(_) => "is no address",
            Ok(url) if !matches!(url.scheme(), "http" | "https") => "is neither http nor https",
            Ok(url) if !url.username().is_empty() || url.password().is_some() => "must hold neither name nor password",
            Ok(url) => return Some(Heartbeat(url)),
        };
        let hint = "write the address that the service shows, like \"https://hc-ping.com/…\"";
        self.faults.add(Some(text.at), label, fault, hint);
        None
    }

    /// The backup task deletes its folder before every run.
    pub(super) fn check_metrics_file(&mut self, root: &Section<'_>, snapshot: &Snapshot, report: &Report) {
        let (Some(section), Some(file)) = (root.section("report"), &report.metrics_file) else { return };
        if snapshot.holds(file) {
            let hint = "the backup task DELETES its folder before every run: put it elsewhere";
            let label = section.label("metrics-file");
            self.faults.add(Some(section.at("metrics-file")), label, "lies inside the snapshot's folder", hint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeat(url: &str) -> Heartbeat {
        Heartbeat(url.parse().unwrap())
    }

    #[test]
    fn failure_is_told_behind_the_path_and_before_the_query() {
        for (url, fail) in [
            ("https://hc-ping.com/uuid", "https://hc-ping.com/uuid/fail"),
            ("https://hc-ping.com/uuid/", "https://hc-ping.com/uuid/fail"),
            ("https://hc-ping.com/key/slug?create=1", "https://hc-ping.com/key/slug/fail?create=1"),
            ("http://h", "http://h/fail"),
        ] {
            assert_eq!(heartbeat(url).fail().as_str(), fail);
            assert_eq!(heartbeat(url).success(), url.parse().unwrap());
        }
    }

    #[test]
    fn neither_address_nor_command_is_printed() {
        let url = heartbeat("https://hc-ping.com/secret?key=secret");
        assert_eq!(format!("{url} {url:?}"), "hc-ping.com Heartbeat(hc-ping.com)");
        let hook = Hook { command: "send --password secret".to_owned(), on_failure: OnFailure::Warn, timeout: OVERDUE };
        assert!(!format!("{hook:?}").contains("secret"));
    }
}
