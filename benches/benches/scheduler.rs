//! The scheduler by itself, in the shapes of upstream's scheduler_perf.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use seatrial_benches::scheduler::{Bench, SHAPES};

fn scheduler(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scheduler");
    group.sample_size(10);
    for shape in SHAPES {
        group.throughput(Throughput::Elements(shape.pods as u64));
        group.bench_function(format!("{} at 5,000 nodes", shape.name), |bencher| {
            bencher.iter_batched(
                || {
                    let mut bench = Bench::new(5_000);
                    (shape.prepare)(&mut bench);
                    (shape.create)(&mut bench, 0, shape.warm_up);
                    bench.run();
                    (shape.create)(&mut bench, shape.warm_up, shape.pods);
                    bench
                },
                |mut bench| bench.run(),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, scheduler);
criterion_main!(benches);
