//! A sign of life for a service that raises an alarm when none comes, in the form of healthchecks.io: a POST to the
//! address after success, to the address with `/fail` behind it after failure.
//!
//! It must neither fail nor hold up a run: a few seconds for each try, three tries, and a warning when none got
//! through; the service itself notices that nothing came. The body is a sentence without names of hosts and files,
//! since the service may be somebody else's. No error text holds the address.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use tokio::runtime::Builder;
use url::Url;

use crate::cancel::Cancel;
use crate::error::chain;

/// For one try, from the name of the server to its answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Waits before the second and third try.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// Why the service was not told.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeartbeatError {
    /// The client cannot be set up.
    #[error("cannot set up HTTP: {0}")]
    Setup(String),
    /// The server was not reached, or did not answer.
    #[error("{0}")]
    Transport(String),
    /// The server refused.
    #[error("the server answered {0}")]
    Status(StatusCode),
}

impl HeartbeatError {
    /// May another try help?
    fn is_transient(&self) -> bool {
        match self {
            Self::Setup(_) => false,
            Self::Transport(_) => true,
            Self::Status(status) => {
                status.is_server_error()
                    || matches!(*status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
            }
        }
    }
}

impl From<reqwest::Error> for HeartbeatError {
    fn from(error: reqwest::Error) -> Self {
        Self::Transport(chain(&error.without_url()))
    }
}

/// Sends the message. Tries again unless somebody asks to stop.
pub(super) fn send(url: &Url, message: &str, cancel: &Cancel) -> Result<(), HeartbeatError> {
    send_with(url, message, cancel, TIMEOUT, &WAITS)
}

fn send_with(
    url: &Url,
    message: &str,
    cancel: &Cancel,
    timeout: Duration,
    waits: &[Duration],
) -> Result<(), HeartbeatError> {
    // Process-wide, and whoever comes first is right: it is the only one compiled in.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = Client::builder()
        .user_agent(concat!("afterbackup/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(timeout / 2)
        .timeout(timeout)
        .build()
        .map_err(|error| HeartbeatError::Setup(chain(&error.without_url())))?;
    let runtime =
        Builder::new_current_thread().enable_all().build().map_err(|error| HeartbeatError::Setup(error.to_string()))?;
    let mut waits = waits.iter();
    loop {
        let result = runtime.block_on(post(&client, url, message));
        match (result, waits.next()) {
            (Err(error), Some(wait)) if error.is_transient() && !cancel.wait(*wait) => {
                tracing::debug!(%error, "Heartbeat is tried again");
            }
            (result, _) => return result,
        }
    }
}

async fn post(client: &Client, url: &Url, message: &str) -> Result<(), HeartbeatError> {
    let answer = client.post(url.clone()).body(message.to_owned()).send().await?;
    if answer.status().is_success() { Ok(()) } else { Err(HeartbeatError::Status(answer.status())) }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (status, transient) in [(500, true), (503, true), (429, true), (408, true), (404, false), (410, false)] {
            assert_eq!(HeartbeatError::Status(StatusCode::from_u16(status).unwrap()).is_transient(), transient);
        }
    }

    #[test]
    fn server_that_is_away_or_silent_is_an_error_without_the_address() {
        // Bound and never accepted from: connections are made, requests are not answered.
        let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let closed = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        for address in [silent.local_addr().unwrap(), closed] {
            let url: Url = format!("http://{address}/ping/secret?key=secret").parse().unwrap();
            let waits = [Duration::from_millis(1)];
            let error = send_with(&url, "", &Cancel::new(), Duration::from_millis(200), &waits).unwrap_err();
            assert!(matches!(error, HeartbeatError::Transport(_)), "{error:?}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }
}
