//! Counting what is equal.

use std::collections::BTreeMap;
use std::fmt;

/// A kind of fact that answers are compared in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// What became of a pod, and on which node.
    Outcome,
    /// Which nodes were feasible in an attempt.
    Feasible,
    /// Why a node was not.
    Rejection,
    /// The score that a plugin gave a node, or a node's sum.
    ScoreCell,
    /// All best nodes.
    Ties,
    /// What the user is told.
    Message,
    /// Who had to go.
    Victims,
    /// A fact about what controllers did, by its name in the recordings.
    Controller(&'static str),
    /// When an object of a controller reached something.
    Milestone,
    /// A fact about what a kubelet did, by its name in the recordings.
    Node(&'static str),
    /// A part of an answer of the API server, by its name in the recordings.
    Answer(&'static str),
}

impl Fact {
    /// The plural under which it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Fact::Outcome => "outcomes",
            Fact::Feasible => "feasible_sets",
            Fact::Rejection => "rejections",
            Fact::ScoreCell => "score_cells",
            Fact::Ties => "tie_sets",
            Fact::Message => "messages",
            Fact::Victims => "victims",
            Fact::Node(name) | Fact::Controller(name) | Fact::Answer(name) => name,
            Fact::Milestone => "milestones",
        }
    }
}

impl Fact {
    /// How many in a hundred must be equal.
    pub fn least_percent(self) -> u64 {
        match self {
            Fact::Milestone => 98,
            _ => 100,
        }
    }
}

/// How many of how many are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// The equal ones.
    pub equal: u64,
    /// All.
    pub total: u64,
}

impl Count {
    /// Counts one.
    pub fn add(&mut self, equal: bool) {
        self.equal += u64::from(equal);
        self.total += 1;
    }

    /// Counts what another one has counted.
    pub fn merge(&mut self, other: Count) {
        self.equal += other.equal;
        self.total += other.total;
    }

    /// Whether all are equal.
    pub fn is_full(self) -> bool {
        self.equal == self.total
    }
}

impl fmt::Display for Count {
    /// `12` if all of twelve are equal, else `11/12`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_full() { self.total.fmt(f) } else { write!(f, "{}/{}", self.equal, self.total) }
    }
}

/// Something in which two answers differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is about: a pod, `namespace/name`.
    pub subject: String,
    /// Which kind of fact it is.
    pub fact: Fact,
    /// The place in the answer, as in `attempts[0].scores.nodes.node-003.NodeAffinity`.
    pub at: String,
    /// What is answered here, as JSON; `absent` for nothing.
    pub found: String,
    /// What was recorded.
    pub recorded: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: found {}, recorded {}", self.subject, self.at, self.found, self.recorded)
    }
}

/// How one recording compares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What the recording is about.
    pub features: Vec<String>,
    /// The pods, or other subjects, that were answered for; equal are those that are in everything.
    pub subjects: Count,
    /// Facts by kind.
    pub facts: BTreeMap<Fact, Count>,
    /// Facts that are a plugin's, by plugin.
    pub plugins: BTreeMap<String, Count>,
    /// All differences, in order.
    pub differences: Vec<Difference>,
}

impl Comparison {
    /// Whether something differs that must not. Where most of a kind of fact suffices, that is judged
    /// over all recordings.
    pub fn fails(&self) -> bool {
        self.differences.iter().any(|difference| difference.fact.least_percent() == 100)
    }
}

/// A row of the table: recordings with something in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The recordings.
    pub recordings: Count,
    /// Their pods.
    pub subjects: Count,
    /// Their facts by kind.
    pub facts: BTreeMap<Fact, Count>,
}

impl Row {
    fn add(&mut self, comparison: &Comparison) {
        self.recordings.add(!comparison.fails());
        self.subjects.merge(comparison.subjects);
        for (&fact, &count) in &comparison.facts {
            self.facts.entry(fact).or_default().merge(count);
        }
    }

    /// Whether everything is equal.
    pub fn is_full(&self) -> bool {
        self.recordings.is_full() && self.facts.values().all(|count| count.is_full())
    }

    /// Whether as much is equal as must be.
    pub fn passes(&self) -> bool {
        let enough = |(fact, count): (&Fact, &Count)| count.equal * 100 >= fact.least_percent() * count.total;
        self.recordings.is_full() && self.facts.iter().all(enough)
    }
}

/// Sums over recordings of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub all: Row,
    /// Those with a feature. A recording with two is in both.
    pub features: BTreeMap<String, Row>,
    /// Facts that are a plugin's.
    pub plugins: BTreeMap<String, Count>,
}

impl Tally {
    /// Adds a recording.
    pub fn add(&mut self, comparison: &Comparison) {
        self.all.add(comparison);
        for feature in &comparison.features {
            self.features.entry(feature.clone()).or_default().add(comparison);
        }
        for (plugin, &count) in &comparison.plugins {
            self.plugins.entry(plugin.clone()).or_default().merge(count);
        }
    }
}
