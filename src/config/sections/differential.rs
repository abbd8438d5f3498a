//! `[differential]`: the rules of [`Tiers`].

use std::time::Duration;

use crate::config::text::{Key, Kind, Reader, Section, key};
use crate::retention::tiers::{NightlyOn, Tiers};

/// The keys of this section.
pub(in crate::config) const KEYS: &[Key] = &[
    key("full-every", Kind::Text, "\"28 days\""),
    key("weekly-every", Kind::Text, "\"7 days\""),
    key("nightly-on", Kind::Text, "\"weekly\""),
    key("max-share", Kind::Text, "\"33%\""),
];

const NIGHTLY_ON: [(&str, NightlyOn); 2] = [("weekly", NightlyOn::Weekly), ("previous", NightlyOn::Previous)];
const NEVER: &str = "never";

impl Reader<'_, '_> {
    /// `None` without the section: every archive is a full one.
    pub(in crate::config) fn differential(&mut self, root: &Section<'_>) -> Option<Tiers> {
        let section = root.section("differential")?;
        let default = Tiers::default();
        let full_every = self.duration(&section, "full-every", default.full_every);
        if full_every < Duration::from_hours(1) {
            let hint = "write a time of at least \"1h\", like \"28 days\"";
            self.faults.add(Some(section.at("full-every")), section.label("full-every"), "is too short", hint);
        }
        let weekly_every = match section.text("weekly-every") {
            Some(text) if text.value == NEVER => None,
            Some(_) => Some(self.duration(&section, "weekly-every", full_every)),
            // A full one each week, say, leaves no room for weekly ones.
            None => default.weekly_every.filter(|every| *every < full_every),
        };
        if section.has("weekly-every") && weekly_every.is_some_and(|every| every.is_zero() || every >= full_every) {
            let hint = "write a time that is shorter than full-every, or \"never\"";
            let message = "leaves no time for weekly archives between two full ones";
            self.faults.add(Some(section.at("weekly-every")), section.label("weekly-every"), message, hint);
        }
        let nightly_on =
            self.choice(&section, "nightly-on", &NIGHTLY_ON, "is nothing that nightly archives can build on");
        let max_share = match section.text("max-share") {
            None => default.max_share,
            Some(text) => percent(&text.value).unwrap_or_else(|| {
                let message = format!("'{}' is no share of a full archive", text.value);
                let hint = "write it like \"33%\", from \"1%\" to \"100%\"";
                self.faults.add(Some(text.at), section.label("max-share"), message, hint);
                default.max_share
            }),
        };
        Some(Tiers { full_every, weekly_every, nightly_on: nightly_on.unwrap_or_default(), max_share })
    }
}

fn percent(text: &str) -> Option<u32> {
    let number = text.trim().strip_suffix('%')?.trim_end().parse().ok()?;
    (1..=100).contains(&number).then_some(number)
}
