//! `[[supplemental]]`: files that belong to the site but are not in the snapshot.

use std::fmt;
use std::time::Duration;

use super::preset::Preset;
use crate::config::pattern::{Pattern, component_fault, rename_fault};
use crate::config::text::{At, Key, Kind, Reader, Section, closest, key};

/// The keys of this section.
pub(in crate::config) const KEYS: &[Key] = &[
    key("preset", Kind::Text, "\"updates-publisher\""),
    key("name", Kind::Text, "\"SCUP2011\""),
    key("path", Kind::Text, r"'C:\Users\*\Scupdb.sdf'"),
    key("as", Kind::Text, r"'{1}\Scupdb.sdf'"),
    key("optional", Kind::Flag, "true"),
    key("before", Kind::Text, r"'C:\Scripts\export.cmd'"),
    key("after", Kind::Text, r"'C:\Scripts\tidy.cmd'"),
    key("timeout", Kind::Text, "\"10min\""),
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
    /// What is run before its files are looked for, if anything is.
    pub before: Option<CommandLine>,
    /// What is run when the archive is made, or has failed.
    pub after: Option<CommandLine>,
    /// A command that takes longer is killed.
    pub timeout: Duration,
}

/// A line for the system's shell. It may hold a password, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandLine(pub String);

impl fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommandLine")
    }
}

/// How long a command may take.
const TIMEOUT: Duration = Duration::from_mins(10);

impl Supplemental {
    /// An entry without commands.
    #[must_use]
    pub fn new(name: &str, path: &str) -> Self {
        Self {
            name: name.to_owned(),
            path: path.to_owned(),
            rename: None,
            optional: false,
            before: None,
            after: None,
            timeout: TIMEOUT,
        }
    }
}

impl Reader<'_, '_> {
    pub(in crate::config) fn supplemental(&mut self, root: &Section<'_>) -> Vec<Supplemental> {
        let mut list: Vec<Supplemental> = Vec::new();
        for section in root.sections("supplemental") {
            let preset = self.preset(&section);
            for key in ["name", "path"] {
                let hint = match preset {
                    Some(_) if key == "name" => continue,
                    Some(preset) if preset.path().is_some() => continue,
                    Some(preset) => preset.path_hint(),
                    // What it stands for is not known.
                    None if section.has("preset") => continue,
                    None => "every entry has name and path".to_owned(),
                };
                if !section.has(key) {
                    self.faults.add(Some(section.at), section.label(key), "missing", hint);
                }
            }
            let preset_text = |value: &str| At { value: value.to_owned(), at: section.at };
            let name = section.text("name").or_else(|| Some(preset_text(preset?.folder())));
            if let Some(name) = &name {
                if let Some(message) = component_fault(&name.value) {
                    let hint = "it becomes a folder in the archive: write name = \"SCUP2011\"";
                    self.faults.add(Some(name.at), section.label("name"), message, hint);
                } else if list.iter().any(|other| other.name.to_lowercase() == name.value.to_lowercase()) {
                    let hint = "every entry needs its own, it becomes a folder in the archive";
                    self.faults.add(Some(name.at), section.label("name"), "is used twice", hint);
                }
            }
            let path = section.text("path").or_else(|| Some(preset_text(preset?.path()?)));
            let path = path.and_then(|text| self.path(&section, "path", &text));
            let path = path.map(|path| path.to_string_lossy().into_owned());
            let captures = path.as_deref().map_or(0, |path| Pattern::parse(path, self.windows).captures());
            // The name in the archive that a preset gives fits its own path.
            let own_rename = preset.filter(|_| !section.has("path")).and_then(Preset::rename);
            let rename = section.text("as").or_else(|| own_rename.map(preset_text));
            if let Some(rename) = &rename
                && let Some(message) = rename_fault(&rename.value, captures)
            {
                let hint = "write a relative path; {1} is what the first * of path matched";
                self.faults.add(Some(rename.at), section.label("as"), message, hint);
            }
            let timeout = self.timeout(&section, TIMEOUT);
            let (Some(name), Some(path)) = (name, path) else { continue };
            let in_folders = path.rfind(['/', '\\']).and_then(|end| path.get(..end)).is_some_and(wildcards_in);
            if rename.is_none() && in_folders {
                self.warnings.push(format!(
                    "[[supplemental]] '{}': if path matches in several folders, the names in the archive collide; add as = '{{1}}\\…'",
                    name.value
                ));
            }
            let optional = section.flag("optional").unwrap_or(false);
            let command = |key: &str| section.text(key).map(|text| CommandLine(text.value));
            list.push(Supplemental {
                name: name.value,
                path,
                rename: rename.map(|rename| rename.value),
                optional,
                before: command("before"),
                after: command("after"),
                timeout,
            });
        }
        list
    }

    fn preset(&mut self, section: &Section<'_>) -> Option<Preset> {
        let text = section.text("preset")?;
        let preset = Preset::named(&text.value);
        if preset.is_none() {
            let names = Preset::ALL.map(Preset::name);
            let hint = closest(&text.value, &names)
                .map_or_else(|| format!("there are {}", Preset::names()), |near| format!("did you mean \"{near}\"?"));
            let message = format!("'{}' is not a preset", text.value);
            self.faults.add(Some(text.at), section.label("preset"), message, hint);
        }
        preset
    }
}

pub(in crate::config) fn wildcards_in(path: &str) -> bool {
    path.contains(['*', '?'])
}
