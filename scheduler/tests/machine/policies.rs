//! Policies place pods by their own rule: tables of nodes and pods, played through the scheduler.

use std::collections::BTreeSet;

use crate::rig::{GIBIBYTE, Rig, node, pod, pod_with};
use seatrial_api::container::Container;
use seatrial_api::pod::{Pod, PodSpec};
use seatrial_api::scheduling::{Taint, TaintEffect};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, SimTime};
use seatrial_scheduler::policies::{self, POLICIES};

/// A scheduler that places by a policy.
fn rig(policy: &str, nodes: &[(&str, i64, i64)]) -> Rig {
    let policy = policies::find(policy).unwrap_or_else(|| panic!("there is a policy {policy}"));
    let mut rig = Rig::new(policy.configuration());
    for &(name, cpu, memory) in nodes {
        rig.add_node(node(name, cpu, memory));
    }
    rig
}

/// A pod that requests so many millicores and GiB.
fn sized(name: &str, cpu: i64, memory_gib: i64) -> Pod {
    let mut container = Container::new("c", "app:1");
    container.requests.cpu = Some(MilliCpu(cpu));
    container.requests.memory = Some(Bytes(memory_gib * GIBIBYTE));
    pod_with(name, 0, |spec| *spec = PodSpec::new(vec![container]))
}

/// Where the policy puts pods of these sizes, one after the other.
fn placed(policy: &str, nodes: &[(&str, i64, i64)], pods: &[(i64, i64)]) -> Vec<&'static str> {
    let mut rig = rig(policy, nodes);
    for (index, &(cpu, memory)) in pods.iter().enumerate() {
        rig.add_pod(sized(&format!("pod-{index}"), cpu, memory));
        rig.settle(SimTime::from_secs(index as i64 + 1));
    }
    (0..pods.len()).map(|index| rig.node_of(&format!("pod-{index}")).unwrap_or("nowhere")).collect()
}

#[test]
fn each_policy_follows_its_rule() {
    struct Row {
        policy: &'static str,
        nodes: &'static [(&'static str, i64, i64)],
        pods: &'static [(i64, i64)],
        expected: &'static [&'static str],
    }
    let rows = [
        // The third pod fits into what the first left free.
        Row {
            policy: "first-fit",
            nodes: &[("b", 4000, 8), ("a", 4000, 8)],
            pods: &[(3000, 1), (2000, 1), (1000, 1)],
            expected: &["a", "b", "a"],
        },
        // What is left of b is more than what is left of a, until two pods are there.
        Row {
            policy: "worst-fit",
            nodes: &[("a", 4000, 8), ("b", 7000, 14)],
            pods: &[(2000, 4); 4],
            expected: &["b", "b", "a", "b"],
        },
        Row {
            policy: "round-robin",
            nodes: &[("a", 4000, 8), ("b", 4000, 8), ("c", 4000, 8)],
            pods: &[(1000, 1); 5],
            expected: &["a", "b", "c", "a", "b"],
        },
        // Where the next one has no room, the one after it.
        Row {
            policy: "round-robin",
            nodes: &[("a", 4000, 8), ("b", 500, 8), ("c", 4000, 8)],
            pods: &[(1000, 1); 3],
            expected: &["a", "c", "a"],
        },
        // 3/4 + 1/8 against 3/4 + 1/16; then 1/8 × 1/4 + 1/2 × 7/8 against 1/8 + 1/4; then
        // 1/8 × 1/8 + 1/8 × 3/8 against 1/8 + 1/16.
        Row {
            policy: "alignment",
            nodes: &[("a", 4000, 8), ("b", 4000, 16)],
            pods: &[(3000, 1), (500, 4), (500, 1)],
            expected: &["a", "a", "b"],
        },
        Row {
            policy: "most-allocated",
            nodes: &[("a", 4000, 8), ("b", 8000, 16)],
            pods: &[(1000, 1); 3],
            expected: &["a", "a", "a"],
        },
        Row {
            policy: "least-allocated",
            nodes: &[("a", 4000, 8), ("b", 9000, 18)],
            pods: &[(1000, 2); 3],
            expected: &["b", "b", "a"],
        },
        Row {
            policy: "requested-to-capacity-ratio",
            nodes: &[("a", 4000, 8), ("b", 8000, 16)],
            pods: &[(1000, 1); 3],
            expected: &["a", "a", "a"],
        },
    ];
    for Row { policy, nodes, pods, expected } in rows {
        assert_eq!(placed(policy, nodes, pods), expected, "{policy}");
    }
}

/// D. S. Johnson's family of lists: of bins of 168, first fit takes 5N/3 where N would do.
#[test]
fn first_fit_takes_five_thirds_of_the_bins() {
    const N: usize = 6;
    let names: Vec<String> = (0..2 * N).map(|index| format!("bin-{index:02}")).collect();
    let bins: Vec<(&str, i64, i64)> = names.iter().map(|name| (name.as_str(), 1680, 64)).collect();
    let pods: Vec<(i64, i64)> = [250, 570, 850].into_iter().flat_map(|cpu| [(cpu, 0); N]).collect();
    let used: BTreeSet<_> = placed("first-fit", &bins, &pods).into_iter().collect();
    assert_eq!(used.len(), 5 * N / 3);
}

#[test]
fn no_policy_places_pods_where_upstream_would_not() {
    for policy in POLICIES {
        let mut rig = rig(policy.name, &[("cordoned", 9000, 64), ("tainted", 9000, 64), ("open", 4000, 8)]);
        rig.update_node("cordoned", |node| node.unschedulable = true);
        rig.update_node("tainted", |node| {
            let key = Symbol::new("node.kubernetes.io/not-ready");
            let taint = Taint { key, value: Symbol::empty(), effect: TaintEffect::NoSchedule };
            node.taints = Some([taint].into());
        });
        rig.add_pod(pod("fits", 1000));
        rig.add_pod(pod("too-large", 5000));
        rig.settle(SimTime::from_secs(5));
        assert_eq!(rig.node_of("fits"), Some("open"), "{}", policy.name);
        assert_eq!(rig.node_of("too-large"), None, "{}", policy.name);
    }
}
