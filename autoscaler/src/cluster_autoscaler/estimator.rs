//! How many nodes of a group some pods need: first fit over nodes that are only thought of (upstream
//! `estimator/binpacking_estimator.go`).

use std::sync::Arc;

use rustc_hash::FxHashSet;
use seatrial_api::node::Node;
use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;

use crate::view::{View, node_of};

/// Pods that are alike: of one owner, with one specification.
#[derive(Clone, Debug)]
pub(crate) struct PodGroup {
    pub(crate) pods: Vec<Arc<Pod>>,
}

impl PodGroup {
    /// Groups pods, in order of each group's first pod.
    pub(crate) fn of(pods: Vec<Arc<Pod>>) -> Vec<PodGroup> {
        let mut groups: Vec<PodGroup> = Vec::new();
        for pod in pods {
            match groups.iter_mut().find(|group| are_alike(&group.pods[0], &pod)) {
                Some(group) => group.pods.push(pod),
                None => groups.push(PodGroup { pods: vec![pod] }),
            }
        }
        groups
    }

    /// A pod that stands for all.
    pub(crate) fn sample(&self) -> &Arc<Pod> {
        &self.pods[0]
    }
}

/// Whether two pods are of one controller and ask for the same.
pub(crate) fn are_alike(one: &Pod, other: &Pod) -> bool {
    let owner = |pod: &Pod| pod.meta.controller().map(|owner| owner.uid);
    owner(one).is_some()
        && owner(one) == owner(other)
        && one.meta.labels == other.meta.labels
        && (Arc::ptr_eq(&one.spec, &other.spec) || one.spec == other.spec)
}

/// What an estimate came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Estimate {
    pub(crate) nodes: u32,
    pub(crate) pods: Vec<Arc<Pod>>,
}

/// Packs pods onto nodes of a template, at most `nodes_max` of them.
pub(crate) fn estimate(view: &mut View, template: &Node, groups: &[&PodGroup], nodes_max: u32) -> Estimate {
    let mut groups = groups.to_vec();
    groups.sort_by(|a, b| size(b.sample(), template).total_cmp(&size(a.sample(), template)));
    view.snapshot.fork();
    let mut packing = Packing {
        view,
        template,
        nodes_max,
        opened: Vec::new(),
        used: FxHashSet::default(),
        start: 0,
        packed: Vec::new(),
    };
    for group in groups {
        packing.pack(group);
    }
    // A node that was opened and holds none of the pods is not needed.
    let estimate = Estimate { nodes: packing.used.len() as u32, pods: std::mem::take(&mut packing.packed) };
    view.snapshot.revert();
    estimate
}

/// How large a pod is in terms of a node: its share of CPU and its share of memory.
fn size(pod: &Pod, template: &Node) -> f64 {
    let (requests, offered) = (&pod.spec.derived.requests, &template.allocatable.amounts);
    let share = |part: i64, whole: i64| if whole > 0 { part as f64 / whole as f64 } else { 0.0 };
    share(requests.cpu.get(), offered.cpu.get()) + share(requests.memory.get(), offered.memory.get())
}

struct Packing<'a> {
    view: &'a mut View,
    template: &'a Node,
    nodes_max: u32,
    opened: Vec<Symbol>,
    /// Opened nodes that hold one of the pods.
    used: FxHashSet<Symbol>,
    /// Where the next walk over the nodes begins.
    start: usize,
    packed: Vec<Arc<Pod>>,
}

impl Packing<'_> {
    fn pack(&mut self, group: &PodGroup) {
        for pod in &group.pods {
            if self.place(pod) {
                continue;
            }
            // A pod of this kind does not fit on an empty node, which was opened in vain: no other
            // of its kind will.
            if self.opened.last().is_some_and(|last| !self.used.contains(last)) {
                return;
            }
            if self.opened.len() as u32 >= self.nodes_max || !self.open_and_place(pod) {
                return;
            }
        }
    }

    /// Places a pod on a node that was opened before.
    fn place(&mut self, pod: &Arc<Pod>) -> bool {
        if self.opened.is_empty() {
            return false;
        }
        let opened = &self.opened;
        let found = self
            .view
            .snapshot
            .first_fit(pod, &mut self.start, |node| opened.binary_search(&node.name()).is_ok());
        found.is_some_and(|node| self.put(pod, node))
    }

    fn open_and_place(&mut self, pod: &Arc<Pod>) -> bool {
        let name = Symbol::new(&format!("template-node-for-{}-{:05}", self.template.name, self.opened.len()));
        self.view.think_of_node(&node_of(self.template, name));
        // The names rise, so the list stays sorted.
        self.opened.push(name);
        self.view.snapshot.fits(pod, name).is_ok() && self.put(pod, name)
    }

    fn put(&mut self, pod: &Arc<Pod>, node: Symbol) -> bool {
        self.view.snapshot.add_pod(pod, node);
        self.used.insert(node);
        self.packed.push(pod.clone());
        true
    }
}
