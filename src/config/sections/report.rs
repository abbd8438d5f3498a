//! `[report]`: who is told how a run went, and when silence is too long.
//!
//! Whoever knows a heartbeat's address can keep it beating: it is not printed.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::config::text::{At, Key, Kind, Reader, Section, key};

/// The keys of this section.
pub(in crate::config) const KEYS: &[Key] = &[
    key("overdue", Kind::Text, "\"5 days\""),
    key("heartbeat-url", Kind::Text, "\"https://hc.example.net/ping/…\""),
    key("metrics-file", Kind::Text, r"'C:\Program Files\windows_exporter\textfile_inputs\afterbackup.prom'"),
];

/// SQL Server keeps changes for so long by default; an older backup cannot catch up with its hierarchy.
const OVERDUE: Duration = Duration::from_hours(5 * 24);

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
    pub(in crate::config) fn report(&mut self, root: &Section<'_>) -> Report {
        let Some(section) = root.section("report") else { return Report::default() };
        let overdue = self.duration(&section, "overdue", OVERDUE);
        if overdue.is_zero() {
            let hint = "write how old the newest archive may be, like \"5 days\"";
            self.faults.add(Some(section.at("overdue")), section.label("overdue"), "must be longer than zero", hint);
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
            Err(_) => "is not a URL",
            Ok(url) if !matches!(url.scheme(), "http" | "https") => "is neither http nor https",
            Ok(url) if !url.username().is_empty() || url.password().is_some() => "must hold neither name nor password",
            Ok(url) => return Some(Heartbeat(url)),
        };
        let hint = "write the address that the service shows, like \"https://hc-ping.com/…\"";
        self.faults.add(Some(text.at), label, fault, hint);
        None
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
    fn address_is_not_printed() {
        let url = heartbeat("https://hc-ping.com/secret?key=secret");
        assert_eq!(format!("{url} {url:?}"), "hc-ping.com Heartbeat(hc-ping.com)");
    }
}
