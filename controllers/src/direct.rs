//! The controllers that are no queues of objects, each with its client.

use seatrial_api::machine::Heartbeat;
use seatrial_api::request::Reply;

use crate::attachdetach::AttachDetach;
use crate::framework::{Client, Event, Port, Surroundings};
use crate::node_lifecycle::NodeLifecycle;
use crate::persistentvolume::Binder;
use crate::podgc::PodGc;
use crate::taint_eviction::TaintEviction;
use crate::{Config, ControllerTimer};

/// The numbers that their tokens carry.
const NODE_LIFECYCLE: u8 = 101;
const TAINT_EVICTION: u8 = 102;
const POD_GC: u8 = 103;
const PERSISTENT_VOLUME: u8 = 111;
const ATTACH_DETACH: u8 = 112;

/// Lists the controllers, each with the number that its tokens carry.
macro_rules! direct {
    ($($id:ident $field:ident: $controller:ty = $new:expr,)*) => {
        /// The controllers that are no queues of objects.
        #[derive(Clone, Debug)]
        pub(crate) struct Direct {
            $($field: ($controller, Client),)*
        }

        impl Direct {
            pub(crate) fn new(config: &Config) -> Direct {
                let client = || Client::new(config.client_limits);
                Direct { $($field: ($new(config), client()),)* }
            }

            /// The caches are complete.
            pub(crate) fn start(&mut self, around: &mut Surroundings<'_>) {
                $(self.$field.0.start(&mut port(around, $id, &mut self.$field.1));)*
            }

            /// Tells a change.
            pub(crate) fn observe(&mut self, around: &mut Surroundings<'_>, event: &Event<'_>) {
                $(self.$field.0.observe(&mut port(around, $id, &mut self.$field.1), event);)*
            }

            /// Hands over the answer to a request.
            pub(crate) fn reply(&mut self, around: &mut Surroundings<'_>, id: u8, tag: u64, reply: &Reply) {
                match id {
                    $($id => self.$field.0.reply(&mut port(around, $id, &mut self.$field.1), tag, reply),)*
                    _ => {}
                }
            }
        }
    };
}

direct! {
    NODE_LIFECYCLE node_lifecycle: NodeLifecycle = (|config: &Config| NodeLifecycle::new(config.node_lifecycle)),
    TAINT_EVICTION taint_eviction: TaintEviction = (|_: &Config| TaintEviction::default()),
    POD_GC podgc: PodGc = (|config: &Config| PodGc::new(config.terminated_pod_threshold)),
    PERSISTENT_VOLUME persistent_volume: Binder = (Binder::new),
    ATTACH_DETACH attach_detach: AttachDetach = (|_: &Config| AttachDetach::default()),
}

impl Direct {
    /// Tells news of a node's lease.
    pub(crate) fn heartbeat(&mut self, around: &mut Surroundings<'_>, node: u32, heartbeat: Heartbeat) {
        let (controller, client) = &mut self.node_lifecycle;
        controller.heartbeat(&mut port(around, NODE_LIFECYCLE, client), node, heartbeat);
    }

    /// A timer of one of the controllers is due.
    pub(crate) fn fire(&mut self, around: &mut Surroundings<'_>, timer: ControllerTimer) {
        match timer {
            ControllerTimer::NodeLifecycle(timer) => {
                let (controller, client) = &mut self.node_lifecycle;
                controller.fire(&mut port(around, NODE_LIFECYCLE, client), timer);
            }
            ControllerTimer::TaintEviction => {
                let (controller, client) = &mut self.taint_eviction;
                controller.fire(&mut port(around, TAINT_EVICTION, client));
            }
            ControllerTimer::PodGc => {
                let (controller, client) = &mut self.podgc;
                controller.fire(&mut port(around, POD_GC, client));
            }
            ControllerTimer::PersistentVolume => {
                let (controller, client) = &mut self.persistent_volume;
                controller.fire(&mut port(around, PERSISTENT_VOLUME, client));
            }
            ControllerTimer::AttachDetach => {
                let (controller, client) = &mut self.attach_detach;
                controller.fire(&mut port(around, ATTACH_DETACH, client));
            }
            _ => {}
        }
    }
}

fn port<'a>(around: &'a mut Surroundings<'_>, id: u8, client: &'a mut Client) -> Port<'a> {
    Port { now: around.now, caches: around.caches, id, client, effects: around.effects }
}
