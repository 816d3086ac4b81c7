//! Recordings of real Kubernetes are read, played, and compared in all they say.

use std::io::Write;
use std::path::Path;

use seatrial_api::document::Diagnostics;
use seatrial_api::version::KubernetesVersion;
use seatrial_scenarios::recordings::{Comparison, Fact, Line, Recording, Tally, read_recordings};
use serde_json::{Value, json};

fn read(text: &[u8]) -> (Vec<Line>, String) {
    let mut findings = Diagnostics::new();
    let lines = read_recordings("cases.jsonl", text, KubernetesVersion::default(), &mut findings);
    (lines, findings.to_string())
}

#[track_caller]
fn good(text: &[u8]) -> Vec<Line> {
    let (lines, findings) = read(text);
    assert_eq!(findings, "");
    lines
}

/// The decisions of the real kube-scheduler 1.36 that the repository holds.
fn golden() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/scheduler.jsonl.gz");
    std::fs::read(path).expect("the recordings are part of the repository")
}

fn expected(line: &Line) -> &[Value] {
    let Recording::Scheduler(case) = &line.recording else { panic!("no scheduler case") };
    case.expected.as_deref().expect("the answers are recorded")
}

/// Reasons come in the order of a map, so they are compared in text order.
fn in_order(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(key, value)| {
                    let mut value = in_order(value);
                    if let (true, Value::Array(list)) = (key == "reasons", &mut value) {
                        list.sort_by_key(Value::to_string);
                    }
                    (key.clone(), value)
                })
                .collect(),
        ),
        Value::Array(list) => list.iter().map(in_order).collect(),
        other => other.clone(),
    }
}

#[test]
fn every_recorded_decision_is_made_again() {
    let lines = good(&golden());
    let mut tally = Tally::default();
    let mut differences = Vec::new();
    for line in &lines {
        let comparison = line.recording.compare().expect("the answers are recorded");
        tally.add(&comparison);
        differences
            .extend(comparison.differences.into_iter().map(|one| format!("{}: {one}", line.recording.id())));
        // The same with every decision following from our own ones, and in the recordings' schema.
        let answer: Value = serde_json::from_str(&line.recording.answer()).expect("an answer is JSON");
        assert_eq!(answer["id"], line.recording.id());
        let decisions = answer["decisions"].as_array().expect("a list of decisions");
        for (found, recorded) in decisions.iter().zip(expected(line)) {
            assert_eq!(in_order(found), in_order(recorded), "{}", line.recording.id());
        }
    }
    assert_eq!(differences, [""; 0]);
    assert_eq!((tally.all.recordings.total, tally.all.subjects.total), (190, 5825));
    assert_eq!(tally.all.facts.len(), 7);
    assert!(tally.all.facts.values().all(|count| count.total > 0), "{:?}", tally.all.facts);
    assert!(tally.all.is_full() && tally.features.values().all(|row| row.is_full()));
    assert!(tally.features.contains_key("preemption") && tally.plugins.contains_key("NodeAffinity"));
}

#[test]
fn a_file_may_be_compressed_or_not_and_answers_may_be_missing() {
    let mut case = small();
    let plain = format!("\n{case}\n\n{case}\n");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(plain.as_bytes()).expect("memory can be written to");
    let packed = packed.finish().expect("memory can be written to");
    for text in [plain.as_bytes(), &packed] {
        let lines = good(text);
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [2, 4]);
        assert!(
            lines.iter().all(|line| line.recording.compare().is_some_and(|one| one.differences.is_empty()))
        );
    }
    for key in ["expected", "oracle", "features", "objects", "existingPods"] {
        case.as_object_mut().expect("a case").remove(key);
    }
    let lines = good(case.to_string().as_bytes());
    assert_eq!(lines[0].recording.compare(), None);
    let answer: Value = serde_json::from_str(&lines[0].recording.answer()).expect("JSON");
    assert_eq!(answer, json!({"id": "small", "decisions": small()["expected"]}));
}

/// A node of one core, and two pods of 600m: the first is bound, the second is not.
fn small() -> Value {
    let pod = |name: &str| {
        json!({
            "metadata": {"name": name, "namespace": "d", "uid": name},
            "spec": {"schedulerName": "default-scheduler", "priority": 0, "containers": [
                {"name": "c", "image": "i", "resources": {"requests": {"cpu": "600m"}}},
            ]},
        })
    };
    let node = |name: &str, cpu: &str| {
        json!({
            "metadata": {"name": name},
            "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "10"}},
        })
    };
    let full =
        json!({"plugin": "NodeResourcesFit", "code": "Unschedulable", "reasons": ["Insufficient cpu"]});
    let scores = json!({
        "plugins": [
            "TaintToleration", "NodeResourcesFit", "DynamicResources", "NodeResourcesBalancedAllocation",
            "ImageLocality",
        ],
        "nodes": {"n1": [300, 68, 0, 60, 0, 428], "n2": [300, 68, 0, 60, 0, 428]},
    });
    let unschedulable = "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: \
        0/2 nodes are available: 2 No preemption victims found for incoming pod.";
    json!({
        "schema": 1, "id": "small", "oracle": "kube-scheduler 1.36.2", "features": ["resources"],
        "nodes": [node("n2", "1"), node("n1", "1")], "existingPods": [], "objects": {},
        "pods": [pod("a"), pod("b"), pod("c")],
        "expected": [
            {"pod": "d/a", "outcome": "bound", "node": "n1", "attempts": [{
                "feasibleCount": 2, "feasible": ["n1", "n2"], "scores": scores,
                "topScore": 428, "top": ["n1", "n2"], "chosen": "n1",
            }]},
            {"pod": "d/b", "outcome": "bound", "node": "n2", "attempts": [{
                "feasibleCount": 1, "feasible": ["n2"], "rejected": {"n1": full},
                "unschedulablePlugins": ["NodeResourcesFit"], "top": ["n2"], "chosen": "n2",
            }]},
            {"pod": "d/c", "outcome": "unschedulable", "attempts": [{
                "feasibleCount": 0, "rejected": {"n1": full, "n2": full},
                "unschedulablePlugins": ["NodeResourcesFit"],
                "fitError": unschedulable, "postFilterCode": "Unschedulable",
            }]},
        ],
    })
}

fn compare(case: &Value) -> Comparison {
    good(case.to_string().as_bytes())[0].recording.compare().expect("the answers are recorded")
}

#[test]
fn whatever_differs_is_counted_where_it_belongs() {
    assert_eq!(compare(&small()).differences, []);
    for (path, value, fact, at) in [
        ("/expected/0/outcome", json!("gated"), Fact::Outcome, "outcome"),
        ("/expected/0/node", json!("n2"), Fact::Outcome, "node"),
        ("/expected/0/unheardOf", json!(1), Fact::Outcome, "unheardOf"),
        ("/expected/0/message", json!("x"), Fact::Message, "message"),
        ("/expected/0/attempts/0/feasibleCount", json!(3), Fact::Feasible, "attempts[0].feasibleCount"),
        ("/expected/0/attempts/0/feasible", json!(["n1"]), Fact::Feasible, "attempts[0].feasible"),
        (
            "/expected/0/attempts/0/scores/nodes/n2/1",
            json!(69),
            Fact::ScoreCell,
            "attempts[0].scores.n2.NodeResourcesFit",
        ),
        (
            "/expected/0/attempts/0/scores/nodes/n2/5",
            json!(429),
            Fact::ScoreCell,
            "attempts[0].scores.n2.total",
        ),
        ("/expected/0/attempts/0/top", json!(["n1"]), Fact::Ties, "attempts[0].top"),
        ("/expected/0/attempts/0/unheardOf", json!(1), Fact::Outcome, "attempts[0].unheardOf"),
        (
            "/expected/1/attempts/0/rejected/n1/code",
            json!("x"),
            Fact::Rejection,
            "attempts[0].rejected.n1.code",
        ),
        ("/expected/1/attempts/1", json!({"feasibleCount": 0}), Fact::Feasible, "attempts[1].feasibleCount"),
        ("/expected/2/attempts/0/fitError", json!("no"), Fact::Message, "attempts[0].fitError"),
        ("/expected/2/attempts/0/nominatedNode", json!("n1"), Fact::Victims, "attempts[0].nominatedNode"),
        (
            "/expected/2/attempts/0/preemption",
            json!({"victims": []}),
            Fact::Victims,
            "attempts[0].preemption",
        ),
    ] {
        let mut case = small();
        set(&mut case, path, value);
        let comparison = compare(&case);
        let first = comparison.differences.first().unwrap_or_else(|| panic!("{path} makes no difference"));
        assert_eq!((first.fact, first.at.as_str()), (fact, at), "{path}");
        assert!(!comparison.facts[&fact].is_full(), "{path}");
        // What follows from another node differs, too.
        let unequal = comparison.subjects.total - comparison.subjects.equal;
        assert!(unequal == 1 || unequal > 0 && at == "node", "{path}: {unequal} pods");
    }
}

/// Sets the value at a JSON pointer, whose last part may be new.
fn set(case: &mut Value, path: &str, value: Value) {
    let (parent, last) = path.rsplit_once('/').expect("a pointer");
    match case.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.insert(last.to_owned(), value)),
        Some(Value::Array(list)) => match last.parse::<usize>().expect("an index") {
            index if index == list.len() => list.push(value),
            index => list[index] = value,
        },
        other => panic!("{parent} is {other:?}"),
    }
}

#[test]
fn the_cluster_goes_on_from_what_was_recorded() {
    let mut case = small();
    // As if the first pod had vanished: the two others then find the same room again.
    set(&mut case, "/expected/0/node", json!(null));
    let comparison = compare(&case);
    let subjects: Vec<&str> = comparison.differences.iter().map(|one| one.subject.as_str()).collect();
    assert!(subjects.contains(&"d/a") && subjects.contains(&"d/b"), "{subjects:?}");
}

#[test]
fn a_line_that_cannot_be_played_is_refused_with_its_place() {
    for (line, expected) in [
        ("{", "cases.jsonl:2:1: not valid YAML: "),
        (
            "7",
            "cases.jsonl:2:1: expected a recording, with a field pods or setup or script or request or steps, found 7\n",
        ),
        ("{\"a\": 1}", "cases.jsonl:2:1: expected a recording, "),
        ("{\"pods\": []}", "cases.jsonl:2:1: id: the field is needed and missing\n"),
        ("{\"id\": \"x\", \"pods\": 3}", "cases.jsonl:2:21: pods: expected a list, found 3\n"),
        ("{\"id\": \"x\", \"pods\": [3]}", "cases.jsonl:2:22: expected "),
        ("{\"id\": \"x\", \"pods\": [], \"schema\": 2}", "cases.jsonl:2:35: schema: expected 1, found 2\n"),
        (
            "{\"id\": \"x\", \"pods\": [], \"nodez\": []}",
            "cases.jsonl:2:25: nodez: there is no such field (did you mean nodes?)\n",
        ),
        (
            "{\"id\": \"x\", \"pods\": [], \"objects\": {\"resourceClaims\": []}}",
            "cases.jsonl:2:37: objects.resourceClaims: there is no such field, expected one of ",
        ),
        (
            "{\"id\": \"x\", \"pods\": [], \"expected\": [{}]}",
            "cases.jsonl:2:37: expected: expected 0 decisions, one for each pod, found 1\n",
        ),
        (
            "{\"id\": \"x\", \"pods\": [], \"config\": {\"apiVersion\": \"kubescheduler.config.k8s.io/v1\", \"kind\": \"KubeSchedulerConfiguration\", \"profilez\": []}}",
            "cases.jsonl:2:122: config.profilez: there is no such field (did you mean profiles?)\n",
        ),
        (
            "{\"id\": \"x\", \"pods\": [], \"config\": {\"apiVersion\": \"kubescheduler.config.k8s.io/v1\", \"kind\": \"KubeSchedulerConfiguration\", \"extenders\": [{\"urlPrefix\": \"http://x\"}]}}",
            "cases.jsonl:2:135: config.extenders: a case is played without extenders\n",
        ),
        (
            "{\"id\": \"x\", \"setup\": [], \"steps\": []}",
            "cases.jsonl:2:1: kubectl transcripts are not played yet\n",
        ),
        ("{\"id\": \"x\", \"script\": {}}", "cases.jsonl:2:1: actions: expected a list"),
        (
            "{\"id\": \"x\", \"request\": {}}",
            "cases.jsonl:2:24: request: expected a request, with a method and a path, found an empty mapping",
        ),
    ] {
        let (lines, findings) = read(format!("\n{line}\n").as_bytes());
        assert_eq!(lines.len(), 0, "{line}");
        assert!(findings.starts_with(expected), "{line}\nfound    {findings}expected {expected}");
    }
    let (_, findings) = read(b"\x1f\x8bnot gzip");
    assert!(findings.starts_with("cases.jsonl: the file is damaged: "), "{findings}");
}
