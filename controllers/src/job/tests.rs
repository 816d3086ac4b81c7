//! Assessments of Jobs, as rows: the Job, its pods, and what follows.

use std::collections::BTreeSet;
use std::sync::Arc;

use seatrial_api::container::{Container, RestartPolicy};
use seatrial_api::labels::Labels;
use seatrial_api::meta::{Deletion, MetaExtra, ObjectMeta, Uid};
use seatrial_api::pod::{
    ConditionStatus, ContainerState, ContainerStatus, Pod, PodConditionType, PodPhase, PodReason, PodSpec,
    PodTemplate,
};
use seatrial_api::units::{SimTime, Span};
use seatrial_api::workload::{CompletionMode, Job};

use super::assess::{Assessment, Keys, Management, View, assess, manage};
use super::backoff::BackoffRecord;

const NOW: SimTime = SimTime::from_secs(1_000);

fn job(parallelism: i32, completions: i32) -> Job {
    let spec = PodSpec {
        restart_policy: RestartPolicy::Never,
        ..PodSpec::new(vec![Container::new("main", "image")])
    };
    let template = PodTemplate { labels: Labels::NONE, annotations: Labels::NONE, spec: Arc::new(spec) };
    Job {
        meta: ObjectMeta::named("ns", "pi"),
        parallelism,
        completions: Some(completions),
        ..Job::new(Arc::new(template))
    }
}

/// Pods as words `state[@index][:seconds]`: `run` (ready), `wait` (pending), `ok`, `bad`, `going`
/// (being deleted); the seconds say how long ago it ended.
fn pods(words: &str) -> Vec<Arc<Pod>> {
    let keys = Keys::new();
    let pod = |(row, word): (usize, &str)| {
        let (word, ago) =
            word.split_once(':').map_or((word, 0), |(word, ago)| (word, ago.parse().unwrap_or(0)));
        let (state, index) = word.split_once('@').map_or((word, None), |(state, index)| (state, Some(index)));
        let spec = Arc::new(PodSpec::new(vec![Container::new("main", "image")]));
        let mut pod = Pod::new(ObjectMeta::named("ns", &format!("pi-{row}")), spec);
        pod.meta.id = row as u32;
        pod.meta.uid = Uid::from_bits(1, row as u64);
        pod.meta.extra =
            Some(Arc::new(MetaExtra { finalizers: vec![keys.finalizer], ..MetaExtra::default() }));
        pod.node = (state != "wait").then(|| "node".into());
        if let Some(index) = index {
            pod.meta.annotations = Labels::new(vec![(keys.index, index.into())]);
        }
        pod.status.phase = match state {
            "ok" => PodPhase::Succeeded,
            "bad" => PodPhase::Failed,
            "wait" => PodPhase::Pending,
            _ => PodPhase::Running,
        };
        if pod.status.phase.is_terminal() {
            let finished = NOW - Span::from_secs(ago);
            let exit_code = i32::from(state == "bad");
            let state = ContainerState::Terminated {
                started: SimTime::ZERO,
                finished,
                exit_code,
                reason: "End".into(),
            };
            let status = ContainerStatus {
                name: "main".into(),
                state,
                last: None,
                restarts: 0,
                ready: false,
                started: true,
            };
            pod.status.containers = Some(Arc::new([status]));
        } else if state == "run" {
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

fn assessed(job: &Job, words: &str) -> (Assessment, Management) {
    let (pods, keys, stripped) = (pods(words), Keys::new(), BTreeSet::new());
    let view = View { job, pods: &pods, stripped: &stripped, keys: &keys, now: NOW };
    let assessment = assess(&view, BackoffRecord::default());
    let management = manage(&view, &assessment);
    (assessment, management)
}

fn summary(management: &Management) -> String {
    match management {
        Management::Nothing => String::new(),
        Management::Delete(pods) => format!("-{:?}", pods.iter().map(|pod| pod.meta.id).collect::<Vec<_>>()),
        Management::Create(indexes) if indexes.iter().all(Option::is_none) => format!("+{}", indexes.len()),
        Management::Create(indexes) => format!("+{:?}", indexes.iter().flatten().collect::<Vec<_>>()),
        Management::Wait(until) => format!("wait {}", (*until - NOW).nanos() / 1_000_000_000),
    }
}

#[test]
fn as_many_pods_are_active_as_are_wanted() {
    let check = |what: &str, job: &Job, words: &str, expected: &str| {
        assert_eq!(summary(&assessed(job, words).1), expected, "{what}");
    };
    check("all at first", &job(3, 10), "", "+3");
    check("no more than are left", &job(5, 10), "ok ok ok ok ok ok ok run", "+2");
    check("as they end", &job(3, 10), "run ok run", "+1");
    check("terminating pods are replaced", &job(2, 10), "run going", "+1");
    check("surplus goes, least far first", &job(1, 10), "run wait run", "-[1, 0]");
    check("nothing while enough run", &job(2, 10), "run wait", "");
    check("suspended", &Job { suspend: true, ..job(2, 10) }, "run wait", "-[1, 0]");
    let queue = Job { completions: None, ..job(3, 1) };
    check("a work queue keeps its size", &queue, "run", "+2");
    check("until one succeeded", &queue, "run ok", "");
}

#[test]
fn failures_delay_the_next_pod() {
    let check = |what: &str, words: &str, expected: &str| {
        assert_eq!(summary(&assessed(&job(3, 10), words).1), expected, "{what}");
    };
    check("the first", "bad:4", "wait 6");
    check("two at once", "bad:4 bad:8", "wait 16");
    check("long ago", "bad:10", "+3");
    check("before a success they do not count", "bad:4 ok:2", "+3");
    check("after it they do", "bad:2 ok:4", "wait 8");
    check("at most ten minutes", &"bad:5 ".repeat(30), "wait 595");
}

#[test]
fn indexes_are_run_from_the_lowest() {
    let indexed = |parallelism, completions| Job {
        completion_mode: CompletionMode::Indexed,
        ..job(parallelism, completions)
    };
    let check = |what: &str, job: &Job, words: &str, expected: &str| {
        assert_eq!(summary(&assessed(job, words).1), expected, "{what}");
    };
    check("at first", &indexed(3, 10), "", "+[0, 1, 2]");
    check("gaps", &indexed(4, 10), "ok@0 run@2", "+[1, 3, 4]");
    check("of two of an index one goes", &indexed(4, 10), "run@0 wait@0 run@1", "-[1]");
    check("an index beyond the end goes", &indexed(4, 4), "run@0 run@7", "-[1]");
    let limited = Job { backoff_limit_per_index: Some(3), backoff_limit: i32::MAX, ..indexed(2, 4) };
    check("a waiting index keeps its place", &limited, "bad@0:4 run@3", "wait 6");
    check("others go on", &limited, "bad@0:4", "+[1]");
}

#[test]
fn the_end_is_judged_in_order() {
    let check = |what: &str, job: &Job, words: &str, expected: Option<&str>| {
        let finish = assessed(job, words).0.finish;
        assert_eq!(finish.map(|finish| finish.reason.to_string()).as_deref(), expected, "{what}");
    };
    let limited = Job { backoff_limit: 1, ..job(2, 4) };
    check("within the limit", &limited, "bad run", None);
    check("beyond it", &limited, "bad bad run", Some("BackoffLimitExceeded"));
    check("a pod on its way out counts", &limited, "bad going", Some("BackoffLimitExceeded"));
    let mut late = Job { active_deadline_seconds: Some(10), ..job(2, 4) };
    late.status.start_time = Some(NOW - Span::from_secs(9));
    check("in time", &late, "run", None);
    late.status.start_time = Some(NOW - Span::from_secs(10));
    check("late", &late, "run", Some("DeadlineExceeded"));
    check("suspended Jobs are not late", &Job { suspend: true, ..late }, "run", None);
}

#[test]
fn counts_come_from_pods_that_are_tracked() {
    let (assessment, _) = assessed(&job(2, 10), "run wait ok bad going");
    assert_eq!((assessment.active.len(), assessment.ready, assessment.terminating), (2, 1, 1));
    assert_eq!(assessment.succeeded, 1);
}
