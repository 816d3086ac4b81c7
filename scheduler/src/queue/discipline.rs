//! In which order pods are tried: upstream's QueueSort, and disciplines of batch systems.
//!
//! Disciplines of one line give every pod a rank when it enters the queue. Dominant resource fairness
//! and Tetris keep a line for each queue or job and choose among the first ones whenever a pod is
//! taken out, because what counts changes with every placement.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use seatrial_api::meta::Uid;
use seatrial_api::pod::Pod;
use seatrial_api::resources::Resources;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;

use super::scheduling_queue::ActiveKey;
use crate::cluster::{Cluster, NodeInfo};
use crate::config::{QueueConfiguration, QueueDiscipline};
use crate::policies::best_alignment;

/// The label that puts a pod into a queue other than its namespace's.
pub(crate) const QUEUE_LABEL: &str = "kueue.x-k8s.io/queue-name";

/// The annotation that says how long a pod is expected to run, such as `90s` or `2h`.
pub(crate) const RUN_TIME_ANNOTATION: &str = "seatrial.dev/expected-run-time";

/// What counts for a pod of which nobody says how long it runs.
const RUN_TIME_UNKNOWN: Span = Span::from_hours(24);

/// So many jobs, those with the least work left, does Tetris choose among.
const TETRIS_CANDIDATES: usize = 64;

/// The order of the queue.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    configuration: QueueConfiguration,
}

impl Order {
    pub(crate) fn new(configuration: &QueueConfiguration) -> Order {
        Order { configuration: configuration.clone() }
    }

    /// The lines that the discipline keeps, if it is not one line.
    pub(crate) fn lines(&self) -> Option<Box<Lines>> {
        let by = match self.configuration.discipline {
            QueueDiscipline::DominantResourceFairness => By::Queue,
            QueueDiscipline::Tetris => By::Job,
            QueueDiscipline::Priority | QueueDiscipline::Fifo | QueueDiscipline::ShortestJobFirst => {
                return None;
            }
        };
        Some(Box::new(Lines { by, order: self.clone(), waiting: BTreeMap::new(), amounts: BTreeMap::new() }))
    }

    /// The rank of a pod in its line, the lowest first.
    pub(crate) fn rank(&self, pod: &Pod, arrival: i64) -> i64 {
        match self.configuration.discipline {
            QueueDiscipline::Priority | QueueDiscipline::DominantResourceFairness => {
                -i64::from(pod.spec.priority())
            }
            QueueDiscipline::Fifo | QueueDiscipline::Tetris => arrival,
            QueueDiscipline::ShortestJobFirst => self.run_time(pod).map_or(i64::MAX, Span::nanos),
        }
    }

    /// How long the pod is expected to run: what its annotation says, or the first estimate that
    /// selects it.
    pub(crate) fn run_time(&self, pod: &Pod) -> Option<Span> {
        let annotation = pod.meta.annotations.get(Symbol::new(RUN_TIME_ANNOTATION));
        if let Some(said) = annotation.and_then(|text| seatrial_api::duration::parse(text.as_str()).ok()) {
            return Some(said);
        }
        let selects = |estimate: &&crate::config::RunTimeEstimate| {
            estimate.namespace.is_none_or(|namespace| namespace == pod.meta.namespace)
                && estimate.selector.matches(&pod.meta.labels)
        };
        self.configuration.run_times.iter().find(selects).map(|estimate| estimate.run_time)
    }
}

/// What a line is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Pods of a queue: of a namespace, or of the queue that their label names.
    Queue,
    /// Pods of a job: of one controller, or one pod.
    Job,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    Queue(Symbol),
    Job(Uid),
}

/// Amounts of resources, or of resources times seconds.
#[derive(Clone, Debug, Default)]
struct Amounts(BTreeMap<Symbol, i128>);

impl Amounts {
    fn add(&mut self, resources: &Resources, factor: i128) {
        let mut add = |name: Symbol, amount: i64| {
            if amount == 0 {
                return;
            }
            let sum = self.0.entry(name).or_default();
            *sum += i128::from(amount) * factor;
            if *sum == 0 {
                self.0.remove(&name);
            }
        };
        add(Symbol::new("cpu"), resources.cpu.get());
        add(Symbol::new("memory"), resources.memory.get());
        resources.scalars.iter().for_each(|(name, amount)| add(name, amount));
    }

    /// Each amount as a share of what the cluster has.
    fn shares<'a>(&'a self, of: &'a Amounts) -> impl Iterator<Item = f64> + 'a {
        self.0.iter().filter_map(|(name, amount)| {
            let all = *of.0.get(name).filter(|all| **all > 0)?;
            Some(*amount as f64 / all as f64)
        })
    }

    fn of_cluster(cluster: &Cluster) -> Amounts {
        let mut all = Amounts::default();
        for node in cluster.nodes().iter().filter_map(NodeInfo::node) {
            all.add(&node.allocatable.amounts, 1);
        }
        all
    }
}

/// The waiting pods of disciplines with several lines.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    by: By,
    order: Order,
    waiting: BTreeMap<Line, BinaryHeap<Reverse<ActiveKey>>>,
    /// Per queue what its placed pods request; per job the work of all its pods that are not over:
    /// what they request times the seconds that they are expected to run.
    amounts: BTreeMap<Line, Amounts>,
}

impl Lines {
    fn line(&self, pod: &Pod) -> Line {
        match self.by {
            By::Queue => {
                let named = pod.meta.labels.get(Symbol::new(QUEUE_LABEL));
                Line::Queue(named.unwrap_or(pod.meta.namespace))
            }
            By::Job => Line::Job(pod.meta.controller().map_or(pod.meta.uid, |owner| owner.uid)),
        }
    }

    /// A pod waits.
    pub(super) fn push(&mut self, pod: &Pod, key: ActiveKey) {
        self.waiting.entry(self.line(pod)).or_default().push(Reverse(key));
    }

    /// A pod is there that was not known, or, if `sign` is −1, is there no more.
    pub(super) fn known(&mut self, pod: &Pod, sign: i128) {
        if self.by == By::Job {
            let run_time = self.order.run_time(pod).unwrap_or(RUN_TIME_UNKNOWN);
            let milliseconds = i128::from(run_time.nanos() / 1_000_000).max(1);
            self.count(pod, sign * milliseconds);
        }
    }

    /// A pod was given room, or, if `sign` is −1, gave it back.
    pub(super) fn placed(&mut self, pod: &Pod, sign: i128) {
        if self.by == By::Queue {
            self.count(pod, sign);
        }
    }

    fn count(&mut self, pod: &Pod, factor: i128) {
        let line = self.line(pod);
        let amounts = self.amounts.entry(line).or_default();
        amounts.add(&pod.spec.derived.requests, factor);
        if amounts.0.is_empty() {
            self.amounts.remove(&line);
        }
    }

    /// Takes the next pod out. `pod_of` answers with the pod of a key if it still waits.
    pub(super) fn pop<'a>(
        &mut self,
        cluster: &Cluster,
        pod_of: impl Fn(&ActiveKey) -> Option<&'a Arc<Pod>>,
    ) -> Option<u32> {
        for heap in self.waiting.values_mut() {
            while heap.peek().is_some_and(|Reverse(key)| pod_of(key).is_none()) {
                heap.pop();
            }
        }
        self.waiting.retain(|_, heap| !heap.is_empty());
        let line = match self.by {
            By::Queue => self.poorest(cluster)?,
            By::Job => self.best_job(cluster, pod_of)?,
        };
        self.waiting.get_mut(&line)?.pop().map(|Reverse(key)| key.pod)
    }

    /// The queue with the smallest dominant share, the first by name among equals.
    fn poorest(&self, cluster: &Cluster) -> Option<Line> {
        let all = Amounts::of_cluster(cluster);
        let dominant =
            |line: &Line| self.amounts.get(line).map_or(0.0, |held| held.shares(&all).fold(0.0, f64::max));
        let shares = self.waiting.keys().map(|line| (dominant(line), *line));
        shares.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).map(|(_, line)| line)
    }

    /// The job whose first pod has the largest `alignment − ε × remaining work`, with ε the ratio of
    /// the means of both; the one with least work left where none fits.
    fn best_job<'a>(
        &self,
        cluster: &Cluster,
        pod_of: impl Fn(&ActiveKey) -> Option<&'a Arc<Pod>>,
    ) -> Option<Line> {
        let all = Amounts::of_cluster(cluster);
        let work = |line: &Line| self.amounts.get(line).map_or(0.0, |work| work.shares(&all).sum());
        let mut jobs: Vec<(f64, Line)> = self.waiting.keys().map(|line| (work(line), *line)).collect();
        jobs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let least = jobs.first()?.1;
        jobs.truncate(TETRIS_CANDIDATES);
        let alignment = |line: &Line| {
            let Reverse(key) = self.waiting.get(line)?.peek()?;
            best_alignment(cluster, pod_of(key)?)
        };
        let scored: Vec<(f64, f64, Line)> =
            jobs.iter().filter_map(|(work, line)| Some((alignment(line)?, *work, *line))).collect();
        let (alignments, works) =
            scored.iter().fold((0.0, 0.0), |(a, p), (alignment, work, _)| (a + alignment, p + work));
        let epsilon = if works > 0.0 { alignments / works } else { 0.0 };
        let mut best: Option<(f64, Line)> = None;
        for (alignment, work, line) in scored {
            let score = alignment - epsilon * work;
            if best.is_none_or(|(highest, _)| score > highest) {
                best = Some((score, line));
            }
        }
        Some(best.map_or(least, |(_, line)| line))
    }
}
