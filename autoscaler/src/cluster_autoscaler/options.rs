//! The flags of the Cluster Autoscaler, with upstream's defaults, and its node groups.

use std::sync::Arc;

use rustc_hash::FxHashSet;
use seatrial_api::cloud::Offer;
use seatrial_api::meta::Uid;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, Ratio, Span};

/// A node group.
#[derive(Clone, Debug)]
pub struct NodeGroup {
    /// The name.
    pub name: Symbol,
    /// The fewest instances.
    pub min: u32,
    /// The most instances.
    pub max: u32,
    /// The priority, for the expander of that name: more is preferred.
    pub priority: i32,
    /// What its machines are like: one kind or several that differ in their zone, in turn. The first
    /// stands for all where one thinks of machines that do not exist yet.
    pub offers: Arc<[Offer]>,
    /// Its instances at the start.
    pub instances: Vec<Symbol>,
}

impl NodeGroup {
    /// The kind of machine that stands for all of the group.
    ///
    /// # Panics
    /// If the group has no kind of machine.
    pub fn offer(&self) -> &Offer {
        self.offers.first().expect("invariant: a group has a kind of machine")
    }
}

/// A rule that chooses among node groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expander {
    /// Any.
    Random,
    /// Those that help the most pods.
    MostPods,
    /// Those of which the least CPU and memory is left idle.
    LeastWaste,
    /// Those that need the fewest nodes.
    LeastNodes,
    /// Those that are cheapest for what they hold.
    Price,
    /// Those with the highest priority.
    Priority,
}

/// When nodes are taken away.
#[derive(Clone, Debug)]
pub struct ScaleDownOptions {
    /// `--scale-down-enabled`.
    pub enabled: bool,
    /// `--scale-down-utilization-threshold`.
    pub utilization_threshold: Ratio,
    /// `--scale-down-gpu-utilization-threshold`.
    pub gpu_utilization_threshold: Ratio,
    /// `--scale-down-unneeded-time`.
    pub unneeded_time: Span,
    /// `--scale-down-unready-time`.
    pub unready_time: Span,
    /// `--scale-down-delay-after-add`.
    pub delay_after_add: Span,
    /// `--scale-down-delay-after-delete`.
    pub delay_after_delete: Span,
    /// `--scale-down-delay-after-failure`.
    pub delay_after_failure: Span,
    /// `--unremovable-node-recheck-timeout`.
    pub recheck: Span,
    /// `--max-scale-down-parallelism`.
    pub parallelism: usize,
    /// `--max-drain-parallelism`.
    pub drain_parallelism: usize,
    /// `--max-empty-bulk-delete`.
    pub empty_bulk: usize,
    /// `--max-graceful-termination-sec`.
    pub graceful_termination_max: Span,
    /// `--max-pod-eviction-time`.
    pub eviction_time_max: Span,
    /// `--node-delete-delay-after-taint`.
    pub delay_after_taint: Span,
    /// `--max-bulk-soft-taint-count`.
    pub soft_taints_at_once: usize,
    /// `--skip-nodes-with-local-storage`.
    pub skip_local_storage: bool,
    /// `--skip-nodes-with-system-pods`.
    pub skip_system_pods: bool,
    /// `--ignore-daemonsets-utilization`.
    pub ignore_daemons: bool,
}

impl Default for ScaleDownOptions {
    fn default() -> ScaleDownOptions {
        ScaleDownOptions {
            enabled: true,
            utilization_threshold: Ratio::new(1, 2),
            gpu_utilization_threshold: Ratio::new(1, 2),
            unneeded_time: Span::from_mins(10),
            unready_time: Span::from_mins(20),
            delay_after_add: Span::from_mins(10),
            delay_after_delete: Span::ZERO,
            delay_after_failure: Span::from_mins(3),
            recheck: Span::from_mins(5),
            parallelism: 10,
            drain_parallelism: 1,
            empty_bulk: 10,
            graceful_termination_max: Span::from_secs(600),
            eviction_time_max: Span::from_mins(2),
            delay_after_taint: Span::from_secs(5),
            soft_taints_at_once: 10,
            skip_local_storage: true,
            skip_system_pods: true,
            ignore_daemons: false,
        }
    }
}

/// The flags of the Cluster Autoscaler.
#[derive(Clone, Debug)]
pub struct ClusterAutoscalerOptions {
    /// The seed of the choice among equals.
    pub seed: u64,
    /// Owners that count as present although nobody has seen them.
    pub assumed_owners: Arc<FxHashSet<Uid>>,
    /// `--scan-interval`.
    pub scan_interval: Span,
    /// How long a pass takes: the next one begins no sooner.
    pub pass_time: Span,
    /// `--expander`: one rule after another, until one group is left.
    pub expanders: Vec<Expander>,
    /// `--balance-similar-node-groups`.
    pub balance_similar: bool,
    /// `--max-nodes-total`.
    pub nodes_max: Option<u32>,
    /// The upper end of `--cores-total`.
    pub cpu_max: Option<MilliCpu>,
    /// The upper end of `--memory-total`.
    pub memory_max: Option<Bytes>,
    /// `--max-nodes-per-scaleup`.
    pub nodes_per_scale_up: u32,
    /// `--max-node-provision-time`.
    pub provision_time_max: Span,
    /// `--initial-node-group-backoff-duration`.
    pub backoff_initial: Span,
    /// `--max-node-group-backoff-duration`.
    pub backoff_max: Span,
    /// `--node-group-backoff-reset-timeout`.
    pub backoff_reset: Span,
    /// `--new-pod-scale-up-delay`.
    pub new_pod_delay: Span,
    /// `--expendable-pods-priority-cutoff`.
    pub priority_cutoff: i32,
    /// `--ok-total-unready-count`.
    pub unready_count_ok: usize,
    /// `--max-total-unready-percentage`.
    pub unready_pct_max: usize,
    /// When nodes are taken away.
    pub scale_down: ScaleDownOptions,
}

impl Default for ClusterAutoscalerOptions {
    fn default() -> ClusterAutoscalerOptions {
        ClusterAutoscalerOptions {
            seed: 0,
            assumed_owners: Arc::default(),
            scan_interval: Span::from_secs(10),
            pass_time: Span::from_millis(200),
            expanders: vec![Expander::LeastWaste],
            balance_similar: false,
            nodes_max: None,
            cpu_max: None,
            memory_max: None,
            nodes_per_scale_up: 1_000,
            provision_time_max: Span::from_mins(15),
            backoff_initial: Span::from_mins(5),
            backoff_max: Span::from_mins(30),
            backoff_reset: Span::from_hours(3),
            new_pod_delay: Span::ZERO,
            priority_cutoff: -10,
            unready_count_ok: 3,
            unready_pct_max: 45,
            scale_down: ScaleDownOptions::default(),
        }
    }
}
