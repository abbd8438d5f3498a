//! Writes the unattended script for Setup, right by construction.
//!
//! Values come from the command line, an answers file, the archive and, where a value is usual, from here; in this
//! order. Keys that are not used with the chosen options are left out. The finished text is read back and judged by
//! [`super::check`] under both tables: what one of them excludes is refused, with the rule. So there is one set of
//! rules, and nothing is written that a check would refuse.
//!
//! The product key is in the text of the script and nowhere else: not in messages, not in debug output.

use std::fmt::Write as _;

use serde::Serialize;

use super::check::{self, Finding, Severity};
use super::facts::{ArchiveFacts, DatabaseSource, Soundness};
use super::ini::{self, Store};
use super::keys::{self, KEYS, Key, SiteType, Source, Value, Vintage, When};

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The command line.
    Flag,
    /// The answers file.
    Answers,
    /// The archive.
    Archive,
    /// It is usual, or the only allowed one.
    Default,
}

/// A value for a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Given {
    /// The key.
    pub key: &'static Key,
    /// Its value.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
    /// The same in words, for the comment above it.
    pub why: String,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given").field("key", &self.key.name).field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Given {
    /// A value for the key of this name.
    #[must_use]
    pub fn new(key: &str, value: impl Into<String>, origin: Origin, why: impl Into<String>) -> Self {
        Self { key: keys::key(key), value: value.into(), origin, why: why.into() }
    }
}

/// A finished script.
#[derive(Clone, PartialEq, Eq)]
pub struct Script {
    /// Its text, lines ending with CR LF. Holds the product key.
    pub text: String,
    /// Which keys it has, and where their values come from.
    pub keys: Vec<(&'static str, Origin)>,
    /// What was given and is not used with the chosen options.
    pub left_out: Vec<String>,
    /// Warnings of the checks.
    pub warnings: Vec<Finding>,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script").field("keys", &self.keys).field("left_out", &self.left_out).finish_non_exhaustive()
    }
}

impl Script {
    /// The bytes of the file. Without a wish, UTF-8 where that is ASCII, else UTF-16 with a byte order mark, which
    /// cannot be taken for another encoding.
    #[must_use]
    pub fn bytes(&self, store: Option<Store>) -> Vec<u8> {
        let fitting = if self.text.is_ascii() { Store::Utf8 } else { Store::Utf16Le };
        ini::encode(&self.text, store.unwrap_or(fitting))
    }
}

/// What the archive and usual practice give.
#[must_use]
pub fn from_archive(facts: &ArchiveFacts, fetched_to: Option<&str>) -> Vec<Given> {
    let id = &facts.id;
    let mut given = Vec::new();
    let mut add = |key: &str, value: String, why: String| given.push(Given::new(key, value, Origin::Archive, why));
    add("SiteCode", id.site().to_string(), format!("the site of archive {id}"));
    if let Some(name) = facts.database_name() {
        add(
            "DatabaseName",
            name,
            format!("the database in archive {id}; put INSTANCE\\ before it for a named instance"),
        );
    }
    let (server, server_why) = match (facts.has_site, facts.database) {
        (true, DatabaseSource::None) => ("2", "the archive holds the site server's half alone"),
        (false, DatabaseSource::Files) => ("4", "the archive holds the database alone"),
        _ => ("1", "site server and database are recovered"),
    };
    add("ServerRecoveryOptions", server.to_owned(), server_why.to_owned());
    match facts.database {
        DatabaseSource::Files => {
            add("DatabaseRecoveryOptions", "10".into(), "restored by Setup from the files of the archive".into());
        }
        DatabaseSource::Backups => {
            add(
                "DatabaseRecoveryOptions",
                "20".into(),
                "the archive holds backups of SQL Server, which are restored by hand first".into(),
            );
        }
        DatabaseSource::None => {}
    }
    let Some(folder) = fetched_to else { return given };
    let join = |below: &str| format!("{}\\{}", folder.trim_end_matches(['\\', '/']), below.replace('/', "\\"));
    if let Some(backup) = &facts.backup_folder {
        add("SiteServerBackupLocation", join(backup), format!("where archive {id} is fetched to"));
    }
    if let Some(backup) = &facts.database_folder {
        add("BackupLocation", join(backup), format!("where archive {id} is fetched to"));
    }
    if let Some(cd) = facts.cd_latest.as_ref().filter(|cd| cd.redist) {
        add("PrerequisiteComp", "1".into(), "the archive brings the prerequisites in CD.Latest\\redist".into());
        add("PrerequisitePath", join(&format!("{}/redist", cd.folder)), format!("in archive {id}"));
    }
    given
}

/// What is usual.
#[must_use]
pub fn defaults() -> Vec<Given> {
    [
        ("CDLatest", "1", "Setup runs from a copy of CD.Latest"),
        ("PrerequisiteComp", "0", "Setup downloads the prerequisites"),
        ("AdminConsole", "1", "the console is installed"),
        ("JoinCEIP", "0", "the only value that both tables allow"),
        ("SQLSSBPort", "4022", "the usual port: it must be the one that the site had"),
        ("CloudConnector", "0", "no service connection point is installed by Setup"),
        ("UseProxy", "0", "no proxy"),
    ]
    .into_iter()
    .map(|(key, value, why)| Given::new(key, value, Origin::Default, why))
    .collect()
}

/// What an archive is not good for, whatever the tables say.
#[must_use]
pub fn refused_by_archive(facts: &ArchiveFacts, given: &[Given], accept_damage: bool) -> Vec<Finding> {
    let chosen = |name: &str| {
        given.iter().filter(|one| one.key.name == name).min_by_key(|one| one.origin).map(|one| one.value.trim())
    };
    let restores = chosen("DatabaseRecoveryOptions") == Some("10") && chosen("ServerRecoveryOptions") != Some("2");
    let from_archive = |name: &str| {
        given
            .iter()
            .filter(|one| one.key.name == name)
            .min_by_key(|one| one.origin)
            .is_some_and(|one| one.origin == Origin::Archive)
    };
    let mut findings = Vec::new();
    let mut refuse = |code, key: &str, message: String, hint: &str, source| {
        findings.push(Finding {
            severity: Severity::Error,
            code,
            line: None,
            key: Some(key.to_owned()),
            message,
            hint: Some(hint.to_owned()),
            source,
        });
    };
    if restores {
        match facts.database {
            DatabaseSource::Backups => refuse(
                "sql-backups",
                "DatabaseRecoveryOptions",
                format!(
                    "DatabaseRecoveryOptions=10: archive {} holds backups of SQL Server, which Setup does not restore",
                    facts.id
                ),
                "restore them by hand, then use DatabaseRecoveryOptions=20",
                Source::Options,
            ),
            DatabaseSource::None if chosen("BackupLocation").is_none() => refuse(
                "no-database",
                "DatabaseRecoveryOptions",
                format!("DatabaseRecoveryOptions=10: the site database is not in archive {}", facts.id),
                "choose another archive, or say where the database is with --backup-location",
                Source::Options,
            ),
            _ => {}
        }
        if let Soundness::Damaged(why) = &facts.soundness
            && facts.database == DatabaseSource::Files
            && !accept_damage
        {
            refuse(
                "damaged-database",
                "DatabaseRecoveryOptions",
                format!(
                    "DatabaseRecoveryOptions=10: the database in archive {} is damaged ({why}), and Setup does not check it",
                    facts.id
                ),
                "'afterbackup recover plan' names a better archive; --accept-damage writes the script all the same",
                Source::Options,
            );
        }
    }
    if facts.cd_latest.is_none() && from_archive("PrerequisitePath") {
        refuse(
            "no-cd-latest",
            "PrerequisitePath",
            "the archive holds no CD.Latest".into(),
            "name the folder with --prerequisite-path",
            Source::Keys,
        );
    }
    findings
}

/// Writes a script for a site of this kind.
///
/// # Errors
/// With everything that the rules exclude.
pub fn write(site_type: SiteType, given: &[Given], heading: &[String]) -> Result<Script, Vec<Finding>> {
    let mut chosen: Vec<Given> = vec![Given::new("Action", site_type.action(), Origin::Flag, format!("a {site_type}"))];
    for key in KEYS.iter().filter(|key| key.name != "Action") {
        let best = given.iter().filter(|one| one.key.name == key.name).min_by_key(|one| one.origin);
        if let Some(best) = best.filter(|best| !best.value.trim().is_empty()) {
            chosen.push(Given { value: best.value.trim().to_owned(), ..best.clone() });
        }
    }
    let mut refused: Vec<Finding> = chosen.iter().filter_map(unwritable).collect();
    if !refused.is_empty() {
        return Err(refused);
    }
    let left_out = leave_out_unused(&mut chosen);
    let has_cas = chosen.iter().any(|one| one.key.name == "CCARSiteServer");
    match site_type {
        SiteType::ChildPrimary if !has_cas => refused.push(about_cas(
            "CCARSiteServer is missing; a primary site below a central administration site needs it",
            "name the central administration site's server with --ccar-site-server",
        )),
        SiteType::Primary if has_cas => refused.push(about_cas(
            "CCARSiteServer is only for a primary site below a central administration site",
            "choose --site-type child-primary, or leave CCARSiteServer out",
        )),
        _ => {}
    }
    let text = render(&chosen, heading);
    let read = ini::read(text.as_bytes());
    let mut warnings: Vec<Finding> = Vec::new();
    for rules in Vintage::ALL {
        for finding in check::check(&read, rules).findings {
            let list = match finding.severity {
                Severity::Error => &mut refused,
                Severity::Warning => &mut warnings,
                Severity::Note => continue,
            };
            if !list.iter().any(|one| (one.code, &one.message) == (finding.code, &finding.message)) {
                list.push(finding);
            }
        }
    }
    if !refused.is_empty() {
        // Lines of a text that nobody gets to see mean nothing.
        for finding in &mut refused {
            finding.line = None;
        }
        return Err(refused);
    }
    // No value satisfies both tables; that a site code or a name was chosen is told by the comment above it.
    warnings.retain(|finding| {
        finding.key.as_deref() != Some("CCARSiteServer") || !finding.message.contains("the other table")
    });
    for finding in &mut warnings {
        finding.line = None;
    }
    let keys = chosen.iter().map(|one| (one.key.name, one.origin)).collect();
    Ok(Script { text, keys, left_out, warnings })
}

/// A value that would not be one line of the file.
fn unwritable(given: &Given) -> Option<Finding> {
    let is_bad = given.value.contains(|c: char| c.is_control()) || given.value.len() > 4096;
    is_bad.then(|| Finding {
        severity: Severity::Error,
        code: "not-one-line",
        line: None,
        key: Some(given.key.name.to_owned()),
        message: format!(
            "the value of {} has a line feed or another control character in it, or is too long",
            given.key.name
        ),
        hint: None,
        source: Source::Form,
    })
}

/// Removes keys that the others exclude; names those that somebody asked for.
fn leave_out_unused(chosen: &mut Vec<Given>) -> Vec<String> {
    let mut left_out = Vec::new();
    // Conditions may be conditional themselves.
    while let Some(at) = chosen.iter().position(|one| !holds(one.key.used, chosen)) {
        let one = chosen.remove(at);
        if matches!(one.origin, Origin::Flag | Origin::Answers) {
            left_out.push(format!(
                "{} is not used with the chosen options and was left out ({})",
                one.key.name, one.key.about
            ));
        }
    }
    left_out
}

fn holds(conditions: &[When], chosen: &[Given]) -> bool {
    conditions.iter().all(|When(name, values)| {
        let found = chosen.iter().find(|one| one.key.name == *name);
        found.is_some_and(|one| values.is_empty() || values.iter().any(|value| value.eq_ignore_ascii_case(&one.value)))
    })
}

fn about_cas(message: &str, hint: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        code: "hierarchy",
        line: None,
        key: Some("CCARSiteServer".to_owned()),
        message: message.to_owned(),
        hint: Some(hint.to_owned()),
        source: Source::Keys,
    }
}

fn render(chosen: &[Given], heading: &[String]) -> String {
    let mut text = String::new();
    let mut line = |content: &str| {
        text.push_str(content);
        text.push_str("\r\n");
    };
    for words in heading {
        line(&format!("; {}", words.replace(|c: char| c.is_control(), " ")));
    }
    for section in keys::sections() {
        let mut keys = chosen.iter().filter(|one| one.key.section == section).peekable();
        if keys.peek().is_none() {
            continue;
        }
        line("");
        line(&format!("[{section}]"));
        for one in keys {
            line(&format!("; {}", comment(one).replace(|c: char| c.is_control(), " ")));
            line(&format!("{}={}", one.key.name, one.value));
        }
    }
    text
}

fn comment(given: &Given) -> String {
    let mut comment = match given.origin {
        Origin::Flag => format!("given: {}", given.why),
        Origin::Answers => format!("from the answers: {}", given.why),
        Origin::Archive => format!("from the archive: {}", given.why),
        Origin::Default => format!("usual: {}", given.why),
    };
    if given.key.value == Value::FqdnOrSiteCode {
        // Writing to a string cannot fail.
        write!(comment, ". The table of 2016 asks for its site code, the one of 2022 for its full domain name").ok();
    }
    comment
}
