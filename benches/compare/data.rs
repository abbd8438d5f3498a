//! Writes a snapshot folder that behaves like a real one, from a seed.
//!
//! What matters for a comparison is the mix: most bytes in one large database file that compresses 3 to 5 times, some
//! that do not compress at all, thousands of small files below deep folders, and logs. The names follow what the
//! backup task writes; all contents are made up. The same [`Spec`] gives the same bytes and the same file times, so
//! that a folder may be kept and used again, and figures of different days can be compared.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::database::{self, Shape};

/// The file that single-file fetches look for: 10 KiB, in the middle of the small files.
pub(crate) const NEEDLE: &str = "needle.sch";
/// The size of [`NEEDLE`].
pub(crate) const NEEDLE_BYTES: u64 = 10 * 1024;

/// What to generate.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    /// All files together, about.
    pub(crate) bytes: u64,
    /// Number of small files.
    pub(crate) small_files: u64,
    /// Length of the database file if it is to be a mostly sparse one. Without it, three quarters of `bytes`.
    pub(crate) sparse_bytes: Option<u64>,
    /// Another seed, other contents.
    pub(crate) seed: u64,
    /// The day after whose midnight the backup ran.
    pub(crate) day: Day,
}

/// A day of UTC, as days since 1970-01-01.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Day(pub(crate) u64);

impl Day {
    /// 5 November 2025: figures of different days can be compared when the data are the same.
    #[allow(dead_code, reason = "the sample has another day")]
    pub(crate) const OF_COMPARISONS: Self = Self(20_397);

    /// This time of the day, in milliseconds since its midnight.
    fn at(self, milliseconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.0 * 86_400_000 + milliseconds)
    }

    /// When it begins.
    #[allow(dead_code, reason = "the comparison has no use for it")]
    pub(crate) fn midnight(self) -> SystemTime {
        self.at(0)
    }

    /// Year, month and day of the month, by the algorithm of Howard Hinnant.
    fn civil(self) -> (u64, u64, u64) {
        let days = self.0 + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        (era * 400 + year_of_era + u64::from(month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1)
    }

    /// As lines of the task's log have it: `11-05-2025`.
    fn in_log(self) -> String {
        let (year, month, day) = self.civil();
        format!("{month:02}-{day:02}-{year}")
    }

    /// As status messages have it, with a time of day: `Wed Nov 05 02:31:44.913 2025`.
    fn in_status(self, time: &str) -> String {
        const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (year, month, day) = self.civil();
        let weekday = WEEKDAYS[usize::try_from(self.0 % 7).expect("less than seven")];
        let month = MONTHS[usize::try_from(month - 1).expect("less than twelve")];
        format!("{weekday} {month} {day:02} {time} {year}")
    }
}

impl Spec {
    /// Writes the snapshot folder `snapshot`.
    pub(crate) fn write(&self, snapshot: &Path) -> io::Result<()> {
        let text = Text::new();
        let pace = 1_200_000 / (self.small_files + 500);
        let mut writer =
            Writer { root: snapshot, day: self.day, clock: 0, pace, random: Random::new(self.seed), text: &text };

        let log_bytes = (self.bytes / 16).clamp(1 << 20, 1 << 30);
        let data_bytes = self.sparse_bytes.unwrap_or(self.bytes / 4 * 3 - log_bytes);
        let filled_bytes = if self.sparse_bytes.is_some() { self.bytes / 4 * 3 } else { data_bytes / 50 * 49 };
        let shape = Shape { name: "CM_XYZ", seed: self.seed, data_bytes, filled_bytes, log_bytes };
        writer.file("SiteDBServer/CM_XYZ.mdf", |file, _| database::write_data(file, &shape, &text))?;
        writer.file("SiteDBServer/CM_XYZ_log.ldf", |file, _| database::write_log(file, &shape, &text))?;

        writer.installation(self.bytes / 10)?;
        let small_bytes = writer.small_files(self.small_files)?;
        let rest = (self.bytes / 4).saturating_sub(self.bytes / 10 + small_bytes);
        writer.logs(rest)?;
        writer.completion()?;
        settle(snapshot, self.day.at(BEGIN + 1_605_000))
    }
}

/// A number generator: splitmix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `bound - 1`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(bound);
        u64::try_from(product >> 64).expect("the upper half of a product of 64-bit numbers")
    }

    pub(crate) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).expect("less than a usize")
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }

    pub(crate) fn guid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08X}-{:04X}-{:04X}-{:04X}-{:012X}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}

/// Sentences of made-up words, some frequent and most rare, as in names of products, paths and messages.
pub(crate) struct Text {
    letters: Vec<u8>,
    starts: Vec<usize>,
}

impl Text {
    const LONGEST: usize = 4096;

    fn new() -> Self {
        let mut random = Random::new(77);
        let words: Vec<String> = (0..900).map(|number| word(&mut random, number)).collect();
        let phrases: Vec<String> = (0..4000).map(|_| phrase(&mut random, &words)).collect();
        let (mut letters, mut starts) = (Vec::new(), Vec::new());
        while letters.len() < 1 << 20 {
            starts.push(letters.len());
            letters.extend_from_slice(skewed(&mut random, &phrases).as_bytes());
        }
        starts.retain(|start| start + Self::LONGEST < letters.len());
        Self { letters, starts }
    }

    /// `length` letters from the beginning of some sentence.
    pub(crate) fn piece(&self, random: &mut Random, length: usize) -> &[u8] {
        let start = self.starts[random.index(self.starts.len())];
        &self.letters[start..start + length.min(Self::LONGEST)]
    }

    /// The same as a string.
    fn string(&self, random: &mut Random, length: usize) -> &str {
        std::str::from_utf8(self.piece(random, length)).expect("words are ASCII")
    }
}

fn word(random: &mut Random, number: usize) -> String {
    const HEADS: &[&str] = &["b", "c", "d", "f", "g", "l", "m", "n", "p", "r", "s", "t", "v", "st", "pr", "tr", "ch"];
    const TAILS: &[&str] = &["a", "e", "i", "o", "u", "an", "er", "is", "on", "ment", "al"];
    let syllables = 1 + random.below(4);
    let word: String =
        (0..syllables).flat_map(|_| [HEADS[random.index(HEADS.len())], TAILS[random.index(TAILS.len())]]).collect();
    match number % 8 {
        0 => word.to_uppercase(),
        1 => format!("{word}.dll"),
        2 => format!("{word}{}", random.below(9000)),
        _ => word,
    }
}

fn phrase(random: &mut Random, words: &[String]) -> String {
    const SEPARATORS: &[&str] = &[" ", " ", " ", "_", "\\", "; ", " - ", "="];
    let count = 2 + random.below(6);
    (0..count).flat_map(|_| [skewed(random, words).as_str(), SEPARATORS[random.index(SEPARATORS.len())]]).collect()
}

/// One of `items`, the first ones far more often than the last ones.
fn skewed<'a>(random: &mut Random, items: &'a [String]) -> &'a String {
    let bound = 1 + random.index(items.len());
    &items[random.index(bound)]
}

/// 02:05:00, in milliseconds since midnight.
const BEGIN: u64 = 7_500_000;
/// 02:31:48: all is written.
#[allow(dead_code, reason = "the comparison has no use for it")]
pub(crate) const END: u64 = 9_108_000;

struct Writer<'a> {
    root: &'a Path,
    day: Day,
    /// Milliseconds since the first file's time.
    clock: u64,
    /// Milliseconds between two files.
    pace: u64,
    random: Random,
    text: &'a Text,
}

impl Writer<'_> {
    /// Writes one file; every file is a little newer than the one before.
    fn file(&mut self, path: &str, contents: impl FnOnce(&mut File, &mut Random) -> io::Result<()>) -> io::Result<()> {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("every file lies below the root"))?;
        let mut file = File::create(&path)?;
        contents(&mut file, &mut self.random)?;
        // From 02:05:00 UTC; the last file ends before the completion at 02:31:44.
        self.clock += self.pace;
        file.set_modified(self.day.at(BEGIN + self.clock))
    }

    /// Files that do not compress, as installation media do.
    fn installation(&mut self, bytes: u64) -> io::Result<()> {
        let text = self.text;
        self.file("CD.Latest/splash.hta", |file, random| file.write_all(text.piece(random, 3000)))?;
        self.file("CD.Latest/skpswi.dat", |_, _| Ok(()))?;
        let (mut written, mut number) = (0, 0);
        while written < bytes {
            let length = ((1 << 20) + self.random.below(31 << 20)).min(bytes - written);
            let path = match number {
                0 => "CD.Latest/SMSSETUP/BIN/X64/setup.exe".to_owned(),
                _ => format!("CD.Latest/redist/{}.cab", self.random.guid().to_lowercase()),
            };
            self.file(&path, |file, random| {
                let mut block = vec![0; 1 << 20];
                let mut left = length;
                while left > 0 {
                    random.fill(&mut block);
                    let part = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
                    file.write_all(&block[..part])?;
                    left -= part as u64;
                }
                Ok(())
            })?;
            written += length;
            number += 1;
        }
        Ok(())
    }

    /// Text files of 200 bytes to 64 KiB, few of them large. Returns their bytes.
    fn small_files(&mut self, count: u64) -> io::Result<u64> {
        const BOXES: &[&str] = &[
            "inboxes/auth/ddm.box",
            "inboxes/auth/statesys.box/incoming/high",
            "inboxes/auth/dataldr.box/process",
            "inboxes/clifiles.src/hinv",
            "inboxes/policypv.box/policytargeteval",
            "inboxes/offerinf.box",
            "inboxes/COLLEVAL.box/RETRY",
            "inboxes/swmproc.box/usage",
            "data/hinvarchive",
            "data/cd.latest/redist/languagepack/clientupd",
            "srvacct",
        ];
        let text = self.text;
        let mut bytes = 0;
        for number in 0..count {
            if number == count / 2 {
                self.file(&format!("SiteServer/SMSServer/inboxes/schedule.box/{NEEDLE}"), |file, random| {
                    document(file, random, text, NEEDLE_BYTES)
                })?;
                bytes += NEEDLE_BYTES;
                continue;
            }
            // The sum of coin tosses as an exponent: close to a log-normal distribution.
            let exponent = (self.random.next() & 0xff).count_ones() + u32::from(self.random.below(8) == 0);
            let length = ((200 << exponent) + self.random.below(200 << exponent)).min(64 << 10);
            let folder = BOXES[self.random.index(BOXES.len())];
            let tray = self.random.below(1 + count / 400);
            let stem = self.random.next() >> 24;
            let extension = ["MIF", "SVF", "smx", "xml", "DDR", "txt", "pol"][self.random.index(7)];
            self.file(&format!("SiteServer/SMSServer/{folder}/{tray:02}/{stem:010X}.{extension}"), |file, random| {
                document(file, random, text, length)
            })?;
            bytes += length;
        }
        Ok(bytes)
    }

    /// Component logs of up to 4 MiB.
    fn logs(&mut self, bytes: u64) -> io::Result<()> {
        const LOG_BYTES: u64 = 4 << 20;
        let text = self.text;
        let before = Day(self.day.0 - 1).in_log();
        for number in 0..bytes.div_ceil(LOG_BYTES) {
            let component = word(&mut self.random, 3);
            let length = LOG_BYTES.min(bytes - number * LOG_BYTES);
            self.file(&format!("SiteServer/SMSServer/Logs/{component}{number}.log"), |file, random| {
                let mut file = BufWriter::new(file);
                let (mut left, mut tick) = (length, 0);
                while left > 0 {
                    tick += random.below(900);
                    let thread = 2000 + 4 * random.below(60);
                    let letters = 20 + random.index(120);
                    let line = format!(
                        "{}  $$<SMS_{}><{before} {:02}:{:02}:{:02}.{:03}+480><thread={thread} (0x{thread:X})>\r\n",
                        text.string(random, letters),
                        component.to_uppercase(),
                        tick / 3_600_000 % 24,
                        tick / 60_000 % 60,
                        tick / 1000 % 60,
                        tick % 1000,
                    );
                    let part = usize::try_from(left).map_or(line.len(), |left| left.min(line.len()));
                    file.write_all(&line.as_bytes()[..part])?;
                    left -= part as u64;
                }
                file.flush()
            })?;
        }
        Ok(())
    }

    /// The evidence that the backup task has ended well, the newest files of the snapshot.
    fn completion(&mut self) -> io::Result<()> {
        let day = self.day;
        self.clock = 1_600_000; // 02:31:40
        self.file("BackupDocument.xml", |file, _| file.write_all(DOCUMENT.as_bytes()))?;
        self.clock = 1_606_000;
        self.file("smsbkup.log", |file, _| file.write_all(log_of_a_completed_run(day).as_bytes()))
    }
}

/// Gives folders the time at which the task made its last change to them. Windows opens no folder for that.
fn settle(folder: &Path, time: SystemTime) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            settle(&entry.path(), time)?;
        }
    }
    if cfg!(windows) { Ok(()) } else { File::open(folder)?.set_modified(time) }
}

/// Appends to a text.
fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("a String takes everything");
}

/// An XML-like text of exactly `length` bytes.
fn document(file: &mut File, random: &mut Random, text: &Text, length: u64) -> io::Result<()> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut contents = String::with_capacity(length + 400);
    contents.push_str("<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<Report><ReportHeader><Identification><Machine>");
    put(&mut contents, format_args!("<ClientID>GUID:{}</ClientID></Machine></Identification>\r\n", random.guid()));
    while contents.len() < length {
        let (letters, number) = (12 + random.index(60), random.below(100_000));
        let name = text.string(random, letters);
        contents.push_str(
            "  <Instance ParentClass=\"Win32_Service\" Class=\"CCM_Item\" Content=\"New\">\r\n    <Name><![CDATA[",
        );
        contents.push_str(name);
        put(&mut contents, format_args!("]]></Name><Revision>{number}</Revision>\r\n"));
        if random.below(3) == 0 {
            put(&mut contents, format_args!("    <ContentId>{}</ContentId>\r\n", random.guid()));
        }
        contents.push_str("  </Instance>\r\n");
    }
    file.write_all(&contents.as_bytes()[..length])
}

const DOCUMENT: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n\
    <!-- Synthetic: made for tests and samples, not written by Configuration Manager. -->\r\n\
    <BackupDocument><SiteCode>XYZ</SiteCode><SiteServer>CM01.contoso.example</SiteServer>\
    <Database>CM_XYZ</Database></BackupDocument>\r\n";

/// A log in the format of the site server. No complete log of a real run is public, so this one is put together from
/// what documentation and fragments show.
fn log_of_a_completed_run(day: Day) -> String {
    const STATUS: &[(&str, &str)] = &[("5055", "02:04:11.207"), ("5056", "02:04:58.640"), ("5035", "02:31:44.913")];
    let date = day.in_log();
    let line = |message: &str, time: &str| {
        format!("{message}~  $$<SMS_SITE_BACKUP><{date} {time}+000><thread=4844 (0x12EC)>\r\n")
    };
    let status = |(id, time): (&str, &str)| {
        let strings = (0..10).fold(String::new(), |strings, number| strings + &format!("ISTR{number}=\"\" "));
        let message = format!(
            "STATMSG: ID={id} SEV=I LEV=M SOURCE=\"SMS Server\" COMP=\"SMS_SITE_BACKUP\" SYS=CM01.contoso.example \
             SITE=XYZ PID=4804 TID=4844 GMTDATE={} {strings}NUMATTRS=0",
            day.in_status(time)
        );
        format!("{message}  $$<SMS_SITE_BACKUP><{date} {time}+000><thread=4844 (0x12EC)>\r\n")
    };
    [
        line("Synthetic log: made for tests and samples, not written by Configuration Manager.", "02:04:11.000"),
        status(STATUS[0]),
        line("Starting to clean the backup location E:\\ConfigMgr_Backup\\XYZBackup.", "02:04:12.034"),
        status(STATUS[1]),
        line("SQL Backup task completed successfully", "02:29:07.550"),
        status(STATUS[2]),
        line("Backup task completed successfully with zero errors", "02:31:44.920"),
        line("Backup completed", "02:31:45.011"),
    ]
    .concat()
}
