//! Reads smsbkup.log, the log of the backup task, and tells what its runs did.
//!
//! No complete real smsbkup.log is public. What is relied on here is the format of the server's logs, the form of
//! status messages and the meaning of their ids; free text is used only to err on the safe side. In the order of the
//! work:
//!
//! 1. [`Lines`] cuts bytes into lines of text: byte order mark, else UTF-8, else Windows-1252,
//! 2. [`Line`] and [`Status`] read one line: native format, `CMTrace` format, or plain text, and a status message in
//!    it,
//! 3. [`Runs`] puts status messages into runs: started, snapshot done, completed or failed, `AfterBackup` started,
//! 4. [`Follower`] does all that to a growing file: `.lo_` first, then `.log`, then only what is new.
//!
//! A status message counts wherever it is, behind garbage on its line and inside an unfinished record: a start that
//! went unnoticed could make a torn archive, so nothing may hide one. What may have hidden one is reported by
//! [`Runs::damage`]. Everything is linear in the size of the log, and memory does not depend on it: the last
//! [`MAX_RUNS`] runs and one line are kept.
//!
//! ```
//! use afterbackup::source::task_log::{Outcome, Runs};
//!
//! // Synthetic, built on the published form of status messages.
//! let mut runs = Runs::new();
//! for line in [
//!     r#"STATMSG: ID=5055 SEV=I LEV=M SOURCE="SMS Server" COMP="SMS_SITE_BACKUP" SYS=cm01 SITE=P01 PID=1 TID=2 GMTDATE=Sun Nov 22 23:00:00.000 2026 ISTR0="" NUMATTRS=0"#,
//!     r#"STATMSG: ID=5035 SEV=I LEV=M SOURCE="SMS Server" COMP="SMS_SITE_BACKUP" SYS=cm01 SITE=P01 PID=1 TID=2 GMTDATE=Sun Nov 22 23:59:00.000 2026 ISTR0="" NUMATTRS=0"#,
//! ] {
//!     runs.line(line);
//! }
//! let run = runs.last("P01".parse()?).unwrap();
//! assert_eq!(run.outcome, Outcome::Completed { at: Some("2026-11-22T23:59:00Z".parse()?) });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod follow;
mod line;
mod runs;
mod text;

pub use follow::{Error, Follower};
pub use line::{Line, Stamp, Status};
pub use runs::{Damage, MAX_RUNS, Outcome, Run, Runs, Seen};
pub use text::{Lines, MAX_LINE_BYTES, RawLine};

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Samples of real lines, which are not ours to publish.
    fn samples() -> Vec<PathBuf> {
        let shared = std::env::var_os("AFTERBACKUP_SHARED").expect("AFTERBACKUP_SHARED names the folder of real files");
        let entries = std::fs::read_dir(PathBuf::from(shared).join("samples")).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "log" || e == "txt"))
            .collect()
    }

    #[test]
    #[ignore = "needs logs of real servers in AFTERBACKUP_SHARED"]
    fn logs_of_real_servers_have_readable_stamps_and_tell_of_no_completed_run() {
        let samples = samples();
        assert!(!samples.is_empty());
        for path in samples {
            let mut stamped = 0;
            let mut lines = Lines::new();
            lines.push(&std::fs::read(&path).unwrap(), |line| {
                let parsed = Line::parse(line);
                assert!(!parsed.damaged, "{line}");
                stamped += usize::from(parsed.stamp.as_ref().is_some_and(|stamp| stamp.utc().is_some()));
                if line.starts_with("STATMSG: ID=500 ") {
                    let status = Status::parse(line).unwrap();
                    assert_eq!((status.id, status.site.unwrap().as_str(), status.whole), (500, "CM1", true));
                    assert_eq!(status.time.unwrap().to_string(), "2012-08-22T09:16:19.253Z");
                }
            });
            if path.file_name().is_some_and(|name| name == "server-log-native-format.log") {
                assert_eq!(stamped, 13);
            }
            let mut follower = Follower::new(&path);
            follower.poll().unwrap();
            for run in follower.runs().iter() {
                assert!(!matches!(run.outcome, Outcome::Completed { .. }), "{}: {run:?}", path.display());
            }
        }
    }
}
