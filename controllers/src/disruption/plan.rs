//! What a budget allows (upstream `pkg/controller/disruption`).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use seatrial_api::labels::{Operator, Selector};
use seatrial_api::meta::{OwnerRef, Uid};
use seatrial_api::pod::Pod;
use seatrial_api::policy::{Budget, PdbStatus, PodDisruptionBudget};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::workload::IntOrPercent;

/// How long an accepted eviction may take until the pod is seen to terminate.
pub const DELETION_TIMEOUT: Span = Span::from_mins(2);

/// The size of the workload to which a pod belongs, by the workload's identity.
pub type Scale = (Uid, i32);

/// How many pods there should be and how many of them must be healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// How many pods there should be.
    pub expected: i32,
    /// How many must be healthy.
    pub desired: i32,
    /// Whether pods without a controller were found, which count for nothing.
    pub unmanaged: bool,
}

/// Computes the demand of a budget on `pods`. `scale_of` finds the workload behind a controller
/// reference.
///
/// # Errors
/// A pod's controller is gone or has no size; the message is upstream's.
pub fn demand(
    budget: Option<Budget>,
    pods: &[&Pod],
    scale_of: impl FnMut(&OwnerRef, Symbol) -> Result<Option<Scale>, String>,
) -> Result<Demand, String> {
    let budget = budget.unwrap_or(Budget::MinAvailable(IntOrPercent::Int(1)));
    if let Budget::MinAvailable(IntOrPercent::Int(count)) = budget {
        let expected = i32::try_from(pods.len()).unwrap_or(i32::MAX);
        return Ok(Demand { expected, desired: count, unmanaged: false });
    }
    let (expected, unmanaged) = expected_scale(pods, scale_of)?;
    let desired = match budget {
        Budget::MinAvailable(share) => share.ceil_of(expected),
        Budget::MaxUnavailable(share) => expected.saturating_sub(share.ceil_of(expected)).max(0),
    };
    Ok(Demand { expected, desired, unmanaged })
}

/// The sum of the sizes of all workloads to which the pods belong.
fn expected_scale(
    pods: &[&Pod],
    mut scale_of: impl FnMut(&OwnerRef, Symbol) -> Result<Option<Scale>, String>,
) -> Result<(i32, bool), String> {
    let mut unmanaged = false;
    let mut scales: Vec<Scale> = Vec::new();
    let mut asked: Vec<Uid> = Vec::new();
    for pod in pods {
        let Some(controller) = pod.meta.controller() else {
            unmanaged = true;
            continue;
        };
        if asked.contains(&controller.uid) {
            continue;
        }
        asked.push(controller.uid);
        let Some(scale) = scale_of(controller, pod.meta.namespace)? else {
            return Err(format!("found no controllers for pod \"{}\"", pod.meta.name));
        };
        if !scales.iter().any(|known| known.0 == scale.0) {
            scales.push(scale);
        }
    }
    Ok((scales.iter().fold(0i32, |sum, scale| sum.saturating_add(scale.1)), unmanaged))
}

/// What a budget's status should be, and what follows from looking at its outstanding evictions.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetPlan {
    /// The status.
    pub status: PdbStatus,
    /// When an outstanding eviction is given up, if there is one.
    pub recheck_at: Option<SimTime>,
    /// Rows of pods whose eviction was accepted and never seen.
    pub not_deleted: Vec<u32>,
}

/// Plans the status of a budget.
pub fn plan(budget: &PodDisruptionBudget, pods: &[&Pod], demand: Demand, now: SimTime) -> BudgetPlan {
    let outstanding: BTreeMap<Uid, SimTime> = budget.status.disrupted_pods.iter().copied().collect();
    let mut plan = BudgetPlan { status: budget.status.clone(), recheck_at: None, not_deleted: Vec::new() };
    let mut disrupted = Vec::new();
    let mut healthy = 0;
    for pod in pods.iter().filter(|pod| !pod.meta.is_deleting()) {
        match outstanding.get(&pod.meta.uid) {
            Some(&since) if since + DELETION_TIMEOUT < now => plan.not_deleted.push(pod.meta.id),
            Some(&since) => {
                let ends = since + DELETION_TIMEOUT;
                plan.recheck_at = Some(plan.recheck_at.map_or(ends, |at| at.min(ends)));
                disrupted.push((pod.meta.uid, since));
                if ends > now {
                    continue;
                }
            }
            None => {}
        }
        healthy += i32::from(pod.is_ready());
    }
    let allowed = if demand.expected <= 0 { 0 } else { (healthy - demand.desired).max(0) };
    plan.status = PdbStatus {
        disruptions_allowed: allowed,
        current_healthy: healthy,
        desired_healthy: demand.desired,
        expected_pods: demand.expected,
        disrupted_pods: disrupted,
        observed_generation: budget.meta.generation,
        conditions: budget.status.conditions.clone(),
    };
    plan.status.note_allowed(now);
    plan
}

/// The status of a budget that could not be computed: nothing is allowed.
pub fn failed_status(status: &PdbStatus, error: &str, now: SimTime) -> PdbStatus {
    let mut failed = PdbStatus { disruptions_allowed: 0, ..status.clone() };
    failed.note_failure(error, now);
    failed
}

/// A selector as upstream's messages print it. Requirements of one value are taken for
/// `matchLabels`.
pub(super) fn go_selector(selector: &Selector) -> String {
    let mut labels = Vec::new();
    let mut expressions = String::new();
    for requirement in &selector.requirements {
        let (operator, values): (&str, &[Symbol]) = match &requirement.operator {
            Operator::In(values) if values.len() == 1 => {
                labels.push((requirement.key, values[0]));
                continue;
            }
            Operator::In(values) => ("In", values),
            Operator::NotIn(values) => ("NotIn", values),
            Operator::Exists => ("Exists", &[]),
            _ => ("DoesNotExist", &[]),
        };
        let values: Vec<_> = values.iter().map(|value| value.as_str()).collect();
        let key = requirement.key;
        let values = values.join(" ");
        let _ = write!(
            expressions,
            "LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{values}],}},"
        );
    }
    labels.sort();
    let labels: String = labels.iter().map(|(key, value)| format!("{key}: {value},")).collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use seatrial_api::container::Container;
    use seatrial_api::labels::Labels;
    use seatrial_api::meta::{Deletion, ObjectMeta};
    use seatrial_api::pod::{ConditionStatus, PodConditionType, PodReason, PodSpec};
    use seatrial_api::policy::UnhealthyPodEvictionPolicy;

    fn owner(low: u64) -> OwnerRef {
        OwnerRef {
            kind: "ReplicaSet".into(),
            api_version: "apps/v1".into(),
            name: "web".into(),
            uid: Uid::from_bits(1, low),
            controller: true,
            block_owner_deletion: true,
        }
    }

    fn pod(low: u64, ready: bool, controller: Option<u64>) -> Pod {
        let mut pod =
            Pod::new(ObjectMeta::named("ns", "p"), Arc::new(PodSpec::new(vec![Container::new("c", "i")])));
        pod.meta.uid = Uid::from_bits(2, low);
        pod.meta.id = low as u32;
        pod.meta.owners = controller.map(|low| Arc::new(vec![owner(low)]));
        let status = if ready { ConditionStatus::True } else { ConditionStatus::False };
        pod.status.conditions.set(PodConditionType::Ready, status, PodReason::None, SimTime::ZERO);
        pod
    }

    fn budget(disrupted: &[(u64, i64)]) -> PodDisruptionBudget {
        let disrupted = disrupted.iter().map(|&(low, at)| (Uid::from_bits(2, low), SimTime::from_secs(at)));
        PodDisruptionBudget {
            meta: ObjectMeta { generation: 3, ..ObjectMeta::named("ns", "b") },
            budget: None,
            selector: Some(Selector::default()),
            unhealthy_pod_eviction_policy: UnhealthyPodEvictionPolicy::default(),
            status: PdbStatus { disrupted_pods: disrupted.collect(), ..PdbStatus::default() },
        }
    }

    #[test]
    fn percentages_round_up_and_refer_to_the_workloads_size() {
        use Budget::{MaxUnavailable, MinAvailable};
        use IntOrPercent::{Int, Percent};
        let managed: Vec<Pod> = (0..3).map(|low| pod(low, true, Some(7))).collect();
        let bare = [pod(9, true, None)];
        let rows = [
            (Some(MinAvailable(Int(2))), &managed[..], 3, 2, false),
            (None, &managed[..], 3, 1, false),
            (Some(MinAvailable(Percent(50))), &managed[..], 5, 3, false),
            (Some(MaxUnavailable(Percent(25))), &managed[..], 5, 3, false),
            (Some(MaxUnavailable(Int(1))), &managed[..], 5, 4, false),
            (Some(MaxUnavailable(Int(9))), &managed[..], 5, 0, false),
            (Some(MaxUnavailable(Int(1))), &bare[..], 0, 0, true),
            (Some(MinAvailable(Int(1))), &bare[..], 1, 1, false),
        ];
        for (budget, pods, expected, desired, unmanaged) in rows {
            let pods: Vec<&Pod> = pods.iter().collect();
            let found = demand(budget, &pods, |owner, _| Ok(Some((owner.uid, 5))));
            assert_eq!(found, Ok(Demand { expected, desired, unmanaged }), "{budget:?}");
        }
    }

    #[test]
    fn sizes_of_several_workloads_add_up_each_once_and_a_lost_one_fails() {
        let pods = [pod(0, true, Some(7)), pod(1, true, Some(8)), pod(2, true, Some(7))];
        let pods: Vec<&Pod> = pods.iter().collect();
        let max = Some(Budget::MaxUnavailable(IntOrPercent::Int(1)));
        let found = demand(max, &pods, |owner, _| Ok(Some((owner.uid, 4)))).expect("all are found");
        assert_eq!(found.expected, 8);
        let shared = demand(max, &pods, |_, _| Ok(Some((Uid::from_bits(3, 3), 4)))).expect("all are found");
        assert_eq!(shared.expected, 4, "two sets of one Deployment");
        assert_eq!(
            demand(max, &pods, |_, _| Ok(None)),
            Err("found no controllers for pod \"p\"".to_string())
        );
    }

    #[test]
    fn healthy_pods_are_ready_not_terminating_and_not_about_to_go() {
        let mut pods = [
            pod(0, true, None),
            pod(1, false, None),
            pod(2, true, None),
            pod(3, true, None),
            pod(4, true, None),
        ];
        pods[2].meta.set_deletion(Some(Deletion { at: SimTime::ZERO, grace_seconds: 30 }));
        let pods: Vec<&Pod> = pods.iter().collect();
        let budget = budget(&[(3, 100), (4, 0), (2, 100)]);
        let demand = Demand { expected: 5, desired: 1, unmanaged: false };
        let found = plan(&budget, &pods, demand, SimTime::from_secs(150));
        assert_eq!(found.status.current_healthy, 2, "the first, and the fourth whose eviction never came");
        assert_eq!(found.status.disruptions_allowed, 1);
        assert_eq!(found.status.disrupted_pods, [(Uid::from_bits(2, 3), SimTime::from_secs(100))]);
        assert_eq!(found.recheck_at, Some(SimTime::from_secs(220)));
        assert_eq!(found.not_deleted, [4]);
        assert_eq!(found.status.observed_generation, 3);
        assert_eq!(found.status.conditions[0].reason.as_str(), "SufficientPods");
    }

    #[test]
    fn nothing_is_allowed_where_nothing_is_expected_or_the_computation_failed() {
        let ready = pod(0, true, None);
        let demand = Demand { expected: 0, desired: 0, unmanaged: true };
        let found = plan(&budget(&[]), &[&ready], demand, SimTime::ZERO);
        assert_eq!((found.status.current_healthy, found.status.disruptions_allowed), (1, 0));
        let failed =
            failed_status(&PdbStatus { disruptions_allowed: 3, ..found.status }, "no", SimTime::ZERO);
        assert_eq!((failed.disruptions_allowed, failed.conditions[0].reason.as_str()), (0, "SyncFailed"));
        assert_eq!(failed.conditions[0].message, "no");
    }

    #[test]
    fn selectors_print_as_upstream_prints_them() {
        let mut selector = Selector::of_labels(&Labels::of(&[("app", "q")]));
        assert_eq!(
            go_selector(&selector),
            "&LabelSelector{MatchLabels:map[string]string{app: q,},MatchExpressions:[]LabelSelectorRequirement{},}"
        );
        let mut requirements = selector.requirements.into_vec();
        let operator = Operator::NotIn(["a".into(), "b".into()].into());
        requirements.push(seatrial_api::labels::Requirement { key: "tier".into(), operator });
        selector = Selector { requirements: requirements.into() };
        assert!(go_selector(&selector).ends_with(
            "MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:tier,Operator:NotIn,Values:[a b],},},}"
        ));
    }
}
