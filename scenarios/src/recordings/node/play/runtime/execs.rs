//! Commands that are run in containers: by probes and by hooks.

use seatrial_api::container::{HandlerAction, Probe};
use seatrial_api::runtime::{ContainerId, ProbeKind, RuntimeReport};
use seatrial_api::units::{SimTime, Span};
use seatrial_node::Explanation;
use serde_json::json;

use super::script::code_at;
use super::{Pending, because, grpc};
use crate::recordings::node::play::{Play, Stamp, seconds};

/// The code of a command whose container ends.
const KILLED: i64 = 137;

/// A command under way.
#[derive(Clone, Debug)]
pub(super) struct Exec {
    id: ContainerId,
    stamp: Stamp,
    at: SimTime,
    command: String,
    timeout: Span,
    result: Result<i64, String>,
    output: String,
    timed_out: bool,
    purpose: Purpose,
}

/// What a command is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Probe(ProbeKind),
    PostStart,
    PreStop(PreStop),
}

/// A hook before the stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct PreStop {
    /// When it began.
    pub began: SimTime,
    /// The time that the container has to stop.
    pub grace: Span,
    /// Whether the container is stopped when it is over.
    pub then_stop: bool,
}

impl Play<'_> {
    pub(super) fn exec(&mut self, id: ContainerId, command: &[&str], timeout: Span, purpose: Purpose) {
        let word = command.first().copied().unwrap_or("");
        let of_run = &self.script_of_run(id)["exec"][word];
        let script = if of_run.is_null() { self.script_of(id)["exec"][word].clone() } else { of_run.clone() };
        let since = self.runtime.instances.get(&id).map_or(Span::ZERO, |one| self.now - one.started);
        let duration = seconds(&script["duration"]);
        let timed_out = timeout > Span::ZERO && duration >= timeout;
        let result = match script["error"].as_str() {
            Some(error) => Err(grpc(error)),
            None if timed_out => Err(format!(
                "rpc error: code = DeadlineExceeded desc = failed to exec in container: timeout {}s exceeded: \
                 context deadline exceeded",
                timeout.as_secs_f64()
            )),
            None => Ok(code_at(&script["codes"], since, 0)),
        };
        let exec = Exec {
            id,
            stamp: self.stamp(),
            at: self.now,
            command: command.join(" "),
            timeout,
            result,
            output: script["output"].as_str().unwrap_or("").to_owned(),
            timed_out,
            purpose,
        };
        let number = self.runtime.next_exec;
        self.runtime.next_exec += 1;
        self.runtime.execs.insert(number, exec);
        let took = if timed_out { timeout } else { duration };
        if took == Span::ZERO {
            self.later(Span::from_millis(1), Pending::ExecEnds(number));
        } else {
            self.later(took, Pending::ExecEnds(number));
        }
    }

    /// The commands in an instance end with it.
    pub(super) fn execs_die(&mut self, id: ContainerId) {
        let execs = self.runtime.execs.iter_mut().filter(|exec| exec.1.id == id);
        let numbers: Vec<u64> = execs
            .map(|(number, exec)| {
                (exec.result, exec.timed_out) = (Ok(KILLED), false);
                *number
            })
            .collect();
        numbers.into_iter().for_each(|number| self.exec_ends(number));
    }

    pub(super) fn exec_ends(&mut self, number: u64) {
        let Some(exec) = self.runtime.execs.remove(&number) else { return };
        let mut line = json!({
            "call": "ExecSync",
            "c": self.container_name(exec.id),
            "n": self.runtime.number(exec.id),
            "cmd": exec.command,
            "timeout": exec.timeout.nanos() / 1_000_000_000,
            "took": (self.now - exec.at).as_secs_f64(),
        });
        match &exec.result {
            Ok(code) => line["code"] = json!(code),
            Err(error) => line["error"] = json!(error),
        }
        self.write_call(exec.stamp, exec.id.pod, line);
        if !self.runtime.is_heard {
            return;
        }
        let ok = exec.result == Ok(0);
        match exec.purpose {
            Purpose::Probe(kind) => self.probe_answered(&exec, kind),
            Purpose::PostStart => {
                let text = match &exec.result {
                    Ok(code) => format!("command '{}' exited with {code}: ", exec.command),
                    Err(error) => error.clone(),
                };
                let why = Explanation {
                    text: text.into(),
                    output: exec.output.as_str().into(),
                    ..Default::default()
                };
                self.report(RuntimeReport::PostStartDone { container: exec.id, ok }, Some(why));
            }
            Purpose::PreStop(stop) => self.pre_stop_done(exec.id, stop, ok),
        }
    }

    fn probe_answered(&mut self, exec: &Exec, kind: ProbeKind) {
        let container = exec.id;
        let (report, text) = match &exec.result {
            Err(_) if exec.timed_out => {
                let seconds = exec.timeout.as_secs_f64();
                let text = format!("command timed out: \"{}\" timed out after {seconds}s", exec.command);
                (RuntimeReport::Probed { container, kind, success: false, steady: false }, text)
            }
            Err(error) => (RuntimeReport::ProbeError { container, kind }, error.clone()),
            Ok(code) => {
                let success = *code == 0;
                (RuntimeReport::Probed { container, kind, success, steady: false }, exec.output.clone())
            }
        };
        self.report(report, Some(because(text)));
    }

    pub(super) fn probe(&mut self, id: ContainerId, kind: ProbeKind) {
        let Some(probe) = self.probe_spec(id, kind) else { return };
        let timeout = Span::from_secs(i64::from(probe.timeout_seconds));
        match &probe.action {
            HandlerAction::Exec(command) => {
                let command: Vec<&str> = command.iter().map(|word| word.as_str()).collect();
                self.exec(id, &command, timeout, Purpose::Probe(kind));
            }
            action => {
                let (took, answer) = self.request(id, action, Some(timeout));
                let report = RuntimeReport::Probed { container: id, kind, success: answer.ok, steady: false };
                let reason = seatrial_api::symbol::Symbol::new(if answer.warning { "warning" } else { "" });
                let why = Explanation { reason, text: answer.text.into(), ..Explanation::default() };
                self.tell_later(took, report, Some(why));
            }
        }
    }

    fn probe_spec(&self, id: ContainerId, kind: ProbeKind) -> Option<Box<Probe>> {
        let container = self.container_spec(id)?;
        match kind {
            ProbeKind::Startup => container.startup_probe.clone(),
            ProbeKind::Readiness => container.readiness_probe.clone(),
            ProbeKind::Liveness => container.liveness_probe.clone(),
        }
    }

    pub(super) fn post_start(&mut self, container: ContainerId) {
        let Some(hook) = self.container_spec(container).and_then(|spec| spec.post_start.clone()) else {
            return;
        };
        match &hook {
            HandlerAction::Exec(command) => {
                let command: Vec<&str> = command.iter().map(|word| word.as_str()).collect();
                self.exec(container, &command, Span::ZERO, Purpose::PostStart);
            }
            action => {
                let (took, answer) = self.request(container, action, None);
                let report = RuntimeReport::PostStartDone { container, ok: answer.ok };
                self.tell_later(took, report, Some(because(answer.text)));
            }
        }
    }
}
