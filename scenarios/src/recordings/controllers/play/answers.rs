//! Answers as recordings hold them.

use seatrial_api::object::Kind;
use seatrial_api::request::{ApiError, ErrorReason, Reply};
use serde_json::{Value, json};

/// The part of an eviction's refusal that is its message; what follows is its cause.
const BUDGET: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
/// An eviction's refusal that has no reason.
const SEVERAL_BUDGETS: &str = "This pod has more than one PodDisruptionBudget";

/// The answer with which a request succeeds.
pub(super) fn success(code: u16) -> Value {
    json!({"code": code})
}

/// The answer to a request that succeeds with `code`.
pub(super) fn answer(reply: &Reply, code: u16) -> Value {
    match reply {
        Ok(_) => success(code),
        Err(error) => refusal(error),
    }
}

/// The answer to an eviction.
pub(super) fn eviction(reply: &Reply) -> Value {
    match reply {
        Ok(_) => json!({"code": 201, "status": {}}),
        Err(error) => refusal(error),
    }
}

/// The answer to a deletion: the object, or if it is gone and its kind answers so, who it was.
pub(super) fn deletion(reply: &Reply, is_gone: bool) -> Value {
    match reply {
        Ok(object) if is_gone && !answers_with_object(object.kind()) => {
            let (kind, meta) = (object.kind(), object.meta());
            let mut details =
                json!({"name": meta.name.as_str(), "kind": kind.plural(), "uid": meta.uid.to_string()});
            if !kind.group().is_empty() {
                details["group"] = json!(kind.group());
            }
            json!({"code": 200, "status": {"details": details}})
        }
        Ok(_) => success(200),
        Err(error) => refusal(error),
    }
}

/// Kinds of which a deletion answers with the object that was deleted.
fn answers_with_object(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Pod
            | Kind::Service
            | Kind::Namespace
            | Kind::PersistentVolume
            | Kind::PersistentVolumeClaim
            | Kind::ServiceAccount
            | Kind::StorageClass
            | Kind::CsiNode
    )
}

/// A refusal.
pub(super) fn refusal(error: &ApiError) -> Value {
    let mut status = json!({"status": "Failure", "message": error.message.as_str()});
    if !error.message.starts_with(SEVERAL_BUDGETS) {
        status["reason"] = json!(format!("{:?}", error.reason));
    }
    if error.reason == ErrorReason::TooManyRequests
        && let Some(cause) = error.message.strip_prefix(BUDGET)
    {
        status["message"] = json!(BUDGET);
        status["details"] =
            json!({"causes": [{"reason": "DisruptionBudget", "message": cause.trim_start()}]});
    }
    json!({"code": error.reason.code(), "status": status})
}

/// That an object is not there.
pub(super) fn not_found(kind: Kind, name: &str) -> Value {
    refusal(&ApiError::not_found(kind, name))
}
