//! Shares: told from folders by the look of their path, and the account that they are reached with.
//!
//! Another account works on Windows alone, where one call tells the system about it. Elsewhere a share is mounted, and
//! the account belongs to the mount. No SMB client is built in, so `smb://` is no place for archives: the library of Samba
//! is under the GPL, and the client written in Rust (`smb` 0.12) hung now and then when it was tried.

use std::fmt;
use std::path::Path;

use secrecy::SecretString;
use url::Url;

use super::raw::Section;
use super::validate::Reader;
use super::{Destination, Snapshot, Target};

/// The account that a share is reached with, instead of the one that the program runs as.
///
/// Its `Debug` output does not show the password.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// `DOMAIN\name` or `name@domain`.
    pub user: String,
    /// Only to be shown to the system.
    pub password: SecretString,
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

    fn is_on_server_of(&self, other: &Self) -> bool {
        self.server.eq_ignore_ascii_case(&other.server)
    }
}

/// What is wrong with `smb://server/share/folder`, and what to write instead. Account and password are never repeated.
pub(super) fn address_fault(url: &Url, windows: bool) -> (String, String) {
    let server = url.host_str().filter(|server| !server.is_empty()).unwrap_or("server");
    let mut parts = url.path_segments().into_iter().flatten().filter(|part| !part.is_empty()).map(|part| {
        // What a browser would write for a blank, a mount command would not understand.
        part.replace("%20", " ")
    });
    let name = parts.next().unwrap_or_else(|| "share".to_owned());
    let folders: Vec<String> = parts.collect();
    let hint = if windows {
        let below = folders.iter().fold(String::new(), |path, folder| path + r"\" + folder);
        format!(
            r"write path = '\\{server}\{name}{below}'; another account than the program's own goes into [destination.credentials]"
        )
    } else {
        let mount = format!("/mnt/{name}");
        let below = folders.iter().fold(String::new(), |path, folder| path + "/" + folder);
        format!(
            "mount the share, like 'mount -t cifs //{server}/{name} {mount} -o credentials=FILE' (FILE has the lines username=, password= and domain=), and write path = '{mount}{below}'"
        )
    };
    ("shares are not written to by address".to_owned(), hint)
}

/// The same for any text; `None` when it is no such address.
pub(super) fn smb_fault(text: &str, windows: bool) -> Option<(String, String)> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "smb" | "cifs"))?;
    Some(address_fault(&url, windows))
}

/// What is wrong with a place on the command line that is `smb://…`, and what to write instead.
#[must_use]
pub fn place_fault(place: &str) -> Option<(String, String)> {
    smb_fault(place, cfg!(windows))
}

impl Reader<'_, '_> {
    /// `[destination.credentials]` of a destination at `path`.
    pub(super) fn credentials(&mut self, section: &Section<'_>, path: &Path) -> Option<Credentials> {
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
            (false, true) => self.secret_variable(&own, "password-env", "password-file", false),
        };
        Some(Credentials { user: own.text("user")?.value, password: password?.into(), share })
    }

    /// Windows keeps one account for a server: the second one would fail with error 1219, on some nights only. That holds
    /// for the snapshot's server, too, and for the backup task: as a service we share its session.
    pub(super) fn check_accounts(
        &mut self,
        snapshot: Option<&Snapshot>,
        sections: &[Section<'_>],
        destinations: &[Option<Destination>],
    ) {
        let mut before: Vec<(Share, Option<&str>, String)> = Vec::new();
        if let Some(snapshot) = snapshot {
            let more = [&snapshot.sql_path, &snapshot.cd_latest, &snapshot.log];
            let paths = std::iter::once(&snapshot.path).chain(more.into_iter().flatten());
            before.extend(paths.filter_map(|path| Some((Share::of(path)?, None, "the snapshot".to_owned()))));
        }
        for (section, destination) in sections.iter().zip(destinations) {
            let Some(Destination { name, target: Target::Folder(path), credentials, .. }) = destination else {
                continue;
            };
            let Some(share) = Share::of(path) else { continue };
            let user = credentials.as_ref().map(|credentials| credentials.user.as_str());
            let same = |other: Option<&str>| match (user, other) {
                (Some(user), Some(other)) => user.eq_ignore_ascii_case(other),
                (user, other) => user == other,
            };
            let conflict = before.iter().find(|(other, account, _)| other.is_on_server_of(&share) && !same(*account));
            if let Some((_, _, other)) = conflict {
                let message = format!("is on the server of {other}, which has another account");
                let hint = "Windows uses one account for a server at a time: give both the same credentials, or write another name of the server here (its full name or IP address)";
                self.faults.add(Some(section.at("path")), section.label("path"), message, hint);
            }
            before.push((share, user, format!("destination '{name}'")));
        }
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
    fn addresses_of_shares_are_answered_for_each_system() {
        let hint = |windows| {
            let url = "smb://CONTOSO;svc:hunter2@backup01/configmgr$/site%20a/b".parse().unwrap();
            address_fault(&url, windows).1
        };
        assert!(hint(true).starts_with(r"write path = '\\backup01\configmgr$\site a\b'"), "{}", hint(true));
        let linux = hint(false);
        assert!(linux.contains("mount -t cifs //backup01/configmgr$ /mnt/configmgr$ "), "{linux}");
        assert!(linux.ends_with("write path = '/mnt/configmgr$/site a/b'"), "{linux}");
        assert!(!hint(true).contains("svc") && !linux.contains("hunter2"));
        assert!(place_fault("smb://srv").is_some() && place_fault("CIFS://srv/x").is_some());
        assert!(place_fault("s3://bucket").is_none() && place_fault(r"\\srv\x").is_none());
    }

    #[test]
    fn passwords_are_not_shown() {
        let share = Share { server: "srv".to_owned(), name: "cm$".to_owned() };
        let credentials = Credentials { user: "svc".to_owned(), password: "hunter2".into(), share };
        assert!(!format!("{credentials:?} {credentials:#?}").contains("hunter2"));
    }
}
