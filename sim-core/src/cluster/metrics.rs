//! What an adapter answers for the custom and external metrics APIs: the courses that the scenario
//! gives, as they were at the last scrape.

use std::sync::Arc;

use seatrial_api::labels::Selector;
use seatrial_api::machine::MetricValue;
use seatrial_api::request::{ApiError, MetricQuery, MetricSubject};
use seatrial_api::units::SimTime;

use super::config::{MetricSource, MetricSpec};
use super::usage::{SCRAPE_PERIOD, last_scrape};

/// The answer to a query at `now`. `serving` gives the pods of the query's namespace that a selector
/// matches and that really serve, in order of their rows.
///
/// Model: an adapter serves every metric of the scenario to everybody; it scrapes when the metrics
/// server does, and who is ready it knows at once.
pub(super) fn answer(
    specs: &[MetricSpec],
    query: &MetricQuery,
    now: SimTime,
    mut serving: impl FnMut(&Arc<Selector>) -> Vec<u32>,
) -> Result<Vec<MetricValue>, ApiError> {
    let asked = specs.iter().filter(|spec| spec.name == query.name && is_about(spec, query));
    if asked.clone().next().is_none() {
        return Err(query.unknown());
    }
    let sampled_at = last_scrape(now);
    let value = |pod, value| MetricValue { pod, value, sampled_at, window: SCRAPE_PERIOD };
    let series = asked.filter(|spec| query.selector.as_ref().is_none_or(|s| s.matches(&spec.labels)));
    let mut values = Vec::new();
    for spec in series {
        let Some(now) = spec.at(sampled_at) else { continue };
        let sharing = spec.pods.as_ref().map(&mut serving);
        let count = sharing.as_ref().map_or(1, Vec::len).max(1) as i64;
        let share = if spec.each { now } else { now / count };
        match &query.subject {
            MetricSubject::Pods(selector) => {
                let mut asked = serving(selector);
                if let Some(sharing) = sharing {
                    asked.retain(|pod| sharing.binary_search(pod).is_ok());
                }
                values.extend(asked.into_iter().map(|pod| value(pod, share)));
            }
            _ => values.push(value(u32::MAX, share)),
        }
    }
    values.sort_by_key(|value| value.pod);
    Ok(values)
}

/// Whether a metric of the scenario is of the kind that is asked for.
fn is_about(spec: &MetricSpec, query: &MetricQuery) -> bool {
    if spec.namespace.is_some_and(|namespace| namespace != query.namespace) {
        return false;
    }
    match (&spec.source, &query.subject) {
        (MetricSource::Pods, MetricSubject::Pods(_)) => true,
        (MetricSource::Object { kind, name }, MetricSubject::Object { kind: asked, name: object }) => {
            kind == asked && name == object
        }
        (MetricSource::External, MetricSubject::External) => true,
        _ => false,
    }
}

impl MetricSpec {
    /// The value at an instant; `None` before the course begins.
    fn at(&self, instant: SimTime) -> Option<i64> {
        let begun = self.course.partition_point(|point| point.0 <= instant);
        begun.checked_sub(1).map(|last| self.course[last].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seatrial_api::labels::Labels;

    fn spec(source: MetricSource, points: &[(i64, i64)]) -> MetricSpec {
        MetricSpec {
            name: "load".into(),
            namespace: None,
            source,
            labels: Labels::NONE,
            pods: None,
            each: false,
            course: points.iter().map(|&(at, value)| (SimTime::from_secs(at), value)).collect(),
        }
    }

    fn ask(specs: &[MetricSpec], subject: MetricSubject, seconds: i64) -> Result<Vec<(u32, i64)>, String> {
        let query = MetricQuery { namespace: "shop".into(), name: "load".into(), selector: None, subject };
        ask_for(specs, &query, seconds)
    }

    fn ask_for(specs: &[MetricSpec], query: &MetricQuery, seconds: i64) -> Result<Vec<(u32, i64)>, String> {
        let pods = [(1, "web"), (3, "web"), (4, "db")];
        let serving = |selector: &Arc<Selector>| {
            let matching = pods.iter().filter(|pod| selector.matches(&Labels::of(&[("app", pod.1)])));
            matching.map(|pod| pod.0).collect()
        };
        let values = answer(specs, query, SimTime::from_secs(seconds), serving);
        let values = values.map_err(|error| error.message)?;
        Ok(values.into_iter().map(|value| (value.pod, value.value)).collect())
    }

    fn web() -> Arc<Selector> {
        Arc::new(Selector::of_labels(&Labels::of(&[("app", "web")])))
    }

    #[test]
    fn values_are_those_of_the_last_scrape() {
        let external = [spec(MetricSource::External, &[(15, 1_000), (31, 4_000)])];
        for (seconds, expected) in [(14, None), (15, Some(1_000)), (44, Some(1_000)), (45, Some(4_000))] {
            let expected: Vec<_> = expected.map(|value| (u32::MAX, value)).into_iter().collect();
            assert_eq!(ask(&external, MetricSubject::External, seconds), Ok(expected), "{seconds} s");
        }
    }

    #[test]
    fn a_load_is_shared_by_the_pods_that_serve_and_a_rate_is_that_of_each() {
        let of_web = |each| MetricSpec { pods: Some(web()), each, ..spec(MetricSource::Pods, &[(0, 900)]) };
        let pods = || MetricSubject::Pods(web());
        assert_eq!(ask(&[of_web(false)], pods(), 60), Ok(vec![(1, 450), (3, 450)]));
        assert_eq!(ask(&[of_web(true)], pods(), 60), Ok(vec![(1, 900), (3, 900)]));
        let shared = MetricSpec { pods: Some(web()), ..spec(MetricSource::External, &[(0, 900)]) };
        assert_eq!(ask(&[shared], MetricSubject::External, 60), Ok(vec![(u32::MAX, 450)]));
    }

    #[test]
    fn series_are_told_apart_by_object_namespace_and_labels() {
        let object = |name: &str| MetricSource::Object { kind: "Ingress".into(), name: name.into() };
        let asked = || MetricSubject::Object { kind: "Ingress".into(), name: "main".into() };
        let specs = [spec(object("other"), &[(0, 5)]), spec(object("main"), &[(0, 7)])];
        assert_eq!(ask(&specs, asked(), 60), Ok(vec![(u32::MAX, 7)]));
        let message = "the server could not find the metric load for ingress main".to_string();
        assert_eq!(ask(&specs[..1], asked(), 60), Err(message));

        let queue = |name: &str, value| MetricSpec {
            labels: Labels::of(&[("queue", name)]),
            ..spec(MetricSource::External, &[(0, value)])
        };
        let elsewhere = MetricSpec { namespace: Some("other".into()), ..queue("a", 100) };
        let specs = [queue("a", 1), queue("b", 2), elsewhere];
        assert_eq!(ask(&specs, MetricSubject::External, 60), Ok(vec![(u32::MAX, 1), (u32::MAX, 2)]));
        let selector = Some(Selector::of_labels(&Labels::of(&[("queue", "b")])));
        let (namespace, name) = ("shop".into(), "load".into());
        let query = MetricQuery { namespace, name, selector, subject: MetricSubject::External };
        assert_eq!(ask_for(&specs, &query, 60), Ok(vec![(u32::MAX, 2)]));
    }
}
