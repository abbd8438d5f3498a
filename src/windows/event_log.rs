//! Entries of the event log.

use std::io;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::EventLog::{
    DeregisterEventSource, EVENTLOG_ERROR_TYPE, EVENTLOG_INFORMATION_TYPE, EVENTLOG_WARNING_TYPE, REPORT_EVENT_TYPE,
    RegisterEventSourceW, ReportEventW,
};

use super::wide;

pub(crate) const INFORMATION: REPORT_EVENT_TYPE = EVENTLOG_INFORMATION_TYPE;
pub(crate) const WARNING: REPORT_EVENT_TYPE = EVENTLOG_WARNING_TYPE;
pub(crate) const ERROR: REPORT_EVENT_TYPE = EVENTLOG_ERROR_TYPE;

/// An open source of entries.
#[derive(Debug)]
pub(crate) struct EventSource(HANDLE);

// SAFETY: the handle names an object of the event log service, which belongs to no thread; ReportEventW may be called
// from several threads at once.
unsafe impl Send for EventSource {}
// SAFETY: as above.
unsafe impl Sync for EventSource {}

impl EventSource {
    /// Opens the source of this name on this computer.
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        let name = wide(name);
        // SAFETY: no server is named, and the name ends with a zero and lives until the call returns.
        let handle = unsafe { RegisterEventSourceW(null(), name.as_ptr()) };
        if handle.is_null() { Err(io::Error::last_os_error()) } else { Ok(Self(handle)) }
    }

    /// Writes an entry whose message is this text.
    pub(crate) fn report(&self, kind: REPORT_EVENT_TYPE, id: u32, text: &str) -> io::Result<()> {
        let text = wide(text);
        let strings = [text.as_ptr()];
        // SAFETY: the handle is open as long as `self` is; `strings` is one pointer, as announced, to text with a zero
        // at its end, and both live until the call returns. There is neither an account nor data.
        let done = unsafe { ReportEventW(self.0, kind, 0, id, null_mut(), 1, 0, strings.as_ptr(), null()) };
        if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Drop for EventSource {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and nobody uses it any more. That closing fails would change nothing.
        let _closed = unsafe { DeregisterEventSource(self.0) };
    }
}
