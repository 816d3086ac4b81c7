//! `default`: the profile of kube-scheduler.

use super::{Parameter, Policy};

pub(super) const POLICY: Policy = Policy {
    name: "default",
    about: "The default profile of kube-scheduler 1.36, or 1.34 with `kubernetesVersion`: the same filters, \
            integer scores, weights, messages and victims.",
    formula: "argmax over feasible nodes of Σ weight × score: TaintToleration 3, NodeAffinity 2, \
              PodTopologySpread 2, InterPodAffinity 2, DynamicResources 2, NodeResourcesFit (LeastAllocated) 1, \
              NodeResourcesBalancedAllocation 1, ImageLocality 1",
    source: "Kubernetes 1.36, pkg/scheduler/apis/config/v1/default_plugins.go",
    parameters: &[Parameter {
        name: "schedulerConfig",
        default: "none",
        about: "a KubeSchedulerConfiguration file, in place of `policy`: everything that upstream can be told",
    }],
    plugin: None,
    adjust: |_| {},
};
