//! Workload inflation: pods of a workload arrive, one after the other, until they ask for more GPUs
//! than the cluster has, and nothing ever leaves. The better a policy packs, the more GPUs are in use
//! in the end.
//!
//! The experiment is that of Q. Weng et al., "Beware of Fragmentation" (USENIX ATC 2023), section 6, as
//! hkust-adsl/kubernetes-scheduler-simulator runs it (`pkg/simulator/core.go`, `simulator.go`,
//! `experiments/`), so that results can be compared with those that are published there:
//!
//! - nodes with GPUs, all empty, in an order that is drawn; ties go to the first in that order;
//! - pods of the list in an order that is drawn, then pods drawn from the list with replacement, until
//!   130 % of the cluster's GPUs are asked for; where the list alone asks for more, some are left out;
//! - one attempt for each pod, and one that fails is dropped;
//! - figures at x % are means over all pods at whose arrival x % of the cluster's GPUs were asked for,
//!   rounded to whole per cents.

mod compare;
mod expected;
mod protocol;
mod run;
mod series;
mod summary;

use std::sync::Arc;

use seatrial_api::pod::PodSpec;
use seatrial_scheduler::fragmentation::{Demand, TypicalPod, count_demands, typical_pods};
use seatrial_scheduler::policies;
use seatrial_workloads::openb::{self, NodeRow, PodRow};

pub use compare::{Comparison, Deviation, Metric, compare};
pub use expected::read_expected;
pub use run::run;
pub use series::{Point, Series};
pub use summary::{Cell, LOADS, Statistics, summarize, write_csv};

/// A policy under the name that the published tables have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TablePolicy {
    /// The name in tables.
    pub table_name: &'static str,
    /// The name of the policy.
    pub name: &'static str,
}

/// The policies of the paper, in the order of its tables.
pub const POLICIES: [TablePolicy; 6] = [
    TablePolicy { table_name: "Random", name: "random" },
    TablePolicy { table_name: "DotProd", name: "dot-product" },
    TablePolicy { table_name: "GpuClustering", name: "gpu-clustering" },
    TablePolicy { table_name: "GpuPacking", name: "gpu-packing" },
    TablePolicy { table_name: "BestFit", name: "best-fit" },
    TablePolicy { table_name: "FGD", name: "fgd" },
];

/// The workloads of the paper, in the order of its figures.
pub const PUBLISHED_WORKLOADS: [&str; 17] = [
    "default",
    "cpu050",
    "cpu100",
    "cpu200",
    "cpu250",
    "gpushare40",
    "gpushare60",
    "gpushare80",
    "gpushare100",
    "gpuspec10",
    "gpuspec20",
    "gpuspec25",
    "gpuspec33",
    "multigpu20",
    "multigpu30",
    "multigpu40",
    "multigpu50",
];

/// The policy of a name, as tables or the registry have it; every registered policy can be inflated.
pub fn find_policy(name: &str) -> Option<TablePolicy> {
    let known = POLICIES.into_iter().find(|policy| policy.table_name == name || policy.name == name);
    known.or_else(|| {
        policies::find(name).map(|policy| TablePolicy { table_name: policy.name, name: policy.name })
    })
}

/// The cluster that is filled.
#[derive(Clone, Debug)]
pub struct Machines {
    nodes: Vec<NodeRow>,
    /// The GPUs of all nodes.
    gpus: i64,
}

impl Machines {
    /// The nodes with GPUs among these, in order of their names. `None` if there are none.
    pub fn new(mut nodes: Vec<NodeRow>) -> Option<Machines> {
        nodes.retain(|node| node.gpus > 0);
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        let gpus = nodes.iter().map(|node| i64::from(node.gpus)).sum();
        (gpus > 0).then_some(Machines { nodes, gpus })
    }
}

/// A list of pods that is inflated.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its name in tables.
    pub name: String,
    /// The pods in order of their names, by kind.
    pods: Vec<u32>,
    /// The kinds of pods.
    kinds: Vec<Kind>,
    /// What is typical of the list.
    typical: Arc<[TypicalPod]>,
}

/// A kind of pods.
#[derive(Clone, Debug)]
struct Kind {
    spec: Arc<PodSpec>,
    /// Thousandths of each GPU that it asks for.
    milli_each: i64,
    /// Thousandths of a GPU that it asks for in all.
    milli: i64,
}

impl Workload {
    /// A list of pods; `None` if none of them asks for a GPU.
    pub fn new(name: &str, mut rows: Vec<PodRow>) -> Option<Workload> {
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        let mut known: rustc_hash::FxHashMap<&openb::PodKind, u32> = Default::default();
        let mut kinds: Vec<&openb::PodKind> = Vec::new();
        let pods = rows.iter().map(|row| {
            *known.entry(&row.kind).or_insert_with(|| {
                kinds.push(&row.kind);
                kinds.len() as u32 - 1
            })
        });
        let pods: Vec<u32> = pods.collect();
        let demand = |row: &PodRow| Demand { cpu: row.kind.cpu, gpu: row.kind.gpu.clone().map(Box::new) };
        let typical = typical_pods(count_demands(rows.iter().map(demand)));
        let kind = |kind: &&openb::PodKind| Kind {
            spec: openb::pod_spec(kind),
            milli_each: kind.gpu.as_ref().map_or(0, |gpu| i64::from(gpu.milli)),
            milli: kind.gpu_milli(),
        };
        let asks = kinds.iter().any(|kind| kind.gpu.is_some());
        asks.then(|| Workload {
            name: name.to_owned(),
            pods,
            kinds: kinds.iter().map(kind).collect(),
            typical: typical.into(),
        })
    }

    /// How many pods the list has.
    pub fn len(&self) -> usize {
        self.pods.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }
}
