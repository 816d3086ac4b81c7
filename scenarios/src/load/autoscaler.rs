//! Who makes machines come and go, checked against the pools that there are.

use seatrial_api::cloud::{CapacityType, Offer};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_autoscaler::cluster_autoscaler::{Expander, ScaleDownOptions};
use seatrial_autoscaler::karpenter::{ConsolidationPolicy, DisruptionBudget};
use seatrial_autoscaler::{ClusterAutoscalerOptions, KarpenterOptions, NodeGroup, NodePool};
use seatrial_sim_core::cluster::config::{AutoscalerConfig, CloudConfig, StockOut};

use super::check::Checker;
use super::nodes::{Machines, NodePoolPlan};
use super::timeline::within_run;
use crate::file::ScenarioFile;
use crate::file::autoscaler::{
    AutoscalerField, CapacityWord, CloudField, ClusterAutoscalerField, ConsolidationWord, CountOrPercent,
    ExpanderWord, KarpenterField, NodePoolField, ScaleDownField, StockOutField,
};
use crate::file::timeline::Entry;
use crate::schema::{Placed, Share, Text};

/// How a word says that machines are paid for.
pub(super) fn capacity_type(word: CapacityWord) -> CapacityType {
    match word {
        CapacityWord::Spot => CapacityType::Spot,
        CapacityWord::OnDemand => CapacityType::OnDemand,
    }
}

/// The autoscaler of a scenario: the one that it asks for, or the Cluster Autoscaler if a pool may
/// change its size.
pub(super) fn autoscaler(
    scenario: &ScenarioFile,
    machines: &Machines,
    pools: &[NodePoolPlan],
    seed: u64,
    checker: &mut Checker<'_>,
) -> Option<AutoscalerConfig> {
    let groups = node_groups(scenario, machines, checker);
    refuse_foreign_hands(scenario, checker);
    let field = match &scenario.autoscaler {
        None if groups.is_empty() => return None,
        None => None,
        Some(placed) => {
            let field = match &placed.value {
                AutoscalerField::ClusterAutoscaler(field) => field,
                AutoscalerField::Karpenter(field) => return karpenter(scenario, field, pools, checker),
            };
            if groups.is_empty() && !scenario.nodes.iter().any(|pool| pool.autoscale.is_some()) {
                checker.error(placed, |error| {
                    error
                        .message("there is no pool whose size it may change")
                        .hint("give a pool bounds: autoscale: {min: 1, max: 10}")
                });
                return None;
            }
            Some(&**field)
        }
    };
    let options = ClusterAutoscalerOptions { seed, ..field.map(options).unwrap_or_default() };
    Some(AutoscalerConfig::ClusterAutoscaler { options: Box::new(options), groups })
}

/// A provisioner over the node pools of a scenario.
fn karpenter(
    scenario: &ScenarioFile,
    field: &KarpenterField,
    pools: &[NodePoolPlan],
    checker: &mut Checker<'_>,
) -> Option<AutoscalerConfig> {
    for autoscale in scenario.nodes.iter().filter_map(|pool| pool.autoscale.as_ref()) {
        checker.error(autoscale, |error| {
            error.message("karpenter has node pools of its own and leaves others as they are")
        });
    }
    let pools = field.node_pools.iter().zip(pools).map(|(field, plan)| node_pool(field, plan)).collect();
    Some(AutoscalerConfig::Karpenter(KarpenterOptions {
        batch_idle: field.batch_idle,
        batch_max: field.batch_max,
        spot_to_spot: field.spot_to_spot,
        ..KarpenterOptions::new(pools)
    }))
}

fn node_pool(field: &NodePoolField, plan: &NodePoolPlan) -> NodePool {
    let defaults = NodePool::new(plan.name, plan.offers.clone().into());
    let limits = field.limits.as_ref();
    let disruption = field.disruption.as_ref();
    let budgets: Vec<DisruptionBudget> = disruption
        .iter()
        .flat_map(|disruption| &disruption.budgets)
        .map(|budget| match budget.nodes {
            CountOrPercent::Count(count) => DisruptionBudget::Nodes(count),
            CountOrPercent::Percent(percent) => DisruptionBudget::Percent(percent),
        })
        .collect();
    NodePool {
        weight: field.weight,
        cpu_max: limits.and_then(|limits| limits.cpu),
        memory_max: limits.and_then(|limits| limits.memory),
        nodes_max: limits.and_then(|limits| limits.nodes),
        consolidation: match disruption.map(|disruption| disruption.policy) {
            Some(ConsolidationWord::WhenEmpty) => ConsolidationPolicy::WhenEmpty,
            Some(ConsolidationWord::WhenEmptyOrUnderutilized) | None => {
                ConsolidationPolicy::WhenEmptyOrUnderutilized
            }
        },
        consolidate_after: disruption.map_or(defaults.consolidate_after, |disruption| disruption.after.0),
        expire_after: field.expire_after.0,
        budgets: if budgets.is_empty() { defaults.budgets.clone() } else { budgets },
        ..defaults
    }
}

/// The pools whose size may change.
fn node_groups(scenario: &ScenarioFile, machines: &Machines, checker: &mut Checker<'_>) -> Vec<NodeGroup> {
    let mut groups = Vec::new();
    for pool in scenario.nodes.iter() {
        let Some(autoscale) = &pool.autoscale else { continue };
        let bounds = &autoscale.value;
        if bounds.min > bounds.max || !(bounds.min..=bounds.max).contains(&pool.count) {
            let found = format!("min {}, count {} and max {}", bounds.min, pool.count, bounds.max);
            checker.error(autoscale, |error| error.expected("min <= count <= max", found));
            continue;
        }
        let name = pool.name.value.0;
        let Some(plan) = machines.pools.iter().find(|plan| plan.name == name) else { continue };
        let capacity_type = pool.capacity_type.map(capacity_type).unwrap_or_default();
        let offers: Vec<Offer> = plan.kinds().iter().map(|spec| spec.offer(capacity_type)).collect();
        groups.push(NodeGroup {
            name,
            min: bounds.min,
            max: bounds.max,
            priority: i32::try_from(bounds.priority).unwrap_or(i32::MAX),
            offers: offers.into(),
            instances: machines.nodes.iter().filter(|node| node.pool == name).map(|node| node.name).collect(),
        });
    }
    groups
}

/// People cannot add machines to a pool that an autoscaler counts.
fn refuse_foreign_hands(scenario: &ScenarioFile, checker: &mut Checker<'_>) {
    let scaled =
        |name: &str| scenario.nodes.iter().any(|pool| pool.autoscale.is_some() && pool.name.value.0 == name);
    let refuse = |checker: &mut Checker<'_>, entry: &Placed<Text>| {
        checker.error(entry, |error| error.message("an autoscaler decides how many machines this pool has"));
    };
    for Entry { add_nodes, upgrade_pool, .. } in scenario.timeline.iter() {
        if let Some(pool) = add_nodes.as_ref().map(|add| &add.value.pool).filter(|pool| scaled(&pool.value.0))
        {
            refuse(checker, pool);
        }
        if let Some(pool) = upgrade_pool.as_ref().filter(|pool| scaled(&pool.value.0)) {
            refuse(checker, pool);
        }
    }
}

fn options(field: &ClusterAutoscalerField) -> ClusterAutoscalerOptions {
    ClusterAutoscalerOptions {
        scan_interval: field.scan_interval,
        expanders: field.expander.0.iter().map(|&word| expander(word)).collect(),
        balance_similar: field.balance_similar,
        nodes_max: field.nodes_max,
        cpu_max: field.cpu_max,
        memory_max: field.memory_max,
        provision_time_max: field.provision_time_max,
        backoff_initial: field.backoff_initial,
        backoff_max: field.backoff_max,
        new_pod_delay: field.new_pod_delay,
        scale_down: field.scale_down.as_ref().map(scale_down).unwrap_or_default(),
        ..ClusterAutoscalerOptions::default()
    }
}

fn scale_down(field: &ScaleDownField) -> ScaleDownOptions {
    ScaleDownOptions {
        enabled: field.enabled,
        utilization_threshold: field.utilization_threshold.0,
        unneeded_time: field.unneeded_time,
        unready_time: field.unready_time,
        delay_after_add: field.delay_after_add,
        delay_after_delete: field.delay_after_delete,
        delay_after_failure: field.delay_after_failure,
        parallelism: field.parallelism as usize,
        drain_parallelism: field.drain_parallelism as usize,
        skip_local_storage: field.skip_local_storage,
        skip_system_pods: field.skip_system_pods,
        ignore_daemons: field.ignore_daemons,
        ..ScaleDownOptions::default()
    }
}

fn expander(word: ExpanderWord) -> Expander {
    match word {
        ExpanderWord::Random => Expander::Random,
        ExpanderWord::MostPods => Expander::MostPods,
        ExpanderWord::LeastWaste => Expander::LeastWaste,
        ExpanderWord::LeastNodes => Expander::LeastNodes,
        ExpanderWord::Price => Expander::Price,
        ExpanderWord::Priority => Expander::Priority,
    }
}

/// What limits the cloud.
pub(super) fn cloud(
    field: Option<&CloudField>,
    duration: Span,
    machines: &Machines,
    checker: &mut Checker<'_>,
) -> CloudConfig {
    let Some(field) = field else { return CloudConfig::default() };
    let stock_outs = field.stock_outs.iter();
    CloudConfig {
        stock_outs: stock_outs.filter_map(|entry| stock_out(entry, duration, machines, checker)).collect(),
        machines_max: field.quota.as_ref().and_then(|quota| quota.machines),
        cpu_max: field.quota.as_ref().and_then(|quota| quota.cpu),
    }
}

fn stock_out(
    entry: &Placed<StockOutField>,
    duration: Span,
    machines: &Machines,
    checker: &mut Checker<'_>,
) -> Option<StockOut> {
    let StockOutField { nodes, machine_type, zone, capacity_type: paid, at, duration: lasts, share } =
        &entry.value;
    within_run(at, duration, checker)?;
    let placed =
        |text: &Text| Placed { value: text.clone(), position: entry.position, path: entry.path.clone() };
    let pool = match nodes {
        Some(name) => Some(machines.pool(&placed(name), checker)?.1),
        None => None,
    };
    let zone = match zone {
        Some(name) => Some(machines.zone(entry, &name.0, checker)?),
        None => None,
    };
    let Share(probability) = *share;
    let from = SimTime::ZERO + at.value;
    Some(StockOut {
        pool,
        instance_type: machine_type.as_ref().map(|name| Symbol::new(&name.0)),
        zone,
        capacity_type: paid.map(capacity_type),
        from,
        until: lasts.map(|span| from + span),
        probability,
    })
}
