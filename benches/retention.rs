//! How long planning takes: 10,000 archives must stay below 50 ms, so that `prune` costs what its listing costs.

use std::hint::black_box;

use afterbackup::cli::plan_table::table;
use afterbackup::name::ArchiveId;
use afterbackup::retention::plan::{Candidate, Condition, plan};
use afterbackup::retention::policy::Policy;
use criterion::{Criterion, criterion_group, criterion_main};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// An archive every six hours, every tenth damaged.
fn archives(count: u32, now: Timestamp) -> Vec<Candidate> {
    (0..count)
        .map(|number| {
            let stamp = now - SignedDuration::from_hours(6 * i64::from(number));
            let id = ArchiveId::new("XYZ".parse().expect("three letters"), stamp);
            let condition = if number % 10 == 0 { Condition::Damaged } else { Condition::Good };
            Candidate::new(id, condition, 100 << 30)
        })
        .collect()
}

fn bench(criterion: &mut Criterion) {
    let now: Timestamp = "2026-11-22T12:00:00Z".parse().expect("a time");
    let archives = archives(10_000, now);
    for zone in ["UTC", "Europe/Berlin"] {
        let policy = Policy {
            hourly: 100,
            yearly: 10,
            time_zone: TimeZone::get(zone).expect("a known zone"),
            ..Policy::default()
        };
        criterion.bench_function(&format!("plan 10,000 archives, {zone}"), |bencher| {
            bencher.iter(|| plan(black_box(&archives), black_box(&policy), now));
        });
    }
    let planned = plan(&archives, &Policy::default(), now);
    criterion.bench_function("table of 10,000 archives", |bencher| bencher.iter(|| table(black_box(&planned))));
}

criterion_group!(benches, bench);
criterion_main!(benches);
