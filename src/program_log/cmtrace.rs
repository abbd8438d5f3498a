//! A record as `CMTrace` reads it: `<![LOG[text]LOG]!><time="…" date="…" component="…" context="" type="1" thread="N"
//! file="">`
//!
//! One record is one line, whatever its text holds: tools that read by lines, ours among them, then never take the
//! middle of a record for a record of its own. `thread` is the number of the process: runs and the service write to the
//! same file, and which of them wrote a line is worth more than which of its threads.

use jiff::ZonedDateTime;
use tracing::Level;

use super::record::Record;

/// Begins every file: a byte order mark, so that no reader takes UTF-8 for the server's code page.
pub(super) const HEAD: &str = "\u{feff}";

/// Ends the text of a record.
const CLOSE: &str = "]LOG]!>";
/// Stands in for it within the text.
const CLOSE_IN_TEXT: &str = "]LOG]! >";
/// Stands in for a line feed.
const LINE_FEED: &str = " | ";

pub(super) fn line(record: &Record<'_>, time: &ZonedDateTime, process: u32) -> String {
    let kind = match record.level {
        Level::ERROR => 3,
        Level::WARN => 2,
        _ => 1,
    };
    let date = time.strftime("%m-%d-%Y");
    let clock = time.strftime("%H:%M:%S.%3f");
    let text = text(record);
    let file = attribute(record.origin);
    let bias = bias(time);
    format!(
        "<![LOG[{text}{CLOSE}<time=\"{clock}{bias}\" date=\"{date}\" component=\"afterbackup\" context=\"\" \
         type=\"{kind}\" thread=\"{process}\" file=\"{file}\">\r\n"
    )
}

/// What Windows calls the bias: minutes to add to local time to get UTC.
fn bias(time: &ZonedDateTime) -> String {
    match -time.offset().seconds() / 60 {
        0 => "+000".to_owned(),
        minutes => format!("{minutes:+}"),
    }
}

/// The sentence, what to do about it, and, of what was traced, the data. Events have their data in the sentence.
fn text(record: &Record<'_>) -> String {
    let mut text = record.text.to_owned();
    if record.event.is_none() {
        for (name, value) in record.fields {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text = format!("{text} {name}={value}");
        }
    } else if let Some(hint) = record.fields.get("hint").and_then(serde_json::Value::as_str) {
        text = format!("{text} (hint: {hint})");
    }
    one_line(&text)
}

/// Text that cannot end its record, nor its line.
fn one_line(text: &str) -> String {
    let lines: Vec<String> =
        text.lines().map(|line| line.trim().replace(char::is_control, " ")).filter(|line| !line.is_empty()).collect();
    let mut text = lines.join(LINE_FEED);
    // Once may leave, or make, another one.
    while text.contains(CLOSE) {
        text = text.replace(CLOSE, CLOSE_IN_TEXT);
    }
    // Must not run together with the end either.
    if text.ends_with("]LOG]!") || CLOSE.chars().next().is_some_and(|bracket| text.ends_with(bracket)) {
        text.push(' ');
    }
    text
}

fn attribute(text: &str) -> String {
    text.replace(['"', '<', '>'], " ").replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;
    use crate::source::task_log::Line;

    fn record<'a>(text: &'a str, fields: &'a Map<String, serde_json::Value>) -> Record<'a> {
        Record { level: Level::INFO, event: Some("archived"), origin: "", text, fields }
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    #[test]
    fn record_has_the_form_of_the_servers_logs() {
        let time: Timestamp = "2026-11-22T23:59:00.0625Z".parse().unwrap();
        let fields = Map::new();
        let written = |level, name: &str| {
            line(&Record { level, ..record("Archived", &fields) }, &time.to_zoned_datetime(zone(name)), 4711)
        };
        assert_eq!(
            written(Level::INFO, "Europe/Berlin"),
            "<![LOG[Archived]LOG]!><time=\"00:59:00.062-60\" date=\"11-23-2026\" component=\"afterbackup\" context=\"\" \
             type=\"1\" thread=\"4711\" file=\"\">\r\n"
        );
        assert!(written(Level::WARN, "America/Los_Angeles").contains("time=\"15:59:00.062+480\" date=\"11-22-2026\""));
        assert!(written(Level::WARN, "UTC").contains("time=\"23:59:00.062+000\""));
        for (level, kind) in [(Level::ERROR, 3), (Level::WARN, 2), (Level::DEBUG, 1)] {
            assert!(written(level, "UTC").contains(&format!("type=\"{kind}\"")));
        }
    }

    #[test]
    fn hint_follows_the_sentence_and_data_follows_what_was_traced() {
        let mut fields = Map::new();
        fields.insert("hint".to_owned(), "create the folder".into());
        assert_eq!(text(&record("vault is gone", &fields)), "vault is gone (hint: create the folder)");
        fields.clear();
        fields.insert("path".to_owned(), "E:\\x".into());
        fields.insert("bytes".to_owned(), 7.into());
        assert_eq!(text(&Record { event: None, ..record("Read", &fields) }), "Read bytes=7 path=E:\\x");
    }

    #[test]
    fn text_ends_neither_its_record_nor_its_line() {
        assert_eq!(one_line("a.toml:3: unknown key\n  hint: remove it\r\n"), "a.toml:3: unknown key | hint: remove it");
        assert_eq!(one_line("tab\there \u{85}"), "tab here");
        assert_eq!(one_line("a]LOG]!><time=\"x\">"), "a]LOG]! ><time=\"x\">");
        assert_eq!(one_line("\n\n"), "");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            words in any::<String>(),
            odd in "[\\[\\]LOG!<>=\"\n\r $~a]{0,40}",
            seconds in 0_i64..4_000_000_000,
            milliseconds in 0..1000,
            zone_name in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati"]),
            process in any::<u32>(),
        ) {
            let time = Timestamp::new(seconds, milliseconds * 1_000_000).unwrap();
            let fields = Map::new();
            for words in [words.clone(), odd.clone(), format!("{words}{odd}")] {
                let written = line(&record(&words, &fields), &time.to_zoned_datetime(zone(zone_name)), process);
                let body = written.strip_suffix("\r\n").unwrap();
                prop_assert!(!body.contains(['\n', '\r']));
                prop_assert_eq!(body.matches(CLOSE).count(), 1);
                let read = Line::parse(body);
                let stamp = read.stamp.clone().unwrap();
                prop_assert_eq!(stamp.utc().unwrap(), time);
                prop_assert_eq!(stamp.thread, Some(process));
                prop_assert_eq!(stamp.component, "afterbackup");
                // The reader drops what closes a line of the server: blanks and one `~`.
                let expected = one_line(&words);
                let expected = expected.trim();
                prop_assert_eq!(read.text, expected.strip_suffix('~').unwrap_or(expected).trim_end());
            }
        }
    }
}
