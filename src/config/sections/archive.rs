//! `[archive]`: how archives are written.

use std::str::FromStr as _;

use crate::config::text::{Key, Kind, Reader, Section, key};

/// The keys of this section.
pub(in crate::config) const KEYS: &[Key] = &[
    key("level", Kind::Number(1, 19), "3"),
    key("threads", Kind::Number(0, 1024), "0"),
    key("check-databases", Kind::Flag, "true"),
    key("recipients", Kind::Texts, "[\"age1…\"]"),
    key("spool", Kind::Later, ""),
];

const LEVEL: u32 = 3;

/// How archives are written.
#[derive(Debug, Clone)]
pub struct Archive {
    /// zstd level, 1 to 19.
    pub level: i32,
    /// Compression threads, at least 1.
    pub threads: usize,
    /// age public keys (`age1…`). Empty: not encrypted.
    pub recipients: Vec<String>,
    /// Check the pages of SQL Server files while archiving.
    pub check_databases: bool,
}

impl Reader<'_, '_> {
    pub(in crate::config) fn archive(&mut self, root: &Section<'_>) -> Archive {
        let section = root.section("archive");
        let section = section.as_ref();
        let level = section.and_then(|s| s.number("level")).unwrap_or(LEVEL);
        let threads = match section.and_then(|s| s.number("threads")).unwrap_or(0) {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads as usize,
        };
        let mut recipients = Vec::new();
        for recipient in section.map(|s| s.texts("recipients")).unwrap_or_default() {
            let text = recipient.value.trim();
            let (message, hint) = if text.to_ascii_uppercase().contains("AGE-SECRET-KEY") {
                (
                    "this is the SECRET half of a key",
                    "THE SECRET KEY MUST NEVER BE ON THIS SERVER: write the public half, age1…, and make a new pair",
                )
            } else if text.is_empty() || age::x25519::Recipient::from_str(text).is_ok() {
                if !text.is_empty() {
                    recipients.push(text.to_owned());
                }
                continue;
            } else if text.starts_with("ssh-") {
                ("SSH keys are not supported", "make a pair with age-keygen and write its public half, age1…")
            } else {
                ("is no age public key", "age-keygen prints it as 'Public key: age1…'; 62 characters")
            };
            self.faults.add(Some(recipient.at), "[archive] recipients", message, hint);
        }
        let check_databases = section.and_then(|s| s.flag("check-databases")).unwrap_or(true);
        Archive { level: i32::try_from(level).unwrap_or(3), threads, recipients, check_databases }
    }
}
