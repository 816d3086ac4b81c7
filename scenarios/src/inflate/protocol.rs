//! What arrives, and in which order nodes stand.

use seatrial_api::stream::Stream;

use super::{Machines, Workload};

/// So many per cent of the cluster's GPUs are asked for in the end.
const INFLATED_PERCENT: i64 = 130;

/// Purposes of random streams. Draws belong to the seed alone, so that policies and workloads are
/// compared on the same ones.
const NODE_ORDER: u64 = 0x1F1A_7E01;
const POD_ORDER: u64 = 0x1F1A_7E02;
const INFLATION: u64 = 0x1F1A_7E03;

/// For each node, in order of their names: its place in the order that decides ties.
pub(super) fn node_order(machines: &Machines, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..machines.nodes.len()).collect();
    shuffle(&mut order, &mut Stream::new(seed, 0, NODE_ORDER));
    order
}

/// The pods that arrive, by kind.
pub(super) fn arrivals(machines: &Machines, workload: &Workload, seed: u64) -> Vec<u32> {
    let mut pods = workload.pods.clone();
    shuffle(&mut pods, &mut Stream::new(seed, 0, POD_ORDER));
    let kind = |pod: u32| &workload.kinds[pod as usize];
    let mut total: i64 = pods.iter().map(|&pod| kind(pod).milli).sum();
    let goal = machines.gpus * 10 * INFLATED_PERCENT;
    let mut stream = Stream::new(seed, 0, INFLATION);
    while total > goal {
        let gone = pods.remove(stream.below(pods.len() as u64) as usize);
        total -= kind(gone).milli;
        if total <= goal {
            return pods;
        }
    }
    while total < goal {
        let pod = workload.pods[stream.below(workload.pods.len() as u64) as usize];
        // As in the authors' program, the last one is judged by what it asks of each GPU.
        if total + kind(pod).milli_each > goal {
            break;
        }
        total += kind(pod).milli;
        pods.push(pod);
    }
    pods
}

fn shuffle<T>(items: &mut [T], stream: &mut Stream) {
    for last in (1..items.len()).rev() {
        items.swap(last, stream.below(last as u64 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use seatrial_api::gpu::GpuRequest;
    use seatrial_api::symbol::Symbol;
    use seatrial_api::units::{Bytes, MilliCpu};
    use seatrial_workloads::openb::{NodeRow, PodKind, PodRow};

    use super::*;

    fn machines(gpus: &[u8]) -> Machines {
        let node = |(index, &gpus): (usize, &u8)| NodeRow {
            name: format!("node-{index}").into(),
            cpu: MilliCpu(64_000),
            memory: Bytes(1 << 38),
            gpus,
            model: Symbol::new("T4"),
        };
        Machines::new(gpus.iter().enumerate().map(node).collect()).unwrap()
    }

    fn workload(pods: &[(u8, u16)]) -> Workload {
        let pod = |(index, &(count, milli)): (usize, &(u8, u16))| PodRow {
            name: format!("pod-{index}").into(),
            kind: PodKind {
                cpu: MilliCpu(1_000),
                memory: Bytes(1 << 30),
                gpu: (count > 0).then(|| GpuRequest::new(count, milli)),
            },
        };
        Workload::new("test", pods.iter().enumerate().map(pod).collect()).unwrap()
    }

    fn asked(workload: &Workload, arrivals: &[u32]) -> i64 {
        arrivals.iter().map(|&pod| workload.kinds[pod as usize].milli).sum()
    }

    #[test]
    fn small_lists_are_drawn_from_again_and_large_ones_are_thinned() {
        let machines = machines(&[8, 0, 2]);
        assert_eq!(machines.gpus, 10);
        let small = workload(&[(1, 500), (1, 1000), (0, 0)]);
        let large = workload(&[(2, 1000); 9]);
        for seed in 0..20 {
            let grown = arrivals(&machines, &small, seed);
            assert!((12_001..=13_000).contains(&asked(&small, &grown)));
            let thinned = arrivals(&machines, &large, seed);
            assert_eq!(asked(&large, &thinned), 12_000);
        }
    }

    #[test]
    fn orders_are_drawn_by_the_seed() {
        let machines = machines(&[1; 50]);
        let workload = workload(&(0..40).map(|index| (1, 100 + index)).collect::<Vec<_>>());
        let of = |seed| (node_order(&machines, seed), arrivals(&machines, &workload, seed));
        assert_eq!(of(42), of(42));
        assert_ne!(of(42).0, of(43).0);
        assert_ne!(of(42).1, of(43).1);
        let mut sorted = of(42).0;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }
}
