//! The contract of every component: a machine takes an input at an instant and answers with
//! effects. It owns the memory around its plans and asks nobody: not the clock, not the network,
//! not a random source of its own.

use std::borrow::Cow;
use std::sync::Arc;

use crate::cloud::{CloudReport, CloudRequest};
use crate::object::ObjectRef;
use crate::request::{ApiError, Reply, Request, WatchEvent};
use crate::runtime::{RuntimeCommand, RuntimeReport};
use crate::symbol::Symbol;
use crate::units::{Bytes, MilliCpu, SimTime, Span};

/// The key by which a machine recognises the reply to a request it made.
pub type Token = u64;

/// What a machine is told.
#[derive(Clone, Debug)]
pub enum Input<'a, Timer> {
    /// A watched object changed.
    Watch(&'a WatchEvent),
    /// A request was answered.
    Reply {
        /// The key that the machine gave the request.
        token: Token,
        /// The answer.
        reply: &'a Reply,
    },
    /// A timer that the machine set is due. Timers cannot be cancelled: a machine that no longer
    /// wants one ignores it.
    Timer(Timer),
    /// A query for metrics was answered.
    Metrics {
        /// The key that the machine gave the query.
        token: Token,
        /// The samples in order of pod rows, or a refusal.
        samples: &'a Result<Vec<PodMetrics>, ApiError>,
    },
    /// A query for values of the custom or external metrics API was answered.
    MetricValues {
        /// The key that the machine gave the query.
        token: Token,
        /// The values, those of pods in order of their rows, or a refusal.
        values: &'a Result<Vec<MetricValue>, ApiError>,
    },
    /// News of a node's lease.
    Heartbeat {
        /// The node's row in the store.
        node: u32,
        /// The news.
        heartbeat: Heartbeat,
    },
    /// The container runtime of a node reports.
    Runtime {
        /// The node's row in the store.
        node: u32,
        /// The report.
        report: RuntimeReport,
    },
    /// The cloud tells of machines.
    Cloud(CloudReport),
}

/// News of a node's lease.
///
/// Renewals that come on schedule change nothing, so a driver need not play them one by one: it
/// says once that they go on, and once that they have ceased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// From now on the lease is renewed on schedule, until further notice.
    Regular,
    /// The lease was renewed last at this instant and will not be until further notice.
    Ceased {
        /// The last renewal that the API server accepted.
        last: SimTime,
    },
    /// The lease was renewed now; nothing is said about the next renewal (live clusters).
    Renewed,
}

/// What the metrics server knows of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerMetrics {
    /// The container.
    pub name: Symbol,
    /// CPU use over the window.
    pub cpu: MilliCpu,
    /// Memory in use.
    pub memory: Bytes,
}

/// A value of the custom or external metrics API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricValue {
    /// The pod that it is about, by its row; `u32::MAX` for values about anything else.
    pub pod: u32,
    /// The value in thousandths.
    pub value: i64,
    /// When it was measured.
    pub sampled_at: SimTime,
    /// Over how long.
    pub window: Span,
}

/// What the metrics server knows of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodMetrics {
    /// The pod's row in the store.
    pub pod: u32,
    /// CPU use over the window.
    pub cpu: MilliCpu,
    /// Memory in use.
    pub memory: Bytes,
    /// The end of the window.
    pub sampled_at: SimTime,
    /// The length of the window.
    pub window: Span,
    /// Its containers; `None` for a pod of one, whose use is the pod's.
    pub containers: Option<Arc<[ContainerMetrics]>>,
}

/// Whether a decision is routine or a trouble, as the type of an Event object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// `Normal`.
    Normal,
    /// `Warning`.
    Warning,
}

/// What was decided and why: the content of a Kubernetes Event.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The object that it is about.
    pub object: ObjectRef,
    /// `Normal` or `Warning`.
    pub severity: Severity,
    /// The reason, such as `Scheduled`.
    pub reason: &'static str,
    /// The message; empty where nobody reads messages.
    pub message: Cow<'static, str>,
    /// The container that it is about, by its position in the pod.
    pub container: Option<u16>,
}

/// A request on its way.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The key for the reply; [`NO_REPLY`] if the machine does not care.
    pub token: Token,
    /// When the client's rate limit lets it go; not before now.
    pub send_at: SimTime,
    /// The request.
    pub request: Request,
}

/// The key of requests whose reply nobody waits for.
pub const NO_REPLY: Token = Token::MAX;

/// What a machine wants done, pushed into a buffer that its driver uses again and again.
#[derive(Clone, Debug)]
pub struct Effects<Timer> {
    /// API requests, in order.
    pub requests: Vec<Outgoing>,
    /// Timers with their instants.
    pub timers: Vec<(SimTime, Timer)>,
    /// Commands to the container runtimes, by the node's row.
    pub commands: Vec<(u32, RuntimeCommand)>,
    /// What the cloud is asked for, in order.
    pub cloud: Vec<CloudRequest>,
    /// What was decided.
    pub decisions: Vec<Decision>,
    /// Whether someone reads the messages of decisions. If not, machines leave them empty, so
    /// that a run which explains nothing pays nothing for explanations.
    pub explain: bool,
}

impl<Timer> Effects<Timer> {
    /// An empty buffer.
    pub fn new(explain: bool) -> Effects<Timer> {
        Effects {
            requests: Vec::new(),
            timers: Vec::new(),
            commands: Vec::new(),
            cloud: Vec::new(),
            decisions: Vec::new(),
            explain,
        }
    }

    /// Sends a request at once.
    pub fn request(&mut self, now: SimTime, token: Token, request: Request) {
        self.requests.push(Outgoing { token, send_at: now, request });
    }

    /// Sends a request when the client's rate limit lets it go.
    pub fn request_at(&mut self, send_at: SimTime, token: Token, request: Request) {
        self.requests.push(Outgoing { token, send_at, request });
    }

    /// Sets a timer.
    pub fn timer(&mut self, at: SimTime, timer: Timer) {
        self.timers.push((at, timer));
    }

    /// Commands a node's runtime.
    pub fn command(&mut self, node: u32, command: RuntimeCommand) {
        self.commands.push((node, command));
    }

    /// Asks the cloud for something.
    pub fn ask_cloud(&mut self, request: CloudRequest) {
        self.cloud.push(request);
    }

    /// Records a decision whose message is made only if someone reads it.
    pub fn decide<M: Into<Cow<'static, str>>>(
        &mut self,
        object: ObjectRef,
        severity: Severity,
        reason: &'static str,
        message: impl FnOnce() -> M,
    ) {
        let message = if self.explain { message().into() } else { Cow::Borrowed("") };
        self.decisions.push(Decision { object, severity, reason, message, container: None });
    }

    /// Records a decision about a container of a pod.
    pub fn decide_for<M: Into<Cow<'static, str>>>(
        &mut self,
        object: ObjectRef,
        container: usize,
        severity: Severity,
        reason: &'static str,
        message: impl FnOnce() -> M,
    ) {
        self.decide(object, severity, reason, message);
        if let Some(decision) = self.decisions.last_mut() {
            decision.container = u16::try_from(container).ok();
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
            && self.timers.is_empty()
            && self.commands.is_empty()
            && self.cloud.is_empty()
            && self.decisions.is_empty()
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        self.requests.clear();
        self.timers.clear();
        self.commands.clear();
        self.cloud.clear();
        self.decisions.clear();
    }
}

/// A component: scheduler, controllers, kubelets, autoscaler.
pub trait Machine {
    /// Its timers.
    type Timer: Copy;

    /// Takes one input and pushes what follows from it. The caller hands in an empty buffer.
    fn handle(&mut self, now: SimTime, input: Input<'_, Self::Timer>, effects: &mut Effects<Self::Timer>);
}
