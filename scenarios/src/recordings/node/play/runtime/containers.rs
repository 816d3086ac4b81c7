//! Instances of containers: made, started, ended.

use seatrial_api::runtime::{ContainerId, RuntimeReport};
use seatrial_api::symbol::Symbol;
use seatrial_node::Explanation;
use serde_json::json;

use super::script::attempt;
use super::{Ending, Instance, InstanceState, Pending, QUICK, because, grpc, key};
use crate::recordings::node::play::{Play, seconds};

/// How often the calls for a container were made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Calls {
    created: u32,
    creates: u32,
    starts: u32,
}

impl Play<'_> {
    /// The name by which the script knows a pod: a static one by the name in its manifest.
    pub(super) fn script_name(&self, name: &str) -> String {
        name.strip_suffix(&format!("-{}", super::super::NODE)).unwrap_or(name).to_owned()
    }

    /// What the script says of a container.
    pub(super) fn script_of(&self, id: ContainerId) -> &serde_json::Value {
        let pod = self.names.get(&id.pod).map_or("", String::as_str);
        self.runtime.script.container(&self.script_name(pod), &self.container_name(id))
    }

    /// What the script says of an instance.
    pub(super) fn script_of_run(&self, id: ContainerId) -> &serde_json::Value {
        let pod = self.names.get(&id.pod).map_or("", String::as_str);
        let n = self.runtime.number(id);
        self.runtime.script.run(&self.script_name(pod), &self.container_name(id), n)
    }

    pub(super) fn create_instance(&mut self, id: ContainerId) {
        let calls = self.runtime.calls.entry(key(id)).or_default();
        let (number, n) = (calls.creates, calls.created);
        calls.creates += 1;
        let (took, error) = attempt(&self.script_of(id)["create"], number);
        let Some(container) = self.container_spec(id) else { return };
        let (name, image) = (container.name, container.image);
        let mut line = json!({"call": "CreateContainer", "c": name.as_str(), "attempt": id.attempt});
        line["took"] = json!(took.as_secs_f64());
        let stamp = self.stamp();
        if let Some(error) = error {
            line["error"] = json!(grpc(&error));
            self.later(took, Pending::Write(stamp, id.pod, line));
            let report = RuntimeReport::ContainerNotCreated { container: id };
            return self.tell_later(took, report, Some(because(grpc(&error))));
        }
        (line["n"], line["image"]) = (json!(n), json!(image.as_str()));
        self.runtime.calls.entry(key(id)).or_default().created += 1;
        let state = InstanceState::Created;
        let instance = Instance { n, started: self.now, state, stopping: false, pre_stopped: false };
        self.runtime.instances.insert(id, instance);
        self.later(took, Pending::Write(stamp, id.pod, line));
        self.later(took + QUICK, Pending::Start(id, n));
    }

    pub(super) fn start_instance(&mut self, id: ContainerId, n: u32) {
        let calls = self.runtime.calls.entry(key(id)).or_default();
        let number = calls.starts;
        calls.starts += 1;
        let (took, error) = attempt(&self.script_of(id)["start"], number);
        let name = self.container_name(id);
        let mut line = json!({"call": "StartContainer", "c": name, "n": n, "took": took.as_secs_f64()});
        let stamp = self.stamp();
        let started = self.now + took;
        let ok = error.is_none();
        if let Some(instance) = self.runtime.instances.get_mut(&id) {
            instance.started = started;
            instance.state = if ok { InstanceState::Running } else { InstanceState::Exited };
        }
        let why = error.map(|error| {
            line["error"] = json!(grpc(&error));
            because(grpc(&error))
        });
        self.later(took, Pending::Write(stamp, id.pod, line));
        self.tell_later(took, RuntimeReport::ContainerStarted { container: id, ok }, why);
        let exit = &self.script_of_run(id)["exit"];
        if ok && exit.is_object() {
            let ending = Ending {
                code: exit["code"].as_i64().unwrap_or(0) as i32,
                why: "script",
                reason: Symbol::new(exit["reason"].as_str().unwrap_or("")),
                message: exit["message"].as_str().unwrap_or("").to_owned(),
            };
            let after = seconds(&exit["after"]);
            self.later(took + after, Pending::Exit(id, n, ending));
        }
    }

    /// Ends what runs in a sandbox.
    pub(super) fn end_all(&mut self, pod: u32, ending: &Ending) {
        let instances = self.runtime.instances.iter();
        let running: Vec<_> =
            instances.filter(|(id, one)| id.pod == pod && one.runs()).map(|(id, _)| *id).collect();
        running.into_iter().for_each(|id| self.end(id, ending));
    }

    /// An instance ends, if it runs.
    pub(super) fn end(&mut self, id: ContainerId, ending: &Ending) {
        let Some(instance) = self.runtime.instances.get_mut(&id).filter(|one| one.runs()) else { return };
        instance.state = InstanceState::Exited;
        instance.stopping = false;
        let n = instance.n;
        let line = json!({
            "v": "exit",
            "c": self.container_name(id),
            "n": n,
            "code": ending.code,
            "why": ending.why,
        });
        let stamp = self.stamp();
        self.write_line(stamp, id.pod, line);
        self.execs_die(id);
        let why = Explanation {
            reason: ending.reason,
            text: ending.message.as_str().into(),
            ..Explanation::default()
        };
        let report = RuntimeReport::ContainerExited {
            container: id,
            exit_code: ending.code,
            oom_killed: ending.reason == "OOMKilled",
        };
        self.report(report, Some(why));
    }
}
