//! The installation of Configuration Manager on this server, as the registry tells it: where its log lies, where its
//! AfterBackup.bat belongs, and which site it is.
//!
//! `SOFTWARE\Microsoft\SMS` is where the product itself and many public scripts look. Where the backup task writes
//! stands elsewhere (in the site database), so that one thing still has to be asked.

use crate::name::SiteCode;
use crate::platform::installed::local_machine;

/// Looks up a text in `HKEY_LOCAL_MACHINE`: key, then name of the value.
type Registry<'r> = &'r dyn Fn(&str, &str) -> Option<String>;

const SETUP: &str = r"SOFTWARE\Microsoft\SMS\Setup";
const IDENTIFICATION: &str = r"SOFTWARE\Microsoft\SMS\Identification";

/// A site server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Its folder, without a separator at the end.
    folder: String,
    /// Its site, where that can be told.
    pub site: Option<SiteCode>,
}

impl Installation {
    /// The one on this machine.
    #[must_use]
    pub fn find() -> Option<Self> {
        Self::from_registry(&local_machine)
    }

    fn from_registry(registry: Registry<'_>) -> Option<Self> {
        let folder = registry(SETUP, "Installation Directory")?;
        let folder = folder.trim().trim_end_matches(['\\', '/']);
        let site = registry(IDENTIFICATION, "Site Code").and_then(|site| site.trim().parse().ok());
        (!folder.is_empty()).then(|| Self { folder: folder.to_owned(), site })
    }

    /// Where it is installed.
    #[must_use]
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// The log of the backup task. It is not there before the task's first run.
    #[must_use]
    pub fn log(&self) -> String {
        format!(r"{}\Logs\smsbkup.log", self.folder)
    }

    /// The batch file that the backup task runs.
    #[must_use]
    pub fn bat(&self) -> String {
        format!(r"{}\Inboxes\smsbkup.box\AfterBackup.bat", self.folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(folder: Option<&str>, site: Option<&str>) -> Option<Installation> {
        Installation::from_registry(&|key, value| match (key, value) {
            (r"SOFTWARE\Microsoft\SMS\Setup", "Installation Directory") => folder.map(str::to_owned),
            (r"SOFTWARE\Microsoft\SMS\Identification", "Site Code") => site.map(str::to_owned),
            other => panic!("nobody needs {other:?}"),
        })
    }

    #[test]
    fn registry_tells_folder_site_log_and_batch_file() {
        let installation = found(Some(r"D:\Microsoft Configuration Manager\"), Some("P01")).unwrap();
        assert_eq!(installation.folder(), r"D:\Microsoft Configuration Manager");
        assert_eq!(installation.site, Some("P01".parse().unwrap()));
        assert_eq!(installation.log(), r"D:\Microsoft Configuration Manager\Logs\smsbkup.log");
        assert_eq!(installation.bat(), r"D:\Microsoft Configuration Manager\Inboxes\smsbkup.box\AfterBackup.bat");
    }

    #[test]
    fn site_code_that_is_none_is_left_out() {
        for site in [None, Some(""), Some("P0001"), Some("P-1")] {
            assert_eq!(found(Some(r"C:\SMS"), site).unwrap().site, None, "{site:?}");
        }
    }

    #[test]
    fn machine_without_site_server_has_no_installation() {
        assert_eq!(found(None, Some("P01")), None);
        assert_eq!(found(Some(" "), Some("P01")), None);
    }
}
