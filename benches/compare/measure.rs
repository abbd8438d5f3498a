//! Runs programs in turn and keeps what each run cost.
//!
//! On a machine that others use too, speed drifts. So every round runs each program once, one after the other, and
//! medians over the rounds are compared. Processor time and memory come from GNU time, which asks the kernel for the
//! child and everything the child waited for; `sync` before each run lets no program pay for what the one before it
//! left in the page cache.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

/// A step of a program, for the run's folder.
pub(crate) type Step<'a, T> = Box<dyn Fn(&Path) -> T + 'a>;

/// One program under test.
pub(crate) struct Program<'a> {
    pub(crate) name: String,
    /// Not measured; before every run. Gets the run's empty folder.
    pub(crate) prepare: Step<'a, Result<()>>,
    /// The command line for the run's folder.
    pub(crate) command: Step<'a, Vec<String>>,
    /// Bytes of the result, looked up after every run.
    pub(crate) output: Step<'a, Result<u64>>,
}

/// What one run cost.
#[derive(Debug, Clone)]
pub(crate) struct Cost {
    pub(crate) wall_seconds: f64,
    pub(crate) cpu_seconds: f64,
    /// The largest resident set of any process of the run.
    pub(crate) peak_bytes: u64,
    pub(crate) output_bytes: u64,
    pub(crate) stdout: String,
}

/// The counted runs of one program.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) runs: Vec<Cost>,
}

impl Series {
    pub(crate) fn wall(&self) -> f64 {
        self.median(|cost| cost.wall_seconds)
    }

    pub(crate) fn cpu(&self) -> f64 {
        self.median(|cost| cost.cpu_seconds)
    }

    pub(crate) fn peak_bytes(&self) -> u64 {
        self.runs.iter().map(|cost| cost.peak_bytes).max().unwrap_or_default()
    }

    pub(crate) fn output_bytes(&self) -> u64 {
        self.last().map_or(0, |cost| cost.output_bytes)
    }

    pub(crate) fn last(&self) -> Option<&Cost> {
        self.runs.last()
    }

    /// Fastest and slowest run.
    pub(crate) fn wall_range(&self) -> (f64, f64) {
        let walls = self.runs.iter().map(|cost| cost.wall_seconds);
        (walls.clone().fold(f64::INFINITY, f64::min), walls.fold(0.0, f64::max))
    }

    fn median(&self, of: impl Fn(&Cost) -> f64) -> f64 {
        let mut values: Vec<f64> = self.runs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        match (values.len(), values.len() / 2) {
            (0, _) => 0.0,
            (length, middle) if length % 2 == 1 => values[middle],
            (_, middle) => f64::midpoint(values[middle - 1], values[middle]),
        }
    }
}

/// What becomes of the folders of the runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Each is removed after its run.
    Nothing,
    /// All are removed after the last run. ext4 is slow in giving out again the inodes of files that were removed just
    /// before, and whoever writes many files would pay for what the program before it has left.
    UntilTheEnd,
}

/// Runs every program once to warm up, then `count` times in turn, each in a fresh folder below `scratch`.
pub(crate) fn rounds(programs: &[Program<'_>], count: usize, scratch: &Path, keep: Keep) -> Result<Vec<Series>> {
    let mut all: Vec<Series> =
        programs.iter().map(|program| Series { name: program.name.clone(), runs: Vec::new() }).collect();
    let folder = scratch.join("runs");
    for round in 0..=count {
        for (number, (program, series)) in programs.iter().zip(&mut all).enumerate() {
            let folder = folder.join(format!("{round}-{number}"));
            let cost = run_once(program, &folder).with_context(|| program.name.clone())?;
            if keep == Keep::Nothing {
                fs::remove_dir_all(&folder)?;
            }
            if round > 0 {
                eprintln!("  round {round} of {count}: {:<44} {:>8.3} s", program.name, cost.wall_seconds);
                series.runs.push(cost);
            }
        }
    }
    fs::remove_dir_all(&folder)?;
    Ok(all)
}

fn run_once(program: &Program<'_>, folder: &Path) -> Result<Cost> {
    fs::create_dir_all(folder)?;
    (program.prepare)(folder)?;
    let synced = Command::new("sync").status()?;
    ensure!(synced.success(), "sync failed");
    let mut cost = run(&(program.command)(folder), folder)?;
    cost.output_bytes = (program.output)(folder)?;
    Ok(cost)
}

/// Runs one command to its end. What it cost goes to a file in `folder` that is gone afterwards.
pub(crate) fn run(command: &[String], folder: &Path) -> Result<Cost> {
    let report = folder.join("cost");
    let begin = Instant::now();
    let output = Command::new("/usr/bin/time")
        .args(["--format", "%U %S %M", "--output"])
        .arg(&report)
        .args(command)
        .stdin(Stdio::null())
        .output()
        .context("cannot run /usr/bin/time (Debian package time)")?;
    let wall_seconds = begin.elapsed().as_secs_f64();
    if !output.status.success() {
        bail!("`{}` ended with {}\n{}", command.join(" "), output.status, String::from_utf8_lossy(&output.stderr));
    }
    let report_text = fs::read_to_string(&report)?;
    fs::remove_file(&report)?;
    let mut fields = report_text.split_whitespace();
    let mut field = || fields.next().context("GNU time wrote too little");
    let cpu_seconds = field()?.parse::<f64>()? + field()?.parse::<f64>()?;
    let peak_bytes = field()?.parse::<u64>()? * 1024;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(Cost { wall_seconds, cpu_seconds, peak_bytes, output_bytes: 0, stdout })
}
