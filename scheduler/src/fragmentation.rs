//! How fragmented the free GPUs of a node are for a workload: the measure of Weng et al., "Beware of
//! Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent" (USENIX ATC
//! 2023), section 3.
//!
//! For each typical pod, that much of a node's free GPU counts as fragmented as the pod could not
//! use; the node's fragmentation is the mean over typical pods, by how frequent they are. The sums are
//! made in the order of the authors' simulator (hkust-adsl/kubernetes-scheduler-simulator,
//! `pkg/utils/frag.go`), so that rounding is the same: scores are cut to integers, and ties are
//! frequent.

use std::collections::BTreeMap;

use seatrial_api::gpu::GpuRequest;
use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::MilliCpu;
use smallvec::SmallVec;

use crate::cluster::{FreeMilli, NodeInfo};

/// What a pod demands, as far as fragmentation depends on it; memory is left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Demand {
    /// CPU.
    pub cpu: MilliCpu,
    /// GPUs.
    pub gpu: Option<Box<GpuRequest>>,
}

impl Demand {
    /// What a pod demands.
    pub fn of(pod: &Pod) -> Demand {
        let request = pod.spec.gpu.as_deref();
        let gpu = request.map(|request| Box::new(GpuRequest { devices: None, ..request.clone() }));
        Demand { cpu: pod.spec.derived.non_zero_cpu, gpu }
    }

    /// The order in which equally frequent demands are listed, last one first.
    fn rank(&self) -> (MilliCpu, u16, u8, &[Symbol]) {
        let gpu = self.gpu.as_deref();
        let models = gpu.map_or(&[][..], |request| &request.models);
        (self.cpu, gpu.map_or(0, |request| request.milli), gpu.map_or(0, |request| request.count), models)
    }
}

/// A demand that is typical of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypicalPod {
    /// What it is.
    pub demand: Demand,
    /// How many pods of the workload have it, at least 1.
    pub count: u64,
}

/// Typical demands cover so many per cent of a workload's pods.
const COVERED_PERCENT: u64 = 95;

/// The typical pods of a workload: its demands, most frequent first, until 95 % of the pods are covered.
pub fn typical_pods(demands: impl IntoIterator<Item = (Demand, u64)>) -> Vec<TypicalPod> {
    let mut pods: Vec<TypicalPod> =
        demands.into_iter().map(|(demand, count)| TypicalPod { demand, count }).collect();
    pods.sort_by(|a, b| (b.count, b.demand.rank()).cmp(&(a.count, a.demand.rank())));
    let total: u64 = pods.iter().map(|pod| pod.count).sum();
    let mut covered = 0;
    let is_needed = |pod: &TypicalPod| {
        let needed = covered * 100 < total * COVERED_PERCENT;
        covered += pod.count;
        needed
    };
    let kept = pods.iter().map(is_needed).take_while(|needed| *needed).count();
    pods.truncate(kept);
    pods
}

/// How many pods of a workload have each demand, in the order in which demands first occur.
pub fn count_demands(pods: impl IntoIterator<Item = Demand>) -> Vec<(Demand, u64)> {
    let mut counts: Vec<(Demand, u64)> = Vec::new();
    let mut rows: rustc_hash::FxHashMap<Demand, usize> = Default::default();
    for demand in pods {
        let row = *rows.entry(demand.clone()).or_insert_with(|| {
            counts.push((demand, 0));
            counts.len() - 1
        });
        counts[row].1 += 1;
    }
    counts
}

/// What is free on a node: CPU, and thousandths of each GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Millicores; negative if more is promised than there is.
    pub cpu: i64,
    /// The model of the GPUs; empty if the node does not say.
    pub model: Symbol,
    /// Thousandths of each GPU.
    pub gpus: FreeMilli,
}

impl Room {
    /// What is free on a node.
    pub fn of(node: &NodeInfo) -> Room {
        let gpus = node.gpus();
        Room {
            cpu: (node.usage.allocatable_cpu - node.usage.requested_cpu).get(),
            model: gpus.map_or(Symbol::empty(), |gpus| gpus.model),
            gpus: gpus.map_or_else(FreeMilli::new, |gpus| gpus.free().clone()),
        }
    }
}

/// A typical pod, ready for use.
#[derive(Clone, Debug)]
struct Kind {
    cpu: i64,
    /// Its milli as a row of the levels; `None` without GPU.
    level: Option<usize>,
    count: usize,
    models: Box<[Symbol]>,
    /// Its part of all typical pods.
    share: f64,
}

/// The measure for one workload.
#[derive(Clone, Debug, Default)]
pub struct Fragmentation {
    kinds: Vec<Kind>,
    /// The thousandths of a GPU that occur in demands, rising.
    levels: Vec<i32>,
}

/// Why free GPUs are of no use to a pod. Each has a sum of its own, and the sums are added up in this
/// order, as in the authors' program.
#[derive(Clone, Copy)]
enum Cause {
    LackBoth,
    LackGpu,
    LackCpu,
    CpuPod,
    CpuPodLackCpu,
    NoAccess,
}

impl Fragmentation {
    /// The measure for a workload with these typical pods.
    pub fn new(pods: &[TypicalPod]) -> Fragmentation {
        let milli = |pod: &TypicalPod| pod.demand.gpu.as_ref().map(|request| i32::from(request.milli));
        let mut levels: Vec<i32> = pods.iter().filter_map(milli).collect();
        levels.sort_unstable();
        levels.dedup();
        let covered: u64 = pods.iter().map(|pod| pod.count).sum();
        let kind = |pod: &TypicalPod| Kind {
            cpu: pod.demand.cpu.get(),
            level: milli(pod).and_then(|milli| levels.binary_search(&milli).ok()),
            count: pod.demand.gpu.as_ref().map_or(0, |request| usize::from(request.count)),
            models: pod.demand.gpu.as_ref().map_or_else(Box::default, |request| request.models.clone()),
            share: pod.count as f64 / covered as f64,
        };
        Fragmentation { kinds: pods.iter().map(kind).collect(), levels }
    }

    /// The fragmented part of what is free, in thousandths of a GPU.
    pub fn of(&self, room: &Room) -> f64 {
        let mut total = 0;
        // Per level: how many GPUs have that much, and what is free of those that have not.
        let mut fitting: SmallVec<[usize; 16]> = SmallVec::from_elem(0, self.levels.len());
        let mut too_little: SmallVec<[i64; 16]> = SmallVec::from_elem(0, self.levels.len());
        for &free in &room.gpus {
            let free = i64::from(free.max(0));
            total += free;
            for (level, &milli) in self.levels.iter().enumerate() {
                let fits = free >= i64::from(milli);
                fitting[level] += usize::from(fits);
                too_little[level] += if fits { 0 } else { free };
            }
        }
        if total == 0 {
            return 0.0;
        }
        let mut sums = [0.0; 6];
        for kind in &self.kinds {
            let enough_cpu = room.cpu >= kind.cpu;
            let (cause, milli) = match kind.level {
                None if enough_cpu => (Cause::CpuPod, total),
                None => (Cause::CpuPodLackCpu, total),
                Some(_) if !(kind.models.is_empty() || kind.models.contains(&room.model)) => {
                    (Cause::NoAccess, total)
                }
                Some(level) => match (fitting[level] >= kind.count, enough_cpu) {
                    (true, true) => (Cause::LackGpu, too_little[level]),
                    (true, false) => (Cause::LackCpu, total),
                    (false, true) => (Cause::LackGpu, total),
                    (false, false) => (Cause::LackBoth, total),
                },
            };
            sums[cause as usize] += kind.share * milli as f64;
        }
        sums.iter().sum()
    }
}

/// The demands of the pods that a scheduler has seen, from which it learns what is typical.
#[derive(Clone, Debug, Default)]
pub(crate) struct Learned {
    counts: BTreeMap<(MilliCpu, Option<RequestKey>), (Demand, u64)>,
    total: u64,
}

/// A request as a key with an order.
type RequestKey = (u16, u8, Box<[Symbol]>);

impl Learned {
    /// Takes note of a pod; answers with the typical pods when they are due to be looked at again:
    /// whenever there are twice as many pods as the last time.
    pub(crate) fn note(&mut self, pod: &Pod) -> Option<Vec<TypicalPod>> {
        let demand = Demand::of(pod);
        let request = demand.gpu.as_ref().map(|gpu| (gpu.milli, gpu.count, gpu.models.clone()));
        self.counts.entry((demand.cpu, request)).or_insert((demand, 0)).1 += 1;
        self.total += 1;
        self.total.is_power_of_two().then(|| typical_pods(self.counts.values().cloned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(cpu: i64, count: u8, milli: u16, models: &str, parts: u64) -> TypicalPod {
        let request = GpuRequest {
            models: seatrial_api::gpu::accepted_models(models),
            ..GpuRequest::new(count, milli)
        };
        let gpu = (count > 0).then(|| Box::new(request));
        TypicalPod { demand: Demand { cpu: MilliCpu(cpu), gpu }, count: parts }
    }

    fn room(cpu: i64, model: &str, gpus: &[i32]) -> Room {
        Room { cpu, model: model.into(), gpus: gpus.into() }
    }

    /// The measure as the authors' test has it: frequencies that need not add up to one.
    fn check(pods: &[TypicalPod], rows: &[(Room, f64)]) {
        let covered: u64 = pods.iter().map(|pod| pod.count).sum();
        let measure = Fragmentation::new(pods);
        for (room, expected) in rows {
            let found = measure.of(room) * covered as f64 / 10_000.0;
            assert!((found - expected).abs() < 0.01, "{room:?}: {found} instead of {expected}");
        }
    }

    /// The typical pods of `TestNodeGpuShareFragAmountScore` in `pkg/utils/frag_test.go`, shares in
    /// hundredths of a per cent.
    fn shares() -> Vec<TypicalPod> {
        [
            (6000, 1, 465, "", 933),
            (8000, 1, 440, "2080", 915),
            (8000, 1, 475, "T4", 876),
            (8000, 1, 440, "P100", 872),
            (2000, 1, 465, "", 868),
            (12000, 1, 900, "", 865),
            (4000, 1, 900, "", 843),
            (16000, 1, 678, "T4", 836),
            (8000, 1, 500, "", 829),
            (6000, 1, 511, "", 811),
            (14000, 2, 1000, "2080", 54),
            (4000, 1, 1000, "2080", 43),
            (32000, 2, 1000, "T4", 43),
            (16000, 1, 1000, "V100M16", 40),
            (64000, 2, 1000, "", 40),
            (10000, 2, 1000, "", 40),
            (11400, 1, 1000, "T4", 36),
            (16000, 1, 1000, "T4", 36),
            (4000, 2, 1000, "", 36),
            (14000, 2, 1000, "V100M16", 36),
            (8000, 4, 1000, "", 36),
            (16000, 2, 1000, "", 32),
            (2000, 1, 1000, "T4", 32),
            (6000, 1, 1000, "", 32),
            (4000, 1, 1000, "", 32),
            (5000, 1, 1000, "", 32),
            (32000, 4, 1000, "V100M16", 32),
            (32000, 2, 1000, "", 32),
            (24000, 8, 1000, "2080", 32),
            (40000, 4, 1000, "", 29),
            (32000, 8, 1000, "", 29),
            (32000, 1, 1000, "T4", 29),
            (16000, 1, 1000, "", 25),
            (7000, 1, 1000, "V100M16", 25),
            (24000, 1, 1000, "T4", 25),
        ]
        .map(|(cpu, count, milli, models, parts)| pod(cpu, count, milli, models, parts))
        .to_vec()
    }

    #[test]
    fn the_measure_is_that_of_the_authors_tests() {
        check(
            &shares(),
            &[
                (room(1000, "1080", &[200, 1000, 1000, 500]), 2566.62),
                (room(1000, "1080", &[1000; 4]), 3802.40),
                (room(1000, "1080", &[1000; 8]), 7604.80),
            ],
        );
        check(&[pod(6000, 1, 465, "", 933)], &[(room(1000, "1080", &[200, 1000, 1000, 500]), 251.91)]);
    }

    #[test]
    fn for_pods_without_gpu_all_free_gpus_are_fragments() {
        let measure = Fragmentation::new(&[pod(1000, 0, 0, "", 1)]);
        assert_eq!(measure.of(&room(64_000, "P100", &[1000, 300])), 1300.0);
        assert_eq!(measure.of(&room(0, "P100", &[1000, 300])), 1300.0);
    }

    #[test]
    fn of_a_pod_that_fits_only_what_is_too_little_for_it_is_lost() {
        let measure = Fragmentation::new(&[pod(100, 2, 1000, "", 1)]);
        assert_eq!(measure.of(&room(1000, "1080", &[200, 1000, 1000, 500])), 700.0);
        assert_eq!(measure.of(&room(1000, "1080", &[200, 1000, 900, 500])), 2600.0);
    }

    #[test]
    fn typical_pods_cover_most_of_the_workload_and_larger_ones_come_first() {
        let demand = |cpu, parts| (pod(cpu, 0, 0, "", 1).demand, parts);
        let typical = typical_pods([demand(1, 5), demand(2, 45), demand(3, 45), demand(4, 5)]);
        let cpus: Vec<i64> = typical.iter().map(|pod| pod.demand.cpu.get()).collect();
        assert_eq!(cpus, [3, 2, 4]);
    }
}
