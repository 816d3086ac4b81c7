//! What an autoscaler scales: the scale subresource of its target, as the caches show it.

use std::sync::Arc;

use seatrial_api::autoscaling::HorizontalPodAutoscaler;
use seatrial_api::labels::Selector;
use seatrial_api::object::{Kind, ObjectRef};
use seatrial_api::request::ApiError;

use crate::framework::Caches;

/// The scale of a target.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    /// The target.
    pub(super) target: ObjectRef,
    /// The size as specified.
    pub(super) replicas: i32,
    /// The size as its status reports it.
    pub(super) status_replicas: i32,
    /// Which pods are the target's.
    pub(super) selector: Arc<Selector>,
}

/// Finds the scale of an autoscaler's target.
///
/// Model: upstream reads it past its cache, which in this model lags by a watch delay only.
///
/// # Errors
/// There is no such target, or it has no size; the message is upstream's.
pub(super) fn scale_of(caches: &Caches, autoscaler: &HorizontalPodAutoscaler) -> Result<Scale, String> {
    let group = autoscaler.target_api_version.as_str().split_once('/').map_or("", |(group, _)| group);
    let kind = Kind::parse(autoscaler.target_kind.as_str()).filter(|kind| kind.group() == group);
    let Some(kind) = kind else {
        return Err(format!("no matches for kind \"{}\" in group \"{group}\"", autoscaler.target_kind));
    };
    let (namespace, name) = (autoscaler.meta.namespace, autoscaler.target_name.as_str());
    let scale = |id: u32, [replicas, status_replicas]: [i32; 2], selector: &Arc<Selector>| Scale {
        target: ObjectRef { kind, id },
        replicas,
        status_replicas,
        selector: selector.clone(),
    };
    let found = match kind {
        Kind::Deployment => {
            let found = caches.deployments.named(namespace, name);
            found.map(|d| scale(d.meta.id, [d.replicas, d.status.replicas], &d.selector))
        }
        Kind::ReplicaSet => {
            let found = caches.replica_sets.named(namespace, name);
            found.map(|s| scale(s.meta.id, [s.replicas, s.status.replicas], &s.selector))
        }
        Kind::StatefulSet => {
            let found = caches.stateful_sets.named(namespace, name);
            found.map(|s| scale(s.meta.id, [s.replicas, s.status.replicas], &s.selector))
        }
        _ => return Err("the server could not find the requested resource".to_string()),
    };
    found.ok_or_else(|| ApiError::not_found(kind, name).message)
}
