//! Verdicts of plugins, and the sentences made of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use seatrial_api::symbol::Symbol;

/// How a node or a pod was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// It does not fit now; evicting pods of lower priority may help.
    Unschedulable,
    /// It does not fit, and evicting pods cannot help.
    Unresolvable,
}

impl Code {
    /// Upstream's name of the code.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Unschedulable => "Unschedulable",
            Code::Unresolvable => "UnschedulableAndUnresolvable",
        }
    }
}

/// A reason, as users read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A fixed sentence.
    Text(&'static str),
    /// `Insufficient RESOURCE`.
    Insufficient(Symbol),
    /// A sentence with names in it.
    Owned(Arc<str>),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Text(text) => f.write_str(text),
            Reason::Insufficient(resource) => write!(f, "Insufficient {resource}"),
            Reason::Owned(text) => f.write_str(text),
        }
    }
}

/// What a filter says of a node.
pub type Verdict = Result<(), Code>;

/// Where filters leave their reasons, if somebody reads them.
#[derive(Clone, Debug)]
pub struct Why {
    wanted: bool,
    reasons: Vec<Reason>,
}

impl Why {
    /// Reasons are wanted.
    pub fn wanted() -> Why {
        Why { wanted: true, reasons: Vec::new() }
    }

    /// Reasons are thrown away.
    pub fn ignored() -> Why {
        Why { wanted: false, reasons: Vec::new() }
    }

    /// Reasons are wanted if `wanted`.
    pub(crate) fn wanted_if(wanted: bool) -> Why {
        Why { wanted, reasons: Vec::new() }
    }

    /// Adds a reason.
    pub fn say(&mut self, reason: impl FnOnce() -> Reason) {
        if self.wanted {
            self.reasons.push(reason());
        }
    }

    /// Adds a fixed reason and answers with `code`.
    pub fn reject(&mut self, code: Code, text: &'static str) -> Verdict {
        self.say(|| Reason::Text(text));
        Err(code)
    }

    /// Takes the reasons out.
    pub fn take(&mut self) -> Vec<Reason> {
        std::mem::take(&mut self.reasons)
    }
}

/// How often each reason was given.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReasonCounts {
    /// Reasons without names in them: few, so that looking through them is quick.
    plain: Vec<(Reason, usize)>,
    /// Sentences with names in them: each node may have its own.
    named: BTreeMap<Arc<str>, usize>,
}

impl ReasonCounts {
    /// Counts a reason `count` times more.
    pub(crate) fn add(&mut self, reason: &Reason, count: usize) {
        if let Reason::Owned(text) = reason {
            *self.named.entry(text.clone()).or_default() += count;
            return;
        }
        match self.plain.iter_mut().find(|(known, _)| known == reason) {
            Some((_, counted)) => *counted += count,
            None => self.plain.push((reason.clone(), count)),
        }
    }

    /// By their texts, which different reasons may share.
    fn by_text(&self) -> BTreeMap<String, usize> {
        let mut counts: BTreeMap<String, usize> =
            self.named.iter().map(|(text, count)| (text.to_string(), *count)).collect();
        for (reason, count) in &self.plain {
            *counts.entry(reason.to_string()).or_default() += count;
        }
        counts
    }
}

/// `0/N nodes are available: COUNT REASON, …`, entries sorted as plain text.
pub(crate) fn fit_message(nodes: usize, counts: &ReasonCounts) -> String {
    let counts = counts.by_text();
    let mut entries: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    entries.sort();
    let mut message = format!("0/{nodes} nodes are available:");
    if !entries.is_empty() {
        message.push(' ');
        message.push_str(&entries.join(", "));
        message.push('.');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_reasons_are_sorted_as_text() {
        let mut counts = ReasonCounts::default();
        counts.add(&Reason::Text("Too many pods"), 2);
        counts.add(&Reason::Insufficient("cpu".into()), 9);
        counts.add(&Reason::Owned("Insufficient cpu".into()), 1);
        let message = fit_message(12, &counts);
        assert_eq!(message, "0/12 nodes are available: 10 Insufficient cpu, 2 Too many pods.");
    }
}
