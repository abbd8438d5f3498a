//! Takes what the library traces into the log.
//!
//! Tracing begins before the configuration, which names the log, has been read: so a [`Slot`] is put into the
//! subscriber first and filled later. What was traced until then is for the console alone.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::{Log, Record};

/// Where the log will be. Clones are the same place.
#[derive(Debug, Clone, Default)]
pub struct Slot(Arc<OnceLock<Log>>);

impl Slot {
    /// From now on, what is traced goes to this log. Only the first one counts.
    pub fn fill(&self, log: Log) {
        drop(self.0.set(log));
    }

    /// The log, if it is there.
    #[must_use]
    pub fn log(&self) -> Option<&Log> {
        self.0.get()
    }

    /// For the subscriber.
    #[must_use]
    pub fn layer<S: Subscriber + for<'s> LookupSpan<'s>>(&self) -> impl Layer<S> + use<S> {
        let ours = Targets::new().with_target("afterbackup", Level::TRACE).with_default(Level::WARN);
        ToSlot(self.clone()).with_filter(ours)
    }
}

struct ToSlot(Slot);

impl<S: Subscriber> Layer<S> for ToSlot {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let Some(log) = self.0.log().filter(|log| log.wants(*metadata.level())) else { return };
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = metadata.line().map(|line| format!(":{line}")).unwrap_or_default();
        let origin = format!("{}{line}", metadata.target());
        log.write(&Record {
            level: *metadata.level(),
            event: None,
            origin: &origin,
            text: &fields.message,
            fields: &fields.others,
        });
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.put(field, text.into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.put(field, value.into());
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}
