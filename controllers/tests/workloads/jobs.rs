//! Jobs, played against the store.

use std::sync::Arc;

use seatrial_api::container::{Container, RestartPolicy};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::Kind;
use seatrial_api::pod::{ConditionStatus, Pod, PodSpec, PodTemplate};
use seatrial_api::request::{Change, DeleteOptions, Patch, Propagation, Request};
use seatrial_api::units::{SimTime, Span};
use seatrial_api::workload::{
    CompletionMode, Job, PodFailureAction, PodFailureMatch, PodFailureRule, PodReplacementPolicy,
    SuccessRule, condition,
};

use crate::cluster::{Behavior, Cluster, NAMESPACE, app};

fn job(name: &str, parallelism: i32, completions: i32) -> Job {
    let spec = PodSpec {
        restart_policy: RestartPolicy::Never,
        ..PodSpec::new(vec![Container::new("main", "image:1")])
    };
    let template =
        PodTemplate { labels: app(name), annotations: Default::default(), spec: Arc::new(spec.sealed()) };
    Job {
        meta: ObjectMeta { labels: app(name), ..ObjectMeta::named(NAMESPACE, name) },
        parallelism,
        completions: Some(completions),
        ..Job::new(Arc::new(template))
    }
}

/// Pods run for a second and then end with the code that `code` gives them.
fn ends(cluster: &mut Cluster, code: impl Fn(&Pod) -> i32 + 'static) {
    cluster
        .behave(move |pod| Behavior { exit: Some((Span::from_secs(1), code(pod))), ..Behavior::default() });
}

fn index_of(pod: &Pod) -> i32 {
    let key = "batch.kubernetes.io/job-completion-index".into();
    pod.meta.annotations.get(key).and_then(|index| index.as_str().parse().ok()).unwrap_or(-1)
}

/// The true conditions of a Job, with their reasons.
fn conditions(cluster: &Cluster, id: u32) -> Vec<(String, String)> {
    let conditions = cluster.get::<Job>(id).status.conditions.iter();
    let held = conditions.filter(|condition| condition.status == ConditionStatus::True);
    held.map(|condition| (condition.kind.to_string(), condition.reason.to_string())).collect()
}

fn is(found: &[(String, String)], expected: &[(&str, &str)]) -> bool {
    found.iter().map(|(kind, reason)| (kind.as_str(), reason.as_str())).eq(expected.iter().copied())
}

/// When pods were created.
fn creations(cluster: &Cluster) -> Vec<SimTime> {
    let created = |(at, event): &(SimTime, seatrial_api::request::WatchEvent)| {
        (event.change == Change::Added && event.object.kind() == Kind::Pod).then_some(*at)
    };
    cluster.history.iter().filter_map(created).collect()
}

fn assert_untracked(cluster: &Cluster, what: &str) {
    for pod in cluster.all::<Pod>() {
        let ended = pod.status.phase.is_terminal();
        assert!(!ended || pod.meta.finalizers().is_empty(), "{what}: {} keeps its finalizer", pod.meta.name);
    }
}

#[test]
fn a_job_runs_its_pods_and_completes() {
    let mut cluster = Cluster::new(3);
    ends(&mut cluster, |_| 0);
    let id = cluster.create(job("pi", 2, 5));
    cluster.run(20);
    let status = cluster.get::<Job>(id).status.clone();
    assert_eq!((status.succeeded, status.failed, status.active, status.ready), (5, 0, 0, 0));
    assert!(is(
        &conditions(&cluster, id),
        &[("SuccessCriteriaMet", "CompletionsReached"), ("Complete", "CompletionsReached")]
    ));
    assert!(status.completion_time.is_some() && status.uncounted.succeeded.is_empty());
    assert_eq!(cluster.all::<Pod>().len(), 5);
    assert_untracked(&cluster, "completed");
    assert_eq!(cluster.events(Kind::Job).last().map(String::as_str), Some("Completed: Job completed"));
    let (_, most) = cluster.pod_envelope(SimTime::ZERO, |pod| pod.is_active());
    assert_eq!(most, 2);
    let pods = cluster.all::<Pod>();
    assert!(pods.iter().all(|pod| Arc::ptr_eq(&pod.spec, &pods[0].spec)), "pods share their specification");
}

#[test]
fn failures_are_tried_again_with_a_doubling_back_off_up_to_the_limit() {
    let mut cluster = Cluster::new(3);
    ends(&mut cluster, |_| 1);
    let id = cluster.create(Job { backoff_limit: 2, ..job("pi", 1, 1) });
    cluster.run(120);
    assert!(is(
        &conditions(&cluster, id),
        &[("FailureTarget", "BackoffLimitExceeded"), ("Failed", "BackoffLimitExceeded")]
    ));
    assert_eq!(cluster.get::<Job>(id).status.failed, 3);
    let at: Vec<i64> = creations(&cluster).iter().map(|at| at.nanos() / 1_000_000_000).collect();
    assert_eq!(at.len(), 3);
    assert!((11..=12).contains(&(at[1] - at[0])) && (21..=23).contains(&(at[2] - at[1])), "{at:?}");
    let last = cluster.events(Kind::Job).last().cloned();
    assert_eq!(last.as_deref(), Some("BackoffLimitExceeded: Job has reached the specified backoff limit"));
    assert_untracked(&cluster, "failed");
}

#[test]
fn a_deadline_ends_the_job_and_counts_its_pods_as_failed() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(Job { active_deadline_seconds: Some(5), ..job("pi", 2, 2) });
    cluster.run(20);
    assert!(is(
        &conditions(&cluster, id),
        &[("FailureTarget", "DeadlineExceeded"), ("Failed", "DeadlineExceeded")]
    ));
    let status = &cluster.get::<Job>(id).status;
    assert_eq!((status.failed, status.active, status.terminating), (2, 0, 0));
}

#[test]
fn an_indexed_job_runs_each_index_once() {
    let mut cluster = Cluster::new(3);
    ends(&mut cluster, |pod| i32::from(index_of(pod) == 1 && pod.meta.id < 3));
    let id = cluster.create(Job { completion_mode: CompletionMode::Indexed, ..job("pi", 3, 5) });
    cluster.run(60);
    let status = &cluster.get::<Job>(id).status;
    assert_eq!((status.completed_indexes.as_str(), status.succeeded, status.failed), ("0-4", 5, 1));
    assert_eq!(conditions(&cluster, id)[1].0, "Complete");
    let pod = &cluster.all::<Pod>()[0];
    assert!(pod.meta.name.starts_with("pi-0-") && pod.meta.name.len() == 10, "{}", pod.meta.name);
    assert_eq!(pod.spec.hostname, "pi-0");
    assert_eq!(pod.spec.containers[0].env[0], ("JOB_COMPLETION_INDEX".into(), "0".into()));
}

#[test]
fn failures_are_limited_by_index() {
    let mut cluster = Cluster::new(3);
    ends(&mut cluster, |pod| i32::from(index_of(pod) == 1));
    let id = cluster.create(Job {
        completion_mode: CompletionMode::Indexed,
        backoff_limit: i32::MAX,
        backoff_limit_per_index: Some(1),
        ..job("pi", 3, 3)
    });
    cluster.run(60);
    let status = &cluster.get::<Job>(id).status;
    assert_eq!((status.completed_indexes.as_str(), status.failed), ("0,2", 2));
    assert_eq!(status.failed_indexes.as_deref(), Some("1"));
    assert!(is(
        &conditions(&cluster, id),
        &[("FailureTarget", "FailedIndexes"), ("Failed", "FailedIndexes")]
    ));
    let key = "batch.kubernetes.io/job-index-failure-count".into();
    let counts: Vec<_> = cluster
        .all::<Pod>()
        .iter()
        .filter(|pod| index_of(pod) == 1)
        .map(|pod| pod.meta.annotations.get(key).map(|count| count.to_string()))
        .collect();
    assert_eq!(counts, [Some("0".to_string()), Some("1".to_string())]);
    assert_untracked(&cluster, "failed");
}

#[test]
fn a_failure_policy_ignores_counts_or_ends_the_job() {
    let rule = |action, code| PodFailureRule {
        action,
        matches: PodFailureMatch::ExitCodes { container: None, negated: false, values: Box::new([code]) },
    };
    let policy = || -> Box<[PodFailureRule]> {
        Box::new([rule(PodFailureAction::Ignore, 7), rule(PodFailureAction::FailJob, 42)])
    };
    let mut cluster = Cluster::new(3);
    ends(&mut cluster, |pod| if pod.meta.id == 0 { 7 } else { 0 });
    let subject = Job {
        backoff_limit: 0,
        pod_failure_policy: policy(),
        pod_replacement_policy: PodReplacementPolicy::Failed,
        ..job("pi", 1, 1)
    };
    let id = cluster.create(subject.clone());
    cluster.run(30);
    let status = &cluster.get::<Job>(id).status;
    assert_eq!((status.succeeded, status.failed), (1, 0), "the ignored failure does not count");
    let mut cluster = Cluster::new(3);
    ends(&mut cluster, |_| 42);
    let id = cluster.create(Job { backoff_limit: 6, ..subject });
    cluster.run(30);
    let status = &cluster.get::<Job>(id).status;
    let failed = condition(&status.conditions, "Failed").expect("the Job has failed");
    assert_eq!(failed.reason, "PodFailurePolicy");
    let pod = &cluster.all::<Pod>()[0].meta.name;
    assert_eq!(
        failed.message,
        format!(
            "Container main for pod play/{pod} failed with exit code 42 matching FailJob rule at index 1"
        )
    );
}

#[test]
fn a_success_policy_ends_the_job_early() {
    let mut cluster = Cluster::new(3);
    cluster.behave(|pod| Behavior {
        exit: (index_of(pod) < 2).then_some((Span::from_secs(1), 0)),
        ..Behavior::default()
    });
    let rule = SuccessRule { indexes: Some(Box::new([(0, 2)])), count: Some(2) };
    let id = cluster.create(Job {
        completion_mode: CompletionMode::Indexed,
        success_policy: Box::new([rule]),
        ..job("pi", 4, 4)
    });
    cluster.run(20);
    assert!(is(
        &conditions(&cluster, id),
        &[("SuccessCriteriaMet", "SuccessPolicy"), ("Complete", "SuccessPolicy")]
    ));
    let status = &cluster.get::<Job>(id).status;
    assert_eq!((status.completed_indexes.as_str(), status.failed, status.active), ("0,1", 0, 0));
}

#[test]
fn a_suspended_job_has_no_pods_and_its_time_stands_still() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(Job { suspend: true, ..job("pi", 2, 2) });
    cluster.run(5);
    assert!(cluster.all::<Pod>().is_empty() && cluster.get::<Job>(id).status.start_time.is_none());
    assert!(is(&conditions(&cluster, id), &[("Suspended", "JobSuspended")]));
    cluster.update::<Job>(id, |job| job.suspend = false);
    cluster.run(5);
    assert_eq!(cluster.active_pods().len(), 2);
    cluster.update::<Job>(id, |job| job.suspend = true);
    cluster.run(10);
    let status = &cluster.get::<Job>(id).status;
    assert!(cluster.all::<Pod>().is_empty());
    assert_eq!((status.failed, status.active), (0, 0), "pods that a suspension deletes are not counted");
    let told: Vec<String> = cluster.events(Kind::Job).into_iter().filter(|e| e.contains("Job ")).collect();
    assert_eq!(told, ["Suspended: Job suspended", "Resumed: Job resumed", "Suspended: Job suspended"]);
}

#[test]
fn fewer_are_run_when_the_parallelism_shrinks() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(job("pi", 4, 10));
    cluster.run(5);
    cluster.update::<Job>(id, |job| job.parallelism = 1);
    cluster.run(5);
    assert_eq!(cluster.active_pods().len(), 1);
    assert_eq!(cluster.get::<Job>(id).status.failed, 0);
}

#[test]
fn a_work_queue_is_done_when_one_pod_succeeded_and_all_have_ended() {
    let mut cluster = Cluster::new(3);
    cluster.behave(|pod| Behavior {
        exit: Some((Span::from_secs(1 + i64::from(pod.meta.id)), 0)),
        ..Behavior::default()
    });
    let id = cluster.create(Job { completions: None, ..job("pi", 3, 1) });
    cluster.run(30);
    assert_eq!(cluster.get::<Job>(id).status.succeeded, 3);
    assert_eq!(conditions(&cluster, id)[1].0, "Complete");
    assert_eq!(cluster.all::<Pod>().len(), 3);
}

#[test]
fn finished_jobs_are_deleted_when_their_time_is_up() {
    let mut cluster = Cluster::new(3);
    ends(&mut cluster, |_| 0);
    let id = cluster.create(Job { ttl_seconds_after_finished: Some(10), ..job("pi", 1, 1) });
    cluster.run(8);
    assert!(!cluster.get::<Job>(id).meta.is_deleting());
    cluster.run(10);
    let gone = cluster.server.typed::<Job>(id).is_none_or(|job| job.meta.is_deleting());
    assert!(gone);
}

#[test]
fn pods_of_a_deleted_job_lose_their_finalizer() {
    let mut cluster = Cluster::new(3);
    let id = cluster.create(job("pi", 2, 2));
    cluster.run(5);
    let target = cluster.get::<Job>(id).meta.object_ref(Kind::Job);
    let options = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
    cluster.request(Request::Delete { target, options }).expect("the Job exists");
    cluster.run(5);
    for pod in cluster.all::<Pod>() {
        assert!(pod.meta.finalizers().is_empty(), "{}", pod.meta.name);
    }
}

#[test]
fn whatever_the_delays_every_pod_is_counted_once() {
    for seed in 0..40u32 {
        let mut cluster = Cluster::random(4, u64::from(seed));
        cluster.behave(|pod| Behavior {
            start: Span::from_millis(i64::from(pod.meta.id % 9) * 70),
            exit: Some((
                Span::from_millis(500 + i64::from(pod.meta.id % 5) * 400),
                i32::from(pod.meta.id % 6 == 2),
            )),
            ..Behavior::default()
        });
        let indexed = seed % 2 == 1;
        let mode = if indexed { CompletionMode::Indexed } else { CompletionMode::NonIndexed };
        let id = cluster.create(Job {
            completion_mode: mode,
            backoff_limit: 1_000,
            ..job("pi", 1 + (seed % 5) as i32, 8)
        });
        for round in 0..6u32 {
            cluster.run_for(Span::from_millis(i64::from((seed * 37 + round * 91) % 2500)));
            match (seed + round) % 4 {
                0 => cluster.restart_manager(),
                1 => {
                    if let Some(pod) = cluster.active_pods().first() {
                        let target = pod.meta.object_ref(Kind::Pod);
                        let _ = cluster.request(Request::delete(target));
                    }
                }
                2 => {
                    let patch =
                        Patch::Labels(vec![("note".into(), Some(format!("{round}").as_str().into()))]);
                    cluster.patch(Kind::Job, id, patch);
                }
                _ => {}
            }
        }
        cluster.run(2_000);
        let job = cluster.get::<Job>(id);
        let status = &job.status;
        assert_eq!(status.succeeded, 8, "seed {seed}: {status:?}");
        assert!(condition(&status.conditions, "Complete").is_some(), "seed {seed}: {status:?}");
        assert!(status.uncounted.succeeded.is_empty() && status.uncounted.failed.is_empty(), "seed {seed}");
        assert_untracked(&cluster, &format!("seed {seed}"));
    }
}
