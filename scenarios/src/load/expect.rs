//! Expectations, checked against what there is.

use seatrial_api::object::Kind;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{SimTime, Span};
use seatrial_sim_core::results::Metric;

use super::check::{Checker, Referent};
use super::objects::KnownObjects;
use crate::expect::{
    Anchor, Check, Evictor, Expectation, Limits, PercentileLimit, Phase, PodFilter, ShareMetrics, Window,
};
use crate::file::expect::{
    AnchorField, EventsExpect, EvictionWord, Expect, HpaExpect, JobsExpect, MetricExpect, Percentiles,
    PhaseWord, ResourceWord,
};
use crate::file::pods::SelectorField;
use crate::schema::{Bounds, Name, ObjectName, Placed, Text};

/// What expectations can refer to.
pub(super) struct Context<'a> {
    pub(super) duration: Span,
    pub(super) objects: &'a KnownObjects,
    pub(super) faults: &'a [Symbol],
    /// Named entries of the timeline with their times.
    pub(super) actions: &'a [(Symbol, SimTime)],
}

type At = Option<Placed<AnchorField>>;

impl Context<'_> {
    /// The expectations of a scenario.
    pub(super) fn expectations(&self, expect: &[Expect], checker: &mut Checker<'_>) -> Vec<Expectation> {
        let mut names: Vec<Symbol> = Vec::new();
        let mut expectations = Vec::new();
        for expect in expect {
            let Parts { name, after, before, within, check } = self.parts(expect, checker);
            if names.contains(&name.value.0) {
                let twice = name.value.0;
                checker.error(name, |error| {
                    error.message(format!("there is another expectation named {twice}"))
                });
            }
            names.push(name.value.0);
            let window = self.window(name, after, before, within, checker);
            if let (Some(check), Some(window)) = (check, window) {
                expectations.push(Expectation { name: name.value.0.to_string(), check, window });
            }
        }
        expectations
    }

    fn parts<'e>(&self, expect: &'e Expect, checker: &mut Checker<'_>) -> Parts<'e> {
        match expect {
            Expect::Pods(pods) => {
                let check = Check::Pods {
                    phase: phase(pods.pods),
                    longer_than: pods.longer_than,
                    counts: Limits::counts(pods.at_least, pods.at_most),
                    filter: filter(&pods.namespace, &pods.selector),
                };
                Parts::of(&pods.name, Some(check)).between(&pods.after, &pods.before)
            }
            Expect::Restarts(restarts) => {
                let filter = filter(&restarts.namespace, &restarts.selector);
                let check = Check::Restarts { limits: limits(&restarts.restarts), filter };
                Parts::of(&restarts.name, Some(check))
            }
            Expect::Evictions(evictions) => {
                let by = evictions.by.iter().map(|word| evictor(*word)).collect();
                let check = Check::Evictions { limits: limits(&evictions.evictions), by };
                Parts::of(&evictions.name, Some(check))
            }
            Expect::StartLatency(start) => {
                let filter = filter(&start.namespace, &start.selector);
                let check = Check::StartLatency { limits: percentiles(&start.start_latency), filter };
                Parts::of(&start.name, Some(check)).between(&start.after, &start.before)
            }
            Expect::Deployments(deployments) => {
                let namespace = deployments.namespace.as_ref().map(|Text(name)| Symbol::new(name));
                let only = self.all_of(Kind::Deployment, &deployments.only, checker);
                let check =
                    only.map(|only| Check::Deployments { within: deployments.within, namespace, only });
                let parts =
                    Parts::of(&deployments.name, check).between(&deployments.after, &deployments.before);
                Parts { within: deployments.within, ..parts }
            }
            Expect::Jobs(jobs) => {
                let parts = Parts::of(&jobs.name, self.jobs(jobs, checker));
                Parts { after: &jobs.after, within: jobs.within.unwrap_or(Span::ZERO), ..parts }
            }
            Expect::Service(service) => {
                let check =
                    self.object(Kind::Service, &service.service, checker).map(|name| Check::Service {
                        service: name,
                        availability: service.availability.as_ref().map(limits),
                        downtime: service.downtime.as_ref().map(|downtime| downtime.max),
                    });
                Parts::of(&service.name, check).between(&service.after, &service.before)
            }
            Expect::Nodes(nodes) => {
                let counts = Limits::counts(nodes.at_least, nodes.at_most);
                let check = Check::Nodes { within: nodes.within, counts };
                let parts = Parts::of(&nodes.name, Some(check)).between(&nodes.after, &nodes.before);
                Parts { within: nodes.within, ..parts }
            }
            Expect::Allocation(share) => {
                let metrics = match share.allocation {
                    ResourceWord::Cpu => CPU_ALLOCATED,
                    ResourceWord::Memory => MEMORY_ALLOCATED,
                };
                let (mean, peak) = (share.mean.as_ref().map(limits), share.peak.as_ref().map(limits));
                let check = Check::Share { metrics, mean, peak };
                Parts::of(&share.name, Some(check)).between(&share.after, &share.before)
            }
            Expect::Utilization(share) => {
                let metrics = match share.utilization {
                    ResourceWord::Cpu => CPU_USED,
                    ResourceWord::Memory => MEMORY_USED,
                };
                let (mean, peak) = (share.mean.as_ref().map(limits), share.peak.as_ref().map(limits));
                let check = Check::Share { metrics, mean, peak };
                Parts::of(&share.name, Some(check)).between(&share.after, &share.before)
            }
            Expect::Cost(cost) => Parts::of(&cost.name, Some(Check::Cost { limits: limits(&cost.cost_usd) })),
            Expect::Hpa(hpa) => {
                let parts = Parts::of(&hpa.name, self.hpa(hpa, checker)).between(&hpa.after, &hpa.before);
                Parts { within: hpa.within.unwrap_or(Span::ZERO), ..parts }
            }
            Expect::Events(events) => {
                Parts::of(&events.name, Some(events_check(events))).between(&events.after, &events.before)
            }
            Expect::Metric(metric) => {
                Parts::of(&metric.name, metric_check(metric, checker)).between(&metric.after, &metric.before)
            }
        }
    }

    fn jobs(&self, jobs: &JobsExpect, checker: &mut Checker<'_>) -> Option<Check> {
        let mut names = self.all_of(Kind::Job, &jobs.only, checker)?;
        if names.is_empty() {
            names = self.objects.names(Kind::Job).map(Symbol::new).collect();
        }
        if let Some(Text(namespace)) = &jobs.namespace {
            names.retain(|name| {
                name.as_str().split_once('/').is_some_and(|(first, _)| first == namespace.as_str())
            });
        }
        if names.is_empty() {
            checker.error(&jobs.name, |error| error.message("there is no Job that could be complete"));
            return None;
        }
        Some(Check::Jobs { within: jobs.within, jobs: names })
    }

    fn hpa(&self, hpa: &HpaExpect, checker: &mut Checker<'_>) -> Option<Check> {
        let name = self.object(Kind::HorizontalPodAutoscaler, &hpa.hpa, checker)?;
        let reaches = |replicas| Some(Check::HpaReaches { hpa: name, replicas, within: hpa.within });
        match (hpa.reaches, hpa.falls_to, &hpa.replicas) {
            (Some(count), _, _) => reaches(Limits::counts(Some(count), None)),
            (None, Some(count), _) => reaches(Limits::counts(None, Some(count))),
            (None, None, bounds) => {
                let limits = limits(bounds.as_ref()?);
                Some(Check::Series { metric: Metric::HpaReplicas, object: Some(name), limits })
            }
        }
    }

    /// The full names of objects of one kind; `None` if one of them does not exist.
    fn all_of(
        &self,
        kind: Kind,
        names: &[Placed<ObjectName>],
        checker: &mut Checker<'_>,
    ) -> Option<Vec<Symbol>> {
        let names: Vec<_> = names.iter().map(|name| self.object(kind, name, checker)).collect();
        names.into_iter().collect()
    }

    fn object(&self, kind: Kind, name: &Placed<ObjectName>, checker: &mut Checker<'_>) -> Option<Symbol> {
        let full_name = name.value.to_string();
        if self.objects.has(kind, &full_name) {
            return Some(Symbol::new(&full_name));
        }
        checker.missing(name, (Referent::Objects, kind.as_str()), &full_name, self.objects.names(kind));
        None
    }

    fn window(
        &self,
        name: &Placed<Name>,
        after: &At,
        before: &At,
        within: Span,
        checker: &mut Checker<'_>,
    ) -> Option<Window> {
        let (after_anchor, before_anchor) = (self.anchor(after, checker), self.anchor(before, checker));
        let window = Window { after: after_anchor?, before: before_anchor? };
        let known = |anchor: Option<Anchor>| match anchor {
            Some(Anchor::At(at) | Anchor::Action { at, .. }) => Some(at),
            _ => None,
        };
        let end = known(window.before).unwrap_or(SimTime::ZERO + self.duration);
        let start = window.after.map_or(Some(SimTime::ZERO), |anchor| known(Some(anchor)));
        if let Some(start) = start.filter(|start| *start + within > end) {
            let text = |time: SimTime| seatrial_api::duration::to_text(time - SimTime::ZERO);
            let (found, end) = (text(start + within), text(end));
            checker
                .error(name, |error| error.expected(format!("something to be judged before {end}"), found));
            return None;
        }
        Some(window)
    }

    fn anchor(&self, field: &At, checker: &mut Checker<'_>) -> Option<Option<Anchor>> {
        let Some(placed) = field else { return Some(None) };
        let anchor = match &placed.value {
            AnchorField::At(span) => {
                super::timeline::within_run(
                    &Placed { value: *span, position: placed.position, path: placed.path.clone() },
                    self.duration,
                    checker,
                )?;
                Anchor::At(SimTime::ZERO + *span)
            }
            AnchorField::Begin(name) => {
                let action = self.actions.iter().find(|(action, _)| action.as_str() == name);
                match (action, self.faults.iter().find(|fault| fault.as_str() == name)) {
                    (Some(&(name, at)), _) => Anchor::Action { name, at },
                    (None, Some(&name)) => Anchor::FaultBegin(name),
                    (None, None) => return self.unknown_anchor(placed, name, checker),
                }
            }
            AnchorField::End(name) => match self.faults.iter().find(|fault| fault.as_str() == name) {
                Some(&name) => Anchor::FaultEnd(name),
                None => return self.unknown_anchor(placed, name, checker),
            },
        };
        Some(Some(anchor))
    }

    fn unknown_anchor<T>(
        &self,
        place: &Placed<AnchorField>,
        name: &str,
        checker: &mut Checker<'_>,
    ) -> Option<T> {
        let actions = self.actions.iter().map(|(name, _)| name.as_str());
        let known = self.faults.iter().map(|name| name.as_str()).chain(actions);
        checker.missing(place, (Referent::Happenings, "fault or entry of the timeline named"), name, known);
        None
    }
}

/// The parts of an expectation: its name, its window, and its check unless that has errors.
struct Parts<'e> {
    name: &'e Placed<Name>,
    after: &'e At,
    before: &'e At,
    within: Span,
    check: Option<Check>,
}

impl<'e> Parts<'e> {
    fn of(name: &'e Placed<Name>, check: Option<Check>) -> Parts<'e> {
        Parts { name, after: &None, before: &None, within: Span::ZERO, check }
    }

    fn between(self, after: &'e At, before: &'e At) -> Parts<'e> {
        Parts { after, before, ..self }
    }
}

const CPU_ALLOCATED: ShareMetrics = ShareMetrics {
    part: Metric::CpuAllocatedMillicores,
    whole: Metric::CpuAllocatableMillicores,
    words: "CPU allocated",
};
const MEMORY_ALLOCATED: ShareMetrics = ShareMetrics {
    part: Metric::MemoryAllocatedBytes,
    whole: Metric::MemoryAllocatableBytes,
    words: "memory allocated",
};
const CPU_USED: ShareMetrics = ShareMetrics {
    part: Metric::CpuUsedMillicores,
    whole: Metric::CpuAllocatableMillicores,
    words: "CPU used",
};
const MEMORY_USED: ShareMetrics = ShareMetrics {
    part: Metric::MemoryUsedBytes,
    whole: Metric::MemoryAllocatableBytes,
    words: "memory used",
};

fn limits(bounds: &Bounds) -> Limits {
    Limits { min: bounds.min, max: bounds.max }
}

fn filter(namespace: &Option<Text>, selector: &Option<SelectorField>) -> PodFilter {
    PodFilter {
        namespace: namespace.as_ref().map(|Text(name)| Symbol::new(name)),
        selector: selector.as_ref().map(SelectorField::selector),
    }
}

fn phase(word: PhaseWord) -> Phase {
    match word {
        PhaseWord::Pending => Phase::Pending,
        PhaseWord::Running => Phase::Running,
        PhaseWord::Succeeded => Phase::Succeeded,
        PhaseWord::Failed => Phase::Failed,
    }
}

fn evictor(word: EvictionWord) -> Evictor {
    match word {
        EvictionWord::Taint => Evictor::Taint,
        EvictionWord::Api => Evictor::Api,
        EvictionWord::Pressure => Evictor::Pressure,
        EvictionWord::Preemption => Evictor::Preemption,
    }
}

fn percentiles(given: &Percentiles) -> Vec<PercentileLimit> {
    let all = [(50, given.p50), (90, given.p90), (99, given.p99), (100, given.max)];
    all.into_iter().filter_map(|(percent, limit)| Some(PercentileLimit { percent, limit: limit? })).collect()
}

fn events_check(events: &EventsExpect) -> Check {
    Check::Events {
        reason: Symbol::new(&events.events.0),
        kind: events.kind.as_ref().map(|Text(kind)| Symbol::new(kind)),
        object: events.object.as_ref().map(|object| {
            let namespace = if object.qualified { object.namespace } else { Symbol::empty() };
            (namespace, object.name.to_string())
        }),
        counts: Limits::counts(events.at_least, events.at_most),
    }
}

fn metric_check(metric: &MetricExpect, checker: &mut Checker<'_>) -> Option<Check> {
    let name = &metric.metric.value.0;
    let Some(known) = Metric::ALL.into_iter().find(|known| known.as_str() == name) else {
        checker.missing(
            &metric.metric,
            (Referent::Format, "metric"),
            name,
            Metric::ALL.iter().map(|metric| metric.as_str()),
        );
        return None;
    };
    let object = metric.object.as_ref().map(|Text(object)| Symbol::new(object));
    Some(Check::Series { metric: known, object, limits: Limits { min: metric.min, max: metric.max } })
}
