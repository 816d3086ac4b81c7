//! `round-robin`: the next node on which the pod fits.

use crate::config::PluginSelection;

use super::Policy;

pub(super) const POLICY: Policy = Policy {
    name: "round-robin",
    about: "The next node on which the pod fits, going round the cluster in the order in which kube-scheduler \
            visits nodes: one zone after the other in turn. The walk goes on from where the last pod was placed.",
    formula: "n(i) = the first feasible node from the one after n(i − 1) on, in cyclic order",
    source: "Next fit of bin packing (D. S. Johnson, \"Near-optimal bin packing algorithms\", MIT, 1973), and what \
             kube-scheduler itself does when no plugin scores: pkg/scheduler/schedule_one.go, \
             pkg/scheduler/backend/cache/node_tree.go",
    parameters: &[],
    plugin: None,
    // Without scores one feasible node is enough, and the walk over the nodes goes on behind it.
    adjust: |configuration| {
        for profile in &mut configuration.profiles {
            profile.plugins.score = PluginSelection { enabled: Vec::new(), disabled: vec!["*".into()] };
        }
    },
};
