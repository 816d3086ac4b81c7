//! ReplicaSets, played against the store with kubelets that take their time.

use std::sync::Arc;

use crate::cluster::{Behavior, Cluster, NAMESPACE, app, node, selector, template};
use seatrial_api::labels::Labels;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::Kind;
use seatrial_api::pod::Pod;
use seatrial_api::request::{Patch, Request};
use seatrial_api::units::{SimTime, Span};
use seatrial_api::workload::{ReplicaSet, ReplicaSetStatus};

fn replica_set(name: &str, replicas: i32) -> ReplicaSet {
    ReplicaSet {
        meta: ObjectMeta { labels: app(name), ..ObjectMeta::named(NAMESPACE, name) },
        replicas,
        min_ready_seconds: 0,
        selector: selector(name),
        template: template(name),
        status: ReplicaSetStatus::default(),
    }
}

fn full(replicas: i32, generation: i64) -> ReplicaSetStatus {
    ReplicaSetStatus {
        replicas,
        fully_labeled_replicas: replicas,
        ready_replicas: replicas,
        available_replicas: replicas,
        terminating_replicas: Some(0),
        observed_generation: generation,
        conditions: Vec::new(),
    }
}

#[test]
fn a_set_gets_its_pods_in_growing_groups_and_reports_them() {
    let mut cluster = Cluster::new(3);
    let set = cluster.create(replica_set("web", 7));
    cluster.run(5);
    assert_eq!(cluster.active_pods().len(), 7);
    assert_eq!(cluster.get::<ReplicaSet>(set).status, full(7, 1));
    let mut groups: Vec<(SimTime, usize)> = Vec::new();
    for (at, event) in &cluster.history {
        if event.object.kind() == Kind::Pod && event.object.meta().resource_version > 0 {
            let created = event.change == seatrial_api::request::Change::Added;
            match groups.last_mut() {
                Some(group) if created && group.0 == *at => group.1 += 1,
                _ if created => groups.push((*at, 1)),
                _ => {}
            }
        }
    }
    assert_eq!(groups.iter().map(|group| group.1).collect::<Vec<_>>(), [1, 2, 4]);
    assert_eq!(cluster.events(Kind::ReplicaSet).len(), 7);
    assert!(cluster.settle(60));
    assert!(cluster.refusals.is_empty(), "{:?}", cluster.refusals);
}

#[test]
fn pods_share_the_templates_specification_and_labels() {
    let mut cluster = Cluster::new(1);
    let set = cluster.create(replica_set("web", 3));
    cluster.run(5);
    let template = cluster.get::<ReplicaSet>(set).template.clone();
    let pods = cluster.active_pods();
    assert!(pods.iter().all(|pod| Arc::ptr_eq(&pod.spec, &pods[0].spec)));
    assert!(pods.iter().all(|pod| pod.meta.labels.same_allocation(&template.labels)));
    assert!(pods.iter().all(|pod| pod.meta.name.starts_with("web-") && pod.meta.name.len() == 9));
}

#[test]
fn scaling_down_gives_up_pods_that_are_not_ready_first() {
    let mut cluster = Cluster::new(3);
    cluster.behave(|pod| Behavior {
        ready_after: (pod.meta.id % 3 == 0).then_some(Span::ZERO),
        ..Behavior::default()
    });
    let set = cluster.create(replica_set("web", 9));
    cluster.run(10);
    cluster.patch(Kind::ReplicaSet, set, Patch::Replicas(3));
    cluster.run(10);
    let pods = cluster.active_pods();
    assert_eq!(pods.len(), 3);
    assert!(pods.iter().all(|pod| pod.is_ready()));
    assert_eq!(cluster.get::<ReplicaSet>(set).status, full(3, 2));
}

/// Only pods of a Deployment's sets count as company on a node (upstream
/// `getReplicaSetsWithSameController`).
#[test]
fn a_set_without_owner_gives_up_its_youngest_pod_wherever_others_are() {
    let mut cluster = Cluster::new(1);
    let set = cluster.create(replica_set("web", 3));
    cluster.run(1000);
    cluster.create(node("late"));
    cluster.patch(Kind::ReplicaSet, set, Patch::Replicas(4));
    cluster.run(10);
    assert_eq!(cluster.active_pods().iter().filter(|pod| pod.node == Some("late".into())).count(), 1);
    cluster.patch(Kind::ReplicaSet, set, Patch::Replicas(3));
    cluster.run(10);
    assert!(cluster.active_pods().iter().all(|pod| pod.node != Some("late".into())));
}

#[test]
fn pods_that_end_or_vanish_are_replaced() {
    let mut cluster = Cluster::new(3);
    cluster.create(replica_set("web", 4));
    cluster.run(5);
    let pods = cluster.active_pods();
    cluster.end_pod(pods[0].meta.id, 1);
    let target = pods[1].meta.object_ref(Kind::Pod);
    cluster.request(Request::delete(target)).expect("the pod exists");
    cluster.run(5);
    assert_eq!(cluster.active_pods().len(), 4);
    assert_eq!(cluster.all::<Pod>().len(), 5, "the failed pod stays");
}

#[test]
fn orphans_are_adopted_and_strangers_released() {
    let mut cluster = Cluster::new(3);
    let lonely = || {
        let meta = ObjectMeta { labels: app("web"), ..ObjectMeta::named(NAMESPACE, "lonely") };
        Pod::new(meta, template("web").spec.clone())
    };
    let lonely_row = cluster.create(lonely());
    cluster.run(2);
    let set = cluster.create(replica_set("web", 3));
    cluster.run(5);
    let uid = cluster.get::<ReplicaSet>(set).meta.uid;
    let controller = |pod: &Pod| pod.meta.controller().map(|owner| owner.uid);
    assert_eq!(controller(cluster.get::<Pod>(lonely_row)), Some(uid));
    assert_eq!(cluster.active_pods().len(), 3);
    cluster.patch(Kind::Pod, lonely_row, Patch::Labels(vec![("app".into(), Some("other".into()))]));
    cluster.run(5);
    assert_eq!(controller(cluster.get::<Pod>(lonely_row)), None);
    assert_eq!(cluster.active_pods().len(), 4);
    assert_eq!(cluster.get::<ReplicaSet>(set).status, full(3, 1));
    // Back under the selector it is one too many: adopted and at once a candidate for deletion.
    cluster.patch(Kind::Pod, lonely_row, Patch::Labels(vec![("app".into(), Some("web".into()))]));
    cluster.run(5);
    assert_eq!(cluster.active_pods().len(), 3);
}

#[test]
fn availability_waits_for_min_ready_seconds() {
    let mut cluster = Cluster::new(3);
    let set = cluster.create(ReplicaSet { min_ready_seconds: 10, ..replica_set("web", 2) });
    cluster.run(9);
    let status = &cluster.get::<ReplicaSet>(set).status;
    assert_eq!((status.ready_replicas, status.available_replicas), (2, 0));
    cluster.run(3);
    assert_eq!(cluster.get::<ReplicaSet>(set).status, full(2, 1));
}

#[test]
fn refused_creations_are_reported_and_tried_again() {
    let mut cluster = Cluster::new(1);
    let template = template("web");
    let mut spec = seatrial_api::pod::PodSpec::clone(&template.spec);
    spec.priority_class = "absent".into();
    let refused = seatrial_api::pod::PodTemplate { spec: Arc::new(spec), ..(*template).clone() };
    let set = cluster.create(ReplicaSet { template: Arc::new(refused), ..replica_set("web", 3) });
    cluster.run(2);
    let status = &cluster.get::<ReplicaSet>(set).status;
    let condition = &status.conditions[0];
    assert_eq!((condition.kind.as_str(), condition.reason.as_str()), ("ReplicaFailure", "FailedCreate"));
    assert!(condition.message.contains("no PriorityClass with name absent was found"));
    assert!(cluster.events(Kind::ReplicaSet)[0].starts_with("FailedCreate: Error creating: "));
    assert!(cluster.refusals.len() > 5, "{}", cluster.refusals.len());
    cluster.update::<ReplicaSet>(set, |set| set.template = self::template("web"));
    cluster.run(5);
    assert_eq!(cluster.get::<ReplicaSet>(set).status, full(3, 2));
}

#[test]
fn whatever_the_delays_a_set_comes_to_rest_at_its_size() {
    for seed in 0..40 {
        let mut cluster = Cluster::random(4, seed);
        cluster.behave(|pod| Behavior {
            start: Span::from_millis(i64::from(pod.meta.id % 7) * 100),
            ready_after: (pod.meta.id % 5 != 1).then_some(Span::from_millis(300)),
            exit: (pod.meta.id % 11 == 3).then_some((Span::from_secs(2), 1)),
            stop: Span::from_millis(i64::from(pod.meta.id % 4) * 500),
        });
        let sets: Vec<u32> =
            (0..3).map(|index| cluster.create(replica_set(&format!("web-{index}"), 5 + index))).collect();
        for round in 0..6 {
            cluster.run_for(Span::from_millis(700));
            let set = sets[round % 3];
            cluster.patch(Kind::ReplicaSet, set, Patch::Replicas((seed as i32 * 7 + round as i32 * 5) % 13));
            if round == 3 {
                cluster.restart_manager();
            }
            if let Some(pod) = cluster.active_pods().first() {
                let target = pod.meta.object_ref(Kind::Pod);
                let _ = cluster.request(Request::delete(target));
            }
        }
        cluster.run(60);
        cluster.behave(|_| Behavior::default());
        cluster.run(60);
        for &set in &sets {
            let set = cluster.get::<ReplicaSet>(set).clone();
            let owned: Vec<_> = cluster
                .active_pods()
                .into_iter()
                .filter(|pod| pod.meta.controller().is_some_and(|owner| owner.uid == set.meta.uid))
                .collect();
            assert_eq!(owned.len() as i32, set.replicas, "seed {seed}");
            assert_eq!(set.status.replicas, set.replicas, "seed {seed}");
            let ready = owned.iter().filter(|pod| pod.is_ready()).count();
            assert_eq!(set.status.ready_replicas as usize, ready, "seed {seed}");
        }
    }
}

#[test]
fn a_pod_without_labels_is_nobodys() {
    let mut cluster = Cluster::new(1);
    let bare = Pod::new(ObjectMeta::named(NAMESPACE, "bare"), template("web").spec.clone());
    let bare = cluster.create(bare);
    cluster.create(replica_set("web", 1));
    cluster.run(5);
    assert!(cluster.get::<Pod>(bare).meta.owners.is_none());
    assert_eq!(cluster.get::<Pod>(bare).meta.labels, Labels::NONE);
}
