//! What holds a namespace up, as its conditions tell it.

use std::collections::BTreeMap;

use seatrial_api::object::Object;
use seatrial_api::pod::{ConditionStatus, Pod};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::workload::Condition;

/// Seconds after which objects that finalizers hold are looked at again.
const FINALIZER_ESTIMATE: i64 = 15;

/// What is left in a namespace after everything was deleted once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// How many objects of each resource (`configmaps.`, `jobs.batch`).
    pub resources: BTreeMap<String, usize>,
    /// How many objects each finalizer holds.
    pub finalizers: BTreeMap<String, usize>,
    /// Errors of the deletions.
    pub errors: Vec<String>,
    /// In how many seconds it should be gone; 0 if nothing is left.
    pub estimate: i64,
}

/// How long pods may take to end, in seconds: the longest grace, unless it has passed since the
/// namespace was deleted.
pub fn grace_estimate<'a>(pods: impl Iterator<Item = &'a Pod>, since_deletion: Span) -> i64 {
    let graces = pods
        .filter(|pod| !pod.status.phase.is_terminal())
        .map(|pod| pod.spec.termination_grace_period_seconds);
    let longest = graces.max().unwrap_or(0).max(0);
    if since_deletion >= Span::from_secs(longest) { 0 } else { longest }
}

/// The resource of an object as conditions name it, and as errors do.
fn resource(object: &Object) -> (String, String) {
    let (plural, api_version) = match object {
        Object::Untyped(untyped) => {
            (format!("{}s", untyped.kind.as_str().to_lowercase()), untyped.api_version.as_str())
        }
        typed => (typed.kind().plural().to_string(), typed.kind().api_version()),
    };
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    (format!("{plural}.{group}"), format!("{group}/{version}, Resource={plural}"))
}

impl Remains {
    /// Takes note of an object that is still there after its deletion.
    pub fn add(&mut self, object: &Object) {
        *self.resources.entry(resource(object).0).or_default() += 1;
        for finalizer in object.meta().finalizers() {
            *self.finalizers.entry(finalizer.to_string()).or_default() += 1;
        }
    }

    /// Judges what is left of one kind of objects, of which `left` are still there, in the light of
    /// the estimate for them.
    pub fn judge(&mut self, namespace: Symbol, left: &[&Object], estimate: i64) {
        let Some(first) = left.first() else { return };
        let held = left.iter().any(|object| !object.meta().finalizers().is_empty());
        if estimate == 0 && !held {
            let name = resource(first).1;
            self.errors
                .push(format!("unexpected items still remain in namespace: {namespace} for gvr: {name}"));
            return;
        }
        self.estimate = self.estimate.max(if estimate > 0 { estimate } else { FINALIZER_ESTIMATE });
    }

    /// The conditions of the namespace; `None` if they are as they were. While pods are left,
    /// nothing is said of what remains.
    pub fn conditions(&self, old: &[Condition], now: SimTime, only_pods: bool) -> Option<Vec<Condition>> {
        let list = |counts: &BTreeMap<String, usize>, verb: &str| {
            let entries =
                counts.iter().map(|(name, count)| format!("{name} {verb} {count} resource instances"));
            entries.collect::<Vec<_>>().join(", ")
        };
        let content = format!("Some resources are remaining: {}", list(&self.resources, "has"));
        let held = list(&self.finalizers, "in");
        let held = format!("Some content in the namespace has finalizers remaining: {held}");
        let mut errors = self.errors.clone();
        errors.sort();
        let failure =
            format!("Failed to delete all resource types, {} remaining: {}", errors.len(), errors.join(", "));
        let told =
            |is_told: bool, reason: &'static str, message: String| is_told.then_some((reason, message));
        let rows = [
            ("NamespaceDeletionDiscoveryFailure", None),
            ("NamespaceDeletionGroupVersionParsingFailure", None),
            ("NamespaceDeletionContentFailure", told(!errors.is_empty(), "ContentDeletionFailed", failure)),
            (
                "NamespaceContentRemaining",
                told(!only_pods && !self.resources.is_empty(), "SomeResourcesRemain", content),
            ),
            (
                "NamespaceFinalizersRemaining",
                told(!only_pods && !self.finalizers.is_empty(), "SomeFinalizersRemain", held),
            ),
        ];
        let mut conditions = old.to_vec();
        for (kind, trouble) in rows {
            put(&mut conditions, kind, trouble, now.truncate_to_second());
        }
        (conditions != old).then_some(conditions)
    }
}

fn put(conditions: &mut Vec<Condition>, kind: &str, trouble: Option<(&'static str, String)>, now: SimTime) {
    let (status, reason, message) = match trouble {
        Some((reason, message)) => (ConditionStatus::True, reason, message),
        None => {
            let (reason, message) = untroubled(kind);
            (ConditionStatus::False, reason, message.to_string())
        }
    };
    let kind = Symbol::new(kind);
    let reason = Symbol::new(reason);
    match conditions.iter_mut().find(|condition| condition.kind == kind) {
        Some(condition) => {
            if condition.status != status {
                (condition.transition, condition.updated) = (now, now);
            }
            (condition.status, condition.reason, condition.message) = (status, reason, message.into());
        }
        None => {
            let message = message.into();
            conditions.push(Condition { kind, status, reason, message, transition: now, updated: now });
        }
    }
}

fn untroubled(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "NamespaceDeletionDiscoveryFailure" => {
            ("ResourcesDiscovered", "All resources successfully discovered")
        }
        "NamespaceDeletionGroupVersionParsingFailure" => {
            ("ParsedGroupVersions", "All legacy kube types successfully parsed")
        }
        "NamespaceDeletionContentFailure" => {
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization")
        }
        "NamespaceContentRemaining" => ("ContentRemoved", "All content successfully removed"),
        _ => ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use seatrial_api::config::ConfigMap;
    use seatrial_api::container::Container;
    use seatrial_api::meta::ObjectMeta;
    use seatrial_api::pod::{PodPhase, PodSpec};

    fn config_map(finalizers: &[&str]) -> Object {
        let mut meta = ObjectMeta::named("ns", "held");
        meta.set_finalizers(finalizers.iter().map(|&name| name.into()).collect());
        Object::ConfigMap(Arc::new(ConfigMap { meta, ..ConfigMap::default() }))
    }

    fn pod(grace: i64, phase: PodPhase) -> Pod {
        let mut spec = PodSpec::new(vec![Container::new("c", "i")]);
        spec.termination_grace_period_seconds = grace;
        let mut pod = Pod::new(ObjectMeta::named("ns", "p"), Arc::new(spec));
        pod.status.phase = phase;
        pod
    }

    #[test]
    fn the_longest_grace_of_living_pods_counts_until_it_has_passed() {
        let pods = [pod(30, PodPhase::Running), pod(60, PodPhase::Pending), pod(90, PodPhase::Succeeded)];
        for (seconds, expected) in [(5, 60), (59, 60), (60, 0)] {
            assert_eq!(grace_estimate(pods.iter(), Span::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn what_finalizers_hold_is_waited_for_and_anything_else_is_an_error() {
        let held = config_map(&["example.com/hold"]);
        let mut remains = Remains::default();
        remains.add(&held);
        remains.judge("ns".into(), &[&held], 0);
        assert_eq!((remains.estimate, remains.errors.len()), (15, 0));
        let conditions = remains.conditions(&[], SimTime::ZERO, false).expect("they are new");
        let messages: Vec<_> = conditions.iter().map(|condition| condition.message.to_string()).collect();
        assert_eq!(messages[3], "Some resources are remaining: configmaps. has 1 resource instances");
        assert_eq!(
            messages[4],
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
        );
        assert_eq!(remains.conditions(&conditions, SimTime::from_secs(9), false), None);

        let mut remains = Remains::default();
        remains.judge("ns".into(), &[&config_map(&[])], 0);
        assert_eq!(
            remains.errors,
            ["unexpected items still remain in namespace: ns for gvr: /v1, Resource=configmaps"]
        );
        let conditions = remains.conditions(&conditions, SimTime::ZERO, true).expect("one has changed");
        assert_eq!(conditions[2].reason.as_str(), "ContentDeletionFailed");
        assert_eq!(conditions[3].status, ConditionStatus::False);
    }
}
