//! People: the actions of the scenario, done by the requests that they make, one after another.

use std::collections::VecDeque;
use std::sync::Arc;

use seatrial_api::document::{Node as Document, Value as Placed};
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pod::Pod;
use seatrial_api::request::{
    ApiError, DeleteOptions, ErrorReason, Patch, Propagation, Reply, Request, Subresource,
};
use seatrial_api::scheduling::{Taint, TaintEffect};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;
use serde_json::{Value, json};

use super::metrics::Use;
use super::{ANSWERED, Play, SERVED, What, answers, objects, rules};
use crate::recordings::controllers::scenario::Action;

/// Between an answer and the next request of an action.
const THOUGHT: Span = Span::from_millis(5);

/// The actions that are due, and what was answered to those before.
#[derive(Default)]
pub(super) struct People {
    /// An answer for each action; null where nothing is asked.
    pub(super) answers: Vec<Value>,
    waiting: VecDeque<usize>,
    under_way: Option<UnderWay>,
}

/// An action of several requests.
struct UnderWay {
    action: usize,
    /// The next request.
    next: usize,
    /// Pods that a drain evicts.
    pods: Vec<u32>,
}

/// What an action is about.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The object; `None` if it is not there (any more).
    pub(super) object: Option<ObjectRef>,
    /// Its kind.
    pub(super) kind: Kind,
    /// Its name for messages.
    pub(super) name: String,
}

impl Play<'_> {
    /// An action is due: it begins when those before it are done.
    pub(super) fn act(&mut self, index: usize) {
        self.people.waiting.push_back(index);
        if self.people.under_way.is_none() {
            self.begin();
        }
    }

    fn begin(&mut self) {
        let Some(action) = self.people.waiting.pop_front() else { return };
        self.people.under_way = Some(UnderWay { action, next: 0, pods: Vec::new() });
        self.queue.push(self.now + SERVED, What::Continue);
    }

    /// The next request of the action under way is served.
    pub(super) fn proceed(&mut self) {
        let Some(mut under_way) = self.people.under_way.take() else { return };
        let scenario = self.scenario;
        let action = &scenario.actions[under_way.action];
        let goes_on = match action.operation() {
            Some(("create", manifests)) => self.create_next(manifests, &mut under_way),
            Some(("drain", node)) => self.drain_next(node.as_str().unwrap_or(""), &mut under_way),
            Some((operation, argument)) => {
                self.people.answers[under_way.action] = self.act_once(operation, argument, action);
                false
            }
            None => false,
        };
        under_way.next += 1;
        if goes_on {
            self.people.under_way = Some(under_way);
            self.queue.push(self.now + ANSWERED + THOUGHT + SERVED, What::Continue);
        } else {
            self.begin();
        }
    }

    /// Creates the next of several objects. Whether there are more.
    fn create_next(&mut self, manifests: &Document, under_way: &mut UnderWay) -> bool {
        let count = manifests.as_sequence().map_or(0, |list| list.len());
        let manifest = manifests.as_sequence().and_then(|list| list.get(under_way.next));
        let Some(manifest) = manifest else {
            self.people.answers[under_way.action] = json!([]);
            return false;
        };
        let answer = match rules::refused_creation(
            &self.server,
            &self.manifests,
            self.scenario.namespace,
            self.now,
            &manifest,
        ) {
            Some(refusal) => refusal,
            None => answers::answer(&self.create(&manifest), 201),
        };
        self.note(under_way.action, answer);
        under_way.next + 1 < count
    }

    /// Adds an answer to those of an action.
    fn note(&mut self, action: usize, answer: Value) {
        match &mut self.people.answers[action] {
            Value::Array(answers) => answers.push(answer),
            answers => *answers = json!([answer]),
        }
    }

    fn create(&mut self, manifest: &Document) -> Reply {
        let object = self.manifests.decode(manifest, self.scenario.namespace)?;
        let reply = self.serve(Request::Create(object))?;
        self.manifests.keep(reply.object_ref(), manifest.clone());
        Ok(reply)
    }

    /// Evicts the next pod of a node, in the order of the aliases; pods of DaemonSets stay.
    fn drain_next(&mut self, node: &str, under_way: &mut UnderWay) -> bool {
        if under_way.next == 0 {
            under_way.pods = self.pods_to_drain(Symbol::new(node));
            self.people.answers[under_way.action] = json!([]);
            return !under_way.pods.is_empty();
        }
        let Some(&pod) = under_way.pods.get(under_way.next - 1) else { return false };
        let alias = self.trace.alias(ObjectRef { kind: Kind::Pod, id: pod }).unwrap_or("").to_owned();
        let reply = self.serve(Request::Evict { pod, grace_period_seconds: None });
        let mut answer = self.told(answers::eviction(&reply));
        answer["pod"] = json!(alias);
        self.note(under_way.action, answer);
        under_way.next < under_way.pods.len()
    }

    /// The pods that a drain of a node evicts.
    pub(super) fn pods_to_drain(&self, node: Symbol) -> Vec<u32> {
        let stays = |pod: &Pod| {
            pod.meta.controller().is_some_and(|owner| owner.kind.as_str() == Kind::DaemonSet.as_str())
        };
        let pods = self.server.list_typed::<Pod>();
        let pods = pods.filter(|pod| pod.node == Some(node) && !stays(pod) && !pod.meta.is_deleting());
        let mut named: Vec<(String, u32)> = pods
            .map(|pod| {
                let id = pod.meta.id;
                (self.trace.alias(ObjectRef { kind: Kind::Pod, id }).unwrap_or("").to_owned(), id)
            })
            .collect();
        named.sort();
        named.into_iter().map(|entry| entry.1).collect()
    }

    /// An answer with aliases in its texts.
    fn told(&self, mut answer: Value) -> Value {
        fn walk(value: &mut Value, told: &dyn Fn(&str) -> String) {
            match value {
                Value::String(text) => *text = told(text),
                Value::Array(values) => values.iter_mut().for_each(|value| walk(value, told)),
                Value::Object(fields) => fields.values_mut().for_each(|value| walk(value, told)),
                _ => {}
            }
        }
        walk(&mut answer, &|text| self.trace.aliased(text));
        answer
    }

    /// Does an action of one request, or of none.
    fn act_once(&mut self, operation: &str, argument: &Document, action: &Action) -> Value {
        let text = argument.as_str().unwrap_or("");
        let answer = match operation {
            "patch" => self.patch(text, action),
            "scale" => self.scale(text, action),
            "delete" => self.delete(text, action),
            "evict" => self.evict(text, action),
            "kubectl" => self.kubectl(argument),
            "node_add" => answers::answer(&self.add_node(argument), 201),
            "node_delete" => self.delete(&format!("Node/{text}"), action),
            "taint" => self.taint(text, action),
            "cordon" => self.cordon(text, action.flag("on").unwrap_or(true)),
            _ => {
                self.do_without_request(operation, argument, action);
                return Value::Null;
            }
        };
        self.told(answer)
    }

    /// What is done without asking the API server: by kubelets, the metrics server, or the power.
    fn do_without_request(&mut self, operation: &str, argument: &Document, action: &Action) {
        let text = argument.as_str().unwrap_or("");
        let names = argument.as_sequence().into_iter().flat_map(|names| names.iter());
        let mut names: Vec<String> = names.filter_map(|name| name.as_str().map(str::to_owned)).collect();
        if !text.is_empty() {
            names.push(text.to_owned());
        }
        match operation {
            "node_stop" => names.iter().for_each(|name| self.stop_node(name)),
            "node_start" => names.iter().for_each(|name| self.start_node(name)),
            "kubelet" => {
                if let Some(target) = self.target(text).and_then(|target| target.object) {
                    self.kubelet_says(target.id, action.text("set"));
                }
            }
            "metrics" => {
                let amount = |name: &str| match action.argument(name)?.value {
                    Placed::Int(amount) => Some(amount),
                    Placed::Float(amount) => Some(amount as i64),
                    _ => None,
                };
                let per_pod = amount("per_pod").map(Use::PerPod);
                if let Some(amount) = per_pod.or_else(|| amount("total").map(Use::Total)) {
                    self.set_use(text, amount);
                }
            }
            _ => {}
        }
    }

    /// The object of an alias or of `Kind/name`; `None` if such a kind is not known.
    pub(super) fn target(&self, reference: &str) -> Option<Target> {
        if let Some((kind, name)) = reference.split_once('/').filter(|parts| !parts.0.contains(':')) {
            let kind = Kind::parse(kind)?;
            let (namespace, name) = match name.split_once('/') {
                Some((namespace, name)) => (Symbol::new(namespace), name),
                None => (self.scenario.namespace, name),
            };
            return Some(Target { object: self.named(kind, namespace, name), kind, name: name.to_owned() });
        }
        let kind = self.trace.kind_of(reference)?;
        let object = self.trace.find(reference).filter(|object| self.server.get(*object).is_some());
        let name = match object.and_then(|object| self.server.get(object)) {
            Some(object) => object.meta().name.to_string(),
            None => self.trace.name_in_messages(reference),
        };
        Some(Target { object, kind, name })
    }

    /// The object that an action is about, or the answer that there is none.
    pub(super) fn require(&self, reference: &str) -> Result<(ObjectRef, Target), Value> {
        let unknown = || {
            let message = "the server could not find the requested resource";
            answers::refusal(&ApiError::new(ErrorReason::NotFound, message))
        };
        let target = self.target(reference).ok_or_else(unknown)?;
        let object = target.object.ok_or_else(|| answers::not_found(target.kind, &target.name))?;
        Ok((object, target))
    }

    fn scale(&mut self, reference: &str, action: &Action) -> Value {
        let (target, _) = match self.require(reference) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        let replicas = match action.argument("replicas").map(|node| &node.value) {
            Some(Placed::Int(replicas)) => i32::try_from(*replicas).unwrap_or(i32::MAX),
            _ => 0,
        };
        answers::answer(&self.serve(Request::Patch { target, patch: Patch::Replicas(replicas) }), 200)
    }

    fn delete(&mut self, reference: &str, action: &Action) -> Value {
        let (target, _) = match self.require(reference) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        let propagation = match action.text("propagation") {
            "Orphan" => Some(Propagation::Orphan),
            "Foreground" => Some(Propagation::Foreground),
            "Background" => Some(Propagation::Background),
            _ => None,
        };
        let grace_period_seconds = match action.argument("grace").map(|node| &node.value) {
            Some(Placed::Int(grace)) => Some(*grace),
            _ => None,
        };
        let options = DeleteOptions { propagation, grace_period_seconds, ..DeleteOptions::default() };
        let reply = self.serve(Request::Delete { target, options });
        answers::deletion(&reply, self.server.get(target).is_none())
    }

    fn evict(&mut self, reference: &str, action: &Action) -> Value {
        let (target, _) = match self.require(reference) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        let request = Request::Evict { pod: target.id, grace_period_seconds: None };
        if action.flag("dryRun").unwrap_or(false) {
            // What a copy of the server would do.
            let reply = self.server.clone().handle(self.now, request, &mut Vec::new());
            return answers::eviction(&reply);
        }
        answers::eviction(&self.serve(request))
    }

    fn taint(&mut self, node: &str, action: &Action) -> Value {
        let (target, _) = match self.require(&format!("Node/{node}")) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        let effect = match action.text("effect") {
            "NoExecute" => TaintEffect::NoExecute,
            "PreferNoSchedule" => TaintEffect::PreferNoSchedule,
            _ => TaintEffect::NoSchedule,
        };
        let (key, value) = (Symbol::new(action.text("key")), Symbol::new(action.text("value")));
        let taint = Taint { key, value, effect };
        let patch = if action.flag("remove").unwrap_or(false) {
            Patch::TaintChanges { add: Vec::new(), remove: vec![taint] }
        } else {
            Patch::TaintChanges { add: vec![taint], remove: Vec::new() }
        };
        answers::answer(&self.serve(Request::Patch { target, patch }), 200)
    }

    /// Cordons a node, or takes that back.
    pub(super) fn cordon(&mut self, node: &str, on: bool) -> Value {
        match self.require(&format!("Node/{node}")) {
            Ok((target, _)) => {
                let patch = Patch::Unschedulability(on);
                answers::answer(&self.serve(Request::Patch { target, patch }), 200)
            }
            Err(answer) => answer,
        }
    }

    fn patch(&mut self, reference: &str, action: &Action) -> Value {
        let (target, _) = match self.require(reference) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        let body = action.argument("body").cloned().unwrap_or_else(Document::empty);
        let reply = match (action.text("sub"), target.kind) {
            ("status", Kind::Node) => self.patch_node_status(target, &body),
            _ => self.patch_object(target, &body, action.text("type")),
        };
        answers::answer(&reply, 200)
    }

    /// Lays conditions over those of a node.
    fn patch_node_status(&mut self, target: ObjectRef, body: &Document) -> Reply {
        let Some(Object::Node(node)) = self.server.get(target) else {
            return Err(ApiError::not_found(target.kind, ""));
        };
        let mut conditions = node.conditions;
        let given = body.get("status").map(|status| status.elements("conditions")).unwrap_or_default();
        objects::lay_conditions(&mut conditions, &given, self.now);
        self.serve(Request::Patch { target, patch: Patch::NodeConditions(Box::new(conditions)) })
    }

    /// Patches what people write of an object.
    pub(super) fn patch_object(&mut self, target: ObjectRef, body: &Document, how: &str) -> Reply {
        let stored = self.server.get(target).cloned().ok_or_else(|| ApiError::not_found(target.kind, ""))?;
        let metadata = body.get("metadata").filter(|_| how != "json");
        let fields = body.as_mapping().map_or(0, |fields| fields.entries().len());
        if let Some(metadata) = metadata.filter(|_| fields == 1) {
            let patch = objects::metadata_patch(&stored, metadata);
            return self.serve(Request::Patch { target, patch });
        }
        let Some(manifest) = self.manifests.of(&stored) else {
            let message = format!("{} of controllers cannot be patched so", target.kind.qualified_plural());
            let refusal = ApiError::new(ErrorReason::BadRequest, message);
            let patch = objects::workload_patch(&stored, body).ok_or(refusal)?;
            return self.serve(Request::Patch { target, patch });
        };
        let patched = objects::patched(&manifest, body, how)?;
        rules::check_update(&stored, &manifest, &patched)?;
        self.put(&stored, patched)
    }

    /// Writes an object as a manifest has it now.
    fn put(&mut self, stored: &Object, manifest: Document) -> Reply {
        let mut object = self.manifests.decode(&manifest, stored.meta().namespace)?;
        let old = stored.meta();
        let meta = object.meta_mut();
        (meta.id, meta.uid, meta.resource_version) = (old.id, old.uid, 0);
        (meta.created, meta.generation, meta.owners) = (old.created, old.generation, old.owners.clone());
        meta.deletion = old.deletion;
        if let (Object::Pod(new), Object::Pod(old)) = (&mut object, stored) {
            let new = Arc::make_mut(new);
            new.node = old.node;
            new.status = old.status.clone();
        }
        let reply = self.serve(Request::Update { object, subresource: Subresource::Main })?;
        self.manifests.keep(reply.object_ref(), manifest);
        Ok(reply)
    }
}
