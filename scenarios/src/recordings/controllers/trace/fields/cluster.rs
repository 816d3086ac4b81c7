//! Nodes and namespaces.

use seatrial_api::config::Namespace;
use seatrial_api::node::{Node, NodeConditionType};
use seatrial_api::pod::ConditionStatus;
use seatrial_api::scheduling::{Taint, TaintEffect};
use serde_json::{Map, Value, json};

use super::{Around, Fields, row};

/// Taints with this domain are the node controller's, who notes when it added them.
const CONTROLLER_DOMAIN: &str = "node.kubernetes.io/";
/// The one of them that people add.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// A taint as text: key, value and effect.
pub(in super::super) fn taint(taint: &Taint) -> String {
    let value = taint.value.as_str();
    let value = if value.is_empty() { String::new() } else { format!("={value}") };
    let effect = match taint.effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    };
    format!("{}{value}:{effect}", taint.key)
}

pub(super) fn node(fields: &mut Fields, node: &Node, around: &Around<'_>) {
    let text = |one: &Taint| {
        let text = taint(one);
        let key = one.key.as_str();
        let dated = key.starts_with(CONTROLLER_DOMAIN)
            && key != OUT_OF_SERVICE
            && !around.given_taints.contains(&text);
        if dated { format!("{text}+timeAdded") } else { text }
    };
    let mut taints: Vec<String> = node.taints().iter().map(text).collect();
    taints.sort();
    fields.put("taints", taints.into_iter().map(Value::from).collect());
    if node.unschedulable {
        fields.put("unschedulable", json!(true));
    }
    let mut conditions = Map::new();
    for kind in NodeConditionType::ALL {
        let condition = node.conditions.get(kind);
        if condition.status != ConditionStatus::Absent {
            let row = row(condition.status, condition.reason.as_str(), condition.message.as_str());
            conditions.insert(kind.as_str().to_owned(), row);
        }
    }
    fields.put("conditions", Value::Object(conditions));
}

pub(super) fn namespace(fields: &mut Fields, namespace: &Namespace) {
    fields.put("phase", json!(if namespace.terminating { "Terminating" } else { "Active" }));
    fields.conditions(&namespace.conditions);
}
