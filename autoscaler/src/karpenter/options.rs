//! Node pools: which machines may be launched, within which limits, and when they go again.

use std::sync::Arc;

use rustc_hash::FxHashSet;
use seatrial_api::cloud::Offer;
use seatrial_api::meta::Uid;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, Span};

/// Which nodes are consolidated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsolidationPolicy {
    /// Nodes without pods that would have to move.
    WhenEmpty,
    /// Also nodes whose pods fit elsewhere, or on one cheaper node.
    #[default]
    WhenEmptyOrUnderutilized,
}

/// How many nodes of a pool may be disrupted at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisruptionBudget {
    /// So many.
    Nodes(u32),
    /// A share of its nodes, rounded up.
    Percent(u32),
}

impl DisruptionBudget {
    /// How many of `nodes`.
    pub fn of(self, nodes: u32) -> u32 {
        match self {
            DisruptionBudget::Nodes(count) => count,
            DisruptionBudget::Percent(percent) => {
                let share = u64::from(nodes) * u64::from(percent);
                u32::try_from(share.div_ceil(100)).unwrap_or(u32::MAX)
            }
        }
    }
}

/// A node pool.
#[derive(Clone, Debug)]
pub struct NodePool {
    /// The name.
    pub name: Symbol,
    /// Pools of more weight are tried first.
    pub weight: u32,
    /// The machines that may be launched: each type in each zone, in each way to pay.
    pub offers: Arc<[Offer]>,
    /// The most CPU of all its nodes together.
    pub cpu_max: Option<MilliCpu>,
    /// The most memory of all its nodes together.
    pub memory_max: Option<Bytes>,
    /// The most nodes.
    pub nodes_max: Option<u32>,
    /// Which nodes are consolidated.
    pub consolidation: ConsolidationPolicy,
    /// How long after the last pod came or went; `None` for never.
    pub consolidate_after: Option<Span>,
    /// How old a node becomes; `None` for no limit.
    pub expire_after: Option<Span>,
    /// How many nodes may be disrupted at once; the smallest counts.
    pub budgets: Vec<DisruptionBudget>,
}

impl NodePool {
    /// A pool with upstream's defaults.
    pub fn new(name: Symbol, offers: Arc<[Offer]>) -> NodePool {
        NodePool {
            name,
            weight: 0,
            offers,
            cpu_max: None,
            memory_max: None,
            nodes_max: None,
            consolidation: ConsolidationPolicy::default(),
            consolidate_after: Some(Span::ZERO),
            expire_after: Some(Span::from_hours(720)),
            budgets: vec![DisruptionBudget::Percent(10)],
        }
    }
}

/// The configuration of the provisioner.
#[derive(Clone, Debug)]
pub struct KarpenterOptions {
    /// The pools.
    pub pools: Vec<NodePool>,
    /// Owners that count as present although nobody has seen them.
    pub assumed_owners: Arc<FxHashSet<Uid>>,
    /// `BATCH_IDLE_DURATION`: so long after the last new pod, a batch is full.
    pub batch_idle: Span,
    /// `BATCH_MAX_DURATION`: so long after the first, it is full in any case.
    pub batch_max: Span,
    /// The feature gate `SpotToSpotConsolidation`.
    pub spot_to_spot: bool,
}

impl KarpenterOptions {
    /// Pools with upstream's defaults.
    pub fn new(pools: Vec<NodePool>) -> KarpenterOptions {
        KarpenterOptions {
            pools,
            assumed_owners: Arc::default(),
            batch_idle: Span::from_secs(1),
            batch_max: Span::from_secs(10),
            spot_to_spot: false,
        }
    }
}
