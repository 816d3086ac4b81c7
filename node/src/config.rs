//! The settings of a kubelet, upstream's defaults unless said otherwise.

use std::sync::Arc;

use seatrial_api::symbol::Symbol;
use seatrial_api::units::Span;

/// Which images a node has from its first boot.
#[derive(Clone, Debug)]
pub enum PresentImages {
    /// Every image: nothing is ever pulled but by policy `Always`.
    All,
    /// These.
    Listed(Arc<[Symbol]>),
}

/// How pulls of one node wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullConcurrency {
    /// One at a time, first come first served (`serializeImagePulls: true`).
    Serial,
    /// Up to so many at a time (`maxParallelImagePulls`).
    Parallel(u32),
}

/// A limit on the frequency of something: a rate and how much may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many per second.
    pub per_second: i64,
    /// How many at once.
    pub burst: i64,
}

/// A group of pods in an orderly shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownGroup {
    /// Pods from this priority on, up to the next group.
    pub priority: i32,
    /// How long they may take.
    pub grace: Span,
}

/// Settings of a kubelet (upstream `KubeletConfiguration`).
#[derive(Clone, Debug)]
pub struct KubeletConfig {
    /// Requests to the API server (`kubeAPIQPS`, `kubeAPIBurst`); `None` for no limit.
    pub api_rate: Option<RateLimit>,
    /// How often the runtime is asked what became of the containers.
    pub relist_period: Span,
    /// How often a pod is looked at when nothing happens (`syncFrequency`); it bounds how long a
    /// restart back-off is waited for in one piece.
    pub resync_period: Span,
    /// After which time a failed sync is tried again, before jitter.
    pub retry_period: Span,
    /// The longest restart back-off (`crashLoopBackOff.maxContainerRestartPeriod`).
    pub restart_back_off_max: Span,
    /// How pulls wait for each other.
    pub pulls: PullConcurrency,
    /// Pulls from a registry (`registryPullQPS`, `registryBurst`): above it they fail at once;
    /// `None` for no limit.
    pub registry_rate: Option<RateLimit>,
    /// Images that are there from the first boot.
    pub images: PresentImages,
    /// How long an orderly shutdown may take (`shutdownGracePeriod`); zero: a shutdown is a power
    /// loss.
    pub shutdown_grace: Span,
    /// How much of that is kept for critical pods (`shutdownGracePeriodCriticalPods`).
    pub shutdown_grace_critical: Span,
    /// Groups of pods with times of their own, in place of the two above
    /// (`shutdownGracePeriodByPodPriority`).
    pub shutdown_by_priority: Arc<[ShutdownGroup]>,
    /// By how much waits are lengthened at random, so that what waits together does not end together.
    pub jitter: Jitter,
    /// Whether statuses of pods say all that they say upstream: messages, images, observed
    /// generations. Nothing in a simulation reads that, and some of it costs status writes of its
    /// own, so it is off.
    pub detailed_statuses: bool,
    /// Whether images run as root unless the pod says otherwise. Nobody knows the users of images in
    /// a simulation, where they are what `runAsNonRoot` asks for.
    pub images_run_as_root: bool,
    /// Whether the node's status lists its images, which ImageLocality reads. Costs a status
    /// write per change, so it is off.
    pub report_images: ImageReport,
}

/// By how much of a random share waits are lengthened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// By a random one.
    Random,
    /// Always by the middle one, so that runs can be compared with others that drew other shares.
    Middle,
}

/// Whether a node's status lists its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageReport {
    /// It does not.
    Off,
    /// Changes are posted together, at most once in this time.
    Every(Span),
}

impl Default for KubeletConfig {
    fn default() -> KubeletConfig {
        KubeletConfig {
            api_rate: Some(RateLimit { per_second: 50, burst: 100 }),
            relist_period: Span::from_secs(1),
            resync_period: Span::from_secs(60),
            retry_period: Span::from_secs(10),
            restart_back_off_max: Span::from_secs(300),
            pulls: PullConcurrency::Serial,
            registry_rate: Some(RateLimit { per_second: 5, burst: 10 }),
            images: PresentImages::Listed(Arc::new([])),
            shutdown_grace: Span::ZERO,
            shutdown_grace_critical: Span::ZERO,
            shutdown_by_priority: Arc::new([]),
            jitter: Jitter::Random,
            detailed_statuses: false,
            images_run_as_root: false,
            report_images: ImageReport::Off,
        }
    }
}
