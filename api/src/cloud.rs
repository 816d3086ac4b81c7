//! What an autoscaler asks of a cloud, and what the cloud tells it: machines that come and go.
//!
//! A cloud makes machines; the kubelet on each registers its Node by itself. Groups are the cloud's own
//! (auto-scaling groups, instance groups): a group keeps as many instances as it was asked for, names
//! them, and puts another one in the place of one that was reclaimed.

use std::fmt;
use std::sync::Arc;

use crate::node::Node;
use crate::symbol::Symbol;

/// How a machine is paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CapacityType {
    /// It may be reclaimed at short notice, and is cheaper for that.
    Spot,
    /// It is kept until it is given back.
    #[default]
    OnDemand,
}

impl CapacityType {
    /// As the label `karpenter.sh/capacity-type` writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            CapacityType::Spot => "spot",
            CapacityType::OnDemand => "on-demand",
        }
    }
}

/// A kind of machine that a cloud offers, with the Node as which it will register.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The Node, but for its name and host name: labels, taints, capacity, images.
    pub template: Arc<Node>,
    /// The group or pool that it belongs to.
    pub pool: Symbol,
    /// The type of the machine, empty for none that has a name.
    pub instance_type: Symbol,
    /// Where it stands, empty for nowhere in particular.
    pub zone: Symbol,
    /// How it is paid for.
    pub capacity_type: CapacityType,
    /// What it costs, in millionths of a dollar per hour.
    pub micro_usd_per_hour: u64,
}

/// What an autoscaler asks of a cloud.
#[derive(Clone, Debug)]
pub enum CloudRequest {
    /// So many instances more in a group.
    Increase {
        /// The group.
        group: Symbol,
        /// How many more.
        count: u32,
    },
    /// One machine of the first kind on a list that can be had.
    Launch {
        /// Its name.
        instance: Symbol,
        /// The kinds that will do, the preferred one first.
        offers: Arc<[Offer]>,
    },
    /// Gives a machine back. An instance of a group is not replaced.
    Terminate {
        /// Its name.
        instance: Symbol,
    },
}

/// Why a cloud did not make a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloudError {
    /// There is none of this kind at present.
    StockOut,
    /// The account may not have more.
    QuotaExceeded,
}

impl fmt::Display for CloudError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloudError::StockOut => "insufficient capacity",
            CloudError::QuotaExceeded => "quota exceeded",
        })
    }
}

/// What a cloud tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloudReport {
    /// A group has another instance from now on. It is being made.
    Requested {
        /// The group.
        group: Symbol,
        /// The instance.
        instance: Symbol,
    },
    /// A machine exists and boots.
    Launched {
        /// Its name.
        instance: Symbol,
        /// The kind that it is of, by its place on the list that was asked for.
        offer: u32,
    },
    /// A machine could not be made. An instance of a group stays in it until it is given back.
    Failed {
        /// Its name.
        instance: Symbol,
        /// Why.
        error: CloudError,
    },
    /// A machine will be reclaimed soon.
    Interrupted {
        /// Its name.
        instance: Symbol,
    },
    /// A machine is gone.
    Terminated {
        /// Its name.
        instance: Symbol,
    },
}
