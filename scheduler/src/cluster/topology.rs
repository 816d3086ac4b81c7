//! Topologies: the values of a node label as domains.

use rustc_hash::FxHashMap;
use seatrial_api::symbol::Symbol;

use super::NodeInfo;
use crate::bitset::Bitset;

/// The row of a topology in [`Topologies`].
pub(crate) type TopologyId = usize;

/// Where a node has no domain.
const NO_DOMAIN: u32 = u32::MAX;

/// Up to so many domains have a bitset each.
const MAX_MASKS: usize = 64;

/// One topology.
#[derive(Clone, Debug)]
pub(crate) struct Topology {
    pub(crate) key: Symbol,
    /// Per row of a node: its domain.
    pub(crate) domain_of: Vec<u32>,
    /// Per domain: how many nodes are in it.
    pub(crate) nodes_in: Vec<u32>,
    /// Rows that have a domain.
    pub(crate) present: Bitset,
    /// Per domain: its rows; empty if there are too many domains.
    pub(crate) masks: Vec<Bitset>,
    /// Whether every node has a domain.
    pub(crate) is_everywhere: bool,
    /// Whether every domain is one node, and every node has one.
    pub(crate) is_host_like: bool,
}

/// All topologies that somebody asks about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topologies(Vec<Topology>);

impl Topologies {
    /// The topology of a key, built now if it is new.
    pub(crate) fn intern(&mut self, key: Symbol, nodes: &[NodeInfo]) -> TopologyId {
        if let Some(id) = self.0.iter().position(|topology| topology.key == key) {
            return id;
        }
        self.0.push(Topology::new(key, nodes));
        self.0.len() - 1
    }

    pub(crate) fn get(&self, id: TopologyId) -> &Topology {
        &self.0[id]
    }

    /// Builds all topologies anew, after labels of nodes changed or nodes came and went.
    pub(crate) fn rebuild(&mut self, nodes: &[NodeInfo]) {
        for topology in &mut self.0 {
            *topology = Topology::new(topology.key, nodes);
        }
    }
}

impl Topology {
    fn new(key: Symbol, nodes: &[NodeInfo]) -> Topology {
        let mut ids: FxHashMap<Symbol, u32> = FxHashMap::default();
        let mut topology = Topology {
            key,
            domain_of: Vec::with_capacity(nodes.len()),
            nodes_in: Vec::new(),
            present: Bitset::with_len(nodes.len()),
            masks: Vec::new(),
            is_everywhere: true,
            is_host_like: true,
        };
        for (row, node) in nodes.iter().enumerate() {
            let Some(value) = node.label(key) else {
                topology.domain_of.push(NO_DOMAIN);
                topology.is_everywhere &= node.node().is_none();
                continue;
            };
            let next = topology.nodes_in.len() as u32;
            let domain = *ids.entry(value).or_insert(next);
            if domain == next {
                topology.nodes_in.push(0);
            }
            topology.nodes_in[domain as usize] += 1;
            topology.is_host_like &= topology.nodes_in[domain as usize] == 1;
            topology.domain_of.push(domain);
            topology.present.insert(row);
        }
        topology.is_host_like &= topology.is_everywhere;
        if topology.nodes_in.len() <= MAX_MASKS {
            topology.masks = vec![Bitset::with_len(nodes.len()); topology.nodes_in.len()];
            for (row, &domain) in topology.domain_of.iter().enumerate() {
                if domain != NO_DOMAIN {
                    topology.masks[domain as usize].insert(row);
                }
            }
        }
        topology
    }

    /// The domain of a row; `None` for rows without and for rows that are newer than this.
    pub(crate) fn domain(&self, row: usize) -> Option<usize> {
        self.domain_of.get(row).filter(|&&domain| domain != NO_DOMAIN).map(|&domain| domain as usize)
    }

    /// Whether domains have bitsets.
    pub(crate) fn has_masks(&self) -> bool {
        self.masks.len() == self.nodes_in.len()
    }
}
