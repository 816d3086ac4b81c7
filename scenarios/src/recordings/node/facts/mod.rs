//! The facts of a kubelet scenario, derived from its trace: what is compared of a recorded run and
//! of one played here.
//!
//! Words used in all modules:
//! - *state*: a pod's fields after a change; `set` replaces whole fields, null removes them.
//! - *distinct sequence*: values in order, each that equals the one before it dropped.
//! - *probe command*: the first word of the command of a probe that runs one; other commands that
//!   are run in a container are hooks.
//! - *seconds*: an instant rounded to tenths.

mod events;
mod probes;
mod run;
mod runtime;
mod states;
mod times;
mod values;

use std::collections::BTreeMap;

use serde_json::Value;

pub(super) use run::Run;
pub(super) use values::{compact, same};

use values::is_nothing;

/// A kind of fact about a pod.
type PodFact = (&'static str, fn(&Run<'_>, &str) -> Value);

/// All kinds of facts about a pod, by name.
const POD_FACTS: [PodFact; 33] = [
    ("phases", states::phases),
    ("conditions", states::conditions),
    ("conditionSequence", states::condition_sequence),
    ("conditionOrder", states::condition_order),
    ("conditionGenerations", states::condition_generations),
    ("containers", states::containers),
    ("lifecycle", states::lifecycle),
    ("readiness", states::readiness),
    ("statusSequence", states::status_sequence),
    ("finalStatus", states::final_status),
    ("generations", states::generations),
    ("addresses", states::addresses),
    ("removal", states::removal),
    ("cri", runtime::cri),
    ("criOfContainer", runtime::cri_of_container),
    ("startCounts", runtime::start_counts),
    ("pullCounts", runtime::pull_counts),
    ("probeResults", probes::probe_results),
    ("events", events::events),
    ("eventOrder", events::event_order),
    ("eventCounts", events::event_counts),
    ("starts", runtime::starts),
    ("backoff", runtime::backoff),
    ("kills", runtime::kills),
    ("exits", runtime::exits),
    ("pulls", runtime::pulls),
    ("sandboxes", runtime::sandboxes),
    ("probeTimes", probes::probe_times),
    ("httpTimes", probes::http_times),
    ("hookTimes", probes::hook_times),
    ("statusTimes", times::status_times),
    ("deletion", times::deletion),
    ("eventTimes", times::event_times),
];

/// The name of the facts about the answers that the actions got.
const ANSWERS: &str = "answers";

/// All facts of a run by name: the kind, and the pod it is about. Those that say nothing are left
/// out.
pub(super) fn derive(scenario: &Value, trace: &[Value]) -> BTreeMap<String, Value> {
    let run = Run::new(scenario, trace);
    let mut facts = BTreeMap::new();
    facts.insert(ANSWERS.to_owned(), events::answers(&run));
    for pod in run.pods() {
        for (kind, fact) in POD_FACTS {
            facts.insert(format!("{kind} {pod}"), fact(&run, pod));
        }
    }
    facts.retain(|_, value| !is_nothing(value));
    facts
}

/// The kind that a fact's name begins with, if it is known.
pub(super) fn kind_of(name: &str) -> Option<&'static str> {
    let kind = name.split(' ').next().unwrap_or(name);
    let known = POD_FACTS.iter().map(|fact| fact.0).chain([ANSWERS]);
    known.into_iter().find(|known| *known == kind)
}

/// The columns of a kind's rows that are seconds; empty for kinds without times.
pub(super) fn timed_columns(kind: &str) -> &'static [usize] {
    match kind {
        "probeTimes" | "httpTimes" => &[0],
        "backoff" | "deletion" | "statusTimes" | "sandboxes" => &[1],
        "hookTimes" | "pulls" => &[1, 2],
        "starts" | "eventTimes" => &[2],
        "kills" => &[3],
        "exits" => &[4],
        _ => &[],
    }
}
