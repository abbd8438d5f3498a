//! What tells that there is something to archive: smsbkup.log, and the names of SQL Server's backups.
#![no_main]

use afterbackup::source::task_log::{Lines, Outcome, Runs};
use afterbackup::source::sql_backups::BackupName;
use libfuzzer_sys::fuzz_target;

/// Synthetic, built on the published formats: a good run, and one that has begun.
const LOG: &str = r#"SMS_SITE_BACKUP is starting.~  $$<SMS_SITE_BACKUP><11-22-2026 23:00:00.000-60><thread=4844 (0x12EC)>
STATMSG: ID=5055 SEV=I LEV=M SOURCE="SMS Server" COMP="SMS_SITE_BACKUP" SYS=cm01 SITE=P01 PID=1 TID=2 GMTDATE=Sun Nov 22 22:00:00.000 2026 ISTR0="" NUMATTRS=0
<![LOG[text of
two lines]LOG]!><time="23:30:00.000-60" date="11-22-2026" component="SMS_SITE_BACKUP" context="" type="1" thread="7" file="f.cpp:12">
STATMSG: ID=5035 SEV=I LEV=M SOURCE="SMS Server" COMP="SMS_SITE_BACKUP" SYS=cm01 SITE=P01 PID=1 TID=2 GMTDATE=Sun Nov 22 22:59:00.000 2026 ISTR0="" NUMATTRS=0
STATMSG: ID=5055 SEV=I LEV=M SOURCE="SMS Server" COMP="SMS_SITE_BACKUP" SYS=cm01 SITE=P01 PID=1 TID=2 GMTDATE=Mon Nov 23 22:00:00.000 2026 ISTR0="" NUMATTRS=0
"#;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    if let Some((place, bytes)) = bytes.split_first() {
        // Put into a log, not in place of one.
        let mut log = LOG.as_bytes().to_vec();
        let place = usize::from(*place) * log.len() / 256;
        log.splice(place..place, bytes.iter().copied());
        check(&log);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(name) = BackupName::parse(text)
    {
        assert!(text.starts_with(name.server) && !name.server.is_empty());
    }
});

/// Cut anywhere, a log tells the same; and no run is completed without a line that says so.
fn check(log: &[u8]) {
    let (runs, completions) = read(&[log]);
    let middle = log.len() / 2;
    assert_eq!(runs, read(&[&log[..middle], &log[middle..]]).0);
    let completed = runs.iter().filter(|run| matches!(run.outcome, Outcome::Completed { .. })).count();
    assert!(completed <= completions);
}

/// The runs, and how often there is the id of a completion.
fn read(pieces: &[&[u8]]) -> (Runs, usize) {
    let (mut lines, mut runs, mut completions) = (Lines::new(), Runs::new(), 0);
    for piece in pieces {
        lines.push(piece, |line| {
            completions += line.matches("5035").count();
            runs.line(line);
        });
    }
    if let Some(line) = lines.unfinished() {
        completions += line.matches("5035").count();
        runs.unfinished_line(&line);
    }
    (runs, completions)
}
