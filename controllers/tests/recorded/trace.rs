//! Writes what happens in the recordings' own schema: objects by alias, changes of interesting
//! fields, Events.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use seatrial_api::machine::{Decision, Severity};
use seatrial_api::meta::{ObjectMeta, OwnerRef, Uid};
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pod::{ConditionStatus, PodConditionType, PodSpec};
use seatrial_api::request::{Change, WatchEvent};
use seatrial_api::units::SimTime;
use seatrial_api::workload::{Condition, StatefulSetUpdateStrategy};
use serde_json::{Map, Value, json};

/// The trace of a run, and what is needed to write it.
#[derive(Default)]
pub struct Trace {
    entries: Vec<Value>,
    start: SimTime,
    aliases: BTreeMap<ObjectRef, String>,
    by_uid: BTreeMap<Uid, String>,
    /// Generated names with their aliases, for messages.
    names: BTreeMap<String, String>,
    counters: BTreeMap<String, u32>,
    states: BTreeMap<String, Map<String, Value>>,
    muted: bool,
}

fn prefix(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Pod => "pod",
        Kind::ReplicaSet => "rs",
        Kind::Deployment => "deploy",
        Kind::StatefulSet => "sts",
        Kind::DaemonSet => "ds",
        Kind::Job => "job",
        Kind::ControllerRevision => "crev",
        Kind::PersistentVolumeClaim => "pvc",
        Kind::Node => "node",
        _ => return None,
    })
}

impl Trace {
    pub fn new(start: SimTime) -> Trace {
        Trace { start, muted: true, ..Trace::default() }
    }

    /// From now on changes are written; before, they only get their aliases.
    pub fn begin(&mut self) {
        self.muted = false;
    }

    /// The newest object with an alias.
    pub fn find(&self, alias: &str) -> Option<ObjectRef> {
        self.aliases.iter().find(|entry| entry.1 == alias).map(|entry| *entry.0)
    }

    fn t(&self, now: SimTime) -> f64 {
        ((now - self.start).as_secs_f64() * 100.0).round() / 100.0
    }

    fn count(&mut self, key: &str) -> u32 {
        let counter = self.counters.entry(key.into()).or_default();
        *counter += 1;
        *counter
    }

    fn name(&mut self, object: &Object) -> Option<String> {
        let (kind, meta) = (object.kind(), object.meta());
        let prefix = prefix(kind)?;
        let owner = meta.controller().and_then(|owner| self.by_uid.get(&owner.uid)).cloned();
        let base = owner.as_deref().and_then(|owner| owner.split_once(':'));
        let alias = match (object, base) {
            (Object::ReplicaSet(_), Some(("deploy", owner))) => {
                let number = self.count(&format!("rs:{owner}"));
                format!("rs:{owner}@{number}")
            }
            (Object::ControllerRevision(_), Some((_, owner))) => {
                let number = self.count(&format!("crev:{owner}"));
                format!("crev:{owner}@{number}")
            }
            (Object::Pod(_), Some(("rs", owner))) => {
                let number = self.count(&format!("pod:{owner}"));
                format!("pod:{owner}#{number}")
            }
            (Object::Pod(pod), Some(("job", owner))) => {
                let index = pod.meta.annotations.get("batch.kubernetes.io/job-completion-index".into());
                let base = index.map_or(format!("pod:{owner}"), |index| format!("pod:{owner}[{index}]"));
                let number = self.count(&base);
                format!("{base}#{number}")
            }
            (Object::Pod(pod), Some(("ds", owner))) => {
                let node = pod.target_node.or(pod.node).unwrap_or_default();
                self.repeated(format!("pod:{owner}@{node}"))
            }
            _ => return Some(self.repeated(format!("{prefix}:{}", meta.name))),
        };
        self.names.insert(meta.name.to_string(), alias.clone());
        Some(alias)
    }

    fn repeated(&mut self, base: String) -> String {
        match self.count(&base) {
            1 => base,
            number => format!("{base}~{number}"),
        }
    }

    /// The entries, generated names in texts replaced by aliases. Of several objects of a name the
    /// last counts, as in the recordings.
    pub fn finish(self) -> Vec<Value> {
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort_by_key(|entry| Reverse(entry.0.len()));
        let alias = |text: &mut Value| {
            let Value::String(text) = text else { return };
            for (name, alias) in &names {
                if text.contains(name.as_str()) {
                    *text = text.replace(name.as_str(), &format!("{{{alias}}}"));
                }
            }
        };
        let mut entries = self.entries;
        for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
            entry.get_mut("message").map(&alias);
            let Some(fields) = entry.get_mut("set").and_then(Value::as_object_mut) else { continue };
            for revision in ["currentRevision", "updateRevision"] {
                fields.get_mut(revision).map(&alias);
            }
            let conditions = fields.get_mut("conditions").and_then(Value::as_object_mut);
            let rows = conditions.into_iter().flat_map(Map::values_mut).filter_map(Value::as_array_mut);
            rows.filter_map(|row| row.get_mut(2)).for_each(&alias);
        }
        entries
    }

    /// Takes in a change.
    pub fn change(&mut self, now: SimTime, event: &WatchEvent) {
        let target = event.object.object_ref();
        if event.change == Change::Added
            && !self.aliases.contains_key(&target)
            && let Some(alias) = self.name(&event.object)
        {
            self.by_uid.insert(event.object.meta().uid, alias.clone());
            self.aliases.insert(target, alias);
        }
        let Some(alias) = self.aliases.get(&target).cloned() else { return };
        if event.change == Change::Deleted {
            self.states.remove(&alias);
            self.push(now, json!({"v": "deleted", "o": alias}));
            return;
        }
        let state = self.state(&event.object);
        let old = self.states.insert(alias.clone(), state.clone());
        let mut set = Map::new();
        for (field, value) in &state {
            if old.as_ref().and_then(|old| old.get(field)) != Some(value) {
                set.insert(field.clone(), value.clone());
            }
        }
        for field in old.iter().flat_map(Map::keys).filter(|field| !state.contains_key(*field)) {
            set.insert(field.clone(), Value::Null);
        }
        match old {
            None => self.push(now, json!({"v": "added", "o": alias, "set": set})),
            Some(_) if set.is_empty() => {}
            Some(_) => self.push(now, json!({"v": "modified", "o": alias, "set": set})),
        }
    }

    fn push(&mut self, now: SimTime, mut entry: Value) {
        if !self.muted {
            entry["t"] = json!(self.t(now));
            self.entries.push(entry);
        }
    }

    pub fn decision(&mut self, now: SimTime, decision: &Decision) {
        let Some(alias) = self.aliases.get(&decision.object).cloned() else { return };
        let kind = if decision.severity == Severity::Normal { "Normal" } else { "Warning" };
        let message = &decision.message;
        self.push(
            now,
            json!({"v": "event", "o": alias, "type": kind, "reason": decision.reason, "message": message}),
        );
    }

    fn state(&self, object: &Object) -> Map<String, Value> {
        let mut state = Map::new();
        self.put_meta(&mut state, object.kind(), object.meta());
        let mut put = |field: &str, value: Value| {
            state.insert(field.into(), value);
        };
        let annotation =
            |meta: &ObjectMeta, key: &str| meta.annotations.get(key.into()).map(|v| v.to_string());
        match object {
            Object::Pod(pod) => {
                put("phase", json!(pod.status.phase.as_str()));
                if let Some(cost) = annotation(&pod.meta, "controller.kubernetes.io/pod-deletion-cost") {
                    put("pod-deletion-cost", json!(cost));
                }
                let mut conditions = Map::new();
                for kind in [
                    PodConditionType::Ready,
                    PodConditionType::PodScheduled,
                    PodConditionType::DisruptionTarget,
                ] {
                    let condition = pod.status.conditions.get(kind);
                    if condition.status != ConditionStatus::Absent {
                        let reason = Some(condition.reason.as_str()).filter(|reason| !reason.is_empty());
                        conditions
                            .insert(kind.as_str().into(), json!([status(condition.status), reason, null]));
                    }
                }
                put("conditions", Value::Object(conditions));
            }
            Object::ReplicaSet(set) => {
                put("spec.replicas", json!(set.replicas));
                put("replicas", json!(set.status.replicas));
                put("images", images(&set.template.spec));
                for (field, count) in [
                    ("readyReplicas", set.status.ready_replicas),
                    ("availableReplicas", set.status.available_replicas),
                    ("fullyLabeledReplicas", set.status.fully_labeled_replicas),
                ] {
                    counter(&mut put, field, count);
                }
                if let Some(count) = set.status.terminating_replicas {
                    put("terminatingReplicas", json!(count));
                }
                for field in ["desired-replicas", "max-replicas", "revision", "revision-history"] {
                    if let Some(value) = annotation(&set.meta, &format!("deployment.kubernetes.io/{field}")) {
                        put(field, json!(value));
                    }
                }
                observed(&mut put, set.status.observed_generation);
                put("conditions", conditions(&set.status.conditions));
            }
            Object::Deployment(deployment) => {
                let status = &deployment.status;
                put("spec.replicas", json!(deployment.replicas));
                put("images", images(&deployment.template.spec));
                for (field, count) in [
                    ("replicas", status.replicas),
                    ("updatedReplicas", status.updated_replicas),
                    ("readyReplicas", status.ready_replicas),
                    ("availableReplicas", status.available_replicas),
                    ("unavailableReplicas", status.unavailable_replicas),
                ] {
                    counter(&mut put, field, count);
                }
                if let Some(count) = status.terminating_replicas {
                    put("terminatingReplicas", json!(count));
                }
                if deployment.paused {
                    put("paused", json!(true));
                }
                if let Some(value) = annotation(&deployment.meta, "deployment.kubernetes.io/revision") {
                    put("revision", json!(value));
                }
                observed(&mut put, status.observed_generation);
                put("conditions", conditions(&status.conditions));
            }
            Object::StatefulSet(set) => {
                let status = &set.status;
                put("spec.replicas", json!(set.replicas));
                put("images", images(&set.template.spec));
                put("replicas", json!(status.replicas));
                put("availableReplicas", json!(status.available_replicas));
                for (field, count) in [
                    ("readyReplicas", status.ready_replicas),
                    ("currentReplicas", status.current_replicas),
                    ("updatedReplicas", status.updated_replicas),
                ] {
                    counter(&mut put, field, count);
                }
                for (field, revision) in
                    [("currentRevision", status.current_revision), ("updateRevision", status.update_revision)]
                {
                    if !revision.is_empty() {
                        put(field, json!(revision.as_str()));
                    }
                }
                if let Some(count) = status.collision_count {
                    put("collisionCount", json!(count));
                }
                let strategy = match set.update_strategy {
                    StatefulSetUpdateStrategy::OnDelete => json!({"type": "OnDelete"}),
                    StatefulSetUpdateStrategy::RollingUpdate { partition: None } => {
                        json!({"type": "RollingUpdate"})
                    }
                    StatefulSetUpdateStrategy::RollingUpdate { partition: Some(partition) } => {
                        json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}})
                    }
                };
                put("updateStrategy", strategy);
                observed(&mut put, status.observed_generation);
                put("conditions", conditions(&status.conditions));
            }
            Object::DaemonSet(set) => {
                let status = &set.status;
                put("images", images(&set.template.spec));
                for (field, count) in [
                    ("currentNumberScheduled", status.current_number_scheduled),
                    ("desiredNumberScheduled", status.desired_number_scheduled),
                    ("numberMisscheduled", status.number_misscheduled),
                    ("numberReady", status.number_ready),
                ] {
                    put(field, json!(count));
                }
                for (field, count) in [
                    ("numberAvailable", status.number_available),
                    ("numberUnavailable", status.number_unavailable),
                    ("updatedNumberScheduled", status.updated_number_scheduled),
                ] {
                    counter(&mut put, field, count);
                }
                observed(&mut put, status.observed_generation);
            }
            Object::Job(job) => {
                let status = &job.status;
                put("spec.parallelism", json!(job.parallelism));
                if let Some(completions) = job.completions {
                    put("spec.completions", json!(completions));
                }
                put("spec.suspend", json!(job.suspend));
                put("spec.backoffLimit", json!(job.backoff_limit));
                put("spec.completionMode", json!(format!("{:?}", job.completion_mode)));
                for (field, count) in
                    [("active", status.active), ("succeeded", status.succeeded), ("failed", status.failed)]
                {
                    counter(&mut put, field, count);
                }
                if status.start_time.is_some() || !status.conditions.is_empty() {
                    put("ready", json!(status.ready));
                    put("terminating", json!(status.terminating));
                }
                if !status.completed_indexes.is_empty() {
                    put("completedIndexes", json!(status.completed_indexes.as_str()));
                }
                if let Some(failed) = &status.failed_indexes {
                    put("failedIndexes", json!(failed.as_str()));
                }
                let mut uncounted = Map::new();
                for (field, uids) in
                    [("succeeded", &status.uncounted.succeeded), ("failed", &status.uncounted.failed)]
                {
                    if !uids.is_empty() {
                        uncounted.insert(field.into(), json!(uids.len()));
                    }
                }
                put("uncounted", Value::Object(uncounted));
                put("conditions", conditions(&status.conditions));
            }
            Object::ControllerRevision(revision) => put("revision", json!(revision.revision)),
            _ => {}
        }
        state.retain(|_, value| !matches!(value, Value::Object(map) if map.is_empty()));
        state
    }

    fn put_meta(&self, state: &mut Map<String, Value>, kind: Kind, meta: &ObjectMeta) {
        let owner = |owner: &OwnerRef| {
            let alias = self.by_uid.get(&owner.uid).cloned();
            alias.unwrap_or_else(|| owner.name.to_string())
        };
        let owners: Vec<String> = meta.owner_refs().iter().map(owner).collect();
        if !owners.is_empty() {
            state.insert("owner".into(), json!(owners));
        }
        if !meta.finalizers().is_empty() {
            let finalizers: Vec<&str> =
                meta.finalizers().iter().map(|finalizer| finalizer.as_str()).collect();
            state.insert("finalizers".into(), json!(finalizers));
        }
        if let Some(deletion) = meta.deletion() {
            state.insert("deleting".into(), json!(true));
            if kind == Kind::Pod {
                state.insert("grace".into(), json!(deletion.grace_seconds));
            }
        }
        let counted = matches!(
            kind,
            Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::Job
        );
        if counted {
            state.insert("generation".into(), json!(meta.generation));
        }
    }
}

fn conditions(conditions: &[Condition]) -> Value {
    let mut map = Map::new();
    for condition in conditions {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_string());
        let row =
            json!([status(condition.status), text(condition.reason.as_str()), text(&condition.message)]);
        map.insert(condition.kind.to_string(), row);
    }
    Value::Object(map)
}

fn counter(put: &mut impl FnMut(&str, Value), field: &str, count: i32) {
    if count != 0 {
        put(field, json!(count));
    }
}

fn observed(put: &mut impl FnMut(&str, Value), generation: i64) {
    if generation != 0 {
        put("observedGeneration", json!(generation));
    }
}

fn images(spec: &Arc<PodSpec>) -> Value {
    json!(spec.containers.iter().map(|container| container.image.to_string()).collect::<Vec<_>>())
}

fn status(status: ConditionStatus) -> &'static str {
    match status {
        ConditionStatus::True => "True",
        ConditionStatus::False => "False",
        ConditionStatus::Unknown | ConditionStatus::Absent => "Unknown",
    }
}
