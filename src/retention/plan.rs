//! The decision which archives stay and which may go: a pure function, with reasons for both.
//!
//! Each site and each separate series is planned alone. Rules are a union; `daily = 7` keeps the newest archive of
//! each of the last seven days *that have one*, so after a long outage nothing extra disappears. What goes beyond
//! that, and why:
//!
//! - **Future.** An archive stamped more than [`FUTURE_TOLERANCE`] after `now` was written by a wrong clock, or this
//!   clock is wrong. It stays, is reported, and is not counted: counted, a single archive from 2090 would hold the
//!   newest place of everything for ever, and with a clock from 1990 the rules would run on nonsense.
//! - **Damaged archives never cost a good one.** Archives that are good or unchecked are planned first, as if the
//!   damaged did not exist. Then the same rules run over all of them, and a damaged archive stays only where it is
//!   the newest at all, or among `last`, or `within`, or the newest of a counted period *that has no good one*. So
//!   damage that goes on for months is kept at the pace of the policy and cannot fill the destination, and a damaged
//!   archive goes once a good one stands for its period.
//! - **What always stays:** the newest archive of all, the newest not known to be damaged, the newest proven good
//!   (they differ when checks are switched off or the latest backups are damaged), the newest `min-archives`
//!   (damaged ones only where there are too few others), pinned archives, and those another destination still needs.
//!   `min-archives` means the newest so many, like `last`. Filling up to a number instead would break the promise
//!   that raising one count never loses an archive.
//! - **Pins** are one more reason, as tags are for restic: a pinned archive still stands for its periods.
//! - **What others build on.** Everything on the chain of an archive that stays, stays. The newest full archive, and
//!   the newest weekly one on it, stay as well: a run that began before the decision may be building on them. Nothing
//!   older than an archive whose manifest cannot be read goes where differential archives are: it may need any of them.
//! - restic also keeps the very oldest archive while a count is not used up. We do not: an administrator should be
//!   able to tell from a calendar what stays.

use std::fmt;
use std::ops::Range;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::name::{ArchiveId, Level};
use crate::retention::chains::{self, Chained};
use crate::retention::period::{Calendar, Moment, Unit};
use crate::retention::policy::Policy;
pub use crate::retention::reason::{KeepReason, RemoveReason};
use crate::units::format_bytes;

/// How far after `now` a stamp may lie before it counts as future: clocks of two servers differ by minutes, a zone
/// set wrongly makes it hours.
pub const FUTURE_TOLERANCE: SignedDuration = SignedDuration::from_hours(1);

/// Is an archive of this time dated in the future? One rule for everything that asks for the newest archive.
#[must_use]
pub fn is_future(stamp: Timestamp, now: Timestamp) -> bool {
    stamp.duration_since(now) > FUTURE_TOLERANCE
}

/// What is known of an archive's databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// The site's database is proven to be sound, with its log, and nothing is damaged.
    Good,
    /// Something that must be there is damaged, missing or of another site.
    Damaged,
    /// Nothing could be proven: checks are off, or the database has no checksums. Counts like good, but does not
    /// replace
    /// the newest proven good one.
    Unknown,
}

impl Condition {
    /// The better of two.
    #[must_use]
    pub fn better(self, other: Self) -> Self {
        match (self, other) {
            (Self::Good, _) | (_, Self::Good) => Self::Good,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Damaged, Self::Damaged) => Self::Damaged,
        }
    }
}

/// An archive to decide about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which. Unique among those planned together.
    pub id: ArchiveId,
    /// What is known of its databases.
    pub condition: Condition,
    /// Why it is pinned, if it is.
    pub pin: Option<String>,
    /// Does another destination still need it for catching up?
    pub needed_elsewhere: bool,
    /// The database of which it is the newest sound copy, although it is not proven as a whole, and no newer archive
    /// is.
    pub sound_copy_of: Option<String>,
    /// Its tier.
    pub level: Level,
    /// The archives that it builds on, the full one first.
    pub chain: Vec<ArchiveId>,
    /// A newer archive of which the manifest cannot be read: it may build on this one.
    pub below_unreadable: Option<ArchiveId>,
    /// Stored size.
    pub bytes: u64,
}

impl Candidate {
    /// A full archive of which nothing else is known.
    #[must_use]
    pub fn new(id: ArchiveId, condition: Condition, bytes: u64) -> Self {
        Self {
            id,
            condition,
            pin: None,
            needed_elsewhere: false,
            sound_copy_of: None,
            level: Level::Full,
            chain: Vec::new(),
            below_unreadable: None,
            bytes,
        }
    }
}

/// What is to happen to an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It stays, for at least one reason.
    Keep(Vec<KeepReason>),
    /// It may go.
    Remove(RemoveReason),
}

/// What is to happen to one archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Which.
    pub id: ArchiveId,
    /// What is known of its databases.
    pub condition: Condition,
    /// The archives that it builds on.
    pub chain: Vec<ArchiveId>,
    /// Stored size.
    pub bytes: u64,
    /// Keep or remove.
    pub action: Action,
}

impl Decision {
    /// Does it stay?
    #[must_use]
    pub fn is_kept(&self) -> bool {
        matches!(self.action, Action::Keep(_))
    }

    /// Is its stamp in the future?
    #[must_use]
    pub fn is_future(&self) -> bool {
        matches!(&self.action, Action::Keep(reasons) if reasons.contains(&KeepReason::Future))
    }

    /// The reasons in words, one line each.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        match &self.action {
            Action::Keep(reasons) => reasons.iter().map(ToString::to_string).collect(),
            Action::Remove(reason) => vec![reason.to_string()],
        }
    }
}

impl Serialize for Decision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut decision = serializer.serialize_struct("Decision", 6)?;
        decision.serialize_field("id", &self.id)?;
        decision.serialize_field("completed", &self.id.stamp().to_string())?;
        decision.serialize_field("condition", &self.condition)?;
        decision.serialize_field("bytes", &self.bytes)?;
        match &self.action {
            Action::Keep(reasons) => {
                decision.serialize_field("action", "keep")?;
                decision.serialize_field("reasons", reasons)?;
            }
            Action::Remove(reason) => {
                decision.serialize_field("action", "remove")?;
                decision.serialize_field("reasons", &[reason])?;
            }
        }
        decision.end()
    }
}

/// How many archives of what size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Total {
    /// How many.
    pub archives: usize,
    /// Their stored size.
    pub bytes: u64,
}

impl Total {
    fn of<'a>(decisions: impl Iterator<Item = &'a Decision>) -> Self {
        decisions.fold(Self::default(), |total, decision| Self {
            archives: total.archives + 1,
            bytes: total.bytes.saturating_add(decision.bytes),
        })
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.archives == 1 { "" } else { "s" };
        write!(f, "{} archive{plural}, {}", self.archives, format_bytes(self.bytes))
    }
}

/// What is to happen to all archives of a destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// By site and series, each oldest first.
    pub decisions: Vec<Decision>,
    /// The zone whose days and weeks the reasons name.
    pub time_zone: TimeZone,
}

impl Plan {
    /// What stays.
    pub fn kept(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|decision| decision.is_kept())
    }

    /// What may go.
    pub fn removed(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|decision| !decision.is_kept())
    }

    /// What is dated in the future: kept, not counted, and worth a warning.
    pub fn future(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|decision| decision.is_future())
    }

    /// How much stays.
    #[must_use]
    pub fn keep_total(&self) -> Total {
        Total::of(self.kept())
    }

    /// How much goes.
    #[must_use]
    pub fn remove_total(&self) -> Total {
        Total::of(self.removed())
    }

    /// The zone's name, or its offset.
    #[must_use]
    pub fn zone_name(&self) -> String {
        let offset = || self.time_zone.to_fixed_offset().map_or_else(|_| "the system's zone".into(), |o| o.to_string());
        match self.time_zone.iana_name() {
            Some(name) => name.to_owned(),
            // jiff falls back to UTC under this name where the system does not tell its zone.
            None if self.time_zone.is_unknown() => "UTC".to_owned(),
            None => offset(),
        }
    }
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut plan = serializer.serialize_struct("Plan", 4)?;
        plan.serialize_field("time_zone", &self.zone_name())?;
        plan.serialize_field("keep", &self.keep_total())?;
        plan.serialize_field("remove", &self.remove_total())?;
        plan.serialize_field("archives", &self.decisions)?;
        plan.end()
    }
}

/// Decides about `archives`, in any order and of any number of sites.
///
/// # Examples
/// ```
/// use afterbackup::retention::plan::{Candidate, Condition, plan};
/// use afterbackup::retention::policy::Policy;
///
/// let archives = ["XYZ-20261120T010000Z", "XYZ-20261121T010000Z", "XYZ-20261122T010000Z"]
///     .map(|id| Candidate::new(id.parse().unwrap(), Condition::Good, 1 << 30));
/// let plan = plan(&archives, &Policy { last: 2, ..Policy::without_rules() }, "2026-11-22T12:00:00Z".parse().unwrap());
/// assert_eq!(plan.removed().count(), 1);
/// assert_eq!(plan.decisions[0].words(), ["no rule keeps it: not among the last 2"]);
/// ```
#[must_use]
pub fn plan(archives: &[Candidate], policy: &Policy, now: Timestamp) -> Plan {
    let mut sorted: Vec<&Candidate> = archives.iter().collect();
    // By site and series, each oldest first.
    sorted.sort_by(|a, b| a.id.cmp(&b.id));
    let decisions = sorted
        .chunk_by(|a, b| a.id.site() == b.id.site() && a.id.series() == b.id.series())
        .flat_map(|group| plan_group(group, policy, now))
        .collect();
    Plan { decisions, time_zone: policy.time_zone.clone() }
}

/// The rules that count periods.
fn counts(policy: &Policy) -> [(Unit, u32); 5] {
    let count = [policy.hourly, policy.daily, policy.weekly, policy.monthly, policy.yearly];
    std::array::from_fn(|at| (Unit::ALL[at], count[at]))
}

/// Plans one site's series, given oldest first.
fn plan_group(group: &[&Candidate], policy: &Policy, now: Timestamp) -> Vec<Decision> {
    let present = group.partition_point(|candidate| !is_future(candidate.id.stamp(), now));
    let calendar = Calendar { time_zone: &policy.time_zone, day_starts: policy.day_starts };

    // Newest first from here on.
    let all: Vec<usize> = (0..present).rev().collect();
    let undamaged: Vec<usize> = all.iter().copied().filter(|&at| group[at].condition != Condition::Damaged).collect();
    let moments: Vec<Moment> = group[..present].iter().map(|c| calendar.moment(c.id.stamp())).collect();
    let mut reasons: Vec<Vec<KeepReason>> = vec![Vec::new(); group.len()];

    keep_newest(group, &all, &undamaged, policy, &mut reasons);
    let among_undamaged = apply_rules(group, &undamaged, &moments, policy, &mut reasons, Apply::ToAll);
    // Again over all, now for the damaged alone: what the others get is settled.
    let among_all = apply_rules(group, &all, &moments, policy, &mut reasons, Apply::ToDamaged);
    for (at, (candidate, reasons)) in group.iter().zip(&mut reasons).enumerate() {
        if at >= present {
            reasons.push(KeepReason::Future);
        }
        reasons.extend(candidate.pin.iter().cloned().map(KeepReason::Pinned));
        if candidate.needed_elsewhere {
            reasons.push(KeepReason::NeededElsewhere);
        }
        reasons.extend(candidate.sound_copy_of.iter().cloned().map(KeepReason::SoundCopy));
        reasons.extend(candidate.below_unreadable.iter().cloned().map(KeepReason::MayBeNeeded));
    }
    keep_bases(group, present, &mut reasons);

    group
        .iter()
        .zip(reasons)
        .enumerate()
        .map(|(at, (candidate, reasons))| {
            let action = if reasons.is_empty() {
                let damaged = candidate.condition == Condition::Damaged;
                let counted = if damaged { &among_all } else { &among_undamaged };
                Action::Remove(remove_reason(group, at, counted, &moments, policy))
            } else {
                Action::Keep(reasons)
            };
            let Candidate { id, condition, chain, bytes, .. } = (*candidate).clone();
            Decision { id, condition, chain, bytes, action }
        })
        .collect()
}

/// Keeps what others build on, and what a run that is at work may be building on.
fn keep_bases(group: &[&Candidate], present: usize, reasons: &mut [Vec<KeepReason>]) {
    let chained: Vec<Chained<'_>> =
        group.iter().map(|one| Chained { id: &one.id, level: one.level, chain: &one.chain }).collect();
    for at in chains::next_bases(&chained[..present]) {
        reasons[at].push(KeepReason::NextBase(group[at].level));
    }
    let kept: Vec<bool> = reasons.iter().map(|reasons| !reasons.is_empty()).collect();
    for (at, needed) in chains::bases(&chained, &kept) {
        reasons[at].push(KeepReason::BaseOf { archives: needed.archives, newest: needed.newest });
    }
}

/// Keeps what stays whatever the rules say.
fn keep_newest(
    group: &[&Candidate],
    all: &[usize],
    undamaged: &[usize],
    policy: &Policy,
    reasons: &mut [Vec<KeepReason>],
) {
    let newest_good = undamaged.iter().copied().find(|&at| group[at].condition == Condition::Good);
    let newest_undamaged = undamaged.first().copied();
    let newest = all.first().copied();
    // The strongest word alone: the newest good one is not also called the newest.
    if let Some(at) = newest_good {
        reasons[at].push(KeepReason::NewestGood);
    }
    if let Some(at) = newest_undamaged.filter(|_| newest_undamaged != newest_good && newest_undamaged != newest) {
        reasons[at].push(KeepReason::NewestUndamaged);
    }
    if let Some(at) = newest.filter(|_| newest != newest_good) {
        reasons[at].push(KeepReason::Newest);
    }
    // The first of these is one of the above anyway.
    if policy.min_archives > 1 {
        let damaged = all.iter().filter(|&&at| group[at].condition == Condition::Damaged);
        for &at in undamaged.iter().chain(damaged).take(to_usize(policy.min_archives)) {
            reasons[at].push(KeepReason::Minimum { of: policy.min_archives });
        }
    }
}

/// Whose reasons a pass over the rules may add to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Apply {
    ToAll,
    ToDamaged,
}

/// The archives of one counted period, as a range of positions, and the one that stands for it.
struct Window {
    positions: Range<usize>,
    stands: usize,
}

/// Applies `last`, `within` and the counted periods to `listed` (newest first), and returns the periods counted.
fn apply_rules(
    group: &[&Candidate],
    listed: &[usize],
    moments: &[Moment],
    policy: &Policy,
    reasons: &mut [Vec<KeepReason>],
    apply: Apply,
) -> Vec<(Unit, Vec<Window>)> {
    let damaged = |at: usize| group[at].condition == Condition::Damaged;
    let applies = |at: usize| apply == Apply::ToAll || damaged(at);
    let Some(&newest) = listed.first() else { return Vec::new() };

    for (&at, number) in listed.iter().zip(1..=policy.last) {
        if applies(at) {
            reasons[at].push(KeepReason::Last { number, of: policy.last });
        }
    }
    if let Some(within) = policy.within.filter(|within| !within.is_zero()) {
        let newest = group[newest].id.stamp();
        let near = |at: usize| newest.duration_since(group[at].id.stamp()).unsigned_abs() <= within;
        for &at in listed.iter().take_while(|&&at| near(at)).filter(|&&at| applies(at)) {
            reasons[at].push(KeepReason::Within(within));
        }
    }
    let mut counted = Vec::new();
    for (unit, of) in counts(policy).into_iter().filter(|&(_, of)| of > 0) {
        let mut windows = Vec::new();
        // Periods never run backwards, so each is one run of neighbours.
        let runs = listed.chunk_by(|&a, &b| moments[a].period(unit) == moments[b].period(unit));
        for (run, number) in runs.zip(1..=of) {
            let stands = run.iter().copied().find(|&at| !damaged(at)).unwrap_or(run[0]);
            if applies(stands) {
                let period = moments[stands].period(unit);
                reasons[stands].push(KeepReason::Period { period, number, of });
            }
            windows.push(Window { positions: run[run.len() - 1]..run[0] + 1, stands });
        }
        counted.push((unit, windows));
    }
    counted
}

/// Says why nothing keeps the archive at `at`: by the shortest counted period it lies in.
fn remove_reason(
    group: &[&Candidate],
    at: usize,
    counted: &[(Unit, Vec<Window>)],
    moments: &[Moment],
    policy: &Policy,
) -> RemoveReason {
    let superseded = counted.iter().find_map(|(unit, windows)| {
        // Newest first: skip those that begin after it.
        let window = windows.get(windows.partition_point(|window| window.positions.start > at))?;
        // One that stands for the period itself would have been kept.
        (window.positions.contains(&at) && window.stands != at).then(|| (moments[at].period(*unit), window.stands))
    });
    match superseded {
        Some((period, stands)) => {
            let by = group[stands].id.clone();
            if group[at].condition == Condition::Damaged && group[stands].condition != Condition::Damaged {
                RemoveReason::DamagedBeside { period, by }
            } else {
                RemoveReason::Superseded { period, by }
            }
        }
        None if counted.is_empty() => {
            RemoveReason::NotAmongNewest { last: policy.last, within: policy.within.filter(|within| !within.is_zero()) }
        }
        None if group[at].condition == Condition::Damaged => RemoveReason::DamagedOld,
        None => RemoveReason::OlderThanPeriods,
    }
}

fn to_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::civil::time;
    use proptest::prelude::*;

    use super::*;
    use crate::retention::brakes;

    fn candidate(id: &str, condition: Condition) -> Candidate {
        Candidate::new(id.parse().unwrap(), condition, 1 << 30)
    }

    fn good(stamps: &[&str]) -> Vec<Candidate> {
        stamps.iter().map(|stamp| candidate(&format!("XYZ-{stamp}"), Condition::Good)).collect()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn rules() -> Policy {
        Policy { time_zone: TimeZone::UTC, ..Policy::without_rules() }
    }

    fn default_in_utc() -> Policy {
        Policy { time_zone: TimeZone::UTC, ..Policy::default() }
    }

    /// A good archive a day at 01:00 UTC, `days` of them, the last on `end`.
    fn daily(end: &str, days: i64) -> Vec<Candidate> {
        let end = at(end);
        (0..days)
            .map(|day| {
                let stamp = end.saturating_sub(SignedDuration::from_hours(24 * day)).unwrap();
                Candidate { id: ArchiveId::new("XYZ".parse().unwrap(), stamp), ..good(&["20000101T000000Z"]).remove(0) }
            })
            .collect()
    }

    fn kept(plan: &Plan) -> Vec<String> {
        plan.kept().map(|decision| decision.id.to_string()).collect()
    }

    /// `id: words | words` of everything.
    fn lines(plan: &Plan) -> String {
        let line = |decision: &Decision| {
            let sign = if decision.is_kept() { '+' } else { '-' };
            format!("{sign} {}: {}\n", decision.id, decision.words().join(" | "))
        };
        plan.decisions.iter().map(line).collect()
    }

    #[test]
    fn default_policy_spans_a_year_with_31_archives() {
        let archives = daily("2026-11-22T01:00:00Z", 500);
        let plan = plan(&archives, &default_in_utc(), at("2026-11-22T12:00:00Z"));
        let of = |rule: &str| {
            let with_rule = |d: &&Decision| matches!(&d.action, Action::Keep(r) if r.iter().any(|r| r.rule() == rule));
            plan.kept().filter(with_rule).count()
        };
        assert_eq!(
            ["last", "daily", "weekly", "monthly", "within", "newest-good"].map(of),
            [7, 14, 8, 12, 6, 1],
            "{}",
            lines(&plan)
        );
        assert_eq!((plan.kept().count(), plan.decisions.len()), (31, 500));
        assert_eq!(kept(&plan)[0], "XYZ-20251231T010000Z");
    }

    #[test]
    fn reasons_are_words() {
        let mut archives = good(&[
            "20260901T010000Z",
            "20261001T010000Z",
            "20261119T010000Z",
            "20261120T010000Z",
            "20261120T130000Z",
            "20261122T010000Z",
            "20901122T010000Z",
        ]);
        archives[1].pin = Some("before upgrade".to_owned());
        archives[3].needed_elsewhere = true;
        let policy = Policy { last: 1, daily: 3, within: Some(Duration::from_hours(36)), ..rules() };
        insta::assert_snapshot!(lines(&plan(&archives, &policy, at("2026-11-22T12:00:00Z"))), @r"
        - XYZ-20260901T010000Z: no rule keeps it: older than every period kept
        + XYZ-20261001T010000Z: pinned: before upgrade
        + XYZ-20261119T010000Z: daily archive 2026-11-19 (3 of 3)
        + XYZ-20261120T010000Z: another destination still needs it
        + XYZ-20261120T130000Z: within 1 day 12 h of the newest | daily archive 2026-11-20 (2 of 3)
        + XYZ-20261122T010000Z: newest good | last archive (1 of 1) | within 1 day 12 h of the newest | daily archive 2026-11-22 (1 of 3)
        + XYZ-20901122T010000Z: dated in the future
        ");
    }

    #[test]
    fn removal_without_counted_periods_names_the_other_rules() {
        let archives = good(&["20261101T010000Z", "20261121T010000Z", "20261122T010000Z"]);
        let words = |policy: &Policy| plan(&archives, policy, at("2026-11-22T12:00:00Z")).decisions[0].words().join("");
        assert_eq!(words(&Policy { last: 2, ..rules() }), "no rule keeps it: not among the last 2");
        let within = Some(Duration::from_hours(48));
        assert_eq!(words(&Policy { within, ..rules() }), "no rule keeps it: not within 2 days of the newest");
        assert_eq!(
            words(&Policy { last: 1, within, ..rules() }),
            "no rule keeps it: not among the last 1, nor within 2 days of the newest"
        );
        assert_eq!(words(&rules()), "no rule keeps it: the policy has no rules");
    }

    #[test]
    fn after_a_long_outage_nothing_extra_disappears() {
        let archives = daily("2026-05-01T01:00:00Z", 400);
        let before = plan(&archives, &default_in_utc(), at("2026-05-01T12:00:00Z"));
        let kept_before: Vec<Candidate> =
            archives.iter().filter(|c| kept(&before).contains(&c.id.to_string())).cloned().collect();
        // Seven months later, and with the first archive after the outage.
        let after = plan(&kept_before, &default_in_utc(), at("2026-12-01T12:00:00Z"));
        assert_eq!(after.removed().count(), 0, "{}", lines(&after));
        let mut resumed = kept_before.clone();
        resumed.extend(daily("2026-12-01T01:00:00Z", 1));
        let resumed = plan(&resumed, &default_in_utc(), at("2026-12-01T12:00:00Z"));
        // One archive, one new day, week and month: at most one place of each rule is taken.
        assert!(resumed.removed().count() <= 4, "{}", lines(&resumed));
    }

    #[test]
    fn clock_of_1990_removes_nothing() {
        let archives = daily("2026-11-22T01:00:00Z", 100);
        let plan = plan(&archives, &Policy { last: 1, ..rules() }, at("1990-01-01T00:00:00Z"));
        assert_eq!((plan.future().count(), plan.removed().count()), (100, 0));
        assert_eq!(plan.decisions[0].words(), ["dated in the future"]);
    }

    #[test]
    fn clock_of_2090_removes_nothing_extra() {
        let archives = daily("2026-11-22T01:00:00Z", 100);
        let now = plan(&archives, &default_in_utc(), at("2026-11-22T12:00:00Z"));
        let later = plan(&archives, &default_in_utc(), at("2090-11-22T12:00:00Z"));
        assert_eq!(now, later);
    }

    #[test]
    fn archive_of_2090_takes_no_place() {
        let mut archives = good(&["20261121T010000Z", "20261122T010000Z", "20901122T010000Z"]);
        let policy = Policy { last: 1, ..rules() };
        let plan = |archives: &[Candidate]| plan(archives, &policy, at("2026-11-22T12:00:00Z"));
        assert_eq!(kept(&plan(&archives)), ["XYZ-20261122T010000Z", "XYZ-20901122T010000Z"]);
        // Half an hour ahead is a clock as clocks are.
        archives[2] = good(&["20261122T123000Z"]).remove(0);
        assert_eq!(kept(&plan(&archives)), ["XYZ-20261122T123000Z"]);
    }

    #[test]
    fn day_of_25_hours_is_one_day() {
        let archives = good(&["20261024T220500Z", "20261025T003000Z", "20261025T013000Z", "20261025T225500Z"]);
        let policy = Policy { daily: 2, time_zone: TimeZone::get("Europe/Berlin").unwrap(), ..rules() };
        let daily = plan(&archives, &policy, at("2026-10-26T12:00:00Z"));
        assert_eq!(kept(&daily), ["XYZ-20261025T225500Z"]);
        let hourly = plan(&archives, &Policy { hourly: 4, daily: 0, ..policy }, at("2026-10-26T12:00:00Z"));
        assert_eq!(hourly.kept().count(), 4, "the hour shown twice is two");
    }

    #[test]
    fn iso_week_over_new_year_is_one_week() {
        let archives = good(&["20261227T010000Z", "20261228T010000Z", "20261231T010000Z", "20270103T010000Z"]);
        let plan = plan(&archives, &Policy { weekly: 5, ..rules() }, at("2027-01-03T12:00:00Z"));
        insta::assert_snapshot!(lines(&plan), @r"
        + XYZ-20261227T010000Z: weekly archive 2026-W52 (2 of 5)
        - XYZ-20261228T010000Z: no rule keeps it: week 2026-W53 has a newer archive XYZ-20270103T010000Z
        - XYZ-20261231T010000Z: no rule keeps it: week 2026-W53 has a newer archive XYZ-20270103T010000Z
        + XYZ-20270103T010000Z: newest good | weekly archive 2026-W53 (1 of 5)
        ");
    }

    #[test]
    fn day_starts_puts_the_small_hours_to_the_day_before() {
        let archives = good(&["20261120T233000Z", "20261121T003000Z", "20261121T233000Z"]);
        let policy = Policy { daily: 7, day_starts: time(2, 0, 0, 0), ..rules() };
        let shifted = plan(&archives, &policy, at("2026-11-22T12:00:00Z"));
        assert_eq!(kept(&shifted), ["XYZ-20261121T003000Z", "XYZ-20261121T233000Z"]);
        let plain = plan(&archives, &Policy { daily: 7, ..rules() }, at("2026-11-22T12:00:00Z"));
        assert_eq!(kept(&plain), ["XYZ-20261120T233000Z", "XYZ-20261121T233000Z"]);
    }

    #[test]
    fn damaged_archives_do_not_push_out_good_ones() {
        let mut archives = good(&["20261101T010000Z", "20261102T010000Z"]);
        for day in 3..=9 {
            archives.push(candidate(&format!("XYZ-2026110{day}T010000Z"), Condition::Damaged));
        }
        let policy = Policy { last: 2, daily: 2, ..rules() };
        insta::assert_snapshot!(lines(&plan(&archives, &policy, at("2026-11-09T12:00:00Z"))), @r"
        + XYZ-20261101T010000Z: last archive (2 of 2) | daily archive 2026-11-01 (2 of 2)
        + XYZ-20261102T010000Z: newest good | last archive (1 of 2) | daily archive 2026-11-02 (1 of 2)
        - XYZ-20261103T010000Z: no rule keeps it: damaged, and newer archives fill the periods counted
        - XYZ-20261104T010000Z: no rule keeps it: damaged, and newer archives fill the periods counted
        - XYZ-20261105T010000Z: no rule keeps it: damaged, and newer archives fill the periods counted
        - XYZ-20261106T010000Z: no rule keeps it: damaged, and newer archives fill the periods counted
        - XYZ-20261107T010000Z: no rule keeps it: damaged, and newer archives fill the periods counted
        + XYZ-20261108T010000Z: last archive (2 of 2) | daily archive 2026-11-08 (2 of 2)
        + XYZ-20261109T010000Z: newest | last archive (1 of 2) | daily archive 2026-11-09 (1 of 2)
        ");
    }

    #[test]
    fn damaged_archive_goes_once_a_good_one_stands_for_its_day() {
        let mut archives = good(&["20261101T010000Z", "20261102T010000Z"]);
        archives.push(candidate("XYZ-20261101T130000Z", Condition::Damaged));
        let policy = Policy { daily: 7, ..rules() };
        let plan = plan(&archives, &policy, at("2026-11-02T12:00:00Z"));
        let words = "no rule keeps it: damaged, and day 2026-11-01 has XYZ-20261101T010000Z instead";
        assert_eq!(plan.removed().flat_map(Decision::words).collect::<Vec<_>>(), [words]);
    }

    #[test]
    fn unchecked_archives_do_not_push_out_the_newest_proven_good() {
        let mut archives = good(&["20261101T010000Z"]);
        for day in 2..=9 {
            archives.push(candidate(&format!("XYZ-2026110{day}T010000Z"), Condition::Unknown));
        }
        archives.push(candidate("XYZ-20261110T010000Z", Condition::Damaged));
        let plan = plan(&archives, &Policy { last: 1, ..rules() }, at("2026-11-10T12:00:00Z"));
        assert_eq!(kept(&plan), ["XYZ-20261101T010000Z", "XYZ-20261109T010000Z", "XYZ-20261110T010000Z"]);
    }

    #[test]
    fn min_archives_stay_and_damaged_ones_fill_up() {
        let mut archives = good(&["20261101T010000Z", "20261102T010000Z"]);
        for day in 3..=6 {
            archives.push(candidate(&format!("XYZ-2026110{day}T010000Z"), Condition::Damaged));
        }
        let policy = Policy { last: 1, min_archives: 4, ..rules() };
        insta::assert_snapshot!(lines(&plan(&archives, &policy, at("2026-11-10T12:00:00Z"))), @r"
        + XYZ-20261101T010000Z: one of 4 that always stay (min-archives)
        + XYZ-20261102T010000Z: newest good | one of 4 that always stay (min-archives) | last archive (1 of 1)
        - XYZ-20261103T010000Z: no rule keeps it: not among the last 1
        - XYZ-20261104T010000Z: no rule keeps it: not among the last 1
        + XYZ-20261105T010000Z: one of 4 that always stay (min-archives)
        + XYZ-20261106T010000Z: newest | one of 4 that always stay (min-archives) | last archive (1 of 1)
        ");
    }

    #[test]
    fn json_carries_rule_period_and_words() {
        let archives = good(&["20261122T010000Z", "20261122T130000Z"]);
        let plan = plan(&archives, &Policy { daily: 7, ..rules() }, at("2026-11-22T14:00:00Z"));
        insta::assert_snapshot!(serde_json::to_string_pretty(&plan).unwrap(), @r#"
        {
          "time_zone": "UTC",
          "keep": {
            "archives": 1,
            "bytes": 1073741824
          },
          "remove": {
            "archives": 1,
            "bytes": 1073741824
          },
          "archives": [
            {
              "id": "XYZ-20261122T010000Z",
              "completed": "2026-11-22T01:00:00Z",
              "condition": "good",
              "bytes": 1073741824,
              "action": "remove",
              "reasons": [
                {
                  "rule": "superseded",
                  "period": "2026-11-22",
                  "by": "XYZ-20261122T130000Z",
                  "words": "no rule keeps it: day 2026-11-22 has a newer archive XYZ-20261122T130000Z"
                }
              ]
            },
            {
              "id": "XYZ-20261122T130000Z",
              "completed": "2026-11-22T13:00:00Z",
              "condition": "good",
              "bytes": 1073741824,
              "action": "keep",
              "reasons": [
                {
                  "rule": "newest-good",
                  "words": "newest good"
                },
                {
                  "rule": "daily",
                  "period": "2026-11-22",
                  "number": 1,
                  "of": 7,
                  "words": "daily archive 2026-11-22 (1 of 7)"
                }
              ]
            }
          ]
        }
        "#);
    }

    #[test]
    fn nothing_to_plan_is_an_empty_plan() {
        let plan = plan(&[], &default_in_utc(), at("2026-11-22T14:00:00Z"));
        assert_eq!((plan.decisions.len(), plan.keep_total()), (0, Total::default()));
    }

    const NOW: i64 = 1_800_000_000;

    prop_compose! {
        fn any_candidate()(
            site in prop::sample::select(vec!["XYZ", "ABC"]),
            series in prop::sample::select(vec![None, None, Some("ContentLibrary")]),
            // Months with many close neighbours, years with few, and some of the future.
            age in prop_oneof![0_i64..400_000, 0_i64..8_000_000, 0_i64..200_000_000, -200_000_i64..0],
            condition in prop::sample::select(vec![Condition::Good, Condition::Good, Condition::Unknown, Condition::Damaged]),
            pinned in prop::bool::weighted(0.1),
            needed_elsewhere in prop::bool::weighted(0.1),
        ) -> Candidate {
            let id = ArchiveId::new(site.parse().unwrap(), Timestamp::from_second(NOW - age).unwrap());
            let id = match series { None => id, Some(series) => id.in_series(series).unwrap() };
            Candidate { pin: pinned.then(|| "kept".to_owned()), needed_elsewhere, ..Candidate::new(id, condition, 1) }
        }
    }

    fn any_archives() -> impl Strategy<Value = Vec<Candidate>> {
        prop::collection::vec(any_candidate(), 0..60).prop_map(|mut archives| {
            archives.sort_by(|a, b| a.id.cmp(&b.id));
            archives.dedup_by(|a, b| a.id == b.id);
            archives
        })
    }

    prop_compose! {
        fn any_policy()(
            counts in prop::array::uniform6(prop_oneof![Just(0_u32), 1_u32..6, Just(u32::MAX)]),
            within in prop::option::of(0_u64..1_000_000),
            min_archives in 0_u32..6,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]),
            starts in (0_i8..24, prop::sample::select(vec![0_i8, 30])),
        ) -> Policy {
            let [last, hourly, daily, weekly, monthly, yearly] = counts;
            Policy {
                last, hourly, daily, weekly, monthly, yearly, min_archives,
                within: within.map(Duration::from_secs),
                max_remove: None,
                time_zone: TimeZone::get(zone).unwrap(),
                day_starts: time(starts.0, starts.1, 0, 0),
            }
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }

    fn is_kept(plan: &Plan, id: &ArchiveId) -> bool {
        plan.kept().any(|decision| decision.id == *id)
    }

    fn same_series(a: &ArchiveId, b: &ArchiveId) -> bool {
        a.site() == b.site() && a.series() == b.series()
    }

    proptest! {
        #[test]
        fn planning_again_on_what_was_kept_removes_nothing(archives in any_archives(), policy in any_policy()) {
            let first = plan(&archives, &policy, now());
            let left: Vec<_> = archives.iter().filter(|c| is_kept(&first, &c.id)).cloned().collect();
            let second = plan(&left, &policy, now());
            prop_assert_eq!(second.removed().count(), 0, "{}{}", lines(&first), lines(&second));
            // Nor does it invent other reasons: the table stays the same.
            prop_assert_eq!(second.decisions, first.kept().cloned().collect::<Vec<_>>());
        }

        #[test]
        fn raising_one_count_never_loses_an_archive(archives in any_archives(), policy in any_policy(), which in 0_usize..8, by in 1_u32..4) {
            let mut raised = policy.clone();
            match which {
                0 => raised.last = policy.last.saturating_add(by),
                1 => raised.hourly = policy.hourly.saturating_add(by),
                2 => raised.daily = policy.daily.saturating_add(by),
                3 => raised.weekly = policy.weekly.saturating_add(by),
                4 => raised.monthly = policy.monthly.saturating_add(by),
                5 => raised.yearly = policy.yearly.saturating_add(by),
                6 => raised.min_archives = policy.min_archives.saturating_add(by),
                _ => raised.within = Some(policy.within.unwrap_or_default() + Duration::from_hours(u64::from(by) * 24)),
            }
            let more = plan(&archives, &raised, now());
            for decision in plan(&archives, &policy, now()).kept() {
                prop_assert!(is_kept(&more, &decision.id), "{}", lines(&more));
            }
        }

        #[test]
        fn what_must_stay_stays(archives in any_archives(), policy in any_policy()) {
            let plan = plan(&archives, &policy, now());
            let future = |c: &Candidate| c.id.stamp().duration_since(now()) > FUTURE_TOLERANCE;
            for candidate in &archives {
                // The list is sorted: what follows in the series is newer.
                let newer = |wanted: &[Condition]| archives.iter().any(|other| {
                    same_series(&other.id, &candidate.id) && other.id > candidate.id && !future(other) && wanted.contains(&other.condition)
                });
                let newest = !newer(&[Condition::Good, Condition::Unknown, Condition::Damaged]);
                let newest_undamaged = candidate.condition != Condition::Damaged && !newer(&[Condition::Good, Condition::Unknown]);
                let newest_good = candidate.condition == Condition::Good && !newer(&[Condition::Good]);
                if newest || newest_undamaged || newest_good || future(candidate) || candidate.pin.is_some() || candidate.needed_elsewhere {
                    prop_assert!(is_kept(&plan, &candidate.id), "{}", lines(&plan));
                }
                let of_series = || archives.iter().filter(|c| same_series(&c.id, &candidate.id) && !future(c));
                let stay = of_series().filter(|c| is_kept(&plan, &c.id)).count();
                prop_assert!(stay >= of_series().count().min(to_usize(policy.min_archives)), "{}", lines(&plan));
                let undamaged = |c: &&Candidate| c.condition != Condition::Damaged;
                let stay = of_series().filter(undamaged).filter(|c| is_kept(&plan, &c.id)).count();
                prop_assert!(stay >= of_series().filter(undamaged).count().min(to_usize(policy.min_archives)));
            }
        }

        #[test]
        fn damaged_archive_never_removes_another_that_is_not(archives in any_archives(), policy in any_policy(), new in any_candidate()) {
            prop_assume!(archives.iter().all(|c| c.id != new.id));
            let before = plan(&archives, &policy, now());
            let mut more = archives.clone();
            more.push(Candidate { condition: Condition::Damaged, ..new });
            let after = plan(&more, &policy, now());
            for candidate in archives.iter().filter(|c| c.condition != Condition::Damaged) {
                prop_assert_eq!(is_kept(&before, &candidate.id), is_kept(&after, &candidate.id));
            }
        }

        #[test]
        fn order_of_input_does_not_matter(archives in any_archives().prop_flat_map(|a| (Just(a.clone()), Just(a).prop_shuffle())), policy in any_policy()) {
            prop_assert_eq!(plan(&archives.0, &policy, now()), plan(&archives.1, &policy, now()));
        }

        #[test]
        fn sites_and_series_do_not_touch_each_other(archives in any_archives(), policy in any_policy()) {
            let together = plan(&archives, &policy, now());
            let apart: Vec<Decision> = archives
                .chunk_by(|a, b| same_series(&a.id, &b.id))
                .flat_map(|group| plan(group, &policy, now()).decisions)
                .collect();
            prop_assert_eq!(together.decisions, apart);
        }

        #[test]
        fn whatever_removes_an_archive_stays_itself(archives in any_archives(), policy in any_policy()) {
            let plan = plan(&archives, &policy, now());
            let rules = Policy { last: 1, ..policy };
            prop_assert_eq!(brakes::check(&plan, &rules), Ok(()));
            for decision in plan.removed() {
                match &decision.action {
                    Action::Remove(RemoveReason::Superseded { by, .. }) => {
                        prop_assert!(is_kept(&plan, by) && *by > decision.id, "{}", lines(&plan));
                    }
                    Action::Remove(RemoveReason::DamagedBeside { by, .. }) => prop_assert!(is_kept(&plan, by)),
                    _ => {}
                }
            }
        }
    }
}
