//! The scenario file: its fields, as records that are read strictly and described by one schema.

pub(crate) mod autoscaler;
pub(crate) mod expect;
pub(crate) mod experiment;
mod extender;
pub(crate) mod faults;
pub(crate) mod latency;
pub(crate) mod law;
pub(crate) mod metrics;
pub(crate) mod nodes;
pub(crate) mod pods;
pub(crate) mod scheduler;
mod scheduler_args;
mod scheduler_common;
pub(crate) mod storage;
pub(crate) mod timeline;

use std::ops::Deref;
use std::sync::Arc;

use seatrial_api::calendar::Timestamp;
use seatrial_api::document::{
    Diagnostic, Diagnostics, DuplicateKeys, FieldPath, Node, Position, Value, read_documents,
};
use seatrial_api::units::Span;
use seatrial_api::version::KubernetesVersion;

use crate::schema::{
    Definitions, Field, JsonSchema, Name, Placed, Reader, Text, choice, list, mapping, nearest, one_of,
    record, text,
};

/// `apiVersion` of our own files.
pub(crate) const API_VERSION: &str = "seatrial/v1";

record! {
    /// A scenario: the machines, what runs on them, what happens to them, and what is expected.
    pub(crate) lenient struct ScenarioFile {
        /// The version of the format.
        _api_version("apiVersion"): ApiVersion,
        /// The kind of file.
        _kind("kind"): ScenarioKind,
        /// The name of the scenario.
        metadata("metadata"): Metadata,
        /// What the scenario shows, for readers.
        description("description"): Option<Text>,
        /// How long the run is, in virtual time.
        duration("for"): Placed<Span> = "1h",
        /// The date and time at which the run starts; `2030-01-01T00:00:00Z` if absent, or the newest time in the state that the run starts from.
        start("start"): Option<Timestamp>,
        /// The seed of all random streams.
        seed("seed"): u64 = "42",
        /// The version of Kubernetes whose behaviour is followed where it changed.
        kubernetes_version("kubernetesVersion"): VersionField = "'1.36'",
        /// The scheduling policy, by name.
        policy("policy"): Option<Placed<Text>>,
        /// A KubeSchedulerConfiguration file, relative to this file.
        scheduler_config("schedulerConfig"): Option<Placed<Text>>,
        /// In which order waiting pods are tried; the policy's own order if absent.
        queue("queue"): Option<Queue>,
        /// What decides between nodes that are equally good; the policy's own rule if absent, which is `seeded` for all but `first-fit`.
        ties("ties"): Option<Ties>,
        /// Places groups of pods all together or not at all: pods with the label `scheduling.x-k8s.io/pod-group`, as many as their PodGroup asks for. Off if absent.
        gang_scheduling("gangScheduling"): Option<GangScheduling>,
        /// Pools of machines. Without pools, and without nodes in the state, there are three machines on which the manifests fit.
        nodes("nodes"): Several<nodes::Pool>,
        /// Who makes machines come and go by itself. If it is absent and a pool has `autoscale`, it is the Cluster Autoscaler with its defaults.
        autoscaler("autoscaler"): Option<Placed<autoscaler::AutoscalerField>>,
        /// What limits the cloud that machines come from.
        cloud("cloud"): Option<autoscaler::CloudField>,
        /// The control plane.
        control_plane("controlPlane"): Option<ControlPlane>,
        /// How fast the parts of the cluster are.
        latency("latency"): Option<latency::Latency>,
        /// A dump of a running cluster, relative to this file, from which the run starts: `kubectl get nodes,pods,... -A -o yaml`.
        state("state"): Option<Placed<Text>>,
        /// Objects that are applied at the start: files and folders relative to this file, YAML texts, or objects.
        manifests("manifests"): Several<ManifestSource>,
        /// How pods behave, where their manifests cannot say. The first profile that selects a pod counts.
        pod_profiles("podProfiles"): Several<pods::Profile>,
        /// How images behave at their registry.
        images("images"): Several<pods::Image>,
        /// Metrics that an adapter serves to autoscalers, beside those of the metrics server. Without any there is no adapter.
        metrics("metrics"): Several<metrics::MetricEntry>,
        /// How the volumes of StorageClasses behave.
        storage("storage"): Several<storage::ClassStorage>,
        /// What people do during the run.
        timeline("timeline"): Several<timeline::Entry>,
        /// What breaks.
        faults("faults"): Several<faults::FaultEntry>,
        /// What is expected of the run.
        expect("expect"): Several<expect::Expect>,
    }
}

choice! {
    /// The version of the format.
    pub(crate) enum ApiVersion {
        /// The present version.
        V1 = "seatrial/v1",
    }
}

record! {
    /// How groups of pods are placed.
    pub(crate) struct GangScheduling {
        /// How long pods of a group may hold room while others of it are tried, where the PodGroup has no `scheduleTimeoutSeconds`.
        timeout("timeout"): Span = "60s",
        /// Which pods may pass a group that does not fit.
        backfill("backfill"): BackfillField = "greedy",
    }
}

choice! {
    /// Which pods may pass a group that does not fit.
    pub(crate) enum BackfillField {
        /// All that fit.
        Greedy = "greedy",
        /// Those that do not delay the first such group, by what is known of run times: EASY.
        Easy = "easy",
    }
}

choice! {
    /// In which order waiting pods are tried.
    pub(crate) enum Queue {
        /// The highest priority first, as kube-scheduler does.
        Priority = "priority",
        /// In the order of their creation, whatever their priority.
        Fifo = "fifo",
        /// The shortest expected run time first.
        ShortestJobFirst = "shortest-job-first",
        /// The namespace, or queue, with the smallest dominant share.
        DominantResourceFairness = "dominant-resource-fairness",
    }
}

choice! {
    /// The kind of file.
    pub(crate) enum ScenarioKind {
        /// A scenario.
        Scenario = "Scenario",
    }
}

choice! {
    /// What decides between nodes that are equally good, which upstream leaves to chance.
    pub(crate) enum Ties {
        /// The run's seed, each of them as likely as the others.
        Seeded = "seeded",
        /// Their names: the first one.
        First = "first",
    }
}

record! {
    /// Data about the scenario.
    pub(crate) struct Metadata {
        /// The name of the scenario.
        name("name"): Name,
    }
}

record! {
    /// The control plane.
    pub(crate) struct ControlPlane {
        /// Whether scheduler, controllers and kubelets keep to their client rate limits, as they do unless told otherwise.
        client_rate_limits("clientRateLimits"): bool = "true",
        /// Feature gates, where they differ from the release's defaults.
        feature_gates("featureGates"): Option<FeatureGates>,
        /// Priority and fairness: how many requests the API server serves at once. If absent it serves any number.
        flow_control("flowControl"): Option<FlowControl>,
    }
}

record! {
    /// What the API server serves at once, shared out among the priority levels. What waits too long, or finds the queues of its level full, is turned away and repeated.
    pub(crate) struct FlowControl {
        /// Reading requests (`--max-requests-inflight`).
        read("maxRequestsInflight"): u32 = "400",
        /// Writing requests (`--max-mutating-requests-inflight`).
        mutating("maxMutatingRequestsInflight"): u32 = "200",
    }
}

record! {
    /// Feature gates by their Kubernetes names.
    pub(crate) struct FeatureGates {
        /// Autoscalers by metrics of objects or external ones may have `minReplicas: 0`.
        hpa_scale_to_zero("HPAScaleToZero"): bool = "false",
    }
}

/// The version of Kubernetes, also where it was written as a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VersionField(pub(crate) KubernetesVersion);

const VERSIONS: [&str; 2] = ["1.36", "1.34"];

impl Field for VersionField {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<VersionField> {
        let written = node.as_str().map_or_else(|| node.value.to_string(), str::to_owned);
        let version = KubernetesVersion::parse(&written).map(VersionField);
        version.or_else(|| reader.wrong(node, path, &one_of(&VERSIONS)))
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        let numbers = VERSIONS.iter().filter_map(|name| name.parse().ok()).map(Value::Float);
        let words = VERSIONS.iter().map(|name| text(*name));
        JsonSchema::default().with("enum", list(words.chain(numbers)))
    }
}

/// Where objects come from.
#[derive(Clone, Debug)]
pub(crate) enum ManifestSource {
    /// A file or folder, relative to the scenario.
    Path(Placed<Text>),
    /// Documents as one text.
    Inline(Placed<Text>),
    /// One object.
    Object(Node),
}

impl Field for ManifestSource {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<ManifestSource> {
        if node.as_mapping().is_some() {
            return Some(ManifestSource::Object(node.clone()));
        }
        let expected = "a file, a folder, an object or a text of several lines with objects";
        let Some(written) = node.as_str().filter(|text| !text.trim().is_empty()) else {
            return reader.wrong(node, path, expected);
        };
        let placed = Placed::read(node, path, reader)?;
        Some(match written.trim_end().contains('\n') {
            true => ManifestSource::Inline(placed),
            false => ManifestSource::Path(placed),
        })
    }

    fn schema(_: &mut Definitions) -> JsonSchema {
        JsonSchema::default().with("type", list([text("string"), text("object")]))
    }
}

/// One value or several.
#[derive(Clone, Debug)]
pub(crate) struct OneOrMore<T>(pub(crate) Vec<T>);

impl<T: Field> Field for OneOrMore<T> {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<OneOrMore<T>> {
        match node.as_sequence() {
            Some(values) if values.is_empty() => reader.wrong(node, path, "at least one"),
            Some(_) => Vec::read(node, path, reader).map(OneOrMore),
            None => T::read(node, path, reader).map(|value| OneOrMore(vec![value])),
        }
    }

    fn schema(definitions: &mut Definitions) -> JsonSchema {
        JsonSchema::any_of([T::schema(definitions), Vec::<T>::schema(definitions)])
    }
}

/// A list from which elements with errors are left out, so that the others can be checked further.
#[derive(Clone, Debug)]
pub(crate) struct Several<T>(Vec<T>);

impl<T> Deref for Several<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Field> Field for Several<T> {
    fn read(node: &Node, path: &FieldPath<'_>, reader: &mut Reader<'_>) -> Option<Several<T>> {
        let Some(elements) = node.as_sequence() else { return reader.wrong(node, path, "a list") };
        let elements = elements.iter().enumerate();
        Some(Several(
            elements.filter_map(|(index, node)| T::read(&node, &path.index(index), reader)).collect(),
        ))
    }

    fn absent() -> Option<Several<T>> {
        Some(Several(Vec::new()))
    }

    fn schema(definitions: &mut Definitions) -> JsonSchema {
        Vec::<T>::schema(definitions)
    }
}

/// Reads a scenario. What has errors, which `findings` say, is left out; `None` if there is nothing
/// left. `change` may put other values into it before it is read.
pub(crate) fn read_scenario(
    file: &str,
    bytes: &[u8],
    findings: &mut Diagnostics,
    change: impl FnOnce(&Node, &mut Diagnostics) -> Node,
) -> Option<ScenarioFile> {
    read_only(file, bytes, "Scenario", findings, change)
}

/// Reads an experiment; `None` if there are errors.
pub(crate) fn read_experiment_file(
    file: &str,
    bytes: &[u8],
    findings: &mut Diagnostics,
) -> Option<experiment::ExperimentFile> {
    read_only(file, bytes, "Experiment", findings, |root, _| root.clone())
}

/// Reads the one document of a file, which is of our own kind `kind`.
fn read_only<T: Field>(
    file: &str,
    bytes: &[u8],
    kind: &str,
    findings: &mut Diagnostics,
    change: impl FnOnce(&Node, &mut Diagnostics) -> Node,
) -> Option<T> {
    let documents = read_documents(file, bytes, DuplicateKeys::Refused, findings);
    if documents.is_empty() && findings.has_errors() {
        return None;
    }
    let file: Arc<str> = file.into();
    match only_document(&documents, kind) {
        Ok(root) => {
            let root = change(root, findings);
            T::read(&root, &FieldPath::ROOT, &mut Reader::new(&file, findings))
        }
        Err((position, message)) => {
            let error = Diagnostic::error(&file, position, &FieldPath::ROOT).message(message);
            let what = kind.to_lowercase();
            let article = article(kind);
            findings.push(error.hint(format!(
                "{article} {what} begins with `apiVersion: {API_VERSION}` and `kind: {kind}`"
            )));
            None
        }
    }
}

fn article(kind: &str) -> &'static str {
    if kind.starts_with(['A', 'E', 'I', 'O']) { "an" } else { "a" }
}

/// The one document, or what is wrong with the file as a whole.
fn only_document<'a>(documents: &'a [Node], kind: &str) -> Result<&'a Node, (Position, String)> {
    let what = kind.to_lowercase();
    match documents {
        [] => Err((Position::START, "the file is empty".to_owned())),
        [root] => not_of_kind(root, kind).map_or(Ok(root), |message| Err((root.position, message))),
        [_, second, ..] => {
            Err((second.position, format!("a file holds one {what}, and this is a second document")))
        }
    }
}

/// What a document is that is not of the kind at all, so that its fields would only confuse.
fn not_of_kind(root: &Node, expected: &str) -> Option<String> {
    let word = |key| root.get(key).and_then(Node::as_str);
    let what = expected.to_lowercase();
    let article = article(expected);
    if root.as_mapping().is_none() {
        return Some(format!("{root} is no {what}"));
    }
    match (word("apiVersion"), word("kind")) {
        (Some(API_VERSION), Some(kind)) if kind != expected && nearest(kind, [expected]).is_none() => {
            Some(format!("this is of kind {kind}, not {article} {what}"))
        }
        (Some(other), kind) if other != API_VERSION && !other.starts_with("seatrial") => {
            let kind = kind.unwrap_or("object");
            Some(format!("this is a manifest ({other} {kind}), not {article} {what}"))
        }
        _ => None,
    }
}

/// The JSON Schema of scenario and experiment files (draft 2020-12), for editors.
pub fn schema() -> String {
    let mut definitions = Definitions::default();
    let scenario = ScenarioFile::schema(&mut definitions);
    let experiment = experiment::ExperimentFile::schema(&mut definitions);
    let is_experiment = mapping([("kind", mapping([("const", text("Experiment"))]))]);
    let root = JsonSchema::default()
        .with("if", mapping([("properties", is_experiment), ("required", list([text("kind")]))]))
        .with("then", experiment.into_value())
        .with("else", scenario.into_value());
    definitions.document("urn:seatrial:v1", "Seatrial scenario or experiment", root)
}
