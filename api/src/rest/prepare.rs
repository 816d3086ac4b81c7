//! What the server makes of an object before it is judged: conversion, admission, preparation by kind
//! (`pkg/registry/*/*/strategy.go`, `plugin/pkg/admission`).

use std::sync::Arc;

use super::machine::Rest;
use super::request::Target;
use super::resource::Resource;
use super::status::Refusal;
use super::update::Part;
use crate::base64;
use crate::document::Node;
use crate::object::Object;
use crate::pod::PreemptionPolicy;
use crate::policy::PriorityClass;
use crate::symbol::Symbol;

const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];
const DAEMON_GENERATION: &str = "deprecated.daemonset.template.generation";

/// What becomes of a document when it enters the server, whichever way: fields that only clients have.
pub(super) fn convert(object: &mut Node, resource: &Resource) {
    if resource.kind == "Secret" {
        for entry in object.entries("stringData").to_vec() {
            let encoded = base64::encode(entry.value.as_str().unwrap_or("").as_bytes());
            object.mapping_mut("data").set(&entry.key, Node::text(encoded));
        }
        object.remove("stringData");
    }
    if resource.kind == "Node"
        && let Some(spec) = object.get_mut("spec")
    {
        let (one, many) = (spec.str("podCIDR").to_owned(), spec.elements("podCIDRs"));
        if !one.is_empty() && many.is_empty() {
            spec.set("podCIDRs", Node::list([Node::text(one)]));
        }
    }
    if resource.kind == "Pod"
        && let Some(status) = object.get_mut("status")
    {
        let (one, many) = (status.str("podIP").to_owned(), status.elements("podIPs"));
        if !one.is_empty() && many.is_empty() {
            status.set("podIPs", Node::list([Node::object([("ip", Node::text(one))])]));
        }
    }
    for_each_pod_spec(object, resource, disabled_fields);
    if resource.kind == "StatefulSet"
        && let Some(rolling) = object
            .get_mut("spec")
            .and_then(|spec| spec.get_mut("updateStrategy"))
            .and_then(|strategy| strategy.get_mut("rollingUpdate"))
    {
        rolling.remove("maxUnavailable");
    }
}

/// Fields behind gates that are off are dropped without a word.
fn disabled_fields(spec: &mut Node) {
    spec.remove("schedulingGroup");
    for key in ["containers", "initContainers"] {
        spec.edit_elements(key, |container| {
            if let Some(lifecycle) = container.get_mut("lifecycle") {
                lifecycle.remove("stopSignal");
            }
        });
    }
}

/// Hands every specification of pods in an object to `change`.
fn for_each_pod_spec(object: &mut Node, resource: &Resource, change: fn(&mut Node)) {
    let way: &[&str] = match resource.kind {
        "Pod" => &["spec"],
        "PodTemplate" => &["template", "spec"],
        "CronJob" => &["spec", "jobTemplate", "spec", "template", "spec"],
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "ReplicationController" | "Job" => {
            &["spec", "template", "spec"]
        }
        _ => return,
    };
    let found = way.iter().try_fold(object, |node, key| node.get_mut(key));
    if let Some(spec) = found.filter(|spec| spec.as_mapping().is_some()) {
        change(spec);
    }
}

/// An object that is to be created: its status is the server's, and some fields too.
pub(super) fn create(resource: &Resource, object: &mut Node, now: &str) {
    let text = |pairs: &[(&'static str, &str)]| {
        Node::object(pairs.iter().map(|(key, text)| (*key, Node::text(*text))))
    };
    match (resource.group, resource.kind) {
        ("", "Pod") => object.set("status", new_pod_status(object)),
        ("", "PersistentVolume") => {
            object.set("status", text(&[("phase", "Pending"), ("lastPhaseTransitionTime", now)]));
        }
        ("", "PersistentVolumeClaim") => object.set("status", text(&[("phase", "Pending")])),
        ("", "Namespace") => {
            object.set("status", text(&[("phase", "Active")]));
            let spec = object.mapping_mut("spec");
            let mut finalizers = spec.elements("finalizers");
            if !finalizers.iter().any(|finalizer| finalizer.as_str() == Some("kubernetes")) {
                finalizers.push(Node::text("kubernetes"));
            }
            spec.set("finalizers", Node::list(finalizers));
        }
        ("", "Service") => {
            object.set("status", Node::empty());
            let before = Node::empty();
            service(object.mapping_mut("spec"), &before);
        }
        ("", "ReplicationController" | "ResourceQuota")
        | ("networking.k8s.io", "Ingress" | "ServiceCIDR")
        | ("storage.k8s.io", "VolumeAttachment")
        | ("apps" | "autoscaling" | "policy", _)
        | ("batch", "CronJob") => {
            if resource.has(super::resource::SubResource::Status) {
                object.set("status", Node::empty());
            }
            if resource.kind == "DaemonSet" {
                let annotations = object.mapping_mut("metadata").mapping_mut("annotations");
                annotations.set(DAEMON_GENERATION, Node::text("1"));
            }
        }
        ("batch", "Job") => {
            object.set("status", Node::empty());
            generate_selector(object);
        }
        _ => {}
    }
    if has_generation(resource) {
        object.mapping_mut("metadata").set("generation", Node::int(1));
    }
}

fn new_pod_status(object: &Node) -> Node {
    let empty = Node::empty();
    let spec = object.get("spec").unwrap_or(&empty);
    let mut status = Node::object([("phase", Node::text("Pending"))]);
    if !spec.elements("schedulingGates").is_empty() {
        let condition = Node::object([
            ("type", Node::text("PodScheduled")),
            ("status", Node::text("False")),
            ("reason", Node::text("SchedulingGated")),
            ("message", Node::text("Scheduling is blocked due to non-empty scheduling gates")),
        ]);
        status.set("conditions", Node::list([condition]));
    }
    status.set("qosClass", Node::text(quality_of_service(spec)));
    status
}

/// Writes the class of quality into a pod.
pub(super) fn classify(pod: &mut Node) {
    let class = pod.get("spec").map_or("BestEffort", quality_of_service);
    pod.mapping_mut("status").set("qosClass", Node::text(class));
}

/// Guaranteed if every container has equal requests and limits of CPU and memory, BestEffort if none
/// has any (`pkg/apis/core/helper/qos/qos.go`).
pub(super) fn quality_of_service(spec: &Node) -> &'static str {
    let containers = [spec.elements("containers"), spec.elements("initContainers")].concat();
    let whole = spec.field("resources").map(|resources| Node::object([("resources", resources.clone())]));
    let judged = whole.map_or(containers, |whole| vec![whole]);
    let amount = |container: &Node, kind: &str, name: &str| {
        container
            .at(&["resources", kind, name])
            .and_then(Node::as_str)
            .map(str::to_owned)
            .filter(|text| text != "0")
    };
    let (mut any, mut all) = (false, true);
    for container in &judged {
        for name in ["cpu", "memory"] {
            let (request, limit) = (amount(container, "requests", name), amount(container, "limits", name));
            any |= request.is_some() || limit.is_some();
            all &= limit.is_some() && request == limit;
        }
    }
    match (any, all) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// A Job without a selector of its own gets one that selects its own pods alone.
fn generate_selector(object: &mut Node) {
    let empty = Node::empty();
    let meta = object.get("metadata").unwrap_or(&empty);
    let (uid, name) = (meta.str("uid").to_owned(), meta.str("name").to_owned());
    let spec = object.mapping_mut("spec");
    if spec.flag("manualSelector") {
        return;
    }
    let labels = spec.mapping_mut("template").mapping_mut("metadata").mapping_mut("labels");
    for (key, value) in [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("job-name", &name),
    ] {
        labels.set(key, Node::text(value));
    }
    let sorted = super::go_value::sorted(labels);
    *labels = sorted;
    let identity = ("batch.kubernetes.io/controller-uid", Node::text(uid));
    spec.mapping_mut("selector").mapping_mut("matchLabels").set(identity.0, identity.1);
}

/// Addresses and ports of a Service: two fields for one address are made to agree, and what was
/// allocated before stays (`pkg/registry/core/service/storage/alloc.go`, `pkg/registry/core/service/strategy.go`).
fn service(spec: &mut Node, before: &Node) {
    let is_type = |spec: &Node, kinds: &[&str]| kinds.contains(&spec.str("type"));
    let needs_address = |spec: &Node| is_type(spec, &["ClusterIP", "NodePort", "LoadBalancer"]);
    let needs_ports = |spec: &Node| is_type(spec, &["NodePort", "LoadBalancer"]);
    let (address, old) = (spec.str("clusterIP").to_owned(), before.str("clusterIP").to_owned());
    let (addresses, old_addresses) = (spec.elements("clusterIPs"), before.elements("clusterIPs"));
    if needs_address(spec) && needs_address(before) && address.is_empty() && addresses.is_empty() {
        for key in ["clusterIP", "clusterIPs"] {
            if let Some(value) = before.field(key) {
                spec.set(key, value.clone());
            }
        }
    } else if address != old && addresses == old_addresses && !old_addresses.is_empty() {
        match address.as_str() {
            "" => drop(spec.remove("clusterIPs")),
            address => spec.set("clusterIPs", Node::list([Node::text(address)])),
        }
    } else if !address.is_empty() && addresses.is_empty() {
        spec.set("clusterIPs", Node::list([Node::text(address)]));
    } else if address == old && address.is_empty() && !addresses.is_empty() {
        // Only the list was given; the single field follows where the server fills it in.
    }
    if needs_ports(spec) && needs_ports(before) {
        let old_ports = before.elements("ports");
        spec.edit_elements("ports", |port| {
            let same = old_ports.iter().find(|old| {
                old.number("port") == port.number("port") && old.str("protocol") == port.str("protocol")
            });
            if port.number("nodePort").unwrap_or(0) == 0
                && let Some(number) = same.and_then(|old| old.field("nodePort"))
            {
                port.set("nodePort", number.clone());
            }
        });
    }
    leave_type(spec, before);
    if needs_address(spec) {
        let headless = spec.str("clusterIP") == "None";
        let family = if spec.str("clusterIP").contains(':') { "IPv6" } else { "IPv4" };
        if spec.elements("ipFamilies").is_empty() {
            spec.set("ipFamilies", Node::list([Node::text(family)]));
        }
        let selectorless = headless && spec.entries("selector").is_empty();
        if selectorless && spec.elements("ipFamilies").len() < 2 && before.str("type").is_empty() {
            spec.set("ipFamilies", Node::list([Node::text("IPv4"), Node::text("IPv6")]));
            spec.set_default("ipFamilyPolicy", || Node::text("RequireDualStack"));
        }
        spec.set_default("ipFamilyPolicy", || Node::text("SingleStack"));
    }
}

/// Fields that belong to the type that a Service leaves go with it, unless the client set them anew.
fn leave_type(spec: &mut Node, before: &Node) {
    if before.str("type").is_empty() {
        return;
    }
    let is = |spec: &Node, kinds: &[&str]| kinds.contains(&spec.str("type"));
    let addressed = ["ClusterIP", "NodePort", "LoadBalancer"];
    if is(before, &addressed) && !is(spec, &addressed) {
        for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            if super::validate::is_same(spec.field(key), before.field(key)) {
                spec.remove(key);
            }
        }
    }
    let ported = ["NodePort", "LoadBalancer"];
    if is(before, &ported) && !is(spec, &ported) {
        let old_ports = before.elements("ports");
        spec.edit_elements("ports", |port| {
            let kept = old_ports.iter().any(|old| old.number("nodePort") == port.number("nodePort"));
            if kept {
                port.remove("nodePort");
            }
        });
        if super::validate::is_same(
            spec.field("externalTrafficPolicy"),
            before.field("externalTrafficPolicy"),
        ) && spec.elements("externalIPs").is_empty()
        {
            spec.remove("externalTrafficPolicy");
        }
    }
    if is(before, &["LoadBalancer"]) && !is(spec, &["LoadBalancer"]) {
        for key in ["allocateLoadBalancerNodePorts", "loadBalancerClass", "healthCheckNodePort"] {
            if super::validate::is_same(spec.field(key), before.field(key)) {
                spec.remove(key);
            }
        }
    }
}

/// An object that takes the place of `old`: what the written part may not change is put back.
pub(super) fn update(resource: &Resource, part: Part, object: &mut Node, old: &Node, now: &str) {
    let put_back = |object: &mut Node, key: &str| match old.field(key) {
        Some(value) => object.set(key, value.clone()),
        None => drop(object.remove(key)),
    };
    match part {
        Part::Main => {
            if resource.has(super::resource::SubResource::Status) {
                put_back(object, "status");
            }
            match resource.kind {
                "Namespace" => put_back(object, "spec"),
                "Service" => {
                    let before = old.get("spec").cloned().unwrap_or_else(Node::empty);
                    service(object.mapping_mut("spec"), &before);
                }
                "DaemonSet" => daemon_generation(object, old),
                _ => {}
            }
        }
        Part::Status => {
            put_back(object, "spec");
            let meta = old.get("metadata").cloned().unwrap_or_else(Node::empty);
            let kept: &[&str] = match resource.kind {
                "Pod" => &["ownerReferences", "finalizers"],
                "Deployment" => &["labels"],
                _ => &[],
            };
            for key in kept {
                match meta.field(key) {
                    Some(value) => object.mapping_mut("metadata").set(key, value.clone()),
                    None => drop(object.mapping_mut("metadata").remove(key)),
                }
            }
            if resource.kind == "PersistentVolume" {
                date_phase(object, old, now);
            }
            if resource.kind == "Pod"
                && let Some(class) = old.at(&["status", "qosClass"])
            {
                let class = class.clone();
                object.mapping_mut("status").set("qosClass", class);
            }
        }
        Part::Resize => {
            put_back(object, "status");
            super::validate::resize::keep_the_rest(object, old);
        }
        Part::Finalize => put_back(object, "status"),
    }
}

/// A volume says when it came into its phase.
fn date_phase(object: &mut Node, old: &Node, now: &str) {
    const SINCE: &str = "lastPhaseTransitionTime";
    let of = |object: &Node, key: &str| object.at(&["status", key]).cloned();
    let given = super::validate::is_same(of(object, SINCE).as_ref(), of(old, SINCE).as_ref());
    if given && !super::validate::is_same(of(object, "phase").as_ref(), of(old, "phase").as_ref()) {
        object.mapping_mut("status").set(SINCE, Node::text(now));
    }
}

/// The counter of a DaemonSet's templates, which old clients read.
fn daemon_generation(object: &mut Node, old: &Node) {
    let template = |object: &Node| object.at(&["spec", "template"]).cloned();
    let count = old.at(&["metadata", "annotations", DAEMON_GENERATION]).and_then(Node::as_str);
    let count: i64 = count.and_then(|text| text.parse().ok()).unwrap_or(1);
    let next = if super::validate::is_same(template(object).as_ref(), template(old).as_ref()) {
        count
    } else {
        count + 1
    };
    let annotations = object.mapping_mut("metadata").mapping_mut("annotations");
    annotations.set(DAEMON_GENERATION, Node::text(next.to_string()));
}

/// Whether objects of this resource count the changes of their specification.
pub(super) fn has_generation(resource: &Resource) -> bool {
    matches!(
        (resource.group, resource.kind),
        ("", "Pod" | "ReplicationController" | "PodTemplate")
            | ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet")
            | ("batch" | "policy" | "discovery.k8s.io" | "scheduling.k8s.io", _)
            | ("networking.k8s.io", "Ingress" | "IngressClass" | "NetworkPolicy")
    )
}

/// Whether a write raises the generation.
pub(super) fn raises_generation(resource: &Resource, part: Part, new: &Node, old: &Node) -> bool {
    if !matches!(part, Part::Main | Part::Resize) || !has_generation(resource) {
        return false;
    }
    let differs = |keys: &[&str]| !super::validate::is_same(new.at(keys), old.at(keys));
    match resource.kind {
        "PriorityClass" => false,
        "EndpointSlice" => {
            ["addressType", "endpoints", "ports"].iter().any(|key| differs(&[key]))
                || differs(&["metadata", "labels"])
        }
        "PodTemplate" => differs(&["template"]),
        "Deployment" => differs(&["spec"]) || differs(&["metadata", "annotations"]),
        _ => differs(&["spec"]),
    }
}

/// The object that a document describes, with what the store knows of it and no document says.
pub(super) fn carry_over(mut next: Object, stored: &Object) -> Object {
    let old = stored.meta();
    let meta = next.meta_mut();
    meta.id = old.id;
    meta.created = old.created;
    meta.generation = old.generation;
    meta.set_deletion(old.deletion());
    if let (Object::Pod(next), Object::Pod(old)) = (&mut next, stored) {
        let next = Arc::make_mut(next);
        next.target_node = old.target_node;
        if next.spec == old.spec {
            next.spec = old.spec.clone();
        }
    }
    next
}

impl Rest {
    /// What admission does to an object before it is judged; `old` is the version that it replaces.
    pub(super) fn admit(
        &self,
        target: &Target,
        object: &mut Node,
        old: Option<&Node>,
    ) -> Result<(), Refusal> {
        let resource = target.resource;
        match (resource.group, resource.kind, old) {
            ("", "Pod", None) => {
                self.admit_priority(target, object)?;
                tolerate_dead_nodes(object);
                self.admit_runtime_class(target, object)?;
            }
            ("", "Pod", Some(_)) => tolerate_dead_nodes(object),
            ("", "PersistentVolumeClaim", None) => {
                if object.get("spec").is_none_or(|spec| spec.field("storageClassName").is_none())
                    && let Some(class) = self.default_storage_class()
                {
                    object.mapping_mut("spec").set("storageClassName", Node::text(class));
                }
                protect(object, "kubernetes.io/pvc-protection");
            }
            ("", "PersistentVolume", None) => protect(object, "kubernetes.io/pv-protection"),
            ("", "Node", None) => {
                const NOT_READY: &str = "node.kubernetes.io/not-ready";
                let spec = object.mapping_mut("spec");
                let mut taints = spec.elements("taints");
                let is_it =
                    |taint: &Node| taint.str("key") == NOT_READY && taint.str("effect") == "NoSchedule";
                if !taints.iter().any(is_it) {
                    taints.push(Node::object([
                        ("key", Node::text(NOT_READY)),
                        ("effect", Node::text("NoSchedule")),
                    ]));
                    spec.set("taints", Node::list(taints));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What admission says to an object that is valid.
    pub(super) fn admit_validated(&self, _target: &Target, _object: &Node) -> Result<(), Refusal> {
        Ok(())
    }

    fn admit_priority(&self, target: &Target, object: &mut Node) -> Result<(), Refusal> {
        let name = object.get("metadata").map_or("", |meta| meta.str("name")).to_owned();
        let forbidden = |why: &str| Refusal::forbidden(target.resource, &name, why);
        let spec = object.mapping_mut("spec");
        let wanted = spec.str("priorityClassName").to_owned();
        let terms = |class: &PriorityClass| {
            let policy = match class.preemption_policy {
                PreemptionPolicy::PreemptLowerPriority => "PreemptLowerPriority",
                PreemptionPolicy::Never => "Never",
            };
            (class.meta.name.to_string(), i64::from(class.value), policy.to_owned())
        };
        let mut classes = self.server.list_typed::<PriorityClass>();
        let (class, value, policy) = if wanted.is_empty() {
            let global = classes.filter(|class| class.global_default).min_by_key(|class| class.value);
            let nothing = || (String::new(), 0, "PreemptLowerPriority".to_owned());
            global.map_or_else(nothing, |class| terms(class))
        } else if let Some(class) = classes.find(|class| class.meta.name == wanted.as_str()) {
            terms(class)
        } else if let Some((_, value)) = SYSTEM_CLASSES.iter().find(|(known, _)| *known == wanted) {
            (wanted, *value, "PreemptLowerPriority".to_owned())
        } else {
            return Err(forbidden(&format!("no PriorityClass with name {wanted} was found")));
        };
        if let Some(given) = spec.number("priority").filter(|given| *given != value) {
            let why = format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission \
                 controller computed {value} from the given PriorityClass name"
            );
            return Err(forbidden(&why));
        }
        if !class.is_empty() {
            spec.set("priorityClassName", Node::text(class));
        }
        spec.set("priority", Node::int(value));
        match spec.field("preemptionPolicy").and_then(Node::as_str) {
            Some(given) if given != policy => {
                let why = format!(
                    "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority \
                     admission controller computed {policy} from the given PriorityClass name"
                );
                return Err(forbidden(&why));
            }
            _ => spec.set("preemptionPolicy", Node::text(policy)),
        }
        Ok(())
    }

    fn admit_runtime_class(&self, target: &Target, object: &mut Node) -> Result<(), Refusal> {
        let name = object.get("metadata").map_or("", |meta| meta.str("name")).to_owned();
        let forbidden = |why: String| Err(Refusal::forbidden(target.resource, &name, &why));
        let spec = object.mapping_mut("spec");
        let class = spec.field("runtimeClassName").and_then(Node::as_str).unwrap_or("").to_owned();
        let found = super::resource::resource("node.k8s.io", "v1", "runtimeclasses").and_then(|resource| {
            let object = self.find_in(resource, "", &class)?;
            Some(self.document(resource, &object))
        });
        let Some(found) = found else {
            return match class.is_empty() {
                true => Ok(()),
                false => forbidden(format!("pod rejected: RuntimeClass {class:?} not found")),
            };
        };
        match (found.at(&["overhead", "podFixed"]), spec.field("overhead")) {
            (Some(fixed), None) => spec.set("overhead", fixed.clone()),
            (Some(fixed), Some(given)) if !super::validate::is_same(Some(fixed), Some(given)) => {
                return forbidden(
                    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead".into(),
                );
            }
            (None, Some(_)) => {
                return forbidden(
                    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
                        .into(),
                );
            }
            _ => {}
        }
        let Some(scheduling) = found.field("scheduling") else { return Ok(()) };
        for entry in scheduling.entries("nodeSelector") {
            let selector = spec.mapping_mut("nodeSelector");
            match selector.get(&entry.key) {
                Some(own) if !own.says_the_same_as(&entry.value) => {
                    return forbidden(format!(
                        "conflict: runtimeClass.scheduling.nodeSelector[{}] = {}; pod.spec.nodeSelector[{}] = {}",
                        entry.key,
                        entry.value.as_str().unwrap_or(""),
                        entry.key,
                        own.as_str().unwrap_or("")
                    ));
                }
                _ => selector.set(&entry.key, entry.value.clone()),
            }
        }
        let mut tolerations = spec.elements("tolerations");
        for toleration in scheduling.elements("tolerations") {
            if !tolerations.iter().any(|own| own.says_the_same_as(&toleration)) {
                tolerations.push(toleration);
            }
        }
        if !tolerations.is_empty() {
            spec.set("tolerations", Node::list(tolerations));
        }
        Ok(())
    }

    /// The storage class for claims that name none: the newest of those that are marked.
    fn default_storage_class(&self) -> Option<String> {
        let resource = super::resource::resource("storage.k8s.io", "v1", "storageclasses")?;
        let key = Symbol::new(DEFAULT_CLASS);
        let marked =
            |object: &Object| object.meta().annotations.get(key).is_some_and(|value| value == "true");
        let classes = self.all(resource).into_iter().filter(marked);
        let newest = classes.max_by(|one, two| {
            let (one, two) = (one.meta(), two.meta());
            one.created.cmp(&two.created).then_with(|| two.name.cmp(&one.name))
        });
        newest.map(|class| class.meta().name.to_string())
    }
}

/// A finalizer that keeps an object while it is in use.
fn protect(object: &mut Node, finalizer: &str) {
    let meta = object.mapping_mut("metadata");
    let mut finalizers = meta.elements("finalizers");
    if !finalizers.iter().any(|own| own.as_str() == Some(finalizer)) {
        finalizers.push(Node::text(finalizer));
        meta.set("finalizers", Node::list(finalizers));
    }
}

/// Pods tolerate nodes that are not ready or not heard of for five minutes, unless they say otherwise.
fn tolerate_dead_nodes(object: &mut Node) {
    const SECONDS: i64 = 300;
    let spec = object.mapping_mut("spec");
    let mut tolerations = spec.elements("tolerations");
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let mentions = |toleration: &Node| {
            matches!(toleration.str("key"), own if own == key || own.is_empty())
                && matches!(toleration.str("effect"), "NoExecute" | "")
        };
        if !tolerations.iter().any(mentions) {
            tolerations.push(Node::object([
                ("key", Node::text(key)),
                ("operator", Node::text("Exists")),
                ("effect", Node::text("NoExecute")),
                ("tolerationSeconds", Node::int(SECONDS)),
            ]));
        }
    }
    spec.set("tolerations", Node::list(tolerations));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Calendar;
    use crate::meta::ObjectMeta;
    use crate::request::Request;
    use crate::rest::{HttpRequest, Method};
    use crate::store::ApiServer;
    use crate::units::SimTime;
    use crate::version::KubernetesVersion;

    #[test]
    fn pods_get_the_priority_of_a_class_that_no_client_wrote() {
        let mut server = ApiServer::new(KubernetesVersion::V1_36, 1);
        let mut events = Vec::new();
        let namespace = crate::config::Namespace {
            meta: ObjectMeta::named("", "default"),
            ..crate::config::Namespace::default()
        };
        server.import(Object::Namespace(Arc::new(namespace)), &mut events).expect("the store is empty");
        let class = PriorityClass {
            meta: ObjectMeta::named("", "high"),
            value: 7,
            global_default: false,
            preemption_policy: PreemptionPolicy::Never,
        };
        let create = Request::Create(Object::PriorityClass(Arc::new(class)));
        server.handle(SimTime::ZERO, create, &mut events).expect("the class is valid");
        let mut rest = Rest::new(server, Calendar::default());
        let request = HttpRequest {
            method: Method::Post,
            path: "/api/v1/namespaces/default/pods",
            query: "",
            content_type: "application/json",
            body: br#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},
                "spec":{"priorityClassName":"high","containers":[{"name":"c","image":"i"}]}}"#,
        };
        let answer = rest.handle(SimTime::ZERO, &request, &mut events);
        assert_eq!(answer.code, 201, "{:?}", answer.body);
        let pod = rest.server().list_typed::<crate::pod::Pod>().next().expect("it was created");
        assert_eq!(pod.spec.priority, Some(7));
    }
}
