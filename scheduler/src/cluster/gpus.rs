//! The GPUs of a node: what is free of each device, and which pod uses which.
//!
//! Model: a device that no annotation names and no policy has chosen is the fullest one that fits
//! (the tightest fit of hkust-adsl/kubernetes-scheduler-simulator,
//! `pkg/type/open-gpu-share/cache/gpunodeinfo.go`); what a policy chose is known to the scheduler
//! alone and not written to the pod.

use seatrial_api::gpu::{DEVICES_MAX, DeviceSet, GPU_COUNT, GPU_MODEL, GpuRequest, WHOLE_GPU};
use seatrial_api::node::Node;
use seatrial_api::symbol::Symbol;
use smallvec::SmallVec;

/// What is free of each device, in thousandths; negative where pods were put that do not fit.
pub type FreeMilli = SmallVec<[i32; 8]>;

/// A whole device that is free.
const WHOLE: i32 = WHOLE_GPU as i32;

/// A kind of pods that use GPUs, as GPU clustering tells them apart: those that share one, and
/// those with so many whole ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuKind(u8);

impl GpuKind {
    /// The kind of a request.
    pub fn of(request: &GpuRequest) -> GpuKind {
        GpuKind(if request.is_shared() { 0 } else { request.count })
    }
}

/// A pod on devices.
#[derive(Clone, Copy, Debug)]
struct Placed {
    pod: u32,
    milli: u16,
    kind: GpuKind,
    devices: DeviceSet,
}

/// The GPUs of a node.
#[derive(Clone, Debug)]
pub struct NodeGpus {
    /// The model; empty if the node does not say.
    pub model: Symbol,
    free: FreeMilli,
    placed: Vec<Placed>,
    /// How many pods there are of each kind that there is.
    kinds: SmallVec<[(GpuKind, u16); 4]>,
}

impl NodeGpus {
    /// The GPUs that a node offers; `None` if it offers none.
    pub(crate) fn of(node: &Node) -> Option<NodeGpus> {
        // Most nodes have no such resources at all.
        if node.allocatable.amounts.scalars.is_empty() {
            return None;
        }
        let count = node.allocatable.amounts.scalars.get(Symbol::new(GPU_COUNT)).min(i64::from(DEVICES_MAX));
        let model = node.meta.labels.get(Symbol::new(GPU_MODEL)).unwrap_or_default();
        (count > 0).then(|| NodeGpus::new(model, count as usize))
    }

    /// So many free devices of a model.
    pub fn new(model: Symbol, count: usize) -> NodeGpus {
        NodeGpus {
            model,
            free: SmallVec::from_elem(WHOLE, count),
            placed: Vec::new(),
            kinds: SmallVec::new(),
        }
    }

    /// What is free of each device.
    pub fn free(&self) -> &FreeMilli {
        &self.free
    }

    /// What is free in all, in thousandths of a GPU.
    pub fn free_total(&self) -> i64 {
        self.free.iter().map(|&free| i64::from(free)).sum()
    }

    /// Whether a pod that asks for this finds room now.
    pub fn fits(&self, request: &GpuRequest) -> bool {
        let wanted = i32::from(request.milli);
        match request.devices {
            Some(devices) => {
                devices.iter().all(|device| self.free.get(device).is_some_and(|&free| free >= wanted))
            }
            None => self.free.iter().filter(|&&free| free >= wanted).count() >= usize::from(request.count),
        }
    }

    /// Whether a pod that asks for this would find room if there were no others.
    pub fn could_fit(&self, request: &GpuRequest) -> bool {
        match request.devices {
            Some(devices) => devices.iter().all(|device| device < self.free.len()),
            None => self.free.len() >= usize::from(request.count),
        }
    }

    /// The kinds of pods that use these GPUs, each with how many they are.
    pub fn kinds(&self) -> &[(GpuKind, u16)] {
        &self.kinds
    }

    /// The devices of a pod; empty if it has none here.
    pub fn devices_of(&self, pod: u32) -> DeviceSet {
        self.placed.iter().find(|placed| placed.pod == pod).map_or(DeviceSet::NONE, |placed| placed.devices)
    }

    /// Puts a pod on the devices that it names, or on those that fit most tightly.
    pub(crate) fn add(&mut self, pod: u32, request: &GpuRequest) {
        let named = request.devices.filter(|_| self.could_fit(request));
        let devices = named.unwrap_or_else(|| tightest(&self.free, request));
        self.put(pod, request, devices);
    }

    /// Puts a pod on these devices.
    pub(crate) fn put(&mut self, pod: u32, request: &GpuRequest, devices: DeviceSet) {
        let kind = GpuKind::of(request);
        devices.iter().for_each(|device| self.free[device] -= i32::from(request.milli));
        self.placed.push(Placed { pod, milli: request.milli, kind, devices });
        match self.kinds.iter_mut().find(|entry| entry.0 == kind) {
            Some(entry) => entry.1 += 1,
            None => self.kinds.push((kind, 1)),
        }
    }

    /// Takes a pod off its devices.
    pub(crate) fn remove(&mut self, pod: u32) {
        let Some(index) = self.placed.iter().position(|placed| placed.pod == pod) else { return };
        let placed = self.placed.swap_remove(index);
        placed.devices.iter().for_each(|device| self.free[device] += i32::from(placed.milli));
        if let Some(index) = self.kinds.iter().position(|entry| entry.0 == placed.kind) {
            self.kinds[index].1 -= 1;
            if self.kinds[index].1 == 0 {
                self.kinds.swap_remove(index);
            }
        }
    }
}

/// The devices that a request fits most tightly, of equals the first: for a share the fullest one,
/// else free ones from the lowest number on. Where it does not fit, those with most room.
pub(crate) fn tightest(free: &FreeMilli, request: &GpuRequest) -> DeviceSet {
    let wanted = i32::from(request.milli);
    let mut devices = DeviceSet::NONE;
    for _ in 0..usize::from(request.count).min(free.len()) {
        let left = || free.iter().enumerate().filter(|(device, _)| !devices.contains(*device));
        let fitting = left().filter(|(_, free)| **free >= wanted).min_by_key(|(_, free)| **free);
        let roomiest = || left().min_by_key(|(_, free)| -**free);
        if let Some((device, _)) = fitting.or_else(roomiest) {
            devices.insert(device);
        }
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpus(free: &[i32]) -> NodeGpus {
        NodeGpus { free: free.into(), ..NodeGpus::new(Symbol::new("T4"), 0) }
    }

    #[test]
    fn the_tightest_fit_is_the_fullest_device_and_of_equals_the_first() {
        let rows: [(&[i32], GpuRequest, &[usize]); 6] = [
            (&[1000, 300, 700, 300], GpuRequest::new(1, 300), &[1]),
            (&[1000, 300, 700, 300], GpuRequest::new(1, 301), &[2]),
            (&[200, 1000, 500, 1000, 1000], GpuRequest::new(2, 1000), &[1, 3]),
            (&[200, 1000, 500], GpuRequest::new(1, 1000), &[1]),
            (&[200, 500, 500], GpuRequest::new(1, 900), &[1]),
            (&[200], GpuRequest::new(4, 1000), &[0]),
        ];
        for (free, request, devices) in rows {
            let found: Vec<usize> = tightest(&free.into(), &request).iter().collect();
            assert_eq!(found, devices, "{request:?} on {free:?}");
        }
    }

    #[test]
    fn what_goes_frees_what_it_used() {
        let mut gpus = gpus(&[1000, 1000, 1000]);
        let (share, pair) = (GpuRequest::new(1, 400), GpuRequest::new(2, 1000));
        gpus.add(1, &share);
        gpus.add(2, &pair);
        gpus.add(3, &share);
        assert_eq!(gpus.free()[..], [200, 0, 0]);
        assert!(!gpus.fits(&share) && gpus.could_fit(&pair));
        assert_eq!(gpus.kinds().len(), 2);
        gpus.remove(1);
        gpus.remove(2);
        assert_eq!(gpus.free()[..], [600, 1000, 1000]);
        assert_eq!(gpus.kinds(), [(GpuKind::of(&share), 1)]);
        assert_eq!(gpus.devices_of(3), DeviceSet::one(0));
    }

    #[test]
    fn devices_that_a_pod_names_are_kept() {
        let mut gpus = gpus(&[1000, 1000]);
        let named = GpuRequest { devices: Some(DeviceSet::one(1)), ..GpuRequest::new(1, 600) };
        gpus.add(1, &named);
        assert_eq!(gpus.free()[..], [1000, 400]);
        assert!(!gpus.fits(&named));
    }
}
