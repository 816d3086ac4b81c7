//! Resources changed in place: what is allocated to a pod, which may be less than it asks for now,
//! and what is in force (upstream `allocation/allocation_manager.go`, `kuberuntime_manager.go`).

use std::sync::Arc;

use compact_str::CompactString;
use seatrial_api::container::Container;
use seatrial_api::machine::Severity;
use seatrial_api::pod::{ConditionStatus, Pod, PodPhase, PodSpec};
use seatrial_api::resources::{ResourceList, Resources};
use seatrial_api::runtime::{ContainerId, RuntimeCommand};
use seatrial_api::status_detail::{ContainerAllocation, OtherCondition};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use crate::admission::{Occupancy, out_of, shortages};
use crate::machine::{Fx, Kubelets};
use crate::rows::{Flag, PodRow};

/// The condition of pods all of whose containers may begin anew. It stands last in a status.
pub const ALL_CONTAINERS_RESTARTING: &str = "AllContainersRestarting";

/// A pod whose resources were changed.
#[derive(Clone, Debug)]
pub(crate) struct Resize {
    /// The specification with what is allocated.
    allocated: Arc<PodSpec>,
    /// What is in force, by position of the container.
    actual: Vec<(ResourceList, ResourceList)>,
    /// Why what is asked for cannot be allocated now, if it cannot.
    pending: Option<CompactString>,
    /// Whether what is allocated is not in force yet.
    in_progress: bool,
}

impl PodRow {
    fn resize(&self) -> Option<&Resize> {
        self.extra.as_ref()?.resize.as_deref()
    }

    /// What counts as used by the pod.
    pub(crate) fn allocated_requests(&self) -> &Resources {
        self.resize().map_or(&self.pod.spec.derived.requests, |resize| &resize.allocated.derived.requests)
    }

    /// What is allocated to a container and what is in force of it, if it has any resources.
    pub(crate) fn allocation(&self, index: usize) -> Option<Box<ContainerAllocation>> {
        let (allocated, requests, limits) = match self.resize() {
            Some(resize) => {
                let (requests, limits) = resize.actual.get(index)?;
                (&resize.allocated.all_containers().nth(index)?.requests, requests, limits)
            }
            None => {
                let container = self.container(index)?;
                (&container.requests, &container.requests, &container.limits)
            }
        };
        let any = !(allocated.is_empty() && requests.is_empty() && limits.is_empty());
        any.then(|| {
            Box::new(ContainerAllocation {
                requests: requests.clone(),
                limits: limits.clone(),
                allocated: allocated.clone(),
            })
        })
    }

    /// Whether a running container must be restarted for its new resources.
    pub(crate) fn restarts_to_resize(&self, index: usize) -> bool {
        let Some(resize) = self.resize() else { return false };
        let (Some(container), Some((requests, limits))) =
            (resize.allocated.all_containers().nth(index), resize.actual.get(index))
        else {
            return false;
        };
        let cpu = (container.requests.cpu, container.limits.cpu) != (requests.cpu, limits.cpu);
        let memory = (container.requests.memory, container.limits.memory) != (requests.memory, limits.memory);
        container.resize_restarts.cpu && cpu || container.resize_restarts.memory && memory
    }

    /// A new instance has what is allocated now.
    pub(crate) fn resized_by_start(&mut self, index: usize) {
        let Some(resize) = self.extra.as_mut().and_then(|extra| extra.resize.as_mut()) else { return };
        let container = resize.allocated.all_containers().nth(index);
        if let (Some(container), Some(actual)) = (container, resize.actual.get_mut(index)) {
            *actual = (container.requests.clone(), container.limits.clone());
        }
    }
}

/// The conditions that tell of a change of resources, and of containers that all begin anew.
pub(crate) fn conditions(row: &PodRow, phase: PodPhase) -> Vec<OtherCondition> {
    let condition = |kind: &str, status, reason: &str, message: &str| OtherCondition {
        kind: Symbol::new(kind),
        status,
        reason: Symbol::new(reason),
        message: message.into(),
    };
    let mut conditions = Vec::new();
    if let Some(resize) = row.resize() {
        if let Some(why) = &resize.pending {
            conditions.push(condition("PodResizePending", ConditionStatus::True, "Deferred", why));
        }
        if resize.in_progress {
            conditions.push(condition("PodResizeInProgress", ConditionStatus::True, "", ""));
        }
    }
    conditions.extend(crate::restart_all::condition(row, phase));
    conditions
}

/// Whether two specifications differ in resources that can be changed in place.
fn differ(a: &PodSpec, b: &PodSpec) -> bool {
    let of = |spec: &PodSpec| -> Vec<(ResourceList, ResourceList)> { all_resources(spec) };
    of(a) != of(b)
}

fn all_resources(spec: &PodSpec) -> Vec<(ResourceList, ResourceList)> {
    let all = spec.init_containers.iter().chain(&spec.containers);
    all.map(|one| (one.requests.clone(), one.limits.clone())).collect()
}

impl Kubelets {
    /// The pod may ask for other resources than before.
    pub(crate) fn resources_changed(&mut self, now: SimTime, slot: usize, before: &Pod, fx: &mut Fx) {
        let row = &mut self.pods[slot];
        if row.resize().is_none() && !differ(&before.spec, &row.pod.spec) {
            return;
        }
        row.extra_mut().resize.get_or_insert_with(|| {
            Box::new(Resize {
                allocated: Arc::clone(&before.spec),
                actual: all_resources(&before.spec),
                pending: None,
                in_progress: false,
            })
        });
        self.allocate(now, slot, fx);
    }

    /// Allocates what the pod asks for, if the node has it.
    fn allocate(&mut self, now: SimTime, slot: usize, fx: &mut Fx) {
        let row = &self.pods[slot];
        let Some(resize) = row.resize() else { return };
        if !differ(&resize.allocated, &row.pod.spec) {
            return;
        }
        let node = &self.nodes[row.node as usize];
        let mut others = node.used.clone();
        let mut pods = node.active;
        if row.is(Flag::Counted) {
            others.subtract(row.allocated_requests());
            pods -= 1;
        }
        let short = shortages(&row.pod, &node.node, Occupancy { requests: &others, pods });
        let object = self.pod_ref(slot);
        let pod = Arc::clone(&row.pod);
        if let Some(&first) = short.first() {
            let refusal = out_of(first);
            let row = &mut self.pods[slot];
            let Some(resize) = row.extra.as_mut().and_then(|extra| extra.resize.as_mut()) else { return };
            let why = CompactString::from(refusal.message.as_str());
            if resize.pending.as_ref() != Some(&why) {
                fx.decide(object, Severity::Warning, "ResizeDeferred", || {
                    format!("Pod resize {}: {}", refusal.reason, summary(&pod, &refusal.message))
                });
                resize.pending = Some(why);
            }
            self.trigger(now, slot, fx);
            return;
        }
        self.recount(slot, &pod);
        let row = &mut self.pods[slot];
        let Some(resize) = row.extra.as_mut().and_then(|extra| extra.resize.as_mut()) else { return };
        (resize.pending, resize.in_progress) = (None, true);
        fx.decide(object, Severity::Normal, "ResizeStarted", || {
            format!("Pod resize started: {}", summary(&pod, ""))
        });
        self.trigger(now, slot, fx);
    }

    /// Counts what the pod is allocated from now on.
    fn recount(&mut self, slot: usize, pod: &Pod) {
        let row = &mut self.pods[slot];
        let before = row.allocated_requests().clone();
        if let Some(resize) = row.extra.as_mut().and_then(|extra| extra.resize.as_mut()) {
            // Whatever else the specification says is not allocated.
            resize.allocated = Arc::clone(&pod.spec);
        }
        if row.is(Flag::Counted) {
            let node = &mut self.nodes[row.node as usize];
            node.used.subtract(&before);
            node.used.add(row.allocated_requests());
        }
    }

    /// Something was set free on a node: pods that wait for it may get it.
    pub(crate) fn retry_resizes(&mut self, now: SimTime, node: u32, fx: &mut Fx) {
        let pods = &self.nodes[node as usize].pods;
        let waits = |row: &PodRow| row.resize().is_some_and(|resize| resize.pending.is_some());
        let mut waiting: Vec<usize> =
            pods.iter().filter_map(|&pod| self.slot(pod)).filter(|&slot| waits(&self.pods[slot])).collect();
        waiting.sort_by_key(|&slot| self.pods[slot].pod.meta.id);
        for slot in waiting {
            self.allocate(now, slot, fx);
        }
    }

    /// A change of resources is done once it is in force.
    pub(crate) fn end_resize(&mut self, slot: usize, fx: &mut Fx) {
        let object = self.pod_ref(slot);
        let row = &mut self.pods[slot];
        let pod = Arc::clone(&row.pod);
        let Some(resize) = row.extra.as_mut().and_then(|extra| extra.resize.as_mut()) else { return };
        if resize.in_progress && resize.actual == all_resources(&resize.allocated) {
            resize.in_progress = false;
            fx.decide(object, Severity::Normal, "ResizeCompleted", || {
                format!("Pod resize completed: {}", summary(&pod, ""))
            });
        }
    }

    /// Brings what is allocated into force: the pod's own limits and shares are widened before its
    /// containers' and narrowed after them, memory before CPU.
    pub(crate) fn resize_in_place(&mut self, slot: usize, fx: &mut Fx) {
        let node = self.node_id(slot);
        let row = &mut self.pods[slot];
        let pod = row.pod.meta.id;
        let attempts: Vec<Option<u16>> = row
            .instances()
            .iter()
            .map(|instance| instance.seems_running().then_some(instance.attempt))
            .collect();
        let Some(resize) = row.extra.as_mut().and_then(|extra| extra.resize.as_mut()) else { return };
        let wanted = all_resources(&resize.allocated);
        if !resize.in_progress || resize.actual == wanted {
            return;
        }
        let main = resize.allocated.init_containers.len()..;
        let (is, will_be) = (PodLimits::of(&resize.actual[main.clone()]), PodLimits::of(&wanted[main]));
        for memory in [true, false] {
            let changes = is.changes(&will_be, memory);
            let before = changes.iter().filter(|change| **change > 0).count();
            let after = changes.iter().filter(|change| **change < 0).count();
            let sandbox = |fx: &mut Fx, times: usize| {
                (0..times).for_each(|_| fx.command(node, RuntimeCommand::UpdateSandbox { pod }));
            };
            sandbox(fx, before);
            for (index, (actual, wanted)) in resize.actual.iter_mut().zip(&wanted).enumerate() {
                let Some(attempt) = attempts.get(index).copied().flatten() else { continue };
                let differs = if memory {
                    actual.1.memory != wanted.1.memory
                } else {
                    (actual.0.cpu, actual.1.cpu) != (wanted.0.cpu, wanted.1.cpu)
                };
                if differs {
                    let container = ContainerId { pod, index: index as u16, attempt };
                    fx.command(node, RuntimeCommand::UpdateContainer { container });
                }
            }
            sandbox(fx, after);
        }
        let mut acted = false;
        for (index, (actual, wanted)) in resize.actual.iter_mut().zip(wanted).enumerate() {
            if attempts.get(index).copied().flatten().is_some() && *actual != wanted {
                *actual = wanted;
                acted = true;
            }
        }
        if acted {
            row.set(Flag::Acted);
        }
    }
}

/// What limits a pod as a whole.
struct PodLimits {
    /// Of memory and of CPU, if every container has one.
    memory: Option<i64>,
    cpu: Option<i64>,
    /// The sum of CPU requests.
    shares: i64,
}

impl PodLimits {
    fn of(containers: &[(ResourceList, ResourceList)]) -> PodLimits {
        let sum = |of: &dyn Fn(&ResourceList) -> Option<i64>| {
            containers.iter().map(|(_, limits)| of(limits)).sum::<Option<i64>>()
        };
        PodLimits {
            memory: sum(&|limits| limits.memory.map(|memory| memory.0)),
            cpu: sum(&|limits| limits.cpu.map(|cpu| cpu.0)),
            shares: containers.iter().filter_map(|(requests, _)| requests.cpu).map(|cpu| cpu.0).sum(),
        }
    }

    /// The signs of the changes of limits and shares.
    fn changes(&self, next: &PodLimits, memory: bool) -> Vec<i64> {
        let sign = |is: Option<i64>, will_be: Option<i64>| match (is, will_be) {
            (Some(is), Some(will_be)) => (will_be - is).signum(),
            _ => 0,
        };
        if memory {
            vec![sign(self.memory, next.memory)]
        } else {
            vec![sign(self.cpu, next.cpu), (next.shares - self.shares).signum()]
        }
    }
}

/// What a change of resources is about, as events tell it.
fn summary(pod: &Pod, error: &str) -> String {
    let list = |containers: &mut dyn Iterator<Item = &Container>| {
        let containers: Vec<String> = containers
            .map(|one| {
                let parts = [("limits", &one.limits), ("requests", &one.requests)].into_iter();
                let parts = parts.filter(|(_, list)| !list.is_empty()).map(|(name, list)| {
                    let amounts: Vec<String> =
                        amounts(list).iter().map(|(name, text)| format!("\"{name}\":\"{text}\"")).collect();
                    format!("\"{name}\":{{{}}}", amounts.join(","))
                });
                let parts: Vec<String> = parts.collect();
                format!("{{\"name\":\"{}\",\"resources\":{{{}}}}}", one.name, parts.join(","))
            })
            .collect();
        containers.join(",")
    };
    let sidecars = list(&mut pod.spec.init_containers.iter().filter(|one| one.is_sidecar()));
    let sidecars =
        if sidecars.is_empty() { String::new() } else { format!("\"initContainers\":[{sidecars}],") };
    let error = if error.is_empty() { String::new() } else { format!(",\"error\":{error:?}") };
    let main = list(&mut pod.spec.containers.iter());
    format!("{{{sidecars}\"containers\":[{main}],\"generation\":{}{error}}}", pod.meta.generation)
}

/// Amounts by name, as they are written: `100m`, `64Mi`.
pub fn amounts(list: &ResourceList) -> Vec<(String, String)> {
    let mut amounts = Vec::new();
    if let Some(cpu) = list.cpu {
        let text = if cpu.0 % 1_000 == 0 { (cpu.0 / 1_000).to_string() } else { format!("{}m", cpu.0) };
        amounts.push(("cpu".to_owned(), text));
    }
    for (name, bytes) in [("ephemeral-storage", list.ephemeral_storage), ("memory", list.memory)] {
        if let Some(bytes) = bytes {
            amounts.push((name.to_owned(), binary(bytes.0)));
        }
    }
    amounts.extend(list.scalars.iter().map(|(name, amount)| (name.to_string(), amount.to_string())));
    amounts
}

/// Bytes in the largest binary unit that divides them.
fn binary(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["Ei", "Pi", "Ti", "Gi", "Mi", "Ki"];
    for (place, unit) in UNITS.iter().enumerate() {
        let size = 1_i64 << (10 * (UNITS.len() - place));
        if bytes != 0 && bytes % size == 0 {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}
