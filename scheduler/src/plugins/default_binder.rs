//! DefaultBinder: binds by the pod's binding subresource.

use seatrial_api::pod::Pod;

use crate::cluster::Content;
use crate::framework::{Plugin, Points, Scope};

/// The plugin. The request itself is the scheduler's effect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DefaultBinder;

impl Plugin for DefaultBinder {
    fn name(&self) -> &'static str {
        "DefaultBinder"
    }

    fn points(&self) -> Points {
        Points { bind: true, ..Points::default() }
    }

    fn scope(&self) -> Scope {
        Scope::Node
    }

    fn reads(&self, pod: &Pod, content: &mut Content) {
        let _ = (pod, content);
    }
}
