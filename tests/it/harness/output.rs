//! The program's runs and what they print.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use jiff::Timestamp;

/// Sizes depend on the version of zstd, ages on the day; columns are as wide as they are.
pub(super) fn normalised_line(line: &str) -> String {
    if line.starts_with("---") {
        return "---".to_owned();
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut out: Vec<String> = Vec::new();
    for (number, word) in words.iter().enumerate() {
        let bare = word.trim_matches(['(', ')', ',', ';']);
        let unit = words.get(number + 1).map_or("", |next| next.trim_matches(['(', ')', ',', ';']));
        let is_number = bare.parse::<f64>().is_ok();
        out.push(match bare {
            "B" | "KiB" | "MiB" | "GiB" if out.last().is_some_and(|last| last.ends_with("SIZE")) => {
                out.last_mut().unwrap().push_str(word.trim_start_matches(bare));
                continue;
            }
            _ if is_number && ["B", "KiB", "MiB", "GiB", "bytes"].contains(&unit) => word.replace(bare, "SIZE"),
            _ if bare.len() == 64 && bare.bytes().all(|b| b.is_ascii_hexdigit()) => word.replace(bare, "SHA-256"),
            _ if is_number && ["days", "months", "years", "year", "day", "y", "d", "h", "min"].contains(&unit) => {
                word.replace(bare, "AGE")
            }
            // The time of a day that was left out.
            _ if bare.get(8..9).is_some_and(|sign| sign == "+")
                && out.last().is_some_and(|last| last.ends_with("NOW")) =>
            {
                out.last_mut().unwrap().push_str(word.trim_start_matches(bare));
                continue;
            }
            _ if bare.parse::<jiff::civil::Date>().is_ok() && !bare.starts_with("2021") => word.replace(bare, "NOW"),
            // A time of today, not of the snapshot.
            _ if bare.ends_with('Z') && bare.parse::<Timestamp>().is_ok() && !bare.starts_with("2021") => {
                word.replace(bare, "NOW")
            }
            _ => (*word).to_owned(),
        });
    }
    out.join(" ")
}

/// The file of the program: the one built with the tests, unless another build of it is to be tested.
pub fn program_file() -> PathBuf {
    std::env::var_os("AFTERBACKUP_TEST_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_afterbackup").into()).into()
}

/// The program, without the settings of whoever runs the tests.
pub fn program() -> Command {
    let mut command = Command::new(program_file());
    command.env_remove("AFTERBACKUP_CONFIG").env_remove("RUST_LOG").env("TZ", "UTC").stdin(Stdio::null());
    command
}

/// What came of starting a program. Wine cannot start one now and then while the machine is busy (its "internal error",
/// 1359): the process has died before anything of the program ran, and is started once more.
pub fn started<T>(mut start: impl FnMut() -> io::Result<T>) -> T {
    const WINE_INTERNAL_ERROR: i32 = 1359;
    for _ in 0..10 {
        match start() {
            Err(error) if cfg!(windows) && error.raw_os_error() == Some(WINE_INTERNAL_ERROR) => {}
            result => return result.unwrap(),
        }
    }
    start().unwrap()
}

/// Runs a program to its end. Under Wine it may have died before its `main`, for the same reason: with the status of a
/// library that could not be initialised.
pub fn ended(command: &mut Command) -> std::process::Output {
    const DLL_INIT_FAILED: i32 = 0xC000_0142_u32.cast_signed();
    for _ in 0..10 {
        let output = started(|| command.output());
        if !cfg!(windows) || output.status.code() != Some(DLL_INIT_FAILED) {
            return output;
        }
    }
    started(|| command.output())
}

/// What a run of the program said.
#[derive(Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Runs a command to its end. Whatever it does, it does not panic.
    #[must_use = "check how the run ended"]
    pub fn of(mut command: Command) -> Self {
        let output = ended(&mut command);
        let output = Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!output.stderr.contains("panicked"), "{command:?}\n{output}");
        output
    }

    /// Checks the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Checks that both streams together say this.
    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(self.stdout.contains(words) || self.stderr.contains(words), "'{words}' is not in\n{self}");
        self
    }

    /// Checks that neither stream says this.
    #[track_caller]
    pub fn says_not(self, words: &str) -> Self {
        assert!(!self.stdout.contains(words) && !self.stderr.contains(words), "'{words}' is in\n{self}");
        self
    }

    /// The one document of `--json`.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let json: serde_json::Value = serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}:\n{self}"));
        assert_eq!(json["schema"], 1, "{self}");
        json
    }

    /// The events of `run --json`.
    #[track_caller]
    pub fn events(&self) -> Vec<serde_json::Value> {
        let lines = self.stdout.lines();
        let events: Vec<serde_json::Value> =
            lines.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}:\n{self}"))).collect();
        for event in &events {
            assert_eq!(event["schema"], 1, "{event}");
            assert!(event["event"].is_string() && event["message"].is_string(), "{event}");
        }
        events
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {:?}\nstdout:\n{}\nstderr:\n{}", self.code, self.stdout, self.stderr)
    }
}
