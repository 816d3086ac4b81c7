//! Containers: names, images, ports, environment, mounts, handlers
//! (`pkg/apis/core/validation/validation.go`).

use super::meta::{must_be_label, must_be_qualified, non_negative};
use super::names;
use super::resources::{self, Of};
use super::security;
use super::volume::{local_descending_path, no_backsteps};
use crate::document::{Node, Value};
use crate::rest::errors::{Errors, Path};
use crate::schema::internal_json;

pub(super) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const CONTAINER_FIELDS: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const ENVIRONMENT_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const NOT_FOR_INIT: &str = "may not be set for init containers without restartPolicy=Always";

/// What containers are judged by, beside themselves.
pub(super) struct Around<'a> {
    /// The pod's volumes that are well-formed.
    pub(super) volumes: &'a [Node],
    /// The names of the pod's resource claims.
    pub(super) claims: &'a [String],
    /// The pod's restart policy.
    pub(super) restart_policy: &'a str,
    /// The pod's grace period.
    pub(super) grace_period: Option<i64>,
    /// Whether the pod has the users of its host.
    pub(super) host_users: bool,
}

/// All containers of a pod that run for its life.
pub(super) fn containers(list: &[Node], around: &Around<'_>, path: &Path, e: &mut Errors) {
    if list.is_empty() {
        e.required(path, "");
        return;
    }
    let mut seen: Vec<&str> = Vec::new();
    for (index, container) in list.iter().enumerate() {
        let path = path.index(index);
        common(container, around, &path, e);
        if seen.contains(&container.str("name")) {
            e.duplicate(&path.child("name"), container.str("name"));
        }
        seen.push(container.str("name"));
        lifecycle(container, around, &path, e);
        probes(container, around, &path, e);
        restart_policy(container, &path, e);
    }
    host_ports(list, path, e);
}

/// Init containers, of which those with the restart policy Always are sidecars.
pub(super) fn init_containers(
    list: &[Node],
    regular: &[Node],
    around: &Around<'_>,
    path: &Path,
    e: &mut Errors,
) {
    let mut seen: Vec<&str> = regular.iter().map(|container| container.str("name")).collect();
    for (index, container) in list.iter().enumerate() {
        let at = path.index(index);
        common(container, around, &at, e);
        restart_policy(container, &at, e);
        let name = container.str("name");
        if seen.contains(&name) {
            e.duplicate(&at.child("name"), name);
        } else if !name.is_empty() {
            seen.push(name);
        }
        host_ports(std::slice::from_ref(container), path, e);
        let sidecar = container.str("restartPolicy") == "Always";
        if sidecar {
            lifecycle(container, around, &at, e);
            probes(container, around, &at, e);
        } else {
            for key in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                if container.field(key).is_some() {
                    e.forbidden(&at.child(key), NOT_FOR_INIT);
                }
            }
        }
        for (index, policy) in container.elements("resizePolicy").iter().enumerate().filter(|_| !sidecar) {
            if policy.str("restartPolicy") == "RestartContainer" {
                let path = at.child("resizePolicy").index(index).child("restartPolicy");
                let detail = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                e.invalid(&path, "RestartContainer", detail);
            }
        }
    }
}

/// Containers that were added to a running pod.
pub(super) fn ephemeral_containers(spec: &Node, around: &Around<'_>, path: &Path, e: &mut Errors) {
    const FORBIDDEN: [(&str, &str); 8] = [
        ("ports", "ports"),
        ("resources", "resources"),
        ("resizePolicy", "resizePolicy"),
        ("restartPolicy", "restartPolicy"),
        ("livenessProbe", "livenessProbe"),
        ("readinessProbe", "readinessProbe"),
        ("startupProbe", "startupProbe"),
        ("lifecycle", "lifecycle"),
    ];
    let others: Vec<Node> = [spec.elements("containers"), spec.elements("initContainers")].concat();
    let mut seen: Vec<String> = others.iter().map(|container| container.str("name").to_owned()).collect();
    let text = "cannot be set for an Ephemeral Container";
    for (index, container) in spec.elements("ephemeralContainers").iter().enumerate() {
        let path = path.index(index);
        common(container, around, &path, e);
        image_without_spaces(container, &path, e);
        let name = container.str("name");
        if seen.iter().any(|other| other == name) {
            e.duplicate(&path.child("name"), name);
        }
        seen.push(name.to_owned());
        let target = container.str("targetContainerName");
        if !target.is_empty() && !others.iter().any(|other| other.str("name") == target) {
            e.not_found(&path.child("targetContainerName"), target);
        }
        for (key, printed) in FORBIDDEN {
            if !super::meta::same(container.field(key), None) {
                e.forbidden(&path.child(printed), text);
            }
        }
        for (index, mount) in container.elements("volumeMounts").iter().enumerate() {
            for key in ["subPath", "subPathExpr"].iter().filter(|key| !mount.str(key).is_empty()) {
                e.forbidden(&path.child("volumeMounts").index(index).child(key), text);
            }
        }
    }
}

/// An image must not begin or end with spaces, in pods; templates may.
pub(super) fn image_without_spaces(container: &Node, path: &Path, e: &mut Errors) {
    let image = container.str("image");
    if image.len() != image.trim().len() {
        e.invalid(&path.child("image"), image, "must not have leading or trailing whitespace");
    }
}

fn common(container: &Node, around: &Around<'_>, path: &Path, e: &mut Errors) {
    match container.str("name") {
        "" => e.required(&path.child("name"), ""),
        name => must_be_label(name, &path.child("name"), e),
    }
    if container.str("image").is_empty() {
        e.required(&path.child("image"), "");
    }
    let policy = container.str("terminationMessagePolicy");
    one_of(policy, &["File", "FallbackToLogsOnError"], &path.child("terminationMessagePolicy"), e);
    ports(container, &path.child("ports"), e);
    environment(container, &path.child("env"), e);
    environment_sources(container, &path.child("envFrom"), e);
    mounts(container, around, &path.child("volumeMounts"), e);
    devices(container, around, &path.child("volumeDevices"), e);
    one_of(
        container.str("imagePullPolicy"),
        &["Always", "IfNotPresent", "Never"],
        &path.child("imagePullPolicy"),
        e,
    );
    if let Some(found) = container.field("resources") {
        resources::requirements(found, Of::Container, around.claims, &path.child("resources"), e);
    }
    resize_policy(container, around, &path.child("resizePolicy"), e);
    security::of_container(container, around.host_users, &path.child("securityContext"), e);
}

/// A text that must be there and one of these.
pub(super) fn one_of(text: &str, known: &[&str], path: &Path, e: &mut Errors) {
    if text.is_empty() {
        e.required(path, "");
    } else if !known.contains(&text) {
        e.unsupported(path, text, known);
    }
}

fn ports(container: &Node, path: &Path, e: &mut Errors) {
    let mut seen: Vec<String> = Vec::new();
    for (index, port) in container.elements("ports").iter().enumerate() {
        let path = path.index(index);
        let name = port.str("name");
        if !name.is_empty() {
            let faults = names::port_name(name);
            if !faults.is_empty() {
                e.invalid_in(&path.child("name"), name, faults);
            } else if seen.iter().any(|other| other == name) {
                e.duplicate(&path.child("name"), name);
            } else {
                seen.push(name.to_owned());
            }
        }
        match port.number("containerPort").unwrap_or(0) {
            0 => e.required(&path.child("containerPort"), ""),
            number => port_number(number, &path.child("containerPort"), e),
        }
        match port.number("hostPort").unwrap_or(0) {
            0 => {}
            number => port_number(number, &path.child("hostPort"), e),
        }
        one_of(port.str("protocol"), &PROTOCOLS, &path.child("protocol"), e);
    }
}

/// A number of a port.
pub(super) fn port_number(number: i64, path: &Path, e: &mut Errors) {
    for fault in names::port_number(number) {
        e.invalid(path, number, fault);
    }
}

fn host_ports(list: &[Node], path: &Path, e: &mut Errors) {
    let mut seen: Vec<String> = Vec::new();
    for (index, container) in list.iter().enumerate() {
        for (number, port) in container.elements("ports").iter().enumerate() {
            let host = port.number("hostPort").unwrap_or(0);
            if host == 0 {
                continue;
            }
            let text = format!("{}/{}/{host}", port.str("protocol"), port.str("hostIP"));
            if seen.contains(&text) {
                e.duplicate(&path.index(index).child("ports").index(number).child("hostPort"), &text);
            } else {
                seen.push(text);
            }
        }
    }
}

fn environment(container: &Node, path: &Path, e: &mut Errors) {
    for (index, variable) in container.elements("env").iter().enumerate() {
        let path = path.index(index);
        match variable.str("name") {
            "" => e.required(&path.child("name"), ""),
            name => e.invalid_in(&path.child("name"), name, names::environment_name(name)),
        }
        if let Some(source) = variable.field("valueFrom") {
            value_source(source, variable.str("value"), &path.child("valueFrom"), e);
        }
    }
}

fn value_source(source: &Node, value: &str, path: &Path, e: &mut Errors) {
    let mut count = 0;
    if let Some(reference) = source.field("fieldRef") {
        count += 1;
        field_reference(reference, &ENVIRONMENT_FIELDS, &path.child("fieldRef"), e);
    }
    if let Some(reference) = source.field("resourceFieldRef") {
        count += 1;
        resource_reference(reference, IsInVolume(false), &path.child("resourceFieldRef"), e);
    }
    for key in ["configMapKeyRef", "secretKeyRef"] {
        let Some(reference) = source.field(key) else { continue };
        count += 1;
        let path = path.child(key);
        e.invalid_in(&path.child("name"), reference.str("name"), names::dns_subdomain(reference.str("name")));
        match reference.str("key") {
            "" => e.required(&path.child("key"), ""),
            found => e.invalid_in(&path.child("key"), found, names::config_key(found)),
        }
    }
    if let Some(reference) = source.field("fileKeyRef") {
        count += 1;
        file_reference(reference, &path.child("fileKeyRef"), e);
    }
    if count == 0 {
        let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or \
                      `fileKeyRef`";
        e.invalid(path, "", detail);
    } else if !value.is_empty() {
        e.invalid(path, "", "may not be specified when `value` is not empty");
    } else if count > 1 {
        e.invalid(path, "", "may not have more than one field specified at a time");
    }
}

fn file_reference(reference: &Node, path: &Path, e: &mut Errors) {
    match reference.str("key") {
        "" => e.required(&path.child("key"), ""),
        key => e.invalid_in(&path.child("key"), key, names::environment_name(key)),
    }
    match reference.str("volumeName") {
        "" => e.required(&path.child("volumeName"), ""),
        name => must_be_label(name, &path.child("volumeName"), e),
    }
    match reference.str("path") {
        "" => e.required(&path.child("path"), ""),
        text => no_backsteps(text, &path.child("path"), e),
    }
}

/// A reference to a field of the pod.
pub(super) fn field_reference(reference: &Node, known: &[&str], path: &Path, e: &mut Errors) {
    for key in ["apiVersion", "fieldPath"] {
        if reference.str(key).is_empty() {
            e.required(&path.child(key), "");
            return;
        }
    }
    let text = reference.str("fieldPath");
    if reference.str("apiVersion") != "v1" {
        let detail =
            format!("error converting fieldPath: unsupported pod version: {}", reference.str("apiVersion"));
        e.invalid(&path.child("fieldPath"), text, detail);
        return;
    }
    let subscript = text.strip_suffix("']").and_then(|rest| rest.split_once("['"));
    const LABELS: [&str; 12] = [
        "metadata.annotations",
        "metadata.labels",
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.serviceAccountName",
        "spec.schedulerName",
        "status.phase",
        "status.hostIP",
        "status.hostIPs",
    ];
    let plain = subscript.map_or(text, |(before, _)| before);
    let converted = match subscript {
        Some(_) => matches!(plain, "metadata.annotations" | "metadata.labels"),
        None => LABELS.contains(&plain) || matches!(plain, "status.podIP" | "status.podIPs" | "spec.host"),
    };
    if !converted {
        let detail = match subscript {
            Some(_) => format!("error converting fieldPath: field label does not support subscript: {text}"),
            None => format!("error converting fieldPath: field label not supported: {text}"),
        };
        e.invalid(&path.child("fieldPath"), text, detail);
        return;
    }
    match subscript {
        Some(("metadata.annotations", key)) => must_be_qualified(&key.to_lowercase(), path, e),
        Some((_, key)) => must_be_qualified(key, path, e),
        None if !known.contains(&plain) => e.unsupported(&path.child("fieldPath"), plain, known),
        None => {}
    }
}

/// Whether a reference to a container's resources stands in a volume, where it must name the container.
pub(super) struct IsInVolume(pub(super) bool);

/// A reference to a container's requests or limits.
pub(super) fn resource_reference(reference: &Node, in_volume: IsInVolume, path: &Path, e: &mut Errors) {
    let name = reference.str("resource");
    let huge = name.starts_with("requests.hugepages-") || name.starts_with("limits.hugepages-");
    if in_volume.0 && reference.str("containerName").is_empty() {
        e.required(&path.child("containerName"), "");
    } else if name.is_empty() {
        e.required(&path.child("resource"), "");
    } else if !CONTAINER_FIELDS.contains(&name) && !huge {
        e.unsupported(&path.child("resource"), name, &CONTAINER_FIELDS);
    }
    let Some(divisor) = resources::quantity_of(reference, "divisor").filter(|divisor| !divisor.is_zero())
    else {
        return;
    };
    const SIZES: [&str; 13] =
        ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    let (known, what): (&[&str], &str) = match name.split_once('.').map_or("", |(_, resource)| resource) {
        "cpu" => (&["1m", "1"], "cpu"),
        "memory" => (&SIZES, "memory"),
        "ephemeral-storage" => (&SIZES, "local ephemeral storage"),
        _ if huge => (&SIZES, "hugepages"),
        _ => return,
    };
    if !known.contains(&divisor.to_string().as_str()) {
        let values = if what == "cpu" { "1m and 1".to_owned() } else { known.join(", ") };
        let detail = format!("only divisor's values {values} are supported with the {what} resource");
        e.invalid(&path.child("divisor"), name, detail);
    }
}

fn environment_sources(container: &Node, path: &Path, e: &mut Errors) {
    for (index, source) in container.elements("envFrom").iter().enumerate() {
        let at = path.index(index);
        let prefix = source.str("prefix");
        if !prefix.is_empty() {
            e.invalid_in(&at.child("prefix"), prefix, names::environment_name(prefix));
        }
        let mut count = 0;
        for key in ["configMapRef", "secretRef"] {
            let Some(reference) = source.field(key) else { continue };
            count += 1;
            let name_path = at.child(key).child("name");
            match reference.str("name") {
                "" => e.required(&name_path, ""),
                name => e.invalid_in(&name_path, name, names::dns_subdomain(&names::as_prefix(name))),
            }
        }
        match count {
            0 => e.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => e.invalid(path, "", "may not have more than one field specified at a time"),
        }
    }
}

fn mounts(container: &Node, around: &Around<'_>, path: &Path, e: &mut Errors) {
    let devices = container.elements("volumeDevices");
    let privileged = container.get("securityContext").is_some_and(|context| context.flag("privileged"));
    let mut seen: Vec<String> = Vec::new();
    for (index, mount) in container.elements("volumeMounts").iter().enumerate() {
        let at = path.index(index);
        let (name, target) = (mount.str("name"), mount.str("mountPath"));
        if name.is_empty() {
            e.required(&at.child("name"), "");
        }
        if !around.volumes.iter().any(|volume| volume.str("name") == name) {
            e.not_found(&at.child("name"), name);
        }
        if target.is_empty() {
            e.required(&at.child("mountPath"), "");
        }
        if seen.iter().any(|other| other == target) {
            e.invalid(&at.child("mountPath"), target, "must be unique");
        }
        seen.push(target.to_owned());
        if devices.iter().any(|device| device.str("name") == name) {
            e.invalid(&at.child("name"), name, "must not already exist in volumeDevices");
        }
        if devices.iter().any(|device| device.str("devicePath") == target) {
            e.invalid(&at.child("mountPath"), target, "must not already exist as a path in volumeDevices");
        }
        let (sub_path, expression) = (mount.str("subPath"), mount.str("subPathExpr"));
        if !sub_path.is_empty() {
            local_descending_path(sub_path, &path.child("subPath"), e);
        }
        if !expression.is_empty() {
            if !sub_path.is_empty() {
                let detail = "subPathExpr and subPath are mutually exclusive";
                e.invalid(&at.child("subPathExpr"), expression, detail);
            }
            local_descending_path(expression, &path.child("subPathExpr"), e);
        }
        mount_propagation(mount, privileged, &path.child("mountPropagation"), e);
        recursive_read_only(mount, &path.child("recursiveReadOnly"), e);
    }
}

fn mount_propagation(mount: &Node, privileged: bool, path: &Path, e: &mut Errors) {
    const KNOWN: [&str; 3] = ["Bidirectional", "HostToContainer", "None"];
    let Some(propagation) = mount.field("mountPropagation").and_then(Node::as_str) else { return };
    if !KNOWN.contains(&propagation) {
        e.unsupported(path, propagation, &KNOWN);
    }
    if propagation == "Bidirectional" && !privileged {
        e.forbidden(path, "Bidirectional mount propagation is available only to privileged containers");
    }
}

fn recursive_read_only(mount: &Node, path: &Path, e: &mut Errors) {
    match mount.field("recursiveReadOnly").and_then(Node::as_str) {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if !mount.flag("readOnly") {
                e.forbidden(path, "may only be specified when readOnly is true");
            }
            if !matches!(mount.str("mountPropagation"), "" | "None") {
                e.forbidden(path, "may only be specified when mountPropagation is None or not specified");
            }
        }
        Some(other) => e.unsupported(path, other, &["Disabled", "Enabled", "IfPossible"]),
    }
}

fn devices(container: &Node, around: &Around<'_>, path: &Path, e: &mut Errors) {
    let mounts = container.elements("volumeMounts");
    let (mut names, mut paths): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for (index, device) in container.elements("volumeDevices").iter().enumerate() {
        let at = path.index(index);
        let (name, target) = (device.str("name"), device.str("devicePath"));
        let volume = around.volumes.iter().find(|volume| volume.str("name") == name);
        let is_claim = |volume: &Node| {
            volume.field("persistentVolumeClaim").is_some() || volume.field("ephemeral").is_some()
        };
        if name.is_empty() {
            e.required(&at.child("name"), "");
        }
        if names.iter().any(|other| other == name) {
            e.invalid(&at.child("name"), name, "must be unique");
        }
        if volume.is_some_and(|volume| !is_claim(volume)) {
            let detail =
                "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
            e.invalid(&at.child("name"), name, detail);
        }
        if volume.is_none() {
            e.not_found(&at.child("name"), name);
        }
        if target.is_empty() {
            e.required(&at.child("devicePath"), "");
        }
        if paths.iter().any(|other| other == target) {
            e.invalid(&at.child("devicePath"), target, "must be unique");
        }
        if target.split('/').any(|step| step == "..") {
            e.invalid(&at.child("devicePath"), target, "can not contain backsteps ('..')");
        } else {
            paths.push(target.to_owned());
        }
        if mounts.iter().any(|mount| mount.str("name") == name) {
            e.invalid(&at.child("name"), name, "must not already exist in volumeMounts");
        }
        if mounts.iter().any(|mount| mount.str("mountPath") == target) {
            e.invalid(&at.child("devicePath"), target, "must not already exist as a path in volumeMounts");
        }
        if !name.is_empty() {
            names.push(name.to_owned());
        }
    }
}

fn resize_policy(container: &Node, around: &Around<'_>, path: &Path, e: &mut Errors) {
    let mut seen: Vec<String> = Vec::new();
    for (index, policy) in container.elements("resizePolicy").iter().enumerate() {
        let (name, restart) = (policy.str("resourceName"), policy.str("restartPolicy"));
        if seen.iter().any(|other| other == name) {
            e.duplicate(&path.index(index), name);
        }
        seen.push(name.to_owned());
        one_of(name, &["cpu", "memory"], path, e);
        one_of(restart, &["NotRequired", "RestartContainer"], path, e);
        if around.restart_policy == "Never" && restart != "NotRequired" {
            e.invalid(path, restart, "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
        }
    }
}

/// A restart policy of a container's own, with rules by exit codes.
fn restart_policy(container: &Node, path: &Path, e: &mut Errors) {
    let rules = container.elements("restartPolicyRules");
    let policy = container.field("restartPolicy").and_then(Node::as_str);
    match policy {
        None if rules.is_empty() => return,
        None => {
            let detail = "must specify restartPolicy when restart rules are used";
            e.required(&path.child("restartPolicy"), detail);
        }
        Some("Always" | "Never" | "OnFailure") => {}
        Some(other) => {
            e.unsupported(&path.child("restartPolicy"), other, &["Always", "Never", "OnFailure"]);
        }
    }
    let path = path.child("restartPolicyRules");
    if rules.len() > 20 {
        e.too_many(&path, rules.len(), 20);
    }
    for (index, rule) in rules.iter().enumerate() {
        let path = path.index(index);
        if !matches!(rule.str("action"), "Restart" | "RestartAllContainers") {
            e.unsupported(&path.child("action"), rule.str("action"), &["Restart", "RestartAllContainers"]);
        }
        let Some(codes) = rule.field("exitCodes") else {
            e.required(&path.child("exitCodes"), "must be specified");
            continue;
        };
        let path = path.child("exitCodes");
        if !matches!(codes.str("operator"), "In" | "NotIn") {
            e.unsupported(&path.child("operator"), codes.str("operator"), &["In", "NotIn"]);
        }
        let count = codes.elements("values").len();
        if count > 255 {
            e.too_many(&path.child("values"), count, 255);
        }
    }
}

fn probes(container: &Node, around: &Around<'_>, path: &Path, e: &mut Errors) {
    for key in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.field(key) else { continue };
        let path = path.child(key);
        handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], around.grace_period, &path, e);
        for key in
            ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
        {
            non_negative(probe, key, &path, e);
        }
        let grace = probe.number("terminationGracePeriodSeconds");
        if let Some(grace) = grace.filter(|grace| *grace <= 0) {
            e.invalid(&path.child("terminationGracePeriodSeconds"), grace, "must be greater than 0");
        }
        if key == "readinessProbe" {
            if let Some(grace) = grace {
                let path = path.child("terminationGracePeriodSeconds");
                e.invalid(&path, grace, "must not be set for readinessProbes");
            }
        } else if probe.number("successThreshold") != Some(1) {
            e.invalid(
                &path.child("successThreshold"),
                probe.number("successThreshold").unwrap_or(0),
                "must be 1",
            );
        }
    }
}

fn lifecycle(container: &Node, around: &Around<'_>, path: &Path, e: &mut Errors) {
    let Some(lifecycle) = container.field("lifecycle") else { return };
    for key in ["postStart", "preStop"] {
        if let Some(found) = lifecycle.field(key) {
            let path = path.child("lifecycle").child(key);
            handler(found, &["exec", "httpGet", "tcpSocket", "sleep"], around.grace_period, &path, e);
        }
    }
}

/// Exactly one of the handlers of these kinds.
fn handler(node: &Node, kinds: &[&str], grace_period: Option<i64>, path: &Path, e: &mut Errors) {
    let given: Vec<&&str> = kinds.iter().filter(|kind| node.field(kind).is_some()).collect();
    if given.is_empty() {
        e.required(path, "must specify a handler type");
    }
    for (number, kind) in given.iter().enumerate() {
        let path = path.child(kind);
        let Some(action) = node.field(kind) else { continue };
        if number > 0 {
            e.forbidden(&path, "may not specify more than 1 handler type");
            continue;
        }
        match **kind {
            "exec" if action.elements("command").is_empty() => e.required(&path.child("command"), ""),
            "exec" => {}
            "httpGet" => http_get(action, &path, e),
            "sleep" => sleep(action, grace_period, &path, e),
            _ => port_number_or_name(action.get("port"), &path.child("port"), e),
        }
    }
}

fn http_get(action: &Node, path: &Path, e: &mut Errors) {
    if action.str("path").is_empty() {
        e.required(&path.child("path"), "");
    }
    port_number_or_name(action.get("port"), &path.child("port"), e);
    if !matches!(action.str("scheme"), "HTTP" | "HTTPS") {
        e.unsupported(&path.child("scheme"), action.str("scheme"), &["HTTP", "HTTPS"]);
    }
    for header in action.elements("httpHeaders") {
        let name = header.str("name");
        e.invalid_in(&path.child("httpHeaders"), name, names::header_name(name));
    }
}

fn sleep(action: &Node, grace_period: Option<i64>, path: &Path, e: &mut Errors) {
    let seconds = action.number("seconds").unwrap_or(0);
    if let Some(grace) = grace_period.filter(|grace| seconds < 0 || seconds > *grace) {
        let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        e.invalid(path, seconds, detail);
    }
}

/// A port by its number or by its name.
pub(super) fn port_number_or_name(port: Option<&Node>, path: &Path, e: &mut Errors) {
    match port.map(|port| &port.value) {
        Some(Value::String(name)) => e.invalid_in(path, name, names::port_name(name)),
        Some(Value::Int(number)) => port_number(*number, path, e),
        _ => port_number(0, path, e),
    }
}

/// Claims of devices, by name.
pub(super) fn resource_claims(spec: &Node, path: &Path, e: &mut Errors) {
    let mut seen: Vec<String> = Vec::new();
    for (index, claim) in spec.elements("resourceClaims").iter().enumerate() {
        let path = path.index(index);
        match claim.str("name") {
            "" => e.required(&path.child("name"), ""),
            name if seen.iter().any(|other| other == name) => e.duplicate(&path.child("name"), name),
            name => {
                must_be_label(name, &path.child("name"), e);
                seen.push(name.to_owned());
            }
        }
        let printed = || internal_json("core.PodResourceClaim", Some(claim));
        let (direct, template) = (claim.field("resourceClaimName"), claim.field("resourceClaimTemplateName"));
        if direct.is_some() && template.is_some() {
            let detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
            e.invalid(&path, printed(), detail);
        }
        if direct.is_none() && template.is_none() {
            let detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
            e.invalid(&path, printed(), detail);
        }
        for key in ["resourceClaimName", "resourceClaimTemplateName"] {
            if let Some(name) = claim.field(key).and_then(Node::as_str) {
                e.invalid_in(&path.child(key), name, names::dns_subdomain(name));
            }
        }
    }
}
