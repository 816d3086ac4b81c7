//! TaintToleration: pods keep off nodes with taints that they do not tolerate.

use seatrial_api::node::Node;
use seatrial_api::pod::Pod;
use seatrial_api::scheduling::{TaintEffect, first_untolerated};
use seatrial_api::version::KubernetesVersion;

use crate::cluster::{Content, NodeInfo};
use crate::framework::{
    Code, Cycle, EventContext, Hint, Normalization, Plugin, Points, Reason, Scope, Verdict, Why,
};
use crate::queue::{ClusterEvent, EventKind, Interests, NodeChange, PodChange};

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaintToleration {
    pub(crate) version: KubernetesVersion,
}

const HARD: [TaintEffect; 2] = [TaintEffect::NoSchedule, TaintEffect::NoExecute];

fn tolerates(pod: &Pod, node: &Node) -> bool {
    first_untolerated(&pod.spec.tolerations, node.taints(), &HARD).is_none()
}

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn points(&self) -> Points {
        Points { filter: true, pre_score: true, score: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Node
    }

    fn reads(&self, pod: &Pod, content: &mut Content) {
        content.tolerations(&pod.spec.tolerations);
    }

    fn filter(&self, cycle: Cycle<'_>, node: &NodeInfo, why: &mut Why) -> Verdict {
        let Some(taint) = first_untolerated(&cycle.pod.spec.tolerations, node.taints(), &HARD) else {
            return Ok(());
        };
        why.say(|| match self.version {
            KubernetesVersion::V1_34 => Reason::Owned(
                format!("node(s) had untolerated taint {{{}: {}}}", taint.key, taint.value).into(),
            ),
            KubernetesVersion::V1_36 => Reason::Text("node(s) had untolerated taint(s)"),
        });
        Err(Code::Unresolvable)
    }

    /// The number of PreferNoSchedule taints that are not tolerated.
    fn score(&self, cycle: Cycle<'_>, node: &NodeInfo) -> i64 {
        let soft = node.taints().iter().filter(|taint| taint.effect == TaintEffect::PreferNoSchedule);
        let untolerated = soft
            .filter(|taint| !cycle.pod.spec.tolerations.iter().any(|toleration| toleration.tolerates(taint)));
        untolerated.count() as i64
    }

    fn normalization(&self) -> Normalization {
        Normalization::Reversed
    }

    fn interests(&self) -> Interests {
        Interests::of(&[EventKind::NodeAdd, EventKind::NodeTaints, EventKind::OwnUpdate])
    }

    fn hint(&self, context: EventContext<'_>, event: &ClusterEvent) -> Hint {
        match event {
            ClusterEvent::NodeAdd(node) => Hint::queue_if(tolerates(context.pod, node)),
            ClusterEvent::NodeUpdate { old, new, change: NodeChange::Taints } => {
                Hint::queue_if(!tolerates(context.pod, old) && tolerates(context.pod, new))
            }
            ClusterEvent::OwnUpdate { change: PodChange::Tolerations, .. } => Hint::Queue,
            _ => Hint::Skip,
        }
    }
}
