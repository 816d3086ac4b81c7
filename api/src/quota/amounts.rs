//! Amounts by resource, as quotas have them: any names, and quantities that are printed as they were
//! written.

use std::fmt;

use crate::quantity::{Notation, Quantity};
use crate::resources::{ResourceList, Resources, Scalars};
use crate::symbol::Symbol;
use crate::units::{Bytes, MilliCpu};

/// Amounts by resource, sorted by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Amounts(Vec<(Symbol, Quantity)>);

impl Amounts {
    /// These amounts; of several of one name the last counts.
    pub fn new(pairs: impl IntoIterator<Item = (Symbol, Quantity)>) -> Amounts {
        let mut amounts = Amounts::default();
        pairs.into_iter().for_each(|(name, amount)| amounts.set(name, amount));
        amounts
    }

    /// The amount of a resource, if it is mentioned.
    pub fn get(&self, name: Symbol) -> Option<Quantity> {
        let index = self.0.binary_search_by(|pair| pair.0.cmp(&name)).ok()?;
        Some(self.0[index].1)
    }

    /// Sets the amount of a resource.
    pub fn set(&mut self, name: Symbol, amount: Quantity) {
        match self.0.binary_search_by(|pair| pair.0.cmp(&name)) {
            Ok(index) => self.0[index].1 = amount,
            Err(index) => self.0.insert(index, (name, amount)),
        }
    }

    /// Sets the amount of a resource that is not mentioned yet.
    pub fn set_default(&mut self, name: Symbol, amount: Quantity) {
        if self.get(name).is_none() {
            self.set(name, amount);
        }
    }

    /// Adds to the amount of a resource; an absent one counts as zero.
    pub fn add(&mut self, name: Symbol, amount: Quantity) {
        let sum = self.get(name).map_or(amount, |known| known.plus(amount));
        self.set(name, sum);
    }

    /// Adds all amounts of `other`.
    pub fn add_all(&mut self, other: &Amounts) {
        other.iter().for_each(|(name, amount)| self.add(name, amount));
    }

    /// What is left of these amounts without `other`, and never less than nothing.
    pub fn less(&self, other: &Amounts) -> Amounts {
        let rest = |(name, amount): (Symbol, Quantity)| {
            (name, other.get(name).map_or(amount, |taken| amount.minus_or_zero(taken)))
        };
        Amounts(self.iter().map(rest).collect())
    }

    /// The amounts whose names `keep` wants.
    pub fn filtered(&self, keep: impl Fn(Symbol, Quantity) -> bool) -> Amounts {
        Amounts(self.iter().filter(|&(name, amount)| keep(name, amount)).collect())
    }

    /// The amounts in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (Symbol, Quantity)> + '_ {
        self.0.iter().copied()
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = Symbol> + '_ {
        self.0.iter().map(|pair| pair.0)
    }

    /// Whether nothing is mentioned.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The amounts as requests or limits of a container.
    pub fn to_resource_list(&self) -> ResourceList {
        let mut list = ResourceList::default();
        let mut scalars = smallvec::SmallVec::new();
        for (name, amount) in self.iter() {
            match name.as_str() {
                "cpu" => list.cpu = Some(amount.as_milli_cpu()),
                "memory" => list.memory = Some(amount.as_bytes()),
                "ephemeral-storage" => list.ephemeral_storage = Some(amount.as_bytes()),
                _ => scalars.push((name, amount.ceil_units())),
            }
        }
        list.scalars = Scalars::new(scalars);
        list
    }

    /// Requests or limits of a container, without those that are absent.
    pub fn of_list(list: &ResourceList) -> Amounts {
        let mut amounts = Amounts::of_scalars(&list.scalars);
        if let Some(cpu) = list.cpu {
            amounts.set("cpu".into(), of_cpu(cpu));
        }
        if let Some(memory) = list.memory {
            amounts.set("memory".into(), of_bytes(memory));
        }
        if let Some(storage) = list.ephemeral_storage {
            amounts.set("ephemeral-storage".into(), of_bytes(storage));
        }
        amounts
    }

    /// A sum of amounts, without those that are zero.
    pub fn of_resources(resources: &Resources) -> Amounts {
        let mut amounts = Amounts::of_scalars(&resources.scalars);
        amounts.set("cpu".into(), of_cpu(resources.cpu));
        amounts.set("memory".into(), of_bytes(resources.memory));
        amounts.set("ephemeral-storage".into(), of_bytes(resources.ephemeral_storage));
        amounts.filtered(|_, amount| !amount.is_zero())
    }

    /// An amount of storage.
    pub fn of_storage(bytes: Bytes) -> Quantity {
        of_bytes(bytes)
    }

    fn of_scalars(scalars: &Scalars) -> Amounts {
        Amounts::new(scalars.iter().map(|(name, count)| {
            let bytes = name.as_str().starts_with("hugepages-");
            (name, if bytes { of_bytes(Bytes(count)) } else { of_count(count) })
        }))
    }
}

impl fmt::Display for Amounts {
    /// `limits.cpu=1,pods=2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, amount)) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{name}={amount}")?;
        }
        Ok(())
    }
}

/// A number of objects.
pub(crate) fn of_count(count: i64) -> Quantity {
    Quantity::from_units(count, Notation::DecimalSi)
}

pub(crate) fn of_cpu(cpu: MilliCpu) -> Quantity {
    Quantity::from_millis(cpu.0)
}

/// An amount of memory or storage.
///
/// Model: amounts are kept as numbers of bytes, not as they were written. Printed, they have a
/// binary suffix if they are whole multiples of 1024 and a decimal one otherwise.
pub(crate) fn of_bytes(bytes: Bytes) -> Quantity {
    let notation = if bytes.0 % 1024 == 0 { Notation::BinarySi } else { Notation::DecimalSi };
    Quantity::from_units(bytes.0, notation)
}
