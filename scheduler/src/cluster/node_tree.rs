//! The order in which nodes are visited: round robin over zones.

use seatrial_api::labels::Labels;
use seatrial_api::symbol::Symbol;

/// Nodes by zone: zones in the order in which they were first seen, nodes in that of their coming.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeTree {
    zones: Vec<Zone>,
    count: usize,
}

#[derive(Clone, Debug)]
struct Zone {
    key: (Symbol, Symbol),
    nodes: Vec<Symbol>,
}

/// Region and zone of a node; the labels of old win where both are there.
pub(crate) fn zone_key(labels: &Labels) -> (Symbol, Symbol) {
    let value = |old: &str, new: &str| {
        labels.get(Symbol::new(old)).or_else(|| labels.get(Symbol::new(new))).unwrap_or_default()
    };
    let region = value("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region");
    let zone = value("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone");
    (region, zone)
}

impl NodeTree {
    pub(crate) fn add(&mut self, key: (Symbol, Symbol), node: Symbol) {
        match self.zones.iter_mut().find(|zone| zone.key == key) {
            Some(zone) => zone.nodes.push(node),
            None => self.zones.push(Zone { key, nodes: vec![node] }),
        }
        self.count += 1;
    }

    /// Takes a node away; a zone without nodes is forgotten.
    pub(crate) fn remove(&mut self, key: (Symbol, Symbol), node: Symbol) {
        let Some(index) = self.zones.iter().position(|zone| zone.key == key) else { return };
        let zone = &mut self.zones[index];
        let before = zone.nodes.len();
        zone.nodes.retain(|&other| other != node);
        self.count -= before - zone.nodes.len();
        if zone.nodes.is_empty() {
            self.zones.remove(index);
        }
    }

    /// All nodes, one of each zone per round.
    pub(crate) fn interleaved(&self) -> Vec<Symbol> {
        let mut order = Vec::with_capacity(self.count);
        let rounds = self.zones.iter().map(|zone| zone.nodes.len()).max().unwrap_or(0);
        for round in 0..rounds {
            order.extend(self.zones.iter().filter_map(|zone| zone.nodes.get(round)));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_take_turns_until_they_are_exhausted() {
        let mut tree = NodeTree::default();
        let zone = |name: &str| (Symbol::empty(), Symbol::new(name));
        for (node, name) in ["a", "a", "b", "c", "a", "b"].iter().enumerate() {
            tree.add(zone(name), Symbol::new(&node.to_string()));
        }
        assert_eq!(tree.interleaved(), ["0", "2", "3", "1", "5", "4"].map(Symbol::new));
        tree.remove(zone("b"), "2".into());
        tree.remove(zone("b"), "5".into());
        tree.add(zone("b"), "7".into());
        assert_eq!(tree.interleaved(), ["0", "3", "7", "1", "4"].map(Symbol::new));
    }
}
