//! Keys, and the names of what is not finished yet.
//!
//! Every kind of destination accepts the same keys, the ones that every file system and store can hold, so that an
//! archive can move from any of them to any other.
//!
//! A file on its way is called `.<name>.partial-<pid>-<random>`: process ids come back, and in containers on two hosts
//! that write to one share they are the same. Only such names (the random part may be missing) whose `<name>` is one of
//! our own stored files are ever swept.

use std::collections::HashSet;
use std::sync::LazyLock;

use parking_lot::{Mutex, MutexGuard};
use sha2::{Digest as _, Sha256};

use super::{Error, ErrorKind};
use crate::name::StoredFile;
use crate::windows_names::{self, NameFault};

/// Leaves room for the decoration of partial names within the 255 bytes of ordinary file systems.
const LONGEST_NAME: usize = 200;

/// Splits a key into folder (may be empty) and file name, after checking that every destination can hold it.
pub(super) fn split<'a>(operation: &'static str, key: &'a str) -> Result<(&'a str, &'a str), Error> {
    let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
    let folder_ok = if folder.is_empty() { !key.starts_with('/') } else { is_name(folder) };
    if folder_ok && is_name(name) {
        Ok((folder, name))
    } else {
        Err(Error::new(ErrorKind::Other, operation, key, "not a key that every destination can hold"))
    }
}

/// The same for the key of a leftover, whose name is longer.
pub(super) fn split_unfinished<'a>(operation: &'static str, key: &'a str) -> Result<(&'a str, &'a str), Error> {
    let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
    let of = partial_of(name).or_else(|| journal_of(name)).unwrap_or_default();
    check_folder(operation, folder)?;
    if is_name(of) { Ok((folder, name)) } else { Err(Error::new(ErrorKind::Other, operation, key, "not a leftover")) }
}

/// Checks the name of a folder; the empty one is the top.
pub(super) fn check_folder(operation: &'static str, folder: &str) -> Result<(), Error> {
    if folder.is_empty() || is_name(folder) {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::Other, operation, folder, "not a folder that every destination can hold"))
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && !name.contains(char::is_control)
        // The names of devices are none of ours, and no store minds them.
        && matches!(windows_names::fault(name), None | Some(NameFault::Device))
}

/// A name for what will be `name`, of this host and process and new every time: the upper half of the number is
/// derived from the name of the host.
pub(super) fn partial(name: &str) -> String {
    let number = u64::from(this_host()) << 32 | u64::from(rand::random::<u32>());
    let partial = format!(".{name}.partial-{}-{number}", std::process::id());
    in_use().insert(partial.clone());
    partial
}

/// The partial names that this process is using. A resident process would otherwise take what its own failed uploads
/// left for the work of a living one.
fn in_use() -> MutexGuard<'static, HashSet<String>> {
    static IN_USE: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    IN_USE.lock()
}

/// The upload of this partial name, or of a journal of it, is over, whatever became of it.
pub(super) fn release(partial: &str) {
    in_use().remove(partial.strip_suffix(".json").filter(|name| partial_of(name).is_some()).unwrap_or(partial));
}

/// Four bytes of the SHA-256 of the host's name.
fn this_host() -> u32 {
    static HOST: LazyLock<u32> = LazyLock::new(|| {
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(gethostname::gethostname().as_encoded_bytes()));
        u32::from_be_bytes([a, b, c, d])
    });
    *HOST
}

/// The process of this host that made a partial file, or the journal of an upload, of this name.
pub(super) fn made_here_by(partial: &str) -> Option<u32> {
    let (_, tail) = partial
        .strip_suffix(".json")
        .filter(|name| partial_of(name).is_some())
        .unwrap_or(partial)
        .rsplit_once(".partial-")?;
    let (process, number) = tail.split_once('-')?;
    let number: u64 = number.parse().ok()?;
    (number >> 32 == u64::from(this_host())).then(|| process.parse().ok())?
}

/// The name that something called `partial` would have got.
pub(super) fn partial_of(partial: &str) -> Option<&str> {
    let (name, tail) = partial.strip_prefix('.')?.rsplit_once(".partial-")?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let numbered = match tail.split_once('-') {
        None => is_number(tail),
        Some((pid, n)) => is_number(pid) && is_number(n),
    };
    (numbered && !name.is_empty()).then_some(name)
}

/// The same for the journal entry of a multipart upload.
pub(super) fn journal_of(journal: &str) -> Option<&str> {
    partial_of(journal.strip_suffix(".json")?)
}

/// Was it left by a process of this host that is no more? `false` where that cannot be told.
pub(super) fn is_abandoned(partial: &str) -> bool {
    let name = partial.strip_suffix(".json").filter(|name| partial_of(name).is_some()).unwrap_or(partial);
    match made_here_by(partial) {
        Some(process) if process == std::process::id() => !in_use().contains(name),
        Some(process) => crate::platform::process_is_gone(process),
        None => false,
    }
}

/// Is it a file of ours, so that its leftovers may be removed?
pub(super) fn is_ours(name: &str) -> bool {
    StoredFile::parse(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_at_most_one_folder_deep_and_portable() {
        assert_eq!(split("read", "XYZ/a.json").unwrap(), ("XYZ", "a.json"));
        assert_eq!(split("read", "a.json").unwrap(), ("", "a.json"));
        for key in ["", "/", "/a", "a/", "a/b/c", "../a", "a/..", "a/.", "a\\b", "a:b", "a/b ", "a/b.", "a\0", "a//b"] {
            assert_eq!(split("read", key).unwrap_err().kind, ErrorKind::Other, "{key}");
        }
        assert!(split("read", &format!("XYZ/{}", "a".repeat(201))).is_err());
        assert!(check_folder("list", "").is_ok());
        assert!(check_folder("list", "a/b").is_err());
    }

    #[test]
    fn partial_names_read_back() {
        assert_eq!(partial_of(&partial("X.json")), Some("X.json"));
        assert_ne!(partial("X.json"), partial("X.json"));
        assert_eq!(partial_of(".X.json.partial-12"), Some("X.json"));
        assert_eq!(journal_of(".X.tar.zst.partial-12-3.json"), Some("X.tar.zst"));
        for foreign in
            ["X.json", ".X.json", ".X.partial-", ".X.partial-1x", ".X.partial-1-", ".partial-1", "X.partial-1"]
        {
            assert_eq!(partial_of(foreign), None, "{foreign}");
        }
        assert_eq!(journal_of(".X.json.partial-12"), None);
        let ours = Some(std::process::id());
        assert_eq!((made_here_by(&partial("X.json")), made_here_by(&format!("{}.json", partial("X")))), (ours, ours));
        for foreign in [".X.json.partial-12", ".X.json.partial-12-3", ".X.json", "X"] {
            assert_eq!(made_here_by(foreign), None, "{foreign}");
        }
    }
}
