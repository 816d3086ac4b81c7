//! Kubelet scenarios: pods, what their author does with them, and the script by which the
//! container runtime of their node behaves. Our kubelet plays them, and the facts of both runs are
//! compared (see [`facts`]).

mod compare;
mod facts;
mod play;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use seatrial_api::document::{FieldPath, Node};
use seatrial_api::version::KubernetesVersion;
use serde_json::{Value, json};

use super::json::plain;
use super::tally::{Comparison, Count};
use crate::schema::Reader;

/// A recorded scenario.
pub struct NodeScenario {
    scenario: Value,
    version: KubernetesVersion,
    /// What happens when it is played here; played once.
    trace: OnceLock<Vec<Value>>,
}

impl NodeScenario {
    /// Reads a line. What cannot be played is an error.
    pub(super) fn read(
        node: &Node,
        version: KubernetesVersion,
        reader: &mut Reader<'_>,
    ) -> Option<NodeScenario> {
        let scenario = plain(node);
        match play::check(&scenario) {
            Ok(()) => Some(NodeScenario { scenario, version, trace: OnceLock::new() }),
            Err(why) => {
                reader.error(node.position, &FieldPath::ROOT, |error| error.message(why));
                None
            }
        }
    }

    /// Its name.
    pub(super) fn id(&self) -> &str {
        self.scenario["id"].as_str().unwrap_or("")
    }

    fn trace(&self) -> &[Value] {
        self.trace.get_or_init(|| play::play(&self.scenario, self.version))
    }

    /// What happens here: `{"id": …, "trace": […]}` in the schema of the recordings.
    pub(super) fn answer(&self) -> String {
        json!({"id": self.id(), "trace": self.trace()}).to_string()
    }

    /// Compares with the recorded facts.
    pub(super) fn compare(&self) -> Option<Comparison> {
        self.scenario["facts"].as_object()?;
        let area = self.scenario["area"].as_str().unwrap_or("");
        let mut comparison = Comparison { features: vec![area.to_owned()], ..Comparison::default() };
        compare::compare(&self.scenario, self.trace(), &mut comparison);
        comparison.subjects = Count { equal: u64::from(comparison.differences.is_empty()), total: 1 };
        Some(comparison)
    }
}
