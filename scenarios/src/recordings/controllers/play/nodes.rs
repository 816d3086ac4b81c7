//! Nodes: they come, fall silent and return.

use std::sync::Arc;

use seatrial_api::document::Node as Document;
use seatrial_api::machine::Heartbeat;
use seatrial_api::node::{Node, NodeConditionType, NodeConditions, TAINT_NOT_READY};
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::ConditionStatus;
use seatrial_api::request::{ApiError, ErrorReason, Patch, Reply, Request};
use seatrial_api::scheduling::{Taint, TaintEffect};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;

use serde_json::{Value, json};

use super::{Play, What, objects};
use crate::recordings::json;

/// What a healthy kubelet says of its node.
const HEALTHY: [(NodeConditionType, ConditionStatus, &str, &str); 4] = [
    (
        NodeConditionType::MemoryPressure,
        ConditionStatus::False,
        "KubeletHasSufficientMemory",
        "kubelet has sufficient memory available",
    ),
    (
        NodeConditionType::DiskPressure,
        ConditionStatus::False,
        "KubeletHasNoDiskPressure",
        "kubelet has no disk pressure",
    ),
    (
        NodeConditionType::PidPressure,
        ConditionStatus::False,
        "KubeletHasSufficientPID",
        "kubelet has sufficient PID available",
    ),
    (NodeConditionType::Ready, ConditionStatus::True, "KubeletReady", "kubelet is posting ready status"),
];

fn healthy(conditions: &mut NodeConditions, now: SimTime) {
    for (kind, status, reason, message) in HEALTHY {
        conditions.set(kind, status, Symbol::new(reason), Symbol::new(message), now);
    }
}

/// A node's manifest where the scenario has none to take after.
const PLAIN: &str = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1","labels":{}},"spec":{},"status":{
"capacity":{"cpu":"8","ephemeral-storage":"100Gi","memory":"32Gi","pods":"110"},
"allocatable":{"cpu":"8","ephemeral-storage":"100Gi","memory":"32Gi","pods":"110"},"conditions":[]}}"#;

impl Play<'_> {
    /// Creates a node and starts its heartbeats. One that `registers` now is new to the controllers:
    /// admission taints it.
    pub(super) fn create_node(&mut self, manifest: &Document, registers: bool) -> Reply {
        let Object::Node(node) = self.manifests.decode_state(manifest)? else {
            return Err(ApiError::new(ErrorReason::BadRequest, "the object is no Node"));
        };
        let mut node = Node::clone(&node);
        let stated = node.conditions;
        healthy(&mut node.conditions, self.now);
        for kind in NodeConditionType::ALL {
            let condition = stated.get(kind);
            if condition.status != ConditionStatus::Absent && !condition.message.is_empty() {
                node.conditions.put(kind, condition);
            } else if condition.status != ConditionStatus::Absent {
                let message = node.conditions.get(kind).message;
                node.conditions.set(kind, condition.status, condition.reason, message, self.now);
            }
        }
        if registers {
            let taint = Taint {
                key: Symbol::new(TAINT_NOT_READY),
                value: Symbol::empty(),
                effect: TaintEffect::NoSchedule,
            };
            let taints = node.taints().iter().filter(|other| other.key != taint.key).cloned();
            node.taints = Some(taints.chain([taint.clone()]).collect());
        }
        let reply = self.serve(Request::Create(Object::Node(Arc::new(node))))?;
        self.heartbeat(reply.meta().id, Heartbeat::Regular);
        Ok(reply)
    }

    /// A node like the first one of the scenario, with what the action says.
    pub(super) fn add_node(&mut self, given: &Document) -> Reply {
        let given = json::plain(given);
        let mut manifest = match self.scenario.nodes.first() {
            Some(node) => json::plain(node),
            None => serde_json::from_str(PLAIN).unwrap_or_default(),
        };
        let name = given["name"].as_str().unwrap_or("node");
        manifest["metadata"]["name"] = json!(name);
        let labels = &mut manifest["metadata"]["labels"];
        labels["kubernetes.io/hostname"] = json!(name);
        if let Some(zone) = given["zone"].as_str() {
            labels["topology.kubernetes.io/zone"] = json!(zone);
        }
        for (key, value) in given["labels"].as_object().into_iter().flatten() {
            labels[key] = value.clone();
        }
        manifest["spec"] = json!({});
        if given["taints"].is_array() {
            manifest["spec"]["taints"] = given["taints"].clone();
        }
        for resource in ["cpu", "memory", "pods", "ephemeral-storage"] {
            let amount = match &given[resource] {
                Value::Null => continue,
                Value::String(text) => json!(text),
                value => json!(value.to_string()),
            };
            for part in ["capacity", "allocatable"] {
                manifest["status"][part][resource] = amount.clone();
            }
        }
        self.create_node(&objects::document(&manifest), true)
    }

    /// A node renews its lease a last time and falls silent.
    pub(super) fn stop_node(&mut self, name: &str) {
        self.kubelet.silent.insert(Symbol::new(name));
        if let Some(node) = self.named(Kind::Node, Symbol::empty(), name) {
            self.heartbeat(node.id, Heartbeat::Ceased { last: self.now });
        }
    }

    /// A node is back: its lease is renewed, it says that it is well, and what waited goes on.
    pub(super) fn start_node(&mut self, name: &str) {
        let released = self.kubelet.release(Symbol::new(name));
        let Some(target) = self.named(Kind::Node, Symbol::empty(), name) else { return };
        self.heartbeat(target.id, Heartbeat::Regular);
        if let Some(node) = self.server.typed::<Node>(target.id) {
            let mut conditions = node.conditions;
            healthy(&mut conditions, self.now);
            self.send(Request::Patch { target, patch: Patch::NodeConditions(Box::new(conditions)) });
        }
        for timer in released {
            self.queue.push(self.now, What::Kubelet(timer));
        }
    }
}
