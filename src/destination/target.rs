//! A destination together with its settings, opened when it is first used.
//!
//! Opening reads what only this destination needs: its secrets, its certificate authorities. Where one of them is
//! missing, that is a failure of this destination, as an absent server is: a run reports it and goes on to the others,
//! and a command that was told to use another destination never looks. A failed opening is tried again by the next
//! caller, so a watcher recovers once the secret is back; a successful one is kept.

use std::sync::{Arc, OnceLock};

use super::{Destination, Error, bucket, open};
use crate::cancel::Cancel;
use crate::config::{self, Config};
use crate::platform::verbatim::plain;

/// A destination and its settings.
#[derive(Debug)]
pub struct Target {
    settings: config::Destination,
    cancel: Cancel,
    opened: OnceLock<Arc<dyn Destination>>,
}

impl Target {
    /// The destination with these settings. Nothing is read or asked yet.
    #[must_use]
    pub fn new(settings: config::Destination, cancel: &Cancel) -> Self {
        Self { settings, cancel: cancel.clone(), opened: OnceLock::new() }
    }

    /// A destination that is open already, with its settings.
    #[must_use]
    pub fn opened(settings: config::Destination, destination: Arc<dyn Destination>) -> Self {
        Self { settings, cancel: Cancel::new(), opened: OnceLock::from(destination) }
    }

    /// The destinations of a configuration, in its order.
    #[must_use]
    pub fn all(config: &Config, cancel: &Cancel) -> Vec<Self> {
        config.destinations.iter().map(|settings| Self::new(settings.clone(), cancel)).collect()
    }

    /// The name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// How it is configured.
    #[must_use]
    pub fn settings(&self) -> &config::Destination {
        &self.settings
    }

    /// Path or URL for people, without secrets.
    #[must_use]
    pub fn location(&self) -> String {
        match (self.opened.get(), &self.settings.location) {
            (Some(destination), _) => destination.location(),
            (None, config::Location::Folder(path)) => plain(path).display().to_string(),
            (None, config::Location::Bucket(settings)) => bucket::location(settings),
        }
    }

    /// The destination, opened by the first call that succeeds.
    ///
    /// # Errors
    /// When a secret or a file that it needs is missing, or its settings contradict each other.
    pub fn open(&self) -> Result<&Arc<dyn Destination>, Error> {
        if let Some(destination) = self.opened.get() {
            return Ok(destination);
        }
        let destination = Arc::from(open(&self.settings, &self.cancel)?);
        Ok(self.opened.get_or_init(|| destination))
    }
}
