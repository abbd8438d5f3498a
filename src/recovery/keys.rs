//! The keys of an unattended recovery script, as data: Microsoft's two tables and their conditions.
//!
//! The reader of scripts, the writer, the command line and the tests all use this one table. A condition is data too
//! (another key has one of these values), so that the writer leaves out what the checker would call unused.

use std::fmt;

use serde::Serialize;

/// Which of Microsoft's tables of recovery keys applies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
pub enum Vintage {
    /// The table of 2016.
    #[serde(rename = "2016")]
    Y2016,
    /// The table of 2022, which knows the keys of the current branch.
    #[default]
    #[serde(rename = "2022")]
    Y2022,
}

impl Vintage {
    /// Both, oldest first.
    pub const ALL: [Self; 2] = [Self::Y2016, Self::Y2022];
}

impl fmt::Display for Vintage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Y2016 => "2016",
            Self::Y2022 => "2022",
        })
    }
}

impl std::str::FromStr for Vintage {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "2016" => Ok(Self::Y2016),
            "2022" => Ok(Self::Y2022),
            _ => Err("expected 2016 or 2022"),
        }
    }
}

/// Where a rule comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Both tables of keys agree.
    Keys,
    /// Only the table of 2016 says so.
    Keys2016,
    /// Only the table of 2022 says so.
    Keys2022,
    /// What Microsoft writes about the options of site recovery.
    Options,
    /// What Microsoft writes about the form of a script file.
    Form,
    /// Not documented: seen in scripts that people use, or inferred from the documented rules.
    Experience,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys => "Microsoft's tables of unattended recovery keys, 2016 and 2022",
            Self::Keys2016 => "Microsoft's table of unattended recovery keys, 2016",
            Self::Keys2022 => "Microsoft's table of unattended recovery keys, 2022",
            Self::Options => "Microsoft's documentation of the site recovery options",
            Self::Form => "Microsoft's documentation of the unattended script file",
            Self::Experience => "not documented; seen in scripts in use or inferred from the documented rules",
        })
    }
}

/// The kind of site that is recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SiteType {
    /// A central administration site.
    Cas,
    /// A stand-alone primary site.
    Primary,
    /// A primary site below a central administration site.
    ChildPrimary,
}

impl SiteType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cas, Self::Primary, Self::ChildPrimary];

    /// The value of `Action`.
    #[must_use]
    pub fn action(self) -> &'static str {
        if self == Self::Cas { CAS_ACTION } else { PRIMARY_ACTION }
    }
}

impl fmt::Display for SiteType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cas => "central administration site",
            Self::Primary => "stand-alone primary site",
            Self::ChildPrimary => "primary site below a central administration site",
        })
    }
}

impl std::str::FromStr for SiteType {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "cas" => Ok(Self::Cas),
            "primary" => Ok(Self::Primary),
            "child-primary" => Ok(Self::ChildPrimary),
            _ => Err("expected cas, primary or child-primary"),
        }
    }
}

/// `Action` of a primary site.
pub const PRIMARY_ACTION: &str = "RecoverPrimarySite";
/// `Action` of a central administration site.
pub const CAS_ACTION: &str = "RecoverCCAR";

/// Must a key be there?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The table does not know the key.
    Unknown,
    /// Always.
    Required,
    /// No.
    Optional,
    /// When a condition holds.
    Conditional,
}

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// One of these, whatever the case.
    OneOf(&'static [&'static str]),
    /// A product key, or `Eval`. Never shown.
    ProductId,
    /// Three letters or digits.
    SiteCode,
    /// Anything that is not empty.
    Text,
    /// A full domain name.
    Fqdn,
    /// The name of a computer.
    Host,
    /// A full domain name (2022) or a site code (2016).
    FqdnOrSiteCode,
    /// `name` or `INSTANCE\name`.
    DatabaseName,
    /// A number in this range.
    Number(u32, u32),
    /// A folder on a drive of the computer.
    LocalFolder,
    /// A folder, local or on a share.
    Folder,
    /// The `XXXBackup` folder of the snapshot.
    BackupFolder,
}

/// Another key has one of these values; without values, any that is not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When(pub &'static str, pub &'static [&'static str]);

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its section.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The same as flag and in the answers file.
    pub flag: &'static str,
    /// For a primary site?
    pub primary: bool,
    /// For a central administration site?
    pub cas: bool,
    /// What the tables of 2016 and 2022 say.
    pub need: [Need; 2],
    /// What its value looks like.
    pub value: Value,
    /// All of these hold where the key is used.
    pub used: &'static [When],
    /// A conditional key must be there when all of these hold, too. Without any, when it is used.
    pub required: &'static [When],
    /// The same in words.
    pub about: &'static str,
}

impl Key {
    /// What a table says of it.
    #[must_use]
    pub fn need(&self, vintage: Vintage) -> Need {
        self.need[vintage as usize]
    }

    /// Where its rules come from.
    #[must_use]
    pub fn source(&self) -> Source {
        match self.need {
            [Need::Unknown, _] => Source::Keys2022,
            [_, Need::Unknown] => Source::Keys2016,
            _ => Source::Keys,
        }
    }

    /// Is it for this action?
    #[must_use]
    pub fn is_for(&self, action: &str) -> bool {
        if action.eq_ignore_ascii_case(CAS_ACTION) { self.cas } else { self.primary }
    }
}

/// The key of this name.
///
/// # Panics
/// When there is none: names are constants of this program.
#[must_use]
pub fn key(name: &str) -> &'static Key {
    KEYS.iter().find(|key| key.name == name).expect("callers name keys of the table")
}

const NONE: &[When] = &[];
const WITH_SERVER: &[When] = &[When("ServerRecoveryOptions", &["1", "2"])];
const WITH_DATABASE: &[When] = &[When("ServerRecoveryOptions", &["1", "4"])];
const WITH_RESTORE: &[When] = &[When("ServerRecoveryOptions", &["1", "4"]), When("DatabaseRecoveryOptions", &["10"])];
const WITH_GLOBAL_DATA: &[When] =
    &[When("ServerRecoveryOptions", &["1", "4"]), When("DatabaseRecoveryOptions", &["10", "20", "40"])];
const WITH_NEW: &[When] = &[When("ServerRecoveryOptions", &["1", "4"]), When("DatabaseRecoveryOptions", &["40"])];
const WITH_CLOUD: &[When] = &[When("CloudConnector", &["1"])];
const WITH_PROXY: &[When] = &[When("CloudConnector", &["1"]), When("UseProxy", &["1"])];
const WITH_CAS: &[When] = &[When("CCARSiteServer", &[])];
const FLAG: Value = Value::OneOf(&["0", "1"]);

#[rustfmt::skip]
macro_rules! keys {
    ($($section:literal $name:literal $flag:literal $for:ident $old:ident $new:ident $value:expr, $used:expr, $required:expr, $about:literal;)*) => {
        /// Every key of the two tables, in the order in which a script has them.
        pub const KEYS: &[Key] = &[$(Key {
            section: $section, name: $name, flag: $flag,
            primary: keys!(@primary $for), cas: keys!(@cas $for),
            need: [keys!(@need $old), keys!(@need $new)],
            value: $value, used: $used, required: $required, about: $about,
        }),*];
    };
    (@primary PC) => { true };
    (@primary P) => { true };
    (@primary C) => { false };
    (@cas PC) => { true };
    (@cas P) => { false };
    (@cas C) => { true };
    (@need y) => { Need::Required };
    (@need n) => { Need::Optional };
    (@need c) => { Need::Conditional };
    (@need x) => { Need::Unknown };
}

keys! {
    "Identification" "Action" "action" PC y y Value::OneOf(&[PRIMARY_ACTION, CAS_ACTION]), NONE, NONE,
        "RecoverPrimarySite or RecoverCCAR";
    "Identification" "CDLatest" "cd-latest" PC x c Value::OneOf(&["0", "1"]), NONE, NONE,
        "1 when Setup runs from CD.Latest";
    "RecoveryOptions" "ServerRecoveryOptions" "server-recovery-options" PC y y Value::OneOf(&["1", "2", "4"]), NONE, NONE,
        "1 site server and SQL Server, 2 site server only, 4 SQL Server only";
    "RecoveryOptions" "DatabaseRecoveryOptions" "database-recovery-options" PC c c Value::OneOf(&["10", "20", "40", "80"]), WITH_DATABASE, NONE,
        "10 from the backup set, 20 recovered by hand, 40 new, 80 skip";
    "RecoveryOptions" "ReferenceSite" "reference-site" C c c Value::Fqdn, WITH_GLOBAL_DATA, WITH_NEW,
        "the primary site from which a central administration site takes global data; required with DatabaseRecoveryOptions=40";
    "RecoveryOptions" "SiteServerBackupLocation" "site-server-backup-location" PC n n Value::BackupFolder, WITH_SERVER, NONE,
        "the XXXBackup folder; without it the site server is reinstalled without restoring";
    "RecoveryOptions" "BackupLocation" "backup-location" PC c c Value::BackupFolder, WITH_RESTORE, NONE,
        "the XXXBackup folder with the database";
    "Options" "ProductID" "product-id" PC y y Value::ProductId, NONE, NONE,
        "the product key, or Eval";
    "Options" "SiteCode" "site-code" PC y y Value::SiteCode, NONE, NONE,
        "as before";
    "Options" "SiteName" "site-name" PC y n Value::Text, NONE, NONE,
        "the description of the site";
    "Options" "SMSInstallDir" "sms-install-dir" PC y y Value::LocalFolder, NONE, NONE,
        "the original installation folder, or a new one";
    "Options" "SDKServer" "sdk-server" PC y y Value::Fqdn, NONE, NONE,
        "the server of the SMS Provider, as before";
    "Options" "PrerequisiteComp" "prerequisite-comp" PC y y FLAG, NONE, NONE,
        "0 download the prerequisites, 1 they are already there";
    "Options" "PrerequisitePath" "prerequisite-path" PC y y Value::Folder, NONE, NONE,
        "the folder of the prerequisites, usually CD.Latest\\redist";
    "Options" "AdminConsole" "admin-console" PC c c FLAG, WITH_SERVER, NONE,
        "1 installs the console; not for ServerRecoveryOptions 4";
    "Options" "JoinCEIP" "join-ceip" PC y y FLAG, NONE, NONE,
        "2016: 0 or 1, 2022: 0 only";
    "SQLConfigOptions" "SQLServerName" "sql-server-name" PC y y Value::Host, NONE, NONE,
        "the server of the site database, as before";
    "SQLConfigOptions" "DatabaseName" "database-name" PC y y Value::DatabaseName, NONE, NONE,
        "name or INSTANCE\\name, as before";
    "SQLConfigOptions" "SQLSSBPort" "sql-ssb-port" PC n y Value::Number(1, 65_535), NONE, NONE,
        "the port of the SQL Server Service Broker, usually 4022, as before";
    "SQLConfigOptions" "SQLDataFilePath" "sql-data-file-path" PC x n Value::LocalFolder, NONE, NONE,
        "the local folder of the data file";
    "SQLConfigOptions" "SQLLogFilePath" "sql-log-file-path" PC x n Value::LocalFolder, NONE, NONE,
        "the local folder of the log file";
    "CloudConnectorOptions" "CloudConnector" "cloud-connector" PC x y FLAG, NONE, NONE,
        "0 or 1; 0 for a primary site below a central administration site";
    "CloudConnectorOptions" "CloudConnectorServer" "cloud-connector-server" PC x c Value::Host, WITH_CLOUD, NONE,
        "the server of the service connection point, with CloudConnector=1";
    "CloudConnectorOptions" "UseProxy" "use-proxy" PC x c FLAG, WITH_CLOUD, NONE,
        "0 or 1, with CloudConnector=1";
    "CloudConnectorOptions" "ProxyName" "proxy-name" PC x c Value::Host, WITH_PROXY, NONE,
        "the proxy, with UseProxy=1";
    "CloudConnectorOptions" "ProxyPort" "proxy-port" PC x c Value::Number(1, 65_535), WITH_PROXY, NONE,
        "the port of the proxy, with UseProxy=1";
    "HierarchyExpansionOption" "CCARSiteServer" "ccar-site-server" P c c Value::FqdnOrSiteCode, NONE, NONE,
        "the central administration site, required if attached to one; 2016: its site code, 2022: its full domain name";
    "HierarchyExpansionOption" "CASRetryInterval" "cas-retry-interval" P n n Value::Number(0, u32::MAX), WITH_CAS, NONE,
        "minutes between tries to reach the central administration site";
    "HierarchyExpansionOption" "WaitForCASTimeout" "wait-for-cas-timeout" P n n Value::Number(0, 100), WITH_CAS, NONE,
        "minutes to wait for the central administration site, 0 to 100";
}

/// Sections that scripts in use have, with the section that the tables name.
pub const SECTION_SPELLINGS: &[(&str, &str)] = &[
    ("HierarchyExpansionOptions", "HierarchyExpansionOption"),
    ("Hierarchy ExpansionOption", "HierarchyExpansionOption"),
];

/// Keys that recovery scripts in use have and the tables do not.
pub const UNDOCUMENTED: &[(&str, &str)] =
    &[("SQLConfigOptions", "SQLServerPort"), ("SystemCenterOptions", "SysCenterId")];

/// The sections of the tables, in order.
pub fn sections() -> impl Iterator<Item = &'static str> {
    let mut last = "";
    KEYS.iter().map(|key| key.section).filter(move |&section| std::mem::replace(&mut last, section) != section)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Microsoft's tables as they were published: section, key, for, 2016, 2022.
    const TABLE: &str = "\
Identification|Action|PC|y|y
Identification|CDLatest|PC|-|c
RecoveryOptions|ServerRecoveryOptions|PC|y|y
RecoveryOptions|DatabaseRecoveryOptions|PC|c|c
RecoveryOptions|ReferenceSite|C|c|c
RecoveryOptions|SiteServerBackupLocation|PC|n|n
RecoveryOptions|BackupLocation|PC|c|c
Options|ProductID|PC|y|y
Options|SiteCode|PC|y|y
Options|SiteName|PC|y|n
Options|SMSInstallDir|PC|y|y
Options|SDKServer|PC|y|y
Options|PrerequisiteComp|PC|y|y
Options|PrerequisitePath|PC|y|y
Options|AdminConsole|PC|c|c
Options|JoinCEIP|PC|y|y
SQLConfigOptions|SQLServerName|PC|y|y
SQLConfigOptions|DatabaseName|PC|y|y
SQLConfigOptions|SQLSSBPort|PC|n|y
SQLConfigOptions|SQLDataFilePath|PC|-|n
SQLConfigOptions|SQLLogFilePath|PC|-|n
CloudConnectorOptions|CloudConnector|PC|-|y
CloudConnectorOptions|CloudConnectorServer|PC|-|c
CloudConnectorOptions|UseProxy|PC|-|c
CloudConnectorOptions|ProxyName|PC|-|c
CloudConnectorOptions|ProxyPort|PC|-|c
HierarchyExpansionOption|CCARSiteServer|P|c|c
HierarchyExpansionOption|CASRetryInterval|P|n|n
HierarchyExpansionOption|WaitForCASTimeout|P|n|n
";

    #[test]
    fn the_keys_are_those_of_the_published_tables() {
        let need = |need: Need| match need {
            Need::Unknown => "-",
            Need::Required => "y",
            Need::Optional => "n",
            Need::Conditional => "c",
        };
        let row = |key: &Key| {
            let sites = format!("{}{}", if key.primary { "P" } else { "" }, if key.cas { "C" } else { "" });
            format!("{}|{}|{sites}|{}|{}\n", key.section, key.name, need(key.need[0]), need(key.need[1]))
        };
        assert_eq!(KEYS.iter().map(row).collect::<String>(), TABLE);
    }

    #[test]
    fn conditions_name_keys_of_the_table_and_values_that_they_can_have() {
        for condition in KEYS.iter().flat_map(|key| key.used.iter().chain(key.required)) {
            let other = key(condition.0);
            if let Value::OneOf(values) = other.value {
                assert!(condition.1.iter().all(|value| values.contains(value)), "{condition:?}");
            }
        }
        assert_eq!(sections().count(), 6);
    }

    #[test]
    fn flags_are_unique() {
        let flags: std::collections::BTreeSet<&str> = KEYS.iter().map(|key| key.flag).collect();
        assert_eq!(flags.len(), KEYS.len());
    }
}
