//! What a kubelet asks of a container runtime and what the runtime reports, in CRI's nouns.
//!
//! A sandbox is named by its pod, a container by its pod and its position: init containers in
//! spec order first, then main containers. An `attempt` counts the instances of one container, so
//! that a report about an instance that was replaced can be told apart.

use crate::symbol::Symbol;
use crate::units::Span;

/// A container of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId {
    /// The pod's row in the store.
    pub pod: u32,
    /// Its position among init containers and main containers.
    pub index: u16,
    /// Its instance, from 0.
    pub attempt: u16,
}

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// Has it started?
    Startup,
    /// Can it serve?
    Readiness,
    /// Does it live?
    Liveness,
}

/// A command of a kubelet to its runtime. Every command is answered by one [`RuntimeReport`]
/// that carries the same key, unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeCommand {
    /// Mounts the volumes of a pod.
    MountVolumes {
        /// The pod.
        pod: u32,
    },
    /// Makes the sandbox of a pod and connects it to the network.
    RunSandbox {
        /// The pod.
        pod: u32,
    },
    /// Pulls an image. Whether pulls wait for each other is the kubelet's business.
    PullImage {
        /// The container for which it is pulled.
        container: ContainerId,
        /// The image.
        image: Symbol,
    },
    /// Creates and starts a container.
    StartContainer {
        /// The container.
        container: ContainerId,
    },
    /// Runs the hook after the start.
    PostStart {
        /// The container.
        container: ContainerId,
    },
    /// Stops a container: hook, SIGTERM, after the grace SIGKILL.
    StopContainer {
        /// The container.
        container: ContainerId,
        /// Until SIGKILL.
        grace: Span,
    },
    /// Runs the hook before the stop of a container whose turn to stop comes later. The command
    /// that stops it then runs the hook no more. Answered, like a hook that is part of a stop, by
    /// [`RuntimeReport::PreStopDone`] if it ends within the grace.
    PreStop {
        /// The container.
        container: ContainerId,
        /// The time that the container has to stop, the hook's included.
        grace: Span,
    },
    /// Gives the sandbox of a pod the resources that are allocated to it now. Not answered.
    UpdateSandbox {
        /// The pod.
        pod: u32,
    },
    /// Gives a running container the resources that are allocated to it now. Not answered.
    UpdateContainer {
        /// The container.
        container: ContainerId,
    },
    /// Removes the sandbox of a pod, with its network.
    StopSandbox {
        /// The pod.
        pod: u32,
    },
    /// Runs a probe once.
    Probe {
        /// The container.
        container: ContainerId,
        /// Which probe.
        kind: ProbeKind,
    },
}

/// What a runtime reports: the end of a command, or the end of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeReport {
    /// Volumes are mounted, or could not be.
    VolumesMounted {
        /// The pod.
        pod: u32,
        /// Whether it worked.
        ok: bool,
    },
    /// The sandbox runs, or could not be made.
    SandboxStarted {
        /// The pod.
        pod: u32,
        /// Whether it worked.
        ok: bool,
        /// The pod's address as a number; 0 if it shares the node's.
        ip: u32,
    },
    /// The image is there, or could not be pulled.
    ImagePulled {
        /// The container for which it was pulled.
        container: ContainerId,
        /// Whether it worked.
        ok: bool,
    },
    /// The container runs, or could not be started.
    ContainerStarted {
        /// The container.
        container: ContainerId,
        /// Whether it worked.
        ok: bool,
    },
    /// The container could not even be created: there is no new instance.
    ContainerNotCreated {
        /// The container.
        container: ContainerId,
    },
    /// The hook after the start has ended.
    PostStartDone {
        /// The container.
        container: ContainerId,
        /// Whether it worked.
        ok: bool,
    },
    /// The hook before a stop has ended.
    PreStopDone {
        /// The container.
        container: ContainerId,
        /// Whether it worked.
        ok: bool,
    },
    /// The container has ended, by itself or because it was stopped.
    ContainerExited {
        /// The container.
        container: ContainerId,
        /// Its exit code.
        exit_code: i32,
        /// Whether it ran out of memory.
        oom_killed: bool,
    },
    /// The sandbox is gone, because it was stopped or by itself. The ends of its containers are
    /// reported before.
    SandboxStopped {
        /// The pod.
        pod: u32,
    },
    /// A probe's outcome.
    Probed {
        /// The container.
        container: ContainerId,
        /// Which probe.
        kind: ProbeKind,
        /// Whether it succeeded.
        success: bool,
        /// Whether every further probe of this kind would have the same outcome until the runtime
        /// says [`RuntimeReport::ProbeChanged`]. The kubelet then plays none of them: a probe of
        /// a healthy container costs no event per period.
        steady: bool,
    },
    /// A probe could not be carried out, which says nothing about the container.
    ProbeError {
        /// The container.
        container: ContainerId,
        /// Which probe.
        kind: ProbeKind,
    },
    /// A steady outcome may be another one from now on.
    ProbeChanged {
        /// The container.
        container: ContainerId,
        /// Which probe.
        kind: ProbeKind,
    },
}
