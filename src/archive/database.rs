//! What a manifest says of a database file.

use serde::{Deserialize, Serialize};

use super::verdict::{Verdict, Why};

/// The verdict on one file of a database, or on a database of which no file is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Name of the database, or of the file where it is unknown.
    pub name: String,
    /// Name of the file; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Whether it is sound.
    #[serde(default)]
    pub verdict: Verdict,
    /// Why it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
    /// Pages or blocks read.
    #[serde(default)]
    pub pages: u64,
    /// How many of them are damaged.
    #[serde(default)]
    pub damaged_pages: u64,
    /// The files of the database do not belong together.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unpaired: bool,
    /// What is worth knowing and no damage, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Database {
    /// A database that must be there and is not.
    #[must_use]
    pub fn absent(name: &str, why: Why) -> Self {
        Self { name: name.to_owned(), verdict: Verdict::Damaged, why: Some(why), ..Self::default() }
    }
}
