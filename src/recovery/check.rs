//! Judges a recovery script by Microsoft's tables: every fault at once, each with its line and the table it is from.
//!
//! Three weights. An *error*: the tables exclude it, or the script contradicts itself. A *warning*: it is not used, not
//! documented, or right by one table only. A *note*: worth knowing, nothing to do. What the tables do not speak of is
//! never an error: what Setup makes of it is not known here.

use std::collections::BTreeMap;

pub use super::finding::{Checked, Finding, PathValue, Severity};
use super::finding::{dedup, in_words, nearest};
use super::ini::{Entry, Ini, TextFault, TextFaultKind};
use super::keys::{
    self, CAS_ACTION, KEYS, Key, Need, PRIMARY_ACTION, SECTION_SPELLINGS, Source, UNDOCUMENTED, Vintage, When,
};
use super::values::{backup_folder_site, is_site_code, judge, redact, shown};

/// Judges a script.
#[must_use]
pub fn check(ini: &Ini, rules: Vintage) -> Checked {
    let mut check = Check { rules, findings: vec![], values: BTreeMap::new() };
    for fault in &ini.faults {
        check.text(fault);
    }
    let known = check.sections(ini);
    check.entries(ini, &known);
    check.action();
    let installs = check.value("Action").is_some_and(|action| action.to_lowercase().starts_with("install"));
    // Nearly no rule of recovery holds for an installation: one error says more than twenty.
    if installs {
        check.findings.retain(|finding| !matches!(finding.code, "unknown-key" | "unknown-section" | "misspelt-key"));
    } else {
        check.presence();
        check.contradictions();
    }
    let paths = check.paths();
    let mut checked = Checked { rules, encoding: ini.encoding, findings: vec![], paths };
    checked.findings = check.findings;
    checked.findings.sort_by_key(|finding| (finding.line.unwrap_or(usize::MAX), finding.severity));
    checked
}

struct Check<'i> {
    rules: Vintage,
    findings: Vec<Finding>,
    /// The first entry of each known key.
    values: BTreeMap<&'static str, &'i Entry>,
}

impl<'i> Check<'i> {
    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        (line, key): (Option<usize>, Option<&str>),
        message: impl Into<String>,
        hint: &str,
        source: Source,
    ) {
        let hint = Some(hint.to_owned()).filter(|hint| !hint.is_empty());
        let key = key.map(redact);
        self.findings.push(Finding { severity, code, line, key, message: message.into(), hint, source });
    }

    fn text(&mut self, fault: &TextFault) {
        use Severity::{Error, Note, Warning};
        let (severity, code, message, hint) = match fault.kind {
            TextFaultKind::NotAnEntry => {
                (Error, "not-an-entry", "the line is neither [Section] nor Key=Value", "begin a comment with ;")
            }
            TextFaultKind::BadSection => (Error, "bad-section", "the section header is not [Section]", ""),
            TextFaultKind::NoKey => (Error, "no-key", "there is no key before '='", ""),
            TextFaultKind::Nul => {
                (Error, "nul", "the line holds a NUL character", "the file may be damaged, or a mixture of encodings")
            }
            TextFaultKind::TooLong => (Error, "line-too-long", "the line is longer than 32 KiB and was not read", ""),
            TextFaultKind::NotText => {
                (Error, "not-text", "the line holds bytes that are not text", "save the file anew as UTF-8 or UTF-16")
            }
            TextFaultKind::NoMark => (
                Warning,
                "no-byte-order-mark",
                "the file is UTF-16 without a byte order mark",
                "save it with one, or as UTF-8",
            ),
            TextFaultKind::MixedEnds => (Note, "mixed-line-ends", "lines end in different ways", ""),
            TextFaultKind::Hash => {
                (Note, "hash-comment", "the line begins with # and was read as a comment", "begin comments with ;")
            }
            TextFaultKind::More => {
                (Error, "too-many-faults", "there are too many faults to go on", "is this a recovery script?")
            }
        };
        self.add(severity, code, (Some(fault.line), None), message, hint, Source::Form);
    }

    /// Which section of the tables each section of the file is.
    fn sections(&mut self, ini: &Ini) -> Vec<Option<&'static str>> {
        let mut first: BTreeMap<String, usize> = BTreeMap::new();
        let mut known = Vec::new();
        for section in &ini.sections {
            let place = (Some(section.line), None);
            let same = |name: &str| name.eq_ignore_ascii_case(&section.name);
            let name = shown(&section.name);
            let spelling = SECTION_SPELLINGS.iter().find(|(spelling, _)| same(spelling));
            let found = match (keys::sections().find(|known| same(known)), spelling) {
                (Some(found), _) => Some(found),
                (None, Some((_, found))) => {
                    let hint = format!("write [{found}], as the tables do");
                    let message = format!("section {name} is spelt as in some scripts in use, not as in the tables");
                    self.add(Severity::Warning, "section-spelling", place, message, &hint, Source::Experience);
                    Some(*found)
                }
                (None, None) => {
                    self.unknown_section(&section.name, place);
                    None
                }
            };
            let canonical = found.map_or_else(|| section.name.to_lowercase(), str::to_lowercase);
            if let Some(line) = first.get(&canonical) {
                let message = format!("section {name} is there already, in line {line}");
                self.add(
                    Severity::Error,
                    "duplicate-section",
                    place,
                    message,
                    "put its keys into one section",
                    Source::Form,
                );
            } else {
                first.insert(canonical, section.line);
            }
            known.push(found);
        }
        known
    }

    fn unknown_section(&mut self, name: &str, place: (Option<usize>, Option<&str>)) {
        let told = shown(name);
        if UNDOCUMENTED.iter().any(|(section, _)| section.eq_ignore_ascii_case(name)) {
            let message = format!("section {told} is not in the tables; scripts in use have it");
            self.add(Severity::Warning, "undocumented-section", place, message, "", Source::Experience);
        } else if let Some(near) = nearest(name, keys::sections()) {
            let message = format!("section {told} is not one of the tables");
            self.add(
                Severity::Error,
                "misspelt-section",
                place,
                message,
                &format!("did you mean [{near}]?"),
                Source::Keys,
            );
        } else {
            let message = format!("section {told} is not in the tables of recovery keys");
            self.add(Severity::Warning, "unknown-section", place, message, UNKNOWN, Source::Keys);
        }
    }

    fn entries(&mut self, ini: &'i Ini, known: &[Option<&'static str>]) {
        // Also of keys that nobody knows: each key once.
        let mut seen: BTreeMap<(Option<usize>, String), usize> = BTreeMap::new();
        for entry in &ini.entries {
            let section = entry.section.and_then(|at| Some((ini.sections.get(at)?, known.get(at).copied().flatten())));
            let name = shown(&entry.key);
            let place = (Some(entry.line), Some(entry.key.as_str()));
            let key = KEYS.iter().find(|key| key.name.eq_ignore_ascii_case(&entry.key));
            let Some((section, known_section)) = section else {
                let hint = match key {
                    Some(key) => format!("put it below [{}]", key.section),
                    None => "put it below its section".to_owned(),
                };
                self.add(
                    Severity::Error,
                    "outside-sections",
                    place,
                    format!("key {name} is outside any section"),
                    &hint,
                    Source::Form,
                );
                if let Some(key) = key {
                    self.take(key, entry);
                }
                continue;
            };
            let Some(key) = key else {
                if let Some(line) = seen.insert((entry.section, entry.key.to_lowercase()), entry.line) {
                    let message = format!("key {name} is there already, in line {line}");
                    self.add(Severity::Error, "duplicate-key", place, message, "keep one of the two", Source::Form);
                }
                self.unknown_key(entry, &section.name, known_section.is_some());
                continue;
            };
            // The key of an unknown section is left to the finding about its section, and still counts as there.
            if known_section.is_some_and(|known| known != key.section) {
                let message = format!("key {name} is in section [{}]", section.name);
                self.add(
                    Severity::Error,
                    "wrong-section",
                    place,
                    message,
                    &format!("it belongs to [{}]", key.section),
                    key.source(),
                );
            }
            self.take(key, entry);
        }
    }

    fn take(&mut self, key: &'static Key, entry: &'i Entry) {
        let place = (Some(entry.line), Some(key.name));
        if let Some(before) = self.values.get(key.name) {
            let differs = if before.value == entry.value { "" } else { " with another value" };
            let message = format!("key {} is there already, in line {}{differs}", key.name, before.line);
            return self.add(Severity::Error, "duplicate-key", place, message, "keep one of the two", Source::Form);
        }
        self.values.insert(key.name, entry);
        if entry.quoted {
            let message = format!("the value of {} is in quotes, which no table shows", key.name);
            self.add(Severity::Warning, "quoted", place, message, "write it without quotes", Source::Form);
        }
        if key.need(self.rules) == Need::Unknown {
            let message = format!("{} is not in the table of {}", key.name, self.rules);
            self.add(Severity::Note, "not-in-this-table", place, message, "", key.source());
        }
        if entry.value.is_empty() {
            return;
        }
        if let Some(fault) = judge(key, &entry.value, self.rules) {
            let severity = if fault.warning { Severity::Warning } else { Severity::Error };
            let hint = fault.hint.unwrap_or_default();
            self.add(severity, "bad-value", place, format!("{}: {}", key.name, fault.message), &hint, fault.source);
        }
    }

    fn unknown_key(&mut self, entry: &Entry, section: &str, section_known: bool) {
        let place = (Some(entry.line), Some(entry.key.as_str()));
        let name = shown(&entry.key);
        let undocumented = UNDOCUMENTED.iter().any(|(its_section, key)| {
            key.eq_ignore_ascii_case(&entry.key) && its_section.eq_ignore_ascii_case(section)
        });
        if undocumented {
            let message = format!("key {name} is not in the tables of recovery keys; scripts in use have it");
            self.add(Severity::Warning, "undocumented-key", place, message, UNKNOWN, Source::Experience);
        } else if let Some(near) = nearest(&entry.key, KEYS.iter().map(|key| key.name)) {
            let message = format!("there is no key {name}");
            self.add(Severity::Error, "misspelt-key", place, message, &format!("did you mean {near}?"), Source::Keys);
        } else if section_known {
            let message = format!("key {name} is not in the tables of recovery keys");
            self.add(Severity::Warning, "unknown-key", place, message, UNKNOWN, Source::Keys);
        }
    }

    /// The value of a key, if it is not empty.
    fn value(&self, name: &str) -> Option<&'i str> {
        self.values.get(name).map(|entry| entry.value.as_str()).filter(|value| !value.is_empty())
    }

    fn is(&self, name: &str, values: &[&str]) -> bool {
        self.value(name)
            .is_some_and(|value| values.is_empty() || values.iter().any(|one| one.eq_ignore_ascii_case(value)))
    }

    fn holds(&self, conditions: &[When]) -> bool {
        conditions.iter().all(|When(name, values)| self.is(name, values))
    }

    /// Can it be told whether the conditions hold? A key that is missing or bad is one fault, not three.
    fn is_decided(&self, conditions: &[When]) -> bool {
        conditions.iter().all(|When(name, _)| match self.value(name) {
            Some(value) => judge(keys::key(name), value, Vintage::Y2016).is_none_or(|fault| fault.warning),
            None => !self.is_required(keys::key(name)),
        })
    }

    fn is_required(&self, key: &Key) -> bool {
        match key.need(self.rules) {
            Need::Required => true,
            Need::Conditional => {
                let has_condition = !key.used.is_empty() || !key.required.is_empty();
                has_condition && self.holds(key.used) && self.holds(key.required)
            }
            Need::Optional | Need::Unknown => false,
        }
    }

    fn place(&self, name: &'static str) -> (Option<usize>, Option<&'static str>) {
        (self.values.get(name).map(|entry| entry.line), Some(name))
    }

    fn action(&mut self) {
        let Some(action) = self.value("Action") else { return };
        if action.to_lowercase().starts_with("install") {
            self.findings.retain(|finding| finding.code != "bad-value" || finding.key.as_deref() != Some("Action"));
            let message = format!("Action {} installs a new site: this is not a recovery script", shown(action));
            let hint = format!("a site is recovered with Action={PRIMARY_ACTION} or {CAS_ACTION}");
            self.add(Severity::Error, "not-a-recovery", self.place("Action"), message, &hint, Source::Keys);
        }
    }

    /// Keys that must be there, and keys that are not used.
    fn presence(&mut self) {
        let action = self.value("Action").unwrap_or_default();
        let action_known = [PRIMARY_ACTION, CAS_ACTION].iter().any(|known| known.eq_ignore_ascii_case(action));
        for key in KEYS {
            let is_for = if action_known { key.is_for(action) } else { key.primary && key.cas };
            let there = self.values.contains_key(key.name);
            let place = self.place(key.name);
            if action_known && !is_for {
                if self.value(key.name).is_some() {
                    let other = if key.cas { CAS_ACTION } else { PRIMARY_ACTION };
                    let message = format!("{} is for Action={other} only", key.name);
                    self.add(
                        Severity::Error,
                        "other-action",
                        place,
                        message,
                        "remove it, or correct Action",
                        key.source(),
                    );
                }
                continue;
            }
            if !is_for {
                continue;
            }
            let used = self.holds(key.used);
            let decided = self.is_decided(key.used);
            if self.value(key.name).is_none() {
                if self.is_required(key) {
                    self.missing(key, there);
                } else if there && used {
                    let message = format!("{} has no value", key.name);
                    self.add(
                        Severity::Warning,
                        "empty",
                        place,
                        message,
                        "give it a value, or remove the line",
                        Source::Form,
                    );
                } else if there {
                    let message = format!("{} has no value and is not used here", key.name);
                    self.add(Severity::Note, "empty", place, message, "", key.source());
                }
            } else if !used && decided {
                let conditions: Vec<String> = key.used.iter().map(|when| in_words(*when)).collect();
                let message = format!("{} is not used here: it is for {}", key.name, conditions.join(" and "));
                self.add(
                    Severity::Warning,
                    "not-used",
                    place,
                    message,
                    "remove it, or correct the other key",
                    key.source(),
                );
            }
        }
        if self.rules == Vintage::Y2022 && !self.values.contains_key("CDLatest") {
            let message = "CDLatest is missing: a site is recovered with Setup from a copy of CD.Latest";
            self.add(
                Severity::Warning,
                "no-cd-latest",
                (None, Some("CDLatest")),
                message,
                "write CDLatest=1 below [Identification]",
                Source::Keys2022,
            );
        }
    }

    fn missing(&mut self, key: &Key, empty: bool) {
        let what = if empty { "has no value" } else { "is missing" };
        let because: Vec<String> = key
            .used
            .iter()
            .chain(key.required)
            .map(|When(name, _)| format!("{name}={}", self.value(name).unwrap_or_default()))
            .collect();
        let because = if because.is_empty() {
            String::new()
        } else {
            format!("; it is required with {}", dedup(because).join(" and "))
        };
        let place = (self.values.get(key.name).map(|entry| entry.line), Some(key.name));
        let source = match key.need {
            [Need::Required, Need::Required] | [Need::Conditional, Need::Conditional] => Source::Keys,
            [Need::Required, _] => Source::Keys2016,
            _ => Source::Keys2022,
        };
        let message = format!("{} {what}{because}", key.name);
        let hint = format!("[{}] {}: {}", key.section, key.name, key.about);
        self.add(Severity::Error, "missing", place, message, &hint, source);
    }

    /// Values that are right alone and not together.
    fn contradictions(&mut self) {
        let is_primary = self.is("Action", &[PRIMARY_ACTION]);
        let attached = self.value("CCARSiteServer").is_some();
        if is_primary
            && self.is("DatabaseRecoveryOptions", &["40"])
            && !attached
            && !self.is("ServerRecoveryOptions", &["2"])
        {
            let message = "DatabaseRecoveryOptions=40 is not for a stand-alone primary site";
            let hint =
                "restore the database (10 or 20); for a site below a central administration site, add CCARSiteServer";
            self.add(
                Severity::Error,
                "new-database-stand-alone",
                self.place("DatabaseRecoveryOptions"),
                message,
                hint,
                Source::Options,
            );
        }
        if is_primary && attached && self.is("CloudConnector", &["1"]) {
            let message =
                "CloudConnector must be 0 for a primary site below a central administration site (CCARSiteServer)";
            self.add(
                Severity::Error,
                "cloud-connector-child",
                self.place("CloudConnector"),
                message,
                "write CloudConnector=0",
                Source::Keys2022,
            );
        }
        if self.is("ServerRecoveryOptions", &["4"]) && self.is("DatabaseRecoveryOptions", &["80"]) {
            let message = "ServerRecoveryOptions=4 recovers SQL Server only, and DatabaseRecoveryOptions=80 skips the database: nothing is recovered";
            self.add(
                Severity::Error,
                "nothing-recovered",
                self.place("DatabaseRecoveryOptions"),
                message,
                "choose 10, 20 or 40, or ServerRecoveryOptions=1 or 2",
                Source::Options,
            );
        }
        let Some(site) = self.value("SiteCode").filter(|site| is_site_code(site)) else { return };
        for name in ["SiteServerBackupLocation", "BackupLocation"] {
            let folder = self.value(name).and_then(backup_folder_site);
            if let Some(other) = folder.filter(|other| !other.eq_ignore_ascii_case(site)) {
                let message = format!("{name} is the backup of site {other}, and SiteCode is {site}");
                self.add(
                    Severity::Error,
                    "other-site",
                    self.place(name),
                    message,
                    "correct one of the two",
                    Source::Keys,
                );
            }
        }
        let database = self.value("DatabaseName").and_then(|name| name.rsplit('\\').next());
        let of =
            database.and_then(|name| name.get(..3).filter(|head| head.eq_ignore_ascii_case("CM_")).and(name.get(3..)));
        if let Some(other) = of.filter(|other| is_site_code(other) && !other.eq_ignore_ascii_case(site)) {
            let message = format!("DatabaseName is named after site {other}, and SiteCode is {site}");
            self.add(
                Severity::Warning,
                "database-of-other-site",
                self.place("DatabaseName"),
                message,
                "both must be as before",
                Source::Experience,
            );
        }
        if let Some(cas) = self.value("CCARSiteServer").filter(|cas| cas.eq_ignore_ascii_case(site)) {
            let message = format!("CCARSiteServer names this site itself, {cas}");
            self.add(
                Severity::Error,
                "own-parent",
                self.place("CCARSiteServer"),
                message,
                "name the central administration site",
                Source::Keys2016,
            );
        }
    }

    fn paths(&self) -> Vec<PathValue> {
        use keys::Value;
        let wanted = |key: &&Key| matches!(key.value, Value::BackupFolder | Value::Folder | Value::LocalFolder);
        let of = |key: &Key| self.values.get(key.name).filter(|entry| !entry.value.is_empty()).copied();
        KEYS.iter()
            .filter(wanted)
            // The installation folder may be a new one.
            .filter(|key| key.name != "SMSInstallDir")
            .filter_map(|key| {
                of(key).map(|entry| PathValue { key: key.name, path: entry.value.clone(), line: entry.line })
            })
            .collect()
    }
}

const UNKNOWN: &str = "what Setup makes of it is not documented";
