//! Bytes of a log, in pieces of any size, to lines of text.
//!
//! The first bytes decide: a byte order mark means UTF-8 or UTF-16 for the whole file. Without one, every line is
//! UTF-8 if it can be, else Windows-1252, decided line by line: one odd byte must not change how the rest of the file
//! reads. A line ends with a line feed or a carriage return; empty lines are left out. Nothing is lost between two
//! pieces: an unfinished line, half a UTF-16 unit and half a byte order mark wait for what follows.
//!
//! A line longer than [`MAX_LINE_BYTES`] is handed over in pieces, so memory is bounded whatever the file holds, and no
//! status message is lost behind garbage: what may be the beginning of one goes to the next piece.

use std::borrow::Cow;

use encoding_rs::{UTF_16BE, UTF_16LE, WINDOWS_1252};
use memchr::{memchr2, memmem};

use super::line::STATUS_MARK;

/// A longer line is handed over in pieces.
pub const MAX_LINE_BYTES: usize = 64 * 1024;
/// Where a long line is cut, a status message that begins in the last bytes goes to the next piece,
const MESSAGE_BYTES: usize = 8 * 1024;
/// and so do the last bytes in any case: they may be the beginning of its mark.
const CARRIED_BYTES: usize = 256;

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

/// A line as it is in the file, decoded when someone asks for its text: most lines need not be.
#[derive(Debug, Clone, Copy)]
pub struct RawLine<'a> {
    encoding: Encoding,
    bytes: &'a [u8],
    /// A piece of a line that is longer than any writer of logs makes one.
    pub long: bool,
}

impl<'a> RawLine<'a> {
    /// The bytes, where every character of ASCII is one byte.
    pub(super) fn ascii(self) -> Option<&'a [u8]> {
        matches!(self.encoding, Encoding::Bytes | Encoding::Undecided).then_some(self.bytes)
    }

    /// The text.
    #[must_use]
    pub fn text(self) -> Cow<'a, str> {
        match self.encoding {
            Encoding::Utf16 { big_endian } => {
                let utf16 = if big_endian { UTF_16BE } else { UTF_16LE };
                utf16.decode_without_bom_handling(self.bytes).0
            }
            Encoding::Bytes | Encoding::Undecided => match std::str::from_utf8(self.bytes) {
                Ok(text) => Cow::Borrowed(text),
                // A piece may end inside a character; the rest of it is still UTF-8.
                Err(error) if error.error_len().is_none() && self.long => String::from_utf8_lossy(self.bytes),
                Err(_) => WINDOWS_1252.decode_without_bom_handling(self.bytes).0,
            },
        }
    }
}

/// Cuts bytes into lines of text.
#[derive(Debug, Clone)]
pub struct Lines {
    encoding: Encoding,
    line: Vec<u8>,
    /// A piece of this line was handed over already.
    long: bool,
    /// First byte of a UTF-16 unit whose second has not come yet.
    half: Option<u8>,
}

impl Default for Lines {
    fn default() -> Self {
        Self { encoding: Encoding::Undecided, line: Vec::new(), long: false, half: None }
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
        self.push_raw(bytes, |line| emit(&line.text()));
    }

    /// The same, and leaves decoding to `emit`.
    pub fn push_raw(&mut self, bytes: &[u8], mut emit: impl FnMut(RawLine<'_>)) {
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
        self.unfinished_raw().map(|line| line.text().into_owned())
    }

    pub(super) fn unfinished_raw(&self) -> Option<RawLine<'_>> {
        (!self.line.is_empty()).then_some(RawLine { encoding: self.encoding, bytes: &self.line, long: self.long })
    }

    fn split(&mut self, bytes: &[u8], emit: &mut impl FnMut(RawLine<'_>)) {
        match self.encoding {
            Encoding::Utf16 { big_endian } => self.split_units(bytes, big_endian, emit),
            Encoding::Bytes | Encoding::Undecided => {
                let mut rest = bytes;
                while let Some(end) = memchr2(b'\n', b'\r', rest) {
                    let (line, tail) = rest.split_at(end);
                    if self.line.is_empty() && line.len() < MAX_LINE_BYTES {
                        // Most lines are in one block, and need not be copied.
                        self.emit_bytes(line, emit);
                    } else {
                        self.append(line, emit);
                        self.end_line(emit);
                    }
                    rest = tail.get(1..).unwrap_or_default();
                }
                self.append(rest, emit);
            }
        }
    }

    fn split_units(&mut self, bytes: &[u8], big_endian: bool, emit: &mut impl FnMut(RawLine<'_>)) {
        let mut rest = bytes;
        if let Some(first) = self.half.take() {
            let Some((&second, tail)) = rest.split_first() else {
                self.half = Some(first);
                return;
            };
            self.unit([first, second], big_endian, emit);
            rest = tail;
        }
        let mut units = rest.chunks_exact(2);
        for unit in &mut units {
            self.unit([unit[0], unit[1]], big_endian, emit);
        }
        self.half = units.remainder().first().copied();
    }

    fn unit(&mut self, unit: [u8; 2], big_endian: bool, emit: &mut impl FnMut(RawLine<'_>)) {
        let [high, low] = if big_endian { unit } else { [unit[1], unit[0]] };
        if high == 0 && matches!(low, b'\n' | b'\r') {
            self.end_line(emit);
        } else {
            self.append(&unit, emit);
        }
    }

    fn append(&mut self, mut bytes: &[u8], emit: &mut impl FnMut(RawLine<'_>)) {
        while self.line.len() + bytes.len() >= MAX_LINE_BYTES {
            let (fits, rest) = bytes.split_at(MAX_LINE_BYTES - self.line.len());
            self.line.extend_from_slice(fits);
            self.emit_piece(emit);
            bytes = rest;
        }
        self.line.extend_from_slice(bytes);
    }

    /// Hands over a piece of a line that is too long, and keeps what may be the beginning of a status message.
    fn emit_piece(&mut self, emit: &mut impl FnMut(RawLine<'_>)) {
        self.long = true;
        let length = self.line.len();
        let tail = self.line.get(length.saturating_sub(MESSAGE_BYTES)..).unwrap_or_default();
        let mark = memmem::rfind(tail, STATUS_MARK.as_bytes()).map(|at| length.saturating_sub(MESSAGE_BYTES) + at);
        let (end, kept) = match mark {
            Some(at) => (at, at),
            None => (length, length.saturating_sub(CARRIED_BYTES)),
        };
        emit(RawLine { encoding: self.encoding, bytes: self.line.get(..end).unwrap_or_default(), long: true });
        self.line.drain(..kept);
    }

    fn end_line(&mut self, emit: &mut impl FnMut(RawLine<'_>)) {
        let line = std::mem::take(&mut self.line);
        self.emit_bytes(&line, emit);
        self.line = line;
        self.line.clear();
        self.long = false;
    }

    fn emit_bytes(&self, bytes: &[u8], emit: &mut impl FnMut(RawLine<'_>)) {
        if !bytes.is_empty() {
            emit(RawLine { encoding: self.encoding, bytes, long: self.long });
        }
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
    fn long_line_is_cut_into_pieces_and_the_next_one_is_read() {
        let mut bytes = vec![b'x'; 10 * MAX_LINE_BYTES];
        bytes.extend_from_slice(b"\nnext\n");
        let lines = lines(&[&bytes]);
        assert_eq!(lines.last().unwrap(), "next");
        assert!(lines.iter().all(|line| line.len() <= MAX_LINE_BYTES));
    }

    #[test]
    fn status_message_at_any_place_of_a_long_line_stays_whole() {
        let message = "STATMSG: ID=5055 NUMATTRS=0";
        for before in MAX_LINE_BYTES - 300..MAX_LINE_BYTES + 10 {
            let mut bytes = vec![b'x'; before];
            bytes.extend_from_slice(message.as_bytes());
            bytes.extend_from_slice(b"\nnext\n");
            let lines = lines(&[&bytes]);
            assert!(lines.iter().any(|line| line.ends_with(message)), "{before}");
        }
    }

    #[test]
    fn carriage_return_ends_a_line_and_empty_lines_are_left_out() {
        assert_eq!(lines(&[b"a\rb\r\n\r\nc\r"]), ["a", "b", "c"]);
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
