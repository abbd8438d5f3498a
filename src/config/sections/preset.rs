//! What a snapshot leaves out, by name: where Microsoft's documentation says that it is, and how it is copied. Where
//! only the site knows the place, a preset says which one to write.

use std::fmt::Write as _;

/// A source that the snapshot leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// The databases of System Center Updates Publisher 2011, one of each user.
    UpdatesPublisher,
    /// The databases, files and encryption key of Reporting Services.
    ReportingServices,
    /// The content library.
    ContentLibrary,
    /// The source files of packages.
    PackageSources,
    /// The stores of the state migration point.
    UserState,
    /// The backup task's control file, and AfterBackup.bat.
    ControlFiles,
    /// The database and the content of WSUS.
    Wsus,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::UpdatesPublisher,
        Self::ReportingServices,
        Self::ContentLibrary,
        Self::PackageSources,
        Self::UserState,
        Self::ControlFiles,
        Self::Wsus,
    ];

    /// Its name in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UpdatesPublisher => "updates-publisher",
            Self::ReportingServices => "reporting-services",
            Self::ContentLibrary => "content-library",
            Self::PackageSources => "package-sources",
            Self::UserState => "user-state",
            Self::ControlFiles => "control-files",
            Self::Wsus => "wsus",
        }
    }

    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// The names, for messages.
    #[must_use]
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The folder in the archive, unless the entry says another.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::UpdatesPublisher => "SCUP2011",
            Self::ReportingServices => "ReportingServices",
            Self::ContentLibrary => "ContentLibrary",
            Self::PackageSources => "PackageSources",
            Self::UserState => "UserState",
            Self::ControlFiles => "ControlFiles",
            Self::Wsus => "WSUS",
        }
    }

    /// Where it is, if that is the same everywhere.
    #[must_use]
    pub fn path(self) -> Option<&'static str> {
        (self == Self::UpdatesPublisher).then_some(
            r"C:\Users\*\AppData\Local\Microsoft\System Center Updates Publisher 2011\5.00.1727.0000\Scupdb.sdf",
        )
    }

    /// Its name in the archive.
    #[must_use]
    pub fn rename(self) -> Option<&'static str> {
        (self == Self::UpdatesPublisher).then_some(r"{1}\Scupdb.sdf")
    }

    /// An example of the path where only the site knows it, and of a command that is needed first.
    fn example(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::UpdatesPublisher => (r"C:\Users\*\AppData\…", None),
            Self::ReportingServices => {
                (r"D:\Export\ReportingServices", Some(r"D:\Export\export-reporting-services.cmd"))
            }
            Self::ContentLibrary => (r"D:\SCCMContentLib", None),
            Self::PackageSources => (r"D:\Sources", None),
            Self::UserState => (r"D:\USMTStore", None),
            Self::ControlFiles => (r"C:\Program Files\Microsoft Configuration Manager\Inboxes\smsbkup.box\*", None),
            Self::Wsus => (r"D:\Export\SUSDB", Some(r"D:\Export\backup-susdb.cmd")),
        }
    }

    /// What it is, and what to write.
    #[must_use]
    pub fn help(self) -> &'static [&'static str] {
        match self {
            Self::UpdatesPublisher => &[
                "Updates Publisher 2011 has a database in the profile of every user who runs it.",
                "Where profiles are not in C:\\Users, write the path.",
            ],
            Self::ReportingServices => &[
                "The report server databases, its files and custom assemblies, and the encryption key, without which the",
                "databases cannot be read. Let a command write a backup of the databases and the key into the folder:",
                "  rskeymgmt -e -f D:\\Export\\ReportingServices\\key.snk -p PASSWORD",
            ],
            Self::ContentLibrary => &["SCCMContentLib, on the drive that had most space."],
            Self::PackageSources => &[
                "Wherever the packages point: SELECT * FROM v_Package in the site database names the folders.",
                "Write an entry, each with a name, for each of them.",
            ],
            Self::UserState => &["The folders that the properties of the state migration point name."],
            Self::ControlFiles => &[
                "smsbkup.ctl and AfterBackup.bat, in the folder Inboxes\\smsbkup.box of the installation: customers change them.",
            ],
            Self::Wsus => &[
                "The database SUSDB, and the folder WsusContent. Let a command write a backup of the database into a folder;",
                "write another entry, with a name, for WsusContent.",
            ],
        }
    }

    /// The entry as it is written into a configuration; `install` is the folder of Configuration Manager, where known.
    #[must_use]
    pub fn text(self, install: Option<&str>) -> String {
        let mut text = String::new();
        for line in self.help() {
            // Writing to a string cannot fail.
            writeln!(text, "# {line}").ok();
        }
        writeln!(text, "[[supplemental]]\npreset = \"{}\"", self.name()).ok();
        let (example, before) = self.example();
        match (self.path(), self.rename(), install) {
            (Some(path), rename, _) => {
                writeln!(text, "# It stands for:\n#name = \"{}\"\n#path = '{path}'", self.folder()).ok();
                if let Some(rename) = rename {
                    writeln!(text, "#as = '{rename}'").ok();
                }
            }
            (None, _, Some(install)) if self == Self::ControlFiles => {
                writeln!(text, "path = '{install}\\Inboxes\\smsbkup.box\\*'").ok();
            }
            (None, ..) => {
                writeln!(text, "path = '{example}'").ok();
            }
        }
        if let Some(before) = before {
            writeln!(text, "before = '{before}'").ok();
        }
        text
    }

    /// What to write where the path is missing.
    #[must_use]
    pub fn path_hint(self) -> String {
        format!(
            "write path = '{}' with the folder of this site; 'afterbackup init --show-preset {}' says which one it is",
            self.example().0,
            self.name()
        )
    }
}
