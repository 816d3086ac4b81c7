//! Whether an ended container is started again.

use seatrial_api::container::{Container, RestartPolicy};
use seatrial_api::pod::PodSpec;

use crate::rows::Instance;

/// The policy of a container: its own, or the pod's.
pub(crate) fn restart_policy(spec: &PodSpec, container: &Container) -> RestartPolicy {
    container.restart_policy.unwrap_or(spec.restart_policy)
}

/// Whether a container that ended with this code is started again.
pub(crate) fn restarts_after(policy: RestartPolicy, exit_code: i32) -> bool {
    match policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => exit_code != 0,
        RestartPolicy::Never => false,
    }
}

/// Whether a container that does not run is to be started (upstream
/// `ShouldContainerBeRestarted`).
pub(crate) fn is_to_start(spec: &PodSpec, container: &Container, instance: &Instance, leaving: bool) -> bool {
    if leaving || instance.seems_running() {
        return false;
    }
    !instance.has_ended() || restarts_after(restart_policy(spec, container), instance.exit_code)
}
