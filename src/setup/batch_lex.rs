//! Lines of a batch file as cmd.exe takes them apart: continued lines, variables, commands, groups.

use std::collections::HashMap;

/// cmd.exe takes no longer lines either. Also keeps `set A=%A%%A%` from growing without end.
pub(super) const MAX_LINE: usize = 8191;

/// Stands for what only the running script knows. No character of a path.
pub(super) const UNKNOWN: char = '\u{1}';

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// `(`, where a group begins.
    Open,
    /// `)`, where a group ends.
    Close,
    /// A command.
    Command(Command),
}

/// A command, without redirections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// Its words, without quotes; a switch keeps its slash.
    pub(super) words: Vec<String>,
    /// Where each word begins in `raw`.
    pub(super) starts: Vec<usize>,
    /// As it was written.
    pub(super) raw: String,
}

/// Lines joined at `^`, with the number of the first.
pub(super) fn logical_lines(text: &str) -> Vec<(usize, String)> {
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

pub(super) fn is_remark(line: &str) -> bool {
    let word = line.split(|c: char| c.is_whitespace() || "=,;".contains(c)).next().unwrap_or_default();
    word.eq_ignore_ascii_case("rem") || line.starts_with("::")
}

/// `%NAME%` (or `!NAME!`) replaced where NAME has been set in the file, with `:~a,b` and `:old=new` applied. What has
/// no known value becomes [`UNKNOWN`].
pub(super) fn expand(line: &str, mark: char, variables: &HashMap<String, String>) -> String {
    let mut expanded = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once(mark) {
        expanded.push_str(before);
        // `%%d` of a loop, `%1` of a call.
        if mark == '%'
            && (after.starts_with('%') || after.starts_with(|c: char| c.is_ascii_digit() || c == '~' || c == '*'))
        {
            let bare = after.strip_prefix('%').unwrap_or(after);
            let name =
                bare.strip_prefix('~').map_or(bare, |name| name.trim_start_matches(|c: char| c.is_ascii_alphabetic()));
            let digit = name.chars().next().filter(|c| c.is_ascii_digit() || *c == '*');
            let one = if bare.starts_with('~') { digit } else { bare.chars().next() };
            let length = after.len() - name.len() + one.map_or(0, char::len_utf8);
            expanded.push(UNKNOWN);
            rest = after.get(length..).unwrap_or_default();
        } else if let Some((inside, behind)) = after.split_once(mark).filter(|(inside, _)| is_reference(inside)) {
            match value(inside, variables) {
                Some(value) => expanded.push_str(&value),
                None => expanded.push(UNKNOWN),
            }
            rest = behind;
        } else {
            if mark == '%' {
                expanded.push(UNKNOWN);
            } else {
                expanded.push(mark);
            }
            rest = after;
        }
        if expanded.len() > MAX_LINE {
            return UNKNOWN.to_string();
        }
    }
    expanded.push_str(rest);
    expanded
}

fn is_reference(inside: &str) -> bool {
    let name = inside.split(':').next().unwrap_or_default();
    !name.is_empty() && !name.contains(|c: char| "\"<>|&\\/".contains(c))
}

/// The value of `NAME`, `NAME:~a,b`, `NAME:old=new`.
fn value(inside: &str, variables: &HashMap<String, String>) -> Option<String> {
    let (name, how) = inside.split_once(':').map_or((inside, None), |(name, how)| (name, Some(how)));
    let value = variables.get(&name.to_lowercase())?;
    let Some(how) = how else { return Some(value.clone()) };
    if value.contains(UNKNOWN) {
        return None;
    }
    if let Some(range) = how.strip_prefix('~') {
        let (from, length) = range.split_once(',').map_or((range, None), |(from, length)| (from, Some(length)));
        let chars: Vec<char> = value.chars().collect();
        let count = i64::try_from(chars.len()).ok()?;
        let from: i64 = from.trim().parse().ok()?;
        let begin = if from < 0 { count.saturating_add(from).max(0) } else { from.min(count) };
        let end = match length.map(|length| length.trim().parse::<i64>()) {
            None => count,
            Some(Ok(length)) if length < 0 => count.saturating_add(length),
            Some(Ok(length)) => begin.saturating_add(length).min(count),
            Some(Err(_)) => return None,
        };
        let (begin, end) = (usize::try_from(begin).ok()?, usize::try_from(end.max(begin)).ok()?);
        return Some(chars.get(begin..end)?.iter().collect());
    }
    let (old, new) = how.split_once('=')?;
    if old.is_empty() || old.starts_with('*') {
        return None;
    }
    Some(replace_ignoring_case(value, old, new))
}

fn replace_ignoring_case(text: &str, old: &str, new: &str) -> String {
    let (lower, old) = (text.to_ascii_lowercase(), old.to_ascii_lowercase());
    let mut replaced = String::new();
    let mut from = 0;
    while let Some(at) = lower.get(from..).and_then(|rest| rest.find(&old)) {
        replaced.push_str(text.get(from..from + at).unwrap_or_default());
        replaced.push_str(new);
        from += at + old.len();
    }
    replaced.push_str(text.get(from..).unwrap_or_default());
    replaced
}

/// The pieces of a line, inside `depth` groups.
pub(super) fn items(line: &str, mut depth: usize) -> Vec<Item> {
    let mut lexer = Lexer::default();
    let mut previous = ' ';
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                lexer.quoted = !lexer.quoted;
                lexer.begin(at);
            }
            c if lexer.quoted => lexer.push(at, c),
            '^' => {
                if let Some((_, next)) = chars.next() {
                    lexer.push(at, next);
                }
            }
            '>' | '<' => {
                // The digit of `2>` belongs to it; of `>&1`, too.
                if lexer.word.len() == 1 && lexer.word.starts_with(|c: char| c.is_ascii_digit()) {
                    lexer.word.clear();
                    lexer.start = None;
                }
                lexer.end_word();
                lexer.drop_next = true;
            }
            '&' if previous == '>' => {}
            '&' | '|' => lexer.end_command(line, at, at + 1),
            // Parentheses group commands only where a command may begin or end.
            '(' if lexer.start.is_none() && !lexer.is_list() => {
                depth += 1;
                lexer.end_command(line, at, at + 1);
                lexer.items.push(Item::Open);
            }
            ')' if depth > 0
                && !lexer.in_list
                && chars.peek().is_none_or(|(_, next)| next.is_whitespace() || *next == ')') =>
            {
                depth -= 1;
                lexer.end_command(line, at, at + 1);
                lexer.items.push(Item::Close);
            }
            c if c.is_whitespace() => lexer.end_word(),
            c => {
                lexer.push(at, c);
                if c == ')' && lexer.in_list {
                    lexer.in_list = false;
                    lexer.end_word();
                }
            }
        }
        previous = c;
    }
    lexer.end_command(line, line.len(), line.len());
    lexer.items
}

#[derive(Default)]
struct Lexer {
    items: Vec<Item>,
    command: Command,
    /// Where the command begins in the line.
    from: usize,
    word: String,
    start: Option<usize>,
    quoted: bool,
    drop_next: bool,
    /// Between the parentheses of `for … in (…)`.
    in_list: bool,
}

impl Lexer {
    fn begin(&mut self, at: usize) {
        self.start.get_or_insert(at);
    }

    fn push(&mut self, at: usize, c: char) {
        self.begin(at);
        self.word.push(c);
    }

    /// Does `(` begin the list of a loop here?
    fn is_list(&mut self) -> bool {
        let words = &self.command.words;
        let is = words.first().is_some_and(|word| word.eq_ignore_ascii_case("for"))
            && words.last().is_some_and(|word| word.eq_ignore_ascii_case("in"));
        self.in_list |= is;
        is
    }

    fn end_word(&mut self) {
        let Some(start) = self.start.take() else { return };
        let word = std::mem::take(&mut self.word);
        if !std::mem::take(&mut self.drop_next) {
            self.command.words.push(word);
            self.command.starts.push(start - self.from);
        }
    }

    fn end_command(&mut self, line: &str, to: usize, next: usize) {
        self.end_word();
        (self.drop_next, self.in_list) = (false, false);
        let mut command = std::mem::take(&mut self.command);
        if !command.words.is_empty() {
            line.get(self.from..to).unwrap_or_default().clone_into(&mut command.raw);
            self.items.push(Item::Command(command));
        }
        self.from = next;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expanded(line: &str, set: &[(&str, &str)]) -> String {
        let variables = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        expand(line, '%', &variables).replace(UNKNOWN, "?")
    }

    #[test]
    fn variables_have_the_forms_of_cmd() {
        let set = [("src", r"E:\Backup\"), ("d", "abcdef")];
        for (line, value) in [
            ("%SRC%x", r"E:\Backup\x"),
            ("%src:~0,-1%", r"E:\Backup"),
            ("%d:~2%-%d:~1,2%-%d:~-2%-%d:~-3,1%-%d:~9%", "cdef-bc-ef-d-"),
            ("%src:BACKUP=x%", r"E:\x\"),
            ("%DATE:~0,4%", "?"),
            ("%none%", "?"),
            ("%~dp0x %1 %~2 %%d %%~nxi %*", "?x ? ? ? ? ?"),
            ("100% y", "100? y"),
        ] {
            assert_eq!(expanded(line, &set), value, "{line}");
        }
    }

    #[test]
    fn lines_are_taken_apart() {
        let words = |line: &str| {
            items(line, 0)
                .into_iter()
                .map(|item| match item {
                    Item::Open => "(".to_owned(),
                    Item::Close => ")".to_owned(),
                    Item::Command(command) => command.words.join("|"),
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(
            words(r#"if exist E:\B (robocopy "E:\B C" F:\V /e) else (echo x)"#),
            [r"if|exist|E:\B", "(", r"robocopy|E:\B C|F:\V|/e", ")", "else", "(", "echo|x", ")"]
        );
        assert_eq!(
            words(r"for %%d in (a b) do xcopy E:\B %%d > x.log 2>&1 & y"),
            [r"for|%%d|in|(a|b)|do|xcopy|E:\B|%%d", "y"]
        );
        assert_eq!(words(r"xcopy E:\B(1) F:\V"), [r"xcopy|E:\B(1)|F:\V"]);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_words_lie_in_their_command(line in "[ -~é]{0,60}", depth in 0_usize..3) {
            for item in items(&line, depth) {
                if let Item::Command(command) = item {
                    prop_assert_eq!(command.words.len(), command.starts.len());
                    prop_assert!(command.starts.iter().all(|start| command.raw.is_char_boundary(*start)));
                }
            }
            let variables = HashMap::from([("a".to_owned(), "x%a%é".to_owned())]);
            prop_assert!(expand(&line, '%', &variables).len() <= MAX_LINE);
            expand(&line, '!', &variables);
        }
    }
}
