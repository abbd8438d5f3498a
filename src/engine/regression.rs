//! Tells of databases that passed in the archive before and no longer do: the one time when an older archive is worth
//! more than the newest.

use super::context::Context;
use super::outcome::SiteOutcome;
use crate::archive::manifest::{Database, Manifest};
use crate::archive::verdict::Why;
use crate::catalog::Inventory;
use crate::monitor::{Event, EventKind, Level};
use crate::name::ArchiveId;

/// What has become of a database that was sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    Damaged,
    Unproven,
    /// No file of it is there, or none that can be recognised.
    Gone,
}

/// Compares what this run has written with the newest archive before it that was checked, wherever that lies. The run
/// ends with damage where one has become worse.
pub(super) fn tell(context: &Context<'_>, held: &[Inventory<'_>], outcome: &mut SiteOutcome) {
    let Some(now) = outcome.manifest.clone().filter(|_| context.config.archive.check_databases) else { return };
    let Some(before) = newest_before(held, &now.id) else { return };
    for (name, state) in worsened(&before.databases, &now.databases) {
        let id = &before.id;
        let is = match state {
            Now::Damaged => "is damaged now",
            Now::Unproven => "cannot be proven to be sound now",
            Now::Gone => "is not found now",
        };
        let message = format!("{name} was sound in {id} and {is}: {id} is kept until a newer archive is proven sound");
        let event = Event::new(EventKind::DatabaseWorsened, message).at(Level::Error);
        let event = event.with("archive", now.id.to_string()).with("database", name);
        context.tell(&event.with("sound_in", id.to_string()));
        outcome.worsened.push(name.to_owned());
    }
}

/// The newest archive before `id` whose databases were checked, wherever that lies.
pub(super) fn newest_before<'a>(held: &'a [Inventory<'_>], id: &ArchiveId) -> Option<&'a Manifest> {
    held.iter()
        .filter_map(|one| one.catalog.as_ref().ok())
        .flat_map(|catalog| catalog.archives.values())
        .filter(|stored| stored.whole && !stored.manifest.databases.is_empty())
        .map(|stored| &stored.manifest)
        .filter(|other| other.id.site() == id.site() && other.id.series() == id.series())
        .filter(|other| other.id.stamp() < id.stamp())
        .max_by_key(|other| other.id.stamp())
}

/// The databases of which every file was sound and not every one is.
fn worsened<'a>(before: &'a [Database], now: &[Database]) -> Vec<(&'a str, Now)> {
    let mut found: Vec<(&str, Now)> = Vec::new();
    for old in before {
        let same = |one: &&Database| one.name.eq_ignore_ascii_case(&old.name);
        let was_sound = before.iter().filter(same).all(|one| one.verdict.is_proven());
        if !was_sound || found.iter().any(|(name, _)| name.eq_ignore_ascii_case(&old.name)) {
            continue;
        }
        let now: Vec<&Database> = now.iter().filter(same).collect();
        let is_absent = |one: &&Database| matches!(one.why, Some(Why::Gone | Why::Missing));
        if now.iter().all(is_absent) {
            found.push((&old.name, Now::Gone));
        } else if now.iter().any(|one| one.verdict.is_damaged()) {
            found.push((&old.name, Now::Damaged));
        } else if !now.iter().all(|one| one.verdict.is_proven()) {
            found.push((&old.name, Now::Unproven));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn databases(list: &[(&str, &str)]) -> Vec<Database> {
        let one = |&(name, verdict): &(&str, &str)| match verdict {
            "gone" => Database::absent(name, Why::Gone),
            verdict => Database { name: name.to_owned(), verdict: verdict.into(), pages: 64, ..Database::default() },
        };
        list.iter().map(one).collect()
    }

    #[track_caller]
    fn check(before: &[(&str, &str)], now: &[(&str, &str)], expected: &[(&str, Now)]) {
        assert_eq!(worsened(&databases(before), &databases(now)), expected);
    }

    #[test]
    fn only_what_was_sound_can_worsen() {
        // Data file and log.
        let sound = [("CM_XYZ", "sound"), ("CM_XYZ", "sound-with-notes")];
        check(&sound, &sound, &[]);
        check(&sound, &[("cm_xyz", "sound")], &[]);
        check(&sound, &[("CM_XYZ", "sound"), ("CM_XYZ", "damaged")], &[("CM_XYZ", Now::Damaged)]);
        check(&sound, &[("CM_XYZ", "unproven"), ("CM_XYZ", "sound")], &[("CM_XYZ", Now::Unproven)]);
        check(&sound, &[("CM_XYZ", "unheard-of")], &[("CM_XYZ", Now::Unproven)]);
        for verdict in ["damaged", "unproven", "unheard-of"] {
            check(&[("CM_XYZ", verdict), ("CM_XYZ", "sound")], &[("CM_XYZ", "damaged")], &[]);
        }
        check(&[], &[("CM_XYZ", "damaged")], &[]);
        check(&sound, &[("SUSDB", "damaged"), ("CM_XYZ", "sound")], &[]);
    }

    #[test]
    fn database_that_is_gone_is_told() {
        check(&[("CM_XYZ", "sound")], &[], &[("CM_XYZ", Now::Gone)]);
        check(&[("CM_XYZ", "sound")], &[("CM_XYZ", "gone")], &[("CM_XYZ", Now::Gone)]);
        check(&[("CM_XYZ", "damaged"), ("SUSDB", "unproven"), ("X", "gone")], &[], &[]);
    }
}
