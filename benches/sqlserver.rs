//! Speed of the database checks: they run in the pass that compresses and must not show there.

use std::hint::black_box;

use afterbackup::sqlserver::{Checker, Verdict, page_checksum};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

#[path = "../tests/support/sqlserver.rs"]
#[allow(dead_code, reason = "the tests build more kinds of files")]
#[allow(clippy::cast_possible_truncation, reason = "built files are small")]
mod synthetic;

/// What a reader hands over at a time.
const CHUNK: usize = 1024 * 1024;

fn check(file: &[u8]) -> Verdict {
    let mut checker = Checker::new();
    for chunk in file.chunks(CHUNK) {
        checker.update(chunk);
    }
    checker.finish().verdict
}

fn benches(criterion: &mut Criterion) {
    let data = synthetic::Data { pages: 8192, ..synthetic::Data::default() }.build();
    let mut group = criterion.benchmark_group("sqlserver");

    let cached = &data[..64 * 8192];
    group.throughput(Throughput::Bytes(cached.len() as u64));
    group.bench_function("checksum of 64 pages in the cache", |bencher| {
        bencher.iter(|| black_box(cached).chunks(8192).fold(0, |sum, page| sum ^ page_checksum(page)));
    });

    group.throughput(Throughput::Bytes(data.len() as u64));
    group.bench_function("checksum of 64 MiB of pages", |bencher| {
        bencher.iter(|| black_box(&data).chunks(8192).fold(0, |sum, page| sum ^ page_checksum(page)));
    });
    assert_eq!(check(&data), Verdict::Sound);
    group.bench_function("check of a data file of 64 MiB", |bencher| bencher.iter(|| check(black_box(&data))));

    let other = vec![b'x'; data.len()];
    group.bench_function("check of 64 MiB of something else", |bencher| bencher.iter(|| check(black_box(&other))));
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
