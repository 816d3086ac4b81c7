//! POST: names, identities, first versions.

use std::sync::Arc;

use compact_str::CompactString;

use super::{ApiServer, PURPOSE_SUFFIXES, storage};
use crate::labels::{Labels, Operator, Selector};
use crate::meta::{ObjectMeta, Uid};
use crate::networking::{IngressClass, default_class};
use crate::object::{Kind, Object};
use crate::pod::{ConditionStatus, Pod, PodConditionType, PodReason, PodStatus};
use crate::policy::PriorityClass;
use crate::request::{ApiError, ErrorReason, Reply, WatchEvent};
use crate::stream::{Stream, entity_of};
use crate::symbol::Symbol;
use crate::units::SimTime;
use crate::workload::Job;

/// Characters of generated names: no vowels, so that no words arise.
const SUFFIX_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
/// The longest base of a generated name.
const GENERATED_BASE_MAX: usize = 58;
/// How often a generated name is tried.
const GENERATE_ATTEMPTS: u32 = 8;
pub(super) fn already_exists(kind: Kind, name: &str, deleting: bool) -> ApiError {
    let prefix = if deleting { "object is being deleted: " } else { "" };
    let message = format!("{prefix}{} \"{name}\" already exists", kind.qualified_plural());
    ApiError::new(ErrorReason::AlreadyExists, message)
}

impl ApiServer {
    pub(super) fn create(&mut self, now: SimTime, object: Object, events: &mut Vec<WatchEvent>) -> Reply {
        self.create_with(now, object, None, events)
    }

    /// Creates an object with this identity.
    ///
    /// # Errors
    /// The refusal; nothing was changed then.
    pub(crate) fn create_identified(
        &mut self,
        now: SimTime,
        object: Object,
        uid: Uid,
        events: &mut Vec<WatchEvent>,
    ) -> Reply {
        self.create_with(now, object, Some(uid), events)
    }

    fn create_with(
        &mut self,
        now: SimTime,
        mut object: Object,
        uid: Option<Uid>,
        events: &mut Vec<WatchEvent>,
    ) -> Reply {
        let kind = object.kind();
        self.check_namespace(kind, object.meta())?;
        let name = self.choose_name(&object)?;
        object.meta_mut().name = name;
        if let Err(error) = self.check_is_new(&object) {
            // The name is looked at last, when the object has been charged already.
            self.charge_quotas(now, None, &object, events)?;
            return Err(error);
        }
        let uid = uid.unwrap_or_else(|| self.next_uid());
        let meta = object.meta_mut();
        meta.uid = uid;
        meta.created = now;
        meta.generation = i64::from(has_generation(kind));
        meta.set_deletion(None);
        self.admit(now, &mut object, events)?;
        self.prepare(&mut object)?;
        Ok(self.insert(object, events))
    }

    /// Namespaced objects need their namespace, and not one that is going away.
    fn check_namespace(&self, kind: Kind, meta: &ObjectMeta) -> Result<(), ApiError> {
        if !kind.is_namespaced() || meta.namespace.is_empty() {
            return Ok(());
        }
        let namespace = meta.namespace;
        match self.find(Kind::Namespace, Symbol::empty(), namespace.as_str()) {
            None => Err(ApiError::not_found(Kind::Namespace, namespace.as_str())),
            Some(object) if object.meta().is_deleting() => {
                let message = format!(
                    "{} \"{}\" is forbidden: unable to create new content in namespace {namespace} because it is \
                     being terminated",
                    kind.qualified_plural(),
                    meta.name
                );
                let error = ApiError::new(ErrorReason::Forbidden, message);
                Err(ApiError { namespace_terminating: true, ..error })
            }
            Some(_) => Ok(()),
        }
    }

    /// Refuses an object whose name is taken.
    fn check_is_new(&self, object: &Object) -> Result<(), ApiError> {
        let (kind, meta) = (object.kind(), object.meta());
        match self.find_like(object, &meta.name) {
            Some(existing) => Err(already_exists(kind, &meta.name, existing.meta().is_deleting())),
            None => Ok(()),
        }
    }

    /// The object's own name, or one made from `generateName` that is free.
    fn choose_name(&mut self, object: &Object) -> Result<CompactString, ApiError> {
        let (kind, meta) = (object.kind(), object.meta());
        if !meta.name.is_empty() {
            return Ok(meta.name.clone());
        }
        let base = meta.extra.as_ref().map_or("", |extra| extra.generate_name.as_str());
        if base.is_empty() {
            let message = format!(
                "{kind} \"\" is invalid: metadata.name: Required value: name or generateName is required"
            );
            return Err(ApiError::new(ErrorReason::Invalid, message));
        }
        let is_taken = |server: &ApiServer, name: &str| server.find_like(object, name).is_some();
        self.generate_name(kind, meta.namespace, base, is_taken)
    }

    /// A name that begins with `base` and is not taken.
    ///
    /// # Errors
    /// If no such name was found.
    pub(crate) fn generate_name(
        &mut self,
        kind: Kind,
        namespace: Symbol,
        base: &str,
        is_taken: impl Fn(&ApiServer, &str) -> bool,
    ) -> Result<CompactString, ApiError> {
        let end = base
            .char_indices()
            .map(|(index, c)| index + c.len_utf8())
            .take_while(|&end| end <= GENERATED_BASE_MAX);
        let base = &base[..end.last().unwrap_or(0)];
        let entity = entity_of(namespace, base);
        let count = self.generated.entry((kind, entity)).or_default();
        *count += 1;
        let purpose = PURPOSE_SUFFIXES | u64::from(kind.number()) << 8 | u64::from(*count) << 16;
        let mut suffixes = Stream::new(self.seed, entity, purpose);
        for _ in 0..GENERATE_ATTEMPTS {
            let mut name = CompactString::from(base);
            for _ in 0..SUFFIX_LENGTH {
                name.push(SUFFIX_ALPHABET[suffixes.below(SUFFIX_ALPHABET.len() as u64) as usize] as char);
            }
            if !is_taken(self, &name) {
                return Ok(name);
            }
        }
        let message = format!(
            "{} \"{base}\" already exists, the server was not able to generate a unique name for the object",
            kind.qualified_plural()
        );
        Err(ApiError::new(ErrorReason::AlreadyExists, message))
    }

    /// Admission: what it fills in and refuses, its quotas last.
    fn admit(
        &mut self,
        now: SimTime,
        object: &mut Object,
        events: &mut Vec<WatchEvent>,
    ) -> Result<(), ApiError> {
        match object {
            Object::Pod(pod) => self.admit_pod(now, Arc::make_mut(pod))?,
            Object::PersistentVolumeClaim(claim) => {
                self.check_claim_limits(claim)?;
                self.prepare_claim(Arc::make_mut(claim));
            }
            Object::Service(service) => self.allocate_for_service(None, Arc::make_mut(service))?,
            _ => {}
        }
        self.charge_quotas(now, None, object, events)
    }

    /// Preparation by kind: what the server fills in, and the status that it clears.
    fn prepare(&mut self, object: &mut Object) -> Result<(), ApiError> {
        match object {
            Object::ReplicaSet(set) => Arc::make_mut(set).status = Default::default(),
            Object::ReplicationController(set) => Arc::make_mut(set).status = Default::default(),
            Object::CronJob(cron_job) => Arc::make_mut(cron_job).status = Default::default(),
            Object::ResourceQuota(quota) => Arc::make_mut(quota).status = Default::default(),
            Object::Deployment(deployment) => Arc::make_mut(deployment).status = Default::default(),
            Object::StatefulSet(set) => Arc::make_mut(set).status = Default::default(),
            Object::DaemonSet(set) => Arc::make_mut(set).status = Default::default(),
            Object::Job(job) => prepare_job(Arc::make_mut(job)),
            Object::PodDisruptionBudget(budget) => Arc::make_mut(budget).status = Default::default(),
            Object::HorizontalPodAutoscaler(hpa) => Arc::make_mut(hpa).status = Default::default(),
            Object::VerticalPodAutoscaler(vpa) => Arc::make_mut(vpa).status = Default::default(),
            Object::Namespace(namespace) => Arc::make_mut(namespace).terminating = false,
            Object::PriorityClass(class) if class.global_default => self.check_default(&class.meta.name)?,
            Object::Ingress(ingress) if ingress.class_name().is_none() => {
                let class = default_class(self.list_typed::<IngressClass>().map(|class| &**class));
                Arc::make_mut(ingress).class = class;
            }
            Object::PersistentVolume(volume) => storage::prepare_volume(Arc::make_mut(volume)),
            Object::VolumeAttachment(attachment) => storage::prepare_attachment(Arc::make_mut(attachment)),
            _ => {}
        }
        Ok(())
    }

    /// Of all priority classes one can be the default.
    fn check_default(&self, name: &str) -> Result<(), ApiError> {
        let Some(other) = self.list_typed::<PriorityClass>().find(|class| class.global_default) else {
            return Ok(());
        };
        let message = format!(
            "{} \"{name}\" is forbidden: PriorityClass {} is already marked as default. Only one default can exist",
            Kind::PriorityClass.qualified_plural(),
            other.meta.name
        );
        Err(ApiError::new(ErrorReason::Forbidden, message))
    }
}

/// Whether objects of this kind count generations.
pub(super) fn has_generation(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Pod
            | Kind::Deployment
            | Kind::ReplicaSet
            | Kind::ReplicationController
            | Kind::CronJob
            | Kind::StatefulSet
            | Kind::DaemonSet
            | Kind::Job
            | Kind::PodDisruptionBudget
            | Kind::EndpointSlice
            | Kind::PriorityClass
            | Kind::Ingress
            | Kind::IngressClass
            | Kind::NetworkPolicy
            | Kind::VerticalPodAutoscaler
            | Kind::Untyped
    )
}

/// A Job that brings no selector gets one that selects its own pods alone: by its identity, with
/// which its template's pods are labelled.
fn prepare_job(job: &mut Job) {
    job.status = Default::default();
    // A selector of a manifest that matches nothing stands for one that is still to be made.
    if job.selector.requirements.iter().any(|requirement| requirement.operator != Operator::Never) {
        return;
    }
    let uid = Symbol::new(&job.meta.uid.to_string());
    let name = Symbol::new(&job.meta.name);
    let own = [
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name),
        ("controller-uid", uid),
        ("job-name", name),
    ];
    let labels = job.template.labels.iter().copied().chain(own.map(|(key, value)| (Symbol::new(key), value)));
    Arc::make_mut(&mut job.template).labels = Labels::new(labels.collect());
    let identity = Labels::of(&[(own[0].0, uid.as_str())]);
    job.selector = Arc::new(Selector::of_labels(&identity));
}

/// A new pod is Pending; with gates it says that scheduling waits for them.
pub(super) fn reset_pod_status(now: SimTime, pod: &mut Pod) {
    pod.status = PodStatus::default();
    if !pod.spec.scheduling_gates.is_empty() {
        pod.status.conditions.set(
            PodConditionType::PodScheduled,
            ConditionStatus::False,
            PodReason::SchedulingGated,
            now,
        );
        let text = crate::pod::StatusText {
            scheduling: "Scheduling is blocked due to non-empty scheduling gates".into(),
            ..Default::default()
        };
        pod.status.text = Some(Arc::new(text));
    }
}
