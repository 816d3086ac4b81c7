//! What admission lets in: limit ranges, quotas, service accounts, virtual IPs and node ports.

use super::*;
use crate::calendar::Calendar;
use crate::config::Namespace;
use crate::decode::{Decoder, Mode};
use crate::document::{Diagnostics, ObjectReader};
use crate::meta::ObjectMeta;
use crate::quota::{Amounts, ResourceQuota};
use crate::request::Subresource;
use crate::service::Service;

const NOW: SimTime = SimTime::ZERO;

fn server() -> ApiServer {
    with_settings(Settings::default())
}

fn with_settings(settings: Settings) -> ApiServer {
    let mut server = ApiServer::with_settings(KubernetesVersion::V1_36, 1, settings);
    let namespace = Namespace { meta: ObjectMeta::named("", "default"), ..Namespace::default() };
    server.handle(NOW, Request::Create(Object::Namespace(Arc::new(namespace))), &mut Vec::new()).unwrap();
    server
}

fn decode(text: &str) -> Object {
    let mut decoder = Decoder::new(Mode::Manifest, Calendar::default(), KubernetesVersion::V1_36);
    let (mut reader, mut findings) = (ObjectReader::new("f", text.as_bytes()), Diagnostics::new());
    let node = reader.next(&mut findings).expect("an object");
    let file = reader.file().clone();
    decoder.decode(&node, &file, &mut findings).unwrap_or_else(|| panic!("{findings}"))
}

/// Creates an object from a kind, a name and its specification: `ok`, or the refusal.
fn create(server: &mut ApiServer, kind: &str, name: &str, spec: &str) -> String {
    let text = format!("{{apiVersion: v1, kind: {kind}, metadata: {{name: {name}}}, spec: {{{spec}}}}}");
    answer(server.handle(NOW, Request::Create(decode(&text)), &mut Vec::new()))
}

fn answer(reply: Reply) -> String {
    reply.map_or_else(|error| error.message, |_| "ok".to_owned())
}

fn container(resources: &str) -> String {
    format!("containers: [{{name: c, image: a, resources: {{{resources}}}}}]")
}

fn quota_named(server: &ApiServer, name: &str) -> Arc<ResourceQuota> {
    let object = server.find(Kind::ResourceQuota, "default".into(), name).expect("it is there");
    ResourceQuota::of(object).expect("a quota").clone()
}

/// Does what the quota controller does for a new quota.
fn compute(server: &mut ApiServer, name: &str) {
    let mut quota = ResourceQuota::clone(&quota_named(server, name));
    let zeros = quota.hard.names().map(|name| (name, crate::quantity::Quantity::ZERO));
    quota.status.used = Some(Amounts::new(zeros));
    quota.status.hard = Some(quota.hard.clone());
    let object = Object::ResourceQuota(Arc::new(quota));
    let request = Request::Update { object, subresource: Subresource::Status };
    server.handle(NOW, request, &mut Vec::new()).unwrap();
}

fn used(server: &ApiServer, name: &str) -> String {
    quota_named(server, name).status.used.as_ref().expect("it was computed").to_string()
}

#[test]
fn a_limit_range_fills_in_amounts_and_bounds_them() {
    let mut server = server();
    let limits = "limits: [{type: Container, default: {cpu: 500m, memory: 256Mi}, defaultRequest: {cpu: 100m}, \
                  min: {cpu: 50m}, max: {cpu: 1}, maxLimitRequestRatio: {cpu: 8}}, {type: Pod, max: {cpu: 1500m}}, \
                  {type: PersistentVolumeClaim, min: {storage: 1Gi}, max: {storage: 2Gi}}]";
    assert_eq!(create(&mut server, "LimitRange", "lr", limits), "ok");
    for (name, resources, expected) in [
        ("plain", "", "ok"),
        (
            "over",
            "requests: {cpu: 2}",
            "Pod \"over\" is invalid: spec.containers[0].resources.requests: Invalid value: \"2\": must be less \
             than or equal to cpu limit of 500m",
        ),
        (
            "under",
            "requests: {cpu: 10m}",
            "pods \"under\" is forbidden: [minimum cpu usage per Container is 50m, but request is 10m, cpu max \
             limit to request ratio per Container is 8, but provided ratio is 50.000000]",
        ),
        (
            "limover",
            "requests: {cpu: 500m}, limits: {cpu: 3}",
            "pods \"limover\" is forbidden: [maximum cpu usage per Container is 1, but limit is 3, maximum cpu \
             usage per Pod is 1500m, but limit is 3]",
        ),
        (
            "ratio",
            "requests: {cpu: 100m}, limits: {cpu: 900m}",
            "pods \"ratio\" is forbidden: cpu max limit to request ratio per Container is 8, but provided ratio \
             is 9.000000",
        ),
    ] {
        assert_eq!(create(&mut server, "Pod", name, &container(resources)), expected);
    }
    let object = server.find(Kind::Pod, "default".into(), "plain").expect("it is there");
    let Object::Pod(pod) = object else { unreachable!() };
    let (requests, limits) = (&pod.spec.containers[0].requests, &pod.spec.containers[0].limits);
    assert_eq!(Amounts::of_list(requests).to_string(), "cpu=100m,memory=256Mi");
    assert_eq!(Amounts::of_list(limits).to_string(), "cpu=500m,memory=256Mi");
    assert_eq!(pod.spec.derived.requests.cpu.0, 100);
    let said = pod.meta.annotations.get("kubernetes.io/limit-ranger".into()).expect("it is said");
    assert_eq!(
        said,
        "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c"
    );
    for (name, storage, expected) in [
        (
            "small",
            "500Mi",
            "persistentvolumeclaims \"small\" is forbidden: minimum storage usage per PersistentVolumeClaim is \
             1Gi, but request is 500Mi",
        ),
        ("right", "1Gi", "ok"),
        (
            "large",
            "3Gi",
            "persistentvolumeclaims \"large\" is forbidden: maximum storage usage per PersistentVolumeClaim is \
             2Gi, but request is 3Gi",
        ),
    ] {
        let spec = format!("accessModes: [ReadWriteOnce], resources: {{requests: {{storage: {storage}}}}}");
        assert_eq!(create(&mut server, "PersistentVolumeClaim", name, &spec), expected);
    }
}

#[test]
fn a_quota_is_charged_before_the_object_is_stored_and_never_exceeded() {
    let mut server = server();
    let hard = "hard: {requests.cpu: 1, requests.memory: 1Gi, limits.cpu: 2, pods: 3}";
    create(&mut server, "ResourceQuota", "q", hard);
    // A quota that was not computed yet holds nobody up.
    assert_eq!(create(&mut server, "Pod", "early", &container("")), "ok");
    compute(&mut server, "q");
    for (name, resources, expected) in [
        ("ok", "requests: {cpu: 500m, memory: 512Mi}, limits: {cpu: 1}", "ok"),
        (
            "nomem",
            "requests: {cpu: 100m}, limits: {cpu: 1}",
            "pods \"nomem\" is forbidden: failed quota: q: must specify requests.memory for: c",
        ),
        (
            "none",
            "",
            "pods \"none\" is forbidden: failed quota: q: must specify limits.cpu for: c; requests.cpu for: c; \
             requests.memory for: c",
        ),
        (
            "big",
            "requests: {cpu: 600m, memory: 100Mi}, limits: {cpu: 1}",
            "pods \"big\" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: \
             requests.cpu=500m, limited: requests.cpu=1",
        ),
        (
            "toomuch",
            "requests: {cpu: 600m, memory: 1Gi}, limits: {cpu: 1500m}",
            "pods \"toomuch\" is forbidden: exceeded quota: q, requested: \
             limits.cpu=1500m,requests.cpu=600m,requests.memory=1Gi, used: \
             limits.cpu=1,requests.cpu=500m,requests.memory=512Mi, limited: \
             limits.cpu=2,requests.cpu=1,requests.memory=1Gi",
        ),
    ] {
        assert_eq!(create(&mut server, "Pod", name, &container(resources)), expected);
    }
    assert_eq!(used(&server, "q"), "limits.cpu=1,pods=1,requests.cpu=500m,requests.memory=512Mi");
    // What fails after admission stays charged.
    let again =
        create(&mut server, "Pod", "ok", &container("requests: {cpu: 1m, memory: 1Mi}, limits: {cpu: 1m}"));
    assert_eq!(again, "pods \"ok\" already exists");
    assert_eq!(used(&server, "q"), "limits.cpu=1001m,pods=2,requests.cpu=501m,requests.memory=513Mi");
}

#[test]
fn objects_are_counted_and_updates_charged_with_the_difference() {
    let mut server = server();
    create(
        &mut server,
        "ResourceQuota",
        "q",
        "hard: {services: 2, services.nodeports: 1, count/deployments.apps: 1}",
    );
    compute(&mut server, "q");
    assert_eq!(create(&mut server, "Service", "s1", "ports: [{port: 80}]"), "ok");
    assert_eq!(create(&mut server, "Service", "s2", "type: NodePort, ports: [{port: 80}]"), "ok");
    assert_eq!(
        create(&mut server, "Service", "s3", "ports: [{port: 80}]"),
        "services \"s3\" is forbidden: exceeded quota: q, requested: services=1, used: services=2, limited: services=2"
    );
    let changed = decode(
        "{apiVersion: v1, kind: Service, metadata: {name: s1}, spec: {type: NodePort, ports: [{port: 80}]}}",
    );
    assert_eq!(
        answer(server.handle(NOW, Request::Apply(changed), &mut Vec::new())),
        "services \"s1\" is forbidden: exceeded quota: q, requested: services.nodeports=1, used: \
         services.nodeports=1, limited: services.nodeports=1"
    );
}

#[test]
fn a_pod_needs_its_service_account_where_that_is_asked_for() {
    let mut server = with_settings(Settings { service_account_admission: true, ..Settings::default() });
    assert_eq!(
        create(&mut server, "Pod", "p", &container("")),
        "pods \"p\" is forbidden: error looking up service account default/default: serviceaccount \"default\" \
         not found"
    );
    let account = decode("{apiVersion: v1, kind: ServiceAccount, metadata: {name: default}}");
    server.handle(NOW, Request::Create(account), &mut Vec::new()).unwrap();
    assert_eq!(create(&mut server, "Pod", "p", &container("")), "ok");
}

#[test]
fn services_get_addresses_and_ports_and_keep_them() {
    let network = ServiceNetwork { address: 10 << 24, prefix: 16 };
    let mut server = with_settings(Settings { service_network: network, ..Settings::default() });
    for (name, spec, expected) in [
        ("auto", "ports: [{port: 80}]", "ok"),
        ("fixed", "ports: [{port: 80}], clusterIP: 10.0.77.7", "ok"),
        (
            "taken",
            "ports: [{port: 80}], clusterIP: 10.0.77.7",
            "Service \"taken\" is invalid: spec.clusterIPs: Invalid value: [\"10.0.77.7\"]: failed to allocate IP \
             10.0.77.7: provided IP is already allocated",
        ),
        (
            "outside",
            "ports: [{port: 80}], clusterIP: 10.9.0.1",
            "Service \"outside\" is invalid: spec.clusterIPs: Invalid value: [\"10.9.0.1\"]: failed to allocate IP \
             10.9.0.1: the provided network does not match the current range",
        ),
        ("headless", "ports: [{port: 80}], clusterIP: None", "ok"),
        ("np", "type: NodePort, ports: [{port: 80, nodePort: 30777}]", "ok"),
        (
            "np2",
            "type: NodePort, ports: [{port: 80, nodePort: 30777}]",
            "Service \"np2\" is invalid: spec.ports[0].nodePort: Invalid value: 30777: provided port is already \
             allocated",
        ),
        (
            "np3",
            "type: NodePort, ports: [{port: 80, nodePort: 80}]",
            "Service \"np3\" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the \
             valid range. The range of valid ports is 30000-32767",
        ),
        ("dns", "type: NodePort, ports: [{name: a, port: 53}, {name: b, port: 53, protocol: UDP}]", "ok"),
        ("lb", "type: LoadBalancer, externalTrafficPolicy: Local, ports: [{port: 80}]", "ok"),
        ("ext", "type: ExternalName, externalName: example.com", "ok"),
        (
            "two",
            "ipFamilyPolicy: RequireDualStack, ports: [{port: 80}]",
            "Service \"two\" is invalid: spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": Cluster is not \
             configured for dual-stack services",
        ),
    ] {
        assert_eq!(create(&mut server, "Service", name, spec), expected);
    }
    let service = |server: &ApiServer, name: &str| {
        let object = server.find(Kind::Service, "default".into(), name).expect("it is there");
        Service::clone(Service::of(object).expect("a service"))
    };
    let dynamic: u32 =
        service(&server, "auto").cluster_ip.parse::<std::net::Ipv4Addr>().expect("an address").into();
    assert!(dynamic > network.address + 256, "the lower band is kept for those who ask");
    assert!(service(&server, "dns").ports[0].node_port >= 30_086);
    assert_eq!(service(&server, "dns").ports[0].node_port, service(&server, "dns").ports[1].node_port);
    assert!(service(&server, "lb").health_check_node_port >= 30_086);
    assert_eq!(service(&server, "ext").cluster_ip, "");

    let change = |server: &mut ApiServer, name: &str, spec: &str| {
        let text = format!("{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{{spec}}}}}");
        answer(server.handle(NOW, Request::Apply(decode(&text)), &mut Vec::new()))
    };
    let frozen = |name: &str| {
        format!(
            "Service \"{name}\" is invalid: spec.clusterIPs[0]: Invalid value: [\"10.0.77.8\"]: may not change \
             once set"
        )
    };
    let wanted = "ports: [{port: 80}], clusterIP: 10.0.77.8";
    assert_eq!(change(&mut server, "auto", wanted), frozen("auto"));
    assert_eq!(change(&mut server, "headless", wanted), frozen("headless"));
    // What an update leaves out stays; a type without node ports gives them back.
    let before = service(&server, "np");
    assert_eq!(
        change(&mut server, "np", "type: NodePort, ports: [{name: a, port: 80}, {name: b, port: 81}]"),
        "ok"
    );
    let after = service(&server, "np");
    assert_eq!((&after.cluster_ip, after.ports[0].node_port), (&before.cluster_ip, 30_777));
    assert_ne!(after.ports[1].node_port, 0);
    assert_eq!(change(&mut server, "np", "type: ClusterIP, ports: [{port: 80}]"), "ok");
    assert_eq!(service(&server, "np").ports[0].node_port, 0);
    assert_eq!(
        create(&mut server, "Service", "np4", "type: NodePort, ports: [{port: 1, nodePort: 30777}]"),
        "ok"
    );
    // An alias has no address, and one that was an alias gets one.
    assert_eq!(change(&mut server, "fixed", "type: ExternalName, externalName: example.com"), "ok");
    assert_eq!(service(&server, "fixed").cluster_ip, "");
    assert_eq!(create(&mut server, "Service", "taken", "ports: [{port: 80}], clusterIP: 10.0.77.7"), "ok");
    assert_eq!(change(&mut server, "ext", "type: ClusterIP, ports: [{port: 80}]"), "ok");
    assert_ne!(service(&server, "ext").cluster_ip, "");
}
