//! CronJobs, played against the store: at 50 seconds past the minute they are created, as in the
//! recordings of upstream.

use std::sync::Arc;

use crate::cluster::{Behavior, Cluster, NAMESPACE, template};
use seatrial_api::container::RestartPolicy;
use seatrial_api::cron::Schedule;
use seatrial_api::cronjob::{ConcurrencyPolicy, CronJob, CronJobStatus};
use seatrial_api::labels::{Operator, Requirement, Selector};
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Kind, ObjectRef};
use seatrial_api::pod::{PodSpec, PodTemplate};
use seatrial_api::request::Request;
use seatrial_api::time_zone::TimeZone;
use seatrial_api::units::Span;
use seatrial_api::workload::{CompletionMode, Job, JobStatus, PodReplacementPolicy};

/// A CronJob for every minute, whose Jobs run so long.
fn cron_job(cluster: &mut Cluster, policy: ConcurrencyPolicy, seconds: i64) -> CronJob {
    cluster.behave(move |_| Behavior { exit: Some((Span::from_secs(seconds), 0)), ..Behavior::default() });
    cluster.run(50);
    let template = template("tick");
    let mut spec = PodSpec::clone(&template.spec);
    spec.restart_policy = RestartPolicy::Never;
    let requirement =
        Requirement { key: "batch.kubernetes.io/controller-uid".into(), operator: Operator::Never };
    let job = Job {
        meta: ObjectMeta::default(),
        parallelism: 1,
        completions: Some(1),
        completion_mode: CompletionMode::NonIndexed,
        backoff_limit: 6,
        backoff_limit_per_index: None,
        max_failed_indexes: None,
        active_deadline_seconds: None,
        ttl_seconds_after_finished: None,
        suspend: false,
        pod_replacement_policy: PodReplacementPolicy::TerminatingOrFailed,
        pod_failure_policy: Box::default(),
        success_policy: Box::default(),
        selector: Arc::new(Selector { requirements: Box::new([requirement]) }),
        template: Arc::new(PodTemplate { spec: Arc::new(spec), ..PodTemplate::clone(&template) }),
        status: JobStatus::default(),
    };
    CronJob {
        meta: ObjectMeta::named(NAMESPACE, "tick"),
        schedule_text: "* * * * *".into(),
        schedule: Schedule::parse("* * * * *").ok().map(Arc::new),
        time_zone_name: None,
        time_zone: Some(TimeZone::utc()),
        starting_deadline_seconds: None,
        concurrency_policy: policy,
        suspend: false,
        successful_jobs_history_limit: Some(3),
        failed_jobs_history_limit: Some(1),
        template: Arc::new(job),
        status: CronJobStatus::default(),
    }
}

/// Names of the CronJob's Jobs, by the minutes since the run began.
fn jobs(cluster: &Cluster) -> Vec<i64> {
    let first = 1_893_456_000 / 60;
    let minute = |job: &Arc<Job>| {
        job.meta
            .name
            .strip_prefix("tick-")
            .and_then(|text| text.parse::<i64>().ok())
            .map(|minute| minute - first)
    };
    let mut minutes: Vec<i64> = cluster.all::<Job>().iter().filter_map(minute).collect();
    minutes.sort_unstable();
    minutes
}

fn active(cluster: &Cluster, row: u32) -> usize {
    cluster.get::<CronJob>(row).status.active.len()
}

#[test]
fn jobs_run_beside_each_other_if_that_is_allowed() {
    let mut cluster = Cluster::new(3);
    let cron_job = cron_job(&mut cluster, ConcurrencyPolicy::Allow, 80);
    let row = cluster.create(cron_job);
    cluster.run(150);
    assert_eq!(jobs(&cluster), [1, 2, 3]);
    assert_eq!(active(&cluster, row), 2);
    let job = cluster.named::<Job>("tick-31557601").expect("it was started");
    let scheduled = job.meta.annotations.get("batch.kubernetes.io/cronjob-scheduled-timestamp".into());
    assert_eq!(scheduled.map(|text| text.to_string()).as_deref(), Some("2030-01-01T00:01:00Z"));
    assert_eq!(job.meta.controller().map(|owner| owner.kind.as_str()), Some("CronJob"));
    assert_eq!(
        cluster.events(Kind::CronJob),
        [
            "SuccessfulCreate: Created job tick-31557601",
            "SuccessfulCreate: Created job tick-31557602",
            "SawCompletedJob: Saw completed job: tick-31557601, condition: Complete",
            "SuccessfulCreate: Created job tick-31557603",
        ]
    );
}

#[test]
fn a_forbidden_start_is_made_up_for_at_the_end_of_the_job_before() {
    let mut cluster = Cluster::new(3);
    let cron_job = cron_job(&mut cluster, ConcurrencyPolicy::Forbid, 80);
    let row = cluster.create(cron_job);
    cluster.run(85);
    assert_eq!(jobs(&cluster), [1]);
    cluster.run(15);
    // The Job of the second minute starts at once, and not at the third.
    assert_eq!(jobs(&cluster), [1, 2]);
    assert_eq!(active(&cluster, row), 1);
    let refused =
        cluster.events(Kind::CronJob).iter().filter(|event| event.starts_with("JobAlreadyActive")).count();
    assert_eq!(refused, 2, "at the due time, and when the Job is about to end");
}

#[test]
fn a_job_is_replaced_by_the_next() {
    let mut cluster = Cluster::new(3);
    let cron_job = cron_job(&mut cluster, ConcurrencyPolicy::Replace, 80);
    let row = cluster.create(cron_job);
    cluster.run(80);
    assert_eq!(jobs(&cluster), [2]);
    assert_eq!(active(&cluster, row), 1);
    assert_eq!(
        cluster.events(Kind::CronJob)[1..],
        ["SuccessfulDelete: Deleted job tick-31557601", "SuccessfulCreate: Created job tick-31557602"]
    );
}

#[test]
fn old_jobs_are_deleted_and_a_suspended_cron_job_starts_none() {
    let mut cluster = Cluster::new(3);
    let cron_job = cron_job(&mut cluster, ConcurrencyPolicy::Allow, 3);
    let row = cluster.create(CronJob { successful_jobs_history_limit: Some(1), ..cron_job });
    cluster.run(140);
    assert_eq!(jobs(&cluster), [3]);
    cluster.update::<CronJob>(row, |cron_job| cron_job.suspend = true);
    cluster.run(200);
    assert_eq!(jobs(&cluster), [3]);
    assert_eq!(active(&cluster, row), 0);
    // Only the last missed one is made up for.
    cluster.update::<CronJob>(row, |cron_job| cron_job.suspend = false);
    cluster.run(2);
    assert_eq!(jobs(&cluster), [3, 6]);
}

#[test]
fn a_start_that_is_too_late_is_left_out() {
    let mut cluster = Cluster::new(3);
    let cron_job = cron_job(&mut cluster, ConcurrencyPolicy::Allow, 3);
    let row = cluster.create(CronJob { suspend: true, starting_deadline_seconds: Some(20), ..cron_job });
    cluster.run(45);
    cluster.update::<CronJob>(row, |cron_job| cron_job.suspend = false);
    cluster.run(2);
    assert_eq!(jobs(&cluster), [] as [i64; 0]);
    cluster.run(40);
    assert_eq!(jobs(&cluster), [2]);
}

#[test]
fn an_unknown_zone_starts_nothing_and_a_changed_schedule_waits_for_its_time() {
    let mut cluster = Cluster::new(3);
    let cron_job = cron_job(&mut cluster, ConcurrencyPolicy::Allow, 3);
    let nowhere = CronJob { time_zone_name: Some("Mars/Base".into()), time_zone: None, ..cron_job };
    let row = cluster.create(nowhere);
    cluster.run(30);
    assert_eq!(
        cluster.events(Kind::CronJob),
        ["UnknownTimeZone: invalid timeZone: \"Mars/Base\": unknown time zone Mars/Base"]
    );
    cluster.update::<CronJob>(row, |cron_job| {
        cron_job.time_zone_name = None;
        cron_job.time_zone = Some(TimeZone::utc());
    });
    cluster.run(30);
    assert_eq!(jobs(&cluster), [] as [i64; 0], "the due time at 60 s was before the change");
    cluster.run(60);
    assert_eq!(jobs(&cluster), [2]);
}

#[test]
fn jobs_go_with_their_cron_job_and_a_restart_starts_none_twice() {
    let mut cluster = Cluster::new(3);
    let cron_job = cron_job(&mut cluster, ConcurrencyPolicy::Allow, 3);
    let row = cluster.create(cron_job);
    cluster.run(11);
    cluster.restart_manager();
    cluster.run(70);
    assert_eq!(jobs(&cluster), [1, 2]);
    let background = seatrial_api::request::DeleteOptions {
        propagation: Some(seatrial_api::request::Propagation::Background),
        ..Default::default()
    };
    let target = ObjectRef { kind: Kind::CronJob, id: row };
    cluster.request(Request::Delete { target, options: background }).expect("it is there");
    cluster.run(30);
    assert_eq!(jobs(&cluster), [] as [i64; 0]);
    assert!(cluster.active_pods().is_empty());
}
