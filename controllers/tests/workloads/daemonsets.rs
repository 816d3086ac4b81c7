//! DaemonSets, played against the store.

use std::sync::Arc;

use seatrial_api::meta::ObjectMeta;
use seatrial_api::node::Node;
use seatrial_api::object::Kind;
use seatrial_api::pod::Pod;
use seatrial_api::request::{Patch, Request};
use seatrial_api::scheduling::{Taint, TaintEffect};
use seatrial_api::units::Span;
use seatrial_api::workload::{
    ControllerRevision, DaemonSet, DaemonSetStatus, DaemonSetUpdateStrategy, IntOrPercent,
};

use crate::cluster::{Behavior, Cluster, NAMESPACE, app, node, selector, template};

fn daemon_set(name: &str) -> DaemonSet {
    DaemonSet {
        meta: ObjectMeta { labels: app(name), ..ObjectMeta::named(NAMESPACE, name) },
        min_ready_seconds: 0,
        selector: selector(name),
        template: template(name),
        update_strategy: DaemonSetUpdateStrategy::RollingUpdate {
            max_unavailable: IntOrPercent::Int(1),
            max_surge: IntOrPercent::Int(0),
        },
        revision_history_limit: 10,
        status: DaemonSetStatus::default(),
    }
}

fn set_image(cluster: &mut Cluster, id: u32, image: &str) {
    let patch = Patch::Image { container: "main".into(), image: image.into() };
    cluster.patch(Kind::DaemonSet, id, patch);
}

fn taint(cluster: &mut Cluster, node: &str, effect: Option<TaintEffect>) {
    let id = cluster.server.find(Kind::Node, "".into(), node).expect("the node exists").meta().id;
    let taint = |effect| Arc::from([Taint { key: "team".into(), value: "a".into(), effect }]);
    cluster.patch(Kind::Node, id, Patch::Taints(effect.map(taint)));
}

/// Nodes with an active pod of the set, in order; a node with several is named several times.
fn nodes_of(cluster: &Cluster) -> Vec<String> {
    let mut nodes: Vec<String> =
        cluster.active_pods().iter().filter_map(|pod| pod.node).map(|node| node.to_string()).collect();
    nodes.sort();
    nodes
}

fn assert_complete(cluster: &Cluster, id: u32, nodes: i32, what: &str) {
    let set = cluster.get::<DaemonSet>(id);
    let expected = DaemonSetStatus {
        current_number_scheduled: nodes,
        number_misscheduled: 0,
        desired_number_scheduled: nodes,
        number_ready: nodes,
        number_available: nodes,
        number_unavailable: 0,
        updated_number_scheduled: nodes,
        observed_generation: set.meta.generation,
        collision_count: None,
    };
    assert_eq!(set.status, expected, "{what}");
    let image = set.template.spec.containers[0].image;
    let pods = cluster.active_pods();
    assert!(pods.iter().all(|pod| pod.spec.containers[0].image == image), "{what}");
    assert_eq!(pods.len() as i32, nodes, "{what}");
}

#[test]
fn every_node_gets_a_pod_also_one_that_comes_later() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(daemon_set("agent"));
    cluster.run(5);
    assert_eq!(nodes_of(&cluster), ["node-0", "node-1", "node-2"]);
    assert_complete(&cluster, id, 3, "created");
    cluster.create(node("node-9"));
    cluster.run(5);
    assert_complete(&cluster, id, 4, "a node more");
    let pods = cluster.active_pods();
    assert!(pods.iter().all(|pod| Arc::ptr_eq(&pod.spec, &pods[0].spec)), "pods share their specification");
    assert!(pods.iter().all(|pod| pod.spec.tolerations.len() == 6));
}

#[test]
fn taints_and_labels_decide_where_pods_are() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(daemon_set("agent"));
    cluster.run(5);
    taint(&mut cluster, "node-1", Some(TaintEffect::NoExecute));
    cluster.run(5);
    assert_eq!(nodes_of(&cluster), ["node-0", "node-2"]);
    assert_complete(&cluster, id, 2, "tainted");
    taint(&mut cluster, "node-1", None);
    cluster.run(5);
    assert_complete(&cluster, id, 3, "the taint is gone");
    taint(&mut cluster, "node-1", Some(TaintEffect::NoSchedule));
    cluster.run(5);
    assert_eq!(nodes_of(&cluster).len(), 3, "a pod that is there may stay");
}

#[test]
fn an_update_replaces_one_pod_after_another() {
    let mut cluster = Cluster::new(4);
    let id = cluster.create(daemon_set("agent"));
    cluster.run(5);
    let since = cluster.now;
    set_image(&mut cluster, id, "image:2");
    cluster.run(30);
    assert_complete(&cluster, id, 4, "updated");
    let (least, _) = cluster.pod_envelope(since, |pod| pod.is_active() && pod.is_ready());
    assert_eq!(least, 3);
    assert_eq!(cluster.all::<ControllerRevision>().len(), 2);
}

#[test]
fn an_update_with_surge_keeps_a_pod_everywhere() {
    let mut cluster = Cluster::new(4);
    let strategy = DaemonSetUpdateStrategy::RollingUpdate {
        max_unavailable: IntOrPercent::Int(0),
        max_surge: IntOrPercent::Int(2),
    };
    let id = cluster.create(DaemonSet { update_strategy: strategy, ..daemon_set("agent") });
    cluster.run(5);
    let since = cluster.now;
    set_image(&mut cluster, id, "image:2");
    cluster.run(30);
    assert_complete(&cluster, id, 4, "updated");
    let (least, most) = cluster.pod_envelope(since, |pod| pod.is_active() && pod.is_ready());
    assert!(least >= 4 && most <= 6, "{least}..{most}");
}

#[test]
fn on_delete_leaves_updates_to_the_user() {
    let mut cluster = Cluster::new(2);
    let strategy = DaemonSetUpdateStrategy::OnDelete;
    let id = cluster.create(DaemonSet { update_strategy: strategy, ..daemon_set("agent") });
    cluster.run(5);
    set_image(&mut cluster, id, "image:2");
    cluster.run(10);
    assert_eq!(cluster.get::<DaemonSet>(id).status.updated_number_scheduled, 0);
    let target = cluster.active_pods()[0].meta.object_ref(Kind::Pod);
    cluster.request(Request::delete(target)).expect("the pod exists");
    cluster.run(10);
    assert_eq!(cluster.get::<DaemonSet>(id).status.updated_number_scheduled, 1);
}

#[test]
fn a_failed_pod_is_replaced_with_a_back_off() {
    let mut cluster = Cluster::new(1);
    cluster.behave(|_| Behavior { exit: Some((Span::from_millis(100), 1)), ..Behavior::default() });
    cluster.create(daemon_set("agent"));
    cluster.run(30);
    let failures =
        cluster.events(Kind::DaemonSet).iter().filter(|e| e.starts_with("FailedDaemonPod")).count();
    assert!((4..=6).contains(&failures), "{failures} in half a minute: after 1, 2, 4, 8 seconds");
    let made = cluster.history.iter().filter(|(_, event)| {
        event.change == seatrial_api::request::Change::Added && event.object.kind() == Kind::Pod
    });
    assert!(made.count() <= 7);
}

#[test]
fn the_history_is_cut_to_its_limit() {
    let mut cluster = Cluster::new(1);
    let id = cluster.create(DaemonSet { revision_history_limit: 1, ..daemon_set("agent") });
    for image in ["image:2", "image:3", "image:4"] {
        cluster.run(10);
        set_image(&mut cluster, id, image);
    }
    cluster.run(10);
    assert_complete(&cluster, id, 1, "updated");
    assert_eq!(cluster.all::<ControllerRevision>().len(), 2);
}

#[test]
fn orphans_of_a_former_set_are_adopted() {
    let mut cluster = Cluster::new(2);
    let id = cluster.create(daemon_set("agent"));
    cluster.run(5);
    for pod in cluster.active_pods() {
        cluster.patch(Kind::Pod, pod.meta.id, Patch::Owners(Vec::new()));
    }
    cluster.run(5);
    assert_complete(&cluster, id, 2, "adopted");
    let uid = cluster.get::<DaemonSet>(id).meta.uid;
    let owned = |pod: &Arc<Pod>| pod.meta.controller().is_some_and(|owner| owner.uid == uid);
    assert!(cluster.active_pods().iter().all(owned));
}

#[test]
fn whatever_the_delays_every_node_has_its_pod_in_the_end() {
    for seed in 0..40u32 {
        let mut cluster = Cluster::random(5, u64::from(seed));
        cluster.behave(|pod| Behavior {
            start: Span::from_millis(i64::from(pod.meta.id % 9) * 70),
            ready_after: Some(Span::from_millis(i64::from(pod.meta.id % 3) * 300)),
            exit: (pod.meta.id % 7 == 3).then_some((Span::from_secs(1), (pod.meta.id % 2) as i32)),
            stop: Span::from_millis(i64::from(pod.meta.id % 4) * 500),
        });
        let strategy = DaemonSetUpdateStrategy::RollingUpdate {
            max_unavailable: IntOrPercent::Int((seed as i32 + 1) % 2),
            max_surge: IntOrPercent::Int(seed as i32 % 2),
        };
        let id = cluster.create(DaemonSet { update_strategy: strategy, ..daemon_set("agent") });
        for round in 0..8u32 {
            cluster.run_for(Span::from_millis(i64::from((seed * 37 + round * 91) % 2500)));
            let name = format!("node-{}", (seed + round) % 5);
            match (seed + round) % 5 {
                0 => set_image(&mut cluster, id, &format!("image:{}", round % 3)),
                1 => taint(&mut cluster, &name, Some(TaintEffect::NoExecute)),
                2 => cluster.restart_manager(),
                3 => {
                    cluster.create(node(&format!("late-{round}")));
                }
                _ => {
                    if let Some(pod) = cluster.active_pods().first() {
                        let target = pod.meta.object_ref(Kind::Pod);
                        let _ = cluster.request(Request::delete(target));
                    }
                }
            }
        }
        let names: Vec<String> = cluster.all::<Node>().iter().map(|node| node.name.to_string()).collect();
        names.iter().for_each(|name| taint(&mut cluster, name, None));
        cluster.behave(|_| Behavior::default());
        cluster.run(120);
        assert_complete(&cluster, id, names.len() as i32, &format!("seed {seed}"));
    }
}
