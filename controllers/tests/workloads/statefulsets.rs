//! StatefulSets, played against the store.

use std::sync::Arc;

use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::{Pod, VolumeSource};
use seatrial_api::request::{Change, Patch, Request};
use seatrial_api::storage::{AccessModes, ClaimSpec, ClaimTemplate, PersistentVolumeClaim};
use seatrial_api::units::{Bytes, Span};
use seatrial_api::workload::{
    ClaimRetention, ControllerRevision, PodManagementPolicy, StatefulSet, StatefulSetStatus,
    StatefulSetUpdateStrategy,
};

use crate::cluster::{Behavior, Cluster, NAMESPACE, app, selector, template};

fn stateful_set(name: &str, replicas: i32) -> StatefulSet {
    StatefulSet {
        meta: ObjectMeta { labels: app(name), ..ObjectMeta::named(NAMESPACE, name) },
        replicas,
        ordinals_start: 0,
        min_ready_seconds: 0,
        service_name: name.into(),
        selector: selector(name),
        template: template(name),
        claim_templates: Arc::default(),
        pod_management_policy: PodManagementPolicy::OrderedReady,
        update_strategy: StatefulSetUpdateStrategy::RollingUpdate { partition: Some(0) },
        retention_when_deleted: ClaimRetention::Retain,
        retention_when_scaled: ClaimRetention::Retain,
        revision_history_limit: 10,
        status: StatefulSetStatus::default(),
    }
}

fn with_claim(set: StatefulSet) -> StatefulSet {
    let claim = ClaimTemplate {
        name: "data".into(),
        claim: ClaimSpec {
            access_modes: AccessModes { read_write_once: true, ..AccessModes::default() },
            request: Bytes(1 << 30),
            ..ClaimSpec::default()
        },
        labels: Default::default(),
        annotations: Default::default(),
    };
    StatefulSet { claim_templates: Arc::new(vec![claim]), ..set }
}

fn set_image(cluster: &mut Cluster, id: u32, image: &str) {
    let patch = Patch::Image { container: "main".into(), image: image.into() };
    cluster.patch(Kind::StatefulSet, id, patch);
}

/// Creations (`+`), beginnings of deletion (`-`) and removals (`x`) of pods in order, since a
/// moment of the history.
fn story(cluster: &Cluster, since: usize) -> String {
    let mut known: Vec<(u32, bool)> = Vec::new();
    let mut story = String::new();
    for (index, (_, event)) in cluster.history.iter().enumerate() {
        let Object::Pod(pod) = &event.object else { continue };
        let ordinal = pod.meta.name.rsplit('-').next().unwrap_or_default();
        let entry = known.iter_mut().find(|entry| entry.0 == pod.meta.id);
        let was_deleting = entry.as_ref().is_some_and(|entry| entry.1);
        let sign = match event.change {
            Change::Added => Some('+'),
            Change::Deleted => Some('x'),
            Change::Modified if pod.meta.is_deleting() && !was_deleting => Some('-'),
            Change::Modified => None,
        };
        match entry {
            Some(entry) => entry.1 = pod.meta.is_deleting(),
            None => known.push((pod.meta.id, pod.meta.is_deleting())),
        }
        if let Some(sign) = sign.filter(|_| index >= since) {
            story.push_str(&format!("{sign}{ordinal} "));
        }
    }
    story.trim_end().into()
}

fn image_of(cluster: &Cluster, name: &str) -> &'static str {
    cluster.named::<Pod>(name).map_or("", |pod| pod.spec.containers[0].image.as_str())
}

fn assert_at_rest(cluster: &Cluster, id: u32, what: &str) {
    let set = cluster.get::<StatefulSet>(id);
    let (status, n) = (&set.status, set.replicas);
    let counts = (status.replicas, status.ready_replicas, status.available_replicas, status.updated_replicas);
    assert_eq!(counts, (n, n, n, n), "{what}: {status:?}");
    assert_eq!(status.current_replicas, n, "{what}");
    assert_eq!(status.current_revision, status.update_revision, "{what}");
    assert_eq!(status.observed_generation, set.meta.generation, "{what}");
    let image = set.template.spec.containers[0].image.as_str();
    for ordinal in 0..n {
        let name = format!("{}-{}", set.meta.name, set.ordinals_start + ordinal);
        assert_eq!(image_of(cluster, &name), image, "{what}: {name}");
    }
}

#[test]
fn pods_come_in_order_and_go_in_reverse() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(stateful_set("db", 3));
    cluster.run(10);
    assert_eq!(story(&cluster, 0), "+0 +1 +2");
    assert_at_rest(&cluster, id, "created");
    let pod = cluster.named::<Pod>("db-1").expect("db-1 exists").clone();
    assert_eq!((pod.spec.hostname.as_str(), pod.spec.subdomain.as_str()), ("db-1", "db"));
    let label = |key: &str| pod.meta.labels.get(key.into()).map(|value| value.as_str());
    assert_eq!(label("apps.kubernetes.io/pod-index"), Some("1"));
    assert_eq!(label("statefulset.kubernetes.io/pod-name"), Some("db-1"));
    let revision = cluster.get::<StatefulSet>(id).status.update_revision;
    assert_eq!(label("controller-revision-hash"), Some(revision.as_str()));
    assert_eq!(
        cluster.events(Kind::StatefulSet)[0],
        "SuccessfulCreate: Create Pod db-0 in StatefulSet db successful"
    );
    let since = cluster.history.len();
    cluster.patch(Kind::StatefulSet, id, Patch::Replicas(1));
    cluster.run(10);
    assert_eq!(story(&cluster, since), "-2 x2 -1 x1");
    assert_at_rest(&cluster, id, "scaled down");
}

#[test]
fn a_pod_that_is_not_ready_holds_those_behind_it() {
    let mut cluster = Cluster::new(3);
    cluster.behave(|pod| Behavior {
        ready_after: (pod.meta.name != "db-1").then_some(Span::ZERO),
        ..Behavior::default()
    });
    let id = cluster.create(stateful_set("db", 3));
    cluster.run(20);
    assert_eq!(story(&cluster, 0), "+0 +1");
    let status = &cluster.get::<StatefulSet>(id).status;
    assert_eq!((status.replicas, status.ready_replicas), (2, 1));
}

#[test]
fn a_parallel_set_makes_and_removes_its_pods_at_once() {
    let mut cluster = Cluster::new(3);
    let parallel =
        StatefulSet { pod_management_policy: PodManagementPolicy::Parallel, ..stateful_set("db", 4) };
    let id = cluster.create(parallel);
    cluster.run_for(Span::from_millis(100));
    assert_eq!(cluster.active_pods().len(), 4);
    cluster.run(10);
    assert_at_rest(&cluster, id, "created");
    cluster.patch(Kind::StatefulSet, id, Patch::Replicas(1));
    cluster.run_for(Span::from_millis(100));
    assert_eq!(cluster.active_pods().len(), 1);
    cluster.run(10);
    assert_at_rest(&cluster, id, "scaled down");
}

#[test]
fn an_update_goes_from_the_top_down_to_the_partition() {
    let mut cluster = Cluster::new(3);
    let strategy = StatefulSetUpdateStrategy::RollingUpdate { partition: Some(1) };
    let id = cluster.create(StatefulSet { update_strategy: strategy, ..stateful_set("db", 3) });
    cluster.run(10);
    let since = cluster.history.len();
    set_image(&mut cluster, id, "image:2");
    cluster.run(20);
    assert_eq!(story(&cluster, since), "-2 x2 +2 -1 x1 +1");
    assert_eq!(
        ["db-0", "db-1", "db-2"].map(|name| image_of(&cluster, name)),
        ["image:1", "image:2", "image:2"]
    );
    let status = &cluster.get::<StatefulSet>(id).status;
    assert_eq!((status.current_replicas, status.updated_replicas), (1, 2));
    assert_ne!(status.current_revision, status.update_revision);
    // A lost pod below the partition comes back as it was.
    let target = cluster.named::<Pod>("db-0").expect("db-0 exists").meta.object_ref(Kind::Pod);
    cluster.request(Request::delete(target)).expect("db-0 exists");
    cluster.run(10);
    assert_eq!(image_of(&cluster, "db-0"), "image:1");
    let all = StatefulSetUpdateStrategy::RollingUpdate { partition: Some(0) };
    cluster.update::<StatefulSet>(id, |set| set.update_strategy = all);
    cluster.run(20);
    assert_at_rest(&cluster, id, "partition lifted");
}

#[test]
fn on_delete_leaves_updates_to_the_user() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(StatefulSet {
        update_strategy: StatefulSetUpdateStrategy::OnDelete,
        ..stateful_set("db", 2)
    });
    cluster.run(10);
    set_image(&mut cluster, id, "image:2");
    cluster.run(20);
    assert_eq!(["db-0", "db-1"].map(|name| image_of(&cluster, name)), ["image:1", "image:1"]);
    let target = cluster.named::<Pod>("db-0").expect("db-0 exists").meta.object_ref(Kind::Pod);
    cluster.request(Request::delete(target)).expect("db-0 exists");
    cluster.run(10);
    assert_eq!(["db-0", "db-1"].map(|name| image_of(&cluster, name)), ["image:2", "image:1"]);
}

#[test]
fn a_broken_update_of_an_ordered_set_waits_for_a_hand() {
    let mut cluster = Cluster::new(3);
    cluster.behave(|pod| Behavior {
        ready_after: (pod.spec.containers[0].image != "image:bad").then_some(Span::ZERO),
        ..Behavior::default()
    });
    let id = cluster.create(stateful_set("db", 3));
    cluster.run(10);
    set_image(&mut cluster, id, "image:bad");
    cluster.run(20);
    set_image(&mut cluster, id, "image:3");
    cluster.run(20);
    let images = ["db-0", "db-1", "db-2"].map(|name| image_of(&cluster, name));
    assert_eq!(images, ["image:1", "image:1", "image:bad"], "the repaired template does not replace it");
    let target = cluster.named::<Pod>("db-2").expect("db-2 exists").meta.object_ref(Kind::Pod);
    cluster.request(Request::delete(target)).expect("db-2 exists");
    cluster.run(30);
    assert_at_rest(&cluster, id, "repaired by hand");
}

#[test]
fn going_back_renumbers_the_revision_and_the_history_is_cut() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(StatefulSet { revision_history_limit: 2, ..stateful_set("db", 1) });
    cluster.run(10);
    for image in ["image:2", "image:3", "image:1", "image:4"] {
        set_image(&mut cluster, id, image);
        cluster.run(15);
    }
    assert_at_rest(&cluster, id, "updated");
    let revisions = cluster.all::<ControllerRevision>();
    let image = |revision: &ControllerRevision| revision.template.spec.containers[0].image.to_string();
    let mut numbers: Vec<(i64, String)> = revisions.iter().map(|rev| (rev.revision, image(rev))).collect();
    numbers.sort();
    let expected = [(3, "image:3"), (4, "image:1"), (5, "image:4")];
    assert_eq!(numbers, expected.map(|(number, image)| (number, image.to_string())));
}

#[test]
fn claims_are_made_before_their_pod_and_stay_when_it_goes() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(with_claim(stateful_set("db", 2)));
    cluster.run(10);
    let pod = cluster.named::<Pod>("db-1").expect("db-1 exists");
    let claim = VolumeSource::Claim { name: "data-db-1".into(), read_only: false };
    assert_eq!(pod.spec.volumes[0].source, claim);
    assert!(cluster.named::<PersistentVolumeClaim>("data-db-1").is_some());
    let events = cluster.events(Kind::StatefulSet);
    assert_eq!(events[0], "SuccessfulCreate: Create Claim data-db-0 Pod db-0 in StatefulSet db success");
    cluster.patch(Kind::StatefulSet, id, Patch::Replicas(1));
    cluster.run(10);
    assert!(cluster.named::<Pod>("db-1").is_none());
    assert!(
        cluster.named::<PersistentVolumeClaim>("data-db-1").expect("the claim stays").meta.owners.is_none()
    );
}

#[test]
fn retention_policies_are_owners_of_the_claims() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(StatefulSet {
        retention_when_deleted: ClaimRetention::Delete,
        retention_when_scaled: ClaimRetention::Delete,
        ..with_claim(stateful_set("db", 2))
    });
    cluster.run(10);
    let owner = |cluster: &Cluster, claim: &str| {
        let claim = cluster.named::<PersistentVolumeClaim>(claim).expect("the claim exists");
        claim.meta.owner_refs().iter().map(|owner| owner.kind.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(owner(&cluster, "data-db-0"), ["StatefulSet"]);
    assert_eq!(owner(&cluster, "data-db-1"), ["StatefulSet"]);
    cluster.patch(Kind::StatefulSet, id, Patch::Replicas(1));
    cluster.run(10);
    assert!(cluster.named::<Pod>("db-1").is_none());
    // The garbage collector would take the claim now, because its pod is gone.
    let stale = cluster.named::<PersistentVolumeClaim>("data-db-1");
    if let Some(claim) = stale.cloned() {
        assert_eq!(claim.meta.owner_refs()[0].kind, "Pod");
        cluster.patch(Kind::StatefulSet, id, Patch::Replicas(2));
        cluster.run(10);
        assert!(cluster.named::<Pod>("db-1").is_none(), "no pod may use a claim that is about to go");
        cluster
            .request(Request::delete(claim.meta.object_ref(Kind::PersistentVolumeClaim)))
            .expect("it exists");
        let patch = Patch::Annotations(vec![("wake".into(), Some("up".into()))]);
        cluster.patch(Kind::StatefulSet, id, patch);
    } else {
        cluster.patch(Kind::StatefulSet, id, Patch::Replicas(2));
    }
    cluster.run(10);
    assert_at_rest(&cluster, id, "scaled up again");
    assert_eq!(owner(&cluster, "data-db-1"), ["StatefulSet"]);
}

#[test]
fn ordinals_start_where_the_set_says() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(StatefulSet { ordinals_start: 5, ..stateful_set("db", 2) });
    cluster.run(10);
    assert_eq!(story(&cluster, 0), "+5 +6");
    assert_at_rest(&cluster, id, "created");
}

#[test]
fn availability_waits_for_min_ready_seconds() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(StatefulSet { min_ready_seconds: 5, ..stateful_set("db", 2) });
    cluster.run(4);
    assert_eq!(story(&cluster, 0), "+0");
    cluster.run(3);
    assert_eq!(story(&cluster, 0), "+0 +1");
    cluster.run(10);
    assert_at_rest(&cluster, id, "available");
}

#[test]
fn whatever_the_delays_a_set_comes_to_rest() {
    for seed in 0..40u32 {
        let mut cluster = Cluster::random(4, u64::from(seed));
        cluster.behave(|pod| Behavior {
            start: Span::from_millis(i64::from(pod.meta.id % 9) * 70),
            ready_after: Some(Span::from_millis(i64::from(pod.meta.id % 3) * 300)),
            exit: (pod.meta.id % 7 == 3).then_some((Span::from_secs(1), (pod.meta.id % 2) as i32)),
            stop: Span::from_millis(i64::from(pod.meta.id % 4) * 500),
        });
        let policy =
            if seed % 2 == 0 { PodManagementPolicy::OrderedReady } else { PodManagementPolicy::Parallel };
        let mut set = StatefulSet { pod_management_policy: policy, ..stateful_set("db", 4) };
        if seed % 3 == 0 {
            set = with_claim(set);
        }
        let id = cluster.create(set);
        for round in 0..8u32 {
            cluster.run_for(Span::from_millis(i64::from((seed * 37 + round * 91) % 2500)));
            match (seed + round) % 4 {
                0 => set_image(&mut cluster, id, &format!("image:{}", round % 3)),
                1 => cluster.patch(Kind::StatefulSet, id, Patch::Replicas((seed + 3 * round) as i32 % 6)),
                2 => cluster.restart_manager(),
                _ => {
                    if let Some(pod) = cluster.active_pods().first() {
                        let target = pod.meta.object_ref(Kind::Pod);
                        let _ = cluster.request(Request::delete(target));
                    }
                }
            }
        }
        cluster.behave(|_| Behavior::default());
        cluster.run(120);
        assert_at_rest(&cluster, id, &format!("seed {seed}"));
        assert_eq!(
            cluster.active_pods().len() as i32,
            cluster.get::<StatefulSet>(id).replicas,
            "seed {seed}"
        );
    }
}
