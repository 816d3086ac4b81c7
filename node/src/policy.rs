//! Whether an ended container is started again.

use seatrial_api::container::{Container, RestartPolicy, RuleAction};
use seatrial_api::pod::PodSpec;

use crate::rows::{Instance, InstanceState};

/// The policy of a container: its own, or the pod's.
pub(crate) fn restart_policy(spec: &PodSpec, container: &Container) -> RestartPolicy {
    container.restart_policy.unwrap_or(spec.restart_policy)
}

/// What the first rule that matches the exit code of a container does.
pub(crate) fn matching_rule(container: &Container, exit_code: i32) -> Option<RuleAction> {
    let rule = container.restart_rules.iter().find(|rule| rule.values.contains(&exit_code) != rule.not_in);
    rule.map(|rule| rule.action)
}

/// Whether a container that ended with this code is started again, by its rules and policies.
pub(crate) fn restarts(spec: &PodSpec, container: &Container, exit_code: i32) -> bool {
    let by_rule = !container.restart_rules.is_empty() && matching_rule(container, exit_code).is_some();
    by_rule || restarts_after(restart_policy(spec, container), exit_code)
}

/// Whether a policy has a container started again that ended with this code.
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
    !instance.has_ended()
        || instance.state == InstanceState::Removed
        || restarts(spec, container, instance.exit_code)
}
