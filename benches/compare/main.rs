//! Compares afterbackup with what people use instead: `tar | zstd`, and restic.
//!
//! ```text
//! cargo bench --bench compare [-- --quick | --size 2GiB | --runs 5 | --only archive,fetch | --only-competitors]
//! ```
//!
//! Generates a snapshot (kept for the next time), runs the programs in turn, and closes with a table of medians,
//! ratios and targets. It is no test: a missed target is shown, and only a program that fails makes it fail. Needs
//! tar, zstd and GNU time; restic where there is one. Parts:
//!
//! * `archive`: snapshot to folder, against both; a second folder; size, processor time, memory; with and without
//!   checks of the databases,
//! * `memory`: the same with a database file of 1 GiB and of 12 GiB,
//! * `fetch`: a whole archive back to disk,
//! * `verify`: an archive read and checked without writing,
//! * `single`: one file of 10 KiB among thousands,
//! * `list`: 1,000 archives in a folder,
//! * `bucket`: `list` and `single` on S3, when `AFTERBACKUP_BENCH_S3_ENDPOINT`, `_BUCKET`, `_ACCESS_KEY` and
//!   `_SECRET_KEY` are set.

#![allow(clippy::disallowed_methods, reason = "files of the comparison")]
#![allow(clippy::print_stdout, reason = "the table is this program's result")]
#![allow(clippy::print_stderr, reason = "progress of a long run")]
#![allow(clippy::cast_precision_loss, reason = "figures are shown with four digits at most")]

mod bucket;
mod clones;
mod data;
mod database;
mod measure;
mod programs;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use data::{Day, NEEDLE, Spec};
use measure::{Keep, Program, Series, rounds};
use programs::{AfterBackup, SNAPSHOT, Vault, quoted, text};
use table::{Table, count, megabytes, rate, seconds};

const PARTS: &[&str] = &["archive", "memory", "fetch", "verify", "single", "list", "bucket"];
/// Changes whenever the same [`Spec`] gives other bytes.
const DATA_VERSION: u32 = 1;

/// The command line.
struct Arguments {
    bytes: u64,
    runs: usize,
    parts: Vec<String>,
    only_competitors: bool,
    binary: Option<PathBuf>,
    /// Parent of the kept snapshots and the scratch folder.
    folder: PathBuf,
}

impl Arguments {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut parsed = Self {
            bytes: 2 << 30,
            runs: 5,
            parts: PARTS.iter().map(|&part| part.to_owned()).collect(),
            only_competitors: false,
            binary: option_env!("CARGO_BIN_EXE_afterbackup").map(PathBuf::from),
            folder: PathBuf::from(option_env!("CARGO_TARGET_TMPDIR").unwrap_or("target/tmp")).join("compare"),
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => (parsed.bytes, parsed.runs) = (256 << 20, 2),
                "--size" => parsed.bytes = parse_size(&value()?)?,
                "--runs" => parsed.runs = value()?.parse::<usize>().context("--runs")?.max(1),
                "--only" => parsed.parts = value()?.split(',').map(str::to_owned).collect(),
                "--only-competitors" => parsed.only_competitors = true,
                "--bin" => parsed.binary = Some(value()?.into()),
                "--folder" => parsed.folder = value()?.into(),
                "--bench" => {} // from cargo
                other => bail!("unknown argument {other}; see the top of benches/compare/main.rs"),
            }
        }
        if let Some(part) = parsed.parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
            bail!("unknown part {part}: there are {}", PARTS.join(", "));
        }
        Ok(parsed)
    }
}

/// `2GiB`, `512MiB`.
fn parse_size(size: &str) -> Result<u64> {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match size.trim_start_matches(digits) {
        "GiB" => 30,
        "MiB" => 20,
        unit => bail!("cannot read the unit {unit:?} of {size}: use MiB or GiB"),
    };
    let number: u64 = digits.parse().with_context(|| format!("cannot read {size}"))?;
    number.checked_shl(shift).filter(|&bytes| bytes >= 32 << 20).context("a snapshot needs at least 32MiB")
}

fn main() -> Result<()> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let scratch = arguments.folder.join(format!("scratch-{}", std::process::id()));
    fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
    let scratch = fs::canonicalize(scratch)?;
    let result = compare(&arguments, &scratch);
    fs::remove_dir_all(&scratch)?;
    result
}

/// The snapshot of `spec`, generated unless it was kept from an earlier run. Returns the folder that holds it.
fn snapshot(spec: &Spec, folder: &Path) -> Result<PathBuf> {
    let sparse = spec.sparse_bytes.map_or_else(String::new, |bytes| format!("-sparse{bytes}"));
    let name = format!("snapshot-v{DATA_VERSION}-{}-{}{sparse}-{}", spec.bytes, spec.small_files, spec.seed);
    let (whole, partial) = (folder.join(&name), folder.join(format!("{name}.partial")));
    if !whole.exists() {
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        let begin = Instant::now();
        spec.write(&partial.join(SNAPSHOT)).with_context(|| format!("cannot generate {}", partial.display()))?;
        fs::rename(&partial, &whole)?;
        eprintln!("generated {} in {:.1} s", whole.display(), begin.elapsed().as_secs_f64());
    }
    Ok(fs::canonicalize(whole)?)
}

struct Bench<'a> {
    arguments: &'a Arguments,
    afterbackup: Option<AfterBackup>,
    /// Holds the snapshot.
    source: PathBuf,
    source_bytes: f64,
    scratch: &'a Path,
    table: Table,
}

fn compare(arguments: &Arguments, scratch: &Path) -> Result<()> {
    for program in ["tar", "zstd", "bash"] {
        ensure!(programs::is_installed(program), "{program} is not installed");
    }
    let afterbackup = match &arguments.binary {
        _ if arguments.only_competitors => None,
        Some(binary) => Some(AfterBackup { binary: binary.clone() }),
        None => bail!("name the program with --bin, or use --only-competitors"),
    };
    let spec =
        Spec { bytes: arguments.bytes, small_files: 8000, sparse_bytes: None, seed: 1, day: Day::OF_COMPARISONS };
    let source = snapshot(&spec, &arguments.folder)?;
    let source_bytes = programs::tree_bytes(&source)? as f64;
    println!("snapshot: {} in {}", megabytes(source_bytes), source.display());
    let mut bench = Bench { arguments, afterbackup, source, source_bytes, scratch, table: Table::default() };

    for part in &arguments.parts {
        eprintln!("{part}");
        match part.as_str() {
            "archive" => bench.archive()?,
            "memory" => bench.memory()?,
            "fetch" => bench.fetch()?,
            "verify" => bench.verify()?,
            "single" => bench.single()?,
            "list" => bench.list()?,
            _ => bench.bucket()?,
        }
    }
    println!("\nmedians of {} runs, programs in turn\n\n{}", arguments.runs, bench.table.render());
    Ok(())
}

fn print_costs(all: &[Series]) {
    println!(
        "\n{:<44} {:>9} {:>19} {:>9} {:>10} {:>12}",
        "program", "wall", "(fastest - slowest)", "cpu", "peak", "output"
    );
    for series in all {
        let (fastest, slowest) = series.wall_range();
        println!(
            "{:<44} {:>7.3} s   ({fastest:>6.3} - {slowest:>6.3}) {:>7.2} s {:>10} {:>12}",
            series.name,
            series.wall(),
            series.cpu(),
            megabytes(series.peak_bytes() as f64),
            megabytes(series.output_bytes() as f64),
        );
    }
}

impl Bench<'_> {
    /// Runs programs in turn and prints what they cost.
    fn rounds(&self, programs: &[Program<'_>]) -> Result<Vec<Series>> {
        let all = rounds(programs, self.arguments.runs, self.scratch, Keep::Nothing)?;
        print_costs(&all);
        Ok(all)
    }

    /// The same for programs that write many files.
    fn rounds_in_new_folders(&self, programs: &[Program<'_>]) -> Result<Vec<Series>> {
        let all = rounds(programs, self.arguments.runs, self.scratch, Keep::UntilTheEnd)?;
        print_costs(&all);
        Ok(all)
    }

    fn tar_zstd(&self, synced: bool) -> Program<'static> {
        let source = quoted(&self.source);
        let pipeline = format!("tar -C {source} -cf - {SNAPSHOT} | zstd -q -3 -T2 -o OUT/x.tar.zst");
        if synced {
            programs::shell("tar | zstd -3 -T2, sync", format!("{pipeline} && sync OUT/x.tar.zst"))
        } else {
            programs::shell("tar | zstd -3 -T2", pipeline)
        }
    }

    fn archive(&mut self) -> Result<()> {
        let mut programs = vec![self.tar_zstd(true), self.tar_zstd(false)];
        let has_restic = programs::is_installed("restic");
        if has_restic {
            programs.push(programs::restic(&self.source));
        }
        let theirs = programs.len();
        if let Some(afterbackup) = &self.afterbackup {
            for (verify, folders) in [("none", 1), ("full", 1), ("none", 2), ("full", 2)] {
                programs.push(afterbackup.archive(&self.source, verify, folders));
            }
            programs.push(afterbackup.archive_unchecked(&self.source, "none"));
        }
        let all = self.rounds(&programs)?;
        let [synced, unsynced, ..] = all.as_slice() else { bail!("two pipelines were run") };
        self.table.at_most(
            "(snapshot / tar | zstd output, as a ratio)",
            self.source_bytes / synced.output_bytes() as f64,
            None,
            |ratio| format!("{ratio:.2}"),
        );
        let [none, full, none_twice, full_twice, unchecked] = &all[theirs..] else { return Ok(()) };
        let table = &mut self.table;
        table.ratio("archive, verify none : tar | zstd, sync", none.wall(), synced.wall(), Some(0.90), seconds);
        table.ratio("archive, verify none : tar | zstd", none.wall(), unsynced.wall(), Some(0.90), seconds);
        table.ratio("archive, verify full : tar | zstd, sync", full.wall(), synced.wall(), None, seconds);
        if has_restic {
            table.ratio("archive, verify none : restic", none.wall(), all[2].wall(), Some(0.45), seconds);
            table.ratio("archive, verify full : restic", full.wall(), all[2].wall(), Some(0.45), seconds);
        }
        table.ratio("processor time, verify none : tar | zstd", none.cpu(), unsynced.cpu(), Some(1.0), seconds);
        table.ratio("processor time, verify full : tar | zstd", full.cpu(), unsynced.cpu(), None, seconds);
        table.ratio("databases checked : not, wall time", none.wall(), unchecked.wall(), Some(1.03), seconds);
        table.ratio("databases checked : not, processor time", none.cpu(), unchecked.cpu(), Some(1.03), seconds);
        let (ours, theirs) = (none.output_bytes() as f64, unsynced.output_bytes() as f64);
        table.ratio("output : tar | zstd", ours, theirs, Some(1.005), megabytes);
        table.ratio("second folder, verify none : one folder", none_twice.wall(), none.wall(), Some(1.2), seconds);
        table.ratio("second folder, verify full : one folder", full_twice.wall(), full.wall(), Some(1.2), seconds);
        let peak = full.peak_bytes().max(full_twice.peak_bytes()) as f64;
        table.at_most("archive, peak memory", peak, Some(128e6), megabytes);
        Ok(())
    }

    fn memory(&mut self) -> Result<()> {
        let mut sources = Vec::new();
        for gigabytes in [1_u64, 12] {
            let sparse_bytes = Some(gigabytes << 30);
            let spec = Spec { bytes: 384 << 20, small_files: 8000, sparse_bytes, seed: 2, day: Day::OF_COMPARISONS };
            sources.push(snapshot(&spec, &self.arguments.folder)?);
        }
        let Some(afterbackup) = &self.afterbackup else { return Ok(()) };
        let programs: Vec<Program<'_>> = sources.iter().map(|source| afterbackup.archive(source, "full", 1)).collect();
        let all = rounds(&programs, self.arguments.runs.min(2), self.scratch, Keep::Nothing)?;
        let [small, large] = all.as_slice() else { bail!("two sizes were run") };
        let (small, large) = (small.peak_bytes() as f64, large.peak_bytes() as f64);
        self.table.at_most("archive of 1 GiB, peak memory", small, Some(128e6), megabytes);
        self.table.at_most("archive of 12 GiB, peak memory", large, Some(128e6), megabytes);
        self.table.ratio("archive of 12 GiB : 1 GiB, peak memory", large, small, Some(1.1), megabytes);
        Ok(())
    }

    /// An archive of the snapshot by each program: the configuration for ours, and the pipeline's file.
    fn archives(&self) -> Result<(PathBuf, PathBuf)> {
        let folder = self.scratch.join("archives");
        let (config, pipeline) = (folder.join("config.toml"), folder.join("x.tar.zst"));
        if folder.exists() {
            return Ok((config, pipeline));
        }
        fs::create_dir(&folder)?;
        let command =
            format!("tar -C {} -cf - {SNAPSHOT} | zstd -q -3 -T2 -o {}", quoted(&self.source), quoted(&pipeline));
        let status = Command::new("bash").args(["-o", "pipefail", "-c", &command]).status()?;
        ensure!(status.success(), "tar | zstd failed");
        if let Some(afterbackup) = &self.afterbackup {
            let vault = folder.join("vault");
            programs::configure(&config, &self.source, &[Vault { path: &vault, verify: "full" }])?;
            measure::run(&afterbackup.command(&config, &["run"]), &folder)?;
        }
        Ok((config, pipeline))
    }

    fn fetch(&mut self) -> Result<()> {
        let (config, pipeline) = self.archives()?;
        let pipeline = quoted(&pipeline);
        let mut programs = vec![programs::shell("zstd -dc | tar x", format!("zstd -dc -q {pipeline} | tar -x -C OUT"))];
        let arguments = ["fetch", "latest", "--to", "TO"];
        if let Some(afterbackup) = &self.afterbackup {
            programs.push(afterbackup.reading("afterbackup fetch", &config, &arguments));
        }
        let all = self.rounds_in_new_folders(&programs)?;
        let [theirs, ours] = all.as_slice() else { return Ok(()) };
        self.table.ratio("fetch : zstd -dc | tar x", ours.wall(), theirs.wall(), Some(0.50), seconds);
        self.table.at_most("fetch, peak memory", ours.peak_bytes() as f64, Some(96e6), megabytes);

        // What comes back must be what went in, times included.
        if let Some(afterbackup) = &self.afterbackup {
            let to = self.scratch.join("compared");
            fs::create_dir(&to)?;
            measure::run(&afterbackup.command(&config, &["fetch", "latest", "--to", &text(&to)]), self.scratch)?;
            let listing = |folder: &Path| {
                format!("(cd {} && find . -type f -printf '%P %s %T@\\n' | sort)", quoted(&folder.join(SNAPSHOT)))
            };
            let command = format!(
                "set -o pipefail; diff -rq {} {} | head -n 20 && diff <{} <{} | head -n 20",
                quoted(&self.source.join(SNAPSHOT)),
                quoted(&to.join(SNAPSHOT)),
                listing(&self.source),
                listing(&to)
            );
            let status = Command::new("bash").args(["-c", &command]).status()?;
            ensure!(status.success(), "what was fetched differs from the snapshot");
            fs::remove_dir_all(&to)?;
        }
        Ok(())
    }

    fn verify(&mut self) -> Result<()> {
        let (config, pipeline) = self.archives()?;
        let mut programs = vec![programs::shell("zstd -t", format!("zstd -t -q {}", quoted(&pipeline)))];
        let arguments = ["verify", "latest"];
        if let Some(afterbackup) = &self.afterbackup {
            programs.push(afterbackup.reading("afterbackup verify", &config, &arguments));
        }
        let all = self.rounds(&programs)?;
        let [theirs, ours] = all.as_slice() else { return Ok(()) };
        self.table.at_least("verify, of the snapshot's size", self.source_bytes / ours.wall(), 1.5e9, rate);
        self.table.ratio("verify : zstd -t", ours.wall(), theirs.wall(), None, seconds);
        Ok(())
    }

    fn single(&mut self) -> Result<()> {
        let (config, pipeline) = self.archives()?;
        let member = format!("{SNAPSHOT}/SiteServer/SMSServer/inboxes/schedule.box/{NEEDLE}");
        let command = format!("zstd -dc -q {} | tar -x -C OUT '{member}'", quoted(&pipeline));
        let mut programs = vec![programs::shell("zstd -dc | tar x ONE-FILE", command)];
        let pattern = format!("**/{NEEDLE}");
        let arguments = ["fetch", "latest", "--to", "TO", pattern.as_str()];
        if let Some(afterbackup) = &self.afterbackup {
            programs.push(afterbackup.reading("afterbackup fetch ONE-FILE", &config, &arguments));
        }
        let all = self.rounds(&programs)?;
        for series in &all {
            let bytes = series.output_bytes();
            ensure!(bytes == data::NEEDLE_BYTES, "{} fetched {bytes} bytes", series.name);
        }
        let [theirs, ours] = all.as_slice() else { return Ok(()) };
        self.table.ratio("fetch of one 10 KiB file : tar | zstd", ours.wall(), theirs.wall(), Some(0.03), seconds);
        if let Some(bytes) = ours.last().and_then(|cost| programs::number_in(&cost.stdout, "read_bytes")) {
            self.table.at_most("fetch of one 10 KiB file, bytes read", bytes as f64, Some(0.6e6), megabytes);
        }
        Ok(())
    }

    fn list(&mut self) -> Result<()> {
        let Some(afterbackup) = &self.afterbackup else { return Ok(()) };
        let folder = self.scratch.join("list");
        let (config, vault) = (folder.join("config.toml"), folder.join("vault"));
        let source = self.small_snapshot()?;
        fs::create_dir(&folder)?;
        programs::configure(&config, &source, &[Vault { path: &vault, verify: "full" }])?;
        measure::run(&afterbackup.command(&config, &["run"]), &folder)?;
        clones::in_folder(&vault, 1000)?;
        let arguments = ["list"];
        let all = self.rounds(&[afterbackup.reading("afterbackup list", &config, &arguments)])?;
        for cost in all.iter().flat_map(|series| &series.runs) {
            ensure!(cost.stdout.matches("\"XYZ-").count() >= 1000, "list does not show the 1,000 archives");
        }
        self.table.at_most("list of 1,000 archives in a folder", all[0].wall(), Some(0.5), seconds);
        Ok(())
    }

    fn bucket(&mut self) -> Result<()> {
        let Some(afterbackup) = &self.afterbackup else { return Ok(()) };
        let Some(bucket) = bucket::Bucket::from_environment() else {
            eprintln!("  AFTERBACKUP_BENCH_S3_ENDPOINT is not set");
            return Ok(());
        };
        let folder = self.scratch.join("bucket");
        let (config, vault) = (folder.join("config.toml"), folder.join("vault"));
        fs::create_dir(&folder)?;
        programs::configure(&config, &self.source, &[Vault { path: &vault, verify: "full" }])?;
        measure::run(&afterbackup.command(&config, &["run"]), &folder)?;
        bucket.upload(&vault, "single")?;
        fs::remove_dir_all(&vault)?;
        programs::configure(&config, &self.small_snapshot()?, &[Vault { path: &vault, verify: "full" }])?;
        measure::run(&afterbackup.command(&config, &["run"]), &folder)?;
        clones::in_folder(&vault, 1000)?;
        bucket.upload(&vault, "list")?;

        let (list, single) = (folder.join("list.toml"), folder.join("single.toml"));
        bucket.configure(&list, &self.source, "list")?;
        bucket.configure(&single, &self.source, "single")?;
        let pattern = format!("**/{NEEDLE}");
        let arguments = ["fetch", "latest", "--to", "TO", pattern.as_str()];
        let all = self.rounds(&[
            afterbackup.reading("afterbackup list (S3)", &list, &["list"]),
            afterbackup.reading("afterbackup fetch ONE-FILE (S3)", &single, &arguments),
        ])?;
        self.table.at_most("list of 1,000 archives on S3", all[0].wall(), Some(2.0), seconds);
        self.table.at_most("fetch of one 10 KiB file from S3", all[1].wall(), None, seconds);
        let stdout = all[1].last().map_or("", |cost| cost.stdout.as_str());
        if let Some(requests) = programs::number_in(stdout, "read-requests") {
            self.table.at_most("  ranged requests after the listing", requests as f64, Some(3.0), count);
        }
        if let Some(bytes) = programs::number_in(stdout, "read_bytes") {
            self.table.at_most("  bytes read", bytes as f64, Some(0.6e6), megabytes);
        }
        Ok(())
    }

    /// A snapshot of 32 MiB, whose archive costs little to copy.
    fn small_snapshot(&self) -> Result<PathBuf> {
        let spec = Spec { bytes: 32 << 20, small_files: 100, sparse_bytes: None, seed: 3, day: Day::OF_COMPARISONS };
        snapshot(&spec, &self.arguments.folder)
    }
}
