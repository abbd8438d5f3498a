//! Secrets of destinations.

use secrecy::SecretString;

use super::error::{Error, ErrorKind};
use crate::config;

/// Reads a secret where the configuration says that it is.
pub(super) fn secret(secret: &config::Secret, subject: String) -> Result<SecretString, Error> {
    let env = |name: &str| std::env::var(name).ok();
    secret.read(&env).map_err(|error| Error::new(ErrorKind::Unauthenticated, "use", subject, error))
}
