//! The first thousand samples of each distribution, fixed: every platform, build and feature set
//! has to reproduce them to the last bit. A change here changes the result of every run and needs
//! an entry "Simulation results changed" in the change log.

use seatrial_api::stream::mix64;
use seatrial_api::units::Ratio;

use super::*;

fn digest(mut draw: impl FnMut(&mut Stream) -> u64) -> u64 {
    let mut stream = Stream::new(1, 2, 3);
    (0..1_000).fold(0, |sum, _| mix64(sum ^ draw(&mut stream)))
}

fn times(distribution: Distribution) -> u64 {
    let sampler = distribution.sampler().expect("invariant: the parameters are in range");
    digest(|stream| sampler.draw(stream).nanos() as u64)
}

#[test]
fn the_first_thousand_samples_never_change() {
    let (one, four) = (Span::from_secs(1), Span::from_secs(4));
    let coin = Bernoulli::new(Ratio::new(1, 3)).expect("invariant: a share");
    let (few, many) = (Poisson::new(4.5).expect("invariant: in range"), Poisson::new(450.0));
    let many = many.expect("invariant: in range");
    let zipf = Zipf::new(1_000_000, 1.1).expect("invariant: in range");
    let table = vec![Weighted { value: one, weight: 2 }, Weighted { value: four, weight: 1 }];
    let found = [
        ("constant", times(Distribution::Constant { value: one })),
        ("uniform", times(Distribution::Uniform { low: one, high: four })),
        ("exponential", times(Distribution::Exponential { mean: one })),
        ("normal", times(Distribution::Normal { mean: four, deviation: one })),
        ("lognormal", times(Distribution::Lognormal { median: one, p99: four })),
        ("weibull", times(Distribution::Weibull { scale: one, shape: 1.5 })),
        ("pareto", times(Distribution::Pareto { minimum: one, shape: 2.5 })),
        ("gamma", times(Distribution::Gamma { mean: one, shape: 0.7 })),
        ("gamma, peaked", times(Distribution::Gamma { mean: one, shape: 7.3 })),
        ("erlang", times(Distribution::Erlang { mean: one, stages: 3 })),
        ("empirical", times(Distribution::Empirical { values: table })),
        ("bernoulli", digest(|stream| coin.draw(stream).into())),
        ("poisson", digest(|stream| few.draw(stream))),
        ("poisson, many", digest(|stream| many.draw(stream))),
        ("zipf", digest(|stream| zipf.draw(stream))),
    ];
    let found: Vec<String> = found.iter().map(|(name, digest)| format!("{name} {digest:016x}")).collect();
    assert_eq!(found, GOLDEN);
}

const GOLDEN: [&str; 15] = [
    "constant 1c2c1352c2da32f3",
    "uniform a6e7123766c4fddf",
    "exponential 4bcdaa50f18dcdcb",
    "normal f04c16675fe3d625",
    "lognormal e2c6ddc04e71deac",
    "weibull 5f14beebadc10800",
    "pareto 803dcd68781daeb6",
    "gamma 9c4ee1379d58d200",
    "gamma, peaked 2b79519c47a13f5b",
    "erlang de70bc521c91b4b7",
    "empirical 410175236f8c2e07",
    "bernoulli da7a43df74eb9560",
    "poisson 5c56aac5665e9473",
    "poisson, many 13e94a4929f84d20",
    "zipf 701a88e146b0822c",
];
