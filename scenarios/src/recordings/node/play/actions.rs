//! What the author of a scenario does.

use std::sync::Arc;

use seatrial_api::machine::Effects;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pod::{Pod, PodSpec};
use seatrial_api::request::{ApiError, DeleteOptions, ErrorReason, Patch, Reply, Request};
use seatrial_api::symbol::Symbol;
use seatrial_node::static_pod;
use serde_json::{Value, json};

use super::merge::{self, PatchType};
use super::{Event, KUBELET_START, KUBELET_STOP, NODE, Play, decode, setup};

/// The first row of static pods, which the store does not know.
pub(super) const STATIC_ROWS: u32 = 1 << 31;

/// Says why an action cannot be done, if it cannot. A manifest that is refused is no such case: the
/// refusal is its answer.
pub(super) fn check(action: &Value) -> Result<(), String> {
    const KNOWN: [&str; 9] = [
        "create",
        "bind",
        "delete",
        "patch",
        "static",
        "static_remove",
        "kubelet_stop",
        "kubelet_start",
        "reboot",
    ];
    if KNOWN.iter().any(|known| !action[*known].is_null()) {
        return Ok(());
    }
    Err(format!("actions: expected one of {}, found {action}", KNOWN.join(", ")))
}

impl Play<'_> {
    /// Does an action and writes down what was answered.
    pub(super) fn act(&mut self, index: usize) {
        let action = self.scenario["actions"][index]["do"].clone();
        // What an action does is seen after it.
        let stamp = self.stamp();
        let mut answers = Vec::new();
        let mut answer = |reply: Reply, code: u16| answers.push(self::answer(&reply, code));
        for manifest in action["create"].as_array().into_iter().flatten() {
            answer(self.create(manifest), 201);
        }
        for name in action["bind"].as_array().into_iter().flatten() {
            answer(self.bind(name.as_str().unwrap_or("")), 201);
        }
        if let Some(target) = action["delete"].as_str() {
            answer(self.delete(target, action["grace"].as_i64()), 200);
        }
        if let Some(target) = action["patch"].as_str() {
            answer(self.patch(target, &action), 200);
        }
        if let Some(manifest) = action.get("static") {
            self.write_static(manifest);
        }
        if let Some(name) = action["static_remove"].as_str() {
            self.remove_static(name);
        }
        if !action["kubelet_stop"].is_null() {
            self.calendar.push(self.now + KUBELET_STOP, Event::KubeletStops);
        }
        if !action["reboot"].is_null() {
            self.reboot();
        }
        if !action["kubelet_start"].is_null() {
            self.calendar.push(self.now + KUBELET_START, Event::KubeletWorks);
        }
        let name = action.as_object().and_then(|action| action.keys().next().cloned());
        let mut entry = json!({"v": "action", "n": index, "do": name});
        if !answers.is_empty() {
            entry["answers"] = Value::Array(answers);
        }
        self.record_at(stamp, entry);
    }

    fn object(&self, manifest: &Value) -> Result<Object, ApiError> {
        let mut object =
            decode(manifest, self.version).map_err(|message| ApiError::new(ErrorReason::Invalid, message))?;
        let meta = object.meta_mut();
        if manifest["metadata"]["namespace"].is_null() {
            meta.namespace = setup::namespace(self.scenario);
        }
        Ok(object)
    }

    fn create(&mut self, manifest: &Value) -> Reply {
        let mut manifest = manifest.clone();
        let node = &mut manifest["spec"]["nodeName"];
        if node == "{node}" {
            *node = json!(NODE);
        } else if node.is_null()
            && let Some(spec) = manifest["spec"].as_object_mut()
        {
            spec.remove("nodeName");
        }
        let object = self.object(&manifest)?;
        self.creating = manifest;
        let reply = self.serve(Request::Create(object));
        self.creating = Value::Null;
        reply
    }

    fn pod(&self, name: &str) -> Result<Arc<Pod>, ApiError> {
        let found = self.server.find(Kind::Pod, setup::namespace(self.scenario), name);
        match found {
            Some(Object::Pod(pod)) => Ok(Arc::clone(pod)),
            _ => Err(ApiError::not_found(Kind::Pod, name)),
        }
    }

    fn bind(&mut self, name: &str) -> Reply {
        let pod = self.pod(name)?.meta.id;
        self.serve(Request::Bind { pod, node: NODE.into() })
    }

    fn delete(&mut self, target: &str, grace: Option<i64>) -> Reply {
        let (kind, name) = target.split_once('/').unwrap_or(("pod", target));
        let namespace = setup::namespace(self.scenario);
        let known = Kind::ALL.iter().find(|known| known.to_string().eq_ignore_ascii_case(kind));
        let Some(&kind) = known else {
            return Err(ApiError::new(ErrorReason::NotFound, format!("there is no kind {kind}")));
        };
        let name = self.static_name(name);
        let found = self.server.find(kind, namespace, &name).map(|object| object.meta().id);
        let Some(id) = found else { return Err(ApiError::not_found(kind, &name)) };
        let options = DeleteOptions { grace_period_seconds: grace, ..DeleteOptions::default() };
        self.serve(Request::Delete { target: ObjectRef { kind, id }, options })
    }

    /// A name in which the node stands for itself.
    fn static_name(&self, name: &str) -> String {
        name.replace("{node}", NODE)
    }

    fn patch(&mut self, target: &str, action: &Value) -> Reply {
        let name = self.static_name(target.trim_start_matches("pod/"));
        let pod = self.pod(&name)?;
        let (body, sub) = (&action["body"], action["sub"].as_str().unwrap_or(""));
        if sub == "status" {
            return self.patch_conditions(&pod, body);
        }
        let kind = match action["type"].as_str() {
            Some("json") => PatchType::Json,
            Some("merge") => PatchType::Merge,
            _ => PatchType::Strategic,
        };
        let mut manifest = self.manifests.get(&pod.meta.id).cloned().unwrap_or_default();
        merge::defaults(&mut manifest, &pod);
        merge::patch(&mut manifest, body, kind);
        let next = self.patched(&manifest)?;
        if sub == "resize" {
            self.fits_the_node(&next, &name)?;
        }
        self.manifests.insert(pod.meta.id, manifest);
        let labels = changes(&pod.meta.labels, &next.meta.labels);
        let annotations = changes(&pod.meta.annotations, &next.meta.annotations);
        let gone = pod.meta.finalizers().iter().filter(|name| !next.meta.finalizers().contains(name));
        let patches = vec![
            Patch::Labels(labels),
            Patch::Annotations(annotations),
            Patch::RemoveFinalizers(gone.copied().collect()),
            Patch::PodSpec(Arc::clone(&next.spec)),
        ];
        self.serve(Request::patch_pod(pod.meta.id, Patch::All(patches)))
    }

    /// The pod that a patched manifest describes. Ephemeral containers have no place in a manifest
    /// that is created, so they are read like main containers.
    fn patched(&self, manifest: &Value) -> Result<Arc<Pod>, ApiError> {
        let mut plain = manifest.clone();
        let ephemeral = plain["spec"]["ephemeralContainers"].take();
        if let Some(spec) = plain["spec"].as_object_mut() {
            spec.remove("ephemeralContainers");
        }
        let of = |manifest: &Value| match self.object(manifest)? {
            Object::Pod(pod) => Ok(pod),
            _ => Err(ApiError::new(ErrorReason::BadRequest, "the patch makes something else of a pod")),
        };
        let pod = of(&plain)?;
        if ephemeral.is_null() {
            return Ok(pod);
        }
        plain["spec"]["containers"] = ephemeral;
        let mut spec = PodSpec::clone(&pod.spec);
        spec.ephemeral_containers = of(&plain)?.spec.containers.clone();
        Ok(Arc::new(Pod { spec: Arc::new(spec), ..Pod::clone(&pod) }))
    }

    /// A resize beyond what the node has is refused (upstream `PodResizeValidator`).
    fn fits_the_node(&self, pod: &Pod, name: &str) -> Result<(), ApiError> {
        let Some(Object::Node(node)) = self.server.get(ObjectRef { kind: Kind::Node, id: self.node }) else {
            return Ok(());
        };
        let (wanted, have) = (&pod.spec.derived.requests, &node.allocatable.amounts);
        let over = [("cpu", wanted.cpu.0, have.cpu.0), ("memory", wanted.memory.0, have.memory.0)];
        match over.into_iter().find(|(_, wanted, have)| wanted > have) {
            None => Ok(()),
            Some((resource, wanted, have)) => {
                let message = format!(
                    "pods \"{name}\" is forbidden: node didn't have enough allocatable resources: {resource}, \
                     requested: {wanted}, allocatable: {have}"
                );
                Err(ApiError::new(ErrorReason::Forbidden, message))
            }
        }
    }

    /// A patch of the status: conditions of other owners.
    fn patch_conditions(&mut self, pod: &Pod, body: &Value) -> Reply {
        let conditions = body["status"]["conditions"].as_array().into_iter().flatten();
        let patches = conditions.map(|condition| Patch::Gate(merge::condition(condition))).collect();
        self.serve(Request::patch_pod(pod.meta.id, Patch::All(patches)))
    }

    pub(super) fn stop_kubelet(&mut self) {
        self.kubelets.stop_kubelet(NODE.into());
        self.cancel_stops();
        self.runtime.is_heard = false;
    }

    /// The kubelet finds a manifest in its folder.
    fn write_static(&mut self, manifest: &Value) {
        let Ok(Object::Pod(pod)) = self.object(manifest) else { return };
        let id = STATIC_ROWS + self.static_uids.len() as u32;
        let pod = static_pod(&pod, NODE.into(), id);
        self.static_uids.push(pod.meta.uid.to_string());
        self.names.insert(id, pod.meta.name.to_string());
        self.specs.insert(id, Arc::clone(&pod.spec));
        self.manifests.insert(id, manifest.clone());
        let mut effects = Effects::new(true);
        self.kubelets.add_static_pod(self.now, &Arc::new(pod), &mut effects);
        self.apply(effects);
    }

    fn remove_static(&mut self, name: &str) {
        let mut effects = Effects::new(true);
        let name = format!("{name}-{NODE}");
        self.kubelets.remove_static_pod(self.now, setup::namespace(self.scenario), &name, &mut effects);
        self.apply(effects);
    }
}

/// Changes that make `after` of `before`.
fn changes(
    before: &seatrial_api::labels::Labels,
    after: &seatrial_api::labels::Labels,
) -> Vec<(Symbol, Option<Symbol>)> {
    let gone = before.iter().filter(|(key, _)| after.get(*key).is_none()).map(|(key, _)| (*key, None));
    let set = after.iter().filter(|(key, value)| before.get(*key) != Some(*value));
    gone.chain(set.map(|(key, value)| (*key, Some(*value)))).collect()
}

fn answer(reply: &Reply, code: u16) -> Value {
    match reply {
        Ok(_) => json!({"code": code}),
        Err(error) => {
            let reason = format!("{:?}", error.reason);
            json!({"code": error.reason.code(), "reason": reason, "message": error.message})
        }
    }
}
