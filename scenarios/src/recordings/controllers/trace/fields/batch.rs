//! Jobs.

use seatrial_api::workload::{CompletionMode, Job};
use serde_json::{Map, Value, json};

use super::{Around, Fields};

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
