//! `least-allocated`, `most-allocated` and `requested-to-capacity-ratio`: NodeResourcesFit as the
//! only score.

use crate::config::{SchedulerConfiguration, ScoringStrategy, ShapePoint};

use super::{Parameter, Policy, score_by};

const RESOURCES: Parameter = Parameter {
    name: "NodeResourcesFitArgs.scoringStrategy.resources",
    default: "cpu: 1, memory: 1",
    about: "resources with their weights, in a KubeSchedulerConfiguration that is given as schedulerConfig",
};

pub(super) const LEAST_ALLOCATED: Policy = Policy {
    name: "least-allocated",
    about: "Spreads: the node of which the smallest share is given away, the pod counted.",
    formula: "score(n) = Σ_r w_r × ⌊100 × (allocatable_r − requested_r) / allocatable_r⌋ / Σ_r w_r",
    source: "Kubernetes 1.36, pkg/scheduler/framework/plugins/noderesources/least_allocated.go",
    parameters: &[RESOURCES],
    plugin: None,
    adjust: |configuration| by(configuration, ScoringStrategy::LeastAllocated),
};

pub(super) const MOST_ALLOCATED: Policy = Policy {
    name: "most-allocated",
    about: "Packs: the node of which the largest share is given away, the pod counted.",
    formula: "score(n) = Σ_r w_r × ⌊100 × requested_r / allocatable_r⌋ / Σ_r w_r",
    source: "Kubernetes 1.36, pkg/scheduler/framework/plugins/noderesources/most_allocated.go",
    parameters: &[RESOURCES],
    plugin: None,
    adjust: |configuration| by(configuration, ScoringStrategy::MostAllocated),
};

pub(super) const REQUESTED_TO_CAPACITY_RATIO: Policy = Policy {
    name: "requested-to-capacity-ratio",
    about: "Packs by a function of utilisation, here a straight line from 0 to full.",
    formula: "score(n) = round(Σ_r w_r × shape(⌊100 × requested_r / allocatable_r⌋) / Σ_r w_r), resources that score \
              0 left out",
    source: "Kubernetes 1.36, pkg/scheduler/framework/plugins/noderesources/requested_to_capacity_ratio.go",
    parameters: &[
        RESOURCES,
        Parameter {
            name: "NodeResourcesFitArgs.scoringStrategy.requestedToCapacityRatio.shape",
            default: "0 % → 0, 100 % → 10",
            about: "points of utilisation and score, in a KubeSchedulerConfiguration that is given as schedulerConfig",
        },
    ],
    plugin: None,
    adjust: |configuration| {
        let line = [(0, 0), (100, 10)].map(|(utilization, score)| ShapePoint { utilization, score });
        by(configuration, ScoringStrategy::RequestedToCapacityRatio(line.to_vec()));
    },
};

fn by(configuration: &mut SchedulerConfiguration, strategy: ScoringStrategy) {
    score_by(configuration, "NodeResourcesFit");
    for profile in &mut configuration.profiles {
        profile.arguments.fit.strategy = strategy.clone();
    }
}
