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
    pub(super) status: NagiosStatus,
}

/// What a plugin ends with, by Nagios' rules. That our own exit codes of the same numbers mean something else is why
/// these have a type of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NagiosStatus {
    Ok = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
}

impl NagiosStatus {
    fn of(health: Health) -> Self {
        match health {
            Health::Fine => Self::Ok,
            Health::Partial => Self::Warning,
            Health::Overdue | Health::Failed | Health::Damage => Self::Critical,
            Health::Unknown => Self::Unknown,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

pub(super) fn line(standing: &Result<Standing, Failure>) -> Line {
    let (health, words, figures) = match standing {
        Ok(standing) => (standing.health(), words(standing), figures(standing)),
        Err(failure) => (Health::Unknown, failure.message.clone(), String::new()),
    };
    let status = NagiosStatus::of(health);
    let word = status.word();
    let bar = if figures.is_empty() { "" } else { " | " };
    Line { text: format!("AFTERBACKUP {word} - {}{bar}{figures}\n", plain(&words)), status }
}

/// The process ends with Nagios' number, whatever that is called here.
impl From<NagiosStatus> for Exit {
    fn from(status: NagiosStatus) -> Self {
        match status as u8 {
            0 => Exit::Done,
            1 => Exit::Failed,
            2 => Exit::Usage,
            _ => Exit::Partial,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nagios_gets_its_own_numbers() {
        for status in [NagiosStatus::Ok, NagiosStatus::Warning, NagiosStatus::Critical, NagiosStatus::Unknown] {
            assert_eq!(Exit::from(status) as u8, status as u8);
        }
    }
}
