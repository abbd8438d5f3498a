//! What happened, for people and for programs: the one language in which the library tells what it does.

use std::fmt;

use serde::{Serialize, Serializer};

pub use self::table::{EventKind, Level};

mod table;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Event {
    /// What kind of event.
    pub event: EventKind,
    /// One sentence for people.
    pub message: String,
    /// How much it matters.
    pub level: Level,
    /// The data, for programs.
    #[serde(flatten)]
    pub fields: serde_json::Map<String, serde_json::Value>,
}

impl Event {
    /// An event of this kind with a sentence for people.
    #[must_use]
    pub fn new(event: EventKind, message: impl Into<String>) -> Self {
        Self { event, message: message.into(), level: event.level(), fields: serde_json::Map::new() }
    }

    /// It matters more, or less, than events of its kind do as a rule.
    #[must_use]
    pub fn at(self, level: Level) -> Self {
        Self { level, ..self }
    }

    /// Adds a field for programs.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<serde_json::Value>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for EventKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_ids_are_there_once_and_ids_in_order() {
        let ids: Vec<u16> = EventKind::ALL.iter().filter_map(|kind| kind.windows_id()).collect();
        assert!(ids.is_sorted() && ids.iter().all(|id| (1000..4000).contains(id)), "{ids:?}");
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        let names: BTreeSet<&str> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), EventKind::ALL.len());
        assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '-')), "{names:?}");
        assert_eq!(serde_json::to_value(EventKind::PushFailed).unwrap(), "push-failed");
    }
}
