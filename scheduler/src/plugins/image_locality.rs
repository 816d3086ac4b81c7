//! ImageLocality: nodes that have a pod's images already score more.

use seatrial_api::symbol::Symbol;

use seatrial_api::pod::{Pod, PodSpec, VolumeSource};

use crate::cluster::{Content, NodeInfo};
use crate::framework::{Cycle, MAX_NODE_SCORE, Plugin, Points, Scope};

/// The plugin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImageLocality;

const MEBIBYTE: i64 = 1024 * 1024;
/// Below this an image does not count.
const MIN_THRESHOLD: i64 = 23 * MEBIBYTE;
/// Above this, per container, more does not count.
const MAX_CONTAINER_THRESHOLD: i64 = 1000 * MEBIBYTE;

/// The image's name with its tag.
fn normalized_image_name(name: Symbol) -> Symbol {
    let text = name.as_str();
    let tagged = match (text.rfind(':'), text.rfind('/')) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(colon), Some(slash)) => colon > slash,
    };
    if tagged { name } else { Symbol::new(&format!("{text}:latest")) }
}

/// The images of containers and of image volumes, as written.
fn images(spec: &PodSpec) -> impl Iterator<Item = Symbol> + '_ {
    let volumes = spec.volumes.iter().filter_map(|volume| match volume.source {
        VolumeSource::Image(reference) => Some(reference),
        _ => None,
    });
    spec.all_containers().map(|container| container.image).chain(volumes)
}

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }

    fn points(&self) -> Points {
        Points { score: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Node
    }

    fn reads(&self, pod: &Pod, content: &mut Content) {
        content.number(pod.spec.init_containers.len() as i64);
        images(&pod.spec).for_each(|image| content.symbol(image));
    }

    fn score(&self, cycle: Cycle<'_>, node: &NodeInfo) -> i64 {
        let Some(object) = node.node() else { return 0 };
        if object.images().is_empty() {
            return 0;
        }
        let total = cycle.cluster.node_count() as f64;
        let spec = &cycle.pod.spec;
        let mut sum = 0i64;
        for image in images(&cycle.pod.spec) {
            let name = normalized_image_name(image);
            if object.images().iter().any(|image| image.names.contains(&name))
                && let Some((size, nodes)) = cycle.cluster.image(name)
            {
                sum += (size.get() as f64 * (f64::from(nodes) / total)) as i64;
            }
        }
        let containers = (spec.containers.len() + spec.init_containers.len()) as i64;
        let max = MAX_CONTAINER_THRESHOLD * containers;
        MAX_NODE_SCORE * (sum.min(max).max(MIN_THRESHOLD) - MIN_THRESHOLD) / (max - MIN_THRESHOLD)
    }
}
