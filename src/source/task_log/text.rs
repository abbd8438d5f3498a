//! Bytes of a log, in pieces of any size, to lines of text.
//!
//! The first bytes decide: a byte order mark means UTF-8 or UTF-16 for the whole file. Without one, every line is
//! UTF-8 if it can be, else Windows-1252, decided line by line: one odd byte must not change how the rest of the file
//! reads. Nothing is lost between two pieces: an unfinished line, half a UTF-16 unit and half a byte order mark wait
//! for what follows. A line longer than [`MAX_LINE_BYTES`] is cut there, so memory is bounded whatever the file holds.

use std::borrow::Cow;

use encoding_rs::{UTF_16BE, UTF_16LE, WINDOWS_1252};

/// What goes beyond this in one line is ignored.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// Fewer than three bytes were seen, and they may yet become a byte order mark.
    Undecided,
    /// UTF-8 or Windows-1252, whichever fits the line.
    Bytes,
    Utf16 {
        big_endian: bool,
    },
}

/// Cuts bytes into lines of text.
#[derive(Debug, Clone)]
pub struct Lines {
    encoding: Encoding,
    line: Vec<u8>,
    /// First byte of a UTF-16 unit whose second has not come yet.
    half: Option<u8>,
}

impl Default for Lines {
    fn default() -> Self {
        Self { encoding: Encoding::Undecided, line: Vec::new(), half: None }
    }
}

impl Lines {
    /// At the beginning of a file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and hands every line that they end to `emit`, without its line end.
    pub fn push(&mut self, bytes: &[u8], mut emit: impl FnMut(&str)) {
        if self.encoding != Encoding::Undecided {
            return self.split(bytes, &mut emit);
        }
        let mut start = std::mem::take(&mut self.line);
        start.extend_from_slice(bytes);
        let (encoding, mark) = match start.as_slice() {
            [0xEF, 0xBB, 0xBF, ..] => (Encoding::Bytes, 3),
            [0xFF, 0xFE, ..] => (Encoding::Utf16 { big_endian: false }, 2),
            [0xFE, 0xFF, ..] => (Encoding::Utf16 { big_endian: true }, 2),
            [] | [0xEF | 0xFF | 0xFE] | [0xEF, 0xBB] => {
                self.line = start;
                return;
            }
            _ => (Encoding::Bytes, 0),
        };
        self.encoding = encoding;
        self.split(start.get(mark..).unwrap_or_default(), &mut emit);
    }

    /// The last line so far, if no line end has come yet.
    #[must_use]
    pub fn unfinished(&self) -> Option<String> {
        (!self.line.is_empty()).then(|| decode(self.encoding, &self.line).into_owned())
    }

    fn split(&mut self, bytes: &[u8], emit: &mut impl FnMut(&str)) {
        match self.encoding {
            Encoding::Utf16 { big_endian } => self.split_units(bytes, big_endian, emit),
            Encoding::Bytes | Encoding::Undecided => {
                let mut rest = bytes;
                while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                    let (line, tail) = rest.split_at(end);
                    self.append(line);
                    self.emit(emit);
                    rest = tail.get(1..).unwrap_or_default();
                }
                self.append(rest);
            }
        }
    }

    fn split_units(&mut self, bytes: &[u8], big_endian: bool, emit: &mut impl FnMut(&str)) {
        let newline = if big_endian { [0, b'\n'] } else { [b'\n', 0] };
        for &byte in bytes {
            let Some(first) = self.half.take() else {
                self.half = Some(byte);
                continue;
            };
            let unit = [first, byte];
            if unit == newline {
                self.emit(emit);
            } else {
                self.append(&unit);
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        let room = MAX_LINE_BYTES.saturating_sub(self.line.len());
        self.line.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn emit(&mut self, emit: &mut impl FnMut(&str)) {
        emit(decode(self.encoding, &self.line).trim_end_matches('\r'));
        self.line.clear();
    }
}

fn decode(encoding: Encoding, line: &[u8]) -> Cow<'_, str> {
    match encoding {
        Encoding::Utf16 { big_endian } => {
            let utf16 = if big_endian { UTF_16BE } else { UTF_16LE };
            utf16.decode_without_bom_handling(line).0
        }
        Encoding::Bytes | Encoding::Undecided => match std::str::from_utf8(line) {
            Ok(text) => Cow::Borrowed(text),
            // A cut line may end inside a character; the rest of it is still UTF-8.
            Err(error) if error.error_len().is_none() && line.len() == MAX_LINE_BYTES => String::from_utf8_lossy(line),
            Err(_) => WINDOWS_1252.decode_without_bom_handling(line).0,
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::new();
        let mut out = Vec::new();
        for piece in pieces {
            lines.push(piece, |line| out.push(line.to_owned()));
        }
        out.extend(lines.unfinished());
        out
    }

    fn utf16(text: &str, big_endian: bool) -> Vec<u8> {
        let mark = "\u{feff}";
        let order = |unit: u16| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() };
        mark.encode_utf16().chain(text.encode_utf16()).flat_map(order).collect()
    }

    #[test]
    fn byte_order_mark_decides_the_encoding() {
        for bytes in [
            "\u{feff}Ümläut\r\nzwei\n".as_bytes().to_vec(),
            utf16("Ümläut\r\nzwei\n", false),
            utf16("Ümläut\r\nzwei\n", true),
        ] {
            assert_eq!(lines(&[&bytes]), ["Ümläut", "zwei"]);
        }
    }

    #[test]
    fn one_line_in_windows_1252_does_not_change_the_others() {
        assert_eq!(
            lines(&["Größe\n".as_bytes(), b"Gr\xF6\xDFe \x80\n", "Ελλάδα".as_bytes()]),
            ["Größe", "Größe €", "Ελλάδα"]
        );
    }

    #[test]
    fn long_line_is_cut_and_the_next_one_is_read() {
        let mut bytes = vec![b'x'; 10 * MAX_LINE_BYTES];
        bytes.extend_from_slice(b"\nnext\n");
        let lines = lines(&[&bytes]);
        assert_eq!(lines[0].len(), MAX_LINE_BYTES);
        assert_eq!(lines[1], "next");
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_read_like_the_whole(bytes in prop::collection::vec(any::<u8>(), 0..300), cuts in prop::collection::vec(0_usize..300, 0..8), mark in 0_usize..4) {
            let mut whole = [&b""[..], b"\xFF\xFE", b"\xFE\xFF", b"\xEF\xBB\xBF"][mark].to_vec();
            whole.extend(bytes);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(whole.len())).collect();
            cuts.extend([0, whole.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
            prop_assert_eq!(lines(&pieces), lines(&[&whole]));
        }
    }
}
