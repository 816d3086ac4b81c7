//! Requests to the API server, its answers, and the changes that its watches tell.

use std::fmt;
use std::sync::Arc;

use compact_str::CompactString;

use crate::labels::{Labels, Selector};
use crate::meta::{OwnerRef, Uid};
use crate::node::NodeConditions;
use crate::object::{Kind, Object, ObjectRef};
use crate::pod::{ConditionStatus, PodConditionType, PodReason, PodSpec, PodStatus};
use crate::scheduling::Taint;
use crate::status_detail::OtherCondition;
use crate::storage::ClaimResize;
use crate::symbol::Symbol;
use crate::units::Bytes;

/// What a deletion does with the dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// The owner goes first, its dependents are collected later.
    Background,
    /// The dependents go first.
    Foreground,
    /// The dependents stay without owner.
    Orphan,
}

/// Options of a deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// `gracePeriodSeconds`; the pod's own if absent, negative means 1.
    pub grace_period_seconds: Option<i64>,
    /// `propagationPolicy`; the kind's default if absent.
    pub propagation: Option<Propagation>,
    /// Precondition on the version; the identity is part of the reference.
    pub resource_version: Option<u64>,
}

/// Which part of an object an update writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subresource {
    /// Everything but the status.
    Main,
    /// The status alone (and a Deployment's annotations).
    Status,
}

/// A change that the server applies to the newest version of an object, whatever that is.
#[derive(Clone, Debug)]
pub enum Patch {
    /// A kubelet's view of a pod: replaces the status except conditions that others own
    /// (PodScheduled, DisruptionTarget if it is not in the patch) and the nomination.
    PodStatus(Box<PodStatus>),
    /// Another specification of a pod, with what its owner has changed in it.
    PodSpec(Arc<PodSpec>),
    /// A condition of a pod that none of the system's own components writes, such as that of a
    /// readiness gate.
    Gate(OtherCondition),
    /// One condition of a pod, as scheduler, node controller or eviction write it.
    PodCondition {
        /// The type.
        kind: PodConditionType,
        /// The status.
        status: ConditionStatus,
        /// The reason.
        reason: PodReason,
        /// The message, kept for PodScheduled only.
        message: Option<Arc<str>>,
    },
    /// The scheduler's verdict on a pod that it could not place: the PodScheduled condition and
    /// the nominated node (`None` clears it).
    Unschedulable {
        /// The reason, `Unschedulable` or `SchedulerError`.
        reason: PodReason,
        /// The message.
        message: Arc<str>,
        /// The nomination.
        nominated_node: Option<Symbol>,
    },
    /// The node to which a pod is about to be bound, as the scheduler writes it before it prepares
    /// the binding.
    NominatedNode(Symbol),
    /// The phase of a pod with a reason, as PodGC writes it before it deletes.
    PodPhase {
        /// The phase.
        phase: crate::pod::PodPhase,
        /// `status.reason`.
        reason: Symbol,
        /// `status.message`.
        message: Arc<str>,
    },
    /// A node's taints.
    Taints(Option<Arc<[Taint]>>),
    /// Taints to set on a node and taints to take away, by key and effect; all others stay as they
    /// are. Controllers that each own some taints of a node use it, so that none undoes another's.
    TaintChanges {
        /// Taints to set; one of the same key and effect is replaced.
        add: Vec<Taint>,
        /// Taints to take away, whatever their value.
        remove: Vec<Taint>,
    },
    /// Whether a node is cordoned.
    Unschedulability(bool),
    /// A node's conditions.
    NodeConditions(Box<NodeConditions>),
    /// `status.volumesInUse` of a node.
    VolumesInUse(Vec<Symbol>),
    /// `status.volumesAttached` of a node.
    VolumesAttached(Vec<Symbol>),
    /// `spec.capacity` of a PersistentVolume.
    VolumeCapacity(Bytes),
    /// How far a claim's expansion is and, if given, how much it has now.
    ClaimResize(ClaimResize, Option<Bytes>),
    /// `status.attached` of a VolumeAttachment.
    Attached(bool),
    /// `spec.replicas` of a workload (the scale subresource).
    Replicas(i32),
    /// The image of a container of a workload's template (`kubectl set image`).
    Image {
        /// The container; empty for all.
        container: Symbol,
        /// The image.
        image: Symbol,
    },
    /// An annotation of a workload's pod template (`kubectl rollout restart`).
    TemplateAnnotation(Symbol, Symbol),
    /// Whether a Deployment's rollouts are paused.
    Paused(bool),
    /// Owner references as a whole, guarded by the uid in the reference.
    Owners(Vec<OwnerRef>),
    /// Owner references to take away, by the owner's identity; all others stay as they are.
    RemoveOwners(Vec<Uid>),
    /// Finalizers to add; refused while the object is going away.
    AddFinalizers(Vec<Symbol>),
    /// Finalizers to take away. On a Namespace, `kubernetes` means its `spec.finalizers`: without
    /// it, and without finalizers of its metadata, a terminating Namespace is removed.
    RemoveFinalizers(Vec<Symbol>),
    /// Labels to set (`Some`) or remove (`None`).
    Labels(Vec<(Symbol, Option<Symbol>)>),
    /// Annotations to set (`Some`) or remove (`None`).
    Annotations(Vec<(Symbol, Option<Symbol>)>),
    /// Several changes in one write, in order.
    All(Vec<Patch>),
}

/// A request to the API server.
#[derive(Clone, Debug)]
pub enum Request {
    /// Reads the newest version of an object, past every cache.
    Get {
        /// The kind.
        kind: Kind,
        /// The namespace; empty for kinds of cluster scope.
        namespace: Symbol,
        /// The name.
        name: CompactString,
    },
    /// Creates an object; name (or generateName) and spec are the client's, the rest is filled in.
    Create(Object),
    /// Writes an object as a whole. A version other than 0 in it must be the stored one.
    Update {
        /// The object.
        object: Object,
        /// Which part of it.
        subresource: Subresource,
    },
    /// Changes an object.
    Patch {
        /// Which.
        target: ObjectRef,
        /// How.
        patch: Patch,
    },
    /// Deletes an object.
    Delete {
        /// Which.
        target: ObjectRef,
        /// How.
        options: DeleteOptions,
    },
    /// Binds a pod to a node.
    Bind {
        /// The pod's row.
        pod: u32,
        /// The node.
        node: Symbol,
    },
    /// Evicts a pod, if its budgets allow.
    Evict {
        /// The pod's row.
        pod: u32,
        /// `gracePeriodSeconds`; the pod's own if absent.
        grace_period_seconds: Option<i64>,
    },
    /// Creates or updates an object from a manifest, as `kubectl apply` does.
    Apply(Object),
    /// Asks the metrics server for the use of pods; answered by [`crate::machine::Input::Metrics`].
    PodMetrics {
        /// The namespace.
        namespace: Symbol,
        /// Which pods.
        selector: Arc<Selector>,
    },
    /// Asks the custom or external metrics API for a metric; answered by
    /// [`crate::machine::Input::MetricValues`], or refused where no adapter serves that API.
    Metric(Box<MetricQuery>),
}

/// What a metric is about.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricSubject {
    /// Pods; each has a value of its own.
    Pods(Arc<Selector>),
    /// One object.
    Object {
        /// Its kind.
        kind: Symbol,
        /// Its name.
        name: CompactString,
    },
    /// Something outside of the cluster.
    External,
}

/// A query for a metric of the custom or external metrics API.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricQuery {
    /// The namespace of the autoscaler, in which the metric is looked for.
    pub namespace: Symbol,
    /// The metric.
    pub name: Symbol,
    /// Which of its series, by their labels; all if absent.
    pub selector: Option<Selector>,
    /// What it is about.
    pub subject: MetricSubject,
}

impl MetricQuery {
    /// The refusal of a server to which no adapter has registered the API.
    pub fn not_served(&self) -> ApiError {
        let message = match self.subject {
            MetricSubject::External => format!(
                "the server could not find the requested resource (get {}.external.metrics.k8s.io)",
                self.name
            ),
            _ => "no custom metrics API (custom.metrics.k8s.io) registered".to_string(),
        };
        ApiError::new(ErrorReason::NotFound, message)
    }

    /// The refusal of an adapter that does not know the metric.
    pub fn unknown(&self) -> ApiError {
        let name = self.name;
        let message = match &self.subject {
            MetricSubject::External => {
                format!("the server could not find the metric {name} for external metrics")
            }
            MetricSubject::Pods(_) => format!("the server could not find the metric {name} for pods"),
            MetricSubject::Object { kind, name: object } => {
                let kind = kind.as_str().to_ascii_lowercase();
                format!("the server could not find the metric {name} for {kind} {object}")
            }
        };
        ApiError::new(ErrorReason::NotFound, message)
    }
}

impl Request {
    /// A patch of the pod with this row.
    pub fn patch_pod(pod: u32, patch: Patch) -> Request {
        Request::Patch { target: ObjectRef { kind: Kind::Pod, id: pod }, patch }
    }

    /// A deletion with default options.
    pub fn delete(target: ObjectRef) -> Request {
        Request::Delete { target, options: DeleteOptions::default() }
    }
}

/// The reason of a refusal, as in a Status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub enum ErrorReason {
    BadRequest,
    Forbidden,
    NotFound,
    AlreadyExists,
    Conflict,
    Invalid,
    TooManyRequests,
    InternalError,
    ServerTimeout,
    Timeout,
}

impl ErrorReason {
    /// The HTTP status code.
    pub fn code(self) -> u16 {
        match self {
            ErrorReason::BadRequest => 400,
            ErrorReason::Forbidden => 403,
            ErrorReason::NotFound => 404,
            ErrorReason::AlreadyExists | ErrorReason::Conflict => 409,
            ErrorReason::Invalid => 422,
            ErrorReason::TooManyRequests => 429,
            ErrorReason::InternalError | ErrorReason::ServerTimeout => 500,
            ErrorReason::Timeout => 504,
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The reason.
    pub reason: ErrorReason,
    /// The message, as a user reads it.
    pub message: String,
    /// Whether the namespace is going away, which controllers do not treat as an error.
    pub namespace_terminating: bool,
}

impl ApiError {
    /// A refusal with a message.
    pub fn new(reason: ErrorReason, message: impl Into<String>) -> ApiError {
        ApiError { reason, message: message.into(), namespace_terminating: false }
    }

    /// 404: there is no such object.
    pub fn not_found(kind: Kind, name: &str) -> ApiError {
        let message = [&kind.qualified_plural(), " \"", name, "\" not found"].concat();
        ApiError::new(ErrorReason::NotFound, message)
    }

    /// 403: admission does not let the object in.
    pub fn forbidden(kind: Kind, name: &str, detail: impl fmt::Display) -> ApiError {
        let message = format!("{} \"{name}\" is forbidden: {detail}", kind.qualified_plural());
        ApiError::new(ErrorReason::Forbidden, message)
    }

    /// 422: what is wrong with the object, one text or several.
    pub fn invalid(kind: Kind, name: &str, errors: &[String]) -> ApiError {
        let group = match kind.group() {
            "" => String::new(),
            group => format!(".{group}"),
        };
        let message = format!("{kind}{group} \"{name}\" is invalid: {}", aggregate(errors));
        ApiError::new(ErrorReason::Invalid, message)
    }

    /// 409: the stored version is another one.
    pub fn conflict(kind: Kind, name: &str) -> ApiError {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the object has been modified; please apply your \
             changes to the latest version and try again",
            kind.qualified_plural()
        );
        ApiError::new(ErrorReason::Conflict, message)
    }
}

/// Several errors as one text, equal ones once, as upstream puts them together.
pub(crate) fn aggregate(errors: &[String]) -> String {
    let mut different: Vec<&str> = Vec::new();
    for error in errors {
        if !different.contains(&error.as_str()) {
            different.push(error);
        }
    }
    match &different[..] {
        [only] => (*only).to_owned(),
        several => format!("[{}]", several.join(", ")),
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)
    }
}

impl std::error::Error for ApiError {}

/// The answer to a request: the object as it is stored now (or was stored last, if the request
/// removed it), or a refusal.
pub type Reply = Result<Object, ApiError>;

/// What happened to a watched object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was created, or began to match the watch.
    Added,
    /// It was changed.
    Modified,
    /// It is gone, or ceased to match the watch; the object is its last version.
    Deleted,
}

/// One event of a watch.
#[derive(Clone, Debug)]
pub struct WatchEvent {
    /// What happened.
    pub change: Change,
    /// The object's version.
    pub object: Object,
}

/// Applies changes of single keys to labels or annotations.
pub fn merge_labels(labels: &Labels, changes: &[(Symbol, Option<Symbol>)]) -> Labels {
    let kept = labels.iter().copied().filter(|pair| changes.iter().all(|change| change.0 != pair.0));
    let set = changes.iter().filter_map(|&(key, value)| value.map(|value| (key, value)));
    Labels::new(kept.chain(set).collect())
}
