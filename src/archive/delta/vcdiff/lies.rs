//! Every lie that a window can tell, and every freedom that a reader must grant.

use super::*;

/// A window in parts, each of which a test can replace.
#[derive(Clone)]
struct Parts {
    indicator: u8,
    segment: Option<(u64, u64)>,
    /// Added to the right L.
    length_error: i64,
    target_len: u64,
    delta_indicator: u8,
    data: Vec<u8>,
    instructions: Vec<u8>,
    addresses: Vec<u8>,
    /// Added to the right D, I, A.
    size_errors: [i64; 3],
    checksum: u32,
}

/// Makes `target` out of `source` at position 7.
fn parts(source: &[u8], target: &[u8], data: &[u8], instructions: &[u8], addresses: &[u8]) -> Parts {
    Parts {
        indicator: if source.is_empty() { ADLER32 } else { ADLER32 | SOURCE },
        segment: (!source.is_empty()).then_some((source.len() as u64, 7)),
        length_error: 0,
        target_len: target.len() as u64,
        delta_indicator: 0,
        data: data.to_vec(),
        instructions: instructions.to_vec(),
        addresses: addresses.to_vec(),
        size_errors: [0; 3],
        checksum: simd_adler32::adler32(&target),
    }
}

impl Parts {
    fn with(&self, change: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut parts = self.clone();
        change(&mut parts);
        parts.bytes()
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = vec![self.indicator];
        if let Some((len, position)) = self.segment {
            put_integer(len, &mut out);
            put_integer(position, &mut out);
        }
        let mut body = Vec::new();
        put_integer(self.target_len, &mut body);
        body.push(self.delta_indicator);
        let sections = [&self.data, &self.instructions, &self.addresses];
        for (section, error) in sections.iter().zip(self.size_errors) {
            put_integer((section.len() as u64).wrapping_add_signed(error), &mut body);
        }
        body.extend(self.checksum.to_be_bytes());
        body.extend(sections.into_iter().flatten());
        put_integer((body.len() as u64).wrapping_add_signed(self.length_error), &mut out);
        out.extend(body);
        out
    }
}

const SOURCE_BYTES: &[u8] = b"ABCDEFGH";

/// ADD 2, COPY 5 from the third byte of the source on: 13 bytes before the sections.
fn honest() -> Parts {
    parts(SOURCE_BYTES, b"xyCDEFG", b"xy", &[3, 21], &[2])
}

fn read(input: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut out = b"before".to_vec();
    let result = Window::parse(input).and_then(|window| {
        let (window, len) = window.expect("there is input");
        assert_eq!(len, input.len());
        let source = if window.source().is_some() { SOURCE_BYTES } else { &[] };
        window.decode(source, &mut out)
    });
    let made = out.strip_prefix(b"before").expect("nothing else is touched").to_vec();
    assert!(result.is_ok() || made.is_empty(), "a refused window leaves nothing behind");
    result.map(|()| made)
}

#[track_caller]
fn refused(input: &[u8], fault: Fault) {
    assert_eq!(read(input), Err(fault), "{fault}");
}

#[test]
fn honest_window_is_read() {
    assert_eq!(read(&honest().bytes()).unwrap(), b"xyCDEFG");
}

#[test]
fn headers_of_other_kinds_are_refused() {
    for (header, fault) in [
        ([0xD6, 0xC3, 0xC5, 0, 0], Fault::Magic([0xD6, 0xC3, 0xC5])),
        ([0xD6, 0xC3, 0xC4, 0x53, 0], Fault::Version(0x53)),
        ([0xD6, 0xC3, 0xC4, 0, 1], Fault::SecondaryCompressor(1)),
        ([0xD6, 0xC3, 0xC4, 0, 2], Fault::CodeTable(2)),
        ([0xD6, 0xC3, 0xC4, 0, 4], Fault::ApplicationHeader(4)),
        ([0xD6, 0xC3, 0xC4, 0, 8], Fault::HeaderBits(8)),
        ([0xD6, 0xC3, 0xC4, 0, 0x80], Fault::HeaderBits(0x80)),
    ] {
        assert_eq!(check_header(&header), Err(fault));
    }
    assert_eq!(check_header(&HEADER), Ok(5));
    assert_eq!(check_header(&HEADER[..4]), Err(Fault::Truncated { has: 4, needed: 5 }));
}

#[test]
fn window_indicators_of_other_kinds_are_refused() {
    for bits in 0..=u8::MAX {
        let result = read(&honest().with(|window| window.indicator = bits));
        match bits {
            5 => assert_eq!(result.unwrap(), b"xyCDEFG"),
            4 => assert!(result.is_err()), // S is then taken for L
            0 | 1 => assert_eq!(result, Err(Fault::NoChecksum(bits))),
            2 | 3 | 6 | 7 => assert_eq!(result, Err(Fault::TargetSegment(bits))),
            _ => assert_eq!(result, Err(Fault::WindowBits(bits))),
        }
    }
}

#[test]
fn compressed_sections_are_refused() {
    for bits in 1..=u8::MAX {
        let input = honest().with(|window| window.delta_indicator = bits);
        let fault =
            if bits < 8 { Fault::SecondaryCompression { at: 5, bits } } else { Fault::DeltaBits { at: 5, bits } };
        refused(&input, fault);
    }
}

#[test]
fn lengths_over_16_mib_are_refused_before_anything_is_allocated() {
    for bytes in [LARGEST + 1, 1 << 32, 1 << 63, u64::MAX] {
        refused(&honest().with(|window| window.segment = Some((bytes, 0))), Fault::LargeSegment { at: 1, bytes });
        refused(&honest().with(|window| window.target_len = bytes), Fault::LargeTarget { at: 4, bytes });
    }
    // Not too large, but nothing gives so many bytes.
    let input = honest().with(|window| window.target_len = LARGEST);
    refused(&input, Fault::Short { at: 20, has: 7, expected: LARGEST });
    let input = honest().with(|window| window.segment = Some((LARGEST, 0)));
    refused(&input, Fault::Source { expected: LARGEST, given: 8 });
}

#[test]
fn stored_forms_over_32_mib_are_refused() {
    for bytes in [LARGEST_DELTA + 1, 1 << 63, u64::MAX] {
        let length_error = bytes.wrapping_sub(14).cast_signed();
        refused(&honest().with(|window| window.length_error = length_error), Fault::LargeDelta { at: 3, bytes });
    }
}

#[test]
fn segments_beyond_64_bits_are_refused() {
    let at = 2;
    for position in [u64::MAX, u64::MAX - 7] {
        let input = honest().with(|window| window.segment = Some((8, position)));
        refused(&input, Fault::SegmentPosition { at, position, bytes: 8 });
    }
    assert!(read(&honest().with(|window| window.segment = Some((8, u64::MAX - 8)))).is_ok());
}

#[test]
fn integers_of_more_than_64_bits_are_refused() {
    let mut input = vec![5];
    input.extend([0x82; 9]);
    input.push(0);
    refused(&input, Fault::Integer { at: 1 });
    refused(&[&[5][..], &[0x80; 10], &[1]].concat(), Fault::Integer { at: 1 });
    // In the sections, too.
    let long = [&[1][..], &[0xFF; 10], &[0]].concat();
    refused(&parts(b"", b"x", b"x", &long, b"").bytes(), Fault::Integer { at: 13 });
    refused(&parts(SOURCE_BYTES, b"ABCD", b"", &[20], &[0xFF; 11]).bytes(), Fault::Integer { at: 14 });
}

#[test]
fn truncated_windows_are_refused_at_every_byte() {
    let whole = honest().bytes();
    for has in 1..whole.len() {
        let fault = read(&whole[..has]).unwrap_err();
        assert!(
            matches!(fault, Fault::Truncated { has: told, needed } if told == has as u64 && needed > told),
            "{fault}"
        );
    }
}

#[test]
fn sections_that_do_not_add_up_are_refused() {
    for section in 0..3 {
        for error in [-1, 1, 100, i64::MAX, i64::MIN] {
            let input = honest().with(|window| window.size_errors[section] = error);
            let fault = read(&input).unwrap_err();
            assert!(matches!(fault, Fault::Lengths { at: 4, .. } | Fault::ShortLength { at: 4, .. }), "{fault}");
        }
    }
    // Two lies that cancel each other out in 64 bits.
    let input = honest().with(|window| {
        window.size_errors = [i64::MIN, i64::MIN, 0];
        window.length_error = 0;
    });
    assert!(matches!(read(&input), Err(Fault::Lengths { .. })));
    let lengths = |length| Fault::Lengths { at: 4, length, fields: 9, data: 2, instructions: 2, addresses: 1 };
    refused(&honest().with(|window| window.length_error = -1)[..17], lengths(13));
    refused(&[&honest().with(|window| window.length_error = 1)[..], &[0]].concat(), lengths(15));
    for length in 0..9 {
        let input = honest().with(|window| window.length_error = length - 14);
        let fault = Fault::ShortLength { at: 4, length: length.cast_unsigned() };
        refused(&input, fault);
        // Without the other fields, only a window without room for T itself can be told.
        assert_eq!(Window::skim(&input).err(), (length == 0).then_some(fault));
    }
}

#[test]
fn instructions_past_the_end_of_the_window_are_refused() {
    let window = |data: &[u8], instructions: &[u8], addresses: &[u8]| {
        parts(SOURCE_BYTES, b"xxxx", data, instructions, addresses).bytes()
    };
    refused(&window(b"xxxxx", &[6], &[]), Fault::Overrun { at: 18, bytes: 5, left: 4 });
    refused(&window(b"xxx", &[4, 20], &[0]), Fault::Overrun { at: 17, bytes: 4, left: 1 });
    refused(&window(b"xx", &[3, 0, 3], &[]), Fault::Overrun { at: 16, bytes: 3, left: 2 });
    // ADD 2, COPY 4 in one opcode.
    refused(&window(b"xx", &[166], &[0]), Fault::Overrun { at: 15, bytes: 4, left: 2 });
    for opcode in [0, 1, 19, 35, 131, 147] {
        for size in [1 << 63, u64::MAX, LARGEST + 1] {
            let mut instructions = vec![opcode];
            put_integer(size, &mut instructions);
            refused(&window(b"x", &instructions, &[0]), Fault::Overrun { at: 14, bytes: size, left: 4 });
        }
    }
}

#[test]
fn addresses_not_before_the_copy_are_refused() {
    let window = |opcode: u8, address: u64| {
        let mut addresses = Vec::new();
        put_integer(address, &mut addresses);
        parts(SOURCE_BYTES, b"xxHxxxx", b"xx", &[3, opcode], &addresses).with(|window| window.target_len = 6)
    };
    let fault = |mode, address| Fault::Address { at: 17, mode, address, here: 10 };
    for address in [10, 11, 1 << 32, 1 << 63, u64::MAX] {
        refused(&window(20, address), fault(0, address));
        refused(&window(68, address), fault(3, address));
    }
    for address in [0, 11, 1 << 63, u64::MAX] {
        refused(&window(36, address), fault(1, address));
    }
    // The first bytes of a window without source.
    refused(&parts(b"", b"xxxx", b"", &[20], &[0]).bytes(), Fault::Address { at: 12, mode: 0, address: 0, here: 0 });
    refused(&parts(b"", b"xxxx", b"", &[116], &[0]).bytes(), Fault::Address { at: 12, mode: 6, address: 0, here: 0 });
    // A near address whose sum has more than 64 bits: 9 first, then 2^64 - 1 behind it.
    let addresses = [&[9][..], &[0x81], &[0xFF; 8], &[0x7F]].concat();
    let input = parts(SOURCE_BYTES, b"xxyyyyyyyy", b"xx", &[3, 20, 52], &addresses).bytes();
    refused(&input, Fault::Address { at: 19, mode: 2, address: u64::MAX, here: 14 });
}

#[test]
fn sections_that_end_too_early_are_refused() {
    let window = |data: &[u8], instructions: &[u8], addresses: &[u8]| {
        parts(SOURCE_BYTES, b"xxxx", data, instructions, addresses).bytes()
    };
    let ended = |at, section, needed| Fault::SectionEnd { at, section, needed };
    refused(&window(b"xx", &[5], &[]), ended(13, Section::Data, 2));
    refused(&window(b"", &[0, 4], &[]), ended(13, Section::Data, 1));
    refused(&window(b"xxxx", &[1], &[]), ended(18, Section::Instructions, 1));
    refused(&window(b"xxxx", &[1, 0x80], &[]), ended(18, Section::Instructions, 1));
    refused(&window(b"", &[20], &[]), ended(14, Section::Addresses, 1));
    refused(&window(b"", &[20], &[0x80, 0x80]), ended(14, Section::Addresses, 1));
    refused(&window(b"", &[116], &[]), ended(14, Section::Addresses, 1));
}

#[test]
fn sections_that_are_not_used_up_are_refused() {
    let window = |change: fn(&mut Parts)| honest().with(change);
    let unused = |at, section, left| Fault::Unused { at, section, left };
    refused(&window(|parts| parts.data.extend(b"abc")), unused(15, Section::Data, 3));
    refused(&window(|parts| parts.addresses.push(0)), unused(18, Section::Addresses, 1));
    refused(&window(|parts| parts.instructions.push(2)), Fault::Overrun { at: 17, bytes: 1, left: 0 });
    refused(&window(|parts| parts.target_len = 8), Fault::Short { at: 17, has: 7, expected: 8 });
    refused(&window(|parts| parts.instructions.clear()), Fault::Short { at: 15, has: 0, expected: 7 });
}

#[test]
fn wrong_results_are_refused() {
    let stored = honest().checksum ^ 1;
    let fault = Fault::Checksum { at: 9, stored, rebuilt: stored ^ 1 };
    refused(&honest().with(|window| window.checksum ^= 1), fault);
    assert_eq!(
        fault.to_string(),
        "byte 9 of the window: the Adler-32 is 0a26024a, the rebuilt bytes have 0a26024b: the base is another one, or \
         one of the two is damaged"
    );
}

#[test]
fn source_of_another_length_is_refused() {
    let input = honest().bytes();
    let (window, _) = Window::parse(&input).unwrap().unwrap();
    assert_eq!(window.source(), Some(7..15));
    for given in [0, 7, 9] {
        let fault = Fault::Source { expected: 8, given: given as u64 };
        assert_eq!(window.decode(&b"ABCDEFGHI"[..given], &mut Vec::new()), Err(fault));
    }
}

// ------------------------------------------------------------------------------------------------------ freedoms

/// A second decoder, written from RFC 3284 without looking at the first: one step for each byte, tables by hand.
fn naive(source: &[u8], data: &[u8], instructions: &[u8], addresses: &[u8]) -> Option<Vec<u8>> {
    fn integer<'a>(from: &mut impl Iterator<Item = &'a u8>) -> Option<usize> {
        let mut value = 0;
        loop {
            let byte = usize::from(*from.next()?);
            value = value << 7 | byte & 127;
            if byte < 128 {
                return Some(value);
            }
        }
    }

    let (mut data, mut instructions, mut addresses) = (data.iter(), instructions.iter(), addresses.iter());
    // (type, size, mode) twice, in the order of the RFC's table: N 0, A 1, R 2, C 3.
    let mut table: Vec<[(u8, usize, usize); 2]> = vec![[(2, 0, 0), (0, 0, 0)]];
    table.extend((0..18).map(|size| [(1, size, 0), (0, 0, 0)]));
    for mode in 0..9 {
        table.push([(3, 0, mode), (0, 0, 0)]);
        table.extend((4..19).map(|size| [(3, size, mode), (0, 0, 0)]));
    }
    for mode in 0..6 {
        for add in 1..5 {
            table.extend((4..7).map(|size| [(1, add, 0), (3, size, mode)]));
        }
    }
    for mode in 6..9 {
        table.extend((1..5).map(|add| [(1, add, 0), (3, 4, mode)]));
    }
    table.extend((0..9).map(|mode| [(3, 4, mode), (1, 1, 0)]));
    assert_eq!(table.len(), 256);

    let mut all = source.to_vec();
    let (mut near, mut slot, mut same) = ([0; 4], 0, [0; 768]);
    while let Some(&opcode) = instructions.next() {
        for (kind, size, mode) in table[usize::from(opcode)] {
            let size = if size == 0 && kind != 0 { integer(&mut instructions)? } else { size };
            match kind {
                1 => {
                    for _ in 0..size {
                        all.push(*data.next()?);
                    }
                }
                2 => {
                    let byte = *data.next()?;
                    all.extend(std::iter::repeat_n(byte, size));
                }
                3 => {
                    let address = match mode {
                        0 => integer(&mut addresses)?,
                        1 => all.len().checked_sub(integer(&mut addresses)?)?,
                        2..6 => near[mode - 2] + integer(&mut addresses)?,
                        _ => same[(mode - 6) * 256 + usize::from(*addresses.next()?)],
                    };
                    near[slot] = address;
                    slot = (slot + 1) % 4;
                    same[address % 768] = address;
                    (address < all.len()).then_some(())?;
                    (0..size).for_each(|at| all.push(all[address + at]));
                }
                _ => {}
            }
        }
    }
    (data.next().is_none() && addresses.next().is_none()).then(|| all.split_off(source.len()))
}

#[test]
fn run_and_overlapping_copies_are_read() {
    // RUN 3, ADD 1, COPY 300 from two bytes back, over its own output.
    let target = [&b"xxxy"[..], &b"xy".repeat(150)].concat();
    let input = parts(b"", &target, b"xy", &[0, 3, 2, 35, 0x82, 0x2C], &[2]).bytes();
    assert_eq!(read(&input).unwrap(), target);
    // From the source's last bytes on into the window.
    let input = parts(SOURCE_BYTES, b"zGHzGHzG", b"z", &[2, 35, 7], &[3]).bytes();
    assert_eq!(read(&input).unwrap(), b"zGHzGHzG");
    // Instructions of no bytes.
    let input = parts(SOURCE_BYTES, b"zA", b"zw", &[2, 1, 0, 0, 0, 19, 0, 19, 1], &[3, 0]).bytes();
    assert_eq!(read(&input).unwrap(), b"zA");
    // A window of no bytes.
    assert_eq!(read(&parts(b"", b"", b"", b"", b"").bytes()).unwrap(), b"");
}

#[test]
fn all_opcodes_and_address_modes_are_read_as_the_rfc_says() {
    for opcode in 0..=u8::MAX {
        // Fills the caches first: copies of 4 from 1, 2 and 3, then ADD 1.
        let mut instructions = vec![20, 20, 20, 2, opcode, 4, opcode, 4];
        if !matches!(opcode, 0 | 1) && (!(19..=162).contains(&opcode) || !(opcode - 19).is_multiple_of(16)) {
            instructions.remove(7);
            instructions.remove(5);
        }
        let mut seen = 0;
        for used in 0..24 {
            for address in 1..4 {
                let data = &b"abcdefghijklmnopqrstuvwxy"[..=used];
                for copies in 0..3 {
                    let addresses = [&[1, 2, 3][..], &[address; 2][..copies]].concat();
                    if let Some(target) = naive(SOURCE_BYTES, data, &instructions, &addresses) {
                        let input = parts(SOURCE_BYTES, &target, data, &instructions, &addresses).bytes();
                        assert_eq!(read(&input), Ok(target), "opcode {opcode}");
                        seen += 1;
                    }
                }
            }
        }
        // ADD of more bytes than the test has data for is seen in other tests.
        assert!(seen > 0 || (13..=18).contains(&opcode), "opcode {opcode} was not tried");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        cases: 20_000,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn any_instructions_are_read_as_by_the_naive_decoder(
        data in proptest::collection::vec(proptest::num::u8::ANY, 0..6),
        instructions in proptest::collection::vec(proptest::num::u8::ANY, 0..4),
        addresses in proptest::collection::vec(0..12u8, 0..4),
    ) {
        // Sizes of megabytes are for other tests.
        proptest::prop_assume!(instructions.iter().filter(|&&byte| byte > 127).count() < 3);
        match naive(SOURCE_BYTES, &data, &instructions, &addresses) {
            Some(target) => {
                let input = parts(SOURCE_BYTES, &target, &data, &instructions, &addresses).bytes();
                proptest::prop_assert_eq!(read(&input), Ok(target));
            }
            None => {
                for target in [0, 1, 5, 100] {
                    let target = vec![0; target];
                    let input = parts(SOURCE_BYTES, &target, &data, &instructions, &addresses).bytes();
                    proptest::prop_assert!(read(&input).is_err());
                }
            }
        }
    }
}
