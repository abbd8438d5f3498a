//! The TOML as written: every key against one table of known keys.
//!
//! serde would stop at the first fault and knows nothing of the others. So the document is parsed into a tree with
//! places, walked once against the table of keys (unknown keys, keys of later versions, secrets in clear, wrong types,
//! empty texts), and then read through [`Section`], which answers `None` for everything that walk has already reported.
//! Values are judged by the sections.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::faults::Faults;
use super::keys::{Key, Kind, closest};
use super::secret_names::{PASSWORD_HINT, SECRET, SECRET_HINT, looks_secret};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::config) struct At<T> {
    pub(in crate::config) value: T,
    pub(in crate::config) at: usize,
}

/// An item of a list of commands.
#[derive(Debug, Clone)]
pub(in crate::config) enum Item<'a> {
    /// The command alone.
    Text(At<String>),
    /// The command with how to run it.
    Table(Section<'a>),
}

/// A table of the document, read by known names.
#[derive(Debug, Clone)]
pub(in crate::config) struct Section<'a> {
    table: &'a DeTable<'a>,
    keys: &'static [Key],
    /// All keys of the file.
    root: &'static [Key],
    /// What stands before a key in messages: `[retention] `, `[[destination]] retention.`.
    pub(in crate::config) prefix: String,
    /// Where the section begins.
    pub(in crate::config) at: usize,
}

/// Parses the text. TOML that is not well-formed ends here, with its first fault.
pub(in crate::config) fn parse<'a>(text: &'a str, faults: &mut Faults<'_>) -> Option<Spanned<DeTable<'a>>> {
    match DeTable::parse(text) {
        Ok(table) => Some(table),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let hint = if backslash_in_double_quotes(text, at) {
                r#"in "…" a backslash begins an escape: put Windows paths into 'single quotes'"#
            } else {
                ""
            };
            faults.add(Some(at), "", format!("not valid TOML: {}", error.message()), hint);
            None
        }
    }
}

/// Is there a backslash behind a double quote on the line of `at`?
fn backslash_in_double_quotes(text: &str, at: usize) -> bool {
    let bytes = text.as_bytes();
    let at = at.min(bytes.len());
    let start = bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
    let end = bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |newline| at + newline);
    let line = &bytes[start..end];
    line.iter().position(|b| *b == b'"').is_some_and(|quote| line[quote..].contains(&b'\\'))
}

impl<'a> Section<'a> {
    /// The whole document.
    pub(in crate::config) fn root(table: &'a DeTable<'a>, keys: &'static [Key]) -> Self {
        Self { table, keys, root: keys, prefix: String::new(), at: 0 }
    }

    /// The key with what stands before it.
    pub(in crate::config) fn label(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The section itself in messages.
    pub(in crate::config) fn title(&self) -> &str {
        self.prefix.trim_end_matches([' ', '.'])
    }

    /// Is the key written at all, right or wrong?
    pub(in crate::config) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Where the key's value stands, else the section.
    pub(in crate::config) fn at(&self, name: &str) -> usize {
        self.get(name).map_or(self.at, |value| value.span().start)
    }

    /// Text, unless missing, empty or something else.
    pub(in crate::config) fn text(&self, name: &str) -> Option<At<String>> {
        let value = self.get(name)?;
        let takes_time = matches!(self.known(name)?.kind, Kind::Time);
        let text = match value.get_ref() {
            DeValue::String(text) => text.trim().to_owned(),
            DeValue::Datetime(time) if takes_time && time.date.is_none() && time.offset.is_none() => time.to_string(),
            _ => return None,
        };
        (!text.is_empty()).then(|| At { value: text, at: value.span().start })
    }

    /// A whole number in the range of the key.
    pub(in crate::config) fn number(&self, name: &str) -> Option<u32> {
        let Kind::Number(min, max) = self.known(name)?.kind else { return None };
        let number = integer(self.get(name)?.get_ref())?;
        (min..=max).contains(&number).then(|| u32::try_from(number).ok())?
    }

    /// `true` or `false`.
    pub(in crate::config) fn flag(&self, name: &str) -> Option<bool> {
        self.get(name)?.get_ref().as_bool()
    }

    /// The texts of a list, without those that are none.
    pub(in crate::config) fn texts(&self, name: &str) -> Vec<At<String>> {
        let list = self.get(name).and_then(|value| value.get_ref().as_array());
        list.into_iter()
            .flat_map(|list| list.iter())
            .filter_map(|item| Some(At { value: item.get_ref().as_str()?.to_owned(), at: item.span().start }))
            .collect()
    }

    /// The items of a list of commands: text, or a table of its own.
    pub(in crate::config) fn commands(&self, name: &str) -> Vec<Item<'a>> {
        let Some(Key { kind: Kind::Commands(keys), .. }) = self.known(name) else { return Vec::new() };
        let list = self.get(name).and_then(|value| value.get_ref().as_array());
        let item = |value: &'a Spanned<DeValue<'a>>| {
            let at = value.span().start;
            match value.get_ref() {
                DeValue::String(text) => Some(Item::Text(At { value: text.trim().to_owned(), at })),
                DeValue::Table(table) => Some(Item::Table(self.below(name, keys, table, at))),
                _ => None,
            }
        };
        list.into_iter().flat_map(|list| list.iter()).filter_map(item).collect()
    }

    /// A table below this one.
    pub(in crate::config) fn section(&self, name: &str) -> Option<Self> {
        let Kind::Table(keys) = self.known(name)?.kind else { return None };
        let value = self.get(name)?;
        Some(self.below(name, keys, value.get_ref().as_table()?, value.span().start))
    }

    /// The tables of a list of tables.
    pub(in crate::config) fn sections(&self, name: &str) -> Vec<Self> {
        let Some(Key { kind: Kind::Tables(keys), .. }) = self.known(name) else { return Vec::new() };
        let list = self.get(name).and_then(|value| value.get_ref().as_array());
        list.into_iter()
            .flat_map(|list| list.iter())
            .filter_map(|item| {
                let table = item.get_ref().as_table()?;
                Some(Self { table, keys, root: self.root, prefix: format!("[[{name}]] "), at: item.span().start })
            })
            .collect()
    }

    /// Name and value of a table whose keys are not ours. Secrets are left out: they have been refused.
    pub(in crate::config) fn options(&self, name: &str) -> Vec<(At<String>, At<String>)> {
        let table = self.get(name).and_then(|value| value.get_ref().as_table());
        table
            .into_iter()
            .flat_map(|table| table.iter())
            .filter(|(key, _)| !looks_secret(key.get_ref()))
            .filter_map(|(key, value)| {
                let text = scalar(value.get_ref())?;
                let key = At { value: key.get_ref().to_string(), at: key.span().start };
                Some((key, At { value: text, at: value.span().start }))
            })
            .collect()
    }

    /// Reports everything that can be told without judging values.
    pub(in crate::config) fn check(&self, faults: &mut Faults<'_>) {
        for (name, value) in self.table {
            let at = name.span().start;
            let name = name.get_ref().as_ref();
            match self.keys.iter().find(|key| key.name == name) {
                Some(key) => self.check_value(key, at, value, faults),
                None => self.unknown(name, at, value.get_ref(), faults),
            }
        }
    }

    fn check_value(&self, key: &'static Key, key_at: usize, value: &Spanned<DeValue<'_>>, faults: &mut Faults<'_>) {
        let at = Some(value.span().start);
        let label = || self.label(key.name);
        let found = describe(value.get_ref());
        let example = || format!("write {} = {}", key.name, key.example);
        match (&key.kind, value.get_ref()) {
            (Kind::Later, value) => self.later(key.name, key_at, value, faults),
            (Kind::Text | Kind::Time, DeValue::String(text)) => {
                check_text(value.span().start, &label(), text, &example(), faults);
            }
            (Kind::Time, DeValue::Datetime(time)) if time.date.is_none() && time.offset.is_none() => {}
            (Kind::Text, _) => faults.add(at, label(), format!("must be text in quotes, not {found}"), example()),
            (Kind::Time, _) => faults.add(at, label(), format!("must be a time of the day, not {found}"), example()),
            (Kind::Flag, DeValue::Boolean(_)) => {}
            (Kind::Flag, _) => faults.add(at, label(), format!("must be true or false, not {found}"), example()),
            (Kind::Number(min, max), written) => match integer(written) {
                Some(number) if (*min..=*max).contains(&number) => {}
                Some(number) => {
                    faults.add(at, label(), format!("{number} is out of range: it must be {min} to {max}"), "");
                }
                None => faults.add(at, label(), format!("must be a whole number, not {found}"), example()),
            },
            (Kind::Texts, DeValue::Array(list)) => {
                for item in list.iter().filter(|item| item.get_ref().as_str().is_none_or(|text| text.trim().is_empty()))
                {
                    let found = describe(item.get_ref());
                    let message = if item.get_ref().is_str() {
                        "holds an empty text".to_owned()
                    } else {
                        format!("must hold texts in quotes, not {found}")
                    };
                    faults.add(Some(item.span().start), label(), message, example());
                }
            }
            (Kind::Texts, _) => faults.add(at, label(), format!("must be a list of texts, not {found}"), example()),
            (Kind::Commands(keys), DeValue::Array(list)) => {
                for item in list {
                    let at = item.span().start;
                    match item.get_ref() {
                        DeValue::Table(table) => self.below(key.name, keys, table, at).check(faults),
                        DeValue::String(text) => check_text(at, &label(), text, &example(), faults),
                        other => {
                            let message =
                                format!("must hold commands in quotes or {{ command = … }}, not {}", describe(other));
                            faults.add(Some(at), label(), message, example());
                        }
                    }
                }
            }
            (Kind::Commands(_), _) => {
                faults.add(at, label(), format!("must be a list of commands, not {found}"), example());
            }
            (Kind::Table(keys), DeValue::Table(table)) => {
                self.below(key.name, keys, table, value.span().start).check(faults);
            }
            (Kind::Table(_), _) => {
                let hint = if self.prefix.is_empty() {
                    format!("write [{}] in single brackets, with its keys on the lines below", key.name)
                } else {
                    format!("write {} = {{ … }}", key.name)
                };
                faults.add(Some(key_at), label(), format!("must be a single table, not {found}"), hint);
            }
            (Kind::Tables(_), DeValue::Array(list)) if list.iter().all(|item| item.get_ref().is_table()) => {
                self.sections(key.name).iter().for_each(|section| section.check(faults));
            }
            (Kind::Tables(_), _) => {
                let hint = format!("write [[{}]] in double brackets, once for each", key.name);
                faults.add(Some(key_at), label(), format!("must be a list of tables, not {found}"), hint);
            }
            (Kind::Options, DeValue::Table(table)) => {
                for (name, value) in table {
                    let label = format!("{}.{}", label(), name.get_ref());
                    if looks_secret(name.get_ref()) {
                        faults.add(Some(name.span().start), label, SECRET, SECRET_HINT);
                    } else if scalar(value.get_ref()).is_none() {
                        let found = describe(value.get_ref());
                        faults.add(Some(value.span().start), label, format!("must be text, not {found}"), "");
                    }
                }
            }
            (Kind::Options, _) => faults.add(at, label(), format!("must be a table, not {found}"), example()),
        }
    }

    /// A key of a later version: every line that would have no effect is named.
    fn later(&self, name: &str, at: usize, value: &DeValue<'_>, faults: &mut Faults<'_>) {
        const MESSAGE: &str = "not supported by this version of afterbackup yet";
        const HINT: &str = "remove it: it would have no effect";
        match value.as_table() {
            Some(table) if !table.is_empty() => {
                let prefix =
                    if self.prefix.is_empty() { format!("[{name}] ") } else { format!("{}{name}.", self.prefix) };
                for inner in table.keys() {
                    let label = format!("{prefix}{}", inner.get_ref());
                    if looks_secret(inner.get_ref()) {
                        faults.add(Some(inner.span().start), label, SECRET, SECRET_HINT);
                    } else {
                        faults.add(Some(inner.span().start), label, MESSAGE, HINT);
                    }
                }
            }
            _ => faults.add(Some(at), self.label(name), MESSAGE, HINT),
        }
    }

    fn unknown(&self, name: &str, at: usize, value: &DeValue<'_>, faults: &mut Faults<'_>) {
        let names: Vec<&str> =
            self.keys.iter().filter(|key| !matches!(key.kind, Kind::Later)).map(|key| key.name).collect();
        let typo = names.iter().any(|known| strsim::damerau_levenshtein(name, known) <= 2);
        if looks_secret(name) && !typo {
            let password = self.keys.iter().any(|key| key.name == "password-file");
            let hint = if password { PASSWORD_HINT } else { SECRET_HINT };
            return faults.add(Some(at), self.label(name), SECRET, hint);
        }
        let elsewhere = || {
            let spelled = name.to_lowercase().replace('_', "-");
            let mut places = Vec::new();
            for section in self.root {
                let title = match section.kind {
                    Kind::Table(_) => format!("[{}]", section.name),
                    Kind::Tables(_) => format!("[[{}]]", section.name),
                    _ => continue,
                };
                if section.children().iter().any(|key| key.name == spelled) && title != self.title() {
                    places.push(title);
                }
            }
            places
        };
        let hint = match (closest(name, &names), elsewhere()) {
            (Some(near), _) => format!("did you mean '{near}'?"),
            (None, places) if !places.is_empty() => format!("'{name}' belongs in {}", places.join(" or ")),
            _ => format!("known here: {}", names.join(", ")),
        };
        let top = self.prefix.is_empty();
        let label = match value {
            DeValue::Table(_) if top => format!("[{name}]"),
            DeValue::Array(list) if top && list.iter().any(|item| item.get_ref().is_table()) => format!("[[{name}]]"),
            _ => self.label(name),
        };
        faults.add(Some(at), label, "unknown key", hint);
    }

    fn below(&self, name: &str, keys: &'static [Key], table: &'a DeTable<'a>, at: usize) -> Self {
        let prefix = if self.prefix.is_empty() { format!("[{name}] ") } else { format!("{}{name}.", self.prefix) };
        Self { table, keys, root: self.root, prefix, at }
    }

    fn known(&self, name: &str) -> Option<&'static Key> {
        let known = self.keys.iter().find(|key| key.name == name);
        debug_assert!(known.is_some(), "{name} is not in the table of keys");
        known
    }

    fn get(&self, name: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        debug_assert!(self.known(name).is_some());
        self.table.get(name)
    }
}

fn check_text(at: usize, label: &str, text: &str, example: &str, faults: &mut Faults<'_>) {
    if text.trim().is_empty() {
        faults.add(Some(at), label, "is empty", example);
    } else if text.contains(char::is_control) {
        let hint = r#"in "…" a backslash begins an escape (\b, \t, \n …): put Windows paths into 'single quotes'"#;
        faults.add(Some(at), label, "contains a control character", hint);
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A single value as text.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(_) => integer(value).map(|number| number.to_string()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        _ => None,
    }
}

fn describe(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(list) if list.iter().any(|item| item.get_ref().is_table()) => "a list of tables",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
