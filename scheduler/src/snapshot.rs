//! A cluster in which one can try things out: where a pod would fit, what would follow if nodes
//! came or pods moved. This is what an autoscaler asks (upstream's `clustersnapshot`); the filters are
//! the scheduler's own.

use std::sync::Arc;

use seatrial_api::node::Node;
use seatrial_api::object::Object;
use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;

use crate::cases::profile_of;
use crate::cluster::{Cluster, NodeInfo};
use crate::config::{ConfigurationError, SchedulerConfiguration};
use crate::framework::{CycleState, Profile};
use crate::queue::Nominations;
use crate::schedule::{Diagnosis, PodRejected, View, passes_with_nominated, pre_filter};

/// A cluster in which one can try things out.
///
/// What is done after [`Snapshot::fork`] is undone by [`Snapshot::revert`], at the cost of what was
/// done; forks may be nested. Pods that are only nominated to a node do not count: whoever wants
/// them to puts them there.
#[derive(Clone)]
pub struct Snapshot {
    profiles: Arc<[Profile]>,
    nominations: Nominations,
    cluster: Cluster,
    /// What takes back each change since the first fork.
    undo: Vec<Undo>,
    /// How many changes there were at each fork.
    forks: Vec<usize>,
}

#[derive(Clone)]
enum Undo {
    TakePod(u32, Symbol),
    PutPod(Arc<Pod>, Symbol),
    TakeNode(Symbol),
    PutNode(Arc<Node>),
}

impl Snapshot {
    /// An empty cluster, to be judged by the profiles of a configuration. Extenders are not asked.
    ///
    /// # Errors
    /// If the configuration is not valid.
    pub fn new(configuration: &SchedulerConfiguration) -> Result<Snapshot, ConfigurationError> {
        let own = SchedulerConfiguration { extenders: Vec::new(), ..configuration.clone() };
        Ok(Snapshot {
            profiles: Profile::all(&own, &own.plugins.0)?.into(),
            nominations: Nominations::default(),
            cluster: Cluster::new(),
            undo: Vec::new(),
            forks: Vec::new(),
        })
    }

    /// The nodes in visiting order, as of the last question about a pod or [`Snapshot::settle`].
    pub fn nodes(&self) -> &[NodeInfo] {
        self.cluster.nodes()
    }

    /// The node with this name.
    pub fn node(&self, name: Symbol) -> Option<&NodeInfo> {
        self.cluster.node(name)
    }

    /// Takes note of an object that filters ask about: Service, volume, owner and the like. Such
    /// changes are not undone.
    pub fn apply(&mut self, object: &Object) {
        self.cluster.apply(object);
    }

    /// Forgets such an object.
    pub fn forget(&mut self, object: &Object) {
        self.cluster.forget(object);
    }

    /// Adds a node or replaces its object.
    pub fn set_node(&mut self, node: &Arc<Node>) {
        if !self.forks.is_empty() {
            let old = self.cluster.node(node.name).and_then(|info| info.node().cloned());
            self.undo.push(old.map_or(Undo::TakeNode(node.name), Undo::PutNode));
        }
        self.cluster.set_node(node);
    }

    /// Takes a node away. Its pods come back with it, if it comes back.
    pub fn remove_node(&mut self, name: Symbol) {
        let old = self.cluster.node(name).and_then(|info| info.node().cloned());
        if let (Some(old), false) = (old, self.forks.is_empty()) {
            self.undo.push(Undo::PutNode(old));
        }
        self.cluster.remove_node(name);
    }

    /// Puts a pod on a node.
    pub fn add_pod(&mut self, pod: &Arc<Pod>, node: Symbol) {
        if !self.forks.is_empty() {
            self.undo.push(Undo::TakePod(pod.meta.id, node));
        }
        self.cluster.add_pod(pod, node, u32::MAX);
    }

    /// Takes a pod from its node.
    pub fn remove_pod(&mut self, pod: &Arc<Pod>, node: Symbol) {
        if !self.forks.is_empty() {
            self.undo.push(Undo::PutPod(pod.clone(), node));
        }
        self.cluster.remove_pod(pod.meta.id, node, u32::MAX);
    }

    /// A pod that is on a node has a new version.
    pub fn update_pod(&mut self, old: &Pod, pod: &Arc<Pod>, node: Symbol) {
        debug_assert!(self.forks.is_empty(), "what was tried out is about pods that do not change");
        self.cluster.update_pod(old, pod, node, u32::MAX);
    }

    /// From now on changes are remembered.
    pub fn fork(&mut self) {
        self.forks.push(self.undo.len());
    }

    /// Takes back what was done since the last fork.
    pub fn revert(&mut self) {
        let kept = self.forks.pop().unwrap_or(0);
        while self.undo.len() > kept {
            match self.undo.pop() {
                Some(Undo::TakePod(id, node)) => self.cluster.remove_pod(id, node, u32::MAX),
                Some(Undo::PutPod(pod, node)) => self.cluster.add_pod(&pod, node, u32::MAX),
                Some(Undo::TakeNode(name)) => self.cluster.remove_node(name),
                Some(Undo::PutNode(node)) => self.cluster.set_node(&node),
                None => break,
            }
        }
    }

    /// Keeps what was done since the last fork, as if there had been none.
    pub fn commit(&mut self) {
        self.forks.pop();
        if self.forks.is_empty() {
            self.undo.clear();
        }
    }

    /// Brings the visiting order up to date.
    pub fn settle(&mut self) {
        self.cluster.refresh();
    }

    /// The first node on which the pod fits among those that `accept`, beginning at `start` of the
    /// visiting order and going round; `start` moves behind it.
    pub fn first_fit(
        &mut self,
        pod: &Arc<Pod>,
        start: &mut usize,
        mut accept: impl FnMut(&NodeInfo) -> bool,
    ) -> Option<Symbol> {
        self.cluster.refresh();
        let count = self.cluster.node_count();
        let mut state = CycleState::default();
        let view = self.view(pod, false);
        let allowed = pre_filter(view, &mut state, &mut Diagnosis::default()).ok()?;
        for step in 0..count {
            let position = (*start + step) % count;
            let node = view.cluster.node_at(position);
            if allowed.as_ref().is_some_and(|allowed| !allowed.contains(&node.name())) || !accept(node) {
                continue;
            }
            if passes_with_nominated(view, &state, node, false).is_ok() {
                *start = (position + 1) % count;
                return Some(node.name());
            }
        }
        None
    }

    /// Whether the pod fits on a node.
    ///
    /// # Errors
    /// The reasons why it does not, as the scheduler words them.
    pub fn fits(&mut self, pod: &Arc<Pod>, node: Symbol) -> Result<(), Vec<String>> {
        self.cluster.refresh();
        let mut state = CycleState::default();
        let mut diagnosis = Diagnosis::default();
        let view = self.view(pod, true);
        let allowed = match pre_filter(view, &mut state, &mut diagnosis) {
            Ok(allowed) => allowed,
            Err(PodRejected) => return Err(diagnosis.pre_filter_message.into_iter().collect()),
        };
        let Some(info) = view.cluster.node(node) else { return Err(vec!["node not found".into()]) };
        if allowed.is_some_and(|allowed| !allowed.contains(&node)) {
            return Err(diagnosis.absent.iter().map(|absent| absent.reason.to_string()).collect());
        }
        passes_with_nominated(view, &state, info, true)
            .map_err(|rejection| rejection.reasons.iter().map(ToString::to_string).collect())
    }

    fn view<'a>(&'a self, pod: &'a Arc<Pod>, explain: bool) -> View<'a> {
        View {
            cluster: &self.cluster,
            profile: profile_of(&self.profiles, pod),
            nominations: &self.nominations,
            pod,
            explain,
        }
    }
}

#[cfg(test)]
mod tests {
    use seatrial_api::container::Container;
    use seatrial_api::meta::ObjectMeta;
    use seatrial_api::node::NodeResources;
    use seatrial_api::pod::PodSpec;
    use seatrial_api::resources::{ResourceList, Resources};
    use seatrial_api::units::{Bytes, MilliCpu};

    use super::*;

    fn node(name: &str, cpu: i64) -> Arc<Node> {
        let amounts = Resources::of(MilliCpu(cpu), Bytes(1 << 30));
        let resources = Arc::new(NodeResources { amounts, pods: 10 });
        let meta = ObjectMeta::named("", name);
        let (capacity, allocatable) = (resources.clone(), resources);
        Arc::new(Node { meta, name: Symbol::new(name), capacity, allocatable, ..Node::default() })
    }

    fn pod(id: u32, cpu: i64) -> Arc<Pod> {
        let requests = ResourceList { cpu: Some(MilliCpu(cpu)), ..ResourceList::default() };
        let container = Container { requests, ..Container::new("main", "image") };
        let meta = ObjectMeta { id, ..ObjectMeta::named("default", &format!("pod-{id}")) };
        Arc::new(Pod::new(meta, Arc::new(PodSpec::new(vec![container]).sealed())))
    }

    #[test]
    fn what_is_tried_out_is_undone() {
        let mut snapshot = Snapshot::new(&SchedulerConfiguration::default()).unwrap();
        let (a, b) = (Symbol::new("a"), Symbol::new("b"));
        snapshot.set_node(&node("a", 1_000));
        snapshot.add_pod(&pod(1, 800), a);
        let wanted = pod(2, 500);
        assert_eq!(snapshot.fits(&wanted, a), Err(vec!["Insufficient cpu".to_owned()]));
        snapshot.fork();
        snapshot.set_node(&node("b", 1_000));
        assert_eq!(snapshot.first_fit(&wanted, &mut 0, |_| true), Some(b));
        snapshot.add_pod(&wanted, b);
        snapshot.fork();
        snapshot.remove_pod(&pod(1, 800), a);
        assert_eq!(snapshot.fits(&pod(3, 900), a), Ok(()));
        snapshot.revert();
        assert_eq!(snapshot.first_fit(&pod(3, 600), &mut 0, |_| true), None);
        snapshot.revert();
        assert_eq!(snapshot.first_fit(&wanted, &mut 0, |_| true), None);
        snapshot.settle();
        assert_eq!(snapshot.nodes().len(), 1);
    }
}
