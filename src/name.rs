//! Names of archives and of the files they consist of.
//!
//! An archive is named after its site and the time its snapshot was completed, in UTC and to the second:
//! `XYZ-20261122T235900Z`. The same snapshot therefore always gets the same name, whoever archives it, and names sort
//! by time. Separate series of the same site carry a second part: `XYZ.ContentLibrary-20261122T235900Z`.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The series of SQL Server's own backups of a site's database.
pub const SQL_SERIES: &str = "SQL";

/// A site code: three ASCII letters or digits, upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteCode([u8; 3]);

impl SiteCode {
    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("site codes are ASCII")
    }

    /// The name of the folder the backup task writes: `XYZBackup`.
    #[must_use]
    pub fn backup_folder(&self) -> String {
        format!("{self}Backup")
    }
}

impl fmt::Display for SiteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for SiteCode {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bytes: [u8; 3] = text.as_bytes().try_into().map_err(|_| NameError::Site(text.to_owned()))?;
        if bytes.iter().all(u8::is_ascii_alphanumeric) {
            Ok(Self(bytes.map(|b| b.to_ascii_uppercase())))
        } else {
            Err(NameError::Site(text.to_owned()))
        }
    }
}

/// The identity of an archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArchiveId {
    site: SiteCode,
    series: Option<String>,
    stamp: Timestamp,
}

const STAMP: &str = "%Y%m%dT%H%M%SZ";

impl ArchiveId {
    /// The archive of a snapshot completed at `completed`; fractions of a second are dropped.
    #[must_use]
    pub fn new(site: SiteCode, completed: Timestamp) -> Self {
        let second = completed.as_second().clamp(
            // Years of four digits only, so that names keep their width and sort.
            -62_135_596_800,
            253_402_207_200,
        );
        Self { site, series: None, stamp: Timestamp::from_second(second).expect("clamped to the years 1 to 9999") }
    }

    /// The same time in another series of the site.
    ///
    /// # Errors
    /// When `series` is not 1 to 64 ASCII letters, digits, `_` or `-`, starting with a letter or digit.
    pub fn in_series(mut self, series: &str) -> Result<Self, NameError> {
        check_series(series)?;
        self.series = Some(series.to_owned());
        Ok(self)
    }

    /// The archive of a snapshot of this series, or of the site's own where there is none.
    #[must_use]
    pub fn of_series(site: SiteCode, series: Option<&'static str>, completed: Timestamp) -> Self {
        Self { series: series.map(str::to_owned), ..Self::new(site, completed) }
    }

    /// The site.
    #[must_use]
    pub fn site(&self) -> SiteCode {
        self.site
    }

    /// The separate series, if it is not the site's own.
    #[must_use]
    pub fn series(&self) -> Option<&str> {
        self.series.as_deref()
    }

    /// When the snapshot was completed.
    #[must_use]
    pub fn stamp(&self) -> Timestamp {
        self.stamp
    }

    /// Name of the archive file.
    #[must_use]
    pub fn archive_name(&self, form: Form) -> String {
        format!("{self}{}", form.extension())
    }

    /// Name of the archive file of an attempt that may not have the plain name, because another attempt may be using
    /// it.
    #[must_use]
    pub fn attempt_name(&self, form: Form, attempt: u32) -> String {
        format!("{self}.{attempt:08x}{}", form.extension())
    }

    /// Name of the note that this archive is being removed.
    #[must_use]
    pub fn removing_name(&self) -> String {
        format!("{self}.removing")
    }

    /// Name of the manifest.
    #[must_use]
    pub fn manifest_name(&self) -> String {
        format!("{self}.json")
    }

    /// Name of the file whose presence protects the archive from pruning.
    #[must_use]
    pub fn pin_name(&self) -> String {
        format!("{self}.pin")
    }

    /// Key on a destination of one of the names above.
    #[must_use]
    pub fn key(&self, file_name: &str) -> String {
        format!("{}/{file_name}", self.site)
    }
}

/// What an archive file is, as its name says to people who tidy up by hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Form {
    /// Is it an age file?
    pub encrypted: bool,
    /// Does it need other archives to be read?
    pub differential: bool,
}

impl Form {
    /// A full archive that is not encrypted.
    pub const PLAIN: Self = Self { encrypted: false, differential: false };
    /// A full archive that is encrypted.
    pub const ENCRYPTED: Self = Self { encrypted: true, differential: false };
    /// Every one.
    pub const ALL: [Self; 4] = [
        Self::PLAIN,
        Self::ENCRYPTED,
        Self { encrypted: false, differential: true },
        Self { encrypted: true, differential: true },
    ];

    /// The name of a file of another form, in this one.
    #[must_use]
    pub fn instead_of(self, other: Self, file_name: &str) -> String {
        format!("{}{}", file_name.strip_suffix(other.extension()).unwrap_or(file_name), self.extension())
    }

    fn extension(self) -> &'static str {
        match (self.differential, self.encrypted) {
            (false, false) => ".tar.zst",
            (false, true) => ".tar.zst.age",
            (true, false) => ".diff.tar.zst",
            (true, true) => ".diff.tar.zst.age",
        }
    }
}

/// The tier of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Needs no other.
    Full,
    /// What differs from the full one.
    Weekly,
    /// What differs from one of the others.
    Nightly,
}

impl Level {
    /// In a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Weekly => "weekly",
            Self::Nightly => "nightly",
        }
    }
}

impl fmt::Display for ArchiveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stamp = self.stamp.strftime(STAMP);
        match &self.series {
            None => f.pad(&format!("{}-{stamp}", self.site)),
            Some(series) => f.pad(&format!("{}.{series}-{stamp}", self.site)),
        }
    }
}

impl FromStr for ArchiveId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fault = || NameError::Archive(text.to_owned());
        let (head, stamp) = text.rsplit_once('-').ok_or_else(fault)?;
        let (site, series) = match head.split_once('.') {
            None => (head, None),
            Some((site, series)) => (site, Some(series)),
        };
        let parsed = DateTime::strptime(STAMP, stamp)
            .ok()
            .and_then(|time| TimeZone::UTC.to_timestamp(time).ok())
            .ok_or_else(fault)?;
        let id = Self::new(site.parse()?, parsed);
        let id = match series {
            None => id,
            Some(series) => id.in_series(series)?,
        };
        // Only the one spelling is ours: no lower-case sites, no short digits.
        if id.to_string() == text { Ok(id) } else { Err(fault()) }
    }
}

impl serde::Serialize for ArchiveId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ArchiveId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

impl serde::Serialize for SiteCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for SiteCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

fn parsed<'de, D: serde::Deserializer<'de>, T: FromStr<Err = NameError>>(deserializer: D) -> Result<T, D::Error> {
    let text = <String as serde::Deserialize>::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

fn check_series(series: &str) -> Result<(), NameError> {
    let ok = (1..=64).contains(&series.len())
        && series.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        && series.as_bytes()[0].is_ascii_alphanumeric();
    if ok { Ok(()) } else { Err(NameError::Series(series.to_owned())) }
}

/// What a file on a destination is, judged by its name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredFile {
    /// The archive itself.
    Archive {
        /// Of which archive.
        id: ArchiveId,
        /// And what kind of file.
        form: Form,
    },
    /// The manifest that makes it exist.
    Manifest(ArchiveId),
    /// The protection from pruning.
    Pin(ArchiveId),
    /// The note that it is being removed.
    Removing(ArchiveId),
}

impl StoredFile {
    /// The archive that it belongs to.
    #[must_use]
    pub fn id(&self) -> &ArchiveId {
        match self {
            Self::Archive { id, .. } | Self::Manifest(id) | Self::Pin(id) | Self::Removing(id) => id,
        }
    }

    /// Recognises our own names; `None` is a foreign file.
    #[must_use]
    pub fn parse(file_name: &str) -> Option<Self> {
        let (stem, extension) = file_name.split_once('.').map(|_| {
            // The series separates itself from the site by a dot too: split behind the stamp.
            let end = file_name.rfind('-').map_or(0, |dash| dash + 1);
            let dot = file_name.get(end..).and_then(|tail| tail.find('.')).map(|at| end + at);
            dot.map_or((file_name, ""), |dot| file_name.split_at(dot))
        })?;
        let id = stem.parse().ok()?;
        let extension = without_attempt(extension);
        if let Some(form) = Form::ALL.into_iter().find(|form| form.extension() == extension) {
            return Some(Self::Archive { id, form });
        }
        match extension {
            ".json" => Some(Self::Manifest(id)),
            ".pin" => Some(Self::Pin(id)),
            ".removing" => Some(Self::Removing(id)),
            _ => None,
        }
    }
}

/// The extension of an archive file without the number of its attempt: `.1a2b3c4d.tar.zst` is `.tar.zst`.
fn without_attempt(extension: &str) -> &str {
    let parts = extension.strip_prefix('.').and_then(|rest| rest.split_once('.'));
    let is_digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
    match parts {
        Some((attempt, rest))
            if attempt.len() == 8
                && (rest.starts_with("tar") || rest.starts_with("diff"))
                && attempt.bytes().all(is_digit) =>
        {
            extension.get(attempt.len() + 1..).unwrap_or(extension)
        }
        _ => extension,
    }
}

/// A name that is not one of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a site code.
    #[error("'{0}' is not a site code (three letters or digits)")]
    Site(String),
    /// Not an archive id.
    #[error("'{0}' is no archive id: they look like XYZ-20261122T235900Z")]
    Archive(String),
    /// Not a series.
    #[error("'{0}' is no name for a series: it has 1 to 64 letters, digits, '_' or '-'")]
    Series(String),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> ArchiveId {
        text.parse().unwrap()
    }

    #[test]
    fn id_is_written_as_site_and_utc_stamp() {
        let completed = "2026-11-22T23:59:00.987Z".parse().unwrap();
        let id = ArchiveId::new("xyz".parse().unwrap(), completed);
        assert_eq!(id.to_string(), "XYZ-20261122T235900Z");
        assert_eq!(id.key(&id.archive_name(Form::ENCRYPTED)), "XYZ/XYZ-20261122T235900Z.tar.zst.age");
    }

    #[test]
    fn files_are_recognised_by_name() {
        let plain = id("XYZ-20261122T235900Z");
        let series = id("XYZ.Content-Library-20261122T235900Z");
        assert_eq!(series.series(), Some("Content-Library"));
        assert_eq!(
            StoredFile::parse("XYZ-20261122T235900Z.tar.zst"),
            Some(StoredFile::Archive { id: plain.clone(), form: Form::PLAIN })
        );
        assert_eq!(
            StoredFile::parse("XYZ.Content-Library-20261122T235900Z.tar.zst.age"),
            Some(StoredFile::Archive { id: series, form: Form::ENCRYPTED })
        );
        assert_eq!(StoredFile::parse("XYZ-20261122T235900Z.json"), Some(StoredFile::Manifest(plain.clone())));
        assert_eq!(StoredFile::parse("XYZ-20261122T235900Z.pin"), Some(StoredFile::Pin(plain)));
    }

    #[test]
    fn names_of_attempts_and_notes_read_back() {
        let id: ArchiveId = "XYZ.Lib-20261122T235900Z".parse().unwrap();
        for form in Form::ALL {
            let name = id.attempt_name(form, 0x1a2b);
            assert!(name.starts_with("XYZ.Lib-20261122T235900Z.00001a2b."), "{name}");
            for name in [name, id.archive_name(form)] {
                assert_eq!(StoredFile::parse(&name), Some(StoredFile::Archive { id: id.clone(), form }));
            }
        }
        assert_eq!(StoredFile::parse(&id.removing_name()), Some(StoredFile::Removing(id)));
    }

    #[test]
    fn foreign_names_are_not_ours() {
        for name in [
            "",
            ".",
            "-",
            "readme.txt",
            "XYZ-20261122T235900Z",
            "XYZ-20261122T235900Z.tar",
            "xyz-20261122T235900Z.json",
            "XYZ-20261122T235900Z.json.bak",
            "XYZ-20261122T235900Z.1a2b3c4d.json",
            "XYZ-20261122T235900Z.1a2b3c4.tar.zst",
            "XYZ-20261122T235900Z.1A2B3C4D.tar.zst",
            "XYZ-20261122T235900Z.1a2b3c4d.1a2b3c4d.tar.zst",
            "XYZ-20261122T235900Z.tar.diff.zst",
            "XYZ-20261122T235900Z.1a2b3c4d.diff",
            "XYZ-2026112T235900Z.json",
            "XYZ-20261322T235900Z.json",
            "WXYZ-20261122T235900Z.json",
            "XYZ.-20261122T235900Z.json",
            "XYZ..a-20261122T235900Z.json",
            "é-20261122T235900Z.json",
            ".XYZ-20261122T235900Z.tar.zst.partial-1",
        ] {
            assert_eq!(StoredFile::parse(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_id_reads_back(second in -62_135_596_800_i64..253_402_207_200, site in "[A-Z0-9]{3}", series in prop::option::of("[A-Za-z0-9][A-Za-z0-9_-]{0,10}")) {
            let mut id = ArchiveId::new(site.parse().unwrap(), Timestamp::from_second(second).unwrap());
            if let Some(series) = series {
                id = id.in_series(&series).unwrap();
            }
            prop_assert_eq!(id.to_string().parse::<ArchiveId>().unwrap(), id.clone());
            prop_assert_eq!(StoredFile::parse(&id.manifest_name()), Some(StoredFile::Manifest(id)));
        }

        #[test]
        fn any_text_is_judged_without_panic(name in any::<String>()) {
            let recognised = StoredFile::parse(&name).is_some();
            prop_assert!(!recognised || name.len() >= 20);
        }
    }
}
