//! Who draws what: entities and purposes of the random streams.
//!
//! An entity is known by what it is called, not by when it came: a pod by its owner and its place
//! among the owner's pods, everything else by kind and name. So a run with another policy or one
//! more node draws the same latencies for the same things.

use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHasher};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::request::Request;
use seatrial_api::stream::{Stream, mix64};
use seatrial_api::symbol::Symbol;

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Purpose {
    ApiWrite = 16,
    ApiRead,
    Watch,
    KubeletNotice,
    Sandbox,
    ContainerStart,
    ContainerStop,
    PullFixed,
    PullBandwidth,
    ImageSize,
    VolumeMount,
    Startup,
    RunTime,
    Failure,
    UnreadyAfter,
    LeasePhase,
    Boot,
    ProxySync,
    FaultTime,
    RepairTime,
    MemoryLook,
    LeaderRetry,
    KubeletStart,
    AutoscalerWatch,
    CloudApi,
    StockOut,
    NodeDeletion,
    VolumeProvision,
    VolumeDelete,
    VolumeAttach,
    VolumeDetach,
}

/// The streams of one run.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    seed: u64,
    /// How many requests and changes each object other than a pod has had.
    counters: FxHashMap<ObjectRef, u32>,
    /// How many pods each owner has made.
    children: FxHashMap<u64, u32>,
}

impl Streams {
    /// The streams of a seed.
    pub(crate) fn new(seed: u64) -> Streams {
        Streams { seed, counters: FxHashMap::default(), children: FxHashMap::default() }
    }

    /// The stream of an entity for the `nth` draw of a purpose.
    pub(crate) fn of(&self, entity: u64, purpose: Purpose, nth: u32) -> Stream {
        Stream::new(self.seed, entity, purpose as u64 | u64::from(nth) << 16)
    }

    /// The entity of a new pod: its owner and its place among the owner's pods, or its own name.
    pub(crate) fn pod_entity(&mut self, meta: &ObjectMeta) -> u64 {
        let Some(owner) = meta.controller() else {
            return name_entity(Kind::Pod, meta.namespace, &meta.name);
        };
        let mut hasher = FxHasher::default();
        (meta.namespace, owner.kind).hash(&mut hasher);
        owner.name.hash(&mut hasher);
        let owner = mix64(hasher.finish());
        let place = self.children.entry(owner).or_default();
        *place += 1;
        mix64(owner.wrapping_add(u64::from(*place)))
    }

    /// The entity of an object that is no pod, and how often it was asked for.
    pub(crate) fn object_entity(&mut self, object: &Object) -> (u64, u32) {
        let meta = object.meta();
        let counter = self.counters.entry(object.object_ref()).or_default();
        *counter += 1;
        (name_entity(object.kind(), meta.namespace, &meta.name), *counter)
    }

    /// The entity of the creation of an object: its name, or what its name is made from with the
    /// place among its siblings.
    pub(crate) fn creation_entity(&mut self, object: &Object) -> (u64, u32) {
        let meta = object.meta();
        if !meta.name.is_empty() {
            return (name_entity(object.kind(), meta.namespace, &meta.name), 0);
        }
        let base = meta.extra.as_ref().map_or("", |extra| extra.generate_name.as_str());
        let entity = name_entity(object.kind(), meta.namespace, base);
        let place = self.children.entry(entity).or_default();
        *place += 1;
        (entity, *place)
    }

    /// The entity of a request that names its object by row alone.
    pub(crate) fn row_entity(&mut self, target: ObjectRef) -> (u64, u32) {
        let counter = self.counters.entry(target).or_default();
        *counter += 1;
        (mix64(u64::from(target.kind.number()) << 32 | u64::from(target.id)), *counter)
    }

    /// Forgets an object that is gone.
    pub(crate) fn forget(&mut self, target: ObjectRef) {
        self.counters.remove(&target);
    }
}

/// The entity of something with a name.
pub(crate) fn name_entity(kind: Kind, namespace: Symbol, name: &str) -> u64 {
    let mut hasher = FxHasher::default();
    (kind.number(), namespace).hash(&mut hasher);
    name.hash(&mut hasher);
    mix64(hasher.finish())
}

/// The object that a request is about, where it names one by row.
pub(crate) fn request_target(request: &Request) -> Option<ObjectRef> {
    match request {
        Request::Update { object, .. } => Some(object.object_ref()),
        Request::Patch { target, .. } | Request::Delete { target, .. } => Some(*target),
        Request::Bind { pod, .. } | Request::Evict { pod, .. } => {
            Some(ObjectRef { kind: Kind::Pod, id: *pod })
        }
        Request::Create(_)
        | Request::Apply(_)
        | Request::Get { .. }
        | Request::PodMetrics { .. }
        | Request::Metric(_) => None,
    }
}
