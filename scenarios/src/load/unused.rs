//! Warnings of what a scenario says about nothing.

use seatrial_api::object::Object;
use seatrial_sim_core::cluster::config::{Action, ClusterConfig, PodProfile};

use super::check::Checker;
use super::objects::{pod_spec, template};
use super::profiles::{names_image, selects};
use crate::file::ScenarioFile;

/// Warns of profiles that select no pod and of images that no pod uses.
pub(super) fn warn(scenario: &ScenarioFile, config: &ClusterConfig, checker: &mut Checker<'_>) {
    let applied = config.timeline.iter().filter_map(|entry| match &entry.action {
        Action::Apply(objects) => Some(objects),
        _ => None,
    });
    let objects: Vec<&Object> =
        config.state.iter().chain(&config.manifests).chain(applied.flatten()).collect();
    for (field, profile) in scenario.pod_profiles.iter().zip(&config.profiles) {
        if !objects.iter().any(|object| is_selected(profile, object)) {
            let message = format!("the selector {} matches no pod that a manifest defines", profile.selector);
            checker.warning(&field.selector, |warning| warning.message(message));
        }
    }
    for image in scenario.images.iter() {
        let name = &image.name.value.0;
        if !is_used(name, &objects) && !is_set_later(name, config) {
            checker.warning(&image.name, |warning| warning.message(format!("no pod uses the image {name}")));
        }
    }
}

/// Whether a profile is about the pods of an object.
fn is_selected(profile: &PodProfile, object: &Object) -> bool {
    let labels = match object {
        Object::Pod(pod) => Some(&pod.meta.labels),
        other => template(other).map(|template| &template.labels),
    };
    labels.is_some_and(|labels| selects(profile, object.meta().namespace, labels))
}

/// Whether a container of an object has an image of this name.
fn is_used(image: &str, objects: &[&Object]) -> bool {
    let mut containers =
        objects.iter().filter_map(|object| pod_spec(object)).flat_map(|spec| spec.all_containers());
    containers.any(|container| names_image(image, container.image.as_str()))
}

/// Whether the timeline sets an image of this name.
fn is_set_later(image: &str, config: &ClusterConfig) -> bool {
    config.timeline.iter().any(|entry| match &entry.action {
        Action::SetImage(_, _, new) => names_image(image, new.as_str()),
        _ => false,
    })
}
