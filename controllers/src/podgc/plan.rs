//! Which finished pods are collected first.

use std::cmp::Reverse;
use std::sync::Arc;

use seatrial_api::pod::{Pod, PodPhase};

/// Whether the node has evicted the pod.
fn is_evicted(pod: &Pod) -> bool {
    pod.status.phase == PodPhase::Failed && pod.status.reason() == "Evicted"
}

/// The finished pods that are more than `threshold`: evicted ones first, then the oldest, then by
/// name. A threshold of zero keeps all.
pub fn surplus(mut finished: Vec<Arc<Pod>>, threshold: usize) -> Vec<Arc<Pod>> {
    if threshold == 0 || finished.len() <= threshold {
        return Vec::new();
    }
    finished.sort_by(|a, b| {
        let key = |pod: &Pod| (Reverse(is_evicted(pod)), pod.meta.created.truncate_to_second());
        key(a).cmp(&key(b)).then_with(|| a.meta.name.cmp(&b.meta.name))
    });
    finished.truncate(finished.len() - threshold);
    finished
}

#[cfg(test)]
mod tests {
    use super::*;
    use seatrial_api::container::Container;
    use seatrial_api::meta::ObjectMeta;
    use seatrial_api::pod::{PodSpec, StatusText};
    use seatrial_api::units::SimTime;

    fn pod(name: &str, created: i64, evicted: bool) -> Arc<Pod> {
        let spec = Arc::new(PodSpec::new(vec![Container::new("c", "app:1")]));
        let mut pod = Pod::new(ObjectMeta::named("ns", name), spec);
        pod.meta.created = SimTime::from_secs(created);
        pod.status.phase = PodPhase::Failed;
        if evicted {
            pod.status.text =
                Some(Arc::new(StatusText { reason: "Evicted".into(), ..StatusText::default() }));
        }
        Arc::new(pod)
    }

    #[test]
    fn evicted_pods_go_first_then_the_oldest_then_by_name() {
        let pods = || vec![pod("b", 5, false), pod("a", 5, false), pod("old", 1, false), pod("new", 9, true)];
        for (threshold, expected) in [
            (0, vec![]),
            (4, vec![]),
            (3, vec!["new"]),
            (2, vec!["new", "old"]),
            (1, vec!["new", "old", "a"]),
        ] {
            let names: Vec<_> =
                surplus(pods(), threshold).iter().map(|pod| pod.meta.name.to_string()).collect();
            assert_eq!(names, expected, "threshold {threshold}");
        }
    }
}
