//! Builds small files of SQL Server from their formats, for tests and benchmarks.
//!
//! The checksums are computed here in the plain published form, apart from the fast one under test. No server would
//! attach these files: they hold no catalog.

const PAGE: usize = 8192;
/// Where the checkpoint of the built database lies.
const SEQUENCE: u32 = 26;
const CHECKPOINT: u32 = 40;

/// The first bytes of a linear congruential generator.
pub(crate) fn lcg(count: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = (1_103_515_245 * state + 12_345) % (1 << 31);
        (state >> 16) as u8
    };
    (0..count).map(|_| next()).collect()
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// The checksum in its published form: xor of each sector's xor, rotated by the number of sectors that follow.
fn checksum(bytes: &[u8]) -> u32 {
    let sectors = bytes.len() / 512;
    bytes.chunks(512).enumerate().fold(0, |sum, (i, sector)| {
        let column = sector.chunks(4).fold(0, |sum, bytes| sum ^ word(bytes));
        sum ^ column.rotate_left((sectors - 1 - i) as u32 % 32)
    })
}

/// Puts the right checksum into a page.
pub(crate) fn seal(page: &mut [u8]) {
    page[60..64].fill(0);
    let sum = checksum(page);
    put(page, 60, &sum.to_le_bytes());
}

/// Puts torn-page bits into a page.
pub(crate) fn stamp_torn_bits(page: &mut [u8], pattern: u32) {
    let mut bits = pattern;
    for sector in 1..16 {
        let last = &mut page[sector * 512 + 511];
        bits |= u32::from(*last & 3) << (2 * sector);
        *last = *last & !3 | pattern as u8;
    }
    page[4..6].copy_from_slice(&0x100_u16.to_le_bytes());
    put(page, 60, &bits.to_le_bytes());
}

/// A page with its header and these records, not sealed yet.
fn page(id: u32, file: u16, kind: u8, object: u32, records: &[Vec<u8>]) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    put(&mut page, 0, &[1, kind]);
    put(&mut page, 4, &0x200_u16.to_le_bytes());
    put(&mut page, 24, &object.to_le_bytes());
    put(&mut page, 32, &id.to_le_bytes());
    put(&mut page, 36, &file.to_le_bytes());
    put(&mut page, 40, &SEQUENCE.to_le_bytes());
    put(&mut page, 44, &(16 + id % 20).to_le_bytes());
    put(&mut page, 48, &[3, 0]);
    let mut at = 96;
    for (slot, record) in records.iter().enumerate() {
        put(&mut page, at, record);
        put(&mut page, PAGE - 2 - 2 * slot, &(at as u16).to_le_bytes());
        at += record.len();
    }
    put(&mut page, 22, &(records.len() as u16).to_le_bytes());
    put(&mut page, 28, &((PAGE - at).saturating_sub(2 * records.len()) as u16).to_le_bytes());
    put(&mut page, 30, &(at as u16).to_le_bytes());
    page
}

fn guid(tag: u8) -> Vec<u8> {
    (0..16).map(|i| tag.wrapping_mul(31).wrapping_add(i * 7) | 1).collect()
}

/// A sealed page of rows.
pub(crate) fn data_page(id: u32, file: u16) -> Vec<u8> {
    let rows: Vec<Vec<u8>> = (0..20_u32)
        .map(|row| {
            let mut bytes = vec![0x30, 0, 8, 0];
            bytes.extend((id * 100 + row).to_le_bytes());
            bytes.extend(format!("computer {id:06} of site P01, row {row}, last seen on a Monday. ").repeat(5).bytes());
            bytes
        })
        .collect();
    let mut page = page(id, file, 1, 101, &rows);
    seal(&mut page);
    page
}

/// A sealed file header page; file 2 is a log.
pub(crate) fn file_header_page(file: u16, pages: u32, name: &str) -> Vec<u8> {
    file_header_of(0, file, pages, name)
}

fn file_header_of(database: u8, file: u16, pages: u32, name: &str) -> Vec<u8> {
    let mut columns: Vec<Vec<u8>> = vec![vec![0; 4]; 46];
    columns[0] = guid(200 + database);
    columns[2] = file.to_le_bytes().to_vec();
    columns[3] = u16::from(file != 2).to_le_bytes().to_vec();
    columns[4] = pages.to_le_bytes().to_vec();
    columns[23] = guid(file as u8 + 10 * database);
    columns[27] = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut record = vec![0x30, 0, 8, 0, 0, 0, 0, 0, 49, 0];
    record.extend([0; 7]);
    record.extend(46_u16.to_le_bytes());
    let mut end = record.len() + 92;
    for column in &columns {
        end += column.len();
        record.extend((end as u16).to_le_bytes());
    }
    record.extend(columns.concat());
    let mut page = page(0, file, 15, 99, &[record]);
    seal(&mut page);
    page
}

/// A page of the rows that name the files of a database: number, type and state of each.
pub(crate) fn file_list_page(database: u8, files: &[(u16, u8, u8)]) -> Vec<u8> {
    let rows: Vec<Vec<u8>> = files
        .iter()
        .map(|&(file, kind, state)| {
            let mut row = vec![0; 248];
            put(&mut row, 0, &[0x30, 0, 248, 0, 1]);
            put(&mut row, 8, &file.to_le_bytes());
            put(&mut row, 20, &[kind, state]);
            put(&mut row, 52, &guid(file as u8 + 10 * database));
            row.extend([31, 0, 0, 0, 0, 0, 1, 0]);
            let name: Vec<u8> = format!("CM_XYZ_{file}").encode_utf16().flat_map(u16::to_le_bytes).collect();
            row.extend(((258 + name.len()) as u16).to_le_bytes());
            row.extend(name);
            row
        })
        .collect();
    page(10, 1, 1, 24, &rows)
}

/// What data file to build.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Data {
    /// Tells databases apart.
    pub(crate) database: u8,
    pub(crate) file: u16,
    pub(crate) pages: u32,
    /// The option word of the boot page.
    pub(crate) status: u32,
    pub(crate) version: u16,
    /// Sequence number of the log at the checkpoint.
    pub(crate) sequence: u32,
    /// Name of the database.
    pub(crate) name: &'static str,
    /// Does the first file name a data file 3?
    pub(crate) has_further: bool,
}

/// Checksums, cleanly shut down.
pub(crate) const CLEAN: u32 = 0x4001_0008;
/// Checksums, not shut down cleanly.
pub(crate) const UNCLEAN: u32 = 0x0001_0008;

impl Default for Data {
    fn default() -> Self {
        Self {
            database: 0,
            file: 1,
            pages: 64,
            status: CLEAN,
            version: 904,
            sequence: SEQUENCE,
            name: "CM_XYZ",
            has_further: false,
        }
    }
}

impl Data {
    /// Pages in use: the last eighth was never used, and 4 and 5 of every database are not.
    pub(crate) fn uses(&self, page: u32) -> bool {
        page < self.pages - self.pages / 8 / 8 * 8 && !matches!(page, 4 | 5)
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        (0..self.pages).flat_map(|id| self.page(id)).collect()
    }

    fn page(&self, id: u32) -> Vec<u8> {
        let mut page = match id {
            0 => return file_header_of(self.database, self.file, self.pages, self.name),
            1 => self.space_map(id),
            2 => self.allocation_map(id),
            9 if self.file == 1 => page(id, self.file, 13, 99, &[self.boot_record()]),
            10 if self.file == 1 => {
                let files = [(1, 0, 0), (2, 1, 0), (3, 0, 0)];
                let mut page = file_list_page(self.database, &files[..if self.has_further { 3 } else { 2 }]);
                put(&mut page, 32, &id.to_le_bytes());
                page
            }
            _ if id.is_multiple_of(8088) => self.space_map(id),
            _ if id.is_multiple_of(511_232) => self.allocation_map(id),
            _ if !self.uses(id) => return vec![0; PAGE],
            _ => data_page(id, self.file),
        };
        seal(&mut page);
        page
    }

    fn space_map(&self, id: u32) -> Vec<u8> {
        let first = id / 8088 * 8088;
        let byte = |page: u32| if page < self.pages && self.uses(page) { 0x44 } else { 0 };
        let record = [vec![0, 0, 0x9c, 0x1f], (first..first + 8088).map(byte).collect()].concat();
        page(id, self.file, 11, 99, &[record])
    }

    fn allocation_map(&self, id: u32) -> Vec<u8> {
        let first = id / 511_232 * 63_904;
        let free = |extent: u32| extent * 8 >= self.pages || !(0..8).any(|i| self.uses(extent * 8 + i));
        let bits = |at: u32| (0..8).fold(0, |byte, bit| byte | u8::from(free(first + at * 8 + bit)) << bit);
        let record = [vec![0, 0, 0x38, 0x1f], (0..7988).map(bits).collect()].concat();
        page(id, self.file, 8, 99, &[vec![0; 94], record])
    }

    fn boot_record(&self) -> Vec<u8> {
        let mut record = vec![0; 1786];
        put(&mut record, 4, &self.version.to_le_bytes());
        put(&mut record, 6, &self.version.to_le_bytes());
        put(&mut record, 0x24, &self.status.to_le_bytes());
        let name: Vec<u8> = self.name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        put(&mut record, 0x34, &[0x20; 256]);
        put(&mut record, 0x34, &name);
        put(&mut record, 0x134, &[name.len() as u8]);
        put(&mut record, 0x13a, &[150]);
        put(&mut record, 0x15c, &self.sequence.to_le_bytes());
        put(&mut record, 0x160, &CHECKPOINT.to_le_bytes());
        put(&mut record, 0x164, &[1]);
        put(&mut record, 0x198, &guid(250));
        record
    }
}

/// A log block with stamps and checksum.
pub(crate) fn log_block(parity: u8, sequence: u32, number: u32, sectors: usize, previous: u16, fill: u8) -> Vec<u8> {
    let size = sectors * 512;
    let mut block: Vec<u8> = (0..size).map(|i| (i as u8).wrapping_mul(fill)).collect();
    block[..72].fill(0);
    put(&mut block, 2, &4_u16.to_le_bytes());
    put(&mut block, 4, &((size - sectors) as u16).to_le_bytes());
    put(&mut block, 6, &(size as u16).to_le_bytes());
    put(&mut block, 8, &3_u16.to_le_bytes());
    put(&mut block, 10, &previous.to_le_bytes());
    put(&mut block, 12, &sequence.to_le_bytes());
    put(&mut block, 16, &number.to_le_bytes());
    put(&mut block, 20, &[1]);
    for sector in 0..sectors {
        block[size - 1 - sector] = block[sector * 512];
        block[sector * 512] =
            parity | if sector == 0 { 0x10 } else { 0 } | if sector + 1 == sectors { 0x08 } else { 0 };
    }
    let sum = checksum(&block);
    put(&mut block, 24, &sum.to_le_bytes());
    block
}

/// Blocks from number 16 on until `sectors` are filled.
fn blocks(parity: u8, sequence: u32, sectors: u32) -> Vec<u8> {
    let sizes = [1_u32, 3, 4, 16, 8];
    let (mut bytes, mut number, mut previous) = (Vec::new(), 16, 0);
    for size in sizes.into_iter().cycle() {
        let left = 16 + sectors - number;
        let size = if left < 17 { left } else { size };
        if size == 0 {
            return bytes;
        }
        bytes.extend(log_block(parity, sequence, number, size as usize, previous, 11));
        number += size;
        previous = (size * 512) as u16;
    }
    bytes
}

/// Bytes of each virtual log of the built log.
pub(crate) const VIRTUAL_LOG: usize = 8 * PAGE;

/// A log of four virtual logs: full, full, the newest (filled to its block 72), never used.
pub(crate) fn log(database: u8, newest: u32) -> Vec<u8> {
    let mut bytes = file_header_of(database, 2, 33, "CM_XYZ_log");
    for (at, sequence) in [newest - 2, newest - 1, newest, 0].into_iter().enumerate() {
        let parity = match sequence {
            0 => 0,
            _ if sequence % 2 == 0 => 0x40,
            _ => 0x80,
        };
        let mut area = vec![0; PAGE];
        put(&mut area, 0, &[0xab, parity, 5, 0]);
        put(&mut area, 4, &sequence.to_le_bytes());
        put(&mut area, 16, &(VIRTUAL_LOG as u64).to_le_bytes());
        put(&mut area, 24, &((PAGE + at * VIRTUAL_LOG) as u64).to_le_bytes());
        area.extend(match sequence {
            0 => vec![0; VIRTUAL_LOG - PAGE],
            _ if sequence == newest => blocks(parity, sequence, 56),
            _ => blocks(parity, sequence, 112),
        });
        if sequence == newest {
            // An older round, of the other parity.
            let old = log_block(parity ^ 0xc0, newest - 3, 72, 4, 512, 7);
            area.extend(old);
        }
        area.resize(VIRTUAL_LOG, 0xc0);
        bytes.extend(area);
    }
    bytes
}

/// Where the newest virtual log's blocks begin and end.
pub(crate) const NEWEST_BLOCKS: std::ops::Range<usize> =
    PAGE + 2 * VIRTUAL_LOG + PAGE..PAGE + 2 * VIRTUAL_LOG + PAGE + 56 * 512;

fn sum16(bytes: &[u8]) -> u16 {
    bytes.chunks(2).fold(0, |sum, pair| sum ^ u16::from_le_bytes([pair[0], pair[1]]))
}

fn descriptor(kind: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    put(&mut bytes, 0, kind);
    put(&mut bytes, 8, &(length as u16).to_le_bytes());
    put(&mut bytes, 10, &[14, 1]);
    put(&mut bytes, 48, &[2]);
    let sum = sum16(&bytes[..50]);
    put(&mut bytes, 50, &sum.to_le_bytes());
    bytes
}

/// A backup under construction; remembers which bytes a checksum covers.
#[derive(Debug, Default)]
pub(crate) struct Backup {
    pub(crate) bytes: Vec<u8>,
    pub(crate) covered: Vec<std::ops::Range<usize>>,
}

impl Backup {
    fn cover(&mut self, bytes: &[u8], covered: usize) {
        let at = self.bytes.len();
        self.covered.push(at..at + covered);
        self.bytes.extend(bytes);
    }

    fn stream(&mut self, kind: &[u8], attributes: u16, content: &[u8]) {
        let mut header = vec![0; 22];
        put(&mut header, 0, kind);
        put(&mut header, 6, &attributes.to_le_bytes());
        put(&mut header, 8, &(content.len() as u64).to_le_bytes());
        let sum = sum16(&header[..20]);
        put(&mut header, 20, &sum.to_le_bytes());
        self.cover(&header, 22);
        if attributes & 0x100 != 0 {
            self.bytes.extend(&content[..2]);
            self.cover(&content[2..], content.len() - 2);
        } else if kind == b"CSUM" {
            self.cover(content, 4);
        } else {
            self.bytes.extend(content);
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn summed(&mut self, kind: &[u8], content: &[u8], with_checksum: bool) {
        let content = [&[0, 0], content].concat();
        if with_checksum {
            self.stream(kind, 0x102, &content);
            self.stream(b"CSUM", 0, &checksum(&content[2..]).to_le_bytes());
        } else {
            self.stream(kind, 2, &content);
        }
    }

    fn pad(&mut self) {
        let left = (self.bytes.len() + 22).next_multiple_of(1024) - self.bytes.len() - 22;
        self.stream(b"SPAD", 0, &vec![0; left]);
    }

    fn block(&mut self, kind: &[u8]) {
        let bytes = descriptor(kind, if kind == b"SFMB" { 512 } else { 60 });
        self.cover(&bytes, 52);
    }

    /// A block with more bytes than its common header.
    fn long_block(&mut self, bytes: &[u8]) {
        self.cover(bytes, 52);
    }

    fn begin(&mut self, headers: Headers) {
        let mut tape = descriptor(b"TAPE", 160);
        let writer: Vec<u8> = "Microsoft SQL Server".encode_utf16().flat_map(u16::to_le_bytes).collect();
        put(&mut tape, 94, &writer);
        self.cover(&tape, 52);
        self.stream(b"RAID", 0, &headers.raid());
        self.pad();
        self.block(b"SFMB");
        self.set(headers);
    }

    fn set(&mut self, headers: Headers) {
        self.long_block(&headers.set());
        self.pad();
        self.block(b"MSCI");
        self.stream(b"MQCI", 0, &headers.info());
        self.pad();
    }

    fn end(&mut self) {
        self.block(b"SFMB");
        self.block(b"ESET");
        self.pad();
        self.block(b"ESET");
        self.pad();
        self.block(b"SFMB");
    }

    /// A full backup of the data file.
    pub(crate) fn of(data: &[u8], with_checksum: bool) -> Self {
        Self::with(data, with_checksum, Headers::default())
    }

    /// A backup of the data file, with these headers.
    pub(crate) fn with(data: &[u8], with_checksum: bool, headers: Headers) -> Self {
        let mut backup = Self::default();
        backup.begin(headers);
        backup.block(b"MSDA");
        backup.stream(b"APAD", 0x80, &[0; 90]);
        backup.summed(b"MQDA", data, with_checksum);
        backup.stream(b"MQDA", 6, &[]);
        backup.pad();
        backup.transaction_log(with_checksum);
        backup.end();
        backup
    }

    /// A log backup with these headers.
    pub(crate) fn log(headers: Headers) -> Self {
        let mut backup = Self::default();
        backup.begin(headers);
        backup.transaction_log(true);
        backup.end();
        backup
    }

    fn transaction_log(&mut self, with_checksum: bool) {
        self.block(b"MSTL");
        let mut log = blocks(0x40, SEQUENCE, 56);
        log.resize(65_536, 0);
        self.summed(b"MQTL", &log, with_checksum);
        self.pad();
    }
}

/// What the headers of a backup are to say. Positions in the log are (virtual log, block).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Headers {
    /// Tells backups apart: all files of one have the same.
    pub(crate) media_set: u8,
    /// What a differential backup names as its base.
    pub(crate) set: u8,
    pub(crate) families: u16,
    pub(crate) family: u16,
    pub(crate) database: &'static str,
    pub(crate) first: (u32, u32),
    pub(crate) last: (u32, u32),
    pub(crate) checkpoint: (u32, u32),
    /// The checkpoint of the full of set [`Self::base_set`]: makes it a differential backup.
    pub(crate) base: Option<(u32, u32)>,
    pub(crate) base_set: u8,
}

impl Default for Headers {
    fn default() -> Self {
        Self {
            media_set: 1,
            set: 1,
            families: 1,
            family: 1,
            database: "CM_XYZ",
            first: (SEQUENCE, CHECKPOINT),
            last: (SEQUENCE, 72),
            checkpoint: (SEQUENCE, CHECKPOINT),
            base: None,
            base_set: 1,
        }
    }
}

impl Headers {
    fn raid(&self) -> Vec<u8> {
        let mut raid = vec![0; 64];
        put(&mut raid, 0, &guid(100u8.wrapping_add(self.media_set)));
        put(&mut raid, 20, &self.families.to_le_bytes());
        put(&mut raid, 24, &self.family.to_le_bytes());
        raid
    }

    fn set(&self) -> Vec<u8> {
        let mut set = descriptor(b"SSET", 200);
        put(&mut set, 52, &(if self.base.is_some() { 8_u32 } else { 4 }).to_le_bytes());
        put(&mut set, 100, &guid(50u8.wrapping_add(self.set)));
        set
    }

    fn info(&self) -> Vec<u8> {
        let lsn = |(sequence, block): (u32, u32)| {
            [&sequence.to_le_bytes()[..], &block.to_le_bytes()[..], &1_u16.to_le_bytes()[..]].concat()
        };
        let mut info = vec![0; 700];
        put(&mut info, 0, b"SCIN");
        put(&mut info, 32, &lsn(self.first));
        put(&mut info, 42, &lsn(self.last));
        put(&mut info, 52, &lsn(self.checkpoint));
        if let Some(base) = self.base {
            put(&mut info, 260, &lsn(base));
            put(&mut info, 272, &guid(50u8.wrapping_add(self.base_set)));
        }
        for (field, at, text) in [(104, 400, self.database), (108, 600, "SQL01")] {
            let text: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            put(&mut info, field, &(text.len() as u16).to_le_bytes());
            put(&mut info, field + 2, &(at as u16).to_le_bytes());
            put(&mut info, at, &text);
        }
        put(&mut info, 124, &guid(77));
        info
    }
}

/// Packs as compressed backups are packed, without making it smaller: every byte has a code of eight bits.
pub(crate) fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x88; 128];
    packed.resize(256, 0);
    for pair in bytes.chunks(2) {
        packed.extend([pair.get(1).copied().unwrap_or(0), pair[0]]);
    }
    packed.extend([0; 4]);
    packed
}

/// A compressed backup with these headers.
pub(crate) fn compressed_backup(headers: Headers) -> Vec<u8> {
    let mut blocks = Backup::default();
    blocks.begin(headers);
    let set = blocks.bytes.windows(4).position(|bytes| bytes == b"SSET").unwrap_or_default();
    let mut data = Backup::default();
    data.block(b"MSDA");
    data.pad();
    compressed_of(&[&[&blocks.bytes[..1024]], &[&blocks.bytes[set..], &data.bytes, &lcg(5000)], &[&lcg(700)]])
}

/// Runs of chunks, with a plain block behind each.
fn compressed_of(runs: &[&[&[u8]]]) -> Vec<u8> {
    let mut bytes = vec![0; 0x1e0];
    put(&mut bytes, 0, b"MSSQLBAK");
    for run in runs {
        for plain in *run {
            let mut plain = plain.to_vec();
            plain.resize(plain.len().next_multiple_of(512), 0);
            let mut chunk = chunk(&pack(&plain));
            chunk[1] = (plain.len() / 512) as u8;
            bytes.extend(chunk);
        }
        bytes.push(0x2c);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes.extend(descriptor(b"SFMB", 512));
    }
    bytes
}

fn chunk(payload: &[u8]) -> Vec<u8> {
    let sum = payload.chunks(4).fold(0_u32, |sum, bytes| {
        let mut padded = [0; 4];
        padded[..bytes.len()].copy_from_slice(bytes);
        sum.rotate_left(1) ^ u32::from_le_bytes(padded)
    });
    let mut chunk = vec![0xff; 28];
    put(&mut chunk, 0, &[0x21, 0x80]);
    put(&mut chunk, 2, &(payload.len() as u16).to_le_bytes());
    put(&mut chunk, 20, &[0; 4]);
    put(&mut chunk, 24, &sum.to_le_bytes());
    chunk.extend(payload);
    chunk
}

/// A compressed backup whose chunks hold anything: nothing unpacks them.
pub(crate) fn compressed() -> Vec<u8> {
    let mut bytes = vec![0; 0x1e0];
    put(&mut bytes, 0, b"MSSQLBAK");
    for (chunks, end) in [(1, 0x24), (9, 0x2c), (1, 0x24)] {
        for number in 0..chunks {
            bytes.extend(chunk(&lcg(300 + 811 * number)));
        }
        bytes.push(end);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes.extend(descriptor(b"SFMB", 512));
    }
    bytes
}
