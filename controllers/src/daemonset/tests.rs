//! Plans of DaemonSets, as rows: what there is on the nodes, and the changes that follow.

use std::sync::Arc;

use seatrial_api::container::Container;
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::meta::{Deletion, ObjectMeta};
use seatrial_api::pod::{ConditionStatus, Pod, PodConditionType, PodPhase, PodReason, PodSpec, PodTemplate};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::SimTime;
use seatrial_api::workload::{DaemonSet, DaemonSetStatus, DaemonSetUpdateStrategy, IntOrPercent};

use super::plan::{Changes, Place, PodsByNode, Revision, Verdict, View, manage, roll, status};

const NOW: SimTime = SimTime::from_secs(1_000);
const RUN: Verdict = Verdict { should_run: true, may_stay: true };
const STAY: Verdict = Verdict { should_run: false, may_stay: true };
const LEAVE: Verdict = Verdict { should_run: false, may_stay: false };

fn rolling(max_unavailable: i32, max_surge: i32) -> DaemonSetUpdateStrategy {
    DaemonSetUpdateStrategy::RollingUpdate {
        max_unavailable: IntOrPercent::Int(max_unavailable),
        max_surge: IntOrPercent::Int(max_surge),
    }
}

fn set(update_strategy: DaemonSetUpdateStrategy) -> DaemonSet {
    let spec = PodSpec::new(vec![Container::new("main", "image")]).sealed();
    let template = PodTemplate { labels: Labels::NONE, annotations: Labels::NONE, spec: Arc::new(spec) };
    DaemonSet {
        meta: ObjectMeta::named("ns", "agent"),
        min_ready_seconds: 0,
        selector: Arc::new(Selector::default()),
        template: Arc::new(template),
        update_strategy,
        revision_history_limit: 10,
        status: DaemonSetStatus::default(),
    }
}

/// Pods as words: `node:state` with the states `new`, `old` (ready), `newx`, `oldx` (not ready),
/// `failed`, `done`, `going` (being deleted), `unbound`. Rows count from 0.
fn pods(words: &str) -> Vec<Arc<Pod>> {
    let pod = |(row, word): (usize, &str)| {
        let (node, state) = word.split_once(':').expect("node:state");
        let spec = Arc::new(PodSpec::new(vec![Container::new("main", "image")]).sealed());
        let mut pod = Pod::new(ObjectMeta::named("ns", &format!("agent-{row}")), spec);
        pod.meta.id = row as u32;
        pod.target_node = Some(node.into());
        pod.node = (state != "unbound").then(|| node.into());
        let hash = if state.starts_with("new") { "new" } else { "old" };
        pod.meta.labels = Labels::of(&[("hash", hash)]);
        pod.status.phase = match state {
            "failed" => PodPhase::Failed,
            "done" => PodPhase::Succeeded,
            "unbound" => PodPhase::Pending,
            _ => PodPhase::Running,
        };
        if matches!(state, "new" | "old" | "going") {
            let ready = ConditionStatus::True;
            pod.status.conditions.set(PodConditionType::Ready, ready, PodReason::None, SimTime::ZERO);
        }
        if state == "going" {
            pod.meta.set_deletion(Some(Deletion { at: NOW, grace_seconds: 30 }));
        }
        Arc::new(pod)
    };
    words.split_whitespace().enumerate().map(pod).collect()
}

/// Nodes `a`, `b`, `c` … with these verdicts.
fn places(verdicts: &[Verdict]) -> Vec<Place> {
    let name = |index: usize| Symbol::new(&char::from(b'a' + index as u8).to_string());
    verdicts.iter().enumerate().map(|(index, &verdict)| Place { node: name(index), verdict }).collect()
}

fn with_view<T>(
    set: &DaemonSet,
    verdicts: &[Verdict],
    words: &str,
    use_view: impl FnOnce(&View<'_>) -> T,
) -> T {
    let pods = pods(words);
    let groups = PodsByNode::group(pods.iter());
    let revision = Revision { hash: ("hash".into(), "new".into()), generation: None };
    let places = places(verdicts);
    use_view(&View { set, places: &places, pods: &groups, revision, now: NOW })
}

fn summary(changes: &Changes) -> String {
    let created = changes.create.iter().map(|node| format!("+{node}"));
    let deleted = changes.delete.iter().map(|row| format!("-{row}"));
    created.chain(deleted).collect::<Vec<_>>().join(" ")
}

#[test]
fn each_node_gets_the_one_pod_that_it_should_have() {
    let check = |what: &str, strategy, verdicts: &[Verdict], words: &str, expected: &str| {
        let changes = with_view(&set(strategy), verdicts, words, |view| manage(view, |_| true));
        assert_eq!(summary(&changes), expected, "{what}");
    };
    let plain = rolling(1, 0);
    check("missing pods are made", plain, &[RUN, RUN], "a:new", "+b");
    check("a tainted node keeps its pod and gets none", plain, &[STAY, STAY], "a:old", "");
    check("a node that does not fit any more loses it", plain, &[LEAVE], "a:old", "-0");
    check("of several the first bound and oldest stays", plain, &[RUN], "a:unbound a:old a:new", "-2 -0");
    check("failed pods go", plain, &[RUN], "a:failed", "-0");
    check("ended pods go", plain, &[RUN], "a:done", "-0");
    check("a pod on its way out is waited for", plain, &[RUN], "a:going", "");
    check(
        "unbound pods of lost nodes go, bound ones are others' business",
        plain,
        &[],
        "x:unbound y:old",
        "-0",
    );
    let surging = rolling(0, 1);
    check("with surge a pod on its way out is replaced at once", surging, &[RUN], "a:going", "+a");
    check("with surge one old and one new pod may live together", surging, &[RUN], "a:old a:newx", "");
    check("until the new one is available", surging, &[RUN], "a:old a:new", "-0");
    check("or the old one is not ready", surging, &[RUN], "a:oldx a:newx", "-0");
    check("more of a kind go", surging, &[RUN], "a:old a:old a:newx", "-1");
}

#[test]
fn a_failed_pod_in_its_back_off_stays() {
    let changes = with_view(&set(rolling(1, 0)), &[RUN], "a:failed", |view| manage(view, |_| false));
    assert_eq!(summary(&changes), "");
}

#[test]
fn an_update_deletes_broken_pods_and_as_many_others_as_may_be_missing() {
    let check = |what: &str, unavailable, verdicts: &[Verdict], words: &str, expected: &str| {
        let changes = with_view(&set(rolling(unavailable, 0)), verdicts, words, roll);
        assert_eq!(summary(&changes), expected, "{what}");
    };
    check("one at a time", 1, &[RUN; 3], "a:old b:old c:old", "-2");
    check("two at a time", 2, &[RUN; 3], "a:old b:old c:old", "-2 -1");
    check("a new pod that is not available counts", 1, &[RUN; 3], "a:newx b:old c:old", "");
    check("a missing pod counts", 1, &[RUN; 3], "b:old c:old", "");
    check("a pod on its way out counts", 1, &[RUN; 3], "a:going b:old c:old", "");
    check("broken old pods go without limit, and count", 1, &[RUN; 3], "a:oldx b:oldx c:old", "-0 -1");
    check("finished", 1, &[RUN; 3], "a:new b:new c:new", "");
    check("zero means one", 0, &[RUN; 3], "a:old b:old c:old", "-2");
}

#[test]
fn an_update_with_surge_makes_new_pods_first() {
    let check = |what: &str, surge, verdicts: &[Verdict], words: &str, expected: &str| {
        let changes = with_view(&set(rolling(0, surge)), verdicts, words, roll);
        assert_eq!(summary(&changes), expected, "{what}");
    };
    check("one at a time", 1, &[RUN; 3], "a:old b:old c:old", "+c");
    check("a new pod that is not available holds the next", 1, &[RUN; 3], "a:old a:newx b:old", "");
    check("an available one lets the old one go", 1, &[RUN; 2], "a:old a:new b:old", "+b -0");
    check("broken old pods get a new one without limit", 1, &[RUN; 3], "a:oldx b:oldx c:old", "+a +b +c");
    check("a broken pod where none should be goes", 1, &[STAY], "a:oldx", "-0");
    check("an available one there stays while it is needed", 1, &[STAY, RUN], "a:old b:newx", "");
    check("and goes when enough others are available", 1, &[STAY, RUN], "a:old b:new", "-0");
}

#[test]
fn percentages_of_nodes_round_up() {
    let strategy = DaemonSetUpdateStrategy::RollingUpdate {
        max_unavailable: IntOrPercent::Percent(34),
        max_surge: IntOrPercent::Int(0),
    };
    let changes = with_view(&set(strategy), &[RUN; 3], "a:old b:old c:old", roll);
    assert_eq!(summary(&changes), "-2 -1");
}

#[test]
fn the_status_looks_at_one_pod_of_each_node() {
    let verdicts = [RUN, RUN, RUN, STAY];
    let status =
        with_view(&set(rolling(1, 0)), &verdicts, "a:new b:oldx d:old a:unbound", |view| status(view, 3));
    let expected = DaemonSetStatus {
        current_number_scheduled: 2,
        number_misscheduled: 1,
        desired_number_scheduled: 3,
        number_ready: 1,
        number_available: 1,
        number_unavailable: 2,
        updated_number_scheduled: 1,
        observed_generation: 3,
        collision_count: None,
    };
    assert_eq!(status, expected);
}
