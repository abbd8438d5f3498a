//! Shares: told from folders by the look of their path, and the account that they are reached with.
//!
//! Another account works on Windows alone, where one call tells the system about it. Elsewhere a share is mounted, and
//! the account belongs to the mount. No SMB client is built in, so `smb://` is no place for archives: the library of
//! Samba is under the GPL, and the client written in Rust (`smb` 0.12) hung now and then when it was tried.

use std::fmt;
use std::path::Path;

use crate::config::text::{Key, Kind, Reader, Secret, Section, key};

/// The keys of this section.
pub(in crate::config) const KEYS: &[Key] = &[
    key("user", Kind::Text, r"'CONTOSO\svc-archive'"),
    key("password-file", Kind::Text, r"'C:\ProgramData\afterbackup\vault.secret'"),
    key("password-env", Kind::Text, "\"VAULT_PASSWORD\""),
];

/// The account that a share is reached with, instead of the one that the program runs as.
///
/// Its `Debug` output does not show the password.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// `DOMAIN\name` or `name@domain`.
    pub user: String,
    /// Where the password is.
    pub password: Secret,
    /// The share.
    pub share: Share,
}

/// Server and share of a UNC path. Shown as `\\server\share`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// As it was written: a short name, a full name or an IP address.
    pub server: String,
    /// Its first folder.
    pub name: String,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r"\\{}\{}", self.server, self.name)
    }
}

impl Share {
    /// The share that a path lies on: `\\server\share\…`, also with `/`, also as `\\?\UNC\server\share\…`.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let text = path.to_string_lossy().replace('/', r"\");
        let lower = text.to_ascii_lowercase();
        let rest = if lower.starts_with(r"\\?\unc\") { text.get(8..)? } else { text.strip_prefix(r"\\")? };
        let mut parts = rest.split('\\');
        let (server, name) = (parts.next()?, parts.next()?);
        // `\\?\C:\…` and `\\.\device` are no servers.
        let named = !server.is_empty() && !name.is_empty() && !matches!(server, "?" | ".");
        named.then(|| Self { server: server.to_owned(), name: name.to_owned() })
    }

    pub(in crate::config) fn is_on_server_of(&self, other: &Self) -> bool {
        self.server.eq_ignore_ascii_case(&other.server)
    }
}

impl Reader<'_, '_> {
    /// `[destination.credentials]` of a destination at `path`.
    pub(in crate::config) fn credentials(&mut self, section: &Section<'_>, path: &Path) -> Option<Credentials> {
        let own = section.section("credentials")?;
        let Some(share) = Share::of(path) else {
            let hint = r"remove it: only a share, path = '\\server\share', is reached with another account";
            self.faults.add(Some(own.at), own.title(), "path is not on a share", hint);
            return None;
        };
        if !self.windows {
            let hint = format!(
                "mount {share} with this account, like 'mount -t cifs //{}/{} /mnt/{} -o credentials=FILE', write the folder it is mounted at as path, and remove the credentials",
                share.server, share.name, share.name
            );
            self.faults.add(Some(own.at), own.title(), "works on Windows only", hint);
            return None;
        }
        if !own.has("user") {
            self.faults.add(Some(own.at), own.label("user"), "missing", r"write user = 'CONTOSO\svc-archive'");
        }
        let password = match (own.has("password-file"), own.has("password-env")) {
            (true, true) => {
                let hint = "remove one of the two";
                let at = Some(own.at("password-file"));
                self.faults.add(at, own.label("password-file"), "password-env is given too", hint);
                None
            }
            (false, false) => {
                let hint = "name the file or the environment variable that has it: password-file = 'path' or password-env = \"VARIABLE\"";
                self.faults.add(Some(own.at), own.label("password-file"), "missing", hint);
                None
            }
            (true, false) => self.secret_file(&own, "password-file", false),
            (false, true) => Secret::of_variable(&own, "password-env", false),
        };
        Some(Credentials { user: own.text("user")?.value, password: password?, share })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_told_from_other_paths() {
        let share = |text: &str| Share::of(Path::new(text)).map(|share| share.to_string());
        for path in [r"\\srv\cm$", r"\\srv\cm$\", r"\\srv\cm$\a\b", "//srv/cm$/a", r"\\?\UNC\srv\cm$\a"] {
            assert_eq!(share(path).as_deref(), Some(r"\\srv\cm$"), "{path}");
        }
        for path in [r"\\srv", r"\\srv\", r"\\?\C:\x", r"\\.\pipe\x", r"C:\x", "/srv/x", "", r"\\", r"\\?\UNC\srv"] {
            assert_eq!(share(path), None, "{path}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let share = Share { server: "srv".to_owned(), name: "cm$".to_owned() };
        let credentials = Credentials { user: "svc".to_owned(), password: Secret::in_variable("hunter2"), share };
        assert!(!format!("{credentials:?} {credentials:#?}").contains("hunter2"));
    }
}
