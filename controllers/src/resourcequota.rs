//! The quota controller (upstream `pkg/controller/resourcequota`): recalculates what is used of a
//! quota. Admission raises what is used; only here does it fall.
//!
//! A quota is recalculated when its limits change, when an object that it counts is gone, when a pod
//! ceases to count, and every five minutes. A periodic recalculation before which nothing has happened
//! would find what the last one found: it is not played.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::object::{Kind, Object};
use seatrial_api::pod::Pod;
use seatrial_api::quota::{self, Amounts, ResourceQuota, ResourceQuotaStatus};
use seatrial_api::request::{Change, ErrorReason, Request, Subresource};
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};

use crate::Config;
use crate::framework::{
    Caches, Client, Context, Controller, Event, Next, Replies, RetryPolicy, RowList, Runner,
};

/// After which time all quotas are recalculated (`--resource-quota-sync-period`).
const PERIOD: Span = Span::from_mins(5);
/// Workers of the controller: five for quotas that lack something, five for all others.
const WORKERS: usize = 10;

/// Keeps the status of ResourceQuotas.
#[derive(Clone, Debug, Default)]
pub(crate) struct QuotaController {
    /// Rows of the pods of each namespace that has quotas.
    pods: FxHashMap<Symbol, RowList>,
}

/// Whether the status of a sync is on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sync {
    written: bool,
}

impl QuotaController {
    pub(crate) fn runner(id: u8, config: &Config) -> Runner<QuotaController> {
        let client = Client::new(config.client_limits);
        Runner::new(id, QuotaController::default(), RetryPolicy::standard(), client, WORKERS)
    }

    fn observe_quota(&mut self, cx: &mut Context<'_>, event: &Event<'_>, quota: &ResourceQuota) {
        let namespace = quota.meta.namespace;
        if event.change == Change::Deleted {
            if cx.caches.quotas.in_namespace(namespace).next().is_none() {
                self.pods.remove(&namespace);
            }
            return;
        }
        self.pods.entry(namespace).or_insert_with(|| {
            let mut rows = RowList::default();
            let pods = cx.caches.pods.iter().filter(|pod| pod.meta.namespace == namespace);
            pods.for_each(|pod| rows.insert(pod.meta.id));
            rows
        });
        // Changes of the status are this controller's own, or admission's.
        let same = |old: &Object| matches!(old, Object::ResourceQuota(old) if old.hard == quota.hard);
        if !event.old.is_some_and(same) {
            cx.queue.add(quota.meta.id);
        }
    }

    fn observe_object(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        let namespace = event.object.meta().namespace;
        let Some(pods) = self.pods.get_mut(&namespace) else { return };
        if let (Object::Pod(pod), Change::Added) = (event.object, event.change) {
            pods.insert(pod.meta.id);
        } else if let (Object::Pod(pod), Change::Deleted) = (event.object, event.change) {
            pods.remove(pod.meta.id);
        }
        let at = if frees_something(event, cx.now) { cx.now } else { next_period(cx.now) };
        for quota in cx.caches.quotas.in_namespace(namespace) {
            let hard = quota.status.hard.as_ref().unwrap_or(&quota.hard);
            if !quota::may_be_charged(event.object.kind(), hard) {
                continue;
            }
            if at == cx.now {
                cx.queue.add(quota.meta.id);
            } else {
                cx.queue.add_at(at, quota.meta.id);
            }
        }
    }

    /// What the cached objects of the quota's namespace use of it.
    fn calculate(&self, cx: &Context<'_>, quota: &ResourceQuota) -> Amounts {
        let namespace = quota.meta.namespace;
        let hard = &quota.hard;
        let is_tracked = |name| Kind::ALL.iter().any(|&kind| quota::tracks(kind, name));
        let zero = seatrial_api::quantity::Quantity::ZERO;
        let mut used = Amounts::new(hard.names().filter(|&name| is_tracked(name)).map(|name| (name, zero)));
        let mut count = |object: &Object| {
            if quota::is_charged(object, quota, hard) {
                let usage = quota::usage(object, cx.now);
                used.add_all(&usage.filtered(|name, _| hard.get(name).is_some()));
            }
        };
        if quota::may_be_charged(Kind::Pod, hard) {
            self.pods_of(cx.caches, namespace).for_each(|pod| count(&Object::Pod(pod.clone())));
        }
        if Kind::ALL.iter().any(|&kind| kind != Kind::Pod && quota::may_be_charged(kind, hard)) {
            cx.caches.in_namespace(namespace).iter().for_each(count);
        }
        used
    }

    fn pods_of<'a>(&'a self, caches: &'a Caches, namespace: Symbol) -> impl Iterator<Item = &'a Arc<Pod>> {
        let rows = self.pods.get(&namespace).map_or(&[][..], RowList::rows);
        rows.iter().filter_map(|&row| caches.pods.get(row))
    }

    /// Pods whose deletion is overdue cease to count, which the next recalculation after that notices.
    fn await_overdue_pods(&self, cx: &mut Context<'_>, quota: &ResourceQuota) {
        let overdue_at = |pod: &Arc<Pod>| {
            let deletion = pod.meta.deletion().filter(|_| quota::counts(pod, cx.now))?;
            Some(deletion.at + Span::from_secs(i64::from(deletion.grace_seconds)))
        };
        let first = self.pods_of(cx.caches, quota.meta.namespace).filter_map(overdue_at).min();
        if let Some(first) = first {
            cx.queue.add_at(next_period(first), quota.meta.id);
        }
    }
}

/// Whether what a change shows is less than there was before.
fn frees_something(event: &Event<'_>, now: SimTime) -> bool {
    match (event.change, event.object, event.old) {
        (Change::Deleted, ..) => true,
        (Change::Modified, Object::Pod(pod), Some(Object::Pod(old))) => {
            quota::counts(old, now) && !quota::counts(pod, now)
        }
        (Change::Modified, Object::Service(service), Some(Object::Service(old))) => service.kind != old.kind,
        _ => false,
    }
}

/// The first periodic recalculation after an instant.
fn next_period(after: SimTime) -> SimTime {
    SimTime::from_nanos((after.nanos().div_euclid(PERIOD.nanos()) + 1).saturating_mul(PERIOD.nanos()))
}

impl Controller for QuotaController {
    type Sync = Sync;

    fn minds(&self, caches: &Caches, kind: Kind) -> bool {
        kind == Kind::ResourceQuota || (kind.is_namespaced() && !caches.quotas.is_empty())
    }

    fn observe(&mut self, cx: &mut Context<'_>, event: &Event<'_>) {
        if let Object::ResourceQuota(quota) = event.object {
            self.observe_quota(cx, event, quota);
            if event.change == Change::Modified {
                return;
            }
        }
        self.observe_object(cx, event);
    }

    fn step(&mut self, cx: &mut Context<'_>, key: u32, sync: &mut Sync, replies: &Replies) -> Next {
        if sync.written {
            return match replies.first() {
                Some(Some(Err(error))) if error.reason != ErrorReason::NotFound => Next::Retry,
                _ => Next::Done,
            };
        }
        let Some(quota) = cx.caches.quotas.get(key).cloned() else { return Next::Done };
        let used = self.calculate(cx, &quota);
        self.await_overdue_pods(cx, &quota);
        let status = ResourceQuotaStatus { hard: Some(quota.hard.clone()), used: Some(used) };
        if status == quota.status {
            return Next::Done;
        }
        sync.written = true;
        let object =
            Object::ResourceQuota(Arc::new(ResourceQuota { status, ..ResourceQuota::clone(&quota) }));
        Next::send(Request::Update { object, subresource: Subresource::Status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_begin_with_the_run() {
        for (after, next) in [(0, 300), (299, 300), (300, 600), (-1, 0)] {
            assert_eq!(next_period(SimTime::from_secs(after)), SimTime::from_secs(next));
        }
    }
}
