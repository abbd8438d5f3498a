//! First configurations: written from answers, with what an existing AfterBackup.bat tells, and the AfterBackup.bat
//! that calls us. Pure functions; the `init` command asks, writes and never overwrites.

use std::fmt::Write as _;
use std::path::Path;

use crate::config::Preset;
use crate::config::text::paths;
use crate::name::SiteCode;

/// What a first configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// Where the backup task writes.
    pub snapshot: String,
    /// Only this site.
    pub site: Option<SiteCode>,
    /// The backup task's log, where it is known.
    pub log: Option<String>,
    /// Public keys that archives are encrypted to.
    pub recipients: Vec<String>,
    /// What else was copied before: proposed as supplemental sources.
    pub others: Vec<String>,
    /// Where archives go; without one, a commented example is written, and the configuration is not complete.
    pub destinations: Vec<Answer>,
}

/// One destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its name.
    pub name: String,
    /// A folder, a share, or the address of a bucket (`s3://…`).
    pub place: String,
}

/// The text of a configuration, with comments for what is likely to be wanted next.
#[must_use]
pub fn config_text(answers: &Answers) -> String {
    let mut text = String::from(
        "# Configuration of afterbackup. Windows paths stand in 'single quotes'; relative paths start at this file's folder.\n\
         \n\
         [snapshot]\n\
         # Where the backup task writes: holds XYZBackup, or is such a folder.\n",
    );
    let mut line = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    line(&format!("path = {}", quote(&answers.snapshot)));
    line("# Only if the database half lies elsewhere:");
    line(r"#sql-path = '\\SQL01\ConfigMgr_Backup'");
    line("# Better evidence of completion than the copy in the snapshot:");
    match &answers.log {
        Some(log) => line(&format!("log = {}", quote(log))),
        None => line(r"#log = 'C:\Program Files\Microsoft Configuration Manager\Logs\smsbkup.log'"),
    }
    if let Some(site) = &answers.site {
        line(&format!("site = \"{site}\""));
    }
    line("");
    line(
        "# The snapshot does not hold the content library, Updates Publisher databases, the Reporting Services key …:",
    );
    line("# 'afterbackup init --show-preset NAME' shows the entry for each of them. NAME is one of");
    line(&format!("# {}", Preset::names()));
    line("#[[supplemental]]");
    line("#preset = \"updates-publisher\"");
    if !answers.others.is_empty() {
        line("");
        line("# The batch file copied these, too. Remove the # where they belong into the archive:");
    }
    for (number, other) in answers.others.iter().enumerate() {
        line("#[[supplemental]]");
        line(&format!("#name = {}", quote(&supplemental_name(other, number, &answers.others))));
        line(&format!("#path = {}", quote(other)));
    }
    line("");
    line("[archive]");
    line(
        "# A snapshot holds secrets in clear. Make a key pair with age-keygen, keep the secret half elsewhere, and write",
    );
    line("# the public half here:");
    if answers.recipients.is_empty() {
        line("#recipients = [\"age1…\"]");
    } else {
        let keys: Vec<String> = answers.recipients.iter().map(|key| quote(key)).collect();
        line(&format!("recipients = [{}]", keys.join(", ")));
    }
    line("");
    line("# Without this section: last = 7, daily = 14, weekly = 8, monthly = 12, within = \"5 days\"");
    line("#[retention]");
    line("#daily = 14");
    line("");
    line(
        "# Archives that hold only what differs from an earlier one: a fraction of the size, and that one is needed to restore",
    );
    line("#[differential]");
    for destination in &answers.destinations {
        line("");
        line("[[destination]]");
        line(&format!("name = {}", quote(&destination.name)));
        if destination.place.contains("://") {
            line(&format!("url = {}", quote(&destination.place)));
            line("#endpoint = \"https://s3.example.net\"");
            line("#access-key-env = \"VAULT_ACCESS_KEY\"");
            line("#secret-key-env = \"VAULT_SECRET_KEY\"");
        } else {
            line(&format!("path = {}", quote(&destination.place)));
        }
    }
    if answers.destinations.is_empty() {
        line("");
        line("# At least one is needed:");
        line("#[[destination]]");
        line("#name = \"vault\"");
        line(r"#path = '\\backup01\configmgr$'");
    }
    text
}

/// A name for a folder in the archive: the last part of the path, and a number where that is taken.
fn supplemental_name(path: &str, number: usize, all: &[String]) -> String {
    let base = |path: &str| {
        let last = path.rsplit(['\\', '/']).next().unwrap_or_default();
        let name: String = last.chars().filter(|c| c.is_ascii_alphanumeric() || "-_ ".contains(*c)).collect();
        let name = name.trim().to_owned();
        if name.is_empty() { "Other".to_owned() } else { name }
    };
    let name = base(path);
    let taken = all.iter().take(number).any(|other| base(other).eq_ignore_ascii_case(&name));
    if taken { format!("{name}-{}", number + 1) } else { name }
}

/// A typed place as it is written into a configuration that may lie elsewhere: paths absolute, addresses as they are.
#[must_use]
pub fn absolute(place: &str) -> String {
    if place.is_empty() || place.contains("://") || paths::is_windows(place) {
        return place.to_owned();
    }
    std::path::absolute(place).map_or_else(|_| place.to_owned(), |path| path.to_string_lossy().into_owned())
}

/// What is wrong with a place for archives that is given on the command line, and what to write instead.
#[must_use]
pub fn fault_of_place(place: &str) -> Option<(String, String)> {
    let (scheme, rest) = place.split_once("://")?;
    let known = ["s3", "az", "gs"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    if known && !rest.trim_matches('/').is_empty() {
        return None;
    }
    let fault = if known { format!("{place} names no bucket") } else { format!("unsupported scheme {scheme}://") };
    Some((fault, "give a folder, a share, s3://bucket/prefix, az://container/prefix or gs://bucket/prefix".to_owned()))
}

/// Can this system look at such a path?
#[must_use]
pub fn is_of_this_system(place: &str) -> bool {
    !place.contains("://") && cfg!(windows) == paths::is_windows(place)
}

/// A TOML string: literal where possible, so that Windows paths stay readable.
fn quote(text: &str) -> String {
    if !text.contains('\'') && !text.contains(char::is_control) {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => write!(quoted, "\\U{:08X}", u32::from(c)).expect("writing to a String cannot fail"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The AfterBackup.bat that calls us: absolute paths, because its working directory is not documented, and our exit
/// code passed on. CRLF, which cmd.exe needs to find its way.
///
/// cmd.exe reads batch files in the OEM code page of the machine: `in_oem` encodes text in it, if it can say it. Where
/// it cannot, the file is UTF-8 and says so, which works only where cmd.exe has a console.
#[must_use]
pub fn bat(exe: &Path, config: &Path, in_oem: impl Fn(&str) -> Option<Vec<u8>>) -> Vec<u8> {
    // In a batch file a percent sign begins a variable, in quotes too.
    let quoted =
        |path: &Path| format!("\"{}\"", path.to_string_lossy().replace('%', "%%").replace(['"', '\r', '\n'], ""));
    let command = format!("{} --config {} run --no-wait", quoted(exe), quoted(config));
    let mut lines = vec![
        "@echo off".to_owned(),
        "rem Runs after every successful site backup, as Local System. Written by 'afterbackup init --bat'.".to_owned(),
    ];
    let encoded = if command.is_ascii() { Some(command.clone().into_bytes()) } else { in_oem(&command) };
    if encoded.is_none() {
        lines.push("chcp 65001 >nul".to_owned());
    }
    let mut bytes = lines.iter().fold(String::new(), |text, line| text + line + "\r\n").into_bytes();
    bytes.extend(encoded.unwrap_or_else(|| command.into_bytes()));
    bytes.extend(b"\r\nexit /b %ERRORLEVEL%\r\n");
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Config, Location};

    #[test]
    fn written_batch_files_call_us_by_absolute_paths() {
        let text = bat(
            Path::new(r"C:\Program Files\afterbackup\afterbackup.exe"),
            Path::new(r"C:\100% Data\afterbackup.toml"),
            |_| None,
        );
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "@echo off\r\n\
             rem Runs after every successful site backup, as Local System. Written by 'afterbackup init --bat'.\r\n\
             \"C:\\Program Files\\afterbackup\\afterbackup.exe\" --config \"C:\\100%% Data\\afterbackup.toml\" run --no-wait\r\n\
             exit /b %ERRORLEVEL%\r\n"
        );
        let odd = |in_oem: fn(&str) -> Option<Vec<u8>>| bat(Path::new(r"C:\é.exe"), Path::new("x"), in_oem);
        assert!(String::from_utf8(odd(|_| None)).unwrap().contains("chcp 65001 >nul\r\n\"C:\\é.exe\" "));
        let in_oem = odd(|text| Some(text.chars().map(|c| if c == 'é' { 0x82 } else { c as u8 }).collect()));
        assert!(in_oem.windows(5).any(|bytes| bytes == b"\\\x82.ex"), "{in_oem:?}");
        assert!(!in_oem.windows(4).any(|bytes| bytes == b"chcp"), "{in_oem:?}");
    }

    /// deploy/ has the file for those who do not run `init` on the server.
    #[test]
    fn batch_file_of_the_project_is_the_one_that_is_written() {
        let exe = Path::new(r"C:\Program Files\afterbackup\afterbackup.exe");
        let config = Path::new(r"C:\ProgramData\afterbackup\afterbackup.toml");
        assert_eq!(bat(exe, config, |_| None), include_bytes!("../../deploy/AfterBackup.bat"));
    }

    #[test]
    fn typed_places_do_not_depend_on_where_the_configuration_lies() {
        for place in [r"E:\ConfigMgr_Backup", r"\\backup01\configmgr$", "s3://bucket/prefix", ""] {
            assert_eq!(absolute(place), place);
        }
        assert!(Path::new(&absolute("vault")).is_absolute());
    }

    #[test]
    fn written_configurations_read_back() {
        let answers = Answers {
            snapshot: r"E:\It's here\ConfigMgr_Backup".to_owned(),
            site: Some("XYZ".parse().unwrap()),
            log: Some(r"D:\SMS\Logs\smsbkup.log".to_owned()),
            recipients: vec![],
            others: vec![r"D:\SCCMContentLib".to_owned(), r"C:\It's\new".to_owned()],
            destinations: vec![
                Answer { name: "vault".to_owned(), place: r"\\backup01\configmgr$".to_owned() },
                Answer { name: "offsite".to_owned(), place: "s3://site-archives/configmgr".to_owned() },
            ],
        };
        let text = config_text(&answers);
        let config = Config::from_text(&text, Path::new("/etc/x/afterbackup.toml"), &|_| None).unwrap();
        assert_eq!(config.snapshot.path, Path::new(&answers.snapshot));
        assert_eq!(config.snapshot.site, answers.site);
        assert_eq!(config.snapshot.log.as_deref(), Some(Path::new(r"D:\SMS\Logs\smsbkup.log")));
        assert!(
            matches!(&config.destinations[0].location, Location::Folder(path) if path == Path::new(r"\\backup01\configmgr$"))
        );
        assert!(
            matches!(&config.destinations[1].location, Location::Bucket(bucket) if bucket.url.as_str() == "s3://site-archives/configmgr")
        );
    }

    proptest! {
        #[test]
        fn any_path_reads_back_from_its_quotes(text in any::<String>()) {
            let document = format!("x = {}", quote(&text));
            let table: toml::Table = document.parse().unwrap();
            prop_assert_eq!(table["x"].as_str(), Some(text.as_str()));
        }
    }
}
