//! Access lists: a folder that is for SYSTEM and administrators alone.

use std::io;
use std::path::Path;
use std::ptr::null_mut;

use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;
use windows_sys::Win32::Storage::FileSystem::CreateDirectoryW;

use super::wide;

/// SYSTEM and the administrators may do everything, in what lies below too; nothing comes from above. The installer
/// sets the same (deploy/windows/msi.sh).
const PRIVATE: &str = "D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)";

/// Creates a folder that nobody but SYSTEM and administrators can look into, from its first moment on.
///
/// # Errors
/// When the folder is there, or cannot be made.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    let (path, list) = (wide(path), wide(PRIVATE));
    let mut descriptor = null_mut();
    // SAFETY: the text, UTF-16 with a zero at its end, and the variable live until the call returns. The size is not
    // wanted.
    let converted = unsafe {
        ConvertStringSecurityDescriptorToSecurityDescriptorW(
            list.as_ptr(),
            SDDL_REVISION_1,
            &raw mut descriptor,
            null_mut(),
        )
    };
    if converted == 0 {
        return Err(io::Error::last_os_error());
    }
    let attributes = SECURITY_ATTRIBUTES {
        nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).expect("a structure of three fields"),
        lpSecurityDescriptor: descriptor,
        bInheritHandle: 0,
    };
    // SAFETY: path and attributes live until the call returns, and so does the descriptor, which is freed below.
    let created = unsafe { CreateDirectoryW(path.as_ptr(), &raw const attributes) };
    let result = if created == 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    // SAFETY: the descriptor is the one that was allocated above, and nothing uses it any more.
    unsafe { LocalFree(descriptor) };
    result
}
