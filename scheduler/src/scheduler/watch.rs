//! What the watches tell.

use std::sync::Arc;

use seatrial_api::node::Node;
use seatrial_api::object::Object;
use seatrial_api::pod::Pod;
use seatrial_api::request::{Change, WatchEvent};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use super::Scheduler;
use crate::queue::{ClusterEvent, Place, PodChange, PodEntry, node_changes, pod_changes};

impl Scheduler {
    /// A watched object changed.
    pub(super) fn on_watch(&mut self, now: SimTime, event: &WatchEvent) {
        let gone = event.change == Change::Deleted;
        match &event.object {
            Object::Pod(pod) if gone || pod.status.phase.is_terminal() => self.pod_gone(now, pod.meta.id),
            Object::Pod(pod) => self.pod_changed(now, pod),
            Object::Node(node) if gone => self.node_gone(now, node),
            Object::Node(node) => self.node_changed(now, node),
            Object::Untyped(object) => self.group_changed(object, gone),
            object => self.object_changed(now, object, gone),
        }
    }

    /// An object changed that is neither a pod nor a node.
    fn object_changed(&mut self, now: SimTime, object: &Object, gone: bool) {
        if gone {
            self.cluster.forget(object);
            if let Object::VolumeAttachment(attachment) = object {
                self.event(now, ClusterEvent::AttachmentDelete(attachment.clone()), None);
            }
            return;
        }
        let event = self.storage_event(object);
        self.cluster.apply(object);
        if let Some(event) = event {
            self.event(now, event, None);
        }
    }

    /// What the queue is told of a new version of a storage object.
    fn storage_event(&self, object: &Object) -> Option<ClusterEvent> {
        let volumes = &self.cluster.volumes;
        Some(match object {
            Object::PersistentVolumeClaim(claim) => {
                match volumes.claim(claim.meta.namespace, &claim.meta.name).cloned() {
                    Some(old) => ClusterEvent::ClaimUpdate { old, new: claim.clone() },
                    None => ClusterEvent::ClaimAdd(claim.clone()),
                }
            }
            Object::PersistentVolume(volume) => match volumes.volumes.get(&volume.meta.name).cloned() {
                Some(old) => ClusterEvent::VolumeUpdate { old, new: volume.clone() },
                None => ClusterEvent::VolumeAdd(volume.clone()),
            },
            Object::StorageClass(class) => match volumes.classes.get(&Symbol::new(&class.meta.name)).cloned()
            {
                Some(old) => ClusterEvent::ClassUpdate { old, new: class.clone() },
                None => ClusterEvent::ClassAdd(class.clone()),
            },
            Object::CsiNode(csi_node) => {
                match volumes.csi_nodes.get(&Symbol::new(&csi_node.meta.name)).cloned() {
                    Some(old) => ClusterEvent::CsiNodeUpdate { old, new: csi_node.clone() },
                    None => ClusterEvent::CsiNodeAdd(csi_node.clone()),
                }
            }
            Object::CsiDriver(driver) => {
                let old = volumes.csi_drivers.get(&Symbol::new(&driver.meta.name)).cloned()?;
                ClusterEvent::DriverUpdate { old, new: driver.clone() }
            }
            Object::CsiStorageCapacity(capacity) => {
                match volumes.capacities.get(&capacity.meta.id).cloned() {
                    Some(old) => ClusterEvent::CapacityUpdate { old, new: capacity.clone() },
                    None => ClusterEvent::CapacityAdd(capacity.clone()),
                }
            }
            _ => return None,
        })
    }

    /// Tells the queue.
    pub(super) fn event(&mut self, now: SimTime, event: ClusterEvent, except: Option<u32>) {
        if let Some(attempt) = self.gangs.as_mut().and_then(|gangs| gangs.attempt.as_mut()) {
            attempt.disturbed = true;
        }
        self.queue.on_event(&mut self.pods, &self.profiles, &self.cluster, event, now, except);
    }

    fn pod_changed(&mut self, now: SimTime, pod: &Arc<Pod>) {
        let id = pod.meta.id;
        match (self.pods.get(&id).map(|entry| entry.place), pod.node) {
            (None, Some(node)) => {
                self.pods.insert(id, PodEntry::new(pod.clone(), Place::Assigned(node), 0, now));
                self.queue.pod_known(pod);
                self.placed_in_group(pod);
                self.assigned(now, pod, node);
            }
            (None, None) => self.pod_waits(now, pod),
            (Some(Place::Assigned(node)), _) => self.assigned_pod_updated(now, pod, node),
            (Some(Place::Assumed(assumed)), Some(node)) => self.binding_confirmed(now, pod, assumed, node),
            (Some(Place::Assumed(node)), None) => {
                let Some(entry) = self.pods.get_mut(&id) else { return };
                let old = std::mem::replace(&mut entry.pod, pod.clone());
                self.cluster.update_pod(&old, pod, node, entry.row);
                self.queue.placed_pod_changed(&old, pod);
            }
            (Some(_), Some(node)) => {
                self.queue.remove(&mut self.pods, &self.profiles, id);
                self.nominations.remove(id);
                let Some(entry) = self.pods.get_mut(&id) else { return };
                let old = std::mem::replace(&mut entry.pod, pod.clone());
                entry.place = Place::Assigned(node);
                self.queue.pod_changed(&old, pod);
                self.group_member_changed(now, &old, pod);
                self.placed_in_group(pod);
                self.assigned(now, pod, node);
            }
            (Some(_), None) => self.waiting_pod_updated(now, pod),
        }
    }

    /// A pod that is new and has no node: it is queued if it is ours.
    fn pod_waits(&mut self, now: SimTime, pod: &Arc<Pod>) {
        let Some(profile) = self.profile_of(pod) else { return };
        let id = pod.meta.id;
        if self.learns_demand {
            self.cluster.learn(pod);
        }
        self.pods.insert(id, PodEntry::new(pod.clone(), Place::Dropped, profile, now));
        self.queue.pod_known(pod);
        if !self.waits_for_group(pod) {
            self.queue.enqueue(&mut self.pods, &self.profiles, id, Place::Active);
        }
        if let Some(node) = pod.status.nominated_node {
            self.nominations.set(pod, node);
        }
    }

    /// A pod is on a node of which we did not think it would be there.
    fn assigned(&mut self, now: SimTime, pod: &Arc<Pod>, node: Symbol) {
        self.cluster.add_pod(pod, node, u32::MAX);
        self.queue.pod_placed(pod);
        self.note_placed(now, pod.meta.id);
        self.event(now, ClusterEvent::PodAdd(pod.clone()), None);
    }

    fn binding_confirmed(&mut self, now: SimTime, pod: &Arc<Pod>, assumed: Symbol, node: Symbol) {
        let id = pod.meta.id;
        self.pre_bindings.remove(&id);
        let Some(entry) = self.pods.get_mut(&id) else { return };
        entry.place = Place::Assigned(node);
        let old = std::mem::replace(&mut entry.pod, pod.clone());
        if assumed == node {
            self.cluster.update_pod(&old, pod, node, entry.row);
        } else {
            self.cluster.remove_pod(id, assumed, entry.row);
            self.cluster.add_pod(pod, node, u32::MAX);
        }
        self.queue.placed_pod_changed(&old, pod);
        self.event(now, ClusterEvent::PodAdd(pod.clone()), None);
    }

    fn assigned_pod_updated(&mut self, now: SimTime, pod: &Arc<Pod>, node: Symbol) {
        let Some(entry) = self.pods.get_mut(&pod.meta.id) else { return };
        let old = std::mem::replace(&mut entry.pod, pod.clone());
        self.cluster.update_pod(&old, pod, node, entry.row);
        self.queue.placed_pod_changed(&old, pod);
        self.group_member_changed(now, &old, pod);
        for change in pod_changes(&old, pod) {
            if change != PodChange::Other {
                let event = ClusterEvent::PodUpdate { old: old.clone(), new: pod.clone(), change };
                self.event(now, event, None);
            }
        }
    }

    /// A pod without a node changed.
    fn waiting_pod_updated(&mut self, now: SimTime, pod: &Arc<Pod>) {
        let id = pod.meta.id;
        let Some(entry) = self.pods.get_mut(&id) else { return };
        let old = std::mem::replace(&mut entry.pod, pod.clone());
        self.queue.pod_changed(&old, pod);
        self.group_member_changed(now, &old, pod);
        let nominated = (old.status.nominated_node, pod.status.nominated_node);
        match nominated {
            (None, None) => self.nominations.update(pod),
            (_, Some(node)) => self.nominations.set(pod, node),
            (Some(_), None) => self.nominations.remove(id),
        }
        if nominated.0.is_some() && nominated.0 != nominated.1 {
            self.nomination_lost(now, &old);
        }
        for change in pod_changes(&old, pod) {
            if change != PodChange::Other {
                let event = ClusterEvent::OwnUpdate { old: old.clone(), new: pod.clone(), change };
                self.queue.on_own_update(&mut self.pods, &self.profiles, &self.cluster, id, event, now);
            }
        }
    }

    /// Room that was meant for a nominated pod is free again, for pods that matter no more than it.
    fn nomination_lost(&mut self, now: SimTime, pod: &Arc<Pod>) {
        let up_to_priority = Some(pod.spec.priority());
        self.event(now, ClusterEvent::PodDelete { pod: pod.clone(), up_to_priority }, Some(pod.meta.id));
    }

    fn pod_gone(&mut self, now: SimTime, id: u32) {
        let Some(entry) = self.pods.get(&id) else { return };
        let (pod, row) = (entry.pod.clone(), entry.row);
        let (place, gone) = (entry.place, entry.pod.clone());
        self.queue.pod_gone(&pod);
        match place {
            Place::Assigned(node) => {
                self.pods.remove(&id);
                self.cluster.remove_pod(id, node, row);
                self.queue.pod_displaced(&pod);
                self.event(now, ClusterEvent::PodDelete { pod, up_to_priority: None }, None);
            }
            Place::Assumed(node) => {
                self.forget(id, &pod, node);
                self.pods.remove(&id);
                self.event(now, ClusterEvent::PodDelete { pod, up_to_priority: None }, None);
            }
            _ => {
                self.queue.remove(&mut self.pods, &self.profiles, id);
                self.pods.remove(&id);
                self.nominations.remove(id);
                self.last_victims.remove(&id);
                if pod.status.nominated_node.is_some() {
                    self.nomination_lost(now, &pod);
                }
            }
        }
        self.leaves_group(now, &gone, true);
    }

    fn node_changed(&mut self, now: SimTime, node: &Arc<Node>) {
        let old = self.cluster.node(node.name).and_then(|info| info.node().cloned());
        self.cluster.set_node(node);
        let Some(old) = old else {
            self.event(now, ClusterEvent::NodeAdd(node.clone()), None);
            return;
        };
        for change in node_changes(&old, node) {
            let event = ClusterEvent::NodeUpdate { old: old.clone(), new: node.clone(), change };
            self.event(now, event, None);
        }
    }

    fn node_gone(&mut self, now: SimTime, node: &Arc<Node>) {
        self.cluster.remove_node(node.name);
        self.event(now, ClusterEvent::NodeDelete(node.clone()), None);
    }
}
