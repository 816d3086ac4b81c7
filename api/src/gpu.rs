//! Shared GPUs: what a pod asks of the devices of a node, and which devices those are.
//!
//! A pod asks by annotations for thousandths of one GPU or for whole ones, a node offers devices by
//! its capacity and their model by a label. Names and meaning are those of the Alibaba GPU-share
//! scheduler as the simulator of Weng et al., "Beware of Fragmentation" (USENIX ATC 2023) reads them:
//! hkust-adsl/kubernetes-scheduler-simulator, `pkg/type/open-gpu-share/utils`.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use crate::labels::Labels;
use crate::symbol::Symbol;

/// Annotation of a pod: thousandths of each GPU that it asks for, 1 to 1000. Capacity of a node:
/// thousandths of all its GPUs.
pub const GPU_MILLI: &str = "alibabacloud.com/gpu-milli";
/// Annotation of a pod: how many GPUs it asks for. Capacity of a node: how many it has.
pub const GPU_COUNT: &str = "alibabacloud.com/gpu-count";
/// Annotation of a pod: the models that it accepts, with `|` between them. Label of a node: its
/// GPUs' model.
pub const GPU_MODEL: &str = "alibabacloud.com/gpu-card-model";
/// Annotation of a pod: the devices that it uses, by number with `-` between them.
pub const GPU_INDEX: &str = "alibabacloud.com/gpu-index";

/// A whole GPU in thousandths.
pub const WHOLE_GPU: u16 = 1000;
/// So many GPUs of a node can be told apart.
pub const DEVICES_MAX: u8 = 64;

/// Devices of a node, by their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeviceSet(u64);

impl DeviceSet {
    /// No device.
    pub const NONE: DeviceSet = DeviceSet(0);

    /// One device, by its number below [`DEVICES_MAX`].
    pub fn one(device: usize) -> DeviceSet {
        DeviceSet(1 << device)
    }

    /// Adds a device.
    pub fn insert(&mut self, device: usize) {
        self.0 |= 1 << device;
    }

    /// Whether a device is among them.
    pub fn contains(self, device: usize) -> bool {
        self.0 >> device & 1 == 1
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// As a number with one bit per device.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Their numbers, rising.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let device = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            (device < 64).then_some(device)
        })
    }

    /// Reads `0-1-2`.
    pub fn parse(text: &str) -> Option<DeviceSet> {
        let mut devices = DeviceSet::NONE;
        for number in text.split('-') {
            let device = number.parse::<u8>().ok().filter(|device| *device < DEVICES_MAX)?;
            devices.insert(usize::from(device));
        }
        Some(devices)
    }
}

impl fmt::Display for DeviceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, device) in self.iter().enumerate() {
            write!(f, "{}{device}", if index > 0 { "-" } else { "" })?;
        }
        Ok(())
    }
}

/// What a pod asks of the GPUs of a node: a share of one, or whole ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GpuRequest {
    /// Thousandths of each GPU, 1 to 1000; less than 1000 of one GPU only.
    pub milli: u16,
    /// How many GPUs, at least 1.
    pub count: u8,
    /// The models that will do, in the order in which they are written; empty for any.
    pub models: Box<[Symbol]>,
    /// The devices that were chosen beforehand.
    pub devices: Option<DeviceSet>,
}

/// What pods of one specification ask of GPUs, if they ask for any.
///
/// Its hash is nothing where they ask for none, so that names which are made of a template's hash are
/// what they would be if there were no GPUs at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuDemand(Option<Box<GpuRequest>>);

impl GpuDemand {
    /// No GPU.
    pub const NONE: GpuDemand = GpuDemand(None);
}

impl From<Option<GpuRequest>> for GpuDemand {
    fn from(request: Option<GpuRequest>) -> GpuDemand {
        GpuDemand(request.map(Box::new))
    }
}

impl From<GpuRequest> for GpuDemand {
    fn from(request: GpuRequest) -> GpuDemand {
        Some(request).into()
    }
}

impl Deref for GpuDemand {
    type Target = Option<Box<GpuRequest>>;

    fn deref(&self) -> &Option<Box<GpuRequest>> {
        &self.0
    }
}

impl Hash for GpuDemand {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if let Some(request) = &self.0 {
            request.hash(state);
        }
    }
}

/// An annotation about GPUs that means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidGpuRequest {
    /// Which one.
    pub key: &'static str,
    /// What would be right.
    pub expected: &'static str,
}

impl GpuRequest {
    /// A share of one GPU of any model, or whole ones.
    pub fn new(count: u8, milli: u16) -> GpuRequest {
        GpuRequest { milli, count, models: Box::default(), devices: None }
    }

    /// What a pod's annotations ask for; `None` if it asks for no GPU.
    ///
    /// # Errors
    /// If an annotation cannot be read, or milli and count do not belong together.
    pub fn from_annotations(annotations: &Labels) -> Result<Option<GpuRequest>, InvalidGpuRequest> {
        let text = |key: &'static str| annotations.get(Symbol::new(key)).map(Symbol::as_str);
        let number = |key: &'static str, max: i64, expected: &'static str| match text(key) {
            None => Ok(0),
            Some(text) => {
                let number = text.parse::<i64>().ok().filter(|number| (0..=max).contains(number));
                number.ok_or(InvalidGpuRequest { key, expected })
            }
        };
        let milli = number(GPU_MILLI, 1000, "thousandths of a GPU, 0 to 1000")?;
        let count = number(GPU_COUNT, i64::from(DEVICES_MAX), "how many GPUs, 0 to 64")?;
        match (count, milli) {
            (0, 0) => return Ok(None),
            (0, _) => {
                return Err(InvalidGpuRequest { key: GPU_COUNT, expected: "1 or more beside gpu-milli" });
            }
            (_, 0) => {
                return Err(InvalidGpuRequest { key: GPU_MILLI, expected: "1 to 1000 beside gpu-count" });
            }
            (2.., ..1000) => {
                return Err(InvalidGpuRequest { key: GPU_MILLI, expected: "1000 for several GPUs" });
            }
            _ => {}
        }
        let mut request = GpuRequest::new(count as u8, milli as u16);
        if let Some(models) = text(GPU_MODEL) {
            request.models = accepted_models(models);
        }
        if let Some(devices) = text(GPU_INDEX).filter(|text| !text.is_empty()) {
            let devices = DeviceSet::parse(devices).filter(|devices| devices.len() == count as usize);
            let expected = "as many numbers of devices as gpu-count says, as in 0-1";
            request.devices = Some(devices.ok_or(InvalidGpuRequest { key: GPU_INDEX, expected })?);
        }
        Ok(Some(request))
    }

    /// The annotations that ask for this.
    pub fn annotations(&self) -> Labels {
        let mut pairs = vec![(GPU_COUNT, self.count.to_string()), (GPU_MILLI, self.milli.to_string())];
        if !self.models.is_empty() {
            let models: Vec<&str> = self.models.iter().map(|model| model.as_str()).collect();
            pairs.push((GPU_MODEL, models.join("|")));
        }
        if let Some(devices) = self.devices {
            pairs.push((GPU_INDEX, devices.to_string()));
        }
        Labels::new(pairs.iter().map(|(key, value)| (Symbol::new(key), Symbol::new(value))).collect())
    }

    /// Whether it is a share of one GPU, which others may use too.
    pub fn is_shared(&self) -> bool {
        self.milli < WHOLE_GPU
    }

    /// Thousandths of a GPU in all.
    pub fn total_milli(&self) -> i64 {
        i64::from(self.milli) * i64::from(self.count)
    }

    /// Whether GPUs of this model will do; a node without a model has the empty one.
    pub fn accepts(&self, model: Symbol) -> bool {
        self.models.is_empty() || self.models.contains(&model)
    }
}

/// The models in a list with `|` between them, as they are written; empty for any.
pub fn accepted_models(list: &str) -> Box<[Symbol]> {
    list.split('|').filter(|model| !model.is_empty()).map(Symbol::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_ask_for_a_share_or_for_whole_gpus() {
        let read = |pairs: &[(&str, &str)]| GpuRequest::from_annotations(&Labels::of(pairs));
        assert_eq!(read(&[("note", "x")]), Ok(None));
        assert_eq!(read(&[(GPU_COUNT, "0"), (GPU_MILLI, "0")]), Ok(None));
        assert_eq!(read(&[(GPU_COUNT, "1"), (GPU_MILLI, "460")]), Ok(Some(GpuRequest::new(1, 460))));
        let full = [(GPU_COUNT, "2"), (GPU_MILLI, "1000"), (GPU_MODEL, "T4||P100"), (GPU_INDEX, "1-3")];
        let request = read(&full).unwrap().unwrap();
        assert_eq!(request.devices.map(|devices| devices.iter().collect()), Some(vec![1, 3]));
        assert!(request.accepts("T4".into()) && !request.accepts("A10".into()));
        assert_eq!(GpuRequest::from_annotations(&request.annotations()), Ok(Some(request)));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_key() {
        let rows: [(&[(&str, &str)], &str); 7] = [
            (&[(GPU_COUNT, "x"), (GPU_MILLI, "1000")], GPU_COUNT),
            (&[(GPU_COUNT, "1"), (GPU_MILLI, "1001")], GPU_MILLI),
            (&[(GPU_COUNT, "1")], GPU_MILLI),
            (&[(GPU_MILLI, "500")], GPU_COUNT),
            (&[(GPU_COUNT, "2"), (GPU_MILLI, "500")], GPU_MILLI),
            (&[(GPU_COUNT, "1"), (GPU_MILLI, "500"), (GPU_INDEX, "1-2")], GPU_INDEX),
            (&[(GPU_COUNT, "1"), (GPU_MILLI, "500"), (GPU_INDEX, "64")], GPU_INDEX),
        ];
        for (pairs, key) in rows {
            let found = GpuRequest::from_annotations(&Labels::of(pairs));
            assert_eq!(found.map_err(|error| error.key), Err(key), "{pairs:?}");
        }
    }
}
