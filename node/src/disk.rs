//! Local storage: limits that pods exceed, and whom the kubelet evicts when a node's disk is full
//! (upstream `eviction/{eviction_manager,helpers}.go`).

use seatrial_api::container::Container;
use seatrial_api::pod::{Pod, VolumeSource};
use seatrial_api::units::Bytes;

use crate::pressure::first_to_go;

/// Pods are evicted while less of a disk is available, in percent (`evictionHard`,
/// `nodefs.available`).
pub const DISK_THRESHOLD_PERCENT: i64 = 10;

/// What a pod stores on its node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalStorage {
    /// Writable layers and logs of its containers, main ones in order.
    pub containers: Vec<Bytes>,
    /// Its volumes, in order; what is not in an `emptyDir` on disk counts nothing.
    pub volumes: Vec<Bytes>,
}

impl LocalStorage {
    /// All of it.
    pub fn total(&self) -> Bytes {
        let parts = self.containers.iter().chain(&self.volumes);
        Bytes(parts.fold(0, |sum: i64, part| sum.saturating_add(part.0)))
    }
}

/// Why a pod must go for what it stores: an `emptyDir` beyond its size, the pod beyond its limit, or
/// a container beyond its own. The message is upstream's.
pub fn exceeded_limit(pod: &Pod, stored: &LocalStorage) -> Option<String> {
    let spec = &pod.spec;
    for (volume, used) in spec.volumes.iter().zip(&stored.volumes) {
        if let VolumeSource::EmptyDir { size_limit, .. } = volume.source
            && size_limit > Bytes::ZERO
            && *used > size_limit
        {
            let limit = quantity(size_limit);
            let name = volume.name;
            return Some(format!("Usage of EmptyDir volume \"{name}\" exceeds the limit \"{limit}\". "));
        }
    }
    let limit_of = |container: &Container| container.limits.ephemeral_storage;
    let limits: Vec<Option<Bytes>> = spec.containers.iter().map(limit_of).collect();
    let pod_limit = limits.iter().copied().collect::<Option<Vec<Bytes>>>();
    let pod_limit = pod_limit.map(|limits| Bytes(limits.iter().map(|limit| limit.0).sum()));
    if let Some(limit) = pod_limit
        && stored.total() > limit
    {
        let limit = quantity(limit);
        return Some(format!(
            "Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "
        ));
    }
    let over = spec.containers.iter().zip(&limits).zip(&stored.containers);
    let mut over = over.filter(|((_, limit), used)| limit.is_some_and(|limit| **used > limit));
    over.next().map(|((container, limit), _)| {
        let limit = quantity(limit.unwrap_or_default());
        format!("Container {} exceeded its local ephemeral storage limit \"{limit}\". ", container.name)
    })
}

/// An amount as messages write it, with the largest binary unit that divides it.
fn quantity(amount: Bytes) -> String {
    for (shift, unit) in [(40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")] {
        if amount.0 > 0 && amount.0 % (1 << shift) == 0 {
            return format!("{}{unit}", amount.0 >> shift);
        }
    }
    amount.0.to_string()
}

/// A pod that may be evicted for its disk use.
#[derive(Clone, Copy, Debug)]
pub struct DiskCandidate<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// What it stores; `None` if nothing is known yet.
    pub stored: Option<Bytes>,
}

/// The pod that goes first when the disk is full: one of which nothing is known, then one that stores
/// more than it requests, then the lower priority, then the larger excess; then the smaller name.
/// Critical pods stay.
pub fn disk_victim<'a>(candidates: &[DiskCandidate<'a>]) -> Option<&'a Pod> {
    first_to_go(candidates.iter().map(|candidate| {
        let request = candidate.pod.spec.derived.requests.ephemeral_storage;
        (candidate.pod, candidate.stored.map(|stored| stored - request))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use seatrial_api::meta::ObjectMeta;
    use seatrial_api::pod::{PodSpec, Volume};

    const MI: i64 = 1 << 20;

    fn pod(limits: &[Option<i64>], sizes: &[i64]) -> Pod {
        let container = |(index, limit): (usize, &Option<i64>)| {
            let mut container = Container::new(&format!("c{index}"), "i");
            container.limits.ephemeral_storage = limit.map(|limit| Bytes(limit * MI));
            container
        };
        let mut spec = PodSpec::new(limits.iter().enumerate().map(container).collect());
        let volume = |(index, size): (usize, &i64)| Volume {
            name: format!("v{index}").as_str().into(),
            source: VolumeSource::EmptyDir { memory: false, size_limit: Bytes(size * MI) },
        };
        spec.volumes = sizes.iter().enumerate().map(volume).collect();
        Pod::new(ObjectMeta::named("ns", "p"), Arc::new(spec.sealed()))
    }

    fn stored(containers: &[i64], volumes: &[i64]) -> LocalStorage {
        let bytes = |list: &[i64]| list.iter().map(|amount| Bytes(amount * MI)).collect();
        LocalStorage { containers: bytes(containers), volumes: bytes(volumes) }
    }

    #[test]
    fn volumes_pods_and_containers_have_limits_of_their_own() {
        for (limits, sizes, containers, volumes, expected) in [
            (&[None][..], &[][..], &[900][..], &[][..], None),
            (&[Some(100)], &[], &[100], &[], None),
            (
                &[Some(100)],
                &[],
                &[101],
                &[],
                Some("Pod ephemeral local storage usage exceeds the total limit of containers 100Mi. "),
            ),
            (
                &[Some(100)],
                &[0],
                &[60],
                &[41],
                Some("Pod ephemeral local storage usage exceeds the total limit of containers 100Mi. "),
            ),
            (
                &[Some(100), None],
                &[],
                &[101, 0],
                &[],
                Some("Container c0 exceeded its local ephemeral storage limit \"100Mi\". "),
            ),
            (&[Some(100), None], &[0], &[60, 500], &[500], None),
            (
                &[None],
                &[0, 2_048],
                &[0],
                &[5_000, 2_049],
                Some("Usage of EmptyDir volume \"v1\" exceeds the limit \"2Gi\". "),
            ),
        ] {
            let found = exceeded_limit(&pod(limits, sizes), &stored(containers, volumes));
            assert_eq!(found.as_deref(), expected, "{limits:?} {sizes:?}");
        }
    }

    #[test]
    fn excess_comes_before_priority_and_priority_before_the_size_of_the_excess() {
        let named = |name: &str, request: i64, priority: i32| {
            let mut container = Container::new("c", "i");
            container.requests.ephemeral_storage = (request > 0).then_some(Bytes(request * MI));
            let spec = PodSpec { priority: Some(priority), ..PodSpec::new(vec![container]) };
            Pod::new(ObjectMeta::named("ns", name), Arc::new(spec.sealed()))
        };
        for (pods, expected) in [
            (&[("a", 100, 0, Some(50)), ("b", 100, 10, Some(150))][..], Some("b")),
            (&[("a", 100, 5, Some(300)), ("b", 100, 0, Some(150))], Some("b")),
            (&[("a", 100, 0, Some(300)), ("b", 100, 0, Some(150))], Some("a")),
            (&[("a", 100, 0, Some(300)), ("b", 100, 9, None)], Some("b")),
            (&[("a", 0, i32::MAX, Some(900))], None),
        ] {
            let pods: Vec<_> = pods
                .iter()
                .map(|&(name, request, priority, used)| (named(name, request, priority), used))
                .collect();
            let candidates: Vec<_> = pods
                .iter()
                .map(|(pod, used)| DiskCandidate { pod, stored: used.map(|used: i64| Bytes(used * MI)) })
                .collect();
            assert_eq!(disk_victim(&candidates).map(|pod| pod.meta.name.as_str()), expected);
        }
    }
}
