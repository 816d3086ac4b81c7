//! Controller scenarios: what people, nodes and the weather do to a cluster, and what controllers,
//! scheduler and API server make of it.
//!
//! All of these are the machines of this system; the kubelet is scripted, as it was when the
//! scenarios were recorded. Facts about the two traces are compared, not the traces.

mod facts;
mod play;
mod scenario;
mod trace;

use std::collections::BTreeMap;

use seatrial_api::document::Node;
use seatrial_api::version::KubernetesVersion;
use serde_json::{Value, json};

use self::facts::{derive, is_equal, kind_of_fact};
use super::tally::{Comparison, Difference, Fact};
use crate::schema::Reader;
use scenario::Scenario;

/// The kinds of facts, each with the name under which it is counted.
const KINDS: [&str; 31] = [
    "answers",
    "events",
    "eventCounts",
    "finalPods",
    "finalSpread",
    "finalObjects",
    "finalSlices",
    "deleteOrder",
    "deletedObjects",
    "remaining",
    "bindings",
    "deletedOrDeleting",
    "taints",
    "taintedNodes",
    "nodeConditions",
    "deletions",
    "replicaTargets",
    "envelope",
    "conditions",
    "statusSequence",
    "podOrder",
    "podOrderPerNode",
    "victims",
    "victimAttributes",
    "jobPods",
    "podCount",
    "jobs",
    "endpoints",
    "used",
    "desiredReplicas",
    "desiredReplicasSequence",
];
/// Events that not every run has: no fact by themselves.
const SOMETIMES: &str = "eventsSometimes";

/// A recorded scenario.
pub struct ControllerScenario {
    scenario: Scenario,
    version: KubernetesVersion,
}

/// What a run left: an answer for each action, and what happened.
struct Run {
    answers: Vec<Value>,
    trace: Vec<Value>,
}

impl ControllerScenario {
    /// Reads a line.
    pub(super) fn read(
        node: &Node,
        version: KubernetesVersion,
        reader: &mut Reader<'_>,
    ) -> Option<ControllerScenario> {
        Some(ControllerScenario { scenario: Scenario::read(node, reader)?, version })
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.scenario.id
    }

    /// What happens when it is played: `{"id": …, "answers": […], "trace": […]}`.
    pub(super) fn answer(&self) -> String {
        let run = play::play(&self.scenario, self.version);
        json!({"id": self.id(), "answers": run.answers, "trace": run.trace}).to_string()
    }

    /// Compares the stable facts and the milestones with the recorded ones.
    pub(super) fn compare(&self) -> Option<Comparison> {
        self.scenario.line["facts"].as_object()?;
        Some(self.compare_with(&play::play(&self.scenario, self.version)))
    }

    fn compare_with(&self, run: &Run) -> Comparison {
        let line = &self.scenario.line;
        let mut comparison =
            Comparison { features: vec![self.scenario.area.clone()], ..Comparison::default() };
        let recorded = line["facts"].as_object().into_iter().flatten();
        let stable: BTreeMap<&str, &Value> = recorded
            .filter(|(name, fact)| *name != SOMETIMES && fact["stable"] == true)
            .map(|(name, fact)| (name.as_str(), fact))
            .collect();
        let sometimes = line["facts"][SOMETIMES]["value"].as_array().map_or(&[][..], Vec::as_slice);
        let derived = derive(line, &run.trace, &run.answers, stable.keys().copied());
        for (name, fact) in stable {
            let kind = kind_of_fact(name);
            let found = derived.get(name).and_then(Option::as_ref);
            let equal = found.is_some_and(|found| is_equal(kind, fact, found, sometimes));
            let counted = Fact::Controller(KINDS.iter().find(|known| **known == kind).unwrap_or(&"unknown"));
            comparison.facts.entry(counted).or_default().add(equal);
            if !equal {
                let found = found.map_or_else(|| "absent".to_owned(), Value::to_string);
                self.note(&mut comparison, counted, name, found, fact["value"].to_string());
            }
        }
        comparison.subjects.add(comparison.differences.is_empty());
        self.compare_milestones(&mut comparison, run);
        comparison
    }

    fn compare_milestones(&self, comparison: &mut Comparison, run: &Run) {
        let Some(recorded) = self.scenario.line["trace"].as_array() else { return };
        for milestone in facts::compare_milestones(&self.scenario.area, recorded, &run.trace) {
            comparison.facts.entry(Fact::Milestone).or_default().add(milestone.near);
            if !milestone.near {
                let (found, recorded) = (json!(milestone.found), json!(milestone.recorded));
                let (found, recorded) = (found.to_string(), recorded.to_string());
                self.note(comparison, Fact::Milestone, &milestone.name, found, recorded);
            }
        }
    }

    fn note(&self, comparison: &mut Comparison, fact: Fact, at: &str, found: String, recorded: String) {
        let subject = self.id().to_owned();
        comparison.differences.push(Difference { subject, fact, at: at.to_owned(), found, recorded });
    }
}

#[cfg(test)]
mod tests;
