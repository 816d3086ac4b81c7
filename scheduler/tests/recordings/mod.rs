//! Recorded decisions of the real scheduler, and how answers are compared with them.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;

use seatrial_api::calendar::Calendar;
use seatrial_api::decode::{Decoder, Mode};
use seatrial_api::document::{Diagnostics, ObjectReader};
use seatrial_api::labels::{Labels, Selector};
use seatrial_api::object::Object;
use seatrial_api::pod::Pod;
use seatrial_api::symbol::Symbol;
use seatrial_api::version::KubernetesVersion;
use seatrial_scheduler::SchedulerConfiguration;
use seatrial_scheduler::cases::{Attempt, Case, CaseDecision, CaseOutcome, Rejection};
use seatrial_scheduler::config::{
    AddedAffinity, DefaultConstraints, PluginReference, PluginSelection, ProfileConfiguration,
    ResourceWeight, ScoringStrategy, ShapePoint,
};
use seatrial_scheduler::framework::Code;
use serde_json::{Value, json};

/// One recorded case.
pub(crate) struct Recording {
    pub(crate) id: String,
    pub(crate) case: Case,
    pub(crate) pods: Vec<Pod>,
    pub(crate) expected: Vec<Value>,
}

/// Reads all recordings of the repository.
pub(crate) fn read() -> Vec<Recording> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/scheduler.jsonl.gz");
    let file = std::fs::File::open(path).expect("the recordings are part of the repository");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("the recordings are intact");
    text.lines().map(|line| recording(&serde_json::from_str(line).expect("a line is JSON"))).collect()
}

fn recording(line: &Value) -> Recording {
    let mut decoder = Decoder::new(Mode::State, Calendar::default(), KubernetesVersion::V1_36);
    let mut decode =
        |kind: &str, api_version: &str, value: &Value| decode(&mut decoder, kind, api_version, value);
    let mut case = Case { configuration: configuration(&line["config"]), ..Case::default() };
    for node in list(&line["nodes"]) {
        if let Object::Node(node) = decode("Node", "v1", node) {
            case.nodes.push(node);
        }
    }
    for pod in list(&line["existingPods"]) {
        if let Object::Pod(pod) = decode("Pod", "v1", pod) {
            case.pods.push(pod);
        }
    }
    for (key, kind, api_version) in [
        ("namespaces", "Namespace", "v1"),
        ("podDisruptionBudgets", "PodDisruptionBudget", "policy/v1"),
        ("services", "Service", "v1"),
        ("replicaSets", "ReplicaSet", "apps/v1"),
        ("statefulSets", "StatefulSet", "apps/v1"),
        ("persistentVolumes", "PersistentVolume", "v1"),
        ("persistentVolumeClaims", "PersistentVolumeClaim", "v1"),
        ("storageClasses", "StorageClass", "storage.k8s.io/v1"),
        ("csiNodes", "CSINode", "storage.k8s.io/v1"),
    ] {
        case.objects.extend(list(&line["objects"][key]).map(|object| decode(kind, api_version, object)));
    }
    for controller in list(&line["objects"]["replicationControllers"]) {
        let labels = controller["spec"]["selector"].as_object().into_iter().flatten();
        let labels = labels.map(|(key, value)| (Symbol::new(key), symbol(value))).collect();
        let meta = &controller["metadata"];
        let owner = ("ReplicationController".into(), symbol(&meta["namespace"]), text(&meta["name"]).into());
        case.owners.push((owner, Arc::new(Selector::of_labels(&Labels::new(labels)))));
    }
    let pods = list(&line["pods"]).map(|pod| match decode("Pod", "v1", pod) {
        Object::Pod(pod) => Pod::clone(&pod),
        other => panic!("not a pod: {other:?}"),
    });
    Recording {
        id: text(&line["id"]).into(),
        pods: pods.collect(),
        expected: list(&line["expected"]).cloned().collect(),
        case,
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn symbol(value: &Value) -> Symbol {
    Symbol::new(text(value))
}

fn decode(decoder: &mut Decoder, kind: &str, api_version: &str, value: &Value) -> Object {
    let mut value = value.clone();
    value["kind"] = json!(kind);
    value["apiVersion"] = json!(api_version);
    let text = value.to_string();
    let (mut reader, mut findings) = (ObjectReader::new("recording", text.as_bytes()), Diagnostics::new());
    let node = reader.next(&mut findings).expect("one object");
    let object = decoder.decode(&node, reader.file(), &mut findings);
    object.unwrap_or_else(|| panic!("{text}: {:?}", findings.errors().collect::<Vec<_>>()))
}

fn configuration(config: &Value) -> SchedulerConfiguration {
    let mut configuration = SchedulerConfiguration::default();
    if let Some(profile) = list(&config["profiles"]).next() {
        configuration.profiles = vec![profile_configuration(profile)];
    }
    configuration
}

fn profile_configuration(value: &Value) -> ProfileConfiguration {
    let mut profile = ProfileConfiguration::default();
    profile.plugins.multi_point = selection(&value["plugins"]["multiPoint"]);
    profile.plugins.score = selection(&value["plugins"]["score"]);
    profile.plugins.filter = selection(&value["plugins"]["filter"]);
    let arguments = &mut profile.arguments;
    for entry in list(&value["pluginConfig"]) {
        let args = &entry["args"];
        match text(&entry["name"]) {
            "InterPodAffinity" => {
                if let Some(weight) = args["hardPodAffinityWeight"].as_i64() {
                    arguments.hard_pod_affinity_weight = weight;
                }
                arguments.ignore_preferred_terms_of_existing_pods =
                    args["ignorePreferredTermsOfExistingPods"] == true;
            }
            "PodTopologySpread" => {
                let pod = fake_pod(json!({"topologySpreadConstraints": args["defaultConstraints"]}));
                arguments.default_constraints = DefaultConstraints::List(pod.spec.topology_spread.to_vec());
            }
            "NodeAffinity" => {
                let pod = fake_pod(json!({"affinity": {"nodeAffinity": args["addedAffinity"]}}));
                let affinity = pod.spec.affinity.as_ref().expect("an affinity was added");
                arguments.added_affinity = AddedAffinity {
                    required: affinity.node.required.clone(),
                    preferred: affinity.node.preferred.clone(),
                };
            }
            "NodeResourcesBalancedAllocation" => {
                arguments.balanced_resources =
                    list(&args["resources"]).map(|entry| symbol(&entry["name"])).collect();
            }
            "NodeResourcesFit" => {
                arguments.fit.ignored_resources = list(&args["ignoredResources"]).map(symbol).collect();
                let strategy = &args["scoringStrategy"];
                let weights = list(&strategy["resources"]).map(|entry| ResourceWeight {
                    name: symbol(&entry["name"]),
                    weight: entry["weight"].as_i64().unwrap_or(1),
                });
                arguments.fit.resources = weights.collect();
                arguments.fit.strategy = scoring_strategy(strategy);
            }
            other => panic!("arguments of {other} are not read"),
        }
    }
    profile
}

fn scoring_strategy(strategy: &Value) -> ScoringStrategy {
    match text(&strategy["type"]) {
        "LeastAllocated" => ScoringStrategy::LeastAllocated,
        "MostAllocated" => ScoringStrategy::MostAllocated,
        _ => ScoringStrategy::RequestedToCapacityRatio(
            list(&strategy["requestedToCapacityRatio"]["shape"])
                .map(|point| ShapePoint {
                    utilization: point["utilization"].as_i64().unwrap_or(0),
                    score: point["score"].as_i64().unwrap_or(0),
                })
                .collect(),
        ),
    }
}

fn selection(value: &Value) -> PluginSelection {
    let reference = |entry: &Value| PluginReference {
        name: text(&entry["name"]).into(),
        weight: entry["weight"].as_i64().unwrap_or(0),
    };
    PluginSelection {
        enabled: list(&value["enabled"]).map(reference).collect(),
        disabled: list(&value["disabled"]).map(|entry| text(&entry["name"]).into()).collect(),
    }
}

/// A pod with these fields in its specification, for reading parts of configurations that are
/// written like parts of pods.
fn fake_pod(mut spec: Value) -> Arc<Pod> {
    spec["containers"] = json!([{"name": "c", "image": "i"}]);
    let mut decoder = Decoder::new(Mode::State, Calendar::default(), KubernetesVersion::V1_36);
    let value = json!({"metadata": {"name": "p", "namespace": "default"}, "spec": spec});
    match decode(&mut decoder, "Pod", "v1", &value) {
        Object::Pod(pod) => pod,
        other => panic!("not a pod: {other:?}"),
    }
}

/// What differs between a decision and its recording.
pub(crate) fn compare(decision: &CaseDecision, expected: &Value, detailed: bool) -> Vec<String> {
    let mut check = Check { prefix: String::new(), differences: Vec::new() };
    let (outcome, node, message) = match &decision.outcome {
        CaseOutcome::Bound(node) => ("bound", json!(node.as_str()), Value::Null),
        CaseOutcome::Unschedulable => ("unschedulable", Value::Null, Value::Null),
        CaseOutcome::Gated(message) => ("gated", Value::Null, json!(message)),
    };
    check.equal("outcome", json!(outcome), &expected["outcome"]);
    check.equal("node", node, &expected["node"]);
    check.equal("message", message, &expected["message"]);
    let attempts: Vec<&Value> = list(&expected["attempts"]).collect();
    check.equal("attempts", json!(decision.attempts.len()), &json!(attempts.len()));
    for (index, (attempt, expected)) in decision.attempts.iter().zip(attempts).enumerate() {
        check.prefix = format!("attempt {} ", index + 1);
        check.attempt(attempt, expected, detailed);
    }
    check.differences
}

struct Check {
    prefix: String,
    differences: Vec<String>,
}

impl Check {
    fn equal(&mut self, what: &str, found: Value, expected: &Value) {
        if found != *expected {
            self.differences.push(format!("{}{what}: found {found}, recorded {expected}", self.prefix));
        }
    }

    fn attempt(&mut self, attempt: &Attempt, expected: &Value, detailed: bool) {
        let names = |nodes: &[Symbol]| json!(nodes.iter().map(|node| node.as_str()).collect::<Vec<_>>());
        let optional = |text: Option<&str>| text.map_or(Value::Null, |text| json!(text));
        let nonempty = |value: Value| if value == json!([]) { Value::Null } else { value };
        self.equal(
            "nominatedNode",
            optional(attempt.nominated_node.map(Symbol::as_str)),
            &expected["nominatedNode"],
        );
        self.equal("feasibleCount", json!(attempt.feasible.len()), &expected["feasibleCount"]);
        self.equal(
            "unschedulablePlugins",
            nonempty(json!(attempt.rejectors)),
            &expected["unschedulablePlugins"],
        );
        self.equal(
            "preFilterMsg",
            optional(attempt.pre_filter_message.as_deref()),
            &expected["preFilterMsg"],
        );
        self.equal("fitError", optional(attempt.fit_error.as_deref()), &expected["fitError"]);
        self.equal("postFilterCode", optional(attempt.post_filter), &expected["postFilterCode"]);
        self.equal("top", nonempty(names(&attempt.top)), &expected["top"]);
        self.equal("chosen", optional(attempt.top.first().map(|node| node.as_str())), &expected["chosen"]);
        let top_score = attempt.scores.as_ref().map_or(Value::Null, |scores| json!(scores.top_score()));
        self.equal("topScore", top_score, &expected["topScore"]);
        if detailed {
            self.equal("feasible", nonempty(names(&attempt.feasible)), &expected["feasible"]);
            self.rejected(attempt, expected);
            self.scores(attempt, expected);
        }
        self.preemption(attempt, expected, detailed);
    }

    fn rejected(&mut self, attempt: &Attempt, expected: &Value) {
        let recorded = expected["rejected"].as_object();
        let nodes: BTreeSet<&str> = attempt
            .rejected
            .keys()
            .map(|node| node.as_str())
            .chain(recorded.into_iter().flat_map(|map| map.keys().map(String::as_str)))
            .collect();
        for node in nodes {
            let found = attempt.rejected.get(&Symbol::new(node)).map_or(Value::Null, rejection);
            self.equal(&format!("rejected {node}"), found, &expected["rejected"][node]);
        }
        let absent = attempt.absent.as_ref().map_or(Value::Null, rejection);
        self.equal("absentRejected", absent, &expected["absentRejected"]);
    }

    fn scores(&mut self, attempt: &Attempt, expected: &Value) {
        let recorded = &expected["scores"];
        let Some(scores) = &attempt.scores else {
            self.equal("scores", Value::Null, recorded);
            return;
        };
        self.equal("scores plugins", json!(scores.plugins), &recorded["plugins"]);
        for (node, row) in &scores.nodes {
            let mut row = row.clone();
            row.push(row.iter().sum());
            self.equal(&format!("scores {node}"), json!(row), &recorded["nodes"][node.as_str()]);
        }
    }

    fn preemption(&mut self, attempt: &Attempt, expected: &Value, detailed: bool) {
        let recorded = &expected["preemption"];
        let Some(found) = &attempt.preemption else {
            self.equal("preemption", Value::Null, recorded);
            return;
        };
        let best: Vec<&str> = found.best.iter().map(|node| node.as_str()).collect();
        self.equal("preemption best", json!(best), &recorded["best"]);
        self.equal("preemption node", json!(found.node.as_str()), &recorded["node"]);
        self.equal("preemption victims", json!(found.victims), &recorded["victims"]);
        self.equal("candidateCount", json!(found.candidates.len()), &recorded["candidateCount"]);
        if detailed {
            for (node, (victims, violations)) in &found.candidates {
                let candidate = json!({"victims": victims, "pdbViolations": violations});
                self.equal(&format!("candidate {node}"), candidate, &recorded["candidates"][node.as_str()]);
            }
        }
    }
}

fn rejection(rejection: &Rejection) -> Value {
    let code = match rejection.code {
        Code::Unschedulable => "Unschedulable",
        Code::Unresolvable => "UnschedulableAndUnresolvable",
    };
    json!({"plugin": rejection.plugin, "code": code, "reasons": rejection.reasons})
}
