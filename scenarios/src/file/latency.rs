//! How fast the parts of the cluster are.

use seatrial_api::units::{Bytes, Span};

use super::law::Law;
use crate::schema::{choice, record};

record! {
    /// The latency model: a profile, and what differs from it. Each value is a constant or a distribution.
    pub(crate) struct Latency {
        /// The profile.
        profile("profile"): ProfileWord = "cloud-vm",
        /// From the arrival of a write at the API server to its commit, etcd included.
        api_write("apiWrite"): Option<Law<Span>>,
        /// A read of one object.
        api_read("apiRead"): Option<Law<Span>>,
        /// From a commit to the arrival of its watch event.
        watch("watch"): Option<Law<Span>>,
        /// From the arrival of a pod at its kubelet to the kubelet's acting on it.
        kubelet_notice("kubeletNotice"): Option<Law<Span>>,
        /// Mounting the volumes of a pod.
        volume_mount("volumeMount"): Option<Law<Span>>,
        /// Making a sandbox with its network.
        sandbox("sandbox"): Option<Law<Span>>,
        /// Creating and starting a container.
        container_start("containerStart"): Option<Law<Span>>,
        /// From the start of a container that has probes until it could pass them, where no profile says it.
        startup("startup"): Option<Law<Span>>,
        /// From the request to end until a container ends, where no profile says otherwise.
        container_stop("containerStop"): Option<Law<Span>>,
        /// The fixed part of an image pull.
        image_pull_fixed("imagePullFixed"): Option<Law<Span>>,
        /// Bytes per second of an image pull, compressed.
        image_pull_bandwidth("imagePullBandwidth"): Option<Law<Bytes>>,
        /// Compressed size of images that are not listed under `images`.
        image_size("imageSize"): Option<Law<Bytes>>,
        /// From an endpoint's change to a node's forwarding rules.
        proxy_sync("proxySync"): Option<Law<Span>>,
        /// One step of a controller's worker.
        controller_step("controllerStep"): Option<Span>,
        /// A scheduling cycle.
        scheduling_cycle("schedulingCycle"): Option<SchedulingCycle>,
        /// From a new machine's start to its kubelet's registration.
        node_boot("nodeBoot"): Option<Law<Span>>,
        /// A call of the cloud: from an autoscaler's request to a machine's start, or to its refusal.
        cloud_api("cloudApi"): Option<Law<Span>>,
        /// From such a call to the end of a machine that is given back.
        node_deletion("nodeDeletion"): Option<Law<Span>>,
        /// Making a volume for a claim, or making it larger.
        volume_provision("volumeProvision"): Option<Law<Span>>,
        /// Deleting the storage of a volume.
        volume_delete("volumeDelete"): Option<Law<Span>>,
        /// Attaching a volume to a node.
        volume_attach("volumeAttach"): Option<Law<Span>>,
        /// Detaching a volume from a node.
        volume_detach("volumeDetach"): Option<Law<Span>>,
    }
}

record! {
    /// How long a scheduling cycle takes.
    pub(crate) struct SchedulingCycle {
        /// The fixed part.
        fixed("fixed"): Span = "400us",
        /// For each node that is filtered.
        per_node_filtered("perNodeFiltered"): Span = "6us",
        /// For each node that is scored.
        per_node_scored("perNodeScored"): Span = "2us",
    }
}

choice! {
    /// A latency profile.
    pub(crate) enum ProfileWord {
        /// Virtual machines of a cloud.
        CloudVm = "cloud-vm",
        /// A cluster of containers on one laptop.
        Laptop = "laptop",
        /// Machines in a data centre.
        BareMetal = "bare-metal",
        /// No delay anywhere.
        Zero = "zero",
    }
}
