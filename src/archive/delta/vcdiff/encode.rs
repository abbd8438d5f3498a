//! From a window of the target and the same bytes of the base to a window of VCDIFF.
//!
//! Database pages stay where they are in the file. So the base's bytes at the same place are compared first, which for
//! unchanged pages runs as fast as memory is read. What is left are gaps; in them bytes are searched that lie
//! elsewhere in changed pages of the base, because an engine that compacts a page moves its rows.
//!
//! The choices that keep the output small *after zstd* are in the addresses: every COPY has mode `VCD_HERE`, in which
//! each copy from the same place has the same address, S. The shortest mode would give as many different numbers.
//!
//! A window never takes more than its target and 64 bytes. All fields together have at most 40, an ADD of everything 5
//! more, and a COPY of 16 bytes or more costs at most eleven: opcode and size of itself, four bytes of address, opcode
//! and size of another ADD.

use std::ops::{Range, RangeInclusive};

use super::{ADD, ADLER32, COPIES_PER_MODE, COPY, HERE, LARGEST, SOURCE, integer_bytes, put_integer};

/// Pages of `SQL Server` and `PostgreSQL`. Other sizes cost nothing but a little speed.
const PAGE: usize = 8 << 10;
/// Shorter runs at the same place are not worth a COPY.
const SAME: usize = 16;
/// Shorter runs found elsewhere are not: their addresses differ, so zstd does not make them disappear.
const MOVED: usize = 24;
/// Length of the strings in the table. With one at every eighth byte, each run of 24 bytes holds a whole one.
const STRING: usize = 16;
const STEP: usize = 8;

/// 131,072 slots: one for each string of a window.
const SLOT_BITS: u32 = 17;
const SLOTS: usize = 1 << SLOT_BITS;
/// A slot holds, from the top: eight bits of the string's hash, the age, the place divided by [`STEP`].
const TAG_BITS: u32 = 8;
const PLACE_BITS: u32 = LARGEST.trailing_zeros() - STEP.trailing_zeros();
const OLDEST: u32 = (1 << (u32::BITS - TAG_BITS - PLACE_BITS)) - 1;

/// Writes windows. Its memory is used again for each of them.
#[derive(Debug)]
pub struct Encoder {
    /// Ranges that are equal at the same place, in order.
    same: Vec<Range<usize>>,
    strings: Strings,
    sections: Sections,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder; it serves any number of files.
    #[must_use]
    pub fn new() -> Self {
        Self { same: Vec::new(), strings: Strings::new(), sections: Sections::default() }
    }

    /// Appends the window that makes `target` out of `base`, the base file's bytes from `position` on.
    ///
    /// `base` may be shorter than the target and empty; what goes beyond the target's length is not looked at. The
    /// output depends on the arguments alone, not on earlier windows. An empty target gives nothing: a window without
    /// bytes says nothing. A target of more than [`LARGEST`] gives a window that no reader takes.
    pub fn window(&mut self, target: &[u8], base: &[u8], position: u64, out: &mut Vec<u8>) {
        if target.is_empty() {
            return;
        }
        debug_assert!(target.len() as u64 <= LARGEST, "no reader takes a window of {} bytes", target.len());
        let base = &base[..base.len().min(target.len())];
        self.same.clear();
        find_same(target, base, &mut self.same);
        self.find_moved(target, base);
        self.sections.write(target, base.len() as u64, position, out);
    }

    /// Fills the sections: copies from the same place, and in the gaps between them copies from elsewhere.
    fn find_moved(&mut self, target: &[u8], base: &[u8]) {
        let Self { same, strings, sections } = self;
        sections.clear();
        let searched = gaps(same, target.len()).any(|gap| gap.len() >= MOVED) && base.len() >= MOVED;
        if searched {
            strings.fill(base, gaps(same, target.len()));
        }
        let copies = same.iter().map(Some).chain([None]);
        for (gap, copy) in gaps(same, target.len()).zip(copies) {
            if searched && gap.len() >= MOVED {
                strings.search(target, base, gap, sections);
            } else {
                sections.add(&target[gap]);
            }
            if let Some(copy) = copy {
                sections.copy(base.len(), copy.start, copy.start, copy.len());
            }
        }
    }
}

/// What lies before, between and after the ranges; one more than there are ranges, any of them may be empty.
fn gaps(ranges: &[Range<usize>], end: usize) -> impl Iterator<Item = Range<usize>> {
    let starts = std::iter::once(0).chain(ranges.iter().map(|range| range.end));
    let ends = ranges.iter().map(|range| range.start).chain([end]);
    starts.zip(ends).map(|(start, end)| start..end)
}

/// Finds all runs of at least [`SAME`] bytes that are equal at the same place.
///
/// Looks at every sixteenth byte where nothing is equal: each run of sixteen holds one of them.
fn find_same(target: &[u8], base: &[u8], found: &mut Vec<Range<usize>>) {
    let target = &target[..base.len()];
    // A run can begin here, not earlier.
    let mut from = 0;
    while let Some(probe) = Some(from + SAME - 1).filter(|&probe| probe < base.len()) {
        if target[probe] != base[probe] {
            from = probe + 1;
            continue;
        }
        let start = probe - common_suffix(&target[from..probe], &base[from..probe]);
        let end = probe + 1 + common_prefix(&target[probe + 1..], &base[probe + 1..]);
        if end - start >= SAME {
            found.push(start..end);
        }
        // The byte at the end differs, or nothing is there.
        from = end + 1;
    }
}

/// Number of equal bytes from the beginning on: whole pages, then blocks, then bytes.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const BLOCK: usize = 32;
    let mut equal = 0;
    for size in [PAGE, BLOCK] {
        let blocks = a[equal..].chunks_exact(size).zip(b[equal..].chunks_exact(size));
        equal += size * blocks.take_while(|(a, b)| a == b).count();
    }
    equal + a[equal..].iter().zip(&b[equal..]).take_while(|(a, b)| a == b).count()
}

/// Number of equal bytes from the ends back.
fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}

/// A hash table of the strings in the changed pages of one base window.
///
/// A slot of an earlier window is told by its age, so the table is emptied every seventh time only. That is half of
/// what a window with a single changed page costs.
#[derive(Debug)]
struct Strings {
    slots: Box<[u32; SLOTS]>,
    age: u32,
}

impl Strings {
    fn new() -> Self {
        let slots = vec![0; SLOTS].into_boxed_slice();
        Self { slots: slots.try_into().expect("it has that many"), age: 0 }
    }

    /// Forgets the last window and takes the pages of the base in which there is a gap.
    fn fill(&mut self, base: &[u8], gaps: impl Iterator<Item = Range<usize>>) {
        if self.age == OLDEST {
            self.slots.fill(0);
            self.age = 0;
        }
        self.age += 1;
        let mut next = 0;
        let end = base.len().min(usize::try_from(LARGEST).unwrap_or(usize::MAX));
        for gap in gaps.filter(|gap| !gap.is_empty()) {
            let start = next.max(gap.start / PAGE * PAGE);
            next = next.max(gap.end.next_multiple_of(PAGE));
            for place in (start..next.min(end)).step_by(STEP) {
                // Zeros are everywhere; the table would only remember the last of them.
                match string_at(base, place) {
                    Some(0) => {}
                    Some(string) => {
                        let (slot, tag) = self.slot(string);
                        // `place` is less than LARGEST, so that it fits.
                        self.slots[slot] = tag | u32::try_from(place / STEP).unwrap_or(0);
                    }
                    None => return,
                }
            }
        }
    }

    /// The slot of a string, and what must be in its upper bits.
    #[expect(clippy::cast_possible_truncation, reason = "halves and bits are what is wanted")]
    fn slot(&self, string: u128) -> (usize, u32) {
        // As wyhash does: one multiplication to 128 bits, folded. The constants are the fractions of the golden ratio
        // and of the square root of 3; equal halves must not meet equal constants.
        let (low, high) = (string as u64 ^ 0x9E37_79B9_7F4A_7C15, (string >> 64) as u64 ^ 0xBB67_AE85_84CA_A73B);
        let product = u128::from(low) * u128::from(high);
        let hash = product as u64 ^ (product >> 64) as u64;
        let slot = (hash >> (u64::BITS - SLOT_BITS)) as usize;
        let tag = (hash >> (u64::BITS - SLOT_BITS - TAG_BITS)) as u32 & ((1 << TAG_BITS) - 1);
        (slot, tag << (u32::BITS - TAG_BITS) | self.age << PLACE_BITS)
    }

    /// Where in the base the string was seen last, if the table still has it.
    fn find(&self, string: u128, base: &[u8]) -> Option<usize> {
        let (slot, tag) = self.slot(string);
        let found = self.slots[slot];
        if (found ^ tag) >> PLACE_BITS != 0 {
            return None;
        }
        let place = (found & ((1 << PLACE_BITS) - 1)) as usize * STEP;
        (string_at(base, place) == Some(string)).then_some(place)
    }

    /// Writes a gap: copies of at least [`MOVED`] bytes and what is between them. No copy goes over the gap's ends,
    /// since there a copy from the same place is, which costs less.
    fn search(&self, target: &[u8], base: &[u8], gap: Range<usize>, sections: &mut Sections) {
        let window = &target[..gap.end];
        let mut written = gap.start;
        let mut at = gap.start;
        while let Some(string) = string_at(window, at) {
            if string == 0 {
                // Not in the table, and where one is, more are.
                at += 1 + window[at + STRING..].iter().take_while(|&&byte| byte == 0).count();
                continue;
            }
            if let Some(place) = self.find(string, base) {
                let before = common_suffix(&window[written..at], &base[..place]);
                let after = common_prefix(&window[at..], &base[place..]);
                if before + after >= MOVED {
                    sections.add(&window[written..at - before]);
                    sections.copy(base.len(), at - before, place - before, before + after);
                    at += after;
                    written = at;
                    continue;
                }
            }
            at += 1;
        }
        sections.add(&window[written..]);
    }
}

/// The 16 bytes at a place, if that many are there.
fn string_at(bytes: &[u8], place: usize) -> Option<u128> {
    bytes.get(place..place + STRING)?.first_chunk().map(|string| u128::from_le_bytes(*string))
}

/// The sections of a window in the making.
#[derive(Debug, Default)]
struct Sections {
    data: Vec<u8>,
    instructions: Vec<u8>,
    addresses: Vec<u8>,
}

impl Sections {
    fn clear(&mut self) {
        self.data.clear();
        self.instructions.clear();
        self.addresses.clear();
    }

    fn add(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.data.extend_from_slice(bytes);
            self.instruction(ADD, 1..=17, bytes.len());
        }
    }

    /// Copies `len` bytes from `place` in a segment of `segment` bytes to `at` in the window.
    fn copy(&mut self, segment: usize, at: usize, place: usize, len: usize) {
        self.instruction(COPY + COPIES_PER_MODE * HERE, 4..=18, len);
        put_integer((segment + at - place) as u64, &mut self.addresses);
    }

    /// `opcode` has the size after it, the ones behind it have the given sizes in them.
    fn instruction(&mut self, opcode: u8, sizes: RangeInclusive<u8>, size: usize) {
        if let Some(size) = u8::try_from(size).ok().filter(|size| sizes.contains(size)) {
            self.instructions.push(opcode + 1 + size - sizes.start());
        } else {
            self.instructions.push(opcode);
            put_integer(size as u64, &mut self.instructions);
        }
    }

    /// Appends the window with these sections.
    fn write(&self, target: &[u8], segment: u64, position: u64, out: &mut Vec<u8>) {
        let target_bytes = target.len() as u64;
        let sections = [&self.data, &self.instructions, &self.addresses];
        let sizes = sections.map(|section| section.len() as u64);
        if self.addresses.is_empty() {
            out.push(ADLER32);
        } else {
            out.push(ADLER32 | SOURCE);
            put_integer(segment, out);
            put_integer(position, out);
        }
        let fields = integer_bytes(target_bytes) + 1 + sizes.map(integer_bytes).iter().sum::<u64>() + 4;
        put_integer(fields + sizes.iter().sum::<u64>(), out);
        put_integer(target_bytes, out);
        out.push(0);
        for size in sizes {
            put_integer(size, out);
        }
        out.extend(simd_adler32::adler32(&target).to_be_bytes());
        for section in sections {
            out.extend_from_slice(section);
        }
    }
}
