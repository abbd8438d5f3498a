//! Runs a command line through the system's shell, for a limited time.
//!
//! A hook is written by an administrator who knows `cmd` or `sh`, pipes and `%VARIABLES%` included, so the line goes to
//! that shell as it stands. What it prints is passed on line by line while it runs. When its time is over, it and
//! everything it started is killed. A grandchild that lives on in the background may keep the output open: nobody
//! waits for that.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use crate::cancel::Cancel;
use crate::platform::process::{kill, shell};

/// How often a running command is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long output is waited for after the command has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// A longer line is cut.
const MAX_LINE_BYTES: u64 = 4096;

/// A command line and how to run it.
pub(crate) struct Shell<'a> {
    /// What is run.
    pub(crate) line: &'a str,
    /// Where.
    pub(crate) folder: &'a Path,
    /// Added to the environment.
    pub(crate) variables: &'a [(&'static str, String)],
    /// Taken from the environment.
    pub(crate) without: &'a [&'a str],
    /// For how long.
    pub(crate) timeout: Duration,
}

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// It could not be started.
    #[error("cannot be started")]
    Start(#[source] io::Error),
    /// It ended with something else than 0.
    #[error("ended with {0}")]
    Status(ExitStatus),
    /// It took too long.
    #[error("was killed because it took longer than {}", crate::units::format_duration(*.0))]
    TimedOut(Duration),
    /// Somebody asked to stop meanwhile.
    #[error("was killed because afterbackup was asked to stop")]
    Cancelled,
}

impl Shell<'_> {
    /// Runs the command to its end and passes on what it prints.
    pub(crate) fn run(&self, cancel: Option<&Cancel>, output: &mut dyn FnMut(&str)) -> Result<(), CommandError> {
        let mut command = shell(self.line);
        command.current_dir(self.folder);
        for name in self.without {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let begun = Instant::now();
        let mut child = command.spawn().map_err(CommandError::Start)?;
        let (sender, lines) = sync_channel(64);
        if let Some(stdout) = child.stdout.take() {
            read_lines(stdout, sender.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            read_lines(stderr, sender);
        }
        loop {
            match lines.recv_timeout(LOOK_EVERY) {
                Ok(line) => output(&line),
                Err(RecvTimeoutError::Timeout) => {}
                // Its output is closed, it may still run.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK_EVERY),
            }
            if let Some(status) = child.try_wait().map_err(CommandError::Start)? {
                drain(&lines, output);
                return if status.success() { Ok(()) } else { Err(CommandError::Status(status)) };
            }
            let end = if cancel.is_some_and(Cancel::is_cancelled) {
                CommandError::Cancelled
            } else if begun.elapsed() >= self.timeout {
                CommandError::TimedOut(self.timeout)
            } else {
                continue;
            };
            kill(&mut child);
            drain(&lines, output);
            return Err(end);
        }
    }
}

/// Sends lines until the output is closed or nobody listens any more.
fn read_lines(output: impl Read + Send + 'static, sender: SyncSender<String>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
            if !matches!(read, Ok(bytes) if bytes > 0) {
                return;
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            if !text.is_empty() && sender.send(text.to_owned()).is_err() {
                return;
            }
        }
    });
}

/// What is printed but not passed on yet.
fn drain(lines: &Receiver<String>, output: &mut dyn FnMut(&str)) {
    let end = Instant::now() + LAST_WORDS;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        match lines.recv_timeout(left) {
            Ok(line) => output(&line),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str, timeout: Duration, cancel: Option<&Cancel>) -> (Result<(), CommandError>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let variables = [("AFTERBACKUP_EVENT", "run-after".to_owned())];
        let shell = Shell { line, folder: folder.path(), variables: &variables, without: &[], timeout };
        let mut lines = Vec::new();
        let result = shell.run(cancel, &mut |line| lines.push(line.to_owned()));
        (result, lines)
    }

    const LONG: Duration = Duration::from_mins(2);

    #[test]
    fn output_variables_and_status_are_passed_on() {
        let variable = if cfg!(windows) { "%AFTERBACKUP_EVENT%" } else { "$AFTERBACKUP_EVENT" };
        let (result, lines) = run(&format!("echo \"one {variable}\" && echo two 1>&2&& exit 3"), LONG, None);
        assert!(matches!(result, Err(CommandError::Status(status)) if status.code() == Some(3)), "{result:?}");
        let mut words: Vec<&str> = lines.iter().map(|line| line.trim_matches('"')).collect();
        words.sort_unstable();
        assert_eq!(words, ["one run-after", "two"]);
        assert!(matches!(run("no-such-command-here", LONG, None).0, Err(CommandError::Status(_))));
    }

    /// Cargo sets this variable for tests.
    #[cfg(unix)]
    #[test]
    fn secrets_are_taken_from_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let printed = |without: &[&str]| {
            let line = "echo \"<$CARGO_MANIFEST_DIR>\"";
            let shell = Shell { line, folder: folder.path(), variables: &[], without, timeout: LONG };
            let mut lines = Vec::new();
            shell.run(None, &mut |line| lines.push(line.to_owned())).unwrap();
            lines
        };
        assert_ne!(printed(&["OTHER"]), ["<>"]);
        assert_eq!(printed(&["OTHER", "CARGO_MANIFEST_DIR"]), ["<>"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_command_that_hangs_is_killed_with_all_it_started() {
        // On a machine that is busy the shell may be killed before it has said anything.
        let timeouts = [300, 3000, 30_000].map(Duration::from_millis);
        let (result, lines) = timeouts
            .into_iter()
            .map(|timeout| run("sleep 600 & echo $!; wait", timeout, None))
            .find(|(_, lines)| !lines.is_empty())
            .expect("the shell says something within half a minute");
        assert!(matches!(result, Err(CommandError::TimedOut(_))), "{result:?}");
        let end = Instant::now() + LONG;
        let state = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        while !(state(&lines[0]).is_empty() || state(&lines[0]).contains(") Z ")) {
            assert!(Instant::now() < end, "the grandchild lives on");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_request_to_stop_ends_a_command() {
        let cancel = Cancel::new();
        cancel.cancel();
        assert!(matches!(run("sleep 600", LONG, Some(&cancel)).0, Err(CommandError::Cancelled)));
    }

    #[cfg(unix)]
    #[test]
    fn nobody_waits_for_what_is_left_in_the_background() {
        let begun = Instant::now();
        let (result, lines) = run("sleep 90 & echo $!", LONG, None);
        assert!(result.is_ok() && begun.elapsed() < Duration::from_mins(1), "{result:?}");
        assert!(run(&format!("kill {}", lines[0]), LONG, None).0.is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn output_without_end_of_line_is_cut_and_none_is_lost() {
        let (result, lines) = run("head -c 10000 /dev/zero | tr '\\0' x", LONG, None);
        assert!(result.is_ok());
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [4096, 4096, 1808]);
    }
}
