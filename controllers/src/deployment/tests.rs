//! Plans of Deployments, as rows: what there is, and the steps that follow.

use std::sync::Arc;

use seatrial_api::container::Container;
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::pod::{ConditionStatus, PodSpec, PodTemplate};
use seatrial_api::units::SimTime;
use seatrial_api::version::KubernetesVersion;
use seatrial_api::workload::{
    Deployment, DeploymentStatus, DeploymentStrategy, IntOrPercent, ReplicaSet, ReplicaSetStatus, condition,
};

use super::plan::{Check, Keys, Limits, Step, View, plan};

const NOW: SimTime = SimTime::from_secs(1_000);

fn template(image: &str) -> Arc<PodTemplate> {
    let spec = PodSpec::new(vec![Container::new("main", image)]).sealed();
    Arc::new(PodTemplate {
        labels: Labels::of(&[("app", "web")]),
        annotations: Labels::NONE,
        spec: Arc::new(spec),
    })
}

fn rolling(max_surge: IntOrPercent, max_unavailable: IntOrPercent) -> DeploymentStrategy {
    DeploymentStrategy::RollingUpdate { max_surge, max_unavailable }
}

fn deployment(replicas: i32, image: &str, revision: &str) -> Deployment {
    let labels = Labels::of(&[("app", "web")]);
    Deployment {
        meta: ObjectMeta {
            generation: 1,
            annotations: if revision.is_empty() {
                Labels::NONE
            } else {
                Labels::of(&[("deployment.kubernetes.io/revision", revision)])
            },
            ..ObjectMeta::named("ns", "web")
        },
        replicas,
        min_ready_seconds: 0,
        selector: Arc::new(Selector::of_labels(&labels)),
        template: template(image),
        strategy: rolling(IntOrPercent::Percent(25), IntOrPercent::Percent(25)),
        revision_history_limit: 10,
        progress_deadline_seconds: i32::MAX,
        paused: false,
        status: DeploymentStatus::default(),
    }
}

/// A ReplicaSet of an image: its size, its available pods, and the sizes it was made for.
struct Row {
    image: &'static str,
    revision: i32,
    size: i32,
    available: i32,
    desired: i32,
    max: i32,
}

fn set(row: &Row) -> Arc<ReplicaSet> {
    let annotations = [
        ("deployment.kubernetes.io/revision", row.revision.to_string()),
        ("deployment.kubernetes.io/desired-replicas", row.desired.to_string()),
        ("deployment.kubernetes.io/max-replicas", row.max.to_string()),
    ];
    let pairs = annotations.iter().map(|(key, value)| ((*key).into(), value.as_str().into()));
    Arc::new(ReplicaSet {
        meta: ObjectMeta {
            id: row.revision as u32,
            generation: 1,
            created: SimTime::from_secs(i64::from(row.revision)),
            annotations: Labels::new(pairs.collect()),
            ..ObjectMeta::named("ns", row.image)
        },
        replicas: row.size,
        min_ready_seconds: 0,
        selector: Arc::default(),
        template: template(row.image),
        status: ReplicaSetStatus {
            replicas: row.size,
            ready_replicas: row.available,
            available_replicas: row.available,
            terminating_replicas: Some(0),
            observed_generation: 1,
            ..ReplicaSetStatus::default()
        },
    })
}

fn steps(deployment: &Deployment, sets: &[Arc<ReplicaSet>], runs_pods: &[bool]) -> Vec<Step> {
    let keys = Keys::new();
    let version = KubernetesVersion::V1_36;
    plan(View { deployment, sets, runs_pods, keys: &keys, now: NOW, version })
}

/// The sizes that a plan sets, as `image from>to`.
fn scalings(deployment: &Deployment, rows: &[Row]) -> Vec<String> {
    let sets: Vec<_> = rows.iter().map(set).collect();
    let steps = steps(deployment, &sets, &[]);
    let scaling = |step: &Step| match step {
        Step::Scale(scale) => Some(format!("{} {}>{}", scale.set.meta.name, scale.from, scale.to)),
        Step::CreateSet(set) => Some(format!("new 0>{}", set.replicas)),
        _ => None,
    };
    steps.iter().filter_map(scaling).collect()
}

/// A row whose annotations are those of a Deployment of `desired` with default limits.
fn row(image: &'static str, revision: i32, size: i32, available: i32, desired: i32) -> Row {
    let max = desired + (desired * 25 + 99) / 100;
    Row { image, revision, size, available, desired, max }
}

#[test]
fn limits_round_the_surge_up_and_the_unavailable_down() {
    let limits = |replicas, surge, unavailable| {
        let strategy = rolling(surge, unavailable);
        let limits = Limits::of(&Deployment { strategy, ..deployment(replicas, "a", "") });
        (limits.max_surge, limits.max_unavailable)
    };
    use IntOrPercent::{Int, Percent};
    assert_eq!(limits(10, Percent(25), Percent(25)), (3, 2));
    assert_eq!(limits(3, Percent(25), Percent(25)), (1, 0));
    assert_eq!(limits(1, Percent(0), Percent(1)), (0, 1));
    assert_eq!(limits(2, Int(0), Percent(40)), (0, 1));
    assert_eq!(limits(2, Int(1), Int(5)), (1, 2));
    assert_eq!(limits(0, Int(0), Int(0)), (0, 0));
}

#[test]
fn a_rolling_update_grows_the_new_set_or_shrinks_the_old_ones() {
    let check = |what: &str, desired, rows: &[Row], expected: &[&str]| {
        assert_eq!(scalings(&deployment(desired, "b", "9"), rows), expected, "{what}");
    };
    check("the first set gets the full size", 10, &[], &["new 0>10"]);
    check(
        "a new template gets the surge, and the old set shrinks in the same sync",
        10,
        &[row("a", 1, 10, 10, 10)],
        &["new 0>3", "a 10>8"],
    );
    check(
        "the new set grows up to the surge",
        10,
        &[row("a", 1, 8, 8, 10), row("b", 2, 3, 0, 10)],
        &["b 3>5"],
    );
    check(
        "nothing moves while new pods are not available",
        10,
        &[row("a", 1, 8, 8, 10), row("b", 2, 5, 0, 10)],
        &[],
    );
    check(
        "available new pods let old ones go",
        10,
        &[row("a", 1, 8, 8, 10), row("b", 2, 5, 3, 10)],
        &["a 8>5"],
    );
    check(
        "unhealthy old pods go first",
        10,
        &[row("a", 1, 8, 5, 10), row("b", 2, 5, 5, 10)],
        &["a 8>5", "a 5>3"],
    );
    check(
        "the oldest set shrinks first",
        10,
        &[row("a", 1, 4, 4, 10), row("c", 2, 4, 4, 10), row("b", 3, 5, 5, 10)],
        &["a 4>0", "c 4>3"],
    );
    check("a new set that is too large shrinks", 4, &[row("b", 1, 6, 6, 4)], &["b 6>4"]);
    check("a finished rollout rests", 10, &[row("a", 1, 0, 0, 10), row("b", 2, 10, 10, 10)], &[]);
}

#[test]
fn a_set_that_reports_more_than_it_should_have_stops_the_shrinking() {
    let rows = [row("a", 1, 6, 8, 10), row("c", 2, 4, 0, 10), row("b", 3, 3, 3, 10)];
    assert_eq!(scalings(&deployment(10, "b", "9"), &rows), Vec::<String>::new());
}

#[test]
fn resizing_shares_in_proportion_and_gives_the_rest_to_the_largest() {
    let check = |what: &str, desired, rows: &[Row], expected: &[&str]| {
        assert_eq!(scalings(&deployment(desired, "b", "9"), rows), expected, "{what}");
    };
    check("the only active set takes all", 7, &[row("a", 1, 0, 0, 5), row("b", 2, 5, 5, 5)], &["b 5>7"]);
    check("from nothing, no resizing: a rollout", 7, &[row("b", 2, 0, 0, 0)], &["b 0>7"]);
    // 15 wanted with a surge of 4 make 19 of the 13 before: 8 become 12, 5 become 7.
    check("growing", 15, &[row("a", 1, 8, 8, 10), row("b", 2, 5, 0, 10)], &["a 8>12", "b 5>7"]);
    // 5 wanted with a surge of 2 make 7 of 13: 8 become 4, 5 become 3.
    check("shrinking", 5, &[row("a", 1, 8, 8, 10), row("b", 2, 5, 0, 10)], &["a 8>4", "b 5>3"]);
    check("to zero", 0, &[row("a", 1, 8, 8, 10), row("b", 2, 5, 0, 10)], &["a 8>0", "b 5>0"]);
    check(
        "equal sizes, growing: the newer one takes the rest",
        12,
        &[row("a", 1, 6, 6, 10), row("b", 2, 6, 0, 10)],
        &["b 6>8", "a 6>7"],
    );
    check("saturated: the old ones go", 10, &[row("a", 1, 3, 3, 9), row("b", 2, 10, 10, 10)], &["a 3>0"]);
}

#[test]
fn a_paused_deployment_is_resized_and_not_rolled_out() {
    let paused = |replicas| Deployment { paused: true, ..deployment(replicas, "b", "1") };
    assert_eq!(scalings(&paused(5), &[row("a", 1, 5, 5, 5)]), Vec::<String>::new());
    assert_eq!(scalings(&paused(8), &[row("a", 1, 5, 5, 5)]), ["a 5>8"]);
    assert_eq!(scalings(&paused(8), &[]), Vec::<String>::new());
}

#[test]
fn recreation_waits_for_the_last_old_pod() {
    let recreated = Deployment { strategy: DeploymentStrategy::Recreate, ..deployment(3, "b", "1") };
    assert_eq!(scalings(&recreated, &[row("a", 1, 3, 3, 3)]), ["a 3>0"]);
    let emptied = [set(&Row { size: 0, available: 0, desired: 3, max: 3, image: "a", revision: 1 })];
    let creates = |steps: &[Step]| steps.iter().any(|step| matches!(step, Step::CreateSet(_)));
    assert!(!creates(&steps(&recreated, &emptied, &[true])));
    assert!(creates(&steps(&recreated, &emptied, &[false])));
}

#[test]
fn a_new_set_carries_hash_revision_and_sizes() {
    let mut subject = deployment(4, "b", "1");
    subject.meta.annotations = subject.meta.annotations.with("note".into(), "kept".into());
    subject.progress_deadline_seconds = 600;
    let steps = steps(&subject, &[set(&row("a", 6, 4, 4, 4))], &[]);
    let [Step::CreateSet(made), Step::WriteStatus(written), Step::Scale(_), Step::WriteStatus(last)] =
        &steps[..]
    else {
        panic!("{steps:?}");
    };
    let hash = made.meta.labels.get("pod-template-hash".into()).expect("the hash label");
    assert_eq!(made.meta.name, format!("web-{hash}"));
    assert_eq!(made.template.labels.get("pod-template-hash".into()), Some(hash));
    assert!(made.selector.matches(&made.template.labels) && !made.selector.matches(&subject.template.labels));
    assert!(Arc::ptr_eq(&made.template.spec, &subject.template.spec), "the specification is shared");
    let expected = [
        ("deployment.kubernetes.io/desired-replicas", "4"),
        ("deployment.kubernetes.io/max-replicas", "5"),
        ("deployment.kubernetes.io/revision", "7"),
        ("note", "kept"),
    ];
    assert_eq!(made.meta.annotations, Labels::of(&expected));
    assert_eq!(written.meta.annotations.get("deployment.kubernetes.io/revision".into()), Some("7".into()));
    let progressing = condition(&written.status.conditions, "Progressing").expect("the condition");
    assert_eq!(
        (progressing.status, progressing.reason.as_str()),
        (ConditionStatus::True, "NewReplicaSetCreated")
    );
    assert_eq!(progressing.message, format!("Created new replica set \"web-{hash}\""));
    assert_eq!(last.status.unavailable_replicas, 1, "the surge is wanted and not there");
}

#[test]
fn going_back_renumbers_the_old_set_and_remembers_its_numbers() {
    let subject = deployment(4, "a", "2");
    let sets = [set(&row("a", 1, 0, 0, 4)), set(&row("b", 2, 4, 4, 4))];
    let steps = steps(&subject, &sets, &[]);
    let Step::WriteSet(written) = &steps[0] else { panic!("{steps:?}") };
    let annotation = |key: &str| written.meta.annotations.get(key.into()).map(|value| value.as_str());
    assert_eq!(annotation("deployment.kubernetes.io/revision"), Some("3"));
    assert_eq!(annotation("deployment.kubernetes.io/revision-history"), Some("1"));
    assert!(matches!(&steps[1], Step::WriteSet(again) if again.meta.name == written.meta.name));
}

#[test]
fn the_history_loses_its_lowest_revisions_without_pods() {
    let mut subject = deployment(2, "z", "9");
    subject.revision_history_limit = 1;
    subject.status = DeploymentStatus {
        replicas: 2,
        updated_replicas: 2,
        available_replicas: 2,
        ready_replicas: 2,
        observed_generation: 1,
        ..DeploymentStatus::default()
    };
    let lingering = Arc::new(ReplicaSet {
        status: ReplicaSetStatus { replicas: 1, ..set(&row("c", 2, 0, 0, 2)).status.clone() },
        ..ReplicaSet::clone(&set(&row("c", 2, 0, 0, 2)))
    });
    let sets = [
        set(&row("z", 9, 2, 2, 2)),
        set(&row("a", 3, 0, 0, 2)),
        lingering,
        set(&row("b", 1, 0, 0, 2)),
        set(&row("d", 4, 0, 0, 2)),
    ];
    let deleted: Vec<u32> = steps(&subject, &sets, &[])
        .iter()
        .filter_map(|step| if let Step::DeleteSet(id) = step { Some(*id) } else { None })
        .collect();
    assert_eq!(deleted, [1, 3], "revision 2 has a pod and is passed over");
}

#[test]
fn an_old_rollback_request_restores_template_and_annotations() {
    let mut subject = deployment(4, "b", "2");
    let keys = Keys::new();
    subject.meta.annotations = subject.meta.annotations.with(keys.rollback_to, "0".into());
    let mut old = ReplicaSet::clone(&set(&row("a", 1, 0, 0, 4)));
    old.meta.annotations = old.meta.annotations.with("cause".into(), "first".into());
    let sets = [Arc::new(old), set(&row("b", 2, 4, 4, 4))];
    let steps = steps(&subject, &sets, &[]);
    let [Step::WriteDeployment { deployment: next, rolled_back_to: Some(1) }] = &steps[..] else {
        panic!("{steps:?}");
    };
    assert_eq!(next.template.spec.containers[0].image, "a");
    let expected = [("cause", "first"), ("deployment.kubernetes.io/revision", "2")];
    assert_eq!(next.meta.annotations, Labels::of(&expected));
}

/// The condition that the last status of a plan has.
fn judged(deployment: &Deployment, rows: &[Row]) -> (ConditionStatus, String) {
    let sets: Vec<_> = rows.iter().map(set).collect();
    let steps = steps(deployment, &sets, &[]);
    let written = steps.iter().rev().find_map(|step| match step {
        Step::WriteStatus(deployment) => Some(&deployment.status),
        _ => None,
    });
    let status = written.unwrap_or(&deployment.status);
    let progressing = condition(&status.conditions, "Progressing").expect("progress is judged");
    (progressing.status, progressing.reason.to_string())
}

#[test]
fn progress_is_judged_as_complete_then_moving_then_late() {
    let mut subject = deployment(4, "b", "2");
    subject.progress_deadline_seconds = 600;
    let at = |seconds| SimTime::from_secs(seconds);
    let noted = |subject: &Deployment, reason: &str, updated: i64| {
        let mut subject = subject.clone();
        super::status::set_condition(
            &mut subject.status.conditions,
            "Progressing",
            ConditionStatus::True,
            reason,
            "",
            at(updated),
        );
        subject.status.replicas = 6;
        subject.status.updated_replicas = 2;
        subject.status.ready_replicas = 4;
        subject.status.available_replicas = 4;
        subject
    };
    let check = |what: &str, subject: &Deployment, rows: &[Row], status, reason: &str| {
        assert_eq!(judged(subject, rows), (status, reason.to_string()), "{what}");
    };
    use ConditionStatus::{False, True};
    let old = |size| row("a", 1, size, size, 4);
    let new = |size, available| row("b", 2, size, available, 4);
    let waiting = noted(&subject, "ReplicaSetUpdated", 500);
    check("complete", &waiting, &[old(0), new(4, 4)], True, "NewReplicaSetAvailable");
    check("more available", &waiting, &[old(4), new(2, 1)], True, "ReplicaSetUpdated");
    check("no progress yet", &waiting, &[old(4), new(2, 0)], True, "ReplicaSetUpdated");
    let late = noted(&subject, "ReplicaSetUpdated", 399);
    check("late", &late, &[old(4), new(2, 0)], False, "ProgressDeadlineExceeded");
    let in_time = noted(&subject, "ReplicaSetUpdated", 400);
    check("just in time", &in_time, &[old(4), new(2, 0)], True, "ReplicaSetUpdated");
    let finished = noted(&subject, "NewReplicaSetAvailable", 1);
    check("finished and pods lost", &finished, &[new(4, 1)], True, "NewReplicaSetAvailable");
}

#[test]
fn a_stuck_rollout_is_looked_at_again_at_its_deadline() {
    let mut subject = deployment(4, "b", "2");
    subject.progress_deadline_seconds = 600;
    let rows = [row("a", 1, 3, 3, 4), row("b", 2, 2, 0, 4)];
    let sets: Vec<_> = rows.iter().map(set).collect();
    let set_progress = |subject: &mut Deployment, updated| {
        subject.status.conditions.clear();
        super::status::set_condition(
            &mut subject.status.conditions,
            "Progressing",
            ConditionStatus::True,
            "ReplicaSetUpdated",
            "",
            SimTime::from_secs(updated),
        );
    };
    set_progress(&mut subject, 900);
    // The status that the first plan writes is the one that the second one reads.
    let first = steps(&subject, &sets, &[]);
    let Some(Step::WriteStatus(written)) = first.last() else { panic!("{first:?}") };
    let again = steps(written, &sets, &[]);
    assert!(
        matches!(again[..], [Step::CheckProgress(Check::At(at))] if at == SimTime::from_secs(1_601)),
        "{again:?}"
    );
}
