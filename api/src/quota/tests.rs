use super::*;
use crate::calendar::Calendar;
use crate::decode::{Decoder, Mode};
use crate::document::{Diagnostics, ObjectReader};
use crate::object::{Kind, Object};
use crate::units::SimTime;
use crate::version::KubernetesVersion;

fn decode(text: &str) -> Object {
    let mut decoder = Decoder::new(Mode::State, Calendar::default(), KubernetesVersion::V1_36);
    let (mut reader, mut findings) = (ObjectReader::new("f", text.as_bytes()), Diagnostics::new());
    let node = reader.next(&mut findings).expect("an object");
    let file = reader.file().clone();
    decoder.decode(&node, &file, &mut findings).unwrap_or_else(|| panic!("{findings}"))
}

fn pod(spec: &str, status: &str) -> Object {
    decode(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {{{spec}}}, status: {{{status}}}}}"
    ))
}

#[test]
fn objects_use_what_upstream_counts() {
    let container = "containers: [{name: c, image: a, resources: {requests: {cpu: 500m, memory: 64Mi}, \
                     limits: {cpu: 1, memory: 64Mi}}}, {name: d, image: a, resources: {limits: {example.com/gpu: 2}}}]";
    let service = |kind: &str| {
        decode(&format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: s}}, spec: {{type: {kind}, ports: [{{name: a, port: 1}}, \
             {{name: b, port: 2}}]}}}}"
        ))
    };
    let claim = "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c}, spec: {accessModes: \
                 [ReadWriteOnce], storageClassName: fast, resources: {requests: {storage: 1Gi}}}}";
    for (object, expected) in [
        (
            pod(container, "phase: Running"),
            "count/pods=1,cpu=500m,limits.cpu=1,limits.memory=64Mi,memory=64Mi,pods=1,requests.cpu=500m,\
             requests.example.com/gpu=2,requests.memory=64Mi",
        ),
        (pod(container, "phase: Succeeded"), "count/pods=1"),
        (service("NodePort"), "count/services=1,services=1,services.loadbalancers=0,services.nodeports=2"),
        (
            service("LoadBalancer"),
            "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2",
        ),
        (
            decode(claim),
            "count/persistentvolumeclaims=1,fast.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
             fast.storageclass.storage.k8s.io/requests.storage=1Gi,persistentvolumeclaims=1,requests.storage=1Gi",
        ),
        (decode("{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}"), "configmaps=1,count/configmaps=1"),
        (
            decode("{apiVersion: example.com/v1, kind: Policy, metadata: {name: c}}"),
            "count/policies.example.com=1",
        ),
    ] {
        assert_eq!(usage(&object, SimTime::ZERO).to_string(), expected);
    }
}

#[test]
fn a_pod_that_should_have_been_gone_uses_nothing() {
    let text = "{apiVersion: v1, kind: Pod, metadata: {name: p, deletionTimestamp: '2030-01-01T00:00:30Z', \
                deletionGracePeriodSeconds: 30}, spec: {containers: [{name: c, image: a}]}, status: {phase: Running}}";
    let Object::Pod(pod) = decode(text) else { unreachable!() };
    assert!(counts(&pod, SimTime::from_secs(60)));
    assert!(!counts(&pod, SimTime::from_secs(61)));
}

#[test]
fn resources_of_a_quota_are_those_of_some_kind() {
    for (kind, resource, expected) in [
        (Kind::Pod, "requests.cpu", true),
        (Kind::Pod, "requests.nvidia.com/gpu", true),
        (Kind::Pod, "requests.storage", false),
        (Kind::Pod, "hugepages-2Mi", true),
        (Kind::Service, "services.nodeports", true),
        (Kind::PersistentVolumeClaim, "fast.storageclass.storage.k8s.io/requests.storage", true),
        (Kind::Deployment, "count/deployments.apps", true),
        (Kind::Deployment, "count/deployments", false),
        (Kind::Secret, "secrets", true),
        (Kind::Job, "jobs", false),
    ] {
        assert_eq!(tracks(kind, resource.into()), expected, "{kind} {resource}");
    }
}

#[test]
fn scopes_choose_pods() {
    let quota = |scopes: &str| {
        let text = format!(
            "{{apiVersion: v1, kind: ResourceQuota, metadata: {{name: q}}, spec: {{hard: {{pods: 1}}, {scopes}}}}}"
        );
        match decode(&text) {
            Object::ResourceQuota(quota) => quota,
            other => panic!("{other:?}"),
        }
    };
    let selector = |operator: &str| {
        format!("scopeSelector: {{matchExpressions: [{{scopeName: PriorityClass, operator: {operator}}}]}}")
    };
    let plain = "containers: [{name: c, image: a}]";
    let burstable = "containers: [{name: c, image: a, resources: {requests: {cpu: 1}}}]";
    let short = "containers: [{name: c, image: a}], activeDeadlineSeconds: 5";
    let important = "containers: [{name: c, image: a}], priorityClassName: high";
    let abroad = "containers: [{name: c, image: a}], affinity: {podAntiAffinity: \
                  {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, namespaces: [other], \
                  labelSelector: {}}]}}";
    for (scopes, pod_spec, expected) in [
        ("scopes: [BestEffort]".to_owned(), plain, true),
        ("scopes: [BestEffort]".to_owned(), burstable, false),
        ("scopes: [NotBestEffort]".to_owned(), burstable, true),
        ("scopes: [Terminating]".to_owned(), short, true),
        ("scopes: [Terminating]".to_owned(), plain, false),
        ("scopes: [NotTerminating, BestEffort]".to_owned(), plain, true),
        (selector("In, values: [high]"), important, true),
        (selector("In, values: [low]"), important, false),
        (selector("NotIn, values: [low]"), plain, true),
        (selector("Exists"), plain, false),
        (selector("DoesNotExist"), plain, true),
        ("scopes: [CrossNamespacePodAffinity]".to_owned(), abroad, true),
        ("scopes: [CrossNamespacePodAffinity]".to_owned(), plain, false),
        ("scopes: [VolumeAttributesClass]".to_owned(), plain, false),
    ] {
        let quota = quota(&scopes);
        let object = pod(pod_spec, "phase: Running");
        assert_eq!(is_charged(&object, &quota, &quota.hard), expected, "{scopes} {pod_spec}");
    }
}
