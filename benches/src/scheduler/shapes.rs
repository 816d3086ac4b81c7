//! What is scheduled.

use std::sync::Arc;

use seatrial_api::container::Container;
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::meta::{ObjectMeta, OwnerRef, Uid};
use seatrial_api::object::Object;
use seatrial_api::pod::{Pod, PodSpec, PodTemplate};
use seatrial_api::request::Change;
use seatrial_api::scheduling::{
    Affinity, NamespaceScope, NodeInclusionPolicy, PodAffinityTerm, TopologySpreadConstraint,
    WeightedPodAffinityTerm, WhenUnsatisfiable,
};
use seatrial_api::units::{Bytes, MilliCpu};
use seatrial_api::workload::{ReplicaSet, ReplicaSetStatus};

use super::Bench;

/// A shape of pods.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Its name.
    pub name: &'static str,
    /// Pods that are placed before the clock starts.
    pub warm_up: usize,
    /// Pods that are placed while it runs.
    pub pods: usize,
    /// Pods per second of kube-scheduler 1.36 at 5,000 nodes on the same class of machine.
    pub upstream: u32,
    /// Pods per second to reach at 5,000 nodes.
    pub goal: f64,
    /// And at 50,000.
    pub goal_at_50_000: f64,
    /// Prepares the cluster.
    pub prepare: fn(&mut Bench),
    /// Creates so many pods, the first of them with this number.
    pub create: fn(&mut Bench, usize, usize),
}

/// A shape of which half as many pods per second are to be reached on ten times the nodes.
const fn shape(name: &'static str, upstream: u32, goal: f64, create: fn(&mut Bench, usize, usize)) -> Shape {
    Shape {
        name,
        warm_up: 1_000,
        pods: 30_000,
        upstream,
        goal,
        goal_at_50_000: goal / 2.0,
        prepare: |_| {},
        create,
    }
}

/// All shapes.
pub const SHAPES: &[Shape] = &[
    shape("basic", 77, 500_000.0, |bench, first, count| {
        let spec = Arc::new(spec(100, 500).sealed());
        (first..first + count).for_each(|index| bench.create(bare(index, &spec), None));
    }),
    shape("owned by a ReplicaSet", 64, 200_000.0, |bench, first, count| {
        in_sets(bench, first, count, |_, _| {});
    }),
    shape("hard zone spread", 64, 200_000.0, |bench, first, count| {
        in_sets(bench, first, count, |spec, selector| spec.topology_spread = [zone_spread(selector)].into());
    }),
    shape("required pod affinity, zone", 40, 100_000.0, |bench, first, count| {
        in_sets(bench, first, count, |spec, selector| {
            let mut affinity = Affinity::default();
            affinity.pod.required = [term(selector, ZONE)].into();
            spec.affinity = Some(Arc::new(affinity));
        });
    }),
    shape("preferred pod affinity, host", 41, 50_000.0, |bench, first, count| {
        in_sets(bench, first, count, |spec, selector| {
            let mut affinity = Affinity::default();
            affinity.pod.preferred =
                [WeightedPodAffinityTerm { weight: 1, term: term(selector, HOST) }].into();
            spec.affinity = Some(Arc::new(affinity));
        });
    }),
    Shape {
        pods: 3_000,
        ..shape("required anti-affinity, host", 61, 100_000.0, |bench, first, count| {
            let labels = Labels::of(&[("app", "lonely")]);
            let mut affinity = Affinity::default();
            affinity.anti.required = [term(Selector::of_labels(&labels), HOST)].into();
            let spec = PodSpec { affinity: Some(Arc::new(affinity)), ..spec(100, 500) };
            let spec = Arc::new(spec.sealed());
            for index in first..first + count {
                let mut pod = bare(index, &spec);
                pod.meta.labels = labels.clone();
                bench.create(pod, None);
            }
        })
    },
    Shape {
        warm_up: 20,
        pods: 1_000,
        goal_at_50_000: 1_000.0,
        prepare: |bench| {
            let spec = Arc::new(spec(900, 500).sealed());
            for index in 0..4 * bench.node_count() {
                bench.create(bare(1_000_000 + index, &spec), Some(index / 4));
            }
        },
        ..shape("preemption", 49, 10_000.0, |bench, first, count| {
            let spec = Arc::new(PodSpec { priority: Some(10), ..spec(3_000, 500) }.sealed());
            (first..first + count).for_each(|index| bench.create(bare(index, &spec), None));
        })
    },
];

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";
/// Pods of a ReplicaSet.
const REPLICAS: usize = 150;

/// Creates a pod of each of so many classes.
pub(super) fn create_classes(bench: &mut Bench, count: usize) {
    for index in 0..count {
        let spec = Arc::new(spec(100 + index as i64, 500).sealed());
        bench.create(bare(index, &spec), None);
    }
}

fn spec(cpu: i64, memory_mib: i64) -> PodSpec {
    let mut container = Container::new("pause", "registry.example/pause:3.10");
    container.requests.cpu = Some(MilliCpu(cpu));
    container.requests.memory = Some(Bytes(memory_mib << 20));
    PodSpec::new(vec![container])
}

fn bare(index: usize, spec: &Arc<PodSpec>) -> Pod {
    Pod::new(ObjectMeta::named("default", &format!("pod-{index}")), spec.clone())
}

/// Pods in ReplicaSets of 150, whose specification `change` makes what it is.
fn in_sets(bench: &mut Bench, first: usize, count: usize, change: fn(&mut PodSpec, Selector)) {
    let mut index = first;
    while index < first + count {
        let number = index / REPLICAS;
        let end = ((number + 1) * REPLICAS).min(first + count);
        let labels = Labels::of(&[("app", &format!("set-{number}"))]);
        let selector = Selector::of_labels(&labels);
        let mut spec = spec(100, 500);
        change(&mut spec, selector.clone());
        let spec = Arc::new(spec.sealed());
        let name = format!("set-{number}");
        let owners = Arc::new(vec![owner(&name, number)]);
        bench.watch(Change::Added, replica_set(&name, selector, &labels, &spec));
        for pod_index in index..end {
            let mut pod = bare(pod_index, &spec);
            pod.meta.labels = labels.clone();
            pod.meta.owners = Some(owners.clone());
            bench.create(pod, None);
        }
        index = end;
    }
}

fn owner(name: &str, number: usize) -> OwnerRef {
    OwnerRef {
        kind: "ReplicaSet".into(),
        api_version: "apps/v1".into(),
        name: name.into(),
        uid: Uid::from_bits(1, number as u64),
        controller: true,
        block_owner_deletion: true,
    }
}

fn replica_set(name: &str, selector: Selector, labels: &Labels, spec: &Arc<PodSpec>) -> Object {
    let template = PodTemplate { labels: labels.clone(), annotations: Labels::NONE, spec: spec.clone() };
    Object::ReplicaSet(Arc::new(ReplicaSet {
        meta: ObjectMeta::named("default", name),
        replicas: REPLICAS as i32,
        min_ready_seconds: 0,
        selector: Arc::new(selector),
        template: Arc::new(template),
        status: ReplicaSetStatus::default(),
    }))
}

fn zone_spread(selector: Selector) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 5,
        topology_key: ZONE.into(),
        when_unsatisfiable: WhenUnsatisfiable::DoNotSchedule,
        selector: Some(selector),
        min_domains: 1,
        node_affinity_policy: NodeInclusionPolicy::Honor,
        node_taints_policy: NodeInclusionPolicy::Ignore,
        match_label_keys: Box::default(),
    }
}

fn term(selector: Selector, key: &str) -> PodAffinityTerm {
    PodAffinityTerm {
        selector: Some(selector),
        namespaces: NamespaceScope::default(),
        topology_key: key.into(),
        match_label_keys: Box::default(),
        mismatch_label_keys: Box::default(),
    }
}
