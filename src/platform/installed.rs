//! What only Windows knows: its registry and its code page.

/// A value of the registry.
#[cfg(windows)]
pub(crate) fn local_machine(key: &str, value: &str) -> Option<String> {
    windows_registry::LOCAL_MACHINE.open(key).ok()?.get_string(value).ok()
}

/// Only Windows has a registry.
#[cfg(not(windows))]
pub(crate) fn local_machine(_key: &str, _value: &str) -> Option<String> {
    None
}

/// As cmd.exe will read it, on the machine where the batch file is written.
#[cfg(windows)]
pub(crate) fn in_oem(text: &str) -> Option<Vec<u8>> {
    crate::windows::code_page::oem(text)
}

#[cfg(not(windows))]
pub(crate) fn in_oem(_text: &str) -> Option<Vec<u8>> {
    None
}
