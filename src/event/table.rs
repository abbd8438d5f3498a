// Every kind of event: its name, how much it matters, its id in the Windows event log, and what it tells.
//
// Nothing but constants: the build script reads this file too, to make the program's table of messages. A kind that is
// added here without one of them does not compile; docs/monitoring.md repeats the table, which a test compares.
//
// Ids are for good: monitoring filters on them. An id is never given to something else, also when its event is gone.
// 1000 to 1999 are information, 2000 to 2999 warnings, 3000 to 3999 errors. Events without an id are for those who
// follow a run, or repeat what another one tells.

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What an administrator wants to read next morning.
    Info,
    /// Someone should act soon.
    Warn,
    /// This run lost something.
    Error,
}

/// What an event tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// How things are. The watcher tells it once, until it changes.
    State,
    /// What has happened.
    Fact,
}

macro_rules! kinds {
    ($($kind:ident $name:literal $level:ident $id:tt $sort:ident $meaning:literal;)*) => {
        /// What kind of event: the name is what programs ask for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventKind {
            $(#[doc = $meaning] $kind,)*
        }

        impl EventKind {
            /// Every kind there is.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// As `--json`, the log and hooks call it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// What it tells.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$kind => $meaning,)*
                }
            }

            /// How much it matters, as a rule.
            #[must_use]
            pub const fn level(self) -> Level {
                match self {
                    $(Self::$kind => Level::$level,)*
                }
            }

            /// Its id in the Windows event log; `None`: it is not written there.
            #[must_use]
            pub const fn windows_id(self) -> Option<u16> {
                match self {
                    $(Self::$kind => kinds!(@id $id),)*
                }
            }

            /// Does it tell how things are, rather than what has happened?
            #[must_use]
            pub const fn is_state(self) -> bool {
                let sort = match self {
                    $(Self::$kind => Sort::$sort,)*
                };
                matches!(sort, Sort::State)
            }
        }
    };
    (@id -) => { None };
    (@id $id:literal) => { Some($id) };
}

kinds! {
    Archived "archived" Info 1000 Fact "a new archive is on at least one destination";
    AlreadyArchived "already-archived" Info 1001 State "the snapshot was archived before";
    Watching "watching" Info 1002 Fact "the watcher has begun";
    Stopped "stopped" Info 1003 Fact "the watcher has ended, because it was asked to";
    SourceReadable "source-readable" Info 1004 Fact "the snapshot or the log of the task can be read again";
    Removed "removed" Info 1010 Fact "retention has removed archives";
    Pinned "pinned" Info 1011 Fact "an archive was exempted from pruning";
    Unpinned "unpinned" Info 1012 Fact "an archive is subject to pruning again";
    Verified "verified" Info 1013 Fact "an archive was read back, and is whole";
    Fetched "fetched" Info 1014 Fact "files were fetched from an archive";
    Drilled "drilled" Info 1015 Fact "a recovery was exercised with an archive, and passed";
    PushFailed "push-failed" Error 2000 State "partial: a destination has missed an archive";
    Skipped "skipped" Error 2001 Fact "partial: a file could not be archived";
    PruneFailed "prune-failed" Error 2002 Fact "a destination could not be pruned";
    PruneRefused "prune-refused" Warn 2003 Fact "a brake has stopped the pruning of a destination";
    Overdue "overdue" Error 2010 Fact "the newest archive is too old, or the backup task fails";
    DrillPartial "drill-partial" Warn 2011 Fact "a recovery was exercised; something is missing or not proven";
    Missed "missed" Error 2020 Fact "a completed snapshot was gone before it could be archived";
    BackupFailed "backup-failed" Warn 2021 Fact "the backup task says that its run has failed";
    SourceUnreadable "source-unreadable" Error 2022 Fact "the snapshot or the log of the task cannot be read";
    Changed "changed" Warn 2023 Fact "the snapshot changed while it was read; the attempt was dropped";
    NotComplete "not-complete" Warn 2024 State "there was no completed snapshot";
    NoEvents "no-events" Warn 2025 Fact "there are no file events: the watcher only polls";
    Warning "warning" Warn 2030 Fact "something should be looked at";
    HookFailed "hook-failed" Error 2031 Fact "a command of the section hooks has failed";
    HeartbeatFailed "heartbeat-failed" Warn 2032 Fact "the heartbeat could not be sent";
    MetricsFailed "metrics-failed" Warn 2033 Fact "the file with metrics could not be written";
    LogFailed "log-failed" Warn 2034 Fact "the log file could not be written";
    Failed "failed" Error 3000 State "no destination has the archive: nothing new is safe";
    CommandFailed "error" Error 3001 Fact "a command could not be done, as with a faulty configuration";
    Crashed "crashed" Error 3002 Fact "the program has met a fault of its own";
    Damaged "damaged" Error 3010 Fact "a database in the snapshot is damaged";
    DatabaseWorsened "database-worsened" Error 3011 Fact "a database is damaged that was sound in the archive before";
    VerifyDamaged "verify-damaged" Error 3012 Fact "an archive is damaged";
    VerifyFailed "verify-failed" Error 3013 Fact "an archive could not be verified";
    FetchDamaged "fetch-damaged" Error 3014 Fact "files could not be fetched, because they are damaged in the archive";
    DrillFailed "drill-failed" Error 3015 Fact "a recovery drill failed, or found damage";
    AlreadyThere "already-there" Info - State "a destination had the archive before";
    BackupRunning "backup-running" Info - Fact "the backup task has begun";
    DoneByWatcher "done-by-watcher" Info - Fact "the watcher has archived the snapshot, and this run reports it";
    Finished "finished" Info - Fact "the run has ended, with its exit code";
    HandedOver "handed-over" Info - Fact "the watcher was asked to archive the snapshot";
    HookOutput "hook-output" Info - Fact "a line that a command of the configuration has printed";
    Locked "locked" Info - Fact "the storage itself keeps an archive that retention would remove";
    Note "note" Info - Fact "something that is not in the archive for a good reason";
    Pushed "pushed" Info - Fact "an archive is on a destination, and checked as configured";
    Started "started" Info - Fact "an archive is being written";
    Swept "swept" Info - Fact "what an unfinished run had left was removed";
    Waiting "waiting" Info - Fact "the run waits, for quiet or for another run";
}
