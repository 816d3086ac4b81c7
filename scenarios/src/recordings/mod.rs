//! Recordings of real Kubernetes: what it was asked and what it answered, one of them a line of
//! JSON. Each is played by the machines of this system, and both answers are compared.
//!
//! What a line is, is seen from its fields ([`Kind`]). A kind knows how to read its lines, what to
//! answer and which facts of two answers are compared; counting and showing is common to all.

mod answers;
mod controllers;
mod json;
mod lines;
mod node;
mod scheduler;
mod tally;

use std::fmt;
use std::sync::Arc;

use seatrial_api::document::{Diagnostics, FieldPath, Node};
use seatrial_api::version::KubernetesVersion;

pub use answers::ApiAnswer;
pub use controllers::ControllerScenario;
pub use node::NodeScenario;
pub use scheduler::SchedulerCase;
pub use tally::{Comparison, Count, Difference, Fact, Row, Tally};

use crate::schema::Reader;
use answers::SequenceReader;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Pods for the scheduler, one after another.
    SchedulerCase,
    /// What controllers do about objects.
    ControllerScenario,
    /// What a kubelet does with pods.
    NodeScenario,
    /// A request to the API server and its answer.
    ApiAnswer,
    /// Commands of kubectl and what they print.
    KubectlTranscript,
}

impl Kind {
    /// All kinds, each with a field that only its lines have.
    const FIELDS: [(&str, Kind); 5] = [
        ("pods", Kind::SchedulerCase),
        ("setup", Kind::ControllerScenario),
        ("script", Kind::NodeScenario),
        ("request", Kind::ApiAnswer),
        ("steps", Kind::KubectlTranscript),
    ];

    /// The kind of a line.
    fn of(node: &Node) -> Option<Kind> {
        let fields = node.as_mapping()?;
        // Transcripts have a setup, too.
        let known = Kind::FIELDS.iter().rev().find(|(field, _)| fields.get(field).is_some());
        known.map(|(_, kind)| *kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::SchedulerCase => "scheduler case",
            Kind::ControllerScenario => "controller scenario",
            Kind::NodeScenario => "node scenario",
            Kind::ApiAnswer => "API answer",
            Kind::KubectlTranscript => "kubectl transcript",
        })
    }
}

/// One line of a file of recordings.
pub struct Line {
    /// The file.
    pub file: Arc<str>,
    /// The line in it, from 1.
    pub number: u32,
    /// What is recorded there.
    pub recording: Recording,
}

/// A recording that can be played.
pub enum Recording {
    /// Pods for the scheduler.
    Scheduler(Box<SchedulerCase>),
    /// Objects for the controllers.
    Controllers(Box<ControllerScenario>),
    /// Pods for a kubelet.
    Node(Box<NodeScenario>),
    /// A request to the API server.
    Answer(Box<ApiAnswer>),
}

impl Recording {
    /// What it is.
    pub fn kind(&self) -> Kind {
        match self {
            Recording::Scheduler(_) => Kind::SchedulerCase,
            Recording::Controllers(_) => Kind::ControllerScenario,
            Recording::Node(_) => Kind::NodeScenario,
            Recording::Answer(_) => Kind::ApiAnswer,
        }
    }

    /// Its name.
    pub fn id(&self) -> &str {
        match self {
            Recording::Scheduler(case) => &case.id,
            Recording::Controllers(scenario) => scenario.id(),
            Recording::Node(scenario) => scenario.id(),
            Recording::Answer(answer) => answer.id(),
        }
    }

    /// What this system answers to it, as a line of JSON.
    pub fn answer(&self) -> String {
        match self {
            Recording::Scheduler(case) => case.answer(),
            Recording::Controllers(scenario) => scenario.answer(),
            Recording::Node(scenario) => scenario.answer(),
            Recording::Answer(answer) => answer.answer(),
        }
    }

    /// How what this system answers compares with what was recorded; `None` where nothing was.
    pub fn compare(&self) -> Option<Comparison> {
        match self {
            Recording::Scheduler(case) => case.compare(),
            Recording::Controllers(scenario) => scenario.compare(),
            Recording::Node(scenario) => scenario.compare(),
            Recording::Answer(answer) => answer.compare(),
        }
    }
}

/// Reads a file of recordings, plain or compressed by gzip, to be played as `version` behaves.
/// Whatever is wrong with a line is among `findings`, and the line is left out.
pub fn read_recordings(
    file: &str,
    bytes: &[u8],
    version: KubernetesVersion,
    findings: &mut Diagnostics,
) -> Vec<Line> {
    let file: Arc<str> = file.into();
    let mut read = Vec::new();
    let mut sequence = SequenceReader::default();
    lines::read(&file, bytes, findings, |number, node, findings| {
        let mut reader = Reader::new(&file, findings);
        if let Some(recording) = recording(node, version, &mut sequence, &mut reader) {
            read.push(Line { file: file.clone(), number, recording });
        }
    });
    read
}

fn recording(
    node: &Node,
    version: KubernetesVersion,
    sequence: &mut SequenceReader,
    reader: &mut Reader<'_>,
) -> Option<Recording> {
    let path = FieldPath::ROOT;
    let Some(kind) = Kind::of(node) else {
        let fields: Vec<&str> = Kind::FIELDS.iter().map(|(field, _)| *field).collect();
        return reader.wrong(node, &path, &format!("a recording, with a field {}", fields.join(" or ")));
    };
    match kind {
        Kind::SchedulerCase => {
            SchedulerCase::read(node, version, reader).map(Box::new).map(Recording::Scheduler)
        }
        Kind::ControllerScenario => {
            ControllerScenario::read(node, version, reader).map(Box::new).map(Recording::Controllers)
        }
        Kind::NodeScenario => NodeScenario::read(node, version, reader).map(Box::new).map(Recording::Node),
        Kind::ApiAnswer => {
            ApiAnswer::read(node, version, sequence, reader).map(Box::new).map(Recording::Answer)
        }
        kind @ Kind::KubectlTranscript => {
            reader.error(node.position, &path, |error| error.message(format!("{kind}s are not played yet")));
            None
        }
    }
}
