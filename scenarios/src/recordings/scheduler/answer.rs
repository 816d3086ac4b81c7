//! Decisions in the schema of the recordings: the keys of `expected`, absent where there is nothing
//! to say.

use seatrial_api::symbol::Symbol;
use seatrial_scheduler::cases::{Attempt, CaseDecision, CaseOutcome, PreemptionFound, Rejection, ScoreTable};
use seatrial_scheduler::framework::Code;
use serde_json::{Map, Value, json};

/// A decision; node by node if it is to be detailed.
pub(super) fn decision(decision: &CaseDecision, detailed: bool) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    put("pod", json!(decision.pod));
    let outcome = match &decision.outcome {
        CaseOutcome::Bound(node) => {
            put("node", json!(node.as_str()));
            "bound"
        }
        CaseOutcome::Unschedulable => "unschedulable",
        CaseOutcome::Gated(message) => {
            put("message", json!(message));
            "gated"
        }
    };
    put("outcome", json!(outcome));
    if !decision.attempts.is_empty() {
        put("attempts", decision.attempts.iter().map(|one| attempt(one, detailed)).collect());
    }
    Value::Object(out)
}

fn attempt(attempt: &Attempt, detailed: bool) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(key.to_owned(), value);
        }
    };
    let named = |nodes: &[Symbol]| (!nodes.is_empty()).then(|| names(nodes));
    put("nominatedNode", attempt.nominated_node.map(|node| json!(node.as_str())));
    put("feasibleCount", Some(json!(attempt.feasible.len())));
    if detailed {
        put("feasible", named(&attempt.feasible));
        let each = attempt.rejected.iter().map(|(node, why)| (node.as_str().to_owned(), rejection(why)));
        put("rejected", (!attempt.rejected.is_empty()).then(|| Value::Object(each.collect())));
        put("absentRejected", attempt.absent.as_ref().map(rejection));
        put("scores", attempt.scores.as_ref().map(scores));
    }
    put("unschedulablePlugins", (!attempt.rejectors.is_empty()).then(|| json!(attempt.rejectors)));
    put("preFilterMsg", attempt.pre_filter_message.as_ref().map(|text| json!(text)));
    put("topScore", attempt.scores.as_ref().map(|scores| json!(scores.top_score())));
    put("top", named(&attempt.top));
    put("chosen", attempt.top.first().map(|node| json!(node.as_str())));
    put("fitError", attempt.fit_error.as_ref().map(|text| json!(text)));
    put("postFilterCode", attempt.post_filter.map(|code| json!(code)));
    put("preemption", attempt.preemption.as_ref().map(|found| preemption(found, detailed)));
    Value::Object(out)
}

fn names(nodes: &[Symbol]) -> Value {
    nodes.iter().map(|node| json!(node.as_str())).collect()
}

fn rejection(rejection: &Rejection) -> Value {
    let code = match rejection.code {
        Code::Unschedulable => "Unschedulable",
        Code::Unresolvable => "UnschedulableAndUnresolvable",
    };
    json!({"plugin": rejection.plugin, "code": code, "reasons": rejection.reasons})
}

/// Each node's row, with its sum at the end.
fn scores(scores: &ScoreTable) -> Value {
    let row = |(node, cells): (&Symbol, &Vec<i64>)| {
        let sum = cells.iter().sum::<i64>();
        (node.as_str().to_owned(), cells.iter().chain([&sum]).map(|cell| json!(cell)).collect())
    };
    let nodes: Map<String, Value> = scores.nodes.iter().map(row).collect();
    json!({"plugins": scores.plugins, "nodes": nodes})
}

fn preemption(found: &PreemptionFound, detailed: bool) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    put("candidateCount", json!(found.candidates.len()));
    if detailed {
        let each = found.candidates.iter().map(|(node, (victims, violations))| {
            (node.as_str().to_owned(), json!({"victims": victims, "pdbViolations": violations}))
        });
        put("candidates", Value::Object(each.collect()));
    }
    put("best", names(&found.best));
    put("node", json!(found.node.as_str()));
    put("victims", json!(found.victims));
    Value::Object(out)
}
