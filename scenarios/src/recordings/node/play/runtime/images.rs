//! Images.

use seatrial_api::runtime::{ContainerId, RuntimeReport};
use seatrial_api::symbol::Symbol;
use serde_json::{Value, json};

use super::{Pending, QUICK, because, grpc};
use crate::recordings::node::play::Play;

/// What every image is said to have, in bytes.
const IMAGE_SIZE: &str = "1000000";

/// The images that a node has at the beginning.
pub(in crate::recordings::node::play) fn present_images(scenario: &Value) -> Vec<Symbol> {
    let pods = scenario["script"].as_object().into_iter().flatten();
    let images = pods.flat_map(|pod| pod.1["images"].as_object().into_iter().flatten());
    images.filter(|image| image.1["present"] == true).map(|image| Symbol::new(image.0)).collect()
}

impl Play<'_> {
    pub(super) fn pull(&mut self, container: ContainerId, image: Symbol) {
        let count = self.runtime.pulls.entry(image).or_default();
        let n = *count;
        *count += 1;
        let (took, error) = self.runtime.script.pull(image.as_str(), n);
        let line = json!({"call": "PullImage", "n": n, "image": image.as_str(), "took": took.as_secs_f64()});
        let line = match &error {
            Some(error) => with(line, "error", json!(grpc(error))),
            None => line,
        };
        let (took, stamp) = (took.max(QUICK), self.stamp());
        self.later(took, Pending::Write(stamp, container.pod, line));
        let report = RuntimeReport::ImagePulled { container, ok: error.is_none() };
        let said = error.map_or(IMAGE_SIZE.to_owned(), |error| grpc(&error));
        self.tell_later(took, report, Some(because(said)));
    }
}

fn with(mut line: Value, key: &str, value: Value) -> Value {
    line[key] = value;
    line
}
