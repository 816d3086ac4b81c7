//! Reads a scenario.

use seatrial_api::calendar::Timestamp;
use seatrial_api::document::{FieldPath, Node, Sequence, Value as Placed};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;
use serde_json::Value;

use crate::recordings::json;
use crate::schema::Reader;

/// A scenario as it is played.
pub(super) struct Scenario {
    /// The name.
    pub(super) id: String,
    /// Which controllers it is about.
    pub(super) area: String,
    /// Where its objects live.
    pub(super) namespace: Symbol,
    /// The time of day at its start.
    pub(super) clock: Timestamp,
    /// What the scripted kubelet takes for what.
    pub(super) kubelet: Delays,
    /// The nodes that are there at the start.
    pub(super) nodes: Vec<Node>,
    /// All other objects that are.
    pub(super) setup: Vec<Node>,
    /// What is done, in order.
    pub(super) actions: Vec<Action>,
    /// How long it is.
    pub(super) end: Span,
    /// The whole line, for the facts.
    pub(super) line: Value,
}

/// The delays of the scripted kubelet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delays {
    /// From a pod's binding to its start.
    pub(super) start: Span,
    /// From one start to the next.
    pub(super) serial: Span,
    /// From the beginning of a pod's termination to its end.
    pub(super) term: Span,
}

/// Something that is done.
pub(super) struct Action {
    /// When.
    pub(super) at: Span,
    /// What: its first field says what is done, the others how.
    pub(super) what: Node,
}

impl Action {
    /// What is done, and its argument.
    pub(super) fn operation(&self) -> Option<(&str, &Node)> {
        let entry = self.what.as_mapping()?.entries().first()?;
        Some((entry.key.as_str(), &entry.value))
    }

    /// A further argument.
    pub(super) fn argument(&self, name: &str) -> Option<&Node> {
        self.what.get(name).filter(|node| !node.is_null())
    }

    /// A further argument that is a text; empty if there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.argument(name).and_then(Node::as_str).unwrap_or("")
    }

    /// A further argument that switches something on or off.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.argument(name)?.value {
            Placed::Bool(on) => Some(on),
            Placed::Int(number) => Some(number != 0),
            _ => None,
        }
    }
}

impl Scenario {
    pub(super) fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Scenario> {
        let path = FieldPath::ROOT;
        let id = text(node, &path, "id", reader);
        let area = node.get("area").and_then(Node::as_str).unwrap_or("").to_owned();
        let clock = node.get("clock").and_then(Node::as_str).map(Timestamp::parse);
        let clock = match clock {
            None => Some(Timestamp { seconds: 0, nanos: 0 }),
            Some(Ok(clock)) => Some(clock),
            Some(Err(_)) => reader.wrong(
                &node.get("clock").cloned().unwrap_or_else(|| node.clone()),
                &path,
                "a time as clock",
            ),
        };
        let kubelet = node.at(&["cluster", "kubelet"]);
        let delay =
            |name: &str| kubelet.and_then(|kubelet| seconds(kubelet.get(name)?)).unwrap_or(Span::ZERO);
        let kubelet = Delays { start: delay("start"), serial: delay("serial"), term: delay("term") };
        let mut actions = Vec::new();
        for action in &list(node.get("actions")) {
            match (action.get("at").and_then(seconds), action.get("do")) {
                (Some(at), Some(what)) => actions.push(Action { at, what: what.clone() }),
                _ => {
                    reader.wrong::<()>(action, &path.key("actions"), "an action: when (at) and what (do)");
                    return None;
                }
            }
        }
        let id = id?;
        let namespace = node.get("namespace").and_then(Node::as_str).unwrap_or(&id);
        Some(Scenario {
            namespace: Symbol::new(namespace),
            area,
            clock: clock?,
            kubelet,
            nodes: list(node.get("nodes")),
            setup: list(node.get("setup")),
            actions,
            end: node.get("end").and_then(seconds).unwrap_or(Span::ZERO),
            line: json::plain(node),
            id,
        })
    }
}

fn text(node: &Node, path: &FieldPath<'_>, key: &str, reader: &mut Reader<'_>) -> Option<String> {
    match node.get(key).and_then(Node::as_str) {
        Some(text) => Some(text.to_owned()),
        None => reader.wrong(node.get(key).unwrap_or(node), path, &format!("a text as {key}")),
    }
}

/// A number of seconds.
pub(super) fn seconds(node: &Node) -> Option<Span> {
    let seconds = match node.value {
        Placed::Int(seconds) => seconds as f64,
        Placed::Float(seconds) => seconds,
        _ => return None,
    };
    (seconds.abs() < MAX_SECONDS).then(|| span(seconds))
}

/// The longest time that a scenario can name: some years.
const MAX_SECONDS: f64 = 1e8;

/// So many seconds.
pub(super) fn span(seconds: f64) -> Span {
    Span::from_nanos((seconds * 1e9).round() as i64)
}

fn list(node: Option<&Node>) -> Vec<Node> {
    node.and_then(Node::as_sequence).map(Sequence::to_vec).unwrap_or_default()
}
