//! Gang scheduling: groups of pods that are placed all together or not at all.
//!
//! A pod belongs to a group by the label `scheduling.x-k8s.io/pod-group`; a `PodGroup` object of that
//! name in its namespace (`scheduling.x-k8s.io/v1alpha1`, as the coscheduling plugin of
//! kubernetes-sigs/scheduler-plugins has it) says by `spec.minMember` how many pods make a gang.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::document::Value;
use seatrial_api::object::Untyped;
use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use crate::config::GangConfiguration;

/// The label that names a pod's group.
const GROUP_LABEL: &str = "scheduling.x-k8s.io/pod-group";

/// The API group of PodGroup.
const GROUP_API: &str = "scheduling.x-k8s.io/";

/// A group: its namespace and its name.
pub(crate) type GroupKey = (Symbol, Symbol);

/// What is known of a group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// What its object says; absent while there is none.
    wanted: Option<Wanted>,
    /// Its pods that are not over.
    pub(crate) members: BTreeSet<u32>,
    /// Those of them that are bound, or about to be.
    pub(crate) placed: BTreeSet<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Wanted {
    min_member: usize,
    timeout: Option<Span>,
}

/// A group that is being placed, one pod after the other.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) group: GroupKey,
    /// Pods that are still to be tried.
    pub(crate) rest: VecDeque<u32>,
    /// Pods with a node that wait for the others: upstream's Permit.
    pub(crate) waiting: Vec<(u32, Symbol)>,
    /// When the group has waited long enough.
    pub(crate) deadline: SimTime,
    /// Whether something happened meanwhile that may help.
    pub(crate) disturbed: bool,
}

/// Room that is kept for a group.
#[derive(Clone, Debug)]
pub(crate) struct Reservation {
    pub(crate) group: GroupKey,
    /// When the room is expected to be there.
    pub(crate) start: SimTime,
    /// Where each of its pods is to go.
    pub(crate) pods: Vec<(Arc<Pod>, Symbol)>,
}

/// All groups.
#[derive(Clone, Debug)]
pub(crate) struct Gangs {
    pub(crate) configuration: GangConfiguration,
    groups: BTreeMap<GroupKey, Group>,
    /// The one group that is being placed: no other pod is tried before it is placed or given up, so
    /// that groups never hold room against each other.
    pub(crate) attempt: Option<Attempt>,
    /// The room that is kept for the first group that did not fit.
    pub(crate) reservation: Option<Reservation>,
    /// Since when placed pods have had their nodes.
    pub(crate) placed_at: FxHashMap<u32, SimTime>,
}

impl Gangs {
    pub(crate) fn new(configuration: GangConfiguration) -> Gangs {
        Gangs {
            configuration,
            groups: BTreeMap::new(),
            attempt: None,
            reservation: None,
            placed_at: FxHashMap::default(),
        }
    }

    /// The group that a pod belongs to.
    pub(crate) fn group_of(pod: &Pod) -> Option<GroupKey> {
        let name = pod.meta.labels.get(Symbol::new(GROUP_LABEL))?;
        Some((pod.meta.namespace, name))
    }

    /// A group of which something is known.
    pub(crate) fn group(&self, key: GroupKey) -> Option<&Group> {
        self.groups.get(&key)
    }

    pub(crate) fn group_mut(&mut self, key: GroupKey) -> &mut Group {
        self.groups.entry(key).or_default()
    }

    /// Reads an object; answers with the group that it is about, if it is a PodGroup.
    pub(crate) fn apply(&mut self, object: &Untyped, gone: bool) -> Option<GroupKey> {
        if object.kind.as_str() != "PodGroup" || !object.api_version.as_str().starts_with(GROUP_API) {
            return None;
        }
        let key = (object.meta.namespace, Symbol::new(&object.meta.name));
        let number = |field: &str| {
            let value = object.content.as_ref().and_then(|content| content.at(&["spec", field]))?;
            match value.value {
                Value::Int(number) if number >= 0 => Some(number),
                _ => None,
            }
        };
        let wanted = Wanted {
            min_member: number("minMember").unwrap_or(1) as usize,
            timeout: number("scheduleTimeoutSeconds").map(Span::from_secs),
        };
        self.group_mut(key).wanted = (!gone).then_some(wanted);
        Some(key)
    }

    /// How many pods of a group are placed together; `None` while nobody says so.
    pub(crate) fn min_member(&self, key: GroupKey) -> Option<usize> {
        self.groups.get(&key)?.wanted.map(|wanted| wanted.min_member)
    }

    /// How long a group may hold room for pods that wait for others.
    pub(crate) fn timeout(&self, key: GroupKey) -> Span {
        let own = self.groups.get(&key).and_then(|group| group.wanted?.timeout);
        own.unwrap_or(self.configuration.timeout)
    }

    /// A pod is over.
    pub(crate) fn forget(&mut self, key: GroupKey, pod: u32) {
        if let Some(group) = self.groups.get_mut(&key) {
            group.members.remove(&pod);
            group.placed.remove(&pod);
            if group.members.is_empty() && group.wanted.is_none() {
                self.groups.remove(&key);
            }
        }
        if let Some(reservation) = &mut self.reservation {
            reservation.pods.retain(|(other, _)| other.meta.id != pod);
        }
        if let Some(attempt) = &mut self.attempt {
            attempt.rest.retain(|other| *other != pod);
            attempt.waiting.retain(|(other, _)| *other != pod);
        }
    }
}
