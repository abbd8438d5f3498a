//! Secrets: recognised by name so that they are refused in the file, and read from where they may live.
//!
//! A configuration gets mailed, pasted into tickets and checked in. So it names the environment variable or the file
//! that has the secret, and nothing here ever puts a value into a message. Somebody may well write the secret itself
//! where its variable or file should be named: therefore even those names are only printed when they look like one.

use std::path::Path;

use super::paths;
use super::reader::Reader;
use super::section::Section;

/// Can this name of an environment variable be printed, or might somebody have pasted the secret itself?
fn printable_variable(name: &str) -> bool {
    name.contains('_')
        && name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// The content of a secret file: UTF-8 or what PowerShell's `>` writes, without the line end behind it.
pub(in crate::config) fn read_file(path: &Path, many_lines: bool) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "access denied".to_owned(),
        kind => kind.to_string(),
    })?;
    if bytes.len() > 64 * 1024 {
        return Err("it is larger than 64 KiB, which no secret is".to_owned());
    }
    let utf16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16(&units).ok()
    };
    let text = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        bytes => std::str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).ok().map(str::to_owned),
    };
    let text = text.ok_or("it is neither UTF-8 nor UTF-16 text")?;
    clean(&text, many_lines)
}

/// Without the white space around it; not empty, and one line unless the secret is a whole document.
fn clean(text: &str, many_lines: bool) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        Err("it is empty".to_owned())
    } else if !many_lines && text.contains(['\n', '\r']) {
        Err("it has several lines".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// May accounts besides the owner and its group read the file?
#[cfg(unix)]
fn readable_by_everyone(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o004 != 0)
}

/// Access lists are not judged on this system.
#[cfg(not(unix))]
fn readable_by_everyone(_path: &Path) -> bool {
    false
}

impl Reader<'_, '_> {
    /// The secret in the environment variable that `key` names. `file_key` would name a file instead.
    pub(in crate::config) fn secret_variable(
        &mut self,
        section: &Section<'_>,
        key: &str,
        file_key: &str,
        many_lines: bool,
    ) -> Option<String> {
        let text = section.text(key)?;
        let printable = printable_variable(&text.value);
        let named = if printable { format!("variable {}", text.value) } else { "the variable named here".to_owned() };
        let fault = match (self.env)(&text.value).map(|value| clean(&value, many_lines)) {
            Some(Ok(value)) => return Some(value),
            Some(Err(fault)) => format!("{named} cannot be used: {fault}"),
            None => format!("{named} is not set"),
        };
        let hint = if printable {
            format!(
                "set it for the account that runs afterbackup (AfterBackup.bat runs as Local System: set it machine-wide, or use {file_key})"
            )
        } else {
            "write the NAME of an environment variable, like \"VAULT_SECRET_KEY\", never the secret itself".to_owned()
        };
        self.faults.add(Some(text.at), section.label(key), fault, hint);
        None
    }

    /// The secret in the file that `key` names.
    pub(in crate::config) fn secret_file(
        &mut self,
        section: &Section<'_>,
        key: &str,
        many_lines: bool,
    ) -> Option<String> {
        let text = section.text(key)?;
        let file = self.path(section, key, &text)?;
        // A relative path might be the secret itself, so it is not printed.
        let absolute = paths::is_windows(&text.value) || Path::new(&text.value).has_root();
        match read_file(&file, many_lines) {
            Ok(secret) => {
                if readable_by_everyone(&file) {
                    self.warnings.push(format!(
                        "{}: {} is readable by everyone; take that right away (chmod o-r)",
                        section.label(key),
                        file.display()
                    ));
                }
                Some(secret)
            }
            Err(fault) => {
                let named = if absolute { text.value.clone() } else { "the file named here".to_owned() };
                let message = format!("cannot use {named}: {fault}");
                let hint = "write the PATH of a file that holds nothing but the secret";
                self.faults.add(Some(text.at), section.label(key), message, hint);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_files_are_read_in_the_encodings_windows_writes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let utf16: Vec<u8> = "\u{feff}hunter2\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [b"hunter2".as_slice(), b"hunter2\n", b"\xef\xbb\xbfhunter2\r\n", &utf16] {
            std::fs::write(&file, bytes).unwrap();
            assert_eq!(read_file(&file, false).as_deref(), Ok("hunter2"));
        }
        for bytes in [b"".as_slice(), b" \r\n", b"two\nlines", b"\xff\xff"] {
            std::fs::write(&file, bytes).unwrap();
            assert!(read_file(&file, false).is_err());
        }
    }
}
