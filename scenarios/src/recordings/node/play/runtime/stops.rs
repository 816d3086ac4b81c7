//! Stopping containers: the hook, SIGTERM, SIGKILL.

use seatrial_api::container::HandlerAction;
use seatrial_api::runtime::{ContainerId, RuntimeReport};
use seatrial_api::units::{NANOS_PER_SECOND, Span};
use serde_json::json;

use super::execs::{PreStop, Purpose};
use super::{Ending, InstanceState, Pending};
use crate::recordings::node::play::{Event, Play, seconds};

/// What every container gets, whatever its hook has left of the grace.
const TIMEOUT_MIN: i64 = 2;
/// How long a container takes to end where the script says nothing, and its exit code.
const TERM_AFTER: Span = Span::from_millis(100);
const TERM_CODE: i32 = 143;
const KILLED: i32 = 137;

impl Play<'_> {
    pub(super) fn stop(&mut self, id: ContainerId, grace: Span) {
        let hook = self.container_spec(id).is_some_and(|spec| spec.pre_stop.is_some());
        let instance = self.runtime.instances.get(&id);
        let pending = instance.is_some_and(|instance| instance.runs() && !instance.pre_stopped);
        let stop = PreStop { began: self.now, grace, then_stop: true };
        if hook && pending && grace > Span::ZERO {
            self.run_pre_stop(id, stop);
        } else {
            self.later(Span::ZERO, Pending::Stop(id, whole(grace).max(TIMEOUT_MIN)));
        }
    }

    /// Runs the hook of a container that is stopped later.
    pub(super) fn pre_stop(&mut self, id: ContainerId, grace: Span) {
        self.run_pre_stop(id, PreStop { began: self.now, grace, then_stop: false });
    }

    fn run_pre_stop(&mut self, id: ContainerId, stop: PreStop) {
        if let Some(instance) = self.runtime.instances.get_mut(&id) {
            instance.pre_stopped = true;
        }
        let Some(hook) = self.container_spec(id).and_then(|spec| spec.pre_stop.clone()) else { return };
        if !stop.then_stop {
            let report = RuntimeReport::PreStopDone { container: id, ok: true };
            self.tell_later(stop.grace, report, None);
        }
        if stop.then_stop {
            // The hook is not waited for beyond the grace, though it may go on.
            self.later(stop.grace, Pending::Stop(id, TIMEOUT_MIN));
        }
        match &hook {
            HandlerAction::Exec(command) => {
                let command: Vec<&str> = command.iter().map(|word| word.as_str()).collect();
                self.exec(id, &command, Span::ZERO, Purpose::PreStop(stop));
            }
            action => {
                let (took, answer) = self.request(id, action, None);
                let report = RuntimeReport::PreStopDone { container: id, ok: answer.ok };
                if took < stop.grace {
                    self.tell_later(took, report, None);
                    if stop.then_stop {
                        self.later(took, Pending::Stop(id, left(stop.grace, took)));
                    }
                }
            }
        }
    }

    pub(super) fn pre_stop_done(&mut self, id: ContainerId, stop: PreStop, ok: bool) {
        let took = self.now - stop.began;
        self.report(RuntimeReport::PreStopDone { container: id, ok }, None);
        if stop.then_stop && took < stop.grace {
            self.send_term(id, left(stop.grace, took));
        }
    }

    pub(super) fn send_term(&mut self, id: ContainerId, timeout: i64) {
        let Some(instance) = self.runtime.instances.get_mut(&id) else { return };
        if instance.stopping {
            return;
        }
        let (n, running) = (instance.n, instance.runs());
        instance.stopping = running;
        let created = instance.state == InstanceState::Created;
        let name = self.container_name(id);
        let line =
            json!({"call": "StopContainer", "c": name, "n": n, "timeout": timeout, "running": running});
        self.call(id.pod, line);
        if created && let Some(instance) = self.runtime.instances.get_mut(&id) {
            instance.state = InstanceState::Exited;
        }
        if !running {
            return;
        }
        let term = self.script_of_run(id)["term"].clone();
        let limit = Span::from_secs(timeout);
        let after = if term["after"].is_null() { TERM_AFTER } else { seconds(&term["after"]) };
        let (after, ending) = if term["ignore"] == true || after >= limit {
            (limit, Ending::new(KILLED, "kill"))
        } else {
            let code = term["code"].as_i64().map_or(TERM_CODE, |code| code as i32);
            (after, Ending::new(code, "term"))
        };
        self.later(after, Pending::Exit(id, n, ending));
    }

    /// The kubelet is gone: nobody waits for the stops under way, and nobody kills at their end.
    pub(in crate::recordings::node::play) fn cancel_stops(&mut self) {
        let stopping: Vec<ContainerId> =
            self.runtime.instances.iter().filter(|one| one.1.stopping).map(|one| *one.0).collect();
        for id in stopping {
            let (name, n) = (self.container_name(id), self.runtime.number(id));
            self.call(id.pod, json!({"call": "StopContainer.canceled", "c": name, "n": n}));
            if let Some(instance) = self.runtime.instances.get_mut(&id) {
                instance.stopping = false;
            }
        }
        self.calendar.retain(|event| match event {
            Event::Runtime(Pending::Exit(_, _, ending)) => ending.why != "kill",
            Event::Runtime(Pending::Stop(..)) => false,
            _ => true,
        });
        self.runtime.instances.values_mut().for_each(|instance| instance.pre_stopped = false);
    }
}

fn whole(span: Span) -> i64 {
    span.nanos() / NANOS_PER_SECOND
}

/// The seconds of a grace that are left after a hook.
fn left(grace: Span, took: Span) -> i64 {
    (whole(grace) - whole(took)).max(TIMEOUT_MIN)
}
