//! A tenth of the cluster bench, and workload K in small: what one edits against.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use seatrial_benches::cluster::{idle, rollout, workload_k};

fn cluster(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cluster");
    group.sample_size(10).measurement_time(Duration::from_secs(8));
    group.bench_function("a tenth: 500 nodes, 15,000 pods, a zone lost and found", |bencher| {
        bencher.iter(|| black_box(rollout::busy_hour(rollout::TENTH).events()));
    });
    for nodes in [1_000, 10_000] {
        group.bench_function(format!("workload K: 20,000 pods on {nodes} nodes"), |bencher| {
            bencher.iter(|| black_box(workload_k::play(nodes, 20_000)));
        });
    }
    group.bench_function("idle: 10,000 nodes for a day", |bencher| {
        bencher.iter(|| black_box(idle::day(10_000)));
    });
    group.finish();
}

criterion_group!(benches, cluster);
criterion_main!(benches);
