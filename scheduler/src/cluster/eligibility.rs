//! Which nodes count for a spread constraint.

use std::sync::Arc;

use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;

use super::NodeInfo;
use super::content::Content;
use crate::bitset::Bitset;
use crate::plugins::topology_spread::Constraint;

/// The row of an eligibility in [`Eligibilities`].
pub(crate) type EligibilityId = usize;

/// A rule about nodes, and the rows that pass it.
#[derive(Clone, Debug)]
pub(crate) struct Eligibility {
    content: Content,
    pod: Arc<Pod>,
    constraint: Constraint,
    keys: Vec<Symbol>,
    pub(crate) rows: Bitset,
}

/// All rules that somebody asks about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Eligibilities(Vec<Eligibility>);

impl Eligibilities {
    /// The rule "has all these labels, and passes the node inclusion policies of `constraint` for
    /// `pod`".
    pub(crate) fn intern(
        &mut self,
        pod: &Arc<Pod>,
        constraint: &Constraint,
        keys: &[Symbol],
        nodes: &[NodeInfo],
    ) -> EligibilityId {
        let content = content(pod, constraint, keys);
        if let Some(id) = self.0.iter().position(|eligibility| eligibility.content == content) {
            return id;
        }
        let mut eligibility = Eligibility {
            content,
            pod: pod.clone(),
            constraint: constraint.clone(),
            keys: keys.to_vec(),
            rows: Bitset::default(),
        };
        eligibility.rebuild(nodes);
        self.0.push(eligibility);
        self.0.len() - 1
    }

    pub(crate) fn get(&self, id: EligibilityId) -> &Eligibility {
        &self.0[id]
    }

    /// Whether some rule looks at taints.
    pub(crate) fn look_at_taints(&self) -> bool {
        self.0.iter().any(|eligibility| eligibility.constraint.honors_taints)
    }

    /// Judges all nodes anew.
    pub(crate) fn rebuild(&mut self, nodes: &[NodeInfo]) {
        self.0.iter_mut().for_each(|eligibility| eligibility.rebuild(nodes));
    }
}

impl Eligibility {
    fn rebuild(&mut self, nodes: &[NodeInfo]) {
        self.rows = Bitset::with_len(nodes.len());
        for (row, node) in nodes.iter().enumerate() {
            let has_keys = || self.keys.iter().all(|&key| node.label(key).is_some());
            if node.node().is_some() && has_keys() && self.constraint.includes(&self.pod, node) {
                self.rows.insert(row);
            }
        }
    }
}

fn content(pod: &Pod, constraint: &Constraint, keys: &[Symbol]) -> Content {
    let mut content = Content::default();
    content.symbols(keys);
    content.number(i64::from(constraint.honors_affinity));
    if constraint.honors_affinity {
        node_constraint(&mut content, pod);
    }
    content.number(i64::from(constraint.honors_taints));
    if constraint.honors_taints {
        content.tolerations(&pod.spec.tolerations);
    }
    content
}

/// Adds a pod's node selector and required node affinity.
pub(crate) fn node_constraint(content: &mut Content, pod: &Pod) {
    content.labels(&pod.spec.node_selector);
    content.optional_symbol(pod.target_node);
    let required = pod.spec.affinity.as_ref().and_then(|affinity| affinity.node.required.as_ref());
    content.number(i64::from(required.is_some()));
    content.node_terms(required.map_or(&[], |terms| terms));
}
