//! Durations, sizes and rates as people write and read them.
//!
//! The configuration is read once and then decides for years what is deleted, so nothing is guessed: a number without
//! unit, `5m` (minutes or months?), `64M` (MB or MiB?) and `200 Mb/s` (bits or bytes?) are refused with the two
//! spellings that would be clear. Sizes are exact integers, never floating point.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use self::count::{count, count_of};
pub use self::visible::{visible_json, visible_line, visible_lines};

mod count;
mod visible;

/// Text that is no duration, size or rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Nothing but white space.
    #[error("the value is empty: write for example '{example}'")]
    Empty {
        /// A value of the same kind.
        example: &'static str,
    },
    /// A number alone.
    #[error("'{text}' has no unit: write for example '{}'", suggestions.join("' or '"))]
    NoUnit {
        /// What was written.
        text: String,
        /// The same number with units.
        suggestions: Vec<String>,
    },
    /// A unit with two readings.
    #[error("'{text}' is ambiguous: write '{}'", suggestions.join("' or '"))]
    Ambiguous {
        /// What was written.
        text: String,
        /// The possible readings.
        suggestions: Vec<String>,
    },
    /// A unit nobody knows.
    #[error("'{unit}' in '{text}' is no unit: known are {known}")]
    UnknownUnit {
        /// What was written.
        text: String,
        /// The part in question.
        unit: String,
        /// The units.
        known: &'static str,
    },
    /// A number was expected.
    #[error("'{text}' is no {kind}: write for example '{example}'")]
    Malformed {
        /// What was written.
        text: String,
        /// What it should be.
        kind: &'static str,
        /// A value of the same kind.
        example: &'static str,
    },
    /// Beyond what can be represented.
    #[error("'{0}' is too large or too finely divided")]
    OutOfRange(String),
    /// A rate at which nothing would ever arrive.
    #[error("'{0}' would never send anything: leave the setting out for no limit")]
    Zero(String),
}

const DURATION_UNITS: &str = "ms, s, min, hours, days, weeks, months, years";
const SIZE_UNITS: &str = "B, kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (powers of 1024)";
const RATE_UNITS: &str = "bit/s, kbit/s, Mbit/s, Gbit/s, B/s, kB/s, MB/s, GB/s, KiB/s, MiB/s, GiB/s";

/// Reads a duration: `5 days`, `2min`, `1h 30min`. A month is 30.44 days, a year 365.25.
///
/// # Errors
/// When it is none, has no unit, or says `m`, which may be minutes or months.
///
/// # Examples
/// ```
/// use afterbackup::units::parse_duration;
/// assert_eq!(parse_duration("2min")?.as_secs(), 120);
/// assert!(parse_duration("5m").unwrap_err().to_string().contains("'5min' or '5months'"));
/// # Ok::<(), afterbackup::units::UnitError>(())
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let text = text.trim();
    let malformed = || UnitError::Malformed { text: text.to_owned(), kind: "duration", example: "5 days" };
    if text.is_empty() {
        return Err(UnitError::Empty { example: "5 days" });
    }
    // No number may come near the limits: the parser below panics where seconds overflow by a carry.
    let digits = text.split(|c: char| !c.is_ascii_digit() && !c.is_whitespace());
    let longest = digits.map(|run| run.bytes().filter(u8::is_ascii_digit).count()).max();
    if longest > Some(12) || text.len() > 200 {
        return Err(UnitError::OutOfRange(text.to_owned()));
    }
    if let Some((number, unit)) = lone_m(text) {
        let suggestions = ["min", "months"].map(|clear| format!("{number}{clear}")).to_vec();
        return Err(UnitError::Ambiguous { text: format!("{number}{unit}"), suggestions });
    }
    humantime::parse_duration(text).map_err(|error| match error {
        humantime::DurationError::UnknownUnit { unit, value, .. } if unit.is_empty() => UnitError::NoUnit {
            text: text.to_owned(),
            suggestions: ["min", "hours", "days"].map(|unit| format!("{value} {unit}")).to_vec(),
        },
        humantime::DurationError::UnknownUnit { unit, .. } => {
            UnitError::UnknownUnit { text: text.to_owned(), unit, known: DURATION_UNITS }
        }
        humantime::DurationError::NumberOverflow => UnitError::OutOfRange(text.to_owned()),
        humantime::DurationError::Empty
        | humantime::DurationError::InvalidCharacter(_)
        | humantime::DurationError::NumberExpected(_) => malformed(),
    })
}

/// Finds the unit `m` or `M` standing alone, with the number before it.
fn lone_m(text: &str) -> Option<(&str, &str)> {
    let letters = |c: char| c.is_alphabetic() || c == 'µ';
    let mut from = 0;
    while let Some((before, rest)) = text.get(from..).and_then(|tail| Some((from, tail.get(tail.find(letters)?..)?))) {
        let start = text.len() - rest.len();
        let end = rest.find(|c| !letters(c)).map_or(text.len(), |len| start + len);
        let unit = text.get(start..end)?;
        if unit == "m" || unit == "M" {
            return Some((text.get(before..start)?.trim(), unit));
        }
        from = end;
    }
    None
}

/// Writes a duration in at most two units: `5 days`, `2 min 3 s`. The rest is dropped.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    const UNITS: [(u128, &str, &str); 7] = [
        (86_400_000_000_000, "day", "days"),
        (3_600_000_000_000, "h", "h"),
        (60_000_000_000, "min", "min"),
        (1_000_000_000, "s", "s"),
        (1_000_000, "ms", "ms"),
        (1000, "us", "us"),
        (1, "ns", "ns"),
    ];
    let nanos = duration.as_nanos();
    let Some(first) = UNITS.iter().position(|&(size, ..)| nanos >= size) else { return "0 s".to_owned() };
    let word = |count: u128, at: usize| format!("{count} {}", if count == 1 { UNITS[at].1 } else { UNITS[at].2 });
    let large = word(nanos / UNITS[first].0, first);
    match UNITS.get(first + 1).map(|&(size, ..)| nanos % UNITS[first].0 / size) {
        Some(small) if small > 0 => format!("{large} {}", word(small, first + 1)),
        _ => large,
    }
}

/// Reads a size: `64 MiB`, `10 GB`, `1.5 TiB`, `812 B`.
///
/// # Errors
/// When it is none, has no unit, or only a letter for one.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let (text, number, unit) = split(text, "size", "64 MiB")?;
    if unit.is_empty() {
        return Err(UnitError::NoUnit {
            text: text.to_owned(),
            suggestions: ["MiB", "GiB"].map(|unit| format!("{text} {unit}")).to_vec(),
        });
    }
    if let [letter @ (b'k' | b'K' | b'm' | b'M' | b'g' | b'G' | b't' | b'T')] = unit.as_bytes() {
        let letter = char::from(letter.to_ascii_uppercase());
        let suggestions = ["B", "iB"].map(|rest| format!("{number} {letter}{rest}")).to_vec();
        return Err(UnitError::Ambiguous { text: text.to_owned(), suggestions });
    }
    let factor = byte_factor(unit).ok_or_else(|| UnitError::UnknownUnit {
        text: text.to_owned(),
        unit: unit.to_owned(),
        known: SIZE_UNITS,
    })?;
    scale(number, factor, 1, text, ("size", "64 MiB"))
}

/// Writes a size in binary units with one decimal: `1.4 GiB`, `812 B`.
#[must_use]
pub fn format_bytes(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = 1024_u128;
    for unit in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        let tenths = (u128::from(bytes) * 10 + size / 2) / size;
        // 1023.96 KiB are 1.0 MiB.
        if tenths < 10_240 || unit == "EiB" {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
        size *= 1024;
    }
    unreachable!("the loop returns at its last unit")
}

/// Reads a rate and returns bytes per second: `200 Mbit/s`, `25 MB/s`, `10 MiB/s`.
///
/// # Errors
/// When it is none, or has no clear unit, or is less than one byte a second.
pub fn parse_bandwidth(text: &str) -> Result<u64, UnitError> {
    let (text, number, unit) = split(text, "rate", "200 Mbit/s")?;
    let clear = |units: [&str; 2]| units.map(|unit| format!("{number} {unit}")).to_vec();
    if unit.is_empty() {
        return Err(UnitError::NoUnit { text: text.to_owned(), suggestions: clear(["Mbit/s", "MB/s"]) });
    }
    let unknown = || UnitError::UnknownUnit { text: text.to_owned(), unit: unit.to_owned(), known: RATE_UNITS };
    let ambiguous = |prefix: &str| UnitError::Ambiguous {
        text: text.to_owned(),
        suggestions: clear([&format!("{prefix}bit/s"), &format!("{prefix}B/s")]),
    };
    let Some(amount) = unit.strip_suffix("/s") else {
        // `Mbit`, `Mbps`, `MB`: most likely meant per second, but the letter decides a factor of eight.
        let prefix = unit.chars().next().filter(|c| "kKMG".contains(*c)).map_or(String::new(), String::from);
        return Err(if byte_factor(unit).is_some() || unit.ends_with("bit") || unit.ends_with("ps") {
            ambiguous(&prefix)
        } else {
            unknown()
        });
    };
    let (factor, divisor) = match amount.strip_suffix("bit") {
        Some(prefix) => (decimal(prefix).ok_or_else(unknown)?, 8),
        // Only a capital B is a byte here.
        None if amount.ends_with('b') => {
            return Err(ambiguous(amount.strip_suffix('b').unwrap_or_default().trim_end_matches('i')));
        }
        None => (byte_factor(amount).ok_or_else(unknown)?, 1),
    };
    match scale(number, factor, divisor, text, ("rate", "200 Mbit/s"))? {
        0 => Err(UnitError::Zero(text.to_owned())),
        rate => Ok(rate),
    }
}

/// Writes a rate as bytes per second: `23.8 MiB/s`.
#[must_use]
pub fn format_bandwidth(bytes_per_second: u64) -> String {
    format!("{}/s", format_bytes(bytes_per_second))
}

/// A time as people on this host read it: local, to the second, with its offset: `2026-11-22 22:46:10+01:00`.
#[must_use]
pub fn format_time(time: Timestamp) -> String {
    format_time_in(time, &TimeZone::system())
}

fn format_time_in(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%:z").to_string()
}

/// How long ago something was: `3 days ago`, `just now`, `in 2 hours (clock?)`.
#[must_use]
pub fn format_age(then: Timestamp, now: Timestamp) -> String {
    const DAY: u64 = 86_400;
    let elapsed = now.duration_since(then);
    let seconds = elapsed.unsigned_abs().as_secs();
    let (count, noun) = match seconds {
        0 => return "just now".to_owned(),
        1..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..DAY => (seconds / 3600, "hour"),
        // Days are what retention counts in: change to months late.
        DAY..7_776_000 => (seconds / DAY, "day"),
        7_776_000..63_115_200 => (seconds / 2_630_016, "month"),
        _ => (seconds / 31_557_600, "year"),
    };
    let plural = if count == 1 { "" } else { "s" };
    if elapsed.is_negative() {
        format!("in {count} {noun}{plural} (clock?)")
    } else {
        format!("{count} {noun}{plural} ago")
    }
}

/// The same in a few characters, for tables: `3 d`, `5 h`, `2 y`; `future` when it is not yet.
#[must_use]
pub fn format_age_short(then: Timestamp, now: Timestamp) -> String {
    let elapsed = now.duration_since(then);
    if elapsed.is_negative() && elapsed.unsigned_abs() > Duration::from_mins(1) {
        return "future".to_owned();
    }
    match elapsed.unsigned_abs().as_secs() {
        seconds @ 0..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h", seconds / 3600),
        seconds @ 172_800..63_115_200 => format!("{} d", seconds / 86_400),
        seconds => format!("{} y", seconds / 31_557_600),
    }
}

/// The trimmed text, its number and its unit.
fn split<'a>(
    text: &'a str,
    kind: &'static str,
    example: &'static str,
) -> Result<(&'a str, &'a str, &'a str), UnitError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(UnitError::Empty { example });
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if !number.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(UnitError::Malformed { text: text.to_owned(), kind, example });
    }
    Ok((text, number, unit.trim_start()))
}

/// `number * factor / divisor` in whole bytes, rounded down.
fn scale(
    number: &str,
    factor: u128,
    divisor: u128,
    text: &str,
    (kind, example): (&'static str, &'static str),
) -> Result<u64, UnitError> {
    let too_large = || UnitError::OutOfRange(text.to_owned());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return Err(UnitError::Malformed { text: text.to_owned(), kind, example });
    }
    // Twelve decimals of an exbibyte still fit; more would be a slip of the keyboard.
    if fraction.len() > 12 {
        return Err(too_large());
    }
    let digits = |part: &str| part.parse::<u64>().map(u128::from).map_err(|_| too_large());
    let tens = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| too_large())?);
    let whole = digits(whole)?.checked_mul(factor).ok_or_else(too_large)?;
    let parts = whole.checked_mul(tens).and_then(|whole| whole.checked_add(digits(fraction).ok()? * factor));
    u64::try_from(parts.ok_or_else(too_large)? / (tens * divisor)).map_err(|_| too_large())
}

fn byte_factor(unit: &str) -> Option<u128> {
    let lower = unit.to_ascii_lowercase();
    match lower.as_str() {
        "b" | "byte" | "bytes" => Some(1),
        "kib" => Some(1 << 10),
        "mib" => Some(1 << 20),
        "gib" => Some(1 << 30),
        "tib" => Some(1 << 40),
        "pib" => Some(1 << 50),
        "eib" => Some(1 << 60),
        _ => decimal(lower.strip_suffix('b')?),
    }
}

fn decimal(prefix: &str) -> Option<u128> {
    match prefix {
        "" => Some(1),
        "k" | "K" => Some(1000),
        "m" | "M" => Some(1_000_000),
        "g" | "G" => Some(1_000_000_000),
        "t" | "T" => Some(1_000_000_000_000),
        "p" | "P" => Some(1_000_000_000_000_000),
        "e" | "E" => Some(1_000_000_000_000_000_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn duration_error(text: &str) -> String {
        parse_duration(text).unwrap_err().to_string()
    }

    #[test]
    fn times_are_local_with_their_offset_and_without_fractions() {
        let time: Timestamp = "2026-11-22T22:46:10.123456789Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(5));
        assert_eq!(format_time_in(time, &zone), "2026-11-23 03:46:10+05:00");
        assert_eq!(format_time_in(time, &TimeZone::UTC), "2026-11-22 22:46:10+00:00");
    }

    fn size_error(text: &str) -> String {
        parse_size(text).unwrap_err().to_string()
    }

    fn rate_error(text: &str) -> String {
        parse_bandwidth(text).unwrap_err().to_string()
    }

    #[test]
    fn durations_are_read() {
        for (text, seconds) in
            [("5 days", 432_000), ("2min", 120), ("1h 30min", 5400), (" 90 s ", 90), ("1 month", 2_630_016), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn single_m_is_refused_in_either_case_and_anywhere() {
        assert_eq!(duration_error("5m"), "'5m' is ambiguous: write '5min' or '5months'");
        assert_eq!(duration_error("5 M"), "'5M' is ambiguous: write '5min' or '5months'");
        assert_eq!(duration_error("1h 30m"), "'30m' is ambiguous: write '30min' or '30months'");
        assert_eq!(duration_error("3m10s"), "'3m' is ambiguous: write '3min' or '3months'");
        assert_eq!(parse_duration("5ms"), Ok(Duration::from_millis(5)));
    }

    #[test]
    fn faulty_durations_say_what_to_write() {
        assert_eq!(duration_error("  "), "the value is empty: write for example '5 days'");
        assert_eq!(duration_error("5"), "'5' has no unit: write for example '5 min' or '5 hours' or '5 days'");
        assert_eq!(duration_error("days"), "'days' is no duration: write for example '5 days'");
        assert_eq!(duration_error("-5 days"), "'-5 days' is no duration: write for example '5 days'");
        assert_eq!(
            duration_error("5 fortnights"),
            "'fortnights' in '5 fortnights' is no unit: known are ms, s, min, hours, days, weeks, months, years"
        );
        // Both panicked or wrapped in the parser beneath.
        assert!(matches!(parse_duration("18446744073709551615s 1000ms"), Err(UnitError::OutOfRange(_))));
        assert!(matches!(parse_duration("184467440737095 51615s 1000ms"), Err(UnitError::OutOfRange(_))));
    }

    #[test]
    fn durations_are_written_for_people() {
        for (millis, text) in [
            (0, "0 s"),
            (5 * 86_400_000, "5 days"),
            (86_400_000, "1 day"),
            (100_000_000, "1 day 3 h"),
            (123_000, "2 min 3 s"),
            (123_456, "2 min 3 s"),
            (1500, "1 s 500 ms"),
        ] {
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(format_duration(Duration::MAX), "213503982334601 days 7 h");
    }

    #[test]
    fn sizes_are_read_exactly() {
        for (text, bytes) in [
            ("64 MiB", 64 << 20),
            ("10 GB", 10_000_000_000),
            ("1.5GiB", 3 << 29),
            ("812 B", 812),
            ("0 B", 0),
            ("4 kb", 4000),
            ("4 KiB", 4096),
            ("0.1 kB", 100),
            ("18446744073709551615 B", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn faulty_sizes_say_what_to_write() {
        assert_eq!(size_error("64"), "'64' has no unit: write for example '64 MiB' or '64 GiB'");
        assert_eq!(size_error("64M"), "'64M' is ambiguous: write '64 MB' or '64 MiB'");
        assert_eq!(size_error("MiB"), "'MiB' is no size: write for example '64 MiB'");
        assert_eq!(size_error("1.2.3 MiB"), "'1.2.3 MiB' is no size: write for example '64 MiB'");
        assert_eq!(size_error("16 EiB"), "'16 EiB' is too large or too finely divided");
        assert!(size_error("3 boxes").starts_with("'boxes' in '3 boxes' is no unit: known are B, kB"));
    }

    #[test]
    fn sizes_are_written_in_binary_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (812, "812 B"),
            (1024, "1.0 KiB"),
            (1_503_238_553, "1.4 GiB"),
            (1_048_575, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(format_bytes(bytes), text);
        }
    }

    #[test]
    fn rates_are_read_as_bytes_per_second() {
        for (text, rate) in [
            ("200 Mbit/s", 25_000_000),
            ("25 MB/s", 25_000_000),
            ("10 MiB/s", 10 << 20),
            ("1Gbit/s", 125_000_000),
            ("64 kbit/s", 8000),
            ("8 bit/s", 1),
        ] {
            assert_eq!(parse_bandwidth(text), Ok(rate), "{text}");
        }
        assert_eq!(format_bandwidth(25_000_000), "23.8 MiB/s");
    }

    #[test]
    fn faulty_rates_say_what_to_write() {
        assert_eq!(rate_error("200"), "'200' has no unit: write for example '200 Mbit/s' or '200 MB/s'");
        for text in ["200 Mb/s", "200 Mbps", "200 MB", "200 Mbit", "200 MBps"] {
            assert_eq!(rate_error(text), format!("'{text}' is ambiguous: write '200 Mbit/s' or '200 MB/s'"));
        }
        assert_eq!(rate_error("0 MB/s"), "'0 MB/s' would never send anything: leave the setting out for no limit");
        assert_eq!(rate_error("7 bit/s"), "'7 bit/s' would never send anything: leave the setting out for no limit");
        assert!(rate_error("5 miles/s").starts_with("'miles/s' in '5 miles/s' is no unit"));
    }

    #[test]
    fn ages_are_told_in_one_unit() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        for (then, text) in [
            ("2026-11-22T12:00:00Z", "just now"),
            ("2026-11-22T11:59:59Z", "1 second ago"),
            ("2026-11-22T11:00:00Z", "1 hour ago"),
            ("2026-11-19T11:00:00Z", "3 days ago"),
            ("2026-09-01T12:00:00Z", "82 days ago"),
            ("2026-01-22T12:00:00Z", "9 months ago"),
            ("1990-11-22T12:00:00Z", "36 years ago"),
            ("2026-11-22T14:00:00Z", "in 2 hours (clock?)"),
        ] {
            assert_eq!(format_age(then.parse().unwrap(), now), text);
        }
    }

    #[test]
    fn ages_are_short_in_tables() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        for (then, text) in [
            ("2026-11-22T12:00:00Z", "0 min"),
            ("2026-11-22T12:00:59Z", "0 min"),
            ("2026-11-22T11:00:01Z", "59 min"),
            ("2026-11-22T11:00:00Z", "1 h"),
            ("2026-11-20T13:00:00Z", "47 h"),
            ("2026-11-20T12:00:00Z", "2 d"),
            ("2025-11-22T12:00:00Z", "365 d"),
            ("2021-11-21T12:00:00Z", "5 y"),
            ("2026-11-22T14:00:00Z", "future"),
        ] {
            assert_eq!(format_age_short(then.parse().unwrap(), now), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in any::<String>()) {
            let read = (parse_duration(&text), parse_size(&text), parse_bandwidth(&text));
            // Empty, malformed and the like all have words.
            if let (Err(a), Err(b), Err(c)) = &read {
                prop_assert!([a, b, c].iter().all(|error| !error.to_string().is_empty()));
            }
        }

        #[test]
        fn nearly_right_text_is_read_without_panic(text in "([0-9]{0,21}[. ]?[0-9]{0,14} ?[kKMGTiBbµmsbithouryeands/]{0,5} ?){0,4}") {
            let read = (parse_duration(&text), parse_size(&text), parse_bandwidth(&text));
            prop_assert!(read.2 != Ok(0));
        }

        #[test]
        fn written_durations_read_back_but_for_what_was_dropped(nanos in 0_u64..4_000_000_000_000_000_000) {
            let duration = Duration::from_nanos(nanos);
            let read = parse_duration(&format_duration(duration)).unwrap();
            prop_assert!(read <= duration && duration.abs_diff(read) <= duration / 24);
            prop_assert_eq!(parse_duration(&format_duration(read)), Ok(read));
        }

        #[test]
        fn written_sizes_read_back_nearly(bytes in 0_u64..=u64::MAX / 2) {
            let read = parse_size(&format_bytes(bytes)).unwrap();
            prop_assert!(read.abs_diff(bytes) <= bytes / 20);
            prop_assert_eq!(parse_size(&format!("{bytes} B")), Ok(bytes));
            prop_assert_eq!(parse_bandwidth(&format!("{} B/s", bytes + 1)), Ok(bytes + 1));
        }

        #[test]
        fn any_two_times_have_an_age(then in -377_705_023_201_i64..253_402_207_200, now in -377_705_023_201_i64..253_402_207_200) {
            let [then, now] = [then, now].map(|second| Timestamp::from_second(second).unwrap());
            let age = format_age(then, now);
            prop_assert!(age == "just now" || age.ends_with(" ago") || age.ends_with(" (clock?)"));
        }
    }
}
