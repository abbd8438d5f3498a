//! One line for Nagios and what speaks its language: a word, a sentence, and behind a bar the figures.
//!
//! These programs have exit codes of their own, so every error has to become one of them.

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::health::standing::{Health, SiteStanding, Standing};
use crate::units;

/// What is printed, and what the process ends with.
pub(super) struct Line {
    pub(super) text: String,
    pub(super) exit: Exit,
}

pub(super) fn line(standing: &Result<Standing, Failure>) -> Line {
    let (health, words, figures) = match standing {
        Ok(standing) => (standing.health(), words(standing), figures(standing)),
        Err(failure) => (Health::Unknown, failure.message.clone(), String::new()),
    };
    // The numbers are Nagios' own; that ours of the same value mean something else does not matter to it.
    let (word, exit) = match health {
        Health::Fine => ("OK", Exit::Done),
        Health::Partial => ("WARNING", Exit::Failed),
        Health::Overdue | Health::Damage => ("CRITICAL", Exit::Usage),
        Health::Unknown => ("UNKNOWN", Exit::Partial),
    };
    let bar = if figures.is_empty() { "" } else { " | " };
    Line { text: format!("AFTERBACKUP {word} - {}{bar}{figures}\n", plain(&words)), exit }
}

/// The worst first; when all is well, the newest archives.
fn words(standing: &Standing) -> String {
    let mut problems: Vec<_> = standing.problems().collect();
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.health));
    if problems.is_empty() {
        let newest = standing.sites.iter().filter_map(|site| site.newest.as_ref());
        let told =
            newest.map(|newest| format!("{} is {}", newest.id, units::format_age(newest.id.stamp(), standing.at)));
        return told.collect::<Vec<_>>().join(", ");
    }
    problems.iter().map(|problem| problem.problem.as_str()).collect::<Vec<_>>().join("; ")
}

/// `label=value;warning;critical;minimum`: the age of the newest archive, of the worst site and of each.
fn figures(standing: &Standing) -> String {
    let limit = standing.limit.as_secs();
    let age = |site: &SiteStanding| site.age(standing.at);
    let mut figures = Vec::new();
    if let Some(worst) =
        standing.sites.iter().map(age).collect::<Option<Vec<_>>>().and_then(|ages| ages.into_iter().max())
    {
        figures.push(format!("newest_age={worst}s;;{limit};0"));
    }
    for site in &standing.sites {
        let Some(name) = site.verdict.site else { continue };
        if let Some(age) = age(site) {
            figures.push(format!("{name}_newest_age={age}s;;{limit};0"));
        }
        if let Some(newest) = &site.newest {
            figures.push(format!("{name}_newest_size={}B;;;0", newest.bytes));
        }
    }
    let readable = standing.destinations.iter().filter(|one| one.holdings.is_ok()).count();
    let all = standing.destinations.len();
    figures.push(format!("destinations={readable};{all}:;;0;{all}"));
    figures.join(" ")
}

/// One line without the bar.
fn plain(text: &str) -> String {
    text.replace('|', "/").split_whitespace().collect::<Vec<_>>().join(" ")
}
