//! `[retention]`: the rules of [`Policy`], for all destinations and for one.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;

use crate::config::text::{COUNT, Key, Kind, Reader, Section, closest, key};
use crate::retention::policy::Policy;

/// The keys of this section.
pub(in crate::config) const KEYS: &[Key] = &[
    key("last", COUNT, "7"),
    key("hourly", COUNT, "0"),
    key("daily", COUNT, "14"),
    key("weekly", COUNT, "8"),
    key("monthly", COUNT, "12"),
    key("yearly", COUNT, "0"),
    key("within", Kind::Text, "\"5 days\""),
    key("min-archives", COUNT, "1"),
    key("max-remove", COUNT, "10"),
    key("time-zone", Kind::Text, "\"Europe/Berlin\""),
    key("day-starts", Kind::Time, "\"02:00\""),
];

impl Reader<'_, '_> {
    /// Keys that are written replace those of `inherited`.
    pub(in crate::config) fn policy(&mut self, section: &Section<'_>, inherited: &Policy) -> Policy {
        let mut policy = inherited.clone();
        for (key, count) in [
            ("last", &mut policy.last),
            ("hourly", &mut policy.hourly),
            ("daily", &mut policy.daily),
            ("weekly", &mut policy.weekly),
            ("monthly", &mut policy.monthly),
            ("yearly", &mut policy.yearly),
            ("min-archives", &mut policy.min_archives),
        ] {
            *count = section.number(key).unwrap_or(*count);
        }
        policy.max_remove = section.number("max-remove").or(policy.max_remove);
        if section.has("within") {
            // "0s" switches an inherited one off.
            policy.within = Some(self.duration(section, "within", Duration::ZERO)).filter(|within| !within.is_zero());
        }
        if let Some(text) = section.text("time-zone") {
            match time_zone(&text.value) {
                Ok(zone) => policy.time_zone = zone,
                Err(hint) => {
                    let message = format!("'{}' is not a known time zone", text.value);
                    self.faults.add(Some(text.at), section.label("time-zone"), message, hint);
                }
            }
        }
        if let Some(text) = section.text("day-starts") {
            if let Some(time) = time_of_day(&text.value) {
                policy.day_starts = time;
            } else {
                let message = format!("'{}' is no time of the day", text.value);
                self.faults.add(Some(text.at), section.label("day-starts"), message, "write it like \"02:00\"");
            }
        }
        policy
    }

    /// A policy that keeps nothing is never meant.
    pub(in crate::config) fn check_policy(&mut self, section: &Section<'_>, policy: &Policy) {
        let counts = [policy.last, policy.hourly, policy.daily, policy.weekly, policy.monthly, policy.yearly];
        if counts.iter().all(|count| *count == 0) && policy.within.is_none() && !self.faults.mention(&section.prefix) {
            let hint = "say what to keep, like daily = 14; without any [retention] a default applies";
            self.faults.add(Some(section.at), section.title(), "keeps nothing", hint);
        }
    }
}

/// The zone, or what to do.
fn time_zone(name: &str) -> Result<TimeZone, String> {
    match name.to_ascii_lowercase().as_str() {
        "system" => return Ok(TimeZone::system()),
        "utc" => return Ok(TimeZone::UTC),
        _ => {}
    }
    TimeZone::get(name).map_err(|_| {
        let mut hint = "write an IANA name like \"Europe/Berlin\", \"system\" or \"UTC\"".to_owned();
        let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if let Some(near) = closest(name, &names) {
            hint.clear();
            write!(hint, "did you mean \"{near}\"?").expect("writing to a String cannot fail");
        }
        hint
    })
}

fn time_of_day(text: &str) -> Option<Time> {
    Time::strptime("%H:%M", text).or_else(|_| Time::strptime("%H:%M:%S", text)).ok()
}
