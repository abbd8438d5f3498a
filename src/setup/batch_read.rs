//! What an existing AfterBackup.bat copies, and where to.
//!
//! What is found goes into a configuration that a service reads, as another account and from another folder. So a place
//! is taken only as what it leads to: variables, drives that the script maps and folders that it changes to are
//! followed. What only the running script knows ends a path at the folder before it, and where nothing is left, the
//! copy is ignored, with its line and the reason. That a script has no copy is said only of one that has none.
//!
//! Not a batch interpreter: both sides of an `if` are read, unless it can be decided. A variable that has one of
//! several values counts as unknown.

use std::collections::{HashMap, HashSet};

pub use super::batch_findings::{BatFindings, Copies, Copy};
use super::batch_lex::{Command, Item, MAX_LINE, UNKNOWN, expand, is_remark, items, logical_lines};
use super::batch_paths::{Places, trimmed};
use super::batch_words::{
    CONTROL, KNOWN, SILENT, TEXT, When, bare, both, condition, expand_protecting_loops, label, mentions_copy, program,
    split_list,
};
/// Reads the Robocopy and xcopy lines of an AfterBackup.bat.
#[must_use]
pub fn from_bat(text: &str) -> BatFindings {
    let lines = logical_lines(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut reader = Reader::new(&lines);
    reader.read(0, lines.len(), 0);
    let mut findings = reader.findings;
    let mut noted = HashSet::new();
    findings.notes.retain(|note| noted.insert(note.clone()));
    findings
}
/// Steps and depth that no honest script needs.
const MAX_STEPS: usize = 20_000;
const MAX_DEPTH: usize = 8;
struct Reader<'t> {
    lines: &'t [(usize, String)],
    labels: HashMap<String, usize>,
    /// Labels that `goto` names.
    jumped_to: HashSet<String>,
    variables: HashMap<String, String>,
    /// What `%NAME%` means inside a group: cmd.exe expands it when the group begins.
    at_group: Option<HashMap<String, String>>,
    /// Counts what may change the way through the script.
    flow: usize,
    set_at: HashMap<String, usize>,
    /// Texts for `%%d` and `%1`.
    texts: Vec<(String, String)>,
    places: Places,
    groups: Vec<When>,
    steps: usize,
    findings: BatFindings,
}

impl<'t> Reader<'t> {
    fn new(lines: &'t [(usize, String)]) -> Self {
        let mut labels = HashMap::new();
        let mut jumped_to = HashSet::new();
        for (index, (_, line)) in lines.iter().enumerate() {
            let line = bare(line);
            if let Some(name) = label(line) {
                labels.entry(name).or_insert(index);
            }
            let lower = line.to_lowercase();
            for (at, _) in lower.match_indices("goto") {
                let rest = lower.get(at + 4..).unwrap_or_default().trim_start_matches([' ', ':']);
                let name = rest.split(|c: char| c.is_whitespace() || "&|)(".contains(c)).next().unwrap_or_default();
                jumped_to.insert(name.to_owned());
            }
        }
        Self {
            lines,
            labels,
            jumped_to,
            variables: HashMap::new(),
            at_group: None,
            flow: 0,
            set_at: HashMap::new(),
            texts: Vec::new(),
            places: Places::default(),
            groups: Vec::new(),
            steps: 0,
            findings: BatFindings::default(),
        }
    }

    fn note(&mut self, number: usize, what: &str) {
        self.findings.notes.push(format!("line {number}: {what}"));
    }

    /// A copy that is ignored.
    fn refuse(&mut self, number: usize, why: &str) {
        self.findings.unread += 1;
        self.note(number, &format!("a copy is ignored: {why}"));
    }

    /// Reads lines; ends early where a subroutine returns.
    fn read(&mut self, from: usize, to: usize, depth: usize) {
        let lines = self.lines;
        let mut index = from;
        // Behind an unconditional `goto` or `exit`, up to a label that something jumps to.
        let mut unreachable = false;
        while index < to {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return;
            }
            let Some((number, line)) = lines.get(index) else { return };
            let (number, line) = (*number, bare(line));
            index += 1;
            if line.is_empty() || is_remark(line) {
                continue;
            }
            if let Some(name) = label(line) {
                self.flow += 1;
                // A subroutine is read where it is called.
                if index > from + 1 && unreachable {
                    if depth > 0 && !self.jumped_to.contains(&name) {
                        return;
                    }
                    unreachable = !self.jumped_to.contains(&name) && self.is_called(&name);
                }
                continue;
            }
            if unreachable {
                continue;
            }
            let line = self.with_texts(line);
            if let Some((variable, values)) = self.many(&line) {
                let end = self.end_of_group(index - 1, &line);
                let (groups, at_group) = (self.groups.clone(), self.at_group.clone());
                for value in values {
                    self.texts.push((variable.clone(), value));
                    self.read_line(number, &self.with_texts(&line), depth, true);
                    self.read(index, end, depth);
                    self.texts.pop();
                    (self.groups, self.at_group) = (groups.clone(), at_group.clone());
                }
                index = index.max(end);
                continue;
            }
            unreachable = self.read_line(number, &line, depth, false);
            if unreachable && depth > 0 && !self.groups.contains(&When::Perhaps) {
                // `exit /b` or `goto :eof`; another `goto` goes on elsewhere in the subroutine.
                if !line.to_lowercase().contains("goto") || line.to_lowercase().contains(":eof") {
                    return;
                }
            }
        }
    }

    fn is_called(&self, name: &str) -> bool {
        let call = format!("call :{name}");
        self.lines.iter().any(|(_, line)| line.to_lowercase().contains(&call))
    }

    fn with_texts(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (name, value) in self.texts.iter().rev() {
            line = line.replace(name.as_str(), value);
            if let Some(bare) = name.strip_prefix("%%") {
                line = line.replace(&format!("%%~{bare}"), value.trim_matches('"'));
            } else if let Some(bare) = name.strip_prefix('%') {
                line = line.replace(&format!("%~{bare}"), value.trim_matches('"'));
            }
            if line.len() > MAX_LINE {
                return String::new();
            }
        }
        line
    }

    /// The variable and the values of a loop over things that are written in its line.
    fn many(&self, line: &str) -> Option<(String, Vec<String>)> {
        let expanded = expand_protecting_loops(line, self.at_group.as_ref().unwrap_or(&self.variables));
        let found = items(&expanded, self.groups.len());
        let command = found.iter().find_map(|item| match item {
            Item::Command(command) if command.words.iter().any(|word| word.eq_ignore_ascii_case("for")) => {
                Some(command)
            }
            _ => None,
        })?;
        let at = command.words.iter().position(|word| word.eq_ignore_ascii_case("for"))?;
        let variable = command.words.get(at + 1).filter(|word| word.starts_with("%%") && word.chars().count() == 3)?;
        command.words.get(at + 2).filter(|word| word.eq_ignore_ascii_case("in"))?;
        let list = command.raw.split_once('(')?.1.split_once(')')?.0;
        let values: Vec<String> = split_list(list);
        let known = |value: &String| !value.contains(['*', '?', '%', '!', UNKNOWN]);
        (!values.is_empty() && values.len() <= 20 && values.iter().all(known)).then(|| (variable.clone(), values))
    }

    /// The line behind the group that this one opens.
    fn end_of_group(&self, index: usize, line: &str) -> usize {
        let count = |line: &str, depth: usize| {
            items(line, depth).iter().fold(depth, |depth, item| match item {
                Item::Open => depth + 1,
                Item::Close => depth.saturating_sub(1),
                Item::Command(_) => depth,
            })
        };
        let mut depth = count(line, 0);
        let mut next = index + 1;
        while depth > 0 && next < self.lines.len() {
            depth = self.lines.get(next).map_or(0, |(_, line)| count(bare(line), depth));
            next += 1;
        }
        next
    }

    /// Reads a line. `true` if nothing behind it is reached.
    fn read_line(&mut self, number: usize, line: &str, depth: usize, in_loop: bool) -> bool {
        let line = expand(line, '%', self.at_group.as_ref().unwrap_or(&self.variables));
        let before = (self.findings.copies.len(), self.findings.unread);
        let mut ends = false;
        let mut opens = When::Always;
        let mut silent = false;
        let mut never = false;
        for item in items(&line, self.groups.len()) {
            match item {
                Item::Open => {
                    if self.groups.is_empty() {
                        self.at_group = Some(self.variables.clone());
                    }
                    let outer = self.groups.last().copied().unwrap_or(When::Always);
                    self.groups.push(both(outer, opens));
                    opens = When::Always;
                }
                Item::Close => {
                    self.groups.pop();
                    if self.groups.is_empty() {
                        self.at_group = None;
                    }
                }
                Item::Command(command) => {
                    let outer = self.groups.last().copied().unwrap_or(When::Always);
                    let (when, rest, bare) = condition(&command, &self.variables);
                    let when = if in_loop && when == When::Perhaps { When::Always } else { when };
                    if bare {
                        opens = when;
                        continue;
                    }
                    let when = both(outer, when);
                    if when == When::Never {
                        never = true;
                        continue;
                    }
                    let name = program(command.words.get(rest).map_or("", String::as_str));
                    silent |= SILENT.contains(&name.as_str()) || TEXT.contains(&name.as_str());
                    ends |= self.command(number, &command, rest, when, depth) && when == When::Always;
                }
            }
        }
        let lower = line.to_lowercase();
        let mentions = lower.contains("robocopy") || lower.contains("xcopy");
        if mentions
            && !silent
            && !never
            && before == (self.findings.copies.len(), self.findings.unread)
            && mentions_copy(&line)
        {
            self.refuse(number, "the command cannot be read");
        }
        ends
    }

    /// Reads a command. `true` if it ends the script, or goes on elsewhere.
    fn command(&mut self, number: usize, command: &Command, at: usize, when: When, depth: usize) -> bool {
        let words: Vec<String> = command.words.get(at..).unwrap_or_default().iter().map(|w| self.late(w)).collect();
        let Some(first) = words.first() else { return false };
        let name = program(first);
        if SILENT.contains(&name.as_str()) {
            return false;
        }
        let copy = words.iter().position(|word| matches!(program(word).as_str(), "robocopy" | "xcopy"));
        match name.as_str() {
            "set" => self.set(&words, when),
            "goto" | "exit" => {
                self.flow += 1;
                return true;
            }
            "cd" | "chdir" | "pushd" | "popd" => self.change_folder(&name, &words, when),
            "net" | "subst" => {
                let maps = self.map_drive(&name, &words);
                if !maps {
                    self.note(number, &format!("'{name}' is ignored"));
                }
            }
            "call" if words.get(1).is_some_and(|word| word.starts_with(':')) => self.call(&words, depth),
            "cmd" | "powershell" | "pwsh" => self.shell(number, &name, command, at, depth),
            _ if first.len() == 2 && first.ends_with(':') => self.places.folder = None,
            _ if copy.is_some() => self.copy(number, words.get(copy.unwrap_or(0)..).unwrap_or_default()),
            _ if CONTROL.contains(&name.as_str()) => {}
            _ => {
                // A password with '&' in it may look like a command: only those that are well known are named.
                let what = if KNOWN.contains(&name.as_str()) { format!("'{name}'") } else { "a command".to_owned() };
                self.note(number, &format!("{what} is ignored"));
            }
        }
        false
    }

    /// `!NAME!` of delayed expansion: as it is when the command is carried out.
    fn late(&self, word: &str) -> String {
        if word.contains('!') { expand(word, '!', &self.variables) } else { word.to_owned() }
    }

    fn set(&mut self, words: &[String], when: When) {
        let Some(rest) = words.get(1..) else { return };
        // `/a` computes and `/p` asks: neither has a value for us.
        let computed = rest.first().is_some_and(|word| word.starts_with('/'));
        let assignment = rest.get(usize::from(computed)..).unwrap_or_default().join(" ");
        let Some((name, value)) = assignment.split_once('=') else { return };
        let name = name.trim().trim_end_matches(['+', '-', '*', '/']).to_lowercase();
        let value = if computed || value.len() > MAX_LINE { UNKNOWN.to_string() } else { value.trim_end().to_owned() };
        let other_way = self.set_at.get(&name).is_some_and(|flow| *flow != self.flow) || when == When::Perhaps;
        let differs = self.variables.get(&name).is_some_and(|old| trimmed(old) != trimmed(&value));
        let value = if other_way && differs { UNKNOWN.to_string() } else { value };
        self.set_at.insert(name.clone(), self.flow);
        self.variables.insert(name.clone(), value.clone());
        // cmd.exe does not see it in the same group: nor do we take what it was before.
        if let Some(at_group) = &mut self.at_group
            && at_group.get(&name) != Some(&value)
        {
            at_group.insert(name, UNKNOWN.to_string());
        }
    }

    fn change_folder(&mut self, name: &str, words: &[String], when: When) {
        if name == "popd" {
            self.places.folder = self.places.folders.pop().flatten();
            return;
        }
        let arguments: Vec<&String> = words.iter().skip(1).filter(|word| !word.eq_ignore_ascii_case("/d")).collect();
        let any_drive = name == "pushd" || words.iter().any(|word| word.eq_ignore_ascii_case("/d"));
        if arguments.is_empty() {
            return;
        }
        let path = arguments.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(" ");
        let to = if path.contains(UNKNOWN) { None } else { self.places.resolve(&path).ok() };
        let same_drive =
            to.as_deref().zip(self.places.folder.as_deref()).is_some_and(|(to, from)| to.get(..2) == from.get(..2));
        let to = to.filter(|_| when == When::Always && (any_drive || same_drive));
        if name == "pushd" {
            self.places.folders.push(self.places.folder.take());
        } else if path.starts_with(r"\\") {
            // `cd` does not go to a share.
            return;
        }
        self.places.folder = to;
    }

    /// A drive that is mapped, or no more.
    fn map_drive(&mut self, name: &str, words: &[String]) -> bool {
        let mut words = words.iter().skip(1);
        if name == "net" && !words.next().is_some_and(|word| word.eq_ignore_ascii_case("use")) {
            return false;
        }
        let words: Vec<&String> = words.collect();
        let drive = words.iter().find_map(|word| {
            let mut chars = word.chars();
            let letter = chars.next().filter(char::is_ascii_alphabetic)?;
            (chars.next() == Some(':') && chars.next().is_none()).then(|| letter.to_ascii_uppercase())
        });
        let Some(drive) = drive else { return false };
        if words.iter().any(|word| word.eq_ignore_ascii_case("/delete") || word.eq_ignore_ascii_case("/d")) {
            self.places.drives.insert(drive, None);
            return true;
        }
        let target = words.iter().find(|word| word.starts_with(r"\\") || word.get(1..3) == Some(r":\"));
        let target = target.filter(|target| !target.contains(UNKNOWN)).map(|target| trimmed(target));
        let before = self.places.drives.get(&drive).cloned().flatten();
        let known = before.is_none() || before == target;
        self.places.drives.insert(drive, target.filter(|_| known));
        true
    }

    fn call(&mut self, words: &[String], depth: usize) {
        let name = words.get(1).map(|word| word.trim_start_matches(':').to_lowercase()).unwrap_or_default();
        let Some(&at) = self.labels.get(&name).filter(|_| depth < MAX_DEPTH) else { return };
        let texts = std::mem::take(&mut self.texts);
        let (groups, at_group) = (std::mem::take(&mut self.groups), self.at_group.take());
        for number in 1..10 {
            let value = words.get(number + 1).cloned().unwrap_or_default();
            let value = if value.contains(' ') { format!("\"{value}\"") } else { value };
            self.texts.push((format!("%{number}"), value));
        }
        // What the subroutine sets is set on the way through it.
        self.flow += 1;
        self.read(at + 1, self.lines.len(), depth + 1);
        (self.texts, self.groups, self.at_group) = (texts, groups, at_group);
    }

    /// A command for another shell.
    fn shell(&mut self, number: usize, name: &str, command: &Command, at: usize, depth: usize) {
        let is_start = |word: &String| match name {
            "cmd" => word.to_lowercase().starts_with("/c") || word.to_lowercase().starts_with("/k"),
            _ => ["-c", "-command", "/c", "/command"].iter().any(|one| word.eq_ignore_ascii_case(one)),
        };
        let words = command.words.get(at..).unwrap_or_default();
        let Some(found) = words.iter().position(is_start) else {
            if name != "cmd" && words.iter().any(|word| mentions_copy(word)) {
                return self.refuse(number, "PowerShell runs it, and the command cannot be told from its options");
            }
            return self.note(number, &format!("'{name}' is ignored"));
        };
        // `/c` needs no blank behind it.
        let option = if name == "cmd" { 2 } else { words.get(found).map_or(0, String::len) };
        let start = command.starts.get(at + found).map_or(0, |start| start + option);
        let rest = command.raw.get(start..).unwrap_or_default().trim();
        let inner = rest.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(rest).trim();
        if name != "cmd" {
            if !mentions_copy(inner) {
                return self.note(number, &format!("'{name}' is ignored"));
            }
            let begins = |rest: &str| rest.starts_with(|c: char| c.is_alphabetic() || "_{(".contains(c));
            if inner.contains(['`', '{', '@']) || inner.split('$').skip(1).any(begins) {
                return self.refuse(number, "a script of PowerShell makes it up");
            }
        }
        let inner = if name == "cmd" {
            inner.to_owned()
        } else {
            inner.trim_start_matches("& ").replace('\'', "\"").replace(';', "&")
        };
        if depth >= MAX_DEPTH || inner.is_empty() {
            return;
        }
        let groups = std::mem::take(&mut self.groups);
        self.read_line(number, &inner, depth + 1, false);
        self.groups = groups;
    }

    fn copy(&mut self, number: usize, words: &[String]) {
        let arguments = words.get(1..).unwrap_or_default();
        let is = |word: &String, names: &[&str]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
        let mut places: Vec<&String> = Vec::new();
        let (mut excluded, mut listing) = (false, false);
        for word in arguments {
            if word.starts_with('/') {
                listing = is(word, &["/xd", "/xf"]);
                excluded |= listing || word.to_lowercase().starts_with("/exclude");
            } else if !listing {
                places.push(word);
            }
        }
        let [source, target, files @ ..] = places.as_slice() else {
            // Options alone may be hidden in a variable.
            return self.refuse(number, "its source or target is only known when the script runs");
        };
        let found = (self.places.place(source), self.places.place(target));
        let ((source, cut_source), (target, cut_target)) = match found {
            (Ok(source), Ok(target)) => (source, target),
            (Err(why), _) => return self.refuse(number, &format!("its source {why}")),
            (_, Err(why)) => return self.refuse(number, &format!("its target {why}")),
        };
        for what in
            [("source", cut_source), ("target", cut_target)].iter().filter(|(_, cut)| *cut).map(|(what, _)| what)
        {
            self.note(number, &format!("the {what} contains a variable; the part before it is kept, please check"));
        }
        if excluded {
            self.note(
                number,
                "some files or folders are left out (/XD, /XF, /EXCLUDE); afterbackup archives the whole snapshot",
            );
        }
        if !files.is_empty() {
            self.note(number, "only some files are copied; afterbackup archives all of them");
        }
        if arguments.iter().any(|word| is(word, &["/mir", "/purge"])) {
            self.note(
                number,
                "a mirror keeps one copy; afterbackup keeps a history in its own format, so use an empty folder",
            );
        }
        if arguments.iter().any(|word| is(word, &["/mov", "/move"])) {
            self.note(number, "moves the snapshot away; afterbackup leaves it in place");
        }
        let copy = Copy { line: number, source, target };
        if !self.findings.copies.iter().any(|other| other.source == copy.source && other.target == copy.target) {
            self.findings.copies.push(copy);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> (Vec<String>, Vec<String>) {
        let copies = from_bat(text).sorted(None);
        (copies.snapshot.into_iter().collect(), copies.targets)
    }

    fn pair(source: &str, target: &str) -> (Vec<String>, Vec<String>) {
        (vec![source.to_owned()], vec![target.to_owned()])
    }

    const S: &str = r"E:\ConfigMgr_Backup";
    const T: &str = r"\\nas\cm$";

    #[test]
    fn the_example_of_the_documentation_is_understood() {
        let text = "Robocopy E:\\ConfigMgr_Backup \\\\ServerName\\ShareName\\ConfigMgr_Backup /MIR\r\n";
        assert_eq!(found(text), pair(S, r"\\ServerName\ShareName\ConfigMgr_Backup"));
        insta::assert_snapshot!(from_bat(text).notes.join("\n"), @"line 1: a mirror keeps one copy; afterbackup keeps a history in its own format, so use an empty folder");
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
        assert_eq!(found("if \"a\"==\"b\" robocopy E:\\wrong F:\\wrong\nrobocopy E:\\B F:\\V"), pair(r"E:\B", r"F:\V"));
    }

    #[test]
    fn what_is_only_known_when_it_runs_is_cut_off_and_noted() {
        let findings = from_bat("robocopy E:\\B \\\\nas\\cm\\%date:~0,4%-%date:~4,2%\\x\nset A=%A%%A%x\nset A=%A%%A%x");
        assert_eq!(findings.copies[0].target, r"\\nas\cm");
        insta::assert_snapshot!(findings.notes.join("\n"), @"line 1: the target contains a variable; the part before it is kept, please check");
    }

    /// Scripts that copy the snapshot to the target in many ways.
    #[test]
    fn a_copy_is_one_in_any_dress() {
        for script in [
            "set \"a={S}\"\nset b={T}\nrobocopy \"!a!\" \"!b!\"",
            "set a={S}\\\nif \"%a:~-1%\"==\"\\\" set a=%a:~0,-1%\nrobocopy \"%a%\" {T}",
            "set a=X:\\ConfigMgr_Backup\nrobocopy %a:X:=E:% {T}",
            "cmd /c \"robocopy {S} {T} /MIR\"",
            "cmd.exe /c \"\"C:\\Tools\\robocopy.exe\" \"{S}\" \"{T}\"\"",
            "powershell -NoProfile -Command \"robocopy '{S}' '{T}' /E; exit 0\"",
            "robocopy \"\\\\?\\{S}\" \"\\\\?\\UNC\\nas\\cm$\" /E",
            "pushd {T}\nrobocopy {S} . /E\npopd",
            "pushd E:\\\nxcopy ConfigMgr_Backup {T} /E",
            "cd /d {S}\\x\nxcopy ..\\*.* {T} /E",
            "net use Z: \\\\nas\\cm$ /user:x y\nrobocopy {S} Z:\\ /E\nnet use Z: /delete",
            "subst Q: {S}\nrobocopy Q:\\ {T}",
            "call :copy {S} {T}\nexit /b 0\n:copy\nrobocopy %1 %~2 /E\nexit /b",
            "call :copy \"{S}\" {T}\ngoto :eof\n:copy\nset from=%~1\nrobocopy \"%from%\" %2\ngoto :eof",
            "for %%d in ({T}) do robocopy {S} %%d /E",
            "for %%d in (\"{T}\") do (\n  echo %%d\n  robocopy {S} %%~d /E\n)\nexit /b",
            "if exist {S} (\n  robocopy {S} {T}\n) else (\n  exit /b 1\n)",
            "goto go\nrobocopy C:\\wrong D:\\wrong\n:go\nrobocopy {S} {T}",
        ] {
            let text = script.replace("{S}", S).replace("{T}", T);
            assert_eq!(found(&text), pair(S, T), "{text}\n{:?}", from_bat(&text).notes);
        }
    }

    /// Scripts that lead where nobody can tell, and the line that does.
    #[test]
    fn what_cannot_be_told_is_refused_with_its_line() {
        for (script, line) in [
            ("robocopy {S} backup", 1),
            ("cd /d %~dp0\nrobocopy {S} .", 2),
            ("robocopy {S} %TARGET%", 1),
            ("robocopy {S} %1", 1),
            ("if exist X: (set t=D:\\a) else (set t=D:\\b)\nrobocopy {S} %t%", 2),
            ("set t=D:\\a\nif exist x goto b\nset t=D:\\b\n:b\nrobocopy {S} %t%", 5),
            ("net use Z: %SHARE%\nrobocopy {S} Z:\\x", 2),
            ("net use Z: /delete\nrobocopy {S} Z:\\x", 2),
            ("(\nset t=D:\\a\nrobocopy {S} %t%\n)", 3),
            ("set /p t=where?\nrobocopy {S} %t%", 2),
            ("powershell -c \"$t='D:\\a'; robocopy {S} $t\"", 1),
            ("robocopy {S} C:x", 1),
            ("robocopy {S} ..\\..\\x", 1),
            ("for /f %%d in (list.txt) do robocopy {S} %%d", 1),
        ] {
            let text = script.replace("{S}", S);
            let findings = from_bat(&text);
            assert_eq!(findings.copies, [], "{text}");
            assert!(findings.unread > 0, "{text}");
            let place = format!("line {line}: a copy is ignored: ");
            assert!(findings.notes.iter().any(|note| note.starts_with(&place)), "{text}\n{:?}", findings.notes);
        }
    }

    #[test]
    fn only_targets_of_the_snapshot_are_destinations() {
        let text = r"robocopy D:\SCCMContentLib \\nas\content$
            robocopy E:\ConfigMgr_Backup D:\Stage\%DATE%
            robocopy D:\Stage\%DATE% \\nas\cm$\%DATE%
            xcopy D:\Keys\*.snk \\nas\keys$";
        let copies = from_bat(text).sorted(None);
        assert_eq!(copies.snapshot.as_deref(), Some(S));
        assert_eq!(copies.targets, [r"D:\Stage", T]);
        let others: Vec<&str> = copies.others.iter().map(|copy| copy.source.as_str()).collect();
        assert_eq!(others, [r"D:\SCCMContentLib", r"D:\Keys"]);
        let unclear = from_bat("robocopy D:\\a F:\\x\nrobocopy D:\\b F:\\y").sorted(None);
        assert_eq!((unclear.snapshot, unclear.candidates), (None, vec![r"D:\a".to_owned(), r"D:\b".to_owned()]));
        let given = from_bat("robocopy D:\\a F:\\x\nrobocopy D:\\b F:\\y").sorted(Some(r"d:\B"));
        assert_eq!(given.targets, [r"F:\y"]);
    }

    #[test]
    fn other_commands_are_noted_without_their_arguments() {
        let findings = from_bat(
            "rd /s /q Z:\\old\nrobocopy E:\\B D:\\Stage /XD E:\\B\\Old\npowershell -File mail.ps1 hunter2\nnet send x pass&hunter2",
        );
        insta::assert_snapshot!(findings.notes.join("\n"), @r"
        line 1: 'rd' is ignored
        line 2: some files or folders are left out (/XD, /XF, /EXCLUDE); afterbackup archives the whole snapshot
        line 3: 'powershell' is ignored
        line 4: 'net' is ignored
        line 4: a command is ignored
        ");
    }

    #[test]
    fn growing_variables_and_endless_calls_stay_bounded() {
        let text = format!("set A=x\n{}robocopy %A% F:\\V", "set A=%A%%A%\n".repeat(200));
        assert!(from_bat(&text).copies.iter().all(|copy| copy.source.len() <= MAX_LINE));
        for text in ["call :a\n:a\ncall :a\ncall :a\ncall :a".to_owned(), "cmd /c \"".repeat(3000)] {
            assert_eq!(from_bat(&text).copies, []);
        }
    }

    proptest! {
        #[test]
        fn any_batch_file_is_read_without_panic(text in "(set |robocopy |xcopy |rem |call :a|:a|goto a|for %%d in |do |if |else |cmd /c |pushd |net use Z: |powershell -c |[%^\"&|<>()!*:\\\\/ =a-cé\r\n0-9]){0,80}") {
            for copy in from_bat(&text).copies {
                for place in [&copy.source, &copy.target] {
                    prop_assert!(crate::config::text::paths::is_windows(place), "{place:?}");
                    prop_assert!(!place.contains([UNKNOWN, '%', '"', '*', '?']), "{place:?}");
                }
            }
        }

        #[test]
        fn any_text_is_read_without_panic(text in any::<String>()) {
            let copies = from_bat(&text).sorted(None);
            prop_assert!(copies.snapshot.is_some() || copies.targets.is_empty());
        }

        /// What is written down is what the copy line leads to, whatever it goes through.
        #[test]
        fn variables_lead_where_they_say(
            parts in prop::collection::vec("[A-Za-z0-9_ $-]{0,6}[A-Za-z0-9_$-]", 1..5), steps in 0_usize..5, late in any::<bool>()
        ) {
            let target = format!(r"F:\{}", parts.join("\\"));
            let mut script = String::new();
            let mut value = String::from("F:");
            for (number, part) in parts.iter().enumerate() {
                if number < steps {
                    script.extend([format!("set \"v{number}={value}\\{part}\"\n")]);
                    value = if late { format!("!v{number}!") } else { format!("%v{number}%") };
                } else {
                    value = format!("{value}\\{part}");
                }
            }
            // `set` does not expand what is late.
            let script = if late { script.replace('!', "%") } else { script };
            let text = format!("{script}robocopy E:\\ConfigMgr_Backup \"{value}\" /E");
            prop_assert_eq!(found(&text), pair(S, &target), "{}", text);
        }
    }
}
