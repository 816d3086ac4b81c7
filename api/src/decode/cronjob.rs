//! CronJobs.

use super::job;
use super::meta;
use super::pod::SpecPool;
use super::reader::Reader;
use super::workload::status;
use crate::cron::Schedule;
use crate::cronjob::{ActiveJob, ConcurrencyPolicy, CronJob, CronJobStatus};
use crate::meta::{ObjectMeta, Uid};
use crate::symbol::Symbol;
use crate::time_zone::TimeZone;
use crate::workload::{Job, JobStatus};
use std::sync::Arc;

/// The longest name: eleven characters are left for what is added to it for its Jobs.
const NAME_MAX: usize = 52;

/// Reads a CronJob.
pub(super) fn cron_job(object: &Reader<'_>, meta: ObjectMeta, specs: &mut SpecPool) -> Option<CronJob> {
    if meta.name.len() > NAME_MAX {
        object.object("metadata", |meta| {
            meta.all_known();
            meta.invalid("name", format!("a name of at most {NAME_MAX} characters"));
        });
    }
    let status = status(object, |status| CronJobStatus {
        active: status.list("active", active_job),
        last_schedule_time: status.time("lastScheduleTime"),
        last_successful_time: status.time("lastSuccessfulTime"),
    });
    object.object_or_empty("spec", |spec| {
        let policies = [
            ("Allow", ConcurrencyPolicy::Allow),
            ("Forbid", ConcurrencyPolicy::Forbid),
            ("Replace", ConcurrencyPolicy::Replace),
        ];
        let (time_zone_name, time_zone) = time_zone(spec);
        Some(CronJob {
            meta,
            schedule_text: spec.required_str("schedule").into(),
            schedule: schedule(spec).map(Arc::new),
            time_zone_name,
            time_zone,
            starting_deadline_seconds: spec.int("startingDeadlineSeconds", 0..=i64::MAX),
            concurrency_policy: spec.choice("concurrencyPolicy", &policies).unwrap_or_default(),
            suspend: spec.bool("suspend"),
            successful_jobs_history_limit: spec.int32("successfulJobsHistoryLimit", 0).or(Some(3)),
            failed_jobs_history_limit: spec.int32("failedJobsHistoryLimit", 0).or(Some(1)),
            template: Arc::new(job_template(spec, specs)?),
            status,
        })
    })?
}

fn schedule(spec: &Reader<'_>) -> Option<Schedule> {
    let text = spec.str("schedule").filter(|text| !text.is_empty())?;
    if text.contains("TZ") {
        spec.refuse("schedule", "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
        return None;
    }
    match Schedule::parse(text) {
        Ok(schedule) => Some(schedule),
        Err(error) => {
            spec.refuse("schedule", error.to_string());
            None
        }
    }
}

/// The zone's name and the zone; without a name the controller's own, UTC.
fn time_zone(spec: &Reader<'_>) -> (Option<Symbol>, Option<TimeZone>) {
    let Some(name) = spec.str("timeZone") else { return (None, Some(TimeZone::utc())) };
    let zone = TimeZone::named(name).filter(|_| !name.eq_ignore_ascii_case("local"));
    if zone.is_none() {
        spec.refuse("timeZone", format!("unknown time zone {name}"));
    }
    (Some(Symbol::new(name)), zone)
}

fn job_template(spec: &Reader<'_>, specs: &mut SpecPool) -> Option<Job> {
    if !spec.has("jobTemplate") {
        spec.unsupported("jobTemplate", "required field is missing: a CronJob has a template of its Jobs");
    }
    spec.object("jobTemplate", |template| {
        let labels_and_annotations = template.object("metadata", |metadata| {
            metadata.known(&["creationTimestamp", "name", "namespace", "generateName"]);
            (meta::labels(metadata, "labels"), meta::annotations(metadata, "annotations"))
        });
        let (labels, annotations) = labels_and_annotations.unwrap_or_default();
        let meta = ObjectMeta { labels, annotations, ..ObjectMeta::default() };
        template.object_or_empty("spec", |spec| job::read_spec(spec, meta, JobStatus::default(), specs))?
    })?
}

fn active_job(job: &Reader<'_>) -> ActiveJob {
    job.known(&["apiVersion", "kind", "namespace", "resourceVersion", "fieldPath"]);
    ActiveJob { uid: Uid::parse(job.str("uid").unwrap_or("")), name: job.text("name") }
}
