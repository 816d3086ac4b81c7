//! Jobs and CronJobs.

use seatrial_api::cronjob::{ActiveJob, CronJob};
use seatrial_api::symbol::Symbol;
use seatrial_api::workload::{CompletionMode, Job};
use serde_json::{Map, Value, json};

use super::{Around, Fields};

/// The annotation with the due time for which a CronJob has made a Job.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

pub(super) fn job(fields: &mut Fields, job: &Job, around: &Around<'_>) {
    let status = &job.status;
    fields.put("spec.parallelism", json!(job.parallelism));
    if let Some(completions) = job.completions {
        fields.put("spec.completions", json!(completions));
    }
    fields.put("spec.suspend", json!(job.suspend));
    fields.put("spec.backoffLimit", json!(job.backoff_limit));
    let mode = match job.completion_mode {
        CompletionMode::NonIndexed => "NonIndexed",
        CompletionMode::Indexed => "Indexed",
    };
    fields.put("spec.completionMode", json!(mode));
    let scheduled = job.meta.annotations.get(Symbol::new(SCHEDULED));
    let scheduled = scheduled.and_then(|date| around.calendar.parse(date.as_str()).ok());
    fields.time("scheduledTimestamp", scheduled, around);
    fields.counter("active", status.active);
    fields.counter("succeeded", status.succeeded);
    fields.counter("failed", status.failed);
    // The controller writes both with its first status.
    if status.start_time.is_some() || !status.conditions.is_empty() {
        fields.put("ready", json!(status.ready));
        fields.put("terminating", json!(status.terminating));
    }
    fields.text("completedIndexes", &status.completed_indexes);
    if let Some(failed) = &status.failed_indexes {
        fields.put("failedIndexes", json!(failed.as_str()));
    }
    let mut uncounted = Map::new();
    for (field, uids) in [("succeeded", &status.uncounted.succeeded), ("failed", &status.uncounted.failed)] {
        if !uids.is_empty() {
            uncounted.insert(field.to_owned(), json!(uids.len()));
        }
    }
    fields.put("uncounted", Value::Object(uncounted));
    fields.time("startTime", status.start_time, around);
    fields.time("completionTime", status.completion_time, around);
    fields.conditions(&status.conditions);
}

pub(super) fn cron_job(fields: &mut Fields, cron_job: &CronJob, around: &Around<'_>) {
    let status = &cron_job.status;
    let alias = |job: &ActiveJob| around.aliases.of_uid(job.uid).unwrap_or(&job.name).to_owned();
    fields.put("active", status.active.iter().map(|job| json!(alias(job))).collect());
    fields.time("lastScheduleTime", status.last_schedule_time, around);
    fields.time("lastSuccessfulTime", status.last_successful_time, around);
    if cron_job.suspend {
        fields.put("suspend", json!(true));
    }
}
