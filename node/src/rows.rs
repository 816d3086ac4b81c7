//! The rows of the pod table.
//!
//! A pod of one container that runs and ends needs its [`PodRow`] and its published status,
//! nothing else. What only some pods need (several containers, probes, troubles, a restart) is in
//! [`PodExtra`], which they are given when they need it.

use std::sync::Arc;

use seatrial_api::container::Container;
use seatrial_api::pod::{LastTermination, Pod, StatusText};
use seatrial_api::units::{SimTime, Span};
use smallvec::SmallVec;

use crate::backoff::BackOff;
use crate::notes::{ContainerNotes, PodNotes};
use crate::probes::ProbeWorker;
use crate::resize::Resize;
use crate::volumes::VolumeWait;

/// What the newest instance of a container is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum InstanceState {
    /// There has been none.
    #[default]
    Absent,
    /// It runs.
    Running,
    /// It ended with exit code 0.
    Completed,
    /// It ended with another exit code.
    Error,
    /// It ran out of memory.
    OomKilled,
    /// It never began to run.
    StartError,
    /// It was lost when its machine lost power.
    Vanished,
    /// It was removed so that all containers of the pod begin anew.
    Removed,
}

/// The newest instance of a container.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Instance {
    /// When it started.
    pub started_at: SimTime,
    /// When it ended.
    pub finished_at: SimTime,
    /// How it ended.
    pub exit_code: i32,
    /// Its number, from 0; also the number of restarts since all containers began anew.
    pub attempt: u16,
    /// What it is doing, as the runtime knows it.
    pub state: InstanceState,
    flags: u8,
}

/// A property of an instance.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mark {
    /// It has ended, but the kubelet has not listed the containers since.
    Unseen = 1,
    /// Its startup probe has passed, or it has none and its hook is done.
    Started = 1 << 1,
    /// Its readiness probe has passed, or it has none.
    Ready = 1 << 2,
    /// The sync under way will start the container.
    ToStart = 1 << 3,
    /// The sync under way will stop the instance.
    ToKill = 1 << 4,
    /// It was told to stop and has not ended yet.
    Stopping = 1 << 5,
    /// Its sandbox is gone.
    Stale = 1 << 6,
    /// Its specification has changed since it started.
    Outdated = 1 << 7,
}

impl Instance {
    /// Whether it has a property.
    pub(crate) fn is(&self, mark: Mark) -> bool {
        self.flags & mark as u8 != 0
    }

    /// Gives it a property.
    pub(crate) fn mark(&mut self, mark: Mark) {
        self.flags |= mark as u8;
    }

    /// Takes a property away.
    pub(crate) fn unmark(&mut self, mark: Mark) {
        self.flags &= !(mark as u8);
    }

    /// Whether the kubelet takes it for running, which it does until it has listed its end.
    pub(crate) fn seems_running(&self) -> bool {
        self.state == InstanceState::Running || self.is(Mark::Unseen)
    }

    /// Whether the kubelet knows that it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.state > InstanceState::Running && !self.is(Mark::Unseen)
    }

    /// Whether it really runs.
    pub(crate) fn runs(&self) -> bool {
        self.state == InstanceState::Running
    }

    /// A new instance begins to run.
    pub(crate) fn begin(&mut self, now: SimTime) {
        self.started_at = now;
        self.state = InstanceState::Running;
        self.flags &= Mark::ToStart as u8;
    }

    /// It ends.
    pub(crate) fn end(&mut self, now: SimTime, exit_code: i32, state: InstanceState) {
        self.finished_at = now;
        self.exit_code = exit_code;
        self.state = state;
        self.unmark(Mark::Stopping);
    }
}

impl PartialOrd for InstanceState {
    fn partial_cmp(&self, other: &InstanceState) -> Option<std::cmp::Ordering> {
        (*self as u8).partial_cmp(&(*other as u8))
    }
}

/// Where a pod is in its life on the node (upstream's pod worker).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Stage {
    /// It is to run.
    Sync,
    /// Its containers are to stop.
    Terminating,
    /// Nothing of it runs any more.
    Terminated,
    /// Its last status is final: there is nothing left to do but to delete it.
    Finished,
}

/// What the worker of a pod waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    /// Nothing: no sync is under way.
    Idle,
    /// Its volumes.
    Volumes,
    /// The end of all its containers, then of its sandbox.
    Killing,
    /// The end of its sandbox.
    StoppingSandbox,
    /// The end of containers that will be replaced.
    Replacing,
    /// Its sandbox.
    Sandbox,
    /// An image.
    Image,
    /// The start of a container.
    Start,
    /// The hook after a start.
    PostStart,
    /// The end of all containers, which will all begin anew.
    RestartingAll,
}

/// A property of a pod's row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flag {
    /// Something has happened that asks for a sync.
    Pending = 1,
    /// The runtime was listed for this pod after its last sync.
    Fresh = 1 << 1,
    /// The sync under way has done something.
    Acted = 1 << 2,
    /// The sync under way has failed at something.
    Failed = 1 << 3,
    /// It waits for its node's next listing.
    AwaitsRelist = 1 << 4,
    /// Its sandbox runs.
    SandboxReady = 1 << 5,
    /// It has had a sandbox.
    SandboxMade = 1 << 6,
    /// Its volumes are mounted.
    Mounted = 1 << 7,
    /// Its status is in its node's queue.
    Queued = 1 << 8,
    /// Its status is on its way to the API server.
    InFlight = 1 << 9,
    /// Its newest status has not been sent.
    Unsent = 1 << 10,
    /// The last status that was sent said Running.
    SentRunning = 1 << 11,
    /// Its object is gone from the API server.
    Gone = 1 << 12,
    /// Its deletion was requested by the kubelet.
    DeleteSent = 1 << 13,
    /// It has been running past its deadline.
    DeadlineExceeded = 1 << 14,
    /// Its resources are counted as used.
    Counted = 1 << 15,
    /// Killing it is followed by a new sandbox.
    Recreate = 1 << 16,
    /// It has workers for probes.
    Probed = 1 << 17,
    /// The stop under way is part of a sync and not of the pod's termination.
    SyncKill = 1 << 18,
    /// It was refused by admission.
    Rejected = 1 << 19,
    /// The last status that was sent held back a terminal phase.
    Held = 1 << 20,
    /// Others must stop before it is admitted.
    AwaitsRoom = 1 << 21,
    /// Its sandbox is gone, but the kubelet has not listed the sandboxes since.
    SandboxLost = 1 << 22,
    /// It is a static pod.
    Static = 1 << 23,
    /// All of its containers are to begin anew.
    RestartAll = 1 << 24,
    /// The node's next listing shows something that was started.
    News = 1 << 25,
    /// It was initialized in the version that the worker was told of last.
    KnownInitialized = 1 << 26,
}

/// The hot row of a pod.
#[derive(Clone, Debug)]
pub(crate) struct PodRow {
    /// The newest version that the watch told.
    pub pod: Arc<Pod>,
    /// What few pods need.
    pub extra: Option<Box<PodExtra>>,
    /// The instance of the only container; unused if there are several.
    only: Instance,
    /// When the last sync ended.
    pub last_sync: SimTime,
    /// The node's slot.
    pub node: u32,
    /// The pod's address, 0 before it has one.
    pub ip: u32,
    flags: u32,
    /// The container that the sync under way is busy with.
    pub cursor: u16,
    /// Where it is in its life.
    pub stage: Stage,
    /// What its worker waits for.
    pub step: Step,
}

const _: () = assert!(size_of::<PodRow>() <= 64, "a pod's hot row must fit a cache line");

/// What few pods need.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodExtra {
    /// Instances of all containers, if there are several.
    instances: SmallVec<[Instance; 2]>,
    /// What few containers need, by position; filled up to the last that needs it.
    pub containers: SmallVec<[ContainerExtra; 1]>,
    /// When the worker's queue has it next; later entries replace earlier ones.
    pub requeue_at: Option<SimTime>,
    /// The end of the earliest back-off that the sync under way has met.
    pub back_off_until: Option<SimTime>,
    /// Reason and message of a failure that the kubelet itself has decided on.
    pub failure: Option<Arc<StatusText>>,
    /// A grace that replaces the pod's own when it is stopped.
    pub grace_override: Option<Span>,
    /// When the stop under way began.
    pub kill_started_at: SimTime,
    /// The grace of the stop under way.
    pub kill_grace: Span,
    /// The containers whose hooks before the stop are awaited, a bit for each of the first 64.
    pub hooks: u64,
    /// How often a volume could not be mounted in a row.
    pub mount_failures: u32,
    /// Its volumes.
    pub volumes: VolumeWait,
    /// How many random numbers the pod has drawn.
    pub draws: u32,
    /// What is only noted where somebody reads it.
    pub notes: Option<Box<PodNotes>>,
    /// Its resources, once they were changed.
    pub resize: Option<Box<Resize>>,
}

/// Why a container waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitReason {
    CrashLoopBackOff,
    ErrImagePull,
    RegistryUnavailable,
    SignatureValidationFailed,
    ImagePullBackOff,
    ErrImageNeverPull,
    InvalidImageName,
    CreateContainerConfigError,
    CreateContainerError,
    RunContainerError,
    PostStartHookError,
}

impl WaitReason {
    /// As a status says it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            WaitReason::CrashLoopBackOff => "CrashLoopBackOff",
            WaitReason::ErrImagePull => "ErrImagePull",
            WaitReason::RegistryUnavailable => "RegistryUnavailable",
            WaitReason::SignatureValidationFailed => "SignatureValidationFailed",
            WaitReason::InvalidImageName => "InvalidImageName",
            WaitReason::ImagePullBackOff => "ImagePullBackOff",
            WaitReason::ErrImageNeverPull => "ErrImageNeverPull",
            WaitReason::CreateContainerConfigError => "CreateContainerConfigError",
            WaitReason::CreateContainerError => "CreateContainerError",
            WaitReason::RunContainerError => "RunContainerError",
            WaitReason::PostStartHookError => "PostStartHookError",
        }
    }
}

/// What few containers need.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContainerExtra {
    /// Why its last start failed.
    pub waiting: Option<WaitReason>,
    /// How its previous instance ended.
    pub last: Option<LastTermination>,
    /// The back-off between restarts.
    pub restart: Option<BackOff>,
    /// The back-off between pulls.
    pub pull: Option<BackOff>,
    /// Restarts before the numbers of its instances began anew.
    pub restarts_before: u16,
    /// Its probe workers: startup, readiness, liveness.
    pub probes: Option<Box<[ProbeWorker; 3]>>,
    /// What is only noted where somebody reads it.
    pub notes: Option<Box<ContainerNotes>>,
}

impl PodRow {
    /// A new row.
    pub(crate) fn new(pod: Arc<Pod>, node: u32) -> PodRow {
        let count = pod.spec.all_containers().count();
        let extra = (count > 1).then(|| {
            let instances = SmallVec::from_elem(Instance::default(), count);
            Box::new(PodExtra { instances, ..PodExtra::default() })
        });
        PodRow {
            pod,
            extra,
            only: Instance::default(),
            last_sync: SimTime::from_nanos(i64::MIN),
            node,
            ip: 0,
            flags: 0,
            cursor: 0,
            stage: Stage::Sync,
            step: Step::Idle,
        }
    }

    /// Whether it has a property.
    pub(crate) fn is(&self, flag: Flag) -> bool {
        self.flags & flag as u32 != 0
    }

    /// Gives it a property.
    pub(crate) fn set(&mut self, flag: Flag) {
        self.flags |= flag as u32;
    }

    /// Takes a property away.
    pub(crate) fn unset(&mut self, flag: Flag) {
        self.flags &= !(flag as u32);
    }

    /// The runtime was listed: what has ended is noticed. Returns whether there was anything.
    pub(crate) fn notice(&mut self) -> bool {
        let lost = self.is(Flag::SandboxLost);
        if lost {
            self.unset(Flag::SandboxLost);
            self.unset(Flag::SandboxReady);
        }
        let mut noticed = lost;
        for instance in self.instances_mut() {
            noticed |= instance.is(Mark::Unseen);
            instance.unmark(Mark::Unseen);
        }
        noticed
    }

    /// Takes all properties away but these.
    pub(crate) fn forget_all_but(&mut self, kept: &[Flag]) {
        self.flags &= kept.iter().fold(0, |mask, &flag| mask | flag as u32);
    }

    /// Gives or takes a property.
    pub(crate) fn put(&mut self, flag: Flag, on: bool) {
        if on { self.set(flag) } else { self.unset(flag) }
    }

    /// The newest instances of all containers, init containers first.
    pub(crate) fn instances(&self) -> &[Instance] {
        match &self.extra {
            Some(extra) if !extra.instances.is_empty() => &extra.instances,
            _ => std::slice::from_ref(&self.only),
        }
    }

    /// The same, to be changed.
    pub(crate) fn instances_mut(&mut self) -> &mut [Instance] {
        match &mut self.extra {
            Some(extra) if !extra.instances.is_empty() => &mut extra.instances,
            _ => std::slice::from_mut(&mut self.only),
        }
    }

    /// What few pods need; made if it is not there.
    pub(crate) fn extra_mut(&mut self) -> &mut PodExtra {
        self.extra.get_or_insert_default()
    }

    /// What few containers need, if this one has it.
    pub(crate) fn container_extra(&self, index: usize) -> Option<&ContainerExtra> {
        self.extra.as_ref().and_then(|extra| extra.containers.get(index))
    }

    /// What few containers need; made if it is not there.
    pub(crate) fn container_extra_mut(&mut self, index: usize) -> &mut ContainerExtra {
        let containers = &mut self.extra_mut().containers;
        if containers.len() <= index {
            containers.resize_with(index + 1, ContainerExtra::default);
        }
        &mut containers[index]
    }

    /// A container by position.
    pub(crate) fn container(&self, index: usize) -> Option<&Container> {
        let spec = &self.pod.spec;
        match index.checked_sub(spec.init_containers.len()) {
            None => spec.init_containers.get(index),
            Some(main) => match main.checked_sub(spec.containers.len()) {
                None => spec.containers.get(main),
                Some(ephemeral) => spec.ephemeral_containers.get(ephemeral),
            },
        }
    }

    /// The positions of the main containers.
    pub(crate) fn main(&self) -> std::ops::Range<usize> {
        let first = self.first_main();
        first..first + self.pod.spec.containers.len()
    }

    /// Makes room for containers that were added to the pod.
    pub(crate) fn grow(&mut self) {
        let count = self.pod.spec.all_containers().count();
        if count <= self.instances().len() {
            return;
        }
        let mut instances = SmallVec::from_slice(self.instances());
        instances.resize(count, Instance::default());
        self.extra_mut().instances = instances;
    }

    /// The position of the first main container.
    pub(crate) fn first_main(&self) -> usize {
        self.pod.spec.init_containers.len()
    }

    /// A wait for volumes ends, because the pod is to stop.
    pub(crate) fn stop_waiting_for_volumes(&mut self, now: SimTime) {
        if self.step == Step::Volumes {
            self.step = Step::Idle;
            self.last_sync = now;
        }
    }

    /// Whether the pod is to go away: its deletion was requested or its object is gone.
    pub(crate) fn is_leaving(&self) -> bool {
        self.pod.meta.is_deleting() || self.is(Flag::Gone)
    }
}
