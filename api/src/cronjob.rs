//! CronJobs.

use std::sync::Arc;

use compact_str::CompactString;

use crate::cron::Schedule;
use crate::meta::{ObjectMeta, Uid};
use crate::symbol::Symbol;
use crate::time_zone::TimeZone;
use crate::units::SimTime;
use crate::workload::Job;

/// What happens at a due time while Jobs of earlier ones are active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConcurrencyPolicy {
    /// They run beside each other.
    #[default]
    Allow,
    /// The new one waits for the end of the old one.
    Forbid,
    /// The old one goes.
    Replace,
}

/// A CronJob.
#[derive(Clone, Debug, PartialEq)]
pub struct CronJob {
    /// The metadata.
    pub meta: ObjectMeta,
    /// When it is due, as written.
    pub schedule_text: CompactString,
    /// When it is due; `None` if the text makes no sense.
    pub schedule: Option<Arc<Schedule>>,
    /// The name of the time zone of its schedule; `None` for the controller's own, UTC here.
    pub time_zone_name: Option<Symbol>,
    /// That time zone; UTC if none is named, and `None` if there is none of that name.
    pub time_zone: Option<TimeZone>,
    /// For how many seconds after its due time a Job is still started.
    pub starting_deadline_seconds: Option<i64>,
    /// What happens to Jobs of earlier due times.
    pub concurrency_policy: ConcurrencyPolicy,
    /// Whether it starts nothing.
    pub suspend: bool,
    /// How many successful Jobs are kept.
    pub successful_jobs_history_limit: Option<i32>,
    /// How many failed Jobs are kept.
    pub failed_jobs_history_limit: Option<i32>,
    /// What its Jobs look like; of the metadata only labels and annotations count.
    pub template: Arc<Job>,
    /// The status.
    pub status: CronJobStatus,
}

/// The status of a CronJob.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CronJobStatus {
    /// Jobs that run.
    pub active: Vec<ActiveJob>,
    /// The due time of the newest Job.
    pub last_schedule_time: Option<SimTime>,
    /// When a Job was last completed.
    pub last_successful_time: Option<SimTime>,
}

/// A reference to a Job that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveJob {
    /// The Job's identity.
    pub uid: Uid,
    /// The Job's name.
    pub name: CompactString,
}
