//! The cluster as the scheduler knows it: nodes with their pods, and the objects that plugins ask.

mod node_info;
mod node_tree;
pub(crate) mod volumes;

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use rustc_hash::FxHashMap;
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::node::Node;
use seatrial_api::object::Object;
use seatrial_api::pod::Pod;
use seatrial_api::policy::PodDisruptionBudget;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::Bytes;

pub use node_info::{NodeInfo, PodOnNode, Usage};
pub use volumes::Volumes;

use node_tree::{NodeTree, zone_key};

/// An owner whose selector spreads its pods: kind, namespace, name.
pub type OwnerKey = (Symbol, Symbol, CompactString);

fn owner_key(kind: &str, meta: &ObjectMeta) -> OwnerKey {
    (Symbol::new(kind), meta.namespace, meta.name.clone())
}

/// An image that some nodes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ImageSummary {
    /// The size that was first reported under this name.
    size: Bytes,
    /// How many nodes have it.
    nodes: u32,
}

/// The cluster as the scheduler knows it.
#[derive(Clone, Default)]
pub struct Cluster {
    nodes: Vec<NodeInfo>,
    slots: FxHashMap<Symbol, u32>,
    vacant: Vec<u32>,
    tree: NodeTree,
    /// Nodes in visiting order; rebuilt when a node comes or goes.
    order: Vec<u32>,
    order_stale: bool,
    images: FxHashMap<Symbol, ImageSummary>,
    namespaces: BTreeMap<Symbol, Labels>,
    services: BTreeMap<Symbol, BTreeMap<CompactString, Labels>>,
    owners: FxHashMap<OwnerKey, Arc<Selector>>,
    budgets: BTreeMap<u32, Arc<PodDisruptionBudget>>,
    /// Storage.
    pub volumes: Volumes,
}

impl Cluster {
    /// An empty cluster.
    pub fn new() -> Cluster {
        Cluster::default()
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.order.len()
    }

    /// The nodes in visiting order.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &NodeInfo> + '_ {
        self.order.iter().map(|&slot| &self.nodes[slot as usize])
    }

    /// The node at a position of the visiting order.
    pub(crate) fn node_at(&self, position: usize) -> &NodeInfo {
        &self.nodes[self.order[position] as usize]
    }

    /// The node with this name, if its object is known.
    pub fn node(&self, name: Symbol) -> Option<&NodeInfo> {
        let slot = *self.slots.get(&name)?;
        Some(&self.nodes[slot as usize]).filter(|info| info.node().is_some())
    }

    /// A label of a namespace that is known.
    pub fn namespace_labels(&self, namespace: Symbol) -> Option<&Labels> {
        self.namespaces.get(&namespace)
    }

    /// All namespaces with their labels.
    pub fn namespaces(&self) -> impl Iterator<Item = (Symbol, &Labels)> + '_ {
        self.namespaces.iter().map(|(&name, labels)| (name, labels))
    }

    /// The selectors of a namespace's Services, in name order.
    pub fn service_selectors(&self, namespace: Symbol) -> impl Iterator<Item = &Labels> + '_ {
        self.services.get(&namespace).into_iter().flat_map(BTreeMap::values)
    }

    /// The selector of a ReplicaSet, StatefulSet or ReplicationController.
    pub fn owner_selector(&self, owner: &OwnerKey) -> Option<&Arc<Selector>> {
        self.owners.get(owner)
    }

    /// The disruption budgets, in order of their rows.
    pub fn budgets(&self) -> impl Iterator<Item = &Arc<PodDisruptionBudget>> + '_ {
        self.budgets.values()
    }

    /// The size of an image and how many nodes have it.
    pub fn image(&self, name: Symbol) -> Option<(Bytes, u32)> {
        self.images.get(&name).map(|summary| (summary.size, summary.nodes))
    }

    /// Adds a node or replaces its object. The visiting order is stale if the node is new.
    pub fn set_node(&mut self, node: &Arc<Node>) {
        let slot = self.slot(node.name);
        let info = &mut self.nodes[slot as usize];
        let old = info.node().cloned();
        info.set_node(Some(node.clone()));
        let key = zone_key(&node.meta.labels);
        match &old {
            None => {
                self.tree.add(key, slot);
                self.order_stale = true;
            }
            Some(old) if zone_key(&old.meta.labels) != key => {
                self.tree.remove(zone_key(&old.meta.labels), slot);
                self.tree.add(key, slot);
            }
            Some(_) => {}
        }
        let same_images = old.as_ref().is_some_and(|old| old.images() == node.images());
        if !same_images {
            if let Some(old) = &old {
                self.count_images(old, -1);
            }
            self.count_images(node, 1);
        }
    }

    /// Takes a node away. Pods on it stay known, but invisible.
    pub fn remove_node(&mut self, name: Symbol) {
        let Some(&slot) = self.slots.get(&name) else { return };
        let info = &mut self.nodes[slot as usize];
        let Some(old) = info.node().cloned() else { return };
        info.set_node(None);
        self.tree.remove(zone_key(&old.meta.labels), slot);
        self.order_stale = true;
        self.count_images(&old, -1);
        self.vacate(slot);
    }

    /// Rebuilds the visiting order if nodes came or went; to be called before each cycle.
    pub fn refresh(&mut self) {
        if self.order_stale {
            self.order = self.tree.interleaved();
            self.order_stale = false;
        }
    }

    /// A pod is on a node, or is assumed to be.
    pub fn add_pod(&mut self, pod: &Arc<Pod>, node: Symbol) {
        let slot = self.slot(node);
        self.nodes[slot as usize].add_pod(pod);
        self.volumes.pod_added(pod);
    }

    /// A pod is no longer on a node.
    pub fn remove_pod(&mut self, id: u32, node: Symbol) {
        let Some(&slot) = self.slots.get(&node) else { return };
        if let Some(pod) = self.nodes[slot as usize].remove_pod(id) {
            self.volumes.pod_removed(&pod);
        }
        self.vacate(slot);
    }

    /// A pod on a node changed.
    pub fn update_pod(&mut self, old: &Pod, pod: &Arc<Pod>, node: Symbol) {
        if Arc::ptr_eq(&old.spec, &pod.spec) {
            if let Some(&slot) = self.slots.get(&node) {
                self.nodes[slot as usize].replace_pod(pod);
            }
        } else {
            self.remove_pod(old.meta.id, node);
            self.add_pod(pod, node);
        }
    }

    /// Takes note of an object that is neither a pod nor a node.
    pub fn apply(&mut self, object: &Object) {
        match object {
            Object::Namespace(namespace) => {
                self.set_namespace(Symbol::new(&namespace.meta.name), Some(namespace.meta.labels.clone()));
            }
            Object::Service(service) => {
                self.set_service(service.meta.namespace, &service.meta.name, service.selector.clone());
            }
            Object::ReplicaSet(set) => {
                self.set_owner(owner_key("ReplicaSet", &set.meta), Some(set.selector.clone()));
            }
            Object::StatefulSet(set) => {
                self.set_owner(owner_key("StatefulSet", &set.meta), Some(set.selector.clone()));
            }
            Object::PodDisruptionBudget(budget) => self.set_budget(budget.meta.id, Some(budget.clone())),
            Object::PersistentVolumeClaim(claim) => self.volumes.set_claim(claim.clone()),
            Object::PersistentVolume(volume) => self.volumes.set_volume(volume.clone()),
            Object::StorageClass(class) => {
                self.volumes.classes.insert(Symbol::new(&class.meta.name), class.clone());
            }
            Object::CsiNode(csi_node) => {
                self.volumes.csi_nodes.insert(Symbol::new(&csi_node.meta.name), csi_node.clone());
            }
            _ => {}
        }
    }

    /// Forgets such an object.
    pub fn forget(&mut self, object: &Object) {
        match object {
            Object::Namespace(namespace) => self.set_namespace(Symbol::new(&namespace.meta.name), None),
            Object::Service(service) => self.set_service(service.meta.namespace, &service.meta.name, None),
            Object::ReplicaSet(set) => self.set_owner(owner_key("ReplicaSet", &set.meta), None),
            Object::StatefulSet(set) => self.set_owner(owner_key("StatefulSet", &set.meta), None),
            Object::PodDisruptionBudget(budget) => self.set_budget(budget.meta.id, None),
            Object::PersistentVolumeClaim(claim) => {
                self.volumes.remove_claim(claim.meta.namespace, &claim.meta.name);
            }
            Object::PersistentVolume(volume) => self.volumes.remove_volume(&volume.meta.name),
            Object::StorageClass(class) => {
                self.volumes.classes.remove(&Symbol::new(&class.meta.name));
            }
            Object::CsiNode(csi_node) => {
                self.volumes.csi_nodes.remove(&Symbol::new(&csi_node.meta.name));
            }
            _ => {}
        }
    }

    /// Sets or forgets a namespace's labels.
    fn set_namespace(&mut self, name: Symbol, labels: Option<Labels>) {
        match labels {
            Some(labels) => self.namespaces.insert(name, labels),
            None => self.namespaces.remove(&name),
        };
    }

    /// Sets or forgets a Service's selector.
    fn set_service(&mut self, namespace: Symbol, name: &CompactString, selector: Option<Labels>) {
        let services = self.services.entry(namespace).or_default();
        match selector {
            Some(selector) => services.insert(name.clone(), selector),
            None => services.remove(name),
        };
    }

    /// Sets or forgets the selector of an owner.
    pub fn set_owner(&mut self, owner: OwnerKey, selector: Option<Arc<Selector>>) {
        match selector {
            Some(selector) => self.owners.insert(owner, selector),
            None => self.owners.remove(&owner),
        };
    }

    /// Sets or forgets a disruption budget.
    fn set_budget(&mut self, id: u32, budget: Option<Arc<PodDisruptionBudget>>) {
        match budget {
            Some(budget) => self.budgets.insert(id, budget),
            None => self.budgets.remove(&id),
        };
    }

    fn slot(&mut self, name: Symbol) -> u32 {
        if let Some(&slot) = self.slots.get(&name) {
            return slot;
        }
        let slot = self.vacant.pop().unwrap_or(self.nodes.len() as u32);
        if slot as usize == self.nodes.len() {
            self.nodes.push(NodeInfo::unseen(name));
        } else {
            self.nodes[slot as usize] = NodeInfo::unseen(name);
        }
        self.slots.insert(name, slot);
        slot
    }

    /// Frees the row of a node that is gone together with its pods.
    fn vacate(&mut self, slot: u32) {
        let info = &self.nodes[slot as usize];
        if info.node().is_none() && info.pods().is_empty() {
            self.slots.remove(&info.name());
            self.vacant.push(slot);
        }
    }

    fn count_images(&mut self, node: &Node, change: i64) {
        for image in node.images() {
            for &name in &image.names {
                let summary = self.images.entry(name).or_insert(ImageSummary { size: image.size, nodes: 0 });
                summary.nodes = summary.nodes.saturating_add_signed(change as i32);
                if summary.nodes == 0 {
                    self.images.remove(&name);
                }
            }
        }
    }
}
