//! Quotas, limits and the accounts of namespaces.

use std::sync::Arc;

use crate::cluster::{Behavior, Cluster, NAMESPACE, app, selector, template};
use seatrial_api::config::{ConfigMap, ServiceAccount};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::Kind;
use seatrial_api::pod::{Pod, PodSpec, PodTemplate};
use seatrial_api::quantity::Quantity;
use seatrial_api::quota::{Amounts, ResourceQuota};
use seatrial_api::request::{Patch, Request};
use seatrial_api::units::{MilliCpu, Span};
use seatrial_api::workload::{ReplicaSet, ReplicaSetStatus};

fn quota(name: &str, hard: &[(&str, &str)]) -> ResourceQuota {
    let amount = |pair: &(&str, &str)| (pair.0.into(), Quantity::parse(pair.1).expect("a quantity"));
    ResourceQuota {
        meta: ObjectMeta::named(NAMESPACE, name),
        hard: Amounts::new(hard.iter().map(amount)),
        ..ResourceQuota::default()
    }
}

/// A set of pods that request half a core each.
fn replica_set(name: &str, replicas: i32) -> ReplicaSet {
    let mut spec = PodSpec::clone(&template(name).spec);
    spec.containers[0].requests.cpu = Some(MilliCpu(500));
    let template = PodTemplate { spec: Arc::new(spec.sealed()), ..PodTemplate::clone(&template(name)) };
    ReplicaSet {
        meta: ObjectMeta { labels: app(name), ..ObjectMeta::named(NAMESPACE, name) },
        replicas,
        min_ready_seconds: 0,
        selector: selector(name),
        template: Arc::new(template),
        status: ReplicaSetStatus::default(),
    }
}

fn used(cluster: &Cluster, quota: u32) -> String {
    cluster.get::<ResourceQuota>(quota).status.used.as_ref().map(Amounts::to_string).unwrap_or_default()
}

#[test]
fn a_quota_holds_a_set_up_until_there_is_room() {
    let mut cluster = Cluster::new(3);
    let quota = cluster.create(quota("q", &[("pods", "3"), ("requests.cpu", "4")]));
    cluster.run(1);
    assert_eq!(used(&cluster, quota), "pods=0,requests.cpu=0");
    let set = cluster.create(replica_set("web", 5));
    cluster.run(5);
    assert_eq!(cluster.active_pods().len(), 3);
    assert_eq!(used(&cluster, quota), "pods=3,requests.cpu=1500m");
    let condition = cluster.get::<ReplicaSet>(set).status.conditions[0].clone();
    assert_eq!((condition.kind.as_str(), condition.reason.as_str()), ("ReplicaFailure", "FailedCreate"));
    assert!(
        condition.message.ends_with("exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3"),
        "{}",
        condition.message
    );
    cluster.patch(Kind::ReplicaSet, set, Patch::Replicas(2));
    cluster.run(5);
    assert_eq!(used(&cluster, quota), "pods=2,requests.cpu=1");
    assert!(cluster.get::<ReplicaSet>(set).status.conditions.is_empty());
    // A larger quota lets the rest in when the set tries again.
    cluster.patch(Kind::ReplicaSet, set, Patch::Replicas(5));
    cluster
        .update::<ResourceQuota>(quota, |quota| quota.hard.set("pods".into(), Quantity::from_millis(9_000)));
    cluster.run(30);
    assert_eq!(cluster.active_pods().len(), 5);
    assert_eq!(used(&cluster, quota), "pods=5,requests.cpu=2500m");
}

#[test]
fn objects_that_are_there_already_count_and_those_that_go_cease_to() {
    let mut cluster = Cluster::new(1);
    let map = cluster.create(ConfigMap { meta: ObjectMeta::named(NAMESPACE, "c"), ..ConfigMap::default() });
    let quota = cluster.create(quota("q", &[("configmaps", "2"), ("count/configmaps", "9"), ("pods", "1")]));
    cluster.run(1);
    assert_eq!(used(&cluster, quota), "configmaps=1,count/configmaps=1,pods=0");
    let target = seatrial_api::object::ObjectRef { kind: Kind::ConfigMap, id: map };
    cluster.request(Request::delete(target)).expect("it is there");
    cluster.run(1);
    assert_eq!(used(&cluster, quota), "configmaps=0,count/configmaps=0,pods=0");
}

#[test]
fn a_pod_that_does_not_end_ceases_to_count_after_twice_its_grace() {
    let mut cluster = Cluster::new(1);
    cluster.behave(|_| Behavior { stop: Span::from_secs(10_000), ..Behavior::default() });
    let quota = cluster.create(quota("q", &[("pods", "5")]));
    let pod = cluster.create(Pod::new(ObjectMeta::named(NAMESPACE, "p"), template("p").spec.clone()));
    cluster.run(5);
    let target = seatrial_api::object::ObjectRef { kind: Kind::Pod, id: pod };
    cluster.request(Request::delete(target)).expect("it is there");
    cluster.run(100);
    assert_eq!(used(&cluster, quota), "pods=1", "nothing has happened since its deletion");
    cluster.run(300);
    assert_eq!(used(&cluster, quota), "pods=0");
}

#[test]
fn every_namespace_has_its_account() {
    let mut cluster = Cluster::new(1);
    cluster.run(1);
    let account = cluster.named::<ServiceAccount>("default").expect("it was made").clone();
    cluster.request(Request::delete(account.meta.object_ref(Kind::ServiceAccount))).expect("it is there");
    cluster.run(1);
    let again = cluster.named::<ServiceAccount>("default").expect("it was made again");
    assert_ne!(again.meta.uid, account.meta.uid);
}

#[test]
fn an_old_kind_of_set_works_as_the_new_one() {
    use seatrial_api::workload::ReplicationController;
    let mut cluster = Cluster::new(3);
    let set = replica_set("old", 3);
    let controller = cluster.create(ReplicationController {
        meta: set.meta,
        replicas: 3,
        min_ready_seconds: 0,
        selector: set.selector,
        template: set.template,
        status: ReplicaSetStatus::default(),
    });
    cluster.run(5);
    assert_eq!(cluster.active_pods().len(), 3);
    let status = cluster.get::<ReplicationController>(controller).status.clone();
    assert_eq!((status.available_replicas, status.terminating_replicas), (3, None));
    cluster.patch(Kind::ReplicationController, controller, Patch::Replicas(1));
    cluster.run(5);
    assert_eq!(cluster.active_pods().len(), 1);
    // Deleted without a policy, it leaves its pods behind.
    let target = seatrial_api::object::ObjectRef { kind: Kind::ReplicationController, id: controller };
    cluster.request(Request::delete(target)).expect("it is there");
    cluster.run(5);
    assert!(cluster.named::<ReplicationController>("old").is_none());
    let pods = cluster.active_pods();
    assert_eq!(pods.len(), 1);
    assert!(pods[0].meta.owners.is_none());
}
