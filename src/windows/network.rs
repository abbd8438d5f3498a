//! Shares: the account that Windows uses for one.

use std::io;
use std::ptr::null_mut;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use windows_sys::Win32::Foundation::NO_ERROR;
use windows_sys::Win32::NetworkManagement::WNet::{
    CONNECT_TEMPORARY, NETRESOURCEW, RESOURCETYPE_DISK, WNetAddConnection2W, WNetCancelConnection2W,
};

use super::wide;

/// Connects to `\\server\share` with an account, without a drive letter. It is forgotten at the end of the logon
/// session.
pub(crate) fn connect(share: &str, user: &str, password: &SecretString) -> io::Result<()> {
    let (mut share, user) = (wide(share), wide(user));
    let password = Zeroizing::new(wide(password.expose_secret()));
    let resource = NETRESOURCEW {
        dwScope: 0,
        dwType: RESOURCETYPE_DISK,
        dwDisplayType: 0,
        dwUsage: 0,
        lpLocalName: null_mut(),
        lpRemoteName: share.as_mut_ptr(),
        lpComment: null_mut(),
        lpProvider: null_mut(),
    };
    // SAFETY: `resource` and the texts, UTF-16 with a zero at the end, live until the call returns; it changes none of
    // them. Null stands for what is not given.
    let code = unsafe { WNetAddConnection2W(&raw const resource, password.as_ptr(), user.as_ptr(), CONNECT_TEMPORARY) };
    outcome(code)
}

/// Takes back all connections to `\\server\share` that have no drive letter, unless files are open there.
pub(crate) fn disconnect(share: &str) -> io::Result<()> {
    let share = wide(share);
    // SAFETY: the text, UTF-16 with a zero at the end, lives until the call returns. 0: nothing is remembered; FALSE:
    // not by force.
    let code = unsafe { WNetCancelConnection2W(share.as_ptr(), 0, 0) };
    outcome(code)
}

/// These functions return their code, and set no last error.
fn outcome(code: u32) -> io::Result<()> {
    if code == NO_ERROR { Ok(()) } else { Err(io::Error::from_raw_os_error(code.cast_signed())) }
}
