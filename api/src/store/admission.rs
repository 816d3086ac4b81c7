//! What admission adds to pods: priority, tolerations of dead nodes, the service account.

use std::sync::Arc;

use super::{Admitted, ApiServer};
use crate::node::{TAINT_NOT_READY, TAINT_UNREACHABLE};
use crate::object::Kind;
use crate::pod::{PodSpec, PreemptionPolicy};
use crate::policy::PriorityClass;
use crate::request::{ApiError, ErrorReason};
use crate::scheduling::{TaintEffect, Toleration, TolerationOperator};
use crate::symbol::Symbol;

/// Priorities that exist without an object.
const SYSTEM_CLASSES: [(&str, i32); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

/// How long pods stay on a node that is not ready or not heard of, unless they say otherwise.
const DEFAULT_TOLERATION_SECONDS: i64 = 300;

/// How many admitted templates are kept before those without pods are dropped.
const ADMITTED_MAX: usize = 4_096;

impl ApiServer {
    /// The specification that admission makes of a template's. Pods that share a template's
    /// specification share the admitted one too.
    pub(super) fn admit_spec(&mut self, template: &Arc<PodSpec>) -> Result<Arc<PodSpec>, ApiError> {
        let address = Arc::as_ptr(template) as usize;
        if let Some(admitted) = self.admitted.get(&address) {
            return Ok(admitted.spec.clone());
        }
        let mut spec = PodSpec::clone(template);
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
            self.admitted.insert(address, Admitted { template: template.clone(), spec: spec.clone() });
        }
        Ok(spec)
    }

    /// Priority admission: the class's value and policy are written into the pod.
    fn admit_priority(&self, spec: &mut PodSpec) -> Result<(), ApiError> {
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
            return Err(ApiError::new(ErrorReason::Forbidden, message));
        }
        spec.priority = Some(value);
        if spec.preemption_policy == PreemptionPolicy::PreemptLowerPriority {
            spec.preemption_policy = policy;
        }
        Ok(())
    }

    fn priority_class(&self, name: Symbol) -> Result<(i32, PreemptionPolicy), ApiError> {
        if let Some(object) = self.find(Kind::PriorityClass, Symbol::empty(), name.as_str())
            && let crate::object::Object::PriorityClass(class) = object
        {
            return Ok((class.value, class.preemption_policy));
        }
        SYSTEM_CLASSES
            .iter()
            .find(|class| name == class.0)
            .map(|class| (class.1, PreemptionPolicy::PreemptLowerPriority))
            .ok_or_else(|| {
                ApiError::new(ErrorReason::Forbidden, format!("no PriorityClass with name {name} was found"))
            })
    }

    /// The global default class; of several the one with the lowest value.
    fn default_priority_class(&self) -> Option<&Arc<PriorityClass>> {
        self.list_typed::<PriorityClass>()
            .filter(|class| class.global_default)
            .min_by_key(|class| class.value)
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
