//! The rows of the node table.

use std::collections::VecDeque;
use std::sync::Arc;

use seatrial_api::client::TokenBucket;
use seatrial_api::node::{Node, NodeResources};
use seatrial_api::resources::Resources;
use seatrial_api::scheduling::TaintEffect;
use seatrial_api::stream::Stream;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use crate::config::{KubeletConfig, PresentImages};
use crate::preemption::Preemption;
use crate::pulls::Puller;
use crate::shutdown::Shutdown;
use crate::statics::HOUSEKEEPING;
use crate::volumes::VolumesInUse;

/// The random streams of a kubelet.
const PURPOSE_PHASES: u64 = 0x6b75_6265_6c65_7401;

/// Instants that repeat with a period for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    anchor: SimTime,
    period: Span,
}

impl Grid {
    /// The instants `anchor`, `anchor + period` …
    ///
    /// # Panics
    /// If `period` is not positive.
    pub(crate) fn new(anchor: SimTime, period: Span) -> Grid {
        assert!(period > Span::ZERO, "a grid needs a period");
        Grid { anchor, period }
    }

    /// The last instant at or before `now`; before the first one, the period before it.
    pub(crate) fn last(&self, now: SimTime) -> SimTime {
        let since = (now - self.anchor).nanos();
        self.anchor + Span::from_nanos(since.div_euclid(self.period.nanos()) * self.period.nanos())
    }

    /// The first instant after `now`.
    pub(crate) fn next(&self, now: SimTime) -> SimTime {
        self.last(now) + self.period
    }

    /// The first instant at or after `time`.
    pub(crate) fn ceil(&self, time: SimTime) -> SimTime {
        self.next(time - Span::from_nanos(1))
    }
}

/// The images of a node.
#[derive(Clone, Debug)]
pub(crate) struct Images {
    present: PresentImages,
    pulled: Vec<Symbol>,
}

impl Images {
    fn new(present: PresentImages) -> Images {
        Images { present, pulled: Vec::new() }
    }

    /// Whether an image is there.
    pub(crate) fn contains(&self, image: Symbol) -> bool {
        match &self.present {
            PresentImages::All => true,
            PresentImages::Listed(list) => list.contains(&image) || self.pulled.contains(&image),
        }
    }

    /// An image was pulled. Returns whether it is a new one.
    pub(crate) fn add(&mut self, image: Symbol) -> bool {
        let new = !self.contains(image);
        if new {
            self.pulled.push(image);
        }
        new
    }

    /// The images by name, where they are known one by one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Symbol> + '_ {
        let listed: &[Symbol] = match &self.present {
            PresentImages::All => &[],
            PresentImages::Listed(list) => list,
        };
        listed.iter().chain(&self.pulled).copied()
    }
}

/// Whether and how a node's kubelet works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    /// The machine is off.
    Off,
    /// The machine is on, its kubelet is not: containers run on.
    KubeletDown,
    /// The kubelet works.
    On,
}

/// A node and its kubelet. What nearly every event of a pod touches lies in the first two lines of
/// a cache.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct NodeRow {
    /// Whether it works.
    pub power: Power,
    /// Whether it has a taint that keeps pods from running.
    pub no_execute: bool,
    /// How often the machine or the kubelet has started; timers of earlier lives are void.
    pub life: u32,
    /// Its row in the store.
    pub id: u32,
    /// Its address.
    pub ip: u32,
    /// The pod whose status is on its way.
    pub sending: Option<u32>,
    /// When the runtime is listed.
    pub relists: Grid,
    /// The next relist that someone waits for.
    pub relist_at: Option<SimTime>,
    /// How many active pods there are.
    pub active: i64,
    /// The pods of the node by id.
    pub pods: Vec<u32>,
    /// The pods that wait for the next relist.
    pub awaiting: Vec<u32>,
    /// When statuses are compared with the API server's next.
    pub check_at: Option<SimTime>,
    /// Pods whose statuses wait for the one that is on its way.
    pub queue: VecDeque<u32>,
    /// The pods whose statuses are compared at the next check.
    pub doubtful: Vec<u32>,
    /// What its active pods request.
    pub used: Resources,
    /// What it has to give away.
    pub allocatable: NodeResources,
    /// The API client's limit.
    pub client: TokenBucket,
    /// The settings.
    pub config: Arc<KubeletConfig>,
    /// The newest version that is known.
    pub node: Arc<Node>,
    /// When due pods are taken from the workers' queue.
    pub ticks: Grid,
    /// When the status manager looks for statuses that others have changed, and when the node's
    /// own status is computed.
    pub checks: Grid,
    /// When the kubelet started.
    pub started_at: SimTime,
    /// The image puller.
    pub puller: Puller,
    /// The images.
    pub images: Images,
    /// When the list of images is posted next.
    pub images_at: Option<SimTime>,
    /// When the node's own status is compared next.
    pub node_check_at: Option<SimTime>,
    /// Until when the node says that it is short of memory.
    pub pressure_until: Option<SimTime>,
    /// Critical pods for which room is made.
    pub preemptions: Vec<Preemption>,
    /// The orderly shutdown under way.
    pub shutdown: Option<Shutdown>,
    /// How often the registration has failed.
    pub registration_failures: u32,
    /// The attachable volumes that its pods use.
    pub volumes_in_use: VolumesInUse,
    /// Pods that wait for volumes to be attached.
    pub awaiting_volumes: Vec<u32>,
}

impl NodeRow {
    /// A row of a machine that is off.
    pub(crate) fn new(node: Arc<Node>, config: Arc<KubeletConfig>) -> NodeRow {
        let allocatable = (*node.allocatable).clone();
        let no_execute = keeps_off(&node);
        let never = Grid::new(SimTime::ZERO, Span::from_secs(1));
        NodeRow {
            images: Images::new(config.images.clone()),
            puller: Puller::new(&config),
            client: client(&config),
            id: node.meta.id,
            ip: node.ip,
            allocatable,
            no_execute,
            node,
            config,
            power: Power::Off,
            life: 0,
            relists: never,
            ticks: never,
            checks: never,
            started_at: SimTime::ZERO,
            relist_at: None,
            awaiting: Vec::new(),
            pods: Vec::new(),
            used: Resources::default(),
            active: 0,
            sending: None,
            queue: VecDeque::new(),
            check_at: None,
            doubtful: Vec::new(),
            images_at: None,
            node_check_at: None,
            pressure_until: None,
            preemptions: Vec::new(),
            shutdown: None,
            registration_failures: 0,
            volumes_in_use: VolumesInUse::default(),
            awaiting_volumes: Vec::new(),
        }
    }

    /// When pods that are gone are looked for.
    pub(crate) fn housekeeping(&self) -> Grid {
        Grid::new(self.started_at, HOUSEKEEPING)
    }

    /// Takes a new version of the node.
    pub(crate) fn take(&mut self, node: Arc<Node>) {
        self.id = node.meta.id;
        self.ip = node.ip;
        if !Arc::ptr_eq(&self.node.allocatable, &node.allocatable) {
            self.allocatable = (*node.allocatable).clone();
        }
        self.no_execute = keeps_off(&node);
        self.node = node;
    }

    /// Begins a new life of the kubelet: its periods start at phases of its own.
    pub(crate) fn begin_life(&mut self, now: SimTime, seed: u64) {
        self.end_life();
        self.power = Power::On;
        self.started_at = now;
        let mut stream =
            Stream::new(seed, self.node.name.text_hash(), PURPOSE_PHASES.wrapping_add(u64::from(self.life)));
        let mut grid = |period: Span| {
            let phase = stream.below(period.nanos().unsigned_abs().max(1));
            Grid::new(now + Span::from_nanos(phase.cast_signed()), period)
        };
        self.relists = grid(self.config.relist_period);
        self.ticks = grid(Span::from_secs(1));
        self.checks = grid(Span::from_secs(10));
        self.client = client(&self.config);
    }

    /// Ends the kubelet's life: everything that it remembers is void.
    pub(crate) fn end_life(&mut self) {
        self.life += 1;
        self.relist_at = None;
        self.check_at = None;
        self.doubtful.clear();
        self.node_check_at = None;
        self.images_at = None;
        self.awaiting.clear();
        self.sending = None;
        self.queue.clear();
        self.puller = Puller::new(&self.config);
        self.pressure_until = None;
        self.preemptions.clear();
        self.shutdown = None;
        self.registration_failures = 0;
        self.awaiting_volumes.clear();
    }
}

fn keeps_off(node: &Node) -> bool {
    node.taints().iter().any(|taint| taint.effect == TaintEffect::NoExecute)
}

fn client(config: &KubeletConfig) -> TokenBucket {
    match config.api_rate {
        Some(limit) => TokenBucket::new(limit.per_second, limit.burst),
        None => TokenBucket::unlimited(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_knows_its_neighbours_also_before_its_anchor() {
        let grid = Grid::new(SimTime::from_secs(5), Span::from_secs(2));
        for (now, last, next, ceil) in [(5, 5, 7, 5), (6, 5, 7, 7), (4, 3, 5, 5), (3, 3, 5, 3)] {
            let now = SimTime::from_secs(now);
            assert_eq!(grid.last(now), SimTime::from_secs(last));
            assert_eq!(grid.next(now), SimTime::from_secs(next));
            assert_eq!(grid.ceil(now), SimTime::from_secs(ceil));
        }
    }
}
