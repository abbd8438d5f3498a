//! Text from elsewhere on its way to a terminal: names of files, answers of servers, notes of other people.
//!
//! A control character in it can clear the screen, a line feed can forge a line, and a mark for the direction of text
//! can turn `fdp.exe` into `exe.pdf`. Each is shown as what it is: `\u{1b}`.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Is it something that a terminal obeys, or that cannot be seen?
fn is_hidden(c: char) -> bool {
    // Marks and embeddings for the direction of text; separators of lines and paragraphs; the byte order mark.
    let directs = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || directs || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn escaped(text: &str, stays: impl Fn(char) -> bool, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    let is_escaped = |c: char| is_hidden(c) && !stays(c);
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_escaped(c) { escape(&mut out, c) } else { out.push(c) }
    }
    Cow::Owned(out)
}

fn braces(out: &mut String, c: char) {
    write!(out, "\\u{{{:x}}}", u32::from(c)).expect("writing to a string cannot fail");
}

/// Text that is one line, or a part of one.
///
/// # Examples
/// ```
/// assert_eq!(afterbackup::units::visible_line("a\nfake: all is well"), r"a\u{a}fake: all is well");
/// ```
#[must_use]
pub fn visible_line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false, braces)
}

/// Text of several lines, which stay lines.
#[must_use]
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| matches!(c, '\n' | '\t'), braces)
}

/// JSON, which stays the same JSON: what is escaped can occur in its strings alone.
#[must_use]
pub fn visible_json(text: &str) -> Cow<'_, str> {
    let escape = |out: &mut String, c: char| {
        write!(out, "\\u{:04x}", u32::from(c)).expect("writing to a string cannot fail");
    };
    escaped(text, |c| c == '\n', escape)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown() {
        let nasty = "a\u{1b}[2Jb\u{9b}c\rd\u{202e}e\u{2066}f\u{7f}\n\tg ä 日本 ’";
        assert_eq!(visible_line(nasty), r"a\u{1b}[2Jb\u{9b}c\u{d}d\u{202e}e\u{2066}f\u{7f}\u{a}\u{9}g ä 日本 ’");
        assert_eq!(visible_lines("a\n\tb\r"), "a\n\tb\\u{d}");
        assert!(matches!(visible_line("E:\\XYZBackup (ä)"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left_and_json_stays_the_same(text in "(?s).{0,40}") {
            prop_assert!(!visible_line(&text).contains(is_hidden));
            prop_assert!(!visible_lines(&text).contains(|c| is_hidden(c) && c != '\n' && c != '\t'));
            let json = serde_json::to_string(&text).unwrap();
            let shown = visible_json(&json);
            prop_assert!(!shown.contains(is_hidden));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }
}
