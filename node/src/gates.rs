//! Readiness gates: conditions of other owners that a pod needs to be ready (upstream
//! `status/generate.go`).

use compact_str::{CompactString, format_compact};
use seatrial_api::pod::{ConditionStatus, Pod};
use seatrial_api::status_detail::OtherCondition;

/// The gates' conditions that the API server has.
fn conditions(pod: &Pod) -> &[OtherCondition] {
    pod.status.text.as_ref().map_or(&[], |text| &text.gates)
}

/// Whether all gates are open.
pub(crate) fn are_open(pod: &Pod) -> bool {
    pod.spec.readiness_gates.iter().all(|gate| {
        conditions(pod).iter().any(|one| one.kind == *gate && one.status == ConditionStatus::True)
    })
}

/// Whether a version of a pod has other gates' conditions than the one before.
pub(crate) fn differ(before: &Pod, after: &Pod) -> bool {
    !after.spec.readiness_gates.is_empty() && conditions(before) != conditions(after)
}

/// What holds the pod back.
pub(crate) fn message(pod: &Pod) -> CompactString {
    let closed = pod.spec.readiness_gates.iter().filter_map(|gate| {
        let status = conditions(pod).iter().find(|one| one.kind == *gate).map(|one| one.status);
        let status = match status {
            Some(ConditionStatus::True) => return None,
            Some(ConditionStatus::False) => "False",
            Some(ConditionStatus::Unknown) => "Unknown",
            Some(ConditionStatus::Absent) | None => {
                return Some(format!(
                    "corresponding condition of pod readiness gate \"{gate}\" does not exist."
                ));
            }
        };
        Some(format!("the status of pod readiness gate \"{gate}\" is not \"True\", but {status}"))
    });
    let closed: Vec<String> = closed.collect();
    match &closed[..] {
        [only] => only.into(),
        many => format_compact!("[{}]", many.join(", ")),
    }
}
