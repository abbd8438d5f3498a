//! Reads and writes the text of a recovery script: sections, `Key=Value` lines, comments.
//!
//! Reading never fails: whatever bytes come, there are entries and a list of faults, each with its line. Scripts come
//! as UTF-16 with a byte order mark (PowerShell), UTF-8 or Windows-1252. A fault never quotes a line that is not
//! understood: it may hold a product key.

use encoding_rs::{UTF_16BE, UTF_16LE, WINDOWS_1252};
use serde::Serialize;

/// How the text was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Encoding {
    /// With or without byte order mark.
    #[serde(rename = "UTF-8")]
    Utf8,
    /// Little endian.
    #[serde(rename = "UTF-16LE")]
    Utf16Le,
    /// Big endian.
    #[serde(rename = "UTF-16BE")]
    Utf16Be,
    /// What Windows calls ANSI.
    #[serde(rename = "Windows-1252")]
    Ansi,
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
            Self::Ansi => "Windows-1252",
        })
    }
}

/// A script as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ini {
    /// How it was stored.
    pub encoding: Encoding,
    /// Every section header, repeated ones included.
    pub sections: Vec<Section>,
    /// Every `Key=Value` line.
    pub entries: Vec<Entry>,
    /// What is no section, no entry and no comment, and other faults of the text.
    pub faults: Vec<TextFault>,
}

/// A section header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Counted from 1.
    pub line: usize,
}

/// A `Key=Value` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Place in [`Ini::sections`]; `None` above the first one.
    pub section: Option<usize>,
    /// Without blanks around it.
    pub key: String,
    /// Without blanks and one pair of quotes around it.
    pub value: String,
    /// Was it in quotes?
    pub quoted: bool,
    /// Counted from 1.
    pub line: usize,
}

/// A fault of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFault {
    /// Counted from 1.
    pub line: usize,
    /// Which.
    pub kind: TextFaultKind,
}

/// What can be wrong with the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFaultKind {
    /// Neither a section nor `Key=Value`.
    NotAnEntry,
    /// `[` without `]`, or something behind it.
    BadSection,
    /// `=` without a key before it.
    NoKey,
    /// A NUL character.
    Nul,
    /// Longer than [`MAX_LINE`].
    TooLong,
    /// Bytes that are not text in the encoding of the file.
    NotText,
    /// UTF-16 without byte order mark.
    NoMark,
    /// Lines end in different ways.
    MixedEnds,
    /// `#` begins a comment.
    Hash,
    /// More faults than are worth telling.
    More,
}

/// No value is nearly as long.
pub const MAX_LINE: usize = 32 * 1024;
/// Faults of the text beyond these are not told.
const MAX_FAULTS: usize = 200;

/// Reads a script.
#[must_use]
pub fn read(bytes: &[u8]) -> Ini {
    let (text, encoding, mut faults) = decode(bytes);
    let mut ini = Ini { encoding, sections: vec![], entries: vec![], faults: vec![] };
    let mut ends = [0_usize; 3];
    let mut line = 0;
    let mut rest = text.as_str();
    while !rest.is_empty() {
        line += 1;
        let end = rest.find(['\r', '\n']).unwrap_or(rest.len());
        let (content, after) = rest.split_at(end);
        rest = if let Some(after) = after.strip_prefix("\r\n") {
            ends[0] += 1;
            after
        } else if let Some(after) = after.strip_prefix('\n') {
            ends[1] += 1;
            after
        } else if let Some(after) = after.strip_prefix('\r') {
            ends[2] += 1;
            after
        } else {
            after
        };
        if let Some(kind) = read_line(content, line, &mut ini) {
            faults.push(TextFault { line, kind });
        }
        if faults.len() > MAX_FAULTS {
            faults.push(TextFault { line, kind: TextFaultKind::More });
            break;
        }
    }
    if ends.iter().filter(|&&count| count > 0).count() > 1 {
        faults.push(TextFault { line: 1, kind: TextFaultKind::MixedEnds });
    }
    ini.faults = faults;
    ini
}

/// Takes one line; tells what is wrong with it.
fn read_line(content: &str, line: usize, ini: &mut Ini) -> Option<TextFaultKind> {
    if content.len() > MAX_LINE {
        return Some(TextFaultKind::TooLong);
    }
    let nul = content.contains('\0').then_some(TextFaultKind::Nul);
    let clean = content.replace('\0', "");
    let content = clean.trim();
    if content.is_empty() || content.starts_with(';') {
        return nul;
    }
    if content.starts_with('#') {
        return nul.or(Some(TextFaultKind::Hash));
    }
    if let Some(header) = content.strip_prefix('[') {
        let (name, behind) = header.split_once(']').unwrap_or((header, "?"));
        // Even a bad header begins a section: what follows does not belong to the one before.
        ini.sections.push(Section { name: name.trim().to_owned(), line });
        let behind = behind.trim();
        let sound = (behind.is_empty() || behind.starts_with(';')) && !name.trim().is_empty();
        return nul.or_else(|| (!sound).then_some(TextFaultKind::BadSection));
    }
    let Some((key, value)) = content.split_once('=') else { return nul.or(Some(TextFaultKind::NotAnEntry)) };
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() {
        return nul.or(Some(TextFaultKind::NoKey));
    }
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    ini.entries.push(Entry {
        section: ini.sections.len().checked_sub(1),
        key: key.to_owned(),
        value: inner.unwrap_or(value).trim().to_owned(),
        quoted: inner.is_some(),
        line,
    });
    nul
}

fn decode(bytes: &[u8]) -> (String, Encoding, Vec<TextFault>) {
    let utf16 = |bytes: &[u8], big: bool| {
        let encoding = if big { UTF_16BE } else { UTF_16LE };
        let (text, bad) = encoding.decode_without_bom_handling(bytes);
        let faults = if bad { not_text(&text) } else { vec![] };
        (text.into_owned(), if big { Encoding::Utf16Be } else { Encoding::Utf16Le }, faults)
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, false),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, true),
        [0xEF, 0xBB, 0xBF, rest @ ..] => {
            let text = String::from_utf8_lossy(rest).into_owned();
            let faults = if std::str::from_utf8(rest).is_ok() { vec![] } else { not_text(&text) };
            (text, Encoding::Utf8, faults)
        }
        // The first letters of a script are ASCII: every second byte is NUL.
        [first, 0, second, 0, ..] if *first != 0 && *second != 0 => without_mark(utf16(bytes, false)),
        [0, first, 0, second, ..] if *first != 0 && *second != 0 => without_mark(utf16(bytes, true)),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => (text.to_owned(), Encoding::Utf8, vec![]),
            Err(_) => (WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(), Encoding::Ansi, vec![]),
        },
    }
}

fn without_mark(read: (String, Encoding, Vec<TextFault>)) -> (String, Encoding, Vec<TextFault>) {
    let (text, encoding, mut faults) = read;
    faults.insert(0, TextFault { line: 1, kind: TextFaultKind::NoMark });
    (text, encoding, faults)
}

fn not_text(text: &str) -> Vec<TextFault> {
    let at = text.find('\u{fffd}').unwrap_or(0);
    let line = text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
    vec![TextFault { line, kind: TextFaultKind::NotText }]
}

/// How a script is to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Without byte order mark.
    Utf8,
    /// Little endian, with byte order mark.
    Utf16Le,
}

/// The bytes of a text whose lines end with CR LF already.
#[must_use]
pub fn encode(text: &str, store: Store) -> Vec<u8> {
    match store {
        Store::Utf8 => text.as_bytes().to_vec(),
        Store::Utf16Le => [0xFEFF].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(ini: &Ini) -> Vec<(String, String, usize)> {
        ini.entries.iter().map(|entry| (entry.key.clone(), entry.value.clone(), entry.line)).collect()
    }

    fn kinds(bytes: &[u8]) -> Vec<(usize, TextFaultKind)> {
        read(bytes).faults.iter().map(|fault| (fault.line, fault.kind)).collect()
    }

    const TEXT: &str = "[Options]\r\n; a comment\r\nSiteName = Zürich = \"main\" ; x\r\n\r\nSiteCode=\"XYZ\"\r\n";

    #[test]
    fn every_encoding_gives_the_same_entries() {
        let utf16 = |big: bool, mark: bool| -> Vec<u8> {
            let units = mark.then_some(0xFEFF).into_iter().chain(TEXT.encode_utf16());
            units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
        };
        let expected =
            vec![("SiteName".to_owned(), "Zürich = \"main\" ; x".to_owned(), 3), ("SiteCode".into(), "XYZ".into(), 5)];
        for (bytes, encoding) in [
            (TEXT.as_bytes().to_vec(), Encoding::Utf8),
            ([b"\xef\xbb\xbf", TEXT.as_bytes()].concat(), Encoding::Utf8),
            (utf16(false, true), Encoding::Utf16Le),
            (utf16(true, true), Encoding::Utf16Be),
            (utf16(false, false), Encoding::Utf16Le),
            (utf16(true, false), Encoding::Utf16Be),
            (WINDOWS_1252.encode(TEXT).0.into_owned(), Encoding::Ansi),
            (encode(TEXT, Store::Utf8), Encoding::Utf8),
            (encode(TEXT, Store::Utf16Le), Encoding::Utf16Le),
        ] {
            let ini = read(&bytes);
            assert_eq!((ini.encoding, pairs(&ini)), (encoding, expected.clone()));
            assert!(ini.entries[1].quoted && !ini.entries[0].quoted);
        }
        assert_eq!(kinds(&utf16(false, false)), [(1, TextFaultKind::NoMark)]);
        assert_eq!(kinds(&utf16(true, true)), []);
    }

    #[test]
    fn faults_of_the_text_have_their_lines() {
        use TextFaultKind::{BadSection, Hash, MixedEnds, NoKey, NotAnEntry, NotText, Nul};
        for (text, expected) in [
            ("a=1\r\n[x]\nb=2\r", vec![(1, MixedEnds)]),
            ("[x]\na=1\nb=2\n", vec![]),
            ("[x]\n# old\na=1", vec![(2, Hash)]),
            ("[x\na=1", vec![(1, BadSection)]),
            ("[]\n[x] y\n[x] ; y", vec![(1, BadSection), (2, BadSection)]),
            ("[x]\nabc\n=1", vec![(2, NotAnEntry), (3, NoKey)]),
            ("[x]\na=1\0\n", vec![(2, Nul)]),
        ] {
            assert_eq!(kinds(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(kinds(b"\xef\xbb\xbf[x]\na=\xff"), [(2, NotText)]);
        assert_eq!(kinds(b"\xff\xfea\0=\0\x00\xd8"), [(1, NotText)]);
    }

    #[test]
    fn a_line_of_a_mebibyte_is_one_fault_and_the_rest_is_read() {
        let text = format!("[x]\na={}\nb=2\n", "y".repeat(1 << 20));
        assert_eq!(kinds(text.as_bytes()), [(2, TextFaultKind::TooLong)]);
        assert_eq!(pairs(&read(text.as_bytes())), [("b".to_owned(), "2".to_owned(), 3)]);
        let many = "x\n".repeat(1 << 19);
        assert!(kinds(many.as_bytes()).len() <= MAX_FAULTS + 2);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in any::<Vec<u8>>()) {
            let ini = read(&bytes);
            prop_assert!(ini.entries.iter().all(|entry| !entry.key.is_empty() && !entry.key.contains('\0')));
        }

        #[test]
        fn what_is_written_reads_back(names in proptest::collection::vec("[A-Za-z]{1,9}", 1..5), values in proptest::collection::vec("[ -~äß€]{0,30}", 5), wide in any::<bool>()) {
            let values: Vec<String> = values.iter().map(|value| value.trim().trim_matches('"').trim().to_owned()).collect();
            let text: String = names.iter().zip(&values).fold(String::new(), |text, (name, value)| text + name + "=" + value + "\r\n");
            let ini = read(&encode(&format!("[S]\r\n{text}"), if wide { Store::Utf16Le } else { Store::Utf8 }));
            let expected: Vec<(String, String, usize)> =
                names.iter().zip(values).enumerate().map(|(at, (name, value))| (name.clone(), value, at + 2)).collect();
            prop_assert_eq!(pairs(&ini), expected);
            prop_assert_eq!(ini.faults, vec![]);
        }
    }
}
