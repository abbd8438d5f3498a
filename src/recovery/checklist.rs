//! What has to be done around a recovery, as a list to tick off: before Setup, Setup itself, and everything that Setup
//! does not bring back.
//!
//! The list is data; it is rendered as Markdown and as one HTML page that needs nothing else, remembers its ticks in
//! the browser and prints well. Names come from archives and from the command line, so everything is escaped.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::facts::{ArchiveFacts, DatabaseSource, Soundness};
use super::keys::{SiteType, Source};
use crate::name::ArchiveId;

/// What the list is to be about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The archive.
    pub facts: &'a ArchiveFacts,
    /// The site.
    pub site_type: SiteType,
    /// Options that commands need to find archives, such as `--destination X`.
    pub place: &'a str,
    /// The folder that is fetched to.
    pub to: &'a str,
    /// What else there is to bring back.
    pub extras: &'a [Extra],
    /// When the list is made.
    pub now: Timestamp,
}

/// Files beside the snapshot: in the archive itself or in one of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Extra {
    /// Name of the source.
    pub name: String,
    /// The archive that holds them.
    pub archive: ArchiveId,
    /// The folder in the archive.
    pub folder: String,
    /// Where they came from, and their path in the archive. Empty where that is not known.
    pub origins: Vec<Origin>,
}

/// Where something in the archive came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// Path in the archive.
    pub path: String,
    /// Is it a folder?
    pub folder: bool,
    /// Where it was.
    pub from: String,
}

/// The list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checklist {
    /// Its heading.
    pub title: String,
    /// The archive it is about.
    pub archive: ArchiveId,
    /// When it was made.
    pub made: Timestamp,
    /// Lines below the heading.
    pub about: Vec<String>,
    /// Its parts.
    pub sections: Vec<Section>,
}

/// A part of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// What is to be done, in order.
    pub items: Vec<Item>,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What.
    pub text: String,
    /// Commands or queries for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// Who says so.
    pub source: Source,
}

/// Makes the list.
#[must_use]
pub fn checklist(subject: &Subject<'_>) -> Checklist {
    let facts = subject.facts;
    let site = facts.id.site();
    let verdict = match &facts.soundness {
        Soundness::Sound => "its database is sound, and its files belong together".to_owned(),
        Soundness::Damaged(why) => format!("ITS DATABASE IS DAMAGED: {why}"),
        Soundness::Unproven(why) => format!("that its database is sound is not proven: {why}"),
    };
    let mut sections = vec![
        Section { title: "Before Setup".into(), items: before(subject) },
        Section { title: "Setup".into(), items: setup(subject) },
        Section { title: "After Setup".into(), items: after(subject) },
    ];
    let extras: Vec<Item> = subject.extras.iter().map(|extra| bring_back(subject, extra)).collect();
    if !extras.is_empty() {
        sections.push(Section { title: "Files beside the snapshot".into(), items: extras });
    }
    sections.push(Section { title: "Backups again".into(), items: again() });
    Checklist {
        title: format!("Recovery of site {site}"),
        archive: facts.id.clone(),
        made: subject.now,
        about: vec![
            format!("A {}.", subject.site_type),
            format!("Archive {}, completed {}; {verdict}.", facts.id, facts.completed),
        ],
        sections,
    }
}

fn item(text: impl Into<String>, source: Source) -> Item {
    Item { text: text.into(), commands: vec![], source }
}

fn with(text: impl Into<String>, commands: Vec<String>, source: Source) -> Item {
    Item { text: text.into(), commands, source }
}

/// An argument, in quotes that both cmd.exe and a shell understand, where it needs them.
fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:~@".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) { argument.to_owned() } else { format!("\"{argument}\"") }
}

fn place(subject: &Subject<'_>) -> String {
    if subject.place.is_empty() { String::new() } else { format!(" {}", subject.place) }
}

fn join(folder: &str, below: &str) -> String {
    let is_windows = !folder.starts_with('/');
    let separator = if is_windows { '\\' } else { '/' };
    let below = if is_windows { below.replace('/', "\\") } else { below.to_owned() };
    format!("{}{separator}{below}", folder.trim_end_matches(['\\', '/']))
}

fn before(subject: &Subject<'_>) -> Vec<Item> {
    let facts = subject.facts;
    let (id, place, to) = (&facts.id, place(subject), quoted(subject.to));
    let flag = match subject.site_type {
        SiteType::Cas => "cas",
        SiteType::Primary => "primary",
        SiteType::ChildPrimary => "child-primary",
    };
    let mut items = vec![
        with(
            "Read what recovery from this archive means.",
            vec![format!("afterbackup recover plan {id} --site-type {flag}{place}")],
            Source::Experience,
        ),
        with(
            "Fetch the archive; every file is compared with its SHA-256.",
            vec![format!("afterbackup fetch {id} --to {to}{place}")],
            Source::Experience,
        ),
    ];
    if facts.encrypted {
        items.push(item(
            "Have the secret key at hand: the archive is encrypted, and every command needs --identity FILE.",
            Source::Experience,
        ));
    }
    let version = facts
        .sql_server()
        .map_or_else(String::new, |version| format!(" The database was last written by SQL Server {version}."));
    items.push(item(format!("Install SQL Server in the same edition and the same version as before (newer documentation allows a newer version).{version}"), Source::Options));
    items.push(item("Make sure that SQL Server is not in single-user mode.", Source::Options));
    match facts.database {
        DatabaseSource::Files => {
            items.push(item("Make sure that the site database does not exist yet: the restore would fail.", Source::Options));
            if !facts.files.is_empty() {
                let files: Vec<String> = facts.files.iter().map(|file| quoted(&join(subject.to, &file.path))).collect();
                items.push(with("Check the database files once more: Setup does not.", vec![format!("afterbackup check-db {}", files.join(" "))], Source::Options));
            }
        }
        DatabaseSource::Backups => items.push(item(
            "Restore the database by hand: full and differential backup WITH NORECOVERY, then the log backups in the order of their times, the last one WITH RECOVERY. Then use DatabaseRecoveryOptions=20.",
            Source::Options,
        )),
        DatabaseSource::None => items.push(item("The archive holds no site database: bring it from elsewhere, or use DatabaseRecoveryOptions=80 if it is in order on another computer.", Source::Options)),
    }
    items
}

fn setup(subject: &Subject<'_>) -> Vec<Item> {
    let facts = subject.facts;
    let (id, place) = (&facts.id, place(subject));
    let mut items = Vec::new();
    let cd = if let Some(cd) = &facts.cd_latest {
        let folder = join(subject.to, &cd.folder);
        items.push(item(format!("Setup runs from a copy of CD.Latest outside the installation folder. The fetched one is such a copy: {folder}"), Source::Options));
        folder
    } else {
        items.push(item("The archive holds no CD.Latest: get the folder of the very same version, and copy it to a place outside the installation folder.", Source::Options));
        "CD.Latest".to_owned()
    };
    let script = join(subject.to, &format!("{}.ini", id.site()));
    items.push(with(
        "Write the script for Setup, and check it.",
        vec![
            format!(
                "afterbackup recover script {id} --answers answers.toml --fetched-to {} --output {}{place}",
                quoted(subject.to),
                quoted(&script)
            ),
            format!("afterbackup recover check {}", quoted(&script)),
        ],
        Source::Keys,
    ));
    items.push(item("If any of these folders is on a share, map a drive first.", Source::Options));
    items.push(with(
        "Run Setup with the full path of the script.",
        vec![format!("{} /script {}", quoted(&join(&cd, "SMSSETUP/BIN/X64/setup.exe")), quoted(&script))],
        Source::Options,
    ));
    items.push(item("Remove the script: it holds the product key.", Source::Experience));
    items
}

fn after(subject: &Subject<'_>) -> Vec<Item> {
    let todo = |text: &str| item(text, Source::Options);
    let mut items = vec![
        todo(r"Enter the passwords of user accounts again. C:\ConfigMgrPostRecoveryActions.html lists the accounts."),
        todo("Enter the sideloading keys again."),
        todo("Create the Intune subscription again."),
        todo("Configure SSL for site system roles that use IIS."),
        todo("Reinstall hotfixes."),
        todo(
            "Restore custom reports on Reporting Services: its databases and files, custom assemblies, and the encryption key.",
        ),
        todo(
            "Restore content files: the content library and package sources to their original places, or by prestaged content, or by updating content.",
        ),
        todo("Restore the Updates Publisher database of each user profile."),
        todo("Restore the folders of user state migration, named in the properties of the state migration point."),
        todo(
            "Generate the certificates of distribution points again. distmgr.log shows 'Failed to decrypt cert PFX data' for those that need it.",
        ),
        todo("Update the certificates of cloud-based distribution points."),
        todo("Configure database replicas again: publications and subscriptions."),
    ];
    if subject.site_type == SiteType::Cas {
        items.push(with(
            "Check that the queue ConfigMgrDRSSiteQueue is enabled for receiving: the query has to show 1.",
            vec!["SELECT name, is_receive_enabled FROM sys.service_queues WHERE name = 'ConfigMgrDRSSiteQueue'".into()],
            Source::Options,
        ));
    } else {
        items.push(todo("Recover secondary sites from the console (Recover Secondary Site): they have no backup."));
    }
    items
}

/// The lines that put files back where they were.
fn bring_back(subject: &Subject<'_>, extra: &Extra) -> Item {
    let place = place(subject);
    let mut commands = vec![format!(
        "afterbackup fetch {} {} --to {}{place}",
        extra.archive,
        quoted(&extra.folder),
        quoted(subject.to)
    )];
    for origin in &extra.origins {
        let fetched = join(subject.to, &origin.path);
        commands.push(copy_line(&fetched, origin));
    }
    let text = if extra.origins.is_empty() {
        format!("{}: fetch, and copy back to where it was (the archive does not say where).", extra.name)
    } else {
        format!("{}: fetch, and copy back to where it was.", extra.name)
    };
    with(text, commands, Source::Experience)
}

/// The line that copies one file or folder back, in the shell of the system it came from.
fn copy_line(fetched: &str, origin: &Origin) -> String {
    let from = &origin.from;
    if from.starts_with('/') {
        let parent = from.rsplit_once('/').map_or("/", |(parent, _)| if parent.is_empty() { "/" } else { parent });
        let contents = if origin.folder { "/." } else { "" };
        let target = if origin.folder { from.as_str() } else { parent };
        return format!("mkdir -p {} && cp -a {} {}", sh(target), sh(&format!("{fetched}{contents}")), sh(from));
    }
    if origin.folder {
        return format!("robocopy {} {} /E /COPY:DAT /DCOPY:T", quoted(fetched), quoted(from));
    }
    let split = |path: &str| {
        path.rsplit_once('\\').map_or((String::new(), path.to_owned()), |(a, b)| (a.to_owned(), b.to_owned()))
    };
    let ((folder, name), (target, old_name)) = (split(fetched), split(from));
    if name == old_name {
        format!("robocopy {} {} {} /COPY:DAT", quoted(&folder), quoted(&target), quoted(&name))
    } else {
        format!("copy /Y {} {}", quoted(fetched), quoted(from))
    }
}

/// An argument for a shell of Unix, which takes everything in single quotes as it is.
fn sh(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

fn again() -> Vec<Item> {
    vec![
        item(
            "Switch the backup task on again (Backup Site Server; off by default on a primary site), at least every 5 days, in a hierarchy at least twice a week.",
            Source::Options,
        ),
        item(
            r"Put back Inboxes\smsbkup.box\AfterBackup.bat, and smsbkup.ctl if it was changed, in the installation folder.",
            Source::Options,
        ),
        with(
            "Put back the configuration of afterbackup, and look whether it works.",
            vec!["afterbackup status".into()],
            Source::Experience,
        ),
    ]
}

impl Checklist {
    /// As Markdown, with boxes to tick.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = format!("# {}\n\n", markdown(&self.title));
        for line in &self.about {
            // Writing to a string cannot fail.
            writeln!(text, "{}  ", markdown(line)).ok();
        }
        for section in &self.sections {
            write!(text, "\n## {}\n\n", markdown(&section.title)).ok();
            for item in &section.items {
                writeln!(text, "- [ ] {}", markdown(&item.text)).ok();
                if !item.commands.is_empty() {
                    // A fence longer than any run of backticks in it.
                    let ticks = item.commands.iter().map(|one| longest_run(one)).max().unwrap_or(0);
                    let fence = "`".repeat(3.max(ticks + 1));
                    writeln!(text, "  {fence}").ok();
                    for command in &item.commands {
                        writeln!(text, "  {}", one_line(command)).ok();
                    }
                    writeln!(text, "  {fence}").ok();
                }
            }
        }
        let made = self.made.strftime("%Y-%m-%d %H:%M UTC");
        writeln!(text, "\nMade {made} by afterbackup {}.", env!("CARGO_PKG_VERSION")).ok();
        text
    }

    /// As one HTML page.
    #[must_use]
    pub fn to_html(&self) -> String {
        let mut body = format!("<h1>{}</h1>\n", html(&self.title));
        for line in &self.about {
            writeln!(body, "<p>{}</p>", html(line)).ok();
        }
        body.push_str("<p id=\"count\" role=\"status\"></p>\n");
        let mut number = 0;
        for section in &self.sections {
            writeln!(body, "<section>\n<h2>{}</h2>\n<ul>", html(&section.title)).ok();
            for item in &section.items {
                number += 1;
                writeln!(
                    body,
                    "<li><label><input type=\"checkbox\" id=\"item-{number}\"> <span>{}</span></label>",
                    html(&item.text)
                )
                .ok();
                if !item.commands.is_empty() {
                    let commands: Vec<String> = item.commands.iter().map(|command| html(&one_line(command))).collect();
                    writeln!(body, "<pre>{}</pre>", commands.join("\n")).ok();
                }
                body.push_str("</li>\n");
            }
            body.push_str("</ul>\n</section>\n");
        }
        let made = self.made.strftime("%Y-%m-%d %H:%M UTC");
        writeln!(body, "<footer>Made {made} by afterbackup {}.</footer>", html(env!("CARGO_PKG_VERSION"))).ok();
        let title = html(&format!("{} from {}", self.title, self.archive));
        let key = html(&format!("afterbackup-checklist-{}", self.archive));
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body data-key=\"{key}\">\n<main>\n{body}</main>\n<script>\n{CODE}</script>\n</body>\n</html>\n"
        )
    }
}

fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        if "\\`*_[]<>#|~&".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

const STYLE: &str = "\
:root { color-scheme: light dark; }
body { margin: 0; font: 16px/1.5 system-ui, 'Segoe UI', sans-serif; }
main { max-width: 52rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0.5rem 0; }
h2 { font-size: 1.2rem; margin: 1.5rem 0 0.5rem; border-bottom: 1px solid; }
ul { list-style: none; margin: 0; padding: 0; }
li { margin: 0.5rem 0; break-inside: avoid; }
label { display: flex; gap: 0.6rem; align-items: baseline; cursor: pointer; }
label span { overflow-wrap: anywhere; min-width: 0; }
input { flex: none; width: 1.1rem; height: 1.1rem; transform: translateY(0.15rem); }
input:checked + span { text-decoration: line-through; opacity: 0.65; }
pre { margin: 0.3rem 0 0.3rem 1.7rem; padding: 0.5rem; border: 1px solid; border-radius: 4px; font-size: 0.85rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
footer { margin-top: 2rem; font-size: 0.85rem; }
@media print {
  :root { color-scheme: light; }
  body { font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  h2 { break-after: avoid; }
  pre { font-size: 8.5pt; }
  #count { display: none; }
}
";

/// Ticks are kept by archive; without storage, as in some browsers for local files, the page works and forgets.
const CODE: &str = "\
'use strict';
(function () {
  var key = document.body.dataset.key;
  var boxes = Array.prototype.slice.call(document.querySelectorAll('input[type=checkbox]'));
  var done = {};
  try { done = JSON.parse(localStorage.getItem(key)) || {}; } catch (e) { done = {}; }
  function count() {
    var ticked = boxes.filter(function (box) { return box.checked; }).length;
    document.getElementById('count').textContent = ticked + ' of ' + boxes.length + ' done';
  }
  boxes.forEach(function (box) {
    box.checked = done[box.id] === true;
    box.addEventListener('change', function () {
      done[box.id] = box.checked;
      try { localStorage.setItem(key, JSON.stringify(done)); } catch (e) { }
      count();
    });
  });
  count();
})();
";

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> ArchiveFacts {
        let id: ArchiveId = "XYZ-20261122T235900Z".parse().unwrap();
        ArchiveFacts {
            completed: id.stamp(),
            id,
            bytes: 1,
            unpacked_bytes: 2,
            encrypted: false,
            backup_folder: Some("XYZBackup".into()),
            database_folder: Some("XYZBackup".into()),
            has_site: true,
            database: DatabaseSource::Files,
            cd_latest: None,
            files: vec![],
            soundness: Soundness::Sound,
            supplemental: vec![],
        }
    }

    fn make(facts: &ArchiveFacts, site_type: SiteType, extras: &[Extra]) -> Checklist {
        let now = "2026-11-25T00:00:00Z".parse().unwrap();
        checklist(&Subject { facts, site_type, place: "", to: r"E:\Restore", extras, now })
    }

    fn evil() -> Vec<Extra> {
        let name = "<script>alert(1)</script>\"'&`*_\n# x";
        let origins = vec![Origin { path: format!("Supplemental/{name}"), folder: true, from: format!("C:\\{name}") }];
        vec![Extra { name: name.into(), archive: facts().id, folder: format!("Supplemental/{name}"), origins }]
    }

    #[test]
    fn everything_is_escaped() {
        let list = make(&facts(), SiteType::Primary, &evil());
        let page = list.to_html();
        assert_eq!(page.matches("<script>").count(), 1);
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"));
        let text = list.to_markdown();
        assert!(text.contains(r"\<script\>alert(1)\</script\>") && !text.contains("\n# x"), "{text}");
        let fences =
            text.lines().filter(|line| line.trim_start().starts_with("```") && line.trim().chars().all(|c| c == '`'));
        assert_eq!(fences.count() % 2, 0);
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let page = make(&facts(), SiteType::Cas, &[]).to_html();
        for word in ["http:", "https:", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(word), "{word}");
        }
    }

    #[test]
    fn the_list_is_tailored_to_the_site_and_whole() {
        let text = |site| make(&facts(), site, &[]).to_markdown().replace('\\', "");
        let (cas, primary) = (text(SiteType::Cas), text(SiteType::Primary));
        assert!(cas.contains("ConfigMgrDRSSiteQueue") && !primary.contains("ConfigMgrDRSSiteQueue"));
        assert!(primary.contains("Recover Secondary Site") && !cas.contains("Recover Secondary Site"));
        // Everything that Microsoft's list of actions after a recovery has.
        for words in [
            "passwords",
            "ConfigMgrPostRecoveryActions.html",
            "sideloading keys",
            "Intune subscription",
            "SSL",
            "hotfixes",
            "custom reports",
            "content library",
            "package sources",
            "prestaged",
            "Updates Publisher database of each user profile",
            "user state migration",
            "certificates of distribution points",
            "Failed to decrypt cert PFX data",
            "cloud-based distribution points",
            "database replicas",
        ] {
            assert!(cas.contains(words) && primary.contains(words), "{words}");
        }
    }

    #[test]
    fn files_are_copied_back_where_they_were_in_the_words_of_their_system() {
        let origin = |folder, path: &str, from: &str| Origin { path: path.into(), folder, from: from.into() };
        for (to, origin, expected) in [
            (
                r"E:\R",
                origin(true, "Supplemental/C/SCCMContentLib", r"D:\SCCMContentLib"),
                r#"robocopy "E:\R\Supplemental\C\SCCMContentLib" "D:\SCCMContentLib" /E /COPY:DAT /DCOPY:T"#,
            ),
            (
                r"E:\R",
                origin(false, "Supplemental/S/a b/x.sdf", r"C:\Users\a b\x.sdf"),
                r#"robocopy "E:\R\Supplemental\S\a b" "C:\Users\a b" x.sdf /COPY:DAT"#,
            ),
            (r"E:\R", origin(false, "Supplemental/S/y", r"C:\x.sdf"), r#"copy /Y "E:\R\Supplemental\S\y" "C:\x.sdf""#),
            ("/r", origin(true, "Supplemental/C/L", "/srv/L"), "mkdir -p /srv/L && cp -a /r/Supplemental/C/L/. /srv/L"),
            (
                "/r",
                origin(false, "Supplemental/S/it's", "/home/a/x"),
                r"mkdir -p /home/a && cp -a '/r/Supplemental/S/it'\''s' /home/a/x",
            ),
        ] {
            assert_eq!(copy_line(&join(to, &origin.path), &origin), expected);
        }
    }
}
