//! Commands about nodes.

use seatrial_api::node::Node;
use seatrial_api::object::{Kind, ObjectRef};
use seatrial_api::pod::Pod;
use seatrial_api::request::{Patch, Request};
use seatrial_api::scheduling::{Taint, TaintEffect};
use seatrial_api::symbol::Symbol;

use super::{Failure, Outcome, Play};

impl Play<'_> {
    pub(super) fn kubectl_cordon(&mut self, name: &str, on: bool) -> Outcome {
        let subject = self.subject(Kind::Node, name.trim_start_matches("node/"))?;
        let done = if on { "cordoned" } else { "uncordoned" };
        let is_so = self.server.typed::<Node>(subject.target.id).is_some_and(|node| node.unschedulable == on);
        if is_so {
            return Ok(format!("node/{} already {done}\n", subject.name));
        }
        self.kubectl_patches(subject.target, Patch::Unschedulability(on))?;
        Ok(format!("node/{} {done}\n", subject.name))
    }

    /// Cordons a node and asks all its pods to go, but those of DaemonSets. A refusal is told; it is
    /// not tried again.
    pub(super) fn kubectl_drain(&mut self, name: &str) -> Outcome {
        let name = name.trim_start_matches("node/");
        let mut out = self.kubectl_cordon(name, true)?;
        let mut refused = None;
        for id in self.pods_to_drain(Symbol::new(name)) {
            let target = ObjectRef { kind: Kind::Pod, id };
            let Some(pod) = self.server.typed::<Pod>(target.id).map(|pod| pod.meta.full_name()) else {
                continue;
            };
            out.push_str(&format!("evicting pod {pod}\n"));
            if let Err(error) = self.serve(Request::Evict { pod: id, grace_period_seconds: None }) {
                refused.get_or_insert(format!("error when evicting pods/{pod}: {}\n", error.message));
            }
        }
        match refused {
            Some(text) => Err(Failure(out + &text)),
            None => Ok(format!("{out}node/{name} drained\n")),
        }
    }

    pub(super) fn kubectl_taint(&mut self, name: &str, taints: &[&str]) -> Outcome {
        let subject = self.subject(Kind::Node, name)?;
        let (mut add, mut remove) = (Vec::new(), Vec::new());
        for text in taints {
            let (text, list) = match text.strip_suffix('-') {
                Some(text) => (text, &mut remove),
                None => (*text, &mut add),
            };
            let (key, effect) = text.split_once(':').unwrap_or((text, ""));
            let (key, value) = key.split_once('=').unwrap_or((key, ""));
            let effects = match effect {
                "NoExecute" => vec![TaintEffect::NoExecute],
                "PreferNoSchedule" => vec![TaintEffect::PreferNoSchedule],
                "NoSchedule" => vec![TaintEffect::NoSchedule],
                _ => vec![TaintEffect::NoSchedule, TaintEffect::PreferNoSchedule, TaintEffect::NoExecute],
            };
            let (key, value) = (Symbol::new(key), Symbol::new(value));
            list.extend(effects.into_iter().map(|effect| Taint { key, value, effect }));
        }
        let done = if add.is_empty() { "untainted" } else { "tainted" };
        self.kubectl_patches(subject.target, Patch::TaintChanges { add, remove })?;
        Ok(format!("node/{} {done}\n", subject.name))
    }
}
