//! Latency profiles.
//!
//! Model: `cloud-vm` is the reference (docs/scenario.md, "Latencies"). `laptop` has everything on
//! one machine: no network to speak of, but slow disks and one runtime. `bare-metal` has fast local
//! networks and disks, and machines that take minutes to boot.

use seatrial_api::units::{Bytes, Span};
use seatrial_sim_core::cluster::config::LatencyModel;
use seatrial_sim_core::engine::dist::Distribution;

use crate::file::latency::{Latency, ProfileWord};
use crate::file::law::Law;

/// The model of a scenario.
pub(super) fn model(latency: Option<&Latency>) -> LatencyModel {
    let Some(latency) = latency else { return LatencyModel::cloud_vm() };
    let mut model = match latency.profile {
        ProfileWord::CloudVm => LatencyModel::cloud_vm(),
        ProfileWord::Laptop => laptop(),
        ProfileWord::BareMetal => bare_metal(),
        ProfileWord::Zero => LatencyModel::zero(),
    };
    for (slot, given) in [
        (&mut model.api_write, &latency.api_write),
        (&mut model.api_read, &latency.api_read),
        (&mut model.watch, &latency.watch),
        (&mut model.kubelet_notice, &latency.kubelet_notice),
        (&mut model.volume_mount, &latency.volume_mount),
        (&mut model.sandbox, &latency.sandbox),
        (&mut model.container_start, &latency.container_start),
        (&mut model.startup, &latency.startup),
        (&mut model.container_stop, &latency.container_stop),
        (&mut model.image_pull_fixed, &latency.image_pull_fixed),
        (&mut model.proxy_sync, &latency.proxy_sync),
        (&mut model.node_boot, &latency.node_boot),
        (&mut model.cloud_api, &latency.cloud_api),
        (&mut model.node_deletion, &latency.node_deletion),
        (&mut model.volume_provision, &latency.volume_provision),
        (&mut model.volume_delete, &latency.volume_delete),
        (&mut model.volume_attach, &latency.volume_attach),
        (&mut model.volume_detach, &latency.volume_detach),
    ] {
        if let Some(Law(law)) = given {
            *slot = law.clone();
        }
    }
    for (slot, given) in [
        (&mut model.image_pull_bandwidth, &latency.image_pull_bandwidth),
        (&mut model.image_size, &latency.image_size),
    ] {
        if let Some(Law(law)) = given {
            *slot = law.clone();
        }
    }
    model.controller_step = latency.controller_step.unwrap_or(model.controller_step);
    if let Some(cycle) = &latency.scheduling_cycle {
        model.scheduling_cycle = [cycle.fixed, cycle.per_node_filtered, cycle.per_node_scored];
    }
    model
}

fn lognormal(median_ms: i64, p99_ms: i64) -> Distribution {
    Distribution::Lognormal { median: Span::from_millis(median_ms), p99: Span::from_millis(p99_ms) }
}

fn laptop() -> LatencyModel {
    LatencyModel {
        api_write: lognormal(4, 40),
        api_read: lognormal(1, 10),
        watch: lognormal(1, 20),
        sandbox: lognormal(200, 1_000),
        container_start: lognormal(200, 1_000),
        image_pull_bandwidth: Distribution::Lognormal { median: Bytes(10_000_000), p99: Bytes(50_000_000) },
        node_boot: lognormal(15_000, 40_000),
        ..LatencyModel::cloud_vm()
    }
}

fn bare_metal() -> LatencyModel {
    LatencyModel {
        api_write: lognormal(4, 30),
        api_read: lognormal(1, 10),
        watch: lognormal(2, 40),
        sandbox: lognormal(250, 1_000),
        container_start: lognormal(200, 800),
        image_pull_bandwidth: Distribution::Lognormal { median: Bytes(120_000_000), p99: Bytes(400_000_000) },
        node_boot: lognormal(300_000, 600_000),
        ..LatencyModel::cloud_vm()
    }
}
