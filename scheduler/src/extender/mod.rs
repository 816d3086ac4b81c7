//! Extenders: services that are asked over the network before a pod is placed, as upstream's
//! `extender.go` asks them.
//!
//! The call is the driver's: it hands a client to the configuration, and the scheduler waits for its
//! answer, as upstream waits. Virtual time stands still meanwhile.
//!
//! Model: what is sent of pods and nodes is what scheduling reads, not every field that they have. An
//! extender that binds says whether it would; the binding is then made by the scheduler, for the
//! extender has no way to the simulated API server.

mod check;
mod messages;

use std::fmt;
use std::sync::Arc;

use seatrial_api::document::{Diagnostics, DuplicateKeys, Node as Answer, Value, read_documents};
use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;

use crate::cluster::Cluster;
use crate::config::{ExtenderConfiguration, SchedulerConfiguration};
use crate::framework::{Code, MAX_NODE_SCORE, Plugin, Points, Scope};
use crate::preemption::Candidate;

pub(crate) use check::check;

/// Who carries calls to extenders out.
pub trait ExtenderClient: fmt::Debug + Send + Sync {
    /// Posts a JSON text to an address and returns the JSON text that is answered with status 200.
    ///
    /// # Errors
    /// Why there is no such answer within the time.
    fn post(&self, address: &str, body: &str, timeout: Span) -> Result<String, String>;
}

/// How a configuration reaches its extenders; not at all by default.
#[derive(Clone, Debug, Default)]
pub struct ExtenderCalls(pub Option<Arc<dyn ExtenderClient>>);

impl PartialEq for ExtenderCalls {
    /// Configurations that call by the same client, or do not call, are equal in that.
    fn eq(&self, other: &ExtenderCalls) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        }
    }
}

impl Eq for ExtenderCalls {}

/// The extender as a plugin that rejects pods: whatever happens may help them, as upstream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExtenderPlugin;

impl Plugin for ExtenderPlugin {
    fn name(&self) -> &'static str {
        "Extender"
    }

    fn points(&self) -> Points {
        Points::default()
    }

    fn scope(&self) -> Scope {
        Scope::Cluster
    }
}

/// The extenders of a scheduler.
#[derive(Clone, Copy)]
pub(crate) struct Extenders<'a> {
    configured: &'a [ExtenderConfiguration],
    client: &'a dyn ExtenderClient,
}

/// What the extenders leave of the feasible nodes.
#[derive(Debug, Default)]
pub(crate) struct Filtered {
    pub(crate) feasible: Vec<usize>,
    /// Nodes that an extender rejected: how, and why.
    pub(crate) rejected: Vec<(Symbol, Code, String)>,
}

/// The largest score that an extender gives.
const MAX_EXTENDER_SCORE: i64 = 10;

impl<'a> Extenders<'a> {
    /// The extenders of a configuration, if it has any.
    pub(crate) fn of(configuration: &'a SchedulerConfiguration) -> Option<Extenders<'a>> {
        let client = configuration.extender_calls.0.as_deref()?;
        (!configuration.extenders.is_empty())
            .then_some(Extenders { configured: &configuration.extenders, client })
    }

    fn interested(self, pod: &Pod) -> impl Iterator<Item = &'a ExtenderConfiguration> {
        self.configured.iter().filter(|extender| is_interested(extender, pod))
    }

    fn call(self, extender: &ExtenderConfiguration, verb: &str, body: &str) -> Result<Answer, String> {
        let address = format!("{}/{verb}", extender.url.trim_end_matches('/'));
        let text = self.client.post(&address, body, extender.timeout)?;
        let mut findings = Diagnostics::new();
        let mut answers = read_documents(&address, text.as_bytes(), DuplicateKeys::LastWins, &mut findings);
        match (answers.pop(), findings.errors().next()) {
            (_, Some(error)) => Err(error.to_string()),
            (Some(answer), None) => Ok(answer),
            (None, None) => Err(format!("{address}: the answer is empty")),
        }
    }

    /// Asks each interested extender which of the nodes that are left it can do with.
    ///
    /// # Errors
    /// If an extender that cannot be ignored does not answer.
    pub(crate) fn filter(
        self,
        cluster: &Cluster,
        pod: &Pod,
        feasible: Vec<usize>,
    ) -> Result<Filtered, String> {
        let mut left = Filtered { feasible, rejected: Vec::new() };
        for extender in self.interested(pod).filter(|extender| !extender.filter_verb.is_empty()) {
            if left.feasible.is_empty() {
                break;
            }
            let body = messages::arguments(cluster, pod, &left.feasible, extender.node_cache_capable);
            let answer = self.call(extender, &extender.filter_verb, &body);
            let outcome = answer.and_then(|answer| keep(cluster, extender, &answer, &mut left));
            match outcome {
                Err(_) if extender.is_ignorable => {}
                outcome => outcome?,
            }
        }
        Ok(left)
    }

    /// Adds to each node's total what the interested extenders give it; those that do not answer
    /// give nothing.
    pub(crate) fn score(self, cluster: &Cluster, pod: &Pod, feasible: &[usize], totals: &mut [i64]) {
        for extender in self.interested(pod).filter(|extender| !extender.prioritize_verb.is_empty()) {
            let body = messages::arguments(cluster, pod, feasible, extender.node_cache_capable);
            let Ok(answer) = self.call(extender, &extender.prioritize_verb, &body) else { continue };
            for entry in answer.as_sequence().into_iter().flatten() {
                let (host, score) = (field(&entry, "Host").and_then(Answer::as_str), field(&entry, "Score"));
                let Some(Value::Int(score)) = score.map(|score| &score.value) else { continue };
                let named = |&&position: &&usize| Some(cluster.node_at(position).name().as_str()) == host;
                if let Some(index) = feasible.iter().position(|position| named(&position)) {
                    let factor = extender.weight.saturating_mul(MAX_NODE_SCORE / MAX_EXTENDER_SCORE);
                    totals[index] = totals[index].saturating_add(score.saturating_mul(factor));
                }
            }
        }
    }

    /// Asks the interested extenders for victims which candidates, with which victims, are right.
    ///
    /// # Errors
    /// If an extender that cannot be ignored does not answer, or names victims that are not there.
    pub(crate) fn review(
        self,
        cluster: &Cluster,
        pod: &Pod,
        mut candidates: Vec<Candidate>,
    ) -> Result<Vec<Candidate>, String> {
        for extender in self.interested(pod).filter(|extender| !extender.preempt_verb.is_empty()) {
            if candidates.is_empty() {
                break;
            }
            let body = messages::preemption(pod, &candidates, extender.node_cache_capable);
            let answer = self.call(extender, &extender.preempt_verb, &body);
            match answer.and_then(|answer| reviewed(cluster, &answer)) {
                Ok(left) => candidates = left,
                Err(_) if extender.is_ignorable => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(candidates)
    }

    /// Asks the extender that binds pods, if it is interested, whether it binds this one.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn bind(self, pod: &Pod, node: Symbol) -> Result<(), String> {
        let Some(extender) = self.interested(pod).find(|extender| !extender.bind_verb.is_empty()) else {
            return Ok(());
        };
        let answer = self.call(extender, &extender.bind_verb, &messages::binding(pod, node))?;
        refusal(&answer).map_or(Ok(()), Err)
    }
}

/// Whether a pod is an extender's business: it manages nothing, or something that a container names.
fn is_interested(extender: &ExtenderConfiguration, pod: &Pod) -> bool {
    let managed = &extender.managed_resources;
    let names = |name: Symbol| managed.iter().any(|resource| resource.name == name);
    managed.is_empty()
        || pod.spec.all_containers().any(|container| {
            let amounts = container.requests.scalars.iter().chain(container.limits.scalars.iter());
            amounts.map(|(name, _)| name).any(names)
        })
}

/// A field of an answer; like Go, whatever the case of its letters.
fn field<'a>(answer: &'a Answer, name: &str) -> Option<&'a Answer> {
    let fields = answer.as_mapping()?.entries();
    let exact = fields.iter().find(|entry| entry.key == name);
    let found = exact.or_else(|| fields.iter().find(|entry| entry.key.eq_ignore_ascii_case(name)));
    found.map(|entry| &entry.value).filter(|value| !value.is_null())
}

/// What an extender says went wrong.
fn refusal(answer: &Answer) -> Option<String> {
    field(answer, "Error").and_then(Answer::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Keeps the nodes that an extender named.
fn keep(
    cluster: &Cluster,
    extender: &ExtenderConfiguration,
    answer: &Answer,
    left: &mut Filtered,
) -> Result<(), String> {
    if let Some(text) = refusal(answer) {
        return Err(text);
    }
    let names: Option<Vec<String>> = if extender.node_cache_capable {
        let names = field(answer, "NodeNames").and_then(Answer::as_sequence);
        names.map(|names| names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
    } else {
        let nodes = field(answer, "Nodes").and_then(|nodes| field(nodes, "items"));
        let name =
            |node: &'_ Answer| node.at(&["metadata", "name"]).and_then(Answer::as_str).map(str::to_owned);
        let names = nodes
            .and_then(Answer::as_sequence)
            .map(|nodes| nodes.iter().filter_map(|node| name(&node)).collect());
        return keep_named(cluster, extender, names.unwrap_or_default(), answer, left);
    };
    keep_named(cluster, extender, names.unwrap_or_default(), answer, left)
}

fn keep_named(
    cluster: &Cluster,
    extender: &ExtenderConfiguration,
    names: Vec<String>,
    answer: &Answer,
    left: &mut Filtered,
) -> Result<(), String> {
    let mut kept = Vec::new();
    for name in names {
        let named = |&&position: &&usize| cluster.node_at(position).name().as_str() == name;
        match left.feasible.iter().find(named) {
            Some(&position) => kept.push(position),
            None => {
                let url = &extender.url;
                return Err(format!(
                    "extender \"{url}\" claims a filtered node \"{name}\" which is not found in the input node list"
                ));
            }
        }
    }
    for (key, code) in
        [("FailedAndUnresolvableNodes", Code::Unresolvable), ("FailedNodes", Code::Unschedulable)]
    {
        for entry in field(answer, key).and_then(Answer::as_mapping).map_or(&[][..], |map| map.entries()) {
            let node = Symbol::new(&entry.key);
            if left.rejected.iter().all(|(other, ..)| *other != node) {
                let why = entry.value.as_str().unwrap_or_default().to_owned();
                left.rejected.push((node, code, why));
            }
        }
    }
    left.feasible = kept;
    Ok(())
}

/// The candidates that an extender answered with.
fn reviewed(cluster: &Cluster, answer: &Answer) -> Result<Vec<Candidate>, String> {
    let nodes = field(answer, "NodeNameToMetaVictims").and_then(Answer::as_mapping);
    let mut candidates = Vec::new();
    for entry in nodes.map_or(&[][..], |nodes| nodes.entries()) {
        let name = Symbol::new(&entry.key);
        let node =
            cluster.node(name).ok_or_else(|| format!("extender names a node {name} that is not there"))?;
        let mut victims = Vec::new();
        for victim in field(&entry.value, "Pods").and_then(Answer::as_sequence).into_iter().flatten() {
            let uid = field(&victim, "UID").and_then(Answer::as_str).unwrap_or_default();
            let found = node.pods().iter().find(|row| row.pod.meta.uid.to_string() == uid);
            let Some(found) = found else {
                return Err(format!("extender claims to preempt pod {uid} on node {name}, where it is not"));
            };
            victims.push(found.pod.clone());
        }
        let violations = match field(&entry.value, "NumPDBViolations").map(|count| &count.value) {
            Some(Value::Int(count)) => usize::try_from(*count).unwrap_or(0),
            _ => 0,
        };
        candidates.push(Candidate { node: name, victims, violations });
    }
    Ok(candidates)
}
