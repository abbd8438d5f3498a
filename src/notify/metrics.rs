//! Metrics for Prometheus, as a file for the textfile collector of `windows_exporter` and `node_exporter`.
//!
//! The file is written at the end of every run and whenever the watcher looks how backups stand, as a new file that
//! replaces the old one. A file that nobody writes any more stays as it was: alarms should ask for
//! times (`time() - afterbackup_newest_archive_timestamp_seconds`), which age by themselves.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::health::standing::{Health, Standing};
use crate::health::survey::Newest;
use crate::platform::private;

/// Writes the metrics.
pub(super) fn write(path: &Path, standing: &Standing) -> io::Result<()> {
    // Until it is whole, under a name that does not end in .prom: collectors would read it.
    private::replace_public(path, render(standing).as_bytes())
}

/// The text exposition format.
fn render(standing: &Standing) -> String {
    let mut text = Text::default();
    text.metric("afterbackup_build_info", "Which version wrote this.", [([("version", VERSION)].into(), 1)]);
    let now = [(vec![], standing.at.as_second())];
    text.metric("afterbackup_checked_timestamp_seconds", "When this was written.", now);
    let health = standing.health();
    let well = i64::from(health == Health::Fine);
    text.metric("afterbackup_healthy", "Is all well? What 'afterbackup status' ends with 0 for.", [(vec![], well)]);
    let count = |health| standing.problems().filter(|problem| problem.health == health).count();
    let problems =
        Health::BAD.map(|health| (vec![("health", health.name())], i64::try_from(count(health)).unwrap_or(i64::MAX)));
    text.metric("afterbackup_problems", "What is not right, by how bad it is.", problems);
    let ended = standing.state.last_run.iter();
    let times = ended.clone().map(|run| (vec![], run.finished.as_second()));
    text.metric("afterbackup_run_timestamp_seconds", "When the last run ended.", times);
    let codes = ended.map(|run| (vec![], i64::from(run.exit_code)));
    text.metric("afterbackup_run_exit_code", "Its exit code, hooks included.", codes);
    let up =
        standing.destinations.iter().map(|one| (vec![("destination", one.name.as_str())], one.holdings.is_ok().into()));
    text.metric("afterbackup_destination_up", "Can the destination be read?", up);
    let limit = i64::try_from(standing.limit.as_secs()).unwrap_or(i64::MAX);
    text.metric("afterbackup_overdue_limit_seconds", "How old the newest archive may be.", [(vec![], limit)]);

    let sites: Vec<(String, _)> =
        standing.sites.iter().map(|one| (one.verdict.site.map_or_else(String::new, |s| s.to_string()), one)).collect();
    let overdue = sites.iter().map(|(site, one)| (vec![("site", site.as_str())], one.verdict.is_overdue().into()));
    text.metric("afterbackup_overdue", "Are backups overdue?", overdue);
    let failed = sites.iter().map(|(site, one)| (vec![("site", site.as_str())], one.verdict.has_failed().into()));
    text.metric("afterbackup_task_failed", "Did the last run of the backup task fail?", failed);
    let runs = || sites.iter().filter_map(|(site, one)| Some((vec![("site", site.as_str())], one.last_run.as_ref()?)));
    let times = runs().map(|(labels, run)| (labels, run.finished.as_second()));
    text.metric("afterbackup_site_run_timestamp_seconds", "When the last run that came to the site ended.", times);
    let codes = runs().map(|(labels, run)| (labels, i64::from(run.exit_code)));
    text.metric("afterbackup_site_run_exit_code", "The exit code that tells of the site.", codes);

    let mut held = Vec::new();
    for one in &standing.destinations {
        for (site, holding) in one.holdings.iter().flatten() {
            // Others may put their archives there, too.
            if let Some((site, _)) = sites.iter().find(|(name, _)| name == site.as_str()) {
                held.push((vec![("site", site.as_str()), ("destination", one.name.as_str())], holding));
            }
        }
    }
    let all = || held.iter().map(|(labels, holding)| (labels.clone(), *holding));
    let newest = || all().filter_map(|(labels, holding)| Some((labels, holding.newest.as_ref()?)));
    let content = || newest().filter_map(|(labels, newest)| Some((labels, newest.content.as_ref()?)));
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let name = "afterbackup_newest_archive_timestamp_seconds";
    let what = "When the snapshot of the newest whole archive was completed.";
    text.metric(name, what, newest().map(|(labels, newest)| (labels, newest.id.stamp().as_second())));
    let bytes = newest().map(|(labels, newest): (_, &Newest)| (labels, number(newest.bytes)));
    text.metric("afterbackup_newest_archive_bytes", "Its size.", bytes);
    let bytes = content().map(|(labels, content)| (labels, number(content.uncompressed_bytes)));
    text.metric("afterbackup_newest_archive_uncompressed_bytes", "The size of what is in it.", bytes);
    let good = content().map(|(labels, content)| (labels, content.good.into()));
    text.metric("afterbackup_newest_archive_good", "Did its databases pass, as far as they could be checked?", good);
    let proven = content().map(|(labels, content)| {
        let sound = content.databases.iter().filter(|database| database.verdict.is_proven());
        (labels, i64::try_from(sound.count()).unwrap_or(i64::MAX))
    });
    text.metric("afterbackup_newest_archive_sound_databases", "How many of its database files are sound.", proven);
    let count = all().map(|(labels, holding)| (labels, number(holding.archives)));
    text.metric("afterbackup_archives", "How many archives there are.", count);
    let bytes = all().map(|(labels, holding)| (labels, number(holding.bytes)));
    text.metric("afterbackup_archives_bytes", "The size of all archives.", bytes);
    text.0
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Label names and values.
type Labels<'a> = Vec<(&'static str, &'a str)>;

#[derive(Default)]
struct Text(String);

impl Text {
    /// All samples of a metric, as the format wants them: together. None at all leave no trace.
    fn metric<'a>(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Labels<'a>, i64)>) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        let text = &mut self.0;
        write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n").expect(INFALLIBLE);
        for (labels, value) in samples {
            let labels: Vec<String> =
                labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            writeln!(text, "{name}{labels} {value}").expect(INFALLIBLE);
        }
    }
}

const INFALLIBLE: &str = "writing to a String cannot fail";

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_labels_are_escaped() {
        let mut text = Text::default();
        text.metric("m", "Help.", [(vec![("a", "x\"\\\ny"), ("b", "")], 1)]);
        text.metric("none", "Help.", []);
        assert_eq!(text.0, "# HELP m Help.\n# TYPE m gauge\nm{a=\"x\\\"\\\\\\ny\",b=\"\"} 1\n");
    }
}
