//! What a snapshot is at the moment, for people who ask: the decision that a run would take, and as gently.
//!
//! `status` must not be what makes the backup task fail. While the log says that the task is at work, its folder is
//! left alone; otherwise a look is under the same guard as a run, and ends when the task begins.

use super::context::Context;
use super::sentinel::guarded;
use crate::name::SiteCode;
use crate::source;
use crate::source::complete::{self, Completion};

/// What was seen of a snapshot.
#[derive(Debug)]
pub enum Look {
    /// It was looked at.
    Decided {
        /// The site.
        site: SiteCode,
        /// The decision.
        completion: Completion,
    },
    /// There is none, or it was left alone, or could not be read.
    Nothing {
        /// Why.
        reason: String,
    },
}

/// Looks at all snapshots that the configuration names.
#[must_use]
pub fn look(context: &Context<'_>) -> Vec<Look> {
    let config = &context.config.snapshot;
    let nothing = |reason: String| Look::Nothing { reason };
    let log = source::read_log(config);
    if let Some(reason) = log.at_work(None) {
        return vec![nothing(format!("its folder is left alone: {reason}"))];
    }
    let found = match source::discover(config, context.clock.now()) {
        Ok(found) => found,
        Err(error) => return vec![nothing(crate::error::chain(&error))],
    };
    let unfinished = found.unfinished.iter().map(|one| nothing(format!("{}: {}", one.path.display(), one.why)));
    let decided = found.snapshots.iter().map(|snapshot| {
        let site = snapshot.site;
        guarded(context, snapshot, |guard| match source::gather(snapshot, log.clone(), guard.let_go()) {
            Ok(gathered) => {
                let completion = complete::decide(&gathered.evidence, config.quiet, context.clock.now());
                Look::Decided { site, completion }
            }
            Err(error) => nothing(guard.reason().unwrap_or_else(|| crate::error::chain(&error))),
        })
    });
    unfinished.chain(decided).collect()
}
