//! Writes a data file and a log file in the layout of SQL Server, filled with made-up rows.
//!
//! The pages carry valid headers, slot arrays and checksums, the allocation maps agree with them, and the log belongs
//! to the data file, so that whoever checks databases finds these sound. No server would attach them: there is no
//! system catalog in them. Rows consist of what real ones consist of, as far as compression is concerned: running
//! numbers, small numbers, times within weeks, GUIDs, hashes, and UTF-16 text that repeats itself.

#![allow(clippy::cast_possible_truncation, reason = "fields of the format are narrower than our counters")]

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use crate::data::{Random, Text};

const PAGE: usize = 8192;
const SECTOR: usize = 512;
const HEADER: usize = 96;
/// Pages of one free-space map.
const PFS_PAGES: u64 = 8088;
/// Pages of one allocation map.
const GAM_PAGES: u64 = 511_232;
/// The log file's newest part, where the checkpoint lies.
const LOG_SEQUENCE: u32 = 57;
/// Block of the checkpoint inside that part; pages were changed before it.
const CHECKPOINT_BLOCK: u32 = 64;

/// What to write.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) seed: u64,
    /// Length of the data file.
    pub(crate) data_bytes: u64,
    /// So much of it holds rows; the rest was never used, and is not written where the file system allows.
    pub(crate) filled_bytes: u64,
    /// Length of the log file.
    pub(crate) log_bytes: u64,
}

impl Shape {
    fn guid(&self, of: u64) -> [u8; 16] {
        let mut guid = [0; 16];
        Random::new(self.seed ^ (of << 32)).fill(&mut guid);
        guid
    }

    fn binding(&self) -> [u8; 16] {
        self.guid(1)
    }

    fn log_guid(&self) -> [u8; 16] {
        self.guid(2)
    }
}

/// What a table's rows look like.
struct Table {
    object: u32,
    page_type: u8,
    /// Small numbers in a row.
    numbers: usize,
    has_guid: bool,
    /// Bytes of hashes and the like.
    noise: usize,
    /// Letters at least, and so many more at most.
    letters: (usize, usize),
    /// So many runs of extents of a hundred belong to it.
    share: u64,
}

const TABLES: &[Table] = &[
    Table { object: 201, page_type: 1, numbers: 7, has_guid: true, noise: 0, letters: (50, 90), share: 34 },
    Table { object: 202, page_type: 1, numbers: 9, has_guid: false, noise: 4, letters: (24, 50), share: 24 },
    Table { object: 203, page_type: 1, numbers: 5, has_guid: true, noise: 20, letters: (130, 190), share: 14 },
    Table { object: 204, page_type: 2, numbers: 2, has_guid: true, noise: 0, letters: (0, 1), share: 5 },
    Table { object: 205, page_type: 2, numbers: 3, has_guid: false, noise: 0, letters: (14, 22), share: 13 },
    Table { object: 206, page_type: 3, numbers: 2, has_guid: false, noise: 48, letters: (1300, 600), share: 10 },
];

/// How an extent (8 pages) is used.
enum Use {
    Rows(&'static Table),
    /// Its table was dropped: rows are still there, but it is free.
    Freed(&'static Table),
    Never,
}

struct Layout<'a> {
    shape: &'a Shape,
    pages: u64,
    filled: u64,
}

impl Layout<'_> {
    fn extent(&self, extent: u64) -> Use {
        if extent * 8 >= self.filled {
            return Use::Never;
        }
        // Tables own runs of extents.
        let mut random = Random::new(self.shape.seed ^ (extent / 16));
        let mut place = random.below(100);
        let table = TABLES
            .iter()
            .find(|table| place.checked_sub(table.share).map(|rest| place = rest).is_none())
            .expect("the shares add up to 100");
        match Random::new(self.shape.seed ^ (extent << 20)).below(60) {
            0 if extent > 1 => Use::Freed(table),
            _ => Use::Rows(table),
        }
    }

    fn is_map(page: u64) -> bool {
        page.is_multiple_of(PFS_PAGES) || matches!(page % GAM_PAGES, 0 | 1 | 6 | 7)
    }

    fn is_allocated(&self, page: u64) -> bool {
        page < self.pages
            && !matches!(page, 4 | 5)
            && (page < 10 || Self::is_map(page) || matches!(self.extent(page / 8), Use::Rows(_)))
    }

    fn is_extent_allocated(&self, extent: u64) -> bool {
        (extent * 8..extent * 8 + 8).any(|page| self.is_allocated(page))
    }
}

/// Writes the data file.
pub(crate) fn write_data(file: &mut File, shape: &Shape, text: &Text) -> io::Result<()> {
    const BATCH: u64 = 512;
    let pages = shape.data_bytes / PAGE as u64 / 8 * 8;
    let layout = Layout { shape, pages, filled: (shape.filled_bytes / PAGE as u64 / 8 * 8).min(pages) };
    let mut batch = vec![0; PAGE * BATCH as usize];
    for start in (0..pages).step_by(BATCH as usize) {
        let count = BATCH.min(pages - start);
        let batch = &mut batch[..PAGE * count as usize];
        let mut is_empty = true;
        for (number, page) in (start..).zip(batch.chunks_exact_mut(PAGE)) {
            page.fill(0);
            is_empty &= !write_page(page, number, &layout, text);
        }
        if is_empty {
            continue; // a hole
        }
        file.seek(SeekFrom::Start(start * PAGE as u64))?;
        file.write_all(batch)?;
    }
    file.set_len(pages * PAGE as u64)
}

/// Fills one page. Returns whether there is anything on it.
fn write_page(page: &mut [u8], number: u64, layout: &Layout<'_>, text: &Text) -> bool {
    let mut random = Random::new(layout.shape.seed ^ (number << 8));
    match number {
        0 => record(page, number, 15, &[&file_header(layout.shape, layout.pages, 1)]),
        1 => free_space_map(page, number, layout),
        2 | 3 | 6 | 7 => allocation_map(page, number, layout),
        4 | 5 => return false,
        9 => record(page, number, 13, &[&boot_record(layout.shape)]),
        10 => record(page, number, 1, &[&log_file_row(layout.shape)]),
        _ if number.is_multiple_of(PFS_PAGES) => free_space_map(page, number, layout),
        _ if Layout::is_map(number) => allocation_map(page, number, layout),
        _ => match layout.extent(number / 8) {
            Use::Rows(table) | Use::Freed(table) => rows(page, number, table, &mut random, text),
            Use::Never => return false,
        },
    }
    let object = match number {
        10 => 24,
        _ if page[1] <= 3 => get_u32(page, 24),
        _ => 99,
    };
    put_u32(page, 24, object);
    put_u32(page, 40, LOG_SEQUENCE);
    put_u32(page, 44, 16 + random.below(u64::from(CHECKPOINT_BLOCK) - 16) as u32);
    put_u16(page, 48, 1 + random.below(50) as u16);
    let checksum = fold(page);
    put_u32(page, 60, checksum);
    true
}

fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn get_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// The checksum of pages and of log blocks; its own field must be zero.
fn fold(bytes: &[u8]) -> u32 {
    bytes.chunks_exact(SECTOR).fold(0_u32, |sum, sector| {
        let mut lanes = [0_u8; 16];
        for chunk in sector.chunks_exact(16) {
            for (lane, byte) in lanes.iter_mut().zip(chunk) {
                *lane ^= byte;
            }
        }
        sum.rotate_left(1) ^ get_u32(&lanes, 0) ^ get_u32(&lanes, 4) ^ get_u32(&lanes, 8) ^ get_u32(&lanes, 12)
    })
}

/// Header and slot array of a page whose `slots` records end at `end`.
fn header(page: &mut [u8], number: u64, page_type: u8, slots: &[u16], end: usize) {
    page[0] = 1;
    page[1] = page_type;
    put_u16(page, 4, 0x200);
    put_u16(page, 22, slots.len() as u16);
    put_u16(page, 28, (PAGE - end - 2 * slots.len()) as u16);
    put_u16(page, 30, end as u16);
    put_u32(page, 32, number as u32);
    put_u16(page, 36, 1);
    for (slot, offset) in slots.iter().enumerate() {
        put_u16(page, PAGE - 2 - 2 * slot, *offset);
    }
}

/// A page of a few records.
fn record(page: &mut [u8], number: u64, page_type: u8, records: &[&[u8]]) {
    let mut end = HEADER;
    let mut slots = Vec::new();
    for record in records {
        slots.push(end as u16);
        page[end..end + record.len()].copy_from_slice(record);
        end += record.len();
    }
    header(page, number, page_type, &slots, end);
}

fn rows(page: &mut [u8], number: u64, table: &Table, random: &mut Random, text: &Text) {
    let fixed = 4 + 4 * (1 + table.numbers) + 8 + if table.has_guid { 16 } else { 0 } + table.noise;
    let room = PAGE - [0, 0, 0, 300, 300, 1200, 3000][random.index(7)];
    let mut slots = Vec::with_capacity(200);
    let mut at = HEADER;
    loop {
        let letters = table.letters.0 + random.index(table.letters.1);
        let length = fixed + 4 + if letters > 0 { 4 + 2 * letters } else { 0 };
        if at + length + 2 * (slots.len() + 1) > room {
            break;
        }
        let row = &mut page[at..at + length];
        row[0] = if letters > 0 { 0x30 } else { 0x10 };
        put_u16(row, 2, fixed as u16);
        put_u32(row, 4, (number as u32) * 64 + slots.len() as u32);
        let mut column = 8;
        for index in 0..table.numbers {
            let bound = [50, 4, 700, 12, 90_000][index % 5];
            put_u32(row, column, random.below(1 + random.clone().below(bound)) as u32);
            column += 4;
        }
        put_u32(row, column, random.below(1440) as u32 * 18_000);
        put_u32(row, column + 4, 45_900 + random.below(60) as u32);
        column += 8;
        let noise = table.noise + if table.has_guid { 16 } else { 0 };
        random.fill(&mut row[column..column + noise]);
        put_u16(row, fixed, 3 + table.numbers as u16);
        if letters > 0 {
            put_u16(row, fixed + 4, 1);
            put_u16(row, fixed + 6, length as u16);
            // Long texts are put together from pieces, so that what repeats is short.
            for piece in row[fixed + 8..].chunks_mut(300) {
                let source = text.piece(random, piece.len() / 2);
                for (pair, letter) in piece.chunks_exact_mut(2).zip(source) {
                    pair[0] = *letter;
                }
            }
        }
        slots.push(at as u16);
        at += length;
    }
    header(page, number, table.page_type, &slots, at);
    put_u16(page, 14, fixed as u16);
    put_u32(page, 24, table.object);
}

/// PFS: which of the next 8,088 pages are allocated.
fn free_space_map(page: &mut [u8], number: u64, layout: &Layout<'_>) {
    let first = number / PFS_PAGES * PFS_PAGES;
    put_u16(page, HEADER + 2, 0x1f9c);
    for (entry, of) in page[100..100 + PFS_PAGES as usize].iter_mut().zip(first..) {
        *entry = if layout.is_allocated(of) { 0x44 } else { 0 };
    }
    header(page, number, 11, &[HEADER as u16], 100 + PFS_PAGES as usize);
}

/// GAM (free extents), SGAM (mixed extents: none), and the maps of changed extents.
fn allocation_map(page: &mut [u8], number: u64, layout: &Layout<'_>) {
    const EXTENTS: u64 = GAM_PAGES / 8;
    let first = number / GAM_PAGES * GAM_PAGES;
    let page_type = match (first, number - first) {
        (0, 2) | (1.., 0) => 8,
        (0, 3) | (1.., 1) => 9,
        (_, 6) => 16,
        _ => 17,
    };
    put_u16(page, HEADER + 2, 94);
    put_u16(page, 192, 7992);
    if matches!(page_type, 8 | 16) {
        for extent in 0..EXTENTS {
            if layout.is_extent_allocated(first / 8 + extent) == (page_type == 16) {
                page[194 + extent as usize / 8] |= 1 << (extent % 8);
            }
        }
    }
    header(page, number, page_type, &[HEADER as u16, 190], 194 + EXTENTS as usize / 8);
}

/// The record on page 0 of data file (`file` 1) and log (2).
fn file_header(shape: &Shape, pages: u64, file: u16) -> Vec<u8> {
    const COLUMNS: u16 = 49;
    const VARIABLE: u16 = 46;
    let name = if file == 1 { shape.name.to_owned() } else { format!("{}_log", shape.name) };
    let own_guid = if file == 1 { shape.guid(3) } else { shape.log_guid() };
    let pages = pages as u32;
    let column = |index: u16| -> Vec<u8> {
        match index {
            0 => shape.binding().to_vec(),
            2 => file.to_le_bytes().to_vec(),
            3 => (file % 2).to_le_bytes().to_vec(),
            4 | 12 => pages.to_le_bytes().to_vec(),
            5 | 14 => u32::MAX.to_le_bytes().to_vec(),
            6 => 8192_u32.to_le_bytes().to_vec(),
            7 | 13 | 24 => vec![0; 4],
            15 => 512_u32.to_le_bytes().to_vec(),
            8 | 9 | 10 | 16 | 18 | 19 | 20 | 22 | 25 | 38 | 39 => vec![0; 10],
            21 | 28 | 35 => vec![0; 16],
            23 => own_guid.to_vec(),
            27 => utf16(&name),
            _ => Vec::new(),
        }
    };
    let mut row = vec![0x30, 0, 8, 0, 0, 0, 0, 0];
    row.extend_from_slice(&COLUMNS.to_le_bytes());
    row.extend_from_slice(&[0; 7]);
    row.extend_from_slice(&VARIABLE.to_le_bytes());
    let mut end = row.len() + 2 * usize::from(VARIABLE);
    let columns: Vec<Vec<u8>> = (0..VARIABLE).map(column).collect();
    for column in &columns {
        end += column.len();
        row.extend_from_slice(&(end as u16).to_le_bytes());
    }
    row.extend(columns.into_iter().flatten());
    row
}

/// The record on page 9: SQL Server 2019, page verification by checksum, copied while running.
fn boot_record(shape: &Shape) -> Vec<u8> {
    let mut row = vec![0; 1700];
    row[2..4].copy_from_slice(&1700_u16.to_le_bytes());
    put_u16(&mut row, 4, 904);
    put_u16(&mut row, 6, 904);
    put_u32(&mut row, 0x24, 0x1_0008);
    put_u32(&mut row, 0x2c, 7_000_000);
    put_u32(&mut row, 0x30, 45_000);
    let name = utf16(shape.name);
    row[0x34..0x134].copy_from_slice(&utf16(&" ".repeat(128)));
    row[0x34..0x34 + name.len()].copy_from_slice(&name);
    put_u16(&mut row, 0x134, name.len() as u16);
    put_u16(&mut row, 0x138, 5);
    row[0x13a] = 150;
    for at in [0x15c, 0x174] {
        put_u32(&mut row, at, LOG_SEQUENCE);
        put_u32(&mut row, at + 4, CHECKPOINT_BLOCK);
        put_u16(&mut row, at + 8, 1);
    }
    put_u32(&mut row, 0x188, 872_468_488);
    row[0x198..0x1a8].copy_from_slice(&shape.guid(4));
    row[0x1c8..0x1d8].copy_from_slice(&shape.guid(4));
    row
}

/// The row that names the log file.
fn log_file_row(shape: &Shape) -> Vec<u8> {
    let mut row = vec![0x30, 0, 24, 0];
    row.extend_from_slice(&2_u32.to_le_bytes());
    row.extend_from_slice(&shape.log_guid());
    row.extend_from_slice(&[3, 0, 0, 0, 1, 0]);
    let name = utf16(&format!("{}_log", shape.name));
    row.extend_from_slice(&((row.len() + 2 + name.len()) as u16).to_le_bytes());
    row.extend_from_slice(&name);
    row
}

/// Writes the log file: parts that are full, and the newest one, half full.
pub(crate) fn write_log(file: &mut File, shape: &Shape, text: &Text) -> io::Result<()> {
    let pages = shape.log_bytes / PAGE as u64;
    let parts: u32 = if pages > 1024 { 8 } else { 2 };
    let part_pages = (pages - 1) / u64::from(parts);
    let mut first = vec![0; PAGE];
    record(&mut first, 0, 15, &[&file_header(shape, pages, 2)]);
    put_u16(&mut first, 4, 0x208);
    put_u16(&mut first, 36, 2);
    put_u32(&mut first, 24, 99);
    let checksum = fold(&first);
    put_u32(&mut first, 60, checksum);
    file.write_all(&first)?;

    let mut random = Random::new(shape.seed ^ 0x10f);
    let mut start = PAGE as u64;
    for part in 1..=parts {
        let sequence = LOG_SEQUENCE - parts + part;
        let is_newest = part == parts;
        let size = if is_newest { pages * PAGE as u64 - start } else { part_pages * PAGE as u64 };
        let mut bytes = vec![if is_newest { 0xc0 } else { 0 }; size as usize];
        bytes[..PAGE].fill(0);
        let parity = if sequence.is_multiple_of(2) { 0x80 } else { 0x40 };
        bytes[0] = 0xab;
        bytes[1] = parity;
        put_u16(&mut bytes, 2, 5);
        put_u32(&mut bytes, 4, sequence);
        put_u32(&mut bytes, 12, 1);
        put_u64(&mut bytes, 16, size);
        put_u64(&mut bytes, 24, start);
        let end = if is_newest { bytes.len() / 2 / SECTOR * SECTOR } else { bytes.len() };
        log_blocks(&mut bytes[..end], sequence, parity, &mut random, text);
        file.write_all(&bytes)?;
        start += size;
    }
    Ok(())
}

fn log_blocks(part: &mut [u8], sequence: u32, parity: u8, random: &mut Random, text: &Text) {
    let checkpoint = CHECKPOINT_BLOCK as usize * SECTOR;
    let (mut at, mut previous) = (PAGE, 0);
    while at < part.len() {
        let mut length = [1, 1, 2, 2, 4, 8, 8, 32, 100][random.index(9)] * SECTOR;
        length = length.min(part.len() - at);
        if at < checkpoint && at + length > checkpoint {
            length = checkpoint - at; // a block begins at the checkpoint
        }
        let block = &mut part[at..at + length];
        let sectors = length / SECTOR;
        block.fill(0);
        put_u16(block, 2, 1 + (length / 200) as u16);
        put_u16(block, 4, (length - sectors) as u16);
        put_u16(block, 6, length as u16);
        put_u16(block, 8, 3);
        put_u16(block, 10, previous);
        put_u32(block, 12, sequence);
        put_u32(block, 16, (at / SECTOR) as u32);
        put_u16(block, 20, 1);
        // Log records: a few bytes that are never the same, then what the row looked like.
        for log_record in block[72..length - sectors].chunks_mut(240) {
            let (head, tail) = log_record.split_at_mut(log_record.len().min(40));
            let half = head.len() / 2;
            random.fill(&mut head[half..]);
            for (pair, letter) in tail.chunks_exact_mut(2).zip(text.piece(random, 100)) {
                pair[0] = *letter;
            }
        }
        // Each sector's first byte is a stamp; what stood there moves to the end of the block.
        for sector in 0..sectors {
            block[length - 1 - sector] = block[sector * SECTOR];
            let first = if sector == 0 { 0x10 } else { 0 };
            let last = if sector + 1 == sectors { 0x08 } else { 0 };
            block[sector * SECTOR] = parity | first | last;
        }
        let checksum = fold(block);
        put_u32(block, 24, checksum);
        previous = length as u16;
        at += length;
    }
}
