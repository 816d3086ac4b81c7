//! What a kubelet says of its own node: its registration, its node's
//! conditions where they are not what it says, and its images.
//!
//! Heartbeats and leases are not played here: their driver computes them.

use std::sync::Arc;

use seatrial_api::machine::Outgoing;
use seatrial_api::node::{Node, NodeConditionType, NodeConditions, NodeImage};
use seatrial_api::object::{Kind, Object, ObjectRef};
use seatrial_api::pod::ConditionStatus;
use seatrial_api::request::{Change, ErrorReason, Patch, Reply, Request, Subresource};
use seatrial_api::units::{Bytes, SimTime, Span};

use crate::config::ImageReport;
use crate::machine::{Fx, Kubelets, Purpose, Timer, token};
use crate::table::{NodeRow, Power};

/// How many images a node's status lists.
const IMAGES_LISTED: usize = 50;
/// The size that every image is said to have.
const IMAGE_SIZE: Bytes = Bytes(120_000_000);

impl Kubelets {
    /// Sends the registration.
    pub(crate) fn register(&mut self, now: SimTime, slot: u32, fx: &mut Fx) {
        let row = &self.nodes[slot as usize];
        if !row.node.meta.uid.is_unset() {
            return;
        }
        let mut node = (*row.node).clone();
        node.conditions = row.said_conditions(now);
        let request = Request::Create(Object::Node(Arc::new(node)));
        let token = token(Purpose::Registration, slot, row.life);
        fx.requests.push(Outgoing { token, send_at: now, request });
    }

    /// The registration was answered. If it was refused, it is tried again after a while.
    pub(crate) fn registration_answered(&mut self, now: SimTime, slot: u32, reply: &Reply, fx: &mut Fx) {
        let row = &mut self.nodes[slot as usize];
        match reply {
            Ok(Object::Node(node)) => {
                row.take(Arc::clone(node));
                self.compare_node(now, slot, fx);
            }
            Ok(_) => {}
            Err(error) => {
                // A node of this name exists: the watch will show it.
                let known = error.reason == ErrorReason::AlreadyExists && !row.node.meta.uid.is_unset();
                if !known {
                    row.registration_failures += 1;
                    let wait = Span::from_millis(100).times(1 << (row.registration_failures - 1).min(10));
                    let at = now + wait.min(Span::from_secs(7));
                    fx.timer(at, Timer::Register { node: slot, life: row.life });
                }
            }
        }
    }

    /// The watch tells of a node.
    pub(crate) fn watch_node(&mut self, now: SimTime, change: Change, node: &Arc<Node>, fx: &mut Fx) {
        let Some(&slot) = self.node_slots.get(&node.name) else { return };
        let row = &mut self.nodes[slot as usize];
        if change == Change::Deleted || node.meta.resource_version < row.node.meta.resource_version {
            return;
        }
        let lists_others = row.node.volumes != node.volumes;
        row.take(Arc::clone(node));
        if row.power == Power::On {
            if lists_others {
                self.volumes_listed(now, slot, fx);
            }
            self.compare_node(now, slot, fx);
        }
    }

    /// Has the node's status posted at the next check if it is not what the kubelet says.
    pub(crate) fn compare_node(&mut self, now: SimTime, slot: u32, fx: &mut Fx) {
        let row = &mut self.nodes[slot as usize];
        if row.node_check_at.is_none() && row.has_news() {
            let at = row.checks.next(now);
            row.node_check_at = Some(at);
            fx.timer(at, Timer::NodeCheck { node: slot, life: row.life });
        }
    }

    /// Posts the node's status if it is not what the kubelet says.
    pub(crate) fn check_node(&mut self, now: SimTime, slot: u32, fx: &mut Fx) {
        let row = &mut self.nodes[slot as usize];
        row.node_check_at = None;
        if row.has_news() {
            self.post_conditions(now, slot, fx);
        }
    }

    pub(crate) fn post_conditions(&mut self, now: SimTime, slot: u32, fx: &mut Fx) {
        let row = &self.nodes[slot as usize];
        let conditions = row.said_conditions(now);
        let target = ObjectRef { kind: Kind::Node, id: row.id };
        let mut patch = Patch::NodeConditions(Box::new(conditions));
        if row.volumes_in_use.differs_from(row.node.volumes_in_use()) {
            patch = Patch::All(vec![patch, Patch::VolumesInUse(row.volumes_in_use.list())]);
        }
        let request = Request::Patch { target, patch };
        let token = token(Purpose::NodeStatus, slot, row.life);
        fx.requests.push(Outgoing { token, send_at: now, request });
    }

    /// The post of a node's status was answered; a refused one is tried again at the next check.
    pub(crate) fn node_status_answered(&mut self, now: SimTime, slot: u32, reply: &Reply, fx: &mut Fx) {
        match reply {
            Ok(Object::Node(node)) => self.watch_node(now, Change::Modified, node, fx),
            Ok(_) => {}
            Err(_) => self.compare_node(now, slot, fx),
        }
    }

    /// The list of images has changed.
    pub(crate) fn images_changed(&mut self, now: SimTime, slot: u32, fx: &mut Fx) {
        let row = &mut self.nodes[slot as usize];
        let ImageReport::Every(period) = row.config.report_images else { return };
        if row.images_at.is_none() {
            let at = now + period;
            row.images_at = Some(at);
            fx.timer(at, Timer::Images { node: slot, life: row.life });
        }
    }

    /// Posts the list of images.
    ///
    /// Model: all images have one size, because nothing tells their sizes here.
    pub(crate) fn post_images(&mut self, now: SimTime, slot: u32, fx: &mut Fx) {
        let row = &mut self.nodes[slot as usize];
        row.images_at = None;
        let listed = row.images.iter().take(IMAGES_LISTED);
        let images: Vec<_> =
            listed.map(|name| NodeImage { names: Box::new([name]), size: IMAGE_SIZE }).collect();
        let mut node = (*row.node).clone();
        node.images = Some(images.into());
        node.meta.resource_version = 0;
        let request =
            Request::Update { object: Object::Node(Arc::new(node)), subresource: Subresource::Status };
        let token = token(Purpose::NodeStatus, slot, row.life);
        fx.requests.push(Outgoing { token, send_at: now, request });
    }
}

/// What a kubelet says of one condition.
type Said = (NodeConditionType, ConditionStatus, &'static str, &'static str);

impl NodeRow {
    /// The conditions that the kubelet owns.
    fn said(&self) -> [Said; 4] {
        use ConditionStatus::{False, True};
        let kind = NodeConditionType::MemoryPressure;
        let memory = match self.pressure_until {
            None => (kind, False, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            Some(_) => {
                (kind, True, "KubeletHasInsufficientMemory", "kubelet has insufficient memory available")
            }
        };
        let ready = match self.shutdown {
            None => (NodeConditionType::Ready, True, "KubeletReady", "kubelet is posting ready status"),
            Some(_) => (NodeConditionType::Ready, False, "KubeletNotReady", "node is shutting down"),
        };
        [
            memory,
            (
                NodeConditionType::DiskPressure,
                False,
                "KubeletHasNoDiskPressure",
                "kubelet has no disk pressure",
            ),
            (
                NodeConditionType::PidPressure,
                False,
                "KubeletHasSufficientPID",
                "kubelet has sufficient PID available",
            ),
            ready,
        ]
    }

    /// The node's conditions as the kubelet wants them, those of others as they are.
    fn said_conditions(&self, now: SimTime) -> NodeConditions {
        let mut conditions = self.node.conditions;
        for (kind, status, reason, message) in self.said() {
            conditions.set(kind, status, reason.into(), message.into(), now);
        }
        conditions
    }

    /// Whether the node's status is not what the kubelet says.
    fn has_news(&self) -> bool {
        self.differs_from(&self.node.conditions)
            || self.volumes_in_use.differs_from(self.node.volumes_in_use())
    }

    /// Whether a condition that the kubelet owns has another status than it says.
    pub(crate) fn differs_from(&self, theirs: &NodeConditions) -> bool {
        self.said().iter().any(|said| theirs.get(said.0).status != said.1)
    }
}
