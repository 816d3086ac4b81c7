//! Recorders of Events: what they keep of the decisions that they are told.
//!
//! Controllers and scheduler use two recorders with different rules (upstream
//! `client-go/tools/record` and `client-go/tools/events`).

use std::collections::{BTreeMap, BTreeSet};

use seatrial_api::machine::{Decision, Severity};
use seatrial_api::object::{Kind, ObjectRef};
use seatrial_api::request::WatchEvent;
use seatrial_api::units::{SimTime, Span};

use super::super::trace::{Note, Trace};

/// From so many different messages on, similar Events are combined.
const DISTINCT_MAX: usize = 10;
/// What combined ones begin with.
const COMBINED: &str = "(combined from similar events): ";
/// Messages further apart than this are not similar.
const SIMILAR_WITHIN: Span = Span::from_secs(600);
/// How many Events a source may tell of an object at once, and when it may tell one more.
const BURST: i64 = 25;
const REFILL: Span = Span::from_secs(300);
/// A series of the scheduler's Events ends after so long a silence.
const SERIES_ENDS: Span = Span::from_secs(360);

/// What all similar Events have in common.
type Similar = (ObjectRef, bool, &'static str);

/// Messages that were told about an object for one reason.
#[derive(Default)]
struct Group {
    messages: BTreeSet<String>,
    last: Option<SimTime>,
}

/// How many Events a source may still tell.
struct Bucket {
    /// Nanoseconds of refill that are saved up.
    saved: i64,
    last: SimTime,
}

/// An Event of the scheduler that may become a series.
struct Series {
    message: String,
    count: u32,
    last: SimTime,
}

/// Both recorders.
#[derive(Default)]
pub(super) struct Recorder {
    groups: BTreeMap<Similar, Group>,
    counts: BTreeMap<(Similar, String), u32>,
    /// Events that could be created.
    written: BTreeSet<(Similar, String)>,
    buckets: BTreeMap<(ObjectRef, &'static str, bool), Bucket>,
    series: BTreeMap<(Similar, u64), Series>,
    /// The version of each object that the scheduler was shown last.
    versions: BTreeMap<ObjectRef, u64>,
}

impl Recorder {
    /// The scheduler was shown a change.
    pub(super) fn shown(&mut self, event: &WatchEvent) {
        self.versions.insert(event.object.object_ref(), event.object.meta().resource_version);
    }

    /// A controller has decided something. If no Event can be created now, only those that are there
    /// are told again.
    pub(super) fn controllers(
        &mut self,
        now: SimTime,
        decision: &Decision,
        may_create: bool,
        trace: &mut Trace,
    ) {
        let similar = similar(decision);
        let from = source(decision);
        let group = self.groups.entry(similar).or_default();
        if group.last.is_some_and(|last| now - last > SIMILAR_WITHIN) {
            group.messages.clear();
        }
        group.messages.insert(decision.message.to_string());
        group.last = Some(now);
        let combined = group.messages.len() >= DISTINCT_MAX;
        let message = if combined {
            group.messages.pop_first();
            format!("{COMBINED}{}", decision.message)
        } else {
            decision.message.to_string()
        };
        let key = if combined { String::new() } else { message.clone() };
        let count = self.counts.entry((similar, key.clone())).or_default();
        *count += 1;
        let count = *count;
        if !self.may_tell(now, decision, from) {
            return;
        }
        let key = (similar, key);
        if may_create || self.written.contains(&key) {
            self.written.insert(key);
            trace.event(now, &note(decision, &message, from, count));
        }
    }

    fn may_tell(&mut self, now: SimTime, decision: &Decision, from: &'static str) -> bool {
        let full = BURST * REFILL.nanos();
        let key = (decision.object, from, decision.severity == Severity::Normal);
        let bucket = self.buckets.entry(key).or_insert(Bucket { saved: full, last: now });
        bucket.saved = bucket.saved.saturating_add((now - bucket.last).nanos()).min(full);
        bucket.last = now;
        let may = bucket.saved >= REFILL.nanos();
        if may {
            bucket.saved -= REFILL.nanos();
        }
        may
    }

    /// The scheduler has decided something. The first repetition about the same version of an object
    /// makes a series of it, whose message stays; further ones are only counted.
    pub(super) fn scheduler(&mut self, now: SimTime, decision: &Decision, trace: &mut Trace) {
        let similar = similar(decision);
        let version = self.versions.get(&decision.object).copied().unwrap_or(0);
        let from = "default-scheduler";
        match self.series.get_mut(&(similar, version)).filter(|series| now - series.last <= SERIES_ENDS) {
            Some(series) => {
                series.count += 1;
                series.last = now;
                if series.count == 2 {
                    trace.event(now, &note(decision, &series.message, from, 2));
                }
            }
            None => {
                let message = decision.message.to_string();
                trace.event(now, &note(decision, &message, from, 1));
                self.series.insert((similar, version), Series { message, count: 1, last: now });
            }
        }
    }
}

fn similar(decision: &Decision) -> Similar {
    (decision.object, decision.severity == Severity::Normal, decision.reason)
}

fn note<'a>(decision: &Decision, message: &'a str, from: &'a str, count: u32) -> Note<'a> {
    Note {
        object: decision.object,
        severity: decision.severity,
        reason: decision.reason,
        message,
        from,
        count,
    }
}

/// Which controller tells this.
fn source(decision: &Decision) -> &'static str {
    match decision.object.kind {
        Kind::Pod if decision.reason == "TaintManagerEviction" => "taint-eviction-controller",
        Kind::Pod | Kind::Node => "node-controller",
        Kind::ReplicaSet => "replicaset-controller",
        Kind::ReplicationController => "replication-controller",
        Kind::CronJob => "cronjob-controller",
        Kind::Deployment => "deployment-controller",
        Kind::StatefulSet => "statefulset-controller",
        Kind::DaemonSet => "daemonset-controller",
        Kind::Job => "job-controller",
        Kind::HorizontalPodAutoscaler => "horizontal-pod-autoscaler",
        Kind::PersistentVolume | Kind::PersistentVolumeClaim => "persistentvolume-controller",
        _ => "controllermanager",
    }
}
