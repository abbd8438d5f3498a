//! x
pub mod log;
use crate::archive::name::SiteCode;
/// The site whose snapshot a folder of this name holds: `XYZBackup`, in any case.
#[must_use]
pub fn site_of_folder(name: &str) -> Option<SiteCode> {
    let (site, rest) = name.split_at_checked(3)?;
    rest.eq_ignore_ascii_case("Backup").then(|| site.parse().ok()).flatten()
}
