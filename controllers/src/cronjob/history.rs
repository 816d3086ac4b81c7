//! Which finished Jobs of a CronJob are too many.

use std::sync::Arc;

use seatrial_api::cronjob::CronJob;
use seatrial_api::pod::ConditionStatus;
use seatrial_api::workload::{Job, condition};

/// How a Job has ended: `Complete` or `Failed`; `None` if it has not.
pub(super) fn finished(job: &Job) -> Option<&'static str> {
    ["Complete", "Failed"].into_iter().find(|kind| {
        condition(&job.status.conditions, kind).is_some_and(|found| found.status == ConditionStatus::True)
    })
}

/// The Jobs beyond the limits of the history, oldest first, the successful ones before the failed.
pub(super) fn surplus(cron_job: &CronJob, jobs: &[Arc<Job>]) -> Vec<Arc<Job>> {
    let limits = [
        ("Complete", cron_job.successful_jobs_history_limit),
        ("Failed", cron_job.failed_jobs_history_limit),
    ];
    let mut surplus = Vec::new();
    for (end, limit) in limits {
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { continue };
        let mut ended: Vec<&Arc<Job>> = jobs.iter().filter(|job| finished(job) == Some(end)).collect();
        // Jobs that never started come last.
        ended.sort_by_key(|job| {
            (job.status.start_time.is_none(), job.status.start_time, job.meta.name.clone())
        });
        let count = ended.len().saturating_sub(limit);
        surplus.extend(ended.into_iter().take(count).cloned());
    }
    surplus
}
