//! Secrets: recognised by name so that they are refused in the file, and read from where they may live.
//!
//! A configuration gets mailed, pasted into tickets and checked in. So it names the environment variable or the file
//! that has the secret, and nothing here ever puts a value into a message. Somebody may well write the secret itself
//! where its variable or file should be named: therefore even those names are only printed when they look like one.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::Env;
use super::paths;
use super::reader::Reader;
use super::section::Section;
use crate::platform::places::readable_by_everyone;

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

/// Where a secret is. It is read when its destination is opened: one that is missing is the failure of that destination
/// alone, and a command that does not need the destination does not look for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    place: Place,
    /// May it be a whole document, like Google's key files?
    many_lines: bool,
}

#[derive(Clone, PartialEq, Eq)]
enum Place {
    /// The name of an environment variable.
    Variable(String),
    /// A file, and whether its path can be printed.
    File(PathBuf, bool),
}

/// Names and relative paths may be the secret itself, written into the wrong key.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words())
    }
}

impl Place {
    fn words(&self) -> String {
        match self {
            Self::Variable(name) if printable_variable(name) => format!("variable {name}"),
            Self::Variable(_) => "the variable named in the configuration".to_owned(),
            Self::File(path, true) => path.display().to_string(),
            Self::File(..) => "the file named in the configuration".to_owned(),
        }
    }
}

/// A secret that cannot be read. Its words never contain the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SecretError {
    message: String,
    hint: &'static str,
}

impl SecretError {
    /// What an administrator can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        self.hint
    }
}

impl Secret {
    /// The environment variable that holds it, if one does.
    #[must_use]
    pub fn variable(&self) -> Option<&str> {
        match &self.place {
            Place::Variable(name) => Some(name),
            Place::File(..) => None,
        }
    }

    /// The secret in an environment variable.
    #[must_use]
    pub fn in_variable(name: &str) -> Self {
        Self { place: Place::Variable(name.to_owned()), many_lines: false }
    }

    /// The secret in the environment variable that `key` names.
    pub(in crate::config) fn of_variable(section: &Section<'_>, key: &str, many_lines: bool) -> Option<Self> {
        let text = section.text(key)?;
        Some(Self { place: Place::Variable(text.value), many_lines })
    }

    /// Reads it, with variables from `env`.
    ///
    /// # Errors
    /// When the variable is not set, the file cannot be read, or what is there is not a secret.
    pub fn read(&self, env: Env<'_>) -> Result<SecretString, SecretError> {
        let (found, hint) = match &self.place {
            Place::Variable(name) => {
                let hint = if printable_variable(name) {
                    "set it for the account that runs afterbackup (AfterBackup.bat runs as Local System: set it machine-wide), or name a file that holds the secret instead"
                } else {
                    "write the NAME of an environment variable, like \"VAULT_SECRET_KEY\", never the secret itself"
                };
                let Some(value) = env(name) else {
                    let message = format!("{} is not set", self.place.words());
                    return Err(SecretError { message, hint });
                };
                (clean(&value, self.many_lines), hint)
            }
            Place::File(path, _) => {
                (read_file(path, self.many_lines), "write the PATH of a file that holds nothing but the secret")
            }
        };
        found.map(Into::into).map_err(|fault| {
            let message = format!("cannot use {}: {fault}", self.place.words());
            SecretError { message, hint }
        })
    }
}

impl Reader<'_, '_> {
    /// The secret in the file that `key` names.
    pub(in crate::config) fn secret_file(
        &mut self,
        section: &Section<'_>,
        key: &str,
        many_lines: bool,
    ) -> Option<Secret> {
        let text = section.text(key)?;
        let file = self.path(section, key, &text)?;
        // A relative path might be the secret itself, so it is not printed.
        let absolute = paths::is_windows(&text.value) || Path::new(&text.value).has_root();
        if readable_by_everyone(&file) {
            self.warnings.push(format!(
                "{}: {} is readable by everyone; take that right away (chmod o-r)",
                section.label(key),
                file.display()
            ));
        }
        Some(Secret { place: Place::File(file, absolute), many_lines })
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

    #[test]
    fn missing_secret_is_reported_without_what_may_be_the_secret() {
        use secrecy::ExposeSecret as _;
        let file = |path: &str, absolute| Secret { place: Place::File(path.into(), absolute), many_lines: false };
        let nothing = |_: &str| None;
        let words = |secret: Secret| secret.read(&nothing).unwrap_err().to_string();
        assert_eq!(words(Secret::in_variable("VAULT_KEY")), "variable VAULT_KEY is not set");
        assert_eq!(words(Secret::in_variable("hunter2")), "the variable named in the configuration is not set");
        assert_eq!(words(file("/no/such/file", true)), "cannot use /no/such/file: there is no such file");
        assert_eq!(
            words(file("hunter2", false)),
            "cannot use the file named in the configuration: there is no such file"
        );
        assert!(!format!("{:?} {:?}", Secret::in_variable("hunter2"), file("hunter2", false)).contains("hunter2"));
        let lines = |_: &str| Some("two\nlines".to_owned());
        assert_eq!(
            Secret::in_variable("A_B").read(&lines).unwrap_err().to_string(),
            "cannot use variable A_B: it has several lines"
        );
        let value = |_: &str| Some("hunter2 \r\n".to_owned());
        assert_eq!(Secret::in_variable("A_B").read(&value).unwrap().expose_secret(), "hunter2");
    }
}
