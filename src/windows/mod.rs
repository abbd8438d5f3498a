//! Calls of Windows that the standard library does not make: the only unsafe code of this crate.
//!
//! One file for each subject. The functions in them are safe to call: they take Rust's types, keep alive whatever they
//! give a pointer to, and turn failures into [`std::io::Error`] with the Win32 code, so that nothing else in the crate
//! has to know how Windows is called. Decisions belong elsewhere, where they can be tested on every system. Every
//! `unsafe` block says in a `SAFETY` comment why it is sound.

#![allow(unsafe_code, reason = "the one place for raw calls of Windows")]

use std::ffi::OsStr;
use std::iter::once;
use std::os::windows::ffi::OsStrExt;

pub(crate) mod code_page;
pub(crate) mod event_log;
pub(crate) mod files;
pub(crate) mod network;
pub(crate) mod security;

/// Text as Windows takes it: UTF-16 with a zero at the end. What follows a zero in the text is not seen by Windows.
pub(crate) fn wide(text: impl AsRef<OsStr>) -> Vec<u16> {
    text.as_ref().encode_wide().chain(once(0)).collect()
}

/// Is there no process of this id? `false` where Windows does not say.
pub(crate) fn process_is_gone(id: u32) -> bool {
    use windows_sys::Win32::Foundation::{CloseHandle, ERROR_INVALID_PARAMETER, GetLastError};
    use windows_sys::Win32::System::Threading::{OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION};
    // SAFETY: no pointer is passed; the handle is closed below.
    let process = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, id) };
    if process.is_null() {
        // SAFETY: it only reads what the call before has left for this thread. That is how Windows says "no such
        // process".
        return unsafe { GetLastError() } == ERROR_INVALID_PARAMETER;
    }
    // SAFETY: the handle was opened above and is used nowhere else.
    unsafe { CloseHandle(process) };
    false
}
