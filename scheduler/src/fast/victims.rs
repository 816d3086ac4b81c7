//! What evicting pods on a node would cost, remembered from preemptor to preemptor.

use seatrial_api::pod::Pod;

use super::class::ClassId;
use crate::cluster::Cluster;
use crate::preemption::Harm;
use crate::queue::Nominations;

/// What is known of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    /// Nothing.
    Unknown,
    /// Evicting pods does not make room, or there are none to evict.
    NoCandidate,
    /// It makes room, and does this harm.
    Candidate(Harm),
}

/// Costs for the preemptors of one class and priority.
#[derive(Clone, Debug)]
struct Costs {
    class: ClassId,
    classes_generation: u64,
    priority: i32,
    epoch: u64,
    budgets_epoch: u64,
    seen_rows: u64,
    seen_nominations: u64,
    last_asked: u64,
    costs: Vec<Cost>,
}

/// Costs for a few classes.
#[derive(Clone, Debug, Default)]
pub(crate) struct VictimCache {
    known: Vec<Costs>,
    asked: u64,
    /// The class of the pod that is being decided about, if the cache can serve it.
    pub(crate) class: Option<(ClassId, u64)>,
}

/// So many classes and priorities are remembered.
const MAX_KNOWN: usize = 4;

impl VictimCache {
    /// The costs per row for a preemptor, up to date; `None` if they cannot be remembered for it.
    pub(crate) fn costs(
        &mut self,
        cluster: &Cluster,
        nominations: &Nominations,
        pod: &Pod,
    ) -> Option<&mut Vec<Cost>> {
        let (class, classes_generation) = self.class?;
        self.asked += 1;
        let priority = pod.spec.priority();
        let index = self.known.iter().position(|costs| {
            (costs.class, costs.classes_generation, costs.priority) == (class, classes_generation, priority)
        });
        let index = index.unwrap_or_else(|| {
            self.make_room();
            self.known.push(Costs {
                class,
                classes_generation,
                priority,
                epoch: u64::MAX,
                budgets_epoch: 0,
                seen_rows: 0,
                seen_nominations: 0,
                last_asked: 0,
                costs: Vec::new(),
            });
            self.known.len() - 1
        });
        let costs = &mut self.known[index];
        costs.last_asked = self.asked;
        costs.catch_up(cluster, nominations);
        Some(&mut costs.costs)
    }

    fn make_room(&mut self) {
        if self.known.len() >= MAX_KNOWN {
            let oldest = self.known.iter().map(|costs| costs.last_asked).min();
            self.known.retain(|costs| Some(costs.last_asked) != oldest);
        }
    }
}

impl Costs {
    fn catch_up(&mut self, cluster: &Cluster, nominations: &Nominations) {
        let same = self.epoch == cluster.epoch && self.budgets_epoch == cluster.budgets_epoch;
        let rows = cluster.changes_since(self.seen_rows);
        let nodes = nominations.changes_since(self.seen_nominations);
        match (rows, nodes) {
            (Some(rows), Some(nodes)) if same => {
                rows.iter().for_each(|change| self.forget(change.row as usize));
                let positions = nodes.iter().filter_map(|&node| cluster.position(node));
                positions.for_each(|row| self.forget(row));
            }
            _ => {
                self.costs.clear();
                self.costs.resize(cluster.node_count(), Cost::Unknown);
            }
        }
        self.epoch = cluster.epoch;
        self.budgets_epoch = cluster.budgets_epoch;
        self.seen_rows = cluster.change_count();
        self.seen_nominations = nominations.change_count();
    }

    fn forget(&mut self, row: usize) {
        if let Some(cost) = self.costs.get_mut(row) {
            *cost = Cost::Unknown;
        }
    }
}
