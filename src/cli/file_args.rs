//! Files that are given as arguments: names, folders, and patterns, which cmd.exe leaves to the program.

use std::path::{Component, Path, PathBuf};

use globset::GlobBuilder;

/// How deep a folder is searched.
const DEPTH: usize = 8;

/// The files that an argument names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    /// Sorted; the argument itself where it is a name.
    pub(super) files: Vec<PathBuf>,
    /// The argument is a folder: whatever belongs to its files must be in it.
    pub(super) whole_folder: bool,
}

/// Expands an argument. In folders, the files that `wanted` names count.
///
/// # Errors
/// In words, when there are none.
pub(super) fn expand(argument: &Path, wanted: impl Fn(&Path) -> bool + Copy) -> Result<Expanded, String> {
    if argument.is_dir() {
        let mut files = Vec::new();
        below(argument, DEPTH, &wanted, &mut files)?;
        files.retain(|file| wanted(file));
        files.sort();
        let none = "there is no database, log or backup file in this folder".to_owned();
        return if files.is_empty() { Err(none) } else { Ok(Expanded { files, whole_folder: true }) };
    }
    // A name may hold such characters, too, on some systems.
    if argument.exists() || !is_pattern(&argument.to_string_lossy()) {
        return Ok(Expanded { files: vec![argument.to_owned()], whole_folder: false });
    }
    let mut base = PathBuf::new();
    let mut pattern: Vec<String> = Vec::new();
    for component in argument.components() {
        let text = component.as_os_str().to_string_lossy();
        if pattern.is_empty() && !(matches!(component, Component::Normal(_)) && is_pattern(&text)) {
            base.push(component);
        } else {
            pattern.push(escaped(&text));
        }
    }
    let glob = GlobBuilder::new(&pattern.join("/")).literal_separator(true).case_insensitive(true).build();
    let matcher = glob.map_err(|error| error.to_string())?.compile_matcher();
    let folder = if base.as_os_str().is_empty() { Path::new(".") } else { &base };
    let mut files = Vec::new();
    below(folder, pattern.len(), &|_: &Path| false, &mut files)?;
    files.retain(|file| file.strip_prefix(folder).is_ok_and(|rest| matcher.is_match(rest)));
    if base.as_os_str().is_empty() {
        files = files.into_iter().map(|file| file.strip_prefix(".").map(Path::to_owned).unwrap_or(file)).collect();
    }
    files.sort();
    if files.is_empty() { Err("no file matches".to_owned()) } else { Ok(Expanded { files, whole_folder: false }) }
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Only `*` and `?` have a meaning, as everywhere on Windows.
fn escaped(text: &str) -> String {
    let special = |c: char| matches!(c, '[' | ']' | '{' | '}' | '!' | '\\');
    text.chars().map(|c| if special(c) { format!("[{c}]") } else { c.to_string() }).collect()
}

/// The files below a folder, so many levels deep. Links to folders are not followed. A folder with a name that is
/// wanted of files is taken for one: reading it says what it is.
fn below(folder: &Path, depth: usize, wanted: &impl Fn(&Path) -> bool, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let fault = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        let kind = entry.file_type().map_err(fault)?;
        if !kind.is_dir() || wanted(&entry.path()) {
            files.push(entry.path());
        } else if depth > 1 {
            below(&entry.path(), depth - 1, wanted, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_patterns_are_expanded() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("a/deep")).unwrap();
        std::fs::create_dir(root.join("empty")).unwrap();
        for name in ["a/CM_XYZ.MDF", "a/CM_XYZ_log.ldf", "a/deep/x.bak", "a/readme.txt", "a/[1].mdf"] {
            std::fs::write(root.join(name), "").unwrap();
        }
        let wanted = |file: &Path| file.extension().is_some_and(|extension| extension != "txt");
        let names = |argument: &str| -> Result<Vec<String>, String> {
            let expanded = expand(&root.join(argument), wanted)?;
            let name = |file: &PathBuf| file.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            Ok(expanded.files.iter().map(name).collect())
        };
        assert_eq!(names("a").unwrap(), ["a/CM_XYZ.MDF", "a/CM_XYZ_log.ldf", "a/[1].mdf", "a/deep/x.bak"]);
        assert_eq!(names("a/*.mdf").unwrap(), ["a/CM_XYZ.MDF", "a/[1].mdf"]);
        assert_eq!(names("a/[1].m?f").unwrap(), ["a/[1].mdf"]);
        assert_eq!(names("?/deep/*").unwrap(), ["a/deep/x.bak"]);
        assert_eq!(names("missing.mdf").unwrap(), ["missing.mdf"], "reading it says what is wrong");
        assert!(names("empty").unwrap_err().contains("in this folder"));
        assert!(names("a/*.ndf").unwrap_err().contains("no file matches"));
        assert!(names("nowhere/*.ndf").is_err());
    }
}
