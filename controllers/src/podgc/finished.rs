//! The pods that have ended, in the order in which they are collected.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use seatrial_api::pod::{Pod, PodPhase};

/// What a pod's turn depends on, besides its name: evicted ones first, then the oldest, by the
/// whole second of the creation.
type Turn = (Reverse<bool>, i64);

/// The finished pods by their turn. Pods of one second are told apart by name, which is looked at
/// only when they are due.
#[derive(Clone, Debug, Default)]
pub(super) struct FinishedPods {
    turns: BTreeMap<Turn, Vec<u32>>,
    count: usize,
}

impl FinishedPods {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// A pod came, changed or went. Returns whether the finished pods are others now, or have
    /// other turns.
    pub(super) fn update(&mut self, old: Option<&Pod>, new: Option<&Pod>) -> bool {
        let (before, after) = (old.and_then(turn), new.and_then(turn));
        if before == after {
            return false;
        }
        if let (Some(turn), Some(pod)) = (before, old) {
            self.remove(turn, pod.meta.id);
        }
        let (Some(turn), Some(pod)) = (after, new) else { return false };
        self.turns.entry(turn).or_default().push(pod.meta.id);
        self.count += 1;
        true
    }

    fn remove(&mut self, turn: Turn, row: u32) {
        let Some(rows) = self.turns.get_mut(&turn) else { return };
        let Some(index) = rows.iter().position(|&other| other == row) else { return };
        // In order, so that those that are due are found almost sorted.
        rows.remove(index);
        self.count -= 1;
        if rows.is_empty() {
            self.turns.remove(&turn);
        }
    }

    /// Those that are more than `threshold`, in the order of their collection. A threshold of zero
    /// keeps all.
    pub(super) fn surplus<'a>(
        &self,
        threshold: usize,
        pod: impl Fn(u32) -> Option<&'a Arc<Pod>>,
    ) -> Vec<&'a Arc<Pod>> {
        let count = if threshold == 0 { 0 } else { self.count.saturating_sub(threshold) };
        let mut due: Vec<(Turn, &Arc<Pod>)> = Vec::with_capacity(count);
        for (&turn, rows) in &self.turns {
            if due.len() >= count {
                break;
            }
            due.extend(rows.iter().filter_map(|&row| Some((turn, pod(row)?))));
        }
        due.sort_by(|(turn, pod), (other_turn, other)| {
            let by_name = || pod.meta.name.cmp(&other.meta.name).then(pod.meta.id.cmp(&other.meta.id));
            turn.cmp(other_turn).then_with(by_name)
        });
        due.truncate(count);
        due.into_iter().map(|(_, pod)| pod).collect()
    }
}

fn turn(pod: &Pod) -> Option<Turn> {
    let phase = pod.status.phase;
    phase.is_terminal().then(|| {
        let is_evicted = phase == PodPhase::Failed && pod.status.reason() == "Evicted";
        (Reverse(is_evicted), pod.meta.created.truncate_to_second().nanos())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use seatrial_api::container::Container;
    use seatrial_api::meta::ObjectMeta;
    use seatrial_api::pod::{PodSpec, StatusText};
    use seatrial_api::units::{SimTime, Span};

    fn pod(row: u32, name: &str, created: i64, evicted: bool) -> Arc<Pod> {
        let spec = Arc::new(PodSpec::new(vec![Container::new("c", "app:1")]));
        let mut pod = Pod::new(ObjectMeta { id: row, ..ObjectMeta::named("ns", name) }, spec);
        pod.meta.created = SimTime::from_secs(created) + Span::from_millis(i64::from(9 - row));
        pod.status.phase = PodPhase::Failed;
        if evicted {
            pod.status.text =
                Some(Arc::new(StatusText { reason: "Evicted".into(), ..StatusText::default() }));
        }
        Arc::new(pod)
    }

    #[test]
    fn evicted_pods_go_first_then_the_oldest_then_by_name() {
        let pods =
            [pod(0, "b", 5, false), pod(1, "a", 5, false), pod(2, "old", 1, false), pod(3, "new", 9, true)];
        let mut finished = FinishedPods::default();
        assert!(pods.iter().all(|pod| finished.update(None, Some(pod))));
        for (threshold, expected) in [
            (0, vec![]),
            (4, vec![]),
            (3, vec!["new"]),
            (2, vec!["new", "old"]),
            (1, vec!["new", "old", "a"]),
        ] {
            let surplus = finished.surplus(threshold, |row| pods.get(row as usize));
            let names: Vec<_> = surplus.iter().map(|pod| pod.meta.name.as_str()).collect();
            assert_eq!(names, expected, "threshold {threshold}");
        }
    }

    #[test]
    fn a_pod_is_finished_from_its_end_to_its_removal() {
        let ended = pod(0, "a", 5, false);
        let mut running = Pod::clone(&ended);
        running.status.phase = PodPhase::Running;
        let mut finished = FinishedPods::default();
        let history: [(Option<&Pod>, Option<&Pod>, bool, usize); 5] = [
            (None, Some(&running), false, 0),
            (Some(&running), Some(&ended), true, 1),
            (Some(&ended), Some(&ended), false, 1),
            (Some(&ended), None, false, 0),
            (Some(&running), None, false, 0),
        ];
        for (old, new, changed, count) in history {
            assert_eq!((finished.update(old, new), finished.len()), (changed, count));
        }
    }
}
