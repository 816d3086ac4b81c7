//! The interesting fields of an object, by kind.

mod batch;
mod cluster;
mod network;
mod pods;
mod policy;
mod storage;
mod workloads;

use std::collections::BTreeSet;

use seatrial_api::calendar::Calendar;
use seatrial_api::meta::{ObjectMeta, OwnerRef};
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::{ConditionStatus, PodSpec};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::workload::Condition;
use serde_json::{Map, Value, json};

use super::aliases::Aliases;

pub(super) use cluster::taint;

/// What fields are written with.
pub(super) struct Around<'a> {
    pub(super) aliases: &'a Aliases,
    /// From when times count.
    pub(super) start: SimTime,
    /// The dates of instants.
    pub(super) calendar: Calendar,
    /// The taints that the node had when it was created.
    pub(super) given_taints: &'a [String],
    /// Addresses and ports that the scenario itself names.
    pub(super) named: &'a BTreeSet<String>,
}

/// The fields of an object as they are put together. Blank ones are left out.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Puts a field; `null`, empty lists and empty maps count as absent.
    fn put(&mut self, field: &str, value: Value) {
        let is_blank = match &value {
            Value::Null => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if !is_blank {
            self.0.insert(field.to_owned(), value);
        }
    }

    /// Puts a counter that is absent when it is zero.
    fn counter(&mut self, field: &str, count: i32) {
        if count != 0 {
            self.put(field, json!(count));
        }
    }

    /// Puts a text that is absent when it is empty.
    fn text(&mut self, field: &str, text: &str) {
        if !text.is_empty() {
            self.put(field, json!(text));
        }
    }

    /// Puts an annotation under a name of its own.
    fn annotation(&mut self, field: &str, meta: &ObjectMeta, key: &str) {
        if let Some(value) = meta.annotations.get(Symbol::new(key)) {
            self.put(field, json!(value.as_str()));
        }
    }

    fn observed(&mut self, generation: i64) {
        if generation != 0 {
            self.put("observedGeneration", json!(generation));
        }
    }

    fn conditions(&mut self, conditions: &[Condition]) {
        let rows = conditions.iter().map(|condition| {
            let row = row(condition.status, condition.reason.as_str(), &condition.message);
            (condition.kind.to_string(), row)
        });
        self.put("conditions", Value::Object(rows.collect()));
    }

    fn images(&mut self, spec: &PodSpec) {
        let images = spec.containers.iter().map(|container| json!(container.image.as_str()));
        self.put("images", images.collect());
    }

    /// Puts a time in seconds since the start of the recording.
    fn time(&mut self, field: &str, time: Option<SimTime>, around: &Around<'_>) {
        if let Some(time) = time {
            self.put(field, json!(tenths(time - around.start)));
        }
    }
}

/// The interesting fields of an object.
pub(super) fn state(object: &Object, around: &Around<'_>) -> Map<String, Value> {
    let mut fields = Fields(Map::new());
    put_meta(&mut fields, object.kind(), object.meta(), around);
    match object {
        Object::Pod(pod) => pods::pod(&mut fields, pod, around),
        Object::Node(node) => cluster::node(&mut fields, node, around),
        Object::Namespace(namespace) => cluster::namespace(&mut fields, namespace),
        Object::Service(service) => network::service(&mut fields, service, around),
        Object::EndpointSlice(slice) => network::endpoint_slice(&mut fields, slice, around),
        Object::Endpoints(endpoints) => network::endpoints(&mut fields, endpoints, around),
        Object::ReplicaSet(set) => workloads::replica_set(&mut fields, set),
        Object::ReplicationController(set) => workloads::replication_controller(&mut fields, set),
        Object::Deployment(deployment) => workloads::deployment(&mut fields, deployment),
        Object::StatefulSet(set) => workloads::stateful_set(&mut fields, set),
        Object::DaemonSet(set) => workloads::daemon_set(&mut fields, set),
        Object::ControllerRevision(revision) => fields.put("revision", json!(revision.revision)),
        Object::Job(job) => batch::job(&mut fields, job, around),
        Object::CronJob(cron_job) => batch::cron_job(&mut fields, cron_job, around),
        Object::ResourceQuota(quota) => policy::quota(&mut fields, quota),
        Object::PodDisruptionBudget(budget) => policy::budget(&mut fields, budget, around),
        Object::HorizontalPodAutoscaler(autoscaler) => policy::autoscaler(&mut fields, autoscaler, around),
        Object::PersistentVolumeClaim(claim) => storage::claim(&mut fields, claim),
        Object::PersistentVolume(volume) => storage::volume(&mut fields, volume),
        _ => {}
    }
    fields.0
}

/// Kinds that are traced with their generation.
const WITH_GENERATION: [Kind; 7] = [
    Kind::Deployment,
    Kind::ReplicaSet,
    Kind::ReplicationController,
    Kind::StatefulSet,
    Kind::DaemonSet,
    Kind::Job,
    Kind::PodDisruptionBudget,
];

fn put_meta(fields: &mut Fields, kind: Kind, meta: &ObjectMeta, around: &Around<'_>) {
    let owner = |owner: &OwnerRef| {
        let alias = around.aliases.of_uid(owner.uid).map(str::to_owned);
        json!(alias.unwrap_or_else(|| format!("{}/{}", owner.kind, owner.name)))
    };
    fields.put("owner", meta.owner_refs().iter().map(owner).collect());
    fields.put("finalizers", meta.finalizers().iter().map(|finalizer| json!(finalizer.as_str())).collect());
    if let Some(deletion) = meta.deletion() {
        fields.put("deleting", json!(true));
        if kind == Kind::Pod {
            fields.put("grace", json!(deletion.grace_seconds));
        }
    }
    if WITH_GENERATION.contains(&kind) {
        fields.put("generation", json!(meta.generation));
    }
}

/// A condition: status, reason and message, null where there is none.
fn row(status: ConditionStatus, reason: &str, message: &str) -> Value {
    let text = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
    json!([status_word(status), text(reason), text(message)])
}

fn status_word(status: ConditionStatus) -> &'static str {
    match status {
        ConditionStatus::True => "True",
        ConditionStatus::False => "False",
        ConditionStatus::Unknown | ConditionStatus::Absent => "Unknown",
    }
}

/// A time in tenths of a second.
fn tenths(span: Span) -> f64 {
    (span.as_secs_f64() * 10.0).round() / 10.0
}
