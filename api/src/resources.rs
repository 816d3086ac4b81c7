//! Amounts of resources, as integers: CPU in millicores, the rest in base units.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::symbol::Symbol;
use crate::units::{Bytes, MilliCpu};

/// Amounts of extended resources, huge pages and attachable volumes by name, sorted by name.
///
/// Most objects have none, and those of one template share theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scalars(Option<Arc<[(Symbol, i64)]>>);

impl Scalars {
    /// No scalar resources.
    pub const NONE: Scalars = Scalars(None);

    /// The set of `amounts`; equal names are added up.
    pub fn new(mut amounts: SmallVec<[(Symbol, i64); 4]>) -> Scalars {
        amounts.sort_by_key(|amount| amount.0);
        amounts.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                earlier.1 = earlier.1.saturating_add(later.1);
            }
            same
        });
        if amounts.is_empty() { Scalars(None) } else { Scalars(Some(amounts.as_slice().into())) }
    }

    /// The amount of `name`; zero if it is absent.
    pub fn get(&self, name: Symbol) -> i64 {
        self.find(name).unwrap_or(0)
    }

    /// The amount of `name`, if it is mentioned.
    pub fn find(&self, name: Symbol) -> Option<i64> {
        self.iter().find(|amount| amount.0 == name).map(|amount| amount.1)
    }

    /// The amounts in name order.
    pub fn iter(&self) -> impl Iterator<Item = (Symbol, i64)> + '_ {
        self.0.iter().flat_map(|amounts| amounts.iter().copied())
    }

    /// Whether nothing is mentioned.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Both together, amount by amount combined by `combine`; an absent one counts as zero.
    fn merged(&self, other: &Scalars, combine: impl Fn(i64, i64) -> i64) -> Scalars {
        if other.is_empty() && self.is_empty() {
            return Scalars(None);
        }
        let names = self.iter().chain(other.iter().filter(|amount| self.find(amount.0).is_none()));
        Scalars::new(names.map(|(name, _)| (name, combine(self.get(name), other.get(name)))).collect())
    }
}

/// A vector of resource amounts: what a pod requests, a node offers or a node has given away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resources {
    /// CPU.
    pub cpu: MilliCpu,
    /// Memory.
    pub memory: Bytes,
    /// Local ephemeral storage.
    pub ephemeral_storage: Bytes,
    /// Everything else by name.
    pub scalars: Scalars,
}

impl Resources {
    /// CPU and memory alone.
    pub fn of(cpu: MilliCpu, memory: Bytes) -> Resources {
        Resources { cpu, memory, ..Resources::default() }
    }

    /// Whether every amount is zero.
    pub fn is_zero(&self) -> bool {
        self.cpu == MilliCpu::ZERO
            && self.memory == Bytes::ZERO
            && self.ephemeral_storage == Bytes::ZERO
            && self.scalars.iter().all(|amount| amount.1 == 0)
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Resources) {
        self.cpu += other.cpu;
        self.memory += other.memory;
        self.ephemeral_storage += other.ephemeral_storage;
        if !other.scalars.is_empty() {
            self.scalars = self.scalars.merged(&other.scalars, i64::saturating_add);
        }
    }

    /// Subtracts `other`.
    pub fn subtract(&mut self, other: &Resources) {
        self.cpu -= other.cpu;
        self.memory -= other.memory;
        self.ephemeral_storage -= other.ephemeral_storage;
        if !other.scalars.is_empty() {
            self.scalars = self.scalars.merged(&other.scalars, i64::saturating_sub);
        }
    }

    /// The larger amount of each resource.
    pub fn max(&self, other: &Resources) -> Resources {
        Resources {
            cpu: self.cpu.max(other.cpu),
            memory: self.memory.max(other.memory),
            ephemeral_storage: self.ephemeral_storage.max(other.ephemeral_storage),
            scalars: self.scalars.merged(&other.scalars, i64::max),
        }
    }
}

/// Requests or limits as written: an absent amount is not an amount of zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResourceList {
    /// `cpu`.
    pub cpu: Option<MilliCpu>,
    /// `memory`.
    pub memory: Option<Bytes>,
    /// `ephemeral-storage`.
    pub ephemeral_storage: Option<Bytes>,
    /// Everything else by name.
    pub scalars: Scalars,
}

impl ResourceList {
    /// The amounts, absent ones as zero.
    pub fn amounts(&self) -> Resources {
        Resources {
            cpu: self.cpu.unwrap_or_default(),
            memory: self.memory.unwrap_or_default(),
            ephemeral_storage: self.ephemeral_storage.unwrap_or_default(),
            scalars: self.scalars.clone(),
        }
    }

    /// Whether nothing is mentioned.
    pub fn is_empty(&self) -> bool {
        *self == ResourceList::default()
    }

    /// Fills what is absent here from `other` (a limit is the default request).
    pub fn or(&self, other: &ResourceList) -> ResourceList {
        let extra = other.scalars.iter().filter(|amount| self.scalars.find(amount.0).is_none());
        ResourceList {
            cpu: self.cpu.or(other.cpu),
            memory: self.memory.or(other.memory),
            ephemeral_storage: self.ephemeral_storage.or(other.ephemeral_storage),
            scalars: Scalars::new(self.scalars.iter().chain(extra).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpus(count: i64) -> Scalars {
        Scalars::new([(Symbol::new("nvidia.com/gpu"), count)].into_iter().collect())
    }

    #[test]
    fn scalar_resources_add_subtract_and_compare_by_name() {
        let mut total = Resources { scalars: gpus(2), ..Resources::of(MilliCpu(100), Bytes(5)) };
        total.add(&Resources { scalars: gpus(3), ..Resources::default() });
        assert_eq!(total.scalars, gpus(5));
        total.subtract(&Resources { scalars: gpus(5), ..Resources::of(MilliCpu(100), Bytes(5)) });
        assert!(total.is_zero());
        let larger = Resources::of(MilliCpu(1), Bytes(9))
            .max(&Resources { scalars: gpus(1), ..Resources::of(MilliCpu(2), Bytes(3)) });
        assert_eq!(larger, Resources { scalars: gpus(1), ..Resources::of(MilliCpu(2), Bytes(9)) });
    }

    #[test]
    fn an_absent_amount_is_filled_and_a_zero_is_kept() {
        let requests = ResourceList { cpu: Some(MilliCpu(0)), ..ResourceList::default() };
        let limits =
            ResourceList { cpu: Some(MilliCpu(500)), memory: Some(Bytes(7)), ..ResourceList::default() };
        let filled = requests.or(&limits);
        assert_eq!((filled.cpu, filled.memory), (Some(MilliCpu(0)), Some(Bytes(7))));
    }
}
