//! What a run leaves behind, gathered while it runs: rows, time courses, integrals.
//!
//! The recorder sees what is committed, the truth about machines and containers, and the decisions
//! of the components. It never influences the run: with and without it the trace is the same.

mod integral;
mod rows;
mod series;

use compact_str::CompactString;
use rustc_hash::FxHashSet;
use seatrial_api::object::Object;
use seatrial_api::pages::Pages;
use seatrial_api::pod::{Pod, PodConditionType, PodPhase};
use seatrial_api::request::Change;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime, Span};

pub(crate) use integral::Integral;
pub(crate) use series::SeriesTable;

use super::config::Recording;
use super::event::Cause;
use crate::results::{EventRow, Evictions, FaultRow, Metric, PodRow};

/// How many points a time course has at the most.
const POINTS_PER_RUN: i64 = 2_000;

/// What is known of a pod for the running sums.
#[derive(Clone, Copy, Debug)]
struct Account {
    phase: PodPhase,
    machine: Option<u32>,
    /// Whether its requests count as given away: bound and not ended.
    allocated: bool,
    cpu: MilliCpu,
    memory: Bytes,
}

/// The record of one machine, laid out so that what changes together shares a line of a cache.
#[derive(Clone, Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct MachineRecord {
    pub(crate) cpu_allocated: Integral,
    pub(crate) memory_allocated: Integral,
    pub(crate) cpu_used: Integral,
    pub(crate) memory_used: Integral,
    pub(crate) uptime: Integral,
    /// Whether it costs money now.
    billed: bool,
    pub(crate) ready: Integral,
    pub(crate) pods: u32,
    pub(crate) pods_max: u32,
}

/// The recorder of a run.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    recording: Recording,
    pub(crate) rows: Vec<EventRow>,
    /// Rows of pods by the pod's row in the store.
    pub(crate) pods: Vec<PodRow>,
    accounts: Pages<Account>,
    pub(crate) machines: Vec<MachineRecord>,
    pub(crate) series: SeriesTable,
    pub(crate) faults: Vec<FaultRow>,
    pub(crate) evictions: Evictions,
    /// Victims of preemption: a pod can be the victim of several, and is evicted once.
    preempted: FxHashSet<u32>,
    /// Pods that have ended.
    pub(crate) pods_ended: u64,
    /// Pods by phase: Pending, Running, Succeeded, Failed, Unknown.
    phases: [i64; 5],
    cpu_allocated: i64,
    memory_allocated: i64,
    cpu_used: i64,
    memory_used: i64,
    nodes_ready: i64,
    cpu_allocatable: i64,
    memory_allocatable: i64,
    /// What the machines that run cost, in millionths of a dollar per hour.
    micro_usd_per_hour: i64,
}

impl Recorder {
    /// A recorder for a run of this length.
    pub(crate) fn new(recording: Recording, duration: Span) -> Recorder {
        Recorder {
            recording,
            rows: Vec::new(),
            pods: Vec::new(),
            accounts: Pages::default(),
            machines: Vec::new(),
            series: SeriesTable::new(duration.divided_by(POINTS_PER_RUN)),
            faults: Vec::new(),
            evictions: Evictions::default(),
            preempted: FxHashSet::default(),
            pods_ended: 0,
            phases: [0; 5],
            cpu_allocated: 0,
            memory_allocated: 0,
            cpu_used: 0,
            memory_used: 0,
            nodes_ready: 0,
            cpu_allocatable: 0,
            memory_allocatable: 0,
            micro_usd_per_hour: 0,
        }
    }

    /// A pod gives way to one of higher priority.
    pub(crate) fn preempted(&mut self, pod: u32) {
        if self.preempted.insert(pod) {
            self.evictions.preemption += 1;
        }
    }

    /// Whether rows and messages are kept.
    pub(crate) fn is_full(&self) -> bool {
        self.recording == Recording::Full
    }

    /// Appends a row and returns it as the cause of what follows.
    pub(crate) fn push(&mut self, row: EventRow) -> Cause {
        if !self.is_full() {
            return Cause::NONE;
        }
        let number = u32::try_from(self.rows.len()).ok().filter(|&number| number != u32::MAX);
        let Some(number) = number else { return Cause::NONE };
        self.rows.push(row);
        Cause(number)
    }

    /// A version of a pod was committed, in a run that is recorded in full.
    pub(crate) fn pod(&mut self, now: SimTime, change: Change, pod: &Pod, workload: Symbol) {
        if change == Change::Added {
            self.pods.resize_with(pod.meta.id as usize + 1, || rows::pod_row(pod, Symbol::empty()));
            self.pods[pod.meta.id as usize] = rows::pod_row(pod, workload);
        }
        rows::update_pod_row(now, change, pod, &mut self.pods[pod.meta.id as usize]);
    }

    /// Keeps the running sums of phases and requests.
    pub(crate) fn account(&mut self, now: SimTime, change: Change, pod: &Pod, machine: Option<u32>) {
        let allocated = machine.is_some() && !pod.status.phase.is_terminal();
        // Most changes of a pod are none here. What was given away at first is what is given back.
        if let Some(old) = self.accounts.get(pod.meta.id)
            && (old.phase, old.allocated) == (pod.status.phase, allocated)
            && change != Change::Deleted
        {
            return;
        }
        let new = (change != Change::Deleted).then(|| Account {
            phase: pod.status.phase,
            machine,
            allocated,
            cpu: pod.spec.derived.requests.cpu,
            memory: pod.spec.derived.requests.memory,
        });
        let old = match new {
            Some(new) => self.accounts.insert(pod.meta.id, new),
            None => self.accounts.remove(pod.meta.id),
        };
        let phase = |account: Option<Account>| account.map(|account| account.phase);
        if phase(old) != phase(new) {
            self.count_phase(now, phase(old), -1);
            self.count_phase(now, phase(new), 1);
        }
        let ended = |account: Option<Account>| account.is_some_and(|account| account.phase.is_terminal());
        self.pods_ended += u64::from(ended(new) && !ended(old));
        let given = |account: Option<Account>| account.filter(|account| account.allocated);
        match (given(old), given(new)) {
            (None, Some(new)) => self.allocate(now, new, 1),
            (Some(old), None) => self.allocate(now, old, -1),
            _ => {}
        }
    }

    fn count_phase(&mut self, now: SimTime, phase: Option<PodPhase>, sign: i64) {
        let Some(phase) = phase else { return };
        self.phases[phase as usize] += sign;
        let metric = match phase {
            PodPhase::Pending => Metric::PodsPending,
            PodPhase::Running => Metric::PodsRunning,
            PodPhase::Succeeded => Metric::PodsSucceeded,
            PodPhase::Failed => Metric::PodsFailed,
            PodPhase::Unknown => return,
        };
        self.gauge(now, metric, self.phases[phase as usize]);
    }

    fn allocate(&mut self, now: SimTime, account: Account, sign: i64) {
        let Some(machine) = account.machine else { return };
        let (cpu, memory) = (sign * account.cpu.0, sign * account.memory.0);
        self.cpu_allocated += cpu;
        self.memory_allocated += memory;
        let record = &mut self.machines[machine as usize];
        record.cpu_allocated.add(now, cpu);
        record.memory_allocated.add(now, memory);
        record.pods = record.pods.saturating_add_signed(sign as i32);
        record.pods_max = record.pods_max.max(record.pods);
        self.gauge(now, Metric::CpuAllocatedMillicores, self.cpu_allocated);
        self.gauge(now, Metric::MemoryAllocatedBytes, self.memory_allocated);
    }

    /// The use of a machine changed.
    pub(crate) fn used(&mut self, now: SimTime, machine: u32, cpu: i64, memory: i64) {
        if cpu == 0 && memory == 0 {
            return;
        }
        self.cpu_used += cpu;
        self.memory_used += memory;
        let record = &mut self.machines[machine as usize];
        record.cpu_used.add(now, cpu);
        record.memory_used.add(now, memory);
        self.gauge(now, Metric::CpuUsedMillicores, self.cpu_used);
        self.gauge(now, Metric::MemoryUsedBytes, self.memory_used);
    }

    /// A machine joined: a record for it.
    pub(crate) fn add_machine(&mut self) {
        self.machines.push(MachineRecord::default());
    }

    /// A machine is switched on or off: it costs so much while it is on.
    pub(crate) fn powered(&mut self, now: SimTime, machine: u32, on: bool, micro_usd_per_hour: u64) {
        let record = &mut self.machines[machine as usize];
        record.uptime.set(now, i64::from(on));
        if record.billed != on && micro_usd_per_hour > 0 {
            record.billed = on;
            let price = i64::try_from(micro_usd_per_hour).unwrap_or(i64::MAX);
            self.micro_usd_per_hour += if on { price } else { -price };
            let dollars = self.micro_usd_per_hour as f64 / 1e6;
            self.object_gauge(now, Metric::CostUsdPerHour, Symbol::empty(), dollars);
        }
    }

    /// What the node offers began or ceased to count.
    pub(crate) fn allocatable(&mut self, now: SimTime, cpu: i64, memory: i64) {
        self.cpu_allocatable += cpu;
        self.memory_allocatable += memory;
        self.gauge(now, Metric::CpuAllocatableMillicores, self.cpu_allocatable);
        self.gauge(now, Metric::MemoryAllocatableBytes, self.memory_allocatable);
    }

    /// A node's Ready condition began or ceased to be True.
    pub(crate) fn node_ready(&mut self, now: SimTime, machine: Option<u32>, ready: bool) {
        let sign = if ready { 1 } else { -1 };
        self.nodes_ready += sign;
        if let Some(machine) = machine {
            self.machines[machine as usize].ready.add(now, sign);
        }
        self.gauge(now, Metric::NodesReady, self.nodes_ready);
    }

    /// A new value of a metric of the whole cluster.
    fn gauge(&mut self, now: SimTime, metric: Metric, value: i64) {
        if self.is_full() {
            self.series.record(now, metric, Symbol::empty(), value as f64);
        }
    }

    /// A new value of a metric of one object.
    pub(crate) fn object_gauge(&mut self, now: SimTime, metric: Metric, object: Symbol, value: f64) {
        if self.is_full() {
            self.series.record(now, metric, object, value);
        }
    }

    /// How many pods are in a phase.
    pub(crate) fn phase_count(&self, phase: PodPhase) -> i64 {
        self.phases[phase as usize]
    }

    /// How many nodes are Ready.
    pub(crate) fn nodes_ready(&self) -> i64 {
        self.nodes_ready
    }

    /// The row of a change of an object.
    pub(crate) fn change(
        &mut self,
        now: SimTime,
        change: Change,
        object: &Object,
        reason: Symbol,
        cause: Cause,
    ) -> Cause {
        if !self.is_full() {
            return cause;
        }
        let row = rows::change_row(now, change, object, reason, cause);
        self.push(row)
    }
}

/// What changed in a pod, as the reason of its row; `None` if it is not worth one.
pub(crate) fn pod_change(old: Option<&Pod>, new: &Pod) -> Option<&'static str> {
    let Some(old) = old else { return Some("Created") };
    let condition = |pod: &Pod, kind| pod.status.conditions.get(kind).status;
    if old.node != new.node {
        return Some("Bound");
    }
    if old.status.phase != new.status.phase {
        return Some(new.status.phase.as_str());
    }
    if condition(old, PodConditionType::Ready) != condition(new, PodConditionType::Ready) {
        return Some(if new.is_ready() { "Ready" } else { "NotReady" });
    }
    if old.meta.is_deleting() != new.meta.is_deleting() {
        return Some("Terminating");
    }
    if old.status.restarts() != new.status.restarts() {
        return Some("Restarted");
    }
    None
}

/// The name of an object as the results write it.
pub(crate) fn object_symbol(namespace: Symbol, name: &str) -> Symbol {
    let text: CompactString =
        if namespace.is_empty() { name.into() } else { compact_str::format_compact!("{namespace}/{name}") };
    Symbol::new(&text)
}
