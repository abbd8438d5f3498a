//! Wrong checksums of user pages, taken together: encryption makes all of them wrong and is no damage.
//!
//! No encrypted database could be had, and documents disagree on what its checksums cover. So when most user pages
//! differ from their checksums that is said once, never page by page; if their contents are as even as only encryption
//! (or noise) makes them, the file is not called damaged.

use super::page::{PageHeader, PageState, looks_random};
use super::report::{Findings, Problem};

/// From so many wrong checksums on, they are looked at as a whole; fewer are listed one by one.
const WHOLESALE: u64 = 64;

/// The user pages of a file that have checksums.
#[derive(Debug, Default)]
pub(super) struct UserPages {
    /// Wrong checksums, apart from all other damage.
    pub(super) mismatches: Findings,
    random: u64,
    checksummed: u64,
}

impl UserPages {
    /// Counts a page.
    pub(super) fn count(&mut self, page: &[u8], header: &PageHeader, state: PageState) {
        let mismatched = matches!(state, PageState::Mismatched { .. });
        if header.is_user_data() && (mismatched || state == PageState::Checksummed) {
            self.checksummed += 1;
            self.random += u64::from(mismatched && looks_random(page));
        }
    }

    /// Adds the wrong checksums to the damage, or says once that most are wrong. True when they look encrypted.
    pub(super) fn judge(self, errors: &mut Findings, warnings: &mut Findings) -> bool {
        let (wrong, all) = (self.mismatches.total, self.checksummed);
        if wrong < WHOLESALE || wrong * 2 <= all {
            errors.merge(self.mismatches);
            return false;
        }
        let encrypted = self.random * 10 >= wrong * 9;
        let findings = if encrypted { warnings } else { errors };
        findings.file(Problem::Wholesale, || {
            format!(
                "{wrong} of {all} pages of user data differ from their checksums: encrypted (TDE) or wholesale damage"
            )
        });
        encrypted
    }
}
