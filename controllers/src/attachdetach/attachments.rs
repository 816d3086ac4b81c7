//! What is to be attached and what is attached (upstream's desired and actual state of the world).

use std::collections::{BTreeMap, BTreeSet};

use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

/// A volume, by its unique name, on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) volume: Symbol,
    pub(super) node: Symbol,
}

/// How sure it is that a volume is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certainty {
    /// It is.
    Attached,
    /// It may be: an attempt has failed half-way.
    Uncertain,
}

/// A volume that is attached to a node, or may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attached {
    pub(super) certainty: Certainty,
    /// Whether the node's kubelet uses it; taken for granted until the node says otherwise.
    pub(super) mounted: bool,
    /// Since when no pod needs it there.
    pub(super) unneeded_since: Option<SimTime>,
    /// Whether the node's status is to list it.
    pub(super) reported: bool,
}

/// A volume that pods on a node need.
#[derive(Clone, Debug, Default)]
pub(super) struct Needed {
    /// Their rows.
    pub(super) pods: BTreeSet<u32>,
    /// Whether they were told that it is attached elsewhere.
    pub(super) told: bool,
}

/// What identifies a volume's object and driver.
#[derive(Clone, Copy, Debug)]
pub(super) struct Volume {
    /// The PersistentVolume's name.
    pub(super) name: Symbol,
    pub(super) driver: Symbol,
    pub(super) handle: Symbol,
    /// Whether several nodes may have it at a time.
    pub(super) shared: bool,
}

/// All of it, with what is still to be done.
#[derive(Clone, Debug, Default)]
pub(super) struct Attachments {
    /// Volumes that were ever looked at and are needed or attached.
    pub(super) volumes: BTreeMap<Symbol, Volume>,
    needed: BTreeMap<Place, Needed>,
    attached: BTreeMap<Place, Attached>,
    /// Places by node, of what is attached.
    by_node: BTreeMap<Symbol, BTreeSet<Symbol>>,
    /// The places that each pod needs.
    of_pod: BTreeMap<u32, BTreeSet<Place>>,
    /// Needed and not attached.
    pub(super) to_attach: BTreeSet<Place>,
    /// Attached and not needed.
    pub(super) to_detach: BTreeSet<Place>,
}

impl Attachments {
    /// A pod needs exactly these places from now on. Returns whether that is news.
    pub(super) fn set_needs(&mut self, pod: u32, places: BTreeSet<Place>) -> bool {
        let before = self.of_pod.remove(&pod).unwrap_or_default();
        let changed = before != places;
        for place in before.difference(&places) {
            if let Some(needed) = self.needed.get_mut(place) {
                needed.pods.remove(&pod);
                if needed.pods.is_empty() {
                    self.needed.remove(place);
                }
            }
            self.sort_in(*place);
        }
        for place in places.difference(&before) {
            self.needed.entry(*place).or_default().pods.insert(pod);
            self.sort_in(*place);
        }
        if !places.is_empty() {
            self.of_pod.insert(pod, places);
        }
        changed
    }

    /// Puts a place where it belongs: among what is to be attached or detached, or nowhere.
    fn sort_in(&mut self, place: Place) {
        let needed = self.needed.contains_key(&place);
        let attached = self.attached.get(&place).map(|attached| attached.certainty);
        if needed && attached != Some(Certainty::Attached) {
            self.to_attach.insert(place);
        } else {
            self.to_attach.remove(&place);
        }
        if !needed && attached.is_some() {
            self.to_detach.insert(place);
        } else {
            self.to_detach.remove(&place);
            if let Some(attached) = self.attached.get_mut(&place) {
                attached.unneeded_since = None;
            }
        }
        if !needed && attached.is_none() && !self.is_known(place.volume) {
            self.volumes.remove(&place.volume);
        }
    }

    /// Whether a volume is needed or attached anywhere.
    fn is_known(&self, volume: Symbol) -> bool {
        let first = Place { volume, node: Symbol::empty() };
        let has = |place: Option<&Place>| place.is_some_and(|place| place.volume == volume);
        has(self.needed.range(first..).next().map(|(place, _)| place))
            || has(self.attached.range(first..).next().map(|(place, _)| place))
    }

    /// A volume is attached to a node, or may be.
    pub(super) fn attach(&mut self, place: Place, certainty: Certainty) {
        let sure = certainty == Certainty::Attached;
        let fresh = Attached { certainty, mounted: sure, unneeded_since: None, reported: sure };
        self.attached.insert(place, fresh);
        self.by_node.entry(place.node).or_default().insert(place.volume);
        self.sort_in(place);
    }

    /// A volume is no longer attached to a node.
    pub(super) fn detach(&mut self, place: Place) {
        self.attached.remove(&place);
        if let Some(volumes) = self.by_node.get_mut(&place.node) {
            volumes.remove(&place.volume);
            if volumes.is_empty() {
                self.by_node.remove(&place.node);
            }
        }
        self.sort_in(place);
    }

    /// A node's kubelet uses exactly these volumes. Returns whether that is news.
    pub(super) fn set_in_use(&mut self, node: Symbol, in_use: &[Symbol]) -> bool {
        let mut changed = false;
        for &volume in self.by_node.get(&node).into_iter().flatten() {
            if let Some(attached) = self.attached.get_mut(&Place { volume, node }) {
                let mounted = in_use.contains(&volume);
                changed |= std::mem::replace(&mut attached.mounted, mounted) != mounted;
            }
        }
        changed
    }

    /// What is attached at a place.
    pub(super) fn attached(&self, place: Place) -> Option<&Attached> {
        self.attached.get(&place)
    }

    /// The same, to be changed.
    pub(super) fn attached_mut(&mut self, place: Place) -> Option<&mut Attached> {
        self.attached.get_mut(&place)
    }

    /// Who needs a place.
    pub(super) fn needed_mut(&mut self, place: Place) -> Option<&mut Needed> {
        self.needed.get_mut(&place)
    }

    /// The pods that need a place, in order of their rows.
    pub(super) fn pods_at(&self, place: Place) -> impl Iterator<Item = u32> {
        self.needed.get(&place).into_iter().flat_map(|needed| needed.pods.iter().copied())
    }

    /// The nodes to which a volume is attached for certain.
    pub(super) fn nodes_of(&self, volume: Symbol) -> impl Iterator<Item = Symbol> {
        let places = self.attached.range(Place { volume, node: Symbol::empty() }..);
        let places = places.take_while(move |(place, _)| place.volume == volume);
        places.filter(|(_, attached)| attached.certainty == Certainty::Attached).map(|(place, _)| place.node)
    }

    /// The volumes that a node's status is to list, in order.
    pub(super) fn reported_of(&self, node: Symbol) -> Vec<Symbol> {
        let volumes = self.by_node.get(&node).into_iter().flatten().copied();
        let reported = |volume: &Symbol| {
            self.attached.get(&Place { volume: *volume, node }).is_some_and(|it| it.reported)
        };
        volumes.filter(reported).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(volume: &str, node: &str) -> Place {
        Place { volume: Symbol::new(volume), node: Symbol::new(node) }
    }

    #[test]
    fn a_place_is_to_be_attached_while_a_pod_needs_it_and_to_be_detached_afterwards() {
        let mut attachments = Attachments::default();
        let (a, b) = (place("v", "a"), place("v", "b"));
        assert!(attachments.set_needs(1, [a].into()));
        assert!(!attachments.set_needs(1, [a].into()));
        assert!(attachments.to_attach.contains(&a));
        attachments.attach(a, Certainty::Attached);
        assert!(attachments.to_attach.is_empty() && attachments.to_detach.is_empty());
        attachments.set_needs(2, [b].into());
        assert_eq!(attachments.nodes_of(a.volume).collect::<Vec<_>>(), [a.node]);
        attachments.set_needs(1, BTreeSet::new());
        assert!(attachments.to_detach.contains(&a) && attachments.to_attach.contains(&b));
        attachments.detach(a);
        assert!(attachments.to_detach.is_empty());
        assert_eq!(attachments.nodes_of(a.volume).count(), 0);
    }

    #[test]
    fn an_uncertain_attachment_is_tried_again_and_undone_if_nobody_needs_it() {
        let mut attachments = Attachments::default();
        let a = place("v", "a");
        attachments.set_needs(1, [a].into());
        attachments.attach(a, Certainty::Uncertain);
        assert!(attachments.to_attach.contains(&a) && !attachments.to_detach.contains(&a));
        assert!(attachments.reported_of(a.node).is_empty());
        attachments.set_needs(1, BTreeSet::new());
        assert!(!attachments.to_attach.contains(&a) && attachments.to_detach.contains(&a));
    }

    #[test]
    fn what_a_node_uses_is_what_it_says_last() {
        let mut attachments = Attachments::default();
        let a = place("v", "a");
        attachments.attach(a, Certainty::Attached);
        assert!(attachments.attached(a).expect("attached").mounted);
        assert!(attachments.set_in_use(a.node, &[]));
        assert!(!attachments.attached(a).expect("attached").mounted);
        assert!(!attachments.set_in_use(a.node, &[]));
    }
}
