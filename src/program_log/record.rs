//! What a line of the log tells, whatever it looks like.

use serde_json::{Map, Value};
use tracing::Level;

/// One thing to write down.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) level: Level,
    /// The kind of event, if it is one.
    pub(super) event: Option<&'a str>,
    /// Module and line that traced it; empty for events.
    pub(super) origin: &'a str,
    pub(super) text: &'a str,
    pub(super) fields: &'a Map<String, Value>,
}
