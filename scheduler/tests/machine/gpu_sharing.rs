//! Shared GPUs: which node a pod gets, and which devices there.

use std::sync::Arc;

use crate::rig::{Rig, node, pod_with};
use seatrial_api::gpu::{DeviceSet, GPU_COUNT, GPU_MODEL, GpuRequest, accepted_models};
use seatrial_api::labels::Labels;
use seatrial_api::node::Node;
use seatrial_api::object::{Kind, ObjectRef};
use seatrial_api::pod::Pod;
use seatrial_api::resources::Scalars;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{MilliCpu, SimTime, Span};
use seatrial_scheduler::SchedulerConfiguration;
use seatrial_scheduler::config::TieBreak;
use seatrial_scheduler::fragmentation::{Demand, TypicalPod};
use seatrial_scheduler::policies;

/// A node with so many GPUs of a model.
fn gpu_node(name: &str, model: &str, count: i64) -> Node {
    let mut node = node(name, 64_000, 256);
    let resources = Arc::make_mut(&mut node.allocatable);
    resources.amounts.scalars = Scalars::new([(GPU_COUNT.into(), count)].into_iter().collect());
    node.meta.labels = Labels::of(&[(GPU_MODEL, model)]);
    node
}

/// A pod that asks for GPUs.
fn gpu_pod(name: &str, count: u8, milli: u16, models: &str) -> Pod {
    let request = GpuRequest { models: accepted_models(models), ..GpuRequest::new(count, milli) };
    pod_with(name, 1000, |spec| spec.gpu = request.into())
}

fn rig(configuration: SchedulerConfiguration, nodes: &[(&str, &str, i64)]) -> Rig {
    let mut rig = Rig::new(SchedulerConfiguration { ties: TieBreak::First, ..configuration });
    nodes.iter().for_each(|&(name, model, count)| rig.add_node(gpu_node(name, model, count)));
    rig
}

fn policy(name: &str) -> SchedulerConfiguration {
    policies::find(name).expect("the policy exists").configuration()
}

/// Places a pod; answers with its node and what is then free of the node's devices.
fn place(rig: &mut Rig, pod: Pod) -> Option<(&'static str, Vec<i32>)> {
    let name = pod.meta.name.to_string();
    rig.add_pod(pod);
    rig.settle(rig.now + Span::from_secs(1));
    let node = rig.node_of(&name)?;
    Some((node, free(rig, node)))
}

fn free(rig: &Rig, node: &str) -> Vec<i32> {
    let node = rig.scheduler.cluster().node(Symbol::new(node)).expect("the node is known");
    node.gpus().map_or_else(Vec::new, |gpus| gpus.free().to_vec())
}

#[test]
fn a_share_gets_the_fullest_device_and_whole_gpus_the_first_free_ones() {
    let mut rig = rig(policy("best-fit"), &[("a", "T4", 4)]);
    let steps: [(u8, u16, &[i32]); 5] = [
        (1, 600, &[400, 1000, 1000, 1000]),
        (1, 500, &[400, 500, 1000, 1000]),
        (1, 400, &[0, 500, 1000, 1000]),
        (2, 1000, &[0, 500, 0, 0]),
        (1, 500, &[0, 0, 0, 0]),
    ];
    for (index, (count, milli, left)) in steps.into_iter().enumerate() {
        let found = place(&mut rig, gpu_pod(&format!("pod-{index}"), count, milli, ""));
        assert_eq!(found, Some(("a", left.to_vec())), "step {index}");
    }
    assert_eq!(place(&mut rig, gpu_pod("late", 1, 100, "")), None);
}

#[test]
fn what_a_pod_used_is_free_again_when_it_goes_and_who_waits_gets_it() {
    let mut rig = rig(policy("best-fit"), &[("a", "T4", 2)]);
    place(&mut rig, gpu_pod("first", 1, 700, ""));
    place(&mut rig, gpu_pod("second", 1, 700, ""));
    assert_eq!(place(&mut rig, gpu_pod("waiting", 1, 400, "")), None);
    let id = rig.pod("first").meta.id;
    rig.finish_deletion(ObjectRef { kind: Kind::Pod, id });
    rig.settle(SimTime::from_secs(600));
    assert_eq!(rig.node_of("waiting"), Some("a"));
    assert_eq!(free(&rig, "a"), [600, 300]);
}

#[test]
fn a_pod_goes_only_where_a_model_that_it_accepts_is() {
    let mut rig = rig(policy("best-fit"), &[("a", "T4", 8), ("b", "A10", 1), ("c", "P100", 8)]);
    assert_eq!(place(&mut rig, gpu_pod("either", 1, 500, "A10|P100")).map(|found| found.0), Some("b"));
    assert_eq!(place(&mut rig, gpu_pod("large", 2, 1000, "A10")), None);
    assert_eq!(place(&mut rig, gpu_pod("absent", 1, 500, "H100")), None);
    let messages: Vec<_> = rig.decisions.iter().map(|decision| decision.2.as_str()).collect();
    let expected = "0/3 nodes are available: 3 node(s) didn't have a GPU of a requested model.";
    assert!(messages.iter().any(|message| message.starts_with(expected)), "{messages:?}");
}

#[test]
fn devices_that_a_pod_names_are_the_only_ones_for_it() {
    let mut rig = rig(policy("best-fit"), &[("a", "T4", 2)]);
    let named = |name: &str, milli| {
        let request = GpuRequest { devices: Some(DeviceSet::one(1)), ..GpuRequest::new(1, milli) };
        pod_with(name, 1000, |spec| spec.gpu = request.into())
    };
    assert_eq!(place(&mut rig, named("first", 600)), Some(("a", vec![1000, 400])));
    assert_eq!(place(&mut rig, named("second", 600)), None);
}

#[test]
fn upstreams_own_profile_knows_nothing_of_shares() {
    let mut rig = rig(SchedulerConfiguration::default(), &[("a", "T4", 1)]);
    assert!(place(&mut rig, gpu_pod("first", 1, 1000, "")).is_some());
    assert!(place(&mut rig, gpu_pod("second", 1, 1000, "")).is_some());
}

#[test]
fn policies_place_gpu_pods_by_their_rule() {
    struct Row {
        policy: &'static str,
        pods: &'static [(u8, u16)],
        expected: &'static [&'static str],
    }
    // Two nodes with four GPUs, one with two; 64 cores each.
    let nodes = [("a", "T4", 4), ("b", "T4", 4), ("c", "T4", 2)];
    let rows = [
        // Least is left of c, and then there is no room on it for two.
        Row { policy: "best-fit", pods: &[(1, 500), (2, 1000), (1, 500)], expected: &["c", "a", "c"] },
        // The smallest product with the demand is that of the fullest node.
        Row { policy: "dot-product", pods: &[(1, 500), (2, 1000)], expected: &["c", "a"] },
        // Of free nodes the one with fewest GPUs (33 − 2 against 33 − 4); then a shared device
        // before a free one, and free ones of a node in use before a free node.
        Row {
            policy: "gpu-packing",
            pods: &[(1, 500), (1, 400), (1, 1000), (2, 1000)],
            expected: &["c", "c", "c", "a"],
        },
        // Of nodes without GPU pods the fullest, c; whole GPUs go elsewhere, and shares come back.
        Row {
            policy: "gpu-clustering",
            pods: &[(1, 500), (1, 1000), (1, 1000), (1, 500)],
            expected: &["c", "a", "a", "c"],
        },
    ];
    for Row { policy: name, pods, expected } in rows {
        let mut rig = rig(policy(name), &nodes);
        let placed = pods.iter().enumerate().map(|(index, &(count, milli))| {
            place(&mut rig, gpu_pod(&format!("pod-{index}"), count, milli, "")).map_or("", |found| found.0)
        });
        assert_eq!(placed.collect::<Vec<_>>(), expected, "{name}");
    }
}

#[test]
fn fgd_breaks_no_gpu_that_typical_pods_need() {
    let mut configuration = policy("fgd");
    let demand =
        |cpu, count, milli| Demand { cpu: MilliCpu(cpu), gpu: Some(Box::new(GpuRequest::new(count, milli))) };
    configuration.profiles[0].arguments.gpu_sharing.typical_pods = [
        TypicalPod { demand: demand(1000, 2, 1000), count: 3 },
        TypicalPod { demand: demand(1000, 1, 500), count: 1 },
    ]
    .into();
    let mut rig = rig(configuration, &[("a", "T4", 2), ("b", "T4", 1)]);
    // Pairs cannot use b at all, so shares go there, and together.
    assert_eq!(place(&mut rig, gpu_pod("share-1", 1, 500, "")), Some(("b", vec![500])));
    assert_eq!(place(&mut rig, gpu_pod("share-2", 1, 500, "")), Some(("b", vec![0])));
    assert_eq!(place(&mut rig, gpu_pod("pair", 2, 1000, "")), Some(("a", vec![0, 0])));
}

#[test]
fn without_typical_pods_fgd_learns_them_from_those_that_arrive() {
    let mut rig = rig(policy("fgd"), &[("a", "T4", 2), ("b", "T4", 1)]);
    rig.add_node(gpu_node("z", "T4", 4));
    for index in 0..2 {
        assert_eq!(
            place(&mut rig, gpu_pod(&format!("pair-{index}"), 2, 1000, "")).map(|found| found.0),
            Some(["a", "z"][index])
        );
    }
    // Pairs are typical by now: what they cannot use is for others.
    assert_eq!(place(&mut rig, gpu_pod("share", 1, 500, "")), Some(("b", vec![500])));
}

#[test]
fn devices_are_drawn_for_pods_by_name_under_the_random_policy() {
    let draw = |seed| {
        let mut rig = rig(SchedulerConfiguration { seed, ..policy("random") }, &[("a", "T4", 8)]);
        place(&mut rig, gpu_pod("share", 1, 100, "")).map(|found| found.1)
    };
    assert_eq!(draw(1), draw(1));
    assert!((2..10).any(|seed| draw(seed) != draw(1)));
}
