//! Unpacks LZ77+Huffman (XPRESS, \[MS-XCA\] 2.2), the packing of compressed backups.
//!
//! Only the first chunks of a backup are unpacked, for their headers; whether the others are what was written shows by
//! their checksums.

use super::bytes::u16_at;

/// Bytes of the table of code lengths.
const TABLE: usize = 256;
/// Symbols: 256 bytes, and 256 kinds of repetition.
const SYMBOLS: usize = 512;
/// Longest code in bits.
const LONGEST: u32 = 15;

/// Unpacks to exactly `plain` bytes; `None` when these are no packed bytes.
pub(super) fn unpack(packed: &[u8], plain: usize) -> Option<Vec<u8>> {
    if packed.len() == plain {
        return Some(packed.to_vec());
    }
    let lengths = packed.get(..TABLE)?;
    let length_of = |symbol: usize| u32::from(lengths[symbol / 2] >> (4 * (symbol % 2)) & 15);
    let codes = codes(length_of)?;
    let mut input = Input::new(packed);
    let mut output = Vec::with_capacity(plain);
    while output.len() < plain {
        let symbol = codes[usize::try_from(input.word >> (32 - LONGEST)).ok()?];
        input.consume(length_of(usize::from(symbol)))?;
        let Ok(repetition) = u16::try_from(i32::from(symbol) - 256) else {
            output.push(u8::try_from(symbol).ok()?);
            continue;
        };
        let length = input.length(usize::from(repetition % 16))?;
        let bits = u32::from(repetition / 16);
        let low = if bits == 0 { 0 } else { input.word >> (32 - bits) };
        let distance = usize::try_from((1 << bits) + low).ok()?;
        input.consume(bits)?;
        let start = output.len().checked_sub(distance)?;
        if output.len() + length > plain {
            return None;
        }
        for at in start..start + length {
            output.push(output[at]);
        }
    }
    Some(output)
}

/// The symbol for every beginning of [`LONGEST`] bits.
fn codes(length_of: impl Fn(usize) -> u32) -> Option<Vec<u16>> {
    let mut codes = Vec::with_capacity(1 << LONGEST);
    for length in 1..=LONGEST {
        for symbol in (0..SYMBOLS).filter(|&symbol| length_of(symbol) == length) {
            let end = codes.len() + (1 << (LONGEST - length));
            if end > 1 << LONGEST {
                return None;
            }
            codes.resize(end, u16::try_from(symbol).ok()?);
        }
    }
    (codes.len() == 1 << LONGEST).then_some(codes)
}

/// Input in words of 16, and bytes between them.
struct Input<'a> {
    packed: &'a [u8],
    at: usize,
    word: u32,
    /// So many bits are there beyond the first 16.
    extra: u32,
}

impl<'a> Input<'a> {
    fn new(packed: &'a [u8]) -> Self {
        let word = u32::from(u16_at(packed, TABLE)) << 16 | u32::from(u16_at(packed, TABLE + 2));
        Self { packed, at: TABLE + 4, word, extra: 16 }
    }

    /// `None` far behind the end: one word more than there is may be asked for.
    fn consume(&mut self, count: u32) -> Option<()> {
        self.word <<= count;
        if count > self.extra {
            let missing = count - self.extra;
            self.word |= u32::from(u16_at(self.packed, self.at)) << missing;
            self.at += 2;
            self.extra = 16 - missing;
        } else {
            self.extra -= count;
        }
        (self.at <= self.packed.len() + 4).then_some(())
    }

    /// The length of a repetition whose symbol says `short`.
    fn length(&mut self, short: usize) -> Option<usize> {
        if short < 15 {
            return Some(short + 3);
        }
        let byte = *self.packed.get(self.at)?;
        self.at += 1;
        if byte < 255 {
            return Some(usize::from(byte) + 15 + 3);
        }
        let length = usize::from(u16_at(self.packed, self.at));
        self.at += 2;
        (length >= 15).then_some(length + 3)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::synthetic::pack;
    use super::*;

    #[test]
    fn examples_of_the_specification_are_unpacked() {
        // \[MS-XCA\] 3.2: codes of 4 and 5 bits, and one repetition of 297 bytes.
        let mut packed = vec![0; 256];
        packed[0x30] = 0x50;
        packed[0x31..0x3b].fill(0x55);
        packed[0x3b..0x3e].copy_from_slice(&[0x45, 0x44, 0x04]);
        packed[0x80] = 0x04;
        packed.extend([0xd8, 0x52, 0x3e, 0xd7, 0x94, 0x11, 0x5b, 0xe9, 0x19, 0x5f, 0xf9, 0xd6, 0x7c, 0xdf, 0x8d, 0x04]);
        packed.extend([0; 4]);
        assert_eq!(unpack(&packed, 26).as_deref(), Some(&b"abcdefghijklmnopqrstuvwxyz"[..]));
        let mut packed = vec![0; 256];
        (packed[0x30], packed[0x31], packed[0x80], packed[0x8f]) = (0x30, 0x23, 0x02, 0x20);
        packed.extend([0xa8, 0xdc, 0, 0, 0xff, 0x26, 0x01]);
        assert_eq!(unpack(&packed, 300), Some(b"abc".repeat(100)));
    }

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked(bytes in prop::collection::vec(0_u8..9, 1..3000)) {
            prop_assert_eq!(unpack(&pack(&bytes), bytes.len()), Some(bytes));
        }

        #[test]
        fn any_bytes_are_unpacked_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..700), plain in 0_usize..4096) {
            prop_assert!(unpack(&bytes, plain).is_none_or(|output| output.len() == plain));
        }
    }
}
