//! Deployments, with their ReplicaSets, played against the store.

use std::sync::Arc;

use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::Kind;
use seatrial_api::pod::{ConditionStatus, Pod};
use seatrial_api::request::{Patch, Request};
use seatrial_api::units::Span;
use seatrial_api::workload::{
    Deployment, DeploymentStatus, DeploymentStrategy, IntOrPercent, ReplicaSet, condition,
};

use crate::cluster::{Behavior, Cluster, NAMESPACE, app, selector, template};

fn deployment(name: &str, replicas: i32) -> Deployment {
    Deployment {
        meta: ObjectMeta { labels: app(name), ..ObjectMeta::named(NAMESPACE, name) },
        replicas,
        min_ready_seconds: 0,
        selector: selector(name),
        template: template(name),
        strategy: DeploymentStrategy::RollingUpdate {
            max_surge: IntOrPercent::Percent(25),
            max_unavailable: IntOrPercent::Percent(25),
        },
        revision_history_limit: 10,
        progress_deadline_seconds: 600,
        paused: false,
        status: DeploymentStatus::default(),
    }
}

fn set_image(cluster: &mut Cluster, id: u32, image: &str) {
    let patch = Patch::Image { container: "main".into(), image: image.into() };
    cluster.patch(Kind::Deployment, id, patch);
}

fn image(pod: &Pod) -> &'static str {
    pod.spec.containers[0].image.as_str()
}

fn reasons(cluster: &Cluster, id: u32) -> (String, String) {
    let conditions = &cluster.get::<Deployment>(id).status.conditions;
    let reason = |kind| condition(conditions, kind).map_or(String::new(), |c| c.reason.to_string());
    (reason("Progressing"), reason("Available"))
}

/// Whether the Deployment has exactly its pods, all of the newest template and available, and a
/// status that says so.
fn assert_complete(cluster: &Cluster, id: u32, what: &str) {
    let subject = cluster.get::<Deployment>(id);
    let (status, n) = (&subject.status, subject.replicas);
    let counts = (status.replicas, status.updated_replicas, status.ready_replicas, status.available_replicas);
    assert_eq!(counts, (n, n, n, n), "{what}: {status:?}");
    assert_eq!(status.observed_generation, subject.meta.generation, "{what}");
    assert_eq!(status.unavailable_replicas, 0, "{what}");
    let wanted = subject.template.spec.containers[0].image.as_str();
    let pods: Vec<_> =
        cluster.active_pods().into_iter().filter(|pod| subject.selector.matches(&pod.meta.labels)).collect();
    assert_eq!(pods.len() as i32, n, "{what}");
    assert!(pods.iter().all(|pod| image(pod) == wanted && pod.is_ready()), "{what}");
}

#[test]
fn a_new_deployment_becomes_available() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(deployment("web", 5));
    cluster.run(10);
    assert_complete(&cluster, id, "created");
    assert_eq!(reasons(&cluster, id), ("NewReplicaSetAvailable".into(), "MinimumReplicasAvailable".into()));
    let set = &cluster.all::<ReplicaSet>()[0];
    assert!(set.meta.name.starts_with("web-"));
    let name = cluster.active_pods()[0].meta.name.clone();
    assert!(name.starts_with(set.meta.name.as_str()) && name.len() == set.meta.name.len() + 6);
    assert_eq!(
        cluster.events(Kind::Deployment),
        [format!("ScalingReplicaSet: Scaled up replica set {} from 0 to 5", set.meta.name)]
    );
    let subject = cluster.get::<Deployment>(id);
    let revision = subject.meta.annotations.get("deployment.kubernetes.io/revision".into());
    assert_eq!(revision, Some("1".into()));
    assert_eq!(subject.meta.generation, 1, "the status write raises no generation");
}

#[test]
fn a_rolling_update_keeps_within_surge_and_unavailability() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(deployment("web", 10));
    cluster.run(10);
    let since = cluster.now;
    set_image(&mut cluster, id, "image:2");
    cluster.run(40);
    assert_complete(&cluster, id, "rolled");
    let (_, most) = cluster.pod_envelope(since, |pod| pod.is_active());
    let (least, _) = cluster.pod_envelope(since, |pod| pod.is_active() && pod.is_ready());
    assert!(most <= 13 && least >= 8, "{least}..{most}");
    assert_eq!(cluster.all::<ReplicaSet>().len(), 2, "the old set stays for its revision");
}

#[test]
fn going_back_reuses_the_old_set_under_a_new_number() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(deployment("web", 3));
    cluster.run(10);
    set_image(&mut cluster, id, "image:2");
    cluster.run(20);
    set_image(&mut cluster, id, "image:1");
    cluster.run(20);
    assert_complete(&cluster, id, "back");
    let sets = cluster.all::<ReplicaSet>();
    assert_eq!(sets.len(), 2);
    let annotation = |set: &ReplicaSet, key: &str| set.meta.annotations.get(key.into()).map(|v| v.as_str());
    assert_eq!(annotation(&sets[0], "deployment.kubernetes.io/revision"), Some("3"));
    assert_eq!(annotation(&sets[0], "deployment.kubernetes.io/revision-history"), Some("1"));
    assert_eq!(annotation(&sets[1], "deployment.kubernetes.io/revision"), Some("2"));
}

#[test]
fn a_template_that_never_works_times_out_and_keeps_enough_old_pods() {
    let mut cluster = Cluster::new(3);
    cluster.behave(|pod| Behavior {
        ready_after: (image(pod) != "image:bad").then_some(Span::ZERO),
        ..Behavior::default()
    });
    let id = cluster.create(Deployment { progress_deadline_seconds: 30, ..deployment("web", 4) });
    cluster.run(10);
    set_image(&mut cluster, id, "image:bad");
    cluster.run(45);
    assert_eq!(reasons(&cluster, id), ("ProgressDeadlineExceeded".into(), "MinimumReplicasAvailable".into()));
    let ready = cluster.active_pods().iter().filter(|pod| pod.is_ready()).count();
    assert_eq!((cluster.active_pods().len(), ready), (5, 3));
    set_image(&mut cluster, id, "image:1");
    cluster.run(20);
    assert_complete(&cluster, id, "repaired");
}

#[test]
fn one_that_lacks_pods_after_its_rollout_waits_for_them_without_work() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(Deployment { progress_deadline_seconds: 30, ..deployment("web", 4) });
    cluster.run(60);
    let pod = cluster.active_pods()[0].meta.id;
    cluster.set_ready(pod, false);
    assert!(cluster.settle(60), "its deadline has passed, and it is looked at no more");
    assert_eq!(reasons(&cluster, id), ("NewReplicaSetAvailable".into(), "MinimumReplicasAvailable".into()));
    cluster.set_ready(pod, true);
    cluster.run(5);
    assert_complete(&cluster, id, "whole again");
}

#[test]
fn a_rollover_gives_up_the_set_in_the_middle() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(deployment("web", 8));
    cluster.run(10);
    set_image(&mut cluster, id, "image:2");
    cluster.run(1);
    set_image(&mut cluster, id, "image:3");
    cluster.run(30);
    assert_complete(&cluster, id, "rolled over");
    let sizes: Vec<i32> = cluster.all::<ReplicaSet>().iter().map(|set| set.replicas).collect();
    assert_eq!(sizes, [0, 0, 8]);
}

#[test]
fn a_pause_holds_a_rollout_and_lets_sizes_change() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(deployment("web", 6));
    cluster.run(10);
    cluster.patch(Kind::Deployment, id, Patch::Paused(true));
    set_image(&mut cluster, id, "image:2");
    cluster.run(10);
    assert_eq!(cluster.all::<ReplicaSet>().len(), 1);
    assert_eq!(reasons(&cluster, id).0, "DeploymentPaused");
    cluster.patch(Kind::Deployment, id, Patch::Replicas(9));
    cluster.run(10);
    assert_eq!(cluster.active_pods().len(), 9);
    cluster.patch(Kind::Deployment, id, Patch::Paused(false));
    cluster.run(30);
    assert_complete(&cluster, id, "resumed");
}

#[test]
fn recreation_has_no_old_and_new_pods_at_once() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(Deployment { strategy: DeploymentStrategy::Recreate, ..deployment("web", 4) });
    cluster.run(10);
    let since = cluster.now;
    set_image(&mut cluster, id, "image:2");
    cluster.run(20);
    assert_complete(&cluster, id, "recreated");
    let (_, most) = cluster.pod_envelope(since, |pod| !pod.status.phase.is_terminal());
    assert_eq!(most, 4, "the old pods were gone before the first new one came");
}

#[test]
fn the_history_is_cut_to_its_limit() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(Deployment { revision_history_limit: 1, ..deployment("web", 2) });
    for version in 1..5 {
        set_image(&mut cluster, id, &format!("image:{version}"));
        cluster.run(20);
    }
    assert_complete(&cluster, id, "after four versions");
    assert_eq!(cluster.all::<ReplicaSet>().len(), 2);
}

#[test]
fn a_taken_name_is_avoided_by_another_hash() {
    let mut cluster = Cluster::new(3);
    let first = cluster.create(deployment("web", 1));
    cluster.run(5);
    let set = cluster.all::<ReplicaSet>()[0].clone();
    // The same name again, without owner: the Deployment made anew meets a stranger there.
    cluster.request(Request::delete(set.meta.object_ref(Kind::ReplicaSet))).expect("the set exists");
    cluster
        .request(Request::delete(cluster.get::<Deployment>(first).meta.object_ref(Kind::Deployment)))
        .unwrap();
    let stranger = ReplicaSet {
        meta: ObjectMeta { owners: None, id: 0, labels: app("other"), ..set.meta.clone() },
        ..ReplicaSet::clone(&set)
    };
    cluster.create(ReplicaSet {
        meta: ObjectMeta { resource_version: 0, ..stranger.meta.clone() },
        replicas: 0,
        ..stranger
    });
    let id = cluster.create(deployment("web", 1));
    cluster.run(10);
    let subject = cluster.get::<Deployment>(id);
    assert_eq!(subject.status.collision_count, Some(1));
    assert_eq!(subject.status.available_replicas, 1);
    assert_eq!(cluster.all::<ReplicaSet>().len(), 2);
}

#[test]
fn orphaned_sets_are_adopted_again() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(deployment("web", 3));
    cluster.run(10);
    let set = cluster.all::<ReplicaSet>()[0].clone();
    cluster.patch(Kind::ReplicaSet, set.meta.id, Patch::Owners(Vec::new()));
    cluster.run(5);
    let owner = cluster.get::<ReplicaSet>(set.meta.id).meta.controller().map(|owner| owner.uid);
    assert_eq!(owner, Some(cluster.get::<Deployment>(id).meta.uid));
    assert_complete(&cluster, id, "adopted");
}

#[test]
fn whatever_the_delays_a_rollout_completes() {
    for seed in 0..40u32 {
        let mut cluster = Cluster::random(4, u64::from(seed));
        cluster.behave(|pod| Behavior {
            start: Span::from_millis(i64::from(pod.meta.id % 9) * 70),
            ready_after: Some(Span::from_millis(i64::from(pod.meta.id % 3) * 400)),
            exit: (pod.meta.id % 13 == 3).then_some((Span::from_secs(1), 1)),
            stop: Span::from_millis(i64::from(pod.meta.id % 4) * 700),
        });
        let recreate = seed % 4 == 3;
        let strategy = if recreate { DeploymentStrategy::Recreate } else { deployment("web", 0).strategy };
        let id = cluster.create(Deployment { strategy, ..deployment("web", 6) });
        for round in 0..8u32 {
            cluster.run_for(Span::from_millis(i64::from((seed * 37 + round * 91) % 1500)));
            match (seed + round) % 5 {
                0 => set_image(&mut cluster, id, &format!("image:{round}")),
                1 => cluster.patch(Kind::Deployment, id, Patch::Replicas((seed + 3 * round) as i32 % 11)),
                2 => cluster.restart_manager(),
                3 => {
                    let paused = cluster.get::<Deployment>(id).paused;
                    cluster.patch(Kind::Deployment, id, Patch::Paused(!paused));
                }
                _ => {
                    if let Some(pod) = cluster.active_pods().first() {
                        let target = pod.meta.object_ref(Kind::Pod);
                        let _ = cluster.request(Request::delete(target));
                    }
                }
            }
        }
        if cluster.get::<Deployment>(id).paused {
            cluster.patch(Kind::Deployment, id, Patch::Paused(false));
        }
        cluster.behave(|_| Behavior::default());
        cluster.run(240);
        assert_complete(&cluster, id, &format!("seed {seed}"));
        let conditions = &cluster.get::<Deployment>(id).status.conditions;
        let available = condition(conditions, "Available").map(|c| c.status);
        assert_eq!(available, Some(ConditionStatus::True), "seed {seed}");
    }
}

#[test]
fn deployments_share_their_specification_down_to_the_pods() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(deployment("web", 3));
    cluster.run(5);
    let template = cluster.get::<Deployment>(id).template.clone();
    let set = cluster.all::<ReplicaSet>()[0].clone();
    assert!(Arc::ptr_eq(&template.spec, &set.template.spec));
    let pods = cluster.active_pods();
    assert!(pods.iter().all(|pod| Arc::ptr_eq(&pod.spec, &pods[0].spec)));
}
