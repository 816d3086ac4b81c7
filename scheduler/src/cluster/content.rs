//! Content as words, for telling equal things from different ones without comparing structures.
//!
//! Symbols are interned, so the address of their text stands for them. Addresses differ from run to
//! run, but only their equality is ever asked for.

use seatrial_api::gpu::GpuRequest;
use seatrial_api::labels::{Labels, Operator, Requirement, Selector};
use seatrial_api::resources::Resources;
use seatrial_api::scheduling::{NodeSelectorTerm, Toleration};
use seatrial_api::symbol::Symbol;

/// The content of something, as words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Content(Vec<u64>);

impl Content {
    /// Adds a number.
    pub fn number(&mut self, number: i64) {
        self.0.push(number as u64);
    }

    /// Adds a symbol.
    pub fn symbol(&mut self, symbol: Symbol) {
        self.0.push(symbol.as_str().as_ptr() as usize as u64);
    }

    /// Adds an optional symbol.
    pub fn optional_symbol(&mut self, symbol: Option<Symbol>) {
        self.number(i64::from(symbol.is_some()));
        self.symbol(symbol.unwrap_or_default());
    }

    /// Adds several symbols.
    pub fn symbols(&mut self, symbols: &[Symbol]) {
        self.number(symbols.len() as i64);
        symbols.iter().for_each(|&symbol| self.symbol(symbol));
    }

    /// Adds labels.
    pub fn labels(&mut self, labels: &Labels) {
        self.number(labels.iter().len() as i64);
        for &(key, value) in labels.iter() {
            self.symbol(key);
            self.symbol(value);
        }
    }

    /// Adds the address of something that outlives this content.
    pub(crate) fn address<T: ?Sized>(&mut self, thing: &T) {
        self.0.push(std::ptr::from_ref(thing).cast::<()>() as usize as u64);
    }

    /// Adds amounts of resources.
    pub fn resources(&mut self, resources: &Resources) {
        self.number(resources.cpu.get());
        self.number(resources.memory.get());
        self.number(resources.ephemeral_storage.get());
        self.number(resources.scalars.iter().count() as i64);
        for (name, amount) in resources.scalars.iter() {
            self.symbol(name);
            self.number(amount);
        }
    }

    /// Adds what is asked of GPUs, or that nothing is.
    pub fn gpu_request(&mut self, request: Option<&GpuRequest>) {
        let Some(request) = request else {
            self.number(0);
            return;
        };
        self.number(i64::from(request.milli) << 8 | i64::from(request.count));
        self.symbols(&request.models);
        self.number(request.devices.map_or(0, |devices| devices.bits() as i64));
    }

    /// Adds tolerations.
    pub fn tolerations(&mut self, tolerations: &[Toleration]) {
        self.number(tolerations.len() as i64);
        for toleration in tolerations {
            self.symbol(toleration.key);
            self.number(toleration.operator as i64);
            self.symbol(toleration.value);
            self.number(toleration.effect.map_or(-1, |effect| effect as i64));
        }
    }

    /// Adds alternatives of a node selector.
    pub fn node_terms(&mut self, terms: &[NodeSelectorTerm]) {
        self.number(terms.len() as i64);
        for term in terms {
            self.requirements(&term.expressions);
            self.requirements(&term.fields);
        }
    }

    /// Adds a selector, or that there is none.
    pub fn selector(&mut self, selector: Option<&Selector>) {
        self.number(i64::from(selector.is_some()));
        self.requirements(selector.map_or(&[], |selector| &selector.requirements));
    }

    fn requirements(&mut self, requirements: &[Requirement]) {
        self.number(requirements.len() as i64);
        for requirement in requirements {
            self.symbol(requirement.key);
            match &requirement.operator {
                Operator::In(values) => self.operator(0, values),
                Operator::NotIn(values) => self.operator(1, values),
                Operator::Exists => self.number(2),
                Operator::DoesNotExist => self.number(3),
                Operator::Gt(bound) => [4, *bound].into_iter().for_each(|word| self.number(word)),
                Operator::Lt(bound) => [5, *bound].into_iter().for_each(|word| self.number(word)),
                Operator::Never => self.number(6),
            }
        }
    }

    fn operator(&mut self, kind: i64, values: &[Symbol]) {
        self.number(kind);
        self.symbols(values);
    }
}
