//! Where the blocks of a log begin, in bounded memory, so that a data file's checkpoint can be looked up afterwards.
//!
//! Data file and log stream past in any order, so neither can ask the other while it passes. A log of hundreds of
//! gigabytes has millions of blocks, but a checkpoint lies near the end of the log. Hence: one byte for each block
//! (its size in sectors, 120 at most), and when there are too many, those of the oldest blocks are dropped. A look-up
//! among the dropped answers "not known", never "no".

use std::collections::{BTreeMap, VecDeque};

use super::value::Lsn;

/// Blocks remembered; 256 Ki blocks are 128 MiB of log at least, and 15 GiB of full blocks.
const BLOCKS: usize = 256 * 1024;
/// Virtual logs remembered.
const VIRTUAL_LOGS: usize = 4096;
/// Number of a virtual log's first block.
const FIRST_BLOCK: u32 = 16;

/// The remembered blocks of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trails {
    by_sequence: BTreeMap<u32, Trail>,
    blocks: usize,
    /// Virtual logs up to this one may have been dropped.
    forgotten: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Trail {
    /// Number of the first block that is still remembered.
    start: u32,
    sectors: VecDeque<u8>,
}

/// Answer to "does a block begin there?"
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Yes,
    No,
    Dropped,
}

impl Trails {
    /// A used virtual log begins.
    pub(super) fn begin(&mut self, sequence: u32) {
        self.by_sequence.entry(sequence).or_insert(Trail { start: FIRST_BLOCK, sectors: VecDeque::new() });
        if self.by_sequence.len() > VIRTUAL_LOGS
            && let Some((sequence, trail)) = self.by_sequence.pop_first()
        {
            self.blocks -= trail.sectors.len();
            self.forgotten = self.forgotten.max(Some(sequence));
        }
    }

    /// The next block of virtual log `sequence` follows, this many sectors long.
    pub(super) fn block(&mut self, sequence: u32, sectors: u8) {
        let Some(trail) = self.by_sequence.get_mut(&sequence) else { return };
        trail.sectors.push_back(sectors);
        self.blocks += 1;
        if self.blocks > BLOCKS {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        while let Some(mut oldest) = self.by_sequence.first_entry() {
            let trail = oldest.get_mut();
            if let Some(sectors) = trail.sectors.pop_front() {
                trail.start += u32::from(sectors);
                self.blocks -= 1;
                return;
            }
            self.forgotten = self.forgotten.max(Some(*oldest.key()));
            oldest.remove();
        }
    }

    /// Whether a block begins at `lsn`.
    pub(super) fn has(&self, lsn: Lsn) -> Known {
        let Some(trail) = self.by_sequence.get(&lsn.sequence) else {
            return if self.forgotten >= Some(lsn.sequence) { Known::Dropped } else { Known::No };
        };
        if lsn.block < trail.start {
            return if lsn.block >= FIRST_BLOCK { Known::Dropped } else { Known::No };
        }
        let mut start = trail.start;
        for &sectors in &trail.sectors {
            if start >= lsn.block {
                break;
            }
            start += u32::from(sectors);
        }
        // The place where the next block would begin is no block yet.
        let end = trail.start + trail.sectors.iter().map(|&sectors| u32::from(sectors)).sum::<u32>();
        if start == lsn.block && lsn.block < end { Known::Yes } else { Known::No }
    }

    /// The newest virtual log.
    pub(super) fn newest(&self) -> Option<u32> {
        self.by_sequence.last_key_value().map(|(&sequence, _)| sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lsn(sequence: u32, block: u32) -> Lsn {
        Lsn { sequence, block, slot: 1 }
    }

    #[test]
    fn blocks_are_found_where_they_begin() {
        let mut trails = Trails::default();
        trails.begin(7);
        trails.block(7, 4);
        trails.block(7, 120);
        assert_eq!(trails.has(lsn(7, 16)), Known::Yes);
        assert_eq!(trails.has(lsn(7, 20)), Known::Yes);
        assert_eq!(trails.has(lsn(7, 21)), Known::No);
        assert_eq!(trails.has(lsn(7, 140)), Known::No);
        assert_eq!(trails.has(lsn(8, 16)), Known::No);
        assert_eq!(trails.newest(), Some(7));
    }

    #[test]
    fn what_was_dropped_is_not_known_and_never_missing() {
        let mut trails = Trails::default();
        trails.begin(2);
        trails.block(2, 8);
        trails.begin(1);
        for _ in 0..BLOCKS + 10 {
            trails.block(1, 2);
        }
        assert_eq!(trails.has(lsn(2, 16)), Known::Yes);
        assert_eq!(trails.has(lsn(1, 16)), Known::Dropped);
        for sequence in 10..10 + u32::try_from(VIRTUAL_LOGS).expect("a small number") {
            trails.begin(sequence);
        }
        assert_eq!(trails.has(lsn(2, 16)), Known::Dropped);
        assert_eq!(trails.has(lsn(3, 16)), Known::No);
        assert!(trails.blocks <= BLOCKS);
    }
}
