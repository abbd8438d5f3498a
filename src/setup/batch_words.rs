//! Words of a batch file: commands that are known, conditions, and labels.

use std::collections::HashMap;

use super::batch_lex::{Command, UNKNOWN, expand};

/// Commands whose arguments are text.
pub(super) const SILENT: [&str; 4] = ["echo", "echo.", "echo:", "title"];

/// Programs that send or write text.
pub(super) const TEXT: [&str; 8] = ["blat", "bmail", "mailsend", "sendemail", "msg", "eventcreate", "logger", "set"];

/// Commands that do nothing by themselves.
pub(super) const CONTROL: [&str; 14] =
    ["", "if", "else", "goto", "setlocal", "endlocal", "exit", "pause", "cls", "do", "chcp", "color", "timeout", "for"];

/// Commands that a note may name.
pub(super) const KNOWN: [&str; 26] = [
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

/// Is a command carried out?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Always,
    Perhaps,
    Never,
}

pub(super) fn both(outer: When, inner: When) -> When {
    match (outer, inner) {
        (When::Never, _) | (_, When::Never) => When::Never,
        (When::Perhaps, _) | (_, When::Perhaps) => When::Perhaps,
        _ => When::Always,
    }
}

/// Whether the condition in front of a command holds, where the command begins, and whether there is only a condition.
pub(super) fn condition(command: &Command, variables: &HashMap<String, String>) -> (When, usize, bool) {
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

pub(super) fn equal(left: &str, right: &str) -> Option<bool> {
    let known = |text: &str| !text.contains([UNKNOWN, '!']);
    (known(left) && known(right)).then(|| left.eq_ignore_ascii_case(right))
}

/// A line without what does not change it.
pub(super) fn bare(line: &str) -> &str {
    line.trim_start_matches(|c: char| c == '@' || c.is_whitespace()).trim_end()
}

pub(super) fn label(line: &str) -> Option<String> {
    let name = line.strip_prefix(':').filter(|name| !name.starts_with(':'))?;
    Some(name.split_whitespace().next().unwrap_or_default().to_lowercase())
}

/// Variables of loops stay as they are.
pub(super) fn expand_protecting_loops(line: &str, variables: &HashMap<String, String>) -> String {
    let kept: Vec<String> = line.split("%%").map(|part| expand(part, '%', variables)).collect();
    kept.join("%%")
}

/// Things between the parentheses of a loop.
pub(super) fn split_list(list: &str) -> Vec<String> {
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
pub(super) fn mentions_copy(text: &str) -> bool {
    text.split(|c: char| c.is_whitespace() || "\"'&|();".contains(c))
        .any(|word| matches!(program(word).as_str(), "robocopy" | "xcopy"))
}

/// The program a word names: `C:\Windows\System32\Robocopy.exe` → `robocopy`.
pub(super) fn program(word: &str) -> String {
    let name = word.rsplit(['\\', '/']).next().unwrap_or_default();
    let name = name.trim_start_matches(['@', '(']).to_lowercase();
    name.strip_suffix(".exe").map_or(name.clone(), str::to_owned)
}
