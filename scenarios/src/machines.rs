//! Machine types, what a machine keeps for itself, and machines that suit given manifests.
//!
//! Model: the share that a machine keeps is the one of managed clusters on AL2023 images. CPU: 6 %
//! of the first core, 1 % of the second, 0.5 % of the next two, 0.25 % of all others. Memory: 255 MiB
//! and 11 MiB per pod that it can hold for kubelet and runtime, and 100 MiB as the eviction
//! threshold. Local storage: 1 GiB, and a tenth as the eviction threshold.

use seatrial_api::node::NodeResources;
use seatrial_api::resources::{Resources, Scalars};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu};

/// Bytes of a MiB.
const MIB: i64 = 1 << 20;
/// Bytes of a GiB.
const GIB: i64 = 1 << 30;

/// How many pods a machine holds if nothing else is said: the kubelet's default.
pub(crate) const PODS_DEFAULT: u32 = 110;
/// Local storage of a machine if nothing else is said.
pub(crate) const STORAGE_DEFAULT: Bytes = Bytes(100 * GIB);

/// A machine type of a cloud.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineType {
    pub(crate) name: &'static str,
    pub(crate) arch: &'static str,
    /// Cores.
    cores: u32,
    /// Memory of the machine; what its operating system sees is less.
    memory_mib: u32,
    /// How many pods the network of the machine has addresses for.
    pods: u32,
    gpus: u32,
    /// Millionths of a dollar per hour, on demand.
    pub(crate) micro_usd_per_hour: u64,
}

const fn machine(
    name: &'static str,
    arch: &'static str,
    [cores, memory_mib, pods, gpus]: [u32; 4],
    micro_usd_per_hour: u64,
) -> MachineType {
    MachineType { name, arch, cores, memory_mib, pods, gpus, micro_usd_per_hour }
}

/// Machine types of AWS in us-east-1, with on-demand prices of 20 July 2026 (docs/scenario.md).
pub(crate) const MACHINE_TYPES: [MachineType; 27] = [
    machine("t3.medium", "amd64", [2, 4_096, 17, 0], 41_600),
    machine("t3.large", "amd64", [2, 8_192, 35, 0], 83_200),
    machine("m6i.large", "amd64", [2, 8_192, 29, 0], 96_000),
    machine("m6i.xlarge", "amd64", [4, 16_384, 58, 0], 192_000),
    machine("m6i.2xlarge", "amd64", [8, 32_768, 58, 0], 384_000),
    machine("m6i.4xlarge", "amd64", [16, 65_536, 234, 0], 768_000),
    machine("m6i.8xlarge", "amd64", [32, 131_072, 234, 0], 1_536_000),
    machine("m6i.16xlarge", "amd64", [64, 262_144, 737, 0], 3_072_000),
    machine("m6i.24xlarge", "amd64", [96, 393_216, 737, 0], 4_608_000),
    machine("m7i.large", "amd64", [2, 8_192, 29, 0], 100_800),
    machine("m7i.xlarge", "amd64", [4, 16_384, 58, 0], 201_600),
    machine("m7i.2xlarge", "amd64", [8, 32_768, 58, 0], 403_200),
    machine("m7i.4xlarge", "amd64", [16, 65_536, 234, 0], 806_400),
    machine("m7i.8xlarge", "amd64", [32, 131_072, 234, 0], 1_612_800),
    machine("m7g.xlarge", "arm64", [4, 16_384, 58, 0], 163_200),
    machine("m7g.2xlarge", "arm64", [8, 32_768, 58, 0], 326_400),
    machine("c7i.large", "amd64", [2, 4_096, 29, 0], 89_250),
    machine("c7i.xlarge", "amd64", [4, 8_192, 58, 0], 178_500),
    machine("c7i.2xlarge", "amd64", [8, 16_384, 58, 0], 357_000),
    machine("c7i.4xlarge", "amd64", [16, 32_768, 234, 0], 714_000),
    machine("r7i.large", "amd64", [2, 16_384, 29, 0], 132_300),
    machine("r7i.xlarge", "amd64", [4, 32_768, 58, 0], 264_600),
    machine("r7i.2xlarge", "amd64", [8, 65_536, 58, 0], 529_200),
    machine("g4dn.xlarge", "amd64", [4, 16_384, 29, 1], 526_000),
    machine("g5.xlarge", "amd64", [4, 16_384, 58, 1], 1_006_000),
    machine("p4d.24xlarge", "amd64", [96, 1_179_648, 737, 8], 21_957_642),
    machine("p5.48xlarge", "amd64", [192, 2_097_152, 100, 8], 55_040_000),
];

impl MachineType {
    /// What the machine has, as its kubelet reports it.
    ///
    /// Model: firmware and hypervisor take 7.5 % of the memory, as node autoscalers assume.
    pub(crate) fn capacity(&self) -> NodeResources {
        let memory = i64::from(self.memory_mib) * 925 / 1_000 * MIB;
        let gpus = [(Symbol::new("nvidia.com/gpu"), i64::from(self.gpus))];
        let scalars = gpus.into_iter().filter(|gpu| gpu.1 > 0).collect();
        let amounts = Resources {
            cpu: MilliCpu(i64::from(self.cores) * 1_000),
            memory: Bytes(memory),
            ephemeral_storage: STORAGE_DEFAULT,
            scalars: Scalars::new(scalars),
        };
        NodeResources { amounts, pods: i64::from(self.pods) }
    }
}

/// What a machine keeps for its system if nothing else is said.
pub(crate) fn system_reserve(capacity: &NodeResources) -> Resources {
    let cpu = capacity.amounts.cpu.get();
    // Of each band of cores, so many parts in 10,000.
    let bands = [(1_000, 600), (1_000, 100), (2_000, 50), (i64::MAX, 25)];
    let (mut left, mut parts) = (cpu, 0i64);
    for (width, share) in bands {
        let here = left.min(width);
        parts = parts.saturating_add(here.saturating_mul(share));
        left -= here;
    }
    let pods = capacity.pods.min(1 << 30);
    let storage = capacity.amounts.ephemeral_storage.get();
    Resources {
        cpu: MilliCpu(parts.div_euclid(10_000)),
        memory: Bytes((255 + 11 * pods + 100) * MIB),
        ephemeral_storage: Bytes(GIB + storage / 10),
        scalars: Scalars::NONE,
    }
}

/// General machines from which one is chosen for manifests that come without a scenario: 4 GiB of
/// memory per core, priced like those of AWS's m6i family.
const LADDER: [(i64, u64); 7] = [
    (4, 192_000),
    (8, 384_000),
    (16, 768_000),
    (32, 1_536_000),
    (48, 2_304_000),
    (64, 3_072_000),
    (96, 4_608_000),
];

/// What pods ask of machines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Demand {
    /// The largest request of each resource by any one pod.
    pub(crate) largest: Resources,
    /// All requests together, at the size to which workloads may grow.
    pub(crate) total: Resources,
    /// How many pods.
    pub(crate) pods: i64,
    /// Requests of the pods that run once on every node.
    pub(crate) per_node: Resources,
    /// How many pods run once on every node.
    pub(crate) pods_per_node: i64,
}

/// A machine that was chosen.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) capacity: NodeResources,
    pub(crate) micro_usd_per_hour: u64,
}

/// Chooses the smallest general machine of which `count` suffice: the largest pod fits on an empty
/// one, and all together are filled to 70 % at most. The largest there is if none suffices.
pub(crate) fn choose(demand: &Demand, count: u32) -> Chosen {
    let candidates = LADDER.map(|(cores, price)| general(cores, price, demand, count));
    let [.., largest] = &candidates;
    candidates.iter().find(|chosen| suffices(chosen, demand, i64::from(count))).unwrap_or(largest).clone()
}

fn general(cores: i64, micro_usd_per_hour: u64, demand: &Demand, count: u32) -> Chosen {
    let count = i64::from(count.max(1));
    let scalar = |(name, largest): (Symbol, i64)| {
        let share = demand.total.scalars.get(name).saturating_add(count - 1) / count;
        (name, largest.max(share).saturating_add(demand.per_node.scalars.get(name)))
    };
    let storage = demand.largest.ephemeral_storage.get().saturating_mul(2).max(STORAGE_DEFAULT.get());
    let amounts = Resources {
        cpu: MilliCpu(cores * 1_000),
        memory: Bytes(cores * 4 * GIB),
        ephemeral_storage: Bytes(storage),
        scalars: Scalars::new(demand.largest.scalars.iter().map(scalar).collect()),
    };
    Chosen { capacity: NodeResources { amounts, pods: i64::from(PODS_DEFAULT) }, micro_usd_per_hour }
}

fn suffices(chosen: &Chosen, demand: &Demand, count: i64) -> bool {
    let reserve = system_reserve(&chosen.capacity);
    let fits = |have: i64, reserved: i64, per_node: i64, largest: i64, total: i64| {
        let free = have.saturating_sub(reserved).saturating_sub(per_node);
        largest <= free && total <= free.saturating_mul(count) / 10 * 7
    };
    let (have, per_node) = (&chosen.capacity.amounts, &demand.per_node);
    let (largest, total) = (&demand.largest, &demand.total);
    fits(have.cpu.get(), reserve.cpu.get(), per_node.cpu.get(), largest.cpu.get(), total.cpu.get())
        && fits(
            have.memory.get(),
            reserve.memory.get(),
            per_node.memory.get(),
            largest.memory.get(),
            total.memory.get(),
        )
        && demand.pods <= chosen.capacity.pods.saturating_sub(demand.pods_per_node).saturating_mul(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_keep_what_managed_clusters_keep() {
        // What an autoscaler reckons with for these types, in millicores and MiB.
        for (name, cpu, memory_mib) in [
            ("m6i.large", 1_930, 6_903),
            ("m6i.xlarge", 3_920, 14_162),
            ("m6i.4xlarge", 15_890, 57_691),
            ("m7i.8xlarge", 31_850, 118_312),
            ("c7i.large", 1_930, 3_114),
            ("r7i.2xlarge", 7_910, 59_627),
            ("p5.48xlarge", 191_450, 1_938_410),
        ] {
            let machine = MACHINE_TYPES.iter().find(|machine| machine.name == name).expect(name);
            let capacity = machine.capacity();
            let mut left = capacity.amounts.clone();
            left.subtract(&system_reserve(&capacity));
            assert_eq!((left.cpu.get(), left.memory.get() / MIB), (cpu, memory_mib), "{name}");
        }
    }

    #[test]
    fn the_page_about_scenarios_has_the_table_of_machine_types() {
        let page = include_str!("../../docs/scenario.md");
        for machine in MACHINE_TYPES {
            let gpus = if machine.gpus > 0 { machine.gpus.to_string() } else { String::new() };
            let (memory, price) = (machine.memory_mib / 1_024, machine.micro_usd_per_hour as f64 / 1e6);
            let MachineType { name, arch, cores, pods, .. } = machine;
            let row = format!("| `{name}` | {arch} | {cores} | {memory} GiB | {pods} | {gpus} | {price} |");
            assert!(page.contains(&row), "{row}");
        }
    }

    #[test]
    fn chosen_machines_are_large_enough_and_no_larger() {
        let demand = |largest: (i64, i64), total: (i64, i64), pods| Demand {
            largest: Resources::of(MilliCpu(largest.0), Bytes(largest.1 * GIB)),
            total: Resources::of(MilliCpu(total.0), Bytes(total.1 * GIB)),
            pods,
            ..Demand::default()
        };
        for (demand, count, cores) in [
            (demand((0, 0), (0, 0), 0), 1, 4),
            (demand((500, 1), (2_000, 4), 10), 3, 4),
            // The largest pod needs more than four cores.
            (demand((5_000, 1), (5_000, 1), 1), 6, 8),
            // Three machines of four cores would be filled beyond 70 %.
            (demand((1_000, 1), (9_000, 9), 9), 3, 8),
            // Pods that ask for little still need a place each.
            (demand((1, 0), (600, 0), 600), 3, 96),
            // More than there is: the largest.
            (demand((500_000, 1), (500_000, 1), 1), 1, 96),
        ] {
            let chosen = choose(&demand, count);
            assert_eq!(chosen.capacity.amounts.cpu.get(), cores * 1_000, "{demand:?}");
        }
    }

    #[test]
    fn chosen_machines_have_the_extended_resources_that_pods_ask_for() {
        let gpus = |count| Scalars::new([(Symbol::new("nvidia.com/gpu"), count)].into_iter().collect());
        let demand = Demand {
            largest: Resources { scalars: gpus(2), ..Resources::default() },
            total: Resources { scalars: gpus(20), ..Resources::default() },
            ..Demand::default()
        };
        assert_eq!(choose(&demand, 4).capacity.amounts.scalars, gpus(5));
    }
}
