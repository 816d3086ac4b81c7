//! The plugins: small files, each with upstream's filter, score and messages of one name.

pub(crate) mod balanced_allocation;
pub(crate) mod default_binder;
pub(crate) mod default_preemption;
pub(crate) mod dynamic_resources;
pub(crate) mod fit;
pub(crate) mod gpu_sharing;
pub(crate) mod image_locality;
pub(crate) mod inter_pod_affinity;
pub(crate) mod node_affinity;
pub(crate) mod node_name;
pub(crate) mod node_ports;
pub(crate) mod node_unschedulable;
pub(crate) mod scheduling_gates;
pub(crate) mod taint_toleration;
pub(crate) mod topology_spread;
pub(crate) mod volume_binding;
pub(crate) mod volume_limits;
pub(crate) mod volume_restrictions;
pub(crate) mod volume_zone;

use std::sync::Arc;

use crate::config::{ConfigurationError, ProfileConfiguration, SchedulerConfiguration};
use crate::framework::Plugin;
use crate::policies;

/// All plugins of this crate, with the arguments of a profile.
///
/// # Errors
/// If an argument is out of range.
pub(crate) fn all(
    configuration: &SchedulerConfiguration,
    profile: &ProfileConfiguration,
) -> Result<Vec<Arc<dyn Plugin>>, ConfigurationError> {
    let arguments = &profile.arguments;
    let mut plugins: Vec<Arc<dyn Plugin>> = vec![
        Arc::new(scheduling_gates::SchedulingGates),
        Arc::new(node_unschedulable::NodeUnschedulable),
        Arc::new(node_name::NodeName),
        Arc::new(taint_toleration::TaintToleration { version: configuration.version }),
        Arc::new(node_affinity::NodeAffinity::new(arguments.added_affinity.clone())),
        Arc::new(node_ports::NodePorts),
        Arc::new(fit::NodeResourcesFit::new(&arguments.fit, &configuration.extenders)?),
        Arc::new(volume_restrictions::VolumeRestrictions),
        Arc::new(volume_limits::NodeVolumeLimits),
        Arc::new(volume_binding::VolumeBinding::new(arguments.volume_bind_timeout)),
        Arc::new(volume_zone::VolumeZone),
        Arc::new(topology_spread::PodTopologySpread::new(&arguments.default_constraints)?),
        Arc::new(inter_pod_affinity::InterPodAffinity::new(arguments)?),
        Arc::new(dynamic_resources::DynamicResources { version: configuration.version }),
        Arc::new(default_preemption::DefaultPreemption::new(arguments.preemption)?),
        Arc::new(balanced_allocation::BalancedAllocation::new(
            &arguments.balanced_resources,
            configuration.version,
        )),
        Arc::new(image_locality::ImageLocality),
        Arc::new(default_binder::DefaultBinder),
        Arc::new(gpu_sharing::GpuSharing {
            choice: arguments.gpu_sharing.devices,
            fragmentation: arguments.gpu_sharing.fragmentation(),
            seed: configuration.seed,
        }),
    ];
    plugins.extend(policies::plugins(profile));
    Ok(plugins)
}
