//! What an existing AfterBackup.bat copies, and where to.
//!
//! What is found goes into a configuration that a service reads, as another account and from another folder. So a place
//! is taken only as what it leads to: variables, drives that the script maps and folders that it changes to are
//! followed. What only the running script knows ends a path at the folder before it, and where nothing is left, the
//! copy is not taken over, with its line and the reason. That a script has no copy is said only of one that has none.
//!
//! Not a batch interpreter: both sides of an `if` are read, unless it can be decided. A variable that has one of
//! several values counts as unknown.

use std::collections::{HashMap, HashSet};

use super::batch_lex::{Command, Item, MAX_LINE, UNKNOWN, expand, is_remark, items, logical_lines};
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

/// Commands whose arguments are text.
const SILENT: [&str; 4] = ["echo", "echo.", "echo:", "title"];

/// Programs that send or write text.
const TEXT: [&str; 8] = ["blat", "bmail", "mailsend", "sendemail", "msg", "eventcreate", "logger", "set"];

/// Commands that do nothing by themselves.
const CONTROL: [&str; 14] =
    ["", "if", "else", "goto", "setlocal", "endlocal", "exit", "pause", "cls", "do", "chcp", "color", "timeout", "for"];

/// Commands that a note may name.
const KNOWN: [&str; 26] = [
    "7z",
    "blat",
    "call",
    "cmd",
    "copy",
    "cscript",
    "del",
    "erase",
    "eventcreate",
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
    "subst",
    "wmic",
    "wscript",
];

/// Steps and depth that no honest script needs.
const MAX_STEPS: usize = 20_000;
const MAX_DEPTH: usize = 8;

/// Is a command carried out?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    Perhaps,
    Never,
}

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
    drives: HashMap<char, Option<String>>,
    /// The current folder, where it is known.
    folder: Option<String>,
    folders: Vec<Option<String>>,
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
            drives: HashMap::new(),
            folder: None,
            folders: Vec::new(),
            groups: Vec::new(),
            steps: 0,
            findings: BatFindings::default(),
        }
    }

    fn note(&mut self, number: usize, what: &str) {
        self.findings.notes.push(format!("line {number}: {what}"));
    }

    /// A copy that is not taken over.
    fn refuse(&mut self, number: usize, why: &str) {
        self.findings.unread += 1;
        self.note(number, &format!("a copy is not taken over: {why}"));
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
                    self.note(number, &format!("'{name}' is not taken over"));
                }
            }
            "call" if words.get(1).is_some_and(|word| word.starts_with(':')) => self.call(&words, depth),
            "cmd" | "powershell" | "pwsh" => self.shell(number, &name, command, at, depth),
            _ if first.len() == 2 && first.ends_with(':') => self.folder = None,
            _ if copy.is_some() => self.copy(number, words.get(copy.unwrap_or(0)..).unwrap_or_default()),
            _ if CONTROL.contains(&name.as_str()) => {}
            _ => {
                // A password with '&' in it may look like a command: only those that are well known are named.
                let what = if KNOWN.contains(&name.as_str()) { format!("'{name}'") } else { "a command".to_owned() };
                self.note(number, &format!("{what} is not taken over"));
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
            self.folder = self.folders.pop().flatten();
            return;
        }
        let arguments: Vec<&String> = words.iter().skip(1).filter(|word| !word.eq_ignore_ascii_case("/d")).collect();
        let any_drive = name == "pushd" || words.iter().any(|word| word.eq_ignore_ascii_case("/d"));
        if arguments.is_empty() {
            return;
        }
        let path = arguments.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(" ");
        let to = if path.contains(UNKNOWN) { None } else { self.resolve(&path).ok() };
        let same_drive =
            to.as_deref().zip(self.folder.as_deref()).is_some_and(|(to, from)| to.get(..2) == from.get(..2));
        let to = to.filter(|_| when == When::Always && (any_drive || same_drive));
        if name == "pushd" {
            self.folders.push(self.folder.take());
        } else if path.starts_with(r"\\") {
            // `cd` does not go to a share.
            return;
        }
        self.folder = to;
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
            self.drives.insert(drive, None);
            return true;
        }
        let target = words.iter().find(|word| word.starts_with(r"\\") || word.get(1..3) == Some(r":\"));
        let target = target.filter(|target| !target.contains(UNKNOWN)).map(|target| trimmed(target));
        let before = self.drives.get(&drive).cloned().flatten();
        let known = before.is_none() || before == target;
        self.drives.insert(drive, target.filter(|_| known));
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
            return self.note(number, &format!("'{name}' is not taken over"));
        };
        // `/c` needs no blank behind it.
        let option = if name == "cmd" { 2 } else { words.get(found).map_or(0, String::len) };
        let start = command.starts.get(at + found).map_or(0, |start| start + option);
        let rest = command.raw.get(start..).unwrap_or_default().trim();
        let inner = rest.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(rest).trim();
        if name != "cmd" {
            if !mentions_copy(inner) {
                return self.note(number, &format!("'{name}' is not taken over"));
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
        let found = (self.place(source), self.place(target));
        let ((source, cut_source), (target, cut_target)) = match found {
            (Ok(source), Ok(target)) => (source, target),
            (Err(why), _) => return self.refuse(number, &format!("its source {why}")),
            (_, Err(why)) => return self.refuse(number, &format!("its target {why}")),
        };
        for what in
            [("source", cut_source), ("target", cut_target)].iter().filter(|(_, cut)| *cut).map(|(what, _)| what)
        {
            self.note(
                number,
                &format!("the {what} is put together when the file runs; taken up to there, please check"),
            );
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
                "mirrors deletions, so the target has one copy; afterbackup keeps a history in a format of its own: use an empty folder",
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

    /// Where a place leads, up to the first part that only the running script knows, and whether there is such a part.
    fn place(&self, place: &str) -> Result<(String, bool), String> {
        let mut cut = false;
        let place = &*without_prefix(place);
        let mut known = place;
        if let Some(at) = place.find([UNKNOWN, '*', '?']) {
            let before = place.get(..at).unwrap_or_default();
            cut = place.get(at..).is_some_and(|rest| rest.starts_with(UNKNOWN));
            known = place.get(..before.rfind(['\\', '/']).map_or(0, |separator| separator + 1)).unwrap_or_default();
            if cut && known.is_empty() {
                return Err("is only known when the script runs".to_owned());
            }
            if known.is_empty() {
                known = ".";
            }
        }
        Ok((self.resolve(known)?, cut))
    }

    /// The absolute path that is meant.
    fn resolve(&self, path: &str) -> Result<String, String> {
        let path = without_prefix(path);
        let drive = path.chars().next().filter(|c| c.is_ascii_alphabetic() && path.get(1..2) == Some(":"));
        if let Some(drive) = drive {
            let rest = path.get(2..).unwrap_or_default();
            if !rest.starts_with('\\') && !rest.is_empty() {
                return Err(format!("is relative to a folder of drive {drive}: that is not known"));
            }
            return match self.drives.get(&drive.to_ascii_uppercase()) {
                None if rest.is_empty() => Ok(format!("{drive}:\\")),
                None => normal(&path),
                Some(Some(target)) => normal(&format!("{}{rest}", target.trim_end_matches('\\'))),
                Some(None) => {
                    Err(format!("is on drive {drive}:, which the script maps to something that is not known"))
                }
            };
        }
        if path.starts_with(r"\\") {
            if path.trim_matches('\\').split('\\').filter(|part| !part.is_empty()).count() < 2 {
                return Err("is not a share".to_owned());
            }
            return normal(&path);
        }
        let Some(folder) = &self.folder else {
            return Err("is relative to a folder that is not known".to_owned());
        };
        if path.starts_with('\\') {
            if folder.starts_with(r"\\") {
                return Err("is relative to the drive of a share".to_owned());
            }
            return normal(&format!("{}{path}", folder.get(..2).unwrap_or_default()));
        }
        normal(&format!(r"{}\{path}", folder.trim_end_matches('\\')))
    }
}

/// Without `\\?\`, and with the separators of Windows.
fn without_prefix(path: &str) -> String {
    let path = path.replace('/', r"\");
    match path.strip_prefix(r"\\?\").or_else(|| path.strip_prefix(r"\\.\")) {
        Some(rest) => match rest.get(..4) {
            Some(unc) if unc.eq_ignore_ascii_case(r"UNC\") => format!(r"\\{}", rest.get(4..).unwrap_or_default()),
            _ => rest.to_owned(),
        },
        None => path,
    }
}

/// Without `.`, `..` and separators that say nothing.
fn normal(path: &str) -> Result<String, String> {
    let (root, rest) = match path.strip_prefix(r"\\") {
        Some(rest) => (r"\\", rest),
        None => ("", path),
    };
    // A drive, or server and share: `..` does not lead above them.
    let fixed = if root.is_empty() { 1 } else { 2 };
    let mut parts: Vec<&str> = Vec::new();
    for part in rest.split('\\') {
        match part {
            "" | "." => {}
            ".." if parts.len() > fixed => drop(parts.pop()),
            ".." => return Err("leads above its drive or share".to_owned()),
            part if part.contains(['<', '>', '|', '"', '*', '?']) || part.contains(char::is_control) => {
                return Err("has characters that no path has".to_owned());
            }
            part if part.contains(':') && !(root.is_empty() && parts.is_empty()) => {
                return Err("has characters that no path has".to_owned());
            }
            part => parts.push(part),
        }
    }
    let joined = format!("{root}{}", parts.join("\\"));
    Ok(if joined.len() == 2 && joined.ends_with(':') { format!("{joined}\\") } else { joined })
}

fn trimmed(path: &str) -> String {
    let trimmed = path.trim_end_matches('\\');
    if trimmed.ends_with(':') && trimmed.len() < path.len() { format!("{trimmed}\\") } else { trimmed.to_owned() }
}

fn both(outer: When, inner: When) -> When {
    match (outer, inner) {
        (When::Never, _) | (_, When::Never) => When::Never,
        (When::Perhaps, _) | (_, When::Perhaps) => When::Perhaps,
        _ => When::Always,
    }
}

/// Whether the condition in front of a command holds, where the command begins, and whether there is only a condition.
fn condition(command: &Command, variables: &HashMap<String, String>) -> (When, usize, bool) {
    let words = &command.words;
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let mut when = When::Always;
    let mut at = 0;
    loop {
        let is = |at: usize, name: &str| word(at).eq_ignore_ascii_case(name);
        if is(at, "else") || is(at, "do") {
            when = both(when, if is(at, "else") { When::Perhaps } else { When::Always });
            at += 1;
        } else if is(at, "for") {
            let Some(found) = (at..words.len()).find(|&at| is(at, "do")) else {
                return (When::Perhaps, words.len(), true);
            };
            when = both(when, When::Perhaps);
            at = found + 1;
        } else if is(at, "if") {
            at += 1;
            at += usize::from(is(at, "/i"));
            let not = is(at, "not");
            at += usize::from(not);
            at += usize::from(is(at, "/i"));
            let (holds, next) = if is(at, "defined") {
                (variables.get(&word(at + 1).to_lowercase()).map(|value| !value.is_empty()), at + 2)
            } else if ["exist", "errorlevel", "cmdextversion"].iter().any(|name| is(at, name)) {
                (None, at + 2)
            } else if let Some((left, right)) = word(at).split_once("==") {
                if right.is_empty() && !word(at + 1).is_empty() && !command.raw.contains("==\"\"") {
                    (equal(left, word(at + 1)), at + 2)
                } else {
                    (equal(left, right), at + 1)
                }
            } else if let Some(right) = word(at + 1).strip_prefix("==") {
                if right.is_empty() {
                    (equal(word(at), word(at + 2)), at + 3)
                } else {
                    (equal(word(at), right), at + 2)
                }
            } else {
                (None, at + 3)
            };
            let holds = match holds.map(|holds| holds != not) {
                None => When::Perhaps,
                Some(true) => When::Always,
                Some(false) => When::Never,
            };
            when = both(when, holds);
            at = next;
        } else {
            return (when, at.min(words.len()), at > 0 && at >= words.len());
        }
    }
}

fn equal(left: &str, right: &str) -> Option<bool> {
    let known = |text: &str| !text.contains([UNKNOWN, '!']);
    (known(left) && known(right)).then(|| left.eq_ignore_ascii_case(right))
}

/// A line without what does not change it.
fn bare(line: &str) -> &str {
    line.trim_start_matches(|c: char| c == '@' || c.is_whitespace()).trim_end()
}

fn label(line: &str) -> Option<String> {
    let name = line.strip_prefix(':').filter(|name| !name.starts_with(':'))?;
    Some(name.split_whitespace().next().unwrap_or_default().to_lowercase())
}

/// Variables of loops stay as they are.
fn expand_protecting_loops(line: &str, variables: &HashMap<String, String>) -> String {
    let kept: Vec<String> = line.split("%%").map(|part| expand(part, '%', variables)).collect();
    kept.join("%%")
}

/// Things between the parentheses of a loop.
fn split_list(list: &str) -> Vec<String> {
    let mut values = Vec::new();
    let (mut value, mut quoted) = (String::new(), false);
    for c in list.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                value.push(c);
            }
            c if !quoted && (c.is_whitespace() || c == ',' || c == ';') => values.push(std::mem::take(&mut value)),
            c => value.push(c),
        }
    }
    values.push(value);
    values.retain(|value| !value.is_empty());
    values
}

/// Is one of the words, or of the words in quotes, a program that copies?
fn mentions_copy(text: &str) -> bool {
    text.split(|c: char| c.is_whitespace() || "\"'&|();".contains(c))
        .any(|word| matches!(program(word).as_str(), "robocopy" | "xcopy"))
}

/// The program a word names: `C:\Windows\System32\Robocopy.exe` → `robocopy`.
fn program(word: &str) -> String {
    let name = word.rsplit(['\\', '/']).next().unwrap_or_default();
    let name = name.trim_start_matches(['@', '(']).to_lowercase();
    name.strip_suffix(".exe").map_or(name.clone(), str::to_owned)
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
        insta::assert_snapshot!(from_bat(text).notes.join("\n"), @"line 1: mirrors deletions, so the target has one copy; afterbackup keeps a history in a format of its own: use an empty folder");
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
        insta::assert_snapshot!(findings.notes.join("\n"), @"line 1: the target is put together when the file runs; taken up to there, please check");
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
            let place = format!("line {line}: a copy is not taken over: ");
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
        line 1: 'rd' is not taken over
        line 2: some files or folders are left out (/XD, /XF, /EXCLUDE); afterbackup archives the whole snapshot
        line 3: 'powershell' is not taken over
        line 4: 'net' is not taken over
        line 4: a command is not taken over
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
