//! The Windows event log: results and faults under fixed ids, for the tools that watch servers.
//!
//! [`entry`] decides what an event is there, as a pure function over a table that docs/monitoring.md repeats; ids are
//! never reused. Events that only a person following a run wants to see are not in it.
//!
//! The source is registered when the service is installed. Where it is not, nothing is written: without the program's
//! table of messages Event Viewer would show a complaint instead of the text. A record that cannot be written stops
//! nothing; whoever wants to know more reads the log file.

use crate::monitor::Event;

#[cfg(windows)]
mod source;

#[cfg(windows)]
pub use self::source::{EventLog, is_registered, register, unregister};

/// What the entries are listed under.
pub const SOURCE: &str = "afterbackup";

/// The event log takes no more than 31,839 characters, as UTF-16 counts them.
const MAX_UNITS: usize = 30_000;

/// What stands in the event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Fixed for the kind of event.
    pub id: u16,
    /// How much it matters.
    pub kind: Kind,
    /// The sentence, and what to do.
    pub text: String,
}

/// How much an entry matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 1000 to 1999.
    Information,
    /// 2000 to 2999.
    Warning,
    /// 3000 to 3999.
    Error,
}

/// What an event is in the event log; `None`: nothing.
///
/// ```
/// use afterbackup::event_log::{Kind, entry};
/// use afterbackup::monitor::{Event, EventKind};
///
/// let entry = entry(&Event::new(EventKind::Archived, "Archived XYZ-20261122T235900Z")).unwrap();
/// assert_eq!((entry.id, entry.kind), (1000, Kind::Information));
/// ```
#[must_use]
pub fn entry(event: &Event) -> Option<Entry> {
    let id = event.event.windows_id()?;
    let kind = match id {
        ..2000 => Kind::Information,
        2000..3000 => Kind::Warning,
        3000.. => Kind::Error,
    };
    let hint = event.fields.get("hint").and_then(serde_json::Value::as_str);
    let text = match hint {
        Some(hint) => format!("{}\nhint: {hint}", event.message),
        None => event.message.clone(),
    };
    Some(Entry { id, kind, text: insertable(&text) })
}

/// Text that Event Viewer shows as it is: `%1` in it would be taken for a place to insert something.
fn insertable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut after_percent, mut units) = (false, 0);
    for c in text.chars().filter(|c| *c != '\0') {
        // With what may go before it.
        units += c.len_utf16() + usize::from(after_percent || c == '\n');
        if units > MAX_UNITS {
            break;
        }
        if after_percent && (c.is_ascii_digit() || c == '%') {
            out.push(' ');
        }
        after_percent = c == '%';
        if c == '\n' && !out.ends_with('\r') {
            out.push('\r');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;

    #[test]
    fn documentation_has_the_table() {
        let page = include_str!("../../docs/monitoring.md");
        let (_, after) = page.split_once("| id | event | level | meaning |\n|---|---|---|---|\n").unwrap();
        let written: Vec<&str> = after.lines().take_while(|line| line.starts_with('|')).collect();
        let row = |kind: &EventKind| {
            let id = kind.windows_id().map_or_else(String::new, |id| id.to_string());
            let level = format!("{:?}", kind.level()).to_lowercase();
            format!("| {id} | `{kind}` | {level} | {} |", kind.meaning()).replace("|  |", "| |")
        };
        assert_eq!(written, EventKind::ALL.iter().map(row).collect::<Vec<_>>());
    }

    #[test]
    fn kind_follows_from_the_id_and_the_hint_from_the_sentence() {
        let event = Event::new(EventKind::PushFailed, "not on vault").with("hint", "create the folder");
        let entry = entry(&event).unwrap();
        assert_eq!((entry.id, entry.kind), (2000, Kind::Warning));
        assert_eq!(entry.text, "not on vault\r\nhint: create the folder");
        let kind = |kind| super::entry(&Event::new(kind, "")).map(|entry| entry.kind);
        assert_eq!((kind(EventKind::Failed), kind(EventKind::Archived)), (Some(Kind::Error), Some(Kind::Information)));
        assert_eq!((kind(EventKind::Pushed), kind(EventKind::Note)), (None, None));
    }

    #[test]
    fn text_inserts_nothing_and_fits() {
        assert_eq!(insertable("100%1 %%2 50% off \0"), "100% 1 % % 2 50% off ");
        for text in ["é", "\u{1f4be}", "\n", "%1", "%"] {
            let units = insertable(&text.repeat(40_000)).encode_utf16().count();
            assert!((MAX_UNITS / 2..=MAX_UNITS).contains(&units), "{text}: {units}");
        }
    }
}
