//! The table of `prune --dry-run`: every archive, what happens to it and why.
//!
//! Aligned plain text after restic's listing. Ids, times and sizes are ASCII; only the reason of a pin may be
//! anything, so reasons come last, where their width does not matter.

use std::fmt::Write as _;

use crate::retention::plan::{Condition, Decision, Plan};
use crate::units::{self, format_bytes};

const HEAD: [&str; 5] = ["ID", "Time", "Size", "Action", "Reasons"];

/// Draws the table, with the zone and the totals below it. Ends with a line feed.
#[must_use]
pub fn table(plan: &Plan) -> String {
    let rows: Vec<[String; 4]> = plan.decisions.iter().map(|decision| cells(plan, decision)).collect();
    let reasons: Vec<Vec<String>> = plan.decisions.iter().map(reasons).collect();
    let widths: [usize; 4] =
        std::array::from_fn(|at| rows.iter().map(|row| row[at].len()).chain([HEAD[at].len()]).max().unwrap_or(0));
    let widest = reasons.iter().flatten().map(|line| line.chars().count()).chain([HEAD[4].len()]).max().unwrap_or(0);
    let rule = "-".repeat(widths.iter().map(|width| width + 2).sum::<usize>() + widest);

    let mut out = String::new();
    push_line(&mut out, widths, HEAD);
    push(&mut out, &rule);
    for ([id, time, size, action], reasons) in rows.iter().zip(&reasons) {
        let first = reasons.first().map_or("", String::as_str);
        push_line(&mut out, widths, [id, time, size, action, first]);
        for reason in reasons.iter().skip(1) {
            push_line(&mut out, widths, ["", "", "", "", reason]);
        }
    }
    push(&mut out, &rule);
    push(&mut out, &format!("time zone: {}", plan.zone_name()));
    push(&mut out, &format!("keeps {}; removes {}", plan.keep_total(), plan.remove_total()));
    let future = plan.future().count();
    if future > 0 {
        let are = if future == 1 { "archive is" } else { "archives are" };
        push(&mut out, &format!("{future} {are} dated in the future: kept and not counted, check the clocks"));
    }
    out
}

fn cells(plan: &Plan, decision: &Decision) -> [String; 4] {
    let time = plan.time_zone.to_datetime(decision.id.stamp());
    [
        decision.id.to_string(),
        time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        format_bytes(decision.bytes),
        (if decision.is_kept() { "keep" } else { "remove" }).to_owned(),
    ]
}

fn reasons(decision: &Decision) -> Vec<String> {
    let mut lines: Vec<String> = decision.words().iter().map(|line| units::visible_line(line).into_owned()).collect();
    // A removed one says so itself, where it matters.
    if decision.condition == Condition::Damaged && decision.is_kept() {
        lines.push("(damaged: does not use up a slot of the rule)".to_owned());
    }
    lines
}

fn push_line(out: &mut String, widths: [usize; 4], [id, time, size, action, reason]: [&str; 5]) {
    let [w0, w1, w2, w3] = widths;
    let mut line = String::new();
    write!(line, "{id:w0$}  {time:w1$}  {size:>w2$}  {action:w3$}  {reason}").expect("writing to a String cannot fail");
    push(out, line.trim_end());
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::retention::plan::{Candidate, plan};
    use crate::retention::policy::Policy;

    fn candidate(id: &str, gib_tenths: u64) -> Candidate {
        Candidate::new(id.parse().unwrap(), Condition::Good, (gib_tenths << 30) / 10)
    }

    fn berlin() -> Policy {
        let time_zone = TimeZone::get("Europe/Berlin").unwrap();
        Policy { last: 2, daily: 3, time_zone, ..Policy::without_rules() }
    }

    #[test]
    fn table_shows_every_archive_with_its_reasons() {
        let mut archives = vec![
            candidate("XYZ-20261001T233000Z", 14),
            candidate("XYZ-20261119T233000Z", 1234),
            candidate("XYZ-20261120T120000Z", 15),
            candidate("XYZ-20261120T233000Z", 16),
            candidate("XYZ-20261121T233000Z", 0),
            candidate("XYZ.ContentLibrary-20901121T233000Z", 99),
        ];
        archives[0].pin = Some("before upgrade\n\u{1b}[31mto 2603 – März".to_owned());
        archives[4].condition = Condition::Damaged;
        let plan = plan(&archives, &berlin(), "2026-11-22T12:00:00Z".parse().unwrap());
        insta::assert_snapshot!(table(&plan), @r"
        ID                                   Time                      Size  Action  Reasons
        ------------------------------------------------------------------------------------------------------------------------------------------------------
        XYZ-20261001T233000Z                 2026-10-02 01:30:00    1.4 GiB  keep    daily archive 2026-10-02 (3 of 3)
                                                                                     pinned: before upgrade\u{a}\u{1b}[31mto 2603 – März
        XYZ-20261119T233000Z                 2026-11-20 00:30:00  123.4 GiB  remove  no rule keeps it: day 2026-11-20 has a newer archive XYZ-20261120T120000Z
        XYZ-20261120T120000Z                 2026-11-20 13:00:00    1.5 GiB  keep    last archive (2 of 2)
                                                                                     daily archive 2026-11-20 (2 of 3)
        XYZ-20261120T233000Z                 2026-11-21 00:30:00    1.6 GiB  keep    newest good
                                                                                     last archive (1 of 2)
                                                                                     daily archive 2026-11-21 (1 of 3)
        XYZ-20261121T233000Z                 2026-11-22 00:30:00        0 B  keep    newest
                                                                                     last archive (1 of 2)
                                                                                     daily archive 2026-11-22 (1 of 3)
                                                                                     (damaged: does not use up a slot of the rule)
        XYZ.ContentLibrary-20901121T233000Z  2090-11-22 00:30:00    9.9 GiB  keep    dated in the future
        ------------------------------------------------------------------------------------------------------------------------------------------------------
        time zone: Europe/Berlin
        keeps 5 archives, 14.4 GiB; removes 1 archive, 123.4 GiB
        1 archive is dated in the future: kept and not counted, check the clocks
        ");
    }

    #[test]
    fn table_of_nothing_has_a_head_and_totals() {
        let plan = plan(&[], &berlin(), "2026-11-22T12:00:00Z".parse().unwrap());
        insta::assert_snapshot!(table(&plan), @r"
        ID  Time  Size  Action  Reasons
        -------------------------------
        -------------------------------
        time zone: Europe/Berlin
        keeps 0 archives, 0 B; removes 0 archives, 0 B
        ");
    }
}
