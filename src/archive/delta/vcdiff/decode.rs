//! From windows of VCDIFF back to bytes.
//!
//! The input comes from storage and may be damaged or made by someone hostile: every length is compared with what is
//! there before anything is allocated or copied, and every refusal says where in the window the reason is. What a
//! refused window had appended is taken away again.

use std::ops::Range;

use super::{
    ADD, ADD_LAST, ADLER32, COPIES_PER_MODE, COPY, Fault, HEADER, HERE, INTEGER_BYTES, LARGEST, LARGEST_DELTA, RUN,
    SOURCE, Section, TARGET,
};

/// Looks at the header and returns its length.
///
/// # Errors
/// When it is none, or asks for something that only other decoders have.
pub fn check_header(input: &[u8]) -> Result<usize, Fault> {
    let truncated = Fault::Truncated { has: input.len() as u64, needed: HEADER.len() as u64 };
    let &[a, b, c, version, indicator] = input.first_chunk::<{ HEADER.len() }>().ok_or(truncated)?;
    match indicator {
        _ if [a, b, c] != HEADER[..3] => Err(Fault::Magic([a, b, c])),
        _ if version != 0 => Err(Fault::Version(version)),
        0 => Ok(HEADER.len()),
        bits if bits & !0x07 != 0 => Err(Fault::HeaderBits(bits)),
        bits if bits & 0x01 != 0 => Err(Fault::SecondaryCompressor(bits)),
        bits if bits & 0x02 != 0 => Err(Fault::CodeTable(bits)),
        bits => Err(Fault::ApplicationHeader(bits)),
    }
}

/// What the first bytes of a window say: enough to pass over it, or to know what of the base it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skim {
    /// The bytes of the base's file that it copies from.
    pub source: Option<Range<u64>>,
    /// How many bytes of the target it makes.
    pub target_len: u64,
    /// Its own length, from the first byte of it to the first of the next.
    pub window_len: u64,
}

/// A window, ready to be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window<'a> {
    skim: Skim,
    data: Cursor<'a>,
    instructions: Cursor<'a>,
    addresses: Cursor<'a>,
    /// Where the Adler-32 is.
    checksum_at: u64,
    checksum: u32,
}

impl<'a> Window<'a> {
    /// The fields before a window's sections never take more bytes, so [`Window::skim`] needs no more.
    pub const SKIM_BYTES: usize = 1 + 2 * INTEGER_BYTES + 2 * INTEGER_BYTES;

    /// Reads the length fields of the window at the beginning of `input`. None when the input is at its end.
    ///
    /// Its other fields and its sections are not looked at and need not be there.
    ///
    /// # Errors
    /// When these fields are not there, or when [`Window::parse`] would refuse them.
    pub fn skim(input: &[u8]) -> Result<Option<Skim>, Fault> {
        Ok(skim(input)?.map(|(skim, ..)| skim))
    }

    /// Reads the window at the beginning of `input`, all but its instructions, and says how many bytes it takes. None
    /// when the input is at its end.
    ///
    /// # Errors
    /// When it is not whole, when its lengths contradict each other, or when it is of a kind that is not read.
    pub fn parse(input: &'a [u8]) -> Result<Option<(Self, usize)>, Fault> {
        let Some((skim, fields, body_at)) = skim(input)? else { return Ok(None) };
        let needed = skim.window_len;
        let window = usize::try_from(needed).ok().and_then(|len| input.get(..len));
        let window = window.ok_or(Fault::Truncated { has: input.len() as u64, needed })?;
        let mut fields = Cursor { bytes: window, ..fields };
        let Fields { data, instructions, addresses, checksum_at, checksum } =
            Fields::read(&mut fields).map_err(|fault| {
                // The input is long enough: it is L that is too small.
                let Fault::Truncated { .. } = fault else { return fault };
                Fault::ShortLength { at: body_at, length: needed - body_at }
            })?;

        let lengths = Fault::Lengths {
            at: body_at,
            length: needed - body_at,
            fields: fields.at() - body_at,
            data,
            instructions,
            addresses,
        };
        let sum = data.checked_add(instructions).and_then(|sum| sum.checked_add(addresses));
        if sum != Some(fields.left()) {
            return Err(lengths);
        }
        let mut section = |name, len| {
            let start = fields.next;
            fields.take(len)?;
            Ok(Cursor { bytes: &window[..fields.next], next: start, section: Some(name) })
        };
        let parsed = Self {
            skim,
            data: section(Section::Data, data)?,
            instructions: section(Section::Instructions, instructions)?,
            addresses: section(Section::Addresses, addresses)?,
            checksum_at,
            checksum,
        };
        Ok(Some((parsed, window.len())))
    }

    /// The bytes of the base's file that [`Window::decode`] needs; none when it needs none. The base's file may be
    /// shorter: its size is known to the caller alone.
    #[must_use]
    pub fn source(&self) -> Option<Range<u64>> {
        self.skim.source.clone()
    }

    /// How many bytes [`Window::decode`] appends.
    #[must_use]
    pub fn target_len(&self) -> u64 {
        self.skim.target_len
    }

    /// Appends the target's bytes, made from `source`, the base's bytes in the range [`Window::source`].
    ///
    /// # Errors
    /// When the instructions do not give exactly the promised bytes; then `out` is as it was.
    pub fn decode(&self, source: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let expected = self.skim.source.as_ref().map_or(0, |range| range.end - range.start);
        if source.len() as u64 != expected {
            return Err(Fault::Source { expected, given: source.len() as u64 });
        }
        let start = out.len();
        let result = self.run(source, out).and_then(|()| {
            let rebuilt = simd_adler32::adler32(&out.get(start..).unwrap_or_default());
            let (at, stored) = (self.checksum_at, self.checksum);
            if rebuilt == stored { Ok(()) } else { Err(Fault::Checksum { at, stored, rebuilt }) }
        });
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn run(&self, source: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let Self { data, instructions, addresses, .. } = self;
        let (mut data, mut instructions, mut addresses) = (data.clone(), instructions.clone(), addresses.clone());
        let start = out.len();
        // Both lengths are at most LARGEST since the window was parsed, so that no sum below can overflow.
        let target_len = usize::try_from(self.skim.target_len).unwrap_or(usize::MAX);
        out.reserve(target_len);
        let mut cache = AddressCache::new();

        while instructions.left() > 0 {
            let at = instructions.at();
            let opcode = instructions.byte()?;
            for Instruction { kind, size } in CODE_TABLE[usize::from(opcode)] {
                if kind == Kind::Nothing {
                    continue;
                }
                let written = out.len() - start;
                let left = target_len - written;
                let bytes = if size == 0 { instructions.integer()? } else { u64::from(size) };
                let size = usize::try_from(bytes).ok().filter(|&size| size <= left);
                let size = size.ok_or(Fault::Overrun { at, bytes, left: left as u64 })?;
                match kind {
                    Kind::Nothing => {}
                    Kind::Add => out.extend_from_slice(data.take(bytes)?),
                    Kind::Run => {
                        let byte = data.byte()?;
                        out.resize(out.len() + size, byte);
                    }
                    Kind::Copy(mode) => {
                        let address = cache.read(mode, source.len() + written, &mut addresses)?;
                        copy(source, start, address, size, out);
                    }
                }
            }
        }

        let has = (out.len() - start) as u64;
        if has != self.skim.target_len {
            return Err(Fault::Short { at: instructions.at(), has, expected: self.skim.target_len });
        }
        for (cursor, section) in [(data, Section::Data), (addresses, Section::Addresses)] {
            if cursor.left() > 0 {
                return Err(Fault::Unused { at: cursor.at(), section, left: cursor.left() });
            }
        }
        Ok(())
    }
}

/// The fields between T and the sections.
struct Fields {
    data: u64,
    instructions: u64,
    addresses: u64,
    checksum_at: u64,
    checksum: u32,
}

impl Fields {
    fn read(fields: &mut Cursor<'_>) -> Result<Self, Fault> {
        let at = fields.at();
        match fields.byte()? {
            0 => {}
            bits if bits & !0x07 != 0 => return Err(Fault::DeltaBits { at, bits }),
            bits => return Err(Fault::SecondaryCompression { at, bits }),
        }
        let [data, instructions, addresses] = [fields.integer()?, fields.integer()?, fields.integer()?];
        let checksum_at = fields.at();
        let checksum = fields.take(4)?.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte));
        Ok(Self { data, instructions, addresses, checksum_at, checksum })
    }
}

/// The length fields, a cursor behind T, and where the bytes begin that L counts.
fn skim(input: &[u8]) -> Result<Option<(Skim, Cursor<'_>, u64)>, Fault> {
    let Some(&indicator) = input.first() else { return Ok(None) };
    match indicator {
        bits if bits & !(SOURCE | TARGET | ADLER32) != 0 => return Err(Fault::WindowBits(bits)),
        bits if bits & TARGET != 0 => return Err(Fault::TargetSegment(bits)),
        bits if bits & ADLER32 == 0 => return Err(Fault::NoChecksum(bits)),
        _ => {}
    }
    let mut fields = Cursor { bytes: input, next: 1, section: None };
    let source = if indicator & SOURCE == 0 {
        None
    } else {
        let at = fields.at();
        let bytes = fields.integer()?;
        if bytes > LARGEST {
            return Err(Fault::LargeSegment { at, bytes });
        }
        let at = fields.at();
        let position = fields.integer()?;
        let end = position.checked_add(bytes).ok_or(Fault::SegmentPosition { at, position, bytes })?;
        Some(position..end)
    };
    let at = fields.at();
    let length = fields.integer()?;
    if length > LARGEST_DELTA {
        return Err(Fault::LargeDelta { at, bytes: length });
    }
    let body_at = fields.at();
    let target_len = fields.integer()?;
    if target_len > LARGEST {
        return Err(Fault::LargeTarget { at: body_at, bytes: target_len });
    }
    if fields.at() > body_at + length {
        return Err(Fault::ShortLength { at: body_at, length });
    }
    Ok(Some((Skim { source, target_len, window_len: body_at + length }, fields, body_at)))
}

/// Copies from the source segment and the window so far, as if one followed the other. A copy may read what it has just
/// written.
fn copy(source: &[u8], start: usize, address: usize, mut size: usize, out: &mut Vec<u8>) {
    let mut from = start;
    if let Some(here) = source.get(address..) {
        let taken = &here[..size.min(here.len())];
        out.extend_from_slice(taken);
        size -= taken.len();
    } else {
        from += address - source.len();
    }
    while size > 0 {
        // What repeats gets longer with each turn, and so does the piece that can be copied at once. `from` is before
        // the end: an address was refused if not.
        let taken = size.min(out.len() - from);
        out.extend_from_within(from..from + taken);
        size -= taken;
    }
}

/// Reads one part of a window, and knows where in the window it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor<'a> {
    /// The window from its beginning to the end of the part.
    bytes: &'a [u8],
    next: usize,
    /// None before the sections.
    section: Option<Section>,
}

impl<'a> Cursor<'a> {
    fn at(&self) -> u64 {
        self.next as u64
    }

    fn left(&self) -> u64 {
        (self.bytes.len() - self.next) as u64
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], Fault> {
        let end = usize::try_from(len).ok().and_then(|len| self.next.checked_add(len));
        let Some((bytes, end)) = end.and_then(|end| Some((self.bytes.get(self.next..end)?, end))) else {
            return Err(self.ended(self.at(), len - self.left()));
        };
        self.next = end;
        Ok(bytes)
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Fault> {
        let Some(&byte) = self.bytes.get(self.next) else { return Err(self.ended(self.at(), 1)) };
        self.next += 1;
        Ok(byte)
    }

    #[inline]
    fn integer(&mut self) -> Result<u64, Fault> {
        let at = self.at();
        let mut value = 0;
        for _ in 0..INTEGER_BYTES {
            let Some(&byte) = self.bytes.get(self.next) else { return Err(self.ended(at, 1)) };
            if value >> (u64::BITS - 7) != 0 {
                break;
            }
            self.next += 1;
            value = value << 7 | u64::from(byte & 0x7F);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Fault::Integer { at })
    }

    #[cold]
    fn ended(&self, at: u64, needed: u64) -> Fault {
        let has = self.bytes.len() as u64;
        match self.section {
            None => Fault::Truncated { has, needed: has.saturating_add(needed) },
            Some(section) => Fault::SectionEnd { at, section, needed },
        }
    }
}

/// The addresses of earlier copies (RFC 3284, section 5.1).
struct AddressCache {
    near: [u32; NEAR as usize],
    next: usize,
    same: [u32; SAME as usize * 256],
}

/// Modes 2 to 5: as far behind one of the last four addresses.
const NEAR: u8 = 4;
/// Modes 6 to 8: the last address with these lower bits, by one byte.
const SAME: u8 = 3;
const FIRST_NEAR: u8 = HERE + 1;
const FIRST_SAME: u8 = FIRST_NEAR + NEAR;
const MODES: u8 = FIRST_SAME + SAME;

impl AddressCache {
    fn new() -> Self {
        Self { near: [0; NEAR as usize], next: 0, same: [0; SAME as usize * 256] }
    }

    /// Reads the next address, which must be before `here`.
    #[inline]
    fn read(&mut self, mode: u8, here: usize, addresses: &mut Cursor<'_>) -> Result<usize, Fault> {
        let at = addresses.at();
        let stored;
        let address = if mode < HERE {
            stored = addresses.integer()?;
            Some(stored)
        } else if mode == HERE {
            stored = addresses.integer()?;
            (here as u64).checked_sub(stored)
        } else if mode < FIRST_SAME {
            stored = addresses.integer()?.saturating_add(u64::from(self.near[usize::from(mode - FIRST_NEAR)]));
            Some(stored)
        } else {
            let slot = usize::from(mode - FIRST_SAME) * 256 + usize::from(addresses.byte()?);
            stored = u64::from(self.same[slot]);
            Some(stored)
        };
        let address = address.filter(|&address| address < here as u64).and_then(|address| u32::try_from(address).ok());
        let address = address.ok_or(Fault::Address { at, mode, address: stored, here: here as u64 })?;
        self.near[self.next] = address;
        self.next = (self.next + 1) % self.near.len();
        let place = address as usize;
        self.same[place % self.same.len()] = address;
        Ok(place)
    }
}

/// What an opcode stands for: two of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    kind: Kind,
    /// 0: the size comes after the opcode.
    size: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Run,
    Add,
    /// With an address mode.
    Copy(u8),
}

/// The default code table (RFC 3284, section 5.6).
static CODE_TABLE: [[Instruction; 2]; 256] = code_table();

const fn code_table() -> [[Instruction; 2]; 256] {
    /// The first opcode of ADD, then COPY.
    const ADD_COPY: u8 = COPY + COPIES_PER_MODE * MODES;
    /// The first of those whose COPY has a mode of the same cache; it is 4 bytes long.
    const ADD_COPY_SAME: u8 = ADD_COPY + 4 * 3 * FIRST_SAME;
    /// The first opcode of COPY, then ADD.
    const COPY_ADD: u8 = ADD_COPY_SAME + 4 * SAME;

    const fn instruction(kind: Kind, size: u8) -> Instruction {
        Instruction { kind, size }
    }
    let nothing = instruction(Kind::Nothing, 0);
    let mut table = [[nothing; 2]; 256];
    let mut code = 0;
    loop {
        table[code as usize] = match code {
            RUN => [instruction(Kind::Run, 0), nothing],
            ADD..=ADD_LAST => [instruction(Kind::Add, code - ADD), nothing],
            COPY..ADD_COPY => {
                let (mode, size) = ((code - COPY) / COPIES_PER_MODE, (code - COPY) % COPIES_PER_MODE);
                [instruction(Kind::Copy(mode), if size == 0 { 0 } else { size + 3 }), nothing]
            }
            ADD_COPY..ADD_COPY_SAME => {
                let (mode, sizes) = ((code - ADD_COPY) / 12, (code - ADD_COPY) % 12);
                [instruction(Kind::Add, sizes / 3 + 1), instruction(Kind::Copy(mode), sizes % 3 + 4)]
            }
            ADD_COPY_SAME..COPY_ADD => {
                let (mode, size) = ((code - ADD_COPY_SAME) / 4, (code - ADD_COPY_SAME) % 4);
                [instruction(Kind::Add, size + 1), instruction(Kind::Copy(FIRST_SAME + mode), 4)]
            }
            COPY_ADD..=u8::MAX => [instruction(Kind::Copy(code - COPY_ADD), 4), instruction(Kind::Add, 1)],
        };
        if code == u8::MAX {
            return table;
        }
        code += 1;
    }
}

/// Opcodes of a window with their sizes, for tests; only those that stand alone.
#[cfg(test)]
pub(super) fn opcodes(window: &Window<'_>) -> Vec<(u8, u64)> {
    let mut instructions = window.instructions.clone();
    let mut all = Vec::new();
    while instructions.left() > 0 {
        let opcode = instructions.byte().unwrap();
        let size = CODE_TABLE[usize::from(opcode)][0].size;
        all.push((opcode, if size == 0 { instructions.integer().unwrap() } else { u64::from(size) }));
    }
    all
}
