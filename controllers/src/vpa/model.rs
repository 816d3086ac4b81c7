//! What the recommender has learned of a workload's containers, and what it recommends (upstream, in
//! the autoscaler's repository, `vertical-pod-autoscaler/pkg/recommender/{model,logic}`).

use std::collections::BTreeMap;

use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime, Span};
use seatrial_api::vertical::{ContainerPolicy, ContainerRecommendation, CpuAndMemory};

use super::histogram::{CPU, Histogram, MEMORY};

/// The weight of every sample of CPU.
const CPU_WEIGHT: f64 = 0.1;
/// The time of which the highest use of memory is one sample.
const MEMORY_INTERVAL: Span = Span::from_secs(24 * 3_600);
/// What is recommended beyond what was used.
const SAFETY_MARGIN: f64 = 1.15;
/// A container that ran out of memory needs at least so much more, as an amount and as a share.
const OOM_BUMP: i64 = 100 << 20;
const OOM_BUMP_RATIO: f64 = 1.2;
/// The least for a whole pod, which its containers share.
const POD_MIN_CPU: i64 = 25;
const POD_MIN_MEMORY: i64 = 250 << 20;
/// The most that is ever recommended.
const AMOUNT_MAX: f64 = 1e14;

/// What is known of a container of all pods together.
#[derive(Clone, Debug)]
struct Aggregate {
    cpu: Histogram,
    memory: Histogram,
    first_sample: Option<SimTime>,
    last_sample: SimTime,
    samples: u64,
}

impl Aggregate {
    fn new() -> Aggregate {
        Aggregate {
            cpu: Histogram::new(CPU),
            memory: Histogram::new(MEMORY),
            first_sample: None,
            last_sample: SimTime::ZERO,
            samples: 0,
        }
    }

    /// How much history there is, in days of samples once a minute.
    fn confidence(&self) -> f64 {
        let Some(first) = self.first_sample else { return 0.0 };
        let days = (self.last_sample - first).nanos() as f64 / Span::from_secs(24 * 3_600).nanos() as f64;
        days.min(self.samples as f64 / (24.0 * 60.0))
    }
}

/// What is known of a container of one pod.
#[derive(Clone, Copy, Debug, Default)]
struct Running {
    last_cpu: Option<SimTime>,
    last_memory: Option<SimTime>,
    /// The end of the interval whose highest use of memory is being looked for.
    window_end: Option<SimTime>,
    peak: i64,
    oom_peak: i64,
}

/// A measurement of a container.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// The pod's row.
    pub(super) pod: u32,
    /// The container.
    pub(super) container: Symbol,
    /// When.
    pub(super) at: SimTime,
    /// CPU in use.
    pub(super) cpu: MilliCpu,
    /// Memory in use.
    pub(super) memory: Bytes,
}

/// What is known of a workload.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    aggregates: BTreeMap<Symbol, Aggregate>,
    running: BTreeMap<(u32, Symbol), Running>,
}

impl Model {
    /// Takes in a measurement; one that is not newer than the last counts nothing.
    pub(super) fn observe(&mut self, sample: Sample) {
        let key = (sample.pod, sample.container);
        let running = self.running.entry(key).or_default();
        if running.last_cpu.is_none_or(|last| sample.at > last) {
            running.last_cpu = Some(sample.at);
            let aggregate = self.aggregates.entry(sample.container).or_insert_with(Aggregate::new);
            aggregate.cpu.add(sample.cpu.0 as f64 / 1_000.0, CPU_WEIGHT, sample.at);
            aggregate.first_sample =
                Some(aggregate.first_sample.map_or(sample.at, |first| first.min(sample.at)));
            aggregate.last_sample = aggregate.last_sample.max(sample.at);
            aggregate.samples += 1;
        }
        if running.last_memory.is_none_or(|last| sample.at >= last) {
            self.observe_memory(key, sample.at, sample.memory.0, false);
        }
    }

    /// A container was killed for want of memory, having requested so much.
    pub(super) fn observe_oom(&mut self, pod: u32, container: Symbol, at: SimTime, requested: Bytes) {
        let key = (pod, container);
        let running = self.running.entry(key).or_default();
        if running.window_end.is_some_and(|end| at < end - MEMORY_INTERVAL) {
            return;
        }
        let base = requested.0.max(running.peak);
        let needed = base.saturating_add(OOM_BUMP).max(scale(base, OOM_BUMP_RATIO));
        self.observe_memory(key, at, needed, true);
    }

    fn observe_memory(&mut self, key: (u32, Symbol), at: SimTime, used: i64, is_oom: bool) {
        let running = self.running.entry(key).or_default();
        running.last_memory = Some(at);
        let memory = &mut self.aggregates.entry(key.1).or_insert_with(Aggregate::new).memory;
        let mut end = running.window_end.unwrap_or(at);
        if at < end {
            let peak = running.peak.max(running.oom_peak);
            if peak == 0 || used <= peak {
                return;
            }
            memory.subtract(peak as f64, 1.0, end);
        } else {
            let passed = (at - end).nanos() / MEMORY_INTERVAL.nanos() + 1;
            end += MEMORY_INTERVAL.times(passed);
            (running.peak, running.oom_peak) = (0, 0);
        }
        running.window_end = Some(end);
        memory.add(used as f64, 1.0, end);
        if is_oom {
            running.oom_peak = used;
        } else {
            running.peak = used;
        }
    }

    /// Forgets which samples a pod has sent; what was learned from them stays.
    pub(super) fn forget_pod(&mut self, pod: u32) {
        self.running.retain(|key, _| key.0 != pod);
    }

    /// What is recommended for each container of which something is known and that is not left alone.
    pub(super) fn recommend(
        &self,
        policy_of: impl Fn(Symbol) -> ContainerPolicy,
    ) -> Vec<ContainerRecommendation> {
        let known = self.aggregates.iter().filter(|entry| entry.1.samples > 0);
        let count = (known.clone().count() as i64).max(1);
        let least = (POD_MIN_CPU / count, POD_MIN_MEMORY / count);
        let policies = known.map(|(&container, aggregate)| (container, aggregate, policy_of(container)));
        let controlled = policies.filter(|entry| !entry.2.is_off);
        controlled
            .map(|(container, aggregate, policy)| recommendation(container, aggregate, &policy, least))
            .collect()
    }
}

fn recommendation(
    container: Symbol,
    aggregate: &Aggregate,
    policy: &ContainerPolicy,
    least: (i64, i64),
) -> ContainerRecommendation {
    let confidence = aggregate.confidence();
    let lower = 1.0 + 0.001 / confidence;
    let amounts = |share: f64, factor: f64| {
        let cpu = (aggregate.cpu.percentile(share) * 1_000.0) as i64;
        let memory = aggregate.memory.percentile(share) as i64;
        let judged = |amount: i64, least: i64| scale(scale(amount, SAFETY_MARGIN), factor).max(least);
        CpuAndMemory {
            cpu: policy.controls_cpu.then(|| MilliCpu(judged(cpu, least.0))),
            memory: policy.controls_memory.then(|| Bytes(judged(memory, least.1))),
        }
    };
    let capped = |amounts: CpuAndMemory| {
        let (min, max) = (policy.min_allowed, policy.max_allowed);
        CpuAndMemory {
            cpu: amounts.cpu.map(|cpu| cap(cpu, min.cpu, max.cpu)),
            memory: amounts.memory.map(|memory| cap(memory, min.memory, max.memory)),
        }
    };
    let target = amounts(0.9, 1.0);
    ContainerRecommendation {
        container,
        target: capped(target),
        lower_bound: capped(amounts(0.5, 1.0 / (lower * lower))),
        upper_bound: capped(amounts(0.95, 1.0 + 1.0 / confidence)),
        uncapped_target: target,
    }
}

fn cap<T: Ord>(amount: T, min: Option<T>, max: Option<T>) -> T {
    let raised = match min {
        Some(min) => amount.max(min),
        None => amount,
    };
    match max {
        Some(max) => raised.min(max),
        None => raised,
    }
}

/// An amount times a factor, which may be infinite.
fn scale(amount: i64, factor: f64) -> i64 {
    let product = amount as f64 * factor;
    if product.is_nan() { 0 } else { product.min(AMOUNT_MAX) as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MI: i64 = 1 << 20;

    fn at(minutes: i64) -> SimTime {
        SimTime::from_secs(minutes * 60)
    }

    fn sample(pod: u32, minutes: i64, cpu: i64, memory: i64) -> Sample {
        let (cpu, memory) = (MilliCpu(cpu), Bytes(memory * MI));
        Sample { pod, container: "c".into(), at: at(minutes), cpu, memory }
    }

    fn recommend(model: &Model) -> ContainerRecommendation {
        model.recommend(ContainerPolicy::standard)[0]
    }

    #[test]
    fn the_target_has_a_margin_over_the_ninetieth_percentile_and_bounds_narrow_with_time() {
        let mut model = Model::default();
        let mut widths = Vec::new();
        for minute in 0..=3 * 24 * 60 {
            model.observe(sample(1, minute, if minute % 20 == 0 { 900 } else { 300 }, 500));
            if minute > 0 && minute % (24 * 60) == 0 {
                let found = recommend(&model);
                let [lower, target, upper] =
                    [found.lower_bound, found.target, found.upper_bound].map(|a| a.cpu.expect("cpu").0);
                assert!((300 * 115 / 100..330 * 115 / 100).contains(&target), "{target}");
                assert!(lower <= target && target <= upper, "{found:?}");
                widths.push(upper - lower);
                let memory = found.target.memory.expect("memory").0;
                assert!((575 * MI..610 * MI).contains(&memory), "{memory}");
            }
        }
        assert!(widths.is_sorted_by(|a, b| a > b), "{widths:?}");
    }

    #[test]
    fn without_history_the_upper_bound_has_no_end_and_the_lower_one_is_the_least() {
        let mut model = Model::default();
        assert!(model.recommend(ContainerPolicy::standard).is_empty());
        model.observe(sample(1, 0, 1_000, 1_000));
        let found = recommend(&model);
        assert_eq!(
            found.lower_bound,
            CpuAndMemory { cpu: Some(MilliCpu(25)), memory: Some(Bytes(250 * MI)) }
        );
        assert_eq!(found.upper_bound.cpu, Some(MilliCpu(AMOUNT_MAX as i64)));
    }

    #[test]
    fn the_least_is_shared_by_the_containers_of_a_pod() {
        let mut model = Model::default();
        for container in ["a", "b"] {
            model.observe(Sample { container: container.into(), ..sample(1, 0, 1, 1) });
        }
        let found = model.recommend(ContainerPolicy::standard);
        let least = CpuAndMemory { cpu: Some(MilliCpu(12)), memory: Some(Bytes(125 * MI)) };
        assert_eq!(found.iter().map(|each| each.target).collect::<Vec<_>>(), [least, least]);
    }

    #[test]
    fn of_memory_the_peak_of_a_day_is_one_sample() {
        let mut model = Model::default();
        for (minute, used) in [(0, 400), (10, 900), (20, 300)] {
            model.observe(sample(1, minute, 100, used));
        }
        let found = recommend(&model).target.memory.expect("memory").0;
        assert!(
            (900 * MI * 115 / 100..960 * MI * 115 / 100).contains(&found),
            "the lower peak was replaced: {found}"
        );
        for day in 1..=20 {
            model.observe(sample(1, day * 1_440 + 30, 100, 300));
        }
        let later = recommend(&model).target.memory.expect("memory").0;
        assert!(later < 400 * MI, "and is forgotten: {later}");
    }

    #[test]
    fn a_container_that_ran_out_of_memory_is_given_more() {
        for (requested, peak, expected) in
            [(500, 0, 600), (500, 480, 600), (100, 800, 960), (2_000, 0, 2_400)]
        {
            let mut model = Model::default();
            model.observe(sample(1, 0, 100, peak.max(1)));
            model.observe_oom(1, "c".into(), at(5), Bytes(requested * MI));
            let found = recommend(&model).target.memory.expect("memory").0;
            let (low, high) = (expected * MI * 115 / 100, expected * MI * 122 / 100);
            assert!((low..=high).contains(&found), "{requested} {peak}: {found}");
            model.observe_oom(1, "c".into(), at(10), Bytes(requested * MI));
            assert_eq!(recommend(&model).target.memory.expect("memory").0, found, "no spiral");
        }
    }

    #[test]
    fn policies_cap_leave_out_and_switch_off() {
        let mut model = Model::default();
        model.observe(sample(1, 0, 1_000, 1_000));
        let with = |change: &dyn Fn(&mut ContainerPolicy)| {
            model.recommend(|container| {
                let mut policy = ContainerPolicy::standard(container);
                change(&mut policy);
                policy
            })
        };
        let max = CpuAndMemory { cpu: Some(MilliCpu(500)), memory: None };
        let found = with(&|policy| policy.max_allowed = max)[0];
        assert_eq!(found.target.cpu, Some(MilliCpu(500)));
        assert_eq!(found.upper_bound.cpu, Some(MilliCpu(500)));
        assert!(found.uncapped_target.cpu > Some(MilliCpu(1_000)));
        let min = CpuAndMemory { cpu: None, memory: Some(Bytes(4_000 * MI)) };
        assert_eq!(with(&|policy| policy.min_allowed = min)[0].lower_bound.memory, Some(Bytes(4_000 * MI)));
        assert_eq!(with(&|policy| policy.controls_cpu = false)[0].target.cpu, None);
        assert!(with(&|policy| policy.is_off = true).is_empty());
    }
}
