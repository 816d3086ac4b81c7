//! Objects for tests.

use std::sync::Arc;

use seatrial_api::cloud::{CapacityType, Offer};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::node::{Node, NodeResources};
use seatrial_api::resources::Resources;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu};

/// `name-0`, `name-1` and so on.
pub(crate) fn symbols(name: &str, count: usize) -> Vec<Symbol> {
    (0..count).map(|index| Symbol::new(&format!("{name}-{index}"))).collect()
}

/// A kind of machine with so much CPU in millicores, so many GiB of memory, at a price.
pub(crate) fn offer(pool: &str, millicores: i64, gib: i64, micro_usd_per_hour: u64) -> Offer {
    let amounts = Resources::of(MilliCpu(millicores), Bytes(gib << 30));
    let resources = Arc::new(NodeResources { amounts, pods: 110 });
    let template = Node {
        meta: ObjectMeta::named("", pool),
        name: Symbol::new(pool),
        capacity: resources.clone(),
        allocatable: resources,
        ..Node::default()
    };
    Offer {
        template: Arc::new(template),
        pool: Symbol::new(pool),
        instance_type: Symbol::empty(),
        zone: Symbol::empty(),
        capacity_type: CapacityType::OnDemand,
        micro_usd_per_hour,
    }
}
