//! What the sections must not do to each other.

use std::path::Path;

use url::Url;

use super::sections::archive::Archive;
use super::sections::destination::{Destination, Location};
use super::sections::drill::Drill;
use super::sections::log::Log;
use super::sections::report::Report;
use super::sections::share::Share;
use super::sections::snapshot::{Snapshot, SnapshotKind, snapshot_places};
use super::sections::supplemental::{Supplemental, wildcards_in};
use super::text::{Reader, Section, paths};
use crate::retention::tiers::Tiers;

impl Reader<'_, '_> {
    pub(super) fn check_duplicates(&mut self, sections: &[Section<'_>], destinations: &[Option<Destination>]) {
        let mut names: Vec<String> = Vec::new();
        let mut targets: Vec<(Vec<String>, &str)> = Vec::new();
        for (section, destination) in sections.iter().zip(destinations) {
            if let Some(name) = section.text("name") {
                let lower = name.value.to_lowercase();
                if names.contains(&lower) {
                    let hint = "every destination needs its own";
                    self.faults.add(Some(name.at), section.label("name"), "is used twice", hint);
                }
                names.push(lower);
            }
            let Some(destination) = destination else { continue };
            let (key, place) = match &destination.location {
                Location::Folder(path) => ("path", paths::comparable(path)),
                Location::Bucket(bucket) => {
                    let endpoint = bucket.endpoint.as_ref().map(Url::as_str).unwrap_or_default();
                    let prefix = bucket.url.path().split('/').filter(|part| !part.is_empty());
                    let head = format!("{endpoint} {}", &bucket.url[..url::Position::BeforePath]);
                    ("url", std::iter::once(head).chain(prefix.map(str::to_owned)).collect())
                }
            };
            if let Some((_, other)) = targets.iter().find(|(other, _)| *other == place) {
                let message = format!("is the same place as that of destination '{other}'");
                self.faults.add(Some(section.at(key)), section.label(key), message, "two copies in one place are one");
            }
            targets.push((place, &destination.name));
        }
    }

    /// The backup task deletes its folder before every run, and fails when a file in it is held open.
    pub(super) fn check_places(
        &mut self,
        root: &Section<'_>,
        snapshot: &Snapshot,
        lock: &Path,
        supplemental: &[Supplemental],
        sections: &[Section<'_>],
        destinations: &[Option<Destination>],
    ) {
        let sources = snapshot_places(snapshot);
        for (section, destination) in sections.iter().zip(destinations) {
            let Some(Destination { location: Location::Folder(folder), .. }) = destination else { continue };
            let mut add = |message: String, hint: &str| {
                self.faults.add(Some(section.at("path")), section.label("path"), message, hint);
            };
            for (what, source, danger) in &sources {
                if paths::is_inside(folder, source) {
                    add(format!("lies inside {what}"), danger);
                } else if paths::is_inside(source, folder) {
                    add(format!("{what} lies inside it"), "use a folder beside it, best on another machine");
                }
            }
            for extra in supplemental.iter().filter(|extra| !wildcards_in(&extra.path)) {
                if paths::is_inside(folder, Path::new(&extra.path)) {
                    add(
                        format!("lies inside what supplemental '{}' archives", extra.name),
                        "every archive would hold all those before it: put archives elsewhere",
                    );
                }
            }
        }
        if let (Some(section), Some(log)) = (root.section("snapshot"), &snapshot.log) {
            for (what, _, _) in sources.iter().filter(|(_, source, _)| paths::is_inside(log, source)) {
                let message = format!("lies inside {what}");
                let hint = "leave it out, the copy in the snapshot is read anyway; or name the one in the Logs folder of the site server, which goes on";
                self.faults.add(Some(section.at("log")), section.label("log"), message, hint);
            }
        }
        for (what, source, _) in &sources {
            if root.has("lock-file") && paths::is_inside(lock, source) {
                let message = format!("lies inside {what}");
                let hint = match snapshot.kind {
                    SnapshotKind::Site => "the backup task cannot delete its folder while the lock is held",
                    SnapshotKind::SqlBackups => "what is archived must not be written to by the run itself",
                };
                self.faults.add(Some(root.at("lock-file")), "lock-file", message, hint);
            }
        }
    }

    pub(super) fn check_log_place(&mut self, root: &Section<'_>, snapshot: &Snapshot, log: &Log) {
        let (Some(section), Some(file)) = (root.section("log"), &log.file) else { return };
        let mut sources = std::iter::once(&snapshot.path).chain(&snapshot.sql_path).chain(&snapshot.cd_latest);
        if section.has("file") && sources.any(|source| paths::is_inside(file, source)) {
            let hint =
                "the backup task deletes its folder before every run, and a log that is written there changes it";
            self.faults.add(Some(section.at("file")), section.label("file"), "lies inside the snapshot's folder", hint);
        }
    }

    /// The backup task deletes its folder before every run.
    pub(super) fn check_metrics_file(&mut self, root: &Section<'_>, snapshot: &Snapshot, report: &Report) {
        let (Some(section), Some(file)) = (root.section("report"), &report.metrics_file) else { return };
        if snapshot.holds(file) {
            let hint = "the backup task DELETES its folder before every run: put it elsewhere";
            let label = section.label("metrics-file");
            self.faults.add(Some(section.at("metrics-file")), label, "lies inside the snapshot's folder", hint);
        }
    }

    /// The backup task deletes its folder before every run, and a copy of hours would be in its way.
    /// What is built upon is read every night: encrypted, it cannot be; in a bucket, it would have to be fetched.
    pub(super) fn check_differential(
        &mut self,
        tiers: Option<&Tiers>,
        archive: &Archive,
        destinations: &[Option<Destination>],
    ) {
        let folder = |one: &Destination| matches!(one.location, Location::Folder(_));
        let why = if tiers.is_none() {
            return;
        } else if !archive.recipients.is_empty() {
            "archives are encrypted, and nothing here can read them again"
        } else if !destinations.iter().flatten().any(folder) {
            "no destination is a folder, which is where the archives that are built upon are read from"
        } else {
            return;
        };
        self.warnings.push(format!("[differential] has no effect, every archive is a full one: {why}"));
    }

    pub(super) fn check_drill(&mut self, root: &Section<'_>, snapshot: &Snapshot, drill: &Drill) {
        let Some(section) = root.section("drill") else { return };
        for (key, folder) in [("scratch", drill.scratch.as_ref()), ("reports", Some(&drill.reports))] {
            if section.has(key) && folder.is_some_and(|folder| snapshot.holds(folder)) {
                let hint = "the backup task DELETES its folder before every run: put it elsewhere";
                self.faults.add(Some(section.at(key)), section.label(key), "lies inside the snapshot's folder", hint);
            }
        }
    }

    /// Windows keeps one account for a server: the second one would fail with error 1219, on some nights only. That
    /// holds for the snapshot's server, too, and for the backup task: as a service we share its session.
    pub(super) fn check_accounts(
        &mut self,
        snapshot: Option<&Snapshot>,
        sections: &[Section<'_>],
        destinations: &[Option<Destination>],
    ) {
        let mut before: Vec<(Share, Option<&str>, String)> = Vec::new();
        if let Some(snapshot) = snapshot {
            let more = [&snapshot.sql_path, &snapshot.cd_latest, &snapshot.log];
            let paths = std::iter::once(&snapshot.path).chain(more.into_iter().flatten());
            before.extend(paths.filter_map(|path| Some((Share::of(path)?, None, "the snapshot".to_owned()))));
        }
        for (section, destination) in sections.iter().zip(destinations) {
            let Some(Destination { name, location: Location::Folder(path), credentials, .. }) = destination else {
                continue;
            };
            let Some(share) = Share::of(path) else { continue };
            let user = credentials.as_ref().map(|credentials| credentials.user.as_str());
            let same = |other: Option<&str>| match (user, other) {
                (Some(user), Some(other)) => user.eq_ignore_ascii_case(other),
                (user, other) => user == other,
            };
            let conflict = before.iter().find(|(other, account, _)| other.is_on_server_of(&share) && !same(*account));
            if let Some((_, _, other)) = conflict {
                let message = format!("is on the server of {other}, which has another account");
                let hint = "Windows uses one account for a server at a time: give both the same credentials, or write another name of the server here (its full name or IP address)";
                self.faults.add(Some(section.at("path")), section.label("path"), message, hint);
            }
            before.push((share, user, format!("destination '{name}'")));
        }
    }
}
