// Which events are written to the Windows event log, and under which id.
//
// Nothing but constants: the build script reads this file too, to make the program's table of messages.
//
// Ids are for good: monitoring filters on them. An id is never given to something else, also when its event is gone.
// 1000 to 1999 are information, 2000 to 2999 warnings, 3000 to 3999 errors.

/// Id, kind of event, and what it tells.
pub(crate) const TABLE: &[(u16, &str, &str)] = &[
    (1000, "archived", "a new archive is on at least one destination"),
    (1001, "already-archived", "the snapshot was archived before"),
    (1002, "watching", "the watcher has begun"),
    (1003, "stopped", "the watcher has ended, because somebody asked it to"),
    (1004, "sees-again", "the watcher can look at the snapshot again"),
    (1010, "removed", "retention has removed archives"),
    (1011, "pinned", "an archive was exempted from pruning"),
    (1012, "unpinned", "an archive is subject to pruning again"),
    (1013, "verified", "an archive was read back, and is whole"),
    (1014, "fetched", "files were fetched from an archive"),
    (2000, "push-failed", "partial: a destination has missed an archive"),
    (2001, "skipped", "partial: a file could not be archived"),
    (2002, "prune-failed", "a destination could not be pruned"),
    (2003, "prune-refused", "a brake has stopped the pruning of a destination"),
    (2010, "overdue", "the newest archive is too old, or the backup task fails"),
    (2020, "missed", "a completed snapshot was gone before it could be archived"),
    (2021, "backup-failed", "the backup task says that its run has failed"),
    (2022, "blind", "the watcher cannot look at the snapshot or the log of the task"),
    (2023, "changed", "the snapshot changed while it was read; the attempt was dropped"),
    (2024, "not-complete", "there was no completed snapshot"),
    (2025, "no-events", "there are no file events: the watcher only polls"),
    (2030, "warning", "something should be looked at"),
    (2031, "hook-failed", "a command of [hooks] has failed"),
    (2032, "heartbeat-failed", "the heartbeat did not get through"),
    (2033, "metrics-failed", "the file with metrics could not be written"),
    (2034, "log-failed", "the log file could not be written"),
    (3000, "failed", "no destination has the archive: nothing new is safe"),
    (3001, "error", "a command could not be done, as with a faulty configuration"),
    (3002, "crashed", "the program has met a fault of its own"),
    (3010, "damaged", "a database in the snapshot is damaged"),
    (3011, "database-worsened", "a database is damaged that was sound in the archive before"),
    (3012, "verify-damaged", "an archive is damaged"),
    (3013, "verify-failed", "an archive could not be verified"),
    (3014, "fetch-damaged", "files could not be fetched, because they are damaged in the archive"),
];
