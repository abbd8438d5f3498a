//! Code pages: text for programs that are older than Unicode.

use std::ptr::{null, null_mut};

use windows_sys::Win32::Globalization::{CP_OEMCP, WC_NO_BEST_FIT_CHARS, WideCharToMultiByte};

/// Text in the code page of the console, as cmd.exe reads batch files. `None` when that has no such letters.
pub(crate) fn oem(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let units: Vec<u16> = text.encode_utf16().collect();
    let length = i32::try_from(units.len()).ok()?;
    let convert = |bytes: *mut u8, room: i32, lost: &mut i32| {
        // SAFETY: `units` holds `length` units and `bytes` has room for `room` bytes (it may be null only when that is
        // 0); no default letter is given; `lost` lives until the call returns.
        unsafe {
            WideCharToMultiByte(CP_OEMCP, WC_NO_BEST_FIT_CHARS, units.as_ptr(), length, bytes, room, null(), lost)
        }
    };
    let mut lost = 0;
    let room = convert(null_mut(), 0, &mut lost);
    let mut bytes = vec![0; usize::try_from(room).ok()?];
    let written = convert(bytes.as_mut_ptr(), room, &mut lost);
    (written > 0 && written == room && lost == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_encoded_whole_or_not_at_all() {
        assert_eq!(oem(r"C:\x").unwrap(), br"C:\x");
        assert_eq!(oem("").unwrap(), b"");
        // No code page has both, except UTF-8.
        let both = "\u{416}\u{e5d}";
        assert!(oem(both).is_none_or(|bytes| bytes == both.as_bytes()));
    }
}
