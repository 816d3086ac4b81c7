//! CPU time and memory of this process.

use std::time::Duration;

use nix::sys::resource::{Usage, UsageWho, getrusage};

/// Repeats of a measurement, of which the median counts.
const REPEATS: usize = 5;

fn usage() -> Usage {
    getrusage(UsageWho::RUSAGE_SELF).expect("invariant: a process can ask for its own use")
}

/// User CPU time that this process has used.
pub fn user_cpu() -> Duration {
    let time = usage().user_time();
    Duration::from_secs(time.tv_sec() as u64) + Duration::from_micros(time.tv_usec() as u64)
}

/// The largest resident set that this process has had, in bytes.
pub fn peak_rss_bytes() -> u64 {
    usage().max_rss() as u64 * 1_024
}

/// Nanoseconds of user CPU per unit of work, the median of five. `work` returns the units done.
pub fn cost_ns(work: impl FnMut() -> u64) -> f64 {
    costs_ns(work, || 1).0
}

/// Nanoseconds per unit of work of two programs that take turns, so that a noisy neighbour hits
/// both: the median of five each.
pub fn costs_ns(mut ours: impl FnMut() -> u64, mut reference: impl FnMut() -> u64) -> (f64, f64) {
    let costs: Vec<(f64, f64)> =
        (0..REPEATS).map(|_| (once_ns(&mut ours), once_ns(&mut reference))).collect();
    (median(costs.iter().map(|costs| costs.0)), median(costs.iter().map(|costs| costs.1)))
}

fn once_ns(work: &mut impl FnMut() -> u64) -> f64 {
    let before = user_cpu();
    let units = work();
    (user_cpu() - before).as_nanos() as f64 / units as f64
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
