//! Containers: image, ports, probes, hooks, environment.

use super::names;
use super::reader::{Reader, whole_number};
use super::resources;
use crate::container::{
    ConfigRef, Container, ContainerPort, HandlerAction, PortRef, Probe, Protocol, PullPolicy, ResizeRestarts,
    RestartPolicy, RestartRule, RuleAction,
};
use crate::symbol::Symbol;
use compact_str::CompactString;
use std::collections::BTreeSet;

pub(super) const PROTOCOLS: [(&str, Protocol); 3] =
    [("TCP", Protocol::Tcp), ("UDP", Protocol::Udp), ("SCTP", Protocol::Sctp)];

pub(super) const RESTART_POLICIES: [(&str, RestartPolicy); 3] = [
    ("Always", RestartPolicy::Always),
    ("OnFailure", RestartPolicy::OnFailure),
    ("Never", RestartPolicy::Never),
];

/// Fields of containers that make no difference to where a pod goes and how it lives.
const WITHOUT_EFFECT: [&str; 8] = [
    "workingDir",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "stdin",
    "stdinOnce",
    "tty",
    "volumeDevices",
    "targetContainerName",
];

/// Reads a main container.
pub(super) fn main_container(reader: &Reader<'_>) -> Container {
    let container = container(reader);
    if container.restart_policy.is_some() && reader.cx.version < crate::version::KubernetesVersion::V1_36 {
        reader.refuse("restartPolicy", "only init containers have a restart policy of their own");
    }
    container
}

/// Reads an init container or a sidecar, the only init container that may have probes.
pub(super) fn init_container(reader: &Reader<'_>) -> Container {
    let container = container(reader);
    if !container.is_sidecar() {
        let probes = ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"];
        for key in probes.into_iter().filter(|key| reader.has(key)) {
            reader.refuse(key, "init containers have none, unless their restartPolicy is Always");
        }
    }
    container
}

fn container(reader: &Reader<'_>) -> Container {
    reader.known(&WITHOUT_EFFECT);
    let name = reader.required_symbol("name");
    if !name.is_empty() && !names::is_label(name.as_str()) {
        reader.invalid("name", names::NameForm::Label.describe());
    }
    let image = reader.required_symbol("image");
    if image.as_str().trim() != image.as_str() {
        reader.invalid("image", "an image without spaces around it");
    }
    let (env, env_refs) = environment(reader);
    let (requests, limits) = resources::requirements(reader, "resources").unwrap_or_default();
    let (non_root, run_as_user) = security(reader);
    let (post_start, pre_stop) = reader.object("lifecycle", hooks).unwrap_or_default();
    Container {
        name,
        image,
        pull_policy: pull_policy(reader).unwrap_or_else(|| PullPolicy::default_for(image.as_str())),
        command: reader.texts("command"),
        args: reader.texts("args"),
        env,
        env_refs,
        requests,
        limits,
        ports: reader.list("ports", port).into(),
        mounts: mounts(reader),
        startup_probe: probe(reader, "startupProbe", ProbeRole::Restarts),
        readiness_probe: probe(reader, "readinessProbe", ProbeRole::Reports),
        liveness_probe: probe(reader, "livenessProbe", ProbeRole::Restarts),
        post_start,
        pre_stop,
        restart_policy: reader.choice("restartPolicy", &RESTART_POLICIES),
        restart_rules: reader.list("restartPolicyRules", restart_rule).into(),
        resize_restarts: resize_restarts(reader),
        non_root,
        run_as_user,
    }
}

/// Reads what a security context says of the user: whether it may not be root, and who it is.
pub(super) fn security(reader: &Reader<'_>) -> (Option<bool>, Option<i64>) {
    let said = reader.object("securityContext", |context| {
        context.all_known();
        let non_root = context.has("runAsNonRoot").then(|| context.bool("runAsNonRoot"));
        (non_root, context.int("runAsUser", 0..=i64::MAX))
    });
    said.unwrap_or_default()
}

fn restart_rule(rule: &Reader<'_>) -> RestartRule {
    let actions =
        [("Restart", RuleAction::Restart), ("RestartAllContainers", RuleAction::RestartAllContainers)];
    let codes = rule.object("exitCodes", |codes| {
        let not_in = codes.choice("operator", &[("In", false), ("NotIn", true)]).unwrap_or(false);
        (not_in, codes.int32s("values"))
    });
    let (not_in, values) = codes.unwrap_or_default();
    let action = rule.choice("action", &actions).unwrap_or(RuleAction::Restart);
    RestartRule { action, not_in, values: values.into() }
}

fn resize_restarts(container: &Reader<'_>) -> ResizeRestarts {
    let mut restarts = ResizeRestarts::default();
    container.list("resizePolicy", |policy| {
        let resource = policy.required_symbol("resourceName");
        let policies = [("NotRequired", false), ("RestartContainer", true)];
        let restart = policy.choice("restartPolicy", &policies).unwrap_or(false);
        restarts.cpu |= restart && resource == "cpu";
        restarts.memory |= restart && resource == "memory";
    });
    restarts
}

fn pull_policy(container: &Reader<'_>) -> Option<PullPolicy> {
    let policies = [
        ("Always", PullPolicy::Always),
        ("IfNotPresent", PullPolicy::IfNotPresent),
        ("Never", PullPolicy::Never),
    ];
    container.choice("imagePullPolicy", &policies)
}

fn port(port: &Reader<'_>) -> ContainerPort {
    if !port.has("containerPort") {
        port.invalid("containerPort", "a port from 1 to 65535");
    }
    let name = port.symbol("name");
    if !name.is_empty() && !names::is_port_name(name.as_str()) {
        port.invalid("name", "at most 15 lower case letters, digits and '-', one letter at least");
    }
    ContainerPort {
        name,
        container_port: port_number(port, "containerPort").unwrap_or(0),
        host_port: port.int("hostPort", 0..=65_535).unwrap_or(0) as u16,
        host_ip: port.symbol("hostIP"),
        protocol: port.choice("protocol", &PROTOCOLS).unwrap_or_default(),
    }
}

/// Reads a port number.
pub(super) fn port_number(reader: &Reader<'_>, key: &'static str) -> Option<u16> {
    reader.int(key, 1..=65_535).map(|port| port as u16)
}

/// Reads a port by number or by the name of a container's port.
pub(super) fn port_ref(reader: &Reader<'_>, key: &'static str) -> Option<PortRef> {
    let node = reader.node(key)?;
    if whole_number(node).is_some() {
        return port_number(reader, key).map(PortRef::Number);
    }
    let name = reader.str(key)?;
    if !names::is_port_name(name) {
        reader.invalid(key, "a port from 1 to 65535, or the name of a container's port");
    }
    Some(PortRef::Name(Symbol::new(name)))
}

fn mounts(container: &Reader<'_>) -> Box<[Symbol]> {
    let mut paths = BTreeSet::new();
    let mounts = container.list("volumeMounts", |mount| {
        mount.known(&["readOnly", "recursiveReadOnly", "subPath", "subPathExpr", "mountPropagation"]);
        let path = CompactString::from(mount.required_str("mountPath"));
        if !paths.insert(path) {
            mount.invalid("mountPath", "a path of its own for each mount");
        }
        mount.required_symbol("name")
    });
    mounts.into()
}

/// What a probe's outcome is for.
#[derive(Clone, Copy, PartialEq)]
enum ProbeRole {
    /// A container that fails it is restarted.
    Restarts,
    /// A container that fails it gets no traffic.
    Reports,
}

fn probe(container: &Reader<'_>, key: &'static str, role: ProbeRole) -> Option<Box<Probe>> {
    container.object(key, |probe| {
        let success_threshold = probe.int32("successThreshold", 0).filter(|&n| n > 0).unwrap_or(1);
        let grace = probe.int("terminationGracePeriodSeconds", 1..=i64::MAX);
        if role == ProbeRole::Restarts && success_threshold != 1 {
            probe.invalid("successThreshold", "1, for this kind of probe");
        }
        if role == ProbeRole::Reports && grace.is_some() {
            probe.refuse("terminationGracePeriodSeconds", "a readiness probe does not end the container");
        }
        let or_default = |value: Option<i32>, default| value.filter(|&n| n > 0).unwrap_or(default);
        Some(Box::new(Probe {
            action: action(probe, Handlers::OfProbes)?,
            initial_delay_seconds: probe.int32("initialDelaySeconds", 0).unwrap_or(0),
            period_seconds: or_default(probe.int32("periodSeconds", 0), 10),
            timeout_seconds: or_default(probe.int32("timeoutSeconds", 0), 1),
            success_threshold,
            failure_threshold: or_default(probe.int32("failureThreshold", 0), 3),
            termination_grace_period_seconds: grace,
        }))
    })?
}

fn hooks(lifecycle: &Reader<'_>) -> (Option<HandlerAction>, Option<HandlerAction>) {
    // Behind a gate that is off: the server drops it.
    lifecycle.known(&["stopSignal"]);
    let hook = |key| lifecycle.object(key, |hook| action(hook, Handlers::OfHooks)).flatten();
    (hook("postStart"), hook("preStop"))
}

/// Which handlers there are to choose from.
#[derive(Clone, Copy, PartialEq)]
enum Handlers {
    OfProbes,
    OfHooks,
}

/// Reads the one handler of a probe or a hook.
fn action(reader: &Reader<'_>, handlers: Handlers) -> Option<HandlerAction> {
    let mut actions = vec![
        reader.object("exec", |exec| HandlerAction::Exec(exec.texts("command"))),
        reader.object("httpGet", http_get),
        reader.object("tcpSocket", |socket| {
            socket.known(&["host"]);
            HandlerAction::TcpSocket(required_port(socket))
        }),
    ];
    actions.push(match handlers {
        Handlers::OfProbes => reader.object("grpc", |grpc| HandlerAction::Grpc {
            port: port_number(grpc, "port").unwrap_or(0),
            service: grpc.text("service"),
        }),
        Handlers::OfHooks => reader.object("sleep", |sleep| {
            HandlerAction::Sleep(sleep.int("seconds", 0..=i64::from(i32::MAX)).unwrap_or(0))
        }),
    });
    let mut actions = actions.into_iter().flatten();
    let first = actions.next();
    let names = match handlers {
        Handlers::OfProbes => "exec, httpGet, tcpSocket or grpc",
        Handlers::OfHooks => "exec, httpGet, tcpSocket or sleep",
    };
    if first.is_none() {
        reader.invalid("exec", names);
    }
    if actions.next().is_some() {
        reader.refuse("exec", format!("only one of {names} is possible"));
    }
    first
}

fn http_get(get: &Reader<'_>) -> HandlerAction {
    get.known(&["host", "httpHeaders"]);
    let path = get.text("path");
    HandlerAction::HttpGet {
        path: if path.is_empty() { "/".into() } else { path },
        port: required_port(get),
        https: get.choice("scheme", &[("HTTP", false), ("HTTPS", true), ("", false)]).unwrap_or(false),
    }
}

fn required_port(reader: &Reader<'_>) -> PortRef {
    if !reader.has("port") {
        reader.invalid("port", "a port from 1 to 65535, or the name of a container's port");
    }
    port_ref(reader, "port").unwrap_or(PortRef::Number(0))
}

type Environment = (Box<[(CompactString, CompactString)]>, Box<[ConfigRef]>);

/// Reads `env` and `envFrom`: literal variables, and what they take from ConfigMaps and Secrets.
fn environment(container: &Reader<'_>) -> Environment {
    let mut literals = Vec::new();
    let mut references = Vec::new();
    container.list("env", |variable| {
        let name = variable.required_str("name");
        if !name.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'=') {
            variable.invalid("name", "printable ASCII characters other than '='");
        }
        let value = variable.str("value");
        let from = variable.object("valueFrom", key_reference);
        match from {
            Some(reference) => {
                if value.is_some_and(|value| !value.is_empty()) {
                    variable.refuse("valueFrom", "a variable has either a value or valueFrom");
                }
                references.extend(reference);
            }
            None => literals.push((CompactString::from(name), CompactString::from(value.unwrap_or("")))),
        }
    });
    container.list("envFrom", |source| {
        source.known(&["prefix"]);
        for (key, secret) in [("configMapRef", false), ("secretRef", true)] {
            references.extend(source.object(key, |object| ConfigRef {
                secret,
                name: object.symbol("name"),
                key: None,
                optional: object.bool("optional"),
            }));
        }
    });
    (literals.into(), references.into())
}

/// Reads `valueFrom`; references to the pod's own fields are always met.
fn key_reference(from: &Reader<'_>) -> Option<ConfigRef> {
    from.known(&["fieldRef", "resourceFieldRef", "fileKeyRef"]);
    let reference = |key, secret| {
        from.object(key, |object| ConfigRef {
            secret,
            name: object.symbol("name"),
            key: Some(object.required_symbol("key")),
            optional: object.bool("optional"),
        })
    };
    reference("configMapKeyRef", false).or(reference("secretKeyRef", true))
}
