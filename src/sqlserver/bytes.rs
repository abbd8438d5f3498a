//! Reading little-endian fields, and a window over a stream that arrives in chunks of any size.
//!
//! Fields outside the slice read as zero: damaged files put lengths and offsets anywhere, and no such value may ever
//! become a panic.

/// The 16-bit number at `at`.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    array_at(bytes, at).map_or(0, u16::from_le_bytes)
}

/// The 32-bit number at `at`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    array_at(bytes, at).map_or(0, u32::from_le_bytes)
}

/// The 64-bit number at `at`.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    array_at(bytes, at).map_or(0, u64::from_le_bytes)
}

/// `N` bytes at `at`, if there are so many.
pub(super) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Text of 16-bit units; whatever is not text becomes a replacement character.
pub(super) fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16_at(pair, 0)).collect();
    String::from_utf16_lossy(&units)
}

/// Looks at a stream in pieces whose size depends on what was seen before.
///
/// As long as a piece lies whole in the caller's chunk it is handed out from there; only pieces that cross two chunks
/// are copied. Pieces are at most 64 KiB, so that is the most it ever holds.
#[derive(Debug, Default)]
pub(super) struct Window {
    carried: Vec<u8>,
}

impl Window {
    /// The next `need` bytes without consuming them, or `None` after having taken all of `input`.
    pub(super) fn fill<'w, 'i: 'w>(&'w mut self, input: &mut &'i [u8], need: usize) -> Option<&'w [u8]> {
        let chunk: &'i [u8] = input;
        if self.carried.is_empty() && chunk.len() >= need {
            return chunk.get(..need);
        }
        let missing = need.saturating_sub(self.carried.len()).min(chunk.len());
        let (taken, rest) = chunk.split_at(missing);
        self.carried.extend_from_slice(taken);
        *input = rest;
        self.carried.get(..need)
    }

    /// Consumes bytes that `fill` has shown.
    pub(super) fn consume(&mut self, input: &mut &[u8], count: usize) {
        let from_carried = count.min(self.carried.len());
        self.carried.drain(..from_carried);
        *input = input.get(count - from_carried..).unwrap_or_default();
    }

    /// Consumes up to `count` bytes unseen; says how many.
    pub(super) fn skip(&mut self, input: &mut &[u8], count: u64) -> u64 {
        let have = self.carried.len() + input.len();
        let taken = usize::try_from(count).unwrap_or(usize::MAX).min(have);
        self.consume(input, taken);
        taken as u64
    }

    /// What was carried over and not consumed.
    pub(super) fn rest(&self) -> &[u8] {
        &self.carried
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_that_cross_chunks_are_put_together() {
        let mut window = Window::default();
        let mut input: &[u8] = &[1, 2, 3];
        assert_eq!(window.fill(&mut input, 2), Some(&[1, 2][..]));
        window.consume(&mut input, 2);
        assert_eq!(window.fill(&mut input, 2), None);
        let mut input: &[u8] = &[4, 5];
        assert_eq!(window.fill(&mut input, 2), Some(&[3, 4][..]));
        assert_eq!(window.fill(&mut input, 3), Some(&[3, 4, 5][..]));
        window.consume(&mut input, 1);
        assert_eq!(window.skip(&mut input, 9), 2);
        assert!(window.rest().is_empty());
    }

    #[test]
    fn fields_outside_read_as_zero() {
        assert_eq!(u16_at(&[1, 2], 1), 0);
        assert_eq!(u32_at(&[], usize::MAX), 0);
        assert_eq!(u64_at(&[1, 0, 0, 0, 0, 0, 0, 0], 0), 1);
    }
}
