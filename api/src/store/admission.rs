//! What admission adds to pods: amounts of resources, priority, tolerations of dead nodes, the service
//! account.

use std::sync::Arc;

use super::{Admitted, ApiServer, affinity, create, limits};
use crate::node::{TAINT_NOT_READY, TAINT_UNREACHABLE};
use crate::object::Kind;
use crate::pod::{Pod, PodSpec, PreemptionPolicy};
use crate::policy::PriorityClass;
use crate::quota::LimitRange;
use crate::request::ApiError;
use crate::scheduling::{TaintEffect, Toleration, TolerationOperator};
use crate::symbol::Symbol;
use crate::units::SimTime;

/// Priorities that exist without an object.
const SYSTEM_CLASSES: [(&str, i32); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

/// How long pods stay on a node that is not ready or not heard of, unless they say otherwise.
const DEFAULT_TOLERATION_SECONDS: i64 = 300;

/// How many admitted templates are kept before those without pods are dropped.
const ADMITTED_MAX: usize = 4_096;

/// The annotation that says what limit ranges have filled in.
const LIMIT_RANGER: &str = "kubernetes.io/limit-ranger";

impl ApiServer {
    /// Admission of a pod up to its quotas.
    pub(super) fn admit_pod(&mut self, now: SimTime, pod: &mut Pod) -> Result<(), ApiError> {
        let namespace = pod.meta.namespace;
        let (spec, limited) =
            self.admit_spec(&pod.spec, namespace).map_err(|refusal| refusal.about(&pod.meta.name))?;
        self.check_service_account(pod, &spec)?;
        pod.spec = affinity::merge_label_keys(&spec, &pod.meta.labels);
        if let Some(limited) = limited {
            pod.meta.annotations = pod.meta.annotations.with(Symbol::new(LIMIT_RANGER), limited);
        }
        create::reset_pod_status(now, pod);
        self.apply_recommendation(pod);
        self.check_pod_limits(pod)
    }

    /// A pod needs the account under which it runs.
    fn check_service_account(&self, pod: &Pod, spec: &PodSpec) -> Result<(), ApiError> {
        let (namespace, account) = (pod.meta.namespace, spec.service_account);
        if !self.settings.service_account_admission
            || self.find(Kind::ServiceAccount, namespace, account.as_str()).is_some()
        {
            return Ok(());
        }
        let detail = format!(
            "error looking up service account {namespace}/{account}: serviceaccount \"{account}\" not found"
        );
        Err(ApiError::forbidden(Kind::Pod, &pod.meta.name, detail))
    }

    /// The specification that admission makes of a template's, and what the limits of the namespace
    /// (empty for none) have filled in. Pods that share a template's specification share the admitted
    /// one too.
    pub(super) fn admit_spec(
        &mut self,
        template: &Arc<PodSpec>,
        namespace: Symbol,
    ) -> Result<(Arc<PodSpec>, Option<Symbol>), Refusal> {
        let ranges = self.policies::<LimitRange>(namespace);
        let namespace = if ranges.is_empty() { Symbol::empty() } else { namespace };
        let key = (Arc::as_ptr(template) as usize, namespace);
        if let Some(admitted) = self.admitted.get(&key) {
            return Ok((admitted.spec.clone(), admitted.limited));
        }
        let mut spec = PodSpec::clone(template);
        let limited = limits::fill_in(&ranges, &mut spec);
        if limited.is_some() {
            spec = spec.sealed();
        }
        self.admit_priority(&mut spec)?;
        admit_tolerations(&mut spec);
        if spec.service_account.is_empty() {
            spec.service_account = Symbol::new("default");
        }
        let spec = Arc::new(spec);
        // A specification that nobody else holds belongs to a single pod: not worth keeping.
        if Arc::strong_count(template) > 1 {
            if self.admitted.len() >= ADMITTED_MAX {
                self.admitted.retain(|_, admitted| Arc::strong_count(&admitted.template) > 1);
            }
            let admitted = Admitted { template: template.clone(), spec: spec.clone(), limited };
            self.admitted.insert(key, admitted);
        }
        Ok((spec, limited))
    }

    /// Priority admission: the class's value and policy are written into the pod.
    fn admit_priority(&self, spec: &mut PodSpec) -> Result<(), Refusal> {
        let (value, policy) = if spec.priority_class.is_empty() {
            match self.default_priority_class() {
                Some(class) => {
                    spec.priority_class = Symbol::new(&class.meta.name);
                    (class.value, class.preemption_policy)
                }
                None => (0, PreemptionPolicy::PreemptLowerPriority),
            }
        } else {
            self.priority_class(spec.priority_class)?
        };
        if spec.priority.is_some_and(|priority| priority != value) {
            let message = format!(
                "the integer value of priority ({}) must not be provided in pod spec; priority admission \
                 controller computed {value} from the given PriorityClass name",
                spec.priority.unwrap_or_default()
            );
            return Err(Refusal(message));
        }
        spec.priority = Some(value);
        if spec.preemption_policy == PreemptionPolicy::PreemptLowerPriority {
            spec.preemption_policy = policy;
        }
        Ok(())
    }

    fn priority_class(&self, name: Symbol) -> Result<(i32, PreemptionPolicy), Refusal> {
        if let Some(object) = self.find(Kind::PriorityClass, Symbol::empty(), name.as_str())
            && let crate::object::Object::PriorityClass(class) = object
        {
            return Ok((class.value, class.preemption_policy));
        }
        SYSTEM_CLASSES
            .iter()
            .find(|class| name == class.0)
            .map(|class| (class.1, PreemptionPolicy::PreemptLowerPriority))
            .ok_or_else(|| Refusal(format!("no PriorityClass with name {name} was found")))
    }

    /// The global default class; of several the one with the lowest value.
    fn default_priority_class(&self) -> Option<&Arc<PriorityClass>> {
        self.list_typed::<PriorityClass>()
            .filter(|class| class.global_default)
            .min_by_key(|class| class.value)
    }
}

/// Why a specification is not let in.
pub(super) struct Refusal(String);

impl Refusal {
    pub(super) fn about(self, pod: &str) -> ApiError {
        ApiError::forbidden(Kind::Pod, pod, self.0)
    }
}

/// DefaultTolerationSeconds: nodes that are not ready or unreachable are tolerated for 300 s,
/// unless the pod says how it tolerates them.
fn admit_tolerations(spec: &mut PodSpec) {
    let mut tolerations = spec.tolerations.to_vec();
    for key in [TAINT_NOT_READY, TAINT_UNREACHABLE] {
        let key = Symbol::new(key);
        let mentioned = tolerations.iter().any(|toleration| {
            (toleration.key == key || toleration.key.is_empty())
                && toleration.effect.is_none_or(|effect| effect == TaintEffect::NoExecute)
        });
        if !mentioned {
            tolerations.push(Toleration {
                key,
                operator: TolerationOperator::Exists,
                value: Symbol::empty(),
                effect: Some(TaintEffect::NoExecute),
                seconds: Some(DEFAULT_TOLERATION_SECONDS),
            });
        }
    }
    spec.tolerations = tolerations.into();
}
