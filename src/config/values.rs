//! Values with units. Thin on purpose: the one place to change when the units of the whole program are shared.

use std::time::Duration;

/// `2min`, `1h 30min`, `5 days`. `m` and `M` are refused: one reads them as minutes, the other as months.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let mut letters = String::new();
    for c in text.chars().chain(std::iter::once(' ')) {
        if c.is_alphabetic() {
            letters.push(c);
        } else {
            if letters == "m" || letters == "M" {
                return Err(format!("'{letters}' could be minutes or months: write min or months"));
            }
            letters.clear();
        }
    }
    humantime::parse_duration(text.trim()).map_err(|_| format!("'{text}' is no duration"))
}

/// `200 Mbit/s`, `25 MB/s`, `25 MiB/s` as bytes a second.
pub(super) fn bandwidth(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64, u64); 12] = [
        ("bit/s", 1, 8),
        ("kbit/s", 1_000, 8),
        ("mbit/s", 1_000_000, 8),
        ("gbit/s", 1_000_000_000, 8),
        ("b/s", 1, 1),
        ("kb/s", 1_000, 1),
        ("mb/s", 1_000_000, 1),
        ("gb/s", 1_000_000_000, 1),
        ("kib/s", 1 << 10, 1),
        ("mib/s", 1 << 20, 1),
        ("gib/s", 1 << 30, 1),
        ("byte/s", 1, 1),
    ];
    let fault = || format!("'{text}' is no bandwidth");
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at(split);
    let count: u64 = digits.parse().map_err(|_| fault())?;
    let unit = unit.trim().to_ascii_lowercase();
    let (_, factor, divisor) = UNITS.iter().find(|(name, ..)| *name == unit).ok_or_else(fault)?;
    let bytes = count.checked_mul(*factor).ok_or_else(fault)? / divisor;
    if bytes == 0 { Err(format!("'{text}' would let nothing through")) } else { Ok(bytes) }
}

/// A duration in units that `duration` reads.
pub(super) fn show(duration: Duration) -> String {
    let text = humantime::format_duration(duration).to_string();
    let minutes = |part: &str| part.strip_suffix('m').map_or_else(|| part.to_owned(), |number| format!("{number}min"));
    text.split(' ').map(minutes).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_unambiguous_units() {
        assert_eq!(duration("2min"), Ok(Duration::from_mins(2)));
        assert_eq!(duration("1h 30min"), Ok(Duration::from_mins(90)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for bad in ["5m", "5 M", "1h 5m", "5", "", "days", "-1h", "5 lightyears"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shown_durations_read_back() {
        for seconds in [0, 59, 60, 5400, 86_400, 40 * 86_400, 400 * 86_400] {
            let span = Duration::from_secs(seconds);
            assert_eq!(duration(&show(span)), Ok(span));
        }
        assert_eq!(show(Duration::from_mins(15)), "15min");
    }

    #[test]
    fn bandwidths_count_bits_or_bytes() {
        assert_eq!(bandwidth("200 Mbit/s"), Ok(25_000_000));
        assert_eq!(bandwidth("25MB/s"), Ok(25_000_000));
        assert_eq!(bandwidth("1 MiB/s"), Ok(1 << 20));
        for bad in
            ["", "fast", "200", "0 MB/s", "4 bit/s", "1 Mbit", "99999999999999999999 MB/s", "99999999999999999 MB/s"]
        {
            assert!(bandwidth(bad).is_err(), "{bad}");
        }
    }
}
