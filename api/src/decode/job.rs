//! Jobs.

use super::names;
use super::pod::{SpecPool, TemplateRules, template};
use super::pod_status::STATUSES;
use super::reader::Reader;
use super::selector;
use super::workload::{conditions, status};
use crate::container::RestartPolicy;
use crate::document::Node;
use crate::labels::{Operator, Requirement, Selector};
use crate::meta::{ObjectMeta, Uid};
use crate::pod::ConditionStatus;
use crate::symbol::Symbol;
use crate::workload::{
    CompletionMode, Job, JobStatus, PodFailureAction, PodFailureMatch, PodFailureRule, PodReplacementPolicy,
    SuccessRule, UncountedPods,
};
use std::sync::Arc;

/// The label by which a Job finds its pods.
const LABEL_CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";

/// How many pods of an Indexed Job may run at once.
const INDEXED_PARALLELISM_MAX: i32 = 100_000;

/// Whether another controller than the built-in one manages the Job, so that it is only stored.
pub(super) fn is_managed_by_other(job: &Node) -> bool {
    let manager = job.at(&["spec", "managedBy"]).and_then(Node::as_str);
    manager.is_some_and(|manager| manager != "kubernetes.io/job-controller")
}

/// Reads a Job.
pub(super) fn job(object: &Reader<'_>, meta: ObjectMeta, specs: &mut SpecPool) -> Option<Job> {
    let status = status(object, job_status);
    object.object_or_empty("spec", |spec| read_spec(spec, meta, status, specs))?
}

/// Reads the specification of a Job, or of the Jobs of a CronJob.
pub(super) fn read_spec(
    spec: &Reader<'_>,
    mut meta: ObjectMeta,
    status: JobStatus,
    specs: &mut SpecPool,
) -> Option<Job> {
    spec.known(&["managedBy"]);
    let template = template(spec, &TemplateRules::OF_JOBS, specs)?;
    let selector = own_selector(spec);
    if meta.labels.is_empty() {
        meta.labels = template.labels.clone();
    }
    let (parallelism, completions) = (spec.int32("parallelism", 0), spec.int32("completions", 0));
    let modes = [("NonIndexed", CompletionMode::NonIndexed), ("Indexed", CompletionMode::Indexed)];
    let backoff_limit_per_index = spec.int32("backoffLimitPerIndex", 0);
    let pod_failure_policy = spec.object("podFailurePolicy", |policy| policy.list("rules", failure_rule));
    let job = Job {
        meta,
        parallelism: parallelism.unwrap_or(1),
        completions: completions.or(if parallelism.is_none() { Some(1) } else { None }),
        completion_mode: spec.choice("completionMode", &modes).unwrap_or(CompletionMode::NonIndexed),
        backoff_limit: spec.int32("backoffLimit", 0).unwrap_or(if backoff_limit_per_index.is_some() {
            i32::MAX
        } else {
            6
        }),
        backoff_limit_per_index,
        max_failed_indexes: spec.int32("maxFailedIndexes", 0),
        active_deadline_seconds: spec.int("activeDeadlineSeconds", 0..=i64::MAX),
        ttl_seconds_after_finished: spec.int32("ttlSecondsAfterFinished", 0),
        suspend: spec.bool("suspend"),
        pod_replacement_policy: replacement_policy(spec, pod_failure_policy.is_some()),
        pod_failure_policy: pod_failure_policy.unwrap_or_default().into(),
        success_policy: spec
            .object("successPolicy", |policy| policy.list("rules", success_rule))
            .unwrap_or_default()
            .into(),
        selector,
        template,
        status,
    };
    check(spec, &job);
    Some(job)
}

/// The selector of a Job from a running cluster or with one of its own. Otherwise it is made from
/// the uid, which the object does not have yet: until then it matches nothing.
fn own_selector(spec: &Reader<'_>) -> Arc<Selector> {
    let manual = spec.bool("manualSelector");
    let written = selector::optional(spec, "selector");
    match written {
        Some(selector) if manual || spec.cx.is_state() => Arc::new(selector),
        written => {
            if written.is_some() {
                spec.refuse("selector", "it is made by the server, unless manualSelector is true");
            }
            let requirement =
                Requirement { key: Symbol::new(LABEL_CONTROLLER_UID), operator: Operator::Never };
            Arc::new(Selector { requirements: Box::new([requirement]) })
        }
    }
}

fn replacement_policy(spec: &Reader<'_>, has_failure_policy: bool) -> PodReplacementPolicy {
    let policies = [
        ("TerminatingOrFailed", PodReplacementPolicy::TerminatingOrFailed),
        ("Failed", PodReplacementPolicy::Failed),
    ];
    let default = if has_failure_policy {
        PodReplacementPolicy::Failed
    } else {
        PodReplacementPolicy::TerminatingOrFailed
    };
    spec.choice("podReplacementPolicy", &policies).unwrap_or(default)
}

fn check(spec: &Reader<'_>, job: &Job) {
    let indexed = job.completion_mode == CompletionMode::Indexed;
    if indexed {
        check_indexed(spec, job);
    }
    for (key, given) in [
        ("backoffLimitPerIndex", job.backoff_limit_per_index.is_some()),
        ("successPolicy", !job.success_policy.is_empty()),
    ] {
        if given && !indexed {
            spec.refuse(key, "only Indexed Jobs have one");
        }
    }
    if job.max_failed_indexes.is_some() && job.backoff_limit_per_index.is_none() {
        spec.refuse("maxFailedIndexes", "it needs backoffLimitPerIndex");
    }
    let restarts = job.template.spec.restart_policy != RestartPolicy::Never;
    for (key, given) in [
        ("podFailurePolicy", !job.pod_failure_policy.is_empty()),
        ("backoffLimitPerIndex", job.backoff_limit_per_index.is_some()),
    ] {
        if given && restarts {
            spec.refuse(key, "it needs restartPolicy: Never in the template");
        }
    }
}

fn check_indexed(spec: &Reader<'_>, job: &Job) {
    let Some(completions) = job.completions else {
        return spec.invalid("completions", "a number of completions, for an Indexed Job");
    };
    if job.parallelism > INDEXED_PARALLELISM_MAX {
        spec.invalid("parallelism", format!("at most {INDEXED_PARALLELISM_MAX}, for an Indexed Job"));
    }
    let longest = format!("{}-{}", job.meta.name, completions - 1);
    if completions > 0 && !job.meta.name.is_empty() && !names::is_label(&longest) {
        spec.refuse("completions", format!("{longest} is too long for the host name of a pod"));
    }
}

fn failure_rule(rule: &Reader<'_>) -> PodFailureRule {
    let actions = [
        ("FailJob", PodFailureAction::FailJob),
        ("FailIndex", PodFailureAction::FailIndex),
        ("Ignore", PodFailureAction::Ignore),
        ("Count", PodFailureAction::Count),
    ];
    if !rule.has("action") {
        rule.invalid("action", "one of FailJob, FailIndex, Ignore, Count");
    }
    let exit_codes = rule.object("onExitCodes", |codes| {
        let negated = codes.choice("operator", &[("In", false), ("NotIn", true)]);
        let values = codes.int32s("values");
        if negated.is_none() || values.is_empty() {
            codes.invalid("values", "an operator, In or NotIn, and at least one exit code");
        }
        PodFailureMatch::ExitCodes {
            container: codes.str("containerName").map(Symbol::new),
            negated: negated.unwrap_or(false),
            values: values.into(),
        }
    });
    let on_conditions = rule.list("onPodConditions", |condition| {
        let status = condition.choice("status", &STATUSES).unwrap_or(ConditionStatus::True);
        (condition.required_symbol("type"), status)
    });
    if exit_codes.is_some() != on_conditions.is_empty() {
        rule.refuse("action", "a rule has either onExitCodes or onPodConditions");
    }
    PodFailureRule {
        action: rule.choice("action", &actions).unwrap_or(PodFailureAction::Count),
        matches: exit_codes.unwrap_or_else(|| PodFailureMatch::Conditions(on_conditions.into())),
    }
}

fn success_rule(rule: &Reader<'_>) -> SuccessRule {
    let indexes = rule.str("succeededIndexes");
    let ranges = indexes.and_then(index_ranges);
    if indexes.is_some() && ranges.is_none() {
        rule.invalid("succeededIndexes", "indexes in order, such as 0,2-4");
    }
    let count = rule.int32("succeededCount", 1);
    if indexes.is_none() && count.is_none() {
        rule.invalid("succeededIndexes", "succeededIndexes, succeededCount or both");
    }
    SuccessRule { indexes: ranges, count }
}

/// The ranges in a text such as `0,2-4`.
fn index_ranges(text: &str) -> Option<Box<[(i32, i32)]>> {
    let mut ranges: Vec<(i32, i32)> = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range: (i32, i32) = (first.parse().ok()?, last.parse().ok()?);
        let in_order = ranges.last().is_none_or(|before| before.1 < range.0);
        if range.0 < 0 || range.1 < range.0 || !in_order {
            return None;
        }
        ranges.push(range);
    }
    Some(ranges.into())
}

fn job_status(status: &Reader<'_>) -> JobStatus {
    let uids = |pods: &Reader<'_>, key| pods.strs(key).into_iter().map(|uid| Uid::parse(&uid)).collect();
    let uncounted = status.object("uncountedTerminatedPods", |pods| UncountedPods {
        succeeded: uids(pods, "succeeded"),
        failed: uids(pods, "failed"),
    });
    JobStatus {
        uncounted: uncounted.unwrap_or_default(),
        active: status.count("active"),
        ready: status.count("ready"),
        terminating: status.count("terminating"),
        succeeded: status.count("succeeded"),
        failed: status.count("failed"),
        start_time: status.time("startTime"),
        completion_time: status.time("completionTime"),
        completed_indexes: status.text("completedIndexes"),
        failed_indexes: status.str("failedIndexes").map(Into::into),
        conditions: conditions(status),
    }
}
