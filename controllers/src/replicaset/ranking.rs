//! Which pods a ReplicaSet gives up first (upstream `ActivePodsWithRanks`).

use std::cmp::{Ordering, Reverse};

use seatrial_api::meta::Uid;
use seatrial_api::pod::{Pod, PodPhase};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use crate::framework::{ready_since, restarts};

/// The annotation by which a user says how dear a pod is.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// What the ranking looks at.
#[derive(Clone, Debug)]
struct Rank {
    assigned: bool,
    phase: u8,
    ready_since: Option<SimTime>,
    cost: i32,
    /// Related active pods on the same node.
    company: u32,
    restarts: (u32, u32),
    created: SimTime,
    uid: Uid,
}

impl Rank {
    fn of(pod: &Pod, company: u32, cost_key: Symbol) -> Rank {
        let cost = pod.meta.annotations.get(cost_key);
        Rank {
            assigned: pod.node.is_some(),
            phase: match pod.status.phase {
                PodPhase::Pending => 0,
                PodPhase::Unknown => 1,
                PodPhase::Running | PodPhase::Succeeded | PodPhase::Failed => 2,
            },
            ready_since: ready_since(pod),
            cost: cost.map_or(0, parse_cost),
            company,
            restarts: restarts(pod),
            created: pod.meta.created.truncate_to_second(),
            uid: pod.meta.uid,
        }
    }

    /// Whether this pod goes before (`Less`) or after the other one.
    fn compare(&self, other: &Rank, now: SimTime) -> Ordering {
        let first = self
            .assigned
            .cmp(&other.assigned)
            .then(self.phase.cmp(&other.phase))
            .then(self.ready_since.is_some().cmp(&other.ready_since.is_some()))
            .then(self.cost.cmp(&other.cost))
            .then(Reverse(self.company).cmp(&Reverse(other.company)));
        let ready = match (self.ready_since, other.ready_since) {
            (Some(mine), Some(theirs)) => self.by_age(mine, other, theirs, now),
            _ => Ordering::Equal,
        };
        first.then(ready).then(Reverse(self.restarts).cmp(&Reverse(other.restarts))).then(self.by_age(
            self.created,
            other,
            other.created,
            now,
        ))
    }

    /// The younger one goes first, ages compared by their binary logarithm; of two that are alike
    /// in that, but not equally old, the smaller identity.
    fn by_age(&self, mine: SimTime, other: &Rank, theirs: SimTime, now: SimTime) -> Ordering {
        if mine == theirs {
            return Ordering::Equal;
        }
        magnitude(now - mine).cmp(&magnitude(now - theirs)).then_with(|| self.uid.cmp(&other.uid))
    }
}

/// `floor(log2(nanoseconds))`, -1 for spans that are not positive.
fn magnitude(span: Span) -> i32 {
    u64::try_from(span.nanos()).ok().and_then(u64::checked_ilog2).map_or(-1, |log| log as i32)
}

/// A cost as upstream reads it: a decimal number that begins with neither a plus sign nor a
/// superfluous zero, else 0.
fn parse_cost(text: Symbol) -> i32 {
    let text = text.as_str();
    if text.starts_with(['-', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
        text.parse().unwrap_or(0)
    } else {
        0
    }
}

/// The positions in `pods` of the `count` that are given up first. `company(pod)` counts the
/// related active pods on its node.
pub(super) fn victims(
    pods: &[&Pod],
    company: impl Fn(&Pod) -> u32,
    count: usize,
    now: SimTime,
) -> Vec<usize> {
    if count >= pods.len() {
        return (0..pods.len()).collect();
    }
    let cost_key = Symbol::new(DELETION_COST);
    let ranks: Vec<Rank> = pods.iter().map(|pod| Rank::of(pod, company(pod), cost_key)).collect();
    let mut order: Vec<usize> = (0..pods.len()).collect();
    merge_sort(&mut order, &|&a, &b| ranks[a].compare(&ranks[b], now) == Ordering::Greater);
    order.truncate(count);
    order
}

/// A stable sort that ends whatever the comparison says. The ranking is no strict order: equal
/// ages are told apart by restarts, ages of one magnitude by identity, so three pods can form a
/// circle, at which the standard library's sorts may panic.
fn merge_sort(items: &mut Vec<usize>, after: &impl Fn(&usize, &usize) -> bool) {
    if items.len() < 2 {
        return;
    }
    let mut right = items.split_off(items.len() / 2);
    merge_sort(items, after);
    merge_sort(&mut right, after);
    let left = std::mem::take(items);
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if after(a, b) { right.next() } else { left.next() };
        items.extend(next);
    }
    items.extend(left);
    items.extend(right);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use seatrial_api::container::Container;
    use seatrial_api::labels::Labels;
    use seatrial_api::meta::ObjectMeta;
    use seatrial_api::pod::{
        ConditionStatus, ContainerState, ContainerStatus, PodConditionType, PodReason, PodSpec,
    };

    use super::*;

    const NOW: SimTime = SimTime::from_secs(100_000);

    fn pod(change: impl FnOnce(&mut Pod)) -> Pod {
        let spec = Arc::new(PodSpec::new(vec![Container::new("main", "image:1")]).sealed());
        let mut pod = Pod::new(ObjectMeta::named("ns", "pod"), spec);
        pod.node = Some("node".into());
        pod.status.phase = PodPhase::Running;
        pod.meta.created = SimTime::from_secs(10);
        set_ready(&mut pod, ConditionStatus::True, 20);
        change(&mut pod);
        pod
    }

    fn set_ready(pod: &mut Pod, status: ConditionStatus, at: i64) {
        pod.status.conditions = Default::default();
        let at = SimTime::from_secs(at);
        pod.status.conditions.set(PodConditionType::Ready, status, PodReason::None, at);
    }

    fn set_restarts(pod: &mut Pod, restarts: u32) {
        pod.status.containers = Some(Arc::new([ContainerStatus {
            name: "main".into(),
            state: ContainerState::Running { started: SimTime::ZERO },
            last: None,
            restarts,
            ready: true,
            started: true,
        }]));
    }

    fn cost(pod: &mut Pod, text: &str) {
        pod.meta.annotations = Labels::of(&[(DELETION_COST, text)]);
    }

    /// The first pod must be given up before the second, whichever comes first in the list.
    fn check(rule: &str, first: Pod, second: Pod) {
        let company = |pod: &Pod| if pod.node == Some("crowded".into()) { 3 } else { 1 };
        assert_eq!(victims(&[&first, &second], company, 1, NOW), [0], "{rule}");
        assert_eq!(victims(&[&second, &first], company, 1, NOW), [1], "{rule}, the other way round");
    }

    #[test]
    fn each_rule_decides_where_those_before_are_equal() {
        check("unassigned", pod(|p| p.node = None), pod(|p| cost(p, "-5")));
        check("pending", pod(|p| p.status.phase = PodPhase::Pending), pod(|p| cost(p, "-5")));
        check("unknown", pod(|p| p.status.phase = PodPhase::Unknown), pod(|_| {}));
        check("not ready", pod(|p| set_ready(p, ConditionStatus::False, 5)), pod(|p| cost(p, "-5")));
        check("cost", pod(|p| cost(p, "-5")), pod(|p| p.node = Some("crowded".into())));
        check("cost by default 0", pod(|_| {}), pod(|p| cost(p, "1")));
        check("company", pod(|p| p.node = Some("crowded".into())), pod(|p| set_restarts(p, 9)));
        check(
            "ready for less",
            pod(|p| set_ready(p, ConditionStatus::True, 90_000)),
            pod(|p| set_restarts(p, 9)),
        );
        check("restarts", pod(|p| set_restarts(p, 2)), pod(|p| set_restarts(p, 1)));
        check("newer", pod(|p| p.meta.created = SimTime::from_secs(90_000)), pod(|_| {}));
    }

    #[test]
    fn ages_of_one_magnitude_are_decided_by_identity() {
        let aged = |uid, since| {
            pod(move |p| {
                p.meta.uid = Uid::from_bits(0, uid);
                set_ready(p, ConditionStatus::True, since);
            })
        };
        check("identity", aged(1, 20), aged(2, 21));
        check("identity", aged(1, 21), aged(2, 20));
    }

    #[test]
    fn costs_that_are_no_plain_numbers_count_as_zero() {
        for (text, value) in
            [("7", 7), ("-7", -7), ("+7", 0), ("07", 0), ("", 0), ("x", 0), ("-0", 0), ("0", 0)]
        {
            assert_eq!(parse_cost(text.into()), value, "{text:?}");
        }
    }

    #[test]
    fn no_set_of_pods_confuses_the_sort() {
        let pods: Vec<Pod> = (0..40u32)
            .map(|n| {
                pod(|p| {
                    p.meta.uid = Uid::from_bits(0, u64::from(n * 7 % 40));
                    set_ready(p, ConditionStatus::True, 20 + i64::from(n % 3));
                    set_restarts(p, n % 4);
                })
            })
            .collect();
        let refs: Vec<&Pod> = pods.iter().collect();
        let mut chosen = victims(&refs, |_| 1, 39, NOW);
        chosen.sort_unstable();
        chosen.dedup();
        assert_eq!(chosen.len(), 39);
    }
}
