//! Paths of a batch file: where they lead, by the drives that it maps and the folders that it changes to.

use std::collections::HashMap;

use super::batch_lex::UNKNOWN;

/// What a path of the script is relative to.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// What the script maps drives to, where that is known.
    pub(super) drives: HashMap<char, Option<String>>,
    /// The current folder, where it is known.
    pub(super) folder: Option<String>,
    /// Those that `popd` goes back to.
    pub(super) folders: Vec<Option<String>>,
}

impl Places {
    /// Where a place leads, up to the first part that only the running script knows, and whether there is such a part.
    pub(super) fn place(&self, place: &str) -> Result<(String, bool), String> {
        let mut cut = false;
        let place = &*without_prefix(place);
        let mut known = place;
        if let Some(at) = place.find([UNKNOWN, '*', '?']) {
            let before = place.get(..at).unwrap_or_default();
            cut = place.get(at..).is_some_and(|rest| rest.starts_with(UNKNOWN));
            known = place.get(..before.rfind(['\\', '/']).map_or(0, |separator| separator + 1)).unwrap_or_default();
            if cut && known.is_empty() {
                return Err("is only known when the script runs".to_owned());
            }
            if known.is_empty() {
                known = ".";
            }
        }
        Ok((self.resolve(known)?, cut))
    }

    /// The absolute path that is meant.
    pub(super) fn resolve(&self, path: &str) -> Result<String, String> {
        let path = without_prefix(path);
        let drive = path.chars().next().filter(|c| c.is_ascii_alphabetic() && path.get(1..2) == Some(":"));
        if let Some(drive) = drive {
            let rest = path.get(2..).unwrap_or_default();
            if !rest.starts_with('\\') && !rest.is_empty() {
                return Err(format!("is relative to a folder of drive {drive}: that is not known"));
            }
            return match self.drives.get(&drive.to_ascii_uppercase()) {
                None if rest.is_empty() => Ok(format!("{drive}:\\")),
                None => normal(&path),
                Some(Some(target)) => normal(&format!("{}{rest}", target.trim_end_matches('\\'))),
                Some(None) => {
                    Err(format!("is on drive {drive}:, which the script maps to something that is not known"))
                }
            };
        }
        if path.starts_with(r"\\") {
            if path.trim_matches('\\').split('\\').filter(|part| !part.is_empty()).count() < 2 {
                return Err("is not a share".to_owned());
            }
            return normal(&path);
        }
        let Some(folder) = &self.folder else {
            return Err("is relative to a folder that is not known".to_owned());
        };
        if path.starts_with('\\') {
            if folder.starts_with(r"\\") {
                return Err("is relative to the drive of a share".to_owned());
            }
            return normal(&format!("{}{path}", folder.get(..2).unwrap_or_default()));
        }
        normal(&format!(r"{}\{path}", folder.trim_end_matches('\\')))
    }
}

/// Without `\\?\`, and with the separators of Windows.
pub(super) fn without_prefix(path: &str) -> String {
    let path = path.replace('/', r"\");
    match path.strip_prefix(r"\\?\").or_else(|| path.strip_prefix(r"\\.\")) {
        Some(rest) => match rest.get(..4) {
            Some(unc) if unc.eq_ignore_ascii_case(r"UNC\") => format!(r"\\{}", rest.get(4..).unwrap_or_default()),
            _ => rest.to_owned(),
        },
        None => path,
    }
}

/// Without `.`, `..` and separators that say nothing.
pub(super) fn normal(path: &str) -> Result<String, String> {
    let (root, rest) = match path.strip_prefix(r"\\") {
        Some(rest) => (r"\\", rest),
        None => ("", path),
    };
    // A drive, or server and share: `..` does not lead above them.
    let fixed = if root.is_empty() { 1 } else { 2 };
    let mut parts: Vec<&str> = Vec::new();
    for part in rest.split('\\') {
        match part {
            "" | "." => {}
            ".." if parts.len() > fixed => drop(parts.pop()),
            ".." => return Err("leads above its drive or share".to_owned()),
            part if part.contains(['<', '>', '|', '"', '*', '?']) || part.contains(char::is_control) => {
                return Err("has characters that no path has".to_owned());
            }
            part if part.contains(':') && !(root.is_empty() && parts.is_empty()) => {
                return Err("has characters that no path has".to_owned());
            }
            part => parts.push(part),
        }
    }
    let joined = format!("{root}{}", parts.join("\\"));
    Ok(if joined.len() == 2 && joined.ends_with(':') { format!("{joined}\\") } else { joined })
}

pub(super) fn trimmed(path: &str) -> String {
    let trimmed = path.trim_end_matches('\\');
    if trimmed.ends_with(':') && trimmed.len() < path.len() { format!("{trimmed}\\") } else { trimmed.to_owned() }
}
