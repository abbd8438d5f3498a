//! A record as JSON, one object a line, with the names that `--json` has: `event`, `message`, `level` and the data.

use jiff::ZonedDateTime;
use serde::Serialize;
use serde_json::{Map, Value};

use super::record::Record;

#[derive(Serialize)]
struct Object<'a> {
    schema: u32,
    time: String,
    level: String,
    process: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    origin: &'a str,
    message: &'a str,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

pub(super) fn line(record: &Record<'_>, time: &ZonedDateTime, process: u32) -> String {
    const OURS: [&str; 7] = ["schema", "time", "level", "process", "event", "origin", "message"];
    // A name twice in one object would be read differently by every reader.
    let mut fields = record.fields.clone();
    fields.retain(|name, _| !OURS.contains(&name.as_str()));
    let object = Object {
        schema: 1,
        time: time.timestamp().to_string(),
        level: record.level.as_str().to_lowercase(),
        process,
        event: record.event,
        origin: record.origin,
        message: record.text,
        fields,
    };
    let mut line = serde_json::to_string(&object).expect("records have only string keys");
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn record_is_one_object_on_one_line_with_every_name_once() {
        let mut fields = Map::new();
        fields.insert("archive".to_owned(), "XYZ-1".into());
        fields.insert("level".to_owned(), 3.into());
        let record =
            Record { level: Level::ERROR, event: Some("failed"), origin: "", text: "two\nlines", fields: &fields };
        let time: jiff::Timestamp = "2026-11-22T23:59:00.5Z".parse().unwrap();
        assert_eq!(
            line(&record, &time.to_zoned_datetime(jiff::tz::TimeZone::UTC), 7),
            "{\"schema\":1,\"time\":\"2026-11-22T23:59:00.5Z\",\"level\":\"error\",\"process\":7,\"event\":\"failed\",\
             \"message\":\"two\\nlines\",\"archive\":\"XYZ-1\"}\n"
        );
    }
}
