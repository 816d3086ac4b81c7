//! Containers as specified: image, resources, ports, probes, lifecycle.

use compact_str::CompactString;

use crate::resources::ResourceList;
use crate::symbol::Symbol;

/// A transport protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// As written in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        }
    }
}

/// A port that a container declares.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerPort {
    /// The name, empty if none.
    pub name: Symbol,
    /// The port inside the pod.
    pub container_port: u16,
    /// The port on the node; 0 for none.
    pub host_port: u16,
    /// The node's address it is bound to, empty for all.
    pub host_ip: Symbol,
    /// The protocol.
    pub protocol: Protocol,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PullPolicy {
    /// At every start, by digest.
    Always,
    /// If the node does not have it.
    IfNotPresent,
    /// Never.
    Never,
}

impl PullPolicy {
    /// The policy of an image for which none is written: `Always` for the tag `latest` or neither
    /// tag nor digest, else `IfNotPresent`.
    pub fn default_for(image: &str) -> PullPolicy {
        let name = image.rsplit('/').next().unwrap_or(image);
        match (name.contains('@'), name.split_once(':')) {
            (true, _) => PullPolicy::IfNotPresent,
            (false, Some((_, tag))) if tag != "latest" => PullPolicy::IfNotPresent,
            _ => PullPolicy::Always,
        }
    }
}

/// What a probe or a hook does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HandlerAction {
    /// Runs a command; exit 0 is success.
    Exec(Box<[CompactString]>),
    /// Asks by HTTP; 200 to 399 is success.
    HttpGet {
        /// The path.
        path: CompactString,
        /// The port by number or name.
        port: PortRef,
        /// Whether by TLS.
        https: bool,
    },
    /// Opens a connection.
    TcpSocket(PortRef),
    /// Asks the gRPC health service.
    Grpc {
        /// The port.
        port: u16,
        /// The service name asked for.
        service: CompactString,
    },
    /// Waits for so many seconds (hooks only).
    Sleep(i64),
}

/// A port by number or by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortRef {
    /// By number.
    Number(u16),
    /// By the name of a container port.
    Name(Symbol),
}

/// A probe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Probe {
    /// What is done.
    pub action: HandlerAction,
    /// Seconds after the container's start before the first probe.
    pub initial_delay_seconds: i32,
    /// Seconds from probe to probe.
    pub period_seconds: i32,
    /// Seconds until a probe without answer has failed.
    pub timeout_seconds: i32,
    /// Successes in a row that count as success.
    pub success_threshold: i32,
    /// Failures in a row that count as failure.
    pub failure_threshold: i32,
    /// The grace with which a container that failed this probe is killed, if not the pod's.
    pub termination_grace_period_seconds: Option<i64>,
}

/// When a container is restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RestartPolicy {
    /// Whatever its exit code.
    #[default]
    Always,
    /// After a failure.
    OnFailure,
    /// Never.
    Never,
}

impl RestartPolicy {
    /// As written in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            RestartPolicy::Always => "Always",
            RestartPolicy::OnFailure => "OnFailure",
            RestartPolicy::Never => "Never",
        }
    }
}

/// An environment reference to an object, which must exist unless it is optional.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConfigRef {
    /// Whether a Secret, else a ConfigMap.
    pub secret: bool,
    /// The object's name.
    pub name: Symbol,
    /// The key that must exist; `None` for the whole object (`envFrom`).
    pub key: Option<Symbol>,
    /// Whether its absence is no error.
    pub optional: bool,
}

/// A container as specified.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// The name, unique in the pod.
    pub name: Symbol,
    /// The image.
    pub image: Symbol,
    /// When the image is pulled.
    pub pull_policy: PullPolicy,
    /// `command`.
    pub command: Box<[CompactString]>,
    /// `args`.
    pub args: Box<[CompactString]>,
    /// Literal environment variables.
    pub env: Box<[(CompactString, CompactString)]>,
    /// Environment taken from ConfigMaps and Secrets.
    pub env_refs: Box<[ConfigRef]>,
    /// Requests, limits filled in where a request is absent.
    pub requests: ResourceList,
    /// Limits.
    pub limits: ResourceList,
    /// Declared ports.
    pub ports: Box<[ContainerPort]>,
    /// Names of the volumes it mounts.
    pub mounts: Box<[Symbol]>,
    /// Probe that says whether it has started.
    pub startup_probe: Option<Box<Probe>>,
    /// Probe that says whether it can serve.
    pub readiness_probe: Option<Box<Probe>>,
    /// Probe that says whether it lives.
    pub liveness_probe: Option<Box<Probe>>,
    /// Hook after the start.
    pub post_start: Option<HandlerAction>,
    /// Hook before the stop.
    pub pre_stop: Option<HandlerAction>,
    /// The container's own restart policy. `Always` on an init container makes it a sidecar.
    pub restart_policy: Option<RestartPolicy>,
    /// Rules by exit codes, which go before the policies; the first that matches counts.
    pub restart_rules: Box<[RestartRule]>,
    /// Which resources cannot be changed while it runs.
    pub resize_restarts: ResizeRestarts,
    /// Whether it may not run as root.
    pub non_root: Option<bool>,
    /// The user as which it runs, if not the image's.
    pub run_as_user: Option<i64>,
}

/// What is done when a container ends in a certain way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleAction {
    /// The container is restarted.
    Restart,
    /// All containers of the pod begin anew.
    RestartAllContainers,
}

/// A rule by exit codes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RestartRule {
    /// What is done.
    pub action: RuleAction,
    /// Whether the rule is for all codes but the listed ones.
    pub not_in: bool,
    /// Exit codes.
    pub values: Box<[i32]>,
}

/// For which resources a container is restarted when they change (`resizePolicy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResizeRestarts {
    /// CPU.
    pub cpu: bool,
    /// Memory.
    pub memory: bool,
}

impl Container {
    /// A container with a name, an image and nothing else.
    pub fn new(name: &str, image: &str) -> Container {
        Container {
            name: name.into(),
            image: image.into(),
            pull_policy: PullPolicy::default_for(image),
            command: Box::default(),
            args: Box::default(),
            env: Box::default(),
            env_refs: Box::default(),
            requests: ResourceList::default(),
            limits: ResourceList::default(),
            ports: Box::default(),
            mounts: Box::default(),
            startup_probe: None,
            readiness_probe: None,
            liveness_probe: None,
            post_start: None,
            pre_stop: None,
            restart_policy: None,
            restart_rules: Box::default(),
            resize_restarts: ResizeRestarts::default(),
            non_root: None,
            run_as_user: None,
        }
    }

    /// Whether this init container is a sidecar.
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy == Some(RestartPolicy::Always)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_pull_policy_follows_tag_and_digest() {
        for (image, policy) in [
            ("nginx", PullPolicy::Always),
            ("nginx:latest", PullPolicy::Always),
            ("nginx:1.25", PullPolicy::IfNotPresent),
            ("host:5000/nginx", PullPolicy::Always),
            ("host:5000/nginx:2", PullPolicy::IfNotPresent),
            ("nginx@sha256:00", PullPolicy::IfNotPresent),
        ] {
            assert_eq!(PullPolicy::default_for(image), policy, "{image}");
        }
    }
}
