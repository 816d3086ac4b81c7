//! DynamicResources, as far as pods without resource claims meet it: it lets them pass, scores
//! nothing, and has its word in the message of a pod that fits nowhere.

use std::sync::Arc;

use seatrial_api::pod::Pod;
use seatrial_api::version::KubernetesVersion;

use crate::cluster::{Cluster, Content, NodeInfo};
use crate::framework::{Cycle, CycleState, EventContext, Hint, Plugin, Points, PreFilter, Scope};
use crate::preemption::{PostFilter, PostFilterContext};
use crate::queue::{ClusterEvent, EventKind, Interests};

/// The plugin. It takes part in scoring since 1.35.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DynamicResources {
    pub(crate) version: KubernetesVersion,
}

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn points(&self) -> Points {
        let score = self.version >= KubernetesVersion::V1_36;
        Points { pre_filter: true, filter: true, post_filter: true, score, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Node
    }

    fn concerns(&self, _: &Pod) -> bool {
        false
    }

    fn reads(&self, pod: &Pod, content: &mut Content) {
        let _ = (pod, content);
    }

    fn pre_filter(&self, _: &Cluster, _: &Arc<Pod>, state: &mut CycleState) -> PreFilter {
        state.claims_seen = true;
        PreFilter::Skip
    }

    /// Where PreFilter stopped before this plugin, it finds no state of its own and fails.
    fn post_filter(&self, context: &mut PostFilterContext<'_>) -> PostFilter {
        if context.state.claims_seen {
            PostFilter::Unschedulable("no new claims to deallocate".into())
        } else {
            PostFilter::Error("not found".into())
        }
    }

    fn score(&self, _: Cycle<'_>, _: &NodeInfo) -> i64 {
        0
    }

    fn interests(&self) -> Interests {
        Interests::of(&[
            EventKind::NodeAdd,
            EventKind::NodeLabels,
            EventKind::NodeAllocatable,
            EventKind::NodeTaints,
        ])
    }

    fn hint(&self, _: EventContext<'_>, _: &ClusterEvent) -> Hint {
        Hint::Skip
    }
}
