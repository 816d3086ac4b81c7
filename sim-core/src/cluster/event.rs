//! The events of the simulated cluster: small, copied, and carrying rows instead of objects.

use super::config::MasterComponent;
use crate::engine::trace::{Event, Signature};

/// The row of `events.csv` that led to something; none before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cause(pub(crate) u32);

impl Cause {
    /// Nothing that was recorded.
    pub(crate) const NONE: Cause = Cause(u32::MAX);

    /// The row, if there is one.
    pub(crate) fn row(self) -> Option<u32> {
        (self != Cause::NONE).then_some(self.0)
    }
}

/// Who watches the API server over a connection of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Watcher {
    /// The scheduler.
    Scheduler,
    /// The controller manager.
    Controllers,
    /// The kubelets, for objects that pods refer to.
    Kubelets,
    /// The kube-proxies of all nodes that can be reached.
    Proxies,
    /// The autoscaler.
    Autoscaler,
}

impl Watcher {
    /// All of them, in the order in which they are told what arrives at the same time.
    pub(crate) const ALL: [Watcher; WATCHERS] =
        [Watcher::Scheduler, Watcher::Controllers, Watcher::Kubelets, Watcher::Proxies, Watcher::Autoscaler];
}

/// How many watchers there are.
pub(crate) const WATCHERS: usize = 5;

/// A set of watchers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Watchers(u8);

impl Watchers {
    /// Adds a watcher.
    pub(crate) fn insert(&mut self, watcher: Watcher) {
        self.0 |= 1 << watcher as u8;
    }

    /// How many there are.
    pub(crate) fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// The watchers in their order.
    pub(crate) fn iter(self) -> impl Iterator<Item = Watcher> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let watcher = Watcher::ALL.get(left.trailing_zeros() as usize).copied();
            left &= left.wrapping_sub(1);
            watcher
        })
    }
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A request is committed by the API server and answered: a row of the flights.
    Commit(u32),
    /// A watch event arrives at one or more watchers: a row of the watch events on their way.
    Watch(Watchers, u32),
    /// A watch event arrives at the kubelet of a machine.
    NodeWatch {
        /// The machine.
        machine: u32,
        /// The row of the watch event.
        row: u32,
    },
    /// A machine's timer is due: a row of the timers.
    Timer(u32),
    /// A runtime reports: a row of the reports.
    Report(u32),
    /// A machine has booted.
    Booted(u32),
    /// A machine's lease renewals arrive again; the boot of the machine that this belongs to.
    Beating {
        /// The machine.
        machine: u32,
        /// Its boot.
        boot: u32,
    },
    /// A fault begins.
    FaultBegin(u32),
    /// A fault ends.
    FaultEnd(u32),
    /// An entry of the timeline is due.
    Timeline(u32),
    /// Something comes from outside.
    Input {
        /// Its place among all inputs.
        row: u32,
        /// A hash of what it is.
        digest: u32,
    },
    /// The operator's next step in a task of several.
    Operator(u32),
    /// A pod behaves differently from now on: its readiness is lost.
    Unready {
        /// The pod.
        pod: u32,
        /// The instance of its first container that this belongs to.
        attempt: u32,
    },
    /// The kubelet of a machine looks at its memory.
    Memory(u32),
    /// An object of the workload arrives: its position.
    Arrival(u32),
    /// A component of the masters leads: the life that this belongs to.
    Leads {
        /// The component.
        component: MasterComponent,
        /// Its life.
        life: u32,
    },
    /// The process of a kubelet is ready to work.
    KubeletUp {
        /// The machine.
        machine: u32,
        /// The process that this belongs to.
        process: u32,
    },
    /// A storage driver has done a work: its row.
    Storage(u32),
    /// The CPU demand of a profile changes.
    Load {
        /// The profile.
        profile: u32,
        /// The step of its course.
        step: u32,
    },
    /// The cloud's next step with a machine.
    Cloud(u32),
    /// A request that is subject to flow control arrives at the API server: a row of the flights.
    Admit(u32),
}

/// An event of a simulated cluster with its cause: opaque, small and copied.
#[derive(Clone, Copy, Debug)]
pub struct ClusterEvent {
    /// What happens.
    pub(crate) what: What,
    /// What led to it.
    pub(crate) cause: Cause,
}

const _: () = assert!(size_of::<ClusterEvent>() <= 16, "an event fits half of a queue entry");

/// The kinds of events, for a trace that is read by people.
pub(crate) const KIND_NAMES: [&str; 21] = [
    "commit",
    "watch",
    "node-watch",
    "timer",
    "report",
    "booted",
    "beating",
    "fault-begin",
    "fault-end",
    "timeline",
    "operator",
    "unready",
    "load",
    "arrival",
    "memory",
    "input",
    "leads",
    "kubelet-up",
    "cloud",
    "storage",
    "admit",
];

impl Event for ClusterEvent {
    fn signature(&self) -> Signature {
        let (kind, a, b) = match self.what {
            What::Commit(row) => (0, row, 0),
            What::Watch(watchers, row) => (1, row, u32::from(watchers.0)),
            What::NodeWatch { machine, row } => (2, machine, row),
            What::Timer(row) => (3, row, 0),
            What::Report(row) => (4, row, 0),
            What::Booted(machine) => (5, machine, 0),
            What::Beating { machine, boot } => (6, machine, boot),
            What::FaultBegin(fault) => (7, fault, 0),
            What::FaultEnd(fault) => (8, fault, 0),
            What::Timeline(entry) => (9, entry, 0),
            What::Operator(task) => (10, task, 0),
            What::Unready { pod, attempt } => (11, pod, attempt),
            What::Load { profile, step } => (12, profile, step),
            What::Arrival(position) => (13, position, 0),
            What::Memory(machine) => (14, machine, 0),
            What::Input { row, digest } => (15, row, digest),
            What::Leads { component, life } => (16, component as u32, life),
            What::KubeletUp { machine, process } => (17, machine, process),
            What::Cloud(row) => (18, row, 0),
            What::Storage(row) => (19, row, 0),
            What::Admit(row) => (20, row, 0),
        };
        Signature { kind, ids: [a, b, 0] }
    }
}
