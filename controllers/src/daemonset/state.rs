//! What the controller remembers of each DaemonSet: expectations, own writes, which nodes its pods
//! belong on, and the back-off with which failed pods are deleted.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::labels::Labels;
use seatrial_api::node::{
    Node, TAINT_DISK_PRESSURE, TAINT_MEMORY_PRESSURE, TAINT_NETWORK_UNAVAILABLE, TAINT_NOT_READY,
    TAINT_PID_PRESSURE, TAINT_UNREACHABLE, TAINT_UNSCHEDULABLE,
};
use seatrial_api::pod::{Pod, PodSpec};
use seatrial_api::scheduling::{
    NodeConstraint, TaintEffect, Toleration, TolerationOperator, first_untolerated,
};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::workload::DaemonSet;

use super::plan::{Place, Revision, Verdict};
use crate::framework::{Caches, Expectations, OwnWrites, Parentage};

/// The first and the longest back-off between deletions of failed pods on a node.
const BACKOFF_BASE: Span = Span::from_secs(1);
const BACKOFF_MAX: Span = Span::from_mins(15);

/// What is remembered of one set.
#[derive(Clone, Debug, Default)]
pub(super) struct SetState {
    pub(super) expectations: Expectations,
    pub(super) writes: OwnWrites,
    /// Back-offs by the generation that was observed when they began, and by node.
    backoffs: FxHashMap<(i64, Symbol), Backoff>,
    verdicts: Verdicts,
    pods: Option<PodMaker>,
}

#[derive(Clone, Copy, Debug)]
struct Backoff {
    span: Span,
    updated: SimTime,
}

/// Verdicts by the nodes' rows, for one template.
#[derive(Clone, Debug, Default)]
struct Verdicts {
    template: Option<Arc<PodSpec>>,
    by_row: Vec<Option<Verdict>>,
}

/// What all pods of one template share.
#[derive(Clone, Debug)]
struct PodMaker {
    template: Arc<PodSpec>,
    spec: Arc<PodSpec>,
    parentage: Parentage,
}

impl SetState {
    /// All nodes, and whether the set's pods belong there.
    pub(super) fn places(&mut self, caches: &Caches, set: &DaemonSet) -> Vec<Place> {
        let spec = self.maker(set).spec.clone();
        let verdicts = &mut self.verdicts;
        let same = verdicts.template.as_ref().is_some_and(|known| Arc::ptr_eq(known, &set.template.spec));
        if !same {
            *verdicts = Verdicts { template: Some(set.template.spec.clone()), by_row: Vec::new() };
        }
        let mut places = Vec::with_capacity(caches.nodes.len());
        for node in caches.nodes.iter() {
            let row = node.meta.id as usize;
            if row >= verdicts.by_row.len() {
                verdicts.by_row.resize(row + 1, None);
            }
            let verdict = *verdicts.by_row[row].get_or_insert_with(|| judge(&spec, node));
            places.push(Place { node: node.name, verdict });
        }
        places
    }

    /// Whether the set's pods belong on a node, judged anew.
    pub(super) fn judge_anew(&mut self, set: &DaemonSet, node: &Node) -> Verdict {
        if let Some(known) = self.verdicts.by_row.get_mut(node.meta.id as usize) {
            *known = None;
        }
        judge(&self.maker(set).spec, node)
    }

    fn maker(&mut self, set: &DaemonSet) -> &PodMaker {
        let fits = |maker: &PodMaker| Arc::ptr_eq(&maker.template, &set.template.spec);
        if !self.pods.as_ref().is_some_and(fits) {
            self.pods = Some(PodMaker {
                template: set.template.spec.clone(),
                spec: Arc::new(with_tolerations(&set.template.spec)),
                parentage: Parentage::generated(set, Vec::new()),
            });
        }
        self.pods.as_ref().expect("invariant: it was just made")
    }

    /// Makes pods for nodes; they share specification and labels.
    pub(super) fn pods(
        &mut self,
        set: &DaemonSet,
        revision: Revision,
        nodes: impl IntoIterator<Item = Symbol>,
    ) -> Vec<Pod> {
        let own = [Some(revision.hash), revision.generation].into_iter().flatten();
        let labels = Labels::new(set.template.labels.iter().copied().chain(own).collect());
        let maker = self.maker(set);
        let pod = |node| {
            let (annotations, spec) = (set.template.annotations.clone(), maker.spec.clone());
            let mut pod = maker.parentage.pod_with(labels.clone(), annotations, spec);
            pod.target_node = Some(node);
            pod
        };
        nodes.into_iter().map(pod).collect()
    }

    /// Whether a failed pod on a node may be deleted now, which opens the next back-off; else how
    /// long the back-off is.
    pub(super) fn try_delete_failed(
        &mut self,
        generation: i64,
        node: Symbol,
        now: SimTime,
    ) -> Result<(), Span> {
        let backoff = self.backoffs.get_mut(&(generation, node));
        let backoff = backoff.filter(|backoff| now - backoff.updated <= BACKOFF_MAX.times(2));
        match backoff {
            Some(backoff) if now - backoff.updated < backoff.span => Err(backoff.span),
            Some(backoff) => {
                *backoff = Backoff { span: backoff.span.times(2).min(BACKOFF_MAX), updated: now };
                Ok(())
            }
            None => {
                self.backoffs.insert((generation, node), Backoff { span: BACKOFF_BASE, updated: now });
                Ok(())
            }
        }
    }

    /// Forgets the back-offs of a node that is gone.
    pub(super) fn forget_node(&mut self, node: &Node) {
        self.backoffs.retain(|key, _| key.1 != node.name);
        if let Some(known) = self.verdicts.by_row.get_mut(node.meta.id as usize) {
            *known = None;
        }
    }
}

/// Whether pods of a specification belong on a node. Resources are not asked for: a full node
/// leaves its pod pending.
fn judge(spec: &PodSpec, node: &Node) -> Verdict {
    let constraint =
        NodeConstraint { selector: &spec.node_selector, affinity: spec.affinity.as_ref(), target: None };
    if !constraint.matches(&node.meta.labels, node.name) {
        return Verdict { should_run: false, may_stay: false };
    }
    let tolerates =
        |effects: &[TaintEffect]| first_untolerated(&spec.tolerations, node.taints(), effects).is_none();
    let may_stay = tolerates(&[TaintEffect::NoExecute]);
    Verdict { should_run: may_stay && tolerates(&[TaintEffect::NoSchedule]), may_stay }
}

/// A specification with the tolerations that keep its pods on nodes in trouble.
fn with_tolerations(template: &PodSpec) -> PodSpec {
    use TaintEffect::{NoExecute, NoSchedule};
    let mut spec = template.clone();
    let mut tolerations = spec.tolerations.to_vec();
    let wanted = [
        (TAINT_NOT_READY, NoExecute),
        (TAINT_UNREACHABLE, NoExecute),
        (TAINT_DISK_PRESSURE, NoSchedule),
        (TAINT_MEMORY_PRESSURE, NoSchedule),
        (TAINT_PID_PRESSURE, NoSchedule),
        (TAINT_UNSCHEDULABLE, NoSchedule),
    ];
    let network = spec.host_network.then_some((TAINT_NETWORK_UNAVAILABLE, NoSchedule));
    for (key, effect) in wanted.into_iter().chain(network) {
        let toleration = Toleration {
            key: key.into(),
            operator: TolerationOperator::Exists,
            value: Symbol::empty(),
            effect: Some(effect),
            seconds: None,
        };
        let same =
            |other: &&mut Toleration| Toleration { seconds: None, ..Toleration::clone(other) } == toleration;
        match tolerations.iter_mut().find(same) {
            Some(other) => *other = toleration,
            None => tolerations.push(toleration),
        }
    }
    spec.tolerations = tolerations.into();
    spec
}

#[cfg(test)]
mod tests {
    use seatrial_api::container::Container;
    use seatrial_api::meta::ObjectMeta;
    use seatrial_api::scheduling::Taint;

    use super::*;

    #[test]
    fn tolerations_are_added_once_and_without_limit_of_time() {
        let mut spec = PodSpec::new(vec![Container::new("main", "image")]);
        spec.tolerations = Box::new([Toleration {
            key: TAINT_NOT_READY.into(),
            operator: TolerationOperator::Exists,
            value: Symbol::empty(),
            effect: Some(TaintEffect::NoExecute),
            seconds: Some(30),
        }]);
        let tolerations = with_tolerations(&spec).tolerations;
        assert_eq!(tolerations.len(), 6);
        assert_eq!(tolerations[0].seconds, None);
        let host = PodSpec { host_network: true, ..spec };
        assert_eq!(with_tolerations(&host).tolerations.len(), 7);
    }

    #[test]
    fn taints_decide_between_running_and_staying() {
        let spec = with_tolerations(&PodSpec::new(vec![Container::new("main", "image")]));
        let node = |effect| {
            let taint = Taint { key: "team".into(), value: "a".into(), effect };
            Node {
                meta: ObjectMeta { name: "n".into(), ..ObjectMeta::default() },
                name: "n".into(),
                taints: Some(Arc::new([taint])),
                ..Node::default()
            }
        };
        let verdict = |effect| {
            let verdict = judge(&spec, &node(effect));
            (verdict.should_run, verdict.may_stay)
        };
        assert_eq!(verdict(TaintEffect::PreferNoSchedule), (true, true));
        assert_eq!(verdict(TaintEffect::NoSchedule), (false, true));
        assert_eq!(verdict(TaintEffect::NoExecute), (false, false));
    }

    #[test]
    fn failed_pods_are_deleted_with_a_doubling_back_off() {
        let mut state = SetState::default();
        let node = Symbol::new("n");
        let mut at = |seconds| state.try_delete_failed(1, node, SimTime::from_secs(seconds));
        assert_eq!(at(0), Ok(()));
        assert_eq!(at(0), Err(Span::from_secs(1)));
        assert_eq!(at(1), Ok(()));
        assert_eq!(at(2), Err(Span::from_secs(2)));
        assert_eq!(at(3), Ok(()));
        assert_eq!(at(3 + 1_801), Ok(()), "forgotten after half an hour");
        assert_eq!(at(3 + 1_801), Err(Span::from_secs(1)));
    }
}
