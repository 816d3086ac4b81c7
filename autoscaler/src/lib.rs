//! Node autoscaling: machines come when pods fit nowhere, and go when nobody needs them.
//!
//! Two autoscalers, of which a cluster has one: the [`ClusterAutoscaler`] enlarges and shrinks groups
//! of equal machines; [`Karpenter`] launches single machines of whatever kind is cheapest, and
//! replaces them by cheaper ones. Both know the cluster from their watch and the cloud from its
//! reports, and ask the scheduler's own filters whether a pod would fit.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]

mod budgets;
pub mod cluster_autoscaler;
#[cfg(test)]
mod fixtures;
pub mod karpenter;
mod view;

pub use cluster_autoscaler::{ClusterAutoscaler, ClusterAutoscalerOptions, NodeGroup};
pub use karpenter::{Karpenter, KarpenterOptions, NodePool};

use seatrial_api::machine::{Effects, Input, Machine};
use seatrial_api::object::Kind;
use seatrial_api::units::SimTime;

/// The timers of an autoscaler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Of the Cluster Autoscaler.
    Cluster(cluster_autoscaler::Timer),
    /// Of the provisioner.
    Karpenter(karpenter::Timer),
}

/// The autoscaler of a cluster.
#[derive(Clone)]
pub enum Autoscaler {
    /// Over node groups.
    Cluster(Box<ClusterAutoscaler>),
    /// Without groups.
    Karpenter(Box<Karpenter>),
}

impl Autoscaler {
    /// The kinds of objects that it watches.
    pub fn watches(&self, kind: Kind) -> bool {
        matches!(
            kind,
            Kind::Pod
                | Kind::Node
                | Kind::Namespace
                | Kind::Service
                | Kind::ReplicaSet
                | Kind::StatefulSet
                | Kind::DaemonSet
                | Kind::Job
                | Kind::PodDisruptionBudget
                | Kind::PersistentVolume
                | Kind::PersistentVolumeClaim
                | Kind::StorageClass
                | Kind::CsiNode
                | Kind::VolumeAttachment
        )
    }
}

impl Machine for Autoscaler {
    type Timer = Timer;

    fn handle(&mut self, now: SimTime, input: Input<'_, Timer>, effects: &mut Effects<Timer>) {
        match self {
            Autoscaler::Cluster(autoscaler) => {
                let own = |timer| match timer {
                    Timer::Cluster(timer) => Some(timer),
                    Timer::Karpenter(_) => None,
                };
                let Some(input) = of_machine(input, own) else { return };
                within(effects, Timer::Cluster, |effects| autoscaler.handle(now, input, effects));
            }
            Autoscaler::Karpenter(autoscaler) => {
                let own = |timer| match timer {
                    Timer::Karpenter(timer) => Some(timer),
                    Timer::Cluster(_) => None,
                };
                let Some(input) = of_machine(input, own) else { return };
                within(effects, Timer::Karpenter, |effects| autoscaler.handle(now, input, effects));
            }
        }
    }
}

/// An input as a machine with timers of its own takes it; `None` for what concerns no autoscaler.
fn of_machine<T>(input: Input<'_, Timer>, own: impl Fn(Timer) -> Option<T>) -> Option<Input<'_, T>> {
    Some(match input {
        Input::Timer(timer) => Input::Timer(own(timer)?),
        Input::Watch(event) => Input::Watch(event),
        Input::Reply { token, reply } => Input::Reply { token, reply },
        Input::Cloud(report) => Input::Cloud(report),
        _ => return None,
    })
}

/// Lets a machine with timers of its own act on the buffer of one that has several kinds.
fn within<T: Copy>(effects: &mut Effects<Timer>, timer: fn(T) -> Timer, act: impl FnOnce(&mut Effects<T>)) {
    let mut own = Effects::new(effects.explain);
    act(&mut own);
    effects.requests.append(&mut own.requests);
    effects.timers.extend(own.timers.drain(..).map(|(at, value)| (at, timer(value))));
    effects.decisions.append(&mut own.decisions);
    effects.cloud.append(&mut own.cloud);
}
