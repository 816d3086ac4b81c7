//! Value trees to typed objects: what the API server makes of a manifest.
//!
//! Reads an object's fields by name and type, fills in upstream's defaults
//! and judges what can be judged without the rest of the cluster (5.1.3): names, required fields,
//! ranges, selectors. What needs the cluster (admission, quotas, immutable fields) is the store's.
//!
//! All errors of an object are found at once. A field that the type does not know is warned about
//! once per kind and path, and the object is then kept as it was written besides. Objects of a
//! kind without a type are kept whole.

mod autoscaling;
mod config;
mod container;
mod cronjob;
mod job;
mod meta;
mod names;
mod networking;
mod node;
mod pod;
mod pod_status;
mod quota;
mod reader;
mod resources;
mod scheduling;
mod selector;
mod service;
mod storage;
mod vertical;
mod volume;
mod workload;

use crate::calendar::{Calendar, Timestamp};
use crate::document::{Diagnostics, FieldPath, Node, Value};
use crate::object::{Kind, Object, Untyped};
use crate::pod::PodSpec;
use crate::symbol::Symbol;
use crate::version::KubernetesVersion;
use pod::SpecPool;
use reader::{Context, Reader};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where objects come from, and so what of them counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Manifests: what a user applies. Status and what the server assigns are ignored, and values
    /// are judged.
    Manifest,
    /// A dump of a running cluster: status, identity and times are kept, and values are not judged,
    /// for the cluster's own server has judged them.
    State,
}

/// Turns value trees into objects. One decoder reads all files of a command, so that it warns once
/// and shares equal pod specifications.
///
/// ```
/// use seatrial_api::calendar::Calendar;
/// use seatrial_api::decode::{Decoder, Mode};
/// use seatrial_api::document::{Diagnostics, ObjectReader};
/// use seatrial_api::version::KubernetesVersion;
///
/// let text = b"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
/// let mut decoder = Decoder::new(Mode::Manifest, Calendar::default(), KubernetesVersion::V1_36);
/// let (mut reader, mut findings) = (ObjectReader::new("shop.yaml", text), Diagnostics::new());
/// let node = reader.next(&mut findings).unwrap();
/// let object = decoder.decode(&node, reader.file(), &mut findings).unwrap();
/// assert_eq!(object.meta().name, "shop");
/// ```
pub struct Decoder {
    mode: Mode,
    calendar: Calendar,
    version: KubernetesVersion,
    /// Kind and path of the unknown fields that were warned about.
    warned: BTreeSet<(String, String)>,
    specs: SpecPool,
    hpa_scale_to_zero: bool,
}

impl Decoder {
    /// A decoder for objects from `mode`, with times by `calendar`.
    pub fn new(mode: Mode, calendar: Calendar, version: KubernetesVersion) -> Decoder {
        let (warned, specs) = (BTreeSet::new(), SpecPool::default());
        Decoder { mode, calendar, version, warned, specs, hpa_scale_to_zero: false }
    }

    /// The decoder of a server whose autoscalers may have a minimum of zero (feature gate
    /// `HPAScaleToZero`).
    pub fn scaling_to_zero(self) -> Decoder {
        Decoder { hpa_scale_to_zero: true, ..self }
    }

    /// The object that `node`, from `file`, describes; `None` if it has errors, which are then among
    /// `findings`.
    pub fn decode(&mut self, node: &Node, file: &Arc<str>, findings: &mut Diagnostics) -> Option<Object> {
        let mut cx = Context::new(self.mode, self.calendar, self.version, file);
        cx.hpa_scale_to_zero = self.hpa_scale_to_zero;
        let type_name = TypeName::read(&cx, node);
        let object = type_name.as_ref().and_then(|name| self.object(&cx, node, name));
        let (mut found, unknown) = cx.finish();
        let faulty = !found.is_empty();
        let kind = type_name.map_or(String::new(), |name| name.kind.to_string());
        let keep = !unknown.is_empty();
        for field in unknown {
            if self.warned.insert((kind.clone(), field.path)) {
                found.push(field.warning);
            }
        }
        found.sort_by_key(|finding| finding.position);
        found.into_iter().for_each(|finding| findings.push(finding));
        let mut object = object.filter(|_| !faulty)?;
        if keep {
            let extra = object.meta_mut().extra.get_or_insert_default();
            Arc::make_mut(extra).written = Some(node.clone());
        }
        Some(object)
    }

    /// The pod specification in `node`, as in the template of a workload, with `path` in messages.
    pub fn pod_spec(
        &mut self,
        node: &Node,
        path: &FieldPath<'_>,
        file: &Arc<str>,
        findings: &mut Diagnostics,
    ) -> Option<Arc<PodSpec>> {
        let cx = Context::new(self.mode, self.calendar, self.version, file);
        let spec = Reader::read(&cx, node, *path, pod::spec);
        let (found, unknown) = cx.finish();
        let faulty = !found.is_empty();
        found.into_iter().for_each(|finding| findings.push(finding));
        unknown.into_iter().for_each(|field| findings.push(field.warning));
        spec.filter(|_| !faulty).map(|spec| self.specs.share(spec))
    }

    fn object(&mut self, cx: &Context<'_>, node: &Node, name: &TypeName<'_>) -> Option<Object> {
        let Some(kind) = name.typed_kind(cx, node)? else { return untyped(cx, node, name) };
        Reader::read(cx, node, FieldPath::ROOT, |object| {
            object.known(&["apiVersion", "kind"]);
            typed(object, kind, &mut self.specs)
        })?
    }
}

fn typed(object: &Reader<'_>, kind: Kind, specs: &mut SpecPool) -> Option<Object> {
    let meta = meta::object_meta(object, kind);
    Some(match kind {
        Kind::Pod => Object::Pod(Arc::new(pod::pod(object, meta, specs)?)),
        Kind::Node => Object::Node(Arc::new(node::node(object, meta)?)),
        Kind::Namespace => Object::Namespace(Arc::new(config::namespace(object, meta))),
        Kind::Service => Object::Service(Arc::new(service::service(object, meta)?)),
        Kind::ServiceAccount => Object::ServiceAccount(Arc::new(config::service_account(object, meta))),
        Kind::ConfigMap => Object::ConfigMap(Arc::new(config::config_map(object, meta))),
        Kind::Secret => Object::Secret(Arc::new(config::secret(object, meta))),
        Kind::PersistentVolume => Object::PersistentVolume(Arc::new(storage::volume(object, meta)?)),
        Kind::PersistentVolumeClaim => Object::PersistentVolumeClaim(Arc::new(storage::claim(object, meta)?)),
        Kind::ReplicationController => {
            Object::ReplicationController(Arc::new(workload::replication_controller(object, meta, specs)?))
        }
        Kind::ResourceQuota => Object::ResourceQuota(Arc::new(quota::resource_quota(object, meta)?)),
        Kind::LimitRange => Object::LimitRange(Arc::new(quota::limit_range(object, meta)?)),
        Kind::Endpoints => Object::Endpoints(Arc::new(service::endpoints(object, meta))),
        Kind::ReplicaSet => Object::ReplicaSet(Arc::new(workload::replica_set(object, meta, specs)?)),
        Kind::Deployment => Object::Deployment(Arc::new(workload::deployment(object, meta, specs)?)),
        Kind::StatefulSet => Object::StatefulSet(Arc::new(workload::stateful_set(object, meta, specs)?)),
        Kind::DaemonSet => Object::DaemonSet(Arc::new(workload::daemon_set(object, meta, specs)?)),
        Kind::ControllerRevision => {
            Object::ControllerRevision(Arc::new(workload::controller_revision(object, meta, specs)?))
        }
        Kind::Job => Object::Job(Arc::new(job::job(object, meta, specs)?)),
        Kind::CronJob => Object::CronJob(Arc::new(cronjob::cron_job(object, meta, specs)?)),
        Kind::Lease => Object::Lease(Arc::new(config::lease(object, meta)?)),
        Kind::EndpointSlice => Object::EndpointSlice(Arc::new(service::endpoint_slice(object, meta)?)),
        Kind::PodDisruptionBudget => Object::PodDisruptionBudget(Arc::new(config::budget(object, meta)?)),
        Kind::HorizontalPodAutoscaler => {
            Object::HorizontalPodAutoscaler(Arc::new(autoscaling::autoscaler(object, meta)?))
        }
        Kind::PriorityClass => Object::PriorityClass(Arc::new(config::priority_class(object, meta)?)),
        Kind::StorageClass => Object::StorageClass(Arc::new(storage::class(object, meta)?)),
        Kind::CsiNode => Object::CsiNode(Arc::new(storage::csi_node(object, meta))),
        Kind::Ingress => Object::Ingress(Arc::new(networking::ingress(object, meta)?)),
        Kind::IngressClass => Object::IngressClass(Arc::new(networking::ingress_class(object, meta)?)),
        Kind::NetworkPolicy => Object::NetworkPolicy(Arc::new(networking::policy(object, meta)?)),
        Kind::CsiDriver => Object::CsiDriver(Arc::new(storage::csi_driver(object, meta))),
        Kind::CsiStorageCapacity => {
            Object::CsiStorageCapacity(Arc::new(storage::csi_storage_capacity(object, meta)))
        }
        Kind::VolumeAttachment => Object::VolumeAttachment(Arc::new(storage::attachment(object, meta)?)),
        Kind::VerticalPodAutoscaler => {
            Object::VerticalPodAutoscaler(Arc::new(vertical::autoscaler(object, meta)?))
        }
        Kind::Untyped => return None,
    })
}

/// An object of a kind without a type, whole.
fn untyped(cx: &Context<'_>, node: &Node, name: &TypeName<'_>) -> Option<Object> {
    let meta = Reader::read(cx, node, FieldPath::ROOT, |object| {
        object.all_known();
        meta::object_meta(object, Kind::Untyped)
    })?;
    let (api_version, kind) = (Symbol::new(name.api_version), Symbol::new(name.kind));
    Some(Object::Untyped(Arc::new(Untyped { meta, api_version, kind, content: Some(node.clone()) })))
}

/// What an object says it is.
struct TypeName<'a> {
    api_version: &'a str,
    kind: &'a str,
}

impl<'a> TypeName<'a> {
    fn read(cx: &Context<'_>, node: &'a Node) -> Option<TypeName<'a>> {
        let text = |key| node.get(key).and_then(Node::as_str).unwrap_or("");
        Reader::read(cx, node, FieldPath::ROOT, |object| {
            object.all_known();
            for key in ["apiVersion", "kind"] {
                if object.str(key).is_none_or(str::is_empty)
                    && object.node(key).is_none_or(|node| node.as_str().is_some())
                {
                    object.unsupported(key, "required field is missing: every object says what it is");
                }
            }
        })?;
        let name = TypeName { api_version: text("apiVersion"), kind: text("kind") };
        (!name.api_version.is_empty() && !name.kind.is_empty()).then_some(name)
    }

    fn group(&self) -> &'a str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// The kind with a type of its own, if it is one; `None` outside if the version is one that the
    /// API server no longer serves.
    fn typed_kind(&self, cx: &Context<'_>, node: &Node) -> Option<Option<Kind>> {
        let Some(kind) = Kind::parse(self.kind) else { return Some(None) };
        if self.api_version == kind.api_version() || self.serves_old_version(kind) {
            let managed_by_other = kind == Kind::Job && job::is_managed_by_other(node);
            return Some((!managed_by_other).then_some(kind));
        }
        let was_there = self.group() == "extensions" || self.group() == kind.group();
        if !was_there {
            return Some(None);
        }
        Reader::read(cx, node, FieldPath::ROOT, |object| {
            object.all_known();
            object.unsupported(
                "apiVersion",
                format!(
                    "{} is not served in version {}: write {}",
                    kind,
                    self.api_version,
                    kind.api_version()
                ),
            );
        });
        None
    }

    /// Whether this is an older version that is still served beside the newest.
    fn serves_old_version(&self, kind: Kind) -> bool {
        kind == Kind::HorizontalPodAutoscaler && self.api_version == "autoscaling/v1"
    }
}

/// The newest time that an object of a running cluster carries: when something about it happened
/// last. Times in labels, annotations and data are not about the object, and a deletion's time lies
/// ahead; they are left out.
pub fn newest_time(node: &Node) -> Option<Timestamp> {
    const TIMES: [&str; 14] = [
        "creationTimestamp",
        "startTime",
        "completionTime",
        "startedAt",
        "finishedAt",
        "lastTransitionTime",
        "lastProbeTime",
        "lastUpdateTime",
        "lastHeartbeatTime",
        "lastScaleTime",
        "lastScheduleTime",
        "lastSuccessfulTime",
        "acquireTime",
        "renewTime",
    ];
    const NOT_ABOUT_IT: [&str; 6] =
        ["labels", "annotations", "data", "managedFields", "template", "jobTemplate"];
    match &node.value {
        Value::Sequence(elements) => elements.iter().filter_map(|element| newest_time(&element)).max(),
        Value::Mapping(fields) => {
            let newest = |entry: &crate::document::Entry| match entry.value.as_str() {
                Some(text) if TIMES.contains(&entry.key.as_str()) => Timestamp::parse(text).ok(),
                Some(_) => None,
                None if NOT_ABOUT_IT.contains(&entry.key.as_str()) => None,
                None => newest_time(&entry.value),
            };
            fields.entries().iter().filter_map(newest).max()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
