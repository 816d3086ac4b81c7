//! What running pods use, and what the metrics server knows of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::container::Container;
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::machine::{ContainerMetrics, PodMetrics};
use seatrial_api::pages::Pages;
use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime, Span};

use super::behaviour::Behaviours;
use super::recorder::Recorder;
use super::runtime::PodTruth;

/// From one scrape of the metrics server to the next; a sample covers one window.
pub(super) const SCRAPE_PERIOD: Span = Span::from_secs(15);
/// How long the course of a shared load is remembered: longer than any sample is old.
const HISTORY: Span = Span::from_secs(60);

/// A CPU demand that the ready pods of a profile share.
#[derive(Clone, Debug, Default)]
struct SharedLoad {
    demand: MilliCpu,
    /// Ready pods with their machines.
    pods: BTreeMap<u32, u32>,
    /// What each pod used from an instant on.
    history: VecDeque<(SimTime, MilliCpu)>,
}

/// What a pod contributes to its machine's use.
#[derive(Clone, Copy, Debug, Default)]
struct Contribution {
    machine: u32,
    cpu: MilliCpu,
    memory: Bytes,
    since: SimTime,
    /// Whether it is all that can be said: no share of a load, and one container.
    is_all: bool,
}

/// Pods with equal labels, whom a selector matches alike.
#[derive(Clone, Debug)]
struct LabelGroup {
    namespace: Symbol,
    labels: Labels,
    /// The pods, among them some that are gone.
    pods: Vec<u32>,
    gone: usize,
}

/// So many pods that are gone are not worth a pass over a group.
const GONE_MIN: usize = 64;

/// The groups that a selector matches, as far as the groups have been looked at.
#[derive(Clone, Debug)]
struct Match {
    selector: Arc<Selector>,
    groups: Vec<u32>,
    looked_at: usize,
}

/// The use of all pods.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    loads: Vec<Option<SharedLoad>>,
    running: Pages<Contribution>,
    /// What the pods on each machine use.
    memory: Vec<Bytes>,
    groups: Vec<LabelGroup>,
    group_index: FxHashMap<(Symbol, Labels), u32>,
    matches: FxHashMap<(Symbol, usize), Match>,
}

impl Usage {
    /// No pods yet; a shared load for each profile that has one.
    pub(crate) fn new(behaviours: &Behaviours) -> Usage {
        let loads = behaviours
            .profiles()
            .iter()
            .map(|behaviour| (!behaviour.load().is_empty()).then(SharedLoad::default));
        Usage {
            loads: loads.collect(),
            running: Pages::default(),
            memory: Vec::new(),
            groups: Vec::new(),
            group_index: FxHashMap::default(),
            matches: FxHashMap::default(),
        }
    }

    /// A machine came.
    pub(crate) fn add_machine(&mut self) {
        self.memory.push(Bytes::ZERO);
    }

    /// What the pods on a machine use of its memory.
    pub(crate) fn memory_on(&self, machine: u32) -> Bytes {
        self.memory[machine as usize]
    }

    /// A pod object came.
    pub(crate) fn add_pod(&mut self, pod: &Pod) {
        let key = (pod.meta.namespace, pod.meta.labels.clone());
        let group = *self.group_index.entry(key).or_insert_with(|| {
            self.groups.push(LabelGroup {
                namespace: pod.meta.namespace,
                labels: pod.meta.labels.clone(),
                pods: Vec::new(),
                gone: 0,
            });
            (self.groups.len() - 1) as u32
        });
        self.groups[group as usize].pods.push(pod.meta.id);
    }

    /// A pod object went; `is_known` tells which are there.
    pub(crate) fn remove_pod(&mut self, pod: &Pod, is_known: impl Fn(u32) -> bool) {
        let key = (pod.meta.namespace, pod.meta.labels.clone());
        if let Some(&group) = self.group_index.get(&key) {
            let group = &mut self.groups[group as usize];
            group.gone += 1;
            if group.gone > GONE_MIN.max(group.pods.len() / 2) {
                group.pods.retain(|&other| other != pod.meta.id && is_known(other));
                group.gone = 0;
            }
        }
    }

    /// Brings the use up to what a pod now does.
    pub(crate) fn update(
        &mut self,
        now: SimTime,
        id: u32,
        truth: Option<&PodTruth>,
        recorder: &mut Recorder,
    ) {
        let running =
            truth.filter(|truth| truth.is_running()).and_then(|truth| Some((truth, truth.machine?)));
        let Some((truth, machine)) = running else {
            self.leave_load(now, id, recorder);
            if let Some(old) = self.running.remove(id) {
                self.memory[old.machine as usize].0 -= old.memory.0;
                recorder.used(now, old.machine, -old.cpu.0, -old.memory.0);
            }
            return;
        };
        let load = truth.profile.filter(|&profile| self.loads[usize::from(profile)].is_some());
        if self.running.get(id).is_none() {
            let (cpu, memory) = truth.usage;
            let cpu = if load.is_some() { MilliCpu::ZERO } else { cpu };
            self.memory[machine as usize].0 += memory.0;
            recorder.used(now, machine, cpu.0, memory.0);
            let is_all = load.is_none() && truth.containers().len() < 2;
            self.running.insert(id, Contribution { machine, cpu, memory, since: now, is_all });
        }
        let Some(profile) = load else { return };
        let load = self.loads[usize::from(profile)].as_mut().expect("invariant: the profile has a load");
        let (serves, known) = (truth.is_serving(), load.pods.contains_key(&id));
        if serves && !known {
            load.pods.insert(id, machine);
            self.share(now, usize::from(profile), recorder);
        } else if !serves && known {
            self.leave_load(now, id, recorder);
        }
    }

    /// The demand of a profile's load changes.
    pub(crate) fn set_demand(
        &mut self,
        now: SimTime,
        profile: u32,
        demand: MilliCpu,
        recorder: &mut Recorder,
    ) {
        if let Some(Some(load)) = self.loads.get_mut(profile as usize) {
            load.demand = demand;
            self.share(now, profile as usize, recorder);
        }
    }

    fn leave_load(&mut self, now: SimTime, id: u32, recorder: &mut Recorder) {
        for profile in 0..self.loads.len() {
            let Some(load) = &mut self.loads[profile] else { continue };
            if load.pods.remove(&id).is_some() {
                self.contribute(now, id, MilliCpu::ZERO, recorder);
                self.share(now, profile, recorder);
            }
        }
    }

    /// Divides the demand among the ready pods.
    fn share(&mut self, now: SimTime, profile: usize, recorder: &mut Recorder) {
        let Some(load) = &mut self.loads[profile] else { return };
        let each = MilliCpu(load.demand.0 / (load.pods.len() as i64).max(1));
        while load.history.len() > 1 && load.history[1].0 + HISTORY < now {
            load.history.pop_front();
        }
        load.history.push_back((now, each));
        for pod in load.pods.keys().copied().collect::<Vec<_>>() {
            self.contribute(now, pod, each, recorder);
        }
    }

    fn contribute(&mut self, now: SimTime, id: u32, cpu: MilliCpu, recorder: &mut Recorder) {
        if let Some(contribution) = self.running.get_mut(id) {
            let delta = cpu.0 - contribution.cpu.0;
            contribution.cpu = cpu;
            recorder.used(now, contribution.machine, delta, 0);
        }
    }

    /// What the metrics server answers at `now`: the use at its last scrape, of running pods that
    /// were there a window before it.
    pub(crate) fn metrics<'a>(
        &mut self,
        now: SimTime,
        namespace: Symbol,
        selector: &Arc<Selector>,
        truth_of: impl Fn(u32) -> Option<&'a PodTruth>,
    ) -> Vec<PodMetrics> {
        let scraped = last_scrape(now);
        let mut samples = Vec::new();
        for group in self.matching(namespace, selector) {
            let pods = &self.groups[group as usize].pods;
            samples.reserve(pods.len());
            for &pod in pods {
                let Some(contribution) = self.running.get(pod) else { continue };
                if contribution.since + SCRAPE_PERIOD > scraped {
                    continue;
                }
                let (memory, window) = (contribution.memory, SCRAPE_PERIOD);
                if contribution.is_all {
                    let (cpu, containers) = (contribution.cpu, None);
                    samples.push(PodMetrics { pod, cpu, memory, sampled_at: scraped, window, containers });
                    continue;
                }
                let truth = truth_of(pod);
                let load = truth.and_then(|truth| self.loads[usize::from(truth.profile?)].as_ref());
                let cpu = match load.filter(|load| load.pods.contains_key(&pod)) {
                    Some(load) => {
                        let then = load.history.iter().rev().find(|entry| entry.0 <= scraped);
                        then.or(load.history.front()).map_or(MilliCpu::ZERO, |entry| entry.1)
                    }
                    None => contribution.cpu,
                };
                let containers = truth.and_then(|truth| container_metrics(truth.containers(), cpu, memory));
                samples.push(PodMetrics { pod, cpu, memory, sampled_at: scraped, window, containers });
            }
        }
        if !samples.is_sorted_by_key(|sample| sample.pod) {
            samples.sort_unstable_by_key(|sample| sample.pod);
        }
        samples
    }

    /// The pods that a selector matches and for which `is_wanted` says so, in order of their rows.
    pub(crate) fn matching_pods(
        &mut self,
        namespace: Symbol,
        selector: &Arc<Selector>,
        is_wanted: impl Fn(u32) -> bool,
    ) -> Vec<u32> {
        let groups = self.matching(namespace, selector);
        let pods = groups.iter().flat_map(|&group| &self.groups[group as usize].pods);
        let mut pods: Vec<u32> = pods.copied().filter(|&pod| is_wanted(pod)).collect();
        pods.sort_unstable();
        pods
    }

    /// The groups that a selector matches; only groups that came since are looked at.
    fn matching(&mut self, namespace: Symbol, selector: &Arc<Selector>) -> Vec<u32> {
        let key = (namespace, Arc::as_ptr(selector) as usize);
        let entry = self.matches.entry(key).or_insert_with(|| Match {
            // Kept alive, so that the address stays this selector's.
            selector: selector.clone(),
            groups: Vec::new(),
            looked_at: 0,
        });
        for (index, group) in self.groups.iter().enumerate().skip(entry.looked_at) {
            if group.namespace == namespace && entry.selector.matches(&group.labels) {
                entry.groups.push(index as u32);
            }
        }
        entry.looked_at = self.groups.len();
        entry.groups.clone()
    }
}

/// The last scrape of the metrics server up to `now`.
pub(super) fn last_scrape(now: SimTime) -> SimTime {
    SimTime::from_nanos(now.nanos().div_euclid(SCRAPE_PERIOD.nanos()) * SCRAPE_PERIOD.nanos())
}

/// What each container of a pod of several uses of the pod's whole.
///
/// Model: it is divided by what they request, in equal parts if none requests anything.
fn container_metrics(
    containers: &[Container],
    cpu: MilliCpu,
    memory: Bytes,
) -> Option<Arc<[ContainerMetrics]>> {
    if containers.len() < 2 {
        return None;
    }
    let cpu_of = |container: &Container| container.requests.cpu.unwrap_or_default().0;
    let memory_of = |container: &Container| container.requests.memory.unwrap_or_default().0;
    let divided = |total: i64, request: &dyn Fn(&Container) -> i64, container: &Container| {
        let sum: i128 = containers.iter().map(|container| i128::from(request(container))).sum();
        let (weight, of) =
            if sum > 0 { (i128::from(request(container)), sum) } else { (1, containers.len() as i128) };
        i64::try_from(i128::from(total) * weight / of).unwrap_or(i64::MAX)
    };
    let each = |container: &Container| ContainerMetrics {
        name: container.name,
        cpu: MilliCpu(divided(cpu.0, &cpu_of, container)),
        memory: Bytes(divided(memory.0, &memory_of, container)),
    };
    Some(containers.iter().map(each).collect())
}
