//! Tables of known keys: what a section says may be written in it.

/// A known key.
#[derive(Debug)]
pub(in crate::config) struct Key {
    pub(in crate::config) name: &'static str,
    pub(in crate::config) kind: Kind,
    /// A value, as shown in hints.
    pub(in crate::config) example: &'static str,
}

/// What may be written for a key.
#[derive(Debug)]
pub(in crate::config) enum Kind {
    /// Text that is not empty.
    Text,
    /// A time of the day: text, or TOML's own.
    Time,
    /// A whole number in this range.
    Number(i64, i64),
    /// `true` or `false`.
    Flag,
    /// A list of texts.
    Texts,
    /// A list whose items are texts, or tables with these keys.
    Commands(&'static [Key]),
    /// `[section]`.
    Table(&'static [Key]),
    /// `[[section]]`.
    Tables(&'static [Key]),
    /// A table whose keys are not ours.
    Options,
    /// Named in the design, not there yet. Refused, never silently ignored.
    Later,
}

pub(in crate::config) const fn key(name: &'static str, kind: Kind, example: &'static str) -> Key {
    Key { name, kind, example }
}

/// A number of archives.
pub(in crate::config) const COUNT: Kind = Kind::Number(0, 1_000_000);

impl Key {
    /// The keys below a section.
    pub(in crate::config) fn children(&self) -> &'static [Self] {
        match self.kind {
            Kind::Table(keys) | Kind::Tables(keys) => keys,
            _ => &[],
        }
    }
}

/// The nearest of `names`, if near enough to be what was meant.
pub(in crate::config) fn closest<'n>(written: &str, names: &[&'n str]) -> Option<&'n str> {
    let written = written.to_lowercase().replace('_', "-");
    names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&written, &name.to_lowercase()), *name))
        .filter(|(distance, name)| *distance <= (name.len().max(written.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
