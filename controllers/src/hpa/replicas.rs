//! How many replicas a metric asks for (upstream
//! `pkg/controller/podautoscaler/replica_calculator.go`).
//!
//! Floats appear inside only, as upstream has them; sums are integers and divisions are those of
//! IEEE 754, so the outcome is the same everywhere.

use std::sync::Arc;

use seatrial_api::container::Container;
use seatrial_api::machine::PodMetrics;
use seatrial_api::pod::{ConditionStatus, Pod, PodConditionType, PodPhase, PodSpec};
use seatrial_api::resources::ResourceList;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, Ratio, SimTime, Span};

/// For how long after its start a pod's CPU use counts with reservations.
const CPU_INITIALIZATION: Span = Span::from_secs(300);
/// A pod whose first readiness came so soon after its start was never ready before.
const INITIAL_READINESS_DELAY: Span = Span::from_secs(30);

/// How far a metric may be from its target without consequence, downwards and upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerances {
    /// Below the target.
    pub down: Ratio,
    /// Above it.
    pub up: Ratio,
}

impl Default for Tolerances {
    fn default() -> Tolerances {
        Tolerances { down: Ratio::new(1, 10), up: Ratio::new(1, 10) }
    }
}

impl Tolerances {
    pub(super) fn contain(self, ratio: f64) -> bool {
        (1.0 - self.down.as_f64()) <= ratio && ratio <= (1.0 + self.up.as_f64())
    }
}

/// What a metric of the resource API is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The resource.
    pub name: Symbol,
    /// One container of each pod, or all.
    pub container: Option<Symbol>,
}

impl Resource {
    fn is_cpu(self) -> bool {
        self.name == "cpu"
    }

    /// What a measurement says of the resource, in thousandths.
    fn measured(self, cpu: MilliCpu, memory: Bytes) -> Option<i64> {
        match self.name.as_str() {
            "cpu" => Some(cpu.0),
            "memory" => Some(memory.0.saturating_mul(1000)),
            _ => None,
        }
    }

    /// What a list of requests says of the resource, in thousandths.
    fn requested(self, requests: &ResourceList) -> Option<i64> {
        match self.name.as_str() {
            "cpu" => requests.cpu.map(|amount| amount.0),
            "memory" => requests.memory.map(|amount| amount.0.saturating_mul(1000)),
            "ephemeral-storage" => requests.ephemeral_storage.map(|amount| amount.0.saturating_mul(1000)),
            _ => requests.scalars.find(self.name).map(|amount| amount.saturating_mul(1000)),
        }
    }
}

/// What was measured of one pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The pod's row in the store.
    pub pod: u32,
    /// The value in thousandths.
    pub value: i64,
    /// The end of the window.
    pub sampled_at: SimTime,
    /// The length of the window.
    pub window: Span,
}

impl Resource {
    /// What the metrics server's answer says of the resource. Both lists are in order of pod rows;
    /// a sample that does not tell containers apart is that of a pod with one.
    pub fn samples(self, pods: &[&Arc<Pod>], measured: &[PodMetrics]) -> Vec<Sample> {
        if self.container.is_none() && self.is_cpu() {
            let sample = |&PodMetrics { pod, cpu, sampled_at, window, .. }: &PodMetrics| Sample {
                pod,
                value: cpu.0,
                sampled_at,
                window,
            };
            return measured.iter().map(sample).collect();
        }
        let mut pods = pods.iter().peekable();
        let value = |sample: &PodMetrics, pod: Option<&Pod>| {
            let Some(container) = self.container else { return self.measured(sample.cpu, sample.memory) };
            match &sample.containers {
                Some(containers) => {
                    let found = containers.iter().find(|found| found.name == container)?;
                    self.measured(found.cpu, found.memory)
                }
                None => {
                    let is_its = |pod: &Pod| running_containers(pod).all(|only| only.name == container);
                    pod.is_none_or(is_its).then(|| self.measured(sample.cpu, sample.memory))?
                }
            }
        };
        let sample = |sample: &PodMetrics| {
            while pods.next_if(|pod| pod.meta.id < sample.pod).is_some() {}
            let pod = pods.next_if(|pod| pod.meta.id == sample.pod).map(|pod| &***pod);
            let PodMetrics { pod: row, sampled_at, window, .. } = *sample;
            Some(Sample { pod: row, value: value(sample, pod)?, sampled_at, window })
        };
        measured.iter().filter_map(sample).collect()
    }
}

/// A size and the current value of the metric, in percent or thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// How many replicas.
    pub replicas: i32,
    /// The value.
    pub current: i64,
}

/// What is to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Measurement<'a> {
    /// The resource; `None` for another metric of the pods.
    pub resource: Option<Resource>,
    /// The pods that the scale's selector matches, in order of their rows.
    pub pods: &'a [&'a Arc<Pod>],
    /// The samples in order of pod rows.
    pub samples: &'a [Sample],
    /// The size as specified.
    pub replicas: i32,
    /// Tolerances.
    pub tolerances: Tolerances,
    /// The instant.
    pub now: SimTime,
}

/// A pod in the calculation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    /// It counts with what was measured.
    Ready(i64),
    /// It is not ready yet.
    Unready,
    /// Nothing was measured.
    Missing,
    /// It does not count.
    Ignored,
}

impl Measurement<'_> {
    /// The size that a target in percent of the requests of `resource` asks for.
    ///
    /// # Errors
    /// Why nothing can be said; the message is upstream's.
    pub fn utilization(&self, resource: Resource, target: i32) -> Result<Proposal, String> {
        if let Some(proposal) = self.plain_utilization(resource, target) {
            return Ok(proposal);
        }
        let (members, extra) = self.members()?;
        let mut requests = Requests::of(resource);
        let requests =
            self.pods.iter().map(|pod| requests.of_pod(pod)).collect::<Result<Vec<i64>, String>>()?;
        let ratio_of = |values: &[Option<i64>]| {
            let counted =
                values.iter().zip(&requests).filter_map(|(value, request)| Some(((*value)?, *request)));
            let (used, requested) = counted
                .fold((0i64, 0i64), |sum, row| (sum.0.saturating_add(row.0), sum.1.saturating_add(row.1)));
            if requested == 0 {
                return Err("no metrics returned matched known pods".to_string());
            }
            let percent = used.saturating_mul(100) / requested;
            Ok((percent as f64 / f64::from(target), percent))
        };
        let fallback = i64::from(target.max(100));
        self.propose(&members, extra.len(), ratio_of, |index| requests[index].saturating_mul(fallback) / 100)
    }

    /// The same in one pass over the pods, where each has a sample and none is starting: as it is
    /// nearly always. `None` where it is not.
    fn plain_utilization(&self, resource: Resource, target: i32) -> Option<Proposal> {
        if self.samples.len() != self.pods.len() {
            return None;
        }
        let is_cpu = resource.is_cpu();
        let mut requests = Requests::of(resource);
        let (mut used, mut requested) = (0i64, 0i64);
        for (pod, sample) in self.pods.iter().zip(self.samples) {
            let is_special = pod.meta.id != sample.pod
                || pod.meta.is_deleting()
                || matches!(pod.status.phase, PodPhase::Failed | PodPhase::Pending)
                || is_cpu && self.is_starting(pod, sample);
            if is_special {
                return None;
            }
            used = used.saturating_add(sample.value);
            requested = requested.saturating_add(requests.of_pod(pod).ok()?);
        }
        if requested == 0 {
            return None;
        }
        let current = used.saturating_mul(100) / requested;
        let ratio = current as f64 / f64::from(target);
        let replicas = match self.tolerances.contain(ratio) {
            true => self.replicas,
            false => (ratio * self.pods.len() as f64).ceil() as i32,
        };
        Some(Proposal { replicas, current })
    }

    /// The size that a target for the average, in thousandths, asks for.
    ///
    /// # Errors
    /// Why nothing can be said; the message is upstream's.
    pub fn average_value(&self, target: i64) -> Result<Proposal, String> {
        let (members, extra) = self.members()?;
        let foreign = extra.iter().fold(0i64, |sum, value| sum.saturating_add(*value));
        let ratio_of = |values: &[Option<i64>]| {
            let count = values.iter().flatten().count() + extra.len();
            let used = values.iter().flatten().fold(foreign, |sum, value| sum.saturating_add(*value));
            let average = used / count.max(1) as i64;
            Ok((average as f64 / target as f64, average))
        };
        self.propose(&members, extra.len(), ratio_of, |_| target)
    }

    /// What both targets have in common. `ratio_of` relates values (absent ones do not count) to
    /// the target; `fallback` is what a pod without sample counts with when the size may fall.
    fn propose(
        &self,
        members: &[Member],
        extra: usize,
        ratio_of: impl Fn(&[Option<i64>]) -> Result<(f64, i64), String>,
        fallback: impl Fn(usize) -> i64,
    ) -> Result<Proposal, String> {
        let measured = |member: &Member| if let Member::Ready(value) = member { Some(*value) } else { None };
        let mut values: Vec<Option<i64>> = members.iter().map(measured).collect();
        let ready = values.iter().flatten().count();
        let (ratio, current) = ratio_of(&values)?;
        let stay = Proposal { replicas: self.replicas, current };
        let grows_with_unready = ratio > 1.0 && members.contains(&Member::Unready);
        if !grows_with_unready && !members.contains(&Member::Missing) {
            let replicas = (ratio * ready as f64).ceil() as i32;
            return Ok(if self.tolerances.contain(ratio) { stay } else { Proposal { replicas, current } });
        }

        for (index, (value, member)) in values.iter_mut().zip(members).enumerate() {
            match member {
                Member::Missing if ratio < 1.0 => *value = Some(fallback(index)),
                Member::Missing if ratio > 1.0 => *value = Some(0),
                Member::Unready if grows_with_unready => *value = Some(0),
                _ => {}
            }
        }
        let (refilled, _) = ratio_of(&values)?;
        let flips = (ratio < 1.0 && refilled > 1.0) || (ratio > 1.0 && refilled < 1.0);
        if self.tolerances.contain(refilled) || flips {
            return Ok(stay);
        }
        let count = values.iter().flatten().count() + extra;
        let replicas = (refilled * count as f64).ceil() as i32;
        let contradicts =
            (refilled < 1.0 && replicas > self.replicas) || (refilled > 1.0 && replicas < self.replicas);
        Ok(if contradicts { stay } else { Proposal { replicas, current } })
    }

    /// The pods as they count, and samples of pods that are not known (any more).
    fn members(&self) -> Result<(Vec<Member>, Vec<i64>), String> {
        if self.pods.is_empty() {
            return Err("no pods returned by selector while calculating replica count".to_string());
        }
        let is_cpu = self.resource.is_some_and(Resource::is_cpu);
        let mut extra = Vec::new();
        let mut samples = self.samples.iter().peekable();
        let mut members = Vec::with_capacity(self.pods.len());
        for pod in self.pods {
            while let Some(foreign) = samples.next_if(|sample| sample.pod < pod.meta.id) {
                extra.push(foreign.value);
            }
            let sample = samples.next_if(|sample| sample.pod == pod.meta.id);
            members.push(self.member(pod, sample, is_cpu));
        }
        extra.extend(samples.map(|sample| sample.value));
        let nothing = !members.iter().any(|member| matches!(member, Member::Ready(_))) && extra.is_empty();
        if nothing {
            return Err("did not receive metrics for targeted pods (pods might be unready)".to_string());
        }
        Ok((members, extra))
    }

    fn member(&self, pod: &Pod, sample: Option<&Sample>, is_cpu: bool) -> Member {
        if pod.meta.is_deleting() || pod.status.phase == PodPhase::Failed {
            return Member::Ignored;
        }
        if pod.status.phase == PodPhase::Pending {
            return Member::Unready;
        }
        let Some(sample) = sample else { return Member::Missing };
        if is_cpu && self.is_starting(pod, sample) { Member::Unready } else { Member::Ready(sample.value) }
    }

    /// Whether a pod's CPU use is still that of its start.
    fn is_starting(&self, pod: &Pod, sample: &Sample) -> bool {
        let ready = pod.status.conditions.get(PodConditionType::Ready);
        let is_long_ago = |start: SimTime| start + CPU_INITIALIZATION <= self.now;
        if ready.is_true() && pod.status.start_time.is_some_and(is_long_ago) {
            return false;
        }
        let Some(started) = pod.status.start_time.map(SimTime::truncate_to_second) else { return true };
        let is_false = match ready.status {
            ConditionStatus::Absent => return true,
            status => status == ConditionStatus::False,
        };
        if started + CPU_INITIALIZATION > self.now {
            is_false || sample.sampled_at < ready.since() + sample.window
        } else {
            is_false && started + INITIAL_READINESS_DELAY > ready.since()
        }
    }
}

/// What pods request of a resource; those that share a specification request the same.
struct Requests<'a> {
    resource: Resource,
    last: Option<(&'a Arc<PodSpec>, i64)>,
}

impl<'a> Requests<'a> {
    fn of(resource: Resource) -> Requests<'a> {
        Requests { resource, last: None }
    }

    #[inline]
    fn of_pod(&mut self, pod: &'a Pod) -> Result<i64, String> {
        match self.last {
            Some((spec, request)) if Arc::ptr_eq(spec, &pod.spec) => Ok(request),
            _ => self.of_other_pod(pod),
        }
    }

    #[cold]
    fn of_other_pod(&mut self, pod: &'a Pod) -> Result<i64, String> {
        let request = self.resource.request(pod)?;
        self.last = Some((&pod.spec, request));
        Ok(request)
    }
}

impl Resource {
    /// What a pod requests of the resource, in thousandths.
    fn request(self, pod: &Pod) -> Result<i64, String> {
        let Resource { name, container } = self;
        let pod_name = &pod.meta.name;
        if let (Some(list), None) = (&pod.spec.pod_requests, container) {
            let whole = ResourceList {
                cpu: Some(pod.spec.derived.requests.cpu).filter(|amount| amount.0 > 0),
                memory: Some(pod.spec.derived.requests.memory).filter(|amount| amount.0 > 0),
                ..list.clone()
            };
            let missing = || format!("missing pod-level request for {name} in Pod {pod_name}");
            return self.requested(&whole).ok_or_else(missing);
        }
        let mut sum = 0i64;
        for member in running_containers(pod) {
            if container.is_some_and(|wanted| wanted != member.name) {
                continue;
            }
            let missing =
                || format!("missing request for {name} in container {} of Pod {pod_name}", member.name);
            sum = sum.saturating_add(self.requested(&member.requests).ok_or_else(missing)?);
            if container.is_some() {
                return Ok(sum);
            }
        }
        match container {
            Some(container) => Err(format!("container {container} not found in Pod {pod_name}")),
            None => Ok(sum),
        }
    }
}

/// Containers and sidecars.
fn running_containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    let sidecars = pod.spec.init_containers.iter().filter(|container| container.is_sidecar());
    pod.spec.containers.iter().chain(sidecars)
}

#[cfg(test)]
mod tests {
    use super::*;
    use seatrial_api::machine::ContainerMetrics;
    use seatrial_api::meta::{Deletion, ObjectMeta};
    use seatrial_api::pod::{PodReason, PodSpec};

    /// How a pod is.
    #[derive(Clone, Copy)]
    enum Is {
        /// Ready, using so many millicores.
        Ready(i64),
        /// Running and never ready, using so many.
        Unready(i64),
        /// Pending.
        Pending,
        /// Ready without a sample.
        Missing,
        /// Failed, with a sample.
        Failed(i64),
        /// Terminating, with a sample.
        Deleting(i64),
    }

    const NOW: SimTime = SimTime::from_secs(10_000);

    fn pod(row: u32, request: Option<i64>, is: Is) -> Arc<Pod> {
        let mut container = Container::new("c", "i");
        container.requests.cpu = request.map(MilliCpu);
        let spec = PodSpec::new(vec![container]).sealed();
        let mut pod = Pod::new(ObjectMeta::named("ns", &format!("p{row}")), Arc::new(spec));
        pod.meta.id = row;
        pod.status.phase = PodPhase::Running;
        let started = SimTime::from_secs(5_000);
        pod.status.start_time = Some(started);
        let mut ready = (ConditionStatus::True, started + Span::from_secs(60));
        match is {
            Is::Unready(_) => ready = (ConditionStatus::False, started),
            Is::Pending => pod.status.phase = PodPhase::Pending,
            Is::Failed(_) => pod.status.phase = PodPhase::Failed,
            Is::Deleting(_) => pod.meta.set_deletion(Some(Deletion { at: NOW, grace_seconds: 30 })),
            Is::Ready(_) | Is::Missing => {}
        }
        pod.status.conditions.set(PodConditionType::Ready, ready.0, PodReason::None, ready.1);
        Arc::new(pod)
    }

    fn cpu() -> Resource {
        Resource { name: "cpu".into(), container: None }
    }

    fn sample(pod: u32, cpu: i64) -> Sample {
        Sample { pod, value: cpu, sampled_at: NOW, window: Span::from_secs(30) }
    }

    fn samples(states: &[Is]) -> Vec<Sample> {
        let value = |is: &Is| match *is {
            Is::Ready(value) | Is::Unready(value) | Is::Failed(value) | Is::Deleting(value) => Some(value),
            Is::Pending | Is::Missing => None,
        };
        states.iter().enumerate().filter_map(|(row, is)| Some(sample(row as u32, value(is)?))).collect()
    }

    fn measure<T>(
        states: &[Is],
        request: Option<i64>,
        replicas: i32,
        judge: impl Fn(&Measurement<'_>) -> T,
    ) -> T {
        let pods: Vec<_> = states.iter().enumerate().map(|(row, is)| pod(row as u32, request, *is)).collect();
        let pods: Vec<&Arc<Pod>> = pods.iter().collect();
        let samples = samples(states);
        judge(&Measurement {
            resource: Some(cpu()),
            pods: &pods,
            samples: &samples,
            replicas,
            tolerances: Tolerances::default(),
            now: NOW,
        })
    }

    #[test]
    fn utilization_scales_with_tolerance_and_careful_guesses() {
        use Is::{Deleting, Failed, Missing, Pending, Ready, Unready};
        // States, size, target percent, expected size and percent; each pod requests 1000 m.
        let rows: [(&[Is], i32, i32, i32, i64); 14] = [
            (&[Ready(300), Ready(500), Ready(700)], 3, 30, 5, 50),
            (&[Ready(500), Ready(500)], 2, 50, 2, 50),
            (&[Ready(550), Ready(550)], 2, 50, 2, 55),
            (&[Ready(560), Ready(560)], 2, 50, 3, 56),
            (&[Ready(450), Ready(450)], 2, 50, 2, 45),
            (&[Ready(440), Ready(440), Ready(440), Ready(440)], 4, 50, 4, 44),
            (&[Ready(100), Ready(100), Ready(100), Ready(100)], 4, 50, 1, 10),
            // Growing: an unready pod counts as idle, a missing one too.
            (&[Ready(900), Ready(900), Unready(900)], 3, 50, 4, 90),
            (&[Ready(900), Ready(900), Pending], 3, 50, 4, 90),
            (&[Ready(600), Missing], 2, 50, 2, 60),
            // Shrinking: a missing pod counts as using all it requests.
            (&[Ready(100), Ready(100), Ready(100), Missing], 4, 50, 3, 10),
            (&[Ready(10), Ready(10), Ready(10), Ready(10), Missing], 5, 90, 2, 1),
            (&[Ready(100), Ready(100), Failed(900), Deleting(900)], 2, 50, 1, 10),
            (&[Ready(100), Ready(100), Unready(10)], 3, 50, 1, 10),
        ];
        for (states, replicas, target, expected, percent) in rows {
            let found = measure(states, Some(1000), replicas, |m| m.utilization(cpu(), target));
            assert_eq!(
                found,
                Ok(Proposal { replicas: expected, current: percent }),
                "{replicas} of {target} %"
            );
        }
    }

    #[test]
    fn an_average_value_scales_without_requests() {
        use Is::{Missing, Ready};
        let rows: [(&[Is], i32, i64, i32, i64); 4] = [
            (&[Ready(300), Ready(500)], 2, 200, 4, 400),
            (&[Ready(210), Ready(210)], 2, 200, 2, 210),
            (&[Ready(50), Ready(50), Missing], 3, 200, 2, 50),
            (&[Ready(50), Ready(50), Ready(50)], 3, 200, 1, 50),
        ];
        for (states, replicas, target, expected, current) in rows {
            let found = measure(states, None, replicas, |m| m.average_value(target));
            assert_eq!(found, Ok(Proposal { replicas: expected, current }), "{replicas} of {target}");
        }
    }

    #[test]
    fn what_cannot_be_measured_is_an_error() {
        use Is::{Missing, Pending, Ready, Unready};
        let rows: [(&[Is], Option<i64>, &str); 5] = [
            (&[], Some(1), "no pods returned by selector while calculating replica count"),
            (&[Missing], Some(1), "did not receive metrics for targeted pods (pods might be unready)"),
            (
                &[Unready(5), Pending],
                Some(1),
                "did not receive metrics for targeted pods (pods might be unready)",
            ),
            (&[Ready(5)], None, "missing request for cpu in container c of Pod p0"),
            (&[Ready(5)], Some(0), "no metrics returned matched known pods"),
        ];
        for (states, request, expected) in rows {
            let found = measure(states, request, 1, |m| m.utilization(cpu(), 50));
            assert_eq!(found, Err(expected.to_string()));
        }
    }

    #[test]
    fn cpu_of_a_pod_that_has_just_started_counts_only_once_it_was_ready_for_a_window() {
        let judge = |started: i64, ready_since: i64, status: ConditionStatus, sampled: i64| {
            let mut subject = Pod::clone(&pod(0, Some(100), Is::Ready(0)));
            subject.status.start_time = Some(SimTime::from_secs(started));
            subject.status.conditions = Default::default();
            let since = SimTime::from_secs(ready_since);
            subject.status.conditions.set(PodConditionType::Ready, status, PodReason::None, since);
            let measured = Sample { sampled_at: SimTime::from_secs(sampled), ..sample(0, 10) };
            let measurement = Measurement {
                resource: Some(cpu()),
                pods: &[],
                samples: &[],
                replicas: 1,
                tolerances: Tolerances::default(),
                now: NOW,
            };
            measurement.is_starting(&subject, &measured)
        };
        use ConditionStatus::{False, True, Unknown};
        assert!(judge(9_900, 9_950, True, 9_979), "sampled before a full window of readiness");
        assert!(!judge(9_900, 9_950, True, 9_980));
        assert!(judge(9_900, 9_950, False, 9_990));
        assert!(!judge(9_900, 9_950, Unknown, 9_990));
        assert!(judge(9_000, 9_010, False, 9_990), "old, and never ready");
        assert!(!judge(9_000, 9_900, False, 9_990), "old, and was ready");
    }

    #[test]
    fn samples_of_pods_that_are_gone_count_in_averages_only() {
        let pods = [pod(1, Some(1000), Is::Ready(0))];
        let pods: Vec<&Arc<Pod>> = pods.iter().collect();
        let samples = [sample(0, 900), sample(1, 300), sample(2, 900)];
        let measurement = Measurement {
            resource: Some(cpu()),
            pods: &pods,
            samples: &samples,
            replicas: 1,
            tolerances: Tolerances::default(),
            now: NOW,
        };
        assert_eq!(measurement.utilization(cpu(), 50), Ok(Proposal { replicas: 1, current: 30 }));
        assert_eq!(measurement.average_value(700), Ok(Proposal { replicas: 1, current: 700 }));
    }

    #[test]
    fn another_metric_of_the_pods_knows_no_start() {
        let mut young = Pod::clone(&pod(0, None, Is::Unready(0)));
        young.status.start_time = Some(NOW - Span::from_secs(5));
        let young = Arc::new(young);
        let (samples, pods) = ([sample(0, 400)], [&young]);
        let measurement = |resource| Measurement {
            resource,
            pods: &pods,
            samples: &samples,
            replicas: 1,
            tolerances: Tolerances::default(),
            now: NOW,
        };
        assert_eq!(measurement(None).average_value(200), Ok(Proposal { replicas: 2, current: 400 }));
        assert!(measurement(Some(cpu())).average_value(200).is_err(), "CPU of a starting pod does not count");
    }

    #[test]
    fn single_containers_are_found_in_the_samples_of_their_pods() {
        let two = |row| {
            let mut spec = PodSpec::new(vec![Container::new("app", "i"), Container::new("proxy", "i")]);
            spec.containers[0].requests.cpu = Some(MilliCpu(100));
            let mut pod = Pod::new(ObjectMeta::named("ns", &format!("p{row}")), Arc::new(spec.sealed()));
            pod.meta.id = row;
            Arc::new(pod)
        };
        let (pods, single) = ([two(1), two(2)], pod(3, Some(100), Is::Ready(0)));
        let pods = [&pods[0], &pods[1], &single];
        let container =
            |name: &str, cpu| ContainerMetrics { name: name.into(), cpu: MilliCpu(cpu), memory: Bytes(1) };
        let measured = |pod, containers| PodMetrics {
            pod,
            cpu: MilliCpu(90),
            memory: Bytes(7),
            sampled_at: NOW,
            window: Span::from_secs(15),
            containers,
        };
        let measured = [
            measured(1, Some([container("app", 70), container("proxy", 20)].into())),
            measured(2, Some([container("proxy", 30)].into())),
            measured(3, None),
        ];
        let values = |name: &str, container: Option<&str>| {
            let resource = Resource { name: name.into(), container: container.map(Symbol::new) };
            resource.samples(&pods, &measured).iter().map(|s| (s.pod, s.value)).collect::<Vec<_>>()
        };
        assert_eq!(values("cpu", Some("app")), [(1, 70)]);
        assert_eq!(values("cpu", Some("proxy")), [(1, 20), (2, 30)]);
        assert_eq!(values("cpu", Some("c")), [(3, 90)], "the only container of its pod");
        assert_eq!(values("memory", None), [(1, 7000), (2, 7000), (3, 7000)]);
    }
}
