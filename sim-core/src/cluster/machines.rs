//! The machines under the nodes: power, connection, leases, the parallelism of their runtimes.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::machine::Outgoing;
use seatrial_api::node::LABEL_ZONE;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use super::config::NodeSpec;

/// How many sandboxes a node's runtime makes at a time.
const SANDBOXES_AT_ONCE: usize = 4;
/// From one lease renewal of a kubelet to the next.
pub(crate) const LEASE_PERIOD: Span = Span::from_secs(10);

/// What a machine's kubelet is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KubeletState {
    /// It has never run.
    New,
    /// It runs.
    Running,
    /// It was lost with the machine's power.
    Lost,
    /// It crashed, while the machine runs on.
    Stopped,
}

/// A machine. What nearly every event of a pod touches lies in the first line of a cache.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct MachineState {
    /// The row of its Node object; `None` before it registered and after the object is gone.
    pub(crate) node: Option<u32>,
    /// How many partitions cut it off.
    pub(crate) cuts: u32,
    /// Counts boots, so that what an earlier boot began is told apart.
    pub(crate) boot: u32,
    /// How many faults keep it without power.
    pub(crate) outages: u32,
    /// Whether it has power.
    pub(crate) powered: bool,
    /// Whether it is still there at all.
    pub(crate) present: bool,
    /// Whether renewals of its lease arrive at the API server.
    pub(crate) beating: bool,
    /// What its kubelet is doing.
    pub(crate) kubelet: KubeletState,
    /// When the last watch event arrived at its kubelet: a watch keeps its order.
    last_arrival: SimTime,
    /// When each of the runtime's places is free again.
    sandbox_free_at: [SimTime; SANDBOXES_AT_ONCE],
    /// What it is.
    pub(crate) spec: Arc<NodeSpec>,
    /// The zone it stands in, empty for none.
    pub(crate) zone: Symbol,
    /// The partition that cut it off first; machines of one partition reach each other.
    pub(crate) island: Option<u32>,
    /// When in each period the lease is renewed.
    pub(crate) lease_phase: Span,
    /// How many faults keep its kubelet down.
    pub(crate) kubelet_outages: u32,
    /// Counts the processes of its kubelet.
    pub(crate) process: u32,
    /// When its kubelet looks at its memory next, while that is short.
    pub(crate) memory_look_at: Option<SimTime>,
    /// Watch events that wait for the connection: rows of the watch events on their way.
    pub(crate) held_events: Vec<u32>,
    /// Requests that wait for the connection.
    pub(crate) held_requests: Vec<Outgoing>,
}

impl MachineState {
    /// Whether the machine's kubelet runs and reaches the API server.
    pub(crate) fn is_connected(&self) -> bool {
        self.powered && self.cuts == 0 && self.kubelet == KubeletState::Running
    }

    /// The last renewal at or before `now`.
    pub(crate) fn last_renewal(&self, now: SimTime) -> SimTime {
        let since = (now.nanos() - self.lease_phase.nanos()).div_euclid(LEASE_PERIOD.nanos());
        SimTime::from_nanos(since * LEASE_PERIOD.nanos()) + self.lease_phase
    }

    /// The first renewal after `now`.
    pub(crate) fn next_renewal(&self, now: SimTime) -> SimTime {
        self.last_renewal(now) + LEASE_PERIOD
    }

    /// The arrival of a watch event that would come at `at`: not before an earlier one.
    pub(crate) fn in_order(&mut self, at: SimTime) -> SimTime {
        self.last_arrival = self.last_arrival.max(at);
        self.last_arrival
    }

    /// When the runtime can begin a sandbox that is asked for now and takes `span`.
    pub(crate) fn reserve_sandbox(&mut self, now: SimTime, span: Span) -> SimTime {
        let place = self.sandbox_free_at.iter_mut().min().expect("invariant: there are places");
        let begin = now.max(*place);
        *place = begin + span;
        begin
    }
}

/// All machines that there are or were.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machines {
    rows: Vec<MachineState>,
    by_name: FxHashMap<Symbol, u32>,
    /// By the row of the Node object.
    by_node: Vec<Option<u32>>,
}

impl Machines {
    /// Adds a machine without power.
    pub(crate) fn add(&mut self, spec: Arc<NodeSpec>, lease_phase: Span) -> u32 {
        let row = self.rows.len() as u32;
        self.by_name.insert(spec.name, row);
        let zone = spec.labels.get(Symbol::new(LABEL_ZONE)).unwrap_or_default();
        self.rows.push(MachineState {
            spec,
            zone,
            node: None,
            powered: false,
            present: true,
            cuts: 0,
            island: None,
            outages: 0,
            boot: 0,
            lease_phase,
            beating: false,
            kubelet: KubeletState::New,
            kubelet_outages: 0,
            process: 0,
            memory_look_at: None,
            held_events: Vec::new(),
            held_requests: Vec::new(),
            last_arrival: SimTime::from_nanos(i64::MIN),
            sandbox_free_at: [SimTime::from_nanos(i64::MIN); SANDBOXES_AT_ONCE],
        });
        row
    }

    /// Remembers which Node object a machine has.
    pub(crate) fn set_node(&mut self, row: u32, node: Option<u32>) {
        if let Some(old) = self.rows[row as usize].node {
            self.by_node[old as usize] = None;
        }
        if let Some(node) = node {
            let index = node as usize;
            if index >= self.by_node.len() {
                self.by_node.resize(index + 1, None);
            }
            self.by_node[index] = Some(row);
        }
        self.rows[row as usize].node = node;
    }

    /// The machine of a Node object.
    pub(crate) fn of_node(&self, node: u32) -> Option<u32> {
        self.by_node.get(node as usize).copied().flatten()
    }

    /// The newest machine with a name.
    pub(crate) fn named(&self, name: Symbol) -> Option<u32> {
        self.by_name.get(&name).copied()
    }

    /// One machine.
    pub(crate) fn get(&self, row: u32) -> &MachineState {
        &self.rows[row as usize]
    }

    /// One machine, to be changed.
    pub(crate) fn get_mut(&mut self, row: u32) -> &mut MachineState {
        &mut self.rows[row as usize]
    }

    /// All machines with their rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &MachineState)> {
        self.rows.iter().enumerate().map(|(row, machine)| (row as u32, machine))
    }
}
