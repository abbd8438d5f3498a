//! Tells of databases that passed in the archive before and no longer do: the one time when an older archive is worth
//! more than the newest.

use super::context::Context;
use super::outcome::SiteOutcome;
use crate::archive::manifest::{Database, Manifest};
use crate::catalog::Inventory;
use crate::monitor::{Event, EventKind, Level};

/// What has become of a database that was sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    Damaged,
    NotVerifiable,
    /// No file of it is there, or none that can be recognised.
    Gone,
}

/// Compares what this run has written with the newest archive before it that was checked, wherever that lies.
pub(super) fn tell(context: &Context<'_>, held: &[Inventory<'_>], outcome: &SiteOutcome) {
    let Some(now) = outcome.manifest.as_deref().filter(|_| context.config.archive.check_databases) else { return };
    let Some(before) = newest_before(held, now) else { return };
    for (name, state) in worsened(&before.databases, &now.databases) {
        let id = &before.id;
        let (level, is) = match state {
            Now::Damaged => (Level::Error, "is damaged now"),
            Now::NotVerifiable => (Level::Warn, "cannot be verified now"),
            Now::Gone => (Level::Warn, "is not found now"),
        };
        let message = format!("{name} was sound in {id}, {is}: keep that archive (afterbackup pin {id})");
        let event = Event::new(EventKind::DatabaseWorsened, message).at(level);
        let event = event.with("archive", now.id.to_string()).with("database", name);
        context.tell(&event.with("sound_in", id.to_string()));
    }
}

fn newest_before<'a>(held: &'a [Inventory<'_>], now: &Manifest) -> Option<&'a Manifest> {
    let id = &now.id;
    held.iter()
        .filter_map(|one| one.catalog.as_ref().ok())
        .flat_map(|catalog| catalog.archives.values())
        .filter(|stored| stored.whole && !stored.manifest.databases.is_empty())
        .map(|stored| &stored.manifest)
        .filter(|other| other.id.site() == id.site() && other.id.series() == id.series())
        .filter(|other| other.id.stamp() < id.stamp())
        .max_by_key(|other| other.id.stamp())
}

/// The databases that were sound and are not.
fn worsened<'a>(before: &'a [Database], now: &[Database]) -> Vec<(&'a str, Now)> {
    let mut found = Vec::new();
    for one in now {
        let state = match one.verdict.as_str() {
            "damaged" => Now::Damaged,
            "not-verifiable" => Now::NotVerifiable,
            _ => continue,
        };
        let same: Vec<&Database> = before.iter().filter(|old| old.name == one.name).collect();
        let old = match same.as_slice() {
            [] => renamed(before, now, &one.name),
            [first, ..] => same.iter().all(|old| old.verdict == "sound").then_some(*first),
        };
        if let Some(old) = old.filter(|old| old.verdict == "sound") {
            found.push((old.name.as_str(), state));
        }
    }
    for old in missing(before, now).filter(|old| old.verdict == "sound") {
        if found.iter().all(|(name, _)| *name != old.name) {
            found.push((&old.name, Now::Gone));
        }
    }
    found
}

fn missing<'a>(before: &'a [Database], now: &[Database]) -> impl Iterator<Item = &'a Database> {
    before.iter().filter(|old| now.iter().all(|one| one.name != old.name))
}

/// A database whose name cannot be read any more goes by the name of its file.
fn renamed<'a>(before: &'a [Database], now: &[Database], file: &str) -> Option<&'a Database> {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let mut missing = missing(before, now);
    let first = missing.next()?;
    let mut others = missing.peekable();
    let only = others.peek().is_none().then_some(first);
    std::iter::once(first).chain(others).find(|old| old.name.eq_ignore_ascii_case(stem)).or(only)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn databases(list: &[(&str, &str)]) -> Vec<Database> {
        let one = |&(name, verdict): &(&str, &str)| Database {
            name: name.to_owned(),
            verdict: verdict.to_owned(),
            pages: 64,
            damaged_pages: 0,
            unpaired: false,
        };
        list.iter().map(one).collect()
    }

    #[track_caller]
    fn check(before: &[(&str, &str)], now: &[(&str, &str)], expected: &[(&str, Now)]) {
        assert_eq!(worsened(&databases(before), &databases(now)), expected);
    }

    #[test]
    fn only_what_was_sound_can_worsen() {
        let sound = [("CM_XYZ", "sound"), ("CM_XYZ_log.ldf", "sound")];
        check(&sound, &sound, &[]);
        check(&sound, &[("CM_XYZ", "damaged"), ("CM_XYZ_log.ldf", "sound")], &[("CM_XYZ", Now::Damaged)]);
        check(&sound, &[("CM_XYZ", "not-verifiable"), ("CM_XYZ_log.ldf", "sound")], &[("CM_XYZ", Now::NotVerifiable)]);
        check(&sound, &[("CM_XYZ", "not-checked"), ("CM_XYZ_log.ldf", "unheard-of")], &[]);
        for verdict in ["damaged", "not-verifiable", "not-checked", "unheard-of"] {
            check(&[("CM_XYZ", verdict)], &[("CM_XYZ", "damaged")], &[]);
        }
        check(&[], &[("CM_XYZ", "damaged")], &[]);
        check(&sound, &[("SUSDB", "damaged"), ("CM_XYZ", "sound"), ("CM_XYZ_log.ldf", "sound")], &[]);
        // Two of the same name, one of them bad already: nobody knows which this is.
        check(&[("CM_XYZ", "sound"), ("CM_XYZ", "damaged")], &[("CM_XYZ", "damaged"), ("CM_XYZ", "sound")], &[]);
    }

    #[test]
    fn a_database_that_is_gone_is_told() {
        check(&[("CM_XYZ", "sound")], &[], &[("CM_XYZ", Now::Gone)]);
        check(&[("CM_XYZ", "damaged"), ("SUSDB", "not-verifiable")], &[], &[]);
    }

    #[test]
    fn a_database_that_lost_its_name_is_found_by_its_file() {
        let before = [("CM_XYZ", "sound"), ("SUSDB", "sound"), ("CM_XYZ_log.ldf", "sound")];
        let log = ("CM_XYZ_log.ldf", "sound");
        check(&before, &[("cm_xyz.mdf", "damaged"), ("SUSDB", "sound"), log], &[("CM_XYZ", Now::Damaged)]);
        check(&before, &[("data.mdf", "damaged"), ("SUSDB", "sound"), log], &[("CM_XYZ", Now::Damaged)]);
        check(&before, &[("data.mdf", "damaged"), log], &[("CM_XYZ", Now::Gone), ("SUSDB", Now::Gone)]);
    }
}
