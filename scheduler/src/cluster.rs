//! The cluster as the scheduler knows it: nodes with their pods, and the objects that plugins ask.

mod content;
mod eligibility;
mod gpus;
mod index;
mod node_info;
mod node_tree;
mod pod_sets;
mod templates;
mod topology;
pub(crate) mod volumes;

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use rustc_hash::FxHashMap;
use seatrial_api::gpu::DeviceSet;
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::node::Node;
use seatrial_api::object::Object;
use seatrial_api::pod::{Pod, PodConditionType};
use seatrial_api::policy::PodDisruptionBudget;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::Bytes;

pub use content::Content;
pub use gpus::{FreeMilli, GpuKind, NodeGpus};
pub use node_info::{NodeInfo, PodOnNode, Usage};
pub use volumes::Volumes;

pub(crate) use eligibility::{Eligibilities, EligibilityId, node_constraint};
pub(crate) use gpus::tightest;
pub(crate) use index::Index;
pub(crate) use pod_sets::{Membership, PodSet, Role, SetId};
pub(crate) use templates::TemplateId;
pub(crate) use topology::{Topology, TopologyId};

use crate::fragmentation::{Fragmentation, Learned};

use node_tree::{NodeTree, zone_key};

/// Labels of namespaces by name.
pub(crate) type Namespaces = BTreeMap<Symbol, Labels>;

/// An owner whose selector spreads its pods: kind, namespace, name.
pub type OwnerKey = (Symbol, Symbol, CompactString);

/// Whether two versions of a pod of one template are the same to all who look at the pods of a
/// node: victims are chosen by start time, and those that leave already are told by their deletion
/// and its cause.
fn reads_alike(old: &Pod, new: &Pod) -> bool {
    let target = |pod: &Pod| pod.status.conditions.get(PodConditionType::DisruptionTarget);
    old.status.start_time == new.status.start_time
        && old.meta.is_deleting() == new.meta.is_deleting()
        && target(old) == target(new)
}

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

/// A row that changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowChange {
    pub(crate) row: u32,
    pub(crate) kind: RowChangeKind,
}

/// What changed about a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowChangeKind {
    /// What the node's object says.
    Object,
    /// Which pods are on the node.
    Pods,
    /// What is known of a pod on the node.
    PodStatus,
}

/// The cluster as the scheduler knows it.
///
/// Nodes are kept in visiting order; behind them are rows of nodes that are new or gone, until the
/// next [`Cluster::refresh`].
#[derive(Clone, Default)]
pub struct Cluster {
    nodes: Vec<NodeInfo>,
    visible: usize,
    rows: FxHashMap<Symbol, u32>,
    tree: NodeTree,
    /// Whether the visiting order is the order of names.
    in_name_order: bool,
    /// Whether nodes came or went since the last refresh.
    order_stale: bool,
    /// Whether labels or, where they matter, taints of nodes changed since the last refresh.
    topology_stale: bool,
    namespaces_stale: bool,
    /// Changes when rows get other numbers.
    pub(crate) epoch: u64,
    /// What changed about rows since `changes_before` changes.
    changes: Vec<RowChange>,
    changes_before: u64,
    pub(crate) index: Index,
    /// How many pods there are of each priority.
    priorities: BTreeMap<i32, u32>,
    images: FxHashMap<Symbol, ImageSummary>,
    /// Changes when it changes how widely images are spread.
    pub(crate) images_epoch: u64,
    namespaces: Namespaces,
    services: BTreeMap<Symbol, BTreeMap<CompactString, Labels>>,
    owners: FxHashMap<OwnerKey, Arc<Selector>>,
    /// Changes with selectors of Services and owners.
    pub(crate) selectors_epoch: u64,
    budgets: BTreeMap<u32, Arc<PodDisruptionBudget>>,
    /// What is typical of the pods that have arrived, where a plugin asks for it.
    learned: Learned,
    learned_fragmentation: Option<Arc<Fragmentation>>,
    /// Changes with disruption budgets.
    pub(crate) budgets_epoch: u64,
    /// Storage.
    pub volumes: Volumes,
}

/// So many changes of rows are remembered per row.
const CHANGES_PER_ROW: usize = 4;

impl Cluster {
    /// An empty cluster.
    pub fn new() -> Cluster {
        Cluster::default()
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.visible
    }

    /// The nodes in visiting order.
    pub fn nodes(&self) -> &[NodeInfo] {
        &self.nodes[..self.visible]
    }

    /// The node at a position of the visiting order.
    pub(crate) fn node_at(&self, position: usize) -> &NodeInfo {
        &self.nodes[position]
    }

    /// The first in name order of nodes that are given by their rows in visiting order.
    pub(crate) fn first_by_name(&self, mut rows: impl Iterator<Item = usize>) -> Option<usize> {
        if self.in_name_order { rows.next() } else { rows.min_by_key(|&row| self.nodes[row].name()) }
    }

    /// The node with this name, if its object is known.
    pub fn node(&self, name: Symbol) -> Option<&NodeInfo> {
        let row = *self.rows.get(&name)?;
        Some(&self.nodes[row as usize]).filter(|info| info.node().is_some())
    }

    /// The position of a node in the visiting order.
    pub(crate) fn position(&self, name: Symbol) -> Option<usize> {
        let row = *self.rows.get(&name)? as usize;
        (row < self.visible && self.nodes[row].node().is_some()).then_some(row)
    }

    /// The labels of a namespace that is known.
    pub fn namespace_labels(&self, namespace: Symbol) -> Option<&Labels> {
        self.namespaces.get(&namespace)
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

    /// The number of changes of rows so far.
    pub(crate) fn change_count(&self) -> u64 {
        self.changes_before + self.changes.len() as u64
    }

    /// The changes of rows since `seen` changes; `None` if they are no longer remembered.
    pub(crate) fn changes_since(&self, seen: u64) -> Option<&[RowChange]> {
        let from = seen.checked_sub(self.changes_before)?;
        self.changes.get(from as usize..)
    }

    fn note_change(&mut self, row: u32, kind: RowChangeKind) {
        // Rows that are not visible yet come with a new epoch.
        if row as usize >= self.visible {
            return;
        }
        if self.changes.len() >= CHANGES_PER_ROW * self.nodes.len() + 1024 {
            let forgotten = self.changes.len() / 2;
            self.changes.drain(..forgotten);
            self.changes_before += forgotten as u64;
        }
        self.changes.push(RowChange { row, kind });
    }

    /// Adds a node or replaces its object. It takes effect with the next [`Cluster::refresh`].
    pub fn set_node(&mut self, node: &Arc<Node>) {
        let row = self.row(node.name);
        let old = self.nodes[row as usize].node().cloned();
        self.nodes[row as usize].set_node(Some(node.clone()));
        let key = zone_key(&node.meta.labels);
        let Some(old) = old else {
            self.tree.add(key, node.name);
            self.order_stale = true;
            self.count_images(node, 1);
            return;
        };
        let old_key = zone_key(&old.meta.labels);
        if old_key != key {
            self.tree.remove(old_key, node.name);
            self.tree.add(key, node.name);
        }
        if old.images() != node.images() {
            self.count_images(&old, -1);
            self.count_images(node, 1);
        }
        let same_labels = old.meta.labels == node.meta.labels;
        let same_taints = old.taints() == node.taints();
        self.topology_stale |= !same_labels || !same_taints && self.index.eligibilities.look_at_taints();
        let unchanged = same_labels
            && same_taints
            && old.unschedulable == node.unschedulable
            && old.allocatable == node.allocatable
            && old.images() == node.images();
        if !unchanged {
            self.note_change(row, RowChangeKind::Object);
        }
    }

    /// Takes a node away. Pods on it stay known, but invisible.
    pub fn remove_node(&mut self, name: Symbol) {
        let Some(&row) = self.rows.get(&name) else { return };
        let info = &mut self.nodes[row as usize];
        let Some(old) = info.node().cloned() else { return };
        info.set_node(None);
        self.tree.remove(zone_key(&old.meta.labels), name);
        self.order_stale = true;
        self.count_images(&old, -1);
    }

    /// Puts the nodes into visiting order if some came or went, and brings topologies up to date;
    /// to be called before each cycle.
    pub fn refresh(&mut self) {
        if self.order_stale {
            self.reorder();
        }
        if self.namespaces_stale {
            self.namespaces_stale = false;
            self.index.reset(&mut self.nodes, &self.namespaces);
        }
        if self.topology_stale {
            self.topology_stale = false;
            self.index.nodes_changed(&self.nodes);
        }
        self.index.sweep();
    }

    /// Renumbers the rows: nodes in visiting order, then those of which only pods are known.
    fn reorder(&mut self) {
        let mut order: Vec<u32> = self.tree.interleaved().into_iter().map(|name| self.rows[&name]).collect();
        self.visible = order.len();
        let invisible = |row: &u32| {
            let info = &self.nodes[*row as usize];
            info.node().is_none() && !info.pods().is_empty()
        };
        order.extend((0..self.nodes.len() as u32).filter(invisible));
        let mut old: Vec<NodeInfo> = std::mem::take(&mut self.nodes);
        self.nodes = order.iter().map(|&row| std::mem::take(&mut old[row as usize])).collect();
        self.rows = self.nodes.iter().enumerate().map(|(row, info)| (info.name(), row as u32)).collect();
        self.index.sets.renumber(&order);
        self.in_name_order = self.nodes().is_sorted_by_key(NodeInfo::name);
        self.order_stale = false;
        self.topology_stale = true;
        self.epoch += 1;
        self.changes_before = self.change_count();
        self.changes.clear();
    }

    /// The row of a node, which may be where it was last seen.
    fn row_near(&self, name: Symbol, hint: u32) -> Option<u32> {
        match self.nodes.get(hint as usize) {
            Some(info) if info.name() == name => Some(hint),
            _ => self.rows.get(&name).copied(),
        }
    }

    /// A pod is on a node, or is assumed to be. `hint` is where the node was last seen in the
    /// visiting order, for speed.
    pub(crate) fn add_pod(&mut self, pod: &Arc<Pod>, node: Symbol, hint: u32) {
        let row = self.row_near(node, hint).unwrap_or_else(|| self.row(node));
        let template = self.index.template(pod, &self.namespaces);
        self.nodes[row as usize].add_pod(pod, template);
        self.index.pod_added(template, pod, row as usize);
        self.volumes.pod_added(pod);
        *self.priorities.entry(pod.spec.priority()).or_default() += 1;
        self.note_change(row, RowChangeKind::Pods);
    }

    /// A pod is no longer on a node.
    pub(crate) fn remove_pod(&mut self, id: u32, node: Symbol, hint: u32) {
        let Some(row) = self.row_near(node, hint) else { return };
        let info = &mut self.nodes[row as usize];
        let Some(removed) = info.remove_pod(id) else { return };
        self.order_stale |= info.node().is_none() && info.pods().is_empty();
        self.index.pod_removed(removed.template, &removed.pod, row as usize);
        self.volumes.pod_removed(&removed.pod);
        let priority = removed.pod.spec.priority();
        if let Some(count) = self.priorities.get_mut(&priority) {
            *count -= 1;
            if *count == 0 {
                self.priorities.remove(&priority);
            }
        }
        self.note_change(row, RowChangeKind::Pods);
    }

    /// Puts a pod of a node on other devices; to be called before anybody asks about the node.
    pub(crate) fn set_devices(&mut self, pod: &Pod, node: Symbol, devices: DeviceSet) {
        if let Some(&row) = self.rows.get(&node) {
            self.nodes[row as usize].set_devices(pod, devices);
        }
    }

    /// Takes note of a pod that has arrived.
    pub(crate) fn learn(&mut self, pod: &Pod) {
        if let Some(typical) = self.learned.note(pod) {
            self.learned_fragmentation = Some(Arc::new(Fragmentation::new(&typical)));
            // All scores may be others.
            self.epoch += 1;
        }
    }

    /// The measure of fragmentation for what is typical of the pods that have arrived, if a plugin asks
    /// for it and there were some.
    pub fn learned_fragmentation(&self) -> Option<&Arc<Fragmentation>> {
        self.learned_fragmentation.as_ref()
    }

    /// Whether there are pods of lower priority on nodes.
    pub(crate) fn has_pods_below(&self, priority: i32) -> bool {
        self.priorities.first_key_value().is_some_and(|(&lowest, _)| lowest < priority)
    }

    /// A pod on a node changed.
    pub(crate) fn update_pod(&mut self, old: &Pod, pod: &Arc<Pod>, node: Symbol, hint: u32) {
        let same_template = Arc::ptr_eq(&old.spec, &pod.spec)
            && (old.meta.labels.same_allocation(&pod.meta.labels) || old.meta.labels == pod.meta.labels);
        if !same_template || old.meta.is_deleting() && !pod.meta.is_deleting() {
            self.remove_pod(old.meta.id, node, hint);
            self.add_pod(pod, node, hint);
            return;
        }
        if reads_alike(old, pod) {
            return;
        }
        let Some(row) = self.row_near(node, hint) else { return };
        self.nodes[row as usize].replace_pod(pod);
        if old.status.start_time != pod.status.start_time {
            self.note_change(row, RowChangeKind::PodStatus);
        }
        if !old.meta.is_deleting() && pod.meta.is_deleting() {
            let template = self.index.template(pod, &self.namespaces);
            self.index.pod_terminates(template, row as usize);
            self.note_change(row, RowChangeKind::PodStatus);
        }
    }

    /// Prepares a plan of a template: the index, the rows it is about, and the namespaces.
    pub(crate) fn planning(&mut self) -> (&mut Index, &[NodeInfo], &Namespaces) {
        (&mut self.index, &self.nodes, &self.namespaces)
    }

    /// The template of a pod.
    pub(crate) fn template(&mut self, pod: &Arc<Pod>) -> TemplateId {
        self.index.template(pod, &self.namespaces)
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
            object => self.volumes.set_other(object),
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
            object => self.volumes.remove_other(object),
        }
    }

    /// Sets or forgets a namespace's labels.
    fn set_namespace(&mut self, name: Symbol, labels: Option<Labels>) {
        if self.namespaces.get(&name) == labels.as_ref() {
            return;
        }
        self.namespaces_stale |= self.index.looks_at_namespaces();
        match labels {
            Some(labels) => self.namespaces.insert(name, labels),
            None => self.namespaces.remove(&name),
        };
    }

    /// Sets or forgets a Service's selector.
    fn set_service(&mut self, namespace: Symbol, name: &CompactString, selector: Option<Labels>) {
        let services = self.services.entry(namespace).or_default();
        if services.get(name) == selector.as_ref() {
            return;
        }
        self.selectors_epoch += 1;
        match selector {
            Some(selector) => services.insert(name.clone(), selector),
            None => services.remove(name),
        };
    }

    /// Sets or forgets the selector of an owner.
    pub fn set_owner(&mut self, owner: OwnerKey, selector: Option<Arc<Selector>>) {
        if self.owners.get(&owner) == selector.as_ref() {
            return;
        }
        self.selectors_epoch += 1;
        match selector {
            Some(selector) => self.owners.insert(owner, selector),
            None => self.owners.remove(&owner),
        };
    }

    /// Sets or forgets a disruption budget.
    fn set_budget(&mut self, id: u32, budget: Option<Arc<PodDisruptionBudget>>) {
        self.budgets_epoch += 1;
        match budget {
            Some(budget) => self.budgets.insert(id, budget),
            None => self.budgets.remove(&id),
        };
    }

    fn row(&mut self, name: Symbol) -> u32 {
        if let Some(&row) = self.rows.get(&name) {
            return row;
        }
        let row = self.nodes.len() as u32;
        self.nodes.push(NodeInfo::unseen(name));
        self.rows.insert(name, row);
        row
    }

    fn count_images(&mut self, node: &Node, change: i64) {
        for image in node.images() {
            for &name in &image.names {
                self.images_epoch += 1;
                let summary = self.images.entry(name).or_insert(ImageSummary { size: image.size, nodes: 0 });
                summary.nodes = summary.nodes.saturating_add_signed(change as i32);
                if summary.nodes == 0 {
                    self.images.remove(&name);
                }
            }
        }
    }
}
