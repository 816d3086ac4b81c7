//! `fgd`: fragmentation gradient descent, towards the node and the device on which placing the pod
//! makes GPU fragmentation grow least.

use std::sync::Arc;

use seatrial_api::gpu::GpuRequest;
use seatrial_api::pod::Pod;

use crate::cluster::{Content, NodeInfo};
use crate::config::{DeviceChoice, ProfileConfiguration};
use crate::fragmentation::{Fragmentation, Room};
use crate::framework::{Cycle, MAX_NODE_SCORE, Plugin, Points, Scope};

use super::{Parameter, Policy, gpu_demand, score_by};

pub(super) const POLICY: Policy = Policy {
    name: "fgd",
    about: "Fragmentation gradient descent: the node, and for sharing pods the device, on which the GPUs that \
            typical pods of the workload can no longer use grow least.",
    formula: "score(n) = ⌊100 × sigmoid((F(n) − F(n with the pod)) / 1000)⌋, for sharing pods the best over the \
              devices that fit; F(n) = Σ_m share_m × (free GPU of n, in thousandths, that typical pod m cannot \
              use)",
    source: "Q. Weng et al., \"Beware of Fragmentation\" (USENIX ATC 2023), section 4: \
             hkust-adsl/kubernetes-scheduler-simulator, pkg/simulator/plugin/fgd_score.go, pkg/utils/frag.go",
    parameters: &[Parameter {
        name: "typical pods",
        default: "learnt from the pods that arrive, again whenever their number has doubled",
        about: "the workload's most frequent demands that cover 95 % of its pods; `seatrial inflate` takes them \
                from the whole list, as the paper does",
    }],
    plugin: Some(|profile| Arc::new(FgdScore::new(profile))),
    adjust: |configuration| {
        score_by(configuration, NAME);
        for profile in &mut configuration.profiles {
            profile.arguments.gpu_sharing.devices = DeviceChoice::Fragmentation;
        }
    },
};

const NAME: &str = "FGDScore";

/// The plugin.
struct FgdScore {
    /// The measure for the workload; learnt if absent.
    fragmentation: Option<Arc<Fragmentation>>,
}

impl FgdScore {
    fn new(profile: &ProfileConfiguration) -> FgdScore {
        FgdScore { fragmentation: profile.arguments.gpu_sharing.fragmentation() }
    }
}

impl Plugin for FgdScore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn points(&self) -> Points {
        Points { score: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Usage
    }

    fn reads(&self, pod: &Pod, content: &mut Content) {
        gpu_demand::read(pod, content);
    }

    fn learns_demand(&self) -> bool {
        self.fragmentation.is_none()
    }

    fn score(&self, cycle: Cycle<'_>, node: &NodeInfo) -> i64 {
        let measure = self.fragmentation.as_ref().or(cycle.cluster.learned_fragmentation());
        let Some(measure) = measure else { return 0 };
        let (room, pod) = (Room::of(node), cycle.pod);
        match pod.spec.gpu.as_deref() {
            _ if pod.spec.derived.requests.is_zero() && pod.spec.gpu.is_none() => MAX_NODE_SCORE,
            Some(request) if request.is_shared() => {
                best_device(measure, &room, pod, request).map_or(0, |(score, _)| score)
            }
            request => {
                let before = measure.of(&room);
                score(before, measure.of(&with_whole(room, pod, request)))
            }
        }
    }
}

/// The score of fragmentation that changes like this.
fn score(before: f64, after: f64) -> i64 {
    let gain = (before - after) / 1000.0;
    (1.0 / (1.0 + libm::exp(-gain)) * MAX_NODE_SCORE as f64) as i64
}

/// The best device for a pod that shares one, with its score; the first of equals. `None` if the pod
/// fits on none.
pub(crate) fn best_device(
    measure: &Fragmentation,
    room: &Room,
    pod: &Pod,
    request: &GpuRequest,
) -> Option<(i64, usize)> {
    let before = measure.of(room);
    let mut after = Room { cpu: room.cpu - pod.spec.derived.non_zero_cpu.get(), ..room.clone() };
    let wanted = i32::from(request.milli);
    let mut best: Option<(i64, usize)> = None;
    for (device, &free) in room.gpus.iter().enumerate() {
        // Devices with equally much free are equally good, and the first one is taken.
        if free < wanted || room.gpus[..device].contains(&free) {
            continue;
        }
        after.gpus[device] = free - wanted;
        let score = score(before, measure.of(&after));
        after.gpus[device] = free;
        if best.is_none_or(|(other, _)| score > other) {
            best = Some((score, device));
        }
    }
    best
}

/// What is left if the pod takes whole GPUs, or none at all.
fn with_whole(mut room: Room, pod: &Pod, request: Option<&GpuRequest>) -> Room {
    room.cpu -= pod.spec.derived.non_zero_cpu.get();
    if let Some(request) = request {
        let wanted = i32::from(request.milli);
        let fitting = room.gpus.iter_mut().filter(|free| **free >= wanted);
        fitting.take(usize::from(request.count)).for_each(|free| *free -= wanted);
    }
    room
}

#[cfg(test)]
mod tests {
    use seatrial_api::container::Container;
    use seatrial_api::meta::ObjectMeta;
    use seatrial_api::pod::PodSpec;
    use seatrial_api::units::MilliCpu;

    use super::*;
    use crate::fragmentation::{Demand, TypicalPod};

    fn pod(cpu: i64, request: Option<GpuRequest>) -> Pod {
        let mut container = Container::new("main", "image:1");
        container.requests.cpu = Some(MilliCpu(cpu));
        let spec = PodSpec { gpu: request.into(), ..PodSpec::new(vec![container]) };
        Pod::new(ObjectMeta::named("default", "pod"), Arc::new(spec.sealed()))
    }

    fn measure(pods: &[(i64, GpuRequest, u64)]) -> Fragmentation {
        let typical = |(cpu, request, count): &(i64, GpuRequest, u64)| TypicalPod {
            demand: Demand { cpu: MilliCpu(*cpu), gpu: Some(Box::new(request.clone())) },
            count: *count,
        };
        Fragmentation::new(&pods.iter().map(typical).collect::<Vec<_>>())
    }

    /// The situation of the paper's introduction: half GPUs are left over on two devices, and a pod
    /// that needs a whole one finds none although a whole one is free in sum.
    #[test]
    fn a_share_goes_where_it_breaks_no_whole_gpu() {
        let measure = measure(&[(1_000, GpuRequest::new(1, 1000), 1)]);
        let share = GpuRequest::new(1, 500);
        let room = Room { cpu: 64_000, model: "T4".into(), gpus: [1000, 500].as_slice().into() };
        let best = best_device(&measure, &room, &pod(1_000, Some(share.clone())), &share);
        // On the open device fragmentation falls by 500, on the free one it would grow by 500.
        assert_eq!(best, Some((62, 1)));
        assert_eq!(score(500.0, 1000.0), 37);
    }

    #[test]
    fn cpu_that_gpus_need_is_spared() {
        let measure = measure(&[(8_000, GpuRequest::new(1, 1000), 1)]);
        let room = |cpu| Room { cpu, model: "T4".into(), gpus: [1000, 1000].as_slice().into() };
        let after = |cpu| measure.of(&with_whole(room(cpu), &pod(4_000, None), None));
        assert_eq!((after(8_000), after(12_000)), (2000.0, 0.0));
        assert_eq!(score(measure.of(&room(12_000)), after(12_000)), 50);
        assert_eq!(score(measure.of(&room(8_000)), after(8_000)), 11);
    }

    #[test]
    fn of_equal_devices_the_first_is_taken_and_none_if_none_fits() {
        let measure = measure(&[(1_000, GpuRequest::new(1, 300), 1)]);
        let room = Room { cpu: 64_000, model: "T4".into(), gpus: [200, 600, 600].as_slice().into() };
        let find = |milli| {
            let share = GpuRequest::new(1, milli);
            best_device(&measure, &room, &pod(1_000, Some(share.clone())), &share)
        };
        assert_eq!(find(300).map(|(_, device)| device), Some(1));
        assert_eq!(find(700), None);
    }
}
