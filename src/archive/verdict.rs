//! What is known of a database: a verdict that manifests, lists, retention and alarms share.
//!
//! "Unknown" is never "good": sound is what was proven to be sound, and everything else says why it is not. Values that
//! a newer version of this program has written are kept as they are and count as unproven.

use std::fmt;

use super::word::as_word;
use crate::sqlserver::Obstacle;

/// The verdict on a database, or on one of its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Every check passed.
    Sound,
    /// Every check passed, and something is worth a note.
    SoundWithNotes,
    /// It is not what SQL Server wrote, does not belong to its database, or is not there.
    Damaged,
    /// Nothing wrong was seen, but that proves nothing.
    #[default]
    Unproven,
    /// Of a later version of this program.
    Later(String),
}

impl Verdict {
    /// Did every check pass?
    #[must_use]
    pub fn is_proven(&self) -> bool {
        matches!(self, Self::Sound | Self::SoundWithNotes)
    }

    /// Is it known not to be sound?
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        *self == Self::Damaged
    }

    fn word(&self) -> &str {
        match self {
            Self::Sound => "sound",
            Self::SoundWithNotes => "sound-with-notes",
            Self::Damaged => "damaged",
            Self::Unproven => "unproven",
            Self::Later(word) => word,
        }
    }
}

impl From<&str> for Verdict {
    fn from(word: &str) -> Self {
        let known = [Self::Sound, Self::SoundWithNotes, Self::Damaged, Self::Unproven];
        known.into_iter().find(|verdict| verdict.word() == word).unwrap_or_else(|| Self::Later(word.to_owned()))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why a database is damaged or unproven, where it is not its pages that say so.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Why {
    /// Its checksums cannot prove anything.
    Obstacle(Obstacle),
    /// A file is by its content not what its name says.
    NotWhatItsNameSays,
    /// It must be there and is not.
    Missing,
    /// It was sound in the archive before and is not there now.
    Gone,
    /// It is the database of another site.
    Foreign,
    /// A file that cannot be one: a stand-in such as trials have.
    StandIn,
    /// Of a later version of this program.
    Later(String),
}

const OBSTACLES: [Obstacle; 6] = [
    Obstacle::PageVerifyNone,
    Obstacle::PageVerifyTorn,
    Obstacle::EncryptedOrWholesaleDamage,
    Obstacle::UnknownVersion,
    Obstacle::NoChecksums,
    Obstacle::UnknownLayout,
];

impl Why {
    fn word(&self) -> &str {
        match self {
            Self::Obstacle(Obstacle::PageVerifyNone) => "page-verify-none",
            Self::Obstacle(Obstacle::PageVerifyTorn) => "page-verify-torn",
            Self::Obstacle(Obstacle::EncryptedOrWholesaleDamage) => "encrypted-or-wholesale-damage",
            Self::Obstacle(Obstacle::UnknownVersion) => "unknown-version",
            Self::Obstacle(Obstacle::NoChecksums) => "no-checksums",
            Self::Obstacle(Obstacle::UnknownLayout) => "unknown-layout",
            Self::NotWhatItsNameSays => "not-what-its-name-says",
            Self::Missing => "missing",
            Self::Gone => "gone",
            Self::Foreign => "foreign",
            Self::StandIn => "stand-in",
            Self::Later(word) => word,
        }
    }
}

impl From<&str> for Why {
    fn from(word: &str) -> Self {
        let obstacles = OBSTACLES.into_iter().map(Self::Obstacle);
        let others = [Self::NotWhatItsNameSays, Self::Missing, Self::Gone, Self::Foreign, Self::StandIn];
        obstacles.chain(others).find(|why| why.word() == word).unwrap_or_else(|| Self::Later(word.to_owned()))
    }
}

/// In words for people.
impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Obstacle(obstacle) => write!(f, "{obstacle}"),
            Self::NotWhatItsNameSays => f.write_str("not what its name says"),
            Self::Missing => f.write_str("missing"),
            Self::Gone => f.write_str("not there any more"),
            Self::Foreign => f.write_str("the database of another site"),
            Self::StandIn => f.write_str("a stand-in, not a database"),
            Self::Later(word) => f.write_str(word),
        }
    }
}

as_word!(Verdict);
as_word!(Why);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_reads_back_and_later_ones_survive() {
        for word in ["sound", "sound-with-notes", "damaged", "unproven", "of-a-later-version"] {
            let verdict = Verdict::from(word);
            assert_eq!(
                (verdict.to_string().as_str(), verdict == Verdict::Later(word.to_owned())),
                (word, word.contains("later"))
            );
            let json = serde_json::to_string(&verdict).unwrap();
            assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
        }
        let others =
            [Why::NotWhatItsNameSays, Why::Missing, Why::Gone, Why::Foreign, Why::StandIn, Why::Later("x".into())];
        for why in OBSTACLES.into_iter().map(Why::Obstacle).chain(others) {
            let json = serde_json::to_string(&why).unwrap();
            assert_eq!(serde_json::from_str::<Why>(&json).unwrap(), why, "{json}");
        }
    }

    #[test]
    fn only_what_passed_is_proven() {
        for (verdict, proven, damaged) in [
            (Verdict::Sound, true, false),
            (Verdict::SoundWithNotes, true, false),
            (Verdict::Damaged, false, true),
            (Verdict::Unproven, false, false),
            (Verdict::Later("glorious".into()), false, false),
        ] {
            assert_eq!((verdict.is_proven(), verdict.is_damaged()), (proven, damaged));
        }
    }
}
