//! Scheduler cases: a cluster, and pods that are placed in it one after another.
//!
//! Every node is filtered and scored, the first in name order wins a tie, every candidate of
//! preemption is tried (see [`seatrial_scheduler::cases`]).

mod answer;
mod compare;
mod read;

use std::sync::Arc;

use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;
use seatrial_scheduler::cases::{Case, Fact as Followed, Play};
use serde_json::{Value, json};

use super::tally::Comparison;

/// From so many nodes on, recordings don't list nodes one by one.
const DETAILED_BELOW: usize = 30;

/// A recorded case.
pub struct SchedulerCase {
    /// Its name.
    pub id: String,
    /// What it is about.
    pub features: Vec<String>,
    /// The cluster.
    pub case: Case,
    /// The pods, in the order in which they are placed.
    pub pods: Vec<Arc<Pod>>,
    /// What was decided about each, in the schema of the recordings.
    pub expected: Option<Vec<Value>>,
    /// The case ready to be played, which shows that its configuration is valid.
    play: Play,
}

impl SchedulerCase {
    /// All decisions, each on what became of the ones before it: `{"id": …, "decisions": […]}`.
    pub(super) fn answer(&self) -> String {
        let mut play = self.play.clone();
        let decisions: Vec<Value> =
            self.pods.iter().map(|pod| answer::decision(&play.schedule(pod), self.is_detailed())).collect();
        json!({"id": self.id, "decisions": decisions}).to_string()
    }

    /// Compares with what was recorded. The cluster goes on from what was recorded after each pod,
    /// so that one miss does not lead to others.
    pub(super) fn compare(&self) -> Option<Comparison> {
        let expected = self.expected.as_ref()?;
        let mut comparison = Comparison { features: self.features.clone(), ..Comparison::default() };
        let mut play = self.play.clone();
        for (pod, expected) in self.pods.iter().zip(expected) {
            let decision = play.follow(pod, &followed(expected));
            let decision = answer::decision(&decision, self.is_detailed());
            compare::compare(&pod.meta.full_name(), &decision, expected, &mut comparison);
        }
        Some(comparison)
    }

    fn is_detailed(&self) -> bool {
        self.case.nodes.len() < DETAILED_BELOW
    }
}

/// What really became of a pod.
fn followed(expected: &Value) -> Followed {
    let attempts = expected["attempts"].as_array().into_iter().flatten();
    let victims = attempts.filter_map(|attempt| attempt["preemption"]["victims"].as_array()).flatten();
    Followed {
        node: expected["node"].as_str().map(Symbol::new),
        victims: victims.filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}
