//! Which pods are evicted so that others come with what is recommended (upstream, in the autoscaler's
//! repository, `vertical-pod-autoscaler/pkg/updater`).

use std::cmp::Reverse;
use std::sync::Arc;

use seatrial_api::pod::{Pod, PodPhase};
use seatrial_api::units::{SimTime, Span};
use seatrial_api::vertical::{ContainerRecommendation, CpuAndMemory, VerticalPodAutoscaler};

/// So many pods must live before one is evicted, unless the autoscaler says otherwise.
const MIN_REPLICAS: i32 = 2;
/// This share of a workload may be missing, in percent.
const TOLERANCE_PERCENT: i64 = 50;
/// A pod within its bounds is replaced only when it is so old …
const LIFETIME: Span = Span::from_secs(12 * 3_600);
/// … and its requests are so far from the target, as a share of them.
const MIN_CHANGE: f64 = 0.1;

/// A pod that may be replaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) pod: &'a Arc<Pod>,
    /// Whether one of its containers ran out of memory soon after its start.
    pub(super) quick_oom: bool,
}

/// What speaks for the replacement of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Priority {
    outside: bool,
    must_grow: bool,
    change: f64,
}

/// The pods to evict, in order. `configured` is the size of the workload as specified.
pub(super) fn plan<'a>(
    autoscaler: &VerticalPodAutoscaler,
    candidates: &[Candidate<'a>],
    configured: i32,
    now: SimTime,
) -> Vec<&'a Arc<Pod>> {
    let alive = |pod: &Pod| {
        !pod.meta.is_deleting() && !matches!(pod.status.phase, PodPhase::Succeeded | PodPhase::Failed)
    };
    let alive: Vec<&Candidate<'a>> = candidates.iter().filter(|candidate| alive(candidate.pod)).collect();
    let least = autoscaler.min_replicas.unwrap_or(MIN_REPLICAS);
    if i64::from(least) > alive.len() as i64 {
        return Vec::new();
    }
    let mut wanted: Vec<(Priority, &Candidate<'a>)> = alive
        .iter()
        .filter_map(|&candidate| {
            let priority = priority(autoscaler, candidate.pod);
            is_due(priority, candidate, now).then_some((priority, candidate))
        })
        .collect();
    wanted.sort_by(|a, b| {
        let key = |row: &(Priority, &Candidate<'_>)| (Reverse(row.0.must_grow), row.1.pod.meta.id);
        let by_change = b.0.change.total_cmp(&a.0.change);
        key(a).0.cmp(&key(b).0).then(by_change).then(key(a).1.cmp(&key(b).1))
    });
    let is_pending = |pod: &Pod| pod.status.phase == PodPhase::Pending;
    let running = alive.iter().filter(|candidate| !is_pending(candidate.pod)).count() as i64;
    let configured = i64::from(configured);
    let tolerance = configured * TOLERANCE_PERCENT / 100;
    let mut evicted = 0;
    let mut plan = Vec::new();
    for (_, candidate) in wanted {
        let allowed = is_pending(candidate.pod)
            || running - evicted > configured - tolerance
            || (tolerance == 0 && running == configured && evicted == 0);
        if allowed {
            evicted += i64::from(!is_pending(candidate.pod));
            plan.push(candidate.pod);
        }
    }
    plan
}

fn is_due(priority: Priority, candidate: &Candidate<'_>, now: SimTime) -> bool {
    if candidate.quick_oom {
        return priority.outside || priority.change > 0.0;
    }
    let old = candidate.pod.status.start_time.is_some_and(|started| started + LIFETIME <= now);
    priority.outside || (old && priority.change >= MIN_CHANGE)
}

fn priority(autoscaler: &VerticalPodAutoscaler, pod: &Pod) -> Priority {
    let mut priority = Priority::default();
    // Of CPU and memory: what all containers request, and what they should.
    let mut totals = [(0i64, 0i64); 2];
    for container in &pod.spec.containers {
        let recommended = autoscaler.status.recommendation.iter();
        let Some(wanted) = recommended
            .filter(|found| found.container == container.name)
            .find(|found| !autoscaler.policy(found.container).is_off)
        else {
            continue;
        };
        let ContainerRecommendation { target, lower_bound, upper_bound, .. } = *wanted;
        let requests = [container.requests.cpu.map(|r| r.0), container.requests.memory.map(|r| r.0)];
        let both = |amounts: CpuAndMemory| [amounts.cpu.map(|a| a.0), amounts.memory.map(|a| a.0)];
        let (target, lower, upper) = (both(target), both(lower_bound), both(upper_bound));
        for resource in 0..2 {
            let Some(target) = target[resource] else { continue };
            totals[resource].1 += target;
            match requests[resource] {
                Some(request) => {
                    totals[resource].0 += request;
                    priority.must_grow |= target > request;
                    priority.outside |= lower[resource].is_some_and(|lower| request < lower)
                        || upper[resource].is_some_and(|upper| request > upper);
                }
                None => {
                    priority.must_grow = true;
                    priority.outside = true;
                }
            }
        }
    }
    priority.change = totals.iter().map(|&(old, new)| (old - new).abs() as f64 / (old as f64).max(1.0)).sum();
    priority
}

#[cfg(test)]
mod tests {
    use super::*;
    use seatrial_api::container::Container;
    use seatrial_api::meta::ObjectMeta;
    use seatrial_api::pod::PodSpec;
    use seatrial_api::units::{Bytes, MilliCpu};
    use seatrial_api::vertical::{UpdateMode, VpaStatus};

    const NOW: SimTime = SimTime::from_secs(100_000);

    fn pod(row: u32, cpu: Option<i64>, age_hours: i64, phase: PodPhase) -> Arc<Pod> {
        let mut container = Container::new("c", "i");
        container.requests.cpu = cpu.map(MilliCpu);
        container.requests.memory = Some(Bytes(100));
        let spec = PodSpec::new(vec![container]).sealed();
        let mut pod = Pod::new(ObjectMeta::named("ns", &format!("p{row}")), Arc::new(spec));
        pod.meta.id = row;
        pod.status.phase = phase;
        pod.status.start_time = Some(NOW - Span::from_secs(age_hours * 3_600));
        Arc::new(pod)
    }

    fn autoscaler() -> VerticalPodAutoscaler {
        let amounts = |cpu| CpuAndMemory { cpu: Some(MilliCpu(cpu)), memory: Some(Bytes(100)) };
        let recommendation = ContainerRecommendation {
            container: "c".into(),
            target: amounts(200),
            lower_bound: amounts(150),
            upper_bound: amounts(400),
            uncapped_target: amounts(200),
        };
        VerticalPodAutoscaler {
            meta: ObjectMeta::named("ns", "vpa"),
            target_kind: "Deployment".into(),
            target_api_version: "apps/v1".into(),
            target_name: "web".into(),
            update_mode: UpdateMode::Recreate,
            min_replicas: None,
            policies: Box::default(),
            status: VpaStatus { recommendation: vec![recommendation], conditions: Vec::new() },
        }
    }

    fn evicted(
        autoscaler: &VerticalPodAutoscaler,
        pods: &[Arc<Pod>],
        quick: &[u32],
        configured: i32,
    ) -> Vec<u32> {
        let candidates: Vec<Candidate<'_>> =
            pods.iter().map(|pod| Candidate { pod, quick_oom: quick.contains(&pod.meta.id) }).collect();
        plan(autoscaler, &candidates, configured, NOW).iter().map(|pod| pod.meta.id).collect()
    }

    #[test]
    fn pods_are_replaced_when_they_are_outside_their_bounds_or_old_and_far_from_the_target() {
        use PodPhase::Running;
        for (cpu, hours, quick, expected) in [
            (Some(100), 0, false, true),
            (Some(149), 0, false, true),
            (Some(150), 0, false, false),
            (Some(401), 0, false, true),
            (None, 0, false, true),
            (Some(300), 11, false, false),
            (Some(300), 12, false, true),
            (Some(195), 100, false, false),
            (Some(200), 0, true, false),
            (Some(201), 0, true, true),
        ] {
            let pods = [pod(1, cpu, hours, Running), pod(2, Some(200), 0, Running)];
            let found = evicted(&autoscaler(), &pods, if quick { &[1] } else { &[] }, 2);
            assert_eq!(found == [1], expected, "{cpu:?} {hours} h, {found:?}");
        }
    }

    #[test]
    fn half_of_a_workload_stays_and_a_lone_pod_is_left_alone() {
        use PodPhase::{Pending, Running};
        let running = |rows: std::ops::RangeInclusive<u32>| {
            rows.map(|row| pod(row, Some(100), 0, Running)).collect::<Vec<_>>()
        };
        for (pods, configured, expected) in [
            (running(1..=1), 1, &[][..]),
            (running(1..=2), 2, &[1]),
            (running(1..=4), 4, &[1, 2]),
            (running(1..=5), 5, &[1, 2]),
            // One is missing already.
            (running(1..=3), 4, &[1]),
            (running(1..=2), 4, &[]),
            ([running(1..=2), vec![pod(3, Some(100), 0, Pending)]].concat(), 4, &[3]),
        ] {
            assert_eq!(
                evicted(&autoscaler(), &pods, &[], configured),
                expected,
                "{} of {configured}",
                pods.len()
            );
        }
        let alone = VerticalPodAutoscaler { min_replicas: Some(1), ..autoscaler() };
        assert_eq!(evicted(&alone, &running(1..=1), &[], 1), [1]);
        let many = VerticalPodAutoscaler { min_replicas: Some(5), ..autoscaler() };
        assert_eq!(evicted(&many, &running(1..=4), &[], 4), Vec::<u32>::new());
    }

    #[test]
    fn those_that_must_grow_come_first_and_the_larger_change_before_the_smaller() {
        use PodPhase::Running;
        let pods = [
            pod(1, Some(900), 0, Running),
            pod(2, Some(140), 0, Running),
            pod(3, Some(50), 0, Running),
            pod(4, Some(2_000), 0, Running),
        ];
        let all = VerticalPodAutoscaler { min_replicas: Some(1), ..autoscaler() };
        assert_eq!(evicted(&all, &pods, &[], 0), [3, 2, 4, 1]);
    }
}
