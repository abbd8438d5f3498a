//! `[watch]`: how the resident watcher looks.

use std::time::Duration;

use crate::config::text::{Key, Kind, Reader, Section, key};

/// The keys of this section.
pub(in crate::config) const KEYS: &[Key] = &[
    key("events", Kind::Flag, "true"),
    key("poll", Kind::Text, "\"30s\""),
    key("stop-timeout", Kind::Text, "\"30s\""),
];

/// How the resident watcher looks.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Listen to file events besides polling.
    pub events: bool,
    /// Look at least this often.
    pub poll: Duration,
    /// How long it may take to stop.
    pub stop_timeout: Duration,
}

impl Default for Watch {
    fn default() -> Self {
        Self { events: true, poll: Duration::from_secs(30), stop_timeout: Duration::from_secs(30) }
    }
}

impl Reader<'_, '_> {
    pub(in crate::config) fn watch(&mut self, root: &Section<'_>) -> Watch {
        let default = Watch::default();
        let Some(section) = root.section("watch") else { return default };
        let poll = self.duration(&section, "poll", default.poll);
        if poll < Duration::from_secs(1) || poll > Duration::from_hours(1) {
            let hint = "write a time from \"1s\" to \"1h\"";
            self.faults.add(Some(section.at("poll")), section.label("poll"), "is out of range", hint);
        }
        let stop_timeout = self.duration(&section, "stop-timeout", default.stop_timeout);
        if stop_timeout < Duration::from_secs(5) || stop_timeout > Duration::from_mins(10) {
            let hint = "write a time from \"5s\" to \"10min\"";
            self.faults.add(Some(section.at("stop-timeout")), section.label("stop-timeout"), "is out of range", hint);
        }
        Watch { events: section.flag("events").unwrap_or(default.events), poll, stop_timeout }
    }
}
