//! The programs of `seatrial_benches::engine` under criterion, a thousand events at a time.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use seatrial_benches::engine::{Outcome, hold, mm1, phold, ping_pong};

const EVENTS: u64 = 1_000;

fn bench(criterion: &mut Criterion, name: &str, mut run: impl FnMut(u64) -> Outcome) {
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(EVENTS));
    group.bench_function(name, |bencher| bencher.iter(|| run(EVENTS)));
    group.finish();
}

fn engine(criterion: &mut Criterion) {
    for pending in [1_000, 100_000, 1_000_000] {
        let (mut ours, mut reference) = (hold::Ours::new(pending), hold::Reference::new(pending));
        bench(criterion, &format!("hold/{pending}/ours"), |events| ours.run(events));
        bench(criterion, &format!("hold/{pending}/heap"), |events| reference.run(events));
    }
    for jobs in [16, 1_024] {
        let (mut ours, mut reference) = (phold::Ours::new(jobs), phold::reference(jobs));
        bench(criterion, &format!("phold/{}/ours", jobs * phold::PROCESSES), |events| ours.run(events));
        bench(criterion, &format!("phold/{}/loop", jobs * phold::PROCESSES), |events| reference.run(events));
    }
    let (mut ours, mut reference) = (mm1::Ours::new(), mm1::reference());
    bench(criterion, "mm1/ours", |events| ours.run(events));
    bench(criterion, "mm1/loop", |events| reference.run(events));
    let (mut ours, mut reference) = (ping_pong::Ours::new(), ping_pong::reference());
    bench(criterion, "ping-pong/ours", |events| ours.run(events));
    bench(criterion, "ping-pong/loop", |events| reference.run(events));
}

criterion_group!(benches, engine);
criterion_main!(benches);
