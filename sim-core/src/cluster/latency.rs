//! The latency model, ready to be drawn from.

use seatrial_api::stream::Stream;
use seatrial_api::units::{Bytes, Span};

use super::config::LatencyModel;
use crate::engine::dist::{Distribution, DistributionError, Sampler};

/// Samplers of a [`LatencyModel`].
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    pub(crate) api_write: Sampler,
    pub(crate) api_read: Sampler,
    pub(crate) watch: Sampler,
    pub(crate) kubelet_notice: Sampler,
    pub(crate) volume_mount: Sampler,
    pub(crate) sandbox: Sampler,
    pub(crate) container_start: Sampler,
    pub(crate) startup: Sampler,
    pub(crate) image_pull_fixed: Sampler,
    pub(crate) image_pull_bandwidth: Sampler<Bytes>,
    pub(crate) image_size: Sampler<Bytes>,
    pub(crate) container_stop: Sampler,
    pub(crate) proxy_sync: Sampler,
    pub(crate) node_boot: Sampler,
    pub(crate) cloud_api: Sampler,
    pub(crate) node_deletion: Sampler,
    pub(crate) volume_provision: Sampler,
    pub(crate) volume_delete: Sampler,
    pub(crate) volume_attach: Sampler,
    pub(crate) volume_detach: Sampler,
}

/// Compressed images grow by this factor (in tenths) when they are unpacked.
const UNPACK_TENTHS: i64 = 27;
/// Bytes per second at which they are unpacked.
const UNPACK_BANDWIDTH: i64 = 120_000_000;

impl Latencies {
    /// Prepares a model.
    ///
    /// # Errors
    /// If a parameter of a distribution is out of range; the name of the stage comes with it.
    pub(crate) fn new(model: &LatencyModel) -> Result<Latencies, (&'static str, DistributionError)> {
        let span = |name, law: &Distribution| law.sampler().map_err(|error| (name, error));
        let bytes = |name, law: &Distribution<Bytes>| law.sampler().map_err(|error| (name, error));
        Ok(Latencies {
            api_write: span("apiWrite", &model.api_write)?,
            api_read: span("apiRead", &model.api_read)?,
            watch: span("watch", &model.watch)?,
            kubelet_notice: span("kubeletNotice", &model.kubelet_notice)?,
            volume_mount: span("volumeMount", &model.volume_mount)?,
            sandbox: span("sandbox", &model.sandbox)?,
            container_start: span("containerStart", &model.container_start)?,
            startup: span("startup", &model.startup)?,
            image_pull_fixed: span("imagePullFixed", &model.image_pull_fixed)?,
            image_pull_bandwidth: bytes("imagePullBandwidth", &model.image_pull_bandwidth)?,
            image_size: bytes("imageSize", &model.image_size)?,
            container_stop: span("containerStop", &model.container_stop)?,
            proxy_sync: span("proxySync", &model.proxy_sync)?,
            node_boot: span("nodeBoot", &model.node_boot)?,
            cloud_api: span("cloudApi", &model.cloud_api)?,
            node_deletion: span("nodeDeletion", &model.node_deletion)?,
            volume_provision: span("volumeProvision", &model.volume_provision)?,
            volume_delete: span("volumeDelete", &model.volume_delete)?,
            volume_attach: span("volumeAttach", &model.volume_attach)?,
            volume_detach: span("volumeDetach", &model.volume_detach)?,
        })
    }

    /// How long transferring and unpacking an image takes: its compressed size
    /// over the drawn bandwidth, and its unpacked size over the disk's.
    pub(crate) fn image_transfer(&self, size: Bytes, bandwidth: &mut Stream) -> Span {
        let bandwidth = self.image_pull_bandwidth.draw(bandwidth).0.max(1);
        let nanos = |bytes: i128, per_second: i64| {
            i64::try_from(bytes * 1_000_000_000 / i128::from(per_second)).unwrap_or(i64::MAX)
        };
        let transfer = nanos(i128::from(size.0), bandwidth);
        let unpack = nanos(i128::from(size.0) * i128::from(UNPACK_TENTHS) / 10, UNPACK_BANDWIDTH);
        Span::from_nanos(transfer) + Span::from_nanos(unpack)
    }
}
