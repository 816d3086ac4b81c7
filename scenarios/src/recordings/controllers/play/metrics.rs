//! The metrics server: it says what actions say that pods use.

use std::collections::BTreeMap;

use seatrial_api::labels::Selector;
use seatrial_api::machine::PodMetrics;
use seatrial_api::pod::{Pod, PodPhase};
use seatrial_api::request::ApiError;
use seatrial_api::store::ApiServer;
use seatrial_api::symbol::Symbol;
use seatrial_api::units::{Bytes, MilliCpu, Span};

use super::{Play, What};

/// How long it pauses between two looks, how long a look takes, and the time over which it averages.
const PERIOD: Span = Span::from_secs(5);
const LOOK: Span = Span::from_millis(10);
const WINDOW: Span = Span::from_secs(10);
/// The label by which pods are known.
const APP: &str = "app";

/// What the pods of an app use.
#[derive(Clone, Copy, Debug)]
pub(super) enum Use {
    /// Each so much, in thousandths of a CPU.
    PerPod(i64),
    /// All together so much, shared by the ready ones.
    Total(i64),
}

/// The metrics server.
#[derive(Default)]
pub(super) struct MetricsServer {
    apps: BTreeMap<String, Use>,
    samples: BTreeMap<String, Vec<PodMetrics>>,
}

impl MetricsServer {
    /// The samples of pods that a selector finds, in the order of their rows.
    pub(super) fn samples(
        &self,
        server: &ApiServer,
        namespace: Symbol,
        selector: &Selector,
    ) -> Result<Vec<PodMetrics>, ApiError> {
        let is_found = |sample: &&PodMetrics| {
            let pod = server.typed::<Pod>(sample.pod);
            pod.is_some_and(|pod| pod.meta.namespace == namespace && selector.matches(&pod.meta.labels))
        };
        let mut samples: Vec<PodMetrics> =
            self.samples.values().flatten().filter(is_found).cloned().collect();
        samples.sort_by_key(|sample| sample.pod);
        Ok(samples)
    }
}

impl Play<'_> {
    /// From now on the pods of an app use so much.
    pub(super) fn set_use(&mut self, app: &str, amount: Use) {
        if self.metrics.apps.insert(app.to_owned(), amount).is_none() {
            self.queue.push(self.now + LOOK, What::Scrape(app.to_owned()));
        }
    }

    /// The metrics server looks at the pods of an app.
    pub(super) fn scrape(&mut self, app: String) {
        if let Some(&amount) = self.metrics.apps.get(&app) {
            self.measure(&app, amount);
            self.queue.push(self.now + PERIOD + LOOK, What::Scrape(app));
        }
    }

    fn measure(&mut self, app: &str, amount: Use) {
        let (label, value) = (Symbol::new(APP), Symbol::new(app));
        let pods = self.server.list_typed::<Pod>();
        let running: Vec<(u32, bool)> = pods
            .filter(|pod| pod.meta.labels.get(label) == Some(value) && pod.status.phase == PodPhase::Running)
            .map(|pod| (pod.meta.id, pod.is_ready() && !pod.meta.is_deleting()))
            .collect();
        let ready = running.iter().filter(|pod| pod.1).count() as i64;
        // Times of the API have whole seconds.
        let sampled_at = self.now.truncate_to_second();
        let sample = |(pod, is_ready): (u32, bool)| {
            let used = match amount {
                Use::PerPod(used) => used,
                Use::Total(used) if is_ready => used / ready.max(1),
                Use::Total(_) => return None,
            };
            let (cpu, memory) = (MilliCpu(used), Bytes(0));
            Some(PodMetrics { pod, cpu, memory, sampled_at, window: WINDOW, containers: None })
        };
        let samples = running.into_iter().filter_map(sample).collect();
        self.metrics.samples.insert(app.to_owned(), samples);
    }
}
