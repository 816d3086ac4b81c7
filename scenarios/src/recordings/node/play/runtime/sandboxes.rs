//! Sandboxes.

use seatrial_api::runtime::RuntimeReport;
use serde_json::json;

use super::script::attempt;
use super::{Ending, Pending, QUICK, because, grpc};
use crate::recordings::node::play::{Play, seconds};

/// The sandbox of a pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Sandbox {
    /// Its number, from 0.
    pub attempt: u32,
    /// Whether it runs.
    pub ready: bool,
    /// Whether there has been one.
    made: bool,
    /// How often one was asked for.
    asked: u32,
}

impl Play<'_> {
    pub(super) fn run_sandbox(&mut self, pod: u32) {
        let name = self.names.get(&pod).map_or("", String::as_str).to_owned();
        let script = self.runtime.script.pod(&self.script_name(&name)).clone();
        let sandbox = self.runtime.sandboxes.entry(pod).or_default();
        let (took, error) = attempt(&script["sandbox"], sandbox.asked);
        let dies = &script["sandbox"][sandbox.asked as usize]["dies"];
        sandbox.asked += 1;
        let number = if sandbox.made { sandbox.attempt + 1 } else { 0 };
        let mut line = json!({"call": "RunPodSandbox", "attempt": number, "took": took.as_secs_f64()});
        let took = took.max(QUICK);
        match error {
            Some(error) => {
                line["error"] = json!(grpc(&error));
                let report = RuntimeReport::SandboxStarted { pod, ok: false, ip: 0 };
                self.tell_later(took, report, Some(because(grpc(&error))));
            }
            None => {
                (sandbox.attempt, sandbox.made) = (number, true);
                self.later(took, Pending::Sandbox(pod));
                if !dies.is_null() {
                    self.later(took + seconds(dies), Pending::SandboxDies(pod, number));
                }
            }
        }
        let stamp = self.stamp();
        self.later(took, Pending::Write(stamp, pod, line));
    }

    pub(super) fn sandbox_runs(&mut self, pod: u32) {
        self.runtime.sandboxes.entry(pod).or_default().ready = true;
        let name = self.names.get(&pod).map_or("", String::as_str).to_owned();
        let host_network = self.specs.get(&pod).is_some_and(|spec| spec.host_network);
        let ips = if host_network { Vec::new() } else { self.sandbox_addresses(&name) };
        let ip = ips.first().and_then(|ip| ip.parse().ok()).map_or(0, |ip: std::net::Ipv4Addr| u32::from(ip));
        if ips.len() > 1 {
            self.kubelets.more_addresses(pod, ips[1..].iter().map(|ip| ip.as_str().into()).collect());
        }
        self.report(RuntimeReport::SandboxStarted { pod, ok: true, ip }, None);
    }

    /// The addresses of a new sandbox: those in the script, or one that no other has.
    fn sandbox_addresses(&mut self, name: &str) -> Vec<String> {
        let script = &self.runtime.script.pod(&self.script_name(name))["ips"];
        let mut ips: Vec<String> =
            script.as_array().into_iter().flatten().filter_map(|ip| Some(ip.as_str()?.to_owned())).collect();
        if ips.is_empty() {
            let number = self.runtime.addresses.len();
            // No address is the beginning of another.
            ips.push(format!("10.{}.{}.1", 100 + number / 100 % 100, 100 + number % 100));
        }
        for ip in &ips {
            if !self.runtime.addresses.contains(ip) {
                self.runtime.addresses.push(ip.clone());
            }
        }
        ips
    }

    pub(super) fn sandbox_dies(&mut self, pod: u32, attempt: u32) {
        let Some(sandbox) = self.runtime.sandboxes.get_mut(&pod) else { return };
        if sandbox.attempt != attempt || !sandbox.ready {
            return;
        }
        sandbox.ready = false;
        self.end_all(pod, &Ending::new(137, "sandbox died"));
        self.call(pod, json!({"call": "SandboxDied", "attempt": attempt}));
        self.report(RuntimeReport::SandboxStopped { pod }, None);
    }

    pub(super) fn stop_sandbox(&mut self, pod: u32) {
        let Some(sandbox) = self.runtime.sandboxes.get_mut(&pod) else {
            return self.report(RuntimeReport::SandboxStopped { pod }, None);
        };
        let (attempt, was_ready) = (sandbox.attempt, sandbox.ready);
        sandbox.ready = false;
        let line = json!({"call": "StopPodSandbox", "attempt": attempt, "was_ready": was_ready, "took": 0.0});
        self.call(pod, line);
        self.end_all(pod, &Ending::new(137, "sandbox"));
        self.report(RuntimeReport::SandboxStopped { pod }, None);
    }
}
