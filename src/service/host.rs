//! The program as the service control manager starts it.
//!
//! The manager calls back on a thread of its own, with a function that can hold nothing: what it needs is in `LINK`.
//! The work stays on the thread that called [`host`]; a third one reports the state, so that a long step of the work is
//! never mistaken for a service that hangs.

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use windows_service::service::ServiceControl;
use windows_service::service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle};
use windows_service::{define_windows_service, service_dispatcher};

use super::phase::{BEAT, News, Phase};
use super::{NAME, ServiceError};
use crate::cancel::Cancel;

/// What connects the manager's thread with ours.
struct Link {
    cancel: Cancel,
    news: Sender<News>,
    connected: Sender<Result<ServiceStatusHandle, windows_service::Error>>,
    /// Closed when the service has been reported as stopped.
    stopped: Receiver<()>,
}

static LINK: OnceLock<Link> = OnceLock::new();

define_windows_service!(service_entry, service_main);

/// Tells that the work has reached the point from which the service does its duty.
#[derive(Debug)]
pub struct Ready(Sender<News>);

impl Ready {
    /// The watcher watches, and needs no longer than this to stop.
    pub fn watching(self, stop_timeout: Duration) {
        self.0.send(News::Watching(stop_timeout)).ok();
    }
}

/// Runs `work` as the service. It sets `cancel` when the service is to stop, and reports the exit code that `work`
/// gives.
///
/// # Errors
/// When the program was not started by the service control manager.
pub fn host(cancel: &Cancel, work: impl FnOnce(Ready) -> u8) -> Result<(), ServiceError> {
    let (news, heard) = unbounded();
    let (connected, connection) = bounded(1);
    let (stopping, stopped) = bounded::<()>(0);
    let link = Link { cancel: cancel.clone(), news: news.clone(), connected: connected.clone(), stopped };
    assert!(LINK.set(link).is_ok(), "a process is one service, once");
    let dispatcher = thread::spawn(move || {
        // Returns when the service has ended, or at once when nobody called.
        if let Err(error) = service_dispatcher::start(NAME, service_entry) {
            connected.send(Err(error)).ok();
        }
    });
    let handle = match connection.recv() {
        Ok(Ok(handle)) => handle,
        Ok(Err(error)) => return Err(ServiceError::call("run as", error)),
        Err(_) => unreachable!("the link holds a sender"),
    };
    let reporter = thread::spawn(move || {
        report(&heard, |phase| {
            if let Err(error) = handle.set_service_status(phase.status()) {
                tracing::warn!(%error, ?phase, "The service control manager does not take the state");
            }
        });
        drop(stopping);
    });
    let code = work(Ready(news.clone()));
    news.send(News::Ended(code)).ok();
    reporter.join().ok();
    dispatcher.join().ok();
    Ok(())
}

/// Reports every phase until the last one.
fn report(heard: &Receiver<News>, tell: impl Fn(Phase)) {
    let mut phase = Phase::BEGIN;
    tell(phase);
    while !matches!(phase, Phase::Stopped { .. }) {
        let news = match heard.recv_timeout(BEAT) {
            Ok(news) => news,
            Err(RecvTimeoutError::Timeout) => News::Nothing,
            // Nobody is left who could end it.
            Err(RecvTimeoutError::Disconnected) => News::Ended(1),
        };
        let next = phase.after(news);
        if next != phase {
            phase = next;
            tell(phase);
        }
    }
}

/// Called by the manager, on its thread. The service has ended when it returns.
fn service_main(_arguments: Vec<std::ffi::OsString>) {
    let Some(link) = LINK.get() else { return };
    let handler = move |control| match control {
        ServiceControl::Stop | ServiceControl::Shutdown | ServiceControl::Preshutdown => {
            link.cancel.cancel();
            link.news.send(News::Stop).ok();
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    };
    let registered = service_control_handler::register(NAME, handler);
    let failed = registered.is_err();
    link.connected.send(registered).ok();
    if !failed {
        // An error is the end, too.
        link.stopped.recv().ok();
    }
}
