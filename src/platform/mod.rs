//! What differs between systems, behind one function each.

pub(crate) mod command;
pub(crate) mod files;
pub(crate) mod installed;
pub mod lock;
pub(crate) mod open;
pub(crate) mod page_cache;
pub(crate) mod places;
pub(crate) mod positional;
pub(crate) mod private;
pub(crate) mod process;
pub(crate) mod trust;
pub(crate) mod verbatim;

/// Is this Windows? For what can be tested on every system with either answer.
pub(crate) const WINDOWS: bool = cfg!(windows);

/// Is there no process of this id on this computer? `false` where that cannot be told.
#[cfg(unix)]
pub(crate) fn process_is_gone(id: u32) -> bool {
    let process = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw);
    process.is_some_and(|process| rustix::process::test_kill_process(process) == Err(rustix::io::Errno::SRCH))
}

/// Is there no process of this id on this computer? `false` where that cannot be told.
#[cfg(windows)]
pub(crate) fn process_is_gone(id: u32) -> bool {
    crate::windows::process_is_gone(id)
}
