//! What the API server fills in at every decoding (`pkg/apis/*/v1/defaults.go`).
//!
//! A document is walked along its type; each structure has a rule of its own, so templates get what
//! pods get, and objects have a rule for the whole besides.

use crate::document::{Node, Value};
use crate::quantity::Quantity;
use crate::schema::{Struct, Type, schema};

/// The document with everything that the server fills in. It must be canonical.
pub fn apply(object: &mut Node, structure: &'static Struct) {
    walk(object, structure);
    whole(object, structure.id);
}

fn walk(node: &mut Node, structure: &'static Struct) {
    for field in &structure.fields {
        if node.field(field.name).is_none() {
            continue;
        }
        match field.of.plain() {
            Type::Struct(id) => {
                if let (Some(inner), Some(child)) = (schema().get(id), node.get_mut(field.name)) {
                    walk(child, inner);
                }
            }
            Type::List(element) => {
                if let Type::Struct(id) = element.plain()
                    && let Some(inner) = schema().get(id)
                {
                    node.edit_elements(field.name, |element| walk(element, inner));
                }
            }
            Type::Map(_) if field.of.go_text() == "v1.ResourceList" => round_up(node, field.name),
            _ => {}
        }
    }
    one(node, structure.id);
}

/// Quantities are stored in thousandths at the finest.
fn round_up(node: &mut Node, key: &str) {
    let Some(list) = node.get_mut(key) else { return };
    let names: Vec<_> = list.as_mapping().map(|f| f.entries().to_vec()).unwrap_or_default();
    for entry in names {
        if let Some(quantity) = entry.value.as_str().and_then(|text| Quantity::parse(text).ok()) {
            let rounded = quantity.rounded_up_to_milli();
            if rounded != quantity {
                list.set(&entry.key, Node::text(rounded.to_string()));
            }
        }
    }
}

fn default_text(node: &mut Node, key: &str, text: &str) {
    if node.str(key).is_empty() {
        node.set(key, Node::text(text));
    }
}

fn default_number(node: &mut Node, key: &str, number: i64) {
    node.set_default(key, || Node::int(number));
}

fn default_nonzero(node: &mut Node, key: &str, number: i64) {
    if node.number(key).unwrap_or(0) == 0 {
        node.set(key, Node::int(number));
    }
}

/// The rule of a structure, wherever it stands.
fn one(node: &mut Node, id: &str) {
    match id {
        "core/v1.PodSpec" => pod_spec(node),
        "core/v1.Container" | "core/v1.EphemeralContainer" => container(node),
        "core/v1.ContainerPort" | "core/v1.ServicePort" | "core/v1.EndpointPort" => {
            default_text(node, "protocol", "TCP");
        }
        "core/v1.Probe" => {
            for (key, number) in [
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ] {
                default_nonzero(node, key, number);
            }
        }
        "core/v1.HTTPGetAction" => {
            default_text(node, "path", "/");
            default_text(node, "scheme", "HTTP");
        }
        "core/v1.GRPCAction" => node.set_default("service", || Node::text("")),
        "core/v1.ObjectFieldSelector" => default_text(node, "apiVersion", "v1"),
        "core/v1.Volume" => volume(node),
        "core/v1.SecretVolumeSource"
        | "core/v1.ConfigMapVolumeSource"
        | "core/v1.DownwardAPIVolumeSource"
        | "core/v1.ProjectedVolumeSource" => default_number(node, "defaultMode", 0o644),
        "core/v1.ServiceAccountTokenProjection" => default_number(node, "expirationSeconds", 3_600),
        "core/v1.HostPathVolumeSource" => node.set_default("type", || Node::text("")),
        "core/v1.PersistentVolumeClaimSpec" => default_text(node, "volumeMode", "Filesystem"),
        "core/v1.NodeStatus" => {
            if node.field("allocatable").is_none()
                && let Some(capacity) = node.field("capacity").cloned()
            {
                node.set("allocatable", capacity);
            }
        }
        "core/v1.LimitRangeItem" => limit_range_item(node),
        "batch/v1.PodFailurePolicyOnPodConditionsPattern" => default_text(node, "status", "True"),
        "networking/v1.NetworkPolicyPort" => default_text(node, "protocol", "TCP"),
        "discovery/v1.EndpointPort" => {
            node.set_default("name", || Node::text(""));
            default_text(node, "protocol", "TCP");
        }
        "networking/v1.IngressClassSpec" => {
            if let Some(parameters) = node.get_mut("parameters") {
                default_text(parameters, "scope", "Cluster");
            }
        }
        "node/v1.Scheduling" => {}
        _ => {}
    }
}

fn pod_spec(spec: &mut Node) {
    default_text(spec, "dnsPolicy", "ClusterFirst");
    default_text(spec, "restartPolicy", "Always");
    spec.set_default("securityContext", Node::empty);
    default_number(spec, "terminationGracePeriodSeconds", 30);
    default_text(spec, "schedulerName", "default-scheduler");
    // Two names for one thing: the old one follows the new one.
    let account = match spec.str("serviceAccountName") {
        "" => spec.str("serviceAccount").to_owned(),
        name => name.to_owned(),
    };
    if !account.is_empty() {
        spec.set("serviceAccountName", Node::text(&account));
        spec.set("serviceAccount", Node::text(&account));
    }
}

fn container(container: &mut Node) {
    if container.str("imagePullPolicy").is_empty() {
        let policy = pull_policy(container.str("image"));
        container.set("imagePullPolicy", Node::text(policy));
    }
    default_text(container, "terminationMessagePath", "/dev/termination-log");
    default_text(container, "terminationMessagePolicy", "File");
}

/// Images that may change under their name are pulled anew.
fn pull_policy(image: &str) -> &'static str {
    let name = image.split('@').next().unwrap_or("");
    let last = name.rsplit('/').next().unwrap_or("");
    let digest = image.contains('@');
    match last.split_once(':') {
        Some((_, "latest")) => "Always",
        None if !digest && !image.is_empty() && is_image_name(image) => "Always",
        _ => "IfNotPresent",
    }
}

/// Whether a text can be read as the name of an image at all; of others nothing is known.
fn is_image_name(image: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    let parts: Vec<&str> = image.split('/').collect();
    let (last, before) = (parts[parts.len() - 1], &parts[..parts.len() - 1]);
    let is_part = |part: &str| {
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        edge(part.bytes().next()) && edge(part.bytes().last()) && part.bytes().all(inner)
    };
    let is_host = |part: &str| {
        let (host, port) = part.split_once(':').unwrap_or((part, "0"));
        host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
            && port.bytes().all(|b| b.is_ascii_digit())
    };
    let first_is_host = !before.is_empty() && is_host(before[0]);
    let start = usize::from(first_is_host);
    is_part(last) && before[start.min(before.len())..].iter().all(|part| is_part(part))
}

fn volume(volume: &mut Node) {
    let has_source = volume.as_mapping().is_some_and(|fields| {
        fields.entries().iter().any(|entry| entry.key != "name" && !entry.value.is_null())
    });
    if !has_source {
        volume.set("emptyDir", Node::empty());
    }
    if let Some(image) = volume.get_mut("image")
        && image.str("pullPolicy").is_empty()
    {
        let policy = pull_policy(image.str("reference"));
        image.set("pullPolicy", Node::text(policy));
    }
}

fn limit_range_item(item: &mut Node) {
    if item.str("type") != "Container" {
        return;
    }
    let copy = |item: &mut Node, from: &str, to: &str| {
        for entry in item.entries(from).to_vec() {
            item.mapping_mut(to).set_default(&entry.key, || entry.value.clone());
        }
    };
    copy(item, "max", "default");
    copy(item, "default", "defaultRequest");
    copy(item, "min", "defaultRequest");
    for key in ["default", "defaultRequest"] {
        sort_keys(item, key);
    }
}

fn sort_keys(node: &mut Node, key: &str) {
    if let Some(child) = node.get_mut(key) {
        *child = super::go_value::sorted(child);
    }
}

/// The rule of an object as a whole.
fn whole(object: &mut Node, id: &str) {
    let spec = |object: &mut Node, rule: fn(&mut Node)| {
        if let Some(spec) = object.get_mut("spec") {
            rule(spec);
        }
    };
    match id {
        "core/v1.Pod" => spec(object, pod),
        "core/v1.Namespace" => {
            let name = object.get("metadata").map_or("", |meta| meta.str("name")).to_owned();
            if !name.is_empty() {
                let labels = object.mapping_mut("metadata").mapping_mut("labels");
                labels.set("kubernetes.io/metadata.name", Node::text(name));
                sort_keys(object.mapping_mut("metadata"), "labels");
            }
            default_text(object.mapping_mut("status"), "phase", "Active");
        }
        "core/v1.Service" => {
            spec(object, service);
            mode_of_ingress(object);
        }
        "core/v1.Secret" => default_text(object, "type", "Opaque"),
        "core/v1.ReplicationController" => replication_controller(object),
        "core/v1.PersistentVolume" => {
            spec(object, |spec| {
                default_text(spec, "persistentVolumeReclaimPolicy", "Retain");
                default_text(spec, "volumeMode", "Filesystem");
            });
            default_text(object.mapping_mut("status"), "phase", "Pending");
        }
        "core/v1.PersistentVolumeClaim" => default_text(object.mapping_mut("status"), "phase", "Pending"),
        "apps/v1.Deployment" => spec(object, deployment),
        "apps/v1.ReplicaSet" => spec(object, |spec| default_number(spec, "replicas", 1)),
        "apps/v1.StatefulSet" => spec(object, stateful_set),
        "apps/v1.DaemonSet" => spec(object, daemon_set),
        "batch/v1.Job" => job(object),
        "batch/v1.CronJob" => spec(object, |spec| {
            default_text(spec, "concurrencyPolicy", "Allow");
            spec.set_default("suspend", || Node::bool(false));
            default_number(spec, "successfulJobsHistoryLimit", 3);
            default_number(spec, "failedJobsHistoryLimit", 1);
        }),
        "autoscaling/v2.HorizontalPodAutoscaler" => spec(object, autoscaler),
        "autoscaling/v1.HorizontalPodAutoscaler" => {
            spec(object, |spec| default_number(spec, "minReplicas", 1))
        }
        "networking/v1.NetworkPolicy" => spec(object, |spec| {
            if spec.elements("policyTypes").is_empty() {
                let mut types = vec![Node::text("Ingress")];
                types.extend((!spec.elements("egress").is_empty()).then(|| Node::text("Egress")));
                spec.set("policyTypes", Node::list(types));
            }
        }),
        "storage/v1.StorageClass" => {
            default_text(object, "reclaimPolicy", "Delete");
            default_text(object, "volumeBindingMode", "Immediate");
        }
        "storage/v1.CSIDriver" => spec(object, csi_driver),
        "scheduling/v1.PriorityClass" => default_text(object, "preemptionPolicy", "PreemptLowerPriority"),
        "rbac/v1.RoleBinding" | "rbac/v1.ClusterRoleBinding" => role_binding(object),
        _ => {}
    }
}

fn pod(spec: &mut Node) {
    for key in ["containers", "initContainers"] {
        spec.edit_elements(key, |container| {
            let limits =
                container.get("resources").map_or(Vec::new(), |found| found.entries("limits").to_vec());
            for entry in &limits {
                let requests = container.mapping_mut("resources").mapping_mut("requests");
                requests.set_default(&entry.key, || entry.value.clone());
            }
            if !limits.is_empty() {
                sort_keys(container.mapping_mut("resources"), "requests");
            }
        });
    }
    pod_level_requests(spec);
    spec.set_default("enableServiceLinks", || Node::bool(true));
    if spec.flag("hostNetwork") {
        for key in ["containers", "initContainers"] {
            spec.edit_elements(key, |container| {
                container.edit_elements("ports", |port| {
                    let own = port.number("containerPort").unwrap_or(0);
                    default_nonzero(port, "hostPort", own);
                });
            });
        }
    }
}

/// Requests of the pod as a whole: what its containers ask for, else its limits.
fn pod_level_requests(spec: &mut Node) {
    let limits = spec.get("resources").map_or(Vec::new(), |found| found.entries("limits").to_vec());
    if limits.is_empty() {
        return;
    }
    let sums = super::validate::sums_of_requests(spec);
    let is_supported = |name: &str| matches!(name, "cpu" | "memory") || name.starts_with("hugepages-");
    let requests = spec.mapping_mut("resources").mapping_mut("requests");
    for (name, sum) in sums.iter().filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory")) {
        requests.set_default(name, || Node::text(sum.to_string()));
    }
    for entry in limits.iter().filter(|entry| is_supported(&entry.key)) {
        requests.set_default(&entry.key, || entry.value.clone());
    }
    sort_keys(spec.mapping_mut("resources"), "requests");
}

/// Addresses of a load balancer are virtual unless said otherwise.
fn mode_of_ingress(service: &mut Node) {
    if service.at(&["spec", "type"]).and_then(Node::as_str) == Some("LoadBalancer")
        && let Some(balancer) = service.get_mut("status").and_then(|status| status.get_mut("loadBalancer"))
    {
        balancer.edit_elements("ingress", |ingress| {
            if !ingress.str("ip").is_empty() {
                ingress.set_default("ipMode", || Node::text("VIP"));
            }
        });
    }
}

fn service(spec: &mut Node) {
    default_text(spec, "sessionAffinity", "None");
    match spec.str("sessionAffinity") {
        "None" => drop(spec.remove("sessionAffinityConfig")),
        "ClientIP" => {
            let config = spec.mapping_mut("sessionAffinityConfig").mapping_mut("clientIP");
            default_number(config, "timeoutSeconds", 10_800);
        }
        _ => {}
    }
    default_text(spec, "type", "ClusterIP");
    spec.edit_elements("ports", |port| {
        let unset = match port.field("targetPort").map(|port| &port.value) {
            None | Some(Value::Int(0)) => true,
            Some(Value::String(text)) => text.is_empty(),
            _ => false,
        };
        if unset {
            let own = port.number("port").unwrap_or(0);
            port.set("targetPort", Node::int(own));
        }
    });
    let kind = spec.str("type").to_owned();
    let external = matches!(kind.as_str(), "NodePort" | "LoadBalancer")
        || kind == "ClusterIP" && !spec.elements("externalIPs").is_empty();
    if external {
        default_text(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        default_text(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        spec.set_default("allocateLoadBalancerNodePorts", || Node::bool(true));
    }
}

fn replication_controller(object: &mut Node) {
    let labels =
        object.at(&["spec", "template", "metadata", "labels"]).filter(|labels| !labels.is_null()).cloned();
    if let Some(labels) = labels {
        if object.get("spec").is_some_and(|spec| spec.entries("selector").is_empty()) {
            object.mapping_mut("spec").set("selector", labels.clone());
        }
        if object.get("metadata").is_some_and(|meta| meta.entries("labels").is_empty()) {
            object.mapping_mut("metadata").set("labels", labels);
        }
    }
    default_number(object.mapping_mut("spec"), "replicas", 1);
}

fn deployment(spec: &mut Node) {
    default_number(spec, "replicas", 1);
    let strategy = spec.mapping_mut("strategy");
    default_text(strategy, "type", "RollingUpdate");
    if strategy.str("type") == "RollingUpdate" {
        let rolling = strategy.mapping_mut("rollingUpdate");
        rolling.set_default("maxUnavailable", || Node::text("25%"));
        rolling.set_default("maxSurge", || Node::text("25%"));
    }
    default_number(spec, "revisionHistoryLimit", 10);
    default_number(spec, "progressDeadlineSeconds", 600);
}

fn stateful_set(spec: &mut Node) {
    default_text(spec, "podManagementPolicy", "OrderedReady");
    let strategy = spec.mapping_mut("updateStrategy");
    if strategy.str("type").is_empty() {
        strategy.set("type", Node::text("RollingUpdate"));
        strategy.set_default("rollingUpdate", Node::empty);
    }
    if strategy.str("type") == "RollingUpdate"
        && let Some(rolling) = strategy.get_mut("rollingUpdate")
    {
        default_number(rolling, "partition", 0);
    }
    let policy = spec.mapping_mut("persistentVolumeClaimRetentionPolicy");
    default_text(policy, "whenDeleted", "Retain");
    default_text(policy, "whenScaled", "Retain");
    default_number(spec, "replicas", 1);
    default_number(spec, "revisionHistoryLimit", 10);
    spec.edit_elements("volumeClaimTemplates", |claim| {
        claim.set("apiVersion", Node::text("v1"));
        claim.set("kind", Node::text("PersistentVolumeClaim"));
        default_text(claim.mapping_mut("status"), "phase", "Pending");
    });
}

fn daemon_set(spec: &mut Node) {
    let strategy = spec.mapping_mut("updateStrategy");
    default_text(strategy, "type", "RollingUpdate");
    if strategy.str("type") == "RollingUpdate" {
        let rolling = strategy.mapping_mut("rollingUpdate");
        default_number(rolling, "maxUnavailable", 1);
        default_number(rolling, "maxSurge", 0);
    }
    default_number(spec, "revisionHistoryLimit", 10);
}

fn job(object: &mut Node) {
    let labels =
        object.at(&["spec", "template", "metadata", "labels"]).filter(|labels| !labels.is_null()).cloned();
    let spec = object.mapping_mut("spec");
    if spec.field("completions").is_none() && spec.field("parallelism").is_none() {
        spec.set("completions", Node::int(1));
    }
    default_number(spec, "parallelism", 1);
    let limit = if spec.field("backoffLimitPerIndex").is_some() { i64::from(i32::MAX) } else { 6 };
    default_number(spec, "backoffLimit", limit);
    default_text(spec, "completionMode", "NonIndexed");
    spec.set_default("suspend", || Node::bool(false));
    let replacement = if spec.field("podFailurePolicy").is_some() { "Failed" } else { "TerminatingOrFailed" };
    default_text(spec, "podReplacementPolicy", replacement);
    spec.set_default("manualSelector", || Node::bool(false));
    if let Some(labels) = labels
        && object.get("metadata").is_some_and(|meta| meta.entries("labels").is_empty())
    {
        object.mapping_mut("metadata").set("labels", labels);
    }
}

fn autoscaler(spec: &mut Node) {
    default_number(spec, "minReplicas", 1);
    if spec.elements("metrics").is_empty() {
        let target =
            Node::object([("type", Node::text("Utilization")), ("averageUtilization", Node::int(80))]);
        let resource = Node::object([("name", Node::text("cpu")), ("target", target)]);
        let metric = Node::object([("type", Node::text("Resource")), ("resource", resource)]);
        spec.set("metrics", Node::list([metric]));
    }
    let Some(behavior) = spec.get_mut("behavior").filter(|behavior| !behavior.is_null()) else { return };
    let policy = |kind: &str, value: i64| {
        Node::object([
            ("type", Node::text(kind)),
            ("value", Node::int(value)),
            ("periodSeconds", Node::int(15)),
        ])
    };
    let up = behavior.mapping_mut("scaleUp");
    default_number(up, "stabilizationWindowSeconds", 0);
    default_text(up, "selectPolicy", "Max");
    up.set_default("policies", || Node::list([policy("Pods", 4), policy("Percent", 100)]));
    let down = behavior.mapping_mut("scaleDown");
    default_text(down, "selectPolicy", "Max");
    down.set_default("policies", || Node::list([policy("Percent", 100)]));
}

fn csi_driver(spec: &mut Node) {
    for (key, value) in [
        ("attachRequired", true),
        ("podInfoOnMount", false),
        ("storageCapacity", false),
        ("requiresRepublish", false),
        ("seLinuxMount", false),
    ] {
        spec.set_default(key, || Node::bool(value));
    }
    default_text(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    if spec.elements("volumeLifecycleModes").is_empty() {
        spec.set("volumeLifecycleModes", Node::list([Node::text("Persistent")]));
    }
}

fn role_binding(object: &mut Node) {
    const RBAC: &str = "rbac.authorization.k8s.io";
    if let Some(role) = object.get_mut("roleRef") {
        default_text(role, "apiGroup", RBAC);
    }
    object.edit_elements("subjects", |subject| {
        if matches!(subject.str("kind"), "User" | "Group") {
            default_text(subject, "apiGroup", RBAC);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_of_an_image_says_when_it_is_pulled() {
        for (image, policy) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.25", "IfNotPresent"),
            ("registry:5000/a/nginx", "Always"),
            ("registry:5000/a/nginx:1", "IfNotPresent"),
            ("nginx@sha256:0123", "IfNotPresent"),
            ("", "IfNotPresent"),
            (" img", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }
}
