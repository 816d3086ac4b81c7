//! How pods and images behave: the scenario's profiles, prepared.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::container::Container;
use seatrial_api::pod::{Pod, PodSpec};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, Ratio, SimTime, Span};

use super::config::{ImageSpec, PodProfile};
use crate::engine::dist::{Distribution, DistributionError, Sampler};

/// How long a main container of a pod that is to end (restart policy OnFailure or Never) runs
/// where no profile says it.
const DEFAULT_RUN_TIME: Span = Span::from_secs(60);

/// A profile with its samplers.
#[derive(Clone, Debug)]
pub(crate) struct Behaviour {
    profile: PodProfile,
    pub(crate) startup: Option<Sampler>,
    pub(crate) run_time: Option<Sampler>,
    pub(crate) unready_after: Option<Sampler>,
    pub(crate) stop: Option<Sampler>,
}

impl Behaviour {
    fn new(profile: &PodProfile) -> Result<Behaviour, DistributionError> {
        let sampler = |law: &Option<Distribution>| law.as_ref().map(Distribution::sampler).transpose();
        Ok(Behaviour {
            startup: sampler(&profile.startup)?,
            run_time: sampler(&profile.run_time)?,
            unready_after: sampler(&profile.unready_after)?,
            stop: sampler(&profile.stop)?,
            profile: profile.clone(),
        })
    }

    fn matches(&self, pod: &Pod) -> bool {
        self.profile.namespace.is_none_or(|namespace| namespace == pod.meta.namespace)
            && self.profile.selector.matches(&pod.meta.labels)
    }

    /// The chance that a container that ends by itself ends badly.
    pub(crate) fn failure(&self) -> Ratio {
        self.profile.failure
    }

    /// The course of the CPU demand that its ready pods share; empty if each has its own use.
    pub(crate) fn load(&self) -> &[(SimTime, MilliCpu)] {
        &self.profile.load
    }
}

/// All behaviours of a run.
#[derive(Clone, Debug)]
pub(crate) struct Behaviours {
    profiles: Arc<[Behaviour]>,
    images: Arc<[ImageSpec]>,
    resolved: FxHashMap<Symbol, ImageBehaviour>,
}

/// How an image behaves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ImageBehaviour {
    pub(crate) size: Option<Bytes>,
    pub(crate) broken: bool,
    pub(crate) crashes: bool,
}

impl Behaviours {
    /// Prepares profiles and images.
    ///
    /// # Errors
    /// If a profile's distribution has a parameter out of range.
    pub(crate) fn new(
        profiles: &[PodProfile],
        images: &[ImageSpec],
    ) -> Result<Behaviours, DistributionError> {
        let profiles = profiles.iter().map(Behaviour::new).collect::<Result<Vec<_>, _>>()?;
        Ok(Behaviours { profiles: profiles.into(), images: images.into(), resolved: FxHashMap::default() })
    }

    /// The first profile that matches a pod.
    pub(crate) fn find(&self, pod: &Pod) -> Option<u16> {
        self.profiles.iter().position(|behaviour| behaviour.matches(pod)).map(|index| index as u16)
    }

    /// A profile.
    pub(crate) fn get(&self, index: Option<u16>) -> Option<&Behaviour> {
        index.map(|index| &self.profiles[usize::from(index)])
    }

    /// All profiles.
    pub(crate) fn profiles(&self) -> &[Behaviour] {
        &self.profiles
    }

    /// CPU and memory that a running pod uses: its profile's, else what it requests. Limits of its
    /// containers keep its memory down.
    pub(crate) fn usage(&self, index: Option<u16>, pod: &Pod) -> (MilliCpu, Bytes) {
        let requests = &pod.spec.derived.requests;
        let profile = self.get(index).map(|behaviour| &behaviour.profile);
        let cpu = profile.and_then(|profile| profile.cpu).unwrap_or(requests.cpu);
        match profile.and_then(|profile| profile.memory) {
            Some(memory) => {
                let used = memory_shares(memory, &pod.spec.containers).map(|share| share.used().0);
                (cpu, Bytes(used.fold(0, i64::saturating_add)))
            }
            None => (cpu, requests.memory),
        }
    }

    /// What each main container of a pod wants of memory and may have of it. Only a profile makes
    /// it want more than it may have.
    pub(crate) fn memory_shares<'a>(
        &self,
        index: Option<u16>,
        spec: &'a PodSpec,
    ) -> impl Iterator<Item = MemoryShare> + use<'a> {
        let profile = self.get(index).and_then(|behaviour| behaviour.profile.memory);
        let limited = profile.is_some();
        let shares = memory_shares(profile.unwrap_or(spec.derived.requests.memory), &spec.containers);
        shares.map(move |share| MemoryShare { limit: share.limit.filter(|_| limited), ..share })
    }

    /// How long a container that is to end runs where its profile does not say.
    pub(crate) fn default_run_time() -> Span {
        DEFAULT_RUN_TIME
    }

    /// How an image behaves; the last entry that matches counts.
    pub(crate) fn image(&mut self, image: Symbol) -> ImageBehaviour {
        let images = &self.images;
        *self.resolved.entry(image).or_insert_with(|| {
            let matching = images.iter().rev().find(|spec| image_matches(&spec.name, image.as_str()));
            matching.map_or(ImageBehaviour::default(), |spec| ImageBehaviour {
                size: spec.size,
                broken: spec.broken,
                crashes: spec.crashes,
            })
        })
    }
}

/// A main container's part of its pod's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemoryShare {
    /// What it would use.
    pub(crate) wanted: Bytes,
    /// What it may use.
    limit: Option<Bytes>,
}

impl MemoryShare {
    /// What it uses.
    pub(crate) fn used(self) -> Bytes {
        self.limit.map_or(self.wanted, |limit| limit.min(self.wanted))
    }

    /// Whether the kernel kills it at its limit.
    pub(crate) fn is_over(self) -> bool {
        self.limit.is_some_and(|limit| limit < self.wanted)
    }
}

/// Divides a pod's memory among its main containers by what they request; in equal parts if none
/// requests anything. What does not divide goes to the first.
fn memory_shares(total: Bytes, containers: &[Container]) -> impl Iterator<Item = MemoryShare> {
    let request = |container: &Container| i128::from(container.requests.memory.unwrap_or_default().0);
    let sum: i128 = containers.iter().map(request).sum();
    let part = move |container: &Container| {
        let (weight, of) = if sum > 0 { (request(container), sum) } else { (1, containers.len() as i128) };
        i64::try_from(i128::from(total.0) * weight / of).unwrap_or(i64::MAX)
    };
    let rest = total.0 - containers.iter().map(part).sum::<i64>();
    containers.iter().enumerate().map(move |(index, container)| MemoryShare {
        wanted: Bytes(part(container) + if index == 0 { rest } else { 0 }),
        limit: container.limits.memory,
    })
}

/// Whether a name, or a prefix that ends in `*`, fits an image.
fn image_matches(pattern: &str, image: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => image.starts_with(prefix),
        None => pattern == image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_divided_by_requests_and_kept_down_by_limits() {
        let container = |request: i64, limit: i64| {
            let mut container = Container::new("c", "app:1");
            container.requests.memory = (request > 0).then_some(Bytes(request));
            container.limits.memory = (limit > 0).then_some(Bytes(limit));
            container
        };
        for (total, containers, expected) in [
            (100, vec![container(50, 0)], vec![(100, false)]),
            (100, vec![container(50, 100)], vec![(100, false)]),
            (101, vec![container(50, 100)], vec![(100, true)]),
            (100, vec![container(30, 0), container(10, 20)], vec![(75, false), (20, true)]),
            (
                100,
                vec![container(0, 0), container(0, 0), container(0, 0)],
                vec![(34, false), (33, false), (33, false)],
            ),
        ] {
            let shares = memory_shares(Bytes(total), &containers);
            let found: Vec<_> = shares.map(|share| (share.used().0, share.is_over())).collect();
            assert_eq!(found, expected, "{total}");
        }
    }

    #[test]
    fn image_patterns_are_names_or_prefixes() {
        for (pattern, image, expected) in [
            ("app:1", "app:1", true),
            ("app:1", "app:10", false),
            ("app:*", "app:10", true),
            ("*", "x", true),
        ] {
            assert_eq!(image_matches(pattern, image), expected, "{pattern} {image}");
        }
    }
}
