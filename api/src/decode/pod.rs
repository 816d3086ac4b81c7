//! Pods and pod templates.

use super::container::{RESTART_POLICIES, init_container, main_container};
use super::meta;
use super::names;
use super::pod_status;
use super::reader::Reader;
use super::resources;
use super::scheduling;
use super::volume;
use crate::container::{Container, RestartPolicy};
use crate::gpu::{GpuDemand, GpuRequest};
use crate::labels::{Labels, Operator};
use crate::meta::ObjectMeta;
use crate::pod::{Pod, PodSpec, PodTemplate, PreemptionPolicy, Volume};
use crate::scheduling::Affinity;
use crate::symbol::Symbol;
use rustc_hash::FxHashSet;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The pod specifications that were read, so that equal ones are stored once.
#[derive(Default)]
pub(super) struct SpecPool(FxHashSet<Arc<PodSpec>>);

impl SpecPool {
    /// The specification that is equal to `spec` and shared by all who have it.
    pub(super) fn share(&mut self, spec: PodSpec) -> Arc<PodSpec> {
        if let Some(known) = self.0.get(&spec) {
            return known.clone();
        }
        let spec = Arc::new(spec);
        self.0.insert(spec.clone());
        spec
    }
}

/// Fields of pods that make no difference to where a pod goes and how it lives.
const WITHOUT_EFFECT: [&str; 13] = [
    "automountServiceAccountToken",
    "dnsConfig",
    "enableServiceLinks",
    "hostAliases",
    "hostIPC",
    "hostPID",
    "hostUsers",
    "hostnameOverride",
    "imagePullSecrets",
    // The old name of serviceAccountName, which the server writes beside it.
    "serviceAccount",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    // Behind gates that are off: the server drops them.
    "schedulingGroup",
];

/// Reads a pod.
pub(super) fn pod(object: &Reader<'_>, meta: ObjectMeta, specs: &mut SpecPool) -> Option<Pod> {
    let (mut spec, node) = object.object_or_empty("spec", |reader| {
        let spec = spec(reader);
        check_mounts(reader, &spec, &[]);
        (spec, reader.str("nodeName").filter(|name| !name.is_empty()).map(Symbol::new))
    })?;
    spec.gpu = gpu_demand(object, &meta.annotations);
    let target_node = take_target(&mut spec, &meta);
    let status = pod_status::read(object, &spec);
    let pod = Pod { node, target_node, ..Pod::new(meta, specs.share(spec)) };
    Some(match status {
        Some(status) => Pod { status, ..pod },
        None => pod,
    })
}

/// What a workload demands of its template.
pub(super) struct TemplateRules<'a> {
    /// Restart policies that are possible; the first one if none is written.
    pub(super) restart_policies: &'a [RestartPolicy],
    /// Volumes that the workload adds.
    pub(super) volumes: &'a [Symbol],
}

impl TemplateRules<'static> {
    /// Templates of pods that run until they are told to end.
    pub(super) const LONG_RUNNING: TemplateRules<'static> =
        TemplateRules { restart_policies: &[RestartPolicy::Always], volumes: &[] };
    /// Templates of pods that end.
    pub(super) const OF_JOBS: TemplateRules<'static> =
        TemplateRules { restart_policies: &[RestartPolicy::OnFailure, RestartPolicy::Never], volumes: &[] };
}

/// Reads `template`, which must be there.
pub(super) fn template(
    workload: &Reader<'_>,
    rules: &TemplateRules<'_>,
    specs: &mut SpecPool,
) -> Option<Arc<PodTemplate>> {
    if !workload.has("template") {
        workload.unsupported("template", "required field is missing: a workload has a pod template");
    }
    workload.object("template", |template| {
        // How a ControllerRevision says that its template replaces the other as a whole.
        template.known(&["$patch"]);
        let (labels, annotations) = template.object("metadata", template_meta).unwrap_or_default();
        let mut spec = template.object_or_empty("spec", |reader| {
            let spec = spec(reader);
            check_template(reader, &spec, rules);
            spec
        })?;
        spec.gpu = gpu_demand(template, &annotations);
        Some(Arc::new(PodTemplate { labels, annotations, spec: specs.share(spec) }))
    })?
}

/// What the annotations of a pod or a template ask of shared GPUs.
fn gpu_demand(object: &Reader<'_>, annotations: &Labels) -> GpuDemand {
    match GpuRequest::from_annotations(annotations) {
        Ok(request) => request.into(),
        Err(error) => {
            object.object("metadata", |meta| {
                meta.all_known();
                meta.object("annotations", |annotations| {
                    annotations.all_known();
                    annotations.invalid(error.key, error.expected);
                });
            });
            GpuDemand::NONE
        }
    }
}

fn template_meta(meta: &Reader<'_>) -> (Labels, Labels) {
    meta.known(&["name", "generateName", "namespace", "creationTimestamp", "finalizers", "ownerReferences"]);
    (meta::labels(meta, "labels"), meta::annotations(meta, "annotations"))
}

fn check_template(reader: &Reader<'_>, spec: &PodSpec, rules: &TemplateRules<'_>) {
    if reader.has("nodeName") {
        reader.unsupported("nodeName", "pods of a template are placed by the scheduler: use a node selector");
    }
    if !rules.restart_policies.contains(&spec.restart_policy) {
        let names: Vec<&str> = rules.restart_policies.iter().map(|policy| policy.as_str()).collect();
        reader.invalid("restartPolicy", names.join(" or "));
    }
    let always = rules.restart_policies == [RestartPolicy::Always];
    if always && spec.active_deadline_seconds.is_some() {
        reader.refuse("activeDeadlineSeconds", "pods of this workload run until they are told to end");
    }
    check_mounts(reader, spec, rules.volumes);
}

/// Reads the specification of a pod, all but its node.
pub(super) fn spec(reader: &Reader<'_>) -> PodSpec {
    reader.known(&WITHOUT_EFFECT);
    reader.not_played(&["resourceClaims"]);
    if reader.list_len("ephemeralContainers") > 0 {
        reader
            .refuse("ephemeralContainers", "these cannot be set in a manifest, only added to a running pod");
    }
    let containers = reader.list("containers", main_container);
    if containers.is_empty() && reader.list_len("containers") == 0 {
        reader.invalid("containers", "at least one container");
    }
    let init_containers = reader.list("initContainers", init_container);
    check_unique(
        reader,
        "containers",
        init_containers.iter().chain(&containers).map(|container| container.name),
    );
    let volumes = reader.list("volumes", volume::volume);
    check_unique(reader, "volumes", volumes.iter().map(|volume| volume.name));
    let ((non_root, user), sysctls) = security(reader);
    let mut containers = containers;
    let mut init_containers = init_containers;
    for container in containers.iter_mut().chain(&mut init_containers) {
        container.non_root = container.non_root.or(non_root);
        container.run_as_user = container.run_as_user.or(user);
    }
    let (pod_requests, pod_limits) = resources::requirements(reader, "resources").unwrap_or_default();
    let spec = PodSpec {
        init_containers: renamed_mounts(reader, init_containers),
        volumes: volumes.into(),
        restart_policy: reader.choice("restartPolicy", &RESTART_POLICIES).unwrap_or_default(),
        termination_grace_period_seconds: grace_seconds(reader),
        active_deadline_seconds: reader.int("activeDeadlineSeconds", 1..=i64::from(i32::MAX)),
        node_selector: meta::labels(reader, "nodeSelector"),
        affinity: scheduling::affinity(reader),
        tolerations: reader.list("tolerations", scheduling::toleration).into(),
        topology_spread: reader.list("topologySpreadConstraints", scheduling::spread_constraint).into(),
        scheduler_name: or_default(reader.symbol("schedulerName"), "default-scheduler"),
        scheduling_gates: reader.list("schedulingGates", |gate| gate.required_symbol("name")).into(),
        priority_class: reader.symbol("priorityClassName"),
        priority: reader.int32("priority", i32::MIN),
        preemption_policy: preemption_policy(reader),
        overhead: resources::amounts(reader, "overhead"),
        pod_requests: Some(pod_requests).filter(|requests| !requests.is_empty()),
        pod_limits: Some(pod_limits).filter(|limits| !limits.is_empty()),
        host_network: reader.bool("hostNetwork"),
        service_account: reader.symbol("serviceAccountName"),
        hostname: label(reader, "hostname"),
        subdomain: label(reader, "subdomain"),
        readiness_gates: reader.list("readinessGates", |gate| gate.required_symbol("conditionType")).into(),
        runtime_class: reader.symbol("runtimeClassName"),
        os: reader.object("os", |os| os.symbol("name")).unwrap_or_default(),
        sysctls: sysctls.into(),
        ..PodSpec::new(renamed_mounts(reader, containers).into_vec())
    };
    check_host_ports(reader, &spec);
    let dns_policies = [("ClusterFirst", ()), ("ClusterFirstWithHostNet", ()), ("Default", ()), ("None", ())];
    reader.choice("dnsPolicy", &dns_policies);
    if !spec.scheduling_gates.is_empty() && reader.has("nodeName") {
        reader.refuse("nodeName", "a pod with scheduling gates has no node yet");
    }
    spec.sealed()
}

/// Reads the pod's security context: what it says of the user of containers that do not say it
/// themselves, and the names of the kernel's settings that it changes.
fn security(reader: &Reader<'_>) -> ((Option<bool>, Option<i64>), Vec<Symbol>) {
    let sysctls = reader.object("securityContext", |context| {
        context.all_known();
        context.list("sysctls", |sysctl| sysctl.required_symbol("name"))
    });
    (super::container::security(reader), sysctls.unwrap_or_default())
}

/// The time that the pod has to stop; a negative one means the shortest there is.
fn grace_seconds(reader: &Reader<'_>) -> i64 {
    let written = reader.int("terminationGracePeriodSeconds", i64::MIN..=i64::MAX).unwrap_or(30);
    if written < 0 { 1 } else { written }
}

/// Reads `preemptionPolicy` of a pod or of a priority class.
pub(super) fn preemption_policy(reader: &Reader<'_>) -> PreemptionPolicy {
    let policies = [
        ("PreemptLowerPriority", PreemptionPolicy::PreemptLowerPriority),
        ("Never", PreemptionPolicy::Never),
    ];
    reader.choice("preemptionPolicy", &policies).unwrap_or_default()
}

fn or_default(written: Symbol, default: &str) -> Symbol {
    if written.is_empty() { Symbol::new(default) } else { written }
}

fn label(reader: &Reader<'_>, key: &'static str) -> Symbol {
    let text = reader.symbol(key);
    if !text.is_empty() && !names::is_label(text.as_str()) {
        reader.invalid(key, names::NameForm::Label.describe());
    }
    text
}

fn check_unique(reader: &Reader<'_>, key: &'static str, names: impl Iterator<Item = Symbol>) {
    let mut seen: Vec<Symbol> = names.collect();
    seen.sort_unstable();
    for pair in seen.windows(2) {
        if pair[0] == pair[1] && !pair[0].is_empty() {
            reader.refuse(key, format!("two of them are named {}", pair[0]));
        }
    }
}

/// The containers with their mounts named as [`volume::name`] names the volumes.
fn renamed_mounts(reader: &Reader<'_>, mut containers: Vec<Container>) -> Box<[Container]> {
    for mount in containers.iter_mut().flat_map(|container| container.mounts.iter_mut()) {
        *mount = volume::name(reader, *mount);
    }
    containers.into()
}

/// Every mount needs a volume.
fn check_mounts(reader: &Reader<'_>, spec: &PodSpec, more: &[Symbol]) {
    let volumes: BTreeSet<Symbol> =
        spec.volumes.iter().map(|volume: &Volume| volume.name).chain(more.iter().copied()).collect();
    for container in spec.all_containers() {
        let without = |mount: &&Symbol| !mount.is_empty() && !volumes.contains(*mount);
        for mount in container.mounts.iter().filter(without) {
            let name = container.name;
            reader.refuse("volumes", format!("container {name} mounts {mount}, and there is no such volume"));
        }
    }
}

/// A port of the node is taken once, and on the node's network a container's port is the node's.
fn check_host_ports(reader: &Reader<'_>, spec: &PodSpec) {
    for port in spec.all_containers().flat_map(|container| &container.ports) {
        if spec.host_network && port.host_port != 0 && port.host_port != port.container_port {
            let (host, container) = (port.host_port, port.container_port);
            reader.refuse("hostNetwork", format!("hostPort {host} must equal containerPort {container}"));
        }
    }
    let mut taken: Vec<_> = spec
        .containers
        .iter()
        .flat_map(|container| &container.ports)
        .filter(|port| port.host_port != 0)
        .map(|port| (port.host_port, port.protocol, port.host_ip))
        .collect();
    taken.sort_unstable();
    for pair in taken.windows(2) {
        if pair[0] == pair[1] {
            reader.refuse("containers", format!("two ports are both the node's port {}", pair[0].0));
        }
    }
}

/// Takes the required node affinity by which a DaemonSet names the node of its pod out of the
/// specification, which then is the same for all of its pods.
fn take_target(spec: &mut PodSpec, meta: &ObjectMeta) -> Option<Symbol> {
    if meta.controller().is_none_or(|owner| owner.kind != "DaemonSet") {
        return None;
    }
    let affinity = spec.affinity.as_ref()?;
    let [term] = &**affinity.node.required.as_ref()? else { return None };
    let [field] = &*term.fields else { return None };
    let Operator::In(values) = &field.operator else { return None };
    let (true, [target]) = (term.expressions.is_empty(), &**values) else { return None };
    let target = *target;
    let mut rest = Affinity::clone(affinity);
    rest.node.required = None;
    spec.affinity = (rest != Affinity::default()).then(|| Arc::new(rest));
    Some(target)
}
