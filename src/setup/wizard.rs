//! First configurations: written from answers, with what an existing AfterBackup.bat tells, and the AfterBackup.bat
//! that calls us. Pure functions; the `init` command asks, writes and never overwrites.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

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
    line("#[[supplemental]]");
    line("#name = \"SCUP2011\"");
    line(
        r"#path = 'C:\Users\*\AppData\Local\Microsoft\System Center Updates Publisher 2011\5.00.1727.0000\Scupdb.sdf'",
    );
    line(r"#as = '{1}\Scupdb.sdf'");
    line("");
    line("[archive]");
    line(
        "# A snapshot holds secrets in clear. Make a key pair with age-keygen, keep the secret half elsewhere, and write",
    );
    line("# the public half here:");
    line("#recipients = [\"age1…\"]");
    line("");
    line("# Without this section: last = 7, daily = 14, weekly = 8, monthly = 12, within = \"5 days\"");
    line("#[retention]");
    line("#daily = 14");
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

/// A typed place as it is written into a configuration that may lie elsewhere: paths absolute, addresses as they are.
#[must_use]
pub fn absolute(place: &str) -> String {
    if place.is_empty() || place.contains("://") || paths::is_windows(place) {
        return place.to_owned();
    }
    std::path::absolute(place).map_or_else(|_| place.to_owned(), |path| path.to_string_lossy().into_owned())
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

/// What an existing AfterBackup.bat tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatFindings {
    /// What is copied, in the order of the file, each once. The first is most likely the snapshot.
    pub sources: Vec<String>,
    /// Where to.
    pub targets: Vec<String>,
    /// What is not taken over and why. Never quotes a line: passwords stand in such files.
    pub notes: Vec<String>,
}

/// cmd.exe takes no longer lines either. Also keeps `set A=%A%%A%` from growing without end.
const MAX_LINE: usize = 8191;

/// Reads the Robocopy and xcopy lines of an AfterBackup.bat.
///
/// Not a batch interpreter: lines are read once from top to bottom, both sides of every `if`. What cannot be told is
/// noted, for a human to look at.
#[must_use]
pub fn from_bat(text: &str) -> BatFindings {
    let mut findings = BatFindings::default();
    let mut variables: HashMap<String, String> = HashMap::new();
    for (number, line) in logical_lines(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        let line = line.trim_start_matches(|c: char| c == '@' || c.is_whitespace()).trim_end();
        if line.is_empty() || line.starts_with(':') || is_remark(line) {
            continue;
        }
        let line = expand(line, &variables);
        for command in commands(&line) {
            read_command(number, &command, &mut variables, &mut findings);
        }
    }
    // A folder that is copied on is a stop on the way, not the snapshot.
    let targets: Vec<String> = findings.targets.iter().map(|target| target.to_lowercase()).collect();
    let (staged, sources): (Vec<String>, Vec<String>) =
        findings.sources.drain(..).partition(|source| targets.contains(&source.to_lowercase()));
    findings.sources = sources;
    for stop in staged {
        findings
            .notes
            .push(format!("{stop} is copied on from there: with afterbackup every copy comes from the snapshot"));
    }
    findings
}

/// Lines joined at `^`, with the number of the first.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        let carets = line.len() - line.trim_end_matches('^').len();
        let continues = carets % 2 == 1;
        let part = if continues { line.strip_suffix('^').unwrap_or(line) } else { line };
        match lines.last_mut() {
            Some((_, last)) if open => last.push_str(part.trim_start()),
            _ => lines.push((index + 1, part.to_owned())),
        }
        open = continues;
    }
    lines
}

fn is_remark(line: &str) -> bool {
    let word = line.split(|c: char| c.is_whitespace() || "=,;".contains(c)).next().unwrap_or_default();
    word.eq_ignore_ascii_case("rem") || line.starts_with("::")
}

/// `%NAME%` replaced where NAME has been set in the file; everything else stays as it is.
fn expand(line: &str, variables: &HashMap<String, String>) -> String {
    let mut expanded = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('%') {
        expanded.push_str(before);
        let value = after.split_once('%').and_then(|(name, behind)| {
            let value = variables.get(&name.to_lowercase())?;
            Some((value, behind))
        });
        if let Some((value, behind)) = value {
            expanded.push_str(value);
            rest = behind;
        } else {
            expanded.push('%');
            rest = after;
        }
        if expanded.len() > MAX_LINE {
            return line.to_owned();
        }
    }
    expanded.push_str(rest);
    expanded
}

/// The commands of a line, each as words without quotes and redirections; a switch keeps its slash.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut written = false;
    let mut quoted = false;
    let mut drop_next = false;
    let mut depth = 0_usize;
    let mut previous = ' ';
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let mut end_word = false;
        let mut end_command = false;
        match c {
            '"' => {
                quoted = !quoted;
                written = true;
            }
            c if quoted => word.push(c),
            '^' => word.extend(chars.next()),
            '>' | '<' => {
                // The digit of `2>` belongs to it; of `>&1`, too.
                if word.len() == 1 && word.starts_with(|c: char| c.is_ascii_digit()) {
                    word.clear();
                    written = false;
                }
                end_word = true;
            }
            '&' if previous == '>' => {}
            '&' | '|' => (end_word, end_command) = (true, true),
            // Parentheses group commands only where a command may begin or end.
            '(' if word.is_empty() => {
                depth += 1;
                (end_word, end_command) = (true, true);
            }
            ')' if depth > 0 && chars.peek().is_none_or(|next| next.is_whitespace()) => {
                depth -= 1;
                (end_word, end_command) = (true, true);
            }
            c if c.is_whitespace() => end_word = true,
            c => word.push(c),
        }
        if end_word && (written || !word.is_empty()) {
            let finished = std::mem::take(&mut word);
            if !std::mem::take(&mut drop_next) {
                words.push(finished);
            }
            written = false;
        }
        if !quoted && (c == '>' || c == '<') {
            drop_next = true;
        }
        if end_command {
            drop_next = false;
            if !words.is_empty() {
                commands.push(std::mem::take(&mut words));
            }
        }
        previous = c;
    }
    if (written || !word.is_empty()) && !drop_next {
        words.push(word);
    }
    if !words.is_empty() {
        commands.push(words);
    }
    commands
}

/// Commands whose arguments are text.
const SILENT: [&str; 3] = ["echo", "echo.", "title"];

/// Commands that do nothing by themselves.
const CONTROL: [&str; 17] = [
    "", "if", "else", "goto", "setlocal", "endlocal", "exit", "pause", "cls", "cd", "chdir", "pushd", "popd", "do",
    "chcp", "color", "timeout",
];

/// Commands that a note may name.
const KNOWN: [&str; 24] = [
    "7z",
    "blat",
    "call",
    "copy",
    "cscript",
    "del",
    "erase",
    "eventcreate",
    "for",
    "forfiles",
    "md",
    "mkdir",
    "move",
    "net",
    "powershell",
    "pwsh",
    "rd",
    "rmdir",
    "ren",
    "rename",
    "schtasks",
    "sqlcmd",
    "start",
    "wscript",
];

fn read_command(number: usize, words: &[String], variables: &mut HashMap<String, String>, findings: &mut BatFindings) {
    let Some(first) = words.first() else { return };
    let name = program(first);
    // `if exist E:\x robocopy …`, `for … do robocopy …`, `start /wait robocopy …`: anywhere in the command. Everything
    // behind `echo` and in `set` is text.
    let copy = words.iter().position(|word| matches!(program(word).as_str(), "robocopy" | "xcopy"));
    match (name.as_str(), copy) {
        ("set", _) => set(words, variables),
        (name, Some(at)) if !SILENT.contains(&name) => {
            read_copy(number, words.get(at..).unwrap_or_default(), findings);
        }
        (name, None) if !SILENT.contains(&name) && !CONTROL.contains(&name) => {
            // A password with '&' in it may look like a command: only those that are well known are named.
            let what = if KNOWN.contains(&name) { format!("'{name}'") } else { "a command".to_owned() };
            findings.notes.push(format!("line {number}: {what} is not taken over"));
        }
        _ => {}
    }
}

/// The program a word names: `C:\Windows\System32\Robocopy.exe` → `robocopy`.
fn program(word: &str) -> String {
    let name = word.rsplit(['\\', '/']).next().unwrap_or_default();
    let name = name.trim_start_matches('@').to_lowercase();
    name.strip_suffix(".exe").map_or(name.clone(), str::to_owned)
}

fn set(words: &[String], variables: &mut HashMap<String, String>) {
    // `/a` computes and `/p` asks: neither has a value for us.
    let Some(rest) = words.get(1..).filter(|rest| rest.first().is_some_and(|word| !word.starts_with('/'))) else {
        return;
    };
    let assignment = rest.join(" ");
    if let Some((name, value)) = assignment.split_once('=')
        && value.len() <= MAX_LINE
    {
        variables.insert(name.trim().to_lowercase(), value.trim_end().to_owned());
    }
}

fn read_copy(number: usize, words: &[String], findings: &mut BatFindings) {
    let arguments = words.get(1..).unwrap_or_default();
    let is_switch = |word: &String| word.starts_with('/');
    let mut places = arguments.iter().filter(|word| !is_switch(word));
    let (Some(source), Some(target)) = (places.next(), places.next()) else {
        findings.notes.push(format!("line {number}: a copy without source and target"));
        return;
    };
    if places.next().is_some() {
        findings.notes.push(format!("line {number}: only some files are copied; afterbackup archives all of them"));
    }
    if arguments.iter().any(|word| word.eq_ignore_ascii_case("/mir") || word.eq_ignore_ascii_case("/purge")) {
        findings.notes.push(format!(
            "line {number}: mirrors deletions, so the target has one copy; afterbackup keeps a history in a format of its own: use an empty folder"
        ));
    }
    if arguments.iter().any(|word| word.eq_ignore_ascii_case("/mov") || word.eq_ignore_ascii_case("/move")) {
        findings.notes.push(format!("line {number}: moves the snapshot away; afterbackup leaves it in place"));
    }
    let mut take = |place: &str, what: &str, list: fn(&mut BatFindings) -> &mut Vec<String>| {
        let (path, cut) = known_part(place);
        if cut {
            findings.notes.push(format!(
                "line {number}: the {what} is put together when the file runs; taken up to there, please check"
            ));
        }
        let list = list(findings);
        if !path.is_empty() && !list.iter().any(|other| other.eq_ignore_ascii_case(&path)) {
            list.push(path);
        }
    };
    take(source, "source", |findings| &mut findings.sources);
    take(target, "target", |findings| &mut findings.targets);
}

/// The path up to the first part with a variable or wildcard, and whether a variable cut it short.
fn known_part(place: &str) -> (String, bool) {
    let mut cut = false;
    let mut end = place.len();
    if let Some(at) = place.find(['%', '!', '*', '?']) {
        let before = place.get(..at).unwrap_or_default();
        cut = place.get(at..).is_some_and(|rest| rest.starts_with(['%', '!']));
        end = before.rfind(['\\', '/']).map_or(0, |separator| separator + 1);
    }
    let path = place.get(..end).unwrap_or_default();
    let trimmed = path.trim_end_matches(['\\', '/']);
    // `E:\` is not `E:`.
    let path =
        if trimmed.ends_with(':') && trimmed.len() < path.len() { format!("{trimmed}\\") } else { trimmed.to_owned() };
    (path, cut)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Config, Location};

    fn found(text: &str) -> (Vec<String>, Vec<String>) {
        let findings = from_bat(text);
        (findings.sources, findings.targets)
    }

    fn pair(source: &str, target: &str) -> (Vec<String>, Vec<String>) {
        (vec![source.to_owned()], vec![target.to_owned()])
    }

    #[test]
    fn the_example_of_the_documentation_is_understood() {
        let findings = from_bat("Robocopy E:\\ConfigMgr_Backup \\\\ServerName\\ShareName\\ConfigMgr_Backup /MIR\r\n");
        assert_eq!(findings.sources, [r"E:\ConfigMgr_Backup"]);
        assert_eq!(findings.targets, [r"\\ServerName\ShareName\ConfigMgr_Backup"]);
        insta::assert_snapshot!(findings.notes.join("\n"), @"line 1: mirrors deletions, so the target has one copy; afterbackup keeps a history in a format of its own: use an empty folder");
    }

    #[test]
    fn variables_quotes_continuations_and_remarks_are_read() {
        let text = r#"@echo off
setlocal
rem robocopy C:\wrong D:\wrong
:: xcopy C:\wrong D:\wrong
set SRC=E:\SCCM Backup
set "DST=\\nas01\cm$"
SET Full=%dst%\P01
@"%windir%\System32\Robocopy.exe" "%SRC%" ^
    "%FULL%" ^
    /E /R:2 /LOG:"C:\logs\a b.log" >nul 2>&1
if errorlevel 8 goto failed
exit /b 0
:failed
echo robocopy C:\wrong D:\wrong failed & exit /b 1
"#;
        assert_eq!(found(text), pair(r"E:\SCCM Backup", r"\\nas01\cm$\P01"));
        assert_eq!(from_bat(text).notes, Vec::<String>::new());
    }

    #[test]
    fn copies_inside_conditions_and_loops_are_found() {
        assert_eq!(found(r"if exist E:\B (robocopy E:\B F:\V /e)"), pair(r"E:\B", r"F:\V"));
        assert_eq!(found(r"IF EXIST E:\B xcopy E:\B\*.* F:\V\ /s /y > x.log"), pair(r"E:\B", r"F:\V"));
        assert_eq!(found(r"cd /d C:\ && start /wait robocopy E:\B F:\V"), pair(r"E:\B", r"F:\V"));
        assert_eq!(found(r"> x.log robocopy E:\B F:\V"), pair(r"E:\B", r"F:\V"));
        assert_eq!(found(r"xcopy E:\ F:\V"), pair(r"E:\", r"F:\V"));
        assert_eq!(found(r"xcopy E:\B(1) F:\V"), pair(r"E:\B(1)", r"F:\V"));
    }

    #[test]
    fn what_is_only_known_when_it_runs_is_cut_off_and_noted() {
        let findings = from_bat("robocopy E:\\B \\\\nas\\cm\\%date:~0,4%-%date:~4,2%\\x\nset A=%A%%A%x\nset A=%A%%A%x");
        assert_eq!(findings.targets, [r"\\nas\cm"]);
        insta::assert_snapshot!(findings.notes.join("\n"), @"line 1: the target is put together when the file runs; taken up to there, please check");
    }

    #[test]
    fn other_commands_are_noted_without_their_arguments() {
        let findings = from_bat(
            "net use Z: \\\\nas\\cm /user:CONTOSO\\svc hunter2\nrd /s /q Z:\\old\nrobocopy E:\\B D:\\Stage /MIR\nrobocopy D:\\Stage Z:\\ /MIR\npowershell -File mail.ps1\nnet use Y: pass&hunter2",
        );
        assert_eq!(findings.sources, [r"E:\B"]);
        let notes = findings.notes.join("\n");
        assert!(!notes.contains("hunter2"));
        insta::assert_snapshot!(notes, @r"
        line 1: 'net' is not taken over
        line 2: 'rd' is not taken over
        line 3: mirrors deletions, so the target has one copy; afterbackup keeps a history in a format of its own: use an empty folder
        line 4: mirrors deletions, so the target has one copy; afterbackup keeps a history in a format of its own: use an empty folder
        line 5: 'powershell' is not taken over
        line 6: 'net' is not taken over
        line 6: a command is not taken over
        D:\Stage is copied on from there: with afterbackup every copy comes from the snapshot
        ");
    }

    #[test]
    fn growing_variables_stay_bounded() {
        let text = format!("set A=x\n{}robocopy %A% F:\\V", "set A=%A%%A%\n".repeat(200));
        assert!(from_bat(&text).sources.iter().all(|source| source.len() <= MAX_LINE));
    }

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
        fn any_batch_file_is_read_without_panic(text in "(set |robocopy |xcopy |rem |[%^\"&|<>()!*:\\\\/ =a-cé\r\n0-9]){0,80}") {
            let _findings = from_bat(&text);
        }

        #[test]
        fn any_text_is_read_without_panic(text in any::<String>()) {
            let _findings = from_bat(&text);
            let _quoted = quote(&text);
        }

        #[test]
        fn any_path_reads_back_from_its_quotes(text in any::<String>()) {
            let document = format!("x = {}", quote(&text));
            let table: toml::Table = document.parse().unwrap();
            prop_assert_eq!(table["x"].as_str(), Some(text.as_str()));
        }
    }
}
