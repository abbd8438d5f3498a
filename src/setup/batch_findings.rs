//! What a batch file was found to copy, and what of it becomes a destination.

use crate::name::SiteCode;

/// What an existing AfterBackup.bat tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatFindings {
    /// The copies that were understood, in the order of the file.
    pub copies: Vec<Copy>,
    /// What is not taken over and why. Never quotes a line: passwords stand in such files.
    pub notes: Vec<String>,
    /// Copies that could not be read; each has a note.
    pub unread: usize,
}

/// A copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Its line.
    pub line: usize,
    /// What is copied.
    pub source: String,
    /// Where to.
    pub target: String,
}

/// The copies of a script, put in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copies {
    /// The snapshot, where it can be told.
    pub snapshot: Option<String>,
    /// Where it is copied to, also by way of another folder.
    pub targets: Vec<String>,
    /// Copies of something else.
    pub others: Vec<Copy>,
    /// Folders that may be the snapshot, where it cannot be told which is.
    pub candidates: Vec<String>,
}

impl BatFindings {
    /// Which copies are of the snapshot? It is known by its name, or given.
    #[must_use]
    pub fn sorted(&self, given: Option<&str>) -> Copies {
        let is = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
        let is_target = |place: &str| self.copies.iter().any(|copy| is(&copy.target, place));
        let mut sources: Vec<&str> = Vec::new();
        for copy in self.copies.iter().filter(|copy| !is_target(&copy.source)) {
            if !sources.iter().any(|source| is(source, &copy.source)) {
                sources.push(&copy.source);
            }
        }
        let best = sources.iter().map(|source| likeness(source)).max().unwrap_or(0);
        let likely: Vec<&str> = sources.iter().copied().filter(|source| likeness(source) == best).collect();
        let snapshot = match (given, likely.as_slice()) {
            (Some(given), _) => given.to_owned(),
            // A folder that holds the other is the one to name.
            (None, [first, rest @ ..]) if rest.iter().all(|other| is_below(other, first)) => (*first).to_owned(),
            (None, [first, ..]) if best > 0 => (*first).to_owned(),
            (None, _) => {
                let candidates = likely.into_iter().map(str::to_owned).collect();
                return Copies { candidates, others: self.copies.clone(), ..Copies::default() };
            }
        };
        let mut copies = Copies { snapshot: Some(snapshot.clone()), ..Copies::default() };
        let whole =
            |place: &str| is(place, &snapshot) || is_snapshot_of(place, &snapshot) || is_snapshot_of(&snapshot, place);
        for copy in &self.copies {
            let passed_on = copies.targets.iter().any(|target| is(target, &copy.source));
            if (whole(&copy.source) || passed_on) && !is(&copy.target, &snapshot) {
                if !copies.targets.iter().any(|target| is(target, &copy.target)) {
                    copies.targets.push(copy.target.clone());
                }
            } else {
                copies.others.push(copy.clone());
            }
        }
        copies
    }
}

/// `E:\ConfigMgr_Backup\XYZBackup` for `E:\ConfigMgr_Backup`.
fn is_snapshot_of(place: &str, folder: &str) -> bool {
    is_below(place, folder)
        && place.rsplit('\\').next().is_some_and(is_site_folder)
        && place.trim_end_matches('\\').matches('\\').count() == folder.trim_end_matches('\\').matches('\\').count() + 1
}

/// `XYZBackup`, in any case.
fn is_site_folder(name: &str) -> bool {
    name.split_at_checked(3)
        .is_some_and(|(site, rest)| rest.eq_ignore_ascii_case("Backup") && site.parse::<SiteCode>().is_ok())
}

fn is_below(place: &str, folder: &str) -> bool {
    let (place, folder) = (place.to_lowercase(), folder.to_lowercase());
    place.strip_prefix(folder.trim_end_matches('\\')).is_some_and(|rest| rest.starts_with('\\'))
}

/// How much a folder looks like the one that the backup task writes to.
fn likeness(place: &str) -> u8 {
    let parts: Vec<String> = place.split(['\\', '/']).map(str::to_lowercase).collect();
    let is_site = |part: &String| is_site_folder(part);
    let product = |part: &String| ["configmgr", "sccm", "mecm", "mcm", "sms"].iter().any(|word| part.contains(word));
    let backup = |part: &String| part.contains("backup") || part.contains("bkup") || part.contains("sicherung");
    let library = |part: &String| part.contains("contentlib") || part.contains("content") || part.contains("source");
    match () {
        () if parts.iter().any(is_site) => 4,
        () if parts.iter().any(library) => 0,
        () if parts.iter().any(|part| product(part) && backup(part)) => 3,
        () if parts.iter().any(backup) => 2,
        () if parts.iter().any(product) => 1,
        () => 0,
    }
}
