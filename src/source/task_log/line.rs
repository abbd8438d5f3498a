//! One line of a log: its text, the stamp behind it, and the status message in it.
//!
//! ```
//! use afterbackup::source::task_log::{Line, Status};
//!
//! // Native format. Windows' sign of the bias: UTC = local + bias.
//! let line = Line::parse("Backup completed~  $$<SMS_SITE_BACKUP><11-30-2022 01:03:34.179-60><thread=4844 (0x12EC)>");
//! assert_eq!(line.text, "Backup completed");
//! let stamp = line.stamp.unwrap();
//! assert_eq!(stamp.component, "SMS_SITE_BACKUP");
//! assert_eq!(stamp.thread, Some(4844));
//! assert_eq!(stamp.utc().unwrap().to_string(), "2022-11-30T00:03:34.179Z");
//!
//! // CMTrace format.
//! let line = Line::parse(r#"<![LOG[Backup completed]LOG]!><time="01:03:34.179+420" date="7-30-2018" component="SMS_SITE_BACKUP" context="" type="1" thread="7" file="f.cpp:12">"#);
//! assert_eq!(line.text, "Backup completed");
//! assert_eq!(line.stamp.unwrap().utc().unwrap().to_string(), "2018-07-30T08:03:34.179Z");
//!
//! // Status message: GMTDATE is UTC.
//! let status = Status::parse(r#"STATMSG: ID=5035 SEV=I LEV=M SOURCE="SMS Server" COMP="SMS_SITE_BACKUP" SYS=cm01.example.net SITE=P01 PID=1 TID=2 GMTDATE=Wed Aug 22 09:16:19.253 2012 ISTR0="" NUMATTRS=0"#).unwrap();
//! assert_eq!(status.id, 5035);
//! assert_eq!(status.site.unwrap().as_str(), "P01");
//! assert_eq!(status.time.unwrap().to_string(), "2012-08-22T09:16:19.253Z");
//! ```

use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::name::SiteCode;

/// A status message begins with this.
pub(super) const STATUS_MARK: &str = "STATMSG:";
const NATIVE_MARK: &str = "$$<";
pub(super) const CMTRACE_OPEN: &str = "<![LOG[";
pub(super) const CMTRACE_CLOSE: &str = "]LOG]!>";

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// The message, without what surrounds it.
    pub text: &'a str,
    /// When and by whom it was written; `None` on a line that continues the one before, or is continued by the next.
    pub stamp: Option<Stamp<'a>>,
    /// A stamp was begun but could not be read.
    pub damaged: bool,
}

/// When and by whom a line was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp<'a> {
    /// The component.
    pub component: &'a str,
    /// Local time of the server.
    pub local: DateTime,
    /// Minutes to add to get UTC, where the line says so in a form that has one meaning.
    pub bias_minutes: Option<i16>,
    /// The thread.
    pub thread: Option<u32>,
}

impl Stamp<'_> {
    /// The time in UTC; `None` without a usable bias.
    #[must_use]
    pub fn utc(&self) -> Option<Timestamp> {
        let bias = SignedDuration::from_mins(self.bias_minutes?.into());
        TimeZone::UTC.to_timestamp(self.local.checked_add(bias).ok()?).ok()
    }
}

impl<'a> Line<'a> {
    /// Reads a line of any of the formats. Whatever is no format we know is text.
    #[must_use]
    pub fn parse(line: &'a str) -> Self {
        if let Some((text, tail)) = line.rsplit_once(CMTRACE_CLOSE) {
            let text = text.trim_start().strip_prefix(CMTRACE_OPEN).unwrap_or(text);
            let stamp = cmtrace_stamp(tail);
            return Self { text: trim(text), damaged: stamp.is_none(), stamp };
        }
        if let Some(text) = line.trim_start().strip_prefix(CMTRACE_OPEN) {
            return Self { text: trim(text), stamp: None, damaged: false };
        }
        if let Some((text, tail)) = line.rsplit_once(NATIVE_MARK) {
            let stamp = native_stamp(tail);
            return Self { text: trim(text), damaged: stamp.is_none(), stamp };
        }
        Self { text: trim(line), stamp: None, damaged: false }
    }
}

/// Text ends in spaces and, with some components, in `~`.
fn trim(text: &str) -> &str {
    let text = text.trim();
    text.strip_suffix('~').unwrap_or(text).trim_end()
}

/// `COMPONENT><MM-DD-YYYY HH:MM:SS.mmm±bias><thread=DEC (0xHEX)>`
fn native_stamp(tail: &str) -> Option<Stamp<'_>> {
    let (component, rest) = tail.split_once("><")?;
    let (time, rest) = rest.split_once('>')?;
    let (date, clock) = time.trim().split_once(' ')?;
    let (clock, bias_minutes) = split_bias(clock.trim());
    let thread = rest.strip_prefix("<thread=").and_then(|rest| rest.split([' ', '>']).next()?.parse().ok());
    Some(Stamp { component, local: datetime(month_first(date)?, clock)?, bias_minutes, thread })
}

/// `<time="HH:MM:SS.mmm±bias" date="MM-DD-YYYY" component="X" … thread="N" …>`, in any order.
fn cmtrace_stamp(tail: &str) -> Option<Stamp<'_>> {
    let (mut time, mut date, mut component, mut thread) = (None, None, "", None);
    let mut rest = tail.trim_start().strip_prefix('<')?;
    while let Some((key, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"')?;
        match key.trim() {
            "time" => time = Some(value),
            "date" => date = Some(value),
            "component" => component = value,
            "thread" => thread = value.parse().ok(),
            _ => {}
        }
        rest = after;
    }
    let (clock, bias_minutes) = split_bias(time?);
    Some(Stamp { component, local: datetime(month_first(date?)?, clock)?, bias_minutes, thread })
}

/// Divides `01:03:34.179-60`. A bias such as `+-420` is met, but its writers mean either sign by it: not used.
fn split_bias(clock: &str) -> (&str, Option<i16>) {
    let Some(at) = clock.find(['+', '-']) else { return (clock, None) };
    let (clock, bias) = clock.split_at(at);
    let digits = bias.get(1..).unwrap_or_default();
    let usable = (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    (clock, bias.parse().ok().filter(|_| usable))
}

/// `MM-DD-YYYY` or `M-D-YYYY` to (year, month, day).
fn month_first(date: &str) -> Option<(i16, i8, i8)> {
    let mut parts = date.split('-');
    let (month, day, year) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?, parts.next()?);
    (parts.next().is_none() && year.len() == 4).then_some(())?;
    Some((number(year, 4)?, month, day))
}

/// `HH:MM:SS` with up to nine digits of fraction.
fn datetime((year, month, day): (i16, i8, i8), clock: &str) -> Option<DateTime> {
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.split(':');
    let (hour, minute, second) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    parts.next().is_none().then_some(())?;
    let digits = u32::try_from(fraction.len()).ok()?;
    let nanoseconds = number::<i32>(fraction, 9)? * 10_i32.pow(9 - digits);
    DateTime::new(year, month, day, hour, minute, second, nanoseconds).ok()
}

/// Digits only: `parse` alone takes a sign as well.
fn number<T: FromStr>(digits: &str, max_digits: usize) -> Option<T> {
    let fits = (1..=max_digits).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if fits { digits.parse().ok() } else { None }
}

/// A status message as the log repeats it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status<'a> {
    /// Message id.
    pub id: u32,
    /// How bad it is: `I`, `W` or `E`.
    pub severity: Option<&'a str>,
    /// Component that reports.
    pub component: Option<&'a str>,
    /// Site that reports.
    pub site: Option<SiteCode>,
    /// GMTDATE.
    pub time: Option<Timestamp>,
    /// Was the message read to its end? What is still being written has no last field yet.
    pub whole: bool,
}

impl<'a> Status<'a> {
    /// Reads a text that begins with `STATMSG:`; anything else is `None`.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        Self::fields(text.trim_start().strip_prefix(STATUS_MARK)?)
    }

    /// Reads what follows the mark.
    pub(super) fn fields(fields: &'a str) -> Option<Self> {
        // What the message says is in ISTR0 to ISTR9 and may hold anything: the facts are in front of it.
        let (facts, texts) = fields.split_once("ISTR0=").unwrap_or((fields, fields));
        let whole = texts
            .rsplit_once("NUMATTRS=")
            .is_some_and(|(_, number)| number.starts_with(|first: char| first.is_ascii_digit()));
        let field = |key: &str| {
            facts.match_indices(key).find_map(|(at, _)| {
                let alone = facts.get(..at)?.ends_with(char::is_whitespace);
                let value = facts.get(at + key.len()..)?.strip_prefix('=')?;
                alone.then_some(value)
            })
        };
        let word = |key| field(key).and_then(|value| value.split_whitespace().next());
        Some(Self {
            id: number(word("ID")?, 9)?,
            severity: word("SEV"),
            component: field("COMP")
                .and_then(|value| value.strip_prefix('"')?.split_once('"'))
                .map(|(component, _)| component),
            site: word("SITE").and_then(|site| site.parse().ok()),
            time: field("GMTDATE").and_then(gmt_date),
            whole,
        })
    }
}

/// `Wed Aug 22 09:16:19.253 2012`: English in every language of Windows.
fn gmt_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let mut words = text.split_whitespace().skip(1);
    let month = words.next()?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|name| *name == month)?;
    let (day, clock, year) = (number(words.next()?, 2)?, words.next()?, words.next()?);
    (year.len() == 4).then_some(())?;
    let local = datetime((number(year, 4)?, i8::try_from(month).ok()? + 1, day), clock)?;
    TimeZone::UTC.to_timestamp(local).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // All lines here are synthetic, built on the published formats.

    fn utc(line: &str) -> Option<String> {
        Line::parse(line).stamp?.utc().map(|time| time.to_string())
    }

    #[test]
    fn native_lines_are_divided() {
        let line = Line::parse(
            "omGet could not read; error = 5:   $$<SMS_X><07-30-2018 00:00:00.620+420><thread=40800 (0x9F60)>",
        );
        assert_eq!(line.text, "omGet could not read; error = 5:");
        assert_eq!(line.stamp.as_ref().unwrap().thread, Some(40800));
        assert_eq!(line.stamp.unwrap().utc().unwrap().to_string(), "2018-07-30T07:00:00.62Z");
        let two = Line::parse("a $$<b and $$<X><07-30-2018 00:00:00.620+000><thread=1 (0x1)>");
        assert_eq!(two.text, "a $$<b and");
    }

    #[test]
    fn bias_has_the_sign_of_windows_and_changes_with_daylight_saving() {
        let line = |time: &str| format!("x  $$<X><{time}><thread=1 (0x1)>");
        assert_eq!(utc(&line("10-29-2023 02:59:59.000-120")).unwrap(), "2023-10-29T00:59:59Z");
        assert_eq!(utc(&line("10-29-2023 02:00:00.000-60")).unwrap(), "2023-10-29T01:00:00Z");
        assert_eq!(utc(&line("10-29-2023 02:00:00.000+000")).unwrap(), "2023-10-29T02:00:00Z");
    }

    #[test]
    fn time_with_unusable_bias_is_local_only() {
        for bias in ["", "+-420", "-", "+", "+4200", "+x", "--60"] {
            let text = format!(
                r#"<![LOG[x]LOG]!><time="01:02:03.1234567{bias}" date="2-3-2021" component="C" context="" type="1" thread="" file="">"#
            );
            let stamp = Line::parse(&text).stamp.expect(bias);
            assert_eq!(stamp.local.to_string(), "2021-02-03T01:02:03.1234567");
            assert_eq!(stamp.utc(), None, "{bias}");
        }
    }

    #[test]
    fn damaged_stamps_leave_the_text() {
        for tail in [
            "",
            "X",
            "X><>",
            "X><13-01-2020 00:00:00.000+0><",
            "X><12-01-2020 25:00:00.000+0>",
            "X><12-01-20 01:00:00+0>",
        ] {
            let text = format!("some text $$<{tail}");
            let line = Line::parse(&text);
            assert_eq!((line.text, line.stamp, line.damaged), ("some text", None, true), "{tail}");
        }
    }

    #[test]
    fn status_is_read_from_its_fields_alone() {
        let status = |text| Status::parse(text).map(|status| (status.id, status.site.map(|site| site.to_string())));
        let p01 = Some("P01".to_owned());
        assert_eq!(status("STATMSG: ID=5035 SITE=P01"), Some((5035, p01.clone())));
        assert_eq!(status("STATMSG: SYSID=1 ID=5055 SITE=P01"), Some((5055, p01)));
        assert_eq!(status(r#"STATMSG: ID=1 SITE=P012 ISTR0="STATMSG: ID=5035 SITE=P01""#), Some((1, None)));
        for text in
            ["", "STATMSG:", "STATMSG: ID=", "STATMSG: ID=x", "STATMSG: ID=-5035", "see STATMSG: ID=5035", "ID=5035"]
        {
            assert_eq!(status(text), None, "{text}");
        }
    }

    #[test]
    fn gmt_date_needs_every_part() {
        assert_eq!(gmt_date("Wed Aug  2 09:16:19 2012 X").unwrap().to_string(), "2012-08-02T09:16:19Z");
        for text in
            ["", "Wed Aug 22 09:16:19.253 201", "Mi Okt 22 09:16:19.253 2012", "Wed Feb 30 09:16:19 2012", "Wed Aug 22"]
        {
            assert_eq!(gmt_date(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_a_panic(text in any::<String>(), middle in "[$<>=\"\\[\\]!LOGtimeda0-9:. +-]{0,80}") {
            for line in [text.clone(), middle.clone(), format!("{text}$$<{middle}"), format!("<![LOG[{text}]LOG]!><time=\"{middle}")] {
                let line = Line::parse(&line);
                let _ = line.stamp.and_then(|stamp| stamp.utc());
                let status = format!("STATMSG: ID=5035 GMTDATE={middle}{text}");
                prop_assert!(Status::parse(&status).is_none_or(|status| status.id == 5035));
            }
        }
    }
}
