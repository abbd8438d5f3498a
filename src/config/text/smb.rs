//! `smb://server/share`: not written to by address. What to write instead.

use url::Url;

use crate::platform::WINDOWS;

/// What is wrong with `smb://server/share/folder`, and what to write instead. Account and password are never repeated.
pub(in crate::config) fn address_fault(url: &Url, windows: bool) -> (String, String) {
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
pub(in crate::config) fn smb_fault(text: &str, windows: bool) -> Option<(String, String)> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "smb" | "cifs"))?;
    Some(address_fault(&url, windows))
}

/// What is wrong with a place on the command line that is `smb://…`, and what to write instead.
#[must_use]
pub fn place_fault(place: &str) -> Option<(String, String)> {
    smb_fault(place, WINDOWS)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
