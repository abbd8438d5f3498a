//! `[[supplemental]]`: files that belong to the site but are not in the snapshot.

use crate::config::pattern::{Pattern, component_fault, rename_fault};
use crate::config::text::{Key, Kind, Reader, Section, key};

/// The keys of this section.
pub(in crate::config) const KEYS: &[Key] = &[
    key("name", Kind::Text, "\"SCUP2011\""),
    key("path", Kind::Text, r"'C:\Users\*\Scupdb.sdf'"),
    key("as", Kind::Text, r"'{1}\Scupdb.sdf'"),
    key("optional", Kind::Flag, "true"),
    key("before", Kind::Later, ""),
    key("separate", Kind::Later, ""),
];

/// Files that belong to the site but are not in the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supplemental {
    /// Folder below `Supplemental/`. One path component.
    pub name: String,
    /// Path with `*`, `?` and `**`.
    pub path: String,
    /// Name in the archive; `{1}` is what the first `*` matched. Without it, the path's last component.
    pub rename: Option<String>,
    /// It may be missing.
    pub optional: bool,
}

impl Reader<'_, '_> {
    pub(in crate::config) fn supplemental(&mut self, root: &Section<'_>) -> Vec<Supplemental> {
        let mut list: Vec<Supplemental> = Vec::new();
        for section in root.sections("supplemental") {
            for key in ["name", "path"] {
                if !section.has(key) {
                    self.faults.add(Some(section.at), section.label(key), "missing", "every entry has name and path");
                }
            }
            let name = section.text("name");
            if let Some(name) = &name {
                if let Some(message) = component_fault(&name.value) {
                    let hint = "it becomes a folder in the archive: write name = \"SCUP2011\"";
                    self.faults.add(Some(name.at), section.label("name"), message, hint);
                } else if list.iter().any(|other| other.name.to_lowercase() == name.value.to_lowercase()) {
                    let hint = "every entry needs its own, it becomes a folder in the archive";
                    self.faults.add(Some(name.at), section.label("name"), "is used twice", hint);
                }
            }
            let path = section.text("path").and_then(|text| self.path(&section, "path", &text));
            let path = path.map(|path| path.to_string_lossy().into_owned());
            let captures = path.as_deref().map_or(0, |path| Pattern::parse(path, self.windows).captures());
            let rename = section.text("as");
            if let Some(rename) = &rename
                && let Some(message) = rename_fault(&rename.value, captures)
            {
                let hint = "write a relative path; {1} is what the first * of path matched";
                self.faults.add(Some(rename.at), section.label("as"), message, hint);
            }
            let (Some(name), Some(path)) = (name, path) else { continue };
            let in_folders = path.rfind(['/', '\\']).and_then(|end| path.get(..end)).is_some_and(wildcards_in);
            if rename.is_none() && in_folders {
                self.warnings.push(format!(
                    "[[supplemental]] '{}': if path matches in several folders, the names in the archive collide; add as = '{{1}}\\…'",
                    name.value
                ));
            }
            let optional = section.flag("optional").unwrap_or(false);
            list.push(Supplemental { name: name.value, path, rename: rename.map(|rename| rename.value), optional });
        }
        list
    }
}

pub(in crate::config) fn wildcards_in(path: &str) -> bool {
    path.contains(['*', '?'])
}
