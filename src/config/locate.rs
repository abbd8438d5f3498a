//! Where the configuration is looked for.

use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::text::Env;
use crate::platform::WINDOWS;

/// Finds the configuration: `--config`, then `AFTERBACKUP_CONFIG`, then `%ProgramData%\afterbackup\afterbackup.toml`,
/// then (not on Windows, where anybody may create such a folder) `/etc/afterbackup/afterbackup.toml`.
///
/// What is named by option or variable is taken even if it does not exist: falling back would run with the wrong
/// settings.
///
/// # Errors
/// When there is none, with the places looked at.
pub fn locate(option: Option<&Path>, env: Env<'_>) -> Result<PathBuf, ConfigError> {
    // What cannot be told from missing (access denied) is for `load` to report.
    locate_with(option, env, &|path| path.try_exists().unwrap_or(true))
}

pub(super) fn locate_with(
    option: Option<&Path>,
    env: Env<'_>,
    exists: &dyn Fn(&Path) -> bool,
) -> Result<PathBuf, ConfigError> {
    if let Some(path) = option {
        return Ok(path.to_owned());
    }
    if let Some(path) = env("AFTERBACKUP_CONFIG").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let mut places = Vec::new();
    if let Some(data) = env("ProgramData").filter(|data| !data.is_empty()) {
        places.push(Path::new(&data).join("afterbackup").join("afterbackup.toml"));
    }
    if !WINDOWS {
        places.push(PathBuf::from("/etc/afterbackup/afterbackup.toml"));
    }
    if let Some(found) = places.iter().find(|path| exists(path)) {
        return Ok(found.clone());
    }
    let mut message =
        "no configuration found; looked at\n  --config\n  AFTERBACKUP_CONFIG in the environment".to_owned();
    for path in &places {
        message.push_str("\n  ");
        message.push_str(&path.to_string_lossy());
    }
    let hint = "run 'afterbackup init' to write one; archives can be read without, by --destination FOLDER or URL";
    Err(ConfigError::whole(None, message, Some(hint.to_owned())))
}
