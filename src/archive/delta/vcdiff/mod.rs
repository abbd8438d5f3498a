//! VCDIFF (RFC 3284): a file as what differs from the same file in an earlier archive.
//!
//! Why this format: `xdelta3` rebuilds the file with nothing of ours at hand. What is written is the small part of the
//! format in which each window copies from the same byte range of the base ([`Encoder`]); what is read is everything
//! in it that means something without a second compressor ([`Window`]). Each window carries the Adler-32 of its
//! target, an extension of xdelta3: without it, the wrong base would give garbage and nobody would be told.
//!
//! ```text
//! D6 C3 C4 00 00      header of the file: version 0, Hdr_Indicator 0
//! per window:
//! 05 | 04             VCD_SOURCE + VCD_ADLER32; 04 when nothing is copied from the base
//! [S] [P]             only with VCD_SOURCE: length and position of the source segment in the base
//! L                   length of everything below
//! T                   length of the target window
//! 00                  Delta_Indicator: no secondary compression
//! D I A               lengths of the three sections below
//! aa bb cc dd         Adler-32 of the target window, big-endian
//! data, instructions, addresses
//! ```
//! Integers are big-endian in base 128; a set high bit says that more follows.
//!
//! Neither side reads or writes files, and both hold one window in memory.

mod decode;
mod encode;

pub use decode::{Skim, Window, check_header};
pub use encode::Encoder;

/// A VCDIFF file begins with it.
pub const HEADER: [u8; 5] = [0xD6, 0xC3, 0xC4, 0, 0];
/// The writer cuts the target into windows of this size; the last one is shorter.
pub const WINDOW: usize = 1 << 20;
/// Readers refuse windows that copy from more or give more. `xdelta3` 3.0.11 has the same limit.
pub const LARGEST: u64 = 16 << 20;
/// Readers refuse windows whose stored form is longer: the length is in the input, and a caller reads that much.
pub const LARGEST_DELTA: u64 = 2 * LARGEST;

// Win_Indicator.
const SOURCE: u8 = 0x01;
const TARGET: u8 = 0x02;
const ADLER32: u8 = 0x04;

// The default code table (RFC 3284, section 5.6).
const RUN: u8 = 0;
/// ADD with its size after it; the next 17 opcodes have sizes from 1 on.
const ADD: u8 = 1;
/// The last ADD that stands alone.
const ADD_LAST: u8 = 18;
/// COPY in mode 0 with its size after it; the next 15 opcodes have sizes from 4 on, then comes mode 1.
const COPY: u8 = 19;
const COPIES_PER_MODE: u8 = 16;
/// Address mode `VCD_HERE`: the address counts back from the place that is being written.
const HERE: u8 = 1;

/// An integer takes at most this many bytes: 64 bits, seven in each.
const INTEGER_BYTES: usize = 10;

/// Appends an integer.
fn put_integer(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; INTEGER_BYTES];
    let mut first = INTEGER_BYTES;
    loop {
        first -= 1;
        digits[first] = (value & 0x7F) as u8 | if first + 1 == INTEGER_BYTES { 0 } else { 0x80 };
        value >>= 7;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

/// How many bytes [`put_integer`] appends.
fn integer_bytes(value: u64) -> u64 {
    u64::from((64 - value.leading_zeros()).div_ceil(7).max(1))
}

/// The three sections of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Bytes of ADD and RUN.
    Data,
    /// Opcodes and sizes.
    Instructions,
    /// Where COPY copies from.
    Addresses,
}

impl std::fmt::Display for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::Instructions => "instruction",
            Self::Addresses => "address",
        })
    }
}

/// Why a VCDIFF file cannot be read. `at` counts from the first byte of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Other first bytes.
    #[error("not a VCDIFF file: it begins with {0:02x?} instead of d6 c3 c4")]
    Magic([u8; 3]),
    /// Another version of the format.
    #[error("byte 3 of the VCDIFF header: version {0} is not supported, only version 0")]
    Version(u8),
    /// The file names a second compressor.
    #[error("byte 4 of the VCDIFF header: Hdr_Indicator {0:#04x} asks for secondary compression")]
    SecondaryCompressor(u8),
    /// The file brings its own code table.
    #[error("byte 4 of the VCDIFF header: Hdr_Indicator {0:#04x} asks for an own code table")]
    CodeTable(u8),
    /// The file has an application header.
    #[error("byte 4 of the VCDIFF header: Hdr_Indicator {0:#04x} announces an application header")]
    ApplicationHeader(u8),
    /// Unknown bits in the header.
    #[error("byte 4 of the VCDIFF header: Hdr_Indicator {0:#04x} has unknown bits")]
    HeaderBits(u8),
    /// The input ends too early.
    #[error("the VCDIFF ends at byte {has} of the window, {needed} bytes are needed")]
    Truncated {
        /// Bytes that exist.
        has: u64,
        /// Bytes that must at least exist.
        needed: u64,
    },
    /// An integer of more than 64 bits.
    #[error("byte {at} of the window: an integer has more than 64 bits or {INTEGER_BYTES} bytes")]
    Integer {
        /// Where it begins.
        at: u64,
    },
    /// The window copies from the target's earlier windows.
    #[error("byte 0 of the window: Win_Indicator {0:#04x} asks for a source segment in the target (VCD_TARGET)")]
    TargetSegment(u8),
    /// Unknown bits in the window's first byte.
    #[error("byte 0 of the window: Win_Indicator {0:#04x} has unknown bits")]
    WindowBits(u8),
    /// The window has no Adler-32.
    #[error("byte 0 of the window: Win_Indicator {0:#04x} has no Adler-32, a wrong base would go unnoticed")]
    NoChecksum(u8),
    /// The source segment is larger than readers take.
    #[error("byte {at} of the window: the source segment has {bytes} bytes, more than {LARGEST}")]
    LargeSegment {
        /// Where its length is.
        at: u64,
        /// Its length.
        bytes: u64,
    },
    /// The source segment ends beyond 2^64.
    #[error("byte {at} of the window: a source segment of {bytes} bytes cannot be at position {position}")]
    SegmentPosition {
        /// Where the position is.
        at: u64,
        /// The position.
        position: u64,
        /// Length of the segment.
        bytes: u64,
    },
    /// The target window is larger than readers take.
    #[error("byte {at} of the window: the target window has {bytes} bytes, more than {LARGEST}")]
    LargeTarget {
        /// Where its length is.
        at: u64,
        /// Its length.
        bytes: u64,
    },
    /// The stored window is larger than readers take.
    #[error("byte {at} of the window: its stored form has {bytes} bytes, more than {LARGEST_DELTA}")]
    LargeDelta {
        /// Where the length is.
        at: u64,
        /// The length.
        bytes: u64,
    },
    /// The sections are compressed once more.
    #[error("byte {at} of the window: Delta_Indicator {bits:#04x} says that sections are compressed")]
    SecondaryCompression {
        /// Where it is.
        at: u64,
        /// The indicator.
        bits: u8,
    },
    /// Unknown bits in `Delta_Indicator`.
    #[error("byte {at} of the window: Delta_Indicator {bits:#04x} has unknown bits")]
    DeltaBits {
        /// Where it is.
        at: u64,
        /// The indicator.
        bits: u8,
    },
    /// L does not even cover the fields before the sections.
    #[error("byte {at} of the window: the {length} bytes that follow are too few for the window's fields")]
    ShortLength {
        /// Where the bytes begin that L counts.
        at: u64,
        /// L.
        length: u64,
    },
    /// The lengths contradict each other.
    #[error(
        "the window's lengths contradict each other: {length} bytes follow byte {at}, of which {fields} of fields, \
         {data} of data, {instructions} of instructions and {addresses} of addresses"
    )]
    Lengths {
        /// Where the bytes begin that L counts.
        at: u64,
        /// L.
        length: u64,
        /// Bytes of the fields before the sections.
        fields: u64,
        /// D.
        data: u64,
        /// I.
        instructions: u64,
        /// A.
        addresses: u64,
    },
    /// The caller read another number of bytes of the base.
    #[error("the window copies from a source segment of {expected} bytes, the base has {given}")]
    Source {
        /// S.
        expected: u64,
        /// What the caller gave.
        given: u64,
    },
    /// A section ends before its last integer or byte.
    #[error("byte {at} of the window: the {section} section ends too early, {needed} more bytes are needed")]
    SectionEnd {
        /// Where it ends, or where in it something begins that does not fit.
        at: u64,
        /// The section.
        section: Section,
        /// Bytes that are missing.
        needed: u64,
    },
    /// An instruction gives more bytes than the window has.
    #[error("byte {at} of the window: an instruction gives {bytes} bytes, only {left} are left of the target window")]
    Overrun {
        /// Where its opcode is.
        at: u64,
        /// Size of the instruction.
        bytes: u64,
        /// What is left.
        left: u64,
    },
    /// A COPY from bytes that do not exist (yet).
    #[error("byte {at} of the window: address {address} in mode {mode} is not before {here}, where it is copied to")]
    Address {
        /// Where the address is stored.
        at: u64,
        /// Address mode, 0 to 8.
        mode: u8,
        /// As stored in mode 1 (counted back), else as computed.
        address: u64,
        /// Length of the source segment and of the target so far.
        here: u64,
    },
    /// The instructions give too few bytes.
    #[error("byte {at} of the window: the instructions end after {has} of {expected} bytes of the target window")]
    Short {
        /// Where the instructions end.
        at: u64,
        /// What they gave.
        has: u64,
        /// T.
        expected: u64,
    },
    /// Bytes of a section are used by no instruction.
    #[error("byte {at} of the window: the last {left} bytes of the {section} section are not used")]
    Unused {
        /// Where they begin.
        at: u64,
        /// The section.
        section: Section,
        /// Their number.
        left: u64,
    },
    /// Wrong result.
    #[error(
        "byte {at} of the window: the Adler-32 is {stored:08x}, the rebuilt bytes have {rebuilt:08x}: \
         the base is another one, or one of the two is damaged"
    )]
    Checksum {
        /// Where it is stored.
        at: u64,
        /// As stored.
        stored: u32,
        /// Of the bytes rebuilt.
        rebuilt: u32,
    },
}

#[cfg(test)]
mod lies;
#[cfg(test)]
mod tests;
